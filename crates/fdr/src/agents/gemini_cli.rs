//! Gemini CLI: hooks in `settings.json`.

use crate::agents::json_hooks::{JsonHooks, Shape};
use crate::agents::json_text::value_at;
use crate::agents::{Agent, Facts, Hook, Place, Scope, SettingsError};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Gemini CLI.
pub struct GeminiCli;

/// Its hooks. Not `BeforeToolSelection`, which repeats what `BeforeModel` says.
pub static HOOKS: JsonHooks = JsonHooks {
    runtime: "gemini-cli",
    events: &[
        "BeforeTool",
        "AfterTool",
        "BeforeAgent",
        "AfterAgent",
        "BeforeModel",
        "AfterModel",
        "SessionStart",
        "SessionEnd",
        "Notification",
        "PreCompress",
    ],
    gates: &["BeforeTool"],
    shape: Shape::Groups,
    timeout: timeout_ms,
    command: Hook::command,
    head: None,
};

/// How long Gemini CLI waits for a hook, in milliseconds; it lets the tool run when one takes
/// longer.
fn timeout_ms(event: &str) -> u32 {
    1000 * if event == "BeforeTool" { fdr_hook::RUNTIME_LIMIT_S } else { 30 }
}

/// Where an administrator's settings are.
#[cfg(target_os = "macos")]
const MANAGED: &str = "/Library/Application Support/GeminiCli";
#[cfg(not(target_os = "macos"))]
const MANAGED: &str = "/etc/gemini-cli";

impl Agent for GeminiCli {
    fn runtime(&self) -> &'static str {
        HOOKS.runtime
    }

    fn title(&self) -> &'static str {
        "Gemini CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn events(&self) -> &'static [&'static str] {
        HOOKS.events
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        Some(vec![match scope {
            Scope::User => (place.env)("GEMINI_CLI_HOME")
                .unwrap_or_else(|| place.home.clone())
                .join(".gemini/settings.json"),
            Scope::Project => place.project.join(".gemini/settings.json"),
            Scope::Local => return None,
            Scope::Managed => (place.env)("GEMINI_CLI_SYSTEM_SETTINGS_PATH")
                .unwrap_or_else(|| place.managed(MANAGED).join("settings.json")),
        }])
    }

    fn also_read(&self, scope: Scope, place: &Place<'_>) -> Vec<PathBuf> {
        let defaults = || {
            (place.env)("GEMINI_CLI_SYSTEM_DEFAULTS_PATH")
                .unwrap_or_else(|| place.managed(MANAGED).join("system-defaults.json"))
        };
        if scope == Scope::Managed { vec![defaults()] } else { Vec::new() }
    }

    fn add(&self, _file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        HOOKS.add(text.unwrap_or_default(), hook)
    }

    fn remove(&self, _file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        HOOKS.remove(text)
    }

    fn read(&self, _file: &Path, text: &str) -> Result<Facts, SettingsError> {
        let hooks = HOOKS.read(text)?;
        let mut off = Vec::new();
        if value_at(text, &["hooksConfig", "enabled"])? == Some(Value::Bool(false)) {
            off.push("hooksConfig.enabled is false: no hook runs".to_owned());
        }
        // A hook without a name goes by its command line.
        let disabled = value_at(text, &["hooksConfig", "disabled"])?.unwrap_or_default();
        for name in disabled.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(call) = Hook::parse(name).filter(|call| call.runtime == HOOKS.runtime) {
                off.push(format!("hooksConfig.disabled names the hook of {}: it does not run", call.event));
            }
        }
        Ok(Facts { hooks, off, managed_only: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_blind_the_recorder_are_seen() {
        let read = |text: &str| GeminiCli.read(Path::new("settings.json"), text).unwrap();
        assert_eq!(read("{\"hooksConfig\": {\"enabled\": false}}").off.len(), 1);
        assert_eq!(
            read("{\"hooksConfig\": {\"enabled\": true, \"disabled\": [\"lint\"]}}"),
            Facts::default()
        );
        let off = read("{\"hooksConfig\": {\"disabled\": [\"/x/fdr-hook gemini-cli BeforeTool\"]}}").off;
        assert_eq!(off, ["hooksConfig.disabled names the hook of BeforeTool: it does not run"]);
    }

    #[test]
    fn time_limits_are_in_milliseconds() {
        let hook = Hook { program: "/x/fdr-hook".to_owned(), home: None };
        let text = GeminiCli.add(Path::new("settings.json"), None, &hook).unwrap();
        let limit =
            value_at(&text, &["hooks", "BeforeTool"]).unwrap().unwrap()[0]["hooks"][0]["timeout"].clone();
        assert_eq!(limit, 330_000);
    }
}
