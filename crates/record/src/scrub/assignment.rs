//! Secrets known only by the name beside them: `PGPASSWORD=…`, `"api_key": "…"`,
//! `--token …`, `{"name":"DB_PASSWORD","value":"…"}`, `<password>…</password>`.
//!
//! A name says little by itself (`max_tokens`, `password: string`), so the name must not be
//! that of something about a secret, and the value must look like one: any literal for a
//! password, a random-looking one for a token.

use std::ops::Range;

use super::rules::Family;

const MAX_NAME: usize = 48;
const MAX_VALUE: usize = 512;

/// A value to replace.
pub(super) struct Value {
    pub span: Range<usize>,
    /// Where the quote stands that the replacement needs around it; empty if it needs none.
    pub quote: Range<usize>,
}

/// White space between a name and its value: enough for an indented line.
const MAX_SPACE: usize = 16;

/// What stands between a name and its value.
struct Between {
    /// The quote after the name, with the backslashes before it.
    after_name: Range<usize>,
    separator: Separator,
    /// The quote before the value, likewise.
    before_value: Range<usize>,
    /// Where the value starts.
    start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `=`, `:`, `=>`, `:=` and what stands for them in a URL or a script in HTML.
    Assign,
    /// `"name": "X", "value": "y"`, also in YAML on two lines.
    NameAndValue,
    /// `<name>value</name>`
    Tag,
    /// `--name value`
    Space,
    /// `["--name", "value"]`
    Comma,
}

/// Words before the keyword that make it a name of something public: `next_page_token`.
#[rustfmt::skip]
const NOT_SECRET_BEFORE: &[&str] = &[
    "bos", "cache", "cached", "cls", "completion", "continuation", "design", "eos", "forgot", "has",
    "input", "is", "mask", "max", "min", "next", "no", "output", "pad", "page", "prompt", "public",
    "reasoning", "sep", "special", "stop", "sync", "total", "unk",
];

/// Words after it that make it a name of something about a secret: `password_file`.
#[rustfmt::skip]
const NOT_SECRET: &[&str] = &[
    "address", "algorithm", "alias", "arn", "attempt", "attempts", "autocomplete", "bos", "budget",
    "cache", "cached", "changed", "class", "cmd", "command", "completion", "confirm", "confirmation",
    "consumed", "continuation", "cost", "count", "counts", "created", "description", "design", "dir",
    "directory", "enabled", "endpoint", "env", "eos", "error", "exists", "expiration", "expires",
    "expiry", "field", "file", "filename", "format", "found", "header", "helper", "hint", "id", "ids",
    "index", "input", "invalid", "kind", "label", "len", "length", "level", "limit", "manager", "mask",
    "max", "message", "min", "missing", "mode", "name", "next", "output", "pad", "page", "path",
    "pattern", "placeholder", "policy", "position", "price", "prompt", "protected", "provider",
    "public", "rate", "reasoning", "ref", "regex", "remaining", "required", "requirements", "reset",
    "rotation", "rule", "rules", "schema", "scope", "sep", "size", "source", "special", "status",
    "stdin", "stop", "store", "strength", "sync", "text", "title", "total", "ttl", "type", "unk",
    "updated", "uri", "url", "usage", "used", "valid", "validity", "var", "variable", "version",
    "visible",
];

/// Words that make up values that stand for a value.
#[rustfmt::skip]
const FILLER: &[&str] = &[
    "a", "abc", "access", "account", "admin", "an", "any", "api", "apikey", "auth", "bar", "bearer",
    "bool", "boolean", "bytes", "change", "changeit", "changeme", "client", "config", "current",
    "custom", "data", "db", "default", "demo", "dummy", "empty", "enter", "env", "environ", "example",
    "fake", "false", "field", "foo", "from", "generated", "get", "hash", "here", "hidden", "id", "in",
    "input", "insert", "invalid", "key", "local", "localhost", "masked", "me", "missing", "mock",
    "must", "my", "name", "new", "nil", "none", "not", "null", "number", "object", "of", "old",
    "omitted", "optional", "or", "pass", "passphrase", "passwd", "password", "placeholder", "private",
    "process", "prompt", "public", "pwd", "read", "redacted", "removed", "replace", "required", "root",
    "sample", "secret", "self", "set", "some", "str", "string", "super", "test", "text", "the", "this",
    "to", "todo", "token", "true", "type", "undefined", "unset", "use", "user", "username", "value",
    "var", "with", "wrong", "your",
];

