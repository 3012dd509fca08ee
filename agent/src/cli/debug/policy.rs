//! `policy`: which policies hold for the node's pods, and what they make of a connection.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::{
        output::{Row, listed, or_dash},
        question::{Asked, all_allowed, told},
    },
    model::{Explanation, PolicyView},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.policies, "policies", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<PolicyView>, DebugError> {
    Ok(context.agent()?.get("/mesh/policies")?)
}

/// Asks the agent, whose own policies these are.
pub(super) fn test(context: &mut Context, asked: Asked) -> Result<Outcome, DebugError> {
    context.live_only("policy test")?;
    let path = format!("/mesh/policies/test?{}", asked.question());
    let explained: Vec<Explanation> = context.agent()?.get(&path)?;
    context.output.done(&told(&explained), &explained)?;
    Ok(if all_allowed(&explained) {
        Outcome::Done
    } else {
        Outcome::Denied
    })
}

impl Row for PolicyView {
    const COLUMNS: &'static [&'static str] =
        &["POD", "KIND", "POLICY", "ACTION", "PORTS", "RULES", "STATE", "PROBLEMS"];

    fn cells(&self) -> Vec<String> {
        let Self {
            pod,
            kind,
            namespace,
            name,
            action,
            ports,
            rules,
            understood,
            problems,
        } = self;
        let ports = if ports.is_empty() {
            "all".to_owned()
        } else {
            listed(ports)
        };
        let state = match (pod, understood) {
            (None, _) => "holds for no pod here",
            (Some(_), true) => "in force",
            (Some(_), false) => "denies: not understood",
        };
        vec![
            or_dash(pod.as_deref()),
            kind.clone(),
            format!("{namespace}/{name}"),
            action.clone(),
            ports,
            rules.to_string(),
            state.to_owned(),
            listed(problems),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_view() -> PolicyView {
        PolicyView {
            pod: Some("shop/cart-0".to_owned()),
            kind: "AuthorizationPolicy".to_owned(),
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            action: "ALLOW".to_owned(),
            ports: vec![80, 81],
            rules: 2,
            understood: true,
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_policy_says_whether_it_is_in_force() {
        let rest = ["shop/cart-0", "AuthorizationPolicy", "shop/cart", "ALLOW"];
        assert_eq!(
            mk_view().cells(),
            [&rest[..], &["80,81", "2", "in force", "-"]].concat()
        );
        let broken = PolicyView {
            understood: false,
            ports: Vec::new(),
            problems: vec!["a.yaml:7: wrong".to_owned()],
            ..mk_view()
        };
        assert_eq!(
            broken.cells(),
            [&rest[..], &["all", "2", "denies: not understood", "a.yaml:7: wrong"]].concat()
        );
    }
}
