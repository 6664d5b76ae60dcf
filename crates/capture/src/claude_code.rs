//! The hook events of Claude Code.
//!
//! Facts that shape this file, from runs of the real agent: a denied call has no event after it,
//! only its text in `PostToolBatch`; a call of an unknown tool has no event before it; a hook may
//! rewrite the arguments, which shows in `PostToolUse` and not in `PostToolBatch`; a message is
//! shown in pieces while it streams, one event each.

use crate::claude_code_outcome::{Known, exit_code, outcome};
use crate::claude_code_tools::normalise;
use crate::event::{
    self, Event, JSON, Prompted, Ran, TEXT, Told, Who, canonical, delegated, flat, lenient, ran, unparsed,
};
use crate::runtime::Runtime;
use crate::state::{Call, ROLE_TURN_END, ROLE_TURN_ERROR};
use crate::writer::{cap, left_out};
use crate::{Arrival, Captured, State, claude_code_transcript};
use fdr_record::{
    Approval, Basis, Body, Context, DecidedBy, Gap, Outcome, Rel, ResultBody, RuntimeDecision, Verdict,
    injection::signs, preview,
};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "claude-code",
    hook,
    import: Some(claude_code_transcript::import),
    normalise,
    gates: &["PreToolUse"],
    session_of: event::session_of,
    prompt_of,
};

/// The tools by which it starts a sub-agent.
const STARTERS: [&str; 2] = ["Agent", "Task"];

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

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    Some(event).filter(|event| *event == "UserPromptSubmit").and(Prompted::read(payload)).map(Prompted::parts)
}

/// Makes records of one hook event. `event` is the name that the hook was called with; the
/// payload's own name is used where it has one.
fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let parsed = event::read::<Payload>(payload).and_then(|parsed| {
        event::session_id(&parsed.session_id)?;
        Ok(parsed)
    });
    let p = match parsed {
        Ok(parsed) => parsed,
        Err(reason) => return unparsed(&RUNTIME, event, payload, &reason, arrival, state),
    };
    let name = p.hook_event_name.clone().unwrap_or_else(|| event.to_owned());
    if name.is_empty() {
        return unparsed(&RUNTIME, event, payload, "it has no event name", arrival, state);
    }
    let who = Who {
        session: &p.session_id,
        subagent: p.agent_id.as_deref(),
        kind: p.agent_id.as_ref().and(p.agent_type.as_deref()),
        version: version(arrival),
        model: p.model.as_deref(),
        cwd: p.cwd.as_deref(),
        call: p.tool_use_id.as_deref(),
        prompt: p.prompt_id.as_deref(),
        turn: p.turn_id.as_deref(),
        message: p.message_id.as_deref(),
        permission_mode: p.permission_mode.as_deref(),
        ..Who::default()
    };
    let event = Event::new(&RUNTIME, &name, &who, payload, arrival, state);
    let mut hook = Hook { p, e: event };
    let problem = hook.capture();
    hook.e.finish(problem)
}

/// `claude-code_2-1-197_harness`
pub(crate) fn version(arrival: &Arrival<'_>) -> Option<String> {
    let (_, value) = arrival.variables.iter().find(|(name, _)| name == "AI_AGENT")?;
    let version = value.strip_prefix("claude-code_")?.split('_').next()?;
    Some(version.replace('-', "."))
}

/// One event on its way.
struct Hook<'a, 'b> {
    p: Payload,
    e: Event<'a, 'b>,
}

