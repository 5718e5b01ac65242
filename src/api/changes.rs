//! `/v1/changes`: sagas that move on, as server-sent events. Each event's id says where to go on from after a broken connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::operations::{self, Caller, ChangeJson, Desk, Follower, Joined};

use super::ask::Asked;
use super::guard::Door;
use super::problem::Problem;
use super::saga::Nothing;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Looks without news after which a client is told where it stands: a proxy would take a silent connection for a dead one.
const QUIET_LOOKS: u32 = 30;
/// Connections at once, since each looks by itself.
pub(super) const FOLLOWERS: usize = 32;

/// What one connection sends.
struct Feed {
    desk: Desk,
    caller: Caller,
    follower: Follower,
    ready: VecDeque<Event>,
    is_more: bool,
    quiet: u32,
    _permit: OwnedSemaphorePermit,
}

/// Sagas that move on, as they do: server-sent events.
///
/// `event: change` with a saga's new row; its `phase` is where the saga stands by now. Without `Last-Event-ID` it begins now; with it
/// every row since is sent once. `event: reset` says that this cannot be, and why: read the list again. Connect first, then read it.
#[utoipa::path(get, path = "/v1/changes", tag = "see",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that arrived.")),
    responses((status = OK, body = ChangeJson, content_type = "text/event-stream")))]
pub(super) async fn changes(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Extension(seats): Extension<Arc<Semaphore>>,
    Asked(Nothing {}): Asked<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = seats.try_acquire_owned();
    let permit = permit.map_err(|_| Problem::slow_down(format!("{FOLLOWERS} follow the changes already")))?;
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default()).filter(|id| !id.is_empty());
    let console = &door.desk.reading;
    let (follower, reset) = match last {
        None => (Follower::begin(console).await?, None),
        Some(id) => match Follower::join(console, id).await? {
            Joined::GoesOn(follower) => (follower, None),
            Joined::Anew(follower, why) => (follower, Some(why)),
        },
    };
    let first = match reset {
        // An event without data says where one stands, and nothing else.
        None => Event::default().id(follower.id()),
        Some(why) => {
            Event::default().event("reset").id(follower.id()).data(serde_json::json!({ "reason": why }).to_string())
        }
    };
    let ready = VecDeque::from([first]);
    let feed = Feed { desk: door.desk, caller, follower, ready, is_more: true, quiet: 0, _permit: permit };
    let events = stream::unfold(feed, |mut feed| async {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    Ok(Sse::new(events).into_response())
}

impl Feed {
    /// The next event; `None` ends the connection: the client comes back with the id that it has.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet = 0;
                return Some(event);
            }
            if !self.is_more {
                tokio::time::sleep(LOOK).await;
                self.quiet += 1;
            }
            let (rows, is_more) = match self.follower.look(&self.desk.reading).await {
                Ok(found) => found,
                Err(failure) => {
                    tracing::warn!(error = %failure, "changes cannot be followed");
                    return None;
                }
            };
            self.is_more = is_more;
            for row in rows.iter().filter(|row| self.caller.may_see(&row.definition)) {
                let data = serde_json::to_string(&operations::change_json(row)).expect("a change is plain data");
                self.ready.push_back(Event::default().event("change").id(self.follower.id_at(row)).data(data));
            }
            if self.ready.is_empty() && self.quiet >= QUIET_LOOKS {
                self.ready.push_back(Event::default().id(self.follower.id()));
            }
        }
    }
}
