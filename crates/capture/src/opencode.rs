//! The events of OpenCode, as our plugin in it passes them on.
//!
//! Facts that shape this file, from runs of the real agent: the event before a tool comes first, and
//! OpenCode's own permissions are asked afterwards, within the tool; a call that was refused or that
//! failed has no event after it, only the state of its part of the message; the event after a call
//! has the arguments that it ran with, whoever rewrote them; a sub-agent is a session of its own;
//! the name of an MCP tool can't be split without knowing the servers, which the plugin does.

use crate::event::{self, Event, Ran, Told, Who, delegated, lenient, ran, unparsed};
use crate::opencode_outcome::{Basics, exit_code, failed, finished, text_of};
use crate::opencode_tools::normalise;
use crate::runtime::Runtime;
use crate::state::{ROLE_INTERRUPT, ROLE_TURN_END, ROLE_TURN_ERROR, Session};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State, opencode_transcript};
use fdr_record::{Basis, DecidedBy, Link, Outcome, Rel, RuntimeDecision, Verdict};
use serde::Deserialize;
use serde_json::Value;

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "opencode",
    hook,
    import: Some(opencode_transcript::import),
    normalise,
    gates: &["tool.execute.before"],
    session_of,
    prompt_of,
};

/// What the model is shown in place of an old result when a conversation gets long.
const CLEARED: &str = "[Old tool result content cleared]";

/// What the plugin sends: what it knows of the session, and the event as OpenCode gave it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(rename = "sessionID")]
    session_id: String,
    /// Where the session works.
    #[serde(default, deserialize_with = "lenient")]
    directory: Option<String>,
    /// `build`, `plan`, or the type of a sub-agent.
    #[serde(default, deserialize_with = "lenient")]
    agent: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    /// Id of the user's message that is worked on.
    #[serde(rename = "promptID", default, deserialize_with = "lenient")]
    prompt_id: Option<String>,
    /// The session that started this one.
    #[serde(rename = "parentID", default, deserialize_with = "lenient")]
    parent_id: Option<String>,
    #[serde(rename = "callID", default, deserialize_with = "lenient")]
    call_id: Option<String>,
    #[serde(rename = "messageID", default, deserialize_with = "lenient")]
    message_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool: Option<String>,
    #[serde(default)]
    args: Value,
    #[serde(default, deserialize_with = "lenient")]
    mcp: Option<Mcp>,
    #[serde(default, deserialize_with = "lenient")]
    duration_ms: Option<u64>,
    /// Nobody is there to be asked.
    #[serde(default, deserialize_with = "lenient")]
    headless: Option<bool>,
    /// The event before this call was heard.
    #[serde(default, deserialize_with = "lenient")]
    before: Option<bool>,
    /// The call that a permission is asked for.
    #[serde(default, deserialize_with = "lenient")]
    call: Option<Call>,
    /// The call by which this session was started.
    #[serde(default, deserialize_with = "lenient")]
    task: Option<Task>,
    /// Where OpenCode keeps its sessions.
    #[serde(default, deserialize_with = "lenient")]
    database: Option<String>,
    #[serde(default)]
    info: Value,
    #[serde(default, deserialize_with = "lenient")]
    parts: Option<Vec<Value>>,
    #[serde(default)]
    part: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    properties: Value,
    #[serde(default, deserialize_with = "lenient")]
    text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    shown: Option<Vec<Shown>>,
}

/// A tool of an MCP server.
#[derive(Debug, Deserialize)]
struct Mcp {
    server: String,
    tool: String,
}

#[derive(Debug, Deserialize)]
struct Call {
    #[serde(rename = "callID", default, deserialize_with = "lenient")]
    call_id: Option<String>,
    tool: String,
    #[serde(default)]
    args: Value,
    #[serde(default, deserialize_with = "lenient")]
    mcp: Option<Mcp>,
}

#[derive(Debug, Deserialize)]
struct Task {
    #[serde(rename = "sessionID")]
    session_id: String,
    #[serde(rename = "callID")]
    call_id: String,
}

/// A part of the conversation that the model has not been shown before, or not so.
#[derive(Debug, Deserialize)]
struct Shown {
    r#type: String,
    #[serde(rename = "callID", default, deserialize_with = "lenient")]
    call_id: Option<String>,
    text: String,
}

impl Mcp {
    fn known_as(&self) -> String {
        format!("{}/{}", self.server, self.tool)
    }
}

impl Payload {
    fn prompt(&self) -> String {
        written(self.parts.iter().flatten())
    }

