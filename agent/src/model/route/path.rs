//! Which paths a rule is for, and how it changes them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Pattern;

/// Which paths a rule is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PathMatch {
    /// This one.
    Exact(Arc<str>),
    /// Those that begin with these elements; a slash at the end says nothing.
    Prefix(Arc<str>),
    /// Those which the pattern fits.
    Pattern(Pattern),
    /// `/<any service>/<this method>`: a gRPC method, whatever its service.
    GrpcMethod(Arc<str>),
}

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathChange {
    /// It becomes this one.
    Full(Arc<str>),
    /// The prefix by which the rule has matched becomes another one.
    Prefix {
        /// The prefix of the match.
        matched: Arc<str>,
        /// What takes its place.
        with: Arc<str>,
    },
}

// === impl PathMatch ===

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

// === impl PathChange ===

impl PathChange {
    /// The path that takes another one's place; the query is none of its concern.
    pub fn of(&self, path: &str) -> String {
        match self {
            Self::Full(full) => rooted(full.trim_end_matches('?')),
            Self::Prefix { matched, with } => {
                let rest = path.strip_prefix(matched.trim_end_matches('/')).unwrap_or(path);
                let with = with.trim_end_matches('/');
                let rest = match rest {
                    "/" if with.is_empty() => "",
                    rest => rest,
                };
                rooted(&format!("{with}{rest}"))
            }
        }
    }
}

fn rooted(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_by_elements() {
        for (path, matched, with, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/any/path", "/", "/xyz", "/xyz/any/path"),
        ] {
            let change = PathChange::Prefix {
                matched: matched.into(),
                with: with.into(),
            };
            assert_eq!(change.of(path), expected, "{path}: {matched} by {with}");
        }
    }

    #[test]
    fn a_full_path_takes_the_place_of_all() {
        for (full, expected) in [("/xyz", "/xyz"), ("xyz", "/xyz"), ("", "/")] {
            assert_eq!(PathChange::Full(full.into()).of("/foo/bar"), expected, "{full}");
        }
    }
}
