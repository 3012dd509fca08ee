//! Steps which say what they are and how long they took, and the table of all at the end.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// The steps done so far.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    steps: Vec<(String, Duration)>,
}

// === impl Timing ===

impl Timing {
    /// Does `work` under a headline, and remembers its time.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("==> {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let done = result.with_context(|| format!("{name} failed after {:.1} s", took.as_secs_f64()))?;
        println!("<== {name}: {:.1} s", took.as_secs_f64());
        self.steps.push((name.to_owned(), took));
        Ok(done)
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, took) in &self.steps {
            writeln!(f, "{:>8.1} s  {name}", took.as_secs_f64())?;
        }
        let total: Duration = self.steps.iter().map(|(_, took)| *took).sum();
        write!(f, "{:>8.1} s  in all", total.as_secs_f64())
    }
}