    fn error(&self) -> String {
        let error = self.properties.get("error").unwrap_or(&Value::Null);
        let text = error.pointer("/data/message").or(error.get("name")).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }
}

fn session_of(event: &str, payload: &[u8]) -> Option<(String, bool)> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "sessionID")]
        session_id: String,
    }
    let named: Named = serde_json::from_slice(payload).ok()?;
    Some((named.session_id, event == "session.created"))
}

fn prompt_of(event: &str, payload: &[u8]) -> Option<(String, String)> {
    let p: Payload =
        Some(event).filter(|event| *event == "chat.message").and(serde_json::from_slice(payload).ok())?;
    let prompt = Some(p.prompt()).filter(|prompt| p.parent_id.is_none() && !prompt.is_empty())?;
    Some((prompt, p.directory.unwrap_or_default()))
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
    let version = p.info.get("version").and_then(Value::as_str);
    let who = Who {
        session: &p.session_id,
        kind: p.parent_id.as_ref().and(p.agent.as_deref()),
        parent: p.parent_id.as_deref(),
        version: version.map(str::to_owned),
        model: p.model.as_deref(),
        cwd: p.directory.as_deref(),
        call: p.call_id.as_deref(),
        prompt: p.prompt_id.as_deref(),
        // The id of an entry is the transcript's to tell.
        turn: p.message_id.as_deref(),
        permission_mode: p.agent.as_deref().filter(|_| p.parent_id.is_none()),
        ..Who::default()
    };
    let mut event = Event::new(&RUNTIME, name, &who, payload, arrival, state);
    event.known_as = p.mcp.as_ref().map(Mcp::known_as);
    let problem = capture(&mut event, &p);
    event.finish(problem)
}

/// What was written of a message: not what OpenCode adds to it.
pub(crate) fn written<'p>(parts: impl Iterator<Item = &'p Value>) -> String {
    let parts = parts.filter(|part| part.get("synthetic") != Some(&true.into()));
    let texts = parts.filter_map(|part| match part.get("type").and_then(Value::as_str) {
        Some("text") => part.get("text").and_then(Value::as_str),
        Some("subtask") => part.get("prompt").and_then(Value::as_str),
        _ => None,
    });
    unquoted(texts.collect::<Vec<_>>().join("\n"))
}

/// `opencode run` puts an argument with a blank in it into quotes; what was typed is without them.
fn unquoted(text: String) -> String {
    let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inside) = inside.filter(|inside| inside.contains(' ') && !inside.ends_with('\\')) else {
        return text;
    };
    let is_escaped = |at: usize| inside[..at].ends_with('\\');
    if inside.match_indices('"').all(|(at, _)| is_escaped(at)) { inside.replace("\\\"", "\"") } else { text }
}

/// The reason is given if the event could not be read.
fn capture(event: &mut Event<'_, '_>, p: &Payload) -> Result<(), String> {
    match event.name.as_str() {
        "session.created" | "session.started" => begin(event, p),
        "session.idle" if p.parent_id.is_none() => event.plain(ROLE_TURN_END, ""),
        // A sub-agent is done then, though it may be given more to do.
        "session.idle" => event.session_end(Some("idle"), None),
        "session.ended" => event.session_end(Some("exit"), None),
        "session.deleted" => event.session_end(Some("deleted"), None),
        "session.error" => {
            let aborted = p.properties.pointer("/error/name") == Some(&"MessageAbortedError".into());
            event.plain(if aborted { ROLE_INTERRUPT } else { ROLE_TURN_ERROR }, &p.error());
        }
        "chat.message" => message(event, p),
        "command.execute.before" => command(event, p),
        "experimental.text.complete" => match p.text.as_deref().unwrap_or_default() {
            "" => event.plain("event", ""),
            text => event.message("assistant", text),
        },
        "experimental.chat.system.transform" => {
            event.context("system_prompt", None, p.text.as_deref().unwrap_or_default());
        }
        "experimental.chat.messages.transform" => shown(event, p),
        "experimental.session.compacting" => event.context("compaction", None, &p.output.to_string()),
        "session.compacted" => {
            event.context("compaction", None, "the conversation was cut down to a summary")
        }
        "permission.asked" | "permission.replied" => permission(event, p),
        "tool.execute.before" | "tool.execute.after" => {
            let Some(tool) = p.tool.as_deref().filter(|tool| !tool.is_empty()) else {
                return Err(event.unreadable("it has no tool"));
            };
            match event.name.as_str() {
                "tool.execute.before" => event.calling(tool, &p.args),
                _ => after(event, tool, p),
            }
        }
        "message.part.updated" => return part(event, p),
        // Every event that this version doesn't know: kept whole, under its name.
        _ => event.plain("event", ""),
    }
    Ok(())
}

