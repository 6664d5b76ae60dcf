//! The transcript that a runtime keeps on disk, piece by piece: what all runtimes have in common.
//!
//! A runtime's own file says what its entries mean. What the hooks told already is not told again:
//! an import adds what only the transcript has (the model's thinking, its stated reasons, calls that
//! were refused or never heard of), links it to what the hooks told by the id of the call, or by
//! order and arguments where the two have no id in common, and fills in actions and results that no
//! hook told. Each piece is kept whole as content, so nothing that is passed over is lost, and a
//! file that was changed afterwards shows.

use crate::event::{JSON, TEXT, canonical};
use crate::runtime::Runtime;
use crate::state::{Call, SOURCE_TRANSCRIPT as SOURCE, Session};
use crate::writer::{Writer, bound, cap, fitting, left_out, link, short};
use crate::{Arrival, Captured, State};
use fdr_record::{
    ActionBody, Agent, Body, Claimed, ContentRef, Context, Decision, Gap, Link, Message, Outcome,
    PolicyDecision, Prompt, RecordId, Rel, Resource, ResultBody, RuntimeDecision, Timestamp, Unparsed,
    preview,
};
use serde_json::Value;

/// The most calls that one decision record lists and links.
const MAX_CALLS: usize = 64;
/// Room that they may take, in bytes of JSON.
const MAX_CALLS_BYTES: usize = 16 * 1024;
/// How many lines of a text a hook may have shown at once, for the text to be known again.
const MAX_SHOWN_LINES: usize = 64;

/// Whole lines of a transcript.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Where the transcript stands.
    pub file: &'a str,
    /// Where the piece begins in it, in bytes.
    pub offset: u64,
    /// How long it is there, in bytes; what is read may be shorter, secrets are out.
    pub len: u64,
    /// Number of its first line, from 1.
    pub line: u64,
    /// What is read.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// A whole file.
    pub fn whole(file: &'a str, bytes: &'a [u8]) -> Chunk<'a> {
        Chunk { file, offset: 0, len: bytes.len() as u64, line: 1, bytes }
    }

    /// The lines that are not blank, with their numbers.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = (u64, &'a [u8])> {
        let lines: Vec<&[u8]> = self.bytes.split(|&byte| byte == b'\n').collect();
        let first = self.line;
        let numbered = lines.into_iter().enumerate().map(move |(at, line)| (first + at as u64, line));
        numbered.filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
    }
}

/// The calls that a line of a transcript tells of, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// Those that the model asked for.
    pub(crate) asked: Vec<String>,
    /// Those of which a result is told.
    pub(crate) told: Vec<String>,
}

impl Calls {
    /// Reads the forms that runtimes have for this: `tool_use` and `tool_result` with a
    /// `tool_use_id`, `…_call` and `…_call_output` with a `call_id`, `toolCall` and `toolCallId`,
    /// `function` and `tool_call_id`.
    pub(crate) fn of(line: &[u8]) -> Calls {
        let mut found = Calls::default();
        if let Ok(line) = serde_json::from_slice(line) {
            found.read(&line, 0);
        }
        found
    }

