//! Codex: hooks in `hooks.json`, trust in them in `config.toml`.
//!
//! Codex runs a hook only if it trusts it: a person was asked, or the hook is an administrator's.
//! What it trusts it keeps in the user's `config.toml`, by the hook's place and a digest of what it
//! is. Who installs the hooks of fdr trusts them, so the digests of these, and of no other, are
//! written there too. Codex computes the same digest and compares; should a version of it compute
//! another one, it asks its user, and `fdr doctor` says so.

use crate::agents::json_hooks::{JsonHooks, Placed, Shape};
use crate::agents::{Agent, Facts, Hook, Note, Place, Scope, SettingsError, toml_lines};
use crate::settings_file::tilde;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Codex.
pub struct Codex;

/// Its hooks.
pub static HOOKS: JsonHooks = JsonHooks {
    runtime: "codex",
    events: &[
        "PreToolUse",
        "PostToolUse",
        "PermissionRequest",
        "UserPromptSubmit",
        "SessionStart",
        "SessionEnd",
        "Stop",
        "SubagentStart",
        "SubagentStop",
        "PreCompact",
        "PostCompact",
        "Interrupt",
    ],
    shape: Shape::Groups,
    timeout: timeout_s,
    // It uses the login shell of the user, which need not be a POSIX one.
    command: Hook::wrapped,
    head: None,
};

/// How long Codex waits for a hook, in seconds. It gives no more than 3 to those at an end, and
/// warns at every start where more is asked for.
fn timeout_s(event: &str) -> u32 {
    match event {
        "PreToolUse" => fdr_hook::RUNTIME_LIMIT_S,
        "SessionEnd" | "Interrupt" => 3,
        _ => 30,
    }
}

/// Where an administrator's settings are.
const MANAGED: &str = "/etc/codex";
/// What an administrator demands.
const REQUIREMENTS: &str = "requirements.toml";
/// Lets managed hooks alone run.
const LOCK: &str = "allow_managed_hooks_only";

