//! The real Gemini CLI, headless, with a scripted model: what it did must be in the record, and
//! what is denied does not happen.
//!
//! `./test` installs the agent and the MCP servers; `cargo nextest run` leaves these tests out.

use crate::agents::{Agent, Sandbox, Trail};
use crate::scripted_llm::{Call, ScriptedLlm};
use fdr_record::{Body, DecidedBy, Kind, Outcome, Record, Rel, ResultBody, Verdict};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// How long the recorder may take to read what the chat files tell.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Puts the baseline in force, but for its folders for temporary files: the tests run in one.
fn enforce(sandbox: &Sandbox) {
    let policies = sandbox.fdr_home.join("policies");
    sandbox.fdr(&["policy", "copy", "baseline", policies.to_str().unwrap()]);
    let lists = policies.join("lists.toml");
    let text = fs::read_to_string(&lists).unwrap();
    let start = text.find("\nscratch = ").expect("the baseline has folders for temporary files") + 1;
    let end = start + text[start..].find(']').unwrap() + 1;
    fs::write(&lists, format!("{}scratch = [\"/dev/null\"]{}", &text[..start], &text[end..])).unwrap();
    fs::write(sandbox.fdr_home.join("config.toml"), "mode = \"enforce\"\npolicies = [\"policies/\"]\n")
        .unwrap();
}

fn shell(command: impl Into<String>) -> Value {
    json!({"name": "run_shell_command", "args": {"command": command.into()}})
}

fn tool(name: &str, args: Value) -> Value {
    json!({"name": name, "args": args})
}

/// The actions that a call of the script gave, by its id in the chat file.
fn actions<'t>(trail: &'t Trail, call: &Call) -> Vec<&'t Record> {
    let mut found: HashSet<_> = HashSet::new();
    for record in trail.of(Kind::Decision) {
        let Body::Decision(decision) = &record.body else { continue };
        for decided in decision.calls.iter().filter(|decided| decided.id.ends_with(&call.id)) {
            match decided.action {
                Some(action) => found.extend([action]),
                None => found.extend(
                    trail
                        .of(Kind::Action)
                        .filter(|action| action.tool_use_id() == Some(&decided.id))
                        .map(|action| action.id),
                ),
            }
        }
    }
    trail.of(Kind::Action).filter(|action| found.contains(&action.id)).collect()
}

fn results<'t>(trail: &'t Trail, action: &Record) -> Vec<&'t ResultBody> {
    let of_action = trail.of(Kind::Result).filter(|result| result.link(Rel::ResultOf) == Some(action.id));
    let bodies = of_action.map(|result| match &result.body {
        Body::Result(body) => body,
        _ => unreachable!("a result"),
    });
    bodies.collect()
}

