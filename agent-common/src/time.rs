//! Times that the kernel programs compare with `bpf_ktime_get_ns()`, which is CLOCK_MONOTONIC.

use core::time::Duration;

/// How often the agent writes its heartbeat.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_millis(500);

/// The age at which a heartbeat counts as stopped.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);

/// How long a recorded 4-tuple is believed: a SYN is seen within microseconds, and its first retransmission after 1 s.
pub const TUPLE_LIFE: Duration = Duration::from_secs(3);

/// Whether what was written at `then` is younger than `limit` at `now`.
///
/// A `then` that lies ahead of `now` is fresh: it was written by another CPU in between.
#[inline(always)]
pub const fn fresh(then: u64, now: u64, limit: Duration) -> bool {
    now.saturating_sub(then) < limit.as_secs() * 1_000_000_000 + limit.subsec_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_fresh_until_its_limit() {
        let limit = Duration::from_millis(1500);
        assert!(fresh(1_000, 1_000 + 1_499_999_999, limit));
        assert!(!fresh(1_000, 1_000 + 1_500_000_000, limit));
    }

    #[test]
    fn a_time_of_another_cpu_that_lies_ahead_is_fresh() {
        assert!(fresh(1_001, 1_000, HEARTBEAT_LIMIT));
    }

    #[test]
    fn a_heartbeat_never_written_is_stale() {
        assert!(!fresh(0, 60_000_000_000, HEARTBEAT_LIMIT));
    }
}
