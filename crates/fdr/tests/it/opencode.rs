//! The real OpenCode with the plugin that `fdr install` writes, against a scripted model.

use crate::agents::{Agent, Sandbox, Trail};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Basis, Body, DecidedBy, Kind, Outcome, Record, Rel};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Nobody deletes `data`; all else is permitted.
const POLICY: &str = r#"
@id("test/all") @reason("all else is allowed") @control("none")
permit (principal, action, resource);
@id("test/keep") @reason("the data folder is kept") @control("none")
forbid (principal, action == Action::"delete", resource is File) when { resource.file == "data" };
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("recorder/policies/test.cedar", POLICY);
    sandbox.write("recorder/config.toml", "mode = \"enforce\"\npolicies = [\"policies/\"]\n");
    sandbox
}

fn tool(name: &str, args: Value) -> Value {
    json!({"tools": [{"name": name, "args": args}]})
}

fn bash(command: &str) -> Value {
    tool("bash", json!({"command": command, "description": "Run it"}))
}

/// The trail, once there is what `is_there` looks for: the database is read after the fact.
fn trail(sandbox: &Sandbox, is_there: impl Fn(&Trail) -> bool) -> Trail {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let trail = sandbox.trail();
        if is_there(&trail) {
            return trail;
        }
        assert!(Instant::now() < deadline, "it did not come: {:#?}", trail.0);
        thread::sleep(Duration::from_millis(200));
    }
}

fn outcome(record: &Record) -> (Outcome, Option<DecidedBy>, Option<Basis>) {
    let Body::Result(body) = &record.body else { panic!("{record:?}") };
    let decision = body.runtime_decision.as_ref();
    (body.outcome, decision.map(|decision| decision.by), decision.map(|decision| decision.basis))
}

fn reason(record: &Record) -> String {
    let Body::Result(body) = &record.body else { panic!("{record:?}") };
    body.reason.clone().unwrap_or_default()
}

