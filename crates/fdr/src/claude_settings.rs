//! Claude Code's settings file: puts the recorder's hooks into it and takes them out again.
//!
//! The file is a person's. It is edited as text, at the places that the parser names: their
//! hooks, comments, order and formatting stay byte for byte, whatever style they are in.
//! Pure text in, text out; the files are `install.rs`'s business.
//!
//! - [`add`] is idempotent: what is there already is left, what is out of date is corrected
//!   where it stands;
//! - [`remove`] takes out what is ours and the containers that it leaves empty.

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::fmt;
use std::ops::Range;

/// Name of the runtime in a hook's command line.
pub const RUNTIME: &str = "claude-code";

/// File name of the program that a hook calls.
pub const HOOK_PROGRAM: &str = "fdr-hook";

/// How long Claude Code waits for a hook, in seconds. `fdr-hook` has a shorter deadline of its
/// own, since Claude Code lets the tool run when a hook takes too long. Before a tool runs, a
/// person may have to approve it first.
pub fn timeout_s(event: &str) -> u32 {
    if event == "PreToolUse" { fdr_hook::RUNTIME_LIMIT_S } else { 30 }
}

/// Every event that is recorded. Not `WorktreeCreate` and `WorktreeRemove`: a hook there
/// *replaces* what Claude Code would do.
pub const EVENTS: [&str; 31] = [
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
];

/// Why a settings file can't be edited.
#[derive(Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// Not JSON, even with comments and trailing commas.
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// JSON, but not as Claude Code's settings are.
    Shape {
        /// From 1.
        line: usize,
        /// What should be what.
        what: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Syntax { line, column, what } => write!(f, "line {line}, column {column}: {what}"),
            SettingsError::Shape { line, what } => write!(f, "line {line}: {what}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// The program that the hooks call, and the recorder that it shall find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute path of `fdr-hook`.
    pub program: String,
    /// The recorder's folder, if it is not the default one.
    pub home: Option<String>,
}

impl Hook {
    /// The command line for an event, quoted for a POSIX shell.
    pub fn command(&self, event: &str) -> String {
        let mut command = format!("{} {RUNTIME} {event}", shell_quote(&self.program));
        if let Some(home) = &self.home {
            command.push_str(" --home ");
            command.push_str(&shell_quote(home));
        }
        command
    }

    /// The hook and event of a command line, if it calls `fdr-hook` for Claude Code.
    pub fn parse(command: &str) -> Option<(Hook, String)> {
        let mut words = shell_words(command)?.into_iter();
        let program = words.next()?;
        if program.rsplit('/').next() != Some(HOOK_PROGRAM) || words.next()? != RUNTIME {
            return None;
        }
        let event = words.next().unwrap_or_default();
        let home = match words.next().as_deref() {
            Some("--home") => words.next(),
            _ => None,
        };
        Some((Hook { program, home }, event))
    }
}

/// A hook of ours in a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Name of the event it stands under.
    pub event: String,
    /// What it calls.
    pub hook: Hook,
    /// Whether it is called for every such event of the name it stands under: no matcher
    /// narrows it, and its command names the same event.
    pub complete: bool,
}

/// What a settings file says of hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ours.
    pub hooks: Vec<Found>,
    /// `disableAllHooks`.
    pub disable_all_hooks: bool,
    /// `allowManagedHooksOnly`; heeded in managed settings only.
    pub allow_managed_hooks_only: bool,
    /// `env.CLAUDE_CODE_SIMPLE` is set: no hooks run.
    pub simple: bool,
}

/// Reads what a settings file says of hooks.
///
/// # Errors
/// When it is not JSON.
pub fn read(text: &str) -> Result<Facts, SettingsError> {
    let (_, text) = split_mark(text);
    let value = parse(text)?;
    let Some(Value::Object(root)) = &value else { return Ok(Facts::default()) };
    let is_true = |name| matches!(property(root, name), Some(prop) if is_true(&prop.value));
    let env = property(root, "env").and_then(|prop| prop.value.as_object());
    let simple = env.and_then(|env| property(env, "CLAUDE_CODE_SIMPLE"));
    Ok(Facts {
        hooks: ours(root)
            .into_iter()
            .map(|our| {
                let complete = our.is_unfiltered && our.named == our.event;
                Found { event: our.event, hook: our.hook, complete }
            })
            .collect(),
        disable_all_hooks: is_true("disableAllHooks"),
        allow_managed_hooks_only: is_true("allowManagedHooksOnly"),
        simple: simple
            .and_then(|prop| prop.value.as_string_lit())
            .is_some_and(|text| !matches!(&*text.value, "" | "0" | "false")),
    })
}

