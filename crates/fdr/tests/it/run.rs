//! `fdr run`: an agent is recorded for one run, and nothing of it is changed.

use crate::program::{Program, fdr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A stand-in for the agent: calls the hooks that it is given in its settings as the agent does.
const CLAUDE: &str = r#"#!/bin/sh
[ "$1" = --settings ] || exit 90
hooks=$(printf '%s' "$2" | grep -o '"command":"[^"]*"' | cut -d'"' -f4)
shift 2
fire() { # event, filter, payload
  printf '%s\n' "$hooks" | grep -e "claude-code $1 " -e "$2" | while read -r hook; do printf '%s' "$3" | sh -c "$hook"; done
}
id=11111111-2222-4333-8444-555555555555
[ "$1" = nothing ] && exit 4
fire SessionStart 'cat; echo' "{\"session_id\":\"$id\",\"hook_event_name\":\"SessionStart\",\"source\":\"startup\",\"cwd\":\"$PWD\"}"
fire PreToolUse '^$' "{\"session_id\":\"$id\",\"hook_event_name\":\"PreToolUse\",\"cwd\":\"$PWD\",\"tool_name\":\"Bash\",\"tool_use_id\":\"t1\",\"tool_input\":{\"command\":\"rm -rf build\"}}"
fire PostToolUse '^$' "{\"session_id\":\"$id\",\"hook_event_name\":\"PostToolUse\",\"cwd\":\"$PWD\",\"tool_name\":\"Bash\",\"tool_use_id\":\"t1\",\"tool_input\":{\"command\":\"rm -rf build\"},\"tool_response\":{\"stdout\":\"\",\"stderr\":\"\",\"interrupted\":false}}"
fire SessionEnd '^$' "{\"session_id\":\"$id\",\"hook_event_name\":\"SessionEnd\",\"reason\":\"other\",\"cwd\":\"$PWD\"}"
echo "run $FDR_RUN: $*"
echo oops >&2
exit 5
"#;

fn stand_in(dir: &Path) -> PathBuf {
    let path = dir.join("claude");
    std::fs::write(&path, CLAUDE).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run(program: &Program, dir: &Path, arguments: &[&str]) -> Output {
    crate::program::hook();
    let mut command = Command::new(fdr());
    command.arg("run").arg("--home").arg(program.home()).args(arguments);
    command.current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_run_is_recorded_and_summed_up() {
    let program = Program::new();
    let dir = tempfile::tempdir().unwrap();
    let claude = stand_in(dir.path());
    let output = run(&program, dir.path(), &["--", claude.to_str().unwrap(), "-p", "two words"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stdout.starts_with("run ") && stdout.ends_with(": -p two words\n"), "{stdout}");
    let (said, summary) = stderr.split_once("\n\n").unwrap();
    assert_eq!(said, "oops");
    let expected = "fdr: session 11111111 · claude-code · success\n  \
                    did      1 action, 1 destructive\n  \
                    changed  delete file:./build\n  \
                    records  2–5\n  \
                    more     fdr show 11111111\n";
    assert_eq!(summary, expected);
    // Nothing stays behind.
    let left = std::fs::read_dir(program.home()).unwrap().filter_map(Result::ok);
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).count(), 0);
}

#[test]
fn a_run_without_a_session_says_so_and_ends_as_the_agent_did() {
    let program = Program::new();
    let dir = tempfile::tempdir().unwrap();
    let claude = stand_in(dir.path());
    let output = run(&program, dir.path(), &["--", claude.to_str().unwrap(), "nothing"]);
    assert_eq!(output.status.code(), Some(4));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the agent began no session, nothing was recorded"), "{stderr}");
}

#[test]
fn an_unknown_agent_is_refused_with_what_is_supported() {
    let program = Program::new();
    let output = run(&program, Path::new("/"), &["--", "codex", "exec"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("'codex' is not an agent that `fdr run` knows"), "{stderr}");
    assert!(stderr.contains("supported: claude (Claude Code)"), "{stderr}");
}
