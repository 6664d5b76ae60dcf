//! Events in orders that a smooth session does not have: doubled, missing, in parallel, across
//! turns; and transcripts that hold more, or less, than one expects.

use crate::claude_code::{bare_arrival, runtime};
use fdr_capture::{Arrival, Captured, Chunk, State};
use fdr_record::{Basis, Body, ContentKey, DecidedBy, Kind, Outcome, Record, Rel, ResultBody, Status};
use serde_json::{Value, json};

#[derive(Default)]
struct Recorder {
    state: State,
    records: Vec<Record>,
}

impl Recorder {
    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Vec<Record> {
        let key = ContentKey::new([7; 32]);
        let arrival = Arrival { home: "/home/dev".to_owned(), ..bare_arrival(&key) };
        let records = make(&arrival, &mut self.state).records;
        self.records.extend(records.iter().cloned());
        records
    }

    fn hook(&mut self, event: &str, more: Value) -> Vec<Record> {
        let mut payload = json!({ "session_id": "s", "cwd": "/w", "hook_event_name": event });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let records = self
            .take(|arrival, state| (runtime().hook)(event, payload.to_string().as_bytes(), arrival, state));
        assert!(!records.is_empty(), "{event} left no record");
        records
    }

    fn before(&mut self, id: &str, tool: &str, input: &Value) -> Record {
        let call = json!({ "tool_use_id": id, "tool_name": tool, "tool_input": input });
        self.hook("PreToolUse", call).remove(0)
    }

    fn after(&mut self, id: &str, tool: &str, input: &Value, response: &Value) -> Vec<Record> {
        let call =
            json!({ "tool_use_id": id, "tool_name": tool, "tool_input": input, "tool_response": response });
        self.hook("PostToolUse", call)
    }

    fn batch(&mut self, id: &str, tool: &str, input: &Value, response: &Value) -> Vec<Record> {
        let call =
            json!({ "tool_use_id": id, "tool_name": tool, "tool_input": input, "tool_response": response });
        self.hook("PostToolBatch", json!({ "tool_calls": [call] }))
    }

    fn import(&mut self, lines: &[Value]) -> Vec<Record> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.import_text(&text)
    }

    fn import_text(&mut self, text: &str) -> Vec<Record> {
        self.take(|arrival, state| {
            runtime().import.expect("transcripts are read")(
                &Chunk::whole("/t.jsonl", text.as_bytes()),
                arrival,
                state,
            )
        })
    }

    fn count(&self, kind: Kind) -> usize {
        self.records.iter().filter(|record| record.kind == kind).count()
    }

    fn result(&self, id: &str) -> &ResultBody {
        let of_call = self.records.iter().filter(|record| record.tool_use_id() == Some(id));
        let mut results = of_call.filter_map(|record| match &record.body {
            Body::Result(result) => Some(result),
            _ => None,
        });
        let result = results.next().expect("a result");
        assert!(results.next().is_none(), "one result");
        result
    }
}

fn bash(command: &str) -> Value {
    json!({ "command": command })
}

fn output(text: &str) -> Value {
    json!({ "stdout": text, "stderr": "", "interrupted": false })
}

fn assistant(uuid: &str, message: &str, content: Value) -> Value {
    json!({ "type": "assistant", "uuid": uuid, "sessionId": "s", "cwd": "/w",
        "message": { "id": message, "model": "claude-x", "content": content } })
}

fn tool_use(id: &str, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": id, "name": "Bash", "input": input })
}

fn user(uuid: &str, content: Value) -> Value {
    json!({ "type": "user", "uuid": uuid, "sessionId": "s", "message": { "content": content } })
}

fn tool_result(id: &str, text: &str, is_error: bool) -> Value {
    json!({ "type": "tool_result", "tool_use_id": id, "content": text, "is_error": is_error })
}

#[test]
fn a_call_that_only_its_end_tells_of_has_one_action_and_one_result() {
    let mut recorder = Recorder::default();
    let records = recorder.after("t1", "Bash", &bash("ls"), &output("a"));
    assert_eq!(records[0].kind, Kind::Action);
    assert_eq!(records[0].claimed.as_ref().unwrap().source, "hook:PostToolUse");
    assert_eq!(records[1].link(Rel::ResultOf), Some(records[0].id));
    recorder.batch("t1", "Bash", &bash("ls"), &json!("a"));
    assert_eq!((recorder.count(Kind::Action), recorder.count(Kind::Result)), (1, 1));
}

#[test]
fn a_hook_that_is_set_up_twice_tells_nothing_twice() {
    let mut recorder = Recorder::default();
    for _ in 0..2 {
        recorder.before("t1", "Bash", &bash("ls"));
    }
    for _ in 0..2 {
        recorder.after("t1", "Bash", &bash("ls"), &output("a"));
    }
    recorder.batch("t1", "Bash", &bash("ls"), &json!("a"));
    assert_eq!((recorder.count(Kind::Action), recorder.count(Kind::Result)), (1, 1));
}

