//! YAML as people write settings, edited as text: mappings and lists in block form, and lists in
//! brackets on one line. What is not touched stays byte for byte; what is not understood is refused,
//! never guessed.

use crate::agents::SettingsError;
use saphyr::{LoadableYamlNode, Yaml};

/// How a file is laid out.
pub struct Style {
    /// One step of indentation.
    pub indent: String,
    /// How its lines end.
    pub newline: &'static str,
}

impl Style {
    /// As the text has it: the indentation of its first line that has one.
    pub fn of(text: &str) -> Style {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let widths = text.lines().filter(|line| !is_nothing(line)).map(width);
        let width = widths.into_iter().find(|width| (1..=8).contains(width)).unwrap_or(2);
        Style { indent: " ".repeat(width), newline }
    }
}

/// A key of a mapping, with what belongs to it.
#[derive(Clone, Debug)]
pub struct Entry<'t> {
    /// The key.
    pub key: &'t str,
    /// What stands behind it on its line, without a comment.
    pub value: &'t str,
    indent: usize,
    /// Its lines, by number, from 0; the last one that says something ends it.
    first: usize,
    end: usize,
    lines: Vec<Line<'t>>,
}

/// An item of a list.
#[derive(Clone, Debug)]
pub struct Item<'t> {
    /// Its value, if it is a single one: without quotes.
    pub text: String,
    first: usize,
    end: usize,
    lines: Vec<Line<'t>>,
}

/// A line and where it begins in the text.
#[derive(Clone, Copy, Debug)]
struct Line<'t> {
    at: usize,
    /// With its line ending.
    whole: &'t str,
}

impl<'t> Line<'t> {
    fn text(&self) -> &'t str {
        self.whole.trim_end_matches(['\n', '\r'])
    }

    fn end(&self) -> usize {
        self.at + self.whole.len()
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    let split = text.split_inclusive('\n');
    split
        .map(|whole| {
            let line = Line { at, whole };
            at += whole.len();
            line
        })
        .collect()
}

fn width(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Blank, or a comment.
fn is_nothing(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    line == "-" || line.starts_with("- ")
}

fn shape(line: usize, what: &str) -> SettingsError {
    SettingsError::Shape { line: line + 1, what: what.to_owned() }
}

/// The entry at the end of a path of keys, if it is there.
///
/// # Errors
/// When what is above it is no mapping in block form.
pub fn find<'t>(text: &'t str, path: &[&str]) -> Result<Option<Entry<'t>>, SettingsError> {
    let all = lines(text);
    let mut found: Option<Entry<'t>> = None;
    for key in path {
        let entries = match &found {
            None => entries(&all, 0, all.len())?,
            Some(above) => above.children()?,
        };
        let mut same = entries.into_iter().filter(|entry| entry.key == *key);
        found = same.next();
        if let Some(twice) = same.next() {
            return Err(shape(twice.first, &format!("{key} stands there twice")));
        }
        if found.is_none() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// The entries of a mapping in block form that takes up these lines.
fn entries<'t>(all: &[Line<'t>], from: usize, end: usize) -> Result<Vec<Entry<'t>>, SettingsError> {
    let mut found: Vec<Entry<'t>> = Vec::new();
    let mut indent = None;
    for (number, line) in all.iter().enumerate().take(end).skip(from) {
        let text = line.text();
        if is_nothing(text) || text == "---" && found.is_empty() || text.starts_with('%') && found.is_empty()
        {
            continue;
        }
        if text.trim_start_matches(' ').starts_with('\t') {
            return Err(shape(number, "a tab can't indent in YAML"));
        }
        if matches!(text.trim_end(), "---" | "...") {
            return Err(shape(number, "there are several documents in the file"));
        }
        let this = width(text);
        let indent = *indent.get_or_insert(this);
        if let Some(last) = found.last_mut()
            && (this > indent || this == indent && is_item(text))
        {
            last.end = number + 1;
            continue;
        }
        let (key, value) = key_and_value(text)
            .filter(|_| this == indent)
            .ok_or_else(|| shape(number, "here a line of the form key: value is expected"))?;
        found.push(Entry { key, value, indent, first: number, end: number + 1, lines: all.to_vec() });
    }
    Ok(found)
}

/// Splits `key: value  # comment`.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if is_item(line) || line.starts_with(['{', '[', '&', '*', '!', '?', '|', '>', '@', '`']) {
        return None;
    }
    let (key, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => {
            let (key, rest) = line[1..].split_once(quote)?;
            (key, rest.trim_start().strip_prefix(':')?)
        }
        _ => match line.split_once(": ") {
            Some(split) => split,
            None => (line.split_once(" #").map_or(line, |(line, _)| line).trim_end().strip_suffix(':')?, ""),
        },
    };
    Some((key.trim(), without_comment(rest)))
}

