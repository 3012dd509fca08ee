//! `map`: the maps and their entries.

use serde_json::Value;

use super::{Context, DebugError, Outcome, snapshot::MapEntries};
use crate::{
    cli::output::{Row, or_dash},
    kernel::inspect::{self, Entry, InspectError, Map},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.maps, "maps", collect)
}

pub(super) fn dump(context: &mut Context, name: &str) -> Result<Outcome, DebugError> {
    let entries = entries(context, name)?;
    context.output.rows(&entries)?;
    Ok(Outcome::Done)
}

pub(super) fn collect(context: &Context) -> Result<Vec<Map>, DebugError> {
    Ok(context.pins()?.maps()?)
}

/// The entries of one map.
pub(super) fn entries(context: &Context, name: &str) -> Result<Vec<Entry>, DebugError> {
    let name = inspect::map_name(name)?;
    match context.snapshot()? {
        Some(file) => {
            let maps = file.entries.rows("map entries")?;
            let found = maps.into_iter().find(|map| map.map == name);
            found.map(|map| map.entries).ok_or_else(|| DebugError::Missing {
                section: "entries of this map",
                reason: name.to_owned(),
            })
        }
        None => Ok(context.pins()?.entries(name)?),
    }
}

/// The entries of every map that has some to show.
pub(super) fn collect_entries(context: &Context) -> Result<Vec<MapEntries>, DebugError> {
    let pins = context.pins()?;
    let mut maps = Vec::new();
    for name in inspect::map_names() {
        match pins.entries(name) {
            Ok(entries) => maps.push(MapEntries {
                map: name.to_owned(),
                entries,
            }),
            Err(InspectError::Opaque { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(maps)
}

impl Row for Map {
    const COLUMNS: &'static [&'static str] = &[
        "ID",
        "TYPE",
        "NAME",
        "KEY",
        "VALUE",
        "MAX-ENTRIES",
        "FLAGS",
        "MEMLOCK",
        "POD",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.kind.clone(),
            self.name.clone(),
            format!("{}B", self.bytes_key),
            format!("{}B", self.bytes_value),
            self.max_entries.to_string(),
            format!("{:#x}", self.flags),
            or_dash(self.bytes_memlock),
            or_dash(self.pod.as_deref()),
        ]
    }
}

impl Row for Entry {
    const COLUMNS: &'static [&'static str] = &["POD", "KEY", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![or_dash(self.pod.as_deref()), flat(&self.key), flat(&self.value)]
    }
}

/// An object as `key=value key=value`, as a table shows it.
fn flat(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return plain(value);
    };
    if fields.is_empty() {
        return "-".to_owned();
    }
    let fields = fields.iter().map(|(key, value)| format!("{key}={}", plain(value)));
    fields.collect::<Vec<_>>().join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_map_keeps_its_json_keys() {
        let map = Map {
            id: 3,
            kind: "lru_hash".to_owned(),
            name: "LEGS".to_owned(),
            flags: 0,
            bytes_key: 36,
            bytes_value: 8,
            max_entries: 65536,
            bytes_memlock: Some(4096),
            pod: None,
            pinned: "/sys/fs/bpf/weft/n/v2/maps/LEGS".into(),
        };
        assert_eq!(
            serde_json::to_value(&map).unwrap(),
            json!({
                "id": 3, "type": "lru_hash", "name": "LEGS", "flags": 0, "bytes_key": 36, "bytes_value": 8,
                "max_entries": 65536, "bytes_memlock": 4096, "pod": null, "pinned": "/sys/fs/bpf/weft/n/v2/maps/LEGS",
            })
        );
        assert_eq!(map.cells().len(), Map::COLUMNS.len());
    }

    #[test]
    fn entries_are_flat_in_a_table() {
        let entry = Entry {
            pod: Some("uid-1".to_owned()),
            key: json!({"index": 0}),
            value: json!({"on_agent_failure": "open", "probe_ports": [8080, 9090]}),
        };
        assert_eq!(
            entry.cells(),
            ["uid-1", "index=0", "on_agent_failure=open probe_ports=8080,9090"]
        );
        assert_eq!(flat(&json!({})), "-");
    }
}
