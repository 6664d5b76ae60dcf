//! Opening a log after whatever happened to it.
//!
//! The rule: only one torn group at the very end, which nobody was told is stored, may be set aside. It is copied to
//! `quarantine/`, its place is made zero again, and [`Recovery::torn`] says so. Everything else that is not exactly as
//! it was written is damage: opening fails with [`OpenError::Damaged`] and nothing is changed.
//!
//! Only the newest segment is read whole: its header has the tree and the chain up to there. Of those before, the
//! headers of the last 256 are checked. [`crate::verify`] reads all.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::disk::{Access, AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};
use crate::group::{Chain, Frame, GroupHeader, MAX_GROUP_BYTES, check_group, is_complete};
use crate::note::{MAX_NOTE_BYTES, NoteError, SignedCheckpoint, VerifierKey};
use crate::pruned::{self, PRUNED_FILE, Pruned};
use crate::sealed::sealed_name;
use crate::segment::{
    SegmentHeader, SegmentWindow, is_sealed, is_zero, open_segment, segment_name, segment_numbers,
};
use crate::tree::{CompactRange, Hash};
use crate::window::{BatchKey, Stored};

/// The name of the file with the newest checkpoint.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
/// How many segment headers before the newest one are looked at too.
const CHECKED_HEADERS: usize = 256;
/// How far into a segment in reserve opening looks for bytes that should not be there.
const RESERVE_PROBE_BYTES: usize = 64 * 1024;

/// What opening found and did.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Records in the log.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// The first record that is kept: 0, unless the log was pruned.
    pub first_index: u64,
    /// Whether the log was made just now.
    pub created: bool,
    /// Segments with a header.
    pub segments: u64,
    /// Groups of the newest segment, all read and checked.
    pub groups_checked: u64,
    /// The torn write that was set aside, if there was one.
    pub torn: Option<Torn>,
    /// How long opening took.
    pub elapsed: Duration,
}

/// A write that a crash cut off. No ack was sent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub file: String,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// What did not check.
    pub what: String,
    /// The copy that was kept.
    pub quarantine_path: PathBuf,
}

/// Bytes that are not as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The records that may be affected; an empty range where no record is. The end is `u64::MAX` if it is unknown.
    pub indexes: Range<u64>,
    /// The file.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        match (self.indexes.start, self.indexes.end) {
            (start, end) if start >= end => Ok(()),
            (start, u64::MAX) => write!(f, " (record {start} and after)"),
            (start, end) if end - start == 1 => write!(f, " (record {start})"),
            (start, end) => write!(f, " (records {start} to {})", end - 1),
        }
    }
}

/// Why a log could not be opened for writing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another writer has it.
    #[error("the log is open in process {pid}")]
    Locked {
        /// Its process id, 0 if it is not known.
        pid: u32,
        /// When it opened the log.
        since: SystemTime,
    },
    /// The log is damaged; see [`Damage`] and run [`crate::verify`].
    #[error("the log is damaged: {0}")]
    Damaged(Damage),
    /// The log belongs to another origin or key.
    #[error("the log was made with the key {found}, not with {expected}")]
    WrongKey {
        /// The key asked for.
        expected: String,
        /// The key in the log.
        found: String,
    },
    /// The origin cannot be a C2SP key name.
    #[error(transparent)]
    Origin(#[from] NoteError),
    /// An option is out of bounds.
    #[error("option {0}")]
    Options(&'static str),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let what = what.into();
        move |source| OpenError::Io { what, source }
    }
}

/// A log as it stands on disk, checked; nothing was changed yet.
pub(crate) struct Recovered {
    /// `None`: there is no log yet.
    pub(crate) newest: Option<Newest>,
    pub(crate) checkpoint: Option<SignedCheckpoint>,
    pub(crate) torn: Option<TornPlan>,
    pub(crate) pruned: Option<Pruned>,
}

/// The newest segment.
pub(crate) struct Newest {
    pub(crate) header: SegmentHeader,
    pub(crate) chain: Chain,
    /// Where the next group goes.
    pub(crate) position: u64,
    pub(crate) groups: u64,
    pub(crate) batches: Vec<(BatchKey, Stored)>,
    /// Size in the newest checkpoint among the segment's groups.
    pub(crate) logged_checkpoint: Option<u64>,
    /// The root at the size of the checkpoint file, where a group of this segment ends there.
    checkpoint_root: Option<Hash>,
}

/// A torn region to be set aside.
pub(crate) struct TornPlan {
    segment: u64,
    offset: u64,
    bytes: u64,
    what: &'static str,
}

fn damage(indexes: Range<u64>, file: impl Into<String>, offset: u64, what: impl Into<String>) -> OpenError {
    OpenError::Damaged(Damage { indexes, file: file.into(), offset, what: what.into() })
}

