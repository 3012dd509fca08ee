//! The kernel programs' own log lines, passed on to the agent's log.

use agent_common::{Count, names::map::LOGS};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use tokio::io::unix::AsyncFd;

use super::{KernelError, ring};

/// The ring of log lines.
pub(super) struct Lines(AsyncFd<EbpfLogger<ToTracing>>);

struct ToTracing;

// === impl Lines ===

impl Lines {
    /// Needs a tokio runtime. None when the programs hold no log statements.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Option<Self>, KernelError> {
        let Ok(logger) = EbpfLogger::init_with_logger(ebpf, ToTracing) else {
            return Ok(None);
        };
        ring::watch(logger, LOGS).map(|ring| Some(Self(ring)))
    }

    /// Passes lines on until it is dropped.
    pub(super) async fn forward(mut self) {
        loop {
            let Ok(mut ready) = self.0.readable_mut().await else {
                return;
            };
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }
}

// === impl ToTracing ===

impl Log for ToTracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        tracing::debug!(target: "weft::program", "{}", with_label(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Names the reason at the end of a line: the programs tell its number only, since text costs them instructions.
fn with_label(line: String) -> String {
    let named = line.rsplit_once(REASON).and_then(|(head, number)| {
        let reason = Count::from_index(number.parse().ok()?)?;
        Some(format!("{head}{REASON}{}", reason.label()))
    });
    named.unwrap_or(line)
}

const REASON: &str = ": reason ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_by_name() {
        let line = format!("port 80 passes: reason {}", Count::Inbound.index());
        assert_eq!(with_label(line), "port 80 passes: reason inbound");
        assert_eq!(with_label("leg to port 80".into()), "leg to port 80");
        assert_eq!(with_label("x: reason 9999".into()), "x: reason 9999");
    }
}
