//! The Merkle tree of RFC 6962 section 2.1 (unchanged in RFC 9162), kept as a compact range.
//!
//! A compact range is the list of roots of the perfect subtrees that make up a tree, largest first, one for each
//! set bit of the size. It is all that is needed to append and to compute the root: for a million records 7 hashes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A SHA-256 value: a leaf hash, a node hash, a root or a content digest.
pub type Hash = [u8; 32];

/// The root of the empty tree, SHA-256 of nothing (RFC 6962 section 2.1).
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf: `SHA-256(0x00 || record)` over the record's bytes as stored.
pub fn leaf_hash(record: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(record);
    hasher.finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0u8; 65];
    bytes[0] = 1;
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The digest under which a record refers to content kept beside it: `HMAC-SHA256(key = salt, message = bytes)`.
///
/// The salt makes undisclosed content unguessable; once salt and bytes are disclosed anyone can check them with
/// `openssl dgst -sha256 -mac HMAC -macopt hexkey:<salt>`.
pub fn content_digest(salt: &[u8; 16], bytes: &[u8]) -> Hash {
    let mut hasher = ContentHasher::new(salt);
    hasher.update(bytes);
    hasher.finish()
}

/// [`content_digest`] fed in pieces, for content stored in several frames.
pub(crate) struct ContentHasher(Hmac<Sha256>);

impl ContentHasher {
    pub(crate) fn new(salt: &[u8; 16]) -> ContentHasher {
        // HMAC pads a key shorter than its block of 64 bytes with zeros (RFC 2104); 16 bytes always fit.
        let mut key = [0u8; 64];
        key[..16].copy_from_slice(salt);
        ContentHasher(Hmac::new(&key.into()))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into_bytes().into()
    }
}

/// The right edge of a tree: enough to append leaves and to compute the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    /// Roots of the perfect subtrees, largest (leftmost) first; one for each set bit of `size`.
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// The range of the empty tree.
    pub fn new() -> CompactRange {
        CompactRange::default()
    }

    /// A range from stored peaks; `None` unless there is exactly one peak for each set bit of `size`.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<CompactRange> {
        (size.count_ones() as usize == peaks.len()).then_some(CompactRange { size, peaks })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a subtree that the new leaf completes to the next power of two.
        for _ in 0..self.size.trailing_ones() {
            match self.peaks.pop() {
                Some(left) => hash = node_hash(&left, &hash),
                None => break, // never: there is one peak for each set bit
            }
        }
        self.peaks.push(hash);
        // Wraps only for a size that a hostile header claims; no log gets there.
        self.size = self.size.wrapping_add(1);
    }

    /// The root of the tree: the peaks folded from the right.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => EMPTY_ROOT,
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT, <[u8; 32]>::from(Sha256::digest(b"")));
        assert_eq!(CompactRange::new().root(), EMPTY_ROOT);
    }

    #[test]
    fn content_digest_is_hmac_with_the_salt_as_key() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 16]).unwrap();
        mac.update(b"hello");
        assert_eq!(content_digest(&[7; 16], b"hello"), <[u8; 32]>::from(mac.finalize().into_bytes()));
    }

    #[test]
    fn three_leaves_make_the_tree_of_rfc_6962() {
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
        let mut range = CompactRange::new();
        leaves.iter().for_each(|leaf| range.push(*leaf));
        assert_eq!(range.root(), node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]));
        assert_eq!(CompactRange::from_peaks(3, range.peaks().to_vec()), Some(range.clone()));
        assert_eq!(CompactRange::from_peaks(4, range.peaks().to_vec()), None);
    }
}
