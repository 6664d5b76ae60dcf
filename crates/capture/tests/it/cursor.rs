//! Payloads of Cursor, made from the documentation of its hooks; none came from Cursor itself.

use crate::sample::Sample;
use fdr_record::{Body, DecidedBy, Kind, Outcome, Record, Rel};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../../../docs/cursor.md");

fn send(sample: &mut Sample, event: &str, fields: Value) -> Vec<Record> {
    let mut payload = json!({
        "conversation_id": "c-1", "generation_id": "g-1", "model": "m", "hook_event_name": event,
        "cursor_version": "2.4.0", "workspace_roots": ["/home/dev/proj"], "user_email": null,
        "transcript_path": null,
    });
    for (key, value) in fields.as_object().expect("fields") {
        payload[key] = value.clone();
    }
    let before = sample.records.len();
    sample.hook(event, payload.to_string().as_bytes());
    sample.records[before..].to_vec()
}

fn kinds(sample: &Sample) -> Vec<Kind> {
    sample.records.iter().map(|record| record.kind).collect()
}

#[test]
fn a_session_of_documented_payloads_is_recorded() {
    let sample = &mut Sample::of("cursor");
    send(
        sample,
        "sessionStart",
        json!({"session_id": "c-1", "composer_mode": "agent", "is_background_agent": false}),
    );
    send(sample, "beforeSubmitPrompt", json!({"prompt": "list the files", "attachments": []}));
    send(sample, "afterAgentThought", json!({"text": "first a look", "duration_ms": 5000}));
    let call = json!({"tool_name": "Shell", "tool_input": {"command": "ls src", "working_directory": "/home/dev/proj"}, "tool_use_id": "t-1", "cwd": "/home/dev/proj", "agent_message": "…"});
    send(sample, "preToolUse", call.clone());
    let mut after = call;
    after["tool_output"] = r#"{"exitCode":2,"stdout":"","stderr":"no src"}"#.into();
    after["duration"] = 54.into();
    send(sample, "postToolUse", after);
    send(sample, "afterAgentResponse", json!({"text": "there is none"}));
    send(sample, "stop", json!({"status": "completed", "loop_count": 0}));
    send(sample, "sessionEnd", json!({"session_id": "c-1", "reason": "completed", "duration_ms": 45000}));
    assert_eq!(
        kinds(sample),
        [
            Kind::SessionStart,
            Kind::Prompt,
            Kind::Message,
            Kind::Action,
            Kind::Result,
            Kind::Message,
            Kind::Message,
            Kind::SessionEnd,
        ]
    );
    let Body::Result(body) = &sample.records[4].body else { panic!("no result") };
    assert_eq!((body.outcome, body.exit_code, body.duration_ms), (Outcome::Error, Some(2), Some(54)));
    let Body::Action(body) = &sample.records[3].body else { panic!("no action") };
    assert_eq!(body.actions[0].resource.as_str(), "file:/home/dev/proj/src");
    let agent = sample.records[3].agent.clone().expect("an agent");
    assert_eq!((agent.id.as_str(), agent.version.as_deref()), ("c-1", Some("2.4.0")));
    assert!(sample.records.iter().all(|record| record.session.as_deref() == Some("c-1")));
}

