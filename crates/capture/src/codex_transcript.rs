//! The rollouts that Codex keeps on disk: one thread a file, one JSON entry a line.
//!
//! A sub-agent is a thread of its own, of the session that it belongs to. Beside what the model said
//! and was given there are items that tell how a call ended; they know the exit status of a command,
//! which no hook tells, and come also for calls that the script of another call made.

use crate::codex::RUNTIME;
use crate::codex_outcome::{exit_code, outcome, runs_on};
use crate::event::{self, Who, canonical, delegated, flat, ran};
use crate::state::{ROLE_INTERRUPT, ROLE_TURN_ERROR};
use crate::transcript::{self, Asked, At, Came, Chunk, Import, Said};
use crate::writer::{cap, link};
use crate::{Arrival, Captured, State};
use fdr_record::{
    Basis, Body, Claimed, DecidedBy, Decision, Outcome, RecordId, Rel, RuntimeDecision, Timestamp, Verdict,
    clean_path, preview,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// How the ids of calls begin that a script made.
const OF_A_SCRIPT: &str = "exec-";
/// The tool that runs a script.
const SCRIPT: &str = "exec";
/// The most calls of one script that a decision lists.
const MAX_CALLS: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    timestamp: Option<String>,
    ordinal: Option<u64>,
    r#type: String,
    payload: Value,
}

/// Makes records of a piece of a rollout.
pub(crate) fn import(chunk: &Chunk<'_>, arrival: &Arrival<'_>, state: &mut State) -> Captured {
    let Some((session, thread)) = whose(chunk, state) else {
        return transcript::nobodys(
            chunk,
            "neither an entry of it nor its name tells its thread",
            arrival,
            state,
        );
    };
    let chunk = &whole_responses(chunk);
    let Some(import) = Import::new(&RUNTIME, &session, chunk, arrival, state) else {
        return Captured::default();
    };
    let mut reading = Reading::new(import, thread);
    for (number, line) in chunk.lines() {
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => reading.entry(number, entry),
            Err(error) => {
                reading.said_ends();
                reading.import.unparsed(number, line, &error.to_string());
            }
        }
        if !reading.import.has_room() {
            return reading.import.unfinished(number);
        }
    }
    reading.said_ends();
    reading.import.finish()
}

/// The piece without a response of the model at its end that goes on in lines to come: what it thought,
/// said and asked for is one decision. A piece that begins with it is read as it is.
fn whole_responses<'c>(chunk: &Chunk<'c>) -> Chunk<'c> {
    // Where secrets were taken out it can't be said how long a part of the piece is in the file.
    if chunk.len != chunk.bytes.len() as u64 {
        return *chunk;
    }
    let (mut start, mut offset) = (None, 0);
    for line in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
        let entry = serde_json::from_slice::<Entry>(line).unwrap_or_default();
        let kind = text(&entry.payload, "type").unwrap_or_default();
        match (entry.r#type.as_str(), kind) {
            ("response_item", "message") if text(&entry.payload, "role") != Some("assistant") => start = None,
            ("response_item", kind) if kind.ends_with("_output") => start = None,
            ("response_item", _) => start = start.or(Some(offset)),
            ("token_usage_record", _) | ("event_msg", "token_count" | "task_complete" | "turn_aborted") => {
                start = None;
            }
            _ => {}
        }
        offset += line.len();
    }
    match start.filter(|start| *start > 0) {
        Some(start) => Chunk { len: start as u64, bytes: &chunk.bytes[..start], ..*chunk },
        None => *chunk,
    }
}

/// The session of a rollout, and its thread.
fn whose(chunk: &Chunk<'_>, state: &State) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Named {
        session_id: Option<String>,
        id: Option<String>,
        thread_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        payload: Named,
    }
    let mut told = chunk.lines().filter_map(|(_, line)| {
        let line = serde_json::from_slice::<Line>(line).ok()?;
        let thread = match line.r#type.as_str() {
            "session_meta" => line.payload.id,
            "token_usage_record" => line.payload.thread_id,
            _ => return None,
        }?;
        // Older versions name the thread only; that of a sub-agent was a session of its own.
        Some((line.payload.session_id.unwrap_or_else(|| thread.clone()), thread))
    });
    let of_file = || {
        let thread = of_name(chunk.file)?;
        let known = state.file(&cap(chunk.file)).and_then(|read| read.pieces.first());
        Some((known.map_or(thread, |piece| &piece.session).to_owned(), thread.to_owned()))
    };
    let (session, thread) = told.next().or_else(of_file)?;
    let plain = |id: &str| event::session_id(id).is_ok();
    (plain(&session) && plain(&thread)).then_some((session, thread))
}

