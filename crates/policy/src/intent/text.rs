//! From the text of a prompt to the sentences that a person wrote in it.
//!
//! What was pasted is taken out first: fences, quoted lines, logs, stack traces, documents in
//! tags, quotations. It is as if it weren't there, so nothing in it can allow anything.

use std::collections::HashMap;

/// The longest text that is read whole, in bytes. Of a longer one the beginning and the end are:
/// what people paste stands in between.
pub(super) const MAX_TEXT_BYTES: usize = 48 * 1024;
/// How much of it is the end.
const END_BYTES: usize = 12 * 1024;

/// The text without what was pasted. A line break stays where a sentence may end.
pub(super) fn own_words(text: &str) -> String {
    let cut;
    let text = if text.len() <= MAX_TEXT_BYTES {
        text
    } else {
        let begin = text.floor_char_boundary(MAX_TEXT_BYTES - END_BYTES);
        let end = text.ceil_char_boundary(text.len() - END_BYTES);
        // Whole lines, so that no half sentence is read.
        let begin = text[..begin].rfind('\n').unwrap_or(begin);
        let end = text[end..].find('\n').map_or(end, |line| end + line);
        cut = format!("{}\n{}", &text[..begin], &text[end..]);
        &cut
    };
    // A fence that begins in a document and doesn't end there: whether it goes on behind the
    // document can't be told, so only what is a person's either way is kept.
    let (one, other) = (own_lines(text, true), own_lines(text, false));
    let lines = text.split_inclusive('\n').zip(one.into_iter().zip(other));
    let kept: String = lines.filter(|(_, (one, other))| *one && *other).map(|(line, _)| line).collect();
    without_quotations(&kept)
}

/// Tags around what somebody asks for; what is in others is a document.
const OWN_TAGS: &[&str] = &[
    "task",
    "tasks",
    "instruction",
    "instructions",
    "prompt",
    "request",
    "user",
    "goal",
    "goals",
    "requirements",
    "rules",
];

/// `<name>` or `<name attribute="…">` at the beginning of a line: the name.
fn opening_tag(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('<')?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(rest.len());
    let name = &rest[..end];
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (starts && rest[end..].starts_with(['>', ' '])).then_some(name)
}

/// For each line, whether a person wrote it.
fn own_lines(text: &str, fences_go_on: bool) -> Vec<bool> {
    let mut own = Vec::new();
    let mut fence_in_tag: Option<(char, usize)> = None;
    let mut fence: Option<(char, usize)> = None;
    let mut tag: Option<String> = None;
    let mut trace = false;
    // Where each tag is closed for the last time: one that never is opens nothing.
    let closed: HashMap<&str, usize> = text
        .match_indices("</")
        .filter_map(|(at, _)| {
            let length = text[at + 2..].bytes().take(64).position(|b| b == b'>')?;
            Some((&text[at + 2..at + 2 + length], at))
        })
        .collect();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let here = at;
        at += line.len();
        own.push(false);
        let trimmed = line.trim();
        let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |mark| trimmed.chars().take_while(|c| *c == mark).count());
        // A fence that ends in its own line is inline code.
        let opens = mark.filter(|mark| run >= 3 && !trimmed[run..].contains(*mark)).map(|mark| (mark, run));
        let closes = |fence: (char, usize)| mark == Some(fence.0) && run >= fence.1 && trimmed.len() == run;
        if let Some(open) = fence {
            if closes(open) {
                fence = None;
            }
            continue;
        }
        if let Some(name) = &tag {
            match fence_in_tag {
                Some(open) if closes(open) => fence_in_tag = None,
                Some(_) => {}
                None => fence_in_tag = opens,
            }
            if trimmed.contains(&format!("</{name}>")) {
                tag = None;
                fence = fence_in_tag.take().filter(|_| fences_go_on);
            }
            continue;
        }
        if opens.is_some() {
            fence = opens;
            continue;
        }
        if let Some(name) = opening_tag(trimmed)
            && !OWN_TAGS.contains(&name.to_ascii_lowercase().as_str())
            && closed.get(name).is_some_and(|last| *last > here)
        {
            let end = format!("</{name}>");
            if !trimmed.contains(&end) {
                tag = Some(name.to_owned());
                continue;
            }
            if trimmed.ends_with(&end) {
                continue;
            }
        }
        let blank = trimmed.is_empty();
        if is_quoted(trimmed) || is_log(line, trimmed) {
            trace = !blank;
            continue;
        }
        // Below a line of a log, what is indented belongs to it.
        if trace && !blank && line.starts_with([' ', '\t']) {
            continue;
        }
        trace &= blank;
        if let Some(last) = own.last_mut() {
            *last = true;
        }
    }
    own
}

fn is_quoted(line: &str) -> bool {
    line.starts_with('>') || line.starts_with('|') || line.starts_with("│")
}

