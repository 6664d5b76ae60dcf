//! The events of OpenClaw, as our plug-in in it passes them on.
//!
//! Facts that shape this file, from runs of the real agent: every call has an event after it, also
//! one that was refused, and one of a tool that does not exist has only that; the event after a call
//! has the arguments that it ran with, whoever rewrote them; a sub-agent is a session of its own; a
//! turn without the Gateway has no event by which its session begins.

use crate::event::{self, Event, Ran, Told, Who, flat, lenient, ran, unparsed};
use crate::openclaw_tools::normalise;
use crate::runtime::Runtime;
use crate::state::{ROLE_TURN_END, ROLE_TURN_ERROR};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State, openclaw_transcript};
use fdr_record::{Basis, DecidedBy, Link, Outcome, Rel, RuntimeDecision, Verdict};
use serde::Deserialize;
use serde_json::Value;

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "openclaw",
    hook,
    import: Some(openclaw_transcript::import),
    normalise,
    gates: &["before_tool_call"],
    session_of,
    prompt_of,
};

/// What the plug-in sends: what it knows of the session, and the event as OpenClaw gave it.
#[derive(Debug, Deserialize)]
struct Payload {
    session_id: String,
    #[serde(default, deserialize_with = "lenient")]
    run_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    version: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    /// Where the transcript is kept.
    #[serde(default, deserialize_with = "lenient")]
    transcript: Option<String>,
    /// Why the agent runs: `user`, `cron`, `heartbeat` …
    #[serde(default, deserialize_with = "lenient")]
    trigger: Option<String>,
    /// `inter_session`, `internal_system`: what is asked does not come from a person.
    #[serde(default, deserialize_with = "lenient")]
    provenance: Option<String>,
    /// The session that started this one, and by which call.
    #[serde(default, deserialize_with = "lenient")]
    parent: Option<Parent>,
    #[serde(default)]
    event: Value,
}

#[derive(Debug, Deserialize)]
struct Parent {
    session_id: String,
    #[serde(default, deserialize_with = "lenient")]
    call: Option<String>,
}

impl Payload {
    fn text(&self, key: &str) -> Option<&str> {
        self.event.get(key).and_then(Value::as_str)
    }

    /// Whether a person is behind what is asked: not another session, a clock or the runtime.
    fn is_asked_by_a_person(&self) -> bool {
        let outside = self.provenance.as_deref().is_none_or(|kind| kind == "external_user");
        let user = self.trigger.as_deref().is_none_or(|trigger| trigger == "user");
        outside && user && self.parent.is_none()
    }
}

/// Whether a session begins or goes on is not told.
fn session_of(_event: &str, payload: &[u8]) -> Option<(String, bool)> {
    let p: Payload = serde_json::from_slice(payload).ok()?;
    Some((p.session_id, false))
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    let p: Payload =
        Some(event).filter(|event| *event == "before_agent_run").and(serde_json::from_slice(payload).ok())?;
    let prompt = p.text("prompt").filter(|_| p.is_asked_by_a_person())?.to_owned();
    Some((prompt, p.cwd.unwrap_or_default()))
}

fn hook(name: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let parsed = event::read::<Payload>(payload).and_then(|parsed| {
        event::session_id(&parsed.session_id)?;
        Ok(parsed)
    });
    let p = match parsed {
        Ok(parsed) if !name.is_empty() => parsed,
        Ok(_) => return unparsed(&RUNTIME, name, payload, "it has no event name", arrival, state),
        Err(reason) => return unparsed(&RUNTIME, name, payload, &reason, arrival, state),
    };
    let who = Who {
        session: &p.session_id,
        kind: p.parent.as_ref().map(|_| "subagent"),
        parent: p.parent.as_ref().map(|parent| parent.session_id.as_str()),
        version: p.version.clone(),
        model: p.model.as_deref(),
        cwd: p.cwd.as_deref(),
        call: p.text("toolCallId"),
        prompt: p.run_id.as_deref(),
        ..Who::default()
    };
    let mut event = Event::new(&RUNTIME, name, &who, payload, arrival, state);
    let problem = capture(&mut event, &p);
    event.finish(problem)
}

/// The plug-in says that a session begins when it hears of it for the first time.
fn begin(event: &mut Event<'_, '_>, p: &Payload) {
    let is_known = event.known().is_some_and(|known| known.agent(&event.agent.id).is_some());
    let source = match (&p.parent, is_known) {
        (_, true) => "resume",
        (Some(_), false) => "subagent",
        (None, false) => p.trigger.as_deref().unwrap_or("startup"),
    };
    let links = delegated_by(event, p);
    event.session_start(Some(source), p.transcript.as_deref(), links);
}

/// The action of another session by which this one came to be.
fn delegated_by(event: &Event<'_, '_>, p: &Payload) -> Vec<Link> {
    let call = p.parent.as_ref().and_then(|parent| {
        event.writer.state.session(&parent.session_id)?.call(&cap(parent.call.as_deref()?))
    });
    call.map(|call| link(Rel::DelegatedBy, call.action)).into_iter().collect()
}

