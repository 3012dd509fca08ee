//! The CNI plugin: the agent's side of it, and `weft cni`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cni::{self, Desk, Held, Inputs, Installation, Keeper},
    config::{CniArgs, CniCommand, CniConfig, CniPaths, Switch},
    kernel::{SandboxNews, Status},
    model::Mesh,
    telemetry::CniMetrics,
};

/// What holds pods until they are captured, where it is switched on. Dropped, the agent answers no plugin any longer; the
/// plugin itself stays.
pub(super) struct Cni {
    /// Which pods were held.
    pub(super) held: Held,
    running: Option<Running>,
}

/// Held for their ends.
struct Running {
    _desk: AbortOnDropHandle<()>,
    _roll: AbortOnDropHandle<()>,
    _keeper: Keeper,
}

/// What the agent's side follows.
pub(super) struct Followed {
    pub(super) mesh: watch::Receiver<Arc<Mesh>>,
    pub(super) status: watch::Receiver<Arc<Status>>,
}

// === impl Cni ===

impl Cni {
    /// Starts it; what it tells the kernel room comes out of the channel. Needs a tokio runtime.
    pub(super) fn start(
        config: &CniConfig,
        followed: Followed,
        registry: &mut Registry,
    ) -> anyhow::Result<(Self, mpsc::Receiver<SandboxNews>)> {
        let (sandboxes, news) = mpsc::channel(SANDBOXES);
        let held = Held::default();
        let running = match config.cni {
            Switch::Off => None,
            Switch::On => {
                let inputs = Inputs {
                    mesh: followed.mesh,
                    status: followed.status,
                    sandboxes,
                    metrics: CniMetrics::register(registry),
                    held: held.clone(),
                };
                Some(Running::start(&config.paths, inputs)?)
            }
        };
        let cni = Self { held, running };
        Ok((cni, news))
    }

    /// Leaves the plugins to the next agent.
    pub(super) fn stop(&mut self) {
        drop(self.running.take());
    }
}

// === impl Running ===

impl Running {
    fn start(paths: &CniPaths, inputs: Inputs) -> anyhow::Result<Self> {
        let desk = Desk::bind(&paths.cni_run_dir)?;
        let roll = cni::keep_roll(paths.cni_run_dir.clone(), inputs.mesh.clone());
        Ok(Self {
            _roll: AbortOnDropHandle::new(tokio::spawn(roll)),
            _desk: AbortOnDropHandle::new(tokio::spawn(desk.run(inputs))),
            // The plugin comes last: with it pods begin to wait.
            _keeper: Keeper::start(installation(paths)).context("cannot keep the CNI plugin installed")?,
        })
    }
}

/// `weft cni`.
pub(super) fn run(args: &CniArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => Ok(cni::run()),
        Some(CniCommand::Uninstall(paths)) => {
            let uninstalled = installation(paths).remove(cni::SETTLE)?;
            let text = serde_json::to_string_pretty(&uninstalled)?;
            writeln!(io::stdout(), "{text}").context("cannot print")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn installation(paths: &CniPaths) -> Installation {
    let CniPaths {
        cni_bin_dir,
        cni_conf_dir,
        cni_run_dir,
    } = paths.clone();
    Installation::new(cni_bin_dir, cni_conf_dir, cni_run_dir)
}

/// How much news of sandboxes may wait.
const SANDBOXES: usize = 64;
