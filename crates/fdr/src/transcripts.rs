//! The transcripts that agents keep on disk, taken in piece by piece: by a thread of the recorder as
//! they grow, and on `fdr import`.
//!
//! A piece is whole lines. Its bytes are kept, so that it shows when a file that was read is another
//! one afterwards: its beginning is looked at again whenever it changes.

use crate::recorder::Recorder;
use crate::surroundings;
use crate::transcript_store::{self, Stamp};
use fdr_capture::{Chunk, Piece};
use fdr_hook::wire::{self, Op, Request, Response};
use fdr_record::{Body, Gap};
use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the transcripts are looked at.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// About how long a piece is, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// The largest transcript that is read, in bytes; of one that is larger a record says so.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Where a piece of a transcript stands; see [`Chunk`].
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Number of its first line, from 1.
    pub line: u64,
}

impl Span {
    /// The piece there.
    pub fn chunk<'a>(&self, file: &'a str, bytes: &'a [u8]) -> Chunk<'a> {
        Chunk { file, offset: self.offset, len: self.len, line: self.line, bytes }
    }
}

/// The records that came of a transcript.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Index of the first one.
    pub index: u64,
    /// How many.
    pub count: u32,
}

impl Recorder {
    /// Takes in what is new in a transcript. Of `bytes`, so many from the beginning are known to be
    /// what was read before.
    ///
    /// # Errors
    /// Why it can't be recorded.
    pub(crate) fn take_transcript(
        &self,
        runtime: &str,
        file: &str,
        bytes: &[u8],
        known_good: u64,
        stream: Option<&UnixStream>,
    ) -> Result<Taken, String> {
        let pieces = self.pieces(file);
        let is_good = |piece: &&Piece| {
            piece.offset + piece.len <= known_good
                || self.is_piece(piece, bytes.get(piece.offset as usize..(piece.offset + piece.len) as usize))
        };
        let good = pieces.iter().take_while(is_good).count();
        if let Some(changed) = pieces.get(good) {
            self.changed(file, changed, pieces.last().unwrap_or(changed), bytes.len() as u64)?;
        }
        let (mut offset, mut line) = match pieces[..good].last() {
            Some(last) => (last.offset + last.len, last.line + last.lines),
            None => (0, 1),
        };
        let mut taken = Taken::default();
        while let Some(piece) = next_piece(&bytes[(offset as usize).min(bytes.len())..]) {
            let span = Span { offset, len: piece.len() as u64, line };
            loop {
                let mut request = Request::event(runtime, file, [0; 16], 0, piece.to_vec());
                request.op = Op::Import;
                let Some(response) = self.record_piece(request, stream, span) else {
                    return Err("the recorder ends".to_owned());
                };
                if !response.recorded {
                    return Err(String::from_utf8_lossy(&response.stderr).into_owned());
                }
                if taken.count == 0 {
                    taken.index = response.index;
                }
                taken.count += response.count;
                // A piece with very much in it takes several steps.
                let is_done = self.last_piece(file).is_some_and(|last| last.offset >= offset);
                if response.count == 0 || is_done {
                    break;
                }
            }
            let is_last = offset + span.len == bytes.len() as u64;
            match self.last_piece(file).filter(|last| last.offset == offset && last.len < span.len) {
                // What goes on in lines to come is left to the next look.
                Some(_) if is_last && stream.is_none() => break,
                Some(part) => (offset, line) = (offset + part.len, line + part.lines),
                None => {
                    offset += span.len;
                    line += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
                }
            }
        }
        Ok(taken)
    }

    /// How many bytes of a session's transcript can be taken in, of which so many were `taken`: up to
    /// the first line that a hook may still tell of. It has until the line is `settled`; of a call that
    /// is told of nowhere else, until it is `old`, while another call of the session is under way: a
    /// runtime asks for several at once, and its hook asks for one after the other.
    fn ready(&self, session: &str, bytes: &[u8], taken: u64, settled: u64, old: u64) -> usize {
        let mut at = (taken as usize).min(bytes.len());
        for line in bytes[at..].split_inclusive(|byte| *byte == b'\n') {
            let ahead = self.ahead_of_hooks(line);
            let rest = &bytes[at + line.len()..];
            let is_told = |id: &String| memchr::memmem::find(rest, id.as_bytes()).is_some();
            let awaits = if (at as u64) >= settled {
                ahead.result || !ahead.asked.is_empty()
            } else {
                at as u64 >= old && !ahead.asked.iter().all(is_told) && self.is_busy(session)
            };
            if awaits {
                return at;
            }
            at += line.len();
        }
        bytes.len()
    }

