//! A real session of OpenCode 1.18.33, its events and what its database has of it; and input that no
//! plugin would send.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, Chunk, Runtime, State};
use fdr_record::{Body, ContentKey, DecidedBy, Kind, Mode, Observed, Outcome, Record, Rel};
use serde::Deserialize;
use serde_json::{Value, json};

const EVENTS: &str = include_str!("../data/opencode-events.jsonl");
const SESSIONS: &str = include_str!("../data/opencode-session.jsonl");
const DOCUMENT: &str = include_str!("../../../../docs/opencode.md");

fn runtime() -> &'static Runtime {
    fdr_capture::runtime("opencode").expect("a runtime")
}

#[derive(Clone, Deserialize)]
struct Event {
    event: String,
    payload: Value,
}

fn events() -> Vec<Event> {
    EVENTS.lines().map(|line| serde_json::from_str(line).expect("a line of the sample")).collect()
}

/// The lines of each session.
fn sessions() -> Vec<(String, String)> {
    let mut sessions: Vec<(String, String)> = Vec::new();
    for line in SESSIONS.lines() {
        let value: Value = serde_json::from_str(line).expect("a line of the sample");
        if value["table"] == "session" {
            let name = format!("/home/dev/opencode.db#{}", value["id"].as_str().expect("an id"));
            sessions.push((name, String::new()));
        }
        let (_, lines) = sessions.last_mut().expect("a session comes first");
        lines.push_str(line);
        lines.push('\n');
    }
    sessions
}

struct Recorder {
    key: ContentKey,
    state: State,
    mode: Mode,
    records: Vec<Record>,
}

impl Recorder {
    fn new(mode: Mode) -> Recorder {
        Recorder { key: ContentKey::new([7; 32]), state: State::default(), mode, records: Vec::new() }
    }

    fn with_events() -> Recorder {
        let mut recorder = Recorder::new(Mode::Observe);
        for event in events() {
            recorder.event(&event.event, &event.payload);
        }
        recorder
    }

    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Captured {
        let arrival = Arrival {
            mono: 81_723_001_122,
            observed: Observed { uid: Some(1000), ..Observed::default() },
            home: "/home/dev".to_owned(),
            mode: self.mode,
            ..bare_arrival(&self.key)
        };
        let captured = make(&arrival, &mut self.state);
        for record in &captured.records {
            assert_eq!(Record::parse(&record.to_line()).expect("a record that can be read"), *record);
        }
        self.records.extend(captured.records.iter().cloned());
        captured
    }

    fn event(&mut self, event: &str, payload: &Value) -> Captured {
        self.hook(event, payload.to_string().as_bytes())
    }

    fn hook(&mut self, event: &str, payload: &[u8]) -> Captured {
        self.take(|arrival, state| (runtime().hook)(event, payload, arrival, state))
    }

    fn import(&mut self, file: &str, bytes: &[u8]) -> Captured {
        let import = runtime().import.expect("it has transcripts");
        self.take(|arrival, state| import(&Chunk::whole(file, bytes), arrival, state))
    }

    fn of(&self, kind: Kind) -> Vec<&Record> {
        self.records.iter().filter(|record| record.kind == kind).collect()
    }

    /// Tool, first action, outcome and who decided of each call, in order.
    fn calls(&self) -> Vec<String> {
        let told = |action: &&Record| {
            let Body::Action(body) = &action.body else { panic!("{action:?}") };
            let done: Vec<String> =
                body.actions.iter().map(|action| format!("{} {}", action.action, action.resource)).collect();
            let results: Vec<&Record> = self
                .of(Kind::Result)
                .into_iter()
                .filter(|result| result.link(Rel::ResultOf) == Some(action.id))
                .collect();
            let [result] = results[..] else { panic!("{} results of {action:?}", results.len()) };
            let Body::Result(result) = &result.body else { panic!("{result:?}") };
            let by = result.runtime_decision.as_ref().map(|decision| (decision.decision, decision.by));
            let code = result.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
            format!(
                "{}: {} | {:?}{code} {:?}",
                body.tool,
                done.join(", "),
                result.outcome,
                by.expect("a decision")
            )
        };
        self.of(Kind::Action).iter().map(told).collect()
    }
}

