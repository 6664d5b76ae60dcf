//! `fdr doctor`: whether what an agent does is really recorded.
//!
//! Everything that can be seen without running an agent is looked at, also what would make an
//! agent run no hooks without saying so. Every line is `ok`, or says what to do. What is chosen
//! when an agent is started (`claude --bare`, `--setting-sources`) can't be seen from here; a
//! session without records tells of it.

use crate::agents::{AGENTS, Agent, Facts, Hook, Note, Place, Scope, SettingsError, coverage, shell_quote};
use crate::control::{self, Status};
use crate::home::Home;
use crate::install::{self, RootArg};
use crate::retain;
use crate::settings_file::tilde;
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::Trail;
use fdr_policy::PolicySet;
use fdr_record::{Body, Hazard, Mode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

/// Less free space than this is a problem, in bytes.
const MIN_FREE_BYTES: u64 = 1 << 30;
/// A checkpoint follows a record within a second; one that is this much late is a problem.
const MAX_CHECKPOINT_LAG: Duration = Duration::from_secs(60);
/// A younger attempt to tamper is an alarm.
const ALARM_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many tools that are not known are named for a runtime.
const MAX_TOOLS: usize = 5;
/// How long a program may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of `fdr doctor`.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: RootArg,
    #[command(flatten)]
    look: LookArgs,
}

/// What to do about something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "command", rename_all = "lowercase")]
enum Verdict {
    /// Nothing.
    Ok,
    /// Nothing, but good to know.
    Note,
    /// This puts it right.
    Fix(String),
    /// Nothing puts it right by itself; look here.
    Look(String),
}

#[derive(Clone, Debug, Serialize)]
struct Check {
    subject: &'static str,
    text: String,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Check {
    fn is_problem(&self) -> bool {
        matches!(self.verdict, Verdict::Fix(_) | Verdict::Look(_))
    }
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, subject: &'static str, text: impl Into<String>, verdict: Verdict) {
        self.0.push(Check { subject, text: text.into(), verdict });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, text, Verdict::Ok);
    }

    fn note(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, text, Verdict::Note);
    }

    fn fix(&mut self, subject: &'static str, text: impl Into<String>, command: impl Into<String>) {
        self.add(subject, text, Verdict::Fix(command.into()));
    }

    fn look(&mut self, subject: &'static str, text: impl Into<String>, command: impl Into<String>) {
        self.add(subject, text, Verdict::Look(command.into()));
    }
}

