//! Rules for paths by regular expressions, of which a request tries few.
//!
//! What an expression cannot do without is looked for in a path first, in all expressions' at once: a thousand of them
//! cost as much as those that may fit. Expressions of which nothing is fixed are always tried.

use std::{collections::HashMap, sync::Arc};

use aho_corasick::AhoCorasick;
use regex_syntax::hir::{Hir, HirKind};

use super::{
    Pattern,
    bucket::{Bucket, Entry},
    table::Request,
};

/// The rules of each expression, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    buckets: Vec<(Pattern, Bucket)>,
    places: HashMap<Arc<str>, usize>,
    fixed: Fixed,
}

/// The texts without which expressions do not fit.
#[derive(Clone, Debug, Default)]
struct Fixed {
    texts: Option<AhoCorasick>,
    /// The expressions of each text.
    owners: Vec<Vec<usize>>,
    /// Those without one.
    others: Vec<usize>,
}

// === impl Patterns ===

impl Patterns {
    /// The rules of an expression; who comes first is tried first.
    pub(super) fn at(&mut self, pattern: &Pattern) -> &mut Bucket {
        let next = self.buckets.len();
        let place = *self.places.entry(pattern.as_str().into()).or_insert(next);
        if place == next {
            self.buckets.push((pattern.clone(), Bucket::default()));
        }
        &mut self.buckets[place].1
    }

    /// Makes them ready to be chosen from, when all are there.
    pub(super) fn index(&mut self) {
        let patterns: Vec<&Pattern> = self.buckets.iter().map(|(pattern, _)| pattern).collect();
        self.fixed = Fixed::new(&patterns);
    }

    /// The first rule that fits.
    pub(super) fn choose(&self, path: &str, request: Request<'_>) -> Option<&Entry> {
        let candidates = self.fixed.candidates(path).into_iter();
        let mut fitting = candidates
            .filter_map(|index| self.buckets.get(index))
            .filter(|(pattern, _)| pattern.matches(path));
        fitting.find_map(|(_, bucket)| bucket.choose(request))
    }

    /// The rules of each expression.
    pub(super) fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.buckets.iter().map(|(_, bucket)| bucket)
    }
}

// === impl Fixed ===

impl Fixed {
    fn new(patterns: &[&Pattern]) -> Self {
        let texts: Vec<Vec<Vec<u8>>> = patterns
            .iter()
            .map(|pattern| texts(pattern.syntax().as_ref()))
            .collect();
        let mut uses: HashMap<&[u8], usize> = HashMap::new();
        texts
            .iter()
            .flatten()
            .for_each(|text| *uses.entry(text).or_default() += 1);
        let mut owners: HashMap<&[u8], Vec<usize>> = HashMap::new();
        let mut others = Vec::new();
        for (index, own) in texts.iter().enumerate() {
            // The one that fewest share tells most.
            let rarest = own
                .iter()
                .min_by_key(|text| (uses.get(&***text), usize::MAX - text.len()));
            match rarest {
                Some(text) => owners.entry(text).or_default().push(index),
                None => others.push(index),
            }
        }
        let (texts, owners): (Vec<&[u8]>, Vec<Vec<usize>>) = owners.into_iter().unzip();
        match AhoCorasick::new(&texts) {
            Ok(automaton) => Self {
                texts: Some(automaton).filter(|_| !texts.is_empty()),
                owners,
                others,
            },
            // Too many to be looked for at once.
            Err(_) => Self {
                others: (0..patterns.len()).collect(),
                ..Self::default()
            },
        }
    }

    /// The expressions that may fit, in order.
    fn candidates(&self, path: &str) -> Vec<usize> {
        let mut candidates = self.others.clone();
        if let Some(texts) = &self.texts {
            let found = texts.find_overlapping_iter(path);
            candidates.extend(found.flat_map(|found| &self.owners[found.pattern()]));
            candidates.sort_unstable();
            candidates.dedup();
        }
        candidates
    }
}

/// The texts that every value has which an expression fits.
fn texts(expression: Option<&Hir>) -> Vec<Vec<u8>> {
    match expression.map(Hir::kind) {
        Some(HirKind::Literal(literal)) => vec![literal.0.to_vec()],
        Some(HirKind::Capture(group)) => texts(Some(&group.sub)),
        Some(HirKind::Repetition(repeated)) if repeated.min > 0 => texts(Some(&repeated.sub)),
        Some(HirKind::Concat(parts)) => parts.iter().flat_map(|part| texts(Some(part))).collect(),
        Some(
            HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Alternation(_),
        )
        | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(patterns: &[&str]) -> Fixed {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
        Fixed::new(&patterns.iter().collect::<Vec<_>>())
    }

    #[test]
    fn an_expression_is_a_candidate_only_where_what_it_needs_is_there() {
        let fixed = fixed(&["/shop/[a-z]+/one", "/shop/[a-z]+/two", "/shop/.*", "(?i)/x|/y", "(/z)+"]);
        for (path, expected) in [
            ("/shop/a/one", &[0, 2, 3][..]),
            ("/shop/a/two", &[1, 2, 3]),
            ("/two/one", &[0, 1, 3]),
            ("/z/z", &[3, 4]),
            ("/else", &[3]),
        ] {
            assert_eq!(fixed.candidates(path), expected, "{path}");
        }
    }

    #[test]
    fn whatever_fits_is_a_candidate() {
        let patterns = [
            "/a{2}b",
            "/a?b",
            "/(?:a|b)c",
            "/[ab]c",
            "/a*",
            "",
            "/x(y|z)?w",
            "/ä.",
            r"/\d+/",
            "(?i:/ab)c",
            "/a|/b|c",
        ];
        let fixed = fixed(&patterns);
        let paths = [
            "", "/aab", "/ab", "/b", "/ac", "/bc", "/a", "/aaa", "/", "/xw", "/xyw", "/ää", "/12/", "/ABc", "/abc", "c",
        ];
        for path in paths {
            let candidates = fixed.candidates(path);
            for (index, pattern) in patterns.iter().enumerate() {
                let fits = Pattern::new(pattern).unwrap().matches(path);
                assert!(!fits || candidates.contains(&index), "{pattern} and {path}");
            }
        }
    }
}
