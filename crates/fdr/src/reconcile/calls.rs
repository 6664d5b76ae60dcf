//! The tool calls of a session, each put together from what every source tells of it.

use crate::trail::{Facts, Item, Row, SessionView};
use fdr_record::{ActionBody, Body, ContentRef, Kind, Outcome, Record, RecordId, Rel, Timestamp};
use std::collections::{HashMap, HashSet};

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A hook or plug-in of the runtime, as it happened.
    Hook,
    /// What the runtime keeps on disk, read afterwards.
    Transcript,
    /// The proxy between the agent and an MCP server.
    Proxy,
}

impl Source {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Hook => "hook",
            Source::Transcript => "transcript",
            Source::Proxy => "proxy",
        }
    }

    /// The source of a record; none for the recorder's own.
    pub fn of(record: &Record) -> Option<Source> {
        let source = record.claimed.as_ref()?.source.as_str();
        let begins = |start: &str| source.starts_with(start);
        if begins("mcp") {
            Some(Source::Proxy)
        } else if begins("transcript") || begins("import") {
            Some(Source::Transcript)
        } else {
            begins("hook").then_some(Source::Hook)
        }
    }
}

/// A call as the transcript has it now.
#[derive(Clone, Debug)]
pub struct Written {
    pub session: String,
    pub agent: String,
    pub id: String,
    pub tool: String,
    pub arguments: Vec<u8>,
    pub when: Timestamp,
    pub file: String,
    pub line: u64,
    /// Server and tool, if it is one of MCP.
    pub mcp: Option<(String, String)>,
    pub outcome: Option<Outcome>,
    /// What the model was given.
    pub result: Option<Vec<u8>>,
}

/// One tool call. Numbers are positions in [`SessionView::rows`].
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub session: String,
    pub runtime: String,
    pub agent: String,
    /// The runtime's id of it, as the hooks have it or else the transcript.
    pub id: String,
    pub tool: String,
    /// When the first source tells of it.
    pub when: Timestamp,
    /// The index in the log of the first record about it; none if there is no record.
    pub first: Option<u64>,
    /// Its action.
    pub action: Option<usize>,
    /// A hook told of it before it ran.
    pub before: Option<usize>,
    /// A hook told of it after it ran, or what came of it.
    pub after: Vec<usize>,
    /// What a hook says that the model was given.
    pub shown: Vec<usize>,
    /// The transcript says that the model asked for it.
    pub asked: Option<usize>,
    /// The transcript says what came of it.
    pub told: Option<usize>,
    /// The transcript or the hooks contradict what is known of it.
    pub gaps: Vec<usize>,
    /// The transcript as it is now.
    pub written: Option<Written>,
    /// The call at the proxy: position in [`Calls::proxied`].
    pub proxied: Option<usize>,
    /// All that its records tell.
    pub facts: Facts,
}

impl Call {
    /// Which sources saw it.
    pub fn sources(&self) -> Vec<Source> {
        let hook = self.before.is_some() || !self.after.is_empty() || !self.shown.is_empty();
        let transcript = self.asked.is_some() || self.told.is_some() || self.written.is_some();
        [(hook, Source::Hook), (transcript, Source::Transcript), (self.proxied.is_some(), Source::Proxy)]
            .into_iter()
            .filter_map(|(saw, source)| saw.then_some(source))
            .collect()
    }

    /// Whether the runtime's hooks have no id for it, so that it is joined by order and arguments.
    pub fn is_unnamed(&self) -> bool {
        self.id.is_empty() || self.id.starts_with("fdr:")
    }
}

/// A call that went through the proxy.
#[derive(Clone, Debug)]
pub struct Proxied {
    /// The action: position in [`SessionView::rows`].
    pub action: usize,
    pub server: String,
    pub tool: String,
    pub when: Timestamp,
    /// What came of it.
    pub result: Option<usize>,
    pub outcome: Option<Outcome>,
    /// A call of the agent is this one.
    pub is_known: bool,
}

/// All calls of a session.
#[derive(Debug, Default)]
pub struct Calls {
    pub list: Vec<Call>,
    pub proxied: Vec<Proxied>,
    by_id: HashMap<(String, String), usize>,
}

/// Whether a record belongs to a session between a client and an MCP server.
pub fn is_of_proxy(row: &Row) -> bool {
    row.record()
        .and_then(|record| record.agent.as_ref())
        .is_some_and(|agent| agent.runtime.starts_with("mcp:"))
}

/// The event of a hook's record.
pub fn event_of(record: &Record) -> Option<&str> {
    record.claimed.as_ref()?.source.strip_prefix("hook:")
}

