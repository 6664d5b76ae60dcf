//! One writer for each log: an exclusive `flock` on `dir/lock`.
//!
//! The kernel drops the lock when its holder dies, however it dies; the text in the file only tells people who it is.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Who holds a log's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id, as that process sees it; 0 if it has not written it yet.
    pub pid: u32,
    /// When it opened the log, in whole seconds.
    pub since: SystemTime,
}

fn open(dir: &Path, create: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    std::fs::OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits() as i32)
        .open(dir.join("lock"))
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // What the file says is for people: a file that cannot be read or parsed is a holder without a name.
    let _ = file.take(64).read_to_string(&mut text);
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    let since = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    Holder { pid, since: UNIX_EPOCH + Duration::from_secs(since) }
}

/// Who has the log in `dir` open for writing; `None` if nobody has.
///
/// Asking takes a shared lock for an instant; a writer that opens at that instant tries again.
pub fn lock_holder(dir: &Path) -> Option<Holder> {
    let mut file = open(dir, false).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Some(read_holder(&mut file)),
        _ => None,
    }
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock or says who has it.
pub(crate) fn acquire(dir: &Path) -> io::Result<Result<Lock, Holder>> {
    let mut file = open(dir, true)?;
    let mut attempts = 0;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            // Somebody may just be asking who holds it: such locks last microseconds.
            Err(Errno::WOULDBLOCK) if attempts < 5 => {
                attempts += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::WOULDBLOCK) => return Ok(Err(read_holder(&mut file))),
            Err(error) => return Err(error.into()),
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n{}\n", std::process::id(), now.as_secs()).as_bytes())?;
    Ok(Ok(Lock { _file: file }))
}
