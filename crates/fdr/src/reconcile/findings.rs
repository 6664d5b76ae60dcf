//! What the sources of a session tell against each other.
//!
//! A finding says what was seen, and no more: each name has with it what it proves and what it does
//! not. What is known to be harmless in a runtime is in [`Habits`].

use super::calls::{Call, Calls, Source, content_of, event_of, is_before, is_of_proxy, is_of_work, mcp_tool};
use super::compare::{Told, same_arguments};
use super::transcript::{Standing, Transcript};
use crate::text::counted;
use crate::trail::{Concern, Row, SessionView};
use fdr_record::{Body, Mode, Outcome, Timestamp, Verb, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

macro_rules! names {
    ($($name:ident = $text:literal, $proves:literal, $not:literal;)*) => {
        /// What is found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name { $(#[doc = $proves] $name,)* }

        impl Name {
            /// Every one.
            #[cfg(test)]
            pub const ALL: &[Name] = &[$(Name::$name),*];

            /// The fixed word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Name::$name => $text,)* }
            }

            /// What it proves.
            pub fn proves(self) -> &'static str {
                match self { $(Name::$name => $proves,)* }
            }

            /// What it does not prove.
            pub fn proves_not(self) -> &'static str {
                match self { $(Name::$name => $not,)* }
            }
        }
    };
}

names! {
    ExecutedWithoutDecision = "executed_without_decision",
        "one source tells that the call ran, and the recorder was not asked before it did",
        "intent: a hook that failed, was killed, or is not called for this tool leaves the same trace";
    ExecutedAgainstDecision = "executed_against_decision",
        "the recorder refused the call, and one source tells that it ran all the same",
        "who let it run: a runtime may pass over its hook's answer, and a person may have allowed it there";
    DecidedWithoutOutcome = "decided_without_outcome",
        "the call was let through, and no source tells what came of it",
        "that it ran, or that it did not";
    ArgumentsChanged = "arguments_changed",
        "what was decided on is not what another source tells of the same call",
        "who changed it: another hook may rewrite arguments, and whoever can write the transcript can change it there";
    HookNeverHeard = "hook_never_heard",
        "the model asked for the call, and no hook told of it before, although hooks were on",
        "that it ran";
    AfterHookMissing = "after_hook_missing",
        "the call ran, and the hook event that tells so for calls of this tool did not come",
        "why: a hook that failed or was killed leaves the same trace";
    HookAbsent = "hook_absent",
        "for a stretch of the session no hook told of the calls that another source has",
        "why: hooks may have been switched off, have failed, or have been set up only later";
    ResultDiffers = "result_differs",
        "two sources have different results for the same call",
        "which of the two the model was given";
    OutcomeDiffers = "outcome_differs",
        "by one source the call was refused, by another it ran",
        "which of the two is right";
    TranscriptEdited = "transcript_edited",
        "bytes of the transcript that were read before are not there any more as they were read",
        "who changed them; what was read before is kept in the log, under its proofs";
    ForgedHookEvent = "forged_hook_event",
        "a hook event came in that does not belong to what else is known of the session",
        "that somebody forged it: a transcript from which the call was taken out, or an agent that went on in another process, looks the same";
    NotThroughProxy = "not_through_proxy",
        "the agent tells of a call of an MCP server which the proxy in front of that server did not see",
        "that the server was called in another way: the agent may tell of a call that it did not make";
    Spooled = "spooled",
        "these events were kept by the hook while no recorder could be reached, and taken in later",
        "that they came from the agent: nobody observed who sent them, and nothing could be held";
    Gap = "gap",
        "the recorder itself says that something is missing or out of order",
        "what it was";
    Unparsed = "unparsed",
        "something of this session could not be read; its bytes are kept",
        "that it matters";
    RecordsMissing = "records_missing",
        "the numbers of the session's records leave some out",
        "what they were; fdr verify tells whether the log was changed";
}

/// A place in a transcript.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: u64,
}

/// Something found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: Name,
    /// What was seen, in one sentence.
    pub said: String,
    /// The records concerned: positions in [`SessionView::rows`], in order.
    pub rows: BTreeSet<usize>,
    /// The calls concerned: positions in [`Calls::list`].
    pub calls: Vec<usize>,
    /// Where a transcript tells of it.
    pub places: BTreeSet<Place>,
}

/// What is usual in a runtime, and so is no finding.
struct Habits {
    /// Its hooks say which sub-agent an event is of.
    marks_subagents: bool,
    /// Its hooks tell what came of every call, refused ones too.
    tells_every_outcome: bool,
    /// There is an event after every call that ran.
    tells_every_run: bool,
    /// It tells its hooks when a sub-agent starts.
    tells_starts: bool,
    /// Tools that no hook is asked about.
    unheard: &'static [&'static str],
    /// The tool whose programs call other tools, which no transcript has.
    runs_programs: Option<&'static str>,
}

/// A script's own calls are asked about, each by itself, and the script can do nothing else; the others
/// run at the provider, or wait.
const UNHEARD_OF_CODEX: &[&str] = &["exec", "wait", "web_search", "image_generation", "tool_search"];

fn habits(runtime: &str) -> Habits {
    let usual = Habits {
        marks_subagents: true,
        tells_every_outcome: false,
        tells_every_run: true,
        tells_starts: false,
        unheard: &[],
        runs_programs: None,
    };
    match runtime {
        "claude-code" => Habits { tells_every_outcome: true, tells_starts: true, ..usual },
        // A patch that is applied through the shell has an event before it and none after.
        "codex" => Habits { tells_starts: true, tells_every_run: false, unheard: UNHEARD_OF_CODEX, ..usual },
        "gemini-cli" => Habits { marks_subagents: false, ..usual },
        "hermes" => Habits { tells_every_outcome: true, runs_programs: Some("execute_code"), ..usual },
        _ => usual,
    }
}

