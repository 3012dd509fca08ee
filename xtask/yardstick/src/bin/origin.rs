//! `origin LISTEN`: the HTTP server; it ends with its standard input.

use std::{
    env,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result};
use nix::sys::epoll::EpollEvent;
use yardstick::{Origin, Syscalls};

fn main() -> Result<()> {
    let listen = env::args().nth(1).context("usage: origin LISTEN")?;
    let mut syscalls = Syscalls::new()?;
    let mut origin = Origin::listen(listen.parse()?, &mut syscalls)?;
    syscalls.watch_input(io::stdin().as_fd(), PARENT)?;
    writeln!(io::stdout(), "ready")?;

    let mut events = [EpollEvent::empty(); 256];
    loop {
        for event in syscalls.wait(&mut events)? {
            if event.data() == PARENT {
                return Ok(());
            }
            origin.serve(event, &mut syscalls);
        }
    }
}

const PARENT: u64 = u64::MAX - 1;
