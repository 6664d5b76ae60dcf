//! TOML as people write it, edited line by line: what is added is marked at the end of each of its
//! lines, what it takes the place of is kept as a comment, and everything else stays byte for byte.

use crate::agents::SettingsError;
use toml::Table;

/// Ends every line of ours.
const MARK: &str = " # fdr";
/// Begins a line that one of ours takes the place of.
const KEPT: &str = "#fdr# ";

/// The text as values.
///
/// # Errors
/// When it is not TOML.
pub fn parse(text: &str) -> Result<Table, SettingsError> {
    text.parse::<Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        SettingsError::Syntax { line, column, what: error.message().replace('\n', " ") }
    })
}

/// The text with `name = true` in a table, `""` being the outermost. What the name was set to
/// before is kept as a comment.
///
/// # Errors
/// When the text is not TOML, or the name is set in a form that is not a line of its own.
pub fn set_true(text: &str, table: &str, name: &str) -> Result<String, SettingsError> {
    let before = parse(text)?;
    let place = if table.is_empty() { Some(&before) } else { before.get(table).and_then(|at| at.as_table()) };
    if place.and_then(|place| place.get(name)).and_then(toml::Value::as_bool) == Some(true) {
        return Ok(text.to_owned());
    }
    let newline = newline(text);
    let line = format!("{name} = true{MARK}{newline}");
    let header = format!("[{table}]");
    let mut out = String::with_capacity(text.len() + 100);
    let (mut current, mut done) = (String::new(), false);
    if table.is_empty() && place.is_some_and(|place| !place.contains_key(name)) {
        out.push_str(&line);
        done = true;
    }
    for whole in text.split_inclusive('\n') {
        let bare = whole.trim();
        if is_header(bare) {
            current = bare.split_once(']').map_or(bare, |(head, _)| &bare[..=head.len()]).to_owned();
            out.push_str(whole);
            if !done && current == header && place.is_some_and(|place| !place.contains_key(name)) {
                // A last line that is not ended stays one: see `remove`.
                if whole.ends_with('\n') {
                    out.push_str(&line);
                } else {
                    out.push_str(newline);
                    out.push_str(line.trim_end());
                }
                done = true;
            }
            continue;
        }
        let here = if table.is_empty() { current.is_empty() } else { current == header };
        let sets = bare.split_once('=').is_some_and(|(key, _)| key.trim() == name);
        if !done && here && sets {
            out.push_str(&line);
            out.push_str(KEPT);
            done = true;
        }
        out.push_str(whole);
    }
    if !done && place.is_none() {
        out = append(&out, &format!("[{table}]{MARK}\n{name} = true{MARK}"));
    }
    let is_set = parse(&out).ok().and_then(|after| {
        let place = if table.is_empty() { Some(&after) } else { after.get(table)?.as_table() };
        place?.get(name)?.as_bool()
    });
    if is_set == Some(true) {
        return Ok(out);
    }
    let line = text.lines().position(|line| line.contains(name)).map_or(1, |at| at + 1);
    Err(SettingsError::Shape { line, what: format!("`{name}` can't be set where it stands") })
}

/// The text with lines of ours at its end.
pub fn append(text: &str, lines: &str) -> String {
    let newline = newline(text);
    let lines = lines.replace('\n', newline);
    match text {
        "" => format!("{lines}{newline}"),
        // A last line that is not ended stays one: see `remove`.
        text if !text.ends_with('\n') => format!("{text}{newline}{lines}"),
        text => format!("{text}{lines}{newline}"),
    }
}

/// A header or a line, marked as ours.
pub fn marked(line: &str) -> String {
    format!("{line}{MARK}")
}

/// The text without the tables and lines of ours that `ours` tells by their first line, and with
/// what they took the place of. Of a table of ours everything goes.
pub fn remove(text: &str, ours: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_ours, mut removed_last, mut restored) = (false, false, false);
    for whole in text.split_inclusive('\n') {
        let bare = whole.trim_end_matches(['\n', '\r']);
        let is_marked = bare.ends_with(MARK);
        if is_header(bare.trim()) {
            in_ours = is_marked && ours(bare);
        }
        if in_ours || (is_marked && ours(bare)) {
            removed_last = !whole.ends_with('\n');
            restored = !in_ours;
            continue;
        }
        match whole.strip_prefix(KEPT).filter(|_| restored) {
            Some(kept) => out.push_str(kept),
            None => out.push_str(whole),
        }
        restored = false;
    }
    if removed_last {
        let kept =
            out.strip_suffix('\n').map_or(out.len(), |kept| kept.strip_suffix('\r').unwrap_or(kept).len());
        out.truncate(kept);
    }
    out
}

fn is_header(line: &str) -> bool {
    line.starts_with('[')
}

fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// A basic string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 10] = [
        "",
        "\n",
        "model = \"x\"\n",
        "model = \"x\"",
        "# mine\nmodel = \"x\" # fast\n\n[features]\nweb = true\n",
        "[features]",
        "[features] # mine\r\nhooks = false # never\r\n\r\n[a.\"b]c\"]\r\nx = [\r\n  1,\r\n]\r\n",
        "hooks = 1\nonly = false\n[features]\nhooks = false",
        "only = true\n",
        "[[list]]\nonly = 1\n[[list]]\nonly = 2\n",
    ];

    #[test]
    fn what_is_set_is_set_and_goes_without_a_trace() {
        for text in TEXTS {
            for (table, name) in [("", "only"), ("features", "hooks")] {
                let after = set_true(text, table, name).unwrap();
                let parsed = parse(&after).unwrap();
                let place = if table.is_empty() { &parsed } else { parsed[table].as_table().unwrap() };
                assert_eq!(place[name].as_bool(), Some(true), "{after}");
                assert_eq!(set_true(&after, table, name).unwrap(), after);
                assert_eq!(remove(&after, &|_| true), text, "{after}");
                assert_eq!(after.contains("\r\n"), text.contains("\r\n"), "{after:?}");
            }
        }
    }

    #[test]
    fn tables_at_the_end_go_without_a_trace_and_only_those_that_are_named() {
        for text in TEXTS {
            let lines = format!("{}\n{}", marked("[s.\"a:0\"]"), marked("h = \"1\""));
            let more = format!("{}\n{}", marked("[s.\"b:0\"]"), marked("h = \"2\""));
            let one = append(text, &lines);
            let two = append(&one, &more);
            assert_eq!(parse(&two).unwrap()["s"]["b:0"]["h"].as_str(), Some("2"), "{two}");
            assert_eq!(remove(&two, &|line| line.contains("b:0")), one);
            assert_eq!(remove(&two, &|_| true), text, "{two:?}");
        }
    }

    #[test]
    fn a_table_of_ours_goes_with_what_was_put_into_it() {
        let text = format!("a = 1\n{}\nenabled = false\n\n[mine]\nb = 1\n", marked("[s.\"a:0\"]"));
        assert_eq!(remove(&text, &|_| true), "a = 1\n[mine]\nb = 1\n");
    }

    #[test]
    fn what_can_not_be_edited_is_refused() {
        let error = set_true("a = 1\nb = tru\n", "", "only").unwrap_err();
        assert!(matches!(error, SettingsError::Syntax { line: 2, .. }), "{error}");
        for text in ["features = { hooks = false }\n", "features.hooks = false\n"] {
            assert!(
                matches!(set_true(text, "features", "hooks"), Err(SettingsError::Shape { .. })),
                "{text}"
            );
        }
    }
}
