//! Many sagas: lists, counts, what is found, what went wrong; definitions.

#![expect(clippy::result_large_err, reason = "a problem is made once a request, and is its answer")]
#![expect(unused_qualifications, reason = "the macro `utoipa::path` writes the names of parameters in full")]

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::wall_clock;
use crate::operations::{
    self, Caller, Condition, Conditions, CountJson, Cut, DefinitionJson, FailureGroup, FoundJson, ListedJson, Page,
    TimeFormat, Trouble, WaitingJson,
};

use super::ask::{Asked, Named, json, size};
use super::guard::Door;
use super::problem::Problem;

/// Which sagas: those for which everything is true that is said.
macro_rules! which {
    ($(#[$meta:meta])* $name:ident { $($(#[$more_meta:meta])* $more:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize, IntoParams)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            /// Only sagas in this phase.
            #[param(nullable = false, pattern = "^(running|compensating|stuck|paused|completed|compensated|compensated_with_skips|cancelled|abandoned)$")]
            phase: Option<String>,
            /// Only sagas of this definition.
            #[param(nullable = false)]
            definition: Option<String>,
            /// Only sagas whose business key begins so: `order-*`.
            #[param(nullable = false, pattern = r"^[^\x00]*\*$")]
            key: Option<String>,
            /// Only sagas in which this went wrong first.
            #[param(nullable = false)]
            code: Option<String>,
            /// Only sagas begun then or later: RFC 3339, or how long ago, such as `1h30m`.
            #[param(nullable = false)]
            started_after: Option<String>,
            /// Only sagas begun earlier.
            #[param(nullable = false)]
            started_before: Option<String>,
            $($(#[$more_meta])* $more: $kind,)*
        }

        impl $name {
            fn conditions(&self) -> Result<Vec<Condition>, Problem> {
                let said = Conditions {
                    phase: self.phase.clone(),
                    definition: self.definition.clone(),
                    key: self.key.clone(),
                    code: self.code.clone(),
                    started_after: self.started_after.clone(),
                    started_before: self.started_before.clone(),
                };
                said.read().map_err(Problem::invalid)
            }
        }
    };
}

which! { Which {} }

which! { WhichPage {
    /// Items of the page: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    page_size: Option<usize>,
    /// `nextPageToken` of the page before, with the same filter.
    #[param(nullable = false, pattern = "^[0-9a-f]{64}$")]
    page_token: Option<String>,
} }

which! { WhichCut {
    /// At most this many: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
} }

/// A page of anything.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paged {
    /// Items of the page: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    pub(super) page_size: Option<usize>,
    /// `nextPageToken` of the page before.
    #[param(nullable = false, pattern = "^[0-9a-f]{64}$")]
    pub(super) page_token: Option<String>,
}

/// How much of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Limited {
    /// At most this many: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What is at hand.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AtHand {
    /// A saga's id, a business key, a command's id, a trace id, or `TOPIC/PARTITION/OFFSET`.
    #[param(min_length = 1)]
    q: String,
    /// How many sagas' triggers are looked through: 10000, at most 100000.
    #[param(nullable = false, minimum = 0, maximum = 100_000)]
    newest: Option<usize>,
    /// How sentences tell moments: `iso`, which it is when nothing is said, `relative` or `raw`.
    #[param(inline, nullable = false)]
    time_format: Option<TimeFormat>,
}

/// Which sagas' failures.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Newest {
    /// Look at this many sagas, the newest of those that failed: 1000, at most 10000.
    #[param(nullable = false, minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
}

impl Newest {
    fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(1_000) {
            limit @ 1..=10_000 => Ok(limit),
            _ => Err(Problem::invalid("limit is 1 to 10000")),
        }
    }
}

/// Sagas, newest first.
///
/// Pages go by key: a saga that was there when the first page was asked for is on exactly one page, whatever is begun meanwhile. With a filter a
/// page may be short, or empty, although another follows: it is what fits of the 50,000 sagas that were looked at.
#[utoipa::path(get, path = "/v1/sagas", tag = "see", params(WhichPage), responses((status = OK, body = Page<ListedJson>)))]
pub(super) async fn list_sagas(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<WhichPage>,
) -> Result<Response, Problem> {
    let size = size("pageSize", asked.page_size)?;
    let token = asked.page_token.as_deref();
    let page = operations::page_of_sagas(&door.desk.reading, &asked.conditions()?, &caller, size, token).await?;
    Ok(json(&page))
}

