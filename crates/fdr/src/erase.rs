//! `fdr erase`: destroys the keys of sessions, so that their contents can't be read any more by anybody, wherever a copy
//! of the log is. The log itself is not touched: records, tree, checkpoints and proofs stay as they are.
//!
//! The order is fixed, and a crash anywhere is made good at the next start, from the journal `keys/erasing`: the journal
//! is durable, then the record `key.erased`, then the keys are destroyed, then what the recorder has derived from the
//! contents goes, then the journal. What is recorded of such a session afterwards is sealed under a new key.

use crate::admin::{Ask, ask};
use crate::durable;
use crate::home::Home;
use crate::keys::{Listed, Scope};
use crate::recorder::Recorder;
use crate::retain::{Holds, check_text};
use crate::text;
use anyhow::{Context, ensure};
use fdr_log::Reader;
use fdr_record::sealed::{self, Kid};
use fdr_record::{Body, KeyErased, Kind, Observed, Record, RecordId, Timestamp, hex, kind_of};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// `fdr erase`: destroys the keys of what was recorded, for ever.
///
/// Exit status: 0 it is erased, 1 it may not be, or there is nothing to erase, 2 it could not be done.
#[derive(Debug, clap::Args)]
pub struct EraseArgs {
    /// This session, by its whole id, with the sessions of its sub-agents.
    #[arg(long, value_name = "ID", required_unless_present = "subject", conflicts_with = "subject")]
    session: Option<String>,
    /// Every session of this person or service: the id or login name of a principal.
    #[arg(long, value_name = "WHO")]
    subject: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// On whose authority.
    #[arg(long)]
    authority: String,
    /// Say what would be erased, and erase nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What the recorder is asked to erase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EraseOrder {
    session: Option<String>,
    subject: Option<String>,
    reason: String,
    authority: String,
    dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is erased; or would be.
    Erased {
        /// The sessions.
        sessions: Vec<String>,
        /// Keys that were destroyed.
        keys: u64,
        /// Contents that nobody can read any more.
        contents: u64,
        /// Contents that had been recorded as they are, and stay.
        unsealed: u64,
    },
    /// It may not be.
    Held {
        /// The hold's name.
        hold: String,
        /// Who had it put.
        authority: String,
        /// What it holds.
        session: Option<String>,
    },
    /// There is nothing to be erased.
    Nothing(String),
}

/// Carries out the command.
///
/// # Errors
/// When the recorder can't be reached, or it could not be done.
pub fn run(args: EraseArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let EraseArgs { session, subject, reason, authority, dry_run } = args;
    match ask(home, &Ask::Erase(EraseOrder { session, subject, reason, authority, dry_run }))? {
        Outcome::Erased { sessions, keys, contents, unsealed } => {
            let word = if dry_run { "would erase" } else { "erased" };
            writeln!(
                out,
                "{word}: {} of {}, {}",
                text::counted(contents, "content"),
                text::counted(sessions.len() as u64, "session"),
                text::counted(keys, "key"),
            )?;
            for session in &sessions {
                writeln!(out, "  {}", text::line(session))?;
            }
            if unsealed > 0 {
                writeln!(
                    out,
                    "not erased: {} that had been recorded unsealed; they go when their records do (fdr retain)",
                    text::counted(unsealed, "content")
                )?;
            }
            if !dry_run {
                writeln!(
                    out,
                    "what stays: the records themselves (who, when, which action on what, and what was decided)\n\
                     to think of: backups of the keys, the agents' own transcripts, what was exported; see docs/erasure.md"
                )?;
            }
            Ok(0)
        }
        Outcome::Held { hold, authority, session } => {
            let what = session
                .map_or_else(|| "it".to_owned(), |session| format!("session {}", text::line(&session)));
            writeln!(
                out,
                "not erased: {what} is under the legal hold '{}' of {}\n  to see the holds:  fdr retain hold list",
                text::line(&hold),
                text::line(&authority)
            )?;
            Ok(1)
        }
        Outcome::Nothing(why) => {
            writeln!(out, "nothing to erase: {}", text::line(&why))?;
            Ok(1)
        }
    }
}

