//! `fdr show`: a session as a timeline, or one record with what it is linked to.
//!
//! The timeline is built in two steps: [`Timeline`] turns a [`SessionView`] into lines of
//! parts, then the parts are laid out for the width of the terminal.

use crate::line::{self, Answer, Places, Verdicts, resource_from};
use crate::reconcile;
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::{
    self, Candidates, Concern, Effective, Item, Row, SessionView, Step, Trail, Unreadable, concern_of,
    is_concluded, is_late, is_of_queue,
};
use fdr_record::{
    ActionBody, Body, ContentRef, DecidedBy, InScope, IntentSource, Kind, Outcome, Reach, Record, RecordId,
    Status, Timestamp, Verdict,
};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// So many like actions in a row are folded into one line.
const FOLD_MIN: usize = 4;
/// Contents longer than this are cut in a session with `--full`, in bytes.
const SESSION_CONTENT_BYTES: usize = 8 * 1024;
/// The same where one record is shown, in bytes.
const RECORD_CONTENT_BYTES: usize = 256 * 1024;
/// Warnings that are repeated at the end.
const MAX_WARNINGS: usize = 20;
/// Candidates that are listed for an ambiguous id.
const MAX_LISTED: usize = 12;
/// Widest columns of a timeline.
const MAX_RESOURCE_COLUMNS: usize = 44;
const MAX_CALL_COLUMNS: usize = 40;
/// Columns that the last column of a timeline should have.
const MIN_DETAIL_COLUMNS: usize = 36;

/// Options of `fdr show`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ShowArgs {
    /// A session, sub-agent or record: the beginning of its id, or @INDEX for a record
    #[arg(value_name = "ID")]
    pub id: String,
    /// Show content too: arguments, results, prompts, thinking
    #[arg(long)]
    pub full: bool,
    /// The records, one JSON line each
    #[arg(long)]
    pub json: bool,
    /// Show every action of a long run of like actions
    #[arg(long)]
    pub no_fold: bool,
    /// How it looks
    #[command(flatten)]
    pub look: LookArgs,
}

impl ShowArgs {
    /// The plain timeline of a session.
    pub fn of(id: &str) -> ShowArgs {
        ShowArgs { id: id.to_owned(), ..ShowArgs::default() }
    }
}

/// Runs `fdr show`; 0 if found, 1 if there is nothing of that id or more than one.
///
/// # Errors
/// When the log can't be read.
pub fn run(args: &ShowArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(show(args, home, &mut BufWriter::new(out)))
}

enum Target {
    /// A session, or only one of its sub-agents.
    Session {
        session: String,
        agent: Option<String>,
    },
    Record(u64),
}

impl Target {
    fn of(id: &str, within: &Option<String>) -> Target {
        match within {
            Some(session) => Target::Session { session: session.clone(), agent: Some(id.to_owned()) },
            None => Target::Session { session: id.to_owned(), agent: None },
        }
    }
}

fn show(args: &ShowArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let trail = Trail::open(home)?;
    let target = match find(&trail, args.id.trim())? {
        Ok(target) => target,
        Err(message) => {
            eprintln!("error: {message}");
            return Ok(trail.finish(trail::NOTHING));
        }
    };
    match target {
        Target::Record(index) => show_record(args, &trail, index, &look, out)?,
        Target::Session { session, agent } => {
            let view = trail.session(&session)?;
            let root = agent.and_then(|id| view.agents.iter().position(|agent| agent.id == id)).unwrap_or(0);
            if args.json {
                let below = |row: &&Row| root == 0 || view.is_below(row, root);
                let mut rows: Vec<&Row> = view.rows.iter().filter(below).collect();
                rows.sort_by_key(|row| row.index);
                for row in rows {
                    out.write_all(&text::json_line(row.shown()))?;
                    out.write_all(b"\n")?;
                }
            } else {
                Timeline::new(&view, &trail, args, &look, root).write(out)?;
            }
        }
    }
    out.flush()?;
    Ok(trail.finish(trail::FOUND))
}

/// The session that is meant by `id`, or why that can't be told.
///
/// # Errors
/// When the log can't be read.
pub fn session_of(trail: &Trail, id: &str) -> anyhow::Result<Result<String, String>> {
    Ok(match find(trail, id)? {
        Ok(Target::Session { session, .. }) => Ok(session),
        Ok(Target::Record(index)) => match trail.row(index)?.session() {
            Some(session) => Ok(session.to_owned()),
            None => Err(format!("record @{index} belongs to no session\n  to list sessions:  fdr sessions")),
        },
        Err(message) => Err(message),
    })
}

/// What is meant by `id`, or why that can't be told.
fn find(trail: &Trail, id: &str) -> anyhow::Result<Result<Target, String>> {
    if let Some(index) = id.strip_prefix('@') {
        return Ok(match index.parse::<u64>() {
            Ok(index) if index < trail.len() => Ok(Target::Record(index)),
            _ => Err(format!(
                "there is no record {}; the log has {}\n  to list the newest:  fdr tail",
                text::line(id),
                text::counted(trail.len(), "record")
            )),
        });
    }
    if id.is_empty() {
        return Ok(Err("an empty id means nothing\n  to list sessions:  fdr sessions".to_owned()));
    }
    let mut found = trail.candidates(id)?;
    if found.sessions.is_empty() && found.records.is_empty() {
        // Ids of records are UUIDs in lower case.
        found = trail.candidates(&id.to_lowercase())?;
    }
    Ok(choose(found, id))
}

fn choose(found: Candidates, id: &str) -> Result<Target, String> {
    if let Some((session, within)) = found.sessions.get_key_value(id) {
        return Ok(Target::of(session, within));
    }
    if let Some((_, index)) = found.records.iter().find(|(record, _)| record.to_string() == id) {
        return Ok(Target::Record(*index));
    }
    let mut sessions: Vec<(&String, &Option<String>)> = found.sessions.iter().collect();
    // A session stands for its sub-agents.
    let main: Vec<String> =
        sessions.iter().filter(|(_, within)| within.is_none()).map(|(id, _)| (*id).clone()).collect();
    sessions.retain(|(_, within)| within.as_ref().is_none_or(|within| !main.contains(within)));
    match (&sessions[..], &found.records[..]) {
        ([], []) => Err(format!(
            "nothing here has an id that begins with '{}'\n  to list sessions:       fdr sessions\n  to search for records:  fdr query --text …",
            text::line(id)
        )),
        // Sessions come first: an id of a record begins with the time, and many begin alike.
        ([(id, within)], _) => Ok(Target::of(id, within)),
        ([], [(_, index)]) => Ok(Target::Record(*index)),
        _ => {
            let mut list = Vec::new();
            for (session, within) in &sessions {
                let what = match within {
                    Some(within) => format!("sub-agent in session {}", line::short(within)),
                    None => "session".to_owned(),
                };
                list.push(format!("  {}  {what}", text::line(session)));
            }
            let mut unlisted = 0;
            if sessions.is_empty() {
                list.extend(
                    found.records.iter().map(|(record, index)| format!("  {record}  record @{index}")),
                );
                unlisted = found.more_records;
            }
            let more = list.len().saturating_sub(MAX_LISTED) as u64 + unlisted;
            list.truncate(MAX_LISTED);
            if more > 0 {
                list.push(format!("  and {} more", text::count(more)));
            }
            Err(format!("'{}' is ambiguous; it can be\n{}", text::line(id), list.join("\n")))
        }
    }
}

