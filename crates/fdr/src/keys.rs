//! The keys that contents are sealed under, and `fdr keys`.
//!
//! Each session has a key of its own, which lies in `keys/content` wrapped under one key-encryption key (KEK). Destroying
//! a session's key destroys what was recorded of its contents, wherever a copy of the log is: see `erase.rs`. A key is on
//! disk before anything that is sealed under it.

mod kek;
mod ring;
mod vault;

pub use ring::{Fill, Listed, Ring, Scope};
pub use vault::Vault;

use crate::admin::{Ask, ask};
use crate::config::Config;
use crate::home::Home;
use crate::text;
use anyhow::ensure;
use kek::KekFile;
use serde::Deserialize;
use std::io::Write;
use std::path::PathBuf;

/// The section `[keys]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether contents are sealed, so that they can be erased. Default: yes.
    pub seal_content: bool,
    /// What keeps the key that the sessions' keys are wrapped under.
    pub kek: KekKind,
    /// `passphrase`: a file with it; a relative name is below the recorder's folder.
    pub passphrase_file: Option<PathBuf>,
    /// `passphrase`: a command that prints it.
    pub passphrase_command: Vec<String>,
    /// `command`: gets the key in base64 on its standard input and prints it wrapped.
    pub wrap: Vec<String>,
    /// `command`: gets what `wrap` printed, and prints the key again.
    pub unwrap: Vec<String>,
}

/// See [`Settings::kek`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KekKind {
    /// A file of the recorder's user.
    #[default]
    File,
    /// A passphrase, by argon2id.
    Passphrase,
    /// A command, for an external key management service.
    Command,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seal_content: true,
            kek: KekKind::File,
            passphrase_file: None,
            passphrase_command: Vec::new(),
            wrap: Vec::new(),
            unwrap: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether the section makes sense.
    ///
    /// # Errors
    /// When something is missing, or has no effect.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.kek == KekKind::Command {
            ensure!(
                !self.wrap.is_empty() && !self.unwrap.is_empty(),
                "[keys] kek = \"command\" needs wrap and unwrap"
            );
        } else {
            ensure!(
                self.wrap.is_empty() && self.unwrap.is_empty(),
                "[keys] wrap and unwrap are for kek = \"command\""
            );
        }
        let given =
            usize::from(self.passphrase_file.is_some()) + usize::from(!self.passphrase_command.is_empty());
        ensure!(given < 2, "[keys] passphrase_file and passphrase_command: give one of them");
        ensure!(
            given == 0 || self.kek == KekKind::Passphrase,
            "[keys] passphrase_file and passphrase_command are for kek = \"passphrase\""
        );
        Ok(())
    }
}

/// `fdr keys`.
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what keeps the keys, and whether they can be used.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wrap every session's key under a new key-encryption key, kept as [keys] in the configuration says.
    Rewrap,
}

/// Fills with random bytes.
fn fill_random(bytes: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))
}

/// Carries out the command.
///
/// # Errors
/// When the keys can't be read, or the recorder refuses.
pub fn run(args: &KeysArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match args.command {
        Command::Status { json } => status(home, json, out),
        Command::Rewrap => {
            let moved: u64 = ask(home, &Ask::Rewrap)?;
            writeln!(out, "{} wrapped under a new key-encryption key", text::counted(moved, "session key"))?;
            Ok(0)
        }
    }
}

fn status(home: &Home, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let config = Config::load(home)?;
    let ring = Ring::new(home.dir());
    let keys = ring.list()?;
    let sessions = keys.iter().filter(|key| !key.is_spare()).count() as u64;
    let kek = KekFile::read(&ring.kek_path())?;
    let opened = kek.as_ref().map(|kek| kek.open().map(drop).map_err(|error| format!("{error:#}")));
    let back = crate::erase::Erased::read(home)?.back(&keys);
    let elsewhere = kek.as_ref().is_some_and(|kek| kek.kind() != config.keys.kek);
    let lost = match &kek {
        None => keys.len() as u64,
        Some(kek) => ring.by_kek()?.iter().filter(|(id, _)| **id != kek.id).map(|(_, count)| count).sum(),
    };
    let problem = matches!(opened, Some(Err(_))) || lost > 0 || !back.is_empty();
    if json {
        let status = serde_json::json!({
            "seal_content": config.keys.seal_content,
            "kek": kek.as_ref().map(|kek| &kek.id),
            "kept_by": kek.as_ref().map(KekFile::kept_by),
            "opens": opened.as_ref().map(Result::is_ok),
            "problem": opened.and_then(Result::err),
            "keys": sessions,
            "under_another_kek": lost,
            "erased_and_back": back,
        });
        serde_json::to_writer(&mut *out, &status)?;
        writeln!(out)?;
        return Ok(u8::from(problem));
    }
    let sealing = if config.keys.seal_content { "yes" } else { "no (seal_content = false)" };
    writeln!(out, "sealing       {sealing}")?;
    match &kek {
        None => writeln!(out, "KEK           none yet: it is made when the recorder starts")?,
        Some(kek) => writeln!(out, "KEK           {}, kept by {}", kek.id, text::line(&kek.kept_by()))?,
    }
    match opened {
        Some(Ok(())) => writeln!(out, "opens         yes")?,
        Some(Err(error)) => writeln!(out, "OPENS         NO: {}", text::line(&error))?,
        None => {}
    }
    writeln!(out, "keys          {}", text::counted(sessions, "session key"))?;
    if lost > 0 {
        writeln!(out, "LOST          {lost} of them are wrapped under another KEK, which is not there")?;
    }
    if elsewhere {
        writeln!(out, "config        [keys] kek says otherwise; to change over:  fdr keys rewrap")?;
    }
    for kid in &back {
        writeln!(
            out,
            "ERASED        the key {kid} was erased and is there again (from a backup?); erase it again"
        )?;
    }
    Ok(u8::from(problem))
}
