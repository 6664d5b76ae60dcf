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
    /// Transcripts: files, databases, and folders, of which all below is read (`*.jsonl`, and databases);
    /// the sub-agents' transcripts beside a file are found by themselves.
    #[arg(required = true, value_name = "FILE|FOLDER|DATABASE")]
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
    let mut client = Client::connect_or_start(home.front(), Instant::now() + START_TIMEOUT)?;
    let source = spool::new_source()?;
    let mut files: Vec<Transcript> = Vec::new();
    for path in paths(&args.files)? {
        let name = path.to_string_lossy().into_owned();
        if let Some((database, session)) = transcript_store::split(&name).filter(|_| !path.exists()) {
            let read = transcript_store::read(&args.runtime, &database, Some(session));
            files.extend(read.map_err(anyhow::Error::msg)?);
        } else if transcript_store::is_database(&path) {
            files.extend(transcript_store::read(&args.runtime, &path, None).map_err(anyhow::Error::msg)?);
        } else {
            for path in sidecars(&path).unwrap_or(vec![path]) {
                let file = path.to_string_lossy().into_owned();
                if files.iter().all(|known| known.file != file) {
                    let bytes = std::fs::read(&path).with_context(|| format!("can't read {file}"))?;
                    files.push(Transcript { file, bytes });
                }
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

/// The files that are named, and those below the folders that are.
fn paths(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in named {
        let path = std::path::absolute(path)?;
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let (mut folders, mut files) = (vec![path.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            let entries =
                std::fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
            for entry in entries {
                let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
                // A link may lead out of the folder, or in a circle.
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file()
                    && (path.extension().is_some_and(|extension| extension == "jsonl")
                        || transcript_store::is_database(&path))
                {
                    files.push(path);
                }
            }
        }
        if files.is_empty() {
            bail!("there is no transcript (*.jsonl, or a database) below {}", path.display());
        }
        files.sort();
        found.extend(files);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_transcripts_below_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/2.jsonl", "a.jsonl", "notes.txt"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}\n").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("circle")).unwrap();
        let found = paths(&[dir.path().to_owned(), dir.path().join("notes.txt")]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(names, ["a.jsonl", "b/2.jsonl", "notes.txt"].map(std::path::Path::new));
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(paths(&[dir.path().join("empty")]).is_err());
    }
}
