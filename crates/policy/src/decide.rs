//! From a record to a decision: one request for each canonical action, and the strictest answer.
//!
//! Nothing but the set and the record is looked at, so that a decision can be made again.

use crate::conditions::Var;
use crate::resource::{Attributes, Place, Type, Value};
use crate::set::{Loaded, PolicySet};
use crate::slices::Who;
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use fdr_record::{Action, ActionBody, Body, Facts, Record, Resource, Verb, Verdict};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

/// How many policies the reason of a decision speaks of.
const MAX_REASONS: usize = 3;

/// How many characters of a resource's name stand in a reason.
const MAX_NAME_CHARS: usize = 200;

/// What a policy set says of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in words for the agent and the human.
    pub reason: String,
    /// Ids of the policies that determined it, sorted.
    pub policies: Vec<String>,
    /// Whether two different people have to approve.
    pub four_eyes: bool,
}

/// One question to the policies.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub verb: Verb,
    pub resource: Resource,
    /// Where a link leads.
    pub leads: Option<String>,
    pub kind: Type,
    pub attributes: Attributes,
    /// What is told of this action.
    pub context: Attributes,
    /// What is told of the whole call.
    pub call: Arc<Attributes>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub verdict: Verdict,
    /// Places in the set of the policies that determined it, in the order of their ids.
    pub policies: Vec<usize>,
    /// What Cedar said of the first policy that could not be evaluated.
    pub error: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub who: Who,
    pub id: String,
    pub attributes: Attributes,
    pub parents: Vec<(Who, String)>,
}

impl PolicySet {
    /// Decides on the action of a record. A record of another kind is denied.
    pub fn decide(&self, record: &Record) -> Decision {
        let Body::Action(body) = &record.body else {
            return Decision {
                verdict: Verdict::Deny,
                reason: format!("a record of kind {} is no action", record.kind),
                policies: Vec::new(),
                four_eyes: false,
            };
        };
        let questions = self.questions(record, body);
        let principal = Principal::of(record);
        let asker = Asker::new(self, &principal);
        let answers: Vec<Answer> = questions.iter().map(|question| asker.ask(question)).collect();
        self.combine(&questions, &answers)
    }

    /// The questions that a record gives: one for each action, and one more for where a move goes.
    pub(crate) fn questions(&self, record: &Record, body: &ActionBody) -> Vec<Question> {
        let fallback;
        let facts = match &body.facts {
            Some(facts) => facts,
            None => {
                // A record from before there was policy: the repository or else the working
                // directory is the workspace.
                let env = record.env.as_ref();
                let root = env.and_then(|env| env.repo.clone().or(env.cwd.clone()));
                fallback = Facts { workspace: root.into_iter().collect(), ..Facts::default() };
                &fallback
            }
        };
        let opaque = !body.opaque.is_empty() || body.actions_left_out > 0;
        let branch = record.env.as_ref().and_then(|env| env.branch.as_deref());
        let place = Place::new(&self.lists, &facts.workspace, &facts.home, opaque).on_branch(branch);
        let unknown = [Action::new(Verb::Execute, Resource::new("tool", &body.tool))];
        let actions = if body.actions.is_empty() { &unknown[..] } else { &body.actions[..] };

        let mut steps: Vec<(&Action, Verb, &Resource, Option<&str>)> = Vec::with_capacity(actions.len());
        for action in actions {
            let is_file = action.resource.kind() == "file";
            let to = action.to.as_ref();
            // A new link is where it is and where it leads.
            let link = to.filter(|to| action.action != Verb::Move && is_file && to.kind() == "file");
            let leads = action.resolves_to.as_deref().filter(|_| is_file).or(link.map(Resource::name));
            steps.push((action, action.action, &action.resource, leads));
            if let Some(to) = to.filter(|_| link.is_none()) {
                steps.push((action, Verb::Write, to, action.to_resolves_to.as_deref()));
            }
        }
        let call = Arc::new(self.call(record, body, facts, &place, &steps, opaque));
        let questions = steps.iter().map(|(action, verb, resource, leads)| {
            let in_call =
                steps.iter().filter(|(_, other, ..)| other == verb).count() as u64 + body.actions_left_out;
            let so_far =
                facts.so_far.iter().filter(|count| count.action == *verb).map(|count| count.count).sum();
            let reversible = !action.destructive
                && !matches!(
                    verb,
                    Verb::Execute | Verb::Delete | Verb::Send | Verb::Delegate | Verb::Approve
                );
            let context = vec![
                ("recursive", Value::Bool(action.recursive)),
                ("destructive", Value::Bool(action.destructive)),
                ("reversible", Value::Bool(reversible)),
                ("so_far", long(so_far)),
                ("in_call", long(in_call)),
            ];
            Question {
                verb: *verb,
                resource: (*resource).clone(),
                leads: leads.map(str::to_owned),
                kind: Type::of(resource),
                attributes: place.attributes(resource, *leads, action.tamper),
                context,
                call: Arc::clone(&call),
            }
        });
        questions.collect()
    }

