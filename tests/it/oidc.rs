//! People who log in elsewhere, over HTTP on a real Postgres: whose tokens let them in, as whom, and to what.

use std::sync::Arc;

use sagabus::api::Listener;
use sagabus::operations::{Exit, Issuer, OidcOptions, Places, Role};
use serde_json::{Value, json};

use super::cli::{code, error, sagabus};
use super::support::database::TestDatabase;
use super::support::http::ask;
use super::support::issuer::{ALGORITHMS, TestIssuer};
use super::support::listening::{Listening, TRADE, deploy, insert_sagas};
use super::support::log::Log;

async fn denied(database: &TestDatabase, who: &str) -> i64 {
    database.count(&format!("SELECT count(*) FROM audit WHERE who = '{who}' AND outcome = 'denied'")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_the_role_that_their_token_says_whatever_signed_it() {
    let database = TestDatabase::migrated("oidc_roles").await;
    deploy(&database).await;
    let issuer = TestIssuer::start().await;
    let listening = Listening::with_issuer(&database, issuer.known()).await;
    let action = "/v1/sagas/0199d3a0-0000-7000-8000-00000000dead/actions";
    for algorithm in ALGORITHMS {
        for role in Role::ALL {
            let token = issuer.token(algorithm, &issuer.claims("ada", &json!(["offline_access", role.name()])));
            let seen = listening.get(&token, "/v1/sagas").await;
            assert_eq!(seen.status, 200, "{algorithm} {role}: {seen:?}");
            let acted = listening.post(&token, action, &[], "{}").await;
            assert_eq!(acted.status == 403, role < Role::Operator, "{algorithm} {role}: {acted:?}");
            let audited = listening.get(&token, "/v1/audit").await;
            assert_eq!(audited.status == 403, role < Role::Admin, "{algorithm} {role}: {audited:?}");
        }
    }
    assert_eq!(issuer.asked(), 1, "its keys are kept");
    assert_eq!(denied(&database, "oidc:ada").await, 16, "who was not let is told to the audit");
    let admin = issuer.token("ES256", &issuer.claims("grace", &json!("admin")));
    let made = listening.post(&admin, "/v1/tokens", &[], r#"{"name":"ci","role":"viewer","reason":"r"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let told = "SELECT count(*) FROM audit WHERE who = 'oidc:grace' AND outcome = 'decided' AND target = 'token:ci'";
    assert_eq!(database.count(told).await, 1, "and so is what they do");
}

/// Tokens that let nobody in, each with what is said and whether it is known who shows it.
fn forged(issuer: &TestIssuer) -> Vec<(&'static str, String, &'static str, bool)> {
    let good = issuer.claims("mallory", &json!(["admin"]));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issuer.token("RS256", &claims)
    };
    let past = good["exp"].as_i64().unwrap() - 400;
    let token = issuer.token("RS256", &good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, claims) = message.split_once('.').unwrap();
    let others = issuer.token("RS256", &issuer.claims("ada", &json!(["admin"])));
    let (_, others) = others.rsplit_once('.').unwrap();
    let header = |algorithm: &str, key: &str| json!({"alg": algorithm, "kid": key, "typ": "JWT"});
    vec![
        ("another audience", with("aud", json!("other")), "not for sagabus", true),
        ("no audience", with("aud", json!(null)), "not for sagabus", true),
        ("expired", with("exp", json!(past)), "expired", true),
        ("never expires", with("exp", json!(null)), "no time at which it expires", true),
        ("not yet", with("nbf", json!(past + 3_600)), "not good yet", true),
        ("another issuer", with("iss", json!("https://login.example")), "another issuer", false),
        ("nobody", with("sub", json!("")), "who shows it", false),
        ("none", issuer.signed(&header("none", "rsa"), "none", &good), "cannot be read", false),
        ("a secret", issuer.signed(&header("HS256", "rsa"), "HS256", &good), "HS256 is not accepted", false),
        ("a secret, disguised", issuer.signed(&header("RS256", "rsa"), "HS256", &good), "signature", false),
        ("unsigned", format!("{message}."), "signature", false),
        ("another's signature", format!("{message}.{others}"), "signature", false),
        ("other padding", issuer.signed(&header("PS256", "rsa"), "RS256", &good), "signature", false),
        ("another key's name", issuer.signed(&header("ES256", "ed"), "EdDSA", &good), "does not publish", false),
        ("no key's name", issuer.signed(&header("ES256", "mallory"), "ES256", &good), "does not publish", false),
        (
            "a key of its own",
            issuer.signed(&json!({"alg": "EdDSA", "jwk": {"kty": "OKP"}, "kid": "x"}), "EdDSA", &good),
            "cannot be read",
            false,
        ),
        (
            "extensions",
            issuer.signed(&json!({"alg": "RS256", "kid": "rsa", "crit": ["x"]}), "RS256", &good),
            "ext",
            false,
        ),
        ("other claims", format!("{head}.{}.{signature}", claims.replace('i', "j")), "signature", false),
        ("no claims", format!("{head}..{signature}"), "signature", false),
        ("dots", "..".to_owned(), "cannot be read", false),
        ("endless", format!("{head}.{claims}.{}", "A".repeat(20_000)), "more than 16384 bytes", false),
    ]
}

#[tokio::test]
async fn a_token_that_is_not_quite_right_lets_nobody_in_and_none_is_logged_or_stored() {
    let log = Log::default();
    let _guard = log.listen();
    let database = TestDatabase::migrated("oidc_forged").await;
    let issuer = TestIssuer::start().await;
    let listening = Listening::with_issuer(&database, issuer.known()).await;
    let good = issuer.token("RS256", &issuer.claims("mallory", &json!(["viewer"])));
    assert_eq!(listening.get(&good, "/v1/sagas").await.status, 200);
    let mut known = 0;
    for (name, token, why, is_known) in forged(&issuer) {
        let answer = listening.get(&token, "/v1/sagas").await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name}");
        let said = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(said.contains(why), "{name}: {said}");
        known += i64::from(is_known);
        assert_eq!(denied(&database, "oidc:mallory").await, known, "{name}");
    }
    assert_eq!(database.count("SELECT count(*) FROM audit WHERE outcome = 'denied'").await, known, "nobody else is");
    let logged = log.text();
    assert!(logged.contains("request without a caller"), "it is listened to");
    let tokens = forged(&issuer).into_iter().map(|(_, token, ..)| token).chain([good]);
    for signature in tokens.filter_map(|token| Some(token.rsplit_once('.')?.1.to_owned())) {
        assert!(signature.is_empty() || !logged.contains(&signature));
        let held =
            format!("SELECT count(*) FROM audit a WHERE '{signature}' <> '' AND strpos(a::text, '{signature}') > 0");
        assert_eq!(database.count(&held).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_new_is_found_and_one_that_is_gone_is_not_used() {
    let database = TestDatabase::migrated("oidc_rotated").await;
    let issuer = TestIssuer::start().await;
    let listening = Listening::with_issuer(&database, issuer.known()).await;
    let claims = issuer.claims("ada", &json!(["viewer"]));
    let old = issuer.token("ES256", &claims);
    assert_eq!(listening.get(&old, "/v1/sagas").await.status, 200);
    issuer.publish(["rsa-2", "ec-2", "ed-2"]);
    let new = issuer.signed(&json!({"alg": "ES256", "kid": "ec-2"}), "ES256", &claims);
    // The issuer is asked once in five seconds, whatever is shown.
    let until = sagabus::engine::wall_clock().plus_millis(30_000);
    let mut refused = 0;
    loop {
        let answer = listening.get(&new, "/v1/sagas").await;
        if answer.status == 200 {
            break;
        }
        assert!(answer.status == 401 && answer.body.contains("does not publish"), "{answer:?}");
        refused += 1;
        assert!(sagabus::engine::wall_clock() < until, "the new key is found");
    }
    assert!(refused > 0 && issuer.asked() == 2, "{refused} refused, asked {} times", issuer.asked());
    assert_eq!(listening.get(&old, "/v1/sagas").await.status, 401, "its key is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_does_not_answer_is_503_to_its_people_and_nothing_to_others() {
    let database = TestDatabase::migrated("oidc_down").await;
    let issuer = TestIssuer::start().await;
    let listening = Listening::with_issuer(&database, issuer.known()).await;
    issuer.stop().await;
    let ada = issuer.token("EdDSA", &issuer.claims("ada", &json!(["viewer"])));
    let away = listening.get(&ada, "/v1/sagas").await;
    assert_eq!((away.status, &away.json()["code"]), (503, &"unavailable".into()), "{away:?}");
    assert_eq!(away.header("retry-after"), Some("5"));
    assert_eq!(listening.get(listening.of(Role::Viewer), "/v1/sagas").await.status, 200, "our own tokens need nobody");
    issuer.resume().await;
    let until = sagabus::engine::wall_clock().plus_millis(30_000);
    while listening.get(&ada, "/v1/sagas").await.status != 200 {
        assert!(sagabus::engine::wall_clock() < until, "it answers again");
    }
    issuer.stop().await;
    assert_eq!(listening.get(&ada, "/v1/sagas").await.status, 200, "its keys are known by now");
    // Another one that answers, under its name.
    issuer.call_itself("https://login.example");
    issuer.resume().await;
    let (database_url, issuer) = (Some(database.url.clone()), Some(issuer.known()));
    let other = Listening::at(&Places { database_url, issuer, ..Places::default() }).await;
    let told = other.get(&ada, "/v1/sagas").await;
    assert!(told.status == 503 && told.body.contains("it calls itself"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_has_the_roles_and_definitions_that_its_claims_are_said_to_mean() {
    let database = TestDatabase::migrated("oidc_scope").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1..4).await;
    insert_sagas(&database, "order-fulfilment", 10..12).await;
    let issuer = TestIssuer::start().await;
    let options = OidcOptions {
        role_claim: "realm_access.roles".to_owned(),
        roles: vec![("oncall".to_owned(), Role::Operator)],
        definitions_claim: Some("sagas".to_owned()),
        ..issuer.options()
    };
    let listening = Listening::with_issuer(&database, Arc::new(Issuer::new(options).unwrap())).await;
    let token = |roles: Value, sagas: Value| {
        let mut claims = issuer.claims("ada", &json!(["admin"]));
        claims["realm_access"] = json!({ "roles": roles });
        claims["sagas"] = sagas;
        issuer.token("PS256", &claims)
    };
    let seen = listening.get(&token(json!(["oncall"]), json!([TRADE])), "/v1/sagas").await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 3, "{seen}");
    let all = listening.get(&token(json!(["oncall"]), json!("*")), "/v1/sagas/count").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    for (roles, sagas, why) in [
        (json!(["admin"]), json!("*"), "has no role here"),
        (json!([]), json!("*"), "has no role here"),
        (json!(["oncall"]), json!(null), "is for no definition"),
    ] {
        let answer = listening.get(&token(roles, sagas), "/v1/sagas").await;
        assert!(answer.status == 403 && answer.body.contains(why), "{answer:?}");
    }
    assert_eq!(denied(&database, "oidc:ada").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_issuer_is_a_login_and_so_closes_the_door_and_opens_the_address() {
    let database = TestDatabase::migrated("oidc_door").await;
    let issuer = TestIssuer::start().await;
    let places = Places { database_url: Some(database.url.clone()), issuer: Some(issuer.known()), ..Places::default() };
    let everywhere = Listener::bind("0.0.0.0:0".parse().unwrap(), &places).await;
    assert!(everywhere.is_ok(), "somebody can be let in: {everywhere:?}");
    let listening = Listening::with_issuer(&database, issuer.known()).await;
    assert_eq!(ask(listening.address, "GET", "/v1/sagas", &[], None).await.status, 401);
    for (url, audience) in [
        ("http://login.example", "a"),
        ("ldap://127.0.0.1", "a"),
        ("https://ada:secret@login.example", "a"),
        ("https://login.example?x=1", "a"),
        ("https://login.example/#x", "a"),
        ("https://login.example", ""),
    ] {
        let options = OidcOptions { issuer: url.to_owned(), audience: audience.to_owned(), ..issuer.options() };
        assert_eq!(Issuer::new(options).unwrap_err().exit, Exit::Usage, "{url}");
    }
}

#[test]
fn serve_does_not_start_with_an_issuer_that_could_let_in_the_wrong_ones() {
    let serve = |flags: &[&str]| {
        let output = sagabus(None, &[&["serve", "--definitions", "sagas"], flags].concat());
        assert_eq!(code(&output), 2, "{flags:?}: {}", error(&output));
        error(&output)
    };
    let listen = ["--listen", "127.0.0.1:0", "--oidc-audience", "sagabus"];
    assert!(serve(&["--listen", "127.0.0.1:0", "--oidc-issuer", "https://x"]).contains("--oidc-audience"));
    assert!(serve(&["--oidc-audience", "sagabus", "--oidc-issuer", "https://x"]).contains("--listen"));
    assert!(serve(&[&listen[..], &["--oidc-issuer", "http://login.example"]].concat()).contains("neither https"));
    let roles = ["--oidc-issuer", "https://x", "--oidc-roles", "oncall=boss"];
    assert!(serve(&[&listen[..], &roles].concat()).contains("no such role"));
}
