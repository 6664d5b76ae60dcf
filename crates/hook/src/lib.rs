//! How a client speaks with the recorder: the messages ([`wire`]), the connection with its
//! start on demand ([`client`]), and the durable spool for when there is no recorder
//! ([`spool`]).
//!
//! Links nothing but the standard library, because `fdr-hook` is started for every event of
//! an agent and a program's size is paid at every start.
#![forbid(unsafe_code)]

pub mod client;
pub mod spool;
pub mod wire;

use std::path::{Path, PathBuf};

/// The recorder's folder: `$FDR_HOME`, else `$XDG_STATE_HOME/fdr`, else `~/.local/state/fdr`.
pub fn default_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FDR_HOME")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("fdr")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/fdr")))
}

/// What a hook does when the event can't be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The agent goes on; the event is spooled.
    Open,
    /// A tool call is denied; the event is spooled all the same.
    Closed,
}

/// Name of the file in the recorder's folder that tells hooks how to fail. The recorder writes
/// it from its configuration, so that a hook need not read that.
pub const FAILURE_FILE: &str = "hook.fail";

impl Failure {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Open => "open",
            Failure::Closed => "closed",
        }
    }

    /// How a hook fails in this folder: open, unless the file says `closed`.
    pub fn of(home: &Path) -> Failure {
        match std::fs::read_to_string(home.join(FAILURE_FILE)) {
            Ok(text) if text.trim() == "closed" => Failure::Closed,
            _ => Failure::Open,
        }
    }
}
