//! `weft ca`: the running CA, and what its operator tells it.

use std::{
    future,
    io::{self, Write as _},
};

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use tokio::{runtime::Builder, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{log, signals::Signals};
use crate::{
    admin::{Admin, Readiness, Request},
    ca::{Audit, CaState, FolderSettings, IssuerFiles, ReplicaSettings, Server, Settings},
    cluster::{ApiServer, FollowedRoster, files},
    config::{CaCommand, CaConfig, IntermediateConfig, Named},
    telemetry::{CaMetrics, Exposition},
    tls::Denial,
};

/// Runs a CA until a signal ends it, or does what the command says.
pub(super) fn run(config: &CaConfig) -> anyhow::Result<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the runtime")?
        .block_on(async {
            match &config.command {
                Some(command) => tell(config, command).await,
                None => issue(config).await,
            }
        })
}

/// Does what an operator says.
async fn tell(config: &CaConfig, command: &CaCommand) -> anyhow::Result<()> {
    let state = if config.kubernetes {
        let server = ApiServer::new(config.cluster.file().as_deref()).await?;
        CaState::of_cluster(&server, &config.cluster.system_namespace)
    } else {
        CaState::of_folder(&config.state)
    };
    match command {
        CaCommand::Token { node, expires_in } => print(&state.make_token(node, *expires_in)?),
        CaCommand::Rotate { force: false } => print(&state.rotate().await?),
        CaCommand::Rotate { force: true } => print(&state.force_rotation().await?),
        CaCommand::Deny(named) => Ok(state.change_denials(&denial(named)?, true).await?),
        CaCommand::Allow(named) => Ok(state.change_denials(&denial(named)?, false).await?),
        CaCommand::Show => print(&serde_json::to_string_pretty(&state.show().await?)?),
    }
}

async fn issue(config: &CaConfig) -> anyhow::Result<()> {
    log::start(&config.log)?;
    let mut signals = Signals::new().context("cannot take signals")?;
    let mut registry = Registry::default();
    let settings = Settings {
        listen: config.listen,
        life: config.short_life.unwrap_or(config.certificate_life),
        rotation_step: config.rotation_step,
        rotation_patience: config.rotation_patience,
        audit: if config.kubernetes { Audit::Json } else { Audit::Log },
        metrics: CaMetrics::register(&mut registry),
    };
    let life = settings.life;
    // Before the state is touched: probes may ask from the first moment.
    let (ask, requests) = mpsc::channel(REQUESTS);
    let _admin = match config.admin {
        Some(address) => {
            let admin = Admin::bind_port(address).await?.run(Exposition::new(registry), ask);
            Some(AbortOnDropHandle::new(tokio::spawn(admin)))
        }
        None => None,
    };
    let serve = async {
        let (server, roster) = start(config, settings).await?;
        tracing::info!(address = %server.address()?, ?life, "CA issues");
        tokio::join!(server.run(), answer(requests, &roster));
        Ok(())
    };
    tokio::select! {
        served = serve => served,
        signal = signals.next() => {
            tracing::info!(signal, "CA ends");
            Ok(())
        }
    }
}

async fn start(config: &CaConfig, settings: Settings) -> anyhow::Result<(Server, FollowedRoster)> {
    if !config.kubernetes {
        let Some(manifests) = &config.manifests else {
            bail!("--manifests or --kubernetes says for which pods to sign");
        };
        if config.intermediate.root_cert.is_some() {
            bail!("--root-cert is for a CA of a cluster: one of a folder has its own root");
        }
        let folder = FolderSettings {
            path: config.state.clone(),
            trust_domain: config.trust_domain.clone(),
        };
        let roster = FollowedRoster::of_files(files::follow_roster(manifests)?);
        return Ok((Server::bind(settings, folder, roster.clone()).await?, roster));
    }
    let server = ApiServer::new(config.cluster.file().as_deref()).await?;
    let roster = FollowedRoster::of_cluster(&server).await;
    let replica = ReplicaSettings {
        namespace: config.cluster.system_namespace.clone(),
        trust_domain: config.trust_domain.clone(),
        issuer: issuer(&config.intermediate),
        server,
    };
    Ok((Server::bind_replica(settings, replica, roster.clone()).await?, roster))
}

fn issuer(config: &IntermediateConfig) -> Option<IssuerFiles> {
    let IntermediateConfig {
        root_cert,
        intermediate_cert,
        intermediate_key,
    } = config.clone();
    Some(IssuerFiles {
        roots: root_cert?,
        certificate: intermediate_cert?,
        key: intermediate_key?,
    })
}

/// Answers who asks whether this CA issues.
async fn answer(mut requests: mpsc::Receiver<Request>, roster: &FollowedRoster) {
    while let Some(request) = requests.recv().await {
        if let Request::Readiness(answer) = request {
            let readiness = match roster.is_fresh() {
                true => Readiness::Ready,
                false => {
                    Readiness::Stale("the API server does not answer: what was known of its pods holds".to_owned())
                }
            };
            // Who has asked may be gone.
            let _ = answer.send(readiness);
        }
    }
    future::pending::<()>().await;
}

fn denial(named: &Named) -> anyhow::Result<Denial> {
    let Named {
        node,
        identity,
        pod,
        serial,
    } = named;
    let kinds = [("node", node), ("identity", identity), ("pod", pod), ("serial", serial)];
    let given = kinds.iter().find_map(|(kind, name)| Some((kind, name.as_ref()?)));
    let (kind, name) = given.context("nobody is named")?;
    Ok(format!("{kind} {name}").parse()?)
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot print")
}

/// How many requests may wait.
const REQUESTS: usize = 16;
