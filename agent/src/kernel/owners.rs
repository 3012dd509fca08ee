//! The cookies of namespaces before Linux 5.14, which has no `SO_NETNS_COOKIE`: a socket of the namespace connects, and a
//! kernel program writes down whose it is.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use agent_common::mark::OURS;
use aya::{
    maps::{HashMap, Map, MapData, MapError},
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use socket2::{Domain, Socket, Type};

use crate::net::{self, Cookie};

/// Whether the kernel tells sockops programs whose a socket is, and user space since shortly before.
pub(super) fn are_told() -> bool {
    // What cannot be probed is found out by the loading.
    is_helper_supported(ProgramType::SockOps, BpfHelper::BPF_FUNC_get_netns_cookie).unwrap_or(true)
}

/// From here on namespaces whose cookie the kernel does not tell are asked for it by way of this map.
pub(super) fn ask(pin: PathBuf) {
    let map = Mutex::new(None);
    net::ask_cookies_of(move |netns| {
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        let owners = match map.take() {
            Some(owners) => owners,
            None => open(&pin)?,
        };
        let cookie = of(netns, &owners);
        *map = Some(owners);
        cookie
    });
}

type Owners = HashMap<MapData, u64, u64>;

fn open(pin: &PathBuf) -> io::Result<Owners> {
    let map = MapData::from_pin(pin).and_then(Map::from_map_data);
    map.and_then(Owners::try_from).map_err(io::Error::other)
}

fn of(netns: &net::NetNs, owners: &Owners) -> io::Result<Cookie> {
    let socket = netns
        .run(|| Socket::new(Domain::IPV4, Type::DGRAM, None))
        .map_err(io::Error::other)??;
    socket.set_mark(OURS)?;
    // It says nothing, and where there is no route the program has run nonetheless (`inet_dgram_connect`, 5.10).
    let _ = socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, DISCARD)).into());
    match owners.get(&socket.cookie()?, 0) {
        Ok(cookie) => Ok(Cookie(cookie)),
        Err(MapError::KeyNotFound) => Err(io::Error::other(
            "no program has seen this process connect: its cgroup must lie below the one above all pods",
        )),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The port of the discard service; nothing is sent there.
const DISCARD: u16 = 9;
