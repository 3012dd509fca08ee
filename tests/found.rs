//! How a pod's namespace is found, and what is said where it cannot be captured, or not in full.

use std::process::{Child, Command};

use harness::{App, Cgroup, Family, Pod, Talk, wait};
use serde_json::Value;

use crate::mesh::{Single, is_captured, opened, wait_captured, wait_released};

/// A process in a pod's namespace and cgroup, as a container runtime starts it.
pub(crate) struct Process(Child);

#[test]
fn a_pod_without_the_annotation_is_found_by_its_processes() {
    let mesh = Single::start();
    let server = mesh.plain("server");
    let _app = server.serve(8080, App::Echo);
    let mut pod = mesh.node.pod("mesh/pod").start_unannounced();
    let cgroup = cgroup_of(&pod);
    let process = Process::start(&pod, &cgroup);
    pod.update(forget_annotation);
    wait_captured(&mesh.node, &pod);
    for family in Family::BOTH {
        let stream = pod.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
    assert_eq!(opened(&mesh.agent), 2);

    // A sandbox without processes is none.
    drop(process);
    wait_released(&mesh.node, &pod);
}

#[test]
fn a_pod_whose_processes_come_later_is_captured_then() {
    let mesh = Single::start();
    let mut pod = mesh.node.pod("mesh/pod").start_unannounced();
    pod.update(forget_annotation);
    wait::until(wait::PATIENCE, "the pod waits", || {
        row(&mesh, &pod).is_some_and(|row| row["reason"].is_string())
    });
    assert!(!is_captured(&mesh.node, &pod));

    let cgroup = cgroup_of(&pod);
    let _process = Process::start(&pod, &cgroup);
    wait_captured(&mesh.node, &pod);
}

#[test]
fn a_pod_in_the_namespace_of_the_node_is_not_captured_and_says_so() {
    let mesh = Single::start();
    let mut pod = mesh.node.pod("mesh/pod").start_unannounced();
    let node = mesh.node.netns().path().display().to_string();
    pod.update(|pod| pod["metadata"]["annotations"]["weft.dev/netns"] = node.into());
    let reason = wait::until_some(wait::PATIENCE, "the reason", || {
        row(&mesh, &pod)?["reason"].as_str().map(str::to_owned)
    });
    assert!(reason.contains("host") || reason.contains("node"), "{reason}");
    let rules = mesh.node.netns().sh("ip rule; ip -6 rule");
    assert!(
        !rules.contains(&agent_common::mark::RULE_PREFERENCE.to_string()),
        "{rules}"
    );
}

#[test]
fn two_pods_of_one_namespace_are_not_both_captured() {
    let mesh = Single::start();
    let first = mesh.pod("mesh/first");
    let mut second = mesh.node.pod("mesh/second").start_unannounced();
    let shared = first.netns().path().display().to_string();
    second.update(|pod| pod["metadata"]["annotations"]["weft.dev/netns"] = shared.into());
    let reason = wait::until_some(wait::PATIENCE, "the reason", || {
        row(&mesh, &second)?["reason"].as_str().map(str::to_owned)
    });
    assert!(reason.contains(first.uid()), "{reason}");
    assert!(is_captured(&mesh.node, &first));
}

#[test]
fn a_second_network_is_reported_as_not_captured() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    pod.netns().ip("link add net1 type veth peer name net1peer\n\
         address add 192.0.2.1/24 dev net1\n\
         link set net1 up\nlink set net1peer up\n");
    wait::until(wait::PATIENCE, "net1 reported", || {
        row(&mesh, &pod).is_some_and(|row| row["uncaptured_devices"] == serde_json::json!(["net1"]))
    });
}

/// What `weft debug pod show` says of the pod.
fn row(mesh: &Single, pod: &Pod) -> Option<Value> {
    let shown = mesh.agent.debug(&["pod", "show"]);
    shown.as_array()?.iter().find(|row| row["uid"] == pod.uid()).cloned()
}

fn forget_annotation(pod: &mut Value) {
    pod["metadata"]["annotations"]
        .as_object_mut()
        .expect("pods have annotations")
        .remove("weft.dev/netns");
}

// === impl Process ===

impl Process {
    pub(crate) fn start(pod: &Pod, cgroup: &Cgroup) -> Self {
        let command = format!("{} exec sleep 1000", cgroup.join());
        Self(
            pod.run(|| Command::new("/bin/sh").args(["-ec", &command]).spawn())
                .expect("sh runs"),
        )
    }
}

/// The cgroup of a pod, as the kubelet makes it.
pub(crate) fn cgroup_of(pod: &Pod) -> Cgroup {
    Cgroup::create(&format!("kubepods-pod{}.slice", pod.uid().replace('-', "_")))
}

impl Drop for Process {
    fn drop(&mut self) {
        // It sleeps longer than any test.
        self.0
            .kill()
            .and_then(|()| self.0.wait())
            .expect("the process is our child");
    }
}
