//! Which policies can apply to a request at all, by the types in their scopes: the others are
//! not looked at.

use crate::resource::Type;
use crate::set::schema;
use cedar_policy::{
    ActionConstraint, Entity, EntityId, EntityTypeName, EntityUid, Policy, PrincipalConstraint,
    ResourceConstraint,
};
use fdr_record::Verb;
use std::collections::HashSet;
use std::str::FromStr;

/// The types of principals in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Human,
    Agent,
    SubAgent,
}

impl Who {
    pub const ALL: [Who; 3] = [Who::Human, Who::Agent, Who::SubAgent];

    pub fn as_str(self) -> &'static str {
        match self {
            Who::Human => "Human",
            Who::Agent => "Agent",
            Who::SubAgent => "SubAgent",
        }
    }
}

/// The scope of a policy, as far as types go.
#[derive(Debug)]
struct Scope {
    principals: [bool; Who::ALL.len()],
    verbs: [bool; Verb::ALL.len()],
    types: [bool; Type::ALL.len()],
}

/// All slices of a set.
#[derive(Debug)]
pub(crate) struct Slices {
    /// By type of principal, verb and type of resource: places in the set.
    slices: Vec<Vec<usize>>,
}

impl Slices {
    pub fn new<'p>(policies: impl Iterator<Item = &'p Policy>, actions: &[ActionEntity]) -> Slices {
        let mut slices = vec![Vec::new(); Who::ALL.len() * Verb::ALL.len() * Type::ALL.len()];
        for (at, policy) in policies.enumerate() {
            let scope = scope(policy, actions);
            for (who, verb, kind) in scope.all() {
                slices[place(who, verb, kind)].push(at);
            }
        }
        Slices { slices }
    }

    /// Places in the set of the policies whose scope can match.
    pub fn of(&self, who: Who, verb: Verb, kind: Type) -> &[usize] {
        &self.slices[place(who, verb, kind)]
    }
}

fn place(who: Who, verb: Verb, kind: Type) -> usize {
    (who as usize * Verb::ALL.len() + verb as usize) * Type::ALL.len() + kind as usize
}

impl Scope {
    fn all(&self) -> impl Iterator<Item = (Who, Verb, Type)> {
        let principals = Who::ALL.into_iter().filter(|who| self.principals[*who as usize]);
        principals.flat_map(move |who| {
            let verbs = Verb::ALL.into_iter().filter(|verb| self.verbs[*verb as usize]);
            verbs.flat_map(move |verb| {
                let types = Type::ALL.into_iter().filter(|kind| self.types[*kind as usize]);
                types.map(move |kind| (who, verb, kind))
            })
        })
    }
}

/// A verb as Cedar knows it.
#[derive(Debug)]
pub(crate) struct ActionEntity {
    pub uid: EntityUid,
    pub entity: Entity,
    groups: HashSet<EntityUid>,
}

impl ActionEntity {
    /// Whether the verb is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|uid| uid.id().unescaped() == group)
    }
}

/// One for each verb, in the order of [`Verb::ALL`].
pub(crate) fn actions() -> Vec<ActionEntity> {
    let entities = schema().action_entities().expect("the actions of the schema are a tree");
    let name = EntityTypeName::from_str("Action").expect("a plain name");
    let action = |verb: Verb| {
        let uid = EntityUid::from_type_name_and_id(name.clone(), EntityId::new(verb.as_str()));
        let groups: HashSet<EntityUid> =
            entities.ancestors(&uid).map(|groups| groups.cloned().collect()).unwrap_or_default();
        ActionEntity { entity: Entity::new_no_attrs(uid.clone(), groups.clone()), uid, groups }
    };
    Verb::ALL.into_iter().map(action).collect()
}

fn scope(policy: &Policy, actions: &[ActionEntity]) -> Scope {
    let principal = |who: Who| match policy.principal_constraint() {
        // Who is in whom is not known before a request.
        PrincipalConstraint::Any | PrincipalConstraint::In(_) => true,
        PrincipalConstraint::Eq(uid) => uid.type_name().basename() == who.as_str(),
        PrincipalConstraint::Is(of) | PrincipalConstraint::IsIn(of, _) => of.basename() == who.as_str(),
    };
    let resource = |kind: Type| match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::In(_) => true,
        ResourceConstraint::Eq(uid) => uid.type_name().basename() == kind.as_str(),
        ResourceConstraint::Is(of) | ResourceConstraint::IsIn(of, _) => of.basename() == kind.as_str(),
    };
    let named: Option<Vec<EntityUid>> = match policy.action_constraint() {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(uid) => Some(vec![uid]),
        ActionConstraint::In(uids) => Some(uids),
    };
    let action = |verb: Verb| match &named {
        None => true,
        Some(named) => {
            let action = &actions[verb as usize];
            named.iter().any(|uid| *uid == action.uid || action.groups.contains(uid))
        }
    };
    Scope {
        principals: Who::ALL.map(principal),
        verbs: Verb::ALL.map(action),
        types: Type::ALL.map(resource),
    }
}
