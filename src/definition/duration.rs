//! Lengths of time as authors write them: `500ms`, `30s`, `5m`, `1h30m`, `2d`.

/// Milliseconds of `text`; `None` when it is not a length of time.
pub fn parse(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..units] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = &rest[units..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lengths_of_time_add_up() {
        assert_eq!(parse("1h30m"), Some(5_400_000));
        assert_eq!(parse("500ms"), Some(500));
        assert_eq!(parse("2d"), Some(172_800_000));
    }

    #[test]
    fn a_bare_number_or_an_unknown_unit_is_no_length_of_time() {
        for text in ["", "30", "s", "1 h", "1y", "1e3s", "99999999999999999999d", "-1s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