fn is_true(value: &Value<'_>) -> bool {
    matches!(value, Value::BooleanLit(literal) if literal.value)
}

/// The text with a hook of ours for each of [`EVENTS`]. An empty text is taken for an empty
/// object.
///
/// # Errors
/// When it is not JSON, or `hooks` is not as Claude Code documents it.
pub fn add(text: &str, hook: &Hook) -> Result<String, SettingsError> {
    let (mark, text) = split_mark(text);
    if text.trim().is_empty() {
        let entries = event_entries(&EVENTS, hook, "\n", "  ", 2);
        return Ok(format!("{mark}{{\n  \"hooks\": {{\n    {entries}\n  }}\n}}\n"));
    }
    let value = parse(text)?;
    let root = as_object(text, value.as_ref(), "the settings")?;
    let style = Style::of(text, root);
    let hooks =
        property(root, "hooks").map(|prop| as_object(text, Some(&prop.value), "`hooks`")).transpose()?;
    let Some(hooks) = hooks else {
        let entries = |depth| event_entries(&EVENTS, hook, style.newline, &style.indent, depth);
        let item = if Style::is_inline(text, root) {
            format!("\"hooks\": {{ {} }}", EVENTS.map(|event| entry(event, hook)).join(", "))
        } else {
            let (inner, outer) = (style.indent.repeat(2), &style.indent);
            let newline = style.newline;
            format!("\"hooks\": {{{newline}{inner}{}{newline}{outer}}}", entries(2))
        };
        let mut edits = Vec::new();
        insert_last(
            text,
            &style,
            root.range(),
            root.properties.last().map(Ranged::range),
            1,
            &item,
            &mut edits,
        );
        return Ok(mark.to_owned() + &apply(text, edits));
    };

    let mut edits = Vec::new();
    let mut missing = Vec::new();
    let ours = ours(root);
    let mut surplus = Vec::new();
    for event in EVENTS {
        let groups =
            match property(hooks, event) {
                Some(prop) => Some(prop.value.as_array().ok_or_else(|| {
                    shape(text, prop.value.start(), format!("`hooks.{event}` is not a list"))
                })?),
                None => None,
            };
        let mut here = ours.iter().filter(|our| our.event == event);
        let kept = here.clone().find(|our| our.is_unfiltered);
        let command = hook.command(event);
        if let Some(kept) = kept
            && kept.command != command
        {
            edits.push((kept.literal.clone(), quote(&command)));
        }
        // What a matcher narrows, and second ones that would record everything twice.
        surplus.extend(here.by_ref().filter(|our| kept.is_none_or(|kept| kept.literal != our.literal)));
        match (kept, groups) {
            (Some(_), _) => {}
            (None, Some(groups)) => {
                let item = group(event, hook);
                insert_last(
                    text,
                    &style,
                    groups.range,
                    groups.elements.last().map(Ranged::range),
                    3,
                    &item,
                    &mut edits,
                );
            }
            (None, None) => missing.push(event),
        }
    }
    if !missing.is_empty() {
        let item = if Style::is_inline(text, hooks) {
            missing.iter().map(|event| entry(event, hook)).collect::<Vec<_>>().join(", ")
        } else if style.is_one_line {
            event_entries(&missing, hook, " ", "", 0)
        } else {
            event_entries(&missing, hook, style.newline, &style.indent, 2)
        };
        insert_last(
            text,
            &style,
            hooks.range,
            hooks.properties.last().map(Ranged::range),
            2,
            &item,
            &mut edits,
        );
    }
    let text = if surplus.is_empty() || !edits.is_empty() {
        apply(text, edits)
    } else {
        // Rare enough to be done in rounds of its own: first the additions, then these.
        let literals: Vec<_> = surplus.iter().map(|our| our.literal.clone()).collect();
        remove_where(text, &|our| literals.contains(&our.literal))?
    };
    if surplus.is_empty() { Ok(mark.to_owned() + &text) } else { add(&(mark.to_owned() + &text), hook) }
}

