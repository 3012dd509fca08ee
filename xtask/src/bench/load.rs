//! The loads: what is done to a target for a while, and what came of it.

mod h2load;

use std::{fs, net::SocketAddrV4, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use harness::Netns;
use serde::{Deserialize, Serialize};

use self::h2load::H2load;
use super::{
    layer::Layer,
    program::{self, Cpu},
    release,
};

/// A kind of load. Its unit is what CPU time is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Load {
    /// HTTP/1.1 as bytes, answers of 1 KiB, 64 connections; the unit is a request.
    Requests64,
    /// As before, 2 connections.
    Requests2,
    /// Streams read as fast as they come; the unit is a gigabyte.
    Bulk,
    /// A connection for each request; the unit is a connection.
    Connections,
    /// HTTP/1.1 request by request, answers of 1 KiB, 64 connections; the unit is a request.
    Http64,
    /// As before, 2 connections.
    Http2,
    /// As the first, at half of the rate which the slowest proxies of the round reached: what p99 is read of.
    HttpPaced,
    /// HTTP/2, 100 streams at a time on one connection, answers of 1 KiB; the unit is a request.
    Streams,
    /// As before, unary calls of gRPC; the unit is a call.
    Grpc,
}

/// A load's way to its server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    pub(super) client: &'a Netns,
    pub(super) address: SocketAddrV4,
    pub(super) duration: Duration,
    /// For the load's own files.
    pub(super) folder: &'a Path,
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
    pub(super) const ALL: [Self; 9] = [
        Self::Requests64,
        Self::Requests2,
        Self::Bulk,
        Self::Connections,
        Self::Http64,
        Self::Http2,
        Self::HttpPaced,
        Self::Streams,
        Self::Grpc,
    ];

    /// What the proxies understand of it.
    pub(super) fn layer(self) -> Layer {
        match self {
            Self::Requests64 | Self::Requests2 | Self::Bulk | Self::Connections => Layer::Bytes,
            Self::Http64 | Self::Http2 | Self::HttpPaced => Layer::Http1,
            Self::Streams | Self::Grpc => Layer::Http2,
        }
    }

    /// The load by whose rate this one is paced, in the same round.
    pub(super) fn paced_by(self) -> Option<Self> {
        (self == Self::HttpPaced).then_some(Self::Http64)
    }

    /// Loads a target; `pace` is the rate in units a second where the load has one.
    pub(super) fn run(self, course: &Course<'_>, pace: Option<f64>) -> Result<Outcome> {
        match self {
            Self::Requests64 | Self::Http64 => wrk(course, &["-c64"]),
            Self::Requests2 | Self::Http2 => wrk(course, &["-c2"]),
            Self::Bulk => bulk(course),
            Self::Connections => wrk(course, &["-c16", "-H", "Connection: close"]),
            Self::HttpPaced => H2load::paced(64, pace.context("nothing says how fast")?).run(course),
            Self::Streams => H2load::streams(100).run(course),
            Self::Grpc => H2load::calls(100).run(course),
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Requests64 => "HTTP/1.1 as bytes, 1 KiB, 64 connections",
            Self::Requests2 => "HTTP/1.1 as bytes, 1 KiB, 2 connections",
            Self::Bulk => "bulk, 4 streams",
            Self::Connections => "new connections, one request each, 16 at a time",
            Self::Http64 => "HTTP/1.1 by request, 1 KiB, 64 connections",
            Self::Http2 => "HTTP/1.1 by request, 1 KiB, 2 connections",
            Self::HttpPaced => "HTTP/1.1 by request, 1 KiB, 64 connections, half of the slowest's rate",
            Self::Streams => "HTTP/2 by request, 1 KiB, 100 streams on a connection",
            Self::Grpc => "gRPC, unary calls, 1 KiB, 100 streams on a connection",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Requests64 | Self::Requests2 | Self::Http64 | Self::Http2 | Self::HttpPaced | Self::Streams => {
                "request"
            }
            Self::Bulk => "GB",
            Self::Connections => "connection",
            Self::Grpc => "call",
        }
    }
}

fn wrk(course: &Course<'_>, arguments: &[&str]) -> Result<Outcome> {
    let script = course.folder.join("wrk.lua");
    fs::write(&script, SCRIPT)?;
    let mut command = Command::new("wrk");
    command
        .arg("-t1")
        .args(arguments)
        .arg(format!("-d{}", course.duration.as_secs()))
        .arg("-s")
        .arg(&script);
    command.arg(format!("http://{}/", course.address));
    let printed = program::output(course.client, Cpu::Load, command)?;
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

fn bulk(course: &Course<'_>) -> Result<Outcome> {
    let mut command = Command::new(release("load"));
    command
        .arg("bulk")
        .arg(course.address.to_string())
        .args(["4", &course.duration.as_secs().to_string()]);
    let printed = program::output(course.client, Cpu::Load, command)?;
    let bytes: u64 = printed.trim().parse().context("the load prints its bytes")?;
    Ok(Outcome {
        units: bytes as f64 / 1e9,
        seconds: course.duration.as_secs_f64(),
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
