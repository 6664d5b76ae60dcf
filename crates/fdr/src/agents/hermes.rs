//! Hermes Agent: a plugin in its folder, named in `config.yaml`; for all users of a machine, shell
//! hooks in the administrator's `config.yaml`, which cannot hold a plugin. `docs/hermes.md` says why
//! the plugin is the better one.

use crate::agents::yaml_text::{self, Style, find};
use crate::agents::{Agent, Facts, Found, Hook, Note, Place, Scope, SettingsError, shell_quote};
use std::path::{Path, PathBuf};

/// Hermes Agent.
pub struct Hermes;

const RUNTIME: &str = "hermes";
/// The event by which Hermes asks whether a tool may run.
const GATE: &str = "pre_tool_call";
/// What is hooked by plugin and shell hooks alike.
const EVENTS: &[&str] = &[
    GATE,
    "post_tool_call",
    "on_session_start",
    "pre_llm_call",
    "post_api_request",
    "api_request_error",
    "pre_approval_request",
    "post_approval_response",
    "subagent_start",
    "subagent_stop",
    "on_session_end",
    "on_session_finalize",
    "on_session_reset",
];
/// By the plugin alone, which passes on what is new: a shell hook is given the whole conversation.
const BY_PLUGIN: &str = "pre_api_request";

/// Name of the plugin, and of its folder.
const PLUGIN: &str = "fdr";
const SOURCE: &str = include_str!("hermes_plugin.py");
const MANIFEST: &str = "name: fdr\nversion: 1.0.0\ndescription: Records what the agent does, and enforces the policy in force (fdr).\n";
/// The constants in the plugin that say what it calls.
const PROGRAM: &str = "FDR_HOOK = ";
const HOME: &str = "FDR_HOME = ";

/// Where an administrator's settings are.
const MANAGED: &str = "/etc/hermes";
/// The setting by which shell hooks run without anybody having been asked.
const CONSENT: &str = "hooks_auto_accept";
/// The settings that are changed.
const OURS: [&str; 3] = ["plugins", "hooks", CONSENT];
/// What stands behind it where it was set for our hooks, and what it was before.
const MARK: &str = "# set by fdr";
const WAS: &str = ", was ";
/// How long Hermes waits for a hook that is no gate, in seconds.
const LIMIT_S: u32 = 30;
/// The longest that it waits for any, whatever is set.
const LONGEST_S: u32 = 300;

