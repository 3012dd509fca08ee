//! What the rooms get of a source of the mesh, whichever it is.

use std::{sync::Arc, time::SystemTime};

use crate::model::{Contents, Mesh, Problem};

/// What a source says at one moment.
#[derive(Clone, Debug)]
pub struct Update {
    /// The mesh; its generation counts up where it differs.
    pub mesh: Arc<Mesh>,
    /// All that is wrong with what it says, in the order of files and lines, or of objects.
    pub problems: Arc<[Problem]>,
    /// Whether the mesh is what the source says.
    pub contact: Contact,
}

/// Whether a mesh is what its source says at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It is.
    Fresh,
    /// The source is away: the mesh is what was last known.
    Lost {
        /// When the source last confirmed it.
        since: SystemTime,
    },
}

/// A mesh that an earlier agent knew, for when its source is away.
#[derive(Clone, Debug)]
pub struct LastKnown {
    /// What it is built from.
    pub contents: Contents,
    /// When its source last confirmed it.
    pub confirmed: SystemTime,
}

// === impl Update ===

impl Update {
    /// The problems that are not in an earlier update, to be told once.
    pub fn fresh_problems<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = &'a Problem> {
        self.problems
            .iter()
            .filter(|problem| !earlier.problems.contains(problem))
    }
}