/// A session begins, or goes on in another process.
fn begin(event: &mut Event<'_, '_>, p: &Payload) {
    let source = match (event.name.as_str(), &p.parent_id) {
        ("session.started", _) => "resume",
        (_, Some(_)) => "subagent",
        (_, None) => "startup",
    };
    let call = p.task.as_ref().and_then(|task| {
        event.writer.state.session(&task.session_id)?.call(&cap(&task.call_id)).map(|call| call.action)
    });
    let links: Vec<Link> = call.map(|action| link(Rel::DelegatedBy, action)).into_iter().collect();
    // Each session of a database is a transcript of its own.
    let transcript = p.database.as_ref().map(|database| format!("{database}#{}", p.session_id));
    event.session_start(Some(source), transcript.as_deref(), links);
}

fn message(event: &mut Event<'_, '_>, p: &Payload) {
    let prompt = p.prompt();
    if !prompt.is_empty() {
        event.prompt(&prompt, p.parent_id.is_none());
    }
    // Files and folders that were named, with what OpenCode read of them, and what it adds itself.
    for part in p.parts.iter().flatten() {
        let word = |key: &str| part.get(key).and_then(Value::as_str);
        match word("type") {
            Some("text") if part.get("synthetic") == Some(&true.into()) => {
                event.context("attachment", None, word("text").unwrap_or_default());
            }
            Some("file") => {
                let path = part.pointer("/source/path").and_then(Value::as_str);
                let resource = path.map(|path| event.file(path));
                event.context("attachment", resource, word("filename").unwrap_or_default());
            }
            _ => {}
        }
    }
    if event.writer.out.records.is_empty() {
        event.plain("event", "");
    }
}

/// A slash command, and what it became.
fn command(event: &mut Event<'_, '_>, p: &Payload) {
    let word = |key: &str| p.input.get(key).and_then(Value::as_str).unwrap_or_default();
    let parts = p.output.get("parts").and_then(Value::as_array).into_iter().flatten();
    let texts = parts.filter_map(|part| part.get("text").or(part.get("prompt")).and_then(Value::as_str));
    let text = texts.collect::<Vec<_>>().join("\n");
    let text = format!("/{} {}\n{text}", word("command"), word("arguments"));
    event.context("prompt_expansion", None, &text);
}

/// What the model is shown otherwise than it was told, or was not told at all.
fn shown(event: &mut Event<'_, '_>, p: &Payload) {
    for part in p.shown.iter().flatten() {
        if part.r#type == "tool" && part.text != CLEARED {
            event.turn_to(part.call_id.as_deref());
            event.saw(&part.text);
        } else {
            event.turn_to(None);
            event.context("shown", None, &part.text);
        }
    }
    if event.writer.out.records.is_empty() {
        event.plain("event", "");
    }
}

fn permission(event: &mut Event<'_, '_>, p: &Payload) {
    let word = |key: &str| p.properties.get(key).and_then(Value::as_str).unwrap_or_default();
    let call = p.call.as_ref();
    event.turn_to(call.and_then(|call| call.call_id.as_deref()));
    event.known_as = call.and_then(|call| call.mcp.as_ref()).map(Mcp::known_as);
    let tool = call.map_or_else(|| word("permission"), |call| call.tool.as_str()).to_owned();
    let args = call.map_or(&Value::Null, |call| &call.args);
    if event.name == "permission.asked" {
        let patterns = p.properties.get("patterns").and_then(Value::as_array).into_iter().flatten();
        let patterns: Vec<&str> = patterns.filter_map(Value::as_str).collect();
        let reason = format!("{}: {}", word("permission"), patterns.join(", "));
        return event.asked(&tool, args, Some(&reason));
    }
    let reply = word("reply").to_owned();
    // `opencode run` answers itself, because nobody can.
    let by = if p.headless == Some(true) { DecidedBy::Mode } else { DecidedBy::User };
    event.decided(reply != "reject", by, &tool, args, Some(&reply));
}

/// The tool ran to its end.
fn after(event: &mut Event<'_, '_>, tool: &str, p: &Payload) {
    if p.output.is_null() {
        // It failed; how, its part of the message tells.
        return event.plain("event", tool);
    }
    let text = text_of(&p.output);
    let metadata = p.output.get("metadata").unwrap_or(&Value::Null);
    let (outcome, reason, decision) = finished(tool, &text, &p.output);
    let is_new = event.ran(Ran {
        tool,
        input: Some(&p.args),
        result: Told::Text(&text),
        streams: Vec::new(),
        outcome,
        exit_code: exit_code(metadata),
        duration_ms: p.duration_ms,
        reason,
        decision,
    });
    if is_new {
        started(event, metadata);
    }
    if tool == "execute" {
        close_children(event);
    }
}

