//! Why a decision came out as it did, and the smallest change that would turn it.
//!
//! The change is found by asking again: one attribute that the policies in question speak of is
//! made different, then two. The same record and set give the same explanation.

use crate::conditions::{Compared, Mentions, Var, mentions};
use crate::decide::{Answer, Asker, Decision, Principal, Question, doing};
use crate::lists::glob_matches;
use crate::resource::{Type, Value};
use crate::set::{PolicyInfo, PolicySet};
use fdr_record::{Body, Record, Verb, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many requests are explained; the others have the same verdict.
pub const MAX_REQUESTS: usize = 8;
/// How many changes of the same size are told.
pub const MAX_CHANGES: usize = 3;
/// How many policies are searched for attributes.
const MAX_POLICIES: usize = 200;
/// How many pairs of changes are tried.
const MAX_PAIRS: usize = 4_000;

/// Why a decision came out as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Who asked: `Agent::"…"`.
    pub principal: String,
    /// The requests that have the verdict of the decision.
    pub requests: Vec<Explained>,
    /// How many more have it.
    pub requests_left_out: usize,
}

/// One request: an action on a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The verb.
    pub action: Verb,
    /// The name of the resource, as it stands in the record.
    pub resource: String,
    /// Its type in the schema.
    pub resource_type: &'static str,
    /// The verdict on this request.
    pub verdict: Verdict,
    /// What Cedar said of a policy that can't be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The policies that determined it; none, if no policy permits it.
    pub policies: Vec<PolicyInfo>,
    /// What these policies ask for, and what it was: `resource.inside` …
    pub attributes: Vec<Attribute>,
    /// The smallest changes that turn the verdict: to PERMIT, or from it.
    pub changes: Vec<Change>,
}

/// An attribute and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// The name, such as `context.destructive`.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// A change, and what the verdict would be with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// In words: `if the path were inside the workspace: PERMIT`.
    pub words: String,
    /// What would be different.
    pub flips: Vec<Flip>,
    /// The verdict with it.
    pub verdict: Verdict,
}

/// One thing that would be different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// `action`, or the name of an attribute.
    pub name: String,
    /// What it was.
    pub from: Value,
    /// What it would be.
    pub to: Value,
}

/// A change that can be tried.
#[derive(Clone, Debug)]
struct Candidate {
    flip: Flip,
    words: String,
    apply: Apply,
}

#[derive(Clone, Debug)]
enum Apply {
    Verb(Verb),
    Set(Var, &'static str, Value),
}

impl PolicySet {
    /// Explains the decision on the action of a record.
    pub fn explain(&self, record: &Record) -> Explanation {
        let decision = self.decide(record);
        let principal = Principal::of(record);
        let shown = format!("{}::{:?}", principal.who.as_str(), principal.id);
        let Body::Action(body) = &record.body else {
            return Explanation { decision, principal: shown, requests: Vec::new(), requests_left_out: 0 };
        };
        let workspace = body.facts.as_ref().map_or(&[][..], |facts| &facts.workspace[..]).join(", ");
        let asker = Asker::new(self, &principal);
        let mut requests = Vec::new();
        let mut requests_left_out = 0;
        for question in self.questions(record, body) {
            let answer = asker.ask(&question);
            if answer.verdict != decision.verdict {
                continue;
            }
            if requests.len() == MAX_REQUESTS {
                requests_left_out += 1;
                continue;
            }
            let search =
                Search { set: self, principal: &principal, workspace: &workspace, question: &question };
            requests.push(search.explained(&asker, answer));
        }
        Explanation { decision, principal: shown, requests, requests_left_out }
    }
}

struct Search<'s> {
    set: &'s PolicySet,
    principal: &'s Principal,
    workspace: &'s str,
    question: &'s Question,
}

