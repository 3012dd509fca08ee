//! Why the API server does not tell what is asked of it.

use std::time::Duration;

use http::StatusCode;

/// Why a list or a watch has ended early. All of it may pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// It cannot be reached, or does not answer as a server does.
    #[error("the API server cannot be asked for {what}")]
    Unreachable {
        /// The plural name of the kind.
        what: &'static str,
        /// What is in the way.
        #[source]
        source: Box<kube::Error>,
    },
    /// It refuses.
    #[error("the API server answers {code} for {what}: {message}")]
    Refused {
        /// The plural name of the kind.
        what: &'static str,
        /// The status.
        code: StatusCode,
        /// Its own words.
        message: String,
    },
    /// What it could say next is too long ago, and it must be asked for everything.
    #[error("the API server remembers too little: {0}")]
    Gone(String),
    /// It does not answer, or has ceased to.
    #[error("the API server has said nothing for {0:?}")]
    Silent(Duration),
    /// The connection has ended in the midst of an answer.
    #[error("the answer of the API server has broken off")]
    Read(#[source] Box<kube::Error>),
    /// It has ended its answer before all was told.
    #[error("the API server has ended its list early")]
    Early,
    /// A line that never ends.
    #[error("the API server tells of one object without end")]
    TooLong,
    /// What it says is not what such servers say.
    #[error("the answer of the API server is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    /// It speaks of an event of an unknown type.
    #[error("the API server tells of an event `{0}`, which is not known")]
    UnknownEvent(String),
    /// Nothing can be asked after this.
    #[error("the API server gives no resourceVersion")]
    NoVersion,
    /// The request cannot be written.
    #[error("no request can be made")]
    Request(#[source] Box<kube::core::request::Error>),
}

// === impl Broken ===

impl Broken {
    /// Whether the kind is not known to the server at all.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == StatusCode::NOT_FOUND)
    }

    /// Whether an answer that goes on has ceased to, which may be nothing.
    pub(super) fn is_interruption(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Silent(_))
    }

    /// Whether it has just said nothing.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_))
    }

    /// Whether the server may refuse the way of asking only: those without streaming lists refuse their parameters.
    pub(super) fn may_be_about_the_parameters(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(code))
    }
}
