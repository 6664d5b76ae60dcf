//! What the tools of Codex mean in canonical words. `docs/codex.md` has the table.
//!
//! Hooks and rollouts name the same call differently: `exec_command` with `cmd` is `Bash` with
//! `command` in a hook, and a tool of a namespace is told with that before its name, without
//! anything in between. Both are read.

use crate::patch::{Change, changes};
use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Normalised, Resource, Verb, clean_path, shell};
use serde_json::Value;

/// The namespaces of Codex's own tools.
const NAMESPACES: [&str; 9] = [
    "multi_agent_v1",
    "collaboration",
    "functions",
    "clock",
    "web",
    "image_gen",
    "memories",
    "skills",
    "history",
];
/// The longest summary of a call, in characters.
const MAX_SUMMARY_CHARS: usize = 400;

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    // A rollout tells where a command runs; a hook is given that as its own working directory.
    let folder = input.get("workdir").and_then(Value::as_str).filter(|folder| !folder.is_empty());
    let cwd = folder.map_or_else(|| cwd.to_owned(), |folder| clean_path(folder, cwd));
    let (found, summary) = tool_call::normalise::<Codex>(tool, input, &cwd, home);
    (found, summary.chars().take(MAX_SUMMARY_CHARS).collect())
}

struct Codex;

impl Tools for Codex {
    const RUNTIME: &'static str = "codex";

    fn read(call: &mut Call<'_, Codex>) -> String {
        call.read()
    }
}

/// The namespace of one of Codex's own tools, and its name in it.
fn parts(tool: &str) -> (&str, &str) {
    for namespace in NAMESPACES {
        if let Some(name) = tool.strip_prefix(namespace) {
            let name = name.strip_prefix("__").or(name.strip_prefix('.')).unwrap_or(name);
            // `web_search` is a name, not `_search` of a namespace.
            if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                return (namespace, name);
            }
        }
    }
    ("", tool)
}

