//! The settings file of the runtimes that list their hooks by event in JSON: puts ours into it
//! and takes them out again.
//!
//! The file is a person's. It is edited as text, at the places that the parser names: their
//! hooks, comments, order and formatting stay byte for byte, whatever style they are in.
//!
//! - [`JsonHooks::add`] is idempotent: what is there already is left, what is out of date is
//!   corrected where it stands;
//! - [`JsonHooks::remove`] takes out what is ours and the containers that it leaves empty.

use crate::agents::json_text::{
    self, Style, apply, as_object, insert_last, parse, property, quote, ranges, remove_items, shape,
    split_mark,
};
use crate::agents::{Found, Hook, SettingsError};
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use std::ops::Range;

/// How a runtime has its hooks in JSON.
pub struct JsonHooks {
    /// Name of the runtime in a hook's command line.
    pub runtime: &'static str,
    /// Every event that is hooked.
    pub events: &'static [&'static str],
    /// How an event's hooks are listed.
    pub shape: Shape,
    /// How long it is told to wait for a hook, as it counts: seconds or milliseconds.
    pub timeout: fn(event: &str) -> u32,
    /// The command line of a hook.
    pub command: fn(hook: &Hook, runtime: &str, event: &str, gate: bool) -> String,
    /// A property that the file must have beside `hooks`, with its value.
    pub head: Option<(&'static str, &'static str)>,
}

/// How an event's hooks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Groups, each with a matcher and a list of hooks.
    Groups,
    /// The hooks themselves.
    Plain,
}

/// A hook of ours, and where it stands in the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The event that it stands under.
    pub event: String,
    /// Which group of the event it is in, from 0.
    pub group: usize,
    /// Which hook of the group it is, from 0.
    pub at: usize,
    /// Its command line.
    pub command: String,
    /// Its time limit, as the runtime counts.
    pub timeout: Option<u64>,
    /// The matcher of its group.
    pub matcher: Option<String>,
    /// What is shown while it runs.
    pub status_message: Option<String>,
}

