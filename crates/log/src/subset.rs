//! One proof for many records: that they stand at their places in the tree of a checkpoint.
//!
//! The tree of RFC 6962 is walked from the root. A subtree without a chosen record is one hash of the proof, a chosen
//! record is its own leaf, and everything else is computed. Size, places and the list of hashes say it all, so the
//! check is a dozen lines in any language:
//!
//! ```text
//! root(low, high):                       the tree of the records low..high
//!   no chosen record in low..high   →    the next hash
//!   high - low = 1                  →    SHA-256(0x00 ‖ record)
//!   otherwise                       →    SHA-256(0x01 ‖ root(low, middle) ‖ root(middle, high)),
//!                                        middle - low the largest power of two below high - low
//! ```

use crate::proof::{ProofError, Prover, split};
use crate::tree::{Hash, node_hash};

impl Prover {
    /// The hashes that lead from the records at `indexes`, which rise, to the root of the first `size`; in the order in
    /// which [`subset_root`] takes them.
    ///
    /// # Errors
    /// When the indexes don't rise or are beyond `size`, and those of reading the log. The proof is not checked here.
    pub fn subset(&mut self, indexes: &[u64], size: u64) -> Result<Vec<Hash>, ProofError> {
        check_order(indexes, size)?;
        let mut hashes = Vec::new();
        self.subset_of(indexes, 0, size, &mut hashes)?;
        Ok(hashes)
    }

    fn subset_of(
        &mut self,
        indexes: &[u64],
        low: u64,
        high: u64,
        hashes: &mut Vec<Hash>,
    ) -> Result<(), ProofError> {
        if indexes.is_empty() {
            if low < high {
                hashes.push(self.range_root(low, high)?);
            }
        } else if high - low > 1 {
            let middle = low + split(high - low);
            let (left, right) = indexes.split_at(indexes.partition_point(|index| *index < middle));
            self.subset_of(left, low, middle, hashes)?;
            self.subset_of(right, middle, high, hashes)?;
        }
        Ok(())
    }
}

fn check_order(indexes: &[u64], size: u64) -> Result<(), ProofError> {
    if indexes.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(ProofError::Malformed("the places of the records do not rise"));
    }
    match indexes.last() {
        Some(last) if *last >= size => Err(ProofError::OutOfRange { index: *last, size }),
        _ => Ok(()),
    }
}

/// The root that leaves (place and hash, rising) and a proof give for a tree of `size` records.
///
/// # Errors
/// When the places don't rise or are beyond `size`, or the proof has fewer or more hashes than it must.
pub fn subset_root(leaves: &[(u64, Hash)], size: u64, proof: &[Hash]) -> Result<Hash, ProofError> {
    let indexes: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    check_order(&indexes, size)?;
    if size == 0 {
        return Err(ProofError::Malformed("a tree of no records proves nothing"));
    }
    let mut hashes = proof.iter();
    let root = root_of(leaves, 0, size, &mut hashes)?;
    match hashes.next() {
        None => Ok(root),
        Some(_) => Err(ProofError::Malformed("the proof has more hashes than it needs")),
    }
}

fn root_of(
    leaves: &[(u64, Hash)],
    low: u64,
    high: u64,
    hashes: &mut std::slice::Iter<'_, Hash>,
) -> Result<Hash, ProofError> {
    match leaves {
        [] => hashes.next().copied().ok_or(ProofError::Malformed("the proof has too few hashes")),
        [(_, leaf)] if high - low == 1 => Ok(*leaf),
        _ => {
            let middle = low + split(high - low);
            let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
            let left = root_of(left, low, middle, hashes)?;
            Ok(node_hash(&left, &root_of(right, middle, high, hashes)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{CompactRange, leaf_hash};

    /// A second implementation: the root of every subtree from all leaves.
    fn prove(all: &[Hash], chosen: &[u64], low: usize, high: usize, out: &mut Vec<Hash>) {
        if !chosen.iter().any(|index| (low as u64..high as u64).contains(index)) {
            let mut range = CompactRange::new();
            all[low..high].iter().for_each(|leaf| range.push(*leaf));
            out.push(range.root());
        } else if high - low > 1 {
            let middle = low + split((high - low) as u64) as usize;
            prove(all, chosen, low, middle, out);
            prove(all, chosen, middle, high, out);
        }
    }

    #[test]
    fn every_choice_of_a_small_tree_is_proven_and_no_other_leaf_is() {
        let all: Vec<Hash> = (0..9u8).map(|index| leaf_hash(&[index])).collect();
        for size in 1..=9u64 {
            let mut range = CompactRange::new();
            all[..size as usize].iter().for_each(|leaf| range.push(*leaf));
            for choice in 0..1u64 << size {
                let chosen: Vec<u64> = (0..size).filter(|index| choice >> index & 1 == 1).collect();
                let mut proof = Vec::new();
                prove(&all[..size as usize], &chosen, 0, size as usize, &mut proof);
                let mut leaves: Vec<_> = chosen.iter().map(|index| (*index, all[*index as usize])).collect();
                assert_eq!(subset_root(&leaves, size, &proof).unwrap(), range.root());
                if !proof.is_empty() {
                    assert!(subset_root(&leaves, size, &proof[1..]).is_err());
                }
                assert!(subset_root(&leaves, size, &[&proof[..], &[[0; 32]]].concat()).is_err());
                if let Some(first) = leaves.first_mut() {
                    first.1 = leaf_hash(b"other");
                    assert_ne!(subset_root(&leaves, size, &proof).unwrap(), range.root());
                }
                // Elsewhere than it is: another root, or a proof that does not fit.
                if let [only] = chosen[..]
                    && size > 1
                {
                    let moved = [((only + 1) % size, all[only as usize])];
                    assert_ne!(subset_root(&moved, size, &proof).ok(), Some(range.root()));
                }
            }
        }
        assert!(subset_root(&[], 0, &[]).is_err());
        assert!(subset_root(&[(3, all[3])], 3, &[]).is_err());
        assert!(subset_root(&[(1, all[1]), (1, all[1])], 3, &[all[0], all[2]]).is_err());
    }
}
