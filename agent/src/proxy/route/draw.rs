//! What is left to chance.

use std::hash::{BuildHasher as _, RandomState};

use crate::model::{Backend, RouteRule};

/// One of a rule's backends, by their weights.
pub(in crate::proxy) fn draw(rule: &RouteRule) -> &Backend {
    rule.pick(random())
}

/// An even random number: keyed anew by the operating system's randomness once per thread, and counted up with each use.
pub(in crate::proxy) fn random() -> u64 {
    RandomState::new().hash_one(())
}
