//! `fdr harness`: what holds each agent on this machine, side by side, and what is weak about it.
//!
//! Every runtime is looked at in the same [`Topic`]s: what its harness offers, and how it is set
//! here. A [`Weak`] point says what is weak, why it matters, with ids of controls, and the command
//! that puts it right. Files are read, nothing is changed, no agent is started but for its version.

mod claude_code;
mod codex;
mod cursor;
mod gemini_cli;
mod hermes;
mod openclaw;
mod opencode;
mod settings;

use crate::agents::{self, Agent, Place, Scope};
use crate::doctor::{Source, sources, version_of};
use crate::install::{self, RootArg};
use crate::settings_file::tilde;
use crate::text::{self, Look, LookArgs, Tone};
use fdr_hook::Failure;
use serde::Serialize;
use settings::{Layers, Pinning, Server, instruction_files, secret_variables};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `fdr harness`.
#[derive(Debug, clap::Args)]
pub struct HarnessArgs {
    /// Only these runtimes; all that are on this machine, if none is named
    #[arg(value_name = "RUNTIME")]
    runtimes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    look: LookArgs,
    #[command(flatten)]
    root: RootArg,
}

/// What is looked at, in the order in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Which events there are, and which are recorded.
    HookPoints,
    /// What happens when a hook fails.
    HookFailure,
    /// Rules on what may be done, and the mode.
    Permissions,
    /// What the operating system keeps it from.
    Sandbox,
    /// Whom it asks.
    Approvals,
    /// Whether sub-agents can be told apart.
    Subagents,
    /// Files that tell it what to do, and its memory.
    Memory,
    /// MCP servers, and how they are pinned.
    Mcp,
    /// Secrets that it inherits.
    Secrets,
    /// What it sends where.
    Telemetry,
    /// How long it keeps its transcripts.
    Transcripts,
    /// Settings that skip prompts or switch hooks off.
    Switches,
}

impl Topic {
    const ALL: [Topic; 12] = [
        Topic::HookPoints,
        Topic::HookFailure,
        Topic::Permissions,
        Topic::Sandbox,
        Topic::Approvals,
        Topic::Subagents,
        Topic::Memory,
        Topic::Mcp,
        Topic::Secrets,
        Topic::Telemetry,
        Topic::Transcripts,
        Topic::Switches,
    ];

    fn title(self) -> &'static str {
        match self {
            Topic::HookPoints => "hook points",
            Topic::HookFailure => "when a hook fails",
            Topic::Permissions => "permission rules and mode",
            Topic::Sandbox => "sandbox",
            Topic::Approvals => "approvals",
            Topic::Subagents => "identity of sub-agents",
            Topic::Memory => "instructions and memory",
            Topic::Mcp => "MCP servers",
            Topic::Secrets => "secrets in its environment",
            Topic::Telemetry => "telemetry",
            Topic::Transcripts => "transcripts",
            Topic::Switches => "switches that skip prompts or hooks",
        }
    }
}

/// One topic of one runtime.
#[derive(Clone, Debug, Serialize)]
pub struct Aspect {
    topic: Topic,
    /// What its harness can do.
    offers: String,
    /// How it is set on this machine.
    set: String,
}

/// How much a weak point matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The agent can act without limit or unseen.
    High,
    /// A limit is missing that the runtime has.
    Medium,
    /// Good to know.
    Low,
}

/// A weak point.
#[derive(Clone, Debug, Serialize)]
pub struct Weak {
    severity: Severity,
    what: String,
    why: &'static str,
    /// Ids of controls: NIST SP 800-53 Rev. 5, OWASP Top 10 for LLM Applications 2025, Regulation
    /// (EU) 2024/1689.
    controls: Vec<&'static str>,
    /// The command that puts it right.
    fix: String,
}

/// What there is to say of one runtime.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    runtime: &'static str,
    title: &'static str,
    version: Option<String>,
    aspects: Vec<Aspect>,
    weak: Vec<Weak>,
}

/// What a runtime is looked at with.
pub struct Here<'a> {
    place: &'a Place<'a>,
    /// The recorder's folder.
    home: &'a Path,
    /// Names of variables that look like secrets.
    secrets: Vec<String>,
}