impl Agent for Hermes {
    fn runtime(&self) -> &'static str {
        RUNTIME
    }

    fn title(&self) -> &'static str {
        "Hermes Agent"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["hermes"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn files(&self, scope: Scope, place: &Place<'_>) -> Option<Vec<PathBuf>> {
        let home = place.dir("HERMES_HOME", ".hermes");
        let plugin = home.join("plugins").join(PLUGIN);
        match scope {
            // The plugin is there before it is switched on.
            Scope::User => {
                Some(vec![plugin.join("plugin.yaml"), plugin.join("__init__.py"), home.join("config.yaml")])
            }
            Scope::Project | Scope::Local => None,
            Scope::Managed => {
                let folder = (place.env)("HERMES_MANAGED_DIR").unwrap_or_else(|| place.managed(MANAGED));
                Some(vec![folder.join("config.yaml")])
            }
        }
    }

    fn folder(&self, place: &Place<'_>) -> PathBuf {
        place.dir("HERMES_HOME", ".hermes")
    }

    fn calls_equal_hooks_once(&self) -> bool {
        false
    }

    fn add(&self, file: &Path, text: Option<&str>, hook: &Hook) -> Result<String, SettingsError> {
        match Part::of(file) {
            Part::Manifest => foreign(text, is_our_manifest).map(|()| MANIFEST.to_owned()),
            Part::Source => foreign(text, is_our_source).map(|()| source(hook)),
            Part::Config => {
                let before = text.unwrap_or_default();
                let after = if is_managed(file) { add_hooks(before, hook)? } else { enable(before)? };
                yaml_text::checked(before, after, &OURS)
            }
        }
    }

    fn remove(&self, file: &Path, text: &str) -> Result<Option<String>, SettingsError> {
        let is_ours = match Part::of(file) {
            Part::Manifest => is_our_manifest(text),
            Part::Source => is_our_source(text),
            Part::Config => {
                let after = yaml_text::checked(text, remove_hooks(&disable(text)?)?, &OURS)?;
                return Ok(Some(after).filter(|text| !text.trim().is_empty()));
            }
        };
        Ok((!is_ours).then(|| text.to_owned()))
    }

    fn read(&self, file: &Path, text: &str) -> Result<Facts, SettingsError> {
        match Part::of(file) {
            Part::Manifest => Ok(Facts::default()),
            Part::Source => {
                let Some(hook) = called(text).filter(|_| is_our_source(text)) else {
                    return Ok(Facts::default());
                };
                let complete = source(&hook) == text;
                let events = EVENTS.iter().chain([&BY_PLUGIN]);
                let found = |event: &&str| Found { event: (*event).to_owned(), hook: hook.clone(), complete };
                Ok(Facts { hooks: events.map(found).collect(), ..Facts::default() })
            }
            Part::Config => read_config(text),
        }
    }

    fn notes(&self, place: &Place<'_>) -> Vec<Note> {
        let home = place.dir("HERMES_HOME", ".hermes");
        let mut notes = Vec::new();
        let is_there = home.join("plugins").join(PLUGIN).join("__init__.py").is_file();
        let config = std::fs::read_to_string(home.join("config.yaml")).unwrap_or_default();
        if is_there && !is_enabled(&config).unwrap_or(true) {
            notes.push(Note::Fix(
                "the plugin is there, but plugins.enabled does not name it: it is not loaded".to_owned(),
                "fdr install hermes".to_owned(),
            ));
        }
        let profiles = std::fs::read_dir(home.join("profiles")).into_iter().flatten().flatten();
        let mut profiles: Vec<PathBuf> =
            profiles.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        profiles.sort();
        for profile in profiles {
            if is_there && !profile.join("plugins").join(PLUGIN).join("__init__.py").is_file() {
                notes.push(Note::Fix(
                    format!("the profile {} has plugins of its own, and not this one", profile.display()),
                    format!("HERMES_HOME={} fdr install hermes", shell_quote(&profile.to_string_lossy())),
                ));
            }
        }
        notes
    }
}

/// Which of its files one is.
enum Part {
    Manifest,
    Source,
    Config,
}

impl Part {
    fn of(file: &Path) -> Part {
        match file.file_name().and_then(|name| name.to_str()) {
            Some("plugin.yaml") => Part::Manifest,
            Some("__init__.py") => Part::Source,
            _ => Part::Config,
        }
    }
}

/// Whether it is an administrator's: a user's stands in a folder of Hermes.
fn is_managed(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(file);
    folder.ends_with("etc/hermes")
        || std::env::var_os("HERMES_MANAGED_DIR").is_some_and(|dir| Path::new(&dir) == folder)
}

/// Refuses to write over what somebody else has put there.
fn foreign(text: Option<&str>, is_ours: fn(&str) -> bool) -> Result<(), SettingsError> {
    match text.filter(|text| !text.trim().is_empty() && !is_ours(text)) {
        None => Ok(()),
        Some(_) => Err(SettingsError::Shape {
            line: 1,
            what: "this is another plugin of the name fdr; give it another name first".to_owned(),
        }),
    }
}

fn is_our_manifest(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "name: fdr") && text.contains("(fdr)")
}

fn is_our_source(text: &str) -> bool {
    text.contains("Written by `fdr install hermes`")
}

/// The plugin that calls `hook`.
fn source(hook: &Hook) -> String {
    let python = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let home = hook.home.as_deref().map_or_else(|| "None".to_owned(), python);
    let line = |line: &str| match line {
        _ if line.starts_with(PROGRAM) => format!("{PROGRAM}{}\n", python(&hook.program)),
        _ if line.starts_with(HOME) => format!("{HOME}{home}\n"),
        line => format!("{line}\n"),
    };
    SOURCE.lines().map(line).collect()
}

/// What a plugin calls.
fn called(source: &str) -> Option<Hook> {
    let value = |name: &str| source.lines().find_map(|line| line.strip_prefix(name));
    let program = serde_json::from_str(value(PROGRAM)?).ok()?;
    let home = value(HOME).and_then(|home| serde_json::from_str(home).ok());
    Some(Hook { program, home })
}

