//! Load balancers of others that put an endpoint in place of a service's address in connect() (Cilium, Calico).
//!
//! Programs of a child run before those of its ancestors. So where there are others, ours marks at the pods' cgroup and
//! writes down where the pod wants to go; the others then change it; and the last to run, above them, puts it back. The
//! others' own view of the socket then is that of a connection which they never touched.

use agent_common::names::program::{CONNECT4, CONNECT6, KEEP4, KEEP6, LEARN4, LEARN6};

use super::{
    KernelError,
    attached::{self, Hook},
    cgroup::Cgroup,
};

/// What runs in a connect() of a pod, both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Running([Vec<u32>; 2]);

/// The ids of this agent's programs at one hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ours {
    pub(super) marks: Option<u32>,
    pub(super) keeps: Option<u32>,
}

/// The programs that matter, by what they do, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order(Vec<Role>);

/// What a program does to the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// It is this agent's, and writes the destination down.
    Marks,
    /// It is this agent's, and puts it back.
    Keeps,
    /// It is somebody else's, and may change it.
    Changes(String),
}

/// Whether the agent sees where pods connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// Nobody else is there.
    Clear,
    /// Others are there, and what they change is put back.
    Kept,
    /// Others change it, and it cannot be put back as the programs stand.
    Changed,
}

// === impl Running ===

impl Running {
    /// Asks the kernel.
    pub(super) fn at(cgroup: &Cgroup) -> Result<Self, KernelError> {
        let running = |hook| attached::running(cgroup, hook).map_err(KernelError::Query);
        Ok(Self([running(Hook::Connect4)?, running(Hook::Connect6)?]))
    }

    /// The programs of both hooks by what they do.
    pub(super) fn orders(&self, ours: [Ours; 2]) -> [Order; 2] {
        let [v4, v6] = &self.0;
        [
            Order::of(v4, ours[0], attached::name),
            Order::of(v6, ours[1], attached::name),
        ]
    }
}

// === impl Order ===

impl Order {
    /// Another agent's programs, which mark pods of its own, are told by their name.
    fn of(ids: &[u32], ours: Ours, name: impl Fn(u32) -> Option<String>) -> Self {
        let role = |id: &u32| match *id {
            id if ours.marks == Some(id) => Some(Role::Marks),
            id if ours.keeps == Some(id) => Some(Role::Keeps),
            id => name(id)
                .filter(|name| !NAMES.contains(&name.as_str()))
                .map(Role::Changes),
        };
        Self(ids.iter().filter_map(role).collect())
    }

    /// The names of others' programs.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|role| match role {
            Role::Changes(name) => Some(name.as_str()),
            Role::Marks | Role::Keeps => None,
        })
    }

    /// What the order means.
    pub(super) fn view(&self) -> View {
        let is_other = |role: &Role| matches!(role, Role::Changes(_));
        let (Some(first), Some(last)) = (self.0.iter().position(is_other), self.0.iter().rposition(is_other)) else {
            return View::Clear;
        };
        if self.0[..first].contains(&Role::Marks) && self.0[last..].contains(&Role::Keeps) {
            View::Kept
        } else {
            View::Changed
        }
    }
}

/// The names of Weft's own programs at these hooks.
pub(super) const NAMES: [&str; 6] = [CONNECT4, CONNECT6, KEEP4, KEEP6, LEARN4, LEARN6];

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ours = Ours {
        marks: Some(1),
        keeps: Some(2),
    };

    fn order(ids: &[u32]) -> Order {
        Order::of(ids, OURS, |id| match id {
            30.. => Some("cil_sock4_connec".to_owned()),
            20.. => Some(CONNECT4.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn the_view_is_clear_while_nobody_else_is_there() {
        assert_eq!(order(&[]).view(), View::Clear);
        assert_eq!(order(&[1]).view(), View::Clear);
        // Agents of other nodes on this kernel.
        assert_eq!(order(&[20, 1, 21]).view(), View::Clear);
    }

    #[test]
    fn others_between_ours_change_nothing_that_is_not_put_back() {
        assert_eq!(order(&[1, 30, 31, 2]).view(), View::Kept);
        assert_eq!(order(&[1, 20, 30, 21, 2]).view(), View::Kept);
        assert!(order(&[1, 30, 2]).others().eq(["cil_sock4_connec"]));
    }

    #[test]
    fn others_before_or_behind_ours_have_their_way() {
        assert_eq!(order(&[30, 1]).view(), View::Changed);
        assert_eq!(order(&[1, 30]).view(), View::Changed);
        assert_eq!(order(&[30, 1, 31, 2]).view(), View::Changed);
        assert_eq!(order(&[1, 30, 2, 31]).view(), View::Changed);
    }
}
