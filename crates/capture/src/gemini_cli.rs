//! The events of gemini-cli.

use crate::event::unparsed;
use crate::runtime::Runtime;
use crate::{Arrival, Captured, State};
use fdr_record::{Action, Normalised, Resource, Verb};
use serde_json::Value;

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "gemini-cli",
    hook,
    import: None,
    normalise,
    gates: &["BeforeTool"],
    session_of: |_, _| None,
    prompt_of: |_, _| None,
};

fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    unparsed(&RUNTIME, event, payload, "events of gemini-cli are not read yet", arrival, state)
}

fn normalise(tool: &str, input: &Value, _cwd: &str, _home: &str) -> (Normalised, String) {
    let mut found = Normalised::default();
    found.push(Action::new(Verb::Execute, Resource::new("tool", format_args!("gemini-cli/{tool}"))));
    (found, input.to_string())
}