/// The text without our hooks, and without the containers that they leave empty.
///
/// # Errors
/// When it is not JSON.
pub fn remove(text: &str) -> Result<String, SettingsError> {
    let (mark, text) = split_mark(text);
    Ok(mark.to_owned() + &remove_where(text, &|_| true)?)
}

/// Whether nothing but white space and an empty object is left.
pub fn is_empty(text: &str) -> bool {
    let text = split_mark(text).1.trim();
    text.is_empty()
        || text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .is_some_and(|text| text.trim().is_empty())
}

/// A hook of ours as it stands in the text.
struct Our {
    event: String,
    hook: Hook,
    /// The event that its command names.
    named: String,
    command: String,
    /// The string of its command, with the quotes.
    literal: Range<usize>,
    is_unfiltered: bool,
}

fn ours(root: &Object<'_>) -> Vec<Our> {
    let mut found = Vec::new();
    let hooks = property(root, "hooks").and_then(|prop| prop.value.as_object());
    for prop in hooks.map(|hooks| hooks.properties.as_slice()).unwrap_or_default() {
        for group in prop.value.as_array().map(|groups| groups.elements.as_slice()).unwrap_or_default() {
            let Some(group) = group.as_object() else { continue };
            let matcher = property(group, "matcher").map(|matcher| &matcher.value);
            let is_unfiltered = match matcher {
                None | Some(Value::NullKeyword(_)) => true,
                Some(value) => {
                    value.as_string_lit().is_some_and(|text| matches!(&*text.value, "" | "*" | ".*"))
                }
            };
            for entry in entries(group) {
                let Some(command) = entry.as_object().and_then(|entry| property(entry, "command")) else {
                    continue;
                };
                let Some(literal) = command.value.as_string_lit() else { continue };
                let Some((hook, named)) = Hook::parse(&literal.value) else { continue };
                found.push(Our {
                    event: prop.name.as_str().to_owned(),
                    hook,
                    named,
                    command: literal.value.to_string(),
                    literal: literal.range.start..literal.range.end,
                    is_unfiltered,
                });
            }
        }
    }
    found
}

fn entries<'b, 'a>(group: &'b Object<'a>) -> &'b [Value<'a>] {
    let entries = property(group, "hooks").and_then(|prop| prop.value.as_array());
    entries.map(|entries| entries.elements.as_slice()).unwrap_or_default()
}

fn remove_where(text: &str, condemned: &dyn Fn(&Our) -> bool) -> Result<String, SettingsError> {
    let value = parse(text)?;
    let Some(Value::Object(root)) = &value else { return Ok(text.to_owned()) };
    let Some(hooks_prop) = property(root, "hooks") else { return Ok(text.to_owned()) };
    let Some(hooks) = hooks_prop.value.as_object() else { return Ok(text.to_owned()) };
    let literals: Vec<_> = ours(root).into_iter().filter(condemned).map(|our| our.literal).collect();
    let is_condemned = |entry: &Value<'_>| {
        let command = entry.as_object().and_then(|entry| property(entry, "command"));
        command.is_some_and(|command| literals.iter().any(|literal| literal.start == command.value.start()))
    };

    let mut edits = Vec::new();
    let mut gone_events = vec![false; hooks.properties.len()];
    for (at, prop) in hooks.properties.iter().enumerate() {
        let Some(groups) = prop.value.as_array() else { continue };
        let mut gone_groups = vec![false; groups.elements.len()];
        for (at, group) in groups.elements.iter().enumerate() {
            let Some(group) = group.as_object() else { continue };
            let gone: Vec<bool> = entries(group).iter().map(is_condemned).collect();
            gone_groups[at] = !gone.is_empty() && gone.iter().all(|gone| *gone);
        }
        gone_events[at] = !gone_groups.is_empty() && gone_groups.iter().all(|gone| *gone);
        if gone_events[at] {
            continue;
        }
        for (group, gone) in groups.elements.iter().zip(&gone_groups) {
            let Some(group) = group.as_object().filter(|_| !gone) else { continue };
            let gone: Vec<bool> = entries(group).iter().map(is_condemned).collect();
            let within = property(group, "hooks").map_or(0..0, |prop| prop.value.start()..prop.value.end());
            remove_items(text, within, &ranges(entries(group)), &gone, &mut edits);
        }
        remove_items(text, groups.start()..groups.end(), &ranges(&groups.elements), &gone_groups, &mut edits);
    }
    if !gone_events.is_empty() && gone_events.iter().all(|gone| *gone) {
        let gone: Vec<bool> = root.properties.iter().map(|prop| prop.start() == hooks_prop.start()).collect();
        edits.clear();
        remove_items(text, root.start()..root.end(), &ranges(&root.properties), &gone, &mut edits);
    } else {
        remove_items(text, hooks.start()..hooks.end(), &ranges(&hooks.properties), &gone_events, &mut edits);
    }
    Ok(apply(text, edits))
}

