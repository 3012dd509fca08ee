//! `cargo xtask rooms`: who may import whom, and the shape of each file.
//!
//! The table lies in [`table`]; [`mentions`] finds in a file what the table speaks of, [`rules`] compares the two.

mod mentions;
mod rules;
mod table;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::workspace;

/// Check which room imports which, and the shape of each file
///
/// The rooms, what each may import, and which crates and keywords are confined are listed in xtask/src/rooms/table.rs.
#[derive(Args)]
pub(crate) struct Rooms {}

/// A rule that a line breaks.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: PathBuf,
    line: usize,
    rule: String,
}

// === impl Rooms ===

impl Rooms {
    pub(crate) fn run(self) -> Result<()> {
        check()
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// Fails with every violation in the workspace.
pub(crate) fn check() -> Result<()> {
    let files = sources()?;
    let mut violations = Vec::new();
    for file in &files {
        let path = workspace::root().join(file);
        let source = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        violations.extend(rules::violations(file, &source)?);
    }
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} lines break the rules of rooms", violations.len());
    }
    println!("rooms: {} files keep the rules", files.len());
    Ok(())
}

/// The Rust files of the workspace, relative to its root.
fn sources() -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = table::CRATES.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        let path = workspace::root().join(&folder);
        let entries = fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let file = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(file);
            } else if file.extension() == Some("rs".as_ref()) {
                sources.push(file);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// Whether `file` is `place`.rs or lies below `place`.
fn lies_in(file: &Path, place: &str) -> bool {
    file.starts_with(place) || file.with_extension("") == Path::new(place)
}