#[test]
fn the_same_id_with_other_arguments_is_another_action() {
    let mut recorder = Recorder::default();
    recorder.before("t1", "Bash", &bash("ls"));
    let second = recorder.before("t1", "Bash", &bash("rm -rf /"));
    assert_eq!(second.kind, Kind::Action);
    assert_eq!(recorder.count(Kind::Action), 2);
}

#[test]
fn what_was_said_in_one_turn_decides_nothing_in_the_next() {
    let mut recorder = Recorder::default();
    recorder.hook("UserPromptSubmit", json!({ "prompt": "one", "prompt_id": "p1" }));
    recorder
        .hook("MessageDisplay", json!({ "message_id": "m", "index": 0, "final": true, "delta": "Done." }));
    recorder.hook("Stop", json!({}));
    let prompt = recorder.hook("UserPromptSubmit", json!({ "prompt": "two", "prompt_id": "p2" }));
    let call =
        json!({ "tool_use_id": "t1", "tool_name": "Bash", "tool_input": bash("ls"), "prompt_id": "p2" });
    let action = recorder.hook("PreToolUse", call).remove(0);
    assert_eq!(action.link(Rel::DecidedBy), None);
    assert_eq!(action.link(Rel::PromptedBy), Some(prompt[0].id));
}

#[test]
fn an_unknown_text_is_a_refusal_only_where_calls_that_run_are_told_of() {
    let mut recorder = Recorder::default();
    recorder.before("t1", "Bash", &bash("make"));
    recorder.batch("t1", "Bash", &bash("make"), &json!("all built"));
    assert_eq!(recorder.result("t1").outcome, Outcome::Unknown);

    recorder.before("t2", "Bash", &bash("ls"));
    recorder.after("t2", "Bash", &bash("ls"), &output("a"));
    recorder.before("t3", "Bash", &bash("make"));
    recorder.batch("t3", "Bash", &bash("make"), &json!("not here"));
    let result = recorder.result("t3");
    let decision = result.runtime_decision.as_ref().unwrap();
    assert_eq!(
        (result.outcome, decision.by, decision.basis),
        (Outcome::Denied, DecidedBy::Unknown, Basis::Inferred)
    );
}

#[test]
fn a_tool_that_ran_and_failed_is_no_refusal_whatever_it_says() {
    for text in ["No such tool available: x", "The user doesn't want to proceed", "the API requires approval"]
    {
        let mut recorder = Recorder::default();
        let call = json!({ "tool_use_id": "t1", "tool_name": "mcp__a__b", "tool_input": {}, "error": text });
        recorder.hook("PostToolUseFailure", call);
        assert_eq!(recorder.result("t1").outcome, Outcome::Error, "{text}");
    }
}

#[test]
fn words_of_a_refusal_in_the_middle_of_an_error_refuse_nothing() {
    let mut recorder = Recorder::default();
    recorder.import(&[
        assistant("a", "m", json!([tool_use("t1", &bash("x"))])),
        user(
            "b",
            json!([tool_result("t1", "server: No such tool available; this requires approval first", true)]),
        ),
    ]);
    assert_eq!(recorder.result("t1").outcome, Outcome::Error);
}

#[test]
fn a_refusal_that_only_a_transcript_tells_is_inferred() {
    let mut recorder = Recorder::default();
    let text = "Permission to use Bash with command x has been denied.";
    recorder.import(&[
        assistant("a", "m", json!([tool_use("t1", &bash("x"))])),
        user("b", json!([tool_result("t1", text, true)])),
    ]);
    let result = recorder.result("t1");
    let decision = result.runtime_decision.as_ref().unwrap();
    assert_eq!(
        (result.outcome, decision.by, decision.basis),
        (Outcome::Denied, DecidedBy::Rule, Basis::Inferred)
    );
}

#[test]
fn sub_agents_that_start_at_once_are_linked_when_it_is_told_which_is_which() {
    let mut recorder = Recorder::default();
    let task = |text: &str| json!({ "subagent_type": "Explore", "prompt": text });
    let one = recorder.before("t1", "Agent", &task("one"));
    let two = recorder.before("t2", "Agent", &task("two"));
    for agent in ["a2", "a1"] {
        let begun = recorder.hook("SubagentStart", json!({ "agent_id": agent, "agent_type": "Explore" }));
        assert_eq!(begun[0].link(Rel::DelegatedBy), None, "two calls can have started it");
    }
    for (call, text, agent, action) in [("t1", "one", "a1", &one), ("t2", "two", "a2", &two)] {
        let response =
            json!({ "status": "completed", "agentId": agent, "agentType": "Explore", "content": [] });
        let records = recorder.after(call, "Agent", &task(text), &response);
        let told = records.iter().find(|record| record.link(Rel::DelegatedBy).is_some()).unwrap();
        assert_eq!(told.agent.as_ref().unwrap().id, agent);
        assert_eq!(told.link(Rel::DelegatedBy), Some(action.id));
    }
}

