//! What the kernel programs and the agent agree on: mark bits, routing numbers, map layouts, names, reasons.
//!
//! No logic lives here and nothing of the standard library: the kernel programs are built from it too.
#![no_std]

pub mod mark;
