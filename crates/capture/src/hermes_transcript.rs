//! The conversations that Hermes Agent keeps in its database, as JSON lines: one for the session,
//! then one for each message, in the order in which they were written. The reader of the database
//! (`fdr`, `transcript_store/hermes.rs`) makes the lines of what stands fast once it is written.

use crate::event::{self, Who, canonical, flat};
use crate::hermes::{RUNTIME, ToolResult, is_own};
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::cap;
use crate::{Arrival, Captured, State};
use fdr_record::{
    Agent, Basis, Body, Claimed, DecidedBy, Outcome, RuntimeDecision, SessionStart, Timestamp, Verdict,
};
use serde::Deserialize;
use serde_json::Value;

/// What content that is no text begins with in the database, before its JSON.
const STRUCTURED: &str = "\u{0}json:";
/// How Hermes frames the results of tools whose words it does not trust.
const FRAME: (&str, &str) = ("<untrusted_tool_result source=", "\n</untrusted_tool_result>");

/// One line: a row of the table `session` or `message`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    table: String,
    id: Value,
    session_id: Option<String>,
    parent_session_id: Option<String>,
    source: Option<String>,
    role: Option<String>,
    content: Option<String>,
    tool_call_id: Option<String>,
    /// JSON in a text.
    tool_calls: Option<String>,
    tool_name: Option<String>,
    /// Seconds since 1970.
    timestamp: Option<f64>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

impl Row {
    fn session(&self) -> Option<&str> {
        let session = if self.table == "session" { self.id.as_str() } else { self.session_id.as_deref() };
        session.filter(|session| event::session_id(session).is_ok())
    }

    fn text(&self) -> String {
        let content = self.content.as_deref().unwrap_or_default();
        let structured = content.strip_prefix(STRUCTURED);
        let structured = structured.and_then(|json| serde_json::from_str::<Value>(json).ok());
        structured.map_or_else(|| content.to_owned(), |value| flat(&value))
    }

    fn calls(&self) -> Vec<Asked> {
        let calls = self.tool_calls.as_deref().and_then(|calls| serde_json::from_str::<Value>(calls).ok());
        let calls = calls.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        calls.iter().map(asked).collect()
    }
}

fn asked(call: &Value) -> Asked {
    let function = call.get("function").unwrap_or(call);
    let input = match function.get("arguments") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        other => other.cloned().unwrap_or_default(),
    };
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
    let id = call.get("id").and_then(Value::as_str).map(str::to_owned);
    // Through this one it calls tools that it seldom needs; the hooks are told of those themselves.
    match (name, input.get("name").and_then(Value::as_str), input.get("arguments")) {
        ("tool_call", Some(tool), Some(arguments)) => {
            Asked { id, tool: tool.to_owned(), input: arguments.clone() }
        }
        _ => Asked { id, tool: name.to_owned(), input },
    }
}

/// Makes records of a piece of the database.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let rows: Vec<(u64, &[u8], Result<Row, String>)> = chunk
        .lines()
        .map(|(number, line)| (number, line, serde_json::from_slice(line).map_err(|error| error.to_string())))
        .collect();
    let mut read = rows.iter().filter_map(|(_, _, row)| row.as_ref().ok());
    let Some(session) = read.find_map(|row| row.session().map(str::to_owned)) else {
        return transcript::nobodys(chunk, "no row of it names its session", arrival, state);
    };
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading { import };
    for (number, line, row) in rows {
        match row {
            Ok(row) => {
                if let Some(session) = row.session() {
                    session.clone_into(&mut reading.import.session);
                }
                reading.row(number, &row);
            }
            Err(error) => reading.import.unparsed(number, line, &error),
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.import.session = session;
    reading.import.finish()
}

struct Reading<'a, 'b, 'c> {
    import: Import<'a, 'b, 'c>,
}

