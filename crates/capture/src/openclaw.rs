//! The events of openclaw.

use crate::event::unparsed;
use crate::openclaw_tools::normalise;
use crate::runtime::Runtime;
use crate::{Arrival, Captured, State};

pub(crate) static RUNTIME: Runtime = Runtime {
    name: "openclaw",
    hook,
    import: None,
    normalise,
    gates: &["before_tool_call"],
    session_of: |_, _| None,
    prompt_of: |_, _| None,
};

fn hook(event: &str, payload: &[u8], arrival: &Arrival<'_>, state: &mut State) -> Captured {
    unparsed(&RUNTIME, event, payload, "events of openclaw are not read yet", arrival, state)
}
