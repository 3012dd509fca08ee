//! Installing into folders as runtimes have them, with scripts in the place of the binary.

use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const LIST: &str =
    r#"{ "cniVersion": "1.0.0", "name": "n", "plugins": [{ "type": "bridge" }, { "type": "portmap" }] }"#;
const SINGLE: &str = r#"{ "cniVersion": "0.4.0", "name": "n", "type": "bridge" }"#;

struct Node {
    folder: TempDir,
    installation: Installation,
}

fn mk_node(files: &[(&str, &str)]) -> Node {
    let folder = TempDir::new().unwrap();
    let [bin_dir, conf_dir, run_dir] = ["bin", "conf", "run"].map(|name| folder.path().join(name));
    fs::create_dir(&run_dir).unwrap();
    let installation = Installation::new(bin_dir, conf_dir, run_dir);
    installation.begin().unwrap();
    let node = Node { folder, installation };
    files.iter().for_each(|(name, text)| node.write(name, text));
    node
}

impl Node {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.installation.conf_dir().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.installation.conf_dir().join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.installation.conf_dir()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Has the plugin be a script.
    fn install_of(&mut self, script: &str) {
        let program = self.folder.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        self.installation.binary = Binary::of(program, self.folder.path().join("bin"));
    }

    fn types(&self, name: &str) -> Vec<String> {
        let list = self.read(name);
        let plugins = list["plugins"].as_array().unwrap();
        plugins
            .iter()
            .map(|plugin| plugin["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn join(&self) -> Option<String> {
        let written = self.installation.join_list().unwrap();
        written.map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
    }
}

#[test]
fn the_first_list_is_chained_once_and_keeps_its_mode() {
    let node = mk_node(&[
        ("10-n.conflist", LIST),
        ("20-other.conflist", LIST),
        ("readme.txt", "x"),
    ]);
    let path = node.installation.conf_dir().join("10-n.conflist");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(node.join().as_deref(), Some("10-n.conflist"));
    assert_eq!(node.join(), None);
    assert_eq!(node.types("10-n.conflist"), ["bridge", "portmap", "weft-cni"]);
    assert_eq!(node.types("20-other.conflist"), ["bridge", "portmap"]);
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
    assert_eq!(node.files(), ["10-n.conflist", "20-other.conflist", "readme.txt"]);
}

#[test]
fn a_list_that_was_rewritten_is_chained_again() {
    let node = mk_node(&[("10-n.conflist", LIST)]);
    node.join();
    node.write("10-n.conflist", &LIST.replace("portmap", "bandwidth"));
    assert_eq!(node.join().as_deref(), Some("10-n.conflist"));
    assert_eq!(node.types("10-n.conflist"), ["bridge", "bandwidth", "weft-cni"]);
}

#[test]
fn a_single_plugin_gets_a_list_before_it_which_follows_it_and_goes_with_it() {
    let node = mk_node(&[("10-n.conf", SINGLE)]);
    assert_eq!(node.join().as_deref(), Some("00-weft.conflist"));
    assert_eq!(node.join(), None);
    assert_eq!(node.types("00-weft.conflist"), ["bridge", "weft-cni"]);
    node.write("10-n.conf", &SINGLE.replace("bridge", "ptp"));
    assert_eq!(node.join().as_deref(), Some("00-weft.conflist"));
    assert_eq!(node.types("00-weft.conflist"), ["ptp", "weft-cni"]);

    node.write("05-real.conflist", LIST);
    assert_eq!(node.join().as_deref(), Some("05-real.conflist"));
    assert_eq!(node.files(), ["05-real.conflist", "10-n.conf"]);
    for file in ["05-real.conflist", "10-n.conf"] {
        fs::remove_file(node.installation.conf_dir().join(file)).unwrap();
    }
    let error = node.installation.join_list().unwrap_err();
    assert!(matches!(error, InstallError::NoNetwork { .. }), "{error}");
}

#[test]
fn a_network_that_cannot_be_chained_stays_as_it_is() {
    for bad in ["{", r#"{ "cniVersion": "9.0.0", "plugins": [{ "type": "bridge" }] }"#] {
        let node = mk_node(&[("10-n.conflist", bad)]);
        let error = node.installation.join_list().unwrap_err();
        assert!(matches!(error, InstallError::NotChained { .. }), "{error}");
        assert_eq!(
            fs::read_to_string(node.installation.conf_dir().join("10-n.conflist")).unwrap(),
            bad
        );
    }
}

#[test]
fn uninstalling_leaves_the_folders_as_they_were() {
    let node = mk_node(&[("10-n.conf", SINGLE), ("20-n.conflist", LIST)]);
    node.join();
    // An entry in a list that is not the first, as when another network was installed later.
    node.write("20-n.conflist", &LIST.replace("portmap", "weft-cni"));
    fs::create_dir_all(node.folder.path().join("bin")).unwrap();
    fs::write(node.installation.binary.path(), "").unwrap();
    fs::write(roll::path(&node.installation.run_dir), "{}").unwrap();
    let uninstalled = node.installation.remove(Duration::ZERO).unwrap();
    let conf_dir = node.installation.conf_dir();
    assert_eq!(
        uninstalled,
        Uninstalled {
            lists: vec![conf_dir.join("00-weft.conflist"), conf_dir.join("20-n.conflist")],
            binary: Some(node.installation.binary.path()),
        }
    );
    assert_eq!(node.files(), ["10-n.conf", "20-n.conflist"]);
    assert_eq!(node.types("20-n.conflist"), ["bridge"]);
    assert!(!node.installation.binary.path().exists());
    assert!(!node.folder.path().join("run").exists());
    assert_eq!(
        node.installation.remove(Duration::ZERO).unwrap(),
        Uninstalled::default()
    );
}

#[test]
fn a_plugin_that_was_taken_away_under_a_living_agent_stays_away_until_the_next_begins() {
    let node = mk_node(&[("10-n.conflist", LIST)]);
    let _agent = std::os::unix::net::UnixListener::bind(node.folder.path().join("run").join(SOCKET)).unwrap();
    node.join();
    assert!(!node.installation.is_ended());
    node.installation.remove(Duration::ZERO).unwrap();
    assert!(node.installation.is_ended());
    node.installation.begin().unwrap();
    assert!(!node.installation.is_ended());
}

#[test]
fn where_nothing_was_installed_nothing_is_made() {
    let folder = TempDir::new().unwrap();
    let [bin_dir, conf_dir, run_dir] = ["bin", "conf", "run"].map(|name| folder.path().join(name));
    let installation = Installation::new(bin_dir, conf_dir, run_dir);
    assert_eq!(installation.remove(Duration::ZERO).unwrap(), Uninstalled::default());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_binary_that_does_not_run_is_not_named() {
    let mut node = mk_node(&[("10-n.conflist", LIST)]);
    node.install_of("exit 1");
    let error = node.installation.mend().unwrap_err();
    assert!(
        matches!(error, InstallError::Binary(BinaryError::Broken { .. })),
        "{error}"
    );
    assert_eq!(node.types("10-n.conflist"), ["bridge", "portmap"]);
    assert!(!node.installation.binary.path().exists());
}

#[test]
fn a_binary_of_another_version_is_replaced_and_the_same_one_left() {
    let mut node = mk_node(&[("10-n.conflist", LIST)]);
    let inode = |node: &Node| fs::metadata(node.installation.binary.path()).unwrap().ino();
    node.install_of("echo '{\"supportedVersions\":[]}'");
    let first = node.installation.mend().unwrap();
    assert_eq!((first.binary, first.list.is_some()), (true, true));
    let before = inode(&node);
    assert_eq!(node.installation.mend().unwrap(), Installed::default());

    node.install_of("echo '{\"supportedVersions\":[1]}'");
    assert!(node.installation.mend().unwrap().binary);
    assert_ne!(inode(&node), before);
    fs::remove_file(node.installation.binary.path()).unwrap();
    assert!(node.installation.mend().unwrap().binary);
    assert_eq!(node.types("10-n.conflist"), ["bridge", "portmap", "weft-cni"]);
}

#[test]
fn an_entry_whose_binary_is_gone_and_cannot_be_had_again_goes_too() {
    let mut node = mk_node(&[("10-n.conflist", LIST)]);
    node.join();
    node.install_of("exit 1");
    node.installation.mend().unwrap_err();
    assert_eq!(node.types("10-n.conflist"), ["bridge", "portmap"]);
}
