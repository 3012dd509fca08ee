//! Routes of the Gateway API as the mesh uses them: bound to Services, compiled when the mesh changes.
//!
//! ```text
//! Route ─binding─▶ (service, port, clients) ─table─▶ Routes ─choose─▶ Rule ─pick─▶ Backend
//! ```
//!
//! A route whose Service lies in its own namespace holds for all clients (a producer's); one for a Service of another
//! namespace holds for clients of the route's own namespace only, where it takes the producer's place (GEP-1294).
//! What a rule does to a request or a response is a function here, too, over `http`'s types; when, is the proxy's concern.

mod binding;
mod bucket;
mod compiled;
mod condition;
mod cors;
mod filter;
mod header;
mod location;
mod path;
mod pattern;
mod patterns;
mod rule;
#[cfg(test)]
pub(crate) mod sample;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod written;

pub(in crate::model) use compiled::Compiled;
pub use compiled::Placed;

pub use binding::{Bindings, Unbound, resolve};
pub use condition::{Conditions, ParameterMatch, TextMatch};
pub use cors::{Cors, Origin, Preflight};
pub use filter::{Filters, Mirror, Redirect, Rewrite, Share};
pub use header::{Header, HeaderChanges, InvalidHeader, Name, OWN_HEADERS};
pub use location::Asked;
pub use path::{PathChange, PathMatch};
pub use pattern::{InvalidPattern, Pattern};
pub use rule::{Backend, ResolvedBackend, Retry, Rule, SessionLifetime, SessionPersistence, SessionToken, Timeouts};
pub use stream::is_server_name;
pub use table::{Chosen, Routes, StreamChoice};
pub use view::{Opening, RouteQuestion, RouteVerdict, RouteView, Unaskable};
pub use written::{
    BackendTarget, Match, Parent, Route, RouteId, RouteKind, UnresolvedBackend, WeightedBackend, WrittenRule,
};
