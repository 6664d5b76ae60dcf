//! What OpenCode's own words tell about how a call ended.
//!
//! A call that was refused or that failed has the state `error` and a text. These are the texts of
//! OpenCode 1.18; they count only in that state, so what a tool printed can't pass for them.

use crate::event::{flat, ran};
use crate::writer::cap;
use fdr_record::{Basis, DecidedBy, Outcome, RuntimeDecision, Verdict};
use serde_json::Value;

/// The state of a part that is a call.
pub(crate) struct Basics {
    pub(crate) input: Value,
    /// What the model is given.
    pub(crate) text: String,
    pub(crate) duration_ms: Option<u64>,
}

impl Basics {
    pub(crate) fn of(state: &Value) -> Basics {
        let text = |key: &str| state.get(key).and_then(Value::as_str);
        let time = |key: &str| state.pointer(key).and_then(Value::as_u64);
        let duration = time("/time/end").zip(time("/time/start"));
        Basics {
            input: state.get("input").cloned().unwrap_or_default(),
            text: text("output").or(text("error")).unwrap_or_default().to_owned(),
            duration_ms: duration.map(|(end, start)| end.saturating_sub(start)),
        }
    }
}

/// The text in what a tool gave: its output, or the texts of an MCP server as OpenCode joins them.
pub(crate) fn text_of(output: &Value) -> String {
    if let Some(text) = output.get("output").and_then(Value::as_str) {
        return text.to_owned();
    }
    match output.get("content").and_then(Value::as_array) {
        Some(parts) => {
            let texts = parts.iter().filter(|part| part.get("type") == Some(&"text".into()));
            texts.map(flat).collect::<Vec<_>>().join("\n\n")
        }
        None => flat(output),
    }
}

/// The exit status of a command.
pub(crate) fn exit_code(metadata: &Value) -> Option<i64> {
    metadata.get("exit").and_then(Value::as_i64)
}

/// How a call ended that ran to its end: outcome, reason, decision.
pub(crate) fn finished(
    tool: &str,
    text: &str,
    output: &Value,
) -> (Outcome, Option<String>, Option<RuntimeDecision>) {
    if tool == "invalid" {
        // An unknown tool, or arguments that are no JSON: nothing ran.
        let decision = no(DecidedBy::Runtime, Basis::Stated, text);
        return (Outcome::Rejected, Some(text.to_owned()), Some(decision));
    }
    let metadata = output.get("metadata").unwrap_or(&Value::Null);
    // OpenCode's own remarks stand at the very end of what a command printed.
    let remark = text.rsplit_once("<shell_metadata>").map(|(_, remark)| remark).unwrap_or_default();
    let remark = remark.trim().trim_end_matches("</shell_metadata>").trim();
    if tool == "bash" && metadata.get("exit").is_some_and(Value::is_null) && !remark.is_empty() {
        return (Outcome::Interrupted, Some(cap(remark)), Some(ran()));
    }
    if exit_code(metadata).is_some_and(|code| code != 0) {
        return (Outcome::Error, None, Some(ran()));
    }
    if output.get("isError") == Some(&true.into()) {
        return (Outcome::Error, Some(cap(text)), Some(ran()));
    }
    let background = metadata.get("background") == Some(&true.into());
    (Outcome::Ok, background.then(|| "it runs on in the background".to_owned()), Some(ran()))
}

