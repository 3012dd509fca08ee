//! What the API server answers, as far as every kind of object has it. Objects stay text, each for itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    pub(super) metadata: PageMetadata,
    #[serde(borrow)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    pub(super) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(super) continued: Option<String>,
}

/// A line of a watch.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// What stands in a bookmark.
#[derive(Deserialize)]
pub(super) struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What the server says instead of what was asked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) message: String,
    pub(super) code: u16,
}

// === impl Bookmark ===

impl Bookmark {
    /// Whether all objects have been told that there were when the watch began.
    pub(super) fn ends_list(&self) -> bool {
        self.metadata.annotations.contains_key(END_OF_LIST)
    }

    /// What to go on after.
    pub(super) fn into_version(self) -> String {
        self.metadata.resource_version
    }
}

/// The annotation of the bookmark by which a streaming list is complete.
const END_OF_LIST: &str = "k8s.io/initial-events-end";
