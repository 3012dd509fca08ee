//! What a request has to be beside its path: its method, headers and query.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Serialize};

use super::{Name, Pattern};

/// What must all hold; an empty list holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// The method.
    pub method: Option<Arc<str>>,
    /// The headers; a name stands once.
    pub headers: Vec<(Name, TextMatch)>,
    /// The parameters of the query; a name stands once.
    pub parameters: Vec<ParameterMatch>,
}

/// A parameter of the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterMatch {
    /// Its name.
    pub name: Arc<str>,
    /// Its value; of several the first.
    pub value: TextMatch,
}

/// What a text has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TextMatch {
    /// This very text.
    Exact(Arc<str>),
    /// A text that the pattern fits.
    Pattern(Pattern),
}

// === impl Conditions ===

impl Conditions {
    /// Whether a request is so.
    pub fn hold(&self, method: &Method, query: Option<&str>, headers: &HeaderMap) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method.as_str())
            && self
                .headers
                .iter()
                .all(|(name, wanted)| joined(headers, name.as_header()).is_some_and(|value| wanted.fits(&value)))
            && self
                .parameters
                .iter()
                .all(|wanted| parameter(query, &wanted.name).is_some_and(|value| wanted.value.fits(&value)))
    }
}

// === impl TextMatch ===

impl TextMatch {
    /// Whether a text is so.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *text,
            Self::Pattern(pattern) => pattern.matches(text),
        }
    }
}

/// The value of a header; of several those joined by commas (RFC 9110 5.3). None where it is no text.
pub(super) fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    let mut value = Cow::Borrowed(first);
    for next in values {
        let joined = value.to_mut();
        joined.push(',');
        joined.push_str(next.to_str().ok()?);
    }
    Some(value)
}

/// The first value of a parameter, decoded.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| decoded(key) == name)?;
    Some(decoded(value))
}

/// A part of a query without its escapes (`application/x-www-form-urlencoded`).
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (bytes, rest) = match (first, after) {
            (b'+', after) => (pushed(bytes, b' '), after),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (pushed(bytes, digit(*high) << 4 | digit(*low)), after)
            }
            (byte, after) => (pushed(bytes, *byte), after),
        };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

fn digit(byte: u8) -> u8 {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> TextMatch {
        TextMatch::Exact(text.into())
    }

    fn holds(conditions: &Conditions, method: &str, query: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        conditions.hold(&method.parse().unwrap(), Some(query), &map)
    }

    #[test]
    fn all_conditions_must_hold() {
        let conditions = Conditions {
            method: Some("GET".into()),
            headers: vec![(Name::new("version").unwrap(), exact("two"))],
            parameters: vec![ParameterMatch {
                name: "animal".into(),
                value: TextMatch::Pattern(Pattern::new("wh.*").unwrap()),
            }],
        };
        let version = [("Version", "two")];
        assert!(holds(&conditions, "GET", "animal=whale", &version));
        assert!(!holds(&conditions, "POST", "animal=whale", &version));
        assert!(!holds(&conditions, "GET", "animal=a-whale", &version));
        assert!(!holds(&conditions, "GET", "", &version));
        assert!(!holds(&conditions, "GET", "animal=whale", &[("version", "one")]));
        assert!(!holds(&conditions, "GET", "animal=whale", &[]));
        assert!(holds(&Conditions::default(), "PUT", "", &[]));
    }

    #[test]
    fn a_header_that_stands_twice_is_a_list() {
        let conditions = |wanted| Conditions {
            headers: vec![(Name::new("color").unwrap(), exact(wanted))],
            ..Conditions::default()
        };
        let both = [("color", "red"), ("color", "blue")];
        assert!(holds(&conditions("red,blue"), "GET", "", &both));
        assert!(!holds(&conditions("red"), "GET", "", &both));
    }

    #[test]
    fn of_a_parameter_the_first_value_counts_decoded() {
        let value = |query, name| parameter(Some(query), name).map(Cow::into_owned);
        assert_eq!(value("a=1&a=2", "a").as_deref(), Some("1"));
        assert_eq!(value("x=0&a%62=c%20d+e", "ab").as_deref(), Some("c d e"));
        assert_eq!(value("a=%zz%4", "a").as_deref(), Some("%zz%4"));
        assert_eq!(value("a", "a").as_deref(), Some(""));
        assert_eq!(value("b=1", "a"), None);
        assert_eq!(parameter(None, "a"), None);
    }
}
