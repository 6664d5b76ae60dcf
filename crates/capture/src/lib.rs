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

mod claude_code;
mod claude_code_outcome;
mod claude_code_tools;
mod claude_code_transcript;
mod codex;
mod codex_outcome;
mod codex_tools;
mod codex_transcript;
mod cursor;
mod cursor_tools;
mod event;
mod gemini_cli;
mod gemini_cli_outcome;
mod gemini_cli_tools;
mod gemini_cli_transcript;
mod hermes;
mod hermes_tools;
mod hermes_transcript;
pub mod mcp;
mod openclaw;
mod openclaw_tools;
mod openclaw_transcript;
mod opencode;
mod opencode_outcome;
mod opencode_tools;
mod opencode_transcript;
mod patch;
mod runtime;
mod state;
mod tool_call;
mod transcript;
mod writer;

pub use runtime::{RUNTIMES, Runtime, runtime};
pub use state::{AgentState, Ahead, Call, FileRead, Judge, Piece, ROLE_PROGRESS, Session, State};
pub use transcript::Chunk;

use fdr_record::{Content, ContentKey, Env, Mode, Observed, Principal, Record, RecordId, Timestamp};

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
    /// As whom the agent can act beside the local user, as its surroundings say.
    pub identities: Vec<String>,
    /// The processes that the agent's own was started from, nearest first; as observed, and only for
    /// an event that may begin a run.
    pub ancestors: Vec<u32>,
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
    /// Why a call that can't be read is not let through.
    pub refused: Option<String>,
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