    /// Answers `fdr import`.
    pub(crate) fn import(&self, request: &Request, stream: Option<&UnixStream>) -> Response {
        let mut bytes = request.payload.as_slice();
        let is_watched = request.variable(wire::WATCHED_VARIABLE).is_some();
        if is_watched {
            // Whoever watches sends what has been there for a while.
            let session = self.last_piece(&request.event).map(|piece| piece.session).unwrap_or_default();
            bytes = &bytes[..self.ready(&session, bytes, 0, bytes.len() as u64, 0)];
        }
        match self.take_transcript(&request.runtime, &request.event, bytes, 0, stream) {
            Ok(taken) => {
                Response { recorded: true, index: taken.index, count: taken.count, ..Response::default() }
            }
            Err(error) => Response::failed(error),
        }
    }

    /// Whether these bytes are the piece that was read.
    fn is_piece(&self, piece: &Piece, bytes: Option<&[u8]>) -> bool {
        bytes.is_some_and(|bytes| self.is_same_piece(piece, bytes))
    }

    /// Records that a file is not what was read from it.
    fn changed(&self, file: &str, first: &Piece, last: &Piece, len: u64) -> Result<(), String> {
        let end = last.offset + last.len;
        let detail = if len < end {
            format!("{file} had {end} bytes when it was read, and has {len} now")
        } else {
            format!(
                "what stands in {file} from byte {} (line {}) on is not what was read there before",
                first.offset, first.line
            )
        };
        let body = Body::Gap(Gap { what: "transcript_changed".to_owned(), detail, millis: None });
        let session = &first.session;
        self.record_about(session, None, body, Vec::new(), None, &|_| Ok(()))
            .map_err(|error| error.to_string())
    }
}

/// The next whole lines, or what is left if that is a JSON text without a line feed.
fn next_piece(bytes: &[u8]) -> Option<&[u8]> {
    let newline = |bytes: &[u8]| memchr::memrchr(b'\n', bytes);
    let end = match newline(&bytes[..bytes.len().min(PIECE_BYTES)]) {
        Some(end) => Some(end + 1),
        None => memchr::memchr(b'\n', bytes).map(|end| end + 1),
    };
    match end {
        Some(end) => Some(&bytes[..end]),
        None if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => Some(bytes),
        None => None,
    }
}

/// Length, modification time, inode.
type Stat = (u64, i128, u64);

/// How long a session may stay unread whose database changed, but which its runtime did not change by
/// its own account: somebody else may have.
const UNTOLD: Duration = Duration::from_secs(10);

/// How long what a transcript tells waits for a hook that may tell it too, and is the better witness.
const GRACE: Duration = Duration::from_secs(2);
/// The same for one of several calls that a model asked for at once, while another of them runs.
const TURN: Duration = Duration::from_secs(600);

/// What is known of a transcript since it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    stat: Stat,
    /// How long it was, since when, for [`TURN`]; the oldest first.
    lengths: VecDeque<(Instant, u64)>,
    /// Of a session in a database, what tells whether it changed.
    stamp: Option<Stamp>,
    /// When it was read.
    read: Option<Instant>,
    /// How many bytes from the beginning were taken in, and their digest.
    taken: (u64, [u8; 32]),
    /// It was said that it is gone.
    is_gone: bool,
}

/// Looks at the transcripts of the sessions that go on.
#[derive(Debug, Default)]
pub struct Watcher {
    seen: HashMap<PathBuf, Seen>,
}

impl Watcher {
    /// Takes in what is new since the last time.
    pub fn look(&mut self, recorder: &Recorder) {
        for (session, runtime, path) in recorder.transcripts() {
            let Some(files) = sidecars(&path) else { continue };
            for file in files {
                if let Err(error) = self.look_at(recorder, &session, &runtime, &file) {
                    crate::text::say!("warning: can't take in {}: {error}", file.display());
                }
            }
        }
    }

