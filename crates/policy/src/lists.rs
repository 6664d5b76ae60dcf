//! The lists of a policy set, `lists.toml`: which folders, branches, hosts, servers and files the
//! attributes of a resource are told by. The lists of all sources of a set are united.
//!
//! Patterns: `*` stands for anything within a segment, `**` for anything, `~` for the user's home
//! folder. A pattern of files that begins neither with `/` nor with `~` holds in every folder.

use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// The file as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListFile {
    /// Folders that count as workspace beside those of the session.
    workspace: Vec<String>,
    /// Folders for temporary files.
    scratch: Vec<String>,
    /// Branches that other people build on.
    protected_branches: Vec<String>,
    /// Hosts that may be spoken to: `github.com`, `*.example.com`, `db:5432`, `s3://bucket`.
    allowed_hosts: Vec<String>,
    /// MCP servers (`github`) or tools of them (`github/get_*`).
    allowed_mcp: Vec<String>,
    /// Files with secrets in them.
    secrets: Vec<String>,
    /// Programs that give other rights than the user's own.
    privileged: Vec<String>,
    /// Classes of data: a pattern of files, or with a kind before it (`db:*/payments/*`).
    classes: BTreeMap<String, Vec<String>>,
}

/// The lists, made ready for matching.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub workspace: PathList,
    pub scratch: PathList,
    pub protected_branches: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub allowed_mcp: Vec<String>,
    pub secrets: PathList,
    pub privileged: HashSet<String>,
    pub classes: Vec<Class>,
}

/// A class of data.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub name: String,
    pub paths: PathList,
    /// Patterns of resources that are no files: kind and folded name.
    pub others: Vec<(String, String)>,
}

/// The kinds of resources that a pattern of a class may name.
const KINDS: [&str; 14] = [
    "url", "host", "proc", "git", "db", "mcp", "agent", "secret", "env", "memory", "tool", "pkg", "file", "*",
];

impl Lists {
    /// Unites the lists of several files.
    pub fn unite(files: &[ListFile]) -> Lists {
        let mut lists = Lists::default();
        let mut classes: BTreeMap<&str, Class> = BTreeMap::new();
        for file in files {
            lists.workspace.add(&file.workspace);
            lists.scratch.add(&file.scratch);
            lists.secrets.add(&file.secrets);
            // Branches, hosts and servers are compared folded: a look-alike of a protected
            // branch is protected; an allowed name has no look-alikes (see `resource`).
            lists.protected_branches.extend(file.protected_branches.iter().map(|branch| fold(branch)));
            lists.allowed_hosts.extend(file.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()));
            lists.allowed_mcp.extend(file.allowed_mcp.iter().cloned());
            lists.privileged.extend(file.privileged.iter().map(|program| fold(program)));
            for (name, patterns) in &file.classes {
                let class = classes.entry(name).or_default();
                class.name.clone_from(name);
                for pattern in patterns {
                    match pattern.split_once(':').filter(|(kind, _)| KINDS.contains(kind)) {
                        Some(("file", path)) => class.paths.add([path]),
                        Some((kind, rest)) => class.others.push((kind.to_owned(), fold(rest))),
                        None => class.paths.add([pattern]),
                    }
                }
            }
        }
        lists.classes = classes.into_values().collect();
        lists
    }
}

/// One segment of a pattern of paths.
#[derive(Debug, PartialEq)]
enum Segment {
    /// `**`: any number of segments.
    Any,
    /// This very text.
    Text(String),
    /// Text with stars.
    Glob(String),
}

/// Patterns of paths. What most patterns look like is found by a look-up, so that a long list
/// costs no more than a short one.
#[derive(Debug, Default)]
pub(crate) struct PathList {
    /// `**/name`: the last segment.
    last: HashSet<String>,
    /// `**/name/**`: any segment.
    within: HashSet<String>,
    /// The rest; with whether the home folder stands before it.
    others: Vec<(bool, Vec<Segment>)>,
}

