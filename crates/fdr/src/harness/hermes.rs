//! What holds Hermes Agent.

use super::settings::{Format, Layers, Server, up_from};
use super::{Here, Report, Severity, Topic};
use crate::agents::Agent;

pub fn look(report: &mut Report, agent: &dyn Agent, here: &Here<'_>) {
    let place = here.place;
    let dir = place.dir("HERMES_HOME", ".hermes");
    let layers = Layers::read(vec![dir.join("config.yaml")], Format::Yaml);
    report.unreadable(&layers);
    report.hooks(
        agent,
        here,
        "some 20 events: tools, requests to the model, approvals, sub-agents, sessions; tells of refused calls too",
        "the tool runs; only an answer that blocks stops it",
    );
    let flag = |path: &[&str], default: bool| layers.flag(path).map_or(default, |(on, _)| on);
    let set = |key: &str, value: &str| format!("hermes config set {key} {value}");
    // YAML reads a bare `off` as false.
    let mode = match layers.get(&["approvals", "mode"]) {
        Some((value, _)) => value
            .as_str()
            .map_or_else(|| if value == false { "off" } else { "smart" }.to_owned(), str::to_owned),
        None => "smart".to_owned(),
    };
    let allowed = layers.items(&["command_allowlist"]).len();
    report.aspect(
        Topic::Permissions,
        "approvals.mode manual, smart (a model decides) or off; approvals.deny holds in every mode; toolsets",
        format!(
            "mode {mode}; {} deny patterns, {allowed} allowed for good",
            layers.items(&["approvals", "deny"]).len()
        ),
    );
    match mode.as_str() {
        "off" => report.weak(
            Severity::High,
            "dangerous commands run unasked: approvals.mode off",
            "nothing stands between what the agent was talked into and the machine",
            &["OWASP LLM06:2025", "800-53 AC-3", "EU AI Act Art. 14"],
            set("approvals.mode", "manual"),
        ),
        "smart" => report.weak(
            Severity::Medium,
            "a model answers in the user's place whether a dangerous command may run: approvals.mode smart",
            "what talks the agent into it can talk to the one who approves",
            &["OWASP LLM01:2025", "EU AI Act Art. 14"],
            set("approvals.mode", "manual"),
        ),
        _ => {}
    }
    let backend = layers.text(&["terminal", "backend"]).map_or("local", |(backend, _)| backend).to_owned();
    report.aspect(
        Topic::Sandbox,
        "terminal.backend local, docker, singularity, modal, daytona, ssh",
        backend.clone(),
    );
    if backend == "local" {
        report.weak(
            Severity::Medium,
            "shell commands run on this machine without a sandbox: terminal.backend local",
            "a program can do what no rule on its command line foresees",
            &["800-53 SC-39", "800-53 SC-7", "OWASP LLM06:2025"],
            set("terminal.backend", "docker"),
        );
    }
    report.aspect(
        Topic::Approvals,
        "asks its user about commands that look dangerous; events tell question and answer",
        layers
            .get(&["approvals", "timeout"])
            .map_or("60 s, then denied".to_owned(), |(seconds, _)| format!("{seconds} s, then denied")),
    );
    report.aspect(Topic::Subagents, "a session of its own for each, with the id of the parent", "told apart");
    let mut instructions = vec![dir.join("SOUL.md")];
    for name in ["AGENTS.md", ".hermes.md", "HERMES.md", "CLAUDE.md", ".cursorrules"] {
        instructions.extend(up_from(place, name));
    }
    let memory = if flag(&["memory", "memory_enabled"], true) {
        "keeps a memory of its own, and of its user"
    } else {
        "memory is off"
    };
    report.instructions(
        &instructions,
        memory,
        "SOUL.md, context files of the project, a memory, skills that it writes itself",
    );
    let servers: Vec<Server> =
        layers.entries(&["mcp_servers"]).iter().map(|(name, entry, _)| Server::read(name, entry)).collect();
    report.servers(&servers, "local and remote; entries are checked when they are added");
    let redacts = flag(&["security", "redact_secrets"], true);
    report.secrets(
        here,
        redacts.then_some("what looks like one is taken out of what the model sees; commands inherit them"),
        "security.redact_secrets keeps them from the model",
        &set("security.redact_secrets", "true"),
    );
    report.aspect(Topic::Telemetry, "none of its own for the agent", "off");
    let prunes = flag(&["sessions", "auto_prune"], false);
    report.aspect(
        Topic::Transcripts,
        "a database, state.db, with messages and reasoning",
        if prunes { "ended sessions are deleted after some time" } else { "kept" },
    );
    let accepts = flag(&["hooks_auto_accept"], false);
    report.aspect(
        Topic::Switches,
        "--yolo, HERMES_YOLO_MODE, approvals.mode off, hooks_auto_accept, --accept-hooks, disabled plug-ins",
        if accepts {
            "new shell hooks run without consent"
        } else {
            "none is set in a file; the command line can"
        },
    );
    if accepts {
        report.weak(
            Severity::Low,
            "a new shell hook runs without consent: hooks_auto_accept",
            "who can write the file runs programs with every call",
            &["800-53 CM-5"],
            set("hooks_auto_accept", "false"),
        );
    }
}
