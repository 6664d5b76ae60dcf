//! The recorder: takes messages from the local socket, makes records of them, and answers when
//! these are durable.
//!
//! One message's way: frame → secrets out ([`fdr_record::scrub`]) → records ([`fdr_capture`])
//! → log. A connection has a thread of its own. The order of records is decided under one lock
//! ([`Order`]), in which a message is turned into records and put into the log's queue; waiting
//! for the disk happens outside it.

use crate::acks::{self, Reached, Wanted};
use crate::config::{Config, Route};
use crate::heartbeat::{self, Heart, Taken};
use crate::held::Held;
use crate::home::Home;
use crate::judge::{Bench, Decider, Desk, Offer};
use crate::keys::{Scope, Vault};
use crate::seal::EpochKey;
use crate::sequences::Sequences;
use crate::surroundings::{self, Machine};
use crate::text::{Look, LookArgs};
use crate::timestamp;
use crate::transcripts::{self, Span, Watcher};
use crate::witness::{self, client::Witnesses};
use anyhow::Context;
use fdr_capture::{Ahead, Arrival, Captured, Piece, State, mcp};
use fdr_hook::level::Level;
use fdr_hook::reply::{self, Reply};
use fdr_hook::spool;
use fdr_hook::wire::{self, Op, Request, Response};
use fdr_log::{
    AppendError, Batch, Levels, Log, OpenError, Options, Pending, Reader, Recovery, SignedCheckpoint,
};
use fdr_policy::intent::Place;
use fdr_record::scrub::Scrubber;
use fdr_record::sealed::Kid;
use fdr_record::{
    Agent, Body, Claimed, Content, ContentKey, Env, Gap, Heartbeat, Kind, Link, LogRestart, LogTorn,
    MAX_BYTES, Mode, Observed, Peppers, PolicyDecision, Principal, Record, Rel, Timestamp, Unparsed, VERSION,
    Verdict, hex,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

/// How many of the newest records a starting recorder reads to know the sessions that go on.
const REPLAYED_RECORDS: u64 = 8_192;
/// How long to wait before looking again whether a message that is under way has been answered.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(2);
/// How many answered messages are remembered, so that one sent again is not recorded again.
const REMEMBERED_MESSAGES: usize = 8_192;
/// Connections served at once; more wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a new connection may take to send its first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// How often the spool is looked at.
const SPOOL_INTERVAL: Duration = Duration::from_secs(2);
/// Wall and monotonic clock may drift apart by this much between two messages, in nanoseconds,
/// before it is recorded.
const CLOCK_TOLERANCE_NANOS: i128 = 2_000_000_000;
/// The most that is read of an instruction file, in bytes.
const ATTACHMENT_BYTES: u64 = 1 << 20;
/// The most that the records of one message may take together, in bytes; the log takes about
/// 4 MiB with their frames.
const MAX_BATCH_BYTES: usize = 7 << 19;
/// How many messages of the spool are taken in before the recorder looks after other things.
const MAX_SPOOLED_AT_ONCE: usize = 4_096;
/// A connection's thread needs little.
const STACK_BYTES: usize = 1 << 20;

/// Wall and monotonic clock together.
pub type Clock = Box<dyn Fn() -> (Timestamp, u64) + Send + Sync>;

/// The recorder while it runs.
pub struct Recorder {
    pub(crate) home: Home,
    mode: Mode,
    /// Decides on actions.
    pub(crate) decider: Arc<Decider>,
    /// How an action that a person has to approve waits.
    pub(crate) approvals: ApprovalSettings,
    /// Commands that are notifying somebody.
    pub(crate) notifying: Arc<AtomicUsize>,
    intent_classifier: Vec<String>,
    /// Taken out when the recorder ends, so that the log is closed whoever still has a
    /// connection.
    log: RwLock<Option<Log>>,
    /// Taken to decide the order of records; held while a message is turned into records and
    /// queued, never while waiting for the disk.
    order: Mutex<Order>,
    content_key: ContentKey,
    scrubber: Scrubber,
    machine: Machine,
    clock: Clock,
    started: Timestamp,
    connections: AtomicUsize,
    stopping: AtomicBool,
    /// Records that it is there.
    pub(crate) heart: Heart,
    /// What answers wait for.
    pub(crate) acks: acks::Settings,
    /// Who signs checkpoints elsewhere, where that is configured.
    pub(crate) witnesses: Option<Witnesses>,
    /// Has checkpoints time-stamped, where an authority is configured.
    pub(crate) timestamps: Option<timestamp::keeper::Keeper>,
    /// Held while holds are changed or the log is pruned: neither may come between the other's look and deed.
    retaining: Mutex<()>,
    /// Held while the spool is taken in: a file of it is one message.
    spooling: Mutex<()>,
    /// What contents are sealed under.
    vault: Arc<Vault>,
}

/// How an action that a person has to approve waits; see [`Config`].
#[derive(Clone, Debug)]
pub(crate) struct ApprovalSettings {
    pub(crate) route: Route,
    pub(crate) wait_s: u32,
    pub(crate) approvers: Vec<String>,
    pub(crate) approvers_differ: bool,
    pub(crate) notify: Vec<String>,
}

/// What only one message at a time may touch.
struct Order {
    state: State,
    /// Of each session, the user whose agent told of it first.
    owners: HashMap<String, u32>,
    /// Messages answered lately.
    answered: Answered,
    /// Messages whose records are on their way to the disk. One that its hook gave up on may come
    /// from the spool and from its connection at once.
    under_way: HashSet<([u8; 16], u64)>,
    /// Which messages of each sender came.
    sequences: Sequences,
    /// Wall and monotonic clock at the last message.
    last_time: Option<(Timestamp, u64)>,
    /// Number of the next message of the recorder itself.
    own_seq: u64,
    /// Names the recorder itself as a sender.
    own_source: [u8; 16],
}

impl Order {
    /// Remembers whose session a record is about.
    fn learn(&mut self, record: &Record) {
        let uid = record.observed.as_ref().and_then(|observed| observed.uid);
        if let (Some(session), Some(uid), Some(_)) = (&record.session, uid, &record.claimed) {
            self.owners.entry(session.clone()).or_insert(uid);
        }
    }

    /// Sender and number of the next message of the recorder itself.
    fn next_own(&mut self) -> ([u8; 16], u64) {
        let seq = self.own_seq;
        self.own_seq += 1;
        (self.own_source, seq)
    }
}

/// What is said of a message that is recorded.
#[derive(Clone, Debug, Default)]
struct Answer {
    index: u64,
    count: u32,
    reply: Reply,
    /// What the record has reached, if the sender asked.
    level: Option<Level>,
    /// The action of the message is held; what the runtime is told is found out each time it asks.
    held: Option<(String, Held)>,
}

impl Answer {
    /// Index of the last record.
    fn last(&self) -> u64 {
        self.index + u64::from(self.count.saturating_sub(1))
    }
}

/// The newest answers by sender and number.
#[derive(Default)]
struct Answered {
    by_key: HashMap<([u8; 16], u64), Answer>,
    order: VecDeque<([u8; 16], u64)>,
}

impl Answered {
    fn insert(&mut self, key: ([u8; 16], u64), answer: Answer) {
        if self.by_key.insert(key, answer).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED_MESSAGES
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_key.remove(&oldest);
            }
        }
    }
}

