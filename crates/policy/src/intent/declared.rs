//! What a person sets as the intent, apart from any prompt.

use super::{DECLARED, DECLARED_ONLY, MAX_RULES, Place, summary};
use fdr_record::{Intent, IntentSource, ScopeRule, Timestamp, Verb, clean_path};
use serde::Deserialize;

/// Why a declared intent can't be read.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// A statement begins with a word that is none of the language.
    #[error("`{0}`: a statement begins with allow, deny, only or until")]
    Statement(String),
    /// A word in the place of a verb that is none.
    #[error(
        "`{word}` in `{statement}` is no verb: the verbs are {}, change (all that change something), look (read, search) and any",
        verbs()
    )]
    Verb {
        /// The word.
        word: String,
        /// Where it stands.
        statement: String,
    },
    /// `allow` or `deny` without anything behind it.
    #[error("`{0}` says neither a verb nor a resource")]
    Empty(String),
    /// A time that can't be read.
    #[error("`until`: {0}")]
    Until(#[from] fdr_record::BadTimestamp),
    /// `only`, and nothing that is allowed.
    #[error("`only` takes something that is allowed: add an allow statement")]
    OnlyNothing,
    /// Too much.
    #[error("an intent has at most {MAX_RULES} allow and {MAX_RULES} deny statements with a resource each")]
    TooMany,
    /// The text is TOML, and not of this form.
    #[error("the file of the intent can't be read: {0}")]
    Toml(#[from] toml::de::Error),
}

fn verbs() -> String {
    Verb::ALL.map(Verb::as_str).join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    only: bool,
    until: Option<String>,
}

/// Reads a declared intent: one line of statements with `;` between, or a TOML file with the keys
/// `allow`, `deny` (lists of what stands behind these words), `only` and `until`.
///
/// ```
/// use fdr_policy::intent::{Place, declared};
/// let place = Place { cwd: "/w", home: "/home/dev", repo: "/w" };
/// let intent = declared("allow write src/** ; allow send git:origin#feature/x ; deny network ; only", &place).unwrap();
/// assert_eq!(intent.allow[0].resource, "file:/w/src/**");
/// assert!(intent.closed);
/// ```
///
/// # Errors
/// When a statement can't be read; nothing of the text is taken then.
pub fn declared(rules: &str, place: &Place<'_>) -> Result<Intent, IntentError> {
    let is_file = rules.lines().any(|line| {
        line.split_once('=').is_some_and(|(key, _)| matches!(key.trim(), "allow" | "deny" | "only" | "until"))
    });
    let file = if is_file { toml::from_str(rules)? } else { line(rules)? };
    let prefix = if file.only { DECLARED_ONLY } else { DECLARED };
    let mut intent = Intent {
        source: IntentSource::Declared,
        allow: Vec::new(),
        exclude: Vec::new(),
        closed: file.only,
        goes_on: false,
        expires: file.until.map(|text| text.parse::<Timestamp>()).transpose()?,
        summary: String::new(),
    };
    for text in &file.allow {
        intent.allow.extend(statement("allow", text, prefix, place)?);
    }
    for text in &file.deny {
        intent.exclude.extend(statement("deny", text, prefix, place)?);
    }
    if file.only && intent.allow.is_empty() {
        return Err(IntentError::OnlyNothing);
    }
    if intent.allow.len() > MAX_RULES || intent.exclude.len() > MAX_RULES {
        return Err(IntentError::TooMany);
    }
    intent.summary = summary(&intent);
    Ok(intent)
}

fn line(text: &str) -> Result<File, IntentError> {
    let mut file = File { allow: Vec::new(), deny: Vec::new(), only: false, until: None };
    for statement in text.split([';', '\n']).map(str::trim).filter(|s| !s.is_empty() && !s.starts_with('#')) {
        let (word, rest) = statement.split_once(char::is_whitespace).unwrap_or((statement, ""));
        match word {
            "allow" => file.allow.push(rest.trim().to_owned()),
            "deny" => file.deny.push(rest.trim().to_owned()),
            "until" => file.until = Some(rest.trim().to_owned()),
            "only" if rest.is_empty() => file.only = true,
            _ => return Err(IntentError::Statement(fdr_record::preview(statement))),
        }
    }
    Ok(file)
}

/// `write,create file:src/** docs/**`: verbs, then resources; a rule for each resource.
fn statement(kind: &str, text: &str, prefix: &str, place: &Place<'_>) -> Result<Vec<ScopeRule>, IntentError> {
    let whole = fdr_record::preview(&format!("{kind} {text}"));
    let mut words = text.split_whitespace().peekable();
    let mut actions: Vec<Verb> = Vec::new();
    let mut any = false;
    while let Some(word) = words.peek().filter(|word| !is_resource(word)) {
        for part in word.split(',').filter(|part| !part.is_empty()) {
            match part {
                "any" => any = true,
                "look" => actions.extend([Verb::Read, Verb::Search]),
                "change" => {
                    actions.extend([Verb::Write, Verb::Create, Verb::Delete, Verb::Move, Verb::Configure])
                }
                name => match Verb::ALL.into_iter().find(|verb| verb.as_str() == name) {
                    Some(verb) => actions.push(verb),
                    None => return Err(IntentError::Verb { word: part.to_owned(), statement: whole }),
                },
            }
        }
        words.next();
    }
    let mut resources: Vec<String> = words.map(|word| resource(word, place)).collect();
    if resources.is_empty() {
        if actions.is_empty() && !any {
            return Err(IntentError::Empty(whole));
        }
        resources.push("**".to_owned());
    }
    if any {
        actions.clear();
    }
    let rule = |resource| ScopeRule { actions: actions.clone(), resource, words: format!("{prefix}{whole}") };
    Ok(resources.into_iter().map(rule).collect())
}

fn is_resource(word: &str) -> bool {
    word.contains([':', '/', '.', '*', '~'])
}

/// A pattern as it stands in a rule: a path is made absolute, a kind is put before it.
fn resource(word: &str, place: &Place<'_>) -> String {
    let (kind, name) = match word.split_once(':') {
        Some(("http" | "https" | "s3" | "ftp" | "wss" | "ws", _)) => return format!("url:{word}"),
        Some((kind, name)) if kind.bytes().all(|b| b.is_ascii_lowercase()) => (kind, name),
        _ if word == "**" => return word.to_owned(),
        _ => ("file", word),
    };
    if kind != "file" {
        return word.to_owned();
    }
    let path = match name.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => format!("{}{rest}", place.home),
        None => name.to_owned(),
    };
    if path == "**" {
        return "file:/**".to_owned();
    }
    let whole = clean_path(&path, place.cwd);
    format!("file:{}{}", whole, if name.ends_with('/') && whole != "/" { "/**" } else { "" })
}
