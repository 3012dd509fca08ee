//! Loads that h2load makes: HTTP/2, gRPC, and a given rate.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{Course, Latency, Outcome};
use crate::bench::{
    figures,
    origin::{METHOD, message},
    program::{self, Cpu},
};

/// A load that h2load makes.
#[derive(Clone, Copy, Debug)]
pub(super) enum H2load {
    /// HTTP/1.1: so many connections, each at this rate a second.
    Paced { connections: u32, rate: u32 },
    /// HTTP/2: so many streams at a time on one connection.
    Streams(u32),
    /// As before, calls of gRPC.
    Calls(u32),
}

// === impl H2load ===

impl H2load {
    /// Requests at a rate for all connections together.
    pub(super) fn paced(connections: u32, rate: f64) -> Self {
        // Rates are far below 2^32, and whole for each connection.
        let rate = ((rate / f64::from(connections)) as u32).max(1);
        Self::Paced { connections, rate }
    }

    pub(super) fn streams(streams: u32) -> Self {
        Self::Streams(streams)
    }

    pub(super) fn calls(streams: u32) -> Self {
        Self::Calls(streams)
    }

    pub(super) fn run(self, course: &Course<'_>) -> Result<Outcome> {
        let log = course.folder.join("h2load.log");
        // It appends.
        let _ = fs::remove_file(&log);
        let mut command = Command::new("h2load");
        command
            .arg("-t1")
            .arg(format!("-D{}", course.duration.as_secs()))
            .arg("--log-file")
            .arg(&log);
        let mut path = "";
        match self {
            Self::Paced { connections, rate } => {
                command
                    .arg("--h1")
                    .arg(format!("-c{connections}"))
                    .arg(format!("--rps={rate}"));
            }
            Self::Streams(streams) => {
                command.args(["-c1", &format!("-m{streams}")]);
            }
            Self::Calls(streams) => {
                let data = course.folder.join("call");
                fs::write(&data, message(&[0; CALL]))?;
                command.args(["-c1", &format!("-m{streams}"), "-d"]).arg(data);
                command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
                path = METHOD;
            }
        }
        command.arg(format!("http://{}/{path}", course.address));
        let printed = program::output(course.client, Cpu::Load, command)?;
        let (succeeded, errors) = outcome(&printed).with_context(|| format!("h2load prints:\n{printed}"))?;
        Ok(Outcome {
            units: succeeded,
            seconds: course.duration.as_secs_f64(),
            latency: latency(&log)?,
            errors,
        })
    }
}

/// The requests that succeeded, and the others.
fn outcome(printed: &str) -> Option<(f64, u64)> {
    let line = printed.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| {
        let mut parts = line.split(", ").filter_map(|part| part.split_once(' '));
        parts.find(|(_, name)| *name == what)?.0.parse::<u64>().ok()
    };
    let errors = count("failed")? + count("errored")? + count("timeout")?;
    Some((count("succeeded")? as f64, errors))
}

/// Of the log's lines the third column is how long a request took, in microseconds.
fn latency(log: &Path) -> Result<Option<Latency>> {
    let text = fs::read_to_string(log)?;
    let took = text
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok());
    let mut took: Vec<_> = took.collect();
    took.sort_by(f64::total_cmp);
    Ok(figures::percentile(&took, 50)
        .zip(figures::percentile(&took, 99))
        .map(|(p50, p99)| Latency { p50, p99 }))
}

/// How long a call's argument is, in bytes.
const CALL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_succeeded_is_told_from_what_did_not() {
        let printed = "finished in 1.00s, 9.00 req/s, 1B/s\n\
                       requests: 12 total, 12 started, 12 done, 9 succeeded, 1 failed, 2 errored, 4 timeout\n";
        assert_eq!(outcome(printed), Some((9.0, 7)));
        assert_eq!(outcome("nothing"), None);
    }

    #[test]
    fn the_pace_is_shared_by_the_connections() {
        assert!(matches!(
            H2load::paced(64, 6400.0),
            H2load::Paced {
                connections: 64,
                rate: 100
            }
        ));
        assert!(matches!(H2load::paced(64, 1.0), H2load::Paced { rate: 1, .. }));
    }
}
