//! The definitions themselves; what they refuse is tested against a real API server.

use std::{fs, path::PathBuf};

use super::*;

#[test]
fn the_files_in_deploy_are_what_the_types_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    for Crd { name, yaml } in crds().unwrap() {
        let path = folder.join(format!("{name}.yaml"));
        let file = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file.ends_with(&yaml),
            "{} is stale: run `cargo xtask crds`",
            path.display()
        );
    }
}
