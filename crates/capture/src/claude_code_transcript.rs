//! The transcripts that Claude Code keeps on disk, one JSON entry a line.
//!
//! What the hooks told already is not told again: an import adds what only the transcript has
//! (the model's thinking, its stated reasons, attachments), links it to what the hooks told by
//! tool-use id, and fills in actions and results that no hook told. A file may be imported again
//! when it has grown. The whole file is kept as content, so nothing that is passed over here is
//! lost.

use crate::claude_code::{agent, canonical, delegated, flat};
use crate::claude_code_outcome::{Known, denial_kind, exit_code, outcome, ran};
use crate::claude_code_tools::normalise;
use crate::state::{Call, ROLE_INTERRUPT, SOURCE_TRANSCRIPT as SOURCE, Session};
use crate::writer::{Writer, bound, cap, fitting, left_out, link, short};
use crate::{Arrival, Captured, State};
use fdr_record::{
    ActionBody, Agent, Basis, Body, Claimed, ContentRef, Context, Decision, Gap, Link, Message, Outcome,
    PolicyDecision, Prompt, RecordId, Rel, Resource, ResultBody, RuntimeDecision, Timestamp, Unparsed,
    Verdict, preview,
};
use serde::Deserialize;
use serde_json::Value;

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";
/// The most calls that one decision record lists and links.
const MAX_CALLS: usize = 64;
/// Room that they may take, in bytes of JSON.
const MAX_CALLS_BYTES: usize = 16 * 1024;
/// How many lines of a text a hook may have shown at once, for the text to be known again.
const MAX_SHOWN_LINES: usize = 64;
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
struct Said {
    entry: Option<(u64, Entry)>,
    /// Its first entry was taken in before.
    known: bool,
    id: String,
    model: Option<String>,
    text: String,
    thinking: String,
    calls: Vec<(String, String, Value)>,
}

/// Makes records of a transcript. `file` is where it stood. There are none if every byte of it
/// was taken in before.
///
/// The records of one call fit into one write of the log. If there are more, the last one is a
/// `gap` that says so, and another import of the same file goes on.
pub fn import(file: &str, bytes: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let mut writer = Writer::new(arrival, state);
    // A file that goes on with an older session begins with entries of that one.
    let session = bytes.rsplit(|&byte| byte == b'\n').find_map(|line| {
        let entry = serde_json::from_slice::<Entry>(line).ok()?;
        entry.session_id.filter(|session| !session.is_empty() && session.len() <= 256)
    });
    let claimed = Claimed { source: SOURCE.to_owned(), file: Some(cap(file)), ..Claimed::default() };
    let Some(session) = session else {
        let raw = writer.content("", "raw", "application/octet-stream", bytes.to_vec());
        let body = Unparsed { reason: "no entry of it names its session".to_owned(), event: None };
        writer.record(None, None, claimed, Vec::new(), Body::Unparsed(body), vec![raw]);
        return writer.out;
    };
    let whole = writer.content(&session, SOURCE, "application/jsonl", bytes.to_vec());
    if writer.state.session(&session).is_some_and(|known| known.has_text(&whole.digest)) {
        return writer.out;
    }
    let mut import =
        Import { file: cap(file), session: session.clone(), prompt_id: None, said: Said::default(), writer };
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => import.entry(number, entry),
            Err(error) => import.unparsed(number, line, &error.to_string()),
        }
        if !import.writer.has_room() {
            let detail = format!("the file is taken in up to line {number}; import it again to go on");
            let body = left_out("import_unfinished", detail);
            import.writer.record(Some(&session), None, claimed, Vec::new(), body, Vec::new());
            return import.writer.out;
        }
    }
    import.decision();
    let body = Context {
        what: SOURCE.to_owned(),
        resource: file.starts_with('/').then(|| short(Resource::file(&cap(file), "/"))),
        len: Some(bytes.len() as u64),
        preview: None,
    };
    import.writer.record(Some(&session), None, claimed, Vec::new(), Body::Context(body), vec![whole]);
    import.writer.out
}