/// Whether a line is one that programs write rather than people.
fn is_log(line: &str, trimmed: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "Traceback (most recent",
        "File \"",
        "at ",
        "error[",
        "error:",
        "warning:",
        "fatal:",
        "thread '",
        "panicked at",
        "Caused by:",
        "caused by:",
        "Error:",
        "TypeError:",
        "ValueError:",
        "KeyError:",
        "AssertionError",
        "npm ERR!",
        "npm error",
        "FAILED ",
        "PASSED ",
        "E   ",
        "--> ",
        "= note:",
        "= help:",
        "note:",
        "help:",
        "$ ",
        "% ",
        "# ./",
        "diff --git",
        "index ",
        "@@ ",
        "+++ ",
        "--- ",
        "stack backtrace:",
        "Exception in thread",
        "goroutine ",
        "remote:",
        "hint:",
        "test result:",
        "running ",
        "[ERROR]",
        "[WARN]",
        "[INFO]",
        "[DEBUG]",
        "ERROR ",
        "WARN ",
        "INFO ",
        "DEBUG ",
        "FATAL ",
        "ERROR:",
        "WARNING:",
        "INFO:",
        "SyntaxError:",
        "ReferenceError:",
        "RuntimeError:",
        "ModuleNotFoundError:",
        "ImportError:",
        "java.",
        "\u{1b}[",
    ];
    let bytes = trimmed.as_bytes();
    let digits = |from: usize, count: usize| {
        bytes.get(from..from + count).is_some_and(|b| b.iter().all(u8::is_ascii_digit))
    };
    let stamped = digits(0, 4) && bytes.get(4) == Some(&b'-') && digits(5, 2)
        || digits(0, 2) && bytes.get(2) == Some(&b':') && digits(3, 2) && bytes.get(5) == Some(&b':')
        || trimmed.starts_with('[') && digits(1, 2);
    // `at the end, push` is a person's; `at foo (a.js:1:2)` is not.
    let frame = trimmed
        .strip_prefix("at ")
        .map(|rest| rest.contains('(') || rest.contains("::") || rest.contains(".rs:"));
    let numbered = trimmed
        .split_once(['|', ':'])
        .is_some_and(|(n, _)| !n.trim().is_empty() && n.trim().bytes().all(|b| b.is_ascii_digit()));
    match frame {
        Some(frame) => frame,
        None => {
            stamped
                || numbered
                || line.starts_with("      ") && !trimmed.starts_with(['-', '*'])
                || BEGINNINGS.iter().any(|b| trimmed.starts_with(b) && !b.eq(&"running "))
                || trimmed
                    .strip_prefix("running ")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }
    }
}

/// Takes out what stands in quotation marks and is more than one word: it is said by somebody or
/// something else, or the text of a message.
fn without_quotations(text: &str) -> String {
    const MARKS: &[(char, char)] = &[('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('»', '«')];
    // The ends of each kind of mark are found once, from the back: the whole stays linear.
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    let mut code = false;
    let mut last_seen: [Option<bool>; MARKS.len()] = [None; MARKS.len()];
    while let Some(&(_, c)) = chars.get(at) {
        if c == '`' {
            code = !code;
        }
        if c == '\n' {
            code = false;
        }
        let mark = if code { None } else { MARKS.iter().position(|(open, _)| *open == c) };
        if let Some(kind) = mark {
            // Where no end was found once, none is looked for again.
            if last_seen[kind] != Some(false) {
                let close = MARKS[kind].1;
                let end = chars[at + 1..].iter().position(|(_, c)| *c == close).map(|n| at + 1 + n);
                last_seen[kind] = Some(end.is_some());
                let opens = at == 0 || !chars[at - 1].1.is_alphanumeric();
                if let Some(end) =
                    end.filter(|end| opens && !text[chars[at].0..chars[*end].0].contains("\n\n"))
                {
                    let inner = &text[chars[at + 1].0..chars[end].0];
                    if inner.trim().contains(char::is_whitespace) {
                        kept.push('\u{fffc}');
                    } else {
                        kept.push_str(inner);
                    }
                    at = end + 1;
                    continue;
                }
            }
        }
        kept.push(c);
        at += 1;
    }
    kept
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// Between backticks.
    Code,
    /// `,` `;` `:` `(` `)` and dashes.
    Comma,
    /// `.` `!` `?`, an empty line, the beginning of a list item.
    End,
}

/// A word or a mark, with its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    /// As it stands there, without the marks around it.
    pub raw: &'t str,
    /// In small letters.
    pub low: String,
    pub start: usize,
    pub end: usize,
}

/// Cuts a text into words and marks.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut line_start = true;
    let mut no_more_code = false;
    while let Some(c) = text[at..].chars().next() {
        if c == '\n' {
            let rest = &text[at + 1..];
            let next = rest.trim_start_matches([' ', '\t']);
            let item = next.starts_with(['-', '*', '•', '\n', '#', '\r']) || is_numbered(next);
            if item {
                mark(&mut tokens, Kind::End, text, at, at + 1);
                let listed = next.starts_with(['-', '*', '•']) || is_numbered(next);
                if listed && let Some(token) = tokens.last_mut() {
                    token.low = ITEM.to_owned();
                }
            }
            line_start = true;
            at += 1;
            continue;
        }
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if line_start {
            line_start = false;
            // The mark of a list item or a heading.
            let rest = &text[at..];
            let marks = rest.len() - rest.trim_start_matches(['-', '*', '•', '#', '+']).len();
            if marks > 0 && rest[marks..].starts_with([' ', '\t']) {
                at += marks;
                continue;
            }
            if let Some(length) = is_numbered(rest).then(|| rest.find([' ', '\t'])).flatten() {
                at += length;
                continue;
            }
        }
        if c == '`' && !no_more_code {
            let inner = at + 1;
            match text[inner..].find('`') {
                Some(length) => {
                    if length > 0 {
                        push(&mut tokens, Kind::Code, text, inner, inner + length);
                    }
                    at = inner + length + 1;
                    continue;
                }
                None => no_more_code = true,
            }
        }
        let length = text[at..]
            .find(|c: char| c.is_whitespace() || c == '`')
            .unwrap_or(text.len() - at)
            .max(c.len_utf8());
        word(&mut tokens, text, at, at + length);
        at += length;
    }
    tokens
}

