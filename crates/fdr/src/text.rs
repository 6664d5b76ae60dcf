//! Text for people: what stands in a record is shown, never obeyed.
//!
//! Every string that comes from a record passes [`line()`] or [`block`] before it reaches a
//! terminal, so that an agent can't move the cursor, hide a command, set the window's title
//! or turn a file name around. Colour is only a second signal, and off when the output is
//! not a terminal.

use fdr_record::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use unicode_width::UnicodeWidthChar;

/// Width of the output where nothing tells, in columns.
const DEFAULT_WIDTH: usize = 120;
/// The narrowest output that is laid out for, in columns.
const MIN_WIDTH: usize = 40;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options on how output looks.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LookArgs {
    /// When to use colour (NO_COLOR is respected)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// What a piece of text says about itself by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
    /// In order.
    Good,
    /// To be looked at.
    Warn,
    /// Refused, failed.
    Bad,
    /// Words of a person or a model.
    Voice,
}

/// Says something on standard error, which may be closed, or a file on a full disk: that must not
/// end the program.
macro_rules! say {
    ($($part:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($part)*)));
    }};
}
pub(crate) use say;

/// How output looks: colour, width, time zone, and what "today" means.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whether to use colour.
    pub color: bool,
    /// Columns that there are.
    pub width: usize,
    /// In which zone times are shown.
    pub zone: TimeZone,
    /// The present.
    pub now: Timestamp,
}

impl Look {
    /// The look for standard output.
    pub fn new(args: &LookArgs) -> Look {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match args.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !set("NO_COLOR") && !dumb,
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let size = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let width = columns.or_else(|| terminal.then(size).flatten()).unwrap_or(DEFAULT_WIDTH);
        Look { color, width: width.max(MIN_WIDTH), zone: TimeZone::system(), now: now() }
    }

    /// `text` in the colour of `tone`; the text must have been escaped.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.color || text.is_empty() => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Voice => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The moment in the zone of the reader.
    pub fn zoned(&self, time: Timestamp) -> jiff::ZonedDateTime {
        // A `Timestamp` ends in 2554, far before what jiff can hold.
        let time =
            jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        time.to_zoned_datetime(self.zone.clone())
    }

    /// `14:02:11`.
    pub fn clock(&self, time: Timestamp) -> String {
        self.zoned(time).strftime("%H:%M:%S").to_string()
    }

    /// `2026-11-24`.
    pub fn date(&self, time: Timestamp) -> String {
        self.zoned(time).strftime("%Y-%m-%d").to_string()
    }

    /// `today 14:02`, `yesterday 09:10`, `Nov 20 11:40`, `2025-11-20 11:40`.
    pub fn day_and_minute(&self, time: Timestamp) -> String {
        let (time, now) = (self.zoned(time), self.zoned(self.now));
        let pattern = if time.date() == now.date() {
            "today %H:%M"
        } else if now.date().yesterday().is_ok_and(|yesterday| yesterday == time.date()) {
            "yesterday %H:%M"
        } else if time.year() == now.year() {
            "%b %d %H:%M"
        } else {
            "%Y-%m-%d %H:%M"
        };
        time.strftime(pattern).to_string()
    }

    /// `14:02:11` today, `11-20 14:02:11` on another day.
    pub fn day_and_second(&self, time: Timestamp) -> String {
        if self.date(time) == self.date(self.now) {
            self.clock(time)
        } else {
            self.zoned(time).strftime("%m-%d %H:%M:%S").to_string()
        }
    }
}

