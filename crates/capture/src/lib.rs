//! Turns what agent runtimes send into canonical records.
//!
//! One file per runtime or protocol, each the same shape: the bytes that arrived, the
//! [`Arrival`] (what the recorder observed about them) and the [`State`] (what is known of the
//! sessions so far) go in; [`Captured`] comes out. Nothing here does I/O or reads a clock, and
//! nothing fails: input that can't be read becomes an `unparsed` record with the reason.
//!
//! [`State`] changes only by [`State::observe`], one record after the other. So a recorder
//! that restarts gets the same state by reading the log again.
#![forbid(unsafe_code)]

pub mod claude_code;
mod claude_code_outcome;
mod claude_code_tools;
pub mod claude_code_transcript;
pub mod mcp;
mod state;
mod writer;

pub use state::{AgentState, Call, Judge, Session, State};

use fdr_record::{Content, ContentKey, Env, Mode, Observed, Principal, Record, RecordId, Timestamp, Verdict};

/// What the recorder knows about one message beside its bytes.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// Wall clock.
    pub now: Timestamp,
    /// Monotonic clock, in nanoseconds.
    pub mono: u64,
    /// What the recorder saw of the process that sent it.
    pub observed: Observed,
    /// The local user behind it.
    pub principal: Option<Principal>,
    /// Host, working directory, repository.
    pub env: Env,
    /// Variables that the runtime gave to its hook, of those that name sessions and versions.
    pub variables: Vec<(String, String)>,
    /// The user's home folder, for `~`.
    pub home: String,
    /// Whether decisions are made to hold.
    pub mode: Mode,
    /// Makes digests of content.
    pub content_key: &'a ContentKey,
    /// How many secrets were taken out of the bytes before they came here.
    pub redacted: u32,
    /// A file that the event is about (an instruction file), as the recorder read it.
    pub attachment: Option<Vec<u8>>,
}

/// What came of one message.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// The records, in order. [`State::observe`] has seen them already.
    pub records: Vec<Record>,
    /// What they refer to.
    pub contents: Vec<Content>,
    /// The actions that the runtime waits to hear about before it does them.
    pub held: Vec<RecordId>,
    /// What the runtime is told.
    pub reply: Reply,
}

/// What a runtime is told of an action that is not simply let through: `DENY` that it may not be
/// done, `ASK` that its user has to say. A runtime that can't ask its user is told to deny.
pub fn reply(runtime: &str, verdict: Verdict, reason: &str) -> Reply {
    match (verdict, runtime) {
        (Verdict::Permit, _) => Reply::default(),
        (verdict, "claude-code") => claude_code::reply(verdict, reason),
        (_, _) => mcp::refuse(reason),
    }
}

/// One `unparsed` record with the bytes as they came, for a message of `runtime` that nothing here
/// can read.
pub fn unparsed(
    runtime: &str,
    event: &str,
    payload: &[u8],
    reason: &str,
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    writer::unparsed(runtime, Some(event), payload, reason, arrival, state)
}

/// What a hook answers its runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Written to standard output.
    pub stdout: Vec<u8>,
    /// Written to standard error.
    pub stderr: Vec<u8>,
    /// Exit status.
    pub exit_code: u8,
}