fn is_numbered(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits)
        && text[digits..].starts_with(['.', ')'])
        && text[digits + 1..].starts_with([' ', '\t'])
}

fn mark<'t>(tokens: &mut Vec<Token<'t>>, kind: Kind, text: &'t str, start: usize, end: usize) {
    tokens.push(Token { kind, raw: &text[start..end], low: String::new(), start, end });
}

fn push<'t>(tokens: &mut Vec<Token<'t>>, kind: Kind, text: &'t str, start: usize, end: usize) {
    let raw = &text[start..end];
    let low = raw.to_lowercase().replace('’', "'");
    tokens.push(Token { kind, raw, low, start, end });
}

/// The `low` of the mark before the item of a list.
pub(super) const ITEM: &str = "item";

/// Words that end with a dot of their own.
const SHORT: &[&str] = &["e.g.", "i.e.", "z.b.", "etc.", "d.h.", "vs.", "bzw.", "ggf.", "usw.", "cf."];

/// A run of characters between spaces: the word in it, and the marks around it.
fn word<'t>(tokens: &mut Vec<Token<'t>>, text: &'t str, start: usize, end: usize) {
    let run = &text[start..end];
    if matches!(run, "-" | "–" | "—" | "->" | "=>" | "--") || run == "\u{fffc}" {
        let kind = if run == "\u{fffc}" { Kind::Code } else { Kind::Comma };
        return mark(tokens, kind, text, start, end);
    }
    let open = run.len()
        - run
            .trim_start_matches(['(', '[', '{', '"', '\'', '‘', '’', '“', '„', '«', '»', '*', ',', ';'])
            .len();
    // A `*` may begin a pattern, as in `*.log` or `**/x`.
    let pattern = run[..open].ends_with('*') && run[open..].contains(['.', '/']);
    let open = if pattern { run[..open].trim_end_matches('*').len() } else { open };
    if run[..open].contains(['(', '[', ',', ';', '{']) {
        mark(tokens, Kind::Comma, text, start, start);
    }
    let mut stop = run.len();
    if !SHORT.contains(&run.to_lowercase().as_str()) {
        stop = run
            .trim_end_matches([
                '.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\'', '‘', '’', '”', '“', '»', '«', '…',
            ])
            .len();
        // What belongs to a path, as in `src/*` and `tmp/**`, stays; a `**bold**` does not.
        if run[..stop].ends_with('*') && run[..open].contains('*') {
            stop = run[..stop].trim_end_matches('*').len();
        }
    }
    if stop > open {
        push(tokens, Kind::Word, text, start + open, start + stop);
    }
    let tail = &run[stop.max(open)..];
    if tail.contains(['.', '!', '?', '…']) {
        let at = start + stop.max(open);
        let question = tail.find('?').map_or(at, |n| at + n);
        mark(
            tokens,
            Kind::End,
            text,
            question,
            question + text[question..].chars().next().map_or(0, char::len_utf8),
        );
    } else if let Some(n) = tail.find([',', ';', ':', ')', ']', '}']) {
        let at = start + stop.max(open) + n;
        mark(tokens, Kind::Comma, text, at, at + 1);
    }
}