    fn look_at(
        &mut self,
        recorder: &Recorder,
        session: &str,
        runtime: &str,
        path: &Path,
    ) -> Result<(), String> {
        let file = path.to_string_lossy().into_owned();
        let stored = transcript_store::split(&file);
        let on_disk = stored.as_ref().map_or(path, |(database, _)| database);
        let seen = self.seen.entry(path.to_owned()).or_default();
        let now = match stat(on_disk) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(()),
            Err(_) => {
                let pieces = recorder.pieces(&file);
                if let (Some(first), Some(last), false) = (pieces.first(), pieces.last(), seen.is_gone) {
                    seen.is_gone = true;
                    recorder.changed(&file, first, last, 0)?;
                }
                return Ok(());
            }
        };
        if now == seen.stat {
            return Ok(());
        }
        let mut stamp = None;
        let bytes = match stored {
            None => surroundings::read_small(path, MAX_FILE_BYTES),
            Some((database, stored)) => {
                let told = transcript_store::stamp(runtime, &database, stored)?;
                if seen.stamp == Some(told) && seen.read.is_some_and(|read| read.elapsed() < UNTOLD) {
                    return Ok(());
                }
                stamp = Some(told);
                let read = transcript_store::read(runtime, &database, Some(stored))?;
                // A session that was removed has nothing left of what was read.
                Some(read.into_iter().next().map_or_else(Vec::new, |transcript| transcript.bytes))
            }
        };
        let Some(bytes) = bytes else { return Ok(()) };
        let (taken, digest) = seen.taken;
        let begins_the_same =
            bytes.get(..taken as usize).is_some_and(|begin| fdr_log::leaf_hash(begin) == digest);
        let known_good = if begins_the_same { taken } else { 0 };
        let mut lengths = std::mem::take(&mut seen.lengths);
        if lengths.back().is_none_or(|(_, len)| *len != bytes.len() as u64) {
            // Seen for the first time, it may be as it is for long.
            let first = lengths.is_empty().then(|| age(&now)).flatten();
            let since = first.and_then(|age| Instant::now().checked_sub(age)).unwrap_or_else(Instant::now);
            lengths.push_back((since, bytes.len() as u64));
        }
        let long = |wait: Duration| {
            let before = lengths.iter().rev().find(|(when, _)| when.elapsed() >= wait);
            before.map_or(0, |(_, len)| *len)
        };
        let (settled, old) = (long(GRACE), long(TURN));
        while lengths.get(1).is_some_and(|(when, _)| when.elapsed() >= TURN) {
            lengths.pop_front();
        }
        let ready = recorder.ready(session, &bytes, known_good, settled, old);
        let whole = ready == bytes.len();
        let bytes = &bytes[..ready];
        recorder.take_transcript(runtime, &file, bytes, known_good, None)?;
        let end = recorder.last_piece(&file).map_or(0, |last| last.offset + last.len);
        let end = end.min(bytes.len() as u64);
        let taken = (end, fdr_log::leaf_hash(&bytes[..end as usize]));
        *seen = Seen {
            // What waits is looked at again.
            stat: if whole { now } else { Stat::default() },
            lengths,
            stamp: stamp.filter(|_| whole),
            read: Some(Instant::now()),
            taken,
            is_gone: false,
        };
        Ok(())
    }
}

/// How long ago it was written.
fn age(stat: &Stat) -> Option<Duration> {
    let now = i128::from(surroundings::wall_clock().0);
    u64::try_from(now - stat.1).ok().map(Duration::from_nanos)
}

/// Of a file, or of a database with what is not merged into it yet. `None`: it is none that is read.
fn stat(path: &Path) -> std::io::Result<Option<Stat>> {
    let stat = std::fs::metadata(path)?;
    if !stat.is_file() || stat.len() > MAX_FILE_BYTES {
        return Ok(None);
    }
    let time =
        |stat: &std::fs::Metadata| i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = std::fs::metadata(&log).map_or((0, 0), |log| (log.len(), time(&log)));
    Ok(Some((stat.len() + log.0, time(&stat).max(log.1), stat.ino())))
}

/// A transcript and those of its sub-agents, which Claude Code keeps in `<session>/subagents/`
/// beside `<session>.jsonl`.
pub fn sidecars(path: &Path) -> Option<Vec<PathBuf>> {
    path.is_absolute().then_some(())?;
    let mut found = vec![path.to_owned()];
    let entries =
        std::fs::read_dir(path.with_extension("").join("subagents")).into_iter().flatten().flatten();
    let of_subagents = entries.map(|entry| entry.path());
    found.extend(of_subagents.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")));
    found[1..].sort();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_lines() {
        assert_eq!(next_piece(b"{}\n{\"a\""), Some(&b"{}\n"[..]));
        assert_eq!(next_piece(b"{}"), Some(&b"{}"[..]));
        assert_eq!(next_piece(b"{\"a\""), None);
        assert_eq!(next_piece(b""), None);
        let long = [vec![b'x'; 3 * PIECE_BYTES], b"\ny\n".to_vec()].concat();
        assert_eq!(next_piece(&long).map(<[u8]>::len), Some(3 * PIECE_BYTES + 1));
        let many = b"0123456\n".repeat(PIECE_BYTES / 4);
        assert_eq!(next_piece(&many).map(<[u8]>::len), Some(PIECE_BYTES));
    }
}
