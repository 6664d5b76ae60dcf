//! The hook events of Claude Code.
//!
//! Facts that shape this file, from runs of the real agent: a denied call has no event after it,
//! only its text in `PostToolBatch`; a call of an unknown tool has no event before it; a hook may
//! rewrite the arguments, which shows in `PostToolUse` and not in `PostToolBatch`.

use crate::claude_code_tools::normalise;
use crate::writer::{Writer, bound, cap, link, unparsed};
use crate::{Arrival, Captured, Reply, State};
use fdr_record::{
    ActionBody, Agent, Approval, Basis, Body, Claimed, ConfigChange, ContentRef, Context, DecidedBy, Gap,
    Link, Message, Mode, Outcome, Prompt, RecordId, Rel, Resource, ResultBody, RuntimeDecision, SessionEnd,
    SessionStart, Status, Verdict, preview,
};
use serde::Deserialize;
use serde_json::Value;

const RUNTIME: &str = "claude-code";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
/// Once the records of one batch take so many bytes, the calls that are left are not recorded one
/// by one: the log takes 4 MiB at once, and a call gives at most three records of 64 KiB.
const MAX_BATCH_BYTES: usize = 3 * 1024 * 1024;

/// The fields that are read by name; everything else of a payload is kept raw.
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
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    tool_response: Value,
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    duration_ms: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    error: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    is_interrupt: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    tool_calls: Option<Vec<BatchCall>>,
    #[serde(default, deserialize_with = "lenient")]
    mcp_server_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    action: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    message: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    last_assistant_message: Option<String>,
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
pub fn hook(event: Option<&str>, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let parsed = match std::str::from_utf8(payload) {
        Err(error) => Err(format!("not UTF-8: {error}")),
        Ok(text) if text.trim().is_empty() => Err("empty".to_owned()),
        Ok(text) => serde_json::from_str::<Payload>(text).map_err(|error| error.to_string()),
    };
    let parsed = match parsed {
        Ok(parsed) if parsed.session_id.is_empty() || parsed.session_id.len() > 256 => {
            Err("the session id is empty or longer than 256 bytes".to_owned())
        }
        other => other,
    };
    let payload_event = parsed.as_ref().ok().and_then(|parsed| parsed.hook_event_name.clone());
    let Some(name) = payload_event.or_else(|| event.map(str::to_owned)) else {
        return unparsed(RUNTIME, event, payload, "it has no event name", arrival, state);
    };
    match parsed {
        Err(reason) => {
            refuse(&name, &reason, unparsed(RUNTIME, Some(&name), payload, &reason, arrival, state), arrival)
        }
        Ok(parsed) => {
            if needs_tool(&name) && parsed.tool_name.is_none() {
                let reason = "it has no tool_name";
                return refuse(
                    &name,
                    reason,
                    unparsed(RUNTIME, Some(&name), payload, reason, arrival, state),
                    arrival,
                );
            }
            let mut event = Event::new(&name, parsed, payload, arrival, state);
            event.capture();
            event.writer.out
        }
    }
}

fn needs_tool(event: &str) -> bool {
    matches!(
        event,
        "PreToolUse" | "PostToolUse" | "PostToolUseFailure" | "PermissionRequest" | "PermissionDenied"
    )
}

