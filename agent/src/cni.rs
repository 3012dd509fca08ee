//! `weft cni`: the chained CNI plugin that holds a pod until it is captured, what the agent answers to it, and how the
//! agent puts it among the runtime's plugins.
//!
//! ```text
//! runtime ──environment, stdin──▶ plugin ──Request + netns──▶ desk ──SandboxNews──▶ kernel
//!    ▲                              │  ▲                        ▲                     │
//!    └──result or error─────────────┘  └─────────Reply──────────┴──mesh, status───────┘
//!                                   └─ agent away: Roll, the namespaces that are known to be enrolled
//! ```
//!
//! The plugin runs for each pod of the node, enrolled or not: it starts no runtime, reads little, and whatever goes wrong
//! holds up pods of enrolled namespaces alone.

mod admission;
mod ask;
mod binary;
mod call;
mod chain;
mod chosen;
mod desk;
mod failure;
mod held;
mod installation;
mod keeper;
mod network;
mod patience;
mod plugin;
mod roll;
mod wire;

pub use admission::Inputs;
pub use desk::Desk;
pub use held::Held;
pub use installation::{InstallError, Installation, SETTLE, Uninstalled};
pub use keeper::Keeper;
pub use plugin::{is_called, run};
pub use roll::follow as keep_roll;

/// The name by which the runtime knows the plugin: its file's, and the `type` of its entry.
const NAME: &str = "weft-cni";

/// The socket at which the agent answers, in the folder that both share.
const SOCKET: &str = "agent.sock";
