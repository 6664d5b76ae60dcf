//! Filters: which records `query` and `tail` show.

use crate::heartbeat;
use crate::text::Look;
use crate::trail::{Effective, Facts, Row, Trail, action_of};
use anyhow::anyhow;
use fdr_record::{Body, InScope, Kind, Outcome, Record, RecordId, Resource, Timestamp, Verb};
use jiff::ToSpan as _;
use memchr::memmem::Finder;
use serde_json::Value;

/// The filters on records. All that are given must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FilterArgs {
    /// Not before this time: -7d, -2h, -30m, today, yesterday, 2026-11-24, 14:02, or RFC 3339
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Before this time; in the same forms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Of the session whose id begins so
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Of the agent with this name, or whose id begins so
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Of this runtime: claude-code, codex, 'mcp:*' …
    #[arg(long, value_name = "GLOB")]
    pub runtime: Option<String>,
    /// Of this kind: action, result, prompt … (several: a,b)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<String>,
    /// Actions with this verb: delete, send, read … (several: a,b)
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    pub action: Vec<String>,
    /// On a resource: 'file:/etc/**', 'url:https://*.example/**'; `*` stays within a path
    /// segment, `**` doesn't, and a final `/**` means the folder itself too
    #[arg(long, value_name = "GLOB")]
    pub resource: Option<String>,
    /// Actions by what holds for them in the end: PERMIT, DENY, ASK, PENDING, REJECTED
    #[arg(long, value_name = "DECISION", value_delimiter = ',')]
    pub decision: Vec<String>,
    /// Actions by outcome: ok, error, denied, rejected, interrupted, unknown
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    pub outcome: Vec<String>,
    /// Of this tool, as the runtime calls it
    #[arg(long, value_name = "GLOB")]
    pub tool: Option<String>,
    /// With this text in the record or in its content, whatever the case of its letters
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Only actions that can't easily be undone
    #[arg(long)]
    pub destructive: bool,
    /// Actions held against what was asked for: in_scope, out_of_scope, unclear (several: a,b)
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    pub scope: Vec<String>,
    /// Actions that a policy determined whose id begins so: baseline/secrets, pci/ …
    #[arg(long, value_name = "ID")]
    pub policy: Option<String>,
    /// Only actions on the recorder itself, its policies, or the hooks of the runtimes
    #[arg(long)]
    pub tamper: bool,
}

/// Filters ready for use.
#[derive(Debug, Default)]
pub struct Filter {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    session: Option<String>,
    agent: Option<String>,
    runtime: Option<Glob>,
    kinds: Vec<&'static str>,
    verbs: Vec<Verb>,
    resource: Option<Glob>,
    decisions: Vec<Effective>,
    outcomes: Vec<Outcome>,
    tool: Option<Glob>,
    text: Option<Needle>,
    destructive: bool,
    scopes: Vec<InScope>,
    policy: Option<String>,
    tamper: bool,
    /// What must stand in a line for it to be worth reading.
    needles: Vec<Finder<'static>>,
}

impl Filter {
    /// Makes sense of what was typed.
    ///
    /// # Errors
    /// When a word or time is not known; the message lists the known ones.
    pub fn new(args: &FilterArgs, look: &Look) -> anyhow::Result<Filter> {
        let time = |text: &Option<String>| text.as_deref().map(|text| parse_time(text, look)).transpose();
        let mut filter = Filter {
            since: time(&args.since)?,
            until: time(&args.until)?,
            session: args.session.clone(),
            agent: args.agent.clone(),
            runtime: args.runtime.as_deref().map(Glob::new),
            kinds: words("kind", &args.kind, Kind::ALL, |kind| kind.as_str())?
                .iter()
                .map(|kind| kind.as_str())
                .collect(),
            verbs: words("action", &args.action, &Verb::ALL, |verb| verb.as_str())?,
            resource: args.resource.as_deref().map(Glob::resource),
            decisions: words("decision", &args.decision, &DECISIONS, |decision| decision.as_str())?,
            outcomes: words("outcome", &args.outcome, &OUTCOMES, |outcome| outcome.as_str())?,
            tool: args.tool.as_deref().map(Glob::new),
            text: args.text.as_deref().filter(|text| !text.is_empty()).map(Needle::new),
            destructive: args.destructive,
            scopes: words("scope", &args.scope, &SCOPES, |scope| scope.as_str())?,
            policy: args.policy.clone().filter(|policy| !policy.is_empty()),
            tamper: args.tamper,
            needles: Vec::new(),
        };
        filter.needles = filter.make_needles();
        Ok(filter)
    }

