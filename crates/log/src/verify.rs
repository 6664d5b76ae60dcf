//! Checking a whole log from its stored bytes.
//!
//! [`verify`] recomputes every leaf, node, root, group hash, content digest and checksum, looks that padding and tails
//! are zero, and checks every checkpoint: its signature, and its root against the recomputed one. A stored hash is
//! never evidence. Damage in one place does not stop the rest: the walk goes on at the next group and takes the tree up
//! again at the next segment, whose header has the subtree roots; a later checkpoint that agrees proves those too.
//!
//! A log alone cannot show that its end was cut off or that all of it was rewritten with the true key. Checkpoints kept
//! elsewhere can: give them as `against`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::disk::{Access, BLOCK_BYTES, Directory, Disk, DiskFile};
use crate::group::{
    Chain, ContentFrame, Fault, Frame, Frames, GroupHeader, MAX_GROUP_BYTES, PlacedFrame, RECORD_OVERHEAD,
    check_group, check_unplaced, is_complete,
};
use crate::lock::lock_holder;
use crate::note::{MAX_NOTE_BYTES, NoteError, SignedCheckpoint, VerifierKey};
use crate::pruned::{self, PRUNED_FILE, Pruned};
use crate::recovery::{CHECKPOINT_FILE, Damage, RootError, read_small, root_at};
use crate::sealed::{SealedFile, sealed_name};
use crate::segment::{
    SegmentHeader, SegmentWindow, is_sealed, is_zero, open_segment, segment_file_name, segment_name,
    segment_numbers,
};
use crate::tree::{CompactRange, ContentHasher, EMPTY_ROOT, Hash};

/// How many damages are listed; more are only counted.
pub const MAX_LISTED_DAMAGES: usize = 10_000;
/// How many group ends are remembered to compare logged checkpoints with.
const REMEMBERED_ENDS: usize = 65_536;
/// How many logged checkpoints may lie further back than that; each costs reading a segment.
const MAX_LATE_CHECKPOINTS: usize = 100;
const READ_CHUNK_BYTES: usize = 1024 * 1024;

/// Why there is nothing to report on.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory holds no log.
    #[error("there is no log here: {0}")]
    NoLog(String),
    /// The directory cannot be listed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments behind.
    pub bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
    /// Records behind.
    pub records: u64,
}

/// A record that was just recomputed, for the caller to look at.
#[derive(Debug)]
pub struct CheckedRecord<'a> {
    /// Its index in the log.
    pub index: u64,
    /// Who sent its batch.
    pub source: [u8; 16],
    /// The sender's number for the batch.
    pub seq: u64,
    /// The record.
    pub bytes: &'a [u8],
    /// Digests of the contents stored with it: in its group and the content-only groups before it, all recomputed.
    pub contents: &'a HashSet<Hash>,
    /// Sizes and roots at the ends of groups.
    ends: &'a VecDeque<(u64, Hash)>,
}

impl CheckedRecord<'_> {
    /// The recomputed root of the first `size` records; `None` if no group ended there, or too long ago.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        let at = self.ends.binary_search_by_key(&size, |(size, _)| *size).ok()?;
        self.ends.get(at).map(|(_, root)| *root)
    }
}

/// What a checkpoint kept elsewhere says about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The log's root at that size, recomputed, is the checkpoint's: everything before it is as it was then.
    Agrees,
    /// The log has fewer records: its end was cut off, or an old copy was put back.
    LogIsShorter {
        /// How many records the log has.
        size: u64,
    },
    /// The log's root at that size is another: what came before it was rewritten.
    RootDiffers {
        /// The recomputed root.
        root: Hash,
    },
    /// The root at that size cannot be recomputed because of damage before it.
    Unknown,
    /// The checkpoint is not signed by the key, or not of this log.
    NotGenuine(NoteError),
}

/// A checkpoint kept elsewhere and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its size.
    pub size: u64,
    /// What it says.
    pub agreement: Agreement,
}

/// The bytes of an incomplete group at the end. Not damage: nobody was told that it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment file.
    pub file: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What did not check.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log's name, from the key.
    pub origin: String,
    /// Records in the log, damaged ones included.
    pub size: u64,
    /// The recomputed root at `size`; `None` if damage makes it unknown.
    pub root: Option<Hash>,
    /// Segments with records or a header.
    pub segments: u64,
    /// Groups that were read whole and are as written.
    pub groups: u64,
    /// Records recomputed.
    pub records: u64,
    /// Contents recomputed against their digests.
    pub contents: u64,
    /// Contents that a crash left without end; no acked record refers to them.
    pub orphaned_contents: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is not as it was written, in the order of the log.
    pub damages: Vec<Damage>,
    /// How many damages there are, listed or not.
    pub damage_count: u64,
    /// The last record before the first damage; `None` if that hits the first record, or if there is no damage.
    pub last_good_before_damage: Option<u64>,
    /// Records that are proven to be as signed: recomputed, under a checkpoint with a good signature and this root.
    pub proven: Vec<Range<u64>>,
    /// Logged checkpoints whose signature and root are right.
    pub checkpoints_good: u64,
    /// Logged checkpoints (or the checkpoint file) that are wrong; they are damages too.
    pub checkpoints_bad: u64,
    /// The checkpoint file, if it is genuine.
    pub checkpoint: Option<SignedCheckpoint>,
    /// The checkpoints given as `against`, in their order.
    pub against: Vec<Compared>,
    /// Where the log begins, if it was pruned. What came before is not checked, and that somebody was allowed to remove
    /// it is not known here: the log knows nothing of what a record means.
    pub pruned: Option<Pruned>,
    /// For the caller to set: a record of the log says that it was pruned, with these numbers and this root.
    pub pruned_confirmed: bool,
    /// An incomplete group at the end.
    pub torn: Option<TornTail>,
    /// Whether a writer had the log open meanwhile.
    pub live: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Whether everything is as it was written and agrees with all checkpoints. A torn tail does not count. A pruned log
    /// is, only if [`pruned_confirmed`](Self::pruned_confirmed) was set.
    pub fn is_intact(&self) -> bool {
        let begins_rightly = self.pruned.is_none() || self.pruned_confirmed;
        begins_rightly
            && self.damage_count == 0
            && self.against.iter().all(|compared| compared.agreement == Agreement::Agrees)
    }

    /// Records that no genuine checkpoint covers, at the end of the log: what came after the last one.
    pub fn unproven_tail(&self) -> Range<u64> {
        self.proven.iter().map(|range| range.end).max().unwrap_or(0)..self.size
    }
}

