//! What Claude Code's own words tell about the outcome of a call.
//!
//! A call that was not run has no event of its own; all there is is the text that the model got
//! in place of a result. The texts here are those of Claude Code 2.1. They are matched at the
//! beginning only: what a tool printed must not pass for the runtime's verdict on it.

use crate::event::ran;
use crate::writer::cap;
use fdr_record::{Basis, DecidedBy, Outcome, RuntimeDecision, Verdict};

/// What is known of a call beside the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// There are events before and after calls that run, and this one lacks them: the text
    /// stands in place of a result.
    pub(crate) in_place: bool,
    /// It was begun, and it would have been told if it had run. So it did not.
    pub(crate) did_not_run: bool,
}

/// What a text that the model got tells about the outcome of the call.
pub(crate) fn outcome(text: &str, known: Known) -> (Outcome, Option<RuntimeDecision>) {
    if exit_code(text).is_some() {
        return (Outcome::Error, Some(ran()));
    }
    if let Some((outcome, by, basis)) = judge(text) {
        let decision = if outcome == Outcome::Interrupted { Verdict::Permit } else { Verdict::Deny };
        // A tool that ran can print the runtime's words.
        let basis = if known.in_place { basis } else { Basis::Inferred };
        return (outcome, Some(RuntimeDecision { decision, by, basis, reason: Some(cap(text)) }));
    }
    if known.did_not_run {
        // A hook, or whoever answers in the user's place: both give a reason of their own.
        let decision = RuntimeDecision {
            decision: Verdict::Deny,
            by: DecidedBy::Unknown,
            basis: Basis::Inferred,
            reason: Some(cap(&format!("no event says that it ran; the model was told: {text}"))),
        };
        return (Outcome::Denied, Some(decision));
    }
    (Outcome::Unknown, None)
}

/// The word that a transcript has for a refusal beside its text.
pub(crate) fn denial_kind(kind: &str) -> DecidedBy {
    match kind {
        "user-rejected" => DecidedBy::User,
        "permission-rule" => DecidedBy::Rule,
        kind if kind.starts_with("automode-") => DecidedBy::Classifier,
        _ => DecidedBy::Unknown,
    }
}

fn judge(text: &str) -> Option<(Outcome, DecidedBy, Basis)> {
    use Basis::{Inferred, Stated};
    use DecidedBy::{Classifier, Hook, Mode, Rule, Runtime, Sandbox, Unknown, User};
    use Outcome::{Denied, Interrupted, Rejected};
    let error = text.strip_prefix("<tool_use_error>");
    let text = error.unwrap_or(text);
    let text = text.strip_prefix("Error: ").unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let begins = |part: &str| text.starts_with(part);
    let ends = |part: &str| first.trim_end().trim_end_matches('.').ends_with(part);
    Some(
        if begins("File is in a directory that is denied by your permission settings")
            || (begins("Agent type '") && first.contains("' has been denied by permission rule '"))
        {
            (Denied, Rule, Stated)
        } else if begins("No such tool available") || begins("InputValidationError") {
            (Rejected, Runtime, Stated)
        } else if begins("Cancelled: ") || begins("Streaming fallback") {
            // A call beside it failed, or the model's message was taken back.
            (Interrupted, Runtime, Stated)
        } else if error.is_some() {
            (Rejected, Runtime, Stated)
        } else if (begins("PreToolUse:") && first.contains(" hook error: "))
            || begins("Execution stopped by PreToolUse hook")
            || begins("Permission denied by hook")
        {
            (Denied, Hook, Stated)
        } else if begins("[Request interrupted by user") {
            (Interrupted, User, Stated)
        } else if begins("The user doesn't want to ")
            || begins("User rejected tool use")
            || begins("The agent proposed a plan that was rejected by the user")
            || (begins("Permission for this tool use was denied") && text.contains("The user said:"))
        {
            (Denied, User, Stated)
        } else if begins("Permission for this tool use was denied") {
            (Denied, Unknown, Stated)
        } else if begins("Permission for this action was denied by the Claude Code auto mode classifier")
            || begins("Permission for this action has been denied. Reason: ")
            || first.contains("so auto mode cannot determine the safety of ")
        {
            (Denied, Classifier, Stated)
        } else if begins("Permission to use ")
            && first.contains("because Claude Code is running in don't ask mode")
        {
            (Denied, Mode, Stated)
        } else if begins("Permission to use ") && first.contains(" has been denied. IMPORTANT: ") {
            // Said where no one can be asked.
            (Denied, Mode, Stated)
        } else if (begins("Permission to ") && first.contains(" has been denied"))
            || ends(" was blocked by a deny rule")
            || begins("WebFetch denied access to ")
        {
            (Denied, Rule, Stated)
        } else if first.contains(" was blocked. For security, Claude Code may only ") {
            (Denied, Sandbox, Stated)
        } else if begins("Claude requested permissions to ")
            || begins("Current permission mode (")
            || ends("requires approval")
            || ends("needs approval")
            || first.contains("' needs approval. The path is ")
            || first.contains("parts require approval: ")
            || ends("require approval")
        {
            // No one was there to be asked, and the mode does not let it through by itself.
            (Denied, Mode, Inferred)
        } else {
            return None;
        },
    )
}