/// One thing on the screen.
#[derive(Debug, Default)]
struct Entry {
    at: Option<Timestamp>,
    /// How many agents deep.
    depth: usize,
    label: String,
    label_tone: Tone,
    said: Said,
    /// Lines below it.
    notes: Vec<(Tone, String)>,
    /// Content, for `--full`.
    content: Vec<String>,
}

#[derive(Debug)]
enum Said {
    /// In columns.
    Action { resource: String, call: String, word: String, word_tone: Tone, detail: String },
    /// As it comes.
    Text(Tone, String),
}

impl Default for Said {
    fn default() -> Said {
        Said::Text(Tone::Plain, String::new())
    }
}

struct Timeline<'a> {
    view: &'a SessionView,
    trail: &'a Trail,
    args: &'a ShowArgs,
    look: &'a Look,
    /// The agent at the top: the main agent, or the sub-agent that was asked for.
    root: usize,
    places: Places,
    entries: Vec<Entry>,
    warnings: Vec<(u64, Timestamp, String)>,
    /// Results of tools that were fed back to the model, and are not shown one by one.
    fed_back: u64,
    /// Events that tell of nothing but that work goes on; not shown.
    without_news: u64,
}

impl<'a> Timeline<'a> {
    fn new(
        view: &'a SessionView,
        trail: &'a Trail,
        args: &'a ShowArgs,
        look: &'a Look,
        root: usize,
    ) -> Timeline<'a> {
        let of_main = |record: &&Record| Places::of(record).cwd.is_some();
        let places =
            view.rows.iter().filter_map(Row::record).find(of_main).map(Places::of).unwrap_or_default();
        Timeline {
            view,
            trail,
            args,
            look,
            root,
            places,
            entries: vec![],
            warnings: vec![],
            fed_back: 0,
            without_news: 0,
        }
    }

    fn write(mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in text::wrap(&self.header(), self.look.width) {
            writeln!(out, "{line}")?;
        }
        let (complete, has_findings) = reconcile::completeness(self.view, self.trail, self.root);
        let tone = if has_findings { Tone::Warn } else { Tone::Dim };
        let hint = match has_findings {
            true => format!(" (fdr reconcile {})", line::short(&self.view.id)),
            false => String::new(),
        };
        for line in text::wrap(&format!("{complete}{hint}"), self.look.width) {
            writeln!(out, "{}", self.look.paint(tone, &line))?;
        }
        self.agent(self.root, 0)?;
        self.end(self.root, 0);
        if !self.args.full && !self.args.no_fold {
            say_once(&mut self.entries);
        }
        let layout = Layout::new(&self.entries, self.look);
        let mut date = self.view.rows.first().map(|row| self.look.date(row.when())).unwrap_or_default();
        for entry in &self.entries {
            if let Some(day) = entry.at.map(|at| self.look.date(at)).filter(|day| *day != date) {
                writeln!(out, "{}", self.look.paint(Tone::Dim, &format!("── {day} ──")))?;
                date = day;
            }
            layout.write(entry, self.look, out)?;
        }
        self.write_warnings(out)
    }

    fn header(&self) -> String {
        let records = || {
            self.view
                .rows
                .iter()
                .filter_map(Row::record)
                .filter(|record| record.session.as_deref() == Some(&self.view.id))
        };
        let main =
            records().find_map(|record| record.agent.as_ref().filter(|agent| agent.id == self.view.id));
        let agent = main.or_else(|| records().find_map(|record| record.agent.as_ref()));
        let mut parts = Vec::new();
        let name = agent.map(|agent| {
            let version = records().find_map(|record| record.agent.as_ref()?.version.clone());
            version.map_or(line::agent_name(agent), |version| {
                format!("{} {}", line::agent_name(agent), text::line(&version))
            })
        });
        let id = line::short(&self.view.id);
        let id = match self.root {
            0 => format!("session {id}"),
            root => format!("sub-agent {} of session {id}", line::short(&self.view.agents[root].id)),
        };
        parts.push(format!("{id}  {}", name.unwrap_or_else(|| "unknown agent".to_owned())));
        if let Some(parent) = main.and_then(|agent| agent.parent.as_deref()) {
            parts.push(format!("sub-agent of {}", line::short(parent)));
        }
        if let Some(model) = records().find_map(|record| record.agent.as_ref()?.model.clone()) {
            parts.push(format!("model {}", text::line(&model)));
        }
        if let Some(place) = self.place() {
            parts.push(place);
        }
        if let Some(mode) = records().find_map(|record| record.env.as_ref()?.permission_mode.clone()) {
            parts.push(format!("mode {}", text::line(&mode)));
        }
        if let Some(sandbox) = records().find_map(|record| record.env.as_ref()?.sandbox.clone()) {
            parts.push(format!("sandbox {}", text::line(&sandbox)));
        }
        if let Some(policy) = self.policy() {
            parts.push(format!("policy {policy}"));
        }
        if let Some(row) = self.view.rows.first() {
            parts.push(self.look.date(row.when()));
        }
        parts.join(" · ")
    }

    /// `baseline@4be1… (enforce)`, and what else was in force while the session went on.
    fn policy(&self) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        for row in &self.view.rows {
            let Some(Body::Action(body)) = row.body() else { continue };
            let set = body.policy.set.as_deref().map_or("none".to_owned(), |set| {
                let name = self.view.set_names.get(set).map(|name| format!("{}@", text::line(name)));
                format!("{}{}", name.unwrap_or_default(), short_digest(set))
            });
            let policy = format!("{set} ({})", body.policy.mode.as_str());
            if !said.contains(&policy) {
                said.push(policy);
            }
        }
        const NAMED: usize = 3;
        let more = said.len().saturating_sub(NAMED);
        said.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!said.is_empty()).then(|| format!("{}{more}", said.join(", ")))
    }

    /// `alice@devbox:~/proj (main, 9c1e…)`.
    fn place(&self) -> Option<String> {
        let records = || self.view.rows.iter().filter_map(Row::record);
        let who = records().find_map(|record| {
            let principal = record.principal.as_ref()?;
            Some(text::line(principal.name.as_deref().unwrap_or(&principal.id)))
        });
        let host = records().find_map(|record| record.env.as_ref()?.host.as_deref().map(text::line));
        let cwd = self.places.cwd.as_deref().map(|cwd| self.places.clone().only_home().path(cwd));
        let branch = records().find_map(|record| record.env.as_ref()?.branch.as_deref().map(text::line));
        let commit = records().find_map(|record| record.env.as_ref()?.commit.as_deref().map(short_digest));
        let git: Vec<String> = branch.into_iter().chain(commit).collect();
        let mut place = match (who, host) {
            (Some(who), Some(host)) => format!("{who}@{host}"),
            (who, host) => who.or(host).unwrap_or_default(),
        };
        if let Some(cwd) = cwd {
            place = if place.is_empty() { cwd } else { format!("{place}:{cwd}") };
        }
        if !git.is_empty() {
            place.push_str(&format!(" ({})", git.join(", ")));
        }
        (!place.is_empty()).then_some(place)
    }

    fn agent(&mut self, agent: usize, depth: usize) -> anyhow::Result<()> {
        let items = &self.view.agents[agent].items;
        let mut at = 0;
        while at < items.len() {
            let run = if self.args.no_fold || self.args.full { 1 } else { self.like(&items[at..], agent) };
            if run >= FOLD_MIN {
                self.folded(&items[at..at + run], depth);
                at += run;
                continue;
            }
            match &items[at] {
                Item::Action(step) => self.step(step, agent, depth)?,
                Item::Child(child) => {
                    self.child(*child, depth);
                    self.agent(*child, depth + 1)?;
                    self.end(*child, depth + 1);
                }
                Item::Row(_) => {
                    let seen = self.seen_in_a_row(&items[at..]);
                    if seen > 0 {
                        self.saw(&items[at..at + seen], depth);
                        at += seen;
                        continue;
                    }
                    if let Item::Row(row) = &items[at] {
                        self.row(*row, depth)?;
                    }
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// How many actions from the first item on are alike and need no look.
    fn like(&self, items: &[Item], agent: usize) -> usize {
        let ended = self.view.has_ended(agent);
        let key = |item: &Item| {
            let Item::Action(step) = item else { return None };
            let body = self.body(step)?;
            let [action] = &body.actions[..] else { return None };
            let silent = step
                .decision
                .is_none_or(|at| self.view.rows[at].record().and_then(line::rationale).is_none());
            let plain = silent
                && body.opaque.is_empty()
                && body.actions_left_out == 0
                && step.approvals.is_empty()
                && step.facts.outcome == Some(Outcome::Ok)
                && step.facts.concerns(ended).is_empty()
                && body.policy.decision == Verdict::Permit
                && body.intent.as_ref().is_none_or(|check| check.scope != InScope::OutOfScope);
            let (effective, by, basis) = step.facts.effective();
            plain.then(|| {
                (
                    action.action,
                    body.tool.clone(),
                    action.resource.kind().to_owned(),
                    effective,
                    by.map(|by| line::by_whom(by, basis)),
                    body.intent.as_ref().map(|check| check.scope),
                )
            })
        };
        let Some(first) = items.first().and_then(key) else { return 0 };
        items.iter().take_while(|item| key(item).as_ref() == Some(&first)).count()
    }

    fn folded(&mut self, items: &[Item], depth: usize) {
        let steps: Vec<&Step> = items
            .iter()
            .filter_map(|item| match item {
                Item::Action(step) => Some(step),
                _ => None,
            })
            .collect();
        let bodies: Vec<&ActionBody> = steps.iter().filter_map(|step| self.body(step)).collect();
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return };
        let Some(body) = bodies.first() else { return };
        let resources: Vec<&str> =
            bodies.iter().filter_map(|body| Some(body.actions.first()?.resource.as_str())).collect();
        let resource = match common(&resources) {
            Some(common) => self.places.resource(&resource_from(&common)),
            None => format!("{} …", line::resource_of(body, &self.places).0),
        };
        let total: u64 = steps.iter().filter_map(|step| step.facts.duration_ms).map(u64::from).sum();
        let (effective, by, basis) = first.facts.effective();
        let by = by.map(|by| format!("{} · ", line::by_whom(by, basis))).unwrap_or_default();
        let until = self.look.clock(self.view.rows[last.action].when());
        let took = if total > 0 { format!(", {}", text::duration_ms(total)) } else { String::new() };
        let in_scope = body.intent.as_ref().is_some_and(|check| check.scope == InScope::InScope);
        let scope = if in_scope { "in scope · " } else { "" };
        self.entries.push(Entry {
            at: Some(self.view.rows[first.action].when()),
            depth,
            label: format!("{} × {}", steps.len(), line::verb_of(body)),
            label_tone: Tone::Strong,
            said: Said::Action {
                resource,
                call: text::line(&body.tool),
                word: effective.as_str().to_owned(),
                word_tone: line::tone_of(effective),
                detail: format!("{by}{scope}ok{took}, until {until}"),
            },
            ..Entry::default()
        });
    }

    fn body(&self, step: &Step) -> Option<&'a ActionBody> {
        match self.view.rows[step.action].body() {
            Some(Body::Action(body)) => Some(body),
            _ => None,
        }
    }

    fn step(&mut self, step: &Step, agent: usize, depth: usize) -> anyhow::Result<()> {
        let row = &self.view.rows[step.action];
        let Some(body) = self.body(step) else { return Ok(()) };
        if let Some(decision) = step.decision {
            self.decision(decision, row.when(), depth)?;
        }
        let ended = self.view.has_ended(agent);
        let said = self.verdicts(step, body, ended);
        let (word, word_tone) = said.word();
        let (resource, more) = line::resource_of(body, &self.places);
        let mut notes = Vec::new();
        if more > 0 && self.args.full {
            for action in body.actions.iter().skip(1) {
                notes.push((Tone::Plain, line::action_words(action, &self.places)));
            }
            if body.actions_left_out > 0 {
                notes.push((Tone::Plain, format!("and {} more", text::count(body.actions_left_out))));
            }
        } else if more > 0 {
            notes.push((Tone::Plain, format!("and {}", self.more(body, more))));
        }
        if let Some(path) = body.actions.first().and_then(|action| action.resolves_to.as_deref()) {
            notes.push((Tone::Warn, format!("leads to {}", self.places.path(path))));
        }
        if body.actions.iter().any(|action| action.tamper) {
            let what = "tamper: this is what records or limits the agent";
            notes.push((Tone::Bad, what.to_owned()));
        }
        for reason in &body.opaque {
            notes.push((Tone::Warn, format!("opaque: {}", text::line(reason))));
        }
        let taint = body.facts.as_ref().and_then(|facts| line::taint_words(&facts.taint));
        if body.policy.decision != Verdict::Permit {
            notes.extend(taint.map(|taint| (Tone::Warn, taint)));
        }
        if self.args.full && body.policy.decision == Verdict::Permit && body.policy.set.is_some() {
            notes.push((Tone::Dim, format!("policy: {}", line::policy_words(&body.policy))));
        }
        if step.facts.arguments_changed {
            notes.push((Tone::Bad, "arguments changed: what ran is not what was decided on".to_owned()));
        }
        self.approval_notes(step, &mut notes);
        if let Some(record) = row.record()
            && is_late(record)
        {
            notes.push((Tone::Dim, self.late(record)));
        }
        let mut content = Vec::new();
        if self.args.full {
            notes.extend(self.ids(step));
            content.extend(self.contents(row));
            for result in &step.results {
                content.extend(self.contents(&self.view.rows[*result]));
            }
        }
        let concerns = step.facts.concerns(ended);
        for concern in &concerns {
            if matches!(concern, Concern::RanAgainstPolicy | Concern::RanWithoutGrant) {
                notes.push((Tone::Bad, concern.as_str().to_owned()));
            }
        }
        if !concerns.is_empty() {
            let words: Vec<&str> = concerns.iter().map(|concern| concern.as_str()).collect();
            self.warn(row, format!("{}: {} {resource}", words.join(", "), line::verb_of(body)));
        }
        let call = line::call_of(body, &self.places);
        if self.args.full && text::width(&call) > MAX_CALL_COLUMNS {
            notes.insert(0, (Tone::Plain, call.clone()));
        }
        let resource = if more > 0 { format!("{resource} +{}", text::count(more)) } else { resource };
        self.entries.push(Entry {
            at: Some(row.when()),
            depth,
            label: line::verb_of(body),
            label_tone: match step.facts.action {
                Some(judged) if judged.tamper => Tone::Bad,
                _ if body.destructive => Tone::Warn,
                _ => Tone::Strong,
            },
            said: Said::Action { resource, call, word: word.to_owned(), word_tone, detail: said.detail() },
            notes,
            content,
        });
        Ok(())
    }

    /// `2 more: read file:a, send url:b`.
    fn more(&self, body: &ActionBody, more: u64) -> String {
        const NAMED: usize = 3;
        let named = |action: &fdr_record::Action| {
            let to =
                action.to.as_ref().map(|to| format!(" → {}", self.places.resource(to))).unwrap_or_default();
            format!("{} {}{to}", action.action, text::cut_middle(&self.places.resource(&action.resource), 48))
        };
        let list: Vec<String> = body.actions.iter().skip(1).take(NAMED).map(named).collect();
        let rest = more.saturating_sub(list.len() as u64);
        let rest =
            if rest > 0 { format!(", and {} more (--full)", text::count(rest)) } else { String::new() };
        format!("{}{rest}", list.join(", "))
    }

    fn verdicts(&self, step: &Step, body: &'a ActionBody, ended: bool) -> Verdicts<'a> {
        let results = || step.results.iter().filter_map(|at| self.view.rows[*at].body());
        let of_result = results().find_map(|body| match body {
            Body::Result(body) => line::reason_of_result(body),
            _ => None,
        });
        let answers = || step.approvals.iter().map(|at| &self.view.rows[*at]);
        let of_answer = answers().find_map(|row| match row.body() {
            Some(Body::ApprovalGrant(body) | Body::ApprovalDeny(body)) => {
                body.reason.as_deref().map(text::line)
            }
            _ => None,
        });
        let of_action =
            body.runtime_decision.as_ref().and_then(|decision| decision.reason.as_deref()).map(text::line);
        let asked = answers().find(|row| row.kind() == Kind::ApprovalRequest.as_str());
        let answer = self.answer(step);
        let answered = match &answer {
            Some((_, row)) => Some(*row),
            None => answers().find(|row| row.kind() != Kind::ApprovalRequest.as_str()),
        };
        let answered_after_ms = asked.zip(answered).and_then(|(a, b)| line::between_ms(a.when(), b.when()));
        let reason = of_result.or(of_answer).or(of_action);
        let grant = body.approved.as_ref().and_then(|approved| {
            let row = self.view.rows.iter().find(|row| row.id() == Some(approved.grant))?;
            Some(format!("@{}", row.index))
        });
        let answer = answer.map(|(answer, _)| answer);
        Verdicts { body, facts: step.facts, reason, answer, answered_after_ms, grant, ended }
    }

    /// What was answered in our queue, and the record by which that was settled: the refusal, or
    /// the last of the grants that it took.
    fn answer(&self, step: &Step) -> Option<(Answer, &'a Row)> {
        let mut answer = Answer::default();
        let mut settled = None;
        for at in &step.approvals {
            let row = &self.view.rows[*at];
            let Some(record) = row.record() else { continue };
            let (granted, approval) = match &record.body {
                Body::ApprovalGrant(approval) => (true, approval),
                Body::ApprovalDeny(approval) => (false, approval),
                _ => continue,
            };
            // A grant that comes after a refusal is for another call.
            if !is_of_queue(approval) || granted && step.facts.queue.refused.is_some() {
                continue;
            }
            answer.reason = approval.reason.as_deref().map(text::line).or(answer.reason);
            answer.for_session |= approval.reach == Some(Reach::Session);
            let who = line::who(record);
            answer.who = if answer.who.is_empty() { who } else { format!("{} and {who}", answer.who) };
            settled = Some(row);
        }
        settled.map(|row| (answer, row))
    }

    /// `asked for permission at 14:02:20; granted at 14:02:29 by user`. The answer's reason is
    /// on the action's own line, unless there are several; so is all that a single answer of our
    /// own queue says.
    fn approval_notes(&self, step: &Step, notes: &mut Vec<(Tone, String)>) {
        let several = step.approvals.len() > 2;
        let queue_alone = step.facts.queue.asked && !step.facts.asked;
        if queue_alone && !several && !self.args.full {
            return;
        }
        let mut said = Vec::new();
        let mut tone = Tone::Warn;
        for at in &step.approvals {
            let row = &self.view.rows[*at];
            let Some(record) = row.record() else { continue };
            let (verb, approval) = match &record.body {
                Body::ApprovalRequest(approval) if is_of_queue(approval) => ("asked in the queue", approval),
                Body::ApprovalRequest(approval) => ("asked for permission", approval),
                Body::ApprovalGrant(approval) => ("granted", approval),
                Body::ApprovalDeny(approval) => ("refused", approval),
                _ => continue,
            };
            let request = record.kind == Kind::ApprovalRequest;
            if !request {
                tone = Tone::Dim;
            }
            // When a person answered is not known where that is concluded from the outcome.
            let at = match !request && is_concluded(record) {
                true => String::new(),
                false => format!(" at {}", self.look.clock(row.when())),
            };
            let basis = if is_concluded(record) { " (inferred)" } else { "" };
            let by = match approval.by {
                Some(DecidedBy::Approver) => format!(" by {}", line::who(record)),
                Some(by) => format!(" by {}{basis}", by.as_str()),
                None => String::new(),
            };
            let eyes = if approval.four_eyes { " (two people have to agree)" } else { "" };
            let reason = approval.reason.as_deref().filter(|_| several && !request);
            let reason = reason.map(|reason| format!(": {}", text::line(reason))).unwrap_or_default();
            said.push(format!("{verb}{at}{by}{eyes}{reason}"));
        }
        if !said.is_empty() {
            notes.push((tone, said.join("; ")));
        }
    }

    /// What a prompt asks for, as it was read.
    fn intent_notes(&self, prompt: usize, notes: &mut Vec<(Tone, String)>) {
        for at in self.view.intents.get(&prompt).into_iter().flatten() {
            let Some(Body::Intent(intent)) = self.view.rows[*at].body() else { continue };
            let by = if intent.source == IntentSource::Classifier { " (by the classifier)" } else { "" };
            notes.push((Tone::Plain, format!("intent{by}: {}", text::line(&intent.summary))));
            if self.args.full {
                notes.extend(self.rules(intent));
                notes.push((Tone::Dim, place_of(&self.view.rows[*at])));
            }
        }
    }

    fn rules(&self, intent: &fdr_record::Intent) -> Vec<(Tone, String)> {
        let said = |word: &'static str, rules: &[fdr_record::ScopeRule]| {
            let words = |rule| (Tone::Dim, format!("{word} {}", line::rule_words(rule, &self.places)));
            rules.iter().map(words).collect::<Vec<_>>()
        };
        [said("allow", &intent.allow), said("exclude", &intent.exclude)].concat()
    }

    fn decision(&mut self, at: usize, when: Timestamp, depth: usize) -> anyhow::Result<()> {
        let row = &self.view.rows[at];
        let Some(said) = row.record().and_then(line::rationale) else { return Ok(()) };
        let content = if self.args.full { self.contents(row) } else { vec![] };
        self.entries.push(Entry {
            at: Some(when),
            depth,
            label: "DECIDED".to_owned(),
            label_tone: Tone::Voice,
            said: Said::Text(Tone::Voice, said),
            content,
            ..Entry::default()
        });
        Ok(())
    }

    /// How many of the first items are things seen, shown on one line.
    fn seen_in_a_row(&self, items: &[Item]) -> usize {
        if self.args.no_fold || self.args.full {
            return 0;
        }
        let seen = |item: &&Item| {
            let Item::Row(at) = item else { return false };
            let row = &self.view.rows[*at];
            matches!(row.body(), Some(Body::Context(_))) || row.record().is_some_and(is_without_news)
        };
        items.iter().take_while(seen).count()
    }

    fn saw(&mut self, items: &[Item], depth: usize) {
        const NAMED: usize = 6;
        let mut first = None;
        let mut named = Vec::new();
        for item in items {
            let Item::Row(at) = item else { continue };
            let row = &self.view.rows[*at];
            let Some(record) = row.record() else { continue };
            if matches!(&record.body, Body::Context(body) if body.what == "tool_result") {
                self.fed_back += 1;
                continue;
            }
            if is_without_news(record) {
                self.without_news += 1;
                continue;
            }
            first.get_or_insert(row.when());
            named.push(line::saw(record, &self.places));
        }
        if named.is_empty() {
            return;
        }
        let more = named.len().saturating_sub(NAMED);
        named.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.entries.push(Entry {
            at: first,
            depth,
            label: "SAW".to_owned(),
            label_tone: Tone::Dim,
            said: Said::Text(Tone::Plain, format!("{}{more}", named.join(", "))),
            ..Entry::default()
        });
    }

    fn row(&mut self, at: usize, depth: usize) -> anyhow::Result<()> {
        let row = &self.view.rows[at];
        // The end of an agent is the line that sums up, and a silent decision says nothing.
        let silent = |record: &Record| line::rationale(record).is_none();
        match row.record() {
            Some(record) if record.kind == Kind::SessionEnd => return Ok(()),
            Some(record) if record.kind == Kind::Decision && silent(record) && !self.args.full => {
                return Ok(());
            }
            _ => {}
        }
        let (label, label_tone) = line::label(row);
        let mut said = line::sentence(row, &self.places);
        if row.record().is_none() {
            said = text::cut(&said, 2000);
            self.warn(
                row,
                format!(
                    "{}: {}",
                    Concern::Unread.as_str(),
                    text::cut(&line::sentence(row, &self.places), 120)
                ),
            );
        }
        if let Some(concern) = row.body().and_then(concern_of) {
            self.warn(row, format!("{}: {}", concern.as_str(), text::cut(&said, 160)));
        }
        if let Some(Body::Result(_)) = row.body() {
            let mut facts = crate::trail::Facts::default();
            if let Some(record) = row.record() {
                facts.add(record);
            }
            for concern in facts.concerns(false) {
                self.warn(row, format!("{}: {}", concern.as_str(), text::cut(&said, 160)));
            }
        }
        let mut notes = Vec::new();
        if let Some(record) = row.record()
            && is_late(record)
            && !matches!(record.kind, Kind::Message | Kind::Context | Kind::Decision | Kind::Prompt)
        {
            notes.push((Tone::Dim, self.late(record)));
        }
        if let Some(Body::Intent(intent)) = row.body()
            && self.args.full
        {
            notes.extend(self.rules(intent));
        }
        self.intent_notes(at, &mut notes);
        let mut content = Vec::new();
        if self.args.full {
            notes.push((Tone::Dim, place_of(row)));
            content = self.contents(row);
        }
        let tone = if label_tone == Tone::Voice { Tone::Voice } else { Tone::Plain };
        let said = Said::Text(tone, said);
        self.entries.push(Entry { at: Some(row.when()), depth, label, label_tone, said, notes, content });
        Ok(())
    }

    fn child(&mut self, child: usize, depth: usize) {
        let agent = &self.view.agents[child];
        let (actions, denied) = self.counts(child);
        let rows =
            || self.view.rows.iter().filter(|row| row.agent().or(row.session()) == Some(agent.id.as_str()));
        let name = rows().find_map(|row| row.record()?.agent.as_ref().map(|agent| text::line(&agent.name)));
        self.entries.push(Entry {
            at: rows().map(Row::when).next(),
            depth,
            label: "RUN".to_owned(),
            label_tone: Tone::Strong,
            said: Said::Text(
                Tone::Plain,
                format!(
                    "{} (sub-agent {}): {}, {} denied",
                    name.unwrap_or_else(|| "agent".to_owned()),
                    line::short(&agent.id),
                    text::counted(actions, "action"),
                    text::count(denied)
                ),
            ),
            ..Entry::default()
        });
    }

    fn counts(&self, agent: usize) -> (u64, u64) {
        let ended = self.view.has_ended(agent);
        let denied = self.view.steps(agent).filter(|step| step.facts.is_denied(ended)).count();
        (self.view.steps(agent).count() as u64, denied as u64)
    }

    /// The line that sums up an agent's run.
    fn end(&mut self, agent: usize, depth: usize) {
        let end = self.view.agents[agent].end;
        let status = self.view.status(agent);
        let reason = end.and_then(|at| match self.view.rows[at].body() {
            Some(Body::SessionEnd(body)) => {
                let reason = body.reason.as_deref().filter(|reason| !reason.trim().is_empty());
                reason.map(|reason| format!(" ({})", text::line(reason)))
            }
            _ => None,
        });
        let mut parts = vec![match status {
            Some(status) => format!("{}{}", status.as_str(), reason.unwrap_or_default()),
            None => "no end recorded".to_owned(),
        }];
        let ended = self.view.has_ended(agent);
        let mut by: HashMap<&str, u64> = HashMap::new();
        for step in self.view.steps(agent) {
            let word = match (step.facts.effective().0, step.facts.outcome) {
                (Effective::Permit, Some(outcome)) => outcome.as_str(),
                _ if step.facts.is_denied(ended) => "denied",
                (Effective::Rejected, _) => "rejected",
                (Effective::Pending | Effective::Ask, _) => "pending",
                _ => "unknown",
            };
            *by.entry(word).or_default() += 1;
        }
        let (actions, _) = self.counts(agent);
        let order = ["ok", "error", "denied", "rejected", "interrupted", "pending", "unknown"];
        let counts: Vec<String> =
            order.iter().filter_map(|word| Some(format!("{} {word}", text::count(*by.get(word)?)))).collect();
        parts.push(match counts.is_empty() {
            true => text::counted(actions, "action"),
            false => format!("{}: {}", text::counted(actions, "action"), counts.join(", ")),
        });
        if depth == 0 {
            if self.fed_back > 0 {
                parts.push(format!("{} fed back (--no-fold)", text::counted(self.fed_back, "tool result")));
            }
            if self.without_news > 0 {
                parts.push(format!("{} without news (--no-fold)", text::counted(self.without_news, "event")));
            }
            let shown = |row: &&Row| agent == 0 || self.view.is_below(row, agent);
            let indexes = || self.view.rows.iter().filter(shown).map(|row| row.index);
            if let (Some(first), Some(last)) = (indexes().min(), indexes().max()) {
                parts.push(format!("records {first}–{last}"));
            }
        }
        let last = || self.view.rows.last().map(Row::when);
        let tone = match status {
            Some(Status::Success) => Tone::Good,
            Some(Status::Failed | Status::Denied) => Tone::Bad,
            _ => Tone::Warn,
        };
        self.entries.push(Entry {
            at: end.map(|at| self.view.rows[at].when()).or_else(|| if depth == 0 { last() } else { None }),
            depth,
            label: if end.is_some() { "END".to_owned() } else { "OPEN".to_owned() },
            label_tone: tone,
            said: Said::Text(Tone::Plain, parts.join(" · ")),
            ..Entry::default()
        });
    }

    fn late(&self, record: &Record) -> String {
        let written = self.look.clock(record.ts);
        let spooled = record.observed.as_ref().is_some_and(|observed| observed.late);
        let how = if spooled { "recorded late" } else { "read from a transcript" };
        format!(
            "{how}, at {written}; the time shown is {}",
            if record.claimed.as_ref().and_then(|c| c.ts).is_some() {
                "what the client says"
            } else {
                "that of recording"
            }
        )
    }

    fn ids(&self, step: &Step) -> Vec<(Tone, String)> {
        let all =
            std::iter::once(&step.action).chain(&step.decision).chain(&step.approvals).chain(&step.results);
        all.map(|at| (Tone::Dim, place_of(&self.view.rows[*at]))).collect()
    }

    fn contents(&self, row: &Row) -> Vec<String> {
        let Some(record) = row.record() else { return vec![] };
        // The raw payload says the same as arguments and result, in the runtime's own form.
        let shown = |content: &&ContentRef| content.role != "raw" || record.content.len() == 1;
        record
            .content
            .iter()
            .filter(shown)
            .flat_map(|content| content_lines(self.trail, row, content, SESSION_CONTENT_BYTES))
            .collect()
    }

    fn warn(&mut self, row: &Row, what: String) {
        self.warnings.push((row.index, row.when(), what));
    }

    fn write_warnings(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.warnings.is_empty() {
            return Ok(());
        }
        let heading = format!("{} to look at (fdr show @INDEX):", self.warnings.len());
        writeln!(out, "{}", self.look.paint(Tone::Warn, &heading))?;
        for (index, when, what) in self.warnings.iter().take(MAX_WARNINGS) {
            let head = format!("  {}  {}  ", text::pad(&format!("@{index}"), 7), self.look.clock(*when));
            let indent = " ".repeat(text::width(&head));
            for (at, line) in
                text::wrap(what, self.look.width.saturating_sub(text::width(&head))).iter().enumerate()
            {
                writeln!(out, "{}{line}", if at == 0 { &head } else { &indent })?;
            }
        }
        if let Some(more) = self.warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            writeln!(
                out,
                "  and {more} more: fdr query --session {} --destructive",
                line::short(&self.view.id)
            )?;
        }
        Ok(())
    }
}

