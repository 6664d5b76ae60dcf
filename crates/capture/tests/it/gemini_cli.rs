//! A real session of Gemini CLI 0.61.0: its hooks, then its chat files; and input that no runtime
//! would send.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, Chunk, Judge, Runtime, State};
use fdr_record::{
    Body, ContentKey, DecidedBy, Env, Intent, Kind, MAX_BYTES, Mode, Observed, Outcome, Record, RecordId,
    Rel, ResultBody, Verb, Verdict,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

const HOOKS: &str = include_str!("../data/gemini-cli-session.jsonl");
const CHAT: &str = include_str!("../data/gemini-cli-chat.jsonl");
const CHAT_OF_SUBAGENT: &str = include_str!("../data/gemini-cli-chat-subagent.jsonl");
const DOCUMENT: &str = include_str!("../../../../docs/gemini-cli.md");

const SESSION: &str = "2ddb3169-f88b-43b2-89aa-47f81d2ed4eb";
const SUBAGENT: &str = "e4fe8848-f4aa-445c-bfcd-7106615159d6";

fn runtime() -> &'static Runtime {
    fdr_capture::runtime("gemini-cli").expect("a runtime")
}

fn events() -> Vec<(String, Value)> {
    let read = |line| {
        let mut line: Value = serde_json::from_str(line).expect("a line of the sample");
        (line["event"].as_str().expect("a name").to_owned(), line["payload"].take())
    };
    HOOKS.lines().map(read).collect()
}

struct Recorder {
    key: ContentKey,
    state: State,
    mode: Mode,
    /// What comes was spooled.
    late: bool,
    records: Vec<Record>,
    /// Bytes of each content that is stored, by digest.
    stored: HashMap<String, Vec<u8>>,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder {
            key: ContentKey::new([7; 32]),
            state: State::default(),
            mode: Mode::Observe,
            late: false,
            records: Vec::new(),
            stored: HashMap::new(),
        }
    }

    /// One that went through the whole session.
    fn with_hooks() -> Recorder {
        let mut recorder = Recorder::new();
        for (event, payload) in events() {
            recorder.hook(&event, payload.to_string().as_bytes());
        }
        recorder
    }

    fn with_all() -> Recorder {
        let mut recorder = Recorder::with_hooks();
        recorder.import_both();
        recorder
    }

    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Captured {
        let arrival = Arrival {
            mono: 81_723_001_122,
            observed: Observed { uid: Some(1000), late: self.late, ..Observed::default() },
            env: Env { host: Some("devbox".to_owned()), ..Env::default() },
            home: "/home/dev".to_owned(),
            mode: self.mode,
            ..bare_arrival(&self.key)
        };
        let captured = make(&arrival, &mut self.state);
        for content in &captured.contents {
            let digest = self.key.seal(SESSION, "", "", content.bytes.clone()).0.digest;
            self.stored.insert(digest, content.bytes.clone());
        }
        for record in &captured.records {
            let line = record.to_line();
            assert!(line.len() <= MAX_BYTES, "{} bytes in a record of {}", line.len(), record.kind);
            assert_eq!(Record::parse(&line).expect("a record that can be read"), *record);
        }
        self.records.extend(captured.records.iter().cloned());
        let known: HashSet<RecordId> = self.records.iter().map(|record| record.id).collect();
        let mut links = captured.records.iter().flat_map(|record| &record.links);
        assert!(links.all(|link| known.contains(&link.id)), "a link to nothing");
        captured
    }

    fn hook(&mut self, event: &str, payload: &[u8]) -> Captured {
        let captured = self.take(|arrival, state| (runtime().hook)(event, payload, arrival, state));
        assert!(!captured.records.is_empty(), "{event} left no record");
        captured
    }

    fn tool(&mut self, event: &str, tool: &str, input: &Value, response: Option<Value>) -> Captured {
        let mut payload = json!({ "session_id": SESSION, "hook_event_name": event, "cwd": "/home/dev/proj",
            "timestamp": "2026-11-25T03:24:00.000Z", "tool_name": tool, "tool_input": input });
        if let Some(response) = response {
            payload["tool_response"] = response;
        }
        self.hook(event, payload.to_string().as_bytes())
    }

    fn piece(&mut self, chunk: &Chunk<'_>) -> Vec<Record> {
        let import = runtime().import.expect("transcripts are read");
        self.take(|arrival, state| import(chunk, arrival, state)).records
    }

    fn import_both(&mut self) -> Vec<Record> {
        let mut records = self.piece(&Chunk::whole(&file(None), CHAT.as_bytes()));
        records.extend(self.piece(&Chunk::whole(&file(Some(SUBAGENT)), CHAT_OF_SUBAGENT.as_bytes())));
        records
    }

    fn actions(&self) -> Vec<&Record> {
        self.records.iter().filter(|record| record.kind == Kind::Action).collect()
    }

    fn result(&self, action: &Record) -> Option<&ResultBody> {
        self.records.iter().find_map(|record| match &record.body {
            Body::Result(body) if record.link(Rel::ResultOf) == Some(action.id) => Some(body),
            _ => None,
        })
    }

    /// What came of the action whose summary begins so.
    fn came(&self, summary: &str) -> &ResultBody {
        let is_it = |record: &&&Record| match &record.body {
            Body::Action(action) => action.summary.starts_with(summary),
            _ => false,
        };
        let actions = self.actions();
        let action = actions.iter().find(is_it).unwrap_or_else(|| panic!("no action {summary}"));
        self.result(action).unwrap_or_else(|| panic!("no result of {summary}"))
    }

    /// Tool, resource, outcome, exit status and who decided, of each action, in a fixed order.
    fn outcomes(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .actions()
            .into_iter()
            .map(|record| {
                let Body::Action(action) = &record.body else { unreachable!() };
                let result = self.result(record).expect("a result");
                let by = result.runtime_decision.as_ref().map(|decision| decision.by.as_str());
                let resource = action.actions.first().map(|action| action.resource.as_str());
                let code = result.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
                format!(
                    "{} {} {}{code} by {}",
                    action.tool,
                    resource.unwrap_or_default(),
                    result.outcome.as_str(),
                    by.unwrap_or("-")
                )
            })
            .collect();
        all.sort();
        all
    }
}

