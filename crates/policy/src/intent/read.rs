//! Reads a prompt: sentences, clauses, what each asks for or excludes, and on what.

mod rules;

use super::object::{folder, group, host, is_branch_name, is_path, is_route, mail, path};
use super::text::{ITEM, Kind, Token, own_words, tokens};
use super::words::{
    self, AFTER_NOUN, Ask, COMPOUND, COMPOUNDING, FOLDERS, GO_ON, NOUNY, PLAIN, QUESTION, REFERENCE,
    STARTERS, SUBORDINATE, TO_HEADS, TOOLS, WRONG,
};
use super::{DECLARED, DECLARED_ONLY, MAX_RULES, Place, summary};
use fdr_record::{Intent, IntentSource, ScopeRule, Verb};

/// Reads a prompt. The same text in the same place gives the same intent; any text gives one.
pub fn derive(text: &str, place: &Place<'_>) -> Intent {
    let text = own_words(text);
    let tokens = tokens(&text);
    let mut reader = Reader {
        text: &text,
        place,
        allow: Vec::new(),
        exclude: Vec::new(),
        closed: false,
        mentions: Vec::new(),
        code: None,
        barred_list: false,
    };
    let mut asks = None;
    let mut wrong = None;
    let mut words = 0;
    let mut plain = true;
    let mut item = false;
    for sentence in tokens.split_inclusive(|token| token.kind == Kind::End) {
        let is_item = std::mem::replace(&mut item, sentence.last().is_some_and(|t| t.low == ITEM));
        words += sentence.iter().filter(|t| t.kind != Kind::Comma && t.kind != Kind::End).count();
        plain &= sentence.iter().all(|t| t.kind != Kind::Code && (t.kind != Kind::Word || GO_ON.has(&t.low)));
        if is_question(sentence) {
            asks = asks.or(Some(excerpt(&text, sentence)));
            reader.mention_all(sentence);
            continue;
        }
        if starts_like_a_question(sentence) {
            asks = asks.or(Some(excerpt(&text, sentence)));
        }
        if wrong.is_none() && is_report(sentence) {
            wrong = Some(excerpt(&text, sentence));
        }
        reader.sentence(sentence, is_item);
    }
    if plain {
        reader.allow.clear();
    }
    // "Update the docs and don't touch the code": that is nothing but the docs.
    if let Some(words) = reader.code.take() {
        let all = reader.place.all();
        let named =
            reader.allow.iter().any(|rule| rule.actions.contains(&Verb::Write) && rule.resource != all);
        if named {
            reader.closed = true;
        } else {
            reader.rule(false, TOUCHES, all, &words);
        }
    }
    let nothing_said = reader.allow.is_empty();
    if nothing_said && !plain {
        if let Some(words) = &asks {
            reader.rule(true, &[Verb::Read, Verb::Search], reader.place.all(), words);
        } else if let Some(words) = &wrong {
            let again = words
                .to_lowercase()
                .split_whitespace()
                .any(|w| matches!(w, "still" | "again" | "immer" | "wieder"));
            if !again {
                let places = reader.mentioned_or_all();
                for file in places {
                    reader.rule(true, CHANGES, file, words);
                }
            }
        }
    }
    let goes_on = reader.allow.is_empty()
        && (plain && words > 0
            || asks.is_none() && (!reader.exclude.is_empty() || reader.closed || words <= MAX_ANSWER));
    let seen = std::mem::take(&mut reader.mentions);
    for mention in seen {
        // Within the workspace anything may be read.
        let words = mention.words.clone();
        match mention.what {
            What::Files(files) => {
                for file in files {
                    let named = reader.allow.iter().any(|rule| rule.resource == file);
                    if !named && (!reader.inside(&file) || super::check::is_secret(&file)) {
                        reader.rule(true, LOOKS, file, &words);
                    }
                }
            }
            What::Host(name) => {
                let resource = format!("host:{name}");
                if !reader.allow.iter().any(|rule| rule.resource == resource) {
                    reader.rule(true, &[Verb::Network], resource, &words);
                }
            }
            _ => {}
        }
    }
    let mut intent = Intent {
        source: IntentSource::Derived,
        allow: reader.allow,
        exclude: reader.exclude,
        closed: reader.closed,
        goes_on,
        expires: None,
        summary: String::new(),
    };
    intent.summary = summary(&intent);
    intent
}

/// The most words that an answer has, which asks for nothing by itself: "the second one".
const MAX_ANSWER: usize = 12;

const CHANGES: &[Verb] = &[Verb::Write, Verb::Create, Verb::Move];
const TOUCHES: &[Verb] = &[Verb::Write, Verb::Create, Verb::Delete, Verb::Move, Verb::Configure];
const LOOKS: &[Verb] = &[Verb::Read, Verb::Search];

