//! Claude Code: hooks in `settings.json`.

use crate::agents::json_hooks::{JsonHooks, Shape};
use crate::agents::json_text::{self, value_at};
use crate::agents::{Agent, Facts, Hook, Note, Place, Scope, SettingsError};
use crate::settings_file::tilde;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Claude Code.
pub struct ClaudeCode;

/// Its hooks. Not `WorktreeCreate` and `WorktreeRemove`: a hook there *replaces* what Claude Code
/// would do.
pub static HOOKS: JsonHooks = JsonHooks {
    runtime: "claude-code",
    events: &[
        "PreToolUse",
        "PostToolUse",
        "PostToolUseFailure",
        "PostToolBatch",
        "Notification",
        "UserPromptSubmit",
        "UserPromptExpansion",
        "SessionStart",
        "SessionEnd",
        "Stop",
        "StopFailure",
        "SubagentStart",
        "SubagentStop",
        "PreCompact",
        "PostCompact",
        "PreModelSwitch",
        "PostModelSwitch",
        "PermissionRequest",
        "PermissionDenied",
        "Setup",
        "TeammateIdle",
        "TaskCreated",
        "TaskCompleted",
        "Elicitation",
        "ElicitationResult",
        "ConfigChange",
        "InstructionsLoaded",
        "CwdChanged",
        "FileChanged",
        "DirectoryAdded",
        "MessageDisplay",
    ],
    shape: Shape::Groups,
    timeout: timeout_s,
    command: Hook::command,
    head: None,
};

/// How long Claude Code waits for a hook, in seconds. `fdr-hook` has a shorter deadline of its
/// own, since Claude Code lets the tool run when a hook takes too long. Before a tool runs, a
/// person may have to approve it first.
fn timeout_s(event: &str) -> u32 {
    if event == "PreToolUse" { fdr_hook::RUNTIME_LIMIT_S } else { 30 }
}

/// Where an administrator's settings are.
#[cfg(target_os = "macos")]
const MANAGED: &str = "/Library/Application Support/ClaudeCode";
#[cfg(not(target_os = "macos"))]
const MANAGED: &str = "/etc/claude-code";

/// Lets managed hooks alone run; heeded in administrators' files only.
const LOCK: &str = "allowManagedHooksOnly";

/// The administrator's file that is ours alone.
const MANAGED_PART: &str = "managed-settings.d/fdr.json";

impl Agent for ClaudeCode {
    fn runtime(&self) -> &'static str {
        HOOKS.runtime
    }

    fn title(&self) -> &'static str {
        "Claude Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["claude"]
    }

    fn events(&self) -> &'static [&'static str] {
        HOOKS.events
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        Some(vec![match scope {
            Scope::User => place.dir("CLAUDE_CONFIG_DIR", ".claude").join("settings.json"),
            Scope::Project => place.project.join(".claude/settings.json"),
            Scope::Local => place.project.join(".claude/settings.local.json"),
            Scope::Managed => place.managed(MANAGED).join(MANAGED_PART),
        }])
    }

    fn also_read(&self, scope: Scope, place: &Place<'_>) -> Vec<PathBuf> {
        if scope != Scope::Managed {
            return Vec::new();
        }
        let dir = place.managed(MANAGED);
        let mut parts: Vec<PathBuf> = std::fs::read_dir(dir.join("managed-settings.d"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        parts.sort();
        parts.insert(0, dir.join("managed-settings.json"));
        parts
    }

    fn add(&self, _file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        HOOKS.add(text.unwrap_or_default(), hook)
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        match HOOKS.remove(text)? {
            // The lock stands in a file of our own.
            Some(text) if file.ends_with(MANAGED_PART) => {
                let text = json_text::without(&text, LOCK)?;
                Ok(if json_text::is_empty(&text) { None } else { Some(text) })
            }
            left => Ok(left),
        }
    }

    fn read(&self, _file: &Path, text: &str) -> Result<Facts, SettingsError> {
        let is_true = |name| Ok(value_at(text, &[name])? == Some(Value::Bool(true)));
        let mut off = Vec::new();
        if is_true("disableAllHooks")? {
            off.push("disableAllHooks is set: no hook runs".to_owned());
        }
        if let Some(Value::String(simple)) = value_at(text, &["env", "CLAUDE_CODE_SIMPLE"])?
            && !matches!(&*simple, "" | "0" | "false")
        {
            off.push("CLAUDE_CODE_SIMPLE is set: no hook runs".to_owned());
        }
        Ok(Facts { hooks: HOOKS.read(text)?, off, managed_only: is_true(LOCK)? })
    }

    fn lock(&self, _file: &Path, text: &str) -> Option<Result<String, SettingsError>> {
        Some(json_text::with(text, LOCK, "true"))
    }

    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let mut notes = Vec::new();
        let simple = (place.env)("CLAUDE_CODE_SIMPLE");
        if simple.is_some_and(|value| value.as_os_str() != "0") {
            notes.push(Note::Fix(
                "CLAUDE_CODE_SIMPLE is set in this shell: no hook runs".to_owned(),
                "unset CLAUDE_CODE_SIMPLE".to_owned(),
            ));
        }
        notes.extend(trust(place));
        notes
    }
}

/// Claude Code runs no hooks in a folder that its user has not said to trust.
fn trust(place: &Place<'_>) -> Option<Note> {
    let state = place.dir("CLAUDE_CONFIG_DIR", "").join(".claude.json");
    let state: Value = serde_json::from_slice(&std::fs::read(state).ok()?).ok()?;
    let here = &place.project;
    let trust =
        |dir: &Path| state.get("projects")?.get(dir.to_str()?)?.get("hasTrustDialogAccepted")?.as_bool();
    let shown = tilde(here);
    Some(if here.ancestors().any(|dir| trust(dir) == Some(true)) {
        Note::Ok(format!("claude trusts {shown}"))
    } else if trust(here) == Some(false) {
        let text = format!("claude does not trust {shown} yet, and runs no hooks there until you say so");
        Note::Look(text, "claude".to_owned())
    } else {
        Note::Info(format!("claude will ask whether to trust {shown} before any hook runs there"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_blind_the_recorder_are_seen() {
        let read = |text| ClaudeCode.read(Path::new("settings.json"), text).unwrap();
        let facts = read(
            "{\"disableAllHooks\": true, \"allowManagedHooksOnly\": true, \"env\": {\"CLAUDE_CODE_SIMPLE\": \"1\"}}",
        );
        assert_eq!(facts.off.len(), 2, "{facts:?}");
        assert!(facts.managed_only);
        assert_eq!(read("{\"disableAllHooks\": false}"), Facts::default());
        assert_eq!(read(""), Facts::default());
    }
}