impl Hook<'_, '_> {
    /// The reason is given if the event could not be read.
    fn capture(&mut self) -> Result<(), String> {
        let needs_tool = matches!(
            self.e.name.as_str(),
            "PreToolUse" | "PostToolUse" | "PostToolUseFailure" | "PermissionRequest" | "PermissionDenied"
        );
        if needs_tool && self.p.tool_name.is_none() {
            return Err(self.e.unreadable("it has no tool_name"));
        }
        let tool = self.p.tool_name.clone().unwrap_or_default();
        let input = self.p.tool_input.clone();
        match self.e.name.clone().as_str() {
            "SessionStart" => {
                let (source, transcript) = (self.p.source.clone(), self.p.transcript_path.clone());
                self.e.session_start(source.as_deref(), transcript.as_deref(), Vec::new());
            }
            "SubagentStart" => {
                let transcript = self.p.agent_transcript_path.clone();
                self.e.subagent_start(&STARTERS, transcript.as_deref());
            }
            "SessionEnd" | "SubagentStop" => {
                let (reason, last) = (self.p.reason.clone(), self.p.last_assistant_message.clone());
                self.e.session_end(reason.as_deref(), last.as_deref());
            }
            "UserPromptSubmit" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                self.e.prompt(&text, !is_own(&text));
            }
            "UserPromptExpansion" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                self.e.context("prompt_expansion", None, &text);
            }
            "InstructionsLoaded" => self.instructions(),
            "MessageDisplay" => {
                let text = self.p.delta.clone().unwrap_or_default();
                self.e.message("assistant", &text);
            }
            "PreToolUse" => self.e.calling(&tool, &input),
            "PostToolUse" => self.executed(&tool, &input),
            "PostToolUseFailure" => self.failed(&tool, &input),
            "PostToolBatch" => return self.batch(),
            "PermissionRequest" => {
                let reason = self.p.reason.clone();
                self.e.asked(&tool, &input, reason.as_deref());
            }
            "PermissionDenied" => {
                // Sent for what the classifier of the auto mode refuses, and for nothing else.
                let reason = self.p.reason.clone();
                self.e.decided(false, DecidedBy::Classifier, &tool, &input, reason.as_deref());
            }
            "PreCompact" | "PostCompact" => {
                let summary = self.rest("compact_summary").or(self.rest("custom_instructions"));
                let text = summary.unwrap_or_else(|| self.details());
                self.e.context("compaction", None, &text);
            }
            "FileChanged" => {
                let resource = self.p.file_path.as_deref().map(|path| self.e.file(path));
                let text = self.details();
                self.e.context("file_changed", resource, &text);
            }
            "CwdChanged" => {
                let (old, new) = (self.rest("old_cwd"), self.rest("new_cwd"));
                let resource = new.as_deref().map(|path| self.e.file(path));
                let detail = format!("{} -> {}", old.unwrap_or_default(), new.unwrap_or_default());
                self.e.config("cwd", resource, &detail);
            }
            "PreModelSwitch" | "PostModelSwitch" => {
                let detail = self.details();
                self.e.config("model", None, &detail);
            }
            "ConfigChange" | "DirectoryAdded" | "WorktreeCreate" | "WorktreeRemove" | "Setup" => {
                let path = ["worktree_path", "directory", "path"].iter().find_map(|key| self.rest(key));
                let resource = self.p.file_path.clone().or(path).map(|path| self.e.file(&path));
                let what = self.p.source.as_deref().map_or_else(|| self.e.name.clone(), cap);
                let detail = self.details();
                self.e.config(&what, resource, &detail);
            }
            "Stop" => {
                // What it says is in the message before; this tells that the turn ended.
                let text = self.p.last_assistant_message.clone().unwrap_or_default();
                self.e.plain(ROLE_TURN_END, &text);
            }
            "StopFailure" => {
                let text = [flat(&self.p.error), self.rest("error_details").unwrap_or_default()].join(" ");
                self.e.plain(ROLE_TURN_ERROR, text.trim());
            }
            "Notification" => {
                let text = flat(&self.p.message);
                self.e.plain("notification", &text);
            }
            "Elicitation" => {
                let body = self.elicited();
                self.e.add(Vec::new(), Body::ApprovalRequest(body), Vec::new());
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
                        self.e.add(Vec::new(), body, Vec::new());
                    }
                    // Nobody said yes or no.
                    _ => {
                        let text = self.details();
                        self.e.plain("mcp", &text);
                    }
                }
            }
            "TaskCreated" | "TaskCompleted" | "TeammateIdle" => {
                let text = self.details();
                self.e.plain("task", &text);
            }
            // Every event that this version doesn't know: kept whole, under its name.
            _ => {
                let text = self.details();
                self.e.plain("event", &text);
            }
        }
        Ok(())
    }

    fn rest(&self, key: &str) -> Option<String> {
        self.p.rest.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    /// The fields that have no place of their own, in one line.
    fn details(&self) -> String {
        let known = ["effort", "stop_hook_active"];
        event::details(self.p.rest.iter().filter(|(key, _)| !known.contains(&key.as_str())))
    }

    fn instructions(&mut self) {
        let resource = self.p.file_path.as_deref().map(|path| self.e.file(path));
        let attachment = self.e.writer.arrival.attachment.clone();
        let len = attachment.as_ref().map(|bytes| bytes.len() as u64);
        let shown = attachment.as_ref().map(|bytes| preview(&String::from_utf8_lossy(bytes)));
        let content = attachment.map(|bytes| self.e.content("file", TEXT, bytes)).into_iter().collect();
        let body =
            Context { what: "instructions".to_owned(), resource, len, preview: shown, ..Context::default() };
        self.e.add(Vec::new(), Body::Context(body), content);
    }

    fn executed(&mut self, tool: &str, input: &Value) {
        let response = self.p.tool_response.clone();
        let text = |key: &str| response.get(key).and_then(Value::as_str);
        let interrupted = response.get("interrupted").and_then(Value::as_bool) == Some(true);
        let background =
            text("backgroundTaskId").is_some() || response.get("status") == Some(&"async_launched".into());
        let streams = ["stdout", "stderr"].into_iter().filter_map(|stream| Some((stream, text(stream)?)));
        let is_new = self.e.ran(Ran {
            tool,
            input: Some(input),
            result: Told::Json(&response),
            streams: streams.collect(),
            outcome: if interrupted { Outcome::Interrupted } else { Outcome::Ok },
            exit_code: None,
            duration_ms: self.p.duration_ms,
            reason: background.then(|| "it runs on in the background".to_owned()),
            decision: Some(ran()),
        });
        if !is_new {
            return;
        }
        if let (Some(agent), Some(action)) = (text("agentId"), self.e.call().map(|call| call.action)) {
            let (session, version) = (self.e.session.clone(), self.e.agent.version.clone());
            let who = Who {
                session: &session,
                subagent: Some(agent),
                kind: text("agentType"),
                version,
                ..Who::default()
            };
            let (claimed, raw) = (self.e.claimed.clone(), self.e.raw.clone());
            delegated(&mut self.e.writer, RUNTIME.name, &who, action, &claimed, &raw);
        }
    }

    /// Sent for a tool that had begun to run, so nothing in its words makes it a refusal.
    fn failed(&mut self, tool: &str, input: &Value) {
        let text = flat(&self.p.error);
        let interrupted =
            self.p.is_interrupt == Some(true) || text.starts_with("[Request interrupted by user");
        self.e.ran(Ran {
            tool,
            input: Some(input),
            result: Told::Text(&text),
            streams: Vec::new(),
            outcome: if interrupted { Outcome::Interrupted } else { Outcome::Error },
            exit_code: exit_code(&text),
            duration_ms: self.p.duration_ms,
            reason: Some(text.clone()),
            decision: Some(ran()),
        });
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

    /// What the model got for each call of a turn, the refused ones included.
    fn batch(&mut self) -> Result<(), String> {
        let Some(calls) = self.p.tool_calls.take() else {
            return Err(self.e.unreadable("it has no list of tool_calls"));
        };
        if calls.is_empty() {
            self.e.plain("event", "no calls");
        }
        let mut problem = Ok(());
        let count = calls.len();
        for (done, call) in calls.into_iter().enumerate() {
            if !self.e.writer.has_room() {
                self.e.turn_to(None);
                let detail = format!(
                    "{} of {count} calls have no records, because the event is too large",
                    count - done
                );
                self.e.add(Vec::new(), left_out("calls_left_out", detail), Vec::new());
                break;
            }
            match BatchCall::deserialize(call) {
                Ok(call) => self.batch_call(call),
                Err(error) => {
                    self.e.turn_to(None);
                    problem = Err(self.e.unreadable(&format!("one of its tool_calls: {error}")));
                }
            }
        }
        problem
    }

    fn batch_call(&mut self, call: BatchCall) {
        self.e.turn_to(Some(&call.tool_use_id));
        let known = self.e.call().cloned();
        if known.is_none() {
            self.e.action(&call.tool_name, &call.tool_input);
        }
        let text = flat(&call.tool_response);
        let changed = self.e.arguments_changed(&call.tool_input);
        if known.as_ref().is_none_or(|call| call.outcome.is_none()) {
            self.told(&call, &text, known.as_ref(), changed);
        } else if changed {
            let content = vec![self.e.content("args", JSON, canonical(&call.tool_input))];
            let body = Gap {
                what: "arguments_differ".to_owned(),
                detail: "what the model is said to have asked for is not what was decided on".to_owned(),
                millis: None,
            };
            let links = self.e.about_call(Rel::About);
            self.e.add(links, Body::Gap(body), content);
        }
        self.e.saw(&text);
    }

    /// A result that only the model's text tells.
    fn told(&mut self, call: &BatchCall, text: &str, known: Option<&Call>, changed: bool) {
        let tells_results = self.e.known().is_some_and(|session| session.tells_results);
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
        self.e.answered(outcome != Outcome::Denied);
        let mut content = vec![self.e.text("result", text)];
        if changed {
            content.push(self.e.content("args", JSON, canonical(&call.tool_input)));
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
        let links = self.e.about_call(Rel::ResultOf);
        self.e.add(links, Body::Result(body), content);
    }
}

/// The runtime passes on messages of its own as prompts; these come from tools, and widen nothing.
fn is_own(text: &str) -> bool {
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
    OWN.iter().any(|start| text.trim_start().starts_with(start))
}
