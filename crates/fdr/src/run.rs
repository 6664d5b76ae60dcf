//! `fdr run -- AGENT…`: runs an agent with capture on for that run alone, and says what it did.
//!
//! No file of the agent is changed: Claude Code takes additional settings on its command line.
//! The agent keeps this process's streams, its terminal and its signals; what is said at the end
//! goes to standard error. Which sessions belong to the run is told by the agent itself: one more
//! hook keeps what it is given at the start of each session in a file that goes with the run.

use crate::agents::claude_code::HOOKS;
use crate::agents::{HOOK_PROGRAM, Hook, shell_quote};
use crate::child;
use crate::home::Home;
use crate::line::{self, Places};
use crate::text;
use crate::trail::{Concern, Effective, SessionView, Trail};
use anyhow::{Context, bail};
use fdr_hook::Failure;
use fdr_hook::client::{Client, create_home};
use fdr_record::{Body, Status, Verb};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// `fdr run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Don't say at the end what was recorded
    #[arg(long)]
    pub quiet: bool,
    /// The agent's command line
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// How long the recorder may take to start.
const START_LIMIT: Duration = Duration::from_secs(8);
/// Names the run to whatever the agent starts.
const RUN_VARIABLE: &str = "FDR_RUN";
/// What is listed of a session's changes.
const MAX_CHANGES: usize = 8;

/// Runs the agent. Returns its exit status.
///
/// # Errors
/// When the agent is not one that can be recorded in this way, or its own settings can't be read.
pub fn run(args: &RunArgs, home: &Path) -> anyhow::Result<u8> {
    let Some(agent) = args.command.iter().position(is_claude).filter(|at| may_stand_at(&args.command, *at))
    else {
        bail!(
            "'{}' is not an agent that `fdr run` knows\n  supported: claude (Claude Code), as in `fdr run -- claude -p \"…\"`\n  \
             an MCP server of any agent can be recorded with `fdr mcp-proxy`",
            args.command.first().map(|word| word.to_string_lossy()).unwrap_or_default()
        );
    };
    let hook =
        std::env::current_exe().context("can't tell where this program is")?.with_file_name(HOOK_PROGRAM);
    if !hook.exists() {
        bail!(
            "fdr-hook is not beside this program, in {}\n  build both: cargo build --workspace",
            hook.display()
        );
    }
    start_recorder(home)?;
    let run = Run::new(home)?;
    let (before, after) = args.command.split_at(agent + 1);
    let mut rest = after.to_vec();
    let settings = with_hooks(take_settings(&mut rest)?, &run.hooks(&hook, home)?)?;

    let (sender, signals) = mpsc::channel();
    let on_signal = sender.clone();
    child::watch_signals(move |signal| {
        let _ = on_signal.send(Some(signal));
    })
    .context("can't handle signals")?;
    let mut command = Command::new(&before[0]);
    command
        .args(&before[1..])
        .arg("--settings")
        .arg(settings.to_string())
        .args(rest)
        .env(RUN_VARIABLE, &run.id);
    let mut agent = match child::spawn(&mut command) {
        Ok(agent) => agent,
        Err(code) => return Ok(code),
    };
    let pid = child::pid(&agent).context("the agent has no process id")?;
    std::thread::spawn(move || {
        child::wait_unreaped(pid);
        let _ = sender.send(None);
    });
    while let Ok(Some(signal)) = signals.recv() {
        child::forward(pid, signal);
    }
    let code = child::exit_code(agent.wait().context("can't wait for the agent")?);
    if !args.quiet {
        // The agent's exit status is the answer, whatever can be told of it.
        match run.summary(home) {
            Ok(text) => eprint!("{text}"),
            Err(error) => crate::text::say!("fdr: can't say what was recorded: {error:#}"),
        }
    }
    Ok(code)
}

/// A word of a command line that is Claude Code.
fn is_claude(word: &OsString) -> bool {
    let path = Path::new(word);
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    matches!(name, "claude" | "claude.exe") || word.to_string_lossy().contains("@anthropic-ai/claude-code")
}

/// The first word, or one that a launcher is told to run.
fn may_stand_at(command: &[OsString], at: usize) -> bool {
    const LAUNCHERS: [&str; 9] = ["node", "npx", "bun", "bunx", "env", "nice", "timeout", "setsid", "stdbuf"];
    let first = Path::new(&command[0]).file_name().and_then(OsStr::to_str).unwrap_or_default();
    at == 0 || LAUNCHERS.contains(&first)
}

fn start_recorder(home: &Path) -> anyhow::Result<()> {
    let Err(error) = Client::connect_or_start(home, Instant::now() + START_LIMIT) else { return Ok(()) };
    if Failure::of(home) == Failure::Closed {
        bail!(
            "{error}\n  the recorder's folder is set to enforce, so that the agent could do nothing; see `fdr status`"
        );
    }
    crate::text::say!(
        "fdr: {error}\nfdr: what the agent does is spooled in {} until a recorder runs",
        home.display()
    );
    Ok(())
}