fn ranges<T: Ranged>(items: &[T]) -> Vec<Range<usize>> {
    items.iter().map(|item| item.start()..item.end()).collect()
}

/// An edit: what to replace, and by what.
type Edit = (Range<usize>, String);

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut output = String::with_capacity(text.len() + 4096);
    let mut at = 0;
    for (range, replacement) in edits {
        output.push_str(&text[at..range.start]);
        output.push_str(&replacement);
        at = range.end;
    }
    output.push_str(&text[at..]);
    output
}

/// Puts `item` behind the last item of a container (with its brackets: `container`).
fn insert_last(
    text: &str,
    style: &Style,
    container: jsonc_parser::common::Range,
    last: Option<jsonc_parser::common::Range>,
    depth: usize,
    item: &str,
    edits: &mut Vec<Edit>,
) {
    let newline = style.newline;
    let inside = &text[container.start..container.end];
    let Some(last) = last else {
        // Right after the opening bracket; what is there stays behind it.
        let at = container.start + 1;
        if style.is_one_line {
            edits.push((at..at, on_one_line(item)));
            return;
        }
        let close = container.end - 1;
        let outer = style.indent.repeat(depth - 1);
        let end = if text[at..close].contains('\n') { String::new() } else { format!("{newline}{outer}") };
        edits.push((at..at, format!("{newline}{}{item}{end}", style.indent.repeat(depth))));
        return;
    };
    let lead = if inside.contains('\n') {
        // As its siblings are indented, if they stand on lines of their own.
        let line = text[..last.start].rfind('\n').map_or(0, |at| at + 1);
        let before = &text[line..last.start];
        let first = before.trim_start();
        if first.is_empty() {
            format!("{newline}{before}")
        } else {
            format!("{newline}{}", style.indent.repeat(depth))
        }
    } else {
        " ".to_owned()
    };
    let item = if inside.contains('\n') { item.to_owned() } else { on_one_line(item) };
    match comma_after(text, last.end, container.end - 1) {
        Some(comma) => {
            let at = end_of_line_trivia(text, comma + 1, container.end - 1);
            edits.push((at..at, format!("{lead}{item},")));
        }
        None => {
            let at = end_of_line_trivia(text, last.end, container.end - 1);
            if at == last.end {
                edits.push((at..at, format!(",{lead}{item}")));
            } else {
                edits.push((last.end..last.end, ",".to_owned()));
                edits.push((at..at, format!("{lead}{item}")));
            }
        }
    }
}

/// Items are made in one piece for lines of their own; within one line they join it.
fn on_one_line(item: &str) -> String {
    item.lines().map(str::trim_start).collect::<Vec<_>>().join(" ")
}

/// Takes the items marked in `gone` out of a container, so that what [`insert_last`] put in is
/// gone to the byte.
fn remove_items(
    text: &str,
    container: Range<usize>,
    items: &[Range<usize>],
    gone: &[bool],
    edits: &mut Vec<Edit>,
) {
    if !gone.contains(&true) {
        return;
    }
    let close = container.end - 1;
    let Some(kept) = gone.iter().rposition(|gone| !gone) else {
        let rest_is_space = {
            let mut rest = text[container.start + 1..items[0].start].to_owned();
            rest.push_str(text[items[items.len() - 1].end..close].trim_start_matches([',', ' ', '\t']));
            rest.trim().is_empty()
                && items.windows(2).all(|two| is_separator(&text[two[0].end..two[1].start]))
        };
        if rest_is_space {
            edits.push((container.start + 1..close, String::new()));
        } else {
            for item in items {
                let end = comma_after(text, item.end, close).map_or(item.end, |comma| comma + 1);
                edits.push((space_before(text, item.start, container.start + 1)..end, String::new()));
            }
        }
        return;
    };
    for (item, _) in items.iter().zip(gone).filter(|(_, gone)| **gone) {
        let end = comma_after(text, item.end, close).map_or(item.end, |comma| comma + 1);
        edits.push((space_before(text, item.start, container.start + 1)..end, String::new()));
    }
    // The comma before the last item was there for it, unless the style is to have one at the end.
    let last = items.len() - 1;
    if gone[last]
        && comma_after(text, items[last].end, close).is_none()
        && let Some(comma) = comma_after(text, items[kept].end, close)
    {
        edits.push((comma..comma + 1, String::new()));
    }
}

