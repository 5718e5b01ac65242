//! What a token that its issuer has signed says: for whom, until when, who it is, what they may. Pure.

use serde_json::{Map, Value};

use crate::core::Timestamp;

use super::super::access::{Caller, Role, Stranger};
use super::OidcOptions;

/// Seconds by which the issuer's clock and ours may differ.
const LEEWAY_SECONDS: f64 = 30.0;
/// Letters of a name that the audit keeps.
const NAME_LETTERS_MAX: usize = 255;

/// Everything that is said.
pub(super) type Claims = Map<String, Value>;

/// Who these claims let in. The signature was checked.
pub(super) fn caller(claims: &Claims, options: &OidcOptions, now: Timestamp) -> Result<Caller, Stranger> {
    // A subject is a name of its issuer's alone.
    if claims.get("iss").and_then(Value::as_str) != Some(options.issuer.as_str()) {
        return Err(Stranger::Unknown("this token is of another issuer".to_owned()));
    }
    let name = name(claims, options).map_err(Stranger::Unknown)?;
    let who = format!("oidc:{name}");
    if let Err(why) = check_audience(claims, options).and_then(|()| check_times(claims, now)) {
        return Err(Stranger::Known { who, why });
    }
    let role = match role(claims, options) {
        Ok(role) => role,
        Err(why) => return Err(Stranger::Unwelcome { who, why }),
    };
    match definitions(claims, options) {
        Ok(definitions) => Ok(Caller { who, role, definitions }),
        Err(why) => Err(Stranger::Unwelcome { who, why }),
    }
}

fn name(claims: &Claims, options: &OidcOptions) -> Result<String, String> {
    let claim = &options.name_claim;
    let name = claims.get(claim).and_then(Value::as_str).unwrap_or_default();
    let is_name = !name.is_empty() && name.chars().count() <= NAME_LETTERS_MAX && !name.chars().any(char::is_control);
    if !is_name {
        return Err(format!("this token does not say who shows it: {claim}"));
    }
    // An address that anybody may claim to have is nobody's name.
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err("the email of this token is not verified".to_owned());
    }
    Ok(name.to_owned())
}

fn check_audience(claims: &Claims, options: &OidcOptions) -> Result<(), String> {
    let is_named = match claims.get("aud") {
        Some(Value::String(one)) => *one == options.audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(options.audience.as_str())),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    };
    if is_named { Ok(()) } else { Err(format!("this token is not for {}", options.audience)) }
}

/// `exp` is needed, `nbf` is heeded; what is no number of seconds is no time.
fn check_times(claims: &Claims, now: Timestamp) -> Result<(), String> {
    let now = now.micros() as f64 / 1_000_000.0;
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or("this token says no time at which it expires")?;
    if now >= expires + LEEWAY_SECONDS {
        return Err("this login has expired".to_owned());
    }
    let Some(begins) = claims.get("nbf") else { return Ok(()) };
    match begins.as_f64() {
        Some(begins) if now >= begins - LEEWAY_SECONDS => Ok(()),
        Some(_) => Err("this token is not good yet".to_owned()),
        None => Err("this token says no time from which it is good".to_owned()),
    }
}

/// The highest role that is said.
fn role(claims: &Claims, options: &OidcOptions) -> Result<Role, String> {
    let said = words(claims, &options.role_claim);
    let known = |word: &String| {
        if options.roles.is_empty() {
            return Role::parse(word).ok();
        }
        options.roles.iter().filter(|(name, _)| name == word).map(|(_, role)| *role).max()
    };
    let none = || format!("this login has no role here: {} names none that is known", options.role_claim);
    said.iter().filter_map(known).max().ok_or_else(none)
}

fn definitions(claims: &Claims, options: &OidcOptions) -> Result<Option<Vec<String>>, String> {
    let Some(claim) = &options.definitions_claim else { return Ok(None) };
    let said = words(claims, claim);
    if said.is_empty() {
        return Err(format!("this login is for no definition: {claim} names none"));
    }
    Ok(if said.iter().any(|name| name == "*") { None } else { Some(said) })
}

