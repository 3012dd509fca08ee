//! `trace drop`: connections refused by the kernel programs and by the agent, while it happens.

use std::collections::BTreeMap;

use super::{Context, DebugError, Outcome};
use crate::{
    cli::{
        client::AgentError,
        output::{self, Row, or_dash},
    },
    kernel::{
        Dropped,
        inspect::{InspectError, Pins},
    },
    telemetry::Refusal,
};

pub(super) fn drops(context: &mut Context) -> Result<Outcome, DebugError> {
    context.live_only("trace drop")?;
    let agent = context.agent()?;
    output::note("Waiting for refused connections; Ctrl-C ends");
    // A living agent reads the kernel's ring itself: two readers would each see half of it.
    let output = &mut context.output;
    let followed = agent.follow("/drops", |refusal: Refusal| output.event(&refusal));
    match followed {
        Ok(()) => output::note("The agent ended: what the kernel programs refuse is shown"),
        Err(error @ (AgentError::Unreachable { .. } | AgentError::Broken { .. })) => output::note(&format!(
            "{}: what the kernel programs refuse is shown",
            crate::kernel::with_causes(&error)
        )),
        Err(error) => return Err(error.into()),
    }
    let pins = context.pins()?;
    let pods = pods_by_cookie(&pins)?;
    let mut drops = pins.drops()?;
    loop {
        let dropped = drops.wait()?;
        context.output.event(&of_kernel(&dropped, &pods))?;
    }
}

/// The pods' UIDs; their names are known to the agent, which names them itself.
fn pods_by_cookie(pins: &Pins) -> Result<BTreeMap<u64, String>, InspectError> {
    let pods = pins.pods()?.into_iter();
    Ok(pods.filter_map(|pod| Some((pod.netns_cookie?, pod.uid))).collect())
}

fn of_kernel(dropped: &Dropped, pods: &BTreeMap<u64, String>) -> Refusal {
    Refusal::by_kernel(
        dropped.age(),
        dropped.reason.label(),
        pods.get(&dropped.netns.0).cloned(),
        [dropped.source, dropped.destination],
    )
}

impl Row for Refusal {
    const COLUMNS: &'static [&'static str] = &["TIME", "BY", "REASON", "POD", "SOURCE", "DESTINATION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.time.clone(),
            self.by.label().to_owned(),
            self.reason.clone(),
            or_dash(self.pod.as_deref()),
            self.source.to_string(),
            self.destination.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use agent_common::Count;

    use super::*;
    use crate::net::Cookie;

    #[test]
    fn what_the_kernel_refused_names_the_pod() {
        let dropped = Dropped {
            time: 0,
            netns: Cookie(17),
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:80".parse().unwrap(),
            reason: Count::Stray,
        };
        let pods = BTreeMap::from([(17, "uid-1".to_owned())]);
        assert_eq!(
            of_kernel(&dropped, &pods).cells()[1..],
            ["kernel", "stray", "uid-1", "10.0.0.1:40000", "10.0.0.2:80"]
        );
    }
}
