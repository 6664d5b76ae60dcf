//! A group: the records and contents that one write made durable together.
//!
//! Header, frames, trailer, zero padding up to the block; the tables are in FORMAT.md. Checksums (CRC-32C) tell a
//! torn write quickly; trust comes from the group hash, which covers every byte directly or through a leaf hash or
//! content digest, and which each group repeats of its predecessor.

use sha2::{Digest, Sha256};

use crate::disk::{AlignedBuffer, BLOCK_BYTES};
use crate::segment::{array, is_zero, read_u32, read_u64};
use crate::tree::{CompactRange, Hash, leaf_hash};

/// The largest group in bytes, header, trailer and padding included.
pub const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;
/// The longest record in bytes: what a 16-bit length of C2SP tlog-tiles entries can say.
pub const MAX_RECORD_BYTES: usize = 64 * 1024 - 1;
/// The longest single content in bytes.
pub const MAX_CONTENT_BYTES: u64 = 1024 * 1024 * 1024;
/// The longest content frame payload; longer contents are cut into chunks of this size, in bytes.
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;

pub(crate) const HEADER_BYTES: usize = 128;
pub(crate) const TRAILER_BYTES: usize = 96;
pub(crate) const FRAME_HEADER_BYTES: usize = 12;
pub(crate) const RECORD_PREFIX_BYTES: usize = 32;
pub(crate) const CONTENT_PREFIX_BYTES: usize = 64;
/// Flag: a group without records whose content belongs to the next group that has records.
pub(crate) const FLAG_CONTENT_ONLY: u32 = 1;

const HEADER_MAGIC: &[u8; 8] = b"FDRGRP01";
const TRAILER_MAGIC: &[u8; 8] = b"FDREND01";
const KIND_RECORD: u8 = 1;
const KIND_CONTENT: u8 = 2;
const KIND_CHECKPOINT: u8 = 3;

/// Bytes that a record takes in a group beside its own.
pub(crate) const RECORD_OVERHEAD: usize = FRAME_HEADER_BYTES + RECORD_PREFIX_BYTES;
/// Bytes that a content chunk takes in a group beside its own.
pub(crate) const CONTENT_OVERHEAD: usize = FRAME_HEADER_BYTES + CONTENT_PREFIX_BYTES;

/// What is wrong with a group or a segment header, and where, relative to its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

fn fault<T>(offset: usize, what: &'static str) -> Result<T, Fault> {
    Err(Fault { offset: offset as u64, what })
}

/// The fixed 128 bytes at the start of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) flags: u32,
    pub(crate) number: u64,
    pub(crate) first_index: u64,
    pub(crate) records: u32,
    pub(crate) frames: u32,
    pub(crate) body_bytes: u32,
    pub(crate) wall_ns: u64,
    pub(crate) salt: [u8; 16],
    pub(crate) previous_hash: Hash,
}

