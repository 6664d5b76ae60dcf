//! A folder that shows a runtime's folder of settings with ours in it, for one run.
//!
//! Everything in it is a link to the user's own, but for the files that capture adds or changes
//! and the folders on the way to them. What the runtime puts there in the meantime is the user's:
//! [`Overlay::take_back`] moves it to where it belongs, and leaves a link in the place of the folder,
//! because the trail knows the run's transcripts by their paths there.

use crate::agents::{Agent, Hook, Place, Scope};
use crate::settings_file::{SettingsFile, tilde};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Such a folder.
pub struct Overlay {
    /// The user's own.
    base: PathBuf,
    /// The one that stands for it.
    root: PathBuf,
    /// What was written, by its path from there.
    written: BTreeMap<PathBuf, String>,
    /// Folders that were made for transcripts.
    made: Vec<PathBuf>,
}

/// Where a runtime keeps transcripts: as they grow, they grow in the user's own folder.
fn transcripts(runtime: &str) -> &'static [&'static str] {
    match runtime {
        "gemini-cli" => &["tmp/", "history/"],
        "hermes" => &["sessions/", "state.db"],
        "openclaw" => &["agents/"],
        _ => &[],
    }
}

impl Overlay {
    /// Makes it at `root`, for the user's settings of `agent` in `base`.
    ///
    /// # Errors
    /// When the settings can't be understood, or the folder can't be made.
    pub fn new(
        agent: &dyn Agent,
        place: &Place<'_>,
        hook: &Hook,
        base: &Path,
        root: &Path,
    ) -> anyhow::Result<Overlay> {
        let mut texts: Vec<(PathBuf, String)> = Vec::new();
        let mut written = BTreeMap::new();
        for path in agent.files(Scope::User, place).unwrap_or_default() {
            let file = SettingsFile::read(path.clone(), 0o600)?;
            let beside: Vec<(&Path, &str)> = texts.iter().map(|(path, text)| (&**path, &**text)).collect();
            let text = agent
                .add_beside(&path, file.text.as_deref(), hook, &beside)
                .map_err(|error| anyhow::anyhow!("can't understand {}: {error}", tilde(&path)))?;
            let inside = path.strip_prefix(base).with_context(|| {
                format!("{} is not in {}, so it can't be changed for one run", tilde(&path), tilde(base))
            })?;
            if file.text.as_ref() != Some(&text) && !text.is_empty() {
                written.insert(inside.to_owned(), text.clone());
            }
            texts.push((path, text));
        }
        let mut overlay = Overlay { base: base.to_owned(), root: root.to_owned(), written, made: Vec::new() };
        let made = overlay.make(Path::new("")).and_then(|()| overlay.link_transcripts(agent.runtime()));
        made.with_context(|| format!("can't make {}", root.display()))?;
        Ok(overlay)
    }

    fn link_transcripts(&mut self, runtime: &str) -> std::io::Result<()> {
        for name in transcripts(runtime) {
            let (real, shown) = (self.base.join(name), self.root.join(name.trim_end_matches('/')));
            if shown.symlink_metadata().is_ok() {
                continue;
            }
            if name.ends_with('/') {
                fs::create_dir_all(&real)?;
                self.made.push(real.clone());
            }
            symlink(&real, &shown)?;
        }
        Ok(())
    }

    /// Makes the folder `inside`, which has something of ours in it.
    fn make(&self, inside: &Path) -> std::io::Result<()> {
        let (real, shown) = (self.base.join(inside), self.root.join(inside));
        fs::create_dir_all(&shown)?;
        for entry in fs::read_dir(&real).into_iter().flatten().flatten() {
            let path = inside.join(entry.file_name());
            if !self.written.keys().any(|written| written.starts_with(&path)) {
                symlink(fs::canonicalize(entry.path()).unwrap_or(entry.path()), self.root.join(&path))?;
            }
        }
        for (written, text) in &self.written {
            let Ok(rest) = written.strip_prefix(inside) else { continue };
            let Some(first) = rest.components().next() else { continue };
            if rest.components().count() == 1 {
                fs::write(self.root.join(written), text)?;
            } else if !self.root.join(inside).join(first).exists() {
                self.make(&inside.join(first))?;
            }
        }
        Ok(())
    }

    /// Moves what the runtime made in the folder to the user's own, and takes over what it changed
    /// in settings. What could not be is said.
    pub fn take_back(self, agent: &dyn Agent) -> Vec<String> {
        let mut notes = Vec::new();
        for (inside, text) in &self.written {
            let Ok(now) = fs::read_to_string(self.root.join(inside)) else { continue };
            let real = self.base.join(inside);
            if now != *text && real.exists() {
                let kept = agent.remove(&real, &now).ok().flatten();
                let done =
                    SettingsFile::read(real.clone(), 0o600).and_then(|file| file.write(kept.as_deref()));
                if let Err(error) = done {
                    notes.push(format!(
                        "what was changed in {} in this run is not kept: {error:#}",
                        tilde(&real)
                    ));
                }
            }
        }
        self.move_back(Path::new(""), &mut notes);
        for made in &self.made {
            let _ = fs::remove_dir(made);
        }
        if let Err(error) = self.leave_link() {
            notes.push(format!("{} can't be made a link: {error}", tilde(&self.root)));
        }
        notes
    }

    /// In one step, so that whoever reads a transcript just now finds it.
    fn leave_link(&self) -> std::io::Result<()> {
        let link = self.root.with_extension("link");
        symlink(&self.base, &link)?;
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &link,
            rustix::fs::CWD,
            &self.root,
            rustix::fs::RenameFlags::EXCHANGE,
        )?;
        fs::remove_dir_all(&link)
    }

    fn move_back(&self, inside: &Path, notes: &mut Vec<String>) {
        for entry in fs::read_dir(self.root.join(inside)).into_iter().flatten().flatten() {
            let path = inside.join(entry.file_name());
            // A folder of that name is ours, with what is made of our files there.
            let is_ours = entry.file_name() == "fdr" || self.written.contains_key(&path);
            if is_ours || entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let real = self.base.join(&path);
            if self.written.keys().any(|written| written.starts_with(&path)) {
                self.move_back(&path, notes);
                continue;
            }
            // A file that was a link is one of the user's that was replaced rather than written.
            let made = real.parent().map_or(Ok(()), fs::create_dir_all);
            if let Err(error) = made.and_then(|()| fs::rename(entry.path(), &real)) {
                notes.push(format!("{} was made in this run and is lost: {error}", tilde(&real)));
            }
        }
    }
}
