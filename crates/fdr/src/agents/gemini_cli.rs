//! Gemini CLI: hooks in `settings.json`, and for a user the same in an extension too.
//!
//! In a folder that its user does not trust, Gemini CLI runs tools, but no hook of any settings
//! file; those of extensions it runs. One that stands in both places with the same command line
//! runs once.

use crate::agents::json_hooks::{JsonHooks, Shape};
use crate::agents::json_text::{self, value_at};
use crate::agents::{Agent, Facts, Hook, Note, Place, Scope, SettingsError};
use crate::settings_file::tilde;
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
    shape: Shape::Groups,
    timeout: timeout_ms,
    command,
    head: None,
};

/// A program that is missing makes the shell exit 127 with a word on it, and Gemini CLI then blocks
/// whatever the event is about: the prompt, the answer, the result.
fn command(hook: &Hook, runtime: &str, event: &str, gate: bool) -> String {
    if gate { hook.command(runtime, event, gate) } else { hook.harmless(runtime, event) }
}

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

/// What makes a folder an extension.
const MANIFEST_FILE: &str = "gemini-extension.json";
const MANIFEST: &str = "{\n  \"name\": \"fdr\",\n  \"version\": \"1.0.0\"\n}\n";

/// Whether hooks run at all.
const ENABLED: [&str; 2] = ["hooksConfig", "enabled"];
/// Its value where it is ours: comments are allowed.
const OUR_TRUE: &str = "/* fdr */ true";

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
        match scope {
            Scope::User => {
                let dir = self.folder(place);
                let extension = dir.join("extensions/fdr");
                Some(vec![
                    dir.join("settings.json"),
                    extension.join("hooks/hooks.json"),
                    extension.join(MANIFEST_FILE),
                ])
            }
            Scope::Project => Some(vec![place.project.join(".gemini/settings.json")]),
            Scope::Local => None,
            Scope::Managed => Some(vec![
                (place.env)("GEMINI_CLI_SYSTEM_SETTINGS_PATH")
                    .unwrap_or_else(|| place.managed(MANAGED).join("settings.json")),
            ]),
        }
    }

    fn folder(&self, place: &Place<'_>) -> PathBuf {
        place.dir("GEMINI_CLI_HOME", "").join(".gemini")
    }

    fn also_read(&self, scope: Scope, place: &Place<'_>) -> Vec<PathBuf> {
        let defaults = || {
            (place.env)("GEMINI_CLI_SYSTEM_DEFAULTS_PATH")
                .unwrap_or_else(|| place.managed(MANAGED).join("system-defaults.json"))
        };
        if scope == Scope::Managed { vec![defaults()] } else { Vec::new() }
    }

    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        if file.ends_with(MANIFEST_FILE) {
            return Ok(MANIFEST.to_owned());
        }
        let text = HOOKS.add(text.unwrap_or_default(), hook)?;
        // The administrator's word is the last one, so that nobody can switch hooks off.
        if is_managed(file) && value_at(&text, &ENABLED)?.is_none() {
            return json_text::with_path(&text, &ENABLED, OUR_TRUE);
        }
        Ok(text)
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        if file.ends_with(MANIFEST_FILE) {
            return Ok(if text == MANIFEST { None } else { Some(text.to_owned()) });
        }
        match HOOKS.remove(text)? {
            Some(text) if text.contains(OUR_TRUE) => {
                let text = json_text::without_path(&text, &ENABLED)?;
                Ok(if json_text::is_empty(&text) { None } else { Some(text) })
            }
            left => Ok(left),
        }
    }

    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError> {
        if file.ends_with(MANIFEST_FILE) {
            return Ok(Facts::default());
        }
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

    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let dir = self.folder(place);
        let mut notes = Vec::new();
        let has_extension = dir.join("extensions/fdr").join(MANIFEST_FILE).exists();
        let shown = tilde(&place.project);
        match trust(place, &dir) {
            Some(true) => notes.push(Note::Ok(format!("gemini trusts {shown}"))),
            Some(false) if has_extension => notes.push(Note::Info(format!(
                "gemini does not trust {shown}: of the hooks, those of the extension fdr run there"
            ))),
            Some(false) => notes.push(Note::Fix(
                format!("gemini does not trust {shown}: tools run there, and hooks of settings don't"),
                "fdr install gemini-cli".to_owned(),
            )),
            None => {}
        }
        let enabled = std::fs::read_to_string(dir.join("extensions/extension-enablement.json")).ok();
        let overrides = enabled.and_then(|text| value_at(&text, &["fdr", "overrides"]).ok()?);
        let is_off = |rule: &Value| rule.as_str().is_some_and(|rule| rule.starts_with('!'));
        if has_extension
            && overrides.is_some_and(|rules| rules.as_array().is_some_and(|rules| rules.iter().any(is_off)))
        {
            notes.push(Note::Look(
                "the extension fdr is disabled in some folders: in those that are not trusted no hook runs"
                    .to_owned(),
                "gemini extensions enable fdr".to_owned(),
            ));
        }
        notes
    }
}