impl Reading<'_, '_, '_> {
    fn row(&mut self, number: u64, row: &Row) {
        let at = self.at(number, row);
        match row.role.as_deref() {
            None if row.table == "session" => self.begins(&at, row),
            Some("assistant") => {
                let (text, calls) = (row.text(), row.calls());
                // What is kept of a conversation that became too long is written anew.
                let is_told = |asked: &Asked| {
                    let call = asked.id.as_deref().and_then(|id| self.import.call(id));
                    call.is_some_and(|call| call.decided)
                };
                if !calls.is_empty() && calls.iter().all(is_told) {
                    return;
                }
                let thinking = row.reasoning_content.clone().or(row.reasoning.clone()).unwrap_or_default();
                self.import.said(&at, Said { text, thinking, calls });
            }
            Some("user") => {
                let text = row.text();
                let is_subagents = at.agent.parent.is_some();
                let what = if is_subagents { Some("delegation") } else { is_own(&text).then_some("meta") };
                self.import.prompt(&at, &text, what);
            }
            Some("tool") => self.result(&at, row),
            Some(role) => self.import.message(&at, &cap(role), &row.text()),
            None => {
                let row = serde_json::json!({ "table": row.table, "id": row.id });
                self.import.context(&at, "row", &row.to_string(), None, canonical(&row));
            }
        }
    }

    fn at(&self, number: u64, row: &Row) -> At {
        let session = self.import.session.as_str();
        let parent = row.parent_session_id.as_deref();
        let who = Who { session, parent, ..Who::default() };
        let agent: Agent = event::agent(RUNTIME.name, &who, &self.import.writer);
        At {
            line: number,
            id: (row.table != "session").then(|| format!("row:{}", row.id)),
            // A float that is no time, or one before 1970, saturates.
            ts: row.timestamp.map(|seconds| Timestamp(((seconds * 1e6) as u64).saturating_mul(1000))),
            agent,
            cwd: None,
            prompt_id: None,
            turn_id: None,
        }
    }

    /// A session that no hook told of.
    fn begins(&mut self, at: &At, row: &Row) {
        let is_known = self.import.known().is_some_and(|known| known.agent(&at.agent.id).is_some());
        if is_known {
            return;
        }
        let body = SessionStart { source: row.source.as_deref().map(cap), ..SessionStart::default() };
        let claimed = Claimed { message_id: None, ..self.import.claimed(at) };
        self.import.add(at, claimed, Vec::new(), Body::SessionStart(body), Vec::new());
    }

    fn result(&mut self, at: &At, row: &Row) {
        let text = row.text();
        let told = ToolResult::of(unframed(&text));
        let (outcome, decision) = match () {
            () if text.starts_with("[Tool execution ") => (Outcome::Interrupted, None),
            () if never_ran(&text) => {
                let decision = RuntimeDecision {
                    decision: Verdict::Deny,
                    by: DecidedBy::Runtime,
                    basis: Basis::Stated,
                    reason: Some(cap(&text)),
                };
                (Outcome::Rejected, Some(decision))
            }
            () if told.is_ours() => {
                let decision = RuntimeDecision {
                    decision: Verdict::Deny,
                    by: DecidedBy::Hook,
                    basis: Basis::Inferred,
                    reason: Some(cap(&text)),
                };
                (Outcome::Denied, Some(decision))
            }
            () => told.outcome(row.tool_name.as_deref().unwrap_or_default()),
        };
        let came = Came {
            call: row.tool_call_id.clone(),
            tool: row.tool_name.clone().unwrap_or_default(),
            // Of a command that did not run it is -1.
            exit_code: told.exit_code.filter(|_| outcome != Outcome::Denied),
            text,
            outcome,
            duration_ms: None,
            decision,
        };
        let is_new = self.import.is_new(at);
        self.import.came(at, &came, is_new);
    }
}

/// Whether this is what the model is told of a call that Hermes could make nothing of.
fn never_ran(text: &str) -> bool {
    text.starts_with("Tool '") && text.contains("' does not exist.")
        || text.starts_with("Error: Invalid JSON arguments")
        || text.starts_with("Skipped: other tool call")
}

/// The result inside the frame, if it has one.
fn unframed(text: &str) -> &str {
    let inside = text.strip_prefix(FRAME.0).and_then(|text| text.strip_suffix(FRAME.1));
    inside.and_then(|text| text.split_once("\n\n")).map_or(text, |(_, inside)| inside)
}
