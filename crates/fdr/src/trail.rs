//! Reading the log as a trail: records with their bodies read, actions joined with what was
//! decided about them and what came of them, a session as a tree of agents.
//!
//! Guarantees: a line that can't be read as a record is still a [`Row`], never dropped;
//! damage in the log is noted and reading goes on behind it; nothing is concluded that the
//! records don't say. An action without an outcome is pending, whatever was decided before.

use crate::erase::{Erased, Erasure};
use crate::keys::{Fill, Ring};
use crate::text;
use anyhow::{Context as _, anyhow};
use fdr_log::{Content, Damage, Entry, ReadError, Reader};
use fdr_record::sealed::{Kid, OpenError, Sealed};
use fdr_record::{
    ActionBody, Approval, Basis, Body, ContentRef, DecidedBy, InScope, Kind, Link, Mode, Outcome, Record,
    RecordId, Rel, ResultBody, RuntimeDecision, Status, Timestamp, VERSION, Verdict, hex,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// How many damaged places are stepped over before reading gives up.
const MAX_DAMAGES: usize = 1000;
/// How many requests for approval are remembered, for their answers.
const MAX_REQUESTS: usize = 1_000_000;

/// The exit code when something was found, or there was nothing to find fault with.
pub const FOUND: u8 = 0;
/// The exit code when nothing matched.
pub const NOTHING: u8 = 1;
/// The exit code when it could not be done, or not wholly.
pub const COULD_NOT: u8 = 2;

/// A log open for reading as records.
pub struct Trail {
    reader: Reader,
    /// What could not be read so far.
    damages: RefCell<Vec<Damage>>,
    keys: Ring,
    /// What was erased, as far as the log was looked through for that.
    erased: RefCell<(u64, Erased)>,
}

/// Why a content can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It can't be read from the log.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// Its key was destroyed, and a record says so.
    #[error("{0}")]
    Erased(Erasure),
    /// Its key is not there, and no record says that it was destroyed.
    #[error("its key {0} is not in keys/content, and no record says that it was erased")]
    KeyLost(String),
    /// The keys can't be used.
    #[error("it is sealed, and the keys can't be used: {0}")]
    NoKeys(String),
    /// It does not open.
    #[error("{0}")]
    Sealed(#[from] OpenError),
}

impl Trail {
    /// Opens the log below `home`.
    ///
    /// # Errors
    /// When there is no log, it is empty, or it can't be read; the message says what to do.
    pub fn open(home: &Path) -> anyhow::Result<Trail> {
        let trail = Trail::open_even_empty(home)?;
        match trail.reader.is_empty() && trail.damages.borrow().is_empty() {
            true => Err(nothing_recorded(home, "the log is empty")),
            false => Ok(trail),
        }
    }

    /// As [`open`](Self::open), but takes a log without records too.
    ///
    /// # Errors
    /// When there is no log, or it can't be read.
    pub fn open_even_empty(home: &Path) -> anyhow::Result<Trail> {
        crate::home::refuse_others(home)?;
        let dir = home.join("log");
        let reader = match Reader::open(&dir) {
            Ok(reader) => reader,
            Err(ReadError::NoLog(_)) if !has_entries(&dir) => {
                return Err(nothing_recorded(home, "nothing has been recorded there"));
            }
            Err(error) => {
                return Err(anyhow!(error)
                    .context(format!("can't read the log in {}", text::line(&dir.display().to_string()))));
            }
        };
        let trail =
            Trail { reader, damages: RefCell::default(), keys: Ring::new(home), erased: RefCell::default() };
        trail.compare_with_checkpoint();
        Ok(trail)
    }

    /// A reader takes a damaged group at the very end for the end of the log. The newest
    /// checkpoint tells how many records there have been at least.
    fn compare_with_checkpoint(&self) {
        let Ok(Some(checkpoint)) = self.reader.checkpoint() else { return };
        // The checkpoint is read first: the writer may have gone on since the log was opened.
        let Ok(len) = self.reader.refresh() else { return };
        if len < checkpoint.size() {
            self.damages.borrow_mut().push(Damage {
                indexes: len..checkpoint.size(),
                file: "checkpoint".to_owned(),
                offset: 0,
                what: format!("it covers {} records, only {len} can be read", checkpoint.size()),
            });
        }
    }

    /// How many records there are.
    pub fn len(&self) -> u64 {
        self.reader.len()
    }

    /// Looks for newer records; returns how many there are now.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn refresh(&self) -> anyhow::Result<u64> {
        self.reader.refresh().context("can't read on in the log")
    }

    /// Calls `each` with the stored entries `from..to` in order, until it breaks. Damage is
    /// noted and stepped over.
    ///
    /// # Errors
    /// What `each` returns, and I/O errors of the log.
    pub fn scan(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(Entry) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        let end = to.min(self.len());
        let mut next = from;
        while next < end {
            let mut records = self.reader.records(next);
            loop {
                match records.next() {
                    None => return Ok(()),
                    Some(Ok(entry)) if entry.index >= end => return Ok(()),
                    Some(Ok(entry)) => {
                        next = entry.index + 1;
                        if each(entry)?.is_break() {
                            return Ok(());
                        }
                    }
                    Some(Err(ReadError::Damaged(damage))) => {
                        next = self.step_over(damage, next, end)?;
                        break;
                    }
                    Some(Err(error)) => return Err(anyhow!(error).context("can't read on in the log")),
                }
            }
        }
        Ok(())
    }

    /// The same, newest first, beginning before `before`.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn scan_back(
        &self,
        before: u64,
        mut each: impl FnMut(Entry) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        let mut before = before.min(self.len());
        while before > 0 {
            let mut records = self.reader.records_rev(before);
            loop {
                match records.next() {
                    None => return Ok(()),
                    Some(Ok(entry)) => {
                        before = entry.index;
                        if each(entry)?.is_break() {
                            return Ok(());
                        }
                    }
                    Some(Err(ReadError::Damaged(damage))) => {
                        let start = damage.indexes.start;
                        self.note(damage)?;
                        before = if start < before { start } else { before - 1 };
                        break;
                    }
                    Some(Err(error)) => return Err(anyhow!(error).context("can't read on in the log")),
                }
            }
        }
        Ok(())
    }

    fn step_over(&self, damage: Damage, next: u64, end: u64) -> anyhow::Result<u64> {
        let behind = damage.indexes.end;
        self.note(damage)?;
        Ok(if behind > next && behind < end { behind } else { next + 1 })
    }

    fn note(&self, damage: Damage) -> anyhow::Result<()> {
        let mut damages = self.damages.borrow_mut();
        if damages.len() >= MAX_DAMAGES {
            return Err(anyhow!(
                "more than {MAX_DAMAGES} places in the log are damaged\n  to see what is still proven:  fdr verify"
            ));
        }
        if !damages.contains(&damage) {
            damages.push(damage);
        }
        Ok(())
    }

    /// The record at `index`.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn row(&self, index: u64) -> anyhow::Result<Row> {
        Ok(self.read(self.reader.record(index)?))
    }

    /// Reads an entry of the log; the words of a record that are sealed are put back, or it is said why not.
    pub fn read(&self, entry: Entry) -> Row {
        let mut row = Row::read(entry);
        if let Parsed::Record(record) = &mut row.parsed
            && record.sealed.is_some()
        {
            let why = match self.keys.fill(record) {
                Fill::Whole => {
                    row.opened = Some(record.to_line());
                    return row;
                }
                Fill::NoKey(kid) => self.without_key(&kid).to_string(),
                Fill::Failed(why) => format!("sealed: {why}"),
            };
            fdr_record::sealed::say_instead(record, &format!("({why})"));
        }
        row
    }

    /// Why there is no key of that name.
    fn without_key(&self, kid: &Kid) -> Unreadable {
        let mut erased = self.erased.borrow_mut();
        let (seen, erased) = &mut *erased;
        let first = self.reader.first_index().max(*seen);
        for entry in self.reader.records(first).filter_map(Result::ok) {
            erased.see(entry.index, &entry.bytes);
            *seen = entry.index + 1;
        }
        match erased.of(kid) {
            Some(erasure) => Unreadable::Erased(erasure.clone()),
            None => Unreadable::KeyLost(hex(kid)),
        }
    }

    /// The content that record `index` refers to; `None` if it is not in the log (any more).
    ///
    /// # Errors
    /// When it is damaged, was erased, or can't be read.
    pub fn content(&self, index: u64, reference: &ContentRef) -> Result<Option<Content>, Unreadable> {
        let Some(digest) = reference.stored_digest() else { return Ok(None) };
        let Some(stored) = self.reader.content(index, &digest)? else { return Ok(None) };
        if reference.sealed.is_none() {
            return Ok(Some(stored));
        }
        let kid = Sealed::parse(&stored.bytes)?.kid();
        let key = self.keys.key(&kid).map_err(|error| Unreadable::NoKeys(format!("{error:#}")))?;
        let key = key.ok_or_else(|| self.without_key(&kid))?;
        let opened = key.open(&stored.bytes, reference)?;
        Ok(Some(Content { salt: opened.salt, bytes: opened.bytes }))
    }

    /// The exit code after reading: `code`, or [`COULD_NOT`] with a report on standard error
    /// if the log was found to be damaged.
    pub fn finish(&self, code: u8) -> u8 {
        let damages = self.damages.borrow();
        if damages.is_empty() {
            return code;
        }
        const SHOWN: usize = 5;
        eprintln!("error: the log is damaged; what is shown is what can still be read");
        for damage in damages.iter().take(SHOWN) {
            eprintln!("  {}", text::line(&damage.to_string()));
        }
        if damages.len() > SHOWN {
            eprintln!("  and {} more places", damages.len() - SHOWN);
        }
        eprintln!("  to see what is still proven:  fdr verify");
        COULD_NOT
    }
}