/// A call that can't be understood can't be decided on; enforced, it is not let through.
fn refuse(event: &str, reason: &str, mut captured: Captured, arrival: &Arrival<'_>) -> Captured {
    if event == "PreToolUse" && arrival.mode == Mode::Enforce {
        let reply = serde_json::json!({ "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": format!("fdr (enforce): denied, because the event can't be read: {reason}"),
        }});
        captured.reply = Reply { stdout: format!("{reply}\n").into_bytes(), ..Reply::default() };
    }
    captured
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
        p: Payload,
        payload: &[u8],
        arrival: &'a Arrival<'b>,
        state: &'a mut State,
    ) -> Event<'a, 'b> {
        let mut writer = Writer::new(arrival, state);
        let raw = writer.content(&p.session_id, "raw", JSON, payload.to_vec());
        let claimed = Claimed {
            source: cap(&format!("hook:{name}")),
            tool_use_id: p.tool_use_id.as_deref().map(cap),
            prompt_id: p.prompt_id.as_deref().map(cap),
            turn_id: p.turn_id.as_deref().map(cap),
            message_id: p.message_id.as_deref().map(cap),
            cwd: p.cwd.as_deref().map(cap),
            ..Claimed::default()
        };
        let agent =
            agent(&p.session_id, p.agent_id.as_deref(), p.agent_type.as_deref(), p.model.as_deref(), arrival);
        Event { name: name.to_owned(), p, agent, claimed, raw, writer }
    }

    fn add(&mut self, links: Vec<Link>, body: Body, mut content: Vec<ContentRef>) -> RecordId {
        content.push(self.raw.clone());
        let (agent, claimed) = (self.agent.clone(), self.claimed.clone());
        let id = self.writer.record(Some(&self.p.session_id), Some(agent), claimed, links, body, content);
        let permission_mode = self.p.permission_mode.as_deref().map(cap);
        if let Some(env) = self.writer.out.records.last_mut().and_then(|record| record.env.as_mut()) {
            env.permission_mode = permission_mode;
        }
        id
    }

    fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        self.writer.content(&self.p.session_id.clone(), role, media, bytes)
    }

    fn session(&self) -> Option<&crate::Session> {
        self.writer.state.session(&self.p.session_id)
    }

    fn prompted(&self) -> Option<Link> {
        self.session().and_then(|session| session.prompt).map(|id| link(Rel::PromptedBy, id))
    }

    fn about_call(&self, rel: Rel) -> Option<Link> {
        let call = self.p.tool_use_id.as_deref().and_then(|id| self.session()?.call(id));
        call.map(|call| link(rel, call.action))
    }

    fn capture(&mut self) {
        match self.name.clone().as_str() {
            "SessionStart" => {
                let (source, transcript) =
                    (self.p.source.as_deref().map(cap), self.p.transcript_path.as_deref().map(cap));
                self.add(Vec::new(), Body::SessionStart(SessionStart { source, transcript }), Vec::new());
            }
            "SessionEnd" => self.end(),
            "SubagentStart" => {
                let by = self
                    .session()
                    .and_then(|session| session.open_call(&["Agent", "Task"]))
                    .map(|call| call.action);
                let links = by.map(|id| link(Rel::DelegatedBy, id)).into_iter().collect();
                let body = SessionStart { source: Some("subagent".to_owned()), transcript: None };
                self.add(links, Body::SessionStart(body), Vec::new());
            }
            "SubagentStop" => self.end(),
            "UserPromptSubmit" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                let content = self.content("prompt", TEXT, text.clone().into_bytes());
                self.add(Vec::new(), Body::Prompt(Prompt { preview: preview(&text) }), vec![content]);
            }
            "InstructionsLoaded" => self.instructions(),
            "MessageDisplay" => {
                let text = self.p.delta.clone().unwrap_or_default();
                self.message("assistant", &text);
            }
            "PreToolUse" => {
                let (tool, input) = (self.p.tool_name.clone().unwrap_or_default(), self.p.tool_input.clone());
                self.action(&tool, &input);
            }
            "PostToolUse" => self.executed(),
            "PostToolUseFailure" => self.failed(),
            "PostToolBatch" => self.batch(),
            "PermissionRequest" => {
                let links = self.about_call(Rel::About).into_iter().collect();
                let body = self.approval(None);
                self.add(links, Body::ApprovalRequest(body), Vec::new());
            }
            "PermissionDenied" => {
                let links = self.about_call(Rel::Approves).into_iter().collect();
                let body = self.approval(Some(DecidedBy::Classifier));
                self.add(links, Body::ApprovalDeny(body), Vec::new());
            }
            "PreCompact" | "PostCompact" => {
                let body = Context {
                    what: "compaction".to_owned(),
                    preview: Some(self.name.clone()),
                    ..Context::default()
                };
                self.add(Vec::new(), Body::Context(body), Vec::new());
            }
            "UserPromptExpansion" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                let body = Context {
                    what: "prompt_expansion".to_owned(),
                    preview: Some(preview(&text)),
                    ..Context::default()
                };
                self.add(Vec::new(), Body::Context(body), Vec::new());
            }
            "Elicitation" | "ElicitationResult" => self.elicitation(),
            "FileChanged" => {
                let resource = self.p.file_path.as_deref().map(|path| self.file(path));
                let body = Context { what: "file_changed".to_owned(), resource, ..Context::default() };
                self.add(Vec::new(), Body::Context(body), Vec::new());
            }
            "ConfigChange" | "CwdChanged" | "DirectoryAdded" | "PreModelSwitch" | "PostModelSwitch"
            | "Setup" | "WorktreeCreate" | "WorktreeRemove" => {
                let resource = self.p.file_path.as_deref().map(|path| self.file(path));
                let what = self.p.source.as_deref().map_or_else(|| self.name.clone(), cap);
                let body = ConfigChange { what, resource, detail: Some(self.name.clone()) };
                self.add(Vec::new(), Body::ConfigChange(body), Vec::new());
            }
            "Stop" | "StopFailure" => {
                // What it says is in the message before; this tells that the turn ended.
                let text = self.p.last_assistant_message.clone().unwrap_or_default();
                self.plain("turn_end", &text);
            }
            "Notification" => {
                let text = self.p.message.as_ref().map(flat).unwrap_or_default();
                self.plain("notification", &text);
            }
            // Also every event that this version doesn't know: kept whole, under its name.
            _ => self.plain("event", ""),
        }
    }

    /// A server asks the user for something; the answer is a grant or a refusal only if it says so.
    fn elicitation(&mut self) {
        let text = self.p.message.as_ref().map(flat).unwrap_or_default();
        let approval = Approval {
            tool: cap(&format!("mcp:{}", self.p.mcp_server_name.as_deref().unwrap_or("unknown"))),
            summary: preview(&text),
            by: None,
            reason: None,
        };
        let body = match (self.name.as_str(), self.p.action.as_deref()) {
            ("Elicitation", _) => Body::ApprovalRequest(approval),
            (_, Some("accept")) => Body::ApprovalGrant(approval),
            (_, Some("decline")) => Body::ApprovalDeny(approval),
            _ => return self.plain("event", ""),
        };
        self.add(Vec::new(), body, Vec::new());
    }

    fn plain(&mut self, role: &str, text: &str) {
        let name = match text {
            "" => cap(&self.name),
            text => preview(text),
        };
        self.add(Vec::new(), Body::Message(Message { role: role.to_owned(), preview: name }), Vec::new());
    }

    fn message(&mut self, role: &str, text: &str) {
        let content = self.content("text", TEXT, text.as_bytes().to_vec());
        let links = self.prompted().into_iter().collect();
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(links, Body::Message(body), vec![content]);
    }

    fn file(&self, path: &str) -> Resource {
        Resource::file(&cap(path), self.claimed.cwd.as_deref().unwrap_or("/"))
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

    fn end(&mut self) {
        let known = self.session().and_then(|session| session.agent(&self.agent.id));
        let (mut status, actions, denied) = match known {
            Some(agent) => (agent.status(), agent.actions, agent.denied),
            None => (Status::Unknown, 0, 0),
        };
        // Claude Code's word for leaving at its prompt.
        if self.p.reason.as_deref() == Some("prompt_input_exit") && status == Status::Failed {
            status = Status::Success;
        }
        let reason = self.p.reason.as_deref().map(cap);
        let text = self.p.last_assistant_message.clone();
        let content = text.map(|text| self.content("text", TEXT, text.into_bytes())).into_iter().collect();
        self.add(Vec::new(), Body::SessionEnd(SessionEnd { status, reason, actions, denied }), content);
    }

    fn action(&mut self, tool: &str, input: &Value) {
        let cwd = self.claimed.cwd.clone().unwrap_or_else(|| "/".to_owned());
        let (found, summary) = normalise(tool, input, &cwd, &self.writer.arrival.home);
        let body = bound(ActionBody::new(&cap(tool), preview(&summary), found, self.writer.policy()));
        let said = self.session().and_then(|session| session.agent(&self.agent.id)?.said);
        let mut links: Vec<Link> = said.map(|id| link(Rel::DecidedBy, id)).into_iter().collect();
        links.extend(self.prompted());
        let arguments = self.content("args", JSON, canonical(input));
        self.add(links, Body::Action(body), vec![arguments]);
    }

    /// Whether the arguments are other ones than those of the action.
    fn arguments_changed(&mut self, id: &str, input: &Value) -> bool {
        let reference = self.content("args", JSON, canonical(input));
        let known = self.session().and_then(|session| session.call(id)?.arguments.clone());
        known.is_some_and(|known| known != reference.digest)
    }

    fn executed(&mut self) {
        let id = self.p.tool_use_id.clone().unwrap_or_default();
        let (input, response) = (self.p.tool_input.clone(), self.p.tool_response.clone());
        let changed = self.arguments_changed(&id, &input);
        let mut content = vec![self.content("result", JSON, canonical(&response))];
        for stream in ["stdout", "stderr"] {
            if let Some(text) = response.get(stream).and_then(Value::as_str).filter(|text| !text.is_empty()) {
                content.push(self.content(stream, TEXT, text.as_bytes().to_vec()));
            }
        }
        if changed {
            content.push(self.content("args", JSON, canonical(&input)));
        }
        let interrupted = response.get("interrupted").and_then(Value::as_bool) == Some(true);
        let body = ResultBody {
            tool: cap(self.p.tool_name.as_deref().unwrap_or_default()),
            outcome: if interrupted { Outcome::Interrupted } else { Outcome::Ok },
            exit_code: None,
            duration_ms: self.p.duration_ms,
            reason: None,
            preview: Some(preview(&flat(&response))),
            runtime_decision: Some(ran()),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf).into_iter().collect();
        self.add(links, Body::Result(body), content);
    }

    fn failed(&mut self) {
        let id = self.p.tool_use_id.clone().unwrap_or_default();
        let input = self.p.tool_input.clone();
        let changed = self.arguments_changed(&id, &input);
        let text = self.p.error.as_ref().map(flat).unwrap_or_default();
        // This event is of a tool that ran: a refusal in its text is the tool's own words, which
        // an MCP server may choose as it likes.
        let interrupted =
            self.p.is_interrupt == Some(true) || text.starts_with("[Request interrupted by user");
        let outcome = if interrupted { Outcome::Interrupted } else { Outcome::Error };
        let content = vec![self.content("result", TEXT, text.clone().into_bytes())];
        let body = ResultBody {
            tool: cap(self.p.tool_name.as_deref().unwrap_or_default()),
            outcome,
            exit_code: exit_code(&text),
            duration_ms: self.p.duration_ms,
            reason: Some(cap(&text)),
            preview: None,
            runtime_decision: Some(ran()),
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf).into_iter().collect();
        self.add(links, Body::Result(body), content);
    }

    fn approval(&self, by: Option<DecidedBy>) -> Approval {
        let tool = self.p.tool_name.as_deref().unwrap_or_default();
        let (_, summary) =
            normalise(tool, &self.p.tool_input, self.claimed.cwd.as_deref().unwrap_or("/"), "");
        Approval {
            tool: cap(tool),
            summary: preview(&summary),
            by,
            reason: self.p.reason.as_deref().map(cap),
        }
    }

    /// What the model got for each call of a turn, the refused ones included.
    fn batch(&mut self) {
        let calls = self.p.tool_calls.take().unwrap_or_default();
        if calls.is_empty() {
            return self.plain("event", "");
        }
        let (count, mut bytes, mut seen) = (calls.len(), 0, 0);
        for (number, call) in calls.into_iter().enumerate() {
            let new = &self.writer.out.records[seen..];
            bytes += new.iter().map(|record| record.to_line().len()).sum::<usize>();
            seen = self.writer.out.records.len();
            if bytes > MAX_BATCH_BYTES {
                (self.claimed.tool_use_id, self.p.tool_use_id) = (None, None);
                let body = Gap {
                    what: "calls_left_out".to_owned(),
                    detail: format!(
                        "{} of {count} calls of this batch are in its raw content only",
                        count - number
                    ),
                    millis: None,
                };
                self.add(Vec::new(), Body::Gap(body), Vec::new());
                return;
            }
            self.claimed.tool_use_id = Some(cap(&call.tool_use_id));
            self.p.tool_use_id = self.claimed.tool_use_id.clone();
            let known = self.session().and_then(|session| session.call(&call.tool_use_id)).cloned();
            if known.is_none() {
                self.action(&call.tool_name, &call.tool_input);
            }
            let text = flat(&call.tool_response);
            if known.as_ref().is_none_or(|call| call.outcome.is_none()) {
                self.told(&call, &text, known.is_some());
            }
            let content = vec![self.content("result", TEXT, text.clone().into_bytes())];
            let body = Context {
                what: "tool_result".to_owned(),
                resource: None,
                len: Some(text.len() as u64),
                preview: Some(preview(&text)),
            };
            let links = self.about_call(Rel::CausedBy).into_iter().collect();
            self.add(links, Body::Context(body), content);
        }
    }

    /// A result that only the model's text tells.
    fn told(&mut self, call: &BatchCall, text: &str, had_before: bool) {
        let (outcome, decision) = outcome_from_text(text, had_before);
        let changed = self.arguments_changed(&call.tool_use_id, &call.tool_input);
        let content = vec![self.content("result", TEXT, text.as_bytes().to_vec())];
        let body = ResultBody {
            tool: cap(&call.tool_name),
            outcome,
            exit_code: exit_code(text),
            duration_ms: None,
            reason: Some(cap(text)),
            preview: None,
            runtime_decision: decision,
            arguments_changed: changed,
        };
        let links = self.about_call(Rel::ResultOf).into_iter().collect();
        self.add(links, Body::Result(body), content);
    }
}

