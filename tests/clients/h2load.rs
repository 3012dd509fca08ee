//! h2load: many streams at once on one connection.

use harness::{App, Outcome, Peer, or_skip};

use super::*;

#[test]
fn h2load_has_an_answer_of_two_hundred_for_each_request_and_a_refusal_for_each_that_a_policy_forbids() {
    let h2load = or_skip!(Peer::H2load.tool());
    everywhere(App::HttpEcho, echoes, |web, at| {
        let url = format!("http://{at}/words");
        let load = |requests: &str| {
            let limit = wait::PATIENCE.as_secs().to_string();
            // Of an address of IPv6 it makes an authority without brackets, which is none.
            let host = "--header=:authority: web";
            let of = [
                host,
                "--clients=1",
                "--max-concurrent-streams=100",
                "--connection-active-timeout",
                &limit,
            ];
            h2load.run(&web.client, &[&of[..], &["--requests", requests, &url]].concat())
        };
        let all = REQUESTS.to_string();
        assert_eq!(
            counted(&load(&all)),
            Counts {
                good: REQUESTS,
                refused: 0
            }
        );
        denied(&web.mesh, || {
            let first = Counts { good: 0, refused: 1 };
            wait::until(wait::PATIENCE, "the policy holds", || counted(&load("1")) == first);
            assert_eq!(
                counted(&load(&all)),
                Counts {
                    good: 0,
                    refused: REQUESTS
                }
            );
        });
        let first = Counts { good: 1, refused: 0 };
        wait::until(wait::PATIENCE, "the policy is gone", || counted(&load("1")) == first);
    });
}

/// Answers by the class of their status.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    /// 2xx.
    good: usize,
    /// 4xx.
    refused: usize,
}

/// What it counted; nothing may have gone another way.
fn counted(outcome: &Outcome) -> Counts {
    let line = |begin: &str| -> Vec<usize> {
        let found = outcome.stdout.lines().find_map(|line| line.strip_prefix(begin));
        let words = found.unwrap_or_else(|| panic!("{outcome:?}")).split([' ', ',']);
        words.filter_map(|word| word.parse().ok()).collect()
    };
    // Total, started, done, succeeded, failed, errored, timeout; 2xx, 3xx, 4xx, 5xx.
    let (requests, statuses) = (line("requests: "), line("status codes: "));
    let (good, refused) = (statuses[0], statuses[2]);
    let total = good + refused;
    assert_eq!(requests, [total, total, total, good, refused, 0, 0], "{outcome:?}");
    assert_eq!(statuses, [good, 0, refused, 0], "{outcome:?}");
    Counts { good, refused }
}

const REQUESTS: usize = 2000;
