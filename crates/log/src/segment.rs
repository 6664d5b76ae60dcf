//! A segment file: its name, its header block, and reading it group by group.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::disk::{Access, AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};
use crate::group::{Fault, GroupHeader, MAX_GROUP_BYTES};
use crate::note::VerifierKey;
use crate::sealed::{SealedFile, sealed_name, sealed_number};
use crate::tree::{CompactRange, Hash};

/// The version of the on-disk format that is written; all versions up to it are read.
pub const FORMAT_VERSION: u32 = 1;
/// The smallest segment, in bytes.
pub const MIN_SEGMENT_BYTES: u64 = 256 * 1024;
/// The largest segment, in bytes.
pub const MAX_SEGMENT_BYTES: u64 = 1024 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"FDRSEG01";
const PEAKS_AT: usize = 544;
const CRC_AT: usize = BLOCK_BYTES - 4;

/// The file name of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}.seg")
}

/// The segment number of a file name; `None` for every other file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// The numbers of all segments, sealed or not, ascending.
pub(crate) fn segment_numbers(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let number = |name: &String| segment_number(name).or_else(|| sealed_number(name));
    let mut numbers: Vec<u64> = disk.names()?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Opens segment `number` for reading, sealed or not. The one place that knows the difference.
pub(crate) fn open_segment(disk: &dyn Disk, number: u64, access: Access) -> io::Result<Arc<dyn DiskFile>> {
    // In this order: a segment is removed only after its sealed form is there.
    match disk.open(&segment_name(number), access) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = disk.open(&sealed_name(number), access).map_err(|sealed| match sealed.kind() {
                io::ErrorKind::NotFound => error,
                _ => sealed,
            })?;
            // A damaged block is to be found as damage to its groups, and the rest to be read.
            Ok(Arc::new(SealedFile::open(file, number, true)?))
        }
        opened => opened,
    }
}

/// Whether only the sealed form of a segment is there. Such a segment is full: another one follows.
pub(crate) fn is_sealed(disk: &dyn Disk, number: u64) -> bool {
    let there = |name: &str| !matches!(disk.open(name, Access::Read), Err(error) if error.kind() == io::ErrorKind::NotFound);
    !there(&segment_name(number)) && there(&sealed_name(number))
}

/// The name of the file that segment `number` is read from.
pub(crate) fn segment_file_name(disk: &dyn Disk, number: u64) -> String {
    if is_sealed(disk, number) { sealed_name(number) } else { segment_name(number) }
}

/// Identifies a log: SHA-256 of its verifier key as text, so of origin and public key.
pub(crate) fn log_id(key: &VerifierKey) -> Hash {
    Sha256::digest(key.to_string().as_bytes()).into()
}

