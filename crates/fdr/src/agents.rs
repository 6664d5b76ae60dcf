//! The agent runtimes whose capture can be set up, one file each, and what they have in common.
//!
//! An [`Agent`] says where its settings are and edits them as text: pure, text in, text out. The
//! files are a person's; what they hold stays byte for byte. Reading, writing, backing up and
//! undoing is the engine's business (`install.rs`), checking what is in place `doctor.rs`'s.
//!
//! A runtime that runs its hooks through a shell gets the command line of [`Hook::command`], one
//! that splits it into words by itself [`Hook::wrapped`]; a plug-in is a file of its own among
//! [`Agent::files`].

pub mod claude_code;
pub mod codex;
pub mod cursor;
pub mod gemini_cli;
pub mod hermes;
pub mod json_hooks;
pub mod json_text;
pub mod openclaw;
pub mod opencode;
pub mod toml_lines;
pub mod yaml_text;

use std::fmt;
use std::path::{Path, PathBuf};

/// Every runtime that can be set up, in the order in which they are listed.
pub static AGENTS: [&dyn Agent; 7] = [
    &claude_code::ClaudeCode,
    &codex::Codex,
    &gemini_cli::GeminiCli,
    &hermes::Hermes,
    &opencode::OpenCode,
    &openclaw::OpenClaw,
    &cursor::Cursor,
];

/// The runtime of a name.
pub fn agent(runtime: &str) -> Option<&'static dyn Agent> {
    AGENTS.into_iter().find(|agent| agent.runtime() == runtime)
}

/// How hooks come into a runtime and out of it again.
pub trait Agent: Sync {
    /// Its name, as typed, in hooks and in records.
    fn runtime(&self) -> &'static str;

    /// Its name as people write it.
    fn title(&self) -> &'static str;

    /// Names of its program, as found on PATH. The first is the usual one.
    fn programs(&self) -> &'static [&'static str];

    /// Every event that is hooked.
    fn events(&self) -> &'static [&'static str];

    /// The files that installing writes, in the order in which they are written; `None` where the
    /// runtime has no such scope.
    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>>;

    /// The user's folder of settings, by which one sees that the runtime is on this machine.
    fn folder(&self, place: &Place<'_>) -> PathBuf {
        let first = self.files(Scope::User, place).unwrap_or_default().into_iter().next();
        first.and_then(|file| Some(file.parent()?.to_owned())).unwrap_or_default()
    }

    /// The file's text with our hooks; `text` is `None` if there is no file. Idempotent: what is
    /// there already is left, what is out of date is corrected where it stands.
    ///
    /// # Errors
    /// When the text can't be understood; nothing may be guessed then.
    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError>;

    /// The same where it matters what the runtime's files before this one hold: `beside` has their
    /// texts as they will be.
    ///
    /// # Errors
    /// Those of [`Agent::add`].
    fn add_beside(
        &self,
        file: &Path,
        text: Option<&str>,
        hook: &Hook,
        beside: &[(&Path, &str)],
    ) -> Result<String, SettingsError> {
        let _ = beside;
        self.add(file, text, hook)
    }

    /// The text without what is ours and the containers that it leaves empty; `None` if nothing is
    /// left, so that the file can go. A text without anything of ours comes back as it is.
    ///
    /// # Errors
    /// When the text can't be understood.
    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError>;

    /// The same where it matters what else the runtime's files hold: `beside` has the texts, as
    /// they are, of those before this one.
    ///
    /// # Errors
    /// Those of [`Agent::remove`].
    fn remove_beside(
        &self,
        file: &Path,
        text: &str,
        beside: &[(&Path, &str)],
    ) -> Result<Option<String>, SettingsError> {
        let _ = beside;
        self.remove(file, text)
    }

    /// What a file says of hooks.
    ///
    /// # Errors
    /// When the text can't be understood.
    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError>;

    /// The text of a managed file with what makes the runtime run managed hooks only;
    /// [`Agent::remove`] takes that out too. `None` where the vendor has no such setting.
    fn lock(&self, file: &Path, text: &str) -> Option<Result<String, SettingsError>> {
        let _ = (file, text);
        None
    }

    /// Further files of a scope that the runtime reads when it is started here, which may hold
    /// hooks of ours or switch hooks off.
    fn also_read(&self, scope: Scope, place: &Place<'_>) -> Vec<PathBuf> {
        let _ = (scope, place);
        Vec::new()
    }

    /// Whether the same hook in several files is called once for each event.
    fn calls_equal_hooks_once(&self) -> bool {
        true
    }

    /// What else keeps hooks from running, or could: trust above all. Reads files.
    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let _ = place;
        Vec::new()
    }
}

