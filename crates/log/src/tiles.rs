//! A log as C2SP [tlog-tiles](https://c2sp.org/tlog-tiles): plain files that other people's tools read.
//!
//! ```text
//! checkpoint                     the signed note that everything else is under, byte for byte
//! tile/<L>/<N>[.p/<W>]           hashes of level 8·L, 256 to a file; the last one of a level may be partial, with W
//! tile/entries/<N>[.p/<W>]       the records of tile/0/<N>: length as 16 bits, big-endian, then the bytes
//! ```
//!
//! `<N>` is written in groups of three digits, all but the last with an `x` before them: `x001/x234/067`. Every tile is
//! computed from the records; the checkpoint comes last, and only if its root is the recomputed one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::note::SignedCheckpoint;
use crate::reader::{ReadError, Reader};
use crate::tree::{CompactRange, Hash, leaf_hash, node_hash};

/// Hashes in a full tile, and records in a full bundle.
const TILE_WIDTH: usize = 256;
/// The name of the checkpoint in the folder.
const CHECKPOINT: &str = "checkpoint";

/// Why a log could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system refused something.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder has something else in it.
    #[error("{path} {what}")]
    Occupied {
        /// The folder or file.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The records don't give the checkpoint's root.
    #[error(
        "the {size} records give another root than the checkpoint says: the log is damaged, see `fdr verify`"
    )]
    RootDiffers {
        /// Size of the checkpoint.
        size: u64,
    },
    /// The log ends before the checkpoint does.
    #[error("the checkpoint is of {size} records, the log has only {len}")]
    TooShort {
        /// Size of the checkpoint.
        size: u64,
        /// Records in the log.
        len: u64,
    },
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records under the checkpoint.
    pub records: u64,
    /// Files that were written.
    pub written: u64,
    /// Files that were there already, with the same bytes.
    pub kept: u64,
}

/// Writes the records under `checkpoint` into `dir`, which is made if it is not there.
///
/// A folder that holds an earlier export of the same log is extended; what is there is compared with what it should
/// be, and a difference is an error. `progress` is called with the number of records behind. Memory is bounded by one
/// bundle of 256 records.
///
/// # Errors
/// See [`ExportError`]; a pruned log can't be exported so. The checkpoint in `dir` is replaced only after everything under it is written.
pub fn export_tiles(
    reader: &Reader,
    checkpoint: &SignedCheckpoint,
    dir: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let size = checkpoint.size();
    if reader.len() < size {
        return Err(ExportError::TooShort { size, len: reader.len() });
    }
    if reader.first_index() > 0 {
        // Every tile is made from all leaves before it.
        return Err(ReadError::Pruned { first: reader.first_index() }.into());
    }
    let mut folder = Folder::open(dir, checkpoint)?;
    let mut range = CompactRange::new();
    let mut bundle = Vec::new();
    let mut levels: Vec<Level> = vec![Level::default()];
    let mut records = reader.records(0);
    for index in 0..size {
        let entry = records.next().unwrap_or(Err(ReadError::NoRecord { index, size: reader.len() }))?;
        // A record is at most 65,535 bytes long, which is why that is its limit.
        let len = u16::try_from(entry.bytes.len()).map_err(|_| ReadError::NoRecord { index, size })?;
        bundle.extend(len.to_be_bytes());
        bundle.extend(&entry.bytes);
        let leaf = leaf_hash(&entry.bytes);
        range.push(leaf);
        if (index + 1).is_multiple_of(TILE_WIDTH as u64) {
            folder.put("entries", index / TILE_WIDTH as u64, TILE_WIDTH, &bundle)?;
            bundle.clear();
            progress(index + 1);
        }
        push(&mut folder, &mut levels, leaf)?;
    }
    if range.root() != *checkpoint.root() {
        return Err(ExportError::RootDiffers { size });
    }
    let width = (size % TILE_WIDTH as u64) as usize;
    if width > 0 {
        folder.put("entries", size / TILE_WIDTH as u64, width, &bundle)?;
    }
    for (number, level) in levels.iter().enumerate().filter(|(_, level)| !level.hashes.is_empty()) {
        folder.put(&number.to_string(), level.full, level.hashes.len(), level.hashes.as_flattened())?;
    }
    folder.finish(checkpoint)?;
    progress(size);
    Ok(Exported { records: size, ..folder.counts })
}

