//! Splits the arguments of a command into options and operands, by a specification in text.
//!
//! A specification is a list of entries, one for each option that matters:
//! - `-q` or `-q,--quiet`: a flag. Flags that do not matter need no entry.
//! - `-n,--lines=`: takes a value that names nothing.
//! - `-o,--output=w`: takes a file: `r` read, `w` written, `c` created, `d` deleted, `x` executed,
//!   `k` configured.
//! - `-i,--in-place?`: takes a value only if it is attached.
//! - `-r+`: the operands are meant with everything below them.
//! - `-e=^`: gives what otherwise the first operand gives (the pattern of `grep`).
//! - `-i!w`: the operands are written, not read.
//! - a lone `+` first: options end at the first operand (for commands that run commands).

use super::expand::Arg;
use super::run::Shell;

/// One entry of a specification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'s> {
    names: &'s str,
    pub tail: &'s str,
}

impl<'s> Entry<'s> {
    fn new(text: &'s str) -> Entry<'s> {
        let cut = text.find(['=', '?', '+', '^', '!']).unwrap_or(text.len());
        Entry { names: &text[..cut], tail: &text[cut..] }
    }

    /// Whether this is the entry of the option.
    pub fn has(&self, name: &str) -> bool {
        self.names.split(',').any(|n| n == name)
    }

    fn takes_value(&self) -> bool {
        self.tail.starts_with('=')
    }

    fn takes_attached(&self) -> bool {
        self.tail.starts_with('?')
    }
}

/// Options and operands of one command.
#[derive(Debug, Default)]
pub(super) struct Parsed<'s> {
    /// The entries that were met, each with its value.
    pub options: Vec<(Entry<'s>, Option<Arg>)>,
    pub operands: Vec<Arg>,
}

impl Parsed<'_> {
    /// Whether the option was given, under any of its names.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(e, _)| e.has(name))
    }

    /// The last value given to the option.
    pub fn value(&self, name: &str) -> Option<&Arg> {
        self.options.iter().rev().find(|(e, _)| e.has(name)).and_then(|(_, v)| v.as_ref())
    }

    /// Every value given to the option.
    pub fn values<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p Arg> {
        self.options.iter().filter(move |(e, _)| e.has(name)).filter_map(|(_, v)| v.as_ref())
    }

    /// The text of operand `i`, or nothing.
    pub fn operand(&self, i: usize) -> &str {
        self.operands.get(i).map_or("", |a| a.text.as_str())
    }
}

impl Shell<'_> {
    /// Splits `args` by the specification. Arguments that may turn out to be options or several
    /// arguments are reported as not known.
    pub fn options<'s>(&mut self, spec: &'s str, args: &[Arg]) -> Parsed<'s> {
        let mut entries: Vec<Entry<'s>> = spec.split_ascii_whitespace().map(Entry::new).collect();
        let ordered = spec.starts_with("+ ") || spec == "+";
        if ordered {
            entries.remove(0);
        }
        let mut parsed = Parsed::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let text = arg.known();
            if arg.splits || (arg.unknown.is_some() && arg.known_bytes == 0) {
                self.unknown(arg);
            }
            if text == "--" && arg.is_known() {
                for arg in rest.by_ref() {
                    if arg.splits {
                        self.unknown(arg);
                    }
                    parsed.operands.push(arg.clone());
                }
                break;
            }
            if text.len() < 2 || !text.starts_with('-') {
                parsed.operands.push(arg.clone());
                if ordered {
                    parsed.operands.extend(rest.by_ref().cloned());
                    break;
                }
                continue;
            }
            // The whole word, perhaps with `=value`.
            let (name, attached) = match text.find('=') {
                Some(i) => (&text[..i], Some(arg.tail(i + 1))),
                None => (text, None),
            };
            let whole = entries.iter().find(|e| e.has(name)).or_else(|| {
                // GNU commands accept any beginning of a long name.
                let long = name.starts_with("--") && name.len() > 3;
                long.then(|| entries.iter().find(|e| e.names.split(',').any(|n| n.starts_with(name))))
                    .flatten()
            });
            if let Some(entry) = whole
                && (name.len() > 2 || attached.is_none())
            {
                let value = match attached {
                    Some(value) => Some(value),
                    None if arg.unknown.is_some() => {
                        self.unknown(arg);
                        None
                    }
                    None if entry.takes_value() => rest.next().cloned(),
                    None => None,
                };
                self.value_taken(value.as_ref());
                parsed.options.push((*entry, value));
                continue;
            }
            if text.starts_with("--") {
                if arg.unknown.is_some() && attached.is_none() {
                    self.unknown(arg);
                }
                continue;
            }
            // A cluster of letters.
            for (i, letter) in text.char_indices().skip(1) {
                let name = &text[i..i + letter.len_utf8()];
                let entry = entries.iter().find(|e| {
                    e.names
                        .split(',')
                        .any(|n| n.len() == name.len() + 1 && n.starts_with('-') && n.ends_with(name))
                });
                let Some(entry) = entry else {
                    continue;
                };
                let after = i + letter.len_utf8();
                if entry.takes_value() || entry.takes_attached() {
                    let value = if after < arg.text.len() {
                        Some(arg.tail(after))
                    } else if entry.takes_value() {
                        rest.next().cloned()
                    } else {
                        None
                    };
                    self.value_taken(value.as_ref());
                    parsed.options.push((*entry, value));
                    break;
                }
                parsed.options.push((*entry, None));
            }
        }
        parsed
    }

    /// A value that is not quoted may bring more arguments with it.
    fn value_taken(&mut self, value: Option<&Arg>) {
        if let Some(value) = value.filter(|v| v.splits) {
            self.unknown(value);
        }
    }
}
