//! Pruning: removing whole segments from the beginning of a log, so that all that is kept stays proven.
//!
//! The header of every segment has the roots of the subtrees before it, and every checkpoint signed later proves them.
//! So the records that are kept, and every proof between sizes that are kept, stay as they were; of what was removed
//! its root is known, and its records are not.
//!
//! A file `pruned` says where the log begins. It is written before the first segment goes, so a crash at any point leaves
//! a log that opens. It is no evidence: whoever removes segments can write it too. That somebody was allowed to must be
//! told by a record of the log itself, which the caller looks for ([`crate::Report::pruned`]).

use std::io;

use crate::disk::{Access, BLOCK_BYTES, Disk};
use crate::group::{GroupHeader, HEADER_BYTES};
use crate::note::{VerifierKey, encode_hash, parse_decimal, parse_hash};
use crate::recovery::read_small;
use crate::sealed::{sealed_name, sealed_number, unfinished_name};
use crate::segment::{SegmentHeader, SegmentWindow, open_segment, segment_name, segment_number};
use crate::tree::Hash;

/// The name of the file that says where a pruned log begins.
pub(crate) const PRUNED_FILE: &str = "pruned";
const FIRST_LINE: &str = "fdr-log/pruned/1";
const MAX_PRUNED_BYTES: usize = 1024;

/// Where a pruned log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The first segment that is kept.
    pub first_segment: u64,
    /// Its first record: that many were removed.
    pub first_index: u64,
    /// The root of the tree of the records that were removed.
    pub root: Hash,
}

/// Why nothing was pruned, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// Only full segments can go.
    #[error("segment {0} is not full yet, or not there")]
    NotFull(u64),
    /// A content that a record of the segment refers to begins in the segment before.
    #[error("segment {0} begins in the middle of a content")]
    InContent(u64),
    /// A checkpoint must cover what is removed.
    #[error("no checkpoint covers the {0} records that would be removed")]
    NotCovered(u64),
    /// The system refused something. What is left is removed when the log is opened next.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PruneError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> PruneError {
        let what = what.into();
        move |source| PruneError::Io { what, source }
    }
}

/// Reads the file `pruned`; `Ok(Err)` says what is wrong with it.
pub(crate) fn read(disk: &dyn Disk) -> io::Result<Result<Option<Pruned>, &'static str>> {
    let Some(bytes) = read_small(disk, PRUNED_FILE, MAX_PRUNED_BYTES)? else { return Ok(Ok(None)) };
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let mut lines = text.unwrap_or_default().split('\n');
    if lines.next() != Some(FIRST_LINE) {
        return Ok(Err("it is of no form that is known here"));
    }
    let mut read = || {
        let first_segment = parse_decimal(lines.next()?)?;
        let first_index = parse_decimal(lines.next()?)?;
        let root = parse_hash(lines.next()?)?;
        (lines.next().is_none() && first_segment > 0).then_some(Pruned { first_segment, first_index, root })
    };
    Ok(read().map(Some).ok_or("it is malformed"))
}

impl Pruned {
    fn text(&self) -> String {
        let Pruned { first_segment, first_index, root } = self;
        format!("{FIRST_LINE}\n{first_segment}\n{first_index}\n{}\n", encode_hash(root))
    }

    /// Whether a segment header is the one that the log begins with.
    pub(crate) fn fits(&self, header: &SegmentHeader) -> bool {
        header.number == self.first_segment
            && header.range.size() == self.first_index
            && header.range.root() == self.root
    }
}

/// The header of a segment, if it is good.
pub(crate) fn header_of(disk: &dyn Disk, number: u64) -> io::Result<Option<SegmentHeader>> {
    let mut block = vec![0; BLOCK_BYTES];
    let count = match open_segment(disk, number, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?.read_at(&mut block, 0)?,
    };
    Ok(SegmentHeader::decode(&block[..count], number).ok())
}

/// Whether segment `number` begins with whole contents: the last group before it is not one that the next belongs to.
pub(crate) fn begins_whole(disk: &dyn Disk, number: u64) -> io::Result<bool> {
    let Some(before) = number.checked_sub(1) else { return Ok(true) };
    let file = match open_segment(disk, before, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true), // where a pruned log begins
        file => file?,
    };
    let mut window = SegmentWindow::new(file, 4 * BLOCK_BYTES)?;
    let mut position = BLOCK_BYTES as u64;
    let mut whole = true;
    while let Ok(header) = GroupHeader::decode(window.bytes(position, HEADER_BYTES)?) {
        whole = !header.is_content_only();
        position += header.total_bytes() as u64;
    }
    Ok(whole)
}

/// Where the log would begin if `first_segment` were its first, `active` being the one in writing and `covered` the size of
/// the newest checkpoint.
pub(crate) fn plan(
    disk: &dyn Disk,
    first_segment: u64,
    active: u64,
    covered: u64,
) -> Result<Pruned, PruneError> {
    let reading = || PruneError::io("reading the log");
    let header = header_of(disk, first_segment).map_err(reading())?;
    let header = header.filter(|_| first_segment <= active).ok_or(PruneError::NotFull(first_segment))?;
    let first_index = header.range.size();
    if covered < first_index || first_index == 0 {
        return Err(PruneError::NotCovered(first_index));
    }
    if !begins_whole(disk, first_segment).map_err(reading())? {
        return Err(PruneError::InContent(first_segment));
    }
    Ok(Pruned { first_segment, first_index, root: header.range.root() })
}

/// Says where the log begins, durably.
pub(crate) fn mark(disk: &dyn Disk, pruned: &Pruned, verifier: &VerifierKey) -> Result<(), PruneError> {
    let doing = || PruneError::io(format!("saying where {} begins", verifier.name()));
    disk.replace(PRUNED_FILE, pruned.text().as_bytes()).map_err(doing())
}

/// Removes all files of segments before the first that is kept; returns how many. What a crash left over goes the same
/// way when the log is opened next.
pub(crate) fn remove_before(disk: &dyn Disk, first_segment: u64) -> Result<u64, PruneError> {
    let names = disk.names().map_err(PruneError::io("listing the log"))?;
    let number = |name: &str| {
        segment_number(name)
            .or_else(|| sealed_number(name))
            .or_else(|| segment_number(name.strip_suffix("z.new")?))
    };
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| number(name)).filter(|number| *number < first_segment).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in &numbers {
        for name in [segment_name(*number), sealed_name(*number), unfinished_name(*number)] {
            match disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(PruneError::io(format!("removing {name}"))(error));
                }
                _ => {}
            }
        }
    }
    if !numbers.is_empty() {
        disk.sync_names().map_err(PruneError::io("removing segments"))?;
    }
    Ok(numbers.len() as u64)
}
