//! The demonstration, stopped at whatever step.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use harness::wait;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[test]
fn the_demonstration_takes_everything_down_when_it_is_interrupted() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
        let mut demo = demo
            .env("WEFT_BIN", harness::weft())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let names = format!("weft-t{}-", demo.id());
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        // Both nodes, an agent on each, and the services are up.
        assert!(lines.any(|line| line.unwrap().starts_with("2. ")));
        assert!(!left(&names).is_empty());

        kill(Pid::from_raw(demo.id().cast_signed()), signal).unwrap();
        let status = wait::until_some(wait::PATIENCE, "its end", || demo.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
        assert_eq!(left(&names), Vec::<String>::new());
    }
}

/// What bears the demonstration's names: namespaces, pins, folders, cgroups.
fn left(names: &str) -> Vec<String> {
    let temporary = std::env::temp_dir();
    let folders = [Path::new("/run/netns"), Path::new("/sys/fs/bpf/weft"), &temporary];
    let entries = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let entries = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.filter(|name| name.starts_with(names)).collect()
}