/// Takes `--settings` out of the agent's own arguments; what it says is kept.
fn take_settings(arguments: &mut Vec<OsString>) -> anyhow::Result<Map<String, Value>> {
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let mut settings = Map::new();
    let Some(at) = arguments[..end].iter().position(|word| {
        word == "--settings" || word.to_str().is_some_and(|word| word.starts_with("--settings="))
    }) else {
        return Ok(settings);
    };
    let word = arguments.remove(at);
    let value = match word.to_str().and_then(|word| word.strip_prefix("--settings=")) {
        Some(value) => OsString::from(value),
        None if at < arguments.len() => arguments.remove(at),
        None => bail!("--settings of the agent needs a value"),
    };
    let text = match value.to_str().filter(|text| text.trim_start().starts_with('{')) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(&value)
            .with_context(|| format!("can't read the agent's settings {}", value.to_string_lossy()))?,
    };
    if let Value::Object(given) = serde_json::from_str(&text).context("the agent's --settings is not JSON")? {
        settings = given;
    }
    Ok(settings)
}

/// The settings with our hooks after those that are there.
fn with_hooks(mut settings: Map<String, Value>, ours: &Map<String, Value>) -> anyhow::Result<Value> {
    let hooks = settings.entry("hooks").or_insert_with(|| json!({}));
    let hooks = hooks.as_object_mut().context("'hooks' in the agent's --settings is not an object")?;
    for (event, entries) in ours {
        let there = hooks.entry(event).or_insert_with(|| json!([]));
        let there =
            there.as_array_mut().with_context(|| format!("'hooks.{event}' in --settings is not a list"))?;
        there.extend(entries.as_array().cloned().unwrap_or_default());
    }
    Ok(Value::Object(settings))
}

/// One run, with the file in which the agent names its sessions.
struct Run {
    id: String,
    file: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Run {
    fn new(home: &Path) -> anyhow::Result<Run> {
        let source = fdr_hook::spool::new_source().context("the kernel gives no randomness")?;
        let id: String = source[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        create_home(home).with_context(|| format!("can't make {}", home.display()))?;
        let file = home.join(format!("run-{id}"));
        let mut options = std::fs::File::options();
        options.write(true).create_new(true).mode(0o600);
        options.open(&file).with_context(|| format!("can't write in {}", home.display()))?;
        Ok(Run { id, file })
    }

    /// The same command lines as `fdr install` writes: Claude Code runs equal ones once.
    fn hooks(&self, program: &Path, home: &Path) -> anyhow::Result<Map<String, Value>> {
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
        };
        let explicit_home = !Home::find(Some(home))?.is_default();
        let home = if explicit_home { Some(text(home)?) } else { None };
        let hook = Hook { program: text(program)?, home };
        let file = shell_quote(&text(&self.file)?);
        let entry = |event: &str, command: String| json!({ "type": "command", "command": command, "timeout": (HOOKS.timeout)(event) });
        let mut hooks = Map::new();
        for event in HOOKS.events {
            let mut entries = vec![entry(event, HOOKS.command_of(&hook, event))];
            if *event == "SessionStart" {
                entries.push(entry(event, format!("{{ cat; echo; }} >> {file}")));
            }
            hooks.insert((*event).to_owned(), json!([{ "hooks": entries }]));
        }
        Ok(hooks)
    }

    /// The sessions of this run, in order.
    fn sessions(&self) -> Vec<String> {
        let text = std::fs::read(&self.file).unwrap_or_default();
        let mut sessions = Vec::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let started: Value = serde_json::from_str(line).unwrap_or_default();
            if let Some(id) = started["session_id"].as_str()
                && !sessions.iter().any(|known| known == id)
            {
                sessions.push(id.to_owned());
            }
        }
        sessions
    }

    fn summary(&self, home: &Path) -> anyhow::Result<String> {
        let sessions = self.sessions();
        if sessions.is_empty() {
            return Ok("\nfdr: the agent began no session, nothing was recorded\n".to_owned());
        }
        let trail = Trail::open(home)?;
        let mut text = String::new();
        for id in &sessions {
            let view = trail.session(id)?;
            text.push_str(&summary(&view));
        }
        let waiting = fdr_hook::spool::waiting(home).map_or(0, |waiting| waiting.len());
        if waiting > 0 {
            text.push_str(&format!("fdr: {} wait in the spool\n", text::counted(waiting as u64, "event")));
        }
        Ok(text)
    }
}

