//! `fdr`, the flight data recorder for AI agents: the program.
//!
//! [`cli`] is what can be typed; every command is a file of its own.
#![forbid(unsafe_code)]

mod acks;
mod admin;
mod agents;
mod approvals;
mod bundle;
mod cat;
mod child;
mod chronicle;
mod cli;
mod command;
mod config;
mod control;
mod demo;
mod dictionary;
mod doctor;
mod durable;
mod erase;
mod export;
mod filter;
mod harness;
mod heartbeat;
mod held;
mod home;
mod http;
mod import;
mod install;
mod intent;
mod judge;
mod keys;
mod line;
mod mcp_proxy;
mod normalize;
mod overlay;
mod policy;
mod query;
mod reconcile;
mod recorder;
mod replay;
mod retain;
mod rights;
mod run;
mod seal;
mod sequences;
mod sessions;
mod settings_file;
mod show;
mod surroundings;
mod system;
mod table;
mod tail;
mod text;
mod timestamp;
mod trail;
mod transcript_store;
mod transcripts;
mod verify;
mod watch;
mod witness;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let done = cli.run(&mut out).and_then(|code| out.flush().map(|()| code).map_err(Into::into));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = out.flush();
            crate::text::say!("error: {}", message(&error));
            ExitCode::from(2)
        }
    }
}

/// Whoever reads the output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!("\n  caused by: {cause}"));
        }
    }
    text
}