/// `fdr doctor`: exit status 0 when all is in place, 1 when there are problems.
///
/// # Errors
/// When the output can't be written.
pub fn run(args: &DoctorArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut checks = Checks::default();
    let status = check_recorder(home, &mut checks);
    check_data(home, status.as_ref(), &mut checks);
    check_policy(home, &mut checks);
    check_records(home, &mut checks)?;
    check_retention(home, status.as_ref(), &mut checks);
    check_agents(home, &args.root, &mut checks)?;

    let problems = checks.0.iter().filter(|check| check.is_problem()).count();
    if args.json {
        serde_json::to_writer(&mut *out, &serde_json::json!({ "ok": problems == 0, "checks": checks.0 }))?;
        writeln!(out)?;
    } else {
        write(&checks.0, &Look::new(&args.look), out)?;
        let total = match problems {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        writeln!(out, "{total}")?;
    }
    Ok(u8::from(problems > 0))
}

fn write(checks: &[Check], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let subject_width = checks.iter().map(|check| check.subject.len()).max().unwrap_or(0).max(12);
    let verdict = |check: &Check| match &check.verdict {
        Verdict::Ok => (Tone::Good, "ok".to_owned()),
        Verdict::Note => (Tone::Plain, String::new()),
        Verdict::Fix(command) => (Tone::Bad, format!("fix: {command}")),
        Verdict::Look(command) => (Tone::Warn, format!("look: {command}")),
    };
    let rows: Vec<_> =
        checks.iter().map(|check| (check.subject, text::line(&check.text), verdict(check))).collect();
    // One column for the verdicts, if the longest of both fit side by side; else a problem's
    // stands on the next line, where it can be copied whole.
    let widest = rows.iter().map(|(_, text, _)| text::width(text)).max().unwrap_or(0);
    let left = look.width.saturating_sub(subject_width + 2);
    let column = widest.min(left.saturating_sub(24));
    for (subject, text, (tone, verdict)) in rows {
        let used = text::width(&text).max(column) + 2;
        write!(out, "{subject:subject_width$}  {text}")?;
        if verdict.is_empty() {
            writeln!(out)?;
        } else if used + text::width(&verdict) <= left {
            let space = used - text::width(&text);
            writeln!(out, "{:space$}{}", "", look.paint(tone, &text::line(&verdict)))?;
        } else {
            writeln!(out, "\n{:subject_width$}    {}", "", look.paint(tone, &text::line(&verdict)))?;
        }
    }
    Ok(())
}

fn check_recorder(home: &Home, checks: &mut Checks) -> Option<Status> {
    const SUBJECT: &str = "recorder";
    let disk = free_bytes(home.dir());
    let free = disk.map(|free| format!(", disk {} free", text::bytes(free))).unwrap_or_default();
    if let Err(error) = crate::config::Config::load(home) {
        checks.look(SUBJECT, one_line(&error), "fdr config check");
    }
    let status = match control::query_status(home) {
        Ok(status) => status,
        Err(error) => {
            checks.look(SUBJECT, format!("does not answer: {}", one_line(&error)), recorder_log(home));
            None
        }
    };
    if let Some(status) = &status {
        let age =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let age = text::duration_ms(age.saturating_sub(status.started.0) / 1_000_000);
        let text = format!("running (pid {}, {age}), {}{free}", status.pid, status.mode.as_str());
        if status.version == env!("CARGO_PKG_VERSION") {
            checks.ok(SUBJECT, text);
        } else {
            let text = format!("{text}; it is fdr {}, this is {}", status.version, env!("CARGO_PKG_VERSION"));
            checks.fix(SUBJECT, text, "fdr stop");
        }
    } else if home.system().is_none() && !checks.0.iter().any(Check::is_problem) {
        checks.ok(SUBJECT, format!("not running, the next event starts it{free}"));
    }
    if status.is_none() && home.system().is_some() {
        checks.look(SUBJECT, "the machine's recorder does not answer", "systemctl status fdr");
    }
    if let Some(free) = disk.filter(|free| *free < MIN_FREE_BYTES) {
        checks.look("disk", format!("only {} free in {}", text::bytes(free), tilde(home.dir())), "df -h");
    }
    status
}

fn check_data(home: &Home, status: Option<&Status>, checks: &mut Checks) {
    const SUBJECT: &str = "data";
    let dir = home.dir();
    let Ok(metadata) = fs::metadata(dir) else {
        checks.note(SUBJECT, format!("nothing is recorded yet in {}", tilde(dir)));
        return;
    };
    let before = checks.0.len();
    let me = rustix::process::geteuid().as_raw();
    if let Some(system) = home.system() {
        if metadata.uid() != system.uid {
            let text = format!("{} belongs to uid {}, not to the recorder", tilde(dir), metadata.uid());
            checks.look(SUBJECT, text, "sudo fdr install --system");
        }
        if let Some(weak) = install::changed_by_others(&home.front().join(fdr_hook::system::FILE)) {
            let text = format!("{} can be changed by others than root", tilde(&weak));
            checks.look(SUBJECT, text, format!("ls -ld {}", shell(&weak)));
        }
        checks.note(SUBJECT, "transcripts are handed over by each user's fdr watch, or by fdr import");
    } else if metadata.uid() != me {
        let text = format!("{} belongs to uid {}, not to you (uid {me})", tilde(dir), metadata.uid());
        checks.look(SUBJECT, text, format!("ls -ld {}", shell(dir)));
    }
    for (path, mode) in [
        (dir.to_owned(), 0o700),
        (dir.join("keys"), 0o700),
        (dir.join("keys/log.key"), 0o600),
        (dir.join("keys/content.key"), 0o600),
    ] {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let found = metadata.permissions().mode() & 0o777;
        if found & !mode != 0 {
            let text = format!("{} can be read by others (mode {found:03o})", tilde(&path));
            checks.fix(SUBJECT, text, format!("chmod {mode:o} {}", shell(&path)));
        }
    }
    if checks.0.len() == before {
        checks.ok(SUBJECT, format!("{}, for you alone", tilde(dir)));
    }
    check_spool(home, status, checks);
    check_checkpoint(home, status, checks);
}

/// Whether the policy sets of the configuration can be used.
fn check_policy(home: &Home, checks: &mut Checks) {
    const SUBJECT: &str = "policy";
    // What is wrong with the file itself is said above.
    let Ok(config) = crate::config::Config::load(home) else { return };
    let sources = config.sources(home);
    let names = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match PolicySet::load(&sources) {
        Ok(set) => {
            let count = text::counted(set.policies().count() as u64, "policy");
            checks.ok(SUBJECT, format!("{names}: {}", count.replace("policys", "policies")));
        }
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            checks.look(SUBJECT, format!("{names} can't be used: {first}"), "fdr policy check");
        }
    }
}

