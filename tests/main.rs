//! Tests of the whole data path: real kernel programs, real agents, simulated nodes. One file per concern.

mod harness_itself;
