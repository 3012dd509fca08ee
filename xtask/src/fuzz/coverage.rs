//! How many lines of each parser the checked-in corpora reach.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{corpora, folder, fuzzer, profile};
use crate::{process, workspace};

/// Replays the corpora, prints the table, and fails with each parser of which they reach too little.
pub(super) fn measure(program: &Path, targets: &[String]) -> Result<()> {
    fs::create_dir_all(folder())?;
    for target in targets {
        process::output(fuzzer(program, target).arg("-runs=0").arg(corpora().join(target)))?;
    }
    let merged = folder().join("merged.profdata");
    let mut merge = llvm("llvm-profdata");
    merge.args(["merge", "--sparse", "--output"]).arg(&merged);
    process::output(merge.args(targets.iter().map(|target| profile(target))))?;

    let mut export = llvm("llvm-cov");
    export
        .args(["export", "--summary-only", "--instr-profile"])
        .arg(&merged)
        .arg(program)
        .args(PARSERS.map(|parser| workspace::root().join(parser)));
    let report: Value = serde_json::from_str(&process::output(&mut export)?)?;

    let mut poor = Vec::new();
    println!("  lines  covered  parser");
    for parser in PARSERS {
        let (lines, covered) = lines(&report, parser).with_context(|| format!("llvm-cov says nothing of {parser}"))?;
        println!("{lines:>7} {:>7.1}%  {parser}", covered as f64 * 100.0 / lines as f64);
        if covered * 100 < lines * LEAST_PERCENT {
            poor.push(parser);
        }
    }
    if !poor.is_empty() {
        bail!(
            "less than {LEAST_PERCENT} % of the lines are reached in: {}",
            poor.join(", ")
        );
    }
    Ok(())
}

/// The lines of a file, and how many of them are covered.
fn lines(report: &Value, file: &str) -> Option<(u64, u64)> {
    let files = report["data"][0]["files"].as_array()?;
    let file = files.iter().find(|found| {
        let name = found["filename"].as_str().unwrap_or_default();
        Path::new(name).ends_with(file)
    })?;
    let lines = &file["summary"]["lines"];
    Some((lines["count"].as_u64()?, lines["covered"].as_u64()?))
}

/// A tool of the LLVM that rustc and bpf-linker have too: profiles are read by their own version only.
fn llvm(tool: &str) -> Command {
    Command::new(PathBuf::from("/usr/lib/llvm-22/bin").join(tool))
}

/// The files that read peers' bytes. Requests for certificates are read by crates of others.
const PARSERS: [&str; 12] = [
    "agent-common/src/hello.rs",
    "agent/src/proxy/detect/sniff.rs",
    "agent/src/proxy/http/check.rs",
    "agent/src/proxy/http/heads.rs",
    "agent/src/proxy/http/hop.rs",
    "agent/src/proxy/http/session/token.rs",
    "agent/src/proxy/wire/frame.rs",
    "agent/src/proxy/wire/header.rs",
    "agent/src/proxy/wire/status.rs",
    "agent/src/tls/hello.rs",
    "agent/src/tls/hello/name.rs",
    "agent/src/tls/token.rs",
];

const LEAST_PERCENT: u64 = 90;
