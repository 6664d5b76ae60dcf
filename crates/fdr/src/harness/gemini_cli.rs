//! What holds the Gemini CLI.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic, set_json};
use crate::agents::Agent;
use serde_json::Value;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let user = place.home.join(".gemini/settings.json");
    let managed = |variable: &str, file: &str| (place.env)(variable).unwrap_or_else(|| place.managed(file));
    let system = managed("GEMINI_CLI_SYSTEM_SETTINGS_PATH", "/etc/gemini-cli/settings.json");
    let defaults = managed("GEMINI_CLI_SYSTEM_DEFAULTS_PATH", "/etc/gemini-cli/system-defaults.json");
    let layers = Layers::read(
        vec![system.clone(), place.project.join(".gemini/settings.json"), user.clone(), defaults],
        Format::Json,
    );
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "11 events: tools, turns, requests to the model and answers; calls have no id, sub-agents no mark",
        "the tool runs; only a denial or status 2 stops it",
    );
    let flag = |path: &[&str], default: bool| layers.flag(path).map_or(default, |(on, _)| on);
    let mode = layers.text(&["general", "defaultApprovalMode"]);
    let allowed = layers.items(&["tools", "allowed"]);
    report.aspect(
        Topic::Permissions,
        "a policy engine (TOML rules: allow, deny, ask), lists of allowed and excluded tools; modes default, auto_edit, plan, yolo",
        format!(
            "mode {}; {} tools allowed, {} excluded",
            mode.map_or("default", |(mode, _)| mode),
            allowed.len(),
            layers.items(&["tools", "exclude"]).len()
        ),
    );
    if allowed.iter().any(|tool| matches!(tool.as_str(), "run_shell_command" | "ShellTool" | "*")) {
        report.weak(
            Severity::High,
            "every shell command runs unasked: tools.allowed has run_shell_command",
            "a shell is everything that the user can do",
            &["OWASP LLM06:2025", "800-53 AC-6", "800-53 CM-7"],
            "name the commands: \"run_shell_command(git status)\"".to_owned(),
        );
    }
    let sandboxed = layers.get(&["tools", "sandbox"]).is_some_and(|(value, _)| *value != Value::Bool(false))
        || (place.env)("GEMINI_SANDBOX").is_some_and(|value| value.to_string_lossy() != "false");
    report.aspect(
        Topic::Sandbox,
        "the whole program or single tools in a container, gVisor, Seatbelt",
        if sandboxed { "on" } else { "off" },
    );
    if !sandboxed {
        report.weak(
            Severity::Medium,
            "it runs without a sandbox",
            "a program can do what no rule on its command line foresees",
            &["800-53 SC-39", "800-53 SC-7", "OWASP LLM06:2025"],
            set_json(&user, ".tools.sandbox", "true"),
        );
    }
    let no_yolo = flag(&["security", "disableYoloMode"], false);
    report.aspect(
        Topic::Approvals,
        "asks its user; without a terminal what would be asked is refused",
        if flag(&["security", "disableAlwaysAllow"], false) {
            "for once only"
        } else {
            "for once or for good"
        },
    );
    if !no_yolo {
        report.weak(
            Severity::Medium,
            "one option on the command line switches all prompts off (--yolo)",
            "nothing but the recorder's policy stands between the agent and the machine then",
            &["OWASP LLM06:2025", "800-53 AC-3", "EU AI Act Art. 14"],
            set_json(&system, ".security.disableYoloMode", "true"),
        );
    }
    report.aspect(
        Topic::Subagents,
        "no mark in hooks; the chat file and telemetry tell",
        "concluded from the chat file, marked as inferred",
    );
    let names = layers.items(&["context", "fileName"]);
    let one = layers.text(&["context", "fileName"]).map(|(name, _)| name.to_owned());
    let mut names: Vec<String> = names.into_iter().chain(one).collect();
    if names.is_empty() {
        names.push("GEMINI.md".to_owned());
    }
    let mut instructions = Vec::new();
    for name in &names {
        instructions.extend(up_from(place, name));
        instructions.push(place.home.join(".gemini").join(name));
    }
    let memory = if flag(&["experimental", "autoMemory"], false) { "keeps a memory of its own" } else { "" };
    report.instructions(&instructions, memory, "GEMINI.md files up to the home folder, also in sub-folders");
    let servers: Vec<Server> =
        layers.entries(&["mcpServers"]).iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&servers, "local and remote; mcp.allowed bounds which; trust skips the prompts of one");
    let redacts = flag(&["security", "environmentVariableRedaction", "enabled"], false);
    report.secrets(
        here,
        redacts.then_some("taken out of what its commands inherit"),
        "security.environmentVariableRedaction keeps them from the programs that it runs",
        &set_json(&user, ".security.environmentVariableRedaction.enabled", "true"),
    );
    report.aspect(
        Topic::Telemetry,
        "OpenTelemetry to a file, a collector or its vendor's cloud; usage statistics",
        format!(
            "OpenTelemetry {}, usage statistics {}",
            if flag(&["telemetry", "enabled"], false) { "on" } else { "off" },
            if flag(&["privacy", "usageStatisticsEnabled"], true) { "on" } else { "off" }
        ),
    );
    let kept = if flag(&["general", "sessionRetention", "enabled"], true) {
        layers.text(&["general", "sessionRetention", "maxAge"]).map_or("30d", |(age, _)| age)
    } else {
        "until somebody deletes them"
    };
    report.aspect(Topic::Transcripts, "chat files by project", format!("kept {kept}"));
    if kept == "30d" {
        report.weak(
            Severity::Low,
            "chat files are deleted after 30 days",
            "the trail has them, but nothing to hold it against any more; logs of high-risk systems are kept six months at least",
            &["EU AI Act Art. 26(6)", "800-53 AU-11"],
            set_json(&user, ".general.sessionRetention.maxAge", "\"365d\""),
        );
    }
    let trusts = flag(&["security", "folderTrust", "enabled"], true);
    report.aspect(
        Topic::Switches,
        "--yolo, hooksConfig.enabled, hooksConfig.disabled, --skip-trust, GEMINI_CLI_TRUST_WORKSPACE",
        match (no_yolo, trusts) {
            (true, true) => "yolo is disabled, folders need trust",
            (false, true) => "none is set in a file; the command line can",
            (_, false) => "folders need no trust",
        },
    );
    if !trusts {
        report.weak(
            Severity::Medium,
            "settings and hooks of any project count: security.folderTrust.enabled is false",
            "a cloned repository configures the agent",
            &["OWASP LLM03:2025", "800-53 CM-6"],
            set_json(&user, ".security.folderTrust.enabled", "true"),
        );
    }
}
