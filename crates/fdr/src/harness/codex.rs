//! What holds the Codex CLI.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic, shell};
use crate::agents::Agent;
use serde_json::Value;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let dir = place.dir("CODEX_HOME", ".codex");
    let user = dir.join("config.toml");
    let layers = Layers::read(
        vec![
            place.managed("/etc/codex/managed_config.toml"),
            place.project.join(".codex/config.toml"),
            user.clone(),
            place.managed("/etc/codex/config.toml"),
        ],
        Format::Toml,
    );
    let required = Layers::read(vec![place.managed("/etc/codex/requirements.toml")], Format::Toml);
    report.unreadable(&layers);
    report.unreadable(&required);
    report.hooks(
        agent,
        here,
        "12 events: tools, permission requests, prompts, sub-agents, compaction; none after a refused call or apply_patch",
        "the tool runs; only a denial or status 2 stops it",
    );
    let set = |key: &str, value: &str| {
        let file = shell(&user);
        format!("sed -i '/^{key} *=/d' {file} && sed -i '1i {key} = \"{value}\"' {file}")
    };
    let approval = layers.text(&["approval_policy"]);
    let bounded = required.get(&["allowed_approval_policies"]).is_some();
    report.aspect(
        Topic::Permissions,
        "approval_policy untrusted, on-request, never; rules for command prefixes; requirements by an administrator",
        format!(
            "approval_policy {}{}",
            approval.map_or("by trust of the folder", |(policy, _)| policy),
            if bounded { "; an administrator bounds it" } else { "" }
        ),
    );
    if let Some(("never", layer)) = approval {
        report.weak(
            Severity::High,
            format!("nobody is asked: approval_policy never in {}", layer.name()),
            "what the sandbox lets through runs unseen by a person",
            &["OWASP LLM06:2025", "800-53 AC-3", "EU AI Act Art. 14"],
            set("approval_policy", "on-request"),
        );
    }
    let sandbox = layers.text(&["sandbox_mode"]);
    let network = layers.flag(&["sandbox_workspace_write", "network_access"]);
    report.aspect(
        Topic::Sandbox,
        "read-only, workspace-write or danger-full-access (Landlock and seccomp, Seatbelt)",
        format!(
            "{}{}",
            sandbox.map_or("by trust of the folder", |(mode, _)| mode),
            if network.is_some_and(|(on, _)| on) { ", network open" } else { "" }
        ),
    );
    if let Some(("danger-full-access", layer)) = sandbox {
        report.weak(
            Severity::High,
            format!("no sandbox: sandbox_mode danger-full-access in {}", layer.name()),
            "a program can do what no rule on its command line foresees",
            &["800-53 SC-39", "800-53 AC-6", "OWASP LLM06:2025"],
            set("sandbox_mode", "workspace-write"),
        );
    }
    if let Some((true, layer)) = network {
        report.weak(
            Severity::Medium,
            format!("the sandbox lets programs reach the network ({})", layer.name()),
            "what the agent reads can be carried out",
            &["800-53 SC-7", "OWASP LLM02:2025"],
            format!("sed -i 's/^network_access *= *true/network_access = false/' {}", shell(&layer.path)),
        );
    }
    report.aspect(
        Topic::Approvals,
        "its user, or a reviewing model; PermissionRequest tells of the question, no event of the answer",
        layers.text(&["approvals_reviewer"]).map_or("its user", |(reviewer, _)| reviewer).to_owned(),
    );
    report.aspect(
        Topic::Subagents,
        "agent_id and agent_type on every event; a rollout of its own for each",
        "told apart",
    );
    let mut instructions = up_from(place, "AGENTS.md");
    instructions.extend(up_from(place, "AGENTS.override.md"));
    instructions.extend([dir.join("AGENTS.md"), dir.join("AGENTS.override.md")]);
    let memory = layers.flag(&["features", "memories"]).is_some_and(|(on, _)| on);
    report.instructions(
        &instructions,
        if memory { "keeps a memory of its own" } else { "" },
        "AGENTS.md files, in the rollout; memories behind a feature switch",
    );
    let servers: Vec<Server> =
        layers.entries(&["mcp_servers"]).iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&servers, "local and remote; requirements.toml can bound which");

    let policy =
        layers.get(&["shell_environment_policy"]).map(|(value, _)| value.clone()).unwrap_or_default();
    let inherits = policy.get("inherit").and_then(Value::as_str).unwrap_or("all");
    let keeps = policy.get("ignore_default_excludes").and_then(Value::as_bool).unwrap_or(true);
    let cleaned = match (inherits, keeps) {
        ("none" | "core", _) => Some("its commands inherit the core variables only"),
        (_, false) => Some("names with KEY, SECRET or TOKEN are taken out"),
        _ => None,
    };
    report.secrets(
        here,
        cleaned,
        "shell_environment_policy says what commands inherit",
        &format!(
            "printf '\\n[shell_environment_policy]\\nignore_default_excludes = false\\n' >> {}",
            shell(&user)
        ),
    );
    let exporter = layers.get(&["otel", "exporter"]).is_some_and(|(value, _)| value.as_str() != Some("none"));
    report.aspect(
        Topic::Telemetry,
        "OpenTelemetry logs and traces; analytics to its vendor",
        if exporter { "OpenTelemetry is on" } else { "OpenTelemetry is off" },
    );
    let persistence = layers.text(&["history", "persistence"]);
    report.aspect(
        Topic::Transcripts,
        "rollout files by day, kept until somebody deletes them; --ephemeral keeps none",
        match persistence {
            Some(("none", _)) => "kept; the history of prompts is not",
            _ => "kept",
        },
    );
    let managed_only = required.flag(&["allow_managed_hooks_only"]).is_some_and(|(on, _)| on);
    let off = layers.flag(&["features", "hooks"]);
    report.aspect(
        Topic::Switches,
        "--dangerously-bypass-approvals-and-sandbox (--yolo), --dangerously-bypass-hook-trust, features.hooks, -c key=value",
        match (managed_only, off) {
            (true, _) => "only managed hooks run",
            (false, Some((false, _))) => "features.hooks is off: no hook runs",
            (false, _) => "none is set in a file; the command line can",
        },
    );
}
