//! A record in words: the label, names relative to where the agent worked, what was decided,
//! what came of it. The same words in every view.

use crate::text::{self, Look, Tone};
use crate::trail::{Decider, Effective, Facts, Parsed, Row, is_concluded, is_of_queue};
use fdr_record::{
    Action, ActionBody, Approval, Basis, Body, DecidedBy, InScope, Intent, IntentCheck, IntentSource, Mode,
    Outcome, PolicyChange, PolicyDecision, Reach, Record, Resource, ScopeRule, Taint, Timestamp, Verdict,
};
use serde_json::Value;

/// How much of a reason is shown on a line, in columns.
const REASON_COLUMNS: usize = 180;
/// Digits of an id that are shown, more where they don't tell ids apart.
const SHORT_ID: usize = 8;

/// Folders that names are shown relative to.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The working folder.
    pub cwd: Option<String>,
    /// The user's home.
    pub home: Option<String>,
}

impl Places {
    /// Where a record was made. The home is known only by convention: `/home/NAME`,
    /// `/Users/NAME`, `/root`.
    pub fn of(record: &Record) -> Places {
        let env = record.env.as_ref().and_then(|env| env.cwd.clone());
        let claimed = || record.claimed.as_ref().and_then(|claimed| claimed.cwd.clone());
        let cwd = env.or_else(claimed);
        let name = record.principal.as_ref().and_then(|principal| principal.name.as_deref());
        let home = name.map(|name| match name {
            "root" => "/root".to_owned(),
            name if cwd.as_deref().is_some_and(|cwd| cwd.starts_with("/Users/")) => format!("/Users/{name}"),
            name => format!("/home/{name}"),
        });
        Places { cwd, home }
    }

    /// The same without a working folder.
    pub fn only_home(mut self) -> Places {
        self.cwd = None;
        self
    }