fn has_entries(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn nothing_recorded(home: &Path, what: &str) -> anyhow::Error {
    anyhow!(
        "no records in {}: {what}\n  to record your agents: fdr install --all\n  to see an example:     fdr demo",
        text::line(&home.display().to_string())
    )
}

/// The exit code of a command that writes: that nobody reads on (`fdr tail | head`) is no
/// error.
///
/// # Errors
/// Every other error.
pub fn unless_broken_pipe(done: anyhow::Result<u8>) -> anyhow::Result<u8> {
    match done {
        Err(error) if is_broken_pipe(&error) => Ok(FOUND),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its index in the log.
    pub index: u64,
    /// The line as it is stored.
    pub line: Vec<u8>,
    /// The line with the words put back that are sealed in it.
    opened: Option<Vec<u8>>,
    /// When it was stored, by the clock of the log's writer.
    pub stored: Timestamp,
    /// What it says.
    pub parsed: Parsed,
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A record.
    Record(Box<Record>),
    /// Something that this version of fdr can't read, or not wholly.
    Unread(Unread),
}

/// What is known of a line that is no record.
#[derive(Clone, Debug, Default)]
pub struct Unread {
    /// The word for its kind, perhaps one of a newer version.
    pub kind: Option<String>,
    /// When it was written.
    pub ts: Option<Timestamp>,
    /// Its session.
    pub session: Option<String>,
    /// Its agent's id.
    pub agent: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Why it can't be read.
    pub why: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    v: Option<u64>,
    id: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    ts: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
    agent: Option<HeadAgent<'a>>,
}

#[derive(Deserialize)]
struct HeadAgent<'a> {
    id: Option<Cow<'a, str>>,
}

impl Row {
    /// Reads an entry of the log as it is stored; see [`Trail::read`].
    pub fn read(entry: Entry) -> Row {
        let parsed = match Record::parse(&entry.bytes) {
            Ok(record) => Parsed::Record(Box::new(record)),
            Err(error) => Parsed::Unread(unread(&entry.bytes, &error)),
        };
        Row {
            index: entry.index,
            line: entry.bytes,
            opened: None,
            stored: Timestamp(entry.stored_wall_ns),
            parsed,
        }
    }

    /// The line for a person: with the words put back that are sealed in it.
    pub fn shown(&self) -> &[u8] {
        self.opened.as_deref().unwrap_or(&self.line)
    }

    /// The record, if it is one.
    pub fn record(&self) -> Option<&Record> {
        match &self.parsed {
            Parsed::Record(record) => Some(record),
            Parsed::Unread(_) => None,
        }
    }

    /// The body of the record, if it is one.
    pub fn body(&self) -> Option<&Body> {
        self.record().map(|record| &record.body)
    }

    /// The session that it belongs to.
    pub fn session(&self) -> Option<&str> {
        match &self.parsed {
            Parsed::Record(record) => record.session.as_deref(),
            Parsed::Unread(unread) => unread.session.as_deref(),
        }
    }

    /// The id of the agent that it belongs to.
    pub fn agent(&self) -> Option<&str> {
        match &self.parsed {
            Parsed::Record(record) => record.agent.as_ref().map(|agent| agent.id.as_str()),
            Parsed::Unread(unread) => unread.agent.as_deref(),
        }
    }

    /// Where it stands in time; see [`when`].
    pub fn when(&self) -> Timestamp {
        match &self.parsed {
            Parsed::Record(record) => when(record),
            Parsed::Unread(unread) => unread.ts.unwrap_or(self.stored),
        }
    }

    /// The id of the record.
    pub fn id(&self) -> Option<RecordId> {
        match &self.parsed {
            Parsed::Record(record) => Some(record.id),
            Parsed::Unread(unread) => unread.id.as_ref()?.parse().ok(),
        }
    }

    /// The word for its kind; empty if there is none.
    pub fn kind(&self) -> &str {
        match &self.parsed {
            Parsed::Record(record) => record.kind.as_str(),
            Parsed::Unread(unread) => unread.kind.as_deref().unwrap_or(""),
        }
    }
}

fn unread(line: &[u8], error: &serde_json::Error) -> Unread {
    let Ok(head) = serde_json::from_slice::<Head<'_>>(line) else {
        return Unread { why: format!("not a record: {error}"), ..Unread::default() };
    };
    let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    let kind = owned(head.kind);
    let known = kind.as_deref().is_some_and(|kind| Kind::ALL.iter().any(|known| known.as_str() == kind));
    let why = match (head.v, &kind) {
        (Some(v), _) if v > u64::from(VERSION) => {
            format!("written in format {v}, this fdr knows up to {VERSION}")
        }
        (_, Some(kind)) if !known => format!("this fdr knows no kind '{}'", text::line(kind)),
        _ => format!("not a record: {error}"),
    };
    Unread {
        kind,
        ts: head.ts.and_then(|ts| ts.parse().ok()),
        session: owned(head.session),
        agent: head.agent.and_then(|agent| owned(agent.id)),
        id: owned(head.id),
        why,
    }
}