impl Recorder {
    /// Opens the log, reads what is going on in it, and records that it was started.
    ///
    /// # Errors
    /// When another recorder holds the log, when the log is damaged, and those of the disk.
    pub fn open(home: Home, config: &Config, clock: Clock) -> anyhow::Result<Recorder> {
        home.create()?;
        let machine = Machine::new();
        let vault = Arc::new(Vault::open(home.dir(), &config.keys).context("the keys can't be used")?);
        let content_key = home.content_key()?.with_peppers(Arc::clone(&vault) as Arc<dyn Peppers>);
        let origin = config.origin.clone().unwrap_or_else(|| format!("fdr/{}", machine.host()));
        let options = Options {
            seal: config.seal(),
            segment_bytes: config.segment_bytes(),
            ..Options::new(origin, home.signing_key()?)
        };
        let (log, recovery) = Log::open(&home.log(), options).map_err(|error| open_error(&home, error))?;
        let witnesses = match &config.witness {
            Some(settings) => {
                witness::client::check_start(&home, settings, &home.signing_key()?, &log)?;
                Some(Witnesses::new(&home, settings, &log)?)
            }
            None => None,
        };
        std::fs::write(home.front().join(fdr_hook::FAILURE_FILE), config.failure().as_str())
            .with_context(|| format!("can't write in {}", home.front().display()))?;
        std::fs::write(home.public_key(), format!("{}\n", log.verifier()))?;
        let decider = Arc::new(Decider::new(&home, config));
        let offer = decider.offer();
        if let Some(offer) = &offer {
            decider.take(offer);
        }
        let mut order = Order {
            state: State::with_judge(Box::new(Bench(Arc::clone(&decider)))),
            owners: HashMap::new(),
            answered: Answered::default(),
            under_way: HashSet::new(),
            sequences: Sequences::default(),
            last_time: None,
            own_seq: 0,
            own_source: spool::new_source().context("no randomness")?,
        };
        let reader = Reader::open(&home.log())?;
        let newest = replay(&reader, config.mode, &recovery, &vault, &mut order)?;
        let last = heartbeat::newest_epoch(&reader)?;
        drop(reader);
        let (heart, found) = Heart::new(&home, config.heartbeat, &log, last)?;
        let recorder = Recorder {
            started: clock().0,
            mode: config.mode,
            decider,
            approvals: ApprovalSettings {
                route: config.approvals,
                wait_s: config.approval_wait_s(),
                approvers: config.approvers.clone(),
                approvers_differ: config.approvers_differ.unwrap_or(home.system().is_some()),
                notify: config.notify.clone(),
            },
            notifying: Arc::default(),
            intent_classifier: config.intent_classifier.clone(),
            log: RwLock::new(Some(log)),
            order: Mutex::new(order),
            content_key,
            scrubber: Scrubber::new(),
            machine,
            clock,
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            retaining: Mutex::default(),
            spooling: Mutex::default(),
            vault,
            heart,
            acks: config.acks,
            witnesses,
            timestamps: config.timestamp.clone().map(timestamp::keeper::Keeper::new),
            home,
        };
        recorder.record_start(&recovery, newest, found)?;
        recorder.finish_erasing().context("an erasure that was begun can't be finished")?;
        if let Some(offer) = offer {
            recorder.record_policy(offer)?;
        }
        Ok(recorder)
    }

    fn record_start(
        &self,
        recovery: &Recovery,
        newest: Option<Timestamp>,
        found: Option<Body>,
    ) -> anyhow::Result<()> {
        let stopped = std::fs::read_to_string(self.home.stopped()).ok();
        let clean = recovery.created
            || stopped.is_some_and(|size| size.trim().parse() == Ok(recovery.size))
                && recovery.torn.is_none();
        let mut bodies = Vec::new();
        if let Some(torn) = &recovery.torn {
            bodies.push(Body::LogTorn(LogTorn {
                file: torn.file.clone(),
                offset: torn.offset,
                bytes: torn.bytes,
                quarantine: torn.quarantine_path.to_string_lossy().into_owned(),
            }));
        }
        let gap_millis = newest.map(|newest| self.started.millis().saturating_sub(newest.millis()));
        bodies.push(Body::LogRestart(LogRestart {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            boot_id: surroundings::boot_id(),
            size: recovery.size,
            clean,
            gap_millis,
            mode: self.mode,
        }));
        if !recovery.created {
            bodies.push(Body::Gap(Gap {
                what: "recorder_down".to_owned(),
                detail: format!(
                    "no recorder ran since the record before; the one that did ended {}",
                    if clean { "in good order" } else { "without a word" }
                ),
                millis: gap_millis,
            }));
        }
        bodies.extend(found);
        self.record_own(bodies)?;
        // What was orderly about the last stop is in the log now.
        match std::fs::remove_file(self.home.stopped()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Records something about the recorder itself and waits until it is durable.
    pub(crate) fn record_own(&self, bodies: Vec<Body>) -> anyhow::Result<()> {
        let pending = {
            let mut order = self.order();
            let (source, seq) = order.next_own();
            let records = bodies.into_iter().map(|body| self.own_record(&mut order.state, body, None));
            let records = records.collect();
            self.submit_sealed(source, seq, records, Vec::new())?
        };
        pending.wait()?;
        Ok(())
    }

    /// Records something that somebody had the recorder do, and waits until it is durable.
    pub(crate) fn record_own_observed(&self, body: Body, observed: Observed) -> anyhow::Result<()> {
        self.submit_own_observed(&mut self.order(), body, observed)?.wait()?;
        Ok(())
    }

    fn submit_own_observed(
        &self,
        order: &mut Order,
        body: Body,
        observed: Observed,
    ) -> anyhow::Result<Pending> {
        let (source, seq) = order.next_own();
        let principal = observed.uid.map(|uid| self.machine.principal(uid));
        let mut record = self.own_record(&mut order.state, body, Some(observed));
        record.principal = principal;
        self.submit_sealed(source, seq, vec![record], Vec::new())
    }

    /// Records that keys are erased, and waits until that is durable. What is recorded after it is not sealed under them.
    pub(crate) fn record_erasure(&self, body: Body, observed: Observed, kids: &[Kid]) -> anyhow::Result<()> {
        let pending = {
            let mut order = self.order();
            let pending = self.submit_own_observed(&mut order, body, observed)?;
            self.vault.forget(kids);
            pending
        };
        pending.wait()?;
        Ok(())
    }

    /// Forgets what contents of sessions told whose keys are gone: what is known of them then is what a recorder would
    /// know that starts now.
    pub(crate) fn purge(&self, sessions: &[String], kids: &[Kid]) {
        #[derive(serde::Deserialize)]
        struct Head {
            session: Option<String>,
        }
        let sessions: HashSet<&str> = sessions.iter().map(String::as_str).collect();
        let mut seen = 0;
        let mut collect = |lines: &mut Vec<Vec<u8>>| {
            let Ok(reader) = Reader::open(&self.home.log()) else { return };
            // What can't be read any more is not there to be known.
            for entry in reader.records(seen.max(reader.first_index())).map_while(Result::ok) {
                seen = entry.index + 1;
                let head = serde_json::from_slice::<Head>(&entry.bytes).ok();
                if head.and_then(|head| head.session).is_some_and(|id| sessions.contains(id.as_str())) {
                    lines.push(entry.bytes);
                }
            }
        };
        let mut lines = Vec::new();
        // Most of it while nobody waits.
        collect(&mut lines);
        let mut order = self.order();
        collect(&mut lines);
        let tampering = {
            let mut desk = self.decider.desk();
            desk.classified.clear();
            desk.tampering.clone()
        };
        for session in &sessions {
            order.state.forget(session);
        }
        for line in lines {
            if let Ok(mut record) = Record::parse(&line) {
                self.vault.ring().fill(&mut record);
                order.state.observe(&record);
            }
        }
        for session in &sessions {
            order.state.is_whole(session);
        }
        self.decider.desk().tampering = tampering;
        self.vault.forget(kids);
    }

    /// What contents are sealed under.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Records something about the recorder itself with content, and waits until it is durable.
    ///
    /// `contents` are role, media type and bytes of each.
    pub(crate) fn record_own_with(
        &self,
        body: Body,
        contents: Vec<(&str, &str, Vec<u8>)>,
    ) -> anyhow::Result<()> {
        let pending = {
            let mut order = self.order();
            let (source, seq) = order.next_own();
            let mut record = self.own_record(&mut order.state, body, None);
            let sealed = contents
                .into_iter()
                .map(|(role, media, bytes)| self.content_key.seal("", role, media, bytes));
            let (references, contents) = sealed.unzip();
            record.content = references;
            self.submit_sealed(source, seq, vec![record], contents)?
        };
        pending.wait()?;
        Ok(())
    }

    /// The newest signed checkpoint.
    pub(crate) fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.with_log(|log| Ok(log.checkpoint())).ok().flatten()
    }

    /// Which levels records have reached.
    pub(crate) fn levels(&self) -> Result<Levels, AppendError> {
        self.with_log(|log| Ok(log.levels()))
    }

    /// Enough witnesses have signed for so many records.
    pub(crate) fn note_anchored(&self, size: u64) {
        let _ = self.with_log(|log| {
            log.note_anchored(size);
            Ok(())
        });
    }

    /// A signed checkpoint of everything that is recorded.
    pub(crate) fn checkpoint_now(&self) -> Result<SignedCheckpoint, AppendError> {
        self.with_log(Log::sync_checkpoint)
    }

    /// The recorder's folder.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// One change of what is kept at a time.
    pub(crate) fn retaining(&self) -> MutexGuard<'_, ()> {
        self.retaining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the segments before one, when a checkpoint covers everything recorded so far.
    pub(crate) fn prune_log(&self, first_segment: u64) -> anyhow::Result<()> {
        self.checkpoint_now()?;
        self.with_log(|log| Ok(log.prune(first_segment)))??;
        Ok(())
    }

    /// A dictionary that the log's segments are compressed with since this was asked last.
    pub(crate) fn take_dictionary(&self) -> Option<Arc<[u8]>> {
        self.with_log(|log| Ok(log.take_dictionary())).ok().flatten()
    }

    /// Records which policy set is in force from here on, with its whole text.
    fn record_policy(&self, offer: Offer) -> anyhow::Result<()> {
        let accepted = offer.change.accepted;
        let pending = {
            let mut order = self.order();
            self.decider.take(&offer);
            let (source, seq) = order.next_own();
            let mut record = self.own_record(&mut order.state, Body::PolicyChange(offer.change), None);
            let mut contents = Vec::new();
            for file in offer.files {
                // The name is part of what is digested, and has to be found again.
                let text = format!("{}\n{}", file.name, file.text).into_bytes();
                let (reference, content) = self.content_key.seal("", "policy", "text/plain", text);
                record.content.push(reference);
                contents.push(content);
            }
            self.submit_sealed(source, seq, vec![record], contents)?
        };
        pending.wait()?;
        if accepted && let Err(error) = self.decider.keep_good() {
            // The next start would miss it only if the folders can't be used by then.
            crate::text::say!("warning: can't keep a copy of the policy set: {error:#}");
        }
        Ok(())
    }

    /// Reads the policy folders again if they changed.
    fn watch_policies(&self) -> anyhow::Result<()> {
        match self.decider.offer() {
            Some(offer) => self.record_policy(offer),
            None => Ok(()),
        }
    }

    /// Records something about a session, and waits until it is durable. `ready` may still refuse,
    /// when the order of records is settled.
    pub(crate) fn record_about(
        &self,
        session: &str,
        agent: Option<Agent>,
        body: Body,
        links: Vec<Link>,
        observed: Option<Observed>,
        ready: &dyn Fn(&mut Desk) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let pending = {
            let mut order = self.order();
            ready(&mut self.decider.desk())?;
            let (source, seq) = order.next_own();
            let record = self.session_record(&mut order.state, session, agent, body, links, observed);
            self.submit_sealed(source, seq, vec![record], Vec::new())?
        };
        pending.wait()?;
        Ok(())
    }

    /// A record of the recorder's own that belongs to a session.
    fn session_record(
        &self,
        state: &mut State,
        session: &str,
        agent: Option<Agent>,
        body: Body,
        links: Vec<Link>,
        observed: Option<Observed>,
    ) -> Record {
        let uid = observed.as_ref().and_then(|observed| observed.uid);
        let record = Record {
            seq: state.next_seq(session),
            session: Some(session.to_owned()),
            agent,
            principal: uid.map(|uid| self.machine.principal(uid)),
            links,
            ..self.new_record(state, body, observed)
        };
        state.observe(&record);
        record
    }

    /// The time by the wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)().0
    }

