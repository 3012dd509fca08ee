//! Tests of the whole data path: real kernel programs, real agents, simulated nodes. One file per concern.

mod capture;
mod copy;
mod harness_itself;
mod mesh;
mod never_captured;
mod services;
