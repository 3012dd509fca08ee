//! What is to be done with a datagram from a pod.

use hickory_proto::{
    op::{Header, Message, MessageType, OpCode, Query},
    rr::{DNSClass, Name},
    serialize::binary::{BinDecodable as _, BinDecoder, DecodeError},
};

use super::{
    answer::Answer,
    asked::{Asked, is_service_name},
};
use crate::model::Mesh;

/// What is to be done with a question.
#[derive(Debug)]
pub(super) enum Question {
    /// The mesh knows the answer.
    Known(Box<Answer>),
    /// The mesh knows the answer's beginning: an alias of a name that is not the mesh's.
    Alias(Box<Answer>, Name),
    /// It goes to whom it was meant for, as it is.
    Others,
    /// So does this, though the name is a service's and the mesh knows none: the resolver may know it earlier, but where
    /// there is no resolver there is no such name.
    Unknown,
}

/// A datagram that is no question.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    /// It cannot be decoded.
    #[error("cannot be decoded")]
    Undecodable(#[from] DecodeError),
    /// It is an answer.
    #[error("is an answer")]
    NoQuestion,
}

// === impl Question ===

impl Question {
    /// Decides about a datagram. Only questions about the mesh are decoded to the end: what others make of theirs, and of
    /// extensions that nobody here knows, is between them and their resolver.
    pub(super) fn read(mesh: &Mesh, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = BinDecoder::new(bytes);
        let header = Header::read(&mut decoder)?;
        if header.metadata.message_type == MessageType::Response {
            return Err(Malformed::NoQuestion);
        }
        if header.metadata.op_code != OpCode::Query || header.counts.queries != 1 {
            return Ok(Self::Others);
        }
        let query = Query::read(&mut decoder)?;
        if query.query_class != DNSClass::IN {
            return Ok(Self::Others);
        }
        if !is_service_name(mesh, &query.name) {
            return Ok(Self::Others);
        }
        let Some(asked) = Asked::parse(mesh, &query.name) else {
            return Ok(Self::Unknown);
        };
        let request = Message::from_vec(bytes)?;
        if request.version() != 0 {
            return Ok(Self::Others);
        }
        let Some(mut answer) = Answer::new(mesh, &asked, &request).map(Box::new) else {
            return Ok(Self::Unknown);
        };
        Ok(match answer.elsewhere.take() {
            None => Self::Known(answer),
            Some(target) => Self::Alias(answer, target),
        })
    }
}
