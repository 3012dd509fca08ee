//! Compares the tests that skipped with tests/skips.txt, so that no test vanishes in silence.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail};

use super::{SkipList, Tally};
use crate::workspace;

/// Says, or fails with, each difference. With a filter, what did not run is no difference.
pub(super) fn compare(tally: &Tally, filter: Option<&str>, skip_list: SkipList) -> Result<()> {
    let path = workspace::root().join("tests/skips.txt");
    let listed = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let expected = expected(&listed);
    let ran_all = filter.is_none();
    let unexpected = tally.skipped.iter().filter(|test| !expected.contains(test.as_str()));
    let unskipped = expected
        .iter()
        .filter(|test| ran_all && !tally.skipped.contains(**test));
    let differences: Vec<_> = unexpected
        .map(|test| format!("{test} skipped and is not in tests/skips.txt"))
        .chain(unskipped.map(|test| format!("{test} is in tests/skips.txt and did not skip")))
        .collect();
    for difference in &differences {
        println!("skips: {difference}");
    }
    match skip_list {
        SkipList::Binding if !differences.is_empty() => bail!("the skipped tests differ from tests/skips.txt"),
        SkipList::Binding | SkipList::Advisory => Ok(()),
    }
}

/// A test's name and its reason on each line, as `SKIP` lines have them; `#` begins a comment.
fn expected(listed: &str) -> BTreeSet<&str> {
    listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").map_or(line, |(test, _reason)| test))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_names_reasons_and_comments() {
        let listed = "# The kernel of the checks is 6.18.\n\na: no KVM\nb\n";
        assert_eq!(expected(listed), BTreeSet::from(["a", "b"]));
    }
}