/// What is needed of a record to count and judge it, for passes over the whole log: read
/// without the rest, several times faster. Only of kinds that come in great numbers.
#[derive(Debug, Deserialize)]
pub struct Brief<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its session.
    pub session: Option<&'a str>,
    /// Its agent.
    pub agent: Option<BriefAgent<'a>>,
    id: RecordId,
    ts: Timestamp,
    #[serde(default)]
    links: Vec<Link>,
    claimed: Option<BriefClaimed<'a>>,
    observed: Option<BriefObserved>,
    body: BriefBody,
}

/// An agent, in brief.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)] // as in `fdr_record::Agent`
pub struct BriefAgent<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub runtime: &'a str,
    pub model: Option<&'a str>,
    pub parent: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct BriefClaimed<'a> {
    source: &'a str,
    ts: Option<Timestamp>,
    file: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct BriefObserved {
    #[serde(default)]
    late: bool,
}

/// What the bodies of actions and results are judged by; absent from others.
#[derive(Debug, Deserialize)]
struct BriefBody {
    #[serde(default)]
    destructive: bool,
    #[serde(default)]
    actions: Vec<BriefAction>,
    intent: Option<BriefIntent>,
    policy: Option<BriefPolicy>,
    approved: Option<serde::de::IgnoredAny>,
    outcome: Option<Outcome>,
    exit_code: Option<i64>,
    duration_ms: Option<u64>,
    runtime_decision: Option<RuntimeDecision>,
    #[serde(default)]
    arguments_changed: bool,
}

#[derive(Debug, Deserialize)]
struct BriefAction {
    #[serde(default)]
    tamper: bool,
}

#[derive(Debug, Deserialize)]
struct BriefIntent {
    scope: InScope,
}

#[derive(Debug, Deserialize)]
struct BriefPolicy {
    decision: Verdict,
    mode: Mode,
}

impl<'a> Brief<'a> {
    /// Reads a line, if it is of a kind that can be read in brief; otherwise, or where a name
    /// has escapes in it, it takes a [`Row`].
    pub fn read(line: &'a [u8]) -> Option<Brief<'a>> {
        const KINDS: [&[u8]; 5] =
            [b"\"action\"", b"\"result\"", b"\"context\"", b"\"message\"", b"\"decision\""];
        // The kind comes third in a line.
        let start = line.get(..128).unwrap_or(line);
        if !KINDS.iter().any(|kind| memchr::memmem::find(start, kind).is_some()) {
            return None;
        }
        let brief: Brief<'_> = serde_json::from_slice(line).ok()?;
        let whole = match brief.kind {
            Kind::Action => brief.body.policy.is_some(),
            Kind::Result => brief.body.outcome.is_some(),
            Kind::Context | Kind::Message | Kind::Decision => true,
            _ => false,
        };
        whole.then_some(brief)
    }

    /// As [`when`].
    pub fn when(&self) -> Timestamp {
        let claimed = self.claimed.as_ref();
        let late = self.observed.as_ref().is_some_and(|observed| observed.late)
            || claimed.is_some_and(|claimed| is_later_reading(claimed.source, claimed.file.is_some()));
        claimed.and_then(|claimed| claimed.ts).filter(|_| late).unwrap_or(self.ts)
    }

    /// As [`action_of`].
    pub fn action(&self) -> Option<RecordId> {
        action_by_links(self.kind, self.id, &self.links)
    }
}

/// Whether a record was written long after what it tells of: spooled while no recorder ran,
/// or read from a transcript.
pub fn is_late(record: &Record) -> bool {
    record.observed.as_ref().is_some_and(|observed| observed.late)
        || record
            .claimed
            .as_ref()
            .is_some_and(|claimed| is_later_reading(&claimed.source, claimed.file.is_some()))
}

fn is_later_reading(source: &str, from_file: bool) -> bool {
    from_file || source.starts_with("import") || source.starts_with("transcript")
}

/// Where a record stands in time: when it was written, or for one that came late or from a
/// transcript when the client says that it happened.
pub fn when(record: &Record) -> Timestamp {
    let claimed = record.claimed.as_ref().and_then(|claimed| claimed.ts);
    claimed.filter(|_| is_late(record)).unwrap_or(record.ts)
}

/// What holds for an action, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effective {
    /// It was let through, and ran.
    Permit,
    /// It was refused.
    Deny,
    /// A human was asked, and the answer is not known.
    Ask,
    /// Nothing has come of it yet.
    Pending,
    /// The runtime could not run it.
    Rejected,
    /// It is over, and nothing tells how.
    Unknown,
}

impl Effective {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Effective::Permit => "PERMIT",
            Effective::Deny => "DENY",
            Effective::Ask => "ASK",
            Effective::Pending => "pending",
            Effective::Rejected => "REJECTED",
            Effective::Unknown => "unknown",
        }
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// Our own policy.
    Policy,
    /// Something in the runtime.
    Runtime(DecidedBy),
}

/// What needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// It can't easily be undone, and was not refused.
    Destructive,
    /// What ran is not what was asked for.
    ArgumentsChanged,
    /// It is not what was asked for, can't easily be undone, and was not refused.
    OutOfScope,
    /// It touches what keeps the agent's record and its limits, and was not refused.
    Tamper,
    /// The same, refused.
    TriedToTamper,
    /// It ran although the policy refused it.
    RanAgainstPolicy,
    /// It ran although the policy asked, and no grant is recorded.
    RanWithoutGrant,
    /// The policy would have refused it, had it been enforced.
    WouldBeDenied,
    /// The session ended, and no outcome was recorded.
    NoOutcome,
    /// Something ran, and no action was recorded.
    NoAction,
    /// Something is missing or out of order.
    Gap,
    /// Input that could not be read.
    Unparsed,
    /// A policy set was refused.
    PolicyRefused,
    /// A record that this fdr can't read.
    Unread,
}

