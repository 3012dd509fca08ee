//! Numbers that nobody can guess.

/// Draws 256 bits from the generator that keys are drawn from.
pub fn unguessable() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the random number generator of this process is seeded");
    bytes
}

/// Puts them in no order.
pub(super) fn shuffle<T>(items: &mut [T]) {
    let random = unguessable();
    for (index, byte) in (1..items.len()).rev().zip(random) {
        items.swap(index, usize::from(byte) % (index + 1));
    }
}
