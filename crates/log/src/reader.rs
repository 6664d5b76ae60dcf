//! Reading a log, with or without a writer at work.
//!
//! A [`Reader`] sees complete groups only: a group that is being written, or that a crash cut off, is simply the end.
//! It checks checksums and structure, not hashes; [`crate::verify`] does that. Memory is bounded by the largest group
//! and an index of the groups of the segments in use.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::committer::Content;
use crate::disk::{Access, BLOCK_BYTES, Directory, Disk, DiskFile};
use crate::group::{Frame, Frames, HEADER_BYTES, RECORD_OVERHEAD, is_complete};
use crate::note::{MAX_NOTE_BYTES, NoteError, SignedCheckpoint, VerifierKey};
use crate::pruned::{self, PRUNED_FILE, Pruned};
use crate::recovery::{CHECKPOINT_FILE, Damage, read_small};
use crate::segment::{SegmentHeader, SegmentWindow, is_sealed, open_segment, segment_name, segment_numbers};
use crate::tree::{Hash, content_digest};

/// Group indexes of sealed segments that are kept.
const KEPT_INDEXES: usize = 8;
/// Sealed segments that are kept open.
const KEPT_SEALED: usize = 4;
/// How much is read at a time when reading on and on, in bytes.
const SCAN_CHUNK_BYTES: usize = 512 * 1024;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory holds no log.
    #[error("there is no log here: {0}")]
    NoLog(String),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// What should be there is not as it was written.
    #[error("the log is damaged: {0}")]
    Damaged(Damage),
    /// There is no such record.
    #[error("there is no record {index}, the log has {size}")]
    NoRecord {
        /// The index asked for.
        index: u64,
        /// How many records there are.
        size: u64,
    },
    /// The record was removed by pruning.
    #[error("the records before {first} were removed (see fdr verify); the log begins with record {first}")]
    Pruned {
        /// The first record that is kept.
        first: u64,
    },
    /// The checkpoint file is malformed.
    #[error("checkpoint file: {0}")]
    Checkpoint(#[from] NoteError),
}

impl ReadError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> ReadError {
        let what = what.into();
        move |source| ReadError::Io { what, source }
    }

    fn damaged(indexes: Range<u64>, segment: u64, offset: u64, what: &str) -> ReadError {
        ReadError::Damaged(Damage { indexes, file: segment_name(segment), offset, what: what.to_owned() })
    }
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its index in the log.
    pub index: u64,
    /// Number of the segment file.
    pub segment: u64,
    /// Where its bytes begin in that file.
    pub offset: u64,
    /// Who sent its batch.
    pub source: [u8; 16],
    /// The sender's number for the batch.
    pub seq: u64,
    /// Position in the batch.
    pub position: u32,
    /// Records in the batch.
    pub batch_records: u32,
    /// When its group was written, by the writer's wall clock, in nanoseconds since 1970.
    pub stored_wall_ns: u64,
    /// The record.
    pub bytes: Vec<u8>,
}

/// Where a group stands in its segment.
#[derive(Clone, Copy, Debug)]
struct GroupPlace {
    offset: u64,
    first_index: u64,
    records: u32,
    content_only: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// `None` if the header is damaged.
    first_index: Option<u64>,
}

/// A segment, as its header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Records before it.
    pub first_index: u64,
    /// When it was begun, by the writer's wall clock, in nanoseconds since 1970: everything before it is older.
    pub created_wall_ns: u64,
    /// The root of the records before it, as the header has it.
    pub root: Hash,
    /// Whether it is sealed.
    pub sealed: bool,
}

/// What the reader knows of the log.
struct View {
    /// All segments, ascending; the last is the newest with a good header.
    segments: Vec<Segment>,
    /// Groups of the newest segment.
    newest: Arc<Vec<GroupPlace>>,
    salt: [u8; 16],
    position: u64,
    next_group: u64,
    size: u64,
    last_hash: Hash,
    /// Groups of sealed segments used lately.
    indexes: VecDeque<(u64, Arc<Vec<GroupPlace>>)>,
}

/// A log open for reading.
pub struct Reader {
    disk: Arc<dyn Disk>,
    verifier: VerifierKey,
    /// Where the log began when it was opened, if not with record 0.
    pruned: Option<Pruned>,
    /// Sealed segments used lately, open: each keeps a few of its blocks. Held to look only.
    sealed: Mutex<VecDeque<(u64, Arc<dyn DiskFile>)>>,
    /// Held while the view is extended or an index is made.
    view: Mutex<View>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("origin", &self.origin()).field("len", &self.len()).finish()
    }
}

