//! `stats`: what the kernel programs count, by reason.

use agent_common::names;
use serde::{Deserialize, Serialize};

use super::{Context, DebugError, Outcome, map};
use crate::{cli::output::Row, kernel::inspect::Entry};

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stat {
    /// What was done with a connection, as in metrics and in `trace drop`.
    pub(super) reason: String,
    /// How often.
    pub(super) count: u64,
}

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    let entries = map::entries(context, names::map::COUNTERS)?;
    let stats = entries.iter().filter_map(Stat::of).collect::<Vec<_>>();
    context.output.rows(&stats)?;
    Ok(Outcome::Done)
}

// === impl Stat ===

impl Stat {
    fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            reason: entry.key.get("reason")?.as_str()?.to_owned(),
            count: entry.value.get("count")?.as_u64()?,
        })
    }
}

impl Row for Stat {
    const COLUMNS: &'static [&'static str] = &["REASON", "COUNT"];

    fn cells(&self) -> Vec<String> {
        vec![self.reason.clone(), self.count.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_counter_keeps_its_json_keys() {
        let entry = Entry {
            pod: None,
            key: json!({"reason": "marked"}),
            value: json!({"count": 12}),
        };
        assert_eq!(
            serde_json::to_value(Stat::of(&entry)).unwrap(),
            json!({"reason": "marked", "count": 12})
        );
    }
}
