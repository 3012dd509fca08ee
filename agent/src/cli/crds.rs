//! `weft crds`: the definitions of Weft's own kinds, of the version that this binary reads.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use crate::cluster::crds::{Crd, CrdError, crds};

/// Print the CustomResourceDefinitions of Weft's own kinds
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CrdsArgs {
    /// Write a file for each into this folder instead
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Why the definitions could not be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They cannot be written as YAML.
    #[error(transparent)]
    Crd(#[from] CrdError),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// They cannot be printed.
    #[error("cannot print")]
    Print(#[source] io::Error),
}

/// Prints the definitions, or writes them.
///
/// # Errors
///
/// When standard output or a file cannot be written.
pub fn run(args: &CrdsArgs) -> Result<(), Error> {
    for Crd { name, yaml } in crds()? {
        let text = format!("{HEAD}---\n{yaml}");
        match &args.out {
            None => io::stdout().write_all(text.as_bytes()).map_err(Error::Print)?,
            Some(folder) => {
                let path = folder.join(format!("{name}.yaml"));
                fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
            }
        }
    }
    Ok(())
}

const HEAD: &str = "# Written by `weft crds`; the types are in agent/src/cluster/convert.\n";

const EXAMPLES: &str = "Examples:
  weft crds | kubectl apply --server-side -f -
  weft crds --out deploy/crds";
