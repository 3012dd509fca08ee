//! Headers as routes write them, and how a rule changes those of a message.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// How the names of the headers begin that agents send each other; no application sees one.
pub const OWN_HEADERS: &str = "weft-";

/// The name of a header, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(HeaderName);

/// A header with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(String, String)", into = "(String, String)")]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

/// What is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// The name has characters that a name cannot have.
    #[error("not the name of a header")]
    Name,
    /// The value has control characters.
    #[error("not the value of a header")]
    Value,
}

/// How headers are changed: some are set, then some added, then some removed. No name stands in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// Those which take the place of all of their name.
    pub set: Vec<Header>,
    /// Those which come after all of their name.
    pub add: Vec<Header>,
    /// Those which go.
    pub remove: Vec<Name>,
}

// === impl Name ===

impl Name {
    /// Takes a name as written.
    ///
    /// # Errors
    ///
    /// When it has characters that a name cannot have.
    pub fn new(written: &str) -> Result<Self, InvalidHeader> {
        let name = HeaderName::from_bytes(written.as_bytes());
        name.map(Self).map_err(|_invalid| InvalidHeader::Name)
    }

    /// As `http` has it.
    pub fn as_header(&self) -> &HeaderName {
        &self.0
    }

    /// In lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidHeader;

    fn try_from(written: String) -> Result<Self, InvalidHeader> {
        Self::new(&written)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_str().to_owned()
    }
}

// === impl Header ===

impl Header {
    /// Takes a header as written.
    ///
    /// # Errors
    ///
    /// When name or value have characters that they cannot have.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidHeader> {
        Ok(Self {
            name: Name::new(name)?.0,
            value: HeaderValue::from_str(value).map_err(|_invalid| InvalidHeader::Value)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Its value.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

impl TryFrom<(String, String)> for Header {
    type Error = InvalidHeader;

    fn try_from((name, value): (String, String)) -> Result<Self, InvalidHeader> {
        Self::new(&name, &value)
    }
}

impl From<Header> for (String, String) {
    fn from(header: Header) -> Self {
        let value = String::from_utf8_lossy(header.value.as_bytes()).into_owned();
        (header.name.as_str().to_owned(), value)
    }
}

// === impl HeaderChanges ===

impl HeaderChanges {
    /// Changes the headers of a request or a response.
    ///
    /// A request's `host` is one of them in HTTP/1; in HTTP/2 the caller sees to `:authority`, see [`host`](Self::host).
    pub fn apply(&self, headers: &mut HeaderMap) {
        for Header { name, value } in &self.set {
            headers.insert(name, value.clone());
        }
        for Header { name, value } in &self.add {
            headers.append(name, value.clone());
        }
        for Name(name) in &self.remove {
            headers.remove(name);
        }
    }

    /// The host that is set, if one is.
    pub fn host(&self) -> Option<&HeaderValue> {
        let header = self.set.iter().find(|header| header.name == http::header::HOST)?;
        Some(&header.value)
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        let Self { set, add, remove } = self;
        set.is_empty() && add.is_empty() && remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(changes: &HeaderChanges, before: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(Name::new(name).unwrap().as_header(), value.parse().unwrap());
        }
        changes.apply(&mut headers);
        let pairs = headers.iter();
        pairs
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn header(name: &str, value: &str) -> Header {
        Header::new(name, value).unwrap()
    }

    #[test]
    fn setting_replaces_all_adding_keeps_all_and_removing_takes_all() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let changes = HeaderChanges {
            set: vec![header("X-Set", "new")],
            add: vec![header("X-Add", "more")],
            remove: vec![Name::new("X-Remove").unwrap()],
        };
        assert_eq!(after(&changes, &[]), [pair("x-set", "new"), pair("x-add", "more")]);
        let before = [
            ("x-set", "a"),
            ("x-set", "b"),
            ("x-add", "a"),
            ("x-remove", "a"),
            ("x-remove", "b"),
            ("x-other", "a"),
        ];
        let expected = [
            pair("x-set", "new"),
            pair("x-add", "a"),
            pair("x-add", "more"),
            pair("x-other", "a"),
        ];
        let mut changed = after(&changes, &before);
        changed.sort_by_key(|(name, _)| expected.iter().position(|(other, _)| other == name));
        assert_eq!(changed, expected);
    }

    #[test]
    fn the_host_that_is_set_is_told() {
        let changes = HeaderChanges {
            set: vec![header("Host", "example.org")],
            ..HeaderChanges::default()
        };
        assert_eq!(changes.host().unwrap(), "example.org");
        assert_eq!(HeaderChanges::default().host(), None);
    }

    #[test]
    fn what_could_smuggle_is_no_header() {
        assert_eq!(Header::new("a b", "c"), Err(InvalidHeader::Name));
        assert_eq!(Header::new("a", "b\r\nc: d"), Err(InvalidHeader::Value));
        assert_eq!(Header::new("a", "b\0"), Err(InvalidHeader::Value));
    }
}