impl GroupHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0u8; HEADER_BYTES];
        bytes[0..8].copy_from_slice(HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.records.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.frames.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.wall_ns.to_le_bytes());
        bytes[56..72].copy_from_slice(&self.salt);
        bytes[72..104].copy_from_slice(&self.previous_hash);
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads and checks a header: magic, checksum, lengths within bounds, unused bytes zero.
    pub(crate) fn decode(bytes: &[u8]) -> Result<GroupHeader, Fault> {
        if bytes.len() < HEADER_BYTES {
            return fault(bytes.len(), "the group header is cut off");
        }
        let bytes = &bytes[..HEADER_BYTES];
        if &bytes[0..8] != HEADER_MAGIC {
            return fault(0, "the group header has the wrong magic");
        }
        if crc32c::crc32c(&bytes[..124]) != read_u32(bytes, 124) {
            return fault(124, "the group header does not match its checksum");
        }
        let header = GroupHeader {
            flags: read_u32(bytes, 8),
            number: read_u64(bytes, 16),
            first_index: read_u64(bytes, 24),
            records: read_u32(bytes, 32),
            frames: read_u32(bytes, 36),
            body_bytes: read_u32(bytes, 40),
            wall_ns: read_u64(bytes, 48),
            salt: array(bytes, 56),
            previous_hash: array(bytes, 72),
        };
        if header.flags & !FLAG_CONTENT_ONLY != 0 {
            return fault(8, "the group has unknown flags");
        }
        if (header.flags & FLAG_CONTENT_ONLY != 0) && header.records != 0 {
            return fault(8, "the group is marked as without records and has some");
        }
        if !is_zero(&bytes[12..16]) || !is_zero(&bytes[44..48]) || !is_zero(&bytes[104..124]) {
            return fault(12, "unused bytes of the group header are not zero");
        }
        if header.body_bytes as usize > MAX_GROUP_BYTES - HEADER_BYTES - TRAILER_BYTES {
            return fault(40, "the group is longer than 4 MiB");
        }
        if header.records > header.frames
            || header.frames as usize > header.body_bytes as usize / FRAME_HEADER_BYTES
        {
            return fault(32, "the group's counts do not fit its length");
        }
        Ok(header)
    }

    /// Length on disk in bytes, padding included.
    pub(crate) fn total_bytes(&self) -> usize {
        group_bytes(self.body_bytes as usize)
    }

    pub(crate) fn is_content_only(&self) -> bool {
        self.flags & FLAG_CONTENT_ONLY != 0
    }
}

/// Length on disk of a group with a body of `body_bytes`.
pub(crate) fn group_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes + TRAILER_BYTES).next_multiple_of(BLOCK_BYTES)
}

/// The 96 bytes after the last frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupTrailer {
    pub(crate) tree_size: u64,
    pub(crate) root: Hash,
    pub(crate) group_hash: Hash,
}

impl GroupTrailer {
    fn encode(&self, header: &[u8]) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0u8; TRAILER_BYTES];
        bytes[0..8].copy_from_slice(TRAILER_MAGIC);
        bytes[8..16].copy_from_slice(&self.tree_size.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.root);
        bytes[48..80].copy_from_slice(&self.group_hash);
        let crc = crc32c::crc32c_append(crc32c::crc32c(header), &bytes[..80]);
        bytes[80..84].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the trailer of a whole group and checks magic, checksum (which covers the header too) and padding.
    pub(crate) fn decode(group: &[u8], header: &GroupHeader) -> Result<GroupTrailer, Fault> {
        let at = HEADER_BYTES + header.body_bytes as usize;
        let total = header.total_bytes();
        if group.len() < total {
            return fault(group.len(), "the group is cut off");
        }
        let bytes = &group[at..at + TRAILER_BYTES];
        if &bytes[0..8] != TRAILER_MAGIC {
            return fault(at, "the group trailer has the wrong magic");
        }
        if crc32c::crc32c_append(crc32c::crc32c(&group[..HEADER_BYTES]), &bytes[..80]) != read_u32(bytes, 80)
        {
            return fault(at + 80, "the group trailer does not match its checksum");
        }
        if !is_zero(&group[at + 84..total]) {
            return fault(at + 84, "the group's padding is not zero");
        }
        Ok(GroupTrailer {
            tree_size: read_u64(bytes, 8),
            root: array(bytes, 16),
            group_hash: array(bytes, 48),
        })
    }
}

