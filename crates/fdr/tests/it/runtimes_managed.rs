//! An administrator's hooks with the real agents, in a mount namespace with an /etc of its own: with
//! the lock a project's hooks don't run, and ours do.

use crate::agents::{Agent, Sandbox};
use crate::runtimes::shell;
use crate::scripted_llm::ScriptedLlm;
use fdr_record::Kind;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Arguments: the folder that becomes /etc, `fdr`, the runtime, the option of the lock or nothing,
/// the agent's command line.
const SCRIPT: &str = r#"
cp -a /etc/. "$1" 2> /dev/null; mount --bind "$1" /etc || exit 99
fdr=$2; runtime=$3
"$fdr" install "$runtime" --managed $4 || exit 98
shift 4
timeout -k 5 150 "$@"; code=$?
"$fdr" uninstall "$runtime" --managed || exit 97
exit $code
"#;

/// Whether this machine lets its users have mount namespaces.
fn has_namespaces() -> bool {
    let tried = Command::new("unshare").args(["-rm", "mount", "--bind", "/tmp", "/tmp"]).output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        eprintln!("not tested: no mount namespaces here (unshare -rm)");
    }
    can
}

fn a_lock_keeps_a_projects_hooks_out(agent: Agent, folder: &str, project_file: &str) {
    if !has_namespaces() {
        return;
    }
    for lock in ["", "--lock"] {
        let sandbox = Sandbox::new();
        let turns = json!([{ "tools": [shell(agent, "touch made.txt")] }, { "text": "Done." }]);
        let llm = ScriptedLlm::start(json!({ "tracks": { "main": turns } }));
        agent.prepare(&sandbox);
        agent.configure(&sandbox, &llm);
        let marker = sandbox.folder.path().join("ran");
        // It says, too, that no hook runs at all: an administrator's do.
        let theirs =
            json!([{ "hooks": [{ "type": "command", "command": format!("touch {}", marker.display()) }] }]);
        let mut settings = json!({ "hooks": { "PreToolUse": theirs } });
        if agent == Agent::ClaudeCode && lock == "--lock" {
            settings["disableAllHooks"] = json!(true);
        }
        sandbox.write(&format!("project/{project_file}"), &settings.to_string());
        let etc = sandbox.folder.path().join("etc");
        fs::create_dir(&etc).unwrap();

        let mut command = sandbox.command(Path::new("unshare"));
        command.args(["-rm", "sh", "-c", SCRIPT, "sh"]).arg(&etc).arg(sandbox.programs.join("fdr"));
        command.args([agent.name(), lock]).arg(agent.program());
        agent.invoke(&mut command, &sandbox, &llm, "Please do the steps.");
        if agent == Agent::Codex {
            // Else it would not run for want of trust.
            command.arg("--dangerously-bypass-hook-trust");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(sandbox.project.join("made.txt").exists(), "{output:?}");
        assert_eq!(marker.exists(), lock.is_empty(), "{lock}: {output:?}");
        assert_eq!(sandbox.trail().of(Kind::Action).count(), 1, "{output:?}");
        assert!(!etc.join(folder).exists(), "uninstalling leaves nothing behind");
    }
}

#[test]
fn a_lock_keeps_a_projects_hooks_out_of_claude_code() {
    a_lock_keeps_a_projects_hooks_out(Agent::ClaudeCode, "claude-code", ".claude/settings.json");
}

#[test]
fn a_lock_keeps_a_projects_hooks_out_of_codex() {
    a_lock_keeps_a_projects_hooks_out(Agent::Codex, "codex", ".codex/hooks.json");
}