    /// A path, with the home as `~`, escaped.
    pub fn path(&self, path: &str) -> String {
        let below = |base: &Option<String>, path: &str| {
            let base = base.as_deref().filter(|base| base.len() > 1)?;
            let rest = path.strip_prefix(base)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        let shown = if let Some(rest) = below(&self.cwd, path) {
            format!(".{rest}")
        } else if let Some(rest) = below(&self.home, path) {
            format!("~{rest}")
        } else {
            path.to_owned()
        };
        text::line(&shown)
    }

    /// A resource, escaped.
    pub fn resource(&self, resource: &Resource) -> String {
        match resource.kind() {
            kind @ ("file" | "proc") if resource.name().starts_with('/') => {
                format!("{kind}:{}", self.path(resource.name()))
            }
            _ => text::line(resource.as_str()),
        }
    }
}

/// The first digits of an id, escaped.
pub fn short(id: &str) -> String {
    text::line(&id.chars().take(SHORT_ID).collect::<String>())
}

/// `text` in quotation marks, escaped.
pub fn quoted(said: &str) -> String {
    format!("\"{}\"", text::line(said.trim_end()))
}

/// The word that a line begins with, and its tone.
pub fn label(row: &Row) -> (String, Tone) {
    let record = match &row.parsed {
        Parsed::Record(record) => record,
        Parsed::Unread(_) => return ("UNREAD".to_owned(), Tone::Warn),
    };
    let (word, tone) = match &record.body {
        Body::SessionStart(_) => ("START", Tone::Dim),
        Body::SessionEnd(_) => ("END", Tone::Strong),
        Body::Prompt(_) => ("PROMPT", Tone::Voice),
        Body::Context(_) => ("SAW", Tone::Dim),
        Body::Decision(_) => ("DECIDED", Tone::Voice),
        Body::Action(body) => return (verb_of(body), Tone::Strong),
        Body::Result(_) => ("RESULT", Tone::Plain),
        Body::ApprovalRequest(_) => ("ASKED", Tone::Warn),
        Body::ApprovalGrant(_) => ("GRANTED", Tone::Good),
        Body::ApprovalDeny(_) => ("REFUSED", Tone::Bad),
        Body::Message(body) if body.role == "assistant" => ("SAID", Tone::Voice),
        Body::Message(_) => ("MESSAGE", Tone::Dim),
        Body::ConfigChange(_) => ("CONFIG", Tone::Warn),
        Body::Intent(_) => ("INTENT", Tone::Voice),
        Body::PolicyChange(body) => ("POLICY", if body.accepted { Tone::Dim } else { Tone::Warn }),
        Body::Unparsed(_) => ("UNPARSED", Tone::Warn),
        Body::Gap(_) => ("GAP", Tone::Warn),
        Body::LogRestart(_) => ("RECORDER", Tone::Dim),
        // Kinds that have no word of their own here are shown by their name.
        _ => return (record.kind.as_str().to_uppercase(), Tone::Dim),
    };
    (word.to_owned(), tone)
}

/// The verb of the first action, in capitals.
pub fn verb_of(body: &ActionBody) -> String {
    body.actions.first().map_or("TOOL".to_owned(), |action| action.action.as_str().to_uppercase())
}

/// The resource of the first action, and how many more there are.
pub fn resource_of(body: &ActionBody, places: &Places) -> (String, u64) {
    let more = (body.actions.len() as u64).saturating_sub(1) + body.actions_left_out;
    match body.actions.first() {
        Some(action) => {
            let to = action.to.as_ref().map(|to| format!(" → {}", places.resource(to))).unwrap_or_default();
            (format!("{}{to}", places.resource(&action.resource)), more)
        }
        None => (String::new(), more),
    }
}

/// Tool and summary: `` Bash `rm -rf build` ``; the summary is left out where the resource
/// says it already.
pub fn call_of(body: &ActionBody, places: &Places) -> String {
    let tool = text::line(&body.tool);
    let summary = body.summary.trim();
    let said = body.actions.len() == 1 && body.actions.iter().any(|action| summary == action.resource.name());
    if summary.is_empty()
        || said
        || body.actions.first().is_some_and(|a| places.path(summary) == places.path(a.resource.name()))
    {
        return tool;
    }
    format!("{tool} `{}`", text::line(summary))
}

/// What a record says, in one line, for every kind but actions.
pub fn sentence(row: &Row, places: &Places) -> String {
    let record = match &row.parsed {
        Parsed::Record(record) => record,
        Parsed::Unread(unread) => {
            let raw = String::from_utf8_lossy(&row.line);
            return format!("{} · {}", text::line(&unread.why), text::line(&raw));
        }
    };
    match &record.body {
        Body::SessionStart(body) => {
            let source = body.source.as_deref().map(text::line).unwrap_or_default();
            match (&body.transcript, source.is_empty()) {
                (Some(transcript), false) => format!("{source} · transcript {}", places.path(transcript)),
                (Some(transcript), true) => format!("transcript {}", places.path(transcript)),
                (None, _) => source,
            }
        }
        Body::SessionEnd(body) => {
            let reason = body.reason.as_deref().filter(|reason| !reason.trim().is_empty());
            let reason = reason.map(|reason| format!(" ({})", text::line(reason))).unwrap_or_default();
            format!("{}{reason}", body.status.as_str())
        }
        Body::Prompt(body) => quoted(&body.preview),
        Body::Context(_) => saw(record, places),
        Body::Decision(body) => {
            let calls: Vec<String> = body.calls.iter().map(|call| text::line(&call.tool)).collect();
            let asked =
                if calls.is_empty() { String::new() } else { format!(" (asked for {})", calls.join(", ")) };
            format!("{}{asked}", rationale(record).unwrap_or_default()).trim_start().to_owned()
        }
        Body::Action(body) => {
            let (resource, more) = resource_of(body, places);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{resource}{more}  {}", call_of(body, places)).trim_start().to_owned()
        }
        Body::Result(body) => {
            let mut facts = Facts::default();
            facts.add_result(body);
            let mut said = format!("{}  {}", text::line(&body.tool), outcome(&facts).unwrap_or_default());
            if matches!(body.outcome, Outcome::Denied | Outcome::Rejected)
                && let (_, Some(by), basis) = facts.effective()
            {
                said.push_str(&format!(" {}", by_whom(by, basis)));
            }
            if let Some(reason) = reason_of_result(body) {
                said.push_str(&format!(": {reason}"));
            }
            if body.arguments_changed {
                said.push_str(" · arguments changed after the decision");
            }
            said
        }
        Body::ApprovalRequest(body) | Body::ApprovalGrant(body) | Body::ApprovalDeny(body) => {
            let reason = body.reason.as_deref().map(short_reason);
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!(
                "{} `{}`{}{reason}",
                text::line(&body.tool),
                text::line(&body.summary),
                approval_words(record, body)
            )
        }
        Body::Intent(body) => {
            let how = match body.source {
                IntentSource::Declared => format!("declared by {}", who(record)),
                IntentSource::Derived => "read from the prompt".to_owned(),
                IntentSource::Classifier => "read from the prompt by the classifier".to_owned(),
            };
            let lifetime = body.expires.and_then(|expires| between_ms(record.ts, expires));
            let lifetime = lifetime.map(|ms| format!(", for {}", text::duration_ms(ms))).unwrap_or_default();
            format!("{how}{lifetime}: {}", text::line(&body.summary))
        }
        Body::PolicyChange(body) => policy_change(body),
        Body::Message(body) if body.role == "assistant" => quoted(&body.preview),
        Body::Message(body) => format!("({}) {}", text::line(&body.role), quoted(&body.preview)),
        Body::ConfigChange(body) => {
            let resource = body.resource.as_ref().map(|resource| format!(" {}", places.resource(resource)));
            let detail = body.detail.as_deref().map(|detail| format!(": {}", text::line(detail)));
            format!(
                "{}{}{}",
                text::line(&body.what),
                resource.unwrap_or_default(),
                detail.unwrap_or_default()
            )
        }
        Body::Unparsed(body) => {
            let event =
                body.event.as_deref().map(|event| format!("{}: ", text::line(event))).unwrap_or_default();
            format!("{event}{}", text::line(&body.reason))
        }
        Body::Gap(body) => {
            let long = body.millis.map(|ms| format!(", {}", text::duration_ms(ms))).unwrap_or_default();
            format!("{}{long}: {}", text::line(&body.what), text::line(&body.detail))
        }
        Body::LogRestart(body) => {
            let how = if body.clean {
                "after an orderly stop"
            } else {
                "after the one before ended without closing the log"
            };
            let gap =
                body.gap_millis.map(|ms| format!(", {} after the newest record", text::duration_ms(ms)));
            format!(
                "fdr {} started, {} mode, {how}{}",
                text::line(&body.version),
                body.mode.as_str(),
                gap.unwrap_or_default()
            )
        }
        Body::LogPruned(body) => format!(
            "records before {} removed by the rule {}, on the authority of {}",
            text::count(body.first_index),
            text::line(&body.rule),
            text::line(&body.authority)
        ),
        body => text::line(&serde_json::to_string(body).unwrap_or_default()),
    }
}

/// What an approval record says beside the call and the reason: ` by alice (uid:1000)`.
fn approval_words(record: &Record, body: &Approval) -> String {
    let by = body.by.map(|by| {
        let concluded = if is_concluded(record) { Basis::Inferred } else { Basis::Stated };
        format!(" {}", by_whom(Decider::Runtime(by), concluded))
    });
    match &record.body {
        _ if !is_of_queue(body) => by.unwrap_or_default(),
        Body::ApprovalRequest(_) => {
            let wait = body.expires.and_then(|expires| between_ms(record.ts, expires));
            let wait = wait.map(|ms| format!(", waits {}", text::duration_ms(ms))).unwrap_or_default();
            let two = if body.four_eyes { ", two people have to agree" } else { "" };
            format!(" in the queue{wait}{two}")
        }
        _ if body.by == Some(DecidedBy::Timeout) => String::new(),
        _ if body.reach == Some(Reach::Session) => format!(" by {}, for this session", who(record)),
        _ => format!(" by {}", who(record)),
    }
}

/// Who stands behind a record of the recorder's own, as the kernel told: `alice (uid:1000)`.
pub fn who(record: &Record) -> String {
    let name = record.principal.as_ref().and_then(|principal| principal.name.as_deref());
    match (record.observed.as_ref().and_then(|observed| observed.uid), name) {
        (Some(uid), Some(name)) => format!("{} (uid:{uid})", text::line(name)),
        (Some(uid), None) => format!("uid:{uid}"),
        (None, _) => "nobody known".to_owned(),
    }
}

fn policy_change(body: &PolicyChange) -> String {
    let from = if body.from.is_empty() { "nothing".to_owned() } else { text::line(&body.from.join(" + ")) };
    let set = body.set.as_deref().map(|set| format!(" ({})", digest(set))).unwrap_or_default();
    if body.accepted {
        return format!("in force: {from}{set}, {}", counted(body.policies, "policy", "policies"));
    }
    let stays = match &body.in_force {
        Some(set) => format!("{} stays in force", digest(set)),
        None => "no policy is in force".to_owned(),
    };
    let mut errors = body.errors.iter().map(|error| short_reason(error));
    let first = errors.next().map(|error| format!(": {error}")).unwrap_or_default();
    let more = match errors.count() {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    format!("refused: {from}{set}, {stays}{first}{more}")
}

fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", text::count(n), if n == 1 { one } else { many })
}

/// What an agent saw: `CLAUDE.md (412 B, sha256 9c1e…)`.
pub fn saw(record: &Record, places: &Places) -> String {
    let Body::Context(body) = &record.body else { return String::new() };
    let name = match &body.resource {
        Some(resource) if resource.kind() == "file" => {
            let path = places.path(resource.name());
            path.strip_prefix("./").unwrap_or(&path).to_owned()
        }
        Some(resource) => places.resource(resource),
        None => text::line(&body.what.replace('_', " ")),
    };
    let mut facts = Vec::new();
    if let Some(len) = body.len {
        facts.push(text::bytes(len));
    }
    if let Some(content) = record.content.iter().find(|content| content.role != "raw") {
        facts.push(digest(&content.digest));
    }
    if facts.is_empty() { name } else { format!("{name} ({})", facts.join(", ")) }
}

/// `hmac-sha256 9c1e…` of a digest.
pub fn digest(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) => {
            format!("{} {}…", text::line(algorithm), text::line(&hex.chars().take(4).collect::<String>()))
        }
        None => text::cut(&text::line(digest), 16),
    }
}

