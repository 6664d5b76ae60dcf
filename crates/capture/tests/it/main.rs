//! What holds for the records that come of what each runtime sends.

mod claude_code;
mod claude_code_sequences;
mod codex;
mod cursor;
mod gemini_cli;
mod hermes;
mod mcp;
mod openclaw;
mod opencode;
mod sample;
