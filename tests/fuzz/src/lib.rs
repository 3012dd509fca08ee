//! What must hold for the parsers of peers' bytes, whatever the bytes: a target each.
//!
//! `cargo xtask fuzz` looks for bytes that break it; the tests here try the bytes of `corpus/`, which holds what was once
//! recorded and what once broke something.

mod frames;
mod header;
mod hello;
mod option;
mod request;
mod token;

use agent::proxy::wire::Role;

/// A parser, and what must hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What a server reads of a client by `weft-tcp/1`.
    FramesOfClient,
    /// What a client reads of a server.
    FramesOfServer,
    /// The body of a stream's header.
    Header,
    /// The first bytes of a connection.
    Hello,
    /// The TCP option.
    ///
    /// Where it stands among the others is found by the kernel (`bpf_load_hdr_opt`); here is what is made of its bytes.
    Option,
    /// A request for a certificate.
    Request,
    /// A join token.
    Token,
}

// === impl Target ===

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FramesOfClient,
        Self::FramesOfServer,
        Self::Header,
        Self::Hello,
        Self::Option,
        Self::Request,
        Self::Token,
    ];

    /// The name, which is that of the corpus too.
    pub fn name(self) -> &'static str {
        match self {
            Self::FramesOfClient => "frames-of-client",
            Self::FramesOfServer => "frames-of-server",
            Self::Header => "header",
            Self::Hello => "hello",
            Self::Option => "option",
            Self::Request => "request",
            Self::Token => "token",
        }
    }

    /// The target of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Panics where the parser does not keep what it must.
    pub fn check(self, bytes: &[u8]) {
        match self {
            Self::FramesOfClient => frames::check(Role::Server, bytes),
            Self::FramesOfServer => frames::check(Role::Client, bytes),
            Self::Header => header::check(bytes),
            Self::Hello => hello::check(bytes),
            Self::Option => option::check(bytes),
            Self::Request => request::check(bytes),
            Self::Token => token::check(bytes),
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