/// A session that the call says it started: said once, if it was not clear when that began.
fn started(event: &mut Event<'_, '_>, metadata: &Value) {
    let Some(child) = metadata.get("sessionId").and_then(Value::as_str) else { return };
    let Some(action) = event.call().map(|call| call.action) else { return };
    let known = event.writer.state.session(child).and_then(|session| session.agent(&cap(child)));
    if event::session_id(child).is_err() || known.is_none_or(|known| known.delegated) {
        return;
    }
    let parent = event.agent.id.clone();
    let who = Who { session: child, parent: Some(&parent), ..Who::default() };
    let (claimed, raw) = (event.claimed.clone(), event.raw.clone());
    delegated(&mut event.writer, RUNTIME.name, &who, action, &claimed, &raw);
}

/// The part of a message that a call is: how it ended, where no event after it told so.
fn part(event: &mut Event<'_, '_>, p: &Payload) -> Result<(), String> {
    let word = |key: &str| p.part.get(key).and_then(Value::as_str);
    let (Some(tool), Some(state)) = (word("tool"), p.part.get("state")) else {
        return Err(event.unreadable("it is no part with a tool and its state"));
    };
    // A sub-task that a command starts is told under the id of its part.
    let by_part = word("id").filter(|id| event.known().is_some_and(|known| known.call(&cap(id)).is_some()));
    event.turn_to(by_part.or(word("callID")));
    event.claimed.turn_id = word("messageID").map(cap);
    let basics = Basics::of(state);
    let known = event.call().cloned();
    if state.get("status").and_then(Value::as_str) == Some("completed") {
        if known.as_ref().is_some_and(|call| call.outcome.is_some()) {
            event.saw(&basics.text);
            return Ok(());
        }
        let metadata = state.get("metadata").unwrap_or(&Value::Null);
        let (outcome, reason, decision) = finished(tool, &basics.text, state);
        // What the user runs in the session goes through no hook.
        let by_user = tool == "bash" && known.is_none() && p.before == Some(false);
        let decision = if by_user { Some(by_the_user()) } else { decision };
        event.ran(Ran {
            tool,
            input: Some(&basics.input),
            result: Told::Text(&basics.text),
            streams: Vec::new(),
            outcome,
            exit_code: exit_code(metadata),
            duration_ms: basics.duration_ms,
            reason,
            decision,
        });
        started(event, metadata);
        return Ok(());
    }
    let refused = known.as_ref().and_then(|call| call.refused.as_deref());
    let interrupted = state.pointer("/metadata/interrupted") == Some(&true.into());
    let (outcome, decision) = failed(&basics.text, interrupted, p.headless == Some(true), refused);
    event.ran(Ran {
        tool,
        input: Some(&basics.input),
        result: Told::Text(&basics.text),
        streams: Vec::new(),
        outcome,
        exit_code: None,
        duration_ms: basics.duration_ms,
        reason: Some(basics.text.clone()),
        decision,
    });
    if tool == "execute" {
        close_children(event);
    }
    Ok(())
}

/// Calls that code of the model's made are over when it is; of one that failed nothing else is told.
fn close_children(event: &mut Event<'_, '_>) {
    let Some(call) = event.claimed.tool_use_id.clone() else { return };
    let prefix = format!("{call}/");
    let open = event.known().into_iter().flat_map(Session::open_calls_by_id);
    let open = open.filter(|(id, _)| id.starts_with(&prefix));
    let open: Vec<(String, String)> = open.map(|(id, call)| (id.to_owned(), call.tool.clone())).collect();
    for (id, tool) in open {
        event.turn_to(Some(&id));
        event.ran(Ran {
            tool: &tool,
            input: None,
            result: Told::Text(""),
            streams: Vec::new(),
            outcome: Outcome::Unknown,
            exit_code: None,
            duration_ms: None,
            reason: Some("the code that called it ended, and nothing was told of this call".to_owned()),
            decision: Some(ran()),
        });
    }
}

fn by_the_user() -> RuntimeDecision {
    RuntimeDecision {
        decision: Verdict::Permit,
        by: DecidedBy::User,
        basis: Basis::Inferred,
        reason: Some("no event came before it, as for what the user runs in the session".to_owned()),
    }
}
