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
    let output = run(&program, Path::new("/"), &["--", "emacs", "codex"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("'emacs' is not an agent that `fdr run` knows"), "{stderr}");
    assert!(stderr.contains("supported: claude, codex, gemini, "), "{stderr}");
    let output = run(&program, Path::new("/"), &["--", "cursor-agent", "-p", "x"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("Cursor takes hooks from its files only"), "{stderr}");
    assert!(stderr.contains("fdr install cursor"), "{stderr}");
}

/// A stand-in for Codex: has trust in the hooks that it is given, and calls that of one event.
const CODEX: &str = r#"#!/bin/sh
trusted=$(printf '%s\n' "$@" | grep -c '^hooks.state={"/<session-flags>/config.toml:pre_tool_use:0:0"={trusted_hash="sha256:')
hook=$(printf '%s\n' "$@" | sed -n 's/^hooks.SessionStart=.*command="\([^"]*\)".*/\1/p')
printf '%s' "{\"session_id\":\"33333333-2222-4333-8444-555555555555\",\"hook_event_name\":\"SessionStart\",\"source\":\"startup\",\"cwd\":\"$PWD\",\"model\":\"m\"}" | sh -c "$hook"
while [ "$1" = -c ]; do shift 2; done
echo "$trusted $*"
"#;

/// A stand-in for Gemini CLI: calls the hook that its extension has for one event, keeps a chat, and
/// changes its settings.
const GEMINI: &str = r#"#!/bin/sh
dir=$GEMINI_CLI_HOME/.gemini
hook=$(sed -n 's/.*"SessionStart".*"command": "\([^"]*\)".*/\1/p' "$dir/extensions/fdr/hooks/hooks.json")
mkdir -p "$dir/tmp/chats" && echo chat > "$dir/tmp/chats/one"
echo made > "$dir/made"
echo '{"mine": 2}' > "$dir/settings.new" && mv "$dir/settings.new" "$dir/other.json"
printf '%s' "{\"session_id\":\"44444444-2222-4333-8444-555555555555\",\"hook_event_name\":\"SessionStart\",\"source\":\"startup\",\"cwd\":\"$PWD\",\"transcript_path\":\"$dir/tmp/chats/one\"}" | sh -c "$hook"
ls "$dir" | tr '\n' ' '
"#;

/// A stand-in for OpenCode: says which plug-ins its settings name, and what the last begins with.
const OPENCODE: &str = r#"#!/bin/sh
echo "$OPENCODE_CONFIG_CONTENT"
plugin=$(printf '%s' "$OPENCODE_CONFIG_CONTENT" | sed 's/.*"file:\/\/\([^"]*\)".*/\1/')
head -1 "$plugin"
"#;

/// A person's home folder with an agent in it.
struct Person {
    dir: tempfile::TempDir,
    program: Program,
}

impl Person {
    fn new(agent: &str, script: &str, files: &[(&str, &str)]) -> Person {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(agent);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        for (path, text) in files {
            let path = dir.path().join("home").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Person { dir, program: Program::new() }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
        crate::program::hook();
        let mut command = Command::new(fdr());
        command
            .arg("run")
            .arg("--root")
            .arg(self.dir.path())
            .arg("--home")
            .arg(self.program.home())
            .arg("--");
        command.arg(self.dir.path().join(arguments[0])).args(&arguments[1..]);
        command.env("HOME", self.home()).envs(variables.iter().copied()).current_dir(self.dir.path());
        for name in ["CODEX_HOME", "GEMINI_CLI_HOME", "XDG_CONFIG_HOME", "OPENCODE_CONFIG_CONTENT"] {
            if !variables.iter().any(|(known, _)| *known == name) {
                command.env_remove(name);
            }
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{output:?}");
        (text(output.stdout), text(output.stderr))
    }

    fn file(&self, path: &str) -> String {
        std::fs::read_to_string(self.home().join(path)).unwrap()
    }
}

#[test]
fn codex_is_given_hooks_and_trust_on_its_command_line() {
    let person = Person::new("codex", CODEX, &[(".codex/config.toml", "model = \"x\"\n")]);
    let (stdout, stderr) = person.run(&["codex", "exec", "two words"], &[]);
    assert_eq!(stdout, "1 exec two words\n", "{stderr}");
    assert!(stderr.contains("fdr: session 33333333 · codex · "), "{stderr}");
    assert_eq!(person.file(".codex/config.toml"), "model = \"x\"\n");
    assert_eq!(std::fs::read_dir(person.home().join(".codex")).unwrap().count(), 1);

    // What is installed already is not told twice.
    let mut install = Command::new(fdr());
    install.args(["install", "codex", "--home"]).arg(person.program.home()).env("HOME", person.home());
    assert!(install.env_remove("CODEX_HOME").output().unwrap().status.success());
    let (stdout, _) = person.run(&["codex", "exec", "again"], &[]);
    assert_eq!(stdout, "0 exec again\n");

    // An administrator's lock is not gone round.
    std::fs::remove_dir_all(person.home().join(".codex")).unwrap();
    std::fs::create_dir_all(person.dir.path().join("etc/codex")).unwrap();
    std::fs::write(
        person.dir.path().join("etc/codex/requirements.toml"),
        "allow_managed_hooks_only = true\n",
    )
    .unwrap();
    let mut command = Command::new(fdr());
    command.arg("run").arg("--root").arg(person.dir.path()).arg("--home").arg(person.program.home());
    let output =
        command.arg("--").arg(person.dir.path().join("codex")).env("HOME", person.home()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("an administrator lets only managed hooks run"), "{stderr}");
}

#[test]
fn gemini_is_given_a_folder_that_shows_its_users_own() {
    let settings = "{ /* mine */ \"ui\": {} }\n";
    let person =
        Person::new("gemini", GEMINI, &[(".gemini/settings.json", settings), (".gemini/other.json", "{}")]);
    let (stdout, stderr) = person.run(&["gemini"], &[]);
    assert_eq!(stdout, "extensions history made other.json settings.json tmp ", "{stderr}");
    assert!(stderr.contains("fdr: session 44444444 · gemini-cli · "), "{stderr}");
    // Nothing of the user's is changed, and what the agent made is the user's.
    assert_eq!(person.file(".gemini/settings.json"), settings);
    assert_eq!(person.file(".gemini/made"), "made\n");
    assert_eq!(person.file(".gemini/other.json"), "{\"mine\": 2}\n");
    assert_eq!(person.file(".gemini/tmp/chats/one"), "chat\n");
    let mut names: Vec<_> = std::fs::read_dir(person.home().join(".gemini"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["made", "other.json", "settings.json", "tmp"]);
    // The trail names the transcript by a path that still leads to it.
    let records = person.program.records();
    let transcript = records.iter().find_map(|record| match &record.body {
        fdr_record::Body::SessionStart(start) => start.transcript.clone(),
        _ => None,
    });
    assert_eq!(std::fs::read_to_string(transcript.unwrap()).unwrap(), "chat\n");
}

#[test]
fn opencode_is_given_a_plug_in_beside_those_of_its_settings() {
    let person = Person::new("opencode", OPENCODE, &[]);
    let given = r#"{"model":"m","plugin":["mine"]}"#;
    let (stdout, stderr) = person.run(&["opencode", "run"], &[("OPENCODE_CONFIG_CONTENT", given)]);
    let (settings, first) = stdout.split_once('\n').unwrap();
    let settings: serde_json::Value = serde_json::from_str(settings).unwrap();
    assert_eq!((&settings["model"], &settings["plugin"][0]), (&"m".into(), &"mine".into()), "{stderr}");
    assert!(settings["plugin"][1].as_str().unwrap().starts_with("file://"), "{settings}");
    assert!(first.starts_with("//"), "{first}");
    assert!(stderr.contains("the agent began no session, nothing was recorded"), "{stderr}");
    assert!(!person.home().exists(), "nothing is written to the user's folder");
    let left = std::fs::read_dir(person.program.home()).unwrap().filter_map(Result::ok);
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).count(), 0);
}
