//! `weft debug OBJECT COMMAND`: shows what kernel and agent hold, in the manner of bpftool.
//!
//! ```text
//! object ──▶ Context ──▶ Snapshot (-f FILE)
//!                   ├──▶ Pins     (the kernel: works when the agent is dead)
//!                   └──▶ Agent    (its socket: names, services, live connections)
//! ```
//!
//! The names of JSON keys are a stable interface.

mod afterwards;
mod arguments;
mod certificate;
mod cgroup;
mod check;
mod cleanup;
mod connection;
mod context;
mod dump;
mod endpoint;
mod error;
mod feature;
mod link;
mod map;
mod pod;
mod policy;
mod program;
mod route;
mod service;
mod snapshot;
mod stats;
mod trace;

use std::process::ExitCode;

pub use arguments::DebugArgs;

use self::{
    arguments::{Conn, Dump, MapCommand, Object, PodCommand, PolicyCommand, RouteCommand, Trace},
    context::Context,
    error::DebugError,
};
use super::{output, question::DENIED};

/// What a command that did not fail has to say by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All is well.
    Done,
    /// Something is otherwise than it should be.
    Drift,
    /// The connection that was asked about is refused.
    Denied,
}

// === impl Outcome ===

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Drift => Self::from(DRIFT),
            Outcome::Denied => Self::from(DENIED),
        }
    }
}

/// Runs one command of `weft debug` and gives its exit code: 0 done, 1 error, 3 drift or a denied connection (2, usage, is the parser's).
pub fn run(args: DebugArgs) -> ExitCode {
    let DebugArgs { options, object } = args;
    match command(&mut Context::new(options), object) {
        Ok(outcome) => outcome.into(),
        Err(error) if error.reader_left() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("Error: {}", crate::kernel::with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

fn command(context: &mut Context, object: Object) -> Result<Outcome, DebugError> {
    match object {
        Object::Prog { command: _ } => program::show(context),
        Object::Map { command } => match command.unwrap_or(MapCommand::Show) {
            MapCommand::Show => map::show(context),
            MapCommand::Dump { name } => map::dump(context, &name),
        },
        Object::Link { command: _ } => link::show(context),
        Object::Cgroup { command: _ } => cgroup::show(context),
        Object::Feature { command: _ } => feature::show(context),
        Object::Pod { command } => match command.unwrap_or(PodCommand::Show) {
            PodCommand::Show => pod::show(context),
            PodCommand::Check { name } => check::run(context, name.as_deref()),
        },
        Object::Conn { command } => match command.unwrap_or(Conn::Show { pod: None }) {
            Conn::Show { pod } => connection::show(context, pod.as_deref()),
            Conn::Kill { id } => connection::kill(context, id),
        },
        Object::Service { command: _ } => service::show(context),
        Object::Endpoint { command: _ } => endpoint::show(context),
        Object::Cert { command: _ } => certificate::show(context),
        Object::Policy { command } => match command.unwrap_or(PolicyCommand::Show) {
            PolicyCommand::Show => policy::show(context),
            PolicyCommand::Test { asked } => policy::test(context, asked),
        },
        Object::Route { command } => match command.unwrap_or(RouteCommand::Show) {
            RouteCommand::Show => route::show(context),
            RouteCommand::Test { asked } => route::test(context, &asked),
        },
        Object::Stats { command: _ } => stats::show(context),
        Object::Dump { command } => match command.unwrap_or(Dump::All { out: None }) {
            Dump::All { out } => dump::all(context, out.as_deref()),
        },
        Object::Trace { command } => match command {
            Trace::Drop => trace::drops(context),
        },
        Object::Cleanup { force, cni, afterwards } => {
            let outcome = cleanup::run(context, force, cni)?;
            afterwards.run()?;
            Ok(outcome)
        }
    }
}

/// The exit code for drift.
const DRIFT: u8 = 3;
