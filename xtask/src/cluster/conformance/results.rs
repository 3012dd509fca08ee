//! What the suite's tests came to, read from what `go test -v` prints.

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, bail};

/// The tests so far, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    tests: BTreeMap<String, Ended>,
    /// The suite as a whole, which also fails when it cannot be set up.
    whole: Option<Outcome>,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    outcome: Outcome,
    /// As Go writes it: `1.25s`.
    took: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

// === impl Results ===

impl Results {
    /// Takes one line; gives the name of the test that begins with it.
    pub(super) fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let line = line.trim_start();
        if let Some(test) = line.strip_prefix("=== RUN ") {
            return test.trim_start().strip_prefix(INSIDE).filter(|name| of_mesh(name));
        }
        let (outcome, rest) = [
            ("--- PASS: ", Outcome::Passed),
            ("--- FAIL: ", Outcome::Failed),
            ("--- SKIP: ", Outcome::Skipped),
        ]
        .into_iter()
        .find_map(|(begin, outcome)| Some((outcome, line.strip_prefix(begin)?)))?;
        let (name, took) = rest.split_once(' ')?;
        if name == WHOLE {
            self.whole = Some(outcome);
        } else if let Some(name) = name.strip_prefix(INSIDE).filter(|name| of_mesh(name)) {
            let took = took.trim_matches(['(', ')']).to_owned();
            self.tests.insert(name.to_owned(), Ended { outcome, took });
        }
        None
    }

    /// Fails unless all tests passed, or the only one that was wanted.
    pub(super) fn verdict(&self, only: Option<&str>) -> Result<()> {
        if let Some(only) = only {
            match self.tests.get(only).map(|ended| ended.outcome) {
                Some(Outcome::Passed) => return Ok(()),
                Some(Outcome::Failed | Outcome::Skipped) => bail!("{only} did not pass"),
                None => bail!("the suite ran no test {only} of a mesh"),
            }
        }
        let bad = self.count(Outcome::Failed) + self.count(Outcome::Skipped);
        if bad > 0 {
            bail!("{bad} tests did not pass");
        }
        if self.tests.is_empty() || self.whole != Some(Outcome::Passed) {
            bail!("the suite did not come to its end, or failed outside its tests");
        }
        Ok(())
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.tests.values().filter(|ended| ended.outcome == outcome).count()
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Ended { outcome, took }) in &self.tests {
            writeln!(f, "{outcome:<8}{took:>9}  {name}")?;
        }
        let [passed, failed, skipped] =
            [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|outcome| self.count(outcome));
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        })
    }
}

/// Whether a test is one of a mesh, and not a part of one. Those of gateways are there too, and are skipped.
fn of_mesh(name: &str) -> bool {
    name.starts_with("Mesh") && !name.contains('/')
}

const WHOLE: &str = "TestConformance";
const INSIDE: &str = "TestConformance/";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Results {
        let mut results = Results::default();
        for line in lines {
            results.read(line);
        }
        results
    }

    #[test]
    fn a_test_that_begins_is_named_but_not_its_parts_nor_those_of_gateways() {
        let mut results = Results::default();
        assert_eq!(results.read("=== RUN   TestConformance/MeshBasic"), Some("MeshBasic"));
        assert_eq!(results.read("=== RUN   TestConformance/MeshBasic/part"), None);
        assert_eq!(results.read("=== RUN   TestConformance/GatewayInfrastructure"), None);
        assert_eq!(results, Results::default());
    }

    #[test]
    fn all_passed_is_a_pass_whatever_became_of_gateways() {
        let results = read(&[
            "    --- PASS: TestConformance/MeshBasic (1.25s)",
            "        --- PASS: TestConformance/MeshBasic/part (1.00s)",
            "    --- SKIP: TestConformance/GatewayInfrastructure (0.00s)",
            "--- PASS: TestConformance (2.00s)",
        ]);
        assert_eq!(
            results.to_string(),
            "passed      1.25s  MeshBasic\n1 passed, 0 failed, 0 skipped"
        );
        results.verdict(None).unwrap();
    }

    #[test]
    fn a_failed_or_a_skipped_test_or_no_end_is_no_pass() {
        let passed = "--- PASS: TestConformance/MeshBasic (1.25s)";
        let end = "--- PASS: TestConformance (2.00s)";
        for lines in [
            &[passed, "--- FAIL: TestConformance/MeshPorts (1.00s)", end][..],
            &[passed, "--- SKIP: TestConformance/MeshPorts (0.00s)", end],
            &[passed, "--- FAIL: TestConformance (2.00s)"],
            &[passed],
            &[end],
        ] {
            assert!(read(lines).verdict(None).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn one_wanted_test_decides_alone() {
        let results = read(&[
            "--- PASS: TestConformance/MeshBasic (1.25s)",
            "--- SKIP: TestConformance/MeshPorts (0.00s)",
        ]);
        results.verdict(Some("MeshBasic")).unwrap();
        assert!(results.verdict(Some("MeshPorts")).is_err());
        assert!(results.verdict(Some("MeshOther")).is_err());
    }
}
