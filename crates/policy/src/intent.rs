//! What an agent was asked for, as a scope that its actions are held against.
//!
//! [`derive()`] reads a prompt by fixed rules, [`declared`] what a person set apart from it, [`merge`]
//! says what is in force after a new prompt, and [`check`] marks an action. An intent narrows and
//! never widens: it gives a mark that policies may use, no permission. Only the text that is
//! given to `derive` counts, and of that only what a person wrote: what was pasted does not.
//!
//! Beside names of resources, rules use `task:NAME` for things that are done by many programs
//! (`task:test`, `task:commit`, `task:deploy#staging`), and `host:NAME` for whatever a host serves.
//! `docs/intent.md` has the rules.

mod check;
mod declared;
mod object;
mod read;
mod text;
mod words;

pub use check::check;
pub use declared::{IntentError, declared};
pub use read::derive;

use fdr_record::{Intent, IntentSource, RecordId, ScopeRule};

/// Where a prompt was given: relative paths are meant from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The working directory, absolute.
    pub cwd: &'a str,
    /// The user's home folder; empty if it isn't known.
    pub home: &'a str,
    /// The root of the repository; empty if there is none.
    pub repo: &'a str,
}

impl Place<'_> {
    /// The root of the workspace.
    fn root(&self) -> &str {
        if self.repo.is_empty() { self.cwd } else { self.repo }
    }

    /// The pattern of the whole workspace.
    fn all(&self) -> String {
        format!("file:{}/**", self.root().trim_end_matches('/'))
    }
}

/// The most rules of a kind that an intent has.
const MAX_RULES: usize = 64;

/// What the words of a rule of a declared intent begin with, so that it is told from those of the
/// prompts that narrow it; the second if nothing but what is declared is in scope.
const DECLARED: &str = "declared: ";
const DECLARED_ONLY: &str = "declared, nothing else: ";

fn is_declared(rule: &ScopeRule) -> bool {
    rule.words.starts_with(DECLARED) || rule.words.starts_with(DECLARED_ONLY)
}

/// What is in force after `new`, when `before` was.
///
/// - A prompt replaces what the prompt before allowed; one that only says to go on keeps it.
/// - What an earlier prompt excludes stays excluded until a later one asks for that very thing.
/// - What is declared stays as it is, and what prompts ask for can only narrow it.
pub fn merge(before: Option<(RecordId, &Intent)>, new: &Intent) -> Intent {
    let Some((_, before)) = before else { return new.clone() };
    let narrows = before.source == IntentSource::Declared && new.source != IntentSource::Declared;
    let mut merged = new.clone();
    if new.goes_on {
        merged.allow = before.allow.clone();
        merged.allow.extend(new.allow.iter().filter(|rule| !before.allow.contains(rule)).cloned());
        merged.closed |= before.closed;
        merged.goes_on = before.goes_on && before.allow.is_empty();
    } else if narrows {
        merged.allow.splice(0..0, before.allow.iter().filter(|rule| is_declared(rule)).cloned());
    }
    if narrows {
        merged.source = IntentSource::Declared;
        merged.expires = before.expires;
    }
    // A new declaration takes the place of the old one.
    let kept = before.exclude.iter().filter(|rule| narrows || !is_declared(rule));
    let mut exclude: Vec<ScopeRule> = kept
        .filter_map(
            |rule| if narrows && is_declared(rule) { Some(rule.clone()) } else { what_stays(rule, new) },
        )
        .filter(|rule| !new.exclude.contains(rule))
        .collect();
    exclude.extend(new.exclude.iter().cloned());
    merged.exclude = exclude;
    merged.allow.truncate(MAX_RULES);
    // The newest are what was said last.
    let surplus = merged.exclude.len().saturating_sub(MAX_RULES);
    merged.exclude.drain(..surplus);
    merged.summary = summary(&merged);
    merged
}

/// An exclusion without the verbs that `new` asks for on something that lies within it.
fn what_stays(rule: &ScopeRule, new: &Intent) -> Option<ScopeRule> {
    let asked = |verb| {
        new.allow.iter().any(|allow| {
            (allow.actions.is_empty() || allow.actions.contains(&verb))
                && crate::pattern::covers(&rule.resource, &allow.resource)
        })
    };
    let all = fdr_record::Verb::ALL;
    let verbs = if rule.actions.is_empty() { &all[..] } else { &rule.actions };
    let left: Vec<_> = verbs.iter().copied().filter(|verb| !asked(*verb)).collect();
    match left.len() {
        0 => None,
        n if n == verbs.len() => Some(rule.clone()),
        _ => Some(ScopeRule { actions: left, ..rule.clone() }),
    }
}

/// One line for a person.
fn summary(intent: &Intent) -> String {
    fn said(rules: &[ScopeRule]) -> Vec<&str> {
        let mut words: Vec<&str> = Vec::new();
        for rule in rules {
            if !words.contains(&rule.words.as_str()) {
                words.push(&rule.words);
            }
        }
        words
    }
    let (allow, exclude) = (said(&intent.allow), said(&intent.exclude));
    let mut text = match (allow.is_empty(), intent.goes_on) {
        (false, _) => allow.join("; "),
        (true, true) => "goes on".to_owned(),
        (true, false) => "nothing that the rules know".to_owned(),
    };
    if intent.closed {
        text.push_str("; nothing else");
    }
    if !exclude.is_empty() {
        text.push_str("; not: ");
        text.push_str(&exclude.join("; "));
    }
    fdr_record::preview(&text)
}