/// What the model gave as its reason, or thought, if the record shows either.
pub fn rationale(record: &Record) -> Option<String> {
    let Body::Decision(body) = &record.body else { return None };
    match (&body.stated, &body.thinking) {
        (Some(stated), _) if !stated.trim().is_empty() => Some(quoted(stated)),
        (_, Some(thinking)) if !thinking.trim().is_empty() => Some(format!("thinking: {}", quoted(thinking))),
        _ => None,
    }
}

/// The runtime's words on a result, cut and escaped.
pub fn reason_of_result(body: &fdr_record::ResultBody) -> Option<String> {
    let decision = body.runtime_decision.as_ref().and_then(|decision| decision.reason.as_deref());
    let reason = body.reason.as_deref().or(decision)?;
    (!reason.trim().is_empty()).then(|| short_reason(reason))
}

fn short_reason(reason: &str) -> String {
    text::cut(&text::line(reason.trim()), REASON_COLUMNS)
}

/// `ok, 12 ms`; `error, exit 3, 1.2 s`.
pub fn outcome(facts: &Facts) -> Option<String> {
    let mut said = facts.outcome?.as_str().to_owned();
    if let Some(code) = facts.exit_code.filter(|code| *code != 0) {
        said.push_str(&format!(", exit {code}"));
    }
    if let Some(ms) = facts.duration_ms {
        said.push_str(&format!(", {}", text::duration_ms(ms.into())));
    }
    Some(said)
}

