//! A table of inputs with the exact report of each: what is refused, and, beside it, what is taken.

mod policies;

use super::*;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
const SLICE: &str = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                     metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n";
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\n";
const MESH_CONFIG: &str = "apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\n";

fn file() -> Arc<Path> {
    Path::new("mesh.yaml").into()
}

/// The problems as they are printed.
fn report(text: &str) -> Vec<String> {
    let entries = decode(&file(), text);
    entries
        .iter()
        .flat_map(|entry| entry.problems.iter().map(Problem::to_string))
        .collect()
}

fn is_taken(text: &str) -> bool {
    matches!(
        &decode(&file(), text)[..],
        [Entry {
            content: Content::Object(_, Some(_)),
            ..
        }]
    )
}

/// Each text gives exactly this report, and is taken only where all of it are notices.
fn assert_reports(table: &[(String, &[&str])], taken: bool) {
    for (text, expected) in table {
        assert_eq!(report(text), *expected, "of\n{text}");
        assert_eq!(is_taken(text), taken, "of\n{text}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    assert_reports(
        &[
            (
                "a: 1\n".into(),
                &["mesh.yaml:1: kind: missing: this is no object of Kubernetes"],
            ),
            (
                "kind: Pod\n".into(),
                &["mesh.yaml:1: apiVersion: missing: this is no object of Kubernetes"],
            ),
            (
                "apiVersion: v1\nkind: Pod\n".into(),
                &["mesh.yaml:1: metadata.name: missing"],
            ),
            (
                "- a\n- b\n".into(),
                &["mesh.yaml:1: kind: missing: this is no object of Kubernetes"],
            ),
        ],
        false,
    );
}

#[test]
fn names_are_checked() {
    assert_reports(
        &[
            (
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: Web\n  namespace: a.b\nspec: {nodeName: node-1}\n"
                    .into(),
                &[
                    "mesh.yaml:4: Pod a.b/Web: metadata.name: `Web` is not a DNS subdomain: at most 253 lower case \
                     letters, digits, `-` and `.`, a letter or digit at each end of each part (RFC 1123)",
                    "mesh.yaml:5: Pod a.b/Web: metadata.namespace: `a.b` is not a DNS label: at most 63 lower case \
                     letters, digits and `-`, a letter or digit at each end (RFC 1123)",
                ],
            ),
            (
                "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: web}\n".into(),
                &[
                    "mesh.yaml:1: EndpointSlice default/web: apiVersion: this version of the kind is not read, only \
                   `discovery.k8s.io/v1`",
                ],
            ),
        ],
        false,
    );
}

#[test]
fn broken_pods_are_refused_with_the_field() {
    assert_reports(
        &[
            (
                format!("{POD}spec:\n  nodeName: node-1\n  containers:\n  - name: a\n    ports:\n    - containerPort: http\n"),
                &["mesh.yaml:9: Pod default/web: spec.containers[0].ports[0].containerPort: invalid type: string \
                   \"http\", expected i32"],
            ),
            (
                format!("{POD}spec:\n  nodeName: node-1\n  containers:\n  - name: a\n    ports:\n    - {{containerPort: 70000, protocol: tcp}}\n"),
                &[
                    "mesh.yaml:9: Pod default/web: spec.containers[0].ports[0].containerPort: 70000 is not a port: it \
                     must be between 1 and 65535",
                    "mesh.yaml:9: Pod default/web: spec.containers[0].ports[0].protocol: `tcp` is none of TCP, UDP, SCTP",
                ],
            ),
            (
                format!("{POD}spec: {{nodeName: node-1, containers: []}}\nstatus:\n  podIPs:\n  - ip: 10.0.0.1\n  - ip: 10.0.0.300\n"),
                &["mesh.yaml:8: Pod default/web: status.podIPs[1].ip: `10.0.0.300` is not an IP address"],
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n    weft.dev/mesh: maybe\n  annotations:\n    \
                 weft.dev/netns: run/a\nspec: {nodeName: node-1, containers: []}\n"
                    .into(),
                &[
                    "mesh.yaml:6: Pod default/web: metadata.labels[weft.dev/mesh]: `maybe` is neither `enabled` nor \
                     `disabled`",
                    "mesh.yaml:8: Pod default/web: metadata.annotations[weft.dev/netns]: `run/a` is not an absolute path",
                ],
            ),
        ],
        false,
    );
}

#[test]
fn odd_pods_are_taken_with_a_notice() {
    assert_reports(
        &[
            (
                format!("{POD}spec: {{containers: []}}\n"),
                &["mesh.yaml:4: Pod default/web: spec.nodeName: the pod is on no node: no agent takes it"],
            ),
            (
                format!("{POD}spec:\n  nodeName: node-1\n  containres: []\n  containers: []\n"),
                &["mesh.yaml:6: Pod default/web: spec.containres: unknown field: it has no effect"],
            ),
            (
                format!(
                    "{POD}spec:\n  nodeName: node-1\n  containers:\n  - name: a\n    livenessProbe: {{httpGet: {{port: web}}}}\n"
                ),
                &[
                    "mesh.yaml:8: Pod default/web: spec.containers[0].livenessProbe.httpGet.port: the container has no port \
                   named `web`",
                ],
            ),
        ],
        true,
    );
}

#[test]
fn broken_services_are_refused_with_the_field() {
    assert_reports(
        &[
            (
                format!("{SERVICE}spec:\n  clusterIP: 10.96.0\n  ports:\n  - port: 0\n"),
                &[
                    "mesh.yaml:5: Service default/web: spec.clusterIP: `10.96.0` is not an IP address",
                    "mesh.yaml:7: Service default/web: spec.ports[0].port: 0 is not a port: it must be between 1 and 65535",
                ],
            ),
            (
                format!("{SERVICE}spec:\n  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.2, 10.96.0.3]\n  ports: []\n"),
                &[
                    "mesh.yaml:6: Service default/web: spec.clusterIPs[0]: `10.96.0.2` is not the `10.96.0.1` of \
                     spec.clusterIP",
                    "mesh.yaml:6: Service default/web: spec.clusterIPs[1]: `10.96.0.3` is a second address of one family",
                ],
            ),
            (
                format!(
                    "{SERVICE}spec:\n  clusterIP: 10.96.0.1\n  ports:\n  - {{name: a, port: 80}}\n  - {{name: a, port: 80}}\n  - port: 81\n"
                ),
                &[
                    "mesh.yaml:8: Service default/web: spec.ports[1].name: `a` is the name of another port too",
                    "mesh.yaml:8: Service default/web: spec.ports[1].port: 80 is the number of another port too",
                    "mesh.yaml:9: Service default/web: spec.ports[2].name: each of several ports needs a name",
                ],
            ),
            (
                format!("{SERVICE}spec:\n  clusterIP: 10.96.0.1\n  ports:\n  - port: 80\n    targetPort: '8080'\n"),
                &[
                    "mesh.yaml:8: Service default/web: spec.ports[0].targetPort: `8080` is not the name of a port: at most 15 \
                   lower case letters, digits and `-`, with a letter; numbers are written without quotes",
                ],
            ),
            (
                format!(
                    "{SERVICE}spec:\n  clusterIP: 10.96.0.1\n  type: Clusterip\n  internalTrafficPolicy: local\n  \
                     trafficDistribution: Near\n  sessionAffinity: Client\n  ipFamilies: [v4]\n"
                ),
                &[
                    "mesh.yaml:6: Service default/web: spec.type: `Clusterip` is none of ClusterIP, NodePort, LoadBalancer, \
                     ExternalName",
                    "mesh.yaml:7: Service default/web: spec.internalTrafficPolicy: `local` is neither `Cluster` nor `Local`",
                    "mesh.yaml:8: Service default/web: spec.trafficDistribution: `Near` is none of PreferSameZone, \
                     PreferSameNode, PreferClose",
                    "mesh.yaml:9: Service default/web: spec.sessionAffinity: `Client` is neither `None` nor `ClientIP`",
                    "mesh.yaml:10: Service default/web: spec.ipFamilies[0]: `v4` is neither `IPv4` nor `IPv6`",
                ],
            ),
        ],
        false,
    );
}

#[test]
fn a_service_without_an_address_is_taken_with_a_notice_and_a_headless_one_without() {
    assert_reports(
        &[
            (
                format!("{SERVICE}spec: {{ports: [{{port: 80}}]}}\n"),
                &[
                    "mesh.yaml:4: Service default/web: spec.clusterIP: there is none, and nothing allocates one here: the \
                   service can be reached by its pods' addresses only",
                ],
            ),
            (format!("{SERVICE}spec: {{clusterIP: None}}\n"), &[]),
        ],
        true,
    );
}

#[test]
fn broken_slices_are_refused_with_the_field() {
    assert_reports(
        &[
            (
                format!(
                    "{SLICE}addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n- addresses: ['fd00::1']\n- addresses: []\n"
                ),
                &[
                    "mesh.yaml:7: EndpointSlice default/web-1: endpoints[1].addresses[0]: `fd00::1` is not of the slice's \
                     addressType",
                    "mesh.yaml:8: EndpointSlice default/web-1: endpoints[2].addresses: an endpoint needs an address",
                ],
            ),
            (
                format!("{SLICE}addressType: v4\nendpoints: []\n"),
                &["mesh.yaml:4: EndpointSlice default/web-1: addressType: `v4` is none of IPv4, IPv6, FQDN"],
            ),
        ],
        false,
    );
}

#[test]
fn labels_of_namespaces_are_checked() {
    let label = |value| format!("{NAMESPACE}metadata:\n  name: a\n  labels:\n    weft.dev/on-agent-failure: {value}\n");
    assert_reports(
        &[(
            label("shut"),
            &[
                "mesh.yaml:6: Namespace a: metadata.labels[weft.dev/on-agent-failure]: `shut` is neither `open` nor `closed`",
            ],
        )],
        false,
    );
    assert_reports(&[(label("closed"), &[])], true);
}

#[test]
fn mesh_config_refuses_what_it_does_not_know() {
    assert_reports(
        &[
            (
                format!("{MESH_CONFIG}spec:\n  trustDomain: a.b\n  egres: Deny\n"),
                &[
                    "mesh.yaml:6: MeshConfig default: spec.egres: unknown field `egres`, expected one of `trustDomain`, \
                   `clusterDomain`, `egress`, `denyUdpEgress`, `mtls`, `systemNamespace`, `podCIDRs`",
                ],
            ),
            (
                format!("{MESH_CONFIG}spec:\n  egress: deny\n"),
                &["mesh.yaml:5: MeshConfig default: spec.egress: unknown variant `deny`, expected `Allow` or `Deny`"],
            ),
            (
                format!("{MESH_CONFIG}spec:\n  mtls: {{mode: strict}}\n"),
                &[
                    "mesh.yaml:5: MeshConfig default: spec.mtls.mode: unknown variant `strict`, expected `Permissive` or \
                     `Strict`",
                ],
            ),
            (
                format!("{MESH_CONFIG}spec:\n  trustDomain: A B\n  podCIDRs:\n  - 10.0.0.0/8\n  - 10.0.0.0\n"),
                &[
                    "mesh.yaml:5: MeshConfig default: spec.trustDomain: `A B` is not a DNS subdomain: at most 253 lower \
                     case letters, digits, `-` and `.`, a letter or digit at each end of each part (RFC 1123)",
                    "mesh.yaml:8: MeshConfig default: spec.podCIDRs[1]: `10.0.0.0` is not an address range such as \
                     10.0.0.0/8",
                ],
            ),
            (
                MESH_CONFIG.replace("default", "mine"),
                &["mesh.yaml:3: MeshConfig mine: metadata.name: only the MeshConfig named `default` is read"],
            ),
        ],
        false,
    );
    let good = "spec: {trustDomain: a.b, clusterDomain: c, egress: Deny, denyUdpEgress: true, podCIDRs: [fd00::/8], \
                mtls: {mode: Strict}, systemNamespace: mesh}\n";
    assert_reports(&[(format!("{MESH_CONFIG}{good}"), &[])], true);
}

#[test]
fn items_of_lists_are_objects_with_their_own_lines() {
    let text = "apiVersion: v1\nkind: List\nitems:\n\
                - {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n\
                - apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: B\n";
    let [a, b] = &decode(&file(), text)[..] else {
        panic!("two items")
    };
    assert!(matches!(a.content, Content::Object(_, Some(_))));
    assert_eq!((a.line, b.line, b.problems[0].line), (4, 5, Some(8)));
}

#[test]
fn items_of_typed_lists_are_of_the_lists_kind() {
    let text = "apiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {name: a}\n";
    assert!(is_taken(text));
}

#[test]
fn other_kinds_are_left_unread_even_with_a_known_name() {
    for kind in ["apps/v1 Deployment", "serving.knative.dev/v1 Service"] {
        let (api_version, name) = kind.split_once(' ').unwrap();
        let text = format!("apiVersion: {api_version}\nkind: {name}\nmetadata: {{name: a}}\n");
        let entries = decode(&file(), &text);
        let [
            Entry {
                content: Content::Unread { kind: unread },
                ..
            },
        ] = &entries[..]
        else {
            panic!("{entries:?}")
        };
        assert_eq!(unread, kind);
    }
}