impl Search<'_> {
    fn explained(&self, asker: &Asker<'_>, answer: Answer) -> Explained {
        let question = self.question;
        let mentions = self.mentions(&answer.policies);
        let attributes = mentions.keys().filter_map(|(var, name)| {
            let (_, value) = self.value(*var, name)?;
            Some(Attribute { name: format!("{}.{name}", var.as_str()), value: value.clone() })
        });
        Explained {
            action: question.verb,
            resource: question.resource.as_str().to_owned(),
            resource_type: question.kind.as_str(),
            verdict: answer.verdict,
            error: answer.error.clone(),
            policies: answer.policies.iter().map(|at| self.set.policies[*at].info.clone()).collect(),
            attributes: attributes.collect(),
            changes: self.changes(asker, &answer),
        }
    }

    fn changes(&self, asker: &Asker<'_>, answer: &Answer) -> Vec<Change> {
        let turns = |verdict: Verdict| (verdict == Verdict::Permit) != (answer.verdict == Verdict::Permit);
        let mut seen: BTreeSet<usize> = answer.policies.iter().copied().collect();
        if answer.verdict == Verdict::Permit || seen.is_empty() {
            // What forbids, or permits, does not apply yet: all that could is looked through.
            let wanted = |at: &usize| {
                (self.set.policies[*at].info.verdict == Verdict::Permit)
                    != (answer.verdict == Verdict::Permit)
            };
            let (who, verb, kind) = (self.principal.who, self.question.verb, self.question.kind);
            seen.extend(
                self.set.slices.of(who, verb, kind).iter().copied().filter(wanted).take(MAX_POLICIES),
            );
        }
        let policies = |seen: &BTreeSet<usize>| seen.iter().copied().collect::<Vec<_>>();
        let mut candidates = self.candidates(&policies(&seen));
        // A change may only bring out the next policy that is against it: its attributes count too.
        for _ in 0..3 {
            let had = seen.len();
            let mut found = Vec::new();
            for candidate in &candidates {
                let answer = asker.ask(&self.with(&[candidate]));
                if turns(answer.verdict) {
                    found.push(change(&[candidate], answer.verdict));
                } else {
                    seen.extend(answer.policies);
                }
            }
            if !found.is_empty() {
                found.truncate(MAX_CHANGES);
                return found;
            }
            if seen.len() == had {
                break;
            }
            candidates = self.candidates(&policies(&seen));
        }
        let mut found = Vec::new();
        let pairs = candidates
            .iter()
            .enumerate()
            .flat_map(|(at, first)| candidates[at + 1..].iter().map(move |second| (first, second)))
            .filter(|(first, second)| first.flip.name != second.flip.name);
        for (first, second) in pairs.take(MAX_PAIRS) {
            let answer = asker.ask(&self.with(&[first, second]));
            if turns(answer.verdict) {
                found.push(change(&[first, second], answer.verdict));
                if found.len() == MAX_CHANGES {
                    break;
                }
            }
        }
        found
    }

    fn with(&self, candidates: &[&Candidate]) -> Question {
        let mut question = self.question.clone();
        for candidate in candidates {
            match &candidate.apply {
                Apply::Verb(verb) => question.verb = *verb,
                Apply::Set(var, name, value) => {
                    let attributes = match var {
                        Var::Context if question.context.iter().any(|(other, _)| other == name) => {
                            &mut question.context
                        }
                        Var::Context => Arc::make_mut(&mut question.call),
                        _ => &mut question.attributes,
                    };
                    if let Some((_, old)) = attributes.iter_mut().find(|(other, _)| other == name) {
                        *old = value.clone();
                    }
                }
            }
        }
        question
    }

    fn value(&self, var: Var, name: &str) -> Option<&(&'static str, Value)> {
        let attributes = match var {
            Var::Principal => &self.principal.attributes,
            Var::Resource => &self.question.attributes,
            Var::Context => return self.question.circumstance(name),
        };
        attributes.iter().find(|(other, _)| *other == name)
    }

    fn mentions(&self, policies: &[usize]) -> Mentions {
        let mut found = Mentions::new();
        for at in policies {
            if let Ok(json) = self.set.policies[*at].policy.to_json() {
                mentions(&json["conditions"], &mut found);
            }
        }
        found
    }

    /// What can be tried, the plainest first: what is true or not of the resource, then of the
    /// call, sets and scopes, numbers, other texts, and in the end another verb.
    fn candidates(&self, policies: &[usize]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ((var, name), compared) in self.mentions(policies) {
            let Some((name, value)) = self.value(var, &name).filter(|_| var != Var::Principal) else {
                continue;
            };
            for (to, other_than) in others(value, &compared) {
                let words = self.words(var, name, value, &to, other_than.as_deref());
                let flip =
                    Flip { name: format!("{}.{name}", var.as_str()), from: value.clone(), to: to.clone() };
                candidates.push(Candidate { flip, words, apply: Apply::Set(var, name, to) });
            }
        }
        candidates.sort_by_key(|candidate| match &candidate.apply {
            Apply::Set(Var::Resource, _, Value::Bool(_)) => 0,
            Apply::Set(_, _, Value::Bool(_)) => 1,
            Apply::Set(_, _, Value::Set(_)) | Apply::Set(_, "scope", _) => 2,
            Apply::Set(_, _, Value::Long(_)) => 3,
            Apply::Set(..) | Apply::Verb(_) => 4,
        });
        for verb in Verb::ALL.into_iter().filter(|verb| *verb != self.question.verb) {
            let text = |verb: Verb| Value::Text(verb.as_str().to_owned());
            candidates.push(Candidate {
                flip: Flip { name: "action".to_owned(), from: text(self.question.verb), to: text(verb) },
                words: format!("it were {} instead of {}", doing(verb), doing(self.question.verb)),
                apply: Apply::Verb(verb),
            });
        }
        candidates
    }

    /// What would be different, for a person to read.
    fn words(&self, var: Var, name: &str, from: &Value, to: &Value, other_than: Option<&str>) -> String {
        let kind = self.question.kind;
        let thing = match kind {
            Type::File => "the path",
            Type::Url | Type::Host => "the host",
            Type::Process => "the program",
            Type::Git => "the ref",
            Type::Database => "the table",
            Type::Mcp => "the server",
            Type::Other => "the resource",
        };
        match (var, name, to) {
            (Var::Resource, "inside", Value::Bool(is)) => match (kind, *is) {
                (Type::File, true) => format!("the path were inside the workspace ({})", self.workspace),
                (Type::File, false) => format!("the path were outside the workspace ({})", self.workspace),
                (_, true) => format!("{thing} were on this machine"),
                (_, false) => format!("{thing} were on another machine"),
            },
            (Var::Resource, "allowed", Value::Bool(is)) => {
                let list = if kind == Type::Mcp { "allowed_mcp" } else { "allowed_hosts" };
                format!("{thing} were {}in {list}", not(*is))
            }
            (Var::Resource, "protected", Value::Bool(is)) => format!("the branch were {}protected", not(*is)),
            (Var::Resource, "secret", Value::Bool(is)) => format!("{thing} were {}secret", not(*is)),
            (Var::Resource, "tamper", Value::Bool(is)) => {
                format!("{thing} were {}part of what guards the agent", not(*is))
            }
            (Var::Resource, name, Value::Bool(is)) => {
                let what = match name {
                    "scratch" => "a file for temporary use",
                    "home" => "in the home folder",
                    "system" => "part of the operating system",
                    "agent_config" => "a setting of an agent",
                    "startup" => "run by itself later",
                    "repository" => "in the insides of a repository",
                    "whole" => "the whole workspace or home folder",
                    "loopback" => "this machine",
                    "private" => "in a private network",
                    "metadata" => "a metadata service",
                    name => name,
                };
                format!("{thing} were {}{what}", not(*is))
            }
            (Var::Context, "opaque", Value::Bool(is)) => {
                format!("the call were {}known in full", not(!*is))
            }
            (Var::Context, name, Value::Bool(is)) => format!("the action were {}{name}", not(*is)),
            (Var::Context, "scope", Value::Text(to)) if other_than.is_none() => match to.as_str() {
                "in_scope" => "the action were in the scope of what was asked for".to_owned(),
                "out_of_scope" => "the action were out of the scope of what was asked for".to_owned(),
                "unclear" => "what was asked for didn't tell".to_owned(),
                _ => "nothing had been asked for".to_owned(),
            },
            (_, name, Value::Set(to)) => {
                let Value::Set(from) = from else { return format!("{name} were {to:?}") };
                let gone: Vec<&String> = from.iter().filter(|member| !to.contains(member)).collect();
                let come: Vec<&String> = to.iter().filter(|member| !from.contains(member)).collect();
                match (name, &gone[..], &come[..]) {
                    ("taint", [gone], []) => format!("the agent had not taken in anything of kind {gone:?}"),
                    ("taint", [], [come]) => format!("the agent had taken in something of kind {come:?}"),
                    ("hazards", [gone], []) => format!("the call had no hazard {gone:?}"),
                    ("hazards", [], [come]) => format!("the call had the hazard {come:?}"),
                    (_, gone, []) => format!("{}.{name} had no {}", var.as_str(), listed(gone)),
                    (_, _, come) => format!("{}.{name} had {}", var.as_str(), listed(come)),
                }
            }
            (var, name, to) => match other_than {
                Some(other) => format!("{}.{name} were other than {other}", var.as_str()),
                None => format!("{}.{name} were {to}", var.as_str()),
            },
        }
    }
}