/// The tile of a level that is being filled, and how many are full.
#[derive(Default)]
struct Level {
    hashes: Vec<Hash>,
    full: u64,
}

/// Adds a leaf; a tile that becomes full is written, and its root goes one level up.
fn push(folder: &mut Folder, levels: &mut Vec<Level>, leaf: Hash) -> Result<(), ExportError> {
    let mut hash = leaf;
    for number in 0.. {
        if number == levels.len() {
            levels.push(Level::default());
        }
        let level = &mut levels[number];
        level.hashes.push(hash);
        if level.hashes.len() < TILE_WIDTH {
            return Ok(());
        }
        folder.put(&number.to_string(), level.full, TILE_WIDTH, level.hashes.as_flattened())?;
        hash = root_of_full(&level.hashes);
        level.hashes.clear();
        level.full += 1;
    }
    Ok(())
}

/// The root over the hashes of a full tile.
fn root_of_full(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row[0]
}

/// `x001/x234/067` for 1234067.
fn tile_path(number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// The folder that is written into.
struct Folder {
    dir: PathBuf,
    counts: Exported,
}

impl Folder {
    fn open(dir: &Path, checkpoint: &SignedCheckpoint) -> Result<Folder, ExportError> {
        let folder = Folder { dir: dir.to_owned(), counts: Exported::default() };
        let occupied = |what| Err(ExportError::Occupied { path: dir.to_owned(), what });
        fs::create_dir_all(dir).map_err(|source| ExportError::Io { path: dir.to_owned(), source })?;
        let path = dir.join(CHECKPOINT);
        match fs::read_to_string(&path) {
            Ok(text) => match SignedCheckpoint::parse(&text) {
                Ok(there) if there.origin() != checkpoint.origin() => {
                    occupied("holds the export of another log")
                }
                Ok(there) if there.size() > checkpoint.size() => {
                    occupied("holds a later export of this log: the log was cut off, or is an old copy")
                }
                Ok(_) => Ok(folder),
                Err(_) => occupied("holds a checkpoint that can't be read"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut entries =
                    fs::read_dir(dir).map_err(|source| ExportError::Io { path: dir.to_owned(), source })?;
                // What an export that was cut off left is written over, or compared.
                if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "tile")) {
                    return occupied("is not empty, and holds no export");
                }
                Ok(folder)
            }
            Err(source) => Err(ExportError::Io { path, source }),
        }
    }

    /// Writes a tile or bundle, or sees that it is there already.
    fn put(&mut self, level: &str, number: u64, width: usize, bytes: &[u8]) -> Result<(), ExportError> {
        let mut path = format!("tile/{level}/{}", tile_path(number));
        if width < TILE_WIDTH {
            path = format!("{path}.p/{width}");
        }
        let path = self.dir.join(path);
        match fs::read(&path) {
            Ok(there) if there == bytes => {
                self.counts.kept += 1;
                return Ok(());
            }
            Ok(_) => {
                let what =
                    "is there with other bytes: that export is of another log, or one of them was changed";
                return Err(ExportError::Occupied { path, what });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ExportError::Io { path, source }),
        }
        write_whole(&path, bytes, false)?;
        self.counts.written += 1;
        Ok(())
    }

    fn finish(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), ExportError> {
        write_whole(&self.dir.join(CHECKPOINT), checkpoint.note().as_bytes(), true)?;
        self.counts.written += 1;
        Ok(())
    }
}

/// Puts a file in its place whole; `durable` waits for the disk.
fn write_whole(path: &Path, bytes: &[u8], durable: bool) -> Result<(), ExportError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // `.new` is no name that a tile can have.
        let temporary = path.with_extension("new");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    };
    write().map_err(|source| ExportError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::tile_path;

    #[test]
    fn numbers_are_written_in_groups_of_three() {
        for (number, path) in [(0, "000"), (67, "067"), (1000, "x001/000"), (1_234_067, "x001/x234/067")] {
            assert_eq!(tile_path(number), path);
        }
    }
}
