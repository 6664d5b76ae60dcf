//! `fdr sessions`: what ran, how it ended, and what needs a look.

use crate::filter::{Glob, parse_time, words};
use crate::line;
use crate::table::{Align, Cell, Table};
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::{self, Brief, Facts, Requests, Row, Trail, concern_of};
use fdr_log::Entry;
use fdr_record::{Body, Kind, RecordId, Status, Timestamp};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// Sessions that the table shows where no limit is given.
const DEFAULT_LIMIT: usize = 30;
/// A session without an end counts as running this long after its newest record.
const RUNNING_MS: u64 = 3_600_000;
/// Columns that the prompt may take.
const PROMPT_COLUMNS: usize = 72;

const STATUSES: [Status; 6] =
    [Status::Running, Status::Success, Status::Failed, Status::Denied, Status::Interrupted, Status::Unknown];

/// Options of `fdr sessions`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SessionsArgs {
    /// Only with this status: running, success, failed, denied, interrupted, unknown
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub status: Vec<String>,
    /// Only of the agent with this name, or whose id begins so
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Only of this runtime: claude-code, codex, 'mcp:*' …
    #[arg(long, value_name = "GLOB")]
    pub runtime: Option<String>,
    /// Only begun since: -7d, -2h, today, yesterday, 2026-11-24, or RFC 3339
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only those that need a look
    #[arg(long)]
    pub only_attention: bool,
    /// Show the newest N; 0 for all [default: 30, with --json all]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// One JSON object a line and session
    #[arg(long)]
    pub json: bool,
    /// How it looks
    #[command(flatten)]
    pub look: LookArgs,
}

/// One agent's part of a session.
#[derive(Debug, Serialize)]
struct Summary {
    session: String,
    agent: String,
    name: String,
    runtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    started: Timestamp,
    newest: Timestamp,
    status: Status,
    records: u64,
    first_index: u64,
    last_index: u64,
    actions: u64,
    denied: u64,
    attention: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip)]
    end: Option<(Status, Timestamp)>,
    /// When the prompt was given.
    #[serde(skip)]
    prompted: Timestamp,
}

impl Summary {
    fn new(session: &str, agent: &str, when: Timestamp, index: u64) -> Summary {
        Summary {
            session: session.to_owned(),
            agent: agent.to_owned(),
            name: String::new(),
            runtime: String::new(),
            parent: None,
            model: None,
            started: when,
            newest: when,
            status: Status::Unknown,
            records: 0,
            first_index: index,
            last_index: index,
            actions: 0,
            denied: 0,
            attention: 0,
            prompt: None,
            end: None,
            prompted: when,
        }
    }

    /// It went on after it had ended; not so if this is only told later.
    fn begin_again(&mut self, when: Timestamp) {
        self.end = self.end.filter(|(_, at)| *at > when);
    }

    /// Takes in what a record says about its agent; what it doesn't say stays.
    fn learn(&mut self, name: &str, runtime: &str, model: Option<&str>, parent: Option<&str>) {
        let update = |known: &mut String, said: &str| {
            if known != said {
                said.clone_into(known);
            }
        };
        update(&mut self.name, name);
        update(&mut self.runtime, runtime);
        if let Some(model) = model {
            update(self.model.get_or_insert_default(), model);
        }
        if let Some(parent) = parent {
            update(self.parent.get_or_insert_default(), parent);
        }
    }
}

