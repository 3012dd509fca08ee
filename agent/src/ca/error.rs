//! What can go wrong in a CA.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    cluster::SharedError,
    tls::{AuthorityError, InvalidPem, InvalidToken},
};

/// Why a CA cannot do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum CaServerError {
    /// The state cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may look into the state.
    #[error("{} may be read or written by others than its owner (mode {mode:04o}): `chmod {wanted:o}` it, and think about who has seen the keys", path.display())]
    Loose {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should be.
        wanted: u32,
    },
    /// The state is not understood.
    #[error("{} is not the state of a CA of this version", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A part of the state means nothing.
    #[error("the state's {0} cannot be used")]
    Senseless(&'static str),
    /// There is no state yet.
    #[error("there is no CA in {}: `weft ca` makes one at its first start", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// A root cannot be made or used.
    #[error("a root cannot be used")]
    Authority(#[from] AuthorityError),
    /// A token cannot be made.
    #[error("the token cannot be made")]
    Token(#[from] InvalidToken),
    /// There is nothing of this name on the deny-list.
    #[error("the deny-list has no {0}")]
    NotDenied(String),
    /// There is no rotation that could be forced.
    #[error("no root is being replaced: `weft ca rotate` begins it")]
    NotRotating,
    /// A file holds no certificates.
    #[error("cannot use the certificates in {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidPem,
    },
    /// The authority from files is not under the roots from files.
    #[error("the certificate of the authority does not lead to one of the roots")]
    Unrooted,
    /// The authority from files is over.
    #[error("the certificate of the authority has expired")]
    Expired,
    /// The objects of a cluster cannot be read or written.
    #[error("cannot use the cluster's objects")]
    Cluster(#[from] SharedError),
    /// What the Secret holds is not understood.
    #[error("the Secret holds no state of a CA of this version")]
    UnreadableSecret(#[source] serde_json::Error),
    /// There is no CA in the cluster.
    #[error("there is no CA in the cluster yet: its first replica makes one")]
    NotInCluster,
    /// Others change the state all the time.
    #[error("others have changed the Secret at each try")]
    Contended,
    /// The cluster's CA has no root of its own.
    #[error("the CA signs with an authority that is not its own: whoever made that replaces it, and the CA follows")]
    ForeignRoots,
    /// The cluster's CA has roots of its own.
    #[error(
        "the CA has roots of its own: delete its Secret, with no replica running, to begin anew with another authority"
    )]
    OwnRoots,
    /// There are no tokens in a cluster.
    #[error("in Kubernetes agents are known by the service account tokens of their pods: there are none to make")]
    TokenInCluster,
    /// There is no port to listen on.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}