    /// Texts that must stand in a line that matches, as JSON writes them. Only words that
    /// need no escape are used.
    fn make_needles(&self) -> Vec<Finder<'static>> {
        let mut texts = Vec::new();
        let mut add = |text: String| {
            if !text.contains(['\\', '\n']) && text.is_ascii() {
                texts.push(text);
            }
        };
        let plain = |text: &str| !text.contains(['"', '*', '?', '[']);
        if let Some(session) = self.session.as_deref().filter(|text| plain(text)) {
            add(format!("\"{session}"));
        }
        if let [kind] = self.kinds[..] {
            add(format!("\"{kind}\""));
        }
        if let [verb] = self.verbs[..] {
            add(format!("\"{verb}\""));
        }
        if self.destructive {
            add("\"destructive\"".to_owned());
        }
        if let [scope] = self.scopes[..] {
            add(format!("\"{}\"", scope.as_str()));
        }
        if let Some(policy) = self.policy.as_deref().filter(|text| !text.contains('"')) {
            add(format!("\"{policy}"));
        }
        if self.tamper {
            add("\"tamper\"".to_owned());
        }
        for glob in [&self.runtime, &self.tool].into_iter().flatten() {
            if plain(&glob.text) {
                add(format!("\"{}\"", glob.text));
            }
        }
        texts.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect()
    }

    /// Whether every record matches.
    pub fn takes_all(&self) -> bool {
        self.since.is_none()
            && self.until.is_none()
            && self.session.is_none()
            && self.agent.is_none()
            && self.kinds.is_empty()
            && self.text.is_none()
            && !self.asks_for_more()
    }

    /// Whether a line can match at all; cheap, before it is read.
    pub fn may_match(&self, line: &[u8]) -> bool {
        // Of heartbeats there are many, and nobody looks for them unless he says so.
        (!self.kinds.is_empty() || !heartbeat::is_one(line))
            && self.needles.iter().all(|needle| needle.find(line).is_some())
    }

    /// Whether it must be known what came of an action to tell if it matches.
    pub fn needs_facts(&self) -> bool {
        !self.decisions.is_empty() || !self.outcomes.is_empty()
    }

    /// Whether results that belong to an action are asked for by themselves. Otherwise an
    /// action and its result are one answer to a question about outcomes.
    fn wants_results(&self) -> bool {
        self.kinds.contains(&Kind::Result.as_str())
    }

    /// Whether a record matches. `facts` is what is known of the action that it is, or of the
    /// result by itself.
    ///
    /// # Errors
    /// When content that has to be looked at can't be read.
    pub fn matches(&self, row: &Row, facts: &Facts, trail: &Trail) -> anyhow::Result<bool> {
        Ok(self.matches_record(row, facts) && self.matches_text(row, trail)?)
    }

    fn matches_record(&self, row: &Row, facts: &Facts) -> bool {
        if self.since.is_some_and(|since| row.when() < since)
            || self.until.is_some_and(|until| row.when() >= until)
        {
            return false;
        }
        if let Some(prefix) = &self.session
            && !row.session().is_some_and(|session| session.starts_with(prefix.as_str()))
        {
            return false;
        }
        if !self.kinds.is_empty() && !self.kinds.contains(&row.kind()) {
            return false;
        }
        let Some(record) = row.record() else {
            // What can't be read can be asked for only by what is known of it.
            let by_agent = self
                .agent
                .as_ref()
                .is_none_or(|agent| row.agent().is_some_and(|id| id.starts_with(agent.as_str())));
            return by_agent && !self.asks_for_more();
        };
        if let Some(wanted) = &self.agent
            && !record
                .agent
                .as_ref()
                .is_some_and(|agent| agent.name == *wanted || agent.id.starts_with(wanted.as_str()))
        {
            return false;
        }
        if let Some(glob) = &self.runtime
            && !record.agent.as_ref().is_some_and(|agent| glob.matches(&agent.runtime))
        {
            return false;
        }
        if let Some(glob) = &self.tool
            && !tool_of(&record.body).is_some_and(|tool| glob.matches(tool))
        {
            return false;
        }
        self.matches_actions(record) && self.matches_policy(record) && self.matches_facts(record, facts)
    }

    fn asks_for_more(&self) -> bool {
        self.runtime.is_some()
            || self.tool.is_some()
            || self.resource.is_some()
            || self.destructive
            || self.tamper
            || self.asks_about_policy()
            || !self.verbs.is_empty()
            || self.needs_facts()
    }

    /// Whether it is asked what our policy and the intent say of a call.
    fn asks_about_policy(&self) -> bool {
        !self.scopes.is_empty() || self.policy.is_some()
    }

    fn matches_policy(&self, record: &Record) -> bool {
        if !self.asks_about_policy() {
            return true;
        }
        let Body::Action(body) = &record.body else { return false };
        let determined = |prefix: &String| body.policy.policies.iter().any(|id| id.starts_with(prefix));
        (self.scopes.is_empty()
            || body.intent.as_ref().is_some_and(|check| self.scopes.contains(&check.scope)))
            && self.policy.as_ref().is_none_or(determined)
    }

    /// Verb, resource, `destructive` and `tamper` must hold for one and the same action of a call.
    fn matches_actions(&self, record: &Record) -> bool {
        if self.only_resource() && self.resource.is_none() {
            return true;
        }
        let in_scope =
            |resource: &Resource| self.resource.as_ref().is_none_or(|glob| glob.matches(resource.as_str()));
        match &record.body {
            Body::Action(body) => body.actions.iter().any(|action| {
                let link = action.resolves_to.as_deref().map(|path| Resource::new("file", path));
                let resources = [Some(&action.resource), action.to.as_ref(), link.as_ref()];
                (self.verbs.is_empty() || self.verbs.contains(&action.action))
                    && (!self.destructive
                        || action.destructive
                        || body.destructive && body.actions.len() == 1)
                    && (!self.tamper || action.tamper)
                    && resources.into_iter().flatten().any(in_scope)
            }),
            Body::Context(body) => self.only_resource() && body.resource.as_ref().is_some_and(in_scope),
            Body::ConfigChange(body) => self.only_resource() && body.resource.as_ref().is_some_and(in_scope),
            _ => false,
        }
    }

    fn only_resource(&self) -> bool {
        self.verbs.is_empty() && !self.destructive && !self.tamper
    }

    fn matches_facts(&self, record: &Record, facts: &Facts) -> bool {
        if !self.needs_facts() {
            return true;
        }
        self.judges(record.kind, action_of(record)) && self.agrees_with(facts)
    }

    /// Whether a record that belongs to `action` can be an answer to a question about
    /// decisions and outcomes.
    pub fn judges(&self, kind: Kind, action: Option<RecordId>) -> bool {
        match kind {
            Kind::Action => true,
            Kind::Result => self.wants_results() || action.is_none(),
            _ => false,
        }
    }

    /// Whether an action of which this is known has the decision and outcome asked for.
    pub fn agrees_with(&self, facts: &Facts) -> bool {
        let came_out = || {
            facts.outcome.is_some_and(|outcome| self.outcomes.contains(&outcome)) || self.outcomes.is_empty()
        };
        (self.decisions.is_empty() || self.decisions.contains(&facts.effective().0)) && came_out()
    }

    fn matches_text(&self, row: &Row, trail: &Trail) -> anyhow::Result<bool> {
        let Some(needle) = &self.text else { return Ok(true) };
        let in_line = match serde_json::from_slice::<Value>(row.shown()) {
            Ok(value) => needle.is_in_value(&value),
            Err(_) => needle.is_in(row.shown()),
        };
        if in_line {
            return Ok(true);
        }
        for reference in row.record().map(|record| record.content.as_slice()).unwrap_or_default() {
            // Content that is damaged or gone can't match; `fdr verify` tells of it.
            if let Ok(Some(content)) = trail.content(row.index, reference)
                && needle.is_in(&content.bytes)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

const DECISIONS: [Effective; 6] = [
    Effective::Permit,
    Effective::Deny,
    Effective::Ask,
    Effective::Pending,
    Effective::Rejected,
    Effective::Unknown,
];
const SCOPES: [InScope; 3] = [InScope::InScope, InScope::OutOfScope, InScope::Unclear];
const OUTCOMES: [Outcome; 6] =
    [Outcome::Ok, Outcome::Error, Outcome::Denied, Outcome::Rejected, Outcome::Interrupted, Outcome::Unknown];

/// The tool that a record is about.
pub fn tool_of(body: &Body) -> Option<&str> {
    match body {
        Body::Action(body) => Some(&body.tool),
        Body::Result(body) => Some(&body.tool),
        Body::ApprovalRequest(body) | Body::ApprovalGrant(body) | Body::ApprovalDeny(body) => {
            Some(&body.tool)
        }
        _ => None,
    }
}

/// Reads words of a closed list, whatever the case of their letters.
pub fn words<T: Copy>(
    name: &str,
    typed: &[String],
    known: &[T],
    word: impl Fn(&T) -> &'static str,
) -> anyhow::Result<Vec<T>> {
    let find = |text: &String| {
        let found = known.iter().find(|item| word(item).eq_ignore_ascii_case(text.trim())).copied();
        found.ok_or_else(|| {
            let list: Vec<&str> = known.iter().map(&word).collect();
            anyhow!("there is no {name} '{}'\n  known:  {}", crate::text::line(text), list.join(", "))
        })
    };
    typed.iter().map(find).collect()
}

/// Reads a time as people give it; see [`FilterArgs::since`].
///
/// # Errors
/// When it is none.
pub fn parse_time(text: &str, look: &Look) -> anyhow::Result<Timestamp> {
    time_of(text.trim(), look).ok_or_else(|| {
        anyhow!(
            "'{}' is no time\n  use:  -7d, -2h, -30m, today, yesterday, 14:02, 2026-11-24, 2026-11-24T14:02:00Z",
            crate::text::line(text)
        )
    })
}

fn time_of(text: &str, look: &Look) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let now = look.zoned(look.now);
    let at =
        |zoned: jiff::ZonedDateTime| u64::try_from(zoned.timestamp().as_nanosecond()).ok().map(Timestamp);
    match text {
        "now" => return Some(look.now),
        "today" => return at(now.start_of_day().ok()?),
        "yesterday" => return at(now.checked_sub(1.day()).ok()?.start_of_day().ok()?),
        _ => {}
    }
    let back = text.strip_prefix('-').unwrap_or(text);
    if let Some(unit) = back.chars().last().filter(char::is_ascii_alphabetic)
        && let Ok(n) = back[..back.len() - 1].parse::<u32>()
    {
        let n = i64::from(n);
        let span = match unit {
            's' => n.seconds(),
            'm' => n.minutes(),
            'h' => n.hours(),
            'd' => jiff::Span::new().try_days(n).ok()?,
            'w' => jiff::Span::new().try_weeks(n).ok()?,
            _ => return None,
        };
        return at(now.checked_sub(span).ok()?);
    }
    let local = |time: jiff::civil::DateTime| at(time.to_zoned_datetime(look.zone.clone()).ok()?);
    if let Ok(time) = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M", text.replace('T', " ")) {
        return local(time);
    }
    if let Ok(time) = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.replace('T', " ")) {
        return local(time);
    }
    if let Ok(date) = jiff::civil::Date::strptime("%Y-%m-%d", text) {
        return local(date.to_datetime(jiff::civil::Time::midnight()));
    }
    let clock =
        jiff::civil::Time::strptime("%H:%M", text).or_else(|_| jiff::civil::Time::strptime("%H:%M:%S", text));
    local(now.date().to_datetime(clock.ok()?))
}

