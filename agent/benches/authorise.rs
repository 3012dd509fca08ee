//! What deciding about a connection costs, and compiling policies: `cargo bench -p agent --bench authorise`.
//!
//! Each figure is the best of some rounds, since whatever else the machine does only adds to it.

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use agent::model::{
    Action, AuthorizationPolicy, Caller, Contents, Endpoint, EndpointHints, Enrolment, Identity, Mesh, ObjectName,
    OnAgentFailure, Operation, Pod, PodUid, Policies, Principal, Rule, Service, ServicePort, Source, Support, Target,
    TrafficPolicy, Transport, Verdict,
};

fn main() {
    // First, while nothing that was freed can be taken again.
    let empty = memory();
    let mesh = Mesh::new(workloads());
    let grown = memory().saturating_sub(empty);
    println!("{WORKLOADS} workloads on other nodes: {} bytes each", grown / WORKLOADS);
    drop(mesh);
    let web = Identity::new("cluster.local", "shop", "account-0");
    for (what, policies, first, last) in [
        (
            "10,000 policies of other workloads",
            of_others(10_000),
            "account-0",
            "account-0",
        ),
        (
            "1,000 by identity on this one",
            on_this(1_000, by_identity),
            "account-0",
            "account-999",
        ),
        (
            "1,000 by label on this one",
            on_this(1_000, by_label),
            "account-0",
            "account-999",
        ),
        (
            "1,000 by range on this one",
            on_this(1_000, by_range),
            "account-0",
            "account-999",
        ),
        (
            "1,000 by port on this one",
            on_this(1_000, by_port),
            "account-0",
            "account-999",
        ),
    ] {
        let mesh = Mesh::new(contents(policies, 250));
        let pod = Arc::clone(mesh.pods.get(&PodUid::new("uid-0")).expect("there is one"));
        for (which, account) in [("first", first), ("last", last), ("none", "account-none")] {
            let identity = Identity {
                service_account: account.into(),
                ..web.clone()
            };
            let number: u16 = account
                .rsplit('-')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(5_000);
            let labels = BTreeMap::from([
                ("app".to_owned(), account.to_owned()),
                ("tier".to_owned(), "1".to_owned()),
            ]);
            let caller = Caller {
                identity: Some(&identity),
                labels: Some(&labels),
                address: address(number).into(),
            };
            let verdict = mesh.authorise(&pod, 10_000 + number, &caller).verdict;
            let cost = best(
                || drop(black_box(mesh.authorise(&pod, 10_000 + number, &caller))),
                2_000,
            );
            let verdict = if verdict == Verdict::Allowed {
                "allowed"
            } else {
                "denied"
            };
            println!("authorise, {what}, {which} match: {cost:?} ({verdict})");
        }
    }
    let before = Mesh::new(contents(on_this(1_000, by_identity), 250));
    let compile = best(
        || drop(black_box(Mesh::new(contents(on_this(1_000, by_identity), 250)))),
        1,
    );
    println!("compile 1,000 policies for 250 pods, all new: {compile:?}");
    let policies = before.policies.clone();
    let change = best(
        || {
            let mut contents = contents(policies.clone(), 250);
            contents.pods.push(Arc::new(pod(250)));
            drop(black_box(before.changed(contents)));
        },
        1,
    );
    println!("one pod more among 250, under the same policies: {change:?}");
}

/// Services of ten pods each.
fn workloads() -> Contents {
    let endpoint = |index: usize| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(index).expect("few"));
        let name = ObjectName::new(
            format!("namespace-{}", index / 100),
            format!("deployment-{index}-5d4f8c7b9-abcde"),
        );
        Arc::new(Endpoint {
            address: (address, 8080).into(),
            ready: true,
            serving: true,
            terminating: false,
            node: Some(format!("node-{}", index % 500).into()),
            zone: Some(format!("zone-{}", index % 3).into()),
            hints: EndpointHints::default(),
            hostname: None,
            pod: Some((PodUid::derived(&name), name)),
        })
    };
    let service = |index: usize| {
        Arc::new(Service {
            name: ObjectName::new(format!("namespace-{}", index / 10), format!("service-{index}")),
            cluster_ips: vec![Ipv4Addr::from_bits(0x0ae0_0000 + u32::try_from(index).expect("few")).into()],
            external_ips: Vec::new(),
            headless: false,
            external_name: None,
            publish_not_ready: false,
            ports: vec![ServicePort {
                name: "http".to_owned(),
                port: 80,
                transport: Transport::Tcp,
                app_protocol: None,
                endpoints: (index * 10..index * 10 + 10).map(endpoint).collect(),
            }],
            internal_traffic_policy: TrafficPolicy::Cluster,
            traffic_distribution: None,
            affinity: None,
        })
    };
    Contents {
        services: (0..WORKLOADS / 10).map(service).collect(),
        ..contents(on_this(1_000, by_identity), 0)
    }
}

