//! The envelope of a record: who, when, where, on what grounds, and what it is linked with.

use crate::{Body, ContentRef, Kind, RecordId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Version of the record format that this crate writes.
pub const VERSION: u32 = 1;

/// The largest record, in bytes: a leaf of the log has a 16-bit length (C2SP tlog-tiles).
pub const MAX_BYTES: usize = 65_535;

/// One record: one line of JSON, one leaf of the log, never changed once written.
///
/// `B` is [`Body`] in a [`Record`], and the unread text of it in a [`RawRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope<B> {
    /// Version of the format.
    pub v: u32,
    /// Unique, and rising within one recorder.
    pub id: RecordId,
    /// What kind of record it is; decides the form of `body`.
    pub kind: Kind,
    /// When the recorder wrote it, by its wall clock.
    pub ts: Timestamp,
    /// The same by the recorder's monotonic clock, in nanoseconds since the machine started.
    pub mono: u64,
    /// Number of the record within its session, from 0, without gaps.
    pub seq: u64,
    /// The session; absent for records about the recorder itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// W3C trace context, where the runtime gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Relations to other records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// What the client said. Never evidence by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claimed>,
    /// What the recorder itself saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Env>,
    /// What happened.
    pub body: B,
    /// What the body tells in words out of the contents (previews, reasons, summaries), sealed under the session's key:
    /// base64 of the form in `sealed.rs`. The fields of the body are empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// What is kept out of line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ContentRef>,
}

/// A record with its body read.
pub type Record = Envelope<Body>;

/// A record whose body has not been read yet.
pub type RawRecord = Envelope<Box<RawValue>>;

impl Record {
    /// Reads one line of the log.
    ///
    /// # Errors
    /// When it is not JSON, not a record, or a kind that this version doesn't know.
    pub fn parse(line: &[u8]) -> Result<Record, serde_json::Error> {
        let raw: RawRecord = serde_json::from_slice(line)?;
        let body = Body::parse(raw.kind, raw.body.get())?;
        Ok(raw.with_body(body))
    }

    /// The line as it is stored and hashed, without a line feed.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only string keys and no fallible parts")
    }

    /// The first record that this one is linked to by `rel`.
    pub fn link(&self, rel: Rel) -> Option<RecordId> {
        self.links.iter().find(|link| link.rel == rel).map(|link| link.id)
    }

    /// The runtime's id of the tool call, where it has one.
    pub fn tool_use_id(&self) -> Option<&str> {
        self.claimed.as_ref()?.tool_use_id.as_deref()
    }
}

impl<B> Envelope<B> {
    fn with_body<C>(self, body: C) -> Envelope<C> {
        Envelope {
            v: self.v,
            id: self.id,
            kind: self.kind,
            ts: self.ts,
            mono: self.mono,
            seq: self.seq,
            session: self.session,
            agent: self.agent,
            principal: self.principal,
            trace: self.trace,
            links: self.links,
            claimed: self.claimed,
            observed: self.observed,
            env: self.env,
            body,
            sealed: self.sealed,
            content: self.content,
        }
    }
}

/// An identity acting in a runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Agent {
    /// The session's id for a main agent, the runtime's agent id for a sub-agent.
    pub id: String,
    /// The runtime's name for a main agent, the agent's type for a sub-agent.
    pub name: String,
    /// `claude-code`, `codex`, `mcp:<server>` …
    pub runtime: String,
    /// Version of the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The model, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Id of the agent that started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// The human or service on whose behalf an agent acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Principal {
    /// `user` or `service`.
    pub kind: String,
    /// `uid:1000`.
    pub id: String,
    /// Login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// W3C trace context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Trace {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
}

/// How one record is related to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rel {
    /// This is the result of that action.
    ResultOf,
    /// This decision asked for that action.
    DecisionFor,
    /// This action was asked for by that decision.
    DecidedBy,
    /// This happened in answer to that prompt.
    PromptedBy,
    /// This happened because of that.
    CausedBy,
    /// This approves or refuses that.
    Approves,
    /// This is about that action.
    About,
    /// This does again what that did.
    Retries,
    /// This was made from that by a later reading.
    DerivedFrom,
    /// This work was handed over by that action.
    DelegatedBy,
}

/// A relation to another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Link {
    /// How.
    pub rel: Rel,
    /// To which record.
    pub id: RecordId,
}

/// What the client said about itself and the event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Claimed {
    /// How it came in: `hook:PreToolUse`, `transcript`, `mcp-proxy` …
    pub source: String,
    /// When the client says it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<Timestamp>,
    /// The runtime's id of the tool call. One that begins with `fdr:` was given by the recorder,
    /// where the runtime has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// To which call this belongs was not told, but concluded from order and arguments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The runtime's id of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_id: Option<String>,
    /// The runtime's id of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<String>,
    /// The runtime's id of the message or of the transcript entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The file that it was read from, for an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Where a piece of that file begins, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// What the recorder saw with its own eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Observed {
    /// When the message arrived, by the recorder's wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// User id of the process that connected, from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group id of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Process id of the agent: the nearest ancestor of the connecting process that is not a
    /// shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The program file of that process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Control group of that process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// It was spooled while no recorder could be reached, and ingested later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// Where something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Env {
    /// Host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `linux`, `macos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Root of the repository that the working directory is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Id of the container, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The runtime's permission mode: `default`, `acceptEdits`, `bypassPermissions` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// The runtime's sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// The kind of a record, without reading all of it; `None` for what is no record.
pub fn kind_of(line: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"kind\":\"";
    // Where our own writer puts it: {"v":1,"id":"<36>","kind":"
    const AT: usize = r#"{"v":1,"id":"","#.len() + 36;
    let written_by_us = line.get(AT..).and_then(|rest| rest.strip_prefix(KEY));
    if let Some(rest) = written_by_us {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        return std::str::from_utf8(&rest[..end]).ok();
    }
    let record: RawRecord = serde_json::from_slice(line).ok()?;
    Some(record.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_line_is_what_it_says() {
        let golden = include_str!("../../../schema/golden/v1.jsonl");
        for line in golden.lines() {
            let record = Record::parse(line.as_bytes()).unwrap();
            assert_eq!(kind_of(line.as_bytes()), Some(record.kind.as_str()));
            let other = line.replacen("{\"v\":1", "{ \"v\":1", 1);
            assert_eq!(kind_of(other.as_bytes()), Some(record.kind.as_str()));
        }
        assert_eq!(kind_of(b""), None);
        assert_eq!(kind_of(br#"{"body":{"kind":"heartbeat"}}"#), None);
    }
}
