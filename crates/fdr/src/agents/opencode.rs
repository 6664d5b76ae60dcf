//! OpenCode: a plugin of ours in its folder of plugins, or in an administrator's settings.
//!
//! OpenCode calls no programs; the plugin does (`opencode_plugin.js`), and it answers for what the
//! guard of a command line does elsewhere: a call is denied where hooks fail closed and `fdr-hook`
//! can't be run.

use crate::agents::json_text::{
    Style, apply, as_object, insert_last, is_empty, parse, property, quote, ranges, remove_items, shape,
    split_mark, with, without,
};
use crate::agents::{Agent, Facts, Found, Hook, Note, Place, Scope, SettingsError};
use jsonc_parser::ast::{Array, Value};
use jsonc_parser::common::Ranged;
use std::path::{Path, PathBuf};

/// OpenCode.
pub struct OpenCode;

/// The plugin, but for which program it calls.
const PLUGIN: &str = include_str!("opencode_plugin.js");
/// The line that says which program, and the one that says where the recorder is.
const LINES: [&str; 2] = ["const HOOK = ", "const HOME = "];
/// Name of the plugin's file.
const FILE: &str = "fdr.js";
/// How an administrator's settings name it: by where it is from them.
const NAMED: &str = "./fdr.js";

/// What the plugin passes on.
const EVENTS: [&str; 18] = [
    "tool.execute.before",
    "tool.execute.after",
    "message.part.updated",
    "permission.asked",
    "permission.replied",
    "chat.message",
    "command.execute.before",
    "experimental.text.complete",
    "experimental.chat.system.transform",
    "experimental.chat.messages.transform",
    "experimental.session.compacting",
    "session.created",
    "session.started",
    "session.idle",
    "session.error",
    "session.compacted",
    "session.deleted",
    "session.ended",
];

/// Where an administrator's settings are.
#[cfg(target_os = "macos")]
const MANAGED: &str = "/Library/Application Support/opencode";
#[cfg(not(target_os = "macos"))]
const MANAGED: &str = "/etc/opencode";

impl Agent for OpenCode {
    fn runtime(&self) -> &'static str {
        "opencode"
    }

    fn title(&self) -> &'static str {
        "OpenCode"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["opencode"]
    }

    fn events(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        match scope {
            Scope::User => Some(vec![self.folder(place).join("plugin").join(FILE)]),
            Scope::Project => Some(vec![place.project.join(".opencode/plugin").join(FILE)]),
            Scope::Local => None,
            Scope::Managed => {
                let dir = place.managed(MANAGED);
                Some(vec![dir.join(FILE), dir.join("opencode.json")])
            }
        }
    }

    fn folder(&self, place: &Place<'_>) -> PathBuf {
        place.dir("XDG_CONFIG_HOME", ".config").join("opencode")
    }

    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        if is_plugin(file) {
            return match text {
                Some(text) if !text.trim().is_empty() && !is_ours(text) => Err(SettingsError::Shape {
                    line: 1,
                    what: "this is a plugin that fdr did not write".to_owned(),
                }),
                _ => Ok(plugin(hook)),
            };
        }
        named(text.unwrap_or_default())
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        if is_plugin(file) {
            return Ok(if is_ours(text) { None } else { Some(text.to_owned()) });
        }
        let left = unnamed(text)?;
        let nothing = left != text && is_empty(&left);
        Ok(if nothing { None } else { Some(left) })
    }

    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError> {
        if !is_plugin(file) {
            let (_, text) = split_mark(text);
            parse(text)?;
            return Ok(Facts::default());
        }
        let Some(hook) = called(text) else { return Ok(Facts::default()) };
        let complete = text == plugin(&hook);
        let found = |event: &&str| Found { event: (*event).to_owned(), hook: hook.clone(), complete };
        Ok(Facts { hooks: EVENTS.iter().map(found).collect(), ..Facts::default() })
    }

    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let set = |name: &str| {
            (place.env)(name).is_some_and(|value| value != Path::new("0") && value != Path::new("false"))
        };
        let mut notes = Vec::new();
        if set("OPENCODE_PURE") {
            notes.push(Note::Look(
                "OPENCODE_PURE is set: opencode loads no plugins, ours neither".to_owned(),
                "unset OPENCODE_PURE".to_owned(),
            ));
        }
        let in_project = self.files(Scope::Project, place).unwrap_or_default();
        if set("OPENCODE_DISABLE_PROJECT_CONFIG") && in_project.iter().any(|file| file.exists()) {
            notes.push(Note::Look(
                "OPENCODE_DISABLE_PROJECT_CONFIG is set: opencode does not load a project's plugins"
                    .to_owned(),
                "unset OPENCODE_DISABLE_PROJECT_CONFIG, or type fdr install opencode".to_owned(),
            ));
        }
        notes
    }
}

