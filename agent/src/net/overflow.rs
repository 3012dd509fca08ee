//! How many connections a namespace's listeners had no room for.

use std::fs;

use super::{NetError, NetNs};

/// Counts, since the namespace exists, the connections dropped because a listener's backlog was full.
pub fn listen_overflows(netns: &NetNs) -> Result<u64, NetError> {
    let counters = netns
        .run(|| fs::read_to_string(NETSTAT))?
        .map_err(|source| NetError::Open {
            path: NETSTAT.into(),
            source,
        })?;
    Ok(counter(&counters, "TcpExt:", "ListenOverflows").unwrap_or(0))
}

/// Reads a counter of a file that has lines of names, each followed by a line of values.
fn counter(counters: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = counters
        .lines()
        .filter_map(|line| line.strip_prefix(group))
        .map(str::split_whitespace);
    let position = lines.next()?.position(|other| other == name)?;
    lines.next()?.nth(position)?.parse().ok()
}

const NETSTAT: &str = "/proc/thread-self/net/netstat";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let counters = "TcpExt: A ListenOverflows B\nTcpExt: 1 2 3\nIpExt: ListenOverflows\nIpExt: 9\n";

        assert_eq!(counter(counters, "TcpExt:", "ListenOverflows"), Some(2));
        assert_eq!(counter(counters, "IpExt:", "ListenOverflows"), Some(9));
        assert_eq!(counter(counters, "TcpExt:", "None"), None);
    }
}
