//! What the kernel hands to a program, behind typed methods: every unsafe read of a context stands below.

use core::ptr;

use agent_common::Address;

mod connect;
mod lookup;
mod socket;

pub(crate) use connect::Connect;
pub(crate) use lookup::{Lookup, Transport};
pub(crate) use socket::{Event, Place, Segment, Socket};

/// Reads a field of a context by itself.
///
/// LLVM merges neighbouring loads, and the verifier refuses the merged one: "invalid bpf_context access".
#[inline(always)]
fn field<T: Copy>(field: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { ptr::read_volatile(field) }
}

/// Reads an address that lies in one of two fields, as the family says.
///
/// Both are read: of loads in two branches LLVM makes one from a computed address, and the verifier refuses it:
/// "dereference of modified ctx ptr".
#[inline(always)]
fn address(family: u32, v4: &u32, v6: &[u32; 4]) -> Address {
    let (v4, v6) = (Address::v4(field(v4)), self::v6(v6));
    if family == INET { v4 } else { v6 }
}

/// Reads an IPv6 address word by word, as the verifier demands.
#[inline(always)]
fn v6([a, b, c, d]: &[u32; 4]) -> Address {
    Address::v6([field(a), field(b), field(c), field(d)])
}

/// `AF_INET`.
const INET: u32 = 2;
