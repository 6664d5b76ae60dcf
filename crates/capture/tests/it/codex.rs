//! Real sessions of Codex CLI 0.169.0: their hooks, then their rollouts; and input that no runtime
//! would send.
//!
//! `direct`: tools called one by one, with a sub-agent. `script`: the code mode, in which the model
//! writes JavaScript that calls them. `asked`: a user who is asked, and a compaction.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, Chunk, Judge, Runtime, State};
use fdr_record::{
    Basis, Body, ContentKey, Env, Intent, Kind, MAX_BYTES, Mode, Observed, Record, RecordId, Rel, Verdict,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

const DIRECT: &str = include_str!("../data/codex-direct-hooks.jsonl");
const DIRECT_ROLLOUT: &str = include_str!("../data/codex-direct-rollout.jsonl");
const DIRECT_ROLLOUT_OF_SUBAGENT: &str = include_str!("../data/codex-direct-rollout-subagent.jsonl");
const SCRIPT: &str = include_str!("../data/codex-script-hooks.jsonl");
const SCRIPT_ROLLOUT: &str = include_str!("../data/codex-script-rollout.jsonl");
const ASKED: &str = include_str!("../data/codex-asked-hooks.jsonl");
const ASKED_ROLLOUT: &str = include_str!("../data/codex-asked-rollout.jsonl");
/// Of `direct` the main agent's and the sub-agent's; of `script`.
const THREADS: [&str; 3] = [
    "00000000-0000-7000-8000-000000000001",
    "00000000-0000-7000-8000-000000000003",
    "00000000-0000-7000-8000-00000000001f",
];
const DOCUMENT: &str = include_str!("../../../../docs/codex.md");

fn runtime() -> &'static Runtime {
    fdr_capture::runtime("codex").expect("a runtime")
}

/// Refuses to delete recursively, in the words of the hook that the samples were made with.
#[derive(Debug)]
struct Refuses;

impl Judge for Refuses {
    fn forget(&mut self, _session: &str) {}
    fn observe(&mut self, _record: &Record) {}
    fn decide(&mut self, record: &mut Record, _home: &str) {
        let Body::Action(body) = &mut record.body else { return };
        if body.actions.iter().any(|action| action.recursive && action.destructive) {
            body.policy.decision = Verdict::Deny;
            body.policy.reason = "policy R1: recursive delete is not permitted".to_owned();
        }
    }
    fn intent(&mut self, _prompt: &Record, _text: &str, _home: &str) -> Option<Intent> {
        None
    }
}

struct Recorder {
    key: ContentKey,
    state: State,
    records: Vec<Record>,
}

impl Recorder {
    fn new() -> Recorder {
        let state = State::with_judge(Box::new(Refuses));
        Recorder { key: ContentKey::new([7; 32]), state, records: Vec::new() }
    }

    /// One that heard the hooks and read the rollouts afterwards.
    fn of(hooks: &str, rollouts: &[&str]) -> Recorder {
        let mut recorder = Recorder::new();
        for line in hooks.lines() {
            recorder.hook("", line.as_bytes());
        }
        for (number, rollout) in rollouts.iter().enumerate() {
            recorder.import(&file(number), 0, 1, rollout);
        }
        recorder
    }

    fn direct() -> Recorder {
        Recorder::of(DIRECT, &[DIRECT_ROLLOUT, DIRECT_ROLLOUT_OF_SUBAGENT])
    }

    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Captured {
        let arrival = Arrival {
            mono: 81_723_001_122,
            observed: Observed { uid: Some(1000), ..Observed::default() },
            env: Env { host: Some("devbox".to_owned()), ..Env::default() },
            home: "/home/dev".to_owned(),
            mode: Mode::Enforce,
            ..bare_arrival(&self.key)
        };
        let captured = make(&arrival, &mut self.state);
        for record in &captured.records {
            let line = record.to_line();
            assert!(line.len() <= MAX_BYTES, "{} bytes in a record of {}", line.len(), record.kind);
            assert_eq!(Record::parse(&line).expect("a record that can be read"), *record);
        }
        self.records.extend(captured.records.iter().cloned());
        captured
    }

    fn hook(&mut self, event: &str, payload: &[u8]) -> Captured {
        let captured = self.take(|arrival, state| (runtime().hook)(event, payload, arrival, state));
        assert!(!captured.records.is_empty(), "{event} left no record");
        captured
    }

