//! The canonical record: what an agent saw, decided and executed, in one vocabulary.
//!
//! - [`Record`] is the line that is stored; [`Body`] what happened, by [`Kind`].
//! - [`Action`] and [`Resource`] are the canonical words for what a tool call means.
//! - `shell` turns a shell command into them; `scrub` takes secrets out of a payload;
//!   `injection` finds phrases that speak to an agent like instructions.
//! - [`ContentKey`] makes the digests by which a record refers to content kept beside it; [`sealed`] is the form in
//!   which content is stored so that it can be erased.
//!
//! Nothing here does I/O.
#![forbid(unsafe_code)]

mod action;
mod arguments;
mod body;
mod content;
mod id;
pub mod injection;
mod record;
#[cfg(feature = "schema")]
mod schema;
pub mod scrub;
pub mod sealed;
pub mod shell;
mod time;

pub use action::{Action, Hazard, Normalised, Resource, Verb, clean_path};
pub use arguments::Names;
pub use body::{
    Access, ActionBody, Anchor, Approval, Approved, Basis, Body, Call, ConfigChange, Context, Count,
    DecidedBy, Decision, Facts, Gap, Heartbeat, InScope, Intent, IntentCheck, IntentSource, KeyErased, Kind,
    LogPruned, LogRestart, LogTorn, Message, Mode, Outcome, PolicyChange, PolicyDecision, Prompt, Reach,
    ResultBody, RuntimeDecision, ScopeRule, SessionEnd, SessionStart, Status, Taint, Unparsed, Verdict,
};
pub use content::{
    Content, ContentKey, ContentRef, DIGEST_PREFIX, PREVIEW_CHARS, Peppers, hex, preview, unhex,
};
pub use id::{IdSource, RecordId};
pub use record::{
    Agent, Claimed, Env, Envelope, Link, MAX_BYTES, Observed, Principal, RawRecord, Record, Rel, Trace,
    VERSION, kind_of,
};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use time::{BadTimestamp, Timestamp};
