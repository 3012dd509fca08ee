//! The port: what may be seen by everybody on the node.

use hyper::{Method, Request, StatusCode, body::Incoming};
use tokio::sync::mpsc;

use super::{
    Readiness, Request as Question,
    http::{Answer, ask, of_type, text},
};
use crate::telemetry::Exposition;

/// Answers the clients of the port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    exposition: Exposition,
    requests: mpsc::Sender<Question>,
}

// === impl Port ===

impl Port {
    pub(super) fn new(exposition: Exposition, requests: mpsc::Sender<Question>) -> Self {
        Self { exposition, requests }
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
        match self.exposition.text() {
            Ok(metrics) => of_type(StatusCode::OK, Exposition::CONTENT_TYPE, metrics.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn readiness(&self) -> Answer {
        match ask(&self.requests, Question::Readiness).await {
            Ok(Readiness::Ready) => text(StatusCode::OK, "ready\n"),
            Ok(Readiness::Stale(reason)) => text(StatusCode::OK, format!("ready, stale: {reason}\n")),
            Ok(Readiness::Waiting(reasons)) => text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
            Err(answer) => answer,
        }
    }
}
