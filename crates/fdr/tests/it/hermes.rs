//! The real Hermes Agent: what its plugin sees that no other runtime's hooks do, and that nothing
//! runs which can't be recorded.

use crate::agents::{Agent, Sandbox, Trail};
use crate::runtimes::{calls, enforced, wait_for};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Action, Body, DecidedBy, Kind, Outcome, Record, Rel, ResultBody, Verb};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Turns with one call each, and the last word.
fn script(calls: &[(&str, Value)], sub: &[(&str, Value)]) -> Value {
    let track = |calls: &[(&str, Value)]| -> Vec<Value> {
        let turns = calls.iter().map(
            |(tool, args)| json!({"text": format!("Now {tool}."), "tools": [{"name": tool, "args": args}]}),
        );
        turns.chain([json!({"text": "That is all."})]).collect()
    };
    json!({"routes": [{"contains": "SUBTASK", "track": "sub"}],
           "tracks": {"main": track(calls), "sub": track(sub)}})
}

fn actions(record: &Record) -> &[Action] {
    match &record.body {
        Body::Action(action) => &action.actions,
        _ => panic!("{record:?}"),
    }
}

fn result(record: &Record) -> &ResultBody {
    match &record.body {
        Body::Result(result) => result,
        _ => panic!("{record:?}"),
    }
}

fn set_up(script: Value) -> (Sandbox, ScriptedLlm) {
    let sandbox = Sandbox::new();
    enforced(&sandbox);
    let llm = ScriptedLlm::start(script);
    Agent::Hermes.set_up(&sandbox, &llm);
    (sandbox, llm)
}

