//! Routes that decide nothing, and rules that send requests nowhere.

use std::sync::Arc;

use super::Checked;
use crate::{
    cluster::{
        field::Field,
        objects::{Key, Kind, Objects},
    },
    model::{
        BackendTarget, Bindings, Filters, ObjectName, Route, RouteKind, Service, Severity, UnresolvedBackend,
        resolve_backend,
    },
};

// === impl Checked ===

impl Checked {
    pub(super) fn routes(&mut self, objects: &Objects) {
        let service = |name: &ObjectName| objects.services.get(name).map(|service| &service.service);
        let routes: Vec<Arc<Route>> = objects.routes.values().cloned().collect();
        let bindings = Bindings::new(&routes, service);
        for route in &routes {
            for parent in &route.parents {
                if let Some(unbound) = bindings.unbound(&route.id, parent) {
                    let field = Field::at("spec.parentRefs").index(parent.index);
                    let reason = format!("{unbound}: it decides nothing there");
                    self.add(Severity::Notice, key(route), field, reason);
                }
            }
            if !route.parents.is_empty() {
                self.backends(route, service);
            }
        }
    }

    fn backends<'a>(&mut self, route: &Route, service: impl Fn(&ObjectName) -> Option<&'a Service>) {
        for (index, rule) in route.rules.iter().enumerate() {
            let field = Field::at("spec.rules").index(index);
            self.mirrors(route, &rule.filters, &field, &service);
            for (index, backend) in rule.backends.iter().enumerate() {
                let field = field.key("backendRefs").index(index);
                if let Some(unresolved) = unresolved(&backend.target, &service) {
                    let reason = format!("{unresolved}: {}", lost(route.id.kind));
                    self.add(Severity::Notice, key(route), field.clone(), reason);
                }
                self.mirrors(route, &backend.filters, &field, &service);
            }
        }
    }

    fn mirrors<'a>(
        &mut self,
        route: &Route,
        filters: &Filters,
        field: &Field,
        service: &impl Fn(&ObjectName) -> Option<&'a Service>,
    ) {
        for mirror in &filters.mirrors {
            if let Some(unresolved) = unresolved(&mirror.target, service) {
                let reason = format!("{unresolved}: it gets no copies");
                self.add(Severity::Notice, key(route), field.key("filters"), reason);
            }
        }
    }
}

fn unresolved<'a>(
    target: &BackendTarget,
    service: &impl Fn(&ObjectName) -> Option<&'a Service>,
) -> Option<UnresolvedBackend> {
    resolve_backend(target, service).err()
}

/// What becomes of the share of a backend that cannot be used.
fn lost(kind: RouteKind) -> &'static str {
    match kind.is_of_requests() {
        true => "its share of the requests gets 500",
        false => "its share of the connections is refused",
    }
}

fn key(route: &Route) -> Key {
    Key {
        kind: match route.id.kind {
            RouteKind::GrpcRoute => Kind::GrpcRoute,
            RouteKind::HttpRoute => Kind::HttpRoute,
            RouteKind::TlsRoute => Kind::TlsRoute,
            RouteKind::TcpRoute => Kind::TcpRoute,
        },
        name: route.id.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::cluster::files::{Source, review};

    /// What is told of a route beside a Service `shop/web` with port 80.
    fn told(kind: &str, spec: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n---\n\
             apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\n\
             spec: {spec}\n"
        );
        let name = "mesh.yaml".into();
        let problems = review(Source::Text { name, text }).unwrap().problems.into_iter();
        problems.map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn what_a_route_names_and_is_not_there_is_told_with_its_line() {
        let spec = |parent: &str, backend: &str| {
            format!(
                "{{parentRefs: [{{group: '', kind: Service, name: {parent}}}], \
                 rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]}}"
            )
        };
        assert_eq!(told("HTTPRoute", &spec("web", "web")), [""; 0]);
        assert_eq!(
            told("HTTPRoute", &spec("wbe", "web")),
            [
                "mesh.yaml:6: HTTPRoute shop/r: spec.parentRefs[0]: there is no Service shop/wbe: it decides nothing there"
            ]
        );
        assert_eq!(
            told("HTTPRoute", &spec("web", "wbe")),
            [
                "mesh.yaml:6: HTTPRoute shop/r: spec.rules[0].backendRefs[0]: there is no Service shop/wbe: its share of \
                 the requests gets 500"
            ]
        );
        assert_eq!(told("TCPRoute", &spec("web", "web")), [""; 0]);
        assert_eq!(
            told("TCPRoute", &spec("web", "wbe")),
            [
                "mesh.yaml:6: TCPRoute shop/r: spec.rules[0].backendRefs[0]: there is no Service shop/wbe: its share of \
                 the connections is refused"
            ]
        );
    }
}
