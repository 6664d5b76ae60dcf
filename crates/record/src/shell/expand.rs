//! Words to arguments, in the shell's own order: braces, tilde, parameters, splitting.
//!
//! What is not certain stays in the argument as it was written, with the reason why it is not
//! known; the commands decide whether that matters to them.

use super::run::{Output, Shell, Value};
use super::syntax::{Atom, Command, RedirectOp, Script, Sub, SubKind, Target, Word, excerpt};
use crate::{Action, Hazard, Resource, Verb};
use std::rc::Rc;

/// How many words one brace expansion or one split may give.
const MAX_FIELDS: usize = 512;
/// How many atoms all words of one brace expansion may have together.
const MAX_BRACE_ATOMS: usize = 1 << 16;

/// How the reason ends where a variable comes from the environment.
const NOT_SET: &str = "is not set here";

/// One argument after expansion.
#[derive(Clone, Debug, Default)]
pub(super) struct Arg {
    /// The text; what is not known stands as it was written.
    pub text: String,
    /// Why part of it is not known.
    pub unknown: Option<Rc<str>>,
    /// How many bytes at the start are certain, where `unknown` is set.
    pub known_bytes: usize,
    /// Not quoted: it may become several arguments, or none.
    pub splits: bool,
    /// Some of it came from a parameter or a command.
    pub expanded: bool,
    /// It has a pattern in it that is not quoted.
    pub glob: bool,
    /// It stands for everything found below this path.
    pub tree: bool,
    /// `<(…)`: what can be read from it.
    pub source: Option<Rc<Output>>,
}

impl Arg {
    /// An argument that is known to the letter.
    pub fn new(text: impl Into<String>) -> Arg {
        Arg { text: text.into(), ..Arg::default() }
    }

    /// An argument of which nothing is known.
    pub fn unknown(shown: impl Into<String>, reason: &str) -> Arg {
        Arg { text: shown.into(), unknown: Some(reason.into()), ..Arg::default() }
    }

    pub fn is_known(&self) -> bool {
        self.unknown.is_none()
    }

    /// Whether what is not known of it is a variable of the environment, which is named by itself.
    pub fn is_environment(&self) -> bool {
        self.unknown.as_ref().is_some_and(|reason| reason.ends_with(NOT_SET))
    }

    /// The part that is certain.
    pub fn known(&self) -> &str {
        if self.unknown.is_some() { self.text.get(..self.known_bytes).unwrap_or("") } else { &self.text }
    }

    /// The argument without its first `bytes`.
    pub fn tail(&self, bytes: usize) -> Arg {
        Arg {
            text: self.text.get(bytes..).unwrap_or("").to_owned(),
            known_bytes: self.known_bytes.saturating_sub(bytes),
            ..self.clone()
        }
    }

    /// The same with another text, certain if it was certain.
    pub fn with_text(&self, text: impl Into<String>) -> Arg {
        Arg { text: text.into(), known_bytes: 0, source: None, ..self.clone() }
    }
}

/// What a substitution gives.
enum Given {
    Text(String),
    List(Vec<Arg>),
    One(Arg),
    Unknown(String),
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Char(char, bool),
    Quotes,
    Sub(&'a Sub, bool),
}

impl Shell<'_> {
    /// The arguments a word becomes.
    pub(super) fn expand(&mut self, word: &Word) -> Vec<Arg> {
        let pieces: Vec<Piece<'_>> = word.atoms.iter().map(piece).collect();
        if !self.spend(pieces.len() + 1) {
            return vec![Arg::unknown(excerpt(&word.shown()), "the command is too large")];
        }
        let braces = pieces.iter().any(|p| matches!(p, Piece::Char('{', false)));
        if !braces {
            return self.fields(&pieces, false);
        }
        match braces_expanded(&pieces) {
            Some(words) => {
                let mut args = Vec::new();
                for word in &words {
                    if !self.spend(word.len()) {
                        break;
                    }
                    args.extend(self.fields(word, false));
                }
                args
            }
            None => {
                // Run the substitutions for their own effects.
                let _ = self.fields(&pieces, true);
                vec![Arg::unknown(excerpt(&word.shown()), "a brace expansion gives too many words")]
            }
        }
    }

