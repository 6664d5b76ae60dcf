//! Private keys as text: from `-----BEGIN … PRIVATE KEY-----` to the matching end, however
//! the lines between are decorated (`\n` in JSON, line numbers of a viewer, a diff's `+`), and
//! as far as the key goes if the end was cut off.

use std::ops::Range;

/// A key file is far below this.
const MAX_BYTES: usize = 64 * 1024;

/// The shortest line that passes for a line of a key.
const MIN_LINE: usize = 10;

/// What to replace: `start` is where the header starts, `body` where it ends.
pub(super) fn span(input: &[u8], start: usize, body: usize, to_end_line: bool) -> Option<Range<usize>> {
    if !to_end_line {
        let end = lines_end(input, body)?;
        return Some(body..end);
    }
    let end = match end_line(input, body) {
        Some((last, end)) if is_key(input, body, last) => {
            longest_run(&input[body..end]).ge(&MIN_LINE).then_some(end)?
        }
        // Something else stands in between, which has to be seen: only what is a key is taken out.
        _ => lines_end(input, body)?,
    };
    Some(start..end)
}

/// Whether nothing but the lines of a key stands from `at` to `end`: base64 that fills its line or
/// is long, headers, and decoration.
fn is_key(input: &[u8], mut at: usize, end: usize) -> bool {
    loop {
        at = skip_decoration(&input[..end], at);
        let rest = &input[at..end];
        let run = run_len(rest);
        let after = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        if run > 2 && after.starts_with(b": ") {
            at += run + after.iter().take_while(|byte| !matches!(byte, b'\n' | b'\\' | b'"')).count();
        } else if run >= 40 || run > 0 && matches!(after.first(), None | Some(b'\n' | b'\r' | b'\\')) {
            at += run;
        } else if run == 0 && matches!(rest[0], b'+' | b'-' | b'>' | b'|' | b'#' | b'*' | b',' | 0x80..) {
            // What a diff, a quotation or a viewer puts before a line, and an ellipsis.
            at += 1;
        } else {
            return false;
        }
    }
}

/// Where the `-----END …-----` line begins and ends, if it comes before the end of the JSON string,
/// the next key and `MAX_BYTES`.
fn end_line(input: &[u8], body: usize) -> Option<(usize, usize)> {
    let limit = input.len().min(body + MAX_BYTES);
    let mut at = body;
    while at < limit {
        match input[at] {
            b'\\' => at += 2,
            b'"' => return None,
            b'-' if input[at..].starts_with(b"-----END ") => {
                let line = &input[at + 9..limit.min(at + 9 + 64)];
                let dashes = line.windows(5).position(|five| five == b"-----")?;
                return Some((at, at + 9 + dashes + 5));
            }
            b'-' if input[at..].starts_with(b"-----BEGIN ") => return None,
            _ => at += 1,
        }
    }
    None
}

/// The end of the lines of base64 that follow `body`; `None` if there are none.
fn lines_end(input: &[u8], body: usize) -> Option<usize> {
    let limit = input.len().min(body + MAX_BYTES);
    let mut end = None;
    let mut at = body;
    loop {
        let line = skip_decoration(&input[..limit], at);
        let run = run_len(&input[line..limit]);
        let is_header = input[line + run..limit].starts_with(b": ");
        if is_header && run > 2 {
            // `Proc-Type: 4,ENCRYPTED`, `DEK-Info: …`, `Private-MAC: …`.
            let rest = &input[line + run..limit];
            at = line + run + rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\\' | b'"')).count();
            if end.is_some() {
                end = Some(at);
            }
            continue;
        }
        // Later lines may be short, but a word within prose is none.
        let fills_line =
            matches!(input[line + run..limit].first(), None | Some(b'\n' | b'\r' | b'\\' | b'"'));
        let is_line = match end {
            None => run >= MIN_LINE,
            Some(_) => run >= 40 || (run > 0 && line > at && fills_line),
        };
        if !is_line {
            return end;
        }
        at = line + run;
        end = Some(at);
    }
}

/// What stands after a line's number.
const NUMBERED: [&[u8]; 6] = ["→".as_bytes(), b"\t", b"\\t", b":", b"|", b" |"];

/// Skips line ends and what a viewer puts before a line.
fn skip_decoration(input: &[u8], mut at: usize) -> usize {
    loop {
        let rest = &input[at..];
        let digits = rest.iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
        let after_digits = &rest[digits..];
        let numbered = NUMBERED.iter().find(|mark| digits > 0 && after_digits.starts_with(mark));
        let backslashes = rest.iter().take(8).take_while(|byte| **byte == b'\\').count();
        at += match rest {
            [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
            [b'\\', ..] if matches!(rest.get(backslashes), Some(b'n' | b'r' | b't')) => backslashes + 1,
            _ => match numbered {
                Some(mark) => digits + mark.len(),
                None => return at,
            },
        };
    }
}

fn is_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-')
}

fn run_len(input: &[u8]) -> usize {
    input.iter().take_while(|byte| is_body(**byte)).count()
}

fn longest_run(input: &[u8]) -> usize {
    input.split(|byte| !is_body(*byte)).map(<[u8]>::len).max().unwrap_or(0)
}

/// The key itself without header, line ends and decoration: the same for every way of showing
/// it.
pub(super) fn canonical(block: &[u8]) -> Vec<u8> {
    let body = match block.iter().skip(5).position(|byte| *byte == b'-') {
        Some(header) if block.starts_with(b"-----") => &block[(5 + header + 5).min(block.len())..],
        _ => block,
    };
    let end = body.windows(9).position(|nine| nine == b"-----END ").unwrap_or(body.len());
    let lines = body[..end]
        .split(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b' ' | b'\t' | b':' | b'"' | 0x80..))
        // What an escape sequence left at the beginning of a line.
        .map(|line| line.strip_prefix(b"n").filter(|rest| rest.len() >= MIN_LINE).unwrap_or(line))
        .filter(|line| line.len() >= MIN_LINE && line.iter().all(|byte| is_body(*byte)));
    lines.flatten().copied().collect()
}