/// What has been erased, as the log tells.
#[derive(Debug, Default)]
pub struct Erased(HashMap<Kid, Erasure>);

/// One erasure.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// The record that tells of it.
    pub record: u64,
    reason: String,
    authority: String,
}

impl std::fmt::Display for Erasure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "erased by record {} ({}, on the authority of {})",
            self.record,
            text::line(&self.reason),
            text::line(&self.authority)
        )
    }
}

impl Erased {
    /// Takes a record in, if it is one of an erasure.
    pub fn see(&mut self, index: u64, bytes: &[u8]) {
        let Some(body) = read(bytes) else { return };
        for kid in body.kids.iter().filter_map(|kid| sealed::kid(kid)) {
            let (reason, authority) = (body.reason.clone(), body.authority.clone());
            self.0.insert(kid, Erasure { record: index, reason, authority });
        }
    }

    /// Those of a recorder's log.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(home: &Home) -> anyhow::Result<Erased> {
        let mut erased = Erased::default();
        if home.log().is_dir() {
            for entry in crate::home::open_reader(home)?.records(0).map_while(Result::ok) {
                erased.see(entry.index, &entry.bytes);
            }
        }
        Ok(erased)
    }

    /// What became of a key.
    pub fn of(&self, kid: &Kid) -> Option<&Erasure> {
        self.0.get(kid)
    }

    /// Keys that were erased and are there all the same.
    pub fn back(&self, keys: &[Listed]) -> Vec<String> {
        keys.iter().filter(|key| self.0.contains_key(&key.kid)).map(|key| hex(&key.kid)).collect()
    }
}

/// The body of a record of an erasure, by the recorder itself.
fn read(bytes: &[u8]) -> Option<KeyErased> {
    if kind_of(bytes) != Some(Kind::KeyErased.as_str()) {
        return None;
    }
    let record = Record::parse(bytes).ok()?;
    match record.body {
        Body::KeyErased(body) if record.session.is_none() => Some(body),
        _ => None,
    }
}

/// An erasure that is under way.
#[derive(Serialize, Deserialize)]
struct Journal {
    /// Records in the log when it began.
    size: u64,
    body: KeyErased,
    observed: Observed,
}

impl Journal {
    fn path(home: &Home) -> PathBuf {
        home.dir().join("keys/erasing")
    }

    fn read(path: &Path) -> anyhow::Result<Option<Journal>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    fn kids(&self) -> Vec<Kid> {
        self.body.kids.iter().filter_map(|kid| sealed::kid(kid)).collect()
    }
}

/// What is needed of a record to tell whose contents it has.
#[derive(Deserialize)]
struct Head<'a> {
    id: RecordId,
    kind: Kind,
    ts: Timestamp,
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
    agent: Option<HeadAgent>,
    principal: Option<HeadPrincipal>,
    observed: Option<HeadObserved>,
    #[serde(default)]
    content: Vec<HeadContent>,
}

#[derive(Deserialize)]
struct HeadAgent {
    id: String,
    parent: Option<String>,
}