#[test]
fn the_sub_agent_of_a_sub_agent_has_it_for_its_parent() {
    let mut recorder = Recorder::default();
    let call = json!({ "tool_use_id": "t1", "tool_name": "Agent", "tool_input": { "subagent_type": "Plan" },
        "agent_id": "a1", "agent_type": "Explore" });
    recorder.hook("PreToolUse", call);
    let begun = recorder.hook("SubagentStart", json!({ "agent_id": "a2", "agent_type": "Plan" }));
    assert_eq!(begun[0].agent.as_ref().unwrap().parent.as_deref(), Some("a1"));
    let later = recorder.hook("SubagentStop", json!({ "agent_id": "a2", "agent_type": "Plan" }));
    assert_eq!(later[0].agent.as_ref().unwrap().parent.as_deref(), Some("a1"));
}

#[test]
fn permission_is_asked_for_the_call_with_the_same_arguments() {
    let mut recorder = Recorder::default();
    recorder.before("t1", "Bash", &bash("one"));
    let wanted = recorder.before("t2", "Bash", &bash("two"));
    recorder.before("t3", "Bash", &bash("three"));
    let asked = recorder.hook("PermissionRequest", json!({ "tool_name": "Bash", "tool_input": bash("two") }));
    assert_eq!(asked[0].link(Rel::About), Some(wanted.id));
    let asked =
        recorder.hook("PermissionRequest", json!({ "tool_name": "Bash", "tool_input": bash("four") }));
    assert_eq!(asked[0].link(Rel::About), None);
}

#[test]
fn a_batch_with_a_call_that_can_not_be_read_keeps_the_others() {
    let mut recorder = Recorder::default();
    let good =
        json!({ "tool_use_id": "t1", "tool_name": "Bash", "tool_input": bash("ls"), "tool_response": "a" });
    recorder.hook("PostToolBatch", json!({ "tool_calls": [{ "tool_name": 7 }, good] }));
    assert_eq!((recorder.count(Kind::Unparsed), recorder.count(Kind::Action)), (1, 1));
    recorder.hook("PostToolBatch", json!({ "tool_calls": "x" }));
    assert_eq!(recorder.count(Kind::Unparsed), 2);
}

#[test]
fn the_end_of_a_session_tells_how_it_went() {
    let status = |events: &dyn Fn(&mut Recorder)| {
        let mut recorder = Recorder::default();
        recorder.hook("SessionStart", json!({ "source": "startup" }));
        events(&mut recorder);
        let end = recorder.hook("SessionEnd", json!({ "reason": "other" })).remove(0);
        match end.body {
            Body::SessionEnd(end) => end.status,
            other => panic!("{other:?}"),
        }
    };
    let ran = |recorder: &mut Recorder, id: &str| {
        recorder.before(id, "Bash", &bash("ls"));
        recorder.after(id, "Bash", &bash("ls"), &output(id));
    };
    let failed = |recorder: &mut Recorder| {
        let call = json!({ "tool_use_id": "t9", "tool_name": "Bash", "tool_input": bash("x"), "error": "Exit code 1" });
        recorder.hook("PostToolUseFailure", call);
    };
    assert_eq!(status(&|_| {}), Status::Success);
    assert_eq!(status(&|recorder| ran(recorder, "t1")), Status::Success);
    assert_eq!(status(&|recorder| failed(recorder)), Status::Failed);
    assert_eq!(
        status(&|recorder| {
            recorder.hook("StopFailure", json!({ "error": "overloaded" }));
        }),
        Status::Failed
    );
    assert_eq!(
        status(&|recorder| {
            ran(recorder, "t1");
            recorder.before("t2", "Bash", &bash("sleep 99"));
        }),
        Status::Interrupted
    );
    assert_eq!(
        status(&|recorder| {
            recorder.before("t1", "Bash", &bash("x"));
            recorder.batch(
                "t1",
                "Bash",
                &bash("x"),
                &json!("The user doesn't want to proceed with this tool use."),
            );
        }),
        Status::Denied
    );
    assert_eq!(
        status(&|recorder| {
            recorder.before("t1", "Bash", &bash("x"));
        }),
        Status::Unknown
    );
}

