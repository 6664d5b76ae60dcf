//! `fdr policy`: check, test and explain policy sets, and decide by them without recording.

use crate::config::Config;
use crate::home::Home;
use crate::judge;
use crate::replay::{recorded_sets, short_hash};
use crate::surroundings::{Machine, boot_clock, wall_clock};
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::Trail;
use anyhow::{Context, bail, ensure};
use fdr_capture::{Arrival, Judge, State, mcp};
use fdr_policy::table::{self, Case};
use fdr_policy::{PolicySet, Source};
use fdr_record::{Body, ContentKey, Env, Mode, Observed, Record, Taint, Verdict};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// `fdr policy`.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read a set and say whether it is valid.
    Check {
        /// Starter sets and folders (with a `/`); those of the configuration, if none is given
        sets: Vec<String>,
    },
    /// Run files of expected decisions against a set.
    Test {
        /// The set that cases are decided by which name none
        #[arg(long, value_name = "SET")]
        policy: Vec<String>,
        /// Files, one case a line: VERDICT | SET | TOOL | FLAGS | INPUT (see docs/policy.md)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Decide on one tool call, without recording it.
    Decide(DecideArgs),
    /// Say which policies and attributes made a recorded decision, and what would turn it.
    Explain {
        /// The action's record: the end or beginning of its id, or @INDEX
        record: String,
        /// Explain the decision of this set instead of the recorded one
        #[arg(long, value_name = "SET")]
        policy: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say in which policies two sets differ; exit status 1 if they do.
    Diff {
        /// A starter set or a folder (with a `/`)
        before: String,
        /// Another one
        after: String,
    },
    /// List the policies of a set, or the starter sets.
    List {
        /// Starter sets and folders (with a `/`); those of the configuration, if none is given
        sets: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a starter set into a folder, to be changed there.
    Copy {
        /// The starter set
        set: String,
        /// The folder; it must not exist
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct DecideArgs {
    /// The set: a starter set, a folder (with a `/`), or several; those of the configuration, if
    /// none is given
    #[arg(long, value_name = "SET")]
    policy: Vec<String>,
    /// The runtime: claude-code, codex, gemini-cli …, or mcp:SERVER
    #[arg(long, default_value = "claude-code")]
    runtime: String,
    /// The agent's working directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    cwd: PathBuf,
    /// The user's home folder
    #[arg(long, value_name = "DIR")]
    home_dir: Option<String>,
    /// Name of the tool, as the runtime calls it
    #[arg(long)]
    tool: String,
    /// Its arguments, as JSON; `-` for standard input
    #[arg(long, value_name = "JSON")]
    input: String,
    /// A prompt that the session begins with: the intent is read out of it
    #[arg(long)]
    prompt: Option<String>,
    /// What the agent has taken in: secret, web, tool, outside, injection
    #[arg(long, value_delimiter = ',')]
    taint: Vec<String>,
    /// The branch that is checked out
    #[arg(long)]
    branch: Option<String>,
    /// The runtime's permission mode
    #[arg(long)]
    permission_mode: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out the command.
///
/// # Errors
/// When a set is not valid, or something can't be read.
pub fn run(args: PolicyArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match args.command {
        Command::Check { sets } => check(&sources(&sets, home)?, out),
        Command::Test { policy, files } => test(&policy, &files, home, out),
        Command::Decide(args) => decide(&args, home, out),
        Command::Explain { record, policy, json } => explain(&record, &policy, json, home, out),
        Command::Diff { before, after } => diff(&before, &after, out),
        Command::List { sets, json } => list(&sets, json, home, out),
        Command::Copy { set, folder } => copy(&set, &folder, out),
    }
}

fn sources(named: &[String], home: &Home) -> anyhow::Result<Vec<Source>> {
    if named.is_empty() {
        return Ok(Config::load(home)?.sources(home));
    }
    let base = std::env::current_dir()?;
    Ok(named.iter().map(|text| Source::parse(text, &base)).collect())
}

fn check(sources: &[Source], out: &mut dyn Write) -> anyhow::Result<u8> {
    match PolicySet::load(sources) {
        Ok(set) => {
            let count = |verdict| set.policies().filter(|policy| policy.verdict == verdict).count();
            writeln!(
                out,
                "valid: {} policies ({} permit, {} deny, {} ask) in {} files, set {}",
                set.policies().count(),
                count(Verdict::Permit),
                count(Verdict::Deny),
                count(Verdict::Ask),
                set.files().len(),
                set.hash()
            )?;
            Ok(0)
        }
        Err(error) => {
            for line in error.to_string().lines() {
                writeln!(out, "{}", text::line(line))?;
            }
            Ok(1)
        }
    }
}

fn list(named: &[String], json: bool, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let sources = sources(named, home)?;
    let set = PolicySet::load(&sources)?;
    if json {
        let all: Vec<_> = set
            .policies()
            .map(|policy| {
                json!({"id": policy.id, "verdict": policy.verdict, "four_eyes": policy.four_eyes, "reason": policy.reason,
                       "control": policy.control, "file": policy.file, "line": policy.line})
            })
            .collect();
        serde_json::to_writer(&mut *out, &json!({"set": set.hash(), "policies": all}))?;
        writeln!(out)?;
        return Ok(0);
    }
    if named.is_empty() {
        let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "in force by the configuration: {}; starter sets: {}\n",
            names.join(", "),
            PolicySet::STARTERS.join(", ")
        )?;
    }
    for policy in set.policies() {
        let verdict = if policy.four_eyes { "ASK (two)" } else { policy.verdict.as_str() };
        writeln!(out, "{verdict:9}  {:40}  {}", text::line(&policy.id), text::line(&policy.reason))?;
        writeln!(out, "{:9}  {:40}  {}", "", "", text::line(&policy.control))?;
    }
    Ok(0)
}

fn copy(set: &str, folder: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    ensure!(
        PolicySet::STARTERS.contains(&set),
        "'{set}' is no starter set\n  there are: {}",
        PolicySet::STARTERS.join(", ")
    );
    let set = PolicySet::load(&[Source::Starter(set.to_owned())])?;
    std::fs::create_dir(folder).with_context(|| format!("can't make {}", folder.display()))?;
    for file in set.files() {
        // What guards the recorder is part of every set.
        let Some(name) = Path::new(&file.name).file_name().filter(|_| !file.name.starts_with("fdr/")) else {
            continue;
        };
        std::fs::write(folder.join(name), &file.text)?;
        writeln!(out, "wrote {}", folder.join(name).display())?;
    }
    writeln!(out, "to use it:  policies = [\"{}/\"] in config.toml", std::path::absolute(folder)?.display())?;
    Ok(0)
}

fn diff(before: &str, after: &str, out: &mut dyn Write) -> anyhow::Result<u8> {
    let base = std::env::current_dir()?;
    let load = |text: &str| PolicySet::load(&[Source::parse(text, &base)]);
    let (before, after) = (load(before)?, load(after)?);
    let texts = |set: &PolicySet| -> BTreeMap<String, String> {
        let policies = set.policies().map(|policy| (policy.id.clone(), policy.text.clone()));
        let lists = set.files().iter().filter(|file| file.name.ends_with(".toml"));
        // A list has another name in each set.
        policies.chain(lists.map(|file| ("lists.toml".to_owned(), file.text.clone()))).collect()
    };
    let (old, new) = (texts(&before), texts(&after));
    let mut changed = 0;
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (from, to) = (old.get(name), new.get(name));
        if from == to {
            continue;
        }
        changed += 1;
        let what = match (from, to) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        writeln!(out, "{what} {}", text::line(name))?;
        let (from, to) = (from.map_or("", String::as_str), to.map_or("", String::as_str));
        for change in similar::TextDiff::from_lines(from, to).iter_all_changes() {
            let sign = match change.tag() {
                similar::ChangeTag::Equal => continue,
                similar::ChangeTag::Delete => '-',
                similar::ChangeTag::Insert => '+',
            };
            writeln!(out, "  {sign} {}", text::line(change.value().trim_end()))?;
        }
    }
    writeln!(out, "{} of {} and {} policies and lists differ", changed, old.len(), new.len())?;
    Ok(u8::from(changed > 0))
}

fn test(policy: &[String], files: &[PathBuf], home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut sets: BTreeMap<Vec<String>, PolicySet> = BTreeMap::new();
    let (mut right, mut wrong, mut known) = (0, 0, 0);
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
        let cases: Vec<Case> = table::parse(&text).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{} is no table: {}", file.display(), lines.join("; "))
        })?;
        // The tables name Claude Code's tools.
        let normalise = fdr_capture::runtime("claude-code").context("no runtime claude-code")?.normalise;
        for case in &cases {
            let set = match sets.get(&case.sets) {
                Some(set) => set,
                None => {
                    let named = if case.sets.is_empty() { policy } else { &case.sets };
                    let loaded = PolicySet::load(&sources(named, home)?)?;
                    sets.entry(case.sets.clone()).or_insert(loaded)
                }
            };
            let (found, _) = normalise(&case.tool, &case.input, &case.cwd, &case.home);
            let got = set.decide(&case.record(found));
            let is_right = got.verdict == case.verdict
                && case.by.as_ref().is_none_or(|policy| got.policies.contains(policy));
            if is_right && case.known.is_some() {
                wrong += 1;
                writeln!(
                    out,
                    "{}:{}: marked as known to be wrong, and right now: take the mark away",
                    file.display(),
                    case.line
                )?;
            } else if is_right {
                right += 1;
            } else if case.known.is_some() {
                known += 1;
            } else {
                wrong += 1;
                writeln!(
                    out,
                    "{}:{}: want {}, got {}: {}\n    {}",
                    file.display(),
                    case.line,
                    case.verdict.as_str(),
                    got.verdict.as_str(),
                    text::line(&case.text),
                    text::line(&got.reason)
                )?;
            }
        }
    }
    let marked = if known > 0 { format!("; {known} are known not to be") } else { String::new() };
    writeln!(out, "{right} of {} decisions as expected{marked}", right + wrong + known)?;
    Ok(u8::from(wrong > 0))
}