    /// What is the same for all actions of a call.
    fn call(
        &self,
        record: &Record,
        body: &ActionBody,
        facts: &Facts,
        place: &Place<'_>,
        steps: &[(&Action, Verb, &Resource, Option<&str>)],
        opaque: bool,
    ) -> Attributes {
        let mut taint: BTreeSet<&str> = facts.taint.iter().map(|taint| taint.as_str()).collect();
        for (_, _, resource, leads) in
            steps.iter().filter(|(_, verb, ..)| matches!(verb, Verb::Read | Verb::Search))
        {
            let (secret, outside) = place.taken_in(resource, *leads);
            taint.extend([(secret, "secret"), (outside, "outside")].into_iter().filter(|t| t.0).map(|t| t.1));
        }
        let mut hazards: BTreeSet<&str> = body.hazards.iter().map(|hazard| hazard.as_str()).collect();
        for named in &body.named {
            let (secret, outside) = place.secret_outside(named, None);
            let found = [(secret, "code_secret"), (outside, "code_outside")];
            hazards.extend(found.into_iter().filter(|t| t.0).map(|t| t.1));
        }
        if body.actions_left_out > 0 {
            hazards.insert("left_out");
        }
        let verbs: BTreeSet<&str> = steps.iter().map(|(_, verb, ..)| verb.as_str()).collect();
        let set = |texts: BTreeSet<&str>| Value::Set(texts.into_iter().map(str::to_owned).collect());
        let text = |text: Option<&str>| Value::Text(text.unwrap_or("").to_owned());
        let env = record.env.as_ref();
        let seconds = record.ts.millis() / 1000;
        let size =
            record.content.iter().filter(|content| content.role == "args").map(|content| content.len).sum();
        let mut attributes = Vec::with_capacity(20);
        attributes.extend([
            ("tool", text(Some(&body.tool))),
            ("runtime", text(record.agent.as_ref().map(|agent| agent.runtime.as_str()))),
            ("session", text(record.session.as_deref())),
            ("host", text(env.and_then(|env| env.host.as_deref()))),
            ("repo", text(env.and_then(|env| env.repo.as_deref()))),
            ("branch", text(env.and_then(|env| env.branch.as_deref()))),
            ("permission_mode", text(env.and_then(|env| env.permission_mode.as_deref()))),
            ("hour", long(seconds / 3600 % 24)),
            // 1970-01-01 was a Thursday.
            ("weekday", long((seconds / 86_400 + 3) % 7 + 1)),
            ("opaque", Value::Bool(opaque)),
            ("hazards", set(hazards)),
            ("scope", text(Some(body.intent.as_ref().map_or("none", |intent| intent.scope.as_str())))),
            ("taint", set(taint)),
            ("verbs", set(verbs)),
            ("size", long(size)),
        ]);
        attributes
    }

