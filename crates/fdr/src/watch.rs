//! `fdr watch`: hands the transcripts of this user's agents to the machine's recorder, which can't
//! read them. `fdr-hook` starts one with every session; the second one ends at once.

use crate::home::Home;
use crate::transcripts::{INTERVAL, sidecars};
use anyhow::{Context, bail};
use fdr_hook::client::Client;
use fdr_hook::spool;
use fdr_hook::wire::{self, Op, Request};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a line stays before it is handed over: a hook that tells the same is the better witness.
const SETTLED: Duration = Duration::from_secs(2);
/// It ends when nothing has changed for so long; the next session starts one again.
const IDLE: Duration = Duration::from_secs(3_600);
/// How long the recorder may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `fdr watch`.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Detach from the terminal's session.
    #[arg(long)]
    background: bool,
    /// Hand over what there is now, and end.
    #[arg(long)]
    once: bool,
}

/// How far a file was handed over.
#[derive(Default)]
struct Seen {
    len: u64,
    since: Option<Instant>,
    sent: u64,
}

/// Watches until nothing has changed for an hour.
///
/// # Errors
/// When there is no recorder of the machine, or it refuses.
pub fn run(args: &WatchArgs, home: &Home) -> anyhow::Result<u8> {
    if home.system().is_none() {
        bail!("{} is no recorder of the machine: it reads transcripts by itself", home.dir().display());
    }
    if args.background {
        let _ = rustix::process::setsid();
    }
    let state = std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set")?.join(".local/state");
    std::fs::create_dir_all(&state)?;
    let lock = File::options().create(true).truncate(false).write(true).open(state.join("fdr-watch.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(0),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let source = spool::new_source()?;
    let (mut seq, mut seen, mut changed) = (0, HashMap::<PathBuf, Seen>::new(), Instant::now());
    while changed.elapsed() < IDLE {
        // One that restarts is waited for.
        if let Ok(mut client) = Client::connect(home.front()) {
            let response = client.call(&Request::control(Op::Transcripts), Some(Instant::now() + TIMEOUT))?;
            let known: Vec<(String, String, PathBuf)> = serde_json::from_slice(&response.stdout)?;
            for (_, runtime, file) in known {
                for path in sidecars(&file).unwrap_or_default() {
                    let Ok(metadata) = std::fs::metadata(&path) else { continue };
                    let seen = seen.entry(path.clone()).or_default();
                    if seen.len != metadata.len() {
                        (seen.len, seen.since) = (metadata.len(), Some(Instant::now()));
                    }
                    let is_settled = args.once || seen.since.is_some_and(|since| since.elapsed() >= SETTLED);
                    if !is_settled || seen.sent == seen.len {
                        continue;
                    }
                    let Ok(mut bytes) = std::fs::read(&path) else { continue };
                    bytes.truncate(seen.len as usize);
                    let sent = bytes.len() as u64;
                    let name = path.to_string_lossy();
                    let mut request = Request::event(&runtime, &name, source, seq, bytes);
                    request.op = Op::Import;
                    request.variables.push((wire::WATCHED_VARIABLE.to_owned(), "1".to_owned()));
                    seq += 1;
                    let response = client.call(&request, Some(Instant::now() + TIMEOUT))?;
                    if !response.recorded {
                        bail!("{name} is not recorded: {}", String::from_utf8_lossy(&response.stderr));
                    }
                    (seen.sent, changed) = (sent, Instant::now());
                }
            }
        }
        if args.once {
            break;
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(0)
}