fn not(is: bool) -> &'static str {
    if is { "" } else { "not " }
}

fn listed(names: &[&String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn change(candidates: &[&Candidate], verdict: Verdict) -> Change {
    let words: Vec<&str> = candidates.iter().map(|candidate| candidate.words.as_str()).collect();
    Change {
        words: format!("if {}: {}", words.join(" and "), verdict.as_str()),
        flips: candidates.iter().map(|candidate| candidate.flip.clone()).collect(),
        verdict,
    }
}

/// Other values that make a difference to what a value is compared with; and what a value is
/// only meant to differ from.
fn others(value: &Value, compared: &BTreeSet<Compared>) -> Vec<(Value, Option<String>)> {
    match value {
        Value::Bool(value) => vec![(Value::Bool(!value), None)],
        Value::Long(value) => {
            let near = |number: &Compared| match number {
                Compared::Long(number) => vec![*number, number.saturating_add(1), number.saturating_sub(1)],
                _ => Vec::new(),
            };
            let numbers: BTreeSet<i64> =
                compared.iter().flat_map(near).filter(|number| number != value).collect();
            let mut numbers: Vec<i64> = numbers.into_iter().collect();
            numbers.sort_by_key(|number| (number.abs_diff(*value), *number));
            numbers.into_iter().map(|number| (Value::Long(number), None)).collect()
        }
        Value::Set(members) => {
            let texts = compared.iter().filter_map(|compared| match compared {
                Compared::Text(text) => Some(text),
                _ => None,
            });
            let mut sets: Vec<Vec<String>> = texts
                .map(|text| {
                    let mut set: Vec<String> =
                        members.iter().filter(|member| *member != text).cloned().collect();
                    if !members.contains(text) {
                        set.push(text.clone());
                        set.sort_unstable();
                    }
                    set
                })
                .collect();
            if !members.is_empty() && !sets.iter().any(Vec::is_empty) {
                sets.push(Vec::new());
            }
            sets.into_iter().map(|set| (Value::Set(set), None)).collect()
        }
        Value::Text(value) => {
            let mut texts: Vec<(Value, Option<String>)> = Vec::new();
            for compared in compared {
                match compared {
                    Compared::Text(text) if text == value => {
                        texts.push((Value::Text(String::new()), Some(format!("{text:?}"))));
                    }
                    Compared::Text(text) => texts.push((Value::Text(text.clone()), None)),
                    Compared::Like(pattern) if glob_matches(pattern, value) => {
                        texts.push((Value::Text(String::new()), Some(format!("like {pattern:?}"))));
                    }
                    Compared::Like(pattern) => texts.push((Value::Text(pattern.replace('*', "")), None)),
                    Compared::Long(_) => {}
                }
            }
            texts.retain(|(text, _)| *text != Value::Text(value.clone()));
            texts
        }
    }
}
