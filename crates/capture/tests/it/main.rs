//! What holds for the records that come of what each runtime sends.

mod claude_code;
mod mcp;
