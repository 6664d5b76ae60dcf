//! `fdr replay`: decides on the recorded actions again, under another policy set, and says what
//! would change.
//!
//! A decision depends on the set and the record of the action alone, so this is exact: with the
//! sets that were in force (`--policy recorded`) every decision comes out as it is recorded.

use crate::filter::parse_time;
use crate::home::Home;
use crate::judge;
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::Trail;
use anyhow::{Context, bail};
use fdr_log::Entry;
use fdr_policy::{PolicySet, SetFile, Source};
use fdr_record::{Body, PolicyDecision, Record, RecordId, Timestamp, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// Lines that a thread decides on at once.
const CHUNK: usize = 512;
/// Examples that are kept.
const MAX_EXAMPLES: usize = 20;
/// Agents, policies and resources that are shown of each.
const MAX_SHOWN: usize = 10;

/// Options of `fdr replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The set to decide by: a starter set, a folder (with a `/`), several of these, or
    /// `recorded` for the sets that were in force then
    #[arg(long, value_name = "SET", required = true, num_args = 1..)]
    policy: Vec<String>,
    /// Only this session: the beginning of its id
    #[arg(long)]
    session: Option<String>,
    /// Only since: -7d, -2h, today, yesterday, 2026-11-24, or RFC 3339
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    look: LookArgs,
}

/// The sets to decide by.
enum Sets {
    One(Arc<PolicySet>),
    /// By hash.
    Recorded(HashMap<String, Arc<PolicySet>>),
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Actions that were decided on again.
    decided: u64,
    /// Actions that no policy set had decided on, or none that is known.
    skipped: u64,
    /// Decisions with another verdict.
    changed: u64,
    /// Decisions with the same verdict for other reasons.
    other_reasons: u64,
    /// From verdict to verdict.
    verdicts: BTreeMap<String, u64>,
    /// Changed decisions by the policies that make the new one.
    by_policy: BTreeMap<String, u64>,
    /// By agent.
    by_agent: BTreeMap<String, u64>,
    /// By the first resource of the action.
    by_resource: BTreeMap<String, u64>,
    examples: Vec<Example>,
}

#[derive(Clone, Debug, Serialize)]
struct Example {
    record: RecordId,
    ts: Timestamp,
    session: Option<String>,
    summary: String,
    before: Verdict,
    after: Verdict,
    reason: String,
    policies: Vec<String>,
}

/// Decides again; exit status 1 if a verdict changes.
///
/// # Errors
/// When a set or the log can't be read.
pub fn run(args: &ReplayArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let trail = Trail::open(home.dir())?;
    let since = args.since.as_deref().map(|text| parse_time(text, &look)).transpose()?;
    let sets = match args.policy.as_slice() {
        [one] if one == "recorded" => Sets::Recorded(recorded_sets(&trail)?),
        named => {
            let base = std::env::current_dir()?;
            let sources: Vec<Source> = named.iter().map(|text| Source::parse(text, &base)).collect();
            Sets::One(Arc::new(PolicySet::load(&sources)?))
        }
    };
    let start = Instant::now();
    let outcome = decide_again(&trail, &sets, args.session.as_deref(), since)?;
    if args.json {
        serde_json::to_writer(&mut *out, &outcome)?;
        writeln!(out)?;
    } else {
        print(&outcome, &sets, start, &look, out)?;
    }
    Ok(trail.finish(u8::from(outcome.changed > 0)))
}

