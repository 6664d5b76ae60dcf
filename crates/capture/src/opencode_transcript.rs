//! The sessions that OpenCode keeps in its database, as they are read out of it: a line for the
//! session, then one for each message that is finished, with its parts.

use crate::event::{self, Who, delegated};
use crate::opencode::{RUNTIME, written};
use crate::opencode_outcome::{Basics, exit_code, failed, finished};
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::cap;
use crate::{Arrival, Captured, State};
use fdr_record::{Outcome, Timestamp};
use serde::Deserialize;
use serde_json::Value;

/// What OpenCode writes above what its user ran in the session.
const RUN_BY_THE_USER: &str = "The following tool was executed by the user";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    table: String,
    id: String,
    session_id: String,
    parent_id: Option<String>,
    directory: Option<String>,
    version: Option<String>,
    /// In milliseconds since 1970.
    time_created: u64,
    data: Value,
    parts: Vec<Part>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    id: String,
    data: Value,
}

impl Line {
    fn word(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }
}

impl Part {
    fn word(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }

    fn is(&self, kind: &str) -> bool {
        self.word("type") == Some(kind)
    }
}

/// Makes records of a piece of a session.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let session = chunk.lines().find_map(|(_, line)| {
        let line = serde_json::from_slice::<Line>(line).ok()?;
        let id = if line.table == "session" { line.id } else { line.session_id };
        Some(id).filter(|id| event::session_id(id).is_ok())
    });
    let Some(session) = session else {
        return transcript::nobodys(chunk, "no line of it names its session", arrival, state);
    };
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading { parent: None, directory: None, version: None, ran_by: None, import };
    for (number, line) in chunk.lines() {
        match serde_json::from_slice::<Line>(line) {
            Ok(line) => reading.line(number, line),
            Err(error) => reading.import.unparsed(number, line, &error.to_string()),
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.import.finish()
}

struct Reading<'a, 'b, 'c> {
    /// Where the session comes from and works, as its first line says.
    parent: Option<String>,
    directory: Option<String>,
    version: Option<String>,
    /// Id of the newest message that says that the user ran something.
    ran_by: Option<String>,
    import: Import<'a, 'b, 'c>,
}

