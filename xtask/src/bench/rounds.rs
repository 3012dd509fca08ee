//! The rounds: each load of each target in turn, again and again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    floor,
    load::{Course, Latency, Load},
    target::{Kind, Plan, Way},
};

/// One load of one target in one round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) round: usize,
    pub(super) way: Way,
    pub(super) load: Load,
    /// Units a second.
    pub(super) rate: f64,
    #[serde(flatten)]
    pub(super) latency: Option<Latency>,
    /// The proxies' CPU time per unit, in microseconds; none where there are no proxies.
    pub(super) cpu: Option<f64>,
    /// The part of it in user space.
    pub(super) user_share: Option<f64>,
    /// The floor's system calls per unit.
    pub(super) syscalls: Option<f64>,
    pub(super) errors: u64,
}

/// Measures everything `rounds` times. Each round begins with another target.
pub(super) fn measure(plan: &mut Plan<'_>, loads: &[Load], rounds: usize, duration: Duration) -> Result<Vec<Sample>> {
    let folder = tempfile::tempdir()?;
    let targets = plan.targets.len();
    let mut samples = Vec::new();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        for load in loads.iter().copied() {
            for turn in 0..targets {
                let index = (turn + round) % targets;
                let Some(address) = plan.targets[index].address(load.layer()) else {
                    continue;
                };
                let pace = load.paced_by().map(|other| pace(&samples, round, other)).transpose()?;
                let course = Course {
                    client: plan.targets[index].client,
                    address,
                    duration,
                    folder: folder.path(),
                };
                let sample = sample(plan, index, load, &course, pace)?;
                samples.push(Sample { round, ..sample });
            }
        }
    }
    Ok(samples)
}

/// Half of the lowest rate that proxies reached under another load in this round.
fn pace(samples: &[Sample], round: usize, load: Load) -> Result<f64> {
    let rates = samples
        .iter()
        .filter(|sample| sample.round == round && sample.load == load && sample.cpu.is_some())
        .map(|sample| sample.rate);
    let slowest = rates.min_by(f64::total_cmp);
    Ok(slowest.with_context(|| format!("measure `{}` too: its rate is halved", load.title()))? / 2.0)
}

fn sample(plan: &mut Plan<'_>, index: usize, load: Load, course: &Course<'_>, pace: Option<f64>) -> Result<Sample> {
    let syscalls_before = syscalls(plan, index)?;
    let target = &plan.targets[index];
    let way = target.way;
    let before = plan.used(target)?;
    let outcome = load.run(course, pace)?;
    let used = plan.used(target)?.since(before);
    let syscalls = syscalls(plan, index)?
        .zip(syscalls_before)
        .map(|(after, before)| after - before);

    ensure!(
        outcome.units > 0.0,
        "{way}: nothing came through under {}",
        load.title()
    );
    let is_proxied = way.kind != Kind::Direct;
    let cpu = used.total.as_secs_f64() * 1e6 / outcome.units;
    // 100 ns a request are less than one system call: the traffic did not pass the proxy.
    ensure!(
        !is_proxied || cpu > 0.1,
        "{way}: the proxies did nothing under {}",
        load.title()
    );
    let (user, ticks) = used.ticks;
    Ok(Sample {
        round: 0,
        way,
        load,
        rate: outcome.units / outcome.seconds,
        latency: outcome.latency,
        cpu: is_proxied.then_some(cpu),
        user_share: (ticks > 0).then(|| user as f64 / ticks as f64),
        syscalls: syscalls.map(|count| count as f64 / outcome.units),
        errors: outcome.errors,
    })
}

fn syscalls(plan: &mut Plan<'_>, index: usize) -> Result<Option<u64>> {
    let target = &plan.targets[index];
    if target.way.kind != Kind::Floor {
        return Ok(None);
    }
    let proxies = target.proxies.iter();
    let all: Result<u64> = proxies.map(|proxy| floor::syscalls(&mut plan.proxies[*proxy])).sum();
    all.map(Some)
}