const CALLS: [&str; 13] = [
    "read: read file:/home/dev/proj/README.md | Ok (Permit, Unknown)",
    "write: write file:/home/dev/proj/notes.txt | Ok (Permit, Unknown)",
    "bash: read file:/home/dev/proj | Ok 0 (Permit, Unknown)",
    "bash: delete file:/home/dev/proj/data | Denied (Deny, Hook)",
    "read: read file:/home/dev/proj/missing.txt | Error (Permit, Unknown)",
    "bash: network url:http://127.0.0.1:1/x | Denied (Deny, Rule)",
    "bash: execute proc:echo | Ok 0 (Permit, Unknown)",
    "bash: execute proc:exit | Error 3 (Permit, Unknown)",
    "edit: write file:/home/dev/proj/notes.txt | Ok (Permit, Unknown)",
    "fs_list_directory: execute mcp:fs/list_directory | Ok (Permit, Unknown)",
    "task: delegate agent:general | Ok (Permit, Unknown)",
    "read: read file:/home/dev/proj/README.md | Ok (Permit, Unknown)",
    "bash: configure file:/home/dev/proj/README.md | Denied (Deny, Mode)",
];

#[test]
fn every_call_of_a_session_has_one_action_and_one_result() {
    let recorder = Recorder::with_events();
    assert_eq!(recorder.calls(), CALLS);
}

