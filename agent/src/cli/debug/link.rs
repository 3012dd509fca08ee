//! `link`: which program is attached where.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
    kernel::inspect::Link,
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.links, "links", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<Link>, DebugError> {
    Ok(context.pins()?.links()?)
}

impl Row for Link {
    const COLUMNS: &'static [&'static str] = &["ID", "TYPE", "NAME", "PROG", "ATTACH-TYPE", "TARGET", "POD"];

    fn cells(&self) -> Vec<String> {
        let target = match (self.cgroup_id, self.netns_ino) {
            (Some(0), _) | (_, Some(0)) => "gone".to_owned(),
            (Some(id), _) => format!("cgroup {id}"),
            (None, Some(inode)) => format!("netns {inode}"),
            (None, None) => "-".to_owned(),
        };
        vec![
            self.id.to_string(),
            self.kind.clone(),
            self.name.clone(),
            self.prog_id.to_string(),
            or_dash(self.attach_type.as_deref()),
            target,
            or_dash(self.pod.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_its_json_keys() {
        let link = Link {
            id: 5,
            kind: "netns".to_owned(),
            name: "lookup".to_owned(),
            prog_id: 9,
            attach_type: Some("sk_lookup".to_owned()),
            cgroup_id: None,
            netns_ino: Some(4_026_532_455),
            pod: Some("uid-1".to_owned()),
            pinned: "/sys/fs/bpf/weft/n/v2/pods/uid-1/links/lookup".into(),
        };
        assert_eq!(
            serde_json::to_value(&link).unwrap(),
            serde_json::json!({
                "id": 5, "type": "netns", "name": "lookup", "prog_id": 9, "attach_type": "sk_lookup",
                "cgroup_id": null, "netns_ino": 4_026_532_455_u64, "pod": "uid-1",
                "pinned": "/sys/fs/bpf/weft/n/v2/pods/uid-1/links/lookup",
            })
        );
        assert_eq!(
            link.cells(),
            ["5", "netns", "lookup", "9", "sk_lookup", "netns 4026532455", "uid-1"]
        );
    }

    #[test]
    fn a_link_to_a_namespace_that_ended_says_gone() {
        let link = Link {
            id: 5,
            kind: "netns".to_owned(),
            name: "lookup".to_owned(),
            prog_id: 9,
            attach_type: None,
            cgroup_id: None,
            netns_ino: Some(0),
            pod: None,
            pinned: "/x".into(),
        };
        assert_eq!(link.cells()[5], "gone");
    }
}
