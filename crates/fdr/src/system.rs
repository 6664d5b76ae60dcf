//! `fdr install --system` and `fdr uninstall --system`: the machine's own recorder, as a user of its
//! own, in a hardened unit of systemd.
//!
//! What is to be there is one list ([`plan`]); it is compared with what is there, shown, and carried
//! out from the top. Undone is what can be without loss: what was recorded, the configuration and the
//! users stay unless `--purge` is given.

use crate::install::{changed_by_others, systems_root};
use anyhow::{Context, bail, ensure};
use fdr_hook::system::{self, System};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The recorder's user, and its group.
const USER: &str = "fdr";
/// Where its programs are, which nobody but root can change.
const PROGRAMS: &str = "/usr/local/lib/fdr";
const HOME: &str = "/var/lib/fdr";
const RUN: &str = "/run/fdr";
const SPOOL: &str = "/var/spool/fdr";
/// The unit that runs it; `systemd-analyze security` says how exposed it is, and README.md too.
const SERVICE: &str = include_str!("system/fdr.service");
const SOCKET: &str = include_str!("system/fdr.socket");
/// Put beside the unit when the configuration names a witness or an authority for time-stamps.
const NETWORK: &str = include_str!("system/network.conf");
/// Makes the socket's folder at every start of the machine.
const TMPFILES: &str = "# fdr install --system\nd /run/fdr 0755 fdr fdr -\n";

/// Options of `fdr install --system`.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Where the machine's paths begin.
    pub root: &'a Path,
    /// The group whose members' agents are recorded.
    pub group: &'a str,
    /// Only show what would be done.
    pub dry_run: bool,
}

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Root,
    Recorder,
    /// Root's, and the group of the recorder.
    RootForRecorder,
    /// Root's, and the group of the agents' users.
    RootForUsers,
}

/// One thing that is to be there.
#[derive(Clone, Debug)]
enum Thing {
    Group(String),
    User,
    Member,
    Folder(PathBuf, u32, Owner),
    /// With this text.
    File(PathBuf, String, u32, Owner),
    /// With this text unless there is one.
    Seed(PathBuf, String, u32, Owner),
    Program(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
}

/// Ids, as far as the users are there yet.
#[derive(Clone, Copy, Debug, Default)]
struct Ids {
    user: Option<(u32, u32)>,
    group: Option<u32>,
}

fn field(root: &Path, file: &str, name: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(root.join("etc").join(file)).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    Some(line.split(':').map(str::to_owned).collect())
}

impl Ids {
    fn of(root: &Path, group: &str) -> Ids {
        let number = |fields: &[String], at: usize| fields.get(at)?.parse().ok();
        Ids {
            user: field(root, "passwd", USER).and_then(|f| Some((number(&f, 2)?, number(&f, 3)?))),
            group: field(root, "group", group).and_then(|f| number(&f, 2)),
        }
    }

