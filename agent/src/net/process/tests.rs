//! What /proc writes, in every form that kubelets and kernels give it.

use super::*;

const UID: &str = "2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e5f";

#[test]
fn a_pods_uid_is_read_in_every_spelling() {
    for cgroups in [
        // cgroupfs driver, cgroup v2
        "0::/kubepods/besteffort/pod2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e5f/0123abcd\n",
        // cgroupfs driver, guaranteed pod, cgroup v1
        "12:cpu,cpuacct:/kubepods/pod2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e5f/0123abcd\n0::/system.slice\n",
        // systemd driver
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2f3c1a90_8f4e_4c5b_9d62_0a1b2c3d4e5f.slice/cri-containerd-0123.scope\n",
        // systemd driver, guaranteed pod
        "0::/kubepods.slice/kubepods-pod2f3c1a90_8f4e_4c5b_9d62_0a1b2c3d4e5f.slice/crio-0123.scope\n",
        // a kubelet with a cgroup root of its own (kind), seen from another cgroup namespace
        "0::/../../kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod2f3c1a90_8f4e_4c5b_9d62_0a1b2c3d4e5f.slice/x.scope\n",
        // containerd's systemd cgroup of the form slice:prefix:name
        "0::/kubepods/besteffort/pod2f3c1a90-8f4e-4c5b-9d62-0a1b2c3d4e5f/kubepods:cri-containerd:0123\n",
    ] {
        assert_eq!(pod_uid(cgroups).as_deref(), Some(UID), "{cgroups}");
    }
}

#[test]
fn a_static_pods_uid_is_a_hash() {
    assert_eq!(
        pod_uid("0::/kubepods.slice/kubepods-pod00112233445566778899aabbccddeeff.slice/x.scope").as_deref(),
        Some("00112233445566778899aabbccddeeff")
    );
}

#[test]
fn what_only_looks_like_a_pod_is_none() {
    for cgroups in [
        "",
        "0::/",
        "0::/system.slice/podman.service",
        "0::/machine.slice/libpod-0123.scope/container",
        "0::/user.slice/user-1000.slice/podcast",
        "0::/kubepods.slice/kubepods-besteffort.slice",
    ] {
        assert_eq!(pod_uid(cgroups), None, "{cgroups}");
    }
}

#[test]
fn the_unified_hierarchys_path_is_found() {
    assert_eq!(
        cgroup2("12:cpu:/a\n0::/system.slice/kubelet.service\n"),
        Some("system.slice/kubelet.service".into())
    );
    assert_eq!(cgroup2("12:cpu:/a\n"), None);
}

#[test]
fn a_start_time_is_read_past_any_command() {
    let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n";

    assert_eq!(started(stat), Some(987_654));
    assert_eq!(started("42 (cut"), None);
}

#[test]
fn this_process_is_among_all() {
    let own = Process {
        pid: std::process::id(),
    };

    assert!(Process::all().unwrap().contains(&own));
    assert!(own.started().is_some());
    assert_eq!(
        own.netns_inode(),
        super::super::NetNs::of_process(own.pid).ok().map(|netns| netns.inode())
    );
}

#[test]
fn a_cgroup_beside_ones_own_is_told_from_the_root() {
    let seen_by_a_pod = "0::/../../../../system.slice/kubelet.service\n";
    assert_eq!(cgroup2(seen_by_a_pod), Some("system.slice/kubelet.service".into()));
}
