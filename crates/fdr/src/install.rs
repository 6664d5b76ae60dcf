//! `fdr install` and `fdr uninstall`: hooks in the settings of Claude Code.
//!
//! A settings file is backed up before its first change, written beside itself and renamed, so
//! that there is never half of one; through a symbolic link it is the target that is written.

use crate::claude_settings::{self, EVENTS, HOOK_PROGRAM, Hook, SettingsError};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Arguments of `fdr install`.
#[derive(Args, Debug)]
pub struct InstallArgs {
    #[command(subcommand)]
    agent: InstallAgent,
}

#[derive(Subcommand, Debug)]
enum InstallAgent {
    /// Record Claude Code: puts a hook for every event into its settings.
    ClaudeCode {
        #[command(flatten)]
        scope: ScopeArgs,
        /// Show what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// The program that the hooks call, instead of the fdr-hook beside this program.
        #[arg(long, value_name = "FILE")]
        hook_path: Option<PathBuf>,
    },
}

/// Arguments of `fdr uninstall`.
#[derive(Args, Debug)]
pub struct UninstallArgs {
    #[command(subcommand)]
    agent: UninstallAgent,
}

#[derive(Subcommand, Debug)]
enum UninstallAgent {
    /// Stop recording Claude Code: takes the hooks of fdr out of its settings, and nothing else.
    ClaudeCode {
        #[command(flatten)]
        scope: ScopeArgs,
        /// Show what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which settings.
#[derive(Args, Debug, Clone, Copy, Default)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// Your settings, for all projects: ~/.claude/settings.json, or $CLAUDE_CONFIG_DIR (default).
    #[arg(long)]
    user: bool,
    /// This project's settings, which are shared with it: .claude/settings.json
    #[arg(long)]
    project: bool,
    /// This project's settings for you alone: .claude/settings.local.json
    #[arg(long)]
    local: bool,
}

/// A place where Claude Code looks for settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All projects of a user.
    User,
    /// A project, for all who work on it.
    Project,
    /// A project, for one user.
    Local,
}

impl ScopeArgs {
    fn scope(self) -> Scope {
        match self {
            ScopeArgs { project: true, .. } => Scope::Project,
            ScopeArgs { local: true, .. } => Scope::Local,
            _ => Scope::User,
        }
    }
}

impl Scope {
    /// The option that chooses it, as typed.
    pub fn option(self) -> &'static str {
        match self {
            Scope::User => "",
            Scope::Project => " --project",
            Scope::Local => " --local",
        }
    }

    /// The settings file.
    ///
    /// # Errors
    /// When there is no home or current folder.
    pub fn file(self) -> anyhow::Result<PathBuf> {
        match self {
            Scope::User => Ok(user_config_dir()?.join("settings.json")),
            Scope::Project => Ok(project_root()?.join(".claude/settings.json")),
            Scope::Local => Ok(project_root()?.join(".claude/settings.local.json")),
        }
    }
}

/// `$CLAUDE_CONFIG_DIR`, else `~/.claude`.
///
/// # Errors
/// When neither is known.
pub fn user_config_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CLAUDE_CONFIG_DIR")
        .or_else(|| set("HOME").map(|home| home.join(".claude")))
        .context("neither HOME nor CLAUDE_CONFIG_DIR is set, so Claude Code's settings can't be found")
}

/// The root of the git work tree around the current folder, else that folder.
///
/// # Errors
/// When there is no current folder.
pub fn project_root() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("can't tell the current folder")?;
    let root = here.ancestors().find(|dir| dir.join(".git").exists());
    Ok(root.unwrap_or(&here).to_owned())
}

/// `fdr install`. `home` is the recorder's folder; the hooks name it if `explicit_home`.
///
/// # Errors
/// When the settings can't be read, understood or written; they are then as they were.
pub fn install(
    args: &InstallArgs,
    home: &Path,
    explicit_home: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let InstallAgent::ClaudeCode { scope, dry_run, hook_path } = &args.agent;
    let scope = scope.scope();
    let hook = Hook {
        program: utf8(hook_program(hook_path.as_deref())?)?,
        home: if explicit_home { Some(utf8(home.to_owned())?) } else { None },
    };
    let file = SettingsFile::read(scope.file()?)?;
    let before = file.text.as_deref().unwrap_or_default();
    let known = claude_settings::read(before).map(|facts| facts.hooks.len()).unwrap_or_default();
    let after = claude_settings::add(before, &hook).map_err(|error| file.refuse(&error))?;
    let path = tilde(&file.path);
    if after == before {
        writeln!(
            out,
            "claude-code   {} of {} hooks are in {path} already; nothing to do",
            EVENTS.len(),
            EVENTS.len()
        )?;
        return Ok(0);
    }
    if *dry_run {
        return file.show_diff(&after, out);
    }
    // Only the first change is of a file without hooks of ours; later ones have a backup.
    let backup = if file.text.is_some() && known == 0 { Some(file.back_up()?) } else { None };
    file.write(&after)?;
    let verb = if known == 0 { "added to" } else { "brought up to date in" };
    writeln!(out, "claude-code   {} hooks {verb} {path}", EVENTS.len())?;
    if let Some(backup) = backup {
        writeln!(out, "backup        {}", tilde(&backup))?;
    }
    if scope == Scope::Project {
        writeln!(
            out,
            "look          this file is usually committed, and the hooks name a path of this machine; for you alone: --local"
        )?;
    }
    writeln!(out, "next          start claude anew, then: fdr tail      (is all in place? fdr doctor)")?;
    Ok(0)
}

