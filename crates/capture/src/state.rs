//! What is known of the sessions so far; grows by records alone.

use crate::mcp;
use fdr_record::{Agent, Body, IdSource, Kind, Outcome, Record, RecordId, Status};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Sessions kept; the one that was silent longest goes first.
const MAX_SESSIONS: usize = 256;
/// Calls kept of a session; the oldest goes first.
const MAX_CALLS: usize = 4_096;
/// Agents kept of a session.
const MAX_AGENTS: usize = 256;
/// Transcript entries and texts remembered of a session.
const MAX_REMEMBERED: usize = 65_536;

/// All sessions that are going on.
#[derive(Debug, Default)]
pub struct State {
    /// Makes the ids of records.
    pub ids: IdSource,
    sessions: HashMap<String, Session>,
    /// Those between MCP clients and servers.
    pub(crate) mcp: mcp::Sessions,
    /// Number of the next record that belongs to no session.
    own_seq: u64,
    /// Counts records, to tell which session was silent longest.
    turn: u64,
}

/// One session.
#[derive(Debug, Default)]
pub struct Session {
    next_seq: u64,
    last_turn: u64,
    /// The newest prompt.
    pub prompt: Option<RecordId>,
    /// By agent id; the main agent's is the session's.
    agents: HashMap<String, AgentState>,
    calls: HashMap<String, Call>,
    call_order: VecDeque<String>,
    /// Hashes of what was imported: transcript entries by id, texts by digest.
    remembered: HashSet<u64>,
}

/// What is known of an agent in a session.
#[derive(Clone, Debug)]
pub struct AgentState {
    /// Its description in the newest record.
    pub agent: Agent,
    /// The newest thing it said or decided since its last results.
    pub said: Option<RecordId>,
    /// Actions so far.
    pub actions: u64,
    /// Of these, denied.
    pub denied: u64,
    /// What came of the newest action.
    pub last: Option<Outcome>,
    /// Its end is recorded.
    pub ended: bool,
}

/// A tool call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The action.
    pub action: RecordId,
    /// Name of the tool.
    pub tool: String,
    /// Digest of the arguments that were decided on.
    pub arguments: Option<String>,
    /// When the action was recorded, by the monotonic clock.
    pub mono: u64,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Digest of what the model got, once that is recorded.
    pub seen: Option<String>,
    /// The model's decision for it is recorded.
    pub decided: bool,
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// Takes in one record, in the order of the log.
    pub fn observe(&mut self, record: &Record) {
        self.ids.seen(record.id);
        let Some(id) = &record.session else {
            self.own_seq = self.own_seq.max(record.seq + 1);
            return;
        };
        if record.agent.as_ref().is_some_and(|agent| agent.runtime.starts_with("mcp:")) {
            self.mcp.observe(record);
            return;
        }
        self.turn += 1;
        if !self.sessions.contains_key(id) && self.sessions.len() >= MAX_SESSIONS {
            let silent = self.sessions.iter().min_by_key(|(_, session)| session.last_turn);
            if let Some(silent) = silent.map(|(id, _)| id.clone()) {
                self.sessions.remove(&silent);
            }
        }
        let session = self.sessions.entry(id.clone()).or_default();
        session.last_turn = self.turn;
        session.observe(record);
    }

    /// A session that is known.
    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// Whether anything is known of a session.
    pub fn knows(&self, id: &str) -> bool {
        self.sessions.contains_key(id)
    }

    /// Number of the next record of a session.
    pub fn next_seq(&self, id: &str) -> u64 {
        self.sessions.get(id).map_or(0, |session| session.next_seq)
    }

    /// Number of the next record that belongs to no session.
    pub fn own_seq(&self) -> u64 {
        self.own_seq
    }
}

