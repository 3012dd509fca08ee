//! `cgroup`: where Weft's programs sit on cgroups, and who else decides about connect() there.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
    kernel::inspect::CgroupAttachment,
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.cgroups, "cgroups", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<CgroupAttachment>, DebugError> {
    Ok(context.pins()?.cgroup_attachments()?)
}

impl Row for CgroupAttachment {
    const COLUMNS: &'static [&'static str] = &["CGROUP", "CGROUP-ID", "ATTACH-TYPE", "NAME", "OWNER", "PROG", "LINK"];

    fn cells(&self) -> Vec<String> {
        vec![
            or_dash(self.cgroup.as_deref().map(std::path::Path::display)),
            self.cgroup_id.to_string(),
            or_dash(self.attach_type.as_deref()),
            self.name.clone(),
            self.owner.label().to_owned(),
            self.prog_id.to_string(),
            or_dash(self.link_id),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::inspect::Owner;

    #[test]
    fn an_attachment_keeps_its_json_keys() {
        let attachment = CgroupAttachment {
            cgroup: Some("/sys/fs/cgroup/kubepods".into()),
            cgroup_id: 42,
            attach_type: Some("connect4".to_owned()),
            name: "connect4".to_owned(),
            prog_id: 7,
            link_id: Some(3),
            owner: Owner::Weft,
        };
        assert_eq!(
            serde_json::to_value(&attachment).unwrap(),
            serde_json::json!({
                "cgroup": "/sys/fs/cgroup/kubepods", "cgroup_id": 42, "attach_type": "connect4", "name": "connect4",
                "prog_id": 7, "link_id": 3, "owner": "weft",
            })
        );
        assert_eq!(attachment.cells().len(), CgroupAttachment::COLUMNS.len());
    }
}
