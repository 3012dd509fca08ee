//! Bodies on their way: counted, and ended with their request.

mod request;
mod response;

use std::cell::Cell;

use bytes::Bytes;

pub(super) use self::{
    request::{RequestBody, SpareBody},
    response::ResponseBody,
};
use crate::telemetry::Denied;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Its connection has failed.
    #[error("the other side has failed")]
    Side(#[from] hyper::Error),
    /// The request was cut.
    #[error("the request was cut: {}", .0.label())]
    Cut(Denied),
}

fn count(counter: &Cell<u64>, data: Option<&Bytes>) {
    counter.set(counter.get() + data.map_or(0, |data| data.len() as u64));
}