/// `by hook`, `by rule (inferred)`.
pub fn by_whom(by: Decider, basis: Basis) -> String {
    let who = match by {
        Decider::Policy => "by policy",
        Decider::Runtime(DecidedBy::Unknown) => "by the runtime",
        Decider::Runtime(by) => return format!("by {}{}", by.as_str(), inferred(basis)),
    };
    format!("{who}{}", inferred(basis))
}

fn inferred(basis: Basis) -> &'static str {
    if basis == Basis::Inferred { " (inferred)" } else { "" }
}

/// The tone of what holds for an action.
pub fn tone_of(effective: Effective) -> Tone {
    match effective {
        Effective::Permit => Tone::Good,
        Effective::Deny | Effective::Rejected => Tone::Bad,
        Effective::Ask | Effective::Pending | Effective::Unknown => Tone::Warn,
    }
}

/// What was said to a request in our queue.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Who, escaped.
    pub who: String,
    /// Why, escaped.
    pub reason: Option<String>,
    /// It was granted for the rest of the session.
    pub for_session: bool,
}

/// What is said on an action behind the word for what holds: by whom, why, and what came of
/// it.
#[derive(Debug)]
pub struct Verdicts<'a> {
    /// The action.
    pub body: &'a ActionBody,
    /// All that is known.
    pub facts: Facts,
    /// The runtime's reason, from the action, its results and the answers, escaped.
    pub reason: Option<String>,
    /// What people said in our queue.
    pub answer: Option<Answer>,
    /// Time from a request for approval to its answer, in milliseconds.
    pub answered_after_ms: Option<u64>,
    /// The record of the grant that was used, as far as it is at hand: `@57`.
    pub grant: Option<String>,
    /// Whether the agent's session has ended.
    pub ended: bool,
}