/// Whether a record is of an event by which a runtime asks whether a tool may run.
pub fn is_before(record: &Record) -> bool {
    let Some(event) = event_of(record) else { return false };
    fdr_capture::RUNTIMES.iter().any(|runtime| runtime.gates.contains(&event))
}

/// The first content of a role.
pub fn content_of<'r>(row: &'r Row, role: &str) -> Option<&'r ContentRef> {
    row.record()?.content.iter().find(|content| content.role == role)
}

impl Calls {
    /// Puts the calls together from the records.
    pub fn new(view: &SessionView) -> Calls {
        let mut calls = Calls::default();
        let mut order: Vec<usize> = (0..view.rows.len()).collect();
        order.sort_by_key(|at| view.rows[*at].index);
        let mut by_action: HashMap<RecordId, usize> = HashMap::new();
        let mut of_proxy: HashMap<RecordId, usize> = HashMap::new();
        for at in &order {
            let row = &view.rows[*at];
            let Some(record) = row.record() else { continue };
            let Body::Action(body) = &record.body else { continue };
            if is_of_proxy(row) {
                of_proxy.insert(record.id, calls.proxied.len());
                calls.proxied.push(Proxied {
                    action: *at,
                    server: record
                        .agent
                        .as_ref()
                        .map(|agent| agent.runtime[4..].to_owned())
                        .unwrap_or_default(),
                    tool: body.tool.clone(),
                    when: row.when(),
                    result: None,
                    outcome: None,
                    is_known: false,
                });
                continue;
            }
            let number = calls.of_id(row, record.tool_use_id());
            by_action.insert(record.id, number);
            let call = &mut calls.list[number];
            call.first = call.first.or(Some(row.index));
            let by_hook = Source::of(record) == Some(Source::Hook);
            if call.action.is_none() || by_hook && call.before.is_none() && call.after.is_empty() {
                call.action = Some(*at);
                call.tool.clone_from(&body.tool);
            }
            match Source::of(record) {
                Some(Source::Hook) if is_before(record) => call.before = call.before.or(Some(*at)),
                Some(Source::Hook) => call.after.push(*at),
                Some(Source::Transcript) => call.asked = call.asked.or(Some(*at)),
                _ => {}
            }
        }
        for at in &order {
            let row = &view.rows[*at];
            let Some(record) = row.record() else { continue };
            let about = |rels: &[Rel]| rels.iter().find_map(|rel| record.link(*rel));
            if is_of_proxy(row) {
                if let Body::Result(body) = &record.body
                    && let Some(proxied) = about(&[Rel::ResultOf]).and_then(|id| of_proxy.get(&id))
                {
                    let proxied = &mut calls.proxied[*proxied];
                    (proxied.result, proxied.outcome) = (Some(*at), Some(body.outcome));
                }
                continue;
            }
            let source = Source::of(record);
            match &record.body {
                Body::Decision(body) if source == Some(Source::Transcript) => {
                    let session = row.session().unwrap_or_default();
                    for asked in &body.calls {
                        let concluded = asked.action.and_then(|action| by_action.get(&action));
                        let named = || calls.by_id.get(&(session.to_owned(), asked.id.clone()));
                        if let Some(number) = concluded.or_else(named).copied() {
                            calls.list[number].asked = Some(*at);
                        }
                    }
                }
                Body::Result(body) => {
                    let linked =
                        about(&[Rel::ResultOf, Rel::About]).and_then(|id| by_action.get(&id).copied());
                    let number = match linked {
                        Some(number) => number,
                        None => calls.of_id(row, record.tool_use_id()),
                    };
                    let call = &mut calls.list[number];
                    call.first = call.first.or(Some(row.index));
                    if call.action.is_none() {
                        call.tool.clone_from(&body.tool);
                        call.facts.add(record);
                    }
                    match source {
                        Some(Source::Transcript) => call.told = call.told.or(Some(*at)),
                        _ => call.after.push(*at),
                    }
                }
                Body::Context(body) if body.what == "tool_result" && source == Some(Source::Hook) => {
                    let linked = about(&[Rel::CausedBy, Rel::About]).and_then(|id| by_action.get(&id));
                    if let Some(number) = linked {
                        calls.list[*number].shown.push(*at);
                    }
                }
                Body::Gap(_) => {
                    if let Some(number) = about(&[Rel::About]).and_then(|id| by_action.get(&id)) {
                        calls.list[*number].gaps.push(*at);
                    }
                }
                // An event that came again, or after the transcript was read.
                Body::Message(_) if source == Some(Source::Hook) => {
                    if let Some(number) = about(&[Rel::About]).and_then(|id| by_action.get(&id)) {
                        let call = &mut calls.list[*number];
                        match is_before(record) {
                            true => call.before = call.before.or(Some(*at)),
                            false => call.after.push(*at),
                        }
                    }
                }
                _ => {}
            }
        }
        for agent in &view.agents {
            for item in &agent.items {
                if let Item::Action(step) = item
                    && let Some(number) = view.rows[step.action].id().and_then(|id| by_action.get(&id))
                    // A call that the transcript told first has two actions; the hook's is the one
                    // that was decided on.
                    && (calls.list[*number].action == Some(step.action))
                {
                    let before = calls.list[*number].facts;
                    calls.list[*number].facts = step.facts;
                    calls.list[*number].facts.outcome = step.facts.outcome.or(before.outcome);
                }
            }
        }
        calls.merge_told_twice(view);
        calls.sort();
        calls
    }