/// A value without the comment behind it.
fn without_comment(value: &str) -> &str {
    let value = value.trim();
    if value.starts_with('#') {
        return "";
    }
    if value.starts_with(['"', '\'']) {
        return value;
    }
    value.split_once(" #").map_or(value, |(value, _)| value).trim_end()
}

/// The text of a value, without quotes.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    match value.chars().next() {
        Some('\'') => {
            let inside = value[1..].rfind('\'').map_or(&value[1..], |end| &value[1..=end]);
            inside.replace("''", "'")
        }
        Some('"') => {
            let end = value.rfind('"').filter(|end| *end > 0).map_or(value.len(), |end| end + 1);
            serde_json::from_str(&value[..end]).unwrap_or_else(|_| value.trim_matches('"').to_owned())
        }
        _ => without_comment(value).to_owned(),
    }
}

/// A text as a value in quotes.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Makes sure of an edit: both texts are YAML, and nothing changed but below these keys.
///
/// # Errors
/// When a text can't be read, or more changed.
pub fn checked(before: &str, after: String, below: &[&str]) -> Result<String, SettingsError> {
    let (old, new) = (load(before)?, load(&after)?);
    let others = |yaml: &Yaml<'_>| -> Vec<(String, String)> {
        let entries = yaml.as_mapping().into_iter().flat_map(|map| map.iter());
        let entries =
            entries.map(|(key, value)| (format!("{key:?}"), key.as_str().unwrap_or_default(), value));
        let others = entries.filter(|(_, key, _)| !below.contains(key));
        others.map(|(shown, _, value)| (shown, format!("{value:?}"))).collect()
    };
    let is_same = others(&old) == others(&new);
    drop(new);
    if is_same {
        return Ok(after);
    }
    Err(shape(0, "the file is written in a way that can't be edited; a line for each key can"))
}

fn load(text: &str) -> Result<Yaml<'_>, SettingsError> {
    let documents = Yaml::load_from_str(text).map_err(|error| SettingsError::Syntax {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        what: error.info().to_owned(),
    })?;
    Ok(documents.into_iter().next().unwrap_or(Yaml::BadValue))
}

/// The text with a block of whole lines behind it.
pub fn append(text: &str, block: &str, style: &Style) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { style.newline };
    format!("{text}{gap}{block}")
}

/// The text without an entry that has nothing below it any more.
///
/// # Errors
/// Those of [`find`].
pub fn without_empty(text: &str, path: &[&str]) -> Result<String, SettingsError> {
    let entry = find(text, path)?.filter(|entry| entry.value.is_empty() && entry.end == entry.first + 1);
    Ok(entry.map_or_else(|| text.to_owned(), |entry| entry.removed(text)))
}

