//! A named network namespace, as `ip netns` knows them.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    panic,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    net::if_::if_nameindex,
    sched::{CloneFlags, setns, unshare},
};

/// A network namespace under `/run/netns`; its name goes when this is dropped, itself when its last socket is closed.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
    inode: u64,
}

// === impl Netns ===

impl Netns {
    /// Makes a namespace with `lo` down and nothing else.
    pub fn create(name: &str) -> Self {
        let path = Path::new(NAMED).join(name);
        fs::create_dir_all(NAMED).expect("/run/netns can be made");
        File::create_new(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace can be made");
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .expect("a namespace can be mounted");
        });
        let file = File::open(&path).expect("a fresh namespace can be opened");
        let inode = file.metadata().expect("a namespace has an inode").ino();
        Self {
            name: name.to_owned(),
            file,
            inode,
        }
    }

    /// The name, as `ip -n` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path, as `weft.dev/netns` takes it.
    pub fn path(&self) -> PathBuf {
        Path::new(NAMED).join(&self.name)
    }

    /// The inode by which the kernel's lists name it.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Runs the closure in a thread inside the namespace; sockets it makes and processes it starts belong there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("a held namespace can be entered");
            work()
        })
    }

    /// Runs lines of `ip -batch` in the namespace.
    pub fn ip(&self, batch: &str) {
        if let Err(error) = self.try_ip(batch) {
            panic!("in {}: {batch}\n{error}", self.name);
        }
    }

    /// Runs lines of `ip -batch` in the namespace; the error is what `ip` says.
    pub fn try_ip(&self, batch: &str) -> Result<String, String> {
        let output = self.run(|| {
            let mut child = Command::new("ip")
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("iproute2 is installed");
            let mut stdin = child.stdin.take().expect("stdin is piped");
            stdin.write_all(batch.as_bytes()).expect("ip reads its batch");
            drop(stdin);
            child.wait_with_output().expect("ip ends")
        });
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The names of its interfaces, without the loopback.
    pub fn interfaces(&self) -> Vec<String> {
        let names: Vec<String> = self.run(|| {
            let listed = if_nameindex().expect("the kernel lists interfaces");
            let names = listed
                .iter()
                .map(|interface| interface.name().to_string_lossy().into_owned());
            names.collect()
        });
        names.into_iter().filter(|name| name != "lo").collect()
    }

    /// Writes a setting below `/proc/sys/net`.
    pub fn set(&self, key: &str, value: &str) {
        let path = Path::new(SYSCTL).join(key);
        self.run(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }

    /// Reads a setting below `/proc/sys/net`.
    pub fn setting(&self, key: &str) -> String {
        let path = Path::new(SYSCTL).join(key);
        let text = self.run(|| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        text.trim().to_owned()
    }

    /// Runs a command of `/bin/sh` in the namespace and returns what it prints; panics when it fails.
    pub fn sh(&self, command: &str) -> String {
        let output = self.run(|| {
            Command::new("/bin/sh")
                .args(["-ec", command])
                .output()
                .expect("sh runs")
        });
        assert!(
            output.status.success(),
            "in {}: {command}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        forget(&self.path());
    }
}

/// Takes a namespace's name away; an error leaves nothing that could be done about it.
pub(crate) fn forget(path: &Path) {
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Where iproute2 keeps named namespaces.
pub(crate) const NAMED: &str = "/run/netns";

const SYSCTL: &str = "/proc/sys/net";
