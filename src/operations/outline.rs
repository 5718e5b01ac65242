//! A statement of SQL without what may be a payload: values and comments are taken out, whoever's it is. Ours hold none, since their parameters
//! are not in their text, so there is nothing to tell apart by a name that anybody may bear.

/// Characters that are kept of a statement.
const KEPT: usize = 100;

/// What a statement does, in its first 100 characters: blanks are one, comments none, and every literal, number or quoted name is `?`. `None`
/// where nothing is left. Where a backslash may hide where a literal ends (it depends on a setting of the session), the first word alone.
pub(super) fn outline(statement: &str) -> Option<String> {
    if statement.contains("\\'") {
        let word: String = statement.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
        return Some(word).filter(|word| !word.is_empty());
    }
    let mut kept = String::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let (piece, length) = piece(rest, first, kept.chars().last());
        rest = rest.get(length..).unwrap_or_default();
        match piece {
            Piece::Blank if kept.is_empty() || kept.ends_with(' ') => {}
            Piece::Blank => kept.push(' '),
            Piece::Value => kept.push('?'),
            Piece::Text(text) => kept.push_str(text),
        }
        if kept.chars().count() > KEPT {
            break;
        }
    }
    let kept: String = kept.trim_end().chars().take(KEPT).collect();
    Some(kept).filter(|kept| !kept.is_empty())
}

enum Piece<'a> {
    /// White space, or a comment.
    Blank,
    /// What may be anything.
    Value,
    /// What says what is done.
    Text(&'a str),
}

/// What begins here, and how many bytes it takes. What has no end, since Postgres keeps the beginning of a long statement, goes to the end.
fn piece(rest: &str, first: char, before: Option<char>) -> (Piece<'_>, usize) {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let after = |end: &str, from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        tail.find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    let while_word = || rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
    match first {
        _ if rest.starts_with("--") => (Piece::Blank, after("\n", 2)),
        _ if rest.starts_with("/*") => (Piece::Blank, comment(rest)),
        _ if first.is_whitespace() => (Piece::Blank, first.len_utf8()),
        '\'' => (Piece::Value, after("'", 1)),
        '"' => (Piece::Value, after("\"", 1)),
        '$' if !before.is_some_and(is_word) => match dollar_tag(rest) {
            Some(tag) => (Piece::Value, after(tag, tag.len())),
            None => (Piece::Text(&rest[..while_word()]), while_word()),
        },
        '0'..='9' => (Piece::Value, rest.find(|letter| !is_word(letter) && letter != '.').unwrap_or(rest.len())),
        _ if is_word(first) => (Piece::Text(&rest[..while_word()]), while_word()),
        _ => (Piece::Text(&rest[..first.len_utf8()]), first.len_utf8()),
    }
}

/// Comments hold comments.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `$$` or `$tag$`; a parameter such as `$1` is none.
fn dollar_tag(rest: &str) -> Option<&str> {
    let length = rest.get(1..)?.find('$')? + 2;
    let tag = rest.get(..length)?;
    let name = tag.trim_matches('$');
    let is_name = !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|one| one.is_alphanumeric() || one == '_');
    is_name.then_some(tag)
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
            ("/* key='DE02' /* in */ it */ delete from t2 where a=1.5e3", "delete from t2 where a=?"),
            ("select 'it''s' || $$DE02$$ || $a$DE02$$ $a$", "select ?? || ? || ?"),
            ("insert into \"DE02\" values (E'x', x'00', 0x1F)", "insert into ? values (E?, x?, ?)"),
            ("select 'cut off, DE0", "select ?"),
            ("select $tag$cut off, DE0", "select ?"),
            ("commit", "commit"),
            ("select 'a\\' || 'DE02'", "select"),
            ("values('a\\',DE02,'')", "values"),
            ("select ü, 'ü', é1", "select ü, ?, é1"),
        ] {
            assert_eq!(outline(statement).as_deref(), Some(told), "{statement}");
        }
        for nothing in ["", " ", "-- DE02", "/* DE02"] {
            assert_eq!(outline(nothing), None, "{nothing}");
        }
        assert_eq!(outline(&"select a, ".repeat(40)).unwrap().chars().count(), KEPT);
    }

    #[test]
    fn no_letter_of_a_literal_is_ever_told() {
        let mut chance = fastrand::Rng::with_seed(7);
        let parts = ["select ", "'", "''", "Z", "\"", "$", "$$", "$a$", "--", "\n", "/*", "*/", "1", " ", ";", "x"];
        for _ in 0..20_000 {
            let (front, back): (String, String) = {
                let mut some =
                    || -> String { (0..chance.usize(0..6)).map(|_| parts[chance.usize(0..parts.len())]).collect() };
                (some(), some())
            };
            _ = outline(&format!("{front}é{back}"));
            let told = outline(&format!("select 'Z{}' {}", front.replace('\'', ""), back.replace(['Z', '\''], "")));
            assert!(!told.unwrap_or_default().contains('Z'), "{front} {back}");
        }
    }
}
