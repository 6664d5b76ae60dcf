//! What holds OpenCode.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic, set_json};
use crate::agents::Agent;
use serde_json::Value;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let dir = place.dir("XDG_CONFIG_HOME", ".config").join("opencode");
    let user = ["opencode.jsonc", "opencode.json"].map(|name| dir.join(name));
    let user_file = user.iter().find(|file| file.exists()).unwrap_or(&user[1]).clone();
    let mut files =
        vec![place.managed("/etc/opencode/opencode.jsonc"), place.managed("/etc/opencode/opencode.json")];
    for name in ["opencode.jsonc", "opencode.json", ".opencode/opencode.jsonc", ".opencode/opencode.json"] {
        files.extend(up_from(place, name));
    }
    files.extend(user);
    let layers = Layers::read(files, Format::Json);
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "a plug-in sees tools, permissions, messages, what the model is sent, and every event of the session",
        "a plug-in that throws before a tool stops it; one that can't be loaded is skipped",
    );
    let rule = |tool: &str| layers.get(&["permission", tool]).map(|(value, _)| value.clone());
    let said = |tool: &str| match rule(tool) {
        Some(Value::String(rule)) => format!("{tool} {rule}"),
        Some(Value::Object(rules)) => format!("{tool}: {} rules", rules.len()),
        _ => format!("{tool} allow"),
    };
    let all = layers.text(&["permission"]).map(|(rule, _)| rule.to_owned());
    report.aspect(
        Topic::Permissions,
        "allow, ask or deny per tool and pattern; all is allowed by default but folders outside of the project",
        match &all {
            Some(rule) => format!("{rule} for everything"),
            None => ["bash", "edit", "webfetch"].map(said).join(", "),
        },
    );
    let asks = |tool: &str| all.as_deref().is_some_and(|rule| rule != "allow") || rule(tool).is_some();
    if !asks("bash") {
        report.weak(
            Severity::High,
            "every shell command runs unasked: there is no permission rule for bash",
            "a shell is everything that the user can do",
            &["OWASP LLM06:2025", "800-53 AC-3", "800-53 AC-6", "EU AI Act Art. 14"],
            set_json(&user_file, ".permission.bash", "\"ask\""),
        );
    }
    if !asks("edit") {
        report.weak(
            Severity::Medium,
            "files are written unasked: there is no permission rule for edit",
            "also those that steer the agent itself",
            &["800-53 AC-6", "800-53 CM-5"],
            set_json(&user_file, ".permission.edit", "\"ask\""),
        );
    }
    report.aspect(Topic::Sandbox, "none", "none");
    report.weak(
        Severity::Medium,
        "it has no sandbox",
        "a program can do what no rule on its command line foresees",
        &["800-53 SC-39", "800-53 SC-7", "OWASP LLM06:2025"],
        "run it in a container, or under: fdr run -- bwrap …".to_owned(),
    );
    report.aspect(
        Topic::Approvals,
        "asks its user; in `opencode run` what would be asked is refused; events tell question and answer",
        "its user",
    );
    report.aspect(Topic::Subagents, "a session of its own for each, with the id of the parent", "told apart");
    let mut instructions = up_from(place, "AGENTS.md");
    instructions.extend(up_from(place, "CLAUDE.md"));
    instructions.extend([dir.join("AGENTS.md"), place.home.join(".claude/CLAUDE.md")]);
    let more = layers.items(&["instructions"]);
    let more = if more.is_empty() { String::new() } else { format!("also {}", more.join(", ")) };
    report.instructions(
        &instructions,
        &more,
        "AGENTS.md files, CLAUDE.md, and what `instructions` names, addresses on the network too",
    );
    if layers.items(&["instructions"]).iter().any(|item| item.starts_with("http")) {
        report.weak(
            Severity::High,
            "instructions are fetched from the network at each start",
            "who answers there tells the agent what to do",
            &["OWASP LLM01:2025", "OWASP LLM03:2025"],
            "keep a copy in the project and name that in `instructions`".to_owned(),
        );
    }
    let servers: Vec<Server> =
        layers.entries(&["mcp"]).iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&servers, "local and remote");
    report.secrets(
        here,
        None,
        "the programs that it runs inherit everything",
        "start it without them: env -u NAME opencode",
    );
    let share = layers.text(&["share"]).map_or("manual", |(share, _)| share).to_owned();
    report.aspect(
        Topic::Telemetry,
        "sessions can be shared as public pages; OpenTelemetry behind a switch",
        format!("share {share}"),
    );
    if share != "disabled" {
        report.weak(
            if share == "auto" { Severity::High } else { Severity::Medium },
            format!("sessions can become public pages: share {share}"),
            "a transcript holds code and whatever the agent read",
            &["OWASP LLM02:2025", "800-53 AC-4"],
            set_json(&user_file, ".share", "\"disabled\""),
        );
    }
    report.aspect(Topic::Transcripts, "a database, opencode.db", "kept until somebody deletes them");
    let plugins = layers.items(&["plugin"]);
    report.aspect(
        Topic::Switches,
        "OPENCODE_PERMISSION, OPENCODE_CONFIG_CONTENT, --pure and OPENCODE_PURE (no plug-ins), --auto, plug-ins from npm",
        if plugins.is_empty() { "none is set in a file".to_owned() } else { format!("plug-ins: {}", plugins.join(", ")) },
    );
}
