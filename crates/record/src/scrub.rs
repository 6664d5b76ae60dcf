//! Takes secrets out of a payload before anything of it is stored.
//!
//! [`Scrubber::scrub`] works on the bytes as they came, usually JSON text, so a secret may
//! sit inside a string with `\n` and `\"` in and around it. Each secret is replaced by
//! `secret:<rule>:<fingerprint>`. The fingerprint is keyed ([`ContentKey::fingerprint`]), so
//! that the spread of one secret can be followed and the secret can't be guessed from it; the
//! replacement consists of `a-z 0-9 : -` only, so it means nothing to a shell or to JSON.
//!
//! Guarantees, each with its test:
//! - valid JSON stays valid JSON, valid UTF-8 stays valid UTF-8;
//! - scrubbing twice gives what scrubbing once gives;
//! - the time is linear in the payload: one pass of an Aho-Corasick automaton over it finds
//!   the few places where a rule could match, and a rule looks at a bounded stretch there.
//!
//! The rules are the table in `scrub/rules.rs`; `docs/secrets.md` says what they do not catch.

mod assignment;
mod block;
mod rules;

use std::{borrow::Cow, ops::Range, sync::OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use crate::ContentKey;
use rules::{RULES, Rule, Shape};

/// What a replacement begins with; also the type of the resource that it names.
pub const PREFIX: &str = "secret:";

/// Digits of a fingerprint.
const FINGERPRINT_HEX: usize = 16;

/// How far beyond its start a rule of short tokens looks, and one of long ones (a JWT, an
/// encoded key file). Bounds the work that one candidate can cause.
const SHORT_WINDOW: usize = 512;
const LONG_WINDOW: usize = 64 * 1024;

/// How often the result is scrubbed again. What a replacement uncovers (the rest of a token
/// of which another rule took the beginning) is found in the second round; more than that
/// takes an input made for it.
const MAX_ROUNDS: usize = 8;

/// A payload without its secrets.
#[derive(Debug)]
pub struct Scrubbed<'a> {
    /// The payload, borrowed if there was nothing to take out.
    pub bytes: Cow<'a, [u8]>,
    /// What was taken out, one entry for every place.
    pub found: Vec<Secret>,
}

/// A secret that was taken out: how it was known and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Name of the rule.
    pub rule: &'static str,
    /// 16 hex digits; equal for equal secrets under one key.
    pub fingerprint: String,
}

/// The compiled rule set. Make one and keep it; it is shared freely between threads.
pub struct Scrubber {
    literals: AhoCorasick,
    /// For each literal of the automaton, the rules (indexes into `RULES`) that it may start,
    /// with the literal as the rule spells it.
    starts: Vec<Vec<(usize, &'static str)>>,
    /// Compiled when first needed: compiling all of them would double the start time of a
    /// recorder that a hook is waiting for.
    shapes: Vec<OnceLock<Regex>>,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber({} rules)", RULES.len())
    }
}

impl Default for Scrubber {
    fn default() -> Scrubber {
        Scrubber::new()
    }
}

/// A place to be replaced.
#[derive(Clone, Debug)]
struct Hit {
    span: Range<usize>,
    rule: usize,
    /// Quote to put around the replacement, where a bare number stood in JSON.
    quote: Range<usize>,
}

impl Scrubber {
    /// Builds the automaton of all rules' literals (a few milliseconds).
    pub fn new() -> Scrubber {
        let mut literals: Vec<&str> = Vec::new();
        let mut starts: Vec<Vec<(usize, &str)>> = Vec::new();
        for (index, rule) in RULES.iter().enumerate() {
            for literal in rule.literals {
                match literals.iter().position(|known| known.eq_ignore_ascii_case(literal)) {
                    Some(at) => starts[at].push((index, literal)),
                    None => {
                        literals.push(literal);
                        starts.push(vec![(index, literal)]);
                    }
                }
            }
        }
        let literals = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(&literals)
            .expect("the rules' literals are few and short; a test builds them");
        Scrubber { literals, starts, shapes: RULES.iter().map(|_| OnceLock::new()).collect() }
    }