    /// Whether this recorder ends.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The user behind a user id.
    pub(crate) fn principal(&self, uid: u32) -> Principal {
        self.machine.principal(uid)
    }

    /// Host and repository of a folder.
    pub(crate) fn env_of(&self, cwd: &str) -> Env {
        self.machine.env(cwd)
    }

    /// A record about the recorder itself.
    fn own_record(&self, state: &mut State, body: Body, observed: Option<Observed>) -> Record {
        let record = self.new_record(state, body, observed);
        state.observe(&record);
        record
    }

    /// A record that the state has not seen yet.
    fn new_record(&self, state: &mut State, body: Body, observed: Option<Observed>) -> Record {
        let (now, mono) = (self.clock)();
        Record {
            v: VERSION,
            id: state.ids.next(now),
            kind: body.kind(),
            ts: now,
            mono,
            seq: state.own_seq(),
            session: None,
            agent: None,
            principal: None,
            trace: None,
            links: Vec::new(),
            claimed: None,
            observed,
            env: None,
            body,
            sealed: None,
            content: Vec::new(),
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        // A panic inside is caught and answered; what it left is still in order, because the
        // state changes only by whole records.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts records into the log's queue, with their contents sealed.
    fn submit_sealed(
        &self,
        source: [u8; 16],
        seq: u64,
        mut records: Vec<Record>,
        contents: Vec<Content>,
    ) -> anyhow::Result<Pending> {
        let contents = self.vault.seal(&mut records, contents)?;
        Ok(self.submit(source, seq, lines(&records), contents)?)
    }

    fn submit(
        &self,
        source: [u8; 16],
        seq: u64,
        records: Vec<Vec<u8>>,
        contents: Vec<Content>,
    ) -> Result<Pending, AppendError> {
        let contents = contents.into_iter();
        let batch = Batch {
            source,
            seq,
            records,
            contents: contents.map(|c| fdr_log::Content { salt: c.salt, bytes: c.bytes }).collect(),
        };
        let pending = self.with_log(|log| log.submit(batch))?;
        if let Some(witnesses) = &self.witnesses {
            witnesses.grow(pending.leaf_hashes());
        }
        Ok(pending)
    }

    /// Uses the log, if it is still open.
    fn with_log<T>(&self, work: impl FnOnce(&Log) -> Result<T, AppendError>) -> Result<T, AppendError> {
        match &*self.log.read().unwrap_or_else(PoisonError::into_inner) {
            Some(log) => work(log),
            None => Err(AppendError::Closed),
        }
    }

    /// Free space of the log's file system, in bytes.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.with_log(|log| Ok(log.stats().free_bytes)).ok().flatten()
    }

    pub(crate) fn size(&self) -> u64 {
        self.with_log(|log| Ok(log.size())).unwrap_or_default()
    }

    /// What a person who starts it in a terminal sees.
    pub fn greeting(&self) -> String {
        format!(
            "recording in {} ({}, {} records); Ctrl-C or fdr stop ends it",
            self.home.dir().display(),
            self.mode.as_str(),
            self.size()
        )
    }

    /// Answers one message. Never panics; a failure is in the answer. There is none if whoever asks
    /// waits for a person to decide, and the recorder ends: the next one will know.
    pub fn answer(&self, request: Request, stream: Option<&UnixStream>) -> Option<Response> {
        if matches!(request.op, Op::Stop | Op::Import) && stream.is_some_and(surroundings::is_below_agent) {
            return Some(Response::failed(
                "a program that an agent started may not do this; do it from a terminal of your own",
            ));
        }
        if request.op == Op::Stop && !self.may_all(stream) {
            return Some(Response::failed("only root and the recorder's own user may stop it"));
        }
        Some(match request.op {
            Op::Event => return self.record(request, stream, None),
            Op::Import => self.import(&request, stream),
            Op::Approvals => self.answer_approvals(&request, stream),
            Op::Intent => self.answer_intent(&request, stream),
            Op::Admin => self.answer_admin(&request, stream),
            Op::Transcripts => self.answer_transcripts(stream),
            Op::Status => {
                Response { stdout: self.status(self.may_all(stream)), recorded: true, ..Response::default() }
            }
            Op::Checkpoint => match self.checkpoint_now() {
                Ok(checkpoint) => Response {
                    stdout: checkpoint.note().as_bytes().to_vec(),
                    recorded: true,
                    ..Response::default()
                },
                Err(error) => Response::failed(error.to_string()),
            },
            Op::Stop => {
                self.stopping.store(true, Ordering::SeqCst);
                self.decider.answered.notify_all();
                Response { recorded: true, ..Response::default() }
            }
        })
    }

    /// Records a piece of a transcript.
    pub(crate) fn record_piece(
        &self,
        mut request: Request,
        stream: Option<&UnixStream>,
        span: Span,
    ) -> Option<Response> {
        (request.source, request.seq) = self.order().next_own();
        self.record(request, stream, Some(span))
    }

    /// The pieces of a transcript that were read, as far as is known.
    pub(crate) fn pieces(&self, file: &str) -> Vec<Piece> {
        self.order().state.file(file).map(|read| read.pieces.clone()).unwrap_or_default()
    }

    /// What a hook may still tell that this line of a transcript tells.
    pub(crate) fn ahead_of_hooks(&self, line: &[u8]) -> Ahead {
        self.order().state.ahead_of_hooks(line)
    }

    /// Whether a call of a session is under way.
    pub(crate) fn is_busy(&self, session: &str) -> bool {
        self.order().state.is_busy(session)
    }

    /// The newest of them.
    pub(crate) fn last_piece(&self, file: &str) -> Option<Piece> {
        self.order().state.file(file)?.pieces.last().cloned()
    }

    /// Whether these bytes are a piece of a transcript that was read. Of one whose key is gone nothing can be told.
    pub(crate) fn is_same_piece(&self, piece: &Piece, bytes: &[u8]) -> bool {
        let scrubbed = self.scrubber.scrub(bytes, &self.content_key);
        let digest = |key: &ContentKey| key.seal(&piece.session, "", "", scrubbed.bytes.to_vec()).0.digest;
        let key = self.vault.existing(&Scope::Session(piece.session.clone())).ok().flatten();
        match (&piece.kid, key) {
            (Some(kid), Some(key)) if hex(&key.kid()) == *kid => digest(&self.content_key) == piece.digest,
            (Some(_), _) => true,
            // Taken in by this recorder, or before contents were sealed.
            (None, Some(_)) if digest(&self.content_key) == piece.digest => true,
            (None, _) => digest(&self.content_key.plain()) == piece.digest,
        }
    }

    /// Session, runtime and transcript of the agents that are known.
    pub(crate) fn transcripts(&self) -> Vec<(String, String, PathBuf)> {
        let order = self.order();
        let known = order.state.transcripts();
        known.map(|(session, runtime, file)| (session.to_owned(), runtime.to_owned(), file.into())).collect()
    }

    fn record(&self, request: Request, stream: Option<&UnixStream>, span: Option<Span>) -> Option<Response> {
        self.record_of(request, stream, span, None)
    }

    /// The same; of a message without a connection, `left_by` is the user who left it in the spool.
    fn record_of(
        &self,
        request: Request,
        stream: Option<&UnixStream>,
        span: Option<Span>,
        left_by: Option<u32>,
    ) -> Option<Response> {
        let key = (request.source, request.seq);
        let (now, mono) = (self.clock)();
        let mut observed = match stream {
            Some(stream) => surroundings::peer(stream, now),
            None => Observed { uid: left_by, received: Some(now), ..Observed::default() },
        };
        // A proxy hands over its own spooled messages itself, in their order.
        observed.late = request.spooled != 0 || stream.is_none() && span.is_none();
        // Where the sender is now says nothing of where something happened that is told later.
        let now_there = request.op == Op::Event && !observed.late;
        let cwd = if now_there { request.cwd.as_str() } else { "" };
        let scrubbed = self.scrubber.scrub(&request.payload, &self.content_key);
        let event = request.event.to_ascii_lowercase();
        let begins = now_there && ["start", "created"].iter().any(|word| event.contains(word));
        let arrival = Arrival {
            now,
            mono,
            principal: observed.uid.map(|uid| self.machine.principal(uid)),
            observed,
            env: self.machine.env(cwd),
            variables: request.variables.clone(),
            home: request.home.clone(),
            // What is told later can't be kept from happening.
            mode: if now_there { self.mode } else { Mode::Observe },
            content_key: &self.content_key,
            redacted: scrubbed.found.len() as u32,
            attachment: self.attachment(&request),
            identities: if begins { surroundings::identities(cwd, &request) } else { Vec::new() },
            ancestors: stream.filter(|_| begins).map_or_else(Vec::new, surroundings::above_agent),
        };
        self.classify(&request, &scrubbed.bytes, &arrival);
        // Whoever comes next must not wait until the key of a new session is on disk.
        let named = named_session(&request, &scrubbed.bytes);
        if let Some(named) = &named
            && let Err(error) = self.vault.key(&Scope::Session(named.session.clone()))
        {
            return Some(Response::failed(format!("the session's key can't be made: {error:#}")));
        }
        let (submitted, taken, wanted) = {
            let mut order = self.order();
            while order.under_way.contains(&key) {
                drop(order);
                std::thread::sleep(AGAIN);
                order = self.order();
            }
            if let Some(mut answer) = order.answered.by_key.get(&key).cloned() {
                drop(order);
                self.heart.took(&request.runtime, Taken::Repeated);
                let wanted = Wanted::of(self.acks, &request, &[]);
                answer.level = self.reach(wanted, answer.last()).level;
                return self.respond(&answer, stream);
            }
            self.remember_session(&mut order, named.as_ref());
            let foreign = self.foreign(&order, named.as_ref(), arrival.observed.uid);
            let jump = self
                .clock_jump(&mut order, now, mono)
                .map(|gap| self.own_record(&mut order.state, gap, None));
            let made = catch_unwind(AssertUnwindSafe(|| {
                if foreign.is_some() {
                    return Captured::default();
                }
                capture(&request, span, &scrubbed.bytes, &arrival, &mut order.state)
            }));
            let mut instead = |reason: &str| {
                let mut captured =
                    self.unparsed(&request, &scrubbed.bytes, &arrival, &mut order.state, reason);
                // What can't be decided on is not let through.
                if arrival.mode == Mode::Enforce && reply::gates(&request.runtime, &request.event) {
                    captured.refused = Some(reason.to_owned());
                }
                captured
            };
            let mut captured = match (made, &foreign) {
                (Err(_), _) => instead("fdr failed on it; please report this"),
                (Ok(_), Some(reason)) => instead(reason),
                (Ok(captured), None) => captured,
            };
            let is_unparsed = |records: &[Record]| records.iter().any(|record| record.kind == Kind::Unparsed);
            mark_late(&mut captured.records, &request);
            // What is held is decided on by what the records say, not by how it is stored.
            let mut stored = captured.records.clone();
            let mut sealed = self.vault.seal(&mut stored, std::mem::take(&mut captured.contents));
            if sealed.is_ok() && !fits(&lines(&stored)) {
                captured = instead("its records would be too large");
                mark_late(&mut captured.records, &request);
                stored = captured.records.clone();
                sealed = self.vault.seal(&mut stored, std::mem::take(&mut captured.contents));
            }
            for record in &captured.records {
                order.learn(record);
            }
            stored.splice(0..0, jump);
            if stored.is_empty() {
                // Nothing new in it (a transcript read before).
                return Some(Response { recorded: true, index: self.size(), ..Response::default() });
            }
            let asked = captured.records.iter().filter(|record| captured.held.contains(&record.id));
            let asked: Vec<&Record> = asked.filter(|_| stream.is_some()).collect();
            let mut queued = None;
            let held = self.held(&asked, &request, &mut |action, body| {
                let session = action.session.as_deref().unwrap_or_default();
                let links = vec![Link { rel: Rel::About, id: action.id }];
                let agent = action.agent.clone();
                let record = self.session_record(&mut order.state, session, agent, body, links, None);
                let id = record.id;
                queued = Some(record);
                id
            });
            let mut queued: Vec<Record> = queued.into_iter().collect();
            let sealed = sealed.and_then(|contents| {
                self.vault.seal(&mut queued, Vec::new())?;
                Ok(contents)
            });
            stored.extend(queued);
            let answer = Answer {
                index: 0,
                level: None,
                count: stored.len() as u32,
                reply: captured.refused.take().map_or_else(Reply::default, |reason| {
                    reply::deny(
                        &request.runtime,
                        &format!("denied, because the call can't be recorded as an action: {reason}"),
                    )
                }),
                held: held.map(|held| (request.runtime.clone(), held)),
            };
            let wanted = match stream {
                Some(_) => Wanted::of(self.acks, &request, &captured.records),
                None => Wanted::default(),
            };
            let taken = if is_unparsed(&captured.records) { Taken::Unparsed } else { Taken::Recorded };
            let submitted = sealed.and_then(|contents| {
                Ok(self.submit(request.source, request.seq, lines(&stored), contents)?)
            });
            order.under_way.insert(key);
            (submitted.map(|pending| (pending, answer)), taken, wanted)
        };
        let acked = submitted
            .and_then(|(pending, answer)| Ok(Answer { index: pending.wait()?.first_index, ..answer }));
        let acked = acked.map(|mut answer| {
            let Reached { level, denied } = self.reach(wanted, answer.last());
            answer.level = level;
            if let Some(why) = denied {
                answer.reply = reply::deny(&request.runtime, &format!("denied: {why}"));
                answer.held = None;
            }
            answer
        });
        let mut order = self.order();
        order.under_way.remove(&key);
        match acked {
            Ok(answer) => {
                order.sequences.take(request.source, &request.runtime, request.seq, mono);
                self.heart.took(&request.runtime, taken);
                order.answered.insert(key, answer.clone());
                drop(order);
                self.respond(&answer, stream)
            }
            Err(error) => {
                drop(order);
                // The log takes nothing more; a new recorder has to look at it.
                self.stopping.store(true, Ordering::SeqCst);
                crate::text::say!("error: can't write the log in {}: {error:#}", self.home.log().display());
                Some(Response::failed(format!("the recorder can't write its log: {error:#}")))
            }
        }
    }

    fn respond(&self, answer: &Answer, stream: Option<&UnixStream>) -> Option<Response> {
        let reply = match &answer.held {
            Some((runtime, held)) => self.settle(runtime, held, stream)?,
            None => answer.reply.clone(),
        };
        Some(Response {
            recorded: true,
            waiting: 0,
            index: answer.index,
            count: answer.count,
            exit_code: reply.exit_code,
            stdout: reply.stdout,
            stderr: reply.stderr,
            level: answer.level,
        })
    }

    /// Has the external classifier, where there is one, read a prompt before anything is locked.
    fn classify(&self, request: &Request, payload: &[u8], arrival: &Arrival<'_>) {
        if self.intent_classifier.is_empty() {
            return;
        }
        let Some(runtime) = fdr_capture::runtime(&request.runtime) else { return };
        let Some((prompt, cwd)) = (runtime.prompt_of)(&request.event, payload) else { return };
        let repo = arrival.env.repo.clone().unwrap_or_else(|| cwd.clone());
        let place = Place { cwd: &cwd, home: &request.home, repo: &repo };
        match crate::judge::classify(&self.intent_classifier, &prompt, &place) {
            Ok(intent) => drop(self.decider.desk().classified.insert(prompt, intent)),
            // The fixed rules read it instead.
            Err(error) => crate::text::say!("warning: the intent classifier: {error:#}"),
        }
    }

    /// A session that is not known is looked for in the log, so that its records are numbered
    /// and linked on.
    fn remember_session(&self, order: &mut Order, named: Option<&Named>) {
        if self.size() <= REPLAYED_RECORDS {
            return;
        }
        let Some(Named { session, begins: false }) = named else { return };
        if order.state.knows(session) {
            return;
        }
        let Ok(reader) = Reader::open(&self.home.log()) else { return };
        order.state.forget(session);
        let named = memchr::memmem::Finder::new(session.as_bytes());
        // What can't be read any more is not there to be known.
        for entry in reader.records(0).map_while(Result::ok) {
            if named.find(&entry.bytes).is_some()
                && let Ok(mut record) = Record::parse(&entry.bytes)
                && record.session.as_deref() == Some(session.as_str())
            {
                // What was erased is not known any more.
                self.vault.ring().fill(&mut record);
                order.state.observe(&record);
                order.learn(&record);
            }
        }
        order.state.is_whole(session);
    }

    /// Why a message is not taken for one about its session: another user tells of it than the one
    /// whose agent it belongs to.
    fn foreign(&self, order: &Order, named: Option<&Named>, uid: Option<u32>) -> Option<String> {
        self.home.system()?;
        let uid = uid.filter(|uid| *uid != 0)?;
        let session = &named?.session;
        let owner = *order.owners.get(session)?;
        (owner != uid)
            .then(|| format!("uid {uid} tells of session {session}, which is an agent's of uid {owner}"))
    }

    /// The user whose agent a session is.
    pub(crate) fn owner_of(&self, session: &str) -> Option<u32> {
        self.order().owners.get(session).copied()
    }

    /// Puts a heartbeat into the log's queue, with what gaps there are.
    pub(crate) fn submit_heartbeat(
        &self,
        gaps: Vec<Body>,
        body: Heartbeat,
        key: &EpochKey,
    ) -> anyhow::Result<(Pending, Timestamp)> {
        let mut order = self.order();
        let (now, mono) = (self.clock)();
        let mut bodies: Vec<Body> = self.clock_jump(&mut order, now, mono).into_iter().chain(gaps).collect();
        bodies.extend(order.sequences.overdue(mono).iter().map(heartbeat::missing));
        let (source, seq) = order.next_own();
        let mut lines: Vec<_> =
            bodies.into_iter().map(|gap| self.own_record(&mut order.state, gap, None).to_line()).collect();
        let record = self.own_record(&mut order.state, Body::Heartbeat(body), None);
        lines.push(key.sealed(record.to_line()));
        Ok((self.submit(source, seq, lines, Vec::new())?, record.ts))
    }

    fn clock_jump(&self, order: &mut Order, now: Timestamp, mono: u64) -> Option<Body> {
        let (last_now, last_mono) = order.last_time.replace((now, mono))?;
        let drift = (i128::from(now.0) - i128::from(last_now.0)) - (i128::from(mono) - i128::from(last_mono));
        if drift.abs() <= CLOCK_TOLERANCE_NANOS {
            return None;
        }
        let (what, way) = if drift < 0 { ("clock_back", "back") } else { ("clock_forward", "forward") };
        Some(Body::Gap(Gap {
            what: what.to_owned(),
            detail: format!("the wall clock was set {way}: it said {last_now}, and now says {now}"),
            millis: Some((drift.unsigned_abs() / 1_000_000) as u64),
        }))
    }

    fn unparsed(
        &self,
        request: &Request,
        bytes: &[u8],
        arrival: &Arrival<'_>,
        state: &mut State,
        reason: &str,
    ) -> Captured {
        let body = Body::Unparsed(Unparsed { reason: reason.to_owned(), event: Some(request.event.clone()) });
        let mut record = self.own_record(state, body, Some(arrival.observed.clone()));
        let (reference, content) =
            self.content_key.seal("", "raw", "application/octet-stream", bytes.to_vec());
        record.content.push(reference);
        record.claimed =
            Some(Claimed { source: format!("{}:{}", request.runtime, request.event), ..Claimed::default() });
        Captured { records: vec![record], contents: vec![content], ..Captured::default() }
    }

    /// The file that an event is about, when it is one that the agent was made to read.
    fn attachment(&self, request: &Request) -> Option<Vec<u8>> {
        #[derive(serde::Deserialize)]
        struct Named {
            file_path: String,
        }
        if request.event != "InstructionsLoaded" || request.spooled != 0 {
            return None;
        }
        let named: Named = serde_json::from_slice(&request.payload).ok()?;
        let bytes = surroundings::read_small(Path::new(&named.file_path), ATTACHMENT_BYTES)?;
        Some(self.scrubber.scrub(&bytes, &self.content_key).bytes.into_owned())
    }

    /// How the recorder is; what agents did is not told to everybody.
    fn status(&self, whole: bool) -> Vec<u8> {
        let checkpoint = self.checkpoint();
        let stats = self.with_log(|log| Ok(log.stats())).unwrap_or_default();
        let desk = self.decider.desk();
        let waiting = |request: &&fdr_policy::approvals::Request| {
            request.standing == fdr_policy::approvals::Standing::Waiting
        };
        let approvals = desk.approvals.requests().into_iter().filter(waiting).count() as u64;
        let (tampering, newest_tampering) = desk.tampering.clone();
        drop(desk);
        let status = crate::control::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            mode: self.mode,
            records: self.size(),
            checkpoint: checkpoint.map(|checkpoint| checkpoint.size()),
            spooled: spool::waiting(self.home.front()).map_or(0, |waiting| waiting.len() as u64),
            connections: self.connections.load(Ordering::Relaxed) as u64,
            groups: stats.groups,
            heartbeat: self.heart.last(),
            witnessed: self.witnesses.as_ref().map(Witnesses::witnessed),
            witnesses: self.witnesses.as_ref().map_or_else(Vec::new, Witnesses::states),
            timestamps: self.timestamps.as_ref().map(|keeper| keeper.state()),
            sealed_segments: stats.sealed_segments,
            seal_problem: stats.seal_error,
            policy: self.decider.set().map(|set| set.hash().to_owned()),
            policy_problem: self.decider.problem(),
            approvals,
            tampering,
            newest_tampering: newest_tampering.filter(|_| whole),
        };
        serde_json::to_vec(&status).unwrap_or_default()
    }

