//! One agent that starts another, of another runtime.

use crate::agents::{Agent, Sandbox};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, Kind, Rel};
use serde_json::json;

#[test]
fn an_agent_that_another_one_started_hangs_below_the_action_that_did() {
    let sandbox = Sandbox::new();
    let codex = Agent::Codex.program();
    let command = format!(
        "MOCK_KEY=dummy {} exec --json --dangerously-bypass-hook-trust 'NESTED: look around' < /dev/null",
        codex.display()
    );
    let llm = ScriptedLlm::start(
        json!({"routes": [{"contains": "NESTED: look", "track": "nested"}], "tracks": {
            "main": [
                {"tools": [{"name": "Read", "args": {"file_path": sandbox.project.join("README.md")}}]},
                {"text": "I hand it over.", "tools": [{"name": "Bash", "args": {"command": command, "timeout": 120_000}}]},
                {"text": "Done."}],
            "nested": [
                {"tools": [{"name": "exec_command", "args": {"cmd": "wc -l README.md"}}]},
                {"text": "Three lines."}],
        }}),
    );
    for agent in [Agent::ClaudeCode, Agent::Codex] {
        agent.set_up(&sandbox, &llm);
    }
    let output = Agent::ClaudeCode.run(&sandbox, &llm, "Please hand the work over to codex.");
    assert!(output.status.success(), "{output:?}");

    let trail = sandbox.trail();
    let start = |runtime: &str| {
        let found = trail
            .of(Kind::SessionStart)
            .find(|record| record.agent.as_ref().is_some_and(|agent| agent.runtime == runtime));
        found.unwrap_or_else(|| panic!("no session of {runtime}: {output:?}"))
    };
    let (parent, child) = (start("claude-code"), start("codex"));
    assert_eq!(child.agent.as_ref().unwrap().parent, parent.session, "{child:?}");
    let by = child.link(Rel::DelegatedBy).expect("the action that started it");
    let action = trail.0.iter().find(|record| record.id == by).expect("an action");
    assert!(matches!(&action.body, Body::Action(body) if body.summary.contains("exec --json")), "{action:?}");
    assert_eq!(action.session, parent.session);

    let shown = sandbox.fdr(&["show", parent.session.as_deref().unwrap()]);
    assert!(shown.contains("codex") && shown.contains("README.md"), "{shown}");
    println!("{shown}");
}
