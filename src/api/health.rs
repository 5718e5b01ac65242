//! Health, readiness, metrics: what supervisors ask, without a token.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;

use crate::engine::Health;

/// The loop must have turned within this: OPERATIONS.md section 16.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// The loop's turns as they were seen last, and when they had last changed.
type Seen = Mutex<(u64, Instant)>;

/// `/healthz`, `/readyz` and `/metrics`.
pub(super) fn routes(health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    let (live, seen) = (Arc::clone(&health), Arc::new(Seen::new((health.turns(), Instant::now()))));
    let ready = Arc::clone(&health);
    Router::new()
        .route(
            "/healthz",
            get(move || {
                let is_live = is_live(live.turns(), &seen);
                async move { answer(is_live, "the loop turns", "the loop has not turned for 30 s") }
            }),
        )
        .route(
            "/readyz",
            get(move || async move { answer(ready.is_ready(), "ready", "not ready: connecting or draining") }),
        )
        .route("/metrics", get(move || async move { scrape(&health, &metrics) }))
}

fn is_live(turns: u64, seen: &Seen) -> bool {
    let (now, mut seen) = (Instant::now(), seen.lock().expect("nothing panics while it looks"));
    if seen.0 != turns {
        *seen = (turns, now);
    }
    now - seen.1 < LIVE_WITHIN
}

fn answer(is_well: bool, well: &'static str, unwell: &'static str) -> impl IntoResponse {
    if is_well { (StatusCode::OK, well) } else { (StatusCode::SERVICE_UNAVAILABLE, unwell) }
}

fn scrape(health: &Health, metrics: &PrometheusHandle) -> impl IntoResponse + use<> {
    metrics.run_upkeep();
    let version = env!("CARGO_PKG_VERSION");
    let ready = u8::from(health.is_ready());
    let build = format!(
        "# HELP sagabus_build_info This binary.\n# TYPE sagabus_build_info gauge\nsagabus_build_info{{version=\"{version}\"}} 1\n\
         # HELP sagabus_ready Whether the engine is registered and knows where to read.\n# TYPE sagabus_ready gauge\nsagabus_ready {ready}\n"
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], build + &metrics.render())
}