/// The trail once every call that the model asked for has come to its end in it.
fn complete(sandbox: &Sandbox, issued: &[Call]) -> Trail {
    let deadline = Instant::now() + READ_WITHIN;
    loop {
        let trail = sandbox.trail();
        let missing = issued.iter().find(|call| {
            let actions = actions(&trail, call);
            actions.is_empty() || actions.iter().any(|action| results(&trail, action).is_empty())
        });
        let Some(missing) = missing else { return trail };
        assert!(Instant::now() < deadline, "nothing is known of the end of {missing:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn every_call_is_in_the_record_and_what_is_denied_does_not_happen() {
    let sandbox = Sandbox::new();
    enforce(&sandbox);
    let photos = sandbox.home.join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("cat.jpg"), "meow").unwrap();
    let project = sandbox.project.to_str().unwrap();
    let files = Agent::GeminiCli.mcp_tool("list_directory");
    let llm = ScriptedLlm::start(json!({
        "routes": [{"contains": "SUBAGENT", "track": "sub"}],
        "tracks": {
            "main": [
                {"thinking": "First look.", "text": "I will read the readme first.",
                 "tools": [tool("read_file", json!({"file_path": "README.md"}))]},
                {"tools": [tool("write_file", json!({"file_path": format!("{project}/notes.txt"), "content": "one\ntwo\n"}))]},
                {"tools": [shell("echo hello && ls")]},
                {"text": "Clean up.", "tools": [shell(format!("rm -rf {}", photos.display())),
                                                tool("read_file", json!({"file_path": "missing.txt"}))]},
                {"tools": [shell("chmod 777 README.md")]},
                {"tools": [shell("sh -c 'exit 3'")]},
                {"tools": [tool("replace", json!({"file_path": "notes.txt", "instruction": "change", "old_string": "two", "new_string": "2"}))]},
                {"tools": [tool("glob", json!({"pattern": "**/*.md"})), tool("grep_search", json!({"pattern": "Probe"}))]},
                {"tools": [tool("list_directory", json!({"dir_path": "."}))]},
                {"tools": [tool("no_such_tool", json!({"a": 1})), tool("read_file", json!({"file": "x"}))]},
                {"tools": [tool(files["name"].as_str().unwrap(), json!({"path": project}))]},
                {"text": "Delegate.", "tools": [tool("invoke_agent",
                    json!({"agent_name": "generalist", "prompt": "SUBAGENT: read README.md and report"}))]},
                {"tools": [tool("write_todos", json!({"todos": [{"description": "rest", "status": "pending"}]}))]},
                {"text": "All done."}],
            "sub": [
                {"text": "The sub-agent reads.", "tools": [tool("read_file", json!({"file_path": "README.md"}))]},
                {"tools": [tool("complete_task", json!({"result": {"response": "one heading"}}))]}]}}));
    Agent::GeminiCli.set_up(&sandbox, &llm);
    let output = Agent::GeminiCli.run(&sandbox, &llm, "Please do the steps.");
    assert!(output.status.success(), "{output:?}");

    let issued = llm.issued();
    assert_eq!(issued.len(), 18, "{issued:#?}");
    let trail = complete(&sandbox, &issued);
    let mut outcomes = Vec::new();
    for call in &issued {
        let actions = actions(&trail, call);
        let [action] = actions[..] else { panic!("{call:?} has the actions {actions:#?}") };
        let results = results(&trail, action);
        let [result] = results[..] else { panic!("{call:?} has the results {results:#?}") };
        outcomes.push((call.id.as_str(), result.outcome));
    }
    let came = |id: &str| {
        let call = issued.iter().find(|call| call.id == id).unwrap_or_else(|| panic!("no call {id}"));
        let action = actions(&trail, call)[0];
        (action, results(&trail, action)[0])
    };
    let ran = |outcome: Outcome| outcomes.iter().filter(|(_, came)| *came == outcome).count();
    assert_eq!((ran(Outcome::Ok), ran(Outcome::Error)), (12, 2), "{outcomes:#?}");
    assert_eq!((ran(Outcome::Denied), ran(Outcome::Rejected)), (2, 2), "{outcomes:#?}");
    // No call was made up, and each hook of a call went with what the chat file tells.
    assert_eq!(trail.of(Kind::Action).count(), issued.len());

    // Our own policy.
    let (action, result) = came("call_main_03_0");
    let Body::Action(body) = &action.body else { panic!("an action") };
    assert_eq!(body.policy.decision, Verdict::Deny);
    assert_eq!(result.outcome, Outcome::Denied);
    assert!(photos.join("cat.jpg").exists(), "what was denied happened");
    let told = llm.told("call_main_03_0").unwrap();
    assert!(told.contains(&body.policy.reason), "the agent is told the reason: {told}");
    // Gemini CLI's own.
    let (_, result) = came("call_main_04_0");
    assert_eq!(result.runtime_decision.as_ref().map(|decision| decision.by), Some(DecidedBy::Rule));
    let mode = fs::metadata(sandbox.project.join("README.md")).unwrap().permissions().mode();
    assert_ne!(mode & 0o777, 0o777);
    assert_eq!(came("call_main_05_0").1.exit_code, Some(3));
    for id in ["call_main_09_0", "call_main_09_1"] {
        assert_eq!(came(id).1.outcome, Outcome::Rejected, "{id}");
    }
    let (action, _) = came("call_main_10_0");
    let Body::Action(body) = &action.body else { panic!("an action") };
    assert_eq!(body.actions[0].resource.as_str(), "mcp:files/list_directory");

    // The sub-agent hangs below the call that started it, and has its own decisions.
    let starter = came("call_main_11_0").0.id;
    let start = trail.of(Kind::SessionStart).find(|start| start.link(Rel::DelegatedBy) == Some(starter));
    let subagent = start.and_then(|start| start.agent.clone()).expect("the sub-agent's start");
    assert_eq!(subagent.name, "generalist");
    let read = came("call_sub_00_0").0.id;
    let decided = trail.of(Kind::Decision).find(|decision| {
        decision.agent.as_ref().is_some_and(|agent| agent.id == subagent.id)
            && decision.links.iter().any(|link| link.rel == Rel::DecisionFor && link.id == read)
    });
    assert!(decided.is_some_and(|decided| decided.claimed.as_ref().is_some_and(|claimed| claimed.inferred)));
    sandbox.fdr(&["verify"]);
}
