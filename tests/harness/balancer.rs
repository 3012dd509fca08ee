//! A socket load balancer of somebody else, on a cgroup above the pods'.

use std::{fs::File, net::SocketAddr, path::Path};

use agent_common::SocketAddress;
use aya::{
    Ebpf,
    maps::HashMap,
    programs::{CgroupAttachMode, CgroupSockAddr},
};

use crate::Cgroup;

/// Runs in each connect() of what is in a cgroup, as long as it lives.
#[derive(Debug)]
pub struct Balancer {
    _programs: Ebpf,
}

// === impl Balancer ===

impl Balancer {
    /// Puts each second address in place of the first one.
    pub fn start(cgroup: &Cgroup, services: &[(SocketAddr, SocketAddr)]) -> Self {
        let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/balancer");
        let mut programs = Ebpf::load_file(&object)
            .unwrap_or_else(|error| panic!("{}, which `cargo xtask build` makes: {error}", object.display()));
        let map = programs.map_mut("SERVICES").expect("the object has this map");
        let mut map = HashMap::<_, SocketAddress, SocketAddress>::try_from(map).expect("it is a hash");
        for (service, endpoint) in services {
            map.insert(SocketAddress::from(*service), SocketAddress::from(*endpoint), 0)
                .expect("the map has room");
        }
        let folder = File::open(cgroup.path()).expect("the cgroup lives");
        for name in ["balance4", "balance6"] {
            let program = programs.program_mut(name).expect("the object has this program");
            let program: &mut CgroupSockAddr = program.try_into().expect("it is of this type");
            program.load().expect("the kernel takes it");
            program
                .attach(&folder, CgroupAttachMode::Single)
                .expect("it can be attached");
        }
        Self { _programs: programs }
    }
}