/// What the user said of the folder or one around it, if anything.
fn trust(place: &Place<'_>, dir: &Path) -> Option<bool> {
    let file =
        (place.env)("GEMINI_CLI_TRUSTED_FOLDERS_PATH").unwrap_or_else(|| dir.join("trustedFolders.json"));
    let rules = json_text::value_at(&std::fs::read_to_string(file).ok()?, &[]).ok()??;
    place.project.ancestors().find_map(|folder| match rules.get(folder.to_str()?)?.as_str()? {
        "TRUST_FOLDER" | "TRUST_PARENT" => Some(true),
        "DO_NOT_TRUST" => Some(false),
        _ => None,
    })
}

/// Whether it is an administrator's file, which is no user's and no project's `.gemini`.
fn is_managed(file: &Path) -> bool {
    !file.components().any(|part| part.as_os_str() == ".gemini")
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
    fn an_administrators_file_says_that_hooks_run() {
        let hook = Hook { program: "/x/fdr-hook".to_owned(), home: None };
        let file = Path::new("/etc/gemini-cli/settings.json");
        for (text, wanted) in [
            ("", true),
            ("{\n  \"ui\": {}\n}\n", true),
            ("{\n  \"hooksConfig\": {\n    \"notifications\": false\n  }\n}\n", true),
            ("{\n  \"hooksConfig\": { \"enabled\": false }\n}\n", false),
        ] {
            let added = GeminiCli.add(file, Some(text), &hook).unwrap();
            assert_eq!(value_at(&added, &ENABLED).unwrap(), Some(wanted.into()), "{added}");
            assert_eq!(GeminiCli.add(file, Some(&added), &hook).unwrap(), added);
            assert_eq!(GeminiCli.remove(file, &added).unwrap().unwrap_or_default(), text, "{added}");
        }
    }

    #[test]
    fn time_limits_are_in_milliseconds() {
        let hook = Hook { program: "/x/fdr-hook".to_owned(), home: None };
        let text = GeminiCli.add(Path::new("settings.json"), None, &hook).unwrap();
        let limit =
            value_at(&text, &["hooks", "BeforeTool"]).unwrap().unwrap()[0]["hooks"][0]["timeout"].clone();
        assert_eq!(limit, 330_000);
    }

    #[test]
    fn a_program_that_is_missing_blocks_no_event() {
        let hook = Hook { program: "/nowhere/fdr-hook".to_owned(), home: Some("/nowhere/fdr".to_owned()) };
        for event in HOOKS.events {
            let command = HOOKS.command_of(&hook, event);
            assert_eq!(Hook::parse(&command).map(|call| call.event).as_deref(), Some(*event));
            let status = std::process::Command::new("bash").args(["-c", &command]).output().unwrap().status;
            assert_eq!(status.code(), Some(1), "{command}");
        }
    }
}
