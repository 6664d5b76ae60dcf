//! What the tools of Hermes Agent mean in canonical words. `docs/hermes.md` has the table.

use crate::patch::{Change, changes};
use crate::tool_call::{self, Call, Tools};
use fdr_record::{Action, Hazard, Names, Normalised, Resource, Verb, clean_path, shell};
use serde_json::Value;

/// Its tools that look at something of a service and change nothing, with the service's name.
const LOOKS: [(&str, &str); 19] = [
    ("browser_snapshot", "browser"),
    ("browser_get_images", "browser"),
    ("browser_vision", "browser"),
    ("ha_list_entities", "homeassistant"),
    ("ha_get_state", "homeassistant"),
    ("ha_list_services", "homeassistant"),
    ("kanban_show", "kanban"),
    ("kanban_list", "kanban"),
    ("kanban_attachments", "kanban"),
    ("project_list", "project"),
    ("feishu_doc_read", "feishu"),
    ("feishu_drive_list_comments", "feishu"),
    ("feishu_drive_list_comment_replies", "feishu"),
    ("yb_query_group_info", "yuanbao"),
    ("yb_query_group_members", "yuanbao"),
    ("yb_search_sticker", "yuanbao"),
    ("spotify_search", "spotify"),
    ("meet_status", "meet"),
    ("meet_transcript", "meet"),
];

/// Its tools that say something to other people, with the service's name and the arguments that
/// say to whom.
const SAYS: [(&str, &str, &[&str]); 8] = [
    ("discord", "discord", &["channel_id", "thread_id", "guild_id"]),
    ("discord_admin", "discord", &["channel_id", "guild_id"]),
    ("yb_send_dm", "yuanbao", &["user_id", "name", "group_code"]),
    ("yb_send_sticker", "yuanbao", &["chat_id"]),
    ("feishu_drive_add_comment", "feishu", &["file_token"]),
    ("feishu_drive_reply_comment", "feishu", &["file_token"]),
    ("meet_say", "meet", &["node"]),
    ("send_message", "message", &["target"]),
];

/// Beginnings of the names of tools that its memory plugins add.
const MEMORIES: [&str; 8] =
    ["brv_", "fact_", "hindsight_", "honcho_", "mem0_", "retaindb_", "supermemory_", "viking_"];

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<Hermes>(tool, input, cwd, home)
}

struct Hermes;

impl Tools for Hermes {
    const RUNTIME: &'static str = "hermes";

    fn read(call: &mut Call<'_, Hermes>) -> String {
        call.read()
    }
}

