//! The real Claude Code, headless, with a scripted model: what it did must be in the record.
//!
//! `./test` installs the agent and the MCP servers; `cargo nextest run` leaves these tests out.

use crate::agents::{Agent, Sandbox, Trail, kill, mcp_server};
use crate::scripted_llm::{Call, ScriptedLlm};
use fdr_record::{
    Basis, Body, Context, DecidedBy, Kind, Mode, Outcome, Record, Rel, Resource, Status, Verb, Verdict,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A sandbox for Claude Code.
pub struct Stage(Sandbox);

impl Deref for Stage {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl Stage {
    pub fn new() -> Stage {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.project.join(".claude")).unwrap();
        fs::write(sandbox.project.join("CLAUDE.md"), INSTRUCTIONS).unwrap();
        Agent::ClaudeCode.prepare(&sandbox);
        Stage(sandbox)
    }

    /// Writes the project's settings and lets `fdr install` add to them.
    pub fn install(&self, permissions: &Value) {
        let settings = json!({"permissions": permissions, "skipWebFetchPreflight": true});
        fs::write(self.project.join(".claude/settings.json"), format!("{settings:#}")).unwrap();
        self.fdr(&["install", "claude-code", "--project"]);
    }

    /// Runs the agent as `command`, with arguments added.
    pub fn claude(&self, mut command: Command, llm: &ScriptedLlm, prompt: &str, arguments: &[&str]) -> Run {
        Agent::ClaudeCode.invoke(&mut command, self, llm, prompt);
        let output = command.args(arguments).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let session = stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|message| Some(message["session_id"].as_str()?.to_owned()))
            .unwrap_or_else(|| panic!("no session: {stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
        Run { session, output }
    }

    fn run(&self, llm: &ScriptedLlm, arguments: &[&str]) -> Run {
        self.run_with(llm, PROMPT, arguments)
    }

    pub fn run_with(&self, llm: &ScriptedLlm, prompt: &str, arguments: &[&str]) -> Run {
        let run = self.claude(self.command(&Agent::ClaudeCode.program()), llm, prompt, arguments);
        assert!(run.output.status.success(), "{:?}", run.output);
        run
    }
}

const PROMPT: &str = "Please do the steps.";
const INSTRUCTIONS: &str = "# Project memory: be careful\n";

pub struct Run {
    pub session: String,
    pub output: Output,
}

impl Trail {
    /// Checks what holds for every call whatever became of it.
    pub fn check(&self, run: &Run, calls: &[Call]) {
        for call in calls {
            let (action, result) = self.call(&call.id);
            for record in [action, result] {
                let agent = record.agent.as_ref().unwrap();
                assert_eq!(record.session.as_deref(), Some(&*run.session), "{}", call.id);
                if call.track == "main" {
                    assert_eq!((&agent.id, &agent.parent), (&run.session, &None), "{}", call.id);
                } else {
                    assert_eq!(agent.parent.as_ref(), Some(&run.session), "{}", call.id);
                    assert_eq!(agent.name, "general-purpose", "{}", call.id);
                }
                let observed = record.observed.as_ref().unwrap();
                assert!(observed.late || observed.uid.is_some() && observed.pid.is_some(), "{observed:?}");
                assert!(record.claimed.as_ref().is_some_and(|c| c.source.starts_with("hook:")));
            }
            assert!(action.seq < result.seq, "{}: the result comes after the action", call.id);
            let (Body::Action(action), Body::Result(result)) = (&action.body, &result.body) else {
                panic!("kind and body differ")
            };
            assert_eq!((&action.tool, &result.tool), (&call.tool, &call.tool));
            assert!(!action.actions.is_empty(), "{}: no resource", call.id);
            assert!(!action.policy.reason.is_empty(), "{}: no reason", call.id);
        }
        let agents_actions = self.of(Kind::Action).filter(|r| r.session.as_deref() == Some(&run.session));
        let named = agents_actions.filter(|r| r.tool_use_id().is_some()).count();
        assert!(named >= calls.len());
    }
}

/// What has to be on record of a tool call.
struct Expected<'a> {
    id: &'a str,
    action: Verb,
    resource: String,
    outcome: Outcome,
}

fn expect(id: &str, action: Verb, resource: String, outcome: Outcome) -> Expected<'_> {
    Expected { id, action, resource, outcome }
}