    fn owner(self, owner: Owner) -> anyhow::Result<(u32, u32)> {
        let user = || self.user.context("the user fdr is not there");
        Ok(match owner {
            Owner::Root => (0, 0),
            Owner::Recorder => user()?,
            Owner::RootForRecorder => (0, user()?.1),
            Owner::RootForUsers => (0, self.group.context("the group is not there")?),
        })
    }
}

impl Setup<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Everything that is to be there, in the order in which it is made.
    fn plan(&self, ids: Ids) -> anyhow::Result<Vec<Thing>> {
        let front = self.at(system::FRONT);
        let here = std::env::current_exe().context("can't tell where this program is")?;
        let mut things = vec![Thing::Group(self.group.to_owned()), Thing::User, Thing::Member];
        let programs = self.at(PROGRAMS);
        things.push(Thing::Folder(programs.clone(), 0o755, Owner::Root));
        for name in ["fdr", "fdr-hook"] {
            let from = here.with_file_name(name);
            if from != programs.join(name) {
                things.push(Thing::Program(from, programs.join(name)));
            }
            things
                .push(Thing::Link(PathBuf::from(PROGRAMS).join(name), self.at("/usr/local/bin").join(name)));
        }
        let system = System {
            uid: ids.user.map_or(0, |(uid, _)| uid),
            gid: ids.group.unwrap_or(0),
            group: self.group.to_owned(),
            home: HOME.into(),
            socket: PathBuf::from(RUN).join(fdr_hook::client::SOCKET),
            spool: PathBuf::from(SPOOL).join("in"),
        };
        things.extend([
            Thing::Folder(self.at(HOME), 0o700, Owner::Recorder),
            Thing::Folder(self.at(SPOOL), 0o710, Owner::RootForUsers),
            // Anybody who gets here leaves files, which get the recorder's group; nobody else lists them
            // or takes another's away.
            Thing::Folder(self.at(SPOOL).join("in"), 0o3733, Owner::Recorder),
            Thing::Folder(self.at(RUN), 0o755, Owner::Recorder),
            Thing::Folder(front.clone(), 0o755, Owner::Root),
            Thing::Seed(
                front.join("config.toml"),
                crate::config::EXAMPLE.to_owned(),
                0o640,
                Owner::RootForRecorder,
            ),
            Thing::Seed(front.join(fdr_hook::FAILURE_FILE), "open".to_owned(), 0o644, Owner::Recorder),
        ]);
        let unit = |name: &str, text: &str| {
            let text = text.replace("@GROUP@", self.group);
            Thing::File(self.at("/etc/systemd/system").join(name), text, 0o644, Owner::Root)
        };
        things.push(Thing::File(
            self.at("/etc/tmpfiles.d/fdr.conf"),
            TMPFILES.to_owned(),
            0o644,
            Owner::Root,
        ));
        things.push(unit("fdr.socket", SOCKET));
        things.push(unit("fdr.service", SERVICE));
        if self.needs_network() {
            things.push(Thing::Folder(self.at("/etc/systemd/system/fdr.service.d"), 0o755, Owner::Root));
            things.push(unit("fdr.service.d/network.conf", NETWORK));
        }
        // Last, since from here on clients take no other recorder.
        things.push(Thing::File(front.join(system::FILE), system.text(), 0o644, Owner::Root));
        Ok(things)
    }

    /// Whether the configuration names somebody to ask over the network.
    fn needs_network(&self) -> bool {
        let text = fs::read_to_string(self.at(system::FRONT).join("config.toml")).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        table.keys().any(|key| key.starts_with("witness") || key.starts_with("timestamp"))
    }

    fn is_there(&self, thing: &Thing, ids: Ids) -> bool {
        let owned = |path: &Path, mode: u32, owner: Owner| {
            fs::symlink_metadata(path).is_ok_and(|found| {
                found.permissions().mode() & 0o7777 == mode
                    && ids.owner(owner).is_ok_and(|wanted| wanted == (found.uid(), found.gid()))
            })
        };
        match thing {
            Thing::Group(name) => field(self.root, "group", name).is_some(),
            Thing::User => ids.user.is_some(),
            Thing::Member => field(self.root, "group", self.group).is_some_and(|fields| {
                fields.get(3).is_some_and(|all| all.split(',').any(|name| name == USER))
            }),
            Thing::Folder(path, mode, owner) => path.is_dir() && owned(path, *mode, *owner),
            Thing::File(path, text, mode, owner) => {
                fs::read_to_string(path).is_ok_and(|found| found == *text) && owned(path, *mode, *owner)
            }
            Thing::Seed(path, _, mode, owner) => owned(path, *mode, *owner),
            Thing::Program(from, to) => {
                owned(to, 0o755, Owner::Root)
                    && matches!((fs::read(from), fs::read(to)), (Ok(a), Ok(b)) if a == b)
            }
            // What somebody else put there stays.
            Thing::Link(_, path) => fs::symlink_metadata(path).is_ok(),
        }
    }

