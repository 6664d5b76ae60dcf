//! The hook events of Cursor, by its documentation; not run here.
//!
//! Facts that shape this file: `preToolUse` asks for every tool and has an id; the events of single
//! tools (`beforeShellExecution`, `afterFileEdit` …) tell of the same call once more, without one.
//! Where both are hooked a call is recorded once: by the first that tells of it.

use crate::cursor_tools::normalise;
use crate::event::{self, Event, Ran, Told, Who, lenient, ran, unparsed};
use crate::runtime::Runtime;
use crate::state::{ROLE_TURN_END, ROLE_TURN_ERROR};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State};
use fdr_record::{Basis, DecidedBy, Outcome, Rel, RuntimeDecision, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "cursor",
    hook,
    import: None,
    normalise,
    gates: &["preToolUse", "beforeShellExecution", "beforeMCPExecution", "beforeReadFile"],
    session_of,
    prompt_of,
};

/// The fields that are read by name; everything of a payload is kept raw.
#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(alias = "session_id")]
    conversation_id: String,
    #[serde(default, deserialize_with = "lenient")]
    generation_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    hook_event_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    cursor_version: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    workspace_roots: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    subagent_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    subagent_type: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Payload {
    fn read(payload: &[u8]) -> Result<Payload, String> {
        // `sessionStart` has both names.
        let mut value: Value = event::read(payload)?;
        if let Some(fields) = value.as_object_mut()
            && fields.contains_key("conversation_id")
        {
            fields.remove("session_id");
        }
        let parsed: Payload = serde_json::from_value(value).map_err(|error| error.to_string())?;
        event::session_id(&parsed.conversation_id)?;
        Ok(parsed)
    }

    fn cwd(&self) -> Option<&str> {
        let given = self.cwd.as_deref().filter(|cwd| !cwd.is_empty());
        given.or_else(|| self.workspace_roots.as_ref()?.first().map(String::as_str))
    }

    fn text(&self, key: &str) -> &str {
        self.rest.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn duration(&self) -> Option<u64> {
        let value = self.rest.get("duration").or_else(|| self.rest.get("duration_ms"))?;
        value.as_u64().or_else(|| value.as_f64().map(|millis| millis.max(0.0) as u64))
    }
}

fn session_of(_event: &str, payload: &[u8]) -> Option<(String, bool)> {
    Some((Payload::read(payload).ok()?.conversation_id, false))
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    let p = Some(event).filter(|event| *event == "beforeSubmitPrompt").and(Payload::read(payload).ok())?;
    Some((p.text("prompt").to_owned(), p.cwd().unwrap_or_default().to_owned()))
}

fn hook(name: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let p = match Payload::read(payload) {
        Ok(parsed) => parsed,
        Err(reason) => return unparsed(&RUNTIME, name, payload, &reason, arrival, state),
    };
    let name = p.hook_event_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| name.to_owned());
    if name.is_empty() {
        return unparsed(&RUNTIME, &name, payload, "it has no event name", arrival, state);
    }
    let who = Who {
        session: &p.conversation_id,
        subagent: p.subagent_id.as_deref(),
        kind: p.subagent_id.as_ref().and(p.subagent_type.as_deref()),
        version: p.cursor_version.clone(),
        model: p.model.as_deref(),
        cwd: p.cwd(),
        call: p.tool_use_id.as_deref(),
        prompt: p.generation_id.as_deref(),
        ..Who::default()
    };
    let mut event = Event::new(&RUNTIME, &name, &who, payload, arrival, state);
    let problem = capture(&mut event, &p);
    event.finish(problem)
}

/// What an event of a single tool says of the call, in the words of `preToolUse`.
fn single(name: &str, p: &Payload) -> Option<(String, Value)> {
    match name {
        "beforeShellExecution" | "afterShellExecution" => {
            Some(("Shell".to_owned(), json!({"command": p.rest.get("command")})))
        }
        "beforeReadFile" => Some(("Read".to_owned(), json!({"file_path": p.rest.get("file_path")}))),
        "afterFileEdit" => Some((
            "Write".to_owned(),
            json!({"file_path": p.rest.get("file_path"), "edits": p.rest.get("edits")}),
        )),
        "beforeMCPExecution" | "afterMCPExecution" => {
            let tool = p.tool_name.as_deref()?;
            let tool = if tool.starts_with("MCP:") { tool.to_owned() } else { format!("MCP:{tool}") };
            // The arguments are JSON in a text.
            let input = p.tool_input.as_str().and_then(|text| serde_json::from_str(text).ok());
            Some((tool, input.unwrap_or_else(|| p.tool_input.clone())))
        }
        _ => None,
    }
}

