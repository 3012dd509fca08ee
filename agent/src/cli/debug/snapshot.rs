//! Everything of one node at one moment: the file that `dump all` writes and `-f` reads.

use serde::{Deserialize, Serialize};

use super::{DebugError, connection::Connection, pod::PodRow};
use crate::{
    kernel::{
        feature::Feature,
        inspect::{CgroupAttachment, Entry, Link, Map, Program},
    },
    model::{CertificateView, EndpointView, PolicyView, RouteView, ServiceView},
};

/// Everything of one node at one moment. Keys are only ever added.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The version of this layout.
    pub(super) version: u32,
    /// The node.
    pub(super) node: String,
    /// When it was taken, in seconds since 1970.
    pub(super) taken_at: u64,
    /// The release of the kernel.
    pub(super) kernel: String,
    pub(super) programs: Section<Program>,
    pub(super) maps: Section<Map>,
    pub(super) links: Section<Link>,
    pub(super) cgroups: Section<CgroupAttachment>,
    pub(super) features: Section<Feature>,
    pub(super) entries: Section<MapEntries>,
    pub(super) pods: Section<PodRow>,
    pub(super) connections: Section<Connection>,
    pub(super) services: Section<ServiceView>,
    pub(super) endpoints: Section<EndpointView>,
    #[serde(default)]
    pub(super) certificates: Section<CertificateView>,
    #[serde(default)]
    pub(super) policies: Section<PolicyView>,
    #[serde(default)]
    pub(super) routes: Section<RouteView>,
    pub(super) problems: Section<serde_json::Value>,
}

/// One part of it: its rows, or why there are none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Section<R> {
    Rows(Vec<R>),
    Missing { missing: String },
}

/// The entries of one map.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MapEntries {
    pub(super) map: String,
    pub(super) entries: Vec<Entry>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Takes a file of this version only.
    pub(super) fn checked(snapshot: Self) -> Result<Self, DebugError> {
        if snapshot.version == VERSION {
            Ok(snapshot)
        } else {
            Err(DebugError::Version {
                found: snapshot.version,
            })
        }
    }
}

// === impl Section ===

impl<R> Default for Section<R> {
    fn default() -> Self {
        Self::Missing {
            missing: "an older version has taken it".to_owned(),
        }
    }
}

impl<R> Section<R> {
    pub(super) fn rows(self, section: &'static str) -> Result<Vec<R>, DebugError> {
        match self {
            Self::Rows(rows) => Ok(rows),
            Self::Missing { missing } => Err(DebugError::Missing {
                section,
                reason: missing,
            }),
        }
    }
}

impl<R> From<Result<Vec<R>, DebugError>> for Section<R> {
    fn from(result: Result<Vec<R>, DebugError>) -> Self {
        match result {
            Ok(rows) => Self::Rows(rows),
            Err(error) => Self::Missing {
                missing: crate::kernel::with_causes(&error),
            },
        }
    }
}

/// The version of the layout that this build writes and reads.
pub(super) const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_could_not_be_read_keeps_its_reason() {
        let section = Section::<u32>::from(Err(DebugError::NoSuchPod { name: "x".to_owned() }));
        let text = serde_json::to_string(&section).unwrap();
        assert_eq!(text, r#"{"missing":"no pod is called x"}"#);
        let read = serde_json::from_str::<Section<u32>>(&text).unwrap();
        assert_eq!(
            read.rows("pods").unwrap_err().to_string(),
            "the file has no pods: no pod is called x"
        );
    }

    #[test]
    fn a_section_with_rows_is_an_array() {
        let section = Section::Rows(vec![1, 2]);
        assert_eq!(serde_json::to_string(&section).unwrap(), "[1,2]");
        assert_eq!(
            serde_json::from_str::<Section<u32>>("[1,2]")
                .unwrap()
                .rows("pods")
                .unwrap(),
            [1, 2]
        );
    }
}
