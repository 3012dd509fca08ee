//! How a cluster's machines are connected: a bridge in the control plane's namespace, a link to each node, one to the host.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A network that the host can reach: its number keeps clusters of one host apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet(u8);

/// A node's ranges for its pods, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its addresses, IPv4 first.
    pub addresses: [IpAddr; 2],
    /// The ranges of its pods, IPv4 first.
    pub pods: [String; 2],
}

// === impl Subnet ===

impl Subnet {
    /// The subnet of the cluster with this name, the same each time.
    pub fn of(name: &str) -> Self {
        let sum = name
            .bytes()
            .fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Self(sum)
    }

    /// The address of the control plane.
    pub fn control_plane(self) -> [IpAddr; 2] {
        self.host(1)
    }

    /// Where a node is, counted from 1.
    pub fn node(self, number: u8) -> Site {
        Site {
            addresses: self.host(10 + number),
            pods: [format!("10.244.{number}.0/24"), format!("fd77:6566:74:24{number}::/64")],
        }
    }

    fn machine(self) -> [IpAddr; 2] {
        self.host(254)
    }

    fn host(self, host: u8) -> [IpAddr; 2] {
        let number = u16::from(self.0);
        [
            Ipv4Addr::new(10, 213, self.0, host).into(),
            Ipv6Addr::new(0xfd77, 0x6566, 0x74, 0xa00 + number, 0, 0, 0, host.into()).into(),
        ]
    }
}

/// The path of a named network namespace.
pub(crate) fn namespace(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Makes the namespaces and links; `prefix` begins every name.
pub(crate) fn create(prefix: &str, subnet: Subnet, nodes: u8) -> Result<()> {
    let control = format!("{prefix}-control");
    let [host4, host6] = subnet.machine();
    let [control4, control6] = subnet.control_plane();
    ip(
        None,
        &format!(
            "netns add {control}\n\
             link add {prefix} type veth peer name host netns {control}\n\
             address add {host4}/24 dev {prefix}\naddress add {host6}/64 dev {prefix} nodad\nlink set {prefix} up\n"
        ),
    )
    .with_context(|| format!("the cluster's network {host4}/24 cannot be made; another --name gives another"))?;
    ip(
        Some(&control),
        &format!(
            "link set lo up\n\
             link add br0 type bridge mcast_snooping 0\n\
             address add {control4}/24 dev br0\naddress add {control6}/64 dev br0 nodad\nlink set br0 up\n\
             link set host master br0 up\n"
        ),
    )?;
    let sites: Vec<_> = (1..=nodes).map(|number| subnet.node(number)).collect();
    ip(Some(&control), &routes(&sites, None))?;
    for (number, site) in (1..).zip(&sites) {
        let node = format!("{prefix}-node-{number}");
        let [own4, own6] = site.addresses;
        ip(
            None,
            &format!("netns add {node}\nlink add eth0 netns {node} type veth peer name node{number} netns {control}\n"),
        )?;
        ip(Some(&control), &format!("link set node{number} master br0 up\n"))?;
        ip(
            Some(&node),
            &format!(
                "link set lo up\n\
                 address add {own4}/24 dev eth0\naddress add {own6}/64 dev eth0 nodad\nlink set eth0 up\n\
                 route add default via {control4}\nroute add default via {control6}\n{}",
                routes(&sites, Some(site))
            ),
        )?;
    }
    Ok(())
}

/// Removes what [`create`] made, as far as it is there.
pub(crate) fn remove(prefix: &str, nodes: u8) -> Result<()> {
    let machines = (1..=nodes).map(|number| format!("{prefix}-node-{number}"));
    if Path::new("/sys/class/net").join(prefix).exists() {
        ip(None, &format!("link delete {prefix}\n"))?;
    }
    for machine in machines.chain([format!("{prefix}-control")]) {
        if namespace(&machine).exists() {
            ip(None, &format!("netns delete {machine}\n"))?;
        }
    }
    Ok(())
}

/// The ways to the pods of each site but `own`.
fn routes(sites: &[Site], own: Option<&Site>) -> String {
    let others = sites.iter().filter(|site| Some(*site) != own);
    let route = |(pods, via): (&String, IpAddr)| format!("route add {pods} via {via}\n");
    others
        .flat_map(|site| site.pods.iter().zip(site.addresses).map(route))
        .collect()
}

/// Runs lines of `ip -batch`, in a namespace or on the host.
fn ip(namespace: Option<&str>, batch: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    ip.args(namespace.map(|name| ["-netns", name]).into_iter().flatten());
    let child = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.context("cannot start ip (iproute2)")?;
    let mut stdin = child.stdin.take().context("the standard input is a pipe")?;
    stdin
        .write_all(batch.as_bytes())
        .context("ip does not read its lines")?;
    drop(stdin);
    let output = child.wait_with_output().context("cannot wait for ip")?;
    if !output.status.success() {
        bail!("ip: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_routes_to_the_pods_of_others_only() {
        let subnet = Subnet(7);
        let sites = [subnet.node(1), subnet.node(2)];
        assert_eq!(
            routes(&sites, Some(&sites[0])),
            "route add 10.244.2.0/24 via 10.213.7.12\nroute add fd77:6566:74:242::/64 via fd77:6566:74:a07::c\n"
        );
        assert_eq!(routes(&sites, None).lines().count(), 4);
    }
}