impl Reading<'_, '_, '_> {
    fn line(&mut self, number: u64, line: Line) {
        match (line.table.as_str(), line.word("role")) {
            ("session", _) => {
                self.parent = line.parent_id;
                self.directory = line.directory;
                self.version = line.version;
            }
            ("message", Some("user")) => self.user(number, &line),
            ("message", Some("assistant")) => self.assistant(number, &line),
            // What a later version keeps besides; in the whole file.
            _ => {}
        }
    }

    fn at(&self, number: u64, line: &Line) -> At {
        let model = line.word("providerID").zip(line.word("modelID"));
        let model = model.map(|(provider, model)| format!("{provider}/{model}"));
        let session = &self.import.session;
        let known = self.import.known().and_then(|known| known.agent(session));
        let parent = self.parent.clone().or_else(|| known?.agent.parent.clone());
        let who = Who {
            session,
            parent: parent.as_deref(),
            kind: parent.as_ref().and(line.word("agent")),
            version: self.version.clone(),
            model: model.as_deref(),
            ..Who::default()
        };
        let cwd = line.data.pointer("/path/cwd").and_then(Value::as_str);
        let prompt =
            if line.word("role") == Some("user") { Some(line.id.as_str()) } else { line.word("parentID") };
        At {
            line: number,
            id: Some(line.id.clone()).filter(|id| !id.is_empty()),
            ts: Some(Timestamp(line.time_created.saturating_mul(1_000_000))),
            agent: event::agent(RUNTIME.name, &who, &self.import.writer),
            cwd: cwd.or(self.directory.as_deref()).map(cap),
            prompt_id: prompt.map(cap),
            turn_id: None,
        }
    }

    fn user(&mut self, number: u64, line: &Line) {
        if line.parts.iter().any(|part| part.word("text") == Some(RUN_BY_THE_USER)) {
            self.ran_by = Some(line.id.clone());
        }
        let text = written(line.parts.iter().map(|part| &part.data));
        if text.is_empty() {
            return;
        }
        let at = self.at(number, line);
        // What a sub-agent is asked comes from its parent, not from a person.
        let what = at.agent.parent.as_ref().map(|_| "delegation");
        self.import.prompt(&at, &text, what);
    }

    fn assistant(&mut self, number: u64, line: &Line) {
        let at = self.at(number, line);
        let is_new = self.import.is_new(&at);
        if line.data.get("summary") == Some(&true.into()) {
            let summary = written(line.parts.iter().map(|part| &part.data));
            return self.import.context(&at, "compaction", &summary, None, summary.clone().into_bytes());
        }
        let mut said = Said::default();
        for part in &line.parts {
            match part.word("type") {
                Some("text") => append(&mut said.text, part.word("text").unwrap_or_default()),
                Some("reasoning") => append(&mut said.thinking, part.word("text").unwrap_or_default()),
                Some("tool") => said.calls.push(Asked {
                    id: Some(self.call_id(part)),
                    tool: part.word("tool").unwrap_or_default().to_owned(),
                    input: part.data.pointer("/state/input").cloned().unwrap_or_default(),
                }),
                _ => {}
            }
        }
        if self.ran_by.is_some() && self.ran_by.as_deref() == line.word("parentID") {
            // The user ran it; the model decided nothing.
            let shown = said.calls.first().map(|asked| asked.input.to_string()).unwrap_or_default();
            let call = said.calls.first().and_then(|asked| asked.id.clone());
            self.import.context(&at, "run_by_the_user", &shown, call.as_deref(), shown.clone().into_bytes());
            return;
        }
        self.import.said(&at, said);
        for part in line.parts.iter().filter(|part| part.is("tool")) {
            // Of a message with many calls, some may be taken in and others not.
            if self.import.has_room() {
                self.result(&at, part, is_new);
            }
        }
    }

    /// The id by which the hooks know a call; that of its part, where a command started a sub-task.
    fn call_id(&self, part: &Part) -> String {
        let by_part = self.import.call(&part.id).is_some();
        if by_part { part.id.clone() } else { part.word("callID").unwrap_or_default().to_owned() }
    }

    fn result(&mut self, at: &At, part: &Part, is_new: bool) {
        let (id, tool) = (self.call_id(part), part.word("tool").unwrap_or_default());
        let state = part.data.get("state").cloned().unwrap_or_default();
        let metadata = state.get("metadata").unwrap_or(&Value::Null);
        let basics = Basics::of(&state);
        let call = self.import.call(&id).cloned();
        let (outcome, decision) = match state.get("status").and_then(Value::as_str) {
            Some("completed") => {
                let (outcome, _, decision) = finished(tool, &basics.text, &state);
                (outcome, decision)
            }
            Some("error") => {
                let interrupted = metadata.get("interrupted") == Some(&true.into());
                let refused = call.as_ref().and_then(|call| call.refused.as_deref());
                failed(&basics.text, interrupted, false, refused)
            }
            // The process ended before the call did.
            _ => (Outcome::Interrupted, None),
        };
        let came = Came {
            call: Some(id),
            tool: tool.to_owned(),
            exit_code: exit_code(metadata),
            duration_ms: basics.duration_ms,
            text: basics.text,
            outcome,
            decision,
        };
        if self.import.came(at, &came, is_new) {
            self.started(at, metadata, came.call.as_deref().unwrap_or_default());
        }
    }

    /// A session that a call says it started, if it is known and nothing says so yet.
    fn started(&mut self, at: &At, metadata: &Value, call: &str) {
        let Some(child) = metadata.get("sessionId").and_then(Value::as_str) else { return };
        let Some(action) = self.import.call(call).map(|call| call.action) else { return };
        let known = self.import.writer.state.session(child).and_then(|session| session.agent(&cap(child)));
        if event::session_id(child).is_err() || known.is_none_or(|known| known.delegated) {
            return;
        }
        let parent = at.agent.id.clone();
        let who = Who { session: child, parent: Some(&parent), ..Who::default() };
        let claimed = self.import.claimed(at);
        let raw = self.import.content("result", "application/json", event::canonical(metadata));
        delegated(&mut self.import.writer, RUNTIME.name, &who, action, &claimed, &raw);
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
