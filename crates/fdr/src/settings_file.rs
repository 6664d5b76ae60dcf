//! A person's settings file, changed with care.
//!
//! A file is backed up before its first change, written beside itself and renamed, so that there
//! is never half of one; through a symbolic link it is the target that is written. What another
//! program writes in the meantime is noticed, and kept.

use crate::agents::SettingsError;
use anyhow::{Context, bail};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A settings file as it was read.
pub struct SettingsFile {
    /// Its path as the runtime names it.
    pub path: PathBuf,
    /// `None` if there is none.
    pub text: Option<String>,
    /// What `path` links to in the end.
    target: PathBuf,
    /// Permissions of a file that is made anew.
    mode: u32,
}

impl SettingsFile {
    /// Reads it. `mode` is for a file that is made anew.
    ///
    /// # Errors
    /// When it can't be read, or is not UTF-8.
    pub fn read(path: PathBuf, mode: u32) -> anyhow::Result<SettingsFile> {
        let target = resolve(&path);
        let text = match fs::read(&target) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
                anyhow::anyhow!("can't change {}: it is not UTF-8 text; it was left as it is", path.display())
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        Ok(SettingsFile { path, target, text, mode })
    }

    /// The file as it is after a change to `text`.
    pub fn after(&self, text: Option<String>) -> SettingsFile {
        SettingsFile { path: self.path.clone(), target: self.target.clone(), mode: self.mode, text }
    }

    /// What is said when its text can't be edited.
    pub fn refuse(&self, error: &SettingsError) -> anyhow::Error {
        anyhow::anyhow!(
            "can't change {}: {error}\n  the file was left as it is; correct line {} and try again",
            tilde(&self.path),
            error.line()
        )
    }

    /// Prints the change to `after` as a unified diff.
    ///
    /// # Errors
    /// When it can't be printed.
    pub fn show_diff(&self, after: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
        let before = self.text.as_deref().unwrap_or_default();
        let path = self.path.display().to_string();
        let name = |text: Option<&str>| if text.is_some() { path.clone() } else { "/dev/null".to_owned() };
        let diff = similar::TextDiff::from_lines(before, after.unwrap_or_default());
        let (old, new) = (name(self.text.as_deref()), name(after));
        write!(out, "{}", diff.unified_diff().context_radius(3).header(&old, &new))
    }

    /// Backups of this file, the newest first.
    pub fn backups(&self) -> Vec<PathBuf> {
        let Some((dir, name)) = self.path.parent().zip(self.path.file_name()) else { return Vec::new() };
        let prefix = format!("{}.fdr-backup-", name.to_string_lossy());
        let mut found: Vec<PathBuf> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found.reverse();
        found
    }

    /// Keeps the text as it was read beside the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn back_up(&self) -> anyhow::Result<PathBuf> {
        let text = self.text.as_deref().unwrap_or_default();
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for attempt in 0..100 {
            let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let backup = self.path.with_file_name(format!("{name}.fdr-backup-{now}{suffix}"));
            match create(&backup, self.mode()) {
                Ok(mut file) => {
                    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                    written.with_context(|| format!("can't write the backup {}", backup.display()))?;
                    return Ok(backup);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("can't write the backup {}; nothing was changed", backup.display())
                    });
                }
            }
        }
        bail!("can't find a name for a backup beside {}", self.path.display());
    }

    fn mode(&self) -> u32 {
        fs::metadata(&self.target).map_or(self.mode, |metadata| metadata.permissions().mode() & 0o7777)
    }

    /// Replaces the file in one step, or removes it.
    ///
    /// # Errors
    /// When it can't be written, or was changed since it was read; it is then as it was.
    pub fn write(&self, text: Option<&str>) -> anyhow::Result<()> {
        let path = tilde(&self.path);
        let dir = self.target.parent().unwrap_or(Path::new("/"));
        let Some(text) = text else {
            let removed = self.unchanged().and_then(|()| fs::remove_file(&self.target));
            return removed.with_context(|| format!("can't remove {path}"));
        };
        fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
        let name = self.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = dir.join(format!(".{name}.fdr-{}", std::process::id()));
        let mode = self.mode();
        let written = (|| {
            let mut file = create(&part, mode)?;
            // The umask may have taken bits away that the file had.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            self.unchanged()?;
            fs::rename(&part, &self.target)?;
            File::open(dir)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.with_context(|| format!("can't write {path}; it was left as it is"))
    }

    /// The runtime writes this file too.
    fn unchanged(&self) -> io::Result<()> {
        let now = match fs::read_to_string(&self.target) {
            Ok(now) => Some(now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if now == self.text {
            Ok(())
        } else {
            Err(io::Error::other("it was changed by another program just now; try again"))
        }
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(mode).open(path)
}

/// What `path` is a link to, however many links there are, even if that does not exist yet.
fn resolve(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("/")).join(link);
    }
    fs::canonicalize(&target).unwrap_or(target)
}

/// A path as people write it.
pub fn tilde(path: &Path) -> String {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
