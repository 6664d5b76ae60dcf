//! The hook events of Gemini CLI.
//!
//! Facts that shape this file, from runs of the real agent: no event has an id of its call, so what
//! comes after a call is matched by tool and arguments; a call that was refused has no event after
//! it; a sub-agent's calls are told as the session's own; `BeforeModel`, `BeforeToolSelection` and
//! `AfterModel` carry the whole conversation each time, the last of them for each piece that is
//! streamed.

use crate::event::{self, Event, Prompted, Ran, TEXT, Told, Who, flat, lenient, unparsed};
use crate::gemini_cli_outcome::{Known, outcome};
use crate::gemini_cli_tools::{mcp_name, normalise};
use crate::runtime::Runtime;
use crate::state::{Call, ROLE_PROGRESS, ROLE_TURN_END, Session};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State, gemini_cli_transcript};
use fdr_record::{
    Approval, Basis, Body, DecidedBy, Decision, Outcome, Rel, RuntimeDecision, Verdict, preview,
};
use serde::Deserialize;
use serde_json::Value;

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "gemini-cli",
    hook,
    import: Some(gemini_cli_transcript::import),
    normalise,
    gates: &["BeforeTool"],
    session_of: event::session_of,
    prompt_of,
};

/// The surroundings, put in front of the first prompt of a session; not of a sub-agent's.
pub(crate) const SURROUNDINGS: (&str, &str) = ("<session_context>", "</session_context>");

/// The fields that are read by name.
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
    timestamp: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    source: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    trigger: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt_response: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    tool_response: Value,
    #[serde(default, deserialize_with = "lenient")]
    mcp_context: Option<McpContext>,
    #[serde(default, deserialize_with = "lenient")]
    llm_request: Option<Request>,
    #[serde(default, deserialize_with = "lenient")]
    llm_response: Option<Response>,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    details: Value,
}

/// Which server's tool it is.
#[derive(Debug, Deserialize)]
struct McpContext {
    server_name: String,
    tool_name: String,
}

/// What goes to the model, texts only.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    model: Option<String>,
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

/// What comes from the model, or a piece of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    /// Without the thinking.
    text: Option<String>,
    candidates: Vec<Candidate>,
    #[serde(rename = "usageMetadata")]
    usage: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Candidate {
    content: Parts,
    #[serde(rename = "finishReason")]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parts {
    /// With the thinking, which is not marked.
    parts: Vec<String>,
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    Some(event).filter(|event| *event == "BeforeAgent").and(Prompted::read(payload)).map(Prompted::parts)
}

/// Makes records of one hook event. `event` is the name that the hook was called with; the
/// payload's own name is used where it has one.
fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let parsed = event::read::<Payload>(payload).and_then(|parsed| {
        event::session_id(&parsed.session_id)?;
        Ok(parsed)
    });
    let mut p = match parsed {
        Ok(parsed) => parsed,
        Err(reason) => return unparsed(&RUNTIME, event, payload, &reason, arrival, state),
    };
    let name = p.hook_event_name.clone().unwrap_or_else(|| event.to_owned());
    if name.is_empty() {
        return unparsed(&RUNTIME, event, payload, "it has no event name", arrival, state);
    }
    let seen = p.llm_request.take().map(|request| Seen::of(request, &name, &p.session_id, arrival, state));
    let model = seen.as_ref().filter(|seen| seen.is_main).and_then(|seen| seen.model.as_deref());
    let who = Who { session: &p.session_id, model, cwd: p.cwd.as_deref(), ..Who::default() };
    let kept = seen.as_ref().and_then(|seen| seen.without_the_rest(payload));
    let event = Event::new(&RUNTIME, &name, &who, kept.as_deref().unwrap_or(payload), arrival, state);
    let mut hook = Hook { p, seen, e: event };
    hook.e.claimed.ts = hook.p.timestamp.as_deref().and_then(|time| time.parse().ok());
    let problem = hook.capture();
    hook.e.finish(problem)
}

