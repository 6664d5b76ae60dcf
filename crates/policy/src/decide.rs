//! From a record to a decision: one request for each canonical action, and the strictest answer.
//!
//! Nothing but the set and the record is looked at, so that a decision can be made again.

use crate::resource::{Attributes, Place, Type, Value};
use crate::set::PolicySet;
use crate::slices::{Slice, Who};
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use fdr_record::{Action, ActionBody, Body, Facts, Record, Resource, Verb, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::OnceLock;

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
    pub context: Attributes,
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
        let mut asker = Asker::new(self, &Principal::of(record));
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
        let place = Place::new(&self.lists, &facts.workspace, &facts.home, opaque);
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
                steps.push((action, Verb::Write, to, None));
            }
        }
        let calls = self.call(record, body, facts, &place, &steps, opaque);
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
            let mut context = calls.clone();
            context.extend([
                ("recursive", Value::Bool(action.recursive)),
                ("destructive", Value::Bool(action.destructive)),
                ("reversible", Value::Bool(reversible)),
                ("so_far", long(so_far)),
                ("in_call", long(in_call)),
            ]);
            Question {
                verb: *verb,
                resource: (*resource).clone(),
                leads: leads.map(str::to_owned),
                kind: Type::of(resource),
                attributes: place.attributes(resource, *leads, action.tamper),
                context,
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
            let (secret, outside) = place.secret_outside(resource, *leads);
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
    who: Who,
    uid: EntityUid,
    entity: Option<Entity>,
    authorizer: Authorizer,
    context: Option<(Attributes, Context)>,
    /// All policies of the set, where slices are not to be used.
    whole: Option<&'s Slice>,
}

impl<'s> Asker<'s> {
    pub fn new(set: &'s PolicySet, principal: &Principal) -> Asker<'s> {
        let uid = uid(principal.who.as_str(), &principal.id);
        let parents: HashSet<EntityUid> =
            principal.parents.iter().map(|(who, id)| self::uid(who.as_str(), id)).collect();
        let attributes =
            principal.attributes.iter().map(|(name, value)| ((*name).to_owned(), expression(value)));
        let entity = Entity::new_with_tags(uid.clone(), attributes, parents, []).ok();
        Asker {
            set,
            who: principal.who,
            uid,
            entity,
            authorizer: Authorizer::new(),
            context: None,
            whole: None,
        }
    }

    /// The same without slices.
    #[cfg(test)]
    pub fn of_whole(mut self, whole: &'s Slice) -> Asker<'s> {
        self.whole = Some(whole);
        self
    }

    pub fn ask(&mut self, question: &Question) -> Answer {
        self.try_ask(question).unwrap_or_else(|error| Answer {
            verdict: Verdict::Deny,
            policies: Vec::new(),
            error: Some(error),
        })
    }

    /// Fails only where Cedar refuses what we give it, which is a mistake of ours.
    fn try_ask(&mut self, question: &Question) -> Result<Answer, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let action = &self.set.slices.actions[question.verb as usize];
        let resource = uid(question.kind.as_str(), question.resource.as_str());
        let attributes =
            question.attributes.iter().map(|(name, value)| ((*name).to_owned(), expression(value)));
        let entity = Entity::new_with_tags(resource.clone(), attributes, [], []).map_err(|e| text(&e))?;
        let entities = [action.entity.clone(), entity].into_iter().chain(self.entity.clone());
        let entities = Entities::from_entities(entities, None).map_err(|e| text(&e))?;
        let context = match &self.context {
            Some((attributes, context)) if *attributes == question.context => context.clone(),
            _ => {
                let pairs =
                    question.context.iter().map(|(name, value)| ((*name).to_owned(), expression(value)));
                let context = Context::from_pairs(pairs).map_err(|e| text(&e))?;
                self.context = Some((question.context.clone(), context.clone()));
                context
            }
        };
        let request = Request::new(self.uid.clone(), action.uid.clone(), resource, context, None);
        let request = request.map_err(|e| text(&e))?;
        let slice = match self.whole {
            Some(whole) => whole,
            None => self.set.slices.of(&self.set.policies, self.who, question.verb, question.kind),
        };
        let rules = self.authorizer.is_authorized(&request, &slice.rules, &entities);
        if let Some(answer) = self.error(&rules) {
            return Ok(answer);
        }
        let verdict = match rules.decision() {
            cedar_policy::Decision::Allow => Verdict::Permit,
            cedar_policy::Decision::Deny => Verdict::Deny,
        };
        let mut answer = Answer { verdict, policies: self.determining(&rules), error: None };
        if slice.has_asks {
            let asks = self.authorizer.is_authorized(&request, &slice.asks, &entities);
            if let Some(answer) = self.error(&asks) {
                return Ok(answer);
            }
            let policies = self.determining(&asks);
            if verdict == Verdict::Permit && !policies.is_empty() {
                answer = Answer { verdict: Verdict::Ask, policies, error: None };
            }
        }
        Ok(answer)
    }

    fn determining(&self, response: &cedar_policy::Response) -> Vec<usize> {
        self.sorted(response.diagnostics().reason())
    }

    fn sorted<'r>(&self, ids: impl Iterator<Item = &'r cedar_policy::PolicyId>) -> Vec<usize> {
        let mut found: Vec<usize> = ids.filter_map(|id| self.set.by_id.get(id).copied()).collect();
        found.sort_unstable_by_key(|at| &self.set.policies[*at].info.id);
        found
    }

    /// The answer if a policy could not be evaluated: what it would have said is not known.
    fn error(&self, response: &cedar_policy::Response) -> Option<Answer> {
        let errors: BTreeMap<usize, String> = response
            .diagnostics()
            .errors()
            .filter_map(|error| {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                let at = *self.set.by_id.get(error.policy_id())?;
                Some((at, error.inner().to_string()))
            })
            .collect();
        let first = errors.values().next()?.clone();
        let mut policies: Vec<usize> = errors.into_keys().collect();
        policies.sort_unstable_by_key(|at| &self.set.policies[*at].info.id);
        Some(Answer { verdict: Verdict::Deny, policies, error: Some(first) })
    }
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
