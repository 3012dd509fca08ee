//! The port: what may be seen by everybody on the node.

use std::sync::Arc;

use hyper::{Method, Request, StatusCode, body::Incoming};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::sync::mpsc;

use super::{
    Readiness, Request as Question,
    http::{Answer, ask, of_type, text},
};

/// Answers the clients of the port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    registry: Arc<Registry>,
    requests: mpsc::Sender<Question>,
}

// === impl Port ===

impl Port {
    pub(super) fn new(registry: Arc<Registry>, requests: mpsc::Sender<Question>) -> Self {
        Self { registry, requests }
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Answer {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here\n");
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/readyz" => self.readiness().await,
            "/livez" => text(StatusCode::OK, "alive\n"),
            _ => text(StatusCode::NOT_FOUND, "There are /metrics, /readyz and /livez\n"),
        }
    }

    fn metrics(&self) -> Answer {
        let mut metrics = String::new();
        match encode(&mut metrics, &self.registry) {
            Ok(()) => of_type(StatusCode::OK, OPEN_METRICS, metrics.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn readiness(&self) -> Answer {
        match ask(&self.requests, Question::Readiness).await {
            Ok(Readiness::Ready) => text(StatusCode::OK, "ready\n"),
            Ok(Readiness::Waiting(reasons)) => text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
            Err(answer) => answer,
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
