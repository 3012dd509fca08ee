//! What is written into policies, routes and the MeshConfig for their authors: whether they are accepted, and what they name
//! that is not there (GEP-713, and `status.parents` of routes).
//!
//! ```text
//! policies ─decode─▶ findings ─┐
//! Services ─convert─▶ check ───┼─▶ judge ─▶ wanted status ─differs?─▶ patch of the subresource
//! webhooks, APIServices ───────┘
//! ```
//!
//! What is found is found by the same code that agents and `weft validate` use.

mod caller;
mod judge;
mod mesh_config;
mod routes;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Service as ServiceManifest,
    },
    jiff::Timestamp,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::{Value as Json, json};

use self::{
    caller::Caller,
    judge::{Written as WrittenPolicy, judge},
    mesh_config::{WrittenMeshConfig, judge_mesh_configs},
    routes::{WrittenRoute, judge_routes},
};
use super::{
    api::ApiServer,
    collection::Collection,
    convert,
    field::Findings,
    objects::{Key, Kind, Service},
    shared::Written,
};
use crate::model::ObjectName;

/// The policies, the routes and the MeshConfig of a cluster and what they are about, followed.
#[derive(Clone, Debug)]
pub struct FollowedPolicies {
    server: ApiServer,
    policies: Vec<(Kind, Collection<WrittenPolicy>)>,
    services: Collection<Arc<Service>>,
    callers: Vec<Collection<Vec<Caller>>>,
    routes: [(Kind, Collection<WrittenRoute>); 4],
    mesh_configs: Collection<WrittenMeshConfig>,
}

/// What the author of a policy, a route or the MeshConfig is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusVerdict {
    key: Key,
    version: Option<String>,
    /// Whether it is accepted for all its targets or parents.
    pub accepted: bool,
    /// What is to be written; none where that stands there already.
    wanted: Option<Json>,
}

/// A status cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status of {object}")]
pub struct StatusError {
    object: String,
    #[source]
    source: Box<kube::Error>,
}

// === impl FollowedPolicies ===

impl FollowedPolicies {
    /// Begins to follow them.
    pub fn follow(server: &ApiServer) -> Self {
        let all = watcher::Config::default;
        let client = &server.client;
        let callers = vec![
            Collection::follow(
                Api::all(client.clone()),
                all(),
                |written: ValidatingWebhookConfiguration| Caller::of_validating(written),
            ),
            Collection::follow(
                Api::all(client.clone()),
                all(),
                |written: MutatingWebhookConfiguration| Caller::of_mutating(written),
            ),
            Collection::follow(Api::all(client.clone()), all(), |written: APIService| {
                Caller::of_api(written)
            }),
        ];
        Self {
            policies: POLICIES.map(|kind| (kind, policies(server, kind))).into(),
            services: Collection::follow(Api::all(client.clone()), all(), service),
            callers,
            routes: ROUTES.map(|kind| (kind, routes(server, kind))),
            mesh_configs: mesh_configs(server),
            server: server.clone(),
        }
    }

    /// What every policy and route and the MeshConfig is to be told; nothing of each before all that they are about was told
    /// once.
    pub fn verdicts(&mut self) -> Vec<StatusVerdict> {
        let of_policies = self.of_policies().unwrap_or_default();
        let of_routes = self.of_routes().unwrap_or_default();
        let of_mesh_configs = self.of_mesh_configs().unwrap_or_default();
        [of_policies, of_routes, of_mesh_configs].concat()
    }

    fn of_mesh_configs(&mut self) -> Option<Vec<StatusVerdict>> {
        let written = self.mesh_configs.now();
        written
            .complete
            .then(|| judge_mesh_configs(&written.objects, Timestamp::now()))
    }

    fn of_routes(&mut self) -> Option<Vec<StatusVerdict>> {
        let services = self.services.now();
        let mut complete = services.complete;
        let mut written = BTreeMap::new();
        for (kind, routes) in &mut self.routes {
            let routes = routes.now();
            complete &= routes.complete;
            let named = routes.objects.iter();
            written.extend(named.map(|(name, route)| {
                let key = Key {
                    kind: *kind,
                    name: name.clone(),
                };
                (key, route.clone())
            }));
        }
        complete.then(|| judge_routes(&written, &services.objects, Timestamp::now()))
    }

