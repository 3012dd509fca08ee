//! Packages from PyPI.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result};
use cluster::Python;

use crate::process;

/// Fetches the packages of tests' clients unless the cache holds them.
///
/// Two checkouts that fetch at the same time wait for one another.
pub(super) fn ensure() -> Result<()> {
    let python = Python::cached()?;
    if python.is_there() {
        return Ok(());
    }
    let mut unfinished = python.packages().to_owned();
    unfinished.as_mut_os_string().push(".unfinished");
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    let lock = fs::File::open(&unfinished).context("cannot open what is to be locked")?;
    lock.lock().context("cannot wait for another checkout")?;
    if python.is_there() {
        return Ok(());
    }
    print!("setup: fetching {} from PyPI (9 MB) ...", Python::PACKAGES.join(", "));
    // The line is to be seen while the work goes on.
    let _ = io::stdout().flush();
    let start = Instant::now();
    let fetched = process::output(pip(&unfinished).args(["--only-binary", ":all:"]).args(Python::PACKAGES));
    println!(" {:.0} s", start.elapsed().as_secs_f64());
    fetched?;
    fs::rename(&unfinished, python.packages()).context("cannot put Python's packages into the cache")
}

/// Installs packages that are named in full into a folder.
pub(super) fn pip(folder: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--upgrade", "--target"])
        .arg(folder);
    pip
}