/// `result @813 01a20d9f-…`.
fn place_of(row: &Row) -> String {
    let id = row.id().map(|id| format!(" {id}")).unwrap_or_default();
    format!("{} @{}{id}", text::line(row.kind()), row.index)
}

fn short_digest(digest: &str) -> String {
    let (name, hex) = digest.rsplit_once(':').map_or(("", digest), |(name, hex)| (name, hex));
    let short: String = hex.chars().take(4).collect();
    let name = if name == "sha256" || name.is_empty() { String::new() } else { format!("{name}:") };
    text::line(&format!("{name}{short}…"))
}

/// What all names have in common, up to a `/`: `file:/w/src/**`. `None` if that is nothing.
fn common(names: &[&str]) -> Option<String> {
    let first = names.first()?;
    if names.iter().all(|name| name == first) {
        return Some((*first).to_owned());
    }
    let mut len = first.len();
    for name in names {
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        len = len.min(same);
    }
    let slash = first.get(..len).or_else(|| (0..len).rev().find_map(|at| first.get(..at)))?.rfind('/')?;
    let colon = first.find(':')?;
    (slash > colon + 1).then(|| format!("{}/**", &first[..slash]))
}

/// Runtimes tell the same words more than once: as a message, as the reason of the call that
/// follows, as the end of the turn. One line is enough, and the reason says most.
fn say_once(entries: &mut Vec<Entry>) {
    let words = |entry: &Entry| match (&entry.said, entry.label.as_str()) {
        (Said::Text(_, said), "SAID" | "DECIDED" | "MESSAGE") => {
            said.find('"').map(|at| (entry.depth, said[at..].to_owned()))
        }
        _ => None,
    };
    entries.dedup_by(|next, kept| {
        let same = words(next).is_some_and(|next| words(kept) == Some(next));
        if same && next.label == "DECIDED" {
            std::mem::swap(next, kept);
        }
        same
    });
}