impl Reader {
    /// Opens the log in `dir`; needs no lock and writes nothing.
    pub fn open(dir: &Path) -> Result<Reader, ReadError> {
        match std::fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => Reader::open_on(Arc::new(Directory::new(dir, false))),
            Ok(_) => Err(ReadError::NoLog(format!("{} is not a directory", dir.display()))),
            Err(error) => Err(ReadError::NoLog(format!("{}: {error}", dir.display()))),
        }
    }

    /// As [`open`](Self::open), on any [`Disk`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Reader, ReadError> {
        let mut pruned = read_pruned(disk.as_ref())?;
        let (mut segments, last_good) = loop {
            let (segments, last_good) = read_headers(disk.as_ref(), pruned.as_ref())?;
            // Segments may go while we look at them, but never before the file says so.
            let now = read_pruned(disk.as_ref())?;
            if now == pruned {
                break (segments, last_good);
            }
            pruned = now;
        };
        let Some((count, (header, last_hash))) = last_good else {
            return Err(ReadError::NoLog("no segment has a header".to_owned()));
        };
        segments.truncate(count);
        let view = View {
            segments,
            newest: Arc::default(),
            salt: header.salt,
            position: BLOCK_BYTES as u64,
            next_group: header.first_group,
            size: header.range.size(),
            last_hash,
            indexes: VecDeque::new(),
        };
        let sealed = Mutex::default();
        let reader = Reader { disk, verifier: header.verifier, pruned, sealed, view: Mutex::new(view) };
        reader.refresh()?;
        Ok(reader)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // The view is changed only after everything that can fail.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records were complete at the last [`refresh`](Self::refresh).
    pub fn len(&self) -> u64 {
        self.view().size
    }

    /// The first record that is kept: 0, unless the log was pruned. [`len`](Self::len) counts from 0 all the same.
    pub fn first_index(&self) -> u64 {
        self.pruned.as_ref().map_or(0, |pruned| pruned.first_index)
    }

    /// Where the log begins, if it was pruned, as its file says: whether that was rightly done is for verification.
    pub fn pruned(&self) -> Option<&Pruned> {
        self.pruned.as_ref()
    }

    /// The segments known, ascending, the newest included.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, ReadError> {
        let known = self.view().segments.clone();
        let mut infos = Vec::with_capacity(known.len());
        for Segment { number, first_index } in known {
            let Some(first_index) = first_index else { continue };
            let Some((header, _)) = read_header(self.disk.as_ref(), number)? else { continue };
            infos.push(SegmentInfo {
                number,
                first_index,
                created_wall_ns: header.created_wall_ns,
                root: header.range.root(),
                sealed: is_sealed(self.disk.as_ref(), number),
            });
        }
        Ok(infos)
    }

    /// Whether a log may begin with segment `number`: no content that it refers to begins before it.
    pub fn may_begin_at(&self, number: u64) -> Result<bool, ReadError> {
        pruned::begins_whole(self.disk.as_ref(), number).map_err(ReadError::io("reading the log"))
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The log's name, as its header has it.
    pub fn origin(&self) -> &str {
        self.verifier.name()
    }

    /// The public key in the log's header. It says what the log claims; a check needs the key from elsewhere.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The newest checkpoint in the log's directory, parsed and not verified.
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, ReadError> {
        let bytes = read_small(self.disk.as_ref(), CHECKPOINT_FILE, MAX_NOTE_BYTES)
            .map_err(ReadError::io("reading the checkpoint"))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        Ok(Some(SignedCheckpoint::parse(&text)?))
    }

    /// Looks for groups written since; returns how many records there are now.
    pub fn refresh(&self) -> Result<u64, ReadError> {
        let mut view = self.view();
        loop {
            let Some(&Segment { number, .. }) = view.segments.last() else { return Ok(view.size) };
            let mut window = self.window(number, SCAN_CHUNK_BYTES)?;
            let reading = || ReadError::io(format!("reading {}", segment_name(number)));
            while let Ok((header, bytes)) = window.group(view.position).map_err(reading())? {
                let follows = header.number == view.next_group
                    && header.salt == view.salt
                    && header.first_index == view.size
                    && header.previous_hash == view.last_hash;
                let Ok(trailer) = is_complete(bytes, &header) else { break };
                if !follows || trailer.tree_size != header.first_index.wrapping_add(header.records.into()) {
                    break;
                }
                let offset = view.position;
                Arc::make_mut(&mut view.newest).push(GroupPlace {
                    offset,
                    first_index: header.first_index,
                    records: header.records,
                    content_only: header.is_content_only(),
                });
                view.position += header.total_bytes() as u64;
                view.next_group += 1;
                view.size = trailer.tree_size;
                view.last_hash = trailer.group_hash;
            }
            // Has the writer gone on to the next segment? Then this one is complete.
            let next = match read_header(self.disk.as_ref(), number + 1) {
                Ok(Some((header, hash))) if header.previous_hash == view.last_hash => (header, hash),
                _ => return Ok(view.size),
            };
            let (header, hash) = next;
            let sealed = std::mem::take(&mut view.newest);
            remember(&mut view.indexes, number, sealed);
            view.segments.push(Segment { number: number + 1, first_index: Some(header.range.size()) });
            view.salt = header.salt;
            view.position = BLOCK_BYTES as u64;
            view.next_group = header.first_group;
            view.last_hash = hash;
        }
    }

    /// The records from `from` on, in order, up to those known when this was called.
    pub fn records(&self, from: u64) -> Records<'_> {
        let end = self.len();
        Records {
            reader: self,
            next: from.max(self.first_index()).min(end),
            end,
            segment: None,
            queue: VecDeque::new(),
            failed: false,
        }
    }

    /// The records before `before`, newest first; `u64::MAX` starts at the end. Take `n` of it for the last `n`.
    pub fn records_rev(&self, before: u64) -> RecordsRev<'_> {
        let before = before.min(self.len());
        RecordsRev { reader: self, before, segment: None, queue: Vec::new(), failed: false }
    }

    /// The record `index`.
    pub fn record(&self, index: u64) -> Result<Entry, ReadError> {
        let size = self.len();
        if index >= size {
            return Err(ReadError::NoRecord { index, size });
        }
        if index < self.first_index() {
            return Err(ReadError::Pruned { first: self.first_index() });
        }
        let (segment, places, at) = self.locate(index)?;
        let mut window = self.window(segment, BLOCK_BYTES)?;
        let mut found = None;
        self.entries(&mut window, segment, &places[at], |entry| {
            if entry.index == index {
                found = Some(entry);
            }
        })?;
        found.ok_or_else(|| {
            ReadError::damaged(index..index + 1, segment, places[at].offset, "the record is not in its group")
        })
    }

    /// The content with `digest` that was stored with record `record_index`; `None` if it was not stored with it.
    ///
    /// Looks into the record's own group and, for large contents, the content-only groups directly before it. What is
    /// returned has been checked against the digest.
    pub fn content(&self, record_index: u64, digest: &Hash) -> Result<Option<Content>, ReadError> {
        let size = self.len();
        if record_index >= size {
            return Err(ReadError::NoRecord { index: record_index, size });
        }
        if record_index < self.first_index() {
            return Err(ReadError::Pruned { first: self.first_index() });
        }
        let (mut segment, mut places, mut at) = self.locate(record_index)?;
        let mut chunks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut shape: Option<([u8; 16], u64)> = None;
        loop {
            let place = places[at];
            self.frames(&mut self.window(segment, BLOCK_BYTES)?, segment, &place, |frame, _, _| {
                if let Frame::Content(content) = frame
                    && content.digest == *digest
                    && *shape.get_or_insert((content.salt, content.total_bytes))
                        == (content.salt, content.total_bytes)
                {
                    chunks.entry(content.offset).or_insert_with(|| content.bytes.to_vec());
                }
            })?;
            if let Some((salt, total)) = shape {
                let mut end = 0;
                let whole = chunks.iter().all(|(offset, bytes)| {
                    let follows = *offset == end;
                    end += bytes.len() as u64;
                    follows
                });
                if whole && end == total {
                    let bytes = chunks.into_values().fold(Vec::new(), |mut all: Vec<u8>, chunk| {
                        if all.is_empty() {
                            chunk
                        } else {
                            all.extend(chunk);
                            all
                        }
                    });
                    if content_digest(&salt, &bytes) != *digest {
                        let indexes = record_index..record_index + 1;
                        let what = "a content does not match its digest";
                        return Err(ReadError::damaged(indexes, segment, place.offset, what));
                    }
                    return Ok(Some(Content { salt, bytes }));
                }
            }
            // One group back, as long as it is content-only.
            while at == 0 {
                if segment == self.pruned.as_ref().map_or(0, |pruned| pruned.first_segment) {
                    return Ok(None);
                }
                segment -= 1;
                places = self.places(segment)?;
                at = places.len();
            }
            at -= 1;
            if !places[at].content_only {
                return Ok(None);
            }
        }
    }

    fn window(&self, segment: u64, chunk_bytes: usize) -> Result<SegmentWindow, ReadError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => match read_pruned(self.disk.as_ref()) {
                Ok(Some(pruned)) if segment < pruned.first_segment => {
                    ReadError::Pruned { first: pruned.first_index }
                }
                _ => ReadError::io(format!("opening {}", segment_name(segment)))(error),
            },
            io::ErrorKind::InvalidData => {
                let (first, next) = self.indexes_of(segment);
                ReadError::damaged(first..next, segment, 0, &error.to_string())
            }
            _ => ReadError::io(format!("opening {}", segment_name(segment)))(error),
        };
        let file = self.open_segment(segment).map_err(failed)?;
        SegmentWindow::new(file, chunk_bytes).map_err(failed)
    }

    /// Opens a segment; a sealed one may be open still.
    fn open_segment(&self, segment: u64) -> io::Result<Arc<dyn DiskFile>> {
        let lock = || self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = lock().iter().find(|(number, _)| *number == segment) {
            return Ok(file.clone());
        }
        let file = open_segment(self.disk.as_ref(), segment, Access::Read)?;
        if is_sealed(self.disk.as_ref(), segment) {
            let mut open = lock();
            if open.len() >= KEPT_SEALED {
                open.pop_front();
            }
            open.push_back((segment, file.clone()));
        }
        Ok(file)
    }

    /// The records that a segment has, as far as headers tell.
    fn indexes_of(&self, segment: u64) -> (u64, u64) {
        // Who extends the view holds it, and meets the newest segment only.
        let Ok(view) = self.view.try_lock() else { return (0, u64::MAX) };
        let before = view.segments.iter().take_while(|known| known.number <= segment);
        let first = before.filter_map(|known| known.first_index).last().unwrap_or(0);
        let after = view.segments.iter().find(|known| known.number > segment && known.first_index.is_some());
        (first, after.and_then(|known| known.first_index).unwrap_or(view.size))
    }

    /// The segment, its groups, and which of them holds record `index`, which must be below the length.
    fn locate(&self, index: u64) -> Result<(u64, Arc<Vec<GroupPlace>>, usize), ReadError> {
        let candidates: Vec<u64> = {
            let view = self.view();
            let known = |segment: &Segment| segment.first_index.is_some_and(|first| first <= index);
            // Segments without records share their first index with the next one: take the last of them. Where a
            // header is damaged the groups behind it are still found.
            let at = view.segments.iter().rposition(known);
            let at =
                at.ok_or_else(|| ReadError::damaged(0..index + 1, 0, 0, "the first segment is missing"))?;
            let damaged = view.segments[at + 1..].iter().take_while(|segment| segment.first_index.is_none());
            std::iter::once(&view.segments[at]).chain(damaged).map(|segment| segment.number).collect()
        };
        let mut last = (candidates[0], BLOCK_BYTES as u64);
        for segment in candidates {
            let places = self.places(segment)?;
            let at = places
                .partition_point(|place| place.first_index.saturating_add(place.records.into()) <= index);
            match places.get(at) {
                Some(place) if place.first_index <= index => return Ok((segment, places, at)),
                _ => last = (segment, places.last().map_or(BLOCK_BYTES as u64, |place| place.offset)),
            }
        }
        let what = "the group with the record is not where it should be";
        Err(ReadError::damaged(index..index + 1, last.0, last.1, what))
    }

    /// The groups of a segment, by walking its group headers.
    fn places(&self, segment: u64) -> Result<Arc<Vec<GroupPlace>>, ReadError> {
        {
            let view = self.view();
            if view.segments.last().is_some_and(|newest| newest.number == segment) {
                return Ok(view.newest.clone());
            }
            if let Some((_, places)) = view.indexes.iter().find(|(number, _)| *number == segment) {
                return Ok(places.clone());
            }
        }
        let reading = || ReadError::io(format!("reading {}", segment_name(segment)));
        let mut window = self.window(segment, 4 * BLOCK_BYTES)?;
        let mut places = Vec::new();
        let mut position = BLOCK_BYTES as u64;
        while let Ok(header) =
            crate::group::GroupHeader::decode(window.bytes(position, HEADER_BYTES).map_err(reading())?)
        {
            places.push(GroupPlace {
                offset: position,
                first_index: header.first_index,
                records: header.records,
                content_only: header.is_content_only(),
            });
            position += header.total_bytes() as u64;
        }
        let places = Arc::new(places);
        remember(&mut self.view().indexes, segment, places.clone());
        Ok(places)
    }

    /// Calls `each` with every frame of a group, its offset in the file and the group's time, after the checksums.
    fn frames(
        &self,
        window: &mut SegmentWindow,
        segment: u64,
        place: &GroupPlace,
        mut each: impl FnMut(Frame<'_>, u64, u64),
    ) -> Result<(), ReadError> {
        let indexes = place.first_index..place.first_index.saturating_add(place.records.into());
        let reading = ReadError::io(format!("reading {}", segment_name(segment)));
        let damaged = |offset: u64, what: &str| {
            ReadError::damaged(indexes.clone(), segment, place.offset + offset, what)
        };
        let (header, bytes) = window
            .group(place.offset)
            .map_err(reading)?
            .map_err(|fault| damaged(fault.offset, fault.what))?;
        if header.first_index != place.first_index || header.records != place.records {
            return Err(damaged(0, "the group is another one than before"));
        }
        for placed in Frames::new(bytes, &header) {
            let placed = placed.map_err(|fault| damaged(fault.offset, fault.what))?;
            each(placed.frame, place.offset + placed.at as u64, header.wall_ns);
        }
        Ok(())
    }

    fn entries(
        &self,
        window: &mut SegmentWindow,
        segment: u64,
        place: &GroupPlace,
        mut each: impl FnMut(Entry),
    ) -> Result<(), ReadError> {
        let mut index = place.first_index;
        self.frames(window, segment, place, |frame, offset, stored_wall_ns| {
            if let Frame::Record(record) = frame {
                each(Entry {
                    index,
                    segment,
                    offset: offset + RECORD_OVERHEAD as u64,
                    source: record.source,
                    seq: record.seq,
                    position: record.position,
                    batch_records: record.batch_records,
                    stored_wall_ns,
                    bytes: record.bytes.to_vec(),
                });
                index = index.wrapping_add(1);
            }
        })
    }
}