/// One session on one screen.
fn summary(view: &SessionView) -> String {
    let records = view.rows.iter().filter_map(|row| row.record());
    let first = records.clone().next();
    let places = first.map(Places::of).unwrap_or_default();
    let agent = records.clone().find_map(|record| record.agent.as_ref()).map(line::agent_name);
    let status = view.status(0).unwrap_or(Status::Unknown);

    let (mut actions, mut denied, mut destructive, mut failed, mut open) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut changes: Vec<String> = Vec::new();
    let mut more = 0_u64;
    // What an MCP proxy recorded of the same calls is a second look at them, not more of them.
    let runtime = |agent: &str| {
        let mut agents = view.rows.iter().filter_map(|row| row.record()?.agent.as_ref());
        agents.find(|known| known.id == agent).map(|known| known.runtime.as_str()).unwrap_or_default()
    };
    let (proxied, own): (Vec<usize>, Vec<usize>) =
        (0..view.agents.len()).partition(|agent| runtime(&view.agents[*agent].id).starts_with("mcp:"));
    for step in own.iter().flat_map(|agent| view.steps(*agent)) {
        let Some(Body::Action(body)) = view.rows[step.action].body() else { continue };
        let effective = step.facts.effective().0;
        actions += 1;
        denied += u64::from(effective == Effective::Deny);
        failed += u64::from(step.facts.outcome == Some(fdr_record::Outcome::Error));
        open += u64::from(matches!(effective, Effective::Pending | Effective::Ask));
        destructive += u64::from(step.facts.concerns(true).contains(&Concern::Destructive));
        if matches!(effective, Effective::Deny | Effective::Rejected) {
            continue;
        }
        for action in body.actions.iter().filter(|action| is_change(action.action)) {
            let to = action.to.as_ref().map(|to| format!(" to {}", places.resource(to))).unwrap_or_default();
            let change = format!("{} {}{to}", action.action, places.resource(&action.resource));
            if changes.contains(&change) {
                continue;
            }
            if changes.len() < MAX_CHANGES { changes.push(change) } else { more += 1 }
        }
    }
    let mut counts = vec![text::counted(actions, "action")];
    for (count, word) in
        [(failed, "failed"), (denied, "denied"), (open, "without an outcome"), (destructive, "destructive")]
    {
        if count > 0 {
            counts.push(format!("{} {word}", text::count(count)));
        }
    }
    let mut out = format!(
        "\n{}\n  did      {}\n",
        text::line(&format!(
            "fdr: session {} · {} · {}",
            line::short(&view.id),
            agent.unwrap_or_default(),
            status.as_str()
        )),
        counts.join(", ")
    );
    for (index, change) in changes.iter().enumerate() {
        out.push_str(&format!(
            "  {}  {}\n",
            if index == 0 { "changed" } else { "       " },
            text::cut(change, 100)
        ));
    }
    if more > 0 {
        out.push_str(&format!("           and {} more\n", text::count(more)));
    }
    for agent in proxied {
        let calls = text::counted(view.steps(agent).count() as u64, "call");
        let server = text::line(runtime(&view.agents[agent].id));
        out.push_str(&format!("  proxied  {server}: {calls}\n"));
    }
    let indexes = || view.rows.iter().map(|row| row.index);
    if let (Some(first), Some(last)) = (indexes().min(), indexes().max()) {
        out.push_str(&format!("  records  {first}–{last}\n"));
    }
    out.push_str(&format!("  more     fdr show {}\n", line::short(&view.id)));
    out
}

/// Verbs that leave something changed behind.
fn is_change(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Write
            | Verb::Create
            | Verb::Delete
            | Verb::Move
            | Verb::Send
            | Verb::Memory
            | Verb::Configure
            | Verb::Approve
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn claude_is_recognised_by_its_name_wherever_a_launcher_runs_it() {
        for (command, at) in [
            ("claude -p x", Some(0)),
            ("/opt/bin/claude", Some(0)),
            ("node /opt/claude -p x", Some(1)),
            ("npx -y @anthropic-ai/claude-code -p x", Some(2)),
            ("env A=1 claude", Some(2)),
            ("codex exec claude", None),
            ("claudette", None),
        ] {
            let command = words(command);
            let found = command.iter().position(is_claude).filter(|at| may_stand_at(&command, *at));
            assert_eq!(found, at, "{command:?}");
        }
    }

    #[test]
    fn settings_of_the_user_are_kept_beside_our_hooks() {
        for given in [
            r#"--settings {"a":1,"hooks":{"Stop":[{"b":2}]}} -p x"#,
            r#"-p --settings={"a":1,"hooks":{"Stop":[{"b":2}]}} x"#,
        ] {
            let mut arguments = words(given);
            let settings = take_settings(&mut arguments).unwrap();
            assert_eq!(arguments, words("-p x"));
            let ours = json!({ "Stop": [{ "c": 3 }], "Setup": [{}] });
            let merged = with_hooks(settings, ours.as_object().unwrap()).unwrap();
            assert_eq!(
                merged,
                json!({ "a": 1, "hooks": { "Stop": [{ "b": 2 }, { "c": 3 }], "Setup": [{}] } })
            );
        }
        let mut arguments = words("-p -- --settings x");
        assert!(take_settings(&mut arguments).unwrap().is_empty());
        assert_eq!(arguments.len(), 4);
        assert!(take_settings(&mut words("--settings")).is_err());
        assert!(take_settings(&mut words("--settings {broken")).is_err());
        assert!(take_settings(&mut words("--settings /no/such/file")).is_err());
        assert!(with_hooks(json!({ "hooks": 3 }).as_object().unwrap().clone(), &Map::new()).is_err());
    }
}