/// Reads a whole small file, bounded.
pub(crate) fn read_small(disk: &dyn Disk, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let len = file.size_bytes()?.min(limit as u64 + 1) as usize;
    let mut bytes = vec![0; len];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Reads and checks everything that opening relies on.
pub(crate) fn recover(disk: &dyn Disk, verifier: &VerifierKey) -> Result<Recovered, OpenError> {
    let mut numbers = segment_numbers(disk).map_err(OpenError::io("listing the log"))?;
    let pruned = pruned::read(disk)
        .map_err(OpenError::io("reading where the log begins"))?
        .map_err(|what| damage(0..u64::MAX, PRUNED_FILE, 0, what))?;
    let first = pruned.as_ref().map_or(0, |pruned| pruned.first_segment);
    // What is left of the others goes when the log is open.
    numbers.retain(|number| *number >= first);
    for (expected, number) in (first..).zip(&numbers) {
        if *number != expected {
            let name = segment_name(expected);
            return Err(damage(0..u64::MAX, name, 0, "the segment file is missing"));
        }
    }
    if let Some(pruned) = &pruned {
        let header = pruned::header_of(disk, first).map_err(OpenError::io("reading where the log begins"))?;
        if !header.is_some_and(|header| pruned.fits(&header)) {
            let what = "the log does not begin as the file 'pruned' says";
            return Err(damage(0..pruned.first_index, segment_name(first), 0, what));
        }
    }
    let note =
        read_small(disk, CHECKPOINT_FILE, MAX_NOTE_BYTES).map_err(OpenError::io("reading the checkpoint"))?;
    let note = note.map(String::from_utf8);
    let wanted = match &note {
        Some(Ok(text)) => SignedCheckpoint::parse(text).ok().map(|checkpoint| checkpoint.size()),
        _ => None,
    };
    let mut torn = None;
    let mut newest: Option<Newest> = None;
    let mut checked_headers = 0;
    for &number in numbers.iter().rev() {
        let name = segment_name(number);
        let reading = || format!("reading {name}");
        let opened = open_segment(disk, number, Access::Recover);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(damage(0..u64::MAX, sealed_name(number), 0, error.to_string()));
            }
            opened => opened.map_err(OpenError::io(reading()))?,
        };
        if let Some(newest) = &newest {
            let mut window = SegmentWindow::new(file, BLOCK_BYTES).map_err(OpenError::io(reading()))?;
            let block = window.bytes(0, BLOCK_BYTES).map_err(OpenError::io(reading()))?;
            let size = newest.chain.range.size();
            match SegmentHeader::decode(block, number) {
                Err(fault) => return Err(damage(0..size, name, fault.offset, fault.what)),
                Ok(header)
                    if header.verifier != *verifier || header.range.size() > newest.header.range.size() =>
                {
                    return Err(damage(0..size, name, 0, "the segment header does not belong to this log"));
                }
                Ok(_) => {}
            }
            checked_headers += 1;
            if checked_headers == CHECKED_HEADERS {
                break;
            }
            continue;
        }
        let mut window = SegmentWindow::new(file, 1024 * 1024).map_err(OpenError::io(reading()))?;
        let probe = window.bytes(0, RESERVE_PROBE_BYTES).map_err(OpenError::io(reading()))?;
        let block = &probe[..probe.len().min(BLOCK_BYTES)];
        if is_zero(block) {
            if !is_zero(probe) {
                return Err(damage(0..u64::MAX, name, 0, "the segment header is gone and groups are there"));
            }
            continue;
        }
        match SegmentHeader::decode(block, number) {
            Ok(header) => {
                if is_sealed(disk, number) {
                    // Only a full segment is sealed, when the next one has been begun.
                    let what = "the segment after a sealed one is missing";
                    return Err(damage(header.range.size()..u64::MAX, segment_name(number + 1), 0, what));
                }
                if header.verifier != *verifier {
                    let (expected, found) = (verifier.to_string(), header.verifier.to_string());
                    return Err(OpenError::WrongKey { expected, found });
                }
                let chain_hash = SegmentHeader::chain_hash(block);
                newest = Some(scan(&mut window, header, chain_hash, wanted, &mut torn)?);
            }
            Err(fault) => {
                // A header is written before anything else of its segment: alone it is a torn write.
                let rest = window.not_zero(BLOCK_BYTES as u64).map_err(OpenError::io(reading()))?;
                if rest.is_some() || torn.is_some() {
                    return Err(damage(0..u64::MAX, name, fault.offset, fault.what));
                }
                torn = Some(TornPlan {
                    segment: number,
                    offset: 0,
                    bytes: BLOCK_BYTES as u64,
                    what: fault.what,
                });
            }
        }
    }
    let checkpoint = match note {
        None => None,
        Some(Err(_)) => return Err(damage(0..0, CHECKPOINT_FILE, 0, "it is not UTF-8")),
        Some(Ok(text)) => Some(check_checkpoint(disk, verifier, &text, newest.as_ref())?),
    };
    Ok(Recovered { newest, checkpoint, torn, pruned })
}