fn remember(indexes: &mut VecDeque<(u64, Arc<Vec<GroupPlace>>)>, segment: u64, places: Arc<Vec<GroupPlace>>) {
    if indexes.len() >= KEPT_INDEXES {
        indexes.pop_front();
    }
    indexes.push_back((segment, places));
}

/// Where the log begins, if not with record 0.
fn read_pruned(disk: &dyn Disk) -> Result<Option<Pruned>, ReadError> {
    let read = pruned::read(disk).map_err(ReadError::io("reading where the log begins"))?;
    read.map_err(|what| {
        let (file, what) = (PRUNED_FILE.to_owned(), what.to_owned());
        ReadError::Damaged(Damage { indexes: 0..0, file, offset: 0, what })
    })
}

/// How many segments there are up to the last good header, and that header with its chain hash.
type LastGood = Option<(usize, (SegmentHeader, Hash))>;

fn read_headers(disk: &dyn Disk, pruned: Option<&Pruned>) -> Result<(Vec<Segment>, LastGood), ReadError> {
    let numbers = segment_numbers(disk).map_err(ReadError::io("listing the log"))?;
    let first = pruned.map_or(0, |pruned| pruned.first_segment);
    let mut segments = Vec::with_capacity(numbers.len());
    let mut last_good = None;
    for number in numbers.into_iter().filter(|number| *number >= first) {
        let read = read_header(disk, number)?;
        let first_index = read.as_ref().map(|(header, _)| header.range.size());
        segments.push(Segment { number, first_index });
        if let Some(read) = read {
            last_good = Some((segments.len(), read));
        }
    }
    Ok((segments, last_good))
}