impl<'a> Verdicts<'a> {
    /// Of an action of which no more is at hand than the facts.
    pub fn of(body: &'a ActionBody, facts: Facts) -> Verdicts<'a> {
        Verdicts {
            body,
            facts,
            reason: None,
            answer: None,
            answered_after_ms: None,
            grant: None,
            ended: false,
        }
    }

    /// The word: `PERMIT`, `DENY`, `ASK`, `REJECTED`, `pending`.
    pub fn word(&self) -> (&'static str, Tone) {
        let (effective, _, _) = self.facts.effective();
        match (effective, self.facts.answer) {
            (Effective::Rejected, _) => (effective.as_str(), tone_of(effective)),
            // Our policy asked: what was answered is said behind it.
            _ if self.facts.is_held() => {
                let tone = match effective {
                    Effective::Permit if self.facts.granted().is_some() => Tone::Good,
                    Effective::Permit => Tone::Bad,
                    _ if self.facts.is_denied(self.ended) => Tone::Bad,
                    _ => Tone::Warn,
                };
                (Verdict::Ask.as_str(), tone)
            }
            // A human let it through: the question is the answer.
            (Effective::Permit, Some((true, _, _))) => (Effective::Ask.as_str(), Tone::Good),
            (Effective::Permit, None) if self.facts.outcome == Some(Outcome::Error) => {
                (effective.as_str(), Tone::Warn)
            }
            _ => (effective.as_str(), tone_of(effective)),
        }
    }

    /// All that is decided, for a line that has no room for more.
    pub fn words(&self) -> (String, Tone) {
        let (word, tone) = self.word();
        let (effective, _, _) = self.facts.effective();
        let policy = &self.body.policy;
        match (effective, policy.mode) {
            (Effective::Permit | Effective::Deny, Mode::Enforce) if self.facts.is_held() => {
                (format!("{word} → {}", effective.as_str()), tone)
            }
            (Effective::Deny | Effective::Rejected, _) | (_, Mode::Enforce) => (word.to_owned(), tone),
            (_, Mode::Observe) => match would_be(policy.decision) {
                Some(would) => (format!("{word}, {would}"), Tone::Warn),
                None => (word.to_owned(), tone),
            },
        }
    }

    /// The rest of the line.
    pub fn detail(&self) -> String {
        let (effective, by, basis) = self.facts.effective();
        let policy = &self.body.policy;
        let mut parts = Vec::new();
        let after = self.after();
        let because =
            |reason: Option<&String>| reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let enforced_deny = policy.decision == Verdict::Deny && policy.mode == Mode::Enforce;
        let held = self.facts.is_held() && effective != Effective::Rejected;
        match effective {
            _ if held => parts.extend([self.answer_words(), self.policy_words()]),
            Effective::Deny => {
                let ours = enforced_deny
                    && matches!(by, None | Some(Decider::Policy | Decider::Runtime(DecidedBy::Hook)));
                parts.push(match (ours, by) {
                    (true, _) => self.policy_words(),
                    (false, Some(by)) => {
                        format!("{}{after}{}", by_whom(by, basis), because(self.reason.as_ref()))
                    }
                    (false, None) => format!("nothing tells by whom{}", because(self.reason.as_ref())),
                });
            }
            Effective::Rejected => parts.push(format!("by runtime{}", because(self.reason.as_ref()))),
            Effective::Ask => parts.push("no answer recorded".to_owned()),
            Effective::Permit | Effective::Pending | Effective::Unknown => match (self.facts.answer, by) {
                (Some((true, by, basis)), _) => {
                    let arrow = if effective == Effective::Permit { "→ " } else { "" };
                    parts.push(format!("{arrow}granted {}{after}", by_whom(Decider::Runtime(by), basis)));
                }
                // That it ran says no more than the outcome does.
                (_, Some(Decider::Runtime(DecidedBy::Unknown))) if basis == Basis::Inferred => {}
                (_, Some(by)) => parts.push(by_whom(by, basis)),
                _ => {}
            },
        }
        if effective != Effective::Deny && !held {
            match (would_be(policy.decision), policy.mode) {
                (None, _) => {}
                (Some(would), Mode::Observe) => parts.push(format!("{would}: {}", self.policy_words())),
                (Some(_), Mode::Enforce) => {
                    parts.push(format!("policy {}: {}", policy.decision.as_str(), self.policy_words()));
                }
            }
        }
        parts.extend(self.scope_words().filter(|_| effective != Effective::Rejected));
        match (self.facts.outcome, effective) {
            (Some(Outcome::Denied | Outcome::Rejected), _) => {}
            (Some(Outcome::Error), _) => {
                let said = outcome(&self.facts).unwrap_or_default();
                parts.push(format!("{said}{}", because(self.reason.as_ref())));
            }
            (Some(_), _) => parts.extend(outcome(&self.facts)),
            (None, Effective::Deny) => {}
            (None, Effective::Ask) if held => {}
            (None, _) if self.ended => parts.push("no outcome recorded by the end".to_owned()),
            (None, _) => parts.push("no outcome yet".to_owned()),
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }

    fn after(&self) -> String {
        self.answered_after_ms.map(|ms| format!(" after {}", text::duration_ms(ms))).unwrap_or_default()
    }

    /// What was answered where our policy asked.
    fn answer_words(&self) -> String {
        let (effective, by, basis) = self.facts.effective();
        let queue = &self.facts.queue;
        let answer = self.answer.clone().unwrap_or_default();
        let who = if answer.who.is_empty() { "an approver" } else { answer.who.as_str() };
        let reason = answer.reason.as_deref();
        let because = |reason: Option<&str>| reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        if let Some(approved) = &self.body.approved {
            let grant = self.grant.clone().unwrap_or_else(|| approved.grant.to_string());
            return format!("granted before by {} (grant {grant})", text::line(&approved.by));
        }
        let runtime = self.facts.answer;
        let runtime = runtime.or_else(|| self.facts.granted().map(|(by, basis)| (true, by, basis)));
        match (queue.refused, runtime) {
            (Some(DecidedBy::Timeout), _) => {
                return format!("→ {}: DENIED", reason.unwrap_or("nobody answered in time"));
            }
            (Some(_), _) => return format!("→ DENIED by {who}{}{}", self.after(), because(reason)),
            _ if queue.is_granted() => {
                let session = if answer.for_session { ", for this session" } else { "" };
                return format!("→ granted by {who}{}{session}{}", self.after(), because(reason));
            }
            _ if queue.asked => {
                let half = if queue.is_half_granted() {
                    format!("granted by {who}, nobody else agreed")
                } else {
                    "no answer recorded".to_owned()
                };
                return match (effective, self.ended) {
                    (Effective::Permit, _) => format!("→ {half}, it ran all the same"),
                    (Effective::Deny, _) | (_, true) => format!("→ {half}: DENIED"),
                    (_, false) => format!("→ {half}, it waits"),
                };
            }
            (None, Some((granted, by, basis))) => {
                let by = match by {
                    DecidedBy::User => format!("by its user{}", inferred(basis)),
                    by => by_whom(Decider::Runtime(by), basis),
                };
                let after = if basis == Basis::Stated { self.after() } else { String::new() };
                return match granted {
                    true => format!("→ asked by the runtime, granted {by}{after}"),
                    false => format!(
                        "→ asked by the runtime, DENIED {by}{after}{}",
                        because(self.runtime_reason(basis))
                    ),
                };
            }
            (None, None) => {}
        }
        match effective {
            Effective::Deny => {
                let by = by.map(|by| format!(" {}", by_whom(by, basis))).unwrap_or_default();
                format!("→ DENIED{by}{}", because(self.reason.as_deref()))
            }
            Effective::Permit => "→ no grant recorded, it ran all the same".to_owned(),
            _ if self.ended => "→ no answer recorded by the end: DENIED".to_owned(),
            _ => "→ no answer recorded".to_owned(),
        }
    }

    /// What the runtime's user gave as a reason; not what an answer was concluded from.
    fn runtime_reason(&self, basis: Basis) -> Option<&str> {
        self.reason.as_deref().filter(|_| basis == Basis::Stated)
    }

    fn scope_words(&self) -> Option<String> {
        let check = self.body.intent.as_ref()?;
        match check.scope {
            InScope::InScope if self.facts.effective().0 == Effective::Deny => None,
            InScope::Unclear => None,
            _ => Some(scope_words(check)),
        }
    }

    /// The resource is in the line already, where there is only one.
    fn policy_words(&self) -> String {
        let said = policy_words(&self.body.policy);
        let [action] = &self.body.actions[..] else { return said };
        let resource = format!(": {}", text::line(action.resource.as_str()));
        said.strip_suffix(&resource).map(str::to_owned).unwrap_or(said)
    }
}

/// What a verdict that does not hold would have meant.
fn would_be(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Permit => None,
        Verdict::Deny => Some("would be DENIED"),
        Verdict::Ask => Some("would be ASKED"),
    }
}

/// `baseline/secrets: reading credentials is not part of this task`.
pub fn policy_words(policy: &PolicyDecision) -> String {
    let reason = text::line(policy.reason.trim());
    let Some(first) = policy.policies.first().map(|first| text::line(first)) else { return reason };
    // A reason ends with the policy that it is of.
    let of_first = reason.strip_suffix(&format!(" ({first})")).filter(|reason| !reason.contains(&first));
    match of_first {
        _ if reason.is_empty() => first,
        Some(reason) => format!("{first}: {reason}"),
        None if reason.contains(&first) => reason,
        None => format!("{first}: {reason}"),
    }
}

/// `OUT OF SCOPE: the prompt excludes it`.
pub fn scope_words(check: &IntentCheck) -> String {
    let reason = short_reason(&check.reason);
    match check.scope {
        InScope::InScope => "in scope".to_owned(),
        InScope::OutOfScope if reason.is_empty() => "OUT OF SCOPE".to_owned(),
        InScope::OutOfScope => format!("OUT OF SCOPE: {reason}"),
        InScope::Unclear => "unclear".to_owned(),
    }
}

/// `after reading: secret, web`; `None` if it read nothing of the kind.
pub fn taint_words(taint: &[Taint]) -> Option<String> {
    let words: Vec<&str> = taint.iter().map(|taint| taint.as_str()).collect();
    (!words.is_empty()).then(|| format!("after reading: {}", words.join(", ")))
}

/// `delete file:./build (recursive, destructive)`.
pub fn action_words(action: &Action, places: &Places) -> String {
    let to = action.to.as_ref().map(|to| format!(" → {}", places.resource(to))).unwrap_or_default();
    let mut flags: Vec<String> = Vec::new();
    for (set, word) in
        [(action.recursive, "recursive"), (action.destructive, "destructive"), (action.tamper, "tamper")]
    {
        flags.extend(set.then(|| word.to_owned()));
    }
    flags.extend(action.resolves_to.as_deref().map(|path| format!("leads to {}", places.path(path))));
    let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(", ")) };
    format!("{} {}{to}{flags}", action.action, places.resource(&action.resource))
}

