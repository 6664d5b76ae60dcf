//! A disk in memory that crashes, fails, fills up and lies on command.
//!
//! `live` is what the running program reads back; `durable` is what a crash leaves. At a crash every 512-byte sector
//! of the write under way, and of all writes not synced yet, is kept or lost by the throw of a seeded die.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use fdr_log::disk::{Access, Disk, DiskFile};

const SECTOR: usize = 512;

/// What goes wrong, at the mutation with this number (counted from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The machine stops in the middle of it.
    Crash {
        at: u64,
        seed: u64,
    },
    /// It returns an error; done or not done.
    Fail {
        at: u64,
        done: bool,
    },
    /// It reports success and never reaches the disk.
    Lie {
        at: u64,
    },
}

#[derive(Clone, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Writes in `live` that are not synced.
    pending: Vec<(usize, Vec<u8>)>,
    name_durable: bool,
}

/// A name that was taken away or given, not durably yet.
enum NameChange {
    Removed { name: String, file: Contents },
    Renamed { from: String, to: String, replaced: Option<Contents> },
}

struct Inner {
    files: BTreeMap<String, Contents>,
    name_changes: Vec<NameChange>,
    /// Removed, and readable to who has it open.
    unlinked: BTreeMap<String, Contents>,
    quarantine: BTreeMap<String, Vec<u8>>,
    fault: Fault,
    mutations: u64,
    crashed: bool,
    /// Bytes by which files may still grow.
    space: u64,
}

pub struct SimDisk {
    inner: Mutex<Inner>,
    this: Weak<SimDisk>,
}

enum Outcome {
    Do,
    FailDone,
    Lie,
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn tear(durable: &mut Vec<u8>, offset: usize, data: &[u8], die: &mut u64) {
    // All, nothing, a prefix, a suffix, or any mixture of sectors.
    let mode = splitmix(die) % 5;
    let sectors = data.len().div_ceil(SECTOR);
    let cut = splitmix(die) as usize % (sectors + 1);
    for sector in 0..sectors {
        let kept = match mode {
            0 => true,
            1 => false,
            2 => sector < cut,
            3 => sector >= cut,
            _ => splitmix(die) & 1 == 1,
        };
        if kept {
            let from = sector * SECTOR;
            put(durable, offset + from, &data[from..data.len().min(from + SECTOR)]);
        }
    }
}

impl Inner {
    /// All but the first `kept` changes of names did not reach the disk.
    fn undo_names(&mut self, kept: usize) {
        for change in self.name_changes.drain(..).skip(kept).collect::<Vec<_>>().into_iter().rev() {
            match change {
                NameChange::Removed { name, file } => drop(self.files.insert(name, file)),
                NameChange::Renamed { from, to, replaced } => {
                    let file = self.files.remove(&to).expect("what was renamed is there");
                    self.files.insert(from, file);
                    replaced.map(|file| self.files.insert(to, file));
                }
            }
        }
    }

    /// Counts a mutation and says what becomes of it; on a crash everything under way is torn.
    fn next(&mut self, under_way: Option<(&str, usize, &[u8])>) -> io::Result<Outcome> {
        if self.crashed {
            return Err(io::Error::other("the machine is off"));
        }
        let number = self.mutations;
        self.mutations += 1;
        match self.fault {
            Fault::Crash { at, seed } if at == number => {
                let mut die = seed;
                for (name, file) in &mut self.files {
                    let pending = std::mem::take(&mut file.pending);
                    for (offset, data) in pending {
                        tear(&mut file.durable, offset, &data, &mut die);
                    }
                    if let Some((_, offset, data)) = under_way.filter(|(under_way, _, _)| under_way == name) {
                        tear(&mut file.durable, offset, data, &mut die);
                    }
                    file.name_durable |= splitmix(&mut die) & 1 == 1;
                }
                let kept = splitmix(&mut die) as usize % (self.name_changes.len() + 1);
                self.undo_names(kept);
                self.crashed = true;
                Err(io::Error::other("the machine stopped"))
            }
            Fault::Fail { at, done: false } if at == number => Err(io::Error::other("injected, not done")),
            Fault::Fail { at, done: true } if at == number => Ok(Outcome::FailDone),
            Fault::Lie { at } if at == number => Ok(Outcome::Lie),
            _ => Ok(Outcome::Do),
        }
    }
}

fn after(outcome: Outcome) -> io::Result<()> {
    match outcome {
        Outcome::FailDone => Err(io::Error::other("injected, done all the same")),
        Outcome::Do | Outcome::Lie => Ok(()),
    }
}

impl SimDisk {
    fn make(files: BTreeMap<String, Contents>, quarantine: BTreeMap<String, Vec<u8>>) -> Arc<SimDisk> {
        Arc::new_cyclic(|this| SimDisk {
            inner: Mutex::new(Inner {
                files,
                name_changes: Vec::new(),
                unlinked: BTreeMap::new(),
                quarantine,
                fault: Fault::None,
                mutations: 0,
                crashed: false,
                space: u64::MAX,
            }),
            this: this.clone(),
        })
    }

    pub fn new() -> Arc<SimDisk> {
        SimDisk::make(BTreeMap::new(), BTreeMap::new())
    }

