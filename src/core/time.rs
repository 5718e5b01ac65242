//! A moment by the database's clock. Arithmetic saturates: a deadline in the year 9999 is a deadline, not a panic.

use std::fmt;
use std::str::FromStr;

use chrono::Datelike as _;
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC, by the database's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch: earlier than every moment that a saga can know.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` microseconds after the Unix epoch.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment `millis` milliseconds after the Unix epoch (the unit of a Kafka record's timestamp).
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the Unix epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This moment and `millis` milliseconds more.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        let micros = i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self(self.0.saturating_add(micros))
    }

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0) / 1_000).unwrap_or(0)
    }
}

/// What a text is that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time such as 2026-01-31T12:00:00Z")]
pub struct NoTimestamp;

impl FromStr for Timestamp {
    type Err = NoTimestamp;

    /// Reads RFC 3339.
    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        let moment = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| NoTimestamp)?;
        Ok(Self(moment.timestamp_micros()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, as people and headers read it; the bare number when the year has no RFC 3339 form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(moment) if (0..=9_999).contains(&moment.year()) => {
                f.write_str(&moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
            }
            Some(_) | None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_overflowing() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.plus_millis(u64::MAX), end);
        assert_eq!(Timestamp::ZERO.millis_since(end), 0);
    }

    #[test]
    fn moments_are_milliseconds_apart() {
        let moment = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!((moment.micros(), Timestamp::from_micros(moment.micros())), (1_700_000_000_123_000, moment));
        assert_eq!(moment.plus_millis(250).millis_since(moment), 250);
        assert_eq!(moment.millis_since(moment.plus_millis(250)), 0);
    }

    #[test]
    fn a_moment_is_shown_and_read_as_rfc_3339() {
        let moment = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!("2023-11-15T00:13:20.123+02:00".parse(), Ok(moment));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(NoTimestamp));
    }

    #[test]
    fn a_moment_whose_year_rfc_3339_cannot_write_is_shown_as_a_number() {
        for (seconds, shown) in [
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800, "253402300800000000"),
            (-62_167_219_200, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_201, "-62167219201000000"),
        ] {
            assert_eq!(Timestamp::from_millis(seconds * 1_000).to_string(), shown);
        }
    }
}
