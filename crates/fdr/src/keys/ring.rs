//! The sessions' keys as they lie on disk, for whoever reads: one file a key, `keys/content/<scope>.<kid>`.
//!
//! A few are made before they are needed, as `spare.<kid>`, and get their name then: that takes no room on the disk, which
//! the log may have taken all of for itself.
//!
//! A key is read, and the KEK opened, when it is first needed. Keys that were destroyed meanwhile are not kept.

use super::kek::{Kek, KekFile};
use crate::durable;
use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fdr_record::sealed::{self, Kid, OpenError, SealKey, fields_kid, open_fields};
use fdr_record::{Record, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one key seals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A session.
    Session(String),
    /// What a user's programs sent that belongs to no session, as far as could be read: the principal's id.
    Unparsed(String),
}

impl Scope {
    /// What a record's contents are sealed under; `None`: they are the recorder's own, and are not.
    pub fn of(record: &Record) -> Option<Scope> {
        match (&record.session, &record.body) {
            (Some(session), _) => Some(Scope::Session(session.clone())),
            (None, fdr_record::Body::Unparsed(_)) => {
                let principal = record.principal.as_ref().map(|principal| principal.id.clone());
                let uid = record.observed.as_ref().and_then(|observed| observed.uid);
                let id = principal.or_else(|| uid.map(|uid| format!("uid:{uid}")));
                Some(Scope::Unparsed(id.unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// The first half of the name of its key's file.
    pub(super) fn file(&self) -> String {
        let (word, id) = match self {
            Scope::Session(id) => ("session", id),
            Scope::Unparsed(id) => ("unparsed", id),
        };
        let mut hasher = Sha256::new();
        for part in [word, "\0", id] {
            hasher.update(part.as_bytes());
        }
        hex(&hasher.finalize()[..16])
    }
}

/// A file with a key.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    v: u32,
    kid: String,
    /// The KEK that it is wrapped under.
    kek: String,
    wrapped: String,
}

impl KeyFile {
    fn about(kid: &str) -> Vec<u8> {
        format!("fdr content key v1 {kid}").into_bytes()
    }

    fn read(path: &Path) -> anyhow::Result<Option<KeyFile>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let file: KeyFile =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(file.v == 1, "{} is of format {}, this fdr knows 1", path.display(), file.v);
        Ok(Some(file))
    }

    fn open(&self, kek: &Kek, path: &Path) -> anyhow::Result<SealKey> {
        let wrapped = STANDARD.decode(&self.wrapped).unwrap_or_default();
        let secret = sealed::unwrap(&kek.key, &Self::about(&self.kid), &wrapped)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let key = SealKey::new(secret);
        ensure!(hex(&key.kid()) == self.kid, "{} holds another key than it says", path.display());
        Ok(key)
    }
}

/// One key file by its name.
#[derive(Clone, Debug)]
pub struct Listed {
    /// First half of the name.
    pub scope: String,
    /// The key's name.
    pub kid: Kid,
    /// Where it is.
    pub path: PathBuf,
}

impl Listed {
    /// Whether it is nobody's yet.
    pub fn is_spare(&self) -> bool {
        self.scope == SPARE
    }

    /// Whether it is a key of that scope.
    pub fn is_of(&self, scope: &Scope) -> bool {
        self.scope == scope.file()
    }
}

/// The scope's half of the name of a key that is nobody's yet.
const SPARE: &str = "spare";

/// What became of a record's own words that are sealed.
#[derive(Debug)]
pub enum Fill {
    /// None are sealed, or they are back in their places.
    Whole,
    /// Their key is not there.
    NoKey(Kid),
    /// Why not.
    Failed(String),
}

/// All keys.
pub struct Ring {
    /// `keys/`.
    dir: PathBuf,
    /// Opened KEKs by name, or why one can't be.
    keks: Mutex<HashMap<String, Result<Arc<Kek>, String>>>,
    listed: Mutex<HashMap<Kid, Listed>>,
    opened: Mutex<HashMap<Kid, Arc<SealKey>>>,
}

/// More keys than this are not kept open.
const MAX_OPEN: usize = 1 << 16;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    /// The keys of a recorder's folder.
    pub fn new(home: &Path) -> Ring {
        Ring {
            dir: home.join("keys"),
            keks: Mutex::default(),
            listed: Mutex::default(),
            opened: Mutex::default(),
        }
    }

    /// The file of the KEK.
    pub fn kek_path(&self) -> PathBuf {
        self.dir.join("kek")
    }

    /// The file of the KEK that is to take its place.
    pub fn next_kek_path(&self) -> PathBuf {
        self.dir.join("kek.next")
    }

    /// The folder of the keys.
    pub fn folder(&self) -> PathBuf {
        self.dir.join("content")
    }

    /// The files there are now.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> anyhow::Result<Vec<Listed>> {
        let folder = self.folder();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", folder.display())),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('.'));
            if let Some((scope, kid)) = parts
                && let Some(kid) = sealed::kid(kid)
            {
                found.push(Listed { scope: scope.to_owned(), kid, path: entry.path() });
            }
        }
        let by_kid = found.iter().map(|listed| (listed.kid, listed.clone())).collect();
        *locked(&self.listed) = by_kid;
        Ok(found)
    }

