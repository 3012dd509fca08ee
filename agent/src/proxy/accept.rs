//! Step one: taking connections from a pod's listeners, whatever happens to some of them.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use agent_common::mark::OURS;
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Listeners,
    captured::{Arrival, Captured, InTransit, OriginalDst},
    door::OpenDoor,
    identify, inbound,
    lane::{Lane, Letter},
    outbound,
    stream::ResetOnDrop,
};
use crate::{
    net::{self, ListedSocket, Listing, Liveness, Mark, NetNs},
    telemetry::{Denied, Direction, Peer, Proof, Report},
};

/// One of a pod's listeners, registered with a lane.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    direction: Direction,
    own: SocketAddr,
    /// Given up for a moment where no descriptor is left, so that a client can be refused instead of left waiting.
    reserve: Option<File>,
}

/// Registers a pod's listeners with the calling lane.
pub(super) fn listeners(listeners: Listeners, liveness: Liveness) -> impl Iterator<Item = io::Result<Listener>> {
    let Listeners { outbound, inbound } = listeners;
    let outbound = outbound.into_iter().map(|listener| (listener, Direction::Outbound));
    let inbound = inbound.into_iter().map(|listener| (listener, Direction::Inbound));
    outbound.chain(inbound).map(move |(listener, direction)| {
        // What is set on a listener is inherited by what it accepts (`sk_clone_lock`), at no cost per connection.
        net::tune(&listener, liveness)?;
        Ok(Listener {
            own: listener.local_addr()?,
            listener: TcpListener::from_std(listener)?,
            direction,
            reserve: reserve(),
        })
    })
}

/// Goes on with a connection which another lane accepted.
pub(super) fn arrive(lane: &Rc<Lane>, connection: InTransit) {
    match connection.arrive() {
        Ok(captured) => serve(lane, captured),
        Err(error) => tracing::debug!(%error, "A connection cannot be registered with its lane"),
    }
}

// === impl Listener ===

impl Listener {
    /// Accepts until it is told to stop, then what is queued, then closes.
    ///
    /// Nobody new is sent here when it is told to. Closing resets whom the queue holds (`inet_csk_listen_stop`, 6.18), and
    /// whose handshake is under way when that ends.
    pub(super) async fn accept_until(mut self, stop: CancellationToken, door: Arc<OpenDoor>, lane: Rc<Lane>) {
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            self.take(accepted, &door, &lane).await;
        }
        let end = Instant::now() + LONGEST_FAREWELL;
        while Instant::now() < end {
            match timeout(LAST_HANDSHAKE, self.listener.accept()).await {
                Ok(accepted) => self.take(accepted, &door, &lane).await,
                Err(_elapsed) if shakes_hands(&door.netns) => {}
                Err(_elapsed) => break,
            }
        }
        // On a busy machine somebody comes between the last look and this one.
        for _ in 0..MOST_QUEUED {
            let Some(accepted) = net::accept_queued(&self.listener).transpose() else {
                return;
            };
            let has_failed = accepted.is_err();
            self.take(accepted, &door, &lane).await;
            if has_failed && Instant::now() > end {
                return;
            }
        }
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>, door: &Arc<OpenDoor>, lane: &Rc<Lane>) {
        match accepted {
            Ok((stream, client)) => admit(stream, client, self, door, lane),
            Err(error) if exhausted(&error) => self.refuse_one(door, lane).await,
            // The client gave up while it was queued (ECONNABORTED and what accept(2) lists beside it).
            Err(error) => tracing::debug!(%error, "A connection ended before it was accepted"),
        }
    }

    /// Uses the reserved descriptor to refuse the first in the queue, and waits where even that fails: never spins.
    async fn refuse_one(&mut self, door: &Arc<OpenDoor>, lane: &Rc<Lane>) {
        drop(self.reserve.take());
        let accepted = timeout(Duration::ZERO, self.listener.accept()).await;
        if let Ok(Ok((stream, client))) = accepted {
            let destination = stream.local_addr().unwrap_or(self.own);
            let refused = Refused {
                stream,
                client,
                destination,
                direction: self.direction,
            };
            refused.reset(Denied::DescriptorLimit, door, lane);
        }
        self.reserve = reserve();
        sleep(BREATHER).await;
    }
}

