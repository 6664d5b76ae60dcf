//! The runtimes that are known, each with what its own file can do.

use crate::event::{Who, imagined};
use crate::transcript::Chunk;
use crate::{Arrival, Captured, State, claude_code, codex, cursor, gemini_cli, hermes, openclaw, opencode};
use fdr_record::Normalised;
use serde_json::Value;

/// Reads out of an event, by its name and payload, which session it is of and whether it begins it.
pub type SessionOf = fn(&str, &[u8]) -> Option<(String, bool)>;

/// Reads out of an event what a person asks for, and the working directory.
pub type PromptOf = fn(&str, &[u8]) -> Option<(String, String)>;

/// A runtime whose hooks call `fdr-hook`, or whose plug-in does.
pub struct Runtime {
    /// The word for it in records and on command lines.
    pub name: &'static str,
    /// Makes records of one event: its name as the hook was called with it, then its payload.
    /// There is always at least one.
    pub hook: fn(&str, &[u8], &Arrival<'_>, &mut State) -> Captured,
    /// Makes records of one piece of a transcript; there are none if nothing in it is new.
    pub import: Option<fn(&Chunk<'_>, &Arrival<'_>, &mut State) -> Captured>,
    /// What a call means in canonical words, and one line on it: tool, arguments, working
    /// directory, home folder.
    pub normalise: fn(&str, &Value, &str, &str) -> (Normalised, String),
    /// The events by which it asks whether a tool may run.
    pub gates: &'static [&'static str],
    /// The session of an event, and whether it begins with that.
    pub session_of: SessionOf,
    /// What a person asks for in an event, and the working directory.
    pub prompt_of: PromptOf,
}

/// Every runtime.
pub static RUNTIMES: [&Runtime; 7] = [
    &claude_code::RUNTIME,
    &codex::RUNTIME,
    &gemini_cli::RUNTIME,
    &hermes::RUNTIME,
    &opencode::RUNTIME,
    &openclaw::RUNTIME,
    &cursor::RUNTIME,
];

/// The runtime of that name.
pub fn runtime(name: &str) -> Option<&'static Runtime> {
    RUNTIMES.into_iter().find(|runtime| runtime.name == name)
}

impl Runtime {
    /// The records that a call would give in a session of its own, after a prompt if there is one.
    pub fn imagine(
        &'static self,
        prompt: Option<&str>,
        tool: &str,
        input: &Value,
        cwd: &str,
        arrival: &Arrival<'_>,
        state: &mut State,
    ) -> Captured {
        let permission_mode = arrival.env.permission_mode.as_deref();
        let who = Who { session: "imagined", cwd: Some(cwd), permission_mode, ..Who::default() };
        let who = Who { call: Some("imagined"), ..who };
        imagined(self, prompt, &who, (tool, input), arrival, state)
    }
}