    /// The strictest answer, with the reasons of all that gave it.
    fn combine(&self, questions: &[Question], answers: &[Answer]) -> Decision {
        let verdict = answers.iter().map(|answer| answer.verdict).max_by_key(|verdict| strictness(*verdict));
        let verdict = verdict.unwrap_or(Verdict::Deny);
        let mut reasons: Vec<String> = Vec::new();
        let mut policies: BTreeSet<usize> = BTreeSet::new();
        let mut others: BTreeSet<String> = BTreeSet::new();
        for (question, answer) in
            questions.iter().zip(answers).filter(|(_, answer)| answer.verdict == verdict)
        {
            if answer.policies.is_empty() {
                let reason = match &answer.error {
                    Some(error) => format!("{} can't be asked about: {error}", question.shown()),
                    None => format!("no policy permits {}: {}", doing(question.verb), question.shown()),
                };
                if others.insert(reason.clone()) {
                    reasons.push(reason);
                }
            }
            for at in &answer.policies {
                if policies.insert(*at) {
                    let info = &self.policies[*at].info;
                    reasons.push(match (&answer.error, verdict) {
                        (Some(error), _) => {
                            format!(
                                "the policy {} can't be evaluated on {}: {error}",
                                info.id,
                                question.shown()
                            )
                        }
                        (None, Verdict::Permit) => format!("{} ({})", info.reason, info.id),
                        (None, _) => format!("{}: {} ({})", info.reason, question.shown(), info.id),
                    });
                }
            }
        }
        // That something is permitted needs no more than one reason.
        let shown = if verdict == Verdict::Permit { 1 } else { MAX_REASONS };
        let more = reasons.len().saturating_sub(shown);
        reasons.truncate(shown);
        let mut reason = reasons.join("; ");
        if more > 0 && verdict != Verdict::Permit {
            reason.push_str(&format!("; and {more} more"));
        }
        let infos = || policies.iter().map(|at| &self.policies[*at].info);
        let mut ids: Vec<String> = infos().map(|info| info.id.clone()).collect();
        ids.sort_unstable();
        Decision {
            verdict,
            reason,
            policies: ids,
            four_eyes: verdict == Verdict::Ask && infos().any(|info| info.four_eyes),
        }
    }
}

impl Question {
    /// An attribute of the context.
    pub fn circumstance(&self, name: &str) -> Option<&(&'static str, Value)> {
        self.context.iter().chain(self.call.iter()).find(|(other, _)| *other == name)
    }

    /// The resource for a person to read.
    pub fn shown(&self) -> String {
        let mut shown = excerpt(self.resource.as_str());
        if let Some(leads) = &self.leads {
            shown.push_str(&format!(" (leads to {})", excerpt(leads)));
        }
        shown
    }
}

fn excerpt(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MAX_NAME_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_NAME_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// The verb in a sentence.
pub(crate) fn doing(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "reading",
        Verb::Write => "writing",
        Verb::Create => "creating",
        Verb::Delete => "deleting",
        Verb::Move => "moving",
        Verb::Execute => "executing",
        Verb::Network => "asking the network",
        Verb::Send => "sending",
        Verb::Delegate => "delegating",
        Verb::Search => "searching",
        Verb::Memory => "remembering",
        Verb::Configure => "configuring",
        Verb::Approve => "approving",
    }
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Permit => 0,
        Verdict::Ask => 1,
        Verdict::Deny => 2,
    }
}

fn long(number: u64) -> Value {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Principal {
    pub fn of(record: &Record) -> Principal {
        let text = |text: Option<&str>| Value::Text(text.unwrap_or("").to_owned());
        let human = record.principal.as_ref();
        let mut parents: Vec<(Who, String)> =
            human.map(|human| (Who::Human, human.id.clone())).into_iter().collect();
        match &record.agent {
            Some(agent) => {
                let who = if agent.parent.is_some() { Who::SubAgent } else { Who::Agent };
                // What can't be, an agent that started itself, must not make a loop.
                let parent = agent.parent.iter().map(|parent| (Who::Agent, parent.clone()));
                parents.extend(parent);
                let attributes = vec![
                    ("name", text(Some(&agent.name))),
                    ("runtime", text(Some(&agent.runtime))),
                    ("model", text(agent.model.as_deref())),
                ];
                Principal { who, id: agent.id.clone(), attributes, parents }
            }
            None => Principal {
                who: Who::Human,
                id: human.map_or_else(|| "unknown".to_owned(), |human| human.id.clone()),
                attributes: vec![("name", text(human.and_then(|human| human.name.as_deref())))],
                parents: Vec::new(),
            },
        }
    }
}

/// Asks questions for one principal.
pub(crate) struct Asker<'s> {
    set: &'s PolicySet,
    principal: &'s Principal,
    uid: EntityUid,
    entity: Option<Entity>,
    authorizer: Authorizer,
}

