//! `fdr install` and `fdr uninstall`: hooks in the settings of an agent runtime.
//!
//! What stands in the files is the runtime's own business (`agents.rs`), how they are changed
//! without harm `settings_file.rs`'s. Several files of one runtime are changed together: when one
//! can't be, those before it are put back.

use crate::agents::{AGENTS, Agent, HOOK_PROGRAM, Hook, Place, Scope, agent};
use crate::home::Home;
use crate::settings_file::{SettingsFile, tilde};
use crate::system::Setup;
use crate::text;
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where hooks are put.
const WHERE: &str = "Where hooks are put:
  claude-code  ~/.claude/settings.json
               --project .claude/settings.json, --local .claude/settings.local.json
               --managed /etc/claude-code/managed-settings.d/fdr.json
  codex        ~/.codex/hooks.json, and trust in them into ~/.codex/config.toml
               --project .codex/hooks.json, and the same
               --managed /etc/codex/hooks.json, --lock /etc/codex/requirements.toml
  gemini-cli   ~/.gemini/settings.json, and ~/.gemini/extensions/fdr for folders not trusted
               --project .gemini/settings.json
               --managed /etc/gemini-cli/settings.json
  hermes       ~/.hermes/plugins/fdr, named in ~/.hermes/config.yaml
               --managed /etc/hermes/config.yaml
  opencode     ~/.config/opencode/plugin/fdr.js
               --project .opencode/plugin/fdr.js
               --managed /etc/opencode/fdr.js, named in /etc/opencode/opencode.json
  openclaw     ~/.openclaw/extensions/fdr, named in ~/.openclaw/openclaw.json
  cursor       ~/.cursor/hooks.json, --project .cursor/hooks.json, --managed /etc/cursor/hooks.json
               (by its documentation; not tried)

Variables that put these elsewhere (CODEX_HOME, …) are heeded. What was there stays byte for byte. \
The first change of a file leaves a backup beside it, and `fdr uninstall` undoes everything.";

/// Arguments of `fdr install`.
#[derive(Args, Debug)]
#[command(after_help = WHERE)]
pub struct InstallArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    /// With --managed: let managed hooks alone run, so that neither your settings, nor a
    /// project's, nor an agent can add or remove one (claude-code, codex).
    #[arg(long, requires = "managed")]
    lock: bool,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// With --system: the group whose members' agents are recorded.
    #[arg(long, requires = "system", value_name = "NAME", default_value = "fdr-users")]
    group: String,
    /// The program that the hooks call, instead of the fdr-hook beside this program.
    #[arg(long, value_name = "FILE")]
    hook_path: Option<PathBuf>,
}

/// Arguments of `fdr uninstall`.
#[derive(Args, Debug)]
pub struct UninstallArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// With --system: the group whose members' agents are recorded.
    #[arg(long, requires = "system", value_name = "NAME", default_value = "fdr-users")]
    group: String,
    /// With --system: remove what was recorded too, and the users.
    #[arg(long, requires = "system")]
    purge: bool,
}

/// Which runtimes.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// The agent runtime.
    #[arg(value_parser = PossibleValuesParser::new(AGENTS.map(|agent| agent.runtime())))]
    runtime: Option<String>,
    /// Every runtime that is on this machine.
    #[arg(long)]
    all: bool,
    /// No runtime, but a recorder of the machine's own, under a user of its own (root).
    #[arg(long)]
    system: bool,
}

/// Which settings.
#[derive(Args, Debug, Clone)]
pub struct ScopeArgs {
    /// Your settings, for all projects (default).
    #[arg(long, group = "scope")]
    user: bool,
    /// This project's settings, which are shared with it.
    #[arg(long, group = "scope")]
    project: bool,
    /// This project's settings for you alone.
    #[arg(long, group = "scope")]
    local: bool,
    /// The administrator's settings, for all users of this machine.
    #[arg(long, group = "scope")]
    managed: bool,
    #[command(flatten)]
    root: RootArg,
}