impl JsonHooks {
    /// Our hooks in a settings file.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(&self, text: &str) -> Result<Vec<Found>, SettingsError> {
        let (_, text) = split_mark(text);
        let value = parse(text)?;
        let Some(Value::Object(root)) = &value else { return Ok(Vec::new()) };
        let found = self.ours(root).into_iter().map(|our| {
            let guard = self.command_of(&our.hook, &our.event);
            let complete = our.is_unfiltered && our.named == our.event && our.command == guard;
            Found { event: our.event, hook: our.hook, complete }
        });
        Ok(found.collect())
    }

    /// Our hooks as they stand in a settings file.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn placed(&self, text: &str) -> Result<Vec<Placed>, SettingsError> {
        let lists = json_text::value_at(text, &["hooks"])?.unwrap_or_default();
        let mut found = Vec::new();
        for (event, groups) in lists.as_object().into_iter().flatten() {
            for (group, value) in groups.as_array().into_iter().flatten().enumerate() {
                for (at, entry) in value["hooks"].as_array().into_iter().flatten().enumerate() {
                    let command = entry["command"].as_str().unwrap_or_default();
                    if Hook::parse(command).is_none_or(|call| call.runtime != self.runtime) {
                        continue;
                    }
                    found.push(Placed {
                        event: event.clone(),
                        group,
                        at,
                        command: command.to_owned(),
                        timeout: entry["timeout"].as_u64(),
                        matcher: value["matcher"].as_str().map(str::to_owned),
                        status_message: entry["statusMessage"].as_str().map(str::to_owned),
                    });
                }
            }
        }
        Ok(found)
    }

    /// The text with a hook of ours for each event. An empty text is taken for an empty object.
    ///
    /// # Errors
    /// When it is not JSON, or `hooks` is not as the runtime documents it.
    pub fn add(&self, text: &str, hook: &Hook) -> Result<String, SettingsError> {
        let (mark, text) = split_mark(text);
        if text.trim().is_empty() {
            let entries = self.event_entries(self.events, hook, "\n", "  ", 2);
            let head = self.head.map(|(name, value)| format!("\"{name}\": {value},\n  ")).unwrap_or_default();
            return Ok(format!("{mark}{{\n  {head}\"hooks\": {{\n    {entries}\n  }}\n}}\n"));
        }
        let value = parse(text)?;
        let root = as_object(text, value.as_ref(), "the settings")?;
        let style = Style::of(text, root);
        let head = self.head.filter(|(name, _)| property(root, name).is_none());
        let head = head.map(|(name, value)| format!("\"{name}\": {value}"));
        let hooks =
            property(root, "hooks").map(|prop| as_object(text, Some(&prop.value), "`hooks`")).transpose()?;
        let last = root.properties.last().map(Ranged::range);
        let Some(hooks) = hooks else {
            let item = if Style::is_inline(text, root) {
                let entries: Vec<_> = self.events.iter().map(|event| self.entry(event, hook)).collect();
                let head = head.map(|head| format!("{head}, ")).unwrap_or_default();
                format!("{head}\"hooks\": {{ {} }}", entries.join(", "))
            } else {
                let (inner, outer) = (style.indent.repeat(2), &style.indent);
                let newline = style.newline;
                let head = head.map(|head| format!("{head},{newline}{outer}")).unwrap_or_default();
                let entries = self.event_entries(self.events, hook, newline, &style.indent, 2);
                format!("{head}\"hooks\": {{{newline}{inner}{entries}{newline}{outer}}}")
            };
            let mut edits = Vec::new();
            insert_last(text, &style, root.range(), last, 1, &item, &mut edits);
            return Ok(mark.to_owned() + &apply(text, edits));
        };

        let mut edits = Vec::new();
        if let Some(head) = head {
            insert_last(text, &style, root.range(), last, 1, &head, &mut edits);
        }
        let mut missing = Vec::new();
        let ours = self.ours(root);
        let mut surplus = Vec::new();
        for event in self.events {
            let list = match property(hooks, event) {
                Some(prop) => Some(prop.value.as_array().ok_or_else(|| {
                    shape(text, prop.value.start(), format!("`hooks.{event}` is not a list"))
                })?),
                None => None,
            };
            let mut here = ours.iter().filter(|our| our.event == *event);
            let kept = here.clone().find(|our| our.is_unfiltered);
            let command = self.command_of(hook, event);
            if let Some(kept) = kept
                && kept.command != command
            {
                edits.push((kept.literal.clone(), quote(&command)));
            }
            // What a matcher narrows, and second ones that would record everything twice.
            surplus.extend(here.by_ref().filter(|our| kept.is_none_or(|kept| kept.literal != our.literal)));
            match (kept, list) {
                (Some(_), _) => {}
                (None, Some(list)) => {
                    let item = self.item(event, hook);
                    let last = list.elements.last().map(Ranged::range);
                    insert_last(text, &style, list.range, last, 3, &item, &mut edits);
                }
                (None, None) => missing.push(*event),
            }
        }
        if !missing.is_empty() {
            let item = if Style::is_inline(text, hooks) {
                missing.iter().map(|event| self.entry(event, hook)).collect::<Vec<_>>().join(", ")
            } else if style.is_one_line {
                self.event_entries(&missing, hook, " ", "", 0)
            } else {
                self.event_entries(&missing, hook, style.newline, &style.indent, 2)
            };
            let last = hooks.properties.last().map(Ranged::range);
            insert_last(text, &style, hooks.range, last, 2, &item, &mut edits);
        }
        let text = if surplus.is_empty() || !edits.is_empty() {
            apply(text, edits)
        } else {
            // Rare enough to be done in rounds of its own: first the additions, then these.
            let literals: Vec<_> = surplus.iter().map(|our| our.literal.clone()).collect();
            self.remove_where(text, &|our| literals.contains(&our.literal))?
        };
        let text = mark.to_owned() + &text;
        if surplus.is_empty() { Ok(text) } else { self.add(&text, hook) }
    }

    /// The text without our hooks, and without the containers that they leave empty; `None` if
    /// nothing is left.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn remove(&self, text: &str) -> Result<Option<String>, SettingsError> {
        let (mark, rest) = split_mark(text);
        let left = mark.to_owned() + &self.remove_where(rest, &|_| true)?;
        Ok(if left != text && self.is_empty(&left)? { None } else { Some(left) })
    }

    /// Whether nothing is left but what [`JsonHooks::add`] needs around the hooks.
    fn is_empty(&self, text: &str) -> Result<bool, SettingsError> {
        if json_text::is_empty(text) {
            return Ok(true);
        }
        let text = split_mark(text).1;
        let value = parse(text)?;
        let (Some((name, head)), Some(Value::Object(root))) = (self.head, &value) else { return Ok(false) };
        let [only] = &root.properties[..] else { return Ok(false) };
        let around = text[..only.start()].trim() == "{" && text[only.end()..].trim() == "}";
        Ok(around && only.name.as_str() == name && text[only.value.start()..only.value.end()] == *head)
    }

    /// The command line of the hook of an event.
    pub fn command_of(&self, hook: &Hook, event: &str) -> String {
        (self.command)(hook, self.runtime, event, fdr_hook::reply::gates(self.runtime, event))
    }

    fn ours(&self, root: &Object<'_>) -> Vec<Our> {
        let mut found = Vec::new();
        let hooks = property(root, "hooks").and_then(|prop| prop.value.as_object());
        for prop in hooks.map(|hooks| hooks.properties.as_slice()).unwrap_or_default() {
            let event = prop.name.as_str();
            for item in prop.value.as_array().map(|list| list.elements.as_slice()).unwrap_or_default() {
                let Some(item) = item.as_object() else { continue };
                let matcher = property(item, "matcher").map(|matcher| &matcher.value);
                let is_unfiltered = match matcher {
                    None | Some(Value::NullKeyword(_)) => true,
                    Some(value) => {
                        value.as_string_lit().is_some_and(|text| matches!(&*text.value, "" | "*" | ".*"))
                    }
                };
                let entries: Vec<&Object<'_>> = match self.shape {
                    Shape::Groups => entries(item).iter().filter_map(Value::as_object).collect(),
                    Shape::Plain => vec![item],
                };
                for entry in entries {
                    let Some(literal) =
                        property(entry, "command").and_then(|command| command.value.as_string_lit())
                    else {
                        continue;
                    };
                    let Some(call) = Hook::parse(&literal.value) else { continue };
                    if call.runtime != self.runtime {
                        continue;
                    }
                    found.push(Our {
                        event: event.to_owned(),
                        hook: call.hook,
                        named: call.event,
                        command: literal.value.to_string(),
                        literal: literal.range.start..literal.range.end,
                        is_unfiltered,
                    });
                }
            }
        }
        found
    }

    fn remove_where(&self, text: &str, condemned: &dyn Fn(&Our) -> bool) -> Result<String, SettingsError> {
        let value = parse(text)?;
        let Some(Value::Object(root)) = &value else { return Ok(text.to_owned()) };
        let Some(hooks_prop) = property(root, "hooks") else { return Ok(text.to_owned()) };
        let Some(hooks) = hooks_prop.value.as_object() else { return Ok(text.to_owned()) };
        let literals: Vec<_> = self.ours(root).into_iter().filter(condemned).map(|our| our.literal).collect();
        let is_condemned = |entry: &Value<'_>| {
            let command = entry.as_object().and_then(|entry| property(entry, "command"));
            command
                .is_some_and(|command| literals.iter().any(|literal| literal.start == command.value.start()))
        };

        let mut edits = Vec::new();
        let mut gone_events = vec![false; hooks.properties.len()];
        for (at, prop) in hooks.properties.iter().enumerate() {
            let Some(list) = prop.value.as_array() else { continue };
            let gone_entries = |group: &Value<'_>| -> Vec<bool> {
                group
                    .as_object()
                    .map(|group| entries(group).iter().map(is_condemned).collect())
                    .unwrap_or_default()
            };
            let gone_items: Vec<bool> = match self.shape {
                Shape::Plain => list.elements.iter().map(is_condemned).collect(),
                Shape::Groups => list
                    .elements
                    .iter()
                    .map(|group| {
                        let gone = gone_entries(group);
                        !gone.is_empty() && gone.iter().all(|gone| *gone)
                    })
                    .collect(),
            };
            gone_events[at] = !gone_items.is_empty() && gone_items.iter().all(|gone| *gone);
            if gone_events[at] {
                continue;
            }
            if self.shape == Shape::Groups {
                for (value, _) in list.elements.iter().zip(&gone_items).filter(|(_, gone)| !**gone) {
                    let Some(group) = value.as_object() else { continue };
                    let within =
                        property(group, "hooks").map_or(0..0, |prop| prop.value.start()..prop.value.end());
                    remove_items(text, within, &ranges(entries(group)), &gone_entries(value), &mut edits);
                }
            }
            remove_items(text, list.start()..list.end(), &ranges(&list.elements), &gone_items, &mut edits);
        }
        if !gone_events.is_empty() && gone_events.iter().all(|gone| *gone) {
            let gone: Vec<bool> =
                root.properties.iter().map(|prop| prop.start() == hooks_prop.start()).collect();
            edits.clear();
            remove_items(text, root.start()..root.end(), &ranges(&root.properties), &gone, &mut edits);
        } else {
            remove_items(
                text,
                hooks.start()..hooks.end(),
                &ranges(&hooks.properties),
                &gone_events,
                &mut edits,
            );
        }
        Ok(apply(text, edits))
    }

    /// The entries of several events, one a line; the first without its indentation.
    fn event_entries(
        &self,
        events: &[&str],
        hook: &Hook,
        newline: &str,
        indent: &str,
        depth: usize,
    ) -> String {
        let separator = format!(",{newline}{}", indent.repeat(depth));
        events.iter().map(|event| self.entry(event, hook)).collect::<Vec<_>>().join(&separator)
    }

    fn entry(&self, event: &str, hook: &Hook) -> String {
        format!("\"{event}\": [{}]", self.item(event, hook))
    }

    /// What stands in an event's list.
    fn item(&self, event: &str, hook: &Hook) -> String {
        let command = quote(&self.command_of(hook, event));
        let timeout = (self.timeout)(event);
        match self.shape {
            Shape::Groups => format!(
                "{{ \"hooks\": [{{ \"type\": \"command\", \"command\": {command}, \"timeout\": {timeout} }}] }}"
            ),
            Shape::Plain => format!("{{ \"command\": {command}, \"timeout\": {timeout} }}"),
        }
    }
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

