//! The real Claude Code, and what is found in its sessions: nothing in clean ones.

use crate::claude_code::Stage;
use crate::scripted_llm::ScriptedLlm;
use serde_json::json;

#[test]
fn a_clean_run_has_no_findings() {
    let stage = Stage::new();
    stage.install(&json!({"allow": ["Read", "Write", "Edit", "Agent", "Bash(echo:*)", "Bash(seq:*)", "Bash(sh:*)", "mcp__every"],
                          "deny": ["Bash(curl:*)"]}));
    let p = stage.project.to_str().unwrap();
    let llm = ScriptedLlm::start(json!({"routes": [{"contains": "SUBTASK", "track": "sub"}], "tracks": {
        "main": [
            {"thinking": "First look.", "text": "I read.", "tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
            {"tools": [{"name": "Write", "args": {"file_path": format!("{p}/notes.txt"), "content": "one\ntwo\n"}}]},
            {"tools": [{"name": "Edit", "args": {"file_path": format!("{p}/notes.txt"), "old_string": "two", "new_string": "2"}}]},
            {"tools": [{"name": "Bash", "args": {"command": "seq 1 20000", "description": "count"}}]},
            {"tools": [{"name": "Bash", "args": {"command": "echo ghp_0123456789abcdefghijABCDEFGHIJ012345; echo err >&2"}}]},
            {"tools": [{"name": "Bash", "args": {"command": "sh -c 'exit 3'"}}, {"name": "Read", "args": {"file_path": format!("{p}/missing.txt")}}]},
            {"tools": [{"name": "Bash", "args": {"command": "curl -s https://example.invalid/x"}}]},
            {"tools": [{"name": "Grep", "args": {"pattern": "x"}}, {"name": "Bash", "args": {}}]},
            {"tools": [{"name": "TodoWrite", "args": {"todos": [{"content": "a", "status": "pending", "activeForm": "a-ing"}]}}]},
            {"tools": [{"name": "mcp__every__echo", "args": {"message": "hello mcp"}}]},
            {"tools": [{"name": "Agent", "args": {"description": "Count", "prompt": "SUBTASK: read README.md", "subagent_type": "general-purpose", "run_in_background": false}}]},
            {"text": "All done."}],
        "sub": [
            {"tools": [{"name": "Read", "args": {"file_path": format!("{p}/README.md")}}]},
            {"text": "It has three lines."}],
    }}));
    let server = crate::claude_code::agents().join("@modelcontextprotocol/server-everything/dist/index.js");
    let servers = json!({"mcpServers": {"every": {"command": stage.programs.join("fdr"),
        "args": ["mcp-proxy", "--", "node", server, "stdio"], "env": {"FDR_HOME": stage.fdr_home}}}});
    let run = stage.run_with(&llm, "Please do the steps.", &["--mcp-config", &servers.to_string(), "--strict-mcp-config"]);
    let said = stage.fdr(&["reconcile", &run.session]);
    println!("{said}");
    assert!(said.contains("14 of 14 actions, confirmed by 2 sources or more (hook, transcript, proxy); no finding"), "{said}");
    if let Ok(keep) = std::env::var("KEEP") {
        std::process::Command::new("cp").args(["-a", stage.folder.path().to_str().unwrap(), &keep]).status().unwrap();
    }
}
