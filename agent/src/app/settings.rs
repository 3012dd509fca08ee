//! The flags, in the shape in which each room wants its part.

use crate::{
    config::{AccessLog, AgentConfig, PortRange, ProxyConfig, Switch},
    kernel::{self, Dns, ProgramLog},
    proxy,
    telemetry::AccessLogFormat,
};

/// What the kernel room wants.
pub(super) fn kernel(config: &AgentConfig) -> kernel::Config {
    let from = config.kernel.clone();
    kernel::Config {
        node: config.node.clone(),
        bpffs: from.bpffs,
        cgroup: from.cgroup,
        kubelet_cgroup: from.kubelet_cgroup,
        program_log: if from.kernel_log {
            ProgramLog::Debug
        } else {
            ProgramLog::Off
        },
        dns: match config.dns() {
            Switch::On => Dns::Captured,
            Switch::Off => Dns::Untouched,
        },
    }
}

/// What the proxy wants.
pub(super) fn proxy(config: &ProxyConfig) -> proxy::Settings {
    let default = proxy::Settings::default();
    proxy::Settings {
        lanes: config.lanes.unwrap_or(default.lanes),
        max_connections_per_pod: config.max_connections_per_pod.get(),
        max_buffer_per_pod: config.max_buffer_per_pod.get(),
        max_buffer: config.max_buffer.get(),
        connect_timeout: config.connect_timeout,
        same_node: default.same_node,
        pool: match config.pool {
            Switch::On => proxy::Pooling::Kept,
            Switch::Off => proxy::Pooling::Off,
        },
        peer_memory: config.peer_memory,
        leg_ports: config.leg_ports.clone().map_or(default.leg_ports, PortRange::into),
        liveness: default.liveness,
        http: proxy::HttpLimits {
            head: config.http_head_timeout,
            stall: config.http_stall_timeout,
            idle: config.http_idle_timeout,
        },
    }
}

/// What the access log wants.
pub(super) fn access_log(format: AccessLog) -> AccessLogFormat {
    match format {
        AccessLog::Json => AccessLogFormat::Json,
        AccessLog::Text => AccessLogFormat::Text,
        AccessLog::Off => AccessLogFormat::Off,
    }
}
