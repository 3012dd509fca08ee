//! What this kernel and this process can do, of what Weft uses.
//!
//! Everything is tried and nothing is guessed from the kernel's version, since distributions backport.

mod uses;

use std::{borrow::Cow, error::Error, fs, path::Path};

use aya::sys::{is_helper_supported, is_map_supported, is_program_supported};
use serde::{Deserialize, Serialize};

use self::uses::{CAPABILITIES, HELPERS, MAPS, PROGRAMS};
use crate::net::NetNs;
use crate::telemetry::with_causes;

/// One thing that Weft uses of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// What is looked for.
    pub name: Cow<'static, str>,
    /// Which sort of thing it is.
    pub kind: FeatureKind,
    /// What Weft does with it.
    pub needed_for: Cow<'static, str>,
    /// Whether Weft can do without it.
    pub need: Need,
    /// Whether it is there.
    pub available: bool,
    /// Where it was found, or why it could not be told.
    pub detail: Option<String>,
}

/// Which sort of thing a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A type of kernel program.
    Program,
    /// A helper that a kernel program calls.
    Helper,
    /// A type of map.
    Map,
    /// Something of the system around it.
    System,
    /// A capability of this process.
    Capability,
}

/// Whether Weft can do without a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The agent does not start without it.
    Required,
    /// The agent goes on without what it is needed for.
    Optional,
}

/// What a probe found.
struct Finding {
    available: bool,
    detail: Option<String>,
}

// === impl FeatureKind ===

impl FeatureKind {
    /// The sort as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Helper => "helper",
            Self::Map => "map",
            Self::System => "system",
            Self::Capability => "capability",
        }
    }
}

// === impl Need ===

impl Need {
    /// The need as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

// === impl Finding ===

impl Finding {
    fn of_probe<E: Error>(result: Result<bool, E>) -> Self {
        match result {
            Ok(available) => Self {
                available,
                detail: None,
            },
            Err(error) => Self {
                available: false,
                detail: Some(with_causes(&error)),
            },
        }
    }

    fn at(place: Option<String>) -> Self {
        Self {
            available: place.is_some(),
            detail: place,
        }
    }
}

// === impl Feature ===

impl Feature {
    fn new(kind: FeatureKind, name: &'static str, needed_for: &'static str, need: Need, finding: Finding) -> Self {
        Self {
            name: name.into(),
            kind,
            needed_for: needed_for.into(),
            need,
            available: finding.available,
            detail: finding.detail,
        }
    }
}

/// Probes everything that Weft uses, in a fixed order. It loads trivial programs and creates trivial maps, and keeps none.
pub fn probe() -> Vec<Feature> {
    let programs = PROGRAMS.iter().map(|&(program, name, needed_for)| {
        let finding = Finding::of_probe(is_program_supported(program));
        Feature::new(FeatureKind::Program, name, needed_for, Need::Required, finding)
    });
    let helpers = HELPERS.iter().map(|&(program, helper, name, needed_for, need)| {
        let finding = Finding::of_probe(is_helper_supported(program, helper));
        Feature::new(FeatureKind::Helper, name, needed_for, need, finding)
    });
    let maps = MAPS.iter().map(|&(map, name, needed_for, need)| {
        let finding = Finding::of_probe(is_map_supported(map));
        Feature::new(FeatureKind::Map, name, needed_for, need, finding)
    });
    programs
        .chain(helpers)
        .chain(maps)
        .chain(system())
        .chain(capabilities())
        .collect()
}

fn system() -> Vec<Feature> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = |kind| Finding::at(mount_point(&mounts, kind));
    let file = |path: &str| Finding::at(Path::new(path).exists().then(|| path.to_owned()));
    let row = |name, needed_for, need, finding| Feature::new(FeatureKind::System, name, needed_for, need, finding);
    vec![
        row(
            "cgroup2 mount",
            "attaching the connect programs",
            Need::Required,
            mount("cgroup2"),
        ),
        row(
            "bpf file system",
            "pins: programs outlive the agent",
            Need::Required,
            mount("bpf"),
        ),
        row(
            "SO_NETNS_COOKIE",
            "telling the kernel programs which pods are captured; without it a socket connects to learn the cookie",
            Need::Optional,
            Finding::of_probe(NetNs::current().and_then(|own| own.cookie()).map(|_| true)),
        ),
        row(
            "tcp_fwmark_accept",
            "replies of accepted connections come back to the agent",
            Need::Required,
            file("/proc/sys/net/ipv4/tcp_fwmark_accept"),
        ),
        row(
            "IPv6",
            "capture of IPv6 connections",
            Need::Optional,
            file("/proc/net/if_inet6"),
        ),
        row(
            "BTF of the kernel",
            "type information of maps in other tools",
            Need::Optional,
            file("/sys/kernel/btf/vmlinux"),
        ),
    ]
}

fn capabilities() -> impl Iterator<Item = Feature> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = effective_capabilities(&status);
    CAPABILITIES.iter().map(move |&(bit, name, needed_for)| {
        let finding = match effective {
            Some(held) => Finding {
                available: held & (1 << bit) != 0,
                detail: None,
            },
            None => Finding {
                available: false,
                detail: Some("/proc/self/status has no line CapEff".to_owned()),
            },
        };
        Feature::new(FeatureKind::Capability, name, needed_for, Need::Required, finding)
    })
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(held.trim(), 16).ok()
}

/// Finds where a file system of `kind` is mounted first, in the form of /proc/self/mounts.
fn mount_point(mounts: &str, kind: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found == kind).then(|| place.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mount_of_a_kind_is_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      cgroup2 /mnt cgroup2 rw 0 0\n";
        assert_eq!(
            mount_point(mounts, "cgroup2").as_deref(),
            Some("/sys/fs/cgroup/unified")
        );
        assert_eq!(mount_point(mounts, "bpf"), None);
    }

    #[test]
    fn effective_capabilities_are_read_as_a_set_of_bits() {
        assert_eq!(
            effective_capabilities("Name:\tweft\nCapEff:\t0000000000003000\n"),
            Some(0x3000)
        );
        assert_eq!(effective_capabilities("Name:\tweft\n"), None);
    }

    #[test]
    fn a_feature_keeps_its_json_keys() {
        let feature = Feature::new(
            FeatureKind::Map,
            "ringbuf",
            "weft debug trace drop",
            Need::Optional,
            Finding {
                available: true,
                detail: None,
            },
        );
        assert_eq!(
            serde_json::to_value(feature).expect("serializable"),
            serde_json::json!({
                "name": "ringbuf", "kind": "map", "needed_for": "weft debug trace drop", "need": "optional",
                "available": true, "detail": null,
            })
        );
    }

    #[test]
    fn probing_answers_for_everything_that_weft_uses() {
        let features = probe();
        assert_eq!(
            features.len(),
            PROGRAMS.len() + HELPERS.len() + MAPS.len() + CAPABILITIES.len() + system().len()
        );
    }
}