    fn read(&mut self, value: &Value, depth: usize) {
        const MAX_DEPTH: usize = 8;
        match value {
            Value::Array(items) if depth < MAX_DEPTH => {
                items.iter().for_each(|item| self.read(item, depth + 1));
            }
            // A column of a database holds JSON as a text.
            Value::String(text) if depth < MAX_DEPTH && text.starts_with("[{") => {
                if let Ok(value) = serde_json::from_str(text) {
                    self.read(&value, depth + 1);
                }
            }
            Value::Object(map) => {
                let text = |key: &str| map.get(key).and_then(Value::as_str).filter(|id| !id.is_empty());
                let kind = text("type").unwrap_or_default();
                let told = ["tool_use_id", "toolCallId", "tool_call_id"].iter().find_map(|key| text(key));
                let told = told.or_else(|| text("call_id").filter(|_| kind.ends_with("_output")));
                let asks = matches!(kind, "tool_use" | "toolCall") || map.contains_key("function");
                let asked = text("id").filter(|_| asks);
                let asked = asked.or_else(|| text("call_id").filter(|_| kind.ends_with("_call")));
                self.told.extend(told.map(cap));
                self.asked.extend(asked.map(cap));
                // What a call is given and what came of it is not the runtime's own.
                let own = map.iter().filter(|(key, _)| {
                    !matches!(key.as_str(), "input" | "arguments" | "output" | "toolUseResult")
                });
                if depth < MAX_DEPTH && asked.is_none() && told.is_none() {
                    own.for_each(|(_, value)| self.read(value, depth + 1));
                }
            }
            _ => {}
        }
    }
}

/// Where an entry stands, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) line: u64,
    /// The runtime's id of the entry.
    pub(crate) id: Option<String>,
    pub(crate) ts: Option<Timestamp>,
    pub(crate) agent: Agent,
    pub(crate) cwd: Option<String>,
    pub(crate) prompt_id: Option<String>,
    pub(crate) turn_id: Option<String>,
}

/// A call that the model asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The runtime's id of it.
    pub(crate) id: Option<String>,
    pub(crate) tool: String,
    pub(crate) input: Value,
}

/// What the model said and asked for at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<Asked>,
}

/// What came of a call, as the transcript says.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// The runtime's id of the call.
    pub(crate) call: Option<String>,
    /// Name of the tool, where the call is not known.
    pub(crate) tool: String,
    /// What the model was given.
    pub(crate) text: String,
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<i64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) decision: Option<RuntimeDecision>,
}

/// One piece on its way to records.
pub(crate) struct Import<'a, 'b, 'c> {
    pub(crate) runtime: &'static Runtime,
    pub(crate) chunk: &'c Chunk<'c>,
    pub(crate) session: String,
    pub(crate) writer: Writer<'a, 'b>,
    whole: ContentRef,
}