/// What the model is shown, and what of it is new.
struct Seen {
    model: Option<String>,
    /// It is the session's own conversation, not a sub-agent's.
    is_main: bool,
    /// All messages.
    count: usize,
    /// Texts that no record of the session has, each with the word for what it is.
    new: Vec<(&'static str, String)>,
}

impl Seen {
    fn of(request: Request, event: &str, session: &str, arrival: &Arrival<'_>, state: &State) -> Seen {
        let known = state.session(session);
        let is_known = |text: &str| {
            let digest = arrival.content_key.seal(session, "text", TEXT, text.as_bytes().to_vec()).0.digest;
            known.is_some_and(|known| known.has_text(&digest))
        };
        let texts: Vec<String> = request.messages.iter().map(|message| flat(&message.content)).collect();
        let is_main = texts.first().is_some_and(|text| text.starts_with(SURROUNDINGS.0));
        let count = texts.len();
        let mut new: Vec<(&'static str, String)> = Vec::new();
        // The other two show the same request; what the model said itself `AfterModel` tells.
        let said = request.messages.iter().map(|message| message.role == "model");
        for (text, _) in texts.iter().zip(said).filter(|(_, said)| !said && event == "BeforeModel") {
            let (surroundings, rest) = surroundings(text);
            let rest_is = if rest.starts_with("<state_snapshot>") { "compaction" } else { "model_input" };
            for (what, text) in [("session_context", surroundings), (rest_is, rest)] {
                if !text.is_empty() && !is_known(text) && new.iter().all(|(_, other)| other != text) {
                    new.push((what, text.to_owned()));
                }
            }
        }
        Seen { model: request.model, is_main, count, new }
    }

    /// The payload with the number of messages in place of those that are recorded already.
    fn without_the_rest(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut payload: Value = serde_json::from_slice(payload).ok()?;
        let request = payload.get_mut("llm_request")?.as_object_mut()?;
        let new: Vec<Value> = self.new.iter().map(|(_, text)| text.as_str().into()).collect();
        request.insert("messages".to_owned(), new.into());
        request.insert("messages_in_all".to_owned(), self.count.into());
        Some(payload.to_string().into_bytes())
    }
}

/// What is put in front of the first prompt, and the prompt.
pub(crate) fn surroundings(text: &str) -> (&str, &str) {
    let end = if text.starts_with(SURROUNDINGS.0) { text.find(SURROUNDINGS.1) } else { None };
    text.split_at(end.map_or(0, |at| at + SURROUNDINGS.1.len()))
}

/// What a failed call, or one that did not, gave the model.
fn given(response: &Value) -> String {
    match response.get("error").and_then(|error| error.get("message")).and_then(Value::as_str) {
        Some(error) => error.to_owned(),
        None => response.get("llmContent").map(flat).unwrap_or_default(),
    }
}

/// What a command printed and how it ended, without the words for the model around it.
fn unwrapped(text: &str) -> &str {
    let inner = text.strip_prefix("<untrusted_context>\n").unwrap_or(text);
    let inner = inner.strip_suffix("\n</untrusted_context>").unwrap_or(inner);
    inner.rsplit_once("\nProcess Group PGID: ").map_or(inner, |(said, _)| said)
}

/// One event on its way.
struct Hook<'a, 'b> {
    p: Payload,
    seen: Option<Seen>,
    e: Event<'a, 'b>,
}

impl Hook<'_, '_> {
    /// The reason is given if the event could not be read.
    fn capture(&mut self) -> Result<(), String> {
        match self.e.name.clone().as_str() {
            "SessionStart" => {
                let (source, transcript) = (self.p.source.clone(), self.p.transcript_path.clone());
                let transcript = transcript.filter(|path| !path.is_empty());
                self.e.session_start(source.as_deref(), transcript.as_deref(), Vec::new());
            }
            "SessionEnd" => {
                self.settle();
                let reason = self.p.reason.clone();
                self.e.session_end(reason.as_deref(), None);
            }
            "BeforeAgent" => {
                let text = self.p.prompt.clone().unwrap_or_default();
                self.e.prompt(&text, !is_own(&text));
            }
            "AfterAgent" => {
                self.settle();
                // What it says is in the messages before; this tells that the turn ended.
                let text = self.p.prompt_response.clone().unwrap_or_default();
                self.e.plain(ROLE_TURN_END, &text);
            }
            "BeforeModel" => self.shown(),
            "AfterModel" => self.said(),
            "BeforeTool" => {
                let tool = self.tool()?;
                let input = self.p.tool_input.clone();
                self.e.pair(&tool, Some(&input), true);
                self.e.calling(&tool, &input);
            }
            "AfterTool" => {
                let tool = self.tool()?;
                let input = self.p.tool_input.clone();
                self.e.pair(&tool, Some(&input), false);
                self.ran(&tool, &input);
            }
            "Notification" => self.asked(),
            "PreCompress" => match self.p.trigger.as_deref() {
                Some("manual") => self.e.context("compaction", None, "manual"),
                // Sent before every request, whether anything is cut down or not.
                trigger => {
                    let trigger = trigger.unwrap_or_default().to_owned();
                    self.goes_on(&trigger);
                }
            },
            "BeforeToolSelection" => self.goes_on("what BeforeModel shows"),
            // Every event that this version doesn't know: kept whole, under its name.
            _ => {
                let text = flat(&self.p.message);
                self.e.plain("event", &text);
            }
        }
        Ok(())
    }

