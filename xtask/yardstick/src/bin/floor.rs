//! `floor LISTEN UPSTREAM NETNS`: listens in the namespace it is started in, and dials from the namespace at NETNS.
//!
//! Each line on its standard input is answered by the system calls made so far; its end ends the program.

use std::{
    env,
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::epoll::EpollEvent,
};
use yardstick::{Proxy, Syscalls};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [listen, upstream, netns] = arguments.as_slice() else {
        anyhow::bail!("usage: floor LISTEN UPSTREAM NETNS")
    };
    let mut syscalls = Syscalls::new()?;
    let mut proxy = Proxy::listen(listen.parse()?, upstream.parse()?, &mut syscalls)?;
    let netns = File::open(netns).with_context(|| format!("cannot open {netns}"))?;
    // For good: no connection pays for entering and leaving.
    setns(netns, CloneFlags::CLONE_NEWNET)?;
    syscalls.watch_input(io::stdin().as_fd(), PARENT)?;
    writeln!(io::stdout(), "ready")?;

    let mut events = [EpollEvent::empty(); 256];
    loop {
        for event in syscalls.wait(&mut events)? {
            if event.data() == PARENT {
                if io::stdin().read(&mut [0; 64])? == 0 {
                    return Ok(());
                }
                writeln!(io::stdout(), "{}", syscalls.made())?;
                continue;
            }
            proxy.serve(event, &mut syscalls);
        }
    }
}

const PARENT: u64 = u64::MAX - 1;
