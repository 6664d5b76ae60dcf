//! The hook events of Claude Code.
//!
//! Facts that shape this file, from runs of the real agent: a denied call has no event after it,
//! only its text in `PostToolBatch`; a call of an unknown tool has no event before it; a hook may
//! rewrite the arguments, which shows in `PostToolUse` and not in `PostToolBatch`; a message is
//! shown in pieces while it streams, one event each.

use crate::claude_code_outcome::{Known, exit_code, outcome, ran};
pub use crate::claude_code_tools::normalise;
use crate::state::{Call, ROLE_TURN_END, ROLE_TURN_ERROR, Session};
use crate::writer::{Writer, bound, cap, left_out, link, short, unparsed};
use crate::{Arrival, Captured, Reply, State};
use fdr_record::{
    ActionBody, Agent, Approval, Basis, Body, Claimed, ConfigChange, ContentRef, Context, DecidedBy, Gap,
    Link, Message, Mode, Outcome, PolicyDecision, Prompt, RecordId, Rel, Resource, ResultBody,
    RuntimeDecision, SessionEnd, SessionStart, Status, Unparsed, Verdict, injection::signs, preview,
};
use serde::Deserialize;
use serde_json::{Map, Value};

const RUNTIME: &str = "claude-code";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
/// The longest session id that is read, in bytes.
const MAX_SESSION_BYTES: usize = 256;

/// The fields that are read by name; everything of a payload is kept raw.
#[derive(Debug, Deserialize)]
struct Payload {
    session_id: String,
    #[serde(default, deserialize_with = "lenient")]
    hook_event_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    transcript_path: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    permission_mode: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    turn_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    message_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    agent_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    agent_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    source: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    delta: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    file_path: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    agent_transcript_path: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    tool_response: Value,
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    duration_ms: Option<u64>,
    #[serde(default)]
    error: Value,
    #[serde(default, deserialize_with = "lenient")]
    is_interrupt: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    tool_calls: Option<Vec<Value>>,
    #[serde(default)]
    message: Value,
    #[serde(default, deserialize_with = "lenient")]
    last_assistant_message: Option<String>,
    /// What else there is, to be shown in one line where the event has no form of its own.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct BatchCall {
    tool_name: String,
    #[serde(default)]
    tool_input: Value,
    tool_use_id: String,
    #[serde(default)]
    tool_response: Value,
}

/// A field of another type than expected is passed over, not a reason to read nothing.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// Makes records of one hook event. `event` is the name that the hook was called with; the
/// payload's own name is used where it has one.
///
/// There is always at least one record, whatever the bytes; and always an empty reply, but for a
/// call that can't be read: that one is denied where decisions are made to hold.
pub fn hook(event: Option<&str>, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let parsed = match std::str::from_utf8(payload) {
        Err(error) => Err(format!("not UTF-8: {error}")),
        Ok(text) if text.trim().is_empty() => Err("empty".to_owned()),
        Ok(text) => serde_json::from_str::<Payload>(text).map_err(|error| error.to_string()),
    };
    let parsed = parsed.and_then(|parsed| match parsed.session_id.len() {
        1..=MAX_SESSION_BYTES => Ok(parsed),
        _ => Err(format!("the session id is empty or longer than {MAX_SESSION_BYTES} bytes")),
    });
    let payload_event = parsed.as_ref().ok().and_then(|parsed| parsed.hook_event_name.clone());
    let Some(name) = payload_event.or_else(|| event.map(str::to_owned)) else {
        let reason = parsed.err().unwrap_or_else(|| "it has no event name".to_owned());
        return unparsed(RUNTIME, event, payload, &reason, arrival, state);
    };
    let (captured, problem) = match parsed {
        Err(reason) => (unparsed(RUNTIME, Some(&name), payload, &reason, arrival, state), Some(reason)),
        Ok(parsed) => {
            let mut event = Event::new(&name, parsed, payload, arrival, state);
            let problem = event.capture().err();
            (event.writer.out, problem)
        }
    };
    match problem {
        Some(reason)
            if arrival.mode == Mode::Enforce
                && [Some(name.as_str()), event].contains(&Some("PreToolUse")) =>
        {
            let reason = format!("denied, because the event can't be read: {}", cap(&reason));
            Captured { reply: reply(Verdict::Deny, &reason), ..captured }
        }
        _ => captured,
    }
}

