//! What holds Cursor, by its documentation.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic, set_json};
use crate::agents::Agent;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let user = place.home.join(".cursor/cli-config.json");
    let layers = Layers::read(vec![place.project.join(".cursor/cli.json"), user.clone()], Format::Json);
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "events before and after tools, shell commands, MCP calls, file reads and edits, prompts, sub-agents",
        "the tool runs, unless the hook is set to fail closed",
    );
    let allow = layers.items(&["permissions", "allow"]);
    report.aspect(
        Topic::Permissions,
        "allow and deny rules per tool and argument",
        format!("{} allow, {} deny rules", allow.len(), layers.items(&["permissions", "deny"]).len()),
    );
    if allow.iter().any(|rule| matches!(rule.as_str(), "Shell(*)" | "Shell(**)")) {
        report.weak(
            Severity::High,
            "every shell command runs unasked: a rule allows Shell(*)",
            "a shell is everything that the user can do",
            &["OWASP LLM06:2025", "800-53 AC-6", "800-53 CM-7"],
            set_json(&user, ".permissions.allow", "[]"),
        );
    }
    report.aspect(
        Topic::Sandbox,
        "shell commands can run in a sandbox",
        "its settings are not in a file that can be read",
    );
    report.aspect(Topic::Approvals, "asks its user, or runs by itself (auto-run)", "not told by a file");
    report.aspect(Topic::Subagents, "events when one starts and stops", "told apart");
    let mut instructions = up_from(place, ".cursorrules");
    instructions.extend(up_from(place, "AGENTS.md"));
    report.instructions(&instructions, "", ".cursor/rules, AGENTS.md, .cursorrules");
    let servers = Layers::read(
        vec![place.project.join(".cursor/mcp.json"), place.home.join(".cursor/mcp.json")],
        Format::Json,
    );
    let servers: Vec<Server> =
        servers.entries(&["mcpServers"]).iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&servers, "local and remote");
    report.secrets(
        here,
        None,
        "the programs that it runs inherit its environment",
        "start it without them: env -u NAME cursor-agent",
    );
    report.aspect(Topic::Telemetry, "a privacy mode of the account", "not told by a file");
    report.aspect(Topic::Transcripts, "a path in every event", "not told by a file");
    report.aspect(Topic::Switches, "--force, auto-run, hooks removed from hooks.json", "not told by a file");
}