    /// The one text a word becomes where the shell does not split (assignments, redirections,
    /// here-documents).
    pub(super) fn expand_one(&mut self, word: &Word) -> Arg {
        let pieces: Vec<Piece<'_>> = word.atoms.iter().map(piece).collect();
        if !self.spend(pieces.len() + 1) {
            return Arg::unknown(excerpt(&word.shown()), "the command is too large");
        }
        let mut fields = self.fields(&pieces, true);
        match fields.len() {
            0 => Arg::new(""),
            1 => fields.remove(0),
            _ => {
                let mut whole = fields.remove(0);
                for field in fields {
                    let before = whole.text.len() + 1;
                    whole.text.push(' ');
                    whole.text.push_str(&field.text);
                    if whole.unknown.is_none() && field.unknown.is_some() {
                        whole.known_bytes = before + field.known_bytes;
                        whole.unknown = field.unknown;
                    }
                }
                whole
            }
        }
    }

    /// `whole`: do not split.
    fn fields(&mut self, pieces: &[Piece<'_>], whole: bool) -> Vec<Arg> {
        let mut fields: Vec<Arg> = Vec::new();
        let mut current = Arg::default();
        let mut there = false;
        let mut bracket = false;
        let mut rest = pieces;
        if let Some(skipped) = self.tilde(pieces, &mut current) {
            rest = &pieces[skipped..];
            there = true;
        }
        for (i, piece) in rest.iter().enumerate() {
            let before_slash = matches!(rest.get(i + 1), Some(Piece::Char('/', _)));
            match *piece {
                Piece::Char(c, quoted) => {
                    current.text.push(c);
                    there = true;
                    if !quoted {
                        // A bracket only makes a pattern with its other half: `[` is a command.
                        current.glob |= matches!(c, '*' | '?') || (c == ']' && bracket);
                        bracket |= c == '[';
                    }
                }
                Piece::Quotes => there = true,
                // The number of a process in a path is some part of it without a slash.
                Piece::Sub(sub, _) if is_process_id(sub) && (before_slash || current.text.contains('/')) => {
                    current.text.push('*');
                    current.expanded = true;
                    there = true;
                }
                Piece::Sub(sub, quoted) => match self.substitute(sub) {
                    Given::Text(text) if quoted || whole => {
                        current.expanded |= !is_place(sub);
                        there = there || quoted || !text.is_empty();
                        current.text.push_str(&text);
                    }
                    Given::Text(text) => {
                        current.expanded |= !is_place(sub);
                        let separators = self.separators();
                        let mut parts = text.split(&separators[..]).peekable();
                        while let Some(part) = parts.next() {
                            if !part.is_empty() {
                                current.text.push_str(part);
                                current.glob |= part.contains(['*', '?', '[']);
                                there = true;
                            }
                            if parts.peek().is_some() && there && fields.len() < MAX_FIELDS {
                                fields.push(std::mem::take(&mut current));
                                current.expanded = true;
                                there = false;
                            }
                        }
                    }
                    Given::List(list) => {
                        let count = list.len();
                        for (i, item) in list.into_iter().enumerate() {
                            append(&mut current, item, quoted || whole);
                            there = true;
                            if i + 1 < count && !whole && fields.len() < MAX_FIELDS {
                                fields.push(std::mem::take(&mut current));
                            } else if i + 1 < count {
                                current.text.push(' ');
                            }
                        }
                    }
                    Given::One(arg) => {
                        append(&mut current, arg, quoted || whole);
                        there = true;
                    }
                    Given::Unknown(reason) => {
                        append(&mut current, Arg::unknown(sub.raw.clone(), &reason), quoted || whole);
                        there = true;
                    }
                },
            }
        }
        if there {
            fields.push(current);
        }
        for field in &fields {
            // zsh: the qualifiers of a pattern may run code.
            if field.glob && (field.text.contains("(e") || field.text.contains("(+")) {
                self.opaque_as(
                    Hazard::CommandWord,
                    format!("a pattern may run code: `{}`", excerpt(&field.text)),
                );
            }
            if !self.spend(field.text.len()) {
                return vec![Arg::unknown("…", "the command is too large")];
            }
        }
        fields
    }

    /// A leading `~`, in a word or after `name=`. Gives how many pieces it took.
    fn tilde(&mut self, pieces: &[Piece<'_>], out: &mut Arg) -> Option<usize> {
        let mut start = 0;
        if !matches!(pieces.first(), Some(Piece::Char('~', false))) {
            start = pieces.iter().position(|p| matches!(p, Piece::Char('=', false)))? + 1;
            let name = pieces[..start - 1]
                .iter()
                .all(|p| matches!(p, Piece::Char(c, false) if c.is_ascii_alphanumeric() || *c == '_'));
            if !name || start == 1 || !matches!(pieces.get(start), Some(Piece::Char('~', false))) {
                return None;
            }
        }
        let mut user = String::new();
        let mut end = start + 1;
        while let Some(piece) = pieces.get(end) {
            match piece {
                Piece::Char('/' | ':', false) => break,
                Piece::Char(c, false) => user.push(*c),
                _ => return None,
            }
            end += 1;
        }
        for piece in &pieces[..start] {
            if let Piece::Char(c, _) = piece {
                out.text.push(*c);
            }
        }
        let home = match user.as_str() {
            "" => self.home(),
            "+" => self.state.cwd.clone().map_or_else(|why| Arg::unknown("~+", &why), Arg::new),
            "-" => {
                self.state.old_cwd.clone().map_or_else(|| Arg::unknown("~-", "OLDPWD is not known"), Arg::new)
            }
            "root" => Arg::new("/root"),
            name => Arg::unknown(format!("~{name}"), "the home of another user is not known"),
        };
        append(out, home, true);
        out.expanded = false;
        Some(end)
    }

    /// The home folder, as `~` and `$HOME` see it.
    pub(super) fn home(&self) -> Arg {
        match self.state.vars.get("HOME") {
            Some(Value::One(arg)) => arg.clone(),
            Some(Value::List(_)) => Arg::unknown("~", "HOME is a list"),
            None if self.context.home.is_empty() => Arg::unknown("~", "HOME is not known"),
            None => Arg::new(self.context.home),
        }
    }

    fn separators(&self) -> Vec<char> {
        match self.state.vars.get("IFS") {
            Some(Value::One(arg)) if arg.is_known() => arg.text.chars().collect(),
            _ => vec![' ', '\t', '\n'],
        }
    }

    fn substitute(&mut self, sub: &Sub) -> Given {
        match &sub.kind {
            SubKind::Command(script) => self.command_output(script),
            SubKind::Process { write, script } => {
                let output = self.process(script, *write);
                Given::One(Arg {
                    text: "/dev/fd/63".to_owned(),
                    source: Some(Rc::new(output)),
                    ..Arg::default()
                })
            }
            SubKind::Arithmetic(word) => {
                self.arithmetic(word);
                match word.literal() {
                    Some(number)
                        if !number.trim().is_empty()
                            && number.trim().len() < 18
                            && number.trim().bytes().all(|b| b.is_ascii_digit()) =>
                    {
                        Given::Text(number.trim().to_owned())
                    }
                    _ => Given::Unknown("a computed number".to_owned()),
                }
            }
            SubKind::Array(words) => {
                let mut list = Vec::new();
                for word in words {
                    list.extend(self.expand(word));
                    list.truncate(MAX_FIELDS);
                }
                Given::List(list)
            }
            SubKind::Variable { name, index, length, indirect, operation } => {
                self.variable(sub, name, index.as_ref(), *length, *indirect, operation.as_ref())
            }
        }
    }

    fn command_output(&mut self, script: &Script) -> Given {
        // `$(<file)` is the content of the file.
        if let [item] = &script[..]
            && let [(_, pipeline)] = &item.pipelines[..]
            && let [Command::Simple { assigns, words, redirects }] = &pipeline.stages[..]
            && assigns.is_empty()
            && words.is_empty()
            && let [redirect] = &redirects[..]
            && let (RedirectOp::Read, Target::Word(word)) = (redirect.op, &redirect.target)
        {
            let file = self.expand_one(word);
            self.touch(super::table::Effect::Read, &file);
            return Given::Unknown("the content of a file".to_owned());
        }
        let output = self.subshell(|shell| shell.script(script));
        match output.text {
            Some(text) => Given::Text(text.trim_end_matches('\n').to_owned()),
            None => Given::Unknown("the output of a command".to_owned()),
        }
    }

    /// Evaluates what runs inside an arithmetic expression, and forgets what it may assign.
    pub(super) fn arithmetic(&mut self, word: &Word) {
        let shown = word.shown();
        if shown.contains(';') || has_adjacent_words(&word.without_substitutions()) {
            self.opaque_as(Hazard::CommandWord, format!("arithmetic not understood: `{}`", excerpt(&shown)));
        }
        self.computed(word);
    }

    /// The same for the head of `for ((…; …; …))`.
    pub(super) fn computed(&mut self, word: &Word) {
        let shown = word.shown();
        let pieces: Vec<Piece<'_>> = word.atoms.iter().map(piece).collect();
        let _ = self.fields(&pieces, true);
        let assigns = shown.contains('=') || shown.contains("++") || shown.contains("--");
        for name in shown.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let Some(Value::One(arg)) = self.state.vars.get(name) else {
                continue;
            };
            // A value such as `a[$(command)]` is run when arithmetic reads it.
            if arg.text.contains("$(") || arg.text.contains('`') {
                self.opaque_as(
                    Hazard::CommandWord,
                    format!("arithmetic evaluates the code in variable {name}"),
                );
            }
            if assigns {
                let number = Arg::unknown(format!("${name}"), &format!("variable {name} is computed"));
                self.set(name, Value::One(number));
            }
        }
    }

    fn variable(
        &mut self,
        sub: &Sub,
        name: &str,
        index: Option<&Word>,
        length: bool,
        indirect: bool,
        operation: Option<&(String, Word)>,
    ) -> Given {
        let index = index.map(|word| self.expand_one(word));
        let operand = operation.map(|(operator, word)| (operator.as_str(), self.expand_one(word)));
        if indirect {
            self.push(Action::new(Verb::Read, Resource::new("env", "*")));
            return Given::Unknown(format!("`{}` is an indirect reference", excerpt(&sub.raw)));
        }
        if operand.as_ref().is_some_and(|(op, word)| *op == "@" && word.text == "P") {
            self.opaque_as(
                Hazard::CommandWord,
                format!("`{}` runs the commands in the value", excerpt(&sub.raw)),
            );
        }
        let value = self.lookup(name, index.as_ref());
        if length {
            return Given::Unknown("a length".to_owned());
        }
        let Some((operator, word)) = operand else {
            return value;
        };
        let known = match &value {
            Given::Text(text) => Some(text.clone()),
            _ => None,
        };
        match (operator, known) {
            (":-" | ":=" | ":?" | "-" | "=" | "?", Some(text))
                if !(text.is_empty() && operator.starts_with(':')) =>
            {
                Given::Text(text)
            }
            (":-" | "-", Some(_)) if word.is_known() => Given::Text(word.text),
            (":+" | "+", Some(text)) if word.is_known() && !(text.is_empty() && operator == ":+") => {
                Given::Text(word.text)
            }
            ("#" | "##", Some(text)) if plain(&word) => {
                Given::Text(text.strip_prefix(word.text.as_str()).unwrap_or(&text).to_owned())
            }
            ("%" | "%%", Some(text)) if plain(&word) => {
                Given::Text(text.strip_suffix(word.text.as_str()).unwrap_or(&text).to_owned())
            }
            ("^^", Some(text)) if word.text.is_empty() => Given::Text(text.to_uppercase()),
            (",,", Some(text)) if word.text.is_empty() => Given::Text(text.to_lowercase()),
            (":=" | "=", _) => {
                let reason = format!("variable {name} may be set by `{}`", excerpt(&sub.raw));
                self.set(name, Value::One(Arg::unknown(sub.raw.clone(), &reason)));
                Given::Unknown(reason)
            }
            _ => Given::Unknown(format!("`{}` is not known", excerpt(&sub.raw))),
        }
    }

    /// What a variable holds. A name that nothing here has set is read from the environment.
    fn lookup(&mut self, name: &str, index: Option<&Arg>) -> Given {
        match name {
            "@" | "*" => {
                return match &self.state.positional {
                    Some(list) => Given::List(list.clone()),
                    None => Given::Unknown("the arguments are not known".to_owned()),
                };
            }
            "?" | "$" | "#" | "!" | "-" | "0" | "RANDOM" | "SECONDS" | "LINENO" | "EPOCHSECONDS"
            | "BASHPID" | "_" | "REPLY" | "PIPESTATUS" | "BASH_SOURCE" | "FUNCNAME" | "OPTARG" | "OPTIND"
            | "BASH_REMATCH"
                if !self.state.vars.contains_key(name) =>
            {
                return Given::Unknown(format!("${name} is only known when it runs"));
            }
            "IFS" if !self.state.vars.contains_key("IFS") => return Given::Text(" \t\n".to_owned()),
            "PWD" if !self.state.vars.contains_key("PWD") => {
                return match &self.state.cwd {
                    Ok(cwd) => Given::Text(cwd.clone()),
                    Err(why) => Given::Unknown(why.clone()),
                };
            }
            "OLDPWD" if !self.state.vars.contains_key("OLDPWD") => {
                return match &self.state.old_cwd {
                    Some(old) => Given::Text(old.clone()),
                    None => Given::Unknown("OLDPWD is not known".to_owned()),
                };
            }
            "HOME" if !self.state.vars.contains_key("HOME") => return Given::One(self.home()).settled(),
            "" => return Given::Unknown("a substitution that is not understood".to_owned()),
            _ => {}
        }
        if let Some(position) =
            name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse::<usize>().ok()).flatten()
        {
            return match &self.state.positional {
                Some(list) if position > 0 => {
                    Given::One(list.get(position - 1).cloned().unwrap_or_default()).settled()
                }
                _ => Given::Unknown(format!("argument {position} is not known")),
            };
        }
        if let Some(why) = &self.state.tainted
            && self.state.vars.contains_key(name)
        {
            return Given::Unknown(format!("variable {name} may be changed by {why}"));
        }
        match (self.state.vars.get(name), index) {
            (Some(Value::One(arg)), None) => Given::One(arg.clone()).settled(),
            (Some(Value::List(list)), Some(index))
                if matches!(index.text.as_str(), "@" | "*") && index.is_known() =>
            {
                Given::List(list.clone())
            }
            (Some(Value::List(list)), index) => {
                let position =
                    index.map_or(Some(0), |i| if i.is_known() { i.text.parse::<usize>().ok() } else { None });
                match position.and_then(|p| list.get(p)) {
                    Some(arg) => Given::One(arg.clone()).settled(),
                    None => Given::Unknown(format!("an element of {name} is not known")),
                }
            }
            (Some(Value::One(_)), Some(_)) => Given::Unknown(format!("an element of {name} is not known")),
            (None, _) => {
                self.push(Action::new(Verb::Read, Resource::new("env", name)));
                Given::Unknown(format!("variable {name} {NOT_SET}"))
            }
        }
    }
}

