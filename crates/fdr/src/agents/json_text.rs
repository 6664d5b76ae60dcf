//! JSON as people write it, with comments and trailing commas, edited as text: the parser names
//! the places, and what is not touched stays byte for byte.

use crate::agents::SettingsError;
use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::ops::Range;

pub fn ranges<T: Ranged>(items: &[T]) -> Vec<Range<usize>> {
    items.iter().map(|item| item.start()..item.end()).collect()
}

/// An edit: what to replace, and by what.
pub type Edit = (Range<usize>, String);

pub fn apply(text: &str, mut edits: Vec<Edit>) -> String {
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
pub fn insert_last(
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
pub fn remove_items(
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
pub fn comma_after(text: &str, at: usize, end: usize) -> Option<usize> {
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
pub struct Style {
    pub newline: &'static str,
    pub indent: String,
    /// Whether all of it stands on one line.
    pub is_one_line: bool,
}

impl Style {
    pub fn of(text: &str, root: &Object<'_>) -> Style {
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
    pub fn is_inline(text: &str, object: &Object<'_>) -> bool {
        !object.properties.is_empty() && !text[object.start()..object.end()].contains('\n')
    }
}

pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The byte order mark that some editors on Windows write, and the rest.
pub fn split_mark(text: &str) -> (&str, &str) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => text.split_at(text.len() - rest.len()),
        None => ("", text),
    }
}

pub fn parse(text: &str) -> Result<Option<Value<'_>>, SettingsError> {
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

pub fn as_object<'b, 'a>(
    text: &str,
    value: Option<&'b Value<'a>>,
    what: &str,
) -> Result<&'b Object<'a>, SettingsError> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        other => Err(shape(text, other.map_or(0, Ranged::start), format!("{what} are not an object"))),
    }
}

pub fn shape(text: &str, at: usize, what: String) -> SettingsError {
    SettingsError::Shape { line: text[..at].matches('\n').count() + 1, what }
}

/// The property that counts: of equal names the last one, as in JavaScript.
pub fn property<'b, 'a>(object: &'b Object<'a>, name: &str) -> Option<&'b ObjectProp<'a>> {
    object.properties.iter().rev().find(|prop| prop.name.as_str() == name)
}

/// The value at a path of property names.
///
/// # Errors
/// When the text is not JSON.
pub fn value_at(text: &str, path: &[&str]) -> Result<Option<serde_json::Value>, SettingsError> {
    let value = parse(split_mark(text).1)?;
    let mut at = value.as_ref();
    for name in path {
        at = at.and_then(Value::as_object).and_then(|object| property(object, name)).map(|prop| &prop.value);
    }
    Ok(at.map(to_json))
}

fn to_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::StringLit(text) => text.value.to_string().into(),
        Value::NumberLit(number) => serde_json::from_str(number.value).unwrap_or_default(),
        Value::BooleanLit(literal) => literal.value.into(),
        Value::Object(object) => {
            let entry = |prop: &ObjectProp<'_>| (prop.name.as_str().to_owned(), to_json(&prop.value));
            serde_json::Value::Object(object.properties.iter().map(entry).collect())
        }
        Value::Array(array) => array.elements.iter().map(to_json).collect(),
        Value::NullKeyword(_) => serde_json::Value::Null,
    }
}

/// The text with a value at a path of property names, the objects on the way made where they lack.
///
/// # Errors
/// When the text is not JSON, or what is on the way is not an object.
pub fn with_path(text: &str, path: &[&str], value: &str) -> Result<String, SettingsError> {
    let (mark, text) = split_mark(text);
    let parsed = parse(text)?;
    let root = as_object(text, parsed.as_ref(), "the settings")?;
    let style = Style::of(text, root);
    let mut edits = Vec::new();
    let mut object = root;
    for (depth, name) in path.iter().enumerate() {
        let is_last = depth + 1 == path.len();
        match property(object, name) {
            Some(there) if is_last => {
                let current = value_at(text, path)?;
                if current != serde_json::from_str(value).ok() {
                    edits.push((there.value.start()..there.value.end(), value.to_owned()));
                }
            }
            Some(there) => {
                object = there.value.as_object().ok_or_else(|| {
                    shape(text, there.value.start(), format!("{} is not an object", path[..=depth].join(".")))
                })?;
            }
            None => {
                let inner = nested(&path[depth + 1..], value, &style, depth + 1);
                let item = format!("{}: {inner}", quote(name));
                let last = object.properties.last().map(Ranged::range);
                insert_last(text, &style, object.range(), last, depth + 1, &item, &mut edits);
                break;
            }
        }
    }
    Ok(mark.to_owned() + &apply(text, edits))
}

/// A value below the objects that lead to it.
fn nested(path: &[&str], value: &str, style: &Style, depth: usize) -> String {
    let Some((name, rest)) = path.split_first() else { return value.to_owned() };
    let (newline, inner) = (style.newline, nested(rest, value, style, depth + 1));
    let (inside, outside) = (style.indent.repeat(depth + 1), style.indent.repeat(depth));
    format!("{{{newline}{inside}{}: {inner}{newline}{outside}}}", quote(name))
}

/// The text without a property, and without the objects on the way to it that are empty then.
///
/// # Errors
/// When the text is not a JSON object.
pub fn without_path(text: &str, path: &[&str]) -> Result<String, SettingsError> {
    let (mark, text) = split_mark(text);
    let parsed = parse(text)?;
    let mut objects: Vec<&Object<'_>> = vec![as_object(text, parsed.as_ref(), "the settings")?];
    for name in &path[..path.len() - 1] {
        match objects.last().and_then(|object| property(object, name)).and_then(|prop| prop.value.as_object())
        {
            Some(object) => objects.push(object),
            None => return Ok(mark.to_owned() + text),
        }
    }
    // The outermost object that has nothing else in it goes with what is in it.
    let mut depth = path.len() - 1;
    while depth > 0 && objects[depth].properties.len() == 1 {
        depth -= 1;
    }
    let object = objects[depth];
    let gone: Vec<bool> = object.properties.iter().map(|prop| prop.name.as_str() == path[depth]).collect();
    let mut edits = Vec::new();
    remove_items(text, object.start()..object.end(), &ranges(&object.properties), &gone, &mut edits);
    Ok(mark.to_owned() + &apply(text, edits))
}

/// The text with a property of the outermost object.
///
/// # Errors
/// When the text is not a JSON object.
pub fn with(text: &str, name: &str, value: &str) -> Result<String, SettingsError> {
    with_path(text, &[name], value)
}

/// The text without a property of the outermost object.
///
/// # Errors
/// When the text is not a JSON object.
pub fn without(text: &str, name: &str) -> Result<String, SettingsError> {
    without_path(text, &[name])
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
