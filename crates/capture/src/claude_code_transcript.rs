//! The transcripts that Claude Code keeps on disk, one JSON entry a line.

use crate::claude_code::{RUNTIME, version};
use crate::claude_code_outcome::{Known, denial_kind, exit_code, outcome};
use crate::event::{self, Who, canonical, delegated, flat, ran};
use crate::state::ROLE_INTERRUPT;
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::cap;
use crate::{Arrival, Captured, State};
use fdr_record::{Agent, Basis, Outcome, RuntimeDecision, Timestamp, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// The model that Claude Code names for messages of its own.
const SYNTHETIC: &str = "<synthetic>";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    r#type: String,
    uuid: Option<String>,
    session_id: Option<String>,
    agent_id: Option<String>,
    timestamp: Option<String>,
    version: Option<String>,
    cwd: Option<String>,
    prompt_id: Option<String>,
    message: Option<Value>,
    attachment: Option<Value>,
    content: Option<Value>,
    is_meta: Option<bool>,
    is_compact_summary: Option<bool>,
    tool_use_result: Option<Value>,
    tool_denial_kind: Option<String>,
}

/// One message of the model: the entries of a transcript with the same message id.
#[derive(Default)]
struct Message {
    /// Where its first entry stands.
    at: Option<At>,
    id: String,
    /// Id of the sub-agent that said it.
    agent: Option<String>,
    said: Said,
}

/// Makes records of a piece of a transcript.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    // A file that goes on with an older session begins with entries of that one.
    let session = chunk.lines().rev().find_map(|(_, line)| {
        let entry = serde_json::from_slice::<Entry>(line).ok()?;
        entry.session_id.filter(|session| event::session_id(session).is_ok())
    });
    let Some(session) = session else {
        return transcript::nobodys(chunk, "no entry of it names its session", arrival, state);
    };
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading { prompt_id: None, message: Message::default(), import };
    for (number, line) in chunk.lines() {
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => reading.entry(number, entry),
            Err(error) => {
                reading.message_ends();
                reading.import.unparsed(number, line, &error.to_string());
            }
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.message_ends();
    reading.import.session = session;
    reading.import.finish()
}

struct Reading<'a, 'b, 'c> {
    /// The runtime's id of the prompt that is being worked on.
    prompt_id: Option<String>,
    message: Message,
    import: Import<'a, 'b, 'c>,
}

