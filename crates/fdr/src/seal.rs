//! The forward-secure seal of heartbeats: whoever takes the machine, with all its keys, can't make those of before anew.
//!
//! Each heartbeat is sealed by HMAC-SHA256 under a key of its own. The key of the next one is derived from it, and it is
//! then destroyed (Bellare and Yee, "Forward integrity for secure audit logs", 1997). Who got the key of some epoch
//! beforehand (`fdr seal export`), and keeps it elsewhere, can check every seal from that epoch on: `fdr verify
//! --seal-key`. He could also make them, so he should not be the one who runs the machine.

use crate::admin::{self, Ask};
use crate::durable;
use crate::home::Home;
use anyhow::{Context, bail, ensure};
use fdr_record::{hex, unhex};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Begins the text of a key.
const MAGIC: &str = "fdr-seal-v1";
/// How many epochs a key is derived over at most: a century of heartbeats a second.
const MAX_STEPS: u64 = 1 << 32;
/// What stands for the seal while it is computed.
pub const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The key of one heartbeat.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EpochKey {
    epoch: u64,
    key: [u8; 32],
}

impl std::fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EpochKey({}, ..)", self.epoch)
    }
}

impl EpochKey {
    /// A new one, which nothing is known of.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random(epoch: u64) -> anyhow::Result<EpochKey> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        Ok(EpochKey { epoch, key })
    }

    /// The heartbeat that it seals.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length is a key");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Becomes the key of a later epoch.
    ///
    /// # Errors
    /// When that is an earlier one, or out of reach.
    pub fn evolve_to(&mut self, epoch: u64) -> anyhow::Result<()> {
        let steps = epoch.checked_sub(self.epoch).filter(|steps| *steps < MAX_STEPS);
        let steps =
            steps.with_context(|| format!("no key of epoch {epoch} comes of that of {}", self.epoch))?;
        for _ in 0..steps {
            self.key = self.mac(&[b"fdr seal: the next key"]);
        }
        self.epoch = epoch;
        Ok(())
    }

    /// The line of a heartbeat whose seal is still [`UNSEALED`], sealed.
    pub fn sealed(&self, mut line: Vec<u8>) -> Vec<u8> {
        let seal = hex(&self.mac(&[b"fdr seal: a heartbeat\n", &line]));
        if let Some(at) = place(&line, UNSEALED) {
            line[at..at + seal.len()].copy_from_slice(seal.as_bytes());
        }
        line
    }

    /// Whether a line is as it was sealed with this key.
    pub fn holds(&self, line: &[u8], seal: &str) -> bool {
        let Some(at) = place(line, seal).filter(|_| seal.len() == UNSEALED.len()) else { return false };
        let mut unsealed = line.to_vec();
        unsealed[at..at + seal.len()].copy_from_slice(UNSEALED.as_bytes());
        self.sealed(unsealed) == line
    }

    /// As text, with the name of its log.
    pub fn to_text(&self, origin: &str) -> String {
        format!("{MAGIC} {origin} {} {}\n", self.epoch, hex(&self.key))
    }

    /// Reads [`to_text`](Self::to_text).
    ///
    /// # Errors
    /// When it is something else, or of another log.
    pub fn parse(text: &str, origin: &str) -> anyhow::Result<EpochKey> {
        let mut words = text.split_ascii_whitespace();
        let mut word = || words.next().context("it is not a seal key (make one with: fdr seal export)");
        ensure!(word()? == MAGIC, "it is not a seal key (make one with: fdr seal export)");
        let of = word()?;
        ensure!(of == origin, "it is the seal key of log '{of}', not of '{origin}'");
        let epoch = word()?.parse().context("its epoch is no number")?;
        let key = unhex(word()?).and_then(|bytes| bytes.try_into().ok());
        ensure!(word().is_err(), "there is something behind it");
        Ok(EpochKey { epoch, key: key.context("its key is not 64 hexadecimal digits")? })
    }
}

/// Where the seal stands in a line: as a value, so in quotes.
fn place(line: &[u8], seal: &str) -> Option<usize> {
    let named = format!("\"seal\":\"{seal}\"");
    Some(memchr::memmem::find(line, named.as_bytes())? + "\"seal\":\"".len())
}