    /// The names of all rules, in the order of their table.
    pub fn rules() -> impl Iterator<Item = &'static str> {
        RULES.iter().map(|rule| rule.name)
    }

    /// Replaces every secret in `bytes`.
    pub fn scrub<'a>(&self, bytes: &'a [u8], key: &ContentKey) -> Scrubbed<'a> {
        let mut scrubbed = Scrubbed { bytes: Cow::Borrowed(bytes), found: Vec::new() };
        for _ in 0..MAX_ROUNDS {
            let hits = self.find(&scrubbed.bytes);
            if hits.is_empty() {
                break;
            }
            scrubbed.bytes = Cow::Owned(replace(&scrubbed.bytes, &hits, key, &mut scrubbed.found));
        }
        scrubbed
    }

    fn find(&self, input: &[u8]) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        // For each rule the end of its last hit: what lies before needs no second look.
        let mut done = [0; RULES.len()];
        // End of the last replacement of an earlier scrubbing.
        let mut replaced = 0;
        let mut rejected = assignment::Rejected::default();
        for literal in self.literals.find_overlapping_iter(input) {
            if literal.start() < replaced {
                continue;
            }
            if let Some(end) = replacement_at(input, literal.start()) {
                replaced = end;
                continue;
            }
            for &(index, spelled) in &self.starts[literal.pattern().as_usize()] {
                // The automaton takes any case since names do; a token's prefix has one.
                let is_token = matches!(RULES[index].shape, Shape::Token(_));
                let differs = is_token && &input[literal.range()] != spelled.as_bytes();
                if differs || literal.start() < done[index] {
                    continue;
                }
                let Some(hit) = self.candidate(input, literal.range(), index, &mut rejected) else {
                    continue;
                };
                done[index] = hit.span.end;
                if hit.span.start >= replaced {
                    hits.push(hit);
                }
            }
        }
        resolve(hits)
    }

    /// What `rule` finds where one of its literals stands.
    fn candidate(
        &self,
        input: &[u8],
        literal: Range<usize>,
        index: usize,
        rejected: &mut assignment::Rejected,
    ) -> Option<Hit> {
        let rule = &RULES[index];
        let (span, quote) = match &rule.shape {
            Shape::Assignment(family) => {
                if rejected.covers(literal.start) {
                    return None;
                }
                let value = assignment::value(input, literal, *family, rejected)?;
                (value.span, value.quote)
            }
            Shape::Block { to_end_line, .. } => {
                let begin = self.shape(index).find(window(input, literal.start, SHORT_WINDOW))?;
                (block::span(input, literal.start, literal.start + begin.end(), *to_end_line)?, 0..0)
            }
            Shape::Token(_) | Shape::Context(_) | Shape::Named { .. } => {
                (self.shaped(input, literal, index)?, 0..0)
            }
        };
        let span = within_escapes(input, span)?;
        let fits = !span.is_empty() && !touches_replacement(input, &span) && (rule.check)(input, &span);
        fits.then_some(Hit { span, rule: index, quote })
    }

    /// The stretch that a rule with a regular expression matches: its first group if it has
    /// one, else all of it.
    fn shaped(&self, input: &[u8], literal: Range<usize>, index: usize) -> Option<Range<usize>> {
        let rule = &RULES[index];
        let is_token = matches!(rule.shape, Shape::Token(_));
        let width = if rule.is_long { LONG_WINDOW } else { SHORT_WINDOW };
        for &back in rule.back {
            let Some(start) = literal.start.checked_sub(back) else { continue };
            if is_token && !starts_word(input, start, rule.is_whole) {
                continue;
            }
            let window = window(input, start, width);
            let shape = self.shape(index);
            let found = if shape.captures_len() > 1 {
                shape.captures(window).and_then(|captures| captures.get(1))
            } else {
                shape.find(window)
            };
            let Some(found) = found else { continue };
            let span = start + found.start()..start + found.end();
            // A token that goes on where its rule says it ends is another thing, such as a
            // stretch of base64.
            let ends = input.get(span.end).is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b'_')
                || !input[span.end - 1].is_ascii_alphanumeric();
            if ends {
                return Some(span);
            }
        }
        None
    }

    fn shape(&self, index: usize) -> &Regex {
        self.shapes[index].get_or_init(|| compile(&RULES[index]))
    }
}

