//! A CA of the lab: a real `weft ca`, started, killed and told what to do.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use serde_json::Value;

use crate::{Launch, Netns, Node, Outcome, wait, weft};

/// A running CA in a node's namespace. Dropped, it is killed.
#[derive(Debug)]
pub struct Ca {
    netns: Arc<Netns>,
    address: SocketAddr,
    manifests: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

// === impl Ca ===

impl Ca {
    pub(crate) fn start(node: &Node, arguments: &[&str]) -> Self {
        let folder = node.lab().folder().join("ca");
        fs::create_dir_all(&folder).expect("a folder can be made in the lab's");
        let (netns, manifests) = (Arc::clone(node.netns()), node.lab().manifests.folder().to_owned());
        let address = SocketAddr::new(node.addresses().v4.into(), PORT);
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&netns, &folder, &manifests, &arguments);
        let ca = Self {
            netns,
            address,
            manifests,
            folder,
            arguments,
            child,
        };
        ca.wait_listening(1);
        ca
    }

    /// Its URL, as agents are given it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The same where a name leads to it.
    pub fn url_at(&self, host: &str) -> String {
        format!("https://{host}:{PORT}")
    }

    /// A file with a new token for a node.
    pub fn token(&self, node: &str) -> PathBuf {
        let made = self.command(&["token", "--node", node]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let file = self.folder.join(format!("{node}.token"));
        fs::write(&file, made.stdout).expect("the token can be written");
        file
    }

    /// Runs `weft ca` with these arguments on its state.
    pub fn command(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(weft());
        command
            .arg("ca")
            .args(arguments)
            .arg("--state")
            .arg(state(&self.folder));
        let output = command.output();
        output
            .unwrap_or_else(|error| panic!("{}: {error}", weft().display()))
            .into()
    }

    /// The folder of its state, as `weft ca` takes it.
    pub fn state(&self) -> PathBuf {
        state(&self.folder)
    }

    /// What `weft ca show` says.
    pub fn show(&self) -> Value {
        let shown = self.command(&["show"]);
        serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", shown.stdout, shown.stderr))
    }

    /// What it wrote to stderr.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same state.
    pub fn start_again(&mut self) {
        self.kill();
        let starts = self.logged().matches(LISTENS).count();
        self.child = spawn(&self.netns, &self.folder, &self.manifests, &self.arguments);
        self.wait_listening(starts + 1);
    }

    fn wait_listening(&self, times: usize) {
        wait::until(wait::PATIENCE, "the CA listens", || {
            self.logged().matches(LISTENS).count() >= times
        });
    }
}

// === impl Node ===

impl Node {
    /// Prepares the node's agent, which gets its certificates from this CA by a token of its own.
    pub fn agent_of(&self, ca: &Ca) -> Launch {
        let token = ca.token(self.name());
        let token = token.to_str().expect("a lab's paths are text");
        self.agent().arguments(&["--ca", &ca.url(), "--ca-token", token])
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            crate::skip::tell(&format!("the CA said:\n{}", self.logged()));
        }
    }
}

fn spawn(netns: &Netns, folder: &Path, manifests: &Path, arguments: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("the log can be written");
    let mut command = Command::new(weft());
    command
        .arg("ca")
        .arg("--manifests")
        .arg(manifests)
        .arg("--state")
        .arg(state(folder))
        .args(["--listen", &format!("[::]:{PORT}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    netns
        .run(|| command.spawn())
        .unwrap_or_else(|error| panic!("{}: {error}", weft().display()))
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

const PORT: u16 = 15_012;
const LISTENS: &str = "CA issues";