impl<'c> Call<'c, Codex> {
    fn read(&mut self) -> String {
        if let Some((server, name)) = self.tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
            self.act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
            self.named_by_arguments(server);
            return String::new();
        }
        match parts(self.tool) {
            ("" | "functions", "Bash" | "exec_command" | "shell_command" | "shell" | "local_shell") => {
                self.command()
            }
            ("" | "functions", "apply_patch") => self.patch(),
            ("" | "functions", "write_stdin") => self.typed(),
            // What the script does it does by other tools, and each of these calls is told.
            ("" | "functions", "exec") => {
                self.act(Verb::Execute, self.own("exec"));
                self.needed(&["code", "command"]).to_owned()
            }
            ("" | "functions", "wait") => {
                let cell = self.text("cell_id").to_owned();
                self.act(Verb::Read, Resource::new("proc", format_args!("script/{cell}")));
                cell
            }
            ("" | "functions", "js_repl") => {
                self.act(Verb::Execute, self.own("js_repl"));
                self.found.hazard(Hazard::Code);
                self.found.opaque("code in JavaScript is not read");
                self.needed(&["code", "command"]).to_owned()
            }
            (_, "view_image") => self.on_file(Verb::Read, "path"),
            (_, "multi_env_copy_file") => {
                self.on_file(Verb::Read, "source_path");
                self.on_file(Verb::Create, "target_path")
            }
            (_, "update_plan") => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                self.text("explanation").to_owned()
            }
            (_, "create_goal" | "update_goal") => {
                self.act(Verb::Memory, Resource::new("memory", "goal"));
                self.first(&["objective", "status"]).to_owned()
            }
            (_, "get_goal") => {
                self.act(Verb::Read, Resource::new("memory", "goal"));
                "goal".to_owned()
            }
            ("memories", "list" | "read" | "search") => {
                let path = self.first(&["path", "query"]).to_owned();
                self.act(Verb::Read, Resource::new("memory", if path.is_empty() { "notes" } else { &path }));
                path
            }
            ("memories", _) => {
                self.act(Verb::Memory, Resource::new("memory", "notes"));
                self.first(&["note", "content", "text"]).to_owned()
            }
            ("skills", _) => {
                let name = self.first(&["package", "resource", "name"]).to_owned();
                self.act(Verb::Read, self.own(&format!("skill/{name}")));
                name
            }
            ("history", _) => {
                self.act(Verb::Read, Resource::new("memory", "history"));
                self.text("query").to_owned()
            }
            (_, "list_mcp_resources" | "list_mcp_resource_templates") => {
                let server = Some(self.text("server")).filter(|server| !server.is_empty());
                let what = self.tool.trim_start_matches("list_mcp_").trim_start_matches("resource_");
                let server = server.unwrap_or("*");
                self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{what}")));
                server.to_owned()
            }
            (_, "read_mcp_resource") => {
                let (server, uri) = (self.needed(&["server"]), self.needed(&["uri"]));
                if !server.is_empty() && !uri.is_empty() {
                    self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{uri}")));
                }
                uri.to_owned()
            }
            (_, "spawn_agent") => {
                // The runtime's word for one of no special role.
                let kind = Some(self.first(&["agent_type", "agent_role"])).filter(|kind| !kind.is_empty());
                self.act(Verb::Delegate, Resource::new("agent", kind.unwrap_or("default")));
                if self.input.get("items").is_none() {
                    self.needed(&["message"]);
                }
                self.first(&["message", "task_name"]).to_owned()
            }
            (_, "send_input" | "send_message" | "followup_task" | "resume_agent") => {
                let to = self.needed(&["target", "id"]);
                if !to.is_empty() {
                    self.act(Verb::Delegate, Resource::new("agent", to));
                }
                self.first(&["message", "target", "id"]).to_owned()
            }
            (_, "close_agent" | "interrupt_agent") => {
                let target = self.needed(&["target", "id"]);
                if !target.is_empty() {
                    self.act(Verb::Execute, Resource::new("agent", target));
                }
                target.to_owned()
            }
            (_, "wait_agent" | "list_agents") => {
                let targets = self.input.get("targets").and_then(Value::as_array);
                let targets: Vec<&str> = targets.into_iter().flatten().filter_map(Value::as_str).collect();
                for target in &targets {
                    self.act(Verb::Read, Resource::new("agent", target));
                }
                if targets.is_empty() {
                    self.act(Verb::Read, Resource::new("agent", "*"));
                }
                if targets.is_empty() { "all".to_owned() } else { targets.join(", ") }
            }
            (_, "request_user_input" | "request_user_input_async") => {
                self.act(Verb::Read, self.own("user"));
                let question = self.input.pointer("/questions/0/question").and_then(Value::as_str);
                question.unwrap_or_default().to_owned()
            }
            (_, "send_message_to_user_async") => {
                self.act(Verb::Execute, self.own("user"));
                self.text("message").to_owned()
            }
            (_, "request_permissions") => {
                self.act(Verb::Configure, self.own("permissions"));
                self.text("reason").to_owned()
            }
            (_, "request_plugin_install") => {
                self.act(Verb::Configure, self.own("plugins"));
                self.first(&["plugin_id", "tool_id", "suggest_reason"]).to_owned()
            }
            (_, "list_available_plugins_to_install" | "tool_search") => {
                self.act(Verb::Search, self.own("tools"));
                self.text("query").to_owned()
            }
            (_, "new_context" | "wait_for_environment") => {
                self.act(Verb::Configure, self.own(self.tool));
                self.tool.to_owned()
            }
            (_, "get_context_remaining") => {
                self.act(Verb::Read, self.own("context"));
                "context".to_owned()
            }
            ("clock", _) | (_, "curr_time") => {
                self.act(Verb::Read, self.own("clock"));
                "clock".to_owned()
            }
            ("web", _) | (_, "web_search") => self.web(),
            ("image_gen", _) | (_, "image_generation") => {
                self.act(Verb::Network, self.own("images"));
                if let Some(path) = self.input.get("saved_path").and_then(Value::as_str)
                    && let Some(file) = self.file(path)
                {
                    self.act(Verb::Create, file);
                }
                self.first(&["prompt", "revised_prompt", "saved_path"]).to_owned()
            }
            (_, tool) => {
                let reason = format!("the tool {tool} is not known to this version");
                self.unknown(Hazard::UnknownTool, reason);
                String::new()
            }
        }
    }

    /// A command: a text for a shell, or a list of arguments.
    fn command(&mut self) -> String {
        let given = self.input.get("command").or(self.input.get("cmd"));
        let command = match given {
            Some(Value::String(command)) => command.clone(),
            Some(Value::Array(list)) => {
                let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                match list.as_slice() {
                    // A shell's own command line is what there is to read.
                    [program, flag, script]
                        if matches!(*flag, "-c" | "-lc" | "-ic" | "-lic")
                            && ["bash", "sh", "zsh", "dash"].contains(&last_part(program)) =>
                    {
                        (*script).to_owned()
                    }
                    list => list.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
                }
            }
            _ => String::new(),
        };
        if command.is_empty() {
            self.unknown(Hazard::UnknownTool, "the call has no command");
            return command;
        }
        let program = self.text("shell");
        if !program.is_empty() && !["bash", "sh", "zsh", "dash"].contains(&last_part(program)) {
            self.act(Verb::Execute, Resource::proc(last_part(program)));
            self.unknown(Hazard::CommandWord, "commands of this shell are not read");
            return command;
        }
        self.found = shell::normalise(&command, &shell::Context { cwd: self.cwd, home: self.home });
        command
    }

    /// What is typed into a program that is running. Whether that is a shell is not told.
    fn typed(&mut self) -> String {
        let id = match self.input.get("session_id") {
            Some(Value::String(id)) => id.clone(),
            Some(id) => id.to_string(),
            None => String::new(),
        };
        let typed = self.text("chars");
        let session = Resource::new("proc", format_args!("background/{id}"));
        if typed.is_empty() {
            self.act(Verb::Read, session);
            return id;
        }
        self.act(Verb::Execute, session);
        self.unknown(Hazard::CommandWord, "what is typed goes to a program that is running");
        typed.to_owned()
    }

    fn patch(&mut self) -> String {
        // A rollout may tell the files instead of the patch.
        let told = self.input.get("changes").and_then(Value::as_object).map(|told| {
            let change = |(path, change): (&'c String, &'c Value)| {
                let word = |key: &str| change.get(key).and_then(Value::as_str);
                match (word("type"), word("move_path")) {
                    (Some("add"), _) => Change::Create(path),
                    (Some("delete"), _) => Change::Delete(path),
                    (_, Some(to)) => Change::Move { from: path, to },
                    _ => Change::Write(path),
                }
            };
            told.iter().map(change).collect::<Vec<_>>()
        });
        let patch = if told.is_some() { "" } else { self.needed(&["command", "input", "patch"]) };
        let found = told.unwrap_or_else(|| changes(patch));
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
        if found.is_empty() && !patch.is_empty() {
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

    /// A search, and pages that are opened by their address.
    fn web(&mut self) -> String {
        let action = self.input.get("action").unwrap_or(self.input);
        let mut said = Vec::new();
        for list in ["search_query", "image_query", "literature_search_query"] {
            let queries = action.get(list).and_then(Value::as_array).into_iter().flatten();
            said.extend(queries.filter_map(|query| query.get("q").and_then(Value::as_str)));
        }
        let text = |key: &str| action.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        said.extend(text("query"));
        let opened =
            ["open", "find", "click"].iter().filter_map(|key| action.get(*key)?.as_array()).flatten();
        let opened = opened.filter_map(|one| one.get("ref_id").and_then(Value::as_str));
        let pages: Vec<&str> = opened.chain(text("url")).filter(|page| page.contains("://")).collect();
        for page in &pages {
            self.act(Verb::Network, Resource::new("url", page));
        }
        if pages.is_empty() || !said.is_empty() {
            self.act(Verb::Search, self.own("web"));
        }
        said.extend(pages);
        said.join(", ")
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
}

fn last_part(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// One argument as a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        const PATCH: &str = "*** Begin Patch\n*** Add File: a.txt\n+x\n*** Update File: /w/b.txt\n*** Move to: c.txt\n@@\n-1\n+2\n*** Delete File: ../d.txt\n*** End Patch\n";
        for (tool, input, want) in [
            ("Bash", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            ("exec_command", json!({"cmd": "cat a"}), "read file:/w/a"),
            ("exec_command", json!({"cmd": "cat a", "workdir": "sub"}), "read file:/w/sub/a"),
            ("exec_command", json!({"cmd": "cat a", "workdir": "/x"}), "read file:/x/a"),
            (
                "exec_command",
                json!({"cmd": "x", "shell": "/usr/bin/pwsh"}),
                "execute proc:pwsh; commands of this shell are not read; (command_word)",
            ),
            ("shell", json!({"command": ["bash", "-lc", "rm x"]}), "delete file:/w/x destructive"),
            ("shell", json!({"command": ["rm", "a b", "-f"]}), "delete file:/w/a b destructive"),
            ("local_shell", json!({"command": ["cat", "it's"]}), "read file:/w/it's"),
            ("shell_command", json!({"command": "cat a", "workdir": "/x"}), "read file:/x/a"),
            ("Bash", json!({"cmd": 3}), "execute tool:codex/Bash; the call has no command; (unknown_tool)"),
            (
                "Bash",
                json!({"command": format!("cd sub && apply_patch <<'EOF'\n{PATCH}EOF")}),
                "create file:/w/sub/a.txt; write file:/w/b.txt; move file:/w/b.txt to file:/w/sub/c.txt; \
                 delete file:/w/d.txt destructive",
            ),
            (
                "apply_patch",
                json!({"command": PATCH}),
                "create file:/w/a.txt; write file:/w/b.txt; move file:/w/b.txt to file:/w/c.txt; \
                 delete file:/d.txt destructive",
            ),
            ("apply_patch", json!({"input": "*** Add File: ~/a\n"}), "create file:/w/~/a"),
            (
                "apply_patch",
                json!({"changes": {"/a": {"type": "add"}, "/b": {"type": "update", "move_path": "/c"}}}),
                "create file:/a; move file:/b to file:/c",
            ),
            (
                "apply_patch",
                json!({"command": "nothing"}),
                "write file:/w recursive; the files that the patch changes are not known; (arguments)",
            ),
            (
                "write_stdin",
                json!({"session_id": 7, "chars": "rm -rf /\n"}),
                "execute proc:background/7; what is typed goes to a program that is running; (command_word)",
            ),
            ("write_stdin", json!({"session_id": 7, "chars": ""}), "read proc:background/7"),
            ("write_stdin", json!({"session_id": 7}), "read proc:background/7"),
            ("exec", json!({"code": "text(1)"}), "execute tool:codex/exec"),
            ("wait", json!({"cell_id": "4"}), "read proc:script/4"),
            (
                "js_repl",
                json!({"code": "1"}),
                "execute tool:codex/js_repl; code in JavaScript is not read; (code)",
            ),
            ("view_image", json!({"path": "a.png"}), "read file:/w/a.png"),
            (
                "multi_env_copy_file",
                json!({"source_path": "/a", "target_path": "/b"}),
                "read file:/a; create file:/b",
            ),
            ("update_plan", json!({"plan": []}), "memory memory:tasks"),
            ("create_goal", json!({"objective": "o"}), "memory memory:goal"),
            ("get_goal", json!({}), "read memory:goal"),
            ("memoriesread", json!({"path": "a.md"}), "read memory:a.md"),
            ("memories__search", json!({}), "read memory:notes"),
            ("memoriesadd_ad_hoc_note", json!({"note": "n"}), "memory memory:notes"),
            ("skillsread", json!({"package": "p"}), "read tool:codex/skill/p"),
            ("list_mcp_resources", json!({}), "read mcp:*/resources"),
            ("list_mcp_resource_templates", json!({"server": "s"}), "read mcp:s/templates"),
            ("read_mcp_resource", json!({"server": "s", "uri": "x://y"}), "read mcp:s/x://y"),
            ("spawn_agent", json!({"message": "m"}), "delegate agent:default"),
            ("collaborationspawn_agent", json!({"message": "m", "task_name": "t"}), "delegate agent:default"),
            ("spawn_agent", json!({"message": "m", "agent_type": "explorer"}), "delegate agent:explorer"),
            ("multi_agent_v1send_input", json!({"target": "a1", "message": "m"}), "delegate agent:a1"),
            ("multi_agent_v1close_agent", json!({"target": "a1"}), "execute agent:a1"),
            ("multi_agent_v1wait_agent", json!({"targets": ["a1", "a2"]}), "read agent:a1; read agent:a2"),
            ("collaborationwait_agent", json!({"timeout_ms": 1}), "read agent:*"),
            ("list_agents", json!({}), "read agent:*"),
            ("request_user_input", json!({"questions": [{"question": "q?"}]}), "read tool:codex/user"),
            ("request_permissions", json!({"reason": "r"}), "configure tool:codex/permissions"),
            ("request_plugin_install", json!({"plugin_id": "p"}), "configure tool:codex/plugins"),
            ("tool_search", json!({"query": "q"}), "search tool:codex/tools"),
            ("new_context", json!({}), "configure tool:codex/new_context"),
            ("clocksleep", json!({"duration_ms": 1}), "read tool:codex/clock"),
            ("clock__curr_time", json!({}), "read tool:codex/clock"),
            ("web_search", json!({"action": {"type": "search", "query": "q"}}), "search tool:codex/web"),
            (
                "web_search",
                json!({"action": {"type": "open_page", "url": "https://h/p"}}),
                "network url:https://h/p",
            ),
            (
                "webrun",
                json!({"search_query": [{"q": "a"}], "open": [{"ref_id": "https://h/"}, {"ref_id": "turn0search0"}]}),
                "network url:https://h/; search tool:codex/web",
            ),
            ("image_genimagegen", json!({"prompt": "p"}), "network tool:codex/images"),
            ("mcp__fs__read_file", json!({"path": "a"}), "execute mcp:fs/read_file; names file:/w/a"),
            (
                "later",
                json!({"a": 1}),
                "execute tool:codex/later; the tool later is not known to this version; (unknown_tool)",
            ),
        ] {
            let (found, summary) = normalise(tool, &input, "/w", "/home/dev");
            assert_eq!(shown(&found), want, "{tool} {input}");
            assert!(!summary.is_empty(), "{tool} {input}");
        }
    }

    #[test]
    fn a_relative_path_is_not_guessed() {
        let (found, _) = normalise("view_image", &json!({"path": "a.png"}), "", "");
        assert_eq!(
            shown(&found),
            "execute tool:codex/view_image; the path is relative, and to what is not told; (arguments)"
        );
    }

    fn shown(found: &Normalised) -> String {
        let mut all = Vec::new();
        for action in &found.actions {
            let mut one = format!("{} {}", action.action, action.resource.as_str());
            if let Some(to) = &action.to {
                one.push_str(&format!(" to {}", to.as_str()));
            }
            for (word, is) in [(" recursive", action.recursive), (" destructive", action.destructive)] {
                one.push_str(if is { word } else { "" });
            }
            all.push(one);
        }
        all.extend(found.named.iter().map(|named| format!("names {}", named.as_str())));
        all.extend(found.opaque.iter().cloned());
        if !found.hazards.is_empty() {
            let hazards: Vec<_> = found.hazards.iter().map(|hazard| hazard.as_str()).collect();
            all.push(format!("({})", hazards.join(" ")));
        }
        all.join("; ")
    }
}
