//! Which names Kubernetes accepts.

use std::fmt;

/// The rule that a name must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// RFC 1123 label: up to 63 of `a-z0-9-`, with a letter or digit at both ends.
    Label,
    /// RFC 1123 subdomain: labels joined by dots, up to 253 characters.
    Subdomain,
}

/// A name that its rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not {rule}")]
pub(crate) struct InvalidName {
    name: String,
    rule: Rule,
}

// === impl Rule ===

impl Rule {
    /// Refuses a name that does not follow the rule.
    pub(crate) fn check(self, name: &str) -> Result<(), InvalidName> {
        let follows = match self {
            Self::Label => is_label(name),
            Self::Subdomain => name.len() <= 253 && name.split('.').all(is_label_of_any_length),
        };
        follows.then_some(()).ok_or_else(|| InvalidName {
            name: name.into(),
            rule: self,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => {
                "a DNS label: at most 63 lower case letters, digits and `-`, a letter or digit at each end (RFC 1123)"
            }
            Self::Subdomain => {
                "a DNS subdomain: at most 253 lower case letters, digits, `-` and `.`, \
                 a letter or digit at each end of each part (RFC 1123)"
            }
        })
    }
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_label_of_any_length(name)
}

fn is_label_of_any_length(name: &str) -> bool {
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.iter().all(|byte| letter_or_digit(byte) || *byte == b'-')
        && bytes.first().is_some_and(letter_or_digit)
        && bytes.last().is_some_and(letter_or_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_letters_digits_and_inner_dashes_are_names() {
        for name in ["a", "0", "web-1", &"a".repeat(63)] {
            assert_eq!(Rule::Label.check(name), Ok(()));
        }
    }

    #[test]
    fn other_labels_are_refused() {
        for name in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(Rule::Label.check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn labels_joined_by_dots_are_subdomains_and_empty_parts_are_refused() {
        assert_eq!(Rule::Subdomain.check("a.b-c.0"), Ok(()));
        for name in ["", "a..b", ".a", "a.", "a.-b", &"a".repeat(254)] {
            assert!(Rule::Subdomain.check(name).is_err(), "{name}");
        }
    }
}