impl Reading<'_, '_, '_> {
    fn entry(&mut self, number: u64, entry: Entry) {
        if let Some(session) = entry.session_id.as_deref().filter(|id| event::session_id(id).is_ok())
            && self.import.session != session
        {
            self.message_ends();
            self.import.session = session.to_owned();
        }
        if entry.r#type == "assistant" {
            return self.assistant(number, entry);
        }
        self.message_ends();
        if let Some(prompt_id) = &entry.prompt_id {
            self.prompt_id = Some(cap(prompt_id));
        }
        match entry.r#type.as_str() {
            "user" => self.user(number, &entry),
            "attachment" => self.attachment(number, &entry),
            "system" => {
                let text = entry.content.as_ref().map(flat).unwrap_or_default();
                self.import.message(&self.at(number, &entry, None), "system", &text);
            }
            // Book-keeping of the runtime (queue, titles, file snapshots); in the whole file.
            _ => {}
        }
    }

    fn at(&self, number: u64, entry: &Entry, model: Option<&str>) -> At {
        At {
            line: number,
            id: entry.uuid.clone(),
            ts: entry.timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok()),
            agent: self.agent(entry.agent_id.as_deref(), None, entry.version.clone(), model),
            cwd: entry.cwd.clone(),
            prompt_id: entry.prompt_id.clone(),
            turn_id: None,
        }
    }

    fn agent(
        &self,
        subagent: Option<&str>,
        kind: Option<&str>,
        version: Option<String>,
        model: Option<&str>,
    ) -> Agent {
        let version = version.or_else(|| self::version(self.import.writer.arrival));
        let who = Who { session: &self.import.session, subagent, kind, version, model, ..Who::default() };
        event::agent(RUNTIME.name, &who, &self.import.writer)
    }

    fn assistant(&mut self, number: u64, mut entry: Entry) {
        let message = entry.message.take().unwrap_or_default();
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
        let same = self.message.id == id && !id.is_empty();
        if !(same && self.message.at.is_some() && self.message.agent == entry.agent_id) {
            self.message_ends();
        }
        let model = message.get("model").and_then(Value::as_str).filter(|model| *model != SYNTHETIC);
        match &mut self.message.at {
            Some(at) => at.agent.model = model.map(cap).or(at.agent.model.take()),
            None => {
                let at = self.at(number, &entry, model);
                // What it answers stands in the entries before.
                self.message.at = Some(At { prompt_id: entry.prompt_id.or(self.prompt_id.clone()), ..at });
                self.message.id = id.to_owned();
                self.message.agent = entry.agent_id;
            }
        }
        let said = &mut self.message.said;
        for part in message.get("content").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
            match text("type") {
                "text" => append(&mut said.text, text("text")),
                "thinking" => append(&mut said.thinking, text("thinking")),
                "tool_use" => said.calls.push(Asked {
                    id: Some(text("id").to_owned()),
                    tool: text("name").to_owned(),
                    input: part.get("input").cloned().unwrap_or_default(),
                }),
                _ => {}
            }
        }
    }

    /// Writes what the model said and asked for in the message that just ended.
    fn message_ends(&mut self) {
        let message = std::mem::take(&mut self.message);
        if let Some(at) = message.at {
            self.import.said(&at, message.said);
        }
    }

    fn user(&mut self, number: u64, entry: &Entry) {
        let content = entry.message.as_ref().and_then(|message| message.get("content"));
        let content = content.cloned().unwrap_or_default();
        let parts = content.as_array().map_or(&[][..], Vec::as_slice);
        let at = self.at(number, entry, None);
        let mut results =
            parts.iter().filter(|part| part.get("type") == Some(&"tool_result".into())).peekable();
        if results.peek().is_some() {
            let is_new = self.import.is_new(&at);
            for result in results {
                // Of an entry with many results, some may be taken in and others not.
                if self.import.has_room() {
                    self.result(&at, entry, result, is_new);
                }
            }
            return;
        }
        let text = flat(&content);
        if text.starts_with("[Request interrupted by user") {
            return self.import.message(&at, ROLE_INTERRUPT, &text);
        }
        let what = match (entry.is_compact_summary, entry.is_meta) {
            (Some(true), _) => Some("compaction"),
            (_, Some(true)) => Some("meta"),
            // What a sub-agent is asked comes from its parent, not from a person.
            _ => entry.agent_id.as_ref().map(|_| "delegation"),
        };
        self.import.prompt(&at, &text, what);
    }

    fn result(&mut self, at: &At, entry: &Entry, result: &Value, is_new: bool) {
        let id = result.get("tool_use_id").and_then(Value::as_str).unwrap_or_default();
        let text = result.get("content").map(flat).unwrap_or_default();
        let is_error = result.get("is_error").and_then(Value::as_bool) == Some(true);
        let more = entry.tool_use_result.as_ref();
        let interrupted = more.and_then(|more| more.get("interrupted")) == Some(&Value::Bool(true));
        let (outcome, decision) = match (is_error, entry.tool_denial_kind.as_deref()) {
            _ if interrupted => (Outcome::Interrupted, Some(ran())),
            (false, _) => (Outcome::Ok, Some(ran())),
            (true, Some(kind)) => {
                let decision = RuntimeDecision {
                    decision: Verdict::Deny,
                    by: denial_kind(kind),
                    basis: Basis::Stated,
                    reason: Some(cap(&text)),
                };
                (Outcome::Denied, Some(decision))
            }
            (true, None) => match outcome(&text, Known::default()) {
                (Outcome::Unknown, _) => (Outcome::Error, None),
                told => told,
            },
        };
        let came = Came {
            call: Some(id.to_owned()),
            tool: String::new(),
            exit_code: exit_code(&text).filter(|_| is_error),
            text,
            outcome,
            duration_ms: None,
            decision,
        };
        let call = self.import.call(id).map(|call| call.action);
        if !self.import.came(at, &came, is_new) {
            return;
        }
        let text = |key: &str| more.and_then(|more| more.get(key)).and_then(Value::as_str);
        if let (Some(started), Some(action)) = (text("agentId"), call) {
            let claimed = self.import.claimed(at);
            let (session, version) = (self.import.session.clone(), at.agent.version.clone());
            let who = Who {
                session: &session,
                subagent: Some(started),
                kind: text("agentType"),
                version,
                ..Who::default()
            };
            let raw = self.import.content("result", "text/plain", came.text.into_bytes());
            delegated(&mut self.import.writer, RUNTIME.name, &who, action, &claimed, &raw);
        }
    }

    fn attachment(&mut self, number: u64, entry: &Entry) {
        let attachment = entry.attachment.clone().unwrap_or_default();
        let text = |key: &str| attachment.get(key).and_then(Value::as_str);
        let shown = ["content", "stdout"].iter().filter_map(|key| attachment.get(key)).map(flat);
        let shown = shown.into_iter().find(|text| !text.is_empty());
        let shown = shown.unwrap_or_else(|| attachment.to_string());
        let at = self.at(number, entry, None);
        let what = text("type").unwrap_or("attachment");
        self.import.context(&at, what, &shown, text("toolUseID"), canonical(&attachment));
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