#[test]
fn a_message_that_was_shown_in_pieces_is_known_again() {
    let mut recorder = Recorder::default();
    for (index, delta) in ["one\ntwo\n", "three\n", "four"].iter().enumerate() {
        let piece = json!({ "message_id": "m", "index": index, "final": index == 2, "delta": delta });
        recorder.hook("MessageDisplay", piece);
    }
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let records = recorder.import(&[assistant("a", "m1", text("one\ntwo\nthree\nfour"))]);
    assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [Kind::Context]);
    let records = recorder.import(&[assistant("b", "m2", text("one\ntwo\nfive"))]);
    assert!(records.iter().any(|record| record.kind == Kind::Message));
}

#[test]
fn what_a_transcript_tells_otherwise_than_the_hooks_is_said() {
    let mut recorder = Recorder::default();
    let action = recorder.before("t1", "Bash", &bash("ls"));
    recorder.after("t1", "Bash", &bash("ls"), &output("a"));
    recorder.batch("t1", "Bash", &bash("ls"), &json!("a"));
    let same = [
        assistant("a", "m", json!([tool_use("t1", &bash("ls"))])),
        user("b", json!([tool_result("t1", "a", false)])),
    ];
    let other = [
        assistant("c", "m", json!([tool_use("t1", &bash("rm -rf /"))])),
        user("d", json!([tool_result("t1", "b", false)])),
    ];
    let gaps = |records: &[Record]| {
        records.iter().filter(|record| record.kind == Kind::Gap).cloned().collect::<Vec<_>>()
    };
    assert!(gaps(&recorder.import(&same)).is_empty());
    let told = gaps(&Recorder { state: State::default(), records: Vec::new() }.import(&other));
    assert!(told.is_empty(), "there is nothing that it could differ from");

    let mut recorder = Recorder { state: std::mem::take(&mut recorder.state), records: Vec::new() };
    let told = gaps(&recorder.import(&other));
    assert_eq!(told.len(), 2);
    for gap in &told {
        assert!(matches!(&gap.body, Body::Gap(gap) if gap.what == "transcript_differs"));
        assert_eq!(gap.link(Rel::About), Some(action.id));
    }
    let mut grown = other.to_vec();
    grown.push(user("e", json!("and then")));
    assert!(gaps(&recorder.import(&grown)).is_empty(), "it is said once");
}

#[test]
fn a_line_that_can_not_be_read_is_kept_once() {
    let mut recorder = Recorder::default();
    let first = format!("{{not json\n{}\n", user("a", json!("hello")));
    recorder.import_text(&first);
    recorder.import_text(&format!("{first}{}\n", user("b", json!("more"))));
    let unparsed: Vec<_> = recorder.records.iter().filter(|record| record.kind == Kind::Unparsed).collect();
    assert_eq!(unparsed.len(), 1);
    assert_eq!(unparsed[0].session.as_deref(), Some("s"));
    let claimed = unparsed[0].claimed.as_ref().unwrap();
    assert_eq!((claimed.file.as_deref(), claimed.line), (Some("/t.jsonl"), Some(1)));
}

#[test]
fn a_file_that_is_no_transcript_leaves_a_record() {
    let mut recorder = Recorder::default();
    for text in ["", "hello", "{}\n[]\n", "{\"sessionId\":\"\"}"] {
        let records = recorder.import_text(text);
        assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [Kind::Unparsed], "{text}");
    }
}

#[test]
fn a_transcript_that_is_too_large_for_one_write_is_taken_in_by_several_imports() {
    const CALLS: usize = 6_000;
    let mut lines = vec![user("p", json!("go"))];
    for i in 0..CALLS {
        let id = format!("t{i}");
        lines.push(assistant(&format!("a{i}"), &format!("m{i}"), json!([tool_use(&id, &bash("ls"))])));
        lines.push(user(&format!("r{i}"), json!([tool_result(&id, "x", false)])));
    }
    let mut recorder = Recorder::default();
    let mut imports = 0;
    loop {
        let records = recorder.import(&lines);
        let bytes: usize = records.iter().map(|record| record.to_line().len()).sum();
        assert!(bytes < 3 << 20, "{bytes}");
        imports += 1;
        match records.last().map(|record| &record.body) {
            Some(Body::Gap(gap)) => assert_eq!(gap.what, "import_unfinished"),
            _ => break,
        }
    }
    assert!(imports > 2, "{imports}");
    assert_eq!((recorder.count(Kind::Decision), recorder.count(Kind::Action)), (CALLS, CALLS));
    assert_eq!(recorder.count(Kind::Result), CALLS);
    assert!(recorder.import(&lines).is_empty());
    // Neither does it when it has grown, though the oldest calls are forgotten.
    lines.push(user("last", json!("thanks")));
    let kinds: Vec<Kind> = recorder.import(&lines).iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Prompt, Kind::Context]);
}
