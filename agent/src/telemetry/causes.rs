//! How an error is told.

use std::{error::Error, iter};

/// An error with all its causes, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