impl<'s> Asker<'s> {
    pub fn new(set: &'s PolicySet, principal: &'s Principal) -> Asker<'s> {
        let uid = uid(principal.who.as_str(), &principal.id);
        let parents: HashSet<EntityUid> =
            principal.parents.iter().map(|(who, id)| self::uid(who.as_str(), id)).collect();
        let entity = Entity::new_with_tags(uid.clone(), expressions(&principal.attributes), parents, []).ok();
        Asker { set, principal, uid, entity, authorizer: Authorizer::new() }
    }

    pub fn ask(&self, question: &Question) -> Answer {
        let slice = self.set.slices.of(self.principal.who, question.verb, question.kind).iter();
        let policies = slice.map(|at| (*at, &self.set.policies[*at]));
        // Most policies are plainly not about this; Cedar is asked about the others, and told
        // what these can look at.
        let policies: Vec<(usize, &Loaded)> =
            policies.filter(|(_, policy)| !policy.conditions.are_false(question, self.principal)).collect();
        let is_used = |var: Var| {
            let policies = &policies;
            move |(name, _): &&(&'static str, Value)| {
                policies.iter().any(|(_, policy)| policy.conditions.uses(var, name))
            }
        };
        let attributes = question.attributes.iter().filter(is_used(Var::Resource));
        let context = question.context.iter().chain(question.call.iter()).filter(is_used(Var::Context));
        let (request, entities) = match self.request(question, attributes, context) {
            Ok(request) => request,
            Err(error) => return Answer { verdict: Verdict::Deny, policies: Vec::new(), error: Some(error) },
        };
        let mut applies: Vec<usize> = Vec::new();
        let mut errors: Vec<(usize, String)> = Vec::new();
        for (at, policy) in policies {
            let response = self.authorizer.is_authorized(&request, &policy.alone, &entities);
            if let Some(cedar_policy::AuthorizationError::PolicyEvaluationError(error)) =
                response.diagnostics().errors().next()
            {
                errors.push((at, error.inner().to_string()));
            } else if response.diagnostics().reason().next().is_some() {
                applies.push(at);
            }
        }
        self.answer(applies, errors)
    }

    /// Fails only where Cedar refuses what we give it, which is a mistake of ours.
    fn request<'q>(
        &self,
        question: &Question,
        attributes: impl Iterator<Item = &'q (&'static str, Value)>,
        context: impl Iterator<Item = &'q (&'static str, Value)>,
    ) -> Result<(Request, Entities), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let action = &self.set.actions[question.verb as usize];
        let resource = uid(question.kind.as_str(), question.resource.as_str());
        let entity = Entity::new_with_tags(resource.clone(), expressions(attributes), [], []);
        let entities =
            [action.entity.clone(), entity.map_err(|e| text(&e))?].into_iter().chain(self.entity.clone());
        let entities = Entities::from_entities(entities, None).map_err(|e| text(&e))?;
        let context = Context::from_pairs(expressions(context)).map_err(|e| text(&e))?;
        let request = Request::new(self.uid.clone(), action.uid.clone(), resource, context, None);
        Ok((request.map_err(|e| text(&e))?, entities))
    }

    /// The answer, from the policies that apply and those that can't be evaluated: what these
    /// would have said is not known.
    fn answer(&self, applies: Vec<usize>, errors: Vec<(usize, String)>) -> Answer {
        let of = |verdict: Verdict| {
            let of = applies.iter().copied().filter(|at| self.set.policies[*at].info.verdict == verdict);
            self.sorted(of.collect())
        };
        if let Some((_, error)) = errors.first() {
            let error = Some(error.clone());
            let policies = self.sorted(errors.iter().map(|(at, _)| *at).collect());
            return Answer { verdict: Verdict::Deny, policies, error };
        }
        let (denies, asks, permits) = (of(Verdict::Deny), of(Verdict::Ask), of(Verdict::Permit));
        let (verdict, policies) = match (denies.is_empty(), permits.is_empty(), asks.is_empty()) {
            (false, ..) | (_, true, _) => (Verdict::Deny, denies),
            (_, _, false) => (Verdict::Ask, asks),
            _ => (Verdict::Permit, permits),
        };
        Answer { verdict, policies, error: None }
    }

    fn sorted(&self, mut policies: Vec<usize>) -> Vec<usize> {
        policies.sort_unstable_by_key(|at| &self.set.policies[*at].info.id);
        policies
    }
}