    fn of_policies(&mut self) -> Option<Vec<StatusVerdict>> {
        let services = self.services.now();
        let callers: Vec<_> = self.callers.iter_mut().map(Collection::now).collect();
        let mut complete = services.complete && callers.iter().all(|callers| callers.complete);
        let mut written = BTreeMap::new();
        for (kind, policies) in &mut self.policies {
            let policies = policies.now();
            complete &= policies.complete;
            let named = policies.objects.iter();
            written.extend(named.map(|(name, policy)| {
                let key = Key {
                    kind: *kind,
                    name: name.clone(),
                };
                (key, policy.clone())
            }));
        }
        let callers: Vec<Caller> = callers
            .iter()
            .flat_map(|callers| callers.objects.values().flatten().cloned())
            .collect();
        complete.then(|| judge(&written, &services.objects, &callers, Timestamp::now()))
    }

    /// Waits until something else is known.
    pub async fn changed(&mut self) {
        let [validating, mutating, apis] = &mut self.callers[..] else {
            return;
        };
        let [(_, one), (_, other)] = &mut self.policies[..] else {
            return;
        };
        let [(_, grpc), (_, http), (_, tls), (_, tcp)] = &mut self.routes;
        tokio::select! {
            () = self.services.changed() => {}
            () = validating.changed() => {}
            () = mutating.changed() => {}
            () = apis.changed() => {}
            () = one.changed() => {}
            () = other.changed() => {}
            () = grpc.changed() => {}
            () = http.changed() => {}
            () = tls.changed() => {}
            () = tcp.changed() => {}
            () = self.mesh_configs.changed() => {}
        }
    }

    /// Writes a verdict, if the object is as it was judged. Says none where it stands there already.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses for another reason than that somebody was faster.
    pub async fn write(&self, verdict: &StatusVerdict) -> Result<Option<Written>, StatusError> {
        let StatusVerdict {
            key,
            version,
            accepted: _,
            wanted: Some(wanted),
        } = verdict
        else {
            return Ok(None);
        };
        let (client, resource) = (self.server.client.clone(), resource(key.kind));
        let api: Api<DynamicObject> = match key.kind.is_namespaced() {
            true => Api::namespaced_with(client, &key.name.namespace, &resource),
            false => Api::all_with(client, &resource),
        };
        let patch = json!({ "metadata": { "resourceVersion": version }, "status": wanted });
        match api
            .patch_status(&key.name.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(Some(Written::Done)),
            Err(kube::Error::Api(status)) if matches!(status.code, CONFLICT | NOT_FOUND) => {
                Ok(Some(Written::Overtaken))
            }
            Err(error) => Err(StatusError {
                object: key.to_string(),
                source: Box::new(error),
            }),
        }
    }
}

// === impl StatusVerdict ===

impl StatusVerdict {
    /// The object, for people.
    pub fn object(&self) -> String {
        self.key.to_string()
    }

    /// Whether it is about a route.
    pub fn is_about_a_route(&self) -> bool {
        self.key.kind.is_route()
    }
}

fn policies(server: &ApiServer, kind: Kind) -> Collection<WrittenPolicy> {
    let api = Api::<DynamicObject>::all_with(server.client.clone(), &resource(kind));
    Collection::follow(api, watcher::Config::default(), move |object| {
        Some(WrittenPolicy::new(kind, object))
    })
}

fn routes(server: &ApiServer, kind: Kind) -> Collection<WrittenRoute> {
    let api = Api::<DynamicObject>::all_with(server.client.clone(), &resource(kind));
    Collection::follow(api, watcher::Config::default(), move |object| {
        Some(WrittenRoute::new(kind, object))
    })
}

fn mesh_configs(server: &ApiServer) -> Collection<WrittenMeshConfig> {
    let api = Api::<DynamicObject>::all_with(server.client.clone(), &resource(Kind::MeshConfig));
    Collection::follow(api, watcher::Config::default(), |object| {
        Some(WrittenMeshConfig::new(object))
    })
}

fn resource(kind: Kind) -> ApiResource {
    let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: kind.api_version().to_owned(),
        kind: kind.label().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// Services as far as they can be read: what is wrong with them, the API server has told.
fn service(manifest: ServiceManifest) -> Option<Arc<Service>> {
    let meta = &manifest.metadata;
    let name = ObjectName::new(meta.namespace.clone()?, meta.name.clone()?);
    convert::service(manifest, &name, &mut Findings::default()).map(Arc::new)
}

/// The policies and routes that have a status.
const POLICIES: [Kind; 2] = [Kind::AuthenticationPolicy, Kind::AuthorizationPolicy];
const ROUTES: [Kind; 4] = [Kind::GrpcRoute, Kind::HttpRoute, Kind::TlsRoute, Kind::TcpRoute];
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

#[cfg(test)]
mod tests;
