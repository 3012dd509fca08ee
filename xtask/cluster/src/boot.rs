//! What makes a machine of a process: called by the program `cluster-machine`, twice.
//!
//! ```text
//! boot()   on the host: joins the cgroup and the network namespace, makes the other namespaces, starts
//! first()  as PID 1 of the machine: a root of its own, its mounts, its daemons; then starts again what ends, and reaps orphans, for ever
//! ```

use std::{
    env, fs,
    fs::File,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    sys::{signal::SigSet, wait::wait},
    unistd::{Pid, getpid},
};

use crate::{Daemon, Machine, cgroup, machine::PID, network, root};

/// Starts the machine's first process, and returns.
pub fn boot(plan: &Path) -> Result<()> {
    let machine = Machine::read(plan)?;
    cgroup::join(&machine.name)?;
    let namespace = network::namespace(&machine.name);
    let network = File::open(&namespace).with_context(|| format!("cannot open {}", namespace.display()))?;
    setns(network, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
    // Children only are in the PID namespace; the cgroup namespace's root is where this process is.
    unshare(
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWIPC,
    )
    .context("cannot make namespaces")?;
    let log = machine.logs().join("machine.log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .context("cannot write the log")?;
    let first = Command::new(env::current_exe().context("a process has a program")?)
        .arg("--first")
        .arg(plan)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start the first process")?;
    // As the host counts, since this process is no child of the namespace.
    fs::write(machine.folder.join(PID), format!("{}\n", first.id())).context("cannot write the process's number")
}

/// Is the machine's first process; ends by a signal only.
pub fn first(plan: &Path) -> Result<()> {
    if getpid().as_raw() != 1 {
        bail!("this is for the first process of a machine");
    }
    // PID 1 gets no signal that it does not wait for or handle, but for the host's SIGKILL.
    SigSet::all().thread_unblock().context("cannot unblock signals")?;
    let machine = Machine::read(plan)?;
    root::enter(&machine)?;
    let mut running = Vec::new();
    for daemon in &machine.daemons {
        running.push((start(daemon, &machine)?, daemon));
    }
    loop {
        let ended = match wait() {
            Ok(status) => status.pid(),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("cannot wait for children"),
        };
        // Others are orphans, which are reaped and no more.
        let Some((pid, daemon)) = running.iter_mut().find(|(pid, _)| Some(*pid) == ended) else {
            continue;
        };
        // As an init system does: one that starts before what it needs ends, and comes again.
        println!("{} ended; it is started again", daemon.name());
        thread::sleep(BEFORE_RESTART);
        *pid = start(daemon, &machine)?;
    }
}

/// Starts a daemon in a cgroup of its own, by which it is told apart from all other processes of the machine.
fn start(daemon: &Daemon, machine: &Machine) -> Result<Pid> {
    // A child inherits it.
    cgroup::join_child(daemon.name())?;
    let child = daemon.spawn(&machine.logs())?;
    cgroup::join_child("machine")?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

const BEFORE_RESTART: Duration = Duration::from_millis(500);