/// How long after its end a session's transcript is taken to be whole, in nanoseconds.
const SETTLED_NANOS: u64 = 5_000_000_000;

/// The content of a record: its row, and the role of the content.
pub type Content<'c> = &'c dyn Fn(&Row, &str) -> Option<Vec<u8>>;

/// All that is known.
pub struct Evidence<'e> {
    pub view: &'e SessionView,
    pub calls: &'e Calls,
    /// None if only the records are looked at.
    pub transcripts: Option<&'e [Transcript]>,
    pub content: Content<'e>,
    pub now: Timestamp,
}

/// What is found, and what is to be known beside it.
#[derive(Debug, Default)]
pub struct Found {
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
}

/// Looks for everything.
pub fn find(evidence: &Evidence<'_>) -> Found {
    let mut search = Search::new(evidence);
    for number in 0..evidence.calls.list.len() {
        search.call(number);
    }
    search.stretches();
    search.proxied();
    search.processes();
    search.out_of_place();
    search.transcripts();
    search.records();
    search.write_notes();
    let mut found = search.found;
    let first = |finding: &Finding| {
        let row = finding.rows.first().map(|at| evidence.view.rows[*at].when());
        let call = finding.calls.first().map(|number| evidence.calls.list[*number].when);
        row.into_iter().chain(call).min()
    };
    found.findings.sort_by_key(|finding| (first(finding), finding.name));
    found
}

struct Search<'e> {
    evidence: &'e Evidence<'e>,
    view: &'e SessionView,
    list: &'e [Call],
    /// Sessions of which hooks told.
    hooked: HashSet<&'e str>,
    /// From when to when a transcript tells of an agent of a session.
    covers: HashMap<(&'e str, &'e str), (Timestamp, Timestamp)>,
    /// When the main agents of the sessions ended.
    ended: HashMap<&'e str, Timestamp>,
    /// When an agent of a session was last at work, and when a turn of it was last over.
    at_work: HashMap<(&'e str, &'e str), Timestamp>,
    turned: HashMap<(&'e str, &'e str), Timestamp>,
    /// Calls of which no hook told at all, and how they are spoken of.
    silent: BTreeMap<usize, (Name, String)>,
    /// Calls without an outcome that their runtime would tell only in its transcript.
    untold: usize,
    /// Calls of tools that hooks are not asked about.
    unheard: usize,
    found: Found,
}

