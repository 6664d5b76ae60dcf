//! The memory of recent batches, by which a retry gets the first answer instead of a second copy.

use std::collections::{HashMap, VecDeque};

/// How many of the newest batches are remembered.
pub const WINDOW_BATCHES: usize = 65_536;
/// How many bytes of older segments are read, newest first, to remember batches again after opening.
pub(crate) const WINDOW_READ_BYTES: u64 = 128 * 1024 * 1024;

/// Identifies a batch: who sent it and that sender's number for it.
pub(crate) type BatchKey = ([u8; 16], u64);

/// Where a batch was stored first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) first_index: u64,
    pub(crate) records: u32,
    pub(crate) segment: u64,
    /// File offset of the group with the records.
    pub(crate) group_offset: u64,
}

/// The newest [`WINDOW_BATCHES`] batches. Owned by the committer thread.
#[derive(Default)]
pub(crate) struct Window {
    stored: HashMap<BatchKey, Stored>,
    order: VecDeque<BatchKey>,
}

impl Window {
    pub(crate) fn get(&self, key: &BatchKey) -> Option<Stored> {
        self.stored.get(key).copied()
    }

    /// Remembers a batch as the newest one; of a key seen twice the first place stays.
    pub(crate) fn insert(&mut self, key: BatchKey, stored: Stored) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.stored.entry(key) {
            entry.insert(stored);
            self.order.push_back(key);
            if self.order.len() > WINDOW_BATCHES
                && let Some(oldest) = self.order.pop_front()
            {
                self.stored.remove(&oldest);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_batch_is_forgotten_and_the_first_place_stays() {
        let stored = |index| Stored { first_index: index, records: 1, segment: 0, group_offset: 4096 };
        let mut window = Window::default();
        for seq in 0..=WINDOW_BATCHES as u64 {
            window.insert(([1; 16], seq), stored(seq));
        }
        window.insert(([1; 16], 9), stored(999_999));
        assert_eq!(window.get(&([1; 16], 0)), None);
        assert_eq!(window.get(&([1; 16], 9)), Some(stored(9)));
        assert_eq!(window.len(), WINDOW_BATCHES);
    }
}
