//! What the suite's tests came to, read from what `go test -v` prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Result, bail};
use cluster::CONFORMANCE_TESTS;

/// The tests so far, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// The one that is wanted; all of meshes, if none is named.
    only: Option<String>,
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
    /// None yet, of the test that is wanted or of all.
    pub(super) fn of(only: Option<&str>) -> Self {
        Self {
            only: only.map(str::to_owned),
            ..Self::default()
        }
    }

    /// Takes one line; gives the name of the test that begins with it.
    pub(super) fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let line = line.trim_start();
        if let Some(test) = line.strip_prefix("=== RUN ") {
            return test
                .trim_start()
                .strip_prefix(INSIDE)
                .filter(|name| self.is_wanted(name));
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
        } else if let Some(name) = name.strip_prefix(INSIDE).filter(|name| self.is_wanted(name)) {
            let took = took.trim_matches(['(', ')']).to_owned();
            self.tests.insert(name.to_owned(), Ended { outcome, took });
        }
        None
    }

    /// Fails unless all that is wanted passed.
    pub(super) fn all_passed(&self) -> Result<()> {
        let bad = self.count(Outcome::Failed) + self.count(Outcome::Skipped);
        if bad > 0 {
            bail!("{bad} tests did not pass");
        }
        self.came_to_its_end()?;
        if self.whole != Some(Outcome::Passed) {
            bail!("the suite failed outside its tests");
        }
        Ok(())
    }

    /// Fails unless these tests passed, and no other.
    pub(super) fn only_passed(&self, expected: &[&str]) -> Result<()> {
        self.came_to_its_end()?;
        let passed: BTreeSet<_> = self
            .tests
            .iter()
            .filter(|(_, ended)| ended.outcome == Outcome::Passed)
            .map(|(name, _)| name.as_str())
            .collect();
        let expected: BTreeSet<_> = expected.iter().copied().filter(|name| self.is_wanted(name)).collect();
        if passed != expected {
            bail!("{expected:?} should pass, and no other; {passed:?} did");
        }
        Ok(())
    }

    /// Fails unless the suite has the tests that are known, and no other: each is a test in network namespaces, too.
    pub(super) fn are_the_known(&self) -> Result<()> {
        let known = CONFORMANCE_TESTS.into_iter().filter(|name| self.is_wanted(name));
        if !self.tests.keys().map(String::as_str).eq(known) {
            bail!(
                "the suite has other tests than those that are known: {:?}",
                self.tests.keys()
            );
        }
        Ok(())
    }

    fn came_to_its_end(&self) -> Result<()> {
        match (&self.only, self.tests.is_empty()) {
            (Some(only), true) => bail!("the suite ran no test {only} of a mesh"),
            (None, true) => bail!("the suite ran no test of a mesh"),
            (_, false) if self.whole.is_none() => bail!("the suite did not come to its end"),
            (_, false) => Ok(()),
        }
    }

    /// Whether a test is one of a mesh, no part of one, and wanted. Those of gateways are there too, and are skipped.
    fn is_wanted(&self, name: &str) -> bool {
        name.starts_with("Mesh") && !name.contains('/') && self.only.as_deref().is_none_or(|only| only == name)
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

const WHOLE: &str = "TestConformance";
const INSIDE: &str = "TestConformance/";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Results {
        read_only(None, lines)
    }

    fn read_only(only: Option<&str>, lines: &[&str]) -> Results {
        let mut results = Results::of(only);
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
        results.all_passed().unwrap();
    }

    #[test]
    fn a_failed_or_a_skipped_test_or_no_end_is_no_pass() {
        for lines in [
            &[BASIC, "--- FAIL: TestConformance/MeshPorts (1.00s)", PASSED][..],
            &[BASIC, "--- SKIP: TestConformance/MeshPorts (0.00s)", PASSED],
            &[BASIC, FAILED],
            &[BASIC],
            &[PASSED],
        ] {
            assert!(read(lines).all_passed().is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_test_that_is_not_known_or_not_there_is_noticed() {
        let passed = |name: &str| format!("--- PASS: TestConformance/{name} (1.00s)");
        let mut lines = CONFORMANCE_TESTS.map(passed).to_vec();
        let known = |lines: &[String]| read(&lines.iter().map(String::as_str).collect::<Vec<_>>()).are_the_known();
        known(&lines).unwrap();
        assert!(known(&lines[1..]).is_err());
        lines.push(passed("MeshOther"));
        assert!(known(&lines).is_err());
        read_only(Some("MeshBasic"), &[BASIC]).are_the_known().unwrap();
    }

    #[test]
    fn one_wanted_test_decides_alone() {
        let lines = [BASIC, "--- SKIP: TestConformance/MeshPorts (0.00s)", PASSED];
        read_only(Some("MeshBasic"), &lines).all_passed().unwrap();
        assert!(read_only(Some("MeshPorts"), &lines).all_passed().is_err());
        assert!(read_only(Some("MeshOther"), &lines).all_passed().is_err());
    }

    #[test]
    fn where_some_are_to_pass_all_others_must_fail() {
        let lines = [BASIC, "--- FAIL: TestConformance/MeshPorts (1.00s)", FAILED];
        let results = read(&lines);
        results.only_passed(&["MeshBasic"]).unwrap();
        assert!(results.only_passed(&[]).is_err());
        assert!(results.only_passed(&["MeshBasic", "MeshPorts"]).is_err());
        assert!(read(&lines[..2]).only_passed(&["MeshBasic"]).is_err(), "no end");
        read_only(Some("MeshPorts"), &lines)
            .only_passed(&["MeshBasic"])
            .unwrap();
        assert!(read_only(Some("MeshOther"), &lines).only_passed(&[]).is_err());
    }

    const BASIC: &str = "--- PASS: TestConformance/MeshBasic (1.25s)";
    const PASSED: &str = "--- PASS: TestConformance (2.00s)";
    const FAILED: &str = "--- FAIL: TestConformance (2.00s)";
}
