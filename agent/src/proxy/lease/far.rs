//! The far end of a lease: at the listener of the pod that is reached.

use tokio::io::AsyncWriteExt as _;

use super::{Claim, near::closed};
use crate::proxy::captured::Captured;

/// Says what the near end waits for, and keeps the connection until that gives it up or the pod leaves.
pub(in super::super) async fn serve_far_end(captured: Captured, claim: Claim) {
    let Captured { mut stream, arrival } = captured;
    let closing = arrival.door().closing.clone();
    if stream.write_all(&claim.nonce.0).await.is_ok() {
        tokio::select! {
            () = closing.cancelled() => {}
            () = claim.given_up.cancelled() => {}
            () = closed(&stream) => {}
        }
    }
}
