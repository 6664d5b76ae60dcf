//! What an agent did, in canonical words: a verb on a resource.
//!
//! A normaliser turns a tool call into a [`Normalised`]: the actions that are known
//! statically, and the reasons why something could not be known (`opaque`). It never
//! guesses: what is not certain from the text alone is opaque.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The canonical verbs. Every tool of every runtime is expressed with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Look at something without changing it.
    Read,
    /// Change the content of something that exists, or that may exist.
    Write,
    /// Bring something new into being.
    Create,
    /// Remove something.
    Delete,
    /// Give something another name or place.
    Move,
    /// Run a program, a script or a tool.
    Execute,
    /// Ask something of the network without carrying local data out.
    Network,
    /// Carry data out of the machine.
    Send,
    /// Hand work to another agent.
    Delegate,
    /// Look for something in many places.
    Search,
    /// Put something into the agent's own lasting memory.
    Memory,
    /// Change settings, permissions or services.
    Configure,
    /// Approve something on behalf of somebody.
    Approve,
}

impl Verb {
    /// Every verb, in the order of the documentation.
    pub const ALL: [Verb; 13] = [
        Verb::Read,
        Verb::Write,
        Verb::Create,
        Verb::Delete,
        Verb::Move,
        Verb::Execute,
        Verb::Network,
        Verb::Send,
        Verb::Delegate,
        Verb::Search,
        Verb::Memory,
        Verb::Configure,
        Verb::Approve,
    ];

    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::Move => "move",
            Verb::Execute => "execute",
            Verb::Network => "network",
            Verb::Send => "send",
            Verb::Delegate => "delegate",
            Verb::Search => "search",
            Verb::Memory => "memory",
            Verb::Configure => "configure",
            Verb::Approve => "approve",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A typed name of what an action was done to, such as `file:/etc/hosts`,
/// `url:https://host/path`, `git:origin#main` or `mcp:server/tool`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Resource(String);

impl Resource {
    /// A resource of `kind` (`file`, `url`, `host`, `proc`, `db`, `mcp`, `agent`, `secret`,
    /// `git`, `env`, `memory`, `tool` …) with the given name.
    pub fn new(kind: &str, name: impl fmt::Display) -> Resource {
        Resource(format!("{kind}:{name}"))
    }

    /// A file or folder. `path` is cleaned lexically against `cwd` (see [`clean_path`]).
    pub fn file(path: &str, cwd: &str) -> Resource {
        Resource(format!("file:{}", clean_path(path, cwd)))
    }

    /// A program found by name, not by path.
    pub fn proc(name: &str) -> Resource {
        Resource::new("proc", name)
    }

    /// The part before the first colon.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// The part after the first colon.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Makes `path` absolute against `cwd` and resolves `.`, `..` and doubled slashes by the
/// text alone: no file system is asked, so a symbolic link is not followed. `..` above the
/// root stays at the root, as in POSIX.
///
/// ```
/// assert_eq!(fdr_record::clean_path("../b//c/.", "/home/dev/a"), "/home/dev/b/c");
/// ```
pub fn clean_path(path: &str, cwd: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Action {
    /// What was done.
    pub action: Verb,
    /// To what.
    pub resource: Resource,
    /// Where it went, for a move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Resource>,
    /// Whether everything below the resource is meant as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
    /// Whether the effect can't easily be undone: data is removed or overwritten, history is
    /// rewritten, a remote state is forced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
    /// Where a symbolic link leads, when the file existed and was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves_to: Option<String>,
    /// The same for `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_resolves_to: Option<String>,
    /// Whether it touches what keeps the agent's record and its limits: the recorder's files,
    /// programs and processes, policies, the hooks in the runtime's settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tamper: bool,
}

/// In which way a call is not fully known; policies can tell by it what may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// Which command or which code runs is not known: a variable in the place of a command,
    /// `eval`, decoded or fetched text that a shell runs, a setting that runs commands.
    CommandWord,
    /// Code is handed to an interpreter and is not read as a program.
    Code,
    /// That code names something that deletes or overwrites.
    CodeDestructive,
    /// That code names something that speaks to the network.
    CodeNetwork,
    /// That code names something that starts or ends programs, or makes code of text.
    CodeProcess,
    /// That code names something that reads secrets or the environment.
    CodeSecret,
    /// What a known command works on is not known: a variable, a list read from a file.
    Arguments,
    /// Nothing is known of what this tool does.
    UnknownTool,
    /// The record does not show all of it.
    LeftOut,
}

impl Hazard {
    /// The word as it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Hazard::CommandWord => "command_word",
            Hazard::Code => "code",
            Hazard::CodeDestructive => "code_destructive",
            Hazard::CodeNetwork => "code_network",
            Hazard::CodeProcess => "code_process",
            Hazard::CodeSecret => "code_secret",
            Hazard::Arguments => "arguments",
            Hazard::UnknownTool => "unknown_tool",
            Hazard::LeftOut => "left_out",
        }
    }
}