/// A value that was read and found to be no secret. Names within it are looked at too
/// (`TOKEN=password=x`), but not without end, else a row of `token=` would be read from each.
#[derive(Default)]
pub(super) struct Rejected {
    end: usize,
    tries: u32,
}

impl Rejected {
    /// Shorter values cost nothing to read again.
    const MIN_LEN: usize = 64;

    /// More names than ever stand in a value.
    const MAX_TRIES: u32 = 16;

    /// Whether names at `at` have been looked at often enough.
    pub(super) fn covers(&mut self, at: usize) -> bool {
        let within = at < self.end;
        self.tries += u32::from(within);
        within && self.tries > Rejected::MAX_TRIES
    }

    fn note(&mut self, span: &Range<usize>) {
        if span.start >= self.end && span.len() > Rejected::MIN_LEN {
            *self = Rejected { end: span.end, tries: 0 };
        }
    }
}

/// The value that belongs to the name that has `keyword` in it.
pub(super) fn value(
    input: &[u8],
    keyword: Range<usize>,
    family: Family,
    rejected: &mut Rejected,
) -> Option<Value> {
    let name = name(input, &keyword)?;
    let full_name = &input[name.clone()];
    let is_flag = full_name.starts_with(b"-");
    let is_shouted = !full_name.iter().any(u8::is_ascii_lowercase);

    let Between { after_name, separator, before_value, start } = between(input, name.end)?;
    let fits = match separator {
        Separator::Assign | Separator::NameAndValue => true,
        Separator::Tag => name.start > 0 && input[name.start - 1] == b'<',
        Separator::Space => is_flag,
        Separator::Comma => is_flag && !before_value.is_empty(),
    };
    // The quote of `'Password: ', x` ends what it seems to begin.
    let closes = !before_value.is_empty()
        && after_name.is_empty()
        && input[..name.start].ends_with(&input[before_value.clone()])
        && !input[..name.start - before_value.len()].ends_with(b"\\");
    if !fits || closes {
        return None;
    }

    let is_quoted = !before_value.is_empty();
    let span = if is_quoted { quoted(input, &before_value, start) } else { unquoted(input, start) };
    let value = &input[span.clone()];
    let is_substitution = is_quoted && input[before_value.end - 1] == b'`' && value.contains(&b' ');
    // `<password>@host` is a placeholder in prose.
    let is_open_tag = separator == Separator::Tag
        && ![b"</".as_slice(), b"<\\/"].iter().any(|end| input[span.end..].starts_with(end));
    if value.len() > MAX_VALUE
        || is_open_tag
        || is_substitution
        || is_placeholder(value)
        || is_reference(value)
    {
        rejected.note(&span);
        return None;
    }

    let next = input.get(span.end);
    if !is_quoted && !after_name.is_empty() {
        // `"password": 12345678`: not a string in JSON, so only a number can be a secret.
        let is_number =
            family == Family::Password && value.len() >= 4 && value.iter().all(u8::is_ascii_digit);
        let ends = next.is_none_or(|next| matches!(next, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\\'));
        return (is_number && ends).then_some(Value { span, quote: after_name });
    }
    let is_tight = input[name.end..start].iter().all(|byte| !byte.is_ascii_whitespace());
    let looks_secret = match family {
        Family::Password => {
            looks_like_password(value, is_quoted, is_flag || (is_shouted && is_tight), is_tight)
        }
        Family::Token => {
            looks_random(value) && (is_quoted || is_tight || is_flag || !(is_name(value) || is_number(value)))
        }
    };
    // `password=get(…)`, `token=f"…"`.
    let is_call = !is_quoted && matches!(next, Some(b'(' | b'[' | b'{'));
    if !looks_secret || is_call {
        rejected.note(&span);
        return None;
    }
    Some(Value { span, quote: 0..0 })
}

/// What stands between a name that ends at `at` and its value, if it is something that
/// belongs there.
fn between(input: &[u8], at: usize) -> Option<Between> {
    let after_name = quote(input, at);
    let mut at = after_name.end;
    for optional in [b']', b'?'] {
        at += usize::from(input.get(at) == Some(&optional));
    }
    let spaced = space(input, at);
    let rest = &input[spaced..];
    let assigns = [b":=".as_slice(), b"=>", b"%3D", b"%3d"].into_iter().find(|sign| rest.starts_with(sign));
    let backslashes = backslashes(rest);
    let (separator, end) = match rest {
        _ if assigns.is_some() => (Separator::Assign, spaced + assigns.map_or(0, <[u8]>::len)),
        // Comparison, path of types, arrow.
        [b'=' | b':', b'=' | b'~' | b':' | b'>', ..] => return None,
        [b'=' | b':', ..] => (Separator::Assign, spaced + 1),
        [b'>', ..] => (Separator::Tag, spaced + 1),
        [b'\\', ..]
            if rest[backslashes..].get(..5).is_some_and(|text| text.eq_ignore_ascii_case(b"u003d")) =>
        {
            (Separator::Assign, spaced + backslashes + 5)
        }
        [b',', ..] => match value_name(input, space(input, spaced + 1)) {
            Some(end) => (Separator::NameAndValue, end),
            None => (Separator::Comma, spaced + 1),
        },
        _ if spaced > at => match value_name(input, spaced) {
            Some(end) => (Separator::NameAndValue, end),
            None => (Separator::Space, spaced),
        },
        _ => return None,
    };
    let before_value = quote(input, space(input, end));
    Some(Between { start: before_value.end, after_name, separator, before_value })
}

/// The end of `"value":` at `at`.
fn value_name(input: &[u8], at: usize) -> Option<usize> {
    let name = quote(input, at).end;
    let name =
        input.get(name..name + 5).filter(|text| text.eq_ignore_ascii_case(b"value")).map(|_| name + 5)?;
    let end = space(input, quote(input, name).end);
    matches!(input.get(end), Some(b':' | b'=')).then_some(end + 1)
}

/// A quote at `at` with the backslashes before it; empty if there is none.
fn quote(input: &[u8], at: usize) -> Range<usize> {
    let backslashes = backslashes(&input[at..]);
    match input.get(at + backslashes) {
        Some(b'"' | b'\'' | b'`') => at..at + backslashes + 1,
        _ => at..at,
    }
}

/// The end of the white space at `at`, raw or escaped.
fn space(input: &[u8], mut at: usize) -> usize {
    for _ in 0..MAX_SPACE {
        let rest = &input[at..];
        let backslashes = backslashes(rest);
        at += match rest {
            [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
            [b'\\', ..] if matches!(rest.get(backslashes), Some(b'n' | b'r' | b't')) => backslashes + 1,
            _ => break,
        };
    }
    at
}

/// The whole name around `keyword`, if it is a secret's.
fn name(input: &[u8], keyword: &Range<usize>) -> Option<Range<usize>> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut start = keyword.start
        - input[..keyword.start].iter().rev().take(MAX_NAME).take_while(|byte| is_name(byte)).count();
    if start > 0
        && input[start - 1] == b'\\'
        && start < keyword.start
        && matches!(input[start], b'n' | b'r' | b't')
    {
        start += 1;
    }
    let end = keyword.end
        + input[keyword.end..]
            .iter()
            .take(MAX_NAME)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
    let last = input[keyword.end - 1];
    if let Some(next) = input.get(keyword.end).filter(|next| next.is_ascii_alphabetic()) {
        // `tokenizer`, `tokens`, `PASSWORDS`; but `tokenValue`.
        if !(last.is_ascii_lowercase() && next.is_ascii_uppercase()) {
            return None;
        }
    }
    let of_something_else = words(&input[keyword.end..end]).any(|word| is_one_of(word, NOT_SECRET))
        || words(&input[start..keyword.start]).any(|word| is_one_of(word, NOT_SECRET_BEFORE));
    (!of_something_else).then_some(start..end)
}

/// The words of a name: `DB_PASSWORD`, `dbPassword`, `db-password`.
fn words(mut name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = name.iter().position(u8::is_ascii_alphanumeric)?;
        name = &name[start..];
        let end = 1 + name
            .windows(2)
            .take_while(|pair| {
                pair[1].is_ascii_alphanumeric()
                    && !(pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
            })
            .count();
        let word = &name[..end];
        name = &name[end..];
        Some(word)
    })
}

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

/// A value in quotes that have as many backslashes before them at its end as at its
/// beginning; fewer end it too, since they end what it is in.
fn quoted(input: &[u8], quote: &Range<usize>, start: usize) -> Range<usize> {
    let mark = input[quote.end - 1];
    let depth = quote.len() - 1;
    let is_json_string = mark == b'"' && depth == 0;
    let mut at = start;
    while at < input.len() && at - start <= MAX_VALUE {
        let backslashes = backslashes(&input[at..]);
        match input.get(at + backslashes) {
            // Within a JSON string an even number of backslashes is the value's own.
            Some(byte) if *byte == mark && depth == 0 && backslashes.is_multiple_of(2) => {
                return start..at + backslashes;
            }
            Some(byte) if *byte == mark && depth > 0 && backslashes <= depth => return start..at,
            Some(b'"') if backslashes == 0 => return start..at,
            Some(b'\n' | b'\r') => return start..at + backslashes,
            Some(b'n' | b'r') if backslashes > 0 && !is_json_string => return start..at,
            _ => at += backslashes + 1,
        }
    }
    start..at.min(input.len())
}

/// A bare value: to white space, a quote, or what ends a word in a shell, a URL or a list.
fn unquoted(input: &[u8], start: usize) -> Range<usize> {
    let mut at = start;
    while at < input.len() && at - start <= MAX_VALUE {
        match input[at] {
            b'\\' => {
                let backslashes = backslashes(&input[at..]);
                match input.get(at + backslashes) {
                    Some(b'n' | b'r' | b't' | b'u' | b'"' | b'\'' | b'`') | None => break,
                    _ if backslashes % 2 == 1 => break,
                    _ => at += backslashes,
                }
            }
            0..=b' ' | b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b'|' | b'<' | b'>' => break,
            b'(' | b')' | b'[' | b']' | b'}' => break,
            _ => at += 1,
        }
    }
    start..at
}

fn backslashes(text: &[u8]) -> usize {
    text.iter().take(MAX_VALUE).take_while(|byte| **byte == b'\\').count()
}

/// Whether `value` only stands for a value.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let distinct = {
        let mut seen = [false; 256];
        for byte in value {
            seen[usize::from(*byte)] = true;
        }
        seen.iter().filter(|seen| **seen).count()
    };
    let wrapped = match (value.first(), value.last()) {
        (Some(b'<'), Some(b'>')) | (Some(b'['), Some(b']')) | (Some(b'{'), _) | (Some(b'%'), Some(b'%')) => {
            true
        }
        (Some(b'$'), _) => {
            matches!(value.get(1), Some(b'{' | b'(' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'1'..=b'9' | b'$'))
        }
        (Some(b'@' | b'!' | b'&' | b'*'), _) => {
            value[1..].iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_'))
        }
        _ => false,
    };
    let dotted = value
        .windows(3)
        .any(|three| three == b"..." || three.eq_ignore_ascii_case(b"xxx") || three == b"***")
        || value.windows(3).any(|three| three == "…".as_bytes())
        || value.windows(2).any(|two| two == b"${" || two == b"{{" || two == b"$(");
    let filler = || {
        words(value).all(|word| {
            let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let word = &word[..word.len() - digits];
            word.is_empty() || is_one_of(word, FILLER)
        })
    };
    distinct < 3 || wrapped || dotted || (!value.iter().all(u8::is_ascii_digit) && filler())
}

