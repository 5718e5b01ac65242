//! Pages by key: where the last one ended, never how many were before. A token is opaque and bound to what was asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Sha256, Timestamp};
use crate::store::{Console, SagaFilter};

use super::access::Caller;
use super::failure::{Exit, Failure};
use super::filter::{Condition, filter_for};
use super::read::ListedJson;
use super::sight::listed_for;

/// Bytes of a token: 8 of the digest of what is asked, 8 of the moment of the first page, 16 of the last id.
const TOKEN_BYTES: usize = 32;

/// Sagas that are looked at for a page: some 20 ms. Where few of them fit, or none, the next page goes on behind them.
const LOOKED_AT: u32 = 50_000;

/// A page, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What leads to the next page; null on the last one.
    pub next_page_token: Option<String>,
}

/// A list that may be cut, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cut<T> {
    /// The list.
    pub items: Vec<T>,
    /// Whether there is more than `limit` allowed for.
    pub is_cut: bool,
}

impl<T> Page<T> {
    /// The first `size` of `found`, which holds one more where there is a next page.
    pub(super) fn of(mut found: Vec<T>, size: usize, token: impl FnOnce(&T) -> PageToken) -> Self {
        let is_last = found.len() <= size;
        found.truncate(size);
        let next = if is_last { None } else { found.last().map(token) };
        Self { items: found, next_page_token: next.map(|token| token.text()) }
    }

    pub(super) fn map<U>(self, read: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(read).collect(), next_page_token: self.next_page_token }
    }
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    asked: [u8; 8],
    /// When the first page was asked for: `started-after=1h` means the same on all pages.
    now: Timestamp,
    last: Option<Uuid>,
}

impl PageToken {
    /// The first page of what `asked` describes.
    pub(super) fn begin(asked: &str, now: Timestamp) -> Self {
        let digest = Sha256::of(asked.as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        Self { asked: head, now, last: None }
    }

    /// The page that `token` leads to; this one when there is none.
    pub(super) fn go_on(self, token: Option<&str>) -> Result<Self, Failure> {
        let Some(token) = token else { return Ok(self) };
        let wrong = |what: &str| Failure::new(Exit::Usage, format!("pageToken: {what}"), "begin without one");
        let mut bytes = [0_u8; TOKEN_BYTES];
        if token.len() != TOKEN_BYTES * 2 || const_hex::decode_to_slice(token, &mut bytes).is_err() {
            return Err(wrong("this is none"));
        }
        if bytes[..8] != self.asked {
            return Err(wrong("it belongs to another list or filter"));
        }
        let now = i64::from_be_bytes(bytes[8..16].try_into().expect("8 bytes"));
        let last = Uuid::from_bytes(bytes[16..].try_into().expect("16 bytes"));
        Ok(Self { now: Timestamp::from_micros(now), last: Some(last), ..self })
    }

    pub(super) fn after(self, last: Uuid) -> Self {
        Self { last: Some(last), ..self }
    }

    /// Of lists by number.
    pub(super) fn after_number(self, last: i64) -> Self {
        self.after(Uuid::from_u128(u128::from(last.unsigned_abs())))
    }

    /// The id that the last page ended with.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.last
    }

    /// The number that the last page ended with.
    pub(super) fn number(&self) -> Option<i64> {
        self.last.map(|last| i64::try_from(last.as_u128()).unwrap_or(i64::MAX))
    }

    fn text(&self) -> String {
        let mut bytes = [0_u8; TOKEN_BYTES];
        bytes[..8].copy_from_slice(&self.asked);
        bytes[8..16].copy_from_slice(&self.now.micros().to_be_bytes());
        bytes[16..].copy_from_slice(self.last.unwrap_or_default().as_bytes());
        const_hex::encode(bytes)
    }
}

/// A page of sagas, newest first. A saga that was there when the first page was asked for is on exactly one of them, whatever is begun
/// meanwhile; whether it fits the conditions is judged when its page is read.
///
/// # Errors
/// The database does not answer, or the token belongs to other conditions (exit 2).
pub async fn page_of_sagas(
    console: &Console,
    conditions: &[Condition],
    caller: &Caller,
    size: usize,
    token: Option<&str>,
) -> Result<Page<ListedJson>, Failure> {
    let asked = format!("sagas {conditions:?} {:?}", caller.definitions);
    let here = PageToken::begin(&asked, crate::engine::wall_clock()).go_on(token)?;
    let mut filter = SagaFilter { before: here.last, ..filter_for(caller, conditions, here.now) };
    if filter.may_pass_over() {
        filter.down_to = console.nth_older(filter.before, LOOKED_AT).await?.map(begin_of_millisecond);
    }
    let found = console.list(&filter, size).await?;
    let Page { items, next_page_token } = Page::of(found, size, |last| here.after(last.row.id));
    let behind = filter.down_to.map(|last| here.after(last).text());
    Ok(Page { items: listed_for(console, &items, caller.sight()).await?, next_page_token: next_page_token.or(behind) })
}

/// The least id of a saga's millisecond. Of a saga that somebody may not see a token tells no more than that.
fn begin_of_millisecond(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 80 << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_and_is_bound_to_what_was_asked() {
        let now = Timestamp::from_millis(7);
        let begun = PageToken::begin("x", now);
        let text = begun.after(Uuid::from_u128(9)).text();
        let later = PageToken::begin("x", Timestamp::from_millis(8));
        assert_eq!(later.go_on(Some(&text)).unwrap(), begun.after(Uuid::from_u128(9)), "with the first page's moment");
        for wrong in ["", "xyz", &text[2..], &text.replace('0', "x")] {
            assert_eq!(begun.go_on(Some(wrong)).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        let other = PageToken::begin("y", now).go_on(Some(&text)).unwrap_err();
        assert!(other.message.contains("another list"), "{other}");
        let by_number = PageToken::begin("x", now).after_number(12).text();
        assert_eq!(begun.go_on(Some(&by_number)).unwrap().number(), Some(12));
    }

    #[test]
    fn of_a_saga_that_is_passed_over_a_token_tells_the_millisecond() {
        let id: Uuid = "0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa".parse().unwrap();
        assert_eq!(begin_of_millisecond(id).to_string(), "0199d3a0-7c1e-0000-0000-000000000000");
    }

    #[test]
    fn a_page_has_a_next_one_only_where_there_is_more() {
        let token = |_: &i32| PageToken::begin("x", Timestamp::ZERO);
        assert!(Page::of(vec![1, 2], 2, token).next_page_token.is_none());
        let page = Page::of(vec![1, 2, 3], 2, token);
        assert_eq!((page.items.len(), page.next_page_token.is_some()), (2, true));
        assert!(Page::of(Vec::new(), 2, token).next_page_token.is_none());
    }
}
