//! `fdr export`: the log in a form that other people's tools read.

use crate::admin::{self, Ask};
use crate::control;
use crate::home::{Home, open_reader};
use crate::text::{self, counted};
use crate::verify::folder_key;
use anyhow::Context;
use fdr_log::{Exported, Reader, SignedCheckpoint};
use fdr_record::Access;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Options of `fdr export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Write the log into this folder as C2SP tlog-tiles: a signed checkpoint, tiles of hashes and the records.
    /// A folder with an earlier export of the same log is extended
    #[arg(long, value_name = "DIR", required = true)]
    pub tlog: PathBuf,
    /// Export this log folder instead of the recorder's
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
}

/// `fdr export`.
///
/// # Errors
/// When there is no log or no checkpoint, the log is damaged, or the folder holds something else.
pub fn run(args: &ExportArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (reader, note, key) = match &args.log {
        Some(log) => {
            let reader = Reader::open(log).with_context(|| format!("can't read {}", log.display()))?;
            let checkpoint = reader.checkpoint()?.context("the log has no checkpoint")?;
            let key = reader.verifier().clone();
            (reader, checkpoint.note().to_owned(), key)
        }
        None => {
            let mut note = Vec::new();
            if control::query_status(home)?.is_some() {
                let access = Access {
                    what: "tlog".to_owned(),
                    filter: "the whole log, without contents".to_owned(),
                    records: open_reader(home)?.len(),
                    ..Access::default()
                };
                admin::ask::<()>(home, &Ask::Access(access))?;
            }
            // Of a running recorder: over all that it has.
            control::checkpoint(home, &mut note)?;
            let key = folder_key(home, &home.log())?;
            (open_reader(home)?, String::from_utf8(note)?, key)
        }
    };
    let checkpoint = SignedCheckpoint::open(&note, &key).context("the log's checkpoint is not genuine")?;
    let bar = std::io::stderr().is_terminal();
    let mut progress = |records: u64| {
        if bar {
            eprint!("\r\x1b[Kexporting  {:3} %", records * 100 / checkpoint.size().max(1));
        }
    };
    let exported = fdr_log::export_tiles(&reader, &checkpoint, &args.tlog, &mut progress);
    if bar {
        eprint!("\r\x1b[K");
    }
    let Exported { records, written, kept } = exported?;
    let dir = text::line(&args.tlog.display().to_string());
    writeln!(out, "exported      {} to {dir}, under a checkpoint", counted(records, "record"))?;
    writeln!(out, "files         {written} written, {kept} there already")?;
    let later = reader.refresh()?.saturating_sub(records);
    if later > 0 {
        writeln!(out, "not exported  {} recorded since that checkpoint", counted(later, "record"))?;
    }
    writeln!(out, "key           {key}")?;
    writeln!(out, "to check it   verifiers/verify.py {dir} '{key}'")?;
    Ok(0)
}