fn file(subagent: Option<&str>) -> String {
    const CHATS: &str = "/home/dev/.gemini/tmp/proj/chats";
    match subagent {
        Some(agent) => format!("{CHATS}/{SESSION}/{agent}.jsonl"),
        None => format!("{CHATS}/session-2026-11-25T03-24-2ddb3169.jsonl"),
    }
}

/// One line a record, with what is not different from run to run.
fn table(records: &[Record]) -> String {
    let seq_of: HashMap<RecordId, u64> = records.iter().map(|record| (record.id, record.seq)).collect();
    let mut text = String::new();
    for record in records {
        let agent = record.agent.as_ref().map_or("-", |agent| agent.name.as_str());
        let what = match &record.body {
            Body::Action(body) => {
                let acts = body.actions.iter().map(|action| {
                    let flags = if action.destructive { "!" } else { "" };
                    format!("{}{flags} {}", action.action, action.resource)
                });
                format!("{} [{}]", body.tool, acts.collect::<Vec<_>>().join(", "))
            }
            Body::Result(body) => format!(
                "{} {}{}{} {}",
                body.tool,
                body.outcome.as_str(),
                body.exit_code.map(|code| format!(" exit {code}")).unwrap_or_default(),
                if body.arguments_changed { " arguments-changed" } else { "" },
                body.runtime_decision.as_ref().map_or("-".to_owned(), |decision| {
                    format!("{} by {} {:?}", decision.decision.as_str(), decision.by.as_str(), decision.basis)
                }),
            ),
            Body::Context(body) => body.what.clone(),
            Body::Message(body) => format!("{}: {}", body.role, body.preview.replace('\n', " ")),
            Body::Decision(body) => format!(
                "{} / {} {:?}",
                body.stated.as_deref().unwrap_or("-"),
                body.thinking.as_deref().unwrap_or("-"),
                body.calls.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>()
            ),
            Body::Prompt(body) => body.preview.clone(),
            Body::SessionEnd(body) => format!("{} {}/{}", body.status.as_str(), body.denied, body.actions),
            Body::SessionStart(body) => body.source.clone().unwrap_or_default(),
            Body::Gap(body) => format!("{}: {}", body.what, body.detail),
            _ => String::new(),
        };
        let links = record.links.iter().map(|link| format!("{:?}:{}", link.rel, seq_of[&link.id]));
        let links = links.collect::<Vec<_>>().join(" ");
        let inferred = record.claimed.as_ref().is_some_and(|claimed| claimed.inferred);
        let mark = if inferred { "~" } else { "" };
        let line = format!("{:>3} {mark}{} {agent} | {what} | {links}", record.seq, record.kind);
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

#[test]
fn the_records_of_a_session_are_the_expected_ones() {
    let found = table(&Recorder::with_all().records);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gemini-cli-session.expected");
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
fn every_call_has_one_action_and_one_result() {
    let recorder = Recorder::with_all();
    let names = |text: &str| {
        let mut names: HashSet<String> = HashSet::new();
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            let calls = entry["toolCalls"].as_array().cloned().unwrap_or_default();
            names.extend(calls.iter().map(|call| call["id"].as_str().unwrap().to_owned()));
        }
        names.len()
    };
    assert_eq!((names(CHAT), names(CHAT_OF_SUBAGENT)), (17, 2));
    let actions = recorder.actions();
    assert_eq!(actions.len(), 19);
    assert!(actions.iter().all(|action| recorder.result(action).is_some()));
    let results = recorder.records.iter().filter(|record| record.kind == Kind::Result).count();
    assert_eq!(results, 19);
}

#[test]
fn what_ran_has_its_result_from_the_hooks_alone_and_what_did_not_run_has_none() {
    let recorder = Recorder::with_hooks();
    let before = events().iter().filter(|(event, _)| event == "BeforeTool").count();
    assert_eq!(recorder.actions().len(), before);
    let open: Vec<String> = recorder
        .actions()
        .iter()
        .filter(|action| recorder.result(action).is_none())
        .map(|record| match &record.body {
            Body::Action(action) => action.summary.clone(),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(open, ["rm -rf data", "chmod 777 README.md", "curl -s http://127.0.0.1:9/"]);
}

#[test]
fn outcomes_are_those_that_gemini_cli_told_and_by_whom() {
    let recorder = Recorder::with_all();
    let by = |summary: &str| {
        let body = recorder.came(summary);
        (body.outcome, body.runtime_decision.as_ref().map(|decision| decision.by))
    };
    use {
        DecidedBy::{Hook, Rule, Runtime, Sandbox, Unknown},
        Outcome::{Denied, Error, Rejected},
    };
    assert_eq!(by("rm -rf data"), (Denied, Some(Hook)));
    assert_eq!(
        recorder.came("rm -rf data").reason.as_deref(),
        Some("Tool execution blocked: policy R1: recursive delete is not permitted")
    );
    assert_eq!(by("chmod 777"), (Denied, Some(Hook)));
    assert_eq!(by("curl -s"), (Denied, Some(Rule)));
    assert_eq!(by("{\"a\":1}"), (Rejected, Some(Runtime)));
    assert_eq!(by("../../../../etc/passwd"), (Denied, Some(Sandbox)));
    assert_eq!(by("echo $(id)"), (Denied, Some(Runtime)));
    assert_eq!(by("{}"), (Rejected, Some(Runtime)));
    assert_eq!(by("missing.txt"), (Error, Some(Unknown)));
    assert_eq!((by("sh -c").0, recorder.came("sh -c").exit_code), (Error, Some(3)));
    assert!(recorder.came("echo original").arguments_changed);
}

#[test]
fn chat_files_alone_tell_the_same_calls_and_outcomes_as_hooks_and_chat_files() {
    let mut alone = Recorder::new();
    alone.import_both();
    let (alone, both) = (alone.outcomes(), Recorder::with_all().outcomes());
    // A hook rewrote the arguments of one, and the chat file has only what ran.
    let differ = |all: &[String], others: &[String]| -> Vec<String> {
        all.iter().filter(|line| !others.contains(line)).cloned().collect()
    };
    assert_eq!(differ(&both, &alone), Vec::<String>::new());
    assert_eq!(alone.len(), both.len());
}

#[test]
fn a_chat_file_is_taken_in_once_however_it_is_cut_into_pieces() {
    let lines: Vec<&str> = CHAT.split_inclusive('\n').collect();
    let sum = |recorder: &Recorder| {
        let count = |kind| recorder.records.iter().filter(|record| record.kind == kind).count();
        let calls = recorder.records.iter().map(|record| match &record.body {
            Body::Decision(decision) => decision.calls.len(),
            _ => 0,
        });
        (count(Kind::Action), count(Kind::Result), count(Kind::Prompt), calls.sum::<usize>())
    };
    for hooks in [false, true] {
        let start = || if hooks { Recorder::with_hooks() } else { Recorder::new() };
        let mut whole = start();
        whole.piece(&Chunk::whole(&file(None), CHAT.as_bytes()));
        // At the beginning, and within and between messages.
        for cut in (1..8).chain((8..lines.len()).step_by(if hooks { 9 } else { 4 })) {
            let mut recorder = start();
            let (first, second) = (lines[..cut].concat(), lines[cut..].concat());
            recorder.piece(&Chunk::whole(&file(None), first.as_bytes()));
            recorder.piece(&Chunk {
                file: &file(None),
                offset: first.len() as u64,
                len: second.len() as u64,
                line: cut as u64 + 1,
                bytes: second.as_bytes(),
            });
            assert_eq!(sum(&recorder), sum(&whole), "cut after line {cut}, hooks {hooks}");
            assert_eq!(recorder.outcomes(), whole.outcomes());
        }
        let before = sum(&whole);
        assert!(whole.piece(&Chunk::whole(&file(None), CHAT.as_bytes())).is_empty());
        let longer = format!("{CHAT}{{\"$set\":{{\"lastUpdated\":\"2026-11-25T03:30:00.000Z\"}}}}\n");
        whole.piece(&Chunk::whole(&file(None), longer.as_bytes()));
        assert_eq!(sum(&whole), before);
    }
}

#[test]
fn a_subagents_decisions_are_told_from_its_chat_file_and_marked_as_inferred() {
    let recorder = Recorder::with_all();
    let of_subagent = |record: &&Record| record.agent.as_ref().is_some_and(|agent| agent.id == SUBAGENT);
    let records: Vec<&Record> = recorder.records.iter().filter(of_subagent).collect();
    let Body::SessionStart(start) = &records[0].body else { panic!("{:?}", records[0].body) };
    assert_eq!(start.transcript, Some(file(Some(SUBAGENT))));
    let by = records[0].link(Rel::DelegatedBy).expect("who started it");
    let by = recorder.records.iter().find(|record| record.id == by).unwrap();
    assert!(matches!(&by.body, Body::Action(action) if action.tool == "invoke_agent"));
    let agent = records[0].agent.as_ref().unwrap();
    assert_eq!((agent.name.as_str(), agent.parent.as_deref()), ("generalist", Some(SESSION)));
    let decisions: Vec<&&Record> = records.iter().filter(|record| record.kind == Kind::Decision).collect();
    assert_eq!(decisions.len(), 2);
    for decision in decisions {
        assert!(decision.claimed.as_ref().unwrap().inferred);
        let action = decision.link(Rel::DecisionFor).expect("its action");
        // Of two calls that are alike, the one that came while the sub-agent was at work.
        let seq = recorder.records.iter().find(|record| record.id == action).unwrap().seq;
        assert!(seq > by.seq, "{seq} is before the sub-agent was started");
    }
}

#[test]
fn the_model_and_what_it_was_shown_are_recorded_once() {
    let recorder = Recorder::with_hooks();
    let model = recorder.records.iter().filter_map(|record| record.agent.as_ref()?.model.as_deref()).next();
    assert_eq!(model, Some("gemini-2.5-flash"));
    let shown = recorder.records.iter().filter_map(|record| match &record.body {
        Body::Context(context) => Some(context.what.as_str()),
        _ => None,
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["session_context", "model_input"]);
    // However often the conversation is sent, each text of it stands in one event.
    let holds = |text: &str| {
        let raw = recorder.records.iter().filter(|record| {
            let source = record.claimed.as_ref().map_or("", |claimed| claimed.source.as_str());
            source == "hook:BeforeModel" || source == "hook:AfterModel"
        });
        let raw = raw.flat_map(|record| &record.content).filter(|content| content.role == "raw");
        let raw: HashSet<&str> = raw.map(|content| content.digest.as_str()).collect();
        let texts = raw.into_iter().map(|digest| String::from_utf8_lossy(&recorder.stored[digest]));
        texts.filter(|bytes| bytes.contains(text)).count()
    };
    assert_eq!(holds("Workspace Directories"), 1);
    assert_eq!(holds("Ask the MCP server."), 1);
}

#[test]
fn what_was_shown_as_it_came_is_not_told_again_by_the_chat_file() {
    let chat = |calls: Value| {
        let head = json!({ "sessionId": SESSION, "projectHash": "h", "kind": "main" });
        let mut said = json!({ "id": "m1", "type": "gemini", "content": "Shown in pieces." });
        if !calls.is_null() {
            said["toolCalls"] = calls;
        }
        format!("{head}\n{said}\n")
    };
    let words = |records: &[Record]| records.iter().filter(|record| record.kind != Kind::Context).count();
    for (hooks, want) in [(true, 0), (false, 1)] {
        let mut recorder = Recorder::new();
        for piece in ["Shown ", "in ", "pieces."].into_iter().filter(|_| hooks) {
            let payload = json!({ "session_id": SESSION, "hook_event_name": "AfterModel", "llm_response":
                { "text": piece, "candidates": [{ "content": { "role": "model", "parts": [piece] } }] } });
            let records = recorder.hook("AfterModel", payload.to_string().as_bytes()).records;
            assert!(matches!(&records[0].body, Body::Message(message) if message.role == "assistant"));
        }
        let first = chat(Value::Null);
        assert_eq!(words(&recorder.piece(&Chunk::whole(&file(None), first.as_bytes()))), want);
        // With its calls it is a decision, and that is new.
        let calls =
            json!([{ "id": "c1", "name": "glob", "args": { "pattern": "*" }, "status": "executing" }]);
        let rest = chat(calls)[first.find('\n').unwrap() + 1..].to_owned();
        let chunk = Chunk {
            file: &file(None),
            offset: first.len() as u64,
            len: rest.len() as u64,
            line: 3,
            bytes: rest.as_bytes(),
        };
        let records = recorder.piece(&chunk);
        assert!(records.iter().any(|record| record.kind == Kind::Decision));
    }
}

#[test]
fn hooks_that_are_taken_in_after_the_chat_file_are_of_the_calls_that_it_told() {
    let mut recorder = Recorder::new();
    recorder.import_both();
    let before = recorder.actions().len();
    recorder.late = true;
    for (event, payload) in events() {
        recorder.hook(&event, payload.to_string().as_bytes());
    }
    let hooked = recorder.actions().split_off(before);
    let ids = |records: &[&Record]| -> HashSet<String> {
        records.iter().filter_map(|record| record.tool_use_id().map(str::to_owned)).collect()
    };
    // But for the one with arguments that another hook rewrote.
    let of_hooks_alone: Vec<&Record> = hooked
        .iter()
        .filter(|record| record.tool_use_id().is_some_and(|id| id.starts_with("fdr:")))
        .copied()
        .collect();
    assert_eq!(of_hooks_alone.len(), 1);
    assert!(matches!(&of_hooks_alone[0].body, Body::Action(action) if action.summary == "echo original"));
    assert_eq!(ids(&hooked).len(), hooked.len());
    assert_eq!(ids(&recorder.actions()).len(), before + 1);
}

#[test]
fn a_result_that_is_taken_in_after_the_chat_file_is_of_the_call_that_it_told() {
    let mut recorder = Recorder::new();
    let input = json!({ "command": "make" });
    recorder.tool("BeforeTool", "run_shell_command", &input, None);
    let call = json!({ "id": "c1", "name": "run_shell_command", "args": input, "status": "success",
        "result": [{ "functionResponse": { "id": "c1", "response": { "output": "Output: x" } } }] });
    let head = json!({ "sessionId": SESSION, "projectHash": "h", "kind": "main" });
    let said = json!({ "id": "m1", "type": "gemini", "content": "", "toolCalls": [call] });
    recorder.piece(&Chunk::whole(&file(None), format!("{head}\n{said}\n").as_bytes()));
    recorder.late = true;
    recorder.tool("AfterTool", "run_shell_command", &input, Some(json!({ "llmContent": "Output: x" })));
    assert_eq!(recorder.actions().len(), 1);
    assert_eq!(recorder.records.iter().filter(|record| record.kind == Kind::Result).count(), 1);
}

#[test]
fn a_call_that_was_refused_is_not_taken_for_a_later_one_that_ran() {
    let mut recorder = Recorder::new();
    let input = json!({ "command": "make" });
    recorder.tool("BeforeTool", "run_shell_command", &input, None);
    // Denied by a rule of the runtime; nothing tells. Then the rule was changed.
    recorder.tool("BeforeTool", "run_shell_command", &input, None);
    recorder.tool("AfterTool", "run_shell_command", &input, Some(json!({ "llmContent": "Output: ok" })));
    let actions = recorder.actions();
    let has_result: Vec<bool> = actions.iter().map(|action| recorder.result(action).is_some()).collect();
    assert_eq!(has_result, [false, true]);
}

/// Refuses whatever deletes.
#[derive(Debug)]
struct NoDeletes;

impl Judge for NoDeletes {
    fn forget(&mut self, _session: &str) {}
    fn observe(&mut self, _record: &Record) {}
    fn decide(&mut self, record: &mut Record, _home: &str) {
        let Body::Action(action) = &mut record.body else { return };
        if action.actions.iter().any(|action| action.action == Verb::Delete) {
            action.policy.decision = Verdict::Deny;
            action.policy.reason = "no deletes".to_owned();
        }
    }
    fn intent(&mut self, _prompt: &Record, _text: &str, _home: &str) -> Option<Intent> {
        None
    }
}

#[test]
fn a_call_that_we_refused_is_denied_when_the_agent_goes_on() {
    let mut recorder = Recorder::new();
    (recorder.state, recorder.mode) = (State::with_judge(Box::new(NoDeletes)), Mode::Enforce);
    let input = json!({ "command": "rm a" });
    let shown = |text: &str| {
        json!({ "session_id": SESSION, "hook_event_name": "BeforeModel", "llm_request": { "model": "m",
            "messages": [{ "role": "user", "content": text }] } })
    };
    recorder.tool("BeforeTool", "run_shell_command", &input, None);
    // A sub-agent speaks to its model while other calls are under way.
    recorder.hook("BeforeModel", shown("do this").to_string().as_bytes());
    assert!(recorder.result(recorder.actions()[0]).is_none());
    recorder.hook("BeforeModel", shown("<session_context>x</session_context>go").to_string().as_bytes());
    let result = recorder.result(recorder.actions()[0]).expect("a result");
    assert_eq!((result.outcome, result.reason.as_deref()), (Outcome::Denied, Some("no deletes")));
    // One that runs although we refused it is told so.
    recorder.tool("BeforeTool", "run_shell_command", &input, None);
    recorder.tool("AfterTool", "run_shell_command", &input, Some(json!({ "llmContent": "Output: (empty)" })));
    let actions = recorder.actions();
    assert_eq!(actions.len(), 2);
    assert_eq!(recorder.result(actions[1]).map(|result| result.outcome), Some(Outcome::Ok));
}

#[test]
fn a_call_that_ran_with_other_arguments_is_that_call_with_changed_arguments() {
    let mut recorder = Recorder::new();
    recorder.tool("BeforeTool", "run_shell_command", &json!({ "command": "echo a" }), None);
    let input = json!({ "command": "echo b" });
    recorder.tool("AfterTool", "run_shell_command", &input, Some(json!({ "llmContent": "Output: b" })));
    let actions = recorder.actions();
    assert_eq!(actions.len(), 1);
    assert!(recorder.result(actions[0]).is_some_and(|result| result.arguments_changed));
}

#[test]
fn a_result_of_which_no_call_was_told_makes_the_action_too() {
    let mut recorder = Recorder::new();
    let input = json!({ "file_path": "a" });
    recorder.tool("AfterTool", "read_file", &input, Some(json!({ "llmContent": "x" })));
    let actions = recorder.actions();
    assert_eq!(actions.len(), 1);
    assert!(recorder.result(actions[0]).is_some());
}

#[test]
fn the_server_of_an_mcp_tool_is_the_one_that_is_told_and_not_guessed_from_the_name() {
    let mut recorder = Recorder::new();
    recorder.import_both();
    for recorder in [recorder, Recorder::with_hooks()] {
        let of_mcp = recorder.actions().into_iter().find_map(|record| match &record.body {
            Body::Action(action) if action.tool.starts_with("mcp_") => {
                Some((action.tool.clone(), action.actions[0].resource.as_str().to_owned()))
            }
            _ => None,
        });
        assert_eq!(
            of_mcp,
            Some(("mcp__my_fs__list_directory".to_owned(), "mcp:my_fs/list_directory".to_owned()))
        );
    }
}

#[test]
fn the_user_is_asked_about_the_call_that_can_be_meant() {
    let mut recorder = Recorder::new();
    recorder.tool("BeforeTool", "write_file", &json!({ "file_path": "a", "content": "" }), None);
    recorder.tool("BeforeTool", "run_shell_command", &json!({ "command": "make" }), None);
    let mut ask = |details: Value| {
        let payload = json!({ "session_id": SESSION, "hook_event_name": "Notification",
            "notification_type": "ToolPermission", "message": "Tool requires execution", "details": details });
        let records = recorder.hook("Notification", payload.to_string().as_bytes()).records;
        (records[0].kind, records[0].link(Rel::About))
    };
    let shell = ask(json!({ "type": "exec", "command": "make", "rootCommand": "make" }));
    let file = ask(json!({ "type": "edit", "filePath": "/home/dev/proj/a" }));
    let other = ask(json!({ "type": "edit", "filePath": "/home/dev/proj/b" }));
    let ids: Vec<RecordId> = recorder.actions().iter().map(|action| action.id).collect();
    assert_eq!(shell, (Kind::ApprovalRequest, Some(ids[1])));
    assert_eq!(file, (Kind::ApprovalRequest, Some(ids[0])));
    assert_eq!(other, (Kind::ApprovalRequest, None));
}

#[test]
fn who_refused_a_call_that_was_cancelled_is_told() {
    let entry = |status: &str, text: &str| {
        let call = json!({ "id": "c1", "name": "run_shell_command", "args": { "command": "make" }, "status": status,
            "result": [{ "functionResponse": { "id": "c1", "response": { "error": text } } }] });
        let head = json!({ "sessionId": SESSION, "projectHash": "h", "kind": "main" });
        let said = json!({ "id": "m1", "type": "gemini", "content": "", "toolCalls": [call] });
        format!("{head}\n{said}\n")
    };
    for (status, text, want) in [
        ("cancelled", "[Operation Cancelled] Reason: User denied execution.", Some(Outcome::Denied)),
        ("cancelled", "[Operation Cancelled] User cancelled tool execution.", Some(Outcome::Interrupted)),
        ("executing", "", None),
    ] {
        let mut recorder = Recorder::new();
        recorder.piece(&Chunk::whole(&file(None), entry(status, text).as_bytes()));
        let outcome = recorder.result(recorder.actions()[0]).map(|result| result.outcome);
        assert_eq!(outcome, want, "{status} {text}");
    }
}

#[test]
fn the_whole_session_in_one_object_is_read_too() {
    let messages: Vec<Value> = CHAT
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry.get("toolCalls").is_some() || entry["type"] == "user")
        .collect();
    let whole = json!({ "sessionId": SESSION, "projectHash": "h", "messages": messages });
    let text = serde_json::to_string_pretty(&whole).unwrap();
    let mut recorder = Recorder::new();
    recorder.piece(&Chunk::whole("/home/dev/.gemini/tmp/p/chats/session-x.json", text.as_bytes()));
    assert_eq!(recorder.actions().len(), 17);
}

#[test]
fn a_call_that_can_not_be_read_is_not_let_through_where_decisions_are_made_to_hold() {
    for (payload, event) in [
        ("", "BeforeTool"),
        ("{", "BeforeTool"),
        ("{\"session_id\":\"\"}", "BeforeTool"),
        ("{\"session_id\":\"s\",\"hook_event_name\":\"BeforeTool\"}", ""),
    ] {
        let mut recorder = Recorder::new();
        assert_eq!(recorder.hook(event, payload.as_bytes()).refused, None);
        recorder.mode = Mode::Enforce;
        assert!(recorder.hook(event, payload.as_bytes()).refused.is_some(), "{payload}");
    }
}

#[test]
fn the_document_lists_every_tool_that_is_known() {
    for tool in [
        "activate_skill",
        "ask_user",
        "complete_task",
        "enter_plan_mode",
        "exit_plan_mode",
        "get_internal_docs",
        "glob",
        "google_web_search",
        "grep_search",
        "invoke_agent",
        "list_background_processes",
        "list_directory",
        "list_mcp_resources",
        "read_background_output",
        "read_file",
        "read_many_files",
        "read_mcp_resource",
        "replace",
        "run_shell_command",
        "save_memory",
        "search_file_content",
        "tracker_add_dependency",
        "tracker_create_task",
        "tracker_get_task",
        "tracker_list_tasks",
        "tracker_update_task",
        "tracker_visualize",
        "update_topic",
        "web_fetch",
        "write_file",
        "write_todos",
    ] {
        assert!(DOCUMENT.contains(&format!("`{tool}`")), "{tool} is not in the document");
        let (found, _) = (runtime().normalise)(tool, &json!({}), "/w", "/home/dev");
        let reason = format!("the tool {tool} is not known to this version");
        assert!(!found.opaque.contains(&reason), "{tool} is not known");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_fail(event in "[A-Za-z]{0,12}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut recorder = Recorder::new();
        recorder.hook(&event, &bytes);
        recorder.piece(&Chunk::whole("/x/chats/s/a.jsonl", &bytes));
    }

    #[test]
    fn no_field_of_another_type_makes_it_fail(
        at in 0..63_usize, key in 0..12_usize, value in prop::sample::select(vec!["null", "1", "\"\"", "[]", "{}", "[1]", "true"]),
    ) {
        let mut recorder = Recorder::new();
        let (event, mut payload) = events().swap_remove(at);
        let fields = payload.as_object_mut().unwrap();
        let name = fields.keys().nth(key % fields.len()).unwrap().clone();
        fields.insert(name, serde_json::from_str(value).unwrap());
        recorder.hook(&event, payload.to_string().as_bytes());
    }

    #[test]
    fn no_entry_with_a_field_of_another_type_makes_it_fail(
        at in 0..61_usize, key in 0..9_usize, value in prop::sample::select(vec!["null", "1", "\"\"", "[]", "{}", "[{}]", "true"]),
    ) {
        let mut lines: Vec<Value> = CHAT.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let fields = lines[at].as_object_mut().unwrap();
        let name = fields.keys().nth(key % fields.len()).unwrap().clone();
        fields.insert(name, serde_json::from_str(value).unwrap());
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        Recorder::new().piece(&Chunk::whole(&file(None), text.join("\n").as_bytes()));
    }
}
