//! What the agent answers to its operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::watch;

use super::{certificates::Certificates, source::Source};
use crate::{
    admin::{Readiness, Request},
    cni::Held,
    kernel::{PodStatus, Status},
    model::{ObjectName, PodUid, PodView, PolicyId, PolicyKind, PolicyView, Ports, Problem},
    proxy::Proxy,
    telemetry::Telemetry,
};

/// Where the answers come from.
pub(super) struct Answers {
    pub(super) source: Source,
    pub(super) proxy: Proxy,
    pub(super) telemetry: Telemetry,
    pub(super) kernel: watch::Receiver<Arc<Status>>,
    pub(super) held: Held,
    pub(super) certificates: Certificates,
    pub(super) stage: Stage,
}

/// How far the agent's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It takes new connections.
    Serving,
    /// A signal has told it to end.
    Draining,
}

// === impl Answers ===

impl Answers {
    /// Answers one request. Whoever asked may have gone meanwhile: then nobody wants the answer.
    pub(super) async fn answer(&self, request: Request) {
        match request {
            Request::Readiness(answer) => drop(answer.send(self.readiness())),
            Request::Connections(answer) => drop(answer.send(self.proxy.connections().await)),
            Request::Kill { id, answer } => drop(answer.send(self.proxy.kill(id).await)),
            Request::Pods(answer) => drop(answer.send(self.pods())),
            Request::Services(answer) => drop(answer.send(self.source.mesh.borrow().service_views())),
            Request::Endpoints(answer) => drop(answer.send(self.source.mesh.borrow().endpoint_views())),
            Request::Certificates(answer) => {
                let mesh = Arc::clone(&self.source.mesh.borrow());
                drop(answer.send(self.certificates.views(&mesh)));
            }
            Request::Policies(answer) => drop(answer.send(self.policies())),
            Request::Explain { question, answer } => {
                let mesh = Arc::clone(&self.source.mesh.borrow());
                drop(answer.send(mesh.explain(&question)));
            }
            Request::Routes(answer) => drop(answer.send(self.source.mesh.borrow().route_views())),
            Request::TestRoute { question, answer } => {
                let mesh = Arc::clone(&self.source.mesh.borrow());
                drop(answer.send(mesh.test_route(&question)));
            }
            Request::Problems(answer) => {
                let problems = self.source.problems();
                let values = problems.iter().map(serde_json::to_value).filter_map(Result::ok);
                drop(answer.send(values.collect()));
            }
            Request::Refusals(answer) => drop(answer.send(self.telemetry.refusals())),
        }
    }

    /// The pods of the mesh, with what the kernel room says of their capture, and the CNI plugin's desk of their start.
    fn pods(&self) -> Vec<PodView> {
        let status = Arc::clone(&self.kernel.borrow());
        let mut pods = self.source.mesh.borrow().pod_views();
        for pod in &mut pods {
            let uid = PodUid::new(pod.uid.as_str());
            pod.held_seconds = self.held.time(&uid).map(|time| time.as_secs_f64());
            match status.pods.get(&uid) {
                Some(PodStatus::Waiting { reason }) => pod.waiting = Some(reason.to_string()),
                Some(PodStatus::Captured { uncaptured_devices, .. }) => {
                    pod.uncaptured_devices = uncaptured_devices.to_vec();
                }
                None => {}
            }
        }
        pods
    }

    /// The policies of the node's pods, with what is wrong with them, and others with which something is wrong.
    fn policies(&self) -> Vec<PolicyView> {
        let mesh = Arc::clone(&self.source.mesh.borrow());
        let views = mesh.policy_views();
        with_problems(views, &self.source.problems())
    }

    fn readiness(&self) -> Readiness {
        let captures = (self.kernel.borrow().generation == 0).then_some("no mesh is applied to the kernel yet");
        let drains = (self.stage == Stage::Draining).then_some("the agent drains");
        let reasons: Vec<String> = captures.into_iter().chain(drains).map(str::to_owned).collect();
        match self.source.staleness() {
            _ if !reasons.is_empty() => Readiness::Waiting(reasons),
            None => Readiness::Ready,
            Some(staleness) => Readiness::Stale(staleness),
        }
    }
}

fn with_problems(mut views: Vec<PolicyView>, problems: &[Problem]) -> Vec<PolicyView> {
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for problem in problems {
        let Some(object) = problem
            .object
            .as_deref()
            .filter(|object| policy_named(object).is_some())
        else {
            continue;
        };
        told.entry(object).or_default().push(problem.to_string());
    }
    for view in &mut views {
        view.problems = told.get(view.object().as_str()).cloned().unwrap_or_default();
    }
    let held: BTreeSet<String> = views.iter().map(PolicyView::object).collect();
    let others = told.into_iter().filter(|(object, _)| !held.contains(*object));
    let others = others.filter_map(|(object, problems)| {
        Some(PolicyView {
            problems,
            ..PolicyView::new(&policy_named(object)?, &Ports::All)
        })
    });
    let others: Vec<PolicyView> = others.collect();
    views.extend(others);
    views
}

/// The policy that `Kind namespace/name` names.
fn policy_named(object: &str) -> Option<PolicyId> {
    let (kind, name) = object.split_once(' ')?;
    let (namespace, name) = name.split_once('/')?;
    let kinds = [PolicyKind::AuthenticationPolicy, PolicyKind::AuthorizationPolicy];
    Some(PolicyId {
        kind: kinds.into_iter().find(|candidate| candidate.label() == kind)?,
        name: ObjectName::new(namespace, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    fn mk_problem(object: &str) -> Problem {
        Problem {
            file: Some(std::path::Path::new("a.yaml").into()),
            line: Some(7),
            severity: Severity::Error,
            object: Some(object.to_owned()),
            field: None,
            reason: "wrong".to_owned(),
        }
    }

    #[test]
    fn problems_stand_beside_their_policy_or_for_themselves() {
        let held = policy_named("AuthorizationPolicy shop/a").expect("it names one");
        let views = vec![PolicyView {
            pod: Some("shop/cart-0".to_owned()),
            ..PolicyView::new(&held, &Ports::All)
        }];
        let objects = [
            "AuthorizationPolicy shop/a",
            "AuthenticationPolicy shop/b",
            "Service shop/a",
        ];
        let told = with_problems(views, &objects.map(mk_problem));
        let told: Vec<_> = told
            .iter()
            .map(|view| (view.object(), view.pod.is_some(), view.problems.clone()))
            .collect();
        let problem = |object: &str| vec![format!("a.yaml:7: {object}: wrong")];
        assert_eq!(
            told,
            [
                (objects[0].to_owned(), true, problem(objects[0])),
                (objects[1].to_owned(), false, problem(objects[1])),
            ]
        );
    }
}
