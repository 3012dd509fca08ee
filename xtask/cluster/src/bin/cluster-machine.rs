//! The first process of a simulated machine.

use std::{env, path::Path};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [plan] => cluster::boot(Path::new(plan)),
        ["--first", plan] => cluster::first(Path::new(plan)),
        _ => bail!("this is started by `cargo xtask cluster`"),
    }
}
