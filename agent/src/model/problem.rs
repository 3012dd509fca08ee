//! What is wrong with the configuration, told with its place.

use std::{fmt, path::Path, sync::Arc};

use serde::Serialize;

/// One thing that is wrong, or worth a word, in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file that holds it; none where the API server has told it.
    pub file: Option<Arc<Path>>,
    /// The line in that file, from 1; none where there is no file, or it is meant as a whole.
    pub line: Option<u32>,
    /// How bad it is.
    pub severity: Severity,
    /// The object, as far as it could be told: `Service default/web`.
    pub object: Option<String>,
    /// The field within the object: `spec.ports[0].port`.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is not used as it stands; its last good state is kept, where there is one. A security policy denies
    /// where there is none, and where a part of it is unknown.
    Error,
    /// It is used, or left out on purpose, but may not do what its author wants.
    Notice,
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.reason)
    }
}
