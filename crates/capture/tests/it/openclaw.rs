//! Real sessions of OpenClaw 2026.9.6, as our plug-in passed them on and as it kept them itself: a
//! turn without the Gateway, and one with it that starts a sub-agent.

use crate::sample::{Sample, events};
use fdr_record::{Basis, Body, DecidedBy, Kind, Outcome, Rel, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TURN: &str = include_str!("../data/openclaw-turn-hooks.jsonl");
const TURN_TRANSCRIPT: &str = include_str!("../data/openclaw-turn.jsonl");
const GATEWAY: &str = include_str!("../data/openclaw-gateway-hooks.jsonl");
const GATEWAY_TRANSCRIPT: &str = include_str!("../data/openclaw-gateway.jsonl");
const SUBAGENT_TRANSCRIPT: &str = include_str!("../data/openclaw-gateway-subagent.jsonl");
const DOCUMENT: &str = include_str!("../../../../docs/openclaw.md");

fn with_hooks(hooks: &str) -> Sample {
    let mut sample = Sample::of("openclaw");
    for (event, payload) in events(hooks) {
        sample.hook(&event, payload.to_string().as_bytes());
    }
    sample
}

/// Per call: the tool, what it did, what came of it and who said so.
fn calls(sample: &Sample) -> BTreeMap<String, String> {
    let mut calls = BTreeMap::new();
    for record in &sample.records {
        let id = record.claimed.as_ref().and_then(|claimed| claimed.tool_use_id.clone()).unwrap_or_default();
        match &record.body {
            Body::Action(body) => {
                let actions: Vec<String> = body
                    .actions
                    .iter()
                    .map(|action| format!("{} {}", action.action, action.resource))
                    .collect();
                calls.insert(id, format!("{}: {}", body.tool, actions.join(", ")));
            }
            Body::Result(body) => {
                let by = body.runtime_decision.as_ref().map(|told| told.by.as_str()).unwrap_or_default();
                let code = body.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
                let changed = if body.arguments_changed { " changed" } else { "" };
                calls
                    .entry(id)
                    .or_default()
                    .push_str(&format!(" -> {}{code} by {by}{changed}", body.outcome.as_str()));
            }
            _ => {}
        }
    }
    calls
}

#[test]
fn every_call_of_a_turn_is_an_action_with_its_outcome() {
    let sample = with_hooks(TURN);
    let calls = calls(&sample);
    let asked = TURN_TRANSCRIPT.matches(r#""role": "toolResult""#).count();
    assert_eq!(calls.len(), asked);
    let shown: Vec<&str> = calls.values().map(String::as_str).collect();
    for want in [
        "read: read file:/home/dev/proj/README.md -> ok by unknown",
        "write: write file:/home/dev/proj/notes.md -> ok by unknown",
        "edit: write file:/home/dev/proj/notes.md -> ok by unknown",
        "apply_patch: create file:/home/dev/proj/added.txt, write file:/home/dev/proj/notes.md -> ok by unknown",
        "exec: delete file:/home/dev/proj/data -> denied by hook",
        "frobnicate: execute tool:openclaw/frobnicate -> rejected by runtime",
        "read: execute tool:openclaw/read -> rejected by runtime",
        "read: read file:/home/dev/proj/nope.txt -> error by unknown",
        "process: read proc:background/* -> ok by unknown",
        "web_fetch: network url:http://127.0.0.1:8165/page -> error by unknown",
        "memory_search: search memory:notes -> ok by unknown",
        "fs__list_directory: execute mcp:fs/list_directory -> ok by unknown",
        "sessions_spawn: delegate agent:subagent -> error by unknown",
    ] {
        assert!(shown.contains(&want), "{want} is not in\n{}", shown.join("\n"));
    }
    assert!(
        shown.iter().any(|call| call.contains("ls /nonexistent") || call.contains("-> error 3 by unknown"))
    );
    assert!(shown.iter().all(|call| call.contains(" -> ")), "a call without an outcome");
    let kinds: Vec<Kind> = sample.records.iter().map(|record| record.kind).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&Kind::SessionStart), Some(&Kind::SessionEnd)));
}

