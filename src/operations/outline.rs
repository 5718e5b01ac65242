//! A statement of SQL without what may be a payload: values and comments are taken out, whoever's it is. Ours hold none, since their parameters
//! are not in their text, so there is nothing to tell apart by a name that anybody may bear.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Characters that are kept of a statement.
const KEPT: usize = 100;
/// Statements that are told beyond their first word: whatever stands in them without quotes is a name.
const TOLD: [Keyword; 7] =
    [Keyword::SELECT, Keyword::INSERT, Keyword::UPDATE, Keyword::DELETE, Keyword::WITH, Keyword::VALUES, Keyword::LOCK];

/// What the first statement does, in its first 100 characters: blanks are one, comments none, and every literal, number or quoted name is `?`;
/// of statements that take words for values, such as `SET`, the first word alone. `None` where it begins with none of SQL. Where a backslash
/// may hide where a literal ends (it depends on a setting of the session), the first word alone.
pub(super) fn outline(statement: &str) -> Option<String> {
    let mut tokens = Vec::new();
    // Postgres keeps the beginning of a long statement: what has no end is left out, and what stands before it is told.
    _ = Tokenizer::new(&PostgreSqlDialect {}, statement).tokenize_with_location_into_buf(&mut tokens);
    let mut tokens =
        tokens.into_iter().map(|token| token.token).skip_while(|token| matches!(token, Token::Whitespace(_)));
    let Some(Token::Word(first)) = tokens.next() else { return None };
    let is_told = TOLD.contains(&first.keyword) && !statement.contains("\\'");
    if first.keyword == Keyword::NoKeyword || first.quote_style.is_some() {
        return None;
    }
    let mut kept = first.value;
    for token in tokens.take_while(|token| is_told && *token != Token::SemiColon) {
        if matches!(token, Token::Whitespace(_)) {
            kept.push_str(if kept.ends_with(' ') { "" } else { " " });
        } else {
            kept.push_str(&told(token));
        }
    }
    Some(kept.trim_end().chars().take(KEPT).collect::<String>().trim_end().to_owned())
}

/// A word, a parameter such as `$1` or a sign such as `::` as it is, and anything else as a value.
fn told(token: Token) -> String {
    if let Token::Word(word) = &token
        && word.quote_style.is_none()
    {
        return word.value.clone();
    }
    let text = token.to_string();
    let is_parameter = text.strip_prefix('$').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_sign = text.chars().all(|one| one.is_ascii_punctuation() && !"'\"$".contains(one));
    if is_parameter || is_sign { text } else { "?".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_does_is_told_and_what_it_holds_is_not() {
        for (statement, told) in [
            (
                "update saga set phase = 4 where business_key = 'IBAN DE02'",
                "update saga set phase = ? where business_key = ?",
            ),
            ("-- who: DE02\nselect  $1,\n\t$2::int", "select $1, $2::int"),
            ("--\r'abc\nDE02'", ""),
            ("/* key='DE02' /* in */ it */ delete from t2 where a=1.5e3", "delete from t2 where a=?"),
            ("select 'it''s' || $$DE02$$ || $a$DE02$$ $a$", "select ? || ? || ?"),
            ("insert into \"DE02\" values (E'x', x'00', 0x1F)", "insert into ? values (?, ?, ?)"),
            ("select 'cut off, DE0", "select"),
            ("select $tag$cut off, DE0", "select"),
            ("select 1$$DE02$$", "select ??"),
            ("select $DE02", "select ?"),
            ("commit", "commit"),
            ("begin; set local app.tenant = DE02", "begin"),
            ("set app.tenant = DE02", "set"),
            ("execute find(DE02)", "execute"),
            ("select 'a\\' || 'DE02'", "select"),
            ("values('a\\',DE02,'')", "values"),
            ("select ü, 'ü', é1", "select ü, ?, é1"),
        ] {
            assert_eq!(outline(statement).unwrap_or_default(), told, "{statement}");
        }
        for nothing in ["", " ", "-- DE02", "/* DE02", "DE02", "'DE02", "\"select\" DE02"] {
            assert_eq!(outline(nothing), None, "{nothing}");
        }
        assert!(outline(&format!("select {}", "a, ".repeat(40))).unwrap().chars().count() <= KEPT);
    }

    #[test]
    fn no_letter_of_a_literal_is_ever_told() {
        let mut chance = fastrand::Rng::with_seed(7);
        let parts = [
            "select ", "'", "''", "Z", "\"", "$", "$$", "$a$", "$é$", "--", "\n", "\r", "/*", "*/", "1", " ", ";", "x",
        ];
        for _ in 0..20_000 {
            let (front, back): (String, String) = {
                let mut some =
                    || -> String { (0..chance.usize(0..6)).map(|_| parts[chance.usize(0..parts.len())]).collect() };
                (some(), some())
            };
            _ = outline(&format!("{front}é{back}"));
            for (begin, end) in [("'", "'"), ("$$", "$$"), ("$é$", "$é$"), ("/*", "*/")] {
                let within = front.replace(['\'', '$', '*', '/'], "");
                let told = outline(&format!("select {begin}Z{within}{end} {}", back.replace(['Z', '\''], "")));
                assert!(!told.unwrap_or_default().contains('Z'), "{begin} {front} {back}");
            }
        }
    }
}
