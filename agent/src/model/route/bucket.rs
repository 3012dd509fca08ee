//! Rules for the same paths, told apart by the rest of a request.
//!
//! Most often one header tells them apart: they are found by its value, so that a thousand of them cost as much as one.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderMap, HeaderName};

use super::{Match, Rule, TextMatch, condition::joined, table::Request};

/// A rule with one of its matches.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) matched: Match,
    pub(super) rule: Arc<Rule>,
}

/// Rules in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    entries: Vec<Entry>,
    /// By the first header that they want exactly; the others are always tried.
    by_header: HashMap<HeaderName, HashMap<Arc<str>, Vec<usize>>>,
    others: Vec<usize>,
}

// === impl Bucket ===

impl Bucket {
    /// Adds a rule after those which are there.
    pub(super) fn push(&mut self, entry: Entry) {
        let index = self.entries.len();
        let exact = entry
            .matched
            .conditions
            .headers
            .iter()
            .find_map(|(name, wanted)| match wanted {
                TextMatch::Exact(value) => Some((name, value)),
                TextMatch::Pattern(_) => None,
            });
        match exact {
            Some((name, value)) => {
                let values = self.by_header.entry(name.as_header().clone()).or_default();
                values.entry(Arc::clone(value)).or_default().push(index);
            }
            None => self.others.push(index),
        }
        self.entries.push(entry);
    }

    /// The first whose conditions hold.
    pub(super) fn choose(&self, request: Request<'_>) -> Option<&Entry> {
        let holding = |indices: &[usize], before: usize| {
            let mut tried = indices.iter().copied().take_while(|index| *index < before);
            tried.find(|index| {
                let Request { method, uri, headers } = request;
                self.entries[*index]
                    .matched
                    .conditions
                    .hold(method, uri.query(), headers)
            })
        };
        let first = holding(&self.others, usize::MAX).unwrap_or(usize::MAX);
        let first = self
            .candidates(request.headers)
            .into_iter()
            .fold(first, |first, indices| holding(indices, first).unwrap_or(first));
        self.entries.get(first)
    }

    /// The rules which want exactly a header that is there.
    fn candidates(&self, headers: &HeaderMap) -> Vec<&[usize]> {
        if self.by_header.is_empty() {
            return Vec::new();
        }
        let found = headers.keys().filter_map(|name| {
            let values = self.by_header.get(name)?;
            let value = joined(headers, name)?;
            values.get(&*value).map(Vec::as_slice)
        });
        found.collect()
    }

    /// All entries in their order, for showing.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