/// What the text of a call in the state `error` tells. `headless`: nobody can be asked. `refused`: the
/// reason that our own policy gave for not letting it run.
pub(crate) fn failed(
    text: &str,
    interrupted: bool,
    headless: bool,
    refused: Option<&str>,
) -> (Outcome, Option<RuntimeDecision>) {
    use Basis::{Inferred, Stated};
    const REJECTED: &str = "The user rejected permission to use this specific tool call";
    let begins = |part: &str| text.starts_with(part);
    if refused.is_some_and(|reason| !reason.is_empty() && text.contains(reason)) || begins("fdr (enforce): ")
    {
        return (Outcome::Denied, Some(no(DecidedBy::Hook, Stated, text)));
    }
    if begins(REJECTED) {
        // With words of the user's it was a person.
        let by_nobody = headless && !text[REJECTED.len()..].starts_with(" with the following feedback");
        let (by, basis) = if by_nobody { (DecidedBy::Mode, Inferred) } else { (DecidedBy::User, Stated) };
        return (Outcome::Denied, Some(no(by, basis, text)));
    }
    if begins("The user has specified a rule which prevents you from using this specific tool call") {
        return (Outcome::Denied, Some(no(DecidedBy::Rule, Stated, text)));
    }
    if begins("The ")
        && text.lines().next().is_some_and(|line| line.contains(" tool was called with invalid arguments"))
    {
        return (Outcome::Rejected, Some(no(DecidedBy::Runtime, Stated, text)));
    }
    if interrupted || text == "Tool execution aborted" || text == "Cancelled" {
        return (Outcome::Interrupted, Some(ran()));
    }
    (Outcome::Error, Some(ran()))
}

fn no(by: DecidedBy, basis: Basis, text: &str) -> RuntimeDecision {
    RuntimeDecision { decision: Verdict::Deny, by, basis, reason: Some(cap(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_of_a_failed_call_tells_who_refused_it() {
        let rejected = "The user rejected permission to use this specific tool call.";
        let corrected =
            "The user rejected permission to use this specific tool call with the following feedback: no";
        for (text, headless, want, by) in [
            ("fdr (enforce): R1", false, Outcome::Denied, DecidedBy::Hook),
            (rejected, false, Outcome::Denied, DecidedBy::User),
            (rejected, true, Outcome::Denied, DecidedBy::Mode),
            (corrected, true, Outcome::Denied, DecidedBy::User),
            (
                "The user has specified a rule which prevents you from using this specific tool call. Here are",
                true,
                Outcome::Denied,
                DecidedBy::Rule,
            ),
            (
                "The read tool was called with invalid arguments: SchemaError(…)",
                true,
                Outcome::Rejected,
                DecidedBy::Runtime,
            ),
            ("Tool execution aborted", false, Outcome::Interrupted, DecidedBy::Unknown),
            ("Cancelled", false, Outcome::Interrupted, DecidedBy::Unknown),
            ("File not found: /w/a", false, Outcome::Error, DecidedBy::Unknown),
            ("it said: fdr (enforce): R1", false, Outcome::Error, DecidedBy::Unknown),
        ] {
            let (outcome, decision) = failed(text, false, headless, None);
            assert_eq!((outcome, decision.map(|decision| decision.by)), (want, Some(by)), "{text}");
        }
        assert_eq!(failed("because R2", false, false, Some("R2")).0, Outcome::Denied);
    }

    #[test]
    fn what_a_finished_call_gave_tells_how_it_ended() {
        for (tool, text, output, want) in [
            ("bash", "x", json!({"metadata": {"exit": 0}}), Outcome::Ok),
            ("bash", "x", json!({"metadata": {"exit": 3}}), Outcome::Error),
            (
                "bash",
                "x\n\n<shell_metadata>\nUser aborted the command\n</shell_metadata>",
                json!({"metadata": {"exit": null}}),
                Outcome::Interrupted,
            ),
            // A command that prints the words and ends well.
            ("bash", "<shell_metadata>\nUser aborted", json!({"metadata": {"exit": 0}}), Outcome::Ok),
            ("invalid", "The arguments …", json!({"metadata": {}}), Outcome::Rejected),
            ("fs_read", "x", json!({"isError": true}), Outcome::Error),
            ("task", "x", json!({"metadata": {"background": true}}), Outcome::Ok),
        ] {
            assert_eq!(finished(tool, text, &output).0, want, "{tool} {output}");
        }
    }

    #[test]
    fn the_text_is_the_one_that_the_model_is_given() {
        assert_eq!(text_of(&json!({"output": "a", "metadata": {}})), "a");
        let parts = json!([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]);
        assert_eq!(text_of(&json!({"content": parts})), "a\n\nb");
    }
}