impl Agent for Codex {
    fn runtime(&self) -> &'static str {
        HOOKS.runtime
    }

    fn title(&self) -> &'static str {
        "Codex"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["codex"]
    }

    fn events(&self) -> &'static [&'static str] {
        HOOKS.events
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        let home = place.dir("CODEX_HOME", ".codex");
        match scope {
            Scope::User => Some(vec![home.join("hooks.json"), home.join("config.toml")]),
            // Trust is the user's, wherever the hook is.
            Scope::Project => Some(vec![place.project.join(".codex/hooks.json"), home.join("config.toml")]),
            Scope::Local => None,
            Scope::Managed => {
                let dir = place.managed(MANAGED);
                Some(vec![dir.join("hooks.json"), dir.join(REQUIREMENTS)])
            }
        }
    }

    fn also_read(&self, scope: Scope, place: &Place<'_>) -> Vec<PathBuf> {
        match scope {
            Scope::Project => vec![place.project.join(".codex/config.toml")],
            Scope::Managed => vec![place.managed(MANAGED).join("config.toml")],
            Scope::User | Scope::Local => Vec::new(),
        }
    }

    fn calls_equal_hooks_once(&self) -> bool {
        false
    }

    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        if is_json(file) {
            HOOKS.add(text.unwrap_or_default(), hook)
        } else {
            Ok(text.unwrap_or_default().to_owned())
        }
    }

    fn add_beside(
        &self,
        file: &Path,
        text: Option<&str>,
        hook: &Hook,
        beside: &[(&Path, &str)],
    ) -> Result<String, SettingsError> {
        match beside.first() {
            Some((hooks, json)) if file.ends_with("config.toml") => {
                trust(text.unwrap_or_default(), hooks, json)
            }
            _ => self.add(file, text, hook),
        }
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        if is_json(file) {
            return HOOKS.remove(text);
        }
        toml_lines::parse(text)?;
        Ok(or_nothing(text, toml_lines::remove(text, &|_| true)))
    }

    fn remove_beside(
        &self,
        file: &Path,
        text: &str,
        beside: &[(&Path, &str)],
    ) -> Result<Option<String>, SettingsError> {
        match beside.first() {
            Some((hooks, _)) if file.ends_with("config.toml") => {
                toml_lines::parse(text)?;
                let prefix = header_of(hooks);
                Ok(or_nothing(text, toml_lines::remove(text, &|line| line.starts_with(&prefix))))
            }
            _ => self.remove(file, text),
        }
    }

    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError> {
        if is_json(file) {
            return Ok(Facts { hooks: HOOKS.read(text)?, ..Facts::default() });
        }
        let table = toml_lines::parse(text)?;
        let mut off = Vec::new();
        for name in ["hooks", "codex_hooks"] {
            let value = table.get("features").and_then(|features| features.get(name));
            if value.and_then(toml::Value::as_bool) == Some(false) {
                off.push(format!("features.{name} is false: no hook runs"));
            }
        }
        let managed_only =
            file.ends_with(REQUIREMENTS) && table.get(LOCK).and_then(toml::Value::as_bool) == Some(true);
        Ok(Facts { hooks: Vec::new(), off, managed_only })
    }

    fn lock(&self, file: &Path, text: &str) -> Option<Result<String, SettingsError>> {
        if !file.ends_with(REQUIREMENTS) {
            return None;
        }
        // Without the second, whoever starts Codex could still switch hooks off.
        let locked = toml_lines::set_true(text, "", LOCK);
        Some(locked.and_then(|text| toml_lines::set_true(&text, "features", "hooks")))
    }

    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let config = place.dir("CODEX_HOME", ".codex").join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap_or_default();
        let mut notes = Vec::new();
        let Ok(table) = toml_lines::parse(&text) else { return notes };
        for scope in [Scope::User, Scope::Project] {
            let Some(hooks) = self.files(scope, place).and_then(|files| files.into_iter().next()) else {
                continue;
            };
            let Ok(json) = std::fs::read_to_string(&hooks) else { continue };
            let placed = HOOKS.placed(&json).unwrap_or_default();
            let untrusted = placed
                .iter()
                .filter(|placed| trusted(&table, &key(&hooks, placed)) != Some(&*digest(placed)));
            match (placed.len(), untrusted.count()) {
                (0, _) => {}
                (_, 0) => notes.push(Note::Ok(format!("codex trusts the hooks in {}", tilde(&hooks)))),
                (all, untrusted) => notes.push(Note::Fix(
                    format!(
                        "codex does not trust {untrusted} of {all} hooks in {}: they don't run",
                        tilde(&hooks)
                    ),
                    format!("fdr install codex{}", scope.option()),
                )),
            }
            if scope == Scope::Project && !placed.is_empty() && !trusts_project(&table, &place.project) {
                notes.push(Note::Look(
                    format!(
                        "codex does not trust {} yet, and runs no hooks of it until you say so",
                        tilde(&place.project)
                    ),
                    "codex".to_owned(),
                ));
            }
        }
        notes
    }
}

/// What `-c` is given to have our hooks in one run, and trust in them.
pub fn settings_for_a_run(hook: &Hook) -> Vec<String> {
    // What Codex calls the command line where others have a file.
    let file = Path::new("/<session-flags>/config.toml");
    let mut settings = Vec::new();
    let mut trust = Vec::new();
    for event in HOOKS.events {
        let (command, timeout) = (HOOKS.command_of(hook, event), (HOOKS.timeout)(event));
        let text = toml_lines::quote(&command);
        settings.push(format!(
            "hooks.{event}=[{{hooks=[{{type=\"command\",command={text},timeout={timeout}}}]}}]"
        ));
        let placed = Placed {
            event: (*event).to_owned(),
            group: 0,
            at: 0,
            command,
            timeout: Some(timeout.into()),
            matcher: None,
            status_message: None,
        };
        let (key, digest) = (toml_lines::quote(&key(file, &placed)), digest(&placed));
        trust.push(format!("{key}={{trusted_hash=\"{digest}\"}}"));
    }
    settings.push(format!("hooks.state={{{}}}", trust.join(",")));
    settings
}

fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

fn or_nothing(before: &str, after: String) -> Option<String> {
    if after.is_empty() && after != before { None } else { Some(after) }
}

fn trusts_project(table: &toml::Table, project: &Path) -> bool {
    project.ancestors().any(|dir| {
        let level =
            dir.to_str().and_then(|dir| table.get("projects")?.get(dir)?.get("trust_level")?.as_str());
        level == Some("trusted")
    })
}

fn trusted<'a>(table: &'a toml::Table, key: &str) -> Option<&'a str> {
    table.get("hooks")?.get("state")?.get(key)?.get("trusted_hash")?.as_str()
}

/// The text of `config.toml` with trust in our hooks in `hooks`, whose text is `json`.
fn trust(text: &str, hooks: &Path, json: &str) -> Result<String, SettingsError> {
    let table = toml_lines::parse(text)?;
    let placed = HOOKS.placed(json)?;
    let is_trusted = |placed: &Placed| trusted(&table, &key(hooks, placed)) == Some(&*digest(placed));
    if placed.iter().all(is_trusted) {
        return Ok(text.to_owned());
    }
    // Ours are made anew, as one piece: the places of the hooks may have changed.
    let prefix = header_of(hooks);
    let rest = toml_lines::remove(text, &|line| line.starts_with(&prefix));
    let table = toml_lines::parse(&rest)?;
    let mut lines = Vec::new();
    for placed in &placed {
        let (key, digest) = (key(hooks, placed), digest(placed));
        match trusted(&table, &key) {
            Some(there) if there == digest => {}
            // What Codex wrote when it asked about a hook that stood here before.
            Some(_) => {
                let line = rest
                    .lines()
                    .position(|line| line.contains(&toml_lines::quote(&key)))
                    .map_or(1, |at| at + 1);
                return Err(SettingsError::Shape {
                    line,
                    what: format!(
                        "codex trusts another hook in the place of fdr's, {key}; remove that table"
                    ),
                });
            }
            None => {
                lines.push(toml_lines::marked(&format!("[hooks.state.{}]", toml_lines::quote(&key))));
                lines.push(toml_lines::marked(&format!("trusted_hash = {}", toml_lines::quote(&digest))));
            }
        }
    }
    let after = toml_lines::append(&rest, &lines.join("\n"));
    match toml_lines::parse(&after) {
        Ok(_) => Ok(after),
        Err(_) => Err(SettingsError::Shape {
            line: text.lines().position(|line| line.contains("state")).map_or(1, |at| at + 1),
            what: "`hooks.state` is not written as tables".to_owned(),
        }),
    }
}

/// How the header of a table of trust in a hook of a file begins.
fn header_of(hooks: &Path) -> String {
    let file = toml_lines::quote(&format!("{}:", hooks.display()));
    format!("[hooks.state.{}", file.trim_end_matches('"'))
}

/// What Codex calls a hook by: its file, event, and place there.
fn key(hooks: &Path, placed: &Placed) -> String {
    format!("{}:{}:{}:{}", hooks.display(), label(&placed.event), placed.group, placed.at)
}

