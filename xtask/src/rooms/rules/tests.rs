//! Both sides of each rule.

use std::path::Path;

use super::violations;

#[test]
fn a_room_may_import_what_the_table_allows() {
    assert_eq!(
        broken(
            "agent/src/proxy/copy.rs",
            "use crate::{model::Pod, net::NetNs, proxy::Door};"
        ),
        NONE
    );
}

#[test]
fn a_room_may_not_import_what_the_table_does_not_name() {
    assert_eq!(
        broken(
            "agent/src/proxy/copy.rs",
            "use crate::model::Pod;\nuse crate::{\n    kernel::Kernel,\n};"
        ),
        ["agent/src/proxy/copy.rs:4: room proxy may not import kernel; it may: model, net, tls, telemetry"]
    );
}

#[test]
fn a_path_in_an_expression_or_a_macro_counts_as_an_import() {
    let expected = ["agent/src/net.rs:2: room net may not import app; it may: nothing"];
    assert_eq!(broken("agent/src/net.rs", "fn f() { crate::app::run(); }"), expected);
    assert_eq!(
        broken("agent/src/net.rs", "fn f() { println!(\"{}\", crate::app::NAME); }"),
        expected
    );
}

#[test]
fn comments_and_strings_are_no_imports() {
    assert_eq!(
        broken(
            "agent/src/net.rs",
            "/// See [`crate::app`].\nconst A: &str = \"crate::app::run\"; // aya::Ebpf"
        ),
        NONE
    );
}

#[test]
fn the_way_by_super_is_followed_to_the_root() {
    assert_eq!(
        broken("agent/src/net/route.rs", "use super::super::kernel::Kernel;"),
        ["agent/src/net/route.rs:2: room net may not import kernel; it may: nothing"]
    );
    assert_eq!(
        broken("agent/src/net.rs", "mod tests { use super::super::kernel::Kernel; }"),
        ["agent/src/net.rs:2: room net may not import kernel; it may: nothing"]
    );
}

#[test]
fn super_inside_a_room_is_free() {
    assert_eq!(
        broken(
            "agent/src/net/route.rs",
            "use super::kernel::Kernel;\nmod tests { use super::super::kernel; }"
        ),
        NONE
    );
    assert_eq!(broken("agent/src/net.rs", "mod tests { use super::kernel; }"), NONE);
}

#[test]
fn a_confined_crate_is_free_in_its_room() {
    assert_eq!(
        broken("agent/src/kernel/load.rs", "use aya::Ebpf;\nfn f(_: aya::Btf) {}"),
        NONE
    );
}

#[test]
fn a_confined_crate_is_refused_elsewhere() {
    let expected = ["agent/src/proxy.rs:2: crate aya is confined to the rooms: kernel"];
    assert_eq!(broken("agent/src/proxy.rs", "use aya::Ebpf;"), expected);
    assert_eq!(broken("agent/src/proxy.rs", "use aya;"), expected);
    assert_eq!(broken("agent/src/proxy.rs", "use ::aya::Ebpf;"), expected);
    assert_eq!(
        broken("agent/src/proxy.rs", "fn f() -> Vec<aya::Btf> { vec![] }"),
        expected
    );
}

#[test]
fn a_segment_that_is_named_like_a_confined_crate_is_free() {
    assert_eq!(
        broken(
            "agent/src/proxy.rs",
            "use crate::net::notify;\nfn notify() { self::kube::f(); }"
        ),
        NONE
    );
}

#[test]
fn the_model_does_without_a_runtime() {
    assert_eq!(
        broken("agent/src/model/pod.rs", "use tokio::sync::watch;"),
        ["agent/src/model/pod.rs:2: room model must do without the crate tokio"]
    );
    assert_eq!(broken("agent/src/net/pod.rs", "use tokio::sync::watch;"), NONE);
}

#[test]
fn a_room_outside_the_table_is_refused() {
    assert_eq!(
        broken("agent/src/attic.rs", "use crate::model::Pod;"),
        ["agent/src/attic.rs:2: room attic is not in the table of rooms"]
    );
}

#[test]
fn the_entry_composes_by_app_alone() {
    assert_eq!(
        broken("agent/src/main.rs", "use agent::{app, cli, config::AgentConfig};"),
        NONE
    );
    assert_eq!(
        broken("agent/src/main.rs", "use agent::proxy::Proxy;"),
        ["agent/src/main.rs:2: room main may not import proxy; it may: app, cli, config, cni"]
    );
}

#[test]
fn unsafe_code_is_confined() {
    assert_eq!(broken("agent/src/net/setns.rs", "fn f() { unsafe { g() } }"), NONE);
    assert_eq!(
        broken("agent-ebpf/src/main.rs", "#[unsafe(no_mangle)]\nfn f() {}"),
        NONE
    );
    assert_eq!(
        broken("agent/src/proxy.rs", "fn f() { unsafe { g() } }"),
        [
            "agent/src/proxy.rs:2: unsafe is confined to: agent/src/net, agent/src/kernel, agent-common/src, agent-ebpf/src/ctx, agent-ebpf/src/maps, tests/balancer/src"
        ]
    );
}

#[test]
fn a_file_says_first_what_it_holds() {
    let told = violations(Path::new("tests/dns.rs"), "use std::net;\n").unwrap();
    assert_eq!(
        told[0].to_string(),
        "tests/dns.rs:1: a file opens with `//!`: what lives here, what does not"
    );
}

#[test]
fn a_file_has_a_name_that_says_something() {
    let expected = ["tests/utils/dns.rs:1: the name `utils` says nothing of the content"];
    assert_eq!(broken("tests/utils/dns.rs", ""), expected);
    assert_eq!(
        broken("agent/src/net/mod.rs", ""),
        ["agent/src/net/mod.rs:1: the name `mod` says nothing of the content"]
    );
    assert_eq!(broken("agent-common/src/mark.rs", ""), NONE);
}

#[test]
fn a_file_has_400_lines_at_most() {
    assert_eq!(broken("tests/dns.rs", &"\n".repeat(399)), NONE);
    assert_eq!(
        broken("tests/dns.rs", &"\n".repeat(400)),
        ["tests/dns.rs:401: 401 lines; a file has 400 at most"]
    );
}

#[test]
fn long_tests_lie_in_a_file_of_their_own() {
    let tests = |lines: usize| format!("mod tests {{{}}}", "\n".repeat(lines));
    assert_eq!(broken("tests/dns.rs", &tests(100)), NONE);
    assert_eq!(
        broken("tests/dns.rs", &tests(101)),
        ["tests/dns.rs:2: 101 lines of tests; more than 100 go to a tests.rs"]
    );
}

/// What `code`, below a line that says what the file holds, breaks at `path`.
fn broken(path: &str, code: &str) -> Vec<String> {
    let source = format!("//! Something.\n{code}");
    violations(Path::new(path), &source)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

const NONE: [&str; 0] = [];