    /// Takes in what was spooled while no recorder could be reached.
    pub(crate) fn ingest_spool(&self) -> anyhow::Result<()> {
        let _one_at_a_time = self.spooling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = spool::waiting(self.home.front())?;
        // What one user leaves must not keep the others' waiting for ever.
        waiting.truncate(MAX_SPOOLED_AT_ONCE);
        let mut oldest = u64::MAX;
        let mut taken = 0;
        for path in waiting {
            let (bytes, left_by) = match left(&path) {
                Ok(left) => left,
                Err(why) => (why.into_bytes(), surroundings::owner(&path)),
            };
            let decoded = wire::read_frame(&mut bytes.as_slice())
                .and_then(|body| Request::decode(&body.unwrap_or_default()));
            let request = decoded.unwrap_or_else(|error| {
                // Kept whole, as every input that can't be read.
                let mut request = Request::event("spool", "damaged", [0; 16], 0, bytes.clone());
                request.source.copy_from_slice(&path_digest(&path));
                crate::text::say!(
                    "warning: {} can't be read ({error}) and is recorded as unparsed",
                    path.display()
                );
                request
            });
            oldest = oldest.min(if request.spooled == 0 { u64::MAX } else { request.spooled });
            let response = self.record_of(request, None, None, left_by).context("the recorder ends")?;
            anyhow::ensure!(response.recorded, "{}", String::from_utf8_lossy(&response.stderr));
            std::fs::remove_file(&path)?;
            taken += 1;
        }
        if taken > 0 {
            let now = (self.clock)().0;
            let millis =
                Some(now.millis().saturating_sub(Timestamp(oldest).millis())).filter(|_| oldest != u64::MAX);
            self.record_own(vec![Body::Gap(Gap {
                what: "recorder_unreachable".to_owned(),
                detail: format!("{taken} events came while no recorder could be reached; they were spooled and taken in late"),
                millis,
            })])?;
        }
        Ok(())
    }
}