fn owner(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Sums up a whole log; memory is a few dozen bytes for each action.
#[derive(Default)]
struct Tally {
    summaries: Vec<Summary>,
    /// Session, agent: position in `summaries`.
    by_agent: HashMap<String, HashMap<String, usize>>,
    /// What is known of each action, and whose it is.
    actions: HashMap<RecordId, (u32, Facts)>,
    requests: Requests,
    /// Results that no action is named for.
    loose: Vec<(u32, Facts)>,
}

impl Tally {
    fn add(&mut self, trail: &Trail, entry: Entry) {
        if let Some(brief) = Brief::read(&entry.bytes) {
            self.add_brief(&brief, entry.index);
        } else {
            self.add_row(&trail.read(entry));
        }
    }

    fn add_brief(&mut self, brief: &Brief<'_>, index: u64) {
        let Some(session) = brief.session else { return };
        let at =
            self.at(session, brief.agent.as_ref().map_or(session, |agent| agent.id), brief.when(), index);
        if let Some(agent) = &brief.agent {
            self.summaries[at].learn(agent.name, agent.runtime, agent.model, agent.parent);
        }
        self.summaries[at].actions += u64::from(brief.kind == Kind::Action);
        match brief.action() {
            Some(id) => self.facts(id, at, brief.kind).add_brief(brief),
            None if brief.kind == Kind::Result => {
                let mut facts = Facts::default();
                facts.add_brief(brief);
                self.loose.push((owner(at), facts));
            }
            None => {}
        }
    }

    fn add_row(&mut self, row: &Row) {
        let Some(session) = row.session() else { return };
        let at = self.at(session, row.agent().unwrap_or(session), row.when(), row.index);
        let summary = &mut self.summaries[at];
        let Some(record) = row.record() else {
            summary.attention += 1;
            return;
        };
        if let Some(agent) = &record.agent {
            summary.learn(&agent.name, &agent.runtime, agent.model.as_deref(), agent.parent.as_deref());
        }
        summary.attention += u64::from(concern_of(&record.body).is_some());
        match &record.body {
            Body::SessionStart(_) => summary.begin_again(row.when()),
            Body::SessionEnd(body) => {
                let newer = Some((body.status, row.when()));
                summary.end = summary.end.filter(|(_, at)| *at > row.when()).or(newer);
            }
            Body::Prompt(body) => {
                summary.begin_again(row.when());
                if summary.prompt.is_none() || row.when() < summary.prompted {
                    summary.prompted = row.when();
                    summary.prompt = Some(body.preview.clone());
                }
            }
            Body::Action(_) => summary.actions += 1,
            _ => {}
        }
        match (self.requests.action_of(record), &record.body) {
            (Some(id), _) => self.facts(id, at, record.kind).add(record),
            (None, Body::Result(body)) => {
                let mut facts = Facts::default();
                facts.add_result(body);
                self.loose.push((owner(at), facts));
            }
            _ => {}
        }
    }

    /// What is known of an action; it belongs to whoever did it, not who tells of it.
    fn facts(&mut self, id: RecordId, at: usize, kind: Kind) -> &mut Facts {
        let known = self.actions.entry(id).or_insert((owner(at), Facts::default()));
        if kind == Kind::Action {
            known.0 = owner(at);
        }
        &mut known.1
    }

    /// The summary that a record counts for.
    fn at(&mut self, session: &str, agent: &str, when: Timestamp, index: u64) -> usize {
        let known = self.find(session, agent);
        let at = known.unwrap_or(self.summaries.len());
        if known.is_none() {
            self.by_agent.entry(session.to_owned()).or_default().insert(agent.to_owned(), at);
            self.summaries.push(Summary::new(session, agent, when, index));
        }
        let summary = &mut self.summaries[at];
        summary.records += 1;
        summary.started = summary.started.min(when);
        summary.newest = summary.newest.max(when);
        summary.last_index = index;
        at
    }

    fn find(&self, session: &str, agent: &str) -> Option<usize> {
        self.by_agent.get(session)?.get(agent).copied()
    }

    /// Main agents newest first, each with its sub-agents behind it, oldest first.
    fn finish(mut self, now: Timestamp) -> Vec<(Summary, Vec<Summary>)> {
        let roots = self.roots();
        let ended: Vec<bool> = (0..self.summaries.len())
            .map(|at| self.summaries[at].end.is_some() || self.summaries[roots[at]].end.is_some())
            .collect();
        for (owner, facts) in self.actions.values().chain(&self.loose) {
            let at = *owner as usize;
            let Some(summary) = self.summaries.get_mut(at) else { continue };
            summary.denied += u64::from(facts.is_denied(ended[at]) && facts.action.is_some());
            summary.attention += u64::from(!facts.concerns(ended[at]).is_empty());
        }
        for (at, summary) in self.summaries.iter_mut().enumerate() {
            let fresh = line::between_ms(summary.newest, now).is_none_or(|ms| ms < RUNNING_MS);
            summary.status = match summary.end {
                Some((status, _)) => status,
                None if fresh && !ended[at] => Status::Running,
                None => Status::Unknown,
            };
        }
        let mut groups: HashMap<usize, (Option<Summary>, Vec<Summary>)> = HashMap::new();
        for (at, summary) in self.summaries.into_iter().enumerate() {
            let group = groups.entry(roots[at]).or_default();
            if roots[at] == at { group.0 = Some(summary) } else { group.1.push(summary) }
        }
        let mut groups: Vec<(Summary, Vec<Summary>)> =
            groups.into_values().filter_map(|(main, subs)| Some((main?, subs))).collect();
        for (_, subs) in &mut groups {
            subs.sort_by_key(|summary| (summary.started, summary.first_index));
        }
        groups.sort_by_key(|(main, _)| std::cmp::Reverse((main.started, main.first_index)));
        groups
    }

    /// For each summary the one at the top of its tree: the agent's parents, or for an agent
    /// without a known parent the main agent of its session.
    fn roots(&self) -> Vec<usize> {
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        for (at, summary) in self.summaries.iter().enumerate() {
            by_id.entry(&summary.agent).or_insert(at);
        }
        let above = |at: usize| -> Option<usize> {
            let summary = &self.summaries[at];
            let main = || self.find(&summary.session, &summary.session);
            let parent = summary.parent.as_ref().and_then(|id| {
                let within = self.find(&summary.session, id);
                within.or_else(|| by_id.get(id.as_str()).copied())
            });
            let orphan = || if summary.agent == summary.session { None } else { main() };
            parent.or_else(orphan).filter(|parent| *parent != at)
        };
        let root = |start: usize| {
            let mut at = start;
            // A chain longer than there are agents is a circle: then everyone stands alone.
            for _ in 0..self.summaries.len() {
                match above(at) {
                    Some(parent) => at = parent,
                    None => return at,
                }
            }
            start
        };
        (0..self.summaries.len()).map(root).collect()
    }
}

/// Runs `fdr sessions`; 0 if there were any, 1 if none matched.
///
/// # Errors
/// When the log can't be read, or an option makes no sense.
pub fn run(args: &SessionsArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(list(args, home, &mut BufWriter::new(out)))
}

fn list(args: &SessionsArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let since = args.since.as_deref().map(|text| parse_time(text, &look)).transpose()?;
    let statuses = words("status", &args.status, &STATUSES, |status| status.as_str())?;
    let runtime = args.runtime.as_deref().map(Glob::new);
    let trail = Trail::open(home)?;

    let mut tally = Tally::default();
    trail.scan(0, u64::MAX, |entry| {
        tally.add(&trail, entry);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut groups = tally.finish(look.now);
    let known: Vec<String> = groups.iter().map(|(main, _)| main.session.clone()).collect();
    groups.retain(|(main, subs)| {
        let named = |s: &Summary| {
            args.agent.as_ref().is_none_or(|name| s.name == *name || s.agent.starts_with(name.as_str()))
        };
        let all = || std::iter::once(main).chain(subs);
        since.is_none_or(|since| main.started >= since)
            && (statuses.is_empty() || all().any(|summary| statuses.contains(&summary.status)))
            && runtime.as_ref().is_none_or(|glob| all().any(|summary| glob.matches(&summary.runtime)))
            && all().any(named)
            && (!args.only_attention || all().any(|summary| summary.attention > 0))
    });
    let matched = groups.len();
    let limit = match args.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if args.json => usize::MAX,
        None => DEFAULT_LIMIT,
    };
    groups.truncate(limit);

    if args.json {
        for summary in groups.iter().flat_map(|(main, subs)| std::iter::once(main).chain(subs)) {
            out.write_all(&text::json_line(&serde_json::to_vec(summary)?))?;
            out.write_all(b"\n")?;
        }
    } else if groups.is_empty() {
        match known.len() {
            0 => writeln!(out, "no sessions yet: what is recorded is about the recorder itself (fdr tail)")?,
            n => writeln!(
                out,
                "none of {} matches; all: fdr sessions --limit 0",
                text::counted(n as u64, "session")
            )?,
        }
    } else {
        write_table(&groups, &look, out)?;
        write_footer(&groups, matched, &known, &trail, &look, out)?;
    }
    out.flush()?;
    Ok(trail.finish(if matched == 0 { trail::NOTHING } else { trail::FOUND }))
}

fn write_table(groups: &[(Summary, Vec<Summary>)], look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        ("SESSION", Align::Left, 8),
        ("STARTED", Align::Left, 24),
        ("AGENT", Align::Left, 28),
        ("STATUS", Align::Left, 11),
        ("ACTIONS", Align::Right, 9),
        ("DENIED", Align::Right, 9),
        ("!", Align::Left, 5),
        ("PROMPT", Align::Left, PROMPT_COLUMNS),
    ]);
    for (main, subs) in groups {
        push(&mut table, main, None, look);
        for sub in subs {
            push(&mut table, sub, Some(main), look);
        }
    }
    table.write(look, out)?;
    Ok(())
}