#[test]
fn hermes_programs_patches_questions_and_sub_agents_are_all_in_the_trail() {
    let patch = "*** Begin Patch\n*** Add File: notes.txt\n+one\n*** Delete File: old.txt\n*** End Patch";
    let program = "from hermes_tools import read_file, terminal\n\
                   print(read_file('README.md'))\nprint(terminal('rm -rf data'))\n";
    let script = script(
        &[
            ("patch", json!({"mode": "patch", "patch": patch})),
            ("execute_code", json!({"code": program})),
            ("terminal", json!({"command": "git reset --hard HEAD"})),
            ("terminal", json!({"command": "chmod 777 README.md"})),
            ("memory", json!({"action": "add", "target": "memory", "content": "likes tea"})),
            ("no_such_tool", json!({"a": 1})),
            ("delegate_task", json!({"goal": "SUBTASK: read README.md"})),
            ("terminal", json!({"command": "sleep 5"})),
        ],
        &[("read_file", json!({"path": "README.md"}))],
    );
    let (sandbox, llm) = set_up(script);
    sandbox.write("project/old.txt", "old\n");
    // A chat asks before dangerous commands; a single prompt (`-z`) does not.
    let mut command = sandbox.command(Path::new("timeout"));
    command.args(["-k", "5", "150"]).arg(Agent::Hermes.program());
    command.env("OPENAI_API_KEY", "dummy").env("TERMINAL_CWD", &sandbox.project);
    let output = command.args(["chat", "-Q", "-q", "Please do the steps."]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let trail = wait_for(&sandbox, &llm);

    // Everything that the model asked for, with what came of it.
    let all = calls(&trail, &llm);
    assert_eq!(all.len(), 9);
    let ends: Vec<(String, Option<Outcome>)> = all
        .iter()
        .map(|(call, action, end)| {
            assert!(action.is_some(), "{call:?} has no action");
            (call.tool.clone(), end.map(|end| result(end).outcome))
        })
        .collect();
    for (tool, outcome) in &ends {
        assert!(outcome.is_some(), "{tool} has no result: {ends:?}");
    }
    let of = |tool: &str, at: usize| {
        let mut found = all.iter().filter(|(call, ..)| call.tool == tool);
        let (_, action, end) = found.nth(at).unwrap();
        (action.unwrap(), result(end.unwrap()))
    };
    let verbs: Vec<Verb> = actions(of("patch", 0).0).iter().map(|action| action.action).collect();
    assert_eq!(verbs, [Verb::Create, Verb::Delete]);
    // By its user, of whom there is none, and by a rule of its user.
    let refused = |at: usize| {
        let result = of("terminal", at).1;
        let by = result.runtime_decision.as_ref().map(|decision| decision.by);
        assert!(result.reason.as_deref().is_some_and(|reason| reason.starts_with("BLOCKED")), "{result:?}");
        (result.outcome, by)
    };
    assert_eq!(refused(0), (Outcome::Denied, Some(DecidedBy::User)));
    assert_eq!(refused(1), (Outcome::Denied, Some(DecidedBy::Rule)));
    assert_eq!(trail.of(Kind::ApprovalDeny).count(), 1);
    assert_eq!(of("no_such_tool", 0).1.outcome, Outcome::Rejected);

    // The calls of the program, one of which the policy forbids.
    let session = of("execute_code", 0).0.session.clone();
    let inside: Vec<&Record> = trail
        .of(Kind::Action)
        .filter(|record| record.tool_use_id().is_some_and(|id| id.starts_with("fdr:")))
        .collect();
    assert_eq!(inside.len(), 2);
    assert!(inside.iter().all(|record| record.session == session));
    let end = |action: &Record| {
        let mut results = trail.of(Kind::Result).filter(|end| end.link(Rel::ResultOf) == Some(action.id));
        results.next().map(|end| result(end).outcome)
    };
    assert_eq!(
        inside.iter().map(|action| end(action)).collect::<Vec<_>>(),
        [Some(Outcome::Ok), Some(Outcome::Denied)]
    );
    assert!(sandbox.project.join("data/keep.txt").exists());

    // The sub-agent has a session of its own, below the call that started it.
    let started = trail.of(Kind::SessionStart).find(|record| record.session != session).unwrap();
    assert_eq!(started.agent.as_ref().unwrap().parent, session);
    assert_eq!(started.link(Rel::DelegatedBy), Some(of("delegate_task", 0).0.id));
    assert!(trail.of(Kind::SessionEnd).any(|record| record.session == started.session));

    // What the model saw, and why it did what it did.
    let contexts: Vec<String> = contexts(&trail);
    for what in ["system_prompt", "tool_result", "transcript"] {
        assert!(contexts.iter().any(|context| context == what), "{what}: {contexts:?}");
    }
    let decided: Vec<_> = trail.of(Kind::Decision).flat_map(|record| &record.links).collect();
    assert!(decided.iter().any(|link| link.id == of("patch", 0).0.id));
    let found = sandbox.fdr(&["reconcile", session.as_deref().unwrap()]);
    let words: Vec<&str> = found.split_whitespace().collect();
    assert!(words.join(" ").contains("; no finding"), "{found}");
}

fn contexts(trail: &Trail) -> Vec<String> {
    let contexts = trail.of(Kind::Context).filter_map(|record| match &record.body {
        Body::Context(context) => Some(context.what.clone()),
        _ => None,
    });
    contexts.collect()
}

/// What is put in the place of `fdr-hook`; the plugin has to deny by itself.
fn holds_with(hook: Option<&str>) {
    let (sandbox, llm) = set_up(script(&[("terminal", json!({"command": "rm -f data/keep.txt"}))], &[]));
    // The recorder has said by then how hooks fail.
    sandbox.write("recorder/hook.fail", "closed\n");
    let program = sandbox.programs.join("fdr-hook");
    fs::remove_file(&program).unwrap();
    if let Some(text) = hook {
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Agent::Hermes.run(&sandbox, &llm, "Please do the steps.");
    assert!(output.status.success(), "{output:?}");
    let call = &llm.issued()[0];
    assert!(sandbox.project.join("data/keep.txt").exists(), "{hook:?}");
    let told = llm.told(&call.id).unwrap();
    assert!(told.contains("fdr (enforce): denied, because it can't be recorded"), "{told}");
}

#[test]
fn hermes_denies_when_the_hook_is_missing() {
    holds_with(None);
}

#[test]
fn hermes_denies_when_the_hook_is_killed() {
    holds_with(Some("#!/bin/sh\nkill -9 $$\n"));
}

#[test]
fn hermes_denies_when_the_hook_answers_garbage() {
    holds_with(Some("#!/bin/sh\ncat > /dev/null\necho '{not json'\n"));
}