#[derive(Deserialize)]
struct HeadPrincipal {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct HeadObserved {
    uid: Option<u32>,
}

#[derive(Deserialize)]
struct HeadContent {
    kid: Option<String>,
}

/// What the log says of one scope.
#[derive(Default)]
struct Told {
    /// Ids and names of principals.
    subjects: BTreeSet<String>,
    agents: HashSet<String>,
    parents: HashSet<String>,
    span: Option<(Timestamp, Timestamp)>,
    kids: BTreeMap<String, u64>,
    unsealed: u64,
    holds_newest_tampering: bool,
}

fn survey(reader: &Reader, tampering: Option<RecordId>) -> anyhow::Result<BTreeMap<Scope, Told>> {
    let mut told: BTreeMap<Scope, Told> = BTreeMap::new();
    for entry in reader.records(0) {
        let entry =
            entry.context("what belongs together can't be told: the log can't be read (see fdr verify)")?;
        let Ok(head) = serde_json::from_slice::<Head<'_>>(&entry.bytes) else { continue };
        let uid = head.observed.as_ref().and_then(|observed| observed.uid).map(|uid| format!("uid:{uid}"));
        let scope = match (&head.session, head.kind) {
            (Some(session), _) => Scope::Session(session.clone().into_owned()),
            (None, Kind::Unparsed) => {
                let id = head.principal.as_ref().map(|principal| principal.id.clone()).or(uid);
                Scope::Unparsed(id.unwrap_or_default())
            }
            _ => continue,
        };
        let of = told.entry(scope.clone()).or_default();
        if let Scope::Unparsed(id) = scope {
            of.subjects.insert(id);
        }
        if let Some(principal) = head.principal {
            of.subjects.extend([Some(principal.id), principal.name].into_iter().flatten());
        }
        if let Some(agent) = head.agent {
            of.agents.insert(agent.id);
            of.parents.extend(agent.parent);
        }
        of.span =
            Some(of.span.map_or((head.ts, head.ts), |(first, last)| (first.min(head.ts), last.max(head.ts))));
        for content in head.content {
            match content.kid {
                Some(kid) => *of.kids.entry(kid).or_default() += 1,
                None => of.unsealed += 1,
            }
        }
        of.holds_newest_tampering |= Some(head.id) == tampering;
    }
    Ok(told)
}

/// What is to be erased together.
fn choose(told: &BTreeMap<Scope, Told>, order: &EraseOrder) -> BTreeSet<Scope> {
    let mut chosen = BTreeSet::new();
    if let Some(session) = &order.session {
        chosen.extend(Some(Scope::Session(session.clone())).filter(|scope| told.contains_key(scope)));
    }
    if let Some(subject) = &order.subject {
        // One who is named is meant by the number too, which is all that is known of what could not be read.
        let mut names = BTreeSet::from([subject.as_str()]);
        for of in told.values().filter(|of| of.subjects.contains(subject)) {
            names.extend(of.subjects.iter().filter(|name| name.starts_with("uid:")).map(String::as_str));
        }
        let is_of = |scope: &Scope, of: &Told| match scope {
            Scope::Session(_) => of.subjects.contains(subject),
            Scope::Unparsed(id) => names.contains(id.as_str()),
        };
        chosen.extend(told.iter().filter(|(scope, of)| is_of(scope, of)).map(|(scope, _)| scope.clone()));
    }
    // A sub-agent may have a session of its own.
    loop {
        let agents: HashSet<&String> = chosen.iter().flat_map(|scope| &told[scope].agents).collect();
        let is_child = |of: &Told| of.parents.iter().any(|parent| agents.contains(parent));
        let more: Vec<Scope> = told
            .iter()
            .filter(|(scope, of)| is_child(of) && !chosen.contains(*scope))
            .map(|(scope, _)| scope.clone())
            .collect();
        if more.is_empty() {
            return chosen;
        }
        chosen.extend(more);
    }
}

fn held(holds: &Holds, chosen: &BTreeSet<Scope>, told: &BTreeMap<Scope, Told>) -> Option<Outcome> {
    for scope in chosen {
        let of = &told[scope];
        let session = match scope {
            Scope::Session(session) => Some(session.as_str()),
            Scope::Unparsed(_) => None,
        };
        let mut subjects: Vec<Option<&str>> =
            of.subjects.iter().map(|subject| Some(subject.as_str())).collect();
        if subjects.is_empty() {
            subjects.push(None);
        }
        if let Some(held) = subjects.iter().find_map(|subject| holds.blocks(session, *subject, of.span)) {
            return Some(Outcome::Held {
                hold: held.hold.id.clone(),
                authority: held.hold.authority.clone(),
                session: session.map(str::to_owned),
            });
        }
    }
    None
}

impl Recorder {
    /// Erases contents.
    pub(crate) fn erase(&self, order: &EraseOrder, observed: Observed) -> anyhow::Result<Outcome> {
        check_text("authority", &order.authority)?;
        check_text("reason", &order.reason)?;
        ensure!(
            order.session.is_some() != order.subject.is_some(),
            "say what is to be erased: a session, or a subject"
        );
        let _one_at_a_time = self.retaining();
        // What waits in the spool would be sealed under a new key afterwards.
        self.ingest_spool().context("the spool can't be taken in")?;
        let tampering = self.decider.desk().tampering.1.as_ref().map(|newest| newest.record);
        let reader = Reader::open(&self.home().log())?;
        let told = survey(&reader, tampering)?;
        let chosen = choose(&told, order);
        if chosen.is_empty() {
            let who = order.session.as_ref().map(|session| format!("session {session}"));
            let who = who.unwrap_or_else(|| order.subject.clone().unwrap_or_default());
            return Ok(Outcome::Nothing(format!("there is no record of {who}")));
        }
        if let Some(held) = held(&Holds::read(&reader)?, &chosen, &told) {
            return Ok(held);
        }
        let scopes: Vec<Scope> = chosen.iter().cloned().collect();
        let keys = self.vault().ring().kids_of(&scopes)?;
        let sum = |each: &dyn Fn(&Told) -> u64| chosen.iter().map(|scope| each(&told[scope])).sum::<u64>();
        let unsealed = sum(&|of| of.unsealed);
        if keys.is_empty() {
            let sealed = sum(&|of| of.kids.values().sum());
            return Ok(Outcome::Nothing(match (sealed, unsealed) {
                (0, 0) => "nothing was kept beside the records".to_owned(),
                (0, _) => format!(
                    "its {} had been recorded unsealed; they go when their records do (fdr retain)",
                    text::counted(unsealed, "content")
                ),
                _ => "it has been erased already, or its keys are lost".to_owned(),
            }));
        }
        let kids: BTreeSet<String> = keys.iter().map(|key| hex(&key.kid)).collect();
        let contents = sum(&|of| of.kids.iter().filter(|(kid, _)| kids.contains(*kid)).map(|(_, n)| n).sum());
        let name = |scope: &Scope| match scope {
            Scope::Session(session) => Some(session.clone()),
            Scope::Unparsed(_) => None,
        };
        let sessions = chosen.iter().filter_map(name).collect();
        let outcome = Outcome::Erased { sessions, keys: keys.len() as u64, contents, unsealed };
        if order.dry_run {
            return Ok(outcome);
        }
        if chosen.iter().any(|scope| told[scope].holds_newest_tampering)
            && let Some(newest) = &mut self.decider.desk().tampering.1
        {
            newest.summary = "(erased)".to_owned();
        }
        let mut bodies: Vec<KeyErased> = Vec::new();
        let mut room = 0;
        for scope in &chosen {
            let kids: Vec<String> =
                keys.iter().filter(|key| key.is_of(scope)).map(|key| hex(&key.kid)).collect();
            let session = name(scope);
            let takes = 64 * kids.len() + 2 * session.as_ref().map_or(0, String::len) + 8;
            if bodies.is_empty() || room < takes {
                room = MAX_NAMES_BYTES;
                bodies.push(KeyErased {
                    subject: order.subject.clone(),
                    reason: order.reason.clone(),
                    authority: order.authority.clone(),
                    ..KeyErased::default()
                });
            }
            room = room.saturating_sub(takes);
            let body = bodies.last_mut().expect("one was pushed");
            body.kids.extend(kids);
            body.sessions.extend(session);
        }
        for body in bodies {
            let journal = Journal { size: reader.len(), body, observed: observed.clone() };
            durable::write(&Journal::path(self.home()), &serde_json::to_vec(&journal)?)?;
            self.carry_out(&journal, false)?;
        }
        Ok(outcome)
    }