/// Whether full segments are compressed, the log begins where a record says so, and nothing is kept for too long.
fn check_retention(home: &Home, status: Option<&Status>, checks: &mut Checks) {
    const SUBJECT: &str = "retention";
    if let Some(problem) = status.and_then(|status| status.seal_problem.as_ref()) {
        checks.look("sealing", format!("a full segment can't be compressed: {problem}"), "df -h");
    }
    let Ok(reader) = fdr_log::Reader::open(&home.log()) else { return };
    if let Some(pruned) = reader.pruned()
        && retain::Prunings::read(&home.log()).of(pruned).is_none()
    {
        let text = format!("records before {} are gone, and no record says why", pruned.first_index);
        checks.look(SUBJECT, text, "fdr verify");
    }
    let Ok(config) = crate::config::Config::load(home) else { return };
    let oldest = reader.segments().ok().and_then(|segments| Some(segments.first()?.created_wall_ns));
    if let (Some(most), Some(oldest)) = (config.retain.keep_at_most_days, oldest) {
        let days = text::now().0.saturating_sub(oldest) / 86_400_000_000_000;
        if days > u64::from(most) {
            let text = format!("the oldest records are of {days} days ago, keep_at_most_days is {most}");
            checks.fix(SUBJECT, text, "fdr retain plan");
        }
    }
}