/// The answer to `PreToolUse` for a call that is not simply let through. One that can't be
/// understood can't be decided on; enforced, it is not let through.
pub(crate) fn reply(verdict: Verdict, reason: &str) -> Reply {
    let decision = if verdict == Verdict::Ask { "ask" } else { "deny" };
    let reply = serde_json::json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": decision,
        "permissionDecisionReason": format!("fdr (enforce): {reason}"),
    }});
    Reply { stdout: format!("{reply}\n").into_bytes(), ..Reply::default() }
}

/// One event on its way.
struct Event<'a, 'b> {
    name: String,
    p: Payload,
    agent: Agent,
    claimed: Claimed,
    raw: ContentRef,
    writer: Writer<'a, 'b>,
}

impl<'a, 'b> Event<'a, 'b> {
    fn new(
        name: &str,
        mut p: Payload,
        payload: &[u8],
        arrival: &'a Arrival<'b>,
        state: &'a mut State,
    ) -> Event<'a, 'b> {
        let mut writer = Writer::new(arrival, state);
        let raw = writer.content(&p.session_id, "raw", JSON, payload.to_vec());
        p.tool_use_id = p.tool_use_id.as_deref().map(cap);
        let claimed = Claimed {
            source: cap(&format!("hook:{name}")),
            tool_use_id: p.tool_use_id.clone(),
            prompt_id: p.prompt_id.as_deref().map(cap),
            turn_id: p.turn_id.as_deref().map(cap),
            message_id: p.message_id.as_deref().map(cap),
            cwd: p.cwd.as_deref().map(cap),
            ..Claimed::default()
        };
        writer.permission_mode = p.permission_mode.as_deref().map(cap);
        let agent = agent(&p.session_id, p.agent_id.as_deref(), p.agent_type.as_deref(), &writer);
        let agent = Agent { model: p.model.as_deref().map(cap).or(agent.model), ..agent };
        Event { name: name.to_owned(), p, agent, claimed, raw, writer }
    }

    fn add(&mut self, links: Vec<Link>, body: Body, mut content: Vec<ContentRef>) -> RecordId {
        content.push(self.raw.clone());
        let (agent, claimed) = (self.agent.clone(), self.claimed.clone());
        self.writer.record(Some(&self.p.session_id), Some(agent), claimed, links, body, content)
    }

    fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        self.writer.content(&self.p.session_id.clone(), role, media, bytes)
    }

    fn text(&mut self, role: &str, text: &str) -> ContentRef {
        self.content(role, TEXT, text.as_bytes().to_vec())
    }

    fn session(&self) -> Option<&Session> {
        self.writer.state.session(&self.p.session_id)
    }

    fn prompted(&self) -> Option<Link> {
        let prompt_id = self.claimed.prompt_id.as_deref();
        let prompt = self.session()?.prompt(&self.agent.id, &self.p.session_id, prompt_id)?;
        Some(link(Rel::PromptedBy, prompt))
    }

    fn call(&self) -> Option<&Call> {
        self.session()?.call(self.p.tool_use_id.as_deref()?)
    }

    fn about_call(&self, rel: Rel) -> Vec<Link> {
        self.call().map(|call| link(rel, call.action)).into_iter().collect()
    }

    /// The reason is given if the event could not be read.
    fn capture(&mut self) -> Result<(), String> {
        let needs_tool = matches!(
            self.name.as_str(),
            "PreToolUse" | "PostToolUse" | "PostToolUseFailure" | "PermissionRequest" | "PermissionDenied"
        );
        if needs_tool && self.p.tool_name.is_none() {
            return Err(self.unreadable("it has no tool_name"));
        }
        match self.name.clone().as_str() {
            "SessionStart" => {
                let source = self.p.source.as_deref().map(cap);
                let transcript = self.p.transcript_path.as_deref().map(cap);
                self.add(Vec::new(), Body::SessionStart(SessionStart { source, transcript }), Vec::new());
            }
            "SubagentStart" => self.subagent(),
            "SessionEnd" | "SubagentStop" => self.end(),
            "UserPromptSubmit" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                let content = self.text("prompt", &text);
                let id =
                    self.add(Vec::new(), Body::Prompt(Prompt { preview: preview(&text) }), vec![content]);
                self.intended(id, &text);
            }
            "UserPromptExpansion" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                self.context("prompt_expansion", None, &text);
            }
            "InstructionsLoaded" => self.instructions(),
            "MessageDisplay" => {
                let text = self.p.delta.clone().unwrap_or_default();
                self.message("assistant", &text);
            }
            "PreToolUse" => {
                let (tool, input) = (self.p.tool_name.clone().unwrap_or_default(), self.p.tool_input.clone());
                if self.is_again(&input) {
                    self.again();
                } else {
                    let id = self.action(&tool, &input);
                    self.writer.out.held.push(id);
                }
            }
            "PostToolUse" => self.executed(),
            "PostToolUseFailure" => self.failed(),
            "PostToolBatch" => return self.batch(),
            "PermissionRequest" => {
                let links = self.asked_about();
                let body = self.approval(None);
                self.add(links, Body::ApprovalRequest(body), Vec::new());
            }
            "PermissionDenied" => {
                // Sent for what the classifier of the auto mode refuses, and for nothing else.
                let links = self.about_call(Rel::Approves);
                let body = self.approval(Some(DecidedBy::Classifier));
                self.add(links, Body::ApprovalDeny(body), Vec::new());
            }
            "PreCompact" | "PostCompact" => {
                let summary = self.rest("compact_summary").or(self.rest("custom_instructions"));
                let text = summary.unwrap_or_else(|| self.details());
                self.context("compaction", None, &text);
            }
            "FileChanged" => {
                let resource = self.p.file_path.as_deref().map(|path| self.file(path));
                let text = self.details();
                self.context("file_changed", resource, &text);
            }
            "CwdChanged" => {
                let (old, new) = (self.rest("old_cwd"), self.rest("new_cwd"));
                let resource = new.as_deref().map(|path| self.file(path));
                let detail = format!("{} -> {}", old.unwrap_or_default(), new.unwrap_or_default());
                self.config("cwd", resource, &detail);
            }
            "PreModelSwitch" | "PostModelSwitch" => {
                let detail = self.details();
                self.config("model", None, &detail);
            }
            "ConfigChange" | "DirectoryAdded" | "WorktreeCreate" | "WorktreeRemove" | "Setup" => {
                let path = ["worktree_path", "directory", "path"].iter().find_map(|key| self.rest(key));
                let resource = self.p.file_path.clone().or(path).map(|path| self.file(&path));
                let what = self.p.source.as_deref().map_or_else(|| self.name.clone(), cap);
                let detail = self.details();
                self.config(&what, resource, &detail);
            }
            "Stop" => {
                // What it says is in the message before; this tells that the turn ended.
                let text = self.p.last_assistant_message.clone().unwrap_or_default();
                self.plain(ROLE_TURN_END, &text);
            }
            "StopFailure" => {
                let text = [flat(&self.p.error), self.rest("error_details").unwrap_or_default()].join(" ");
                self.plain(ROLE_TURN_ERROR, text.trim());
            }
            "Notification" => {
                let text = flat(&self.p.message);
                self.plain("notification", &text);
            }
            "Elicitation" => {
                let body = self.elicited();
                self.add(Vec::new(), Body::ApprovalRequest(body), Vec::new());
            }
            "ElicitationResult" => {
                let action = self.rest("action").unwrap_or_default();
                match action.as_str() {
                    "accept" | "decline" => {
                        let by = Some(DecidedBy::User);
                        let body = Approval { by, ..self.elicited() };
                        let accepted = action == "accept";
                        let body =
                            if accepted { Body::ApprovalGrant(body) } else { Body::ApprovalDeny(body) };
                        self.add(Vec::new(), body, Vec::new());
                    }
                    // Nobody said yes or no.
                    _ => {
                        let text = self.details();
                        self.plain("mcp", &text);
                    }
                }
            }
            "TaskCreated" | "TaskCompleted" | "TeammateIdle" => {
                let text = self.details();
                self.plain("task", &text);
            }
            // Every event that this version doesn't know: kept whole, under its name.
            _ => {
                let text = self.details();
                self.plain("event", &text);
            }
        }
        Ok(())
    }

    /// Records the event as it is, and gives the reason back.
    fn unreadable(&mut self, reason: &str) -> String {
        let body = Unparsed { reason: cap(reason), event: Some(cap(&self.name)) };
        self.add(Vec::new(), Body::Unparsed(body), Vec::new());
        reason.to_owned()
    }

    fn rest(&self, key: &str) -> Option<String> {
        self.p.rest.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    /// The fields that have no place of their own, in one line.
    fn details(&self) -> String {
        let known = ["effort", "stop_hook_active"];
        let shown = self.p.rest.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        let shown = shown.filter_map(|(key, value)| match value {
            Value::String(text) => Some(format!("{key}: {}", preview(text))),
            Value::Bool(_) | Value::Number(_) => Some(format!("{key}: {value}")),
            _ => None,
        });
        let shown: Vec<String> = shown.take(16).collect();
        shown.join(", ")
    }

    fn plain(&mut self, role: &str, text: &str) {
        let shown = match text {
            "" => cap(&self.name),
            text if role == "event" || role == "task" => preview(&format!("{}: {text}", self.name)),
            text => preview(text),
        };
        let links = self.prompted().into_iter().collect();
        self.add(links, Body::Message(Message { role: role.to_owned(), preview: shown }), Vec::new());
    }

    fn message(&mut self, role: &str, text: &str) {
        let content = self.text("text", text);
        let links = self.prompted().into_iter().collect();
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(links, Body::Message(body), vec![content]);
    }

    fn context(&mut self, what: &str, resource: Option<Resource>, text: &str) {
        let content = vec![self.text("text", text)];
        let body = Context {
            what: what.to_owned(),
            resource,
            len: Some(text.len() as u64),
            preview: Some(preview(text)),
        };
        self.add(Vec::new(), Body::Context(body), content);
    }

    fn config(&mut self, what: &str, resource: Option<Resource>, detail: &str) {
        let detail = match detail {
            "" => cap(&self.name),
            detail => preview(&format!("{}: {detail}", self.name)),
        };
        let body = ConfigChange { what: what.to_owned(), resource, detail: Some(detail) };
        self.add(Vec::new(), Body::ConfigChange(body), Vec::new());
    }

    fn file(&self, path: &str) -> Resource {
        short(Resource::file(&cap(path), self.claimed.cwd.as_deref().unwrap_or("/")))
    }

    fn instructions(&mut self) {
        let resource = self.p.file_path.as_deref().map(|path| self.file(path));
        let attachment = self.writer.arrival.attachment.clone();
        let len = attachment.as_ref().map(|bytes| bytes.len() as u64);
        let shown = attachment.as_ref().map(|bytes| preview(&String::from_utf8_lossy(bytes)));
        let content = attachment.map(|bytes| self.content("file", TEXT, bytes)).into_iter().collect();
        let body = Context { what: "instructions".to_owned(), resource, len, preview: shown };
        self.add(Vec::new(), Body::Context(body), content);
    }

    /// A sub-agent begins. Which call started it is not told; it is clear if there is one only
    /// that can have.
    fn subagent(&mut self) {
        let wanted = format!("agent:{}", self.agent.name);
        let calls = self.session().into_iter().flat_map(Session::open_calls);
        let calls = calls.filter(|call| {
            matches!(call.tool.as_str(), "Agent" | "Task") && !call.delegated && call.is_on(&wanted)
        });
        let calls: Vec<(RecordId, String)> =
            calls.take(2).map(|call| (call.action, call.agent.clone())).collect();
        let by = if calls.len() == 1 { calls.into_iter().next() } else { None };
        let mut links = Vec::new();
        if let Some((action, parent)) = by {
            links.push(link(Rel::DelegatedBy, action));
            self.agent.parent = Some(parent);
        }
        let transcript = self.p.agent_transcript_path.as_deref().map(cap);
        let body = SessionStart { source: Some("subagent".to_owned()), transcript };
        self.add(links, Body::SessionStart(body), Vec::new());
    }

    fn end(&mut self) {
        let session = self.session();
        let tells_results = session.is_some_and(|session| session.tells_results);
        let known = session.and_then(|session| session.agent(&self.agent.id));
        let (status, actions, denied) = match known {
            Some(known) => (known.status(tells_results), known.actions, known.denied),
            None => (Status::Unknown, 0, 0),
        };
        let reason = self.p.reason.as_deref().map(cap);
        let text = self.p.last_assistant_message.clone();
        let content = text.map(|text| self.text("text", &text)).into_iter().collect();
        self.add(Vec::new(), Body::SessionEnd(SessionEnd { status, reason, actions, denied }), content);
    }

    /// Records what a person's prompt asks for. The runtime passes on messages of its own in the
    /// same event; these come from tools, and widen nothing.
    fn intended(&mut self, prompt: RecordId, text: &str) {
        const OWN: [&str; 8] = [
            "<task-notification",
            "<system-reminder",
            "<local-command",
            "<bash-",
            "Another Claude session sent a message",
            "[SYSTEM NOTIFICATION",
            "Stop hook feedback",
            "This session is being continued from a previous conversation",
        ];
        if OWN.iter().any(|start| text.trim_start().starts_with(start)) || self.agent.parent.is_some() {
            return;
        }
        let Some(record) = self.writer.out.records.iter().find(|record| record.id == prompt) else { return };
        if let Some(intent) = self.writer.state.intent(record, text, &self.writer.arrival.home) {
            self.add(vec![link(Rel::DerivedFrom, prompt)], Body::Intent(intent), Vec::new());
        }
    }

    fn action(&mut self, tool: &str, input: &Value) -> RecordId {
        let cwd = self.claimed.cwd.clone().unwrap_or_default();
        let (found, summary) = normalise(tool, input, &cwd, &self.writer.arrival.home);
        let body = bound(ActionBody::new(
            &cap(tool),
            preview(&summary),
            found,
            PolicyDecision::undecided(self.writer.arrival.mode),
        ));
        let said = self.session().and_then(|session| session.agent(&self.agent.id)?.said);
        let mut links: Vec<Link> = said.map(|id| link(Rel::DecidedBy, id)).into_iter().collect();
        links.extend(self.prompted());
        let arguments = self.content("args", JSON, canonical(input));
        self.add(links, Body::Action(body), vec![arguments])
    }

    /// Whether this very call is recorded and under way, as when a hook is set up twice. One that was
    /// held is decided on anew: whoever asks again is told the same.
    fn is_again(&mut self, input: &Value) -> bool {
        let is_known =
            self.call().is_some_and(|call| call.outcome.is_none() && call.refused.is_none() && !call.late);
        is_known && !self.arguments_changed(input)
    }

    /// The event brings nothing new.
    fn again(&mut self) {
        let body = Message { role: "event".to_owned(), preview: format!("{} came again", self.name) };
        let links = self.about_call(Rel::About);
        self.add(links, Body::Message(body), Vec::new());
    }

    /// Whether the arguments are other ones than those of the action.
    fn arguments_changed(&mut self, input: &Value) -> bool {
        let reference = self.content("args", JSON, canonical(input));
        let known = self.call().and_then(|call| call.arguments);
        known.is_some_and(|known| reference.digest_bytes() != Some(known))
    }

    /// A call of which nothing was told before it ran is recorded now, under the event that
    /// tells of it.
    fn action_if_unknown(&mut self) {
        if self.call().is_none() {
            let (tool, input) = (self.p.tool_name.clone().unwrap_or_default(), self.p.tool_input.clone());
            self.action(&tool, &input);
        }
    }

    /// Whether a result that is the same in every byte is recorded for this call.
    fn is_told(&self, result: &ContentRef) -> bool {
        let digest = result.digest_bytes();
        self.call().is_some_and(|call| call.outcome.is_some() && digest.is_some() && call.result == digest)
    }

    /// What the user answered, where our policy had the runtime ask: told by what came of the call.
    fn answered(&mut self, granted: bool) {
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

    fn executed(&mut self) {
        self.action_if_unknown();
        self.answered(true);
        let (input, response) = (self.p.tool_input.clone(), self.p.tool_response.clone());
        let result = self.content("result", JSON, canonical(&response));
        if self.is_told(&result) {
            return self.again();
        }
        let changed = self.arguments_changed(&input);
        let mut content = vec![result];
        for stream in ["stdout", "stderr"] {
            if let Some(text) = response.get(stream).and_then(Value::as_str).filter(|text| !text.is_empty()) {
                content.push(self.text(stream, text));
            }
        }
        if changed {
            content.push(self.content("args", JSON, canonical(&input)));
        }
        let interrupted = response.get("interrupted").and_then(Value::as_bool) == Some(true);
        let background = response.get("backgroundTaskId").is_some_and(Value::is_string)
            || response.get("status") == Some(&"async_launched".into());
        let body = ResultBody {
            tool: cap(self.p.tool_name.as_deref().unwrap_or_default()),
            outcome: if interrupted { Outcome::Interrupted } else { Outcome::Ok },
            exit_code: None,
            duration_ms: self.p.duration_ms,
            reason: background.then(|| "it runs on in the background".to_owned()),
            preview: Some(preview(&flat(&response))),
            runtime_decision: Some(ran()),
            signs: signs(&flat(&response)),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf);
        self.add(links, Body::Result(body), content);
        let started = response.get("agentId").and_then(Value::as_str);
        if let (Some(agent), Some(action)) = (started, self.call().map(|call| call.action)) {
            let kind = response.get("agentType").and_then(Value::as_str);
            delegated(&mut self.writer, &self.p.session_id, agent, kind, action, &self.claimed, &self.raw);
        }
    }

    /// Sent for a tool that had begun to run, so nothing in its words makes it a refusal.
    fn failed(&mut self) {
        self.action_if_unknown();
        self.answered(true);
        let input = self.p.tool_input.clone();
        let text = flat(&self.p.error);
        let result = self.text("result", &text);
        if self.is_told(&result) {
            return self.again();
        }
        let changed = self.arguments_changed(&input);
        let mut content = vec![result];
        if changed {
            content.push(self.content("args", JSON, canonical(&input)));
        }
        let interrupted =
            self.p.is_interrupt == Some(true) || text.starts_with("[Request interrupted by user");
        let body = ResultBody {
            tool: cap(self.p.tool_name.as_deref().unwrap_or_default()),
            outcome: if interrupted { Outcome::Interrupted } else { Outcome::Error },
            exit_code: exit_code(&text),
            duration_ms: self.p.duration_ms,
            reason: Some(cap(&text)),
            preview: None,
            runtime_decision: Some(ran()),
            signs: signs(&text),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf);
        self.add(links, Body::Result(body), content);
    }

    fn approval(&self, by: Option<DecidedBy>) -> Approval {
        let tool = self.p.tool_name.as_deref().unwrap_or_default();
        let cwd = self.claimed.cwd.as_deref().unwrap_or_default();
        let (_, summary) = normalise(tool, &self.p.tool_input, cwd, &self.writer.arrival.home);
        Approval {
            tool: cap(tool),
            summary: preview(&summary),
            by,
            reason: self.p.reason.as_deref().map(cap),
            ..Approval::default()
        }
    }

    /// What an MCP server asks of the user.
    fn elicited(&self) -> Approval {
        Approval {
            tool: cap(&format!("mcp:{}", self.rest("mcp_server_name").unwrap_or_default())),
            summary: preview(match flat(&self.p.message).as_str() {
                "" => "elicitation",
                message => message,
            }),
            ..Approval::default()
        }
    }

    /// The call that permission is asked for. The event has no id of it: it is the newest one of
    /// this agent with the same tool and arguments that has no outcome.
    fn asked_about(&mut self) -> Vec<Link> {
        if self.p.tool_use_id.is_some() {
            return self.about_call(Rel::About);
        }
        let input = self.p.tool_input.clone();
        let arguments = self.content("args", JSON, canonical(&input)).digest_bytes();
        let tool = cap(self.p.tool_name.as_deref().unwrap_or_default());
        let calls = self.session().into_iter().flat_map(Session::open_calls);
        let mut calls = calls
            .filter(|call| call.tool == tool && call.agent == self.agent.id && call.arguments == arguments);
        calls.next().map(|call| link(Rel::About, call.action)).into_iter().collect()
    }

    /// What the model got for each call of a turn, the refused ones included.
    fn batch(&mut self) -> Result<(), String> {
        let Some(calls) = self.p.tool_calls.take() else {
            return Err(self.unreadable("it has no list of tool_calls"));
        };
        if calls.is_empty() {
            self.plain("event", "no calls");
        }
        let mut problem = Ok(());
        let count = calls.len();
        for (done, call) in calls.into_iter().enumerate() {
            if !self.writer.has_room() {
                (self.claimed.tool_use_id, self.p.tool_use_id) = (None, None);
                let detail = format!(
                    "{} of {count} calls have no records, because the event is too large",
                    count - done
                );
                self.add(Vec::new(), left_out("calls_left_out", detail), Vec::new());
                break;
            }
            match BatchCall::deserialize(call) {
                Ok(call) => self.batch_call(call),
                Err(error) => {
                    (self.claimed.tool_use_id, self.p.tool_use_id) = (None, None);
                    problem = Err(self.unreadable(&format!("one of its tool_calls: {error}")));
                }
            }
        }
        problem
    }

    fn batch_call(&mut self, call: BatchCall) {
        let id = cap(&call.tool_use_id);
        self.claimed.tool_use_id = Some(id.clone());
        self.p.tool_use_id = Some(id);
        let known = self.call().cloned();
        if known.is_none() {
            self.action(&call.tool_name, &call.tool_input);
        }
        let text = flat(&call.tool_response);
        let changed = self.arguments_changed(&call.tool_input);
        if known.as_ref().is_none_or(|call| call.outcome.is_none()) {
            self.told(&call, &text, known.as_ref(), changed);
        } else if changed {
            let content = vec![self.content("args", JSON, canonical(&call.tool_input))];
            let body = Gap {
                what: "arguments_differ".to_owned(),
                detail: "what the model is said to have asked for is not what was decided on".to_owned(),
                millis: None,
            };
            let links = self.about_call(Rel::About);
            self.add(links, Body::Gap(body), content);
        }
        let content = vec![self.text("result", &text)];
        let body = Context {
            what: "tool_result".to_owned(),
            resource: None,
            len: Some(text.len() as u64),
            preview: Some(preview(&text)),
        };
        let links = self.about_call(Rel::CausedBy);
        self.add(links, Body::Context(body), content);
    }

    /// A result that only the model's text tells.
    fn told(&mut self, call: &BatchCall, text: &str, known: Option<&Call>, changed: bool) {
        let tells_results = self.session().is_some_and(|session| session.tells_results);
        let begun = known.is_some_and(|call| call.source == "hook:PreToolUse");
        let evidence = Known { in_place: begun || tells_results, did_not_run: begun && tells_results };
        let (outcome, decision) = match known.and_then(|call| call.refused.as_deref()) {
            // Our own hook's words.
            Some(reason) if !reason.is_empty() && text.contains(reason) => {
                let decision = RuntimeDecision {
                    decision: Verdict::Deny,
                    by: DecidedBy::Hook,
                    basis: Basis::Stated,
                    reason: Some(cap(text)),
                };
                (Outcome::Denied, Some(decision))
            }
            _ => outcome(text, evidence),
        };
        self.answered(outcome != Outcome::Denied);
        let mut content = vec![self.text("result", text)];
        if changed {
            content.push(self.content("args", JSON, canonical(&call.tool_input)));
        }
        let body = ResultBody {
            tool: cap(&call.tool_name),
            outcome,
            exit_code: exit_code(text),
            duration_ms: None,
            reason: Some(cap(text)).filter(|text| !text.is_empty()),
            preview: None,
            runtime_decision: decision,
            signs: signs(text),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf);
        self.add(links, Body::Result(body), content);
    }
}

/// Says by which action a sub-agent came to be, where that is told only afterwards.
pub(crate) fn delegated(
    writer: &mut Writer<'_, '_>,
    session: &str,
    id: &str,
    kind: Option<&str>,
    action: RecordId,
    claimed: &Claimed,
    raw: &ContentRef,
) {
    let known = writer.state.session(session).and_then(|session| session.agent(&cap(id)));
    if known.is_some_and(|known| known.delegated) {
        return;
    }
    let agent = agent(session, Some(id), kind, writer);
    let body = Context {
        what: "subagent".to_owned(),
        resource: Some(Resource::new("agent", &agent.name)),
        len: None,
        preview: None,
    };
    // No entry of a transcript is taken in by this.
    let claimed = Claimed { message_id: None, line: None, ..claimed.clone() };
    let links = vec![link(Rel::DelegatedBy, action)];
    writer.record(Some(session), Some(agent), claimed, links, Body::Context(body), vec![raw.clone()]);
}

/// Who acts: the session's main agent, or a sub-agent of it.
pub(crate) fn agent(session: &str, id: Option<&str>, kind: Option<&str>, writer: &Writer<'_, '_>) -> Agent {
    // claude-code_2-1-197_harness
    let version =
        writer.arrival.variables.iter().find(|(name, _)| name == "AI_AGENT").and_then(|(_, value)| {
            let version = value.strip_prefix("claude-code_")?.split('_').next()?;
            Some(version.replace('-', "."))
        });
    let agent_id = cap(id.unwrap_or(session));
    let known = writer.state.session(session).and_then(|session| session.agent(&agent_id));
    let known = known.map(|known| &known.agent);
    let name = match (id, kind) {
        (None, _) => RUNTIME.to_owned(),
        (Some(_), Some(kind)) => cap(kind),
        (Some(_), None) => known.map_or_else(|| "subagent".to_owned(), |known| known.name.clone()),
    };
    Agent {
        id: agent_id,
        name,
        runtime: RUNTIME.to_owned(),
        version: version.map(|version| cap(&version)).or_else(|| known?.version.clone()),
        model: known.and_then(|known| known.model.clone()),
        parent: id
            .map(|_| known.and_then(|known| known.parent.clone()).unwrap_or_else(|| session.to_owned())),
    }
}

/// JSON with sorted keys: the same arguments are the same bytes, whatever order they came in.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string().into_bytes()
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
