//! One target's run.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{corpora, folder, fuzzer};
use crate::process;

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fuzzed {
    target: String,
    per_second: u64,
    runs: u64,
    corpus: u64,
    /// The edges that were taken.
    edges: u64,
}

/// Above the rows.
pub(super) const TITLE: &str = "target                 runs/s        runs    corpus     edges";

// === impl Fuzzed ===

impl Fuzzed {
    /// Runs a target for so long, beginning with the checked-in corpus and what earlier runs have added to it here.
    pub(super) fn run(program: &Path, target: &str, seconds: u32) -> Result<Self> {
        let grown = folder().join(target);
        fs::create_dir_all(&grown)?;
        let mut run = fuzzer(program, target);
        run.arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}-", grown.display()))
            .args([
                "-print_final_stats=1",
                "-rss_limit_mb=512",
                "-timeout=5",
                "-verbosity=1",
            ])
            .arg(&grown)
            .arg(corpora().join(target));
        let output = run
            .output()
            .with_context(|| format!("cannot start: {}", process::line(&run)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{target} is broken: {}\n{said}", process::line(&run));
        }
        Self::read(target, &said).with_context(|| format!("libFuzzer prints no figures:\n{said}"))
    }

    fn read(target: &str, said: &str) -> Option<Self> {
        let words: Vec<&str> = said.split_whitespace().collect();
        // The last says how the run ended.
        let after = |label: &str| {
            let place = words.iter().rposition(|word| *word == label)?;
            words.get(place + 1)?.split('/').next()?.parse().ok()
        };
        Some(Self {
            target: target.to_owned(),
            per_second: after("stat::average_exec_per_sec:")?,
            runs: after("stat::number_of_executed_units:")?,
            corpus: after("corp:")?,
            edges: after("cov:")?,
        })
    }
}

impl fmt::Display for Fuzzed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            per_second,
            runs,
            corpus,
            edges,
        } = self;
        write!(f, "{target:<18} {per_second:>10} {runs:>11} {corpus:>9} {edges:>9}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_end() {
        let said = "#2 INITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                    #99 DONE cov: 71 ft: 80 corp: 12/340b lim: 4 exec/s: 0 rss: 31Mb\n\
                    stat::number_of_executed_units: 99\n\
                    stat::average_exec_per_sec:     33\n";
        let expected = Fuzzed {
            target: "hello".to_owned(),
            per_second: 33,
            runs: 99,
            corpus: 12,
            edges: 71,
        };
        assert_eq!(Fuzzed::read("hello", said), Some(expected));
        assert_eq!(Fuzzed::read("hello", "killed"), None);
    }
}