/// The present by the system's clock. `FDR_NOW` (RFC 3339) puts another in its place for what
/// is shown, so that tests and documentation have the same output every day; it never reaches
/// a record.
pub fn now() -> Timestamp {
    if let Some(time) = std::env::var("FDR_NOW").ok().and_then(|text| text.parse().ok()) {
        return time;
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Whether a character would act on the terminal or on the text around it, or is not seen:
/// C0, C1 and DEL, marks that turn the direction of writing (CVE-2021-42574), separators of
/// lines, invisible characters, and the tag characters in which instructions can be hidden.
pub fn is_hostile(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn escape_into(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// `text` on one line, with everything hostile written as `\n`, `\x1b`, `\u{202e}`.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) { escape_into(&mut out, c) } else { out.push(c) }
    }
    out
}

/// The lines of `text`, each as by [`line()`]; tabs become spaces. A carriage return before
/// a line feed is an old way to end a line and harmless, any other is shown.
pub fn block(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n')
        .map(|part| line(&part.strip_suffix('\r').unwrap_or(part).replace('\t', "    ")))
        .collect()
}

/// JSON with what is hostile in it written as `\uXXXX`: the same value, safe to look at.
/// JSON allows such characters only inside of strings, where the escape means the same.
pub fn json_line(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    if !text.chars().any(is_hostile) {
        return line.to_vec();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out.into_bytes()
}

/// Columns that escaped text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The beginning of `text` in at most `columns`, with `…` where it was cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// As [`cut`], with a closing quotation mark or backtick kept.
pub fn cut_quoted(text: &str, columns: usize) -> String {
    let close = text.chars().last().filter(|c| matches!(c, '"' | '`' | ')'));
    match close {
        Some(close) if columns > 4 && width(text) > columns => {
            format!("{}{close}", cut(&text[..text.len() - 1], columns - 1))
        }
        _ => cut(text, columns),
    }
}

/// The beginning and the end of `text` in at most `columns`: for paths, whose end tells most.
pub fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns || columns < 8 {
        return cut(text, columns);
    }
    let head = text.split_inclusive([':', '/']).next().map_or(0, width).min(columns / 3);
    let mut tail = Vec::new();
    let mut used = head + 1;
    for c in text.chars().rev() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        tail.push(c);
    }
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > head {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out.extend(tail.iter().rev());
    out
}

/// `text` filled with spaces up to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` broken at spaces into lines of at most `columns`; a longer word is broken.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let bare = width(word.trim_end_matches(' '));
        if used > 0 && used + bare > columns {
            lines.push(current.trim_end_matches(' ').to_owned());
            (current, used) = (String::new(), 0);
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > columns && c != ' ' {
                lines.push(std::mem::take(&mut current));
                used = 0;
            }
            current.push(c);
            used += wide;
        }
    }
    let rest = current.trim_end_matches(' ');
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// `1,204`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 session`, `3 sessions`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `412 B`, `1.2 kB`, `3.4 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12 ms`, `1.4 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`.
pub fn duration_ms(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 if ms % 1000 < 100 => format!("{s} s"),
        1..60 => format!("{s}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_record_can_act_on_the_terminal() {
        let evil = "a\x1b]0;title\x07\r\u{9b}31m\u{202e}fdp\u{2066}\u{200b}\u{e0041}\x7f\n\t";
        let shown = line(evil);
        assert!(!shown.chars().any(is_hostile), "{shown}");
        assert_eq!(
            shown,
            "a\\x1b]0;title\\x07\\r\\x9b31m\\u{202e}fdp\\u{2066}\\u{200b}\\u{e0041}\\x7f\\n\\t"
        );
        assert_eq!(line("naïve 日本 👩‍💻"), "naïve 日本 👩‍💻");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let json = "{\"a\":\"\u{9b}31m\u{202e}\u{e0041}ok\"}";
        let safe = json_line(json.as_bytes());
        let text = String::from_utf8(safe).unwrap();
        assert!(!text.chars().any(is_hostile));
        let (a, b): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(&text).unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn cuts_and_wraps_count_columns_not_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語x", 6), "日本…");
        assert_eq!(cut_quoted("\"日本語\"", 7), "\"日本…\"");
        assert_eq!(cut_middle("file:./a/very/long/path/main.rs", 18), "file:…path/main.rs");
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("aaaaaaaaaaaa b", 8), ["aaaaaaaa", "aaaa b"]);
        assert_eq!(wrap("", 8), [""]);
        for columns in 8..40 {
            for part in wrap("日本語 and some more 日本語日本語 words to wrap", columns) {
                assert!(width(&part) <= columns, "{columns}: {part}");
            }
        }
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!([count(0), count(999), count(1204), count(1_234_567)], ["0", "999", "1,204", "1,234,567"]);
        assert_eq!(
            [bytes(412), bytes(1200), bytes(999_999), bytes(3_400_000)],
            ["412 B", "1.2 kB", "1.0 MB", "3.4 MB"]
        );
        assert_eq!(
            [duration_ms(12), duration_ms(1400), duration_ms(125_000), duration_ms(11_400_000)],
            ["12 ms", "1.4 s", "2 min 5 s", "3 h 10 min"]
        );
    }
}