impl Session {
    fn observe(&mut self, record: &Record) {
        self.next_seq = self.next_seq.max(record.seq + 1);
        let agent = self.observe_agent(record);
        if let Some(entry) = record.claimed.as_ref().and_then(|claimed| claimed.message_id.as_deref()) {
            self.remember(&["entry", entry]);
        }
        for content in record
            .content
            .iter()
            .filter(|content| matches!(content.role.as_str(), "text" | "prompt" | "transcript"))
        {
            self.remember(&["text", &content.digest]);
        }
        let call = record.tool_use_id().map(str::to_owned);
        let digest =
            |role: &str| record.content.iter().find(|content| content.role == role).map(|c| c.digest.clone());
        match &record.body {
            Body::Prompt(_) => self.prompt = Some(record.id),
            Body::Message(message) if message.role == "assistant" => {
                self.said(agent.as_deref(), Some(record.id))
            }
            Body::Decision(decision) => {
                for call in &decision.calls {
                    if let Some(call) = self.calls.get_mut(&call.id) {
                        call.decided = true;
                    }
                }
                self.said(agent.as_deref(), Some(record.id));
            }
            Body::Action(action) => {
                if let Some(id) = call {
                    let call = Call {
                        action: record.id,
                        tool: action.tool.clone(),
                        arguments: digest("args"),
                        mono: record.mono,
                        outcome: None,
                        seen: None,
                        decided: record
                            .claimed
                            .as_ref()
                            .is_some_and(|claimed| claimed.source == "transcript"),
                    };
                    if self.calls.insert(id.clone(), call).is_none() {
                        self.call_order.push_back(id);
                    }
                    if self.call_order.len() > MAX_CALLS
                        && let Some(oldest) = self.call_order.pop_front()
                    {
                        self.calls.remove(&oldest);
                    }
                }
                if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(&agent)) {
                    agent.actions += 1;
                }
            }
            Body::Result(result) => {
                if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
                    call.outcome = Some(result.outcome);
                }
                if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(&agent)) {
                    agent.denied += u64::from(result.outcome == Outcome::Denied);
                    agent.last = Some(result.outcome);
                }
            }
            Body::Context(context) if context.what == "tool_result" => {
                if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
                    call.seen = digest("result");
                }
                self.said(agent.as_deref(), None);
            }
            _ => {}
        }
    }

    fn observe_agent(&mut self, record: &Record) -> Option<String> {
        let agent = record.agent.as_ref()?;
        if !self.agents.contains_key(&agent.id) && self.agents.len() >= MAX_AGENTS {
            return None;
        }
        let state = self.agents.entry(agent.id.clone()).or_insert_with(|| AgentState {
            agent: agent.clone(),
            said: None,
            actions: 0,
            denied: 0,
            last: None,
            ended: false,
        });
        // A later record may not tell what an earlier one told.
        let (version, model) = (state.agent.version.take(), state.agent.model.take());
        state.agent = agent.clone();
        state.agent.version = agent.version.clone().or(version);
        state.agent.model = agent.model.clone().or(model);
        state.ended = record.kind == Kind::SessionEnd;
        Some(agent.id.clone())
    }

    fn said(&mut self, agent: Option<&str>, record: Option<RecordId>) {
        if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(agent)) {
            agent.said = record;
        }
    }

    fn remember(&mut self, parts: &[&str]) {
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.insert(hash(parts));
        }
    }

    /// What is known of an agent.
    pub fn agent(&self, id: &str) -> Option<&AgentState> {
        self.agents.get(id)
    }

    /// A tool call by the runtime's id.
    pub fn call(&self, id: &str) -> Option<&Call> {
        self.calls.get(id)
    }

    /// The newest call of a tool that has no outcome yet.
    pub fn open_call(&self, tools: &[&str]) -> Option<&Call> {
        let mut newest = self.call_order.iter().rev().filter_map(|id| self.calls.get(id));
        newest.find(|call| call.outcome.is_none() && tools.contains(&call.tool.as_str()))
    }

    /// Whether a transcript entry with this id was taken in.
    pub fn has_entry(&self, id: &str) -> bool {
        self.remembered.contains(&hash(&["entry", id]))
    }

    /// Whether a text with this digest is recorded.
    pub fn has_text(&self, digest: &str) -> bool {
        self.remembered.contains(&hash(&["text", digest]))
    }
}

impl AgentState {
    /// How its run ended, told from its actions: `denied` when most were, `failed` and
    /// `interrupted` by the last one.
    pub fn status(&self) -> Status {
        match self.last {
            _ if self.actions > 0 && 2 * self.denied > self.actions => Status::Denied,
            Some(Outcome::Interrupted) => Status::Interrupted,
            Some(Outcome::Error) => Status::Failed,
            _ => Status::Success,
        }
    }
}
