//! The real Codex with our hooks under a policy that is enforced, and its rollouts as the recorder
//! reads them: called tool by tool, and by the scripts of the code mode.

use crate::agents::{Agent, Sandbox, Trail};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, DecidedBy, Kind, Outcome, Record, Rel, ResultBody, Verdict};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A sandbox with the baseline in force, but for its folders for temporary files: the tests run in
/// one. In the home there is a file that nobody may delete.
fn sandbox(llm: &ScriptedLlm, model: &str, settings: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.fdr(&["policy", "copy", "baseline", sandbox.fdr_home.join("policies").to_str().unwrap()]);
    let lists = sandbox.fdr_home.join("policies/lists.toml");
    let text = fs::read_to_string(&lists).unwrap();
    let start = text.find("\nscratch = ").expect("the baseline has folders for temporary files") + 1;
    let end = start + text[start..].find(']').unwrap() + 1;
    fs::write(&lists, format!("{}scratch = [\"/dev/null\"]{}", &text[..start], &text[end..])).unwrap();
    sandbox.write("recorder/config.toml", "mode = \"enforce\"\npolicies = [\"policies/\"]\n");
    sandbox.write("home/photos/cat.jpg", "meow");
    Agent::Codex.set_up(&sandbox, llm);
    let config = sandbox.home.join(".codex/config.toml");
    let text = fs::read_to_string(&config).unwrap().replace("mock-1", model);
    fs::write(&config, format!("{text}\n{settings}")).unwrap();
    sandbox
}

/// The trail once its rollouts are read to the end: each agent that began has ended its turn.
fn trail(sandbox: &Sandbox, is_whole: impl Fn(&Trail) -> bool) -> Trail {
    let start = Instant::now();
    loop {
        let trail = sandbox.trail();
        if is_whole(&trail) {
            return trail;
        }
        assert!(start.elapsed() < LIMIT, "{}", sandbox.fdr(&["cat"]));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The actions of a call.
fn actions<'t>(trail: &'t Trail, id: &str) -> Vec<&'t Record> {
    trail.of(Kind::Action).filter(|record| record.tool_use_id() == Some(id)).collect()
}

/// The last word on what came of an action.
fn came<'t>(trail: &'t Trail, action: &Record) -> Option<&'t ResultBody> {
    let results = trail.of(Kind::Result).filter(|result| result.link(Rel::ResultOf) == Some(action.id));
    let bodies = results.filter_map(|record| match &record.body {
        Body::Result(body) => Some(body),
        _ => None,
    });
    bodies.last()
}

fn says_what_came(trail: &Trail, action: &Record) -> bool {
    came(trail, action).is_some_and(|body| body.outcome != Outcome::Unknown)
}

/// That hooks and rollouts agree on what happened.
fn nothing_is_found(sandbox: &Sandbox, trail: &Trail) {
    let session = trail.0.iter().find_map(|record| record.session.clone()).unwrap();
    let said = sandbox.fdr(&["reconcile", &session]);
    assert!(said.contains("no finding"), "{said}");
}

fn tool(name: &str, args: Value) -> Value {
    json!({"name": name, "args": args})
}

fn shell(command: &str) -> Value {
    tool("exec_command", json!({"cmd": command}))
}

fn patch(text: &str) -> Value {
    json!({"name": "apply_patch", "custom": true, "args": text})
}

