//! The transcripts of a session as they are now: whether what was read before is still there, and
//! what calls they tell of.
//!
//! A transcript is read by the same code that imports it, into a state of its own that knows no
//! hook: so all that it tells comes out, in canonical words, whatever the runtime.

use super::calls::{Source, Written, mcp_of};
use super::compare::same_text;
use crate::home::Home;
use crate::surroundings::read_small;
use crate::trail::{Row, SessionView, Trail};
use crate::transcript_store;
use crate::transcripts::sidecars;
use fdr_capture::{Arrival, Chunk, Runtime, State};
use fdr_record::scrub::Scrubber;
use fdr_record::{Body, ContentKey, Env, Mode, Observed, Outcome, RecordId, Rel, Timestamp};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The largest transcript that is read again, in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// How often a transcript is taken up again where it was left.
const MAX_STEPS: usize = 1_000;

/// How a transcript stands to what was read of it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was read.
    AsRecorded,
    /// So is what was read, and there is more.
    Grown,
    /// What was read before is not there as it was: the first line that differs.
    Changed(u64),
    /// Nothing of it was read before.
    NotRecorded,
    /// It is not there.
    Gone,
    /// It can't be read, and why.
    Unreadable(String),
}

/// One transcript.
#[derive(Debug)]
pub struct Transcript {
    pub session: String,
    pub file: String,
    pub standing: Standing,
    /// The records of the pieces that were read: positions in [`SessionView::rows`].
    pub pieces: Vec<usize>,
    /// How many lines there are.
    pub lines: u64,
    /// The calls that it tells of.
    pub written: Vec<Written>,
    /// From when to when it tells of an agent of a session.
    pub covers: HashMap<(String, String), (Timestamp, Timestamp)>,
}

/// A transcript to be read: session, runtime, file.
type Named = (String, &'static Runtime, String);

/// The transcripts that the records of a session name.
fn named(view: &SessionView) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let mut add = |session: &str, runtime: &'static Runtime, file: &str| {
        if runtime.import.is_some() && !found.iter().any(|(_, _, known)| known == file) {
            found.push((session.to_owned(), runtime, file.to_owned()));
        }
    };
    let runtimes: HashMap<&str, &'static Runtime> = view
        .rows
        .iter()
        .filter_map(|row| {
            let agent = row.record()?.agent.as_ref()?;
            Some((row.session()?, fdr_capture::runtime(&agent.runtime)?))
        })
        .collect();
    for row in &view.rows {
        let (Some(record), Some(session)) = (row.record(), row.session()) else { continue };
        let Some(runtime) = runtimes.get(session) else { continue };
        if let Body::SessionStart(start) = &record.body
            && let Some(file) = &start.transcript
        {
            let beside = sidecars(Path::new(file)).unwrap_or_default();
            add(session, runtime, file);
            beside.iter().for_each(|file| add(session, runtime, &file.to_string_lossy()));
        }
        if Source::of(record) == Some(Source::Transcript)
            && let Some(file) = record.claimed.as_ref().and_then(|claimed| claimed.file.as_ref())
        {
            add(session, runtime, file);
        }
    }
    found
}

/// The bytes of a transcript as they are on disk now.
fn bytes_now(runtime: &Runtime, file: &str) -> Result<Vec<u8>, Standing> {
    if let Some((database, session)) = transcript_store::split(file).filter(|(path, _)| path.exists()) {
        let read = transcript_store::read(runtime.name, &database, Some(session));
        let found = read.map_err(Standing::Unreadable)?.into_iter().next();
        return found.map(|transcript| transcript.bytes).ok_or(Standing::Gone);
    }
    let path = Path::new(file);
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Standing::Gone),
        Err(error) => Err(Standing::Unreadable(error.to_string())),
        Ok(_) => read_small(path, MAX_BYTES).ok_or_else(|| {
            Standing::Unreadable(format!(
                "it can't be opened, or is no file of up to {} MiB",
                MAX_BYTES >> 20
            ))
        }),
    }
}

/// Takes secrets out of a transcript as the recorder did.
struct Cleaner {
    scrubber: Scrubber,
    key: ContentKey,
    /// The recorder's own key is there: equal secrets have equal marks.
    is_exact: bool,
}

