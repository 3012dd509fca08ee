//! The log as its reader sees it.

use std::sync::mpsc;

use super::*;
use crate::telemetry::{Direction, Peer, Proof};

#[test]
fn every_line_is_written_before_the_log_is_dropped() {
    let output = Output::default();
    let log = AccessLog::start(AccessLogFormat::Json, Box::new(output.clone())).unwrap();
    for port in 1..=100 {
        log.write(mk_report(port));
    }
    drop(log);
    let sources: Vec<String> = output
        .text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["source"].to_string())
        .collect();
    let expected: Vec<String> = (1..=100).map(|port| format!("\"10.0.0.1:{port}\"")).collect();
    assert_eq!(sources, expected);
}

#[test]
fn a_log_that_is_off_writes_nothing() {
    let output = Output::default();
    let log = AccessLog::start(AccessLogFormat::Off, Box::new(output.clone())).unwrap();
    log.write(mk_report(1));
    drop(log);
    assert_eq!(output.text(), "");
}

#[test]
fn a_stalled_reader_costs_lines_and_no_time() {
    let (unblock, blocked) = mpsc::channel();
    let log = AccessLog::start(AccessLogFormat::Text, Box::new(Stalled(blocked))).unwrap();
    let dropped = log.shared.dropped.clone();
    for _ in 0..3 * QUEUE_LIMIT {
        log.write(mk_report(1));
    }
    assert!(dropped.get() >= QUEUE_LIMIT as u64);
    drop(unblock);
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

struct Stalled(mpsc::Receiver<()>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn mk_report(port: u16) -> Report {
    Report {
        direction: Direction::Outbound,
        source: Peer {
            address: ([10, 0, 0, 1], port).into(),
            pod: None,
        },
        original_destination: ([10, 96, 0, 1], 80).into(),
        service: None,
        rule: None,
        destination: None,
        opened: SystemTime::UNIX_EPOCH,
        connect_time: None,
        duration: Duration::ZERO,
        bytes_sent: 0,
        bytes_received: 0,
        denied: None,
        proof: Proof::default(),
        request: None,
    }
}