/// Where administrators' paths begin.
#[derive(Args, Debug, Clone)]
pub struct RootArg {
    /// The folder that administrators' paths are below of; for tests and images.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl RootArg {
    /// Where settings are for whoever runs this.
    ///
    /// # Errors
    /// When there is no home or current folder.
    pub fn place(&self) -> anyhow::Result<Place<'static>> {
        Ok(Place {
            home: variable("HOME").context("HOME is not set, so settings can't be found")?,
            project: project_root()?,
            root: self.root.clone(),
            env: &variable,
        })
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

impl ScopeArgs {
    fn scope(&self) -> Scope {
        match self {
            ScopeArgs { project: true, .. } => Scope::Project,
            ScopeArgs { local: true, .. } => Scope::Local,
            ScopeArgs { managed: true, .. } => Scope::Managed,
            _ => Scope::User,
        }
    }
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

/// The width of the column of names.
const NAME_WIDTH: usize = 12;

/// `fdr install`.
///
/// # Errors
/// When the settings can't be read, understood or written; they are then as they were.
pub fn install(args: &InstallArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    if args.which.system {
        return setup(&args.scope, &args.group, args.dry_run).install(out);
    }
    let hook = hook(args.hook_path.as_deref(), home)?;
    if let Some(weak) = home
        .system()
        .and_then(|_| changed_by_others(Path::new(&hook.program)))
        .filter(|weak| systems_root(weak, &args.scope.root.root))
    {
        bail!(
            "{} can be changed by others than root, and with it what the hooks do\n  install from where \
             fdr install --system put the programs:  /usr/local/lib/fdr/fdr install …",
            weak.display()
        );
    }
    let (place, scope) = (args.scope.root.place()?, args.scope.scope());
    let one = |agent: &dyn Agent, out: &mut dyn Write| {
        let changes = added(agent, scope, &place, &hook, args.lock)?;
        if args.dry_run {
            return show(&changes, out);
        }
        carry_out_install(agent, scope, &place, changes, out).map_err(|error| as_administrator(error, scope))
    };
    each(&args.which, &place, &one, out)
}

/// `fdr uninstall`.
///
/// # Errors
/// When the settings can't be read, understood or written; they are then as they were.
pub fn uninstall(args: &UninstallArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    if args.which.system {
        return setup(&args.scope, &args.group, args.dry_run).uninstall(args.purge, out);
    }
    let (place, scope) = (args.scope.root.place()?, args.scope.scope());
    let one = |agent: &dyn Agent, out: &mut dyn Write| {
        let changes = removed(agent, scope, &place)?;
        if args.dry_run {
            show(&changes, out)
        } else {
            carry_out_uninstall(agent, scope, &place, changes, out)
        }
    };
    each(&args.which, &place, &one, out)
}

fn setup<'a>(scope: &'a ScopeArgs, group: &'a str, dry_run: bool) -> Setup<'a> {
    Setup { root: &scope.root.root, group, dry_run }
}

/// Whether what is weak is the machine's, and not a folder that the root for tests and images is in.
pub fn systems_root(weak: &Path, root: &Path) -> bool {
    fs::canonicalize(root).is_ok_and(|root| weak.starts_with(root))
}

/// Says who may do it, where it was not this user.
fn as_administrator(error: anyhow::Error, scope: Scope) -> anyhow::Error {
    let denied = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    });
    if denied && scope == Scope::Managed {
        return error.context("an administrator's settings are root's: do this with sudo");
    }
    error
}

/// Does something for the runtime that was named, or for every one that is here.
fn each(
    which: &WhichArgs,
    place: &Place<'_>,
    one: &dyn Fn(&dyn Agent, &mut dyn Write) -> anyhow::Result<()>,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    if let Some(agent) = which.runtime.as_deref().and_then(agent) {
        return one(agent, out).map(|()| 0);
    }
    let (mut found, mut failed) = (0, 0);
    for agent in AGENTS {
        let name = agent.runtime();
        match whereabouts(agent, place) {
            None => writeln!(out, "{name:NAME_WIDTH$}  not on this machine")?,
            Some(_) => {
                found += 1;
                if let Err(error) = one(agent, out) {
                    failed += 1;
                    writeln!(
                        out,
                        "{name:NAME_WIDTH$}  FAILED: {}",
                        crate::text::line(&format!("{error:#}"))
                    )?;
                }
            }
        }
    }
    match (found, failed) {
        (0, _) => Ok(1),
        (_, 0) => Ok(0),
        _ => bail!("{} of {found} could not be done", failed),
    }
}

