//! Whom a rotation waits for, as a running CA tells `weft ca show`.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

/// The nodes whose agents attend and have not taken a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waits {
    /// The bundle's version.
    pub(super) bundle: u64,
    pub(super) nodes: BTreeSet<Arc<str>>,
}