fn is_plugin(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "js")
}

/// Whether the text is our plugin, of whatever version.
fn is_ours(text: &str) -> bool {
    text.lines().next() == PLUGIN.lines().next()
}

/// The plugin that calls `hook`.
fn plugin(hook: &Hook) -> String {
    let home = hook.home.as_deref().map_or_else(|| "null".to_owned(), quote);
    let values = [quote(&hook.program), home];
    let mut text = String::with_capacity(PLUGIN.len() + 256);
    for line in PLUGIN.lines() {
        match LINES.iter().zip(&values).find(|(start, _)| line.starts_with(**start)) {
            Some((start, value)) => text.push_str(&format!("{start}{value}")),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// What a plugin of ours calls.
fn called(text: &str) -> Option<Hook> {
    if !is_ours(text) {
        return None;
    }
    let value = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start))?;
        serde_json::from_str::<Option<String>>(line.trim_end()).ok()
    };
    Some(Hook { program: value(LINES[0])??, home: value(LINES[1])? })
}

/// The settings with the plugin in their list.
fn named(text: &str) -> Result<String, SettingsError> {
    if is_empty(text) && parse(split_mark(text).1)?.is_none() {
        return Ok(format!("{{\n  \"plugin\": [{}]\n}}\n", quote(NAMED)));
    }
    let (mark, body) = split_mark(text);
    let parsed = parse(body)?;
    let root = as_object(body, parsed.as_ref(), "the settings")?;
    let Some(there) = property(root, "plugin") else {
        return with(text, "plugin", &format!("[{}]", quote(NAMED)));
    };
    let list = list(body, &there.value)?;
    if list.elements.iter().any(is_named) {
        return Ok(text.to_owned());
    }
    let mut edits = Vec::new();
    let last = list.elements.last().map(Ranged::range);
    insert_last(body, &Style::of(body, root), list.range, last, 2, &quote(NAMED), &mut edits);
    Ok(mark.to_owned() + &apply(body, edits))
}

/// The settings without it.
fn unnamed(text: &str) -> Result<String, SettingsError> {
    let (mark, body) = split_mark(text);
    let parsed = parse(body)?;
    let Some(Value::Object(root)) = &parsed else { return Ok(text.to_owned()) };
    let Some(there) = property(root, "plugin") else { return Ok(text.to_owned()) };
    let list = list(body, &there.value)?;
    let gone: Vec<bool> = list.elements.iter().map(is_named).collect();
    if !gone.contains(&true) {
        return Ok(text.to_owned());
    }
    if !gone.contains(&false) {
        return without(text, "plugin");
    }
    let mut edits = Vec::new();
    remove_items(body, list.start()..list.end(), &ranges(&list.elements), &gone, &mut edits);
    Ok(mark.to_owned() + &apply(body, edits))
}

fn list<'b, 'a>(text: &str, value: &'b Value<'a>) -> Result<&'b Array<'a>, SettingsError> {
    value.as_array().ok_or_else(|| shape(text, value.start(), "`plugin` is not a list".to_owned()))
}

