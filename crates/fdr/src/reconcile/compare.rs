//! Whether two sources tell the same of a call.
//!
//! Runtimes wrap, cut and reorder what they pass on, and secrets are taken out of one account and
//! not of another, so bytes are not compared where meaning can be. What is passed over here is
//! listed in `docs/reconcile.md`.

use fdr_record::scrub;
use serde_json::Value;
use std::collections::HashSet;

/// The longest secret that a replacement may stand for, in bytes.
const MAX_SECRET_BYTES: usize = 16 * 1024;
/// The deepest that texts within texts are read.
const MAX_DEPTH: usize = 4;
/// How many lines of a result are compared; more are cut from both.
const MAX_LINES: usize = 20_000;

/// The text between the replacements of secrets.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest[from..].find(scrub::PREFIX).map(|at| at + from) {
        let mark = &rest[at + scrub::PREFIX.len()..];
        let name = mark.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        let digits = name.and_then(|end| mark[end..].strip_prefix(':')).unwrap_or_default();
        let is_mark = digits.len() >= 16 && digits.bytes().take(16).all(|b| b.is_ascii_hexdigit());
        match name.filter(|end| *end > 0 && is_mark) {
            Some(end) => {
                pieces.push(&rest[..at]);
                (rest, from) = (&mark[end + 1 + 16..], 0);
            }
            None => from = at + scrub::PREFIX.len(),
        }
    }
    pieces.push(rest);
    pieces
}

/// Whether `text` is what the pieces were cut out of.
fn fits(pieces: &[&str], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return pieces == [text] };
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for piece in middle.iter().filter(|piece| !piece.is_empty()) {
        match rest.find(piece).filter(|at| (1..=MAX_SECRET_BYTES).contains(at)) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    (1..=MAX_SECRET_BYTES).contains(&rest.len())
}

/// Whether two texts are the same but for secrets that were taken out of one of them.
pub fn same_text(a: &str, b: &str) -> bool {
    a == b || fits(&pieces(a), b) || fits(&pieces(b), a)
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => same_text(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let extra = |a: &serde_json::Map<String, Value>, b: &serde_json::Map<String, Value>| {
                a.iter().filter(|(key, _)| !b.contains_key(*key)).all(|(_, value)| is_default(value))
            };
            let shared = a.iter().all(|(key, a)| b.get(key).is_none_or(|b| same_value(a, b)));
            shared && extra(a, b) && extra(b, a)
        }
        (a, b) => a == b || is_default(a) && is_default(b),
    }
}

/// The texts and numbers in a value, without the names that they have there.
fn leaves<'v>(value: &'v Value, found: &mut Vec<std::borrow::Cow<'v, str>>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| leaves(value, found)),
        Value::Object(members) => members.values().for_each(|value| leaves(value, found)),
        Value::String(text) => found.push(text.as_str().into()),
        other if is_default(other) => {}
        other => found.push(other.to_string().into()),
    }
}

