//! Connections by number; the kernel's events carry the number.

/// A store whose freed places are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

// === impl Slab ===

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts `value` into a free place and returns the place's number.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let Some(place) = self.free.pop() else {
            self.places.push(Some(value));
            return self.places.len() - 1;
        };
        self.places[place] = Some(value);
        place
    }

    /// What lies there; nothing when an event comes late for a connection that was closed in the same batch.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Frees the place and drops what lay there.
    pub(crate) fn remove(&mut self, place: usize) {
        if self.places[place].take().is_some() {
            self.free.push(place);
        }
    }
}
