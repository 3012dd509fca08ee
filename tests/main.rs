//! Tests of the whole data path: real kernel programs, real agents, simulated nodes. One file per concern.
#![cfg(test)]

mod api_server;
mod balancers;
mod capture;
mod certificates;
mod copy;
mod counts;
mod debug;
mod dns;
mod downgrade;
mod egress;
mod enrol;
mod failure;
mod found;
mod harness_itself;
mod hello;
mod hostile_pod;
mod impostors;
mod interrupted;
mod kubernetes;
mod limits;
mod manifests;
mod mesh;
mod mtls;
mod never_captured;
mod policy;
mod probes;
mod scale;
mod services;
mod state;
mod telemetry;
mod udp;
mod verdicts;