/// The words of a claim: a list of texts, or one text with words in it. Its name as it is, or else with a dot for each level.
fn words(claims: &Claims, name: &str) -> Vec<String> {
    let deeper = || {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    };
    match claims.get(name).or_else(deeper) {
        Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;

    fn options() -> OidcOptions {
        OidcOptions {
            issuer: "https://login.example".into(),
            audience: "sagabus".into(),
            name_claim: "sub".into(),
            role_claim: "roles".into(),
            roles: Vec::new(),
            definitions_claim: None,
        }
    }

    /// What is said, with other members.
    fn said(others: Value) -> Claims {
        let mut claims =
            json!({"iss": "https://login.example", "aud": "sagabus", "exp": 60, "sub": "ada", "roles": ["viewer"]});
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object().unwrap().clone()
    }

    fn why(claims: Value, options: &OidcOptions) -> String {
        match caller(&said(claims), options, NOW).unwrap_err() {
            Stranger::Unknown(why) => format!("unknown: {why}"),
            Stranger::Known { who, why } => format!("known {who}: {why}"),
            Stranger::Unwelcome { who, why } => format!("unwelcome {who}: {why}"),
        }
    }

    #[test]
    fn a_person_is_named_and_gets_the_highest_role_that_is_known() {
        let told = |roles: Value| caller(&said(json!({ "roles": roles })), &options(), NOW).map(|caller| caller.role);
        assert_eq!(told(json!(["guest", "approver", "viewer"])), Ok(Role::Approver));
        assert_eq!(told(json!("viewer operator")), Ok(Role::Operator));
        let ada = caller(&said(json!({})), &options(), NOW).unwrap();
        assert_eq!((ada.who.as_str(), ada.definitions), ("oidc:ada", None));
        for nothing in [json!([]), json!("Admin"), json!(null), json!({"admin": true}), json!(7)] {
            assert!(
                why(json!({ "roles": nothing }), &options()).starts_with("unwelcome oidc:ada: this login has no role")
            );
        }
    }

    #[test]
    fn roles_have_the_names_that_the_issuer_gives_them() {
        let roles = vec![("oncall".to_owned(), Role::Operator), ("sre".to_owned(), Role::Admin)];
        let mapped = OidcOptions { roles, role_claim: "realm_access.roles".into(), ..options() };
        let deep = said(json!({"realm_access": {"roles": ["oncall"]}}));
        assert_eq!(caller(&deep, &mapped, NOW).map(|caller| caller.role), Ok(Role::Operator));
        assert!(
            why(json!({"realm_access": {"roles": ["admin"]}}), &mapped).starts_with("unwelcome"),
            "only what is mapped"
        );
        let named = OidcOptions { role_claim: "https://example.com/roles".into(), ..options() };
        let flat = said(json!({"https://example.com/roles": ["admin"]}));
        assert_eq!(caller(&flat, &named, NOW).map(|caller| caller.role), Ok(Role::Admin));
    }

    #[test]
    fn times_are_judged_with_half_a_minute_to_spare() {
        let good = |claims: Value| caller(&said(claims), &options(), NOW).is_ok();
        assert!(good(json!({"exp": -29.5})) && good(json!({"nbf": 29})) && good(json!({"nbf": -1000})));
        assert!(why(json!({"exp": -30}), &options()).ends_with("known oidc:ada: this login has expired"));
        assert!(why(json!({"nbf": 31}), &options()).ends_with("not good yet"));
        for none in [json!(null), json!("60"), json!(true)] {
            assert!(why(json!({ "exp": none }), &options()).starts_with("known"), "{none}");
            assert!(none.is_null() || why(json!({ "nbf": none }), &options()).starts_with("known"), "{none}");
        }
    }

    #[test]
    fn a_token_for_others_or_of_others_lets_nobody_in() {
        assert!(caller(&said(json!({"aud": ["x", "sagabus"]})), &options(), NOW).is_ok());
        for other in [json!("sagabus2"), json!(["x"]), json!([]), json!(null), json!({"sagabus": 1})] {
            assert!(
                why(json!({ "aud": other }), &options()).starts_with("known oidc:ada: this token is not for sagabus")
            );
        }
        for other in [json!("https://login.example/"), json!(["https://login.example"]), json!(null)] {
            assert!(why(json!({ "iss": other }), &options()).starts_with("unknown: "), "nobody is named: {other}");
        }
    }

    #[test]
    fn a_name_is_somebodys() {
        for nobody in [json!(""), json!(7), json!(null), json!("a\nb"), json!("x".repeat(256))] {
            assert!(why(json!({ "sub": nobody }), &options()).starts_with("unknown: "), "{nobody}");
        }
        let by_mail = OidcOptions { name_claim: "email".into(), ..options() };
        let mail = json!({"email": "ada@example.com", "email_verified": true});
        assert_eq!(caller(&said(mail), &by_mail, NOW).unwrap().who, "oidc:ada@example.com");
        assert!(why(json!({"email": "ada@example.com", "email_verified": "true"}), &by_mail).contains("not verified"));
    }

    #[test]
    fn definitions_are_those_that_the_claim_names() {
        let scoped = OidcOptions { definitions_claim: Some("sagas".into()), ..options() };
        let seen = |claims: Value| caller(&said(claims), &scoped, NOW).unwrap().definitions;
        assert_eq!(seen(json!({"sagas": ["a", "b"]})), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(seen(json!({"sagas": "*"})), None);
        assert!(why(json!({}), &scoped).starts_with("unwelcome oidc:ada: this login is for no definition"));
    }
}