/// Where a runtime was seen: its program on PATH, else its folder of settings.
pub fn whereabouts(agent: &dyn Agent, place: &Place<'_>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .flat_map(|dir| agent.programs().iter().map(move |name| dir.join(name)))
        .find(|path| is_executable(path));
    program.or_else(|| Some(agent.folder(place)).filter(|dir| dir.is_dir()))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What is to become of a file.
struct Change {
    file: SettingsFile,
    /// `None`: it goes.
    after: Option<String>,
    /// Hooks of ours in it before and after.
    hooks: (usize, usize),
    /// Whether there was anything of ours in it before.
    had_ours: bool,
    /// The backup whose bytes `after` is.
    restored: Option<PathBuf>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.file.text == self.after
    }
}

/// The files of a scope, or why there are none.
fn files(agent: &dyn Agent, scope: Scope, place: &Place<'_>) -> anyhow::Result<Vec<SettingsFile>> {
    let Some(paths) = agent.files(scope, place) else {
        let offered: Vec<_> = Scope::ALL
            .into_iter()
            .filter(|scope| agent.files(*scope, place).is_some())
            .map(|scope| if scope == Scope::User { "--user" } else { scope.option().trim() })
            .collect();
        bail!(
            "{} has no settings of its own for{}\n  it has: {}",
            agent.title(),
            scope.option(),
            offered.join(", ")
        );
    };
    // What a project shares, and what an administrator sets, is for others to read.
    let mode = if matches!(scope, Scope::User | Scope::Local) { 0o600 } else { 0o644 };
    paths.into_iter().map(|path| SettingsFile::read(path, mode)).collect()
}

fn added(
    agent: &dyn Agent,
    scope: Scope,
    place: &Place<'_>,
    hook: &Hook,
    lock: bool,
) -> anyhow::Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut is_locked = false;
    for file in files(agent, scope, place)? {
        let path = file.path.clone();
        let done = (|| {
            let text = file.text.as_deref();
            let beside: Vec<(&Path, &str)> = changes
                .iter()
                .map(|change| (&*change.file.path, change.after.as_deref().unwrap_or_default()))
                .collect();
            let mut after = agent.add_beside(&path, text, hook, &beside)?;
            if lock && let Some(locked) = agent.lock(&path, &after) {
                (after, is_locked) = (locked?, true);
            }
            let count =
                |text: Option<&str>| text.map_or(Ok(0), |text| Ok(agent.read(&path, text)?.hooks.len()));
            // What stands before a change to another file counts: places may shift.
            let old: Vec<(&Path, &str)> = changes
                .iter()
                .map(|change| (&*change.file.path, change.file.text.as_deref().unwrap_or_default()))
                .collect();
            let had_ours = match text {
                Some(text) => agent.remove_beside(&path, text, &old)?.as_deref() != Some(text),
                None => false,
            };
            Ok((count(text)?, count(Some(&after))?, had_ours, after))
        })();
        let (before, now, had_ours, after) = done.map_err(|error| file.refuse(&error))?;
        // A file that would be empty is none.
        let after = Some(after).filter(|after| file.text.is_some() || !after.is_empty());
        changes.push(Change { file, after, hooks: (before, now), had_ours, restored: None });
    }
    if lock && !is_locked {
        bail!(
            "{} has no setting that lets managed hooks alone run; nothing was changed\n  without --lock its hooks are put into the administrator's settings all the same",
            agent.title()
        );
    }
    Ok(changes)
}

