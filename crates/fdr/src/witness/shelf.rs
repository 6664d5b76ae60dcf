//! What a witness remembers, on disk: for each log its keys and the newest checkpoint that it cosigned.
//!
//! A file per log, replaced whole: written beside, synced, renamed, and the folder synced. A log that was never
//! cosigned says so itself (`seen none`), so that a file which is lost or damaged is never taken for a beginning.

use crate::durable;
use anyhow::{Context, bail, ensure};
use fdr_log::witness::Seen;
use fdr_log::{SignedCheckpoint, VerifierKey};
use fdr_record::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 18;

/// A log that a witness knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The keys that may sign its checkpoints.
    pub keys: Vec<VerifierKey>,
    /// The newest checkpoint that was cosigned, with its cosignature.
    pub newest: Option<SignedCheckpoint>,
}

impl Known {
    /// What was seen of it.
    pub fn seen(&self) -> Seen {
        let newest = self.newest.as_ref();
        newest.map_or(Seen::default(), |newest| Seen { size: newest.size(), root: *newest.root() })
    }

    fn encode(&self) -> String {
        let mut text = String::from("fdr-witness-v1\n");
        for key in &self.keys {
            text += &format!("key {key}\n");
        }
        match &self.newest {
            None => text += "seen none\n",
            Some(newest) => text += &format!("seen\n{}", newest.note()),
        }
        let digest = hex(&Sha256::digest(&text));
        text + &format!("end {digest}\n")
    }

    fn parse(text: &str) -> anyhow::Result<Known> {
        let at = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (head, end) = text.split_at(at);
        ensure!(end == format!("end {}\n", hex(&Sha256::digest(head))), "its digest is another");
        let head = head.strip_prefix("fdr-witness-v1\n").context("it is of another version")?;
        let (keys, seen) = match head.split_once("seen none\n") {
            Some((keys, "")) => (keys, None),
            _ => {
                let (keys, note) = head.split_once("seen\n").context("it does not say what was seen")?;
                (keys, Some(SignedCheckpoint::parse(note)?))
            }
        };
        let key = |line: &str| {
            line.strip_prefix("key ").context("a line is no key")?.parse().context("a key is none")
        };
        let keys: Vec<VerifierKey> = keys.lines().map(key).collect::<anyhow::Result<_>>()?;
        ensure!(!keys.is_empty(), "it has no key");
        Ok(Known { keys, newest: seen })
    }
}

/// Where a witness's memory lies.
pub trait Shelf: Send + Sync {
    /// The file of a name; `None` if there is none.
    ///
    /// # Errors
    /// Those of reading.
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>>;

    /// Puts a file in place, whole and durably.
    ///
    /// # Errors
    /// Those of writing. Whether it is there is not known then.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()>;
}

/// A folder.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Shelf for Folder {
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(data) if data.len() > MAX_BYTES => return Err(std::io::Error::other("it is too long")),
            _ => {}
        }
        fs::read(path).map(Some)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        durable::replace(&self.0.join(name), bytes)
    }
}

/// The file of a log, whose name may have any characters.
pub fn file_of(origin: &str) -> String {
    format!("{}.log", hex(&Sha256::digest(origin.as_bytes())[..16]))
}

/// What is known of a log; `None` if nothing.
///
/// # Errors
/// When it can't be read, or is damaged.
pub fn look(shelf: &dyn Shelf, origin: &str) -> anyhow::Result<Option<Known>> {
    let name = file_of(origin);
    let Some(bytes) = shelf.read(&name).with_context(|| format!("can't read {name}"))? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).ok();
    let known = text.context("it is not text").and_then(Known::parse);
    let known = known.with_context(|| format!("{name}, what this witness knows of {origin}, is damaged"))?;
    ensure!(known.keys[0].name() == origin, "{name} is about another log than {origin}");
    Ok(Some(known))
}

/// Adds a log that may be cosigned from now on.
///
/// # Errors
/// When it is known already, or can't be written.
pub fn add(shelf: &dyn Shelf, key: VerifierKey) -> anyhow::Result<()> {
    let name = file_of(key.name());
    if look(shelf, key.name())?.is_some() {
        bail!("log {} is known already; nothing was changed", key.name());
    }
    let known = Known { keys: vec![key], newest: None };
    shelf.write(&name, known.encode().as_bytes()).with_context(|| format!("can't write {name}"))
}

/// Remembers what is about to be cosigned.
///
/// # Errors
/// When it can't be written.
pub fn remember(shelf: &dyn Shelf, origin: &str, known: &Known) -> std::io::Result<()> {
    shelf.write(&file_of(origin), known.encode().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_log::{EMPTY_ROOT, SigningKey};

    #[test]
    fn what_is_remembered_is_read_again_and_what_was_changed_is_not() {
        let key = SigningKey::from_seed(&[3; 32]);
        let verifier = key.verifier("log/a").unwrap();
        let checkpoint = SignedCheckpoint::sign(&key, "log/a", 0, &EMPTY_ROOT).unwrap();
        for newest in [None, Some(checkpoint)] {
            let known = Known { keys: vec![verifier.clone()], newest };
            let text = known.encode();
            assert_eq!(Known::parse(&text).unwrap(), known);
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let changed = String::from_utf8(bytes);
                assert!(changed.is_err() || Known::parse(&changed.unwrap()).is_err(), "byte {at}");
                if text.is_char_boundary(at) {
                    assert!(Known::parse(&text[..at]).is_err(), "cut at {at}");
                }
            }
        }
    }

    #[test]
    fn a_log_is_added_once_and_a_lost_or_damaged_file_is_no_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Folder(dir.path().to_owned());
        let key = SigningKey::from_seed(&[3; 32]).verifier("log/a").unwrap();
        assert_eq!(look(&shelf, "log/a").unwrap(), None);
        add(&shelf, key.clone()).unwrap();
        assert!(add(&shelf, key).unwrap_err().to_string().contains("known already"));
        assert_eq!(look(&shelf, "log/a").unwrap().unwrap().seen(), Seen::default());
        let path = dir.path().join(file_of("log/a"));
        fs::write(&path, "").unwrap();
        assert!(look(&shelf, "log/a").unwrap_err().to_string().contains("is damaged"));
    }
}
