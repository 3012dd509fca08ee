//! Pods found by their processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use super::{super::*, ip, namespace};

/// One for each test.
const UIDS: [&str; 2] = [
    "2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e5f",
    "2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e60",
];

/// A cgroup as the kubelet makes one, and processes in it; all end with it.
struct PodCgroup {
    uid: &'static str,
    parent: PathBuf,
    processes: Vec<Child>,
}

// === impl PodCgroup ===

impl PodCgroup {
    fn make(test: &str, uid: &'static str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let Some(mount) = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2")
        else {
            println!("SKIP {test}: cgroup2 is not mounted");
            return None;
        };
        let parent = PathBuf::from(mount[1]).join(format!("weft-net-{}-{uid}", std::process::id()));
        if let Err(error) = fs::create_dir_all(parent.join(format!("pod{uid}"))) {
            println!("SKIP {test}: no cgroup can be made: {error}");
            return None;
        }
        Some(Self {
            uid,
            parent,
            processes: Vec::new(),
        })
    }

    fn run(&mut self, netns: &NetNs) {
        self.run_as(Path::new("sleep"), netns);
    }

    fn run_as(&mut self, program: &Path, netns: &NetNs) {
        let process = netns.run(|| Command::new(program).arg("60").spawn()).unwrap().unwrap();
        fs::write(self.path().join("cgroup.procs"), process.id().to_string()).unwrap();
        self.processes.push(process);
    }

    fn path(&self) -> PathBuf {
        self.parent.join(format!("pod{}", self.uid))
    }
}

impl Drop for PodCgroup {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        fs::remove_dir(self.path()).unwrap();
        fs::remove_dir(&self.parent).unwrap();
    }
}

#[test]
fn a_pods_namespace_is_its_oldest_process_with_its_address() {
    let test = "a_pods_namespace_is_its_oldest_process_with_its_address";
    let (Some(foreign), Some(sandbox), Some(pretended)) = (namespace(test), namespace(test), namespace(test)) else {
        return;
    };
    let Some(mut pod) = PodCgroup::make(test, UIDS[0]) else {
        return;
    };
    for netns in [&sandbox, &pretended] {
        ip(netns, "addr add 10.1.0.1/32 dev lo");
    }

    pod.run(&NetNs::current().unwrap());
    pod.run(&foreign);
    pod.run(&sandbox);
    // Start times have the grain of a clock tick.
    let ticks = fs::read_to_string("/proc/uptime").unwrap();
    while fs::read_to_string("/proc/uptime").unwrap() == ticks {}
    pod.run(&pretended);
    let processes = PodProcesses::scan().unwrap();

    let found = |ip: &str| processes.namespace(UIDS[0], &[ip.parse().unwrap()]);
    assert_eq!(found("10.1.0.1"), Some(sandbox));
    assert_eq!(found("10.1.0.2"), None);
    assert_eq!(processes.namespace("another", &["10.1.0.1".parse().unwrap()]), None);
}

#[test]
fn a_pod_has_begun_when_more_of_it_runs_than_its_sandbox() {
    let test = "a_pod_has_begun_when_more_of_it_runs_than_its_sandbox";
    let Some(netns) = namespace(test) else { return };
    let Some(mut pod) = PodCgroup::make(test, UIDS[1]) else {
        return;
    };
    let has_begun = || PodProcesses::scan().unwrap().has_begun(UIDS[1]);
    assert!(!has_begun());
    let folder = tempfile::TempDir::new().unwrap();
    // A process is called as the file by which its program was found.
    let pause = folder.path().join("pause");
    std::os::unix::fs::symlink("/bin/sleep", &pause).unwrap();
    pod.run_as(&pause, &netns);
    ip(&netns, "addr add 10.1.0.1/32 dev lo");
    let found = PodProcesses::scan()
        .unwrap()
        .namespace(UIDS[1], &["10.1.0.1".parse().unwrap()]);
    assert_eq!(found.as_ref(), Some(&netns), "its sandbox is seen");
    assert!(!has_begun());
    pod.run(&netns);
    assert!(has_begun());
}
