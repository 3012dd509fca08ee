//! `feature`: what this kernel can do, of what Weft needs.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
    kernel::feature::{self, Feature},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.features, "features", |_| Ok(feature::probe()))
}

impl Row for Feature {
    const COLUMNS: &'static [&'static str] = &["KIND", "NAME", "AVAILABLE", "NEED", "NEEDED FOR", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.label().to_owned(),
            self.name.to_string(),
            if self.available { "yes" } else { "NO" }.to_owned(),
            self.need.label().to_owned(),
            self.needed_for.to_string(),
            or_dash(self.detail.as_deref()),
        ]
    }
}
