//! What happened: one form for each kind of record.

use crate::{Action, Hazard, Normalised, RecordId, Resource, Timestamp, Verb};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
        // Most records are actions and results, so that a box would save no room where it counts.
        #[expect(clippy::large_enum_variant)]
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
    /// What the agent was asked for, as a scope: what it may do for that, and what not.
    Intent(Intent) = "intent",
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
    /// A policy set came into force, or was refused.
    PolicyChange(PolicyChange) = "policy.change",
    /// Input that could not be read; the bytes are in the content.
    Unparsed(Unparsed) = "unparsed",
    /// Something is missing or out of order.
    Gap(Gap) = "gap",
    /// The recorder is alive: what it counted, and a seal over the log so far.
    Heartbeat(Heartbeat) = "heartbeat",
    /// Somebody outside vouched for a checkpoint: a witness, or a time-stamp authority.
    Anchor(Anchor) = "anchor",
    /// Content was read, exported or withheld by somebody.
    Access(Access) = "access",
    /// A content key was destroyed: what was sealed under it can't be read any more.
    KeyErased(KeyErased) = "key.erased",
    /// The oldest records were removed by a retention rule; written before they were.
    LogPruned(LogPruned) = "log.pruned",
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
    /// As whom the agent can act beside the local user, as its surroundings say: `git:` and an
    /// address, `aws:`, `gcp:`, `azure:`, `github:` and a name. Claimed, not observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// The run of `fdr run` that it is part of. Claimed, not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
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
    pub resource: Option<Resource>,
    /// Length in bytes of what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// Number of lines, for a piece of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
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
    /// The action that it is, where that was concluded from order and arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RecordId>,
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
    /// An `ASK` that two different people have to answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub four_eyes: bool,
    /// Digest of the policy set in force; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

impl PolicyDecision {
    /// What is said before any policy has seen the action.
    pub fn undecided(mode: Mode) -> PolicyDecision {
        PolicyDecision {
            decision: Verdict::Permit,
            mode,
            reason: "no policy set is loaded".to_owned(),
            policies: Vec::new(),
            four_eyes: false,
            set: None,
            took_us: 0,
        }
    }
}

/// Something an agent took in that makes what it does next less trustworthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Taint {
    /// It read a secret, or something in which a secret was found.
    Secret,
    /// It read something from the network.
    Web,
    /// It got something from an MCP server or another tool that is not the runtime's own.
    Tool,
    /// It read a file outside its workspace.
    Outside,
    /// Something it read speaks to it like an instruction.
    Injection,
}

impl Taint {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Taint::Secret => "secret",
            Taint::Web => "web",
            Taint::Tool => "tool",
            Taint::Outside => "outside",
            Taint::Injection => "injection",
        }
    }
}

/// How many actions of a verb an agent's session had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count {
    /// The verb.
    pub action: Verb,
    /// How often.
    pub count: u64,
}

/// What was known of the session when an action was decided on, beside what the record says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Roots of the workspace, absolute: the repository or folder in which the session began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspace: Vec<String>,
    /// The user's home folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// What the agent had taken in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taint: Vec<Taint>,
    /// Earlier actions of the session, for the verbs of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub so_far: Vec<Count>,
}

/// Whether an action is what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InScope {
    /// It is.
    InScope,
    /// It is not, or it was excluded.
    OutOfScope,
    /// What was asked for doesn't tell.
    Unclear,
}

impl InScope {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            InScope::InScope => "in_scope",
            InScope::OutOfScope => "out_of_scope",
            InScope::Unclear => "unclear",
        }
    }
}

/// An action held against the intent in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IntentCheck {
    /// The finding.
    pub scope: InScope,
    /// The `intent` record.
    pub by: RecordId,
    /// Why.
    pub reason: String,
}

/// An approval that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approved {
    /// The `approval.grant` record.
    pub grant: RecordId,
    /// Who gave it: `uid:1000`, as the kernel told.
    pub by: String,
}

/// Where an intent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum IntentSource {
    /// A person set it, apart from the prompt.
    Declared,
    /// Fixed rules read it out of the prompt.
    Derived,
    /// A program named in the configuration read it out of the prompt.
    Classifier,
}

/// One thing that an intent allows or excludes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScopeRule {
    /// With which verbs; any, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Verb>,
    /// On which resource: a name, in which `*` stands for anything within a segment and `**` for
    /// anything, such as `file:/w/build/**`, `git:*#main`, `url:https://example.com/**`.
    pub resource: String,
    /// The words it was read from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// Body of `intent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Intent {
    /// Where it comes from.
    pub source: IntentSource,
    /// What may be done for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<ScopeRule>,
    /// What may not be done, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<ScopeRule>,
    /// Whether nothing but what is allowed is in scope. If not, what the prompt doesn't touch is
    /// unclear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// The prompt asks for nothing new: what was in scope before still is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Until when it is in force; without end, if absent, until the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// In one line for a person.
    pub summary: String,
}

