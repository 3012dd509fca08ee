//! `weft validate`: what is wrong with manifests, told without an agent.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read as _, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use crate::{
    cluster::files::{self, Reviewed, Source, review},
    model::{Problem, Severity},
};

/// Look through manifests and tell what is wrong with them
///
/// Prints a line for each problem, `FILE:LINE: KIND NAMESPACE/NAME: FIELD: REASON`, and a summary. Notices tell what may
/// not do what its author wants; they do not count as errors.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ValidateArgs {
    /// The folder whose *.yaml, *.yml and *.json are looked through, or one file, or `-` for standard input
    #[arg(value_name = "DIR|FILE|-")]
    pub path: PathBuf,

    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
}

/// Why manifests could not be looked through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard input cannot be read.
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    /// The folder or file cannot be read.
    #[error(transparent)]
    Manifests(#[from] files::Error),
    /// What was found cannot be printed.
    #[error("cannot print what was found")]
    Output(#[source] io::Error),
}

/// What `--json` prints; its keys are stable.
#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    objects: &'a BTreeMap<&'static str, usize>,
    problems: &'a [Problem],
}

/// Looks through the manifests; success where none has an error.
pub fn run(args: &ValidateArgs) -> Result<ExitCode, Error> {
    let source = if args.path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(Error::Input)?;
        Source::Text {
            name: "stdin".into(),
            text,
        }
    } else {
        Source::Path(args.path.clone())
    };
    let reviewed = review(source)?;
    print(&reviewed, args.json, &mut io::stdout().lock()).map_err(Error::Output)?;
    Ok(if errors(&reviewed) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(reviewed: &Reviewed, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let Reviewed { problems, objects } = reviewed;
        serde_json::to_writer_pretty(
            &mut *out,
            &Answer {
                valid: errors(reviewed) == 0,
                objects,
                problems,
            },
        )?;
        return writeln!(out);
    }
    for problem in &reviewed.problems {
        match problem.severity {
            Severity::Error => writeln!(out, "{problem}")?,
            Severity::Notice => writeln!(out, "{problem} (notice)")?,
        }
    }
    write!(out, "{}", Summary(reviewed))
}

fn errors(reviewed: &Reviewed) -> usize {
    reviewed
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count()
}

/// The last line.
struct Summary<'a>(&'a Reviewed);

// === impl Summary ===

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = errors(self.0);
        let notices = self.0.problems.len() - errors;
        let kinds: Vec<String> = self
            .0
            .objects
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let good = if kinds.is_empty() {
            "no objects".into()
        } else {
            kinds.join(", ")
        };
        writeln!(
            f,
            "good: {good}; {}, {}",
            counted(errors, "error"),
            counted(notices, "notice")
        )
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const EXAMPLES: &str = "Examples:
  weft validate ./mesh
  weft validate ./mesh/web.yaml
  kubectl get svc,endpointslices,pods,ns -A -o yaml | weft validate -
  weft validate -j ./mesh | jq '.problems[] | select(.severity == \"error\")'

Exit codes: 0 no errors, 1 errors or nothing to read, 2 wrong usage.";

#[cfg(test)]
mod tests;
