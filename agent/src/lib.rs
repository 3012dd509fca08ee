//! Weft's agent, room by room. Imports go one way; `cargo xtask rooms` keeps the table.

pub mod admin;
pub mod app;
pub mod ca;
pub mod cli;
pub mod cluster;
pub mod cni;
pub mod config;
pub mod controller;
pub mod dns;
pub mod kernel;
pub mod model;
pub mod net;
pub mod proxy;
pub mod store;
pub mod telemetry;
pub mod tls;