/// A segment's header and the chain hash behind it; `None` if there is no good header.
fn read_header(disk: &dyn Disk, number: u64) -> Result<Option<(SegmentHeader, Hash)>, ReadError> {
    let name = segment_name(number);
    let read = || -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES];
        let file = open_segment(disk, number, Access::Read)?;
        let count = file.read_at(&mut block, 0)?;
        block.truncate(count);
        Ok(block)
    };
    let block = match read() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(None);
        }
        read => read.map_err(ReadError::io(format!("reading {name}")))?,
    };
    let hash = SegmentHeader::chain_hash(&block);
    Ok(SegmentHeader::decode(&block, number).ok().map(|header| (header, hash)))
}

/// A segment that an iterator is in.
struct Inside {
    number: u64,
    places: Arc<Vec<GroupPlace>>,
    /// The next group, or for reading backwards the one after it.
    at: usize,
    window: SegmentWindow,
}

/// Records in order; see [`Reader::records`]. Ends after the first error.
pub struct Records<'a> {
    reader: &'a Reader,
    next: u64,
    end: u64,
    segment: Option<Inside>,
    queue: VecDeque<Entry>,
    failed: bool,
}

impl Records<'_> {
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.segment.as_ref().is_none_or(|inside| inside.at >= inside.places.len()) {
            let (number, places, at) = self.reader.locate(self.next)?;
            let window = self.reader.window(number, SCAN_CHUNK_BYTES)?;
            self.segment = Some(Inside { number, places, at, window });
        }
        let Some(inside) = &mut self.segment else { return Ok(()) };
        let place = inside.places[inside.at];
        inside.at += 1;
        if place.records == 0 {
            return Ok(());
        }
        if place.first_index > self.next {
            let what = "a group is missing before this one";
            return Err(ReadError::damaged(self.next..place.first_index, inside.number, place.offset, what));
        }
        let (next, end, queue) = (self.next, self.end, &mut self.queue);
        self.reader.entries(&mut inside.window, inside.number, &place, |entry| {
            if (next..end).contains(&entry.index) {
                queue.push_back(entry);
            }
        })?;
        // A group that claims records and has none must not be looked at for ever.
        if queue.is_empty() && next < place.first_index.saturating_add(place.records.into()) {
            let what = "the record is not in its group";
            return Err(ReadError::damaged(next..next + 1, inside.number, place.offset, what));
        }
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.queue.pop_front() {
                self.next = entry.index.saturating_add(1);
                return Some(Ok(entry));
            }
            if self.failed || self.next >= self.end {
                return None;
            }
            if let Err(error) = self.fill() {
                self.failed = true;
                return Some(Err(error));
            }
        }
    }
}

