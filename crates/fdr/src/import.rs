//! `fdr import`: reads the transcripts that a runtime keeps on disk into the trail.

use crate::home::Home;
use crate::transcript_store::{self, Transcript};
use crate::transcripts::sidecars;
use anyhow::{Context, bail};
use fdr_hook::client::Client;
use fdr_hook::spool;
use fdr_hook::wire::{Op, Request};
use std::io::Write;
use std::path::PathBuf;
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
        let path = std::path::absolute(file)?;
        let name = path.to_string_lossy().into_owned();
        if let Some((database, session)) = transcript_store::split(&name).filter(|_| !path.exists()) {
            let read = transcript_store::read(&args.runtime, &database, Some(session));
            files.extend(read.map_err(anyhow::Error::msg)?);
        } else if transcript_store::is_database(&path) {
            files.extend(transcript_store::read(&args.runtime, &path, None).map_err(anyhow::Error::msg)?);
        } else {
            for path in sidecars(&path).unwrap_or(vec![path]) {
                let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
                files.push(Transcript { file: path.to_string_lossy().into_owned(), bytes });
            }
        }
    }
    for (seq, Transcript { file: path, bytes }) in files.into_iter().enumerate() {
        let mut request = Request::event(&args.runtime, &path, source, seq as u64, bytes);
        request.op = Op::Import;
        let response = client.call(&request, None)?;
        if !response.recorded {
            bail!("{path} is not recorded: {}", String::from_utf8_lossy(&response.stderr));
        }
        let new = match response.count {
            0 => "nothing new".to_owned(),
            records => {
                format!("{records} records, {}–{}", response.index, response.index + u64::from(records) - 1)
            }
        };
        writeln!(out, "{}  {new}", crate::text::line(&path))?;
    }
    Ok(0)
}