/// A message in the spool, and the user whose file it is.
fn left(path: &Path) -> Result<(Vec<u8>, Option<u32>), String> {
    // Anybody may have put anything there: neither a link nor a second name of another's file counts.
    let (bytes, uid) = surroundings::read_own(path, wire::MAX_FRAME_BYTES as u64 + 8)
        .map_err(|error| format!("{} can't be taken in: {error}", path.display()))?;
    Ok((bytes, Some(uid)))
}

/// Says of records about a spooled message when it was spooled, and what its hook did then.
fn mark_late(records: &mut [Record], request: &Request) {
    if request.spooled == 0 {
        return;
    }
    let denied = request.variable(wire::DENIED_VARIABLE);
    for record in records {
        if let (Some(reason), Body::Action(action)) = (denied, &mut record.body) {
            // No policy decided this, and none can be asked again.
            action.policy = PolicyDecision {
                decision: Verdict::Deny,
                reason: fdr_record::preview(&format!(
                    "its hook denied it, because it could not record it: {reason}"
                )),
                ..PolicyDecision::undecided(Mode::Enforce)
            };
        }
        let claimed = record.claimed.get_or_insert_with(Claimed::default);
        claimed.ts.get_or_insert(Timestamp(request.spooled));
    }
}

fn lines(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::to_line).collect()
}

