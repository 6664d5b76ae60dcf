//! A record in words: the label, names relative to where the agent worked, what was decided,
//! what came of it. The same words in every view.

use crate::text::{self, Look, Tone};
use crate::trail::{Decider, Effective, Facts, Parsed, Row};
use fdr_record::{ActionBody, Basis, Body, DecidedBy, Mode, Outcome, Record, Resource, Timestamp, Verdict};
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
            let by = body.by.map(|by| format!(" by {}", by.as_str())).unwrap_or_default();
            let reason = body
                .reason
                .as_deref()
                .map(|reason| format!(": {}", short_reason(reason)))
                .unwrap_or_default();
            format!("{} `{}`{by}{reason}", text::line(&body.tool), text::line(&body.summary))
        }
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
        body => text::line(&serde_json::to_string(body).unwrap_or_default()),
    }
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
    /// Time from a request for approval to its answer, in milliseconds.
    pub answered_after_ms: Option<u64>,
    /// Whether the agent's session has ended.
    pub ended: bool,
}

impl Verdicts<'_> {
    /// The word: `PERMIT`, `DENY`, `ASK`, `REJECTED`, `pending`.
    pub fn word(&self) -> (&'static str, Tone) {
        let (effective, _, _) = self.facts.effective();
        match (effective, self.facts.answer) {
            // A human let it through: the question is the answer.
            (Effective::Permit, Some((true, _))) => (Effective::Ask.as_str(), Tone::Good),
            (Effective::Permit, None) if self.facts.outcome == Some(Outcome::Error) => {
                (effective.as_str(), Tone::Warn)
            }
            _ => (effective.as_str(), tone_of(effective)),
        }
    }

    /// The rest of the line.
    pub fn detail(&self) -> String {
        let (effective, by, basis) = self.facts.effective();
        let policy = &self.body.policy;
        let mut parts = Vec::new();
        let after =
            self.answered_after_ms.map(|ms| format!(" after {}", text::duration_ms(ms))).unwrap_or_default();
        let because =
            |reason: Option<&String>| reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let enforced_deny = policy.decision == Verdict::Deny && policy.mode == Mode::Enforce;
        match effective {
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
                (Some((true, by)), _) => {
                    let arrow = if effective == Effective::Permit { "→ " } else { "" };
                    parts.push(format!(
                        "{arrow}granted {}{after}",
                        by_whom(Decider::Runtime(by), Basis::Stated)
                    ));
                }
                // That it ran says no more than the outcome does.
                (_, Some(Decider::Runtime(DecidedBy::Unknown))) if basis == Basis::Inferred => {}
                (_, Some(by)) => parts.push(by_whom(by, basis)),
                _ => {}
            },
        }
        if effective != Effective::Deny {
            match (policy.decision, policy.mode) {
                (Verdict::Permit, _) if policy.set.is_some() && effective != Effective::Rejected => {
                    if !policy.reason.trim().is_empty() {
                        parts.push(text::line(policy.reason.trim()));
                    }
                }
                (Verdict::Permit, _) => {}
                (verdict, Mode::Observe) => {
                    parts.push(format!("policy would {}: {}", verdict.as_str(), self.policy_words()))
                }
                (verdict, Mode::Enforce) => {
                    parts.push(format!("policy {}: {}", verdict.as_str(), self.policy_words()))
                }
            }
        }
        match (self.facts.outcome, effective) {
            (Some(Outcome::Denied | Outcome::Rejected), _) => {}
            (Some(Outcome::Error), _) => {
                let said = outcome(&self.facts).unwrap_or_default();
                parts.push(format!("{said}{}", because(self.reason.as_ref())));
            }
            (Some(_), _) => parts.extend(outcome(&self.facts)),
            (None, Effective::Deny) => {}
            (None, _) if self.ended => parts.push("no outcome recorded by the end".to_owned()),
            (None, _) => parts.push("no outcome yet".to_owned()),
        }
        parts.join(" · ")
    }

    fn policy_words(&self) -> String {
        let policy = &self.body.policy;
        let reason = text::line(policy.reason.trim());
        match policy.policies.first() {
            Some(first) if reason.is_empty() => text::line(first),
            Some(first) => format!("{}: {reason}", text::line(first)),
            None => reason,
        }
    }
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
    let said = Verdicts { body, facts: *facts, reason: None, answered_after_ms: None, ended: false };
    let (effective, word_tone) = said.word();
    let what = text::cut_quoted(&sentence(row, &places), left.saturating_sub(10).max(20));
    let rest = left.saturating_sub(text::width(&what) + 2 + effective.len());
    let outcome =
        outcome(facts).filter(|_| !matches!(facts.outcome, Some(Outcome::Denied | Outcome::Rejected)));
    let outcome = outcome.map(|outcome| format!(" {outcome}")).filter(|outcome| text::width(outcome) <= rest);
    format!("{head}{what}  {}{}", look.paint(word_tone, effective), outcome.unwrap_or_default())
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