    /// The names of a scope's keys: one, unless a crash left more.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn kids_of(&self, scopes: &[Scope]) -> anyhow::Result<Vec<Listed>> {
        let names: std::collections::HashSet<String> = scopes.iter().map(Scope::file).collect();
        Ok(self.list()?.into_iter().filter(|listed| names.contains(&listed.scope)).collect())
    }

    /// The KEK of that name.
    fn kek(&self, id: &str) -> anyhow::Result<Arc<Kek>> {
        let mut keks = locked(&self.keks);
        if let Some(known) = keks.get(id) {
            return known.clone().map_err(anyhow::Error::msg);
        }
        let opened = self.open_kek(id).map(Arc::new).map_err(|error| format!("{error:#}"));
        keks.insert(id.to_owned(), opened.clone());
        opened.map_err(anyhow::Error::msg)
    }

    fn open_kek(&self, id: &str) -> anyhow::Result<Kek> {
        for path in [self.kek_path(), self.next_kek_path()] {
            if let Some(file) = KekFile::read(&path)?
                && file.id == id
            {
                return file.open();
            }
        }
        anyhow::bail!(
            "the key-encryption key {id} is not in {}\n  put keys/kek back from where it is kept; without it what was sealed stays unreadable",
            self.dir.display()
        )
    }

    /// Takes an opened KEK in.
    pub fn keep_kek(&self, kek: Arc<Kek>) {
        locked(&self.keks).insert(kek.id.clone(), Ok(kek));
    }

    /// The key of that name; `None` if there is no file of it.
    ///
    /// # Errors
    /// When the KEK can't be had, or the file is damaged.
    pub fn key(&self, kid: &Kid) -> anyhow::Result<Option<Arc<SealKey>>> {
        if let Some(key) = locked(&self.opened).get(kid) {
            return Ok(Some(Arc::clone(key)));
        }
        let known = locked(&self.listed).get(kid).cloned();
        let listed = match known {
            Some(listed) => Some(listed),
            None => self.list()?.into_iter().find(|listed| listed.kid == *kid),
        };
        match listed {
            Some(listed) => self.open(&listed),
            None => Ok(None),
        }
    }

    /// The key of a file; `None` if it is gone.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn open(&self, listed: &Listed) -> anyhow::Result<Option<Arc<SealKey>>> {
        let Some(file) = KeyFile::read(&listed.path)? else { return Ok(None) };
        let key = Arc::new(file.open(&*self.kek(&file.kek)?, &listed.path)?);
        ensure!(key.kid() == listed.kid, "{} holds another key than its name says", listed.path.display());
        let mut opened = locked(&self.opened);
        if opened.len() >= MAX_OPEN {
            opened.clear();
        }
        opened.insert(key.kid(), Arc::clone(&key));
        Ok(Some(key))
    }

    /// Makes a key that is nobody's yet; it is on disk when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn make(&self, kek: &Kek) -> anyhow::Result<Listed> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        super::fill_random(secret.as_mut())?;
        let key = SealKey::new(secret);
        let path = self.folder().join(format!("{SPARE}.{}", hex(&key.kid())));
        Self::store(&path, &key, kek)?;
        let listed = Listed { scope: SPARE.to_owned(), kid: key.kid(), path };
        locked(&self.listed).insert(listed.kid, listed.clone());
        locked(&self.opened).insert(key.kid(), Arc::new(key));
        Ok(listed)
    }

    /// Gives a spare key to a scope; that is on disk when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn assign(&self, spare: &Listed, scope: &Scope) -> anyhow::Result<Listed> {
        let path = self.folder().join(format!("{}.{}", scope.file(), hex(&spare.kid)));
        durable::rename(&spare.path, &path)?;
        let listed = Listed { scope: scope.file(), kid: spare.kid, path };
        locked(&self.listed).insert(listed.kid, listed.clone());
        Ok(listed)
    }

    fn store(path: &Path, key: &SealKey, kek: &Kek) -> anyhow::Result<()> {
        let kid = hex(&key.kid());
        let mut nonce = [0; 12];
        super::fill_random(&mut nonce)?;
        let wrapped = sealed::wrap(&kek.key, nonce, &KeyFile::about(&kid), key.secret());
        let file = KeyFile { v: 1, kid, kek: kek.id.clone(), wrapped: STANDARD.encode(wrapped) };
        durable::write(path, &serde_json::to_vec(&file)?)
    }

    /// Wraps a key under another KEK, if it is not already; whether it was not.
    ///
    /// # Errors
    /// When it can't be unwrapped, or written.
    pub fn rewrap(&self, listed: &Listed, kek: &Kek) -> anyhow::Result<bool> {
        let Some(file) = KeyFile::read(&listed.path)? else { return Ok(false) };
        if file.kek == kek.id {
            return Ok(false);
        }
        let key = file.open(&*self.kek(&file.kek)?, &listed.path)?;
        Self::store(&listed.path, &key, kek)?;
        Ok(true)
    }

    /// How many keys are wrapped under each KEK.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn by_kek(&self) -> anyhow::Result<std::collections::BTreeMap<String, u64>> {
        let mut counts = std::collections::BTreeMap::new();
        for listed in self.list()? {
            if let Some(file) = KeyFile::read(&listed.path)? {
                *counts.entry(file.kek).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Destroys keys: overwritten, removed, and forgotten.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn destroy(&self, kids: &[Kid]) -> anyhow::Result<()> {
        self.forget(kids);
        for listed in self.list()?.into_iter().filter(|listed| kids.contains(&listed.kid)) {
            durable::destroy(&listed.path)?;
        }
        self.forget(kids);
        Ok(())
    }

    /// Forgets keys, so that they are read from disk if they are asked for again.
    pub fn forget(&self, kids: &[Kid]) {
        let (mut opened, mut listed) = (locked(&self.opened), locked(&self.listed));
        for kid in kids {
            opened.remove(kid);
            listed.remove(kid);
        }
    }

    /// Puts the words of a record back in their places.
    pub fn fill(&self, record: &mut Record) -> Fill {
        if record.sealed.is_none() {
            return Fill::Whole;
        }
        let Some(kid) = fields_kid(record) else { return Fill::Failed(OpenError::Form.to_string()) };
        match self.key(&kid) {
            Ok(Some(key)) => match open_fields(record, &key) {
                Ok(()) => Fill::Whole,
                Err(error) => Fill::Failed(error.to_string()),
            },
            Ok(None) => Fill::NoKey(kid),
            Err(error) => Fill::Failed(format!("{error:#}")),
        }
    }
}
