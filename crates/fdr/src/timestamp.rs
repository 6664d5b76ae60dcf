//! Time-stamps: a third party (RFC 3161) states when it saw a checkpoint of the log.
//!
//! Every some minutes the recorder has the newest checkpoint stamped. What is stamped is the signed note, as a file, so
//! that `openssl ts -verify` needs nothing else. Note and token are in the folder `timestamps/`, for copying elsewhere,
//! and in the log as the content of an `anchor` record.

pub mod authority;
pub mod keeper;
pub mod token;

use crate::admin::{self, Ask};
use crate::home::{Home, open_reader};
use crate::text::{self, Look, LookArgs, counted};
use anyhow::{Context, bail, ensure};
use fdr_log::{Agreement, Compared, SignedCheckpoint};
use fdr_record::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use token::{Roots, Stamp};

/// The section `[timestamp]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the authority (`http://…` or `https://…`).
    pub url: String,
    /// File with the certificates (PEM) that its tokens must lead to; a relative path is beside the configuration.
    pub ca: PathBuf,
    /// How often, in minutes, 1 to 1440. Default: 15.
    #[serde(default = "fifteen")]
    pub every_minutes: u32,
}

fn fifteen() -> u32 {
    15
}

impl Settings {
    /// Whether the values can be used.
    ///
    /// # Errors
    /// When not, with what to write instead.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.url.starts_with("http://") || self.url.starts_with("https://"),
            "timestamp: url must begin with http:// or https://"
        );
        ensure!((1..=1440).contains(&self.every_minutes), "timestamp: every_minutes must be from 1 to 1440");
        Ok(())
    }

    /// Reads the trusted certificates.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn roots(&self, home: &Home) -> anyhow::Result<Roots> {
        let config = home.config();
        read_roots(&config.parent().unwrap_or(home.dir()).join(&self.ca))
    }
}

fn read_roots(path: &Path) -> anyhow::Result<Roots> {
    let pem = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    Roots::parse(&pem).with_context(|| format!("{} can't be used", path.display()))
}

/// Have checkpoints time-stamped, and show what was.
#[derive(Debug, clap::Args)]
pub struct TimestampArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Have the newest checkpoint time-stamped now.
    Now,
    /// List the time-stamps, checked.
    List {
        /// Certificates (PEM) to trust; those of the configuration otherwise.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What the recorder answers to [`Ask::Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// Size of the checkpoint.
    pub size: u64,
    /// The time that the authority states.
    pub time: Timestamp,
    /// Address of the authority.
    pub by: String,
}

/// `fdr timestamp`.
///
/// # Errors
/// When no authority is configured, it gives no good token, or the files can't be read.
pub fn run(args: &TimestampArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match &args.action {
        Action::Now => {
            let stamped: Stamped = admin::ask(home, &Ask::Timestamp)?;
            writeln!(
                out,
                "time-stamped  {} at {} by {}\nkept in       {}",
                counted(stamped.size, "record"),
                stamped.time,
                text::line(&stamped.by),
                stem(home, stamped.size).with_extension("tsr").display()
            )?;
            Ok(0)
        }
        Action::List { ca, json } => list(home, ca.as_deref(), *json, out),
    }
}

fn list(home: &Home, ca: Option<&Path>, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    open_reader(home)?;
    let roots = match ca {
        Some(path) => read_roots(path)?,
        None => match crate::config::Config::load(home)?.timestamp {
            Some(settings) => settings.roots(home)?,
            None => bail!(
                "no authority is configured\n  give its certificates with --ca, or see [timestamp] in: fdr config"
            ),
        },
    };
    let kept = Kept::read(&folder(home))?;
    let look = Look::new(&LookArgs::default());
    let mut is_good = true;
    for pair in &kept {
        let checked = pair.check(&roots);
        is_good &= checked.is_ok();
        if json {
            let line = serde_json::json!({
                "size": pair.checkpoint.size(),
                "file": pair.path,
                "time": checked.as_ref().ok().map(|stamp| stamp.time),
                "accuracy_millis": checked.as_ref().ok().and_then(|stamp| stamp.accuracy_millis),
                "signer": checked.as_ref().ok().map(|stamp| &stamp.signer),
                "problem": checked.as_ref().err().map(ToString::to_string),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        match checked {
            Ok(stamp) => writeln!(
                out,
                "{:>10} records  {}  {}",
                pair.checkpoint.size(),
                look.day_and_minute(stamp.time),
                text::line(&stamp.signer)
            )?,
            Err(error) => writeln!(out, "{:>10} records  NOT GOOD: {error}", pair.checkpoint.size())?,
        }
    }
    if kept.is_empty() && !json {
        writeln!(out, "no time-stamps in {}", folder(home).display())?;
    }
    Ok(u8::from(!is_good || kept.is_empty()))
}

/// Where notes and tokens are kept.
pub fn folder(home: &Home) -> PathBuf {
    home.dir().join("timestamps")
}

/// The files of a stamped checkpoint, without what tells note (`.note`) from token (`.tsr`).
fn stem(home: &Home, size: u64) -> PathBuf {
    // Padded, so that the newest is the last one in a listing.
    folder(home).join(format!("{size:012}"))
}

/// A checkpoint with its token, as files.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The token's file.
    pub path: PathBuf,
    /// What was stamped.
    pub checkpoint: SignedCheckpoint,
    note: Vec<u8>,
    reply: Vec<u8>,
}

impl Kept {
    /// Reads all pairs in a folder, the oldest first. A folder that is not there has none.
    ///
    /// # Errors
    /// When a file can't be read, or a token has no note beside it.
    pub fn read(folder: &Path) -> anyhow::Result<Vec<Kept>> {
        let files = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.with_context(|| format!("can't read {}", folder.display()))?,
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for file in files {
            paths.push(file?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "tsr"));
        let mut kept = paths.into_iter().map(Kept::read_one).collect::<anyhow::Result<Vec<_>>>()?;
        kept.sort_by_key(|kept| kept.checkpoint.size());
        Ok(kept)
    }

    fn read_one(path: PathBuf) -> anyhow::Result<Kept> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("can't read {}", path.display()));
        let reply = read(&path)?;
        let beside = path.with_extension("note");
        let note = read(&beside).context("a time-stamp is useless without what was stamped")?;
        let checkpoint = std::str::from_utf8(&note).ok().and_then(|text| SignedCheckpoint::parse(text).ok());
        let checkpoint = checkpoint.with_context(|| format!("{} is not a checkpoint", beside.display()))?;
        Ok(Kept { path, checkpoint, note, reply })
    }

    /// The authority's reply.
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// Whether the token is good, and of this checkpoint.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, roots: &Roots) -> Result<Stamp, token::TokenError> {
        token::check(&self.reply, &Sha256::digest(&self.note).into(), None, roots)
    }
}