    /// The calls that we refused and that had not run when the agent went on: nothing else tells
    /// of their end before the chat file is read.
    fn settle(&mut self) {
        let open = self.e.known().into_iter().flat_map(Session::open_calls_by_id);
        let refused = open.filter(|(_, call)| !call.late).filter_map(|(id, call)| {
            let reason = call.refused.clone()?;
            Some((id.to_owned(), call.tool.clone(), reason))
        });
        let mut refused: Vec<(String, String, String)> = refused.collect();
        refused.reverse();
        for (id, tool, reason) in refused {
            self.e.turn_to(Some(&id));
            self.e.claimed.inferred = true;
            let decision = RuntimeDecision {
                decision: Verdict::Deny,
                by: DecidedBy::Hook,
                basis: Basis::Inferred,
                reason: Some(reason.clone()),
            };
            self.e.ran(Ran {
                tool: &tool,
                input: None,
                result: Told::Text(&reason),
                streams: Vec::new(),
                outcome: Outcome::Denied,
                exit_code: None,
                duration_ms: None,
                reason: Some(reason.clone()),
                decision: Some(decision),
            });
        }
        self.e.turn_to(None);
        self.e.claimed.inferred = false;
    }

    fn tool(&mut self) -> Result<String, String> {
        match (&self.p.mcp_context, &self.p.tool_name) {
            (Some(mcp), Some(_)) => Ok(mcp_name(&mcp.server_name, &mcp.tool_name)),
            (_, Some(tool)) => Ok(tool.clone()),
            (_, None) => Err(self.e.unreadable("it has no tool_name")),
        }
    }

    /// An event that brings nothing but the word that work goes on.
    fn goes_on(&mut self, text: &str) {
        let text = format!("{}: {text}", self.e.name);
        self.e.plain(ROLE_PROGRESS, &text);
    }

    /// What the model is about to see.
    fn shown(&mut self) {
        let Some(seen) = self.seen.take() else { return self.e.plain("event", "it shows no request") };
        if seen.is_main {
            self.settle();
        }
        for (what, text) in &seen.new {
            self.e.context(what, None, text);
        }
        if seen.new.is_empty() {
            let model = seen.model.unwrap_or_default();
            self.goes_on(&format!("{model}, {} messages, none of them new", seen.count));
        }
    }

