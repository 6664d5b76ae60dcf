//! The Model Context Protocol, as a proxy between client and server sees it: JSON-RPC 2.0, one
//! message a line.
//!
//! | message | record |
//! |---|---|
//! | the proxy starts or ends | `session.start`, `session.end` |
//! | answer to `initialize` | `config.change`; its `instructions` also `context` |
//! | answers to `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`, `prompts/get` | `context` |
//! | `tools/call`, `resources/read` | `action`; their answers `result` |
//! | `notifications/cancelled` | `message`, and `result` (interrupted) of the call |
//! | `elicitation/create`, `sampling/createMessage` of the server | `approval.request`; the answers `approval.grant` or `approval.deny`, and `decision` for what a model said |
//! | any other request, answer or notification | `message` |
//! | what is not JSON-RPC | `unparsed` |
//!
//! Every record has the message itself as content (`raw`), and in `claimed.message_id` which
//! side asked and the id of the request: `client:3`, `server:1`.
//!
//! What a server says of its tools (`readOnlyHint`, `destructiveHint`) is its own claim. It
//! decides the verb of a call, and the record says so under `opaque`. Files and addresses in
//! the arguments are resources only where such a hint tells what is done with them; otherwise
//! they stand under `opaque`.

use crate::writer::bound;
use crate::{Arrival, Captured, State};
use fdr_record::{
    Action, ActionBody, Agent, Approval, Body, Call, Claimed, ConfigChange, Content, ContentRef, Context,
    Decision, Hazard, Link, MAX_BYTES, Message, Mode, Names, Normalised, Outcome, PolicyDecision, Record,
    RecordId, Rel, Resource, ResultBody, SessionEnd, SessionStart, Status, Timestamp, Unparsed, VERSION,
    Verb, preview,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// What a record's `claimed.source` says.
const SOURCE: &str = "mcp-proxy";
/// Carries the session's id, made by the proxy.
pub const SESSION_VARIABLE: &str = "FDR_MCP_SESSION";
/// Variables by which an agent runtime tells the programs that it starts which session they
/// belong to.
const PARENT_VARIABLES: [&str; 5] = [
    "CLAUDE_CODE_SESSION_ID",
    "CODEX_THREAD_ID",
    "GEMINI_SESSION_ID",
    "HERMES_SESSION_ID",
    "OPENCODE_SESSION_ID",
];

/// Sessions that are remembered at once.
const MAX_SESSIONS: usize = 1_024;
/// Requests without an answer that are remembered for a session.
const MAX_PENDING: usize = 1_024;
/// Tools of which it is remembered what the server says of them.
const MAX_HINTS: usize = 4_096;
/// Messages that are read one by one out of a batch.
const MAX_BATCH: usize = 256;
/// The longest name of a server or tool that a record shows, in characters.
const MAX_NAME_CHARS: usize = 128;
/// The longest id of a request that a record shows as it is, in bytes.
const MAX_ID_BYTES: usize = 96;
/// The longest list of tools that a record shows, in bytes.
const MAX_TOOLS_BYTES: usize = 8 << 10;

/// JSON-RPC 2.0, section 5.1.
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;

// --- what is remembered -------------------------------------------------------------------

/// What is known of the sessions with MCP servers; all of it from records.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<String, Session>,
}

#[derive(Debug, Default)]
struct Session {
    next_seq: u64,
    newest: Timestamp,
    version: Option<String>,
    parent: Option<String>,
    actions: u64,
    denied: u64,
    /// What came of the newest call.
    last: Option<Outcome>,
    /// Requests without an answer, by side and id (`client:3`).
    pending: HashMap<String, Pending>,
    /// The same keys, oldest first.
    asked: VecDeque<String>,
    hints: HashMap<String, Hints>,
    /// Name of the server.
    server: String,
}

/// A request that awaits its answer.
#[derive(Clone, Debug)]
struct Pending {
    record: RecordId,
    since: Timestamp,
    method: String,
    /// The tool of a call, the name of a prompt.
    about: String,
}

/// What a server says of a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    #[serde(default)]
    read_only_hint: Option<bool>,
    #[serde(default)]
    destructive_hint: Option<bool>,
}

impl Sessions {
    /// Forgets a session, so that its records can be taken in from the first one.
    pub(crate) fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Whether anything is known of a session.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Number of the next record of a session.
    pub(crate) fn next_seq(&self, id: &str) -> u64 {
        self.by_id.get(id).map_or(0, |session| session.next_seq)
    }

