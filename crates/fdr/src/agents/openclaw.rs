//! OpenClaw: a plug-in of ours in its folder of extensions, and leave for it in the settings.
//!
//! OpenClaw runs no commands as hooks; its plug-ins are JavaScript in its own process. Ours is as
//! small as can be: it gives each event to `fdr-hook`, and refuses a tool where that says so, or
//! where it can't run and the recorder's folder says that hooks fail closed.

use crate::agents::json_text::{
    Style, apply, as_object, insert_last, is_empty, parse, property, quote, ranges, remove_items, split_mark,
    value_at, with_path, without_path,
};
use crate::agents::{Agent, Facts, Found, Hook, Place, Scope, SettingsError};
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use std::path::{Path, PathBuf};

/// OpenClaw.
pub struct OpenClaw;

/// What the plug-in hears of, by the names under which it tells it.
const EVENTS: &[&str] = &[
    "session_start",
    "session_end",
    "before_agent_run",
    "llm_input",
    "before_tool_call",
    "after_tool_call",
    "agent_end",
    "subagent_ended",
    "before_compaction",
    "after_compaction",
    "before_reset",
];

const PLUGIN: &str = include_str!("openclaw_plugin.js");
/// Where the program and the recorder's folder stand in it.
const HOOK_LINE: &str = "const HOOK = {};";
const HOOK_START: &str = "const HOOK = ";
/// The first line of it, by which it is known.
const HEADER: &str = "// Gives the events of OpenClaw to the flight data recorder.";

const PACKAGE: &str = r#"{
  "name": "fdr",
  "version": "1.0.0",
  "private": true,
  "type": "module",
  "openclaw": { "extensions": ["./index.js"] }
}
"#;

const MANIFEST: &str = r#"{
  "id": "fdr",
  "name": "fdr",
  "description": "Flight data recorder: records every event and asks before every tool call.",
  "activation": { "onStartup": true },
  "configSchema": { "type": "object", "additionalProperties": false }
}
"#;

/// Our entry in the settings. Without the leave the plug-in does not hear what is asked.
const ENTRY: &str = r#"{ "enabled": true, "hooks": { "allowConversationAccess": true } }"#;
const AT: [&str; 3] = ["plugins", "entries", "fdr"];

impl Agent for OpenClaw {
    fn runtime(&self) -> &'static str {
        "openclaw"
    }

    fn title(&self) -> &'static str {
        "OpenClaw"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["openclaw"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        if scope != Scope::User {
            return None;
        }
        let home = || (place.env)("OPENCLAW_HOME").unwrap_or_else(|| place.home.clone()).join(".openclaw");
        let state = (place.env)("OPENCLAW_STATE_DIR").unwrap_or_else(home);
        let settings = (place.env)("OPENCLAW_CONFIG_PATH").unwrap_or_else(|| state.join("openclaw.json"));
        let ours = state.join("extensions/fdr");
        // The settings last: what they name is there then.
        let ours = ["index.js", "openclaw.plugin.json", "package.json"].map(|name| ours.join(name));
        Some(ours.into_iter().chain([settings]).collect())
    }

    fn folder(&self, place: &Place<'_>) -> PathBuf {
        (place.env)("OPENCLAW_STATE_DIR").unwrap_or_else(|| place.dir("OPENCLAW_HOME", "").join(".openclaw"))
    }

    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        Ok(match kind(file) {
            Kind::Plugin => plugin(hook),
            Kind::Manifest => MANIFEST.to_owned(),
            Kind::Package => PACKAGE.to_owned(),
            Kind::Settings => {
                let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}\n");
                let text = with_path(text, &AT, ENTRY)?;
                allowed(&text, true)?
            }
        })
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        let ours = match kind(file) {
            Kind::Plugin => text.starts_with(HEADER),
            Kind::Manifest => text == MANIFEST,
            Kind::Package => text == PACKAGE,
            Kind::Settings => {
                if value_at(text, &AT)?.is_none() {
                    return Ok(Some(text.to_owned()));
                }
                let left = allowed(&without_path(text, &AT)?, false)?;
                return Ok(Some(left).filter(|text| !is_empty(text)));
            }
        };
        Ok(Some(text.to_owned()).filter(|_| !ours))
    }

    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError> {
        match kind(file) {
            Kind::Plugin => Ok(Facts { hooks: hooks(text), ..Facts::default() }),
            Kind::Settings => Ok(Facts { off: off(text)?, ..Facts::default() }),
            Kind::Manifest | Kind::Package => Ok(Facts::default()),
        }
    }
}

