//! `fdr run -- AGENT…`: runs an agent with capture on for that run alone, and says what it did.
//!
//! No file of the agent is changed. How capture comes into the run is the runtime's to offer
//! ([`Launch`]): settings on the command line (Claude Code, Codex), a plug-in in a variable
//! (OpenCode), or a folder of settings that shows the user's own with ours among it
//! (`overlay.rs`). Where the hooks are installed already, there is nothing to add.
//!
//! The agent keeps this process's streams, its terminal and its signals; what is said at the end
//! goes to standard error. Which sessions belong to the run their first records say: the agent
//! hands the run's name down to its hooks.

use crate::agents::{AGENTS, Agent, Hook, Place, Scope, claude_code, codex, coverage};
use crate::child;
use crate::home::Home;
use crate::install::{self, RootArg};
use crate::line::{self, Places};
use crate::overlay::Overlay;
use crate::text;
use crate::trail::{Concern, Effective, SessionView, Trail};
use anyhow::{Context, bail};
use fdr_hook::Failure;
use fdr_hook::client::{Client, create_home};
use fdr_record::{Body, Record, Status, Verb};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// `fdr run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The agent is claude, codex, gemini, hermes, opencode or openclaw, also behind a launcher: fdr run -- npx -y @openai/codex exec \"…\"\nNo file of its is changed. Gemini CLI, Hermes Agent and OpenClaw are given a folder of settings that links to your own; what they put into it is moved there afterwards. Of OpenClaw this is `openclaw agent --local …`: a gateway that runs already is not part of the run.\nCursor takes hooks from its files only: fdr install cursor"
)]
pub struct RunArgs {
    /// Don't say at the end what was recorded
    #[arg(long)]
    pub quiet: bool,
    #[command(flatten)]
    root: RootArg,
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
/// How long the recorder may take to write what the agent did last: a hook at its end need not be
/// waited for.
const LAST_RECORDS_LIMIT: Duration = Duration::from_millis(500);

/// Runs the agent. Returns its exit status.
///
/// # Errors
/// When the agent is not one that can be recorded in this way, or its own settings can't be read.
pub fn run(args: &RunArgs, home: &Home) -> anyhow::Result<u8> {
    let dir = home.dir();
    let found = args.command.iter().position(|word| agent_of(word).is_some());
    let Some((at, agent)) = found
        .filter(|at| may_stand_at(&args.command, *at))
        .and_then(|at| Some((at, agent_of(&args.command[at])?)))
    else {
        let known: Vec<_> = AGENTS.iter().filter_map(|agent| agent.programs().first().copied()).collect();
        bail!(
            "'{}' is not an agent that `fdr run` knows\n  supported: {}; as in `fdr run -- claude -p \"…\"`\n  \
             an MCP server of any agent can be recorded with `fdr mcp-proxy`",
            args.command.first().map(|word| word.to_string_lossy()).unwrap_or_default(),
            known.join(", ")
        );
    };
    let hook = install::hook(None, home)?;
    start_recorder(dir)?;
    let mut run = Run::new(dir)?;
    let (before, after) = args.command.split_at(at + 1);
    let place = Place { project: std::env::current_dir()?, ..args.root.place()? };
    let launch = Launch::new(agent, &place, &hook, &run, after.to_vec())?;

    let (sender, signals) = mpsc::channel();
    let on_signal = sender.clone();
    child::watch_signals(move |signal| {
        let _ = on_signal.send(Some(signal));
    })
    .context("can't handle signals")?;
    let mut command = Command::new(&before[0]);
    command.args(&before[1..]).args(&launch.arguments).envs(launch.variables).env(RUN_VARIABLE, &run.id);
    let mut child = match child::spawn(&mut command) {
        Ok(child) => child,
        Err(code) => return Ok(code),
    };
    let pid = child::pid(&child).context("the agent has no process id")?;
    std::thread::spawn(move || {
        child::wait_unreaped(pid);
        let _ = sender.send(None);
    });
    while let Ok(Some(signal)) = signals.recv() {
        child::forward(pid, signal);
    }
    let code = child::exit_code(child.wait().context("can't wait for the agent")?);
    let is_overlaid = launch.overlay.is_some();
    if let Some(overlay) = launch.overlay {
        for note in overlay.take_back(agent) {
            text::say!("fdr: {note}");
        }
    }
    // The agent's exit status is the answer, whatever can be told of it.
    match run.sessions(dir) {
        Ok((trail, sessions)) => {
            run.has_links = !sessions.is_empty() && is_overlaid;
            match summaries(&trail, &sessions, dir) {
                _ if args.quiet => {}
                Ok(text) => eprint!("{text}"),
                Err(error) => text::say!("fdr: can't say what was recorded: {error:#}"),
            }
        }
        Err(error) => text::say!("fdr: can't say what was recorded: {error:#}"),
    }
    Ok(code)
}

/// The agent that a word of a command line is: by its program, or by its package.
fn agent_of(word: &OsString) -> Option<&'static dyn Agent> {
    const PACKAGES: [(&str, &str); 5] = [
        ("@anthropic-ai/claude-code", "claude-code"),
        ("@openai/codex", "codex"),
        ("@google/gemini-cli", "gemini-cli"),
        ("opencode-ai", "opencode"),
        ("hermes-agent", "hermes"),
    ];
    let name = Path::new(word).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.trim_end_matches(".exe").trim_end_matches(".js").trim_end_matches(".mjs");
    let text = word.to_string_lossy();
    let package = PACKAGES.iter().find(|(package, _)| text.contains(package)).map(|(_, runtime)| *runtime);
    AGENTS.into_iter().find(|agent| agent.programs().contains(&name) || package == Some(agent.runtime()))
}

