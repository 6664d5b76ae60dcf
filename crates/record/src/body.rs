//! What happened: one form for each kind of record.

use crate::{Action, Normalised};
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $text:literal,)*) => {
        /// The kind of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The word as it stands in a record.
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }
        }

        /// The body of a record, by kind.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Body {
            $($(#[$doc])* $name($body),)*
        }

        impl Body {
            /// The kind that this body belongs to.
            pub fn kind(&self) -> Kind {
                match self { $(Body::$name(_) => Kind::$name,)* }
            }

            /// Reads the body of a record of the given kind.
            ///
            /// # Errors
            /// When the text is not JSON of that form.
            pub fn parse(kind: Kind, json: &str) -> Result<Body, serde_json::Error> {
                Ok(match kind { $(Kind::$name => Body::$name(serde_json::from_str(json)?),)* })
            }

            /// The JSON Schema of every body, by kind.
            #[cfg(feature = "schema")]
            pub fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(Kind, schemars::Schema)> {
                vec![$((Kind::$name, generator.subschema_for::<$body>())),*]
            }
        }
    };
}

kinds! {
    /// An agent's run began.
    SessionStart(SessionStart) = "session.start",
    /// An agent's run ended.
    SessionEnd(SessionEnd) = "session.end",
    /// A human, or a program in a human's place, asked for something.
    Prompt(Prompt) = "prompt",
    /// Something that the agent saw.
    Context(Context) = "context",
    /// What the model decided to do, as far as the runtime shows it.
    Decision(Decision) = "decision",
    /// Something the agent set out to do; durable before it is done.
    Action(ActionBody) = "action",
    /// What came of an action.
    Result(ResultBody) = "result",
    /// The runtime asked for permission.
    ApprovalRequest(Approval) = "approval.request",
    /// Permission was given.
    ApprovalGrant(Approval) = "approval.grant",
    /// Permission was refused.
    ApprovalDeny(Approval) = "approval.deny",
    /// Something said that decides nothing.
    Message(Message) = "message",
    /// Settings of the agent or of the recorder changed.
    ConfigChange(ConfigChange) = "config.change",
    /// Input that could not be read; the bytes are in the content.
    Unparsed(Unparsed) = "unparsed",
    /// Something is missing or out of order.
    Gap(Gap) = "gap",
    /// The recorder started.
    LogRestart(LogRestart) = "log.restart",
    /// A torn, never acknowledged group at the end of the log was set aside.
    LogTorn(LogTorn) = "log.torn",
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Body of `session.start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStart {
    /// Why it began: `startup`, `resume`, `clear`, `compact`, `subagent` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where the runtime keeps its own transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not ended yet, as far as is known.
    Running,
    /// It ended, and its last action did not fail.
    Success,
    /// It ended with an error.
    Failed,
    /// It ended, and most of what it asked for was refused.
    Denied,
    /// It was stopped from outside.
    Interrupted,
    /// Nothing tells.
    Unknown,
}

impl Status {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Denied => "denied",
            Status::Interrupted => "interrupted",
            Status::Unknown => "unknown",
        }
    }
}

/// Body of `session.end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionEnd {
    /// How it ended, told from the records of the session.
    pub status: Status,
    /// The runtime's own word for the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of actions of this agent in the session.
    pub actions: u64,
    /// How many of them were denied.
    pub denied: u64,
}

/// Body of `prompt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prompt {
    /// The beginning of the text; the whole is in the content.
    pub preview: String,
}

/// Body of `context`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Context {
    /// What it was: `instructions`, `tool_result`, `mcp_tools`, `hook_context`, `compaction`,
    /// `attachment`, `transcript` …
    pub what: String,
    /// Where it came from, when that has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<crate::Resource>,
    /// Length in bytes of what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// The beginning of it, or a word on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// Body of `decision`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// The reason that the model gave, in its own words; the beginning of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<String>,
    /// The beginning of the model's thinking, where the runtime shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// What it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

/// A tool call that a model asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Call {
    /// The runtime's id of the call.
    pub id: String,
    /// Name of the tool.
    pub tool: String,
}

/// A verdict on an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It may be done.
    Permit,
    /// It may not be done.
    Deny,
    /// A human has to say.
    Ask,
}

impl Verdict {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Permit => "PERMIT",
            Verdict::Deny => "DENY",
            Verdict::Ask => "ASK",
        }
    }
}

/// Whether the recorder only watches, or also holds the agent to the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Record, and say what the policy would have done.
    #[default]
    Observe,
    /// Record, and make the policy's decision hold.
    Enforce,
}

impl Mode {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }
}

/// What our own policy decided about an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyDecision {
    /// The verdict.
    pub decision: Verdict,
    /// Whether it was made to hold.
    pub mode: Mode,
    /// Why.
    pub reason: String,
    /// Ids of the policies that determined it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Digest of the policy set in force; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// Who or what inside the runtime made a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// A hook of the runtime.
    Hook,
    /// A permission rule in its settings.
    Rule,
    /// The human in front of it.
    User,
    /// Its permission mode.
    Mode,
    /// Its sandbox or its list of working directories.
    Sandbox,
    /// A classifier of the runtime.
    Classifier,
    /// The runtime itself: the tool is unknown or the arguments are invalid.
    Runtime,
    /// Nothing tells.
    Unknown,
}

