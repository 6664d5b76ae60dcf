//! Behaviour of the real programs: one binary, one module for each subject.

mod claude_code;
mod faults;
mod mcp_proxy;
mod program;
mod scripted_llm;
mod views;