/// The widths of the columns of a timeline.
struct Layout {
    label: usize,
    resource: usize,
    call: usize,
    /// The last column stands on a line of its own.
    narrow: bool,
}

/// `HH:MM:SS` and two spaces.
const CLOCK_COLUMNS: usize = 10;
/// `REJECTED`.
const WORD_COLUMNS: usize = 8;
/// Columns of an agent's depth.
const DEPTH_COLUMNS: usize = 2;

impl Layout {
    fn new(entries: &[Entry], look: &Look) -> Layout {
        let label = entries
            .iter()
            .map(|entry| entry.depth * DEPTH_COLUMNS + text::width(&entry.label))
            .max()
            .unwrap_or(0);
        let label = label.clamp(7, 22);
        let (mut resource, mut call) = (0, 0);
        for entry in entries {
            if let Said::Action { resource: r, call: c, .. } = &entry.said {
                resource = resource.max(text::width(r));
                call = call.max(text::width(c));
            }
        }
        resource = resource.min(MAX_RESOURCE_COLUMNS);
        call = call.min(MAX_CALL_COLUMNS);
        let fixed = CLOCK_COLUMNS + label + 2 + 2 + 2 + WORD_COLUMNS + 2;
        let room = look.width.saturating_sub(fixed + MIN_DETAIL_COLUMNS);
        let narrow = room < 44;
        if narrow {
            let room = look.width.saturating_sub(CLOCK_COLUMNS + label + 4);
            resource = resource.min(room * 3 / 5);
            call = room.saturating_sub(resource);
        } else if resource + call > room {
            resource = resource.min((room * 3 / 5).max(room.saturating_sub(call)));
            call = call.min(room - resource);
        }
        Layout { label, resource, call, narrow }
    }

