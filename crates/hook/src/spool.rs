//! Messages that could not be given to a recorder, kept durably until one takes them.

use crate::client::create_home;
use crate::system::System;
use crate::wire::Request;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of the folder in the recorder's folder.
pub const FOLDER: &str = "spool";

/// Nanoseconds since the epoch; 0 for a clock before it.
pub fn now_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64)
}

/// Sixteen random bytes that name a sender.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn new_source() -> io::Result<[u8; 16]> {
    let mut source = [0; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut source)?;
    Ok(source)
}

/// Keeps `request` in a file of its own and returns when that is on disk. The name begins with
/// the time, so that sorted names are in order of arrival.
///
/// # Errors
/// Those of writing; the message is then nowhere.
pub fn keep(home: &Path, request: &Request) -> io::Result<PathBuf> {
    let system = System::of(home);
    let folder = folder(home, system.as_ref());
    if system.is_none() {
        create_home(&folder)?;
    }
    let mut request = request.clone();
    request.spooled = now_nanos();
    let source: String = request.source.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{:020}-{source}-{}", request.spooled, request.seq);
    let (part, path) = (folder.join(format!("{name}.part")), folder.join(format!("{name}.msg")));
    let written = (|| {
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&part)?;
        if system.is_some() {
            // The folder gives it the recorder's group, which has to read it; nobody else does.
            file.set_permissions(std::fs::Permissions::from_mode(0o640))?;
        }
        file.write_all(&request.encode())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)?;
        match File::open(&folder) {
            Ok(folder) => folder.sync_all(),
            // A folder that can't be read can't be synced by itself; its file takes the name along.
            Err(_) if system.is_some() => file.sync_all(),
            Err(error) => Err(error),
        }
    })();
    match written {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

fn folder(home: &Path, system: Option<&System>) -> PathBuf {
    system.map_or_else(|| home.join(FOLDER), |system| system.spool.clone())
}

/// The kept messages, oldest first.
///
/// # Errors
/// Those of reading the folder; a missing folder is an empty one.
pub fn waiting(home: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder(home, System::of(home).as_ref())) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "msg") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
