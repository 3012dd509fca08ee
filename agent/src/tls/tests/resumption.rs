//! Who comes back by a ticket, and who must not.

use super::*;
use crate::telemetry::Denied;

struct Two {
    ca: SampleCa,
    theirs: Identities,
    ours: Identities,
    cart: Pod,
    web: Pod,
}

/// A client and a server on two nodes, which have met once.
async fn acquainted() -> Two {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let ca = SampleCa::new();
    let theirs = ca.identities(&[&cart]);
    let ours = ca.identities(&[&web]);
    let two = Two {
        ca,
        theirs,
        ours,
        cart,
        web,
    };
    assert!(!two.meet().await.0.resumed);
    two
}

impl Two {
    async fn meet(&self) -> (Established, Established) {
        established(
            &of(&self.theirs, &self.cart),
            &of(&self.ours, &self.web),
            &expect(&self.web),
        )
        .await
    }
}

#[tokio::test]
async fn a_client_comes_back_by_its_ticket_and_is_known_as_before() {
    let two = acquainted().await;
    for _again in 0..3 {
        let (dialled, accepted) = two.meet().await;
        assert!(dialled.resumed && accepted.resumed);
        assert_eq!(
            (dialled.peer.uid, accepted.peer.uid),
            (two.web.uid.clone(), two.cart.uid.clone())
        );
    }
}

#[tokio::test]
async fn a_client_that_is_to_remember_nobody_shakes_hands_in_full() {
    let two = acquainted().await;
    let forgetful = of(&two.theirs, &two.cart).forgetful();
    for _again in 0..2 {
        let (dialled, accepted) = established(&forgetful, &of(&two.ours, &two.web), &expect(&two.web)).await;
        assert!(!dialled.resumed && !accepted.resumed);
    }
    assert!(two.meet().await.0.resumed, "others still do");
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_at_another_pod_of_the_same_name() {
    let two = acquainted().await;
    // The same UID and address, and another certificate: the ticket's key is not there.
    let impostor = two.ca.identities(&[&two.web]);
    let (dialled, accepted) =
        established(&of(&two.theirs, &two.cart), &of(&impostor, &two.web), &expect(&two.web)).await;
    assert!(!dialled.resumed && !accepted.resumed);
}

#[tokio::test]
async fn a_ticket_of_one_pod_is_unknown_to_another_on_its_node() {
    let two = acquainted().await;
    let mate = mk_pod("mate", "10.0.0.3");
    two.ca.issue(&two.theirs, &two.ca.grant(&mate), an_hour());
    let (dialled, _accepted) = established(&of(&two.theirs, &mate), &of(&two.ours, &two.web), &expect(&two.web)).await;
    assert!(!dialled.resumed, "sessions belong to one source pod");
}

#[tokio::test]
async fn a_renewed_certificate_begins_anew() {
    let two = acquainted().await;
    two.ca.issue(&two.theirs, &two.ca.grant(&two.cart), an_hour());
    assert!(!two.meet().await.0.resumed);
    assert!(two.meet().await.0.resumed);
}

#[tokio::test]
async fn a_denied_client_is_refused_with_its_ticket_even_by_old_credentials() {
    let two = acquainted().await;
    let old = of(&two.ours, &two.web);
    let denial = Denial::Pod(two.cart.uid.clone());
    two.ca.trust(&two.ours, DenyList::from_iter([denial.clone()]));
    let (_dialled, accepted) = shake(&of(&two.theirs, &two.cart), &old, &expect(&two.web)).await;
    let error = accepted.expect_err("denied");
    assert_eq!(error.denied(), Denied::IdentityDenied);
    assert!(matches!(error, TlsError::Refused(Refused::Denied(found)) if found == denial));
}

#[tokio::test]
async fn a_root_that_has_left_is_refused_with_its_tickets_on_both_sides() {
    let two = acquainted().await;
    let (old_client, old_server) = (of(&two.theirs, &two.cart), of(&two.ours, &two.web));
    let (_dialled, accepted) = two.meet().await;
    let successor = SampleCa::new();
    successor.trust(&two.ours, DenyList::default());
    assert!(two.ours.refuses(&accepted.peer), "what is open is cut");
    let (_dialled, accepted) = shake(&old_client, &old_server, &expect(&two.web)).await;
    assert_eq!(
        accepted.expect_err("its root has left").denied(),
        Denied::PeerNotVerified
    );
    let (_dialled, accepted) = shake(&old_client, &of(&two.ours, &two.web), &expect(&two.web)).await;
    assert_eq!(
        accepted.expect_err("its root has left").denied(),
        Denied::PeerNotVerified
    );

    let two = acquainted().await;
    let (old_client, old_server) = (of(&two.theirs, &two.cart), of(&two.ours, &two.web));
    successor.trust(&two.theirs, DenyList::default());
    let (dialled, _accepted) = shake(&old_client, &old_server, &expect(&two.web)).await;
    assert_eq!(
        dialled.expect_err("its root has left").denied(),
        Denied::PeerNotVerified
    );
}