    fn show(&self, thing: &Thing) -> String {
        match thing {
            Thing::Group(name) => format!("group   {name}"),
            Thing::User => format!("user    {USER}, which can't log in"),
            Thing::Member => format!("member  {USER} of {}", self.group),
            Thing::Folder(path, mode, owner) => format!("folder  {} {mode:04o} {owner:?}", path.display()),
            Thing::File(path, _, mode, owner) | Thing::Seed(path, _, mode, owner) => {
                format!("file    {} {mode:04o} {owner:?}", path.display())
            }
            Thing::Program(from, to) => format!("program {} from {}", to.display(), from.display()),
            Thing::Link(to, path) => format!("link    {} to {}", path.display(), to.display()),
        }
    }

    fn make(&self, thing: &Thing) -> anyhow::Result<()> {
        let ids = Ids::of(self.root, self.group);
        let own = |path: &Path, mode: u32, owner: Owner| -> anyhow::Result<()> {
            let (uid, gid) = ids.owner(owner)?;
            chown(path, Some(uid), Some(gid))?;
            Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
        };
        match thing {
            Thing::Group(name) => self.account("groupadd", &["--system", name]),
            Thing::User => self.account(
                "useradd",
                &[
                    "--system",
                    "--user-group",
                    "--no-create-home",
                    "--home-dir",
                    HOME,
                    "--shell",
                    "/usr/sbin/nologin",
                    USER,
                ],
            ),
            Thing::Member => self.account("usermod", &["--append", "--groups", self.group, USER]),
            Thing::Folder(path, mode, owner) => {
                // A link that stands where the folder belongs leads elsewhere.
                ensure!(!path.is_symlink(), "{} is a link", path.display());
                fs::create_dir_all(path)?;
                own(path, *mode, *owner)
            }
            Thing::File(path, text, mode, owner) | Thing::Seed(path, text, mode, owner) => {
                let is_seed = matches!(thing, Thing::Seed(..));
                if !is_seed || !path.exists() {
                    if let Some(dir) = path.parent() {
                        fs::create_dir_all(dir)?;
                    }
                    replace(path, text.as_bytes())?;
                }
                own(path, *mode, *owner)
            }
            Thing::Program(from, to) => {
                let bytes = fs::read(from).with_context(|| format!("can't read {}", from.display()))?;
                replace(to, &bytes)?;
                own(to, 0o755, Owner::Root)
            }
            Thing::Link(to, path) => {
                if let Some(dir) = path.parent() {
                    fs::create_dir_all(dir)?;
                }
                Ok(symlink(to, path)?)
            }
        }
    }

