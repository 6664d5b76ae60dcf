//! What the tools of Cursor mean in canonical words. `docs/cursor.md` has the table.

use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Names, Normalised, Resource, Verb, shell};
use serde_json::Value;

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<Cursor>(tool, input, cwd, home)
}

struct Cursor;

impl Tools for Cursor {
    const RUNTIME: &'static str = "cursor";

    fn read(call: &mut Call<'_, Cursor>) -> String {
        call.read()
    }
}

/// By which names the documentation and its examples give a file.
const FILE: [&str; 4] = ["file_path", "path", "target_file", "target_notebook"];

impl<'c> Call<'c, Cursor> {
    fn read(&mut self) -> String {
        match self.tool {
            "Shell" => {
                let command = self.needed(&["command"]);
                if !command.is_empty() {
                    let folder = match self.text("working_directory") {
                        "" => self.cwd.to_owned(),
                        path => {
                            self.file_at_home(path).map(|file| file.name().to_owned()).unwrap_or_default()
                        }
                    };
                    let context = shell::Context { cwd: &folder, home: self.home };
                    self.found = shell::normalise(command, &context);
                }
                command.to_owned()
            }
            "Read" | "LS" => self.on_file(Verb::Read),
            "ReadLints" => {
                self.act(Verb::Read, self.own("lints"));
                String::new()
            }
            "Write" | "StrReplace" | "Edit" | "EditNotebook" => self.on_file(Verb::Write),
            "Delete" => {
                let path = self.needed(&FILE);
                if let Some(file) =
                    Some(path).filter(|path| !path.is_empty()).and_then(|path| self.file_at_home(path))
                {
                    self.found.push(Action::new(Verb::Delete, file).destructive());
                }
                path.to_owned()
            }
            "ApplyPatch" => {
                let patch = self.needed(&["patch", "input"]);
                if !patch.is_empty() {
                    let context = shell::Context { cwd: self.cwd, home: self.home };
                    let quoted = patch.replace('\'', r"'\''");
                    self.found = shell::normalise(&format!("apply_patch '{quoted}'"), &context);
                }
                patch.lines().nth(1).unwrap_or_default().to_owned()
            }
            "Grep" | "Glob" => {
                let pattern = self.needed(&["pattern", "glob_pattern"]);
                let path = self.first(&["path", "target_directory"]);
                if let Some(root) = self.file_at_home(if path.is_empty() { "." } else { path }) {
                    self.found.push(Action::new(Verb::Search, root).recursive());
                }
                pattern.to_owned()
            }
            "SemanticSearch" => {
                self.act(Verb::Search, self.own("code"));
                self.needed(&["query"]).to_owned()
            }
            "WebSearch" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["search_term", "query"]).to_owned()
            }
            "WebFetch" => {
                let url = self.needed(&["url"]);
                if !url.is_empty() {
                    self.act(Verb::Network, Resource::new("url", url));
                }
                url.to_owned()
            }
            "Task" => {
                let kind = Some(self.text("subagent_type")).filter(|kind| !kind.is_empty());
                self.act(Verb::Delegate, Resource::new("agent", kind.unwrap_or("generalPurpose")));
                self.first(&["description", "prompt", "task"]).to_owned()
            }
            "TodoWrite" | "CreatePlan" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                self.text("name").to_owned()
            }
            "AskQuestion" => {
                self.act(Verb::Read, self.own("user"));
                self.text("title").to_owned()
            }
            "SwitchMode" => {
                self.act(Verb::Configure, self.own(self.tool));
                self.first(&["target_mode_id", "mode"]).to_owned()
            }
            "GenerateImage" => {
                self.act(Verb::Send, self.own(self.tool));
                self.text("description").to_owned()
            }
            "CallMcpTool" => {
                let (server, name) = (self.needed(&["server"]), self.needed(&["toolName", "tool_name"]));
                self.mcp(server, name, self.input.get("arguments"));
                name.to_owned()
            }
            "FetchMcpResource" | "ListMcpResources" => {
                let server = Some(self.text("server")).filter(|server| !server.is_empty()).unwrap_or("*");
                let uri = Some(self.text("uri")).filter(|uri| !uri.is_empty()).unwrap_or("resources");
                self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{uri}")));
                uri.to_owned()
            }
            tool => {
                match tool.strip_prefix("MCP:").filter(|name| !name.is_empty()) {
                    // Which server it belongs to is not told.
                    Some(name) => self.mcp("*", name, Some(self.input)),
                    None => self.unknown(
                        Hazard::UnknownTool,
                        format!("the tool {tool} is not known to this version"),
                    ),
                }
                String::new()
            }
        }
    }

    /// What the tool of a server does is not known, but what it is given is.
    fn mcp(&mut self, server: &str, name: &str, arguments: Option<&Value>) {
        self.act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
        let names = Names::new(server, self.cwd, self.home).all(arguments.unwrap_or(&Value::Null));
        self.found.named.extend(names.found);
        if names.left_out > 0 {
            let reason = format!("{} more names in the arguments are not listed", names.left_out);
            self.unknown(Hazard::LeftOut, reason);
        }
    }

    fn on_file(&mut self, verb: Verb) -> String {
        let path = self.needed(&FILE);
        if let Some(file) =
            Some(path).filter(|path| !path.is_empty()).and_then(|path| self.file_at_home(path))
        {
            self.act(verb, file);
        }
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        for (tool, input, want) in [
            ("Shell", json!({"command": "rm -rf b"}), "delete file:/w/b recursive destructive"),
            ("Shell", json!({"command": "cat a", "working_directory": "/x"}), "read file:/x/a"),
            ("Shell", json!({}), "execute tool:cursor/Shell; (unknown_tool)"),
            ("Read", json!({"file_path": "/w/a"}), "read file:/w/a"),
            ("Read", json!({"path": "~/a"}), "read file:/home/dev/a"),
            ("Write", json!({"file_path": "a"}), "write file:/w/a"),
            ("StrReplace", json!({"path": "a"}), "write file:/w/a"),
            ("EditNotebook", json!({"target_notebook": "a.ipynb"}), "write file:/w/a.ipynb"),
            ("Delete", json!({"path": "a"}), "delete file:/w/a destructive"),
            (
                "ApplyPatch",
                json!({"patch": "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"}),
                "create file:/w/a",
            ),
            ("Grep", json!({"pattern": "x", "path": "src"}), "search file:/w/src recursive"),
            ("Glob", json!({"glob_pattern": "*.rs"}), "search file:/w recursive"),
            ("SemanticSearch", json!({"query": "x"}), "search tool:cursor/code"),
            ("WebSearch", json!({"search_term": "x"}), "search tool:cursor/web"),
            ("WebFetch", json!({"url": "https://h/p"}), "network url:https://h/p"),
            ("Task", json!({"subagent_type": "explore", "prompt": "p"}), "delegate agent:explore"),
            ("TodoWrite", json!({"todos": []}), "memory memory:tasks"),
            ("AskQuestion", json!({"title": "t"}), "read tool:cursor/user"),
            ("SwitchMode", json!({"target_mode_id": "plan"}), "configure tool:cursor/SwitchMode"),
            ("GenerateImage", json!({"description": "d"}), "send tool:cursor/GenerateImage"),
            ("MCP:read_file", json!({"path": "/w/a"}), "execute mcp:*/read_file; names file:/w/a"),
            (
                "CallMcpTool",
                json!({"server": "fs", "toolName": "read", "arguments": {"path": "/w/a"}}),
                "execute mcp:fs/read; names file:/w/a",
            ),
            ("FetchMcpResource", json!({"server": "fs", "uri": "x://y"}), "read mcp:fs/x://y"),
            ("ReadLints", json!({}), "read tool:cursor/lints"),
            ("Later", json!({"a": 1}), "execute tool:cursor/Later; (unknown_tool)"),
        ] {
            let (found, summary) = normalise(tool, &input, "/w", "/home/dev");
            let mut got: Vec<String> = Vec::new();
            for action in &found.actions {
                let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
                got.push(format!("{} {}{flags}", action.action, action.resource));
            }
            got.extend(found.named.iter().map(|name| format!("names {name}")));
            got.extend(found.hazards.iter().map(|hazard| format!("({})", hazard.as_str())));
            assert_eq!(got.join("; "), want, "{tool} {input}");
            assert!(!summary.is_empty());
        }
    }
}
