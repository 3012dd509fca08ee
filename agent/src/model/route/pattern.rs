//! Regular expressions that have to match a whole value.

use std::{fmt, sync::Arc};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;
use serde::{Deserialize, Serialize};

/// A regular expression for whole values; its memory is bounded, and so is its time, by the length of the value.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    written: Arc<str>,
    compiled: Regex,
}

/// A text that is no regular expression, or a too large one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not a regular expression that can be used: {0}")]
pub struct InvalidPattern(Box<regex::Error>);

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// When the text is no regular expression, or one that needs too much memory.
    pub fn new(written: &str) -> Result<Self, InvalidPattern> {
        let compiled = RegexBuilder::new(&format!("^(?:{written})$"))
            .size_limit(MOST_MEMORY)
            .dfa_size_limit(MOST_MEMORY)
            .build()
            .map_err(|error| InvalidPattern(Box::new(error)))?;
        Ok(Self {
            written: written.into(),
            compiled,
        })
    }

    /// Whether the whole value is as the pattern wants it.
    pub fn matches(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }

    /// How it is built; none where that cannot be told.
    pub(super) fn syntax(&self) -> Option<Hir> {
        regex_syntax::parse(self.compiled.as_str()).ok()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(written: String) -> Result<Self, InvalidPattern> {
        Self::new(&written)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        (*pattern.written).to_owned()
    }
}

/// Enough for a pattern of the 4,096 characters that a header's may have.
const MOST_MEMORY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_the_whole_value() {
        let pattern = Pattern::new("a|bc").unwrap();
        let fitting: Vec<bool> = ["a", "bc", "abc", "a\n", ""].map(|value| pattern.matches(value)).into();
        assert_eq!(fitting, [true, true, false, false, false]);
    }

    #[test]
    fn what_is_no_pattern_or_a_huge_one_is_refused() {
        for refused in ["(", "a{1000}{1000}{1000}"] {
            assert!(Pattern::new(refused).is_err(), "{refused}");
        }
    }
}