/// `…/rollout-2026-01-02T03-04-05-THREAD.jsonl`
fn of_name(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(".jsonl")?;
    let thread = stem.get(stem.len().checked_sub(36)?..)?;
    let is_id = thread.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (is_id && stem.contains("rollout-")).then_some(thread)
}

struct Reading<'a, 'b, 'c> {
    import: Import<'a, 'b, 'c>,
    /// Id of the thread: the session's own, or a sub-agent's.
    thread: String,
    /// What is known of the agent, where an entry of this piece tells it.
    kind: Option<String>,
    parent: Option<String>,
    version: Option<String>,
    model: Option<String>,
    cwd: Option<String>,
    turn: Option<String>,
    /// What the model says and asks for in the response that is being read, and where it begins.
    said: Said,
    said_at: Option<At>,
    /// The tools of the calls of this piece.
    tools: HashMap<String, String>,
    /// The calls that items told of since a script ended.
    items: HashSet<String>,
}

/// How a call ended, as an item tells.
struct Ended {
    id: String,
    /// The call itself, for one that nothing else tells of.
    tool: String,
    input: Value,
    cwd: Option<String>,
    came: Came,
}

impl<'a, 'b, 'c> Reading<'a, 'b, 'c> {
    fn new(import: Import<'a, 'b, 'c>, thread: String) -> Self {
        let main = import.session.clone();
        let agent = import.known().and_then(|known| known.agent(&thread).or(known.agent(&main)));
        let cwd = agent.and_then(|agent| agent.cwd.clone());
        Reading {
            import,
            thread,
            kind: None,
            parent: None,
            version: None,
            model: None,
            cwd,
            turn: None,
            said: Said::default(),
            said_at: None,
            tools: HashMap::new(),
            items: HashSet::new(),
        }
    }

    fn is_subagent(&self) -> bool {
        self.thread != self.import.session
    }

