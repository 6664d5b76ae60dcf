//! What the tools of Claude Code mean in canonical words.

use fdr_record::{Action, Normalised, Resource, Verb, clean_path, shell};
use serde_json::Value;

/// What a call means, and one line that a person can read. `docs/claude-code.md` has the table.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or_default();
    let file = |key: &str| {
        let path = text(key);
        match path.strip_prefix("~/") {
            Some(rest) if !home.is_empty() => Resource::file(rest, home),
            _ => Resource::file(path, cwd),
        }
    };
    let mut found = Normalised::default();
    let mut act = |verb, resource| found.push(Action::new(verb, resource));
    let summary = match tool {
        "Read" | "NotebookRead" => {
            act(Verb::Read, if tool == "Read" { file("file_path") } else { file("notebook_path") });
            text("file_path").to_owned()
        }
        "Write" | "Edit" | "MultiEdit" => {
            act(Verb::Write, file("file_path"));
            text("file_path").to_owned()
        }
        "NotebookEdit" => {
            act(Verb::Write, file("notebook_path"));
            text("notebook_path").to_owned()
        }
        "Glob" | "Grep" | "LS" => {
            let root = if input.get("path").is_some() { file("path") } else { Resource::file(".", cwd) };
            found.push(Action::new(if tool == "LS" { Verb::Read } else { Verb::Search }, root).recursive());
            text("pattern").to_owned()
        }
        "Bash" => {
            let command = text("command");
            found = shell::normalise(command, &shell::Context { cwd, home });
            command.to_owned()
        }
        "BashOutput" | "TaskOutput" => {
            act(
                Verb::Read,
                Resource::new("proc", format_args!("background/{}", first(input, &["bash_id", "task_id"]))),
            );
            first(input, &["bash_id", "task_id"]).to_owned()
        }
        "KillShell" | "KillBash" | "TaskStop" => {
            let id = first(input, &["shell_id", "bash_id", "task_id"]);
            act(Verb::Execute, Resource::new("proc", format_args!("background/{id}")));
            id.to_owned()
        }
        "WebFetch" => {
            act(Verb::Network, Resource::new("url", text("url")));
            text("url").to_owned()
        }
        "WebSearch" => {
            act(Verb::Search, Resource::new("url", "web-search"));
            text("query").to_owned()
        }
        "Agent" | "Task" => {
            let kind = match text("subagent_type") {
                "" => "general-purpose",
                kind => kind,
            };
            act(Verb::Delegate, Resource::new("agent", kind));
            text("description").to_owned()
        }
        "SendMessage" => {
            act(Verb::Delegate, Resource::new("agent", text("to")));
            text("summary").to_owned()
        }
        "TodoWrite" | "TaskCreate" | "TaskUpdate" => {
            act(Verb::Memory, Resource::new("memory", "tasks"));
            first(input, &["subject", "taskId"]).to_owned()
        }
        "TodoRead" | "TaskList" | "TaskGet" => {
            act(Verb::Read, Resource::new("memory", "tasks"));
            text("taskId").to_owned()
        }
        "Skill" | "SlashCommand" => {
            let name = first(input, &["skill", "command", "name"]);
            act(Verb::Execute, Resource::new("tool", format_args!("claude-code/skill/{name}")));
            name.to_owned()
        }
        "ToolSearch" => {
            act(Verb::Search, Resource::new("tool", "claude-code"));
            text("query").to_owned()
        }
        "AskUserQuestion" => {
            act(Verb::Read, Resource::new("tool", "claude-code/user"));
            input.pointer("/questions/0/question").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        "EnterPlanMode" | "ExitPlanMode" | "EnterWorktree" | "ExitWorktree" => {
            act(Verb::Configure, Resource::new("tool", format_args!("claude-code/{tool}")));
            first(input, &["plan", "name"]).to_owned()
        }
        "ListMcpResourcesTool" => {
            act(Verb::Read, Resource::new("mcp", format_args!("{}/resources", text("server"))));
            text("server").to_owned()
        }
        "ReadMcpResourceTool" => {
            act(Verb::Read, Resource::new("mcp", format_args!("{}/{}", text("server"), text("uri"))));
            text("uri").to_owned()
        }
        _ => match tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
            Some((server, name)) => {
                act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
                input.to_string()
            }
            None => {
                // Not known: recorded whole, never dropped.
                act(Verb::Execute, Resource::new("tool", format_args!("claude-code/{tool}")));
                found.opaque(format!("the tool {tool} is not known to this version"));
                input.to_string()
            }
        },
    };
    debug_assert!(cwd.is_empty() || clean_path(cwd, "/").starts_with('/'));
    (found, summary)
}

fn first<'v>(input: &'v Value, keys: &[&str]) -> &'v str {
    keys.iter().find_map(|key| input.get(key).and_then(Value::as_str)).unwrap_or_default()
}
