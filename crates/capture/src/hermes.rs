//! The hook events of Hermes Agent, from its plugin hooks or its shell hooks.
//!
//! Facts that shape this file, from runs of the real agent: what is particular to an event stands
//! in `extra`; a sub-agent is a session of its own, announced by an event of its parent's session;
//! every call has an event after it, the blocked ones too; a refusal by the user or a rule comes as
//! an error whose result says `blocked`; a tool that the program of `execute_code` calls has no
//! call id; a session that is resumed has no event of its own; what goes to the model is told
//! whole each time by a shell hook.

use crate::event::{self, Event, JSON, Ran, Told, Who, canonical, flat, lenient, ran, unparsed};
use crate::hermes_tools::normalise;
use crate::runtime::Runtime;
use crate::state::{ROLE_INTERRUPT, ROLE_TURN_END, ROLE_TURN_ERROR};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State, hermes_transcript};
use fdr_record::{Basis, DecidedBy, Outcome, RecordId, Rel, RuntimeDecision, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "hermes",
    hook,
    import: Some(hermes_transcript::import),
    normalise,
    gates: &["pre_tool_call"],
    session_of,
    prompt_of,
};

/// The tool by which it starts sub-agents.
const STARTER: &str = "delegate_task";
/// The database of all conversations, in the folder of Hermes.
const DATABASE: &str = "state.db";

#[derive(Debug, Default, Deserialize)]
struct Payload {
    #[serde(default, deserialize_with = "lenient")]
    session_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default, deserialize_with = "lenient")]
    extra: Option<Map<String, Value>>,
}

impl Payload {
    fn text(&self, key: &str) -> Option<&str> {
        let text = self.extra.as_ref()?.get(key)?.as_str();
        text.filter(|text| !text.is_empty())
    }

    fn value(&self, key: &str) -> &Value {
        self.extra.as_ref().and_then(|extra| extra.get(key)).unwrap_or(&Value::Null)
    }

    /// The session; turns are named after theirs.
    fn session(&self) -> Option<&str> {
        let turn = || self.text("turn_id").and_then(|turn| turn.split_once(':')).map(|(session, _)| session);
        let session = self.session_id.as_deref().filter(|session| !session.is_empty());
        session.or_else(|| self.text("parent_session_id")).or_else(turn)
    }

    /// Whose records the event makes: a sub-agent's begin with an event of the parent's session.
    fn subject(&self, event: &str) -> Option<&str> {
        let child = || self.text("child_session_id");
        if matches!(event, "subagent_start" | "subagent_stop") { child() } else { self.session() }
    }
}

fn session_of(event: &str, payload: &[u8]) -> Option<(String, bool)> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    // The beginning of a sub-agent is linked to a call of its parent, which must be known.
    let session = if event == "subagent_start" { payload.session() } else { payload.subject(event) };
    Some((session?.to_owned(), event == "on_session_start"))
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    let text = (event == "pre_llm_call").then(|| flat(payload.value("user_message")))?;
    is_a_persons(&payload, &text).then(|| (text, payload.cwd.unwrap_or_default()))
}

fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let p: Payload = match event::read(payload) {
        Ok(p) => p,
        Err(reason) => return unparsed(&RUNTIME, event, payload, &reason, arrival, state),
    };
    // The process tells its main session to whom it starts, where the event names none.
    let variable = |name: &str| {
        let mut variables = arrival.variables.iter();
        variables.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    let named = p.subject(event);
    let session = named.or_else(|| variable("HERMES_SESSION_ID")).unwrap_or_default();
    let session = match event::session_id(session) {
        Ok(session) => session.to_owned(),
        Err(reason) => return unparsed(&RUNTIME, event, payload, &reason, arrival, state),
    };
    let is_child = event == "subagent_start" || event == "subagent_stop";
    let who = Who {
        session: &session,
        kind: if is_child { p.text("child_role") } else { None },
        parent: if is_child { p.session() } else { None },
        version: p.text("version").map(str::to_owned),
        model: p.text("model"),
        cwd: p.cwd.as_deref(),
        call: p.text("tool_call_id").filter(|_| !is_child),
        prompt: p.text("turn_id"),
        turn: p.text("turn_id"),
        permission_mode: p.text("approval_mode"),
        ..Who::default()
    };
    let folder = variable("HERMES_HOME").map(str::to_owned);
    let folder = folder.or_else(|| (!arrival.home.is_empty()).then(|| format!("{}/.hermes", arrival.home)));
    let database = p.text("database").map(str::to_owned);
    let database = database.or_else(|| folder.map(|folder| format!("{folder}/{DATABASE}")));
    let transcript = database.map(|database| format!("{database}#{session}"));
    let mut e = Event::new(&RUNTIME, event, &who, payload, arrival, state);
    e.claimed.inferred = named.is_none();
    let mut hook = Hook { transcript, p, e };
    let problem = hook.capture();
    hook.e.finish(problem)
}

/// Whether a person said so. Sub-agents are told by their parents, and schedules by what was planned.
fn is_a_persons(p: &Payload, text: &str) -> bool {
    !matches!(p.text("platform"), Some("subagent" | "cron" | "webhook")) && !is_own(text)
}

/// Whether Hermes itself speaks up: when something in the background is done, a turn was cut off,
/// or it looks back on the conversation to learn from it.
pub(crate) fn is_own(text: &str) -> bool {
    const OWN: [&str; 8] = [
        "[ASYNC DELEGATION",
        "[IMPORTANT: ",
        "[System",
        "[SYSTEM",
        "[Background process",
        "Review the conversation above and consider saving to memory",
        "Review the conversation above and update the skill library",
        "Review the conversation above and update two things",
    ];
    OWN.iter().any(|start| text.trim_start().starts_with(start))
}

/// One event on its way.
struct Hook<'a, 'b> {
    p: Payload,
    e: Event<'a, 'b>,
    /// Where its conversation is kept: `DATABASE#SESSION`.
    transcript: Option<String>,
}

