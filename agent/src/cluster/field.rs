//! Where in an object something was found, and what.

use std::fmt;

use super::objects::Key;
use crate::model::{Problem, Severity, Support};

/// The path of a field, shown as Kubernetes does: `spec.ports[0].port`, `metadata.labels[weft.dev/mesh]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field(Vec<Step>);

/// One step of a [`Field`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The field.
    pub(crate) field: Field,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What it is.
    pub(crate) reason: String,
}

/// Everything that was found in one object.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    /// Whether something makes the object unusable.
    unusable: bool,
    /// Whether something of it cannot be honoured.
    partial: bool,
}

// === impl Field ===

impl Field {
    /// A field of the object itself, by keys joined with dots.
    pub(crate) fn at(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.into())).collect())
    }

    /// The field of that name below this one.
    pub(crate) fn key(&self, key: impl Into<String>) -> Self {
        self.then(Step::Key(key.into()))
    }

    /// The item of that index below this one.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// The way from the object to the field.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The field one further step below this one.
    pub(crate) fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !key.chars().all(char::is_alphanumeric) => write!(f, "[{key}]")?,
                Step::Key(key) if position == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

impl FromIterator<Step> for Field {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

// === impl Finding ===

impl Finding {
    /// The problem with an object that stands in no file.
    pub(crate) fn of(self, object: &Key) -> Problem {
        let Self {
            field,
            severity,
            reason,
        } = self;
        Problem {
            file: None,
            line: None,
            severity,
            object: Some(object.to_string()),
            field: Some(field.to_string()).filter(|field| !field.is_empty()),
            reason,
        }
    }
}

// === impl Findings ===

impl Findings {
    /// Adds what makes the object unusable.
    pub(crate) fn error(&mut self, field: Field, reason: impl Into<String>) {
        self.unusable = true;
        self.add(Severity::Error, field, reason.into());
    }

    /// Adds what a security policy wants and cannot get, so that it denies its targets.
    pub(crate) fn unhonoured(&mut self, field: Field, reason: impl Into<String>) {
        self.partial = true;
        let reason = format!("{}: the policy denies its targets", reason.into());
        self.add(Severity::Error, field, reason);
    }

    /// Adds what is worth a word.
    pub(crate) fn notice(&mut self, field: Field, reason: impl Into<String>) {
        self.add(Severity::Notice, field, reason.into());
    }

    /// The value, or an error at the field.
    pub(crate) fn accept<T, E: fmt::Display>(&mut self, field: &Field, parsed: Result<T, E>) -> Option<T> {
        parsed
            .map_err(|error| self.error(field.clone(), error.to_string()))
            .ok()
    }

    /// The object, unless something makes it unusable.
    pub(crate) fn admit<T>(&self, object: T) -> Option<T> {
        (!self.unusable).then_some(object)
    }

    /// Whether all of a security policy can be honoured.
    pub(crate) fn support(&self) -> Support {
        if self.partial { Support::Partial } else { Support::Whole }
    }

    /// Whether something at a field or below it was found that cannot be honoured.
    pub(crate) fn is_partial_below(&self, field: &Field) -> bool {
        self.partial
            && self
                .found
                .iter()
                .any(|finding| finding.severity == Severity::Error && finding.field.0.starts_with(&field.0))
    }

    /// What was found, in the order of finding.
    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.found
    }

    fn add(&mut self, severity: Severity, field: Field, reason: String) {
        self.found.push(Finding {
            field,
            severity,
            reason,
        });
    }
}