/// One frame of a group's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A record, which is a leaf.
    Record(RecordFrame<'a>),
    /// A content or a chunk of one.
    Content(ContentFrame<'a>),
    /// The note text of a checkpoint signed earlier.
    Checkpoint(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordFrame<'a> {
    pub(crate) source: [u8; 16],
    pub(crate) seq: u64,
    /// Position in its batch.
    pub(crate) position: u32,
    /// Records in its batch.
    pub(crate) batch_records: u32,
    pub(crate) bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentFrame<'a> {
    pub(crate) digest: Hash,
    pub(crate) salt: [u8; 16],
    /// Length of the whole content.
    pub(crate) total_bytes: u64,
    /// Where in the content this chunk belongs.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

/// A frame with its place: `at` is the offset of the frame within the group, `head` its header and prefix.
pub(crate) struct PlacedFrame<'a> {
    pub(crate) at: usize,
    pub(crate) head: &'a [u8],
    pub(crate) frame: Frame<'a>,
}

/// Walks the frames of a whole group, checking lengths, checksums and fields.
pub(crate) struct Frames<'a> {
    group: &'a [u8],
    at: usize,
    end: usize,
    left: u32,
}

impl<'a> Frames<'a> {
    /// `group` must hold the whole group that `header` stands at the start of.
    pub(crate) fn new(group: &'a [u8], header: &GroupHeader) -> Frames<'a> {
        let end = (HEADER_BYTES + header.body_bytes as usize).min(group.len());
        Frames { group, at: HEADER_BYTES.min(end), end, left: header.frames }
    }

    fn parse(&mut self) -> Result<PlacedFrame<'a>, Fault> {
        let at = self.at;
        let body = &self.group[at..self.end];
        if body.len() < FRAME_HEADER_BYTES {
            return fault(at, "a frame header is cut off");
        }
        let len = read_u32(body, 4) as usize;
        if len > body.len() - FRAME_HEADER_BYTES {
            return fault(at + 4, "a frame is longer than its group");
        }
        let whole = &body[..FRAME_HEADER_BYTES + len];
        if crc32c::crc32c(&whole[4..]) != read_u32(whole, 0) {
            return fault(at, "a frame does not match its checksum");
        }
        if !is_zero(&whole[9..12]) {
            return fault(at + 9, "unused bytes of a frame header are not zero");
        }
        let payload = &whole[FRAME_HEADER_BYTES..];
        let (head_bytes, frame) = match whole[8] {
            KIND_RECORD if len >= RECORD_PREFIX_BYTES && len - RECORD_PREFIX_BYTES <= MAX_RECORD_BYTES => {
                let record = RecordFrame {
                    source: array(payload, 0),
                    seq: read_u64(payload, 16),
                    position: read_u32(payload, 24),
                    batch_records: read_u32(payload, 28),
                    bytes: &payload[RECORD_PREFIX_BYTES..],
                };
                (FRAME_HEADER_BYTES + RECORD_PREFIX_BYTES, Frame::Record(record))
            }
            // Logs of before 2026-11-25 have chunks longer than MAX_CHUNK_BYTES, as long as a group may be.
            KIND_CONTENT if (CONTENT_PREFIX_BYTES..=MAX_GROUP_BYTES).contains(&len) => {
                let content = ContentFrame {
                    digest: array(payload, 0),
                    salt: array(payload, 32),
                    total_bytes: read_u64(payload, 48),
                    offset: read_u64(payload, 56),
                    bytes: &payload[CONTENT_PREFIX_BYTES..],
                };
                let end = content.offset.checked_add(content.bytes.len() as u64);
                if content.total_bytes > MAX_CONTENT_BYTES || end.is_none_or(|end| end > content.total_bytes)
                {
                    return fault(at + FRAME_HEADER_BYTES + 48, "a content chunk lies outside its content");
                }
                (FRAME_HEADER_BYTES + CONTENT_PREFIX_BYTES, Frame::Content(content))
            }
            KIND_CHECKPOINT => (whole.len(), Frame::Checkpoint(payload)),
            KIND_RECORD | KIND_CONTENT => return fault(at + 4, "a frame's length does not fit its kind"),
            _ => return fault(at + 8, "a frame is of an unknown kind"),
        };
        self.at += whole.len();
        Ok(PlacedFrame { at, head: &whole[..head_bytes], frame })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<PlacedFrame<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.at < self.end {
                let at = self.at;
                self.at = self.end;
                return Some(fault(at, "the group has bytes after its last frame"));
            }
            return None;
        }
        self.left -= 1;
        let parsed = self.parse();
        if parsed.is_err() {
            self.left = 0;
            self.at = self.end;
        }
        Some(parsed)
    }
}

