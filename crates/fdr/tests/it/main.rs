//! Behaviour of the real programs: one binary, one module for each subject.

mod agents;
mod claude_code;
mod claude_code_policy;
mod claude_code_reconcile;
mod codex;
mod faults;
mod gemini_cli;
mod harness;
mod hermes;
mod install;
mod mcp_proxy;
mod openclaw;
mod opencode;
mod policy;
mod program;
mod reconcile;
mod run;
mod runtimes;
mod runtimes_faults;
mod runtimes_managed;
mod runtimes_nested;
mod runtimes_reconcile;
mod runtimes_run;
mod runtimes_together;
mod scripted_llm;
mod views;