/// Claude Code puts the exit status of a failed command at the beginning of the text.
pub(crate) fn exit_code(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("Exit code ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DID_NOT_RUN: Known = Known { in_place: true, did_not_run: true };

    #[test]
    fn the_runtimes_own_words_tell_the_outcome_and_by_whom() {
        for (text, want, by) in [
            (
                "<tool_use_error>Error: No such tool available: Grep</tool_use_error>",
                Outcome::Rejected,
                DecidedBy::Runtime,
            ),
            (
                "<tool_use_error>InputValidationError: Read failed</tool_use_error>",
                Outcome::Rejected,
                DecidedBy::Runtime,
            ),
            (
                "<tool_use_error>File has not been read yet.</tool_use_error>",
                Outcome::Rejected,
                DecidedBy::Runtime,
            ),
            (
                "<tool_use_error>Cancelled: parallel tool call Bash errored</tool_use_error>",
                Outcome::Interrupted,
                DecidedBy::Runtime,
            ),
            ("PreToolUse:Bash hook error: [x]: policy R2", Outcome::Denied, DecidedBy::Hook),
            ("Execution stopped by PreToolUse hook: enough", Outcome::Denied, DecidedBy::Hook),
            ("[Request interrupted by user for tool use]", Outcome::Interrupted, DecidedBy::User),
            (
                "The user doesn't want to proceed with this tool use. The tool use was rejected",
                Outcome::Denied,
                DecidedBy::User,
            ),
            ("The user doesn't want to take this action right now.", Outcome::Denied, DecidedBy::User),
            (
                "Permission for this tool use was denied. The tool use was rejected. The user said:\nno",
                Outcome::Denied,
                DecidedBy::User,
            ),
            (
                "Permission for this action was denied by the Claude Code auto mode classifier. Reason: x",
                Outcome::Denied,
                DecidedBy::Classifier,
            ),
            (
                "Permission to use Bash has been denied because Claude Code is running in don't ask mode. IMPORTANT: x",
                Outcome::Denied,
                DecidedBy::Mode,
            ),
            (
                "Permission to use Bash has been denied. IMPORTANT: You *may*",
                Outcome::Denied,
                DecidedBy::Mode,
            ),
            ("Permission to use Bash with command curl x has been denied.", Outcome::Denied, DecidedBy::Rule),
            ("Permission to read /etc/shadow has been denied.", Outcome::Denied, DecidedBy::Rule),
            (
                "touch in '/a' was blocked. For security, Claude Code may only create or modify files in x",
                Outcome::Denied,
                DecidedBy::Sandbox,
            ),
            (
                "Claude requested permissions to use Bash, but you haven't granted it yet.",
                Outcome::Denied,
                DecidedBy::Mode,
            ),
            (
                "touch in '/a' needs approval. The path is inside the working directories for this session ('/').",
                Outcome::Denied,
                DecidedBy::Mode,
            ),
            ("This command requires approval", Outcome::Denied, DecidedBy::Mode),
        ] {
            let (outcome, decision) = outcome(text, Known::default());
            assert_eq!((outcome, decision.map(|decision| decision.by)), (want, Some(by)), "{text}");
        }
    }

    #[test]
    fn what_a_tool_printed_is_no_verdict() {
        for text in [
            "Exit code 1\nPermission to use Bash with command x has been denied.",
            "Exit code 2\n<tool_use_error>Error: No such tool available: x",
        ] {
            assert_eq!(outcome(text, DID_NOT_RUN).0, Outcome::Error, "{text}");
        }
        for text in
            ["log: Permission to use Bash has been denied", "it said: No such tool available: Grep", ""]
        {
            assert_eq!(outcome(text, Known::default()), (Outcome::Unknown, None), "{text}");
        }
    }

    #[test]
    fn a_call_that_is_not_told_to_have_run_was_refused_as_far_as_can_be_concluded() {
        let (outcome, decision) = outcome("policy R1: not permitted", DID_NOT_RUN);
        let decision = decision.expect("a refusal is a decision");
        assert_eq!(outcome, Outcome::Denied);
        assert_eq!((decision.by, decision.basis), (DecidedBy::Unknown, Basis::Inferred));
    }
}
