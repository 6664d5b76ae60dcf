//! Evidence bundles: some records with all that proves them, in one file that somebody without `fdr` can check.
//!
//! What is in the file is in docs/bundles.md. `write.rs` makes one, `check.rs` checks one, `timeline.rs` is the page for
//! people.

mod check;
mod timeline;
mod write;

use crate::filter::FilterArgs;
use crate::home::Home;
use crate::text;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// The form of a bundle, as its manifest names it.
pub const FORMAT: &str = "fdr-bundle-v1";
/// The files that came into being after the manifest, and prove it.
pub const LATER: [&str; 4] =
    ["manifest.json", "custody.jsonl", "checkpoints/log.note", "checkpoints/log.proof"];

/// Pack records and their proofs for somebody else, or check such a file.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BundleArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    write: WriteArgs,
}

/// What to pack.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    /// The session, or a unique beginning of its id; with all sub-agents. Without it the filters choose
    #[arg(value_name = "SESSION")]
    pub subject: Option<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", required = true)]
    pub output: Option<PathBuf>,
    /// Leave out contents of these roles (args, result, prompt, thinking …; several: a,b), or of all. Their digests and
    /// proofs stay
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub withhold: Vec<String>,
    /// Why it is made; recorded with who made it
    #[arg(long)]
    pub reason: Option<String>,
    /// Which records, without a session
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check a bundle. Exit status: 0 everything in it is proven, 1 not, 2 it could not be checked
    Verify {
        /// The bundle
        file: PathBuf,
        /// The log's public key (`name+id+key`), kept elsewhere. Without it the key in the bundle is used
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The version of `fdr`.
    pub version: String,
    /// When it was made, by the exporter's clock.
    pub made: fdr_record::Timestamp,
    /// Login name or uid of who made it, and on which host.
    pub by: String,
    /// Host.
    pub host: String,
    /// What was chosen.
    pub filter: String,
    /// Why, as said by who made it.
    pub reason: Option<String>,
    /// The log's name.
    pub origin: String,
    /// The log's public key.
    pub key: String,
    /// Records, without the one that tells of the export.
    pub records: u64,
    /// Place in the log of each, in the order of records.jsonl.
    pub places: Vec<u64>,
    /// Contents that are in it.
    pub contents: u64,
    /// Contents that are not, and why.
    pub withheld: Vec<Withheld>,
    /// SHA-256 of every other file, but for those that prove this one.
    pub files: BTreeMap<String, String>,
    /// What the bundle does not prove.
    pub not_proven: Vec<String>,
}

/// A content that is not in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Place of its record.
    pub record: u64,
    /// What it is to the record.
    pub role: String,
    /// Its digest in the record.
    pub digest: String,
    /// Why.
    pub why: String,
}

/// `fdr bundle`.
///
/// # Errors
/// When nothing matches, the recorder can't be asked, or the file can't be written or read.
pub fn run(args: &BundleArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match &args.action {
        None => write::run(&args.write, home, out),
        Some(Action::Verify { file, key, json }) => {
            let bytes =
                std::fs::File::open(file).with_context(|| format!("can't read {}", file.display()))?;
            let report = check::check(bytes, key.as_deref())?;
            if *json {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            } else {
                for (title, line) in report.lines() {
                    writeln!(out, "{title:<13} {}", text::line(&line))?;
                }
            }
            Ok(u8::from(!report.problems.is_empty()))
        }
    }
}