/// Verifies the log in `dir` with the public key `key` (from elsewhere, not from the log).
///
/// `against` are checkpoints kept elsewhere. `progress` is called every few MiB. With a writer at work this verifies
/// what was complete when each segment was read.
pub fn verify(
    dir: &Path,
    key: &VerifierKey,
    against: &[SignedCheckpoint],
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    verify_with(dir, key, against, progress, None)
}

/// Looks at a record during [`verify_with`]; a returned text is a problem and becomes a damage.
pub type Visitor<'a> = &'a mut dyn FnMut(&CheckedRecord<'_>) -> Option<String>;

/// As [`verify`], and `visit` is called with every recomputed record, in order.
pub fn verify_with(
    dir: &Path,
    key: &VerifierKey,
    against: &[SignedCheckpoint],
    progress: &mut dyn FnMut(Progress),
    visit: Option<Visitor<'_>>,
) -> Result<Report, VerifyError> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(VerifyError::NoLog(format!("{} is not a directory", dir.display()))),
        Err(error) => return Err(VerifyError::NoLog(format!("{}: {error}", dir.display()))),
    }
    let live = lock_holder(dir).is_some();
    verify_on(&Directory::new(dir, false), key, against, live, progress, visit)
}

/// As [`verify_with`], on any [`Disk`]; `live` says that a writer is at work.
pub fn verify_on(
    disk: &dyn Disk,
    key: &VerifierKey,
    against: &[SignedCheckpoint],
    live: bool,
    progress: &mut dyn FnMut(Progress),
    visit: Option<Visitor<'_>>,
) -> Result<Report, VerifyError> {
    let began = Instant::now();
    let listing = |source| VerifyError::Io { what: "listing the log".to_owned(), source };
    // The checkpoint file first: a live writer only moves it forward, so the log read later has at least its size.
    let file = read_checkpoint_file(disk, key);
    let mut numbers = segment_numbers(disk).map_err(listing)?;
    let marker = pruned::read(disk)
        .map_err(|source| VerifyError::Io { what: "reading where the log begins".to_owned(), source })?;
    let pruned = marker.as_ref().ok().cloned().flatten();
    let first_segment = pruned.as_ref().map_or(0, |pruned| pruned.first_segment);
    numbers.retain(|number| *number >= first_segment);
    if numbers.is_empty() && matches!(file, Ok(None)) {
        return Err(VerifyError::NoLog("it has no segments".to_owned()));
    }
    let mut targets: BTreeMap<u64, Option<Hash>> =
        against.iter().map(|checkpoint| (checkpoint.size(), None)).collect();
    if let Ok(Some(checkpoint)) = &file {
        targets.insert(checkpoint.size(), None);
    }
    let report = Report { origin: key.name().to_owned(), live, pruned: pruned.clone(), ..Report::default() };
    // Signatures take longer than hashing a record; they are checked on a thread of their own.
    let (notes, inbox) = mpsc::sync_channel(1024);
    let (report, signatures) = std::thread::scope(|scope| {
        let signatures = scope.spawn(|| check_signatures(key, inbox));
        let mut walk = Walk {
            disk,
            key,
            live,
            progress,
            visit,
            report,
            targets,
            next_target: 0,
            // The first header of a pruned log says where it begins; a checkpoint that agrees later proves it.
            chain: pruned.is_none().then(|| Chain {
                next_group: 0,
                previous_hash: [0; 32],
                range: CompactRange::new(),
                salt: [0; 16],
            }),
            spans: vec![Span { start: 0, end: 0, proven: 0 }],
            ends: VecDeque::new(),
            late: Vec::new(),
            logged_size: 0,
            notes,
            open_content: None,
            resumed: first_segment > 0,
            digests: HashSet::new(),
            records: Vec::new(),
            total_bytes: 0,
            told_bytes: 0,
            damage_end: None,
        };
        if let Err(what) = marker {
            walk.report.damage_count += 1;
            let file = PRUNED_FILE.to_owned();
            walk.report.damages.push(Damage { indexes: 0..0, file, offset: 0, what: what.to_owned() });
        }
        walk.hit_target();
        walk.run(&numbers, first_segment);
        walk.finish(against, file, signatures)
    });
    let mut report = report;
    if signatures.is_err() {
        report.damage_count += 1;
        let what = "the signature checker panicked; this is a bug in fdr-log".to_owned();
        report.damages.push(Damage {
            indexes: 0..report.size,
            file: CHECKPOINT_FILE.to_owned(),
            offset: 0,
            what,
        });
    }
    report.elapsed = began.elapsed();
    Ok(report)
}

