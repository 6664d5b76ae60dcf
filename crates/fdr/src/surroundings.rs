//! What the recorder sees by itself of the process that speaks to it, and of where it runs.
//!
//! Everything read here may have been laid out by an adversary: files are opened without
//! blocking, must be regular, and are read up to a limit.

use fdr_record::{Env, Observed, Principal, Timestamp};
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most that is read of a small file, in bytes.
const SMALL_FILE_BYTES: u64 = 64 * 1024;
/// How far up the processes are followed to find the agent.
const MAX_ANCESTORS: usize = 8;
/// Programs that only stand between an agent and its hook.
const BETWEEN: [&str; 8] = ["sh", "bash", "dash", "zsh", "fish", "busybox", "fdr-hook", "fdr"];

/// What stays the same while the recorder runs.
#[derive(Debug)]
pub struct Machine {
    host: Option<String>,
    /// Login names by user id, as looked up so far.
    logins: Mutex<HashMap<u32, Option<String>>>,
}

impl Machine {
    /// Looks at the machine.
    pub fn new() -> Machine {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Machine { host: Some(host).filter(|host| !host.is_empty()), logins: Mutex::default() }
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }

    /// The user behind a user id.
    pub fn principal(&self, uid: u32) -> Principal {
        let mut logins = self.logins.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = logins.entry(uid).or_insert_with(|| login_name(uid)).clone();
        Principal { kind: "user".to_owned(), id: format!("uid:{uid}"), name }
    }

    /// Host and repository for a working directory.
    pub fn env(&self, cwd: &str) -> Env {
        let checkout = Checkout::find(Path::new(cwd));
        Env {
            host: self.host.clone(),
            os: Some(std::env::consts::OS.to_owned()),
            cwd: Some(cwd.to_owned()).filter(|cwd| !cwd.is_empty()),
            repo: checkout.as_ref().map(|c| c.root.to_string_lossy().into_owned()),
            commit: checkout.as_ref().and_then(|c| c.commit.clone()),
            branch: checkout.and_then(|c| c.branch),
            container: None,
            permission_mode: None,
            sandbox: None,
        }
    }
}