fn decide(args: &DecideArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let set = PolicySet::load(&sources(&args.policy, home)?)?;
    let record = record_of(args, home, set)?;
    let Body::Action(body) = &record.body else { bail!("this call gives no action") };
    let policy = &body.policy;
    if args.json {
        let told = json!({
            "decision": policy.decision, "reason": policy.reason, "policies": policy.policies,
            "set": policy.set, "took_us": policy.took_us, "intent": body.intent,
            "actions": body.actions, "opaque": body.opaque, "hazards": body.hazards, "facts": body.facts,
        });
        serde_json::to_writer(&mut *out, &told)?;
        writeln!(out)?;
        return Ok(0);
    }
    writeln!(out, "{}  {}", policy.decision.as_str(), text::line(&policy.reason))?;
    writeln!(out, "by        {}", text::line(&policy.policies.join(", ")))?;
    for action in &body.actions {
        writeln!(out, "action    {} {}", action.action, text::line(action.resource.as_str()))?;
    }
    for reason in &body.opaque {
        writeln!(out, "opaque    {}", text::line(reason))?;
    }
    if let Some(intent) = &body.intent {
        writeln!(out, "intent    {}: {}", intent.scope.as_str(), text::line(&intent.reason))?;
    }
    writeln!(
        out,
        "took      {} µs, set {}",
        policy.took_us,
        short_hash(policy.set.as_deref().unwrap_or_default())
    )?;
    Ok(0)
}