fn is_separator(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == ',')
}

/// Where the white space before `at` starts: the line end before it, or the spaces after what
/// stands before it on its line.
fn space_before(text: &str, at: usize, from: usize) -> usize {
    let before = text[from..at].trim_end_matches([' ', '\t']);
    let before = before.strip_suffix('\n').map_or(before, |line| line.strip_suffix('\r').unwrap_or(line));
    from + before.len()
}

/// The comma that follows an item, comments in between allowed.
fn comma_after(text: &str, at: usize, end: usize) -> Option<usize> {
    let at = skip_trivia(text, at, end, true);
    (at < end && text.as_bytes()[at] == b',').then_some(at)
}

/// The end of the comments that stand behind something on its line; white space before the
/// line's end is not theirs.
fn end_of_line_trivia(text: &str, at: usize, end: usize) -> usize {
    let to = skip_trivia(text, at, end, false);
    at + text[at..to].trim_end_matches([' ', '\t', '\r']).len()
}

fn skip_trivia(text: &str, mut at: usize, end: usize, lines: bool) -> usize {
    while at < end {
        let rest = &text[at..end];
        let skip = if rest.starts_with("//") {
            let line = rest.find('\n').unwrap_or(rest.len());
            line - usize::from(rest[..line].ends_with('\r'))
        } else if rest.starts_with("/*") {
            let block = rest.find("*/").map_or(rest.len(), |close| close + 2);
            if !lines && rest[..block].contains('\n') {
                return at;
            }
            block
        } else {
            match rest.chars().next() {
                Some('\n') if !lines => return at,
                Some(c) if c.is_whitespace() => c.len_utf8(),
                _ => return at,
            }
        };
        at += skip;
    }
    at
}

/// How the file is written.
struct Style {
    newline: &'static str,
    indent: String,
    /// Whether all of it stands on one line.
    is_one_line: bool,
}

impl Style {
    fn of(text: &str, root: &Object<'_>) -> Style {
        let newline = match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let indent = root.properties.iter().find_map(|prop| {
            let line = text[..prop.start()].rfind('\n')? + 1;
            let before = &text[line..prop.start()];
            (!before.is_empty() && before.trim().is_empty()).then(|| before.to_owned())
        });
        Style {
            newline,
            indent: indent.unwrap_or_else(|| "  ".to_owned()),
            is_one_line: Style::is_inline(text, root),
        }
    }

    /// Whether a container that has something in it stands on one line.
    fn is_inline(text: &str, object: &Object<'_>) -> bool {
        !object.properties.is_empty() && !text[object.start()..object.end()].contains('\n')
    }
}

/// The entries of several events, one a line; the first without its indentation.
fn event_entries(events: &[&str], hook: &Hook, newline: &str, indent: &str, depth: usize) -> String {
    let separator = format!(",{newline}{}", indent.repeat(depth));
    events.iter().map(|event| entry(event, hook)).collect::<Vec<_>>().join(&separator)
}

fn entry(event: &str, hook: &Hook) -> String {
    format!("\"{event}\": [{}]", group(event, hook))
}

fn group(event: &str, hook: &Hook) -> String {
    let command = quote(&hook.command(event));
    let timeout = timeout_s(event);
    format!("{{ \"hooks\": [{{ \"type\": \"command\", \"command\": {command}, \"timeout\": {timeout} }}] }}")
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The byte order mark that some editors on Windows write, and the rest.
fn split_mark(text: &str) -> (&str, &str) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => text.split_at(text.len() - rest.len()),
        None => ("", text),
    }
}

fn parse(text: &str) -> Result<Option<Value<'_>>, SettingsError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(text, &CollectOptions::default(), &options) {
        Ok(parsed) => Ok(parsed.value),
        Err(error) => Err(SettingsError::Syntax {
            line: error.line_display(),
            column: error.column_display(),
            what: error.kind().to_string().to_lowercase(),
        }),
    }
}