/// Block 0 of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) first_group: u64,
    pub(crate) created_wall_ns: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) salt: [u8; 16],
    /// The last group hash of the previous segment; zeros in segment 0.
    pub(crate) previous_hash: Hash,
    pub(crate) verifier: VerifierKey,
    /// The tree before the first record of this segment.
    pub(crate) range: CompactRange,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> AlignedBuffer {
        let mut block = AlignedBuffer::with_capacity(BLOCK_BYTES);
        block.resize(BLOCK_BYTES);
        let key = self.verifier.to_string();
        let peaks = self.range.peaks();
        block[0..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&(peaks.len() as u32).to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..32].copy_from_slice(&self.range.size().to_le_bytes());
        block[32..40].copy_from_slice(&self.first_group.to_le_bytes());
        block[40..48].copy_from_slice(&self.created_wall_ns.to_le_bytes());
        block[48..64].copy_from_slice(&self.salt);
        block[64..96].copy_from_slice(&self.previous_hash);
        block[96..128].copy_from_slice(&log_id(&self.verifier));
        block[128..136].copy_from_slice(&self.segment_bytes.to_le_bytes());
        block[136..138].copy_from_slice(&(key.len() as u16).to_le_bytes());
        block[138..138 + key.len()].copy_from_slice(key.as_bytes());
        for (at, peak) in peaks.iter().enumerate() {
            block[PEAKS_AT + 32 * at..][..32].copy_from_slice(peak);
        }
        let crc = crc32c::crc32c(&block[..CRC_AT]);
        block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a header block and checks everything that can be checked in it alone.
    pub(crate) fn decode(block: &[u8], number: u64) -> Result<SegmentHeader, Fault> {
        let fault = |offset: usize, what: &'static str| Fault { offset: offset as u64, what };
        if block.len() < BLOCK_BYTES {
            return Err(fault(block.len(), "the segment header is cut off"));
        }
        let block = &block[..BLOCK_BYTES];
        if &block[0..8] != MAGIC {
            return Err(fault(0, "the segment header has the wrong magic"));
        }
        if crc32c::crc32c(&block[..CRC_AT]).to_le_bytes() != block[CRC_AT..] {
            return Err(fault(CRC_AT, "the segment header does not match its checksum"));
        }
        if read_u32(block, 8) != FORMAT_VERSION {
            return Err(fault(8, "the segment is of a format version that is not known here"));
        }
        if read_u64(block, 16) != number {
            return Err(fault(16, "the segment number does not match the file name"));
        }
        let peak_count = read_u32(block, 12) as usize;
        if peak_count > 64 {
            return Err(fault(12, "the segment header has more than 64 peaks"));
        }
        let peaks_end = PEAKS_AT + 32 * peak_count;
        let peaks = block[PEAKS_AT..peaks_end].chunks_exact(32).map(|peak| array(peak, 0)).collect();
        let range = CompactRange::from_peaks(read_u64(block, 24), peaks)
            .ok_or(fault(12, "the number of peaks does not belong to the tree size"))?;
        let key_end = 138 + usize::from(u16::from_le_bytes(array(block, 136)));
        if key_end > PEAKS_AT {
            return Err(fault(136, "the verifier key is too long"));
        }
        let verifier: VerifierKey = std::str::from_utf8(&block[138..key_end])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(fault(138, "the verifier key is malformed"))?;
        if array::<32>(block, 96) != log_id(&verifier) {
            return Err(fault(96, "the log id does not belong to the verifier key"));
        }
        if !is_zero(&block[key_end..PEAKS_AT]) || !is_zero(&block[peaks_end..CRC_AT]) {
            return Err(fault(key_end, "unused bytes of the segment header are not zero"));
        }
        let segment_bytes = read_u64(block, 128);
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&segment_bytes)
            || !segment_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            return Err(fault(128, "the segment size is out of bounds"));
        }
        Ok(SegmentHeader {
            number,
            first_group: read_u64(block, 32),
            created_wall_ns: read_u64(block, 40),
            segment_bytes,
            salt: array(block, 48),
            previous_hash: array(block, 64),
            verifier,
            range,
        })
    }

    /// What the first group of the segment names as its predecessor: a hash over the whole header block, which in
    /// turn names the last group of the previous segment. So the chain runs through every byte of every header.
    pub(crate) fn chain_hash(block: &[u8]) -> Hash {
        Sha256::digest(&block[..BLOCK_BYTES.min(block.len())]).into()
    }
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// A fixed-size copy from a slice that is known to be long enough; short slices give zeros, never a panic.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// Reads a segment through a window, front to back, with memory bounded by the largest group and one read ahead.
pub(crate) struct SegmentWindow {
    file: Arc<dyn DiskFile>,
    buffer: AlignedBuffer,
    /// File offset of the buffer's first byte; a multiple of the block size.
    start: u64,
    file_bytes: u64,
    chunk_bytes: usize,
}

