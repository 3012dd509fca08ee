//! `cargo xtask kernels`: the data path on the kernels of Debian's releases, under QEMU's software emulation.
//!
//! The machines boot from memory in seconds, run some of the tests in network namespaces with the agent as it was built
//! here, and power off. Nothing is installed for them but QEMU and busybox.

mod archive;
mod image;
mod machine;

use std::fmt;

use anyhow::{Result, bail};
use clap::Args;

use self::{
    image::Image,
    machine::{Machine, Report},
};
use crate::{
    build::{self, Profile},
    setup::{self, Need},
    timing::Timing,
};

/// Run the data path on other kernels, under QEMU
///
/// Kernels are Debian's, fetched once into the cache folder; --update looks for newer ones.
#[derive(Args)]
#[command(after_help = "Examples:\n  cargo xtask kernels\n  cargo xtask kernels 5.10\n  cargo xtask kernels --update")]
pub(crate) struct Kernels {
    /// Run only the kernel of this version: 5.10, 6.1, 6.12
    version: Option<String>,

    /// Fetch the newest packages of each release
    #[arg(long)]
    update: bool,
}

/// A kernel of a Debian release, and what is expected of Weft on it.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    version: &'static str,
    suite: &'static str,
    /// What `weft debug feature` finds missing, nothing else.
    lacks: &'static [&'static str],
    /// The tests that pass.
    tests: &'static [&'static str],
}

/// A kernel, and what was seen on it.
struct Row {
    kernel: Kernel,
    report: Report,
}

// === impl Kernels ===

impl Kernels {
    /// All kernels, as before a merge.
    pub(crate) fn all() -> Self {
        Self {
            version: None,
            update: false,
        }
    }

    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Kernels])?;
        let mut timing = Timing::default();
        timing.step("kernel programs", build::kernel_programs)?;
        let table = run(&mut timing, &self)?;
        println!("{timing}");
        println!("{table}");
        Ok(())
    }
}

/// Boots each kernel and returns the table of what was seen; fails where that is not what is expected.
pub(crate) fn run(timing: &mut Timing, kernels: &Kernels) -> Result<String> {
    let weft = timing.step("agent", || build::agent(Profile::Debug))?;
    let tests = timing.step("tests", build::netns_tests)?;
    let machine = Machine::assemble(&weft, &tests)?;
    let wanted = |kernel: &&Kernel| {
        let version = kernels.version.as_deref();
        version.is_none_or(|version| kernel.version == version)
    };
    let mut rows = Vec::new();
    for kernel in MATRIX.iter().filter(wanted) {
        let image = timing.step(&format!("kernel {} of {}", kernel.version, kernel.suite), || {
            Image::obtain(kernel.suite, kernels.update)
        })?;
        let report = timing.step(&format!("Linux {}", kernel.version), || {
            machine.boot(&image, kernel.tests)
        })?;
        rows.push(Row {
            kernel: *kernel,
            report,
        });
    }
    if rows.is_empty() {
        let known: Vec<_> = MATRIX.iter().map(|kernel| kernel.version).collect();
        bail!("no such kernel; there are {}", known.join(", "));
    }
    let table = rows.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let bad = rows.iter().filter(|row| !row.is_as_expected()).count();
    if bad > 0 {
        println!("{table}");
        rows.iter()
            .filter(|row| !row.is_as_expected())
            .for_each(|row| println!("--- Linux {} said:\n{}", row.kernel.version, row.report.console));
        bail!("{bad} of {} kernels are not as expected", rows.len());
    }
    Ok(table)
}

// === impl Row ===

impl Row {
    fn is_as_expected(&self) -> bool {
        self.report
            .lacks
            .as_deref()
            .is_some_and(|lacks| lacks == self.kernel.lacks)
            && self.failed().is_empty()
    }

    fn failed(&self) -> Vec<&str> {
        let passed = |test: &&str| self.report.passed.iter().any(|passed| passed == test);
        self.kernel.tests.iter().copied().filter(|test| !passed(test)).collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_as_expected() { "ok" } else { "FAILED" };
        let release = self.report.release.as_deref().unwrap_or("did not boot");
        let (passed, all) = (self.report.passed.len(), self.kernel.tests.len());
        write!(f, "{verdict:<7} {release:<28} {passed}/{all} tests")?;
        match &self.report.lacks {
            None => write!(f, ", features unknown")?,
            Some(lacks) if lacks.is_empty() => write!(f, ", every feature")?,
            Some(lacks) => write!(f, ", lacks {}", lacks.join(", "))?,
        }
        self.failed()
            .iter()
            .try_for_each(|test| write!(f, "\n        failed: {test}"))
    }
}

/// Oldest first. 5.10 lies below the floor of 5.15, and goes as far as it goes.
const MATRIX: [Kernel; 3] = [
    Kernel {
        version: "5.10",
        suite: "bullseye",
        lacks: &["sock_ops: bpf_get_netns_cookie", "SO_NETNS_COOKIE"],
        // Two agents on one kernel are not told apart there: none of these tests has two that greet each other.
        tests: &[
            "hello::an_accepted_socket_says_what_was_heard",
            "capture::a_socket_keeps_its_other_mark_bits_and_is_captured",
            "balancers::a_services_address_is_kept_behind_a_load_balancer_that_was_there_before",
            "probes::the_kubelets_probe_passes_without_the_agent",
        ],
    },
    Kernel {
        version: "6.1",
        suite: "bookworm",
        lacks: &[],
        tests: DATA_PATH,
    },
    Kernel {
        version: "6.12",
        suite: "trixie",
        lacks: &[],
        tests: DATA_PATH,
    },
];

/// Every program of the object at work: capture at both ends, legs, the option in both segments, put-back destinations,
/// probes; each over IPv4 and IPv6.
const DATA_PATH: &[&str] = &[
    "verdicts::a_connection_between_nodes_is_outbound_at_one_and_inbound_at_the_other",
    "hello::agents_of_one_mesh_greet_in_syn_and_syn_ack_and_nowhere_else",
    "balancers::a_services_address_is_kept_behind_a_load_balancer_that_was_there_before",
    "probes::the_kubelets_probe_passes_without_the_agent",
];