impl Given {
    /// A single argument that is known to the letter is plain text.
    fn settled(self) -> Given {
        match self {
            Given::One(arg) if arg.is_known() && arg.source.is_none() && !arg.tree => Given::Text(arg.text),
            other => other,
        }
    }
}

/// Whether two words stand side by side, as in a command and never in arithmetic.
pub(super) fn has_adjacent_words(text: &str) -> bool {
    let mut words = text.split_whitespace().peekable();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(word) = words.next() {
        if let Some(next) = words.peek() {
            let name_before = word.ends_with(is_name) || word.ends_with(['\'', '"']);
            let begins = next.starts_with(|c: char| is_name(c) || matches!(c, '/' | '.' | '~' | '\'' | '"'))
                || (next.starts_with('-') && next[1..].starts_with(|c: char| c.is_ascii_alphabetic()));
            if name_before && begins && *next != "/" {
                return true;
            }
        }
    }
    false
}

/// `$HOME` and `$PWD` say where something is, they do not hide what it is.
fn is_place(sub: &Sub) -> bool {
    matches!(&sub.kind, SubKind::Variable { name, operation: None, .. } if matches!(name.as_str(), "HOME" | "PWD"))
}

/// `$$` and the like.
fn is_process_id(sub: &Sub) -> bool {
    matches!(
        &sub.kind,
        SubKind::Variable { name, index: None, length: false, operation: None, .. }
            if matches!(name.as_str(), "$" | "!" | "PPID" | "BASHPID")
    )
}

