//! In a session of every real runtime nothing is found that is not there, and what is done to one is.
//!
//! `RUNTIMES=codex,hermes` runs those alone; `SHOW=1` prints what is said of each.

use crate::agents::{Agent, Sandbox};
use crate::runtimes::{chosen, enforced, script, shell, wait_for};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Kind, Record};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

const PROMPT: &str = "Please do the steps.";

/// The session of the main agent.
fn session(sandbox: &Sandbox) -> String {
    let trail = sandbox.trail();
    let is_main = |record: &&Record| {
        let agent = record.agent.as_ref();
        agent.is_some_and(|agent| Some(&agent.id) == record.session.as_ref() && agent.parent.is_none())
    };
    let started = trail.of(Kind::SessionStart).chain(trail.of(Kind::Action)).find(is_main);
    started.and_then(|record| record.session.clone()).expect("a session is on record")
}

/// What `fdr reconcile` says of a session, when its transcript has been read to the end.
fn reconciled(sandbox: &Sandbox, session: &str) -> Value {
    thread::sleep(Duration::from_secs(2));
    let program = sandbox.programs.join("fdr");
    let output = sandbox.command(&program).args(["reconcile", session, "--json"]).output().unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    if env::var_os("SHOW").is_some() {
        println!(
            "{}",
            String::from_utf8_lossy(
                &sandbox.command(&program).args(["reconcile", session]).output().unwrap().stdout
            )
        );
    }
    said
}

fn names(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|finding| finding["name"].as_str().unwrap()).collect()
}