    /// What the model says, or a piece of it.
    fn said(&mut self) {
        let response = self.p.llm_response.take().unwrap_or_default();
        let text = response.text.unwrap_or_default();
        let candidate = response.candidates.into_iter().next().unwrap_or_default();
        // The parts have the thinking too.
        let (mut left, mut thinking) = (text.as_str(), Vec::new());
        for part in candidate.content.parts.iter().rev().filter(|part| !part.is_empty()) {
            match left.strip_suffix(part.as_str()) {
                Some(before) => left = before,
                None => thinking.insert(0, part.as_str()),
            }
        }
        if !thinking.is_empty() {
            let thinking = thinking.concat();
            let body = Decision {
                stated: Some(preview(&text)).filter(|text| !text.is_empty()),
                thinking: Some(preview(&thinking)),
                calls: Vec::new(),
            };
            let mut content = vec![self.e.text("thinking", &thinking)];
            if !text.is_empty() {
                content.push(self.e.text("text", &text));
            }
            let links = self.e.prompted().into_iter().collect();
            self.e.add(links, Body::Decision(body), content);
        } else if !text.is_empty() {
            self.e.message("assistant", &text);
        } else {
            let tokens = |key: &str| response.usage.get(key).and_then(Value::as_u64).unwrap_or_default();
            let (asked, answered) = (tokens("promptTokenCount"), tokens("candidatesTokenCount"));
            let end = candidate.finish_reason.unwrap_or_else(|| "a piece without text".to_owned());
            self.goes_on(&format!("{end}, {asked} tokens in, {answered} out"));
        }
    }

    /// Sent for a tool that had begun to run, so nothing in its words makes it a refusal.
    fn ran(&mut self, tool: &str, input: &Value) {
        let response = self.p.tool_response.clone();
        let error = response.get("error").filter(|error| !error.is_null());
        let text = given(&response);
        let known = Known { failed: error.is_some(), ran: true, begun: true, in_place: true };
        let (outcome, exit_code, decision) = match error.and_then(|error| error.get("type")?.as_str()) {
            Some("path_not_in_workspace") => {
                let decision = RuntimeDecision {
                    decision: Verdict::Deny,
                    by: DecidedBy::Sandbox,
                    basis: Basis::Stated,
                    reason: Some(cap(&text)),
                };
                (Outcome::Denied, None, Some(decision))
            }
            _ => outcome(tool, &text, known),
        };
        self.e.ran(Ran {
            tool,
            input: Some(input),
            result: Told::Text(&text),
            streams: Vec::new(),
            outcome,
            exit_code,
            duration_ms: None,
            reason: (outcome != Outcome::Ok).then(|| unwrapped(&text).to_owned()),
            decision,
        });
    }

    /// The user is asked. The event has no id of the call: it is linked if only one that is open
    /// can be meant.
    fn asked(&mut self) {
        let details = self.p.details.clone();
        let text = |key: &str| details.get(key).and_then(Value::as_str).unwrap_or_default();
        let message = flat(&self.p.message);
        let mcp = mcp_name(text("serverName"), text("toolName"));
        let (tools, summary): (&[&str], &str) = match text("type") {
            "exec" => (&["run_shell_command"], text("command")),
            "edit" => (&["write_file", "replace"], text("filePath")),
            "info" => (&["web_fetch"], text("prompt")),
            "mcp" => (&[mcp.as_str()], text("toolName")),
            "" => return self.e.plain("notification", &message),
            _ => (&[], text("title")),
        };
        let file = self.e.file(text("filePath"));
        let is_meant = |call: &&Call| {
            (tools.is_empty() || tools.contains(&call.tool.as_str()))
                && (text("type") != "edit" || call.is_on(file.as_str()))
        };
        let open = self.e.known().into_iter().flat_map(Session::open_calls);
        let meant: Vec<&Call> = open.filter(is_meant).take(2).collect();
        let (links, tool) = match meant.as_slice() {
            [call] => (vec![link(Rel::About, call.action)], call.tool.clone()),
            _ => (Vec::new(), tools.first().copied().unwrap_or_default().to_owned()),
        };
        let summary = if summary.is_empty() { message.as_str() } else { summary };
        let body = Approval { tool: cap(&tool), summary: preview(summary), ..Approval::default() };
        self.e.claimed.inferred = !links.is_empty();
        self.e.add(links, Body::ApprovalRequest(body), Vec::new());
    }
}

/// The runtime passes on messages of its own as prompts; these come from tools, and widen nothing.
pub(crate) fn is_own(text: &str) -> bool {
    const OWN: [&str; 4] =
        ["Background execution update:", "<background_output", "<hook_context", SURROUNDINGS.0];
    text == "Please continue." || OWN.iter().any(|start| text.trim_start().starts_with(start))
}