#[test]
fn codex_is_recorded_call_by_call_and_what_is_denied_does_not_happen() {
    let in_namespace =
        |name: &str, args: Value| json!({"name": name, "namespace": "multi_agent_v1", "args": args});
    let add = "*** Begin Patch\n*** Add File: notes.txt\n+one\n*** End Patch\n";
    let update = "*** Begin Patch\n*** Update File: notes.txt\n@@\n-one\n+two\n*** End Patch\n";
    let away = "*** Begin Patch\n*** Delete File: ../home/photos/cat.jpg\n*** End Patch\n";
    let mut listing = Agent::Codex.mcp_tool("list_directory");
    listing["args"] = json!({"path": "."});
    let llm = ScriptedLlm::start(json!({
        "routes": [{"contains": "SUBAGENT", "track": "sub"}],
        "tracks": {
            "main": [
                {"thinking": "First look.", "text": "I read the readme.", "tools": [shell("cat README.md")]},
                {"text": "Notes.", "tools": [patch(add)]},
                {"tools": [shell(&format!("apply_patch <<'EOF'\n{update}EOF"))]},
                {"text": "Tidy up.", "tools": [shell("rm -rf ~/photos"), shell("cat missing.txt")]},
                {"tools": [patch(away)]},
                {"tools": [shell("chmod 777 README.md")]},
                {"tools": [tool("no_such_tool", json!({"a": 1}))]},
                {"tools": [tool("exec_command", json!({"cmd": "cat keep.txt; exit 3", "workdir": "data"}))]},
                {"tools": [listing]},
                {"text": "Delegate.", "tools": [in_namespace("spawn_agent", json!({"message": "SUBAGENT: report"}))]},
                {"capture": {"AGENT": ["\"agent_id\":\"", "\""]},
                 "tools": [in_namespace("wait_agent", json!({"targets": ["${AGENT}"], "timeout_ms": 20000}))]},
                {"text": "All done."}],
            "sub": [
                {"text": "The sub-agent reads.", "tools": [shell("wc -l README.md"), shell("rm -rf ~/photos")]},
                {"text": "It has three lines."}]}}));
    let sandbox = sandbox(&llm, "gpt-5.5", "");
    let run = Agent::Codex.run(&sandbox, &llm, "Write notes, tidy up, and report.");
    assert!(run.status.success(), "{run:?}");
    let issued = llm.issued();
    assert_eq!(issued.len(), 14);
    let trail = trail(&sandbox, |trail| {
        issued.iter().all(|call| actions(trail, &call.id).iter().any(|action| says_what_came(trail, action)))
    });

    // What was denied did not happen, whichever way it was tried, and by whomever.
    assert!(sandbox.home.join("photos/cat.jpg").exists());
    assert_eq!(fs::read_to_string(sandbox.project.join("notes.txt")).unwrap(), "two\n");

    let call = |id: &str| {
        let [action] = actions(&trail, id)[..] else { panic!("actions of {id}: {:#?}", actions(&trail, id)) };
        let Body::Action(body) = &action.body else { unreachable!() };
        let result = came(&trail, action).unwrap_or_else(|| panic!("no result of {id}"));
        (action, body, result)
    };
    for (id, outcome, code) in [
        ("call_main_00_0", Outcome::Ok, Some(0)),
        ("call_main_01_0", Outcome::Ok, Some(0)),
        ("call_main_02_0", Outcome::Ok, None),
        ("call_main_03_0", Outcome::Denied, None),
        ("call_main_03_1", Outcome::Error, Some(1)),
        ("call_main_04_0", Outcome::Denied, None),
        ("call_main_05_0", Outcome::Denied, None),
        ("call_main_06_0", Outcome::Rejected, None),
        ("call_main_07_0", Outcome::Error, Some(3)),
        ("call_main_08_0", Outcome::Ok, None),
        ("call_main_09_0", Outcome::Ok, None),
        ("call_main_10_0", Outcome::Ok, None),
        ("call_sub_00_0", Outcome::Ok, Some(0)),
        ("call_sub_00_1", Outcome::Denied, None),
    ] {
        let (_, _, result) = call(id);
        assert_eq!((result.outcome, result.exit_code), (outcome, code), "{id}: {result:?}");
    }
    for (id, by) in [
        ("call_main_03_0", DecidedBy::Hook),
        ("call_main_04_0", DecidedBy::Hook),
        ("call_main_05_0", DecidedBy::Rule),
        ("call_sub_00_1", DecidedBy::Hook),
    ] {
        let (_, action, result) = call(id);
        let decision = result.runtime_decision.as_ref().unwrap();
        assert_eq!((decision.decision, decision.by), (Verdict::Deny, by), "{id}");
        let reason = result.reason.as_deref().unwrap_or_default();
        if by == DecidedBy::Hook {
            assert_eq!(action.policy.decision, Verdict::Deny, "{id}");
            assert!(reason.contains(&action.policy.reason), "{id}: {reason}");
            let told = llm.told(id).unwrap();
            assert!(told.contains(&action.policy.reason), "the model is told the reason: {told}");
        }
        assert!(!reason.is_empty(), "{id}");
    }
    // Where a command runs is known to the hook.
    let resource = |id: &str| call(id).1.actions[0].resource.as_str().to_owned();
    assert!(resource("call_main_07_0").ends_with("/project/data/keep.txt"), "{}", resource("call_main_07_0"));
    assert_eq!(resource("call_main_08_0"), "mcp:files/list_directory");

    // The sub-agent is below the call that started it, and both are known by version and model.
    let spawned = call("call_main_09_0").0;
    let child = trail.0.iter().find(|record| record.link(Rel::DelegatedBy) == Some(spawned.id)).unwrap();
    let (_, of_child) = (child, call("call_sub_00_0").0.agent.as_ref().unwrap());
    assert_eq!(child.agent.as_ref().map(|agent| &agent.id), Some(&of_child.id));
    assert_eq!(of_child.parent, spawned.agent.as_ref().map(|agent| agent.id.clone()));
    let last = trail.0.iter().rev().filter_map(|record| record.agent.as_ref()).next().unwrap();
    assert!(last.version.is_some() && last.model.as_deref() == Some("gpt-5.5"), "{last:?}");

    // The model's words are linked to what it did, and nothing contradicts the hooks.
    let decision = trail
        .of(Kind::Decision)
        .find(|record| record.link(Rel::DecisionFor) == Some(call("call_main_00_0").0.id));
    let Body::Decision(decision) = &decision.unwrap().body else { unreachable!() };
    assert_eq!(decision.thinking.as_deref(), Some("First look."));
    let gaps: Vec<&Record> = trail.of(Kind::Gap).collect();
    assert!(gaps.is_empty() && trail.of(Kind::Unparsed).next().is_none(), "{gaps:#?}");
    nothing_is_found(&sandbox, &trail);
}

