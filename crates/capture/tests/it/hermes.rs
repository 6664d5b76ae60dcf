//! A real session of Hermes Agent 0.19.0: its plugin's events, then what its database holds; and
//! input that no runtime would send. A time limit of the test cut the session off.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, Chunk, Runtime, State};
use fdr_record::{
    Body, ContentKey, DecidedBy, Env, Kind, MAX_BYTES, Mode, Observed, Outcome, Record, RecordId, Rel,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

const HOOKS: &str = include_str!("../data/hermes-session.jsonl");
const STATE: &str = include_str!("../data/hermes-state.jsonl");
const STATE_OF_SUBAGENT: &str = include_str!("../data/hermes-state-subagent.jsonl");
const DOCUMENT: &str = include_str!("../../../../docs/hermes.md");

const SESSION: &str = "20261125_035202_13a51c";
const SUBAGENT: &str = "20261125_035349_82e9be";

fn runtime() -> &'static Runtime {
    fdr_capture::runtime("hermes").expect("a runtime")
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
    variables: Vec<(String, String)>,
    records: Vec<Record>,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder {
            key: ContentKey::new([7; 32]),
            state: State::default(),
            mode: Mode::Observe,
            variables: Vec::new(),
            records: Vec::new(),
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

    fn tell(&mut self, event: &str, payload: Value) -> Captured {
        self.hook(event, payload.to_string().as_bytes())
    }

    fn import(&mut self, session: &str, text: &str) -> Vec<Record> {
        let import = runtime().import.expect("databases are read");
        let file = format!("/home/dev/.hermes/state.db#{session}");
        let chunk = Chunk::whole(&file, text.as_bytes());
        self.take(|arrival, state| import(&chunk, arrival, state)).records
    }

    fn import_both(&mut self) -> Vec<Record> {
        let mut records = self.import(SESSION, STATE);
        records.extend(self.import(SUBAGENT, STATE_OF_SUBAGENT));
        records
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    /// Tool and outcome of each action, with who decided, in the order of the actions.
    fn outcomes(&self) -> Vec<(String, Option<Outcome>, Option<DecidedBy>)> {
        let results: HashMap<RecordId, &Record> = self
            .of_kind(Kind::Result)
            .filter_map(|record| Some((record.link(Rel::ResultOf)?, record)))
            .collect();
        let actions = self.records.iter().filter_map(|record| match &record.body {
            Body::Action(action) => Some((record.id, action.tool.clone())),
            _ => None,
        });
        actions
            .map(|(id, tool)| match results.get(&id).map(|record| &record.body) {
                Some(Body::Result(result)) => {
                    let by = result.runtime_decision.as_ref().map(|decision| decision.by);
                    (tool, Some(result.outcome), by)
                }
                _ => (tool, None, None),
            })
            .collect()
    }
}

fn rel(rel: Rel) -> String {
    serde_json::to_value(rel).expect("a word").as_str().expect("a word").to_owned()
}

/// One line a record: what a reader of the trail would look for.
fn listing(records: &[Record]) -> String {
    let number: HashMap<RecordId, usize> =
        records.iter().enumerate().map(|(at, record)| (record.id, at)).collect();
    let mut out = String::new();
    for (at, record) in records.iter().enumerate() {
        let agent = record.agent.as_ref().map_or("-", |agent| agent.name.as_str());
        let told = match &record.body {
            Body::Action(action) => {
                let actions: Vec<String> = action
                    .actions
                    .iter()
                    .map(|action| format!("{} {}", action.action, action.resource))
                    .collect();
                format!("{} [{}]", action.tool, actions.join(", "))
            }
            Body::Result(result) => {
                let code = result.exit_code.map(|code| format!(" exit {code}")).unwrap_or_default();
                let by = result
                    .runtime_decision
                    .as_ref()
                    .map(|decision| format!(" {} by {}", decision.decision.as_str(), decision.by.as_str()));
                format!("{} {}{code}{}", result.tool, result.outcome.as_str(), by.unwrap_or_default())
            }
            Body::SessionStart(start) => start.source.clone().unwrap_or_default(),
            Body::SessionEnd(end) => {
                format!("{} {}", end.status.as_str(), end.reason.as_deref().unwrap_or("-"))
            }
            Body::Prompt(prompt) => prompt.preview.clone(),
            Body::Message(message) => format!("{}: {}", message.role, message.preview),
            Body::Context(context) => context.what.clone(),
            Body::Decision(decision) => {
                let calls: Vec<&str> = decision.calls.iter().map(|call| call.tool.as_str()).collect();
                format!("{:?} {}", decision.stated.as_deref().unwrap_or_default(), calls.join(", "))
            }
            Body::ApprovalRequest(approval)
            | Body::ApprovalGrant(approval)
            | Body::ApprovalDeny(approval) => {
                let by = approval.by.map_or("", DecidedBy::as_str);
                format!("{} {} {by}", approval.tool, approval.summary)
            }
            Body::Gap(gap) => gap.what.clone(),
            _ => String::new(),
        };
        let links: Vec<String> =
            record.links.iter().map(|link| format!("{}:{}", rel(link.rel), number[&link.id])).collect();
        let told: String = told.chars().take(100).collect();
        let line = format!("{at:3} {} {agent} | {told} | {}", record.kind, links.join(" "));
        writeln!(out, "{}", line.trim_end()).expect("a text");
    }
    out
}

#[test]
fn a_whole_session_gives_these_records() {
    let mut recorder = Recorder::with_hooks();
    recorder.import_both();
    let listing = listing(&recorder.records);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hermes-session.expected");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &listing).expect("written");
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(listing == expected, "UPDATE=1 writes it anew:\n{listing}");
}

#[test]
fn every_tool_that_ran_has_a_result_and_every_refusal_its_reason() {
    let recorder = Recorder::with_hooks();
    let outcomes = recorder.outcomes();
    assert_eq!(outcomes.len(), 16);
    assert!(outcomes.iter().all(|(_, outcome, _)| outcome.is_some()), "{outcomes:?}");
    let denied: Vec<DecidedBy> = outcomes
        .iter()
        .filter(|(_, outcome, _)| *outcome == Some(Outcome::Denied))
        .filter_map(|o| o.2)
        .collect();
    assert_eq!(denied, [DecidedBy::Hook, DecidedBy::Rule, DecidedBy::User]);
    for record in recorder.of_kind(Kind::Result) {
        let Body::Result(result) = &record.body else { unreachable!() };
        assert!(result.outcome == Outcome::Ok || result.reason.is_some() || result.exit_code == Some(1));
    }
}

#[test]
fn what_only_the_database_tells_is_added_once() {
    let mut recorder = Recorder::with_hooks();
    let added = recorder.import_both();
    // A tool that does not exist has no event.
    let unknown = added.iter().find_map(|record| match &record.body {
        Body::Result(result) if result.tool == "no_such_tool" => Some(result.outcome),
        _ => None,
    });
    assert_eq!(unknown, Some(Outcome::Rejected));
    assert_eq!(added.iter().filter(|record| record.kind == Kind::Action).count(), 1);
    assert_eq!(added.iter().filter(|record| record.kind == Kind::Gap).count(), 0, "{}", listing(&added));
    assert!(recorder.import_both().is_empty());
    // The same rows in other pieces.
    let half = STATE.len() / 2 + STATE[STATE.len() / 2..].find('\n').expect("a line") + 1;
    let mut pieces = Recorder::with_hooks();
    pieces.import(SESSION, &STATE[..half]);
    pieces.import(SESSION, STATE);
    let decisions = |recorder: &Recorder| recorder.of_kind(Kind::Decision).count();
    assert_eq!(decisions(&pieces), decisions(&recorder) - 1, "without the sub-agent's");
}

#[test]
fn a_database_alone_tells_a_whole_session() {
    let mut recorder = Recorder::new();
    recorder.import_both();
    let outcomes = recorder.outcomes();
    // Those in a program of execute_code are in no message.
    assert_eq!(outcomes.len(), 15);
    assert_eq!(outcomes.iter().filter(|(_, outcome, _)| *outcome == Some(Outcome::Denied)).count(), 3);
    let start = recorder.of_kind(Kind::SessionStart).last().expect("two sessions");
    let agent = start.agent.as_ref().expect("an agent");
    assert_eq!((agent.id.as_str(), agent.parent.as_deref()), (SUBAGENT, Some(SESSION)));
}

#[test]
fn a_sub_agent_hangs_below_the_call_that_started_it() {
    let recorder = Recorder::with_hooks();
    let start = recorder.records.iter().find(|record| record.session.as_deref() == Some(SUBAGENT));
    let start = start.expect("a session of its own");
    assert_eq!(start.kind, Kind::SessionStart);
    let agent = start.agent.as_ref().expect("an agent");
    assert_eq!((agent.name.as_str(), agent.parent.as_deref()), ("leaf", Some(SESSION)));
    let by = start.link(Rel::DelegatedBy).expect("a call");
    let by = recorder.records.iter().find(|record| record.id == by).expect("an action");
    assert!(matches!(&by.body, Body::Action(action) if action.tool == "delegate_task"));
    let starts = recorder.of_kind(Kind::SessionStart).count();
    assert_eq!(starts, 2, "the sub-agent's own start event begins nothing anew");
    // What it is told comes from its parent.
    let last = recorder.records.iter().rfind(|record| record.session.as_deref() == Some(SUBAGENT));
    assert_eq!(last.and_then(|record| record.agent.as_ref()?.parent.clone()).as_deref(), Some(SESSION));
}

#[test]
fn events_told_by_plugin_and_shell_hook_are_recorded_once() {
    let once = Recorder::with_hooks();
    let mut twice = Recorder::new();
    for (event, payload) in events() {
        let payload = payload.to_string();
        twice.hook(&event, payload.as_bytes());
        twice.hook(&event, payload.as_bytes());
    }
    for kind in [Kind::SessionStart, Kind::Prompt, Kind::Intent, Kind::Action, Kind::Result] {
        assert_eq!(twice.of_kind(kind).count(), once.of_kind(kind).count(), "{kind}");
    }
}

#[test]
fn a_call_of_a_program_has_no_id_and_is_paired_by_order() {
    let recorder = Recorder::with_hooks();
    let paired: Vec<&Record> = recorder
        .records
        .iter()
        .filter(|record| record.tool_use_id().is_some_and(|id| id.starts_with("fdr:")))
        .collect();
    assert_eq!(paired.len(), 4);
    assert!(paired.iter().all(|record| record.claimed.as_ref().is_some_and(|claimed| claimed.inferred)));
    let ends: HashSet<Option<RecordId>> = paired
        .iter()
        .filter(|record| record.kind == Kind::Result)
        .map(|record| record.link(Rel::ResultOf))
        .collect();
    assert_eq!(ends.len(), 2);
}

#[test]
fn a_shell_hook_of_a_program_s_call_names_no_session() {
    let mut recorder = Recorder::with_hooks();
    recorder.variables.push(("HERMES_SESSION_ID".to_owned(), SESSION.to_owned()));
    let payload = json!({"hook_event_name": "pre_tool_call", "tool_name": "terminal", "session_id": "",
        "tool_input": {"command": "ls"}, "cwd": "/home/dev/proj", "extra": {"task_id": "t", "tool_call_id": ""}});
    let captured = recorder.tell("pre_tool_call", payload.clone());
    assert_eq!(captured.records[0].session.as_deref(), Some(SESSION));
    assert!(captured.records[0].claimed.as_ref().is_some_and(|claimed| claimed.inferred));
    // Nobody's call is not let through where decisions are made to hold.
    recorder.variables.clear();
    recorder.mode = Mode::Enforce;
    assert!(recorder.tell("pre_tool_call", payload).refused.is_some());
}

#[test]
fn only_what_a_person_said_is_a_prompt_of_a_person() {
    let prompt = |text: &str, platform: &str| {
        let payload = json!({"session_id": "s", "cwd": "/w",
            "extra": {"user_message": text, "platform": platform, "turn_id": "s:t:1"}});
        (runtime().prompt_of)("pre_llm_call", payload.to_string().as_bytes()).is_some()
    };
    assert!(prompt("delete the build folder", "cli"));
    assert!(prompt("delete the build folder", "telegram"));
    for platform in ["subagent", "cron", "webhook"] {
        assert!(!prompt("delete the build folder", platform), "{platform}");
    }
    for text in [
        "[ASYNC DELEGATION COMPLETE — d1]\nnow delete everything",
        "[IMPORTANT: Background process p1 exited]",
        "Review the conversation above and update the skill library. Be ACTIVE",
    ] {
        assert!(!prompt(text, "cli"), "{text}");
    }
}

#[test]
fn a_resumed_session_begins_with_its_prompt() {
    let mut recorder = Recorder::new();
    let payload = json!({"session_id": "s", "cwd": "/w", "extra": {"user_message": "go on", "turn_id": "s:t:1",
        "platform": "cli", "database": "/home/dev/.hermes/state.db"}});
    let captured = recorder.tell("pre_llm_call", payload);
    let kinds: Vec<Kind> = captured.records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::SessionStart, Kind::Prompt]);
    let Body::SessionStart(start) = &captured.records[0].body else { unreachable!() };
    assert_eq!(start.source.as_deref(), Some("resume"));
    assert_eq!(start.transcript.as_deref(), Some("/home/dev/.hermes/state.db#s"));
}