    fn entry(&mut self, number: u64, entry: Entry) {
        let payload = entry.payload;
        // Each turn names itself in its entries; what a piece begins with goes on with the last one.
        let turn = payload.pointer("/internal_chat_message_metadata_passthrough/turn_id");
        if let Some(turn) = text(&payload, "turn_id").or(turn.and_then(Value::as_str)) {
            self.turn = Some(turn.to_owned());
        }
        let place = (number, entry.ordinal, entry.timestamp);
        match entry.r#type.as_str() {
            "session_meta" => self.begins(&place, &payload),
            "turn_context" => self.turn_begins(&place, &payload),
            "response_item" => self.item(&place, &payload),
            "event_msg" => self.event(&place, &payload),
            "compacted" => {
                self.said_ends();
                let shown = text(&payload, "message").unwrap_or_default();
                self.import.context(&self.at(&place), "compaction", shown, None, canonical(&payload));
            }
            // The response is complete.
            "token_usage_record" => self.said_ends(),
            // Book-keeping of the runtime; in the whole file.
            _ => {}
        }
    }

    fn at(&self, (line, ordinal, timestamp): &Place) -> At {
        let who = Who {
            session: &self.import.session,
            subagent: self.is_subagent().then_some(self.thread.as_str()),
            kind: self.kind.as_deref().filter(|_| self.is_subagent()),
            parent: self.parent.as_deref().filter(|_| self.is_subagent()),
            version: self.version.clone(),
            model: self.model.as_deref(),
            ..Who::default()
        };
        At {
            line: *line,
            id: ordinal.map(|ordinal| format!("{}:{ordinal}", self.thread)),
            ts: timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok()),
            agent: event::agent(RUNTIME.name, &who, &self.import.writer),
            cwd: self.cwd.clone(),
            prompt_id: self.turn.clone(),
            turn_id: self.turn.clone(),
        }
    }

    /// The thread: version, repository, who started it, the instructions that are built in.
    fn begins(&mut self, place: &Place, meta: &Value) {
        let owned = |key: &str| text(meta, key).map(str::to_owned);
        if text(meta, "id").is_some_and(|id| id != self.thread) {
            // A thread that was forked off repeats the beginning of the other one.
            return;
        }
        self.version = owned("cli_version");
        self.cwd = owned("cwd").or(self.cwd.take());
        self.parent = owned("parent_thread_id");
        if self.is_subagent() {
            let role = meta.pointer("/source/subagent/thread_spawn/agent_role").and_then(Value::as_str);
            self.kind = Some(role.or(text(meta, "agent_role")).unwrap_or("default").to_owned());
        }
        let said = |label: &str, path: &str| {
            let value = meta.pointer(path)?.as_str().filter(|value| !value.is_empty())?;
            Some(format!("{label} {value}"))
        };
        let shown = [
            said("version", "/cli_version"),
            said("by", "/originator"),
            said("provider", "/model_provider"),
            said("branch", "/git/branch"),
            said("commit", "/git/commit_hash"),
            said("repository", "/git/repository_url"),
            said("forked from", "/forked_from_id"),
        ];
        let shown = shown.into_iter().flatten().collect::<Vec<_>>().join(", ");
        self.import.context(&self.at(place), "session_meta", &shown, None, canonical(meta));
    }

    /// What holds in a turn: model, approval policy, sandbox, folder.
    fn turn_begins(&mut self, place: &Place, turn: &Value) {
        self.said_ends();
        let owned = |key: &str| text(turn, key).map(str::to_owned);
        self.cwd = owned("cwd").or(self.cwd.take());
        self.model = owned("model").or(self.model.take());
        let approval = turn.get("approval_policy").map(flat).unwrap_or_default();
        let sandbox = turn.pointer("/sandbox_policy/type").or(turn.get("sandbox_policy"));
        let shown = format!(
            "model {}, approval {approval}, sandbox {}, reviewer {}",
            text(turn, "model").unwrap_or("?"),
            sandbox.map(flat).unwrap_or_default(),
            text(turn, "approvals_reviewer").unwrap_or("user"),
        );
        self.import.context(&self.at(place), "turn_context", &shown, None, canonical(turn));
    }

    fn item(&mut self, place: &Place, item: &Value) {
        let kind = text(item, "type").unwrap_or_default();
        match kind {
            "reasoning" => {
                let parts = ["summary", "content"].iter().filter_map(|key| item.get(*key)?.as_array());
                let thinking: Vec<&str> = parts.flatten().filter_map(|part| text(part, "text")).collect();
                if !thinking.is_empty() {
                    append(&mut self.says(place).thinking, &thinking.join("\n"));
                }
            }
            "message" if text(item, "role") == Some("assistant") => {
                let shown = shown(item.get("content").unwrap_or(&Value::Null));
                append(&mut self.says(place).text, &shown);
            }
            "message" => self.told(place, item),
            "agent_message" => {
                self.said_ends();
                let shown = shown(item.get("content").unwrap_or(&Value::Null));
                let shown = format!("{}: {shown}", text(item, "author").unwrap_or("agent"));
                self.import.prompt(&self.at(place), &shown, Some("delegation"));
            }
            "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "tool_search_call"
            | "web_search_call"
            | "image_generation_call" => self.asks(place, kind, item),
            "function_call_output" | "custom_tool_call_output" | "tool_search_output" => {
                self.said_ends();
                self.given(place, item);
            }
            // Kept in the whole file: the tools that are declared, book-keeping.
            _ => {}
        }
    }

    fn says(&mut self, place: &Place) -> &mut Said {
        if self.said_at.is_none() {
            self.said_at = Some(self.at(place));
        }
        &mut self.said
    }

    /// Writes what the model said and asked for in the response that just ended.
    fn said_ends(&mut self) {
        let said = std::mem::take(&mut self.said);
        if let Some(at) = self.said_at.take() {
            self.import.said(&at, said);
        }
    }

    /// A message that is not the model's: from a person, or from the runtime.
    fn told(&mut self, place: &Place, item: &Value) {
        self.said_ends();
        let content = shown(item.get("content").unwrap_or(&Value::Null));
        let kinds = item.pointer("/internal_chat_message_metadata_passthrough/content_item_kinds");
        let kinds = kinds.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let kinds: Vec<&str> = kinds.collect();
        let by_user = text(item, "role") == Some("user");
        let what = match kinds.iter().find(|kind| !kind.starts_with("user.")) {
            Some(kind) => Some(*kind),
            None if !by_user => Some("developer"),
            None if kinds.is_empty() && is_own(&content) => Some("runtime"),
            // What a sub-agent is asked comes from its parent, not from a person.
            None => self.is_subagent().then_some("delegation"),
        };
        self.import.prompt(&self.at(place), &content, what);
    }

    /// A call that the model asks for.
    fn asks(&mut self, place: &Place, kind: &str, item: &Value) {
        let id = text(item, "call_id").or(text(item, "id")).unwrap_or_default().to_owned();
        let (tool, mut input) = called(kind, item);
        let mut folder = None;
        if tool == "Bash"
            && let Some(command) = input.get("command").cloned()
        {
            // A hook is given the command alone, and as its working directory that of the command.
            folder = text(&input, "workdir").filter(|folder| !folder.is_empty()).map(str::to_owned);
            input = match text(&input, "shell") {
                Some(shell) => json!({ "command": command, "shell": shell }),
                None => json!({ "command": command }),
            };
        }
        if let Some(folder) = folder
            && !self.import.call(&id).is_some_and(|call| call.is_from_hook())
        {
            self.said_ends();
            let at = self.at(place);
            let cwd = Some(clean_path(&folder, at.cwd.as_deref().unwrap_or_default()));
            self.said_at = Some(At { cwd, ..at });
        }
        self.tools.insert(id.clone(), tool.clone());
        self.says(place).calls.push(Asked { id: Some(id.clone()), tool: tool.clone(), input });
        // What runs at the provider is done when it is told.
        if matches!(kind, "web_search_call" | "image_generation_call") {
            self.said_ends();
            let is_done = text(item, "status").is_none_or(|status| status == "completed");
            let outcome = if is_done { Outcome::Ok } else { Outcome::Error };
            let text = text(item, "status").unwrap_or_default().to_owned();
            self.came(place, came(&id, &tool, text, outcome));
        }
    }

    /// What the model was given for a call. How the call ended is known already where an item told.
    fn given(&mut self, place: &Place, item: &Value) {
        let Some(id) = text(item, "call_id").map(str::to_owned) else { return };
        let words = shown(item.get("output").unwrap_or(&Value::Null));
        let known = || self.import.call(&id).map(|call| call.tool.clone());
        let tool = self.tools.get(&id).cloned().or_else(known).unwrap_or_default();
        if tool == SCRIPT {
            self.script_ended(place, &id, &words);
        }
        // It goes on; an item tells how it ended.
        if runs_on(&words) {
            return;
        }
        let (mut outcome, decision) = outcome(&words);
        let mut exit_code = exit_code(&words);
        if tool == "write_stdin" && exit_code.is_some() {
            // How the program ended that was typed to, which is another call's.
            (outcome, exit_code) = (Outcome::Ok, None);
        }
        self.came(place, Came { exit_code, decision, ..came(&id, &tool, words, outcome) });
    }

    fn came(&mut self, place: &Place, came: Came) -> bool {
        let at = self.at(place);
        let is_new = self.import.is_new(&at);
        self.import.came(&at, &came, is_new)
    }

    fn event(&mut self, place: &Place, event: &Value) {
        match text(event, "type").unwrap_or_default() {
            "item_completed" => {
                let item = event.get("item").unwrap_or(&Value::Null);
                self.started(place, item);
                if let Some(ended) = ended(item) {
                    self.ended(place, ended);
                }
            }
            "task_complete" => {
                self.said_ends();
                self.turn_ended(place);
            }
            "turn_aborted" => {
                self.said_ends();
                self.turn_ended(place);
                // The hook is called for the main agent only.
                if self.is_subagent() || !self.import.known().is_some_and(|known| known.tells_results) {
                    let reason = text(event, "reason").unwrap_or("interrupted");
                    self.import.message(&self.at(place), ROLE_INTERRUPT, reason);
                }
            }
            "error" | "stream_error" => {
                self.said_ends();
                let words = text(event, "message").unwrap_or_default();
                self.import.message(&self.at(place), ROLE_TURN_ERROR, words);
            }
            "thread_rolled_back" => {
                self.said_ends();
                self.import.context(&self.at(place), "rollback", &event.to_string(), None, canonical(event));
            }
            // Told by the items of the response too, or book-keeping.
            _ => {}
        }
    }

    fn ended(&mut self, place: &Place, ended: Ended) {
        self.said_ends();
        self.items.insert(ended.id.clone());
        let known = self.import.known();
        let is_told = known.is_some_and(|known| known.had_call(&cap(&ended.id)));
        if !is_told {
            // A script's call of which no hook told.
            let asked = Asked { id: Some(ended.id.clone()), tool: ended.tool, input: ended.input };
            let at = self.at(place);
            let at = At { cwd: ended.cwd.or(at.cwd), ..at };
            self.import.said(&at, Said { calls: vec![asked], ..Said::default() });
            // The entry is taken in by that; its result is new all the same.
            self.import.came(&at, &ended.came, true);
            return;
        }
        self.came(place, ended.came);
    }

    /// A sub-agent was started by a call.
    fn started(&mut self, place: &Place, item: &Value) {
        let child = match (text(item, "type"), text(item, "tool"), text(item, "kind")) {
            (Some("CollabAgentToolCall"), Some("spawn_agent"), _) => {
                item.pointer("/receiver_thread_ids/0").and_then(Value::as_str)
            }
            (Some("SubAgentActivity"), _, Some("started")) => text(item, "agent_thread_id"),
            _ => None,
        };
        let (Some(child), Some(id)) = (child, text(item, "id")) else { return };
        self.said_ends();
        let Some(action) = self.import.call(id).map(|call| call.action) else { return };
        let at = self.at(place);
        let claimed = Claimed { tool_use_id: Some(cap(id)), ..self.import.claimed(&at) };
        let session = self.import.session.clone();
        let who = Who {
            session: &session,
            subagent: Some(child),
            kind: Some(text(item, "agent_role").unwrap_or("default")),
            parent: Some(&at.agent.id),
            ..Who::default()
        };
        let raw = self.import.content("attachment", "application/json", canonical(item));
        delegated(&mut self.import.writer, RUNTIME.name, &who, action, &claimed, &raw);
    }

    /// The calls that a script made were asked for by what asked for the script. Refusals are exceptions
    /// in it, which it may show or not.
    fn script_ended(&mut self, place: &Place, script: &str, words: &str) {
        let items = std::mem::take(&mut self.items);
        let at = self.at(place);
        if !self.import.is_new(&at) {
            return;
        }
        let made = self.made(&at.agent.id);
        // What was made after the last one that an item tells of may be another script's already.
        let sure = made.iter().rposition(|made| items.contains(&made.id)).map_or(0, |last| last + 1);
        let mut lines: Vec<&str> = words.lines().collect();
        let mut shown = Vec::new();
        for (number, made) in made.iter().enumerate() {
            let Some(reason) = made.refused.as_deref().filter(|reason| made.is_open && !reason.is_empty())
            else {
                continue;
            };
            if let Some(line) = lines.iter().position(|line| line.contains(reason)) {
                shown.push((number, lines.remove(line)));
            }
        }
        let its: Vec<&Made> = made
            .iter()
            .enumerate()
            .filter(|(number, _)| *number < sure || shown.iter().any(|(shown, _)| shown == number))
            .map(|(_, made)| made)
            .collect();
        self.asked_for(&at, Some(script), &its);
        for (number, line) in shown {
            let denied = came(&made[number].id, &made[number].tool, line.to_owned(), Outcome::Denied);
            let decision = Some(refusal(Basis::Stated, line));
            self.import.came(&at, &Came { decision, ..denied }, true);
        }
    }

    /// The calls of scripts of that agent which no decision is known for, oldest first.
    fn made(&self, agent: &str) -> Vec<Made> {
        let calls = self.import.known().into_iter().flat_map(|known| known.calls_by_id());
        let calls = calls.filter(|(id, call)| {
            id.starts_with(OF_A_SCRIPT) && call.agent == agent && !call.decided && call.is_from_hook()
        });
        let mut made: Vec<Made> = calls
            .take(MAX_CALLS)
            .map(|(id, call)| Made {
                id: id.to_owned(),
                tool: call.tool.clone(),
                action: call.action,
                refused: call.refused.clone(),
                is_open: call.outcome.is_none(),
            })
            .collect();
        made.reverse();
        made
    }

    /// Leads calls back to the script that made them, as far as it is known.
    fn asked_for(&mut self, at: &At, script: Option<&str>, made: &[&Made]) {
        if made.is_empty() {
            return;
        }
        let call =
            |made: &&Made| fdr_record::Call { id: made.id.clone(), tool: made.tool.clone(), action: None };
        let calls = made.iter().map(call).collect();
        let links = made.iter().map(|made| link(Rel::DecisionFor, made.action)).collect();
        let claimed = Claimed {
            tool_use_id: script.map(cap),
            inferred: true,
            message_id: None,
            ..self.import.claimed(at)
        };
        let body = Body::Decision(Decision { stated: None, thinking: None, calls });
        self.import.add(at, claimed, links, body, Vec::new());
    }

    /// The turn is over: what a script asked for and nothing tells of is not under way any more.
    fn turn_ended(&mut self, place: &Place) {
        let at = self.at(place);
        if !self.import.is_new(&at) {
            return;
        }
        let made = self.made(&at.agent.id);
        self.asked_for(&at, None, &made.iter().collect::<Vec<_>>());
        let Some(known) = self.import.known() else { return };
        let open: Vec<(String, String, Option<String>)> = known
            .open_calls_by_id()
            .filter(|(id, call)| id.starts_with(OF_A_SCRIPT) && call.agent == at.agent.id)
            .map(|(id, call)| (id.to_owned(), call.tool.clone(), call.refused.clone()))
            .collect();
        for (id, tool, refused) in open {
            let (outcome, decision, words) = match refused {
                Some(reason) => {
                    let words = format!("our hook refused it, and nothing says that it ran: {reason}");
                    (Outcome::Denied, Some(refusal(Basis::Inferred, &words)), words)
                }
                None => {
                    let words = "neither a hook nor the rollout says what came of it".to_owned();
                    (Outcome::Unknown, None, words)
                }
            };
            self.import.came(&at, &Came { decision, ..came(&id, &tool, words, outcome) }, true);
        }
    }
}