    fn write(&self, entry: &Entry, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
        let clock = entry.at.map(|at| look.clock(at)).unwrap_or_default();
        let clock = look.paint(Tone::Dim, &text::pad(&clock, CLOCK_COLUMNS));
        let tree = "│ ".repeat(entry.depth);
        let label = text::pad(&entry.label, self.label.saturating_sub(entry.depth * DEPTH_COLUMNS));
        let head =
            format!("{clock}{}{}  ", look.paint(Tone::Dim, &tree), look.paint(entry.label_tone, &label));
        let below = format!("{}{}", " ".repeat(CLOCK_COLUMNS), text::pad(&tree, self.label + 2));
        let indent = CLOCK_COLUMNS + self.label + 2;
        match &entry.said {
            Said::Text(tone, said) => {
                for (at, line) in text::wrap(said, look.width.saturating_sub(indent)).iter().enumerate() {
                    let line = look.paint(*tone, line);
                    writeln!(
                        out,
                        "{}",
                        format!("{}{line}", if at == 0 { &head } else { &below }).trim_end()
                    )?;
                }
            }
            Said::Action { resource, call, word, word_tone, detail } => {
                let resource = text::pad(&text::cut_middle(resource, self.resource), self.resource);
                let call = text::cut_quoted(call, self.call);
                let word = look.paint(*word_tone, &text::pad(word, WORD_COLUMNS));
                if self.narrow {
                    writeln!(out, "{}", format!("{head}{resource}  {call}").trim_end())?;
                    let lines = text::wrap(detail, look.width.saturating_sub(indent + 2 + WORD_COLUMNS + 2));
                    for (at, line) in lines.iter().enumerate() {
                        let word = if at == 0 { word.clone() } else { " ".repeat(WORD_COLUMNS) };
                        writeln!(out, "{}", format!("{below}  {word}  {line}").trim_end())?;
                    }
                } else {
                    let call = text::pad(&call, self.call);
                    let column = indent + self.resource + 2 + self.call + 2 + WORD_COLUMNS + 2;
                    let lines = text::wrap(detail, look.width.saturating_sub(column));
                    for (at, line) in lines.iter().enumerate() {
                        let start = match at {
                            0 => format!("{head}{resource}  {call}  {word}  "),
                            _ => format!("{below}{}", " ".repeat(column - indent)),
                        };
                        writeln!(out, "{}", format!("{start}{line}").trim_end())?;
                    }
                }
            }
        }
        for (tone, note) in &entry.notes {
            for (at, line) in text::wrap(note, look.width.saturating_sub(indent + 2)).iter().enumerate() {
                let mark = if at == 0 { "└ " } else { "  " };
                writeln!(out, "{below}{}{}", look.paint(Tone::Dim, mark), look.paint(*tone, line))?;
            }
        }
        for line in &entry.content {
            writeln!(
                out,
                "{}",
                format!("{below}{}", look.paint(Tone::Dim, &format!("┊ {line}"))).trim_end()
            )?;
        }
        Ok(())
    }
}

