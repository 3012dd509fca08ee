//! `route`: where routes decide, and what they make of a request or a connection.

use std::fmt::Write as _;

use super::{Context, DebugError, Outcome, arguments::AskedRoute};
use crate::{
    cli::output::{Row, listed, or_dash},
    model::{RouteVerdict, RouteView},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.routes, "routes", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<RouteView>, DebugError> {
    Ok(context.agent()?.get("/mesh/routes")?)
}

/// Asks the agent, whose own routes these are.
pub(super) fn test(context: &mut Context, asked: &AskedRoute) -> Result<Outcome, DebugError> {
    context.live_only("route test")?;
    let verdict: RouteVerdict = context.agent()?.get(&format!("/mesh/routes/test?{}", query(asked)))?;
    context.output.done(&verdict.to_string(), &verdict)?;
    Ok(Outcome::Done)
}

fn query(asked: &AskedRoute) -> String {
    let AskedRoute {
        from,
        to,
        server_name,
        method,
        headers,
    } = asked;
    let opening = match server_name {
        Some(name) => ("server-name", name),
        None => ("method", method),
    };
    let pairs = [("from", from), ("to", to), opening];
    let headers = headers.iter().map(|header| ("header", header));
    let pairs = pairs.into_iter().chain(headers);
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", hex(value))).collect();
    pairs.join("&")
}

/// Whatever stands in a URL or a header, it passes as it is.
fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        // Writing to a text never fails.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Row for RouteView {
    const COLUMNS: &'static [&'static str] = &[
        "KIND", "ROUTE", "SERVICE", "PORT", "CLIENTS", "RULES", "BACKENDS", "MIRRORS",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            format!("{}/{}", self.namespace, self.name),
            self.service.clone(),
            self.port.to_string(),
            or_dash(self.clients.as_deref()),
            self.rules.to_string(),
            listed(&self.backends),
            listed(&self.mirrors),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_tls_asks_by_a_name_alone() {
        let asked = AskedRoute {
            from: "a".to_owned(),
            to: "b".to_owned(),
            server_name: Some("c".to_owned()),
            method: "GET".to_owned(),
            headers: Vec::new(),
        };
        assert_eq!(query(&asked), "from=61&to=62&server-name=63");
        let asked = AskedRoute {
            server_name: None,
            headers: vec!["d: e".to_owned()],
            ..asked
        };
        assert_eq!(query(&asked), "from=61&to=62&method=474554&header=643a2065");
    }

    #[test]
    fn a_route_says_for_whom_it_decides() {
        let route = RouteView {
            kind: "HTTPRoute".to_owned(),
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            service: "shop/cart".to_owned(),
            port: 80,
            clients: None,
            rules: 2,
            backends: vec!["shop/cart:80 weight 9".to_owned(), "shop/cart-2:80 weight 1".to_owned()],
            mirrors: Vec::new(),
        };
        let backends = "shop/cart:80 weight 9,shop/cart-2:80 weight 1";
        assert_eq!(
            route.cells(),
            ["HTTPRoute", "shop/cart", "shop/cart", "80", "-", "2", backends, "-"]
        );
    }
}
