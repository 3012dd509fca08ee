//! Why a connection or a request was refused or cut: one closed list, the same in log, metric and `weft debug`.

/// Why a connection or a request was refused or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denied {
    /// The application called the agent's listener itself.
    DirectCall,
    /// The service has no such port.
    NoSuchPort,
    /// The service has no endpoint of the client's address family that may serve.
    NoEndpoint,
    /// The service has routes, and none of their rules is for the request.
    NoRoute,
    /// The rule sends the request to a backend that cannot be used.
    BackendNotResolved,
    /// The egress mode forbids addresses that are not in the model.
    EgressDenied,
    /// An AuthorizationPolicy of the destination forbids it.
    PolicyDenied,
    /// The destination is Strict, and the client does not speak mutual TLS.
    PlaintextRefused,
    /// The destination must speak mutual TLS, and does not.
    PeerNotInMesh,
    /// The deny-list names the peer.
    IdentityDenied,
    /// The pod has no valid certificate of its own yet.
    NoCertificate,
    /// The peer's certificate is not that of the pod that was dialled, or of this mesh.
    PeerNotVerified,
    /// The TLS handshake or a record of it failed for another reason than the certificate.
    TlsFailed,
    /// The peer's bytes are not of the agents' protocol.
    ProtocolViolation,
    /// The network between two pods of this node lets nothing pass: no lease.
    PathRefused,
    /// Every endpoint tried answered with RST.
    UpstreamRefused,
    /// No endpoint answered in time.
    UpstreamTimeout,
    /// No route, or the network said unreachable.
    UpstreamUnreachable,
    /// The pod's limit on connections is reached.
    PodConnectionLimit,
    /// The agent's limit on descriptors is reached.
    DescriptorLimit,
    /// The agent's limit on buffers is reached.
    BufferLimit,
    /// No source port is left between this client and this destination.
    PortsExhausted,
    /// The pod is gone.
    PodGone,
    /// The operator cut it (`weft debug conn kill`).
    Killed,
    /// The agent's drain time is over.
    Drained,
    /// The request is malformed, or of a kind that may not pass.
    BadRequest,
    /// The client let a request of its own wait for too long, or the response to it.
    RequestTimeout,
    /// The client left before its response was whole.
    ClientGone,
    /// The upstream ended the connection before its response was whole.
    UpstreamReset,
    /// The upstream's response is malformed.
    UpstreamProtocol,
    /// A system call of the agent failed where it should not.
    AgentError,
}

/// On whose side the cause lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The client.
    Client,
    /// The destination.
    Upstream,
    /// A rule of the operator.
    Policy,
    /// The agent.
    Agent,
}

// === impl Denied ===

impl Denied {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::DirectCall,
        Self::NoSuchPort,
        Self::NoEndpoint,
        Self::NoRoute,
        Self::BackendNotResolved,
        Self::EgressDenied,
        Self::PolicyDenied,
        Self::PlaintextRefused,
        Self::PeerNotInMesh,
        Self::IdentityDenied,
        Self::NoCertificate,
        Self::PeerNotVerified,
        Self::TlsFailed,
        Self::ProtocolViolation,
        Self::PathRefused,
        Self::UpstreamRefused,
        Self::UpstreamTimeout,
        Self::UpstreamUnreachable,
        Self::PodConnectionLimit,
        Self::DescriptorLimit,
        Self::BufferLimit,
        Self::PortsExhausted,
        Self::PodGone,
        Self::Killed,
        Self::Drained,
        Self::BadRequest,
        Self::RequestTimeout,
        Self::ClientGone,
        Self::UpstreamReset,
        Self::UpstreamProtocol,
        Self::AgentError,
    ];

    /// The reason of a label; none where there is no such reason, as of a later version.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|denied| denied.label() == label)
    }

    /// The reason as logs, metrics and tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::DirectCall => "direct_call",
            Self::NoSuchPort => "no_such_port",
            Self::NoEndpoint => "no_endpoint",
            Self::NoRoute => "no_route",
            Self::BackendNotResolved => "backend_not_resolved",
            Self::EgressDenied => "egress_denied",
            Self::PolicyDenied => "policy_denied",
            Self::PlaintextRefused => "plaintext_refused",
            Self::PeerNotInMesh => "peer_not_in_mesh",
            Self::IdentityDenied => "identity_denied",
            Self::NoCertificate => "no_certificate",
            Self::PeerNotVerified => "peer_not_verified",
            Self::TlsFailed => "tls_failed",
            Self::ProtocolViolation => "protocol_violation",
            Self::PathRefused => "path_refused",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::PodConnectionLimit => "pod_connection_limit",
            Self::DescriptorLimit => "descriptor_limit",
            Self::BufferLimit => "buffer_limit",
            Self::PortsExhausted => "ports_exhausted",
            Self::PodGone => "pod_gone",
            Self::Killed => "killed",
            Self::Drained => "drained",
            Self::BadRequest => "bad_request",
            Self::RequestTimeout => "request_timeout",
            Self::ClientGone => "client_gone",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::AgentError => "agent_error",
        }
    }

    /// On whose side the cause lies.
    pub fn fault(self) -> Fault {
        match self {
            Self::DirectCall | Self::BadRequest | Self::RequestTimeout | Self::ClientGone => Fault::Client,
            Self::NoSuchPort
            | Self::NoRoute
            | Self::BackendNotResolved
            | Self::EgressDenied
            | Self::PodConnectionLimit
            | Self::Killed
            | Self::PolicyDenied
            | Self::PlaintextRefused
            | Self::PeerNotInMesh
            | Self::IdentityDenied
            | Self::PathRefused => Fault::Policy,
            Self::NoEndpoint
            | Self::UpstreamRefused
            | Self::UpstreamTimeout
            | Self::UpstreamUnreachable
            | Self::PeerNotVerified
            | Self::TlsFailed
            | Self::ProtocolViolation
            | Self::UpstreamReset
            | Self::UpstreamProtocol => Fault::Upstream,
            Self::NoCertificate
            | Self::DescriptorLimit
            | Self::BufferLimit
            | Self::PortsExhausted
            | Self::PodGone
            | Self::Drained
            | Self::AgentError => Fault::Agent,
        }
    }
}

// === impl Fault ===

impl Fault {
    /// The side as logs, metrics and tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Policy => "policy",
            Self::Agent => "agent",
        }
    }
}
