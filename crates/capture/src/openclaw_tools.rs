//! What the tools of OpenClaw mean in canonical words. `docs/openclaw.md` has the table.

use crate::tool_call::{self, Call, Tools};
use fdr_record::{Hazard, Normalised, Resource, Verb, shell};
use serde_json::Value;

/// Where OpenClaw keeps its settings, unless told otherwise.
const SETTINGS: &str = "~/.openclaw/openclaw.json";

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    tool_call::normalise::<OpenClaw>(tool, input, cwd, home)
}

struct OpenClaw;

impl Tools for OpenClaw {
    const RUNTIME: &'static str = "openclaw";

    fn read(call: &mut Call<'_, OpenClaw>) -> String {
        call.read()
    }
}

impl<'c> Call<'c, OpenClaw> {
    fn read(&mut self) -> String {
        // OpenClaw takes these for one another itself.
        let tool = match self.tool {
            "bash" => "exec",
            "apply-patch" => "apply_patch",
            "cron" => "automations",
            "image" => "view_image",
            tool => tool,
        };
        match tool {
            "read" => self.on_file(Verb::Read),
            "write" | "edit" => self.on_file(Verb::Write),
            "ls" => {
                let path = self.optional("path");
                self.touch(Verb::Read, if path.is_empty() { "." } else { path });
                path.to_owned()
            }
            "apply_patch" => self.patch(),
            "exec" => self.exec(),
            "code_mode_exec" | "tool_search_code" => {
                self.act(Verb::Execute, self.own(tool));
                self.unknown(Hazard::Code, "a program that calls other tools; each call is told on its own");
                self.first(&["code", "command"]).to_owned()
            }
            "code_execution" => {
                self.act(Verb::Send, self.own(tool));
                self.needed(&["task"]).to_owned()
            }
            "process" => self.process(),
            "terminal" => self.terminal(),
            "web_fetch" => {
                let url = self.needed(&["url"]);
                if !url.is_empty() {
                    self.act(Verb::Network, Resource::new("url", url));
                }
                url.to_owned()
            }
            "web_search" | "x_search" => {
                self.act(Verb::Search, self.own("web"));
                self.needed(&["query"]).to_owned()
            }
            "browser" => self.browser(),
            "computer" | "mobile_ui" => {
                let looks =
                    matches!(self.text("action"), "screenshot" | "wait" | "observe" | "cursor_position");
                self.act(if looks { Verb::Read } else { Verb::Execute }, self.own(tool));
                self.needed(&["action"]).to_owned()
            }
            "canvas" => {
                match self.text("url") {
                    "" => self.act(Verb::Execute, self.own(tool)),
                    url => self.act(Verb::Network, Resource::new("url", url)),
                }
                self.needed(&["action"]).to_owned()
            }
            "nodes" => self.nodes(),
            "file_fetch" | "dir_list" | "dir_fetch" | "file_write" => {
                let verb = if tool == "file_write" { Verb::Send } else { Verb::Read };
                let node = self.needed(&["node"]);
                self.act(verb, Resource::new("host", node));
                format!("{node}: {}", self.needed(&["path"]))
            }
            "node_inference" => {
                let (action, node) = (self.needed(&["action"]), self.node());
                self.act(if action == "discover" { Verb::Read } else { Verb::Send }, node);
                self.first(&["prompt", "action"]).to_owned()
            }
            "message" => self.message(),
            "conversations_send" | "conversations_turn" => {
                let to = self.needed(&["conversationRef"]);
                self.act(Verb::Send, self.own(&format!("conversation/{to}")));
                self.text("message").to_owned()
            }
            "conversations_list" => self.look(Verb::Read, "conversations", &["query", "channel"]),
            "sessions_spawn" => {
                let kind = Some(self.text("agentId")).filter(|kind| !kind.is_empty());
                self.act(Verb::Delegate, Resource::new("agent", kind.unwrap_or("subagent")));
                self.needed(&["task"]);
                self.first(&["label", "task"]).to_owned()
            }
            "sessions_send" => {
                let to = self.needed(&["sessionKey", "label", "agentId"]);
                self.act(Verb::Delegate, Resource::new("agent", to));
                self.text("message").to_owned()
            }
            "llm-task" => {
                self.act(Verb::Delegate, Resource::new("agent", tool));
                self.text("prompt").to_owned()
            }
            "openclaw" => {
                // Another model sets up what keeps this one.
                self.act(Verb::Delegate, Resource::new("agent", tool));
                self.settings();
                self.needed(&["message"]).to_owned()
            }
            "sessions_search" => self.look(Verb::Search, "sessions", &["query"]),
            "sessions_list" | "sessions_history" | "agents_list" | "agents_wait" | "sessions_yield" => {
                self.look(Verb::Read, "sessions", &["sessionKey", "search", "message"])
            }
            "session_status" => {
                let changes = !self.text("model").is_empty();
                self.look(
                    if changes { Verb::Configure } else { Verb::Read },
                    "sessions",
                    &["model", "sessionKey"],
                )
            }
            "sessions" => {
                let verb = match self.needed(&["action"]) {
                    "cloud_profiles" | "group_list" => Verb::Read,
                    "delete" | "group_delete" => Verb::Delete,
                    _ => Verb::Configure,
                };
                self.look(verb, "sessions", &["action"])
            }
            "subagents" => {
                let stops = self.text("action") == "cancel";
                self.look(if stops { Verb::Execute } else { Verb::Read }, "sessions", &["taskId", "action"])
            }
            "suggest_task" | "dismiss_task" | "progress_card" | "update_plan" => {
                self.act(Verb::Memory, Resource::new("memory", "tasks"));
                self.first(&["title", "task_id", "markdown"]).to_owned()
            }
            "create_goal" | "update_goal" => {
                self.act(Verb::Memory, Resource::new("memory", "goal"));
                self.needed(&["objective", "status"]).to_owned()
            }
            "get_goal" => {
                self.act(Verb::Read, Resource::new("memory", "goal"));
                String::new()
            }
            "automations" => self.automations(),
            "intent" => match self.needed(&["action"]) {
                "list" => self.later(Verb::Read, &["action"]),
                "cancel" => self.later(Verb::Delete, &["id"]),
                // It is told to the agent later, when nobody looks.
                _ => self.later(Verb::Delegate, &["description"]),
            },
            "memory_search" => {
                self.act(Verb::Search, Resource::new("memory", "notes"));
                self.needed(&["query"]).to_owned()
            }
            "memory_get" => {
                let path = self.needed(&["path"]);
                self.act(Verb::Read, Resource::new("memory", path));
                path.to_owned()
            }
            "wiki_search" => {
                self.act(Verb::Search, Resource::new("memory", "wiki"));
                self.first(&["query"]).to_owned()
            }
            "wiki_get" | "wiki_status" | "wiki_lint" => {
                self.act(Verb::Read, Resource::new("memory", "wiki"));
                self.first(&["lookup", "path"]).to_owned()
            }
            "wiki_apply" => {
                self.act(Verb::Memory, Resource::new("memory", "wiki"));
                self.first(&["title", "op"]).to_owned()
            }
            "skill_workshop" => {
                let looks = ["read", "list", "inspect", "evaluate", "history"];
                let looks = looks.contains(&self.needed(&["action"]));
                let name = self.first(&["skill_name", "name", "proposal_id"]);
                let verb = if looks { Verb::Read } else { Verb::Memory };
                self.act(verb, Resource::new("memory", format_args!("skill/{name}")));
                format!("{} {name}", self.text("action"))
            }
            "gateway" => {
                match self.needed(&["action"]) {
                    "config.get" | "config.schema" | "config.schema.lookup" => {
                        self.act(Verb::Read, self.own(tool));
                    }
                    action => {
                        self.act(Verb::Configure, self.own(tool));
                        if action.starts_with("config.") {
                            self.settings();
                        }
                    }
                }
                self.text("action").to_owned()
            }
            "plugins" => {
                let name = self.first(&["pluginId", "packageName", "query"]);
                if matches!(self.needed(&["action"]), "list" | "inspect" | "search") {
                    self.act(Verb::Read, self.own("plugins"));
                } else {
                    self.act(Verb::Configure, self.own(&format!("plugin/{name}")));
                    self.settings();
                }
                format!("{} {name}", self.text("action"))
            }
            "secrets" => {
                let name = self.text("name");
                let verb = match self.needed(&["action"]) {
                    "list" => Verb::Read,
                    "delete" => Verb::Delete,
                    _ => Verb::Configure,
                };
                let name = if name.is_empty() { "store" } else { name };
                self.act(verb, Resource::new("secret", format_args!("openclaw/{name}")));
                format!("{} {name}", self.text("action"))
            }
            "onepassword" => {
                self.act(Verb::Read, Resource::new("secret", tool));
                self.first(&["action", "item"]).to_owned()
            }
            "ask_user" => {
                self.act(Verb::Read, self.own("user"));
                let question = self.input.pointer("/questions/0/question").and_then(Value::as_str);
                question.unwrap_or_default().to_owned()
            }
            "view_image" | "pdf" => {
                self.media(&["path", "paths", "pdf", "pdfs", "image", "images"]);
                if self.found.actions.is_empty() {
                    self.unknown(Hazard::UnknownTool, "the call has no path");
                }
                self.first(&["path", "pdf", "image", "prompt"]).to_owned()
            }
            "image_generate" | "music_generate" | "video_generate" | "tts" => {
                // The text goes to a service that makes the file.
                let lists = matches!(self.text("action"), "list" | "status");
                self.act(if lists { Verb::Read } else { Verb::Send }, self.own(tool));
                self.media(&["image", "images", "video", "videos", "audioRef", "audioRefs"]);
                self.first(&["prompt", "text", "action"]).to_owned()
            }
            "github_identity_status" => self.look(Verb::Read, "github", &[]),
            "github_publish" => {
                self.act(Verb::Send, Resource::new("git", "origin"));
                self.text("title").to_owned()
            }
            "tool_search" => self.look(Verb::Search, "tools", &["query"]),
            "tool_describe" => self.look(Verb::Read, "tools", &["id"]),
            // What it calls has an event of its own.
            "tool_call" => self.look(Verb::Execute, "tools", &["id"]),
            "theme" | "talk_voice" => {
                let looks = matches!(self.needed(&["action"]), "list" | "get");
                self.look(if looks { Verb::Read } else { Verb::Configure }, tool, &["action"])
            }
            "portal" => {
                // Lets others in to a server on this machine.
                let looks = self.needed(&["action"]) == "list";
                self.look(if looks { Verb::Read } else { Verb::Configure }, tool, &["title", "action"])
            }
            "dashboard" | "screen" | "show_widget" | "heartbeat_respond" | "structured_output" | "wait"
            | "transcripts" => {
                let looks = matches!(self.text("action"), "read" | "list" | "status" | "inspect");
                self.look(
                    if looks { Verb::Read } else { Verb::Execute },
                    tool,
                    &["action", "title", "summary"],
                )
            }
            tool if tool.starts_with("workboard_") => self.workboard(&tool["workboard_".len()..]),
            tool => {
                match tool.split_once("__") {
                    Some((server, name)) if !server.is_empty() && !name.is_empty() => {
                        self.act(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")));
                        self.named_by_arguments(server);
                    }
                    _ => self.unknown(
                        Hazard::UnknownTool,
                        format!("the tool {tool} is not known to this version"),
                    ),
                }
                String::new()
            }
        }
    }

    /// A command, which may run elsewhere, with variables of its own.
    fn exec(&mut self) -> String {
        let command = self.needed(&["command"]);
        if command.is_empty() {
            return String::new();
        }
        let folder = match self.optional("workdir") {
            "" => Some(self.cwd.to_owned()),
            path => self.file_meant(path).map(|folder| folder.name().to_owned()),
        };
        let mut text = String::new();
        match self.input.get("env") {
            Some(Value::Object(variables)) => {
                for (name, value) in variables {
                    let is_name = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                    match value.as_str().filter(|_| is_name && !name.is_empty()) {
                        Some(value) => text.push_str(&format!("export {name}={}\n", quoted(value))),
                        None => self.unknown(Hazard::Arguments, "a variable that is set is not known"),
                    }
                }
            }
            Some(Value::Null) | None => {}
            Some(_) => self.unknown(Hazard::UnknownTool, "env is no object"),
        }
        text.push_str(command);
        let context = shell::Context { cwd: folder.as_deref().unwrap_or_default(), home: self.home };
        let before = std::mem::take(&mut self.found);
        self.found = shell::normalise(&text, &context);
        before.opaque.into_iter().for_each(|reason| self.found.opaque(reason));
        before.hazards.into_iter().for_each(|hazard| self.found.hazard(hazard));
        if self.text("host") == "node" || !self.text("node").is_empty() {
            let node = self.node();
            self.act(Verb::Execute, node);
            self.unknown(Hazard::Arguments, "it runs on another machine, whose files are named here");
        }
        if self.input.get("elevated") == Some(&Value::Bool(true)) {
            // Out of the sandbox.
            self.act(Verb::Configure, self.own("elevated"));
        }
        command.to_owned()
    }

    /// The shell's own word for it reads the same text.
    fn patch(&mut self) -> String {
        let patch = self.needed(&["input", "patch"]);
        if patch.is_empty() {
            return String::new();
        }
        let context = shell::Context { cwd: self.cwd, home: self.home };
        self.found = shell::normalise(&format!("apply_patch {}", quoted(patch)), &context);
        let files = patch.lines().filter_map(|line| line.strip_prefix("*** ")?.split_once(" File: "));
        let files: Vec<&str> = files.map(|(_, path)| path.trim()).take(8).collect();
        files.join(", ")
    }

    fn process(&mut self) -> String {
        let (action, id) = (self.needed(&["action"]), self.text("sessionId"));
        let id = if id.is_empty() { "*" } else { id };
        let looks = matches!(action, "list" | "poll" | "log");
        let resource = Resource::new("proc", format_args!("background/{id}"));
        self.act(if looks { Verb::Read } else { Verb::Execute }, resource);
        if !looks && !matches!(action, "kill" | "clear" | "remove") {
            self.unknown(Hazard::CommandWord, "what is typed into a running program is not read");
        }
        let typed = self.first(&["data", "text", "keys"]);
        [action, id, typed].join(" ").trim_end().to_owned()
    }

    fn terminal(&mut self) -> String {
        let (action, id) = (self.needed(&["action"]), self.text("sessionId"));
        let id = if id.is_empty() { "*" } else { id };
        let looks = matches!(action, "list" | "read");
        let resource = Resource::new("proc", format_args!("terminal/{id}"));
        self.act(if looks { Verb::Read } else { Verb::Execute }, resource);
        if action == "input" {
            self.unknown(Hazard::CommandWord, "what is typed into a terminal is not read");
        }
        [action, id, self.text("data")].join(" ").trim_end().to_owned()
    }

    fn browser(&mut self) -> String {
        let action = self.needed(&["action"]);
        let url = self.first(&["targetUrl", "url"]);
        match action {
            "open" | "navigate" if !url.is_empty() => self.act(Verb::Network, Resource::new("url", url)),
            "importprofile" => {
                // Cookies and passwords of the user's own browser.
                let profile = self.first(&["systemProfile", "profile"]);
                self.act(Verb::Read, Resource::new("secret", format_args!("browser/{profile}")));
            }
            "upload" => {
                self.act(Verb::Send, self.own("browser"));
                self.media(&["paths", "path"]);
            }
            "download" | "waitfordownload" | "pdf" | "screenshot" if !self.text("path").is_empty() => {
                self.act(Verb::Read, self.own("browser"));
                self.touch(Verb::Write, self.text("path"));
            }
            "doctor" | "status" | "profiles" | "tabs" | "snapshot" | "screenshot" | "console"
            | "requests" | "errors" | "text" | "pdf" | "download" | "waitfordownload" => {
                self.act(Verb::Read, self.own("browser"));
            }
            _ => {
                self.act(Verb::Execute, self.own("browser"));
                if self.text("kind") == "evaluate" || !self.text("fn").is_empty() {
                    self.unknown(Hazard::Code, "a script for the page is not read");
                }
            }
        }
        [action, self.text("kind"), url].join(" ").trim_end().to_owned()
    }

    fn node(&self) -> Resource {
        let node = self.text("node");
        Resource::new("host", if node.is_empty() { "node" } else { node })
    }

    fn nodes(&mut self) -> String {
        let (action, node) = (self.needed(&["action"]), self.node());
        match action {
            "approve" => self.act(Verb::Approve, node),
            "reject" => self.act(Verb::Configure, node),
            "notify" | "notifications_action" | "camera_ptz" => self.act(Verb::Execute, node),
            "invoke" => {
                self.act(Verb::Execute, node);
                self.unknown(Hazard::CommandWord, "what a command does on another machine is not known");
            }
            _ => self.act(Verb::Read, node),
        }
        self.media_out("outPath");
        [action, self.first(&["invokeCommand", "body", "requestId"])].join(" ").trim_end().to_owned()
    }

    fn message(&mut self) -> String {
        const LOOKS: [&str; 17] = [
            "read",
            "search",
            "reactions",
            "list-pins",
            "permissions",
            "thread-list",
            "member-info",
            "role-info",
            "channel-info",
            "channel-list",
            "emoji-list",
            "sticker-search",
            "voice-status",
            "event-list",
            "download-file",
            "poll-results",
            "list",
        ];
        let action = self.needed(&["action"]);
        let verb = match action {
            action if LOOKS.contains(&action) => Verb::Read,
            "delete" | "unsend" | "channel-delete" | "category-delete" => Verb::Delete,
            _ => Verb::Send,
        };
        let to = self.first(&["target", "to", "channelId"]);
        let channel = self.text("channel");
        let name = [channel, to].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let name = if name.is_empty() { "current" } else { &name };
        self.act(verb, self.own(&format!("message/{name}")));
        for to in self.input.get("targets").and_then(Value::as_array).into_iter().flatten().take(32) {
            let to = to.as_str().unwrap_or_default();
            self.act(verb, self.own(&format!("message/{channel}/{to}")));
        }
        self.media(&["media", "path", "filePath", "attachments"]);
        self.first(&["message", "caption", "action"]).to_owned()
    }

    /// What it says is done when nobody looks, as if a person had asked for it.
    fn automations(&mut self) -> String {
        match self.needed(&["action"]) {
            "status" | "list" | "get" | "runs" | "next_check" => self.later(Verb::Read, &["jobId", "action"]),
            "remove" => self.later(Verb::Delete, &["jobId", "id"]),
            _ => {
                let summary = self.later(Verb::Delegate, &["text", "jobId", "id"]);
                let argv = self.input.pointer("/job/payload/argv").and_then(Value::as_array);
                if let Some(argv) = argv {
                    let words: Vec<String> =
                        argv.iter().map(|word| quoted(word.as_str().unwrap_or_default())).collect();
                    let folder = self.input.pointer("/job/payload/cwd").and_then(Value::as_str);
                    let context = shell::Context { cwd: folder.unwrap_or_default(), home: self.home };
                    let read = shell::normalise(&words.join(" "), &context);
                    read.actions.into_iter().for_each(|action| self.found.push(action));
                    read.opaque.into_iter().for_each(|reason| self.found.opaque(reason));
                    read.hazards.into_iter().for_each(|hazard| self.found.hazard(hazard));
                    read.named.into_iter().for_each(|name| self.found.names(name));
                }
                let scripts = ["/job/payload/script", "/job/trigger/script"];
                if scripts.iter().any(|at| self.input.pointer(at).is_some()) {
                    self.unknown(Hazard::Code, "a script that calls tools later is not read");
                }
                let shown = ["/job/name", "/job/payload/message", "/job/payload/text"];
                let shown = shown.iter().find_map(|at| self.input.pointer(at)?.as_str());
                shown.map_or(summary, str::to_owned)
            }
        }
    }

    fn later(&mut self, verb: Verb, shown: &[&str]) -> String {
        self.act(verb, Resource::new("agent", "later"));
        self.first(shown).to_owned()
    }

    fn workboard(&mut self, name: &str) -> String {
        let looks = [
            "list",
            "read",
            "boards",
            "stats",
            "runs",
            "notify_list",
            "notify_events",
            "attachment_read",
            "worker_log",
        ];
        match name {
            name if looks.contains(&name) => self.act(Verb::Read, Resource::new("memory", "workboard")),
            "dispatch" => self.act(Verb::Delegate, Resource::new("agent", "workboard")),
            _ => self.act(Verb::Memory, Resource::new("memory", "workboard")),
        }
        self.first(&["title", "id", "text"]).to_owned()
    }

    /// Files and addresses that are taken in.
    fn media(&mut self, keys: &[&str]) {
        for key in keys {
            match self.input.get(key) {
                Some(Value::String(one)) => self.medium(one),
                Some(Value::Array(many)) => {
                    for one in many.iter().take(64) {
                        let path = ["media", "path", "url"].iter().find_map(|key| one.get(key)?.as_str());
                        self.medium(one.as_str().or(path).unwrap_or_default());
                    }
                }
                _ => {}
            }
        }
    }

    fn medium(&mut self, name: &str) {
        if name.starts_with("http://") || name.starts_with("https://") {
            self.act(Verb::Network, Resource::new("url", name));
        } else if !name.is_empty() && !name.starts_with("data:") {
            self.touch(Verb::Read, name);
        }
    }

    fn media_out(&mut self, key: &str) {
        let path = self.text(key);
        if !path.is_empty() {
            self.touch(Verb::Write, path);
        }
    }

    /// The settings, by whatever tool they are changed.
    fn settings(&mut self) {
        self.act(Verb::Configure, self.own("config"));
        self.touch(Verb::Write, SETTINGS);
    }

    fn look(&mut self, verb: Verb, name: &str, shown: &[&str]) -> String {
        self.act(verb, self.own(name));
        self.first(shown).to_owned()
    }

    fn on_file(&mut self, verb: Verb) -> String {
        let path = self.needed(&["path", "file_path"]);
        if !path.is_empty() {
            self.touch(verb, path);
        }
        path.to_owned()
    }

    fn touch(&mut self, verb: Verb, path: &str) {
        if let Some(file) = self.file_meant(path) {
            self.act(verb, file);
        }
    }

    /// A file as OpenClaw's own tools read its name: `@` may stand before it, it may begin with
    /// `~`, and it may be a `file:` address.
    fn file_meant(&mut self, path: &str) -> Option<Resource> {
        let path = match path.strip_prefix('@') {
            // A file may be called so; which one is meant depends on what there is.
            Some(rest) if !rest.starts_with(['/', '~']) && !rest.starts_with("file:") => {
                self.unknown(Hazard::Arguments, "a name that begins with @ may be meant with or without it");
                rest
            }
            Some(rest) => rest,
            None => path,
        };
        let decoded = path.strip_prefix("file://").map(percent_decoded);
        let path = decoded.as_deref().unwrap_or(path);
        self.file_at_home(path)
    }
}

/// One word for a shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The path in a `file:` address, after its `//`.
fn percent_decoded(text: &str) -> String {
    let text = text.strip_prefix("localhost").unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(tool: &str, input: &Value) -> String {
        let (found, summary) = normalise(tool, input, "/w", "/home/dev");
        assert!(!summary.is_empty());
        let mut got: Vec<String> = Vec::new();
        for action in &found.actions {
            let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            let to = action.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
            got.push(format!("{} {}{to}{flags}", action.action, action.resource));
        }
        got.extend(found.named.iter().map(|name| format!("names {name}")));
        got.extend(found.hazards.iter().map(|hazard| format!("({})", hazard.as_str())));
        got.join("; ")
    }

    #[test]
    fn a_call_is_a_verb_on_a_resource() {
        let mut wrong = Vec::new();
        for (tool, input, want) in [
            ("read", json!({"path": "a"}), "read file:/w/a"),
            ("read", json!({"path": "~/a"}), "read file:/home/dev/a"),
            ("read", json!({"path": "@/etc/passwd"}), "read file:/etc/passwd"),
            ("read", json!({"path": "@a"}), "read file:/w/a; (arguments)"),
            ("read", json!({"path": "file:///etc/pass%77d"}), "read file:/etc/passwd"),
            ("read", json!({"path": 3}), "execute tool:openclaw/read; (unknown_tool)"),
            ("ls", json!({}), "read file:/w"),
            ("write", json!({"path": "../a", "content": "x"}), "write file:/a"),
            ("edit", json!({"path": "a", "edits": []}), "write file:/w/a"),
            (
                "apply_patch",
                json!({"input": "*** Begin Patch\n*** Add File: a\n+it's\n*** Update File: b\n*** Move to: c\n*** Delete File: d\n*** End Patch"}),
                "create file:/w/a; write file:/w/b; move file:/w/b -> file:/w/c; delete file:/w/d destructive",
            ),
            ("apply-patch", json!({"input": "nothing"}), "execute proc:apply_patch; (arguments)"),
            ("exec", json!({"command": "rm -rf build"}), "delete file:/w/build recursive destructive"),
            ("bash", json!({"command": "cat a", "workdir": "src"}), "read file:/w/src/a"),
            (
                "exec",
                json!({"command": "cat a", "env": {"LD_PRELOAD": "/tmp/x.so"}}),
                "execute file:/tmp/x.so; configure env:LD_PRELOAD; read file:/w/a; (command_word)",
            ),
            (
                "exec",
                json!({"command": "cat /a", "host": "node", "node": "mac", "elevated": true}),
                "read file:/a; execute host:mac; configure tool:openclaw/elevated; (arguments)",
            ),
            (
                "exec",
                json!({"command": "cat $A", "env": {"A": "it's"}}),
                "configure env:A; read file:/w/it's",
            ),
            ("exec", json!({}), "execute tool:openclaw/exec; (unknown_tool)"),
            ("code_mode_exec", json!({"code": "1"}), "execute tool:openclaw/code_mode_exec; (code)"),
            ("tool_search_code", json!({"code": "1"}), "execute tool:openclaw/tool_search_code; (code)"),
            ("code_execution", json!({"task": "t"}), "send tool:openclaw/code_execution"),
            ("process", json!({"action": "list"}), "read proc:background/*"),
            ("process", json!({"action": "kill", "sessionId": "s"}), "execute proc:background/s"),
            (
                "process",
                json!({"action": "submit", "sessionId": "s", "data": "rm"}),
                "execute proc:background/s; (command_word)",
            ),
            ("terminal", json!({"action": "read", "sessionId": "t"}), "read proc:terminal/t"),
            (
                "terminal",
                json!({"action": "input", "sessionId": "t", "data": "ls"}),
                "execute proc:terminal/t; (command_word)",
            ),
            ("web_fetch", json!({"url": "https://h/p"}), "network url:https://h/p"),
            ("web_search", json!({"query": "q"}), "search tool:openclaw/web"),
            ("x_search", json!({"query": "q"}), "search tool:openclaw/web"),
            ("browser", json!({"action": "open", "targetUrl": "https://h/p"}), "network url:https://h/p"),
            ("browser", json!({"action": "snapshot"}), "read tool:openclaw/browser"),
            (
                "browser",
                json!({"action": "act", "kind": "evaluate", "fn": "x"}),
                "execute tool:openclaw/browser; (code)",
            ),
            ("browser", json!({"action": "act", "kind": "click"}), "execute tool:openclaw/browser"),
            (
                "browser",
                json!({"action": "upload", "paths": ["a"]}),
                "send tool:openclaw/browser; read file:/w/a",
            ),
            ("browser", json!({"action": "importprofile", "systemProfile": "p"}), "read secret:browser/p"),
            (
                "browser",
                json!({"action": "pdf", "path": "o.pdf"}),
                "read tool:openclaw/browser; write file:/w/o.pdf",
            ),
            ("computer", json!({"action": "screenshot"}), "read tool:openclaw/computer"),
            ("computer", json!({"action": "left_click"}), "execute tool:openclaw/computer"),
            ("mobile_ui", json!({"action": "observe"}), "read tool:openclaw/mobile_ui"),
            ("canvas", json!({"action": "present", "url": "https://h"}), "network url:https://h"),
            ("canvas", json!({"action": "hide"}), "execute tool:openclaw/canvas"),
            ("nodes", json!({"action": "camera_snap", "node": "ph"}), "read host:ph"),
            ("nodes", json!({"action": "approve", "requestId": "r"}), "approve host:node"),
            (
                "nodes",
                json!({"action": "invoke", "node": "m", "invokeCommand": "system.run"}),
                "execute host:m; (command_word)",
            ),
            ("file_fetch", json!({"node": "m", "path": "/a"}), "read host:m"),
            ("file_write", json!({"node": "m", "path": "/a"}), "send host:m"),
            ("node_inference", json!({"action": "run", "node": "m", "prompt": "p"}), "send host:m"),
            (
                "message",
                json!({"action": "send", "channel": "slack", "target": "#ops", "message": "m", "media": "a.png"}),
                "send tool:openclaw/message/slack/#ops; read file:/w/a.png",
            ),
            ("message", json!({"action": "read"}), "read tool:openclaw/message/current"),
            ("message", json!({"action": "delete", "target": "c"}), "delete tool:openclaw/message/c"),
            (
                "conversations_send",
                json!({"conversationRef": "c", "message": "m"}),
                "send tool:openclaw/conversation/c",
            ),
            ("conversations_list", json!({}), "read tool:openclaw/conversations"),
            ("sessions_spawn", json!({"task": "t"}), "delegate agent:subagent"),
            ("sessions_spawn", json!({"task": "t", "agentId": "ops"}), "delegate agent:ops"),
            ("sessions_send", json!({"sessionKey": "agent:a:b", "message": "m"}), "delegate agent:agent:a:b"),
            ("sessions_history", json!({"sessionKey": "k"}), "read tool:openclaw/sessions"),
            ("sessions_search", json!({"query": "k"}), "search tool:openclaw/sessions"),
            ("sessions", json!({"action": "delete", "sessionKey": "k"}), "delete tool:openclaw/sessions"),
            ("session_status", json!({}), "read tool:openclaw/sessions"),
            ("session_status", json!({"model": "m"}), "configure tool:openclaw/sessions"),
            ("sessions_yield", json!({}), "read tool:openclaw/sessions"),
            ("subagents", json!({"action": "cancel", "taskId": "t"}), "execute tool:openclaw/sessions"),
            ("agents_list", json!({}), "read tool:openclaw/sessions"),
            ("llm-task", json!({"prompt": "p"}), "delegate agent:llm-task"),
            (
                "openclaw",
                json!({"message": "disable the plugin"}),
                "delegate agent:openclaw; configure tool:openclaw/config; write file:/home/dev/.openclaw/openclaw.json",
            ),
            ("progress_card", json!({"markdown": "m"}), "memory memory:tasks"),
            ("suggest_task", json!({"title": "t"}), "memory memory:tasks"),
            ("create_goal", json!({"objective": "o"}), "memory memory:goal"),
            ("get_goal", json!({}), "read memory:goal"),
            ("automations", json!({"action": "list"}), "read agent:later"),
            ("automations", json!({"action": "remove", "jobId": "j"}), "delete agent:later"),
            (
                "cron",
                json!({"action": "add", "job": {"payload": {"kind": "agentTurn", "message": "m"}}}),
                "delegate agent:later",
            ),
            (
                "automations",
                json!({"action": "add", "job": {"payload": {"kind": "command", "argv": ["rm", "-rf", "/etc"]}}}),
                "delegate agent:later; delete file:/etc recursive destructive",
            ),
            ("intent", json!({"action": "create", "description": "d"}), "delegate agent:later"),
            ("memory_search", json!({"query": "q"}), "search memory:notes"),
            ("memory_get", json!({"path": "MEMORY.md"}), "read memory:MEMORY.md"),
            ("wiki_apply", json!({"title": "t"}), "memory memory:wiki"),
            ("skill_workshop", json!({"action": "list"}), "read memory:skill/"),
            ("skill_workshop", json!({"action": "create", "name": "n"}), "memory memory:skill/n"),
            ("gateway", json!({"action": "config.get"}), "read tool:openclaw/gateway"),
            ("gateway", json!({"action": "update.run"}), "configure tool:openclaw/gateway"),
            ("plugins", json!({"action": "list"}), "read tool:openclaw/plugins"),
            (
                "plugins",
                json!({"action": "disable", "pluginId": "fdr"}),
                "configure tool:openclaw/plugin/fdr; configure tool:openclaw/config; write file:/home/dev/.openclaw/openclaw.json",
            ),
            ("secrets", json!({"action": "list"}), "read secret:openclaw/store"),
            ("secrets", json!({"action": "delete", "name": "k"}), "delete secret:openclaw/k"),
            ("ask_user", json!({"questions": [{"question": "q?"}]}), "read tool:openclaw/user"),
            (
                "view_image",
                json!({"paths": ["a.png", "https://h/b"]}),
                "read file:/w/a.png; network url:https://h/b",
            ),
            ("pdf", json!({"pdf": "a.pdf"}), "read file:/w/a.pdf"),
            ("pdf", json!({}), "execute tool:openclaw/pdf; (unknown_tool)"),
            (
                "image_generate",
                json!({"prompt": "p", "image": "a.png"}),
                "send tool:openclaw/image_generate; read file:/w/a.png",
            ),
            ("tts", json!({"text": "t"}), "send tool:openclaw/tts"),
            ("github_publish", json!({"title": "t"}), "send git:origin"),
            ("tool_search", json!({"query": "q"}), "search tool:openclaw/tools"),
            ("tool_call", json!({"id": "exec", "args": {}}), "execute tool:openclaw/tools"),
            ("theme", json!({"action": "get"}), "read tool:openclaw/theme"),
            ("portal", json!({"action": "open", "port": 80}), "configure tool:openclaw/portal"),
            ("dashboard", json!({"action": "read"}), "read tool:openclaw/dashboard"),
            ("screen", json!({"action": "portal_show"}), "execute tool:openclaw/screen"),
            ("workboard_list", json!({}), "read memory:workboard"),
            ("workboard_create", json!({"title": "t"}), "memory memory:workboard"),
            ("workboard_dispatch", json!({}), "delegate agent:workboard"),
            ("fs__read_file", json!({"path": "/w/a"}), "execute mcp:fs/read_file; names file:/w/a"),
            ("frobnicate", json!({"a": 1}), "execute tool:openclaw/frobnicate; (unknown_tool)"),
        ] {
            let got = shown(tool, &input);
            if got != want {
                wrong.push(format!("{tool} {input}\n got: {got}\nwant: {want}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }

    #[test]
    fn a_relative_path_is_nothing_without_a_working_directory() {
        let (found, _) = normalise("read", &json!({"path": "a"}), "", "");
        assert_eq!(found.actions[0].resource.as_str(), "tool:openclaw/read");
        assert_eq!((found.opaque.len(), &found.hazards[..]), (1, &[Hazard::Arguments][..]));
    }
}
