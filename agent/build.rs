//! Puts the kernel programs, which `cargo xtask build` has built, where the agent embeds them from.
//!
//! A plain `cargo check` on a fresh machine has none and must work: it embeds an empty object, and the agent built so
//! says at its start what to run.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WEFT_BPF_OBJECT");
    let object = env::var_os("WEFT_BPF_OBJECT").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/weft-ebpf"),
        PathBuf::from,
    );
    println!("cargo:rerun-if-changed={}", object.display());
    let programs = match fs::read(&object) {
        Ok(programs) => programs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!(
                "cargo:warning=no kernel programs at {}: `cargo xtask build` makes them",
                object.display()
            );
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let embedded = env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .expect("cargo sets OUT_DIR for build scripts");
    fs::write(embedded.join("weft-ebpf"), programs)
}