fn push(table: &mut Table, summary: &Summary, main: Option<&Summary>, look: &Look) {
    let started = look.day_and_minute(summary.started);
    let (id, started, agent, said, tone) = match main {
        None => {
            let prompt = summary.prompt.as_deref().map(line::quoted).unwrap_or_default();
            (&summary.session, started, summary.name.clone(), prompt, Tone::Voice)
        }
        Some(main) => {
            let agent = if summary.name == summary.runtime {
                summary.name.clone()
            } else {
                format!("{}/{}", summary.runtime, summary.name)
            };
            let said = format!("(sub-agent of {})", line::short(&main.session));
            (&summary.agent, format!("└ {started}"), agent, said, Tone::Dim)
        }
    };
    let status_tone = match summary.status {
        Status::Success => Tone::Good,
        Status::Failed | Status::Denied => Tone::Bad,
        Status::Running => Tone::Strong,
        Status::Interrupted | Status::Unknown => Tone::Warn,
    };
    let attention = if summary.attention > 0 { format!("!{}", summary.attention) } else { String::new() };
    table.push(vec![
        Cell::plain(id.chars().take(8).collect::<String>()),
        Cell::new(Tone::Dim, started),
        Cell::plain(agent),
        Cell::new(status_tone, summary.status.as_str()),
        Cell::plain(text::count(summary.actions)),
        Cell::new(if summary.denied > 0 { Tone::Bad } else { Tone::Dim }, text::count(summary.denied)),
        Cell::new(Tone::Warn, attention),
        Cell::new(tone, said),
    ]);
}