/// The recorder's key, of the heartbeat that comes next, on disk.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    origin: String,
    key: EpochKey,
    problem: Option<String>,
}

/// What was found out about the key when the recorder started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the one that comes next.
    Next,
    /// There was none, and no heartbeat either.
    New,
    /// There was none, and the log has heartbeats up to this epoch.
    Lost(u64),
    /// There is something else in its place, which was put aside.
    Damaged(Option<u64>),
    /// It is of a later epoch than the one after the log's last, or the log has none at all: heartbeats are missing.
    Ahead {
        /// The log's last heartbeat.
        last: Option<u64>,
        /// The key's.
        key: u64,
    },
    /// It is of an earlier epoch than the log's last: an old copy was put back.
    Behind {
        /// The log's last heartbeat.
        last: u64,
        /// The key's.
        key: u64,
    },
}

impl Keeper {
    /// Reads the key, or makes one. `last` is the epoch of the log's last heartbeat.
    ///
    /// A key that can't be written down is used all the same, and [`problem`](Self::problem) tells: recording goes on.
    ///
    /// # Errors
    /// When the system gives no randomness, or the key's file can't be read for another reason than its contents.
    pub fn open(home: &Home, origin: &str, last: Option<u64>) -> anyhow::Result<(Keeper, Found)> {
        let path = home.dir().join("keys/seal.key");
        let next = last.map_or(0, |last| last + 1);
        let (key, found) = match fs::read_to_string(&path) {
            Ok(text) if EpochKey::parse(&text, origin).is_err() => {
                let _ = fs::rename(&path, path.with_extension("damaged"));
                (EpochKey::random(next)?, Found::Damaged(last))
            }
            Ok(text) => {
                let mut key = EpochKey::parse(&text, origin)?;
                let found = match key.epoch {
                    epoch if epoch == next => Found::Next,
                    // The heartbeat was written, and what was to follow was not.
                    epoch if Some(epoch) == last => Found::Next,
                    epoch if epoch > next => Found::Ahead { last, key: epoch },
                    epoch => Found::Behind { last: next - 1, key: epoch },
                };
                if key.epoch < next {
                    key.evolve_to(next)?;
                }
                (key, found)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (EpochKey::random(next)?, last.map_or(Found::New, Found::Lost))
            }
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let mut keeper = Keeper { path, origin: origin.to_owned(), key, problem: None };
        keeper.write_down();
        Ok((keeper, found))
    }

    /// The key of the next heartbeat.
    pub fn key(&self) -> &EpochKey {
        &self.key
    }

    /// The same as text.
    pub fn export(&self) -> String {
        self.key.to_text(&self.origin)
    }

    /// Goes on to the next epoch, and destroys the key of this one.
    pub fn advance(&mut self) {
        let next = self.key.epoch + 1;
        self.key.evolve_to(next).expect("one epoch further");
        self.write_down();
    }

    /// Why the key of this epoch is not written down; that of an earlier one may still be there.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn write_down(&mut self) {
        let text = Zeroizing::new(self.export());
        let written = durable::replace_and_destroy(&self.path, text.as_bytes());
        self.problem = written.err().map(|error| format!("can't write {}: {error}", self.path.display()));
    }
}

/// Hand out the key that checks the seals of heartbeats.
#[derive(Debug, clap::Args)]
pub struct SealArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the key of the next heartbeat, for an auditor to keep elsewhere. It checks heartbeats from there on
    /// (fdr verify --seal-key), and whoever has it could make them: do it once, when the recorder is set up.
    Export,
}

/// `fdr seal`.
///
/// # Errors
/// When the recorder can't be asked, or refuses.
pub fn run(args: &SealArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Action::Export = args.action;
    let text: String = admin::ask(home, &Ask::SealKey)?;
    out.write_all(text.as_bytes())?;
    Ok(0)
}

