//! Decides on each action before it is recorded, and keeps what deciding needs: the policy set in
//! force, what is known of the sessions, the approvals.

use crate::config::Config;
use crate::home::Home;
use anyhow::Context;
use fdr_policy::approvals::Approvals;
use fdr_policy::guard::Guard;
use fdr_policy::intent::{self, Place};
use fdr_policy::session::Sessions;
use fdr_policy::{PolicySet, SetFile, Source};
use fdr_record::{
    Action, ActionBody, Body, Facts, Hazard, Intent, IntentCheck, IntentSource, Mode, Observed, PolicyChange,
    PolicyDecision, Record, RecordId, Resource, Taint, Timestamp, Verb, Verdict, preview,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime};

/// Begins a prompt whose first line declares what it is about.
const INTENT_LINE: &str = "fdr-intent:";
/// How many ids of policies a record shows.
const MAX_POLICIES: usize = 16;
/// Links of a folder that are followed for a glob.
const MAX_LINKS: usize = 16;
/// Entries of a folder that are looked at for a glob.
const MAX_ENTRIES: usize = 1_024;
/// Agents whose processes are remembered.
const MAX_AGENTS: usize = 1_024;

/// Decides, for the recorder. Shared between its threads.
#[derive(Debug)]
pub struct Decider {
    sources: Vec<Source>,
    in_force: RwLock<InForce>,
    desk: Mutex<Desk>,
    /// A request for approval was answered.
    pub answered: Condvar,
    guard: Guard,
    good: PathBuf,
    started: Timestamp,
}

/// The policy set in force.
#[derive(Clone, Debug)]
struct InForce {
    set: Option<Arc<PolicySet>>,
    /// Why there is none.
    problem: String,
    /// What the folders looked like when they were read.
    seen: Vec<(PathBuf, Option<SystemTime>, u64)>,
}

/// What grows with the records.
#[derive(Debug, Default)]
pub struct Desk {
    sessions: Sessions,
    /// Requests and grants.
    pub approvals: Approvals,
    /// Answers that are queued and not yet durable, by request.
    pub unsettled: std::collections::HashSet<RecordId>,
    /// Attempts to tamper: how many, and the newest.
    pub tampering: (u64, Option<Tampering>),
    /// Processes of agents since this recorder runs, and when they were last heard of.
    agents: HashMap<u32, Timestamp>,
    /// What the external classifier said of a prompt.
    pub classified: HashMap<String, Intent>,
}

/// An attempt to tamper with what keeps the record.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Tampering {
    /// The action.
    pub record: RecordId,
    /// When.
    pub ts: Timestamp,
    /// What was tried.
    pub summary: String,
    /// Whether it was kept from happening.
    pub denied: bool,
}

impl Desk {
    /// Whether a process is one of an agent that was heard of; `began` is when it was started. A
    /// number may be another process's by now.
    pub fn is_agent(&self, pid: u32, began: Option<Timestamp>) -> bool {
        self.agents.get(&pid).is_some_and(|heard| began.is_none_or(|began| began <= *heard))
    }
}

/// A policy set that was offered: what the log is told of it.
#[derive(Debug)]
pub struct Offer {
    /// The record.
    pub change: PolicyChange,
    /// The whole text, file by file.
    pub files: Vec<SetFile>,
    next: InForce,
}

impl Decider {
    /// Decides by the sets that the configuration names. [`Decider::offer`] reads them.
    pub fn new(home: &Home, config: &Config) -> Decider {
        let sources = config.sources(home);
        let mut paths = vec![home.dir().to_string_lossy().into_owned()];
        for source in &sources {
            if let Source::Folder(folder) = source {
                paths.push(folder.to_string_lossy().into_owned());
            }
        }
        if let Ok(program) = std::env::current_exe() {
            for name in ["fdr", "fdr-hook"] {
                paths.push(program.with_file_name(name).to_string_lossy().into_owned());
            }
        }
        // Where a path is a link, it is guarded under both its names.
        for path in paths.clone() {
            if let Some(real) = real_path(&path, false) {
                paths.push(real);
            }
        }
        Decider {
            sources,
            in_force: RwLock::new(InForce {
                set: None,
                problem: "none was read".to_owned(),
                seen: Vec::new(),
            }),
            desk: Mutex::default(),
            answered: Condvar::new(),
            guard: Guard { paths, pid: std::process::id() },
            good: home.dir().join("policy.good"),
            started: crate::surroundings::wall_clock(),
        }
    }

