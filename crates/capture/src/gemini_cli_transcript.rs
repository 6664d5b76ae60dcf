//! The chat files of Gemini CLI, one JSON entry a line: `chats/session-*.jsonl` of a session, and
//! `chats/SESSION/AGENT.jsonl` of each of its sub-agents.
//!
//! A message of the model is written when it is complete, and once more with its calls when these
//! have come to an end. So a call stands here when it is over, with its id, its end and what the
//! model was given.

use crate::event::{self, TEXT, Who, flat};
use crate::gemini_cli::{RUNTIME, SURROUNDINGS, is_own, surroundings};
use crate::gemini_cli_outcome::{Known, cancelled, outcome};
use crate::gemini_cli_tools::mcp_name;
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State};
use fdr_record::{
    Agent, Body, Claimed, Context, Outcome, RecordId, Rel, SessionEnd, SessionStart, Status, Timestamp,
    preview,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// The longest piece of a message in which a hook may have shown it, for it to be known again, in
/// bytes.
const MAX_PIECE_BYTES: usize = 4_096;

/// One line, whichever of its forms it has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    /// At the beginning of a file.
    session_id: Option<String>,
    directories: Option<Vec<String>>,
    /// Of the whole file, in the form of older versions.
    messages: Option<Vec<Entry>>,
    /// What changed: all messages anew, or a date.
    #[serde(rename = "$set")]
    set: Option<Box<Entry>>,
    /// The message before which the conversation goes on.
    #[serde(rename = "$rewindTo")]
    rewind_to: Option<String>,
    id: Option<String>,
    timestamp: Option<String>,
    r#type: Option<String>,
    content: Option<Value>,
    thoughts: Option<Vec<Thought>>,
    model: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thought {
    subject: String,
    description: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToolCall {
    id: String,
    name: String,
    args: Value,
    result: Value,
    status: String,
    timestamp: Option<String>,
    /// Of the sub-agent that the call started.
    agent_id: Option<String>,
    display_name: Option<String>,
}

impl ToolCall {
    /// The name by which the call is recorded: that of an MCP server's tool says where the server's
    /// name ends, if the display name fits it.
    fn tool(&self) -> String {
        let shown = self.display_name.as_deref().unwrap_or_default();
        let parts = shown.strip_suffix(" MCP Server)").and_then(|shown| shown.rsplit_once(" ("));
        match parts {
            Some((tool, server)) if self.name == own_name(server, tool) => mcp_name(server, tool),
            _ => self.name.clone(),
        }
    }
}

/// What Gemini CLI calls the tool of a server, if that is short enough to stand whole.
fn own_name(server: &str, tool: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    format!("mcp_{server}_{tool}").chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Makes records of a piece of a chat file.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let mut lines: Vec<(u64, &[u8], Result<Entry, String>)> = Vec::new();
    // Older versions keep the whole session in one object.
    let whole = serde_json::from_slice::<Entry>(chunk.bytes).ok().filter(|entry| entry.messages.is_some());
    match whole {
        Some(entry) => lines.push((chunk.line, chunk.bytes, Ok(entry))),
        None => lines.extend(chunk.lines().map(|(number, line)| {
            (number, line, serde_json::from_slice(line).map_err(|error| error.to_string()))
        })),
    }
    let head =
        lines.iter().filter_map(|(_, _, entry)| entry.as_ref().ok()).find(|entry| entry.session_id.is_some());
    let named = head.and_then(|entry| entry.session_id.clone());
    let (session, subagent) = match folder_of_session(chunk.file) {
        Some((session, agent)) => (Some(session.to_owned()), Some(named.unwrap_or_else(|| agent.to_owned()))),
        // A later piece does not name it.
        None => {
            let known = || Some(state.file(&cap(chunk.file))?.pieces.last()?.session.clone());
            (named.or_else(known), None)
        }
    };
    let Some(session) = session.filter(|session| event::session_id(session).is_ok()) else {
        return transcript::nobodys(chunk, "it does not say of which session it is", arrival, state);
    };
    let cwd = head.and_then(|entry| entry.directories.as_ref()?.first().cloned());
    // The last form of a message has all that the ones before have.
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, (_, _, entry)) in lines.iter().enumerate() {
        if let Ok(Entry { id: Some(id), .. }) = entry {
            last.insert(id.clone(), at);
        }
    }
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading { subagent, cwd, prompt_id: None, import };
    for (at, (number, line, entry)) in lines.into_iter().enumerate() {
        match entry {
            Ok(entry) if entry.id.as_ref().is_some_and(|id| last.get(id) != Some(&at)) => {}
            Ok(entry) => reading.entry(number, entry),
            Err(error) => reading.import.unparsed(number, line, &error),
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.import.finish()
}

/// The session and the agent of a sub-agent's file: `…/chats/SESSION/AGENT.jsonl`.
fn folder_of_session(file: &str) -> Option<(&str, &str)> {
    let (folder, name) = file.rsplit_once('/')?;
    let (above, session) = folder.rsplit_once('/')?;
    let is_of_subagent = above.rsplit('/').next() == Some("chats");
    is_of_subagent.then(|| (session, name.strip_suffix(".jsonl").unwrap_or(name)))
}

struct Reading<'a, 'b, 'c> {
    /// Whose file it is, if it is not the session's own.
    subagent: Option<String>,
    /// Where it works, as far as this piece tells.
    cwd: Option<String>,
    /// The entry of the prompt that is being worked on.
    prompt_id: Option<String>,
    import: Import<'a, 'b, 'c>,
}

impl Reading<'_, '_, '_> {
    fn entry(&mut self, number: u64, entry: Entry) {
        if let Some(set) = entry.set {
            return self.entry(number, Entry { id: None, ..*set });
        }
        for message in entry.messages.into_iter().flatten() {
            self.message(number, message);
            if !self.import.has_room() {
                return;
            }
        }
        if let Some(id) = entry.rewind_to {
            let at = self.at(number, None, None, None);
            self.import.message(&at, "system", &format!("the conversation goes on from before {id}"));
        } else if entry.id.is_some() {
            let Entry { id, timestamp, r#type, content, thoughts, model, tool_calls, .. } = entry;
            let entry =
                Entry { id, timestamp, r#type, content, thoughts, model, tool_calls, ..Entry::default() };
            self.message(number, entry);
        }
    }

    fn message(&mut self, number: u64, entry: Entry) {
        let time = entry.timestamp.as_deref();
        let at = self.at(number, entry.id.clone(), time, entry.model.as_deref());
        match entry.r#type.as_deref() {
            Some("user") => self.user(&at, &entry.content.unwrap_or_default()),
            Some("gemini") => self.gemini(&at, entry),
            // Notices to the user.
            _ => {
                let text = entry.content.as_ref().map(flat).unwrap_or_default();
                if !text.is_empty() {
                    self.import.message(&at, "system", &text);
                }
            }
        }
    }

    fn at(&self, line: u64, id: Option<String>, time: Option<&str>, model: Option<&str>) -> At {
        At {
            line,
            id,
            ts: time.and_then(|time| time.parse::<Timestamp>().ok()),
            agent: self.agent(self.subagent.as_deref(), None, model),
            cwd: self.cwd.clone().or_else(|| self.known_cwd()),
            prompt_id: self.prompt_id.clone(),
            turn_id: None,
        }
    }

    /// Where the agent works, as far as earlier records tell.
    fn known_cwd(&self) -> Option<String> {
        let known = self.import.known()?;
        let of = |agent: &str| known.agent(&cap(agent))?.cwd.clone();
        self.subagent.as_deref().and_then(of).or_else(|| of(&self.import.session))
    }

    fn agent(&self, subagent: Option<&str>, kind: Option<&str>, model: Option<&str>) -> Agent {
        let who = Who { session: &self.import.session, subagent, kind, model, ..Who::default() };
        event::agent(RUNTIME.name, &who, &self.import.writer)
    }

    fn user(&mut self, at: &At, content: &Value) {
        let parts = content.as_array().map_or(std::slice::from_ref(content), Vec::as_slice);
        // What came of calls stands with the calls.
        let texts = parts.iter().filter(|part| part.get("functionResponse").is_none()).map(flat);
        let texts: Vec<String> = texts.filter(|text| !text.trim().is_empty()).collect();
        for (number, text) in texts.iter().enumerate() {
            let (around, text) = surroundings(text);
            if let Some(cwd) = self.cwd.is_none().then(|| first_folder(around)).flatten() {
                self.cwd = Some(cwd.to_owned());
            }
            for (what, text) in [(Some("session_context"), around), (self.what(number, text), text)] {
                if !text.is_empty() {
                    // Each part of an entry is known by a name of its own.
                    let id = at.id.as_ref().map(|id| match number {
                        0 => id.clone(),
                        number => format!("{id}#{number}"),
                    });
                    if what.is_none() {
                        self.prompt_id.clone_from(&id);
                    }
                    let cwd = at.cwd.clone().or_else(|| self.cwd.clone());
                    let at = At { id, cwd, prompt_id: self.prompt_id.clone(), ..at.clone() };
                    self.import.prompt(&at, text, what);
                }
            }
        }
    }

    /// The word for a text that the model was given and that no person typed.
    fn what(&self, number: usize, text: &str) -> Option<&'static str> {
        if self.subagent.is_some() {
            // It comes from the agent that started this one, or from the runtime.
            return Some("delegation");
        }
        if text.starts_with("<state_snapshot>") {
            return Some("compaction");
        }
        // What stands behind a prompt was put there: files that it names, words of hooks.
        (number > 0 || is_own(text) || text.starts_with(SURROUNDINGS.0)).then_some("model_input")
    }

    fn gemini(&mut self, at: &At, entry: Entry) {
        let thinking: Vec<String> = entry
            .thoughts
            .iter()
            .flatten()
            .map(|thought| match (thought.subject.as_str(), thought.description.as_str()) {
                ("", text) | (text, "") => text.to_owned(),
                (subject, text) => format!("{subject}: {text}"),
            })
            .collect();
        let calls = entry.tool_calls.unwrap_or_default();
        let mut said = Said {
            text: entry.content.as_ref().map(flat).unwrap_or_default(),
            thinking: thinking.join("\n"),
            calls: calls
                .iter()
                .map(|call| Asked { id: Some(call.id.clone()), tool: call.tool(), input: call.args.clone() })
                .collect(),
        };
        if said.calls.is_empty() {
            if self.is_text(&said.thinking) {
                // A hook showed it.
                said.thinking.clear();
            }
            if said.thinking.is_empty() && self.was_streamed(&said.text) {
                return;
            }
        }
        let is_new = self.import.is_new(at);
        self.import.said(at, said);
        for call in &calls {
            if !self.import.has_room() {
                return;
            }
            self.came(at, call, is_new);
        }
    }

    /// Whether a hook showed the text in pieces as it came: it did so for the first one.
    fn was_streamed(&self, text: &str) -> bool {
        let ends =
            text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_PIECE_BYTES);
        self.import.known().is_some_and(|known| known.tells_pieces)
            && ends.into_iter().any(|end| self.is_text(&text[..end]))
    }

    fn is_text(&self, text: &str) -> bool {
        let key = self.import.writer.arrival.content_key;
        let digest = key.seal(&self.import.session, "text", TEXT, text.as_bytes().to_vec()).0.digest;
        self.import.known().is_some_and(|known| known.has_text(&digest))
    }

    fn came(&mut self, at: &At, call: &ToolCall, is_new: bool) {
        let given: Vec<String> = call.result.as_array().into_iter().flatten().filter_map(given).collect();
        let text = given.join("\n");
        let tool = call.tool();
        let known = self.import.call(&call.id).cloned();
        let in_place = self.import.known().is_some_and(|known| known.tells_results);
        let heard = Known {
            failed: call.status == "error",
            ran: false,
            begun: known.as_ref().is_some_and(|call| call.is_from_hook()),
            in_place,
        };
        let (outcome, exit_code, decision) = match call.status.as_str() {
            "success" | "error" => outcome(&tool, &text, heard),
            "cancelled" => {
                let (outcome, decision) = cancelled(&text);
                (outcome, None, decision)
            }
            // It is not over.
            _ => return,
        };
        let ended = call.timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let at = At { ts: ended.or(at.ts), ..at.clone() };
        let came = Came {
            call: Some(call.id.clone()),
            tool,
            text: text.clone(),
            outcome,
            exit_code,
            duration_ms: None,
            decision,
        };
        let action = self.import.call(&call.id).map(|call| call.action);
        let is_first = self.import.came(&at, &came, is_new);
        if !is_first && let Some(known) = &known {
            self.saw(&at, call, known, text);
        }
        if let (Some(agent), Some(action)) = (&call.agent_id, action) {
            self.delegated(&at, call, agent, action, outcome);
        }
    }

    /// What the model was given, if it is something else than what the hook was told that came of
    /// the call: it may be cut, or other hooks may have added to it.
    fn saw(&mut self, at: &At, call: &ToolCall, known: &crate::Call, text: String) {
        let (len, shown) = (text.len() as u64, preview(&text));
        let reference = self.import.content("result", TEXT, text.into_bytes());
        if known.seen.is_some() || known.result.is_none() || known.result == reference.digest_bytes() {
            return;
        }
        let body = Context {
            what: "tool_result".to_owned(),
            len: Some(len),
            preview: Some(shown),
            ..Context::default()
        };
        let name = self.import.known().and_then(|session| session.name_of(&cap(&call.id)));
        let name = name.map_or_else(|| cap(&call.id), str::to_owned);
        let inferred = name != call.id;
        let claimed = self.import.claimed(at);
        let claimed = Claimed { tool_use_id: Some(name), inferred, message_id: None, ..claimed };
        let links = vec![link(Rel::CausedBy, known.action)];
        self.import.add(at, claimed, links, Body::Context(body), vec![reference]);
    }

    /// The call started a sub-agent, which has come to its end by now, and whose file stands in a
    /// folder beside this one.
    fn delegated(&mut self, at: &At, call: &ToolCall, agent: &str, action: RecordId, outcome: Outcome) {
        let known = self.import.known().and_then(|known| known.agent(&cap(agent)));
        if known.is_some_and(|known| known.delegated) {
            return;
        }
        let (actions, denied) = known.map_or((0, 0), |known| (known.actions, known.denied));
        let folder = self.import.chunk.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = match &self.subagent {
            Some(_) => folder.to_owned(),
            None => format!("{folder}/{}", self.import.session),
        };
        let start = SessionStart {
            source: Some("subagent".to_owned()),
            transcript: Some(cap(&format!("{folder}/{agent}.jsonl"))),
            ..SessionStart::default()
        };
        let status = match outcome {
            Outcome::Ok => Status::Success,
            Outcome::Interrupted => Status::Interrupted,
            _ => Status::Failed,
        };
        let end = SessionEnd { status, reason: None, actions, denied };
        let kind = call.args.get("agent_name").and_then(Value::as_str);
        let parent = Some(at.agent.id.clone());
        let at = At { agent: Agent { parent, ..self.agent(Some(agent), kind, None) }, ..at.clone() };
        // No entry of this file is taken in by these.
        let claimed = Claimed { message_id: None, line: None, ..self.import.claimed(&at) };
        let links = vec![link(Rel::DelegatedBy, action)];
        self.import.add(&at, claimed.clone(), links, Body::SessionStart(start), Vec::new());
        self.import.add(&at, claimed, Vec::new(), Body::SessionEnd(end), Vec::new());
    }
}

/// What the model was given by one part of a result.
fn given(part: &Value) -> Option<String> {
    let response = part.get("functionResponse")?.get("response")?;
    let text = response.get("error").or_else(|| response.get("output"));
    Some(text.map_or_else(|| response.to_string(), flat))
}

/// The first of the folders that the surroundings list.
fn first_folder(surroundings: &str) -> Option<&str> {
    let (_, after) = surroundings.split_once("Workspace Directories:**")?;
    after.lines().find_map(|line| line.trim_start().strip_prefix("- ")).map(str::trim)
}
