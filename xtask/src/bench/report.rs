//! The tables and the JSON.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{
    enrolment::{self, Enrolment},
    figures::{self, Ratio},
    load::Load,
    memory::Memory,
    rounds::Sample,
    target::{Kind, Way},
    topology::Place,
};

/// All that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) versions: Vec<String>,
    pub(super) rounds: usize,
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub(super) duration: Duration,
    pub(super) samples: Vec<Sample>,
    pub(super) memory: Vec<Memory>,
    pub(super) enrolment: Option<Enrolment>,
}

// === impl Report ===

impl Report {
    /// Samples, medians and ratios.
    pub(super) fn json(&self) -> Result<String> {
        let mut report = serde_json::to_value(self)?;
        report["medians"] = self
            .ways()
            .flat_map(|way| Load::ALL.map(|load| self.median(way, load)))
            .collect();
        report["ratios"] = RATIOS
            .iter()
            .flat_map(|ratio| Load::ALL.map(|load| self.ratio(ratio, load)))
            .collect();
        Ok(serde_json::to_string_pretty(&report)?)
    }

    fn median(&self, way: Way, load: Load) -> Value {
        let middle = |value: fn(&Sample) -> Option<f64>| figures::middle(&self.samples, way, load, value);
        json!({
            "way": way,
            "load": load,
            "rate": middle(|sample| Some(sample.rate)),
            "p50": middle(|sample| Some(sample.latency?.p50)),
            "p99": middle(|sample| Some(sample.latency?.p99)),
            "cpu": middle(|sample| sample.cpu),
            "user_share": middle(|sample| sample.user_share),
            "syscalls": middle(|sample| sample.syscalls),
        })
    }

    fn ratio(&self, ratio: &Ratio, load: Load) -> Value {
        let cpu = ratio.middle(&self.samples, load, |sample| sample.cpu);
        let p99 = ratio.middle(&self.samples, load, |sample| Some(sample.latency?.p99));
        let rate = ratio.middle(&self.samples, load, |sample| Some(sample.rate));
        json!({ "of": ratio.of, "to": ratio.to, "load": load, "cpu": cpu, "p99": p99, "rate": rate })
    }

    /// The measured ways, in the order in which they are told.
    fn ways(&self) -> impl Iterator<Item = Way> {
        let ways = Place::ALL
            .into_iter()
            .flat_map(|place| Kind::ALL.map(|kind| Way::new(kind, place)));
        ways.filter(|way| self.samples.iter().any(|sample| sample.way == *way))
    }

    fn load(&self, load: Load, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.samples.iter().any(|sample| sample.load == load) {
            return Ok(());
        }
        let errors: u64 = self
            .samples
            .iter()
            .filter(|sample| sample.load == load)
            .map(|sample| sample.errors)
            .sum();
        writeln!(f, "{} (errors: {errors})", load.title())?;
        let unit = load.unit();
        writeln!(
            f,
            "  {:28} {:>14} {:>10} {:>10} {:>18} {:>7} {:>10}",
            "",
            format!("{unit}s/s"),
            "p50 µs",
            "p99 µs",
            format!("CPU µs/{unit}"),
            "user",
            "syscalls"
        )?;
        for way in self.ways() {
            let middle = |value: fn(&Sample) -> Option<f64>| figures::middle(&self.samples, way, load, value);
            writeln!(
                f,
                "  {way:28} {:>14} {:>10} {:>10} {:>18} {:>7} {:>10}",
                number(middle(|sample| Some(sample.rate))),
                number(middle(|sample| Some(sample.latency?.p50))),
                number(middle(|sample| Some(sample.latency?.p99))),
                number(middle(|sample| sample.cpu)),
                middle(|sample| sample.user_share).map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0)),
                number(middle(|sample| sample.syscalls)),
            )?;
        }
        for ratio in RATIOS {
            let Some(cpu) = ratio.middle(&self.samples, load, |sample| sample.cpu) else {
                continue;
            };
            write!(f, "  CPU of {} to {}: {cpu:.2}x", ratio.of, ratio.to)?;
            match ratio.middle(&self.samples, load, |sample| Some(sample.latency?.p99)) {
                Some(p99) => writeln!(f, ", p99: {p99:.2}x")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians of {} rounds of {} s\n",
            self.rounds,
            self.duration.as_secs()
        )?;
        for load in Load::ALL {
            self.load(load, f)?;
        }
        if self.memory.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "memory\n  {:28} {:>14} {:>22} {:>26}",
            "", "idle MB", "bytes/idle connection", "kernel's bytes/connection"
        )?;
        for memory in &self.memory {
            let Memory {
                way,
                idle,
                per_connection,
                kernel_per_connection,
                per_1000_workloads,
            } = memory;
            let idle = *idle as f64 / 1e6;
            writeln!(
                f,
                "  {way:28} {idle:>14.1} {per_connection:>22.0} {kernel_per_connection:>26.0}"
            )?;
            if let Some(bytes) = per_1000_workloads {
                writeln!(f, "  {:28} {:.2} MB for 1,000 workloads", "", *bytes as f64 / 1e6)?;
            }
        }
        if let Some(Enrolment {
            one,
            one_of_crowd,
            many,
        }) = self.enrolment
        {
            let (pods, crowd) = (enrolment::MANY, enrolment::CROWD);
            let milliseconds = |duration: Duration| number(Some(duration.as_secs_f64() * 1e3));
            let [one, one_of_crowd, many] = [one, one_of_crowd, many].map(milliseconds);
            writeln!(
                f,
                "\nenrolment\n  one pod: {one} ms, beside {crowd} others: {one_of_crowd} ms, {pods} pods: {many} ms"
            )?;
        }
        Ok(())
    }
}

/// Writes a duration as a number of seconds.
pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Three digits that count.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

const fn ratio(of: (Kind, Place), to: (Kind, Place)) -> Ratio {
    Ratio {
        of: Way::new(of.0, of.1),
        to: Way::new(to.0, to.1),
    }
}

const RATIOS: &[Ratio] = {
    use Kind::{Envoy, EnvoyShared, Floor, Weft, WeftUnpooled};
    use Place::{AcrossNodes, SameNode};
    &[
        ratio((Weft, SameNode), (Floor, SameNode)),
        ratio((Weft, SameNode), (Envoy, SameNode)),
        ratio((Weft, SameNode), (EnvoyShared, SameNode)),
        ratio((Weft, AcrossNodes), (Floor, SameNode)),
        ratio((Floor, AcrossNodes), (Floor, SameNode)),
        ratio((Weft, AcrossNodes), (Floor, AcrossNodes)),
        ratio((Weft, AcrossNodes), (Envoy, AcrossNodes)),
        ratio((Weft, AcrossNodes), (WeftUnpooled, AcrossNodes)),
        ratio((WeftUnpooled, AcrossNodes), (Envoy, AcrossNodes)),
        ratio((Envoy, SameNode), (Floor, SameNode)),
    ]
};
