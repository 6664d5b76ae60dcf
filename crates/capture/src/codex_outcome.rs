//! What Codex's own words tell about the outcome of a call.
//!
//! A rollout has for each call the text that the model was given; for some also an item that tells
//! how it ended (`codex_transcript.rs`). The texts here are those of Codex CLI 0.169. They count only
//! where no item says that the tool ran: what a tool printed must not pass for the runtime's verdict.

use crate::event::ran;
use crate::writer::cap;
use fdr_record::{Basis, DecidedBy, Outcome, RuntimeDecision, Verdict};

/// What stands before the output of a command.
const HEAD_LINES: usize = 6;

/// The exit status that stands in the lines before a command's output.
pub(crate) fn exit_code(text: &str) -> Option<i64> {
    let head = text.lines().take(HEAD_LINES).take_while(|line| *line != "Output:");
    let codes = head.filter_map(|line| {
        line.strip_prefix("Process exited with code ").or(line.strip_prefix("Exit code: "))
    });
    let outer = codes.filter_map(|code| code.trim().parse().ok()).next();
    // A patch in a command has its own lines inside the outer ones.
    let inner = || text.strip_prefix("Wall time: ")?.split_once("\nOutput:\nExit code: ")?.1.lines().next();
    outer.or_else(|| inner()?.trim().parse().ok())
}

/// What the text tells that the model was given in place of or as a result.
pub(crate) fn outcome(text: &str) -> (Outcome, Option<RuntimeDecision>) {
    if let Some((outcome, by)) = judge(text) {
        let decision = match outcome {
            Outcome::Denied | Outcome::Rejected => Verdict::Deny,
            _ => Verdict::Permit,
        };
        let reason = Some(cap(text));
        return (outcome, Some(RuntimeDecision { decision, by, basis: Basis::Stated, reason }));
    }
    match exit_code(text) {
        Some(0) => (Outcome::Ok, Some(ran())),
        Some(_) => (Outcome::Error, Some(ran())),
        None if runs_on(text) => (Outcome::Unknown, Some(ran())),
        None if failed(text) => (Outcome::Error, Some(ran())),
        None => (Outcome::Ok, Some(ran())),
    }
}

/// The command runs on.
pub(crate) fn runs_on(text: &str) -> bool {
    text.lines().take(HEAD_LINES).any(|line| line.starts_with("Process running with session ID "))
}

fn judge(text: &str) -> Option<(Outcome, DecidedBy)> {
    use DecidedBy::{Classifier, Hook, Mode, Rule, Runtime, Sandbox, User};
    use Outcome::{Denied, Interrupted, Rejected};
    let first = text.lines().next().unwrap_or_default();
    let begins = |part: &str| text.starts_with(part);
    // `exec_command failed: CreateProcess { message: "Rejected(\"REASON\")" }`
    let rejected = first
        .split_once("failed: CreateProcess { message: \"Rejected(\\\"")
        .map(|(_, rest)| rest.split("\\\")").next().unwrap_or(rest));
    Some(
        if begins("Command blocked by PreToolUse hook: ") || begins("Tool call blocked by PreToolUse hook: ")
        {
            (Denied, Hook)
        } else if let Some(reason) = rejected {
            match reason {
                "rejected by user" | "exec command rejected by user" => (Denied, User),
                // The command, and what a rule says of it.
                reason if reason.starts_with('`') && reason.contains("` rejected: ") => (Denied, Rule),
                reason if reason.contains("sandbox") => (Denied, Sandbox),
                // A hook that answers for the user gives a reason of its own.
                _ => (Denied, Hook),
            }
        } else if begins("approval policy is ") || begins("approval required by policy") {
            (Denied, Mode)
        } else if begins("patch rejected by user")
            || begins("exec command rejected by user")
            || begins("user rejected MCP tool call")
            || begins("user cancelled MCP tool call")
        {
            (Denied, User)
        } else if begins("MCP tool call cancelled: interactive approval is unavailable") {
            (Denied, Mode)
        } else if begins("MCP tool call blocked by app configuration") {
            (Denied, Rule)
        } else if begins("This action was rejected due to unacceptable risk") {
            (Denied, Classifier)
        } else if begins("patch rejected: ") && first.contains("rejected by user approval settings") {
            (Denied, Mode)
        } else if (first.contains(" rejected: ") || first.starts_with('`'))
            && (first.contains("blocked by policy") || first.contains("policy forbids commands"))
        {
            (Denied, Rule)
        } else if begins("aborted by user")
            || begins("command aborted by user")
            || (begins("Wall time: ") && text.lines().nth(1) == Some("aborted by user"))
        {
            (Interrupted, User)
        } else if begins("unsupported call: ")
            || begins("unsupported custom tool call: ")
            || begins("failed to parse function arguments: ")
            || first.ends_with(" is unavailable in Default mode")
        {
            (Rejected, Runtime)
        } else {
            return None;
        },
    )
}

