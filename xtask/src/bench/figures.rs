//! Medians, and ratios within a round.

use super::{load::Load, rounds::Sample, target::Way};

/// A way compared with another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub(super) of: Way,
    pub(super) to: Way,
}

/// The value in the middle; none of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The value below which so many of a hundred sorted ones lie; none of none.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * percent / 100).min(last)).copied()
}

/// The median of a value over a way's samples.
pub(super) fn middle(samples: &[Sample], way: Way, load: Load, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    median(of(samples, way, load).filter_map(value))
}

// === impl Ratio ===

impl Ratio {
    /// The median of the rounds' ratios: what slows the machine for a round falls out of it.
    pub(super) fn middle(&self, samples: &[Sample], load: Load, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let ratios = of(samples, self.of, load).filter_map(|sample| {
            let other = of(samples, self.to, load).find(|other| other.round == sample.round)?;
            Some(value(sample)? / value(other)?)
        });
        median(ratios)
    }
}

fn of(samples: &[Sample], way: Way, load: Load) -> impl Iterator<Item = &Sample> {
    samples
        .iter()
        .filter(move |sample| sample.way == way && sample.load == load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{target::Kind, topology::Place};

    #[test]
    fn a_median_is_the_value_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_percentile_has_so_many_below_it() {
        let values: Vec<_> = (0..200).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(100.0));
        assert_eq!(percentile(&values, 99), Some(198.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_slow_round_does_not_change_a_ratio() {
        let (weft, floor) = (
            Way::new(Kind::Weft, Place::SameNode),
            Way::new(Kind::Floor, Place::SameNode),
        );
        let samples: Vec<_> = [(1, 10.0), (2, 40.0), (3, 10.0)]
            .into_iter()
            .flat_map(|(round, cpu)| [mk_sample(round, floor, cpu), mk_sample(round, weft, cpu * 1.1)])
            .collect();
        let ratio = Ratio { of: weft, to: floor }.middle(&samples, Load::Bulk, |sample| sample.cpu);
        assert!((ratio.unwrap() - 1.1).abs() < 1e-9);
    }

    fn mk_sample(round: usize, way: Way, cpu: f64) -> Sample {
        Sample {
            round,
            way,
            load: Load::Bulk,
            rate: 1.0,
            latency: None,
            cpu: Some(cpu),
            user_share: None,
            syscalls: None,
            errors: 0,
        }
    }
}
