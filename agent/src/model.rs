//! What the mesh is made of, as immutable values, and every decision that needs nothing else.
//!
//! ```text
//! cluster ──builds──▶ Mesh ──watch──▶ kernel (which pods), proxy (where to), dns (which names)
//! ```
//!
//! Pure: no tokio, no kube, no aya, no rustls.

mod candidates;
mod identity;
mod index;
mod mesh;
mod name;
mod pod;
pub(crate) mod policy;
mod problem;
mod ranges;
mod roster;
pub(crate) mod route;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod view;

pub use candidates::{Candidates, Family, Place, merge_endpoints};
pub use identity::{Identity, InvalidIdentity};
pub use mesh::{Contents, Destination, EgressMode, Exemption, Mesh, MeshConfig, Unresolved};
pub use name::{ObjectName, PodUid};
pub use pod::{ContainerPort, Enrolment, NotEnrolled, OnAgentFailure, Pod};
pub use policy::{
    Action, AuthenticationPolicy, AuthorizationPolicy, Caller, Decider, Decision, Explanation, From as PolicyFrom,
    IpBlock, KnownCaller, Membership, MtlsMode, Operation, Policies, PolicyId, PolicyKind, PolicyView,
    PortAuthentication, PortMtls, Ports, Principal, Question, Rule, ServiceTarget, Setting, Source, Support, Target,
    To as PolicyTo, Unanswerable, Unnamed, Verdict, Why, WrittenMtls, explain, label as policy_label,
};
pub use problem::{Problem, Severity};
pub use ranges::Ranges;
pub use roster::{Roster, RosterPod};
pub use route::{
    Asked, Backend, BackendTarget, Bindings, Chosen, Conditions, Cors, Filters, Header, HeaderChanges, InvalidHeader,
    InvalidPattern, Match, Mirror, Name as HeaderName, OWN_HEADERS, Opening, Origin, ParameterMatch, Parent,
    PathChange, PathMatch, Pattern, Placed as PlacedRoutes, Preflight, Redirect, ResolvedBackend, Retry, Rewrite,
    Route, RouteId, RouteKind, RouteQuestion, RouteVerdict, RouteView, Routes, Rule as RouteRule, SessionLifetime,
    SessionPersistence, SessionToken, Share, StreamChoice, TextMatch, Timeouts, Unaskable, Unbound, UnresolvedBackend,
    WeightedBackend, WrittenRule, is_server_name, resolve as resolve_backend,
};
pub use service::{
    Affinity, AppProtocol, Endpoint, EndpointHints, Service, ServicePort, TrafficDistribution, TrafficPolicy, Transport,
};
pub use view::{CertificateState, CertificateView, EndpointView, PodView, PortView, ServiceView};
