//! Both ends of the stream between an agent and `weft ca`: gRPC over HTTP/2 over our own TLS.

mod remote;
mod serve;

use std::time::Duration;

pub use remote::{Credential, Remote};
pub use serve::{Attendee, NotAdmitted, Reception, serve};

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "tonic-build writes it"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/weft.ca.v1.Certificates.rs"));
}

const AUTHORIZATION: &str = "authorization";
/// The metadata in which an agent of Kubernetes names its node.
const NODE: &str = "weft-node";
/// A process that hangs is noticed after twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