/// What this process holds, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn contents(policies: Policies, pods: usize) -> Contents {
    Contents {
        generation: 1,
        node: "node-1".into(),
        pods: (0..pods).map(|index| Arc::new(pod(index))).collect(),
        policies,
        ..Contents::default()
    }
}

fn pod(index: usize) -> Pod {
    Pod {
        uid: PodUid::new(format!("uid-{index}")),
        name: ObjectName::new("shop", format!("pod-{index}")),
        service_account: "default".into(),
        labels: BTreeMap::from([("app".to_owned(), format!("app-{index}"))]),
        ips: Vec::new(),
        ports: Vec::new(),
        probe_ports: Vec::new(),
        netns: None,
        enrolment: Enrolment::Enrolled,
        on_agent_failure: OnAgentFailure::Open,
        terminating: false,
    }
}

fn policy(namespace: &str, index: usize, target: Target, rule: Rule) -> Arc<AuthorizationPolicy> {
    Arc::new(AuthorizationPolicy {
        name: ObjectName::new(namespace, format!("policy-{index:05}")),
        target,
        action: Action::Allow,
        rules: vec![rule],
        support: Support::Whole,
    })
}

/// Half of another namespace, half of this one with selectors that mean other pods.
fn of_others(count: usize) -> Policies {
    let policies = (0..count).map(|index| {
        let labels = BTreeMap::from([("app".to_owned(), format!("other-{index}"))]);
        let namespace = if index < count / 2 { "other" } else { "shop" };
        policy(namespace, index, Target::Selector(labels), by_identity(index))
    });
    Policies {
        authorization: policies.collect(),
        ..Policies::default()
    }
}

fn on_this(count: usize, rule: fn(usize) -> Rule) -> Policies {
    let policies = (0..count).map(|index| policy("shop", index, Target::All, rule(index)));
    Policies {
        authorization: policies.collect(),
        ..Policies::default()
    }
}

fn by_identity(index: usize) -> Rule {
    let principal = Principal::Account {
        trust_domain: None,
        namespace: "shop".into(),
        service_account: format!("account-{index}").into(),
    };
    from(Source {
        principals: vec![principal],
        ..Source::default()
    })
}

fn by_label(index: usize) -> Rule {
    from(Source {
        pod_labels: BTreeMap::from([
            ("app".to_owned(), format!("account-{index}")),
            ("tier".to_owned(), "1".to_owned()),
        ]),
        ..Source::default()
    })
}

fn by_range(index: usize) -> Rule {
    let cidr = format!("{}/32", address(u16::try_from(index).expect("few")));
    let block = agent::model::IpBlock {
        cidr: cidr.parse().expect("a range"),
        except: Vec::new(),
    };
    from(Source {
        ip_blocks: vec![block],
        ..Source::default()
    })
}

fn by_port(index: usize) -> Rule {
    let port = 10_000 + u16::try_from(index).expect("few");
    Rule {
        from: Vec::new(),
        to: vec![Operation {
            ports: vec![port],
            ..Operation::default()
        }],
    }
}

fn from(source: Source) -> Rule {
    Rule {
        from: vec![source],
        to: Vec::new(),
    }
}

fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    [10, 9, high, low].into()
}

/// The time of one call, in the best of some rounds.
fn best(mut call: impl FnMut(), calls: u32) -> Duration {
    let round = |_| {
        let started = Instant::now();
        (0..calls).for_each(|_| call());
        started.elapsed() / calls
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

const ROUNDS: u32 = 20;

const WORKLOADS: usize = 50_000;
