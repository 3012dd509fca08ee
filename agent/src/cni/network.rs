//! What the runtime writes: the network's configuration, and what the plugins before this one have made.

use std::{
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;

/// The configuration of the network, as far as this plugin reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Network {
    cni_version: Option<String>,
    run_dir: Option<PathBuf>,
    prev_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Vec<ValidAttachment>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ValidAttachment {
    #[serde(rename = "containerID")]
    container: String,
}

/// The part of a result that tells addresses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Addresses {
    ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: IpNet,
}

// === impl Network ===

impl Network {
    /// Reads it, whole and bounded.
    pub(super) fn read(input: impl Read) -> Result<Self, Failure> {
        let mut text = Vec::new();
        let read = input.take(LONGEST + 1).read_to_end(&mut text);
        read.map_err(Failure::Read)?;
        if text.len() as u64 > LONGEST {
            return Err(Failure::TooLong(LONGEST));
        }
        serde_json::from_slice(&text).map_err(Failure::Decode)
    }

    /// The version of the specification in which the runtime wants its answers.
    pub(super) fn version(&self) -> &str {
        self.cni_version.as_deref().unwrap_or(NEWEST)
    }

    /// Refuses a version that is not spoken.
    pub(super) fn check_version(&self) -> Result<(), Failure> {
        match &self.cni_version {
            Some(version) if speaks(version) => Ok(()),
            Some(version) => Err(Failure::Version(version.clone())),
            None => Err(Failure::Version("(none)".to_owned())),
        }
    }

    /// The folder that the agent shares with the plugin.
    pub(super) fn run_dir(&self) -> &Path {
        self.run_dir.as_deref().unwrap_or(Path::new(RUN_DIR))
    }

    /// What the plugins before this one have made, to be passed on as it is.
    pub(super) fn result(&self) -> Result<&Value, Failure> {
        self.prev_result.as_ref().ok_or(Failure::NotChained)
    }

    /// The addresses of the pod.
    pub(super) fn ips(&self) -> Result<Vec<IpAddr>, Failure> {
        let Addresses { ips } = Addresses::deserialize(self.result()?).map_err(Failure::Decode)?;
        Ok(ips.iter().map(|ip| ip.address.addr()).collect())
    }

    /// The sandboxes that are left.
    pub(super) fn containers(&self) -> Vec<String> {
        let attachments = self.valid_attachments.iter();
        attachments.map(|attachment| attachment.container.clone()).collect()
    }
}

/// Whether a version of the specification is spoken.
pub(super) fn speaks(version: &str) -> bool {
    VERSIONS.contains(&version)
}

/// The versions that are spoken; the configuration and the results of a chained plugin are the same in all of them.
pub(super) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", NEWEST];

const NEWEST: &str = "1.1.0";

/// Where the agent's socket and its roll lie unless the configuration says otherwise.
const RUN_DIR: &str = "/run/weft/cni";

/// The most bytes that a configuration may have, results of other plugins among them.
const LONGEST: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Network {
        Network::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn addresses_of_both_families_are_read_from_the_result_of_each_version() {
        for (version, ips) in [
            (
                "0.3.1",
                json!([{ "version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2 },
                       { "version": "6", "address": "fd00::5/64" }]),
            ),
            (
                "1.1.0",
                json!([{ "address": "10.1.0.5/16", "gateway": "10.1.0.1" }, { "address": "fd00::5/64" }]),
            ),
        ] {
            let result = json!({ "cniVersion": version, "interfaces": [], "ips": ips, "routes": [], "dns": {} });
            let network =
                read(&json!({ "cniVersion": version, "name": "n", "type": "weft-cni", "prevResult": result }));
            network.check_version().unwrap();
            assert_eq!(network.result().unwrap(), &result);
            let expected: [IpAddr; 2] = ["10.1.0.5", "fd00::5"].map(|ip| ip.parse().unwrap());
            assert_eq!(network.ips().unwrap(), expected);
        }
    }

    #[test]
    fn a_result_that_is_missing_or_not_understood_is_told() {
        assert_eq!(read(&json!({ "cniVersion": "1.0.0" })).result().unwrap_err().code(), 7);
        let odd = read(&json!({ "cniVersion": "1.0.0", "prevResult": { "ips": [{ "address": "here" }] } }));
        assert_eq!(odd.ips().unwrap_err().code(), 6);
        assert_eq!(Network::read(&b"{"[..]).unwrap_err().code(), 6);
        assert_eq!(Network::read(std::io::repeat(b' ')).unwrap_err().code(), 6);
        let without_addresses = read(&json!({ "prevResult": {} }));
        assert_eq!(without_addresses.ips().unwrap(), [] as [IpAddr; 0]);
    }

    #[test]
    fn versions_that_nobody_knows_are_refused() {
        for version in ["0.2.0", "2.0.0", "", "1"] {
            let network = read(&json!({ "cniVersion": version }));
            assert_eq!(network.check_version().unwrap_err().code(), 1, "{version}");
        }
        assert_eq!(Network::default().check_version().unwrap_err().code(), 1);
    }

    #[test]
    fn what_is_left_is_read_for_a_collection() {
        let network = read(&json!({
            "cniVersion": "1.1.0",
            "cni.dev/valid-attachments": [{ "containerID": "a", "ifname": "eth0" }, { "containerID": "b", "ifname": "eth0" }],
        }));
        assert_eq!(network.containers(), ["a", "b"]);
    }
}
