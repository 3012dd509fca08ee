//! Answers over a mesh, as a client decodes them.

use hickory_proto::op::{MessageType, OpCode, Query, ResponseCode};

use super::*;
use crate::{
    dns::question::{Malformed, Question},
    model::{
        Service,
        sample::{mk_endpoint, mk_mesh, mk_port, mk_service},
    },
};

fn mk_request(name: &str, kind: RecordType) -> Message {
    let mut request = Message::new(0, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request
        .queries
        .push(Query::query(Name::from_ascii(name).unwrap(), kind));
    request
}

fn mk_headless(name: &str, endpoints: Vec<Endpoint>) -> Service {
    Service {
        ports: vec![ServicePort {
            name: "http".into(),
            ..mk_port(80, endpoints)
        }],
        ..mk_service(name, &[])
    }
}

fn mk_alias(name: &str, target: &str) -> Service {
    Service {
        headless: false,
        external_name: Some(target.into()),
        ..mk_service(name, &[])
    }
}

fn mk_unready(address: &str) -> Endpoint {
    Endpoint {
        ready: false,
        ..mk_endpoint(address)
    }
}

/// The answer as a client decodes it.
fn ask(mesh: &Mesh, request: &Message) -> Option<Message> {
    match Question::read(mesh, &request.to_vec().unwrap()).unwrap() {
        Question::Known(answer) => Some(Message::from_vec(&answer.encode().unwrap()).unwrap()),
        Question::Alias(..) | Question::Others | Question::Unknown => None,
    }
}

/// The records of an answer, as zone files write them.
fn answers(mesh: &Mesh, name: &str, kind: RecordType) -> Option<Vec<String>> {
    let response = ask(mesh, &mk_request(name, kind))?;
    assert_eq!(response.metadata.response_code, ResponseCode::NoError);
    Some(response.answers.iter().map(shown).collect())
}

fn shown(record: &Record) -> String {
    format!(
        "{} {} {} {}",
        record.name,
        record.ttl,
        record.record_type(),
        record.data
    )
}

#[test]
fn a_service_has_the_addresses_of_its_families() {
    let mesh = mk_mesh(
        vec![],
        vec![
            mk_service("both", &["10.96.0.1", "fd00::1"]),
            mk_service("four", &["10.96.0.2"]),
        ],
    );

    let both = "both.default.svc.cluster.local.";
    let four = "four.default.svc.cluster.local.";
    assert_eq!(
        answers(&mesh, both, RecordType::A).unwrap(),
        [format!("{both} 5 A 10.96.0.1")]
    );
    assert_eq!(
        answers(&mesh, both, RecordType::AAAA).unwrap(),
        [format!("{both} 5 AAAA fd00::1")]
    );
    assert_eq!(answers(&mesh, four, RecordType::AAAA).unwrap(), [""; 0]);
    assert_eq!(answers(&mesh, four, RecordType::TXT).unwrap(), [""; 0]);
}

#[test]
fn a_name_is_read_in_any_case_and_written_as_asked() {
    let mesh = mk_mesh(vec![], vec![mk_service("web", &["10.96.0.1"])]);

    assert_eq!(
        answers(&mesh, "WeB.Default.SVC.cluster.LOCAL.", RecordType::A).unwrap(),
        ["WeB.Default.SVC.cluster.LOCAL. 5 A 10.96.0.1"]
    );
}

#[test]
fn names_of_nobody_in_the_mesh_are_others_business() {
    let mesh = mk_mesh(vec![], vec![mk_service("web", &["10.96.0.1"])]);

    for name in [
        "example.org.",
        "other.default.svc.cluster.local.",
        "web.other.svc.cluster.local.",
        "web.default.svc.",
        "default.svc.cluster.local.",
        "svc.cluster.local.",
        "cluster.local.",
        ".",
        "web.default.pod.cluster.local.",
        "10-0-0-1.web.default.svc.cluster.local.",
        "_http._tcp.web.default.svc.cluster.local.",
        "a.b.c.web.default.svc.cluster.local.",
    ] {
        assert_eq!(answers(&mesh, name, RecordType::A), None, "{name}");
    }
}

#[test]
fn a_headless_service_has_the_addresses_of_its_ready_endpoints() {
    let endpoints = vec![
        mk_endpoint("10.0.0.2:80"),
        mk_endpoint("10.0.0.1:80"),
        mk_unready("10.0.0.3:80"),
    ];
    let early = Service {
        publish_not_ready: true,
        ..mk_headless("early", endpoints.clone())
    };
    let mesh = mk_mesh(
        vec![],
        vec![mk_headless("db", endpoints), early, mk_headless("none", vec![])],
    );
    let ips = |name: &str| {
        let records = answers(&mesh, &format!("{name}.default.svc.cluster.local."), RecordType::A).unwrap();
        records
            .iter()
            .map(|record| record.rsplit(' ').next().unwrap().into())
            .collect::<Vec<String>>()
    };

    assert_eq!(ips("db"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(ips("early"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(ips("none"), [""; 0]);
}

#[test]
fn the_order_of_addresses_differs_from_question_to_question() {
    let mesh = mk_mesh(
        vec![],
        vec![mk_headless(
            "db",
            vec![mk_endpoint("10.0.0.1:80"), mk_endpoint("10.0.0.2:80")],
        )],
    );
    let first = |id: u16| {
        let mut request = mk_request("db.default.svc.cluster.local.", RecordType::A);
        request.metadata.id = id;
        ask(&mesh, &request).unwrap().answers[0].data.to_string()
    };

    assert_eq!((first(4), first(5)), ("10.0.0.1".into(), "10.0.0.2".into()));
}

#[test]
fn an_endpoint_has_a_name_of_its_own() {
    let named = Endpoint {
        hostname: Some("db-0".into()),
        ..mk_endpoint("10.0.0.1:80")
    };
    let mesh = mk_mesh(
        vec![],
        vec![mk_headless("db", vec![named, mk_endpoint("[fd00::2]:80")])],
    );
    let of = |name: &str, kind| answers(&mesh, &format!("{name}.db.default.svc.cluster.local."), kind);

    assert_eq!(
        of("db-0", RecordType::A).unwrap(),
        ["db-0.db.default.svc.cluster.local. 5 A 10.0.0.1"]
    );
    assert_eq!(
        of("fd00--2", RecordType::AAAA).unwrap(),
        ["fd00--2.db.default.svc.cluster.local. 5 AAAA fd00::2"]
    );
    assert_eq!(of("fd00--2", RecordType::A).unwrap(), [""; 0]);
    assert_eq!(of("10-0-0-1", RecordType::A), None);
}

#[test]
fn a_named_port_is_told_by_srv() {
    let port = ServicePort {
        name: "http".into(),
        ..mk_port(8080, vec![])
    };
    let mesh = mk_mesh(
        vec![],
        vec![
            Service {
                ports: vec![port],
                ..mk_service("web", &["10.96.0.1"])
            },
            mk_headless(
                "db",
                vec![
                    Endpoint {
                        hostname: Some("db-0".into()),
                        ..mk_endpoint("10.0.0.1:5432")
                    },
                    mk_unready("10.0.0.2:5432"),
                ],
            ),
        ],
    );
    let of = |name: &str| {
        let response = ask(&mesh, &mk_request(name, RecordType::SRV))?;
        let records = response.answers.iter().chain(&response.additionals);
        Some(records.map(shown).collect::<Vec<_>>())
    };

    assert_eq!(
        of("_http._tcp.web.default.svc.cluster.local.").unwrap(),
        [
            "_http._tcp.web.default.svc.cluster.local. 5 SRV 0 100 8080 web.default.svc.cluster.local.",
            "web.default.svc.cluster.local. 5 A 10.96.0.1"
        ]
    );
    assert_eq!(
        of("_http._tcp.db.default.svc.cluster.local.").unwrap(),
        [
            "_http._tcp.db.default.svc.cluster.local. 5 SRV 0 100 5432 db-0.db.default.svc.cluster.local.",
            "db-0.db.default.svc.cluster.local. 5 A 10.0.0.1"
        ]
    );
    assert_eq!(of("_http._udp.web.default.svc.cluster.local."), None);
    assert_eq!(of("_grpc._tcp.web.default.svc.cluster.local."), None);
    assert_eq!(
        answers(&mesh, "_http._tcp.web.default.svc.cluster.local.", RecordType::A).unwrap(),
        [""; 0]
    );
}

#[test]
fn an_alias_of_a_service_is_followed() {
    let mesh = mk_mesh(
        vec![],
        vec![
            mk_alias("old", "new.default.svc.cluster.local"),
            mk_service("new", &["10.96.0.1"]),
        ],
    );

    assert_eq!(
        answers(&mesh, "old.default.svc.cluster.local.", RecordType::A).unwrap(),
        [
            "old.default.svc.cluster.local. 5 CNAME new.default.svc.cluster.local.",
            "new.default.svc.cluster.local. 5 A 10.96.0.1"
        ]
    );
}

#[test]
fn an_alias_that_leads_out_of_the_mesh_is_left_to_the_resolver() {
    let mesh = mk_mesh(vec![], vec![mk_alias("out", "example.org")]);
    let request = mk_request("out.default.svc.cluster.local.", RecordType::A);

    let Question::Alias(answer, target) = Question::read(&mesh, &request.to_vec().unwrap()).unwrap() else {
        panic!("no alias");
    };

    assert_eq!(target.to_string(), "example.org.");
    assert_eq!(
        answer.message.answers.iter().map(shown).collect::<Vec<_>>(),
        ["out.default.svc.cluster.local. 5 CNAME example.org."]
    );
    assert_eq!(
        answers(&mesh, "out.default.svc.cluster.local.", RecordType::CNAME).unwrap(),
        ["out.default.svc.cluster.local. 5 CNAME example.org."]
    );
}

#[test]
fn aliases_in_a_circle_end() {
    let mesh = mk_mesh(vec![], vec![mk_alias("snake", "snake.default.svc.cluster.local")]);

    assert_eq!(answers(&mesh, "snake.default.svc.cluster.local.", RecordType::A), None);
}

#[test]
fn an_answer_keeps_to_the_clients_size() {
    let endpoints = (1..=100).map(|n| mk_endpoint(&format!("10.0.0.{n}:80"))).collect();
    let mesh = mk_mesh(vec![], vec![mk_headless("db", endpoints)]);
    let mut request = mk_request("db.default.svc.cluster.local.", RecordType::A);

    let small = ask(&mesh, &request).unwrap();
    request
        .set_edns(Edns::new())
        .edns
        .as_mut()
        .unwrap()
        .set_max_payload(4096);
    let large = ask(&mesh, &request).unwrap();

    assert!(small.metadata.truncation);
    assert!(small.to_vec().unwrap().len() <= 512);
    assert!(small.answers.len() > 10);
    assert!(small.edns.is_none());
    assert_eq!((large.metadata.truncation, large.answers.len()), (false, 100));
    assert!(large.edns.is_some());
}

#[test]
fn additional_records_are_left_out_before_answers_are() {
    let endpoints = (1..=7).map(|n| mk_endpoint(&format!("10.0.0.{n}:80"))).collect();
    let mesh = mk_mesh(vec![], vec![mk_headless("db", endpoints)]);

    let response = ask(
        &mesh,
        &mk_request("_http._tcp.db.default.svc.cluster.local.", RecordType::SRV),
    )
    .unwrap();

    assert_eq!(response.answers.len(), 7);
    assert_eq!(response.additionals.len(), 0);
    assert!(!response.metadata.truncation);
}

#[test]
fn another_cluster_domain_is_heeded() {
    let mut mesh = mk_mesh(vec![], vec![mk_service("web", &["10.96.0.1"])]);
    mesh.config.cluster_domain = "Example.Test.".into();

    assert!(answers(&mesh, "web.default.svc.example.test.", RecordType::A).is_some());
    assert!(answers(&mesh, "web.default.svc.cluster.local.", RecordType::A).is_none());
}

#[test]
fn what_is_no_question_is_malformed() {
    let mesh = mk_mesh(vec![], vec![mk_service("web", &["10.96.0.1"])]);
    let request = mk_request("web.default.svc.cluster.local.", RecordType::A);
    let whole = request.to_vec().unwrap();
    let mut response = request.clone();
    response.metadata.message_type = MessageType::Response;

    for length in 0..whole.len() {
        assert!(Question::read(&mesh, &whole[..length]).is_err(), "{length}");
    }
    assert!(matches!(
        Question::read(&mesh, &response.to_vec().unwrap()),
        Err(Malformed::NoQuestion)
    ));
}

#[test]
fn no_bytes_make_it_panic() {
    let mesh = mk_mesh(
        vec![],
        vec![
            mk_service("web", &["10.96.0.1"]),
            mk_headless("db", vec![mk_endpoint("10.0.0.1:80")]),
            mk_alias("out", "example.org"),
        ],
    );
    let mut seed = 1_u32;
    for name in ["web", "_http._tcp.db", "out", "x"] {
        let mut request = mk_request(&format!("{name}.default.svc.cluster.local."), RecordType::SRV);
        request.set_edns(Edns::new());
        let whole = request.to_vec().unwrap();
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = (seed >> 8) as usize % bytes.len();
                bytes[place] = seed as u8;
            }
            if let Ok(Question::Known(answer) | Question::Alias(answer, _)) = Question::read(&mesh, &bytes) {
                answer.encode();
            }
        }
    }
}
