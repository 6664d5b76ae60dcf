//! What is known of the sessions so far; grows by records alone.
//!
//! Everything here is bounded: what is forgotten can be had again by observing the records of
//! the session once more, which a recorder does when a session that it doesn't know speaks up.

use crate::mcp;
use crate::transcript::Calls;
use fdr_record::{
    Agent, Body, IdSource, Intent, Kind, Mode, Outcome, Record, RecordId, Rel, Status, Verdict,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Sessions kept; the one that was silent longest goes first.
const MAX_SESSIONS: usize = 256;
/// Calls kept of all sessions; about 400 bytes each.
const MAX_CALLS: usize = 16_384;
/// Calls kept of one session; the oldest goes first.
const MAX_CALLS_OF_A_SESSION: usize = 4_096;
/// Agents kept of a session.
const MAX_AGENTS: usize = 256;
/// Prompts kept of a session; the oldest goes first.
const MAX_PROMPTS: usize = 256;
/// Hashes kept of all sessions (see [`Session::remember`]); about 16 bytes each.
const MAX_REMEMBERED: usize = 524_288;
/// Hashes kept of one session.
const MAX_REMEMBERED_OF_A_SESSION: usize = 131_072;

/// Role of a message by which an agent says that its turn is over.
pub(crate) const ROLE_TURN_END: &str = "turn_end";
/// Role of a message by which an agent says that its turn broke off with an error.
pub(crate) const ROLE_TURN_ERROR: &str = "turn_error";
/// Role of a message that a turn was stopped by the user.
pub(crate) const ROLE_INTERRUPT: &str = "interrupt";
/// Role of a message that tells of nothing but that work goes on.
pub const ROLE_PROGRESS: &str = "progress";
/// Where the records of an import come from.
pub(crate) const SOURCE_TRANSCRIPT: &str = "transcript";
/// Hook events that are sent when a tool has run, and only then.
const AFTER: [&str; 8] = [
    "hook:PostToolUse",
    "hook:PostToolUseFailure",
    "hook:AfterTool",
    "hook:post_tool_call",
    "hook:tool.execute.after",
    "hook:after_tool_call",
    "hook:postToolUse",
    "hook:afterShellExecution",
];
/// A hook event that begins a new request to the model: what it said before led to nothing more.
const BEFORE_MODEL: &str = "hook:BeforeModel";
/// A hook event that has a piece of what the model says.
const AFTER_MODEL: &str = "hook:AfterModel";
/// Transcripts of which it is known how far they were read; the one that was silent longest goes
/// first.
const MAX_FILES: usize = 1_024;

/// Decides on actions by the canonical record, and follows the records for that.
pub trait Judge: std::fmt::Debug + Send {
    /// Forgets a session, whose records are taken in again from the first one.
    fn forget(&mut self, session: &str);

    /// Takes in one record, in the order of the log.
    fn observe(&mut self, record: &Record);

    /// Fills in what the record of an action says of policy and intent, before it is written.
    /// `home` is the user's home folder.
    fn decide(&mut self, record: &mut Record, home: &str);

    /// What a person's prompt asks for.
    fn intent(&mut self, prompt: &Record, text: &str, home: &str) -> Option<Intent>;
}

/// All sessions that are going on.
#[derive(Debug, Default)]
pub struct State {
    /// Without one, no policy is in force, and the records say so.
    judge: Option<Box<dyn Judge>>,
    /// Makes the ids of records.
    pub ids: IdSource,
    sessions: HashMap<String, Session>,
    /// Those between MCP clients and servers.
    pub(crate) mcp: mcp::Sessions,
    /// Number of the next record that belongs to no session.
    own_seq: u64,
    /// Counts records, to tell which session was silent longest.
    turn: u64,
    /// Sum over the sessions.
    calls: usize,
    /// Sum over the sessions.
    remembered: usize,
    /// Transcripts, by where they stand.
    files: HashMap<String, FileRead>,
    /// The session that an agent's process speaks for, by process id, as observed.
    processes: HashMap<u32, String>,
}

/// How far a transcript was read.
#[derive(Clone, Debug, Default)]
pub struct FileRead {
    /// The pieces, in the order in which they were read.
    pub pieces: Vec<Piece>,
    last_turn: u64,
}

/// A piece of a transcript that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The session it was taken for.
    pub session: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Number of its first line, from 1.
    pub line: u64,
    /// How many lines.
    pub lines: u64,
    /// Digest of its content.
    pub digest: String,
    /// The key that it is sealed under.
    pub kid: Option<String>,
}