/// Time-stamps held against a log by `fdr verify`.
#[derive(Debug, Default)]
pub struct Held {
    kept: Vec<Kept>,
    roots: Option<(Roots, &'static str)>,
}

/// What they prove of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Good tokens of checkpoints that the log agrees with.
    pub good: usize,
    /// What is wrong with the others, file by file.
    pub bad: Vec<String>,
    /// Tokens that were not checked: there is no certificate to trust, or what was stamped is pruned or damaged.
    pub unchecked: usize,
    /// Of the good one that covers most: records, time, signer, and whose word it was that this signer is trusted.
    pub newest: Option<(u64, Timestamp, String, &'static str)>,
}

impl Held {
    /// Reads those of a folder, and the certificates to trust.
    ///
    /// # Errors
    /// When either can't be read.
    pub fn read(home: &Home, given: Option<&Path>, ca: Option<&Path>, is_own: bool) -> anyhow::Result<Held> {
        let own = folder(home);
        let from = given.or(is_own.then_some(own.as_path()));
        let kept = from.map_or(Ok(Vec::new()), Kept::read)?;
        if let Some(folder) = given {
            ensure!(!kept.is_empty(), "there is no time-stamp (*.tsr) in {}", folder.display());
        }
        let roots = match ca {
            Some(path) => Some((read_roots(path)?, "the certificate given")),
            None if kept.is_empty() || !is_own => None,
            None => match crate::config::Config::load(home)?.timestamp {
                Some(settings) => {
                    Some((settings.roots(home)?, "the certificate in this folder's configuration"))
                }
                None => None,
            },
        };
        Ok(Held { kept, roots })
    }

    /// The checkpoints that were stamped, to hold the log against.
    pub fn checkpoints(&self) -> impl Iterator<Item = SignedCheckpoint> + '_ {
        self.kept.iter().map(|kept| kept.checkpoint.clone())
    }

    /// Says what they prove; `found` is how the log agrees with [`checkpoints`](Self::checkpoints).
    pub fn standing(&self, found: &[Compared]) -> Standing {
        let mut standing = Standing::default();
        for (kept, found) in self.kept.iter().zip(found) {
            let size = kept.checkpoint.size();
            let mut bad = |why: String| standing.bad.push(format!("{}: {why}", kept.path.display()));
            let stamp = match &self.roots {
                None => None,
                Some((roots, whose)) => match kept.check(roots) {
                    Ok(stamp) => Some((stamp, *whose)),
                    Err(error) => {
                        bad(error.to_string());
                        continue;
                    }
                },
            };
            let when =
                stamp.as_ref().map_or("this was stamped".to_owned(), |(stamp, _)| stamp.time.to_string());
            match (&found.agreement, stamp) {
                (Agreement::Agrees, Some((stamp, whose))) => {
                    standing.good += 1;
                    standing.newest = Some((size, stamp.time, stamp.signer, whose));
                }
                (Agreement::Agrees, None) | (Agreement::Unknown, _) => standing.unchecked += 1,
                (Agreement::NotGenuine(error), _) => {
                    bad(format!("what was stamped is not this log's: {error}"))
                }
                _ => bad(format!(
                    "the log is not what it was when {when}: its first {size} records are others, or fewer"
                )),
            }
        }
        standing
    }
}

impl Standing {
    /// Says it for people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.bad.iter().map(|bad| format!("NOT GOOD: {bad}")).collect();
        if let Some((size, time, signer, whose)) = &self.newest {
            lines.push(format!(
                "{} good; the newest: records 0–{} stood as they are at {time}, says {signer} ({whose})",
                self.good,
                size.saturating_sub(1)
            ));
        }
        if self.unchecked > 0 {
            lines.push(format!(
                "{} not checked (give the authority's certificate with --timestamp-ca; what is pruned can't be)",
                self.unchecked
            ));
        }
        lines
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "good": self.good,
            "bad": self.bad,
            "unchecked": self.unchecked,
            "newest": self.newest.as_ref().map(|(size, time, signer, _)| serde_json::json!({
                "size": size, "time": time, "signer": signer,
            })),
        })
    }
}