/// The first word, or one that a launcher is told to run.
fn may_stand_at(command: &[OsString], at: usize) -> bool {
    const LAUNCHERS: [&str; 14] = [
        "node", "npx", "bun", "bunx", "pnpm", "python", "python3", "uv", "uvx", "env", "nice", "timeout",
        "setsid", "stdbuf",
    ];
    let first = Path::new(&command[0]).file_name().and_then(OsStr::to_str).unwrap_or_default();
    at == 0 || LAUNCHERS.contains(&first)
}

/// What capture adds to a run.
#[derive(Default)]
struct Launch {
    /// Everything behind the agent's own word.
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    overlay: Option<Overlay>,
}

impl Launch {
    fn new(
        agent: &'static dyn Agent,
        place: &Place<'_>,
        hook: &Hook,
        run: &Run,
        given: Vec<OsString>,
    ) -> anyhow::Result<Launch> {
        let runtime = agent.runtime();
        // Claude Code runs equal command lines once; others would tell everything twice.
        if runtime != "claude-code" && is_installed(agent, place, hook) {
            return Ok(Launch { arguments: given, ..Launch::default() });
        }
        match runtime {
            "claude-code" => claude(hook, given),
            "codex" => codex(agent, place, hook, given),
            "opencode" => opencode(agent, place, hook, run, given),
            "gemini-cli" => {
                let base = agent.folder(place);
                let root = run.folder();
                let overlay = Overlay::new(agent, place, hook, &base, &root.join(".gemini"))?;
                Ok(Launch::overlaid(given, "GEMINI_CLI_HOME", root, overlay))
            }
            "hermes" | "openclaw" => {
                let (variable, root) =
                    (if runtime == "hermes" { "HERMES_HOME" } else { "OPENCLAW_STATE_DIR" }, run.folder());
                let overlay = Overlay::new(agent, place, hook, &agent.folder(place), &root)?;
                Ok(Launch::overlaid(given, variable, root, overlay))
            }
            _ => bail!(
                "{} takes hooks from its files only, so it can't be recorded for one run\n  to record it always: fdr install {runtime}",
                agent.title()
            ),
        }
    }

