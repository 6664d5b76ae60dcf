//! The events of codex.

use crate::codex_tools::normalise;
use crate::event::unparsed;
use crate::runtime::Runtime;
use crate::{Arrival, Captured, State};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "codex",
    hook,
    import: None,
    normalise,
    gates: &["PreToolUse"],
    session_of: |_, _| None,
    prompt_of: |_, _| None,
};

fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    unparsed(&RUNTIME, event, payload, "events of codex are not read yet", arrival, state)
}