/// Where settings live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All projects of a user.
    User,
    /// A project, for all who work on it.
    Project,
    /// A project, for one user.
    Local,
    /// All users of the machine; an administrator's.
    Managed,
}

impl Scope {
    /// Every scope, the user's first.
    pub const ALL: [Scope; 4] = [Scope::User, Scope::Project, Scope::Local, Scope::Managed];

    /// The option that chooses it, as typed.
    pub fn option(self) -> &'static str {
        match self {
            Scope::User => "",
            Scope::Project => " --project",
            Scope::Local => " --local",
            Scope::Managed => " --managed",
        }
    }
}

/// What decides where a runtime's files are.
pub struct Place<'a> {
    /// The user's home folder.
    pub home: PathBuf,
    /// The project's folder.
    pub project: PathBuf,
    /// What administrators' paths are below of: `/`, but in tests.
    pub root: PathBuf,
    /// A variable of the environment; an empty one counts as unset.
    pub env: &'a dyn Fn(&str) -> Option<PathBuf>,
}

impl Place<'_> {
    /// The folder that a variable names, else one in the user's home folder.
    pub fn dir(&self, variable: &str, in_home: &str) -> PathBuf {
        (self.env)(variable).unwrap_or_else(|| self.home.join(in_home))
    }

    /// An administrator's path, given from the root.
    pub fn managed(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// Why a settings file can't be edited.
#[derive(Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// Not in the format that the runtime reads.
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// In that format, but not as the runtime's settings are.
    Shape {
        /// From 1.
        line: usize,
        /// What should be what.
        what: String,
    },
}

impl SettingsError {
    /// The line to look at, from 1.
    pub fn line(&self) -> usize {
        match self {
            SettingsError::Syntax { line, .. } | SettingsError::Shape { line, .. } => *line,
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Syntax { line, column, what } => write!(f, "line {line}, column {column}: {what}"),
            SettingsError::Shape { line, what } => write!(f, "line {line}: {what}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// What a settings file says of hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ours.
    pub hooks: Vec<Found>,
    /// Settings that switch hooks off, a clause each: `disableAllHooks is set: no hook runs`.
    pub off: Vec<String>,
    /// Whether it lets managed hooks alone run; heeded in managed files only.
    pub managed_only: bool,
}

/// A hook of ours in a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Name of the event it stands under.
    pub event: String,
    /// What it calls.
    pub hook: Hook,
    /// Whether it records every such event and fails as configured: no matcher narrows it, its
    /// command names the event that it stands under, and the guard is there where one belongs.
    pub complete: bool,
}

/// Something to know of a runtime's hooks on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is as it should be.
    Ok(String),
    /// Nothing to do about it.
    Info(String),
    /// A problem, and where to look or what to type.
    Look(String, String),
    /// A problem, and the command that puts it right.
    Fix(String, String),
}

/// How many of `events` are recorded whole.
pub fn coverage(events: &[&str], hooks: &[Found]) -> usize {
    events.iter().filter(|event| hooks.iter().any(|found| found.complete && found.event == **event)).count()
}

/// File name of the program that a hook calls.
pub const HOOK_PROGRAM: &str = "fdr-hook";

/// How the guard begins, behind the call of `fdr-hook`.
const GUARD: &str = "|| case $? in 1) exit 1;; 2) exit 2;; *) grep -qs closed ";

/// How a command line ends that must refuse nothing.
const HARMLESS: &str = "|| exit 1";

/// The program that the hooks call, and the recorder that it shall find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute path of `fdr-hook`.
    pub program: String,
    /// The recorder's folder, if it is not the default one.
    pub home: Option<String>,
}