/// Whether `value` says where the secret is rather than what it is: a path, an URL, a variable.
fn is_reference(value: &[u8]) -> bool {
    let is_path = [b"/".as_slice(), b"~/", b"./", b"../"].iter().any(|lead| value.starts_with(lead))
        && value.split(|byte| *byte == b'/').any(|part| {
            part.len() >= 2 && part.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'.')
        });
    let is_windows_path = value.len() > 3 && value[0].is_ascii_alphabetic() && value[1..].starts_with(b":\\");
    let has = |needle: &[u8]| value.windows(needle.len()).any(|window| window == needle);
    is_path
        || is_windows_path
        || has(b"://")
        || has(b"::")
        || has(b"environ")
        || has(b"process.env")
        || has(b"-----BEGIN")
        || value.starts_with(b"-")
}

fn looks_like_password(value: &[u8], is_quoted: bool, is_named_for_a_value: bool, tight: bool) -> bool {
    let is_identifier =
        value.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-'));
    if is_quoted {
        // Prose is no password: "The password must have eight characters."
        let words = value.split(|byte| *byte == b' ').count();
        return value.len() >= 4 && words <= 6 && !(words > 1 && value.ends_with(b"."));
    }
    match (is_named_for_a_value, tight) {
        (true, _) => value.len() >= 4,
        (false, true) => {
            value.len() >= 4
                && (!is_identifier || (value.len() >= 6 && !value.contains(&b'.') && !value.contains(&b'_')))
        }
        (false, false) => value.len() >= 6 && !is_identifier && !is_number(value),
    }
}