    fn import(&mut self, file: &str, offset: u64, line: u64, text: &str) -> Vec<Record> {
        let import = runtime().import.expect("rollouts are read");
        let chunk = Chunk { file, offset, len: text.len() as u64, line, bytes: text.as_bytes() };
        self.take(|arrival, state| import(&chunk, arrival, state)).records
    }

    /// The same in pieces of a few lines, as a watcher reads it.
    fn import_in_pieces(&mut self, file: &str, text: &str, lines: usize) {
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        let (mut first, mut end) = (0, 0);
        while first < all.len() {
            end = (end + lines).min(all.len());
            let offset = all[..first].concat().len() as u64;
            self.import(file, offset, first as u64 + 1, &all[first..end].concat());
            // Lines at the end may be left for the next piece.
            let read = self.state.file(file).and_then(|read| read.pieces.last()).expect("a piece");
            assert!(read.lines > 0);
            first += read.lines as usize;
        }
    }

    fn of_call(&self, id: &str, kind: Kind) -> Vec<&Record> {
        let of_kind = self.records.iter().filter(|record| record.kind == kind);
        of_kind.filter(|record| record.tool_use_id() == Some(id)).collect()
    }

    /// What came of the call whose summary begins so, as the last word on it: outcome, exit status,
    /// who decided and how that is known.
    fn came(&self, summary: &str) -> String {
        let is_it = |record: &&Record| match &record.body {
            Body::Action(action) => action.summary.starts_with(summary),
            _ => false,
        };
        let action = self.records.iter().find(is_it).unwrap_or_else(|| panic!("no action {summary}"));
        let mut results = self.of_call(action.tool_use_id().expect("an id"), Kind::Result);
        // The scripted model gives the same ids in each session.
        results.retain(|result| result.session == action.session);
        let Some(Body::Result(body)) = results.last().map(|record| &record.body) else {
            return "nothing".to_owned();
        };
        assert!(results.iter().all(|result| result.link(Rel::ResultOf) == Some(action.id)), "{summary}");
        let by = body.runtime_decision.as_ref().map_or("-".to_owned(), |decision| {
            let basis = if decision.basis == Basis::Stated { "stated" } else { "inferred" };
            format!("{} {basis}", decision.by.as_str())
        });
        let code = body.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{code}, {by}", body.outcome.as_str())
    }

    fn gaps(&self) -> Vec<String> {
        let gaps = self.records.iter().filter_map(|record| match &record.body {
            Body::Gap(gap) => Some(format!("{}: {}", gap.what, gap.detail)),
            Body::Unparsed(body) => Some(format!("unparsed: {}", body.reason)),
            _ => None,
        });
        gaps.collect()
    }
}

/// As Codex names it, by the thread.
fn file(number: usize) -> String {
    let thread = THREADS[number];
    format!("/home/dev/.codex/sessions/2026/11/25/rollout-2026-11-25T03-43-00-{thread}.jsonl")
}

/// One line a record, with what is not different from run to run.
fn table(records: &[Record]) -> String {
    let seq_of: HashMap<RecordId, u64> = records.iter().map(|record| (record.id, record.seq)).collect();
    let mut text = String::new();
    for record in records {
        let agent = record.agent.as_ref().map_or("-", |agent| agent.name.as_str());
        let what = match &record.body {
            Body::Action(body) => {
                let acts = body
                    .actions
                    .iter()
                    .map(|action| format!("{} {}", action.action, action.resource.as_str()));
                format!("{} [{}]", body.tool, acts.collect::<Vec<_>>().join(", "))
            }
            Body::Result(body) => format!(
                "{} {}{}{} {}",
                body.tool,
                body.outcome.as_str(),
                body.exit_code.map(|code| format!(" exit {code}")).unwrap_or_default(),
                if body.arguments_changed { " arguments-changed" } else { "" },
                body.runtime_decision.as_ref().map_or("-", |decision| decision.by.as_str()),
            ),
            Body::Context(body) => body.what.clone(),
            Body::Message(body) => format!("{}: {}", body.role, body.preview.replace('\n', " ")),
            Body::Prompt(body) => body.preview.clone(),
            Body::Decision(body) => {
                let calls = body.calls.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>();
                let said = body.stated.as_deref().or(body.thinking.as_deref()).unwrap_or("-");
                format!("{said} -> {}", calls.join(", "))
            }
            Body::SessionEnd(body) => format!("{} {}/{}", body.status.as_str(), body.denied, body.actions),
            Body::SessionStart(body) => body.source.clone().unwrap_or_default(),
            Body::ApprovalRequest(body) => format!("{} {:?}", body.summary, body.reason),
            _ => String::new(),
        };
        let links = record.links.iter().map(|link| {
            let rel = serde_json::to_value(link.rel).expect("a word");
            format!("{}:{}", rel.as_str().unwrap_or_default(), seq_of[&link.id])
        });
        let links = links.collect::<Vec<_>>().join(" ");
        let line = format!("{:>3} {} {agent} | {what} | {links}", record.seq, record.kind);
        writeln!(text, "{}", line.trim_end()).expect("a text");
    }
    text
}