/// A pattern of names: `*` is any text without `/`, `**` any text, `?` one character but
/// `/`; a final `/**` matches the folder itself as well, and `/**/` also `/`.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    One(char),
    AnyOne,
    Any,
    AnyDeep,
    /// The `/` of a `/**` that may be absent together with the `AnyDeep` that follows.
    Slash,
}

impl Glob {
    /// A pattern.
    pub fn new(text: &str) -> Glob {
        let mut parts = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            at += match &chars[at..] {
                ['/', '*', '*'] | ['/', '*', '*', '/', ..] => {
                    parts.extend([Part::Slash, Part::AnyDeep]);
                    3
                }
                ['*', '*', ..] => {
                    parts.push(Part::AnyDeep);
                    2
                }
                ['\\', c, ..] => {
                    parts.push(Part::One(*c));
                    2
                }
                rest => {
                    parts.push(match rest[0] {
                        '*' => Part::Any,
                        '?' => Part::AnyOne,
                        c => Part::One(c),
                    });
                    1
                }
            };
        }
        Glob { text: text.to_owned(), parts }
    }

    /// A pattern of resources: one that begins with `/` or `~/` is of files.
    pub fn resource(text: &str) -> Glob {
        let home = || std::env::var("HOME").unwrap_or_default();
        match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Glob::new(&format!("file:{}{rest}", home()))
            }
            _ if text.starts_with('/') => Glob::new(&format!("file:{text}")),
            _ => Glob::new(text),
        }
    }

    /// Whether the whole of `name` matches. Takes time in proportion to pattern times name,
    /// whatever they are.
    pub fn matches(&self, name: &str) -> bool {
        // reached[i]: the first i parts match what has been read so far.
        let mut reached = vec![false; self.parts.len() + 1];
        reached[0] = true;
        self.pass_empty(&mut reached);
        for c in name.chars() {
            let mut next = vec![false; self.parts.len() + 1];
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match part {
                    Part::One(wanted) => next[at + 1] |= c == *wanted,
                    Part::AnyOne => next[at + 1] |= c != '/',
                    Part::Any => next[at] |= c != '/',
                    Part::AnyDeep => next[at] = true,
                    Part::Slash => next[at + 1] |= c == '/',
                }
            }
            self.pass_empty(&mut next);
            reached = next;
        }
        reached[self.parts.len()]
    }

    /// Parts that may match nothing at all are passed.
    fn pass_empty(&self, reached: &mut [bool]) {
        for (at, part) in
            self.parts.iter().enumerate().filter(|(_, part)| !matches!(part, Part::One(_) | Part::AnyOne))
        {
            let behind = if *part == Part::Slash { at + 2 } else { at + 1 };
            reached[behind] |= reached[at];
        }
    }
}