/// Alarms about every attempt to tamper that the log holds, and counts the calls of tools that
/// are not known.
fn check_records(home: &Home, checks: &mut Checks) -> anyhow::Result<()> {
    if !home.log().is_dir() {
        return Ok(());
    }
    let trail = Trail::open_even_empty(home.dir())?;
    let tamper = memchr::memmem::Finder::new(b"\"tamper\":true");
    let unknown = memchr::memmem::Finder::new(b"\"unknown_tool\"");
    let (mut count, mut newest) = (0, None);
    // Runtime, tool, how many calls.
    let mut tools: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    trail.scan(0, u64::MAX, |entry| {
        let (may_tamper, may_be_unknown) =
            (tamper.find(&entry.bytes).is_some(), unknown.find(&entry.bytes).is_some());
        if (may_tamper || may_be_unknown)
            && let row = trail.read(entry)
            && let Some(record) = row.record()
            && let Body::Action(body) = &record.body
        {
            if body.actions.iter().any(|action| action.tamper) {
                count += 1;
                let held =
                    body.policy.mode == Mode::Enforce && body.policy.decision == fdr_record::Verdict::Deny;
                newest = Some((record.id, record.ts, body.summary.clone(), held));
            }
            if body.hazards.contains(&Hazard::UnknownTool) {
                let runtime = record.agent.as_ref().map(|agent| agent.runtime.clone()).unwrap_or_default();
                *tools.entry(runtime).or_default().entry(body.tool.clone()).or_default() += 1;
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    if let Some((id, ts, summary, held)) = newest {
        let age = Duration::from_nanos(text::now().0.saturating_sub(ts.0));
        let text = format!(
            "{} on the recorder or its limits; the newest {} ago, {}: {summary}",
            text::counted(count, "attempt"),
            text::duration_ms(age.as_millis() as u64),
            if held { "denied" } else { "NOT denied" },
        );
        if age < ALARM_AGE {
            checks.look("tampering", text, format!("fdr show {id}"));
        } else {
            checks.note("tampering", text);
        }
    }
    for (runtime, tools) in tools {
        let calls = text::counted(tools.values().sum(), "call");
        let mut names: Vec<_> = tools.into_iter().collect();
        names.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        let more = names.len().saturating_sub(MAX_TOOLS);
        let mut named: Vec<_> = names.into_iter().take(MAX_TOOLS).map(|(name, _)| name).collect();
        if more > 0 {
            named.push(format!("{more} more"));
        }
        let text = format!(
            "{runtime}: {calls} of tools that fdr does not know, recorded whole as `execute`: {}",
            named.join(", ")
        );
        checks.note("tools", text);
    }
    Ok(())
}

fn check_spool(home: &Home, status: Option<&Status>, checks: &mut Checks) {
    let waiting = fs::read_dir(home.dir().join(fdr_hook::spool::FOLDER))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "msg"))
        .count();
    match (waiting, status) {
        (0, _) => {}
        (n, None) => checks.fix(
            "spool",
            format!("{} came while no recorder could be reached, and wait", text::counted(n as u64, "event")),
            "fdr serve --background &",
        ),
        (n, Some(_)) => checks.look(
            "spool",
            format!("{} wait though the recorder runs", text::counted(n as u64, "event")),
            recorder_log(home),
        ),
    }
}

fn check_checkpoint(home: &Home, status: Option<&Status>, checks: &mut Checks) {
    const SUBJECT: &str = "checkpoint";
    if !home.log().is_dir() {
        return;
    }
    let reader = match crate::home::open_reader(home) {
        Ok(reader) => reader,
        Err(error) => return checks.look("log", one_line(&error), "fdr verify"),
    };
    let records = reader.len();
    let covered = match reader.checkpoint() {
        Ok(checkpoint) => checkpoint.map_or(0, |checkpoint| checkpoint.size()),
        Err(error) => return checks.look(SUBJECT, error.to_string(), "fdr verify"),
    };
    let written = fs::metadata(home.log().join("checkpoint")).and_then(|metadata| metadata.modified()).ok();
    let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
    let ago =
        age.map(|age| format!(", {} ago", text::duration_ms(age.as_millis() as u64))).unwrap_or_default();
    let text = format!("covers {covered} of {} records{ago}", records);
    let is_late = covered < records && age.is_none_or(|age| age > MAX_CHECKPOINT_LAG);
    match status {
        _ if !is_late => checks.ok(SUBJECT, text),
        Some(_) => checks.look(SUBJECT, text, recorder_log(home)),
        None => checks.fix(
            SUBJECT,
            format!("{text}; the recorder signs the rest when it runs"),
            "fdr serve --background &",
        ),
    }
}

fn recorder_log(home: &Home) -> String {
    format!("tail {}", shell(&home.dir().join("recorder.log")))
}

/// A settings file of a runtime.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub scope: Scope,
    /// What it says of hooks.
    pub facts: Result<Facts, Unreadable>,
}

/// Why nothing is known of what a settings file says.
pub enum Unreadable {
    /// It is not in the form that the runtime reads.
    Settings(SettingsError),
    /// The file itself can't be read.
    File(io::Error),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Settings(error) => error.fmt(f),
            Unreadable::File(error) => error.fmt(f),
        }
    }
}

/// The settings that a runtime reads when it is started here.
pub fn sources(agent: &dyn Agent, place: &Place<'_>) -> Vec<Source> {
    let mut found: Vec<Source> = Vec::new();
    // A file that is read in two scopes counts once: a user's folder can be the project's too.
    let mut seen = Vec::new();
    for scope in Scope::ALL {
        let mut paths = agent.files(scope, place).unwrap_or_default();
        paths.extend(agent.also_read(scope, place));
        for path in paths {
            let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            let facts = match fs::read_to_string(&path) {
                Ok(text) => agent.read(&path, &text).map_err(Unreadable::Settings),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    continue;
                }
                Err(error) => Err(Unreadable::File(error)),
            };
            found.push(Source { path, scope, facts });
        }
    }
    found
}

