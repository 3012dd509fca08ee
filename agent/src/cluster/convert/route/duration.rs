//! Durations as the Gateway API writes them (GEP-2257): `1h30m`, `250ms`.

use std::time::Duration;

use crate::cluster::field::{Field, Findings};

/// Reads a duration.
pub(super) fn duration(written: Option<String>, field: &Field, findings: &mut Findings) -> Option<Duration> {
    let written = written?;
    let parsed = parse(&written).ok_or_else(|| format!("`{written}` is not a duration such as 1m30s or 250ms"));
    findings.accept(field, parsed)
}

/// The same, where none at all is meant by 0.
pub(super) fn limit(written: Option<String>, field: &Field, findings: &mut Findings) -> Option<Duration> {
    duration(written, field, findings).filter(|duration| !duration.is_zero())
}

fn parse(written: &str) -> Option<Duration> {
    let mut rest = written;
    let mut total = Duration::ZERO;
    for part in 0.. {
        if rest.is_empty() && part > 0 {
            return Some(total);
        }
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest.get(..digits).filter(|digits| digits.len() <= 5)?.parse().ok()?;
        let unit_and_rest = rest.get(digits..)?;
        let (unit, after) = UNITS
            .iter()
            .find_map(|(unit, millis)| Some((millis, unit_and_rest.strip_prefix(unit)?)))?;
        total += Duration::from_millis(number * unit);
        rest = after;
        if part == MOST_PARTS {
            return None;
        }
    }
    None
}

/// `ms` before `m`, of which it is the longer.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

const MOST_PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_and_anything_else_is_refused() {
        for (written, millis) in [("10s", 10_000), ("1h30m", 5_400_000), ("1s500ms", 1500), ("0s", 0)] {
            assert_eq!(parse(written), Some(Duration::from_millis(millis)), "{written}");
        }
        for refused in ["", "1", "s", "-1s", "1.5s", "1d", "123456s", "1s1s1s1s1s"] {
            assert_eq!(parse(refused), None, "{refused}");
        }
    }
}
