//! `fdr run` with the real agents: one run is recorded, and no settings of their user are changed.

use crate::agents::{Agent, Sandbox};
use crate::runtimes::shell;
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, Kind, Outcome, Record};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Files in which hooks could be, by their paths in the home folder.
const SETTINGS: [&str; 12] = [
    ".claude/settings.json",
    ".codex/hooks.json",
    ".gemini/settings.json",
    ".gemini/extensions",
    ".hermes/config.yaml",
    ".hermes/plugins/fdr",
    ".config/opencode/opencode.json",
    ".config/opencode/plugin",
    ".openclaw/openclaw.json",
    ".openclaw/extensions/fdr",
    ".codex/rules/test.rules",
    ".gemini/policies/test.toml",
];

/// Those that are there. What is in them the agent may change by itself, but we may not.
fn settings(home: &Path) -> Vec<PathBuf> {
    let there: Vec<_> = SETTINGS.iter().map(|name| home.join(name)).filter(|path| path.exists()).collect();
    for path in &there {
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(!text.contains("fdr-hook") && !text.contains("- fdr"), "{}: {text}", path.display());
    }
    there
}

fn is_recorded_and_leaves_no_trace(agent: Agent) {
    let sandbox = Sandbox::new();
    let turns = json!([{ "tools": [shell(agent, "touch made.txt")] }, { "text": "Done." }]);
    let llm = ScriptedLlm::start(json!({ "tracks": { "main": turns } }));
    agent.prepare(&sandbox);
    agent.configure(&sandbox, &llm);
    let before = settings(&sandbox.home);

    let mut command = sandbox.command(Path::new("timeout"));
    command
        .args(["-k", "5", "150"])
        .arg(sandbox.programs.join("fdr"))
        .args(["run", "--"])
        .arg(agent.program());
    agent.invoke(&mut command, &sandbox, &llm, "Please do the steps.");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    let session =
        said.lines().find(|line| line.starts_with("fdr: session ")).unwrap_or_else(|| panic!("{said}"));
    assert!(session.contains(&format!(" · {} · ", agent.name())), "{session}");
    assert!(said.contains("did      1 action"), "{said}");
    assert_eq!(settings(&sandbox.home), before);
    assert!(sandbox.project.join("made.txt").exists());

    let mut trail = sandbox.trail();
    let run = trail.of(Kind::SessionStart).find_map(|record| match &record.body {
        Body::SessionStart(start) => start.run.clone(),
        _ => None,
    });
    assert!(run.is_some(), "the session says which run it is part of");
    let is_ok =
        |record: &Record| matches!(&record.body, Body::Result(result) if result.outcome == Outcome::Ok);
    // Codex's hook does not tell it; its transcript does, a moment later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !trail.of(Kind::Result).any(is_ok) {
        assert!(Instant::now() < deadline, "no result says that it went well");
        thread::sleep(Duration::from_millis(50));
        trail = sandbox.trail();
    }
    // What the trail says of the transcript still leads to it.
    let gaps: Vec<_> = trail.of(Kind::Gap).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
    for record in trail.of(Kind::SessionStart) {
        let Body::SessionStart(start) = &record.body else { continue };
        if let Some(transcript) = &start.transcript {
            let file = transcript.split('#').next().unwrap();
            assert!(Path::new(file).exists(), "{transcript}");
        }
    }
}

#[test]
fn claude_code_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::ClaudeCode);
}

#[test]
fn codex_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::Codex);
}

#[test]
fn gemini_cli_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::GeminiCli);
}

#[test]
fn hermes_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::Hermes);
}

#[test]
fn opencode_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::OpenCode);
}

#[test]
fn openclaw_is_recorded_for_one_run() {
    is_recorded_and_leaves_no_trace(Agent::OpenClaw);
}
