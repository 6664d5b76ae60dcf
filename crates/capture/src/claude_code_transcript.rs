//! The transcripts that Claude Code keeps on disk, one JSON entry a line.
//!
//! What the hooks told already is not told again: an import adds what only the transcript has
//! (the model's thinking, its stated reasons, attachments), links it to what the hooks told by
//! tool-use id, and fills in actions and results that no hook told. The whole file is kept as
//! content, so nothing that is passed over here is lost.

use crate::claude_code::{agent, canonical, exit_code, flat, outcome_from_text, ran};
use crate::claude_code_tools::normalise;
use crate::writer::{Writer, bound, cap, link};
use crate::{Arrival, Captured, State};
use fdr_record::{
    ActionBody, Agent, Basis, Body, Call, Claimed, Content, ContentRef, Context, Decision, Gap, Link,
    Message, Outcome, Prompt, Rel, ResultBody, RuntimeDecision, Timestamp, Unparsed, preview,
};
use serde::Deserialize;
use serde_json::Value;

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";

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
}

/// One message of the model: the entries of a transcript with the same message id.
#[derive(Default)]
struct Said {
    entry: Option<(usize, Entry)>,
    /// Its first entry was taken in before.
    known: bool,
    id: String,
    model: Option<String>,
    text: String,
    thinking: String,
    calls: Vec<(String, String, Value)>,
}

/// Makes records of a transcript. `file` is where it stood.
pub fn import(file: &str, bytes: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let mut import = Import {
        file: cap(file),
        writer: Writer::new(arrival, state),
        said: Said::default(),
        session: String::new(),
    };
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => import.entry(number + 1, entry),
            Err(error) => import.unparsed(number + 1, line, &error.to_string()),
        }
    }
    import.decision();
    import.whole(bytes);
    import.writer.out
}

struct Import<'a, 'b> {
    file: String,
    session: String,
    said: Said,
    writer: Writer<'a, 'b>,
}

