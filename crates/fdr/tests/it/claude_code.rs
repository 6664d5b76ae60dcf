//! The real Claude Code, headless, with a scripted model: what it did must be in the record.

use crate::scripted_llm::ScriptedLlm;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A project, a home and a recorder's folder, all of them new.
struct Stage {
    _folder: tempfile::TempDir,
    project: PathBuf,
    home: PathBuf,
    fdr_home: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::Builder::new().prefix("fdr-").tempdir().unwrap();
        let [project, home, fdr_home] = ["project", "home", "recorder"].map(|name| folder.path().join(name));
        for path in [&project, &home.join(".claude"), &project.join(".claude")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(project.join("CLAUDE.md"), "# Project memory: be careful\n").unwrap();
        fs::write(project.join("README.md"), "# Probe project\n\nA scratch project.\n").unwrap();
        let trusted = json!({"hasCompletedOnboarding": true,
                             "projects": {project.to_str().unwrap(): {"hasTrustDialogAccepted": true}}});
        fs::write(home.join(".claude/.claude.json"), trusted.to_string()).unwrap();
        Stage { _folder: folder, project, home, fdr_home }
    }

    fn settings(&self, settings: &Value) {
        fs::write(self.project.join(".claude/settings.json"), format!("{settings:#}")).unwrap();
    }

    /// A command that sees nothing of the machine but its programs.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.project).stdin(Stdio::null());
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.env("CLAUDE_CONFIG_DIR", self.home.join(".claude")).env("FDR_HOME", &self.fdr_home);
        command
    }

    fn claude(&self, llm: &ScriptedLlm, arguments: &[&str]) -> Output {
        let mut command = self.command(&agents().join(".bin/claude"));
        command.env("ANTHROPIC_BASE_URL", llm.url()).env("ANTHROPIC_API_KEY", "none");
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1");
        // Lets it run as root, as it would in a container.
        command.env("IS_SANDBOX", "1");
        command.args(["-p", "Please do the steps.", "--output-format", "stream-json", "--verbose"]);
        command.args(arguments).output().unwrap()
    }
}

/// Where ./test put the agents.
fn agents() -> PathBuf {
    let folder = env::var_os("FDR_TEST_AGENTS").map(|path| PathBuf::from(path).join("node_modules"));
    folder.filter(|path| path.join(".bin/claude").exists()).expect(
        "this test runs the real Claude Code, which ./test installs: run ./test, or set FDR_TEST_AGENTS \
         to the folder that it installed the agents into (.test/agents)",
    )
}

#[test]
fn probe() {
    let stage = Stage::new();
    let p = stage.project.to_str().unwrap().to_owned();
    let llm = ScriptedLlm::start(
        json!({"routes": [{"contains": "SUBTASK", "track": "sub"}], "tracks": {"main": [
        {"thinking": "First look at the readme.", "text": "I read it first.",
         "tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
        {"tools": [{"name": "WebFetch", "args": {"url": "${LLM}/page", "prompt": "what is it?"}}]},
        {"tools": [{"name": "NoSuchTool", "args": {"a": 1}}, {"name": "Read", "args": {"path": 3}}]},
        {"tools": [{"name": "Bash", "args": {"command": "touch x.txt"}}, {"name": "Write", "args": {"file_path": "/etc/fdr-probe", "content": "x"}}]},
        {"tools": [{"name": "Read", "args": {"file_path": "/etc/hostname"}}]},
        {"tools": [{"name": "Agent", "args": {"description": "d", "prompt": "SUBTASK: read", "subagent_type": "general-purpose", "run_in_background": false}}]},
        {"tools": [{"name": "mcp__files__list_directory", "args": {"path": p}}]},
        {"tools": [{"name": "Bash", "args": {"command": "curl -s http://127.0.0.1:1/x"}}, {"name": "Bash", "args": {"command": "sh -c 'exit 3'"}}]},
        {"tools": [{"name": "Bash", "args": {"command": "echo hello world | tr a-z A-Z | wc -c"}}]},
        {"tools": [{"name": "WebFetch", "args": {"url": "http://example.invalid/page", "prompt": "what is it?"}}]},
        {"text": "done"}],
        "sub": [{"tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]}, {"text": "sub done"}]}}),
    );
    let hooks: serde_json::Map<String, Value> = ["SessionStart", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "PermissionRequest", "PermissionDenied", "SubagentStart", "SessionEnd"]
        .iter()
        .map(|e| (e.to_string(), json!([{"hooks": [{"type": "command", "command": format!("cat >> {p}/../hooks; echo >> {p}/../hooks")}]}])))
        .collect();
    stage.settings(&json!({"hooks": hooks, "permissions": {"allow": ["Agent", "WebFetch", "mcp__files", "Bash(echo:*)", "Bash(sh:*)"], "deny": ["Bash(curl:*)"]}, "skipWebFetchPreflight": true}));
    let files = agents().join("@modelcontextprotocol/server-filesystem/dist/index.js");
    let mcp = json!({"mcpServers": {"files": {"command": "node", "args": [files, p]}}}).to_string();
    let out =
        stage.claude(&llm, &["--permission-mode", "default", "--mcp-config", &mcp, "--strict-mcp-config"]);
    println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("HOOKS\n{}", fs::read_to_string(stage.project.join("../hooks")).unwrap());
    for call in llm.issued() {
        println!("CALL {} {} -> {:?}", call.id, call.tool, llm.told(&call.id));
    }
}
