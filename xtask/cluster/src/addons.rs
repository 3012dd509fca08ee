//! What a cluster's own namespace holds: its DNS.

use serde_json::{Value, json};

use crate::{COREDNS_IMAGE, addressing};

/// CoreDNS as clusters have it: a Deployment behind the service `kube-dns`, with the rights that it needs.
pub(crate) fn dns() -> Value {
    let name = json!({"name": "coredns", "namespace": NAMESPACE});
    let labels = json!({"k8s-app": "kube-dns"});
    let corefile = format!(
        ".:53 {{\n    errors\n    health\n    ready\n    kubernetes {} in-addr.arpa ip6.arpa {{\n        \
         pods insecure\n        ttl 5\n    }}\n    cache 5\n    reload\n}}\n",
        addressing::DOMAIN
    );
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE}],
    });
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"Corefile": corefile}});
    let probe = |path, port| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": 2});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": name,
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "containers": [{
                        "name": "coredns",
                        "image": COREDNS_IMAGE,
                        "imagePullPolicy": "Never",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [
                            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                        ],
                        "livenessProbe": probe("/health", 8080),
                        "readinessProbe": probe("/ready", 8181),
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
                    }],
                    "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
                },
            },
        },
    });
    let [v4, v6] = addressing::DNS_SERVICE;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": labels,
            "clusterIP": v4,
            "clusterIPs": [v4, v6],
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    });
    let items = [account, role, binding, config, deployment, service];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

pub(crate) const NAMESPACE: &str = "kube-system";