    /// Where hooks have no ids, a call that the transcript told first is there twice: once as the
    /// transcript has it, and once by its hook.
    fn merge_told_twice(&mut self, view: &SessionView) {
        if !self.list.iter().any(Call::is_unnamed) {
            return;
        }
        let arguments = |call: &Call| Some(content_of(&view.rows[call.action?], "args")?.digest.clone());
        let is_written = |call: &Call| {
            !call.is_unnamed() && call.before.is_none() && call.after.is_empty() && call.asked.is_some()
        };
        for number in 0..self.list.len() {
            if !is_written(&self.list[number]) {
                continue;
            }
            let own = &self.list[number];
            let twin = self.list.iter().position(|other| {
                other.is_unnamed()
                    && other.asked.is_none()
                    && (&other.session, &other.agent, &other.tool) == (&own.session, &own.agent, &own.tool)
                    && arguments(other).is_some()
                    && arguments(other) == arguments(own)
            });
            if let Some(twin) = twin {
                let own = std::mem::take(&mut self.list[number]);
                let key = (own.session.clone(), own.id.clone());
                self.by_id.insert(key, twin);
                let other = &mut self.list[twin];
                (other.asked, other.told) = (own.asked, own.told.or(other.told));
                other.facts.outcome = other.facts.outcome.or(own.facts.outcome);
            }
        }
        // What was taken has no sources left.
        let ids = std::mem::take(&mut self.by_id);
        let mut places = Vec::with_capacity(self.list.len());
        let mut kept = 0;
        for call in &self.list {
            places.push(kept);
            kept += usize::from(!call.session.is_empty());
        }
        self.by_id = ids.into_iter().map(|(key, at)| (key, places[at])).collect();
        self.list.retain(|call| !call.session.is_empty());
    }