enum Kind {
    Plugin,
    Manifest,
    Package,
    Settings,
}

fn kind(file: &Path) -> Kind {
    match file.file_name().and_then(|name| name.to_str()) {
        Some("index.js") => Kind::Plugin,
        Some("openclaw.plugin.json") => Kind::Manifest,
        Some("package.json") => Kind::Package,
        _ => Kind::Settings,
    }
}

/// What the plug-in has to know.
#[derive(serde::Serialize, serde::Deserialize)]
struct Told {
    program: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<String>,
    limit_s: u32,
}

/// The plug-in that calls a hook.
fn plugin(hook: &Hook) -> String {
    let Hook { program, home } = hook.clone();
    let told = Told { program, home, limit_s: fdr_hook::RUNTIME_LIMIT_S };
    let told = serde_json::to_string(&told).expect("texts and a number are JSON");
    PLUGIN.replacen(HOOK_LINE, &format!("{HOOK_START}{told};"), 1)
}

fn hooks(text: &str) -> Vec<Found> {
    let line = text.lines().find_map(|line| line.strip_prefix(HOOK_START)?.strip_suffix(';'));
    let told = line.filter(|_| text.starts_with(HEADER)).map(serde_json::from_str::<Told>);
    let Some(Ok(Told { program, home, .. })) = told else { return Vec::new() };
    let hook = Hook { program, home };
    let complete = text == plugin(&hook);
    let found = |event: &&str| Found { event: (*event).to_owned(), hook: hook.clone(), complete };
    EVENTS.iter().map(found).collect()
}

/// What in the settings keeps the plug-in from running, or from hearing.
fn off(text: &str) -> Result<Vec<String>, SettingsError> {
    let mut off = Vec::new();
    let at = |path: &[&str]| value_at(text, path);
    let names_us =
        |list: &serde_json::Value| list.as_array().is_some_and(|list| list.iter().any(|name| name == "fdr"));
    if at(&["plugins", "enabled"])? == Some(false.into()) {
        off.push("plugins.enabled is false: no plug-in runs".to_owned());
    }
    if at(&["plugins", "deny"])?.as_ref().is_some_and(names_us) {
        off.push("plugins.deny names fdr: the plug-in does not run".to_owned());
    }
    if at(&["plugins", "allow"])?.is_some_and(|list| list.as_array().is_some() && !names_us(&list)) {
        off.push("plugins.allow does not name fdr: the plug-in does not run".to_owned());
    }
    if let Some(entry) = at(&AT)? {
        if entry.get("enabled") == Some(&false.into()) {
            off.push("plugins.entries.fdr.enabled is false: the plug-in does not run".to_owned());
        }
        if entry.pointer("/hooks/allowConversationAccess") != Some(&true.into()) {
            off.push(
                "plugins.entries.fdr.hooks.allowConversationAccess is not true: prompts are not recorded"
                    .to_owned(),
            );
        }
    }
    Ok(off)
}