fn low<'t>(sentence: &'t [Token<'_>], at: usize) -> &'t str {
    sentence.get(at).filter(|t| t.kind == Kind::Word).map_or("", |t| t.low.as_str())
}

fn excerpt(text: &str, tokens: &[Token<'_>]) -> String {
    let words = tokens.iter().filter(|t| t.kind != Kind::End);
    let (Some(first), Some(last)) = (words.clone().next(), words.clone().next_back()) else {
        return String::new();
    };
    cut(&text[first.start..last.end])
}

/// How many tokens before or behind a word are looked at: a longer reach would make the time grow
/// with the square of a sentence's length.
const REACH: usize = 40;

/// The most characters that a rule keeps of the words it was read from.
const MAX_WORDS: usize = 100;

fn cut(text: &str) -> String {
    // Each word has a character at least.
    let line = text.split_whitespace().take(MAX_WORDS + 1).collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches([',', ';', ':', '(', ' ']);
    match line.char_indices().nth(MAX_WORDS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

fn first_word(sentence: &[Token<'_>]) -> usize {
    let filler = |t: &Token<'_>| {
        t.kind == Kind::Comma
            || matches!(
                t.low.as_str(),
                "and"
                    | "so"
                    | "but"
                    | "hey"
                    | "hi"
                    | "ok"
                    | "okay"
                    | "und"
                    | "also"
                    | "well"
                    | "hm"
                    | "hmm"
                    | "wait"
                    | "then"
                    | "claude"
                    | "aber"
            )
    };
    sentence.iter().position(|t| !filler(t)).unwrap_or(0)
}

fn is_polite(sentence: &[Token<'_>]) -> bool {
    let pair = |at: usize| (low(sentence, at), low(sentence, at + 1));
    (0..sentence.len()).any(|at| match pair(at) {
        (
            "can" | "could" | "would" | "will" | "kannst" | "könntest" | "würdest" | "könnten" | "können"
            | "magst",
            "you" | "we" | "du" | "sie" | "wir" | "ihr" | "bitte",
        ) => true,
        ("please" | "pls" | "bitte" | "let's" | "lets", _) => true,
        ("how" | "what", "about") => true,
        ("why", "not" | "don't") => {
            matches!(low(sentence, at + 2), "you" | "we") || low(sentence, at + 1) == "not"
        }
        _ => false,
    })
}

/// Whether a sentence asks something and not for something.
fn is_question(sentence: &[Token<'_>]) -> bool {
    let asked = sentence.last().is_some_and(|t| t.kind == Kind::End && t.raw == "?");
    // "Push?"
    if asked && sentence.len() <= 2 {
        return true;
    }
    asked && QUESTION.has(low(sentence, first_word(sentence))) && !is_polite(sentence)
}

fn starts_like_a_question(sentence: &[Token<'_>]) -> bool {
    let first = low(sentence, first_word(sentence));
    let asked = sentence.last().is_some_and(|t| t.kind == Kind::End && t.raw == "?");
    let open = QUESTION.has(first)
        && !matches!(
            first,
            "when"
                | "where"
                | "can"
                | "could"
                | "would"
                | "will"
                | "should"
                | "has"
                | "have"
                | "any"
                | "soll"
                | "sollte"
                | "do"
        );
    (open || asked) && !is_polite(sentence)
}

/// Whether a sentence tells of something that is wrong.
fn is_report(sentence: &[Token<'_>]) -> bool {
    (0..sentence.len())
        .any(|at| (1..=3).any(|n| sentence.get(at..at + n).is_some_and(|w| WRONG.has(&joined(w)))))
}

fn joined(words: &[Token<'_>]) -> String {
    words.iter().map(|t| t.low.as_str()).collect::<Vec<_>>().join(" ")
}

/// What a word or two of a clause name.
#[derive(Clone, Debug, PartialEq)]
enum What {
    /// Patterns of one path, or of one kind of files.
    Files(Vec<String>),
    Host(String),
    Mail(String),
    Branch(String),
    Remote(String),
    Table(String),
    /// Text between backticks that is no path.
    Code(String),
    /// A noun that may be a package, a service, a target.
    Word(String),
    /// It, this, that.
    Pronoun,
    /// Anything, everything.
    Universal,
}

#[derive(Clone, Debug)]
struct Object {
    what: What,
    /// Whether it stands behind "in", "from", "of".
    located: bool,
    /// Whether it is only referred to: "like", "see", "as described in".
    referred: bool,
}

#[derive(Clone, Debug)]
struct Mention {
    what: What,
    words: String,
}

#[derive(Clone, Debug, Default)]
struct Clause {
    ask: Option<Ask>,
    negative: bool,
    /// "anything except": what is named here is what may be done.
    inverted: bool,
    start: usize,
    end: usize,
    objects: Vec<Object>,
    /// The words themselves, in small letters.
    lows: Vec<String>,
    /// How many of them lead up to the verb, with it.
    lead: usize,
    /// What stands in clauses that depend on this one: "anything that needs the network".
    tail: Vec<String>,
    /// A colon follows, and then what is meant by it.
    heads: bool,
}

impl Clause {
    fn has(&self, words: &[&str]) -> bool {
        self.lows.iter().any(|low| words.contains(&low.as_str()))
    }

    fn universal(&self) -> bool {
        self.objects.iter().any(|o| o.what == What::Universal)
    }

    fn files(&self) -> Vec<&Object> {
        self.objects.iter().filter(|o| matches!(o.what, What::Files(_))).collect()
    }
}

struct Reader<'r> {
    text: &'r str,
    place: &'r Place<'r>,
    allow: Vec<ScopeRule>,
    exclude: Vec<ScopeRule>,
    closed: bool,
    mentions: Vec<Mention>,
    /// Whether the items of the list that is read are excluded.
    barred_list: bool,
    /// The words that say that the code as a whole is not to be changed.
    code: Option<String>,
}

/// How a verb stands in a clause.
#[derive(Clone, Copy, PartialEq)]
enum Negation {
    None,
    /// What follows is not to be done.
    Active,
}

impl Reader<'_> {
    fn inside(&self, resource: &str) -> bool {
        super::check::is_inside(resource, self.place)
    }

    fn rule(&mut self, allow: bool, actions: &[Verb], resource: String, words: &str) {
        let words = words.trim_start_matches(DECLARED).trim_start_matches(DECLARED_ONLY).to_owned();
        let rules = if allow { &mut self.allow } else { &mut self.exclude };
        if rules.len() < MAX_RULES && !rules.iter().any(|r| r.resource == resource && r.actions == actions) {
            rules.push(ScopeRule { actions: actions.to_vec(), resource, words });
        }
    }

    fn task(&mut self, allow: bool, name: &str, words: &str) {
        self.rule(allow, &[Verb::Execute], format!("task:{name}"), words);
    }

    /// Files that the prompt has named so far, or the whole workspace.
    fn mentioned_or_all(&self) -> Vec<String> {
        let files: Vec<String> = self
            .mentions
            .iter()
            .filter_map(|m| match &m.what {
                What::Files(files) => Some(files.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        if files.is_empty() { vec![self.place.all()] } else { files }
    }

    fn mention_all(&mut self, sentence: &[Token<'_>]) {
        let words = excerpt(self.text, sentence);
        for at in 0..sentence.len() {
            if let Some((object, _)) = self.object(sentence, at, None) {
                self.mention(&object.what, &words);
            }
        }
    }

    fn mention(&mut self, what: &What, words: &str) {
        let wanted = matches!(what, What::Files(_) | What::Host(_));
        if wanted && self.mentions.len() < MAX_RULES && !self.mentions.iter().any(|m| m.what == *what) {
            self.mentions.push(Mention { what: what.clone(), words: words.to_owned() });
        }
    }

    /// The verb that begins at a token: what it asks for, and how many tokens it has.
    fn verb(&self, sentence: &[Token<'_>], at: usize) -> Option<(Ask, usize)> {
        if sentence.get(at)?.kind != Kind::Word {
            return None;
        }
        // `DELETE /users/7` is a request to a server.
        let method = matches!(sentence[at].raw, "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD");
        if method && sentence.get(at + 1).is_some_and(|t| t.raw.starts_with('/')) {
            return None;
        }
        // "Make sure all tests pass": they have to be run for that.
        if matches!(low(sentence, at), "make" | "ensure") {
            let tests = (at + 1..at + 6).any(|i| low(sentence, i) == "tests")
                && (at + 2..at + 9)
                    .any(|i| matches!(low(sentence, i), "pass" | "green" | "passing" | "work"));
            if tests {
                return Some((Ask::Test, 1 + usize::from(low(sentence, at + 1) == "sure")));
            }
        }
        (1..=4).rev().find_map(|n| {
            let words = sentence.get(at..at + n)?;
            let all = words.iter().all(|t| t.kind == Kind::Word);
            let ask = all.then(|| words::verb(&joined(words))).flatten()?;
            let next = low(sentence, at + n);
            let skip = match (words[0].low.as_str(), next) {
                ("make" | "making", "sure")
                | ("try", "to" | "and" | "again" | "not")
                | ("start", "by" | "with" | "working" | "over")
                | ("get", "started" | "back") => true,
                ("check" | "see", "if") => {
                    low(sentence, at + n + 1) == "you" || low(sentence, at + n + 1) == "we"
                }
                ("look" | "go", "like" | "good" | "fine") => true,
                ("use", "of") | ("work", "in" | "on" | "only") => false,
                _ => false,
            };
            (!skip).then_some((ask, n))
        })
    }

    /// Whether the verb at a token asks for something, by what stands around it.
    fn asks(&self, sentence: &[Token<'_>], segment: usize, at: usize, length: usize) -> bool {
        let word = low(sentence, at);
        let next = low(sentence, at + length);
        let noun = NOUNY.has(word) && AFTER_NOUN.has(next) || COMPOUNDING.has(word) && COMPOUND.has(next);
        let tells = word.ends_with("ing") && matches!(next, "is" | "are" | "was" | "to" | "isn't");
        if length == 1 && noun || tells {
            return false;
        }
        if at == segment {
            return true;
        }
        let before = low(sentence, at - 1);
        if before == "git" && !word.is_empty() {
            return words::verb(word).is_some_and(|ask| {
                matches!(
                    ask,
                    Ask::Commit
                        | Ask::Branch
                        | Ask::Merge
                        | Ask::Rebase
                        | Ask::Pull
                        | Ask::Push
                        | Ask::Revert
                        | Ask::Fetch
                )
            });
        }
        let command = at == segment + 1 || STARTERS.has(low(sentence, at.wrapping_sub(2)));
        if command && TOOLS.has(before) {
            return true;
        }
        if before == "to" || before == "zu" {
            return before == "zu"
                || at - 1 == segment && matches!(low(sentence, at.wrapping_sub(2)), "or" | "nor" | "and")
                || TO_HEADS.has(low(sentence, at.wrapping_sub(2)));
        }
        if matches!(before, "can" | "could" | "would" | "will" | "might" | "may") {
            return matches!(low(sentence, at.wrapping_sub(2)), "you" | "we");
        }
        if before == "we" || before == "du" || before == "sie" || before == "wir" {
            return matches!(
                low(sentence, at.wrapping_sub(2)),
                "can"
                    | "could"
                    | "should"
                    | "would"
                    | "will"
                    | "don't"
                    | "must"
                    | "kannst"
                    | "könntest"
                    | "können"
                    | "könnten"
            );
        }
        if before == "you"
            && matches!(
                low(sentence, at.wrapping_sub(2)),
                "what" | "whatever" | "as" | "if" | "when" | "before"
            )
        {
            return false;
        }
        if STARTERS.has(before) {
            return true;
        }
        if word.ends_with("ing")
            && matches!(before, "by" | "try" | "start" | "mind" | "with" | "without" | "avoid")
        {
            return matches!(before, "by" | "try" | "start" | "mind" | "avoid");
        }
        // German verbs stand at the end of their clause.
        let german = word.ends_with("en") && word != "open" || word.ends_with("ern") || word.ends_with("eln");
        let last = sentence.get(at + length).is_none_or(|t| {
            t.kind != Kind::Word || matches!(t.low.as_str(), "und" | "oder" | "dann" | "aber" | "sondern")
        });
        german && last
    }

    /// What the word at a token names, and how many tokens that takes.
    fn object(&self, sentence: &[Token<'_>], at: usize, ask: Option<Ask>) -> Option<(Object, usize)> {
        let token = sentence.get(at)?;
        if !matches!(token.kind, Kind::Word | Kind::Code) {
            return None;
        }
        let before = if at == 0 { "" } else { low(sentence, at - 1) };
        let next = low(sentence, at + 1);
        let mut back = at;
        while back > 0
            && matches!(
                low(sentence, back - 1),
                "the"
                    | "a"
                    | "our"
                    | "my"
                    | "an"
                    | "das"
                    | "die"
                    | "der"
                    | "den"
                    | "dem"
                    | "file"
                    | "folder"
                    | "directory"
                    | "branch"
                    | "all"
            )
        {
            back -= 1;
        }
        let lead = if back == 0 { "" } else { low(sentence, back - 1) };
        let lead2 = if back < 2 { String::new() } else { format!("{} {}", low(sentence, back - 2), lead) };
        let located = matches!(
            lead,
            "in" | "from"
                | "of"
                | "on"
                | "within"
                | "inside"
                | "under"
                | "at"
                | "into"
                | "through"
                | "across"
                | "for"
                | "aus"
                | "von"
                | "im"
                | "unter"
                | "to"
                | "nach"
        );
        let likened = (back.saturating_sub(6)..back).any(|i| {
            matches!(
                low(sentence, i),
                "like"
                    | "similar"
                    | "described"
                    | "defined"
                    | "specified"
                    | "documented"
                    | "outlined"
                    | "analogous"
                    | "mirroring"
            )
        });
        let referred = likened || !lead.is_empty() && (REFERENCE.has(lead) || REFERENCE.has(&lead2));
        let done = |what: What, count: usize| Some((Object { what, located, referred }, count));
        let raw = token.raw;
        let low_word = token.low.as_str();
        let gitty = matches!(
            ask,
            Some(
                Ask::Push
                    | Ask::Merge
                    | Ask::Rebase
                    | Ask::Pull
                    | Ask::Branch
                    | Ask::PullRequest
                    | Ask::Commit
            )
        );
        // Branches and remotes first: they look like paths.
        if before == "branch"
            || lead == "branch"
            || next == "branch"
                && !PLAIN.has(low_word)
                && !matches!(
                    low_word,
                    "feature" | "separate" | "local" | "remote" | "git" | "your" | "default"
                )
        {
            let name = raw.strip_prefix("origin/").unwrap_or(raw);
            let named = !PLAIN.has(low_word)
                && !matches!(
                    low_word,
                    "called" | "named" | "namens" | "off" | "for" | "is" | "protection" | "name" | "names"
                );
            if named && name.chars().all(|c| c.is_alphanumeric() || "/._-#*".contains(c)) {
                return done(What::Branch(name.to_owned()), 1);
            }
        }
        if matches!(low_word, "called" | "named" | "namens")
            && before == "branch"
            && sentence.get(at + 1).is_some_and(|t| t.kind != Kind::End)
        {
            return done(What::Branch(sentence[at + 1].raw.to_owned()), 2);
        }
        if (gitty || matches!(ask, Some(Ask::Deploy | Ask::Delete | Ask::Fetch)))
            && is_branch_name(low_word)
            && (gitty || low_word.contains('/'))
        {
            if let Some((remote @ ("origin" | "upstream"), name)) = raw.split_once('/') {
                let _ = remote;
                return done(What::Branch(name.to_owned()), 1);
            }
            return done(What::Branch(raw.to_owned()), 1);
        }
        if matches!(low_word, "origin" | "upstream") && (gitty || ask == Some(Ask::Fetch)) {
            return done(What::Remote(raw.to_owned()), 1);
        }
        if raw.contains("://") || raw.starts_with("git@") {
            return host(raw).and_then(|name| done(What::Host(name), 1));
        }
        if let Some(address) = mail(raw) {
            return done(What::Mail(address), 1);
        }
        if matches!(
            next,
            "folder"
                | "directory"
                | "dir"
                | "ordner"
                | "verzeichnis"
                | "folders"
                | "directories"
                | "package"
                | "module"
                | "crate"
        ) && (raw.contains('/')
            || matches!(next, "folder" | "directory" | "dir" | "ordner" | "verzeichnis"))
            && !matches!(
                low_word,
                "new"
                    | "separate"
                    | "empty"
                    | "the"
                    | "a"
                    | "an"
                    | "den"
                    | "der"
                    | "das"
                    | "dem"
                    | "ein"
                    | "einen"
                    | "im"
                    | "in"
                    | "our"
                    | "my"
            )
        {
            return done(What::Files(folder(raw, self.place)), 2);
        }
        if matches!(before, "folder" | "directory" | "ordner" | "verzeichnis")
            && !PLAIN.has(low_word)
            && !raw.contains('.')
            && token.kind == Kind::Code
        {
            return done(What::Files(folder(raw, self.place)), 1);
        }
        if matches!(low_word, "table" | "tables" | "tabelle" | "tabellen")
            || matches!(next, "table" | "tabelle") && !PLAIN.has(low_word)
        {
            let (name, count) = if matches!(next, "table" | "tabelle") {
                (raw, 2)
            } else {
                (sentence.get(at + 1).map_or("", |t| t.raw), 2)
            };
            let good = !name.is_empty()
                && !PLAIN.has(&name.to_lowercase())
                && name.chars().all(|c| c.is_alphanumeric() || "_.".contains(c))
                && words::verb(&name.to_lowercase()).is_none();
            return if good { done(What::Table(format!("db:*/*/{name}")), count) } else { None };
        }
        if matches!(low_word, "database" | "db" | "datenbank") {
            return done(What::Table("db:**".to_owned()), 1);
        }
        if matches!(raw, ".")
            || raw.starts_with('.')
                && !raw.contains('/')
                && matches!(next, "files" | "dateien")
                && raw.len() > 1
        {
            return (raw != ".")
                .then(|| Object {
                    what: What::Files(path(&format!("*{raw}"), self.place)),
                    located,
                    referred,
                })
                .map(|o| (o, 2));
        }
        let route = is_route(raw, self.place)
            && (raw.matches('/').count() == 1
                || raw.contains("/:")
                || matches!(
                    next,
                    "endpoint"
                        | "endpoints"
                        | "route"
                        | "routes"
                        | "page"
                        | "handler"
                        | "path"
                        | "url"
                        | "api"
                )
                || matches!(
                    before,
                    "endpoint" | "route" | "page" | "get" | "post" | "put" | "patch" | "delete" | "url"
                ));
        let code = matches!(
            next,
            "statement" | "statements" | "call" | "calls" | "usage" | "usages" | "method" | "property"
        );
        if is_path(raw)
            && !code
            && !route
            && !(low_word == "/"
                || at == 0
                    && raw.starts_with('/')
                    && !raw[1..].contains('/')
                    && sentence.len() > 1
                    && token.start == 0)
        {
            let files = path(raw, self.place);
            return if files.is_empty() { None } else { done(What::Files(files), 1) };
        }
        if let Some(name) = host(raw) {
            return done(What::Host(name), 1);
        }
        if token.kind == Kind::Code {
            return done(What::Code(raw.to_owned()), 1);
        }
        match low_word {
            "it" | "this" | "that" | "them" | "these" | "those" | "es" | "das" | "sie"
                if !matches!(next, "file" | "folder")
                    && (PLAIN.has(next) || next.is_empty() || low_word == "it" || low_word == "them") =>
            {
                return done(What::Pronoun, 1);
            }
            "anything" | "everything" | "alles" | "nichts" | "nothing" | "etwas" | "irgendetwas"
            | "irgendwas" => return done(What::Universal, 1),
            _ => {}
        }
        if matches!(before, "in" | "inside" | "under" | "within" | "from" | "unter")
            && FOLDERS.has(low_word)
            && token.kind == Kind::Word
        {
            return done(What::Files(folder(raw, self.place)), 1);
        }
        if PLAIN.has(low_word)
            || matches!(
                low_word,
                "branch" | "branches" | "ordner" | "verzeichnis" | "folder" | "directory" | "file" | "datei"
            )
        {
            return None;
        }
        done(What::Word(raw.to_owned()), 1)
    }

    fn sentence(&mut self, sentence: &[Token<'_>], item: bool) {
        let mut clauses: Vec<Clause> = Vec::new();
        let mut pending: Vec<Object> = Vec::new();
        let mut segment = 0;
        let mut negation = Negation::None;
        let mut negation_start = sentence.first().map_or(0, |t| t.start);
        // Below "don't:", each item of the list is excluded.
        let words_in_it = sentence.iter().any(|t| matches!(t.kind, Kind::Word | Kind::Code));
        if words_in_it && !item {
            self.barred_list = false;
        }
        let mut barred = self.barred_list && item;
        if barred {
            negation = Negation::Active;
        }
        let mut subordinate = false;
        // Whether the verbs that "and" adds belong to something that is told, not asked for.
        let mut told = false;
        let mut how_to = false;
        // A clause of this segment takes in what follows.
        let mut open = false;
        // A list of verbs goes on: "don't commit, push or deploy".
        let last_or = sentence
            .iter()
            .rposition(|t| t.kind == Kind::Word && matches!(t.low.as_str(), "or" | "nor" | "oder" | "noch"));
        let mut after_comma = false;
        let mut joined_by_and = false;
        let mut at = 0;
        while at < sentence.len() {
            let token = &sentence[at];
            if token.kind == Kind::End {
                break;
            }
            if token.kind == Kind::Comma {
                if token.raw == ":" && bars(&sentence[segment.max(at.saturating_sub(4))..at]) {
                    barred = true;
                    self.barred_list = true;
                }
                if barred {
                    negation = Negation::Active;
                } else if !(negation == Negation::Active && last_or.is_some_and(|or| or > at)) {
                    negation = Negation::None;
                }
                (subordinate, told, how_to) = (false, false, false);
                if open
                    && token.raw == ":"
                    && let Some(clause) = clauses.last_mut()
                {
                    clause.heads = true;
                }
                (open, after_comma, joined_by_and) = (false, true, false);
                at += 1;
                segment = at;
                continue;
            }
            let word = low(sentence, at);
            let all_but = word == "but"
                && at > segment
                && matches!(low(sentence, at - 1), "everything" | "anything" | "all" | "nothing");
            if !all_but
                && matches!(
                    word,
                    "and"
                        | "or"
                        | "nor"
                        | "but"
                        | "then"
                        | "und"
                        | "oder"
                        | "aber"
                        | "sondern"
                        | "dann"
                        | "noch"
                        | "&"
                        | "+"
                )
            {
                if matches!(word, "but" | "aber" | "sondern" | "then" | "dann") {
                    negation = Negation::None;
                    (told, how_to) = (false, false);
                }
                if matches!(word, "and" | "und" | "&" | "+")
                    && negation == Negation::Active
                    && self.starts_a_request(sentence, at + 1)
                {
                    negation = Negation::None;
                }
                subordinate = how_to && matches!(word, "and" | "or");
                (open, after_comma) = (false, after_comma && segment == at);
                joined_by_and = matches!(word, "and" | "or" | "und" | "oder");
                at += 1;
                segment = at;
                continue;
            }
            if let Some(count) = self.whole_prompt(sentence, segment, at) {
                at += count;
                continue;
            }
            // "leave the tests alone", "keep src as is", "stay away from x", "hands off x"
            if let Some(end) = leave_alone(sentence, at) {
                let mut clause = Clause {
                    ask: Some(Ask::Touch),
                    negative: true,
                    start: token.start,
                    end: sentence[end - 1].end,
                    ..Clause::default()
                };
                let mut inner = at + 1;
                while inner < end {
                    match self.object(sentence, inner, Some(Ask::Touch)) {
                        Some((object, count)) => {
                            clause.objects.push(object);
                            inner += count;
                        }
                        None => inner += 1,
                    }
                    clause.lows.push(low(sentence, inner.min(end - 1)).to_owned());
                }
                clauses.push(clause);
                open = true;
                at = end;
                continue;
            }
            // "x must not be changed", "nothing is pushed", "x has to stay as it is"
            if let Some((ask, end)) = passive(sentence, segment, at) {
                let mut clause = Clause {
                    ask: Some(ask),
                    negative: true,
                    start: sentence[segment].start,
                    end: sentence[end - 1].end,
                    ..Clause::default()
                };
                // "tests/ and docs/ must not be changed": all that was named so far.
                let from = if clauses.is_empty() { 0 } else { segment };
                let mut inner = from.max(at.saturating_sub(REACH));
                while inner < at {
                    clause.lows.push(low(sentence, inner).to_owned());
                    match self.object(sentence, inner, None) {
                        Some((object, count)) => {
                            clause.objects.push(object);
                            inner += count;
                        }
                        None => inner += 1,
                    }
                }
                clause.lead = 0;
                clauses.push(clause);
                pending.clear();
                subordinate = true;
                at = end;
                continue;
            }
            if let Some((found, count)) = self.negator(sentence, segment, at, subordinate) {
                match found {
                    Found::Negates => {
                        negation = Negation::Active;
                        negation_start = token.start;
                        if let Some((ask, length, verb_at)) = self.negated_verb(sentence, at + count) {
                            let clause = Clause {
                                ask: Some(ask),
                                negative: true,
                                start: token.start,
                                end: sentence[verb_at + length - 1].end,
                                ..Clause::default()
                            };
                            clauses.push(clause);
                            open = true;
                            let clause = clauses.last_mut().expect("one was just added");
                            clause.lows.extend(sentence[at..verb_at + length].iter().map(|t| t.low.clone()));
                            clause.lead = clause.lows.len();
                            at = verb_at + length;
                            continue;
                        }
                        // "not src/legacy", "no push"
                        if let Some(clause) = self.negated_noun(sentence, at, count, clauses.last()) {
                            clauses.push(clause);
                            open = true;
                            at += count;
                            // The noun that names the doing is no object of it.
                            while at < sentence.len()
                                && (words::doing(low(sentence, at)).is_some()
                                    || matches!(
                                        low(sentence, at),
                                        "new"
                                            | "further"
                                            | "more"
                                            | "external"
                                            | "any"
                                            | "neue"
                                            | "neuen"
                                            | "weiteren"
                                            | "access"
                                            | "git"
                                            | "code"
                                            | "file"
                                            | "want"
                                            | "see"
                                            | "additional"
                                            | "do"
                                            | "a"
                                            | "an"
                                    ))
                            {
                                let clause = clauses.last_mut().expect("one was just added");
                                clause.lows.push(low(sentence, at).to_owned());
                                clause.end = sentence[at].end;
                                at += 1;
                            }
                            continue;
                        }
                        // "don't access the network"
                        let near = &sentence[at..sentence.len().min(at + 8)];
                        let network = near
                            .iter()
                            .take_while(|t| t.kind == Kind::Word)
                            .position(|t| matches!(t.low.as_str(), "network" | "internet" | "netzwerk"));
                        if let Some(n) = network {
                            clauses.push(Clause {
                                ask: Some(Ask::Fetch),
                                negative: true,
                                start: token.start,
                                end: sentence[at + n].end,
                                lows: vec!["network".to_owned()],
                                lead: 1,
                                ..Clause::default()
                            });
                        }
                        negation = Negation::None;
                        subordinate = true;
                        at += count;
                        continue;
                    }
                    Found::Except => {
                        let inverted = clauses.last().is_some_and(|c| c.negative);
                        let packages = clauses.last().is_some_and(|c| {
                            c.has(&[
                                "packages",
                                "dependencies",
                                "deps",
                                "libraries",
                                "pakete",
                                "abhängigkeiten",
                            ])
                        });
                        let ask = if packages {
                            Some(Ask::Install)
                        } else {
                            clauses.last().and_then(|c| c.ask).or(Some(Ask::Touch))
                        };
                        if inverted && let Some(clause) = clauses.last_mut() {
                            clause.inverted = true;
                            at += count;
                            open = true;
                            continue;
                        }
                        // "everything but push", "except the deployment": a doing of its own.
                        let own = (at + count..at + count + 3)
                            .take_while(|i| {
                                *i == at + count
                                    || matches!(
                                        low(sentence, *i - 1),
                                        "the" | "to" | "a" | "for" | "das" | "den" | "die"
                                    )
                            })
                            .find_map(|i| {
                                words::doing(low(sentence, i))
                                    .or_else(|| self.verb(sentence, i).map(|(ask, _)| ask))
                                    .map(|ask| (ask, i))
                            });
                        let (ask, last) = own.map_or((ask, at + count - 1), |(ask, i)| (Some(ask), i));
                        let last = last.min(sentence.len() - 1);
                        let lows: Vec<String> =
                            if own.is_some() { vec![sentence[last].low.clone()] } else { Vec::new() };
                        clauses.push(Clause {
                            ask,
                            negative: true,
                            start: token.start,
                            end: sentence[last].end,
                            lead: lows.len(),
                            lows,
                            ..Clause::default()
                        });
                        negation = Negation::Active;
                        open = true;
                        at = last + 1;
                        continue;
                    }
                    Found::Nothing => {
                        subordinate = true;
                        at += count;
                        continue;
                    }
                    Found::Positive => {
                        at += count;
                        segment = at;
                        continue;
                    }
                }
            }
            if SUBORDINATE.has(word) && !(word == "as" && at > segment) {
                subordinate = true;
                how_to = matches!(word, "how" | "wie") || how_to;
                if open && let Some(clause) = clauses.last_mut().filter(|c| c.ask == Some(Ask::Look)) {
                    clause.end = token.end;
                }
                at += 1;
                continue;
            }
            if word == "to"
                && open
                && at > segment
                && !TO_HEADS.has(low(sentence, at - 1))
                && self.verb(sentence, at + 1).is_some()
            {
                told = true;
            }
            if let Some((ask, length)) = (at < sentence.len()).then(|| self.verb(sentence, at)).flatten() {
                let loose = told && joined_by_and && !after_comma && at == segment;
                let german_no = german_negation(sentence, segment, at);
                if !subordinate && !loose && self.asks(sentence, segment, at, length) {
                    let listed =
                        negation == Negation::Active && (joined_by_and || after_comma || open || barred);
                    let negative = listed || german_no;
                    let ask = self.precise(sentence, at, length, ask);
                    // "git push", "force push": the words before belong to it.
                    let start = if german_no {
                        sentence[segment].start
                    } else if listed {
                        negation_start
                    } else if pending.is_empty() {
                        token.start
                    } else {
                        sentence[segment].start
                    };
                    let mut clause = Clause {
                        ask: Some(ask),
                        negative,
                        start,
                        end: sentence[at + length - 1].end,
                        ..Clause::default()
                    };
                    clause.objects.append(&mut pending);
                    clause.lows.extend(
                        sentence[segment.max(at.saturating_sub(REACH))..at + length]
                            .iter()
                            .map(|t| t.low.clone()),
                    );
                    clause.lead = clause.lows.len();
                    // An object between two verbs belongs to the one before.
                    clauses.push(clause);
                    open = true;
                    at += length;
                    continue;
                }
            }
            if subordinate
                && open
                && let Some(clause) = clauses.last_mut()
            {
                clause.tail.push(token.low.clone());
            }
            // In German the verb of this segment may follow.
            let verb_follows = !open
                && (joined_by_and || after_comma)
                && (at + 1..(at + 12).min(sentence.len()))
                    .take_while(|i| {
                        matches!(sentence[*i].kind, Kind::Word | Kind::Code)
                            && !matches!(low(sentence, *i), "and" | "or" | "und" | "oder" | "but" | "aber")
                    })
                    .any(|i| self.verb(sentence, i).is_some_and(|(_, n)| self.asks(sentence, segment, i, n)));
            // Objects.
            match self.object(
                sentence,
                at,
                if open || joined_by_and || after_comma { clauses.last().and_then(|c| c.ask) } else { None },
            ) {
                Some((object, count)) => {
                    let end = sentence[(at + count - 1).min(sentence.len() - 1)].end;
                    let negative = clauses.last().is_some_and(|c| c.negative);
                    if !negative {
                        let start = sentence[segment.max(at.saturating_sub(REACH))].start;
                        let words = cut(&self.text[start..end.max(start)]);
                        self.mention(&object.what, &words);
                    }
                    let names = |c: &Clause| {
                        !matches!(object.what, What::Word(_))
                            || joined_by_and
                                && matches!(
                                    c.ask,
                                    Some(Ask::Install | Ask::Uninstall | Ask::Restart | Ask::Delete)
                                )
                    };
                    let takes = open
                        || !verb_follows
                            && (joined_by_and || after_comma)
                            && clauses.last().is_some_and(names);
                    let first = clauses.is_empty();
                    match clauses.last_mut().filter(|_| {
                        takes && !(subordinate && matches!(object.what, What::Word(_) | What::Pronoun))
                    }) {
                        Some(clause) => {
                            clause.end = clause.end.max(end);
                            clause.lows.extend(
                                sentence[at..(at + count).min(sentence.len())].iter().map(|t| t.low.clone()),
                            );
                            clause.objects.push(object);
                        }
                        None if !subordinate && (first || !open) => pending.push(object),
                        None => {}
                    }
                    at += count;
                }
                None => {
                    if open
                        && let Some(clause) =
                            clauses.last_mut().filter(|c| !subordinate || c.ask == Some(Ask::Look))
                    {
                        clause.end = clause.end.max(token.end);
                        clause.lows.push(token.low.clone());
                    }
                    at += 1;
                }
            }
        }
        let count = clauses.len();
        for (at, clause) in clauses.into_iter().enumerate() {
            // What follows the colon says it all, if it says what to do.
            if clause.heads
                && at + 1 < count
                && !clause.negative
                && clause.objects.iter().all(|o| matches!(o.what, What::Word(_) | What::Pronoun))
                && clause.ask == Some(Ask::Change)
            {
                continue;
            }
            let words = cut(&self.text[clause.start..clause.end.max(clause.start)]);
            let nothing = clause.lows.get(clause.lead).is_some_and(|w| w == "nothing");
            if clause.negative || nothing {
                self.excluded(&clause, &words)
            } else {
                self.allowed(&clause, &words)
            }
        }
    }

    fn starts_a_request(&self, sentence: &[Token<'_>], at: usize) -> bool {
        let mut at = at;
        while matches!(
            low(sentence, at),
            "then" | "also" | "just" | "please" | "only" | "instead" | "dann" | "auch" | "bitte"
        ) {
            at += 1;
        }
        at < sentence.len() && self.verb(sentence, at).is_some()
    }

    /// "only", "nothing else", "read-only": what holds for the whole prompt.
    fn whole_prompt(&mut self, sentence: &[Token<'_>], segment: usize, at: usize) -> Option<usize> {
        let word = low(sentence, at);
        let (next, third) = (low(sentence, at + 1), low(sentence, at + 2));
        let ends = |at: usize| sentence.get(at).is_none_or(|t| t.kind != Kind::Word);
        let read_only = match word {
            "read-only" | "readonly" => Some(1),
            "read" if next == "only" && ends(at + 2) => Some(2),
            "only" if next == "read" && ends(at + 2) => Some(2),
            "nur" if next == "lesen" || next == "lesend" => Some(2),
            "dry-run" if ends(at + 1) => Some(1),
            "dry" if next == "run" && ends(at + 2) => Some(2),
            _ => None,
        };
        if let Some(count) = read_only {
            let before = if at == segment { "" } else { low(sentence, at - 1) };
            let free = at == segment
                || matches!(
                    before,
                    "strictly" | "is" | "be" | "stay" | "purely" | "mode" | "task" | "keep" | "a"
                )
                || before == "this";
            let about_it = ends(at + count)
                || matches!(
                    low(sentence, at + count),
                    "mode"
                        | "task"
                        | "session"
                        | "analysis"
                        | "review"
                        | "please"
                        | "bitte"
                        | "investigation"
                        | "access"
                );
            let a_thing = before == "a" && ends(at + count);
            if free && about_it && !a_thing {
                let words = excerpt(self.text, &sentence[at..(at + count).min(sentence.len())]);
                self.rule(true, LOOKS, self.place.all(), &words);
                self.rule(false, TOUCHES, "**".to_owned(), &words);
                return Some(count);
            }
        }
        let nothing_else = match (word, next) {
            ("nothing", "else" | "more")
            | ("sonst", "nichts")
            | ("nichts", "anderes" | "sonst" | "weiter") => Some(2),
            ("exclusively" | "ausschließlich", _) => Some(1),
            ("anything", "else") if self.verb_before(sentence, at) => Some(2),
            _ => None,
        };
        if let Some(count) = nothing_else {
            let told = matches!(
                low(sentence, at + count),
                "should" | "must" | "may" | "needs" | "has" | "is" | "soll" | "darf"
            );
            let please = matches!(low(sentence, at + count), "please" | "pls" | "bitte");
            if word != "anything"
                && !ends(at + count)
                && !told
                && !please
                && word != "exclusively"
                && word != "ausschließlich"
            {
                return None;
            }
            self.closed = true;
            if told {
                return Some(sentence[at..].iter().take_while(|t| t.kind == Kind::Word).count());
            }
            return (word != "anything").then_some(count);
        }
        if matches!(word, "only" | "nur" | "lediglich" | "solely") {
            // It closes the scope where it belongs to a request: "only change x", "work only in x".
            let before = (segment.max(at.saturating_sub(REACH))..at)
                .any(|i| self.verb(sentence, i).is_some_and(|(_, n)| self.asks(sentence, segment, i, n)));
            let behind = at + 1 < sentence.len() && self.verb(sentence, at + 1).is_some();
            let lookahead = (at + 1..(at + 6).min(sentence.len())).any(|i| {
                sentence[i].kind != Kind::End
                    && matches!(
                        self.object(sentence, i, None),
                        Some((Object { what: What::Files(_), .. }, _))
                    )
                    || group(low(sentence, i), self.place).is_some()
            });
            let free = at == segment
                || before
                || STARTERS.has(low(sentence, at - 1))
                || matches!(word, "nur" | "lediglich");
            let negated =
                low(sentence, at.wrapping_sub(1)) == "not" || low(sentence, at.wrapping_sub(1)) == "nicht";
            let conditional =
                matches!(next, "if" | "when" | "after" | "once" | "wenn" | "falls") || matches!(third, "if");
            // "edit docs/ only"
            let trails = ends(at + 1)
                && before
                && (segment.max(at.saturating_sub(REACH))..at).any(|i| {
                    matches!(self.object(sentence, i, None), Some((Object { what: What::Files(_), .. }, _)))
                });
            if trails && !negated {
                self.closed = true;
            }
            if free
                && !negated
                && !conditional
                && (behind && (lookahead || !before)
                    || lookahead && (before || at == segment || word == "nur"))
            {
                self.closed = true;
            }
        }
        None
    }

    /// Whether the segment that goes on at a token has a verb.
    fn verb_in(&self, sentence: &[Token<'_>], at: usize) -> bool {
        (at..sentence.len().min(at + REACH))
            .take_while(|i| matches!(sentence[*i].kind, Kind::Word | Kind::Code))
            .any(|i| self.verb(sentence, i).is_some())
    }

    fn verb_before(&self, sentence: &[Token<'_>], at: usize) -> bool {
        (at.saturating_sub(4)..at).any(|i| self.verb(sentence, i).is_some())
    }

    fn negator(
        &self,
        sentence: &[Token<'_>],
        segment: usize,
        at: usize,
        subordinate: bool,
    ) -> Option<(Found, usize)> {
        let word = low(sentence, at);
        let (next, third) = (low(sentence, at + 1), low(sentence, at + 2));
        let before = if at == segment { "" } else { low(sentence, at - 1) };
        let spoken_to =
            before.is_empty() || STARTERS.has(before) || matches!(before, "we" | "claude" | "agent" | "that");
        let count = match word {
            "don't" | "dont" | "never" | "mustn't" | "shouldn't" | "can't" | "cannot" | "won't"
            | "needn't" => 1,
            "do" | "must" | "should" | "may" | "can" | "shall" if next == "not" => 2,
            // "I'd rather you didn't push"
            "didn't" if low(sentence, at.wrapping_sub(2)) == "rather" => 1,
            _ => 0,
        };
        if count > 0 {
            let after = low(sentence, at + count);
            if before == "i" || before == "ich" {
                return Some(
                    if matches!(after, "want" | "need" | "wish") && !(after == "need" && third.is_empty()) {
                        (Found::Negates, count)
                    } else {
                        (Found::Nothing, count)
                    },
                );
            }
            if !spoken_to
                || before == "please" && word == "can"
                || matches!(word, "can't" | "cannot" | "won't" | "can") && before != "you"
            {
                return Some((Found::Nothing, count));
            }
            if matches!(after, "forget" | "hesitate") {
                let to = usize::from(low(sentence, at + count + 1) == "to");
                return Some((Found::Positive, count + 1 + to));
            }
            if matches!(after, "bother" | "worry" | "mind" | "need" | "have" | "know" | "think" | "care") {
                return Some((Found::Nothing, count + 1));
            }
            return Some((Found::Negates, count));
        }
        // "you are not allowed to push", "forbidden to touch", "pushing is not allowed"
        let barred = match word {
            "not" | "never"
                if matches!(
                    next,
                    "allowed" | "permitted" | "supposed" | "meant" | "authorized" | "authorised"
                ) =>
            {
                2
            }
            "forbidden" | "prohibited" | "verboten" => 1,
            _ => 0,
        };
        if barred > 0 {
            let to = usize::from(matches!(low(sentence, at + barred), "to" | "from"));
            return Some(if to > 0 { (Found::Negates, barred + to) } else { (Found::Nothing, barred) });
        }
        match word {
            "not" if next == "only" || next == "just" => Some((Found::Positive, 2)),
            "not"
                if before.is_empty()
                    || before == "please"
                    || before == "but"
                    || matches!(before, "to" | "try") =>
            {
                Some((Found::Negates, 1))
            }
            // "the case where it exits without writing": that tells of something.
            "without" | "ohne" | "w/o" | "no" | "not" | "avoid" if subordinate => None,
            "without" | "ohne" | "w/o" => Some((Found::Negates, 1)),
            "avoid" | "vermeide" if spoken_to => Some((Found::Negates, 1)),
            "nicht" if at == segment && !self.verb_in(sentence, at) => Some((Found::Negates, 1)),
            "refrain" if next == "from" => Some((Found::Negates, 2)),
            "hold" if next == "off" && spoken_to => {
                Some((Found::Negates, 2 + usize::from(matches!(third, "on" | "with"))))
            }
            "wait" if next == "with" && spoken_to => Some((Found::Negates, 2)),
            "instead" if next == "of" => Some((Found::Nothing, 2)),
            "no" if next == "need" => Some((Found::Nothing, 2)),
            "no" | "kein" | "keine" | "keinen" | "keinerlei" | "keinem" => Some((Found::Negates, 1)),
            "but" => Some((Found::Except, 1)),
            "except" | "excluding" | "außer" | "ausser" | "ausgenommen" | "besides" => {
                Some((Found::Except, 1 + usize::from(matches!(next, "for" | "from" | "in"))))
            }
            "apart" | "aside" if next == "from" => Some((Found::Except, 2)),
            "other" if next == "than" => Some((Found::Except, 2)),
            "outside" | "außerhalb" if at > segment => {
                Some((Found::Except, 1 + usize::from(matches!(next, "of" | "von"))))
            }
            _ => None,
        }
    }

    /// The verb that a negation takes: the next one, over what may stand between.
    fn negated_verb(&self, sentence: &[Token<'_>], from: usize) -> Option<(Ask, usize, usize)> {
        let mut at = from;
        // "don't, under any circumstances, push": up to the verb behind what is put in.
        if sentence.get(from).is_some_and(|t| t.kind == Kind::Comma) {
            return (from..(from + 10).min(sentence.len()))
                .take_while(|i| sentence[*i].kind != Kind::End)
                .find_map(|i| {
                    self.verb(sentence, i).map(|(ask, n)| (self.precise(sentence, i, n, ask), n, i))
                });
        }
        let kein =
            matches!(low(sentence, from.wrapping_sub(1)), "kein" | "keine" | "keinen" | "keinerlei" | "ohne");
        while at < sentence.len().min(from + REACH) && sentence[at].kind == Kind::Word {
            let word = low(sentence, at);
            if let Some((ask, length)) = self.verb(sentence, at)
                && !(matches!(low(sentence, from.wrapping_sub(1)), "no")
                    || kein && words::doing(word).is_some())
            {
                let article = at > from && matches!(low(sentence, at - 1), "the" | "a" | "any" | "an");
                if !article {
                    return Some((self.precise(sentence, at, length, ask), length, at));
                }
            }
            let filler = matches!(
                word,
                "ever"
                    | "dare"
                    | "even"
                    | "actually"
                    | "just"
                    | "please"
                    | "yet"
                    | "want"
                    | "you"
                    | "to"
                    | "need"
                    | "try"
                    | "attempt"
                    | "start"
                    | "go"
                    | "accidentally"
                    | "under"
                    | "any"
                    | "circumstances"
                    | "at"
                    | "all"
                    | "also"
                    | "mehr"
                    | "bitte"
                    | "have"
                    | "be"
                    | "zu"
                    | "simply"
                    | "automatically"
                    | "directly"
                    | "ahead"
                    | "and"
                    | "the"
                    | "git"
                    | "do"
                    | "yourself"
                    | "anything"
                    | "etwas"
                    | "dabei"
                    | "auch"
            );
            if !filler && !kein {
                return None;
            }
            at += 1;
        }
        None
    }

    /// "no push", "not the tests": a negation of something that is called by its name.
    fn negated_noun(
        &self,
        sentence: &[Token<'_>],
        at: usize,
        count: usize,
        before: Option<&Clause>,
    ) -> Option<Clause> {
        let mut i = at + count;
        while matches!(
            low(sentence, i),
            "new"
                | "further"
                | "more"
                | "external"
                | "any"
                | "neue"
                | "neuen"
                | "weiteren"
                | "weitere"
                | "git"
                | "code"
                | "file"
                | "other"
                | "additional"
                | "do"
                | "a"
                | "an"
                | "unnecessary"
                | "the"
                | "make"
                | "making"
                | "for"
                | "in"
                | "on"
                | "to"
                | "from"
                | "auf"
                | "für"
                | "nach"
                | "want"
                | "need"
                | "see"
                | "you"
        ) {
            i += 1;
        }
        let word = low(sentence, i);
        let start = sentence[at].start;
        let end = sentence.get(i).or(sentence.last()).map_or(start, |t| t.end);
        if let Some(ask) = words::doing(word) {
            let lows = sentence[at..=i.min(sentence.len() - 1)].iter().map(|t| t.low.clone()).collect();
            return Some(Clause { ask: Some(ask), negative: true, start, end, lows, ..Clause::default() });
        }
        let bare = matches!(low(sentence, at), "not" | "nicht");
        let object = self.object(sentence, i.min(sentence.len() - 1), None);
        let named = object.is_some_and(|(o, _)| {
            matches!(o.what, What::Files(_) | What::Branch(_) | What::Table(_) | What::Host(_))
        }) || group(word, self.place).is_some()
            || matches!(word, "production" | "prod" | "staging" | "live");
        let ask = before.filter(|c| !c.negative).and_then(|c| c.ask)?;
        (bare && named).then(|| Clause {
            ask: Some(ask),
            negative: true,
            start,
            end: sentence[at].end,
            ..Clause::default()
        })
    }

    /// What a verb with two meanings means here.
    fn precise(&self, sentence: &[Token<'_>], at: usize, length: usize, ask: Ask) -> Ask {
        let next = low(sentence, at + length);
        let second = low(sentence, at + length + 1);
        let has = |words: &[&str]| {
            let near = &sentence[at..sentence.len().min(at + REACH)];
            let end = near
                .iter()
                .position(|t| t.kind != Kind::Word && t.kind != Kind::Code)
                .map_or(at + near.len(), |n| at + n);
            sentence[at..end].iter().any(|t| words.contains(&t.low.as_str()))
        };
        match ask {
            Ask::Change
                if matches!(low(sentence, at), "clean" | "cleanup" | "tidy" | "räume")
                    && has(&[
                        "temp",
                        "temporary",
                        "artifacts",
                        "artefacts",
                        "caches",
                        "cache",
                        "logs",
                        "temporäre",
                        "temporären",
                        "folder",
                        "folders",
                    ]) =>
            {
                Ask::Delete
            }
            Ask::Build
                if matches!(
                    next,
                    "a" | "an" | "me" | "us" | "out" | "on" | "upon" | "new" | "ein" | "eine" | "einen"
                ) && !has(&["image", "release"]) =>
            {
                Ask::Change
            }
            Ask::Run
                if matches!(low(sentence, at), "starte" | "starten")
                    && (has(&["neu"]) || is_service(next) || is_service(second)) =>
            {
                Ask::Restart
            }
            Ask::Restart
                if matches!(low(sentence, at), "start" | "starting")
                    && has(&["server", "app", "application", "dev", "it"]) =>
            {
                Ask::Run
            }
            Ask::Restart
                if matches!(low(sentence, at), "start" | "starting" | "kill" | "stop" | "stopping")
                    && !has(&[
                        "server",
                        "service",
                        "container",
                        "containers",
                        "process",
                        "daemon",
                        "nginx",
                        "postgres",
                        "redis",
                        "docker",
                        "dienst",
                    ])
                    && !is_service(next)
                    && !is_service(second) =>
            {
                Ask::Change
            }
            Ask::Migrate
                if !has(&[
                    "database",
                    "db",
                    "schema",
                    "tables",
                    "prod",
                    "production",
                    "staging",
                    "data",
                    "datenbank",
                ]) && !next.is_empty() =>
            {
                Ask::Change
            }
            Ask::Fetch if matches!(low(sentence, at), "lade" | "hole") && has(&["hoch"]) => Ask::Send,
            Ask::Fetch if matches!(next, "origin" | "upstream") => Ask::Pull,
            Ask::Look if low(sentence, at) == "check" && next == "out" => Ask::Branch,
            Ask::Branch
                if low(sentence, at) == "check"
                    && !has(&["branch", "main", "master", "develop", "tag", "commit"])
                    && !is_branch_name(next) =>
            {
                Ask::Look
            }
            Ask::Send
                if matches!(low(sentence, at), "share" | "mail" | "submit" | "reply" | "notify" | "post")
                    && length == 1
                    && next.is_empty() =>
            {
                Ask::Look
            }
            Ask::Pull if has(&["out", "apart", "up"]) => Ask::Change,
            Ask::Change
                if matches!(low(sentence, at), "cut" | "create" | "make" | "do") && second == "release" =>
            {
                Ask::Release
            }
            Ask::Commit if low(sentence, at) == "stage" && has(&["environment", "server"]) => Ask::Deploy,
            Ask::Delete if matches!(low(sentence, at), "clear") && has(&["that", "about"]) => Ask::Look,
            _ => ask,
        }
    }
}

fn is_service(word: &str) -> bool {
    matches!(
        word,
        "nginx"
            | "postgres"
            | "postgresql"
            | "redis"
            | "docker"
            | "apache"
            | "mysql"
            | "rabbitmq"
            | "kafka"
            | "systemd"
            | "caddy"
            | "celery"
            | "gunicorn"
            | "elasticsearch"
            | "mongodb"
    )
}

enum Found {
    /// What follows is not to be done.
    Negates,
    /// What follows is taken out of what was said before.
    Except,
    /// It tells of something; nothing is asked for or excluded.
    Nothing,
    /// Two words that cancel each other: "don't forget to".
    Positive,
}

/// "nicht" before an infinitive, or behind an imperative.
fn german_negation(sentence: &[Token<'_>], segment: usize, at: usize) -> bool {
    let no = |t: &Token<'_>| matches!(t.low.as_str(), "nicht" | "nichts" | "nie" | "niemals");
    let stop = |t: &Token<'_>| {
        t.kind != Kind::Word && t.kind != Kind::Code
            || matches!(t.low.as_str(), "und" | "oder" | "aber" | "sondern")
    };
    let segment = segment.max(at.saturating_sub(REACH));
    let before = sentence[segment..at]
        .iter()
        .enumerate()
        .any(|(i, t)| no(t) && low(sentence, segment + i + 1) != "nur");
    let behind = sentence[at..]
        .iter()
        .take(REACH)
        .take_while(|t| !stop(t))
        .enumerate()
        .any(|(i, t)| no(t) && low(sentence, at + i + 1) != "nur");
    before || behind
}

/// Whether what stands before a colon excludes what follows: "not allowed:".
fn bars(heading: &[Token<'_>]) -> bool {
    let words =
        heading.iter().filter(|t| t.kind == Kind::Word).map(|t| t.low.as_str()).collect::<Vec<_>>().join(" ");
    [
        "don't",
        "dont",
        "do not",
        "never",
        "not allowed",
        "forbidden",
        "avoid",
        "don'ts",
        "no-gos",
        "not",
        "out of scope",
        "off limits",
        "off-limits",
        "verboten",
        "nicht",
        "please don't",
    ]
    .iter()
    .any(|end| words.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with(' ')))
}

/// "must not be changed", "should stay as it is" at a token: what is excluded, up to where.
fn passive(sentence: &[Token<'_>], segment: usize, at: usize) -> Option<(Ask, usize)> {
    let word = low(sentence, at);
    let participle = |word: &str| {
        Some(match word {
            "changed" | "modified" | "touched" | "edited" | "altered" | "written" | "geändert"
            | "verändert" | "angefasst" => Ask::Touch,
            "deleted" | "removed" | "dropped" | "gelöscht" | "entfernt" => Ask::Delete,
            "pushed" | "gepusht" => Ask::Push,
            "committed" | "committet" => Ask::Commit,
            "deployed" | "deployt" => Ask::Deploy,
            "published" | "veröffentlicht" => Ask::Publish,
            "merged" | "gemergt" => Ask::Merge,
            "installed" | "installiert" => Ask::Install,
            "run" | "executed" | "ausgeführt" => Ask::Run,
            _ => return None,
        })
    };
    let (next, third, fourth) = (low(sentence, at + 1), low(sentence, at + 2), low(sentence, at + 3));
    match word {
        "must" | "should" | "may" | "can" | "shall" if matches!(next, "not" | "never") && third == "be" => {
            participle(fourth).map(|ask| (ask, at + 4))
        }
        "is" | "are" | "sind" | "ist" if matches!(next, "off-limits" | "tabu" | "frozen") => {
            Some((Ask::Touch, at + 2))
        }
        "is" | "isn't" | "ist"
            if at == segment + 1
                && (matches!(next, "forbidden" | "prohibited" | "verboten" | "off-limits")
                    || matches!(third, "allowed" | "permitted" | "erlaubt")
                    || word == "isn't" && next == "allowed") =>
        {
            words::doing(low(sentence, segment))
                .or_else(|| words::verb(low(sentence, segment)))
                .map(|ask| (ask, (at + 3).min(sentence.len())))
        }
        "is" | "are" if next == "off" && third == "limits" => Some((Ask::Touch, at + 3)),
        "mustn't" | "shouldn't" | "can't" | "cannot" | "never" if next == "be" => {
            participle(third).map(|ask| (ask, at + 3))
        }
        "is" | "gets" | "be" | "are" | "get"
            if (segment.max(at.saturating_sub(REACH))..at).any(|i| low(sentence, i) == "nothing") =>
        {
            participle(next).map(|ask| (ask, at + 2))
        }
        "darf" | "dürfen" | "soll" | "sollen" => {
            let no = (segment.max(at.saturating_sub(REACH))..at + 4)
                .find(|i| matches!(low(sentence, *i), "nicht" | "nichts"))?;
            (no + 1..no + 3)
                .find_map(|i| participle(low(sentence, i)).map(|ask| (ask, i + 1)))
                .filter(|(_, end)| *end > at)
        }
        "must" | "should" | "has" | "have" | "needs" => {
            let to = usize::from(next == "to");
            let stays = matches!(low(sentence, at + 1 + to), "stay" | "remain");
            let how = low(sentence, at + 2 + to);
            let same = matches!(how, "unchanged" | "untouched" | "intact" | "unmodified" | "as-is")
                || how == "as"
                || how == "the" && low(sentence, at + 3 + to) == "same";
            (stays && same).then_some((Ask::Touch, (at + 4 + to).min(sentence.len())))
        }
        _ => None,
    }
}

/// "leave X alone", "keep X as is", "stay away from X": up to where it goes.
fn leave_alone(sentence: &[Token<'_>], at: usize) -> Option<usize> {
    let pair = (low(sentence, at), low(sentence, at + 1));
    let near = &sentence[at..sentence.len().min(at + REACH)];
    let end = near
        .iter()
        .position(|t| matches!(t.kind, Kind::End | Kind::Comma))
        .map_or(at + near.len(), |n| at + n);
    let closing = |words: &[&str]| (at + 1..end.min(at + 14)).find(|i| words.contains(&low(sentence, *i)));
    match pair {
        ("leave" | "leaving", _) => {
            closing(&["alone", "untouched", "unchanged", "intact", "as-is"]).map(|i| i + 1).or_else(|| {
                (at + 1..end)
                    .find(|i| {
                        low(sentence, *i) == "as" && matches!(low(sentence, *i + 1), "is" | "it" | "they")
                    })
                    .map(|i| (i + 2).min(end))
            })
        }
        ("stay" | "keep", "away" | "out") | ("hands", "off") | ("finger", "weg") => Some(end),
        ("keep" | "keeping", _) => closing(&["untouched", "unchanged", "intact", "unmodified", "as-is"])
            .map(|i| i + 1)
            .or_else(|| {
                (at + 1..end.min(at + 14))
                    .find(|i| {
                        low(sentence, *i) == "as" && matches!(low(sentence, *i + 1), "is" | "it" | "they")
                    })
                    .map(|i| (i + 2).min(end))
            }),
        ("lass" | "lasse", _) => closing(&["ruhe", "unverändert", "unangetastet"]).map(|i| i + 1),
        _ => None,
    }
}