/// A content: what it is, then what it says, as far as that is shown.
fn content_lines(trail: &Trail, row: &Row, content: &ContentRef, limit: usize) -> Vec<String> {
    let redacted = match content.redacted {
        0 => String::new(),
        n => format!(", {} taken out", text::counted(n.into(), "secret")),
    };
    let mut lines = vec![format!(
        "{} ({}, {}, {}{redacted})",
        text::line(&content.role),
        text::bytes(content.len),
        text::line(&content.media),
        line::digest(&content.digest)
    )];
    let bytes = match trail.content(row.index, content) {
        Ok(Some(found)) => found.bytes,
        Ok(None) => {
            lines.push("  (not stored with this record)".to_owned());
            return lines;
        }
        Err(error) => {
            lines.push(match error {
                Unreadable::Erased(erasure) => format!("  ({erasure})"),
                error => format!("  (can't be read: {})", text::line(&error.to_string())),
            });
            return lines;
        }
    };
    let is_text = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
    if !is_text {
        const SHOWN: usize = 16;
        let hex: Vec<String> = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        let more = if bytes.len() > SHOWN { " …" } else { "" };
        lines.push(format!("  (binary: {}{more})", hex.join(" ")));
        return lines;
    }
    let text = String::from_utf8_lossy(&bytes);
    let cut = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= limit).last().unwrap_or(0);
    let shown = if text.len() > limit { &text[..cut] } else { &text };
    lines.extend(text::block(shown).into_iter().map(|line| format!("  {line}")));
    if shown.len() < text.len() {
        let left = (text.len() - shown.len()) as u64;
        lines.push(format!(
            "  (the first {} shown, {} left out; whole: fdr cat --from {index} --to {index} --with-content)",
            text::bytes(shown.len() as u64),
            text::bytes(left),
            index = row.index
        ));
    }
    lines
}

