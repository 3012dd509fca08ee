//! One object as the API server tells it, decoded for itself.

use serde::Deserialize;
use serde_json::{Value as Json, value::RawValue};

use super::super::{
    decode::{Unknown, decode},
    field::{Field, Findings},
    objects::{Key, Kind, Object},
};
use crate::model::{ObjectName, Problem};

/// What was told of an object.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) key: Key,
    /// None where it could not be decoded.
    pub(crate) object: Option<Object>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Problem>,
}

/// The name of an object, whatever else it holds.
#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    resource_version: Option<String>,
}

/// Which object a text is about, and in which version.
pub(super) struct Identity {
    pub(super) key: Key,
    pub(super) version: Option<String>,
}

// === impl Identity ===

impl Identity {
    /// Reads the name only: that much is there even where the rest is not understood.
    pub(super) fn of(kind: Kind, text: &RawValue) -> Result<Self, serde_json::Error> {
        let Named { metadata } = serde_json::from_str(text.get())?;
        let key = Key {
            kind,
            name: ObjectName::new(metadata.namespace, metadata.name),
        };
        Ok(Self {
            key,
            version: metadata.resource_version,
        })
    }
}

// === impl Entry ===

impl Entry {
    /// Decodes an object of which the name is known.
    pub(super) fn decode(key: Key, text: &RawValue) -> Self {
        let mut findings = Findings::default();
        let json = findings.accept(&Field::default(), serde_json::from_str::<Json>(text.get()));
        let object = json.and_then(|json| decode(&key, &whole(key.kind, json), Unknown::Passed, &mut findings));
        let findings = findings.into_vec().into_iter();
        Self {
            problems: findings.map(|finding| finding.of(&key)).collect(),
            key,
            object,
        }
    }
}

/// Adds what lists leave out and metadata say otherwise, and drops what nobody reads.
fn whole(kind: Kind, mut json: Json) -> Json {
    if let Some(object) = json.as_object_mut() {
        object.insert("apiVersion".into(), kind.api_version().into());
        object.insert("kind".into(), kind.label().into());
        if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
    json
}