fn is_enabled(text: &str) -> Result<bool, SettingsError> {
    let enabled = find(text, &["plugins", "enabled"])?;
    Ok(enabled.is_some_and(|entry| entry.items().iter().any(|item| item.text == PLUGIN)))
}

/// The settings with the plugin switched on.
fn enable(text: &str) -> Result<String, SettingsError> {
    if is_enabled(text)? {
        return Ok(text.to_owned());
    }
    let style = Style::of(text);
    match (find(text, &["plugins"])?, find(text, &["plugins", "enabled"])?) {
        (_, Some(enabled)) => enabled.with_item(text, PLUGIN),
        (Some(plugins), None) => {
            plugins.with_child(text, &format!("enabled:{}{}- {PLUGIN}", style.newline, style.indent), &style)
        }
        (None, None) => {
            let newline = style.newline;
            let block =
                format!("plugins:{newline}{0}enabled:{newline}{0}{0}- {PLUGIN}{newline}", style.indent);
            Ok(yaml_text::append(text, &block, &style))
        }
    }
}

/// The settings with the plugin switched off.
fn disable(text: &str) -> Result<String, SettingsError> {
    match find(text, &["plugins", "enabled"])? {
        Some(enabled) if enabled.items().iter().any(|item| item.text == PLUGIN) => {
            let text = enabled.without_item(text, PLUGIN);
            let text = yaml_text::without_empty(&text, &["plugins", "enabled"])?;
            yaml_text::without_empty(&text, &["plugins"])
        }
        _ => Ok(text.to_owned()),
    }
}

/// The command line of a shell hook. Hermes uses no shell, and heeds no exit status: so that of a gate
/// is a shell's, which prints the denial where `fdr-hook` can't run or is killed and the recorder's
/// folder says that hooks fail closed.
fn command(hook: &Hook, event: &str) -> String {
    if event != GATE {
        return hook.command(RUNTIME, event, false);
    }
    let answer = r#"{"decision":"block","reason":"fdr (enforce): denied, because fdr-hook gave no answer"}"#;
    let guarded = hook.guarded(RUNTIME, event, &format!("echo '{answer}'"));
    format!("/bin/sh -c {}", shell_quote(&guarded))
}

fn limit_s(event: &str) -> u32 {
    if event == GATE { fdr_hook::RUNTIME_LIMIT_S.min(LONGEST_S) } else { LIMIT_S }
}

/// The administrator's settings with our shell hooks.
fn add_hooks(text: &str, hook: &Hook) -> Result<String, SettingsError> {
    let is_there = |text: &str| -> Result<bool, SettingsError> {
        let facts = read_config(text)?;
        let complete = |event: &str| {
            facts.hooks.iter().any(|found| found.event == *event && found.complete && found.hook == *hook)
        };
        Ok(EVENTS.iter().all(|event| complete(event)) && consents(text)?)
    };
    if is_there(text)? {
        return Ok(text.to_owned());
    }
    let mut text = remove_hooks(text)?;
    let style = Style::of(&text);
    let (newline, indent) = (style.newline, &style.indent);
    for event in EVENTS {
        let command = yaml_text::quote(&command(hook, event));
        let item = format!("command: {command}{newline}timeout: {}", limit_s(event));
        let hooks = find(&text, &["hooks"])?;
        let entry = find(&text, &["hooks", event])?;
        text = match (hooks, entry) {
            (_, Some(entry)) => entry.with_mapping_item(&text, &item, &style)?,
            (Some(hooks), None) => {
                let item = item.replace(newline, &format!("{newline}{indent}  "));
                hooks.with_child(&text, &format!("{event}:{newline}{indent}- {item}"), &style)?
            }
            (None, None) => {
                let item = item.replace(newline, &format!("{newline}{indent}{indent}  "));
                let block =
                    format!("hooks:{newline}{indent}{event}:{newline}{indent}{indent}- {item}{newline}");
                yaml_text::append(&text, &block, &style)
            }
        };
    }
    match find(&text, &[CONSENT])? {
        Some(entry) if entry.value == "true" => Ok(text),
        Some(entry) => Ok(entry.with_value(&text, &format!("true {MARK}{WAS}{}", entry.value))),
        None => Ok(yaml_text::append(&text, &format!("{CONSENT}: true {MARK}{newline}"), &style)),
    }
}