fn as_object<'b, 'a>(
    text: &str,
    value: Option<&'b Value<'a>>,
    what: &str,
) -> Result<&'b Object<'a>, SettingsError> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        other => Err(shape(text, other.map_or(0, Ranged::start), format!("{what} are not an object"))),
    }
}

fn shape(text: &str, at: usize, what: String) -> SettingsError {
    SettingsError::Shape { line: text[..at].matches('\n').count() + 1, what }
}

/// The property that counts: of equal names the last one, as in JavaScript.
fn property<'b, 'a>(object: &'b Object<'a>, name: &str) -> Option<&'b ObjectProp<'a>> {
    object.properties.iter().rev().find(|prop| prop.name.as_str() == name)
}

/// A word as a POSIX shell reads it back.
pub fn shell_quote(word: &str) -> String {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | ':' | '@' | '%')
    };
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of a simple command; `None` if it is more than that.
fn shell_words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        '$' | '`' => return None,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// How many of [`EVENTS`] are recorded whole.
pub fn coverage(hooks: &[Found]) -> usize {
    EVENTS.iter().filter(|event| hooks.iter().any(|found| found.complete && found.event == **event)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> Hook {
        Hook { program: "/opt/fdr/bin/fdr-hook".to_owned(), home: None }
    }

    /// Settings as people have them.
    const FORMATTINGS: &[&str] = &[
        "",
        "{}",
        "{}\n",
        "{\n}\n",
        "{ }",
        "{\n  \"model\": \"opus\"\n}\n",
        "{\n    \"model\": \"opus\",\n    \"env\": { \"A\": \"b\" }\n}",
        "{\n\t\"model\": \"opus\",\n\t\"hooks\": {}\n}\n",
        "{\"model\":\"opus\",\"env\":{\"A\":\"b\"}}",
        "{ \"hooks\": { \"Stop\": [] } }",
        "{\r\n  \"model\": \"opus\",\r\n  \"permissions\": {\r\n    \"allow\": []\r\n  }\r\n}\r\n",
        "\u{feff}{\r\n  \"model\": \"opus\"\r\n}\r\n",
        "// mine\n{\n  // the model\n  \"model\": \"opus\", // fast\n  /* and\n     more */\n  \"x\": 1 // last\n  // end\n}\n// after\n",
        "{\n  \"model\": \"opus\",\n  \"hooks\": {\n    \"Stop\": [\n      {\n        \"hooks\": [\n          { \"type\": \"command\", \"command\": \"say done\" },\n        ],\n      },\n    ],\n  },\n}\n",
        "{\n  \"hooks\": {\n    \"PreToolUse\": [\n      {\n        \"matcher\": \"Bash\",\n        \"hooks\": [\n          {\n            \"type\": \"command\",\n            \"command\": \"/usr/bin/check\",\n            \"timeout\": 5\n          }\n        ]\n      }\n    ],\n    \"Unknown\": 5\n  },\n  \"z\": true\n}\n",
        "{\n  \"a\": \"}] // no comment\", \"b\": [1, 2 /* c */ ,3],\n\n\n  \"hooks\": {\n\n    // mine\n    \"Stop\": [ { \"hooks\": [ { \"type\": \"command\", \"command\": \"a\" } ] } ]\n\n  }\n\n}",
        "{\"hooks\":{\"PreToolUse\":[{\"matcher\":\"*\",\"hooks\":[{\"type\":\"command\",\"command\":\"x\"}]}]}}",
        "{ // open\n}",
        "{ /* a */ }",
        "  {\n  \"a\": 1\n  }  \n",
    ];

    fn strip_json(text: &str) -> Option<Value<'_>> {
        parse(split_mark(text).1).unwrap()
    }

    #[test]
    fn every_event_is_hooked_in_every_formatting() {
        for text in FORMATTINGS {
            let added = add(text, &hook()).unwrap();
            let facts = read(&added).unwrap_or_else(|error| panic!("{error}: {added}"));
            assert_eq!(coverage(&facts.hooks), EVENTS.len(), "{added}");
            assert_eq!(facts.hooks.len(), EVENTS.len(), "{added}");
            assert!(facts.hooks.iter().all(|found| found.hook == hook()));
        }
    }

    #[test]
    fn what_was_there_stays_in_order_and_to_the_byte() {
        for text in FORMATTINGS {
            let added = add(text, &hook()).unwrap();
            let mut rest = added.chars();
            assert!(text.chars().all(|c| rest.any(|other| other == c)), "{text}\n{added}");
            assert_eq!(added.contains('\r'), text.contains('\r'), "{added:?}");
            if text.contains('\r') {
                assert_eq!(added.matches('\n').count(), added.matches("\r\n").count());
            }
        }
    }

    #[test]
    fn adding_twice_changes_nothing() {
        for text in FORMATTINGS {
            let once = add(text, &hook()).unwrap();
            assert_eq!(add(&once, &hook()).unwrap(), once);
        }
    }

    #[test]
    fn removing_gives_back_what_was_there() {
        for text in FORMATTINGS {
            let removed = remove(&add(text, &hook()).unwrap()).unwrap();
            // To the byte, but for containers that were empty before and are taken for ours.
            let had_empty_containers =
                ["{}", "[]", "{\n}", "{ }", "{ /"].iter().any(|empty| text.contains(empty));
            if text.is_empty() || had_empty_containers {
                assert!(read(&removed).unwrap().hooks.is_empty(), "{removed}");
            } else {
                assert_eq!(&removed, text);
            }
        }
    }

    /// All combinations of what differs between the styles that people have.
    #[test]
    fn removing_is_the_inverse_of_adding_in_every_style() {
        let mut styles = 0;
        for indent in ["  ", "    ", "\t", ""] {
            for newline in ["\n", "\r\n"] {
                for comma in ["", ","] {
                    for comment in ["", " // note", " /* note */"] {
                        for hooks in ["", "Stop", "Other"] {
                            for (first, last) in [(true, false), (false, true), (true, true)] {
                                let mut lines = vec!["{".to_owned()];
                                if first {
                                    let comma = if last || !hooks.is_empty() { "," } else { comma };
                                    lines.push(format!("{indent}\"model\": \"opus\"{comma}{comment}"));
                                }
                                if !hooks.is_empty() {
                                    let comma = if last { "," } else { comma };
                                    lines.push(format!("{indent}\"hooks\": {{"));
                                    lines.push(format!("{indent}{indent}\"{hooks}\": [{{ \"hooks\": [{{ \"type\": \"command\", \"command\": \"a b\" }}] }}]{comment}"));
                                    lines.push(format!("{indent}}}{comma}"));
                                }
                                if last {
                                    lines.push(format!("{indent}\"z\": [1, {{}}]{comma}{comment}"));
                                }
                                lines.extend(["}".to_owned(), String::new()]);
                                let text = lines.join(newline);
                                let added = add(&text, &hook()).unwrap();
                                assert_eq!(coverage(&read(&added).unwrap().hooks), EVENTS.len(), "{added}");
                                assert_eq!(add(&added, &hook()).unwrap(), added);
                                assert_eq!(remove(&added).unwrap(), text, "{added}");
                                styles += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(styles, 4 * 2 * 2 * 3 * 3 * 3);
    }

    #[test]
    fn an_inserted_block_is_indented_as_the_file_is() {
        let added = add("{\n\t\"model\": \"opus\"\n}\n", &hook()).unwrap();
        assert!(
            added.starts_with("{\n\t\"model\": \"opus\",\n\t\"hooks\": {\n\t\t\"PreToolUse\": [{ \"hooks\""),
            "{added}"
        );
        assert!(added.ends_with("] }]\n\t}\n}\n"), "{added}");
    }

    #[test]
    fn a_one_line_file_stays_one_line() {
        let added = add("{\"model\":\"opus\"}", &hook()).unwrap();
        assert!(!added.contains('\n'), "{added}");
    }

    #[test]
    fn other_hooks_of_the_same_event_stay() {
        let text = FORMATTINGS[14];
        let added = add(text, &hook()).unwrap();
        assert!(added.contains("\"command\": \"/usr/bin/check\""));
        assert!(added.contains("      },\n      { \"hooks\": [{ \"type\": \"command\", \"command\": \"/opt/fdr/bin/fdr-hook claude-code PreToolUse\", \"timeout\": 330 }] }\n    ],\n    \"Unknown\": 5,\n    \"PostToolUse\""), "{added}");
    }

    #[test]
    fn entries_that_point_elsewhere_are_corrected_in_place() {
        let old = Hook { program: "/old/fdr-hook".to_owned(), home: Some("/var/fdr".to_owned()) };
        for text in FORMATTINGS {
            let stale = add(text, &old).unwrap();
            assert_eq!(add(&stale, &hook()).unwrap(), add(text, &hook()).unwrap());
        }
    }

    #[test]
    fn entries_that_a_matcher_narrows_or_that_stand_twice_are_replaced() {
        let narrow = "{\"hooks\":{\"PreToolUse\":[{\"matcher\":\"Bash\",\"hooks\":[{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code PreToolUse\"},{\"type\":\"command\",\"command\":\"mine\"}]}],\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code Stop\"},{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code Stop\"}]}]}}";
        let added = add(narrow, &hook()).unwrap();
        let facts = read(&added).unwrap();
        assert_eq!((coverage(&facts.hooks), facts.hooks.len()), (EVENTS.len(), EVENTS.len()), "{added}");
        assert!(added.contains("\"command\":\"mine\""), "{added}");
        assert_eq!(add(&added, &hook()).unwrap(), added);
    }

    #[test]
    fn paths_with_spaces_and_quotes_survive_the_shell_and_json() {
        let hook =
            Hook { program: "/home/a b/it's \"x\"/fdr-hook".to_owned(), home: Some("/tmp/ä b".to_owned()) };
        let facts = read(&add("{}", &hook).unwrap()).unwrap();
        assert!(facts.hooks.iter().all(|found| found.hook == hook && found.complete));
        assert_eq!(
            facts.hooks[0].hook.command("Stop"),
            "'/home/a b/it'\\''s \"x\"/fdr-hook' claude-code Stop --home '/tmp/ä b'"
        );
    }

    #[test]
    fn only_a_call_of_the_hook_program_is_ours() {
        for command in [
            "fdr-hook codex Stop",
            "echo fdr-hook claude-code",
            "fdr-hook claude-code Stop | tee x",
            "x && fdr-hook claude-code Stop",
            "fdr-hooks claude-code Stop",
            "",
            "'",
        ] {
            assert_eq!(Hook::parse(command), None, "{command}");
        }
        assert!(Hook::parse("fdr-hook  claude-code Stop").is_some());
    }

    #[test]
    fn a_broken_file_is_refused_with_the_place() {
        let error = add("{\n  \"a\": 1\n  \"b\": 2\n}", &hook()).unwrap_err();
        assert!(
            matches!(error, SettingsError::Syntax { line: 3, .. } | SettingsError::Syntax { line: 2, .. }),
            "{error}"
        );
        for text in ["{", "{\"a\"", "[", "{'a': 1}", "{a: 1}", "nul"] {
            assert!(matches!(add(text, &hook()), Err(SettingsError::Syntax { .. })), "{text}");
        }
        for text in ["[]", "5", "{\"hooks\": []}", "{\"hooks\": {\"Stop\": {}}}"] {
            assert!(matches!(add(text, &hook()), Err(SettingsError::Shape { .. })), "{text}");
        }
        assert_eq!(
            add("{\n  \"hooks\": {\n    \"Stop\": 1\n  }\n}", &hook()).unwrap_err().to_string(),
            "line 3: `hooks.Stop` is not a list"
        );
    }

    #[test]
    fn settings_that_blind_the_recorder_are_seen() {
        let facts = read("{\"disableAllHooks\": true, \"allowManagedHooksOnly\": true, \"env\": {\"CLAUDE_CODE_SIMPLE\": \"1\"}}").unwrap();
        assert!(facts.disable_all_hooks && facts.allow_managed_hooks_only && facts.simple);
        assert_eq!(read("{\"disableAllHooks\": false}").unwrap(), Facts::default());
        assert_eq!(read("").unwrap(), Facts::default());
    }

    #[test]
    fn comments_and_values_are_the_same_after_a_round() {
        for text in FORMATTINGS.iter().filter(|text| !text.trim().is_empty()) {
            let added = add(text, &hook()).unwrap();
            for comment in
                ["// mine", "/* and\n     more */", "// last", "// end", "// after", "/* c */", "/* a */"]
            {
                assert_eq!(added.matches(comment).count(), text.matches(comment).count(), "{added}");
            }
            let names = |text: &str| match strip_json(text) {
                Some(Value::Object(root)) => {
                    root.properties.iter().map(|prop| prop.name.as_str().to_owned()).collect::<Vec<_>>()
                }
                _ => Vec::new(),
            };
            let before = names(text);
            assert_eq!(names(&added)[..before.len()], before[..]);
        }
    }
}
