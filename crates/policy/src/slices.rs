//! Which policies can apply to a request at all, by the types in their scopes: the others are
//! not looked at.

use crate::resource::Type;
use crate::set::{Loaded, schema};
use cedar_policy::{
    ActionConstraint, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};
use fdr_record::{Verb, Verdict};
use std::collections::HashSet;
use std::str::FromStr;
use std::sync::OnceLock;

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

/// Policies for requests of one kind. Those that ask are apart: what no policy permits is denied
/// even if one would ask.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub rules: PolicySet,
    pub asks: PolicySet,
    pub has_asks: bool,
}

impl Slice {
    pub fn new<'p>(policies: impl Iterator<Item = &'p Loaded>) -> Slice {
        let mut slice = Slice::default();
        for loaded in policies {
            let asks = loaded.info.verdict == Verdict::Ask;
            slice.has_asks |= asks;
            let set = if asks { &mut slice.asks } else { &mut slice.rules };
            // Ids are unique in a set that was loaded, and policies are static.
            let _ = set.add(loaded.policy.clone());
        }
        slice
    }
}

/// The scope of a policy, as far as types go.
#[derive(Debug)]
struct Scope {
    principals: [bool; Who::ALL.len()],
    verbs: [bool; Verb::ALL.len()],
    types: [bool; Type::ALL.len()],
}

/// All slices of a set; each is built when it is first asked for.
#[derive(Debug)]
pub(crate) struct Slices {
    scopes: Vec<Scope>,
    slices: Vec<OnceLock<Slice>>,
    /// The verbs as Cedar knows them, with the groups that they are in.
    pub actions: Vec<ActionEntity>,
}

impl Slices {
    pub fn new(policies: &[Loaded]) -> Slices {
        let actions = actions();
        let scopes = policies.iter().map(|loaded| scope(&loaded.policy, &actions)).collect();
        let count = Who::ALL.len() * Verb::ALL.len() * Type::ALL.len();
        Slices { scopes, slices: (0..count).map(|_| OnceLock::new()).collect(), actions }
    }

    pub fn of(&self, policies: &[Loaded], who: Who, verb: Verb, kind: Type) -> &Slice {
        let (who, verb, kind) = (who as usize, verb as usize, kind as usize);
        let at = (who * Verb::ALL.len() + verb) * Type::ALL.len() + kind;
        self.slices[at].get_or_init(|| {
            let is_in = |scope: &Scope| scope.principals[who] && scope.verbs[verb] && scope.types[kind];
            Slice::new(
                policies.iter().zip(&self.scopes).filter(|(_, scope)| is_in(scope)).map(|(loaded, _)| loaded),
            )
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

/// One for each verb, in the order of [`Verb::ALL`].
fn actions() -> Vec<ActionEntity> {
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