/// A command line that calls `fdr-hook`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The program and the recorder's folder.
    pub hook: Hook,
    /// Name of the runtime.
    pub runtime: String,
    /// Name of the event.
    pub event: String,
}

impl Hook {
    /// The command line for an event, for a POSIX shell; that of a gate, by which the runtime asks
    /// whether a tool may run, is [guarded](Self::guarded).
    pub fn command(&self, runtime: &str, event: &str, gate: bool) -> String {
        if gate {
            let denial = "echo 'fdr (enforce): denied, because fdr-hook gave no answer' >&2; exit 2";
            return self.guarded(runtime, event, denial);
        }
        let mut command = format!("{} {runtime} {event}", shell_quote(&self.program));
        if let Some(home) = &self.home {
            command.push_str(" --home ");
            command.push_str(&shell_quote(home));
        }
        command
    }

    /// The command line of a gate, which denies by `denial` where `fdr-hook` does not answer and a
    /// recorder's folder says that hooks fail closed.
    ///
    /// `fdr-hook` answers for its own failures, with a status up to 2. Any other says that it could
    /// not run or was killed. What a runtime makes of that is not what is wanted: most run the
    /// tool, Gemini CLI refuses it if the shell had something to say. Where nothing is to be denied
    /// the status is 1, which denies nowhere.
    pub fn guarded(&self, runtime: &str, event: &str, denial: &str) -> String {
        let failure = fdr_hook::FAILURE_FILE;
        let files = match &self.home {
            Some(home) => format!("{}/{failure}", shell_quote(home)),
            // Wherever `fdr_hook::default_home` may look. Without a `$`: Gemini CLI takes such a name
            // for a variable of its own, and for another command line then.
            None => format!(
                "~/.local/state/fdr/{failure} \"`printenv FDR_HOME`/{failure}\" \"`printenv XDG_STATE_HOME`/fdr/{failure}\""
            ),
        };
        format!("{} {GUARD}{files} || exit 1; {denial};; esac", self.command(runtime, event, false))
    }

    /// The command line of an event that is no gate, for a runtime that takes a failure of any hook
    /// for a refusal of what the event is about: it fails in the way that refuses nothing.
    pub fn harmless(&self, runtime: &str, event: &str) -> String {
        format!("{} {HARMLESS}", self.command(runtime, event, false))
    }

    /// The same for a runtime that splits a command line into words and uses no shell, or a shell
    /// of the user's choice, which need not be a POSIX one.
    pub fn wrapped(&self, runtime: &str, event: &str, gate: bool) -> String {
        let command = self.command(runtime, event, gate);
        if gate { format!("/bin/sh -c {}", shell_quote(&command)) } else { command }
    }

    /// What a command line calls, if it calls `fdr-hook` and nothing else: with the guard or
    /// without, wrapped or not.
    pub fn parse(command: &str) -> Option<Call> {
        let (words, rest) = shell_words(command)?;
        if !rest.is_empty() && !rest.starts_with(GUARD) && rest != HARMLESS {
            return None;
        }
        if let [shell, option, command] = &words[..]
            && shell.rsplit('/').next() == Some("sh")
            && option == "-c"
        {
            return if rest.is_empty() { Hook::parse(command) } else { None };
        }
        let mut words = words.into_iter();
        let program = words.next()?;
        if program.rsplit('/').next() != Some(HOOK_PROGRAM) {
            return None;
        }
        let (runtime, event) = (words.next()?, words.next().unwrap_or_default());
        let home = match words.next().as_deref() {
            Some("--home") => words.next(),
            _ => None,
        };
        Some(Call { hook: Hook { program, home }, runtime, event })
    }
}

