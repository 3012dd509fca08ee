//! Memory that only the start has needed.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use crate::{kernel::Status, net};

/// Waits until the node is as the mesh says, and gives back what was used on the way there.
pub(super) async fn give_back(mut status: watch::Receiver<Arc<Status>>) {
    if status.wait_for(|status| status.generation > 0).await.is_err() {
        return;
    }
    sleep(SETTLING).await;
    match net::give_back_files() {
        Ok(bytes) => tracing::debug!(bytes, "Pages of the start given back"),
        Err(error) => tracing::debug!(%error, "Pages of the start are kept"),
    }
}

/// How long after the first captures certificates come and connections begin.
const SETTLING: Duration = Duration::from_secs(2);
