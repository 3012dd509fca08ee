//! What must hold for the parsers of peers' bytes, whatever the bytes: a target each.
//!
//! `cargo xtask fuzz` looks for bytes that break it; the tests here try the bytes of `corpus/`, which holds what was once
//! recorded and what once broke something.

mod client;
mod frames;
mod head;
mod header;
mod hello;
mod hop;
mod option;
mod pieces;
mod request;
mod server_name;
mod session;
mod sniff;
mod token;
mod told;

use agent::proxy::wire::Role;

/// A parser, and what must hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// X-Forwarded-Client-Cert, of identities of peers.
    Client,
    /// What a server reads of a client by `weft-tcp/1`.
    FramesOfClient,
    /// What a client reads of a server.
    FramesOfServer,
    /// The head of a request of HTTP/1.
    Head,
    /// The body of a stream's header.
    Header,
    /// The first bytes of a connection.
    Hello,
    /// The headers of a request or a response, on their way to the next hop.
    Hop,
    /// The TCP option.
    ///
    /// Where it stands among the others is found by the kernel (`bpf_load_hdr_opt`); here is what is made of its bytes.
    Option,
    /// A request for a certificate.
    Request,
    /// The first bytes of a client of TLS, of which its server is to be told.
    ServerName,
    /// The token of a session.
    Session,
    /// The first bytes of a client, of which HTTP is to be told.
    Sniff,
    /// A join token.
    Token,
    /// What an agent tells of its client with a request.
    Told,
}

// === impl Target ===

impl Target {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Client,
        Self::FramesOfClient,
        Self::FramesOfServer,
        Self::Head,
        Self::Header,
        Self::Hello,
        Self::Hop,
        Self::Option,
        Self::Request,
        Self::ServerName,
        Self::Session,
        Self::Sniff,
        Self::Token,
        Self::Told,
    ];

    /// The name, which is that of the corpus too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::FramesOfClient => "frames-of-client",
            Self::FramesOfServer => "frames-of-server",
            Self::Head => "head",
            Self::Header => "header",
            Self::Hello => "hello",
            Self::Hop => "hop",
            Self::Option => "option",
            Self::Request => "request",
            Self::ServerName => "server-name",
            Self::Session => "session",
            Self::Sniff => "sniff",
            Self::Token => "token",
            Self::Told => "told",
        }
    }

    /// The target of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Panics where the parser does not keep what it must.
    pub fn check(self, bytes: &[u8]) {
        match self {
            Self::Client => client::check(bytes),
            Self::FramesOfClient => frames::check(Role::Server, bytes),
            Self::FramesOfServer => frames::check(Role::Client, bytes),
            Self::Head => head::check(bytes),
            Self::Header => header::check(bytes),
            Self::Hello => hello::check(bytes),
            Self::Hop => hop::check(bytes),
            Self::Option => option::check(bytes),
            Self::Request => request::check(bytes),
            Self::ServerName => server_name::check(bytes),
            Self::Session => session::check(bytes),
            Self::Sniff => sniff::check(bytes),
            Self::Token => token::check(bytes),
            Self::Told => told::check(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn what_was_recorded_or_once_broke_a_parser_keeps_the_rules() {
        for target in Target::ALL {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name());
            let files: Vec<_> = fs::read_dir(&corpus).expect("a corpus").collect();
            assert!(!files.is_empty(), "{target:?} has no corpus");
            for file in files {
                let path = file.expect("a file").path();
                println!("{}", path.display());
                target.check(&fs::read(&path).expect("readable"));
            }
        }
    }

    #[test]
    fn a_target_is_found_by_its_name() {
        for target in Target::ALL {
            assert_eq!(Target::of_name(target.name()), Some(target));
        }
        assert_eq!(Target::of_name("other"), None);
    }
}