    /// A disk with these files.
    pub fn with(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Arc<SimDisk> {
        let contents = |bytes: Vec<u8>| Contents {
            live: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
            name_durable: true,
        };
        SimDisk::make(
            files.into_iter().map(|(name, bytes)| (name, contents(bytes))).collect(),
            BTreeMap::new(),
        )
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn set_fault(&self, fault: Fault) {
        self.inner().fault = fault;
    }

    /// The machine stops in the mutation that comes `after` others from now on.
    pub fn crash_in(&self, after: u64, seed: u64) {
        let mut inner = self.inner();
        inner.fault = Fault::Crash { at: inner.mutations + after, seed };
    }

    /// The mutation that comes `after` others from now on fails.
    pub fn fail_in(&self, after: u64) {
        let mut inner = self.inner();
        inner.fault = Fault::Fail { at: inner.mutations + after, done: after % 2 == 1 };
    }

    pub fn set_space(&self, bytes: u64) {
        self.inner().space = bytes;
    }

    pub fn quarantined(&self) -> usize {
        self.inner().quarantine.len()
    }

    /// The files as a program reads them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.inner().files.iter().map(|(name, file)| (name.clone(), file.live.clone())).collect()
    }

    /// The disk after the power came back: what was durable.
    pub fn restart(&self) -> Arc<SimDisk> {
        let inner = self.inner();
        let files = inner
            .files
            .iter()
            .filter(|(_, file)| file.name_durable)
            .map(|(name, file)| {
                let durable = file.durable.clone();
                (
                    name.clone(),
                    Contents { live: durable.clone(), durable, pending: Vec::new(), name_durable: true },
                )
            })
            .collect();
        SimDisk::make(files, inner.quarantine.clone())
    }
}

impl Disk for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().files.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        if access == Access::Create {
            if inner.files.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let outcome = inner.next(None)?;
            inner.files.insert(name.to_owned(), Contents::default());
            after(outcome)?;
        } else if !inner.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let disk = self.this.upgrade().expect("the disk lives while it is used");
        Ok(Arc::new(SimFile { disk, name: name.to_owned() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.inner();
        let outcome = inner.next(None)?;
        if !matches!(outcome, Outcome::Lie) {
            inner.files.values_mut().for_each(|file| file.name_durable = true);
            inner.name_changes.clear();
        }
        after(outcome)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let whole =
            Contents { live: bytes.into(), durable: bytes.into(), pending: vec![], name_durable: true };
        let outcome = match inner.next(None) {
            Err(error) => {
                if let Fault::Crash { seed, .. } = inner.fault
                    && inner.crashed
                    && seed & 1 == 1
                {
                    inner.files.insert(name.to_owned(), whole);
                }
                return Err(error);
            }
            Ok(outcome) => outcome,
        };
        if matches!(outcome, Outcome::Lie) {
            inner.files.entry(name.to_owned()).or_default().live = bytes.into();
        } else {
            inner.files.insert(name.to_owned(), whole);
        }
        after(outcome)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let outcome = inner.next(None)?;
        let file = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        let replaced = inner.files.insert(to.to_owned(), file);
        inner.name_changes.push(NameChange::Renamed { from: from.to_owned(), to: to.to_owned(), replaced });
        after(outcome)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if !inner.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let outcome = inner.next(None)?;
        let file = inner.files.remove(name).expect("it was there");
        inner.space = inner.space.saturating_add(file.live.len() as u64);
        inner.unlinked.insert(name.to_owned(), file.clone());
        inner.name_changes.push(NameChange::Removed { name: name.to_owned(), file });
        after(outcome)
    }

    fn quarantine(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let mut inner = self.inner();
        let outcome = inner.next(None)?;
        let count = inner.quarantine.len();
        inner.quarantine.insert(format!("{name}.{count}"), bytes.to_vec());
        after(outcome)?;
        Ok(PathBuf::from(format!("quarantine/{name}.{count}")))
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(self.inner().space)
    }
}

struct SimFile {
    disk: Arc<SimDisk>,
    name: String,
}

impl SimFile {
    fn write(&self, bytes: &[u8], offset: u64, durable: bool) -> io::Result<()> {
        let offset = offset as usize;
        let mut inner = self.disk.inner();
        let grown = {
            let file = inner.files.get(&self.name).ok_or(io::ErrorKind::NotFound)?;
            (offset + bytes.len()).saturating_sub(file.live.len()) as u64
        };
        if grown > inner.space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let outcome = inner.next(Some((&self.name, offset, bytes)))?;
        inner.space -= grown;
        let file = inner.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        put(&mut file.live, offset, bytes);
        if matches!(outcome, Outcome::Lie) {
            return Ok(());
        }
        if durable {
            put(&mut file.durable, offset, bytes);
        } else {
            file.pending.push((offset, bytes.to_vec()));
        }
        after(outcome)
    }
}

impl DiskFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        let inner = self.disk.inner();
        let file = inner.files.get(&self.name).or(inner.unlinked.get(&self.name));
        file.map(|file| file.live.len() as u64).ok_or(io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        let file = inner.files.get(&self.name).or(inner.unlinked.get(&self.name));
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        let from = (offset as usize).min(file.live.len());
        let count = buffer.len().min(file.live.len() - from);
        buffer[..count].copy_from_slice(&file.live[from..from + count]);
        Ok(count)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(bytes.as_ptr().addr().is_multiple_of(4096), "direct writes need aligned memory");
        assert!(bytes.len().is_multiple_of(4096) && offset.is_multiple_of(4096), "and whole blocks");
        self.write(bytes, offset, true)
    }

    fn write_lazily(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(bytes.as_ptr().addr().is_multiple_of(4096) && bytes.len().is_multiple_of(4096));
        self.write(bytes, offset, false)
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let outcome = inner.next(None)?;
        let file = inner.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        if !matches!(outcome, Outcome::Lie) {
            for (offset, data) in std::mem::take(&mut file.pending) {
                put(&mut file.durable, offset, &data);
            }
        }
        after(outcome)
    }
}
