//! Puts the kernel programs, which `cargo xtask build` has built, where the agent embeds them from, and writes both ends
//! of the gRPC service between agents and their CA.
//!
//! A plain `cargo check` on a fresh machine has none and must work: it embeds an empty object, and the agent built so
//! says at its start what to run.

use std::{env, fs, io, path::PathBuf};

use tonic_build::manual::{Builder, Method, Service};

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
    fs::write(embedded.join("weft-ebpf"), programs)?;
    certificates();
    Ok(())
}

/// The service `weft.ca.v1.Certificates`; its messages are written by hand, so that no protoc is needed.
fn certificates() {
    let attend = Method::builder()
        .name("attend")
        .route_name("Attend")
        .input_type("crate::tls::issue::message::Word")
        .output_type("crate::tls::issue::message::Answer")
        .codec_path("tonic_prost::ProstCodec")
        .client_streaming()
        .server_streaming()
        .build();
    let service = Service::builder()
        .name("Certificates")
        .package("weft.ca.v1")
        .method(attend)
        .build();
    Builder::new().build_transport(false).compile(&[service]);
}
