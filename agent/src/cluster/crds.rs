//! The CustomResourceDefinitions of Weft's own kinds, made of the types into which manifests are decoded.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::convert::{AuthenticationManifest, AuthorizationManifest, MeshConfigManifest};

/// A definition as YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crd {
    /// Its name, such as `meshconfigs.mesh.weft.dev`.
    pub name: String,
    /// One YAML document.
    pub yaml: String,
}

/// Why a definition has no YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {name} as YAML")]
pub struct CrdError {
    name: String,
    source: serde_saphyr::ser::Error,
}

/// All definitions, in the order of their names.
pub fn crds() -> Result<Vec<Crd>, CrdError> {
    definitions().into_iter().map(as_decoded).map(written).collect()
}

fn definitions() -> [CustomResourceDefinition; 3] {
    [
        AuthenticationManifest::crd(),
        AuthorizationManifest::crd(),
        MeshConfigManifest::crd(),
    ]
}

/// What kube's derived root types say otherwise than the decoding does: an object without a spec is one that leaves everything
/// out. Their titles are the names of our types, which tell nobody anything.
fn as_decoded(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let versions = definition.spec.versions.iter_mut();
    let schemas = versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    schemas.for_each(|schema| {
        schema.title = None;
        schema.required = None;
    });
    definition
}

fn written(definition: CustomResourceDefinition) -> Result<Crd, CrdError> {
    let name = definition.metadata.name.clone().unwrap_or_default();
    match serde_saphyr::to_string(&definition) {
        Ok(yaml) => Ok(Crd { name, yaml }),
        Err(source) => Err(CrdError { name, source }),
    }
}

#[cfg(test)]
mod tests;