impl SegmentWindow {
    pub(crate) fn new(file: Arc<dyn DiskFile>, chunk_bytes: usize) -> io::Result<SegmentWindow> {
        let file_bytes = file.size_bytes()?;
        if file_bytes > MAX_SEGMENT_BYTES {
            // Also keeps a huge sparse file from holding up those who look for bytes that are not zero.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is longer than a segment can be",
            ));
        }
        Ok(SegmentWindow {
            file,
            buffer: AlignedBuffer::with_capacity(chunk_bytes),
            start: 0,
            file_bytes,
            chunk_bytes,
        })
    }

    /// The file's length when it was opened or last [refreshed](Self::refresh).
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Forgets what is buffered, so that the next read sees what a writer added.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.buffer.resize(0);
        self.file_bytes = self.file.size_bytes()?;
        Ok(())
    }

    /// The bytes at `offset` (a multiple of the block size), `len` of them or fewer where the file ends.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(len as u64).min(self.file_bytes);
        if end <= offset {
            return Ok(&[]);
        }
        let buffered_end = self.start + self.buffer.len() as u64;
        if offset < self.start || end > buffered_end {
            let keep = if (self.start..buffered_end).contains(&offset) {
                (buffered_end - offset) as usize
            } else {
                0
            };
            // Keep whole blocks only: direct reads must begin on a block.
            let keep = keep - keep % BLOCK_BYTES;
            if keep > 0 {
                let from = (offset - self.start) as usize;
                self.buffer.copy_within(from..from + keep, 0);
            }
            self.start = offset;
            let wanted = ((end - offset) as usize).max(self.chunk_bytes).next_multiple_of(BLOCK_BYTES);
            self.buffer.set_len_uncleared(wanted.max(keep));
            let read = self.file.read_at(&mut self.buffer[keep..], offset + keep as u64);
            match read {
                Ok(count) => self.buffer.set_len_uncleared(keep + count),
                Err(error) => {
                    self.buffer.resize(0);
                    return Err(error);
                }
            }
        }
        let from = (offset - self.start) as usize;
        let to = (from + (end - offset) as usize).min(self.buffer.len());
        Ok(&self.buffer[from.min(to)..to])
    }

    /// The whole group at `offset`, if a well-formed group header stands there and the file is long enough.
    pub(crate) fn group(&mut self, offset: u64) -> io::Result<Result<(GroupHeader, &[u8]), Fault>> {
        let header = match GroupHeader::decode(self.bytes(offset, BLOCK_BYTES)?) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        let total = header.total_bytes();
        let bytes = self.bytes(offset, total)?;
        if bytes.len() < total {
            return Ok(Err(Fault { offset: bytes.len() as u64, what: "the group is cut off" }));
        }
        Ok(Ok((header, bytes)))
    }

    /// The first offset at or after `from` whose block is not zero, and the end of the last such block.
    pub(crate) fn not_zero(&mut self, from: u64) -> io::Result<Option<(u64, u64)>> {
        let mut found: Option<(u64, u64)> = None;
        let mut offset = from;
        loop {
            let chunk = self.chunk_bytes.min(MAX_GROUP_BYTES);
            let bytes = self.bytes(offset, chunk)?;
            if bytes.is_empty() {
                return Ok(found);
            }
            let count = bytes.len() as u64;
            if !is_zero(bytes) {
                for (at, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
                    if !is_zero(block) {
                        let block_at = offset + (at * BLOCK_BYTES) as u64;
                        let (first, _) = found.unwrap_or((block_at, 0));
                        found = Some((first, block_at + BLOCK_BYTES as u64));
                    }
                }
            }
            offset += count.next_multiple_of(BLOCK_BYTES as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;
    use crate::tree::leaf_hash;

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(segment_name(7), "00000007.seg");
        assert_eq!(segment_number("00000007.seg"), Some(7));
        assert_eq!(segment_number("100000007.seg"), Some(100_000_007));
        for name in ["7.seg", "+0000007.seg", "00000007", "checkpoint", "000000007.seg"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_survives_encoding_and_every_flip_is_found() {
        let mut range = CompactRange::new();
        (0..7u8).for_each(|n| range.push(leaf_hash(&[n])));
        let verifier = SigningKey::from_seed(&[1; 32]).verifier("log.example/x").unwrap();
        let header = SegmentHeader {
            number: 3,
            first_group: 9,
            created_wall_ns: 1,
            segment_bytes: MIN_SEGMENT_BYTES,
            salt: [2; 16],
            previous_hash: [3; 32],
            verifier,
            range,
        };
        let mut block = header.encode().to_vec();
        assert_eq!(SegmentHeader::decode(&block, 3), Ok(header));
        assert!(SegmentHeader::decode(&block, 4).is_err());
        for at in 0..block.len() {
            block[at] ^= 1;
            assert!(SegmentHeader::decode(&block, 3).is_err(), "byte {at}");
            block[at] ^= 1;
        }
    }
}
