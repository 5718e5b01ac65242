//! HTTP beside a running engine: health, readiness, metrics. Reading only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

use crate::engine::Health;

/// The loop must have turned within this: OPERATIONS.md section 16.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// The loop's turns as they were seen last, and when they had last changed.
type Seen = Mutex<(u64, Instant)>;

/// Makes this process count. Once a process.
///
/// # Errors
/// Something else counts already.
pub fn install_metrics() -> Result<PrometheusHandle, String> {
    PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())
}

/// Answers on `address` until it is dropped.
pub async fn serve(address: SocketAddr, health: Arc<Health>, metrics: PrometheusHandle) {
    let (live, seen) = (Arc::clone(&health), Arc::new(Seen::new((health.turns(), Instant::now()))));
    let ready = Arc::clone(&health);
    let app = Router::new()
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
        .route("/metrics", get(move || async move { scrape(&health, &metrics) }));
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!(%address, "listening");
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "listener ended");
            }
        }
        Err(error) => tracing::error!(%address, %error, "cannot listen"),
    }
    // The engine goes on without it.
    std::future::pending::<()>().await;
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
