//! One event of a runtime's hook on its way to records: what all runtimes have in common.
//!
//! A runtime's own file says what its events mean; the rules that must be the same for all are
//! here: a call is one action however often it is told, its result goes with it, a change of the
//! arguments in between is said, what was refused is a result too.

use crate::runtime::Runtime;
use crate::state::{Call, Session};
use crate::writer::{Writer, bound, cap, link, short};
use crate::{Arrival, Captured, State};
use fdr_record::{
    ActionBody, Agent, Approval, Basis, Body, Claimed, ConfigChange, ContentRef, Context, DecidedBy, Link,
    Message, Mode, Outcome, PolicyDecision, Prompt, RecordId, Rel, Resource, ResultBody, RuntimeDecision,
    SessionEnd, SessionStart, Status, Unparsed, Verdict, injection::signs, preview,
};
use serde::Deserialize;
use serde_json::Value;

/// Names the run of `fdr run` to whatever an agent starts.
const RUN_VARIABLE: &str = "FDR_RUN";

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain";
/// The longest session id that is read, in bytes.
pub(crate) const MAX_SESSION_BYTES: usize = 256;

/// Whom and what an event is about, as its runtime says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who<'p> {
    pub(crate) session: &'p str,
    /// Id of a sub-agent; the session's main agent otherwise.
    pub(crate) subagent: Option<&'p str>,
    /// Its type.
    pub(crate) kind: Option<&'p str>,
    /// Id of the agent that started this one, where that is another session's.
    pub(crate) parent: Option<&'p str>,
    pub(crate) version: Option<String>,
    pub(crate) model: Option<&'p str>,
    pub(crate) cwd: Option<&'p str>,
    pub(crate) call: Option<&'p str>,
    pub(crate) prompt: Option<&'p str>,
    pub(crate) turn: Option<&'p str>,
    pub(crate) message: Option<&'p str>,
    pub(crate) permission_mode: Option<&'p str>,
}

/// What came of a call.
pub(crate) struct Ran<'v> {
    pub(crate) tool: &'v str,
    /// The arguments that it ran with, where they are told again.
    pub(crate) input: Option<&'v Value>,
    pub(crate) result: Told<'v>,
    /// What it printed, by stream, where that is told apart.
    pub(crate) streams: Vec<(&'static str, &'v str)>,
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<i64>,
    pub(crate) duration_ms: Option<u64>,
    /// Why it failed or was refused, or a word on how it runs on.
    pub(crate) reason: Option<String>,
    /// What the runtime decided about it.
    pub(crate) decision: Option<RuntimeDecision>,
}