    /// Decides by one set, whatever the configuration says.
    pub fn by_set(home: &Home, set: PolicySet) -> Decider {
        let decider = Decider::new(home, &Config::default());
        let in_force = InForce { set: Some(Arc::new(set)), problem: String::new(), seen: Vec::new() };
        Decider { in_force: RwLock::new(in_force), ..decider }
    }

    /// What grows with the records.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_force(&self) -> RwLockReadGuard<'_, InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy set in force.
    pub fn set(&self) -> Option<Arc<PolicySet>> {
        self.in_force().set.clone()
    }

    /// Why none is in force.
    pub fn problem(&self) -> String {
        self.in_force().problem.clone()
    }

    /// Reads the sources if they changed since they were read; `None` if they did not.
    ///
    /// A set that can't be used is refused, and the one before stays. A recorder that starts with
    /// such a set takes the last good one that was in force here.
    pub fn offer(&self) -> Option<Offer> {
        let seen = look(&self.sources);
        let before = self.in_force().clone();
        let first = before.seen.is_empty();
        if !first && before.seen == seen {
            return None;
        }
        let from = self.sources.iter().map(ToString::to_string).collect();
        match PolicySet::load(&self.sources) {
            Ok(set) => {
                if before.set.as_ref().is_some_and(|now| now.hash() == set.hash()) {
                    self.in_force.write().unwrap_or_else(PoisonError::into_inner).seen = seen;
                    return None;
                }
                let change = PolicyChange {
                    accepted: true,
                    set: Some(set.hash().to_owned()),
                    in_force: Some(set.hash().to_owned()),
                    from,
                    policies: set.policies().count() as u64,
                    errors: Vec::new(),
                };
                let files = set.files().to_vec();
                Some(Offer {
                    change,
                    files,
                    next: InForce { set: Some(Arc::new(set)), problem: String::new(), seen },
                })
            }
            Err(error) => {
                let kept = before.set.or_else(|| first.then(|| self.last_good()).flatten());
                let problem = error.to_string();
                let change = PolicyChange {
                    accepted: false,
                    set: None,
                    in_force: kept.as_ref().map(|set| set.hash().to_owned()),
                    from,
                    policies: kept.as_ref().map_or(0, |set| set.policies().count() as u64),
                    errors: problem.lines().take(32).map(preview).collect(),
                };
                Some(Offer {
                    change,
                    files: error.files().to_vec(),
                    next: InForce { set: kept, problem, seen },
                })
            }
        }
    }

