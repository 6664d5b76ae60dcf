//! What holds OpenClaw.

use super::settings::{Format, Layers, Server};
use super::{Here, Report, Severity, Topic};
use crate::agents::Agent;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let dir = place.dir("OPENCLAW_STATE_DIR", ".openclaw");
    let file = (place.env)("OPENCLAW_CONFIG_PATH").unwrap_or_else(|| dir.join("openclaw.json"));
    let layers = Layers::read(vec![file], Format::Json);
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "a plug-in sees tools, prompts, what the model is sent, sub-agents, sessions, messages",
        "a plug-in that fails before a tool is passed over",
    );
    let set = |key: &str, value: &str| format!("openclaw config set {key} {value}");
    let mode = layers.text(&["tools", "exec", "mode"]).map_or("full", |(mode, _)| mode).to_owned();
    report.aspect(
        Topic::Permissions,
        "tools.exec.mode deny, allowlist, ask, auto or full; allow and deny lists of tools, per agent too",
        format!(
            "exec {mode}; {} tools allowed, {} denied",
            layers.items(&["tools", "allow"]).len(),
            layers.items(&["tools", "deny"]).len()
        ),
    );
    if mode == "full" {
        report.weak(
            Severity::High,
            "every shell command runs unasked: tools.exec.mode full",
            "a shell is everything that the user can do, and messages from outside reach this agent",
            &["OWASP LLM06:2025", "800-53 AC-3", "800-53 AC-6", "EU AI Act Art. 14"],
            set("tools.exec.mode", "ask"),
        );
    }
    let sandbox =
        layers.text(&["agents", "defaults", "sandbox", "mode"]).map_or("off", |(mode, _)| mode).to_owned();
    report.aspect(
        Topic::Sandbox,
        "agents.defaults.sandbox.mode off, non-main, all (containers)",
        sandbox.clone(),
    );
    if sandbox == "off" {
        report.weak(
            Severity::Medium,
            "it runs without a sandbox",
            "a program can do what no rule on its command line foresees",
            &["800-53 SC-39", "800-53 SC-7", "OWASP LLM06:2025"],
            set("agents.defaults.sandbox.mode", "all"),
        );
    }
    report.aspect(
        Topic::Approvals,
        "exec approvals by its operator, kept in its state; `openclaw approvals get`",
        mode,
    );
    report.aspect(Topic::Subagents, "a session key of its own for each", "told apart");
    let workspace = layers
        .text(&["agents", "defaults", "workspace"])
        .map_or_else(|| dir.join("workspace"), |(path, _)| path.into());
    let names = ["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md", "MEMORY.md"];
    let instructions: Vec<_> = names.iter().map(|name| workspace.join(name)).collect();
    report.instructions(&instructions, "", "files of the agent's workspace, a memory, skills");
    let servers: Vec<Server> = layers
        .entries(&["mcp", "servers"])
        .iter()
        .map(|(name, entry, _)| Server::read(name, entry))
        .collect();
    report.servers(&servers, "local and remote");
    report.secrets(
        here,
        None,
        "the programs that it runs inherit its environment",
        "start it without them: env -u NAME openclaw",
    );
    let otel = layers.flag(&["diagnostics", "otel", "enabled"]).is_some_and(|(on, _)| on);
    report.aspect(
        Topic::Telemetry,
        "OpenTelemetry and Prometheus by plug-ins",
        if otel { "OpenTelemetry is on" } else { "OpenTelemetry is off" },
    );
    report.aspect(Topic::Transcripts, "one JSON line a message, per agent and session", "kept");
    let elevated = layers.flag(&["tools", "elevated", "enabled"]).is_none_or(|(on, _)| on);
    report.aspect(
        Topic::Switches,
        "tools.elevated (outside of the sandbox), /exec and /elevated in a session, disabled plug-ins",
        if elevated { "elevated tools are possible" } else { "elevated tools are off" },
    );
}
