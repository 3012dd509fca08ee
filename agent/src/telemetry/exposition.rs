//! All metrics as Prometheus reads them.

use std::{fmt, sync::Arc};

use prometheus_client::{encoding::text::encode, registry::Registry};

/// Every registered metric, to be read at any time.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Arc<Registry>);

// === impl Exposition ===

impl Exposition {
    /// The type of [`Exposition::text`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Takes the registry when everything is registered.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// All metrics as they are at this moment.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}