/// An accepted connection that is not served.
struct Refused {
    stream: TcpStream,
    client: SocketAddr,
    destination: SocketAddr,
    direction: Direction,
}

// === impl Refused ===

impl Refused {
    fn reset(self, denied: Denied, door: &OpenDoor, lane: &Lane) {
        drop(ResetOnDrop::new(self.stream));
        lane.shared.telemetry.closed(Report {
            direction: self.direction,
            source: Peer {
                address: self.client,
                pod: identify::source_pod(self.direction, self.client, door, lane),
            },
            original_destination: self.destination,
            service: None,
            rule: None,
            destination: None,
            opened: SystemTime::now(),
            connect_time: None,
            duration: Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
            denied: Some(denied),
            proof: Proof::default(),
            request: None,
        });
    }
}

/// Gives a connection its place and its lane, or refuses it.
fn admit(stream: TcpStream, client: SocketAddr, listener: &Listener, door: &Arc<OpenDoor>, lane: &Rc<Lane>) {
    // Without an address of its own the connection is already reset.
    let Ok(destination) = stream.local_addr() else {
        return;
    };
    let direction = listener.direction;
    let refused = |stream| Refused {
        stream,
        client,
        destination,
        direction,
    };
    if destination == listener.own {
        return refused(stream).reset(Denied::DirectCall, door, lane);
    }
    let seat = match lane.load.seat(door) {
        Ok(seat) => seat,
        Err(denied) => return refused(stream).reset(denied, door, lane),
    };
    let arrival = |seat| Arrival {
        client,
        destination: OriginalDst(destination),
        direction,
        seat,
    };
    let Some(other) = lane.less_busy() else {
        let captured = Captured {
            stream: ResetOnDrop::new(stream),
            arrival: arrival(seat),
        };
        return serve(lane, captured);
    };
    let seat = seat.moved_to(other.load());
    match InTransit::new(stream, arrival(seat)) {
        Ok(connection) => other.send(Letter::Carry(Box::new(connection))),
        Err(error) => tracing::debug!(%error, "A connection cannot leave its lane"),
    }
}

/// Starts the connection's own task.
fn serve(lane: &Rc<Lane>, captured: Captured) {
    let lane = lane.clone();
    match captured.arrival.direction {
        Direction::Inbound => spawn_local(inbound::serve(captured, lane)),
        Direction::Outbound | Direction::Local => spawn_local(outbound::serve(captured, lane)),
    };
}

/// Whether a client of the agent's listeners in this namespace has yet to answer their SYN-ACK.
fn shakes_hands(netns: &NetNs) -> bool {
    let is_ours = |socket: &ListedSocket| socket.mark.is_some_and(|Mark(mark)| mark & OURS != 0);
    match ListedSocket::list(netns, Listing::Handshakes) {
        Ok(handshakes) => handshakes.iter().any(is_ours),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "Handshakes cannot be listed");
            false
        }
    }
}

/// Whether descriptors or memory ran out: the connection stays queued and accept would fail again at once.
fn exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
    )
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// How long it is waited for the next client before it is looked whether there is one: handshakes here take microseconds.
const LAST_HANDSHAKE: Duration = Duration::from_millis(50);
/// How long a listener stays open that is still given connections, or handshakes that do not end: longer than until a lost
/// SYN-ACK is sent again.
const LONGEST_FAREWELL: Duration = Duration::from_millis(1500);
/// As many as a queue holds.
const MOST_QUEUED: usize = 4096;
/// How long a listener waits when descriptors have run out.
const BREATHER: Duration = Duration::from_millis(10);
