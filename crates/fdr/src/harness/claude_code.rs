//! What holds Claude Code.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic, set_json, shell};
use crate::agents::{Agent, Scope};
use serde_json::Value;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let mut files = Vec::new();
    for scope in [Scope::Managed, Scope::Local, Scope::Project, Scope::User] {
        let mut own = agent.also_read(scope, place);
        own.extend(agent.files(scope, place).unwrap_or_default());
        own.dedup();
        files.extend(own);
    }
    let user = place.dir("CLAUDE_CONFIG_DIR", ".claude").join("settings.json");
    let layers = Layers::read(files, Format::Json);
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "31 events, before and after each tool, prompts, sub-agents, instructions, settings",
        "the tool runs; only a denial or status 2 stops it",
    );

    let count = |list: &str| layers.items(&["permissions", list]).len();
    let mode = layers.text(&["permissions", "defaultMode"]);
    report.aspect(
        Topic::Permissions,
        "allow, ask and deny rules per tool and argument; modes default, plan, acceptEdits, dontAsk, auto, bypassPermissions",
        format!(
            "mode {}; {} allow, {} ask, {} deny rules",
            mode.map_or("default", |(mode, _)| mode),
            count("allow"),
            count("ask"),
            count("deny")
        ),
    );
    if let Some(("bypassPermissions", layer)) = mode {
        report.weak(
            Severity::High,
            format!("every tool runs unasked: defaultMode bypassPermissions in {}", layer.name()),
            "nothing stands between what the agent was talked into and the machine",
            &["OWASP LLM06:2025", "800-53 AC-3", "800-53 AC-6", "EU AI Act Art. 14"],
            set_json(&layer.path, ".permissions.defaultMode", "\"default\""),
        );
    }
    for rule in layers.items(&["permissions", "allow"]) {
        if matches!(rule.as_str(), "Bash" | "Bash(*)" | "Bash(:*)" | "*") {
            report.weak(
                Severity::High,
                format!("every shell command runs unasked: the rule {rule} allows it"),
                "a shell is everything that the user can do",
                &["OWASP LLM06:2025", "800-53 AC-6", "800-53 CM-7"],
                format!(
                    "jq '.permissions.allow -= [\"{rule}\"]' {0} > {0}.new && mv {0}.new {0}",
                    shell(&user)
                ),
            );
        }
    }
    if count("deny") == 0 {
        report.weak(
            Severity::Low,
            "no deny rule of its own",
            "a second limit beside the recorder's policy",
            &["800-53 AC-3"],
            set_json(&user, ".permissions.deny", "[\"Read(./.env)\", \"Read(~/.ssh/**)\"]"),
        );
    }

    let sandboxed = layers.flag(&["sandbox", "enabled"]).is_some_and(|(on, _)| on);
    let escapes = layers.flag(&["sandbox", "allowUnsandboxedCommands"]).is_none_or(|(on, _)| on);
    report.aspect(
        Topic::Sandbox,
        "file system and network of shell commands (bubblewrap, Seatbelt)",
        match (sandboxed, escapes) {
            (false, _) => "off",
            (true, true) => "on; a command may ask to run outside of it",
            (true, false) => "on, for every command",
        },
    );
    if !sandboxed {
        report.weak(
            Severity::Medium,
            "shell commands run without a sandbox",
            "a program can do what no rule on its command line foresees",
            &["800-53 SC-39", "800-53 SC-7", "OWASP LLM06:2025"],
            set_json(&user, ".sandbox.enabled", "true"),
        );
    }
    let bypass =
        layers.text(&["permissions", "disableBypassPermissionsMode"]).is_some_and(|(v, _)| v == "disable");
    report.aspect(
        Topic::Approvals,
        "asks its user before what no rule allows; without a terminal (-p) that is denied; no event tells the answer",
        if bypass { "prompts can't be switched off" } else { "--dangerously-skip-permissions switches prompts off" },
    );
    if !bypass {
        report.weak(
            Severity::Medium,
            "one option on the command line switches all prompts off",
            "--dangerously-skip-permissions leaves the recorder's policy as the only limit",
            &["800-53 AC-3", "EU AI Act Art. 14"],
            format!(
                "sudo fdr install claude-code --managed   # and in {}: {{\"permissions\": {{\"disableBypassPermissionsMode\": \"disable\"}}}}",
                place.managed("/etc/claude-code/managed-settings.json").display()
            ),
        );
    }
    report.aspect(
        Topic::Subagents,
        "agent_id and agent_type on every event; a transcript of its own for each",
        "told apart",
    );

    let mut instructions = up_from(place, "CLAUDE.md");
    instructions.extend(up_from(place, "CLAUDE.local.md"));
    instructions.extend(up_from(place, ".claude/CLAUDE.md"));
    instructions.push(place.dir("CLAUDE_CONFIG_DIR", ".claude").join("CLAUDE.md"));
    instructions.push(place.managed("/etc/claude-code/CLAUDE.md"));
    instructions.dedup();
    let memory = match layers.flag(&["autoMemoryEnabled"]) {
        Some((false, _)) => "memory of its own is off",
        _ => "keeps a memory of its own",
    };
    report.instructions(
        &instructions,
        memory,
        "CLAUDE.md files and rules, an automatic memory; InstructionsLoaded tells which",
    );

    let state = match (place.env)("CLAUDE_CONFIG_DIR") {
        Some(dir) => dir.join(".claude.json"),
        None => place.home.join(".claude.json"),
    };
    let servers = Layers::read(vec![place.project.join(".mcp.json"), state], Format::Json);
    let project = place.project.to_string_lossy();
    let mut found = servers.entries(&["mcpServers"]);
    found.extend(servers.entries(&["projects", &project, "mcpServers"]));
    let found: Vec<Server> = found.iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&found, "local and remote; a project's servers need consent");
    if let Some((true, layer)) = layers.flag(&["enableAllProjectMcpServers"]) {
        report.weak(
            Severity::High,
            format!(
                "whatever server a project names is started: enableAllProjectMcpServers in {}",
                layer.name()
            ),
            "a cloned repository starts programs",
            &["OWASP LLM03:2025", "800-53 CM-7", "800-53 SR-3"],
            set_json(&layer.path, ".enableAllProjectMcpServers", "false"),
        );
    }

    let scrubbed = layers
        .text(&["env", "CLAUDE_CODE_SUBPROCESS_ENV_SCRUB"])
        .map(|(value, _)| value.to_owned())
        .or_else(|| (place.env)("CLAUDE_CODE_SUBPROCESS_ENV_SCRUB").map(|v| v.to_string_lossy().into_owned()))
        .is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    report.secrets(
        here,
        scrubbed.then_some("taken out of what its commands inherit"),
        "CLAUDE_CODE_SUBPROCESS_ENV_SCRUB keeps them from the programs that it runs",
        &set_json(&user, ".env.CLAUDE_CODE_SUBPROCESS_ENV_SCRUB", "\"1\""),
    );
    let telemetry =
        layers.text(&["env", "CLAUDE_CODE_ENABLE_TELEMETRY"]).is_some_and(|(value, _)| value == "1");
    report.aspect(
        Topic::Telemetry,
        "OpenTelemetry logs, traces and metrics; usage statistics to its vendor",
        if telemetry { "OpenTelemetry is on" } else { "OpenTelemetry is off" },
    );
    let days = layers.get(&["cleanupPeriodDays"]).and_then(|(value, _)| value.as_u64()).unwrap_or(30);
    report.aspect(
        Topic::Transcripts,
        "one JSON line a message, deleted after cleanupPeriodDays",
        format!("kept {days} days"),
    );
    if days < 183 {
        report.weak(
            Severity::Low,
            format!("transcripts are deleted after {days} days"),
            "the trail has them, but nothing to hold it against any more; logs of high-risk systems are kept six months at least",
            &["EU AI Act Art. 26(6)", "800-53 AU-11"],
            set_json(&user, ".cleanupPeriodDays", "365"),
        );
    }
    let skips =
        layers.all(&["skipDangerousModePermissionPrompt"]).any(|(value, _)| value == &Value::Bool(true));
    report.aspect(
        Topic::Switches,
        "disableAllHooks, --bare, --setting-sources, --dangerously-skip-permissions, CLAUDE_CODE_SIMPLE",
        match (skips, bypass) {
            (true, _) => "the warning of the bypass mode is skipped",
            (false, true) => "the bypass mode is disabled",
            (false, false) => "none is set in a file; the command line can",
        },
    );
}