/// Whether the log takes these records, each by itself and all in one batch.
fn fits(lines: &[Vec<u8>]) -> bool {
    lines.iter().all(|line| line.len() <= MAX_BYTES)
        && lines.iter().map(Vec::len).sum::<usize>() <= MAX_BATCH_BYTES
}

fn capture(
    request: &Request,
    span: Option<Span>,
    payload: &[u8],
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    if let Some(server) = request.runtime.strip_prefix("mcp:") {
        return mcp::message(server, &request.event, payload, arrival, state);
    }
    let Some(runtime) = fdr_capture::runtime(&request.runtime) else {
        let reason = format!("the runtime '{}' is not known", request.runtime);
        return fdr_capture::unparsed(&request.runtime, &request.event, payload, &reason, arrival, state);
    };
    match (span, runtime.import) {
        (None, _) => (runtime.hook)(&request.event, payload, arrival, state),
        (Some(span), Some(import)) => import(&span.chunk(&request.event, payload), arrival, state),
        (Some(_), None) => {
            let reason = format!("transcripts of '{}' can't be read", request.runtime);
            fdr_capture::unparsed(&request.runtime, &request.event, payload, &reason, arrival, state)
        }
    }
}

/// Reads the newest records; the time of the newest one is returned.
fn replay(
    reader: &Reader,
    mode: Mode,
    recovery: &Recovery,
    vault: &Vault,
    order: &mut Order,
) -> anyhow::Result<Option<Timestamp>> {
    let mut newest = None;
    for entry in reader.records(recovery.size.saturating_sub(REPLAYED_RECORDS)) {
        let entry = entry?;
        let key = (entry.source, entry.seq);
        let index = entry.index - u64::from(entry.position);
        // A record of a newer version is not understood, and changes nothing here.
        let mut record = Record::parse(&entry.bytes).ok();
        if let Some(record) = &mut record {
            // What was erased is not known any more.
            vault.ring().fill(record);
        }
        let before = order.answered.by_key.get(&key).filter(|answer| answer.index == index);
        let mut held = before.and_then(|answer| answer.held.clone());
        if let Some(record) = record {
            newest = Some(record.ts);
            held = held_before(&record, mode).or(held);
            order.state.observe(&record);
            order.learn(&record);
        }
        let answer = Answer { index, count: entry.batch_records, reply: Reply::default(), level: None, held };
        order.answered.insert(key, answer);
    }
    Ok(newest)
}

/// How the action was held of which this record tells, for the case that its hook asks again.
fn held_before(record: &Record, mode: Mode) -> Option<(String, Held)> {
    if let (Body::Unparsed(unparsed), Mode::Enforce) = (&record.body, mode) {
        let source = record.claimed.as_ref().map_or("", |claimed| claimed.source.as_str());
        let (runtime, event) = source.rsplit_once(':').unwrap_or((source, ""));
        let reason = format!("denied, because the call can't be read: {}", unparsed.reason);
        return reply::gates(runtime, event).then(|| (runtime.to_owned(), Held::Denied(reason)));
    }
    let runtime = record.agent.as_ref()?.runtime.clone();
    let held = match &record.body {
        Body::Action(body) if body.policy.mode == Mode::Enforce && body.approved.is_none() => {
            let reason = &body.policy.reason;
            match body.policy.decision {
                Verdict::Permit => return None,
                Verdict::Deny => Held::Denied(format!("denied: {reason}")),
                // Unless a request for the queue follows.
                Verdict::Ask => Held::Asked(format!("please confirm: {reason}")),
            }
        }
        Body::ApprovalRequest(asked) if asked.digest.is_some() => {
            Held::Queued(record.id, asked.reason.clone().unwrap_or_default())
        }
        _ => return None,
    };
    Some((runtime, held))
}

/// The session that a payload names.
struct Named {
    session: String,
    /// Whether it begins with this.
    begins: bool,
}

fn named_session(request: &Request, payload: &[u8]) -> Option<Named> {
    if request.runtime.starts_with("mcp:") {
        let session = request.variable(mcp::SESSION_VARIABLE)?.to_owned();
        return Some(Named { session, begins: request.event == "start" });
    }
    let (session, begins) = (fdr_capture::runtime(&request.runtime)?.session_of)(&request.event, payload)?;
    Some(Named { session, begins })
}

fn path_digest(path: &Path) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&fdr_log::leaf_hash(path.as_os_str().as_encoded_bytes())[..16]);
    digest
}

fn open_error(home: &Home, error: OpenError) -> anyhow::Error {
    let log = home.log();
    match error {
        OpenError::Locked { pid, since } => {
            let since = since.duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
            let since = Look::new(&LookArgs::default()).day_and_minute(Timestamp(since));
            anyhow::anyhow!(
                "can't open the log in {}: another recorder (pid {pid}, started {since}) holds it\n  \
                 to use that one:   fdr status\n  to stop it:        fdr stop",
                home.dir().display()
            )
        }
        OpenError::Damaged(damage) => anyhow::anyhow!(
            "the log in {} is damaged, nothing was changed: {damage}\n  \
             to see what is still proven:  fdr verify\n  \
             keep the folder as it is; a recorder can be started with another --home meanwhile",
            log.display()
        ),
        other => anyhow::Error::new(other).context(format!("can't open the log in {}", log.display())),
    }
}