/// `delete, write file:./build/** ("clean up the build folder")`.
pub fn rule_words(rule: &ScopeRule, places: &Places) -> String {
    let verbs: Vec<&str> = rule.actions.iter().map(|verb| verb.as_str()).collect();
    let verbs = if verbs.is_empty() { "anything on".to_owned() } else { verbs.join(", ") };
    let resource = places.resource(&resource_from(&rule.resource));
    let words = if rule.words.is_empty() { String::new() } else { format!(" ({})", quoted(&rule.words)) };
    format!("{verbs} {resource}{words}")
}

/// A resource from its whole name, or from a pattern of such names.
pub fn resource_from(text: &str) -> Resource {
    match text.split_once(':') {
        Some((kind, name)) => Resource::new(kind, name),
        None => Resource::new("", text),
    }
}

/// The body of a record as names and words, for the kinds whose body is not shown field by
/// field; a name is empty where it goes on with the one before.
pub fn details(record: &Record, places: &Places) -> Option<Vec<(&'static str, String)>> {
    match &record.body {
        Body::Action(body) => Some(details_of_action(body, places)),
        Body::Intent(body) => Some(details_of_intent(record, body, places)),
        Body::PolicyChange(body) => Some(details_of_policy_change(body)),
        Body::ApprovalRequest(body) | Body::ApprovalGrant(body) | Body::ApprovalDeny(body) => {
            Some(details_of_approval(record, body, places))
        }
        _ => None,
    }
}