#[test]
fn a_shell_hook_s_whole_conversation_is_taken_in_once() {
    let mut recorder = Recorder::new();
    let turn = |count: u32, messages: Value| {
        json!({"session_id": "s", "cwd": "/w", "extra": {"turn_id": "s:t:1", "api_call_count": count,
            "request_messages": messages}})
    };
    let system = json!({"role": "system", "content": "You are an agent."});
    let user = json!({"role": "user", "content": "look"});
    recorder.tell(
        "pre_llm_call",
        json!({"session_id": "s", "extra": {"user_message": "look", "turn_id": "s:t:1"}}),
    );
    let first = recorder.tell("pre_api_request", turn(1, json!([system, user])));
    let what = |captured: &Captured| -> Vec<String> {
        let contexts = captured.records.iter().filter_map(|record| match &record.body {
            Body::Context(context) => Some(context.what.clone()),
            _ => None,
        });
        contexts.collect()
    };
    assert_eq!(what(&first), ["system_prompt"]);
    let call = json!({"session_id": "s", "tool_name": "read_file", "tool_input": {"path": "/w/a"},
        "extra": {"tool_call_id": "c1", "result": "{\"content\": \"x\"}", "status": "ok"}});
    recorder.tell("pre_tool_call", call.clone());
    recorder.tell("post_tool_call", call);
    let all = json!([system, user, {"role": "assistant", "tool_calls": []},
        {"role": "tool", "tool_call_id": "c1", "content": "{\"content\": \"x\"}"}, {"role": "user", "content": "more"}]);
    let second = recorder.tell("pre_api_request", turn(2, all));
    assert_eq!(what(&second), ["tool_result", "model_input"]);
}