/// Serves the folder's socket until it is told to stop.
///
/// # Errors
/// When the log or the socket can't be opened, and when the log can't be written any more.
pub fn serve(home: Home, config: &Config, announce: &mut dyn FnMut(&Recorder)) -> anyhow::Result<()> {
    let clock: Clock = Box::new(|| (surroundings::wall_clock(), surroundings::boot_clock()));
    keep_memory_private();
    let handed = fdr_hook::handed::listener();
    let is_handed = handed.is_some();
    let recorder = Arc::new(Recorder::open(home, config, clock)?);
    let listener = match handed {
        Some(listener) => {
            // A command of the configuration must not answer in the recorder's place.
            rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
            listener
        }
        None => bind(&recorder.home)?,
    };
    // One message that can't be taken in must not keep the recorder from starting.
    if let Err(error) = recorder.ingest_spool() {
        crate::text::say!("warning: can't take in the spool: {error:#}");
    }
    announce(&recorder);
    tell_systemd("READY=1");
    stop_on_signals(Arc::downgrade(&recorder))?;
    let housekeeper = std::thread::spawn({
        let recorder = Arc::clone(&recorder);
        move || housekeeping(&recorder)
    });
    // The machine's recorder can't read its users' files, who hand them over: see watch.rs.
    let watcher = (config.transcripts() && recorder.home.system().is_none()).then(|| {
        let recorder = Arc::clone(&recorder);
        std::thread::spawn(move || watch_transcripts(&recorder))
    });
    let heart = std::thread::spawn({
        let recorder = Arc::clone(&recorder);
        move || recorder.keep_beating()
    });
    let count = recorder.witnesses.as_ref().map_or(0, Witnesses::count);
    let couriers: Vec<_> = (0..count)
        .map(|number| {
            let recorder = Arc::clone(&recorder);
            std::thread::spawn(move || {
                if let Some(witnesses) = &recorder.witnesses {
                    witnesses.run(&recorder, number);
                }
            })
        })
        .collect();
    let stamper = recorder.timestamps.is_some().then(|| {
        let recorder = Arc::clone(&recorder);
        std::thread::spawn(move || {
            if let Some(keeper) = &recorder.timestamps {
                keeper.run(&recorder);
            }
        })
    });
    while !recorder.stopping.load(Ordering::SeqCst) {
        let (stream, _) = listener.accept()?;
        if recorder.stopping.load(Ordering::SeqCst) {
            break;
        }
        while recorder.connections.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            std::thread::sleep(Duration::from_millis(1));
        }
        recorder.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&recorder);
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            converse(&shared, stream);
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        });
        if let Err(error) = spawned {
            recorder.connections.fetch_sub(1, Ordering::SeqCst);
            crate::text::say!("warning: can't serve a connection: {error}");
        }
    }
    for thread in [Some(housekeeper), Some(heart), stamper, watcher].into_iter().flatten().chain(couriers) {
        thread.thread().unpark();
        let _ = thread.join();
    }
    if !is_handed {
        let _ = std::fs::remove_file(recorder.home.socket());
    }
    finish(&recorder)
}

fn finish(recorder: &Recorder) -> anyhow::Result<()> {
    recorder.last_beat()?;
    let log = recorder.log.write().unwrap_or_else(PoisonError::into_inner).take();
    let log = log.context("the log is closed already")?;
    log.sync_checkpoint()?;
    // Written before the log is let go: the next recorder looks for it.
    let path = recorder.home.stopped();
    std::fs::write(&path, log.size().to_string())
        .with_context(|| format!("can't write {}", path.display()))?;
    log.close()?;
    Ok(())
}

fn bind(home: &Home) -> anyhow::Result<UnixListener> {
    let path = home.socket();
    // Whoever holds the log's lock owns the socket: one that is there is left from a crash.
    let _ = std::fs::remove_file(&path);
    let listener =
        UnixListener::bind(&path).with_context(|| format!("can't listen on {}", path.display()))?;
    let mode = match home.system() {
        Some(system) => {
            std::os::unix::fs::chown(&path, None, Some(system.gid))
                .with_context(|| format!("can't give {} to the group {}", path.display(), system.group))?;
            0o660
        }
        None => 0o600,
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// No other program of the same user reads the keys out of this one's memory, or stops it with a
/// debugger: prctl(2), PR_SET_DUMPABLE.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Tells systemd how the service is (sd_notify(3)), if it started this one.
fn tell_systemd(state: &str) {
    let Some(path) =
        std::env::var_os("NOTIFY_SOCKET").filter(|path| path.as_encoded_bytes().starts_with(b"/"))
    else {
        return;
    };
    if let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() {
        let _ = socket.send_to(state.as_bytes(), path);
    }
}

fn converse(recorder: &Recorder, mut stream: UnixStream) {
    // Who connects has something to say; who keeps the connection may be silent afterwards.
    let _ = stream.set_read_timeout(Some(FIRST_MESSAGE));
    let mut is_first = true;
    loop {
        if !std::mem::replace(&mut is_first, false) {
            let _ = stream.set_read_timeout(None);
        }
        let body = match wire::read_frame(&mut stream) {
            Ok(Some(body)) => body,
            Ok(None) => return,
            Err(error) => {
                let _ = wire::write_frame(&mut stream, &Response::failed(error.to_string()).encode());
                return;
            }
        };
        let response = match Request::decode(&body) {
            Ok(request) => {
                drop(body);
                let peer = stream.try_clone().ok();
                match recorder.answer(request, peer.as_ref()) {
                    Some(response) => response,
                    None => return,
                }
            }
            Err(error) => Response::failed(error.to_string()),
        };
        let sent = wire::write_frame(&mut stream, &response.encode());
        if recorder.stopping.load(Ordering::SeqCst) {
            wake(recorder);
        }
        if sent.is_err() {
            return;
        }
    }
}

/// Ends the wait in `accept`.
fn wake(recorder: &Recorder) {
    let _ = UnixStream::connect(recorder.home.socket());
}

fn stop_on_signals(recorder: Weak<Recorder>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        if signals.forever().next().is_some()
            && let Some(recorder) = recorder.upgrade()
        {
            recorder.stopping.store(true, Ordering::SeqCst);
            wake(&recorder);
        }
    })?;
    Ok(())
}

fn watch_transcripts(recorder: &Recorder) {
    let mut watcher = Watcher::default();
    while !recorder.is_stopping() {
        std::thread::park_timeout(transcripts::INTERVAL);
        watcher.look(recorder);
    }
}

