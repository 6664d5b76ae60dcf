//! What Gemini CLI's own words tell about the outcome of a call.
//!
//! A call that was not run has no event after it; all there is is the text in the chat file that
//! the model got in place of a result. The texts here are those of Gemini CLI 0.61, matched at the
//! beginning only: what a tool printed must not pass for the runtime's verdict on it. What a shell
//! command printed is always behind `Output: `.

use crate::event::ran;
use crate::writer::cap;
use fdr_record::{Basis, DecidedBy, Outcome, RuntimeDecision, Verdict};

/// What is known of a call beside the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The runtime calls it an error.
    pub(crate) failed: bool,
    /// A hook was told that it ran.
    pub(crate) ran: bool,
    /// A hook was asked about it, and so its tool and arguments were accepted.
    pub(crate) begun: bool,
    /// Hooks are told of calls that run, and were not told of this one: the text stands in place
    /// of a result.
    pub(crate) in_place: bool,
}

/// What the text that the model got tells: the outcome, the exit status, who decided.
pub(crate) fn outcome(
    tool: &str,
    text: &str,
    known: Known,
) -> (Outcome, Option<i64>, Option<RuntimeDecision>) {
    if let Some((outcome, by)) = refused(tool, text, known) {
        let decision = if outcome == Outcome::Interrupted { Verdict::Permit } else { Verdict::Deny };
        // A tool that ran can print the runtime's words.
        let basis = if known.in_place || known.ran { Basis::Stated } else { Basis::Inferred };
        return (outcome, None, Some(RuntimeDecision { decision, by, basis, reason: Some(cap(text)) }));
    }
    let (outcome, exit_code) = match tool {
        _ if known.failed => (Outcome::Error, None),
        "run_shell_command" => shell(text),
        "invoke_agent" => (agent(text), None),
        _ => (Outcome::Ok, None),
    };
    (outcome, exit_code, Some(ran()))
}

/// What came of a call that was cancelled, by the reason given.
pub(crate) fn cancelled(text: &str) -> (Outcome, Option<RuntimeDecision>) {
    let denied = text.contains("User denied execution");
    let decision = RuntimeDecision {
        decision: if denied { Verdict::Deny } else { Verdict::Permit },
        by: DecidedBy::User,
        basis: Basis::Stated,
        reason: Some(cap(text)),
    };
    (if denied { Outcome::Denied } else { Outcome::Interrupted }, Some(decision))
}

fn refused(tool: &str, text: &str, known: Known) -> Option<(Outcome, DecidedBy)> {
    use DecidedBy::{Hook, Mode, Rule, Runtime, Sandbox, User};
    use Outcome::{Denied, Interrupted, Rejected};
    let begins = |part: &str| text.starts_with(part);
    if !known.failed {
        // Said in place of a result, and not called an error. What a command printed stands
        // behind `Output: `.
        return match tool {
            "run_shell_command" if begins("Command injection detected: ") => Some((Denied, Runtime)),
            "run_shell_command" if begins("Command was cancelled by user before it could ") => {
                Some((Interrupted, User))
            }
            _ => None,
        };
    }
    if known.ran {
        return None;
    }
    let invalid = begins("params ") || begins("params/");
    Some(if begins("Tool execution blocked: ") || begins("Agent execution stopped by hook: ") {
        (Denied, Hook)
    } else if begins("Tool execution denied by policy.") {
        (Denied, Rule)
    } else if begins("Tool execution for \"") && text.contains("\" requires user confirmation, which is not ")
    {
        (Denied, Mode)
    } else if begins("Path not in workspace: ") {
        (Denied, Sandbox)
    } else if (begins("Tool \"") && text.contains("\" not found.")) || (invalid && !known.begun) {
        (Rejected, Runtime)
    } else {
        return None;
    })
}

/// A command's end stands behind all that it printed, one fact a line.
fn shell(text: &str) -> (Outcome, Option<i64>) {
    if text.starts_with("Command was automatically cancelled because ") {
        return (Outcome::Interrupted, None);
    }
    let text = text.strip_suffix("\n</untrusted_context>").unwrap_or(text);
    for line in text.lines().rev() {
        let Some((fact, value)) = line.split_once(": ") else { break };
        match fact {
            "Exit Code" => return (Outcome::Error, value.trim().parse().ok()),
            "Signal" | "Error" => return (Outcome::Error, None),
            "Process Group PGID" | "Background PIDs" => {}
            _ => break,
        }
    }
    (Outcome::Ok, None)
}

