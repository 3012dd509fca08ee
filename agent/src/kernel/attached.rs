//! Which programs run at a cgroup's hooks, and in which order.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use aya::programs::loaded_programs;

/// Where programs decide about a connect().
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Hook {
    /// `BPF_CGROUP_INET4_CONNECT`.
    Connect4 = 10,
    /// `BPF_CGROUP_INET6_CONNECT`.
    Connect6 = 11,
}

/// What the kernel reads and writes of `union bpf_attr` for `BPF_PROG_QUERY`.
#[derive(Default)]
#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    zero: u32,
}

// === impl Hook ===

impl Hook {
    /// Both, with their names as bpftool writes them.
    pub(super) const ALL: [(Self, &str); 2] = [(Self::Connect4, "connect4"), (Self::Connect6, "connect6")];
}

/// Lists the ids of the programs that run for sockets of a cgroup, in their order: its own, then those of its ancestors
/// (`compute_effective_progs`, 6.18).
pub(super) fn running(cgroup: &impl AsFd, hook: Hook) -> io::Result<Vec<u32>> {
    query(cgroup, hook, EFFECTIVE)
}

/// Lists the ids of the programs that are attached to a cgroup itself.
pub(super) fn attached(cgroup: &impl AsFd, hook: Hook) -> io::Result<Vec<u32>> {
    query(cgroup, hook, 0)
}

/// The name of a program, as far as the kernel keeps it; none when it is gone.
pub(super) fn name(id: u32) -> Option<String> {
    let program = loaded_programs().flatten().find(|program| program.id() == id)?;
    program.name_as_str().map(str::to_owned)
}

fn query(cgroup: &impl AsFd, hook: Hook, flags: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST];
    let mut query = Query {
        target_fd: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: hook as u32,
        query_flags: flags,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST as u32,
        ..Query::default()
    };
    // SAFETY: the kernel reads and writes `query`, as long as it is told to be, and as many ids as `prog_cnt` says; both
    // outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    ids.truncate(query.prog_cnt as usize);
    Ok(ids)
}

/// `BPF_PROG_QUERY`.
const PROG_QUERY: libc::c_int = 16;

/// `BPF_F_QUERY_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// As many programs as the kernel runs at one hook (`BPF_CGROUP_MAX_PROGS`).
const MOST: usize = 64;