    fn overlaid(arguments: Vec<OsString>, variable: &'static str, root: PathBuf, overlay: Overlay) -> Launch {
        Launch { arguments, variables: vec![(variable, root.into_os_string())], overlay: Some(overlay) }
    }
}

/// Whether what is installed records this run whole, and to the same recorder.
fn is_installed(agent: &dyn Agent, place: &Place<'_>, hook: &Hook) -> bool {
    let found = |scope| {
        let files = agent.files(scope, place).unwrap_or_default();
        files.into_iter().filter_map(|file| {
            let text = std::fs::read_to_string(&file).ok()?;
            Some(agent.read(&file, &text).ok()?.hooks)
        })
    };
    // A project's are left aside: they need its trust.
    let mut hooks: Vec<_> = [Scope::User, Scope::Managed].into_iter().flat_map(found).flatten().collect();
    hooks.retain(|found| found.hook == *hook);
    coverage(agent.events(), &hooks) == agent.events().len()
}

/// Claude Code takes further settings on its command line.
fn claude(hook: &Hook, mut given: Vec<OsString>) -> anyhow::Result<Launch> {
    let hooks = &claude_code::HOOKS;
    let ours = hooks.events.iter().map(|event| {
        let entry = json!({ "type": "command", "command": hooks.command_of(hook, event), "timeout": (hooks.timeout)(event) });
        ((*event).to_owned(), json!([{ "hooks": [entry] }]))
    });
    let settings = with_hooks(take_settings(&mut given)?, &ours.collect())?;
    let mut arguments = vec![OsString::from("--settings"), settings.to_string().into()];
    arguments.extend(given);
    Ok(Launch { arguments, ..Launch::default() })
}

/// Codex takes settings on its command line, and trust in hooks that stand there too.
fn codex(agent: &dyn Agent, place: &Place<'_>, hook: &Hook, given: Vec<OsString>) -> anyhow::Result<Launch> {
    for file in agent.files(Scope::Managed, place).unwrap_or_default() {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if agent.read(&file, &text).is_ok_and(|facts| facts.managed_only) {
            bail!(
                "an administrator lets only managed hooks run, in {}, and those of fdr are not among them\n  as administrator: fdr install codex --managed",
                file.display()
            );
        }
    }
    let mut arguments = Vec::new();
    for setting in codex::settings_for_a_run(hook) {
        arguments.extend([OsString::from("-c"), setting.into()]);
    }
    arguments.extend(given);
    Ok(Launch { arguments, ..Launch::default() })
}

