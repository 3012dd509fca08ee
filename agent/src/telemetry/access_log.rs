//! The access log: one line per connection, written by a thread of its own.
//!
//! Whoever ends a connection only puts its report into a bounded queue. A reader of the log that stalls costs lines,
//! which are counted, and never a connection's time.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{Report, record::Record};

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// One line for people.
    Text,
    /// No lines.
    Off,
}

/// Writes the lines; the last ones are written before it is dropped.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(SystemTime, Report)>,
    closed: bool,
}

// === impl AccessLog ===

impl AccessLog {
    /// A log that writes nothing.
    pub fn off() -> Self {
        Self {
            shared: Arc::default(),
            writer: None,
        }
    }

    /// Starts the thread that writes to `output`, usually standard output.
    pub fn start(format: AccessLogFormat, output: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let line: fn(&Record, &mut Vec<u8>) = match format {
            AccessLogFormat::Off => return Ok(Self::off()),
            AccessLogFormat::Json => json_line,
            AccessLogFormat::Text => text_line,
        };
        let writer = thread::Builder::new().name("access-log".into()).spawn({
            let shared = shared.clone();
            move || shared.write_all(line, output)
        })?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Registers the counter of lines lost.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "weft_access_log_dropped",
            "Lines of the access log that were lost because its reader stalled",
            self.shared.dropped.clone(),
        );
    }

    /// Queues the line of a connection that has just ended.
    pub(super) fn write(&self, report: Report) {
        if self.writer.is_some() {
            self.shared.push(report);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been printed by its thread.
            let _ = writer.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, report: Report) {
        let mut queue = self.lock();
        if queue.waiting.len() >= QUEUE_LIMIT {
            drop(queue);
            self.dropped.inc();
            return;
        }
        queue.waiting.push((SystemTime::now(), report));
        // Only the first one wakes the writer: it gathers for a while before it looks again.
        if queue.waiting.len() == 1 {
            self.wake.notify_one();
        }
    }

    fn write_all(&self, line: fn(&Record, &mut Vec<u8>), mut output: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        loop {
            let (batch, closed) = self.take_batch();
            for (time, report) in &batch {
                line(&Record::new(*time, report), &mut lines);
            }
            let written = output.write_all(&lines).and_then(|()| output.flush());
            if written.is_err() {
                self.dropped.inc_by(batch.len() as u64);
            }
            lines.clear();
            lines.shrink_to(KEPT_LINE_BUFFER);
            if closed {
                return;
            }
        }
    }

    /// Waits for a first report, gathers others for a moment, and takes them all.
    fn take_batch(&self) -> (Vec<(SystemTime, Report)>, bool) {
        let empty = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
        let queue = self.wake.wait_while(self.lock(), empty);
        let queue = queue.unwrap_or_else(PoisonError::into_inner);
        let open = |queue: &mut Queue| !queue.closed;
        let gathered = self.wake.wait_timeout_while(queue, GATHERING_TIME, open);
        let (mut queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        (mem::take(&mut queue.waiting), queue.closed)
    }
}

fn json_line(record: &Record, lines: &mut Vec<u8>) {
    let start = lines.len();
    match serde_json::to_writer(&mut *lines, record) {
        Ok(()) => lines.push(b'\n'),
        // A record holds only strings and numbers, which JSON can say; a half line would spoil the next one.
        Err(_) => lines.truncate(start),
    }
}

fn text_line(record: &Record, lines: &mut Vec<u8>) {
    lines.extend_from_slice(record.to_string().as_bytes());
    lines.push(b'\n');
}

/// How many reports wait at most; about 2 MiB.
const QUEUE_LIMIT: usize = 8192;
/// How long the writer gathers: many connections cost one wake-up and one write.
const GATHERING_TIME: Duration = Duration::from_millis(20);
/// How much of the line buffer is kept between batches.
const KEPT_LINE_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