    /// Finishes an erasure that a crash came between.
    pub(crate) fn finish_erasing(&self) -> anyhow::Result<()> {
        let Some(journal) = Journal::read(&Journal::path(self.home()))? else { return Ok(()) };
        let reader = Reader::open(&self.home().log())?;
        let mut is_recorded = false;
        for entry in reader.records(journal.size.max(reader.first_index())) {
            is_recorded |= read(&entry?.bytes).is_some_and(|body| body.kids == journal.body.kids);
        }
        self.carry_out(&journal, is_recorded)
    }

    fn carry_out(&self, journal: &Journal, is_recorded: bool) -> anyhow::Result<()> {
        let kids = journal.kids();
        if !is_recorded {
            self.record_erasure(Body::KeyErased(journal.body.clone()), journal.observed.clone(), &kids)?;
        }
        self.vault()
            .destroy(&kids)
            .context("that it is erased is recorded; the next start goes on with it")?;
        self.purge(&journal.body.sessions, &kids);
        durable::destroy(&Journal::path(self.home()))
    }

    /// Destroys the keys of sessions of which no record is left.
    pub(crate) fn destroy_keys_of(&self, sessions: &[String]) -> anyhow::Result<()> {
        let scopes: Vec<Scope> = sessions.iter().cloned().map(Scope::Session).collect();
        let kids: Vec<Kid> = self.vault().ring().kids_of(&scopes)?.iter().map(|key| key.kid).collect();
        self.vault().destroy(&kids)
    }
}

/// Room for the names of keys and sessions in one record, which has 64 KiB; more take several records.
const MAX_NAMES_BYTES: usize = 40 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Session, its subjects, agents and parents.
    type Entry<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