fn consents(text: &str) -> Result<bool, SettingsError> {
    Ok(find(text, &[CONSENT])?.is_some_and(|entry| entry.value == "true"))
}

/// The settings without our shell hooks, and without the consent to hooks if it was given for them.
fn remove_hooks(text: &str) -> Result<String, SettingsError> {
    let mut text = text.to_owned();
    let Some(hooks) = find(&text, &["hooks"])? else { return Ok(text) };
    let events: Vec<String> = hooks.children()?.iter().map(|entry| entry.key.to_owned()).collect();
    let mut had_ours = false;
    for event in events {
        while let Some(entry) = find(&text, &["hooks", &event])? {
            let ours = entry
                .items()
                .into_iter()
                .find(|item| item.fields().iter().any(|(key, value)| *key == "command" && is_ours(value)));
            let Some(item) = ours else { break };
            had_ours = true;
            text = item.removed(&text);
            text = yaml_text::without_empty(&text, &["hooks", &event])?;
        }
    }
    if !had_ours {
        return Ok(text);
    }
    text = yaml_text::without_empty(&text, &["hooks"])?;
    let Some(entry) = find(&text, &[CONSENT])? else { return Ok(text) };
    match entry.line().split_once(MARK) {
        None => Ok(text),
        Some((_, rest)) => match rest.strip_prefix(WAS).map(|was| was.split(" #").next().unwrap_or(was)) {
            Some(was) => Ok(text.replacen(&format!("true {MARK}{WAS}{was}"), was, 1)),
            None => Ok(entry.removed(&text)),
        },
    }
}

fn is_ours(command: &str) -> bool {
    Hook::parse(command).is_some_and(|call| call.runtime == RUNTIME)
}

