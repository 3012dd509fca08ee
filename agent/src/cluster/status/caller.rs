//! What the API server itself calls in the cluster: webhooks and aggregated APIs. It is in no mesh, so it comes in plaintext.

use std::{fmt, sync::Arc};

use k8s_openapi::{
    api::admissionregistration::v1::{
        MutatingWebhookConfiguration, ServiceReference, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};

use super::super::objects::{PortReference, Service};
use crate::model::{AuthenticationPolicy, MtlsMode, ObjectName, Target};

/// Something for which the API server calls a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    kind: &'static str,
    name: String,
    service: ObjectName,
    port: u16,
}

// === impl Caller ===

impl Caller {
    pub(super) fn of_validating(written: ValidatingWebhookConfiguration) -> Option<Vec<Self>> {
        let name = written.metadata.name?;
        let webhooks = written.webhooks.unwrap_or_default();
        let clients = webhooks.into_iter().map(|webhook| webhook.client_config);
        Some(of_clients("ValidatingWebhookConfiguration", &name, clients))
    }

    pub(super) fn of_mutating(written: MutatingWebhookConfiguration) -> Option<Vec<Self>> {
        let name = written.metadata.name?;
        let webhooks = written.webhooks.unwrap_or_default();
        let clients = webhooks.into_iter().map(|webhook| webhook.client_config);
        Some(of_clients("MutatingWebhookConfiguration", &name, clients))
    }

    pub(super) fn of_api(written: APIService) -> Option<Vec<Self>> {
        let name = written.metadata.name?;
        // One without a Service is the API server's own.
        let service = written.spec?.service?;
        let caller = Self::new(
            "APIService",
            &name,
            ObjectName::new(service.namespace?, service.name?),
            service.port,
        );
        Some(vec![caller])
    }

    fn new(kind: &'static str, name: &str, service: ObjectName, port: Option<i32>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            service,
            port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(HTTPS),
        }
    }

    /// Whether a policy keeps the API server out of the pods that it calls.
    ///
    /// Only the policy itself is looked at, and a named target port counts as one of which it says nothing: an older or a
    /// more specific policy may say otherwise.
    pub(super) fn is_refused_by(&self, policy: &AuthenticationPolicy, service: &Service) -> bool {
        if service.service.name != self.service || policy.name.namespace != self.service.namespace {
            return false;
        }
        let mut ports = service.service.ports.iter().zip(&service.targets);
        let Some((port, target)) = ports.find(|(port, _)| port.port == self.port) else {
            return false;
        };
        let is_target = match &policy.target {
            Target::All => true,
            Target::Selector(labels) => labels
                .iter()
                .all(|(key, value)| service.selector.get(key) == Some(value)),
            Target::Services(targets) => targets.iter().any(|target| {
                let is_port = |section: &Arc<str>| **section == *port.name;
                *target.service == *self.service.name && target.section.as_ref().is_none_or(is_port)
            }),
        };
        let of_port = match target {
            PortReference::Number(number) => policy.mtls.ports.get(number),
            PortReference::Name(_) => None,
        };
        let mode = of_port.and_then(|of_port| of_port.mode).or(policy.mtls.mode);
        let plaintext_from = of_port.and_then(|of_port| of_port.plaintext_from.as_ref());
        let plaintext_from = plaintext_from.or(policy.mtls.plaintext_from.as_ref());
        is_target && mode == Some(MtlsMode::Strict) && plaintext_from.is_none_or(|ranges| ranges.is_empty())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            name,
            service,
            port,
        } = self;
        write!(
            f,
            "{kind} {name} lets the API server call port {port} of Service {service}"
        )
    }
}

fn of_clients(kind: &'static str, name: &str, clients: impl Iterator<Item = WebhookClientConfig>) -> Vec<Caller> {
    let mut callers: Vec<Caller> = Vec::new();
    for ServiceReference {
        name: service,
        namespace,
        port,
        path: _,
    } in clients.filter_map(|client| client.service)
    {
        let caller = Caller::new(kind, name, ObjectName::new(namespace, service), port);
        if !callers.contains(&caller) {
            callers.push(caller);
        }
    }
    callers
}

/// The port of a reference that names none.
const HTTPS: u16 = 443;
