//! What a runtime is told by its hook, in the runtime's own form.
//!
//! Used by the recorder, and by `fdr-hook` itself where the recorder can't be reached. Each form
//! is what the runtime documents, tried on the real one (`docs/`).

/// What a hook answers its runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Written to standard output.
    pub stdout: Vec<u8>,
    /// Written to standard error.
    pub stderr: Vec<u8>,
    /// Exit status.
    pub exit_code: u8,
}

/// Whether `runtime` asks with `event` whether a tool may run, and waits for the answer.
pub fn gates(runtime: &str, event: &str) -> bool {
    match runtime {
        "claude-code" | "codex" => event == "PreToolUse",
        "gemini-cli" => event == "BeforeTool",
        "hermes" => event == "pre_tool_call",
        "opencode" => event == "tool.execute.before",
        "openclaw" => event == "before_tool_call",
        "cursor" => {
            matches!(event, "preToolUse" | "beforeShellExecution" | "beforeMCPExecution" | "beforeReadFile")
        }
        runtime => runtime.starts_with("mcp:") && event == "client",
    }
}

/// The answer by which the tool is not run; the model is told the reason.
pub fn deny(runtime: &str, reason: &str) -> Reply {
    let reason = format!("fdr (enforce): {reason}");
    match runtime {
        "claude-code" | "codex" => permission_decision("deny", &reason),
        "gemini-cli" => json(&[("decision", "deny"), ("reason", &reason)]),
        "hermes" => json(&[("decision", "block"), ("reason", &reason)]),
        "cursor" => json(&[("permission", "deny"), ("user_message", &reason), ("agent_message", &reason)]),
        // Plug-ins of our own.
        "opencode" | "openclaw" => json(&[("decision", "deny"), ("reason", &reason)]),
        // The proxy makes a JSON-RPC error of it.
        _ => Reply { stdout: Vec::new(), stderr: reason.into_bytes(), exit_code: 2 },
    }
}

/// The answer by which the runtime asks its user. One that can't is told to deny.
pub fn ask(runtime: &str, reason: &str) -> Reply {
    let asked = format!("fdr (enforce): {reason}");
    match runtime {
        "claude-code" => permission_decision("ask", &asked),
        "cursor" => json(&[("permission", "ask"), ("user_message", &asked), ("agent_message", &asked)]),
        _ => deny(runtime, reason),
    }
}

fn permission_decision(decision: &str, reason: &str) -> Reply {
    let text = format!(
        "{{\"hookSpecificOutput\":{{\"hookEventName\":\"PreToolUse\",\"permissionDecision\":{},\"permissionDecisionReason\":{}}}}}\n",
        json_text(decision),
        json_text(reason),
    );
    Reply { stdout: text.into_bytes(), ..Reply::default() }
}

fn json(fields: &[(&str, &str)]) -> Reply {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{}", json_text(name), json_text(value))).collect();
    Reply { stdout: format!("{{{}}}\n", fields.join(",")).into_bytes(), ..Reply::default() }
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_json_text_whatever_it_holds() {
        assert_eq!(json_text("a\"b\\c\n\u{1}é"), r#""a\"b\\c\u000a\u0001é""#);
    }

    #[test]
    fn who_can_not_ask_its_user_denies() {
        for runtime in ["codex", "gemini-cli", "hermes", "opencode", "openclaw", "mcp:fs"] {
            assert_eq!(ask(runtime, "why"), deny(runtime, "why"), "{runtime}");
        }
        assert_ne!(ask("claude-code", "why"), deny("claude-code", "why"));
    }
}
