//! What the container runtime says, taken in: the next reconciliation makes the kernel be so.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Change, ContainerId, Departure, Kernel, SandboxNews, capture::Capture, desired::Desired, run::Stopped};
use crate::{model::PodUid, net::NetNs};

impl Kernel {
    /// Takes in what the runtime says of a pod's sandbox: the next reconciliation captures it.
    pub(super) async fn hear(
        &mut self,
        news: SandboxNews,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
    ) -> Result<(), Stopped> {
        match news {
            SandboxNews::Up(sandbox) => {
                // It is to be tried at once.
                self.waiting.remove(&sandbox.uid);
                let before = self.captures.get(&sandbox.uid);
                let moved = before.is_some_and(|capture| capture.netns != sandbox.netns);
                let gone = moved.then(|| (sandbox.uid.clone(), Departure::Gone));
                Arc::make_mut(&mut self.sandboxes).begin(sandbox);
                self.release(gone.into_iter().collect(), desired, changes).await
            }
            SandboxNews::Down { container, netns, done } => {
                self.close_sandbox(&container, netns, desired, changes).await?;
                // Whoever asked may have gone.
                let _ = done.send(());
                Ok(())
            }
            SandboxNews::Only(containers) => {
                for container in self.sandboxes.others(&containers) {
                    self.close_sandbox(&container, None, desired, changes).await?;
                }
                Ok(())
            }
        }
    }

    async fn close_sandbox(
        &mut self,
        container: &ContainerId,
        netns: Option<NetNs>,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
    ) -> Result<(), Stopped> {
        let told = Arc::make_mut(&mut self.sandboxes).end(container);
        let Some(cookie) = told.or(netns).and_then(|netns| netns.cookie().ok()) else {
            return Ok(());
        };
        let in_it = |(_, capture): &(&PodUid, &Capture)| capture.cookie == cookie;
        let Some(uid) = self.captures.iter().find(in_it).map(|(uid, _)| uid.clone()) else {
            return Ok(());
        };
        // Processes may be left in it, by which it would be found again.
        Arc::make_mut(&mut self.sandboxes).close(uid.clone(), cookie);
        self.release(vec![(uid, Departure::Gone)], desired, changes).await
    }
}
