//! How a client speaks with the recorder: the messages ([`wire`]), the connection with its
//! start on demand ([`client`]), the durable spool for when there is no recorder ([`spool`]),
//! and what each runtime is told ([`reply`]).
//!
//! Links nothing but the standard library, because `fdr-hook` is started for every event of
//! an agent and a program's size is paid at every start.
#![deny(unsafe_code)]

pub mod client;
pub mod handed;
pub mod level;
pub mod reply;
pub mod spool;
pub mod system;
pub mod wire;

use std::path::{Path, PathBuf};

/// The recorder's folder: `$FDR_HOME`, else that of the machine's recorder if `fdr install --system`
/// made one, else `$XDG_STATE_HOME/fdr`, else `~/.local/state/fdr`.
pub fn default_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = || Some(PathBuf::from(system::FRONT)).filter(|front| front.join(system::FILE).exists());
    set("FDR_HOME")
        .or_else(system)
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("fdr")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/fdr")))
}

/// The longest that a call can wait for a person to approve it, in seconds.
pub const MAX_APPROVAL_WAIT_S: u32 = 300;

/// The time that a runtime is told to give the hook before a tool call, in seconds: it runs the
/// tool all the same when this is over, so the answer must be there in good time before.
pub const RUNTIME_LIMIT_S: u32 = MAX_APPROVAL_WAIT_S + 30;

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

    /// How a hook fails in this folder. Where no recorder has written the file yet, a
    /// configuration that enforces counts: a first start that fails must not fail open.
    pub fn of(home: &Path) -> Failure {
        let read = |name: &str| std::fs::read_to_string(home.join(name));
        match read(FAILURE_FILE) {
            Ok(text) if text.trim() == "closed" => Failure::Closed,
            Ok(_) => Failure::Open,
            Err(_) => {
                let config = read("config.toml").unwrap_or_default();
                let mut settings = config.lines().map(str::trim).filter(|line| !line.starts_with('#'));
                let closed = settings.any(|line| line.contains("enforce") || line.contains("closed"));
                if closed { Failure::Closed } else { Failure::Open }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_enforces_fails_closed_before_a_recorder_ever_ran() {
        let home = std::env::temp_dir().join(format!("fdr-failure-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        let of = |config: &str, file: Option<&str>| {
            std::fs::write(home.join("config.toml"), config).expect("written");
            let _ = std::fs::remove_file(home.join(FAILURE_FILE));
            if let Some(text) = file {
                std::fs::write(home.join(FAILURE_FILE), text).expect("written");
            }
            Failure::of(&home)
        };
        assert_eq!(of("", None), Failure::Open);
        assert_eq!(of("mode = 'enforce'", None), Failure::Closed);
        assert_eq!(of("# mode = 'enforce'", None), Failure::Open);
        assert_eq!(of("fail = 'closed'", None), Failure::Closed);
        assert_eq!(of("mode = 'enforce'", Some("open")), Failure::Open);
        assert_eq!(of("", Some("closed")), Failure::Closed);
        let _ = std::fs::remove_dir_all(&home);
    }
}