/// One record: every field, and its links in both directions.
fn show_record(
    args: &ShowArgs,
    trail: &Trail,
    index: u64,
    look: &Look,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let row = trail.row(index)?;
    if args.json {
        out.write_all(&text::json_line(row.shown()))?;
        out.write_all(b"\n")?;
        return Ok(());
    }
    let id = row.id().map(|id| id.to_string()).unwrap_or_default();
    writeln!(out, "{}", look.paint(Tone::Strong, format!("record @{index}  {id}").trim_end()))?;
    let Some(record) = row.record() else {
        writeln!(out, "{}", line::sentence(&row, &Places::default()))?;
        return Ok(());
    };
    let places = Places::of(record).only_home();
    let mut facts = vec![("kind", record.kind.as_str().to_owned()), ("said", line::sentence(&row, &places))];
    let details = line::details(record, &places);
    let has_details = details.is_some();
    facts.extend(details.unwrap_or_default());
    facts.push(("time", format!("{} {} ({})", look.date(record.ts), look.clock(record.ts), record.ts)));
    if is_late(record)
        && let Some(ts) = record.claimed.as_ref().and_then(|claimed| claimed.ts)
    {
        facts.push(("happened", format!("{} {} ({ts}), as the client says", look.date(ts), look.clock(ts))));
    }
    if let Some(session) = &record.session {
        facts.push(("session", format!("{} · number {} in it", text::line(session), record.seq)));
    }
    if let Some(agent) = &record.agent {
        let mut said = line::agent_name(agent);
        for (name, value) in
            [("", &agent.version), (" · model", &agent.model), (" · sub-agent of", &agent.parent)]
        {
            said.push_str(
                &value.as_deref().map(|value| format!("{name} {}", text::line(value))).unwrap_or_default(),
            );
        }
        facts.push(("agent", said));
    }
    let value: Value = serde_json::from_slice(row.shown()).unwrap_or(Value::Null);
    for part in ["principal", "env", "claimed", "observed", "trace", "body"] {
        for (name, said) in value.get(part).map(line::fields).unwrap_or_default() {
            if part == "body" && has_details {
                continue;
            }
            facts.push(("", format!("{part}.{name}\t{said}")));
        }
    }
    let names = facts
        .iter()
        .map(|(name, said)| said.split_once('\t').map_or(name.len(), |(name, _)| text::width(name)));
    let column = names.max().unwrap_or(0).min(32) + 2;
    let write = |out: &mut dyn Write, name: &str, said: &str| -> anyhow::Result<()> {
        for (at, part) in text::wrap(said, look.width.saturating_sub(column)).iter().enumerate() {
            let name = if at == 0 { text::pad(name, column) } else { " ".repeat(column) };
            writeln!(out, "{}", format!("{}{part}", look.paint(Tone::Dim, &name)).trim_end())?;
        }
        Ok(())
    };
    for (name, said) in &facts {
        let (name, said) = said.split_once('\t').unwrap_or((name, said));
        write(out, name, said)?;
    }
    for (direction, rel, other) in links(trail, record)? {
        let said = match other {
            Some(other) => {
                let (word, _) = line::label(&other);
                format!("@{}  {word}  {}", other.index, text::cut(&line::sentence(&other, &places), 100))
            }
            None => "not in this log".to_owned(),
        };
        write(out, &format!("{direction} {rel}"), &said)?;
    }
    for content in &record.content {
        if args.full {
            for line in content_lines(trail, &row, content, RECORD_CONTENT_BYTES) {
                writeln!(out, "{}", look.paint(Tone::Dim, &format!("┊ {line}")))?;
            }
        } else {
            let said = format!(
                "{} ({}, {}) {}",
                text::line(&content.role),
                text::bytes(content.len),
                text::line(&content.media),
                line::digest(&content.digest)
            );
            write(out, "content", &said)?;
        }
    }
    if !args.full && !record.content.is_empty() {
        writeln!(out, "{}", look.paint(Tone::Dim, &format!("content: fdr show @{index} --full")))?;
    }
    Ok(())
}

