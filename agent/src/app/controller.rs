//! `weft controller`: elected, and doing what only one may do.

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::{runtime::Builder, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{log, signals::Signals};
use crate::{
    admin::{Admin, Readiness, Request},
    cluster::{ApiServer, Lease},
    config::ControllerConfig,
    controller::{Controller, Duties, Election},
    telemetry::{ControllerMetrics, Exposition},
};

/// Runs a controller until a signal ends it.
pub(super) fn run(config: &ControllerConfig) -> anyhow::Result<()> {
    log::start(&config.log)?;
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the runtime")?
        .block_on(serve(config))
}

async fn serve(config: &ControllerConfig) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot take signals")?;
    let server = ApiServer::new(config.cluster.file().as_deref()).await?;
    let namespace = &config.cluster.system_namespace;
    let name = match &config.name {
        Some(name) => name.clone(),
        None => hostname()?,
    };
    let mut registry = Registry::default();
    let metrics = ControllerMetrics::register(&mut registry);
    let duties = Duties::follow(&server, namespace, metrics.clone());
    let (ask, requests) = mpsc::channel(REQUESTS);
    let admin = Admin::bind_port(config.admin)
        .await?
        .run(Exposition::new(registry), ask);
    let _admin = AbortOnDropHandle::new(tokio::spawn(admin));
    tracing::info!(name, "Controller stands for election");
    let _answers = AbortOnDropHandle::new(tokio::spawn(answer(requests, duties.clone())));
    let election = Election::new(Lease::new(&server, namespace, LEASE), &name);
    let mut controller = Controller::new(election, duties, metrics);
    let signal = tokio::select! {
        () = controller.run() => return Ok(()),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "Controller ends");
    controller.resign().await;
    Ok(())
}

/// Answers who asks whether this controller could lead.
async fn answer(mut requests: mpsc::Receiver<Request>, mut duties: Duties) {
    while let Some(request) = requests.recv().await {
        if let Request::Readiness(answer) = request {
            let readiness = match duties.is_fresh() {
                true => Readiness::Ready,
                false => Readiness::Waiting(vec!["the API server has not told everything".to_owned()]),
            };
            // Who has asked may be gone.
            let _ = answer.send(readiness);
        }
    }
}

fn hostname() -> anyhow::Result<String> {
    let name = nix::sys::utsname::uname().context("cannot tell the host's name")?;
    Ok(name.nodename().to_string_lossy().into_owned())
}

/// How many requests may wait.
const REQUESTS: usize = 16;
/// The name of the Lease.
const LEASE: &str = "weft-controller";
