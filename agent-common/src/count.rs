//! What the kernel programs count: one closed list, whose order is the layout of [`crate::names::map::COUNTERS`].

/// Something that the kernel programs did with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Count {
    /// connect(): marked, the connection will be captured.
    Marked,
    /// connect(): let go, the address is never captured.
    NeverCaptured,
    /// connect(): let go, the address is exempt.
    Exempt,
    /// connect(): let go, the agent is away and the pod fails open.
    AgentAway,
    /// connect(): refused, the mark could not be set and the pod fails closed.
    MarkRefused,
    /// connect(): let go, the mark could not be set.
    MarkFailed,
    /// A connection of the agent to an application was recorded.
    LegRecorded,
    /// A connection of the agent to an application could not be recorded.
    LegLost,
    /// A probe of the kubelet was recorded.
    ProbeRecorded,
    /// A probe of the kubelet could not be recorded.
    ProbeLost,
    /// A captured connection was given to the outbound listener.
    Outbound,
    /// A connection to the pod was given to the inbound listener.
    Inbound,
    /// A connection of the agent reached the application.
    LegPassed,
    /// A probe reached the application.
    ProbePassed,
    /// A DNS datagram was given to the agent's socket.
    Dns,
    /// A connection to the pod went to the application: no listener is there and the pod fails open.
    InboundUnguarded,
    /// A connection to the pod was refused: no listener is there and the pod fails closed.
    InboundNoListener,
    /// A captured connection was dropped: no listener is there.
    OutboundNoListener,
    /// A connection that is neither from nor to an own address was dropped.
    Stray,
    /// The listener did not take what was assigned to it.
    AssignFailed,
    /// connect() or sendmsg(): refused, a datagram would leave the cluster.
    UdpEgressDenied,
    /// A SYN of the agent asked whether the other end has an agent.
    Asked,
    /// A SYN-ACK of the agent answered a SYN that asked.
    Answered,
    /// An agent of this mesh was heard, in a SYN or a SYN-ACK.
    Heard,
    /// A connection to the pod came by a SYN cookie: who was to be heard is not known.
    Cookie,
    /// The option by which agents know each other found no room in a segment.
    NoRoom,
    /// connect(): where a pod connects to was put back, a load balancer of others had changed it.
    Kept,
}

// === impl Count ===

impl Count {
    /// Every reason, in the order of their indices.
    pub const ALL: [Self; 27] = [
        Self::Marked,
        Self::NeverCaptured,
        Self::Exempt,
        Self::AgentAway,
        Self::MarkRefused,
        Self::MarkFailed,
        Self::LegRecorded,
        Self::LegLost,
        Self::ProbeRecorded,
        Self::ProbeLost,
        Self::Outbound,
        Self::Inbound,
        Self::LegPassed,
        Self::ProbePassed,
        Self::Dns,
        Self::InboundUnguarded,
        Self::InboundNoListener,
        Self::OutboundNoListener,
        Self::Stray,
        Self::AssignFailed,
        Self::UdpEgressDenied,
        Self::Asked,
        Self::Answered,
        Self::Heard,
        Self::Cookie,
        Self::NoRoom,
        Self::Kept,
    ];

    /// Where the counter lies in the map.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The reason at an index of the map.
    pub fn from_index(index: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }

    /// The reason as metrics, tables and JSON show it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Marked => "marked",
            Self::NeverCaptured => "never_captured",
            Self::Exempt => "exempt",
            Self::AgentAway => "agent_away",
            Self::MarkRefused => "mark_refused",
            Self::MarkFailed => "mark_failed",
            Self::LegRecorded => "leg_recorded",
            Self::LegLost => "leg_lost",
            Self::ProbeRecorded => "probe_recorded",
            Self::ProbeLost => "probe_lost",
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::LegPassed => "leg_passed",
            Self::ProbePassed => "probe_passed",
            Self::Dns => "dns",
            Self::InboundUnguarded => "inbound_unguarded",
            Self::InboundNoListener => "inbound_no_listener",
            Self::OutboundNoListener => "outbound_no_listener",
            Self::Stray => "stray",
            Self::AssignFailed => "assign_failed",
            Self::UdpEgressDenied => "udp_egress_denied",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Heard => "heard",
            Self::Cookie => "cookie",
            Self::NoRoom => "no_room",
            Self::Kept => "kept",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lie_in_the_order_of_their_list() {
        for (index, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count.index(), index as u32);
            assert_eq!(Count::from_index(index as u32), Some(count));
        }
        assert_eq!(Count::from_index(Count::ALL.len() as u32), None);
    }
}