/// What a hook may still tell that stands in a transcript already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Calls of which none was heard of, by id.
    pub asked: Vec<String>,
    /// How a call ended that is under way.
    pub result: bool,
}

/// One session.
#[derive(Debug, Default)]
pub struct Session {
    /// Its first records have not been taken in: a recorder begins with the newest ones of the log.
    begins_late: bool,
    next_seq: u64,
    last_turn: u64,
    prompts: VecDeque<PromptRef>,
    /// By agent id; the main agent's is the session's.
    agents: HashMap<String, AgentState>,
    calls: HashMap<String, Call>,
    /// Keys of `calls`, oldest first.
    call_order: VecDeque<String>,
    /// Names that a transcript has for calls which the runtime's hooks have no id for.
    names: HashMap<String, String>,
    /// Hashes of what was taken in: transcript entries by id, texts by digest, calls by id.
    remembered: HashSet<u64>,
    /// The runtime tells this session's hooks when a tool has run. If it does, a call of which
    /// that is not told did not run.
    pub tells_results: bool,
    /// The runtime tells this session's hooks what the model says as it comes, in pieces.
    pub(crate) tells_pieces: bool,
}

#[derive(Debug)]
struct PromptRef {
    agent: String,
    prompt_id: Option<String>,
    record: RecordId,
    imported: bool,
}

/// What is known of an agent in a session.
#[derive(Clone, Debug)]
pub struct AgentState {
    /// Its description in the newest record, with what only earlier ones told.
    pub agent: Agent,
    /// The newest thing it said or decided since its last results.
    pub said: Option<RecordId>,
    /// Actions so far.
    pub actions: u64,
    /// Of these, denied.
    pub denied: u64,
    /// What came of the newest action.
    pub last: Option<Outcome>,
    /// Actions of which nothing is known yet.
    pub open: u64,
    /// Its newest turn ended with an error of the runtime or the model.
    pub broke_off: bool,
    /// The action that handed the work to it is known.
    pub delegated: bool,
    /// Its working directory in the newest record that tells one.
    pub cwd: Option<String>,
    /// Where the runtime keeps its transcript.
    transcript: Option<String>,
}