/// A sub-agent that did not reach its goal says why.
fn agent(text: &str) -> Outcome {
    let mut reasons = text.lines().filter_map(|line| line.strip_prefix("Termination Reason: "));
    match reasons.next() {
        None | Some("GOAL") => Outcome::Ok,
        Some("ABORTED") => Outcome::Interrupted,
        Some(_) => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAN: Known = Known { failed: false, ran: true, begun: true, in_place: false };

    #[test]
    fn what_a_tool_that_ran_printed_is_no_verdict() {
        let text = "Tool execution blocked: not really";
        assert_eq!(outcome("mcp__x__y", text, Known { failed: true, ..RAN }).0, Outcome::Error);
        assert_eq!(outcome("mcp__x__y", text, RAN).0, Outcome::Ok);
        assert_eq!(outcome("mcp__x__y", "Command injection detected: x", RAN).0, Outcome::Ok);
        let (_, _, decision) = outcome("mcp__x__y", text, Known { failed: true, ..Known::default() });
        assert_eq!(decision.map(|decision| decision.basis), Some(Basis::Inferred));
    }

    #[test]
    fn the_runtimes_own_words_tell_the_outcome_and_by_whom() {
        for (text, want, by) in [
            ("Tool execution blocked: policy R1", Outcome::Denied, DecidedBy::Hook),
            ("Agent execution stopped by hook: enough", Outcome::Denied, DecidedBy::Hook),
            ("Tool execution denied by policy. P1: no rm", Outcome::Denied, DecidedBy::Rule),
            (
                "Tool execution for \"Shell\" requires user confirmation, which is not supported in non-interactive mode.",
                Outcome::Denied,
                DecidedBy::Mode,
            ),
            (
                "Path not in workspace: Attempted path \"/etc/passwd\" resolves outside the allowed …",
                Outcome::Denied,
                DecidedBy::Sandbox,
            ),
            (
                "Tool \"nope\" not found. Did you mean one of: \"glob\"?",
                Outcome::Rejected,
                DecidedBy::Runtime,
            ),
            ("params must have required property 'file_path'", Outcome::Rejected, DecidedBy::Runtime),
            ("params/result must be object", Outcome::Rejected, DecidedBy::Runtime),
            ("File not found: /w/a", Outcome::Error, DecidedBy::Unknown),
        ] {
            let (outcome, _, decision) =
                outcome("read_file", text, Known { failed: true, in_place: true, ..Known::default() });
            assert_eq!((outcome, decision.map(|decision| decision.by)), (want, Some(by)), "{text}");
        }
        for (text, want, by) in [
            ("Command injection detected: command substitution …", Outcome::Denied, DecidedBy::Runtime),
            (
                "Command was cancelled by user before it could complete. There was no output before …",
                Outcome::Interrupted,
                DecidedBy::User,
            ),
        ] {
            let (outcome, _, decision) = outcome("run_shell_command", text, RAN);
            assert_eq!((outcome, decision.map(|decision| decision.by)), (want, Some(by)), "{text}");
        }
    }

    #[test]
    fn a_commands_exit_status_is_the_last_that_is_told() {
        let wrapped = |text: &str| format!("<untrusted_context>\n{text}\n</untrusted_context>");
        for (text, want, code) in [
            ("Output: hello\nProcess Group PGID: 6168", Outcome::Ok, None),
            ("Output: (empty)\nExit Code: 3\nProcess Group PGID: 7157", Outcome::Error, Some(3)),
            ("Output: x\nExit Code: 0\nExit Code: 7\nProcess Group PGID: 1", Outcome::Error, Some(7)),
            ("Output: Exit Code: 3\nbye\nProcess Group PGID: 1", Outcome::Ok, None),
            ("Output: (empty)\nSignal: 9\nProcess Group PGID: 1", Outcome::Error, None),
            ("Command moved to background (PID: 15027). Output hidden.", Outcome::Ok, None),
            ("Output: Tool execution blocked: x\nProcess Group PGID: 1", Outcome::Ok, None),
        ] {
            let (outcome, exit_code, _) = outcome("run_shell_command", &wrapped(text), RAN);
            assert_eq!((outcome, exit_code), (want, code), "{text}");
        }
    }

    #[test]
    fn a_sub_agent_that_did_not_reach_its_goal_failed() {
        let text = |reason: &str| format!("Subagent 'x' finished.\nTermination Reason: {reason}\nResult:\nr");
        for (reason, want) in [
            ("GOAL", Outcome::Ok),
            ("ERROR_NO_COMPLETE_TASK_CALL", Outcome::Error),
            ("MAX_TURNS", Outcome::Error),
            ("ABORTED", Outcome::Interrupted),
        ] {
            assert_eq!(outcome("invoke_agent", &text(reason), RAN).0, want, "{reason}");
        }
    }

    #[test]
    fn who_cancels_a_call_denies_it_or_stops_it() {
        let (outcome, decision) = cancelled("[Operation Cancelled] Reason: User denied execution.");
        assert_eq!(
            (outcome, decision.map(|decision| decision.decision)),
            (Outcome::Denied, Some(Verdict::Deny))
        );
        assert_eq!(cancelled("[Operation Cancelled] User cancelled tool execution.").0, Outcome::Interrupted);
    }
}