fn entries<'b, 'a>(group: &'b Object<'a>) -> &'b [Value<'a>] {
    let entries = property(group, "hooks").and_then(|prop| prop.value.as_array());
    entries.map(|entries| entries.elements.as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::claude_code::HOOKS as CLAUDE_CODE;
    use crate::agents::{codex, coverage, cursor, gemini_cli};

    /// Every runtime of the family.
    const FAMILY: [&JsonHooks; 4] = [&CLAUDE_CODE, &codex::HOOKS, &gemini_cli::HOOKS, &cursor::HOOKS];

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
        for hooks in FAMILY {
            for text in FORMATTINGS {
                let added = hooks.add(text, &hook()).unwrap();
                let facts = hooks.read(&added).unwrap_or_else(|error| panic!("{error}: {added}"));
                assert_eq!(coverage(hooks.events, &facts), hooks.events.len(), "{added}");
                assert_eq!(facts.len(), hooks.events.len(), "{added}");
                assert!(facts.iter().all(|found| found.hook == hook()));
            }
        }
    }

    #[test]
    fn what_was_there_stays_in_order_and_to_the_byte() {
        for hooks in FAMILY {
            for text in FORMATTINGS {
                let added = hooks.add(text, &hook()).unwrap();
                let mut rest = added.chars();
                assert!(text.chars().all(|c| rest.any(|other| other == c)), "{text}\n{added}");
                assert_eq!(added.contains('\r'), text.contains('\r'), "{added:?}");
                if text.contains('\r') {
                    assert_eq!(added.matches('\n').count(), added.matches("\r\n").count());
                }
            }
        }
    }

    #[test]
    fn adding_twice_changes_nothing() {
        for hooks in FAMILY {
            for text in FORMATTINGS {
                let once = hooks.add(text, &hook()).unwrap();
                assert_eq!(hooks.add(&once, &hook()).unwrap(), once);
            }
        }
    }

    #[test]
    fn removing_gives_back_what_was_there() {
        for hooks in FAMILY {
            for text in FORMATTINGS {
                let removed = hooks.remove(&hooks.add(text, &hook()).unwrap()).unwrap().unwrap_or_default();
                // To the byte, but for containers that were empty before and are taken for ours.
                let had_empty_containers =
                    ["{}", "[]", "{\n}", "{ }", "{ /"].iter().any(|empty| text.contains(empty));
                let lacks_head = hooks.head.is_some() && !text.contains("\"version\"");
                if text.is_empty() || had_empty_containers || lacks_head {
                    assert!(hooks.read(&removed).unwrap().is_empty(), "{removed}");
                } else {
                    assert_eq!(&removed, text);
                }
            }
        }
    }

    /// All combinations of what differs between the styles that people have.
    fn styles() -> Vec<String> {
        let mut texts = Vec::new();
        for indent in ["  ", "    ", "\t", ""] {
            for newline in ["\n", "\r\n"] {
                for comma in ["", ","] {
                    for comment in ["", " // note", " /* note */"] {
                        for event in ["", "Stop", "Other"] {
                            for (first, last) in [(true, false), (false, true), (true, true)] {
                                let mut lines = vec!["{".to_owned()];
                                if first {
                                    let comma = if last || !event.is_empty() { "," } else { comma };
                                    lines.push(format!("{indent}\"version\": 1{comma}{comment}"));
                                }
                                if !event.is_empty() {
                                    let comma = if last { "," } else { comma };
                                    lines.push(format!("{indent}\"hooks\": {{"));
                                    lines.push(format!("{indent}{indent}\"{event}\": [{{ \"hooks\": [{{ \"type\": \"command\", \"command\": \"a b\" }}] }}]{comment}"));
                                    lines.push(format!("{indent}}}{comma}"));
                                }
                                if last {
                                    lines.push(format!("{indent}\"z\": [1, {{}}]{comma}{comment}"));
                                }
                                lines.extend(["}".to_owned(), String::new()]);
                                texts.push(lines.join(newline));
                            }
                        }
                    }
                }
            }
        }
        texts
    }

    #[test]
    fn removing_is_the_inverse_of_adding_in_every_style() {
        let styles = styles();
        assert_eq!(styles.len(), 4 * 2 * 2 * 3 * 3 * 3);
        for hooks in FAMILY {
            for text in &styles {
                let added = hooks.add(text, &hook()).unwrap();
                assert_eq!(
                    coverage(hooks.events, &hooks.read(&added).unwrap()),
                    hooks.events.len(),
                    "{added}"
                );
                assert_eq!(hooks.add(&added, &hook()).unwrap(), added);
                let removed = hooks.remove(&added).unwrap();
                // A version that was missing and is needed stays, unless nothing else does.
                if hooks.head.is_none() || text.contains("\"version\"") {
                    // The version alone is all that a file of ours has but the hooks.
                    let alone = hooks.head.is_some() && hooks.is_empty(text).unwrap();
                    assert_eq!(removed.as_ref(), if alone { None } else { Some(text) }, "{added}");
                }
            }
        }
    }

    #[test]
    fn an_inserted_block_is_indented_as_the_file_is() {
        let hooks = &CLAUDE_CODE;
        let added = hooks.add("{\n\t\"model\": \"opus\"\n}\n", &hook()).unwrap();
        assert!(
            added.starts_with("{\n\t\"model\": \"opus\",\n\t\"hooks\": {\n\t\t\"PreToolUse\": [{ \"hooks\""),
            "{added}"
        );
        assert!(added.ends_with("] }]\n\t}\n}\n"), "{added}");
    }

    #[test]
    fn a_one_line_file_stays_one_line() {
        for hooks in FAMILY {
            let added = hooks.add("{\"model\":\"opus\"}", &hook()).unwrap();
            assert!(!added.contains('\n'), "{added}");
        }
    }

    #[test]
    fn other_hooks_of_the_same_event_stay() {
        let hooks = &CLAUDE_CODE;
        let text = FORMATTINGS[14];
        let added = hooks.add(text, &hook()).unwrap();
        assert!(added.contains("\"command\": \"/usr/bin/check\""));
        let item = hooks.item("PreToolUse", &hook());
        let wanted = format!("      }},\n      {item}\n    ],\n    \"Unknown\": 5,\n    \"PostToolUse\"");
        assert!(added.contains(&wanted), "{added}");
    }

    #[test]
    fn entries_that_point_elsewhere_are_corrected_in_place() {
        for hooks in FAMILY {
            let old = Hook { program: "/old/fdr-hook".to_owned(), home: Some("/var/fdr".to_owned()) };
            for text in FORMATTINGS {
                let stale = hooks.add(text, &old).unwrap();
                assert_eq!(hooks.add(&stale, &hook()).unwrap(), hooks.add(text, &hook()).unwrap());
            }
        }
    }

    #[test]
    fn entries_that_a_matcher_narrows_or_that_stand_twice_are_replaced() {
        let hooks = &CLAUDE_CODE;
        let narrow = "{\"hooks\":{\"PreToolUse\":[{\"matcher\":\"Bash\",\"hooks\":[{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code PreToolUse\"},{\"type\":\"command\",\"command\":\"mine\"}]}],\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code Stop\"},{\"type\":\"command\",\"command\":\"/x/fdr-hook claude-code Stop\"}]}]}}";
        let added = hooks.add(narrow, &hook()).unwrap();
        let facts = hooks.read(&added).unwrap();
        assert_eq!(
            (coverage(hooks.events, &facts), facts.len()),
            (hooks.events.len(), hooks.events.len()),
            "{added}"
        );
        assert!(added.contains("\"command\":\"mine\""), "{added}");
        assert_eq!(hooks.add(&added, &hook()).unwrap(), added);
    }

    #[test]
    fn a_broken_file_is_refused_with_the_place() {
        let hooks = &CLAUDE_CODE;
        let error = hooks.add("{\n  \"a\": 1\n  \"b\": 2\n}", &hook()).unwrap_err();
        assert!(
            matches!(error, SettingsError::Syntax { line: 3, .. } | SettingsError::Syntax { line: 2, .. }),
            "{error}"
        );
        for text in ["{", "{\"a\"", "[", "{'a': 1}", "{a: 1}", "nul"] {
            assert!(matches!(hooks.add(text, &hook()), Err(SettingsError::Syntax { .. })), "{text}");
        }
        for text in ["[]", "5", "{\"hooks\": []}", "{\"hooks\": {\"Stop\": {}}}"] {
            assert!(matches!(hooks.add(text, &hook()), Err(SettingsError::Shape { .. })), "{text}");
        }
        assert_eq!(
            hooks.add("{\n  \"hooks\": {\n    \"Stop\": 1\n  }\n}", &hook()).unwrap_err().to_string(),
            "line 3: `hooks.Stop` is not a list"
        );
    }

    #[test]
    fn comments_and_values_are_the_same_after_a_round() {
        for hooks in FAMILY {
            for text in FORMATTINGS.iter().filter(|text| !text.trim().is_empty()) {
                let added = hooks.add(text, &hook()).unwrap();
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
}