/// Every policy set that the log holds the text of.
///
/// # Errors
/// Those of reading the log, and when a recorded set can't be read by this version.
pub fn recorded_sets(trail: &Trail) -> anyhow::Result<HashMap<String, Arc<PolicySet>>> {
    let mut sets = HashMap::new();
    let named = memchr::memmem::Finder::new(b"\"kind\":\"policy.change\"");
    let mut changes = Vec::new();
    trail.scan(0, u64::MAX, |entry| {
        if named.find(&entry.bytes).is_some() {
            changes.push((entry.index, Record::parse(&entry.bytes)?));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (index, record) in changes {
        let Body::PolicyChange(change) = &record.body else { continue };
        let Some(hash) = change.set.as_ref().filter(|hash| change.accepted && !sets.contains_key(*hash))
        else {
            continue;
        };
        let mut files = Vec::new();
        for reference in record.content.iter().filter(|reference| reference.role == "policy") {
            let content = trail.content(index, reference)?;
            let content =
                content.with_context(|| format!("the text of policy set {hash} is not in the log"))?;
            let text = String::from_utf8(content.bytes).context("the text of a policy set is not UTF-8")?;
            let (name, text) = text.split_once('\n').context("a policy file without a name")?;
            files.push(SetFile { name: name.to_owned(), text: text.to_owned() });
        }
        let set = PolicySet::from_files(files)
            .with_context(|| format!("this version can't read the recorded policy set {hash}"))?;
        if set.hash() != hash {
            bail!("the recorded text of policy set {hash} gives {}", set.hash());
        }
        sets.insert(hash.clone(), Arc::new(set));
    }
    Ok(sets)
}

fn decide_again(
    trail: &Trail,
    sets: &Sets,
    session: Option<&str>,
    since: Option<Timestamp>,
) -> anyhow::Result<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let (mut senders, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (sender, receiver) = sync_channel::<Vec<Vec<u8>>>(4);
            senders.push(sender);
            workers.push(scope.spawn(move || work(&receiver, sets, session, since)));
        }
        let named = memchr::memmem::Finder::new(b"\"kind\":\"action\"");
        let (mut chunk, mut turn) = (Vec::with_capacity(CHUNK), 0);
        trail.scan(0, u64::MAX, |entry: Entry| {
            if named.find(&entry.bytes).is_some() {
                chunk.push(entry.bytes);
            }
            if chunk.len() >= CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                // A thread that ended has failed, which its join tells.
                let _ = senders[turn % threads].send(full);
                turn += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let _ = senders[turn % threads].send(chunk);
        drop(senders);
        let mut outcome = Outcome::default();
        for worker in workers {
            let part = worker.join().map_err(|_| anyhow::anyhow!("deciding failed"))??;
            outcome.add(part);
        }
        outcome.examples.sort_by_key(|example| example.record);
        outcome.examples.truncate(MAX_EXAMPLES);
        Ok(outcome)
    })
}

fn work(
    chunks: &Receiver<Vec<Vec<u8>>>,
    sets: &Sets,
    session: Option<&str>,
    since: Option<Timestamp>,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for line in chunks.iter().flatten() {
        let record = Record::parse(&line)?;
        let Body::Action(body) = &record.body else { continue };
        let is_wanted = session
            .is_none_or(|session| record.session.as_deref().is_some_and(|id| id.starts_with(session)))
            && since.is_none_or(|since| record.ts >= since);
        if !is_wanted {
            continue;
        }
        let set = match (sets, &body.policy.set) {
            (_, None) => None,
            (Sets::One(set), Some(_)) => Some(set),
            (Sets::Recorded(sets), Some(hash)) => Some(
                sets.get(hash).with_context(|| format!("the text of policy set {hash} is not in the log"))?,
            ),
        };
        match set {
            Some(set) => {
                outcome.compare(&record, &body.policy, &judge::decision(set, &record, body.policy.mode))
            }
            None => outcome.skipped += 1,
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn compare(&mut self, record: &Record, before: &PolicyDecision, after: &PolicyDecision) {
        self.decided += 1;
        if before.decision == after.decision {
            self.other_reasons +=
                u64::from(before.policies != after.policies || before.reason != after.reason);
            return;
        }
        self.changed += 1;
        let Body::Action(body) = &record.body else { return };
        let mut count = |of: fn(&mut Outcome) -> &mut BTreeMap<String, u64>, key: String| {
            *of(self).entry(key).or_default() += 1;
        };
        count(
            |outcome| &mut outcome.verdicts,
            format!("{} -> {}", before.decision.as_str(), after.decision.as_str()),
        );
        let policies = if after.decision == Verdict::Permit { &before.policies } else { &after.policies };
        for policy in policies {
            count(|outcome| &mut outcome.by_policy, policy.clone());
        }
        let agent = record.agent.as_ref().map_or("unknown", |agent| agent.name.as_str());
        count(|outcome| &mut outcome.by_agent, agent.to_owned());
        let resource = body.actions.first().map_or_else(String::new, |action| action.resource.to_string());
        count(|outcome| &mut outcome.by_resource, resource);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(Example {
                record: record.id,
                ts: record.ts,
                session: record.session.clone(),
                summary: body.summary.clone(),
                before: before.decision,
                after: after.decision,
                reason: after.reason.clone(),
                policies: after.policies.clone(),
            });
        }
    }

    fn add(&mut self, part: Outcome) {
        self.decided += part.decided;
        self.skipped += part.skipped;
        self.changed += part.changed;
        self.other_reasons += part.other_reasons;
        for (into, from) in [
            (&mut self.verdicts, part.verdicts),
            (&mut self.by_policy, part.by_policy),
            (&mut self.by_agent, part.by_agent),
            (&mut self.by_resource, part.by_resource),
        ] {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
        self.examples.extend(part.examples);
    }
}

fn print(
    outcome: &Outcome,
    sets: &Sets,
    start: Instant,
    look: &Look,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let under = match sets {
        Sets::One(set) => format!("policy set {}", short_hash(set.hash())),
        Sets::Recorded(sets) => {
            format!("the {} that were in force", text::counted(sets.len() as u64, "policy set"))
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        out,
        "decided   {} again under {under} in {seconds:.1} s",
        text::counted(outcome.decided, "action")
    )?;
    if outcome.skipped > 0 {
        writeln!(
            out,
            "left out  {}, which no policy set decided on",
            text::counted(outcome.skipped, "action")
        )?;
    }
    if outcome.other_reasons > 0 {
        writeln!(out, "same      {} with the same verdict for other reasons", outcome.other_reasons)?;
    }
    let tone = if outcome.changed == 0 { Tone::Good } else { Tone::Warn };
    writeln!(out, "changed   {}", look.paint(tone, &text::counted(outcome.changed, "decision")))?;
    for (title, counts) in [
        ("verdict", &outcome.verdicts),
        ("policy", &outcome.by_policy),
        ("agent", &outcome.by_agent),
        ("resource", &outcome.by_resource),
    ] {
        let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
        counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for (key, count) in counts.iter().take(MAX_SHOWN) {
            writeln!(out, "  {title:9} {count:>8}  {}", text::line(key))?;
        }
        if counts.len() > MAX_SHOWN {
            writeln!(out, "  {title:9} {:>8}  more", counts.len() - MAX_SHOWN)?;
        }
    }
    for example in outcome.examples.iter().take(MAX_SHOWN) {
        writeln!(
            out,
            "  {}  {} -> {}  {}\n      {}",
            &example.record.to_string()[28..],
            example.before.as_str(),
            example.after.as_str(),
            text::line(&example.summary),
            text::line(&example.reason)
        )?;
    }
    Ok(())
}

/// Enough of a hash to tell sets apart.
pub fn short_hash(hash: &str) -> &str {
    hash.strip_prefix("sha256:").and_then(|hex| hex.get(..12)).unwrap_or(hash)
}