impl Report {
    fn aspect(&mut self, topic: Topic, offers: impl Into<String>, set: impl Into<String>) {
        self.aspects.push(Aspect { topic, offers: offers.into(), set: set.into() });
    }

    fn weak(
        &mut self,
        severity: Severity,
        what: impl Into<String>,
        why: &'static str,
        controls: &[&'static str],
        fix: impl Into<String>,
    ) {
        self.weak.push(Weak {
            severity,
            what: what.into(),
            why,
            controls: controls.to_vec(),
            fix: fix.into(),
        });
    }

    /// Settings files that can't be read tell nothing: whatever they say is not in this report.
    fn unreadable(&mut self, layers: &Layers) {
        for file in &layers.unreadable {
            self.weak(
                Severity::Medium,
                format!("a settings file can't be read: {file}"),
                "what it sets is not in this report, and may not be what its author meant",
                &["800-53 CM-6"],
                format!("less {}", file.split(": ").next().unwrap_or_default()),
            );
        }
    }

    /// Which events are recorded, and how hooks fail.
    fn hooks(&mut self, agent: &dyn Agent, here: &Here<'_>, offers: &str, failure: &str) {
        let events = agent.events();
        let mut found = Vec::new();
        let (mut places, mut off) = (BTreeSet::new(), Vec::new());
        let read: Vec<_> = sources(agent, here.place)
            .into_iter()
            .filter_map(|Source { path, scope, facts }| Some((path, scope == Scope::Managed, facts.ok()?)))
            .collect();
        let locked = read.iter().any(|(_, is_managed, facts)| *is_managed && facts.managed_only);
        for (path, is_managed, facts) in read {
            off.extend(facts.off.iter().map(|setting| format!("{setting} ({})", tilde(&path))));
            // Under an administrator's lock the others don't run.
            if locked && !is_managed {
                continue;
            }
            if !facts.hooks.is_empty() {
                places.insert(if is_managed { "managed settings".to_owned() } else { tilde(&path) });
            }
            found.extend(facts.hooks);
        }
        let covered = agents::coverage(events, &found);
        let runtime = agent.runtime();
        let set = match covered {
            0 => "not recorded".to_owned(),
            covered => {
                let places: Vec<String> = places.iter().cloned().collect();
                let lock = if locked { "; only managed hooks run" } else { "" };
                format!("{covered} of {} recorded, by {}{lock}", events.len(), places.join(" and "))
            }
        };
        self.aspect(Topic::HookPoints, offers, set);
        if covered < events.len() {
            let what = if covered == 0 {
                "nothing of it is recorded".to_owned()
            } else {
                format!("only {covered} of {} events are recorded", events.len())
            };
            self.weak(
                Severity::High,
                what,
                "what is not recorded can't be reconstructed",
                &["800-53 AU-2", "800-53 AU-12", "EU AI Act Art. 12"],
                if locked {
                    format!("sudo fdr install {runtime} --managed")
                } else {
                    format!("fdr install {runtime}")
                },
            );
        } else if !places.contains("managed settings") {
            let can = agent.files(Scope::Managed, here.place).is_some();
            if can {
                self.weak(
                    Severity::Medium,
                    "its hooks stand in settings that the agent itself can change",
                    "an agent that takes out its hooks is not recorded any more",
                    &["800-53 AU-9", "800-53 CM-5"],
                    format!("sudo fdr install {runtime} --managed"),
                );
            }
        }
        for setting in off {
            self.weak(
                Severity::High,
                setting,
                "no hook runs, so nothing is recorded or decided",
                &["800-53 AU-12", "800-53 CM-6"],
                format!("fdr doctor   # then take the setting out of the file that {runtime} reads"),
            );
        }
        let closed = Failure::of(here.home) == Failure::Closed;
        let ours = match (covered, closed) {
            (0, _) => "no hook of ours",
            (_, true) => "ours denies then (enforce), even if it is killed",
            (_, false) => "ours lets it run and spools the event (observe)",
        };
        self.aspect(Topic::HookFailure, failure, ours);
        if covered > 0 && !closed {
            self.weak(
                Severity::Low,
                "a tool runs even if its hook could not record it first",
                "without a decision that holds, the trail tells only what happened",
                &["800-53 AU-5", "800-53 AC-3"],
                format!(
                    "echo 'mode = \"enforce\"' >> {}   # then: fdr stop",
                    shell(&here.home.join("config.toml"))
                ),
            );
        }
    }

    fn instructions(&mut self, candidates: &[PathBuf], memory: &str, offers: &str) {
        let files = instruction_files(candidates);
        let named: Vec<String> =
            files.iter().map(|(path, len, _)| format!("{} ({len} B)", tilde(path))).collect();
        let files_said = if named.is_empty() { "no instruction file".to_owned() } else { named.join(", ") };
        let set = if memory.is_empty() { files_said } else { format!("{files_said}; {memory}") };
        self.aspect(Topic::Memory, offers, set);
        for (path, _, open) in files {
            if open {
                self.weak(
                    Severity::High,
                    format!("others than its owner can write {}", tilde(&path)),
                    "who writes it tells the agent what to do",
                    &["OWASP LLM01:2025", "800-53 AC-6"],
                    format!("chmod go-w {}", shell(&path)),
                );
            }
        }
    }

    fn servers(&mut self, servers: &[Server], offers: &str) {
        let named: Vec<String> = servers
            .iter()
            .map(|server| {
                let pinned = match &server.pinning {
                    Pinning::Pinned(_) => "pinned",
                    Pinning::Open(_) => "NOT pinned",
                };
                let proxied = if server.is_proxied { ", recorded by the proxy" } else { "" };
                let trusted = if server.is_trusted { ", trusted" } else { "" };
                format!("{}: {pinned}{proxied}{trusted}", server.name)
            })
            .collect();
        self.aspect(Topic::Mcp, offers, if named.is_empty() { "none".to_owned() } else { named.join("; ") });
        for server in servers {
            if let Pinning::Open(how) = &server.pinning {
                self.weak(
                    Severity::Medium,
                    format!("the MCP server {} is not held to a version: {how}", server.name),
                    "what it offers and says to the agent can change overnight",
                    &["OWASP LLM03:2025", "800-53 SR-3", "800-53 CM-7"],
                    "name an exact version or digest in its entry; record it with: fdr mcp-proxy".to_owned(),
                );
            }
            if server.is_trusted {
                self.weak(
                    Severity::Medium,
                    format!("the tools of the MCP server {} run without being asked about", server.name),
                    "a server's words are not the user's",
                    &["OWASP LLM06:2025", "800-53 AC-6"],
                    "take \"trust\": true out of its entry".to_owned(),
                );
            }
        }
    }

    /// `cleaned` says how the runtime keeps secrets from the programs that it runs, if it does.
    fn secrets(&mut self, here: &Here<'_>, cleaned: Option<&str>, offers: &str, fix: &str) {
        let count = here.secrets.len();
        let mut named = here.secrets.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        if count > 4 {
            named.push_str(&format!(" and {} more", count - 4));
        }
        let set = match (count, cleaned) {
            (0, _) => "none by name".to_owned(),
            (_, Some(how)) => format!("{named}; {how}"),
            (_, None) => named.clone(),
        };
        self.aspect(Topic::Secrets, offers, set);
        if count > 0 && cleaned.is_none() {
            self.weak(
                Severity::Medium,
                format!("the programs that it runs inherit {named}"),
                "a command, or what it was talked into, can read them and carry them out",
                &["OWASP LLM02:2025", "800-53 IA-5", "800-53 AC-6"],
                fix.to_owned(),
            );
        }
    }
}

/// A path as it can be typed.
fn shell(path: &Path) -> String {
    agents::shell_quote(&path.to_string_lossy())
}

/// A command that sets one key of a JSON file, which need not be there.
fn set_json(file: &Path, key: &str, value: &str) -> String {
    let (dir, file) = (shell(file.parent().unwrap_or(Path::new("/"))), shell(file));
    format!(
        "mkdir -p {dir} && {{ cat {file} 2>/dev/null || echo '{{}}'; }} | jq '{key} = {value}' > {file}.new && mv {file}.new {file}"
    )
}

fn look_at(agent: &'static dyn Agent, here: &Here<'_>) -> Report {
    let version = agent.programs().iter().find_map(|program| version_of(Path::new(program)));
    let version = version.and_then(|text| {
        let number = |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
        text.split_whitespace().find(number).map(|word| word.trim_start_matches('v').to_owned())
    });
    let mut report = Report {
        runtime: agent.runtime(),
        title: agent.title(),
        version,
        aspects: Vec::new(),
        weak: Vec::new(),
    };
    match agent.runtime() {
        "claude-code" => claude_code::look(&mut report, agent, here),
        "codex" => codex::look(&mut report, agent, here),
        "gemini-cli" => gemini_cli::look(&mut report, agent, here),
        "hermes" => hermes::look(&mut report, agent, here),
        "opencode" => opencode::look(&mut report, agent, here),
        "openclaw" => openclaw::look(&mut report, agent, here),
        "cursor" => cursor::look(&mut report, agent, here),
        _ => {}
    }
    report.weak.sort_by_key(|weak| weak.severity);
    report
}

/// Runs `fdr harness`; 0 if nothing is weak beyond what is low, 1 otherwise.
///
/// # Errors
/// When a runtime is named that is not known, or there is no home folder.
pub fn run(args: &HarnessArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let place = Place { project: std::env::current_dir()?, ..args.root.place()? };
    let mut chosen = Vec::new();
    for name in &args.runtimes {
        match agents::agent(name) {
            Some(agent) => chosen.push(agent),
            None => {
                let known: Vec<&str> = agents::AGENTS.iter().map(|agent| agent.runtime()).collect();
                anyhow::bail!(
                    "the runtime '{}' is not known\n  known are: {}",
                    text::line(name),
                    known.join(", ")
                );
            }
        }
    }
    if args.runtimes.is_empty() {
        let there = agents::AGENTS.into_iter().filter(|agent| install::whereabouts(*agent, &place).is_some());
        chosen.extend(there);
    }
    if chosen.is_empty() {
        let known: Vec<&str> = agents::AGENTS.iter().map(|agent| agent.runtime()).collect();
        writeln!(out, "no agent is on this machine that fdr knows ({})", known.join(", "))?;
        return Ok(1);
    }
    let here = Here { place: &place, home, secrets: secret_variables() };
    let reports: Vec<Report> = chosen.into_iter().map(|agent| look_at(agent, &here)).collect();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &reports)?;
        writeln!(out)?;
    } else {
        print(&reports, &Look::new(&args.look), out)?;
    }
    let is_weak = reports.iter().flat_map(|report| &report.weak).any(|weak| weak.severity < Severity::Low);
    Ok(u8::from(is_weak))
}