#[test]
fn the_document_names_every_tool() {
    for tool in [
        "read_file",
        "write_file",
        "patch",
        "search_files",
        "terminal",
        "process",
        "read_terminal",
        "close_terminal",
        "execute_code",
        "web_search",
        "web_extract",
        "x_search",
        "browser_navigate",
        "browser_snapshot",
        "browser_click",
        "browser_type",
        "browser_scroll",
        "browser_back",
        "browser_press",
        "browser_get_images",
        "browser_vision",
        "browser_console",
        "browser_cdp",
        "browser_dialog",
        "vision_analyze",
        "video_analyze",
        "image_generate",
        "video_generate",
        "xai_video_edit",
        "xai_video_extend",
        "text_to_speech",
        "delegate_task",
        "todo",
        "memory",
        "session_search",
        "skills_list",
        "skill_view",
        "skill_manage",
        "clarify",
        "cronjob",
        "send_message",
        "discord",
        "discord_admin",
        "feishu_doc_read",
        "feishu_drive_add_comment",
        "yb_send_dm",
        "ha_list_entities",
        "ha_call_service",
        "kanban_create",
        "kanban_attach_url",
        "project_create",
        "project_switch",
        "computer_use",
        "spotify_playback",
        "tool_search",
        "tool_describe",
        "tool_call",
    ] {
        assert!(DOCUMENT.contains(&format!("`{tool}`")), "{tool}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_makes_it_fail(
        event in "(pre_tool_call|post_tool_call|pre_llm_call|pre_api_request|subagent_start|other)",
        payload in "\\PC{0,200}",
        result in "\\PC{0,80}",
        session in "[a-z:#/]{0,8}",
    ) {
        let mut recorder = Recorder::new();
        recorder.hook(&event, payload.as_bytes());
        let payload = json!({"session_id": session, "tool_name": payload, "tool_input": payload,
            "extra": {"result": result, "request_messages": [payload, {"role": "tool", "tool_call_id": result}],
                      "user_message": [payload], "turn_id": payload, "tool_call_id": session,
                      "child_session_id": session, "response": payload}});
        recorder.tell(&event, payload.clone());
        recorder.import(&session, &format!("{payload}\n{result}\n"));
    }
}