#[test]
fn a_call_that_is_told_twice_is_recorded_once() {
    let sample = &mut Sample::of("cursor");
    let shell = json!({"tool_name": "Shell", "tool_input": {"command": "cat a", "working_directory": ""}, "tool_use_id": "t-1", "cwd": "/home/dev/proj"});
    send(sample, "preToolUse", shell.clone());
    let again = send(
        sample,
        "beforeShellExecution",
        json!({"command": "cat a", "cwd": "/home/dev/proj", "sandbox": false}),
    );
    assert!(again.iter().all(|record| record.kind == Kind::Message));
    assert_eq!(again[0].links[0].id, sample.records[0].id);
    send(
        sample,
        "afterShellExecution",
        json!({"command": "cat a", "output": "x", "duration": 1, "sandbox": false}),
    );
    let mut after = shell;
    after["tool_output"] = json!(r#"{"exitCode":0,"stdout":"x"}"#);
    send(sample, "postToolUse", after);
    send(sample, "afterShellExecution", json!({"command": "cat a", "output": "x", "duration": 1}));
    let count = |kind| kinds(sample).into_iter().filter(|each| *each == kind).count();
    assert_eq!((count(Kind::Action), count(Kind::Result)), (1, 1));
}

#[test]
fn events_of_single_tools_alone_are_calls_too() {
    let sample = &mut Sample::of("cursor");
    send(sample, "beforeShellExecution", json!({"command": "rm -rf /etc", "cwd": "/home/dev/proj"}));
    send(sample, "afterShellExecution", json!({"command": "rm -rf /etc", "output": "", "duration": 3}));
    send(
        sample,
        "beforeMCPExecution",
        json!({"tool_name": "read", "tool_input": "{\"path\":\"/home/dev/proj/a\"}", "command": "npx fs"}),
    );
    send(
        sample,
        "afterMCPExecution",
        json!({"tool_name": "read", "tool_input": "{\"path\":\"/home/dev/proj/a\"}", "result_json": "{}", "duration": 3}),
    );
    send(
        sample,
        "beforeReadFile",
        json!({"file_path": "/home/dev/proj/.env", "content": "A=b", "attachments": []}),
    );
    send(
        sample,
        "afterFileEdit",
        json!({"file_path": "/home/dev/proj/a", "edits": [{"old_string": "a", "new_string": "b"}]}),
    );
    let actions: Vec<String> = sample
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Action(body) => Some(format!("{} {}", body.actions[0].action, body.actions[0].resource)),
            _ => None,
        })
        .collect();
    let results = kinds(sample).into_iter().filter(|kind| *kind == Kind::Result).count();
    assert_eq!(
        actions[..3],
        ["delete file:/etc", "execute mcp:*/read", "read file:/home/dev/proj/.env"].map(str::to_owned)
    );
    assert_eq!(results, 2);
}

#[test]
fn what_was_not_allowed_is_denied() {
    let sample = &mut Sample::of("cursor");
    let call = json!({"tool_name": "Shell", "tool_input": {"command": "npm test"}, "tool_use_id": "t-1", "cwd": "/p"});
    send(sample, "preToolUse", call.clone());
    let mut after = call;
    after["error_message"] = "the user said no".into();
    after["failure_type"] = "permission_denied".into();
    after["is_interrupt"] = false.into();
    send(sample, "postToolUseFailure", after);
    let Body::Result(body) = &sample.records[1].body else { panic!("no result") };
    let by = body.runtime_decision.as_ref().expect("a decision").by;
    assert_eq!((body.outcome, by), (Outcome::Denied, DecidedBy::Unknown));
}

#[test]
fn a_sub_agent_hangs_below_its_call() {
    let sample = &mut Sample::of("cursor");
    send(
        sample,
        "preToolUse",
        json!({"tool_name": "Task", "tool_input": {"subagent_type": "explore", "prompt": "p"}, "tool_use_id": "tc-1"}),
    );
    let started = send(
        sample,
        "subagentStart",
        json!({"subagent_id": "a-1", "subagent_type": "explore", "task": "p", "parent_conversation_id": "c-1", "tool_call_id": "tc-1", "subagent_model": "m"}),
    );
    assert_eq!(started[0].links[0].rel, Rel::DelegatedBy);
    let agent = started[0].agent.clone().expect("an agent");
    assert_eq!(
        (agent.id.as_str(), agent.name.as_str(), agent.parent.as_deref()),
        ("a-1", "explore", Some("c-1"))
    );
    send(
        sample,
        "subagentStop",
        json!({"subagent_type": "explore", "status": "completed", "summary": "s", "duration_ms": 3}),
    );
    assert_eq!(sample.records.last().map(|record| record.kind), Some(Kind::Message));
}

#[test]
fn any_bytes_are_recorded() {
    let mut sample = Sample::of("cursor");
    for payload in [&b""[..], b"[]", b"\xff", b"{}", br#"{"conversation_id": 3}"#, br#"{"session_id": "s"}"#]
    {
        for event in ["preToolUse", "postToolUse", "afterMCPExecution", "beforeReadFile", "stop", "later", ""]
        {
            sample.hook(event, payload);
        }
    }
}

#[test]
fn the_document_lists_every_event() {
    for event in [
        "sessionStart",
        "sessionEnd",
        "subagentStart",
        "subagentStop",
        "beforeSubmitPrompt",
        "preToolUse",
        "postToolUse",
        "postToolUseFailure",
        "beforeShellExecution",
        "afterShellExecution",
        "beforeMCPExecution",
        "afterMCPExecution",
        "beforeReadFile",
        "afterFileEdit",
        "afterAgentResponse",
        "afterAgentThought",
        "preCompact",
        "stop",
    ] {
        assert!(DOCUMENT.contains(&format!("`{event}`")), "docs/cursor.md lacks {event}");
    }
}