fn plain(word: &Arg) -> bool {
    word.is_known() && !word.text.contains(['*', '?', '[', '\\'])
}

fn piece(atom: &Atom) -> Piece<'_> {
    match atom {
        Atom::Char(c, quoted) => Piece::Char(*c, *quoted),
        Atom::Quotes => Piece::Quotes,
        Atom::Sub(sub, quoted) => Piece::Sub(sub, *quoted),
    }
}

/// Hangs `next` on `current`.
fn append(current: &mut Arg, next: Arg, quoted: bool) {
    if current.unknown.is_none()
        && let Some(reason) = next.unknown
    {
        current.known_bytes = current.text.len() + next.known_bytes;
        current.unknown = Some(reason);
    }
    if current.unknown.is_some() {
        current.splits |= !quoted || next.splits;
    }
    current.expanded = true;
    current.glob |= next.glob || (!quoted && next.text.contains(['*', '?', '[']));
    current.tree |= next.tree;
    if current.source.is_none() {
        current.source = next.source;
    }
    current.text.push_str(&next.text);
}

/// Every word that the braces in `pieces` give, or nothing if there are too many.
fn braces_expanded<'a>(pieces: &[Piece<'a>]) -> Option<Vec<Vec<Piece<'a>>>> {
    // Which `}` closes which `{`, in one pass.
    let mut closing = vec![0usize; pieces.len()];
    let mut open = Vec::new();
    let mut deepest = 0;
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Char('{', false) => open.push(i),
            Piece::Char('}', false) => {
                if let Some(start) = open.pop() {
                    closing[start] = i;
                    deepest = deepest.max(open.len() + 1);
                }
            }
            _ => {}
        }
    }
    const MAX_BRACE_DEPTH: usize = 16;
    if deepest > MAX_BRACE_DEPTH {
        return None;
    }
    let mut left = MAX_BRACE_ATOMS;
    brace_range(pieces, &closing, 0, pieces.len(), &mut left)
}

