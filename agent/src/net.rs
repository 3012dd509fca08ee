//! Linux as Weft needs it: network namespaces, sockets in them, netlink, sock_diag.
//!
//! Knows no mesh: pods are paths, process ids and UIDs as text, marks are numbers.

mod address;
mod datagram;
mod diag;
mod error;
mod foreign;
mod leg;
mod listener;
mod locate;
mod namespace;
mod netlink;
mod overflow;
mod pages;
mod passed;
mod ports;
mod process;
mod queue;
mod root_socket;
mod route;
mod rule;
mod silence;
mod socket;
mod spoken;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;

pub use address::{AddressWatch, DeviceIndex, OwnAddress, own_addresses};
pub use datagram::{CapturedDatagram, CapturedDatagrams, connect_datagrams};
pub use diag::{ListedSocket, Listing, TcpState};
pub use error::NetError;
pub use foreign::ForeignSender;
pub use leg::{Leg, LegError};
pub use listener::{Backlog, ListenerPorts, Queue, accept_queued, listen};
pub use locate::{PodProcesses, PortOwner};
pub use namespace::{Cookie, NetNs, ask_cookies_of};
pub use overflow::listen_overflows;
pub use pages::give_back_files;
pub use passed::{Passed, receive_with, send_with};
pub use ports::{PortsExhausted, SourcePort, SourcePorts};
pub use queue::unacknowledged;
pub use root_socket::{RootSocket, RootSocketError};
pub use route::{LocalDefault, default_device};
pub use rule::{Packets, Rule};
pub use silence::{SendPolicy, SendVerdict};
use socket::transparent;
pub use socket::{Family, Liveness, Mark, outbound, reset_on_close, tune};
pub use spoken::{Spoken, spoken};
pub use sysctl::Sysctl;
