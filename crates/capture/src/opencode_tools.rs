//! What the tools of OpenCode mean in canonical words. `docs/opencode.md` has the table.
//!
//! A tool of an MCP server comes as `SERVER/TOOL`: OpenCode's own name for it, `SERVER_TOOL`, can't
//! be split without knowing the servers (see `opencode.rs`).

use crate::patch::{self, Change};
use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Normalised, Resource, Verb, shell};
use serde_json::Value;

/// The most calls that are read of one `batch`.
const MAX_BATCH: usize = 64;

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<OpenCode>(tool, input, cwd, home)
}

struct OpenCode;

impl Tools for OpenCode {
    const RUNTIME: &'static str = "opencode";

    fn read(call: &mut Call<'_, OpenCode>) -> String {
        call.read()
    }
}

impl<'c> Call<'c, OpenCode> {
    fn read(&mut self) -> String {
        match self.tool {
            "read" => self.on_file(Verb::Read, "filePath"),
            "write" | "edit" | "multiedit" => self.on_file(Verb::Write, "filePath"),
            "list" => {
                let path = Some(self.optional("path")).filter(|path| !path.is_empty()).unwrap_or(".");
                if let Some(folder) = self.file(path) {
                    self.act(Verb::Read, folder);
                }
                path.to_owned()
            }
            "apply_patch" | "patch" => self.patch(),
            "glob" | "grep" => self.search(),
            "bash" => self.shell(),
            "webfetch" => {
                let url = self.needed(&["url"]);
                if !url.is_empty() {
                    self.act(Verb::Network, Resource::new("url", url));
                }
                url.to_owned()
            }
            "websearch" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["query"]).to_owned()
            }
            "codesearch" => {
                self.act(Verb::Search, self.own("code"));
                self.needed(&["query"]).to_owned()
            }
            "task" => {
                let kind = self.needed(&["subagent_type"]);
                if !kind.is_empty() {
                    self.act(Verb::Delegate, Resource::new("agent", kind));
                }
                self.needed(&["prompt"]);
                self.first(&["description", "prompt"]).to_owned()
            }
            "todowrite" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                let todos = self.input.get("todos").and_then(Value::as_array);
                todos.map_or_else(String::new, |todos| format!("{} tasks", todos.len()))
            }
            "todoread" => {
                self.act(Verb::Read, Resource::new("memory", "tasks"));
                String::new()
            }
            "skill" => {
                let name = self.needed(&["name"]);
                self.act(Verb::Execute, self.own(&format!("skill/{name}")));
                name.to_owned()
            }
            "question" => {
                self.act(Verb::Read, self.own("user"));
                let question = self.input.pointer("/questions/0/question").and_then(Value::as_str);
                question.unwrap_or_default().to_owned()
            }
            "plan_enter" | "plan_exit" => {
                self.act(Verb::Configure, self.own(self.tool));
                String::new()
            }
            "lsp" => self.lsp(),
            "batch" => self.batch(),
            // Code of the model's that calls tools of MCP servers; each of these is a call of its own.
            "execute" => {
                self.act(Verb::Execute, self.own("execute"));
                self.unknown(Hazard::Code, "the code that calls MCP tools is not read");
                self.needed(&["code"]).to_owned()
            }
            // The answer in the form that was asked for: nothing is done by it.
            "StructuredOutput" => {
                self.act(Verb::Execute, self.own(self.tool));
                String::new()
            }
            "list_mcp_resources" | "list_mcp_resource_templates" => {
                let server = Some(self.optional("server")).filter(|server| !server.is_empty());
                let server = server.unwrap_or("*");
                self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/resources")));
                server.to_owned()
            }
            "read_mcp_resource" => {
                let (server, uri) = (self.needed(&["server"]), self.needed(&["uri"]));
                self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{uri}")));
                uri.to_owned()
            }
            // What OpenCode makes of a call that it can't run: an unknown tool, arguments that are no JSON.
            "invalid" => {
                let tool = self.first(&["tool"]);
                self.act(Verb::Execute, self.own(if tool.is_empty() { "invalid" } else { tool }));
                self.unknown(Hazard::UnknownTool, format!("OpenCode can't run this call of {tool}"));
                self.text("error").to_owned()
            }
            tool => {
                match tool.split_once('/') {
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

    fn take(&mut self, found: Normalised) {
        found.actions.into_iter().for_each(|action| self.found.push(action));
        found.opaque.into_iter().for_each(|reason| self.found.opaque(reason));
        found.hazards.into_iter().for_each(|hazard| self.found.hazard(hazard));
        self.found.named.extend(found.named);
    }

    fn on_file(&mut self, verb: Verb, key: &str) -> String {
        let path = self.needed(&[key]);
        if !path.is_empty()
            && let Some(file) = self.file(path)
        {
            self.act(verb, file);
        }
        path.to_owned()
    }

    fn patch(&mut self) -> String {
        let text = self.needed(&["patchText"]);
        let found = patch::changes(text);
        for change in &found {
            let (verb, path, to) = match *change {
                Change::Create(path) => (Verb::Create, path, None),
                Change::Write(path) => (Verb::Write, path, None),
                Change::Delete(path) => (Verb::Delete, path, None),
                Change::Move { from, to } => (Verb::Move, from, Some(to)),
            };
            let Some(file) = self.file(path) else { continue };
            let action = Action::new(verb, file);
            match to.map(|to| self.file(to)) {
                Some(Some(to)) => self.found.push(action.to(to)),
                Some(None) => {}
                None if verb == Verb::Delete => self.found.push(action.destructive()),
                None => self.found.push(action),
            }
        }
        if found.is_empty() && !text.is_empty() {
            self.unknown(Hazard::Arguments, "the files that the patch changes are not known");
            if let Some(folder) = self.file(".") {
                self.found.push(Action::new(Verb::Write, folder).recursive());
            }
        }
        let names = found.iter().map(|change| match *change {
            Change::Create(path) | Change::Write(path) | Change::Delete(path) => path,
            Change::Move { to, .. } => to,
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn search(&mut self) -> String {
        let pattern = self.needed(&["pattern"]);
        let path = match (self.optional("path"), self.tool) {
            // A pattern may name the folder itself: /etc/**/*.conf
            ("", "glob") if pattern.starts_with('/') => {
                let fixed = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
                if fixed == pattern { pattern } else { &fixed[..=fixed.rfind('/').unwrap_or(0)] }
            }
            ("", _) => ".",
            (path, _) => path,
        };
        if let Some(root) = self.file(path) {
            self.found.push(Action::new(Verb::Search, root).recursive());
        }
        pattern.to_owned()
    }

    fn shell(&mut self) -> String {
        let command = self.needed(&["command"]);
        let folder = self.optional("workdir");
        if !command.is_empty() {
            let cwd = match folder {
                "" => Some(self.cwd.to_owned()),
                folder => self.file(folder).map(|folder| folder.name().to_owned()),
            };
            let context = shell::Context { cwd: cwd.as_deref().unwrap_or_default(), home: self.home };
            self.take(shell::normalise(command, &context));
        }
        command.to_owned()
    }

    fn lsp(&mut self) -> String {
        let operation = self.needed(&["operation"]);
        let path = self.needed(&["filePath"]);
        if operation == "workspaceSymbol" {
            if let Some(root) = self.file(".") {
                self.found.push(Action::new(Verb::Search, root).recursive());
            }
        } else if !path.is_empty()
            && let Some(file) = self.file(path)
        {
            self.act(Verb::Read, file);
        }
        format!("{operation} {path}")
    }

    /// Several calls in one, of the versions that had this.
    fn batch(&mut self) -> String {
        let calls = self.input.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if calls.is_empty() {
            self.unknown(Hazard::UnknownTool, "the call has no tool_calls");
        }
        if calls.len() > MAX_BATCH {
            let reason = format!("{} more calls are not read", calls.len() - MAX_BATCH);
            self.unknown(Hazard::LeftOut, reason);
        }
        let mut summary = Vec::new();
        for call in calls.iter().take(MAX_BATCH) {
            let tool = call.get("tool").and_then(Value::as_str).unwrap_or_default();
            // It refuses itself inside itself.
            if tool == "batch" {
                continue;
            }
            let arguments = call.get("parameters").unwrap_or(&Value::Null);
            let (found, line) = normalise(tool, arguments, self.cwd, self.home);
            self.take(found);
            summary.push(format!("{tool} {line}"));
        }
        summary.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(tool: &str, input: &Value, cwd: &str) -> String {
        let (found, summary) = normalise(tool, input, cwd, "/home/dev");
        assert!(!summary.is_empty());
        let mut told = Vec::new();
        for action in &found.actions {
            let to = action.to.as_ref().map_or_else(String::new, |to| format!(" -> {to}"));
            let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            told.push(format!("{} {}{to}{flags}", action.action, action.resource));
        }
        told.extend(found.named.iter().map(|name| format!("names {name}")));
        told.extend(found.opaque);
        told.extend(found.hazards.iter().map(|hazard| format!("({})", hazard.as_str())));
        told.join("; ")
    }

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        let patch = "*** Begin Patch\n*** Add File: a\n+x\n*** Update File: b\n*** Move to: c\n@@\n-1\n+2\n*** Delete File: /w/d\n*** End Patch";
        for (tool, input, want) in [
            ("read", json!({"filePath": "/w/a"}), "read file:/w/a"),
            ("read", json!({"filePath": "../a"}), "read file:/a"),
            ("read", json!({"filePath": "~/a"}), "read file:/w/~/a"),
            (
                "read",
                json!({"filePath": 3}),
                "execute tool:opencode/read; the call has no filePath; (unknown_tool)",
            ),
            ("write", json!({"filePath": "/w/a", "content": "x"}), "write file:/w/a"),
            ("edit", json!({"filePath": "a", "oldString": "x", "newString": "y"}), "write file:/w/a"),
            ("multiedit", json!({"filePath": "/w/a", "edits": []}), "write file:/w/a"),
            ("list", json!({}), "read file:/w"),
            ("list", json!({"path": "/w/src"}), "read file:/w/src"),
            (
                "apply_patch",
                json!({"patchText": patch}),
                "create file:/w/a; write file:/w/b; move file:/w/b -> file:/w/c; delete file:/w/d destructive",
            ),
            (
                "patch",
                json!({"patchText": "no patch"}),
                "write file:/w recursive; the files that the patch changes are not known; (arguments)",
            ),
            ("glob", json!({"pattern": "**/*.md"}), "search file:/w recursive"),
            ("glob", json!({"pattern": "/etc/**/*.conf"}), "search file:/etc recursive"),
            ("grep", json!({"pattern": "x", "path": "src"}), "search file:/w/src recursive"),
            (
                "grep",
                json!({"pattern": "x", "path": ["/etc"]}),
                "search file:/w recursive; path is no text; (unknown_tool)",
            ),
            ("bash", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            (
                "bash",
                json!({"command": "rm -rf build", "workdir": "sub"}),
                "delete file:/w/sub/build recursive destructive",
            ),
            (
                "bash",
                json!({"command": "rm -rf build", "workdir": "/x"}),
                "delete file:/x/build recursive destructive",
            ),
            ("bash", json!({}), "execute tool:opencode/bash; the call has no command; (unknown_tool)"),
            ("webfetch", json!({"url": "https://h/p", "format": "text"}), "network url:https://h/p"),
            ("websearch", json!({"query": "q"}), "search tool:opencode/web"),
            ("codesearch", json!({"query": "q"}), "search tool:opencode/code"),
            (
                "task",
                json!({"description": "d", "prompt": "p", "subagent_type": "general"}),
                "delegate agent:general",
            ),
            (
                "task",
                json!({"prompt": "p"}),
                "execute tool:opencode/task; the call has no subagent_type; (unknown_tool)",
            ),
            ("todowrite", json!({"todos": []}), "memory memory:tasks"),
            ("todoread", json!({}), "read memory:tasks"),
            ("skill", json!({"name": "review"}), "execute tool:opencode/skill/review"),
            ("question", json!({"questions": [{"question": "q?"}]}), "read tool:opencode/user"),
            ("plan_enter", json!({}), "configure tool:opencode/plan_enter"),
            ("plan_exit", json!({}), "configure tool:opencode/plan_exit"),
            ("lsp", json!({"operation": "hover", "filePath": "a.rs", "line": 1}), "read file:/w/a.rs"),
            ("lsp", json!({"operation": "workspaceSymbol", "filePath": "a.rs"}), "search file:/w recursive"),
            (
                "execute",
                json!({"code": "fs.read()"}),
                "execute tool:opencode/execute; the code that calls MCP tools is not read; (code)",
            ),
            ("StructuredOutput", json!({"a": 1}), "execute tool:opencode/StructuredOutput"),
            ("list_mcp_resources", json!({}), "read mcp:*/resources"),
            ("list_mcp_resource_templates", json!({"server": "s"}), "read mcp:s/resources"),
            ("read_mcp_resource", json!({"server": "s", "uri": "x://y"}), "read mcp:s/x://y"),
            (
                "invalid",
                json!({"tool": "later", "error": "e"}),
                "execute tool:opencode/later; OpenCode can't run this call of later; (unknown_tool)",
            ),
            ("fs/read_file", json!({"path": "/w/a"}), "execute mcp:fs/read_file; names file:/w/a"),
            (
                "fs_read_file",
                json!({"path": "/w/a"}),
                "execute tool:opencode/fs_read_file; the tool fs_read_file is not known to this version; (unknown_tool)",
            ),
            (
                "batch",
                json!({"tool_calls": [
                    {"tool": "read", "parameters": {"filePath": "/w/a"}},
                    {"tool": "bash", "parameters": {"command": "rm -rf x"}},
                    {"tool": "batch", "parameters": {}},
                ]}),
                "read file:/w/a; delete file:/w/x recursive destructive",
            ),
        ] {
            assert_eq!(told(tool, &input, "/w"), want, "{tool} {input}");
        }
    }

    #[test]
    fn a_relative_path_is_not_guessed() {
        assert_eq!(
            told("read", &json!({"filePath": "a"}), ""),
            "execute tool:opencode/read; the path is relative, and to what is not told; (arguments)"
        );
    }
}
