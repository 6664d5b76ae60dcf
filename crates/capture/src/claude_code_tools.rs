//! What the tools of Claude Code mean in canonical words. `docs/claude-code.md` has the table.

use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Normalised, Resource, Verb, shell};
use serde_json::Value;

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<ClaudeCode>(tool, input, cwd, home)
}

struct ClaudeCode;

impl Tools for ClaudeCode {
    const RUNTIME: &'static str = "claude-code";

    fn read(call: &mut Call<'_, ClaudeCode>) -> String {
        call.read()
    }
}

impl<'c> Call<'c, ClaudeCode> {
    fn read(&mut self) -> String {
        match self.tool {
            "Read" => self.on_file(Verb::Read, "file_path"),
            "Write" | "Edit" | "MultiEdit" => self.on_file(Verb::Write, "file_path"),
            "NotebookRead" => self.on_file(Verb::Read, "notebook_path"),
            "NotebookEdit" => self.on_file(Verb::Write, "notebook_path"),
            "LS" => self.on_file(Verb::Read, "path"),
            "Glob" | "Grep" => self.search(),
            "Bash" | "Monitor" => {
                let command = self.needed(&["command"]);
                if !command.is_empty() {
                    let context = shell::Context { cwd: self.cwd, home: self.home };
                    self.found = shell::normalise(command, &context);
                }
                command.to_owned()
            }
            "PowerShell" => {
                self.act(Verb::Execute, Resource::proc("powershell"));
                self.unknown(Hazard::CommandWord, "commands of PowerShell are not read");
                self.needed(&["command"]).to_owned()
            }
            "BashOutput" | "TaskOutput" => self.on_background(Verb::Read),
            "KillShell" | "KillBash" | "TaskStop" => self.on_background(Verb::Execute),
            "WebFetch" => self.named(Verb::Network, "url", &["url"]),
            "WebSearch" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["query"]).to_owned()
            }
            "Agent" | "Task" => {
                // The runtime takes this one where none is named.
                let kind = Some(self.text("subagent_type")).filter(|kind| !kind.is_empty());
                self.act(Verb::Delegate, Resource::new("agent", kind.unwrap_or("general-purpose")));
                self.needed(&["prompt"]);
                self.first(&["description", "prompt"]).to_owned()
            }
            "CronCreate" | "ScheduleWakeup" | "RemoteTrigger" => {
                // What it says is done when nobody looks, as if a person had asked for it.
                self.act(Verb::Delegate, Resource::new("agent", "later"));
                self.first(&["prompt", "reason", "action"]).to_owned()
            }
            "Config" => self.setting(),
            "SendMessage" => {
                self.named(Verb::Delegate, "agent", &["to", "recipient"]);
                self.first(&["summary", "message", "content"]).to_owned()
            }
            "TodoWrite" | "TaskCreate" | "TaskUpdate" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                self.first(&["subject", "taskId"]).to_owned()
            }
            "TodoRead" | "TaskList" | "TaskGet" => {
                self.act(Verb::Read, Resource::new("memory", "tasks"));
                self.text("taskId").to_owned()
            }
            "Skill" | "SlashCommand" => {
                let name = self.needed(&["skill", "command", "name"]);
                self.act(Verb::Execute, self.own(&format!("skill/{name}")));
                name.to_owned()
            }
            "ToolSearch" => {
                self.act(Verb::Search, self.own("tools"));
                self.text("query").to_owned()
            }
            "AskUserQuestion" => {
                self.act(Verb::Read, self.own("user"));
                let question = self.input.pointer("/questions/0/question").and_then(Value::as_str);
                question.unwrap_or_default().to_owned()
            }
            "EnterPlanMode" | "ExitPlanMode" | "EnterWorktree" | "ExitWorktree" => {
                self.act(Verb::Configure, self.own(self.tool));
                self.first(&["plan", "name"]).to_owned()
            }
            "ListMcpResourcesTool" => {
                let server = Some(self.text("server")).filter(|server| !server.is_empty());
                self.act(
                    Verb::Read,
                    Resource::new("mcp", format_args!("{}/resources", server.unwrap_or("*"))),
                );
                self.text("server").to_owned()
            }
            "ReadMcpResourceTool" => {
                let (server, uri) = (self.text("server"), self.text("uri"));
                self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{uri}")));
                uri.to_owned()
            }
            tool => {
                match tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
                    Some((server, name)) => {
                        self.act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
                        self.named_by_arguments(server);
                    }
                    None => self.unknown(
                        Hazard::UnknownTool,
                        format!("the tool {tool} is not known to this version"),
                    ),
                }
                String::new()
            }
        }
    }

    /// A setting of the runtime, looked at or changed.
    fn setting(&mut self) -> String {
        let name = self.needed(&["setting", "key", "name"]);
        let changes = name.is_empty() || self.input.get("value").is_some_and(|value| !value.is_null());
        self.act(if changes { Verb::Configure } else { Verb::Read }, self.own("Config"));
        let lower = name.to_ascii_lowercase();
        if changes && ["hook", "permission"].iter().any(|part| lower.contains(part)) {
            // Kept there, whatever the tool is called with.
            if let Some(file) = self.file_at_home("~/.claude/settings.json") {
                self.act(Verb::Write, file);
            }
        }
        name.to_owned()
    }

    fn on_file(&mut self, verb: Verb, key: &str) -> String {
        let path = self.needed(&[key]);
        if !path.is_empty()
            && let Some(file) = self.file_at_home(path)
        {
            self.act(verb, file);
        }
        path.to_owned()
    }

    fn search(&mut self) -> String {
        let pattern = self.needed(&["pattern"]);
        let path = match (self.optional("path"), self.tool) {
            // A pattern may name the folder itself: /etc/**/*.conf
            ("", "Glob") if pattern.starts_with(['/', '~']) => {
                let fixed = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
                if fixed == pattern { pattern } else { &fixed[..=fixed.rfind('/').unwrap_or(0)] }
            }
            ("", _) => ".",
            (path, _) => path,
        };
        if let Some(root) = self.file_at_home(path) {
            self.found.push(Action::new(Verb::Search, root).recursive());
        }
        pattern.to_owned()
    }

    fn on_background(&mut self, verb: Verb) -> String {
        let id = self.first(&["task_id", "bash_id", "shell_id"]);
        self.act(verb, Resource::new("proc", format_args!("background/{id}")));
        id.to_owned()
    }

    fn named(&mut self, verb: Verb, kind: &str, keys: &[&str]) -> String {
        let name = self.needed(keys);
        if !name.is_empty() {
            self.act(verb, Resource::new(kind, name));
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        for (tool, input, want) in [
            ("Read", json!({"file_path": "/w/a"}), "read file:/w/a"),
            ("Read", json!({"file_path": "~/a"}), "read file:/home/dev/a"),
            (
                "Read",
                json!({"file_path": 3}),
                "execute tool:claude-code/Read; the call has no file_path; (unknown_tool)",
            ),
            ("Write", json!({"file_path": "../a"}), "write file:/a"),
            ("Edit", json!({"file_path": "/w/a"}), "write file:/w/a"),
            ("MultiEdit", json!({"file_path": "/w/a"}), "write file:/w/a"),
            ("NotebookEdit", json!({"notebook_path": "/w/a.ipynb"}), "write file:/w/a.ipynb"),
            ("LS", json!({"path": "/w"}), "read file:/w"),
            ("Grep", json!({"pattern": "x", "path": "src"}), "search file:/w/src recursive"),
            ("Glob", json!({"pattern": "**/*.md"}), "search file:/w recursive"),
            ("Glob", json!({"pattern": "/etc/**/*.conf"}), "search file:/etc recursive"),
            ("Glob", json!({"pattern": "/*"}), "search file:/ recursive"),
            ("Bash", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            ("Bash", json!({}), "execute tool:claude-code/Bash; the call has no command; (unknown_tool)"),
            ("Monitor", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            (
                "Write",
                json!({"file_path": ["/w/a"]}),
                "execute tool:claude-code/Write; the call has no file_path; (unknown_tool)",
            ),
            (
                "Grep",
                json!({"pattern": "x", "path": ["/etc"]}),
                "search file:/w recursive; path is no text; (unknown_tool)",
            ),
            (
                "Agent",
                json!({"prompt": 3}),
                "delegate agent:general-purpose; the call has no prompt; (unknown_tool)",
            ),
            ("CronCreate", json!({"cron": "* * * * *", "prompt": "push"}), "delegate agent:later"),
            ("ScheduleWakeup", json!({"delaySeconds": 60, "prompt": "push"}), "delegate agent:later"),
            ("RemoteTrigger", json!({"action": "run"}), "delegate agent:later"),
            ("Config", json!({"setting": "theme"}), "read tool:claude-code/Config"),
            ("Config", json!({"setting": "theme", "value": "dark"}), "configure tool:claude-code/Config"),
            (
                "Config",
                json!({"setting": "disableAllHooks", "value": true}),
                "configure tool:claude-code/Config; write file:/home/dev/.claude/settings.json",
            ),
            (
                "Config",
                json!({"setting": "permissions.defaultMode", "value": "bypassPermissions"}),
                "configure tool:claude-code/Config; write file:/home/dev/.claude/settings.json",
            ),
            ("BashOutput", json!({"bash_id": "b1"}), "read proc:background/b1"),
            ("KillShell", json!({"shell_id": "b1"}), "execute proc:background/b1"),
            ("WebFetch", json!({"url": "https://h/p"}), "network url:https://h/p"),
            ("WebSearch", json!({"query": "q"}), "search tool:claude-code/web"),
            ("Agent", json!({"subagent_type": "Explore", "prompt": "p"}), "delegate agent:Explore"),
            ("Task", json!({"prompt": "p"}), "delegate agent:general-purpose"),
            ("SendMessage", json!({"to": "a1", "summary": "s"}), "delegate agent:a1"),
            ("TodoWrite", json!({"todos": []}), "memory memory:tasks"),
            ("Skill", json!({"skill": "review"}), "execute tool:claude-code/skill/review"),
            ("SlashCommand", json!({"command": "/x"}), "execute tool:claude-code/skill//x"),
            ("AskUserQuestion", json!({"questions": [{"question": "q?"}]}), "read tool:claude-code/user"),
            ("ExitPlanMode", json!({"plan": "p"}), "configure tool:claude-code/ExitPlanMode"),
            ("mcp__fs__read_file", json!({"path": "/w/a"}), "execute mcp:fs/read_file; names file:/w/a"),
            ("mcp__fs__read_file", json!({"q": "a/b"}), "execute mcp:fs/read_file"),
            ("ReadMcpResourceTool", json!({"server": "s", "uri": "x://y"}), "read mcp:s/x://y"),
            (
                "PowerShell",
                json!({"command": "ls"}),
                "execute proc:powershell; commands of PowerShell are not read; (command_word)",
            ),
            (
                "Later",
                json!({"a": 1}),
                "execute tool:claude-code/Later; the tool Later is not known to this version; (unknown_tool)",
            ),
        ] {
            let (found, summary) = normalise(tool, &input, "/w", "/home/dev");
            let mut got: Vec<String> = Vec::new();
            for action in &found.actions {
                let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
                got.push(format!("{} {}{flags}", action.action, action.resource));
            }
            got.extend(found.named.iter().map(|name| format!("names {name}")));
            got.extend(found.opaque);
            got.extend(found.hazards.iter().map(|hazard| format!("({})", hazard.as_str())));
            assert_eq!(got.join("; "), want, "{tool} {input}");
            assert!(!summary.is_empty());
        }
    }

    #[test]
    fn a_relative_path_is_nothing_without_a_working_directory() {
        let (found, _) = normalise("Read", &json!({"file_path": "a"}), "", "");
        assert_eq!(found.actions[0].resource.as_str(), "tool:claude-code/Read");
        assert_eq!((found.opaque.len(), &found.hazards[..]), (1, &[Hazard::Arguments][..]));
    }
}