#[test]
fn a_transcript_adds_decisions_and_contradicts_nothing() {
    let mut sample = with_hooks(TURN);
    let before = sample.records.len();
    sample.import("/s/agent/openclaw-agent.sqlite#51fbd969-4489-47d0-8f38-0a50619813fc", TURN_TRANSCRIPT);
    let added = &sample.records[before..];
    let count = |kind| added.iter().filter(|record| record.kind == kind).count();
    assert_eq!((count(Kind::Action), count(Kind::Result), count(Kind::Gap)), (0, 0, 0));
    let turns = TURN_TRANSCRIPT.lines().filter(|line| line.contains("toolCall\"")).count();
    assert_eq!(count(Kind::Decision), turns);
    let linked = added.iter().flat_map(|record| &record.links).filter(|link| link.rel == Rel::DecisionFor);
    assert_eq!(linked.count(), TURN_TRANSCRIPT.matches(r#""type": "toolCall""#).count());
    assert!(added.iter().all(|record| !record.claimed.as_ref().is_some_and(|claimed| claimed.inferred)));
    // Nothing of it twice.
    let before = sample.records.len();
    sample.import("/s/agent/openclaw-agent.sqlite#51fbd969-4489-47d0-8f38-0a50619813fc", TURN_TRANSCRIPT);
    assert_eq!(sample.records.len(), before);
}

#[test]
fn a_transcript_alone_gives_the_same_calls() {
    let mut sample = Sample::of("openclaw");
    sample.import("/s/51fbd969-4489-47d0-8f38-0a50619813fc.jsonl", TURN_TRANSCRIPT);
    let (mut told, mut read) = (calls(&with_hooks(TURN)), calls(&sample));
    // OpenClaw does not keep the call of a tool that does not exist, only what came of it.
    let unknown = told.iter().find(|(_, call)| call.starts_with("frobnicate")).map(|(id, _)| id.clone());
    let unknown = unknown.expect("the call");
    told.remove(&unknown);
    assert_eq!(read.remove(&unknown).as_deref(), Some(" -> rejected by runtime"));
    assert_eq!(told, read);
    let prompts = sample.records.iter().filter(|record| record.kind == Kind::Prompt).count();
    assert_eq!(prompts, 1);
}

#[test]
fn the_second_piece_of_a_transcript_belongs_to_the_session_in_its_name() {
    let mut sample = Sample::of("openclaw");
    let lines: Vec<&str> = TURN_TRANSCRIPT.lines().skip(5).collect();
    sample.import("/s/openclaw-agent.sqlite#abc", &lines.join("\n"));
    assert!(sample.records.iter().all(|record| record.session.as_deref() == Some("abc")));
}

#[test]
fn a_sub_agent_is_a_session_that_hangs_below_the_call_that_started_it() {
    let mut sample = with_hooks(GATEWAY);
    let sessions: Vec<_> =
        sample.records.iter().filter(|record| record.kind == Kind::SessionStart).cloned().collect();
    assert_eq!(sessions.len(), 2);
    let spawn = sample
        .records
        .iter()
        .find(|record| matches!(&record.body, Body::Action(body) if body.tool == "sessions_spawn"))
        .expect("the call");
    let child = &sessions[1];
    assert!(child.links.iter().any(|link| link.rel == Rel::DelegatedBy && link.id == spawn.id));
    let agent = child.agent.as_ref().expect("an agent");
    assert_eq!((agent.name.as_str(), agent.parent.as_ref()), ("subagent", spawn.session.as_ref()));
    assert_eq!(agent.version.as_deref(), Some("2026.9.6"));
    let ends = sample.records.iter().filter(|record| record.kind == Kind::SessionEnd).count();
    assert_eq!(ends, 2);
    let before = sample.records.len();
    sample.import(&format!("/s/o.sqlite#{}", spawn.session.clone().unwrap_or_default()), GATEWAY_TRANSCRIPT);
    sample.import(&format!("/s/o.sqlite#{}", child.session.clone().unwrap_or_default()), SUBAGENT_TRANSCRIPT);
    let added = &sample.records[before..];
    let wrong = [Kind::Action, Kind::Result, Kind::Gap, Kind::Prompt];
    let wrong: Vec<_> = added.iter().filter(|record| wrong.contains(&record.kind)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn who_refused_is_told() {
    let mut sample = Sample::of("openclaw");
    let mut outcome = |n: u32, error: Value, details: Value| {
        let event = json!({
            "toolName": "exec", "toolCallId": format!("c{n}"), "params": {"command": "true"}, "error": error,
            "result": {"content": [{"type": "text", "text": "t"}], "details": details},
        });
        let payload = json!({"session_id": "s", "cwd": "/w", "event": event}).to_string();
        sample.hook("after_tool_call", payload.as_bytes());
        let Some(Body::Result(body)) = sample.records.last().map(|record| record.body.clone()) else {
            panic!("no result");
        };
        let told = body.runtime_decision.expect("a decision");
        assert_eq!(told.decision == Verdict::Deny, told.basis == Basis::Stated);
        (body.outcome, told.by)
    };
    let none = json!({});
    for (n, (error, details, want)) in [
        (
            json!("no"),
            json!({"status": "blocked", "deniedReason": "plugin-before-tool-call"}),
            (Outcome::Denied, DecidedBy::Hook),
        ),
        (
            json!("no"),
            json!({"status": "blocked", "deniedReason": "plugin-approval"}),
            (Outcome::Denied, DecidedBy::User),
        ),
        (
            json!("no"),
            json!({"status": "blocked", "deniedReason": "approval-timeout"}),
            (Outcome::Denied, DecidedBy::Timeout),
        ),
        (
            json!("no"),
            json!({"status": "blocked", "deniedReason": "tool-loop"}),
            (Outcome::Denied, DecidedBy::Runtime),
        ),
        (json!("Exec denied (x): rm"), none.clone(), (Outcome::Denied, DecidedBy::Rule)),
        (json!("Plugin approval unavailable: x"), none.clone(), (Outcome::Denied, DecidedBy::Mode)),
        (
            json!("Tool call blocked because before_tool_call hook failed"),
            none.clone(),
            (Outcome::Denied, DecidedBy::Hook),
        ),
        (json!("Tool exec not found"), none.clone(), (Outcome::Rejected, DecidedBy::Runtime)),
        (
            json!("Validation failed for tool \"exec\":"),
            none.clone(),
            (Outcome::Rejected, DecidedBy::Runtime),
        ),
        (json!("it broke"), none.clone(), (Outcome::Error, DecidedBy::Unknown)),
        (Value::Null, json!({"exitCode": 3}), (Outcome::Error, DecidedBy::Unknown)),
        (Value::Null, json!({"status": "running"}), (Outcome::Ok, DecidedBy::Unknown)),
        // What a command prints is not taken for it.
        (Value::Null, json!({"aggregated": "Exec denied (x)"}), (Outcome::Ok, DecidedBy::Unknown)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(outcome(n as u32, error.clone(), details.clone()), want, "{error} {details}");
    }
}

#[test]
fn arguments_that_another_plug_in_rewrote_are_told() {
    let mut sample = Sample::of("openclaw");
    for (event, command) in [("before_tool_call", "echo a"), ("after_tool_call", "echo b")] {
        let event_body =
            json!({"toolName": "exec", "toolCallId": "c", "params": {"command": command}, "result": {}});
        let payload = json!({"session_id": "s", "cwd": "/w", "event": event_body}).to_string();
        sample.hook(event, payload.as_bytes());
    }
    assert!(matches!(&sample.records[1].body, Body::Result(body) if body.arguments_changed));
}

#[test]
fn any_bytes_are_recorded() {
    let mut sample = Sample::of("openclaw");
    for payload in
        [&b""[..], b"{", b"\xff", b"null", b"{}", br#"{"session_id": ""}"#, br#"{"session_id": "s"}"#]
    {
        for event in ["before_tool_call", "after_tool_call", "session_start", "agent_end", "later", ""] {
            sample.hook(event, payload);
        }
    }
    let last = sample.records.last().expect("records");
    assert_eq!(last.kind, Kind::Unparsed);
}

#[test]
fn the_document_lists_every_event_and_every_tool() {
    let listed = |word: &str| DOCUMENT.contains(&format!("`{word}`"));
    for (event, _) in events(TURN).into_iter().chain(events(GATEWAY)) {
        assert!(listed(&event), "docs/openclaw.md lacks {event}");
    }
    // What OpenClaw itself declares to the model with everything switched on, and what its catalogue
    // has beside that.
    for tool in include_str!("../data/openclaw-tools.txt").split_whitespace() {
        assert!(listed(tool), "docs/openclaw.md lacks {tool}");
        let (found, _) = Sample::of("openclaw").normalise(tool, &json!({"action": "list", "path": "a"}));
        let unknown = found.opaque.iter().any(|reason| reason.contains("is not known to this version"));
        assert!(!unknown, "{tool} is not known");
    }
}