    /// Puts an offered set in force; to be called while its record is put in the log's queue.
    pub fn take(&self, offer: &Offer) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = offer.next.clone();
    }

    /// Keeps the set in force for a start at which the folders can't be used.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn keep_good(&self) -> anyhow::Result<()> {
        let Some(set) = self.set() else { return Ok(()) };
        let files: Vec<(&str, &str)> =
            set.files().iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
        let path = self.good.with_extension("new");
        std::fs::write(&path, serde_json::to_vec(&files)?)
            .and_then(|()| std::fs::rename(&path, &self.good))
            .with_context(|| format!("can't write {}", self.good.display()))
    }

    fn last_good(&self) -> Option<Arc<PolicySet>> {
        let files: Vec<(String, String)> = serde_json::from_slice(&std::fs::read(&self.good).ok()?).ok()?;
        let files = files.into_iter().map(|(name, text)| SetFile { name, text }).collect();
        PolicySet::from_files(files).ok().map(Arc::new)
    }

    /// What a call takes in if it runs.
    fn taints(&self, set: Option<&PolicySet>, record: &Record) -> Vec<Taint> {
        set.map(|set| set.taints(record)).unwrap_or_default()
    }

    /// Marks the removal of everything behind a link, as `find link/ -delete` does: the record can't
    /// tell it from that of the link itself.
    fn mark_emptied(&self, body: &mut ActionBody) {
        let removed =
            body.actions.iter_mut().filter(|action| action.recursive && action.action == Verb::Delete);
        for action in removed.filter(|action| action.resource.kind() == "file") {
            let real = real_path(action.resource.name(), false);
            action.tamper |= real.is_some_and(|real| self.guard.is_guarded_path(&real, true));
        }
    }

    /// Decides on the action of a record; `taint` is what its agent is known to have taken in
    /// beside what the records tell.
    pub fn decide(&self, record: &mut Record, home: &str, taint: &[Taint]) {
        let late = record.observed.as_ref().is_some_and(|observed| observed.late);
        let told_later = record.claimed.as_ref().is_some_and(|claimed| claimed.source == "transcript");
        let Body::Action(mut body) = std::mem::replace(&mut record.body, Body::Gap(Default::default()))
        else {
            return;
        };
        let live = !late && !told_later;
        if live {
            follow_links(&mut body);
        }
        self.guard.mark(&mut body);
        if live {
            self.mark_emptied(&mut body);
        }
        let start = Instant::now();
        let desk = self.desk();
        let mut facts = desk.sessions.facts(record, &body, home);
        if live {
            let real = facts.workspace.iter().filter_map(|root| real_path(root, false)).collect::<Vec<_>>();
            facts.workspace.extend(real.into_iter().filter(|real| *real != "/"));
            facts.workspace.dedup();
        }
        if let Some((by, intent)) = desk.sessions.intent(record) {
            let (scope, reason) = intent::check(intent, record.ts, &body, &place(record, &facts));
            body.intent = Some(IntentCheck { scope, by, reason: preview(&reason) });
        }
        drop(desk);
        facts.taint.extend(taint);
        body.facts = Some(facts);
        let mode = body.policy.mode;
        record.body = Body::Action(body);
        let mut policy = match self.set() {
            Some(set) => decision(&set, record, mode),
            None => PolicyDecision {
                decision: Verdict::Deny,
                reason: preview(&format!("no policy set is in force: {}", self.problem())),
                ..PolicyDecision::undecided(mode)
            },
        };
        policy.took_us = start.elapsed().as_micros() as u64;
        let grant = match &record.body {
            Body::Action(body) if policy.decision == Verdict::Ask && mode == Mode::Enforce => {
                let asked = ActionBody { policy: policy.clone(), ..body.clone() };
                self.desk().approvals.grant_for(record, &asked, record.ts)
            }
            _ => None,
        };
        if let Body::Action(body) = &mut record.body {
            body.policy = policy;
            body.approved = grant;
        }
    }
}

/// What a set says of a recorded action, as it stands in the record.
pub fn decision(set: &PolicySet, record: &Record, mode: Mode) -> PolicyDecision {
    let mut decision = set.decide(record);
    let more = decision.policies.len().saturating_sub(MAX_POLICIES);
    decision.policies.truncate(MAX_POLICIES);
    if more > 0 {
        // Says that there are others, and is none that a grant could have been asked for by.
        decision.policies.push(format!("and {more} more: {}", record.id));
    }
    PolicyDecision {
        decision: decision.verdict,
        mode,
        reason: preview(&decision.reason),
        policies: decision.policies,
        four_eyes: decision.four_eyes,
        set: Some(set.hash().to_owned()),
        took_us: 0,
    }
}