impl Hook<'_, '_> {
    /// The reason is given if the event could not be read.
    fn capture(&mut self) -> Result<(), String> {
        let tool = self.p.tool_name.clone().unwrap_or_default();
        let name = self.e.name.clone();
        if matches!(name.as_str(), "pre_tool_call" | "post_tool_call") && tool.is_empty() {
            return Err(self.e.unreadable("it has no tool_name"));
        }
        let input = self.p.tool_input.clone();
        match name.as_str() {
            "on_session_start" => self.begins(Some("startup")),
            "pre_llm_call" => self.prompt(),
            "pre_api_request" => self.request(),
            "post_api_request" => self.response(),
            "pre_tool_call" => {
                self.pair(&tool, &input, true);
                self.e.calling(&tool, &input);
            }
            "post_tool_call" => {
                self.pair(&tool, &input, false);
                self.came(&tool, &input);
            }
            "pre_approval_request" => {
                let (tool, input, reason) = self.approval();
                self.e.asked(&tool, &input, reason.as_deref());
            }
            "post_approval_response" => self.approved(),
            "subagent_start" => self.delegated(),
            "subagent_stop" => {
                let (status, summary) = (self.text("child_status"), self.text("child_summary"));
                self.e.session_end(status.as_deref(), summary.as_deref());
            }
            "on_session_end" => {
                // Sent when a turn is over, the session goes on.
                let role = match (self.p.value("completed"), self.p.value("interrupted")) {
                    (_, Value::Bool(true)) => ROLE_INTERRUPT,
                    (Value::Bool(false), _) => ROLE_TURN_ERROR,
                    _ => ROLE_TURN_END,
                };
                self.e.plain(role, "");
            }
            "on_session_finalize" => {
                let reason = self.text("reason");
                self.e.session_end(reason.as_deref(), None);
            }
            // A request that failed may be tried again.
            _ => {
                let text = self.details();
                self.e.plain("event", &text);
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.p.text(key).map(str::to_owned)
    }

    /// The fields that have no place of their own, in one line.
    fn details(&self) -> String {
        let known =
            ["turn_id", "task_id", "api_request_id", "telemetry_schema_version", "database", "version"];
        event::details(self.p.extra.iter().flatten().filter(|(key, _)| !known.contains(&key.as_str())))
    }

    fn is_known(&self) -> bool {
        self.e.known().is_some_and(|session| session.agent(&self.e.agent.id).is_some())
    }

    /// The session begins, if it has not: a sub-agent's has been announced by then.
    fn begins(&mut self, source: Option<&str>) {
        if self.is_known() {
            let text = self.details();
            return self.e.plain("event", &text);
        }
        let transcript = self.transcript.clone();
        self.e.session_start(source, transcript.as_deref(), Vec::new());
    }

    fn prompt(&mut self) {
        if !self.is_known() {
            self.begins(Some("resume"));
        }
        let turn = self.e.claimed.prompt_id.clone();
        let session = self.e.session.clone();
        let is_told = turn.as_deref().is_some_and(|turn| {
            self.e.known().is_some_and(|known| known.prompt(&session, &session, Some(turn)).is_some())
        });
        if is_told {
            return self.e.again();
        }
        let text = flat(self.p.value("user_message"));
        let by_a_person = is_a_persons(&self.p, &text);
        self.e.prompt(&text, by_a_person);
    }

    /// What the model is about to be given: the new part of it.
    fn request(&mut self) {
        let all = self.p.value("request_messages").as_array().cloned().unwrap_or_default();
        let role = |message: &Value| message.get("role").and_then(Value::as_str).map(str::to_owned);
        let first = self.p.value("api_call_count") == &json!(1);
        let begin = all.iter().rposition(|message| role(message).as_deref() == Some("assistant"));
        let begin = begin.map_or(0, |at| at + 1);
        let records = self.e.writer.out.records.len();
        for (at, message) in all.iter().enumerate() {
            if !self.e.writer.has_room() {
                break;
            }
            let text = message.get("content").map(flat).unwrap_or_default();
            match role(message).as_deref() {
                Some("system" | "developer") if first || at >= begin => self.seen("system_prompt", &text),
                Some("tool") if at >= begin => {
                    let id = message.get("tool_call_id").and_then(Value::as_str);
                    self.e.turn_to(id);
                    if self.e.call().is_none_or(|call| call.seen.is_none()) {
                        self.e.saw(&text);
                    }
                    self.e.turn_to(None);
                }
                Some("user") if at >= begin => self.seen("model_input", &text),
                _ => {}
            }
        }
        if self.e.writer.out.records.len() == records {
            self.e.plain("event", "nothing new");
        }
    }

    /// A text that the model is given, unless it is recorded already.
    fn seen(&mut self, what: &str, text: &str) {
        let is_known = ["prompt", "text"].iter().any(|role| {
            let digest = self.e.text(role, text).digest;
            self.e.known().is_some_and(|known| known.has_text(&digest))
        });
        if !is_known && !text.is_empty() {
            self.e.context(what, None, text);
        }
    }

    /// What the model said and asked for.
    fn response(&mut self) {
        let message = self.p.value("response").get("assistant_message").cloned().unwrap_or_default();
        let text = message.get("content").map(flat).unwrap_or_default();
        if !text.is_empty() {
            return self.e.message("assistant", &text);
        }
        let calls = message.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let names = calls.iter().filter_map(|call| call.get("name").and_then(Value::as_str));
        let names: Vec<&str> = names.take(16).collect();
        let text = if names.is_empty() { self.details() } else { format!("asks for {}", names.join(", ")) };
        self.e.plain("event", &text);
    }

    /// Finds out which call an event is about that has no id.
    fn pair(&mut self, tool: &str, input: &Value, before: bool) {
        if self.e.claimed.tool_use_id.is_some() {
            return;
        }
        let arguments = self.e.content("args", JSON, canonical(input)).digest_bytes();
        match self.told_before(tool, arguments, before) {
            Some(id) => {
                self.e.claimed.inferred = true;
                self.e.claimed.tool_use_id = Some(id);
            }
            None => self.e.pair(tool, Some(input), before),
        }
    }

    /// The calls of a program come one after the other: what is told again before one ended, or after
    /// it, is told by another hook.
    fn told_before(&self, tool: &str, arguments: Option<[u8; 32]>, before: bool) -> Option<String> {
        let tool = cap(tool);
        let mut calls = self.e.known()?.calls_by_id();
        let (id, call) = calls.find(|(id, call)| {
            id.starts_with("fdr:") && call.agent == self.e.agent.id && call.tool == tool
        })?;
        let is_same = call.arguments == arguments && call.outcome.is_none() == before;
        is_same.then(|| id.to_owned())
    }

    fn came(&mut self, tool: &str, input: &Value) {
        let told = self.p.value("result").clone();
        let text = match &told {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let result = ToolResult::of(&text);
        let status = self.text("status").unwrap_or_default();
        let message = self.text("error_message").or_else(|| result.error.clone());
        let (outcome, decision) = match (status.as_str(), self.p.text("error_type")) {
            ("blocked", Some("tool_scope_block")) => {
                (Outcome::Rejected, Some(refused(DecidedBy::Runtime, &message)))
            }
            ("blocked", Some("guardrail_block")) => {
                (Outcome::Denied, Some(refused(DecidedBy::Runtime, &message)))
            }
            // By a hook: ours or another one.
            ("blocked", _) => {
                let by = by(message.as_deref(), DecidedBy::Hook);
                (Outcome::Denied, Some(refused(by, &message)))
            }
            ("cancelled", _) => (Outcome::Interrupted, Some(ran())),
            _ => result.outcome(tool),
        };
        let failed = outcome != Outcome::Ok;
        self.e.ran(Ran {
            tool,
            input: Some(input),
            result: Told::Text(&text),
            streams: result.output.as_deref().map(|output| ("stdout", output)).into_iter().collect(),
            outcome,
            // Of a command that did not run it is -1.
            exit_code: result.exit_code.filter(|_| outcome != Outcome::Denied),
            duration_ms: self.p.value("duration_ms").as_u64(),
            reason: message.filter(|_| failed).or_else(|| result.runs_on()),
            decision,
        });
    }

    /// Tool, arguments and reason of a request for permission; it names the call, not the tool.
    fn approval(&self) -> (String, Value, Option<String>) {
        let tool = self.e.call().map_or_else(|| "terminal".to_owned(), |call| call.tool.clone());
        let command = self.text("command").unwrap_or_default();
        let key = if tool == "execute_code" { "code" } else { "command" };
        (tool, json!({ key: command }), self.text("description"))
    }

    fn approved(&mut self) {
        let (tool, input, reason) = self.approval();
        let choice = self.text("choice").unwrap_or_default();
        let (granted, by) = match choice.as_str() {
            "once" | "session" | "always" => (true, DecidedBy::User),
            "deny" => (false, DecidedBy::User),
            "timeout" => (false, DecidedBy::Timeout),
            "smart_approve" => (true, DecidedBy::Classifier),
            "smart_deny" => (false, DecidedBy::Classifier),
            _ => {
                let text = self.details();
                return self.e.plain("event", &text);
            }
        };
        let reason = reason.map_or(choice.clone(), |reason| format!("{choice}: {reason}"));
        self.e.decided(granted, by, &tool, &input, Some(&reason));
    }

    /// The call that started a sub-agent: told by the plugin, else clear if there is one only that
    /// can have.
    fn starter(&self) -> Option<RecordId> {
        let parent = self.e.writer.state.session(self.p.session()?)?;
        if let Some(call) = self.p.text("tool_call_id").and_then(|id| parent.call(&cap(id))) {
            return Some(call.action);
        }
        let mut open = parent.open_calls().filter(|call| call.tool == STARTER);
        let (one, another) = (open.next(), open.next());
        one.filter(|_| another.is_none()).map(|call| call.action)
    }

    /// A sub-agent's session begins.
    fn delegated(&mut self) {
        if self.is_known() {
            return self.e.again();
        }
        let action = self.starter();
        let links = action.map(|action| link(Rel::DelegatedBy, action)).into_iter().collect();
        let transcript = self.transcript.clone();
        self.e.session_start(Some("subagent"), transcript.as_deref(), links);
    }
}

/// A result of a tool: most are JSON in a text.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ToolResult {
    #[serde(default, deserialize_with = "lenient")]
    error: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    output: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) exit_code: Option<i64>,
}

impl ToolResult {
    /// Hermes may put a warning for the model behind the JSON.
    pub(crate) fn of(text: &str) -> ToolResult {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<ToolResult>();
        values.next().and_then(Result::ok).unwrap_or_default()
    }

