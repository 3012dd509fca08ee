//! `weft agent`: the rooms wired together, from the first object to the last connection.
//!
//! ```text
//! source ──Mesh──▶ kernel ──Change──▶ doors ──▶ proxy, dns
//!                                                │
//! admin ◀──answers── status, problems, connections ◀─┘
//! ```

use std::{io, pin::pin, time::Duration};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    answers::{Answers, Stage},
    capture::Capture,
    certificates::Certificates,
    cni::{Cni, Followed},
    doors::Doors,
    drops::Drops,
    events, keep, log, memory,
    metrics::{KernelMetrics, MeshMetrics},
    settings,
    signals::Signals,
    source::{self, Source},
};
use crate::{
    admin::Admin,
    config::AgentConfig,
    kernel::{self, Kernel},
    proxy::{self, Proxy},
    telemetry::{AccessLog, CertificateMetrics, ConnectionMetrics, DnsMetrics, Exposition, Telemetry},
};

/// Runs the agent until a signal has ended it.
pub(super) fn run(config: &AgentConfig) -> anyhow::Result<()> {
    log::start(&config.telemetry.log)?;
    proxy::raise_descriptor_limit().context("cannot raise the limit on descriptors")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = config.node, "Agent starts");
    // Lanes carry connections on runtimes of their own; this one has everything else.
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("cannot build the runtime")?
        .block_on(serve(config))
}

async fn serve(config: &AgentConfig) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot take signals")?;
    let store = keep::open(config.state_path());
    let admin = Admin::bind_port(config.admin).await?;
    let follow = Source::follow(config.source(), &config.node, store.as_ref());
    let source = tokio::select! {
        source = admin.during("the mesh was not read yet", follow) => source?,
        signal = signals.next() => {
            tracing::info!(signal, "Agent ends before it knew the mesh");
            return Ok(());
        }
    };
    let mesh = source.mesh.clone();
    let mut source_ends = pin!(source::end_of(source.updates()));
    // Before anything of the kernel or on disk is touched: the socket says whether this node's agent runs already.
    let admin = admin.with_socket(config.socket_path())?;
    if let Some(store) = store {
        keep::start(store, source.updates()).context("cannot start the thread that keeps the mesh")?;
    }

    let mut registry = Registry::default();
    registry.register_collector(Box::new(MeshMetrics(source.updates())));
    let telemetry = telemetry(config, &mut registry)?;
    let mut doors = Doors::new(mesh.clone(), DnsMetrics::register(&mut registry));
    let certificates = Certificates::start(config, mesh.clone(), CertificateMetrics::register(&mut registry))?;
    let proxy = Proxy::start(
        settings::proxy(&config.proxy),
        mesh.clone(),
        certificates.identities.clone(),
        telemetry.clone(),
    )?;
    let (kernel, counters) = Kernel::open(&settings::kernel(config)).context("cannot hook into the kernel")?;
    let status = kernel.status();
    registry.register_collector(Box::new(KernelMetrics {
        counters,
        status: status.clone(),
    }));

    let _events = source
        .api
        .as_ref()
        .map(|api| events::start(api, &config.node, mesh.clone(), status.clone()));
    let followed = Followed {
        mesh: mesh.clone(),
        status: status.clone(),
    };
    let (mut cni, sandboxes) = Cni::start(&config.cni, followed, &mut registry)?;
    let drops = Drops {
        mesh: mesh.clone(),
        kernel: status.clone(),
        telemetry: telemetry.clone(),
    };
    let _drops = AbortOnDropHandle::new(tokio::spawn(drops.forward(kernel.dropped().subscribe())));
    let _memory = AbortOnDropHandle::new(tokio::spawn(memory::give_back(status.clone())));
    let (ask, mut requests) = mpsc::channel(REQUESTS);
    let _admin = AbortOnDropHandle::new(tokio::spawn(admin.run(Exposition::new(registry), ask)));
    let inputs = kernel::Inputs {
        mesh,
        mesh_id: certificates.identities.mesh_id(),
        sandboxes,
    };
    let mut capture = Capture::start(kernel, inputs);
    let mut answers = Answers {
        source,
        proxy,
        telemetry,
        kernel: status,
        held: cni.held.clone(),
        certificates,
        stage: Stage::Serving,
    };
    loop {
        tokio::select! {
            change = capture.change() => doors.change(change?, &answers.proxy),
            Some(request) = requests.recv() => answers.answer(request).await,
            ended = &mut source_ends => return Err(ended.into()),
            signal = signals.next() => {
                tracing::info!(signal, drain = ?config.proxy.drain, "Agent drains");
                break;
            }
        }
    }

    answers.stage = Stage::Draining;
    let end = Instant::now() + config.proxy.drain;
    // While what is open goes on, so does all else: the next agent of this node does not start before this one has ended.
    let mut over = pin!(timeout(
        config.proxy.drain.saturating_sub(LAST),
        answers.proxy.wind_down()
    ));
    loop {
        tokio::select! {
            _ = &mut over => break,
            change = capture.change() => doors.change(change?, &answers.proxy),
            Some(request) = requests.recv() => answers.answer(request).await,
            signal = signals.next() => {
                tracing::info!(signal, "Agent waits no longer");
                break;
            }
        }
    }

    cni.stop();
    capture.stop(&mut doors, &answers.proxy).await;
    doors.close_dns();
    let last = config.proxy.drain.min(LAST);
    let patience = end.saturating_duration_since(Instant::now() + last);
    let mut drained = pin!(answers.proxy.drain(last, patience.min(config.proxy.connect_timeout)));
    loop {
        tokio::select! {
            () = &mut drained => break,
            Some(request) = requests.recv() => answers.answer(request).await,
            signal = signals.next() => {
                tracing::info!(signal, "Agent ends at once");
                break;
            }
        }
    }
    tracing::info!("Agent ends");
    Ok(())
}

fn telemetry(config: &AgentConfig, registry: &mut Registry) -> anyhow::Result<Telemetry> {
    let format = settings::access_log(config.telemetry.access_log);
    let access_log = AccessLog::start(format, Box::new(io::stdout())).context("cannot start the access log")?;
    access_log.register(registry);
    Ok(Telemetry::new(ConnectionMetrics::register(registry), access_log))
}

/// How many questions of the operator may wait.
const REQUESTS: usize = 16;

/// Of the drain's time, what is left to connections that came during it.
const LAST: Duration = Duration::from_secs(1);