/// Checks every runtime that is on this machine or has hooks of ours.
fn check_agents(home: &Home, root: &RootArg, checks: &mut Checks) -> anyhow::Result<()> {
    let place = Place { project: std::env::current_dir()?, ..root.place()? };
    let mut absent = Vec::new();
    let mut present = Vec::new();
    for agent in AGENTS {
        let sources = sources(agent, &place);
        let is_hooked =
            sources.iter().any(|source| source.facts.as_ref().is_ok_and(|facts| !facts.hooks.is_empty()));
        let whereabouts = install::whereabouts(agent, &place);
        if is_hooked || whereabouts.is_some() {
            present.push((agent, sources, whereabouts.filter(|path| path.is_file())));
        } else {
            absent.push(agent.runtime());
        }
    }
    // Some take seconds to say it.
    let versions: Vec<Option<String>> = std::thread::scope(|scope| {
        let asked: Vec<_> = present
            .iter()
            .map(|(_, _, program)| scope.spawn(|| program.as_deref().and_then(version_of)))
            .collect();
        asked.into_iter().map(|asked| asked.join().ok().flatten()).collect()
    });
    let mut checked = Vec::new();
    for ((agent, sources, program), version) in present.into_iter().zip(versions) {
        let version =
            program.map(|_| version.as_deref().map_or("of an unknown version", version_number).to_owned());
        check_agent(agent, home, &place, &sources, version, &mut checked, checks);
    }
    if !absent.is_empty() {
        checks.note("not here", absent.join(", "));
    }
    Ok(())
}

/// `version` is `None` where there is no program; `checked` has the hook programs that were looked
/// at.
fn check_agent(
    agent: &dyn Agent,
    home: &Home,
    place: &Place<'_>,
    sources: &[Source],
    version: Option<String>,
    checked: &mut Vec<String>,
    checks: &mut Checks,
) {
    let subject = agent.runtime();
    let named = version.as_deref().map(|version| format!("{version}, ")).unwrap_or_default();

    for source in sources {
        let path = tilde(&source.path);
        match &source.facts {
            Ok(facts) => {
                for off in &facts.off {
                    let (setting, effect) = off.split_once(": ").unwrap_or((off, "no hook runs"));
                    checks.look(subject, format!("{setting} in {path}: {effect}"), path.clone());
                }
            }
            Err(error) => checks.look(subject, format!("{path} can't be understood: {error}"), path.clone()),
        }
    }

    let read: Vec<(&Source, &Facts)> =
        sources.iter().filter_map(|source| Some((source, source.facts.as_ref().ok()?))).collect();
    let lock = read.iter().find(|(source, facts)| source.scope == Scope::Managed && facts.managed_only);
    let lock = lock.map(|(source, _)| source.path.clone());
    let ours: Vec<(&Source, &Facts)> =
        read.into_iter().filter(|(_, facts)| !facts.hooks.is_empty()).collect();
    let counts = |source: &Source| lock.is_none() || source.scope == Scope::Managed;
    let counted: Vec<_> = ours.iter().filter(|(source, _)| counts(source)).collect();
    if let Some(lock) = &lock
        && counted.len() < ours.len()
    {
        checks.look(
            subject,
            "an administrator allows managed hooks only, so those in your settings don't run",
            lock.display().to_string(),
        );
    }

    let hooks: Vec<_> = counted.iter().flat_map(|(_, facts)| facts.hooks.iter().cloned()).collect();
    let events = agent.events();
    let covered = coverage(events, &hooks);
    let scope = counted.first().map_or(Scope::User, |(source, _)| source.scope);
    let install = format!("{} install {subject}{}", fdr(home), scope.option());
    if hooks.is_empty() {
        let text = if version.is_some() { "not recorded" } else { "no program on PATH, not recorded" };
        match version {
            Some(_) => checks.fix(subject, format!("{named}{text}"), install),
            None => checks.note(subject, text),
        }
        check_elsewhere(agent, place, checks);
        return;
    }
    let places: Vec<String> =
        counted
            .iter()
            .map(|(source, _)| {
                if source.scope == Scope::Managed {
                    "managed settings".to_owned()
                } else {
                    tilde(&source.path)
                }
            })
            .collect();
    let text = format!("{named}hooks in {}, {covered} of {} events", places.join(" and "), events.len());
    if covered == events.len() {
        checks.ok(subject, text);
    } else {
        checks.fix(subject, text, install.clone());
    }
    if version.is_none() {
        checks.note(subject, format!("there is no {} on PATH", agent.programs().join(" or ")));
    }

    let mut programs: Vec<Hook> = Vec::new();
    for found in hooks {
        if !programs.contains(&found.hook) {
            programs.push(found.hook);
        }
    }
    for hook in &programs {
        if !checked.contains(&hook.program) {
            checked.push(hook.program.clone());
            check_program(hook, &install, checks);
        }
        let theirs = hook.home.as_ref().map(PathBuf::from);
        let is_ours = match &theirs {
            Some(dir) => dir == home.front(),
            None => home.is_default(),
        };
        if !is_ours {
            let (place, command) = match &theirs {
                Some(dir) => (tilde(dir), format!("fdr --home {} doctor", shell(dir))),
                None => ("the default folder".to_owned(), "env -u FDR_HOME fdr doctor".to_owned()),
            };
            checks.look(
                subject,
                format!("its hooks record to {place}, not to {}", tilde(home.front())),
                command,
            );
        }
    }
    if programs.len() > 1 {
        checks.fix(subject, "hooks differ from one another, so events are recorded twice", install);
    }
    let mut scopes: Vec<Scope> = counted.iter().map(|(source, _)| source.scope).collect();
    scopes.dedup();
    if let [first, .., _] = scopes[..]
        && !agent.calls_equal_hooks_once()
    {
        let text = "hooks stand in more than one place, so every event is told twice";
        checks.fix(subject, text, format!("{} uninstall {subject}{}", fdr(home), first.option()));
    }
    for note in agent.notes(place) {
        match note {
            Note::Ok(text) => checks.ok(subject, text),
            Note::Info(text) => checks.note(subject, text),
            Note::Look(text, place) => checks.look(subject, text, place),
            Note::Fix(text, command) => checks.fix(subject, text, command),
        }
    }
}