fn login_name(uid: u32) -> Option<String> {
    let passwd = read_small(Path::new("/etc/passwd"), 1 << 20)?;
    String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// The process at the other end of a connection, as the kernel tells.
pub fn peer(stream: &UnixStream, received: Timestamp) -> Observed {
    let mut observed = Observed { received: Some(received), ..Observed::default() };
    #[cfg(target_os = "linux")]
    if let Ok(credentials) = rustix::net::sockopt::socket_peercred(stream) {
        observed.uid = Some(credentials.uid.as_raw());
        observed.gid = Some(credentials.gid.as_raw());
        let client = credentials.pid.as_raw_nonzero().get() as u32;
        if let Some((pid, exe)) = agent_process(client) {
            observed.pid = Some(pid);
            observed.exe = exe;
            observed.cgroup = cgroup(pid);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
    observed
}

/// The nearest ancestor that is not a shell, and its program file.
#[cfg(target_os = "linux")]
fn agent_process(client: u32) -> Option<(u32, Option<String>)> {
    let mut pid = client;
    for _ in 0..MAX_ANCESTORS {
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let name = exe.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        if !name.is_some_and(|name| BETWEEN.contains(&name.trim_end_matches(" (deleted)"))) {
            return Some((pid, exe.map(|exe| exe.to_string_lossy().into_owned())));
        }
        pid = parent(pid)?;
    }
    None
}

/// The process at the other end of a connection and those that it was started from, as far as
/// they are there.
pub fn ancestors(stream: &UnixStream) -> Vec<u32> {
    let mut found = Vec::new();
    #[cfg(target_os = "linux")]
    if let Ok(credentials) = rustix::net::sockopt::socket_peercred(stream) {
        let mut next = Some(credentials.pid.as_raw_nonzero().get() as u32);
        while let Some(pid) = next.filter(|_| found.len() < 64) {
            found.push(pid);
            next = parent(pid);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
    found
}

/// The processes that the agent at the other end was started from, nearest first.
pub fn above_agent(stream: &UnixStream) -> Vec<u32> {
    let mut all = ancestors(stream);
    #[cfg(target_os = "linux")]
    if let Some((agent, _)) = all.first().and_then(|client| agent_process(*client))
        && let Some(at) = all.iter().position(|pid| *pid == agent)
    {
        return all.split_off(at + 1);
    }
    all.clear();
    all
}

/// As whom an agent can act beside the local user: the git identity of the repository or of the
/// user, and what its environment says of clouds and forges.
pub fn identities(cwd: &str, request: &fdr_hook::wire::Request) -> Vec<String> {
    const NAMED: [(&str, &str); 14] = [
        ("GIT_AUTHOR_EMAIL", "git:"),
        ("GIT_COMMITTER_EMAIL", "git:"),
        ("AWS_PROFILE", "aws:profile/"),
        ("AWS_ROLE_ARN", "aws:"),
        ("AWS_ROLE_SESSION_NAME", "aws:session/"),
        ("CLOUDSDK_CORE_ACCOUNT", "gcp:"),
        ("CLOUDSDK_CORE_PROJECT", "gcp:project/"),
        ("GOOGLE_CLOUD_PROJECT", "gcp:project/"),
        ("AZURE_CLIENT_ID", "azure:client/"),
        ("AZURE_TENANT_ID", "azure:tenant/"),
        ("GITHUB_ACTOR", "github:"),
        ("GITLAB_USER_LOGIN", "gitlab:"),
        ("KUBERNETES_SERVICE_HOST", "kubernetes:"),
        ("SUDO_USER", "user:"),
    ];
    let mut found: Vec<String> = Vec::new();
    let named = NAMED.iter().filter_map(|(name, kind)| Some(format!("{kind}{}", request.variable(name)?)));
    let git = git_address(cwd, &request.home).map(|address| format!("git:{address}"));
    for identity in git.into_iter().chain(named) {
        if !found.contains(&identity) {
            found.push(identity);
        }
    }
    found
}

/// `user.email` as git would take it: of the repository, else of the user.
fn git_address(cwd: &str, home: &str) -> Option<String> {
    let repository = Checkout::find(Path::new(cwd)).map(|checkout| checkout.root.join(".git/config"));
    let user = Path::new(home).is_absolute().then(|| Path::new(home).join(".gitconfig"));
    [repository, user].into_iter().flatten().find_map(|file| email(&read_text(&file)?))
}

/// `email` in the section `[user]` of a git configuration (git-config, "Syntax").
fn email(config: &str) -> Option<String> {
    let mut in_user = false;
    let mut found = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            in_user = line.eq_ignore_ascii_case("[user]");
        } else if in_user
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case("email")
        {
            // The last one counts.
            found = Some(value.trim().trim_matches('"').to_owned());
        }
    }
    found.filter(|address| !address.is_empty())
}

/// When a process was started, by the wall clock.
pub fn began(pid: u32) -> Option<Timestamp> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let since_boot = ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let age = boot_clock().saturating_sub(since_boot);
    Some(Timestamp(wall_clock().0.saturating_sub(age)))
}

/// Whether the process at the other end has in its environment what agent runtimes put into that
/// of the programs that they start.
pub fn is_below_agent(stream: &UnixStream) -> bool {
    const MARKS: [&str; 5] =
        ["CLAUDECODE=", "CODEX_THREAD_ID=", "GEMINI_CLI=", "HERMES_SESSION_ID=", "OPENCODE="];
    ancestors(stream).first().is_some_and(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| MARKS.iter().any(|mark| entry.starts_with(mark.as_bytes())))
    })
}

/// Whether the other end has closed the connection.
pub fn is_gone(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&at_once)) {
        Ok(1..) => {
            // Readable without a byte to read is closed.
            let mut byte = [0];
            let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
            matches!(
                rustix::net::recv(stream, &mut byte, flags),
                Ok((0, _)) | Err(rustix::io::Errno::CONNRESET)
            )
        }
        _ => false,
    }
}

#[cfg(target_os = "linux")]
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so the fields are counted from its end.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok().filter(|&parent| parent != 0)
}

#[cfg(target_os = "linux")]
fn cgroup(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.to_owned()).filter(|path| path != "/")
}

/// Id of the machine's current start.
pub fn boot_id() -> Option<String> {
    let text = read_small(Path::new("/proc/sys/kernel/random/boot_id"), SMALL_FILE_BYTES)?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Wall clock.
pub fn wall_clock() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64))
}

