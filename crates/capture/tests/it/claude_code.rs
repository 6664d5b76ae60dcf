//! A real session of Claude Code 2.1.197: its hooks, then its transcripts; and input that no
//! runtime would send.

use fdr_capture::{Arrival, Captured, Chunk, Runtime, State};
use fdr_record::{
    Basis, Body, ContentKey, DecidedBy, Env, Kind, MAX_BYTES, Mode, Observed, Outcome, Record, RecordId, Rel,
    Status, Timestamp, Verdict,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

const HOOKS: &str = include_str!("../../../fdr/demo/claude-code-session.jsonl");
const TRANSCRIPT: &str = include_str!("../../../fdr/demo/transcript.jsonl");
const TRANSCRIPT_OF_SUBAGENT: &str = include_str!("../../../fdr/demo/transcript-subagent.jsonl");
const DOCUMENT: &str = include_str!("../../../../docs/claude-code.md");

pub fn runtime() -> &'static Runtime {
    fdr_capture::runtime("claude-code").expect("a runtime")
}

const SESSION: &str = "73ab4c72-03fd-4ef9-bbcf-23fe7872de1a";
const SUBAGENT: &str = "abef51bea84f450b4";

#[derive(Clone, Deserialize)]
struct Event {
    event: String,
    variables: HashMap<String, String>,
    payload: Value,
}

fn session() -> Vec<Event> {
    HOOKS.lines().map(|line| serde_json::from_str(line).expect("a line of the sample")).collect()
}

