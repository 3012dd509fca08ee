//! Port numbers, transports, and what ports speak.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::{
    field::{Field, Findings},
    objects::PortReference,
};
use crate::model::{AppProtocol, Transport};

/// Reads a port number.
pub(super) fn number(port: i32, field: &Field, findings: &mut Findings) -> Option<u16> {
    let number = u16::try_from(port).ok().filter(|number| *number != 0);
    findings.accept(
        field,
        number.ok_or_else(|| format!("{port} is not a port: it must be between 1 and 65535")),
    )
}

/// Reads a port by number or name.
pub(super) fn reference(port: IntOrString, field: &Field, findings: &mut Findings) -> Option<PortReference> {
    match port {
        IntOrString::Int(port) => number(port, field, findings).map(PortReference::Number),
        IntOrString::String(name) if is_port_name(&name) => Some(PortReference::Name(name)),
        IntOrString::String(name) => {
            findings.error(
                field.clone(),
                format!(
                    "`{name}` is not the name of a port: at most 15 lower case letters, digits and `-`, with a letter; \
                     numbers are written without quotes"
                ),
            );
            None
        }
    }
}

/// Reads a transport protocol; TCP where none is named.
pub(super) fn transport(protocol: Option<&str>, field: &Field, findings: &mut Findings) -> Option<Transport> {
    match protocol {
        None | Some("TCP") => Some(Transport::Tcp),
        Some("UDP") => Some(Transport::Udp),
        Some("SCTP") => Some(Transport::Sctp),
        Some(other) => {
            findings.error(field.clone(), format!("`{other}` is none of TCP, UDP, SCTP"));
            None
        }
    }
}

/// What a port speaks: `appProtocol` says it, else the first part of the port's name.
///
/// Protocols of which Weft understands nothing are bytes; unknown words say nothing.
pub(super) fn app_protocol(declared: Option<&str>, port_name: &str) -> Option<AppProtocol> {
    let prefix = port_name.split('-').next().unwrap_or_default();
    let word = declared.unwrap_or(if port_name.starts_with("grpc-web") {
        "grpc-web"
    } else {
        prefix
    });
    match word.to_ascii_lowercase().as_str() {
        "http" | "grpc-web" | "kubernetes.io/ws" => Some(AppProtocol::Http1),
        "http2" | "h2c" | "kubernetes.io/h2c" => Some(AppProtocol::Http2),
        "grpc" => Some(AppProtocol::Grpc),
        "https" | "tls" | "kubernetes.io/wss" => Some(AppProtocol::Tls),
        "tcp" | "amqp" | "kafka" | "mongo" | "mysql" | "postgres" | "postgresql" | "redis" => Some(AppProtocol::Tcp),
        _ => None,
    }
}

/// IANA service names, which Kubernetes asks for.
fn is_port_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 15
        && name.bytes().all(allowed)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_goes_before_the_name_and_its_prefix_counts_else() {
        assert_eq!(
            app_protocol(Some("kubernetes.io/h2c"), "http-web"),
            Some(AppProtocol::Http2)
        );
        assert_eq!(app_protocol(None, "http-web"), Some(AppProtocol::Http1));
        assert_eq!(app_protocol(None, "grpc"), Some(AppProtocol::Grpc));
        assert_eq!(app_protocol(None, "grpc-web-x"), Some(AppProtocol::Http1));
        assert_eq!(app_protocol(Some("example.com/own"), "http"), None);
        assert_eq!(app_protocol(None, "httpish"), None);
        assert_eq!(app_protocol(None, ""), None);
    }
}
