//! The pace of repairs. What the thread does is seen in network namespaces, with the real binary.

use super::*;

#[test]
fn a_few_repairs_are_made_at_once_and_a_fight_gets_longer_and_longer_rests() {
    let mut now = Instant::now();
    let mut pace = Pace::default();
    let mut rests = Vec::new();
    for _ in 0..8 {
        pace.repaired(now);
        now += Duration::from_millis(100);
        rests.push(pace.pause(now));
    }
    let seconds = Duration::from_secs;
    assert_eq!(
        rests,
        [
            BURST,
            BURST,
            BURST,
            seconds(1),
            seconds(2),
            seconds(4),
            seconds(8),
            seconds(16)
        ]
    );
    for _ in 0..100 {
        pace.repaired(now);
    }
    assert_eq!(pace.pause(now), LAST_REST);
    assert_eq!(pace.pause(now + QUIET), BURST);
    assert_eq!(pace.repaired(now + QUIET), 1);
}