impl Import<'_, '_> {
    fn entry(&mut self, number: usize, entry: Entry) {
        if let Some(session) = entry.session_id.as_deref().filter(|session| !session.is_empty()) {
            self.session = cap(session);
        }
        if entry.r#type == "assistant" {
            return self.assistant(number, entry);
        }
        self.decision();
        match entry.r#type.as_str() {
            "user" => self.user(number, &entry),
            "attachment" => self.attachment(number, &entry),
            "system" => {
                let text = entry.content.as_ref().map(flat).unwrap_or_default();
                self.message(number, &entry, "system", &text);
            }
            // Book-keeping of the runtime (queue, titles, file snapshots); in the whole file.
            _ => {}
        }
    }

    fn new_to_us(&self, entry: &Entry) -> bool {
        let known =
            |uuid: &String| self.writer.state.session(&self.session).is_some_and(|s| s.has_entry(uuid));
        !entry.uuid.as_ref().is_some_and(known)
    }

    fn assistant(&mut self, number: usize, mut entry: Entry) {
        let message = entry.message.take().unwrap_or_default();
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if self.said.entry.is_some() && (id.is_empty() || self.said.id != id) {
            self.decision();
        }
        if self.said.entry.is_none() {
            self.said.known = !self.new_to_us(&entry);
            self.said.entry = Some((number, entry));
            self.said.id = id;
        }
        self.said.model = message.get("model").and_then(Value::as_str).map(str::to_owned);
        for part in message.get("content").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
            match text("type") {
                "text" => append(&mut self.said.text, text("text")),
                "thinking" => append(&mut self.said.thinking, text("thinking")),
                "tool_use" => {
                    let input = part.get("input").cloned().unwrap_or_default();
                    self.said.calls.push((text("id").to_owned(), text("name").to_owned(), input));
                }
                _ => {}
            }
        }
    }

    /// Writes what the model said and asked for in the message that just ended.
    fn decision(&mut self) {
        let mut said = std::mem::take(&mut self.said);
        let Some((number, entry)) = said.entry else { return };
        if said.known {
            // The file was read when it ended in the middle of this message.
            let session = self.writer.state.session(&self.session);
            said.calls.retain(|(id, _, _)| {
                session.and_then(|session| session.call(id)).is_none_or(|call| !call.decided)
            });
            if said.calls.is_empty() {
                return;
            }
        }
        if said.text.is_empty() && said.thinking.is_empty() && said.calls.is_empty() {
            return;
        }
        let mut content = Vec::new();
        let mut text_known = false;
        for (role, text) in [("text", &said.text), ("thinking", &said.thinking)] {
            if !text.is_empty() {
                let reference = self.content(role, TEXT, text.clone().into_bytes());
                let session = self.writer.state.session(&self.session);
                text_known |= role == "text" && session.is_some_and(|s| s.has_text(&reference.digest));
                content.push(reference);
            }
        }
        let agent = self.agent(&entry, said.model.as_deref());
        if said.calls.is_empty() && said.thinking.is_empty() {
            // Words without a deed: a message, unless a hook showed it.
            if !text_known {
                let claimed = self.claimed(number, &entry);
                let body = Message { role: "assistant".to_owned(), preview: preview(&said.text) };
                self.add(agent, claimed, Vec::new(), Body::Message(body), content);
            }
            return;
        }
        let known = |id: &str| self.writer.state.session(&self.session).and_then(|session| session.call(id));
        let links = said
            .calls
            .iter()
            .filter_map(|(id, _, _)| known(id))
            .map(|call| link(Rel::DecisionFor, call.action));
        let links: Vec<Link> = links.collect();
        let missing: Vec<_> = said.calls.iter().filter(|(id, _, _)| known(id).is_none()).cloned().collect();
        let body = Decision {
            stated: Some(preview(&said.text)).filter(|text| !text.is_empty()),
            thinking: Some(preview(&said.thinking)).filter(|text| !text.is_empty()),
            calls: said
                .calls
                .iter()
                .take(64)
                .map(|(id, tool, _)| Call { id: cap(id), tool: cap(tool) })
                .collect(),
        };
        let claimed = self.claimed(number, &entry);
        let decision = self.add(agent.clone(), claimed, links, Body::Decision(body), content);
        for (id, tool, input) in missing {
            let cwd = entry.cwd.clone().unwrap_or_else(|| "/".to_owned());
            let (found, summary) = normalise(&tool, &input, &cap(&cwd), &self.writer.arrival.home);
            let body = bound(ActionBody::new(&cap(&tool), preview(&summary), found, self.writer.policy()));
            let arguments = self.content("args", JSON, canonical(&input));
            let mut claimed = self.claimed(number, &entry);
            claimed.tool_use_id = Some(cap(&id));
            claimed.message_id = None;
            self.add(
                agent.clone(),
                claimed,
                vec![link(Rel::DecidedBy, decision)],
                Body::Action(body),
                vec![arguments],
            );
        }
    }

    fn user(&mut self, number: usize, entry: &Entry) {
        if !self.new_to_us(entry) {
            return;
        }
        let content =
            entry.message.as_ref().and_then(|message| message.get("content")).cloned().unwrap_or_default();
        let results: Vec<&Value> = content
            .as_array()
            .into_iter()
            .flatten()
            .filter(|part| part.get("type") == Some(&"tool_result".into()))
            .collect();
        if !results.is_empty() {
            for result in results {
                self.result(number, entry, result);
            }
            return;
        }
        let text = flat(&content);
        let reference = self.content("prompt", TEXT, text.clone().into_bytes());
        if self.writer.state.session(&self.session).is_some_and(|session| session.has_text(&reference.digest))
        {
            return;
        }
        let agent = self.agent(entry, None);
        let claimed = self.claimed(number, entry);
        // What a sub-agent is asked comes from its parent, not from a person.
        let seen = match entry.is_meta {
            Some(true) => Some("meta"),
            _ => entry.agent_id.as_ref().map(|_| "delegation"),
        };
        let body = if let Some(what) = seen {
            Body::Context(Context {
                what: what.to_owned(),
                preview: Some(preview(&text)),
                ..Context::default()
            })
        } else {
            Body::Prompt(Prompt { preview: preview(&text) })
        };
        self.add(agent, claimed, Vec::new(), body, vec![reference]);
    }

    fn result(&mut self, number: usize, entry: &Entry, result: &Value) {
        let id = cap(result.get("tool_use_id").and_then(Value::as_str).unwrap_or_default());
        let text = result.get("content").map(flat).unwrap_or_default();
        let is_error = result.get("is_error").and_then(Value::as_bool) == Some(true);
        let call = self.writer.state.session(&self.session).and_then(|session| session.call(&id)).cloned();
        let reference = self.content("result", TEXT, text.clone().into_bytes());
        let agent = self.agent(entry, None);
        let mut claimed = self.claimed(number, entry);
        claimed.tool_use_id = Some(id.clone());
        let about = |rel| call.iter().map(|call| link(rel, call.action)).collect::<Vec<Link>>();
        match &call {
            Some(call) if call.outcome.is_some() => {
                if call.seen.as_ref().is_some_and(|seen| *seen != reference.digest) {
                    let body = Gap {
                        what: "transcript_differs".to_owned(),
                        detail: "the transcript has another result for this call than the hook was given"
                            .to_owned(),
                        millis: None,
                    };
                    self.add(agent, claimed, about(Rel::About), Body::Gap(body), vec![reference]);
                }
            }
            _ => {
                let (outcome, decision) = match outcome_from_text(&text, false) {
                    (Outcome::Unknown, _) if is_error => (Outcome::Error, None),
                    (Outcome::Unknown, _) => (Outcome::Ok, Some(ran())),
                    (outcome, decision) if is_error => {
                        // No hook tells whether it ran; the text may be the tool's own.
                        let inferred = |d| RuntimeDecision { basis: Basis::Inferred, ..d };
                        (outcome, decision.map(inferred))
                    }
                    _ => (Outcome::Ok, Some(ran())),
                };
                let body = ResultBody {
                    tool: call.as_ref().map(|call| call.tool.clone()).unwrap_or_default(),
                    outcome,
                    exit_code: exit_code(&text).filter(|_| is_error),
                    duration_ms: None,
                    reason: Some(cap(&text)).filter(|_| is_error),
                    preview: Some(preview(&text)).filter(|_| !is_error),
                    runtime_decision: decision,
                    arguments_changed: false,
                };
                self.add(agent, claimed, about(Rel::ResultOf), Body::Result(body), vec![reference]);
            }
        }
    }

    fn attachment(&mut self, number: usize, entry: &Entry) {
        if !self.new_to_us(entry) {
            return;
        }
        let attachment = entry.attachment.clone().unwrap_or_default();
        let kind = attachment.get("type").and_then(Value::as_str).unwrap_or("attachment").to_owned();
        let bytes = canonical(&attachment);
        let body = Context {
            what: cap(&kind),
            resource: None,
            len: Some(bytes.len() as u64),
            preview: Some(preview(&attachment.get("content").map_or_else(|| attachment.to_string(), flat))),
        };
        let reference = self.content("attachment", JSON, bytes);
        let agent = self.agent(entry, None);
        let claimed = self.claimed(number, entry);
        self.add(agent, claimed, Vec::new(), Body::Context(body), vec![reference]);
    }

    fn message(&mut self, number: usize, entry: &Entry, role: &str, text: &str) {
        if !self.new_to_us(entry) {
            return;
        }
        let reference = self.content("text", TEXT, text.as_bytes().to_vec());
        let agent = self.agent(entry, None);
        let claimed = self.claimed(number, entry);
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(agent, claimed, Vec::new(), Body::Message(body), vec![reference]);
    }

    fn unparsed(&mut self, number: usize, line: &[u8], reason: &str) {
        let reference = self.content("raw", "application/octet-stream", line.to_vec());
        if self.writer.state.session(&self.session).is_some_and(|session| session.has_text(&reference.digest))
        {
            return;
        }
        let claimed = Claimed {
            source: "transcript".to_owned(),
            file: Some(self.file.clone()),
            line: Some(number as u64),
            ..Claimed::default()
        };
        let body = Body::Unparsed(Unparsed { reason: cap(reason), event: None });
        let session = Some(self.session.clone()).filter(|session| !session.is_empty());
        self.writer.record(session.as_deref(), None, claimed, Vec::new(), body, vec![reference]);
    }

    /// The file itself, once for each content that it had.
    fn whole(&mut self, bytes: &[u8]) {
        if self.session.is_empty() {
            return;
        }
        let (reference, content) = self.writer.arrival.content_key.seal(
            &self.session,
            "transcript",
            "application/jsonl",
            bytes.to_vec(),
        );
        if self.writer.state.session(&self.session).is_some_and(|session| session.has_text(&reference.digest))
        {
            // Everything in it is known: nothing was added for it either.
            self.drop_unused();
            return;
        }
        self.writer.out.contents.push(content);
        let claimed =
            Claimed { source: "transcript".to_owned(), file: Some(self.file.clone()), ..Claimed::default() };
        let body = Context {
            what: "transcript".to_owned(),
            resource: Some(fdr_record::Resource::file(&self.file, "/")),
            len: Some(bytes.len() as u64),
            preview: None,
        };
        let session = self.session.clone();
        self.writer.record(Some(&session), None, claimed, Vec::new(), Body::Context(body), vec![reference]);
        self.drop_unused();
    }

    /// Content that was only made to compare digests is not stored.
    fn drop_unused(&mut self) {
        let used: std::collections::HashSet<String> = self
            .writer
            .out
            .records
            .iter()
            .flat_map(|record| record.content.iter().map(|content| content.digest.clone()))
            .collect();
        let key = self.writer.arrival.content_key;
        // A file may tell of several sessions; each is a scope of its own.
        let records = self.writer.out.records.iter();
        let scopes: std::collections::HashSet<String> =
            records.map(|record| record.session.clone().unwrap_or_default()).collect();
        let is_used = |content: &Content| {
            scopes.iter().any(|scope| used.contains(&key.seal(scope, "", "", content.bytes.clone()).0.digest))
        };
        self.writer.out.contents.retain(is_used);
    }

    fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        let session = self.session.clone();
        self.writer.content(&session, role, media, bytes)
    }

    fn agent(&self, entry: &Entry, model: Option<&str>) -> Agent {
        let id = entry.agent_id.as_deref();
        let known = self
            .writer
            .state
            .session(&self.session)
            .and_then(|session| session.agent(id.unwrap_or(&self.session)));
        let name = known.map(|known| known.agent.name.clone()).unwrap_or_else(|| "subagent".to_owned());
        let mut agent = agent(&self.session, id, Some(&name), model, self.writer.arrival);
        agent.version = entry.version.as_deref().map(cap);
        agent
    }

    fn claimed(&self, number: usize, entry: &Entry) -> Claimed {
        Claimed {
            source: "transcript".to_owned(),
            ts: entry.timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok()),
            prompt_id: entry.prompt_id.as_deref().map(cap),
            message_id: entry.uuid.as_deref().map(cap),
            cwd: entry.cwd.as_deref().map(cap),
            file: Some(self.file.clone()),
            line: Some(number as u64),
            ..Claimed::default()
        }
    }

    fn add(
        &mut self,
        agent: Agent,
        claimed: Claimed,
        links: Vec<Link>,
        body: Body,
        content: Vec<ContentRef>,
    ) -> fdr_record::RecordId {
        let session = self.session.clone();
        self.writer.record(Some(&session), Some(agent), claimed, links, body, content)
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
