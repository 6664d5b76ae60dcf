//! `fdr harness` on settings that are weak in known ways, and its commands on the weak points.

use crate::program;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A machine with weak settings.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Machine {
        let machine = Machine { dir: tempfile::Builder::new().prefix("fdr").tempdir().unwrap() };
        fs::create_dir_all(machine.path("home/proj/.git")).unwrap();
        for (name, text) in files {
            let path = machine.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path("home/proj")).env_clear().env("HOME", self.path("home"));
        command.env("PATH", "/usr/bin:/bin").env("DEPLOY_TOKEN", "x").stdin(Stdio::null());
        command
    }

    fn harness(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(program::fdr());
        command.arg("--home").arg(self.path("fdr")).arg("harness").arg("--root").arg(self.path("root"));
        command.args(arguments).output().unwrap()
    }

    fn reports(&self) -> Vec<Value> {
        let output = self.harness(&["--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The weak points of a runtime: what, and the command.
    fn weak(&self, runtime: &str) -> Vec<(String, String)> {
        let reports = self.reports();
        let report = reports.iter().find(|report| report["runtime"] == runtime);
        let report = report.unwrap_or_else(|| panic!("no report of {runtime}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        report["weak"]
            .as_array()
            .unwrap()
            .iter()
            .map(|weak| (text(&weak["what"]), text(&weak["fix"])))
            .collect()
    }
}

const CLAUDE: &str = r#"{
  // a person's own words
  "permissions": { "defaultMode": "bypassPermissions", "allow": ["Bash(*)", "Read"] },
  "enableAllProjectMcpServers": true,
}"#;
const CODEX: &str = "approval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n[mcp_servers.x]\ncommand = \"npx\"\nargs = [\"-y\", \"server\"]\n";
const GEMINI: &str = r#"{"tools": {"allowed": ["run_shell_command"]}, "security": {"folderTrust": {"enabled": false}},
  "mcpServers": {"y": {"command": "uvx", "args": ["server"], "trust": true}}}"#;

fn weak_machine() -> Machine {
    Machine::new(&[
        ("home/.claude/settings.json", CLAUDE),
        ("home/.codex/config.toml", CODEX),
        ("home/.gemini/settings.json", GEMINI),
        ("home/proj/CLAUDE.md", "Be kind."),
    ])
}

#[test]
fn what_is_weak_is_found_with_a_control_and_a_command() {
    let machine = weak_machine();
    for (runtime, wanted) in [
        (
            "claude-code",
            &[
                "defaultMode bypassPermissions",
                "the rule Bash(*)",
                "enableAllProjectMcpServers",
                "DEPLOY_TOKEN",
                "without a sandbox",
            ][..],
        ),
        ("codex", &["approval_policy never", "danger-full-access", "MCP server x", "DEPLOY_TOKEN"]),
        ("gemini-cli", &["run_shell_command", "folderTrust", "MCP server y", "--yolo"]),
    ] {
        let weak = machine.weak(runtime);
        for part in wanted {
            assert!(weak.iter().any(|(what, _)| what.contains(part)), "{runtime}: no {part} in {weak:#?}");
        }
    }
    let reports = machine.reports();
    for report in &reports {
        let topics: Vec<&str> = report["aspects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|aspect| aspect["topic"].as_str().unwrap())
            .collect();
        let distinct: BTreeSet<&&str> = topics.iter().collect();
        assert_eq!((topics.len(), distinct.len()), (12, 12), "{}: {topics:?}", report["runtime"]);
        for weak in report["weak"].as_array().unwrap() {
            assert!(
                !weak["controls"].as_array().unwrap().is_empty() && !weak["fix"].as_str().unwrap().is_empty()
            );
        }
    }
    // Never a secret's value, and every runtime in one table.
    let text = String::from_utf8(machine.harness(&[]).stdout).unwrap();
    assert!(text.contains("DEPLOY_TOKEN") && text.contains("sandbox"), "{text}");
}

#[test]
fn the_commands_put_right_what_they_are_given_for() {
    let machine = weak_machine();
    // As a person would: comments go, which jq can't read.
    fs::write(
        machine.path("home/.claude/settings.json"),
        CLAUDE.replace("// a person's own words", "").replace("true,\n", "true\n"),
    )
    .unwrap();
    for runtime in ["claude-code", "codex", "gemini-cli"] {
        for (what, fix) in machine.weak(runtime) {
            let program = fix.split_whitespace().next().unwrap();
            if !matches!(program, "mkdir" | "jq" | "sed" | "printf" | "chmod") {
                continue;
            }
            let ran = machine.command(Path::new("/bin/sh")).arg("-c").arg(&fix).output().unwrap();
            assert!(ran.status.success(), "{runtime}: {fix}: {ran:?}");
            let left = machine.weak(runtime);
            assert!(!left.iter().any(|(other, _)| *other == what), "{runtime}: {fix} did not help: {what}");
        }
    }
}

#[test]
fn hooks_that_an_administrator_locks_out_do_not_count() {
    let machine = weak_machine();
    let fdr = |arguments: &[&str]| {
        let mut command = machine.command(program::fdr());
        command.arg("--home").arg(machine.path("fdr")).args(arguments).output().unwrap()
    };
    let installed = fdr(&["install", "claude-code"]);
    assert!(installed.status.success(), "{installed:?}");
    let is_said = |fix: &str| {
        machine.weak("claude-code").iter().any(|(what, command)| what.contains("recorded") && command == fix)
    };
    assert!(!is_said("fdr install claude-code"));
    let managed = machine.path("root/etc/claude-code/managed-settings.json");
    fs::create_dir_all(managed.parent().unwrap()).unwrap();
    fs::write(managed, r#"{"allowManagedHooksOnly": true}"#).unwrap();
    assert!(is_said("sudo fdr install claude-code --managed"), "{:#?}", machine.weak("claude-code"));
}

#[test]
fn a_settings_file_that_cant_be_read_is_said() {
    let machine = Machine::new(&[("home/.claude/settings.json", "{ not json")]);
    let weak = machine.weak("claude-code");
    assert!(weak.iter().any(|(what, _)| what.contains("can't be read")), "{weak:?}");
    let unknown = machine.harness(&["emacs"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("known are"), "{unknown:?}");
}
