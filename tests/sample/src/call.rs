//! `sample call` and `sample probe`: ask again and again, tell each outcome as a line of JSON, and count.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use crate::{
    client::{Answer, Client, Target},
    stopped,
};

/// Call a server and print each outcome as a line of JSON, then how many there were
///
/// Fails when a call failed.
#[derive(Args)]
pub(crate) struct Call {
    /// http://host:port/path, h2:// (HTTP/2 in plaintext), grpc://, tcp:// or server-first://host:port
    target: Target,

    /// How many calls
    #[arg(long, default_value_t = 1, conflicts_with = "until_stopped")]
    count: u64,

    /// Call until SIGTERM
    #[arg(long)]
    until_stopped: bool,

    /// From the end of a call to the beginning of the next
    #[arg(long, value_name = "TIME", default_value = "0s")]
    interval: humantime::Duration,

    /// How long a call may take, with its connection
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: humantime::Duration,

    /// A connection for each call
    #[arg(long)]
    fresh: bool,

    /// Print only calls that fail, and the last line
    #[arg(long)]
    quiet: bool,
}

/// Call once, print nothing, and fail as the call does
#[derive(Args)]
pub(crate) struct Probe {
    /// As `call` takes it
    target: Target,
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    failed: u64,
    longest: Duration,
}

// === impl Call ===

impl Call {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = Client::new(self.target.clone());
        let mut tally = Tally::default();
        let stopped = stopped();
        tokio::pin!(stopped);
        while self.until_stopped || tally.calls < self.count {
            let start = Instant::now();
            let outcome = tokio::select! {
                _ = &mut stopped => break,
                outcome = tokio::time::timeout(self.timeout.into(), client.call()) => outcome,
            };
            let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {}", self.timeout)));
            let took = start.elapsed();
            tally.count(outcome.is_ok(), took);
            if outcome.is_err() || !self.quiet {
                tell(&line(tally.calls, took, &outcome))?;
            }
            if self.fresh || outcome.is_err() {
                client.hang_up();
            }
            if !self.interval.is_zero() {
                tokio::time::sleep(self.interval.into()).await;
            }
        }
        tell(&json!({
            "calls": tally.calls,
            "failed": tally.failed,
            "longest_ms": milliseconds(tally.longest),
        }))?;
        Ok(if tally.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

// === impl Probe ===

impl Probe {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        Client::new(self.target).call().await?;
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, good: bool, took: Duration) {
        self.calls += 1;
        self.failed += u64::from(!good);
        self.longest = self.longest.max(took);
    }
}

fn line(call: u64, took: Duration, outcome: &anyhow::Result<Answer>) -> serde_json::Value {
    let ms = milliseconds(took);
    match outcome {
        Ok(answer) => {
            json!({"call": call, "ms": ms, "pod": answer.pod, "client": answer.client, "answer": answer.said})
        }
        Err(error) => json!({"call": call, "ms": ms, "error": format!("{error:#}")}),
    }
}

/// Written at once: whoever follows the log wants to see a failure when it happens.
fn tell(line: &serde_json::Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}