    /// Adds to a call of a tool that an agent's own hook tells of what the server said of that tool to
    /// our proxy, if it stands in between: its own word, as everywhere.
    pub(crate) fn hint(&self, found: &mut Normalised) {
        let mut said = None;
        for action in &mut found.actions {
            let name = (action.resource.kind() == "mcp").then(|| action.resource.name().split_once('/'));
            let Some((server, tool)) = name.flatten() else { continue };
            let sessions = self.by_id.values().filter(|session| session.server == server);
            let newest = sessions.max_by_key(|session| session.newest);
            let Some(hints) = newest.and_then(|session| session.hints.get(tool)) else { continue };
            action.destructive |= hints.destructive_hint == Some(true);
            if hints.read_only_hint == Some(true) && action.action == Verb::Execute {
                action.action = Verb::Read;
                said = Some("that this tool only reads is the server's own word");
            }
        }
        if let Some(said) = said {
            found.opaque(said);
        }
    }

    /// Takes in one record, in the order of the log.
    pub(crate) fn observe(&mut self, record: &Record) {
        let (Some(id), Some(agent)) = (&record.session, &record.agent) else { return };
        if !agent.runtime.starts_with("mcp:") {
            return;
        }
        if !self.by_id.contains_key(id) && self.by_id.len() >= MAX_SESSIONS {
            let oldest =
                self.by_id.iter().min_by_key(|(_, session)| session.newest).map(|(id, _)| id.clone());
            oldest.map(|id| self.by_id.remove(&id));
        }
        self.by_id.entry(id.clone()).or_default().observe(record, agent);
    }
}

impl Session {
    fn observe(&mut self, record: &Record, agent: &Agent) {
        self.next_seq = record.seq + 1;
        self.newest = record.ts;
        agent.runtime.trim_start_matches("mcp:").clone_into(&mut self.server);
        self.version.clone_from(&agent.version);
        self.parent.clone_from(&agent.parent);
        let key = record.claimed.as_ref().and_then(|claimed| claimed.message_id.as_deref());
        let asks = |method: &str, about: &str| Pending {
            record: record.id,
            since: record.ts,
            method: method.to_owned(),
            about: about.to_owned(),
        };
        let asked = match &record.body {
            Body::Action(body) => {
                self.actions += 1;
                let method = if body.tool == "resources/read" { "resources/read" } else { "tools/call" };
                Some(asks(method, &body.tool))
            }
            Body::ApprovalRequest(body) => Some(asks(&body.tool, "")),
            // The words of `Side::asks` and of the answers are this file's own.
            Body::Message(body) if body.role == ROLE_REQUEST => {
                let (method, about) = body.preview.split_once(' ').unwrap_or((&body.preview, ""));
                Some(asks(method, about))
            }
            Body::Context(body) if body.what == MCP_TOOLS => {
                read_marks(body.preview.as_deref().unwrap_or_default(), &mut self.hints);
                None
            }
            Body::Result(body) => {
                self.denied += u64::from(body.outcome == Outcome::Denied);
                self.last = Some(body.outcome);
                None
            }
            _ => None,
        };
        let Some(key) = key else { return };
        if let Some(pending) = asked {
            self.ask(key.to_owned(), pending);
        } else if !matches!(&record.body, Body::Result(body) if body.outcome == Outcome::Interrupted)
            && self
                .pending
                .get(key)
                .is_some_and(|asked| record.links.iter().any(|link| link.id == asked.record))
        {
            // A cancelled call may be answered all the same, so it stays.
            self.pending.remove(key);
            self.asked.retain(|asked| asked != key);
        }
    }

    fn ask(&mut self, key: String, pending: Pending) {
        if self.pending.insert(key.clone(), pending).is_some() {
            self.asked.retain(|asked| *asked != key);
        }
        self.asked.push_back(key);
        if self.asked.len() > MAX_PENDING
            && let Some(oldest) = self.asked.pop_front()
        {
            self.pending.remove(&oldest);
        }
    }
}

/// Role of a message that awaits an answer. Its preview begins with the method.
const ROLE_REQUEST: &str = "mcp.request";
/// Role of any other message.
const ROLE_OTHER: &str = "mcp";
const MCP_TOOLS: &str = "mcp_tools";

/// The list of tools in one line, with what the server says of them:
/// `3 tools: echo (read-only), rm (destructive), touch (changes)`.
fn marked_list(tools: &[Tool<'_>]) -> String {
    let mut text = format!("{} tools: ", tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let mark = match tool.annotations.unwrap_or_default() {
            Hints { read_only_hint: Some(true), .. } => " (read-only)",
            Hints { destructive_hint: Some(true), .. } => " (destructive)",
            Hints { read_only_hint: Some(false), .. } => " (changes)",
            _ => "",
        };
        // A name that could be taken for another one and its mark gets none.
        let plain = is_plain(&tool.name);
        let entry = format!(
            "{}{}{}",
            if index > 0 { ", " } else { "" },
            if plain { tool.name.to_string() } else { name(&tool.name).replace([',', '('], "_") },
            if plain { mark } else { "" }
        );
        if text.len() + entry.len() > MAX_TOOLS_BYTES {
            text.push_str(", …");
            break;
        }
        text.push_str(&entry);
    }
    text
}

/// Reads the list back. A list may come in pages, or anew with other hints.
fn read_marks(text: &str, known: &mut HashMap<String, Hints>) {
    let list = text.split_once(" tools: ").map_or("", |(_, list)| list);
    for entry in list.split(", ") {
        let (name, mark) = entry.split_once(" (").unwrap_or((entry, ""));
        let hints = match mark {
            "read-only)" => Hints { read_only_hint: Some(true), destructive_hint: None },
            "destructive)" => Hints { read_only_hint: Some(false), destructive_hint: Some(true) },
            "changes)" => Hints { read_only_hint: Some(false), destructive_hint: None },
            _ => {
                known.remove(name);
                continue;
            }
        };
        if known.len() < MAX_HINTS {
            known.insert(name.to_owned(), hints);
        }
    }
}

/// The characters that the specification wants in the name of a tool.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

// --- reading ------------------------------------------------------------------------------

/// A JSON-RPC message. A name that occurs twice is an error, so that nothing is read here that
/// another reader would read otherwise.
#[derive(Deserialize)]
struct Rpc<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    annotations: Option<Hints>,
}