/// The number in what a program says of its version: "2.1.197 (Claude Code)", "codex-cli 0.169.0".
fn version_number(text: &str) -> &str {
    let is_number = |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    text.split_whitespace().find(is_number).unwrap_or("?").trim_start_matches('v')
}

fn fdr(home: &Home) -> String {
    if home.is_default() { "fdr".to_owned() } else { format!("fdr --home {}", shell(home.front())) }
}

/// The program that hooks call: there, executable, of this version.
fn check_program(hook: &Hook, install: &str, checks: &mut Checks) {
    const SUBJECT: &str = "fdr-hook";
    let path = Path::new(&hook.program);
    let shown = tilde(path);
    match fs::metadata(path) {
        Err(_) => {
            return checks.fix(SUBJECT, format!("{shown} does not exist: nothing is recorded"), install);
        }
        Ok(metadata) if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
            return checks.fix(
                SUBJECT,
                format!("{shown} is not executable: nothing is recorded"),
                format!("chmod +x {}", shell(path)),
            );
        }
        Ok(_) => {}
    }
    let version = version_of(path);
    let version = version
        .as_deref()
        .and_then(|text| text.trim().strip_prefix("fdr-hook "))
        .unwrap_or("of an unknown version");
    if version == env!("CARGO_PKG_VERSION") {
        checks.ok(SUBJECT, format!("{shown}, {version}"));
    } else {
        checks.fix(SUBJECT, format!("{shown} is {version}, fdr is {}", env!("CARGO_PKG_VERSION")), install);
    }
}

/// Hooks that only count where the runtime is started in the root of the project.
fn check_elsewhere(agent: &dyn Agent, here: &Place<'_>, checks: &mut Checks) {
    let Ok(root) = install::project_root() else { return };
    if root == here.project {
        return;
    }
    let there =
        Place { home: here.home.clone(), project: root.clone(), root: here.root.clone(), env: here.env };
    for path in
        [Scope::Project, Scope::Local].into_iter().filter_map(|scope| agent.files(scope, &there)).flatten()
    {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if agent.read(&path, &text).is_ok_and(|facts| !facts.hooks.is_empty()) {
            let text = format!(
                "hooks in {} are read when {} is started there, not here",
                tilde(&path),
                agent.programs().first().unwrap_or(&agent.runtime())
            );
            checks.look(agent.runtime(), text, format!("cd {} && fdr doctor", shell(&root)));
        }
    }
}

/// What `program --version` says.
pub fn version_of(program: &Path) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + VERSION_TIMEOUT;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Free bytes where `dir` is or will be.
fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A path as it can be typed.
fn shell(path: &Path) -> String {
    shell_quote(&path.to_string_lossy())
}

fn one_line(error: &anyhow::Error) -> String {
    let text: Vec<String> = error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect();
    text.join(": ")
}
