//! The binary `weft`: parses the command line and runs what it names; as `weft-cni` it is the CNI plugin.

use std::process::ExitCode;

use agent::{app::Cli, cni};

fn main() -> ExitCode {
    // Before anything else: the plugin runs for each pod of the node.
    if cni::is_called() {
        return cni::run();
    }
    Cli::read().run()
}
