//! How agents know each other: by an option in SYN and SYN-ACK, and in no other segment.
//!
//! Two agents may share a kernel, so each writes and reads in the namespaces of its own pods only.

use agent_common::{
    Count, Direction, Hello, MeshId,
    mark::{ASKS, CAPTURED, OURS},
    priority::{SPEAKS, UNKNOWN},
};

use crate::{
    ctx::{Place, Segment, Socket},
    maps,
};

/// Has the SYN carry the option where the agent wants to know whom it connects to.
#[inline(always)]
pub(crate) fn connects(socket: &Socket<'_>) {
    if socket.mark().is_some_and(asks) && mesh(socket).is_some() {
        socket.write_options();
    }
}

/// Has SYNs kept and SYN-ACKs carry the option. It is not asked whose pod this is: listeners stand before it is enrolled.
#[inline(always)]
pub(crate) fn listens(socket: &Socket<'_>) {
    if socket.mark().is_some_and(answers) {
        // Of a SYN that was not kept nothing is known, which is what the accepting side then says.
        let _ = socket.save_syn();
        socket.write_options();
    }
}

/// Makes room in a segment.
#[inline(always)]
pub(crate) fn has_room(socket: &Socket<'_>) {
    if hello(socket).is_some() && socket.reserve_option(Hello::LENGTH).is_err() {
        maps::count(Count::NoRoom);
    }
}

/// Writes the option into the room that was made.
#[inline(always)]
pub(crate) fn writes(socket: &Socket<'_>) {
    let Some((mesh, direction)) = hello(socket) else {
        return;
    };
    if socket.store_option(&Hello::new(mesh, direction)).is_ok() {
        maps::count(match direction {
            Direction::Asks => Count::Asked,
            Direction::Answers => Count::Answered,
        });
    }
}

/// Tells the agent whether an agent answered its SYN.
#[inline(always)]
pub(crate) fn connected(socket: &Socket<'_>) {
    if !socket.mark().is_some_and(asks) {
        return;
    }
    socket.leave_options();
    if mesh(socket).is_some_and(|mesh| hears(socket, Place::Segment, mesh, Direction::Answers)) {
        tell(socket, SPEAKS, Count::Heard);
    }
}

/// Tells the agent whether an agent connects.
#[inline(always)]
pub(crate) fn accepted(socket: &Socket<'_>) {
    if !socket.mark().is_some_and(answers) {
        return;
    }
    // A connection inherits the flags of its listener.
    socket.leave_options();
    let Some(mesh) = mesh(socket) else {
        return;
    };
    match socket.find_option(Place::Syn) {
        Ok(found) if found.is(mesh, Direction::Asks) => tell(socket, SPEAKS, Count::Heard),
        // Not -ENOMSG, which says that there is a SYN without it (`bpf_sock_ops_load_hdr_opt`, 6.18).
        Err(ENOENT) => tell(socket, UNKNOWN, Count::Cookie),
        Ok(_) | Err(_) => {}
    }
}

/// What the segment that is being made must carry, if anything.
#[inline(always)]
fn hello(socket: &Socket<'_>) -> Option<(MeshId, Direction)> {
    match socket.segment() {
        // A path may drop what it does not know: the first retransmission comes without.
        Segment::Syn if socket.retransmissions() == 0 && socket.mark().is_some_and(asks) => {
            Some((mesh(socket)?, Direction::Asks))
        }
        Segment::SynAck => {
            let mesh = mesh(socket)?;
            hears(socket, Place::Syn, mesh, Direction::Asks).then_some((mesh, Direction::Answers))
        }
        // Of a cookie the server keeps nothing: the client would believe what the server does not know.
        Segment::Syn | Segment::SynAckOfCookie | Segment::Other => None,
    }
}

#[inline(always)]
fn hears(socket: &Socket<'_>, place: Place, mesh: MeshId, direction: Direction) -> bool {
    socket.find_option(place).is_ok_and(|found| found.is(mesh, direction))
}

#[inline(always)]
fn tell(socket: &Socket<'_>, priority: u32, count: Count) {
    if socket.set_priority(priority).is_ok() {
        maps::count(count);
    }
}

/// The id of the mesh, in the namespaces of this agent's pods; where the kernel does not tell whose namespace it is the
/// agent is taken for the only one.
#[inline(always)]
fn mesh(socket: &Socket<'_>) -> Option<MeshId> {
    if let Some(cookie) = socket.netns_cookie() {
        maps::pod(cookie)?;
    }
    maps::mesh()
}

/// Whether the mark is that of the agent's connections to addresses inside the cluster.
#[inline(always)]
fn asks(mark: u32) -> bool {
    mark & (OURS | CAPTURED | ASKS) == OURS | ASKS
}

/// Whether the mark is that of the agent's listeners for what connects to a pod, and of what they accept.
#[inline(always)]
fn answers(mark: u32) -> bool {
    mark & (OURS | CAPTURED | ASKS) == OURS
}

const ENOENT: i64 = -2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_the_agents_sockets_is_told_by_its_mark() {
        assert!(asks(OURS | ASKS) && !answers(OURS | ASKS));
        assert!(answers(OURS) && !asks(OURS));
        assert!(answers(OURS | 0x42));
        // Legs to applications and the listeners for what pods open.
        assert!(!asks(OURS | CAPTURED) && !answers(OURS | CAPTURED));
        // Whatever applications do.
        assert!(!asks(ASKS) && !asks(0) && !answers(0) && !answers(CAPTURED));
    }
}
