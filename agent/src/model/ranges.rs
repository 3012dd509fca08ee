//! Ranges of addresses, of which there may be as many as pods.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Ranges of addresses, joined where they can be: none overlaps another, and they ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>")]
pub struct Ranges(Vec<IpNet>);

// === impl Ranges ===

impl Ranges {
    /// Whether one of them has the address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let after = self.0.partition_point(|range| range.network() <= ip);
        self.0[..after].last().is_some_and(|range| range.contains(&ip))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

impl From<Vec<IpNet>> for Ranges {
    fn from(ranges: Vec<IpNet>) -> Self {
        let mut joined = IpNet::aggregate(&ranges);
        joined.sort_by_key(IpNet::network);
        Self(joined)
    }
}

impl FromIterator<IpNet> for Ranges {
    fn from_iter<T: IntoIterator<Item = IpNet>>(ranges: T) -> Self {
        ranges.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::mk_ip;

    fn mk_ranges(ranges: &[&str]) -> Ranges {
        ranges.iter().map(|range| range.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn an_address_is_found_in_ranges_of_its_family_however_they_are_written() {
        let ranges = mk_ranges(&[
            "fd00:2::/64",
            "10.1.2.3/16",
            "10.1.7.0/24",
            "10.9.0.1/32",
            "fd00:1::1/128",
            "192.168.0.0/24",
        ]);
        for inside in [
            "10.1.0.0",
            "10.1.255.255",
            "10.9.0.1",
            "192.168.0.9",
            "fd00:2::9",
            "fd00:1::1",
        ] {
            assert!(ranges.contains(mk_ip(inside)), "{inside}");
        }
        for outside in [
            "10.0.255.255",
            "10.2.0.0",
            "10.9.0.2",
            "0.0.0.0",
            "fd00:1::2",
            "fd00:3::",
            "::",
        ] {
            assert!(!ranges.contains(mk_ip(outside)), "{outside}");
        }
        assert!(!Ranges::default().contains(mk_ip("10.0.0.1")));
    }

    #[test]
    fn single_addresses_in_a_row_are_one_range() {
        let ranges = mk_ranges(&[
            "10.0.0.3/32",
            "10.0.0.2/32",
            "10.0.0.0/32",
            "10.0.0.1/32",
            "10.0.0.2/32",
        ]);
        assert_eq!(ranges, mk_ranges(&["10.0.0.0/30"]));
        assert_eq!(ranges.iter().count(), 1);
    }
}