struct Import<'a, 'b> {
    file: String,
    session: String,
    /// The runtime's id of the prompt that is being worked on.
    prompt_id: Option<String>,
    said: Said,
    writer: Writer<'a, 'b>,
}

impl Import<'_, '_> {
    fn entry(&mut self, number: u64, entry: Entry) {
        if let Some(session) = entry.session_id.as_deref().filter(|id| !id.is_empty() && id.len() <= 256)
            && self.session != session
        {
            self.decision();
            self.session = session.to_owned();
        }
        if entry.r#type == "assistant" {
            return self.assistant(number, entry);
        }
        self.decision();
        if let Some(prompt_id) = &entry.prompt_id {
            self.prompt_id = Some(cap(prompt_id));
        }
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

    fn known(&self) -> Option<&Session> {
        self.writer.state.session(&self.session)
    }

    fn call(&self, id: &str) -> Option<&Call> {
        self.known()?.call(&cap(id))
    }

    fn is_new(&self, number: u64, entry: &Entry) -> bool {
        !self.known().is_some_and(|known| match &entry.uuid {
            Some(uuid) => known.has_entry(&cap(uuid)),
            None => known.has_line(&self.file, number),
        })
    }

    fn assistant(&mut self, number: u64, mut entry: Entry) {
        let message = entry.message.take().unwrap_or_default();
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let same = self.said.id == id && !id.is_empty();
        let same =
            same && self.said.entry.as_ref().is_some_and(|(_, first)| first.agent_id == entry.agent_id);
        if !same {
            self.decision();
        }
        if self.said.entry.is_none() {
            self.said.known = !self.is_new(number, &entry);
            self.said.entry = Some((number, entry));
            self.said.id = id;
        }
        let model = message.get("model").and_then(Value::as_str).filter(|model| *model != SYNTHETIC);
        self.said.model = model.map(cap);
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
            let known = self.known();
            said.calls.retain(|(id, _, _)| {
                known.is_some_and(|known| match known.call(&cap(id)) {
                    Some(call) => !call.decided,
                    None => !known.had_call(&cap(id)),
                })
            });
            if said.calls.is_empty() {
                return;
            }
        }
        if said.text.is_empty() && said.thinking.is_empty() && said.calls.is_empty() {
            return;
        }
        let mut content = Vec::new();
        for (role, text) in [("text", &said.text), ("thinking", &said.thinking)] {
            if !text.is_empty() {
                content.push(self.content(role, TEXT, text.clone().into_bytes()));
            }
        }
        let agent = self.agent(&entry, said.model.as_deref());
        if said.calls.is_empty() && said.thinking.is_empty() {
            // Words without a deed: a message, unless a hook showed it.
            if !self.was_shown(&said.text) {
                let claimed = self.claimed(number, &entry);
                let body = Message { role: "assistant".to_owned(), preview: preview(&said.text) };
                let links = self.prompted(&agent);
                self.add(agent, claimed, links, Body::Message(body), content);
            }
            return;
        }
        // A message with more calls than a record can list makes more records.
        let mut rest = said.calls.as_slice();
        let mut first = true;
        while first || !rest.is_empty() && self.writer.has_room() {
            let sizes =
                rest.iter().take(MAX_CALLS).map(|(id, tool, _)| 2 * (cap(id).len() + cap(tool).len()) + 160);
            let (calls, others) = rest.split_at(fitting(sizes, MAX_CALLS_BYTES).max(1).min(rest.len()));
            let content = if first { content.clone() } else { Vec::new() };
            self.decide(number, &entry, &agent, &said.text, &said.thinking, calls, content);
            (rest, first) = (others, false);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place, and a struct would only rename them")]
    fn decide(
        &mut self,
        number: u64,
        entry: &Entry,
        agent: &Agent,
        text: &str,
        thinking: &str,
        calls: &[(String, String, Value)],
        content: Vec<ContentRef>,
    ) {
        let about = calls.iter().filter_map(|(id, _, _)| self.call(id));
        let mut links: Vec<Link> = about.map(|call| link(Rel::DecisionFor, call.action)).collect();
        links.extend(self.prompted(agent));
        let forgotten = |id: &str| self.known().is_some_and(|known| known.had_call(&cap(id)));
        let (known, missing): (Vec<_>, Vec<_>) = calls
            .iter()
            .filter(|(id, _, _)| self.call(id).is_some() || !forgotten(id))
            .partition(|(id, _, _)| self.call(id).is_some());
        let body = Decision {
            stated: Some(preview(text)).filter(|text| !text.is_empty()),
            thinking: Some(preview(thinking)).filter(|text| !text.is_empty()),
            calls: calls
                .iter()
                .map(|(id, tool, _)| fdr_record::Call { id: cap(id), tool: cap(tool) })
                .collect(),
        };
        let claimed = self.claimed(number, entry);
        let decision = self.add(agent.clone(), claimed, links, Body::Decision(body), content);
        for (id, _, input) in known {
            let asked = self.content("args", JSON, canonical(input));
            let call = self.call(id);
            if call.is_some_and(|call| call.arguments.is_some() && call.arguments != asked.digest_bytes()) {
                let links = call.map(|call| link(Rel::About, call.action)).into_iter().collect();
                let what = "the transcript has other arguments for this call than the hook was given";
                self.differs(number, entry, id, links, what, asked);
            }
        }
        for (id, tool, input) in missing {
            let cwd = entry.cwd.as_deref().map(cap).unwrap_or_default();
            let (found, summary) = normalise(tool, input, &cwd, &self.writer.arrival.home);
            let body = bound(ActionBody::new(
                &cap(tool),
                preview(&summary),
                found,
                PolicyDecision::undecided(self.writer.arrival.mode),
            ));
            let arguments = self.content("args", JSON, canonical(input));
            let claimed = Claimed { tool_use_id: Some(cap(id)), ..self.claimed_of_part(number, entry) };
            let mut links = vec![link(Rel::DecidedBy, decision)];
            links.extend(self.prompted(agent));
            self.add(agent.clone(), claimed, links, Body::Action(body), vec![arguments]);
        }
    }

    /// Whether the hooks showed this text: at once, or in pieces of whole lines as it came.
    fn was_shown(&mut self, text: &str) -> bool {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut at = 0;
        while at < lines.len() {
            let longest = if at == 0 { lines.len() } else { lines.len().min(at + MAX_SHOWN_LINES) };
            let ends = std::iter::once(longest).chain(at + 1..longest.min(at + MAX_SHOWN_LINES));
            let mut found = None;
            for end in ends {
                let piece = lines[at..end].concat();
                if self.is_text(&piece) || self.is_text(piece.trim_end_matches('\n')) {
                    found = Some(end);
                    break;
                }
            }
            match found {
                Some(end) => at = end,
                None => return false,
            }
        }
        true
    }

    fn is_text(&self, text: &str) -> bool {
        let key = self.writer.arrival.content_key;
        let digest = key.seal(&self.session, "text", TEXT, text.as_bytes().to_vec()).0.digest;
        self.known().is_some_and(|known| known.has_text(&digest))
    }

    fn user(&mut self, number: u64, entry: &Entry) {
        let is_new = self.is_new(number, entry);
        let content = entry.message.as_ref().and_then(|message| message.get("content"));
        let content = content.cloned().unwrap_or_default();
        let parts = content.as_array().map_or(&[][..], Vec::as_slice);
        let mut results =
            parts.iter().filter(|part| part.get("type") == Some(&"tool_result".into())).peekable();
        if results.peek().is_some() {
            for result in results {
                // Of an entry with many results, some may be taken in and others not.
                if self.writer.has_room() {
                    self.result(number, entry, result, is_new);
                }
            }
            return;
        }
        if !is_new {
            return;
        }
        let text = flat(&content);
        if text.starts_with("[Request interrupted by user") {
            return self.message(number, entry, ROLE_INTERRUPT, &text);
        }
        let reference = self.content("prompt", TEXT, text.clone().into_bytes());
        if self.known().is_some_and(|known| known.has_text(&reference.digest)) {
            return;
        }
        let agent = self.agent(entry, None);
        let claimed = self.claimed(number, entry);
        let what = match (entry.is_compact_summary, entry.is_meta) {
            (Some(true), _) => Some("compaction"),
            (_, Some(true)) => Some("meta"),
            // What a sub-agent is asked comes from its parent, not from a person.
            _ => entry.agent_id.as_ref().map(|_| "delegation"),
        };
        let body = match what {
            Some(what) => Body::Context(Context {
                what: what.to_owned(),
                len: Some(text.len() as u64),
                preview: Some(preview(&text)),
                ..Context::default()
            }),
            None => Body::Prompt(Prompt { preview: preview(&text) }),
        };
        self.add(agent, claimed, Vec::new(), body, vec![reference]);
    }

    fn result(&mut self, number: u64, entry: &Entry, result: &Value, is_new: bool) {
        let id = cap(result.get("tool_use_id").and_then(Value::as_str).unwrap_or_default());
        let text = result.get("content").map(flat).unwrap_or_default();
        let is_error = result.get("is_error").and_then(Value::as_bool) == Some(true);
        let call = self.call(&id).cloned();
        let reference = self.content("result", TEXT, text.clone().into_bytes());
        let agent = self.agent(entry, None);
        match &call {
            Some(call) if call.outcome.is_some() => {
                if is_new && call.seen.is_some() && call.seen != reference.digest_bytes() {
                    let links = vec![link(Rel::About, call.action)];
                    let what = "the transcript has another result for this call than the hook was given";
                    self.differs(number, entry, &id, links, what, reference);
                }
            }
            _ if self.known().is_some_and(|known| known.had_result(&id)) => {}
            // Without an id nothing tells it from the one before.
            None if id.is_empty() && !is_new => {}
            _ => {
                let interrupted = entry.tool_use_result.as_ref().and_then(|result| result.get("interrupted"));
                let (outcome, decision) = match (is_error, entry.tool_denial_kind.as_deref()) {
                    _ if interrupted == Some(&Value::Bool(true)) => (Outcome::Interrupted, Some(ran())),
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
                let body = ResultBody {
                    tool: call.as_ref().map(|call| call.tool.clone()).unwrap_or_default(),
                    outcome,
                    exit_code: exit_code(&text).filter(|_| is_error),
                    duration_ms: None,
                    reason: Some(cap(&text)).filter(|_| is_error),
                    preview: Some(preview(&text)).filter(|_| !is_error),
                    runtime_decision: decision,
                    signs: fdr_record::injection::signs(&text),
                    arguments_changed: false,
                };
                let links = call.iter().map(|call| link(Rel::ResultOf, call.action)).collect();
                let claimed = Claimed { tool_use_id: Some(id.clone()), ..self.claimed(number, entry) };
                self.add(agent, claimed, links, Body::Result(body), vec![reference.clone()]);
                let started = entry.tool_use_result.as_ref();
                let text = |key: &str| started.and_then(|result| result.get(key)).and_then(Value::as_str);
                if let (Some(started), Some(call)) = (text("agentId"), &call) {
                    let claimed = self.claimed(number, entry);
                    let (session, kind) = (self.session.clone(), text("agentType"));
                    delegated(&mut self.writer, &session, started, kind, call.action, &claimed, &reference);
                }
            }
        }
    }

    fn differs(
        &mut self,
        number: u64,
        entry: &Entry,
        call: &str,
        links: Vec<Link>,
        what: &str,
        content: ContentRef,
    ) {
        let body = Gap { what: "transcript_differs".to_owned(), detail: what.to_owned(), millis: None };
        let claimed = Claimed { tool_use_id: Some(cap(call)), ..self.claimed(number, entry) };
        let agent = self.agent(entry, None);
        self.add(agent, claimed, links, Body::Gap(body), vec![content]);
    }

    fn attachment(&mut self, number: u64, entry: &Entry) {
        if !self.is_new(number, entry) {
            return;
        }
        let attachment = entry.attachment.clone().unwrap_or_default();
        let text = |key: &str| attachment.get(key).and_then(Value::as_str);
        let bytes = canonical(&attachment);
        let shown = ["content", "stdout"].iter().filter_map(|key| attachment.get(key)).map(flat);
        let shown = shown.into_iter().find(|text| !text.is_empty());
        let body = Context {
            what: cap(text("type").unwrap_or("attachment")),
            resource: None,
            len: Some(bytes.len() as u64),
            preview: Some(preview(&shown.unwrap_or_else(|| attachment.to_string()))),
        };
        let call = text("toolUseID").filter(|id| self.call(id).is_some());
        let links = call.and_then(|id| self.call(id)).map(|call| link(Rel::About, call.action));
        let (links, call) = (links.into_iter().collect(), call.map(cap));
        let reference = self.content("attachment", JSON, bytes);
        let agent = self.agent(entry, None);
        let claimed = Claimed { tool_use_id: call, ..self.claimed(number, entry) };
        self.add(agent, claimed, links, Body::Context(body), vec![reference]);
    }

    fn message(&mut self, number: u64, entry: &Entry, role: &str, text: &str) {
        if !self.is_new(number, entry) {
            return;
        }
        let reference = self.content("text", TEXT, text.as_bytes().to_vec());
        let agent = self.agent(entry, None);
        let claimed = self.claimed(number, entry);
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(agent, claimed, Vec::new(), Body::Message(body), vec![reference]);
    }

    fn unparsed(&mut self, number: u64, line: &[u8], reason: &str) {
        if !self.is_new(number, &Entry::default()) {
            return;
        }
        self.decision();
        let reference = self.content("raw", "application/octet-stream", line.to_vec());
        let claimed = self.claimed(number, &Entry::default());
        let body = Body::Unparsed(Unparsed { reason: cap(reason), event: None });
        let session = self.session.clone();
        self.writer.record(Some(&session), None, claimed, Vec::new(), body, vec![reference]);
    }

    fn prompted(&self, agent: &Agent) -> Vec<Link> {
        let Some(prompt_id) = self.prompt_id.as_deref() else { return Vec::new() };
        let prompt = self.known().and_then(|known| known.prompt(&agent.id, &self.session, Some(prompt_id)));
        prompt.map(|id| link(Rel::PromptedBy, id)).into_iter().collect()
    }

    fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        let session = self.session.clone();
        self.writer.content(&session, role, media, bytes)
    }

    fn agent(&self, entry: &Entry, model: Option<&str>) -> Agent {
        let agent = agent(&self.session, entry.agent_id.as_deref(), None, &self.writer);
        Agent {
            version: entry.version.as_deref().map(cap).or(agent.version),
            model: model.map(cap).or(agent.model),
            ..agent
        }
    }

    fn claimed(&self, number: u64, entry: &Entry) -> Claimed {
        Claimed {
            source: SOURCE.to_owned(),
            ts: entry.timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok()),
            prompt_id: entry.prompt_id.as_deref().map(cap),
            message_id: entry.uuid.as_deref().map(cap),
            cwd: entry.cwd.as_deref().map(cap),
            file: Some(self.file.clone()),
            line: Some(number),
            ..Claimed::default()
        }
    }

    /// For what is only a part of an entry.
    fn claimed_of_part(&self, number: u64, entry: &Entry) -> Claimed {
        Claimed { message_id: None, ..self.claimed(number, entry) }
    }

    fn add(
        &mut self,
        agent: Agent,
        claimed: Claimed,
        links: Vec<Link>,
        body: Body,
        content: Vec<ContentRef>,
    ) -> RecordId {
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