    /// What came of a call, by what its result says. Only Hermes itself writes the status of these
    /// tools' results; what others say may be anybody's words.
    pub(crate) fn outcome(&self, tool: &str) -> (Outcome, Option<RuntimeDecision>) {
        let error = self.error.as_deref().unwrap_or_default();
        let status = self.status.as_deref().unwrap_or_default();
        let is_refused = match tool {
            "terminal" => matches!(status, "blocked" | "approval_required"),
            // One that ran has an output, and what it printed may stand in the error.
            "execute_code" => error.starts_with("BLOCKED") && self.output.is_none(),
            _ => false,
        };
        if is_refused {
            let by = by(Some(error), DecidedBy::Rule);
            return (Outcome::Denied, Some(refused(by, &self.error)));
        }
        match (error, self.exit_code) {
            ("", None | Some(0)) => (Outcome::Ok, Some(ran())),
            _ if status == "cancelled" => (Outcome::Interrupted, Some(ran())),
            _ => (Outcome::Error, Some(ran())),
        }
    }

    /// Whether these are the words of our own hook: all that is left of its refusal in the database.
    pub(crate) fn is_ours(&self) -> bool {
        self.error.as_deref().is_some_and(|error| error.starts_with("fdr (enforce): "))
    }

    fn runs_on(&self) -> Option<String> {
        let begun = matches!(self.status.as_deref(), Some("dispatched" | "started"))
            || self.output.as_deref().is_some_and(|output| output.starts_with("Background process started"));
        begun.then(|| "it runs on in the background".to_owned())
    }
}

/// Who said no, by the words of the refusal.
fn by(text: Option<&str>, otherwise: DecidedBy) -> DecidedBy {
    let text = text.unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match text {
        _ if !text.starts_with("BLOCKED") => otherwise,
        _ if says(&["timed out"]) => DecidedBy::Timeout,
        _ if says(&["User denied", "denied by user"]) => DecidedBy::User,
        _ if says(&["smart approval"]) => DecidedBy::Classifier,
        _ if says(&[
            "cron jobs run without",
            "no interactive user",
            "approval required",
            "requires approval",
        ]) =>
        {
            DecidedBy::Mode
        }
        _ if says(&["deny rule", "(hardline)"]) => DecidedBy::Rule,
        _ => otherwise,
    }
}

fn refused(by: DecidedBy, reason: &Option<String>) -> RuntimeDecision {
    let reason = reason.as_deref().map(cap);
    RuntimeDecision { decision: Verdict::Deny, by, basis: Basis::Stated, reason }
}
