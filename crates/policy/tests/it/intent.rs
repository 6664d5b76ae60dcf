//! What prompts are read as, and what actions are marked as: `intent/*.txt` are tables.
//!
//! The expectations were written by judgement, before the program was asked. A prompt goes on over
//! lines that begin with `> `. `FDR_SHOW=1` prints all differences instead of the first.

use fdr_policy::intent::{Place, check, declared, derive, merge};
use fdr_record::shell::{Context, normalise};
use fdr_record::{
    Action, ActionBody, InScope, Intent, Mode, Normalised, PolicyDecision, RecordId, Resource, ScopeRule, Timestamp, Verb,
};
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

const PLACE: Place<'static> = Place { cwd: "/w/app", home: "/home/dev", repo: "/w/app" };

fn table(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/intent").join(name);
    std::fs::read_to_string(path).expect("the tables are part of the sources")
}

/// A prompt with the lines that belong to it.
struct Case {
    prompt: String,
    lines: Vec<String>,
}

fn cases(name: &str, mark: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in table(name).lines() {
        if let Some(prompt) = line.strip_prefix(mark) {
            cases.push(Case { prompt: prompt.to_owned(), lines: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            if let Some(more) = line.strip_prefix("> ").or((line == ">").then_some("")) {
                case.prompt.push('\n');
                case.prompt.push_str(more);
            } else if !line.is_empty() && !line.starts_with('#') {
                case.lines.push(line.to_owned());
            }
        }
    }
    cases
}

fn full(resource: &str) -> String {
    match resource.strip_prefix("./") {
        Some(path) => format!("file:/w/app/{path}"),
        None if resource.starts_with('/') => format!("file:{resource}"),
        None => resource.to_owned(),
    }
}

const NAMES: &[(&str, &[Verb])] = &[
    ("touch", &[Verb::Write, Verb::Create, Verb::Delete, Verb::Move, Verb::Configure]),
    ("use", &[Verb::Network, Verb::Configure, Verb::Write, Verb::Execute]),
    ("change", &[Verb::Write, Verb::Create, Verb::Move]),
    ("look", &[Verb::Read, Verb::Search]),
];

/// Several verbs by one name, the rest by their own.
fn verbs(rule: &ScopeRule) -> String {
    let mut left: Vec<Verb> = rule.actions.clone();
    left.sort();
    let mut names: Vec<&str> = Vec::new();
    if left.is_empty() {
        return "any".to_owned();
    }
    for (name, group) in NAMES {
        if group.iter().all(|verb| left.contains(verb)) {
            left.retain(|verb| !group.contains(verb));
            names.push(name);
        }
    }
    names.extend(left.iter().map(|verb| verb.as_str()));
    names.sort_unstable();
    names.join(" ")
}

fn lines(intent: &Intent) -> Vec<String> {
    let resource = |rule: &ScopeRule| match rule.resource.strip_prefix("file:/w/app/") {
        Some(path) => format!("./{path}"),
        None => rule.resource.clone(),
    };
    let mut lines: Vec<String> = intent.allow.iter().map(|rule| format!("+ {} {}", verbs(rule), resource(rule))).collect();
    lines.extend(intent.exclude.iter().map(|rule| format!("- {} {}", verbs(rule), resource(rule))));
    lines.extend(intent.closed.then(|| "only".to_owned()));
    lines.extend(intent.goes_on.then(|| "goes on".to_owned()));
    lines.sort();
    lines
}

/// The same notation from a table: verbs in any order.
fn canonical(line: &str) -> String {
    let Some((sign, rest)) = line.split_once(' ').filter(|(sign, _)| matches!(*sign, "+" | "-")) else {
        return line.to_owned();
    };
    let is_resource = |word: &str| word.contains([':', '/', '*']);
    let at = rest.split(' ').position(is_resource).expect("a rule names a resource");
    let mut verbs: Vec<&str> = rest.split(' ').take(at).collect();
    verbs.sort_unstable();
    let resource = rest.split(' ').skip(at).collect::<Vec<_>>().join(" ");
    format!("{sign} {} {resource}", verbs.join(" "))
}

fn assert_none(differences: Vec<String>, all: usize) {
    assert!(differences.is_empty(), "{} of {all} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn prompts_are_read_as_the_table_says() {
    let cases = cases("derive.txt", "$ ");
    assert!(cases.len() >= 150);
    let mut differences = Vec::new();
    for case in &cases {
        let mut want: Vec<String> = case.lines.iter().map(|line| canonical(line)).collect();
        want.sort();
        let found = lines(&derive(&case.prompt, &PLACE));
        if found != want {
            differences.push(format!("{}\n  want {want:?}\n  is   {found:?}", case.prompt));
        }
    }
    assert_none(differences, cases.len());
}

fn body(tool: &str, summary: &str, found: Normalised) -> ActionBody {
    ActionBody::new(tool, summary.to_owned(), found, PolicyDecision::undecided(Mode::Observe))
}

fn action(text: &str) -> ActionBody {
    if let Some(command) = text.strip_prefix("$ ") {
        return body("Bash", command, normalise(command, &Context { cwd: PLACE.cwd, home: PLACE.home }));
    }
    let (verb, resource) = text.split_once(' ').expect("a verb and a resource");
    let verb = Verb::ALL.into_iter().find(|v| v.as_str() == verb).expect("a verb");
    let full = full(resource);
    let (kind, name) = full.split_once(':').expect("a kind and a name");
    let mut found = Normalised::default();
    found.push(Action::new(verb, Resource::new(kind, name)));
    body(if verb == Verb::Delegate { "Task" } else { "Write" }, name, found)
}

fn mark(scope: InScope) -> &'static str {
    match scope {
        InScope::InScope => "in",
        InScope::OutOfScope => "out",
        InScope::Unclear => "unclear",
    }
}

fn marks(name: &str) {
    let cases = cases(name, "? ");
    let mut differences = Vec::new();
    let mut all = 0;
    for case in &cases {
        let intent = derive(&case.prompt, &PLACE);
        for line in &case.lines {
            all += 1;
            let (want, what) = line.split_once(' ').expect("a mark and an action");
            let (scope, reason) = check(&intent, Timestamp(0), &action(what), &PLACE);
            assert!(!reason.is_empty(), "{what}");
            if mark(scope) != want {
                differences.push(format!("{:?}\n  {what}: want {want}, is {} ({reason})", case.prompt, mark(scope)));
            }
        }
    }
    assert_none(differences, all);
}

#[test]
fn actions_are_marked_as_the_table_says() {
    marks("check.txt");
}

#[test]
fn long_prompts_of_developers_mark_actions_as_the_table_says() {
    assert!(cases("long.txt", "? ").len() >= 30);
    marks("long.txt");
}
