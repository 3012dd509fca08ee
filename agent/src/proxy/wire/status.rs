//! The server's answer to a header.

use crate::telemetry::Denied;

/// Whether the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The application has accepted it.
    Accepted,
    /// It has not, for this reason.
    Refused(Denied),
}

// === impl Status ===

impl Status {
    /// The code on the wire.
    ///
    /// What only concerns the server's own side of the connection is told as a failure of the agent.
    pub fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Refused(denied) => CODES
                .iter()
                .find_map(|(code, known)| (*known == denied).then_some(*code))
                .unwrap_or(UNSPECIFIED),
        }
    }
}

impl From<u8> for Status {
    /// A code that is not known, as of a later version, is a refusal all the same.
    fn from(code: u8) -> Self {
        if code == 0 {
            return Self::Accepted;
        }
        let known = CODES
            .iter()
            .find_map(|(known, denied)| (*known == code).then_some(*denied));
        Self::Refused(known.unwrap_or(Denied::AgentError))
    }
}

/// Each code's meaning is for ever.
const CODES: [(u8, Denied); 12] = [
    (1, Denied::UpstreamRefused),
    (2, Denied::UpstreamTimeout),
    (3, Denied::UpstreamUnreachable),
    (4, Denied::PolicyDenied),
    (5, Denied::IdentityDenied),
    (6, Denied::PodConnectionLimit),
    (7, Denied::DescriptorLimit),
    (8, Denied::BufferLimit),
    (9, Denied::PortsExhausted),
    (10, Denied::PodGone),
    (11, Denied::Drained),
    (12, Denied::Killed),
];

const UNSPECIFIED: u8 = u8::MAX;
