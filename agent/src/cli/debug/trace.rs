//! `trace drop`: connections refused by the kernel programs and by the agent, as it happens.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::mpsc::{self, Sender},
    thread,
};

use serde::{Deserialize, Serialize};

use super::{Context, DebugError, Outcome, pod};
use crate::{
    cli::{
        client::Agent,
        output::{self, Row, or_dash},
    },
    kernel::inspect::{Dropped, InspectError, Pins},
    telemetry::Timestamp,
};

/// A refused connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Drop {
    /// When, as RFC 3339 has it.
    time: String,
    /// Who refused it.
    by: Refuser,
    /// Why: a counter of `stats show`, or a reason of the connection records.
    reason: String,
    /// The pod whose connection it was: its name, or its UID when the agent is dead.
    pod: Option<String>,
    /// Who wanted to connect.
    source: SocketAddr,
    /// Where to.
    destination: SocketAddr,
}

/// Who refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Refuser {
    Kernel,
    Agent,
}

/// What is read of a connection record.
#[derive(Deserialize)]
struct Record {
    time: String,
    source: SocketAddr,
    source_pod: Option<String>,
    original_destination: SocketAddr,
    reason: Option<String>,
}

pub(super) fn drops(context: &mut Context) -> Result<Outcome, DebugError> {
    context.live_only("trace drop")?;
    let pins = context.pins()?;
    let agent = context.agent()?;
    let pods = pods_by_cookie(context)?;
    context.output.headings::<Drop>()?;

    let (events, seen) = mpsc::channel();
    let of_agent = events.clone();
    thread::spawn(move || follow_agent(&agent, &of_agent));
    thread::spawn(move || {
        if let Err(error) = follow_kernel(&pins, &pods, &events) {
            output::note(&format!("Error: {}", output::with_causes(&error)));
        }
    });
    for drop in seen {
        context.output.event(&drop)?;
    }
    Ok(Outcome::Done)
}

/// Sends what the agent refuses, until it ends; a dead agent refuses nothing.
fn follow_agent(agent: &Agent, events: &Sender<Drop>) {
    let followed = agent.follow("/drops", |record: Record| {
        // Nobody listens any more when standard output is closed: the process ends.
        let _closed = events.send(record.into());
        Ok(())
    });
    match followed {
        Ok(()) => output::note("The agent ended: only what the kernel programs refuse is shown"),
        Err(error) => output::note(&format!(
            "{}: only what the kernel programs refuse is shown",
            output::with_causes(&error)
        )),
    }
}

/// Sends what the kernel programs refuse, for ever.
fn follow_kernel(pins: &Pins, pods: &BTreeMap<u64, String>, events: &Sender<Drop>) -> Result<(), InspectError> {
    let mut drops = pins.drops()?;
    loop {
        let dropped = drops.wait()?;
        if events.send(Drop::of_kernel(dropped, pods)).is_err() {
            return Ok(());
        }
    }
}

fn pods_by_cookie(context: &Context) -> Result<BTreeMap<u64, String>, DebugError> {
    let pods = pod::collect(context)?;
    Ok(pods
        .into_iter()
        .filter_map(|pod| Some((pod.netns_cookie?, pod.label())))
        .collect())
}

// === impl Drop ===

impl Drop {
    fn of_kernel(dropped: Dropped, pods: &BTreeMap<u64, String>) -> Self {
        let Dropped {
            time,
            netns_cookie,
            source,
            destination,
            reason,
        } = dropped;
        Self {
            time: Timestamp(time).to_string(),
            by: Refuser::Kernel,
            reason: reason.to_owned(),
            pod: pods.get(&netns_cookie).cloned(),
            source,
            destination,
        }
    }
}

impl From<Record> for Drop {
    fn from(record: Record) -> Self {
        let Record {
            time,
            source,
            source_pod,
            original_destination,
            reason,
        } = record;
        Self {
            time,
            by: Refuser::Agent,
            reason: reason.unwrap_or_else(|| "unknown".to_owned()),
            pod: source_pod,
            source,
            destination: original_destination,
        }
    }
}

impl Row for Drop {
    const COLUMNS: &'static [&'static str] = &["TIME", "BY", "REASON", "POD", "SOURCE", "DESTINATION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.time.clone(),
            match self.by {
                Refuser::Kernel => "kernel",
                Refuser::Agent => "agent",
            }
            .to_owned(),
            self.reason.clone(),
            or_dash(self.pod.as_deref()),
            self.source.to_string(),
            self.destination.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_kernel_refused_names_the_pod() {
        let dropped = Dropped {
            time: UNIX_EPOCH,
            netns_cookie: 17,
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:80".parse().unwrap(),
            reason: "stray",
        };
        let pods = BTreeMap::from([(17, "shop/cart-0".to_owned())]);
        assert_eq!(
            serde_json::to_value(Drop::of_kernel(dropped, &pods)).unwrap(),
            json!({
                "time": "1970-01-01T00:00:00.000Z", "by": "kernel", "reason": "stray", "pod": "shop/cart-0",
                "source": "10.0.0.1:40000", "destination": "10.0.0.2:80",
            })
        );
    }

    #[test]
    fn what_the_agent_refused_is_read_from_its_connection_record() {
        let record = json!({
            "time": "1970-01-01T00:00:00.000Z", "direction": "outbound", "source": "10.0.0.1:40000",
            "source_pod": "shop/web-0", "original_destination": "10.96.0.1:80", "reason": "no_endpoint", "bytes_sent": 0,
        });
        let drop = Drop::from(serde_json::from_value::<Record>(record).unwrap());
        assert_eq!(
            drop.cells(),
            [
                "1970-01-01T00:00:00.000Z",
                "agent",
                "no_endpoint",
                "shop/web-0",
                "10.0.0.1:40000",
                "10.96.0.1:80"
            ]
        );
    }
}