fn expressions<'a>(
    attributes: impl IntoIterator<Item = &'a (&'static str, Value)>,
) -> impl Iterator<Item = (String, RestrictedExpression)> {
    attributes.into_iter().map(|(name, value)| ((*name).to_owned(), expression(value)))
}

/// An entity's id. The names of types are known beforehand.
fn uid(type_name: &'static str, id: &str) -> EntityUid {
    static NAMES: OnceLock<Vec<(&'static str, EntityTypeName)>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let types = Type::ALL.into_iter().map(Type::as_str).chain(Who::ALL.into_iter().map(Who::as_str));
        types.map(|name| (name, EntityTypeName::from_str(name).expect("a plain name"))).collect()
    });
    let name = names.iter().find(|(name, _)| *name == type_name).map(|(_, name)| name.clone());
    EntityUid::from_type_name_and_id(name.expect("every type is in the list"), EntityId::new(id))
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::Text(value) => RestrictedExpression::new_string(value.clone()),
        Value::Set(values) => {
            RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::SetFile;
    use proptest::prelude::*;

    /// Policies of every form of scope.
    fn mixed() -> PolicySet {
        let rules = [
            "permit (principal, action, resource)",
            "permit (principal is Agent, action in [Action::\"read\", Action::\"search\"], resource is File)",
            "forbid (principal, action in Action::\"change\", resource is File) unless { resource.inside }",
            "forbid (principal, action in Action::\"outward\", resource) unless { resource.allowed }",
            "ask (principal is SubAgent, action == Action::\"execute\", resource is Process)",
            "ask (principal in Human::\"uid:0\", action, resource)",
            "ask (principal == Human::\"uid:1000\", action, resource is Git) when { resource.protected }",
            "forbid (principal in Agent::\"s1\", action == Action::\"delete\", resource)",
            "forbid (principal is SubAgent in Human::\"uid:0\", action, resource is Mcp)",
            "forbid (principal, action, resource == File::\"file:/w/a\") when { context.destructive }",
            "forbid (principal, action, resource) when { action in Action::\"change\" && resource.kind == \"env\" }",
            "ask (principal, action, resource) when { resource.secret || context.opaque }",
            "ask (principal, action, resource) when { context.branch like \"a*b/*\" }",
            "ask (principal, action, resource) unless { context.branch != \"a\" && context.size >= 5 || context.size < 4 }",
            "forbid (principal, action, resource) when { context.size + 1 > 5 && context.opaque }",
            "ask (principal, action, resource) when { context.taint.containsAny([\"web\", \"x\"]) && context.size > 4 }",
            "ask (principal, action, resource) when { [\"db\", \"env\"].contains(resource.kind) && context.size <= 5 }",
            "forbid (principal, action, resource) when { resource is File && resource.home }",
            "ask (principal, action, resource) when { principal is SubAgent && principal.name == \"x\" }",
            "ask (principal, action, resource) when { principal in Human::\"uid:1\" && resource == Git::\"git:.#x\" }",
            "ask (principal, action, resource) unless { principal != Agent::\"s1\" || context.size > 0 }",
            "forbid (principal is Agent in Human::\"uid:1\", action, resource in File::\"file:/etc/x\")",
        ];
        let text: String = (0..)
            .zip(rules)
            .map(|(at, rule)| {
                let (decision, rule) = match rule.strip_prefix("ask") {
                    Some(rule) => ("@decision(\"ask\") ", format!("forbid{rule}")),
                    None => ("", rule.to_owned()),
                };
                format!("@id(\"m/{at}\") @reason(\"r\") @control(\"c\") {decision}{rule};\n")
            })
            .collect();
        let lists = "secrets = [\"**/.env\"]\nprotected_branches = [\"main\"]\nallowed_hosts = [\"h\"]";
        PolicySet::from_files(vec![
            SetFile { name: "m/m.cedar".to_owned(), text },
            SetFile { name: "m/lists.toml".to_owned(), text: lists.to_owned() },
        ])
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What Cedar says if it is given all policies and all attributes.
    fn whole(asker: &Asker<'_>, question: &Question) -> Answer {
        let context = question.context.iter().chain(question.call.iter());
        let (request, entities) = asker.request(question, question.attributes.iter(), context).unwrap();
        let (mut applies, mut errors) = (Vec::new(), Vec::new());
        for asks in [true, false] {
            let of = |loaded: &&Loaded| (loaded.info.verdict == Verdict::Ask) == asks;
            let policies = asker.set.policies.iter().filter(of).map(|loaded| loaded.policy.clone());
            let policies = cedar_policy::PolicySet::from_policies(policies).unwrap();
            let response = asker.authorizer.is_authorized(&request, &policies, &entities);
            let place = |id: &cedar_policy::PolicyId| {
                asker.set.policies.iter().position(|loaded| loaded.policy.id() == id).unwrap()
            };
            applies.extend(response.diagnostics().reason().map(place));
            errors.extend(response.diagnostics().errors().map(|error| {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                (place(error.policy_id()), error.inner().to_string())
            }));
        }
        errors.sort();
        asker.answer(applies, errors)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn slices_answer_as_the_whole_set_does(
            verb in 0..Verb::ALL.len(),
            who in 0..Who::ALL.len(),
            id in prop::sample::select(vec!["s1", "uid:0", "uid:1000"]),
            parent in prop::sample::select(vec![(Who::Human, "uid:0"), (Who::Human, "uid:1"), (Who::Agent, "s1")]),
            resource in prop::sample::select(vec![
                "file:/w/a", "file:/w/.env", "file:/etc/x", "url:https://h/", "url:https://x/", "host:h", "proc:make",
                "git:origin#main", "git:.#x", "db:a/b/c", "mcp:s/t", "env:A", "env:TOKEN", "tool:x", "odd", "",
            ]),
            destructive: bool,
            opaque: bool,
            size in prop::sample::select(vec![0, 4, 5, 6, i64::MAX]),
            branch in "[ab*/]{0,6}",
            taint in prop::collection::btree_set(prop::sample::select(vec!["secret", "web"]), 0..3),
        ) {
            static SET: OnceLock<PolicySet> = OnceLock::new();
            let set = SET.get_or_init(mixed);
            let (kind, name) = resource.split_once(':').unwrap_or(("", resource));
            let resource = Resource::new(kind, name);
            let workspace = ["/w".to_owned()];
            let place = Place::new(&set.lists, &workspace, "/home/dev", false);
            let text = || Value::Text(String::new());
            let attributes = match Who::ALL[who] {
                Who::Human => vec![("name", text())],
                _ => vec![("name", text()), ("runtime", text()), ("model", text())],
            };
            let principal = Principal {
                who: Who::ALL[who],
                id: id.to_owned(),
                attributes,
                // Nobody is in themselves.
                parents: [(parent.0, parent.1.to_owned())].into_iter().filter(|of| *of != (Who::ALL[who], id.to_owned())).collect(),
            };
            let question = Question {
                verb: Verb::ALL[verb],
                leads: None,
                kind: Type::of(&resource),
                attributes: place.attributes(&resource, None, false),
                resource,
                context: vec![
                    ("destructive", Value::Bool(destructive)),
                    ("size", Value::Long(size)),
                    ("branch", Value::Text(branch)),
                    ("taint", Value::Set(taint.into_iter().map(str::to_owned).collect())),
                ],
                call: Arc::new(vec![("opaque", Value::Bool(opaque))]),
            };
            let asker = Asker::new(set, &principal);
            prop_assert_eq!(asker.ask(&question), whole(&asker, &question));
        }
    }
}