/// Walks the newest segment's groups and decides what the bytes after the last good one are.
fn scan(
    window: &mut SegmentWindow,
    header: SegmentHeader,
    chain_hash: Hash,
    wanted: Option<u64>,
    torn: &mut Option<TornPlan>,
) -> Result<Newest, OpenError> {
    let name = segment_name(header.number);
    let reading = || format!("reading {name}");
    let mut chain = Chain {
        next_group: header.first_group,
        previous_hash: chain_hash,
        range: header.range.clone(),
        salt: header.salt,
    };
    let mut position = BLOCK_BYTES as u64;
    let mut groups = 0;
    let mut batches: Vec<(BatchKey, Stored)> = Vec::new();
    let mut logged_checkpoint = None;
    let mut checkpoint_root = (wanted == Some(chain.range.size())).then(|| chain.range.root());
    let what = loop {
        let group = window.group(position).map_err(OpenError::io(reading()))?;
        let (group_header, bytes) = match group {
            Ok(group) => group,
            Err(fault) => break fault.what,
        };
        let mut found = Vec::new();
        let mut note = None;
        let checked = check_group(bytes, &group_header, &mut chain, |placed, leaf, _| {
            match (&placed.frame, leaf) {
                (Frame::Record(record), Some((index, _))) if record.position == 0 => found.push((
                    (record.source, record.seq),
                    Stored {
                        first_index: index,
                        records: record.batch_records,
                        segment: header.number,
                        group_offset: position,
                    },
                )),
                (Frame::Checkpoint(bytes), _) => note = Some(bytes.to_vec()),
                _ => {}
            }
            Ok(())
        });
        match checked {
            Err(fault) => break fault.what,
            Ok(trailer) if wanted == Some(trailer.tree_size) => checkpoint_root = Some(trailer.root),
            Ok(_) => {}
        }
        if let Some(checkpoint) = note
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| SignedCheckpoint::parse(&text).ok())
        {
            logged_checkpoint = Some(checkpoint.size());
        }
        batches.append(&mut found);
        groups += 1;
        position += group_header.total_bytes() as u64;
    };
    if let Some((_, end)) = window.not_zero(position).map_err(OpenError::io(reading()))? {
        let size = chain.range.size();
        if torn.is_some() {
            // The next segment was begun, so this one's last group had been written and acked.
            return Err(damage(size..u64::MAX, name, position, what));
        }
        check_torn(window, &chain, position, end)
            .map_err(OpenError::io(reading()))?
            .map_err(|(offset, what)| damage(size..u64::MAX, &name, offset, what))?;
        *torn = Some(TornPlan { segment: header.number, offset: position, bytes: end - position, what });
    }
    Ok(Newest { header, chain, position, groups, batches, logged_checkpoint, checkpoint_root })
}

/// Whether the bytes in `position..end` can be one torn group; otherwise where and why not.
fn check_torn(
    window: &mut SegmentWindow,
    chain: &Chain,
    position: u64,
    end: u64,
) -> io::Result<Result<(), (u64, &'static str)>> {
    if end - position > MAX_GROUP_BYTES as u64 {
        return Ok(Err((position, "more than one group's bytes follow the last good group")));
    }
    let mut beyond = position + BLOCK_BYTES as u64;
    let ours = |header: &GroupHeader| header.salt == chain.salt;
    if let Ok(header) = GroupHeader::decode(window.bytes(position, BLOCK_BYTES)?)
        && ours(&header)
    {
        let total = header.total_bytes();
        let bytes = window.bytes(position, total)?;
        if bytes.len() == total && is_complete(bytes, &header).is_ok() {
            return Ok(Err((position, "a complete group does not follow from the group before it")));
        }
        // The header survived, so it is known how far the group was to reach.
        beyond = position + total as u64;
        if beyond < end {
            return Ok(Err((beyond, "bytes follow the torn group")));
        }
    }
    // Where the header was lost, a good header further on means that a group in the middle was damaged. The salt
    // keeps recorded content that looks like a group from being taken for one.
    while beyond < end {
        if GroupHeader::decode(window.bytes(beyond, BLOCK_BYTES)?).is_ok_and(|header| ours(&header)) {
            return Ok(Err((position, "a good group follows a bad one")));
        }
        beyond += BLOCK_BYTES as u64;
    }
    Ok(Ok(()))
}