/// Reads the part of a value that is wanted; what has another form is as good as absent.
fn read<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

/// A member of an object, unread; the last one of that name, as most readers take it.
fn member<'a>(value: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
    let Members(members) = read(value)?;
    members.into_iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The members of an object in their order, names that occur twice included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Visitor).map(Members)
    }
}

/// Borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_member(value: Option<&RawValue>, name: &str) -> Option<String> {
    read::<String>(member(value, name))
}

/// The text parts of a list of content blocks (or of one), one after the other.
fn block_text(content: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, default)]
        text: Option<Cow<'a, str>>,
        #[serde(borrow, default, rename = "type")]
        form: Option<Cow<'a, str>>,
    }
    let blocks: Vec<Block<'_>> =
        read(content).or_else(|| read::<Block<'_>>(content).map(|block| vec![block]))?;
    let words = blocks.iter().take(64).filter_map(|block| match &block.text {
        Some(text) => Some(text.to_string()),
        None => block.form.as_ref().map(|form| format!("[{}]", name(form))),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// A name as a record shows it.
fn name(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }

    fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

// --- capture ------------------------------------------------------------------------------

/// Makes records of one message. `server` is the server's name, `direction` who it comes from:
/// `client` or `server`; `start` and `exit` are the proxy's word on the server's process, and
/// `refused` is what the proxy told the client in the server's place.
pub fn message(
    server: &str,
    direction: &str,
    line: &[u8],
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    let session = arrival
        .variables
        .iter()
        .find(|(name, value)| name == SESSION_VARIABLE && !value.is_empty() && value.len() <= MAX_NAME_CHARS)
        .map(|(_, value)| value.clone());
    let mut capture = Capture {
        server: name(server),
        session: session.unwrap_or_else(|| "mcp-unknown".to_owned()),
        arrival,
        state,
        captured: Captured::default(),
    };
    match direction {
        "start" => capture.start(line),
        "exit" => capture.exit(line),
        "client" => capture.line(Side::Client, false, line),
        "server" => capture.line(Side::Server, false, line),
        "refused" => capture.line(Side::Server, true, line),
        "client.part" | "server.part" => {
            capture.unparsed(direction, "a piece of a line that is too long to be kept as one", line);
        }
        _ => capture.unparsed(direction, "not a direction that the proxy knows", line),
    }
    capture.captured
}

struct Capture<'a, 'b> {
    server: String,
    session: String,
    arrival: &'a Arrival<'b>,
    state: &'a mut State,
    captured: Captured,
}

/// What a record has beside its body.
#[derive(Default)]
struct Extra<'a> {
    key: Option<String>,
    tool_use_id: Option<String>,
    links: Vec<Link>,
    /// Role, media type, bytes.
    content: Vec<(&'static str, &'static str, &'a [u8])>,
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

impl<'c> Capture<'_, '_> {
    fn memory(&self) -> Option<&Session> {
        self.state.mcp.by_id.get(&self.session)
    }

    fn pending(&self, key: &str) -> Option<Pending> {
        self.memory()?.pending.get(key).cloned()
    }

    fn server_resource(&self) -> Resource {
        Resource::new("mcp", &self.server)
    }

    fn start(&mut self, line: &[u8]) {
        let body = SessionStart { source: Some("startup".to_owned()), ..SessionStart::default() };
        self.record(Body::SessionStart(body), line, Extra::default());
    }

    fn exit(&mut self, line: &[u8]) {
        #[derive(Deserialize)]
        struct Exit {
            code: Option<i32>,
            signal: Option<i32>,
            #[serde(default)]
            forwarded: Option<i32>,
        }
        let exit: Option<Exit> = serde_json::from_slice(line).ok();
        let (actions, denied, last) =
            self.memory().map_or((0, 0, None), |known| (known.actions, known.denied, known.last));
        let by_actions = match last {
            _ if denied * 2 > actions => Status::Denied,
            Some(Outcome::Error) => Status::Failed,
            Some(Outcome::Interrupted) => Status::Interrupted,
            _ => Status::Success,
        };
        let (status, reason) = match exit {
            // A client that is done with a server may well end it by a signal.
            Some(Exit { forwarded: Some(signal), .. }) => {
                (by_actions, format!("ended by the client with signal {signal}"))
            }
            Some(Exit { signal: Some(signal), .. }) => {
                (Status::Interrupted, format!("ended by signal {signal}"))
            }
            Some(Exit { code: Some(code), .. }) => {
                (if code == 0 { by_actions } else { Status::Failed }, format!("exit status {code}"))
            }
            _ => (Status::Unknown, "the proxy did not say how".to_owned()),
        };
        let body = SessionEnd { status, reason: Some(reason), actions, denied };
        self.record(Body::SessionEnd(body), line, Extra::default());
    }

    fn line(&mut self, side: Side, refused: bool, line: &'c [u8]) {
        if line.first() != Some(&b'[') {
            return self.single(side, refused, line);
        }
        match serde_json::from_slice::<Vec<&RawValue>>(line) {
            Ok(batch) if batch.len() > MAX_BATCH => {
                let reason = format!("a batch of {} messages; up to {MAX_BATCH} are read", batch.len());
                self.unparsed(side.as_str(), &reason, line);
            }
            Ok(batch) if batch.is_empty() => self.unparsed(side.as_str(), "an empty batch", line),
            Ok(batch) => {
                for message in batch {
                    self.single(side, refused, message.get().as_bytes());
                }
            }
            Err(error) => self.unparsed(side.as_str(), &format!("not JSON: {error}"), line),
        }
    }

    fn single(&mut self, side: Side, refused: bool, line: &'c [u8]) {
        let rpc: Rpc<'c> = match serde_json::from_slice(line) {
            Ok(rpc) if line.first() == Some(&b'{') => rpc,
            Ok(_) => return self.unparsed(side.as_str(), "not a JSON-RPC message", line),
            Err(error) => {
                let what = if error.is_data() { "not a JSON-RPC message" } else { "not JSON" };
                return self.unparsed(side.as_str(), &format!("{what}: {error}"), line);
            }
        };
        match (&rpc.method, rpc.id) {
            (Some(method), Some(id)) => self.request(side, method, id, rpc.params, line),
            (Some(method), None) => self.notification(side, method, rpc.params, line),
            (None, id) if rpc.result.is_some() || rpc.error.is_some() => {
                self.answer(side, refused, id, rpc.result, rpc.error, line);
            }
            (None, _) => {
                self.unparsed(side.as_str(), "not a JSON-RPC message: no method, result or error", line)
            }
        }
    }

    fn request(
        &mut self,
        side: Side,
        method: &str,
        id: &RawValue,
        params: Option<&'c RawValue>,
        line: &'c [u8],
    ) {
        let id = self.shown_id(id);
        let mut extra = Extra { key: Some(format!("{}:{id}", side.as_str())), ..Extra::default() };
        match (side, method) {
            (Side::Client, "tools/call") => {
                let arguments = member(params, "arguments");
                let tool = text_member(params, "name").unwrap_or_default();
                let mut found = self.call(&tool, arguments);
                if read(params)
                    .is_none_or(|Members(all)| all.iter().filter(|(key, _)| key == "name").count() != 1)
                {
                    found.opaque("the call does not name exactly one tool");
                }
                let summary = arguments.map_or("", RawValue::get);
                extra.tool_use_id = Some(format!("mcp:{id}"));
                extra.content.extend(arguments.map(|arguments| ("args", JSON, arguments.get().as_bytes())));
                let body = ActionBody::new(
                    &name(&tool),
                    preview(summary),
                    found,
                    PolicyDecision::undecided(self.arrival.mode),
                );
                self.record(Body::Action(bound(body)), line, extra);
            }
            (Side::Client, "resources/read") => {
                let uri = text_member(params, "uri").unwrap_or_default();
                let mut found = Normalised::default();
                match self.named_by(&uri) {
                    Some(resource) if matches!(resource.kind(), "file" | "url") => {
                        found.push(Action::new(Verb::Read, resource));
                    }
                    _ => found.push(Action::new(
                        Verb::Read,
                        Resource::new("mcp", format_args!("{}/{}", self.server, preview(&uri))),
                    )),
                }
                extra.tool_use_id = Some(format!("mcp:{id}"));
                extra.content.extend(params.map(|params| ("args", JSON, params.get().as_bytes())));
                let body = ActionBody::new(
                    "resources/read",
                    preview(&uri),
                    found,
                    PolicyDecision::undecided(self.arrival.mode),
                );
                self.record(Body::Action(bound(body)), line, extra);
            }
            (Side::Server, "elicitation/create") => {
                let summary = text_member(params, "message").unwrap_or_default();
                self.approval_request(method, &summary, line, extra);
            }
            (Side::Server, "sampling/createMessage") => {
                #[derive(Deserialize)]
                struct Said<'a> {
                    #[serde(borrow, default)]
                    content: Option<&'a RawValue>,
                }
                let messages: Vec<Said<'_>> = read(member(params, "messages")).unwrap_or_default();
                let summary = messages.last().and_then(|said| block_text(said.content)).unwrap_or_default();
                self.approval_request(method, &summary, line, extra);
            }
            _ => {
                let about =
                    text_member(params, "name").or_else(|| text_member(params, "uri")).unwrap_or_default();
                // The method is read back from the preview: a blank in it would cut it.
                let text = format!("{} {about}", name(&method.replace(char::is_whitespace, "_")));
                self.message(ROLE_REQUEST, text.trim_end(), line, extra);
            }
        }
    }

    fn approval_request(&mut self, method: &str, summary: &str, line: &'c [u8], extra: Extra<'c>) {
        let body = Approval { tool: method.to_owned(), summary: preview(summary), ..Approval::default() };
        self.record(Body::ApprovalRequest(body), line, extra);
    }

    fn notification(&mut self, side: Side, method: &str, params: Option<&'c RawValue>, line: &'c [u8]) {
        if side == Side::Client && method == "tools/call" {
            return self.unparsed(
                "client",
                "a call without an id has no answer, and is not decided on",
                line,
            );
        }
        let said = match method {
            "notifications/cancelled" => text_member(params, "reason"),
            "notifications/message" => member(params, "data").map(|data| data.get().to_owned()),
            "notifications/progress" => member(params, "progress").map(|progress| {
                let total =
                    member(params, "total").map_or(String::new(), |total| format!(" of {}", total.get()));
                format!("{}{total}", progress.get())
            }),
            _ => None,
        };
        let text = format!("{} {}", name(method), said.as_deref().unwrap_or_default());
        let cancelled = (method == "notifications/cancelled").then(|| member(params, "requestId")).flatten();
        let key = cancelled.map(|id| format!("{}:{}", side.as_str(), self.shown_id(id)));
        let pending = key.as_deref().and_then(|key| self.pending(key));
        let about = pending.as_ref().map(|pending| Link { rel: Rel::About, id: pending.record });
        let extra = Extra { links: about.into_iter().collect(), ..Extra::default() };
        self.message(ROLE_OTHER, text.trim_end(), line, extra);
        if let (Some(key), Some(pending)) = (key, pending)
            && matches!(pending.method.as_str(), "tools/call" | "resources/read")
        {
            let mut body = self.result_body(&pending, Outcome::Interrupted);
            body.reason = Some(preview(said.as_deref().unwrap_or("cancelled by the client")));
            self.record_result(body, key, &pending, None, line);
        }
    }

    fn answer(
        &mut self,
        side: Side,
        refused: bool,
        id: Option<&RawValue>,
        result: Option<&'c RawValue>,
        error: Option<&'c RawValue>,
        line: &'c [u8],
    ) {
        #[derive(Deserialize)]
        struct Failed {
            #[serde(default)]
            code: i64,
            #[serde(default)]
            message: String,
        }
        let key = id.map(|id| format!("{}:{}", side.other().as_str(), self.shown_id(id)));
        let failed: Option<Failed> =
            error.map(|error| read(Some(error)).unwrap_or(Failed { code: 0, message: String::new() }));
        let (Some(key), Some(pending)) = (key.clone(), key.as_deref().and_then(|key| self.pending(key)))
        else {
            let text = match &failed {
                Some(failed) => format!("an error for no known request: {}", failed.message),
                None => "an answer to no known request".to_owned(),
            };
            return self.message(ROLE_OTHER, &text, line, Extra { key, ..Extra::default() });
        };
        let link = |rel| vec![Link { rel, id: pending.record }];
        match (pending.method.as_str(), failed) {
            ("tools/call" | "resources/read", failed) => {
                let outcome = match &failed {
                    Some(_) if refused => Outcome::Denied,
                    Some(Failed { code: METHOD_NOT_FOUND | INVALID_PARAMS, .. }) => Outcome::Rejected,
                    Some(_) => Outcome::Error,
                    None if read(member(result, "isError")) == Some(true) => Outcome::Error,
                    // A task that goes on: the server has only accepted it.
                    None if member(result, "task").is_some() => Outcome::Unknown,
                    None => Outcome::Ok,
                };
                let mut body = self.result_body(&pending, outcome);
                let text = match &failed {
                    Some(failed) => Some(failed.message.clone()),
                    None => block_text(member(result, "content"))
                        .or_else(|| block_text(member(result, "contents"))),
                };
                match outcome {
                    Outcome::Ok | Outcome::Unknown => body.preview = text.as_deref().map(preview),
                    _ => body.reason = text.as_deref().map(preview),
                }
                self.record_result(body, key, &pending, result.or(error), line);
            }
            ("elicitation/create" | "sampling/createMessage", failed) => {
                self.approval_answer(&pending, key, failed.map(|failed| failed.message), result, line);
            }
            (method, Some(failed)) => {
                let text = format!("{method} failed: {}", failed.message);
                let extra = Extra { key: Some(key), links: link(Rel::CausedBy), ..Extra::default() };
                self.message(ROLE_OTHER, &text, line, extra);
            }
            ("initialize", None) => self.initialized(&pending, key, result, line),
            ("tools/list", None) => {
                let tools: Option<Vec<Tool<'_>>> = read(member(result, "tools"));
                let text = tools.map_or("a list that can't be read".to_owned(), |tools| marked_list(&tools));
                self.list(MCP_TOOLS, text, member(result, "tools"), &pending, key, line);
            }
            ("prompts/list", None) => self.named_list("mcp_prompts", "prompts", result, &pending, key, line),
            ("resources/list", None) => {
                self.named_list("mcp_resources", "resources", result, &pending, key, line)
            }
            ("resources/templates/list", None) => {
                self.named_list("mcp_resource_templates", "resourceTemplates", result, &pending, key, line);
            }
            ("prompts/get", None) => {
                #[derive(Deserialize)]
                struct Said<'a> {
                    #[serde(borrow, default)]
                    content: Option<&'a RawValue>,
                }
                let messages = member(result, "messages");
                let said: Vec<Said<'_>> = read(messages).unwrap_or_default();
                let text = said.first().and_then(|said| block_text(said.content)).unwrap_or_default();
                self.list(
                    "mcp_prompt",
                    preview(&format!("{}: {text}", pending.about)),
                    messages,
                    &pending,
                    key,
                    line,
                );
            }
            (method, None) => {
                let extra = Extra { key: Some(key), links: link(Rel::CausedBy), ..Extra::default() };
                let result = result.map_or("", RawValue::get);
                self.message(ROLE_OTHER, format!("{method} answered {result}").trim_end(), line, extra);
            }
        }
    }

    fn initialized(&mut self, pending: &Pending, key: String, result: Option<&'c RawValue>, line: &'c [u8]) {
        let info = member(result, "serverInfo");
        let word = |value: Option<String>| value.map_or("?".to_owned(), |text| name(&text));
        let version = text_member(info, "version").map(|text| name(&text));
        let body = ConfigChange {
            what: "mcp_server".to_owned(),
            resource: Some(self.server_resource()),
            detail: Some(format!(
                "{} {}, protocol {}",
                word(text_member(info, "name")),
                version.as_deref().unwrap_or("?"),
                word(text_member(result, "protocolVersion"))
            )),
        };
        let extra = || Extra {
            key: Some(key.clone()),
            links: vec![Link { rel: Rel::CausedBy, id: pending.record }],
            ..Extra::default()
        };
        self.record_as(Body::ConfigChange(body), version, line, extra());
        if let Some(text) = text_member(result, "instructions") {
            let body = Context {
                what: "instructions".to_owned(),
                resource: Some(self.server_resource()),
                len: Some(text.len() as u64),
                lines: None,
                preview: Some(preview(&text)),
            };
            let mut extra = extra();
            extra.content.push(("text", "text/plain", text.as_bytes()));
            self.record(Body::Context(body), line, extra);
        }
    }

    /// What the model is shown of the server.
    fn list(
        &mut self,
        what: &str,
        text: String,
        seen: Option<&'c RawValue>,
        pending: &Pending,
        key: String,
        line: &'c [u8],
    ) {
        let seen = seen.map(|seen| seen.get().as_bytes());
        let body = Context {
            what: what.to_owned(),
            resource: Some(self.server_resource()),
            len: seen.map(|seen| seen.len() as u64),
            lines: None,
            preview: Some(text),
        };
        let extra = Extra {
            key: Some(key),
            links: vec![Link { rel: Rel::CausedBy, id: pending.record }],
            content: seen.map(|seen| ("text", JSON, seen)).into_iter().collect(),
            ..Extra::default()
        };
        self.record(Body::Context(body), line, extra);
    }

    fn named_list(
        &mut self,
        what: &str,
        kind: &str,
        result: Option<&'c RawValue>,
        pending: &Pending,
        key: String,
        line: &'c [u8],
    ) {
        let seen = member(result, kind);
        let entries: Vec<&RawValue> = read(seen).unwrap_or_default();
        let names = entries.iter().take(32).filter_map(|entry| text_member(Some(entry), "name"));
        let names = names.map(|text| name(&text)).collect::<Vec<_>>().join(", ");
        let kind = what.trim_start_matches("mcp_").replace('_', " ");
        self.list(what, preview(&format!("{} {kind}: {names}", entries.len())), seen, pending, key, line);
    }

    fn approval_answer(
        &mut self,
        pending: &Pending,
        key: String,
        failed: Option<String>,
        result: Option<&'c RawValue>,
        line: &'c [u8],
    ) {
        let extra = |rel| Extra {
            key: Some(key.clone()),
            links: vec![Link { rel, id: pending.record }],
            ..Extra::default()
        };
        let approval = |summary: String, reason: Option<String>| Approval {
            tool: pending.method.clone(),
            summary: preview(&summary),
            by: None,
            reason: reason.as_deref().map(preview),
            ..Approval::default()
        };
        if let Some(reason) = failed {
            let body = approval(String::new(), Some(reason));
            return self.record(Body::ApprovalDeny(body), line, extra(Rel::Approves));
        }
        if pending.method == "elicitation/create" {
            let answer = text_member(result, "action").unwrap_or_default();
            let given = member(result, "content").map_or("", RawValue::get).to_owned();
            let body = approval(given, Some(answer.clone()));
            let body = if answer == "accept" { Body::ApprovalGrant(body) } else { Body::ApprovalDeny(body) };
            return self.record(body, line, extra(Rel::Approves));
        }
        let content = member(result, "content");
        let text = block_text(content).unwrap_or_default();
        self.record(Body::ApprovalGrant(approval(text.clone(), None)), line, extra(Rel::Approves));
        #[derive(Deserialize)]
        struct ToolUse {
            #[serde(rename = "type")]
            form: String,
            id: String,
            name: String,
        }
        let blocks: Vec<&RawValue> =
            read(content).or_else(|| content.map(|one| vec![one])).unwrap_or_default();
        let calls = blocks
            .iter()
            .filter_map(|block| read::<ToolUse>(Some(block)))
            .filter(|block| block.form == "tool_use")
            .take(32)
            .map(|block| Call { id: name(&block.id), tool: name(&block.name), action: None })
            .collect();
        let body = Decision { stated: Some(preview(&text)), thinking: None, calls };
        let mut extra = extra(Rel::CausedBy);
        extra.content.extend(content.map(|content| ("text", JSON, content.get().as_bytes())));
        self.record(Body::Decision(body), line, extra);
    }

    /// What a tool call means, as far as the server's hints and the arguments tell.
    fn call(&self, tool: &str, arguments: Option<&RawValue>) -> Normalised {
        let mut found = Normalised::default();
        let known = self.memory().and_then(|known| known.hints.get(tool).copied());
        let hints = known.unwrap_or_default();
        let resource = Resource::new("mcp", format_args!("{}/{}", self.server, name(tool)));
        let verb = if hints.read_only_hint == Some(true) { Verb::Read } else { Verb::Execute };
        let mut action = Action::new(verb, resource);
        action.destructive = hints.destructive_hint == Some(true);
        found.push(action);
        match hints {
            Hints { read_only_hint: Some(true), .. } => {
                found.opaque("that this tool only reads is the server's own word");
            }
            Hints { read_only_hint: Some(false), .. } => {
                found.opaque(
                    "what this tool changes is known only from the server's own word and the arguments",
                );
            }
            _ => found.opaque("the server did not say what this tool does"),
        }
        let names = self.named(arguments);
        for resource in names.found {
            match (resource.kind(), hints.read_only_hint) {
                ("file", Some(true)) => found.push(Action::new(Verb::Read, resource)),
                ("file", Some(false)) => found.push(Action::new(Verb::Write, resource)),
                ("url", Some(true)) => found.push(Action::new(Verb::Network, resource)),
                ("url", Some(false)) => found.push(Action::new(Verb::Send, resource)),
                _ => {
                    found.opaque(format!("the arguments name {resource}; what is done with it is not known"));
                    found.named.push(resource);
                }
            }
        }
        if names.left_out > 0 {
            found.opaque(format!("{} more names in the arguments are not listed", names.left_out));
            found.hazard(Hazard::LeftOut);
        }
        found
    }

    /// The files and addresses that the arguments name. A member may stand there twice, and
    /// servers differ in which they take.
    fn named(&self, arguments: Option<&RawValue>) -> Names<'_> {
        let cwd = self.arrival.env.cwd.as_deref().unwrap_or("/");
        let mut names = Names::new(&self.server, cwd, &self.arrival.home);
        let Some(Members(members)) = read(arguments) else { return names };
        for (key, value) in members {
            if let Some(value) = read::<serde_json::Value>(Some(value)) {
                names.member(&key, &value);
            }
        }
        names
    }

    /// What the address of a resource names.
    fn named_by(&self, uri: &str) -> Option<Resource> {
        let cwd = self.arrival.env.cwd.as_deref().unwrap_or("/");
        let mut names = Names::new(&self.server, cwd, &self.arrival.home);
        names.member("uri", &uri.into());
        names.found.pop()
    }

    fn result_body(&self, pending: &Pending, outcome: Outcome) -> ResultBody {
        let duration = self.arrival.now.0.checked_sub(pending.since.0).map(|nanos| nanos / 1_000_000);
        ResultBody {
            tool: pending.about.clone(),
            outcome,
            exit_code: None,
            duration_ms: duration,
            reason: None,
            preview: None,
            runtime_decision: None,
            signs: Vec::new(),
            arguments_changed: false,
        }
    }

    fn record_result(
        &mut self,
        mut body: ResultBody,
        key: String,
        pending: &Pending,
        result: Option<&'c RawValue>,
        line: &'c [u8],
    ) {
        body.signs = result.map(|result| fdr_record::injection::signs(result.get())).unwrap_or_default();
        let extra = Extra {
            tool_use_id: key.split_once(':').map(|(_, id)| format!("mcp:{id}")),
            key: Some(key),
            links: vec![Link { rel: Rel::ResultOf, id: pending.record }],
            content: result.map(|result| ("result", JSON, result.get().as_bytes())).into_iter().collect(),
        };
        self.record(Body::Result(body), line, extra);
    }

    fn message(&mut self, role: &str, text: &str, line: &'c [u8], extra: Extra<'c>) {
        let body = Message { role: role.to_owned(), preview: preview(text) };
        self.record(Body::Message(body), line, extra);
    }

    /// What can't be understood can't be decided on; enforced, it is not let through.
    fn unparsed(&mut self, direction: &str, reason: &str, line: &[u8]) {
        if self.arrival.mode == Mode::Enforce && direction.starts_with("client") {
            self.captured.refused = Some(reason.to_owned());
        }
        let body = Unparsed { reason: preview(reason), event: Some(name(direction)) };
        self.record(Body::Unparsed(body), line, Extra::default());
    }

    /// The id of a request as a record shows it: its JSON text. A long one is known by its
    /// fingerprint.
    fn shown_id(&self, id: &RawValue) -> String {
        let text = id.get();
        match text.len() <= MAX_ID_BYTES {
            true => text.to_owned(),
            false => format!("#{}", self.arrival.content_key.fingerprint(text.as_bytes())),
        }
    }

    fn record(&mut self, body: Body, line: &[u8], extra: Extra<'_>) {
        let version = self.memory().and_then(|known| known.version.clone());
        self.record_as(body, version, line, extra);
    }

    fn record_as(&mut self, body: Body, version: Option<String>, line: &[u8], extra: Extra<'_>) {
        let arrival = self.arrival;
        let known = self.memory();
        let parent = known.and_then(|known| known.parent.clone()).or_else(|| {
            let parent = arrival.variables.iter().find(|(name, _)| PARENT_VARIABLES.contains(&name.as_str()));
            parent.map(|(_, id)| name(id)).filter(|id| !id.is_empty())
        });
        let runtime = format!("mcp:{}", self.server);
        let seq = known.map_or(0, |known| known.next_seq);
        let raw_media = if matches!(body, Body::Unparsed(_)) { BYTES } else { JSON };
        let mut content: Vec<ContentRef> = Vec::new();
        for (role, media, bytes) in extra.content.into_iter().chain([("raw", raw_media, line)]) {
            let (mut reference, kept): (ContentRef, Content) =
                arrival.content_key.seal(&self.session, role, media, bytes.to_vec());
            reference.redacted = if role == "raw" { arrival.redacted } else { 0 };
            content.push(reference);
            // The salt is made from the content: the same one means the same bytes.
            if self.captured.contents.iter().all(|other| other.salt != kept.salt) {
                self.captured.contents.push(kept);
            }
        }
        let mut record = Record {
            v: VERSION,
            id: self.state.ids.next(arrival.now),
            kind: body.kind(),
            ts: arrival.now,
            mono: arrival.mono,
            seq,
            session: Some(self.session.clone()),
            agent: Some(Agent {
                id: self.session.clone(),
                name: runtime.clone(),
                runtime,
                version,
                model: None,
                parent,
            }),
            principal: arrival.principal.clone(),
            trace: crate::writer::trace(arrival),
            links: extra.links,
            claimed: Some(Claimed {
                source: SOURCE.to_owned(),
                tool_use_id: extra.tool_use_id,
                message_id: extra.key,
                cwd: arrival.env.cwd.clone(),
                ..Claimed::default()
            }),
            observed: Some(arrival.observed.clone()),
            env: Some(arrival.env.clone()),
            body,
            sealed: None,
            content,
        };
        fit(&mut record);
        self.state.decide(&mut record, &arrival.home);
        self.state.observe(&record);
        if let Body::Action(_) = record.body {
            self.captured.held.push(record.id);
        }
        self.captured.records.push(record);
    }
}

/// Every text of a body is short; only what comes with the arrival could make a record too
/// large for the log.
fn fit(record: &mut Record) {
    if record.to_line().len() > MAX_BYTES {
        record.env = None;
        if let Some(claimed) = &mut record.claimed {
            claimed.cwd = None;
        }
    }
}
