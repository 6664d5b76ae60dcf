//! `fdr reconcile`: joins what hooks, transcript and MCP proxy tell of one session, says which of
//! them saw each action, and what they tell against each other.
//!
//! The same search gives the line on completeness of `fdr show`, there on the records alone: it
//! reads no transcript again, and of contents only those of which the records say that they differ.

mod calls;
mod compare;
mod findings;
mod transcript;

use crate::home::Home;
use crate::line::{self, Places};
use crate::show;
use crate::table::{Align, Cell, Table};
use crate::text::{self, Look, LookArgs, Tone, counted};
use crate::trail::{self, Row, SessionView, Trail};
use calls::{Call, Calls, Source, content_of, event_of, is_of_proxy};
use fdr_record::{Body, Outcome, Timestamp};
use findings::{Evidence, Finding, Found, Name};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use transcript::{Standing, Transcript};

/// The records of a finding that are listed in text.
const MAX_LISTED: usize = 12;
/// Widest columns of the table of actions.
const MAX_ACTION_COLUMNS: usize = 48;

/// Options of `fdr reconcile`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReconcileArgs {
    /// A session: the beginning of its id
    #[arg(value_name = "SESSION")]
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How it looks
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs `fdr reconcile`; 0 if the sources agree, 1 if something is found, 2 if it could not be done.
///
/// # Errors
/// When the log can't be read.
pub fn run(args: &ReconcileArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(reconcile(args, home, &mut BufWriter::new(out)))
}

fn reconcile(args: &ReconcileArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let trail = Trail::open(home.dir())?;
    let session = match show::session_of(&trail, args.id.trim())? {
        Ok(session) => session,
        Err(message) => {
            crate::text::say!("error: {message}");
            return Ok(trail.finish(trail::COULD_NOT));
        }
    };
    let view = with_servers(&trail, trail.session(&session)?)?;
    let content = |row: &Row, role: &str| content(&trail, row, role);
    let transcripts = transcript::read(&view, &trail, home);
    let mut calls = Calls::new(&view);
    let mut transcripts = transcripts;
    for transcript in &mut transcripts {
        let written = std::mem::take(&mut transcript.written);
        let runtime = runtime_of(&view, &transcript.session);
        calls.join(written, &runtime, &mut |call, written| {
            let arguments = call.action.and_then(|at| content(&view.rows[at], "args"));
            call.tool == written.tool
                && arguments.is_some_and(|own| compare::same_arguments(&own, &written.arguments, false))
        });
    }
    join_proxied(&mut calls, &view, true, &content);
    let now = text::now();
    let evidence =
        Evidence { view: &view, calls: &calls, transcripts: Some(&transcripts), content: &content, now };
    let found = findings::find(&evidence);
    let report = Report { view: &view, calls: &calls, transcripts: &transcripts, found: &found };
    match args.json {
        true => writeln!(
            out,
            "{}",
            String::from_utf8_lossy(&text::json_line(report.json().to_string().as_bytes()))
        )?,
        false => report.write(&look, out)?,
    }
    out.flush()?;
    Ok(trail.finish(if found.findings.is_empty() { trail::FOUND } else { trail::NOTHING }))
}

fn content(trail: &Trail, row: &Row, role: &str) -> Option<Vec<u8>> {
    let reference = content_of(row, role)?;
    trail.content(row.index, reference).ok().flatten().map(|content| content.bytes)
}

fn runtime_of(view: &SessionView, session: &str) -> String {
    let of = |row: &Row| {
        let agent = row.record()?.agent.as_ref()?;
        (row.session() == Some(session)).then(|| agent.runtime.clone())
    };
    view.rows.iter().find_map(of).unwrap_or_default()
}

/// Joins what the proxy saw. Where it makes no difference for what is found, as with calls that their
/// hooks say ran, the arguments need not be compared if it is not to be `exact`: for that, contents
/// have to be read.
fn join_proxied(
    calls: &mut Calls,
    view: &SessionView,
    exact: bool,
    content: &dyn Fn(&Row, &str) -> Option<Vec<u8>>,
) {
    calls.join_proxied(view, &mut |call, proxied| {
        if !exact && matches!(call.facts.outcome, Some(Outcome::Ok | Outcome::Error)) {
            return true;
        }
        let own = call.action.and_then(|at| content(&view.rows[at], "args"));
        let own = own.or_else(|| Some(call.written.as_ref()?.arguments.clone()));
        let theirs = content(&view.rows[proxied.action], "args").unwrap_or_else(|| b"{}".to_vec());
        own.is_some_and(|own| compare::same_arguments(&own, &theirs, false))
    });
}

