//! The loads: what is done to a target for a while, and what came of it.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{
    program::{self, Cpu},
    release,
    target::Target,
};

/// A kind of load. Its unit is what CPU time is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Load {
    /// HTTP/1.1, answers of 1 KiB, 64 connections; the unit is a request.
    Requests64,
    /// As before, 2 connections.
    Requests2,
    /// Streams read as fast as they come; the unit is a gigabyte.
    Bulk,
    /// A connection for each request; the unit is a connection.
    Connections,
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) units: f64,
    pub(super) seconds: f64,
    pub(super) latency: Option<Latency>,
    pub(super) errors: u64,
}

/// How long requests took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What the script below makes wrk print.
#[derive(Deserialize)]
struct Summary {
    requests: u64,
    microseconds: f64,
    errors: u64,
    p50: f64,
    p99: f64,
}

// === impl Load ===

impl Load {
    pub(super) const ALL: [Self; 4] = [Self::Requests64, Self::Requests2, Self::Bulk, Self::Connections];

    /// Loads `target`. `folder` is for the load's own files.
    pub(super) fn run(self, target: &Target<'_>, duration: Duration, folder: &Path) -> Result<Outcome> {
        match self {
            Self::Requests64 => wrk(target, duration, folder, &["-c64"]),
            Self::Requests2 => wrk(target, duration, folder, &["-c2"]),
            Self::Bulk => bulk(target, duration),
            Self::Connections => wrk(target, duration, folder, &["-c16", "-H", "Connection: close"]),
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Requests64 => "HTTP/1.1, 1 KiB, 64 connections",
            Self::Requests2 => "HTTP/1.1, 1 KiB, 2 connections",
            Self::Bulk => "bulk, 4 streams",
            Self::Connections => "new connections, one request each, 16 at a time",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Requests64 | Self::Requests2 => "request",
            Self::Bulk => "GB",
            Self::Connections => "connection",
        }
    }
}

fn wrk(target: &Target<'_>, duration: Duration, folder: &Path, arguments: &[&str]) -> Result<Outcome> {
    let script = folder.join("wrk.lua");
    fs::write(&script, SCRIPT)?;
    let mut command = Command::new("wrk");
    command
        .arg("-t1")
        .args(arguments)
        .arg(format!("-d{}", duration.as_secs()))
        .arg("-s")
        .arg(&script);
    command.arg(format!("http://{}/", target.address));
    let printed = program::output(target.client, Cpu::Load, command)?;
    let line = printed.lines().last().context("wrk prints a summary")?;
    let summary: Summary = serde_json::from_str(line).with_context(|| format!("wrk prints:\n{printed}"))?;
    Ok(Outcome {
        units: summary.requests as f64,
        seconds: summary.microseconds / 1e6,
        latency: Some(Latency {
            p50: summary.p50,
            p99: summary.p99,
        }),
        errors: summary.errors,
    })
}

fn bulk(target: &Target<'_>, duration: Duration) -> Result<Outcome> {
    let mut command = Command::new(release("load"));
    command
        .arg("bulk")
        .arg(target.address.to_string())
        .args(["4", &duration.as_secs().to_string()]);
    let printed = program::output(target.client, Cpu::Load, command)?;
    let bytes: u64 = printed.trim().parse().context("the load prints its bytes")?;
    Ok(Outcome {
        units: bytes as f64 / 1e9,
        seconds: duration.as_secs_f64(),
        latency: None,
        errors: 0,
    })
}

const SCRIPT: &str = r#"
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('{"requests":%d,"microseconds":%d,"errors":%d,"p50":%d,"p99":%d}\n',
        summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"#;