/// The shortest beginning of `id`, from four characters on, that no other id has.
fn unique_prefix<'a>(id: &'a str, known: &[String]) -> &'a str {
    let others = || known.iter().filter(|other| *other != id);
    let ends = id.char_indices().map(|(at, c)| at + c.len_utf8()).skip(3);
    ends.map(|end| &id[..end]).find(|prefix| !others().any(|other| other.starts_with(prefix))).unwrap_or(id)
}

fn write_footer(
    groups: &[(Summary, Vec<Summary>)],
    matched: usize,
    known: &[String],
    trail: &Trail,
    look: &Look,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let all = || groups.iter().flat_map(|(main, subs)| std::iter::once(main).chain(subs));
    let shown = all().count() as u64;
    let mut counts = vec![
        text::counted(shown, "session"),
        text::counted(all().map(|summary| summary.actions).sum(), "action"),
        format!("{} denied", text::count(all().map(|summary| summary.denied).sum())),
    ];
    let attention: u64 = all().map(|summary| summary.attention).sum();
    if attention > 0 {
        counts.push(format!("{} to look at", text::count(attention)));
    }
    let mut parts = vec![counts.join(", "), format!("log {}", text::counted(trail.len(), "record"))];
    if matched > groups.len() {
        parts.push(format!(
            "the newest {} of {}, --limit 0 for all",
            groups.len(),
            text::count(matched as u64)
        ));
    }
    if let Some((main, _)) = groups.iter().find(|(main, _)| main.attention > 0).or(groups.first()) {
        parts.push(format!("fdr show {}", text::line(unique_prefix(&main.session, known))));
    }
    writeln!(out, "{}", look.paint(Tone::Dim, &parts.join(" · ")))?;
    let outcomes = all().filter(|summary| summary.status == Status::Unknown).count();
    if outcomes > 0 {
        writeln!(
            out,
            "{}",
            look.paint(
                Tone::Dim,
                &format!("unknown: {} without a recorded end", text::counted(outcomes as u64, "session"))
            )
        )?;
    }
    Ok(())
}
