//! Weft's own objects, and what the controller has written into them.

use std::time::Duration;

use kube::{Api, CustomResourceExt as _, api::ListParams, core::DynamicObject, discovery::ApiResource};
use serde::Serialize;
use serde_json::Value as Json;
use tokio::time::sleep;

use super::failed;
use crate::cluster::{
    api::{ApiServer, ApiServerError},
    convert::{AuthenticationManifest, AuthorizationManifest, MeshConfigManifest},
};

/// A policy, or the MeshConfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyFact {
    /// Its kind.
    pub kind: String,
    /// `namespace/name`, or its name where it has no namespace.
    pub name: String,
    /// Whether the controller says that it is understood; none where it has said nothing yet.
    pub accepted: Option<bool>,
    /// What the controller says.
    pub message: Option<String>,
}

/// The policies and the MeshConfig, and the kinds that the API server does not know.
pub(super) async fn list(api: &ApiServer) -> Result<(Vec<PolicyFact>, Vec<String>), ApiServerError> {
    let (mut policies, mut missing) = (Vec::new(), Vec::new());
    for kind in [
        AuthenticationManifest::api_resource(),
        AuthorizationManifest::api_resource(),
        MeshConfigManifest::api_resource(),
    ] {
        match all(api, &kind).await {
            Ok(objects) => policies.extend(objects.iter().map(|object| fact(&kind, object))),
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => missing.push(kind.kind),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok((policies, missing))
}

/// A kind that has just been installed is not there at once: the server says to come again in a second.
async fn all(api: &ApiServer, kind: &ApiResource) -> Result<Vec<DynamicObject>, kube::Error> {
    let objects = Api::<DynamicObject>::all_with(api.client.clone(), kind);
    for _ in 0..PATIENCE {
        match objects.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == COME_AGAIN => sleep(Duration::from_secs(1)).await,
            listed => return Ok(listed?.items),
        }
    }
    Ok(objects.list(&ListParams::default()).await?.items)
}

fn fact(kind: &ApiResource, object: &DynamicObject) -> PolicyFact {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let name = match &object.metadata.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let (accepted, message) = accepted(&object.data);
    PolicyFact {
        kind: kind.kind.clone(),
        name,
        accepted,
        message,
    }
}

/// What the conditions say: those of the object itself, which the MeshConfig has, and the worst of all ancestors.
fn accepted(object: &Json) -> (Option<bool>, Option<String>) {
    let ancestors = object.pointer("/status/ancestors").and_then(Json::as_array);
    let conditions = ancestors
        .into_iter()
        .flatten()
        .chain(object.get("status"))
        .filter_map(|told| told.get("conditions")?.as_array())
        .flatten()
        .filter(|condition| condition["type"] == "Accepted");
    let mut good = None;
    for condition in conditions {
        if condition["status"] != "True" {
            return (Some(false), condition["message"].as_str().map(str::to_owned));
        }
        good = Some(true);
    }
    (good, None)
}

const NOT_FOUND: u16 = 404;

const COME_AGAIN: u16 = 429;

/// How often it is come again.
const PATIENCE: usize = 5;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_ancestor_that_refuses_is_enough() {
        let condition = |status: &str| json!({"type": "Accepted", "status": status, "message": status});
        let object = |statuses: &[&str]| {
            let ancestors: Vec<Json> = statuses
                .iter()
                .map(|status| json!({"conditions": [{"type": "Other", "status": "False"}, condition(status)]}))
                .collect();
            json!({"status": {"ancestors": ancestors}})
        };
        assert_eq!(accepted(&json!({})), (None, None));
        assert_eq!(accepted(&object(&["True", "True"])), (Some(true), None));
        assert_eq!(
            accepted(&object(&["True", "False"])),
            (Some(false), Some("False".into()))
        );
    }

    #[test]
    fn an_object_without_ancestors_is_judged_by_its_own_conditions() {
        let object = |status: &str| {
            let conditions = json!([
                {"type": "Other", "status": "False"},
                {"type": "Accepted", "status": status, "message": "spec.egress: unknown"},
            ]);
            json!({"status": {"conditions": conditions}})
        };
        assert_eq!(accepted(&object("True")), (Some(true), None));
        assert_eq!(
            accepted(&object("False")),
            (Some(false), Some("spec.egress: unknown".into()))
        );
    }
}
