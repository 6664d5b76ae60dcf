//! Inclusion and consistency proofs (RFC 6962 section 2.1, checks as in RFC 9162), and C2SP tlog-proof files.
//!
//! Proofs are made from the stored records. Segment headers spare hashing what lies before their segment; since every
//! proof is checked against the root before it is returned, a header that lies makes an error, not a wrong proof.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Access, BLOCK_BYTES, Directory, Disk};
use crate::group::{Frame, Frames};
use crate::note::{
    MAX_NOTE_BYTES, NoteError, SignedCheckpoint, VerifierKey, decode_base64, encode_base64, encode_hash,
    parse_decimal, parse_hash,
};
use crate::pruned;
use crate::recovery::Damage;
use crate::segment::{SegmentHeader, SegmentWindow, open_segment, segment_name, segment_numbers};
use crate::tree::{CompactRange, EMPTY_ROOT, Hash, leaf_hash, node_hash};

/// The longest extra data in a tlog-proof file, in bytes.
pub const MAX_EXTRA_BYTES: usize = 1024 * 1024;
/// The first line of a tlog-proof file.
const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// More hashes than any proof in a tree of at most 2^64 leaves has.
const MAX_PROOF_HASHES: usize = 64;

/// Why a proof could not be made or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The index or size lies outside the log or tree.
    #[error("{index} is out of range, the size is {size}")]
    OutOfRange {
        /// The index or the smaller size.
        index: u64,
        /// The size.
        size: u64,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// What the proof needs was removed by pruning.
    #[error("the records before {first} were removed; only what lies at or behind it can be proven")]
    Pruned {
        /// The first record that is kept.
        first: u64,
    },
    /// The stored bytes that the proof needs are damaged.
    #[error("the log is damaged: {0}")]
    Damaged(Damage),
    /// The proof does not lead to the root.
    #[error("the proof does not hold: {0}")]
    Wrong(&'static str),
    /// The text is not a tlog-proof file.
    #[error("malformed proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in the proof is malformed or not genuine.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
}

/// Proves that record `index` is in the tree of the first `size` records of the log in `dir`; see
/// [`Prover::inclusion`].
pub fn prove_inclusion(dir: &Path, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    Prover::open(dir)?.inclusion(index, size)
}

/// Proves that the tree of the first `new` records continues that of the first `old`; see [`Prover::consistency`].
pub fn prove_consistency(dir: &Path, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
    Prover::open(dir)?.consistency(old, new)
}

/// The largest power of two smaller than `count`, which must be at least 2.
pub(crate) fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
pub fn check_inclusion(
    proof: &[Hash],
    index: u64,
    leaf: &Hash,
    size: u64,
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Wrong("it is too long"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Wrong("it is too short"));
    }
    if hash != *root {
        return Err(ProofError::Wrong("it leads to another root"));
    }
    Ok(())
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2). A tree of no records is a prefix of every tree.
pub fn check_consistency(
    proof: &[Hash],
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange { index: old, size: new });
    }
    if old == 0 || old == new {
        let right_root = if old == 0 { *old_root == EMPTY_ROOT } else { old_root == new_root };
        if new == 0 && *new_root != EMPTY_ROOT {
            return Err(ProofError::Wrong("the root of no records is another"));
        }
        if !proof.is_empty() {
            return Err(ProofError::Wrong("it is too long"));
        }
        return if right_root { Ok(()) } else { Err(ProofError::Wrong("it leads to another root")) };
    }
    let mut hashes = proof.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A power of two is a node of the new tree itself and is left out of the proof.
    let first = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let first = first.ok_or(ProofError::Wrong("it is too short"))?;
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return Err(ProofError::Wrong("it is too long"));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Wrong("it is too short"));
    }
    if old_hash != *old_root {
        return Err(ProofError::Wrong("it leads to another old root"));
    }
    if new_hash != *new_root {
        return Err(ProofError::Wrong("it leads to another new root"));
    }
    Ok(())
}

