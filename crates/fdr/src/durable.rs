//! Small files of the recorder: there whole after a crash or not at all, and gone for good when they are destroyed.

use anyhow::Context;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file is called while it is written.
pub const UNFINISHED: &str = ".new";

/// Writes a file for its owner alone, in place of the one that is there, and waits until that is on disk.
///
/// # Errors
/// Those of the disk; then it is the old file or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let new = Path::new(&name);
    // Left by a crash.
    remove_if_there(new)?;
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    sync_folder(path)
}

/// [`replace`], with an error that names the file.
///
/// # Errors
/// Those of [`replace`].
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes).with_context(|| format!("can't write {}", path.display()))
}

/// [`replace`], and what stood there before is overwritten where it lies, as far as the disk does that.
///
/// # Errors
/// Those of the disk.
pub fn replace_and_destroy(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = File::options().write(true).open(path).ok();
    replace(path, bytes)?;
    old.map_or(Ok(()), overwrite)
}

fn overwrite(mut file: File) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    while left > 0 {
        let now = left.min(4096);
        file.write_all(&vec![0; now as usize])?;
        left -= now;
    }
    file.sync_all()
}

/// Gives a file another name, and waits until that is on disk.
///
/// # Errors
/// Those of the disk.
pub fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let renamed = std::fs::rename(from, to).and_then(|()| sync_folder(to));
    renamed.with_context(|| format!("can't write {}", to.display()))
}

/// Overwrites a file and removes it, and waits until that is on disk. One that is gone is none.
///
/// On a disk that writes elsewhere than it is told to (flash, copy-on-write, snapshots) the old bytes may still be
/// there; see docs/erasure.md.
///
/// # Errors
/// Those of the disk.
pub fn destroy(path: &Path) -> anyhow::Result<()> {
    let destroy = || {
        match File::options().write(true).open(path) {
            Ok(file) => overwrite(file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        remove_if_there(path)?;
        sync_folder(path)
    };
    destroy().with_context(|| format!("can't destroy {}", path.display()))
}

/// Removes a file without further ado.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