fn compile(rule: &Rule) -> Regex {
    let shape = match &rule.shape {
        Shape::Token(shape) | Shape::Context(shape) | Shape::Block { begin: shape, .. } => {
            format!(r"\A(?:{shape})")
        }
        Shape::Named { names, value } => {
            format!(r"\A(?i:{names})(?:{})({value})", rules::SEPARATOR)
        }
        Shape::Assignment(_) => unreachable!("assignments are read by hand"),
    };
    RegexBuilder::new(&shape)
        .unicode(false)
        .size_limit(8 << 20)
        .build()
        .expect("the rules are constants; a test compiles each")
}

fn window(input: &[u8], start: usize, width: usize) -> &[u8] {
    &input[start..input.len().min(start + width)]
}

/// Keeps of overlapping hits the widest, of equal ones that of the earlier rule: the table is
/// ordered from the specific to the general.
fn resolve(mut hits: Vec<Hit>) -> Vec<Hit> {
    if hits.len() < 2 {
        return hits;
    }
    hits.sort_by_key(|hit| (hit.span.start, std::cmp::Reverse(hit.span.end), hit.rule));
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match kept.last_mut() {
            Some(last) if hit.span.start < last.span.end => {
                // Starts within the last one. What it has beyond that is left to the next round.
                if hit.span.len() > last.span.len() && hit.span.end > last.span.end && last.quote.is_empty() {
                    *last = Hit { span: last.span.start..hit.span.end, ..hit };
                }
            }
            _ => kept.push(hit),
        }
    }
    kept
}

fn replace(input: &[u8], hits: &[Hit], key: &ContentKey, found: &mut Vec<Secret>) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len() + hits.len() * 32);
    let mut at = 0;
    for hit in hits {
        let rule = &RULES[hit.rule];
        let secret = &input[hit.span.clone()];
        let fingerprint = match rule.shape {
            Shape::Block { .. } => key.fingerprint(&block::canonical(secret)),
            _ => key.fingerprint(&unescape(secret)),
        };
        let quote = &input[hit.quote.clone()];
        output.extend_from_slice(&input[at..hit.span.start]);
        for part in [quote, PREFIX.as_bytes(), rule.name.as_bytes(), b":", fingerprint.as_bytes(), quote] {
            output.extend_from_slice(part);
        }
        at = hit.span.end;
        found.push(Secret { rule: rule.name, fingerprint });
    }
    output.extend_from_slice(&input[at..]);
    output
}

/// Whether a word starts at `at`. The letter of an escape sequence before it is no part of it
/// (`\nghp_…`, `\u003dghp_…`, `%3Dghp_…`, `\u001b[31mghp_…`); that of one at its own place is
/// (`\npm_…` is a newline and `pm_…`).
fn starts_word(input: &[u8], at: usize, strict: bool) -> bool {
    let before = &input[..at];
    let Some(&last) = before.last() else { return true };
    if last == b'\\' {
        return !matches!(input.get(at), Some(b'n' | b'r' | b't' | b'b' | b'f' | b'u' | b'/' | b'"'));
    }
    let is_word = last.is_ascii_alphanumeric() || (strict && (last == b'_' || last == b'-'));
    if !is_word {
        return true;
    }
    let ends_with_escape = |len: usize, lead: &[u8]| {
        before.len() >= len
            && before[before.len() - len..].starts_with(lead)
            && before[before.len() - len + lead.len()..].iter().all(u8::is_ascii_hexdigit)
    };
    (matches!(last, b'n' | b'r' | b't') && before[..at - 1].ends_with(b"\\"))
        || ends_with_escape(6, b"\\u")
        || ends_with_escape(3, b"%")
        || (last == b'm' && ends_with_colour(before))
}

