//! Sealed segments: full segments, compressed.
//!
//! A sealed segment (`NNNNNNNN.segz`) decompresses to exactly the bytes of the segment that it replaces, up to the zeros
//! at its end. [`SealedFile`] is a [`DiskFile`] that does so block by block, and it is opened wherever a segment is
//! opened; so no record, hash or proof knows of it, and what a reader or the verifier recomputes is what was written.
//! The file is laid out in FORMAT.md. Its checksums and its hash are there to find faults early, they are no evidence.
//!
//! The blocks are compressed with a trained dictionary. Each file has its own copy: it can be read alone, for ever,
//! whatever else is pruned or lost. That costs about 0.1 % of a segment.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::disk::{Access, AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};
use crate::group::{Frame, Frames, GroupHeader, MAX_GROUP_BYTES};
use crate::regroup::{restore, shorten};
use crate::segment::{
    MAX_SEGMENT_BYTES, SegmentHeader, SegmentWindow, array, is_zero, read_u32, read_u64, segment_name,
};
use crate::tree::Hash;

/// The longest dictionary, in bytes.
pub const MAX_DICTIONARY_BYTES: usize = 112 * 1024;
/// The longest block before compression, in bytes: a group fits.
const MAX_RAW_BLOCK_BYTES: usize = MAX_GROUP_BYTES;
/// A block is closed when it has this many bytes. Of single events, 4 KiB each, some 150 KiB are left to compress.
const BLOCK_TARGET_BYTES: usize = 1024 * 1024;
/// How long a trained dictionary is, in bytes.
const DICTIONARY_BYTES: usize = 32 * 1024;
/// How much of a segment a dictionary is trained on, in bytes; in samples of this size, so many of one content.
const TRAINING_BYTES: usize = 4 * 1024 * 1024;
const SAMPLE_BYTES: usize = 8 * 1024;
const MAX_CHUNKS: usize = 8;
/// Fewer samples make no dictionary.
const MIN_SAMPLES: usize = 64;
/// A dictionary is trained anew when a segment compresses worse than the one it was trained on, by this factor.
const DEGRADED: f64 = 1.15;
/// The level of zstd, and the one for a sealer that is far behind; BENCHMARKS.md has what they give.
const LEVEL: i32 = 19;
const LEVEL_BEHIND: i32 = 3;
/// How many segments that wait are far behind.
const FAR_BEHIND: usize = 8;
/// Written at a time, in bytes: a large write would hold up those of the log.
const WRITE_BYTES: usize = 128 * 1024;
/// Decompressed blocks that an open file keeps.
const CACHED_BLOCKS: usize = 3;
/// What verification is given in place of a block that cannot be decompressed: no header and no zero.
const FILLER: u8 = 0xff;

const MAGIC: &[u8; 8] = b"FDRSGZ01";
const VERSION: u32 = 1;
const CRC_AT: usize = BLOCK_BYTES - 4;
const ENTRY_BYTES: usize = 16;
const METHOD_STORED: u8 = 0;
const METHOD_ZSTD: u8 = 1;
const METHOD_REGROUPED: u8 = 2;

/// What is wrong with a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealedError(&'static str);

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, SealedError(what))
}

/// The file name of segment `number` when it is sealed.
pub(crate) fn sealed_name(number: u64) -> String {
    format!("{number:08}.segz")
}

/// The name under which it is written.
pub(crate) fn unfinished_name(number: u64) -> String {
    format!("{number:08}.segz.new")
}

/// Block 0 of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    number: u64,
    raw_bytes: u64,
    raw_hash: Hash,
    dictionary_hash: Hash,
    dictionary_bytes: u32,
    packed_dictionary_bytes: u32,
    packed_dictionary_crc: u32,
    blocks: u32,
    table_at: u64,
}