/// OpenCode takes further settings in a variable, and they may name a plug-in.
fn opencode(
    agent: &dyn Agent,
    place: &Place<'_>,
    hook: &Hook,
    run: &Run,
    arguments: Vec<OsString>,
) -> anyhow::Result<Launch> {
    const VARIABLE: &str = "OPENCODE_CONFIG_CONTENT";
    let file = agent.files(Scope::User, place).and_then(|files| files.into_iter().next());
    let file = file.context("opencode has no plug-ins")?;
    let folder = run.folder();
    create_home(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let plugin = folder.join(file.file_name().unwrap_or_default());
    std::fs::write(&plugin, agent.add(&plugin, None, hook)?)
        .with_context(|| format!("can't write {}", plugin.display()))?;
    let given = std::env::var(VARIABLE).unwrap_or_default();
    let mut settings: Map<String, Value> = match given.trim() {
        "" => Map::new(),
        text => serde_json::from_str(text).with_context(|| format!("{VARIABLE} is not a JSON object"))?,
    };
    let plugins = settings.entry("plugin").or_insert_with(|| json!([]));
    let plugins = plugins.as_array_mut().with_context(|| format!("'plugin' in {VARIABLE} is not a list"))?;
    plugins.push(format!("file://{}", plugin.display()).into());
    let variables = vec![(VARIABLE, Value::Object(settings).to_string().into())];
    Ok(Launch { arguments, variables, overlay: None })
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

/// One run.
struct Run {
    id: String,
    /// The recorder's folder.
    home: PathBuf,
    /// How many records there were before.
    from: u64,
    /// Whether records name files by their paths in the run's folder.
    has_links: bool,
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.has_links {
            let _ = std::fs::remove_dir_all(self.folder()).or_else(|_| std::fs::remove_file(self.folder()));
        }
    }
}

impl Run {
    fn new(home: &Path) -> anyhow::Result<Run> {
        let source = fdr_hook::spool::new_source().context("the kernel gives no randomness")?;
        let id: String = source[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        create_home(home).with_context(|| format!("can't make {}", home.display()))?;
        let from = Trail::open_even_empty(home).map_or(0, |trail| trail.len());
        Ok(Run { id, home: home.to_owned(), from, has_links: false })
    }

    /// What is only for this run; it goes with it.
    fn folder(&self) -> PathBuf {
        self.home.join(format!("run-{}", self.id))
    }

    /// The sessions of this run, in order, once there is one or there will be none.
    fn sessions(&self, home: &Path) -> anyhow::Result<(Trail, Vec<String>)> {
        let deadline = Instant::now() + LAST_RECORDS_LIMIT;
        loop {
            let trail = Trail::open_even_empty(home)?;
            let sessions = self.sessions_in(&trail)?;
            if !sessions.is_empty() || Instant::now() >= deadline {
                return Ok((trail, sessions));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sessions_in(&self, trail: &Trail) -> anyhow::Result<Vec<String>> {
        let mark = format!("\"run\":\"{}\"", self.id);
        let mark = memchr::memmem::Finder::new(&mark);
        let mut sessions = Vec::new();
        trail.scan(self.from, u64::MAX, |entry| {
            if mark.find(&entry.bytes).is_some()
                && let Ok(record) = Record::parse(&entry.bytes)
                && let Body::SessionStart(start) = &record.body
                && start.run.as_ref() == Some(&self.id)
                // A sub-agent's session is part of that of its parent.
                && record.agent.as_ref().is_none_or(|agent| agent.parent.is_none())
                && let Some(session) = record.session.filter(|session| !sessions.contains(session))
            {
                sessions.push(session);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(sessions)
    }
}

fn summaries(trail: &Trail, sessions: &[String], home: &Path) -> anyhow::Result<String> {
    if sessions.is_empty() {
        return Ok("\nfdr: the agent began no session, nothing was recorded\n".to_owned());
    }
    let mut text = String::new();
    for id in sessions {
        let view = trail.session(id)?;
        text.push_str(&summary(&view));
    }
    let waiting = fdr_hook::spool::waiting(home).map_or(0, |waiting| waiting.len());
    if waiting > 0 {
        text.push_str(&format!("fdr: {} wait in the spool\n", text::counted(waiting as u64, "event")));
    }
    Ok(text)
}

/// One session on one screen.
fn summary(view: &SessionView) -> String {
    let records = view.rows.iter().filter_map(|row| row.record());
    let first = records.clone().find(|record| record.env.as_ref().is_some_and(|env| env.cwd.is_some()));
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
    fn an_agent_is_recognised_by_its_name_wherever_a_launcher_runs_it() {
        for (command, at) in [
            ("claude -p x", Some((0, "claude-code"))),
            ("/opt/bin/claude", Some((0, "claude-code"))),
            ("node /opt/claude -p x", Some((1, "claude-code"))),
            ("npx -y @anthropic-ai/claude-code -p x", Some((2, "claude-code"))),
            ("npx -y @openai/codex@0.169 exec x", Some((2, "codex"))),
            ("node /x/@google/gemini-cli/bundle/gemini.js -p x", Some((1, "gemini-cli"))),
            ("env A=1 claude", Some((2, "claude-code"))),
            ("codex exec claude", Some((0, "codex"))),
            ("grep codex", None),
            ("claudette", None),
        ] {
            let command = words(command);
            let found = command.iter().position(|word| agent_of(word).is_some());
            let found = found.filter(|at| may_stand_at(&command, *at));
            let found = found.and_then(|at| Some((at, agent_of(&command[at])?.runtime())));
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
