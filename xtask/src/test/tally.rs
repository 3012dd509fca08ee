//! Counts what test programs print.

use std::{collections::BTreeSet, fmt, ops::Add};

/// The results of one or more test programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Their names.
    pub(crate) failures: BTreeSet<String>,
    /// Tests which returned early, aloud: libtest counts them as passed.
    pub(crate) skipped: BTreeSet<String>,
}

// === impl Tally ===

impl Tally {
    /// Takes one line of output.
    pub(super) fn count(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += counted(result, "passed");
            self.failed += counted(result, "failed");
            return;
        }
        if let Some(failure) = line
            .strip_prefix("test ")
            .and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            self.failures.insert(failure.to_owned());
        }
        // With one thread libtest has begun the line with the test's name.
        let Some((_, skip)) = line.split_once("SKIP ") else {
            return;
        };
        let Some((test, _reason)) = skip.split_once(": ") else {
            return;
        };
        self.skipped.insert(test.to_owned());
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            failures: &self.failures | &other.failures,
            skipped: &self.skipped | &other.skipped,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        let skipped = self.skipped.len();
        let passed = self.passed.saturating_sub(skipped);
        write!(f, "{passed} passed, {} failed, {skipped} skipped", self.failed)
    }
}

/// The number before `word` in "ok. 3 passed; 0 failed; …".
fn counted(result: &str, word: &str) -> usize {
    let words: Vec<_> = result.split([' ', ';']).collect();
    let position = words.iter().position(|candidate| *candidate == word);
    position
        .and_then(|position| words.get(position.checked_sub(1)?)?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_add_up() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        tally
            .count("test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        assert_eq!((tally.passed, tally.failed), (8, 2));
    }

    #[test]
    fn failures_are_told_by_name() {
        let mut tally = Tally::default();
        tally.count("test copy::halves ... FAILED");
        tally.count("test copy::wholes ... ok");
        tally
            .count("test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        assert_eq!(tally.to_string(), "failed: copy::halves\n1 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_skipped_test_is_not_told_as_passed() {
        let mut tally = Tally::default();
        tally.count("test probe ... SKIP probe: this kernel has no sk_lookup");
        tally.count("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 1 skipped");
    }
}
