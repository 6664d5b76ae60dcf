//! The recorder's hand on the keys: makes one for each session, and seals with it.

use super::Settings;
use super::kek::{Kek, KekFile};
use super::ring::{Listed, Ring, Scope};
use crate::durable;
use anyhow::{Context, ensure};
use fdr_hook::client::create_home;
use fdr_record::sealed::{Kid, SealKey, seal_fields};
use fdr_record::{Content, Peppers, Record};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// More scopes than this are not kept at hand.
const MAX_SCOPES: usize = 1 << 16;

/// Keys that are made before they are needed.
const SPARE_KEYS: usize = 8;

/// The keys of a recorder that runs.
pub struct Vault {
    ring: Ring,
    /// Whether what is recorded from now on is sealed.
    seals: bool,
    /// What new keys are wrapped under.
    kek: RwLock<Option<Arc<Kek>>>,
    by_scope: Mutex<HashMap<Scope, Arc<SealKey>>>,
    /// The files that there are, by the scope's half of their names: nobody else makes any.
    files: Mutex<HashMap<String, Listed>>,
    /// Keys that are nobody's yet.
    spare: Mutex<Vec<Listed>>,
    /// Held while a key is made or all are wrapped anew. Never taken while `by_scope` is held.
    making: Mutex<()>,
}

impl Vault {
    /// Opens the keys; the KEK is made if there was none, and nothing is wrapped under one.
    ///
    /// # Errors
    /// When the KEK is lost or can't be opened, and those of the disk.
    pub fn open(home: &Path, settings: &Settings) -> anyhow::Result<Vault> {
        let vault = Vault {
            ring: Ring::new(home),
            seals: settings.seal_content,
            kek: RwLock::default(),
            by_scope: Mutex::default(),
            files: Mutex::default(),
            spare: Mutex::default(),
            making: Mutex::default(),
        };
        if vault.seals {
            vault.open_kek(home, settings)?;
        }
        for listed in vault.ring.list()? {
            match listed.is_spare() {
                true => vault.spare().push(listed),
                false => drop(vault.files().insert(listed.scope.clone(), listed)),
            }
        }
        vault.refill()?;
        Ok(vault)
    }

    fn open_kek(&self, home: &Path, settings: &Settings) -> anyhow::Result<()> {
        let ring = &self.ring;
        create_home(&ring.folder())?;
        // A file that was being written holds a key that nothing was sealed under.
        for entry in std::fs::read_dir(ring.folder())?.chain(std::fs::read_dir(home.join("keys"))?) {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(durable::UNFINISHED) {
                durable::destroy(&path)?;
            }
        }
        let next = KekFile::read(&ring.next_kek_path())?;
        let kek = match (KekFile::read(&ring.kek_path())?, &next) {
            (Some(file), _) => file.open()?,
            // The old one goes when every key is wrapped under the new one.
            (None, Some(next)) => next.open()?,
            (None, None) => {
                let keys = ring.list()?.len();
                ensure!(
                    keys == 0,
                    "{} is missing, and the keys of {keys} sessions are wrapped under it; none is made in its place\n  \
                     put it back from where it is kept, or, to go on and leave what was sealed unreadable:\n  \
                     move {} away",
                    ring.kek_path().display(),
                    ring.folder().display()
                );
                let kek = Kek::generate()?;
                kek.write(&ring.kek_path(), settings, home)?;
                kek
            }
        };
        let kek = Arc::new(kek);
        ring.keep_kek(Arc::clone(&kek));
        self.use_kek(kek);
        // A change of the KEK that a crash came between.
        if let Some(next) = next {
            self.move_to(Arc::new(next.open().context("keys/kek.next can't be opened")?))?;
        }
        Ok(())
    }