fn brace_range<'a>(
    pieces: &[Piece<'a>],
    closing: &[usize],
    from: usize,
    to: usize,
    left: &mut usize,
) -> Option<Vec<Vec<Piece<'a>>>> {
    let mut words: Vec<Vec<Piece<'a>>> = vec![Vec::new()];
    let mut i = from;
    while i < to {
        let alternatives = match pieces[i] {
            Piece::Char('{', false) if closing[i] > i && closing[i] < to => {
                brace_alternatives(pieces, closing, i, left)?
            }
            _ => None,
        };
        match alternatives {
            Some(alternatives) => {
                let mut next = Vec::with_capacity(words.len() * alternatives.len());
                for word in &words {
                    for alternative in &alternatives {
                        *left = left.checked_sub(word.len() + alternative.len() + 1)?;
                        let mut longer = word.clone();
                        longer.extend_from_slice(alternative);
                        next.push(longer);
                    }
                }
                if next.len() > MAX_FIELDS {
                    return None;
                }
                words = next;
                i = closing[i] + 1;
            }
            None => {
                *left = left.checked_sub(words.len())?;
                for word in &mut words {
                    word.push(pieces[i]);
                }
                i += 1;
            }
        }
    }
    Some(words)
}

/// The alternatives of the braces at `open`: `None` inside if they are plain text.
#[allow(clippy::type_complexity)]
fn brace_alternatives<'a>(
    pieces: &[Piece<'a>],
    closing: &[usize],
    open: usize,
    left: &mut usize,
) -> Option<Option<Vec<Vec<Piece<'a>>>>> {
    let close = closing[open];
    let mut commas = Vec::new();
    let mut i = open + 1;
    while i < close {
        match pieces[i] {
            Piece::Char('{', false) if closing[i] > i => i = closing[i],
            Piece::Char(',', false) => commas.push(i),
            _ => {}
        }
        i += 1;
    }
    *left = left.checked_sub(close - open)?;
    if commas.is_empty() {
        return sequence(&pieces[open + 1..close]);
    }
    let mut alternatives = Vec::new();
    let mut start = open + 1;
    commas.push(close);
    for comma in commas {
        alternatives.extend(brace_range(pieces, closing, start, comma, left)?);
        start = comma + 1;
    }
    Some(Some(alternatives))
}

