//! The flags of certificates: where an agent gets them.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// Who signs the pods' certificates.
#[derive(Args, Clone, Debug)]
pub struct CaClientConfig {
    /// The CA, as https://HOST:PORT [default: one within the agent, for a mesh of one node]
    #[arg(long, value_name = "URL", env = "WEFT_CA", requires = "ca_token", value_parser = address)]
    pub ca: Option<String>,

    /// The file with this node's token, as `weft ca token` has printed it; it is read anew at each connect
    #[arg(long, value_name = "FILE", env = "WEFT_CA_TOKEN", requires = "ca")]
    pub ca_token: Option<PathBuf>,

    /// How long certificates of the CA within the agent live, 1h to 24h
    #[arg(long, value_name = "DURATION", default_value = "4h", env = "WEFT_CERTIFICATE_LIFE", value_parser = certificate_life)]
    pub certificate_life: Duration,
}

/// Why a value is refused.
#[derive(Debug, thiserror::Error)]
enum InvalidFlag {
    #[error("a CA is written as https://HOST:PORT")]
    Address,
    #[error("certificates live from 1h to 24h")]
    Life,
    #[error(transparent)]
    Duration(#[from] humantime::DurationError),
}

/// Takes `https://HOST:PORT` and gives `HOST:PORT`.
fn address(url: &str) -> Result<String, InvalidFlag> {
    let rest = url.strip_prefix("https://").ok_or(InvalidFlag::Address)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').ok_or(InvalidFlag::Address)?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    if is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
        Ok(rest.to_owned())
    } else {
        Err(InvalidFlag::Address)
    }
}

/// Takes 1h to 24h.
fn certificate_life(text: &str) -> Result<Duration, InvalidFlag> {
    let life = humantime::parse_duration(text)?;
    if (SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
        Ok(life)
    } else {
        Err(InvalidFlag::Life)
    }
}

const SHORTEST_LIFE: Duration = Duration::from_secs(3600);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_an_https_url_of_host_and_port() {
        assert_eq!(address("https://10.0.0.1:15012").expect("valid"), "10.0.0.1:15012");
        assert_eq!(address("https://[fd00::1]:15012/").expect("valid"), "[fd00::1]:15012");
        for bad in [
            "10.0.0.1:1",
            "http://ca:1",
            "https://ca",
            "https://:1",
            "https://ca:0",
            "https://ca:1/x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_life_is_one_to_twenty_four_hours() {
        for good in ["1h", "4h", "24h"] {
            certificate_life(good).expect("valid");
        }
        for bad in ["59m", "25h", "4", ""] {
            assert!(certificate_life(bad).is_err(), "{bad}");
        }
    }
}