/// A tool call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The action.
    pub action: RecordId,
    /// Name of the tool.
    pub tool: String,
    /// Id of the agent that called.
    pub agent: String,
    /// Digest of the arguments that were decided on.
    pub arguments: Option<[u8; 32]>,
    /// Digest of those that it ran with, if these are others.
    pub ran_with: Option<[u8; 32]>,
    /// Hash of the first resource of the action, to find the call that started a sub-agent.
    resource: u64,
    /// How the action came in: `hook:PreToolUse` …
    pub source: String,
    /// The reason that our own policy gave for not letting it run.
    pub refused: Option<String>,
    /// It was told of later, when it could not be held any more.
    pub late: bool,
    /// Our policy had the runtime ask its user.
    pub asked: bool,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Digest of the result, as the tool gave it.
    pub result: Option<[u8; 32]>,
    /// Digest of what the model got, once that is recorded.
    pub seen: Option<[u8; 32]>,
    /// The model's decision for it is recorded.
    pub decided: bool,
    /// A sub-agent was started by it.
    pub delegated: bool,
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// A state in which actions are decided on.
    pub fn with_judge(judge: Box<dyn Judge>) -> State {
        State { judge: Some(judge), ..State::default() }
    }

    /// Lets the judge decide on a record that is about to be written.
    pub(crate) fn decide(&mut self, record: &mut Record, home: &str) {
        if let (Some(judge), Body::Action(_)) = (&mut self.judge, &record.body) {
            judge.decide(record, home);
        }
    }

    /// What a person's prompt asks for.
    pub(crate) fn intent(&mut self, prompt: &Record, text: &str, home: &str) -> Option<Intent> {
        self.judge.as_mut()?.intent(prompt, text, home)
    }

    /// Takes in one record, in the order of the log.
    pub fn observe(&mut self, record: &Record) {
        self.ids.seen(record.id);
        if let Some(judge) = &mut self.judge {
            judge.observe(record);
        }
        let Some(id) = &record.session else {
            self.own_seq = self.own_seq.max(record.seq + 1);
            return;
        };
        if record.agent.as_ref().is_some_and(|agent| agent.runtime.starts_with("mcp:")) {
            self.mcp.observe(record);
            return;
        }
        self.turn += 1;
        self.observe_file(record);
        self.observe_process(record, id);
        if !self.sessions.contains_key(id) && self.sessions.len() >= MAX_SESSIONS {
            self.forget_silent(None);
        }
        let begins_late = record.seq > 0;
        let new = || Session { begins_late, ..Session::default() };
        let session = self.sessions.entry(id.clone()).or_insert_with(new);
        session.last_turn = self.turn;
        let before = (session.calls.len(), session.remembered.len());
        session.observe(record);
        self.calls = self.calls + session.calls.len() - before.0;
        self.remembered = self.remembered + session.remembered.len() - before.1;
        while (self.calls > MAX_CALLS || self.remembered > MAX_REMEMBERED) && self.sessions.len() > 1 {
            self.forget_silent(Some(id));
        }
    }

    fn observe_process(&mut self, record: &Record, session: &str) {
        let Some(observed) = record.observed.as_ref().filter(|observed| !observed.late) else { return };
        let is_hook = record.claimed.as_ref().is_some_and(|claimed| claimed.source.starts_with("hook:"));
        let Some(pid) = observed.pid.filter(|_| is_hook) else { return };
        let is_main = record.agent.as_ref().is_some_and(|agent| agent.id == session);
        if record.kind == Kind::SessionEnd && is_main {
            // Another process may get its number.
            self.processes.remove(&pid);
        } else if self.processes.get(&pid).is_none_or(|known| known != session) {
            if self.processes.len() >= MAX_SESSIONS {
                let sessions = &self.sessions;
                self.processes.retain(|_, session| sessions.contains_key(session));
            }
            self.processes.insert(pid, session.to_owned());
        }
    }

    /// The agent of another session out of which a new one was started, and the calls of that session
    /// that are under way, newest first: of the nearest of the processes that speaks for one.
    pub(crate) fn starter(&self, session: &str, ancestors: &[u32]) -> Option<(String, Vec<&Call>)> {
        let mut known = ancestors.iter().filter_map(|pid| self.processes.get(pid));
        let parent = known.find(|parent| parent.as_str() != session)?;
        let calls: Vec<&Call> = self.sessions.get(parent)?.open_calls().collect();
        let agent = calls.first().map_or_else(|| parent.clone(), |call| call.agent.clone());
        Some((agent, calls))
    }

    fn observe_file(&mut self, record: &Record) {
        let (Body::Context(context), Some(claimed)) = (&record.body, &record.claimed) else { return };
        let (Some(file), Some(offset), Some(content)) =
            (&claimed.file, claimed.offset, record.content.first())
        else {
            return;
        };
        if !self.files.contains_key(file)
            && self.files.len() >= MAX_FILES
            && let Some(silent) = self.files.iter().min_by_key(|(_, read)| read.last_turn)
        {
            let silent = silent.0.clone();
            self.files.remove(&silent);
        }
        let read = self.files.entry(file.clone()).or_default();
        read.last_turn = self.turn;
        // Read anew from there on.
        read.pieces.retain(|piece| piece.offset < offset);
        read.pieces.push(Piece {
            session: record.session.clone().unwrap_or_default(),
            offset,
            len: context.len.unwrap_or_default(),
            line: claimed.line.unwrap_or(1),
            lines: context.lines.unwrap_or_default(),
            digest: content.digest.clone(),
            kid: content.kid.clone(),
        });
    }

    /// Session, runtime and transcript of each agent that is known to keep one.
    pub fn transcripts(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.sessions.iter().flat_map(|(id, session)| {
            session.agents.values().filter_map(move |agent| {
                Some((id.as_str(), agent.agent.runtime.as_str(), agent.transcript.as_deref()?))
            })
        })
    }

    /// What a hook may still tell that a line of a transcript tells: a transcript can be faster.
    pub fn ahead_of_hooks(&self, line: &[u8]) -> Ahead {
        let calls = Calls::of(line);
        let known = |id: &String| {
            let mut sessions = self.sessions.values();
            sessions.find_map(|session| Some((session, session.call(id)?)))
        };
        let is_open = |(session, call): (&Session, &Call)| {
            session.tells_results && call.outcome.is_none() && call.refused.is_none()
        };
        Ahead {
            result: calls.told.iter().filter_map(known).any(is_open),
            asked: calls.asked.into_iter().filter(|id| known(id).is_none()).collect(),
        }
    }

    /// Whether a call of a session is under way, as its hooks tell.
    pub fn is_busy(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            let mut open = session.open_calls();
            open.any(|call| call.is_from_hook() && call.refused.is_none())
        })
    }

    /// How far a transcript was read, as far as is known.
    pub fn file(&self, file: &str) -> Option<&FileRead> {
        self.files.get(file)
    }

    fn forget_silent(&mut self, but: Option<&str>) {
        let others = self.sessions.iter().filter(|(id, _)| Some(id.as_str()) != but);
        let silent = others.min_by_key(|(_, session)| session.last_turn).map(|(id, _)| id.clone());
        if let Some(session) = silent.and_then(|id| self.sessions.remove(&id)) {
            self.calls -= session.calls.len();
            self.remembered -= session.remembered.len();
        }
    }

    /// A session that is known.
    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// Whether a session is known from its beginning.
    pub fn knows(&self, id: &str) -> bool {
        self.sessions.get(id).is_some_and(|session| !session.begins_late) || self.mcp.knows(id)
    }

    /// Forgets a session, so that its records can be taken in from the first one.
    pub fn forget(&mut self, id: &str) {
        if let Some(session) = self.sessions.remove(id) {
            self.calls -= session.calls.len();
            self.remembered -= session.remembered.len();
        }
        self.mcp.forget(id);
        if let Some(judge) = &mut self.judge {
            judge.forget(id);
        }
    }

    /// Says that all there is of a session has been taken in.
    pub fn is_whole(&mut self, id: &str) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.begins_late = false;
        }
    }

    /// Number of the next record of a session.
    pub fn next_seq(&self, id: &str) -> u64 {
        self.sessions.get(id).map_or_else(|| self.mcp.next_seq(id), |session| session.next_seq)
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
        let agent = agent.as_deref();
        let source = record.claimed.as_ref().map_or("", |claimed| claimed.source.as_str());
        if let Some(claimed) = &record.claimed {
            if let Some(entry) = &claimed.message_id {
                self.remember(&["entry", entry]);
            }
            if let (Some(file), Some(line), None) = (&claimed.file, claimed.line, claimed.offset) {
                self.remember(&["line", file, &line.to_string()]);
            }
        }
        for content in &record.content {
            if matches!(content.role.as_str(), "text" | "prompt" | "transcript") {
                self.remember(&["text", &content.digest]);
            }
        }
        let digest = |role: &str| {
            record
                .content
                .iter()
                .find(|content| content.role == role)
                .and_then(|content| content.digest_bytes())
        };
        let call = record.tool_use_id();
        if source == BEFORE_MODEL {
            self.said(agent, None);
        }
        self.tells_pieces |= source == AFTER_MODEL;
        match &record.body {
            Body::Prompt(_) => {
                if self.prompts.len() >= MAX_PROMPTS {
                    self.prompts.pop_front();
                }
                self.prompts.push_back(PromptRef {
                    agent: agent.unwrap_or_default().to_owned(),
                    prompt_id: record.claimed.as_ref().and_then(|claimed| claimed.prompt_id.clone()),
                    record: record.id,
                    imported: source == SOURCE_TRANSCRIPT,
                });
                self.said(agent, None);
            }
            Body::Message(message) => match message.role.as_str() {
                // The last piece of a streamed message is often empty.
                "assistant" if !message.preview.is_empty() => self.said(agent, Some(record.id)),
                ROLE_TURN_END | ROLE_TURN_ERROR => {
                    self.said(agent, None);
                    if let Some(agent) = self.agent_mut(agent) {
                        agent.broke_off = message.role == ROLE_TURN_ERROR;
                    }
                }
                ROLE_INTERRUPT => {
                    if let Some(agent) = self.agent_mut(agent) {
                        agent.last = Some(Outcome::Interrupted);
                    }
                }
                _ => {}
            },
            Body::Decision(decision) => {
                for asked in &decision.calls {
                    self.remember(&["call", &asked.id]);
                    let concluded = asked.action.and_then(|action| {
                        let mut calls = self.calls.iter();
                        calls.find(|(_, call)| call.action == action).map(|(name, _)| name.clone())
                    });
                    if let Some(name) = &concluded {
                        self.names.insert(asked.id.clone(), name.clone());
                    }
                    if let Some(call) = self.calls.get_mut(concluded.as_ref().unwrap_or(&asked.id)) {
                        call.decided = true;
                    }
                }
                self.said(agent, Some(record.id));
            }
            Body::Action(action) => {
                // A transcript may be quicker than the hook: it is one call still.
                let mut told_before = false;
                if let Some(id) = call {
                    self.remember(&["call", id]);
                    let refused = Some(&action.policy).filter(|policy| {
                        policy.mode == Mode::Enforce
                            && policy.decision != Verdict::Permit
                            && action.approved.is_none()
                    });
                    let resource = action.actions.first().map_or("", |action| action.resource.as_str());
                    let call = Call {
                        action: record.id,
                        tool: action.tool.clone(),
                        agent: agent.unwrap_or_default().to_owned(),
                        arguments: digest("args"),
                        ran_with: None,
                        resource: hash(&[resource]),
                        source: source.to_owned(),
                        refused: refused.map(|policy| policy.reason.clone()),
                        late: record.observed.as_ref().is_some_and(|observed| observed.late),
                        asked: refused.is_some_and(|policy| policy.decision == Verdict::Ask),
                        outcome: None,
                        result: None,
                        seen: None,
                        decided: source == SOURCE_TRANSCRIPT,
                        delegated: false,
                    };
                    match self.calls.insert(id.to_owned(), call) {
                        None => self.call_order.push_back(id.to_owned()),
                        Some(before) => told_before = before.outcome.is_none(),
                    }
                    if self.call_order.len() > MAX_CALLS_OF_A_SESSION
                        && let Some(oldest) = self.call_order.pop_front()
                    {
                        self.names.retain(|_, name| *name != oldest);
                        self.calls.remove(&oldest);
                    }
                }
                if let Some(agent) = self.agent_mut(agent) {
                    agent.actions += 1;
                    agent.open += u64::from(!told_before);
                }
            }
            Body::Result(result) => {
                self.tells_results |= AFTER.contains(&source);
                if let Some(id) = call {
                    self.remember(&["result", id]);
                }
                let mut before = None;
                if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
                    before = call.outcome.replace(result.outcome);
                    call.result = digest("result");
                    call.ran_with = if result.arguments_changed { digest("args") } else { None };
                }
                if let Some(agent) = self.agent_mut(agent) {
                    // A later result of the same call takes the place of the one before.
                    let denied = |outcome| u64::from(outcome == Some(Outcome::Denied));
                    agent.denied =
                        (agent.denied + denied(Some(result.outcome))).saturating_sub(denied(before));
                    agent.open = agent.open.saturating_sub(u64::from(before.is_none()));
                    agent.last = Some(result.outcome);
                }
            }
            // It was asked in our own queue instead.
            Body::ApprovalRequest(approval) if approval.digest.is_some() => {
                let about = record.link(Rel::About);
                if let Some(call) = self.calls.values_mut().find(|call| Some(call.action) == about) {
                    call.asked = false;
                }
            }
            Body::ApprovalGrant(_) | Body::ApprovalDeny(_) => {
                if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
                    call.asked = false;
                }
            }
            Body::Context(context) if context.what == "tool_result" => {
                if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
                    call.seen = digest("result");
                }
                self.said(agent, None);
            }
            _ => {}
        }
        if let Some(by) = record.link(Rel::DelegatedBy) {
            if let Some(call) = self.calls.values_mut().find(|call| call.action == by) {
                call.delegated = true;
            }
            if let Some(agent) = self.agent_mut(agent) {
                agent.delegated = true;
            }
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
            open: 0,
            broke_off: false,
            delegated: false,
            cwd: None,
            transcript: None,
        });
        state.cwd = record.claimed.as_ref().and_then(|claimed| claimed.cwd.clone()).or(state.cwd.take());
        // A later record may not tell what an earlier one told.
        let (version, model) = (state.agent.version.take(), state.agent.model.take());
        state.agent = agent.clone();
        state.agent.version = agent.version.clone().or(version);
        state.agent.model = agent.model.clone().or(model);
        if let Body::SessionStart(start) = &record.body {
            state.broke_off = false;
            state.transcript = start.transcript.clone().or(state.transcript.take());
        }
        Some(agent.id.clone())
    }

    fn agent_mut(&mut self, agent: Option<&str>) -> Option<&mut AgentState> {
        self.agents.get_mut(agent?)
    }

    fn said(&mut self, agent: Option<&str>, record: Option<RecordId>) {
        if let Some(agent) = self.agent_mut(agent) {
            agent.said = record;
        }
    }

    fn remember(&mut self, parts: &[&str]) {
        if self.remembered.len() < MAX_REMEMBERED_OF_A_SESSION {
            self.remembered.insert(hash(parts));
        }
    }

    /// What is known of an agent.
    pub fn agent(&self, id: &str) -> Option<&AgentState> {
        self.agents.get(id)
    }

    /// A tool call by the runtime's id, that of its hooks or that of its transcript.
    pub fn call(&self, id: &str) -> Option<&Call> {
        self.calls.get(id).or_else(|| self.calls.get(self.names.get(id)?))
    }

    /// What a call is named here that the transcript calls `id`, where the hooks have no id for it.
    pub(crate) fn name_of(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The calls for which the runtime's hooks have no id, oldest first.
    pub(crate) fn unnamed_calls(&self) -> impl Iterator<Item = &Call> {
        let unnamed = self.call_order.iter().filter(|id| id.starts_with("fdr:"));
        unnamed.filter_map(|id| self.calls.get(id))
    }

    /// The calls, newest first, with their ids.
    pub(crate) fn calls_by_id(&self) -> impl Iterator<Item = (&str, &Call)> {
        let newest = self.call_order.iter().rev();
        newest.filter_map(|id| Some((id.as_str(), self.calls.get(id)?)))
    }

    /// The calls that have no outcome yet, newest first, with their ids.
    pub(crate) fn open_calls_by_id(&self) -> impl Iterator<Item = (&str, &Call)> {
        self.calls_by_id().filter(|(_, call)| call.outcome.is_none())
    }

    /// The calls that have no outcome yet, newest first.
    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.open_calls_by_id().map(|(_, call)| call)
    }

    /// The prompt that `agent` works on, and else the main agent `main`: the one with the
    /// runtime's id where that is told, the newest otherwise.
    pub fn prompt(&self, agent: &str, main: &str, prompt_id: Option<&str>) -> Option<RecordId> {
        let of = |agent: &str| {
            let mut prompts = self.prompts.iter().filter(|prompt| prompt.agent == agent);
            match prompt_id {
                // The first with an id is the one that was typed; the others came with it.
                Some(_) => prompts.find(|prompt| prompt.prompt_id.as_deref() == prompt_id),
                None => prompts.rfind(|prompt| !prompt.imported),
            }
        };
        of(agent).or_else(|| of(main)).map(|prompt| prompt.record)
    }

    /// Whether a transcript entry with this id was taken in.
    pub fn has_entry(&self, id: &str) -> bool {
        self.remembered.contains(&hash(&["entry", id]))
    }

    /// Whether a line of a transcript was taken in.
    pub fn has_line(&self, file: &str, line: u64) -> bool {
        self.remembered.contains(&hash(&["line", file, &line.to_string()]))
    }

    /// Whether a text with this digest is recorded.
    pub fn has_text(&self, digest: &str) -> bool {
        self.remembered.contains(&hash(&["text", digest]))
    }

    /// Whether a call with this id has a result, even if [`Session::call`] has forgotten it.
    pub fn had_result(&self, id: &str) -> bool {
        self.remembered.contains(&hash(&["result", id]))
    }

    /// Whether there was a call with this id, even if [`Session::call`] has forgotten it.
    pub fn had_call(&self, id: &str) -> bool {
        self.remembered.contains(&hash(&["call", id]))
    }
}

impl Call {
    /// Whether this is the first resource of its action.
    pub fn is_on(&self, resource: &str) -> bool {
        self.resource == hash(&[resource])
    }

    /// Whether a hook told of it.
    pub(crate) fn is_from_hook(&self) -> bool {
        self.source.starts_with("hook:")
    }
}

impl AgentState {
    /// How its run ended, told from its actions: `denied` when most were, else by what came
    /// last. `tells_results` is [`Session::tells_results`].
    pub fn status(&self, tells_results: bool) -> Status {
        match self.last {
            _ if 2 * self.denied > self.actions => Status::Denied,
            // It was told each time that a tool had run; this time it was not.
            _ if self.open > 0 && tells_results => Status::Interrupted,
            Some(Outcome::Interrupted) => Status::Interrupted,
            Some(Outcome::Error) => Status::Failed,
            _ if self.broke_off => Status::Failed,
            Some(Outcome::Unknown) => Status::Unknown,
            None if self.actions > 0 => Status::Unknown,
            _ => Status::Success,
        }
    }
}