impl DecidedBy {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            DecidedBy::Hook => "hook",
            DecidedBy::Rule => "rule",
            DecidedBy::User => "user",
            DecidedBy::Mode => "mode",
            DecidedBy::Sandbox => "sandbox",
            DecidedBy::Classifier => "classifier",
            DecidedBy::Runtime => "runtime",
            DecidedBy::Unknown => "unknown",
        }
    }
}

/// How a statement about a decision is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The runtime said so in as many words.
    Stated,
    /// We concluded it from something else that the runtime sent.
    Inferred,
}

/// What the runtime itself decided about an action: its permission rules, its user, its
/// sandbox. Kept apart from what our policy decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuntimeDecision {
    /// The verdict.
    pub decision: Verdict,
    /// Who or what made it, as far as that was said.
    pub by: DecidedBy,
    /// How we know.
    pub basis: Basis,
    /// The runtime's own words, or what it was inferred from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `action`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActionBody {
    /// Name of the tool, as the runtime calls it.
    pub tool: String,
    /// What the call means, in canonical words; the first one is what a timeline shows.
    pub actions: Vec<Action>,
    /// How many more actions there are than the list has; all can be had again from the raw
    /// content with `fdr normalize`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub actions_left_out: u64,
    /// What is not statically known, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
    /// Whether any of it can't easily be undone.
    pub destructive: bool,
    /// One line that a human can read: the command, the path, the arguments; the beginning.
    pub summary: String,
    /// What our policy decided.
    pub policy: PolicyDecision,
    /// What the runtime had decided when it told us, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_decision: Option<RuntimeDecision>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl ActionBody {
    /// The most actions that a record lists, so that it stays under its size limit.
    pub const MAX_ACTIONS: usize = 128;

    /// A body from what a normaliser found.
    pub fn new(tool: &str, summary: String, found: Normalised, policy: PolicyDecision) -> ActionBody {
        let destructive = found.is_destructive();
        let mut actions = found.actions;
        let left_out = actions.len().saturating_sub(Self::MAX_ACTIONS);
        actions.truncate(Self::MAX_ACTIONS);
        ActionBody {
            tool: tool.to_owned(),
            actions,
            actions_left_out: left_out as u64,
            opaque: found.opaque,
            destructive,
            summary,
            policy,
            runtime_decision: None,
        }
    }
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It ran and did not fail.
    Ok,
    /// It ran and failed.
    Error,
    /// It was not allowed to run.
    Denied,
    /// The runtime could not run it: unknown tool, invalid arguments.
    Rejected,
    /// It was stopped while it ran.
    Interrupted,
    /// The runtime did not say.
    Unknown,
}

impl Outcome {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Denied => "denied",
            Outcome::Rejected => "rejected",
            Outcome::Interrupted => "interrupted",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Body of `result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultBody {
    /// Name of the tool.
    pub tool: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Exit status of a command, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How long it ran, in milliseconds, as the runtime says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it failed or was refused, in the runtime's own words; the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The beginning of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// What the runtime decided about the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_decision: Option<RuntimeDecision>,
    /// What ran is not what was asked for: the arguments were changed in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub arguments_changed: bool,
}

/// Body of `approval.request`, `approval.grant` and `approval.deny`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    /// Name of the tool.
    pub tool: String,
    /// One line on the call.
    pub summary: String,
    /// Who answered, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<DecidedBy>,
    /// In whose words, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `message`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// `assistant`, `user`, `system`, `notification`, `mcp` …
    pub role: String,
    /// The beginning of the text.
    pub preview: String,
}

/// Body of `config.change`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigChange {
    /// What changed: `user_settings`, `project_settings`, `model`, `cwd` …
    pub what: String,
    /// The file, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<crate::Resource>,
    /// From what to what, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Body of `unparsed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unparsed {
    /// Why it could not be read.
    pub reason: String,
    /// The event that the hook was called for, as its command line says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// Body of `gap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// What is missing or out of order: `clock_back`, `recorder_unreachable`, `outcome_missing` …
    pub what: String,
    /// In one sentence.
    pub detail: String,
    /// How long, in milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
}

/// Body of `log.restart`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogRestart {
    /// Version of `fdr`.
    pub version: String,
    /// Process id of the recorder.
    pub pid: u32,
    /// Id of the machine's current start, from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Number of records that the log held.
    pub size: u64,
    /// Whether the recorder that wrote before had closed the log.
    pub clean: bool,
    /// Time since the newest record, in milliseconds, by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_millis: Option<u64>,
    /// In which mode it runs.
    pub mode: Mode,
}

/// Body of `log.torn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogTorn {
    /// Segment file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes were set aside.
    pub bytes: u64,
    /// Where they are kept.
    pub quarantine: String,
}
