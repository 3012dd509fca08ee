//! The log of a process, on standard error.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts the log; to be called once.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(&config.log)
        .with_context(|| format!("--log {:?} is neither a level nor a filter", config.log))?;
    // It calls each failed request an error, again and again; whoever asked says what comes of it.
    let silent = "kube_client::client::builder=off".parse().context("no directive")?;
    let filter = filter.add_directive(silent);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
