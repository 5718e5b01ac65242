//! HTTP beside a running engine: thin over `operations`, as the command line is. Health and metrics for supervisors; everything else
//! below `/v1`, for whoever shows a token.

mod admin;
mod ask;
mod changes;
mod guard;
mod health;
mod holds;
mod locks;
mod parked;
mod plans;
mod problem;
mod retention;
mod router;
mod saga;
mod sagas;
mod start;

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use crate::engine::Health;
use crate::operations::{self, Exit, Failure, Places};

use guard::Door;

pub use router::document;

/// Makes this process count. Once a process.
///
/// # Errors
/// Something else counts already.
pub fn install_metrics() -> Result<PrometheusHandle, String> {
    PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())
}

/// An address that is listened on, and what answers there.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    door: Door,
}

impl Listener {
    /// Listens, and answers once it is served. An address that others reach needs a token to have been made, or an issuer of logins:
    /// else everybody could act, or nobody.
    ///
    /// # Errors
    /// The address is taken or not this machine's (exit 2), nobody could show a token (2), the database does not answer (6).
    pub async fn bind(address: SocketAddr, places: &Places) -> Result<Self, Failure> {
        let door = Door::new(places.desk()?, address);
        if !door.is_local {
            operations::check_reachable(&door.desk).await?;
        }
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|error| Failure::new(Exit::Usage, format!("listen on {address}: {error}"), ""))?;
        Ok(Self { listener, door })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self, health: Arc<Health>, metrics: PrometheusHandle) {
        let app = router::router(self.door, health, metrics);
        tracing::info!(address = ?self.listener.local_addr().ok(), "listening");
        if let Err(error) = axum::serve(self.listener, app).await {
            tracing::error!(%error, "listener ended");
        }
        // The engine goes on without it.
        std::future::pending::<()>().await;
    }
}