/// `fdr uninstall`.
///
/// # Errors
/// When the settings can't be read, understood or written; they are then as they were.
pub fn uninstall(args: &UninstallArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let UninstallAgent::ClaudeCode { scope, dry_run } = &args.agent;
    let file = SettingsFile::read(scope.scope().file()?)?;
    let path = tilde(&file.path);
    let Some(before) = &file.text else {
        writeln!(out, "claude-code   there is no {path}; nothing to do")?;
        return Ok(0);
    };
    let facts = claude_settings::read(before).map_err(|error| file.refuse(&error))?;
    let Some(found) = facts.hooks.first() else {
        writeln!(out, "claude-code   no hooks of fdr in {path}; nothing to do")?;
        return Ok(0);
    };
    let removed = claude_settings::remove(before).map_err(|error| file.refuse(&error))?;

    // If nothing but our hooks has changed since, the very bytes of before are known.
    let backups = file.backups();
    let original = backups.iter().find_map(|backup| {
        let text = fs::read_to_string(backup).ok()?;
        let same = claude_settings::add(&text, &found.hook).is_ok_and(|added| added == *before);
        same.then(|| (backup.clone(), text))
    });
    let (after, restored) = match original {
        Some((backup, text)) => (text, Some(backup)),
        None => (removed, None),
    };
    // No backup: there was no file before us, so there is none after us.
    let remove_file = backups.is_empty() && claude_settings::is_empty(&after);
    if *dry_run {
        return file.show_diff(if remove_file { "" } else { &after }, out);
    }
    let count = facts.hooks.len();
    if remove_file {
        fs::remove_file(&file.target).with_context(|| format!("can't remove {path}"))?;
        writeln!(out, "claude-code   {count} hooks removed, and with them {path}, which held nothing else")?;
        return Ok(0);
    }
    file.write(&after)?;
    writeln!(out, "claude-code   {count} hooks removed from {path}")?;
    if let Some(backup) = restored {
        fs::remove_file(&backup).with_context(|| format!("can't remove the backup {}", backup.display()))?;
        writeln!(out, "restored      every byte as it was before fdr")?;
    }
    Ok(0)
}

/// The program that the hooks shall call, made sure of.
fn hook_program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => std::path::absolute(path)?,
        None => {
            std::env::current_exe().context("can't tell where this program is")?.with_file_name(HOOK_PROGRAM)
        }
    };
    let what = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
            if path.file_name().is_some_and(|name| name == HOOK_PROGRAM) {
                return Ok(path);
            }
            "is not named fdr-hook, so its hooks could not be told from others"
        }
        Ok(_) => "is not an executable program",
        Err(_) if given.is_some() => "does not exist",
        Err(_) => "is missing; it belongs beside fdr",
    };
    bail!(
        "can't install: {} {what}\n  build both:       cargo build --release --workspace\n  or name another:  fdr install claude-code --hook-path FILE",
        path.display()
    );
}

fn utf8(path: PathBuf) -> anyhow::Result<String> {
    path.into_os_string().into_string().map_err(|path| {
        anyhow::anyhow!(
            "the path {} is not UTF-8, so it can't stand in a settings file",
            Path::new(&path).display()
        )
    })
}

/// A path as people write it.
pub fn tilde(path: &Path) -> String {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// A settings file as it was read.
struct SettingsFile {
    path: PathBuf,
    /// What `path` links to in the end.
    target: PathBuf,
    /// `None` if there is none.
    text: Option<String>,
}

impl SettingsFile {
    fn read(path: PathBuf) -> anyhow::Result<SettingsFile> {
        let target = resolve(&path);
        let text = match fs::read(&target) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
                anyhow::anyhow!("can't change {}: it is not UTF-8 text; it was left as it is", path.display())
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        Ok(SettingsFile { path, target, text })
    }

    fn refuse(&self, error: &SettingsError) -> anyhow::Error {
        let path = tilde(&self.path);
        let line = match error {
            SettingsError::Syntax { line, .. } | SettingsError::Shape { line, .. } => line,
        };
        anyhow::anyhow!(
            "can't change {path}: {error}\n  the file was left as it is; correct line {line} and try again"
        )
    }

    fn show_diff(&self, after: &str, out: &mut dyn Write) -> anyhow::Result<u8> {
        let before = self.text.as_deref().unwrap_or_default();
        let path = self.path.display().to_string();
        let old = if self.text.is_some() { path.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(before, after);
        write!(out, "{}", diff.unified_diff().context_radius(3).header(old, &path))?;
        Ok(0)
    }

    /// Backups of this file, the newest first.
    fn backups(&self) -> Vec<PathBuf> {
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

    fn back_up(&self) -> anyhow::Result<PathBuf> {
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
        fs::metadata(&self.target).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777)
    }

    /// Replaces the file in one step.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let path = tilde(&self.path);
        let dir = self.target.parent().unwrap_or(Path::new("/"));
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
            // Claude Code writes this file too.
            let now = match fs::read_to_string(&self.target) {
                Ok(now) => Some(now),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if now != self.text {
                return Err(io::Error::other("it was changed by another program just now; try again"));
            }
            fs::rename(&part, &self.target)?;
            File::open(dir)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.with_context(|| format!("can't write {path}; it was left as it is"))
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
