//! Policies for what a namespace sends.

use super::{super::*, ip, namespace};

const MARK: u32 = 0x1000_0000;
const MASK: u32 = 0x3000_0000;

fn policy(verdict: SendVerdict, source: Option<&str>) -> SendPolicy {
    SendPolicy {
        verdict,
        source: source.map(|ip| ip.parse().unwrap()),
        destination: "2001:db8::4".parse().unwrap(),
        mark: MARK,
        mask: MASK,
    }
}

#[test]
fn policies_are_added_listed_and_deleted_however_often() {
    let Some(netns) = namespace("policies_are_added_listed_and_deleted_however_often") else {
        return;
    };
    let ours = [
        policy(SendVerdict::Pass, Some("2001:db8::4")),
        policy(SendVerdict::Silence, None),
    ];

    for policy in ours.iter().chain(&ours) {
        policy.add(&netns).unwrap();
    }
    let mut listed = SendPolicy::list(&netns, MARK, MASK).unwrap();
    listed.sort();
    assert_eq!(listed, ours);
    for policy in ours.iter().chain(&ours) {
        policy.delete(&netns).unwrap();
    }
    assert_eq!(SendPolicy::list(&netns, MARK, MASK).unwrap(), []);
}

#[test]
fn policies_of_others_are_not_listed() {
    let Some(netns) = namespace("policies_of_others_are_not_listed") else {
        return;
    };
    ip(
        &netns,
        "xfrm policy add src ::/0 dst 2001:db8::/64 dir out action block mark 0x10000000 mask 0x30000000",
    );
    ip(
        &netns,
        "xfrm policy add src ::/0 dst 2001:db8::4/128 dir in action block mark 0x10000000 mask 0x30000000",
    );
    ip(
        &netns,
        "xfrm policy add src ::/0 dst 2001:db8::4/128 dir out action block mark 0x1 mask 0x1",
    );
    ip(
        &netns,
        "xfrm policy add src 10.0.0.0/8 dst 10.0.0.4/32 dir out action block mark 0x10000000 mask 0x30000000",
    );
    ip(
        &netns,
        "xfrm policy add src ::/0 dst 2001:db8::4/128 dir out action block mark 0x10000000 mask 0x30000000",
    );

    let listed = SendPolicy::list(&netns, MARK, MASK).unwrap();

    assert_eq!(listed, [policy(SendVerdict::Silence, None)]);
}