/// A result in the form in which it came.
pub(crate) enum Told<'v> {
    Json(&'v Value),
    Text(&'v str),
}

/// One event.
pub(crate) struct Event<'a, 'b> {
    pub(crate) runtime: &'static Runtime,
    pub(crate) name: String,
    pub(crate) session: String,
    pub(crate) agent: Agent,
    pub(crate) claimed: Claimed,
    pub(crate) raw: ContentRef,
    /// The tool's name as the normaliser knows it, where the runtime's own does not tell enough.
    pub(crate) known_as: Option<String>,
    pub(crate) writer: Writer<'a, 'b>,
}

/// Reads a payload.
///
/// # Errors
/// Says why it can't be read.
pub(crate) fn read<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    match std::str::from_utf8(payload) {
        Err(error) => Err(format!("not UTF-8: {error}")),
        Ok(text) if text.trim().is_empty() => Err("empty".to_owned()),
        Ok(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}

/// The id of a session, if it is one that can be kept.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn session_id(id: &str) -> Result<&str, String> {
    match id.len() {
        1..=MAX_SESSION_BYTES => Ok(id),
        _ => Err(format!("the session id is empty or longer than {MAX_SESSION_BYTES} bytes")),
    }
}

/// The session of an event that names itself as Claude Code's do, and whether it begins with that.
pub(crate) fn session_of(_event: &str, payload: &[u8]) -> Option<(String, bool)> {
    #[derive(Deserialize)]
    struct Named {
        session_id: String,
        hook_event_name: Option<String>,
        source: Option<String>,
    }
    let named: Named = serde_json::from_slice(payload).ok()?;
    let begins = named.hook_event_name.as_deref() == Some("SessionStart")
        && named.source.as_deref() == Some("startup");
    Some((named.session_id, begins))
}

/// What was asked for in an event that tells a prompt.
#[derive(Deserialize)]
pub(crate) struct Prompted {
    prompt: String,
    cwd: Option<String>,
    /// Id of the sub-agent that was asked, where it was one.
    pub(crate) agent_id: Option<Value>,
}

impl Prompted {
    /// Reads it; `None` for a payload that tells none.
    pub(crate) fn read(payload: &[u8]) -> Option<Prompted> {
        serde_json::from_slice(payload).ok()
    }

    /// The prompt and the working directory.
    pub(crate) fn parts(self) -> (String, String) {
        (self.prompt, self.cwd.unwrap_or_default())
    }
}

/// One `unparsed` record with the bytes as they came. Enforced, a call that can't be read is not let
/// through.
pub(crate) fn unparsed(
    runtime: &Runtime,
    event: &str,
    payload: &[u8],
    reason: &str,
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    let is_call = arrival.mode == Mode::Enforce && runtime.gates.contains(&event);
    let event = Some(event).filter(|event| !event.is_empty());
    let captured = crate::writer::unparsed(runtime.name, event, payload, reason, arrival, state);
    Captured { refused: is_call.then(|| cap(reason)), ..captured }
}

/// A field of another type than expected is passed over, not a reason to read nothing.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

impl<'a, 'b> Event<'a, 'b> {
    pub(crate) fn new(
        runtime: &'static Runtime,
        name: &str,
        who: &Who<'_>,
        payload: &[u8],
        arrival: &'a Arrival<'b>,
        state: &'a mut State,
    ) -> Event<'a, 'b> {
        let mut writer = Writer::new(arrival, state);
        let raw = writer.content(who.session, "raw", JSON, payload.to_vec());
        let claimed = Claimed {
            source: cap(&format!("hook:{name}")),
            tool_use_id: who.call.map(cap),
            prompt_id: who.prompt.map(cap),
            turn_id: who.turn.map(cap),
            message_id: who.message.map(cap),
            cwd: who.cwd.map(cap),
            ..Claimed::default()
        };
        writer.permission_mode = who.permission_mode.map(cap);
        let agent = agent(runtime.name, who, &writer);
        let session = who.session.to_owned();
        Event { runtime, name: name.to_owned(), session, agent, claimed, raw, known_as: None, writer }
    }

    pub(crate) fn add(&mut self, links: Vec<Link>, body: Body, mut content: Vec<ContentRef>) -> RecordId {
        content.push(self.raw.clone());
        let (agent, claimed) = (self.agent.clone(), self.claimed.clone());
        self.writer.record(Some(&self.session), Some(agent), claimed, links, body, content)
    }

    pub(crate) fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        self.writer.content(&self.session, role, media, bytes)
    }

    pub(crate) fn text(&mut self, role: &str, text: &str) -> ContentRef {
        self.content(role, TEXT, text.as_bytes().to_vec())
    }

    pub(crate) fn known(&self) -> Option<&Session> {
        self.writer.state.session(&self.session)
    }

    pub(crate) fn prompted(&self) -> Option<Link> {
        let prompt_id = self.claimed.prompt_id.as_deref();
        let prompt = self.known()?.prompt(&self.agent.id, &self.session, prompt_id)?;
        Some(link(Rel::PromptedBy, prompt))
    }

    /// The call that this event is about.
    pub(crate) fn call(&self) -> Option<&Call> {
        self.known()?.call(self.claimed.tool_use_id.as_deref()?)
    }

    pub(crate) fn about_call(&self, rel: Rel) -> Vec<Link> {
        self.call().map(|call| link(rel, call.action)).into_iter().collect()
    }

    /// Goes on about another call, as an event does that tells of several.
    pub(crate) fn turn_to(&mut self, call: Option<&str>) {
        self.claimed.tool_use_id = call.map(cap);
    }

    /// Finds out which call an event is about whose runtime has no ids: a new one `before` the tool
    /// runs, and afterwards the newest of this agent that is open, of the same tool and arguments
    /// if there is one. Newest, because one that was refused stays open: of two calls that are
    /// alike in every byte it does not matter which ran, but it does that one which did not run is
    /// not taken for it.
    ///
    /// Of what is told late the transcript may have told already: that call is meant then.
    pub(crate) fn pair(&mut self, tool: &str, input: Option<&Value>, before: bool) {
        self.claimed.inferred = true;
        let late = self.writer.arrival.observed.late;
        let arguments = input.and_then(|input| self.content("args", JSON, canonical(input)).digest_bytes());
        let tool = cap(tool);
        let found = self.known().and_then(|known| {
            let is_same = |call: &Call| arguments.is_some() && call.arguments == arguments;
            // The transcript may know better than the hook which agent called.
            let is_meant = |call: &Call| call.tool == tool && (call.agent == self.agent.id || late && before);
            let all: Vec<(&str, &Call)> = known.calls_by_id().filter(|(_, call)| is_meant(call)).collect();
            let find = |is_it: &dyn Fn(&Call) -> bool| all.iter().find(|(_, call)| is_it(call));
            let found = if before {
                // Of several that are alike the oldest: they are told in their order.
                let mut told = all.iter().rev().filter(|(_, call)| !call.is_from_hook() && is_same(call));
                if late { told.next() } else { None }
            } else {
                // One that we refused is taken only if nothing else can be meant: then it ran all
                // the same.
                let is_open = |call: &Call| call.outcome.is_none();
                find(&|call| is_open(call) && call.refused.is_none() && is_same(call))
                    .or_else(|| find(&|call| is_open(call) && is_same(call)))
                    .or_else(|| find(&|call| late && is_same(call)))
                    .or_else(|| find(&|call| is_open(call) && call.refused.is_none()))
            };
            found.map(|(id, _)| (*id).to_owned())
        });
        self.claimed.tool_use_id = Some(found.unwrap_or_else(|| {
            let next = self.writer.state.next_seq(&self.session);
            format!("fdr:{next}")
        }));
    }

    /// Records the event as it is, and gives the reason back.
    pub(crate) fn unreadable(&mut self, reason: &str) -> String {
        let body = Unparsed { reason: cap(reason), event: Some(cap(&self.name)) };
        self.add(Vec::new(), Body::Unparsed(body), Vec::new());
        reason.to_owned()
    }

    /// An agent's run begins. If its process was started by the action of another recorded agent,
    /// that is its parent, whatever the runtimes of the two.
    pub(crate) fn session_start(
        &mut self,
        source: Option<&str>,
        transcript: Option<&str>,
        mut links: Vec<Link>,
    ) {
        let ancestors = &self.writer.arrival.ancestors;
        if links.is_empty()
            && self.agent.parent.is_none()
            && let Some((parent, calls)) = self.writer.state.starter(&self.session, ancestors)
        {
            links.extend(calls.first().map(|call| link(Rel::DelegatedBy, call.action)));
            // The process is observed; which of several calls it belongs to is not.
            self.claimed.inferred = calls.len() > 1;
            self.agent.parent = Some(parent);
        }
        let body = SessionStart {
            source: source.map(cap),
            transcript: transcript.map(cap),
            identities: self.writer.arrival.identities.iter().map(|identity| cap(identity)).collect(),
            run: run(self.writer.arrival),
        };
        self.add(links, Body::SessionStart(body), Vec::new());
    }

    /// A sub-agent begins. Which call started it is not told; it is clear if there is one only
    /// of the `starters` that can have.
    pub(crate) fn subagent_start(&mut self, starters: &[&str], transcript: Option<&str>) {
        let wanted = format!("agent:{}", self.agent.name);
        let calls = self.known().into_iter().flat_map(Session::open_calls);
        let calls = calls
            .filter(|call| starters.contains(&call.tool.as_str()) && !call.delegated && call.is_on(&wanted));
        let calls: Vec<(RecordId, String)> =
            calls.take(2).map(|call| (call.action, call.agent.clone())).collect();
        let by = if calls.len() == 1 { calls.into_iter().next() } else { None };
        let mut links = Vec::new();
        if let Some((action, parent)) = by {
            links.push(link(Rel::DelegatedBy, action));
            self.agent.parent = Some(parent);
        }
        self.session_start(Some("subagent"), transcript, links);
    }

    /// The run of the event's agent ends; `last` is what it said last.
    pub(crate) fn session_end(&mut self, reason: Option<&str>, last: Option<&str>) {
        let tells_results = self.known().is_some_and(|session| session.tells_results);
        self.session_end_by(tells_results, reason, last);
    }

    /// The same, of a runtime that `tells_results` of calls that were refused or failed, or not: then
    /// one without a result was not broken off.
    pub(crate) fn session_end_by(&mut self, tells_results: bool, reason: Option<&str>, last: Option<&str>) {
        let session = self.known();
        let known = session.and_then(|session| session.agent(&self.agent.id));
        let (status, actions, denied) = match known {
            Some(known) => (known.status(tells_results), known.actions, known.denied),
            None => (Status::Unknown, 0, 0),
        };
        let content = last.map(|text| self.text("text", text)).into_iter().collect();
        let body = SessionEnd { status, reason: reason.map(cap), actions, denied };
        self.add(Vec::new(), Body::SessionEnd(body), content);
    }

    /// What was asked for. Only of what a person asked it is recorded what it allows.
    pub(crate) fn prompt(&mut self, text: &str, by_a_person: bool) {
        let content = self.text("prompt", text);
        let prompt = self.add(Vec::new(), Body::Prompt(Prompt { preview: preview(text) }), vec![content]);
        if !by_a_person || self.agent.parent.is_some() {
            return;
        }
        let Some(record) = self.writer.out.records.iter().find(|record| record.id == prompt) else { return };
        if let Some(intent) = self.writer.state.intent(record, text, &self.writer.arrival.home) {
            self.add(vec![link(Rel::DerivedFrom, prompt)], Body::Intent(intent), Vec::new());
        }
    }

    /// Something that happened and has no form of its own. An `event` or `task` is shown with the
    /// event's name.
    pub(crate) fn plain(&mut self, role: &str, text: &str) {
        let shown = match text {
            "" => cap(&self.name),
            text if role == "event" || role == "task" => preview(&format!("{}: {text}", self.name)),
            text => preview(text),
        };
        let links = self.prompted().into_iter().collect();
        self.add(links, Body::Message(Message { role: role.to_owned(), preview: shown }), Vec::new());
    }

    /// Something that was said.
    pub(crate) fn message(&mut self, role: &str, text: &str) {
        let content = self.text("text", text);
        let links = self.prompted().into_iter().collect();
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(links, Body::Message(body), vec![content]);
    }

    /// Something that the agent saw.
    pub(crate) fn context(&mut self, what: &str, resource: Option<Resource>, text: &str) {
        let content = vec![self.text("text", text)];
        let body = Context {
            what: what.to_owned(),
            resource,
            len: Some(text.len() as u64),
            lines: None,
            preview: Some(preview(text)),
        };
        self.add(Vec::new(), Body::Context(body), content);
    }

    /// A setting changed.
    pub(crate) fn config(&mut self, what: &str, resource: Option<Resource>, detail: &str) {
        let detail = match detail {
            "" => cap(&self.name),
            detail => preview(&format!("{}: {detail}", self.name)),
        };
        let body = ConfigChange { what: what.to_owned(), resource, detail: Some(detail) };
        self.add(Vec::new(), Body::ConfigChange(body), Vec::new());
    }

    /// A file by its name, which may be relative to the event's folder.
    pub(crate) fn file(&self, path: &str) -> Resource {
        short(Resource::file(&cap(path), self.claimed.cwd.as_deref().unwrap_or("/")))
    }

    /// A tool is about to run. One call told twice is one action; one that was held is decided on
    /// anew when it is asked about again, and the answer is the same.
    pub(crate) fn calling(&mut self, tool: &str, input: &Value) {
        // What was read from the transcript, which may be quicker than the hook, was decided on by
        // nobody who could hold it.
        let is_known = self.call().is_some_and(|call| {
            call.is_from_hook() && call.outcome.is_none() && call.refused.is_none() && !call.late
        });
        if is_known && !self.arguments_changed(input) {
            self.again();
        } else {
            let id = self.action(tool, input);
            self.writer.out.held.push(id);
        }
    }

    pub(crate) fn action(&mut self, tool: &str, input: &Value) -> RecordId {
        let cwd = self.claimed.cwd.clone().unwrap_or_default();
        let known_as = self.known_as.as_deref().unwrap_or(tool);
        let (mut found, summary) = (self.runtime.normalise)(known_as, input, &cwd, &self.writer.arrival.home);
        self.writer.state.mcp.hint(&mut found);
        let policy = PolicyDecision::undecided(self.writer.arrival.mode);
        let body = bound(ActionBody::new(&cap(tool), preview(&summary), found, policy));
        let said = self.known().and_then(|session| session.agent(&self.agent.id)?.said);
        let mut links: Vec<Link> = said.map(|id| link(Rel::DecidedBy, id)).into_iter().collect();
        links.extend(self.prompted());
        let arguments = self.content("args", JSON, canonical(input));
        self.add(links, Body::Action(body), vec![arguments])
    }

    /// The event brings nothing new.
    pub(crate) fn again(&mut self) {
        let body = Message { role: "event".to_owned(), preview: format!("{} came again", self.name) };
        let links = self.about_call(Rel::About);
        self.add(links, Body::Message(body), Vec::new());
    }

    /// Whether the arguments are other ones than those of the action.
    pub(crate) fn arguments_changed(&mut self, input: &Value) -> bool {
        let reference = self.content("args", JSON, canonical(input));
        let known = self.call().and_then(|call| call.arguments);
        known.is_some_and(|known| reference.digest_bytes() != Some(known))
    }

    /// Whether a result that is the same in every byte is recorded for this call.
    fn is_told(&self, result: &ContentRef) -> bool {
        let digest = result.digest_bytes();
        self.call().is_some_and(|call| call.outcome.is_some() && digest.is_some() && call.result == digest)
    }

    /// What the user answered, where our policy had the runtime ask: told by what came of the call.
    pub(crate) fn answered(&mut self, granted: bool) {
        let Some(call) = self.call().filter(|call| call.asked) else { return };
        let (tool, links) = (call.tool.clone(), vec![link(Rel::Approves, call.action)]);
        let came = if granted { "the tool ran" } else { "the tool did not run" };
        let body = Approval {
            tool,
            by: Some(DecidedBy::User),
            reason: Some(format!("the runtime asked its user, and {came}")),
            ..Approval::default()
        };
        let body = if granted { Body::ApprovalGrant(body) } else { Body::ApprovalDeny(body) };
        self.add(links, body, Vec::new());
    }

    /// What came of a call. One of which nothing was told before is recorded now, under the event
    /// that tells of it. `false` if it was told already, in the same bytes.
    pub(crate) fn ran(&mut self, ran: Ran<'_>) -> bool {
        if self.call().is_none() {
            self.action(ran.tool, ran.input.unwrap_or(&Value::Null));
        }
        self.answered(!matches!(ran.outcome, Outcome::Denied | Outcome::Rejected));
        let (result, text) = match ran.result {
            Told::Json(value) => (self.content("result", JSON, canonical(value)), flat(value)),
            Told::Text(text) => (self.text("result", text), text.to_owned()),
        };
        if self.is_told(&result) {
            self.again();
            return false;
        }
        let changed = ran.input.is_some_and(|input| self.arguments_changed(input));
        let mut content = vec![result];
        for (stream, text) in ran.streams {
            if !text.is_empty() {
                content.push(self.text(stream, text));
            }
        }
        if let Some(input) = ran.input.filter(|_| changed) {
            content.push(self.content("args", JSON, canonical(input)));
        }
        let body = ResultBody {
            tool: cap(ran.tool),
            outcome: ran.outcome,
            exit_code: ran.exit_code,
            duration_ms: ran.duration_ms,
            // A failure's words are the reason already.
            preview: Some(preview(&text)).filter(|_| ran.outcome == Outcome::Ok || ran.reason.is_none()),
            reason: ran.reason.as_deref().map(cap),
            runtime_decision: ran.decision,
            signs: signs(&text),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf);
        self.add(links, Body::Result(body), content);
        true
    }

    /// What the model was given in place of or as the result of a call.
    pub(crate) fn saw(&mut self, text: &str) {
        let content = vec![self.text("result", text)];
        let body = Context {
            what: "tool_result".to_owned(),
            resource: None,
            len: Some(text.len() as u64),
            lines: None,
            preview: Some(preview(text)),
        };
        let links = self.about_call(Rel::CausedBy);
        self.add(links, Body::Context(body), content);
    }

    /// The runtime asks its user about a call. Where the event has no id of it, it is the newest one
    /// of this agent with the same tool and arguments that has no outcome.
    pub(crate) fn asked(&mut self, tool: &str, input: &Value, reason: Option<&str>) {
        let body = self.approval(tool, input, None, reason);
        let links = if self.claimed.tool_use_id.is_some() {
            self.about_call(Rel::About)
        } else {
            let arguments = self.content("args", JSON, canonical(input)).digest_bytes();
            let tool = cap(tool);
            let calls = self.known().into_iter().flat_map(Session::open_calls);
            let mut calls = calls.filter(|call| {
                call.tool == tool && call.agent == self.agent.id && call.arguments == arguments
            });
            calls.next().map(|call| link(Rel::About, call.action)).into_iter().collect()
        };
        self.add(links, Body::ApprovalRequest(body), Vec::new());
    }

    /// The runtime tells the answer.
    pub(crate) fn decided(
        &mut self,
        granted: bool,
        by: DecidedBy,
        tool: &str,
        input: &Value,
        reason: Option<&str>,
    ) {
        let body = self.approval(tool, input, Some(by), reason);
        let links = self.about_call(Rel::Approves);
        let body = if granted { Body::ApprovalGrant(body) } else { Body::ApprovalDeny(body) };
        self.add(links, body, Vec::new());
    }

    fn approval(&self, tool: &str, input: &Value, by: Option<DecidedBy>, reason: Option<&str>) -> Approval {
        let cwd = self.claimed.cwd.as_deref().unwrap_or_default();
        let known_as = self.known_as.as_deref().unwrap_or(tool);
        let (_, summary) = (self.runtime.normalise)(known_as, input, cwd, &self.writer.arrival.home);
        Approval {
            tool: cap(tool),
            summary: preview(&summary),
            by,
            reason: reason.map(cap),
            ..Approval::default()
        }
    }

    /// The records, and why the event could not be read, if it could not. A call that can't be read
    /// can't be decided on either: enforced, it is not let through.
    pub(crate) fn finish(self, problem: Result<(), String>) -> Captured {
        let refused = problem.err().filter(|_| {
            self.writer.arrival.mode == Mode::Enforce && self.runtime.gates.contains(&self.name.as_str())
        });
        Captured { refused: refused.map(|reason| cap(&reason)), ..self.writer.out }
    }
}

