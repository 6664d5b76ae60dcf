//! The two real programs on a folder of their own, for tests.

use fdr_record::Record;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A recorder's folder; the recorder in it is stopped when the test ends.
pub struct Program {
    dir: tempfile::TempDir,
}

/// Variables by which programs know that an agent started them.
pub const AGENT_MARKS: [&str; 5] =
    ["CLAUDECODE", "CODEX_THREAD_ID", "GEMINI_CLI", "HERMES_SESSION_ID", "OPENCODE"];

/// The `fdr` that was built with this test.
pub fn fdr() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fdr"))
}

/// The `fdr-hook` beside it.
pub fn hook() -> PathBuf {
    let hook = fdr().with_file_name("fdr-hook");
    assert!(hook.exists(), "{} is missing: cargo build --workspace", hook.display());
    hook
}

impl Program {
    /// An empty folder.
    pub fn new() -> Program {
        Program { dir: tempfile::Builder::new().prefix("fdr").tempdir().unwrap() }
    }

    /// An empty folder with a configuration.
    pub fn with_config(config: &str) -> Program {
        let program = Program::new();
        std::fs::create_dir_all(program.home()).unwrap();
        std::fs::write(program.home().join("config.toml"), config).unwrap();
        program
    }

    /// The recorder's folder.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("h")
    }

    /// Runs `fdr`.
    pub fn fdr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(fdr());
        // These tests may themselves be run by an agent, which may not do what they do.
        for mark in AGENT_MARKS {
            command.env_remove(mark);
        }
        command.arg("--home").arg(self.home()).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `fdr`, which must succeed, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.fdr(arguments);
        assert!(output.status.success(), "fdr {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `fdr-hook` for an event of Claude Code.
    pub fn hook(&self, event: &str, payload: &[u8]) -> Output {
        run_hook(&hook(), &self.home(), event, payload)
    }

    /// Records a harmless call of session `s`.
    pub fn call(&self, call: &str) {
        assert!(self.hook("PreToolUse", &bash("s", call, "ls")).status.success());
    }

    /// What `fdr status --json` says; null where no recorder runs.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.fdr(&["status", "--json"]).stdout).unwrap_or_default()
    }

    /// The log, record by record, as a person sees it.
    pub fn records(&self) -> Vec<Record> {
        self.ok(&["cat", "--open"]).lines().map(|line| Record::parse(line.as_bytes()).unwrap()).collect()
    }

    /// Writes the log anew with its own key, as somebody who has taken the machine can: `change` gives what becomes of
    /// each record, and gets the new log's size and root before it. No recorder may run.
    pub fn rewrite_log(&self, mut change: impl FnMut(Vec<u8>, u64, [u8; 32]) -> Option<Vec<u8>>) {
        let home = self.home();
        let old = home.join("old-log");
        std::fs::rename(home.join("log"), &old).unwrap();
        let reader = fdr_log::Reader::open(&old).unwrap();
        let key = fdr_log::SigningKey::load_or_create(&home.join("keys/log.key")).unwrap();
        let options = fdr_log::Options::new(reader.origin(), key);
        let (log, _) = fdr_log::Log::open(&home.join("log"), options).unwrap();
        for entry in reader.records(0) {
            let entry = entry.unwrap();
            let record: serde_json::Value = serde_json::from_slice(&entry.bytes).unwrap();
            let contents = record["content"].as_array().into_iter().flatten();
            let digests = contents.map(|content| {
                content
                    .get("sealed")
                    .unwrap_or(&content["digest"])
                    .as_str()
                    .unwrap()
                    .split_once(':')
                    .unwrap()
                    .1
            });
            let digests = digests.map(|digest| fdr_record::unhex(digest).unwrap().try_into().unwrap());
            let contents =
                digests.map(|digest| reader.content(entry.index, &digest).unwrap().unwrap()).collect();
            let Some(line) = change(entry.bytes, log.size(), log.root()) else { continue };
            let (source, seq) = ([7; 16], entry.index);
            log.append(fdr_log::Batch { source, seq, records: vec![line], contents }).unwrap();
        }
        log.close().unwrap();
    }

    /// A content of a record, opened.
    pub fn content(&self, record: &Record, role: &str) -> Vec<u8> {
        let at = self.records().iter().position(|other| other.id == record.id).unwrap().to_string();
        let lines = self.ok(&["cat", "--from", &at, "--to", &at, "--with-content"]);
        let contents =
            lines.lines().skip(1).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let found =
            contents.into_iter().find(|content| content["role"] == role).expect("there is such a content");
        match found["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                use base64::Engine as _;
                let text = found["base64"].as_str().unwrap_or_else(|| panic!("{found}"));
                base64::engine::general_purpose::STANDARD.decode(text).unwrap()
            }
        }
    }

    /// Process id of the running recorder.
    pub fn recorder_pid(&self) -> Option<u32> {
        self.status()["pid"].as_u64().map(|pid| pid as u32)
    }

    /// Kills the recorder without warning and waits until it is gone.
    pub fn kill_recorder(&self) {
        let pid = self.recorder_pid().expect("a recorder runs");
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        self.wait_until_gone();
    }

    /// Waits until no recorder holds the log.
    pub fn wait_until_gone(&self) {
        while fdr_log::lock_holder(&self.home().join("log")).is_some() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.fdr(&["stop"]);
    }
}

/// Runs a hook program for an event of Claude Code.
pub fn run_hook(hook: &Path, home: &Path, event: &str, payload: &[u8]) -> Output {
    let mut child = Command::new(hook)
        .args(["claude-code", event, "--home"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(payload);
    child.wait_with_output().unwrap()
}

/// The payload of a PreToolUse for a shell command.
pub fn bash(session: &str, call: &str, command: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "session_id": session,
        "cwd": "/home/dev/proj",
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": { "command": command },
        "tool_use_id": call,
    }))
    .unwrap()
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(()));
}

/// Waits until there is something.
pub fn until_some<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