#[test]
fn nothing_is_found_in_a_clean_run() {
    let mut wrong = Vec::new();
    for agent in chosen() {
        let sandbox = Sandbox::new();
        enforced(&sandbox);
        let llm = ScriptedLlm::start(script(agent, sandbox.project.to_str().unwrap(), None));
        agent.set_up(&sandbox, &llm);
        let output = agent.run(&sandbox, &llm, PROMPT);
        assert!(output.status.success(), "{agent:?}: {output:?}");
        wait_for(&sandbox, &llm);
        let session = session(&sandbox);
        let said = reconciled(&sandbox, &session);
        let (all, confirmed) = (&said["completeness"]["actions"], &said["completeness"]["confirmed"]);
        println!("{agent:?}: {}", said["completeness"]["line"]);
        let too_few = confirmed.as_u64().unwrap() * 4 < all.as_u64().unwrap() * 3;
        if !names(&said).is_empty() || too_few {
            wrong.push(format!("{agent:?}: {:#}\n{:#}", said["completeness"], said["findings"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Four commands, one a turn.
fn echoes(agent: Agent) -> Value {
    let turn = |number: usize| json!({"tools": [shell(agent, &format!("echo {number}"))]});
    let turns = (0..4).map(turn).chain([json!({"text": "All done."})]);
    json!({"routes": [], "tracks": {"main": turns.collect::<Vec<_>>()}})
}

#[test]
fn a_call_of_which_the_hook_never_heard_is_found() {
    // The fault does not reach OpenClaw, whose plug-in speaks to the recorder by itself.
    for agent in chosen().into_iter().filter(|agent| *agent != Agent::OpenClaw) {
        let sandbox = Sandbox::new();
        let (hook, away) = (sandbox.programs.join("fdr-hook"), sandbox.programs.join("away"));
        // For one turn a program stands in its place that says nothing.
        let llm = ScriptedLlm::start_with(echoes(agent), move |_, turn| match turn {
            1 if !away.exists() => {
                fs::rename(&hook, &away).unwrap();
                fs::write(&hook, "#!/bin/sh\nexit 0\n").unwrap();
                fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
            }
            2 if away.exists() => fs::rename(&away, &hook).unwrap(),
            _ => {}
        });
        agent.set_up(&sandbox, &llm);
        agent.run(&sandbox, &llm, PROMPT);
        wait_for(&sandbox, &llm);
        let said = reconciled(&sandbox, &session(&sandbox));
        println!("{agent:?}: {}", said["completeness"]["line"]);
        assert!(names(&said).contains(&"executed_without_decision"), "{agent:?}: {said:#}");
    }
}

#[test]
fn an_edited_transcript_is_found() {
    for agent in chosen().into_iter().filter(|agent| *agent != Agent::OpenClaw) {
        let sandbox = Sandbox::new();
        let llm = ScriptedLlm::start(echoes(agent));
        agent.set_up(&sandbox, &llm);
        agent.run(&sandbox, &llm, PROMPT);
        wait_for(&sandbox, &llm);
        let session = session(&sandbox);
        let said = reconciled(&sandbox, &session);
        assert_eq!(names(&said), Vec::<&str>::new(), "{agent:?}: {said:#}");
        let file = said["sources"]["transcript"][0]["file"].as_str().unwrap();
        match file.split_once('#') {
            None => {
                let text = fs::read_to_string(file).unwrap();
                assert!(text.contains("echo 1"), "{agent:?}: {text}");
                fs::write(file, text.replace("echo 1", "echo 9")).unwrap();
            }
            Some((database, _)) => {
                let edit = match agent {
                    Agent::Hermes => {
                        "UPDATE messages SET tool_calls = replace(tool_calls, 'echo 1', 'echo 9')"
                    }
                    _ => "UPDATE part SET data = replace(data, 'echo 1', 'echo 9')",
                };
                let edited = rusqlite::Connection::open(database).unwrap().execute(edit, []).unwrap();
                assert!(edited > 0, "{agent:?}");
            }
        }
        let said = reconciled(&sandbox, &session);
        println!("{agent:?}: {}", said["completeness"]["line"]);
        assert!(names(&said).contains(&"transcript_edited"), "{agent:?}: {said:#}");
    }
}

/// The event before a tool runs, as a runtime tells its hooks.
fn forged(agent: Agent, session: &str) -> Option<(&'static str, Value)> {
    let call = |tool: &str, event: &str| {
        json!({"session_id": session, "hook_event_name": event, "cwd": "/", "tool_name": tool,
               "tool_input": {"command": "echo forged"}, "tool_use_id": "call_forged",
               "extra": {"tool_call_id": "call_forged"}})
    };
    Some(match agent {
        Agent::ClaudeCode | Agent::Codex => ("PreToolUse", call("Bash", "PreToolUse")),
        Agent::GeminiCli => ("BeforeTool", call("run_shell_command", "BeforeTool")),
        Agent::Hermes => ("pre_tool_call", call("terminal", "pre_tool_call")),
        // Their plug-ins are ours, and what they tell is our own affair.
        Agent::OpenCode | Agent::OpenClaw => return None,
    })
}

#[test]
fn a_forged_hook_event_is_found() {
    for agent in chosen() {
        let sandbox = Sandbox::new();
        let (programs, home) = (sandbox.programs.clone(), sandbox.fdr_home.clone());
        let llm = ScriptedLlm::start_with(echoes(agent), move |_, turn| {
            if turn == 2 && !home.join("forged").exists() {
                forge(agent, &programs, &home);
            }
        });
        agent.set_up(&sandbox, &llm);
        agent.run(&sandbox, &llm, PROMPT);
        wait_for(&sandbox, &llm);
        if !sandbox.fdr_home.join("forged").exists() {
            continue;
        }
        let said = reconciled(&sandbox, &session(&sandbox));
        println!("{agent:?}: {}", said["completeness"]["line"]);
        assert!(names(&said).contains(&"forged_hook_event"), "{agent:?}: {said:#}");
    }
}

/// Sends an event of the session that goes on, as any program of the same user can.
fn forge(agent: Agent, programs: &Path, home: &Path) {
    let listed =
        Command::new(programs.join("fdr")).args(["sessions", "--json", "--home"]).arg(home).output().unwrap();
    let line = listed.stdout.split(|byte| *byte == b'\n').next().unwrap();
    let Ok(first) = serde_json::from_slice::<Value>(line) else { return };
    let Some((event, payload)) = forged(agent, first["session"].as_str().unwrap()) else { return };
    let mut child = Command::new(programs.join("fdr-hook"))
        .args([agent.name(), event, "--home"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), payload.to_string().as_bytes()).unwrap();
    child.wait().unwrap();
    fs::write(home.join("forged"), "").unwrap();
}
