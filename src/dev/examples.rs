//! The four examples, inside the binary, and the stories that the demonstration tells with them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::{Action, Json};
use crate::definition::{Compiled, Report, Source};
use crate::wire::Received;

macro_rules! example {
    ($name:literal, [$($schema:literal),*]) => {
        (
            concat!($name, ".saga.yaml"),
            include_str!(concat!("../../sagas/", $name, ".saga.yaml")),
            &[$((concat!("../schemas/", $name, "/", $schema, ".json"), include_str!(concat!("../../schemas/", $name, "/", $schema, ".json")))),*],
        )
    };
}

type Example = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const EXAMPLES: [Example; 4] = [
    example!("trade-settlement", ["order.accepted", "booking", "reservation"]),
    example!("order-fulfilment", ["order.placed", "payment", "stock", "paymentTaken"]),
    example!("media-publish", ["media.uploaded", "transcode", "transcoded"]),
    example!("device-rollout", ["rollout.requested", "firmware", "provisioned"]),
];

/// The examples, compiled.
///
/// # Errors
/// One of them is wrong: a test says so before anybody sees it.
pub(super) fn load() -> Result<Vec<(Source, Compiled)>, Report> {
    let compile = |(file, yaml, schemas): &Example| {
        let schemas: BTreeMap<String, String> =
            schemas.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let source = Source { file: (*file).to_owned(), yaml: (*yaml).to_owned(), schemas };
        Compiled::load(&source).map(|compiled| (source, compiled))
    };
    EXAMPLES.iter().map(compile).collect()
}

/// What happens to a saga of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    /// Every service does its part.
    Smooth,
    /// One service refuses: what was done is undone.
    Refused,
    /// One service answers after its timeout: it is asked again and gives the stored answer.
    Slow,
    /// One answer comes twice.
    Twice,
    /// One answer is lost: the command is asked again.
    Lost,
    /// One service answers after patience has ended: its step was given up and undone, the late answer is covered.
    TooLate,
}

impl Story {
    const ALL: [Self; 8] =
        [Self::Smooth, Self::Refused, Self::Slow, Self::TooLate, Self::Smooth, Self::Twice, Self::Lost, Self::Smooth];

    /// The story of the `number`-th saga.
    pub(super) fn of(number: usize) -> Self {
        Self::ALL[(number / EXAMPLES.len()) % Self::ALL.len()]
    }

    /// The story that a business key tells.
    pub(super) fn told_by(key: &str) -> Self {
        key.rsplit('-').next().and_then(|number| number.parse().ok()).map_or(Self::Smooth, Self::of)
    }

    /// One word for tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smooth => "smooth",
            Self::Refused => "refused",
            Self::Slow => "slow",
            Self::Twice => "answered twice",
            Self::Lost => "answer lost",
            Self::TooLate => "too late",
        }
    }

    /// True when this command is the one that the story is about.
    pub(super) fn strikes(self, command: &Received) -> bool {
        let step = match self {
            Self::Smooth => return false,
            Self::Refused => ["risk", "stock", "moderation", "verify"],
            Self::Slow | Self::Twice | Self::Lost | Self::TooLate => ["clearing", "payment", "transcode", "firmware"],
        };
        command.action == Action::Do && step.contains(&&*command.step)
    }
}

/// How late is too late: behind the examples' patience of 5 s.
pub(super) const TOO_LATE: Duration = Duration::from_millis(6_500);
/// How slow is slow: behind the examples' timeout of 1 s.
pub(super) const SLOW: Duration = Duration::from_millis(1_500);

/// The business key of the `number`-th saga.
pub(super) fn key(number: usize) -> String {
    format!("demo-{number}")
}

/// Data that start a saga of any example.
pub(super) fn trigger_data(key: &str) -> Json {
    let data = serde_json::json!({
        "orderId": key, "mediaId": key, "deviceId": key, "account": "acme", "customer": "ada", "author": "ada",
        "firmware": "2.4.1", "amount": 100, "seconds": 90, "items": [{"sku": "lamp", "quantity": 2}],
    });
    Json::parse(data.to_string().as_bytes()).expect("serde_json writes JSON")
}

/// Reply data that fit the schemas of every example.
pub(super) fn reply_data(command: &Received) -> Json {
    let id = &command.id.to_string()[..8];
    let data = serde_json::json!({"reservationId": id, "paymentId": id, "assetId": id, "slot": id});
    Json::parse(data.to_string().as_bytes()).expect("serde_json writes JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_inside_the_binary_are_those_of_the_folder() {
        let inside = load().unwrap();
        let outside = crate::definition::read_folder(std::path::Path::new("sagas")).unwrap();
        for (source, compiled) in &outside {
            let same = inside.iter().find(|(_, inner)| inner.definition().name == compiled.definition().name).unwrap();
            assert_eq!(same.0.hash(), source.hash(), "{}", source.file);
        }
    }
}
