//! The hook events of Codex.
//!
//! Facts that shape this file, from runs of the real agent: a call that was refused, that failed or
//! that does not exist has no event after it; a command that failed has one, without its exit
//! code; what is typed into a running program and the scripts of the code mode have no event at all.
//! The rollout tells the rest (`codex_transcript.rs`).

use crate::codex_outcome::exit_code;
use crate::codex_tools::normalise;
use crate::event::{self, Event, Prompted, Ran, Told, Who, delegated, flat, lenient, ran, unparsed};
use crate::runtime::Runtime;
use crate::state::{ROLE_INTERRUPT, ROLE_TURN_END};
use crate::{Arrival, Captured, State, codex_transcript};
use fdr_record::Outcome;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "codex",
    hook,
    import: Some(codex_transcript::import),
    normalise,
    gates: &["PreToolUse"],
    session_of: event::session_of,
    prompt_of,
};

/// The tools by which it starts a sub-agent, as hooks name them.
const STARTERS: [&str; 3] = ["spawn_agent", "multi_agent_v1spawn_agent", "collaborationspawn_agent"];

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
    turn_id: Option<String>,
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
    trigger: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    tool_response: Value,
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    last_assistant_message: Option<String>,
    /// What else there is, to be shown in one line where the event has no form of its own.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    let prompted = Some(event).filter(|event| *event == "UserPromptSubmit").and(Prompted::read(payload))?;
    // What a sub-agent is asked comes from its parent.
    prompted.agent_id.is_none().then(|| prompted.parts())
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
        model: p.model.as_deref(),
        cwd: p.cwd.as_deref(),
        call: p.tool_use_id.as_deref(),
        // A prompt has no id of its own; that of its turn is what the rollout has as well.
        prompt: p.turn_id.as_deref().filter(|_| name == "UserPromptSubmit"),
        turn: p.turn_id.as_deref(),
        permission_mode: p.permission_mode.as_deref(),
        ..Who::default()
    };
    let event = Event::new(&RUNTIME, &name, &who, payload, arrival, state);
    let mut hook = Hook { p, e: event };
    let problem = hook.capture();
    hook.e.finish(problem)
}

/// One event on its way.
struct Hook<'a, 'b> {
    p: Payload,
    e: Event<'a, 'b>,
}

impl Hook<'_, '_> {
    /// The reason is given if the event could not be read.
    fn capture(&mut self) -> Result<(), String> {
        let name = self.e.name.clone();
        let needs_tool = matches!(name.as_str(), "PreToolUse" | "PostToolUse" | "PermissionRequest");
        if needs_tool && self.p.tool_name.is_none() {
            return Err(self.e.unreadable("it has no tool_name"));
        }
        let tool = self.p.tool_name.clone().unwrap_or_default();
        let input = self.p.tool_input.clone();
        let last = self.p.last_assistant_message.clone();
        match name.as_str() {
            "SessionStart" => {
                let (source, transcript) = (self.p.source.clone(), self.p.transcript_path.clone());
                self.e.session_start(source.as_deref(), transcript.as_deref(), Vec::new());
            }
            // The transcript that it names is the sub-agent's own.
            "SubagentStart" => {
                let transcript = self.p.transcript_path.clone();
                self.e.subagent_start(&STARTERS, transcript.as_deref());
            }
            "SessionEnd" | "SubagentStop" => {
                let reason = self.p.reason.clone();
                self.e.session_end_by(false, reason.as_deref(), last.as_deref());
            }
            "UserPromptSubmit" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                self.e.prompt(&text, true);
            }
            "PreToolUse" => self.e.calling(&tool, &input),
            "PostToolUse" => self.executed(&tool, &input),
            "PermissionRequest" => self.asked(&tool, input),
            "PreCompact" | "PostCompact" => {
                let text = format!("{name}: {}", self.p.trigger.as_deref().unwrap_or_default());
                self.e.context("compaction", None, &text);
            }
            // What it says is in the rollout; this tells that the turn ended.
            "Stop" => self.e.plain(ROLE_TURN_END, &last.unwrap_or_default()),
            "Interrupt" => self.e.plain(ROLE_INTERRUPT, "the turn was interrupted"),
            // Every event that this version doesn't know: kept whole, under its name.
            _ => {
                let text = self.details();
                self.e.plain("event", &text);
            }
        }
        Ok(())
    }

    /// The fields that have no place of their own, in one line.
    fn details(&self) -> String {
        event::details(self.p.rest.iter())
    }

    /// Sent for a tool that did its work; of a command it is not told with which status it ended.
    fn executed(&mut self, tool: &str, input: &Value) {
        let response = self.p.tool_response.clone();
        let text = flat(&response);
        let (outcome, exit_code) = match (tool, exit_code(&text)) {
            ("Bash", _) => (Outcome::Unknown, None),
            ("apply_patch", Some(code)) if code != 0 => (Outcome::Error, Some(code)),
            ("apply_patch", code) => (Outcome::Ok, code),
            _ => (Outcome::Ok, None),
        };
        let result = match &response {
            Value::String(text) => Told::Text(text),
            other => Told::Json(other),
        };
        let is_new = self.e.ran(Ran {
            tool,
            input: Some(input),
            result,
            streams: Vec::new(),
            outcome,
            exit_code,
            duration_ms: None,
            reason: None,
            decision: Some(ran()),
        });
        if is_new && STARTERS.contains(&tool) {
            self.started(&text);
        }
    }

    /// A sub-agent was started, and its id is told.
    fn started(&mut self, response: &str) {
        #[derive(Deserialize)]
        struct Started {
            agent_id: String,
        }
        let Ok(started) = serde_json::from_str::<Started>(response) else { return };
        let Some(action) = self.e.call().map(|call| call.action) else { return };
        let session = self.e.session.clone();
        let kind = self.p.tool_input.get("agent_type").and_then(Value::as_str).unwrap_or("default");
        let who = Who {
            session: &session,
            subagent: Some(&started.agent_id),
            kind: Some(kind),
            parent: Some(&self.e.agent.id.clone()),
            ..Who::default()
        };
        let (claimed, raw) = (self.e.claimed.clone(), self.e.raw.clone());
        delegated(&mut self.e.writer, RUNTIME.name, &who, action, &claimed, &raw);
    }

    /// The user is asked. The event has no id of its call, and beside the arguments the words that
    /// the user is shown.
    fn asked(&mut self, tool: &str, mut input: Value) {
        let words = input.as_object_mut().and_then(|input| input.remove("description"));
        let words = words.as_ref().and_then(Value::as_str);
        self.e.asked(tool, &input, words);
    }
}