struct Recorder {
    key: ContentKey,
    state: State,
    mode: Mode,
    variables: Vec<(String, String)>,
    records: Vec<Record>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            key: ContentKey::new([7; 32]),
            state: State::default(),
            mode: Mode::Observe,
            variables: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl Recorder {
    /// One that went through the whole session.
    fn with_hooks() -> Recorder {
        let mut recorder = Recorder::default();
        for event in session() {
            recorder.event(&event);
        }
        recorder
    }

    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Captured {
        let arrival = Arrival {
            mono: 81_723_001_122,
            observed: Observed { uid: Some(1000), ..Observed::default() },
            env: Env { host: Some("devbox".to_owned()), ..Env::default() },
            variables: self.variables.clone(),
            home: "/home/dev".to_owned(),
            mode: self.mode,
            ..bare_arrival(&self.key)
        };
        let captured = make(&arrival, &mut self.state);
        self.check(&captured);
        self.records.extend(captured.records.iter().cloned());
        captured
    }

    /// What holds whatever came in.
    fn check(&self, captured: &Captured) {
        for record in &captured.records {
            let line = record.to_line();
            assert!(line.len() <= MAX_BYTES, "{} bytes in a record of {}", line.len(), record.kind);
            assert_eq!(Record::parse(&line).expect("a record that can be read"), *record);
            let scope = record.session.as_deref().unwrap_or_default();
            for reference in &record.content {
                let stored = captured.contents.iter().any(|content| {
                    content.bytes.len() as u64 == reference.len
                        && self.key.seal(scope, "", "", content.bytes.clone()).0.digest == reference.digest
                });
                assert!(stored, "the {} of a record of {} is not stored", reference.role, record.kind);
            }
        }
        let all = || self.records.iter().chain(&captured.records);
        for session in captured.records.iter().map(|record| &record.session).collect::<HashSet<_>>() {
            let seqs = all().filter(|record| record.session == *session).map(|record| record.seq);
            assert!(seqs.eq(0..all().filter(|record| record.session == *session).count() as u64));
        }
        let known: HashSet<RecordId> = all().map(|record| record.id).collect();
        assert!(
            captured.records.iter().flat_map(|record| &record.links).all(|link| known.contains(&link.id))
        );
    }

    fn event(&mut self, event: &Event) -> Captured {
        self.variables = event.variables.clone().into_iter().collect();
        self.hook(&event.event, event.payload.to_string().as_bytes())
    }

    fn hook(&mut self, event: &str, payload: &[u8]) -> Captured {
        let captured = self.take(|arrival, state| (runtime().hook)(event, payload, arrival, state));
        assert!(!captured.records.is_empty(), "{event} left no record");
        captured
    }

    fn import(&mut self, file: &str, text: &str) -> Vec<Record> {
        let import = runtime().import.expect("transcripts are read");
        let chunk = Chunk::whole(file, text.as_bytes());
        self.take(|arrival, state| import(&chunk, arrival, state)).records
    }

    fn import_both(&mut self) -> Vec<Record> {
        let mut records = self.import("/t/main.jsonl", TRANSCRIPT);
        records.extend(self.import("/t/subagents/agent.jsonl", TRANSCRIPT_OF_SUBAGENT));
        records
    }

    fn of_call(&self, id: &str, kind: Kind) -> Vec<&Record> {
        let of_kind = self.records.iter().filter(|record| record.kind == kind);
        of_kind.filter(|record| record.tool_use_id() == Some(id)).collect()
    }

    fn by_id(&self, id: RecordId) -> &Record {
        self.records.iter().find(|record| record.id == id).expect("a link to a record")
    }

    /// The action whose summary begins so, and its result.
    fn call(&self, summary: &str) -> (&Record, &Record) {
        let is_it = |record: &&Record| match &record.body {
            Body::Action(action) => action.summary.starts_with(summary),
            _ => false,
        };
        let action = self.records.iter().find(is_it).unwrap_or_else(|| panic!("no action {summary}"));
        let result = self.of_call(action.tool_use_id().expect("an id"), Kind::Result);
        (action, result.first().unwrap_or_else(|| panic!("no result of {summary}")))
    }
}

/// Every call that the payloads name, by agent.
fn calls() -> (HashSet<String>, HashSet<String>) {
    let (mut main, mut sub) = (HashSet::new(), HashSet::new());
    for event in session() {
        let calls = if event.payload.get("agent_id").is_some() { &mut sub } else { &mut main };
        let batch = event.payload["tool_calls"].as_array().cloned().unwrap_or_default();
        for payload in batch.iter().chain([&event.payload]) {
            calls.extend(payload["tool_use_id"].as_str().map(str::to_owned));
        }
    }
    assert_eq!((main.len(), sub.len()), (17, 2));
    (main, sub)
}

fn every_call_has_one_action_and_one_result(recorder: &Recorder) {
    let (main, sub) = calls();
    for id in main.union(&sub) {
        assert_eq!(recorder.of_call(id, Kind::Action).len(), 1, "actions of {id}");
        let results = recorder.of_call(id, Kind::Result);
        assert_eq!(results.len(), 1, "results of {id}");
        let action = recorder.of_call(id, Kind::Action)[0];
        assert_eq!(results[0].link(Rel::ResultOf), Some(action.id));
        let agent = if sub.contains(id) { SUBAGENT } else { SESSION };
        assert_eq!(action.agent.as_ref().expect("an agent").id, agent);
    }
    let count = |kind| recorder.records.iter().filter(|record| record.kind == kind).count();
    assert_eq!((count(Kind::Action), count(Kind::Result)), (19, 19));
}

/// One line a record, with what is not different from run to run.
fn table(records: &[Record]) -> String {
    let seq_of: HashMap<RecordId, u64> = records.iter().map(|record| (record.id, record.seq)).collect();
    let mut text = String::new();
    for record in records {
        let agent = match &record.agent {
            Some(agent) if agent.parent.is_some() => format!("{}<{}", agent.name, SUBAGENT),
            Some(agent) => agent.name.clone(),
            None => "-".to_owned(),
        };
        let decision = |decision: &fdr_record::RuntimeDecision| {
            let (verdict, by) = (decision.decision.as_str(), decision.by.as_str());
            let basis = if decision.basis == Basis::Stated { "stated" } else { "inferred" };
            format!("{verdict} by {by} {basis}")
        };
        let what = match &record.body {
            Body::Action(body) => {
                let acts = body.actions.iter().map(|action| {
                    format!(
                        "{} {}",
                        serde_json::to_value(action.action).unwrap().as_str().unwrap(),
                        action.resource.as_str()
                    )
                });
                format!("{} [{}]", body.tool, acts.collect::<Vec<_>>().join(", "))
            }
            Body::Result(body) => format!(
                "{} {}{}{} {}",
                body.tool,
                serde_json::to_value(body.outcome).unwrap().as_str().unwrap(),
                body.exit_code.map(|code| format!(" exit {code}")).unwrap_or_default(),
                if body.arguments_changed { " arguments-changed" } else { "" },
                body.runtime_decision.as_ref().map_or("-".to_owned(), decision),
            ),
            Body::Context(body) => body.what.clone(),
            Body::Message(body) => format!("{}: {}", body.role, body.preview.replace('\n', " ")),
            Body::Prompt(body) => body.preview.clone(),
            Body::SessionEnd(body) => format!("{} {}/{}", body.status.as_str(), body.denied, body.actions),
            Body::SessionStart(body) => body.source.clone().unwrap_or_default(),
            _ => String::new(),
        };
        let links = record.links.iter().map(|link| {
            let rel = serde_json::to_value(link.rel).unwrap();
            format!("{}:{}", rel.as_str().unwrap(), seq_of[&link.id])
        });
        let links = links.collect::<Vec<_>>().join(" ");
        let line = format!("{:>3} {} {agent} | {what} | {links}", record.seq, record.kind);
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

#[test]
fn every_call_of_a_session_has_one_action_and_one_result() {
    every_call_has_one_action_and_one_result(&Recorder::with_hooks());
}

#[test]
fn the_records_of_a_session_are_the_expected_ones() {
    let found = table(&Recorder::with_hooks().records);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/claude-code-session.expected");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &found).expect("the file of what is expected");
    }
    let expected = std::fs::read_to_string(path).expect("the file of what is expected");
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {} (UPDATE=1 rewrites the file)", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn outcomes_are_those_that_claude_code_told_and_by_whom_only_where_it_did() {
    let recorder = Recorder::with_hooks();
    let told = |summary: &str| match &recorder.call(summary).1.body {
        Body::Result(body) => body.clone(),
        other => panic!("{other:?}"),
    };
    let by = |summary: &str| {
        let body = told(summary);
        let decision = body.runtime_decision.expect("a decision");
        (body.outcome, decision.decision, decision.by, decision.basis)
    };
    use {
        Basis::{Inferred, Stated},
        DecidedBy::{Hook, Rule, Runtime, Sandbox, Unknown},
        Outcome::{Denied, Error, Rejected},
    };
    // The hook's reason alone, without a word on where it comes from.
    assert_eq!(by("rm -rf data"), (Denied, Verdict::Deny, Unknown, Inferred));
    assert_eq!(told("rm -rf data").reason.as_deref(), Some("policy R1: recursive delete is not permitted"));
    assert_eq!(by("chmod 777"), (Denied, Verdict::Deny, Hook, Stated));
    assert_eq!(by("git push"), (Denied, Verdict::Deny, Unknown, Inferred));
    assert_eq!(by("curl -s"), (Denied, Verdict::Deny, Rule, Stated));
    assert_eq!(by("touch allow-me"), (Denied, Verdict::Deny, Sandbox, Stated));
    assert_eq!((told("sh -c 'exit 3'").outcome, told("sh -c 'exit 3'").exit_code), (Error, Some(3)));
    assert_eq!(told("/home/dev/proj/missing.txt").outcome, Error);
    for summary in ["line", "**/*.md"] {
        assert_eq!(by(summary), (Rejected, Verdict::Deny, Runtime, Stated));
    }
    assert!(told("echo original").arguments_changed);
    assert_eq!(told("echo original").outcome, Outcome::Ok);
    let changed = recorder.records.iter().filter(|record| match &record.body {
        Body::Result(body) => body.arguments_changed,
        _ => false,
    });
    assert_eq!(changed.count(), 1);
}

#[test]
fn an_action_is_linked_to_what_led_to_it() {
    let recorder = Recorder::with_hooks();
    let (action, _) = recorder.call("/home/dev/proj/README.md");
    let prompt = recorder.by_id(action.link(Rel::PromptedBy).expect("a prompt"));
    assert_eq!(prompt.kind, Kind::Prompt);
    let said = recorder.by_id(action.link(Rel::DecidedBy).expect("what the model said"));
    assert!(
        matches!(&said.body, Body::Message(message) if message.preview == "I will read the readme first.")
    );
    // Said nothing before it: not linked to what it said before another call.
    assert_eq!(recorder.call("chmod 777").0.link(Rel::DecidedBy), None);
}

#[test]
fn a_subagent_is_told_from_the_one_that_started_it() {
    let recorder = Recorder::with_hooks();
    let of_subagent = |record: &&Record| record.agent.as_ref().is_some_and(|agent| agent.id == SUBAGENT);
    let records: Vec<&Record> = recorder.records.iter().filter(of_subagent).collect();
    assert!(records.iter().all(|record| {
        record.agent.as_ref().is_some_and(|agent| {
            agent.parent.as_deref() == Some(SESSION)
                && agent.name == "general-purpose"
                && agent.version.as_deref() == Some("2.1.197")
        })
    }));
    assert_eq!(records[0].kind, Kind::SessionStart);
    let by = recorder.by_id(records[0].link(Rel::DelegatedBy).expect("who started it"));
    assert!(matches!(&by.body, Body::Action(action) if action.tool == "Agent"));
    let ends = recorder.records.iter().filter_map(|record| match &record.body {
        Body::SessionEnd(end) => {
            Some((record.agent.as_ref()?.id.as_str(), end.status, end.actions, end.denied))
        }
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends, [(SUBAGENT, Status::Success, 2, 0), (SESSION, Status::Success, 17, 5)]);
}

#[test]
fn a_transcript_adds_to_the_hooks_and_repeats_nothing() {
    let mut recorder = Recorder::with_hooks();
    let (main, sub) = calls();
    let added = recorder.import_both();
    every_call_has_one_action_and_one_result(&recorder);
    // The sub-agent's task and its last words are in no hook of their own.
    let of_main = |record: &&Record| record.agent.as_ref().is_none_or(|agent| agent.id == SESSION);
    for record in added.iter().filter(of_main) {
        assert!(matches!(record.kind, Kind::Decision | Kind::Context), "{} was added", record.kind);
    }
    let decided: HashSet<RecordId> = added
        .iter()
        .filter(|record| record.kind == Kind::Decision)
        .flat_map(|record| record.links.iter().filter(|link| link.rel == Rel::DecisionFor))
        .map(|link| link.id)
        .collect();
    for id in main.union(&sub) {
        assert!(decided.contains(&recorder.of_call(id, Kind::Action)[0].id), "no decision for {id}");
    }
    assert_eq!(decided.len(), 19);
    let thinking = added.iter().filter_map(|record| match &record.body {
        Body::Decision(decision) => decision.thinking.as_deref(),
        _ => None,
    });
    assert!(thinking.into_iter().any(|thinking| thinking == "First look at the readme."));
}

#[test]
fn a_transcript_alone_tells_every_call() {
    let mut recorder = Recorder::default();
    recorder.import_both();
    every_call_has_one_action_and_one_result(&recorder);
    let prompts = recorder.records.iter().filter_map(|record| match &record.body {
        Body::Prompt(prompt) => Some(prompt.preview.as_str()),
        _ => None,
    });
    assert!(prompts.into_iter().any(|prompt| prompt == "Please do the probe steps."));
}

#[test]
fn a_transcript_that_is_read_again_adds_nothing() {
    for mut recorder in [Recorder::default(), Recorder::with_hooks()] {
        recorder.import_both();
        let again = recorder.import_both();
        assert!(again.is_empty(), "{}", table(&recorder.records).lines().last().unwrap_or_default());
    }
}

#[test]
fn a_transcript_that_is_read_while_it_grows_gives_no_call_twice() {
    let ends: Vec<usize> = TRANSCRIPT.match_indices('\n').map(|(at, _)| at + 1).collect();
    for hooks in [false, true] {
        for &end in &ends {
            let mut recorder = if hooks { Recorder::with_hooks() } else { Recorder::default() };
            recorder.import("/t/main.jsonl", &TRANSCRIPT[..end]);
            recorder.import_both();
            every_call_has_one_action_and_one_result(&recorder);
            let prompts = recorder.records.iter().filter(|record| match &record.body {
                Body::Prompt(prompt) => prompt.preview == "Please do the probe steps.",
                _ => false,
            });
            assert_eq!(prompts.count(), 1);
        }
    }
}

/// The records, with ids replaced by places.
fn without_ids(records: &[Record]) -> Vec<Value> {
    let place: HashMap<String, usize> =
        records.iter().enumerate().map(|(at, record)| (record.id.to_string(), at)).collect();
    let values = records.iter().map(|record| {
        let mut value: Value = serde_json::from_slice(&record.to_line()).expect("JSON");
        value["id"] = Value::Null;
        for link in value["links"].as_array_mut().into_iter().flatten() {
            link["id"] = json!(place[link["id"].as_str().expect("an id")]);
        }
        value
    });
    values.collect()
}

#[test]
fn a_recorder_that_restarts_goes_on_as_if_it_had_not() {
    let events = session();
    let whole = without_ids(&Recorder::with_hooks().records);
    for restart in 0..events.len() {
        let mut recorder = Recorder::default();
        for (number, event) in events.iter().enumerate() {
            if number == restart {
                recorder.state = State::default();
                for record in &recorder.records {
                    let read = Record::parse(&record.to_line()).expect("a record");
                    recorder.state.observe(&read);
                }
            }
            recorder.event(event);
        }
        let found = without_ids(&recorder.records);
        assert_eq!(found.len(), whole.len());
        for (found, expected) in found.iter().zip(&whole) {
            assert_eq!(found, expected, "after a restart before event {restart}");
        }
    }
}

/// Every place in `value`, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| {
                places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found)
            });
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

