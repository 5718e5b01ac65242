//! Moments as people and programs read them. The present is an argument.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::core::Timestamp;

/// The header in which an answer about a saga says when it was read: RFC 3339 in UTC, by the database's clock.
pub const NOW_HEADER: &str = "sagabus-now";

/// A moment in JSON: RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A year that RFC 3339 cannot write is shown as a number.
        let number = || text.parse().map(Timestamp::from_micros).ok();
        text.parse().ok().or_else(number).map(Self).ok_or_else(|| D::Error::custom(format!("{text:?} is no moment")))
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        text.description(Some("RFC 3339 in UTC with milliseconds, by the database's clock.")).into()
    }
}

impl ToSchema for Moment {}

/// How moments are shown to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum TimeFormat {
    /// `in 20s`, `16m02s ago`.
    #[default]
    Relative,
    /// RFC 3339 in UTC.
    Iso,
    /// Microseconds since 1970.
    Raw,
}

/// Shows moments, seen from `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How.
    pub format: TimeFormat,
    /// By the database's clock.
    pub now: Timestamp,
}

impl Times {
    /// As JSON has them.
    pub fn iso(now: Timestamp) -> Self {
        Self { format: TimeFormat::Iso, now }
    }

    /// The moment alone, for a column: `16m02s ago`, `2026-01-31T12:00:00.000Z` or `1769860800000000`.
    pub fn column(&self, at: Timestamp) -> String {
        match self.format {
            TimeFormat::Iso => at.to_string(),
            TimeFormat::Raw => at.micros().to_string(),
            TimeFormat::Relative if at > self.now => format!("in {}", span(millis_between(self.now, at))),
            TimeFormat::Relative => format!("{} ago", span(millis_between(at, self.now))),
        }
    }

    /// The moment in a sentence: `in 20s`, `at 2026-01-31T12:00:00.000Z`.
    pub fn at(&self, at: Timestamp) -> String {
        match self.format {
            TimeFormat::Iso | TimeFormat::Raw => format!("at {}", self.column(at)),
            TimeFormat::Relative => self.column(at),
        }
    }

    /// What has lasted since then: `for 16m02s`, `since 2026-01-31T12:00:00.000Z`.
    pub fn since(&self, at: Timestamp) -> String {
        match self.format {
            TimeFormat::Iso | TimeFormat::Raw => format!("since {}", self.column(at)),
            TimeFormat::Relative => format!("for {}", span(millis_between(at, self.now))),
        }
    }
}

/// Milliseconds between two moments as JSON has them, each cut to milliseconds: so an age is the same to whoever has read them there. 0
/// when the first is the later one.
pub fn millis_between(earlier: Timestamp, later: Timestamp) -> u64 {
    let millis = |at: Timestamp| at.micros().div_euclid(1_000);
    u64::try_from(millis(later).saturating_sub(millis(earlier))).unwrap_or_default()
}

/// A length of time in its two greatest units: `850ms`, `20s`, `16m02s`, `3h05m`, `2d04h`.
pub fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_greatest_units() {
        let spans = [850, 20_000, 962_000, 11_100_000, 187_200_000].map(span);
        assert_eq!(spans, ["850ms", "20s", "16m02s", "3h05m", "2d04h"]);
    }

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        for millis in [0, 1_700_000_000_123, 253_402_300_800_000] {
            let moment = Moment(Timestamp::from_millis(millis));
            let written = serde_json::to_string(&moment).unwrap();
            assert_eq!(serde_json::from_str::<Moment>(&written).unwrap(), moment, "{written}");
        }
        assert!(serde_json::from_str::<Moment>("\"yesterday\"").is_err());
    }

    #[test]
    fn an_age_is_the_same_to_whoever_has_read_the_moments_in_json() {
        for (earlier, later, millis) in [(999, 2_000, 2), (1_000, 2_999, 1), (-1, 0, 1), (5_000, 4_000, 0)] {
            let [earlier, later] = [earlier, later].map(Timestamp::from_micros);
            let read = |at| serde_json::from_str::<Moment>(&serde_json::to_string(&Moment(at)).unwrap()).unwrap().0;
            assert_eq!(millis_between(earlier, later), millis);
            assert_eq!(millis_between(read(earlier), read(later)), millis);
        }
    }

    #[test]
    fn a_moment_is_told_in_each_format() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let told = |format, at| {
            let times = Times { format, now };
            [times.column(at), times.at(at), times.since(at)]
        };
        let before = Timestamp::from_millis(1_699_999_980_000);
        assert_eq!(told(TimeFormat::Relative, before), ["20s ago", "20s ago", "for 20s"]);
        assert_eq!(told(TimeFormat::Relative, now.plus_millis(90_000))[1], "in 1m30s");
        assert_eq!(told(TimeFormat::Iso, before)[1], "at 2023-11-14T22:13:00.000Z");
        assert_eq!(told(TimeFormat::Raw, before)[2], "since 1699999980000000");
    }
}