/// Reads a key that was exported.
///
/// # Errors
/// When it can't be read, or is not this log's.
pub fn read(path: &Path, origin: &str) -> anyhow::Result<EpochKey> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    match EpochKey::parse(&text, origin) {
        Ok(key) => Ok(key),
        Err(error) => bail!("{} can't be used: {error:#}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn key(epoch: u64) -> EpochKey {
        let mut key = EpochKey { epoch: 0, key: [7; 32] };
        key.evolve_to(epoch).unwrap();
        key
    }

    fn line(epoch: u64) -> Vec<u8> {
        format!("{{\"kind\":\"heartbeat\",\"body\":{{\"epoch\":{epoch},\"seal\":\"{UNSEALED}\"}}}}")
            .into_bytes()
    }

    fn seal_of(line: &[u8]) -> String {
        let text = std::str::from_utf8(line).unwrap();
        text.split("\"seal\":\"").nth(1).unwrap()[..64].to_owned()
    }

    #[test]
    fn a_seal_holds_for_its_line_and_key_alone() {
        let sealed = key(3).sealed(line(3));
        let seal = seal_of(&sealed);
        assert!(key(3).holds(&sealed, &seal));
        assert!(!key(2).holds(&sealed, &seal) && !key(4).holds(&sealed, &seal));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(!key(3).holds(&changed, &seal), "byte {at}");
        }
        assert!(!key(3).holds(&line(3), UNSEALED));
        assert!(!key(3).holds(b"", &seal) && !key(3).holds(&sealed, ""));
    }

    #[test]
    fn keys_go_forward_only() {
        let mut later = key(5);
        assert_ne!(later.key, key(4).key);
        assert!(later.evolve_to(4).is_err());
        let mut early = key(2);
        early.evolve_to(5).unwrap();
        assert_eq!(early, later);
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is() {
        let text = key(9).to_text("fdr/host");
        assert_eq!(EpochKey::parse(&text, "fdr/host").unwrap(), key(9));
        for (bad, why) in [
            ("", "not a seal key"),
            ("fdr-seal-v2 fdr/host 9 00", "not a seal key"),
            (text.trim_end().trim_end_matches(char::is_alphanumeric), "not a seal key"),
            (&text.replace("fdr/host", "fdr/other"), "of log 'fdr/other'"),
            (&text.replace(" 9 ", " nine "), "no number"),
            (&format!("{} x", text.trim_end()), "something behind"),
            (&text[..text.len() - 3], "64 hexadecimal digits"),
        ] {
            let error = EpochKey::parse(bad, "fdr/host").unwrap_err();
            assert!(error.to_string().contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn what_the_key_file_says_of_the_log_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path())).unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        let open = |last| Keeper::open(&home, "o", last).unwrap();
        let (mut keeper, found) = open(None);
        assert_eq!((keeper.key().epoch(), found), (0, Found::New));
        let first = keeper.key().clone();
        let old = File::open(&keeper.path).unwrap();
        keeper.advance();
        // What stood there is gone, not only its name.
        let left = std::io::read_to_string(old).unwrap();
        assert!(!left.is_empty() && left.bytes().all(|byte| byte == 0), "{left:?}");
        assert_eq!(open(Some(0)).1, Found::Next);
        // Killed between the heartbeat and the next key.
        let (keeper, found) = open(Some(1));
        assert_eq!((keeper.key().epoch(), found), (2, Found::Next));
        let mut same = first;
        same.evolve_to(2).unwrap();
        assert_eq!(keeper.key(), &same);
        assert_eq!(open(Some(0)).1, Found::Ahead { last: Some(0), key: 2 });
        assert_eq!(open(None).1, Found::Ahead { last: None, key: 2 });
        let (keeper, found) = open(Some(7));
        assert_eq!((keeper.key().epoch(), found), (8, Found::Behind { last: 7, key: 2 }));
        fs::remove_file(&keeper.path).unwrap();
        let (keeper, found) = open(Some(7));
        assert_eq!((keeper.key().epoch(), found), (8, Found::Lost(7)));
        fs::write(&keeper.path, "garbage").unwrap();
        let (mut keeper, found) = open(Some(7));
        assert_eq!((keeper.key().epoch(), found, keeper.problem()), (8, Found::Damaged(Some(7)), None));
        assert_eq!(fs::read_to_string(keeper.path.with_extension("damaged")).unwrap(), "garbage");
        // What can't be written down goes on in memory.
        fs::remove_dir_all(dir.path().join("keys")).unwrap();
        keeper.advance();
        assert!(keeper.key().epoch() == 9 && keeper.problem().unwrap().contains("can't write"));
    }
}
