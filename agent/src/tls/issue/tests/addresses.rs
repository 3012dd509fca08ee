//! When a pod's addresses change, or the CA leaves some out.

use super::*;

#[tokio::test(start_paused = true)]
async fn addresses_that_show_later_bring_a_new_certificate() {
    let newborn = Pod {
        ips: Vec::new(),
        ..mk_pod("cart", "10.0.0.1")
    };
    let mut scene = Scene::new(vec![newborn.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let ask = scene.asked().await.remove(0);
    assert!(ask.ips.is_empty());
    scene.issue(&ask, an_hour()).await;
    scene.identities.issued(&newborn.uid).await;
    scene.change(vec![mk_pod("cart", "10.0.0.1")]);
    let ask = scene.asked().await.remove(0);
    assert_eq!(ask.ips, [mk_ip("10.0.0.1")]);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_show_while_an_answer_is_awaited_are_asked_for_as_soon_as_it_comes() {
    let newborn = Pod {
        ips: Vec::new(),
        ..mk_pod("cart", "10.0.0.1")
    };
    let mut scene = Scene::new(vec![newborn.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    for answer in ["issued", "refused"] {
        let ask = scene.asked().await.remove(0);
        let ip = if answer == "issued" { "10.0.0.1" } else { "10.0.0.2" };
        let changed = Pod {
            ips: vec![mk_ip(ip)],
            ..newborn.clone()
        };
        scene.change(vec![changed]);
        let early = timeout(Duration::from_secs(5), scene.words.recv()).await;
        assert!(early.is_err(), "one request of a pod at a time");
        let answered_at = Instant::now();
        match answer {
            "issued" => scene.issue(&ask, an_hour()).await,
            _ => scene.say(None, vec![refused(&ask, "no such pod")]).await,
        }
        let again = scene.asked().await.remove(0);
        assert_eq!(again.ips, [mk_ip(ip)]);
        assert_eq!(answered_at.elapsed(), Duration::ZERO, "after one that was {answer}");
        scene.issue(&again, an_hour()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_that_the_ca_leaves_out_are_asked_for_again_and_more_rarely_each_time() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let mut pauses = Vec::new();
    let mut asked_at = Instant::now();
    for _again in 0..8 {
        let ask = scene.asked().await.remove(0);
        pauses.push(asked_at.elapsed());
        asked_at = Instant::now();
        let without = Ask { ips: Vec::new(), ..ask };
        scene.issue(&without, an_hour()).await;
    }
    assert!(pauses[1] <= Duration::from_secs(1), "{pauses:?}");
    assert!(pauses[7] >= Duration::from_secs(32), "{pauses:?}");
    let ask = scene.asked().await.remove(0);
    let life = Duration::from_secs(3600);
    asked_at = Instant::now();
    scene.issue(&ask, an_hour()).await;
    scene.asked().await;
    assert!(asked_at.elapsed() >= life * 39 / 100, "it has all of them at last");
}
