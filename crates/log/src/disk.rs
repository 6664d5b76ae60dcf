//! The one seam between the log and the disk.
//!
//! Everything the log stores goes through [`Disk`] and [`DiskFile`]; tests put a simulated disk there that tears,
//! loses and reorders sector writes. [`Directory`] is the real one: a directory, files opened with `O_DIRECT|O_DSYNC`
//! where the file system allows it, so that a write is durable when it returns and recovery reads the device and not
//! the page cache (after a failed write the cache may hold pages that never reached the disk).

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

/// Offsets, lengths and buffers of segment I/O are multiples of this many bytes.
pub const BLOCK_BYTES: usize = 4096;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For readers and the verifier; the page cache may serve it.
    Read,
    /// For recovery: past the page cache where the file system can. Offsets, lengths and buffers must be aligned.
    Recover,
    /// For the writer: an existing file; writes are durable on return. Everything must be aligned.
    Write,
    /// As `Write`, and the file is made; it must not exist.
    Create,
}

/// A flat set of named files. Names contain no path separators.
pub trait Disk: Send + Sync {
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file. Anything but a regular file is refused.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes names that were created durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Puts `bytes` into the file `name` so that after a crash it has either the old content or all of the new.
    /// Durable on return; of an error the outcome is unknown, but it is one of the two.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Keeps a copy of bytes that were set aside, durably; says where. Never overwrites.
    fn quarantine(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf>;
    /// Free space in bytes for an unprivileged user, where it is known.
    fn free_bytes(&self) -> Option<u64>;
    /// Gives the file `from` the name `to`, at once; what had that name is gone. Durable after
    /// [`sync_names`](Self::sync_names). Without it no segment is sealed.
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Takes the name of a file away, durably after [`sync_names`](Self::sync_names); who has it open may read on.
    /// Asked only for segments that were sealed, or pruned, and for files that were never finished.
    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// The file's length in bytes.
    fn size_bytes(&self) -> io::Result<u64>;
    /// Reads at `offset` until the buffer is full or the file ends; returns how many bytes were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`; durable on return. After an error the outcome is unknown.
    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`; durable only after [`sync`](Self::sync).
    fn write_lazily(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all earlier writes and the file's length durable.
    fn sync(&self) -> io::Result<()>;
}

/// Bytes whose start is aligned to [`BLOCK_BYTES`], as `O_DIRECT` demands. Has no `unsafe`: it reserves one block
/// more than asked for and starts at the first aligned byte within.
pub struct AlignedBuffer {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> AlignedBuffer {
        let storage = vec![0u8; capacity.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES];
        let start = aligned_start(&storage);
        AlignedBuffer { storage, start, len: 0 }
    }

    /// How many bytes fit without moving.
    pub fn capacity(&self) -> usize {
        self.storage.len() - BLOCK_BYTES
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(self.len + bytes.len());
        let at = self.start + self.len;
        self.storage[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Sets the length; bytes gained are zero.
    pub fn resize(&mut self, len: usize) {
        self.reserve(len);
        if len > self.len {
            self.storage[self.start + self.len..self.start + len].fill(0);
        }
        self.len = len;
    }

    /// Sets the length without clearing bytes gained: for a buffer about to be read into.
    pub(crate) fn set_len_uncleared(&mut self, len: usize) {
        self.reserve(len);
        self.len = len;
    }

    fn reserve(&mut self, len: usize) {
        if len > self.capacity() {
            let mut larger = AlignedBuffer::with_capacity(len.max(self.capacity() * 2));
            larger.len = self.len;
            larger[..].copy_from_slice(self);
            *self = larger;
        }
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

fn aligned_start(storage: &[u8]) -> usize {
    storage.as_ptr().addr().next_multiple_of(BLOCK_BYTES) - storage.as_ptr().addr()
}

/// A real directory.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    direct: bool,
}

impl Directory {
    /// The directory `path`; `direct` asks for `O_DIRECT|O_DSYNC`, which is given up file by file where the file
    /// system refuses it. Nothing is created or read yet.
    pub fn new(path: &Path, direct: bool) -> Directory {
        Directory { path: path.to_owned(), direct }
    }

    fn open_plain(&self, name: &str, access: Access, flags: OFlags) -> io::Result<File> {
        // O_NOFOLLOW: a symlink planted in the log must not lead elsewhere. O_NONBLOCK: a planted FIFO must not hang.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).mode(0o600).custom_flags(flags.bits() as i32);
        match access {
            Access::Read | Access::Recover => {}
            Access::Write => drop(options.write(true)),
            Access::Create => drop(options.write(true).create_new(true)),
        }
        let file = options.open(self.path.join(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(file)
    }

    /// Other systems have no such flag: the answer is as of a file system that refuses it.
    #[cfg(not(target_os = "linux"))]
    fn open_direct(&self, _name: &str, _access: Access) -> io::Result<File> {
        Err(rustix::io::Errno::INVAL.into())
    }

    #[cfg(target_os = "linux")]
    fn open_direct(&self, name: &str, access: Access) -> io::Result<File> {
        let durable = if access == Access::Recover { OFlags::empty() } else { OFlags::DSYNC };
        let file = self.open_plain(name, access, OFlags::DIRECT | durable)?;
        // Some file systems accept the flag and refuse the I/O: ask with a read.
        let mut block = AlignedBuffer::with_capacity(BLOCK_BYTES);
        block.resize(BLOCK_BYTES);
        match file.read_at(&mut block, 0) {
            Ok(_) => Ok(file),
            Err(error) if access == Access::Create => {
                std::fs::remove_file(self.path.join(name))?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if self.direct && access != Access::Read {
            match self.open_direct(name, access) {
                Ok(file) => return Ok(Arc::new(RealFile { file, synchronous: access != Access::Recover })),
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        let file = self.open_plain(name, access, OFlags::empty())?;
        if access == Access::Recover {
            // Best effort without O_DIRECT: drop clean pages, so that what is read comes from the device.
            #[cfg(target_os = "linux")]
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        } else if access == Access::Read {
            #[cfg(target_os = "linux")]
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        }
        Ok(Arc::new(RealFile { file, synchronous: false }))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(flags)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.path.join(name))?;
        self.sync_names()
    }

    fn quarantine(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let directory = self.path.join("quarantine");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        for attempt in 0..1000 {
            let path =
                directory.join(if attempt == 0 { name.to_owned() } else { format!("{name}.{attempt}") });
            match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
                Ok(mut file) => {
                    file.write_all(bytes)?;
                    file.sync_all()?;
                    File::open(&directory)?.sync_all()?;
                    self.sync_names()?;
                    return Ok(path);
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "quarantine/ holds 1,000 copies under this name"))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn free_bytes(&self) -> Option<u64> {
        rustix::fs::statvfs(&self.path).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// A file of a [`Directory`].
struct RealFile {
    file: File,
    /// Opened with `O_DSYNC`: a write is durable when it returns.
    synchronous: bool,
}

impl DiskFile for RealFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    // A short direct read that is no multiple of a block has met the end of the file.
                    if !count.is_multiple_of(BLOCK_BYTES) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        if self.synchronous { Ok(()) } else { self.file.sync_data() }
    }

    fn write_lazily(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_buffers_are_aligned_and_keep_their_bytes_when_they_grow() {
        let mut buffer = AlignedBuffer::with_capacity(10);
        buffer.extend(b"hello");
        buffer.resize(3 * BLOCK_BYTES);
        assert!(buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES));
        assert_eq!(&buffer[..5], b"hello");
        assert!(buffer[5..].iter().all(|byte| *byte == 0));
    }
}
