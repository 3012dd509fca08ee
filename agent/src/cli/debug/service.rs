//! `service`: services as the agent sees them.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, listed, or_dash},
    model::{PortView, ServiceView},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.services, "services", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<ServiceView>, DebugError> {
    Ok(context.agent()?.get("/mesh/services")?)
}

impl Row for ServiceView {
    const COLUMNS: &'static [&'static str] = &[
        "NAMESPACE",
        "NAME",
        "CLUSTER-IPS",
        "EXTERNAL-IPS",
        "EXTERNAL-NAME",
        "PORTS (READY/ALL)",
    ];

    fn cells(&self) -> Vec<String> {
        let cluster_ips = if self.headless {
            "None".to_owned()
        } else {
            listed(&self.cluster_ips)
        };
        vec![
            self.namespace.clone(),
            self.name.clone(),
            cluster_ips,
            listed(&self.external_ips),
            or_dash(self.external_name.as_deref()),
            listed(self.ports.iter().map(port)),
        ]
    }
}

fn port(port: &PortView) -> String {
    let PortView {
        name: _,
        port,
        transport,
        endpoints,
        ready,
    } = port;
    format!("{port}/{transport} ({ready}/{endpoints})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_tell_how_many_of_their_endpoints_are_ready() {
        let service = ServiceView {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            cluster_ips: vec!["10.96.0.10".parse().unwrap()],
            external_ips: Vec::new(),
            headless: false,
            external_name: None,
            ports: vec![PortView {
                name: "http".to_owned(),
                port: 80,
                transport: "tcp".to_owned(),
                endpoints: 3,
                ready: 2,
            }],
        };
        assert_eq!(
            service.cells(),
            ["shop", "cart", "10.96.0.10", "-", "-", "80/tcp (2/3)"]
        );
    }
}