/// The record that this call would give, decided on as the recorder would.
fn record_of(args: &DecideArgs, home: &Home, set: PolicySet) -> anyhow::Result<Record> {
    let cwd = std::path::absolute(&args.cwd)?.to_string_lossy().into_owned();
    let input = if args.input == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        args.input.clone()
    };
    let input: serde_json::Value =
        serde_json::from_str(&input).with_context(|| format!("--input is not JSON: {input}"))?;
    let taint = args.taint.iter().map(|word| taint(word)).collect::<anyhow::Result<Vec<Taint>>>()?;
    let (now, mono) = (wall_clock(), boot_clock());
    let env =
        Env { branch: args.branch.clone().or(Machine::new().env(&cwd).branch), ..Machine::new().env(&cwd) };
    let mut arrival = Arrival {
        now,
        mono,
        observed: Observed::default(),
        principal: Some(Machine::new().principal(rustix::process::getuid().as_raw())),
        env: Env { permission_mode: args.permission_mode.clone(), ..env },
        variables: vec![(mcp::SESSION_VARIABLE.to_owned(), "decide".to_owned())],
        home: args.home_dir.clone().or_else(|| std::env::var("HOME").ok()).unwrap_or_default(),
        mode: Mode::Enforce,
        content_key: &ContentKey::new([0; 32]),
        redacted: 0,
        attachment: None,
        identities: Vec::new(),
        ancestors: Vec::new(),
    };
    let decider = std::sync::Arc::new(judge::Decider::by_set(home, set));
    let mut state = State::with_judge(Box::new(Tainted { bench: judge::Bench(decider), taint }));
    let captured = match args.runtime.as_str() {
        runtime if runtime.starts_with("mcp:") => {
            arrival.env.cwd = Some(cwd);
            let line = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": args.tool, "arguments": input}});
            mcp::message(&runtime[4..], "client", line.to_string().as_bytes(), &arrival, &mut state)
        }
        name => {
            let Some(runtime) = fdr_capture::runtime(name) else {
                let known = crate::normalize::names();
                bail!("the runtime '{}' is not known\n  known are: {known}, mcp:SERVER", text::line(name))
            };
            let prompt = args.prompt.as_deref();
            runtime.imagine(prompt, &args.tool, &input, &cwd, &arrival, &mut state)
        }
    };
    let action = captured.records.into_iter().find(|record| matches!(record.body, Body::Action(_)));
    action.context("this call can't be read as an action")
}