impl Concern {
    /// In words, for a line that begins with the place.
    pub fn as_str(self) -> &'static str {
        match self {
            Concern::Destructive => "destructive",
            Concern::ArgumentsChanged => "arguments changed after the decision",
            Concern::OutOfScope => "out of scope",
            Concern::Tamper => "touches what records or limits the agent (tamper)",
            Concern::TriedToTamper => "tried to touch what records or limits the agent (tamper)",
            Concern::RanAgainstPolicy => "ran although the policy refused it",
            Concern::RanWithoutGrant => "ran although the policy asked and no grant is recorded",
            Concern::WouldBeDenied => "would be denied if the policy were enforced",
            Concern::NoOutcome => "no outcome recorded by the end of the session",
            Concern::NoAction => "outcome without a recorded action",
            Concern::Gap => "gap",
            Concern::Unparsed => "input that could not be read",
            Concern::PolicyRefused => "policy",
            Concern::Unread => "record that can't be read",
        }
    }
}

/// What an action's own record says of how it stands.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// It can't easily be undone.
    pub destructive: bool,
    /// It touches what keeps the agent's record and its limits.
    pub tamper: bool,
    /// Whether it is what was asked for.
    pub scope: Option<InScope>,
    /// Our policy's verdict.
    pub verdict: Verdict,
    /// Whether that was made to hold.
    pub mode: Mode,
    /// It was let through under a grant that had been given before.
    pub approved: bool,
}

/// A request in our own queue, and what people said to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    /// It was asked.
    pub asked: bool,
    /// Two different people have to agree.
    four_eyes: bool,
    agreed: bool,
    /// The user who agreed first, as far as the kernel told.
    first: Option<u32>,
    two_agreed: bool,
    /// It was refused, or its time ran out.
    pub refused: Option<DecidedBy>,
}

impl Queue {
    fn agree(&mut self, uid: Option<u32>) {
        // Only two users that are known to be different are two.
        self.two_agreed |= self.first.is_some() && uid.is_some() && self.first != uid;
        self.first = self.first.or(uid);
        self.agreed = true;
    }

    /// Whether everyone agreed who had to. What comes after a refusal is for another call: who
    /// waited has gone.
    pub fn is_granted(&self) -> bool {
        self.refused.is_none() && if self.four_eyes { self.two_agreed } else { self.agreed }
    }

    /// Whether one has agreed and another one has to.
    pub fn is_half_granted(&self) -> bool {
        self.refused.is_none() && self.agreed && !self.is_granted()
    }

    /// Takes in what is known of the same request from other records.
    fn merge(&mut self, other: Queue) {
        self.asked |= other.asked;
        self.four_eyes |= other.four_eyes;
        self.refused = self.refused.or(other.refused);
        self.two_agreed |= other.two_agreed;
        if other.agreed {
            self.agree(other.first);
        }
    }
}

/// The facts on one action by which it is judged, gathered from its records in any order.
/// Small, because a log has very many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The action itself was recorded.
    pub action: Option<Judged>,
    /// The runtime's decision, with who made it and how we know.
    pub runtime: Option<(Verdict, DecidedBy, Basis)>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Exit status of a command.
    pub exit_code: Option<i32>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u32>,
    /// What ran is not what was asked for.
    pub arguments_changed: bool,
    /// The runtime asked for permission.
    pub asked: bool,
    /// The answer to that, who gave it, and how we know.
    pub answer: Option<(bool, DecidedBy, Basis)>,
    /// Our own queue.
    pub queue: Queue,
}

impl Facts {
    /// Takes in the action.
    pub fn add_action(&mut self, body: &ActionBody) {
        self.action = Some(Judged {
            destructive: body.destructive,
            tamper: body.actions.iter().any(|action| action.tamper),
            scope: body.intent.as_ref().map(|check| check.scope),
            verdict: body.policy.decision,
            mode: body.policy.mode,
            approved: body.approved.is_some(),
        });
        self.add_runtime(body.runtime_decision.as_ref());
    }

    /// Takes in a result; one that says more stands over one that says less.
    pub fn add_result(&mut self, body: &ResultBody) {
        self.add_outcome(body.outcome, body.exit_code, body.duration_ms, body.arguments_changed);
        self.add_runtime(body.runtime_decision.as_ref());
    }

    /// Takes in an action or a result that was read in brief.
    pub fn add_brief(&mut self, brief: &Brief<'_>) {
        let body = &brief.body;
        match (brief.kind, &body.policy, body.outcome) {
            (Kind::Action, Some(policy), _) => {
                self.action = Some(Judged {
                    destructive: body.destructive,
                    tamper: body.actions.iter().any(|action| action.tamper),
                    scope: body.intent.as_ref().map(|check| check.scope),
                    verdict: policy.decision,
                    mode: policy.mode,
                    approved: body.approved.is_some(),
                });
            }
            (Kind::Result, _, Some(outcome)) => {
                self.add_outcome(outcome, body.exit_code, body.duration_ms, body.arguments_changed);
            }
            _ => return,
        }
        self.add_runtime(body.runtime_decision.as_ref());
    }