/// Things that nobody expects in any place.
fn oddities() -> Vec<Value> {
    let deep =
        (0..100).fold(json!("x"), |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) });
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!([]),
        json!({}),
        json!("x".repeat(100_000)),
        json!("\u{1}".repeat(100_000)),
        json!("\"\\".repeat(50_000)),
        json!("🦀".repeat(25_000)),
        json!("../".repeat(33_333)),
        json!("a; ".repeat(5_000)),
        json!("toolu_0766cdbb1cf8ae023498"),
        json!(vec!["y"; 1_000]),
        json!([1, [null], { "text": 1 }]),
        deep,
    ]
}

#[test]
fn a_huge_string_in_any_field_gives_records_that_the_log_takes() {
    for filler in ["x", "\u{1}", "\"", "é", "/"] {
        let huge = filler.repeat(100_000 / filler.len());
        for event in session().iter().take(20).chain(&session()[46..50]) {
            let mut all = Vec::new();
            places(&event.payload, "", &mut all);
            let mut every = event.clone();
            for place in &all {
                let mut one = event.clone();
                if let Some(field) = one.payload.pointer_mut(place).filter(|field| field.is_string()) {
                    *field = json!(huge);
                    if filler != "x" {
                        continue;
                    }
                    Recorder::default().event(&one);
                    if place != "/session_id" && place != "/hook_event_name" {
                        *every.payload.pointer_mut(place).expect("the same place") = json!(huge);
                    }
                }
            }
            for place in
                all.iter().filter(|place| !matches!(place.as_str(), "/session_id" | "/hook_event_name"))
            {
                if let Some(field) = every.payload.pointer_mut(place).filter(|field| field.is_string()) {
                    *field = json!(huge);
                }
            }
            Recorder::default().event(&every);
        }
    }
}

