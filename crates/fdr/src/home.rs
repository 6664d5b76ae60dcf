//! The recorder's folder: everything of one recorder lives below it.
//!
//! ```text
//! config.toml     the configuration, written by a person            (see config.rs)
//! log/            the append-only log                               (see crates/log/FORMAT.md)
//! keys/           log.key signs checkpoints, log.pub is its public half,
//!                 content.key makes content digests
//!                 content/ has a key for each session, wrapped under kek   (see keys.rs)
//!                 seal.key seals the next heartbeat                 (see seal.rs)
//! spool/          events that came while no recorder could be reached
//! fdr.sock        where the recorder listens
//! hook.fail       how hooks fail: open or closed                    (written by the recorder)
//! policy.good     a copy of the policy set in force, for a start at which the folders can't be used
//! run-*           where the transcripts of a run of `fdr run` are: links
//! witnessed/      the newest checkpoint that each witness signed    (see witness.rs)
//! timestamps/     checkpoints and what a time-stamp authority says of them (see timestamp.rs)
//! recorder.log    what the recorder itself had to say
//! stopped         size of the log at the last orderly stop
//! ```

use anyhow::{Context, bail, ensure};
use fdr_hook::system::System;
use fdr_log::SigningKey;
use fdr_record::ContentKey;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Paths below the recorder's folder.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    /// The folder by which clients know the machine's recorder, and what it tells.
    system: Option<(PathBuf, System)>,
}

impl Home {
    /// The folder given on the command line, or the default one.
    ///
    /// # Errors
    /// When neither `FDR_HOME` nor `HOME` is set.
    pub fn find(given: Option<&Path>) -> anyhow::Result<Home> {
        let dir = match given {
            Some(dir) => dir.to_owned(),
            None => fdr_hook::default_home()
                .context("neither FDR_HOME nor HOME is set\n  give the recorder's folder with --home")?,
        };
        let dir = std::path::absolute(dir)?;
        Ok(match System::of(&dir) {
            Some(system) => Home { dir: system.home.clone(), system: Some((dir, system)) },
            None => Home { dir, system: None },
        })
    }

    /// The folder that clients name: the recorder's own, unless that is the machine's.
    pub fn front(&self) -> &Path {
        self.system.as_ref().map_or(&self.dir, |(front, _)| front)
    }

    /// What there is to know of the machine's recorder, if this is its.
    pub fn system(&self) -> Option<&System> {
        self.system.as_ref().map(|(_, system)| system)
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether this is the folder that a hook finds by itself in a plain login.
    pub fn is_default(&self) -> bool {
        std::env::var_os("HOME").is_some_and(|home| self.dir == Path::new(&home).join(".local/state/fdr"))
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.front().join("config.toml")
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.system().map_or_else(|| self.dir.join(fdr_hook::client::SOCKET), |system| system.socket.clone())
    }

    /// Left behind by an orderly stop.
    pub fn stopped(&self) -> PathBuf {
        self.dir.join("stopped")
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// Those of making folders.
    pub fn create(&self) -> anyhow::Result<()> {
        for dir in [&self.dir, &self.dir.join("keys")] {
            fdr_hook::client::create_home(dir).with_context(|| format!("can't make {}", dir.display()))?;
        }
        let mode = std::fs::metadata(&self.dir)?.permissions().mode();
        ensure!(
            mode & 0o022 == 0,
            "{} can be written by others (mode {:03o}), who could change what is recorded\n  to put it right:  chmod 700 {}",
            self.dir.display(),
            mode & 0o777,
            self.dir.display()
        );
        Ok(())
    }

    /// The key that signs checkpoints, made at first use.
    ///
    /// # Errors
    /// Those of reading or writing it.
    pub fn signing_key(&self) -> anyhow::Result<SigningKey> {
        let path = self.dir.join("keys/log.key");
        SigningKey::load_or_create(&path).with_context(|| format!("can't use the key {}", path.display()))
    }

    /// Where the public half of that key is, as C2SP vkey text, for whoever checks the log.
    pub fn public_key(&self) -> PathBuf {
        self.dir.join("keys/log.pub")
    }

    /// The key that makes content digests, made at first use.
    ///
    /// # Errors
    /// Those of reading or writing it.
    pub fn content_key(&self) -> anyhow::Result<ContentKey> {
        let path = self.dir.join("keys/content.key");
        let mut bytes = [0; 32];
        match std::fs::File::open(&path) {
            Ok(mut file) => {
                file.read_exact(&mut bytes).with_context(|| format!("{} is damaged", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
                let file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&path);
                let mut file = file.with_context(|| format!("can't write {}", path.display()))?;
                file.write_all(&bytes)?;
                file.sync_all()?;
            }
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        }
        Ok(ContentKey::new(bytes))
    }
}

/// Opens the log for reading, with a word on what to do when there is none.
///
/// # Errors
/// When there is no log, or it can't be read.
pub fn open_reader(home: &Home) -> anyhow::Result<fdr_log::Reader> {
    let log = home.log();
    refuse_others(home.dir())?;
    if !log.is_dir() {
        bail!(
            "there is no log in {}\n  to record your agents:   fdr install --all\n  to see how it works:     fdr demo",
            home.dir().display()
        );
    }
    fdr_log::Reader::open(&log).with_context(|| format!("can't read the log in {}", log.display()))
}

/// Says what to do when a recorder's folder is not this user's to read.
///
/// # Errors
/// When it is not.
pub fn refuse_others(dir: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(dir.join("log")) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bail!(
            "the records in {} are not this user's to read: root and the recorder's own user read them\n  \
             to read them:  sudo -u fdr fdr …",
            dir.display()
        ),
        _ => Ok(()),
    }
}
