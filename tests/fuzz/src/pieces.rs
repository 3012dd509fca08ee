//! Bytes as a socket might bring them.

/// Cuts bytes into pieces of 1 to 16, as the bytes themselves say.
pub(crate) struct Pieces<'a> {
    rest: &'a [u8],
    state: u32,
}

// === impl Pieces ===

impl<'a> Pieces<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let mix = |state: u32, byte: &u8| state.wrapping_mul(31).wrapping_add(u32::from(*byte));
        Self {
            rest: bytes,
            state: bytes.iter().fold(1, mix),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (self.state >> 28) as usize + 1;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