/// Body of `policy.change`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyChange {
    /// Whether this set came into force; if not, the one before stays.
    pub accepted: bool,
    /// Digest of the set that was offered: `sha256:` and 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Digest of the set that is in force after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<String>,
    /// Where it was read from: names of starter sets, folders.
    pub from: Vec<String>,
    /// Number of policies.
    pub policies: u64,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// How far a grant reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// For this very action, once.
    #[default]
    Once,
    /// For the same verbs on the same resources, as long as the session goes on.
    Session,
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
    /// A person who answered a request in our queue.
    Approver,
    /// Nobody: the time for an answer ran out.
    Timeout,
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
            DecidedBy::Approver => "approver",
            DecidedBy::Timeout => "timeout",
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
    /// In which ways it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<Hazard>,
    /// What code that is not read names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Resource>,
    /// Whether any of it can't easily be undone.
    pub destructive: bool,
    /// One line that a human can read: the command, the path, the arguments; the beginning.
    pub summary: String,
    /// Whether it is what the agent was asked for; absent where nothing was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentCheck>,
    /// What else the policy was told: a decision can be made again from this record alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// What our policy decided.
    pub policy: PolicyDecision,
    /// The approval, given before, under which an `ASK` was let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
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
            hazards: found.hazards,
            named: found.named,
            destructive,
            summary,
            intent: None,
            facts: None,
            policy,
            approved: None,
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
    /// Phrases in the result that speak to the agent like instructions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<String>,
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
    /// Digest of the exact action that our queue holds: tool, arguments, session, agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// A request: until when it waits. A grant: until when it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// A grant: how far it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// A request: two different people have to agree.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub four_eyes: bool,
    /// A request: the policies that ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// A request: what is to be done, on what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
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
    pub resource: Option<Resource>,
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

/// Body of `heartbeat`. Written at least every 10 s, also when nothing happens, so that silence
/// is told from absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heartbeat {
    /// Number of the heartbeat over the whole log, from 0, without gaps.
    pub epoch: u64,
    /// Records under the newest signed checkpoint, made for it; all of them came before this one.
    pub size: u64,
    /// Root of the tree of these, 64 hex digits.
    pub root: String,
    /// HMAC-SHA256 under the key of this epoch, which is destroyed afterwards; 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
    /// Milliseconds since the heartbeat before; absent for the first of a recorder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_millis: Option<u64>,
    /// Messages taken in since the heartbeat before.
    pub messages: u64,
    /// Of these, messages that had been taken in before.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub repeated: u64,
    /// Of these, messages that could not be read as what they should be.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub unparsed: u64,
    /// By runtime: how many of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, u64>,
    /// Events that wait in the spool.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub spooled: u64,
    /// Free space of the log's file system in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Size of the newest checkpoint that a witness signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<u64>,
}

fn is_nothing(count: &u64) -> bool {
    *count == 0
}

/// Body of `anchor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Anchor {
    /// `witness` (C2SP cosignature) or `timestamp` (RFC 3161 token). The note or token is the
    /// content.
    pub what: String,
    /// By whom: the witness's name, or the address of the authority.
    pub by: String,
    /// Size of the checkpoint.
    pub size: u64,
    /// The time that they state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// Body of `access`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Access {
    /// `bundle`, `export`, `read` …
    pub what: String,
    /// What was chosen: a session's id, or the query's words.
    pub filter: String,
    /// Records in it.
    pub records: u64,
    /// Contents in it.
    pub contents: u64,
    /// Contents that were withheld.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub withheld: u64,
    /// Why, as said by who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// SHA-256 of what was given out, 64 hex digits, where it is one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Body of `key.erased`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyErased {
    /// The keys' ids, 32 hex digits each.
    pub kids: Vec<String>,
    /// The sessions whose content it was.
    pub sessions: Vec<String>,
    /// The person or service that it was about, where it was erased for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// On whose authority.
    pub authority: String,
}

/// Body of `log.pruned`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogPruned {
    /// The first record that is kept; all before it are gone.
    pub first_index: u64,
    /// The segment that begins with it.
    pub first_segment: u64,
    /// Root of the tree of the records that are gone, 64 hex digits.
    pub root: String,
    /// When the newest record that is gone was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The retention rule.
    pub rule: String,
    /// On whose authority.
    pub authority: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many sessions are gone wholly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
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