/// The records that a call of a new session would give, after a prompt if there is one.
pub(crate) fn imagined(
    runtime: &'static Runtime,
    prompt: Option<&str>,
    who: &Who<'_>,
    (tool, input): (&str, &Value),
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    if let Some(prompt) = prompt {
        Event::new(runtime, "prompt", who, prompt.as_bytes(), arrival, state).prompt(prompt, true);
    }
    let event = runtime.gates.first().copied().unwrap_or_default();
    let mut event = Event::new(runtime, event, who, input.to_string().as_bytes(), arrival, state);
    event.calling(tool, input);
    event.finish(Ok(()))
}

/// Who acts: the session's main agent, or a sub-agent of it. What only earlier records told is
/// known still.
pub(crate) fn agent(runtime: &str, who: &Who<'_>, writer: &Writer<'_, '_>) -> Agent {
    let id = cap(who.subagent.unwrap_or(who.session));
    let known = writer.state.session(who.session).and_then(|session| session.agent(&id));
    let known = known.map(|known| &known.agent);
    let name = match (who.subagent, who.kind) {
        (None, None) => known.map_or_else(|| runtime.to_owned(), |known| known.name.clone()),
        (_, Some(kind)) => cap(kind),
        (Some(_), None) => known.map_or_else(|| "subagent".to_owned(), |known| known.name.clone()),
    };
    let parent = who.parent.map(cap).or_else(|| known?.parent.clone());
    Agent {
        id,
        name,
        runtime: runtime.to_owned(),
        version: who.version.as_deref().map(cap).or_else(|| known?.version.clone()),
        model: who.model.map(cap).or_else(|| known?.model.clone()),
        parent: parent.or_else(|| who.subagent.map(|_| cap(who.session))),
    }
}