/// The text with `fdr` in the list of the plug-ins that may run, or without it. Where there is no
/// such list, all may.
fn allowed(text: &str, wanted: bool) -> Result<String, SettingsError> {
    let (mark, text) = split_mark(text);
    let parsed = parse(text)?;
    let root = as_object(text, parsed.as_ref(), "the settings")?;
    let plugins = property(root, "plugins").and_then(|plugins| plugins.value.as_object());
    let allow = plugins.and_then(|plugins| property(plugins, "allow"));
    let Some(list) = allow.and_then(|allow| allow.value.as_array()) else {
        return Ok(mark.to_owned() + text);
    };
    let is_us = |value: &Value<'_>| matches!(value, Value::StringLit(name) if name.value == "fdr");
    let ours: Vec<bool> = list.elements.iter().map(is_us).collect();
    let mut edits = Vec::new();
    if !wanted {
        remove_items(text, list.start()..list.end(), &ranges(&list.elements), &ours, &mut edits);
    } else if !ours.contains(&true) {
        let style = Style::of(text, root);
        let last = list.elements.last().map(Ranged::range);
        let one_line = !text[list.start()..list.end()].contains('\n');
        if one_line && last.is_none() {
            edits.push((list.start() + 1..list.start() + 1, quote("fdr")));
        } else {
            insert_last(text, &style, list.range(), last, 3, &quote("fdr"), &mut edits);
        }
    }
    Ok(mark.to_owned() + &apply(text, edits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(home: Option<&str>) -> Hook {
        Hook { program: "/opt/f \"d\"/fdr-hook".to_owned(), home: home.map(str::to_owned) }
    }

    #[test]
    fn what_is_put_into_the_settings_comes_out_again_to_the_byte() {
        let file = Path::new("openclaw.json");
        for text in [
            "{\n  // mine\n  \"gateway\": { \"mode\": \"local\" },\n}\n",
            "{\n  \"plugins\": {\n    \"allow\": [\"telegram\"],\n    \"entries\": {\n      \"telegram\": { \"enabled\": true }\n    }\n  }\n}\n",
            "{\"gateway\": {\"mode\": \"local\"}}",
            "{\n\t\"plugins\": {\n\t\t\"deny\": []\n\t}\n}\n",
        ] {
            let added = OpenClaw.add(file, Some(text), &hook(None)).expect("settings");
            assert_eq!(OpenClaw.add(file, Some(&added), &hook(None)).as_ref(), Ok(&added));
            assert!(OpenClaw.read(file, &added).expect("settings").off.is_empty(), "{added}");
            let entry = value_at(&added, &AT).expect("JSON").expect("our entry");
            assert_eq!(entry, serde_json::from_str::<serde_json::Value>(ENTRY).expect("JSON"));
            assert_eq!(OpenClaw.remove(file, &added).expect("settings").as_deref(), Some(text));
        }
        let new = OpenClaw.add(file, None, &hook(None)).expect("settings");
        assert_eq!(OpenClaw.remove(file, &new), Ok(None));
    }

    #[test]
    fn what_keeps_the_plug_in_from_running_is_said() {
        let file = Path::new("openclaw.json");
        let text = r#"{"plugins": {"enabled": false, "allow": ["a"], "deny": ["fdr"], "entries": {"fdr": {"enabled": false}}}}"#;
        assert_eq!(OpenClaw.read(file, text).expect("settings").off.len(), 5);
        // What says so on purpose stays.
        let added = OpenClaw.add(file, Some(text), &hook(None)).expect("settings");
        assert_eq!(OpenClaw.read(file, &added).expect("settings").off.len(), 2);
        assert!(OpenClaw.add(file, Some(r#"{"plugins": []}"#), &hook(None)).is_err());
    }

    #[test]
    fn the_plug_in_is_read_back() {
        let file = Path::new("extensions/fdr/index.js");
        for hook in [hook(None), hook(Some("/tmp/a, home: \"b\""))] {
            let text = OpenClaw.add(file, None, &hook).expect("a plug-in");
            let facts = OpenClaw.read(file, &text).expect("a plug-in");
            assert_eq!(facts.hooks.len(), EVENTS.len());
            assert!(facts.hooks.iter().all(|found| found.hook == hook && found.complete));
            let other = text.replace("fdr-hook", "other");
            assert!(
                OpenClaw
                    .read(file, &other)
                    .expect("a plug-in")
                    .hooks
                    .iter()
                    .all(|found| !found.complete || found.hook != hook)
            );
            assert_eq!(OpenClaw.remove(file, &text), Ok(None));
        }
        assert_eq!(OpenClaw.read(file, "export default {}").expect("none"), Facts::default());
    }
}