/// Reads the checkpoint file; `Err` says what is wrong with it.
fn read_checkpoint_file(disk: &dyn Disk, key: &VerifierKey) -> Result<Option<SignedCheckpoint>, String> {
    let bytes = read_small(disk, CHECKPOINT_FILE, MAX_NOTE_BYTES).map_err(|error| error.to_string())?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    SignedCheckpoint::open(&text, key).map(Some).map_err(|error| error.to_string())
}

/// A logged checkpoint on its way to the signature checker.
struct LoggedNote {
    checkpoint: SignedCheckpoint,
    /// The span in which its root agreed.
    span: Option<usize>,
    segment: u64,
    offset: u64,
}

struct Signatures {
    good: u64,
    bad: Vec<Damage>,
    /// For each span the largest size under a genuine checkpoint.
    proven: BTreeMap<usize, u64>,
}

fn check_signatures(key: &VerifierKey, inbox: mpsc::Receiver<LoggedNote>) -> Signatures {
    let mut signatures = Signatures { good: 0, bad: Vec::new(), proven: BTreeMap::new() };
    for note in inbox {
        match note.checkpoint.verify(key) {
            Ok(()) => {
                if let Some(span) = note.span {
                    signatures.good += 1;
                    let proven = signatures.proven.entry(span).or_default();
                    *proven = note.checkpoint.size().max(*proven);
                }
            }
            Err(error) if signatures.bad.len() < MAX_LISTED_DAMAGES => signatures.bad.push(Damage {
                indexes: 0..0,
                file: segment_name(note.segment),
                offset: note.offset,
                what: format!("a logged checkpoint is not genuine: {error}"),
            }),
            Err(_) => {}
        }
    }
    signatures
}

/// Records walked in one go: the tree was known from `start` (empty, or a segment header's subtree roots) to `end`.
struct Span {
    start: u64,
    end: u64,
    /// Records before this size are under a genuine checkpoint.
    proven: u64,
}

/// The smallest wanted size above `size`; `u64::MAX` for none.
fn next_after(targets: &BTreeMap<u64, Option<Hash>>, size: u64) -> u64 {
    targets.range((Bound::Excluded(size), Bound::Unbounded)).next().map_or(u64::MAX, |(size, _)| *size)
}

/// A content whose chunks are being put together.
struct OpenContent {
    digest: Hash,
    salt: [u8; 16],
    total_bytes: u64,
    next: u64,
    hasher: ContentHasher,
}

struct Walk<'a, 'v> {
    disk: &'a dyn Disk,
    key: &'a VerifierKey,
    live: bool,
    progress: &'a mut dyn FnMut(Progress),
    visit: Option<Visitor<'v>>,
    report: Report,
    /// Sizes at which the root is wanted, and the roots found.
    targets: BTreeMap<u64, Option<Hash>>,
    /// The smallest wanted size not passed yet; `u64::MAX` for none.
    next_target: u64,
    /// Where the walk stands; `None` behind damage, until the next segment.
    chain: Option<Chain>,
    spans: Vec<Span>,
    /// Sizes and roots at the ends of the last groups.
    ends: VecDeque<(u64, Hash)>,
    late: Vec<LoggedNote>,
    /// Size in the last logged checkpoint.
    logged_size: u64,
    notes: mpsc::SyncSender<LoggedNote>,
    open_content: Option<OpenContent>,
    /// Behind damage: chunks may come whose beginning was lost, up to the next group with records.
    resumed: bool,
    /// Contents of the group in work and the content-only groups before it.
    digests: HashSet<Hash>,
    /// Index and place of the records of the group in work, for the visitor.
    records: Vec<(u64, usize, usize)>,
    total_bytes: u64,
    told_bytes: u64,
    /// Index of `damages` whose end is not known yet.
    damage_end: Option<usize>,
}

impl Walk<'_, '_> {
    fn run(&mut self, numbers: &[u64], first_segment: u64) {
        let newest = numbers.iter().rposition(|number| {
            open_segment(self.disk, *number, Access::Read).is_ok_and(|file| {
                let mut block = vec![0; BLOCK_BYTES];
                file.read_at(&mut block, 0)
                    .is_ok_and(|count| SegmentHeader::decode(&block[..count], *number).is_ok())
            })
        });
        // Without any good header everything there is gets looked at, and found damaged.
        let walked = newest.map_or(0, |at| at + 1);
        for number in numbers {
            let size = open_segment(self.disk, *number, Access::Read).and_then(|file| file.size_bytes());
            self.total_bytes += size.unwrap_or(0);
        }
        let mut expected = first_segment;
        for (at, &number) in numbers[..walked].iter().enumerate() {
            if expected < number {
                let what = match number - expected {
                    1 => "the segment file is missing".to_owned(),
                    count => format!("{count} segment files are missing from here on"),
                };
                self.lose(self.size()..u64::MAX, expected, 0, &what);
            }
            expected = number + 1;
            if let Err(error) = self.segment(number, at + 1 == walked) {
                self.lose(self.size()..u64::MAX, number, 0, &format!("it cannot be read: {error}"));
            }
        }
        for (at, &number) in numbers[walked..].iter().enumerate() {
            if self.live && newest.is_some() {
                break; // the writer fills it while we look
            }
            if let Err(error) = self.unused(number, at == 0, newest.is_none()) {
                self.damage(0..0, number, 0, &format!("it cannot be read: {error}"));
            }
        }
    }

