//! The subcommands that a person types; each tells on standard output what it found.

pub mod validate;