/// Records newest first; see [`Reader::records_rev`]. Ends after the first error.
pub struct RecordsRev<'a> {
    reader: &'a Reader,
    before: u64,
    segment: Option<Inside>,
    /// Ascending; taken from the end.
    queue: Vec<Entry>,
    failed: bool,
}

impl RecordsRev<'_> {
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.segment.as_ref().is_none_or(|inside| inside.at == 0) {
            let (number, places, at) = self.reader.locate(self.before - 1)?;
            let window = self.reader.window(number, BLOCK_BYTES)?;
            self.segment = Some(Inside { number, places, at: at + 1, window });
        }
        let Some(inside) = &mut self.segment else { return Ok(()) };
        inside.at -= 1;
        let place = inside.places[inside.at];
        if place.records == 0 {
            return Ok(());
        }
        let (before, queue) = (self.before, &mut self.queue);
        self.reader.entries(&mut inside.window, inside.number, &place, |entry| {
            if entry.index < before {
                queue.push(entry);
            }
        })?;
        match queue.last() {
            Some(last) if last.index.checked_add(1) == Some(before) => Ok(()),
            _ => {
                let what = "a group is missing after this one";
                Err(ReadError::damaged(before - 1..before, inside.number, place.offset, what))
            }
        }
    }
}

impl Iterator for RecordsRev<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.queue.pop() {
                self.before = entry.index;
                return Some(Ok(entry));
            }
            if self.failed || self.before <= self.reader.first_index() {
                return None;
            }
            if let Err(error) = self.fill() {
                self.failed = true;
                return Some(Err(error));
            }
        }
    }
}