/// A text to look for, whatever the case of its letters.
#[derive(Clone, Debug)]
struct Needle {
    /// In lower case.
    text: String,
}

impl Needle {
    fn new(text: &str) -> Needle {
        Needle { text: text.to_lowercase() }
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_in(text.as_bytes()),
            Value::Number(number) => number.to_string() == self.text,
            Value::Array(items) => items.iter().any(|item| self.is_in_value(item)),
            Value::Object(fields) => fields.values().any(|field| self.is_in_value(field)),
            Value::Bool(_) | Value::Null => false,
        }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        if !self.text.is_ascii() {
            return String::from_utf8_lossy(bytes).to_lowercase().contains(&self.text);
        }
        let needle = self.text.as_bytes();
        let Some(first) = needle.first() else { return true };
        memchr::memchr2_iter(*first, first.to_ascii_uppercase(), bytes)
            .filter_map(|at| bytes.get(at..at + needle.len()))
            .any(|part| part.eq_ignore_ascii_case(needle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_segment_and_two_do_not() {
        for (pattern, name, want) in [
            ("file:/etc/*", "file:/etc/passwd", true),
            ("file:/etc/*", "file:/etc/ssh/sshd_config", false),
            ("file:/etc/**", "file:/etc/ssh/sshd_config", true),
            ("file:/etc/**", "file:/etc", true),
            ("file:/etc/**", "file:/etcetera", false),
            ("file:/a/**/b", "file:/a/b", true),
            ("file:/a/**/b", "file:/a/x/y/b", true),
            ("file:/a/**/b", "file:/ab", false),
            ("file:**/*.rs", "file:/a/b/c.rs", true),
            ("url:https://*.example/**", "url:https://docs.example/x/y", true),
            ("**", "", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("日*語", "日本語", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), want, "{pattern} on {name}");
        }
        assert!(Glob::resource("/etc/*").matches("file:/etc/passwd"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let glob = Glob::new(&"**a".repeat(200));
        assert!(!glob.matches(&"a".repeat(150)));
    }

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(Needle::new("Secret").is_in(b"the sEcReT key"));
        assert!(!Needle::new("secret").is_in(b"secre"));
        assert!(Needle::new("ÜBER").is_in("über".as_bytes()));
        assert!(Needle::new("x").is_in_value(&serde_json::json!({"k": ["aXb"]})));
        assert!(!Needle::new("k").is_in_value(&serde_json::json!({"k": 1})));
    }

    #[test]
    fn times_are_read_in_the_forms_that_people_use() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
        let look = Look { color: false, width: 80, zone, now };
        for (text, want) in [
            ("-7d", "2026-11-17T12:00:00Z"),
            ("2h", "2026-11-24T10:00:00Z"),
            ("today", "2026-11-23T23:00:00Z"),
            ("yesterday", "2026-11-22T23:00:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-11-01T10:30", "2026-11-01T09:30:00Z"),
            ("10:30", "2026-11-24T09:30:00Z"),
            ("2026-11-24T12:54:22.5Z", "2026-11-24T12:54:22.5Z"),
        ] {
            assert_eq!(parse_time(text, &look).ok(), want.parse().ok(), "{text}");
        }
        for bad in ["", "soon", "-7x", "7é", "25:00"] {
            assert!(parse_time(bad, &look).is_err(), "{bad}");
        }
    }
}
