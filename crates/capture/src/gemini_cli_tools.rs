//! What the tools of Gemini CLI mean in canonical words. `docs/gemini-cli.md` has the table.

use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Normalised, Resource, Verb, clean_path, shell};
use serde_json::Value;

/// The most addresses and files of one call that are listed.
const MAX_LISTED: usize = 64;
/// What Gemini CLI puts before the name of an MCP server.
const MCP: &str = "mcp_";

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<GeminiCli>(tool, input, cwd, home)
}

struct GeminiCli;

impl Tools for GeminiCli {
    const RUNTIME: &'static str = "gemini-cli";

    fn read(call: &mut Call<'_, GeminiCli>) -> String {
        call.read()
    }
}

/// The name of a tool that says by itself where its server's name ends: Gemini CLI writes
/// `mcp_SERVER_TOOL`, and either name can have a `_`.
pub(crate) fn mcp_name(server: &str, tool: &str) -> String {
    format!("{MCP}_{server}__{tool}")
}

/// The server and the tool in a name. Where only Gemini CLI's own name is told, the server's is
/// taken to end at the first `_`, as its policy engine does.
fn mcp_parts(tool: &str) -> Option<(&str, &str)> {
    let rest = tool.strip_prefix(MCP)?;
    let (server, name) = match rest.strip_prefix('_').and_then(|rest| rest.split_once("__")) {
        Some(parts) => parts,
        None => rest.split_once('_')?,
    };
    (!server.is_empty() && !name.is_empty()).then_some((server, name))
}