    fn size(&self) -> u64 {
        self.report.size
    }

    fn damage(&mut self, indexes: Range<u64>, segment: u64, offset: u64, what: &str) {
        self.report.damage_count += 1;
        if self.report.damage_count == 1 {
            self.report.last_good_before_damage = indexes.start.min(self.size()).checked_sub(1);
        }
        if self.report.damages.len() < MAX_LISTED_DAMAGES {
            let file = segment_file_name(self.disk, segment);
            self.report.damages.push(Damage { indexes, file, offset, what: what.to_owned() });
        }
    }

    /// Damage behind which the place in the tree is not known.
    fn lose(&mut self, indexes: Range<u64>, segment: u64, offset: u64, what: &str) {
        let open_end = indexes.end == u64::MAX;
        self.damage(indexes, segment, offset, what);
        self.damage_end = (open_end && self.report.damages.len() < MAX_LISTED_DAMAGES)
            .then(|| self.report.damages.len() - 1)
            .or(self.damage_end);
        self.chain = None;
        self.open_content = None;
        self.resumed = true;
    }

    /// The walk has found its feet at record `index`: damages before it end there at the latest.
    fn found_again(&mut self, index: u64) {
        if let Some(at) = self.damage_end.take() {
            for damage in &mut self.report.damages[..=at] {
                if damage.indexes.end == u64::MAX {
                    damage.indexes.end = index.max(damage.indexes.start);
                }
            }
        }
        self.report.size = self.report.size.max(index);
    }

    /// Notes the root if it is wanted at this size.
    fn hit_target(&mut self) {
        let Some(chain) = &self.chain else { return };
        let size = chain.range.size();
        if let Some(root) = self.targets.get_mut(&size) {
            *root = Some(chain.range.root());
        }
        self.next_target = next_after(&self.targets, size);
    }

    fn tell(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        if self.report.bytes - self.told_bytes >= 4 * 1024 * 1024 {
            self.told_bytes = self.report.bytes;
            let (bytes, total_bytes, records) = (self.report.bytes, self.total_bytes, self.report.records);
            (self.progress)(Progress { bytes, total_bytes: total_bytes.max(bytes), records });
        }
    }

    /// Walks one segment: header, groups, zero tail.
    fn segment(&mut self, number: u64, newest: bool) -> io::Result<()> {
        let (file, sealed) = self.open(number)?;
        let walk = || {
            let window = SegmentWindow::new(file, READ_CHUNK_BYTES)?;
            self.walk_segment(window, number, newest)
        };
        // Decompressing takes longer than hashing: it goes ahead on a thread of its own.
        let walked = match &sealed {
            None => walk(),
            Some(sealed) => std::thread::scope(|scope| {
                let _finish = Finish(sealed);
                scope.spawn(|| sealed.read_ahead());
                walk()
            }),
        };
        // What was given in the place of a damaged block has been found damaged too; here is why.
        for fault in sealed.iter().flat_map(|sealed| sealed.take_faults()) {
            self.damage(0..0, number, fault.offset, &fault.what);
        }
        if newest && sealed.is_some() && !self.live {
            let what = "the segment after a sealed one is missing";
            self.lose(self.size()..u64::MAX, number + 1, 0, what);
        }
        walked
    }