impl Header {
    fn encode(&self) -> AlignedBuffer {
        let mut block = AlignedBuffer::with_capacity(BLOCK_BYTES);
        block.resize(BLOCK_BYTES);
        block[0..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&self.blocks.to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..32].copy_from_slice(&self.raw_bytes.to_le_bytes());
        block[32..64].copy_from_slice(&self.raw_hash);
        block[64..96].copy_from_slice(&self.dictionary_hash);
        block[96..100].copy_from_slice(&self.dictionary_bytes.to_le_bytes());
        block[100..104].copy_from_slice(&self.packed_dictionary_bytes.to_le_bytes());
        block[104..112].copy_from_slice(&self.table_at.to_le_bytes());
        block[112..116].copy_from_slice(&self.packed_dictionary_crc.to_le_bytes());
        let crc = crc32c::crc32c(&block[..CRC_AT]);
        block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    fn decode(block: &[u8]) -> io::Result<Header> {
        if block.len() < BLOCK_BYTES {
            return Err(invalid("the header of the sealed segment is cut off"));
        }
        let block = &block[..BLOCK_BYTES];
        if &block[0..8] != MAGIC {
            return Err(invalid("the header of the sealed segment has the wrong magic"));
        }
        if crc32c::crc32c(&block[..CRC_AT]).to_le_bytes() != block[CRC_AT..] {
            return Err(invalid("the header of the sealed segment does not match its checksum"));
        }
        if read_u32(block, 8) != VERSION {
            return Err(invalid("the sealed segment is of a version that is not known here"));
        }
        let header = Header {
            blocks: read_u32(block, 12),
            number: read_u64(block, 16),
            raw_bytes: read_u64(block, 24),
            raw_hash: array(block, 32),
            dictionary_hash: array(block, 64),
            dictionary_bytes: read_u32(block, 96),
            packed_dictionary_bytes: read_u32(block, 100),
            table_at: read_u64(block, 104),
            packed_dictionary_crc: read_u32(block, 112),
        };
        if !is_zero(&block[116..CRC_AT]) {
            return Err(invalid("unused bytes of the sealed segment's header are not zero"));
        }
        let table_bytes = u64::from(header.blocks) * ENTRY_BYTES as u64;
        let sound = header.raw_bytes <= MAX_SEGMENT_BYTES
            && header.raw_bytes.is_multiple_of(BLOCK_BYTES as u64)
            && header.dictionary_bytes as usize <= MAX_DICTIONARY_BYTES
            && header.packed_dictionary_bytes <= header.dictionary_bytes
            && (header.packed_dictionary_bytes == 0) == (header.dictionary_bytes == 0)
            && u64::from(header.blocks) <= header.raw_bytes / BLOCK_BYTES as u64
            && header.table_at >= BLOCK_BYTES as u64 + u64::from(header.packed_dictionary_bytes)
            && header.table_at <= 2 * MAX_SEGMENT_BYTES
            && table_bytes <= MAX_SEGMENT_BYTES;
        if sound {
            Ok(header)
        } else {
            Err(invalid("the sealed segment's header has lengths that cannot be"))
        }
    }

    fn table_bytes(&self) -> usize {
        self.blocks as usize * ENTRY_BYTES
    }

    /// The length of the whole file.
    fn file_bytes(&self) -> u64 {
        (self.table_at + self.table_bytes() as u64 + 4).next_multiple_of(BLOCK_BYTES as u64)
    }
}

/// One block: where it is, packed and not.
#[derive(Clone, Copy, Debug)]
struct Entry {
    raw_at: u64,
    raw_bytes: usize,
    at: u64,
    packed_bytes: usize,
    crc: u32,
    method: u8,
}

/// Reads the table and checks that its blocks lie side by side and make up the whole.
fn read_table(header: &Header, table: &[u8]) -> io::Result<Vec<Entry>> {
    let (rows, crc) = table.split_at(header.table_bytes());
    if crc32c::crc32c(rows) != read_u32(crc, 0) {
        return Err(invalid("the table of the sealed segment does not match its checksum"));
    }
    let mut entries = Vec::with_capacity(header.blocks as usize);
    let (mut raw_at, mut at) = (0, BLOCK_BYTES as u64 + u64::from(header.packed_dictionary_bytes));
    for row in rows.chunks_exact(ENTRY_BYTES) {
        let (raw_bytes, packed_bytes) = (read_u32(row, 0) as usize, read_u32(row, 4) as usize);
        let method = row[12];
        let sound = (1..=MAX_RAW_BLOCK_BYTES).contains(&raw_bytes)
            && raw_bytes.is_multiple_of(BLOCK_BYTES)
            && (1..=raw_bytes).contains(&packed_bytes)
            && (method != METHOD_STORED || packed_bytes == raw_bytes)
            && is_zero(&row[13..]);
        if !sound {
            return Err(invalid("a block of the sealed segment has lengths that cannot be"));
        }
        if method > METHOD_REGROUPED {
            return Err(invalid("a block of the sealed segment is packed in a way that is not known here"));
        }
        entries.push(Entry { raw_at, raw_bytes, at, packed_bytes, crc: read_u32(row, 8), method });
        raw_at += raw_bytes as u64;
        at += packed_bytes as u64;
    }
    if raw_at != header.raw_bytes || at != header.table_at {
        return Err(invalid("the blocks of the sealed segment do not make up the whole"));
    }
    Ok(entries)
}

/// Reads `len` bytes at any offset of a file whose reads must be aligned; fails where the file ends.
fn read_exactly(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let start = offset / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
    let skip = (offset - start) as usize;
    let mut buffer = AlignedBuffer::with_capacity(skip + len);
    buffer.set_len_uncleared((skip + len).next_multiple_of(BLOCK_BYTES));
    let count = file.read_at(&mut buffer, start)?;
    if count < skip + len {
        return Err(invalid("the sealed segment is cut off"));
    }
    Ok(buffer[skip..skip + len].to_vec())
}

type Decompressor = zstd::bulk::Decompressor<'static>;

/// A sealed segment, read as the segment that it was.
pub(crate) struct SealedFile {
    file: Arc<dyn DiskFile>,
    header: Header,
    entries: Vec<Entry>,
    /// Give [`FILLER`] for a block that is damaged, and remember the fault, in place of an error.
    lenient: bool,
    /// Held while a block is decompressed; taken before `state`. Made with the dictionary when it is needed: who wants a
    /// header needs none.
    decompressor: Mutex<Option<Decompressor>>,
    /// Held only to look and to put in.
    state: Mutex<State>,
    /// Somebody went on to another block, or no more will be asked for.
    moved: Condvar,
}

#[derive(Default)]
struct State {
    cache: VecDeque<(usize, Arc<Vec<u8>>)>,
    faults: Vec<SealedFault>,
    /// The block that was asked for last.
    at: usize,
    finished: bool,
}

/// A damage to a sealed segment that does not keep the rest from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedFault {
    /// Where in the segment that it was.
    pub(crate) offset: u64,
    pub(crate) what: String,
}