impl PathList {
    fn add(&mut self, patterns: impl IntoIterator<Item = impl AsRef<str>>) {
        for pattern in patterns {
            let pattern = fold(pattern.as_ref());
            let home = pattern == "~" || pattern.starts_with("~/");
            let mut segments: Vec<Segment> = Vec::new();
            if !home && !pattern.starts_with('/') {
                segments.push(Segment::Any);
            }
            for part in pattern.trim_start_matches('~').split('/').filter(|part| !part.is_empty()) {
                match part {
                    "**" if segments.last() == Some(&Segment::Any) => {}
                    "**" => segments.push(Segment::Any),
                    part if part.contains(['*', '?']) => segments.push(Segment::Glob(part.to_owned())),
                    part => segments.push(Segment::Text(part.to_owned())),
                }
            }
            match &segments[..] {
                [Segment::Any, Segment::Text(name)] if !home => {
                    self.last.insert(name.clone());
                }
                [Segment::Any, Segment::Text(name), Segment::Any] if !home => {
                    self.within.insert(name.clone());
                }
                _ => self.others.push((home, segments)),
            }
        }
    }

    /// Whether a path is in the list; `below`, if everything below an entry is, as well.
    pub fn has(&self, path: &Path<'_>, below: bool) -> bool {
        let segments = &path.segments[..];
        let seen = if below { segments } else { &segments[segments.len().saturating_sub(1)..] };
        seen.iter().any(|name| self.last.contains(*name))
            || segments.iter().any(|name| self.within.contains(*name))
            || path.is_glob && path.might_be(&self.last, &self.within)
            || self.others.iter().any(|(home, pattern)| {
                let rest = if *home { path.below_home() } else { Some(segments) };
                rest.is_some_and(|rest| is_match(pattern, rest, below, path.is_glob))
            })
    }
}

/// A path to be looked up: its segments, folded.
pub(crate) struct Path<'p> {
    pub segments: Vec<&'p str>,
    /// Segments of the home folder; none, if it is not known.
    pub home: &'p [String],
    /// Whether a segment has a star in it: an argument of a command may be a glob.
    is_glob: bool,
}

impl<'p> Path<'p> {
    /// `folded` is a folded, clean path.
    pub fn new(folded: &'p str, home: &'p [String]) -> Path<'p> {
        let segments = folded.split('/').filter(|part| !part.is_empty()).collect();
        Path { segments, home, is_glob: folded.contains(['*', '?', '[', '{']) }
    }

    fn below_home(&self) -> Option<&[&'p str]> {
        let (home, segments) = (self.home, &self.segments[..]);
        let is_below =
            !home.is_empty() && segments.len() >= home.len() && home.iter().eq(&segments[..home.len()]);
        is_below.then(|| &segments[home.len()..])
    }

    /// Whether a glob in the path might stand for one of the names.
    fn might_be(&self, last: &HashSet<String>, within: &HashSet<String>) -> bool {
        let end = self.segments.len().saturating_sub(1);
        self.segments.iter().enumerate().filter(|(_, segment)| is_telling_glob(segment)).any(
            |(at, segment)| {
                let names = within.iter().chain(last.iter().filter(|_| at == end));
                names.into_iter().any(|name| glob_matches(segment, name))
            },
        )
    }
}

/// Whether a glob says enough of a name to be taken for it: `.e*` and `id_*` do, `*` and `*.rs`
/// are about everything and mean no file in particular.
fn is_telling_glob(segment: &str) -> bool {
    let literals = simple(segment).iter().filter(|c| !matches!(c, '*' | '?')).count();
    segment.contains(['*', '?', '[', '{']) && (literals >= 2 || segment.starts_with('.'))
}