    fn add_outcome(
        &mut self,
        outcome: Outcome,
        exit_code: Option<i64>,
        duration_ms: Option<u64>,
        changed: bool,
    ) {
        if self.outcome.is_none_or(|outcome| outcome == Outcome::Unknown) {
            self.outcome = Some(outcome);
        }
        self.exit_code = self.exit_code.or(exit_code.and_then(|code| i32::try_from(code).ok()));
        let duration_ms = duration_ms.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX));
        self.duration_ms = self.duration_ms.or(duration_ms);
        self.arguments_changed |= changed;
    }

    fn add_runtime(&mut self, decision: Option<&RuntimeDecision>) {
        let Some(decision) = decision else { return };
        // A later "ask" doesn't undo an answer; what was said stands over what was inferred.
        let rank = |verdict: Verdict, basis: Basis| (verdict != Verdict::Ask, basis == Basis::Stated);
        if self.runtime.is_none_or(|(v, _, b)| rank(decision.decision, decision.basis) > rank(v, b)) {
            self.runtime = Some((decision.decision, decision.by, decision.basis));
        }
    }

    /// Takes in whatever a record says about its action.
    pub fn add(&mut self, record: &Record) {
        match &record.body {
            Body::Action(body) => self.add_action(body),
            Body::Result(body) => self.add_result(body),
            Body::ApprovalRequest(body) if is_of_queue(body) => {
                self.queue.asked = true;
                self.queue.four_eyes |= body.four_eyes;
            }
            Body::ApprovalGrant(body) if is_of_queue(body) => {
                self.queue.agree(record.observed.as_ref().and_then(|observed| observed.uid));
            }
            Body::ApprovalDeny(body) if is_of_queue(body) => {
                self.queue.refused = self.queue.refused.or(Some(body.by.unwrap_or(DecidedBy::Unknown)));
            }
            Body::ApprovalRequest(_) => self.asked = true,
            Body::ApprovalGrant(body) => self.add_answer(true, body, record),
            Body::ApprovalDeny(body) => self.add_answer(false, body, record),
            _ => {}
        }
    }

    fn add_answer(&mut self, granted: bool, body: &Approval, record: &Record) {
        let basis = if is_concluded(record) { Basis::Inferred } else { Basis::Stated };
        self.answer = Some((granted, body.by.unwrap_or(DecidedBy::Unknown), basis));
    }

    /// Takes in the answers to a request that were read before the request itself was.
    pub fn add_answers(&mut self, early: &Facts) {
        self.queue.merge(early.queue);
        self.answer = self.answer.or(early.answer);
    }

    fn policy_says(&self, wanted: Verdict, in_mode: Mode) -> bool {
        self.action.is_some_and(|judged| judged.verdict == wanted && judged.mode == in_mode)
    }

    /// Whether our policy held it back until somebody agreed.
    pub fn is_held(&self) -> bool {
        self.policy_says(Verdict::Ask, Mode::Enforce)
    }

    /// Who agreed, where somebody had to, and how that is known; a grant given before counts.
    pub fn granted(&self) -> Option<(DecidedBy, Basis)> {
        if self.queue.is_granted() || self.action.is_some_and(|judged| judged.approved) {
            return Some((DecidedBy::Approver, Basis::Stated));
        }
        // What was asked in our queue is not the runtime's to grant.
        if self.queue.asked || self.queue.refused.is_some() || self.queue.is_half_granted() {
            return None;
        }
        let answer = self.answer.filter(|(granted, _, _)| *granted).map(|(_, by, basis)| (by, basis));
        let user = |(verdict, by, basis): (Verdict, DecidedBy, Basis)| {
            (verdict == Verdict::Permit && by == DecidedBy::User).then_some((by, basis))
        };
        answer.or_else(|| self.runtime.and_then(user))
    }

    /// What holds for the action, who decided so, and how that is known. Without an outcome
    /// nothing is called permitted.
    pub fn effective(&self) -> (Effective, Option<Decider>, Basis) {
        let stated_by = |verdict: Verdict| {
            self.runtime.filter(|(v, _, _)| *v == verdict).map(|(_, by, basis)| (Decider::Runtime(by), basis))
        };
        let refused = || {
            // That a hook refused it, as the runtime says then, is no more than our own answer.
            if let Some(by) = self.queue.refused {
                return Some((Decider::Runtime(by), Basis::Stated));
            }
            if let Some((by, basis)) = stated_by(Verdict::Deny) {
                return Some((by, basis));
            }
            if self.policy_says(Verdict::Deny, Mode::Enforce) {
                return Some((Decider::Policy, Basis::Stated));
            }
            let (granted, by, basis) = self.answer?;
            (!granted).then_some((Decider::Runtime(by), basis))
        };
        // The hook waits for an answer in the queue, and lets nothing through without one.
        let unanswered = self.is_held() && self.granted().is_none();
        match self.outcome {
            Some(Outcome::Rejected) => {
                (Effective::Rejected, Some(Decider::Runtime(DecidedBy::Runtime)), Basis::Stated)
            }
            Some(Outcome::Denied) => match refused() {
                Some((by, basis)) => (Effective::Deny, Some(by), basis),
                None if unanswered && self.queue.asked => {
                    (Effective::Deny, Some(Decider::Policy), Basis::Stated)
                }
                None => (Effective::Deny, None, Basis::Stated),
            },
            Some(Outcome::Ok | Outcome::Error | Outcome::Interrupted) => {
                let granted = self.granted().map(|(by, basis)| (Decider::Runtime(by), basis));
                // That somebody agreed in our queue is known better than what the runtime says.
                let known = match stated_by(Verdict::Permit) {
                    Some((by, basis)) if by != Decider::Runtime(DecidedBy::Unknown) && !self.is_held() => {
                        Some((by, basis))
                    }
                    said => granted.or(said),
                };
                match known {
                    Some((by, basis)) => (Effective::Permit, Some(by), basis),
                    None => (Effective::Permit, None, Basis::Inferred),
                }
            }
            Some(Outcome::Unknown) => match (refused(), stated_by(Verdict::Permit)) {
                (Some((by, basis)), _) => (Effective::Deny, Some(by), basis),
                (None, Some((by, basis))) => (Effective::Permit, Some(by), basis),
                (None, None) if unanswered && self.queue.asked => {
                    (Effective::Deny, Some(Decider::Policy), Basis::Stated)
                }
                (None, None) => (Effective::Unknown, None, Basis::Inferred),
            },
            None => match refused() {
                Some((by, basis)) => (Effective::Deny, Some(by), basis),
                None if unanswered || self.is_unanswered() => (Effective::Ask, None, Basis::Stated),
                None => (Effective::Pending, None, Basis::Stated),
            },
        }
    }

    fn is_unanswered(&self) -> bool {
        self.asked && self.answer.is_none() && self.outcome.is_none()
    }

    /// Whether it counts as denied, given whether the agent's session has ended: it was refused,
    /// or our policy asked and nobody agreed while there was time.
    pub fn is_denied(&self, ended: bool) -> bool {
        match self.effective().0 {
            Effective::Deny => true,
            Effective::Ask => ended && self.is_held(),
            _ => false,
        }
    }

    /// What needs a look, given whether the agent's session has ended.
    pub fn concerns(&self, ended: bool) -> Vec<Concern> {
        let mut found = Vec::new();
        let (effective, _, _) = self.effective();
        let refused = effective == Effective::Rejected || self.is_denied(ended);
        let ran = matches!(self.outcome, Some(Outcome::Ok | Outcome::Error | Outcome::Interrupted));
        if let Some(judged) = self.action {
            if judged.tamper {
                found.push(if refused { Concern::TriedToTamper } else { Concern::Tamper });
            }
            if judged.destructive && !refused {
                found.push(Concern::Destructive);
                if judged.scope == Some(InScope::OutOfScope) {
                    found.push(Concern::OutOfScope);
                }
            }
        }
        if self.arguments_changed {
            found.push(Concern::ArgumentsChanged);
        }
        if ran && self.policy_says(Verdict::Deny, Mode::Enforce) {
            found.push(Concern::RanAgainstPolicy);
        }
        if ran && self.is_held() && self.granted().is_none() {
            found.push(Concern::RanWithoutGrant);
        }
        if !refused && self.policy_says(Verdict::Deny, Mode::Observe) {
            found.push(Concern::WouldBeDenied);
        }
        let open = matches!(effective, Effective::Pending | Effective::Ask);
        if ended && self.action.is_some() && open && !refused {
            found.push(Concern::NoOutcome);
        }
        if ran && self.action.is_none() {
            found.push(Concern::NoAction);
        }
        found
    }
}

