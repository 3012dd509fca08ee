//! How long a change waits in a large folder of manifests until it is in the mesh: `cargo bench -p agent --bench folder`.
//!
//! Each figure is the best and the median of some rounds; the time that a burst of changes is given is part of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use agent::cluster::{Update, files::follow};
use tokio::{
    runtime::Builder,
    sync::watch,
    time::{sleep, timeout},
};

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        for pods in [0, 1_000, 10_000] {
            let mut took = beside(pods).await;
            took.sort();
            println!(
                "a change beside {pods:5} pods: best {:?}, median {:?}",
                took[0],
                took[took.len() / 2]
            );
        }
    });
}

/// Changes the label of one pod again and again beside so many others, of ten in a service.
async fn beside(pods: u32) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write(
        folder,
        "namespace",
        &format!("{HEADER}, kind: Namespace, metadata: {{name: mesh, labels: {{weft.dev/mesh: enabled}}}}}}"),
    );
    for number in 0..pods {
        write(
            folder,
            &format!("pod-{number}"),
            &pod(
                &format!("workload-{}-{}", number / 10, number % 10),
                "elsewhere",
                number,
            ),
        );
    }
    for service in 0..pods / 10 {
        write(folder, &format!("service-{service}"), &self::service(service));
    }
    write(folder, "own", &pod("own", NODE, OWN));
    let mut updates = follow(folder, NODE, None).expect("a folder that is there");
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        // What was told of the last change is over.
        sleep(Duration::from_millis(100)).await;
        updates.mark_unchanged();
        let start = Instant::now();
        write(folder, "own", &pod("own", NODE, OWN + 1 + round));
        timeout(Duration::from_secs(10), changed(&mut updates))
            .await
            .expect("a change is followed");
        took.push(start.elapsed());
    }
    took
}

async fn changed(updates: &mut watch::Receiver<Update>) {
    updates.changed().await.expect("the thread lives");
}

fn pod(name: &str, node: &str, number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    let ip = format!("10.{}.{middle}.{low}", 100 + high);
    let (app, _) = name.rsplit_once('-').unwrap_or((name, ""));
    format!(
        "{HEADER}, kind: Pod, metadata: {{namespace: mesh, name: {name}, uid: 00000000-0000-4000-9000-{name:0>12}, \
         labels: {{app: {app}}}}}, spec: {{nodeName: {node}, serviceAccountName: default, containers: [{{name: app}}]}}, \
         status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: 'True'}}]}}}}"
    )
}

fn service(number: u32) -> String {
    let [.., high, low] = number.to_be_bytes();
    let ip = format!("10.96.{high}.{low}");
    format!(
        "{HEADER}, kind: Service, metadata: {{namespace: mesh, name: workload-{number}}}, spec: {{clusterIP: {ip}, \
         clusterIPs: [{ip}], ipFamilies: [IPv4], selector: {{app: workload-{number}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}}}"
    )
}

/// At once and whole.
fn write(folder: &Path, name: &str, text: &str) {
    let draft = folder.join(".draft");
    fs::write(&draft, text).expect("a draft can be written");
    fs::rename(&draft, folder.join(format!("{name}.yaml"))).expect("a draft can be put in its place");
}

const HEADER: &str = "{apiVersion: v1";
const NODE: &str = "node-1";
const OWN: u32 = 0x1_00_00;
const ROUNDS: u32 = 15;