/// The digest by which Codex knows a hook again: of its event and what it runs, as JSON with sorted
/// names.
fn digest(placed: &Placed) -> String {
    let mut entry = json!({
        "async": false,
        "command": placed.command,
        "timeout": placed.timeout.unwrap_or(600).max(1),
        "type": "command",
    });
    if let Some(status) = &placed.status_message {
        entry["statusMessage"] = json!(status);
    }
    let mut identity = json!({ "event_name": label(&placed.event), "hooks": [entry] });
    if let Some(matcher) = &placed.matcher {
        identity["matcher"] = json!(matcher);
    }
    let text = sorted(&identity).to_string();
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The same value with the names of its objects in order, whatever features serde_json has.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            Value::Object(entries.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// `PreToolUse` as `pre_tool_use`.
fn label(event: &str) -> String {
    let mut label = String::new();
    for c in event.chars() {
        if c.is_ascii_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.push(c.to_ascii_lowercase());
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> Hook {
        Hook { program: "/opt/fdr/bin/fdr-hook".to_owned(), home: None }
    }

    /// As Codex 0.169.0 computes them (`hooks/list` of its app server).
    #[test]
    fn digests_are_those_of_codex() {
        let placed = |event: &str, command: &str, timeout| Placed {
            event: event.to_owned(),
            group: 0,
            at: 0,
            command: command.to_owned(),
            timeout: Some(timeout),
            matcher: None,
            status_message: None,
        };
        assert_eq!(
            digest(&placed("PreToolUse", "/opt/a b/fdr-hook codex \"x\"", 330)),
            "sha256:2e635eddb1712aa653c7c096e8bf5d38582a468cc19cf8c174b0e6f4b272e393"
        );
        assert_eq!(
            digest(&placed("SessionStart", "/opt/fdr-hook", 30)),
            "sha256:9ef5db5142623e33a640fb6d80873c6459ab2fb8913e241012e68a915913da32"
        );
    }

    #[test]
    fn trust_is_added_for_our_hooks_alone_and_goes_without_a_trace() {
        let hooks = Path::new("/home/dev/.codex/hooks.json");
        let mine = "{\"hooks\":{\"PreToolUse\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"mine\"}]}]}}";
        let json = HOOKS.add(mine, &hook()).unwrap();
        let config = Path::new("/home/dev/.codex/config.toml");
        for text in [
            "",
            "model = \"x\"",
            "model = \"x\"\n\n[projects.\"/p\"]\ntrust_level = \"trusted\"\n",
            "[hooks.state.\"/home/dev/.codex/hooks.json:pre_tool_use:0:0\"]\ntrusted_hash = \"sha256:mine\"\n",
            "model = \"x\"\r\n[tui]\r\n",
        ] {
            let beside = [(hooks, &*json)];
            let added = Codex.add_beside(config, Some(text), &hook(), &beside).unwrap();
            assert_eq!(added.matches(" # fdr").count(), 2 * HOOKS.events.len(), "{added}");
            assert!(added.contains("hooks.json:pre_tool_use:1:0\"] # fdr"), "{added}");
            assert!(added.contains("hooks.json:post_tool_use:0:0\"] # fdr"), "{added}");
            assert_eq!(Codex.add_beside(config, Some(&added), &hook(), &beside).unwrap(), added);
            let removed = Codex.remove_beside(config, &added, &beside).unwrap().unwrap_or_default();
            assert_eq!(removed, text);
            let other = [(Path::new("/home/dev/proj/.codex/hooks.json"), &*json)];
            assert_eq!(Codex.remove_beside(config, &added, &other).unwrap().as_deref(), Some(&*added));
        }
    }

    #[test]
    fn the_lock_is_set_in_the_requirements_and_goes_without_a_trace() {
        let file = Path::new("/etc/codex/requirements.toml");
        for text in [
            "",
            "allowed_approval_policies = [\"never\"]\n[features]\nweb = true\n",
            "allow_managed_hooks_only = false\n",
        ] {
            let locked = Codex.lock(file, text).unwrap().unwrap();
            assert!(Codex.read(file, &locked).unwrap().managed_only, "{locked}");
            assert_eq!(Codex.remove(file, &locked).unwrap().unwrap_or_default(), text, "{locked}");
        }
        assert!(Codex.lock(Path::new("/etc/codex/hooks.json"), "{}").is_none());
    }

    #[test]
    fn settings_that_blind_the_recorder_are_seen() {
        let read = |text: &str| Codex.read(Path::new("config.toml"), text).unwrap();
        assert_eq!(read("[features]\nhooks = false\n").off, ["features.hooks is false: no hook runs"]);
        assert_eq!(read("[features]\nhooks = true\n"), Facts::default());
        assert!(!read("allow_managed_hooks_only = true").managed_only);
    }
}
