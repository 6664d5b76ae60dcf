//! Whether every message of a sender came: senders number theirs one after the other.
//!
//! A number that is left out may still come, from the spool; only one that stays out is told of. What a sender said
//! before it was first heard of is not known, and is not told of.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// How long a number may stay out, in nanoseconds.
const PATIENCE_NANOS: u64 = 60_000_000_000;
/// Senders that are remembered; the one that has been silent longest is forgotten first.
const MAX_SENDERS: usize = 4_096;
/// Senders of one message, as most are, that are remembered beside them.
const MAX_ONCE: usize = 16_384;
/// Runs of numbers that may be out for one sender; of more, the oldest is told of at once.
const MAX_RUNS: usize = 64;

/// Names a sender.
type Source = [u8; 16];

/// What is known of all senders.
#[derive(Debug, Default)]
pub struct Sequences {
    senders: HashMap<Source, Sender>,
    /// Senders that sent their first message, number 0, and nothing since.
    once: HashSet<Source>,
    /// The same in the order in which they did, those that sent more included.
    once_in_order: VecDeque<Source>,
    /// Found to be missing, and not told of yet.
    missing: Vec<Missing>,
}

#[derive(Debug)]
struct Sender {
    runtime: String,
    next: u64,
    heard_nanos: u64,
    /// First number that is out, to how many, and since when.
    out: BTreeMap<u64, (u64, u64)>,
}

/// Messages that never came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub source: Source,
    /// What it is.
    pub runtime: String,
    /// The first one's number.
    pub first: u64,
    /// How many, one after the other.
    pub count: u64,
}

impl Sequences {
    /// Takes in that a message came; `now` is of a clock that only goes forward, in nanoseconds.
    pub fn take(&mut self, source: Source, runtime: &str, number: u64, now: u64) {
        if !self.senders.contains_key(&source) {
            if number == 0 && self.once.insert(source) {
                self.once_in_order.push_back(source);
                if self.once_in_order.len() > MAX_ONCE
                    && let Some(oldest) = self.once_in_order.pop_front()
                {
                    self.once.remove(&oldest);
                }
                return;
            }
            let next = if self.once.remove(&source) { 1 } else { number };
            self.make_room();
            let runtime = runtime.to_owned();
            self.senders.insert(source, Sender { runtime, next, heard_nanos: now, out: BTreeMap::new() });
        }
        let Some(sender) = self.senders.get_mut(&source) else { return };
        sender.heard_nanos = now;
        if number >= sender.next {
            if number > sender.next {
                sender.out.insert(sender.next, (number - sender.next, now));
            }
            sender.next = number.saturating_add(1);
            if sender.out.len() > MAX_RUNS
                && let Some((first, (count, _))) = sender.out.pop_first()
            {
                self.missing.push(Missing { source, runtime: sender.runtime.clone(), first, count });
            }
            return;
        }
        // It came after all, or came again.
        let Some((first, (count, since))) = sender.out.range(..=number).next_back().map(|(f, o)| (*f, *o))
        else {
            return;
        };
        if number - first >= count {
            return;
        }
        sender.out.remove(&first);
        if number > first {
            sender.out.insert(first, (number - first, since));
        }
        if number + 1 < first + count {
            sender.out.insert(number + 1, (first + count - number - 1, since));
        }
    }

    fn make_room(&mut self) {
        if self.senders.len() < MAX_SENDERS {
            return;
        }
        let silent =
            self.senders.iter().min_by_key(|(_, sender)| sender.heard_nanos).map(|(source, _)| *source);
        if let Some((source, sender)) = silent.and_then(|source| self.senders.remove_entry(&source)) {
            let Sender { runtime, out, .. } = sender;
            let missing = |(first, (count, _))| Missing { source, runtime: runtime.clone(), first, count };
            self.missing.extend(out.into_iter().map(missing));
        }
    }

    /// What has stayed out too long, each once.
    pub fn overdue(&mut self, now: u64) -> Vec<Missing> {
        let mut missing = std::mem::take(&mut self.missing);
        for (source, sender) in &mut self.senders {
            sender.out.retain(|first, (count, since)| {
                let is_due = now.saturating_sub(*since) < PATIENCE_NANOS;
                if !is_due {
                    let (source, runtime) = (*source, sender.runtime.clone());
                    missing.push(Missing { source, runtime, first: *first, count: *count });
                }
                is_due
            });
        }
        missing.sort_by_key(|missing| (missing.source, missing.first));
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: u64 = PATIENCE_NANOS + 1;

    fn of(numbers: &[u64]) -> Vec<(u64, u64)> {
        let mut sequences = Sequences::default();
        numbers.iter().for_each(|number| sequences.take([1; 16], "mcp:x", *number, 0));
        assert_eq!(sequences.overdue(PATIENCE_NANOS - 1), [], "there is still time");
        let missing = sequences.overdue(LATER);
        assert_eq!(sequences.overdue(LATER), [], "each is told of once");
        missing.iter().map(|missing| (missing.first, missing.count)).collect()
    }

    #[test]
    fn numbers_that_stay_out_are_missing() {
        assert_eq!(of(&[0, 1, 2]), []);
        assert_eq!(of(&[0, 2]), [(1, 1)]);
        assert_eq!(of(&[7, 8, 12, 20]), [(9, 3), (13, 7)]);
        // They came late, in any order.
        assert_eq!(of(&[0, 4, 2]), [(1, 1), (3, 1)]);
        assert_eq!(of(&[0, 4, 3, 1, 2]), []);
        assert_eq!(of(&[0, 4, 1, 1, 3]), [(2, 1)]);
        // What came before the first one is not known.
        assert_eq!(of(&[9, 3, 10]), []);
        assert_eq!(of(&[0, u64::MAX]), [(1, u64::MAX - 1)]);
    }

    #[test]
    fn any_order_of_any_part_leaves_out_what_is_not_in_it() {
        proptest::proptest!(|(numbers in proptest::collection::vec(0..40_u64, 1..60))| {
            let mut numbers = numbers;
            numbers.insert(0, 0);
            let there: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
            let highest = *there.last().unwrap();
            let missing: Vec<u64> =
                of(&numbers).into_iter().flat_map(|(first, count)| first..first + count).collect();
            let expected: Vec<u64> = (0..highest).filter(|number| !there.contains(number)).collect();
            proptest::prop_assert_eq!(missing, expected);
        });
    }

    #[test]
    fn no_more_is_kept_than_fits_and_nothing_is_forgotten_untold() {
        let mut sequences = Sequences::default();
        for run in 0..=MAX_RUNS as u64 {
            sequences.take([1; 16], "mcp:x", run * 2, run);
        }
        sequences.take([1; 16], "mcp:x", 1000, 99);
        assert_eq!(sequences.overdue(0).len(), 1);
        for sender in 0..MAX_SENDERS as u64 {
            let mut source = [0; 16];
            source[..8].copy_from_slice(&sender.to_le_bytes());
            sequences.take(source, "hook", 5, 1_000 + sender);
        }
        assert_eq!(sequences.senders.len(), MAX_SENDERS);
        assert_eq!(sequences.overdue(0).len(), MAX_RUNS);
        for sender in 0..2 * MAX_ONCE as u64 {
            let mut source = [9; 16];
            source[..8].copy_from_slice(&sender.to_le_bytes());
            sequences.take(source, "hook", 0, 9_000);
        }
        assert_eq!((sequences.once.len(), sequences.once_in_order.len()), (MAX_ONCE, MAX_ONCE));
    }
}