impl<'a, 'b, 'c> Import<'a, 'b, 'c> {
    /// `None` if this very piece was taken in before.
    pub(crate) fn new(
        runtime: &'static Runtime,
        session: &str,
        chunk: &'c Chunk<'c>,
        arrival: &'a Arrival<'b>,
        state: &'a mut State,
    ) -> Option<Import<'a, 'b, 'c>> {
        let mut writer = Writer::new(arrival, state);
        let whole = writer.content(session, SOURCE, "application/jsonl", chunk.bytes.to_vec());
        let is_known = writer.state.file(&cap(chunk.file)).is_some_and(|read| {
            let mut pieces = read.pieces.iter();
            pieces.any(|piece| piece.offset == chunk.offset && piece.digest == whole.digest)
        });
        if is_known {
            return None;
        }
        Some(Import { runtime, chunk, session: session.to_owned(), writer, whole })
    }

    /// Whether there is room for another entry; if not, another import of the piece goes on.
    pub(crate) fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// Ends in the middle, after the line of that number.
    pub(crate) fn unfinished(mut self, line: u64) -> Captured {
        let detail = format!("the file is taken in up to line {line}; import it again to go on");
        let (body, claimed) = (left_out("import_unfinished", detail), self.claimed_file());
        self.writer.record(Some(&self.session), None, claimed, Vec::new(), body, Vec::new());
        self.writer.out
    }

    /// Records that the piece is read.
    pub(crate) fn finish(mut self) -> Captured {
        let file = self.chunk.file;
        let body = Context {
            what: SOURCE.to_owned(),
            resource: file.starts_with('/').then(|| short(Resource::file(&cap(file), "/"))),
            len: Some(self.chunk.len),
            lines: Some(self.chunk.bytes.iter().filter(|byte| **byte == b'\n').count() as u64),
            preview: None,
        };
        let claimed = Claimed {
            offset: Some(self.chunk.offset),
            line: Some(self.chunk.line).filter(|line| *line > 1),
            ..self.claimed_file()
        };
        let whole = vec![self.whole.clone()];
        self.writer.record(Some(&self.session), None, claimed, Vec::new(), Body::Context(body), whole);
        self.writer.out
    }

    pub(crate) fn known(&self) -> Option<&Session> {
        self.writer.state.session(&self.session)
    }

    /// The call of that id, by which name so ever the hooks have it.
    pub(crate) fn call(&self, id: &str) -> Option<&Call> {
        self.known()?.call(&cap(id))
    }

    pub(crate) fn is_new(&self, at: &At) -> bool {
        !self.known().is_some_and(|known| match &at.id {
            Some(id) => known.has_entry(&cap(id)),
            None => known.has_line(&cap(self.chunk.file), at.line),
        })
    }

    /// What the model said and asked for in one message.
    pub(crate) fn said(&mut self, at: &At, mut said: Said) {
        if !self.is_new(at) {
            // The file was read when it ended in the middle of this message.
            let known = self.known();
            said.calls.retain(|asked| {
                let Some(id) = asked.id.as_deref() else { return false };
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
        if said.calls.is_empty() && said.thinking.is_empty() {
            // Words without a deed: a message, unless a hook showed it.
            if !self.was_shown(&said.text) {
                let body = Message { role: "assistant".to_owned(), preview: preview(&said.text) };
                let links = self.prompted(at);
                self.add(at, self.claimed(at), links, Body::Message(body), content);
            }
            return;
        }
        // A message with more calls than a record can list makes more records.
        let mut rest = said.calls.as_slice();
        let mut first = true;
        while first || !rest.is_empty() && self.writer.has_room() {
            let sizes = rest.iter().take(MAX_CALLS).map(|asked| {
                2 * (asked.id.as_deref().map_or(0, |id| cap(id).len()) + cap(&asked.tool).len()) + 240
            });
            let (calls, others) = rest.split_at(fitting(sizes, MAX_CALLS_BYTES).max(1).min(rest.len()));
            let content = if first { content.clone() } else { Vec::new() };
            self.decide(at, &said, calls, content);
            (rest, first) = (others, false);
        }
    }

    fn decide(&mut self, at: &At, said: &Said, calls: &[Asked], content: Vec<ContentRef>) {
        let found: Vec<Option<Found>> = self.find(at, calls);
        let forgotten = |id: &Option<String>| {
            let id = id.as_deref().map(cap);
            self.known().zip(id).is_some_and(|(known, id)| known.had_call(&id))
        };
        let missing: Vec<&Asked> = calls
            .iter()
            .zip(&found)
            .filter(|(asked, found)| found.is_none() && !forgotten(&asked.id))
            .map(|(asked, _)| asked)
            .collect();
        let mut links: Vec<Link> =
            found.iter().flatten().map(|found| link(Rel::DecisionFor, found.action)).collect();
        links.extend(self.prompted(at));
        let body = Decision {
            stated: Some(preview(&said.text)).filter(|text| !text.is_empty()),
            thinking: Some(preview(&said.thinking)).filter(|text| !text.is_empty()),
            calls: calls
                .iter()
                .zip(&found)
                .map(|(asked, found)| fdr_record::Call {
                    id: asked.id.as_deref().map(cap).unwrap_or_default(),
                    tool: cap(&asked.tool),
                    action: found.as_ref().filter(|found| found.inferred).map(|found| found.action),
                })
                .collect(),
        };
        let claimed =
            Claimed { inferred: found.iter().flatten().any(|found| found.inferred), ..self.claimed(at) };
        let decision = self.add(at, claimed, links, Body::Decision(body), content);
        for (asked, found) in calls.iter().zip(&found) {
            let reference = self.content("args", JSON, canonical(&asked.input));
            if let Some(found) = found
                && found.arguments.is_some()
                && found.arguments != reference.digest_bytes()
            {
                let what = "the transcript has other arguments for this call than the hook was given";
                let links = vec![link(Rel::About, found.action)];
                self.differs(at, asked.id.as_deref(), links, what, reference);
            }
        }
        for (number, asked) in missing.into_iter().enumerate() {
            let cwd = at.cwd.as_deref().map(cap).unwrap_or_default();
            let (mut found, summary) =
                (self.runtime.normalise)(&asked.tool, &asked.input, &cwd, &self.writer.arrival.home);
            self.writer.state.mcp.hint(&mut found);
            let policy = PolicyDecision::undecided(self.writer.arrival.mode);
            let body = bound(ActionBody::new(&cap(&asked.tool), preview(&summary), found, policy));
            let arguments = self.content("args", JSON, canonical(&asked.input));
            let id = asked.id.as_deref().map_or_else(|| format!("fdr:{}.{number}", at.line), cap);
            let claimed = Claimed { tool_use_id: Some(id), ..self.claimed_of_part(at) };
            let mut links = vec![link(Rel::DecidedBy, decision)];
            links.extend(self.prompted(at));
            self.add(at, claimed, links, Body::Action(body), vec![arguments]);
        }
    }

    /// The actions that the hooks told of for these calls: by id, or else, where the hooks have no
    /// ids, the oldest of the same tool and arguments that no decision is known for.
    fn find(&mut self, at: &At, calls: &[Asked]) -> Vec<Option<Found>> {
        let digests: Vec<_> = calls
            .iter()
            .map(|asked| self.content("args", JSON, canonical(&asked.input)).digest_bytes())
            .collect();
        let mut taken: Vec<RecordId> = Vec::new();
        let mut all = Vec::new();
        for (asked, digest) in calls.iter().zip(digests) {
            let by_id = asked.id.as_deref().and_then(|id| self.call(id)).map(|call| Found::of(call, false));
            let by_order = || {
                let tool = cap(&asked.tool);
                let mut calls = self.known()?.unnamed_calls().filter(|call| {
                    call.tool == tool && !call.decided && !taken.contains(&call.action) && call.is_from_hook()
                });
                let calls: Vec<&Call> = calls.by_ref().collect();
                let of_agent = |call: &&&Call| call.agent == at.agent.id;
                let same =
                    |call: &&&Call| digest.is_some() && [call.arguments, call.ran_with].contains(&digest);
                let found = calls.iter().filter(same).find(of_agent).or_else(|| calls.iter().find(same));
                found.map(|call| Found { arguments: digest, ..Found::of(call, true) })
            };
            let found = by_id.or_else(by_order);
            taken.extend(found.as_ref().map(|found| found.action));
            all.push(found);
        }
        all
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

    /// What the agent was asked: by a person, or by something else, of which `what` is the word.
    pub(crate) fn prompt(&mut self, at: &At, text: &str, what: Option<&str>) {
        let reference = self.content("prompt", TEXT, text.as_bytes().to_vec());
        if !self.is_new(at) || self.known().is_some_and(|known| known.has_text(&reference.digest)) {
            return;
        }
        let body = match what {
            Some(what) => Body::Context(Context {
                what: what.to_owned(),
                len: Some(text.len() as u64),
                preview: Some(preview(text)),
                ..Context::default()
            }),
            None => Body::Prompt(Prompt { preview: preview(text) }),
        };
        self.add(at, self.claimed(at), Vec::new(), body, vec![reference]);
    }

    /// What came of a call, of an entry that `is_new` or not. `false` if a result was known already;
    /// one that shows the model something else than a hook was told is said.
    pub(crate) fn came(&mut self, at: &At, came: &Came, is_new: bool) -> bool {
        let id = came.call.as_deref().map(cap).unwrap_or_default();
        let call = self.call(&id).cloned();
        let reference = self.content("result", TEXT, came.text.clone().into_bytes());
        match &call {
            // A hook may tell that a tool ran and not how it ended.
            Some(call) if call.outcome == Some(Outcome::Unknown) && came.outcome != Outcome::Unknown => {}
            Some(call) if call.outcome.is_some() => {
                if is_new && call.seen.is_some() && call.seen != reference.digest_bytes() {
                    let links = vec![link(Rel::About, call.action)];
                    let what = "the transcript has another result for this call than the hook was given";
                    self.differs(at, came.call.as_deref(), links, what, reference);
                }
                return false;
            }
            _ if self.known().is_some_and(|known| known.had_result(&id)) => return false,
            // Without an id nothing tells it from the one before.
            None if id.is_empty() && !is_new => return false,
            _ => {}
        }
        let failed = came.outcome != Outcome::Ok;
        let body = ResultBody {
            tool: call.as_ref().map_or_else(|| cap(&came.tool), |call| call.tool.clone()),
            outcome: came.outcome,
            exit_code: came.exit_code,
            duration_ms: came.duration_ms,
            reason: Some(cap(&came.text)).filter(|_| failed),
            preview: Some(preview(&came.text)).filter(|_| !failed),
            runtime_decision: came.decision.clone(),
            signs: fdr_record::injection::signs(&came.text),
            arguments_changed: false,
        };
        let links = call.iter().map(|call| link(Rel::ResultOf, call.action)).collect();
        let key = self.known().and_then(|known| known.name_of(&id)).unwrap_or(&id).to_owned();
        let claimed = Claimed { inferred: key != id, tool_use_id: Some(key), ..self.claimed(at) };
        self.add(at, claimed, links, Body::Result(body), vec![reference]);
        true
    }

    pub(crate) fn differs(
        &mut self,
        at: &At,
        call: Option<&str>,
        links: Vec<Link>,
        what: &str,
        content: ContentRef,
    ) {
        let body = Gap { what: "transcript_differs".to_owned(), detail: what.to_owned(), millis: None };
        let claimed = Claimed { tool_use_id: call.map(cap), ..self.claimed(at) };
        self.add(at, claimed, links, Body::Gap(body), vec![content]);
    }

    /// Something else that the agent saw.
    pub(crate) fn context(&mut self, at: &At, what: &str, shown: &str, call: Option<&str>, bytes: Vec<u8>) {
        if !self.is_new(at) {
            return;
        }
        let body = Context {
            what: cap(what),
            len: Some(bytes.len() as u64),
            preview: Some(preview(shown)),
            ..Context::default()
        };
        let call = call.filter(|id| self.call(id).is_some());
        let links = call.and_then(|id| self.call(id)).map(|call| link(Rel::About, call.action));
        let (links, call) = (links.into_iter().collect(), call.map(cap));
        let reference = self.content("attachment", JSON, bytes);
        let claimed = Claimed { tool_use_id: call, ..self.claimed(at) };
        self.add(at, claimed, links, Body::Context(body), vec![reference]);
    }

    /// Something that was said, and decides nothing.
    pub(crate) fn message(&mut self, at: &At, role: &str, text: &str) {
        if !self.is_new(at) {
            return;
        }
        let reference = self.content("text", TEXT, text.as_bytes().to_vec());
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.add(at, self.claimed(at), Vec::new(), Body::Message(body), vec![reference]);
    }

    /// A line that can't be read, with its bytes.
    pub(crate) fn unparsed(&mut self, line: u64, bytes: &[u8], reason: &str) {
        let file = cap(self.chunk.file);
        if self.known().is_some_and(|known| known.has_line(&file, line)) {
            return;
        }
        let reference = self.content("raw", "application/octet-stream", bytes.to_vec());
        let claimed = Claimed { line: Some(line), ..self.claimed_file() };
        let body = Body::Unparsed(Unparsed { reason: cap(reason), event: None });
        self.writer.record(Some(&self.session), None, claimed, Vec::new(), body, vec![reference]);
    }

    pub(crate) fn prompted(&self, at: &At) -> Vec<Link> {
        let Some(prompt_id) = at.prompt_id.as_deref() else { return Vec::new() };
        let prompt =
            self.known().and_then(|known| known.prompt(&at.agent.id, &self.session, Some(prompt_id)));
        prompt.map(|id| link(Rel::PromptedBy, id)).into_iter().collect()
    }

    pub(crate) fn content(&mut self, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        self.writer.content(&self.session, role, media, bytes)
    }

    fn claimed_file(&self) -> Claimed {
        let file = Some(cap(self.chunk.file));
        Claimed { source: SOURCE.to_owned(), file, ..Claimed::default() }
    }

    pub(crate) fn claimed(&self, at: &At) -> Claimed {
        Claimed {
            ts: at.ts,
            prompt_id: at.prompt_id.as_deref().map(cap),
            turn_id: at.turn_id.as_deref().map(cap),
            message_id: at.id.as_deref().map(cap),
            cwd: at.cwd.as_deref().map(cap),
            line: Some(at.line),
            ..self.claimed_file()
        }
    }

    /// For what is only a part of an entry.
    fn claimed_of_part(&self, at: &At) -> Claimed {
        Claimed { message_id: None, ..self.claimed(at) }
    }

    pub(crate) fn add(
        &mut self,
        at: &At,
        claimed: Claimed,
        links: Vec<Link>,
        body: Body,
        content: Vec<ContentRef>,
    ) -> RecordId {
        self.writer.record(Some(&self.session), Some(at.agent.clone()), claimed, links, body, content)
    }
}

/// The action of a call that a transcript tells of.
struct Found {
    action: RecordId,
    arguments: Option<[u8; 32]>,
    inferred: bool,
}

impl Found {
    fn of(call: &Call, inferred: bool) -> Found {
        Found { action: call.action, arguments: call.arguments, inferred }
    }
}

/// One `unparsed` record of a piece that belongs to no session.
pub(crate) fn nobodys(chunk: &Chunk<'_>, reason: &str, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let mut writer = Writer::new(arrival, state);
    let raw = writer.content("", "raw", "application/octet-stream", chunk.bytes.to_vec());
    let claimed = Claimed { source: SOURCE.to_owned(), file: Some(cap(chunk.file)), ..Claimed::default() };
    let body = Body::Unparsed(Unparsed { reason: cap(reason), event: None });
    writer.record(None, None, claimed, Vec::new(), body, vec![raw]);
    writer.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_a_line_are_found_in_the_forms_of_every_runtime() {
        let of = |line: &str| {
            let found = Calls::of(line.as_bytes());
            (found.asked.join(" "), found.told.join(" "))
        };
        for (line, asked, told) in [
            (
                r#"{"message":{"content":[{"type":"text"},{"type":"tool_use","id":"a","input":{"type":"tool_use","id":"no"}}]}}"#,
                "a",
                "",
            ),
            (r#"{"message":{"content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}}"#, "", "a"),
            (r#"{"payload":{"type":"function_call","call_id":"b","arguments":"{}"}}"#, "b", ""),
            (r#"{"payload":{"type":"custom_tool_call_output","call_id":"b","output":"x"}}"#, "", "b"),
            (r#"{"message":{"role":"assistant","content":[{"type":"toolCall","id":"c"}]}}"#, "c", ""),
            (r#"{"message":{"role":"toolResult","toolCallId":"c"}}"#, "", "c"),
            (r#"{"tool_calls":"[{\"id\":\"d\",\"function\":{\"name\":\"x\"}}]"}"#, "d", ""),
            (r#"{"role":"tool","tool_call_id":"d","content":"x"}"#, "", "d"),
            ("not json", "", ""),
        ] {
            assert_eq!(of(line), (asked.to_owned(), told.to_owned()), "{line}");
        }
    }
}
