//! The counters of a node's kernel programs.

use serde_json::Value;

/// What the kernel programs of a node counted, by reason.
pub(crate) struct Counts(Vec<(String, u64)>);

// === impl Counts ===

impl Counts {
    pub(crate) fn of(dump: &Value) -> Self {
        let entries = dump.as_array().expect("a dump is a list");
        let count = |entry: &Value| {
            let reason = entry["key"]["reason"].as_str().expect("a counter has a reason");
            (
                reason.to_owned(),
                entry["value"]["count"].as_u64().expect("a count is a number"),
            )
        };
        let mut counts: Vec<_> = entries.iter().map(count).collect();
        counts.sort();
        Self(counts)
    }

    /// What was counted between these and `later`.
    pub(crate) fn rise<'a>(&self, later: &'a Self) -> Vec<(&'a str, u64)> {
        let pairs = self.0.iter().zip(&later.0);
        pairs
            .map(|((_, before), (reason, after))| (reason.as_str(), after - before))
            .filter(|(_, rise)| *rise > 0)
            .collect()
    }
}

/// What `weft debug -j` is asked for.
pub(crate) const DUMP: &[&str] = &["map", "dump", "COUNTERS"];