/// Where the agent is.
fn place<'a>(record: &'a Record, facts: &'a Facts) -> Place<'a> {
    let env = record.env.as_ref();
    Place {
        cwd: env.and_then(|env| env.cwd.as_deref()).unwrap_or_default(),
        home: &facts.home,
        repo: facts.workspace.first().map(String::as_str).unwrap_or_default(),
    }
}

/// Whether a process can be an agent: orphans are below the first process or a session's manager,
/// and people's shells are below these, too.
fn is_own(observed: &Observed) -> bool {
    const MANAGERS: [&str; 7] = ["systemd", "init", "tmux", "tmux: server", "screen", "sshd", "login"];
    let exe = observed.exe.as_deref().unwrap_or_default();
    observed.pid != Some(1) && !MANAGERS.contains(&exe.rsplit('/').next().unwrap_or_default())
}

/// The judge of a recorder's state.
#[derive(Debug)]
pub struct Bench(pub Arc<Decider>);

impl fdr_capture::Judge for Bench {
    fn forget(&mut self, session: &str) {
        let mut desk = self.0.desk();
        desk.sessions.forget(session);
        desk.approvals.forget(session);
    }

    fn observe(&mut self, record: &Record) {
        let set = self.0.set();
        let mut desk = self.0.desk();
        let taints = |record: &Record| self.0.taints(set.as_deref(), record);
        desk.sessions.observe(record, &taints);
        desk.approvals.observe(record);
        if let Some(pid) = record.observed.as_ref().filter(|observed| is_own(observed)).and_then(|o| o.pid)
            && record.agent.is_some()
            && record.ts >= self.0.started
        {
            if desk.agents.len() >= MAX_AGENTS
                && let Some(oldest) = desk.agents.iter().min_by_key(|(_, ts)| **ts).map(|(pid, _)| *pid)
            {
                desk.agents.remove(&oldest);
            }
            desk.agents.insert(pid, record.ts);
        }
        if let Body::Action(body) = &record.body
            && body.actions.iter().any(|action| action.tamper)
        {
            desk.tampering.0 += 1;
            desk.tampering.1 = Some(Tampering {
                record: record.id,
                ts: record.ts,
                summary: body.summary.clone(),
                denied: body.policy.mode == Mode::Enforce && body.policy.decision == Verdict::Deny,
            });
        }
    }

    fn decide(&mut self, record: &mut Record, home: &str) {
        self.0.decide(record, home, &[]);
    }

    fn intent(&mut self, prompt: &Record, text: &str, home: &str) -> Option<Intent> {
        let mut desk = self.0.desk();
        let facts = desk.sessions.facts(prompt, &no_action(), home);
        let place = place(prompt, &facts);
        let classified = desk.classified.remove(text);
        // A person may declare the scope in the first line of a prompt.
        let (declared, text) = match text.strip_prefix(INTENT_LINE) {
            Some(rest) => rest.split_once('\n').map_or((Some(rest), ""), |(line, rest)| (Some(line), rest)),
            None => (None, text),
        };
        let mut new = classified.unwrap_or_else(|| intent::derive(text, &place));
        match declared.map(|line| intent::declared(line, &place)) {
            Some(Ok(declared)) => new = intent::merge(Some((prompt.id, &declared)), &new),
            // It was meant to narrow, so nothing that it could have excluded may pass for asked for.
            Some(Err(error)) => {
                new = Intent {
                    closed: true,
                    allow: Vec::new(),
                    summary: preview(&format!("nothing: the line {INTENT_LINE} can't be read: {error}")),
                    ..new
                }
            }
            None => {}
        }
        let before = desk
            .sessions
            .intent(prompt)
            .filter(|(_, before)| before.expires.is_none_or(|expires| prompt.ts < expires));
        Some(intent::merge(before, &new))
    }
}

fn no_action() -> ActionBody {
    ActionBody::new("", String::new(), Default::default(), PolicyDecision::undecided(Mode::Observe))
}