/// A judge that is told what the agent has taken in.
#[derive(Debug)]
struct Tainted {
    bench: judge::Bench,
    taint: Vec<Taint>,
}

impl Judge for Tainted {
    fn forget(&mut self, session: &str) {
        self.bench.forget(session);
    }

    fn observe(&mut self, record: &Record) {
        self.bench.observe(record);
    }

    fn decide(&mut self, record: &mut Record, home: &str) {
        self.bench.0.decide(record, home, &self.taint);
    }

    fn intent(&mut self, prompt: &Record, text: &str, home: &str) -> Option<fdr_record::Intent> {
        self.bench.intent(prompt, text, home)
    }
}

fn taint(word: &str) -> anyhow::Result<Taint> {
    let all = [Taint::Secret, Taint::Web, Taint::Tool, Taint::Outside, Taint::Injection];
    all.into_iter()
        .find(|taint| taint.as_str() == word)
        .with_context(|| format!("'{word}' is no taint\n  there are: secret, web, tool, outside, injection"))
}

/// A record by the beginning of its id, or by `@` and its index.
fn find(trail: &Trail, id: &str) -> anyhow::Result<Record> {
    let index = match id.strip_prefix('@') {
        Some(index) => index.parse().with_context(|| format!("'{id}' is no index"))?,
        None => match trail.candidates(id)?.records.as_slice() {
            [(_, index)] => *index,
            [] => bail!("there is no record {}", text::line(id)),
            _ => bail!("more than one record begins with {}; give more of its id", text::line(id)),
        },
    };
    let row = trail.row(index)?;
    row.record().cloned().with_context(|| format!("record @{index} can't be read by this version"))
}

fn explain(id: &str, policy: &[String], json: bool, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let trail = Trail::open(home.dir())?;
    let record = find(&trail, id)?;
    let Body::Action(body) = &record.body else {
        bail!("record {} is a {}, not an action", record.id, record.kind)
    };
    let set = if !policy.is_empty() {
        std::sync::Arc::new(PolicySet::load(&sources(policy, home)?)?)
    } else {
        let hash = body
            .policy
            .set
            .as_deref()
            .with_context(|| format!("no policy set decided on this: {}", body.policy.reason))?;
        let mut sets = recorded_sets(&trail)?;
        sets.remove(hash).with_context(|| format!("the text of policy set {hash} is not in the log"))?
    };
    let explanation = set.explain(&record);
    if json {
        serde_json::to_writer(&mut *out, &explanation)?;
        writeln!(out)?;
        return Ok(0);
    }
    let look = Look::new(&LookArgs::default());
    let decision = &explanation.decision;
    let tone = if decision.verdict == Verdict::Permit { Tone::Good } else { Tone::Bad };
    writeln!(out, "{}  {}", look.paint(tone, decision.verdict.as_str()), text::line(&decision.reason))?;
    writeln!(out, "call      {}: {}", text::line(&body.tool), text::line(&body.summary))?;
    writeln!(out, "by        {}", text::line(&explanation.principal))?;
    writeln!(out, "set       {}", set.hash())?;
    for request in &explanation.requests {
        writeln!(out, "\n{} {}  ({})", request.action, text::line(&request.resource), request.resource_type)?;
        if let Some(error) = &request.error {
            writeln!(out, "  error    {}", text::line(error))?;
        }
        for policy in &request.policies {
            let place = format!("{}:{}", policy.file, policy.line);
            writeln!(
                out,
                "  policy   {} ({}), {}",
                text::line(&policy.id),
                policy.verdict.as_str(),
                text::line(&place)
            )?;
            writeln!(out, "           {}", text::line(&policy.reason))?;
            writeln!(out, "           {}", text::line(&policy.control))?;
        }
        if request.policies.is_empty() {
            writeln!(out, "  policy   none permits it")?;
        }
        for attribute in &request.attributes {
            writeln!(out, "  was      {} = {}", attribute.name, text::line(&attribute.value.to_string()))?;
        }
        for change in &request.changes {
            writeln!(out, "  turns    {}", text::line(&change.words))?;
        }
    }
    if explanation.requests_left_out > 0 {
        writeln!(out, "\nand {} more of the same verdict", explanation.requests_left_out)?;
    }
    Ok(0)
}
