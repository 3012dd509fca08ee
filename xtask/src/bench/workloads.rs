//! Pods of another node, with services, as files in the agents' folder: what a large mesh is to one agent.

use harness::{Addresses, Manifests, Object};
use serde_json::json;

/// Workloads in the folder, until they are dropped.
pub(super) struct Workloads<'a> {
    manifests: &'a Manifests,
    objects: Vec<Object>,
}

// === impl Workloads ===

impl<'a> Workloads<'a> {
    /// Writes `pods` pods, of ten in a service.
    pub(super) fn write(manifests: &'a Manifests, pods: u16) -> Self {
        let objects: Vec<_> = (0..pods / A_SERVICE).flat_map(service).collect();
        objects.iter().for_each(|object| manifests.apply(object));
        Self { manifests, objects }
    }
}

impl Drop for Workloads<'_> {
    fn drop(&mut self) {
        self.objects.iter().for_each(|object| self.manifests.delete(object));
    }
}

fn service(number: u16) -> Vec<Object> {
    let app = format!("workload-{number}");
    let [high, low] = number.to_be_bytes();
    let pods = (0..A_SERVICE).map(|pod| {
        let address = format!("10.{}.{low}.{pod}", 200 + high);
        Object::new(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "mesh",
                "name": format!("{app}-{pod}"),
                "uid": format!("00000000-0000-4000-9000-{number:06}{pod:06}"),
                "labels": { "app": app },
            },
            "spec": { "nodeName": "elsewhere", "serviceAccountName": "default", "containers": [{ "name": "app" }] },
            "status": {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{ "ip": address }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }))
    });
    let mut service = Object::service(&format!("mesh/{app}"), Addresses::service(0), &app).port("http", 80, 8080);
    let spec = &mut service.value_mut()["spec"];
    spec["clusterIP"] = format!("10.{}.{low}.100", 200 + high).into();
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    spec["ipFamilies"] = json!(["IPv4"]);
    spec["ipFamilyPolicy"] = "SingleStack".into();
    pods.chain([service]).collect()
}

/// How many pods a service has.
const A_SERVICE: u16 = 10;