/// Says by which action a sub-agent of the session came to be, where that is told only afterwards.
pub(crate) fn delegated(
    writer: &mut Writer<'_, '_>,
    runtime: &str,
    who: &Who<'_>,
    action: RecordId,
    claimed: &Claimed,
    raw: &ContentRef,
) {
    let known = writer.state.session(who.session);
    let known = who.subagent.and_then(|id| known?.agent(&cap(id)));
    if known.is_some_and(|known| known.delegated) {
        return;
    }
    let agent = agent(runtime, who, writer);
    let body = Context {
        what: "subagent".to_owned(),
        resource: Some(Resource::new("agent", &agent.name)),
        len: None,
        lines: None,
        preview: None,
    };
    // No entry of a transcript is taken in by this.
    let claimed = Claimed { message_id: None, line: None, ..claimed.clone() };
    let links = vec![link(Rel::DelegatedBy, action)];
    writer.record(Some(who.session), Some(agent), claimed, links, Body::Context(body), vec![raw.clone()]);
}

/// The runtime let it run, and did not say why.
pub(crate) fn ran() -> RuntimeDecision {
    RuntimeDecision {
        decision: Verdict::Permit,
        by: DecidedBy::Unknown,
        basis: Basis::Inferred,
        reason: Some("the tool ran".to_owned()),
    }
}

