//! What is remembered of a request's body while it goes to its upstream, for who gets it again: another endpoint, or a
//! mirror.

use std::{cell::RefCell, mem, pin::pin, rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

use crate::proxy::{capacity::BufferSeat, door::OpenDoor};

/// A request's body, as far as it has come.
#[derive(Debug)]
pub(super) struct Tape {
    state: RefCell<State>,
    /// Told when nothing is added any more.
    over: Notify,
}

/// A body that has come whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    /// Its room among what the pod may hold.
    _seat: Option<Rc<BufferSeat>>,
}

/// Why a body is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    /// It is longer than [`LONGEST`].
    TooLong,
    /// There is no room for it.
    NoRoom,
    /// It did not come to its end.
    Unfinished,
}

#[derive(Debug)]
enum State {
    Recording {
        data: BytesMut,
        trailers: Option<HeaderMap>,
        seat: BufferSeat,
    },
    Whole(Recorded),
    Torn(Torn),
}

// === impl Tape ===

impl Tape {
    /// For a body of this length, as far as that is known.
    pub(super) fn new(length: &SizeHint, door: &Arc<OpenDoor>) -> Rc<Self> {
        Rc::new(Self {
            // One that is to be long takes no room before that is found out.
            state: RefCell::new(match length.lower() <= LONGEST as u64 {
                true => State::Recording {
                    data: BytesMut::new(),
                    trailers: None,
                    seat: BufferSeat::empty(door),
                },
                false => State::Torn(Torn::TooLong),
            }),
            over: Notify::new(),
        })
    }

    /// Adds what has come.
    pub(super) fn add(&self, frame: &Frame<Bytes>) {
        let mut state = self.state.borrow_mut();
        let State::Recording { data, trailers, seat } = &mut *state else {
            return;
        };
        if let Some(more) = frame.data_ref() {
            let torn = if data.len() + more.len() > LONGEST {
                Some(Torn::TooLong)
            } else {
                // Many a body says nothing for long: it takes what has come, and no more.
                seat.grow_spare(more.len()).is_err().then_some(Torn::NoRoom)
            };
            if let Some(torn) = torn {
                self.ends(&mut state, |_| State::Torn(torn));
                return;
            }
            data.extend_from_slice(more);
        }
        if let Some(more) = frame.trailers_ref() {
            *trailers = Some(more.clone());
        }
    }

    /// Notes that all has come.
    pub(super) fn is_whole(&self) {
        self.ends(&mut self.state.borrow_mut(), |state| match state {
            State::Recording { data, trailers, seat } => State::Whole(Recorded {
                data: data.freeze(),
                trailers,
                _seat: Some(Rc::new(seat)),
            }),
            over @ (State::Whole(_) | State::Torn(_)) => over,
        });
    }

    /// Notes that no more comes, whether it is whole or not.
    pub(super) fn is_over(&self) {
        self.ends(&mut self.state.borrow_mut(), |state| match state {
            State::Recording { .. } => State::Torn(Torn::Unfinished),
            over @ (State::Whole(_) | State::Torn(_)) => over,
        });
    }

    /// The body, once all of it has come.
    pub(super) async fn recorded(&self) -> Result<Recorded, Torn> {
        loop {
            // Registered before the check, so that the end is not missed.
            let mut over = pin!(self.over.notified());
            over.as_mut().enable();
            if let Some(told) = self.told() {
                return told;
            }
            over.await;
        }
    }

    /// The body, or why there is none; nothing while it comes.
    pub(super) fn told(&self) -> Option<Result<Recorded, Torn>> {
        match &*self.state.borrow() {
            State::Recording { .. } => None,
            State::Whole(recorded) => Some(Ok(recorded.clone())),
            State::Torn(torn) => Some(Err(*torn)),
        }
    }

    fn ends(&self, state: &mut State, end: impl FnOnce(State) -> State) {
        *state = end(mem::replace(state, State::Torn(Torn::Unfinished)));
        self.over.notify_waiters();
    }
}

// === impl Recorded ===

impl Recorded {
    /// What of it is to be sent next.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        match mem::take(&mut self.data) {
            data if data.is_empty() => self.trailers.take().map(Frame::trailers),
            data => Some(Frame::data(data)),
        }
    }
}

/// How long a body may be that is remembered, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;
