//! Responses that nobody gets.

use std::{rc::Rc, time::Duration};

use http::{Response, header::WWW_AUTHENTICATE};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::{task::spawn_local, time::timeout};

use super::{conversation::Conversation, leg::Leg};

/// Reads a response to its end where that is near, so that its connection can serve on; else the connection is closed, or
/// the stream reset.
pub(super) fn discard(response: Response<Incoming>, mut leg: Leg, conversation: &Rc<Conversation>) {
    conversation.pin_if_bound(response.headers().get(WWW_AUTHENTICATE));
    // Who asked goes on without it.
    leg.release();
    let body = response.into_body();
    if body.is_end_stream() {
        return conversation.give_back(leg);
    }
    let conversation = Rc::downgrade(conversation);
    spawn_local(async move {
        let read = timeout(LONGEST, drain(body, MOST)).await == Ok(true);
        if let Some(conversation) = conversation.upgrade().filter(|_| read) {
            conversation.give_back(leg);
        }
    });
}

/// Reads a body up to so many bytes; whether its end was among them.
pub(super) async fn drain(mut body: Incoming, most: usize) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > most {
            return false;
        }
    }
    true
}

/// How many bytes are read.
const MOST: usize = 64 * 1024;
/// How long is read.
const LONGEST: Duration = Duration::from_secs(1);