fn capture(event: &mut Event<'_, '_>, p: &Payload) -> Result<(), String> {
    match event.name.as_str() {
        "session_start" => begin(event, p),
        "session_end" => event.session_end(p.text("reason"), None),
        "subagent_ended" => event.session_end(p.text("outcome").or(p.text("reason")), p.text("error")),
        "before_agent_run" => event.prompt(p.text("prompt").unwrap_or_default(), p.is_asked_by_a_person()),
        "llm_input" => event.context("system_prompt", None, p.text("systemPrompt").unwrap_or_default()),
        "before_tool_call" | "after_tool_call" => {
            let Some(tool) = p.text("toolName").filter(|tool| !tool.is_empty()) else {
                return Err(event.unreadable("it has no toolName"));
            };
            // A program of the code mode is called as the shell is.
            let tool = p.text("toolKind").filter(|kind| *kind == "code_mode_exec").unwrap_or(tool);
            let input = p.event.get("params").unwrap_or(&Value::Null);
            if p.text("toolCallId").is_none() {
                // Some paths of it know no ids.
                event.pair(tool, Some(input), event.name == "before_tool_call");
            }
            match event.name.as_str() {
                "before_tool_call" => event.calling(tool, input),
                _ => after(event, tool, input, p),
            }
        }
        "agent_end" => {
            let failed = p.event.get("success") == Some(&Value::Bool(false));
            let last = p.text("error").or(p.text("lastAssistantMessage")).unwrap_or_default();
            event.plain(if failed { ROLE_TURN_ERROR } else { ROLE_TURN_END }, last);
        }
        "before_compaction" | "after_compaction" | "before_reset" => {
            event.context("compaction", None, &p.event.to_string());
        }
        "message_sent" => event.message("sent", p.text("content").unwrap_or_default()),
        // Every event that this version doesn't know: kept whole, under its name.
        _ => event.plain("event", ""),
    }
    Ok(())
}

/// What came of a call.
fn after(event: &mut Event<'_, '_>, tool: &str, input: &Value, p: &Payload) {
    let result = p.event.get("result").unwrap_or(&Value::Null);
    let details = result.get("details").unwrap_or(&Value::Null);
    let text = flat(result);
    let error = p.text("error");
    let (outcome, decision) = outcome(error, &text, result);
    let runs_on = details.get("status") == Some(&"running".into());
    let reason = match (error, runs_on) {
        // The error is the first line alone where the text is longer.
        (Some(error), _) => Some(error.to_owned()),
        (None, true) => Some("it runs on in the background".to_owned()),
        (None, false) => None,
    };
    event.ran(Ran {
        tool,
        input: Some(input),
        result: Told::Json(result),
        streams: Vec::new(),
        outcome,
        exit_code: details.get("exitCode").and_then(Value::as_i64),
        duration_ms: p.event.get("durationMs").and_then(Value::as_u64),
        reason,
        decision,
    });
}

/// What a result says of how a call went, and who decided: OpenClaw marks what was not run with a
/// status, or says it in words of its own, which count only where it says that the call failed.
pub(crate) fn outcome(error: Option<&str>, text: &str, result: &Value) -> (Outcome, Option<RuntimeDecision>) {
    let details = result.get("details").unwrap_or(&Value::Null);
    let word = |key: &str| details.get(key).and_then(Value::as_str).unwrap_or_default();
    let no = |outcome, by| {
        let reason = Some(cap(error.unwrap_or(text)));
        (outcome, Some(RuntimeDecision { decision: Verdict::Deny, by, basis: Basis::Stated, reason }))
    };
    if word("status") == "blocked" {
        let by = match word("deniedReason") {
            "plugin-before-tool-call" => DecidedBy::Hook,
            "plugin-approval" | "user-denied" | "client-voice-confirmation" => DecidedBy::User,
            "approval-timeout" => DecidedBy::Timeout,
            "plugin-approval-unavailable" | "approval-request-failed" => DecidedBy::Mode,
            _ => DecidedBy::Runtime,
        };
        return no(Outcome::Denied, by);
    }
    if word("status") == "denied" {
        return no(Outcome::Denied, DecidedBy::Rule);
    }
    let Some(said) = error else {
        let failed = details.get("exitCode").and_then(Value::as_i64).is_some_and(|code| code != 0)
            || matches!(word("status"), "error" | "failed")
            || result.get("isError") == Some(&Value::Bool(true));
        return (if failed { Outcome::Error } else { Outcome::Ok }, Some(ran()));
    };
    const DENIED: [(&str, DecidedBy); 6] = [
        ("Tool call blocked because before_tool_call hook failed", DecidedBy::Hook),
        ("Plugin approval unavailable", DecidedBy::Mode),
        ("Exec approval registration failed", DecidedBy::Mode),
        ("Denied by user", DecidedBy::User),
        ("Exec denied", DecidedBy::Rule),
        ("exec denied", DecidedBy::Rule),
    ];
    if let Some((_, by)) = DENIED.into_iter().find(|(start, _)| said.starts_with(start)) {
        return no(Outcome::Denied, by);
    }
    if said == "Aborted" {
        // The run was broken off; whether the tool had begun is not told.
        return (Outcome::Unknown, None);
    }
    let unknown = said.starts_with("Tool ") && said.ends_with(" not found");
    if unknown || said.starts_with("Validation failed for tool") {
        return no(Outcome::Rejected, DecidedBy::Runtime);
    }
    (Outcome::Error, Some(ran()))
}
