//! Simulated nodes and pods made of network namespaces, a real agent process on each node, and what is needed to look at them.
//!
//! ```text
//! Lab ── underlay (a bridge in a namespace of its own)
//!  ├── Node a ── eth0, bridge cni0, Agent (the `weft` process)
//!  │     ├── Pod ── eth0, Servers (threads in its namespace)
//!  │     └── Pod
//!  ├── Node b ── …
//!  ├── Manifests: the folder which every agent of the lab reads
//!  └── ApiServer: a real one, where a test asks for it; also without a lab
//! ```
//!
//! Each value is a guard: what it made goes when it is dropped, also by a panic. What a killed run left behind is removed
//! when the next one starts ([`Lab::new`]). Nothing here depends on the agent's own code, so that a test cannot agree with
//! the agent on a mistake.

mod address;
mod agent;
mod answer;
mod api_server;
mod app;
mod balancer;
mod ca;
mod cgroup;
mod client;
mod greeting;
mod http2;
mod injector;
mod kernel;
mod lab;
mod launch;
mod manifests;
mod netns;
mod node;
mod peer;
mod pod;
mod relay;
mod runtime;
mod segment;
mod skip;
mod sniffer;
mod sweep;
pub mod wait;
mod web_socket;

pub use address::{Addresses, Family};
pub use agent::{Agent, Outcome};
pub use answer::Answer;
pub use api_server::ApiServer;
pub use app::{App, Server};
pub use balancer::Balancer;
pub use ca::Ca;
pub use cgroup::Cgroup;
pub use client::{Dial, Talk};
pub use greeting::Greeting;
pub use http2::{Http2, Http2Answer};
pub use injector::Injector;
pub use kernel::BpfIds;
pub use lab::Lab;
pub use launch::{Launch, weft};
pub use manifests::{Manifests, Object};
pub use netns::Netns;
pub use node::Node;
pub use peer::{NotThere, Peer, Tool};
pub use pod::{Pod, Start};
pub use relay::{Fate, Relay};
pub use runtime::{Called, Runtime, Sandbox};
pub use segment::Segment;
pub use skip::{current_test, say_skipped};
pub use sniffer::{Options, Packet, Sniffer, Way};
pub use sweep::take_down;
pub use web_socket::WebSocket;