#[test]
fn a_batch_of_ten_thousand_calls_stays_within_what_the_log_takes_at_once() {
    let calls: Vec<Value> = (0..10_000)
        .map(|i| {
            json!({ "tool_name": "Bash", "tool_input": { "command": format!("echo {i}") },
            "tool_use_id": format!("toolu_{i}"), "tool_response": "Permission to use Bash has been denied." })
        })
        .collect();
    let payload =
        json!({ "session_id": "s", "hook_event_name": "PostToolBatch", "cwd": "/w", "tool_calls": calls });
    let mut recorder = Recorder::default();
    let key = ContentKey::new([7; 32]);
    let arrival = bare_arrival(&key);
    let captured = (runtime().hook)("", payload.to_string().as_bytes(), &arrival, &mut recorder.state);
    let bytes: usize = captured.records.iter().map(|record| record.to_line().len()).sum();
    assert!(bytes < 4 * 1024 * 1024 - 64 * 1024, "{bytes} bytes in {} records", captured.records.len());
    // What does not fit is said to be missing; the whole is in the raw content.
    let gap = captured.records.iter().find(|record| record.kind == Kind::Gap).expect("a gap");
    assert!(matches!(&gap.body, Body::Gap(gap) if gap.what == "calls_left_out"), "{gap:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_a_record(bytes in prop::collection::vec(any::<u8>(), 0..2_000), enforce: bool) {
        let mode = if enforce { Mode::Enforce } else { Mode::Observe };
        let mut recorder = Recorder { mode, ..Recorder::default() };
        for event in ["PreToolUse", "PostToolBatch", "", "\u{0}"] {
            let captured = recorder.hook(event, &bytes);
            let denied = captured.refused.is_some();
            prop_assert_eq!(denied, enforce && event == "PreToolUse");
        }
        let text = String::from_utf8_lossy(&bytes);
        recorder.import("/t", &text);
    }

    #[test]
    fn a_real_payload_with_odd_parts_gives_records(
        start in 0usize..60,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
        enforce: bool,
    ) {
        let oddities = oddities();
        let mode = if enforce { Mode::Enforce } else { Mode::Observe };
        let mut recorder = Recorder { mode, ..Recorder::default() };
        let events = session();
        for event in events.iter().skip(start).take(6) {
            let mut event = event.clone();
            for (place, oddity) in &changes {
                let mut all = Vec::new();
                places(&event.payload, "", &mut all);
                if let Some(field) = event.payload.pointer_mut(place.get::<String>(&all)) {
                    *field = oddity.get(&oddities).clone();
                }
            }
            recorder.event(&event);
        }
    }

    #[test]
    fn a_transcript_with_odd_parts_gives_records(
        changes in prop::collection::vec(
            (0usize..55, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let oddities = oddities();
        let mut lines: Vec<Value> =
            TRANSCRIPT.lines().map(|line| serde_json::from_str(line).expect("a line of the sample")).collect();
        for (line, place, oddity) in &changes {
            let mut all = Vec::new();
            places(&lines[*line], "", &mut all);
            if let Some(field) = lines[*line].pointer_mut(place.get::<String>(&all)) {
                *field = oddity.get(&oddities).clone();
            }
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut recorder = Recorder::default();
        recorder.import("/t", &text);
    }
}

/// One event of a call that ran and printed `output`, by the hooks that it has, then the batch.
fn ran_and_printed(output: &str) -> Recorder {
    let mut recorder = Recorder::default();
    let call = json!({ "session_id": "s", "cwd": "/w", "tool_name": "Bash", "tool_use_id": "t1",
        "tool_input": { "command": "cat notes" } });
    let with = |event: &str, more: Value| {
        let mut payload = call.clone();
        payload["hook_event_name"] = json!(event);
        payload.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        payload.to_string().into_bytes()
    };
    recorder.hook("PreToolUse", &with("PreToolUse", json!({})));
    recorder.hook(
        "PostToolUse",
        &with("PostToolUse", json!({ "tool_response": { "stdout": output, "stderr": "" } })),
    );
    recorder.hook(
        "PostToolBatch",
        &with(
            "PostToolBatch",
            json!({ "tool_calls": [{ "tool_name": "Bash", "tool_use_id": "t1",
            "tool_input": { "command": "cat notes" }, "tool_response": output }] }),
        ),
    );
    recorder
}

const DENIALS: &[&str] = &[
    "Permission to use Bash has been denied.",
    "PreToolUse:Bash hook error: [x]: no",
    "The user doesn't want to proceed with this tool use.",
    "<tool_use_error>Error: No such tool available: Bash</tool_use_error>",
    "touch in '/x' was blocked. For security, Claude Code may only",
    "This command requires approval",
    "Permission for this action was denied by the Claude Code auto mode classifier. Reason: x",
];

#[test]
fn output_that_reads_like_a_denial_denies_nothing() {
    for output in DENIALS {
        let recorder = ran_and_printed(output);
        let results = recorder.of_call("t1", Kind::Result);
        assert_eq!(results.len(), 1);
        assert!(matches!(&results[0].body, Body::Result(body) if body.outcome == Outcome::Ok), "{output}");
    }
}

#[test]
fn the_error_output_of_a_command_that_failed_denies_nothing() {
    for output in DENIALS {
        let mut recorder = Recorder::default();
        let payload = json!({ "session_id": "s", "cwd": "/w", "tool_name": "Bash", "tool_use_id": "t1",
            "hook_event_name": "PostToolUseFailure", "tool_input": { "command": "./x" },
            "error": format!("Exit code 1\n{output}"), "is_interrupt": false });
        recorder.hook("PostToolUseFailure", payload.to_string().as_bytes());
        let Body::Result(body) = &recorder.of_call("t1", Kind::Result)[0].body else { panic!("no result") };
        assert_eq!((body.outcome, body.exit_code), (Outcome::Error, Some(1)), "{output}");
    }
}

#[test]
fn a_line_of_a_transcript_that_reads_like_a_denial_without_being_an_error_denies_nothing() {
    for output in DENIALS {
        let mut recorder = Recorder::default();
        let lines = [
            json!({ "type": "assistant", "uuid": "a", "sessionId": "s", "message": { "id": "m", "content": [
                { "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "cat notes" } }] } }),
            json!({ "type": "user", "uuid": "b", "sessionId": "s", "message": { "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": output }] } }),
        ];
        recorder.import("/t", &format!("{}\n{}\n", lines[0], lines[1]));
        let results = recorder.of_call("t1", Kind::Result);
        assert!(matches!(&results[0].body, Body::Result(body) if body.outcome == Outcome::Ok), "{output}");
    }
}

/// Texts of Claude Code 2.1.197, from its program, for a call that was not run.
#[test]
fn the_texts_of_claude_code_tell_who_refused() {
    use DecidedBy::*;
    let said = [
        ("Permission to use Bash with command rm x has been denied.", Rule),
        ("Permission to read /etc/shadow has been denied.", Rule),
        ("WebFetch denied access to example.com.", Rule),
        ("Output redirection to '/x' was blocked by a deny rule.", Rule),
        ("Agent type 'x' has been denied by permission rule 'Agent(x)' from userSettings.", Rule),
        (
            "Permission to use Bash has been denied because Claude Code is running in don't ask mode. IMPORTANT: You *may* …",
            Mode,
        ),
        (
            "Permission to use Bash has been denied. IMPORTANT: You *may* attempt to accomplish this action …",
            Mode,
        ),
        ("Claude requested permissions to write to /x, but you haven't granted it yet.", Mode),
        ("This command requires approval", Mode),
        ("This Bash command contains multiple operations. The following parts require approval: a, b", Mode),
        (
            "Permission for this action was denied by the Claude Code auto mode classifier. Reason: x",
            Classifier,
        ),
        ("Permission for this action has been denied. Reason: x", Classifier),
        ("PreToolUse:Bash hook error: [x]: no", Hook),
        ("Permission denied by hook", Hook),
        ("The user doesn't want to proceed with this tool use. The tool use was rejected", User),
        ("The user doesn't want to take this action right now. STOP what you are doing", User),
        ("User rejected tool use", User),
        ("touch in '/x' was blocked. For security, Claude Code may only create or modify files in", Sandbox),
        (
            "<tool_use_error>InputValidationError: Read failed due to the following issue:</tool_use_error>",
            Runtime,
        ),
        ("<tool_use_error>Error: No such tool available: Grep.</tool_use_error>", Runtime),
    ];
    for (text, by) in said {
        let mut recorder = Recorder::default();
        let call = json!({ "tool_name": "Bash", "tool_use_id": "t1", "tool_input": { "command": "x" },
            "tool_response": text });
        let mut payload = call.clone();
        payload["session_id"] = json!("s");
        payload["hook_event_name"] = json!("PreToolUse");
        recorder.hook("PreToolUse", payload.to_string().as_bytes());
        let batch = json!({ "session_id": "s", "hook_event_name": "PostToolBatch", "tool_calls": [call] });
        recorder.hook("PostToolBatch", batch.to_string().as_bytes());
        let Body::Result(body) = &recorder.of_call("t1", Kind::Result)[0].body else { panic!("no result") };
        let decision = body.runtime_decision.as_ref().expect("a decision");
        let found = (decision.decision, decision.by, decision.basis);
        // Where nobody approved, that the mode refused is a conclusion.
        let unanswered = by == DecidedBy::Mode && !text.starts_with("Permission to use ");
        let basis = if unanswered { Basis::Inferred } else { Basis::Stated };
        assert_eq!(found, (Verdict::Deny, by, basis), "{text}");
    }
}

#[test]
fn a_tool_that_failed_is_not_denied_whatever_it_says() {
    for text in
        ["This requires approval", "No such tool available: x", "Permission to use Bash has been denied."]
    {
        let mut recorder = Recorder::default();
        let mut payload = json!({ "session_id": "s", "tool_name": "mcp__evil__x", "tool_use_id": "t1", "tool_input": {},
            "hook_event_name": "PreToolUse" });
        recorder.hook("PreToolUse", payload.to_string().as_bytes());
        payload["hook_event_name"] = json!("PostToolUseFailure");
        payload["error"] = json!(text);
        recorder.hook("PostToolUseFailure", payload.to_string().as_bytes());
        let Body::Result(body) = &recorder.of_call("t1", Kind::Result)[0].body else { panic!("no result") };
        assert_eq!(body.outcome, Outcome::Error, "it ran: {text}");
        assert_eq!(body.runtime_decision.as_ref().map(|d| d.decision), Some(Verdict::Permit), "{text}");
    }
}

/// The first table of the document: event and kind.
fn documented() -> Vec<(String, String)> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| Event")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let mut found = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = cells[2].split('`').nth(1).expect("a kind");
        found.extend(cells[1].split('`').skip(1).step_by(2).map(|event| (event.to_owned(), kind.to_owned())));
    }
    found
}

#[test]
fn every_event_gives_a_record_of_the_documented_kind() {
    const KNOWN: &str = "PreToolUse PostToolUse PostToolUseFailure PostToolBatch Notification \
        UserPromptSubmit UserPromptExpansion SessionStart SessionEnd Stop StopFailure SubagentStart \
        SubagentStop PreCompact PostCompact PreModelSwitch PostModelSwitch PermissionRequest \
        PermissionDenied Setup TeammateIdle TaskCreated TaskCompleted Elicitation ElicitationResult \
        ConfigChange WorktreeCreate WorktreeRemove InstructionsLoaded CwdChanged FileChanged \
        DirectoryAdded MessageDisplay";
    let documented = documented();
    let events: HashSet<&str> = documented.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(events, KNOWN.split_whitespace().collect());
    assert_eq!(events.len(), documented.len(), "an event that stands there twice");
    for (event, kind) in documented {
        let payload = json!({ "session_id": "s", "hook_event_name": event, "tool_name": "Bash", "cwd": "/w",
            "tool_input": { "command": "ls" }, "tool_use_id": "t1", "file_path": "/w/x", "prompt": "p",
            "tool_calls": [{ "tool_name": "Bash", "tool_use_id": "t1", "tool_response": "x" }],
            "message": "m", "mcp_server_name": "srv", "action": "accept" });
        let captured = Recorder::default().hook(&event, payload.to_string().as_bytes());
        assert!(captured.records.iter().any(|record| record.kind.as_str() == kind), "{event} is no {kind}");
    }
}

#[test]
fn an_elicitation_is_answered_as_its_action_tells() {
    let result = |action: Value| {
        let payload = json!({ "session_id": "s", "hook_event_name": "ElicitationResult", "action": action,
            "mcp_server_name": "srv" });
        Recorder::default().hook("ElicitationResult", payload.to_string().as_bytes()).records[0].kind
    };
    assert_eq!(result(json!("accept")), Kind::ApprovalGrant);
    assert_eq!(result(json!("decline")), Kind::ApprovalDeny);
    // Nobody said yes or no.
    assert_eq!(result(json!("cancel")), Kind::Message);
    assert_eq!(result(Value::Null), Kind::Message);
}

#[test]
fn what_is_kept_of_many_sessions_and_calls_is_bounded() {
    let mut recorder = Recorder::default();
    let key = ContentKey::new([7; 32]);
    let arrival = bare_arrival(&key);
    let known = |state: &State| (0..10_000).filter(|i| state.knows(&format!("s{i}"))).count();
    for i in 0..100_000 {
        let payload = format!(
            r#"{{"session_id":"s{}","hook_event_name":"PreToolUse","tool_name":"Read","tool_use_id":"t{i}","tool_input":{{"file_path":"/x"}}}}"#,
            i / 10
        );
        (runtime().hook)("", payload.as_bytes(), &arrival, &mut recorder.state);
    }
    assert!(known(&recorder.state) <= 256, "{} sessions", known(&recorder.state));
    for i in 0..20_000 {
        let payload = format!(
            r#"{{"session_id":"one","hook_event_name":"PreToolUse","tool_name":"Read","tool_use_id":"u{i}","tool_input":{{"file_path":"/x"}}}}"#
        );
        (runtime().hook)("", payload.as_bytes(), &arrival, &mut recorder.state);
    }
    let session = recorder.state.session("one").expect("the newest session");
    let calls = (0..20_000).filter(|i| session.call(&format!("u{i}")).is_some()).count();
    assert_eq!(calls, 4_096);
    assert!(session.call("u19999").is_some());
}

/// A message at a fixed time of which nothing was observed.
pub fn bare_arrival(key: &ContentKey) -> Arrival<'_> {
    Arrival {
        now: Timestamp(1_795_524_862_000_000_000),
        mono: 1,
        observed: Observed::default(),
        principal: None,
        env: Env::default(),
        variables: Vec::new(),
        home: String::new(),
        mode: Mode::Observe,
        content_key: key,
        redacted: 0,
        attachment: None,
        identities: Vec::new(),
        ancestors: Vec::new(),
    }
}