fn print(reports: &[Report], look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    let width = reports.iter().map(|report| report.runtime.len()).max().unwrap_or_default();
    for report in reports {
        let version = report.version.as_deref().unwrap_or("version not told");
        writeln!(out, "{:width$}  {} {}", report.runtime, report.title, text::line(version))?;
    }
    for topic in Topic::ALL {
        writeln!(out, "\n{}", look.paint(Tone::Strong, topic.title()))?;
        for report in reports {
            let Some(aspect) = report.aspects.iter().find(|aspect| aspect.topic == topic) else { continue };
            writeln!(out, "  {:width$}  {}", report.runtime, text::line(&aspect.set))?;
            writeln!(out, "  {:width$}  {}", "", look.paint(Tone::Dim, &text::line(&aspect.offers)))?;
        }
    }
    let mut weak: Vec<(&Report, &Weak)> =
        reports.iter().flat_map(|report| report.weak.iter().map(move |weak| (report, weak))).collect();
    weak.sort_by_key(|(_, weak)| weak.severity);
    writeln!(out, "\n{}", look.paint(Tone::Strong, &format!("weak: {}", weak.len())))?;
    for (report, weak) in weak {
        let (severity, tone) = match weak.severity {
            Severity::High => ("HIGH", Tone::Bad),
            Severity::Medium => ("medium", Tone::Warn),
            Severity::Low => ("low", Tone::Dim),
        };
        writeln!(
            out,
            "  {} {:width$}  {}",
            look.paint(tone, &format!("{severity:6}")),
            report.runtime,
            text::line(&weak.what)
        )?;
        writeln!(out, "         {:width$}  {} ({})", "", weak.why, weak.controls.join(", "))?;
        writeln!(out, "         {:width$}  {}", "", text::line(&weak.fix))?;
    }
    Ok(())
}