#[test]
fn a_refused_call_says_why() {
    let recorder = Recorder::with_events();
    let reasons: Vec<String> = recorder
        .of(Kind::Result)
        .into_iter()
        .filter_map(|record| match &record.body {
            Body::Result(result) if result.outcome == Outcome::Denied => result.reason.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("fdr (enforce): "), "{reasons:?}");
    assert!(reasons[1].starts_with("The user has specified a rule"), "{reasons:?}");
    assert!(reasons[2].starts_with("The user rejected permission"), "{reasons:?}");
    let answers: Vec<_> = recorder.of(Kind::ApprovalDeny);
    let [answer] = answers[..] else { panic!("{answers:?}") };
    let Body::ApprovalDeny(body) = &answer.body else { panic!("{answer:?}") };
    assert_eq!(body.by, Some(DecidedBy::Mode));
    assert!(answer.link(Rel::Approves).is_some());
}

#[test]
fn a_sub_agent_is_a_session_below_the_call_that_started_it() {
    let recorder = Recorder::with_events();
    let starts = recorder.of(Kind::SessionStart);
    let [main, sub] = starts[..] else { panic!("{} sessions", starts.len()) };
    let (main_agent, sub_agent) = (main.agent.as_ref().unwrap(), sub.agent.as_ref().unwrap());
    assert_eq!((main_agent.name.as_str(), main_agent.version.as_deref()), ("opencode", Some("1.18.33")));
    assert_eq!(sub_agent.name, "general");
    assert_eq!(sub_agent.parent.as_ref(), Some(&main_agent.id));
    let task = recorder
        .of(Kind::Action)
        .into_iter()
        .find(|record| matches!(&record.body, Body::Action(action) if action.tool == "task"));
    assert_eq!(sub.link(Rel::DelegatedBy), task.map(|task| task.id));
    let ends = recorder.of(Kind::SessionEnd);
    assert_eq!(ends.iter().map(|end| &end.session).collect::<Vec<_>>(), [&sub.session, &main.session]);
    // What a sub-agent is asked is no person's word.
    assert!(
        recorder.of(Kind::Prompt).iter().all(|prompt| prompt.claimed.as_ref().unwrap().prompt_id.is_some())
    );
}

#[test]
fn the_database_adds_the_decisions_and_no_call_twice() {
    let mut recorder = Recorder::with_events();
    let before = recorder.calls();
    for (file, lines) in sessions() {
        recorder.import(&file, lines.as_bytes());
    }
    assert_eq!(recorder.calls(), before);
    let decided: Vec<_> =
        recorder.of(Kind::Decision).iter().flat_map(|record| record.links.clone()).collect();
    let decided = decided.iter().filter(|link| link.rel == Rel::DecisionFor).count();
    assert_eq!(decided, before.len(), "each call has its decision");
    assert!(recorder.of(Kind::Gap).is_empty(), "{:?}", recorder.of(Kind::Gap));
    assert_eq!(recorder.of(Kind::Prompt).len(), 2);
    let known = recorder.records.len();
    for (file, lines) in sessions() {
        recorder.import(&file, lines.as_bytes());
    }
    assert_eq!(recorder.records.len(), known, "read again, it adds nothing");
}

#[test]
fn the_database_alone_tells_every_call_and_its_outcome() {
    let mut recorder = Recorder::new(Mode::Observe);
    for (file, lines) in sessions() {
        recorder.import(&file, lines.as_bytes());
    }
    let mut told = recorder.calls();
    told.sort();
    // Which part of the name is the server's is not in it, and who answered neither.
    let want = CALLS.map(|call| {
        let call = call.replace("mcp:fs/list_directory", "tool:opencode/fs_list_directory");
        call.replace("(Deny, Mode)", "(Deny, User)")
    });
    let mut want = want.to_vec();
    want.sort();
    assert_eq!(told, want);
}

#[test]
fn arguments_that_another_plugin_changed_are_said() {
    let mut recorder = Recorder::new(Mode::Observe);
    let payload = |command: &str, output: Value| {
        json!({"sessionID": "s", "directory": "/w", "callID": "c", "tool": "bash",
               "args": {"command": command}, "output": output})
    };
    recorder.event("tool.execute.before", &payload("echo a", Value::Null));
    recorder.event(
        "tool.execute.after",
        &payload("echo b", json!({"output": "b\n", "metadata": {"exit": 0}, "title": ""})),
    );
    let results = recorder.of(Kind::Result);
    assert!(matches!(&results[0].body, Body::Result(result) if result.arguments_changed));
}

#[test]
fn what_the_user_runs_in_the_session_is_told_from_what_the_agent_does() {
    let mut recorder = Recorder::new(Mode::Observe);
    let state = json!({"status": "completed", "input": {"command": "ls"}, "output": "a\n",
                       "time": {"start": 1, "end": 5}, "metadata": {"output": "a\n"}});
    let part = json!({"type": "tool", "tool": "bash", "callID": "c", "id": "p", "state": state});
    recorder.event(
        "message.part.updated",
        &json!({"sessionID": "s", "directory": "/w", "part": part, "before": false}),
    );
    assert_eq!(recorder.calls(), ["bash: read file:/w | Ok (Permit, User)"]);
}

#[test]
fn a_prompt_is_what_was_typed_and_not_how_opencode_run_quotes_it() {
    for (told, want) in [
        (r#""Fix it please""#, "Fix it please"),
        (r#""Say \"hello\" twice""#, r#"Say "hello" twice"#),
        (r#""a b" and "c d""#, r#""a b" and "c d""#),
        (r#""word""#, r#""word""#),
        (r#"" ""#, " "),
        (r#"""#, r#"""#),
        ("plain text", "plain text"),
    ] {
        let payload = json!({"sessionID": "s", "directory": "/w", "parts": [
            {"type": "text", "text": told}, {"type": "text", "text": "added", "synthetic": true}]});
        let prompt = (runtime().prompt_of)("chat.message", payload.to_string().as_bytes());
        assert_eq!(prompt.map(|(text, _)| text).as_deref(), Some(want), "{told}");
    }
}

#[test]
fn a_turn_that_the_user_stopped_is_told_from_one_that_failed() {
    let mut recorder = Recorder::new(Mode::Observe);
    for (name, message) in [("MessageAbortedError", "Aborted"), ("APIError", "no quota")] {
        let error = json!({"name": name, "data": {"message": message}});
        recorder.event("session.error", &json!({"sessionID": "s", "properties": {"error": error}}));
    }
    let told: Vec<_> = recorder
        .of(Kind::Message)
        .into_iter()
        .map(|record| match &record.body {
            Body::Message(message) => (message.role.as_str(), message.preview.as_str()),
            _ => panic!("{record:?}"),
        })
        .collect();
    assert_eq!(told, [("interrupt", "Aborted"), ("turn_error", "no quota")]);
}

#[test]
fn calls_made_by_code_end_with_it() {
    let mut recorder = Recorder::new(Mode::Observe);
    let call = |id: &str, tool: &str| json!({"sessionID": "s", "directory": "/w", "callID": id, "tool": tool, "args": {"code": "x"}});
    recorder.event("tool.execute.before", &call("c", "execute"));
    recorder.event("tool.execute.before", &call("c/1", "fs_read"));
    let mut after = call("c", "execute");
    after["output"] = json!({"output": "failed", "metadata": {}, "title": "execute"});
    recorder.event("tool.execute.after", &after);
    let ends: Vec<_> =
        recorder.calls().iter().map(|call| call.split(" | ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(ends, ["Ok (Permit, Unknown)", "Unknown (Permit, Unknown)"]);
}

#[test]
fn a_call_that_cant_be_read_is_not_let_through_where_decisions_hold() {
    for payload in ["", "{", "[]", "{}", r#"{"sessionID": ""}"#, r#"{"sessionID": "s", "callID": "c"}"#] {
        let mut recorder = Recorder::new(Mode::Enforce);
        let captured = recorder.hook("tool.execute.before", payload.as_bytes());
        assert!(captured.refused.is_some(), "{payload}");
        assert_eq!(recorder.of(Kind::Unparsed).len(), 1, "{payload}");
        // Nothing waits for the others.
        assert!(
            Recorder::new(Mode::Enforce).hook("tool.execute.after", payload.as_bytes()).refused.is_none()
        );
    }
    let mut recorder = Recorder::new(Mode::Enforce);
    let payload = json!({"sessionID": "s", "callID": "c", "tool": "read", "args": {"filePath": "/a"}});
    let captured = recorder.event("tool.execute.before", &payload);
    assert_eq!((captured.held.len(), captured.refused), (1, None));
}

#[test]
fn whatever_comes_gives_a_record() {
    for event in events() {
        let text = event.payload.to_string();
        for end in (0..text.len()).step_by(97).filter(|end| text.is_char_boundary(*end)) {
            assert!(
                !Recorder::new(Mode::Observe).hook(&event.event, &text.as_bytes()[..end]).records.is_empty()
            );
        }
        // Each member of another type than expected.
        let members: Vec<String> = event.payload.as_object().unwrap().keys().cloned().collect();
        for member in members {
            for other in [Value::Null, json!(1), json!("x"), json!([1]), json!({"a": 1})] {
                let mut payload = event.payload.clone();
                payload[&member] = other;
                assert!(!Recorder::new(Mode::Observe).event(&event.event, &payload).records.is_empty());
            }
        }
    }
    assert!(
        !Recorder::new(Mode::Observe).event("later.event", &json!({"sessionID": "s"})).records.is_empty()
    );
    for line in ["", "x", "{}", r#"{"table":"message"}"#, r#"{"table":"later","session_id":"s"}"#] {
        Recorder::new(Mode::Observe).import("/f#s", line.as_bytes());
    }
}

#[test]
fn the_document_names_every_event_of_the_sample() {
    for event in events() {
        assert!(DOCUMENT.contains(&format!("`{}`", event.event)), "{}", event.event);
    }
    assert_eq!(
        (runtime().session_of)("session.created", br#"{"sessionID":"s"}"#),
        Some(("s".to_owned(), true))
    );
    assert_eq!(
        (runtime().session_of)("chat.message", br#"{"sessionID":"s"}"#),
        Some(("s".to_owned(), false))
    );
    let prompts: Vec<_> = events()
        .iter()
        .filter_map(|event| (runtime().prompt_of)(&event.event, event.payload.to_string().as_bytes()))
        .collect();
    assert_eq!(prompts, [("Please do the probe steps.".to_owned(), "/home/dev/proj".to_owned())]);
}
