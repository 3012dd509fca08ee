//! `trace drop`: connections refused by the kernel programs and by the agent, while it happens.

use std::collections::BTreeMap;

use super::{Context, DebugError, Outcome, pod};
use crate::{
    cli::{
        client::AgentError,
        output::{self, Row, or_dash},
    },
    kernel::inspect::Dropped,
    telemetry::Refusal,
};

pub(super) fn drops(context: &mut Context) -> Result<Outcome, DebugError> {
    context.live_only("trace drop")?;
    let agent = context.agent()?;
    let pods = pods_by_cookie(context)?;
    context.output.headings::<Refusal>()?;

    // A living agent reads the kernel's ring itself: two readers would each see half of it.
    let output = &mut context.output;
    let followed = agent.follow("/drops", |refusal: Refusal| output.event(&refusal));
    match followed {
        Ok(()) => output::note("The agent ended: what the kernel programs refuse is shown"),
        Err(error @ (AgentError::Unreachable { .. } | AgentError::Broken { .. })) => output::note(&format!(
            "{}: what the kernel programs refuse is shown",
            output::with_causes(&error)
        )),
        Err(error) => return Err(error.into()),
    }
    let mut drops = context.pins()?.drops()?;
    loop {
        let dropped = drops.wait()?;
        context.output.event(&of_kernel(&dropped, &pods))?;
    }
}

fn pods_by_cookie(context: &Context) -> Result<BTreeMap<u64, String>, DebugError> {
    let pods = pod::collect(context)?;
    Ok(pods
        .into_iter()
        .filter_map(|pod| Some((pod.netns_cookie?, pod.label())))
        .collect())
}

fn of_kernel(dropped: &Dropped, pods: &BTreeMap<u64, String>) -> Refusal {
    Refusal::by_kernel(
        dropped.age,
        dropped.reason,
        pods.get(&dropped.netns_cookie).cloned(),
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_kernel_refused_names_the_pod() {
        let dropped = Dropped {
            age: Duration::ZERO,
            netns_cookie: 17,
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:80".parse().unwrap(),
            reason: "stray",
        };
        let pods = BTreeMap::from([(17, "shop/cart-0".to_owned())]);
        assert_eq!(
            of_kernel(&dropped, &pods).cells()[1..],
            ["kernel", "stray", "shop/cart-0", "10.0.0.1:40000", "10.0.0.2:80"]
        );
    }
}