/// The subtree of `low..high` among the peaks of a tree, if it is one of them.
fn peak(range: &CompactRange, low: u64, high: u64) -> Option<Hash> {
    let mut start = 0;
    let mut bits = range.size();
    for peak in range.peaks() {
        let leaves = 1u64.checked_shl(bits.checked_ilog2()?)?;
        if (start, start + leaves) == (low, high) {
            return Some(*peak);
        }
        start += leaves;
        bits -= leaves;
    }
    None
}

/// Makes proofs from a log's stored records. Keeps the leaf hashes of one segment, so several proofs cost little more
/// than one. Sees the records that were complete when it was opened, and perhaps later ones.
pub struct Prover {
    disk: Arc<dyn Disk>,
    segments: Vec<(u64, CompactRange)>,
    /// The leaf hashes of the segment used last: (its place in `segments`, hashes).
    loaded: Option<(usize, Vec<Hash>)>,
}

impl Prover {
    /// Opens the log in `dir`; needs no lock and writes nothing.
    pub fn open(dir: &Path) -> Result<Prover, ProofError> {
        Prover::open_on(Arc::new(Directory::new(dir, false)))
    }

    /// As [`open`](Self::open), on any [`Disk`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Prover, ProofError> {
        let listing = |source| ProofError::Io { what: "listing the log".to_owned(), source };
        let mut segments = Vec::new();
        let pruned = pruned::read(disk.as_ref()).map_err(listing)?.ok().flatten();
        let first = pruned.map_or(0, |pruned| pruned.first_segment);
        let numbers = segment_numbers(disk.as_ref()).map_err(listing)?;
        for number in numbers.into_iter().filter(|number| *number >= first) {
            let name = segment_name(number);
            let read = || -> io::Result<Vec<u8>> {
                let mut block = vec![0; BLOCK_BYTES];
                let count = open_segment(disk.as_ref(), number, Access::Read)?.read_at(&mut block, 0)?;
                block.truncate(count);
                Ok(block)
            };
            let block =
                read().map_err(|source| ProofError::Io { what: format!("reading {name}"), source })?;
            // A reserve or a damaged header: the segment before is walked instead, as far as it goes.
            if let Ok(header) = SegmentHeader::decode(&block, number) {
                segments.push((number, header.range));
            }
        }
        Ok(Prover { disk, segments, loaded: None })
    }

    /// The root of the tree of the first `size` records.
    pub fn root(&mut self, size: u64) -> Result<Hash, ProofError> {
        self.range_root(0, size)
    }

    /// Proves that record `index` is in the tree of the first `size` records.
    ///
    /// The hashes go from the leaf's sibling to the root's child (RFC 6962 section 2.1.1). The proof has been checked
    /// against [`root`](Self::root); whether that is the signed one is for the caller to compare.
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
        if index >= size {
            return Err(ProofError::OutOfRange { index, size });
        }
        let mut proof = Vec::new();
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + split(high - low);
            let sibling = if index < middle { (middle, high) } else { (low, middle) };
            proof.push(self.range_root(sibling.0, sibling.1)?);
            (low, high) = if index < middle { (low, middle) } else { (middle, high) };
        }
        proof.reverse();
        let leaf = self.range_root(index, index + 1)?;
        check_inclusion(&proof, index, &leaf, size, &self.root(size)?)?;
        Ok(proof)
    }

    /// Proves that the tree of the first `new` records is that of the first `old` with records appended (RFC 6962
    /// section 2.1.2). Empty for `old` = 0 and `old` = `new`.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
        if old > new {
            return Err(ProofError::OutOfRange { index: old, size: new });
        }
        let mut proof = Vec::new();
        if old > 0 {
            // SUBPROOF, from the top down.
            let (mut low, mut high, mut whole) = (0, new, true);
            while high != old {
                let middle = low + split(high - low);
                if old <= middle {
                    proof.push(self.range_root(middle, high)?);
                    high = middle;
                } else {
                    proof.push(self.range_root(low, middle)?);
                    low = middle;
                    whole = false;
                }
            }
            if !whole {
                proof.push(self.range_root(low, high)?);
            }
            proof.reverse();
        }
        check_consistency(&proof, old, &self.root(old)?, new, &self.root(new)?)?;
        Ok(proof)
    }

    /// The tree of the first `size` records, to go on from.
    pub fn range(&mut self, size: u64) -> Result<CompactRange, ProofError> {
        let after = self.segments.partition_point(|(_, range)| range.size() <= size);
        let Some(at) = after.checked_sub(1) else {
            return Err(ProofError::OutOfRange { index: size, size: 0 });
        };
        let mut range = self.segments[at].1.clone();
        let wanted = (size - range.size()) as usize;
        let leaves = self.load(at)?;
        if leaves.len() < wanted {
            return Err(ProofError::OutOfRange { index: size, size: range.size() + leaves.len() as u64 });
        }
        leaves.iter().take(wanted).for_each(|leaf| range.push(*leaf));
        Ok(range)
    }

    /// The root of the leaves `low..high` as a tree of their own (RFC 6962 `MTH(D[low:high])`).
    ///
    /// `low` must be a multiple of a power of two that is not smaller than the range, as in all proofs.
    pub(crate) fn range_root(&mut self, low: u64, high: u64) -> Result<Hash, ProofError> {
        if low >= high {
            return Ok(EMPTY_ROOT);
        }
        if let Some((_, kept)) = self.segments.first()
            && high <= kept.size()
            && (low, high) != (0, kept.size())
        {
            // Before the first record that is kept only the subtrees in its header are known.
            return peak(kept, low, high).ok_or(ProofError::Pruned { first: kept.size() });
        }
        // A segment that begins at `high` helps only from 0: elsewhere its last peak may reach back before `low`.
        let after = self
            .segments
            .partition_point(|(_, range)| range.size() < high || low == 0 && range.size() == high);
        let Some(at) = after.checked_sub(1) else {
            return Err(ProofError::OutOfRange { index: high, size: 0 });
        };
        let (number, before) = &self.segments[at];
        let first = before.size();
        let mut range = CompactRange::new();
        let mut next = low;
        if first > low {
            // The subtrees of low..first are the last peaks before `first`: `low` has none of their bits.
            let count = (first - low).count_ones() as usize;
            let peaks = before.peaks()[before.peaks().len().saturating_sub(count)..].to_vec();
            range = CompactRange::from_peaks(first - low, peaks).unwrap_or_default();
            next = first;
        }
        if range.size() != next - low {
            let what = "the segment header's subtree roots do not fit".to_owned();
            let file = segment_name(*number);
            return Err(ProofError::Damaged(Damage { indexes: 0..first, file, offset: 12, what }));
        }
        if next < high {
            // All of next..high is in this segment or in those before it.
            let mut place = at;
            while self.segments[place].1.size() > next {
                place = place.saturating_sub(1);
            }
            while next < high {
                let first = self.segments[place].1.size();
                let leaves = self.load(place)?;
                let from = (next - first) as usize;
                let to = leaves.len().min((high - first) as usize);
                leaves.iter().take(to).skip(from).for_each(|leaf| range.push(*leaf));
                next = next.max(first + to as u64);
                place += 1;
                if next < high && self.segments.get(place).is_none_or(|(_, range)| range.size() != next) {
                    return Err(ProofError::OutOfRange { index: high, size: next });
                }
            }
        }
        Ok(range.root())
    }

    /// The leaf hashes of a segment.
    fn load(&mut self, place: usize) -> Result<&[Hash], ProofError> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != place) {
            let (number, before) = &self.segments[place];
            let name = segment_name(*number);
            let reading = |source| ProofError::Io { what: format!("reading {name}"), source };
            let file = open_segment(self.disk.as_ref(), *number, Access::Read).map_err(reading)?;
            let mut window = SegmentWindow::new(file, 1024 * 1024).map_err(reading)?;
            let mut position = BLOCK_BYTES as u64;
            let mut leaves = Vec::new();
            // What ends the walk early is found by the root check: a proof of a damaged log is never returned.
            while let Ok((header, bytes)) = window.group(position).map_err(reading)? {
                if header.first_index != before.size() + leaves.len() as u64 {
                    break;
                }
                for placed in Frames::new(bytes, &header) {
                    match placed {
                        Ok(placed) => {
                            if let Frame::Record(record) = placed.frame {
                                leaves.push(leaf_hash(record.bytes));
                            }
                        }
                        Err(fault) => {
                            let index = before.size() + leaves.len() as u64;
                            return Err(ProofError::Damaged(Damage {
                                indexes: index..index + 1,
                                file: name.clone(),
                                offset: position + fault.offset,
                                what: fault.what.to_owned(),
                            }));
                        }
                    }
                }
                position += header.total_bytes() as u64;
            }
            self.loaded = Some((place, leaves));
        }
        match &self.loaded {
            Some((_, leaves)) => Ok(leaves),
            None => Ok(&[]),
        }
    }
}

