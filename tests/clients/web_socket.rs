//! Python's library of WebSockets.

use harness::{App, Peer, WebSocket, or_skip};
use serde_json::{Value, json};

use super::*;

#[test]
fn pythons_websockets_speak_through_the_mesh_and_are_told_when_they_may_not() {
    let python = or_skip!(Peer::Python.tool());
    let speaks = |stream| WebSocket::open(stream).is_ok();
    everywhere(App::WebSocket, speaks, |web, at| {
        let url = format!("ws://{at}/chat");
        let chat = || -> Value {
            let outcome = python.run(&web.client, &[CHAT, &url]);
            serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
        };
        let spoken = json!({ "heard": [true, true, true, true], "alive": true, "closed": 1000 });
        assert_eq!(chat(), spoken);
        denied(&web.mesh, || {
            wait::until(wait::PATIENCE, "the policy holds", || {
                chat() == json!({ "status": 403 })
            });
        });
        wait::until(wait::PATIENCE, "the policy is gone", || chat() == spoken);
    });
}

const CHAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/chat.py");