/// Whether a request or an answer is one of our own queue, not of the runtime.
pub fn is_of_queue(approval: &Approval) -> bool {
    approval.digest.is_some()
}

/// Whether an answer to the runtime's own prompt was not told but concluded from what came of
/// the call: no runtime says what its user answered.
pub fn is_concluded(record: &Record) -> bool {
    // These come after the call, and tell only what came of it.
    const AFTER: [&str; 2] = ["hook:PostTool", "transcript"];
    let source = record.claimed.as_ref().map(|claimed| claimed.source.as_str()).unwrap_or_default();
    AFTER.iter().any(|after| source.starts_with(after))
}

/// Which action each request for approval is about: an answer in our queue names the request,
/// not the action.
#[derive(Debug, Default)]
pub struct Requests {
    about: HashMap<RecordId, RecordId>,
}

impl Requests {
    /// As [`action_of`], with an answer to a request that is known led on to the action.
    pub fn action_of(&mut self, record: &Record) -> Option<RecordId> {
        let id = action_of(record)?;
        if record.kind == Kind::ApprovalRequest {
            if self.about.len() >= MAX_REQUESTS {
                self.about.clear();
            }
            self.about.insert(record.id, id);
        }
        Some(self.about.get(&id).copied().unwrap_or(id))
    }
}

/// The action that a record is about: itself, or the one that it is linked to.
pub fn action_of(record: &Record) -> Option<RecordId> {
    action_by_links(record.kind, record.id, &record.links)
}

fn action_by_links(kind: Kind, id: RecordId, links: &[Link]) -> Option<RecordId> {
    let rels: &[Rel] = match kind {
        Kind::Action => return Some(id),
        Kind::Result => &[Rel::ResultOf, Rel::About],
        Kind::ApprovalRequest | Kind::ApprovalGrant | Kind::ApprovalDeny => {
            &[Rel::Approves, Rel::About, Rel::CausedBy]
        }
        _ => return None,
    };
    rels.iter().find_map(|rel| links.iter().find(|link| link.rel == *rel)).map(|link| link.id)
}

/// What a record needs a look for by itself.
pub fn concern_of(body: &Body) -> Option<Concern> {
    match body {
        Body::Gap(_) => Some(Concern::Gap),
        Body::Unparsed(_) => Some(Concern::Unparsed),
        Body::PolicyChange(body) if !body.accepted => Some(Concern::PolicyRefused),
        _ => None,
    }
}

/// What begins with a prefix that somebody typed.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Sessions, and sub-agents with the session that they are in.
    pub sessions: BTreeMap<String, Option<String>>,
    /// Records: id and index.
    pub records: Vec<(RecordId, u64)>,
    /// How many more records there are.
    pub more_records: u64,
}

/// The most candidates that are kept for an error message.
const MAX_CANDIDATES: usize = 64;