    fn use_kek(&self, kek: Arc<Kek>) {
        *self.kek.write().unwrap_or_else(PoisonError::into_inner) = Some(kek);
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes keys for the sessions to come.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn refill(&self) -> anyhow::Result<()> {
        while self.seals && self.spare().len() < SPARE_KEYS {
            let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            let made = self.ring.make(&*self.kek()?)?;
            self.spare().push(made);
        }
        Ok(())
    }

    fn kek(&self) -> anyhow::Result<Arc<Kek>> {
        let kek = self.kek.read().unwrap_or_else(PoisonError::into_inner).clone();
        kek.context("there is no key-encryption key")
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Listed>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, for reading.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Scope, Arc<SealKey>>> {
        self.by_scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a scope that has one; none is made.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn existing(&self, scope: &Scope) -> anyhow::Result<Option<Arc<SealKey>>> {
        if let Some(key) = self.known().get(scope) {
            return Ok(Some(Arc::clone(key)));
        }
        let listed = self.files().get(&scope.file()).cloned();
        let Some(listed) = listed else { return Ok(None) };
        let key = self.ring.open(&listed)?;
        if let Some(key) = &key {
            self.keep(scope, key);
        }
        Ok(key)
    }

    fn keep(&self, scope: &Scope, key: &Arc<SealKey>) {
        let mut known = self.known();
        if known.len() >= MAX_SCOPES {
            known.clear();
        }
        known.insert(scope.clone(), Arc::clone(key));
    }

    /// The key of a scope, which is on disk when this returns. `None`: nothing is sealed.
    ///
    /// # Errors
    /// When it can't be read or made.
    pub fn key(&self, scope: &Scope) -> anyhow::Result<Option<Arc<SealKey>>> {
        if !self.seals {
            return Ok(None);
        }
        if let Some(key) = self.known().get(scope) {
            return Ok(Some(Arc::clone(key)));
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = self.existing(scope)? {
            return Ok(Some(key));
        }
        let spare = self.spare().pop();
        let spare = spare.map_or_else(|| self.kek().and_then(|kek| self.ring.make(&kek)), Ok)?;
        let key = self.ring.key(&spare.kid)?.context("a key that was just there is gone")?;
        let listed = self.ring.assign(&spare, scope)?;
        self.files().insert(listed.scope.clone(), listed);
        self.keep(scope, &key);
        Ok(Some(key))
    }

    /// Seals the contents of records and the words that they tell of them.
    ///
    /// # Errors
    /// When a key can't be read or made; then nothing of it may be recorded.
    pub fn seal(&self, records: &mut [Record], contents: Vec<Content>) -> anyhow::Result<Vec<Content>> {
        if !self.seals {
            return Ok(contents);
        }
        let at_digest: HashMap<[u8; 32], usize> =
            contents.iter().enumerate().map(|(at, content)| (content.digest(), at)).collect();
        let mut own = vec![true; contents.len()];
        let mut stored: Vec<Content> = Vec::new();
        // Content and key, and where it is in `stored`.
        let mut sealed: HashMap<(usize, Kid), usize> = HashMap::new();
        for record in records {
            let Some(scope) = Scope::of(record) else { continue };
            let Some(key) = self.key(&scope)? else { continue };
            seal_fields(record, &key);
            for reference in &mut record.content {
                let Some(&content) = reference.digest_bytes().and_then(|digest| at_digest.get(&digest))
                else {
                    continue;
                };
                own[content] = false;
                let at = *sealed.entry((content, key.kid())).or_insert_with(|| {
                    stored.push(key.seal(&contents[content]));
                    stored.len() - 1
                });
                reference.set_sealed(&stored[at]);
            }
        }
        // What no record of a session refers to is the recorder's own.
        stored.extend(contents.into_iter().zip(own).filter_map(|(content, own)| own.then_some(content)));
        Ok(stored)
    }

    /// Forgets the keys of scopes: what comes of them from now on is sealed under new ones.
    pub fn forget(&self, kids: &[Kid]) {
        self.known().retain(|_, key| !kids.contains(&key.kid()));
        self.files().retain(|_, listed| !kids.contains(&listed.kid));
        self.ring.forget(kids);
    }

    /// Destroys keys.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn destroy(&self, kids: &[Kid]) -> anyhow::Result<()> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(kids);
        self.ring.destroy(kids)
    }

    /// Wraps every key under a new KEK, kept as the settings say, and destroys the old one; how many keys.
    ///
    /// # Errors
    /// When the KEK can't be kept so, and those of the disk. What was begun is finished at the next start.
    pub fn rewrap(&self, home: &Path, settings: &Settings) -> anyhow::Result<u64> {
        ensure!(self.seals, "nothing is sealed here: seal_content = false");
        let kek = Kek::generate()?;
        kek.write(&self.ring.next_kek_path(), settings, home)?;
        self.move_to(Arc::new(kek))
    }

    fn move_to(&self, kek: Arc<Kek>) -> anyhow::Result<u64> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.ring.keep_kek(Arc::clone(&kek));
        self.use_kek(Arc::clone(&kek));
        let mut moved = 0;
        for listed in self.ring.list()? {
            moved += u64::from(self.ring.rewrap(&listed, &kek)? && !listed.is_spare());
        }
        // From here on the old one is of no use, and the new one stands in both places.
        let new = std::fs::read(self.ring.next_kek_path())?;
        durable::destroy(&self.ring.kek_path())?;
        durable::write(&self.ring.kek_path(), &new)?;
        durable::destroy(&self.ring.next_kek_path())?;
        Ok(moved)
    }
}

impl Peppers for Vault {
    fn pepper(&self, scope: &str) -> Option<[u8; 32]> {
        if scope.is_empty() {
            return None;
        }
        // What can't be sealed is not recorded, whatever its digest.
        Some(*self.key(&Scope::Session(scope.to_owned())).ok()??.pepper())
    }
}
