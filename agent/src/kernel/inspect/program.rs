//! Programs, found by the links that hold them.

use std::time::UNIX_EPOCH;

use aya::programs::{ProgramInfo, loaded_programs};
use serde::{Deserialize, Serialize};

use super::{InspectError, Link, Pins};

/// An attached program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The kernel's id.
    pub id: u32,
    /// The type, as bpftool names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name.
    pub name: String,
    /// A hash of its instructions.
    pub tag: String,
    /// Whether it may call GPL helpers.
    pub gpl_compatible: Option<bool>,
    /// When it was loaded, in seconds since 1970.
    pub loaded_at: Option<u64>,
    /// The user who loaded it.
    pub uid: Option<u32>,
    /// The size of its instructions.
    pub bytes_xlated: Option<u32>,
    /// The size of its machine code.
    pub bytes_jited: u32,
    /// The memory it takes.
    pub bytes_memlock: Option<u32>,
    /// The ids of its maps.
    pub map_ids: Vec<u32>,
    /// How long it ran; counted while the sysctl kernel.bpf_stats_enabled is on.
    pub run_time_ns: u64,
    /// How often it ran; counted while the sysctl kernel.bpf_stats_enabled is on.
    pub run_cnt: u64,
    /// The ids of the links that hold it.
    pub link_ids: Vec<u32>,
    /// The pod whose it is; none for those of the whole node.
    pub pod: Option<String>,
}

// === impl Pins ===

impl Pins {
    /// Every program that a pinned link holds, in the order of their ids.
    pub fn programs(&self) -> Result<Vec<Program>, InspectError> {
        let links = self.links()?;
        let mut programs = Vec::new();
        for info in loaded_programs() {
            let info = match info {
                Ok(info) => info,
                Err(error) if vanished(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            if links.iter().any(|link| link.prog_id == info.id()) {
                programs.push(Program::new(&info, &links)?);
            }
        }
        programs.sort_by_key(|program| program.id);
        Ok(programs)
    }
}

// === impl Program ===

impl Program {
    fn new(info: &ProgramInfo, links: &[Link]) -> Result<Self, InspectError> {
        let holders = links
            .iter()
            .filter(|link| link.prog_id == info.id())
            .collect::<Vec<_>>();
        let name = info.name_as_str().map(str::to_owned);
        Ok(Self {
            id: info.id(),
            kind: type_name(&format!("{:?}", info.program_type())),
            // Kernel names end at 15 bytes; the pin has the whole of it.
            name: holders
                .first()
                .map(|link| link.name.clone())
                .or(name)
                .unwrap_or_default(),
            // The tag is shown as the bytes lie in memory, as bpftool does.
            tag: format!("{:016x}", info.tag()),
            gpl_compatible: info.gpl_compatible(),
            loaded_at: info
                .loaded_at()
                .and_then(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())),
            uid: info.created_by_uid(),
            bytes_xlated: info.size_translated(),
            bytes_jited: info.size_jitted(),
            bytes_memlock: info.memory_locked().ok(),
            map_ids: info.map_ids()?.unwrap_or_default(),
            run_time_ns: u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX),
            run_cnt: info.run_count(),
            link_ids: holders.iter().map(|link| link.id).collect(),
            pod: holders.first().and_then(|link| link.pod.clone()),
        })
    }
}

/// Whether a program was unloaded between being listed and being read.
fn vanished(error: &aya::programs::ProgramError) -> bool {
    matches!(error, aya::programs::ProgramError::SyscallError(error)
        if error.io_error.kind() == std::io::ErrorKind::NotFound)
}

fn type_name(generated: &str) -> String {
    generated
        .strip_prefix("BPF_PROG_TYPE_")
        .unwrap_or(generated)
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_bpftool_names_them() {
        assert_eq!(type_name("BPF_PROG_TYPE_CGROUP_SOCK_ADDR"), "cgroup_sock_addr");
    }
}
