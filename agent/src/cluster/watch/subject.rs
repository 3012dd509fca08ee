//! What is asked of the API server: a kind of object, or those of one node.

use http::Request as HttpRequest;
use kube::{
    client::Body,
    core::{
        Request,
        params::{ListParams, WatchParams},
        request::Error,
    },
};

use super::super::objects::Kind;

/// A kind that is followed, and which of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    kind: Kind,
    fields: Option<String>,
}

/// From where a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// All objects first, then what happens to them.
    Everything,
    /// What happens after this version.
    After(&'a str),
}

// === impl Subject ===

impl Subject {
    /// All objects of a kind, in all namespaces.
    pub(crate) fn all(kind: Kind) -> Self {
        Self { kind, fields: None }
    }

    /// The pods of one node.
    pub(crate) fn pods_of(node: &str) -> Self {
        Self {
            kind: Kind::Pod,
            fields: Some(format!("spec.nodeName={node}")),
        }
    }

    /// The kind.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Asks for a page of the list, as the newest of all servers has it.
    pub(super) fn list(&self, continued: Option<&str>) -> Result<HttpRequest<Body>, Error> {
        let params = ListParams {
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            continue_token: continued.map(str::to_owned),
            ..ListParams::default()
        };
        let request = match self.detail() {
            Detail::Metadata => self.request().list_metadata(&params),
            Detail::Whole => self.request().list(&params),
        };
        Ok(request?.map(Body::from))
    }

    /// Asks for what happens, for so many seconds.
    pub(super) fn watch(&self, start: Start<'_>, seconds: u32) -> Result<HttpRequest<Body>, Error> {
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(seconds),
            send_initial_events: start == Start::Everything,
            ..WatchParams::default()
        };
        // Without a version all objects are at least as new as this request: an older world is never told after a newer one.
        let version = match start {
            Start::Everything => "",
            Start::After(version) => version,
        };
        let request = match self.detail() {
            Detail::Metadata => self.request().watch_metadata(&params, version),
            Detail::Whole => self.request().watch(&params, version),
        };
        Ok(request?.map(Body::from))
    }

    fn request(&self) -> Request {
        let version = self.kind.api_version();
        let root = if version.contains('/') { "apis" } else { "api" };
        Request::new(format!("/{root}/{version}/{}", self.kind.plural()))
    }

    fn detail(&self) -> Detail {
        match self.kind {
            Kind::Namespace => Detail::Metadata,
            Kind::Pod
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::Node
            | Kind::MeshConfig
            | Kind::AuthenticationPolicy
            | Kind::AuthorizationPolicy
            | Kind::NetworkPolicy
            | Kind::GrpcRoute
            | Kind::HttpRoute
            | Kind::TlsRoute
            | Kind::TcpRoute => Detail::Whole,
        }
    }
}

/// How much of each object is asked for.
enum Detail {
    Whole,
    /// Names, labels and annotations only.
    Metadata,
}

/// How many objects a page of a list has: a page is all that is held of it as text.
const PAGE: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(request: Result<HttpRequest<Body>, Error>) -> String {
        request.expect("a request").uri().to_string()
    }

    #[test]
    fn the_pods_of_a_node_are_chosen_by_the_server() {
        let pods = Subject::pods_of("node-1");
        assert_eq!(
            path(pods.list(None)),
            "/api/v1/pods?&fieldSelector=spec.nodeName%3Dnode-1&limit=500"
        );
        assert_eq!(
            path(pods.watch(Start::After("7"), 60)),
            "/api/v1/pods?&watch=true&timeoutSeconds=60&fieldSelector=spec.nodeName%3Dnode-1\
             &allowWatchBookmarks=true&resourceVersion=7"
        );
    }

    #[test]
    fn everything_is_asked_for_as_new_as_the_request() {
        let policies = Subject::all(Kind::AuthorizationPolicy);
        assert_eq!(
            path(policies.watch(Start::Everything, 60)),
            "/apis/mesh.weft.dev/v1alpha1/authorizationpolicies?&watch=true&timeoutSeconds=60\
             &allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="
        );
    }

    #[test]
    fn of_namespaces_only_the_metadata_are_asked_for() {
        let accepted = |request: Result<HttpRequest<Body>, Error>| {
            let request = request.expect("a request");
            request.headers().get(http::header::ACCEPT).cloned()
        };
        let namespaces = Subject::all(Kind::Namespace);
        for request in [namespaces.list(None), namespaces.watch(Start::Everything, 60)] {
            let accepted = accepted(request).expect("a type");
            assert!(
                accepted.to_str().unwrap().contains("as=PartialObjectMetadata"),
                "{accepted:?}"
            );
        }
        assert_eq!(accepted(Subject::all(Kind::Node).list(None)), None);
    }
}