impl<'t> Entry<'t> {
    /// What stands below it, if that is a mapping in block form.
    ///
    /// # Errors
    /// When it is something else.
    pub fn children(&self) -> Result<Vec<Entry<'t>>, SettingsError> {
        match self.value {
            "" => entries(&self.lines, self.first + 1, self.end),
            "{}" | "null" | "~" if self.end == self.first + 1 => Ok(Vec::new()),
            _ => {
                Err(shape(self.first, &format!("{} should be a mapping with a line for each key", self.key)))
            }
        }
    }

    /// Its items, if it is a list; none if it is something else.
    pub fn items(&self) -> Vec<Item<'t>> {
        if let Some(inside) = self.value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            let parts = inside.split(',').map(str::trim).filter(|part| !part.is_empty());
            let item = |part: &str| Item {
                text: unquoted(part),
                first: self.first,
                end: self.end,
                lines: self.lines.clone(),
            };
            return parts.map(item).collect();
        }
        let mut found: Vec<Item<'t>> = Vec::new();
        let mut indent = None;
        for number in self.first + 1..self.end {
            let text = self.lines[number].text();
            if is_nothing(text) {
                continue;
            }
            let indent = *indent.get_or_insert(width(text));
            if is_item(text) && width(text) == indent {
                let value = text.trim_start()[1..].trim_start();
                found.push(Item {
                    text: unquoted(value),
                    first: number,
                    end: number + 1,
                    lines: self.lines.clone(),
                });
            } else if let Some(last) = found.last_mut() {
                last.end = number + 1;
            }
        }
        found
    }

    /// The text with another item in the list.
    ///
    /// # Errors
    /// When it is no list.
    pub fn with_item(&self, text: &str, item: &str) -> Result<String, SettingsError> {
        if self.value.starts_with('[') {
            let line = &self.lines[self.first];
            let open = line.whole.find('[').map(|at| line.at + at + 1);
            let close = line.whole.rfind(']').map(|at| line.at + at).filter(|_| self.value.ends_with(']'));
            let (Some(open), Some(close)) = (open, close) else {
                return Err(shape(
                    self.first,
                    &format!("{} should be a list on one line, or one item a line", self.key),
                ));
            };
            let inside = text[open..close].trim_end();
            let comma = if inside.trim().is_empty() || inside.ends_with(',') { "" } else { ", " };
            return Ok(format!("{}{inside}{comma}{item}{}", &text[..open], &text[close..]));
        }
        self.with_mapping_item(text, item, &Style::of(text))
    }

    /// The text with another item of several lines in a list in block form.
    ///
    /// # Errors
    /// When it is no such list.
    pub fn with_mapping_item(&self, text: &str, item: &str, style: &Style) -> Result<String, SettingsError> {
        let items = self.items();
        let is_empty = matches!(self.value, "" | "null" | "~" | "[]") && self.end == self.first + 1;
        let lead = match items.first() {
            Some(first) if self.value.is_empty() => " ".repeat(width(self.lines[first.first].text())),
            None if is_empty => format!("{}{}", " ".repeat(self.indent), style.indent),
            _ => {
                return Err(shape(
                    self.first,
                    &format!("{} should be a list with a line for each item", self.key),
                ));
            }
        };
        let mut block = String::new();
        for (number, line) in item.lines().enumerate() {
            let begin = if number == 0 { "- " } else { "  " };
            block.push_str(&format!("{lead}{begin}{line}{}", style.newline));
        }
        let text = if self.value.is_empty() { text.to_owned() } else { self.with_value(text, "") };
        let shift =
            text.len() as isize - self.lines.iter().map(|line| line.whole.len()).sum::<usize>() as isize;
        let at = (self.lines[self.end - 1].end() as isize + shift) as usize;
        Ok(inserted(&text, at, &block, style))
    }

    /// The text with another entry at the end of this mapping. Further lines of the entry count from
    /// its own indentation.
    ///
    /// # Errors
    /// When it is no mapping in block form.
    pub fn with_child(&self, text: &str, child: &str, style: &Style) -> Result<String, SettingsError> {
        let below = entries(&self.lines, self.first + 1, self.end)?;
        if !self.value.is_empty() && !below.is_empty() || !matches!(self.value, "" | "{}" | "null" | "~") {
            return Err(shape(
                self.first,
                &format!("{} should be a mapping with a line for each key", self.key),
            ));
        }
        let lead = match below.first() {
            Some(first) => " ".repeat(first.indent),
            None => format!("{}{}", " ".repeat(self.indent), style.indent),
        };
        let block: String = child.lines().map(|line| format!("{lead}{line}{}", style.newline)).collect();
        let text = if self.value.is_empty() { text.to_owned() } else { self.with_value(text, "") };
        let shift =
            text.len() as isize - self.lines.iter().map(|line| line.whole.len()).sum::<usize>() as isize;
        let at = (self.lines[self.end - 1].end() as isize + shift) as usize;
        Ok(inserted(&text, at, &block, style))
    }

    /// Its own line, with the comment.
    pub fn line(&self) -> &'t str {
        self.lines[self.first].text()
    }

    /// The text with another value on its line.
    pub fn with_value(&self, text: &str, value: &str) -> String {
        let line = &self.lines[self.first];
        let from = line.whole.find(':').map_or(line.at, |colon| line.at + colon + 1);
        let to = match self.value {
            "" => from,
            old => text[from..].find(old).map_or(from, |at| from + at + old.len()),
        };
        let gap = if value.is_empty() { "" } else { " " };
        format!("{}{gap}{value}{}", &text[..from], &text[to..])
    }

    /// The text without an item of the list.
    pub fn without_item(&self, text: &str, item: &str) -> String {
        if !self.value.starts_with('[') {
            let found = self.items().into_iter().find(|found| found.text == item);
            return found.map_or_else(|| text.to_owned(), |found| found.removed(text));
        }
        let inside = self.value.trim_start_matches('[').trim_end_matches(']');
        let kept: Vec<&str> = inside
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty() && unquoted(part) != item)
            .collect();
        self.with_value(text, &format!("[{}]", kept.join(", ")))
    }

    /// The text without it.
    pub fn removed(&self, text: &str) -> String {
        format!("{}{}", &text[..self.lines[self.first].at], &text[self.lines[self.end - 1].end()..])
    }
}

impl Item<'_> {
    /// Keys and values, if it is a mapping of single values.
    pub fn fields(&self) -> Vec<(&str, String)> {
        let mut found = Vec::new();
        for number in self.first..self.end {
            let text = self.lines[number].text();
            let text = if number == self.first { text.trim_start().trim_start_matches('-') } else { text };
            if let Some((key, value)) = key_and_value(text) {
                found.push((key, unquoted(value)));
            }
        }
        found
    }

    /// The text without it.
    pub fn removed(&self, text: &str) -> String {
        format!("{}{}", &text[..self.lines[self.first].at], &text[self.lines[self.end - 1].end()..])
    }
}

/// The text with a block of whole lines at the end of a line.
fn inserted(text: &str, at: usize, block: &str, style: &Style) -> String {
    let before = &text[..at];
    let gap = if before.ends_with('\n') || before.is_empty() { "" } else { style.newline };
    format!("{before}{gap}{block}{}", &text[at..])
}