/// Nanoseconds since the machine started, sleep included where the system counts it.
pub fn boot_clock() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of a clock that stands still while the machine sleeps.
pub fn awake_clock() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A git checkout, read without running git.
#[derive(Debug)]
struct Checkout {
    root: PathBuf,
    commit: Option<String>,
    branch: Option<String>,
}

impl Checkout {
    fn find(cwd: &Path) -> Option<Checkout> {
        if !cwd.is_absolute() {
            return None;
        }
        let root = cwd.ancestors().take(64).find(|dir| dir.join(".git").symlink_metadata().is_ok())?;
        let mut git = root.join(".git");
        if !git.is_dir() {
            // A worktree or submodule: a file that names the real folder.
            let text = read_text(&git)?;
            git = root.join(text.trim().strip_prefix("gitdir: ")?);
        }
        let common = match read_text(&git.join("commondir")) {
            Some(text) => git.join(text.trim()),
            None => git.clone(),
        };
        let head = read_text(&git.join("HEAD")).unwrap_or_default();
        let (branch, commit) = match head.trim().strip_prefix("ref: ") {
            Some(name) => {
                let commit = read_text(&common.join(name)).or_else(|| packed_ref(&common, name));
                (name.strip_prefix("refs/heads/").map(str::to_owned), commit)
            }
            None => (None, Some(head)),
        };
        let commit = commit.map(|text| text.trim().to_owned()).filter(|text| is_object_id(text));
        Some(Checkout { root: root.to_owned(), commit, branch })
    }
}

fn packed_ref(git: &Path, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&read_small(&git.join("packed-refs"), 16 << 20)?).into_owned();
    text.lines().find_map(|line| {
        let (id, found) = line.split_once(' ')?;
        (found == name).then(|| id.to_owned())
    })
}

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn read_text(path: &Path) -> Option<String> {
    read_small(path, SMALL_FILE_BYTES).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The content of a regular file of at most `limit` bytes; `None` for everything else. Never
/// blocks on a pipe or a device.
pub fn read_small(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size as u64 > limit {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The user whose file this is.
pub fn owner(path: &Path) -> Option<u32> {
    Some(std::os::unix::fs::MetadataExt::uid(&std::fs::symlink_metadata(path).ok()?))
}

/// The content of a regular file of at most `limit` bytes that has no other name, and its owner. Follows
/// no link and never blocks.
///
/// # Errors
/// Those of reading it, and when it is none.
pub fn read_own(path: &Path, limit: u64) -> std::io::Result<(Vec<u8>, u32)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || stat.st_nlink != 1 || stat.st_size as u64 > limit {
        return Err(std::io::Error::other("not a file of its own, or too large"));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit).read_to_end(&mut bytes)?;
    Ok((bytes, stat.st_uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_read_without_running_git() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        write(".git/HEAD", "ref: refs/heads/topic/x\n");
        write(".git/packed-refs", &format!("# pack-refs\n{one} refs/heads/topic/x\n"));
        write("src/a", "");
        let seen = Checkout::find(&dir.path().join("src")).unwrap();
        assert_eq!((seen.branch.as_deref(), seen.commit.as_deref()), (Some("topic/x"), Some(one.as_str())));
        write(".git/refs/heads/topic/x", &format!("{two}\n"));
        assert_eq!(Checkout::find(dir.path()).unwrap().commit, Some(two.clone()));
        write(".git/HEAD", &two);
        let seen = Checkout::find(dir.path()).unwrap();
        assert_eq!((seen.branch, seen.commit), (None, Some(two)));
    }

    #[test]
    fn an_address_is_read_as_git_would() {
        let text =
            "[core]\n\temail = no\n[user]\n\tname = A\n\tEmail = \"a@example.com\"\n[alias]\nemail=x\n";
        assert_eq!(email(text).as_deref(), Some("a@example.com"));
        assert_eq!(email("[user \"x\"]\nemail = no\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_in_place_of_a_file_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read_small(&path, 100), None);
        std::fs::write(dir.path().join("big"), [0; 101]).unwrap();
        assert_eq!(read_small(&dir.path().join("big"), 100), None);
    }

    #[test]
    fn the_peer_of_a_socket_is_this_process() {
        let (one, _two) = UnixStream::pair().unwrap();
        let observed = peer(&one, Timestamp(1));
        if cfg!(target_os = "linux") {
            assert_eq!(observed.uid, Some(rustix::process::getuid().as_raw()));
            assert_eq!(observed.pid, Some(std::process::id()));
        }
    }
}