/// A proof that one record is in a signed log, complete in itself: C2SP
/// [tlog-proof](https://c2sp.org/tlog-proof), stored as `.tlog-proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The record's index.
    pub index: u64,
    /// The inclusion proof.
    pub hashes: Vec<Hash>,
    /// Opaque data for the reader; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The checkpoint, with witness cosignatures if it has them.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Proves record `index` of the log in `dir` against `checkpoint`, which must be of this log and later.
    pub fn make(dir: &Path, index: u64, checkpoint: SignedCheckpoint) -> Result<TlogProof, ProofError> {
        let mut prover = Prover::open(dir)?;
        let hashes = prover.inclusion(index, checkpoint.size())?;
        if prover.root(checkpoint.size())? != *checkpoint.root() {
            return Err(ProofError::Wrong("the log's root at the checkpoint's size is another"));
        }
        Ok(TlogProof { index, hashes, extra: None, checkpoint })
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{PROOF_HEADER}\n");
        if let Some(extra) = &self.extra {
            text += &format!("extra {}\n", encode_base64(extra));
        }
        text += &format!("index {}\n", self.index);
        for hash in &self.hashes {
            text += &encode_hash(hash);
            text.push('\n');
        }
        text.push('\n');
        text += self.checkpoint.note();
        text
    }

    /// Parses a tlog-proof file, strictly; proves nothing yet.
    pub fn parse(text: &str) -> Result<TlogProof, ProofError> {
        let malformed = ProofError::Malformed;
        if text.len() > MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES {
            return Err(malformed("it is too long"));
        }
        let (head, note) =
            text.split_once("\n\n").ok_or(malformed("there is no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADER) {
            return Err(malformed("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut extra = None;
        if let Some(encoded) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            let bytes = decode_base64(encoded).ok_or(malformed("the extra data is not base64"))?;
            if bytes.len() > MAX_EXTRA_BYTES {
                return Err(malformed("the extra data is longer than 1 MiB"));
            }
            extra = Some(bytes);
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(parse_decimal)
            .ok_or(malformed("there is no index line"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(malformed("there are more than 64 hashes"));
            }
            hashes.push(parse_hash(line).ok_or(malformed("a line is not a SHA-256 value in base64"))?);
        }
        Ok(TlogProof { index, hashes, extra, checkpoint: SignedCheckpoint::parse(note)? })
    }

    /// Checks everything: the checkpoint is signed by `key`, and `record` is at `index` in its tree.
    pub fn check(&self, record: &[u8], key: &VerifierKey) -> Result<(), ProofError> {
        self.checkpoint.verify(key)?;
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        check_inclusion(&self.hashes, self.index, &leaf_hash(record), size, root)
    }
}