#[test]
fn the_records_of_a_session_are_the_expected_ones() {
    let script = Recorder::of(SCRIPT, &[SCRIPT_ROLLOUT]);
    let asked = Recorder::of(ASKED, &[ASKED_ROLLOUT]);
    let sessions = [Recorder::direct(), script, asked];
    let found = sessions.map(|recorder| table(&recorder.records)).join("\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/codex.expected");
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
fn what_came_of_each_call_is_told_with_who_decided() {
    let recorder = Recorder::direct();
    for (summary, want) in [
        ("cat README.md", "ok 0, unknown inferred"),
        ("notes.txt", "ok 0, unknown inferred"),
        ("apply_patch <<'EOP'", "ok, unknown inferred"),
        ("rm -rf data", "denied, hook stated"),
        ("cat missing.txt", "error 1, unknown inferred"),
        ("echo original", "ok 0, unknown inferred"),
        ("touch never.txt", "denied, mode stated"),
        ("{\"a\":1}", "rejected, runtime stated"),
        ("nofile.md", "error, unknown inferred"),
        ("read x", "error 4, unknown inferred"),
        ("hello", "ok, unknown inferred"),
        ("SUBAGENT-PROBE", "ok, unknown inferred"),
        ("wc -l README.md", "ok 0, unknown inferred"),
    ] {
        assert_eq!(recorder.came(summary), want, "{summary}");
    }
    let asked = Recorder::of(ASKED, &[ASKED_ROLLOUT]);
    for (summary, want) in [
        ("touch allow-me.txt", "ok 0, unknown inferred"),
        ("touch decline-me.txt", "denied, user stated"),
        ("{\"content\":\"x\"", "denied, user stated"),
    ] {
        assert_eq!(asked.came(summary), want, "{summary}");
    }
    assert_eq!((recorder.gaps(), asked.gaps()), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn the_calls_of_a_script_have_results_also_where_it_hides_a_refusal() {
    let recorder = Recorder::of(SCRIPT, &[SCRIPT_ROLLOUT]);
    for (summary, want) in [
        ("echo in-js", "ok 0, unknown inferred"),
        ("made.txt", "ok 0, unknown inferred"),
        ("rm -rf data", "denied, hook stated"),
        ("exit 3", "error 3, unknown inferred"),
        ("README.md", "unknown, -"),
    ] {
        assert_eq!(recorder.came(summary), want, "{summary}");
    }
    // The script swallowed the second refusal.
    let is_denied = |record: &&Record| match &record.body {
        Body::Result(body) => body.runtime_decision.as_ref().is_some_and(|by| by.decision == Verdict::Deny),
        _ => false,
    };
    let bases: Vec<Basis> = recorder
        .records
        .iter()
        .filter(is_denied)
        .filter_map(|record| match &record.body {
            Body::Result(body) => body.runtime_decision.as_ref().map(|by| by.basis),
            _ => None,
        })
        .collect();
    assert_eq!(bases, [Basis::Stated, Basis::Inferred]);
    // Each is led back to the message that asked for the script.
    let decisions = recorder.records.iter().filter(|record| record.kind == Kind::Decision);
    let led_back: HashSet<RecordId> = decisions
        .flat_map(|record| &record.links)
        .filter(|link| link.rel == Rel::DecisionFor)
        .map(|link| link.id)
        .collect();
    let actions = recorder.records.iter().filter(|record| record.kind == Kind::Action);
    let of_hooks = actions
        .filter(|record| record.claimed.as_ref().is_some_and(|claimed| claimed.source.starts_with("hook:")));
    assert!(
        of_hooks.clone().count() == 6 && of_hooks.into_iter().all(|action| led_back.contains(&action.id))
    );
}

#[test]
fn every_call_that_a_hook_or_the_rollout_names_has_one_action_and_an_outcome() {
    let recorder = Recorder::direct();
    let named = |text: &str, path: &str| {
        let values = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        values.filter_map(|value| value.pointer(path)?.as_str().map(str::to_owned)).collect::<HashSet<_>>()
    };
    let calls = &named(DIRECT, "/tool_use_id") | &named(DIRECT_ROLLOUT, "/payload/call_id");
    let calls = &calls | &named(DIRECT_ROLLOUT_OF_SUBAGENT, "/payload/call_id");
    assert_eq!(calls.len(), 15);
    for id in calls {
        assert_eq!(recorder.of_call(&id, Kind::Action).len(), 1, "actions of {id}");
        assert!(!recorder.of_call(&id, Kind::Result).is_empty(), "results of {id}");
    }
}

#[test]
fn a_rollout_that_is_read_in_pieces_says_the_same_and_a_second_time_nothing() {
    for lines in [1, 2, 5] {
        let mut recorder = Recorder::of(DIRECT, &[]);
        recorder.import_in_pieces(&file(0), DIRECT_ROLLOUT, lines);
        recorder.import_in_pieces(&file(1), DIRECT_ROLLOUT_OF_SUBAGENT, lines);
        let whole = Recorder::direct();
        for summary in
            ["cat README.md", "rm -rf data", "cat missing.txt", "read x", "hello", "touch never.txt"]
        {
            assert_eq!(recorder.came(summary), whole.came(summary), "{summary} in pieces of {lines}");
        }
        let count = |recorder: &Recorder, kind| recorder.records.iter().filter(|r| r.kind == kind).count();
        for kind in [Kind::Action, Kind::Result, Kind::Prompt] {
            assert_eq!(count(&recorder, kind), count(&whole, kind), "{kind} in pieces of {lines}");
        }
        // All of it at once, as `fdr import` reads it afterwards.
        let before = recorder.records.len();
        let again = recorder.import("/elsewhere/rollout.jsonl", 0, 1, DIRECT_ROLLOUT);
        let again: Vec<&Record> = again.iter().filter(|record| record.kind != Kind::Context).collect();
        assert!(again.is_empty(), "{before}: {again:?}");
        assert_eq!(recorder.gaps(), Vec::<String>::new());
    }
}

#[test]
fn a_rollout_alone_tells_a_session_too() {
    let mut recorder = Recorder::new();
    recorder.import(&file(0), 0, 1, DIRECT_ROLLOUT);
    recorder.import(&file(1), 0, 1, DIRECT_ROLLOUT_OF_SUBAGENT);
    recorder.import(&file(2), 0, 1, SCRIPT_ROLLOUT);
    for (summary, want) in [
        ("cat README.md", "ok 0, unknown inferred"),
        ("rm -rf data", "denied, hook stated"),
        ("cat missing.txt", "error 1, unknown inferred"),
        ("wc -l README.md", "ok 0, unknown inferred"),
        ("echo in-js", "ok 0, unknown inferred"),
        ("exit 3", "error 3, unknown inferred"),
    ] {
        assert_eq!(recorder.came(summary), want, "{summary}");
    }
    let resource = |summary: &str| {
        recorder.records.iter().find_map(|record| match &record.body {
            Body::Action(body) if body.summary.starts_with(summary) => Some(body.actions[0].resource.clone()),
            _ => None,
        })
    };
    // The command's own folder, as the rollout has it.
    let missing = resource("cat missing.txt").expect("an action");
    assert_eq!(missing.as_str(), "file:/home/dev/proj/data/missing.txt");
    let agents: HashSet<(String, Option<String>)> = recorder
        .records
        .iter()
        .filter_map(|record| record.agent.as_ref())
        .map(|agent| (agent.name.clone(), agent.version.clone()))
        // Of a sub-agent that was only just started it is not known yet.
        .filter(|(_, version)| version.is_some())
        .collect();
    let version = Some("0.169.0".to_owned());
    assert_eq!(
        agents,
        HashSet::from([("codex".to_owned(), version.clone()), ("default".to_owned(), version)])
    );
}

#[test]
fn a_sub_agent_hangs_below_the_call_that_started_it() {
    for recorder in [Recorder::of(DIRECT, &[]), Recorder::direct()] {
        let spawned = recorder.records.iter().find(|record| match &record.body {
            Body::Action(body) => body.tool == "spawn_agent",
            _ => false,
        });
        let child = recorder.records.iter().find(|record| record.link(Rel::DelegatedBy).is_some());
        let (spawned, child) = (spawned.expect("a call"), child.expect("a sub-agent"));
        assert_eq!(child.link(Rel::DelegatedBy), Some(spawned.id));
        let (parent, agent) = (spawned.agent.as_ref(), child.agent.as_ref());
        assert_eq!(agent.and_then(|agent| agent.parent.clone()), parent.map(|agent| agent.id.clone()));
    }
}

#[test]
fn what_the_user_is_asked_is_about_the_call_though_the_event_has_no_id() {
    let recorder = Recorder::of(ASKED, &[]);
    let requests: Vec<&Record> =
        recorder.records.iter().filter(|record| record.kind == Kind::ApprovalRequest).collect();
    assert_eq!(requests.len(), 3);
    for request in requests {
        let Body::ApprovalRequest(body) = &request.body else { panic!("{request:?}") };
        let about = request.link(Rel::About).expect("a call");
        let action = recorder.records.iter().find(|record| record.id == about).map(|record| &record.body);
        let Some(Body::Action(action)) = action else { panic!("{action:?}") };
        assert_eq!(action.summary, body.summary);
    }
}

#[test]
fn a_call_that_is_read_before_its_hook_comes_is_held_all_the_same() {
    let mut recorder = Recorder::new();
    let mut hooks = DIRECT.lines();
    recorder.hook("", hooks.next().expect("a start").as_bytes());
    recorder.import(&file(0), 0, 1, DIRECT_ROLLOUT);
    let call = hooks.find(|line| line.contains("rm -rf data")).expect("a call");
    let captured = recorder.hook("", call.as_bytes());
    assert_eq!(captured.held.len(), 1);
}

#[test]
fn what_the_model_says_and_asks_for_is_not_torn_apart_by_the_end_of_a_piece() {
    let call = DIRECT_ROLLOUT.lines().position(|line| line.contains("\"call_id\"")).expect("a call") + 1;
    let until: Vec<&str> = DIRECT_ROLLOUT.split_inclusive('\n').take(call).collect();
    let mut recorder = Recorder::new();
    recorder.import(&file(0), 0, 1, &until.concat());
    let count = |recorder: &Recorder| recorder.records.iter().filter(|r| r.kind == Kind::Action).count();
    assert_eq!(count(&recorder), 0);
    let read = recorder.state.file(&file(0)).expect("a file").pieces[0].clone();
    assert!((read.lines as usize) < call);
    // Nothing came in between: it is all there is.
    let rest = until[read.lines as usize..].concat();
    recorder.import(&file(0), read.len, read.lines + 1, &rest);
    assert_eq!(count(&recorder), 1);
}

#[test]
fn what_can_not_be_read_is_kept_and_a_call_not_let_through() {
    for (event, payload) in [
        ("PreToolUse", &b"not json"[..]),
        ("PreToolUse", b""),
        ("PreToolUse", b"\xff\xfe"),
        ("PreToolUse", br#"{"session_id": ""}"#),
        ("PreToolUse", br#"{"session_id": "s", "hook_event_name": "PreToolUse"}"#),
        ("PostToolUse", br#"{"session_id": "s", "hook_event_name": "PostToolUse", "tool_name": 3}"#),
    ] {
        let mut recorder = Recorder::new();
        let captured = recorder.hook(event, payload);
        assert!(matches!(captured.records[0].body, Body::Unparsed(_)), "{payload:?}");
        assert_eq!(captured.refused.is_some(), event == "PreToolUse", "{payload:?}");
    }
    let mut recorder = Recorder::new();
    recorder.hook("Later", br#"{"session_id": "s", "hook_event_name": "Later", "x": 1}"#);
    recorder.import("/x/notes.jsonl", 0, 1, "{\"type\":\"response_item\",\"payload\":{}}\n");
    recorder.import(&file(0), 0, 1, &format!("{}\nbroken\n", DIRECT_ROLLOUT.lines().next().expect("a line")));
    assert_eq!(recorder.gaps().len(), 2);
}

#[test]
fn other_forms_of_calls_are_read_too() {
    let meta = json!({"type": "session_meta", "payload": {"id": "t", "cwd": "/w", "cli_version": "1"}});
    let item = |payload: Value| json!({"type": "response_item", "payload": payload});
    let event = |payload: Value| json!({"type": "event_msg", "payload": payload});
    let lines = [
        meta,
        item(json!({"type": "local_shell_call", "call_id": "a", "status": "completed",
            "action": {"type": "exec", "command": ["cat", "x"], "working_directory": "/v"}})),
        item(json!({"type": "function_call_output", "call_id": "a", "output": "Exit code: 2\nOutput:\n"})),
        item(json!({"type": "web_search_call", "id": "ws", "status": "completed",
            "action": {"type": "open_page", "url": "https://h/p"}})),
        item(json!({"type": "function_call", "call_id": "b", "name": "send_message",
            "namespace": "collaboration", "arguments": "{\"target\":\"/root/a\",\"message\":\"m\"}"})),
        item(json!({"type": "function_call_output", "call_id": "b", "output": ""})),
        item(
            json!({"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": "{broken"}),
        ),
        item(json!({"type": "function_call_output", "call_id": "c",
            "output": "failed to parse function arguments: key must be a string"})),
        event(json!({"type": "error", "message": "the provider is down"})),
        event(json!({"type": "turn_aborted", "reason": "interrupted"})),
    ];
    let mut recorder = Recorder::new();
    recorder.import("/x/r.jsonl", 0, 1, &lines.map(|line| format!("{line}\n")).concat());
    for (summary, want) in [
        ("cat x", "error 2, unknown inferred"),
        ("https://h/p", "ok, unknown inferred"),
        ("m", "ok, unknown inferred"),
        ("\"{broken\"", "rejected, runtime stated"),
    ] {
        assert_eq!(recorder.came(summary), want, "{summary}");
    }
    let roles: Vec<String> = recorder
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Message(body) => Some(body.role.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(roles, ["turn_error", "interrupt"]);
}

#[test]
fn every_tool_of_the_document_is_one_that_is_read() {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| Tool ")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20);
    for row in rows {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (tools, action) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        if tools.starts_with("any other") {
            continue;
        }
        for tool in tools.split('`').skip(1).step_by(2) {
            let tool = tool.replace("SERVER", "s").replace("TOOL", "t");
            let input = json!({
                "command": "ls", "path": "a", "source_path": "a", "target_path": "b", "server": "s", "uri": "u",
                "target": "a", "id": "a", "message": "m", "code": "c", "session_id": 1, "cell_id": "1",
            });
            let (found, _) = (runtime().normalise)(&tool, &input, "/w", "/home/dev");
            assert!(!found.hazards.contains(&fdr_record::Hazard::UnknownTool), "{tool}: {found:?}");
            let verb = found.actions[0].action.as_str();
            assert!(action.contains(verb) || action.contains("by command"), "{tool}: {verb}, not {action}");
        }
    }
}

proptest! {
    #[test]
    fn any_payload_leaves_a_record_and_any_rollout_is_taken(
        event in "[A-Za-z]{0,12}",
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..2000,
    ) {
        let mut recorder = Recorder::new();
        recorder.hook(&event, &bytes);
        let line = DIRECT.lines().nth(cut % 29).expect("a line");
        let end = (0..=cut.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        recorder.hook("PreToolUse", &line.as_bytes()[..end]);
        let mut rollout = DIRECT_ROLLOUT.as_bytes().to_vec();
        let at = cut * 7 % rollout.len();
        for (place, byte) in rollout[at..].iter_mut().zip(&bytes) {
            *place = *byte;
        }
        let import = runtime().import.expect("rollouts are read");
        let name = file(0);
        let chunk = Chunk::whole(&name, &rollout);
        recorder.take(|arrival, state| import(&chunk, arrival, state));
    }
}
