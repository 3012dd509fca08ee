//! `prog`: the kernel programs.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, listed, or_dash},
    kernel::inspect::Program,
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.programs, "programs", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<Program>, DebugError> {
    Ok(context.pins()?.programs()?)
}

impl Row for Program {
    const COLUMNS: &'static [&'static str] = &[
        "ID", "TYPE", "NAME", "TAG", "XLATED", "JITED", "MEMLOCK", "RUNS", "NS/RUN", "MAPS", "LINKS", "POD",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.kind.clone(),
            self.name.clone(),
            self.tag.clone(),
            or_dash(self.bytes_xlated),
            self.bytes_jited.to_string(),
            or_dash(self.bytes_memlock),
            self.run_cnt.to_string(),
            or_dash(self.run_time_ns.checked_div(self.run_cnt)),
            listed(&self.map_ids),
            listed(&self.link_ids),
            or_dash(self.pod.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_keeps_its_json_keys() {
        let program = Program {
            id: 7,
            kind: "sk_lookup".to_owned(),
            name: "lookup".to_owned(),
            tag: "00000000deadbeef".to_owned(),
            gpl_compatible: Some(true),
            loaded_at: Some(1_700_000_000),
            uid: Some(0),
            bytes_xlated: Some(800),
            bytes_jited: 500,
            bytes_memlock: Some(4096),
            map_ids: vec![1, 2],
            run_time_ns: 900,
            run_cnt: 3,
            link_ids: vec![4],
            pod: None,
        };
        assert_eq!(
            serde_json::to_value(&program).unwrap(),
            serde_json::json!({
                "id": 7, "type": "sk_lookup", "name": "lookup", "tag": "00000000deadbeef", "gpl_compatible": true,
                "loaded_at": 1_700_000_000, "uid": 0, "bytes_xlated": 800, "bytes_jited": 500, "bytes_memlock": 4096,
                "map_ids": [1, 2], "run_time_ns": 900, "run_cnt": 3, "link_ids": [4], "pod": null,
            })
        );
        assert_eq!(program.cells().len(), Program::COLUMNS.len());
        assert_eq!(program.cells()[8], "300");
    }
}