fn is_named(value: &Value<'_>) -> bool {
    matches!(value, Value::StringLit(text) if text.value == NAMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(home: Option<&str>) -> Hook {
        Hook { program: "/opt/it's \"x\"/fdr-hook".to_owned(), home: home.map(str::to_owned) }
    }

    #[test]
    fn the_plugin_says_what_it_calls_and_is_read_back() {
        let file = Path::new("/h/.config/opencode/plugin/fdr.js");
        for home in [None, Some("/tmp/ä b\\")] {
            let text = OpenCode.add(file, None, &hook(home)).unwrap();
            assert!(text.lines().count() > 100 && text.contains("tool.execute.before"));
            assert_eq!(OpenCode.add(file, Some(&text), &hook(home)), Ok(text.clone()));
            let facts = OpenCode.read(file, &text).unwrap();
            assert_eq!(facts.hooks.len(), EVENTS.len());
            assert!(facts.hooks.iter().all(|found| found.complete && found.hook == hook(home)));
            assert_eq!(OpenCode.remove(file, &text), Ok(None));
        }
    }

    #[test]
    fn a_plugin_that_was_changed_is_not_complete_and_is_put_right() {
        let file = Path::new("/p/.opencode/plugin/fdr.js");
        let text = OpenCode.add(file, None, &hook(None)).unwrap();
        let changed = text.replace("throw new Error", "console.log");
        assert!(OpenCode.read(file, &changed).unwrap().hooks.iter().all(|found| !found.complete));
        assert_eq!(OpenCode.add(file, Some(&changed), &hook(None)), Ok(text));
    }

    #[test]
    fn a_plugin_of_somebody_else_stays() {
        let file = Path::new("/p/.opencode/plugin/fdr.js");
        let text = "export const Mine = async () => ({})\n";
        assert!(OpenCode.add(file, Some(text), &hook(None)).is_err());
        assert_eq!(OpenCode.remove(file, text), Ok(Some(text.to_owned())));
        assert_eq!(OpenCode.read(file, text), Ok(Facts::default()));
    }

    #[test]
    fn every_event_that_is_listed_is_passed_on_by_the_plugin() {
        for event in EVENTS {
            assert!(PLUGIN.contains(&format!("\"{event}\"")), "{event}");
        }
    }

    #[test]
    fn an_administrators_settings_keep_what_else_is_in_them() {
        let file = Path::new("/etc/opencode/opencode.json");
        for (before, after) in [
            ("", "{\n  \"plugin\": [\"./fdr.js\"]\n}\n"),
            ("{}\n", "{\n  \"plugin\": [\"./fdr.js\"]\n}\n"),
            (
                "{\n  // ours\n  \"share\": \"disabled\"\n}\n",
                "{\n  // ours\n  \"share\": \"disabled\",\n  \"plugin\": [\"./fdr.js\"]\n}\n",
            ),
            (
                "{\"plugin\": [\"a\"], \"share\": \"disabled\"}",
                "{\"plugin\": [\"a\", \"./fdr.js\"], \"share\": \"disabled\"}",
            ),
            (
                "{\n\t\"plugin\": [\n\t\t\"a\",\n\t],\n}\n",
                "{\n\t\"plugin\": [\n\t\t\"a\",\n\t\t\"./fdr.js\",\n\t],\n}\n",
            ),
        ] {
            let got = OpenCode.add(file, Some(before), &hook(None)).unwrap();
            assert_eq!(got, after);
            assert_eq!(OpenCode.add(file, Some(&got), &hook(None)), Ok(got.clone()), "again");
            let left = OpenCode.remove(file, &got).unwrap();
            let want = Some(before.to_owned()).filter(|before| !is_empty(before));
            assert_eq!(left, want, "{before}");
        }
        assert!(OpenCode.add(file, Some("{\"plugin\": 1}"), &hook(None)).is_err());
        assert_eq!(OpenCode.remove(file, "{\"plugin\": []}"), Ok(Some("{\"plugin\": []}".to_owned())));
    }
}