/// The tool says that it failed.
fn failed(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    ["apply_patch verification failed: ", "unable to process image", "collab spawn failed: ", "Script failed"]
        .iter()
        .any(|start| first.starts_with(start))
        || first.starts_with("resources/") && first.contains(" failed: ")
        || first.starts_with("write_stdin failed: ")
        || first.starts_with("exec_command failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_what_came_and_who_decided() {
        for (text, want) in [
            (
                "Chunk ID: 1\nWall time: 0.0 seconds\nProcess exited with code 0\nOriginal token count: 3\nOutput:\nx\n",
                "ok unknown 0",
            ),
            (
                "Chunk ID: 1\nWall time: 0.0 seconds\nProcess exited with code 3\nOriginal token count: 3\nOutput:\n",
                "error unknown 3",
            ),
            (
                "Wall time: 0.0000 seconds\nOutput:\nExit code: 1\nWall time: 0 seconds\nOutput:\nno\n",
                "error unknown 1",
            ),
            ("Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.\n", "ok unknown 0"),
            (
                "Chunk ID: 1\nWall time: 0.3 seconds\nProcess running with session ID 7\nOutput:\n",
                "unknown unknown",
            ),
            ("Wall time: 0.1 seconds\nOutput:\nProcess exited with code 9\n", "ok unknown"),
            ("Command blocked by PreToolUse hook: no. Command: rm x", "denied hook"),
            (
                "exec_command failed: CreateProcess { message: \"Rejected(\\\"rejected by user\\\")\" }",
                "denied user",
            ),
            (
                "exec_command failed: CreateProcess { message: \"Rejected(\\\"R6: nobody is there\\\")\" }",
                "denied hook",
            ),
            ("approval policy is Never; reject command — you cannot ask", "denied mode"),
            ("`rm -rf /` rejected: policy forbids commands starting with `rm`", "denied rule"),
            (
                "exec_command failed: CreateProcess { message: \"Rejected(\\\"`/bin/bash -lc 'rm -rf data'` rejected: rm -f style commands are not permitted. Use a safer approach\\\")\" }",
                "denied rule",
            ),
            ("patch rejected by user", "denied user"),
            ("user rejected MCP tool call", "denied user"),
            ("aborted by user after 7.2s", "interrupted user"),
            ("Wall time: 58.5 seconds\naborted by user", "interrupted user"),
            ("unsupported call: update_plan", "rejected runtime"),
            ("unsupported custom tool call: apply_patch", "rejected runtime"),
            ("failed to parse function arguments: missing field `cmd` at line 1", "rejected runtime"),
            ("request_user_input is unavailable in Default mode", "rejected runtime"),
            ("apply_patch verification failed: Failed to read file", "error unknown"),
            ("resources/read failed: resources/read failed for `fs`", "error unknown"),
            ("{\"agent_id\":\"a\"}", "ok unknown"),
            ("", "ok unknown"),
        ] {
            let (outcome, decision) = outcome(text);
            let by = decision.map_or("-", |decision| decision.by.as_str());
            let code = exit_code(text).map(|code| format!(" {code}")).unwrap_or_default();
            assert_eq!(format!("{} {by}{code}", outcome.as_str()), want, "{text}");
        }
    }
}
