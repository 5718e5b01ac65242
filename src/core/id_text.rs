//! Ids of foreign events within journal rows. Most are UUIDs in their usual form, which take 17 bytes as numbers and 37 as text; whatever else
//! an id is passes as it came. Where people may read it, every id is a text.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// An id as it is stored: the numbers of the variants are part of every row.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    Text(&'a str),
    Uuid([u8; 16]),
}

impl<'a> Stored<'a> {
    fn of(id: &'a str) -> Self {
        // Only what comes back as it was: lower case, with hyphens.
        let same = |uuid: &Uuid| *id == *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer());
        match Uuid::try_parse(id).ok().filter(same) {
            Some(uuid) => Self::Uuid(uuid.into_bytes()),
            None => Self::Text(id),
        }
    }

    fn text(&self) -> Arc<str> {
        match self {
            Self::Text(text) => Arc::from(*text),
            Self::Uuid(bytes) => {
                Arc::from(&*Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }
    }
}

pub(super) fn serialize<S: Serializer>(id: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { serializer.serialize_str(id) } else { Stored::of(id).serialize(serializer) }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    if deserializer.is_human_readable() {
        Arc::<str>::deserialize(deserializer)
    } else {
        Ok(Stored::deserialize(deserializer)?.text())
    }
}

/// The same of an id that an event may be without.
pub(super) mod optional {
    use super::{Arc, Deserialize, Deserializer, Serialize, Serializer, Stored};

    pub(in super::super) fn serialize<S: Serializer>(id: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            id.serialize(serializer)
        } else {
            id.as_deref().map(Stored::of).serialize(serializer)
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<str>>, D::Error> {
        if deserializer.is_human_readable() {
            Option::deserialize(deserializer)
        } else {
            Ok(Option::<Stored<'_>>::deserialize(deserializer)?.map(|stored| stored.text()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super")]
        one: Arc<str>,
        #[serde(with = "super::optional")]
        other: Option<Arc<str>>,
    }

    #[test]
    fn an_id_comes_back_as_it_was_and_a_uuid_takes_seventeen_bytes() {
        let uuid = "0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa";
        let cases = [
            (uuid, 17),
            ("0199D3A0-7c1e-7b52-9a41-6f0c2d9e11aa", 38),
            ("0199d3a07c1e7b529a416f0c2d9e11aa", 34),
            ("{0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa}", 40),
            ("r1", 4),
            ("", 2),
        ];
        for (id, bytes) in cases {
            let both = Both { one: id.into(), other: Some(id.into()) };
            let stored = postcard::to_stdvec(&both).unwrap();
            assert_eq!(stored.len(), 2 * bytes + 1, "{id}");
            assert_eq!(postcard::from_bytes::<Both>(&stored).unwrap(), both);
            let text = serde_json::to_string(&both).unwrap();
            assert_eq!(text, format!(r#"{{"one":"{id}","other":"{id}"}}"#), "where people read it, it is a text");
            assert_eq!(serde_json::from_str::<Both>(&text).unwrap(), both);
        }
        let none = Both { one: uuid.into(), other: None };
        assert_eq!(postcard::from_bytes::<Both>(&postcard::to_stdvec(&none).unwrap()).unwrap(), none);
    }
}