/// A word as a POSIX shell reads it back.
pub fn shell_quote(word: &str) -> String {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | ':' | '@' | '%')
    };
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of the simple command that a command line begins with, and what follows it, from its
/// operator on; `None` if a quote is left open or a word is not known before it runs.
fn shell_words(command: &str) -> Option<(Vec<String>, &str)> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()?.1 {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()?.1 {
                        '"' => break,
                        '\\' => match chars.next()?.1 {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        '$' | '`' => return None,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?.1),
            '$' | '`' => return None,
            '|' | '&' | ';' | '<' | '>' | '(' | ')' => {
                words.extend(word.take());
                return Some((words, &command[at..]));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some((words, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(program: &str, home: Option<&str>) -> Hook {
        Hook { program: program.to_owned(), home: home.map(str::to_owned) }
    }

    #[test]
    fn a_command_line_is_read_back_with_and_without_guard_and_shell() {
        for hook in [
            hook("/opt/fdr/bin/fdr-hook", None),
            hook("/home/a b/it's \"x\"/fdr-hook", Some("/tmp/ä b")),
            hook("/a || case $? in b/fdr-hook", Some("/it's || here")),
        ] {
            for gate in [false, true] {
                let call =
                    Call { hook: hook.clone(), runtime: "codex".to_owned(), event: "PreToolUse".to_owned() };
                assert_eq!(Hook::parse(&hook.command("codex", "PreToolUse", gate)).as_ref(), Some(&call));
                assert_eq!(Hook::parse(&hook.wrapped("codex", "PreToolUse", gate)).as_ref(), Some(&call));
            }
        }
    }

    #[test]
    fn only_a_call_of_the_hook_program_is_ours() {
        for command in [
            "echo fdr-hook claude-code",
            "fdr-hook claude-code Stop | tee x",
            "x && fdr-hook claude-code Stop",
            "fdr-hooks claude-code Stop",
            "fdr-hook claude-code Stop || { rm x; }",
            "$HOME/fdr-hook claude-code Stop",
            "sh -c 'echo fdr-hook claude-code Stop'",
            "",
            "'",
        ] {
            assert_eq!(Hook::parse(command), None, "{command}");
        }
        assert!(Hook::parse("fdr-hook  claude-code Stop").is_some());
    }

    /// What the command line of a gate ends as when `fdr-hook` ends as given.
    fn guarded(
        shell: &str,
        status: &str,
        fail: Option<&str>,
        default_home: bool,
    ) -> (Option<i32>, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("re corder's");
        std::fs::create_dir_all(&home).unwrap();
        if let Some(text) = fail {
            std::fs::write(home.join("hook.fail"), text).unwrap();
        }
        let program = dir.path().join("fdr-hook");
        if status != "missing" {
            std::fs::write(&program, format!("#!/bin/sh\ncat >&2\n{status}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
        }
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let hook =
            Hook { program: text(&program), home: if default_home { None } else { Some(text(&home)) } };
        let mut child = std::process::Command::new(shell)
            .args(["-c", &hook.command("codex", "PreToolUse", true)])
            .env("HOME", "/nowhere")
            .env("FDR_HOME", if default_home { &home } else { dir.path() })
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    #[test]
    fn a_gate_denies_where_hooks_fail_closed_and_fdr_hook_could_not_answer() {
        let statuses: [(&str, i32); 8] = [
            ("exit 0", 0),
            ("exit 1", 1),
            ("exit 2", 2),
            ("exit 3", 3),
            ("missing", 127),
            ("kill -9 $$", 137),
            ("kill -6 $$", 134),
            ("exit 126", 126),
        ];
        for (status, code) in statuses {
            for (shell, default_home) in [("sh", false), ("bash", false), ("sh", true), ("bash", true)] {
                for (fail, closed) in
                    [(Some("closed"), true), (Some("closed\n"), true), (Some("open"), false), (None, false)]
                {
                    let (got, stdout, stderr) = guarded(shell, status, fail, default_home);
                    let denies = closed && code > 2;
                    let wanted = if code <= 2 { code } else { 1 + i32::from(denies) };
                    assert_eq!(got, Some(wanted), "{status} {fail:?}: {stderr}");
                    assert_eq!(stdout, "");
                    let said = stderr.ends_with("fdr (enforce): denied, because fdr-hook gave no answer\n");
                    assert_eq!(said, denies, "{stderr}");
                }
            }
        }
    }
}
