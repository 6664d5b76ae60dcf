//! What the conditions of a policy speak of, read from Cedar's JSON form of it; and which policies
//! need not be asked, because a part of their conditions is plainly false.

use crate::decide::{Principal, Question};
use crate::resource::Value;
use crate::slices::{ActionEntity, Who};
use fdr_record::Verb;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// What a policy speaks of: attributes, and what they are compared with.
pub(crate) type Mentions = BTreeMap<(Var, String), BTreeSet<Compared>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Var {
    Principal,
    Resource,
    Context,
}

impl Var {
    pub fn as_str(self) -> &'static str {
        match self {
            Var::Principal => "principal",
            Var::Resource => "resource",
            Var::Context => "context",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Compared {
    Text(String),
    /// A pattern of `like`, with `*`.
    Like(String),
    Long(i64),
}

/// Goes through the JSON form of a policy's conditions
/// (docs.cedarpolicy.com/policies/json-format.html).
pub(crate) fn mentions(json: &Json, found: &mut Mentions) {
    match json {
        Json::Array(parts) => parts.iter().for_each(|part| self::mentions(part, found)),
        Json::Object(parts) => {
            if let Some(access) = access(json) {
                found.entry(access).or_default();
                return;
            }
            for (operator, part) in parts {
                let (left, right) = (access(&part["left"]), access(&part["right"]));
                if let Some(access) = left.clone() {
                    let mut compared = BTreeSet::new();
                    literals(&part["right"], &mut compared);
                    if operator == "like" {
                        compared.insert(Compared::Like(pattern(&part["pattern"])));
                    }
                    found.entry(access).or_default().extend(compared);
                }
                if let Some(access) = right {
                    let mut compared = BTreeSet::new();
                    literals(&part["left"], &mut compared);
                    found.entry(access).or_default().extend(compared);
                }
                self::mentions(part, found);
            }
        }
        _ => {}
    }
}

/// `resource.x`, `context.x` or `principal.x`.
fn access(json: &Json) -> Option<(Var, String)> {
    let part = json.get(".").or_else(|| json.get("has"))?;
    let var = match part["left"]["Var"].as_str()? {
        "resource" => Var::Resource,
        "context" => Var::Context,
        "principal" => Var::Principal,
        _ => return None,
    };
    Some((var, part["attr"].as_str()?.to_owned()))
}

fn literals(json: &Json, found: &mut BTreeSet<Compared>) {
    match json.get("Value") {
        Some(Json::String(text)) => {
            found.insert(Compared::Text(text.clone()));
        }
        Some(Json::Number(number)) => found.extend(number.as_i64().map(Compared::Long)),
        _ => {}
    }
    if let Some(Json::Array(members)) = json.get("Set") {
        members.iter().for_each(|member| literals(member, found));
    }
}

/// The parts of a `like` pattern: `"Wildcard"` or `{"Literal": "x"}`.
fn pattern(json: &Json) -> String {
    let parts = json.as_array().map_or(&[][..], |parts| &parts[..]);
    parts.iter().map(|part| part["Literal"].as_str().unwrap_or("*")).collect()
}

/// What is read out of the conditions of a policy when it is loaded.
#[derive(Debug)]
pub(crate) struct Conditions {
    test: Test,
    /// The attributes that the policy can look at; none, if that can't be told.
    uses: Option<BTreeSet<(Var, String)>>,
}

impl Conditions {
    /// From the JSON form of a policy.
    pub fn new(json: &Json, actions: &[ActionEntity]) -> Conditions {
        let mut found = Mentions::new();
        let conditions = &json["conditions"];
        mentions(conditions, &mut found);
        let uses = has_plain_accesses(conditions).then(|| found.into_keys().collect());
        let parts = conditions.as_array().map_or(&[][..], |parts| &parts[..]);
        // The scope comes first. Its types and its verb are the slices' part.
        let scope =
            [("principal", &json["principal"]), ("resource", &json["resource"])].map(|(var, scope)| {
                let entity = if scope["op"] == "is" { &scope["in"]["entity"] } else { &scope["entity"] };
                if entity.is_null() { Test::And(Vec::new()) } else { this(var, entity, scope["op"] != "==") }
            });
        let test = Test::And(
            scope
                .into_iter()
                .chain(parts.iter().map(|part| match part["kind"].as_str() {
                    Some("when") => compile(&part["body"], actions),
                    Some("unless") => Test::Not(Box::new(compile(&part["body"], actions))),
                    _ => Test::Unknown,
                }))
                .collect(),
        );
        Conditions { test, uses }
    }

    /// Whether the policy is certain not to apply. If not, Cedar has to say.
    pub fn are_false(&self, question: &Question, principal: &Principal) -> bool {
        self.test.holds(question, principal) == Some(false)
    }

    /// Whether the policy may look at an attribute.
    pub fn uses(&self, var: Var, name: &str) -> bool {
        self.uses.as_ref().is_none_or(|uses| uses.iter().any(|(of, used)| *of == var && used == name))
    }
}

/// Whether all attributes are asked of a variable by name: no record is taken as a whole.
fn has_plain_accesses(json: &Json) -> bool {
    match json {
        Json::Array(parts) => parts.iter().all(has_plain_accesses),
        Json::Object(parts) => {
            access(json).is_some()
                || parts.iter().all(|(operator, part)| match operator.as_str() {
                    "." | "has" | "getTag" | "hasTag" => false,
                    "Var" => part != "context",
                    _ => has_plain_accesses(part),
                })
        }
        _ => true,
    }
}

/// The part of a condition that can be tested without Cedar: nothing in it can fail.
#[derive(Debug, PartialEq)]
enum Test {
    /// The attribute is true.
    Is(Var, String),
    /// The attribute is this value.
    Equals(Var, String, Value),
    /// The attribute, a set, has this member.
    Contains(Var, String, String),
    /// The attribute is less than this, or also equal.
    Below(Var, String, i64),
    /// The attribute, a text, is like this; nothing stands for a wildcard.
    Like(Var, String, Vec<Option<char>>),
    /// The resource, or the principal, is of this type.
    Resource(String),
    Principal(String),
    /// The resource, or the principal, is this one; the principal may also be in it.
    ThisResource(String, String),
    ThisPrincipal {
        type_name: String,
        id: String,
        or_in: bool,
    },
    /// The verb is one of these.
    Action([bool; Verb::ALL.len()]),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
    /// Only Cedar can say, and it might fail.
    Unknown,
}

impl Test {
    /// As Cedar evaluates: from the left, and no further than needed. So what stands to the right
    /// of something unknown doesn't count.
    fn holds(&self, question: &Question, principal: &Principal) -> Option<bool> {
        let value = |var: &Var, name: &str| match var {
            Var::Resource => {
                question.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
            }
            Var::Context => question.circumstance(name).map(|(_, value)| value),
            Var::Principal => {
                principal.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
            }
        };
        match self {
            Test::Is(var, name) => match value(var, name)? {
                Value::Bool(is) => Some(*is),
                _ => None,
            },
            Test::Equals(var, name, wanted) => Some(value(var, name)? == wanted),
            Test::Contains(var, name, member) => match value(var, name)? {
                Value::Set(members) => Some(members.iter().any(|other| other == member)),
                _ => None,
            },
            Test::Below(var, name, limit) => match value(var, name)? {
                Value::Long(number) => Some(number < limit),
                _ => None,
            },
            Test::Like(var, name, pattern) => match value(var, name)? {
                Value::Text(text) => Some(is_like(pattern, text)),
                _ => None,
            },
            Test::Resource(name) => Some(question.kind.as_str() == name),
            Test::Principal(name) => Some(principal.who.as_str() == name),
            Test::ThisResource(type_name, id) => {
                Some(question.kind.as_str() == type_name && question.resource.as_str() == id)
            }
            Test::ThisPrincipal { type_name, id, or_in } => {
                let is = |who: Who, other: &str| who.as_str() == type_name && other == id;
                // Only its parents are known to Cedar, not what these are in.
                let is_in = || principal.parents.iter().any(|(who, other)| is(*who, other));
                Some(is(principal.who, &principal.id) || *or_in && is_in())
            }
            Test::Action(verbs) => Some(verbs[question.verb as usize]),
            Test::Not(test) => test.holds(question, principal).map(|holds| !holds),
            Test::And(tests) => {
                for test in tests {
                    if !test.holds(question, principal)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            Test::Or(tests) => {
                for test in tests {
                    if test.holds(question, principal)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Test::Unknown => None,
        }
    }
}

fn compile(json: &Json, actions: &[ActionEntity]) -> Test {
    let Some((operator, part)) = json.as_object().and_then(|parts| parts.iter().next()) else {
        return Test::Unknown;
    };
    let both = || [compile(&part["left"], actions), compile(&part["right"], actions)];
    let left = value_of(&part["left"]);
    match (operator.as_str(), left) {
        ("&&", _) => Test::And(both().into()),
        ("||", _) => Test::Or(both().into()),
        ("!", _) => Test::Not(Box::new(compile(&part["arg"], actions))),
        (".", _) => value_of(json).map_or(Test::Unknown, |(var, name)| Test::Is(var, name)),
        ("==", Some((var, name))) => {
            literal(&part["right"]).map_or(Test::Unknown, |value| Test::Equals(var, name, value))
        }
        ("!=", Some((var, name))) => literal(&part["right"])
            .map_or(Test::Unknown, |value| Test::Not(Box::new(Test::Equals(var, name, value)))),
        ("contains", Some((var, name))) => match literal(&part["right"]) {
            Some(Value::Text(member)) => Test::Contains(var, name, member),
            _ => Test::Unknown,
        },
        ("containsAny", Some((var, name))) => texts(&part["right"]).map_or(Test::Unknown, |members| {
            Test::Or(members.into_iter().map(|member| Test::Contains(var, name.clone(), member)).collect())
        }),
        (operator @ ("<" | "<=" | ">" | ">="), Some((var, name))) => {
            let Some(Value::Long(number)) = literal(&part["right"]) else { return Test::Unknown };
            let limit = if matches!(operator, "<" | ">=") { Some(number) } else { number.checked_add(1) };
            let Some(limit) = limit else { return Test::Unknown };
            let below = Test::Below(var, name, limit);
            if operator.starts_with('<') { below } else { Test::Not(Box::new(below)) }
        }
        ("like", Some((var, name))) => {
            let Some(parts) = part["pattern"].as_array() else { return Test::Unknown };
            let mut pattern = Vec::new();
            for part in parts {
                match (part.as_str(), part["Literal"].as_str()) {
                    (Some("Wildcard"), _) => pattern.push(None),
                    (_, Some(literal)) => pattern.extend(literal.chars().map(Some)),
                    _ => return Test::Unknown,
                }
            }
            Test::Like(var, name, pattern)
        }
        ("is", _) if part.get("in").is_none() => {
            match (part["left"]["Var"].as_str(), part["entity_type"].as_str()) {
                (Some("resource"), Some(name)) => Test::Resource(name.to_owned()),
                (Some("principal"), Some(name)) => Test::Principal(name.to_owned()),
                _ => Test::Unknown,
            }
        }
        (operator @ ("in" | "=="), _) if part["left"]["Var"] == "action" => {
            let right = &part["right"];
            let one = std::slice::from_ref(right);
            let named = right["Set"].as_array().map_or(one, |set| &set[..]).iter().map(|entity| {
                let entity = &entity["Value"]["__entity"];
                (entity["type"] == "Action").then(|| entity["id"].as_str()).flatten()
            });
            match named.collect::<Option<Vec<&str>>>() {
                Some(named) => Test::Action(Verb::ALL.map(|verb| {
                    named.iter().any(|name| {
                        verb.as_str() == *name || operator == "in" && actions[verb as usize].is_in(name)
                    })
                })),
                None => Test::Unknown,
            }
        }
        (operator @ ("in" | "=="), None) => match part["left"]["Var"].as_str() {
            Some(var) => this(var, &part["right"]["Value"]["__entity"], operator == "in"),
            None => Test::Unknown,
        },
        // `["a", "b"].contains(resource.kind)`
        ("contains", None) => match (texts(&part["left"]), value_of(&part["right"])) {
            (Some(members), Some((var, name))) => Test::Or(
                members
                    .into_iter()
                    .map(|member| Test::Equals(var, name.clone(), Value::Text(member)))
                    .collect(),
            ),
            _ => Test::Unknown,
        },
        _ => Test::Unknown,
    }
}

/// `principal == Agent::"…"`, `resource in File::"…"`: a resource is in nothing but itself.
fn this(var: &str, entity: &Json, or_in: bool) -> Test {
    let text = |key: &str| entity[key].as_str().map(str::to_owned);
    match (var, text("type"), text("id")) {
        ("principal", Some(type_name), Some(id)) => Test::ThisPrincipal { type_name, id, or_in },
        ("resource", Some(type_name), Some(id)) => Test::ThisResource(type_name, id),
        _ => Test::Unknown,
    }
}

/// The attribute that an expression is the value of.
fn value_of(json: &Json) -> Option<(Var, String)> {
    json.get(".").and_then(|_| access(json))
}

fn literal(json: &Json) -> Option<Value> {
    match json.get("Value")? {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) => number.as_i64().map(Value::Long),
        _ => None,
    }
}

/// The members of a set of texts.
fn texts(json: &Json) -> Option<Vec<String>> {
    let text = |member: &Json| match literal(member) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    json.get("Set")?.as_array()?.iter().map(text).collect()
}

/// `like` of Cedar: a wildcard stands for any text.
fn is_like(pattern: &[Option<char>], text: &str) -> bool {
    let (mut p, mut rest) = (0, text.chars());
    let mut back: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        match (pattern.get(p), ahead.next()) {
            (Some(None), _) => {
                p += 1;
                back = Some((p, rest.clone()));
            }
            (Some(Some(wanted)), Some(c)) if *wanted == c => (p, rest) = (p + 1, ahead),
            (None, None) => return true,
            _ => {
                let Some((at, from)) = &mut back else { return false };
                if from.next().is_none() {
                    return false;
                }
                (p, rest) = (*at, from.clone());
            }
        }
    }
}