/// Whether the arguments of a call are the same. With `other_form`, one account names another tool
/// (a shell by its own name, say): what one tells must be in the other then, under whatever names.
pub fn same_arguments(a: &[u8], b: &[u8], other_form: bool) -> bool {
    let read = |bytes: &[u8]| match serde_json::from_slice::<Value>(bytes) {
        // Some protocols have the arguments as a text of JSON.
        Ok(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Ok(value) => value,
        Err(_) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
    };
    let (a, b) = (read(a), read(b));
    if same_value(&a, &b) {
        return true;
    }
    let (mut in_a, mut in_b) = (Vec::new(), Vec::new());
    leaves(&a, &mut in_a);
    leaves(&b, &mut in_b);
    let within = |a: &[std::borrow::Cow<'_, str>], b: &[std::borrow::Cow<'_, str>]| {
        !a.is_empty() && a.iter().all(|a| b.iter().any(|b| same_text(a.trim(), b.trim())))
    };
    let (one, other) = (within(&in_a, &in_b), within(&in_b, &in_a));
    if other_form { one || other } else { one && other && in_a.len() == in_b.len() }
}

/// Adds the lines of a text; what is JSON in it is taken apart.
fn add_lines(text: &str, depth: usize, lines: &mut Vec<String>) {
    let trimmed = text.trim();
    if depth < MAX_DEPTH
        && trimmed.starts_with(['{', '[', '"'])
        && let Ok(value) = serde_json::from_str::<Value>(trimmed)
    {
        let mut found = Vec::new();
        leaves(&value, &mut found);
        return found.iter().for_each(|text| add_lines(text, depth + 1, lines));
    }
    let plain = trimmed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.extend(plain.filter(|line| !line.is_empty()).take(MAX_LINES.saturating_sub(lines.len())));
}

/// Lines that runtimes put around what a tool printed.
const FRAMES: [&str; 32] = [
    "exit code",
    "exit_code",
    "output:",
    "stdout:",
    "stderr:",
    "error:",
    "signal:",
    "command:",
    "directory:",
    "background pids",
    "process group pgid",
    "process exited",
    "wall time",
    "chunk id",
    "original token count",
    "total output lines",
    "<untrusted_context",
    "</untrusted_context",
    "<system-reminder",
    "</system-reminder",
    "<persisted-output",
    "</persisted-output",
    "<output",
    "</output",
    "(empty)",
    "(no output)",
    "(bash completed",
    "[system]",
    "agentid:",
    "<usage",
    "preview (",
    "full output saved",
];

/// What may stand before a line of it.
const LABELS: [&str; 4] = ["output", "stdout", "stderr", "error"];

/// Marks of a text that was cut.
const CUT: [&str; 8] = [
    "truncated",
    "[...",
    "... [",
    "…",
    "output too large",
    "lines omitted",
    "characters omitted",
    "<persisted-output",
];

fn is_frame(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    FRAMES.iter().any(|frame| lower.starts_with(frame)) || is_cut(line) || line.trim_matches('.').is_empty()
}

fn is_cut(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    CUT.iter().any(|mark| line.contains(mark))
}

/// Whether every line of `part` stands in `whole`; lines with secrets in them count as there.
fn is_within(part: &Told, whole: &Told) -> bool {
    let lines: HashSet<&str> = whole.lines.iter().map(String::as_str).collect();
    part.lines.iter().all(|line| {
        if lines.contains(line.as_str()) {
            return true;
        }
        // `Output: hello`
        let labelled =
            line.split_once(": ").filter(|(label, _)| LABELS.contains(&label.to_ascii_lowercase().as_str()));
        let bare = labelled.map_or(line.as_str(), |(_, rest)| rest);
        is_frame(bare) || whole.whole.contains(bare) || pieces(bare).len() > 1
    })
}

/// What a source has of a result, for comparison.
#[derive(Clone, Debug, Default)]
pub struct Told {
    lines: Vec<String>,
    whole: String,
}

impl Told {
    /// Reads a result from its texts: a tool's own, or what a model was given.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Told {
        let mut lines = Vec::new();
        for text in texts {
            add_lines(&String::from_utf8_lossy(text), 0, &mut lines);
        }
        let whole = lines.join("\n");
        Told { lines, whole }
    }

    /// Whether there is anything to compare.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether both are the same text.
    pub fn is_same(&self, other: &Told) -> bool {
        same_text(&self.whole, &other.whole)
    }

    /// Whether both are what a model was given: the same text, but for what was cut from one.
    pub fn is_same_view(&self, other: &Told) -> bool {
        let is_cut = |told: &Told| told.lines.iter().any(|line| is_cut(line));
        self.is_same(other) || (is_cut(self) || is_cut(other)) && self.agrees(other)
    }

    /// Whether one of them holds what the other tells, frames aside: the same result, wrapped, cut
    /// or with more told beside it.
    pub fn agrees(&self, other: &Told) -> bool {
        self.is_same(other)
            || self.is_empty()
            || other.is_empty()
            || is_within(self, other)
            || is_within(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_taken_out_of_one_text_makes_no_difference() {
        let mark = "secret:github-token:0123456789abcdef";
        for (a, b, same) in [
            ("curl x", "curl x", true),
            ("curl x", "curl y", false),
            (&*format!("a {mark} b"), "a ghp_x b", true),
            ("a ghp_x b", &*format!("a {mark} b"), true),
            (&*format!("a {mark} b"), "a ghp_x c", false),
            (&*format!("{mark}{mark}"), "xy", true),
            (&*format!("{mark} {mark}"), "x y", true),
            (&*format!("a {mark}"), "a ", false),
            ("secret:x:12 a", "secret:x:12 b", false),
        ] {
            assert_eq!(same_text(a, b), same, "{a:?} {b:?}");
        }
    }

    #[test]
    fn arguments_are_compared_by_what_they_say() {
        for (a, b, other_form, same) in [
            (r#"{"command":"ls","x":null}"#, r#"{"command":"ls","background":false}"#, false, true),
            (r#"{"command":"ls"}"#, r#"{"command":"ls -l"}"#, false, false),
            (r#"{"command":"ls"}"#, r#"{"command":"ls","force":true}"#, false, false),
            (r#"{"command":"ls"}"#, r#"{"cmd":"ls"}"#, false, true),
            (r#"{"command":"ls"}"#, r#"{"command":["bash","-lc","ls"],"timeout_ms":5}"#, true, true),
            (r#"{"command":"ls"}"#, r#"{"command":["bash","-lc","rm"],"timeout_ms":5}"#, true, false),
            (r#"{"a":[1,2]}"#, r#"{"a":[1,3]}"#, false, false),
            (r#""{\"cmd\":\"ls\"}""#, r#"{"cmd":"ls"}"#, false, true),
            (r#"{}"#, r#"{"command":"rm"}"#, true, false),
        ] {
            assert_eq!(same_arguments(a.as_bytes(), b.as_bytes(), other_form), same, "{a} {b}");
        }
    }

    #[test]
    fn a_result_is_known_again_in_its_frame() {
        let told = |text: &str| Told::new([text.as_bytes()]);
        for (observed, shown, agrees) in [
            ("hello\nworld", "hello\nworld\n", true),
            ("hello", "HELLO", false),
            ("hello", "Chunk ID: 1\nWall time: 0.0 seconds\nOutput:\nhello\n", true),
            ("a\nb", "<untrusted_context>\nOutput: a\nb\nProcess Group PGID: 1\n</untrusted_context>", true),
            ("a\nb", "<untrusted_context>\nOutput: x\nb\n</untrusted_context>", false),
            (r#"{"stdout":"a","stderr":"b","interrupted":false}"#, "a\nb", true),
            (r#"{"llmContent":"one","returnDisplay":"two"}"#, "one", true),
            (r#"{"content":[{"type":"text","text":"[DIR] a"}]}"#, r#"{"content":"[DIR] a"}"#, true),
            ("one\ntwo\nthree\nfour", "one\n... [2 lines truncated] ...\nfour", true),
            ("one\ntwo\nthree\nfour", "one\n... [2 lines truncated] ...\nfive", false),
            ("", "(Bash completed with no output)", true),
        ] {
            assert_eq!(told(observed).agrees(&told(shown)), agrees, "{observed:?} {shown:?}");
        }
    }
}
