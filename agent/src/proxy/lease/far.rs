//! The far end of a lease: at the listener of the pod that is reached.

use tokio::io::AsyncWriteExt as _;

use super::{Nonce, near::closed};
use crate::proxy::captured::Captured;

/// Says what the near end waits for, and keeps the connection until that closes it or the pod leaves.
pub(in super::super) async fn serve_far_end(captured: Captured, nonce: Nonce) {
    let Captured { mut stream, arrival } = captured;
    let closing = arrival.door().closing.clone();
    if stream.write_all(&nonce.0).await.is_ok() {
        closing.run_until_cancelled(closed(&stream)).await;
    }
}