/// Who acts: the session's main agent, or a sub-agent of it.
pub(crate) fn agent(
    session: &str,
    id: Option<&str>,
    kind: Option<&str>,
    model: Option<&str>,
    arrival: &Arrival<'_>,
) -> Agent {
    // claude-code_2-1-197_harness
    let version = arrival.variables.iter().find(|(name, _)| name == "AI_AGENT").and_then(|(_, value)| {
        let version = value.strip_prefix("claude-code_")?.split('_').next()?;
        Some(version.replace('-', "."))
    });
    Agent {
        id: cap(id.unwrap_or(session)),
        name: cap(kind.filter(|_| id.is_some()).unwrap_or(RUNTIME)),
        runtime: RUNTIME.to_owned(),
        version: version.map(|version| cap(&version)),
        model: model.map(cap),
        parent: id.map(|_| session.to_owned()),
    }
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

/// What a text that the model got in place of a result tells about the outcome. `had_before`
/// says that the call had a PreToolUse and then no PostToolUse: it did not run.
pub(crate) fn outcome_from_text(text: &str, had_before: bool) -> (Outcome, Option<RuntimeDecision>) {
    match judge(text) {
        Some((outcome, decision)) => (outcome, Some(decision)),
        None if had_before => {
            let decision = RuntimeDecision {
                decision: Verdict::Deny,
                by: DecidedBy::Unknown,
                basis: Basis::Inferred,
                reason: Some(cap(&format!("no event says that it ran; the model was told: {text}"))),
            };
            (Outcome::Denied, Some(decision))
        }
        None if exit_code(text).is_some() => (Outcome::Error, Some(ran())),
        None => (Outcome::Unknown, None),
    }
}

/// The texts by which Claude Code (2.1) tells a model that a call was not run, and by whom.
fn judge(text: &str) -> Option<(Outcome, RuntimeDecision)> {
    if exit_code(text).is_some() {
        // What follows is the output of a command that ran.
        return None;
    }
    let has = |part: &str| text.contains(part);
    let begins = |part: &str| text.starts_with(part);
    let hook = (begins("PreToolUse:") || begins("PermissionRequest:"))
        && (has(" hook error") || has("hook returned") || has("denied"));
    let (outcome, by) = if hook || begins("Hook PreToolUse:") || begins("Permission denied by hook") {
        (Outcome::Denied, DecidedBy::Hook)
    } else if begins("[Request interrupted by user") {
        (Outcome::Interrupted, DecidedBy::User)
    } else if begins("The user doesn't want to")
        || begins("User rejected tool use")
        || begins("The agent proposed a plan that was rejected by the user")
    {
        (Outcome::Denied, DecidedBy::User)
    } else if has("No such tool available") || has("InputValidationError") || has("Invalid tool parameters") {
        (Outcome::Rejected, DecidedBy::Runtime)
    } else if has("was blocked. For security") || has("sandbox restrictions") {
        (Outcome::Denied, DecidedBy::Sandbox)
    } else if begins("Permission to use ") && (has("don't ask mode") || has("has been denied. IMPORTANT: ")) {
        (Outcome::Denied, DecidedBy::Mode)
    } else if begins("Permission for this action was denied by the Claude Code auto mode classifier")
        || begins("Permission for this action has been denied. Reason: ")
    {
        (Outcome::Denied, DecidedBy::Classifier)
    } else if begins("Permission to ") && has("denied")
        || has("denied by your permission settings")
        || has(" was blocked by a deny rule")
        || has(" denied access to ")
        || has("denied by permission rule")
    {
        (Outcome::Denied, DecidedBy::Rule)
    } else if has("haven't granted it yet")
        || has("requires approval")
        || has("needs approval")
        || has("require approval")
    {
        // Nobody was there to be asked: the mode did not let it through, no person refused it.
        (Outcome::Denied, DecidedBy::Mode)
    } else if begins("<tool_use_error>") {
        (Outcome::Rejected, DecidedBy::Runtime)
    } else {
        return None;
    };
    let decision = if outcome == Outcome::Interrupted { Verdict::Permit } else { Verdict::Deny };
    // That it was the mode is our conclusion: the text only says that nobody approved.
    let unanswered = by == DecidedBy::Mode && !begins("Permission to use ");
    let basis = if unanswered { Basis::Inferred } else { Basis::Stated };
    Some((outcome, RuntimeDecision { decision, by, basis, reason: Some(cap(text)) }))
}

/// Claude Code puts the exit status of a failed command into the text.
pub(crate) fn exit_code(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("Exit code ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// JSON with sorted keys: the same arguments are the same bytes, whatever order they came in.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The text in a tool's response, whatever its form.
pub(crate) fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join("\n"),
        Value::Object(map) => match map.get("text").or_else(|| map.get("stdout")) {
            Some(Value::String(text)) if !text.is_empty() || map.get("stderr").is_none() => text.clone(),
            _ => map
                .get("stderr")
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map_or_else(|| value.to_string(), str::to_owned),
        },
        other => other.to_string(),
    }
}