type LinkRow = (&'static str, String, Option<Row>);

/// The records that this one is linked to (`→`), and those that are linked to it (`←`).
fn links(trail: &Trail, record: &Record) -> anyhow::Result<Vec<LinkRow>> {
    let rel_name = |rel: fdr_record::Rel| {
        serde_json::to_value(rel).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let mut wanted: HashMap<RecordId, Option<Row>> =
        record.links.iter().map(|link| (link.id, None)).collect();
    let own = record.id.to_string();
    let own_needle = memchr::memmem::Finder::new(own.as_bytes()).into_owned();
    let texts: Vec<(RecordId, String)> = wanted.keys().map(|id| (*id, id.to_string())).collect();
    let mut back = Vec::new();
    trail.scan(0, u64::MAX, |entry| {
        let target = texts
            .iter()
            .find(|(_, text)| memchr::memmem::find(&entry.bytes, text.as_bytes()).is_some())
            .map(|(id, _)| *id);
        if target.is_none() && own_needle.find(&entry.bytes).is_none() {
            return Ok(ControlFlow::Continue(()));
        }
        let row = trail.read(entry);
        if let Some(other) = row.record().filter(|other| other.id != record.id) {
            for link in other.links.iter().filter(|link| link.id == record.id) {
                back.push(("←", rel_name(link.rel), Some(row.clone())));
            }
            let id = other.id;
            if let Some(slot) = wanted.get_mut(&id) {
                *slot = Some(row);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // An answer in our queue names the request, not the action.
    let requests: Vec<(u64, RecordId)> = back
        .iter()
        .filter_map(|(_, _, row)| row.as_ref())
        .filter(|row| record.kind == Kind::Action && row.kind() == Kind::ApprovalRequest.as_str())
        .filter_map(|row| Some((row.index, row.id()?)))
        .collect();
    for (index, request) in requests {
        let needle = memchr::memmem::Finder::new(request.to_string().as_bytes()).into_owned();
        trail.scan(index + 1, u64::MAX, |entry| {
            if needle.find(&entry.bytes).is_some() {
                let row = trail.read(entry);
                let other = row.record();
                if other.is_some_and(|other| other.link(fdr_record::Rel::Approves) == Some(request)) {
                    back.push(("←", format!("{} @{index}", rel_name(fdr_record::Rel::Approves)), Some(row)));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let forward =
        record.links.iter().map(|link| ("→", rel_name(link.rel), wanted.get(&link.id).cloned().flatten()));
    Ok(forward.chain(back).collect())
}

/// Whether a record tells of nothing but that work goes on: a request to the model that shows it
/// nothing new, a further piece of a transcript whose entries have records of their own.
fn is_without_news(record: &Record) -> bool {
    match &record.body {
        Body::Message(body) => body.role == fdr_capture::ROLE_PROGRESS,
        Body::Context(body) if body.what == "transcript" => {
            record.claimed.as_ref().is_some_and(|claimed| claimed.offset.is_some_and(|offset| offset > 0))
        }
        _ => false,
    }
}