impl Cleaner {
    fn new(home: &Home) -> Cleaner {
        // Reading must not make a key.
        let key = home.dir().join("keys/content.key").exists().then(|| home.content_key().ok()).flatten();
        let is_exact = key.is_some();
        Cleaner { scrubber: Scrubber::new(), key: key.unwrap_or_else(|| ContentKey::new([0; 32])), is_exact }
    }

    fn clean<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        self.scrubber.scrub(bytes, &self.key).bytes
    }

    fn is_same(&self, now: &[u8], before: &[u8]) -> bool {
        now == before
            || !self.is_exact && same_text(&String::from_utf8_lossy(now), &String::from_utf8_lossy(before))
    }
}

/// A piece that was read before.
struct Piece {
    at: usize,
    offset: u64,
    len: u64,
    /// Number of its first line, from 1.
    line: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// Whether the same bytes stand at its place now.
    fn is_there(&self, now: &[u8], cleaner: &Cleaner) -> bool {
        let there = usize::try_from(self.offset).ok().zip(usize::try_from(self.offset + self.len).ok());
        let there = there.and_then(|(from, to)| now.get(from..to));
        there.is_some_and(|there| cleaner.is_same(&cleaner.clean(there), &self.bytes))
    }

    /// The number of the first of its lines that is another one among those that are there now.
    fn first_difference(&self, now: &[&[u8]], cleaner: &Cleaner) -> Option<u64> {
        let mut there = now.iter().skip(self.line.saturating_sub(1) as usize);
        let mut lines = self.bytes.split_inclusive(|byte| *byte == b'\n').zip(self.line..);
        let mut differs = |line: &[u8]| match (there.next(), line.ends_with(b"\n")) {
            (Some(now), true) => !cleaner.is_same(now, line),
            // Where the reading ended, the line may have gone on.
            (Some(now), false) => !now.starts_with(line),
            (None, _) => true,
        };
        lines.find(|(line, _)| differs(line)).map(|(_, number)| number)
    }
}

/// Reads the transcripts of a session again.
pub fn read(view: &SessionView, trail: &Trail, home: &Home) -> Vec<Transcript> {
    let cleaner = Cleaner::new(home);
    let members: HashSet<&str> = view.rows.iter().filter_map(Row::session).collect();
    let named = named(view);
    named.into_iter().map(|named| read_one(view, trail, &cleaner, &members, named)).collect()
}

fn read_one(
    view: &SessionView,
    trail: &Trail,
    cleaner: &Cleaner,
    members: &HashSet<&str>,
    (session, runtime, file): Named,
) -> Transcript {
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, row) in view.rows.iter().enumerate() {
        let Some(record) = row.record() else { continue };
        let (Body::Context(body), Some(claimed)) = (&record.body, &record.claimed) else { continue };
        let is_piece = body.what == "transcript" && claimed.file.as_ref() == Some(&file);
        let Some(reference) = record.content.first().filter(|_| is_piece) else { continue };
        if let Ok(Some(content)) = trail.content(row.index, reference) {
            let (offset, len) = (claimed.offset.unwrap_or_default(), body.len.unwrap_or_default());
            let line = claimed.line.unwrap_or(1).max(1);
            pieces.push(Piece { at, offset, len, line, bytes: content.bytes });
        }
    }
    pieces.sort_by_key(|piece| view.rows[piece.at].index);
    let now = bytes_now(runtime, &file);
    let clean = now.as_deref().map(|now| cleaner.clean(now)).unwrap_or_default();
    let lines_now: Vec<&[u8]> = clean.split_inclusive(|byte| *byte == b'\n').collect();
    let standing = match &now {
        Err(why) => why.clone(),
        Ok(_) if pieces.is_empty() => Standing::NotRecorded,
        Ok(now) => {
            // Secrets are found by what stands around them, so that a piece by itself may have been
            // cleaned in another way than the whole is.
            let moved = pieces.iter().filter(|piece| !piece.is_there(now, cleaner));
            let differs = moved.filter_map(|piece| piece.first_difference(&lines_now, cleaner)).min();
            let end = |piece: &Piece| piece.line - 1 + whole_lines(&piece.bytes).count() as u64;
            let read = pieces.iter().map(end).max().unwrap_or_default();
            match differs {
                Some(line) => Standing::Changed(line),
                None if read < whole_lines(&clean).count() as u64 => Standing::Grown,
                None => Standing::AsRecorded,
            }
        }
    };
    // What was read at the time stands over what is there now.
    let mut lines: Vec<Cow<'_, [u8]>> = Vec::new();
    for piece in &pieces {
        let known = (lines.len() as u64 + 1).saturating_sub(piece.line) as usize;
        if piece.line <= lines.len() as u64 + 1 {
            lines.extend(whole_lines(&piece.bytes).skip(known).map(Cow::Borrowed));
        }
    }
    let known = lines.len();
    lines.extend(whole_lines(&clean).skip(known).map(Cow::Borrowed));
    let mut transcript = Transcript {
        session,
        file,
        standing,
        pieces: pieces.iter().map(|piece| piece.at).collect(),
        lines: lines.len() as u64,
        written: Vec::new(),
        covers: HashMap::new(),
    };
    transcript.take_in(runtime, &lines.concat(), members);
    transcript
}