/// Runs the external classifier on a prompt. Its rules are read as those that a person declares.
///
/// # Errors
/// When it can't be run, fails, takes longer than its time, or prints no valid rules.
pub fn classify(command: &[String], text: &str, place: &Place<'_>) -> anyhow::Result<Intent> {
    let out = crate::command::output_of(command, text.as_bytes(), std::time::Duration::from_secs(3))?;
    let intent = intent::declared(&String::from_utf8_lossy(&out), place)?;
    Ok(Intent { source: IntentSource::Classifier, ..intent })
}

/// Sets where links lead, for the files of a call that exist.
fn follow_links(body: &mut ActionBody) {
    let mut more = Vec::new();
    for action in &mut body.actions {
        if action.resource.kind() == "file" {
            let path = action.resource.name();
            // Removing or renaming a link does nothing to where it leads.
            let itself = matches!(action.action, Verb::Delete | Verb::Move);
            action.resolves_to = real_path(path, itself);
            if !itself {
                more.extend(links_of_glob(path).into_iter().map(|(link, real)| Action {
                    resource: Resource::new("file", link),
                    resolves_to: Some(real),
                    ..action.clone()
                }));
            }
        }
        if let Some(to) = action.to.as_ref().filter(|to| to.kind() == "file") {
            action.to_resolves_to = real_path(to.name(), false);
        }
    }
    if more.len() > MAX_LINKS {
        body.hazards.push(Hazard::LeftOut);
        body.opaque.push("more links than are followed stand in a folder that this names".to_owned());
        more.truncate(MAX_LINKS);
    }
    body.actions.extend(more);
    let named = body.named.iter().filter(|resource| resource.kind() == "file");
    let real: Vec<Resource> = named
        .filter_map(|resource| Some(Resource::new("file", real_path(resource.name(), false)?)))
        .collect();
    body.named.extend(real);
}

/// The links among the files that a glob stands for, and where they lead; only the last name may
/// have stars.
fn links_of_glob(path: &str) -> Vec<(String, String)> {
    let Some((folder, pattern)) = path.rsplit_once('/') else { return Vec::new() };
    if !pattern.contains(['*', '?', '[']) || folder.contains(['*', '?', '[']) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES) {
        if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        let link = format!("{folder}/{name}");
        if fdr_policy::may_be(path, &link)
            && let Some(real) = real_path(&link, false)
        {
            found.push((link, real));
        }
    }
    found.sort();
    found
}

/// Where a path leads, if that is another path: links are followed as far as the file, or the
/// folders that are there, and the rest is added as it is. A pattern is followed up to its first
/// star.
fn real_path(path: &str, last_itself: bool) -> Option<String> {
    let fixed = match path.find(['*', '?', '[']) {
        Some(star) => &path[..=path[..star].rfind('/')?],
        None => path,
    };
    let fixed_path = Path::new(fixed);
    let start = if last_itself && fixed.len() == path.len() { fixed_path.parent()? } else { fixed_path };
    let (real, below) = start.ancestors().find_map(|folder| {
        let real = std::fs::canonicalize(folder).ok()?;
        Some((real, folder))
    })?;
    let rest = Path::new(path).strip_prefix(below).ok()?;
    let real = if rest.as_os_str().is_empty() { real } else { real.join(rest) };
    real.to_str().filter(|real| *real != path.trim_end_matches('/') && *real != path).map(str::to_owned)
}

/// What the folders look like: their files, when these were changed, and how long they are.
fn look(sources: &[Source]) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let mut seen = vec![(PathBuf::new(), None, 0)];
    for source in sources {
        let Source::Folder(folder) = source else { continue };
        seen.push((folder.clone(), None, u64::from(folder.is_dir())));
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let stat = std::fs::metadata(entry.path()).ok();
            let changed = stat.as_ref().and_then(|stat| stat.modified().ok());
            seen.push((entry.path(), changed, stat.map_or(0, |stat| stat.len())));
        }
    }
    seen.sort();
    seen
}