impl Trail {
    /// Looks for sessions, sub-agents and records whose id begins with `prefix`.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn candidates(&self, prefix: &str) -> anyhow::Result<Candidates> {
        let mut found = Candidates::default();
        // Every id stands in a line as `"name":"id…"`.
        let needle = memchr::memmem::Finder::new(prefix.as_bytes()).into_owned();
        self.scan(0, u64::MAX, |entry| {
            if needle.find(&entry.bytes).is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            let index = entry.index;
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(&entry.bytes) {
                let session = head.session.as_deref();
                if let Some(session) = session.filter(|session| session.starts_with(prefix)) {
                    found.sessions.insert(session.to_owned(), None);
                }
                let agent = head.agent.as_ref().and_then(|agent| agent.id.as_deref());
                let agent = agent.filter(|agent| agent.starts_with(prefix) && Some(*agent) != session);
                if let (Some(agent), Some(session)) = (agent, session) {
                    found.sessions.entry(agent.to_owned()).or_insert_with(|| Some(session.to_owned()));
                }
                let id = head.id.as_deref().filter(|id| id.starts_with(prefix));
                if let Some(Ok(id)) = id.map(str::parse) {
                    match found.records.len() < MAX_CANDIDATES {
                        true => found.records.push((id, index)),
                        false => found.more_records += 1,
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The session `id` as a tree of its agents, with the sessions of sub-agents that run in
    /// a session of their own.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn session(&self, id: &str) -> anyhow::Result<SessionView> {
        let mut members: HashSet<String> = HashSet::from([id.to_owned()]);
        let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
        let mut recorder: Vec<Row> = Vec::new();
        let mut pass = 0;
        loop {
            let new: Vec<String> = match pass {
                0 => vec![id.to_owned()],
                _ => {
                    let known: HashSet<&str> = rows.values().filter_map(Row::session).collect();
                    let new: Vec<String> =
                        known.iter().filter(|s| !members.contains(**s)).map(|s| (*s).to_owned()).collect();
                    if new.is_empty() {
                        break;
                    }
                    members.extend(new.iter().cloned());
                    new
                }
            };
            let needles: Vec<_> = new.iter().map(|id| memchr::memmem::Finder::new(id.as_bytes())).collect();
            let of_recorder =
                [&b"\"kind\":\"log."[..], b"\"kind\":\"policy.change\""].map(memchr::memmem::Finder::new);
            self.scan(0, u64::MAX, |entry| {
                let known = rows.contains_key(&entry.index);
                if !known && needles.iter().any(|needle| needle.find(&entry.bytes).is_some()) {
                    let row = self.read(entry);
                    let parent = row.record().and_then(|record| record.agent.as_ref()?.parent.as_deref());
                    if [row.session(), parent].into_iter().flatten().any(|id| new.iter().any(|new| new == id))
                    {
                        rows.insert(row.index, row);
                    }
                } else if pass == 0 && of_recorder.iter().any(|needle| needle.find(&entry.bytes).is_some()) {
                    recorder.push(self.read(entry));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            pass += 1;
        }
        let range = rows.keys().next().copied().unwrap_or(0)..=rows.keys().next_back().copied().unwrap_or(0);
        let set_names = recorder.iter().filter_map(|row| match row.body() {
            Some(Body::PolicyChange(body)) if body.accepted => {
                Some((body.set.clone()?, body.from.join(" + ")))
            }
            _ => None,
        });
        let set_names = set_names.collect();
        let about_recorder =
            recorder.into_iter().filter(|row| range.contains(&row.index) && row.session().is_none());
        let mut rows: Vec<Row> = rows.into_values().chain(about_recorder).collect();
        rows.sort_by_key(|row| (row.when(), row.index));
        Ok(SessionView { set_names, ..SessionView::build(id.to_owned(), rows) })
    }
}

/// A session with its sub-agents, put together from its records.
#[derive(Debug)]
pub struct SessionView {
    /// The session's id.
    pub id: String,
    /// Its records in the order of time.
    pub rows: Vec<Row>,
    /// Its agents: the main agent first, then sub-agents in the order in which they appeared.
    pub agents: Vec<AgentView>,
    /// What the prompts ask for: position of a prompt in `rows`, positions of its intents.
    pub intents: HashMap<usize, Vec<usize>>,
    /// Where the policy sets come from, by their digest.
    pub set_names: HashMap<String, String>,
}

/// What one agent of a session did.
#[derive(Debug, Default)]
pub struct AgentView {
    /// The agent's id.
    pub id: String,
    /// The agent that started it, for a sub-agent.
    pub parent: Option<usize>,
    /// What it did, in the order of time.
    pub items: Vec<Item>,
    /// The record of its end, and none if it began again after that.
    pub end: Option<usize>,
}

/// One thing in a timeline; numbers are positions in [`SessionView::rows`].
#[derive(Debug)]
pub enum Item {
    /// An action with what belongs to it.
    Action(Step),
    /// Any other record.
    Row(usize),
    /// A sub-agent's part, where it began: position in [`SessionView::agents`].
    Child(usize),
}

/// An action with what belongs to it; numbers are positions in [`SessionView::rows`].
#[derive(Debug)]
pub struct Step {
    /// The action.
    pub action: usize,
    /// The decision of the model that asked for it, if this is its first action.
    pub decision: Option<usize>,
    /// Its results.
    pub results: Vec<usize>,
    /// Requests for approval and answers.
    pub approvals: Vec<usize>,
    /// All that is known.
    pub facts: Facts,
}

impl SessionView {
    fn build(id: String, rows: Vec<Row>) -> SessionView {
        let mut agents = vec![AgentView { id: id.clone(), ..AgentView::default() }];
        let mut agent_at: HashMap<String, usize> = HashMap::from([(id.clone(), 0)]);
        let mut owner = Vec::with_capacity(rows.len());
        let mut parents: Vec<Option<String>> = vec![None];
        for row in &rows {
            // A record of a child session without an agent belongs to that session's agent.
            let agent = row.agent().or(row.session()).unwrap_or(&id);
            let next = agents.len();
            let at = *agent_at.entry(agent.to_owned()).or_insert(next);
            if at == next {
                agents.push(AgentView { id: agent.to_owned(), ..AgentView::default() });
                parents.push(None);
            }
            let parent = row.record().and_then(|record| record.agent.as_ref()?.parent.clone());
            if parents[at].is_none() {
                parents[at] = parent;
            }
            owner.push(at);
        }
        // The main agent has no parent here; whose parent is not known, or would make a
        // circle, hangs under the main agent.
        for at in 1..agents.len() {
            let parent = parents[at].as_ref().and_then(|parent| agent_at.get(parent)).copied().unwrap_or(0);
            let mut above = Some(parent);
            while let Some(ancestor) = above.filter(|ancestor| *ancestor != at) {
                above = agents[ancestor].parent;
            }
            agents[at].parent = Some(if above == Some(at) { 0 } else { parent });
        }

        let mut actions: HashMap<RecordId, usize> = HashMap::new();
        let mut calls: HashMap<(&str, &str), usize> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            let Some(record) = row.record().filter(|record| record.kind == Kind::Action) else { continue };
            actions.insert(record.id, at);
            if let (Some(session), Some(call)) = (row.session(), record.tool_use_id()) {
                calls.entry((session, call)).or_insert(at);
            }
        }
        let mut steps: BTreeMap<usize, Step> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some(Body::Action(body)) = row.body() {
                let mut facts = Facts::default();
                facts.add_action(body);
                steps.insert(
                    at,
                    Step { action: at, decision: None, results: vec![], approvals: vec![], facts },
                );
            }
        }
        // Records that are shown with an action or a prompt and not by themselves.
        let mut taken = vec![false; rows.len()];
        let prompt = |row: &Row| row.id().filter(|_| row.kind() == Kind::Prompt.as_str());
        let prompts: HashMap<RecordId, usize> =
            rows.iter().enumerate().filter_map(|(at, row)| Some((prompt(row)?, at))).collect();
        let mut intents: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut requests = Requests::default();
        for (at, row) in rows.iter().enumerate() {
            let Some(record) = row.record() else { continue };
            if record.kind == Kind::Decision {
                let by_link = record.link(Rel::DecisionFor).and_then(|id| actions.get(&id)).copied();
                let by_call = || {
                    let Body::Decision(body) = &record.body else { return None };
                    let session = row.session()?;
                    body.calls
                        .iter()
                        .filter_map(|call| calls.get(&(session, call.id.as_str())))
                        .min()
                        .copied()
                };
                let target = by_link.or_else(by_call);
                if let Some(step) =
                    target.and_then(|target| steps.get_mut(&target)).filter(|step| step.decision.is_none())
                {
                    step.decision = Some(at);
                    taken[at] = true;
                }
                continue;
            }
            if record.kind == Kind::Intent {
                let prompt = record.link(Rel::DerivedFrom).and_then(|id| prompts.get(&id));
                if let Some(prompt) = prompt {
                    intents.entry(*prompt).or_default().push(at);
                    taken[at] = true;
                }
                continue;
            }
            if record.kind == Kind::Action {
                continue;
            }
            let step = requests
                .action_of(record)
                .and_then(|id| actions.get(&id))
                .and_then(|target| steps.get_mut(target));
            if let Some(step) = step {
                step.facts.add(record);
                match record.kind {
                    Kind::Result => step.results.push(at),
                    _ => step.approvals.push(at),
                }
                taken[at] = true;
            }
        }
        // An action may name its decision instead.
        let decision = |row: &Row| row.id().filter(|_| row.kind() == Kind::Decision.as_str());
        let decisions: HashMap<RecordId, usize> =
            rows.iter().enumerate().filter_map(|(at, row)| Some((decision(row)?, at))).collect();
        for step in steps.values_mut().filter(|step| step.decision.is_none()) {
            let decided_by = rows[step.action].record().and_then(|record| record.link(Rel::DecidedBy));
            let decision = decided_by.and_then(|id| decisions.get(&id)).copied();
            if let Some(at) = decision.filter(|at| !taken[*at]) {
                step.decision = Some(at);
                taken[at] = true;
            }
        }

        let mut begun: HashSet<usize> = HashSet::from([0]);
        for (at, row) in rows.iter().enumerate() {
            // The agents above must have begun too, so that no part of the tree is lost.
            let mut chain = Vec::new();
            let mut agent = owner[at];
            while begun.insert(agent) {
                chain.push(agent);
                agent = agents[agent].parent.unwrap_or(0);
            }
            for agent in chain.into_iter().rev() {
                let parent = agents[agent].parent.unwrap_or(0);
                agents[parent].items.push(Item::Child(agent));
            }
            let agent = &mut agents[owner[at]];
            match row.body() {
                Some(Body::SessionEnd(_)) => agent.end = Some(at),
                Some(Body::SessionStart(_) | Body::Prompt(_)) => agent.end = None,
                _ => {}
            }
            if let Some(step) = steps.remove(&at) {
                agent.items.push(Item::Action(step));
            } else if !taken[at] {
                agent.items.push(Item::Row(at));
            }
        }
        SessionView { id, rows, agents, intents, set_names: HashMap::new() }
    }

    /// The same session with more records.
    pub fn with(self, more: Vec<Row>) -> SessionView {
        let mut rows: Vec<Row> = self.rows.into_iter().chain(more).collect();
        rows.sort_by_key(|row| (row.when(), row.index));
        SessionView { set_names: self.set_names, ..SessionView::build(self.id, rows) }
    }

    /// Whether an agent, or the one that it works for, has ended.
    pub fn has_ended(&self, agent: usize) -> bool {
        let mut at = Some(agent);
        while let Some(agent) = at {
            if self.agents[agent].end.is_some() {
                return true;
            }
            at = self.agents[agent].parent;
        }
        false
    }

    /// How an agent's run ended, as far as is recorded.
    pub fn status(&self, agent: usize) -> Option<Status> {
        match self.rows[self.agents[agent].end?].body() {
            Some(Body::SessionEnd(body)) => Some(body.status),
            _ => None,
        }
    }

    /// Whether a record belongs to an agent or to one that works for it.
    pub fn is_below(&self, row: &Row, agent: usize) -> bool {
        let owner = row.agent().or(row.session()).unwrap_or(&self.id);
        let mut at = self.agents.iter().position(|agent| agent.id == owner);
        while let Some(owner) = at {
            if owner == agent {
                return true;
            }
            at = self.agents[owner].parent;
        }
        false
    }

    /// The actions of an agent.
    pub fn steps(&self, agent: usize) -> impl Iterator<Item = &Step> {
        self.agents[agent].items.iter().filter_map(|item| match item {
            Item::Action(step) => Some(step),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_record::{Normalised, PolicyDecision};

    fn facts(verdict: Verdict, mode: Mode) -> Facts {
        let policy = PolicyDecision { decision: verdict, ..PolicyDecision::undecided(mode) };
        let mut facts = Facts::default();
        facts.add_action(&ActionBody::new("Bash", String::new(), Normalised::default(), policy));
        facts
    }

    /// What holds while the session goes on, and whether it counts as denied after its end.
    fn holds(facts: Facts, outcome: Option<Outcome>) -> (Effective, bool) {
        let facts = Facts { outcome, ..facts };
        (facts.effective().0, facts.is_denied(true))
    }

    #[test]
    fn only_a_policy_that_is_enforced_denies() {
        use Effective::{Ask, Deny, Pending, Permit};
        let ran = Some(Outcome::Ok);
        for (verdict, mode, outcome, want) in [
            (Verdict::Deny, Mode::Enforce, None, (Deny, true)),
            (Verdict::Deny, Mode::Enforce, Some(Outcome::Denied), (Deny, true)),
            (Verdict::Deny, Mode::Enforce, ran, (Permit, false)),
            (Verdict::Deny, Mode::Observe, None, (Pending, false)),
            (Verdict::Deny, Mode::Observe, ran, (Permit, false)),
            (Verdict::Ask, Mode::Enforce, None, (Ask, true)),
            (Verdict::Ask, Mode::Enforce, Some(Outcome::Denied), (Deny, true)),
            (Verdict::Ask, Mode::Enforce, Some(Outcome::Unknown), (Effective::Unknown, false)),
            (Verdict::Ask, Mode::Enforce, ran, (Permit, false)),
            (Verdict::Ask, Mode::Observe, None, (Pending, false)),
            (Verdict::Ask, Mode::Observe, ran, (Permit, false)),
            (Verdict::Permit, Mode::Enforce, None, (Pending, false)),
        ] {
            assert_eq!(holds(facts(verdict, mode), outcome), want, "{verdict:?} {mode:?} {outcome:?}");
        }
    }

    #[test]
    fn what_is_asked_in_the_queue_is_let_through_by_those_who_must_agree_and_nobody_else() {
        use Effective::{Ask, Deny, Pending};
        let asked = Queue { asked: true, ..Queue::default() };
        let eyes = Queue { four_eyes: true, ..asked };
        let agreed = |mut queue: Queue, uids: &[Option<u32>]| {
            uids.iter().for_each(|uid| queue.agree(*uid));
            queue
        };
        let late = Queue { refused: Some(DecidedBy::Timeout), ..agreed(asked, &[Some(1)]) };
        let user = Some((true, DecidedBy::User, Basis::Stated));
        for (name, queue, answer, want) in [
            ("nobody", asked, None, (Ask, true)),
            ("one", agreed(asked, &[Some(1)]), None, (Pending, false)),
            ("one of two", agreed(eyes, &[Some(1)]), None, (Ask, true)),
            ("the same twice", agreed(eyes, &[Some(1), Some(1)]), None, (Ask, true)),
            ("nobody known, twice", agreed(eyes, &[None, Some(1)]), None, (Ask, true)),
            ("two", agreed(eyes, &[Some(1), Some(2)]), None, (Pending, false)),
            ("after the time-out", late, None, (Deny, true)),
            ("the user of the runtime", asked, user, (Ask, true)),
        ] {
            let facts = Facts { queue, answer, ..facts(Verdict::Ask, Mode::Enforce) };
            assert_eq!(holds(facts, None), want, "{name}");
            let ran = Facts { outcome: Some(Outcome::Ok), ..facts };
            let alarmed = ran.concerns(true).contains(&Concern::RanWithoutGrant);
            assert_eq!(alarmed, want.0 != Pending, "{name}");
            let silent = holds(facts, Some(Outcome::Unknown)).0;
            assert_eq!(silent == Deny, want.0 != Pending, "{name}");
        }
    }

    #[test]
    fn answers_that_were_read_before_their_request_say_the_same() {
        let mut early = Facts::default();
        early.queue.agree(Some(1));
        let mut facts = facts(Verdict::Ask, Mode::Enforce);
        facts.queue = Queue { asked: true, four_eyes: true, ..Queue::default() };
        facts.add_answers(&early);
        assert!(facts.queue.is_half_granted());
        early.queue.agree(Some(2));
        facts.add_answers(&early);
        assert!(facts.queue.is_granted());
        early.queue.refused = Some(DecidedBy::Approver);
        facts.add_answers(&early);
        assert_eq!(facts.effective().0, Effective::Deny);
    }
}
