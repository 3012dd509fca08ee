//! The list of the runtime's plugins, with our entry and without: pure, text in, text out.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{NAME, network::speaks};

/// Why our entry cannot be put into a configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error("it is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("it has no plugins")]
    NoPlugins,
    #[error("its CNI version is {0}")]
    Version(String),
}

/// What a file is by its name, as the runtimes take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list of plugins.
    List,
    /// A single plugin.
    Single,
}

/// A configuration with our entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chained {
    /// It has it already.
    Already,
    /// This is what it should be.
    Changed(String),
}

// === impl Kind ===

impl Kind {
    /// None for what no runtime reads.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            _ if stem.is_empty() => None,
            "conflist" => Some(Self::List),
            "conf" | "json" => Some(Self::Single),
            _ => None,
        }
    }
}

/// The list with our entry at its end, all else as it was.
pub(super) fn chained(list: &str, run_dir: &Path) -> Result<Chained, ChainError> {
    let before: Map<String, Value> = serde_json::from_str(list)?;
    check_version(&before)?;
    let plugins = plugins(&before).ok_or(ChainError::NoPlugins)?;
    let others = plugins.iter().filter(|plugin| !is_ours(plugin)).cloned();
    let wanted: Vec<Value> = others.chain([entry(run_dir)]).collect();
    if wanted.len() == 1 {
        return Err(ChainError::NoPlugins);
    }
    if wanted == *plugins {
        return Ok(Chained::Already);
    }
    let mut after = before.clone();
    after.insert(PLUGINS.to_owned(), wanted.into());
    Ok(Chained::Changed(written(&after)))
}

/// A list of a single plugin and ours, which says of which file it was made.
pub(super) fn chained_single(single: &str, file: &str, run_dir: &Path) -> Result<String, ChainError> {
    let plugin: Map<String, Value> = serde_json::from_str(single)?;
    check_version(&plugin)?;
    if !plugin.get(TYPE).is_some_and(Value::is_string) {
        return Err(ChainError::NoPlugins);
    }
    let copied = |key: &str| Some((key.to_owned(), plugin.get(key)?.clone()));
    let mut list: Map<String, Value> = ["cniVersion", "name"].into_iter().filter_map(copied).collect();
    list.insert(MADE_OF.to_owned(), file.into());
    list.insert(PLUGINS.to_owned(), json!([plugin, entry(run_dir)]));
    Ok(written(&list))
}

/// The list without our entry; none where it has none.
pub(super) fn unchained(list: &str) -> Option<String> {
    let mut list: Map<String, Value> = serde_json::from_str(list).ok()?;
    let plugins = plugins(&list)?;
    let others: Vec<Value> = plugins.iter().filter(|plugin| !is_ours(plugin)).cloned().collect();
    if others.len() == plugins.len() {
        return None;
    }
    list.insert(PLUGINS.to_owned(), others.into());
    Some(written(&list))
}

/// The file of which a list of ours was made; none for all other lists.
pub(super) fn made_of(list: &str) -> Option<String> {
    let list: Map<String, Value> = serde_json::from_str(list).ok()?;
    Some(list.get(MADE_OF)?.as_str()?.to_owned())
}

/// Whether a configuration does nothing but call those of other networks, ours among them: our entry belongs there.
pub(super) fn only_delegates(configuration: &str) -> bool {
    let Ok(configuration) = serde_json::from_str::<Map<String, Value>>(configuration) else {
        return false;
    };
    let delegates = |plugin: &Value| plugin.get(TYPE).and_then(Value::as_str) == Some(DELEGATE);
    match plugins(&configuration) {
        Some(plugins) => plugins.first().is_some_and(delegates),
        None => delegates(&configuration.into()),
    }
}

fn entry(run_dir: &Path) -> Value {
    json!({ TYPE: NAME, "runDir": run_dir })
}

fn is_ours(plugin: &Value) -> bool {
    plugin.get(TYPE).and_then(Value::as_str) == Some(NAME)
}

fn plugins(list: &Map<String, Value>) -> Option<&Vec<Value>> {
    list.get(PLUGINS)?.as_array()
}

/// A plugin that does not speak the network's version would keep every pod from starting.
fn check_version(configuration: &Map<String, Value>) -> Result<(), ChainError> {
    match configuration.get("cniVersion").and_then(Value::as_str) {
        Some(version) if speaks(version) => Ok(()),
        Some(version) => Err(ChainError::Version(version.to_owned())),
        None => Err(ChainError::Version("not told".to_owned())),
    }
}

fn written(list: &Map<String, Value>) -> String {
    format!("{:#}\n", Value::from(list.clone()))
}

const PLUGINS: &str = "plugins";
const TYPE: &str = "type";

/// The key by which a list of ours names the file of which it was made; runtimes pass over it.
const MADE_OF: &str = "weft.dev/made-of";

/// Multus: it calls the network that comes after it in the folder.
const DELEGATE: &str = "multus";

#[cfg(test)]
mod tests;