/// How many sagas there are, by definition and phase.
#[utoipa::path(get, path = "/v1/sagas/count", tag = "see", params(Which), responses((status = OK, body = Vec<CountJson>)))]
pub(super) async fn count_sagas(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Which>,
) -> Result<Response, Problem> {
    let filter = operations::filter_for(&caller, &asked.conditions()?, wall_clock());
    Ok(json(&operations::count(&door.desk.reading, &filter).await?))
}

/// Finds sagas and parked messages by whatever is at hand.
#[utoipa::path(get, path = "/v1/find", tag = "see", params(AtHand), responses((status = OK, body = FoundJson)))]
pub(super) async fn find(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<AtHand>,
) -> Result<Response, Problem> {
    let newest = asked.newest.unwrap_or(10_000);
    if newest > 100_000 || asked.q.is_empty() || asked.q.contains('\0') {
        return Err(Problem::invalid("q is some text; newest is at most 100000"));
    }
    let seen = (asked.time_format.unwrap_or(TimeFormat::Iso), caller.sight());
    let mut found = operations::find(&door.desk.reading, door.desk.kafka.clone(), &asked.q, newest, seen).await?;
    found.sagas.retain(|found| caller.may_see(&found.saga.definition));
    if caller.check_whole().is_err() {
        // Nobody can say which definition a parked message is for.
        found.parked.clear();
    }
    if found.sagas.is_empty() && found.parked.is_empty() {
        return Err(operations::Failure::new(operations::Exit::NotFound, "nothing is found", "").into());
    }
    Ok(json(&found))
}

/// Sagas that wait for a person, the longest first.
#[utoipa::path(get, path = "/v1/stuck", tag = "trouble", params(WhichCut), responses((status = OK, body = Cut<Trouble>)))]
pub(super) async fn stuck(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<WhichCut>,
) -> Result<Response, Problem> {
    let filter = operations::filter_for(&caller, &asked.conditions()?, wall_clock());
    let limit = size("limit", asked.limit)?;
    let (items, is_cut) = operations::stuck(&door.desk.reading, &filter, limit, caller.sight()).await?;
    Ok(json(&Cut { items, is_cut }))
}

/// Steps that wait for a signal or an approval, the longest first, of the newest sagas that could have one.
#[utoipa::path(get, path = "/v1/waiting", tag = "see", params(WhichCut), responses((status = OK, body = Cut<WaitingJson>)))]
pub(super) async fn waiting(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<WhichCut>,
) -> Result<Response, Problem> {
    let filter = operations::filter_for(&caller, &asked.conditions()?, wall_clock());
    let limit = size("limit", asked.limit)?;
    let (items, is_cut) = operations::waiting(&door.desk.reading, &filter, limit, caller.sight()).await?;
    Ok(json(&Cut { items, is_cut }))
}

/// What goes wrong in sagas that have not ended, in groups: definition, step, direction, code.
#[utoipa::path(get, path = "/v1/failure-groups", tag = "trouble", params(Newest), responses((status = OK, body = Cut<FailureGroup>)))]
pub(super) async fn failure_groups(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Newest>,
) -> Result<Response, Problem> {
    let (mut found, is_cut) = operations::failures(&door.desk.reading, asked.limit()?, caller.sight()).await?;
    found.retain(|trouble| caller.may_see(&trouble.definition));
    Ok(json(&Cut { items: operations::groups(&found), is_cut }))
}

/// The sagas of one group of failures, and what went wrong in each.
#[utoipa::path(get, path = "/v1/failure-groups/{id}", tag = "trouble",
    params(("id" = String, Path, description = "The group's id."), Newest), responses((status = OK, body = Cut<Trouble>)))]
pub(super) async fn failure_group(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Asked(asked): Asked<Newest>,
) -> Result<Response, Problem> {
    let may_see = |definition: &str| caller.may_see(definition);
    let found = operations::group(&door.desk.reading, &id, asked.limit()?, caller.sight(), may_see).await;
    let (items, is_cut) = found?;
    Ok(json(&Cut { items, is_cut }))
}

/// Every definition that was ever deployed.
#[utoipa::path(get, path = "/v1/definitions", tag = "see", params(Limited), responses((status = OK, body = Cut<DefinitionJson>)))]
pub(super) async fn definitions(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Limited>,
) -> Result<Response, Problem> {
    let limit = size("limit", asked.limit)?;
    let (mut items, is_cut) = operations::definitions(&door.desk.reading, limit).await?;
    items.retain(|definition| caller.may_see(&definition.name));
    Ok(json(&Cut { items, is_cut }))
}