/// Whether `value` is a number of a programming language: `1024`, `0x100`.
fn is_number(value: &[u8]) -> bool {
    value.starts_with(b"0x") || value.iter().all(u8::is_ascii_digit)
}

/// Whether `value` is a name of one: `TokenStream2`, `node.colon2_token`.
fn is_name(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'*');
    value.len() < 32 && digits < 3 && !value[0].is_ascii_digit() && value.iter().all(is_word)
}

/// Whether `value` looks generated rather than written by a person.
pub(super) fn looks_random(value: &[u8]) -> bool {
    let is_charset = value.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'+' | b'/'
                    | b'='
                    | b'_'
                    | b'.'
                    | b'~'
                    | b'-'
                    | b':'
                    | b'%'
                    | b'!'
                    | b'@'
                    | b'#'
                    | b'*'
                    | b'^'
                    | b'$'
            )
    });
    if !is_charset || value.len() < 8 {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let mixed_case = value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase);
    // `prod-db-token-v2`, `com.example.TokenStore`.
    let is_spoken = value
        .split(|byte| !byte.is_ascii_alphanumeric())
        .all(|part| part.len() <= 3 || part.iter().all(u8::is_ascii_alphabetic) && part.len() <= 14);
    if is_spoken || letters == 0 {
        return false;
    }
    let bits = entropy(value);
    match value.len() {
        8..16 => digits >= 2 && letters >= 2 && bits >= 2.5,
        _ => (digits > 0 || mixed_case) && bits >= 3.0,
    }
}

/// Shannon entropy in bits a byte.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let len = value.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / len)
        .map(|p| -p * p.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_every_convention() {
        for name in ["DB_PASSWORD_FILE", "dbPasswordFile", "db-password.file"] {
            let words: Vec<_> = words(name.as_bytes()).map(<[u8]>::to_ascii_lowercase).collect();
            assert_eq!(words, [b"db".to_vec(), b"password".to_vec(), b"file".to_vec()], "{name}");
        }
    }
}