/// Checks the checkpoint file against the log: signature, size and root.
fn check_checkpoint(
    disk: &dyn Disk,
    verifier: &VerifierKey,
    note: &str,
    newest: Option<&Newest>,
) -> Result<SignedCheckpoint, OpenError> {
    let checkpoint = SignedCheckpoint::open(note, verifier)
        .map_err(|error| damage(0..0, CHECKPOINT_FILE, 0, error.to_string()))?;
    let size = newest.map_or(0, |newest| newest.chain.range.size());
    if newest.is_none() || checkpoint.size() > size {
        let what = format!("the checkpoint is of {} records and the log has {size}", checkpoint.size());
        return Err(damage(size..checkpoint.size(), CHECKPOINT_FILE, 0, what));
    }
    let root = match newest.and_then(|newest| newest.checkpoint_root) {
        Some(root) => root,
        // Rare: more than a segment was written after the last checkpoint.
        None => root_at(disk, checkpoint.size()).map_err(|error| match error {
            RootError::Io(source) => OpenError::Io { what: "reading the log".to_owned(), source },
            RootError::Damaged(damage) => OpenError::Damaged(damage),
        })?,
    };
    if root != *checkpoint.root() {
        let what = format!("the log's root at {} records is not the checkpoint's", checkpoint.size());
        return Err(damage(0..checkpoint.size(), CHECKPOINT_FILE, 0, what));
    }
    Ok(checkpoint)
}

/// Why a root could not be recomputed.
pub(crate) enum RootError {
    Io(io::Error),
    Damaged(Damage),
}

/// Recomputes the root at `size` from the records of the segment that holds it and that segment's header.
pub(crate) fn root_at(disk: &dyn Disk, size: u64) -> Result<Hash, RootError> {
    let numbers = segment_numbers(disk).map_err(RootError::Io)?;
    let gone = |what: &str| {
        RootError::Damaged(Damage {
            indexes: 0..size,
            file: segment_name(0),
            offset: 0,
            what: what.to_owned(),
        })
    };
    for &number in numbers.iter().rev() {
        let file = open_segment(disk, number, Access::Recover).map_err(RootError::Io)?;
        let mut window = SegmentWindow::new(file, 1024 * 1024).map_err(RootError::Io)?;
        let block = window.bytes(0, BLOCK_BYTES).map_err(RootError::Io)?;
        let Ok(header) = SegmentHeader::decode(block, number) else { continue };
        if header.range.size() > size {
            continue;
        }
        let mut range: CompactRange = header.range;
        let mut position = BLOCK_BYTES as u64;
        while range.size() < size {
            let (group_header, bytes) =
                window.group(position).map_err(RootError::Io)?.map_err(|fault| gone(fault.what))?;
            for placed in crate::group::Frames::new(bytes, &group_header) {
                if let Frame::Record(record) = placed.map_err(|fault| gone(fault.what))?.frame
                    && range.size() < size
                {
                    range.push(crate::tree::leaf_hash(record.bytes));
                }
            }
            position += group_header.total_bytes() as u64;
        }
        return Ok(range.root());
    }
    Err(gone("no segment has a header"))
}

/// Sets a torn region aside: copies it to `quarantine/`, then makes its place zero again, durably.
///
/// A crash in between leaves a region that is still torn and is set aside again. The next group cannot be confused
/// with stale bytes, since there are none.
pub(crate) fn set_aside(disk: &dyn Disk, plan: &TornPlan, wall_ns: u64) -> Result<Torn, OpenError> {
    let name = segment_name(plan.segment);
    let doing = || format!("setting aside the torn end of {name}");
    let read = disk.open(&name, Access::Recover).map_err(OpenError::io(doing()))?;
    let mut window = SegmentWindow::new(read, plan.bytes as usize).map_err(OpenError::io(doing()))?;
    let bytes = window.bytes(plan.offset, plan.bytes as usize).map_err(OpenError::io(doing()))?;
    let copy_name = format!("{name}.{}.{}.torn", plan.offset, wall_ns / 1_000_000_000);
    let quarantine_path = disk.quarantine(&copy_name, bytes).map_err(OpenError::io(doing()))?;
    let file: Arc<dyn DiskFile> = disk.open(&name, Access::Write).map_err(OpenError::io(doing()))?;
    let mut zeros = AlignedBuffer::with_capacity(plan.bytes as usize);
    zeros.resize((plan.bytes as usize).next_multiple_of(BLOCK_BYTES));
    file.write_durable(&zeros, plan.offset).map_err(OpenError::io(doing()))?;
    Ok(Torn {
        file: name,
        offset: plan.offset,
        bytes: plan.bytes,
        what: plan.what.to_owned(),
        quarantine_path,
    })
}