#[test]
fn codex_runs_no_script_past_the_policy() {
    let script = |code: &str| json!({"name": "exec", "custom": true, "args": code});
    let llm = ScriptedLlm::start(json!({"tracks": {"main": [
        {"text": "A script.", "tools": [script(
            "text(await tools.exec_command({cmd: 'echo one'}));\n\
             try { await tools.exec_command({cmd: 'rm -rf ~/photos'}) } catch (e) { text('' + e) }\n\
             await tools.apply_patch('*** Begin Patch\\n*** Add File: made.txt\\n+x\\n*** End Patch\\n');\n\
             text(await tools.exec_command({cmd: 'exit 3'}));")]},
        {"text": "Again, and not a word of it.", "tools": [script(
            "try { await tools.exec_command({cmd: 'rm -rf ~/photos'}) } catch (e) {}")]},
        {"text": "Done."}]}}));
    let sandbox = sandbox(&llm, "gpt-5.5", "[features]\ncode_mode_only = true\n");
    let run = Agent::Codex.run(&sandbox, &llm, "Run scripts.");
    assert!(run.status.success(), "{run:?}");
    let trail = trail(&sandbox, |trail| {
        let all: Vec<&Record> = trail.of(Kind::Action).collect();
        all.len() == 7 && all.iter().all(|action| says_what_came(trail, action))
    });
    assert!(sandbox.home.join("photos/cat.jpg").exists());
    assert!(sandbox.project.join("made.txt").exists());
    let mut told: Vec<(String, Outcome)> = trail
        .of(Kind::Action)
        .map(|action| {
            let Body::Action(body) = &action.body else { unreachable!() };
            let summary = body.summary.lines().next().unwrap_or_default();
            (summary.chars().take(20).collect(), came(&trail, action).unwrap().outcome)
        })
        .collect();
    told.sort_by_key(|(summary, outcome)| (summary.clone(), outcome.as_str()));
    let told: Vec<(&str, Outcome)> = told.iter().map(|(text, outcome)| (text.as_str(), *outcome)).collect();
    assert_eq!(
        told,
        [
            ("echo one", Outcome::Ok),
            ("exit 3", Outcome::Error),
            ("made.txt", Outcome::Ok),
            ("rm -rf ~/photos", Outcome::Denied),
            ("rm -rf ~/photos", Outcome::Denied),
            ("text(await tools.exe", Outcome::Ok),
            ("try { await tools.ex", Outcome::Ok),
        ]
    );
    let gaps: Vec<&Record> = trail.of(Kind::Gap).collect();
    assert!(gaps.is_empty(), "{gaps:#?}");
    nothing_is_found(&sandbox, &trail);
}
