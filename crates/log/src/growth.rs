//! Consistency proofs between recent sizes of a log that grows, from memory.
//!
//! A proof from an old size needs the roots of the perfect subtrees before it (its compact range) and the leaves since.
//! So this keeps the compact range at the oldest size that is still asked for, and the leaf hashes after it: a few
//! kilobytes where witnesses are asked every second, whatever the log's size. Older sizes are for [`Prover`].
//!
//! [`Prover`]: crate::Prover

use crate::proof::split;
use crate::tree::{CompactRange, EMPTY_ROOT, Hash};

/// The newest part of a log's tree.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The tree at the oldest size that proofs can begin at.
    base: CompactRange,
    /// The leaves since.
    leaves: Vec<Hash>,
    /// The tree now.
    tip: CompactRange,
}

impl Growth {
    /// Begins with the tree as it is.
    pub fn new(base: CompactRange) -> Growth {
        Growth { tip: base.clone(), base, leaves: Vec::new() }
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
        self.tip.push(leaf);
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.tip.size()
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.tip.root()
    }

    /// Leaves that are kept.
    pub fn kept(&self) -> usize {
        self.leaves.len()
    }

    /// The tree of the first `size` leaves; `None` if that is before the kept ones, or not reached yet.
    fn range(&self, size: u64) -> Option<CompactRange> {
        let count = usize::try_from(size.checked_sub(self.base.size())?).ok()?;
        let mut range = self.base.clone();
        self.leaves.get(..count)?.iter().for_each(|leaf| range.push(*leaf));
        Some(range)
    }

    /// The root of the first `size` leaves; `None` as for [`consistency`](Self::consistency).
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.range(size).map(|range| range.root())
    }

    /// Proves that the tree of `new` leaves continues that of `old` (RFC 6962 section 2.1.2); `None` if `old` is before
    /// the kept leaves, or `new` is not reached yet.
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        if old > new || new > self.size() {
            return None;
        }
        if old == 0 || old == new {
            return Some(Vec::new());
        }
        let peaks = self.range(old)?;
        let mut peaks = peaks.peaks().iter();
        let mut proof = Vec::new();
        // SUBPROOF, from the top down. What lies before `old` is a perfect subtree of the old tree each time.
        let (mut low, mut high, mut whole) = (0, new, true);
        while high != old {
            let middle = low + split(high - low);
            if old <= middle {
                proof.push(self.root_of(middle, high)?);
                high = middle;
            } else {
                proof.push(*peaks.next()?);
                low = middle;
                whole = false;
            }
        }
        if !whole {
            proof.push(*peaks.next()?);
        }
        proof.reverse();
        Some(proof)
    }

    /// The root of the kept leaves `low..high` as a tree of their own.
    fn root_of(&self, low: u64, high: u64) -> Option<Hash> {
        let base = self.base.size();
        let from = usize::try_from(low.checked_sub(base)?).ok()?;
        let to = usize::try_from(high.checked_sub(base)?).ok()?;
        let mut range = CompactRange::new();
        self.leaves.get(from..to)?.iter().for_each(|leaf| range.push(*leaf));
        Some(if from == to { EMPTY_ROOT } else { range.root() })
    }

    /// Lets go of the leaves before `size`; proofs begin there or later from now on.
    pub fn forget_before(&mut self, size: u64) {
        if let Some(range) = self.range(size) {
            self.leaves.drain(..(size - self.base.size()) as usize);
            self.base = range;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::check_consistency;
    use crate::tree::leaf_hash;

    #[test]
    fn every_proof_holds_from_every_base() {
        let leaves: Vec<Hash> = (0..70u8).map(|index| leaf_hash(&[index])).collect();
        let roots: Vec<Hash> = (0..=70)
            .map(|size| {
                let mut range = CompactRange::new();
                leaves[..size].iter().for_each(|leaf| range.push(*leaf));
                range.root()
            })
            .collect();
        for base in 0..=70 {
            let mut growth = Growth::new(CompactRange::new());
            leaves.iter().for_each(|leaf| growth.push(*leaf));
            growth.forget_before(base);
            assert_eq!((growth.kept(), growth.root()), (70 - base as usize, roots[70]));
            for old in 0..=70 {
                for new in old..=70 {
                    let proof = growth.consistency(old, new);
                    if old == 0 || old >= base {
                        let proof = proof.unwrap();
                        let (from, to) = (&roots[old as usize], &roots[new as usize]);
                        check_consistency(&proof, old, from, new, to).unwrap();
                    } else if old != new {
                        assert_eq!(proof, None);
                    }
                }
            }
            assert_eq!(growth.consistency(70, 71), None);
            assert_eq!(growth.root_at(base), Some(roots[base as usize]));
        }
    }
}
