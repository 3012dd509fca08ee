//! The lines of an answer that goes on for as long as its watch.

use std::{pin::Pin, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;
use tokio::time::timeout;

use super::broken::Broken;

/// An answer, read line by line.
pub(super) struct Lines {
    body: Pin<Box<Body>>,
    /// What was read and not yet given out.
    read: BytesMut,
    /// How much of it holds no end of a line.
    searched: usize,
    patience: Duration,
}

// === impl Lines ===

impl Lines {
    /// Reads a body, which may be silent for so long.
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        Self {
            body: Box::pin(body),
            read: BytesMut::new(),
            searched: 0,
            patience,
        }
    }

    /// The next line; none when the server has ended its answer. A line that it has not ended is none.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(end) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(self.searched + end);
                self.read.advance(1);
                self.searched = 0;
                if self.read.is_empty() {
                    // A long line leaves no long buffer behind.
                    self.read = BytesMut::new();
                }
                return Ok(Some(line.freeze()));
            }
            self.searched = self.read.len();
            if self.searched > LONGEST_LINE {
                return Err(Broken::TooLong);
            }
            let frame = timeout(self.patience, self.body.frame());
            let Some(frame) = frame.await.map_err(|_elapsed| Broken::Silent(self.patience))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| Broken::Read(Box::new(error)))?;
            if let Ok(bytes) = frame.into_data() {
                self.read.extend_from_slice(&bytes);
            }
        }
    }
}

/// No object is as long, as etcd takes none of more than a few MiB.
const LONGEST_LINE: usize = 64 << 20;
