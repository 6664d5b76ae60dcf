//! `fdr import`: reads the transcripts that a runtime keeps on disk into the trail.

use crate::home::Home;
use anyhow::{Context, bail};
use fdr_hook::client::Client;
use fdr_hook::spool;
use fdr_hook::wire::{Op, Request};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for a recorder to be started.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads transcripts that a runtime keeps on disk into the trail; what is known already is not
/// taken in twice.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The runtime: claude-code, codex, gemini-cli, hermes, opencode, openclaw
    pub runtime: String,
    /// Transcript files; the sub-agents' transcripts beside one are found by themselves.
    #[arg(required = true, value_name = "TRANSCRIPT")]
    pub files: Vec<PathBuf>,
}

/// `fdr import`.
///
/// # Errors
/// When a file can't be read, or the recorder can't record it.
pub fn run(args: &ImportArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    if fdr_capture::runtime(&args.runtime).is_none_or(|runtime| runtime.import.is_none()) {
        let readable = fdr_capture::RUNTIMES.into_iter().filter(|runtime| runtime.import.is_some());
        let readable: Vec<&str> = readable.map(|runtime| runtime.name).collect();
        bail!(
            "transcripts of '{}' can't be read\n  known are: {}",
            crate::text::line(&args.runtime),
            readable.join(", ")
        );
    }
    let mut client = Client::connect_or_start(home.dir(), Instant::now() + START_TIMEOUT)?;
    let source = spool::new_source()?;
    let mut files = Vec::new();
    for file in &args.files {
        files.push(file.clone());
        files.extend(subagent_transcripts(file)?);
    }
    let mut seq = 0;
    for file in &files {
        let bytes = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        let path = std::path::absolute(file)?.to_string_lossy().into_owned();
        let (mut records, mut span) = (0, None);
        // A large transcript is taken in by several steps; the last one finds nothing new.
        loop {
            let mut request = Request::event(&args.runtime, &path, source, seq, bytes.clone());
            request.op = Op::Import;
            seq += 1;
            let response = client.call(&request, None)?;
            if !response.recorded {
                bail!("{} is not recorded: {}", file.display(), String::from_utf8_lossy(&response.stderr));
            }
            if response.count == 0 {
                break;
            }
            records += response.count;
            let first = span.map_or(response.index, |(first, _)| first);
            span = Some((first, response.index + u64::from(response.count) - 1));
        }
        let new = match span {
            None => "nothing new".to_owned(),
            Some((first, last)) => format!("{records} records, {first}–{last}"),
        };
        writeln!(out, "{}  {new}", crate::text::line(&file.display().to_string()))?;
    }
    Ok(0)
}

/// Claude Code keeps them in `<session>/subagents/` beside `<session>.jsonl`.
pub fn subagent_transcripts(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = file.with_extension("").join("subagents");
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
