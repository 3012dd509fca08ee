//! What the agent can bear: connections per pod, descriptors, buffers. Each is taken and given back by a guard.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Settings, door::OpenDoor};
use crate::telemetry::Denied;

/// The limits, and what is in use of them by all pods.
#[derive(Clone, Debug)]
pub(super) struct Capacity(Arc<InUse>);

/// How much one lane carries.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneLoad(Arc<Carried>);

/// A pod's place on a lane, and what its connections use.
#[derive(Debug)]
pub(super) struct DoorSeat {
    capacity: Capacity,
    lane: LaneLoad,
    connections: AtomicU32,
    buffered: AtomicU64,
}

/// The place of one connection: in its pod's limit, in the agent's, and on its lane.
#[derive(Debug)]
pub(super) struct ConnectionSeat {
    pub(super) door: Arc<OpenDoor>,
    lane: LaneLoad,
}

/// The descriptor of a connection to another agent that waits.
#[derive(Debug)]
pub(super) struct DescriptorSeat {
    capacity: Capacity,
}

/// Bytes that a connection holds in the agent.
#[derive(Debug)]
pub(super) struct BufferSeat {
    door: Arc<OpenDoor>,
    bytes: u64,
}

#[derive(Debug)]
struct InUse {
    max_descriptors: usize,
    max_connections_per_pod: u32,
    max_buffer_per_pod: u64,
    max_buffer: u64,
    descriptors: AtomicUsize,
    buffered: AtomicU64,
}

#[derive(Debug, Default)]
struct Carried {
    doors: AtomicUsize,
    connections: AtomicUsize,
}

// === impl Capacity ===

impl Capacity {
    pub(super) fn new(settings: &Settings) -> io::Result<Self> {
        let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(Self(Arc::new(InUse {
            max_descriptors: usize::try_from(descriptors).unwrap_or(usize::MAX),
            max_connections_per_pod: settings.max_connections_per_pod,
            max_buffer_per_pod: settings.max_buffer_per_pod,
            max_buffer: settings.max_buffer,
            descriptors: AtomicUsize::new(DESCRIPTORS_OF_THE_AGENT),
            buffered: AtomicU64::new(0),
        })))
    }
}

// === impl LaneLoad ===

impl LaneLoad {
    /// The pods whose listeners are on the lane.
    pub(super) fn doors(&self) -> usize {
        self.0.doors.load(Relaxed)
    }

    /// The connections on the lane.
    pub(super) fn connections(&self) -> usize {
        self.0.connections.load(Relaxed)
    }

    /// Gives a pod its place.
    pub(super) fn seat_door(&self, capacity: &Capacity) -> DoorSeat {
        self.0.doors.fetch_add(1, Relaxed);
        capacity.0.descriptors.fetch_add(DESCRIPTORS_A_DOOR, Relaxed);
        DoorSeat {
            capacity: capacity.clone(),
            lane: self.clone(),
            connections: AtomicU32::new(0),
            buffered: AtomicU64::new(0),
        }
    }

    /// Gives a connection its place, or says which limit is reached.
    pub(super) fn seat(&self, door: &Arc<OpenDoor>) -> Result<ConnectionSeat, Denied> {
        let DoorSeat {
            capacity, connections, ..
        } = &door.seat;
        let InUse {
            max_descriptors,
            max_connections_per_pod,
            descriptors,
            ..
        } = &*capacity.0;
        if connections.fetch_add(1, Relaxed) >= *max_connections_per_pod {
            connections.fetch_sub(1, Relaxed);
            return Err(Denied::PodConnectionLimit);
        }
        if descriptors.fetch_add(DESCRIPTORS_A_CONNECTION, Relaxed) + DESCRIPTORS_A_CONNECTION > *max_descriptors {
            descriptors.fetch_sub(DESCRIPTORS_A_CONNECTION, Relaxed);
            connections.fetch_sub(1, Relaxed);
            return Err(Denied::DescriptorLimit);
        }
        self.0.connections.fetch_add(1, Relaxed);
        Ok(ConnectionSeat {
            door: door.clone(),
            lane: self.clone(),
        })
    }
}

// === impl DoorSeat ===

impl DoorSeat {
    /// How much a connection of the pod reads at once.
    ///
    /// Little where buffers are half full: a reader that stalls then holds a sixteenth of what it held before, and many
    /// more of them fit.
    pub(super) fn chunk_size(&self) -> usize {
        let InUse {
            max_buffer_per_pod,
            max_buffer,
            buffered,
            ..
        } = &*self.capacity.0;
        let ample = self.buffered.load(Relaxed) < max_buffer_per_pod / 2 && buffered.load(Relaxed) < max_buffer / 2;
        if ample { CHUNK } else { SMALL_CHUNK }
    }
}