    /// Puts the calls in the order of time.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by_key(|at| (self.list[*at].when, self.list[*at].first));
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, at)| places[*at] = place);
        self.by_id.values_mut().for_each(|at| *at = places[*at]);
        self.list.sort_by_key(|call| (call.when, call.first));
    }

    /// The call of that id in the session of a record; a new one, if there is none yet.
    fn of_id(&mut self, row: &Row, id: Option<&str>) -> usize {
        let (session, id) = (row.session().unwrap_or_default().to_owned(), id.unwrap_or_default().to_owned());
        if let Some(number) = self.by_id.get(&(session.clone(), id.clone())).filter(|_| !id.is_empty()) {
            return *number;
        }
        let agent = row.record().and_then(|record| record.agent.as_ref());
        self.by_id.insert((session.clone(), id.clone()), self.list.len());
        self.list.push(Call {
            runtime: agent.map(|agent| agent.runtime.clone()).unwrap_or_default(),
            agent: row.agent().unwrap_or(&session).to_owned(),
            session,
            id,
            when: row.when(),
            ..Call::default()
        });
        self.list.len() - 1
    }

    /// Joins the calls of a transcript: by id, or where the hooks have none by order and arguments.
    /// `same` says whether the arguments of a call are those of one that was written.
    pub fn join(
        &mut self,
        written: Vec<Written>,
        runtime: &str,
        same: &mut dyn FnMut(&Call, &Written) -> bool,
    ) {
        let mut left = Vec::new();
        for one in written {
            let by_id = self.by_id.get(&(one.session.clone(), one.id.clone())).copied();
            match by_id.filter(|_| !one.id.is_empty()) {
                Some(number) => self.list[number].written = Some(one),
                None => left.push(one),
            }
        }
        let free = |call: &Call, one: &Written| {
            call.is_unnamed() && call.written.is_none() && call.session == one.session
        };
        let mut unknown = Vec::new();
        for one in left {
            let mut fitting = (0..self.list.len()).filter(|number| free(&self.list[*number], &one));
            match fitting.find(|number| same(&self.list[*number], &one)) {
                Some(number) => self.list[number].written = Some(one),
                None => unknown.push(one),
            }
        }
        for one in unknown {
            // The same tool at the same place among those that are joined, with other arguments.
            let (from, to) = self.neighbours(&one);
            let number = (from..to).find(|number| {
                let call = &self.list[*number];
                free(call, &one) && call.tool == one.tool && call.asked.is_none()
            });
            let number = number.unwrap_or_else(|| {
                self.by_id.insert((one.session.clone(), one.id.clone()), self.list.len());
                self.list.push(Call {
                    session: one.session.clone(),
                    runtime: runtime.to_owned(),
                    agent: one.agent.clone(),
                    id: one.id.clone(),
                    tool: one.tool.clone(),
                    when: one.when,
                    ..Call::default()
                });
                self.list.len() - 1
            });
            self.list[number].written = Some(one);
        }
        self.sort();
    }

    /// Between which calls one stands that was written, going by those that are joined.
    fn neighbours(&self, one: &Written) -> (usize, usize) {
        let joined = |call: &Call| call.written.as_ref().filter(|w| w.file == one.file).map(|w| w.line);
        let lines: Vec<(usize, u64)> =
            self.list.iter().enumerate().filter_map(|(at, call)| Some((at, joined(call)?))).collect();
        let from =
            lines.iter().filter(|(_, line)| *line <= one.line).map(|(at, _)| at + 1).max().unwrap_or(0);
        let to = lines.iter().filter(|(at, line)| *line > one.line && *at >= from).map(|(at, _)| *at).min();
        (from, to.unwrap_or(self.list.len()))
    }

    /// Joins the calls that went through the proxy: the same tool, the same arguments, the time.
    /// `same` says whether the arguments are the same.
    pub fn join_proxied(&mut self, view: &SessionView, same: &mut dyn FnMut(&Call, &Proxied) -> bool) {
        // A server's own name is not always the one that the agent has for it.
        let mut names: HashSet<(String, String)> = HashSet::new();
        // First those that agree in all, then those of which only the arguments differ.
        for exact in [true, false] {
            for number in 0..self.proxied.len() {
                if self.proxied[number].is_known {
                    continue;
                }
                let proxied = &self.proxied[number];
                let found = self.list.iter().position(|call| {
                    call.proxied.is_none()
                        && mcp_tool(view, call).is_some_and(|(server, tool)| {
                            let is_server = || {
                                server == proxied.server
                                    || names.contains(&(server.to_owned(), proxied.server.clone()))
                            };
                            tool == proxied.tool && (exact || is_server())
                        })
                        && is_while(view, call, proxied)
                        && (!exact || same(call, proxied))
                });
                if let Some(found) = found {
                    if let Some((server, _)) = mcp_tool(view, &self.list[found]) {
                        names.insert((server.to_owned(), self.proxied[number].server.clone()));
                    }
                    self.list[found].proxied = Some(number);
                    self.proxied[number].is_known = true;
                }
            }
        }
    }
}

/// The server and tool that an action is said to be for, if it is one of MCP.
pub fn mcp_of(body: &ActionBody) -> Option<(&str, &str)> {
    let named = body.actions.iter().find(|action| action.resource.kind() == "mcp");
    named.and_then(|action| action.resource.name().split_once('/'))
}

/// The same of a call.
pub fn mcp_tool<'v>(view: &'v SessionView, call: &'v Call) -> Option<(&'v str, &'v str)> {
    match call.action.and_then(|at| view.rows[at].body()) {
        Some(Body::Action(body)) => mcp_of(body),
        _ => call.written.as_ref()?.mcp.as_ref().map(|(server, tool)| (server.as_str(), tool.as_str())),
    }
}

/// How far the clocks of what a proxy and a hook tell may be apart, in nanoseconds.
const APART_NANOS: u64 = 2_000_000_000;

/// Whether the proxy saw its call while this one was under way.
fn is_while(view: &SessionView, call: &Call, proxied: &Proxied) -> bool {
    let ended = call.after.iter().chain(&call.told).map(|at| view.rows[*at].when()).max();
    proxied.when.0 + APART_NANOS >= call.when.0
        && ended.is_none_or(|ended| proxied.when.0 <= ended.0.max(call.when.0) + APART_NANOS)
}

/// Whether a record is a prompt, a call or a result: something that only a session that goes on has.
pub fn is_of_work(kind: &str) -> bool {
    [Kind::Prompt, Kind::Action, Kind::Result].iter().any(|of| of.as_str() == kind)
}