fn removed(agent: &dyn Agent, scope: Scope, place: &Place<'_>) -> anyhow::Result<Vec<Change>> {
    let files = files(agent, scope, place)?;
    let mut hook = None;
    for file in &files {
        let Some(text) = &file.text else { continue };
        let facts = agent.read(&file.path, text).map_err(|error| file.refuse(&error))?;
        hook = hook.or_else(|| facts.hooks.into_iter().next().map(|found| found.hook));
    }
    let texts: Vec<(PathBuf, String)> =
        files.iter().filter_map(|file| Some((file.path.clone(), file.text.clone()?))).collect();
    let mut changes = Vec::new();
    for file in files {
        let Some(before) = file.text.clone() else { continue };
        let path = file.path.clone();
        let refuse = |error| file.refuse(&error);
        let beside: Vec<(&Path, &str)> = texts
            .iter()
            .take_while(|(other, _)| *other != path)
            .map(|(path, text)| (&**path, &**text))
            .collect();
        let after = agent.remove_beside(&path, &before, &beside).map_err(refuse)?;
        if after.as_ref() == Some(&before) {
            continue;
        }
        let count = agent.read(&path, &before).map_err(refuse)?.hooks.len();
        // If nothing but what is ours has changed since, the very bytes of before are known.
        let original = file.backups().into_iter().find_map(|backup| {
            let text = fs::read_to_string(&backup).ok()?;
            let added = agent.add_beside(&path, Some(&text), hook.as_ref()?, &beside).ok()?;
            let locked = || agent.lock(&path, &added)?.ok();
            (added == before || locked() == Some(before.clone())).then_some((backup, text))
        });
        let (after, restored) = match original {
            Some((backup, text)) => (Some(text), Some(backup)),
            None => (after, None),
        };
        changes.push(Change { file, after, hooks: (count, 0), had_ours: true, restored });
    }
    Ok(changes)
}

fn show(changes: &[Change], out: &mut dyn Write) -> anyhow::Result<()> {
    for change in changes.iter().filter(|change| !change.is_none()) {
        change.file.show_diff(change.after.as_deref(), out)?;
    }
    Ok(())
}

/// Writes the changes; when one fails, those before it are put back.
fn write(changes: &[Change]) -> anyhow::Result<()> {
    for (at, change) in changes.iter().enumerate() {
        let Err(error) = change.file.write(change.after.as_deref()) else { continue };
        for done in changes[..at].iter().rev() {
            if let Err(second) = done.file.after(done.after.clone()).write(done.file.text.as_deref()) {
                return Err(error.context(format!("{second:#}")));
            }
        }
        return Err(error);
    }
    Ok(())
}

fn carry_out_install(
    agent: &dyn Agent,
    scope: Scope,
    place: &Place<'_>,
    changes: Vec<Change>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = agent.runtime();
    // A hook may stand in several files of a runtime that runs it once.
    let total = changes.iter().map(|change| change.hooks.1).max().unwrap_or_default();
    let had_ours = changes.iter().any(|change| change.had_ours);
    let program = changes.iter().find_map(|change| {
        let text = change.after.as_deref()?;
        let facts = agent.read(&change.file.path, text).ok()?;
        Some(facts.hooks.into_iter().next()?.hook.program)
    });
    let at = {
        let mut names: Vec<_> = changes
            .iter()
            .filter(|change| change.hooks.1 > 0)
            .map(|change| tilde(&change.file.path))
            .collect();
        names.dedup();
        names.join(" and ")
    };
    let (todo, _): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(|change| !change.is_none());
    if todo.is_empty() {
        writeln!(out, "{name:NAME_WIDTH$}  {total} of {total} hooks are in {at} already; nothing to do")?;
        return Ok(());
    }
    // Only the first change is of a file without anything of ours; later ones have a backup.
    let mut backups = Vec::new();
    for change in todo.iter().filter(|change| change.file.text.is_some() && !change.had_ours) {
        backups.push(change.file.back_up()?);
    }
    if let Err(error) = write(&todo) {
        for backup in backups {
            let _ = fs::remove_file(backup);
        }
        return Err(error);
    }
    let verb = if had_ours { "brought up to date in" } else { "added to" };
    writeln!(out, "{name:NAME_WIDTH$}  {} {verb} {at}", text::counted(total as u64, "hook"))?;
    for change in todo.iter().filter(|change| change.hooks.1 == 0) {
        writeln!(out, "{:NAME_WIDTH$}  {}", "changed", tilde(&change.file.path))?;
    }
    for backup in backups {
        writeln!(out, "{:NAME_WIDTH$}  {}", "backup", tilde(&backup))?;
    }
    if scope == Scope::Project {
        let local = agent.files(Scope::Local, place).map_or("", |_| "; for you alone: --local");
        let look = "this file is usually committed, and the hooks name a path of this machine";
        writeln!(out, "{:NAME_WIDTH$}  {look}{local}", "look")?;
    }
    if scope == Scope::Managed
        && let Some(weak) = program.and_then(|program| changed_by_others(Path::new(&program)))
    {
        writeln!(
            out,
            "{:NAME_WIDTH$}  {} can be changed by others than root, and with it what the hooks do: \
             put fdr and fdr-hook into /usr/local/bin, say, and install from there",
            "look",
            weak.display()
        )?;
    }
    writeln!(
        out,
        "{:NAME_WIDTH$}  start {} anew, then: fdr tail      (is all in place? fdr doctor)",
        "next",
        agent.programs().first().unwrap_or(&name)
    )?;
    Ok(())
}

