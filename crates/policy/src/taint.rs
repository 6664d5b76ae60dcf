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
}