#[test]
fn what_opencode_does_is_recorded_whole_and_what_is_denied_does_not_happen() {
    let sandbox = sandbox();
    let file = |name: &str| sandbox.project.join(name).to_str().unwrap().to_owned();
    let both = json!({"tools": [
        {"name": "bash", "args": {"command": "rm -rf data", "description": "Clean"}},
        {"name": "read", "args": {"filePath": file("missing.txt")}},
    ]});
    let mut first = tool("read", json!({"filePath": file("README.md")}));
    first["thinking"] = json!("First look at the readme.");
    first["text"] = json!("I will read the readme first.");
    let task =
        json!({"description": "Count", "prompt": "SUBTASK: count the lines.", "subagent_type": "general"});
    let mut mcp = Agent::OpenCode.mcp_tool("list_directory");
    mcp["args"] = json!({"path": file("")});
    let llm = ScriptedLlm::start(json!({
        "routes": [{"contains": "SUBTASK", "track": "sub"}],
        "tracks": {
            "main": [
                first,
                both,
                bash("chmod 777 README.md"),
                bash("sh -c 'exit 3'"),
                tool("later", json!({"a": 1})),
                tool("read", json!({"filePath": 3})),
                {"tools": [mcp]},
                tool("task", task),
                {"text": "All steps are done."},
                {"text": "Nothing more to do."},
            ],
            "sub": [bash("wc -l README.md"), {"text": "It has three lines."}],
        },
    }));
    Agent::OpenCode.set_up(&sandbox, &llm);
    let output = Agent::OpenCode.run(&sandbox, &llm, "Please do the steps.");
    assert!(output.status.success(), "{output:?}");
    assert!(sandbox.project.join("data/keep.txt").exists());

    let issued = llm.issued();
    assert_eq!(issued.len(), 10, "{issued:?}");
    let decided = |trail: &Trail| {
        let decided = trail.of(Kind::Decision).flat_map(|record| &record.links);
        decided.filter(|link| link.rel == Rel::DecisionFor).count()
    };
    let trail = trail(&sandbox, |trail| decided(trail) == issued.len());
    for call in &issued {
        let (action, _) = trail.call(&call.id);
        assert!(action.claimed.as_ref().is_some_and(|claimed| claimed.source == "hook:tool.execute.before"));
    }
    let told = |id: &str| outcome(trail.call(id).1);
    use Basis::{Inferred, Stated};
    use DecidedBy::{Hook, Rule, Runtime, Unknown};
    for (id, want) in [
        ("call_main_00_0", (Outcome::Ok, Some(Unknown), Some(Inferred))),
        ("call_main_01_0", (Outcome::Denied, Some(Hook), Some(Stated))),
        ("call_main_01_1", (Outcome::Error, Some(Unknown), Some(Inferred))),
        ("call_main_02_0", (Outcome::Denied, Some(Rule), Some(Stated))),
        ("call_main_03_0", (Outcome::Error, Some(Unknown), Some(Inferred))),
        ("call_main_04_0", (Outcome::Rejected, Some(Runtime), Some(Stated))),
        ("call_main_05_0", (Outcome::Rejected, Some(Runtime), Some(Stated))),
        ("call_main_06_0", (Outcome::Ok, Some(Unknown), Some(Inferred))),
        ("call_main_07_0", (Outcome::Ok, Some(Unknown), Some(Inferred))),
        ("call_sub_00_0", (Outcome::Ok, Some(Unknown), Some(Inferred))),
    ] {
        assert_eq!(told(id), want, "{id}");
    }
    // The model is told why, in our words.
    let why = reason(trail.call("call_main_01_0").1);
    assert!(why.contains("the data folder is kept"), "{why}");
    assert!(
        llm.told("call_main_01_0").is_some_and(|told| told.contains(&why)),
        "{:?}",
        llm.told("call_main_01_0")
    );

    let Body::Action(action) = &trail.call("call_main_06_0").0.body else { panic!() };
    assert_eq!(action.actions[0].resource.as_str(), "mcp:files/list_directory");
    let Body::Action(action) = &trail.call("call_main_04_0").0.body else { panic!() };
    assert_eq!(action.actions[0].resource.as_str(), "tool:opencode/later");
    let thought = trail.of(Kind::Decision).find_map(|record| match &record.body {
        Body::Decision(decision) => decision.thinking.clone(),
        _ => None,
    });
    assert_eq!(thought.as_deref(), Some("First look at the readme."));

    // The sub-agent is a session of its own below the call that started it.
    let starts: Vec<&Record> = trail.of(Kind::SessionStart).collect();
    let [main, sub] = starts[..] else { panic!("{starts:#?}") };
    let agent = sub.agent.as_ref().unwrap();
    assert_eq!((agent.name.as_str(), &agent.parent), ("general", &main.session));
    assert_eq!(sub.link(Rel::DelegatedBy), Some(trail.call("call_main_07_0").0.id));
    let ends: Vec<_> = trail.of(Kind::SessionEnd).map(|end| end.session.clone()).collect();
    assert_eq!(ends, [sub.session.clone(), main.session.clone()]);
    let session = main.session.clone().unwrap();
    let report = sandbox.fdr(&["reconcile", &session]);
    assert!(
        report.contains("10 of 10 actions, confirmed by 2 sources (hook, transcript); no finding"),
        "{report}"
    );

    // Another process goes on with it.
    let mut command = sandbox.command(Path::new("timeout"));
    command.arg("150").arg(Agent::OpenCode.program());
    Agent::OpenCode.invoke(&mut command, &sandbox, &llm, "Go on.");
    let output = command.arg("--continue").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let trail = sandbox.trail();
    let sources: Vec<_> = trail
        .of(Kind::SessionStart)
        .filter(|start| start.session == main.session)
        .filter_map(|start| match &start.body {
            Body::SessionStart(body) => body.source.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(sources, ["startup", "resume"]);
    assert_eq!(trail.of(Kind::Prompt).filter(|prompt| prompt.session == main.session).count(), 2);
}

#[test]
fn the_plugin_denies_by_itself_where_fdr_hook_cant_be_run() {
    let sandbox = sandbox();
    let llm = ScriptedLlm::start(json!({"tracks": {"main": [bash("rm -rf data"), {"text": "Done."}]}}));
    Agent::OpenCode.set_up(&sandbox, &llm);
    fs::remove_file(sandbox.programs.join("fdr-hook")).unwrap();
    let data = sandbox.project.join("data/keep.txt");
    // The recorder writes how hooks fail.
    sandbox.write("recorder/hook.fail", "closed");
    let output = Agent::OpenCode.run(&sandbox, &llm, "Clean up.");
    assert!(output.status.success() && data.exists(), "{output:?}");
    let told = llm.told("call_main_00_0").unwrap_or_default();
    assert!(told.contains("fdr (enforce): denied, because fdr-hook failed"), "{told}");

    sandbox.write("recorder/hook.fail", "open");
    let output = Agent::OpenCode.run(&sandbox, &llm, "Clean up.");
    assert!(output.status.success() && !data.exists(), "{output:?}");
}

#[test]
fn what_another_plugin_makes_of_the_arguments_is_said() {
    let sandbox = sandbox();
    let llm = ScriptedLlm::start(json!({"tracks": {"main": [bash("echo asked"), {"text": "Done."}]}}));
    Agent::OpenCode.set_up(&sandbox, &llm);
    // One of the project's, which is called after the user's.
    sandbox.write(
        "project/.opencode/plugin/other.js",
        r#"export const Other = async () => ({ "tool.execute.before": async (_, output) => { output.args.command = "echo ran" } })"#,
    );
    let output = Agent::OpenCode.run(&sandbox, &llm, "Say it.");
    assert!(output.status.success(), "{output:?}");
    let trail = trail(&sandbox, |trail| trail.of(Kind::Result).count() == 1);
    let (action, result) = trail.call("call_main_00_0");
    let Body::Action(body) = &action.body else { panic!() };
    assert_eq!(body.summary, "echo asked");
    assert!(matches!(&result.body, Body::Result(result) if result.arguments_changed), "{result:?}");
}
