//! Mutual TLS between agents: who a pod is, whom it believes, and the records of a connection.
//!
//! ```text
//! CA ──▶ Identities ──of(pod)──▶ Credentials ──connect, accept──▶ Established { Records, Peer }
//!              └── trust: roots, deny-list ──▶ every handshake, and every live connection when it changes
//! ```
//!
//! TLS 1.3 only, both sides with a pod's certificate. What is read and written is the caller's: [`Records`] turns bytes
//! into bytes, so that an idle connection holds no buffer. The only room that knows rustls, X.509 and their kin.

mod authority;
mod certificate;
mod credentials;
mod ends;
mod error;
mod established;
mod expected;
mod handshake;
mod hello;
mod identities;
pub mod issue;
mod key;
mod keys;
mod pem;
mod pinned;
mod protection;
mod protocol;
mod provider;
mod random;
mod records;
#[cfg(test)]
pub(crate) mod sample;
mod session;
mod stream;
mod tickets;
mod token;
mod trust;
mod verify;

pub use authority::{
    Authority, AuthorityError, AuthorityKind, Grant, InvalidRequest, ProvenKey, Signed, Validity, random_mesh,
};
pub use certificate::{AuthorityId, InvalidCertificate, Role, Serial, authority_end, authority_id};
pub use credentials::Credentials;
pub use ends::pem_ends;
pub use error::{Refused, TlsCause, TlsError};
pub use established::{Established, Peer};
pub use expected::Expected;
pub use handshake::{accept, connect};
pub use hello::{Hello, ServerName, hello, server_name};
pub use identities::Identities;
pub use pem::{InvalidPem, read_certificates, write_certificates};
pub use pinned::{CaEndpoint, InvalidBundle};
pub use protection::BadRecord;
pub use protocol::Protocol;
pub use random::unguessable;
pub use records::{LARGEST_PLAIN, Opened, RECORD_OVERHEAD, Records};
pub use stream::TlsStream;
pub use token::{Fingerprint, InvalidToken, JoinToken};
pub use trust::{Denial, DenyList, InvalidDenial, InvalidRoots};

#[cfg(test)]
mod tests;
