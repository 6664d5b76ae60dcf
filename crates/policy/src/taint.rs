//! What an agent takes in by an action: what it does next is less to be trusted.

use crate::resource::Place;
use crate::set::PolicySet;
use fdr_record::{Body, Record, Taint, Verb};

impl PolicySet {
    /// What the agent takes in if the action of this record runs. What stands in a result is not
    /// known here.
    pub fn taints(&self, record: &Record) -> Vec<Taint> {
        let Body::Action(body) = &record.body else { return Vec::new() };
        let facts = body.facts.clone().unwrap_or_default();
        let opaque = !body.opaque.is_empty() || body.actions_left_out > 0;
        let place = Place::new(&self.lists, &facts.workspace, &facts.home, opaque);
        let mut found = Vec::new();
        for action in &body.actions {
            let (secret, outside) = match action.action {
                Verb::Read | Verb::Search => place.taken_in(&action.resource, action.resolves_to.as_deref()),
                // An answer brings in what belongs to the class of the one who gives it.
                verb if verb == Verb::Network || action.resource.kind() == "mcp" => {
                    (place.has_class(&action.resource, None), false)
                }
                _ => (false, false),
            };
            let web = action.action == Verb::Network && matches!(action.resource.kind(), "url" | "host");
            let tool = action.resource.kind() == "mcp";
            let taints =
                [(secret, Taint::Secret), (web, Taint::Web), (tool, Taint::Tool), (outside, Taint::Outside)];
            for (is_taken, taint) in taints {
                if is_taken && !found.contains(&taint) {
                    found.push(taint);
                }
            }
        }
        found
    }

    /// Whether one of these policies wants two different people to approve.
    pub fn needs_four_eyes(&self, ids: &[String]) -> bool {
        self.policies().any(|policy| policy.four_eyes && ids.contains(&policy.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::SetFile;
    use crate::table;
    use fdr_record::{Action, Normalised, Resource};

    #[test]
    fn what_belongs_to_a_class_taints_like_a_secret() {
        let lists = "[classes]\ncards = [\"**/cards/**\", \"mcp:stripe/*\", \"db:*/*/cards\"]";
        let policy = "@id(\"a/a\") @reason(\"r\") @control(\"c\") permit (principal, action, resource);";
        let file = |name: &str, text: &str| SetFile { name: name.to_owned(), text: text.to_owned() };
        let set = PolicySet::from_files(vec![file("a/a.cedar", policy), file("a/lists.toml", lists)])
            .expect("the set is right");
        let case = &table::parse("PERMIT | a | Bash | | ls").expect("the table is right")[0];
        for (verb, resource, want) in [
            (Verb::Read, "file:/home/dev/proj/cards/a", &[Taint::Secret][..]),
            (Verb::Read, "file:/home/dev/proj/card/a", &[]),
            (Verb::Write, "file:/home/dev/proj/cards/a", &[]),
            (Verb::Read, "db:psql/shop/cards", &[Taint::Secret]),
            (Verb::Execute, "mcp:stripe/list", &[Taint::Secret, Taint::Tool]),
            (Verb::Execute, "mcp:other/list", &[Taint::Tool]),
        ] {
            let (kind, name) = resource.split_once(':').expect("a kind and a name");
            let mut found = Normalised::default();
            found.push(Action::new(verb, Resource::new(kind, name)));
            assert_eq!(set.taints(&case.record(found)), want, "{verb} {resource}");
        }
    }
}