impl<'e> Search<'e> {
    fn new(evidence: &'e Evidence<'e>) -> Search<'e> {
        let view = evidence.view;
        let mut hooked = HashSet::new();
        let mut ended = HashMap::new();
        let mut covers: HashMap<(&str, &str), (Timestamp, Timestamp)> = HashMap::new();
        let mut widen = |key: (&'e str, &'e str), (from, to): (Timestamp, Timestamp)| {
            let (first, last) = covers.entry(key).or_insert((from, to));
            (*first, *last) = ((*first).min(from), (*last).max(to));
        };
        let (mut at_work, mut turned) = (HashMap::new(), HashMap::new());
        for row in &view.rows {
            let (Some(record), Some(session)) = (row.record(), row.session()) else { continue };
            let newest = |times: &mut HashMap<_, Timestamp>| {
                let newest = times.entry((session, row.agent().unwrap_or(session))).or_insert(row.when());
                *newest = (*newest).max(row.when());
            };
            if is_of_work(row.kind()) {
                newest(&mut at_work);
            }
            let is_turn = match &record.body {
                Body::Prompt(_) | Body::SessionEnd(_) => true,
                Body::Message(message) => message.role.starts_with("turn_"),
                _ => false,
            };
            if is_turn {
                newest(&mut turned);
            }
            match Source::of(record) {
                Some(Source::Hook) => {
                    hooked.insert(session);
                    match record.body {
                        Body::SessionEnd(_) if row.agent() == Some(session) => {
                            ended.insert(session, row.when());
                        }
                        // It was taken up again.
                        Body::SessionStart(_) | Body::Prompt(_) if row.agent() == Some(session) => {
                            ended.remove(session);
                        }
                        _ => {}
                    }
                }
                Some(Source::Transcript) => {
                    let when = record.claimed.as_ref().and_then(|claimed| claimed.ts);
                    if let (Some(when), Some(agent)) = (when, row.agent()) {
                        widen((session, agent), (when, when));
                    }
                }
                _ => {}
            }
        }
        for transcript in evidence.transcripts.into_iter().flatten() {
            for ((session, agent), span) in &transcript.covers {
                widen((session, agent), *span);
            }
        }
        Search {
            evidence,
            view,
            list: &evidence.calls.list,
            hooked,
            covers,
            ended,
            at_work,
            turned,
            silent: BTreeMap::new(),
            untold: 0,
            unheard: 0,
            found: Found::default(),
        }
    }

    fn row(&self, at: usize) -> &'e Row {
        &self.view.rows[at]
    }

    fn result(&self, at: usize) -> Option<&'e fdr_record::ResultBody> {
        match self.row(at).body() {
            Some(Body::Result(body)) => Some(body),
            _ => None,
        }
    }

    fn content(&self, at: usize, role: &str) -> Option<Vec<u8>> {
        content_of(self.row(at), role)?;
        (self.evidence.content)(self.row(at), role)
    }

    /// `Bash (toolu_01…)`.
    fn name_of(&self, call: &Call) -> String {
        let tool = if call.tool.is_empty() { "a tool" } else { &call.tool };
        match call.is_unnamed() {
            true => tool.to_owned(),
            false => format!("{tool} ({})", call.id),
        }
    }

    fn add(&mut self, name: Name, said: String, calls: &[usize], rows: impl IntoIterator<Item = usize>) {
        let mut rows: BTreeSet<usize> = rows.into_iter().collect();
        let mut places = BTreeSet::new();
        for number in calls {
            let call = &self.list[*number];
            rows.extend(call.action);
            if rows.is_empty() {
                rows.extend(call.after.first().or(call.shown.first()).or(call.told.as_ref()));
            }
            if let Some(written) = &call.written {
                places.insert(Place { file: written.file.clone(), line: written.line });
            }
        }
        self.found.findings.push(Finding { name, said, rows, calls: calls.to_vec(), places });
    }

    /// Whether a source beside the records says that a call ran.
    fn ran(&self, call: &Call) -> Option<&'static str> {
        let outcome_of = |at: usize| self.result(at).map(|body| body.outcome);
        let is_run = |outcome| matches!(outcome, Some(Outcome::Ok | Outcome::Error));
        if call.after.iter().any(|at| is_run(outcome_of(*at))) {
            return Some("its hook told afterwards that it ran");
        }
        if call.proxied.is_some_and(|number| is_run(self.evidence.calls.proxied[number].outcome)) {
            return Some("it went through the MCP proxy and was answered");
        }
        // What a transcript has as an error may be a refusal in a hook's own words.
        let told = call.written.as_ref().and_then(|written| written.outcome);
        let told = told.or_else(|| call.told.and_then(outcome_of));
        (told == Some(Outcome::Ok)).then_some("the transcript has its result")
    }

    fn is_refused_by_policy(&self, call: &Call) -> bool {
        let denied =
            call.facts.action.is_some_and(|own| own.verdict == Verdict::Deny && own.mode == Mode::Enforce);
        denied || call.facts.is_held() && call.facts.granted().is_none()
    }

    fn call(&mut self, number: usize) {
        let call = &self.list[number];
        let hooked = self.hooked.contains(call.session.as_str());
        if hooked && call.before.is_none() {
            self.not_asked_before(number);
        }
        let against = call
            .facts
            .concerns(true)
            .into_iter()
            .any(|concern| matches!(concern, Concern::RanAgainstPolicy | Concern::RanWithoutGrant));
        if let Some(how) = self.ran(call).filter(|_| self.is_refused_by_policy(call) || against) {
            let said = format!("{} was refused, and {how}", self.name_of(call));
            let rows: Vec<usize> = call.after.iter().copied().chain(self.proxy_rows(call)).collect();
            self.add(Name::ExecutedAgainstDecision, said, &[number], rows);
        } else {
            self.outcome(number);
        }
        self.arguments(number);
        self.results(number);
        self.unknown_to_transcript(number);
    }

    fn proxy_rows(&self, call: &Call) -> Vec<usize> {
        let proxied = call.proxied.map(|number| &self.evidence.calls.proxied[number]);
        proxied.into_iter().flat_map(|proxied| [Some(proxied.action), proxied.result]).flatten().collect()
    }

    /// A call that no event before it told of.
    fn not_asked_before(&mut self, number: usize) {
        let call = &self.list[number];
        let told = call.written.as_ref().and_then(|written| written.outcome);
        let outcome = call.facts.outcome.or(told);
        let ran = self.ran(call);
        // What the runtime turns down by itself, or was taken back, it does not ask about.
        let turned_down = matches!(outcome, Some(Outcome::Rejected | Outcome::Denied | Outcome::Interrupted));
        if ran.is_none() && turned_down {
            return;
        }
        if habits(&call.runtime).unheard.contains(&call.tool.as_str()) {
            self.unheard += 1;
            return;
        }
        let is_silent = call.after.is_empty() && call.shown.is_empty();
        let (name, what) = match ran {
            Some(how) => (Name::ExecutedWithoutDecision, format!("and {how}")),
            None if is_silent && call.proxied.is_none() && !self.is_past(call) => return,
            None => (Name::HookNeverHeard, "whether it ran is not told".to_owned()),
        };
        let said = format!("no hook told of {} before it ran; {what}", self.name_of(call));
        let said = said.replace("; and ", ", and ");
        if is_silent {
            self.silent.insert(number, (name, said));
        } else {
            let rows: Vec<usize> = call.after.iter().chain(&call.shown).copied().collect();
            self.add(name, said, &[number], rows);
        }
    }

    /// Whether the agent has gone on since: what a running one has only just asked for may be told
    /// at any moment.
    fn is_past(&self, call: &Call) -> bool {
        let last = self.at_work.get(&(call.session.as_str(), call.agent.as_str()));
        self.ended.contains_key(call.session.as_str()) || last.is_some_and(|last| *last > call.when)
    }

    /// What is not known for a call without hooks, of a stretch or by itself.
    fn stretches(&mut self) {
        let silent = std::mem::take(&mut self.silent);
        let mut by_agent: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (number, call) in self.list.iter().enumerate() {
            by_agent.entry((&call.session, &call.agent)).or_default().push(number);
        }
        for numbers in by_agent.into_values() {
            for run in numbers.chunk_by(|a, b| silent.contains_key(a) == silent.contains_key(b)) {
                if !silent.contains_key(&run[0]) {
                    continue;
                }
                let turns: HashSet<(Option<usize>, Option<u64>)> = run
                    .iter()
                    .map(|number| {
                        let call = &self.list[*number];
                        (call.asked, call.written.as_ref().map(|written| written.line))
                    })
                    .collect();
                if turns.len() < 2 {
                    for number in run {
                        let (name, said) = silent[number].clone();
                        let rows =
                            self.list[*number].asked.into_iter().chain(self.proxy_rows(&self.list[*number]));
                        let rows: Vec<usize> = rows.collect();
                        self.add(name, said, &[*number], rows);
                    }
                    continue;
                }
                let ran =
                    run.iter().filter(|number| silent[number].0 == Name::ExecutedWithoutDecision).count();
                let said = format!(
                    "no hook told of {} in a row, which other sources have; {} of them ran",
                    counted(run.len() as u64, "call"),
                    ran
                );
                let rows: Vec<usize> = run.iter().filter_map(|number| self.list[*number].asked).collect();
                self.add(Name::HookAbsent, said, run, rows);
            }
        }
    }

    /// What came of a call that was let through.
    fn outcome(&mut self, number: usize) {
        let call = &self.list[number];
        let written = call.written.as_ref().and_then(|written| written.outcome);
        let proxied = call.proxied.and_then(|number| self.evidence.calls.proxied[number].outcome);
        match call.facts.outcome {
            Some(Outcome::Denied | Outcome::Rejected) => {
                let by = match (written, proxied) {
                    (Some(Outcome::Ok), _) => "the transcript has its result",
                    (_, Some(Outcome::Ok | Outcome::Error)) => {
                        "it went through the MCP proxy and was answered"
                    }
                    _ => return,
                };
                let said = format!("by the hooks {} was refused, but {by}", self.name_of(call));
                let rows: Vec<usize> = call.after.iter().copied().chain(self.proxy_rows(call)).collect();
                self.add(Name::OutcomeDiffers, said, &[number], rows);
            }
            Some(Outcome::Ok) if written == Some(Outcome::Denied) && call.told.is_none() => {
                let said =
                    format!("by the hooks {} ran, but by the transcript it was refused", self.name_of(call));
                self.add(Name::OutcomeDiffers, said, &[number], call.after.clone());
            }
            _ if self.is_after_missing(call) => {
                let by = if written == Some(Outcome::Ok) { "transcript" } else { "MCP proxy" };
                let said = format!("{} ran by the {by}, and no hook event told so", self.name_of(call));
                let rows: Vec<usize> = call.shown.iter().copied().chain(self.proxy_rows(call)).collect();
                self.add(Name::AfterHookMissing, said, &[number], rows);
            }
            Some(_) => {}
            None if written.is_some() || proxied.is_some() || self.is_refused_by_policy(call) => {}
            // Of what no hook told, it is said elsewhere.
            None if call.before.is_none() || !self.turn_is_over(call) => {}
            None if habits(&call.runtime).tells_every_outcome || self.is_covered(call) => {
                let said =
                    format!("{} was let through, and nothing tells what came of it", self.name_of(call));
                self.add(Name::DecidedWithoutOutcome, said, &[number], []);
            }
            None => self.untold += 1,
        }
    }

    /// Whether a call was begun by the hooks and ran by another source, and the event after it, which
    /// other calls of the same tool have, did not come.
    fn is_after_missing(&self, call: &Call) -> bool {
        let told_after = |call: &Call| {
            call.after.iter().any(|at| {
                let outcome = self.result(*at).map(|body| body.outcome);
                matches!(outcome, Some(Outcome::Ok | Outcome::Error | Outcome::Interrupted))
            })
        };
        let written = call.written.as_ref().and_then(|written| written.outcome);
        let proxied = call.proxied.and_then(|number| self.evidence.calls.proxied[number].outcome);
        let ran = written == Some(Outcome::Ok) || matches!(proxied, Some(Outcome::Ok | Outcome::Error));
        ran && call.before.is_some()
            && self.is_past(call)
            && habits(&call.runtime).tells_every_run
            && !told_after(call)
            && self
                .list
                .iter()
                .any(|other| other.session == call.session && other.tool == call.tool && told_after(other))
    }

    /// Whether the agent's turn in which a call was made is over.
    fn turn_is_over(&self, call: &Call) -> bool {
        let last = self.turned.get(&(call.session.as_str(), call.agent.as_str()));
        self.ended.contains_key(call.session.as_str()) || last.is_some_and(|last| *last > call.when)
    }

    fn arguments(&mut self, number: usize) {
        let call = &self.list[number];
        let Some(action) = call.action.filter(|_| call.before.is_some() || call.written.is_some()) else {
            return;
        };
        let other_form = call.written.as_ref().is_some_and(|written| written.tool != call.tool);
        let decided = self.content(action, "args");
        let differs = |other: Option<Vec<u8>>, other_form: bool| match (&decided, other) {
            (Some(decided), Some(other)) => !same_arguments(decided, &other, other_form),
            // What is not kept can't be compared; that it changed was said.
            _ => true,
        };
        let mut how = Vec::new();
        let mut rows = Vec::new();
        for at in &call.after {
            if self.result(*at).is_some_and(|body| body.arguments_changed)
                && differs(self.content(*at, "args"), false)
            {
                how.push("it ran with other arguments than those that were decided on, as its hook told afterwards");
                rows.push(*at);
            }
        }
        for at in &call.gaps {
            let Some(Body::Gap(gap)) = self.row(*at).body() else { continue };
            let of_arguments = gap.what == "arguments_differ"
                || gap.what == "transcript_differs" && content_of(self.row(*at), "args").is_some();
            let from_transcript = self.row(*at).record().and_then(Source::of) == Some(Source::Transcript);
            if of_arguments && differs(self.content(*at, "args"), from_transcript && other_form) {
                how.push(match from_transcript {
                    true => "the transcript had other arguments than those that were decided on",
                    false => "the model is said to have asked for something else than what was decided on",
                });
                rows.push(*at);
            }
        }
        if let Some(written) = &call.written
            && rows.is_empty()
            && decided.is_some()
            // A script's patch is told by the files that it changed.
            && !written.arguments.starts_with(b"{\"changes\":")
            && differs(Some(written.arguments.clone()), other_form)
        {
            how.push("the transcript has other arguments than those that were decided on");
        }
        let proxied = call.proxied.filter(|_| self.evidence.transcripts.is_some());
        if let Some(proxied) = proxied.map(|number| &self.evidence.calls.proxied[number]) {
            let args = self.content(proxied.action, "args");
            if decided.is_some() && args.is_some() && differs(args, false) {
                how.push("the MCP proxy saw other arguments than those that were decided on");
                rows.push(proxied.action);
            }
        }
        if !how.is_empty() {
            let said = format!("{}: {}", self.name_of(call), how.join("; "));
            self.add(Name::ArgumentsChanged, said, &[number], rows);
        }
    }

    fn results(&mut self, number: usize) {
        let call = &self.list[number];
        let told = |bytes: &[u8]| Told::new([bytes]);
        let shown = call.shown.last().and_then(|at| Some((*at, self.content(*at, "result")?)));
        let mut how = Vec::new();
        let mut rows = Vec::new();
        for at in &call.gaps {
            let Some(Body::Gap(gap)) = self.row(*at).body() else { continue };
            if gap.what != "transcript_differs" {
                continue;
            }
            let Some(theirs) = self.content(*at, "result") else { continue };
            if shown.as_ref().is_none_or(|(_, ours)| !told(ours).is_same_view(&told(&theirs))) {
                how.push("the transcript had another result than the hook was given");
                rows.push(*at);
            }
        }
        // Everything below needs what is not in the records alone.
        if self.evidence.transcripts.is_some() {
            let written = call.written.as_ref().and_then(|written| written.result.as_deref());
            let ran = |at: &&usize| self.result(**at).is_some();
            let observed =
                call.after.iter().filter(ran).find_map(|at| Some((*at, self.content(*at, "result")?)));
            match (&shown, &observed, written) {
                (Some((at, ours)), _, Some(theirs))
                    if rows.is_empty() && !told(ours).is_same_view(&told(theirs)) =>
                {
                    how.push("the transcript has another result than the hook was told the model got");
                    rows.push(*at);
                }
                (None, Some((at, ours)), Some(theirs))
                    if rows.is_empty()
                        && self.is_told_in_full(call, *at)
                        && !told(ours).agrees(&told(theirs)) =>
                {
                    how.push("the transcript has another result than the hook was told");
                    rows.push(*at);
                }
                _ => {}
            }
            // What a command printed is what the model is given.
            if let (Some((seen, shown)), Some((at, ours))) = (&shown, &observed)
                && content_of(self.row(*at), "stdout").is_some()
                && !told(ours).agrees(&told(shown))
            {
                how.push("what the model was given is not what the command printed, as the hook was told");
                rows.extend([*at, *seen]);
            }
            let proxied = call.proxied.and_then(|number| self.evidence.calls.proxied[number].result);
            let proxied = proxied.and_then(|at| Some((at, self.content(at, "result")?)));
            let of_agent = shown.as_ref().map(|(_, text)| text.as_slice()).or(written);
            let of_agent = of_agent.or(observed.as_ref().map(|(_, text)| text.as_slice()));
            if let (Some((at, ours)), Some(theirs)) = (&proxied, of_agent)
                && !told(ours).agrees(&told(theirs))
            {
                how.push("the MCP proxy saw another result than the model was given");
                rows.push(*at);
            }
        }
        if !how.is_empty() {
            let said = format!("{}: {}", self.name_of(call), how.join("; "));
            self.add(Name::ResultDiffers, said, &[number], rows);
        }
    }

    /// Whether what a hook was told is what a tool gave back, and not a word on it.
    fn is_told_in_full(&self, call: &Call, at: usize) -> bool {
        let refused = matches!(
            self.result(at).map(|body| body.outcome),
            None | Some(Outcome::Denied | Outcome::Rejected | Outcome::Interrupted | Outcome::Unknown)
        );
        let written = call.written.as_ref().and_then(|written| written.outcome);
        !refused && !matches!(written, Some(Outcome::Denied | Outcome::Rejected | Outcome::Interrupted))
    }

    /// Whether a transcript would have a call, had the model asked for it.
    fn is_covered(&self, call: &Call) -> bool {
        let Some((_, last)) = self.covers.get(&(call.session.as_str(), call.agent.as_str())) else {
            return false;
        };
        if *last > call.when {
            return true;
        }
        let settled = self
            .ended
            .get(call.session.as_str())
            .is_some_and(|ended| call.when <= *ended && self.evidence.now.0 > ended.0 + SETTLED_NANOS);
        let read_now = self.evidence.transcripts.into_iter().flatten().any(|transcript| {
            transcript.covers.contains_key(&(call.session.clone(), call.agent.clone()))
                && !matches!(transcript.standing, Standing::Gone | Standing::Unreadable(_))
        });
        settled && read_now
    }

    /// Whether a call may be one of a sub-agent that the hooks don't tell apart.
    fn may_be_of_subagent(&self, call: &Call) -> bool {
        if habits(&call.runtime).marks_subagents {
            return false;
        }
        self.list.iter().any(|other| {
            let delegates = other.session == call.session
                && other.action.is_some_and(|at| match self.row(at).body() {
                    Some(Body::Action(body)) => body.actions.iter().any(|a| a.action == Verb::Delegate),
                    _ => false,
                });
            let until = other.after.iter().map(|at| self.row(*at).when()).max();
            delegates && other.when < call.when && until.is_none_or(|until| call.when < until)
        })
    }

    /// Whether a call is one that a program of the agent made: without an id, and while it ran.
    fn may_be_of_program(&self, call: &Call) -> bool {
        let Some(tool) = habits(&call.runtime).runs_programs.filter(|_| call.is_unnamed()) else {
            return false;
        };
        self.list.iter().any(|other| {
            let until = other.after.iter().map(|at| self.row(*at).when()).max();
            (&other.session, &other.agent, other.tool.as_str()) == (&call.session, &call.agent, tool)
                && other.when <= call.when
                && until.is_none_or(|until| call.when <= until)
        })
    }

    fn unknown_to_transcript(&mut self, number: usize) {
        let call = &self.list[number];
        let by_hook = call.before.is_some() || !call.after.is_empty();
        let known = call.asked.is_some() || call.told.is_some() || call.written.is_some();
        if !by_hook
            || known
            || !self.is_covered(call)
            || self.may_be_of_subagent(call)
            || self.may_be_of_program(call)
        {
            return;
        }
        let said = format!(
            "a hook told of {}, and the transcript, which covers that time, does not have it",
            self.name_of(call)
        );
        let rows: Vec<usize> = call.before.iter().chain(&call.after).copied().collect();
        self.add(Name::ForgedHookEvent, said, &[number], rows);
    }

    /// Calls at the proxy that nobody told of, and those of which it should have seen something.
    fn proxied(&mut self) {
        let proxied = &self.evidence.calls.proxied;
        for one in proxied.iter().filter(|one| !one.is_known && one.tool != "resources/read") {
            let row = self.row(one.action);
            let parent = row.record().and_then(|record| record.agent.as_ref()?.parent.as_deref());
            // Which agent a server was started by is not always known.
            if !parent.is_some_and(|parent| self.hooked.contains(parent)) {
                continue;
            }
            let said = format!(
                "the MCP proxy saw a call of {}/{}, and no hook and no transcript of the session tells of it",
                one.server, one.tool
            );
            let rows: Vec<usize> = [Some(one.action), one.result].into_iter().flatten().collect();
            self.add(Name::ExecutedWithoutDecision, said, &[], rows);
        }
        // The servers that are known to be behind a proxy, by the name that the agent has for them.
        let mut behind: HashMap<&str, Vec<&str>> = HashMap::new();
        for call in self.list {
            if let (Some(number), Some((server, _))) = (call.proxied, mcp_tool(self.view, call)) {
                let session = self.row(proxied[number].action).session().unwrap_or_default();
                behind.entry(server).or_default().push(session);
            }
        }
        for (number, call) in self.list.iter().enumerate() {
            let Some((server, tool)) = mcp_tool(self.view, call).filter(|_| call.proxied.is_none()) else {
                continue;
            };
            let Some(sessions) = behind.get(server) else { continue };
            let is_while =
                |row: &&Row| is_of_proxy(row) && row.session().is_some_and(|s| sessions.contains(&s));
            let times: Vec<Timestamp> = self.view.rows.iter().filter(is_while).map(Row::when).collect();
            let (first, last) = (times.iter().min(), times.iter().max());
            let within = first.is_some_and(|t| *t <= call.when) && last.is_some_and(|t| *t >= call.when);
            if within && call.facts.outcome == Some(Outcome::Ok) {
                let said = format!(
                    "{} is said to have run, and the MCP proxy in front of {server} saw no such call of {tool}",
                    self.name_of(call)
                );
                self.add(Name::NotThroughProxy, said, &[number], call.after.clone());
            }
        }
    }

    /// Hook events that came from another process than the agent's.
    fn processes(&mut self) {
        let mut sessions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut order: Vec<usize> = (0..self.view.rows.len()).collect();
        order.sort_by_key(|at| self.row(*at).index);
        for at in order {
            let row = self.row(at);
            let Some(record) = row.record() else { continue };
            let observed = record.observed.as_ref().filter(|observed| !observed.late);
            // An orphan is below the first process of the machine.
            let seen = observed.is_some_and(|o| o.pid.is_some_and(|pid| pid > 1) && o.exe.is_some());
            if seen
                && Source::of(record) == Some(Source::Hook)
                && let Some(session) = row.session()
            {
                sessions.entry(session).or_default().push(at);
            }
        }
        let confirmed: HashSet<usize> = self
            .list
            .iter()
            .filter(|call| call.asked.is_some() || call.written.is_some())
            .flat_map(|call| call.before.iter().chain(&call.after).chain(&call.shown).copied())
            .collect();
        for rows in sessions.into_values() {
            self.processes_of(&rows, &confirmed);
        }
    }

    fn process(&self, at: usize) -> (u32, &'e str, u32) {
        let observed = self.row(at).record().and_then(|record| record.observed.as_ref());
        observed.map_or((0, "", 0), |observed| {
            let exe = observed.exe.as_deref().unwrap_or_default();
            (
                observed.pid.unwrap_or_default(),
                exe.trim_end_matches(" (deleted)"),
                observed.uid.unwrap_or_default(),
            )
        })
    }

    fn processes_of(&mut self, rows: &[usize], confirmed: &HashSet<usize>) {
        let mut last: HashMap<(u32, &str, u32), usize> = HashMap::new();
        let mut count: HashMap<(u32, &str, u32), usize> = HashMap::new();
        for (position, at) in rows.iter().enumerate() {
            last.insert(self.process(*at), position);
            *count.entry(self.process(*at)).or_default() += 1;
        }
        if count.len() < 2 {
            return;
        }
        // The agent's processes, one after the other: each begins with the start of a session, and
        // the one before is not heard of any more then.
        let mut own: Vec<(u32, &str, u32)> = Vec::new();
        for (position, at) in rows.iter().enumerate() {
            let is_start = matches!(self.row(*at).body(), Some(Body::SessionStart(_)))
                && self.row(*at).agent() == self.row(*at).session();
            let process = self.process(*at);
            let before_is_over = own.last().is_none_or(|before| last[before] < position);
            if is_start && !own.contains(&process) && before_is_over {
                own.push(process);
            }
        }
        if own.is_empty() {
            own.extend(
                count
                    .iter()
                    .max_by_key(|(process, count)| (**count, std::cmp::Reverse(*process)))
                    .map(|(p, _)| *p),
            );
        }
        let mut strange: BTreeMap<(u32, &str, u32), Vec<usize>> = BTreeMap::new();
        for at in rows {
            let process = self.process(*at);
            let same_program = own.iter().any(|(_, exe, uid)| (*exe, *uid) == (process.1, process.2));
            // The same program may well have several processes that work on one session.
            let is_call = is_of_work(self.row(*at).kind()) && self.row(*at).kind() != "prompt";
            let is_harmless = same_program && (!is_call || confirmed.contains(at) || !self.can_confirm(*at));
            if !own.contains(&process) && !is_harmless {
                strange.entry(process).or_default().push(*at);
            }
        }
        let agent = own.first().map_or("", |(_, exe, _)| exe);
        for ((pid, exe, uid), rows) in strange {
            let said = format!(
                "{} came from {exe} (pid {pid}, uid {uid}), which is not the agent's process ({agent}, pid {})",
                counted(rows.len() as u64, "hook event"),
                own.first().map_or(0, |(pid, _, _)| *pid),
            );
            let calls = |call: &Call| call.before.iter().chain(&call.after).any(|at| rows.contains(at));
            let calls: Vec<usize> = self
                .list
                .iter()
                .enumerate()
                .filter(|(_, call)| calls(call))
                .map(|(number, _)| number)
                .collect();
            self.add_unless_said(Name::ForgedHookEvent, said, &calls, rows);
        }
    }

    /// Whether a transcript tells of the agent of a record at that time.
    fn can_confirm(&self, at: usize) -> bool {
        let row = self.row(at);
        let key = (row.session().unwrap_or_default(), row.agent().unwrap_or_default());
        self.covers.get(&key).is_some_and(|(_, last)| *last > row.when())
    }

    /// Adds to a finding of that name on the same calls, if there is one.
    fn add_unless_said(&mut self, name: Name, said: String, calls: &[usize], rows: Vec<usize>) {
        let same =
            |finding: &&mut Finding| finding.name == name && rows.iter().any(|at| finding.rows.contains(at));
        match self.found.findings.iter_mut().find(same) {
            Some(finding) => {
                finding.said = format!("{}; {said}", finding.said);
                finding.rows.extend(rows);
                calls.iter().for_each(|call| {
                    if !finding.calls.contains(call) {
                        finding.calls.push(*call);
                    }
                });
            }
            None => self.add(name, said, calls, rows),
        }
    }

    /// Hook events after the end of their session, and of agents that never started.
    fn out_of_place(&mut self) {
        let mut ended: HashMap<&str, usize> = HashMap::new();
        let mut started: HashSet<(&str, &str)> = HashSet::new();
        let mut begun: HashSet<&str> = HashSet::new();
        for row in &self.view.rows {
            let (Some(session), Some(agent), Some(record)) = (row.session(), row.agent(), row.record())
            else {
                continue;
            };
            if matches!(record.body, Body::SessionStart(_)) {
                started.insert((session, agent));
                if agent == session && Source::of(record) == Some(Source::Hook) {
                    begun.insert(session);
                }
            } else if matches!(&record.body, Body::Context(body) if body.what == "subagent")
                || Source::of(record) == Some(Source::Transcript)
            {
                started.insert((session, agent));
            }
        }
        let mut late: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut orphans: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (at, row) in self.view.rows.iter().enumerate() {
            let (Some(session), Some(agent), Some(record)) = (row.session(), row.agent(), row.record())
            else {
                continue;
            };
            if Source::of(record) != Some(Source::Hook) {
                continue;
            }
            match &record.body {
                Body::SessionEnd(_) if agent == session => drop(ended.insert(session, at)),
                Body::SessionStart(_) | Body::Prompt(_) if agent == session => drop(ended.remove(session)),
                Body::Action(_) | Body::Result(_) if ended.contains_key(session) => {
                    late.entry(session).or_default().push(at);
                }
                _ => {}
            }
            let runtime = record.agent.as_ref().map_or("", |agent| agent.runtime.as_str());
            let is_orphan = agent != session
                && is_before(record)
                && begun.contains(session)
                && habits(runtime).tells_starts
                && !started.contains(&(session, agent))
                && !self.covers.contains_key(&(session, agent));
            if is_orphan {
                orphans.entry((session, agent)).or_default().push(at);
            }
        }
        let confirmed = |at: &usize| {
            self.list.iter().any(|call| {
                (call.asked.is_some() || call.written.is_some())
                    && (call.before == Some(*at) || call.after.contains(at))
            })
        };
        for rows in late.values_mut() {
            rows.retain(|at| !confirmed(at));
        }
        let calls_of = |rows: &[usize]| -> Vec<usize> {
            let is_of = |call: &Call| call.before.iter().chain(&call.after).any(|at| rows.contains(at));
            self.list.iter().enumerate().filter(|(_, call)| is_of(call)).map(|(number, _)| number).collect()
        };
        let mut found = Vec::new();
        for (_, rows) in late.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            let said =
                format!("{} came after the end of the session", counted(rows.len() as u64, "hook event"));
            found.push((said, calls_of(&rows), rows));
        }
        for ((_, agent), rows) in orphans {
            let said = format!(
                "{} came from the sub-agent {agent}, of which no hook and no transcript tells that it started",
                counted(rows.len() as u64, "hook event")
            );
            found.push((said, calls_of(&rows), rows));
        }
        for (said, calls, rows) in found {
            self.add_unless_said(Name::ForgedHookEvent, said, &calls, rows);
        }
    }

    /// Transcripts that are not as they were.
    fn transcripts(&mut self) {
        let mut changed: Vec<(usize, &str)> = Vec::new();
        for (at, row) in self.view.rows.iter().enumerate() {
            if let Some(Body::Gap(gap)) = row.body()
                && gap.what == "transcript_changed"
            {
                changed.push((at, &gap.detail));
            }
        }
        let edited =
            self.evidence.transcripts.into_iter().flatten().filter_map(|transcript| {
                match transcript.standing {
                    Standing::Changed(line) => Some((transcript, line)),
                    _ => None,
                }
            });
        for (transcript, line) in edited {
            let said = format!("{} is not as it was read, from line {line} on", transcript.file);
            let (seen, others) = changed.into_iter().partition(|(_, told)| told.contains(&transcript.file));
            changed = others;
            let seen = Vec::into_iter(seen).map(|(at, _): (usize, &str)| at);
            let rows: Vec<usize> = transcript.pieces.iter().copied().chain(seen).collect();
            self.add(Name::TranscriptEdited, said, &[], rows);
            if let Some(finding) = self.found.findings.last_mut() {
                finding.places.insert(Place { file: transcript.file.clone(), line });
            }
        }
        for (at, told) in changed {
            self.add(Name::TranscriptEdited, told.to_owned(), &[], [at]);
        }
    }

    /// What the records say of themselves.
    fn records(&mut self) {
        const TOLD_ELSEWHERE: [&str; 3] = ["arguments_differ", "transcript_differs", "transcript_changed"];
        let mut numbers: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
        let mut spooled: Vec<Vec<usize>> = Vec::new();
        let mut goes_on = false;
        for (at, row) in self.view.rows.iter().enumerate() {
            let Some(record) = row.record() else { continue };
            if let Some(session) = row.session() {
                numbers.entry(session).or_default().push((record.seq, at));
            }
            match &record.body {
                Body::Unparsed(body) => {
                    let said = format!("something could not be read: {}", body.reason);
                    self.add(Name::Unparsed, said, &[], [at]);
                }
                Body::Gap(gap) if row.session().is_none() || TOLD_ELSEWHERE.contains(&gap.what.as_str()) => {}
                Body::Gap(gap) if gap.what == "import_unfinished" && self.went_on(at) => {}
                Body::Gap(gap) => self.add(Name::Gap, format!("{}: {}", gap.what, gap.detail), &[], [at]),
                _ => {}
            }
            if Source::of(record) == Some(Source::Hook) {
                let late = record.observed.as_ref().is_some_and(|observed| observed.late);
                match (late, goes_on, spooled.last_mut()) {
                    (true, true, Some(run)) => run.push(at),
                    (true, _, _) => spooled.push(vec![at]),
                    _ => {}
                }
                goes_on = late;
            }
        }
        for run in spooled {
            let said =
                format!("{} of hooks, spooled and taken in later", counted(run.len() as u64, "record"));
            self.add(Name::Spooled, said, &[], run);
        }
        for (session, mut numbers) in numbers {
            numbers.sort_unstable();
            let first = numbers.first().map(|(seq, at)| (*seq, *at));
            let before = first.filter(|(seq, _)| *seq > 0);
            let between = numbers.windows(2).filter(|pair| pair[1].0 > pair[0].0 + 1);
            let holes: Vec<(u64, usize)> = before
                .into_iter()
                .chain(between.map(|pair| (pair[1].0 - pair[0].0 - 1, pair[1].1)))
                .collect();
            let missing: u64 = holes.iter().map(|(count, _)| count).sum();
            if missing > 0 {
                let said = format!("{} of session {session} are not there", counted(missing, "record"));
                let rows: Vec<usize> = holes.iter().map(|(_, at)| *at).collect();
                self.add(Name::RecordsMissing, said, &[], rows);
            }
        }
    }

    /// Whether a transcript that was left in the middle was read to its end afterwards.
    fn went_on(&self, at: usize) -> bool {
        let file = |row: &Row| row.record().and_then(|record| record.claimed.as_ref()?.file.clone());
        let left = self.row(at);
        self.view.rows.iter().any(|row| {
            let is_piece = matches!(row.body(), Some(Body::Context(body)) if body.what == "transcript");
            is_piece && row.index > left.index && file(row) == file(left)
        })
    }

    fn write_notes(&mut self) {
        let mut notes = Vec::new();
        if self.untold > 0 {
            notes.push(format!(
                "what came of {} is not known: the runtime tells it only in its transcript, which was not read",
                counted(self.untold as u64, "call")
            ));
        }
        if self.unheard > 0 {
            notes.push(format!(
                "{} of tools that this runtime asks no hook about",
                counted(self.unheard as u64, "call")
            ));
        }
        let sessions: BTreeSet<&str> = self
            .view
            .rows
            .iter()
            .filter(|row| !is_of_proxy(row) && row.record().is_some_and(|r| event_of(r).is_none()))
            .filter_map(Row::session)
            .collect();
        for session in sessions.into_iter().filter(|session| !self.hooked.contains(session)) {
            if self.list.iter().any(|call| call.session == session) {
                notes.push(format!(
                    "no hook told of session {session}: it is known from its transcript alone, so nothing was decided and nothing can be confirmed"
                ));
            }
        }
        self.found.notes = notes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_word_of_its_own_and_says_what_it_does_not_prove() {
        let words: HashSet<&str> = Name::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(words.len(), Name::ALL.len());
        for name in Name::ALL {
            assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!name.proves().is_empty() && !name.proves_not().is_empty());
        }
    }
}
