//! Every route once, with the role that it needs, and the document that describes them (OpenAPI 3.1): both are made from one list.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder};
use utoipa::{PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::engine::Health;
use crate::operations::Role;

use super::ask::json;
use super::guard::{Door, Needs, guard};
use super::problem::{self, Problem};
use super::{admin, changes, health, holds, locks, parked, plans, retention, saga, sagas, start};

/// What every answer says to a browser: no script, no frame, no guessing of types.
const HEADERS: [(&str, &str); 3] = [
    ("content-security-policy", "default-src 'self'"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
];

/// The routes of a role.
struct Group {
    role: Role,
    /// A token for all definitions.
    whole: bool,
    routes: OpenApiRouter<Door>,
}

/// Every route below `/v1`. What is not here is not there.
fn groups() -> [Group; 5] {
    let seeing = OpenApiRouter::new()
        .routes(routes!(sagas::list_sagas))
        .routes(routes!(sagas::count_sagas))
        .routes(routes!(saga::show_saga))
        .routes(routes!(saga::journal))
        .routes(routes!(saga::timeline))
        .routes(routes!(saga::explanation))
        .routes(routes!(saga::graph))
        .routes(routes!(saga::difference))
        .routes(routes!(sagas::find))
        .routes(routes!(sagas::stuck))
        .routes(routes!(sagas::waiting))
        .routes(routes!(sagas::failure_groups))
        .routes(routes!(sagas::failure_group))
        .routes(routes!(sagas::definitions))
        .routes(routes!(plans::list_plans))
        .routes(routes!(plans::show_approval))
        .routes(routes!(plans::show_plan))
        .routes(routes!(plans::plan_items))
        .routes(routes!(holds::list_holds))
        .routes(routes!(changes::changes));
    let seeing_all = OpenApiRouter::new()
        .routes(routes!(parked::list_parked))
        .routes(routes!(parked::sweep))
        .routes(routes!(parked::show_parked))
        .routes(routes!(locks::locks))
        .routes(routes!(retention::periods))
        .routes(routes!(retention::removable));
    let repairing = OpenApiRouter::new()
        .routes(routes!(start::start))
        .routes(routes!(saga::act))
        .routes(routes!(plans::plan))
        .routes(routes!(plans::move_plan));
    let repairing_all = OpenApiRouter::new()
        .routes(routes!(parked::move_parked))
        .routes(routes!(parked::move_parked_together))
        .routes(routes!(holds::hold))
        .routes(routes!(holds::release));
    let administering = OpenApiRouter::new()
        .routes(routes!(admin::list_tokens, admin::create_token))
        .routes(routes!(admin::revoke_token))
        .routes(routes!(admin::audit))
        .routes(routes!(plans::set_approval))
        .routes(routes!(retention::step));
    [
        Group { role: Role::Viewer, whole: false, routes: seeing },
        Group { role: Role::Viewer, whole: true, routes: seeing_all },
        Group { role: Role::Operator, whole: false, routes: repairing },
        Group { role: Role::Operator, whole: true, routes: repairing_all },
        Group { role: Role::Admin, whole: true, routes: administering },
    ]
}

/// What is linked into this binary.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VersionJson {
    /// Of Sagabus.
    version: &'static str,
}

/// Which version this is. Needs no token.
#[utoipa::path(get, path = "/version", tag = "see", responses((status = OK, body = VersionJson)))]
async fn version() -> Response {
    json(&VersionJson { version: env!("CARGO_PKG_VERSION") })
}

/// The document that describes every route below `/v1`, each with the role that it needs.
pub fn document() -> OpenApi {
    let about = InfoBuilder::new()
        .title("Sagabus")
        .version("v1")
        .description(Some("Find, explain and repair sagas. Fields are camelCase, times RFC 3339 in UTC; what is not known is refused."))
        .build();
    let mut document = OpenApiBuilder::new().info(about).build();
    for Group { role, routes, .. } in groups() {
        document.merge(secured(routes.into_openapi(), role));
    }
    document.merge(OpenApiRouter::<()>::new().routes(routes!(version)).into_openapi());
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`sagabus tokens create` makes one; or a JWT of the issuer that `serve` was told of."));
    components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer.build()).into());
    document
}

/// Each operation with its role, and with a problem for whatever goes wrong.
fn secured(mut document: OpenApi, role: Role) -> OpenApi {
    let schema = Ref::from_schema_name(Problem::name());
    let problem = ResponseBuilder::new()
        .description("What goes wrong.")
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.put].into_iter().flatten() {
            operation.security = Some(vec![SecurityRequirement::new("bearer", [role.name()])]);
            operation.responses.responses.insert("default".to_owned(), problem.clone().into());
        }
    }
    document
}

/// Everything that answers.
pub(super) fn router(door: Door, health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    let written = serde_json::to_string_pretty(&document()).expect("the document is plain data");
    let mut v1 = Router::new();
    for Group { role, whole, routes } in groups() {
        let needs = Needs { door: door.clone(), role, whole };
        let (routes, _) = routes.split_for_parts();
        v1 = v1.merge(routes.route_layer(from_fn_with_state(needs, guard)));
    }
    let seats = Arc::new(Semaphore::new(changes::FOLLOWERS));
    v1.layer(Extension(seats))
        .with_state(door)
        .route("/version", get(version))
        .route("/openapi.json", get(move || async move { document_text(written) }))
        .method_not_allowed_fallback(|| async { Problem::no_such_method() })
        .fallback(|| async { Problem::no_such_resource() })
        .merge(health::routes(health, metrics))
        .layer(from_fn(problem::write))
        .layer(axum::middleware::map_response(with_headers))
}

fn document_text(written: String) -> Response {
    (StatusCode::OK, [("content-type", "application/json")], written).into_response()
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