    fn told(entries: &[Entry<'_>]) -> BTreeMap<Scope, Told> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        let of = |(session, subjects, agents, parents): &Entry<'_>| {
            let scope = match session.strip_prefix('?') {
                Some(id) => Scope::Unparsed(id.to_owned()),
                None => Scope::Session((*session).to_owned()),
            };
            let told = Told {
                subjects: set(subjects).into_iter().collect(),
                agents: set(agents),
                parents: set(parents),
                span: Some((Timestamp(1), Timestamp(2))),
                ..Told::default()
            };
            (scope, told)
        };
        entries.iter().map(of).collect()
    }

    fn order(session: Option<&str>, subject: Option<&str>) -> EraseOrder {
        EraseOrder {
            session: session.map(str::to_owned),
            subject: subject.map(str::to_owned),
            reason: String::new(),
            authority: String::new(),
            dry_run: false,
        }
    }

    #[test]
    fn sub_agents_go_with_their_session_and_unread_messages_with_their_sender() {
        let told = told(&[
            ("a", &["uid:1", "alice"], &["a", "a-sub"], &["a"]),
            ("child", &["uid:1", "alice"], &["child"], &["a"]),
            ("grandchild", &["uid:1"], &["grandchild"], &["child"]),
            ("b", &["uid:2", "bob"], &["b"], &[]),
            ("?uid:1", &["uid:1"], &[], &[]),
            ("?uid:2", &["uid:2"], &[], &[]),
        ]);
        let chosen = |order: EraseOrder| -> Vec<String> {
            choose(&told, &order)
                .into_iter()
                .map(|scope| match scope {
                    Scope::Session(id) => id,
                    Scope::Unparsed(id) => format!("?{id}"),
                })
                .collect()
        };
        assert_eq!(chosen(order(Some("a"), None)), ["a", "child", "grandchild"]);
        assert_eq!(chosen(order(Some("child"), None)), ["child", "grandchild"]);
        assert_eq!(chosen(order(Some("chil"), None)), [""; 0], "a part of an id is none");
        assert_eq!(chosen(order(None, Some("alice"))), ["a", "child", "grandchild", "?uid:1"]);
        assert_eq!(chosen(order(None, Some("uid:2"))), ["b", "?uid:2"]);
        assert_eq!(chosen(order(None, Some("carol"))), [""; 0]);
    }
}