/// A call that a script made.
struct Made {
    id: String,
    tool: String,
    action: RecordId,
    /// Why our hook refused it.
    refused: Option<String>,
    is_open: bool,
}

type Place = (u64, Option<u64>, Option<String>);

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// Text, or a list of parts of which the images are not shown.
fn shown(value: &Value) -> String {
    let Value::Array(parts) = value else { return flat(value) };
    let parts = parts.iter().map(|part| match (text(part, "text"), text(part, "encrypted_content")) {
        (Some(text), _) | (None, Some(text)) => text,
        _ => "[image]",
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// A message of the runtime in the user's place, in versions that do not mark them.
fn is_own(text: &str) -> bool {
    const OWN: [&str; 6] = [
        "<environment_context",
        "<user_instructions",
        "# AGENTS.md instructions",
        "<turn_aborted",
        "<subagent_notification",
        "<user_shell_command",
    ];
    OWN.iter().any(|start| text.trim_start().starts_with(start))
}

fn append(all: &mut String, more: &str) {
    if !all.is_empty() && !more.is_empty() {
        all.push('\n');
    }
    all.push_str(more);
}

/// A call as a hook tells it: name and arguments.
fn called(kind: &str, item: &Value) -> (String, Value) {
    let name = text(item, "name").unwrap_or_default();
    let arguments = match item.get("arguments") {
        Some(Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        Some(other) => other.clone(),
        None => Value::Null,
    };
    match (kind, text(item, "namespace").unwrap_or_default()) {
        ("local_shell_call", _) => {
            let action = item.get("action").unwrap_or(&Value::Null);
            let folder = action.get("working_directory").cloned().unwrap_or_default();
            let command = action.get("command").cloned().unwrap_or_default();
            ("local_shell".to_owned(), json!({ "command": command, "workdir": folder }))
        }
        ("tool_search_call", _) => ("tool_search".to_owned(), arguments),
        ("web_search_call", _) => {
            ("web_search".to_owned(), json!({ "action": item.get("action").cloned().unwrap_or_default() }))
        }
        ("image_generation_call", _) => (
            "image_generation".to_owned(),
            json!({ "prompt": item.get("revised_prompt").cloned().unwrap_or_default() }),
        ),
        ("custom_tool_call", _) => {
            let input = text(item, "input").unwrap_or_default();
            let key = if name == SCRIPT { "code" } else { "command" };
            (name.to_owned(), json!({ key: input }))
        }
        (_, "" | "functions") if matches!(name, "exec_command" | "shell_command") => {
            let mut input = arguments;
            if let Some(input) = input.as_object_mut()
                && let Some(command) = input.remove("cmd")
            {
                input.insert("command".to_owned(), command);
            }
            ("Bash".to_owned(), input)
        }
        (_, "" | "functions") => (name.to_owned(), arguments),
        // The one tool that hooks name without its namespace.
        (_, "multi_agent_v1") if name == "spawn_agent" => (name.to_owned(), arguments),
        (_, namespace) if namespace.starts_with("mcp__") => (format!("{namespace}__{name}"), arguments),
        (_, namespace) => (format!("{namespace}{name}"), arguments),
    }
}

fn came(id: &str, tool: &str, text: String, outcome: Outcome) -> Came {
    Came {
        call: Some(id.to_owned()),
        tool: tool.to_owned(),
        text,
        outcome,
        exit_code: None,
        duration_ms: None,
        decision: (outcome != Outcome::Unknown).then(ran),
    }
}

fn refusal(basis: Basis, reason: &str) -> RuntimeDecision {
    RuntimeDecision {
        decision: Verdict::Deny,
        by: DecidedBy::Hook,
        basis,
        reason: Some(cap(&preview(reason))),
    }
}

/// How a call ended, where an item tells that it ran.
fn ended(item: &Value) -> Option<Ended> {
    let id = text(item, "id")?.to_owned();
    let status = text(item, "status");
    // The text that the model is given says who declined it.
    if matches!(status, Some("declined" | "in_progress")) {
        return None;
    }
    let failed = status == Some("failed");
    let (tool, input, words) = match text(item, "type")? {
        "CommandExecution" => {
            let command = item.get("command").unwrap_or(&Value::Null);
            // The shell's own command line, as a hook is given it.
            let script = command.as_array().filter(|words| words.len() == 3).and_then(|words| words.last());
            let words = text(item, "aggregated_output").unwrap_or_default().to_owned();
            ("Bash".to_owned(), json!({ "command": script.unwrap_or(command) }), words)
        }
        "FileChange" => {
            let words = ["stdout", "stderr"].map(|key| text(item, key).unwrap_or_default()).concat();
            let changes = item.get("changes").cloned().unwrap_or_default();
            ("apply_patch".to_owned(), json!({ "changes": changes }), words)
        }
        "McpToolCall" => {
            let (server, tool) = (text(item, "server")?, text(item, "tool")?);
            // Its own tools for the resources of servers are told in the same form.
            let is_own = server == "codex" || tool.ends_with("mcp_resource") || tool.starts_with("list_mcp_");
            let tool = if is_own { tool.to_owned() } else { format!("mcp__{server}__{tool}") };
            let words = match item.pointer("/error/message").and_then(Value::as_str) {
                Some(error) => error.to_owned(),
                None => item.get("result").map(flat).unwrap_or_default(),
            };
            (tool, item.get("arguments").cloned().unwrap_or_default(), words)
        }
        "ImageView" => ("view_image".to_owned(), json!({ "path": text(item, "path") }), String::new()),
        _ => return None,
    };
    let cwd = text(item, "cwd").map(|cwd| cwd.strip_prefix("file://").unwrap_or(cwd).to_owned());
    let exit_code = item.get("exit_code").and_then(Value::as_i64);
    let told = if failed { outcome(&words) } else { (Outcome::Ok, Some(ran())) };
    let (outcome, decision) = match (exit_code, told) {
        // It was ended with the session.
        (Some(code), _) if code < 0 => (Outcome::Interrupted, Some(ran())),
        (Some(code), _) if code != 0 => (Outcome::Error, Some(ran())),
        (None, told @ (Outcome::Denied | Outcome::Rejected | Outcome::Interrupted, _)) => told,
        _ if failed => (Outcome::Error, Some(ran())),
        _ => (Outcome::Ok, Some(ran())),
    };
    let duration_ms = item.get("duration").and_then(|duration| {
        let part = |key: &str| duration.get(key).and_then(Value::as_u64);
        Some(part("secs")?.saturating_mul(1_000).saturating_add(part("nanos")? / 1_000_000))
    });
    let exit_code = exit_code.filter(|code| *code >= 0);
    let came = Came { exit_code, duration_ms, decision, ..came(&id, &tool, words, outcome) };
    Some(Ended { id, tool, input, cwd, came })
}
