//! The table at the end: what was to be seen, what was seen.

use std::fmt;

/// What one step showed.
pub(crate) struct Seen {
    /// In a few words.
    pub(crate) what: String,
    /// Whether that is what Weft promises.
    pub(crate) as_promised: bool,
}

/// All steps.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, Seen)>,
}

// === impl Table ===

impl Table {
    pub(crate) fn add(&mut self, step: &'static str, seen: Seen) {
        println!("   => {}", seen.what);
        self.rows.push((step, seen));
    }

    pub(crate) fn all_as_expected(&self) -> bool {
        self.rows.iter().all(|(_, seen)| seen.as_promised)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |width: fn(&(&'static str, Seen)) -> usize| self.rows.iter().map(width).max().unwrap_or_default();
        let step = widest(|(step, _)| step.len());
        let what = widest(|(_, seen)| seen.what.len());
        writeln!(f, "   {:step$}  {:what$}  as promised", "step", "seen")?;
        writeln!(f, "   {:-<step$}  {:-<what$}  -----------", "", "")?;
        for (name, seen) in &self.rows {
            writeln!(
                f,
                "   {name:step$}  {:what$}  {}",
                seen.what,
                if seen.as_promised { "yes" } else { "NO" }
            )?;
        }
        Ok(())
    }
}