fn carry_out_uninstall(
    agent: &dyn Agent,
    scope: Scope,
    place: &Place<'_>,
    mut changes: Vec<Change>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = agent.runtime();
    if changes.is_empty() {
        let files = files(agent, scope, place)?;
        let there = files.iter().find(|file| file.text.is_some());
        let path = tilde(&there.or(files.first()).map(|file| file.path.clone()).unwrap_or_default());
        let what = if there.is_some() { "no hooks of fdr in" } else { "there is no" };
        writeln!(out, "{name:NAME_WIDTH$}  {what} {path}; nothing to do")?;
        return Ok(());
    }
    // What makes the runtime call the hooks goes before what they call.
    changes.reverse();
    write(&changes)?;
    for change in changes.iter().filter(|change| change.after.is_none()) {
        let dir = change.file.path.parent();
        // What Python made of a plug-in that is gone.
        if let Some(ours) = dir.filter(|dir| dir.ends_with("fdr")) {
            let _ = fs::remove_dir_all(ours.join("__pycache__"));
        }
        remove_empty(dir, place);
    }
    for change in changes.iter().rev() {
        let path = tilde(&change.file.path);
        let what = match (change.hooks.0, change.after.is_none()) {
            (0, true) => format!("{path} removed"),
            (0, false) => format!("what was fdr's removed from {path}"),
            (count, true) => format!(
                "{} removed, and with it {path}, which held nothing else",
                text::counted(count as u64, "hook")
            ),
            (count, false) => format!("{} removed from {path}", text::counted(count as u64, "hook")),
        };
        writeln!(out, "{name:NAME_WIDTH$}  {what}")?;
        if let Some(backup) = &change.restored {
            fs::remove_file(backup)
                .with_context(|| format!("can't remove the backup {}", backup.display()))?;
            writeln!(out, "{:NAME_WIDTH$}  every byte as it was before fdr", "restored")?;
        }
    }
    Ok(())
}

/// The file, or the folder on the way to it, that somebody else than root can change.
pub fn changed_by_others(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_weak = |path: &&Path| {
        fs::metadata(path)
            .is_ok_and(|metadata| metadata.uid() != 0 || metadata.permissions().mode() & 0o022 != 0)
    };
    path.ancestors().find(is_weak).map(Path::to_owned)
}

/// Removes the folders that were made for a file, from the innermost on; one that holds anything
/// stays, and so do those that are no runtime's own.
fn remove_empty(mut dir: Option<&Path>, place: &Place<'_>) {
    let kept = [&place.home, &place.project, &place.managed("/etc")];
    while let Some(empty) =
        dir.filter(|dir| kept.iter().all(|kept| kept != dir) && fs::remove_dir(dir).is_ok())
    {
        dir = empty.parent();
    }
}

/// What hooks call for a recorder: the program given, or the one beside this one. They name the
/// recorder's folder if they would not find it by themselves.
///
/// # Errors
/// When there is no such program.
pub fn hook(program: Option<&Path>, home: &Home) -> anyhow::Result<Hook> {
    let home_named = if home.is_default() { None } else { Some(utf8(home.front().to_owned())?) };
    Ok(Hook { program: utf8(hook_program(program)?)?, home: home_named })
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
        Ok(_) if is_executable(&path) => {
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
        "can't install: {} {what}\n  build both:       cargo build --release --workspace\n  or name another:  fdr install … --hook-path FILE",
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
