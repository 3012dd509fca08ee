//! What the kernel says about an open BPF object in /proc/self/fdinfo, beyond what aya shows.

use std::{collections::BTreeMap, fs, os::fd::RawFd, str::FromStr};

/// The fields of one descriptor's fdinfo; empty when it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FdInfo(BTreeMap<String, String>);

// === impl FdInfo ===

impl FdInfo {
    pub(super) fn of(fd: RawFd) -> Self {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        Self::parse(&text)
    }

    /// The fdinfo of an open link, which is found by its id since aya keeps a link's descriptor to itself.
    pub(super) fn of_link(id: u32) -> Self {
        let Ok(folder) = fs::read_dir("/proc/self/fdinfo") else {
            return Self::default();
        };
        folder
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(Self::of)
            .find(|info| info.field("link_id") == Some(id))
            .unwrap_or_default()
    }

    pub(super) fn field<T: FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.parse().ok()
    }

    fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(
            fields
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name() {
        let info = FdInfo::parse("pos:\t0\nlink_type:\tnetns\nlink_id:\t7\nnetns_ino:\t4026532455\n");
        assert_eq!(info.field("link_id"), Some(7));
        assert_eq!(info.field("netns_ino"), Some(4_026_532_455_u64));
        assert_eq!(info.field::<String>("link_type").as_deref(), Some("netns"));
        assert_eq!(info.field::<u32>("cgroup_id"), None);
    }
}