fn housekeeping(recorder: &Recorder) {
    while !recorder.stopping.load(Ordering::SeqCst) {
        std::thread::park_timeout(SPOOL_INTERVAL);
        // Whoever waits for the order of records for ever is not alive.
        drop(recorder.order());
        tell_systemd("WATCHDOG=1");
        if !recorder.stopping.load(Ordering::SeqCst) && !recorder.home.socket().exists() {
            // Nobody can reach this recorder any more, nor would it hear that it should stop.
            crate::text::say!(
                "error: {} was taken away; this recorder ends",
                recorder.home.socket().display()
            );
            let _ = finish(recorder);
            std::process::exit(2);
        }
        if let Err(error) = recorder.ingest_spool() {
            crate::text::say!("warning: can't take in the spool: {error:#}");
        }
        // If there is no room for more, there may be later.
        let _ = recorder.vault.refill();
        if let Err(error) = recorder.watch_policies() {
            crate::text::say!("warning: can't read the policies again: {error:#}");
        }
        if let Err(error) = recorder.watch_dictionaries() {
            crate::text::say!("warning: can't record a dictionary: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_record::{Kind, hex};
    use std::sync::atomic::AtomicU64;

    const START: u64 = 1_795_524_862_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    struct Bench {
        recorder: Recorder,
        wall: Arc<AtomicU64>,
        mono: Arc<AtomicU64>,
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::find(Some(dir.path())).unwrap();
            let (wall, mono) = (Arc::new(AtomicU64::new(START)), Arc::new(AtomicU64::new(0)));
            let clock: Clock = Box::new({
                let (wall, mono) = (Arc::clone(&wall), Arc::clone(&mono));
                move || (Timestamp(wall.load(Ordering::SeqCst)), mono.load(Ordering::SeqCst))
            });
            Bench { recorder: Recorder::open(home, &Config::default(), clock).unwrap(), wall, mono, dir }
        }

        fn pass(&self, wall_seconds: i64, mono_seconds: u64) {
            self.wall.fetch_add((wall_seconds * SECOND as i64) as u64, Ordering::SeqCst);
            self.mono.fetch_add(mono_seconds * SECOND, Ordering::SeqCst);
        }

        fn send(&self, seq: u64, payload: &str) -> Response {
            let (stream, _other) = UnixStream::pair().unwrap();
            let request = Request::event("claude-code", "PreToolUse", [1; 16], seq, payload.into());
            self.recorder.answer(request, Some(&stream)).expect("an answer")
        }

        fn call(&self, seq: u64) -> Response {
            self.send(seq, &format!(r#"{{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t{seq}","tool_input":{{"command":"ls"}}}}"#))
        }

        fn records(&self) -> Vec<Record> {
            let reader = Reader::open(&self.dir.path().join("log")).unwrap();
            let read = |entry: fdr_log::Entry| {
                let mut record = Record::parse(&entry.bytes).unwrap();
                self.recorder.vault.ring().fill(&mut record);
                record
            };
            reader.records(0).map(|entry| read(entry.unwrap())).collect()
        }
    }

    #[test]
    fn a_clock_that_jumps_is_recorded_and_ids_go_on_rising() {
        let bench = Bench::new();
        bench.call(0);
        bench.pass(10, 10);
        bench.call(1);
        bench.pass(-3600, 5);
        bench.call(2);
        bench.pass(7200, 5);
        bench.call(3);
        let records = bench.records();
        let gaps: Vec<&Gap> = records
            .iter()
            .filter_map(|record| match &record.body {
                Body::Gap(gap) => Some(gap),
                _ => None,
            })
            .collect();
        let seen: Vec<(&str, Option<u64>)> = gaps.iter().map(|gap| (gap.what.as_str(), gap.millis)).collect();
        assert_eq!(seen, [("clock_back", Some(3_605_000)), ("clock_forward", Some(7_195_000))]);
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        assert!(ids.is_sorted(), "ids rise although the clock went back");
        assert!(records.iter().map(|record| record.mono).is_sorted());
    }

    #[test]
    fn a_message_sent_twice_is_recorded_once_and_answered_the_same() {
        let bench = Bench::new();
        let (first, again) = (bench.call(7), bench.call(7));
        assert_eq!(first, again);
        assert_eq!(bench.records().iter().filter(|record| record.kind == Kind::Action).count(), 1);
    }

    #[test]
    fn a_secret_is_nowhere_in_the_log() {
        let bench = Bench::new();
        let secret = concat!("ghp_", "0123456789abcdefghijABCDEFGHIJ012345");
        bench.send(0, &format!(r#"{{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t","tool_input":{{"command":"curl -H 'Authorization: token {secret}' https://x"}}}}"#));
        let action = bench.records().pop().unwrap();
        assert_eq!(action.kind, Kind::Action);
        assert!(action.content.iter().any(|content| content.redacted > 0), "{action:?}");
        for entry in std::fs::read_dir(bench.dir.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{}", path.display());
        }
    }

    #[test]
    fn an_unknown_runtime_is_recorded_raw() {
        let bench = Bench::new();
        let (stream, _other) = UnixStream::pair().unwrap();
        let request = Request::event("from-the-future", "x", [2; 16], 0, b"abc".to_vec());
        assert!(bench.recorder.answer(request, Some(&stream)).expect("an answer").recorded);
        let record = bench.records().pop().unwrap();
        assert!(matches!(&record.body, Body::Unparsed(body) if body.reason.contains("from-the-future")));
        assert_eq!(record.content[0].len, 3);
    }

    #[test]
    fn a_damaged_spool_file_is_recorded_as_it_is_and_taken_away() {
        let bench = Bench::new();
        let folder = bench.dir.path().join("spool");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0-a-0.msg"), b"not a message").unwrap();
        bench.recorder.ingest_spool().unwrap();
        let records = bench.records();
        assert!(records.iter().any(|record| record.kind == Kind::Unparsed && record.content[0].len == 13));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn what_is_told_later_has_no_checkout_of_now() {
        let bench = Bench::new();
        let here = env!("CARGO_MANIFEST_DIR");
        let (stream, _other) = UnixStream::pair().unwrap();
        let mut request =
            Request::event("claude-code", "Notification", [3; 16], 0, br#"{"session_id":"s"}"#.to_vec());
        request.cwd = here.to_owned();
        bench.recorder.answer(request.clone(), Some(&stream));
        let at_once = bench.records().pop().unwrap().env.unwrap();
        (request.seq, request.spooled) = (1, 1);
        bench.recorder.answer(request, Some(&stream));
        let late = bench.records().pop().unwrap();
        assert_eq!(at_once.cwd.as_deref(), Some(here));
        let env = late.env.unwrap();
        assert_eq!((env.cwd, env.repo, env.commit, env.branch), (None, None, None, None));
        assert!(late.observed.unwrap().late);
    }

    #[test]
    fn what_the_log_would_not_take_does_not_fit() {
        assert!(fits(&vec![vec![b'x'; MAX_BYTES]; MAX_BATCH_BYTES / MAX_BYTES]));
        assert!(!fits(&[vec![b'x'; MAX_BYTES + 1]]));
        assert!(!fits(&vec![vec![b'x'; MAX_BYTES]; MAX_BATCH_BYTES / MAX_BYTES + 1]));
        // The bound is below what the log refuses.
        let bench = Bench::new();
        let full = vec![vec![b'x'; MAX_BYTES]; MAX_BATCH_BYTES / MAX_BYTES];
        assert!(bench.recorder.submit([5; 16], 0, full, Vec::new()).is_ok());
    }

    fn gaps(bench: &Bench) -> Vec<String> {
        let records = bench.records().into_iter();
        records
            .filter_map(|record| match record.body {
                Body::Gap(gap) => Some(format!("{}: {}", gap.what, gap.detail)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_transcript_is_read_as_it_grows_and_one_that_was_changed_is_a_finding() {
        let bench = Bench::new();
        let file = bench.dir.path().join("t.jsonl");
        let line = |n: u32, text: &str| {
            format!(
                "{{\"type\":\"user\",\"uuid\":\"u{n}\",\"sessionId\":\"s\",\"message\":{{\"content\":\"{text}\"}}}}\n"
            )
        };
        let append = |text: &str| {
            use std::io::Write as _;
            let mut file = std::fs::File::options().create(true).append(true).open(&file).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        bench.send(0, &format!(r#"{{"session_id":"s","hook_event_name":"SessionStart","source":"startup","transcript_path":"{}"}}"#, file.display()));
        let mut watcher = Watcher::default();
        let prompts = || bench.records().iter().filter(|record| record.kind == Kind::Prompt).count();
        watcher.look(&bench.recorder);
        append(&line(1, "one"));
        watcher.look(&bench.recorder);
        assert_eq!(prompts(), 1);
        let two = line(2, "two");
        let (begin, end) = two.split_at(20);
        append(begin);
        watcher.look(&bench.recorder);
        assert_eq!(prompts(), 1, "half a line is none");
        append(end);
        append(&line(3, "three"));
        watcher.look(&bench.recorder);
        assert_eq!(prompts(), 3);
        let size = bench.records().len();
        watcher.look(&bench.recorder);
        Watcher::default().look(&bench.recorder);
        assert_eq!(bench.records().len(), size, "nothing is new, to one that begins anew either");
        assert_eq!(gaps(&bench), [""; 0]);

        // Changed in place, with the length kept.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("two", "TWO")).unwrap();
        watcher.look(&bench.recorder);
        assert_eq!(gaps(&bench).len(), 1, "{:?}", gaps(&bench));
        assert!(gaps(&bench)[0].contains("line 2"), "{:?}", gaps(&bench));
        watcher.look(&bench.recorder);
        Watcher::default().look(&bench.recorder);
        assert_eq!(gaps(&bench).len(), 1, "it is said once");
        // Changed back, and gone.
        std::fs::write(&file, text).unwrap();
        watcher.look(&bench.recorder);
        assert_eq!(gaps(&bench).len(), 2);
        std::fs::remove_file(&file).unwrap();
        watcher.look(&bench.recorder);
        watcher.look(&bench.recorder);
        assert_eq!(gaps(&bench).len(), 3, "{:?}", gaps(&bench));
    }

    #[test]
    fn the_hook_and_the_capture_know_the_same_gates() {
        for runtime in fdr_capture::RUNTIMES {
            for event in fdr_capture::RUNTIMES.iter().flat_map(|other| other.gates) {
                let gates = reply::gates(runtime.name, event);
                assert_eq!(gates, runtime.gates.contains(event), "{} {event}", runtime.name);
            }
        }
    }

    #[test]
    fn two_path_digests_differ() {
        assert_ne!(hex(&path_digest(Path::new("a"))), hex(&path_digest(Path::new("b"))));
    }
}