impl<'c> Call<'c, GeminiCli> {
    fn read(&mut self) -> String {
        match self.tool {
            "read_file" => self.on_file(Verb::Read, &["file_path", "absolute_path"]),
            "write_file" | "replace" => self.on_file(Verb::Write, &["file_path"]),
            "list_directory" => self.on_file(Verb::Read, &["dir_path", "path"]),
            "read_many_files" => self.many_files(),
            "glob" | "grep_search" | "search_file_content" => self.search(),
            "run_shell_command" => self.shell(),
            "list_background_processes" => {
                self.act(Verb::Read, Resource::new("proc", "background"));
                String::new()
            }
            "read_background_output" => {
                let pid = self.input.get("pid").and_then(Value::as_u64);
                if pid.is_none() {
                    self.unknown(Hazard::UnknownTool, "the call has no pid");
                }
                let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
                self.act(Verb::Read, Resource::new("proc", format_args!("background/{pid}")));
                pid
            }
            "web_fetch" => self.fetch(),
            "google_web_search" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["query"]).to_owned()
            }
            "invoke_agent" => {
                let agent = self.needed(&["agent_name"]);
                if !agent.is_empty() {
                    self.act(Verb::Delegate, Resource::new("agent", agent));
                }
                self.needed(&["prompt"]).to_owned()
            }
            // How the built-in sub-agents were called before there was one tool for all.
            "codebase_investigator" | "cli_help" | "generalist" | "browser_agent" => {
                self.act(Verb::Delegate, Resource::new("agent", self.tool));
                self.first(&["objective", "question", "request", "task", "prompt"]).to_owned()
            }
            "complete_task" => {
                // A sub-agent hands its report to the agent that called it.
                self.act(Verb::Execute, self.own(self.tool));
                self.input.get("result").map(flat).unwrap_or_default()
            }
            "save_memory" => {
                self.act(Verb::Memory, Resource::new("memory", "facts"));
                self.needed(&["fact"]).to_owned()
            }
            "write_todos" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                let first = self.input.pointer("/todos/0/description").and_then(Value::as_str);
                first.unwrap_or_default().to_owned()
            }
            "tracker_create_task" | "tracker_update_task" | "tracker_add_dependency" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                self.first(&["title", "id", "taskId"]).to_owned()
            }
            "tracker_get_task" | "tracker_list_tasks" | "tracker_visualize" => {
                self.act(Verb::Read, Resource::new("memory", "tasks"));
                self.text("id").to_owned()
            }
            "update_topic" => {
                self.act(Verb::Memory, Resource::new("memory", "topic"));
                self.first(&["title", "strategic_intent", "summary"]).to_owned()
            }
            "activate_skill" => {
                let name = self.needed(&["name"]);
                self.act(Verb::Execute, self.own(&format!("skill/{name}")));
                name.to_owned()
            }
            "get_internal_docs" => {
                let page = self.optional("path");
                let page = if page.is_empty() { String::new() } else { format!("/{page}") };
                self.act(Verb::Read, self.own(&format!("docs{page}")));
                self.text("path").to_owned()
            }
            "ask_user" => {
                self.act(Verb::Read, self.own("user"));
                let question = self.input.pointer("/questions/0/question").and_then(Value::as_str);
                question.unwrap_or_default().to_owned()
            }
            "enter_plan_mode" | "exit_plan_mode" => {
                self.act(Verb::Configure, self.own(self.tool));
                self.first(&["reason", "plan_filename", "plan_path"]).to_owned()
            }
            "list_mcp_resources" => {
                let server = self.optional("serverName");
                let shown = if server.is_empty() { "*" } else { server };
                self.act(Verb::Read, Resource::new("mcp", format_args!("{shown}/resources")));
                server.to_owned()
            }
            "read_mcp_resource" => {
                // Which server has it is not told: Gemini CLI looks among all.
                let uri = self.needed(&["uri"]);
                if !uri.is_empty() {
                    self.act(Verb::Read, Resource::new("mcp", format_args!("*/{uri}")));
                }
                uri.to_owned()
            }
            tool => {
                match mcp_parts(tool) {
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

    /// The files that a path may mean. Gemini CLI takes `~` for a name like any other. It decodes
    /// `%2e` and the like, takes `file://` away, and leaves away an `@` in front if there is no file
    /// of that name, which can't be known here: such a path means each of these.
    fn files(&mut self, path: &str) -> Vec<Resource> {
        if !path.starts_with('/') && !self.cwd.starts_with('/') {
            self.unknown(Hazard::Arguments, "the path is relative, and to what is not told");
            return Vec::new();
        }
        let mut paths = vec![path.to_owned()];
        if let Some(rest) = path.strip_prefix('@') {
            paths.push(rest.trim_start_matches(['/', '\\']).to_owned());
        }
        if let Some(rest) = path.strip_prefix("file://") {
            paths = vec![rest.to_owned()];
        }
        for at in 0..paths.len() {
            if let Some(decoded) = percent_decoded(&paths[at]) {
                paths.push(decoded);
            }
        }
        let mut files: Vec<Resource> = Vec::new();
        for path in paths {
            let file = Resource::file(&path, self.cwd);
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }

    fn on_file(&mut self, verb: Verb, keys: &[&str]) -> String {
        let path = self.needed(keys);
        if !path.is_empty() {
            for file in self.files(path) {
                self.act(verb, file);
            }
        }
        path.to_owned()
    }

    fn many_files(&mut self) -> String {
        let include = self.input.get("include").or_else(|| self.input.get("paths"));
        let paths: Vec<&str> = match include {
            Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(path)) => vec![path],
            _ => Vec::new(),
        };
        if paths.is_empty() {
            self.unknown(Hazard::UnknownTool, "the call has no include");
        }
        for path in paths.iter().take(MAX_LISTED) {
            match path.find(['*', '?', '[', '{']) {
                Some(at) => {
                    let fixed = &path[..path[..at].rfind('/').map_or(0, |slash| slash + 1)];
                    let root = if fixed.is_empty() { "." } else { fixed };
                    for root in self.files(root) {
                        self.found.push(Action::new(Verb::Read, root).recursive());
                    }
                }
                None => {
                    for file in self.files(path) {
                        self.act(Verb::Read, file);
                    }
                }
            }
        }
        if paths.len() > MAX_LISTED {
            self.unknown(Hazard::LeftOut, format!("{} more paths are not listed", paths.len() - MAX_LISTED));
        }
        paths.join(" ")
    }

    fn search(&mut self) -> String {
        let pattern = self.needed(&["pattern"]);
        let path = match (self.optional("dir_path"), self.optional("path")) {
            // A pattern may name the folder itself: /etc/**/*.conf
            ("", "") if self.tool == "glob" && pattern.starts_with('/') => {
                let fixed = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
                if fixed == pattern { pattern } else { &fixed[..=fixed.rfind('/').unwrap_or(0)] }
            }
            ("", "") => ".",
            ("", path) | (path, _) => path,
        };
        for root in self.files(path) {
            self.found.push(Action::new(Verb::Search, root).recursive());
        }
        pattern.to_owned()
    }

    fn shell(&mut self) -> String {
        let command = self.needed(&["command"]);
        let folder = self.optional("dir_path");
        let folder = if folder.is_empty() { self.optional("directory") } else { folder };
        if command.is_empty() {
            return String::new();
        }
        let cwd = match folder {
            "" => self.cwd.to_owned(),
            folder if folder.starts_with('/') || self.cwd.starts_with('/') => clean_path(folder, self.cwd),
            _ => String::new(),
        };
        let context = shell::Context { cwd: &cwd, home: self.home };
        let found = shell::normalise(command, &context);
        let (opaque, hazards) =
            (std::mem::take(&mut self.found.opaque), std::mem::take(&mut self.found.hazards));
        self.found = found;
        self.found.opaque.extend(opaque);
        self.found.hazards.extend(hazards);
        command.to_owned()
    }

    /// The addresses stand in a text for the model that fetches them.
    fn fetch(&mut self) -> String {
        let url = self.optional("url");
        if !url.is_empty() {
            self.act(Verb::Network, Resource::new("url", url));
            return url.to_owned();
        }
        let prompt = self.needed(&["prompt"]);
        let urls: Vec<&str> =
            prompt.split_whitespace().filter(|word| word.contains("://")).take(MAX_LISTED + 1).collect();
        for url in urls.iter().take(MAX_LISTED) {
            self.act(Verb::Network, Resource::new("url", url));
        }
        if urls.is_empty() && !prompt.is_empty() {
            self.act(Verb::Network, self.own(self.tool));
            self.unknown(Hazard::Arguments, "no address stands in the prompt");
        }
        if urls.len() > MAX_LISTED {
            self.unknown(Hazard::LeftOut, format!("more than {MAX_LISTED} addresses are not listed"));
        }
        prompt.to_owned()
    }
}

/// `%41` and the like decoded, as `decodeURIComponent` does; `None` if there is nothing to decode or
/// it is no UTF-8.
fn percent_decoded(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = path.get(at + 1..at + 3)?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    let decoded = String::from_utf8(out).ok()?;
    (decoded != path).then_some(decoded)
}

fn flat(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        for (tool, input, want) in [
            ("read_file", json!({"file_path": "a.md"}), "read file:/w/a.md"),
            ("read_file", json!({"absolute_path": "/w/a.md"}), "read file:/w/a.md"),
            ("read_file", json!({"file_path": "~/a"}), "read file:/w/~/a"),
            ("read_file", json!({"file_path": "@a/b"}), "read file:/w/@a/b; read file:/w/a/b"),
            ("read_file", json!({"file_path": "file:///etc/passwd"}), "read file:/etc/passwd"),
            (
                "read_file",
                json!({"file_path": "%2e%2e/secret"}),
                "read file:/w/%2e%2e/secret; read file:/secret",
            ),
            ("read_file", json!({"file_path": "100%"}), "read file:/w/100%"),
            (
                "read_file",
                json!({"file_path": ["/etc/shadow"]}),
                "execute tool:gemini-cli/read_file; the call has no file_path; (unknown_tool)",
            ),
            ("write_file", json!({"file_path": "/w/n", "content": "x"}), "write file:/w/n"),
            (
                "replace",
                json!({"file_path": "../n", "instruction": "i", "old_string": "a", "new_string": "b"}),
                "write file:/n",
            ),
            ("list_directory", json!({"dir_path": "."}), "read file:/w"),
            ("list_directory", json!({"path": "/etc"}), "read file:/etc"),
            (
                "read_many_files",
                json!({"include": ["README.md", "src/**/*.rs", "*.toml"]}),
                "read file:/w/README.md; read file:/w/src recursive; read file:/w recursive",
            ),
            (
                "read_many_files",
                json!({"include": []}),
                "execute tool:gemini-cli/read_many_files; the call has no include; (unknown_tool)",
            ),
            ("glob", json!({"pattern": "**/*.md"}), "search file:/w recursive"),
            ("glob", json!({"pattern": "/etc/**/*.conf"}), "search file:/etc recursive"),
            ("glob", json!({"pattern": "*", "dir_path": "src"}), "search file:/w/src recursive"),
            ("grep_search", json!({"pattern": "x", "dir_path": "/etc"}), "search file:/etc recursive"),
            ("search_file_content", json!({"pattern": "x", "path": "src"}), "search file:/w/src recursive"),
            (
                "grep_search",
                json!({"pattern": "x", "dir_path": ["/etc"]}),
                "search file:/w recursive; dir_path is no text; (unknown_tool)",
            ),
            (
                "run_shell_command",
                json!({"command": "rm -rf build"}),
                "delete file:/w/build recursive destructive",
            ),
            (
                "run_shell_command",
                json!({"command": "cat a", "dir_path": "sub", "is_background": true}),
                "read file:/w/sub/a",
            ),
            (
                "run_shell_command",
                json!({"command": "cat a", "dir_path": 3}),
                "read file:/w/a; dir_path is no text; (unknown_tool)",
            ),
            (
                "run_shell_command",
                json!({}),
                "execute tool:gemini-cli/run_shell_command; the call has no command; (unknown_tool)",
            ),
            ("list_background_processes", json!({}), "read proc:background"),
            ("read_background_output", json!({"pid": 42}), "read proc:background/42"),
            (
                "web_fetch",
                json!({"prompt": "sum up https://h/a and http://h2/b please"}),
                "network url:https://h/a; network url:http://h2/b",
            ),
            ("web_fetch", json!({"url": "https://h/a"}), "network url:https://h/a"),
            (
                "web_fetch",
                json!({"prompt": "what is new"}),
                "network tool:gemini-cli/web_fetch; no address stands in the prompt; (arguments)",
            ),
            ("google_web_search", json!({"query": "q"}), "search tool:gemini-cli/web"),
            ("invoke_agent", json!({"agent_name": "generalist", "prompt": "p"}), "delegate agent:generalist"),
            (
                "invoke_agent",
                json!({"prompt": "p"}),
                "execute tool:gemini-cli/invoke_agent; the call has no agent_name; (unknown_tool)",
            ),
            ("codebase_investigator", json!({"objective": "o"}), "delegate agent:codebase_investigator"),
            ("complete_task", json!({"result": {"response": "r"}}), "execute tool:gemini-cli/complete_task"),
            ("save_memory", json!({"fact": "f"}), "memory memory:facts"),
            ("write_todos", json!({"todos": [{"description": "d"}]}), "memory memory:tasks"),
            ("tracker_create_task", json!({"title": "t"}), "memory memory:tasks"),
            ("tracker_update_task", json!({"id": "1"}), "memory memory:tasks"),
            ("tracker_add_dependency", json!({"taskId": "1", "dependencyId": "2"}), "memory memory:tasks"),
            ("tracker_get_task", json!({"id": "1"}), "read memory:tasks"),
            ("tracker_list_tasks", json!({}), "read memory:tasks"),
            ("tracker_visualize", json!({}), "read memory:tasks"),
            ("update_topic", json!({"strategic_intent": "i"}), "memory memory:topic"),
            ("activate_skill", json!({"name": "s"}), "execute tool:gemini-cli/skill/s"),
            ("get_internal_docs", json!({"path": "cli/x.md"}), "read tool:gemini-cli/docs/cli/x.md"),
            ("get_internal_docs", json!({}), "read tool:gemini-cli/docs"),
            ("ask_user", json!({"questions": [{"question": "q?"}]}), "read tool:gemini-cli/user"),
            ("enter_plan_mode", json!({"reason": "r"}), "configure tool:gemini-cli/enter_plan_mode"),
            ("exit_plan_mode", json!({"plan_filename": "p"}), "configure tool:gemini-cli/exit_plan_mode"),
            ("list_mcp_resources", json!({}), "read mcp:*/resources"),
            ("list_mcp_resources", json!({"serverName": "s"}), "read mcp:s/resources"),
            ("read_mcp_resource", json!({"uri": "x://y"}), "read mcp:*/x://y"),
            ("mcp_fs_read_file", json!({"path": "/w/a"}), "execute mcp:fs/read_file; names file:/w/a"),
            ("mcp__my_fs__read_file", json!({"q": "a/b"}), "execute mcp:my_fs/read_file"),
            ("mcp_my_fs_read_file", json!({}), "execute mcp:my/fs_read_file"),
            (
                "mcp_x",
                json!({"a": 1}),
                "execute tool:gemini-cli/mcp_x; the tool mcp_x is not known to this version; (unknown_tool)",
            ),
            (
                "discovered_tool_x",
                json!({"a": 1}),
                "execute tool:gemini-cli/discovered_tool_x; the tool discovered_tool_x is not known to this version; (unknown_tool)",
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
        let (found, _) = normalise("read_file", &json!({"file_path": "a"}), "", "");
        assert_eq!(found.actions[0].resource.as_str(), "tool:gemini-cli/read_file");
        assert_eq!((found.opaque.len(), &found.hazards[..]), (1, &[Hazard::Arguments][..]));
    }

    #[test]
    fn the_names_of_a_server_and_its_tool_are_told_apart() {
        assert_eq!(mcp_parts(&mcp_name("my_fs", "read_file")), Some(("my_fs", "read_file")));
        assert_eq!(mcp_parts("mcp_fs_read_file"), Some(("fs", "read_file")));
        assert_eq!(mcp_parts("mcp_fs"), None);
        assert_eq!(mcp_parts("read_file"), None);
    }
}