/// Names and words, in the order in which they are shown.
#[derive(Default)]
struct Details(Vec<(&'static str, String)>);

impl Details {
    fn add(&mut self, name: &'static str, said: impl Into<String>) {
        let said = said.into();
        if !said.is_empty() {
            self.0.push((name, said));
        }
    }

    fn list(&mut self, name: &'static str, all: impl IntoIterator<Item = String>) {
        for (at, said) in all.into_iter().enumerate() {
            self.add(if at == 0 { name } else { "" }, said);
        }
    }
}

fn details_of_action(body: &ActionBody, places: &Places) -> Vec<(&'static str, String)> {
    let mut out = Details::default();
    let left_out = (body.actions_left_out > 0)
        .then(|| format!("and {} that the record leaves out", text::count(body.actions_left_out)));
    out.add("tool", text::line(&body.tool));
    out.add("summary", text::line(&body.summary));
    out.list("action", body.actions.iter().map(|action| action_words(action, places)).chain(left_out));
    if body.destructive && !body.actions.iter().any(|action| action.destructive) {
        out.add("destructive", "yes");
    }
    out.list("opaque", body.opaque.iter().map(|reason| text::line(reason)));
    let hazards: Vec<&str> = body.hazards.iter().map(|hazard| hazard.as_str()).collect();
    out.add("hazards", hazards.join(", "));
    out.list("named in code", body.named.iter().map(|resource| places.resource(resource)));

    let policy = &body.policy;
    let held = match policy.mode {
        Mode::Observe if policy.decision != Verdict::Permit => ": not made to hold",
        _ => "",
    };
    out.add("policy", format!("{} ({} mode{held})", policy.decision.as_str(), policy.mode.as_str()));
    out.add("reason", text::line(policy.reason.trim()));
    out.list("policies", policy.policies.iter().map(|policy| text::line(policy)));
    out.add("policy set", policy.set.as_deref().map_or("none".to_owned(), digest));
    out.add("took", format!("{} µs", text::count(policy.took_us)));
    if let Some(approved) = &body.approved {
        out.add("approved", format!("before, by {}: grant {}", text::line(&approved.by), approved.grant));
    }
    if let Some(check) = &body.intent {
        let reason = match check.scope {
            InScope::OutOfScope => String::new(),
            _ if check.reason.trim().is_empty() => String::new(),
            _ => format!(": {}", short_reason(&check.reason)),
        };
        out.add("scope", format!("{}{reason}", scope_words(check)));
        out.add("intent", check.by.to_string());
    }
    if let Some(facts) = &body.facts {
        out.list("workspace", facts.workspace.iter().map(|root| places.path(root)));
        out.add("home", text::line(&facts.home));
        let taint: Vec<&str> = facts.taint.iter().map(|taint| taint.as_str()).collect();
        out.add("after reading", taint.join(", "));
        let so_far =
            facts.so_far.iter().map(|count| format!("{} × {}", text::count(count.count), count.action));
        out.add("so far", so_far.collect::<Vec<_>>().join(", "));
    }
    if let Some(decision) = &body.runtime_decision {
        let reason = decision.reason.as_deref().map(|reason| format!(": {}", text::line(reason)));
        out.add(
            "runtime",
            format!(
                "{} {}{}",
                decision.decision.as_str(),
                by_whom(Decider::Runtime(decision.by), decision.basis),
                reason.unwrap_or_default()
            ),
        );
    }
    out.0
}

fn details_of_intent(record: &Record, body: &Intent, places: &Places) -> Vec<(&'static str, String)> {
    let mut out = Details::default();
    out.add(
        "source",
        match body.source {
            IntentSource::Declared => format!("declared by {}, apart from the prompt", who(record)),
            IntentSource::Derived => "fixed rules read it out of the prompt".to_owned(),
            IntentSource::Classifier => "a program read it out of the prompt".to_owned(),
        },
    );
    out.list("allow", body.allow.iter().map(|rule| rule_words(rule, places)));
    out.list("exclude", body.exclude.iter().map(|rule| rule_words(rule, places)));
    out.add(
        "anything else",
        if body.closed { "is out of scope" } else { "is unclear: the words don't tell" },
    );
    if body.goes_on {
        out.add("goes on", "it asks for nothing new: what was in scope before still is");
    }
    out.add("until", body.expires.map_or("the next one".to_owned(), |expires| expires.to_string()));
    out.0
}

fn details_of_policy_change(body: &PolicyChange) -> Vec<(&'static str, String)> {
    let mut out = Details::default();
    out.add("accepted", if body.accepted { "yes" } else { "no: the set before stays in force" });
    out.list("from", body.from.iter().map(|from| text::line(from)));
    out.add("offered", body.set.as_deref().map(digest).unwrap_or_default());
    out.add("in force", body.in_force.as_deref().map_or("none".to_owned(), digest));
    out.add("policies", text::count(body.policies));
    out.list("errors", body.errors.iter().map(|error| text::line(error)));
    out.0
}

fn details_of_approval(record: &Record, body: &Approval, places: &Places) -> Vec<(&'static str, String)> {
    let mut out = Details::default();
    out.add("tool", text::line(&body.tool));
    out.add("summary", text::line(&body.summary));
    out.list("action", body.actions.iter().map(|action| action_words(action, places)));
    let request = matches!(record.body, Body::ApprovalRequest(_));
    match body.by {
        Some(DecidedBy::Timeout) => out.add("by", "nobody: the time for an answer ran out"),
        Some(DecidedBy::Approver) => out.add("by", format!("{}, as the kernel told", who(record))),
        Some(by) => {
            let basis = if is_concluded(record) { Basis::Inferred } else { Basis::Stated };
            out.add("by", format!("{} of the runtime{}", by.as_str(), inferred(basis)));
        }
        None => {}
    }
    out.add("reason", body.reason.as_deref().map(text::line).unwrap_or_default());
    out.list("policies", body.policies.iter().map(|policy| text::line(policy)));
    if body.four_eyes {
        out.add("four eyes", "two different people have to agree");
    }
    match body.reach {
        Some(Reach::Once) => out.add("reach", "this very action, once"),
        Some(Reach::Session) => out.add("reach", "the same verbs on the same resources, for this session"),
        None => {}
    }
    let until = if request { "waits until" } else { "good until" };
    out.add(until, body.expires.map(|expires| expires.to_string()).unwrap_or_default());
    out.add("bound to", body.digest.as_deref().map(digest).unwrap_or_default());
    out.0
}

/// A record on one line, as `tail` and `query` show it; `facts` for an action.
pub fn one_line(look: &Look, row: &Row, facts: &Facts) -> String {
    let places = row.record().map(Places::of).unwrap_or_default().only_home();
    let (word, tone) = label(row);
    let agent = row.record().and_then(|record| record.agent.as_ref());
    let agent = agent.map(agent_name).unwrap_or_default();
    let session = row.session().map(short).unwrap_or_default();
    let at = if row.when() == Timestamp(0) { String::new() } else { look.day_and_second(row.when()) };
    let index = format!("@{}", row.index);
    let head = format!(
        "{}  {}  {}  {}  {} ",
        look.paint(Tone::Dim, &text::pad(&at, 14)),
        look.paint(Tone::Dim, &text::pad(&index, 7)),
        text::pad(&session, SHORT_ID),
        text::pad(&text::cut(&agent, 20), 20),
        look.paint(tone, &text::pad(&word, 9)),
    );
    let left = look.width.saturating_sub(14 + 7 + SHORT_ID + 20 + 9 + 9).max(24);
    let Some(Body::Action(body)) = row.body() else {
        return format!("{head}{}", text::cut_quoted(&sentence(row, &places), left));
    };
    const MIN_COLUMNS: usize = 20;
    let said = Verdicts::of(body, *facts);
    let (mut decided, mut word_tone) = said.words();
    if text::width(&decided) + 2 + MIN_COLUMNS > left {
        let (word, tone) = said.word();
        (decided, word_tone) = (word.to_owned(), tone);
    }
    let reserved = text::width(&decided).max(8) + 2;
    let what = text::cut_quoted(&sentence(row, &places), left.saturating_sub(reserved).max(MIN_COLUMNS));
    let rest = left.saturating_sub(text::width(&what) + 2 + text::width(&decided));
    let outcome =
        outcome(facts).filter(|_| !matches!(facts.outcome, Some(Outcome::Denied | Outcome::Rejected)));
    let outcome = outcome.map(|outcome| format!(" {outcome}")).filter(|outcome| text::width(outcome) <= rest);
    format!("{head}{what}  {}{}", look.paint(word_tone, &decided), outcome.unwrap_or_default())
}

/// `claude-code`, `claude-code/reviewer`.
pub fn agent_name(agent: &fdr_record::Agent) -> String {
    if agent.parent.is_some() && agent.name != agent.runtime {
        text::line(&format!("{}/{}", agent.runtime, agent.name))
    } else {
        text::line(&agent.name)
    }
}

/// The fields of a JSON value, one a line, as `a.b  value`; strings escaped.
pub fn fields(value: &Value) -> Vec<(String, String)> {
    let mut out = Vec::new();
    collect_fields(String::new(), value, &mut out);
    out
}

fn collect_fields(name: String, value: &Value, out: &mut Vec<(String, String)>) {
    let below =
        |key: &str| if name.is_empty() { text::line(key) } else { format!("{name}.{}", text::line(key)) };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| collect_fields(below(key), value, out))
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, value)| collect_fields(below(&at.to_string()), value, out));
        }
        Value::String(said) => out.push((name, text::line(said))),
        Value::Null => {}
        other => out.push((name, other.to_string())),
    }
}

/// Time between two moments, in milliseconds; `None` if the clock went back.
pub fn between_ms(from: Timestamp, to: Timestamp) -> Option<u64> {
    Some(to.0.checked_sub(from.0)? / 1_000_000)
}