impl Drop for DoorSeat {
    fn drop(&mut self) {
        self.lane.0.doors.fetch_sub(1, Relaxed);
        self.capacity.0.descriptors.fetch_sub(DESCRIPTORS_A_DOOR, Relaxed);
    }
}

// === impl ConnectionSeat ===

impl ConnectionSeat {
    /// The same place on another lane.
    pub(super) fn moved_to(mut self, lane: &LaneLoad) -> Self {
        lane.0.connections.fetch_add(1, Relaxed);
        self.lane.0.connections.fetch_sub(1, Relaxed);
        self.lane = lane.clone();
        self
    }
}

impl Drop for ConnectionSeat {
    fn drop(&mut self) {
        let DoorSeat {
            capacity, connections, ..
        } = &self.door.seat;
        connections.fetch_sub(1, Relaxed);
        capacity.0.descriptors.fetch_sub(DESCRIPTORS_A_CONNECTION, Relaxed);
        self.lane.0.connections.fetch_sub(1, Relaxed);
    }
}

// === impl DescriptorSeat ===

impl DescriptorSeat {
    /// Takes a descriptor, unless the last quarter is reached: that is for connections in use.
    pub(super) fn take(door: &OpenDoor) -> Option<Self> {
        let capacity = &door.seat.capacity;
        let InUse {
            max_descriptors,
            descriptors,
            ..
        } = &*capacity.0;
        if descriptors.fetch_add(1, Relaxed) >= max_descriptors / 4 * 3 {
            descriptors.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self {
            capacity: capacity.clone(),
        })
    }
}

impl Drop for DescriptorSeat {
    fn drop(&mut self) {
        self.capacity.0.descriptors.fetch_sub(1, Relaxed);
    }
}

// === impl BufferSeat ===

impl BufferSeat {
    /// Without any bytes yet.
    pub(super) fn empty(door: &Arc<OpenDoor>) -> Self {
        Self {
            door: door.clone(),
            bytes: 0,
        }
    }

    /// Takes so many bytes of the pod's and the agent's buffers, or refuses.
    pub(super) fn take(door: &Arc<OpenDoor>, bytes: usize) -> Result<Self, Denied> {
        let mut taken = Self::empty(door);
        taken.grow(bytes, 1)?;
        Ok(taken)
    }

    /// Takes so many more, unless half of the buffers is in use: the other half is for what cannot do without.
    pub(super) fn grow_spare(&mut self, bytes: usize) -> Result<(), Denied> {
        self.grow(bytes, 2)
    }

    /// Takes more of this part of the buffers.
    fn grow(&mut self, bytes: usize, part: u64) -> Result<(), Denied> {
        let DoorSeat { capacity, buffered, .. } = &self.door.seat;
        let bytes = bytes as u64;
        let of_pod = buffered.fetch_add(bytes, Relaxed) + bytes;
        let of_all = capacity.0.buffered.fetch_add(bytes, Relaxed) + bytes;
        if of_pod > capacity.0.max_buffer_per_pod / part || of_all > capacity.0.max_buffer / part {
            buffered.fetch_sub(bytes, Relaxed);
            capacity.0.buffered.fetch_sub(bytes, Relaxed);
            return Err(Denied::BufferLimit);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BufferSeat {
    fn drop(&mut self) {
        let DoorSeat { capacity, buffered, .. } = &self.door.seat;
        buffered.fetch_sub(self.bytes, Relaxed);
        capacity.0.buffered.fetch_sub(self.bytes, Relaxed);
    }
}

/// Raises the process's limit on descriptors as far as it may go; to be called before [`Proxy::start`](super::Proxy::start).
pub fn raise_descriptor_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

/// How much is read at once: bulk costs a third per byte of what it costs with 8 KiB.
pub(super) const CHUNK: usize = 64 * 1024;
/// How much is read at once while buffers are short.
const SMALL_CHUNK: usize = 4 * 1024;
/// Runtimes, watches, maps, programs, the admin port, log.
const DESCRIPTORS_OF_THE_AGENT: usize = 256;
/// Four listeners, the namespace, DNS sockets, kernel programs' links and maps.
const DESCRIPTORS_A_DOOR: usize = 12;
/// One to the client, one to the upstream.
const DESCRIPTORS_A_CONNECTION: usize = 2;