fn capture(event: &mut Event<'_, '_>, p: &Payload) -> Result<(), String> {
    let name = event.name.clone();
    match name.as_str() {
        "sessionStart" => {
            let mode = Some(p.text("composer_mode")).filter(|mode| !mode.is_empty());
            event.session_start(mode, None, Vec::new());
        }
        "sessionEnd" => {
            let reason = Some(p.text("reason")).filter(|reason| !reason.is_empty());
            event.session_end(reason, None);
        }
        "subagentStart" => {
            let call = p.text("tool_call_id");
            let started = event.known().and_then(|known| known.call(&cap(call)));
            let by = started.map(|call| (call.action, call.agent.clone()));
            match by {
                Some((action, parent)) => {
                    event.agent.parent = Some(parent);
                    event.session_start(Some("subagent"), None, vec![link(Rel::DelegatedBy, action)]);
                }
                None => event.subagent_start(&["Task"], None),
            }
        }
        "subagentStop" if p.subagent_id.is_some() => {
            event.session_end(Some(p.text("status")), Some(p.text("summary")))
        }
        "subagentStop" => event.plain("task", &format!("{} {}", p.text("status"), p.text("summary"))),
        "beforeSubmitPrompt" => event.prompt(p.text("prompt"), true),
        "afterAgentResponse" => event.message("assistant", p.text("text")),
        "afterAgentThought" => event.message("thinking", p.text("text")),
        "preCompact" => event.context("compaction", None, &Value::Object(p.rest.clone()).to_string()),
        "stop" => {
            let status = p.text("status");
            event.plain(if status == "error" { ROLE_TURN_ERROR } else { ROLE_TURN_END }, status);
        }
        "preToolUse" | "postToolUse" | "postToolUseFailure" => {
            let Some(tool) = p.tool_name.as_deref() else {
                return Err(event.unreadable("it has no tool_name"));
            };
            if p.tool_use_id.is_none() {
                event.pair(tool, Some(&p.tool_input), name == "preToolUse");
            }
            match name.as_str() {
                "preToolUse" => event.calling(tool, &p.tool_input),
                "postToolUse" => succeeded(event, tool, p),
                _ => failed(event, tool, p),
            }
        }
        name => match single(name, p) {
            Some((tool, input)) if name.starts_with("before") => before(event, &tool, &input),
            Some((tool, input)) => after(event, &tool, &input, p),
            None if matches!(name, "beforeMCPExecution" | "afterMCPExecution") => {
                return Err(event.unreadable("it has no tool_name"));
            }
            // Every event that this version doesn't know: kept whole, under its name.
            None => event.plain("event", ""),
        },
    }
    Ok(())
}

/// The id of the open call of which `preToolUse` told, and which this is told of again.
fn told_before(event: &Event<'_, '_>, tool: &str, input: &Value) -> Option<String> {
    let cwd = event.claimed.cwd.as_deref().unwrap_or_default();
    let (found, _) = normalise(tool, input, cwd, &event.writer.arrival.home);
    let first = found.actions.first()?.resource.as_str().to_owned();
    let mut open = event.known()?.open_calls_by_id().filter(|(_, call)| {
        call.source == "hook:preToolUse" && call.agent == event.agent.id && call.is_on(&first)
    });
    open.next().map(|(id, _)| id.to_owned())
}

/// An event of a single tool before it runs.
fn before(event: &mut Event<'_, '_>, tool: &str, input: &Value) {
    if let Some(id) = told_before(event, tool, input) {
        event.claimed.inferred = true;
        event.turn_to(Some(&id));
        if event.call().is_some_and(|call| call.refused.is_none()) {
            return event.again();
        }
    }
    event.pair(tool, Some(input), true);
    event.calling(tool, input);
}

/// An event of a single tool after it ran.
fn after(event: &mut Event<'_, '_>, tool: &str, input: &Value, p: &Payload) {
    let result = match event.name.as_str() {
        "afterShellExecution" => p.text("output"),
        "afterMCPExecution" => p.text("result_json"),
        _ => "",
    };
    if let Some(id) = told_before(event, tool, input) {
        event.claimed.inferred = true;
        event.turn_to(Some(&id));
        return event.again();
    }
    let paired = event.known().is_some_and(|known| {
        known.open_calls().any(|call| call.source.starts_with("hook:before") && call.tool == cap(tool))
    });
    if !paired && event.known().is_some_and(|known| known.tells_results) {
        // Its `postToolUse` came first.
        return event.plain("event", "");
    }
    event.pair(tool, Some(input), false);
    event.ran(Ran {
        tool,
        input: Some(input),
        result: Told::Text(result),
        streams: Vec::new(),
        outcome: Outcome::Ok,
        exit_code: None,
        duration_ms: p.duration(),
        reason: None,
        decision: Some(ran()),
    });
}

fn succeeded(event: &mut Event<'_, '_>, tool: &str, p: &Payload) {
    let output = p.rest.get("tool_output").cloned().unwrap_or_default();
    // JSON in a text, as documented.
    let output = output.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(output);
    let exit_code = ["exitCode", "exit_code"].iter().find_map(|key| output.get(key)?.as_i64());
    event.ran(Ran {
        tool,
        input: Some(&p.tool_input),
        result: Told::Json(&output),
        streams: ["stdout", "stderr"]
            .into_iter()
            .filter_map(|stream| Some((stream, output.get(stream)?.as_str()?)))
            .collect(),
        outcome: if exit_code.is_some_and(|code| code != 0) { Outcome::Error } else { Outcome::Ok },
        exit_code,
        duration_ms: p.duration(),
        reason: None,
        decision: Some(ran()),
    });
}

fn failed(event: &mut Event<'_, '_>, tool: &str, p: &Payload) {
    let message = p.text("error_message").to_owned();
    let interrupted = p.rest.get("is_interrupt") == Some(&Value::Bool(true));
    let ours = event.call().is_some_and(|call| call.refused.is_some());
    let denied = |by| RuntimeDecision {
        decision: Verdict::Deny,
        by,
        basis: Basis::Stated,
        reason: Some(cap(&message)).filter(|reason| !reason.is_empty()),
    };
    let (outcome, decision) = match p.text("failure_type") {
        "permission_denied" if ours => (Outcome::Denied, Some(denied(DecidedBy::Hook))),
        "permission_denied" => (Outcome::Denied, Some(denied(DecidedBy::Unknown))),
        _ if interrupted => (Outcome::Interrupted, Some(ran())),
        _ => (Outcome::Error, Some(ran())),
    };
    event.ran(Ran {
        tool,
        input: Some(&p.tool_input),
        result: Told::Text(&message),
        streams: Vec::new(),
        outcome,
        exit_code: None,
        duration_ms: p.duration(),
        reason: Some(message.clone()),
        decision,
    });
}