    /// Runs a program of shadow-utils, on the files below another root where there is one.
    fn account(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(program);
        if self.root != Path::new("/") {
            command.arg("--prefix").arg(self.root);
        }
        let output = command.args(arguments).output().with_context(|| format!("can't run {program}"))?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// `fdr install --system`.
    ///
    /// # Errors
    /// When it is not root who asks, and when something can't be made; what was made before stays, and
    /// the same command goes on from there.
    pub fn install(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        self.must_be_root()?;
        let before = Ids::of(self.root, self.group);
        let todo: Vec<Thing> =
            self.plan(before)?.into_iter().filter(|thing| !self.is_there(thing, before)).collect();
        if todo.is_empty() {
            writeln!(out, "system        the machine's recorder is set up already; nothing to do")?;
            return Ok(0);
        }
        for thing in &todo {
            writeln!(out, "{}{}", if self.dry_run { "would make  " } else { "" }, self.show(thing))?;
        }
        if self.dry_run {
            return Ok(0);
        }
        for thing in &todo {
            self.make(thing).with_context(|| format!("can't make: {}", self.show(thing)))?;
        }
        // What depends on ids that were not known before.
        let now = Ids::of(self.root, self.group);
        for thing in self.plan(now)?.iter().filter(|thing| !self.is_there(thing, now)) {
            self.make(thing).with_context(|| format!("can't make: {}", self.show(thing)))?;
        }
        for path in [PROGRAMS, system::FRONT] {
            if let Some(weak) = changed_by_others(&self.at(path)).filter(|weak| systems_root(weak, self.root))
            {
                bail!(
                    "{} can be changed by others than root, so nothing below it can be trusted",
                    weak.display()
                );
            }
        }
        self.systemctl(&[&["daemon-reload"], &["enable", "--now", "fdr.socket", "fdr.service"]], out)?;
        writeln!(
            out,
            "next          usermod -aG {} USER for everybody whose agents are to be recorded",
            self.group
        )?;
        writeln!(out, "next          {PROGRAMS}/fdr --home {} install --all --managed", system::FRONT)?;
        Ok(0)
    }

    /// `fdr uninstall --system`.
    ///
    /// # Errors
    /// As [`Setup::install`].
    pub fn uninstall(&self, purge: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
        self.must_be_root()?;
        let ids = Ids::of(self.root, self.group);
        let mut gone = 0;
        if !self.dry_run {
            self.systemctl(&[&["disable", "--now", "fdr.socket", "fdr.service"]], out)?;
        }
        for thing in self.plan(ids)?.into_iter().rev() {
            let path = match &thing {
                Thing::Seed(path, ..) if path.ends_with("config.toml") && !purge => continue,
                Thing::File(path, ..) | Thing::Seed(path, ..) | Thing::Program(_, path) => path.clone(),
                Thing::Link(to, path) if fs::read_link(path).is_ok_and(|found| found == *to) => path.clone(),
                Thing::Folder(path, ..) => {
                    if self.dry_run || !path.is_dir() {
                        continue;
                    }
                    // What holds anything stays, unless all of it is to go.
                    let removed = if purge { fs::remove_dir_all(path) } else { fs::remove_dir(path) };
                    if removed.is_ok() {
                        writeln!(out, "removed       {}", path.display())?;
                    }
                    continue;
                }
                Thing::User if purge && ids.user.is_some() && !self.dry_run => {
                    self.account("userdel", &[USER])?;
                    continue;
                }
                Thing::Group(name) if purge && ids.group.is_some() && !self.dry_run => {
                    self.account("groupdel", &[name])?;
                    continue;
                }
                _ => continue,
            };
            if fs::symlink_metadata(&path).is_err() {
                continue;
            }
            gone += 1;
            if self.dry_run {
                writeln!(out, "would remove  {}", path.display())?;
            } else {
                fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
                writeln!(out, "removed       {}", path.display())?;
            }
        }
        if gone == 0 {
            writeln!(out, "system        there is no recorder of the machine; nothing to do")?;
        } else if !purge {
            writeln!(
                out,
                "kept          {HOME}, {SPOOL}, {}/config.toml, user and groups: --purge removes them",
                system::FRONT
            )?;
        }
        if !self.dry_run {
            self.systemctl(&[&["daemon-reload"]], out)?;
        }
        Ok(0)
    }

    fn must_be_root(&self) -> anyhow::Result<()> {
        ensure!(
            self.dry_run || rustix::process::geteuid().is_root(),
            "the machine's recorder is root's to set up: sudo fdr install --system\n  to see what it would do:  fdr install --system --dry-run"
        );
        Ok(())
    }

    fn systemctl(&self, commands: &[&[&str]], out: &mut dyn Write) -> anyhow::Result<()> {
        if self.root != Path::new("/") || !Path::new("/run/systemd/system").is_dir() {
            return Ok(());
        }
        for arguments in commands {
            let done = Command::new("systemctl").args(*arguments).output().context("can't run systemctl")?;
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                writeln!(
                    out,
                    "look          systemctl {}: {}",
                    arguments.join(" "),
                    crate::text::line(&why)
                )?;
            }
        }
        Ok(())
    }
}

/// Puts a file in another's place in one step: a program that runs can't be written.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("fdr-new");
    let _ = fs::remove_file(&new);
    let mut file = fs::File::options().create_new(true).write(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(fs::rename(&new, path)?)
}
