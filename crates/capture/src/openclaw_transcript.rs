//! The transcripts that OpenClaw keeps: one JSON entry a line, as older versions wrote them to
//! `<session>.jsonl`, and as the rows of a session in the database of an agent are read out.

use crate::event::{self, Who, canonical, flat};
use crate::openclaw::{RUNTIME, outcome};
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::cap;
use crate::{Arrival, Captured, State};
use fdr_record::Timestamp;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    r#type: String,
    id: Option<String>,
    timestamp: Option<String>,
    cwd: Option<String>,
    message: Option<Value>,
    custom_type: Option<String>,
    content: Option<Value>,
    summary: Option<String>,
    display: Option<bool>,
}

/// Makes records of a piece of a transcript.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let head = chunk.lines().next().and_then(|(_, line)| serde_json::from_slice::<Entry>(line).ok());
    let head = head.filter(|entry| entry.r#type == "session");
    let session = head.as_ref().and_then(|head| head.id.clone()).or_else(|| named(chunk.file));
    let Some(session) = session.filter(|id| event::session_id(id).is_ok()) else {
        return transcript::nobodys(
            chunk,
            "neither its first entry nor its name tells the session",
            arrival,
            state,
        );
    };
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading { cwd: head.and_then(|head| head.cwd), import };
    for (number, line) in chunk.lines() {
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => reading.entry(number, &entry),
            Err(error) => reading.import.unparsed(number, line, &error.to_string()),
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.import.finish()
}

/// The session in the name of a transcript: `…/openclaw-agent.sqlite#SESSION` or `…/SESSION.jsonl`.
fn named(file: &str) -> Option<String> {
    let name = match file.rsplit_once('#') {
        Some((_, session)) => session,
        None => file.rsplit('/').next()?.strip_suffix(".jsonl")?,
    };
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

struct Reading<'a, 'b, 'c> {
    /// Where the session works, as its first entry says.
    cwd: Option<String>,
    import: Import<'a, 'b, 'c>,
}

impl Reading<'_, '_, '_> {
    fn entry(&mut self, number: u64, entry: &Entry) {
        let message = entry.message.as_ref();
        let text = |key: &str| message.and_then(|message| message.get(key)).and_then(Value::as_str);
        match (entry.r#type.as_str(), text("role")) {
            ("message", Some("assistant")) => {
                let model =
                    [text("provider"), text("model")].into_iter().flatten().collect::<Vec<_>>().join("/");
                let at = self.at(number, entry, Some(&model).filter(|model| !model.is_empty()));
                self.import.said(&at, said(message.and_then(|message| message.get("content"))));
            }
            ("message", Some("toolResult")) => self.result(number, entry),
            ("message", Some("user")) => {
                let at = self.at(number, entry, None);
                let hidden = message.and_then(|message| message.get("display")) == Some(&Value::Bool(false));
                // What a sub-agent is asked comes from its parent, what is not shown from the runtime.
                let what = match (at.agent.parent.is_some(), hidden) {
                    (true, _) => Some("delegation"),
                    (false, true) => Some("meta"),
                    (false, false) => None,
                };
                let content = message.and_then(|message| message.get("content")).map(flat);
                self.import.prompt(&at, &content.unwrap_or_default(), what);
            }
            ("compaction" | "branch_summary" | "reset", _) => {
                let at = self.at(number, entry, None);
                let summary = entry.summary.clone().unwrap_or_default();
                self.import.context(&at, "compaction", &summary, None, summary.clone().into_bytes());
            }
            ("custom_message", _) if entry.display != Some(true) || entry.content.is_some() => {
                let at = self.at(number, entry, None);
                let content = entry.content.clone().unwrap_or_default();
                let what = entry.custom_type.as_deref().unwrap_or("custom_message");
                self.import.context(&at, what, &flat(&content), None, canonical(&content));
            }
            // Book-keeping of the runtime (model, cache); in the whole file.
            _ => {}
        }
    }

    fn at(&self, number: u64, entry: &Entry, model: Option<&String>) -> At {
        let who = Who { session: &self.import.session, model: model.map(String::as_str), ..Who::default() };
        let run = entry.message.as_ref().and_then(|message| message.pointer("/__openclaw/runId"));
        At {
            line: number,
            id: entry.id.clone(),
            ts: entry.timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok()),
            agent: event::agent(RUNTIME.name, &who, &self.import.writer),
            cwd: self.cwd.as_deref().map(cap),
            prompt_id: run.and_then(Value::as_str).map(cap),
            turn_id: None,
        }
    }

    fn result(&mut self, number: u64, entry: &Entry) {
        let message = entry.message.clone().unwrap_or_default();
        let word = |key: &str| message.get(key).and_then(Value::as_str);
        let at = self.at(number, entry, None);
        let text = flat(message.get("content").unwrap_or(&Value::Null));
        let failed = message.get("isError") == Some(&Value::Bool(true));
        let told = message.pointer("/details/error").and_then(Value::as_str);
        let (outcome, decision) = outcome(failed.then(|| told.unwrap_or(&text)), &text, &message);
        let came = Came {
            call: word("toolCallId").map(str::to_owned),
            tool: word("toolName").unwrap_or_default().to_owned(),
            exit_code: message.pointer("/details/exitCode").and_then(Value::as_i64),
            duration_ms: message.pointer("/details/durationMs").and_then(Value::as_u64),
            text,
            outcome,
            decision,
        };
        let is_new = self.import.is_new(&at);
        self.import.came(&at, &came, is_new);
    }
}

/// The parts of what the model said.
fn said(content: Option<&Value>) -> Said {
    let mut said = Said::default();
    if let Some(text) = content.and_then(Value::as_str) {
        said.text = text.to_owned();
    }
    for part in content.and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => append(&mut said.text, text("text")),
            "thinking" => append(&mut said.thinking, text("thinking")),
            "toolCall" => said.calls.push(Asked {
                id: Some(text("id").to_owned()),
                tool: text("name").to_owned(),
                input: part.get("arguments").cloned().unwrap_or_default(),
            }),
            _ => {}
        }
    }
    said
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