/// The lines of a text with their ends; an unfinished one at the end is none.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"))
}

impl Transcript {
    fn take_in(&mut self, runtime: &'static Runtime, bytes: &[u8], members: &HashSet<&str>) {
        let Some(import) = runtime.import else { return };
        // Of no other use than to tell equal content apart from other.
        let key = ContentKey::new([0; 32]);
        let arrival = Arrival {
            now: Timestamp(0),
            mono: 0,
            observed: Observed::default(),
            principal: None,
            env: Env::default(),
            variables: Vec::new(),
            home: String::new(),
            mode: Mode::Observe,
            content_key: &key,
            redacted: 0,
            attachment: None,
            identities: Vec::new(),
            ancestors: Vec::new(),
        };
        let mut state = State::default();
        let mut contents: HashMap<String, Vec<u8>> = HashMap::new();
        let mut by_action: HashMap<RecordId, usize> = HashMap::new();
        for _ in 0..MAX_STEPS {
            let captured = import(&Chunk::whole(&self.file, bytes), &arrival, &mut state);
            let scopes: HashSet<&str> =
                captured.records.iter().filter_map(|record| record.session.as_deref()).collect();
            for content in captured.contents {
                for scope in &scopes {
                    let digest = key.seal(scope, "", "", content.bytes.clone()).0.digest;
                    contents.insert(digest, content.bytes.clone());
                }
            }
            let goes_on = matches!(captured.records.last().map(|record| &record.body), Some(Body::Gap(_)));
            for record in captured.records {
                let (Some(session), Some(agent)) = (record.session.as_deref(), &record.agent) else {
                    continue;
                };
                if !members.contains(session) {
                    continue;
                }
                let when = record.claimed.as_ref().and_then(|claimed| claimed.ts);
                if let Some(when) = when {
                    let covers = self.covers.entry((session.to_owned(), agent.id.clone()));
                    let (first, last) = covers.or_insert((when, when));
                    (*first, *last) = ((*first).min(when), (*last).max(when));
                }
                let content = |role: &str| {
                    let found = record.content.iter().find(|content| content.role == role);
                    found.and_then(|content| contents.get(&content.digest)).cloned()
                };
                match &record.body {
                    Body::Action(body) => {
                        by_action.insert(record.id, self.written.len());
                        self.written.push(Written {
                            session: session.to_owned(),
                            agent: agent.id.clone(),
                            id: record.tool_use_id().unwrap_or_default().to_owned(),
                            tool: body.tool.clone(),
                            arguments: content("args").unwrap_or_default(),
                            when: when.unwrap_or(Timestamp(0)),
                            file: self.file.clone(),
                            line: record.claimed.as_ref().and_then(|claimed| claimed.line).unwrap_or(0),
                            mcp: mcp_of(body).map(|(server, tool)| (server.to_owned(), tool.to_owned())),
                            outcome: None,
                            result: None,
                        });
                    }
                    Body::Result(body) => {
                        let number = record.link(Rel::ResultOf).and_then(|id| by_action.get(&id));
                        if let Some(written) = number.map(|number| &mut self.written[*number]) {
                            written.outcome = Some(body.outcome).filter(|o| *o != Outcome::Unknown);
                            written.result = content("result");
                        }
                    }
                    _ => {}
                }
            }
            if !goes_on {
                break;
            }
        }
    }
}
