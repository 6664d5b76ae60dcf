//! The real OpenClaw with the plug-in that `fdr install` writes, against a scripted model.

use crate::agents::{Agent, Sandbox, Trail, kill};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, DecidedBy, Kind, Outcome, Record, Rel};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Nobody deletes `data`; all else is permitted.
const POLICY: &str = r#"
@id("test/all") @reason("all else is allowed") @control("none")
permit (principal, action, resource);
@id("test/keep") @reason("the data folder is kept") @control("none")
forbid (principal, action == Action::"delete", resource is File) when { resource.file == "data" };
"#;

fn sandbox(mode: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("recorder/policies/test.cedar", POLICY);
    sandbox.write("recorder/config.toml", &format!("mode = \"{mode}\"\npolicies = [\"policies/\"]\n"));
    sandbox
}

fn tool(name: &str, args: Value) -> Value {
    json!({"text": format!("Now {name}."), "tools": [{"name": name, "args": args}]})
}

fn exec(command: &str) -> Value {
    tool("exec", json!({"command": command}))
}

/// The trail, once there is what `is_there` looks for: the database is read after the fact.
fn trail(sandbox: &Sandbox, is_there: impl Fn(&Trail) -> bool) -> Trail {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let trail = sandbox.trail();
        if is_there(&trail) {
            return trail;
        }
        assert!(Instant::now() < deadline, "it did not come: {:#?}", trail.0);
        thread::sleep(Duration::from_millis(300));
    }
}

fn outcome(record: &Record) -> (Outcome, DecidedBy) {
    let Body::Result(body) = &record.body else { panic!("{record:?}") };
    (body.outcome, body.runtime_decision.as_ref().map_or(DecidedBy::Unknown, |decision| decision.by))
}

/// What the model was told of a call: OpenClaw gives it the id without underscores.
fn told(llm: &ScriptedLlm, id: &str) -> String {
    llm.told(&id.replace('_', "")).unwrap_or_default()
}

#[test]
fn openclaw_is_recorded_whole_and_what_is_denied_does_not_happen() {
    let sandbox = sandbox("enforce");
    let mut mcp = Agent::OpenClaw.mcp_tool("list_directory");
    mcp["args"] = json!({"path": sandbox.project.to_str().unwrap()});
    let mcp = json!({"text": "Now the server.", "tools": [mcp]});
    let llm = ScriptedLlm::start(json!({"tracks": {"main": [
        {"text": "Both.", "tools": [
            {"name": "read", "args": {"path": "README.md"}},
            {"name": "exec", "args": {"command": "rm -rf data"}},
        ]},
        tool("write", json!({"path": "notes.txt", "content": "one\n"})),
        exec("cat notes.txt"),
        exec("sh -c 'exit 3'"),
        tool("read", json!({"path": "missing.txt"})),
        tool("frobnicate", json!({"a": 1})),
        tool("read", json!({"file": 3})),
        mcp,
        {"text": "All steps are done."},
    ]}}));
    Agent::OpenClaw.set_up(&sandbox, &llm);
    let output = Agent::OpenClaw.run(&sandbox, &llm, "Please do the steps.");
    assert!(output.status.success(), "{output:?}");
    assert!(sandbox.project.join("data/keep.txt").exists());

    let issued = llm.issued();
    assert_eq!(issued.len(), 9, "{issued:?}");
    let denied = told(&llm, &issued[1].id);
    assert!(denied.contains("fdr (enforce): ") && denied.contains("the data folder is kept"), "{denied}");
    let decided = |trail: &Trail| {
        let decided = trail.of(Kind::Decision).flat_map(|record| &record.links);
        decided.filter(|link| link.rel == Rel::DecisionFor).count()
    };
    // OpenClaw keeps no call of a tool that does not exist.
    let trail = trail(&sandbox, |trail| decided(trail) == issued.len() - 1);
    use DecidedBy::{Hook, Runtime, Unknown};
    for (at, want) in [
        (Outcome::Ok, Unknown),
        (Outcome::Denied, Hook),
        (Outcome::Ok, Unknown),
        (Outcome::Ok, Unknown),
        (Outcome::Error, Unknown),
        (Outcome::Error, Unknown),
        (Outcome::Rejected, Runtime),
        (Outcome::Rejected, Runtime),
        (Outcome::Ok, Unknown),
    ]
    .into_iter()
    .enumerate()
    {
        let (action, result) = trail.call(&issued[at].id);
        let source = action.claimed.as_ref().map(|claimed| claimed.source.as_str());
        assert!(source.is_some_and(|source| source.starts_with("hook:")), "{action:#?}");
        assert_eq!(outcome(result), want, "{at}: {result:#?}");
    }
    let Body::Result(failed) = &trail.call(&issued[4].id).1.body else { panic!("a result") };
    assert_eq!(failed.exit_code, Some(3));
    let of_server = trail.of(Kind::Action).filter(|record| {
        matches!(&record.body, Body::Action(body)
            if body.actions.iter().any(|action| action.resource.as_str() == "mcp:files/list_directory"))
    });
    assert_eq!(of_server.count(), 1);
    let count = |kind| trail.of(kind).count();
    assert_eq!(
        (count(Kind::SessionStart), count(Kind::Prompt), count(Kind::SessionEnd), count(Kind::Gap)),
        (1, 1, 1, 0)
    );
    let start = trail.of(Kind::SessionStart).next().expect("a start");
    let agent = start.agent.as_ref().expect("an agent");
    assert_eq!(agent.model.as_deref(), Some("mock/mock-1"));
    assert!(agent.version.as_deref().is_some_and(|version| version.starts_with("20")));
}

#[test]
fn openclaw_does_nothing_unrecorded_where_our_programs_are_gone() {
    for (mode, happens) in [("enforce", false), ("observe", true)] {
        let sandbox = sandbox(mode);
        let (recorder, programs) = (sandbox.fdr_home.clone(), sandbox.programs.clone());
        let fdr = sandbox.programs.join("fdr");
        let status = sandbox.command(&fdr);
        let status = std::sync::Mutex::new(status);
        let script = json!({"tracks": {"main": [
            exec("echo first > first.txt"), exec("echo second > second.txt"), {"text": "Done."}]}});
        let llm = ScriptedLlm::start_with(script, move |_, turn| {
            if turn == 1 {
                let out = status.lock().unwrap().args(["status", "--json"]).output().unwrap();
                let status: Value = serde_json::from_slice(&out.stdout).unwrap();
                kill(status["pid"].as_i64().expect("a recorder") as i32);
                fs::remove_file(recorder.join("fdr.sock")).unwrap();
                for program in ["fdr", "fdr-hook"] {
                    fs::rename(programs.join(program), programs.join(format!("{program}.gone"))).unwrap();
                }
            }
        });
        Agent::OpenClaw.set_up(&sandbox, &llm);
        let output = Agent::OpenClaw.run(&sandbox, &llm, "Please do the steps.");
        assert!(output.status.success(), "{output:?}");
        assert!(sandbox.project.join("first.txt").exists());
        assert_eq!(sandbox.project.join("second.txt").exists(), happens, "{mode}");
        if !happens {
            let told = told(&llm, &llm.issued()[1].id);
            assert!(told.contains("fdr (enforce): denied, because fdr-hook can't run"), "{told}");
        }
        for program in ["fdr", "fdr-hook"] {
            let gone = sandbox.programs.join(format!("{program}.gone"));
            fs::rename(gone, sandbox.programs.join(program)).unwrap();
        }
    }
}