/// Whether segments match a pattern. `open`: a segment of the text may be a glob itself.
fn is_match(pattern: &[Segment], text: &[&str], below: bool, open: bool) -> bool {
    // One place to come back to is enough, as every `**` matches as little as it can.
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (None, Some(_)) if below => return true,
            (Some(Segment::Any), _) => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            (Some(Segment::Text(name)), Some(part)) => {
                name == part || open && is_telling_glob(part) && glob_matches(part, name)
            }
            (Some(Segment::Glob(glob)), Some(part)) => glob_matches(glob, part),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if step {
            (p, t) = (p + 1, t + 1);
        } else {
            match back {
                Some((at, from)) if from < text.len() => {
                    back = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
}

/// Whether `text` is what `pattern` stands for, without regard to segments: `*` and `?`.
/// Brackets and braces, which only occur in globs of commands, stand for anything.
pub(crate) fn glob_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = simple(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some('?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((at, from)) => {
                    back = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn simple(pattern: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let end = match c {
            '[' => ']',
            '{' => '}',
            c => {
                out.push(c);
                continue;
            }
        };
        // One of a class, one of several texts: a star is the wider of the two.
        if chars.clone().any(|c| c == end) {
            chars.by_ref().take_while(|c| *c != end).for_each(drop);
            out.push('*');
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a name of segments is what a pattern stands for. `*` ends at a slash, `**` does not.
/// A segment of the name that is a star is not known, and may be what the pattern says.
pub(crate) fn name_matches(pattern: &str, name: &str) -> bool {
    let segments: Vec<Segment> = pattern
        .split('/')
        .map(|part| match part {
            "**" => Segment::Any,
            part if part.contains(['*', '?']) => Segment::Glob(part.to_owned()),
            part => Segment::Text(part.to_owned()),
        })
        .collect();
    let text: Vec<&str> = name.split('/').collect();
    if is_match(&segments, &text, false, true) {
        return true;
    }
    let is_open = text.contains(&"*") && text.len() == segments.len();
    is_open
        && segments.iter().zip(&text).all(|(segment, part)| match segment {
            Segment::Any => true,
            _ if *part == "*" => true,
            Segment::Text(name) => name == part,
            Segment::Glob(glob) => glob_matches(glob, part),
        })
}

/// The text as a reader might take it: lower case, without what can't be seen, letters of other
/// scripts as the Latin ones that they look like. Only for comparisons in which a look-alike has
/// to count; what is allowed is compared as it is.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().filter(|c| !is_invisible(*c)).flat_map(|c| latin(c).to_lowercase()).collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
        // Accents that are put over the letter before.
        | '\u{300}'..='\u{33f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// The Latin letter or ASCII sign that a character looks like.
fn latin(c: char) -> char {
    let shift = |from: u32, to: char| char::from_u32(c as u32 - from + to as u32).unwrap_or(c);
    match c {
        // Full-width forms.
        '\u{ff01}'..='\u{ff5e}' => shift(0xff01, '!'),
        '\u{3000}' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => ' ',
        // Letters in circles, and the mathematical alphabets: 13 times A to Z, a to z.
        '\u{24b6}'..='\u{24cf}' => shift(0x24b6, 'a'),
        '\u{24d0}'..='\u{24e9}' => shift(0x24d0, 'a'),
        '\u{1d400}'..='\u{1d6a3}' => {
            let letter = (c as u32 - 0x1d400) % 52;
            char::from_u32(u32::from(b'a') + letter % 26).unwrap_or(c)
        }
        '\u{1d7ce}'..='\u{1d7ff}' => char::from_u32(u32::from(b'0') + (c as u32 - 0x1d7ce) % 10).unwrap_or(c),
        // Dots, slashes, dashes, colons.
        '․' | '。' | '｡' | '﹒' | '٠' | '۰' | 'ꓸ' => '.',
        '⁄' | '∕' | '╱' | '⧸' => '/',
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '﹣' | 'ー' => '-',
        '﹍' | '﹎' | '﹏' => '_',
        '׃' | '꞉' | '∶' => ':',
        // Cyrillic, Greek, Armenian and others.
        'а' | 'А' | 'α' | 'Α' | 'ɑ' | 'à' | 'á' | 'â' | 'ä' | 'ã' | 'å' => 'a',
        'В' | 'Β' | 'Ь' | 'ƅ' => 'b',
        'с' | 'С' | 'ϲ' | 'Ϲ' | 'ⅽ' | 'Ⅽ' | 'ç' => 'c',
        'ԁ' | 'Ԁ' | 'ⅾ' | 'Ⅾ' => 'd',
        'е' | 'Е' | 'Ε' | 'ε' | 'ҽ' | '℮' | 'è' | 'é' | 'ê' | 'ë' | 'ё' | 'Ё' => 'e',
        'ɡ' | 'ց' => 'g',
        'һ' | 'Һ' | 'Н' | 'Η' | 'հ' => 'h',
        'і' | 'І' | 'ι' | 'Ι' | 'ı' | 'İ' | 'ⅰ' | 'Ⅰ' | 'ӏ' | 'Ӏ' | 'ì' | 'í' | 'î' | 'ï' | 'ї' => {
            'i'
        }
        'ј' | 'Ј' | 'ϳ' => 'j',
        'к' | 'К' | 'κ' | 'Κ' | 'K' => 'k',
        'ⅼ' | 'Ⅼ' | 'ǀ' => 'l',
        'м' | 'М' | 'Μ' | 'ⅿ' | 'Ⅿ' => 'm',
        'ո' | 'Ν' | 'ñ' => 'n',
        'о' | 'О' | 'ο' | 'Ο' | 'օ' | 'Օ' | 'σ' | 'ò' | 'ó' | 'ô' | 'ö' | 'õ' | 'ø' => 'o',
        'р' | 'Р' | 'ρ' | 'Ρ' => 'p',
        'ԛ' | 'Ԛ' => 'q',
        'г' => 'r',
        'ѕ' | 'Ѕ' | 'ſ' | 'ꜱ' => 's',
        'т' | 'Т' | 'τ' | 'Τ' => 't',
        'υ' | 'ս' | 'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ѵ' | 'Ѵ' | 'ν' | 'ⅴ' | 'Ⅴ' => 'v',
        'ԝ' | 'Ԝ' | 'ѡ' => 'w',
        'х' | 'Х' | 'χ' | 'Χ' | 'ⅹ' | 'Ⅹ' => 'x',
        'у' | 'У' | 'Υ' | 'γ' | 'ý' | 'ÿ' => 'y',
        'Ζ' => 'z',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> PathList {
        let mut list = PathList::default();
        list.add(patterns);
        list
    }

    #[test]
    fn patterns_hold_by_whole_segments() {
        let home: Vec<String> = vec!["home".into(), "dev".into()];
        for (pattern, path, want) in [
            (".env", "/w/.env", true),
            ("**/.env", "/.env", true),
            ("**/.env", "/w/.env.example", false),
            ("**/.env", "/w/.env/x", false),
            ("**/.ssh/**", "/home/dev/.ssh/id_rsa", true),
            ("**/.ssh/**", "/home/dev/.ssh", true),
            ("~/.aws/**", "/home/dev/.aws/credentials", true),
            ("~/.aws/**", "/home/other/.aws/credentials", false),
            ("~", "/home/dev", true),
            ("**/*.pem", "/w/a/key.pem", true),
            ("**/*.pem", "/w/a/key.PEM", true),
            ("/srv/*/keys", "/srv/a/b/keys", false),
            ("/srv/**/keys", "/srv/a/b/keys", true),
            ("/srv/**/a/**/b", "/srv/a/x/a/y/b", true),
            // A glob of a command that says enough.
            ("**/.env", "/w/.en?", true),
            ("**/.env", "/w/.e*", true),
            ("**/id_rsa", "/w/id_*", true),
            ("**/id_rsa", "/w/[token]", false),
            ("**/.ssh/**", "/home/dev/.ss*/id", true),
            ("~/.aws/credentials", "/home/dev/.aws/cred*", true),
            ("**/.env", "/w/*", false),
            ("**/id_rsa", "/w/*.rs", false),
        ] {
            let folded = fold(path);
            assert_eq!(list(&[pattern]).has(&Path::new(&folded, &home), false), want, "{pattern} {path}");
        }
    }

    #[test]
    fn look_alikes_fold_to_what_they_look_like() {
        for (text, want) in [
            (".ＥＮＶ", ".env"),
            (".e\u{200b}nv", ".env"),
            (".еnv", ".env"),
            ("．env", ".env"),
            ("𝐢𝐝_𝓻𝕤𝖺", "id_rsa"),
            ("café", "cafe"),
            ("日本", "日本"),
        ] {
            assert_eq!(fold(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_name_may_be_what_a_pattern_says() {
        for (pattern, name, want) in [
            ("*/payments/*", "postgres/payments/cards", true),
            ("postgres/*/cards", "postgres/app/*", true),
            ("postgres/*/cards", "postgres/app/users", false),
            ("github/get_*", "github/get_issue", true),
            ("**", "a/b/c", true),
        ] {
            assert_eq!(name_matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