fn check_each(trail: &Trail, expected: &[Expected<'_>]) {
    for Expected { id, action: verb, resource, outcome } in expected {
        let (action, result) = trail.call(id);
        let (Body::Action(action), Body::Result(result)) = (&action.body, &result.body) else {
            panic!("{id}")
        };
        let found = action.actions.iter().any(|a| a.action == *verb && a.resource.as_str() == resource);
        assert!(found, "{id}: {verb:?} {resource} is not among {:?}", action.actions);
        assert_eq!(result.outcome, *outcome, "{id}: {result:?}");
    }
}

/// An HTTPS server with one page; the agent's fetch tool takes nothing less than TLS.
struct Page(Child, String);

impl Page {
    fn serve(stage: &Stage) -> Page {
        let folder = stage.folder.path();
        fs::write(folder.join("page.html"), "<html><body><h1>A page on loopback</h1></body></html>").unwrap();
        let made = Command::new("openssl")
            .current_dir(folder)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args([
                "-keyout",
                "certificate.key",
                "-out",
                "certificate.pem",
                "-days",
                "2",
                "-subj",
                "/CN=fdr test",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut server = Command::new("openssl")
            .current_dir(folder)
            .args(["s_server", "-accept", "127.0.0.1:0", "-WWW"])
            .args(["-key", "certificate.key", "-cert", "certificate.pem"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned())).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Page(server, format!("https://{address}/page.html"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_tool_call_is_on_record_with_its_result() {
    let stage = Stage::new();
    stage.install(&json!({
        "allow": ["Read", "Write", "Edit", "Agent", "WebFetch", "Bash(echo:*)", "Bash(sh:*)", "Bash(rm:*)",
                  "Bash(cat:*)", "Bash(tr:*)", "Bash(wc:*)", "mcp__files", "mcp__everything"],
        "deny": ["Bash(curl:*)"],
    }));
    let page = Page::serve(&stage);
    let p = stage.project.to_str().unwrap();
    let llm = ScriptedLlm::start(json!({"routes": [{"contains": "SUBTASK", "track": "sub"}], "tracks": {
        "main": [
            {"thinking": "First look at the readme.", "text": "I will read the readme first.",
             "tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
            {"tools": [{"name": "Write", "args": {"file_path": format!("{p}/notes.txt"), "content": "one\ntwo\n"}}]},
            {"tools": [{"name": "Edit", "args": {"file_path": format!("{p}/notes.txt"), "old_string": "two", "new_string": "2"}}]},
            {"tools": [{"name": "Bash", "args": {"command": "cat README.md | tr a-z A-Z | wc -c"}}]},
            {"text": "Two at once.", "tools": [
                {"name": "Bash", "args": {"command": "sh -c 'exit 3'"}},
                {"name": "Read", "args": {"file_path": format!("{p}/missing.txt")}}]},
            {"tools": [{"name": "Bash", "args": {"command": "curl -s https://example.invalid/x"}}]},
            {"tools": [{"name": "Bash", "args": {"command": "rm -rf data"}}]},
            {"tools": [{"name": "mcp__files__list_directory", "args": {"path": p}},
                       {"name": "mcp__everything__echo", "args": {"message": "hello mcp"}}]},
            {"text": "I hand this over.", "tools": [{"name": "Agent", "args": {
                "description": "Count", "prompt": "SUBTASK: read README.md and report",
                "subagent_type": "general-purpose", "run_in_background": false}}]},
            {"tools": [{"name": "WebFetch", "args": {"url": page.1, "prompt": "What is it?"}}]},
            {"text": "All steps are done."}],
        "sub": [
            {"text": "The sub-agent reads.", "tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
            {"tools": [{"name": "Bash", "args": {"command": "wc -l README.md"}}]},
            {"text": "It has three lines."}],
    }}));
    let proxy = |server: &str, argument: &str| {
        let server = mcp_server(server);
        json!({"command": stage.programs.join("fdr"), "args": ["mcp-proxy", "--", "node", server, argument],
               "env": {"FDR_HOME": stage.fdr_home}})
    };
    let servers = json!({"mcpServers": {"files": proxy("server-filesystem", p),
                                        "everything": proxy("server-everything", "stdio")}});
    let run = stage.run(&llm, &["--mcp-config", &servers.to_string(), "--strict-mcp-config"]);

    let trail = stage.trail();
    let calls = llm.issued();
    assert_eq!(calls.len(), 14, "the script was played to its end: {calls:?}");
    trail.check(&run, &calls);
    use Outcome::{Denied, Error, Ok};
    let file = |name: &str| format!("file:{p}/{name}");
    check_each(
        &trail,
        &[
            expect("toolu_main_00_0", Verb::Read, file("README.md"), Ok),
            expect("toolu_main_01_0", Verb::Write, file("notes.txt"), Ok),
            expect("toolu_main_02_0", Verb::Write, file("notes.txt"), Ok),
            expect("toolu_main_03_0", Verb::Read, file("README.md"), Ok),
            expect("toolu_main_04_0", Verb::Execute, "proc:exit".into(), Error),
            expect("toolu_main_04_1", Verb::Read, file("missing.txt"), Error),
            expect("toolu_main_05_0", Verb::Network, "url:https://example.invalid/x".into(), Denied),
            expect("toolu_main_06_0", Verb::Delete, file("data"), Ok),
            expect("toolu_main_07_0", Verb::Execute, "mcp:files/list_directory".into(), Ok),
            expect("toolu_main_07_1", Verb::Execute, "mcp:everything/echo".into(), Ok),
            expect("toolu_main_08_0", Verb::Delegate, "agent:general-purpose".into(), Ok),
            expect("toolu_main_09_0", Verb::Network, format!("url:{}", page.1), Ok),
            expect("toolu_sub_00_0", Verb::Read, file("README.md"), Ok),
            expect("toolu_sub_01_0", Verb::Read, file("README.md"), Ok),
        ],
    );
    drop(page);
    let Body::Result(failed) = &trail.call("toolu_main_04_0").1.body else { panic!() };
    assert_eq!(failed.exit_code, Some(3));
    let Body::Result(denied) = &trail.call("toolu_main_05_0").1.body else { panic!() };
    let by_rule = denied.runtime_decision.as_ref().unwrap();
    assert_eq!((by_rule.decision, by_rule.basis), (Verdict::Deny, Basis::Stated));
    assert_eq!(by_rule.reason, llm.told("toolu_main_05_0"), "the runtime's own words");

    // What it was asked, what it saw, when it began and ended.
    let session: Vec<_> = trail.0.iter().filter(|r| r.session.as_deref() == Some(&run.session)).collect();
    assert!(session.iter().any(|r| matches!(&r.body, Body::Prompt(prompt) if prompt.preview == PROMPT)));
    let memory = Resource::file("CLAUDE.md", p);
    let seen = |r: &&&Record| matches!(&r.body, Body::Context(c) if c.resource.as_ref() == Some(&memory));
    let seen = session.iter().find(seen).expect("the instructions are on record");
    assert!(seen.content.iter().any(|c| c.len == INSTRUCTIONS.len() as u64 && c.digest_bytes().is_some()));
    assert!(session.iter().any(|r| r.kind == Kind::SessionStart));
    let Some(Body::SessionEnd(end)) =
        session.iter().rev().find(|r| r.kind == Kind::SessionEnd).map(|r| &r.body)
    else {
        panic!("the session has no end")
    };
    assert_eq!(end.status, Status::Success);

    // The two servers, as they were seen between them and the agent.
    for (server, tool) in [("files", "list_directory"), ("everything", "echo")] {
        let of_server: Vec<_> = trail
            .0
            .iter()
            .filter(|r| r.agent.as_ref().is_some_and(|a| a.runtime.starts_with("mcp:")))
            .filter(|r| r.to_line().windows(server.len()).any(|text| text == server.as_bytes()))
            .collect();
        let told =
            |r: &&&Record| matches!(&r.body, Body::Context(Context { what, .. }) if what == "mcp_tools");
        assert!(of_server.iter().any(|r| told(&r)), "{server}: no list of tools");
        let called = |r: &&Record| matches!(&r.body, Body::Action(a) if a.tool.ends_with(tool));
        let call = of_server.iter().find(|r| called(r)).unwrap_or_else(|| panic!("{server}: no call"));
        let results = trail.of(Kind::Result).filter(|r| r.link(Rel::ResultOf) == Some(call.id)).count();
        assert_eq!(results, 1, "{server}: results of its call");
    }

    let verdict = stage.fdr(&["verify"]);
    assert!(verdict.contains("INTACT"), "{verdict}");
    let shown = stage.fdr(&["show", &run.session, "--json"]);
    for call in &calls {
        assert!(shown.contains(&call.id), "{} is not shown", call.id);
    }

    // The transcript adds what the model thought, and nothing that is known already.
    let transcript =
        find(&stage.home, &format!("{}.jsonl", run.session)).expect("the agent kept a transcript");
    stage.fdr(&["import", "claude-code", transcript.to_str().unwrap()]);
    let after = stage.trail();
    after.check(&run, &calls);
    for kind in [Kind::Action, Kind::Result, Kind::Prompt, Kind::SessionStart, Kind::SessionEnd] {
        assert_eq!(after.of(kind).count(), trail.of(kind).count(), "{kind} records after the import");
    }
    for call in &calls {
        let action = after.call(&call.id).0.id;
        let decisions = after
            .of(Kind::Decision)
            .filter(|r| r.links.iter().any(|link| link.rel == Rel::DecisionFor && link.id == action))
            .count();
        assert_eq!(decisions, 1, "decisions for {}", call.id);
    }
    let first = after.call("toolu_main_00_0").0.id;
    let decision = after.of(Kind::Decision).find(|r| r.links.iter().any(|link| link.id == first)).unwrap();
    let Body::Decision(decision) = &decision.body else { panic!() };
    assert_eq!(decision.stated.as_deref(), Some("I will read the readme first."));
    assert_eq!(decision.thinking.as_deref(), Some("First look at the readme."));
    stage.fdr(&["import", "claude-code", transcript.to_str().unwrap()]);
    assert_eq!(stage.trail().0.len(), after.0.len(), "a second import adds nothing");
    assert!(stage.fdr(&["verify"]).contains("INTACT"));
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

#[test]
fn a_refused_call_is_on_record_once_in_the_runtimes_own_words() {
    let stage = Stage::new();
    stage.install(&json!({"deny": ["Bash(curl:*)", "Read(./secret.txt)"]}));
    let p = stage.project.to_str().unwrap();
    let llm = ScriptedLlm::start(json!({"tracks": {"main": [
        {"tools": [{"name": "Bash", "args": {"command": "curl -s https://example.invalid/x"}},
                   {"name": "Read", "args": {"file_path": format!("{p}/secret.txt")}}]},
        {"tools": [{"name": "Bash", "args": {"command": "touch made.txt"}},
                   {"name": "Write", "args": {"file_path": format!("{p}/made.txt"), "content": "x"}}]},
        {"tools": [{"name": "Read", "args": {"file_path": "/etc/hostname"}},
                   {"name": "Bash", "args": {"command": "cat /etc/hostname"}}]},
        {"tools": [{"name": "NoSuchTool", "args": {"a": 1}}]},
        {"tools": [{"name": "Read", "args": {"path": 3}}]},
        {"tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
        {"text": "Most of it was refused."}]}}));
    let run = stage.run(&llm, &[]);

    let trail = stage.trail();
    let calls = llm.issued();
    assert_eq!(calls.len(), 9);
    trail.check(&run, &calls);
    // Nobody is there to be asked: the mode did not let it through, no person refused it.
    let (sandboxed, absent, rule, runtime) =
        (DecidedBy::Sandbox, DecidedBy::Mode, DecidedBy::Rule, DecidedBy::Runtime);
    for (id, outcome, by) in [
        ("toolu_main_00_0", Outcome::Denied, rule),
        ("toolu_main_00_1", Outcome::Denied, rule),
        ("toolu_main_01_0", Outcome::Denied, absent),
        ("toolu_main_01_1", Outcome::Denied, absent),
        ("toolu_main_02_0", Outcome::Denied, absent),
        ("toolu_main_02_1", Outcome::Denied, sandboxed),
        ("toolu_main_03_0", Outcome::Rejected, runtime),
        ("toolu_main_04_0", Outcome::Rejected, runtime),
    ] {
        let (action, result) = trail.call(id);
        let Body::Result(result) = &result.body else { panic!() };
        let told = llm.told(id).unwrap();
        println!("{id} {told:?}\n   {:?} {:?}", result.outcome, result.runtime_decision);
        assert_eq!(result.outcome, outcome, "{id}: {told}");
        let decision = result.runtime_decision.as_ref().unwrap_or_else(|| panic!("{id}: who decided?"));
        assert_eq!(decision.decision, Verdict::Deny, "{id}");
        assert_eq!(decision.by, by, "{id}");
        assert_eq!(result.reason.as_deref(), Some(&*told), "{id}: the runtime's own words");
        // Nothing says that anybody approved it.
        let approvals = trail.of(Kind::ApprovalGrant).filter(|r| r.links.iter().any(|l| l.id == action.id));
        assert_eq!(approvals.count(), 0, "{id}");
        let Body::Action(action) = &action.body else { panic!() };
        assert!(action.runtime_decision.as_ref().is_none_or(|d| d.decision != Verdict::Permit), "{id}");
    }
    let Body::Result(read) = &trail.call("toolu_main_05_0").1.body else { panic!() };
    assert_eq!(read.outcome, Outcome::Ok);
    println!("{}", stage.fdr(&["show", &run.session]));
    let shown = stage.fdr(&["show", &run.session]);
    assert!(!stage.project.join("made.txt").exists());
    assert!(shown.contains("NoSuchTool"), "{shown}");
    assert!(stage.fdr(&["verify"]).contains("INTACT"));
}

#[test]
fn a_killed_recorder_comes_back_and_says_so() {
    let stage = Stage::new();
    stage.install(&json!({"allow": ["Read", "Write", "Bash(sh:*)"]}));
    let p = stage.project.to_str().unwrap().to_owned();
    // Started by hand, so that the script can name it.
    let _ = stage.command(&Agent::ClaudeCode.program()); // fails early without the agent
    let stage = std::sync::Arc::new(stage);
    // The model's thread outlives the test and must not keep the stage.
    let killer = std::sync::Arc::downgrade(&stage);
    let stage_of = move || killer.upgrade().expect("the test runs");
    let write =
        |name: &str| json!({"name": "Write", "args": {"file_path": format!("{p}/{name}"), "content": "x"}});
    let suicide = json!({"name": "Bash", "args": {"command": format!("sh {p}/kill.sh")}});
    let llm = ScriptedLlm::start_with(
        json!({"tracks": {"main": [
            {"tools": [write("one.txt")]},
            {"tools": [write("two.txt")]},
            {"tools": [suicide]},
            {"tools": [write("three.txt")]},
            {"text": "Done."}]}}),
        move |_, turn| match turn {
            // Between two tool calls, and (by the agent itself) in the middle of one.
            1 => kill(stage_of().recorder().expect("a recorder runs")),
            2 => {
                let pid = stage_of().recorder().expect("a hook has started another recorder");
                fs::write(stage_of().project.join("kill.sh"), format!("kill -9 {pid}\n")).unwrap();
            }
            _ => {}
        },
    );
    let run = stage.run(&llm, &[]);

    for name in ["one.txt", "two.txt", "three.txt"] {
        assert!(stage.project.join(name).exists(), "the agent goes on: {name}");
    }
    let trail = stage.trail();
    assert_eq!(llm.issued().len(), 4);
    trail.check(&run, &llm.issued());
    let starts: Vec<_> = trail.of(Kind::LogRestart).map(|r| &r.body).collect();
    let clean: Vec<_> =
        starts.iter().map(|body| matches!(body, Body::LogRestart(start) if start.clean)).collect();
    assert_eq!(clean, [true, false, false], "{starts:#?}");
    // The second death lies between the action and the result of the call that caused it.
    let (action, result) = trail.call("toolu_main_02_0");
    let restart = trail.of(Kind::LogRestart).nth(2).unwrap();
    let place = |record: &Record| trail.0.iter().position(|r| r.id == record.id).unwrap();
    assert!(place(action) < place(restart) && place(restart) < place(result));
    assert!(stage.fdr(&["verify"]).contains("INTACT"));
}

#[test]
fn enforce_denies_what_can_not_be_recorded() {
    let stage = Stage::new();
    fs::write(stage.fdr_home.join("config.toml"), "mode = \"enforce\"\n").unwrap();
    stage.install(&json!({"allow": ["Read", "Write"]}));
    let p = stage.project.to_str().unwrap().to_owned();
    let stage = std::sync::Arc::new(stage);
    let breaker = std::sync::Arc::downgrade(&stage);
    let stage_of = move || breaker.upgrade().expect("the test runs");
    let write =
        |name: &str| json!({"name": "Write", "args": {"file_path": format!("{p}/{name}"), "content": "x"}});
    let llm = ScriptedLlm::start_with(
        json!({"tracks": {"main": [
            {"tools": [write("before.txt")]},
            {"tools": [write("meanwhile.txt")]},
            {"tools": [write("after.txt")]},
            {"text": "Done."}]}}),
        move |_, turn| match turn {
            1 => {
                kill(stage_of().recorder().expect("a recorder runs"));
                fs::rename(stage_of().programs.join("fdr"), stage_of().programs.join("away")).unwrap();
            }
            2 => fs::rename(stage_of().programs.join("away"), stage_of().programs.join("fdr")).unwrap(),
            _ => {}
        },
    );
    let run = stage.run(&llm, &[]);

    let exists = |name: &str| stage.project.join(name).exists();
    assert!(exists("before.txt") && exists("after.txt"));
    assert!(!exists("meanwhile.txt"), "what can't be recorded is not done");
    let told = llm.told("toolu_main_01_0").unwrap();
    assert!(told.contains("can't be recorded"), "the agent is told why: {told}");
    // It was kept aside and is on record now, late.
    let trail = stage.trail();
    trail.check(&run, &llm.issued());
    let (action, result) = trail.call("toolu_main_01_0");
    assert!(action.observed.as_ref().is_some_and(|o| o.late), "{action:?}");
    let Body::Result(result) = &result.body else { panic!() };
    assert_eq!(result.outcome, Outcome::Denied);
    let modes: Vec<_> = trail
        .of(Kind::LogRestart)
        .map(|r| matches!(&r.body, Body::LogRestart(s) if s.mode == Mode::Enforce))
        .collect();
    assert_eq!(modes, [true, true]);
    assert!(stage.fdr(&["verify"]).contains("INTACT"));
}

#[test]
fn run_captures_one_run_alone() {
    let stage = Stage::new();
    let settings = stage.project.join(".claude/settings.json");
    let before = format!("{:#}\n", json!({"permissions": {"allow": ["Read", "Write"]}}));
    fs::write(&settings, &before).unwrap();
    let p = stage.project.to_str().unwrap();
    let script = json!({"tracks": {"main": [
        {"tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
        {"tools": [{"name": "Write", "args": {"file_path": format!("{p}/notes.txt"), "content": "x"}}]},
        {"text": "Done."}]}});
    let llm = ScriptedLlm::start(script);
    let mut command = stage.command(&stage.programs.join("fdr"));
    command.args(["run", "--"]).arg(Agent::ClaudeCode.program());
    let run = stage.claude(command, &llm, PROMPT, &[]);
    assert!(run.output.status.success(), "{:?}", run.output);
    let trail = stage.trail();
    assert_eq!(llm.issued().len(), 2);
    trail.check(&run, &llm.issued());
    let said = String::from_utf8_lossy(&run.output.stderr);
    println!("{said}");
    assert!(said.contains(&run.session[..8]) && said.contains("notes.txt"), "{said}");
    assert!(said.lines().count() <= 24, "one screen: {said}");

    assert_eq!(fs::read_to_string(&settings).unwrap(), before, "no settings were changed");
    // The first run's transcript is still being read.
    let sessions = |trail: &Trail| -> std::collections::HashSet<Option<String>> {
        trail.0.iter().map(|record| record.session.clone()).collect()
    };
    let before = sessions(&trail);
    stage.run(&llm, &[]);
    assert_eq!(sessions(&stage.trail()), before, "the next run is not recorded");
}