/// `1..5`, `a..e` or `01..10..3`. The outer absence says that there are too many.
#[allow(clippy::type_complexity)]
fn sequence<'a>(inside: &[Piece<'a>]) -> Option<Option<Vec<Vec<Piece<'a>>>>> {
    let text: Option<String> =
        inside.iter().map(|p| if let Piece::Char(c, false) = p { Some(*c) } else { None }).collect();
    let Some(text) = text else {
        return Some(None);
    };
    let mut parts = text.split("..");
    let (Some(first), Some(last)) = (parts.next(), parts.next()) else {
        return Some(None);
    };
    let step =
        parts.next().map_or(Ok(1), str::parse::<i64>).unwrap_or(1).unsigned_abs().clamp(1, 1 << 40) as i64;
    let chars = |s: &str| {
        let mut c = s.chars();
        c.next().filter(|c| c.is_ascii_alphabetic() && s.len() == 1)
    };
    let (from, to, letters, width) =
        match (first.parse::<i64>(), last.parse::<i64>(), chars(first), chars(last)) {
            (Ok(a), Ok(b), ..) => {
                let padded = |s: &str| s.trim_start_matches('-').starts_with('0') && s.len() > 1;
                let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
                (a, b, false, width)
            }
            (.., Some(a), Some(b)) => (i64::from(u32::from(a)), i64::from(u32::from(b)), true, 0),
            _ => return Some(None),
        };
    let steps = from.abs_diff(to) / step.unsigned_abs();
    if steps >= MAX_FIELDS as u64 {
        return None;
    }
    let sign = if from <= to { 1 } else { -1 };
    let mut words = Vec::new();
    for n in 0..=steps as i64 {
        let value = from + sign * n * step;
        let word = if letters {
            u32::try_from(value).ok().and_then(char::from_u32).map_or_else(String::new, String::from)
        } else {
            format!("{value:0width$}")
        };
        words.push(word.chars().map(|c| Piece::Char(c, false)).collect());
    }
    Some(Some(words))
}
