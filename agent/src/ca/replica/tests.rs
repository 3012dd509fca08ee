//! Replicas of a CA before a real API server, with agents' keepers in this process.

mod agents;
mod issuers;
mod rotations;

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    ca::{
        self, Audit, CaState, Server, Settings,
        sample::{Agent, HOUR, mk_member},
    },
    cluster::FollowedRoster,
    model::{Enrolment, NotEnrolled, Pod, PodUid, Roster, RosterPod, sample},
    tls::issue::{Credential, Remote},
};

/// A cluster with the mesh's own objects, two nodes with an agent each, and the kubeconfig of its CA.
struct Cluster {
    api: harness::ApiServer,
    folder: TempDir,
    server: ApiServer,
    roster: watch::Sender<Arc<Roster>>,
    running: Vec<JoinHandle<()>>,
}

impl Cluster {
    async fn new(api: harness::ApiServer) -> Self {
        for objects in OBJECTS {
            api.apply(objects);
        }
        let kubeconfig = api.kubeconfig_of("system:serviceaccount:weft-system:weft-ca", None);
        let server = ApiServer::new(Some(&kubeconfig)).await.expect("a client");
        let mut cluster = Self {
            api,
            folder: TempDir::new().expect("a folder"),
            server,
            roster: watch::Sender::default(),
            running: Vec::new(),
        };
        cluster.put(&[]);
        cluster
    }

    /// Starts a replica with the pods of [`Cluster::put`]; gives its address.
    async fn replica(&mut self, listen: &str, issuer: Option<IssuerFiles>) -> String {
        let roster = FollowedRoster::of_files(self.roster.subscribe());
        self.replica_with(listen, issuer, roster).await
    }

    async fn replica_with(&mut self, listen: &str, issuer: Option<IssuerFiles>, roster: FollowedRoster) -> String {
        let settings = Settings {
            listen: sample::mk_address(listen),
            life: HOUR,
            rotation_step: Duration::ZERO,
            rotation_patience: HOUR,
            audit: Audit::Log,
            metrics: CaMetrics::default(),
        };
        let replica = ReplicaSettings {
            server: self.server.clone(),
            namespace: "weft-system".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            issuer,
        };
        let server = Server::bind_replica(settings, replica, roster)
            .await
            .expect("a replica");
        let address = server.address().expect("bound").to_string();
        self.running.push(tokio::spawn(server.run()));
        address
    }

    /// An address behind which these replicas are, as a Service has one: each connection goes to the first that answers.
    async fn service(&mut self, replicas: &[&str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let replicas: Vec<String> = replicas.iter().map(ToString::to_string).collect();
        self.running.push(tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let replicas = replicas.clone();
                tokio::spawn(async move {
                    for replica in replicas {
                        if let Ok(mut server) = TcpStream::connect(replica).await {
                            return copy_bidirectional(&mut client, &mut server).await.map(drop);
                        }
                    }
                    Ok(())
                });
            }
        }));
        address
    }

    fn state(&self) -> CaState {
        CaState::of_cluster(&self.server, "weft-system")
    }

    fn get(&self, what: &[&str]) -> String {
        let arguments = [&["get", "--namespace=weft-system"], what].concat();
        let outcome = self.api.kubectl(&arguments);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome.stdout
    }

    fn agent_uid(&self, node: &str) -> PodUid {
        PodUid::new(self.get(&["pod", &format!("agent-{node}"), "--output=jsonpath={.metadata.uid}"]))
    }

    /// Puts the agents' pods and these into the roster.
    fn put(&mut self, pods: &[(&Pod, &str)]) {
        let agents = ["node-1", "node-2"].map(|node| {
            let agent = RosterPod {
                name: ObjectName::new("weft-system", format!("agent-{node}")),
                service_account: "weft-agent".into(),
                node: Some(node.into()),
                ips: Vec::new(),
                enrolment: Enrolment::Out(NotEnrolled::HostNetwork),
            };
            (self.agent_uid(node), agent)
        });
        let pods = pods.iter().map(|(pod, node)| (pod.uid.clone(), mk_member(pod, node)));
        self.roster.send_replace(Arc::new(Roster {
            pods: agents.into_iter().chain(pods).collect(),
            pod_cidrs: BTreeMap::new(),
        }));
    }

    /// A token, as `kubectl create token` makes it.
    fn token(&self, account: &str, options: &[&str]) -> String {
        let arguments = [&["create", "token", account, "--namespace=weft-system"], options].concat();
        let outcome = self.api.kubectl(&arguments);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome.stdout
    }

    /// The token that a kubelet would give the agent of a node.
    fn agent_token(&self, node: &str) -> String {
        let (pod, uid) = (format!("agent-{node}"), self.agent_uid(node));
        let bound = [
            "--audience=weft-ca",
            "--bound-object-kind=Pod",
            &format!("--bound-object-name={pod}"),
            &format!("--bound-object-uid={uid}"),
        ];
        self.token("weft-agent", &bound)
    }

    /// The way of a node's agent to the CA, with this token.
    async fn remote(&self, address: &str, node: &str, token: &str) -> Remote {
        let bundle = self.file("bundle.pem", &self.bundle().await);
        let token = self.file(&format!("{node}.token"), token);
        Remote::new(address, Credential::Pod { token, bundle }, node)
    }

    /// What agents mount.
    async fn bundle(&self) -> String {
        let bundle = || {
            self.get(&[
                "configmap",
                "weft-ca-bundle",
                "--ignore-not-found",
                "--output=jsonpath={.data.bundle\\.pem}",
            ])
        };
        until("the bundle", || !bundle().is_empty()).await;
        bundle()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn agent(&mut self, remote: Remote, pods: &[Pod]) -> Agent {
        let (agent, task) = Agent::start(remote, pods);
        self.running.push(task);
        agent
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

async fn until(what: &str, such: impl FnMut() -> bool) {
    ca::sample::until(PATIENCE, what, such).await;
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What is installed, as far as the CA needs it, and agents on two nodes.
const OBJECTS: [&str; 4] = [
    include_str!("../../../../deploy/namespace.yaml"),
    include_str!("../../../../deploy/agent.yaml"),
    include_str!("../../../../deploy/ca.yaml"),
    include_str!("tests/agents.yaml"),
];
