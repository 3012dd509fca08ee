//! Counts what test programs print.

use std::{collections::BTreeSet, fmt, ops::Add};

/// The results of one or more test programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
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
            skipped: self.skipped.union(&other.skipped).cloned().collect(),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        assert_eq!(
            tally,
            Tally {
                passed: 8,
                failed: 2,
                skipped: BTreeSet::new()
            }
        );
    }

    #[test]
    fn a_skipped_test_is_not_told_as_passed() {
        let mut tally = Tally::default();
        tally.count("test probe ... SKIP probe: this kernel has no sk_lookup");
        tally.count("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 1 skipped");
    }
}