/// JSON with sorted keys: the same arguments are the same bytes, whatever order they came in.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    sorted(value).into_bytes()
}

/// The same as a text.
pub(crate) fn sorted(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

/// Fields that have no place of their own, by name, in one line.
pub(crate) fn details<'v>(fields: impl Iterator<Item = (&'v String, &'v Value)>) -> String {
    let shown = fields.filter_map(|(key, value)| match value {
        Value::String(text) if !text.is_empty() => Some(format!("{key}: {}", preview(text))),
        Value::Bool(_) | Value::Number(_) => Some(format!("{key}: {value}")),
        _ => None,
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown.truncate(16);
    shown.join(", ")
}

/// The text in a tool's response, whatever its form.
pub(crate) fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join("\n"),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            match (text("text"), text("stdout"), text("stderr")) {
                (Some(text), _, _) => text.to_owned(),
                (None, Some(""), Some(stderr)) => stderr.to_owned(),
                (None, Some(stdout), _) => stdout.to_owned(),
                _ => match (map.get("content"), map.get("file").and_then(|file| file.get("content"))) {
                    (Some(content @ Value::Array(_)), _) | (_, Some(content @ Value::String(_))) => {
                        flat(content)
                    }
                    _ => value.to_string(),
                },
            }
        }
        other => other.to_string(),
    }
}
/// The run of `fdr run` that the sender is part of.
fn run(arrival: &Arrival<'_>) -> Option<String> {
    let (_, run) = arrival.variables.iter().find(|(name, run)| name == RUN_VARIABLE && !run.is_empty())?;
    Some(cap(run))
}
