//! Waiting for a condition. The only place that polls: tests never sleep.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// Waits until the condition holds; panics with `what` when it does not before the deadline.
pub fn until(deadline: Duration, what: impl fmt::Display, mut condition: impl FnMut() -> bool) {
    until_some(deadline, what, || condition().then_some(()));
}

/// Waits until there is a value; panics with `what` when there is none before the deadline.
pub fn until_some<T>(deadline: Duration, what: impl fmt::Display, mut value: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        // The clock is read first: a condition that holds at its last look counts.
        let late = start.elapsed() > deadline;
        if let Some(value) = value() {
            return value;
        }
        assert!(!late, "within {deadline:?} not seen: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Checks that the condition holds all the time.
pub fn holds(period: Duration, what: impl fmt::Display, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < period {
        assert!(condition(), "after {:?} broken: {what}", start.elapsed());
        std::thread::sleep(PAUSE);
    }
}

/// Does a thing until it was done in time once, and panics when it never was: the machine may delay a try, what waits by
/// itself is late in each.
pub fn in_time(limit: Duration, mut took: impl FnMut() -> Duration) {
    let tries: Vec<_> = (0..TRIES).map(|_| took()).take_while(|took| *took > limit).collect();
    assert!(tries.len() < TRIES, "each try took more than {limit:?}: {tries:?}");
}

/// How long anything may take that has no bound of its own.
pub const PATIENCE: Duration = Duration::from_secs(10);

const TRIES: usize = 5;

const PAUSE: Duration = Duration::from_millis(3);
