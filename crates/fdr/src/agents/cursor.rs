//! Cursor: hooks in `hooks.json`. By its documentation; not run here.

use crate::agents::json_hooks::{JsonHooks, Shape};
use crate::agents::{Agent, Facts, Hook, Place, Scope, SettingsError};
use std::path::{Path, PathBuf};

/// Cursor.
pub struct Cursor;

/// Its hooks. `preToolUse` asks for every tool; the events of single tools after it repeat that,
/// and a call that is asked for twice would be recorded twice. Not the events of completions
/// (`beforeTabFileRead`), which are no agent's.
pub static HOOKS: JsonHooks = JsonHooks {
    runtime: "cursor",
    events: &[
        "preToolUse",
        "postToolUse",
        "postToolUseFailure",
        "beforeSubmitPrompt",
        "sessionStart",
        "sessionEnd",
        "subagentStart",
        "subagentStop",
        "preCompact",
        "stop",
        "afterAgentResponse",
        "afterAgentThought",
    ],
    shape: Shape::Plain,
    timeout: timeout_s,
    // Which shell it uses is not documented.
    command: Hook::wrapped,
    head: Some(("version", "1")),
};

/// How long Cursor waits for a hook, in seconds.
fn timeout_s(event: &str) -> u32 {
    if event == "preToolUse" { fdr_hook::RUNTIME_LIMIT_S } else { 30 }
}

/// Where an administrator's hooks are.
#[cfg(target_os = "macos")]
const MANAGED: &str = "/Library/Application Support/Cursor";
#[cfg(not(target_os = "macos"))]
const MANAGED: &str = "/etc/cursor";

impl Agent for Cursor {
    fn runtime(&self) -> &'static str {
        HOOKS.runtime
    }

    fn title(&self) -> &'static str {
        "Cursor"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cursor-agent", "cursor"]
    }

    fn events(&self) -> &'static [&'static str] {
        HOOKS.events
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        Some(vec![match scope {
            Scope::User => place.home.join(".cursor/hooks.json"),
            Scope::Project => place.project.join(".cursor/hooks.json"),
            Scope::Local => return None,
            Scope::Managed => place.managed(MANAGED).join("hooks.json"),
        }])
    }

    fn calls_equal_hooks_once(&self) -> bool {
        false
    }

    fn add(&self, _file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        HOOKS.add(text.unwrap_or_default(), hook)
    }

    fn remove(&self, _file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        HOOKS.remove(text)
    }

    fn read(&self, _file: &Path, text: &str) -> Result<Facts, SettingsError> {
        Ok(Facts { hooks: HOOKS.read(text)?, ..Facts::default() })
    }
}
