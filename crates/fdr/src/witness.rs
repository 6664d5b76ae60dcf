//! Witnesses: other hosts that sign the log's newest checkpoint only if it continues what they signed before.
//!
//! Somebody who holds the log's key can cut off its end or write it anew; he can't make a witness sign that. The
//! protocol is C2SP tlog-witness, so any such witness serves; `fdr witness serve` is a small one.
//!
//! `server.rs` is the witness, `shelf.rs` its memory; `client.rs` is the recorder's side, `courier.rs` what it asks and
//! what answers mean.

pub mod client;
mod courier;
pub mod evidence;
mod server;
mod shelf;
#[cfg(test)]
mod sim;

use crate::home::Home;
use anyhow::{Context, ensure};
use fdr_log::{SignedCheckpoint, VerifierKey, WitnessKey};
use serde::Deserialize;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The section `[witness]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who is asked.
    pub witnesses: Vec<Trusted>,
    /// How many must have signed for a record to count as witnessed. Default: all.
    #[serde(default)]
    pub quorum: Option<usize>,
}

/// A witness that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    /// Its address, without `/add-checkpoint`.
    pub url: String,
    /// Its public key (`name+id+key`).
    #[serde(deserialize_with = "parse_key")]
    pub key: WitnessKey,
}

fn parse_key<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<WitnessKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| serde::de::Error::custom(format!("'{text}' is no witness's key: {error}")))
}

impl Settings {
    /// Whether the values can be used.
    ///
    /// # Errors
    /// When not.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.witnesses.is_empty(), "witness: witnesses must name at least one");
        for trusted in &self.witnesses {
            let url = &trusted.url;
            ensure!(
                url.starts_with("http://") || url.starts_with("https://"),
                "witness: the url {url} must begin with http:// or https://"
            );
            let same = self.witnesses.iter().filter(|other| other.key == trusted.key).count();
            ensure!(same == 1, "witness: {} is named twice", trusted.key.name());
        }
        ensure!(
            (1..=self.witnesses.len()).contains(&self.quorum()),
            "witness: quorum must be from 1 to {}",
            self.witnesses.len()
        );
        Ok(())
    }

    /// How many must have signed.
    pub fn quorum(&self) -> usize {
        self.quorum.unwrap_or(self.witnesses.len())
    }
}

/// Where cosigned checkpoints are kept, the newest of each witness.
pub fn folder(home: &Home) -> PathBuf {
    home.dir().join("witnessed")
}

/// A cosigned checkpoint, and when it was cosigned, in seconds since 1970.
pub type Cosigned = (SignedCheckpoint, u64);

/// What is kept of the witnesses' cosignatures of this log; what is not good is not there.
pub fn kept(home: &Home, settings: &Settings, key: &VerifierKey) -> Vec<(Trusted, Cosigned)> {
    let notes = kept_notes(home);
    let good = settings.witnesses.iter().filter_map(|trusted| {
        let newest = notes.iter().filter(|note| note.verify(key).is_ok()).filter_map(|note| {
            let time = trusted.key.cosigned(note).ok()??;
            Some((note.clone(), time))
        });
        Some((trusted.clone(), newest.max_by_key(|(note, _)| note.size())?))
    });
    good.collect()
}

/// All cosigned checkpoints that are kept, unchecked.
pub fn kept_notes(home: &Home) -> Vec<SignedCheckpoint> {
    let files = std::fs::read_dir(folder(home)).into_iter().flatten().flatten();
    let notes = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "note"));
    notes
        .filter_map(|file| SignedCheckpoint::parse(&std::fs::read_to_string(file.path()).ok()?).ok())
        .collect()
}

/// `fdr checkpoint --witnessed`: of the checkpoints that are kept the one that covers most, with every witness's line.
///
/// # Errors
/// When there is none.
pub fn print_newest(home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let notes = kept_notes(home);
    let newest = notes.iter().max_by_key(|note| note.size());
    let mut newest =
        newest.context("no witness has signed a checkpoint yet; see [witness] in: fdr config")?.clone();
    let body = newest.body().to_owned();
    for line in notes.iter().filter(|other| other.body() == body).flat_map(SignedCheckpoint::signature_lines)
    {
        if !newest.note().contains(line) {
            newest = newest.with_line(line)?;
        }
    }
    out.write_all(newest.note().as_bytes())?;
    Ok(0)
}

/// Be a witness for other hosts' logs.
#[derive(Debug, clap::Args)]
pub struct WitnessArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Answer recorders, until stopped. It signs only for logs that were added
    Serve {
        /// The witness's own folder: its key, and what it has signed. Never put back an old copy of it
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Its name, when it is new
        #[arg(long)]
        name: Option<String>,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7411")]
        listen: SocketAddr,
    },
    /// Print a witness's public key, which recorders need; made if it is new
    Key {
        /// The witness's folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Its name, when it is new
        #[arg(long)]
        name: Option<String>,
    },
    /// Sign for a log from now on
    AddLog {
        /// The witness's folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The log's public key (name+id+key): keys/log.pub in its recorder's folder
        key: String,
    },
}

/// `fdr witness`.
///
/// # Errors
/// When the folder can't be used, or the address can't be listened on.
pub fn run(args: &WitnessArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    match &args.action {
        Action::Serve { dir, name, listen } => {
            server::serve(dir, name.as_deref(), *listen, &mut |witness, address| {
                if let Ok(key) = witness.public() {
                    let _ = writeln!(out, "witness   {key}");
                }
                let _ = writeln!(out, "listening on http://{address}");
                if !address.ip().is_loopback() {
                    let _ = writeln!(
                        out,
                        "          from other hosts too, without encryption: what is signed is not secret"
                    );
                }
                let _ = out.flush();
            })?;
        }
        Action::Key { dir, name } => writeln!(out, "{}", server::open(dir, name.as_deref())?.public()?)?,
        Action::AddLog { dir, key } => {
            let key: VerifierKey =
                key.trim().parse().context("this is not a log's public key (name+id+key)")?;
            server::open(dir, None)?;
            let origin = key.name().to_owned();
            server::add_log(dir, key)?;
            writeln!(out, "checkpoints of {} are signed from now on", crate::text::line(&origin))?;
        }
    }
    Ok(0)
}