/// Computes the group hash: SHA-256 over every frame (a record's bytes stand as their leaf hash, a content's as the
/// digest in its prefix), then header, tree size and root.
struct GroupHasher(Sha256);

impl GroupHasher {
    fn new() -> GroupHasher {
        GroupHasher(Sha256::new())
    }

    fn record(&mut self, head: &[u8], leaf: &Hash) {
        self.0.update(head);
        self.0.update(leaf);
    }

    fn other(&mut self, head: &[u8]) {
        self.0.update(head);
    }

    fn finish(mut self, header: &[u8], tree_size: u64, root: &Hash) -> Hash {
        self.0.update(header);
        self.0.update(tree_size.to_le_bytes());
        self.0.update(root);
        self.0.finalize().into()
    }
}

/// Where the log stands after a group: what the next group must continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) next_group: u64,
    pub(crate) previous_hash: Hash,
    pub(crate) range: CompactRange,
    /// The salt of the current segment.
    pub(crate) salt: [u8; 16],
}

/// Checks a whole group against the chain: every field, checksum, leaf, node and hash is recomputed from the bytes.
///
/// `seen` is called with each frame and, for records, the leaf hash and index. `chain` advances only on success;
/// `seen` may have been called for some frames of a group that turns out to be bad.
pub(crate) fn check_group(
    bytes: &[u8],
    header: &GroupHeader,
    chain: &mut Chain,
    mut seen: impl FnMut(&PlacedFrame<'_>, Option<(u64, Hash)>, &CompactRange) -> Result<(), Fault>,
) -> Result<GroupTrailer, Fault> {
    if header.salt != chain.salt {
        return fault(56, "the group does not belong to this segment (salt)");
    }
    if header.number != chain.next_group {
        return fault(16, "the group number does not follow");
    }
    if header.first_index != chain.range.size() {
        return fault(24, "the group's first record index does not follow");
    }
    if header.previous_hash != chain.previous_hash {
        return fault(72, "the group does not name its predecessor's hash");
    }
    let trailer = GroupTrailer::decode(bytes, header)?;
    let mut range = chain.range.clone();
    let mut hasher = GroupHasher::new();
    let mut batch: Option<([u8; 16], u64, u32, u32)> = None;
    for placed in Frames::new(bytes, header) {
        let placed = placed?;
        match &placed.frame {
            Frame::Record(record) => {
                let leaf = leaf_hash(record.bytes);
                hasher.record(placed.head, &leaf);
                let this = (record.source, record.seq, record.position, record.batch_records);
                let follows = match batch {
                    None => record.position == 0,
                    Some((source, seq, position, count)) => {
                        this == (source, seq, position.wrapping_add(1), count)
                    }
                };
                if !follows || record.position >= record.batch_records {
                    return fault(placed.at, "a batch is not whole");
                }
                batch = (record.position + 1 < record.batch_records).then_some(this);
                let index = range.size();
                range.push(leaf);
                seen(&placed, Some((index, leaf)), &range)?;
            }
            Frame::Content(_) | Frame::Checkpoint(_) => {
                hasher.other(placed.head);
                seen(&placed, None, &range)?;
            }
        }
    }
    let end = HEADER_BYTES + header.body_bytes as usize;
    if batch.is_some() {
        return fault(end, "a batch is not whole");
    }
    if range.size().wrapping_sub(header.first_index) != u64::from(header.records) {
        return fault(32, "the group's record count is wrong");
    }
    if trailer.tree_size != range.size() {
        return fault(end + 8, "the tree size is wrong");
    }
    if trailer.root != range.root() {
        return fault(end + 16, "the root does not match the records");
    }
    if trailer.group_hash != hasher.finish(&bytes[..HEADER_BYTES], trailer.tree_size, &trailer.root) {
        return fault(end + 48, "the group hash does not match");
    }
    chain.range = range;
    chain.next_group += 1;
    chain.previous_hash = trailer.group_hash;
    Ok(trailer)
}

/// Checks a group whose place in the tree is not known because something before it is damaged: everything but the
/// tree, so checksums, counts and the group hash over the stored tree size and root.
pub(crate) fn check_unplaced(
    bytes: &[u8],
    header: &GroupHeader,
    mut seen: impl FnMut(&PlacedFrame<'_>) -> Result<(), Fault>,
) -> Result<GroupTrailer, Fault> {
    let trailer = GroupTrailer::decode(bytes, header)?;
    let end = HEADER_BYTES + header.body_bytes as usize;
    let mut hasher = GroupHasher::new();
    let mut records = 0;
    for placed in Frames::new(bytes, header) {
        let placed = placed?;
        match &placed.frame {
            Frame::Record(record) => {
                hasher.record(placed.head, &leaf_hash(record.bytes));
                records += 1;
            }
            Frame::Content(_) | Frame::Checkpoint(_) => hasher.other(placed.head),
        }
        seen(&placed)?;
    }
    if records != header.records {
        return fault(32, "the group's record count is wrong");
    }
    if header.first_index.checked_add(u64::from(records)) != Some(trailer.tree_size) {
        return fault(end + 8, "the tree size is wrong");
    }
    if trailer.group_hash != hasher.finish(&bytes[..HEADER_BYTES], trailer.tree_size, &trailer.root) {
        return fault(end + 48, "the group hash does not match");
    }
    Ok(trailer)
}

/// Checks that a group is complete by its checksums alone; for readers, which do not recompute the tree.
pub(crate) fn is_complete(bytes: &[u8], header: &GroupHeader) -> Result<GroupTrailer, Fault> {
    let trailer = GroupTrailer::decode(bytes, header)?;
    for placed in Frames::new(bytes, header) {
        placed?;
    }
    Ok(trailer)
}

/// Builds one group in an aligned buffer that is reused from group to group.
pub(crate) struct GroupBuilder {
    buffer: AlignedBuffer,
    hasher: GroupHasher,
    records: u32,
    frames: u32,
}

impl GroupBuilder {
    pub(crate) fn new() -> GroupBuilder {
        let mut buffer = AlignedBuffer::with_capacity(256 * 1024);
        buffer.resize(HEADER_BYTES);
        GroupBuilder { buffer, hasher: GroupHasher::new(), records: 0, frames: 0 }
    }

    /// Empties the builder for the next group. A buffer that one large group has blown up is given back.
    pub(crate) fn clear(&mut self) {
        if self.buffer.capacity() > 1024 * 1024 {
            self.buffer = AlignedBuffer::with_capacity(256 * 1024);
        }
        self.buffer.resize(0);
        self.buffer.resize(HEADER_BYTES);
        self.hasher = GroupHasher::new();
        self.records = 0;
        self.frames = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Body bytes so far.
    pub(crate) fn body_bytes(&self) -> usize {
        self.buffer.len() - HEADER_BYTES
    }

    fn frame(&mut self, kind: u8, prefix: &[u8], bytes: &[u8]) -> std::ops::Range<usize> {
        let at = self.buffer.len();
        let len = (prefix.len() + bytes.len()) as u32;
        let mut head = [0u8; FRAME_HEADER_BYTES];
        head[4..8].copy_from_slice(&len.to_le_bytes());
        head[8] = kind;
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&head[4..]), prefix), bytes);
        head[0..4].copy_from_slice(&crc.to_le_bytes());
        self.buffer.extend(&head);
        self.buffer.extend(prefix);
        self.buffer.extend(bytes);
        self.frames += 1;
        at..at + FRAME_HEADER_BYTES + prefix.len()
    }

    /// Appends a record with its leaf hash.
    pub(crate) fn record(&mut self, record: &RecordFrame<'_>, leaf: &Hash) {
        let mut prefix = [0u8; RECORD_PREFIX_BYTES];
        prefix[0..16].copy_from_slice(&record.source);
        prefix[16..24].copy_from_slice(&record.seq.to_le_bytes());
        prefix[24..28].copy_from_slice(&record.position.to_le_bytes());
        prefix[28..32].copy_from_slice(&record.batch_records.to_le_bytes());
        let head = self.frame(KIND_RECORD, &prefix, record.bytes);
        self.hasher.record(&self.buffer[head], leaf);
        self.records += 1;
    }

    /// Appends a content or a chunk of one.
    pub(crate) fn content(&mut self, content: &ContentFrame<'_>) {
        let mut prefix = [0u8; CONTENT_PREFIX_BYTES];
        prefix[0..32].copy_from_slice(&content.digest);
        prefix[32..48].copy_from_slice(&content.salt);
        prefix[48..56].copy_from_slice(&content.total_bytes.to_le_bytes());
        prefix[56..64].copy_from_slice(&content.offset.to_le_bytes());
        let head = self.frame(KIND_CONTENT, &prefix, content.bytes);
        self.hasher.other(&self.buffer[head]);
    }

    /// Appends the note text of a checkpoint.
    pub(crate) fn checkpoint(&mut self, note: &[u8]) {
        let head = self.frame(KIND_CHECKPOINT, note, &[]);
        self.hasher.other(&self.buffer[head]);
    }

    /// Completes the group and returns its bytes and group hash. `range` is the tree after the group's records
    /// and `root` its root.
    pub(crate) fn finish(
        &mut self,
        chain: &Chain,
        range: &CompactRange,
        root: &Hash,
        flags: u32,
        wall_ns: u64,
    ) -> (&[u8], Hash) {
        let header = GroupHeader {
            flags,
            number: chain.next_group,
            first_index: chain.range.size(),
            records: self.records,
            frames: self.frames,
            body_bytes: self.body_bytes() as u32,
            wall_ns,
            salt: chain.salt,
            previous_hash: chain.previous_hash,
        }
        .encode();
        self.buffer[..HEADER_BYTES].copy_from_slice(&header);
        let hasher = std::mem::replace(&mut self.hasher, GroupHasher::new());
        let group_hash = hasher.finish(&header, range.size(), root);
        let trailer = GroupTrailer { tree_size: range.size(), root: *root, group_hash };
        self.buffer.extend(&trailer.encode(&header));
        let padded = self.buffer.len().next_multiple_of(BLOCK_BYTES);
        self.buffer.resize(padded);
        (&self.buffer, group_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        Chain { next_group: 5, previous_hash: [7; 32], range: CompactRange::new(), salt: [1; 16] }
    }

    fn group() -> Vec<u8> {
        let mut builder = GroupBuilder::new();
        let mut range = CompactRange::new();
        builder.checkpoint(b"note");
        builder.content(&ContentFrame {
            digest: [3; 32],
            salt: [4; 16],
            total_bytes: 4,
            offset: 0,
            bytes: b"full",
        });
        for (position, bytes) in [b"one".as_slice(), b"two"].into_iter().enumerate() {
            let leaf = leaf_hash(bytes);
            let record =
                RecordFrame { source: [2; 16], seq: 9, position: position as u32, batch_records: 2, bytes };
            builder.record(&record, &leaf);
            range.push(leaf);
        }
        builder.finish(&chain(), &range, &range.root(), 0, 77).0.to_vec()
    }

    #[test]
    fn a_group_survives_encoding() {
        let bytes = group();
        let header = GroupHeader::decode(&bytes).unwrap();
        let mut after = chain();
        let mut kinds = Vec::new();
        let trailer = check_group(&bytes, &header, &mut after, |placed, leaf, _| {
            kinds.push((placed.at, leaf.map(|(index, _)| index)));
            Ok(())
        })
        .unwrap();
        assert_eq!(kinds.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [None, None, Some(0), Some(1)]);
        assert_eq!((after.next_group, after.range.size(), after.previous_hash), (6, 2, trailer.group_hash));
    }

    #[test]
    fn every_flipped_byte_of_a_group_is_found() {
        let mut bytes = group();
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            let checked = GroupHeader::decode(&bytes)
                .and_then(|header| check_group(&bytes, &header, &mut chain(), |_, _, _| Ok(())));
            assert!(checked.is_err(), "byte {at}");
            bytes[at] ^= 0x10;
        }
    }
}
