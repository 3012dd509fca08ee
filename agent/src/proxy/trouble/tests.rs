//! Dials of one silent endpoint, in paused time.

use std::{
    future::{pending, ready},
    pin::pin,
};

use tokio::{join, time::sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn dials_that_wait_for_the_same_endpoint_end_with_the_first() {
    let troubles = Troubles::default();
    let start = Instant::now();

    let ends = join!(
        dial_in_vain(&troubles, 0),
        dial_in_vain(&troubles, 1),
        dial_in_vain(&troubles, 4)
    );

    assert_eq!(ends, (start + LONGEST, start + LONGEST, start + LONGEST));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_one_dial_gives_the_others_their_own_time() {
    let troubles = Troubles::default();
    let start = Instant::now();
    let answered = async {
        let dialling = async {
            sleep(Duration::from_secs(4)).await;
            Ok(())
        };
        troubles.dial(address(), LONGEST, pin!(dialling)).await.unwrap();
        Instant::now()
    };
    let late = async {
        sleep(Duration::from_secs(3)).await;
        dial_in_vain(&troubles, 0).await
    };

    let ends = join!(answered, late);

    assert_eq!(
        ends,
        (start + Duration::from_secs(4), start + Duration::from_secs(3) + LONGEST)
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_not_dialled_again_for_a_moment() {
    let troubles = Troubles::default();
    dial_in_vain(&troubles, 0).await;

    let at_once = dial(&troubles, Ok(())).await;
    sleep(NOT_DIALLED_AGAIN).await;
    let later = dial(&troubles, Ok(())).await;

    assert_eq!((at_once, later), (Err(Denied::UpstreamTimeout), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_is_dialled_again_at_once_but_picked_last_for_a_while() {
    let troubles = Troubles::default();
    let refused = dial(&troubles, Err(Denied::UpstreamRefused));
    assert_eq!(refused.await, Err(Denied::UpstreamRefused));

    assert_eq!(troubles.recent(), [address()]);
    sleep(PICKED_LAST).await;
    assert_eq!(troubles.recent(), []);

    let refused = dial(&troubles, Err(Denied::UpstreamRefused));
    assert_eq!(refused.await, Err(Denied::UpstreamRefused));
    assert_eq!(dial(&troubles, Ok(())).await, Ok(()));
    assert_eq!(troubles.recent(), []);
}

#[tokio::test(start_paused = true)]
async fn the_agents_own_failures_are_not_the_endpoints() {
    let troubles = Troubles::default();

    let failed = dial(&troubles, Err(Denied::PortsExhausted));

    assert_eq!(failed.await, Err(Denied::PortsExhausted));
    assert!(troubles.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_given_up_leaves_nothing() {
    let troubles = Troubles::default();

    let given_up = timeout(Duration::from_secs(1), dial_in_vain(&troubles, 0)).await;

    assert!(given_up.is_err());
    assert!(troubles.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_memory_is_bounded() {
    let troubles = Troubles::default();

    for port in 0..2 * MOST_TROUBLES {
        let address = SocketAddr::from(([10, 0, 0, 1], u16::try_from(port).unwrap()));
        troubles.learn(address, &Err::<(), _>(Denied::UpstreamRefused));
    }

    assert_eq!(troubles.lock().len(), MOST_TROUBLES);
}

/// Dials an endpoint that answers at once.
async fn dial(troubles: &Troubles, answer: Result<(), Denied>) -> Result<(), Denied> {
    troubles.dial(address(), LONGEST, pin!(ready(answer))).await
}

/// Dials `after` so many seconds and tells when that ended.
async fn dial_in_vain(troubles: &Troubles, after: u64) -> Instant {
    sleep(Duration::from_secs(after)).await;
    let result = troubles
        .dial(address(), LONGEST, pin!(pending::<Result<(), Denied>>()))
        .await;
    assert_eq!(result, Err(Denied::UpstreamTimeout));
    Instant::now()
}

fn address() -> SocketAddr {
    ([10, 0, 0, 1], 80).into()
}

const LONGEST: Duration = Duration::from_secs(5);