/// Adds the sessions with MCP servers that went on at the same time and of which it is not known
/// whose they are: a runtime may not tell a server which session it belongs to.
fn with_servers(trail: &Trail, view: SessionView) -> anyhow::Result<SessionView> {
    let stored = || view.rows.iter().filter(|row| row.session().is_some()).map(|row| row.index);
    let (Some(first), Some(last)) = (stored().min(), stored().max()) else { return Ok(view) };
    let mut servers: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let needle = memchr::memmem::Finder::new(b"\"runtime\":\"mcp:");
    trail.scan(first.saturating_sub(MCP_BEFORE), last + 1, |entry| {
        if needle.find(&entry.bytes).is_some() {
            let row = trail.read(entry);
            let agent = row.record().and_then(|record| record.agent.as_ref());
            if let Some(agent) = agent.filter(|agent| agent.parent.is_none()) {
                servers.entry(agent.id.clone()).or_default().push(row);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let known: BTreeSet<u64> = view.rows.iter().map(|row| row.index).collect();
    let more: Vec<Row> = servers.into_values().flatten().filter(|row| !known.contains(&row.index)).collect();
    Ok(if more.is_empty() { view } else { view.with(more) })
}

/// How many records before the first one of a session a server's may have begun.
const MCP_BEFORE: u64 = 64;

/// How complete the record of a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Completeness {
    /// Actions that any source tells of.
    actions: usize,
    /// Of these, seen by two sources or more.
    confirmed: usize,
    /// Seen by one source alone, by source.
    alone: BTreeMap<Source, usize>,
    /// Which sources confirm, and how many at least and at most.
    by: BTreeSet<Source>,
    fewest: usize,
    most: usize,
    /// Of which it is not known what came of them.
    open: usize,
}

impl Completeness {
    fn new<'c>(all_calls: &Calls, calls: impl Iterator<Item = &'c Call>) -> Completeness {
        let mut all = Completeness { fewest: usize::MAX, ..Completeness::default() };
        for call in calls {
            let sources = call.sources();
            all.actions += 1;
            let written = call.written.as_ref().and_then(|written| written.outcome);
            let proxied = call.proxied.and_then(|number| all_calls.proxied[number].outcome);
            all.open += usize::from(call.facts.outcome.or(written).or(proxied).is_none());
            match sources.as_slice() {
                [] => {}
                [alone] => *all.alone.entry(*alone).or_default() += 1,
                several => {
                    all.confirmed += 1;
                    (all.fewest, all.most) = (all.fewest.min(several.len()), all.most.max(several.len()));
                    all.by.extend(several);
                }
            }
        }
        all
    }

    /// `27 of 27 actions, confirmed by 2 sources (hook, transcript); no finding`.
    fn line(&self, findings: usize) -> String {
        let named = |sources: &mut dyn Iterator<Item = &Source>| {
            sources.map(|source| source.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        if self.actions == 0 {
            parts.push("no actions".to_owned());
        } else if self.confirmed > 0 {
            let how_many = match self.most > self.fewest {
                true => format!("{} sources or more", self.fewest),
                false => format!("{} sources", self.fewest),
            };
            let by = named(&mut self.by.iter());
            parts.push(format!(
                "{} of {}, confirmed by {how_many} ({by})",
                self.confirmed,
                counted(self.actions as u64, "action")
            ));
            let alone =
                |(source, count): (&Source, &usize)| format!("{count} seen by the {} alone", source.as_str());
            parts.extend(self.alone.iter().map(alone));
        } else {
            let by = named(&mut self.alone.keys());
            parts.push(format!("{}, seen by the {by} alone", counted(self.actions as u64, "action")));
        }
        if self.open > 0 {
            parts.push(format!("{} without an outcome", self.open));
        }
        parts.push(match findings {
            0 => "no finding".to_owned(),
            some => counted(some as u64, "finding"),
        });
        parts.join("; ")
    }
}

/// The line on completeness for a session's timeline, from the records alone, and whether there is
/// something to look at. `root` is the agent whose part is shown.
pub fn completeness(view: &SessionView, trail: &Trail, root: usize) -> (String, bool) {
    let content = |row: &Row, role: &str| content(trail, row, role);
    let mut calls = Calls::new(view);
    join_proxied(&mut calls, view, false, &content);
    let evidence = Evidence { view, calls: &calls, transcripts: None, content: &content, now: text::now() };
    let found = findings::find(&evidence);
    let is_below = |at: usize| root == 0 || view.is_below(&view.rows[at], root);
    let concerned = found.findings.iter().filter(|finding| finding.rows.iter().any(|at| is_below(*at)));
    let shown = calls.list.iter().filter(|call| {
        let first = call.action.or_else(|| call.after.first().copied());
        first.is_none_or(is_below)
    });
    let findings = concerned.count();
    (Completeness::new(&calls, shown).line(findings), findings > 0)
}

struct Report<'r> {
    view: &'r SessionView,
    calls: &'r Calls,
    transcripts: &'r [Transcript],
    found: &'r Found,
}

impl Report<'_> {
    fn completeness(&self) -> Completeness {
        Completeness::new(self.calls, self.calls.list.iter())
    }

    fn index(&self, at: usize) -> u64 {
        self.view.rows[at].index
    }

    /// Positions of the findings on a call, from 1.
    fn findings_on(&self, number: usize) -> Vec<usize> {
        let on = |(_, finding): &(usize, &Finding)| finding.calls.contains(&number);
        self.found.findings.iter().enumerate().filter(on).map(|(at, _)| at + 1).collect()
    }

    fn records_by_hook(&self) -> u64 {
        let by_hook = |row: &&Row| row.record().and_then(event_of).is_some();
        self.view.rows.iter().filter(by_hook).count() as u64
    }

    /// The processes that hook events came from, as the recorder observed them.
    fn processes(&self) -> BTreeSet<String> {
        let process = |row: &Row| {
            let observed = row.record().filter(|record| event_of(record).is_some())?.observed.as_ref()?;
            Some(format!("{} (pid {})", observed.exe.as_deref().unwrap_or("unknown"), observed.pid?))
        };
        self.view.rows.iter().filter_map(process).collect()
    }

    fn servers(&self) -> BTreeMap<&str, u64> {
        let mut servers = BTreeMap::new();
        for proxied in &self.calls.proxied {
            *servers.entry(proxied.server.as_str()).or_default() += 1;
        }
        servers
    }

    fn json(&self) -> Value {
        let all = self.completeness();
        let ids = |rows: &mut dyn Iterator<Item = usize>| -> Vec<Value> {
            rows.map(|at| json!({"index": self.index(at), "id": self.view.rows[at].id()})).collect()
        };
        let actions = self.calls.list.iter().enumerate().map(|(number, call)| {
            let written = call.written.as_ref();
            let outcome = call.facts.outcome.or(written.and_then(|written| written.outcome));
            let proxied = call.proxied.map(|number| &self.calls.proxied[number]);
            json!({
                "session": call.session,
                "agent": call.agent,
                "call": Some(&call.id).filter(|_| !call.is_unnamed()),
                "tool": call.tool,
                "time": call.when,
                "record": call.action.map(|at| self.index(at)),
                "outcome": outcome,
                "sources": call.sources().iter().map(|source| source.as_str()).collect::<Vec<_>>(),
                "hook": {"before": call.before.is_some(), "after": !call.after.is_empty() || !call.shown.is_empty()},
                "transcript": {
                    "asked": call.asked.is_some() || written.is_some(),
                    "told": call.told.is_some() || written.is_some_and(|written| written.result.is_some()),
                    "file": written.map(|written| &written.file),
                    "line": written.map(|written| written.line),
                },
                "proxy": proxied.map(|proxied| json!({
                    "server": proxied.server, "record": self.index(proxied.action), "outcome": proxied.outcome,
                })),
                "findings": self.findings_on(number),
            })
        });
        let findings = self.found.findings.iter().map(|finding| {
            json!({
                "name": finding.name.as_str(),
                "said": finding.said,
                "proves": finding.name.proves(),
                "does_not_prove": finding.name.proves_not(),
                "records": ids(&mut finding.rows.iter().copied()),
                "calls": finding.calls.iter().map(|number| &self.calls.list[*number].id).collect::<Vec<_>>(),
                "transcript": finding.places,
            })
        });
        let transcripts = self.transcripts.iter().map(|transcript| {
            let (standing, line, why) = match &transcript.standing {
                Standing::AsRecorded => ("as_recorded", None, None),
                Standing::Grown => ("grown", None, None),
                Standing::Changed(line) => ("changed", Some(*line), None),
                Standing::NotRecorded => ("not_recorded", None, None),
                Standing::Gone => ("gone", None, None),
                Standing::Unreadable(why) => ("unreadable", None, Some(why)),
            };
            json!({
                "file": transcript.file, "session": transcript.session, "lines": transcript.lines,
                "standing": standing, "changed_from_line": line, "why": why,
            })
        });
        json!({
            "session": self.view.id,
            "result": if self.found.findings.is_empty() { "clean" } else { "findings" },
            "completeness": {
                "line": all.line(self.found.findings.len()),
                "actions": all.actions,
                "confirmed": all.confirmed,
                "seen_by_one": all.alone.iter().map(|(source, count)| (source.as_str(), *count)).collect::<BTreeMap<_, _>>(),
                "without_outcome": all.open,
            },
            "sources": {
                "hook": {"records": self.records_by_hook(), "processes": self.processes()},
                "transcript": transcripts.collect::<Vec<_>>(),
                "proxy": self.servers(),
            },
            "actions": actions.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "notes": self.found.notes,
        })
    }

    fn write(&self, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
        let records = || self.view.rows.iter().filter(|row| !is_of_proxy(row)).filter_map(Row::record);
        let agent =
            records().find_map(|record| record.agent.as_ref().filter(|agent| agent.id == self.view.id));
        let agent = agent.or_else(|| records().find_map(|record| record.agent.as_ref()));
        let name = agent.map_or("unknown agent".to_owned(), line::agent_name);
        let findings = self.found.findings.len();
        writeln!(out, "session {}  {name}", line::short(&self.view.id))?;
        let tone = if findings > 0 { Tone::Warn } else { Tone::Good };
        let line = self.completeness().line(findings);
        for line in text::wrap(&line, look.width) {
            writeln!(out, "{}", look.paint(tone, &line))?;
        }
        writeln!(out)?;
        self.write_sources(look, out)?;
        if !self.calls.list.is_empty() {
            writeln!(out)?;
            self.table(look).write(look, out)?;
        }
        for (number, finding) in self.found.findings.iter().enumerate() {
            self.write_finding(number + 1, finding, look, out)?;
        }
        if !self.found.notes.is_empty() {
            writeln!(out)?;
        }
        for note in &self.found.notes {
            for line in text::wrap(&format!("note  {}", text::line(note)), look.width) {
                writeln!(out, "{}", look.paint(Tone::Dim, &line))?;
            }
        }
        Ok(())
    }

    /// What each source is, and how it is known.
    fn write_sources(&self, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        let by_hook = self.records_by_hook();
        let from: Vec<String> = self.processes().into_iter().collect();
        lines.push(("hook", match by_hook {
            0 => "not observed".to_owned(),
            some => format!(
                "{}; what they say is claimed by the client, that they came from {} is observed by the recorder",
                counted(some, "record"),
                if from.is_empty() { "somewhere is not".to_owned() } else { from.join(", ") }
            ),
        }));
        if self.transcripts.is_empty() {
            lines.push(("transcript", "not observed".to_owned()));
        }
        for transcript in self.transcripts {
            let standing = match &transcript.standing {
                Standing::AsRecorded => "as it was read".to_owned(),
                Standing::Grown => "as it was read, and longer now".to_owned(),
                Standing::Changed(line) => format!("CHANGED since it was read, from line {line} on"),
                Standing::NotRecorded => "not read before".to_owned(),
                Standing::Gone => "not there any more".to_owned(),
                Standing::Unreadable(why) => format!("can't be read: {why}"),
            };
            let lines_of = counted(transcript.lines, "line");
            lines.push((
                "transcript",
                format!("{}, {lines_of}: {standing}; claimed by the client", transcript.file),
            ));
        }
        let servers: Vec<String> = self
            .servers()
            .into_iter()
            .map(|(server, count)| format!("{server} ({})", counted(count, "call")))
            .collect();
        lines.push((
            "proxy",
            match servers.is_empty() {
                true => "not observed".to_owned(),
                false => format!("{}; observed by the recorder", servers.join(", ")),
            },
        ));
        for (source, said) in lines {
            let indent = 12;
            for (at, line) in
                text::wrap(&text::line(&said), look.width.saturating_sub(indent)).iter().enumerate()
            {
                let label = if at == 0 { source } else { "" };
                writeln!(out, "{}{line}", look.paint(Tone::Strong, &text::pad(label, indent)))?;
            }
        }
        Ok(())
    }

    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&[
            ("RECORD", Align::Left, 10),
            ("AT", Align::Left, 8),
            ("HOOK", Align::Left, 14),
            ("TRANSCRIPT", Align::Left, 12),
            ("PROXY", Align::Left, 12),
            ("ACTION", Align::Left, MAX_ACTION_COLUMNS),
            ("OUTCOME", Align::Left, 12),
            ("FINDING", Align::Left, 12),
        ]);
        let of_main = |record: &&fdr_record::Record| Places::of(record).cwd.is_some();
        let places = self.view.rows.iter().filter_map(Row::record).find(of_main).map(Places::of);
        let places = places.unwrap_or_default();
        for (number, call) in self.calls.list.iter().enumerate() {
            let written = call.written.as_ref();
            let seen = |before: bool, after: bool| match (before, after) {
                (true, true) => Cell::plain("before, after"),
                (true, false) => Cell::plain("before"),
                (false, true) => Cell::new(Tone::Warn, "after"),
                (false, false) => Cell::new(Tone::Dim, "not observed"),
            };
            let hook = seen(call.before.is_some(), !call.after.is_empty() || !call.shown.is_empty());
            let asked = call.asked.is_some() || written.is_some();
            let transcript = match (asked, call.told.is_some() || written.is_some_and(|w| w.result.is_some()))
            {
                (true, true) => Cell::plain("asked, told"),
                (true, false) => Cell::plain("asked"),
                (false, true) => Cell::plain("told"),
                (false, false) => Cell::new(Tone::Dim, "not observed"),
            };
            let proxy = match call.proxied {
                Some(_) => Cell::plain("observed"),
                None => Cell::new(Tone::Dim, "not observed"),
            };
            let action = match call.action.and_then(|at| self.view.rows[at].body()) {
                Some(Body::Action(body)) => {
                    format!("{} {}", line::verb_of(body), line::resource_of(body, &places).0)
                }
                _ => call.tool.clone(),
            };
            let outcome = call.facts.outcome.or(written.and_then(|written| written.outcome));
            let findings: Vec<String> = self.findings_on(number).iter().map(usize::to_string).collect();
            table.push(vec![
                Cell::plain(call.action.map(|at| format!("@{}", self.index(at))).unwrap_or_default()),
                Cell::plain(if call.when == Timestamp(0) { String::new() } else { look.clock(call.when) }),
                hook,
                transcript,
                proxy,
                Cell::plain(action),
                Cell::plain(outcome.map_or("not known", |outcome| outcome.as_str())),
                Cell::new(Tone::Bad, findings.join(", ")),
            ]);
        }
        table
    }

    fn write_finding(
        &self,
        number: usize,
        finding: &Finding,
        look: &Look,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let name: Name = finding.name;
        writeln!(out, "\n{}", look.paint(Tone::Bad, &format!("finding {number}  {}", name.as_str())))?;
        let mut where_it_is: Vec<String> =
            finding.rows.iter().map(|at| format!("@{}", self.index(*at))).collect();
        let more = where_it_is.len().saturating_sub(MAX_LISTED);
        where_it_is.truncate(MAX_LISTED);
        if more > 0 {
            where_it_is.push(format!("and {more} more"));
        }
        let places: Vec<String> = finding
            .places
            .iter()
            .take(MAX_LISTED)
            .map(|place| format!("{}:{}", place.file, place.line))
            .collect();
        let lines = [
            ("", finding.said.clone()),
            ("records", if where_it_is.is_empty() { "none".to_owned() } else { where_it_is.join(" ") }),
            ("transcript", places.join(" ")),
            ("proves", name.proves().to_owned()),
            ("not proven", name.proves_not().to_owned()),
        ];
        for (label, said) in lines.iter().filter(|(_, said)| !said.is_empty()) {
            let indent = 14;
            for (at, line) in
                text::wrap(&text::line(said), look.width.saturating_sub(indent)).iter().enumerate()
            {
                let label = if at == 0 { format!("  {label}") } else { String::new() };
                writeln!(out, "{}{line}", look.paint(Tone::Dim, &text::pad(&label, indent)))?;
            }
        }
        Ok(())
    }
}