    /// Opens a segment, sealed or not; of a sealed one damaged blocks are to be stepped over.
    fn open(&self, number: u64) -> io::Result<Opened> {
        match self.disk.open(&segment_name(number), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_sealed(self.disk, number) => {
                let file = self.disk.open(&sealed_name(number), Access::Read)?;
                let sealed = Arc::new(SealedFile::open(file, number, true)?);
                Ok((sealed.clone(), Some(sealed)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn walk_segment(&mut self, mut window: SegmentWindow, number: u64, newest: bool) -> io::Result<()> {
        self.report.segments += 1;
        self.tell(BLOCK_BYTES as u64);
        let block = window.bytes(0, BLOCK_BYTES)?;
        let chain_hash = SegmentHeader::chain_hash(block);
        let mut salt = None;
        match SegmentHeader::decode(block, number) {
            Ok(header) => {
                salt = Some(header.salt);
                self.enter(header, chain_hash, number);
            }
            Err(fault) => self.damage(0..0, number, fault.offset, fault.what),
        }
        let mut position = BLOCK_BYTES as u64;
        let mut looks = 0;
        // Behind damage: the hash that the next group must name, if the group before it was good.
        let mut unplaced_hash: Option<Hash> = None;
        loop {
            let live_end = newest && self.live;
            let fault = match window.group(position)? {
                // Beside a writer the checksums come first: a group may be there in part.
                Ok((header, bytes)) if live_end => is_complete(bytes, &header).err(),
                Ok(_) => None,
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                if live_end {
                    // What was read ahead may be older than the writer's last groups: look once more. Only when a
                    // good group stands further on, and still this one is bad, is it no longer being written.
                    let end = looks > 0 && !group_follows(&mut window, position, salt)?;
                    if end {
                        return Ok(());
                    }
                    if looks < 2 {
                        looks += 1;
                        window.refresh()?;
                        continue;
                    }
                }
                match self.next_group(&mut window, position, number, newest, salt, fault)? {
                    Some(next) => position = next,
                    None => return Ok(()),
                }
                unplaced_hash = None;
                continue;
            }
            looks = 0;
            let Ok((header, bytes)) = window.group(position)? else { continue };
            // With a damaged segment header the salt is taken from the first group; the tree decides.
            let segment_salt = *salt.get_or_insert_with(|| {
                if let Some(chain) = &mut self.chain {
                    (chain.salt, chain.previous_hash) = (header.salt, header.previous_hash);
                }
                header.salt
            });
            let total = header.total_bytes() as u64;
            let checked = match self.chain.take() {
                Some(mut chain) => {
                    let checked = self.placed_group(&header, bytes, &mut chain, number, position);
                    self.chain = Some(chain);
                    checked.map(|()| None)
                }
                None if header.salt != segment_salt
                    || unplaced_hash.is_some_and(|hash| hash != header.previous_hash) =>
                {
                    Err(Fault { offset: 72, what: "the group does not follow from the group before it" })
                }
                None => self.unplaced_group(&header, bytes, number, position).map(Some),
            };
            match checked {
                Ok(hash) => {
                    unplaced_hash = hash;
                    self.report.groups += 1;
                    self.tell(total);
                    position += total;
                }
                Err(fault) => {
                    let end = self.next_index(&mut window, position + total)?;
                    match self.next_group(&mut window, position, number, newest, salt, fault)? {
                        Some(next) => {
                            if let (Some(end), Some(at)) = (end, self.damage_end)
                                && next == position + total
                            {
                                self.report.damages[at].indexes.end =
                                    end.max(self.report.damages[at].indexes.start);
                            }
                            position = next;
                        }
                        None => return Ok(()),
                    }
                    unplaced_hash = None;
                }
            }
        }
    }

    /// The first record index of the group at `offset`, if one stands there.
    fn next_index(&mut self, window: &mut SegmentWindow, offset: u64) -> io::Result<Option<u64>> {
        Ok(GroupHeader::decode(window.bytes(offset, BLOCK_BYTES)?).ok().map(|header| header.first_index))
    }

    /// Compares a segment header with where the walk stands, and takes the tree up from it behind damage.
    fn enter(&mut self, header: SegmentHeader, chain_hash: Hash, number: u64) {
        let first = header.range.size();
        if header.verifier != *self.key {
            let what = format!("the segment was made with the key {}", header.verifier);
            self.damage(0..0, number, 96, &what);
        }
        let continues = self.chain.as_ref().is_some_and(|chain| {
            let chained = header.previous_hash == chain.previous_hash;
            chained && header.range == chain.range && header.first_group == chain.next_group
        });
        if let Some(pruned) = &self.report.pruned
            && pruned.first_segment == number
            && !pruned.fits(&header)
        {
            let what = "the log does not begin as the file 'pruned' says";
            self.damage(0..first, number, 0, what);
        }
        if !continues {
            if self.chain.is_some() {
                let from = self.size().min(first);
                self.lose(
                    from..first.max(from),
                    number,
                    16,
                    "the segment does not continue the one before it",
                );
            }
            self.found_again(first);
            self.spans.push(Span { start: first, end: first, proven: first });
            self.ends.clear();
        }
        self.chain = Some(Chain {
            next_group: header.first_group,
            previous_hash: chain_hash,
            range: header.range,
            salt: header.salt,
        });
        self.open_content = if continues { self.open_content.take() } else { None };
        self.hit_target();
    }

    /// Checks a group whose place is known, with everything in it.
    fn placed_group(
        &mut self,
        header: &GroupHeader,
        bytes: &[u8],
        chain: &mut Chain,
        segment: u64,
        position: u64,
    ) -> Result<(), Fault> {
        let mut contents = ContentCheck {
            open: self.open_content.take(),
            digests: std::mem::take(&mut self.digests),
            resumed: self.resumed,
            ..ContentCheck::default()
        };
        let mut notes = Vec::new();
        let mut found = Vec::new();
        let visiting = self.visit.is_some();
        self.records.clear();
        let (next_target, records, targets) = (&mut self.next_target, &mut self.records, &mut self.targets);
        let checked = check_group(bytes, header, chain, |placed, leaf, range| {
            match (&placed.frame, leaf) {
                (Frame::Record(record), Some((index, _))) => {
                    if visiting {
                        records.push((index, placed.at, record.bytes.len()));
                    }
                    if range.size() == *next_target {
                        found.push((range.size(), range.root()));
                        *next_target =
                            targets.range(range.size() + 1..).next().map_or(u64::MAX, |(size, _)| *size);
                    }
                }
                (Frame::Content(content), _) => contents.chunk(content, placed)?,
                (Frame::Checkpoint(note), _) => notes.push((placed.at, note.to_vec())),
                (Frame::Record(_), None) => {} // never: records have leaves
            }
            Ok(())
        });
        let trailer = checked.inspect_err(|_| self.digests = HashSet::new())?;
        for (size, root) in found {
            self.targets.insert(size, Some(root));
        }
        self.report.contents += contents.completed;
        self.report.orphaned_contents += contents.orphaned;
        self.open_content = contents.open;
        self.digests = contents.digests;
        if !header.is_content_only() && self.open_content.take().is_some() {
            self.report.orphaned_contents += 1;
        }
        for (at, note) in notes {
            self.logged_checkpoint(&note, header.first_index, segment, position + at as u64);
        }
        self.report.records += u64::from(header.records);
        self.report.size = trailer.tree_size;
        self.ends.push_back((trailer.tree_size, trailer.root));
        if self.ends.len() > REMEMBERED_ENDS {
            self.ends.pop_front();
        }
        if let Some(span) = self.spans.last_mut() {
            span.end = trailer.tree_size;
        }
        self.visit_records(bytes, header, segment, position);
        if !header.is_content_only() {
            self.digests.clear();
            self.resumed = false;
        }
        Ok(())
    }

    fn visit_records(&mut self, bytes: &[u8], header: &GroupHeader, segment: u64, position: u64) {
        let Some(visit) = &mut self.visit else { return };
        let mut problems = Vec::new();
        let mut index = header.first_index;
        for placed in Frames::new(bytes, header).flatten() {
            if let Frame::Record(record) = placed.frame {
                let checked = CheckedRecord {
                    index,
                    source: record.source,
                    seq: record.seq,
                    bytes: record.bytes,
                    contents: &self.digests,
                    ends: &self.ends,
                };
                if let Some(problem) = visit(&checked) {
                    problems.push((index, position + (placed.at + RECORD_OVERHEAD) as u64, problem));
                }
                index = index.wrapping_add(1);
            }
        }
        for (index, offset, problem) in problems {
            self.damage(index..index.saturating_add(1), segment, offset, &problem);
        }
    }

    /// Checks a group behind damage: all but its place in the tree.
    fn unplaced_group(
        &mut self,
        header: &GroupHeader,
        bytes: &[u8],
        segment: u64,
        position: u64,
    ) -> Result<Hash, Fault> {
        let mut notes = Vec::new();
        // Chunks of a content may be lost with the damaged group: an incomplete one is no further damage.
        let mut contents = ContentCheck::default();
        let trailer = check_unplaced(bytes, header, |placed| match &placed.frame {
            Frame::Checkpoint(note) => {
                notes.push((placed.at, note.to_vec()));
                Ok(())
            }
            Frame::Content(content)
                if content.offset == 0 && content.bytes.len() as u64 == content.total_bytes =>
            {
                contents.chunk(content, placed)
            }
            _ => Ok(()),
        })?;
        self.report.contents += contents.completed;
        self.report.records += u64::from(header.records);
        self.found_again(header.first_index);
        self.report.size = self.report.size.max(trailer.tree_size);
        for (at, note) in notes {
            self.logged_checkpoint(&note, header.first_index, segment, position + at as u64);
        }
        Ok(trailer.group_hash)
    }

    /// Compares a logged checkpoint with the recomputed root and sends it to the signature checker.
    fn logged_checkpoint(&mut self, note: &[u8], size_before: u64, segment: u64, offset: u64) {
        let parsed = std::str::from_utf8(note)
            .map_err(|_| NoteError::Malformed("it is not UTF-8"))
            .and_then(SignedCheckpoint::parse);
        let checkpoint = match parsed {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                return self.bad_checkpoint(segment, offset, &format!("a logged checkpoint: {error}"));
            }
        };
        let size = checkpoint.size();
        if size > size_before {
            return self.bad_checkpoint(
                segment,
                offset,
                "a logged checkpoint is of a later size than the log had",
            );
        }
        self.logged_size = self.logged_size.max(size);
        let span = match self.ends.binary_search_by_key(&size, |(size, _)| *size).map(|at| self.ends[at].1) {
            Ok(root) if root == *checkpoint.root() => Some(self.spans.len() - 1),
            Ok(_) => return self.bad_checkpoint(segment, offset, "a logged checkpoint has another root"),
            Err(_) => {
                if self.late.len() < MAX_LATE_CHECKPOINTS {
                    self.late.push(LoggedNote { checkpoint, span: None, segment, offset });
                } else {
                    self.bad_checkpoint(
                        segment,
                        offset,
                        "a logged checkpoint lies too far back to be compared",
                    );
                }
                return;
            }
        };
        // Fails only if the checker has panicked, which is reported in the end.
        let _ = self.notes.send(LoggedNote { checkpoint, span, segment, offset });
    }

    fn bad_checkpoint(&mut self, segment: u64, offset: u64, what: &str) {
        self.report.checkpoints_bad += 1;
        self.damage(0..0, segment, offset, what);
    }

    /// Decides what a bad group at `position` is: the end, a torn tail, or damage. Returns where to go on.
    fn next_group(
        &mut self,
        window: &mut SegmentWindow,
        position: u64,
        segment: u64,
        newest: bool,
        salt: Option<[u8; 16]>,
        fault: Fault,
    ) -> io::Result<Option<u64>> {
        let at = position + fault.offset;
        let size = self.size();
        let header = GroupHeader::decode(window.bytes(position, BLOCK_BYTES)?).ok();
        let header = header.filter(|header| salt.is_none_or(|salt| salt == header.salt));
        // Where does the next good group stand?
        let mut next = None;
        let mut offset = position + header.as_ref().map_or(BLOCK_BYTES, GroupHeader::total_bytes) as u64;
        let mut last_not_zero = None;
        if !is_zero(window.bytes(position, BLOCK_BYTES)?) {
            last_not_zero = Some(offset.min(window.file_bytes()));
        }
        while offset < window.file_bytes() {
            let block = window.bytes(offset, BLOCK_BYTES)?;
            if !is_zero(block) {
                if GroupHeader::decode(block).is_ok_and(|found| salt.is_none_or(|salt| salt == found.salt)) {
                    next = Some(offset);
                    break;
                }
                last_not_zero = Some(offset + block.len() as u64);
            }
            offset += BLOCK_BYTES as u64;
        }
        let Some(end) = last_not_zero.or(next) else {
            self.tell(window.file_bytes().saturating_sub(position));
            return Ok(None); // zero to the end: a clean end
        };
        // A whole group with good checksums that does not fit was not torn.
        let whole = match &header {
            Some(header) => {
                let bytes = window.bytes(position, header.total_bytes())?;
                is_complete(bytes, header).is_ok()
            }
            None => false,
        };
        let last_group = next.is_none() && newest && self.chain.is_some();
        if last_group && !whole && end - position <= MAX_GROUP_BYTES as u64 {
            let file = segment_name(segment);
            let what = fault.what.to_owned();
            self.report.torn = Some(TornTail { file, offset: position, bytes: end - position, what });
            return Ok(None);
        }
        // Which records are hit? A broken frame is named exactly if it is a record's.
        let mut indexes = size..u64::MAX;
        if let Some(header) = &header
            && header.first_index == size
        {
            let after = size.saturating_add(header.records.into());
            let bytes = window.bytes(position, header.total_bytes())?;
            let mut index = size;
            let mut broken = None;
            for placed in Frames::new(bytes, header) {
                match placed {
                    Ok(placed) if matches!(placed.frame, Frame::Record(_)) => index = index.saturating_add(1),
                    Ok(_) => {}
                    Err(fault) => {
                        let kind = bytes.get(fault.offset as usize + 8);
                        broken = (kind == Some(&1) && index < after).then_some(index);
                        break;
                    }
                }
            }
            indexes = broken.map_or(size..after, |index| index..index.saturating_add(1));
            self.lose(indexes, segment, at, fault.what);
            self.report.size = self.report.size.max(after);
        } else {
            if self.chain.is_none() && header.is_some() {
                indexes = size..size;
            }
            self.lose(indexes, segment, at, fault.what);
        }
        self.digests.clear();
        Ok(next)
    }

    /// A segment behind the last good header: reserve, and zero; or a header that a crash cut off.
    fn unused(&mut self, number: u64, first: bool, no_header_at_all: bool) -> io::Result<()> {
        let mut window =
            SegmentWindow::new(open_segment(self.disk, number, Access::Read)?, READ_CHUNK_BYTES)?;
        let found = window.not_zero(0)?;
        self.tell(window.file_bytes());
        match found {
            None => {}
            Some((0, end)) if first && end <= BLOCK_BYTES as u64 && self.report.torn.is_none() => {
                let what = "the segment header is incomplete".to_owned();
                self.report.torn = Some(TornTail { file: segment_name(number), offset: 0, bytes: end, what });
            }
            Some((offset, _)) => {
                let what = "there are bytes behind a missing or damaged segment header";
                let indexes = self.size()..u64::MAX;
                self.damage(if no_header_at_all { 0..u64::MAX } else { indexes }, number, offset, what);
            }
        }
        Ok(())
    }

    /// Brings everything together.
    fn finish(
        mut self,
        against: &[SignedCheckpoint],
        file: Result<Option<SignedCheckpoint>, String>,
        signatures: std::thread::ScopedJoinHandle<'_, Signatures>,
    ) -> (Report, Result<(), ()>) {
        // Logged checkpoints from far back: recompute their roots from their segments.
        for mut note in std::mem::take(&mut self.late) {
            let size = note.checkpoint.size();
            let span = self.spans.iter().position(|span| (span.start..=span.end).contains(&size));
            match (span, root_at(self.disk, size)) {
                (Some(_), Ok(root)) if root == *note.checkpoint.root() => note.span = span,
                (Some(_), Ok(_) | Err(RootError::Damaged(_))) => {
                    self.bad_checkpoint(note.segment, note.offset, "a logged checkpoint has another root");
                    continue;
                }
                // Behind damage nothing can be said of the root; the signature still counts.
                _ => {}
            }
            let _ = self.notes.send(note);
        }
        let Walk { mut report, targets, mut spans, chain, notes, damage_end: _, key, .. } = self;
        drop(notes);
        let joined = signatures.join();
        let checker = joined.as_ref().map(drop).map_err(drop);
        if let Ok(signatures) = joined {
            report.checkpoints_good = signatures.good;
            report.checkpoints_bad += signatures.bad.len() as u64;
            report.damage_count += signatures.bad.len() as u64;
            report.damages.extend(signatures.bad);
            for (span, proven) in signatures.proven {
                spans[span].proven = proven.max(spans[span].proven);
            }
        }
        let size = report.size;
        let intact_end = chain.as_ref().is_some_and(|chain| chain.range.size() == size);
        report.root = chain.filter(|_| intact_end).map(|chain| chain.range.root());
        let compare = |checkpoint: &SignedCheckpoint| match targets.get(&checkpoint.size()).copied().flatten()
        {
            Some(root) if root == *checkpoint.root() => Agreement::Agrees,
            Some(root) => Agreement::RootDiffers { root },
            None if checkpoint.size() > size => Agreement::LogIsShorter { size },
            None => Agreement::Unknown,
        };
        let prove = |checkpoint: &SignedCheckpoint, spans: &mut Vec<Span>| {
            let size = checkpoint.size();
            for span in spans.iter_mut().filter(|span| span.start < size && size <= span.end) {
                span.proven = span.proven.max(size);
            }
        };
        for checkpoint in against {
            let agreement = match checkpoint.verify(key) {
                Err(error) => Agreement::NotGenuine(error),
                Ok(()) => compare(checkpoint),
            };
            if agreement == Agreement::Agrees {
                prove(checkpoint, &mut spans);
            }
            report.against.push(Compared { size: checkpoint.size(), agreement });
        }
        let problem = match &file {
            Ok(None) => None,
            Err(error) => Some((0..0, error.clone())),
            Ok(Some(checkpoint)) => match compare(checkpoint) {
                Agreement::Agrees => {
                    prove(checkpoint, &mut spans);
                    None
                }
                Agreement::LogIsShorter { size } => {
                    let what = format!("it is of {} records and the log has {size}", checkpoint.size());
                    Some((size..checkpoint.size(), what))
                }
                Agreement::RootDiffers { .. } => {
                    let what = format!("the log's root at {} records is another", checkpoint.size());
                    Some((0..checkpoint.size(), what))
                }
                Agreement::Unknown | Agreement::NotGenuine(_) => None,
            },
        };
        if let Some((indexes, what)) = problem {
            report.checkpoints_bad += 1;
            report.damage_count += 1;
            if report.damage_count == 1 {
                report.last_good_before_damage = indexes.start.checked_sub(1);
            }
            report.damages.push(Damage { indexes, file: CHECKPOINT_FILE.to_owned(), offset: 0, what });
        }
        // An incomplete end that a genuine checkpoint covers was not torn: it had been complete.
        let covered = against
            .iter()
            .filter(|checkpoint| checkpoint.verify(key).is_ok())
            .chain(file.iter().flatten())
            .map(SignedCheckpoint::size)
            .max()
            .unwrap_or(0);
        if covered > size
            && let Some(torn) = report.torn.take()
        {
            report.damage_count += 1;
            report.last_good_before_damage = report.last_good_before_damage.or(size.checked_sub(1));
            let TornTail { file, offset, what, .. } = torn;
            report.damages.insert(0, Damage { indexes: size..covered, file, offset, what });
        }
        for damage in &mut report.damages {
            if damage.indexes.end == u64::MAX && damage.indexes.start < size {
                damage.indexes.end = size;
            }
        }
        report.checkpoint = file.ok().flatten();
        report.proven = spans
            .iter()
            .filter(|span| span.start < span.proven)
            .map(|span| span.start..span.proven)
            .collect();
        if size == 0 && report.root.is_none() && report.damage_count == 0 {
            report.root = Some(EMPTY_ROOT);
        }
        (report, checker)
    }
}

/// Lets the thread that reads ahead end, whatever happens to the one that walks.
struct Finish<'a>(&'a SealedFile);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A segment's file, and the same once more if it is sealed.
type Opened = (Arc<dyn DiskFile>, Option<Arc<SealedFile>>);

/// Whether a good group header of this segment stands anywhere behind the group at `position`.
fn group_follows(window: &mut SegmentWindow, position: u64, salt: Option<[u8; 16]>) -> io::Result<bool> {
    let ours = |header: &GroupHeader| salt.is_none_or(|salt| salt == header.salt);
    let header = GroupHeader::decode(window.bytes(position, BLOCK_BYTES)?).ok().filter(ours);
    let mut offset = position + header.map_or(BLOCK_BYTES, |header| header.total_bytes()) as u64;
    while offset < window.file_bytes() {
        if GroupHeader::decode(window.bytes(offset, BLOCK_BYTES)?).is_ok_and(|header| ours(&header)) {
            return Ok(true);
        }
        offset += BLOCK_BYTES as u64;
    }
    Ok(false)
}

/// Puts chunks together and checks whole contents against their digests.
#[derive(Default)]
struct ContentCheck {
    open: Option<OpenContent>,
    digests: HashSet<Hash>,
    resumed: bool,
    completed: u64,
    orphaned: u64,
}

impl ContentCheck {
    fn chunk(&mut self, content: &ContentFrame<'_>, placed: &PlacedFrame<'_>) -> Result<(), Fault> {
        let mut open = match self.open.take() {
            Some(open)
                if (open.digest, open.salt, open.total_bytes, open.next)
                    == (content.digest, content.salt, content.total_bytes, content.offset)
                    && content.offset > 0 =>
            {
                open
            }
            before if content.offset == 0 => {
                self.orphaned += u64::from(before.is_some());
                OpenContent {
                    digest: content.digest,
                    salt: content.salt,
                    total_bytes: content.total_bytes,
                    next: 0,
                    hasher: ContentHasher::new(&content.salt),
                }
            }
            _ if self.resumed => return Ok(()), // its beginning was lost, so it cannot be checked
            _ => {
                let what = "a content chunk does not follow the one before it";
                return Err(Fault { offset: placed.at as u64, what });
            }
        };
        open.hasher.update(content.bytes);
        open.next += content.bytes.len() as u64;
        if open.next < open.total_bytes {
            self.open = Some(open);
            return Ok(());
        }
        if open.hasher.finish() != open.digest {
            return Err(Fault { offset: placed.at as u64, what: "a content does not match its digest" });
        }
        self.digests.insert(open.digest);
        self.completed += 1;
        Ok(())
    }
}