/// Whether `before` ends with a terminal's colour sequence: `ESC [ 0;31 m`.
fn ends_with_colour(before: &[u8]) -> bool {
    let digits = before[..before.len() - 1]
        .iter()
        .rev()
        .take(16)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b';')
        .count();
    let lead = &before[..before.len() - 1 - digits];
    [b"\x1b[".as_slice(), b"\\u001b[", b"\\u001B[", b"\\x1b[", b"\\033[", b"\\e["]
        .iter()
        .any(|escape| lead.ends_with(escape))
}

/// `span` cut so that it begins and ends between the escape sequences of a JSON string and
/// crosses no end of one; `None` if it begins within an escape.
fn within_escapes(input: &[u8], span: Range<usize>) -> Option<Range<usize>> {
    let before = &input[..span.start];
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    if backslashes % 2 == 1 {
        return None;
    }
    let in_unicode_escape = (2..=5).any(|len| {
        before.len() >= len
            && before[before.len() - len..].starts_with(b"\\u")
            && before[before.len() - len + 2..].iter().all(u8::is_ascii_hexdigit)
            && input[span.start].is_ascii_hexdigit()
    });
    if in_unicode_escape {
        return None;
    }
    let mut at = span.start;
    while at < span.end {
        let step = match (input[at], input.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(b'u')) => 6,
            (b'\\', _) => 2,
            _ => 1,
        };
        if at + step > span.end {
            break;
        }
        at += step;
    }
    Some(span.start..at)
}

/// The end of a replacement of ours that starts at `at`.
fn replacement_at(input: &[u8], at: usize) -> Option<usize> {
    let rest = input[at..].strip_prefix(PREFIX.as_bytes())?;
    let name_len = rest.iter().take(40).position(|byte| *byte == b':')?;
    let fingerprint = rest.get(name_len + 1..name_len + 1 + FINGERPRINT_HEX)?;
    let is_ours = fingerprint.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && RULES.iter().any(|rule| rule.name.as_bytes() == &rest[..name_len]);
    is_ours.then_some(at + PREFIX.len() + name_len + 1 + FINGERPRINT_HEX)
}

/// The longest replacement.
const MAX_REPLACEMENT: usize = PREFIX.len() + 40 + 1 + FINGERPRINT_HEX;

/// Whether `span` overlaps a replacement of ours.
fn touches_replacement(input: &[u8], span: &Range<usize>) -> bool {
    let start = span.start.saturating_sub(MAX_REPLACEMENT);
    let end = input.len().min(span.end + PREFIX.len());
    input[start..end].windows(PREFIX.len()).enumerate().any(|(at, bytes)| {
        bytes == PREFIX.as_bytes() && replacement_at(input, start + at).is_some_and(|end| end > span.start)
    })
}

/// A secret as it is outside of a JSON string, so that it has one fingerprint in both.
fn unescape(secret: &[u8]) -> Cow<'_, [u8]> {
    if !secret.contains(&b'\\') {
        return Cow::Borrowed(secret);
    }
    let mut plain = Vec::with_capacity(secret.len());
    let mut bytes = secret.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => plain.push(b'\n'),
            Some(b'r') => plain.push(b'\r'),
            Some(b't') => plain.push(b'\t'),
            Some(escaped @ (b'"' | b'\\' | b'/' | b'\'')) => plain.push(escaped),
            Some(other) => plain.extend([b'\\', other]),
            None => plain.push(b'\\'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