fn read_config(text: &str) -> Result<Facts, SettingsError> {
    let mut facts = Facts::default();
    if let Some(hooks) = find(text, &["hooks"])? {
        for entry in hooks.children()? {
            for item in entry.items() {
                let fields = item.fields();
                let field =
                    |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
                let Some(call) =
                    field("command").and_then(Hook::parse).filter(|call| call.runtime == RUNTIME)
                else {
                    continue;
                };
                let complete = field("matcher").is_none()
                    && call.event == entry.key
                    && field("command") == Some(command(&call.hook, entry.key).as_str());
                facts.hooks.push(Found { event: entry.key.to_owned(), hook: call.hook, complete });
            }
        }
        if !facts.hooks.is_empty() && !consents(text)? {
            facts.off.push(format!("{CONSENT} is not true: hooks that nobody has consented to do not run"));
        }
    }
    let disabled = find(text, &["plugins", "disabled"])?;
    if disabled.is_some_and(|entry| entry.items().iter().any(|item| item.text == PLUGIN)) {
        facts.off.push("plugins.disabled names fdr: the plugin is not loaded".to_owned());
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> Hook {
        Hook { program: "/opt/it's/fdr-hook".to_owned(), home: Some("/var/fdr".to_owned()) }
    }

    fn add(text: &str) -> String {
        Hermes.add(Path::new("/home/dev/.hermes/config.yaml"), Some(text), &hook()).unwrap()
    }

    #[test]
    fn the_plugin_is_switched_on_where_the_list_stands() {
        for (before, after) in [
            ("", "plugins:\n  enabled:\n    - fdr\n"),
            ("model: x", "model: x\nplugins:\n  enabled:\n    - fdr\n"),
            ("model: x\nplugins: # mine\n", "model: x\nplugins: # mine\n  enabled:\n    - fdr\n"),
            ("plugins: {}\nz: 1\n", "plugins:\n  enabled:\n    - fdr\nz: 1\n"),
            ("plugins:\n  enabled: []  # none\n", "plugins:\n  enabled: [fdr]  # none\n"),
            ("plugins:\n  enabled: [a, 'b']\nz: 1\n", "plugins:\n  enabled: [a, 'b', fdr]\nz: 1\n"),
            (
                "plugins:\n    enabled:\n    - a   # first\n\n# next\nz: 1\n",
                "plugins:\n    enabled:\n    - a   # first\n    - fdr\n\n# next\nz: 1\n",
            ),
            (
                "plugins:\n  disabled:\n    - c\nz: |\n  plugins:\n    x\n",
                "plugins:\n  disabled:\n    - c\n  enabled:\n    - fdr\nz: |\n  plugins:\n    x\n",
            ),
            ("a:\r\n    b: 1\r\n", "a:\r\n    b: 1\r\nplugins:\r\n    enabled:\r\n        - fdr\r\n"),
        ] {
            assert_eq!(add(before), after);
            assert_eq!(add(after), after, "a second time");
            assert!(is_enabled(after).unwrap());
            let removed = Hermes.remove(Path::new("config.yaml"), after).unwrap().unwrap_or_default();
            assert!(!is_enabled(&removed).unwrap(), "{removed}");
            assert_eq!(
                Hermes.remove(Path::new("config.yaml"), &removed).unwrap().unwrap_or_default(),
                removed
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "plugins: {enabled: [a]}\n",
            "plugins:\n  enabled: *all\n",
            "plugins:\n  enabled: [a,\n    b]\n",
            "plugins: 1\n",
            "plugins:\n  - a\n",
            "{plugins: 1}\n",
            "a: [\n",
            "a: 1\n---\nb: 1\n",
            "plugins:\n  x: 1\nplugins:\n  y: 1\n",
        ] {
            let result = Hermes.add(Path::new("config.yaml"), Some(text), &hook());
            assert!(result.is_err(), "{text}: {result:?}");
        }
    }

    #[test]
    fn the_plugin_says_what_it_calls() {
        let file = Path::new("plugins/fdr/__init__.py");
        for hook in [hook(), Hook { program: "/a \"b\"/fdr-hook".to_owned(), home: None }] {
            let text = Hermes.add(file, None, &hook).unwrap();
            let facts = Hermes.read(file, &text).unwrap();
            assert_eq!(facts.hooks.len(), EVENTS.len() + 1);
            assert!(facts.hooks.iter().all(|found| found.complete && found.hook == hook));
            let changed = text.replace("return True", "return False").replace("== \"closed\"", "== \"x\"");
            assert!(Hermes.read(file, &changed).unwrap().hooks.iter().all(|found| !found.complete));
            assert_eq!(Hermes.remove(file, &text).unwrap(), None);
        }
        assert!(Hermes.add(file, Some("import this\n"), &hook()).is_err());
        assert_eq!(Hermes.remove(file, "import this\n").unwrap().as_deref(), Some("import this\n"));
    }

    #[test]
    fn an_administrators_hooks_are_shell_hooks_with_consent() {
        let file = Path::new("/etc/hermes/config.yaml");
        let theirs = "hooks:\n  post_tool_call:\n    - command: /opt/audit.sh\n      timeout: 5\nmodel:\n  default: m\n";
        for before in ["", theirs, "hooks_auto_accept: false # mine\n", "hooks_auto_accept: true\n"] {
            let after = Hermes.add(file, Some(before), &hook()).unwrap();
            assert_eq!(Hermes.add(file, Some(&after), &hook()).unwrap(), after, "a second time");
            let facts = Hermes.read(file, &after).unwrap();
            assert_eq!(facts.hooks.len(), EVENTS.len(), "{after}");
            assert!(facts.hooks.iter().all(|found| found.complete && found.hook == hook()), "{after}");
            assert_eq!(facts.off, Vec::<String>::new());
            assert!(after.contains(r#"{"decision":"block","reason":"#), "the guard of the gate answers");
            let removed = Hermes.remove(file, &after).unwrap().unwrap_or_default();
            assert_eq!(removed, before);
        }
    }

    #[test]
    fn settings_that_blind_the_recorder_are_seen() {
        let facts = Hermes.read(Path::new("config.yaml"), "plugins:\n  disabled: [fdr]\n").unwrap();
        assert_eq!(facts.off, ["plugins.disabled names fdr: the plugin is not loaded"]);
    }
}