impl SealedFile {
    /// Opens the sealed segment `number`: its header and table are read and checked.
    pub(crate) fn open(file: Arc<dyn DiskFile>, number: u64, lenient: bool) -> io::Result<SealedFile> {
        let header = Header::decode(&read_exactly(file.as_ref(), 0, BLOCK_BYTES)?)?;
        if header.number != number {
            return Err(invalid("the sealed segment has another number than its name says"));
        }
        SealedFile::with_header(file, header, lenient)
    }

    fn with_header(file: Arc<dyn DiskFile>, header: Header, lenient: bool) -> io::Result<SealedFile> {
        if file.size_bytes()? != header.file_bytes() {
            return Err(invalid("the sealed segment is longer or shorter than its header says"));
        }
        let rest = (header.file_bytes() - header.table_at) as usize;
        let table = read_exactly(file.as_ref(), header.table_at, rest)?;
        let (table, padding) = table.split_at(header.table_bytes() + 4);
        if !is_zero(padding) {
            return Err(invalid("bytes behind the table of the sealed segment are not zero"));
        }
        let entries = read_table(&header, table)?;
        let (decompressor, state, moved) = (Mutex::default(), Mutex::default(), Condvar::new());
        Ok(SealedFile { file, header, entries, lenient, decompressor, state, moved })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Blocks are put in whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults met so far, if it was opened as `lenient`.
    pub(crate) fn take_faults(&self) -> Vec<SealedFault> {
        std::mem::take(&mut self.state().faults)
    }

    /// For a thread beside one that reads from front to back: decompresses each block before it is asked for, until
    /// [`finish`](Self::finish).
    pub(crate) fn read_ahead(&self) {
        for at in 0..self.entries.len() {
            let mut state = self.state();
            while !state.finished && state.at + 1 < at {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.finished {
                return;
            }
            drop(state);
            // Who asks for it meets the error again.
            let _ = self.block(at);
        }
    }

    /// Nothing more will be asked for.
    pub(crate) fn finish(&self) {
        self.state().finished = true;
        self.moved.notify_all();
    }

    /// Decompresses block `at`, unless it is at hand.
    fn block(&self, at: usize) -> io::Result<Arc<Vec<u8>>> {
        let cached =
            || self.state().cache.iter().find(|(cached, _)| *cached == at).map(|(_, block)| block.clone());
        if let Some(block) = cached() {
            return Ok(block);
        }
        let mut decompressor = self.decompressor.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have done it meanwhile.
        if let Some(block) = cached() {
            return Ok(block);
        }
        let entry = self.entries[at];
        let (raw, fault) = match self.unpack(&mut decompressor, &entry) {
            Err(error) if self.lenient && error.kind() == io::ErrorKind::InvalidData => {
                let what = format!("block {at} of the sealed segment: {error}");
                (vec![FILLER; entry.raw_bytes], Some(SealedFault { offset: entry.raw_at, what }))
            }
            unpacked => (unpacked?, None),
        };
        let raw = Arc::new(raw);
        let mut state = self.state();
        state.faults.extend(fault);
        if state.cache.len() >= CACHED_BLOCKS {
            state.cache.pop_front();
        }
        state.cache.push_back((at, raw.clone()));
        Ok(raw)
    }

    fn unpack(&self, decompressor: &mut Option<Decompressor>, entry: &Entry) -> io::Result<Vec<u8>> {
        let packed = read_exactly(self.file.as_ref(), entry.at, entry.packed_bytes)?;
        if crc32c::crc32c(&packed) != entry.crc {
            return Err(invalid("it does not match its checksum"));
        }
        if entry.method == METHOD_STORED {
            return Ok(packed);
        }
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => {
                let dictionary = read_dictionary(self.file.as_ref(), &self.header)?;
                decompressor.insert(Decompressor::with_dictionary(&dictionary)?)
            }
        };
        // The room is fixed, whatever the frame claims to hold.
        let mut raw = vec![0; entry.raw_bytes];
        match decompressor.decompress_to_buffer(&packed, &mut raw[..]) {
            Ok(count) if entry.method == METHOD_REGROUPED => {
                restore(&raw[..count], entry.raw_bytes).map_err(invalid)
            }
            Ok(count) if count == entry.raw_bytes => Ok(raw),
            Ok(_) => Err(invalid("it decompresses to another length")),
            Err(_) => Err(invalid("it cannot be decompressed")),
        }
    }
}

/// The dictionary of a sealed segment; empty for none.
fn read_dictionary(file: &dyn DiskFile, header: &Header) -> io::Result<Vec<u8>> {
    if header.dictionary_bytes == 0 {
        return Ok(Vec::new());
    }
    let packed = read_exactly(file, BLOCK_BYTES as u64, header.packed_dictionary_bytes as usize)?;
    if crc32c::crc32c(&packed) != header.packed_dictionary_crc {
        return Err(invalid("the dictionary of the sealed segment does not match its checksum"));
    }
    let dictionary = zstd::bulk::decompress(&packed, header.dictionary_bytes as usize)
        .map_err(|_| invalid("the dictionary of the sealed segment cannot be decompressed"))?;
    if dictionary_digest(&dictionary) != header.dictionary_hash {
        return Err(invalid("the dictionary of the sealed segment does not match its digest"));
    }
    Ok(dictionary)
}

/// What a dictionary is called: SHA-256 of its bytes.
pub fn dictionary_digest(dictionary: &[u8]) -> Hash {
    Sha256::digest(dictionary).into()
}

impl DiskFile for SealedFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.header.raw_bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            let after = self.entries.partition_point(|entry| entry.raw_at <= at);
            let Some(number) = after.checked_sub(1) else { break };
            let skip = (at - self.entries[number].raw_at) as usize;
            if skip >= self.entries[number].raw_bytes {
                break;
            }
            if std::mem::replace(&mut self.state().at, number) != number {
                self.moved.notify_all();
            }
            let block = self.block(number)?;
            let count = (buffer.len() - filled).min(block.len() - skip);
            buffer[filled..filled + count].copy_from_slice(&block[skip..skip + count]);
            filled += count;
        }
        Ok(filled)
    }

    fn write_durable(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write_lazily(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes in memory as a file.
struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for Bytes {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.lock().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.lock();
        let from = bytes.len().min(offset as usize);
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut all, from) = (self.lock(), offset as usize);
        let end = all.len().max(from + bytes.len());
        all.resize(end, 0);
        all[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn write_lazily(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_durable(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses a whole sealed segment, giving `each` block in order. Memory is bounded by the largest block, whatever
/// the bytes claim. A pure function: what the file of a stranger may do is what this may do.
///
/// # Errors
/// The first thing that is wrong; also that the whole does not match its hash.
pub fn unseal(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), SealedError> {
    let mut whole = || -> io::Result<()> {
        let file: Arc<dyn DiskFile> = Arc::new(Bytes(Mutex::new(bytes.to_vec())));
        let header = Header::decode(bytes)?;
        let sealed = SealedFile::with_header(file, header, false)?;
        let mut decompressor = sealed.decompressor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hasher = Sha256::new();
        for entry in &sealed.entries {
            let raw = sealed.unpack(&mut decompressor, entry)?;
            hasher.update(&raw);
            each(&raw);
        }
        if <Hash>::from(hasher.finalize()) != sealed.header.raw_hash {
            return Err(invalid("the sealed segment does not match the hash in its header"));
        }
        Ok(())
    };
    whole().map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<SealedError>());
        *inner.unwrap_or(&SealedError("it cannot be read"))
    })
}

/// The sealed form of a segment file's bytes, full or not, with a dictionary of its own: what [`unseal`] reads.
///
/// # Errors
/// When the bytes begin with no segment header, or are no whole number of blocks.
pub fn seal_bytes(segment: &[u8]) -> io::Result<Vec<u8>> {
    let number = read_u64(segment.get(..BLOCK_BYTES).unwrap_or(&[0; 24]), 16);
    let mut window = SegmentWindow::new(Arc::new(Bytes(Mutex::new(segment.to_vec()))), 1024 * 1024)?;
    let raw_bytes = raw_length(&mut window, number)?;
    let mut sealer = Sealer::default();
    sealer.train(&mut window)?;
    let file = Arc::new(Bytes(Mutex::default()));
    match sealer.pack_into(file.clone(), &mut window, number, raw_bytes, &mut || true) {
        Ok(_) => Ok(std::mem::take(&mut *file.lock())),
        Err(NotSealed::Failed(error)) => Err(error),
        Err(NotSealed::Stopped) => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// A dictionary in use, and how well it did on the segment that it was trained on.
#[derive(Clone)]
struct Trained {
    bytes: Arc<[u8]>,
    ratio: f64,
}

/// What sealing one segment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) raw_bytes: u64,
    pub(crate) file_bytes: u64,
}

/// Why a segment was not sealed.
#[derive(Debug)]
pub(crate) enum NotSealed {
    /// Told to stop.
    Stopped,
    /// It stays as it is; the text says why.
    Failed(io::Error),
}

impl From<io::Error> for NotSealed {
    fn from(error: io::Error) -> NotSealed {
        NotSealed::Failed(error)
    }
}

/// Asked before every block; `false` ends the work. May sleep.
pub(crate) type Pace<'a> = &'a mut dyn FnMut() -> bool;

/// Seals segments, one after the other, with a dictionary that goes on from one to the next.
#[derive(Default)]
pub(crate) struct Sealer {
    trained: Option<Trained>,
    /// More segments wait than one can take time for.
    hurried: bool,
    looked_for_one: bool,
    /// Trained and not handed out yet.
    pub(crate) new_dictionary: Option<Arc<[u8]>>,
}

impl Sealer {
    /// Says how many segments wait.
    pub(crate) fn waiting(&mut self, segments: usize) {
        self.hurried = segments > FAR_BEHIND;
    }

    /// Replaces the full segment `number` with its sealed form. A crash at any point leaves a log that reads as before.
    pub(crate) fn seal(&mut self, disk: &dyn Disk, number: u64, pace: Pace<'_>) -> Result<Sealed, NotSealed> {
        let source = disk.open(&segment_name(number), Access::Recover)?;
        match disk.open(&sealed_name(number), Access::Recover) {
            // Both there: a crash came between the new name and the removal. What is there was compared before it got
            // that name, and is compared again; if it differs, somebody put one of them there, and both stay.
            Ok(file) => {
                let sealed = compare(source, file, number, pace)?;
                return Sealer::replace(disk, number, sealed);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let sealed = self.write(disk, &source, number, pace);
        if sealed.is_err() {
            // Whatever it was, the segment stays; what was begun is in nobody's way.
            let _ = disk.remove(&unfinished_name(number));
        }
        let sealed = sealed?;
        disk.rename(&unfinished_name(number), &sealed_name(number))?;
        Sealer::replace(disk, number, sealed)
    }

    /// Removes the segment, when its sealed form has its name durably.
    fn replace(disk: &dyn Disk, number: u64, sealed: Sealed) -> Result<Sealed, NotSealed> {
        disk.sync_names()?;
        disk.remove(&segment_name(number))?;
        disk.sync_names()?;
        Ok(sealed)
    }

    /// Writes the sealed form beside the segment, durably, and reads it back.
    fn write(
        &mut self,
        disk: &dyn Disk,
        source: &Arc<dyn DiskFile>,
        number: u64,
        pace: Pace<'_>,
    ) -> Result<Sealed, NotSealed> {
        let mut window = SegmentWindow::new(source.clone(), 1024 * 1024)?;
        let raw_bytes = raw_length(&mut window, number)?;
        if !self.looked_for_one {
            self.trained = newest_dictionary(disk, number);
            self.looked_for_one = true;
        }
        let fresh = self.trained.is_none();
        if fresh {
            self.train(&mut window)?;
        }
        let mut packed = self.pack(disk, &mut window, number, raw_bytes, pace)?;
        let ratio = |packed: u64| packed as f64 / raw_bytes.max(1) as f64;
        let known = self.trained.as_ref().map_or(f64::MAX, |trained| trained.ratio);
        if !fresh && !self.hurried && ratio(packed) > known * DEGRADED {
            let before = self.trained.clone();
            self.train(&mut window)?;
            packed = self.pack(disk, &mut window, number, raw_bytes, pace)?;
            if self.trained.is_none() {
                self.trained = before;
            }
            // Worse for another reason (what came is random): it is the measure from here on.
            if let Some(trained) = &mut self.trained {
                trained.ratio = ratio(packed);
            }
        } else if fresh && let Some(trained) = &mut self.trained {
            trained.ratio = ratio(packed);
        }
        let written = disk.open(&unfinished_name(number), Access::Recover)?;
        compare(source.clone(), written, number, pace)
    }

    /// Trains a dictionary on a segment's records and contents; too few of them make none.
    fn train(&mut self, window: &mut SegmentWindow) -> io::Result<()> {
        let samples = samples(window)?;
        let dictionary = (samples.len() >= MIN_SAMPLES)
            .then(|| zstd::dict::from_samples(&samples, DICTIONARY_BYTES).ok())
            .flatten()
            .filter(|dictionary| dictionary.len() <= MAX_DICTIONARY_BYTES && !dictionary.is_empty());
        self.trained = dictionary.map(|bytes| Trained { bytes: bytes.into(), ratio: f64::MAX });
        if let Some(trained) = &self.trained {
            self.new_dictionary = Some(trained.bytes.clone());
        }
        Ok(())
    }

    /// Writes `NNNNNNNN.segz.new`; returns its length.
    fn pack(
        &self,
        disk: &dyn Disk,
        window: &mut SegmentWindow,
        number: u64,
        raw_bytes: u64,
        pace: Pace<'_>,
    ) -> Result<u64, NotSealed> {
        let name = unfinished_name(number);
        match disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let file = disk.open(&name, Access::Create)?;
        let file_bytes = self.pack_into(file, window, number, raw_bytes, pace)?;
        disk.sync_names()?;
        Ok(file_bytes)
    }

    /// Writes the sealed form of a segment into an empty file; returns its length.
    fn pack_into(
        &self,
        file: Arc<dyn DiskFile>,
        window: &mut SegmentWindow,
        number: u64,
        raw_bytes: u64,
        pace: Pace<'_>,
    ) -> Result<u64, NotSealed> {
        let mut output = Output::new(file);
        let level = if self.hurried { LEVEL_BEHIND } else { LEVEL };
        let dictionary = self.trained.as_ref().map(|trained| trained.bytes.as_ref()).unwrap_or_default();
        let mut compressor = zstd::bulk::Compressor::with_dictionary(level, dictionary)?;
        let packed_dictionary =
            if dictionary.is_empty() { Vec::new() } else { zstd::bulk::compress(dictionary, 19)? };
        output.push(&[0; BLOCK_BYTES])?; // the header, written when all is known
        output.push(&packed_dictionary)?;
        let mut hasher = Sha256::new();
        let mut table = Vec::new();
        let header = SegmentHeader::decode(window.bytes(0, BLOCK_BYTES)?, number);
        let mut range = header.ok().map(|header| header.range);
        let mut position = 0;
        while position < raw_bytes {
            if !pace() {
                return Err(NotSealed::Stopped);
            }
            let count = block_length(window, position, raw_bytes)?;
            let raw = window.bytes(position, count)?;
            if raw.len() != count {
                return Err(invalid("the segment became shorter while it was read").into());
            }
            hasher.update(raw);
            let is_header = position == 0;
            let short = if is_header { None } else { range.as_mut().and_then(|range| shorten(raw, range)) };
            let packed =
                if is_header { Vec::new() } else { compressor.compress(short.as_deref().unwrap_or(raw))? };
            let (method, bytes) = match &short {
                _ if is_header || packed.len() >= raw.len() => (METHOD_STORED, raw),
                Some(_) => (METHOD_REGROUPED, packed.as_slice()),
                None => (METHOD_ZSTD, packed.as_slice()),
            };
            if short.is_none() && !is_header {
                // Where the tree stands is known again in the next segment.
                range = None;
            }
            table.extend_from_slice(&(raw.len() as u32).to_le_bytes());
            table.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            table.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
            table.extend_from_slice(&[method, 0, 0, 0]);
            output.push(bytes)?;
            position += count as u64;
        }
        let header = Header {
            number,
            raw_bytes,
            raw_hash: hasher.finalize().into(),
            dictionary_hash: if dictionary.is_empty() { [0; 32] } else { dictionary_digest(dictionary) },
            dictionary_bytes: dictionary.len() as u32,
            packed_dictionary_bytes: packed_dictionary.len() as u32,
            packed_dictionary_crc: crc32c::crc32c(&packed_dictionary),
            blocks: (table.len() / ENTRY_BYTES) as u32,
            table_at: output.position,
        };
        let crc = crc32c::crc32c(&table);
        output.push(&table)?;
        output.push(&crc.to_le_bytes())?;
        output.finish(&header.encode())?;
        Ok(header.file_bytes())
    }
}

/// How many bytes of a segment are sealed: all blocks up to the last that is not zero. A segment whose header does not
/// check, or that is no whole number of blocks, is not touched: it is evidence of what happened to it.
fn raw_length(window: &mut SegmentWindow, number: u64) -> io::Result<u64> {
    if !window.file_bytes().is_multiple_of(BLOCK_BYTES as u64) {
        return Err(invalid("the segment is no whole number of blocks; run verify"));
    }
    SegmentHeader::decode(window.bytes(0, BLOCK_BYTES)?, number).map_err(|fault| invalid(fault.what))?;
    Ok(window.not_zero(0)?.map_or(0, |(_, end)| end))
}

/// How long the block at `position` is: whole groups, as many as fill it; what is no group is cut by length.
fn block_length(window: &mut SegmentWindow, position: u64, raw_bytes: u64) -> io::Result<usize> {
    let left = (raw_bytes - position) as usize;
    if position == 0 {
        return Ok(BLOCK_BYTES); // the segment's header, which is read for its own sake
    }
    let mut count = 0;
    while count < BLOCK_TARGET_BYTES.min(left) {
        let header = GroupHeader::decode(window.bytes(position + count as u64, BLOCK_BYTES)?);
        let next = header.map_or(BLOCK_BYTES, |header| header.total_bytes());
        if count > 0 && count + next > MAX_RAW_BLOCK_BYTES {
            break;
        }
        count += next;
    }
    Ok(count.min(left))
}

/// Pieces of records and contents, spread over the segment.
fn samples(window: &mut SegmentWindow) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let mut bytes = 0;
    let mut position = BLOCK_BYTES as u64;
    // One group in so many, so that all of the segment is seen.
    let every = (window.file_bytes() / TRAINING_BYTES as u64).max(1);
    let mut number = 0;
    while let Ok((header, group)) = window.group(position)? {
        if number % every == 0 && bytes < TRAINING_BYTES {
            for placed in Frames::new(group, &header) {
                let Ok(placed) = placed else { break };
                let sample = match placed.frame {
                    Frame::Record(record) => record.bytes,
                    Frame::Content(content) => content.bytes,
                    Frame::Checkpoint(note) => note,
                };
                for sample in sample.chunks(SAMPLE_BYTES).take(MAX_CHUNKS) {
                    // What is random (a sealed content, say) has nothing to teach.
                    if sample.len() >= 8 && zstd::bulk::compress(sample, 1)?.len() * 10 < sample.len() * 9 {
                        bytes += sample.len();
                        all.push(sample.to_vec());
                    }
                }
            }
        }
        number += 1;
        position += header.total_bytes() as u64;
    }
    Ok(all)
}

/// The dictionary of the newest sealed segment before `number`, and how well it did there.
fn newest_dictionary(disk: &dyn Disk, number: u64) -> Option<Trained> {
    let names = disk.names().ok()?;
    let newest =
        names.iter().filter_map(|name| sealed_number(name)).filter(|sealed| *sealed < number).max()?;
    let file = disk.open(&sealed_name(newest), Access::Read).ok()?;
    let header = Header::decode(&read_exactly(file.as_ref(), 0, BLOCK_BYTES).ok()?).ok()?;
    let bytes = read_dictionary(file.as_ref(), &header).ok().filter(|bytes| !bytes.is_empty())?;
    let ratio = header.file_bytes() as f64 / header.raw_bytes.max(1) as f64;
    Some(Trained { bytes: bytes.into(), ratio })
}

/// The segment number of a sealed segment's file name.
pub(crate) fn sealed_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segz")?.parse().ok()?;
    (sealed_name(number) == name).then_some(number)
}

/// Compares every byte of a sealed segment, as read from the disk, with the segment.
fn compare(
    source: Arc<dyn DiskFile>,
    written: Arc<dyn DiskFile>,
    number: u64,
    pace: Pace<'_>,
) -> Result<Sealed, NotSealed> {
    let mut window = SegmentWindow::new(source, 1024 * 1024)?;
    let raw_bytes = raw_length(&mut window, number)?;
    let file_bytes = written.size_bytes()?;
    let sealed = SealedFile::open(written, number, false)?;
    if sealed.header.raw_bytes != raw_bytes {
        return Err(invalid("what was sealed is of another length than the segment").into());
    }
    let mut hasher = Sha256::new();
    for at in 0..sealed.entries.len() {
        if !pace() {
            return Err(NotSealed::Stopped);
        }
        let entry = sealed.entries[at];
        let block = sealed.block(at)?;
        if window.bytes(entry.raw_at, entry.raw_bytes)? != block.as_slice() {
            return Err(invalid("what was sealed reads back as other bytes than the segment").into());
        }
        hasher.update(block.as_slice());
    }
    if <Hash>::from(hasher.finalize()) != sealed.header.raw_hash {
        return Err(invalid("what was sealed does not match its hash").into());
    }
    Ok(Sealed { raw_bytes, file_bytes })
}

/// Writes a file from front to back in whole blocks, and its first block last.
struct Output {
    file: Arc<dyn DiskFile>,
    buffer: AlignedBuffer,
    /// Bytes pushed.
    position: u64,
    /// Bytes written.
    written: u64,
}

impl Output {
    fn new(file: Arc<dyn DiskFile>) -> Output {
        Output { file, buffer: AlignedBuffer::with_capacity(2 * WRITE_BYTES), position: 0, written: 0 }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend(bytes);
        self.position += bytes.len() as u64;
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the whole blocks that are buffered.
    fn flush(&mut self) -> io::Result<()> {
        let whole = self.buffer.len() / BLOCK_BYTES * BLOCK_BYTES;
        if whole > 0 {
            for piece in self.buffer[..whole].chunks(WRITE_BYTES) {
                self.file.write_lazily(piece, self.written)?;
                self.written += piece.len() as u64;
            }
            let rest = self.buffer.len() - whole;
            self.buffer.copy_within(whole.., 0);
            self.buffer.resize(rest);
        }
        Ok(())
    }

    fn finish(mut self, header: &AlignedBuffer) -> io::Result<()> {
        self.buffer.resize(self.buffer.len().next_multiple_of(BLOCK_BYTES));
        self.flush()?;
        self.file.write_lazily(header, 0)?;
        self.file.sync()
    }
}
