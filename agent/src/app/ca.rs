//! `weft ca`: the running CA, and what its operator tells it.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use super::{log, signals::Signals};
use crate::{
    ca::{self, Server, Settings},
    cluster::files,
    config::{CaCommand, CaConfig, Named},
    tls::Denial,
};

/// Runs a CA until a signal ends it, or does what the command says.
pub(super) fn run(config: &CaConfig) -> anyhow::Result<()> {
    let Some(command) = &config.command else {
        return issue(config);
    };
    match command {
        CaCommand::Token { node, expires_in } => print(&ca::make_token(&config.state, node, *expires_in)?),
        CaCommand::Rotate { force: false } => print(&ca::rotate(&config.state)?),
        CaCommand::Rotate { force: true } => print(&ca::force_rotation(&config.state)?),
        CaCommand::Deny(named) => Ok(ca::change_denials(&config.state, &denial(named)?, true)?),
        CaCommand::Allow(named) => Ok(ca::change_denials(&config.state, &denial(named)?, false)?),
        CaCommand::Show => print(&serde_json::to_string_pretty(&ca::show(&config.state)?)?),
    }
}

fn issue(config: &CaConfig) -> anyhow::Result<()> {
    log::start(&config.log)?;
    let Some(manifests) = &config.manifests else {
        bail!("--manifests says for which pods to sign");
    };
    let life = config.short_life.unwrap_or(config.certificate_life);
    let settings = Settings {
        state: config.state.clone(),
        trust_domain: config.trust_domain.clone(),
        listen: config.listen,
        life,
        rotation_step: config.rotation_step,
        rotation_patience: config.rotation_patience,
    };
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the runtime")?
        .block_on(async {
            let mut signals = Signals::new().context("cannot take signals")?;
            let roster = files::follow_roster(manifests)?;
            let server = Server::bind(settings, roster).await?;
            tracing::info!(address = %server.address()?, ?life, "CA issues");
            tokio::select! {
                () = server.run() => {}
                signal = signals.next() => tracing::info!(signal, "CA ends"),
            }
            Ok(())
        })
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