impl<'c> Call<'c, Hermes> {
    fn read(&mut self) -> String {
        match self.tool {
            "read_file" => self.on_file(Verb::Read),
            "write_file" => self.on_file(Verb::Write),
            "patch" => self.patch(),
            "search_files" => self.search(),
            "terminal" => self.terminal(),
            "process" => self.process(),
            "read_terminal" => {
                self.act(Verb::Read, Resource::new("proc", "terminal"));
                String::new()
            }
            "close_terminal" => {
                let id = self.needed(&["process_id"]);
                self.act(Verb::Execute, Resource::new("proc", format_args!("background/{id}")));
                id.to_owned()
            }
            "execute_code" => self.code(),
            "web_search" | "x_search" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["query"]).to_owned()
            }
            "web_extract" => self.media(&["urls"], Verb::Network),
            "browser_navigate" | "meet_join" => self.media(&["url"], Verb::Network),
            "browser_console" | "browser_cdp" => self.browser_inside(),
            "browser_click" | "browser_type" | "browser_scroll" | "browser_back" | "browser_press"
            | "browser_dialog" => {
                self.act(Verb::Execute, self.own("browser"));
                self.first(&["text", "ref", "key", "direction", "action", "prompt_text"]).to_owned()
            }
            "vision_analyze" => self.looked_at(&["image_url"]),
            "video_analyze" => self.looked_at(&["video_url"]),
            "image_generate" | "video_generate" | "xai_video_edit" | "xai_video_extend" => {
                // The text and what goes with it are given to a service that makes the file.
                self.act(Verb::Send, self.own(self.tool));
                self.media(&["image_url", "reference_image_urls", "video_url"], Verb::Read);
                self.needed(&["prompt"]).to_owned()
            }
            "text_to_speech" => {
                self.act(Verb::Send, self.own(self.tool));
                let path = self.optional("output_path");
                self.touch(Verb::Write, path);
                self.needed(&["text"]).to_owned()
            }
            "delegate_task" => self.delegate(),
            "todo" => {
                let writes = self.input.get("todos").is_some_and(|todos| !todos.is_null());
                let verb = if writes { Verb::Memory } else { Verb::Read };
                self.act(verb, Resource::new("memory", "tasks"));
                String::new()
            }
            "memory" => self.memory(),
            "session_search" => {
                self.act(Verb::Search, Resource::new("memory", "sessions"));
                self.first(&["query", "session_id"]).to_owned()
            }
            "skills_list" => {
                self.act(Verb::Search, self.own("skills"));
                self.text("category").to_owned()
            }
            "skill_view" => {
                let name = self.needed(&["name"]);
                self.act(Verb::Read, self.own(&format!("skill/{name}")));
                name.to_owned()
            }
            "skill_manage" => {
                // What it says there is what later sessions are told to do.
                let (action, name) = (self.needed(&["action"]), self.needed(&["name"]));
                let verb = if action == "delete" { Verb::Delete } else { Verb::Configure };
                self.act(verb, self.own(&format!("skill/{name}")));
                [action, name, self.text("file_path")].join(" ").trim_end().to_owned()
            }
            "clarify" => {
                self.act(Verb::Read, self.own("user"));
                self.needed(&["question"]).to_owned()
            }
            "cronjob" => self.cron(),
            "ha_call_service" => {
                let (domain, service) = (self.needed(&["domain"]), self.needed(&["service"]));
                self.act(Verb::Execute, self.own(&format!("homeassistant/{domain}.{service}")));
                [domain, service, self.text("entity_id")].join(" ").trim_end().to_owned()
            }
            "kanban_create" => {
                // Another agent takes it up.
                let to = self.needed(&["assignee"]);
                self.act(Verb::Delegate, Resource::new("agent", to));
                self.touch(Verb::Write, self.text("workspace_path"));
                self.needed(&["title"]).to_owned()
            }
            "kanban_attach_url" => {
                self.act(Verb::Configure, self.own("kanban"));
                self.media(&["url"], Verb::Network)
            }
            "project_create" | "project_switch" => {
                self.act(Verb::Configure, self.own("project"));
                self.touch(Verb::Read, self.text("path"));
                self.needed(&["name", "project"]).to_owned()
            }
            "computer_use" => {
                let action = self.needed(&["action"]);
                let looks = matches!(action, "capture" | "wait" | "list_apps" | "list_windows");
                self.act(if looks { Verb::Read } else { Verb::Execute }, self.own("computer"));
                [action, self.first(&["text", "keys", "app"])].join(" ").trim_end().to_owned()
            }
            "tool_search" | "tool_describe" => {
                self.act(Verb::Search, self.own("tools"));
                self.needed(&["query", "name"]).to_owned()
            }
            "tool_call" => self.another(),
            tool => self.rest(tool),
        }
    }

    /// The tools that are told apart by the beginnings of their names, and the unknown ones.
    fn rest(&mut self, tool: &'c str) -> String {
        if let Some((server, name)) = tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
            return self.mcp(server, name);
        }
        if let Some((_, service)) = LOOKS.into_iter().find(|(name, _)| *name == tool) {
            self.act(Verb::Read, self.own(service));
            return self
                .first(&["question", "query", "entity_id", "task_id", "doc_token", "name"])
                .to_owned();
        }
        if let Some((_, service, to)) = SAYS.into_iter().find(|(name, ..)| *name == tool) {
            return self.says(service, to);
        }
        if tool.starts_with("kanban_") {
            self.act(Verb::Configure, self.own("kanban"));
            return self.first(&["reason", "summary", "body", "note", "filename", "task_id"]).to_owned();
        }
        if tool.starts_with("spotify_") || tool == "meet_leave" {
            let looks = matches!(
                self.text("action"),
                "get" | "get_state" | "get_currently_playing" | "recently_played" | "list" | "tracks"
            );
            let service = tool.split('_').next().unwrap_or(tool);
            self.act(if looks { Verb::Read } else { Verb::Execute }, self.own(service));
            return self.text("action").to_owned();
        }
        if let Some(service) = MEMORIES.into_iter().find(|start| tool.starts_with(start)) {
            let action = if tool == "fact_store" { self.text("action") } else { &tool[service.len()..] };
            let looks = [
                "query",
                "status",
                "recall",
                "reflect",
                "search",
                "probe",
                "related",
                "reason",
                "contradict",
                "list",
                "profile",
                "reasoning",
                "context",
                "read",
                "browse",
                "list_files",
                "read_file",
            ];
            let verb = if looks.contains(&action) { Verb::Read } else { Verb::Memory };
            self.act(verb, Resource::new("memory", service.trim_end_matches('_')));
            self.touch(Verb::Read, self.text("local_path"));
            self.media(&["url"], Verb::Network);
            return self.first(&["query", "content", "conclusion", "text", "uri"]).to_owned();
        }
        self.unknown(Hazard::UnknownTool, format!("the tool {tool} is not known to this version"));
        String::new()
    }

    /// Acts on a file, if one is named.
    fn touch(&mut self, verb: Verb, path: &str) {
        if !path.is_empty()
            && let Some(file) = self.file_at_home(path)
        {
            self.act(verb, file);
        }
    }

    fn on_file(&mut self, verb: Verb) -> String {
        let path = self.needed(&["path"]);
        self.touch(verb, path);
        path.to_owned()
    }

    fn patch(&mut self) -> String {
        // It takes `replace` where none is named.
        if self.text("mode") != "patch" {
            return self.on_file(Verb::Write);
        }
        let text = self.needed(&["patch"]);
        let found = changes(text);
        if found.is_empty() {
            self.unknown(Hazard::Arguments, "the patch names no file");
        }
        let mut names = Vec::new();
        for change in found {
            match change {
                Change::Create(path) => self.touch(Verb::Create, path),
                Change::Write(path) => self.touch(Verb::Write, path),
                Change::Delete(path) => self.touch(Verb::Delete, path),
                Change::Move { from, to } => {
                    if let (Some(from), Some(to)) = (self.file_at_home(from), self.file_at_home(to)) {
                        self.found.push(Action::new(Verb::Move, from).to(to));
                    }
                }
            }
            names.push(match change {
                Change::Create(path) | Change::Write(path) | Change::Delete(path) => path,
                Change::Move { to, .. } => to,
            });
        }
        names.join(" ")
    }

    fn search(&mut self) -> String {
        let pattern = self.needed(&["pattern"]);
        let path = match self.optional("path") {
            "" => ".",
            path => path,
        };
        if let Some(root) = self.file_at_home(path) {
            self.found.push(Action::new(Verb::Search, root).recursive());
        }
        pattern.to_owned()
    }

    fn terminal(&mut self) -> String {
        let command = self.needed(&["command"]);
        if !command.is_empty() {
            let cwd = match self.optional("workdir") {
                "" => self.cwd.to_owned(),
                dir => match dir.strip_prefix("~/").or((dir == "~").then_some("")) {
                    Some(rest) if !self.home.is_empty() => clean_path(rest, self.home),
                    _ if dir.starts_with('/') || self.cwd.starts_with('/') => clean_path(dir, self.cwd),
                    _ => String::new(),
                },
            };
            let problems = std::mem::take(&mut self.found);
            let context = shell::Context { cwd: &cwd, home: self.home };
            self.found = shell::normalise(command, &context);
            for reason in problems.opaque {
                self.unknown(Hazard::UnknownTool, reason);
            }
        }
        command.to_owned()
    }

    fn process(&mut self) -> String {
        let (action, id) = (self.needed(&["action"]), self.text("session_id"));
        let id = if id.is_empty() { "*" } else { id };
        let looks = matches!(action, "list" | "poll" | "log" | "wait");
        let resource = Resource::new("proc", format_args!("background/{id}"));
        self.act(if looks { Verb::Read } else { Verb::Execute }, resource);
        if matches!(action, "write" | "submit") {
            self.unknown(Hazard::CommandWord, "what is typed into a running program is not read");
        }
        [action, id, self.text("data")].join(" ").trim_end().to_owned()
    }

    /// A Python program, read as one that a command line holds. The tools that it calls come with
    /// events of their own.
    fn code(&mut self) -> String {
        let code = self.needed(&["code"]);
        if !code.is_empty() {
            let command = format!("python3 -c '{}'", code.replace('\'', r"'\''"));
            self.found = shell::normalise(&command, &shell::Context { cwd: self.cwd, home: self.home });
        }
        code.to_owned()
    }

    /// What a page is told to do from inside.
    fn browser_inside(&mut self) -> String {
        let code = self.first(&["expression", "method"]);
        if self.tool == "browser_console" && code.is_empty() {
            self.act(Verb::Read, self.own("browser"));
            return String::new();
        }
        self.act(Verb::Execute, self.own("browser"));
        if let Some(url) = self.input.pointer("/params/url").and_then(Value::as_str) {
            self.act(Verb::Network, Resource::new("url", url));
        }
        self.unknown(Hazard::Code, "what the browser is told to do is not read");
        code.to_owned()
    }

    /// A picture or a film, from here or from elsewhere.
    fn looked_at(&mut self, keys: &[&str]) -> String {
        self.needed(keys);
        self.media(keys, Verb::Read);
        self.first(&["question"]).to_owned()
    }

    /// The files and addresses that arguments hold, one or a list of them.
    fn media(&mut self, keys: &[&str], verb: Verb) -> String {
        let mut shown = Vec::new();
        for key in keys {
            let value = self.input.get(key);
            let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for one in value.into_iter().filter(|value| value.is_string()).chain(list) {
                match one.as_str().unwrap_or_default() {
                    "" => self.unknown(Hazard::UnknownTool, format!("{key} holds what is no text")),
                    data if data.starts_with("data:") => {}
                    url if verb == Verb::Network || url.contains("://") => {
                        match url.strip_prefix("file://") {
                            Some(path) => self.touch(Verb::Read, path),
                            None => self.act(Verb::Network, Resource::new("url", url)),
                        }
                        shown.push(url);
                    }
                    path => {
                        self.touch(verb, path);
                        shown.push(path);
                    }
                }
            }
        }
        shown.join(" ")
    }

    fn delegate(&mut self) -> String {
        // One task stands in the call itself, several in a list.
        let tasks = self.input.get("tasks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let role = |task: &'c Value| match task.get("role").and_then(Value::as_str) {
            None | Some("") => "leaf",
            Some(role) => role,
        };
        for task in tasks {
            self.act(Verb::Delegate, Resource::new("agent", role(task)));
        }
        if tasks.is_empty() {
            self.act(Verb::Delegate, Resource::new("agent", role(self.input)));
            return self.needed(&["goal"]).to_owned();
        }
        let goals = tasks.iter().filter_map(|task| task.get("goal").and_then(Value::as_str));
        goals.collect::<Vec<_>>().join("; ")
    }

    fn memory(&mut self) -> String {
        // Its notes, or what it knows of the user.
        let target = self.needed(&["target"]);
        self.act(Verb::Memory, Resource::new("memory", if target.is_empty() { "memory" } else { target }));
        [self.text("action"), self.first(&["content", "old_text"])].join(" ").trim().to_owned()
    }

    fn cron(&mut self) -> String {
        let action = self.needed(&["action"]);
        match action {
            "list" => self.act(Verb::Read, self.own("cron")),
            "create" | "update" | "run" => {
                // What it says is done when nobody looks, as if a person had asked for it.
                self.act(Verb::Delegate, Resource::new("agent", "later"));
                let script = self.text("script");
                if !script.is_empty() {
                    self.act(Verb::Execute, self.own(&format!("script/{script}")));
                }
            }
            _ => self.act(Verb::Configure, self.own("cron")),
        }
        [action, self.first(&["prompt", "script", "name", "job_id"])].join(" ").trim_end().to_owned()
    }

    fn says(&mut self, service: &str, to: &[&str]) -> String {
        let to = self.first(to);
        let to = if to.is_empty() { "*" } else { to };
        let action = self.text("action");
        let looks = ["list", "get", "fetch", "search", "read"].iter().any(|word| action.starts_with(word));
        self.act(if looks { Verb::Read } else { Verb::Send }, self.own(&format!("{service}/{to}")));
        self.media(&["media_files"], Verb::Read);
        [action, self.first(&["message", "content", "text"])].join(" ").trim().to_owned()
    }

    /// The tool that the bridge for rarely used tools is to call. The hooks are told of that one
    /// itself; the transcript has the bridge.
    fn another(&mut self) -> String {
        let (name, arguments) = (self.needed(&["name"]), self.input.get("arguments"));
        if name.is_empty() || name == "tool_call" {
            return String::new();
        }
        let arguments = arguments.cloned().unwrap_or_default();
        let (found, summary) = normalise(name, &arguments, self.cwd, self.home);
        self.found = found;
        summary
    }

    /// A tool of an MCP server. What it does is not known, but what it is given is.
    fn mcp(&mut self, server: &str, name: &str) -> String {
        if name == "read_resource" {
            let uri = self.text("uri");
            self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{uri}")));
            return uri.to_owned();
        }
        if matches!(name, "list_resources" | "list_prompts") && self.input.get("path").is_none() {
            self.act(Verb::Read, Resource::new("mcp", format_args!("{server}/{name}")));
            return String::new();
        }
        self.act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
        let names = Names::new(server, self.cwd, self.home).all(self.input);
        self.found.named.extend(names.found);
        if names.left_out > 0 {
            let reason = format!("{} more names in the arguments are not listed", names.left_out);
            self.unknown(Hazard::LeftOut, reason);
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        let patch = "*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** Add File: b\n+z\n*** Delete File: c\n\
                     *** Move File: d -> e\n*** End Patch";
        for (tool, input, want) in [
            ("read_file", json!({"path": "/w/a"}), "read file:/w/a"),
            ("read_file", json!({"path": "~/a"}), "read file:/home/dev/a"),
            (
                "read_file",
                json!({"path": 3}),
                "execute tool:hermes/read_file; the call has no path; (unknown_tool)",
            ),
            ("write_file", json!({"path": "../a", "content": "x"}), "write file:/a"),
            ("patch", json!({"mode": "replace", "path": "a"}), "write file:/w/a"),
            ("patch", json!({"path": "a"}), "write file:/w/a"),
            (
                "patch",
                json!({"mode": "patch", "patch": patch}),
                "write file:/w/a; create file:/w/b; delete file:/w/c; move file:/w/d -> file:/w/e",
            ),
            (
                "patch",
                json!({"mode": "patch", "patch": "nonsense", "path": "a"}),
                "execute tool:hermes/patch; the patch names no file; (arguments)",
            ),
            ("search_files", json!({"pattern": "x", "path": "src"}), "search file:/w/src recursive"),
            ("search_files", json!({"pattern": "*.md", "target": "files"}), "search file:/w recursive"),
            ("terminal", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            (
                "terminal",
                json!({"command": "rm -rf build", "workdir": "/x", "background": true}),
                "delete file:/x/build recursive destructive",
            ),
            ("terminal", json!({"command": "cat a", "workdir": "sub"}), "read file:/w/sub/a"),
            ("terminal", json!({"command": "cat a", "workdir": "~"}), "read file:/home/dev/a"),
            ("terminal", json!({}), "execute tool:hermes/terminal; the call has no command; (unknown_tool)"),
            (
                "terminal",
                json!({"command": "cat a", "workdir": ["/x"]}),
                "read file:/w/a; workdir is no text; (unknown_tool)",
            ),
            ("process", json!({"action": "list"}), "read proc:background/*"),
            ("process", json!({"action": "poll", "session_id": "p1"}), "read proc:background/p1"),
            ("process", json!({"action": "kill", "session_id": "p1"}), "execute proc:background/p1"),
            (
                "process",
                json!({"action": "submit", "session_id": "p1", "data": "rm -rf x"}),
                "execute proc:background/p1; what is typed into a running program is not read; (command_word)",
            ),
            ("read_terminal", json!({}), "read proc:terminal"),
            ("close_terminal", json!({"process_id": "p1"}), "execute proc:background/p1"),
            (
                "execute_code",
                json!({"code": "print('hi')\nopen('/etc/passwd')"}),
                "execute proc:python3; python3 runs code that is not read here: `print('hi') open('/etc/passwd')`; names file:/etc/passwd; (code)",
            ),
            ("web_search", json!({"query": "q"}), "search tool:hermes/web"),
            ("x_search", json!({"query": "q"}), "search tool:hermes/web"),
            (
                "web_extract",
                json!({"urls": ["https://h/p", "http://i/"]}),
                "network url:https://h/p; network url:http://i/",
            ),
            ("browser_navigate", json!({"url": "https://h/p"}), "network url:https://h/p"),
            ("browser_navigate", json!({"url": "file:///etc/passwd"}), "read file:/etc/passwd"),
            ("browser_snapshot", json!({}), "read tool:hermes/browser"),
            ("browser_vision", json!({"question": "q"}), "read tool:hermes/browser"),
            ("browser_get_images", json!({}), "read tool:hermes/browser"),
            ("browser_click", json!({"ref": "@e1"}), "execute tool:hermes/browser"),
            ("browser_type", json!({"ref": "@e1", "text": "t"}), "execute tool:hermes/browser"),
            ("browser_scroll", json!({"direction": "up"}), "execute tool:hermes/browser"),
            ("browser_back", json!({}), "execute tool:hermes/browser"),
            ("browser_press", json!({"key": "Enter"}), "execute tool:hermes/browser"),
            ("browser_dialog", json!({"action": "accept"}), "execute tool:hermes/browser"),
            ("browser_console", json!({}), "read tool:hermes/browser"),
            (
                "browser_console",
                json!({"expression": "1"}),
                "execute tool:hermes/browser; what the browser is told to do is not read; (code)",
            ),
            (
                "browser_cdp",
                json!({"method": "Page.navigate", "params": {"url": "https://h/"}}),
                "execute tool:hermes/browser; network url:https://h/; what the browser is told to do is not read; (code)",
            ),
            ("vision_analyze", json!({"image_url": "a.png", "question": "q"}), "read file:/w/a.png"),
            (
                "vision_analyze",
                json!({"image_url": "https://h/a.png", "question": "q"}),
                "network url:https://h/a.png",
            ),
            ("video_analyze", json!({"video_url": "~/a.mp4", "question": "q"}), "read file:/home/dev/a.mp4"),
            (
                "image_generate",
                json!({"prompt": "p", "reference_image_urls": ["a.png"]}),
                "send tool:hermes/image_generate; read file:/w/a.png",
            ),
            ("video_generate", json!({"prompt": "p"}), "send tool:hermes/video_generate"),
            (
                "xai_video_edit",
                json!({"prompt": "p", "video_url": "https://h/v"}),
                "send tool:hermes/xai_video_edit; network url:https://h/v",
            ),
            (
                "text_to_speech",
                json!({"text": "t", "output_path": "a.mp3"}),
                "send tool:hermes/text_to_speech; write file:/w/a.mp3",
            ),
            ("delegate_task", json!({"goal": "g"}), "delegate agent:leaf"),
            (
                "delegate_task",
                json!({"tasks": [{"goal": "g"}, {"goal": "h", "role": "orchestrator"}, {"goal": "i"}]}),
                "delegate agent:leaf; delegate agent:orchestrator",
            ),
            ("delegate_task", json!({}), "delegate agent:leaf; the call has no goal; (unknown_tool)"),
            ("todo", json!({}), "read memory:tasks"),
            ("todo", json!({"todos": []}), "memory memory:tasks"),
            ("memory", json!({"action": "add", "target": "user", "content": "c"}), "memory memory:user"),
            ("session_search", json!({"query": "q"}), "search memory:sessions"),
            ("skills_list", json!({}), "search tool:hermes/skills"),
            ("skill_view", json!({"name": "s"}), "read tool:hermes/skill/s"),
            ("skill_manage", json!({"action": "create", "name": "s"}), "configure tool:hermes/skill/s"),
            ("skill_manage", json!({"action": "delete", "name": "s"}), "delete tool:hermes/skill/s"),
            ("clarify", json!({"question": "q?"}), "read tool:hermes/user"),
            ("cronjob", json!({"action": "list"}), "read tool:hermes/cron"),
            ("cronjob", json!({"action": "pause", "job_id": "j"}), "configure tool:hermes/cron"),
            (
                "cronjob",
                json!({"action": "create", "schedule": "every 1h", "script": "a.sh", "no_agent": true}),
                "delegate agent:later; execute tool:hermes/script/a.sh",
            ),
            (
                "send_message",
                json!({"target": "slack:#ops", "message": "m"}),
                "send tool:hermes/message/slack:#ops",
            ),
            ("send_message", json!({"action": "list"}), "read tool:hermes/message/*"),
            ("discord", json!({"action": "fetch_messages", "channel_id": "7"}), "read tool:hermes/discord/7"),
            (
                "discord_admin",
                json!({"action": "pin_message", "channel_id": "7"}),
                "send tool:hermes/discord/7",
            ),
            (
                "yb_send_dm",
                json!({"name": "n", "message": "m", "media_files": ["a.png"]}),
                "send tool:hermes/yuanbao/n; read file:/w/a.png",
            ),
            ("feishu_doc_read", json!({"doc_token": "d"}), "read tool:hermes/feishu"),
            ("feishu_drive_add_comment", json!({"file_token": "f"}), "send tool:hermes/feishu/f"),
            ("ha_get_state", json!({"entity_id": "light.a"}), "read tool:hermes/homeassistant"),
            (
                "ha_call_service",
                json!({"domain": "lock", "service": "unlock", "entity_id": "lock.door"}),
                "execute tool:hermes/homeassistant/lock.unlock",
            ),
            ("kanban_show", json!({}), "read tool:hermes/kanban"),
            ("kanban_complete", json!({"summary": "s"}), "configure tool:hermes/kanban"),
            ("kanban_create", json!({"title": "t", "assignee": "coder"}), "delegate agent:coder"),
            (
                "kanban_attach_url",
                json!({"url": "https://h/f"}),
                "configure tool:hermes/kanban; network url:https://h/f",
            ),
            ("project_list", json!({}), "read tool:hermes/project"),
            (
                "project_create",
                json!({"name": "n", "path": "/p"}),
                "configure tool:hermes/project; read file:/p",
            ),
            ("computer_use", json!({"action": "capture"}), "read tool:hermes/computer"),
            ("computer_use", json!({"action": "click"}), "execute tool:hermes/computer"),
            ("spotify_playback", json!({"action": "get_state"}), "read tool:hermes/spotify"),
            ("spotify_playback", json!({"action": "play"}), "execute tool:hermes/spotify"),
            ("spotify_search", json!({"query": "q"}), "read tool:hermes/spotify"),
            ("meet_join", json!({"url": "https://meet/x"}), "network url:https://meet/x"),
            ("meet_say", json!({"text": "t"}), "send tool:hermes/meet/*"),
            ("mem0_search", json!({"query": "q"}), "read memory:mem0"),
            ("mem0_add", json!({"content": "c"}), "memory memory:mem0"),
            ("fact_store", json!({"action": "search", "query": "q"}), "read memory:fact"),
            ("retaindb_upload_file", json!({"local_path": "/w/a"}), "memory memory:retaindb; read file:/w/a"),
            ("tool_search", json!({"query": "q"}), "search tool:hermes/tools"),
            ("tool_call", json!({"name": "terminal", "arguments": {"command": "cat a"}}), "read file:/w/a"),
            ("mcp__fs__read_file", json!({"path": "/w/a"}), "execute mcp:fs/read_file; names file:/w/a"),
            ("mcp__s__read_resource", json!({"uri": "x://y"}), "read mcp:s/x://y"),
            ("mcp__s__list_resources", json!({}), "read mcp:s/list_resources"),
            (
                "later",
                json!({"a": 1}),
                "execute tool:hermes/later; the tool later is not known to this version; (unknown_tool)",
            ),
        ] {
            let found = normalise(tool, &input, "/w", "/home/dev").0;
            assert_eq!(shown(&found), want, "{tool} {input}");
        }
    }

    #[test]
    fn a_relative_path_without_a_folder_is_not_guessed() {
        let found = normalise("read_file", &json!({"path": "a"}), "", "").0;
        assert_eq!(
            shown(&found),
            "execute tool:hermes/read_file; the path is relative, and to what is not told; (arguments)"
        );
    }

    fn shown(found: &Normalised) -> String {
        let mut parts: Vec<String> = found
            .actions
            .iter()
            .map(|action| {
                let to = action.to.iter().map(|to| format!(" -> {to}"));
                let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
                let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| (*word).to_owned());
                format!("{} {}", action.action, action.resource) + &to.chain(flags).collect::<String>()
            })
            .collect();
        parts.extend(found.opaque.iter().cloned());
        parts.extend(found.named.iter().map(|name| format!("names {name}")));
        if !found.hazards.is_empty() {
            let hazards: Vec<&str> = found.hazards.iter().map(|hazard| hazard.as_str()).collect();
            parts.push(format!("({})", hazards.join(", ")));
        }
        parts.join("; ")
    }
}