impl Action {
    /// A plain action, neither recursive nor destructive.
    pub fn new(action: Verb, resource: Resource) -> Action {
        Action {
            action,
            resource,
            to: None,
            recursive: false,
            destructive: false,
            resolves_to: None,
            to_resolves_to: None,
            tamper: false,
        }
    }

    /// The same, marked destructive.
    pub fn destructive(mut self) -> Action {
        self.destructive = true;
        self
    }

    /// The same, marked recursive.
    pub fn recursive(mut self) -> Action {
        self.recursive = true;
        self
    }

    /// The same, with a target.
    pub fn to(mut self, to: Resource) -> Action {
        self.to = Some(to);
        self
    }
}

/// What a normaliser found out about one tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Normalised {
    /// The actions, in the order in which they would happen, without duplicates.
    pub actions: Vec<Action>,
    /// Why the list may be incomplete: one sentence for each thing not statically known.
    pub opaque: Vec<String>,
    /// In which ways it may be, without duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<Hazard>,
    /// What code that is not read names: what is done with it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Resource>,
}

impl Normalised {
    /// Adds an action unless the very same one is there already; the flags are merged.
    pub fn push(&mut self, action: Action) {
        let twin = self
            .actions
            .iter_mut()
            .find(|a| a.action == action.action && a.resource == action.resource && a.to == action.to);
        match twin {
            Some(a) => {
                a.recursive |= action.recursive;
                a.destructive |= action.destructive;
            }
            None => self.actions.push(action),
        }
    }

    /// Adds a reason why something is not known, once.
    pub fn opaque(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        if !self.opaque.contains(&reason) {
            self.opaque.push(reason);
        }
    }

    /// Marks a way in which the call is not fully known, once.
    pub fn hazard(&mut self, hazard: Hazard) {
        if !self.hazards.contains(&hazard) {
            self.hazards.push(hazard);
        }
    }

    /// Adds something that code names, once.
    pub fn names(&mut self, resource: Resource) {
        if !self.named.contains(&resource) {
            self.named.push(resource);
        }
    }

    /// Whether any action is destructive.
    pub fn is_destructive(&self) -> bool {
        self.actions.iter().any(|a| a.destructive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_clean() {
        for (path, cwd, want) in [
            ("a", "/w", "/w/a"),
            ("/a/./b/../c", "/w", "/a/c"),
            ("../../../..", "/w/x", "/"),
            ("*.rs", "/w/", "/w/*.rs"),
            (".", "/w", "/w"),
            ("", "/w", "/w"),
        ] {
            assert_eq!(clean_path(path, cwd), want, "{path} in {cwd}");
        }
    }

    #[test]
    fn a_resource_splits_at_its_first_colon() {
        let r = Resource::new("url", "https://h:8/p");
        assert_eq!((r.kind(), r.name()), ("url", "https://h:8/p"));
    }

    #[test]
    fn the_same_action_twice_is_one_with_both_flags() {
        let mut n = Normalised::default();
        n.push(Action::new(Verb::Delete, Resource::file("b", "/w")));
        n.push(Action::new(Verb::Delete, Resource::file("b", "/w")).recursive().destructive());
        assert_eq!(n.actions.len(), 1);
        assert!(n.actions[0].recursive && n.is_destructive());
    }
}
