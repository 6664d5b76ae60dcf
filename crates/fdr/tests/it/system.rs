//! The machine's recorder under its own user, and agents under others: what `fdr install --system`
//! makes, below a root of its own. Needs root; says so and does nothing otherwise.

use crate::program::{bash, fdr};
use fdr_hook::system::System;
use fdr_record::{Body, Kind, Record};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Two users with agents, who are nobody otherwise.
pub const ALICE: u32 = 61_001;
pub const BOB: u32 = 61_002;
/// Not in the group.
const CAROL: u32 = 61_003;

/// Whether these tests can be run.
pub fn is_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        eprintln!("SKIPPED, NOT TESTED: this needs root, to have a recorder and agents as different users");
    }
    root
}

/// A machine of its own below a folder.
pub struct Machine {
    dir: tempfile::TempDir,
    recorder: Option<Child>,
}

impl Machine {
    /// With the recorder set up, but not running.
    pub fn new(config: &str) -> Machine {
        let dir = tempfile::Builder::new().prefix("fdr").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Machine { dir, recorder: None };
        let etc = machine.at("/etc");
        fs::create_dir_all(&etc).unwrap();
        for (file, text) in
            [("passwd", "root:x:0:0::/:/bin/sh\n"), ("group", "root:x:0:\n"), ("shadow", ""), ("gshadow", "")]
        {
            fs::write(etc.join(file), text).unwrap();
        }
        machine.install(&["--system"]);
        // Without the root of the test the paths are the machine's.
        let file = machine.front().join("system");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(" /", &format!(" {}/", machine.dir.path().display()))).unwrap();
        if !config.is_empty() {
            fs::write(machine.front().join("config.toml"), config).unwrap();
        }
        machine
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub fn front(&self) -> PathBuf {
        self.at("/etc/fdr")
    }

    pub fn system(&self) -> System {
        System::of(&self.front()).unwrap()
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Output {
        Command::new(fdr()).arg(verb).args(arguments).arg("--root").arg(self.dir.path()).output().unwrap()
    }

    fn install(&self, arguments: &[&str]) -> String {
        let output = self.command("install", arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program as another user, who is in the group of agents' users or not.
    pub fn user(&self, uid: u32, program: &Path) -> Command {
        let system = self.system();
        let group = if uid == CAROL { uid } else { system.gid };
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), format!("--groups={group}")];
        command.args(ids).arg("--").arg(program).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command
    }

    fn programs(&self) -> PathBuf {
        self.at("/usr/local/lib/fdr")
    }

    /// The recorder's own group.
    fn recorder_gid(&self) -> u32 {
        fs::metadata(self.front().join("hook.fail")).unwrap().gid()
    }

    /// Starts the recorder as its user, on a socket of its own making.
    pub fn start(&mut self) {
        let system = self.system();
        let mut command = Command::new("setpriv");
        command.args([
            format!("--reuid={}", system.uid),
            format!("--regid={}", self.recorder_gid()),
            format!("--groups={}", system.gid),
        ]);
        command.arg("--no-new-privs").arg("--bounding-set=-all").arg("--inh-caps=-all").arg("--");
        command.arg(self.programs().join("fdr")).args(["serve", "--home"]).arg(self.front());
        self.recorder = Some(command.stdout(Stdio::null()).spawn().unwrap());
        while fdr_hook::client::Client::connect(&self.front()).is_err() {
            let ended = self.recorder.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the recorder ended: {ended:?}");
            std::thread::yield_now();
        }
    }

    /// Kills the recorder.
    pub fn kill(&mut self) {
        let mut recorder = self.recorder.take().unwrap();
        recorder.kill().unwrap();
        recorder.wait().unwrap();
    }

    /// The real hook as a user.
    pub fn hook(&self, uid: u32, event: &str, payload: &[u8]) -> Output {
        let mut command = self.user(uid, &self.programs().join("fdr-hook"));
        command.args(["claude-code", event, "--home"]).arg(self.front());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(payload);
        child.wait_with_output().unwrap()
    }

    /// `fdr` as a user.
    pub fn fdr(&self, uid: u32, arguments: &[&str]) -> Output {
        let mut command = self.user(uid, &self.programs().join("fdr"));
        command.arg("--home").arg(self.front()).args(arguments).output().unwrap()
    }

    pub fn records(&self) -> Vec<Record> {
        let output = self.fdr(0, &["cat", "--open"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| Record::parse(line.as_bytes()).unwrap())
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.recorder.is_some() {
            self.kill();
        }
    }
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_is_set_up_is_as_it_should_be_and_goes_again() {
    if !is_root() {
        return;
    }
    let machine = Machine::new("");
    let system = machine.system();
    for (path, mode, uid) in [
        ("/var/lib/fdr", 0o700, system.uid),
        ("/var/spool/fdr", 0o710, 0),
        ("/var/spool/fdr/in", 0o3733, system.uid),
        ("/run/fdr", 0o755, system.uid),
        ("/etc/fdr", 0o755, 0),
        ("/etc/fdr/system", 0o644, 0),
        ("/etc/fdr/config.toml", 0o640, 0),
        ("/etc/fdr/hook.fail", 0o644, system.uid),
        ("/usr/local/lib/fdr/fdr", 0o755, 0),
        ("/usr/local/lib/fdr/fdr-hook", 0o755, 0),
    ] {
        let found = fs::metadata(machine.at(path)).unwrap();
        assert_eq!((found.permissions().mode() & 0o7777, found.uid()), (mode, uid), "{path}");
    }
    let output = machine.command("uninstall", &["--system", "--purge"]);
    assert!(output.status.success(), "{output:?}");
    for path in [
        "/etc/fdr",
        "/var/lib/fdr",
        "/var/spool/fdr",
        "/usr/local/lib/fdr",
        "/etc/systemd/system/fdr.service",
    ] {
        assert!(!machine.at(path).exists(), "{path}: {}", said(&output));
    }
    assert!(!fs::read_to_string(machine.at("/etc/passwd")).unwrap().contains("fdr"));
}

#[test]
fn setting_up_again_changes_nothing_and_a_dry_run_makes_nothing() {
    if !is_root() {
        return;
    }
    let machine = Machine::new("");
    let file = machine.front().join("system");
    // As the install wrote it.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&machine.dir.path().display().to_string(), "")).unwrap();
    assert!(machine.install(&["--system"]).contains("nothing to do"));
    let output = machine.command("uninstall", &["--system", "--dry-run"]);
    assert!(said(&output).contains("would remove") && file.exists(), "{output:?}");
    let output = Command::new("setpriv")
        .args(["--reuid=61001", "--clear-groups", "--"])
        .arg(machine.programs().join("fdr"))
        .args(["install", "--system", "--root"])
        .arg(machine.dir.path())
        .env("HOME", "/")
        .output()
        .unwrap();
    assert!(!output.status.success() && said(&output).contains("sudo"), "{output:?}");
}

#[test]
fn an_agent_of_another_user_is_recorded_under_its_uid_and_sees_nothing() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new("");
    machine.start();
    let output = machine.hook(ALICE, "PreToolUse", &bash("s", "t1", "ls"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let action = machine.records().into_iter().find(|record| record.kind == Kind::Action).unwrap();
    let observed = action.observed.unwrap();
    assert_eq!(observed.uid, Some(ALICE));
    assert!(observed.pid.is_some());
    let show = machine.fdr(ALICE, &["sessions"]);
    assert!(!show.status.success() && said(&show).contains("sudo -u fdr"), "{show:?}");
    let stop = machine.fdr(ALICE, &["stop"]);
    assert!(said(&stop).contains("only root"), "{stop:?}");
    let carol = machine.hook(CAROL, "PreToolUse", &bash("c", "t1", "ls"));
    assert!(said(&carol).contains("fdr-users"), "{carol:?}");
    assert!(machine.records().iter().all(|record| record.session.as_deref() != Some("c")));
}

#[test]
fn without_the_recorder_what_happens_is_spooled_under_its_uid_and_no_other_is_started() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new("mode = \"enforce\"\n");
    machine.start();
    machine.kill();
    let output = machine.hook(ALICE, "PreToolUse", &bash("s", "t1", "ls"));
    assert!(said(&output).contains("deny"), "it fails closed: {output:?}");
    assert!(fdr_hook::client::Client::connect(&machine.front()).is_err());
    let spool = machine.at("/var/spool/fdr/in");
    let listed = machine.user(BOB, Path::new("/bin/ls")).arg(&spool).output().unwrap();
    assert!(!listed.status.success(), "{listed:?}");
    let kept = fs::read_dir(&spool).unwrap().next().unwrap().unwrap().path();
    for command in ["cat", "rm -f"] {
        let script = format!("{command} {}", kept.display());
        let tried = machine.user(BOB, Path::new("/bin/sh")).args(["-c", &script]).output().unwrap();
        assert!(!tried.status.success(), "{tried:?}");
    }
    machine.start();
    while fs::read_dir(&spool).unwrap().next().is_some() {
        std::thread::yield_now();
    }
    let records = machine.records();
    let action = records.iter().find(|record| record.kind == Kind::Action).unwrap();
    let observed = action.observed.as_ref().unwrap();
    assert_eq!((observed.uid, observed.late), (Some(ALICE), true));
    assert!(
        records
            .iter()
            .any(|record| matches!(&record.body, Body::Gap(gap) if gap.what == "recorder_unreachable"))
    );
}

#[test]
fn the_socket_that_systemd_hands_over_is_served() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new("");
    let system = machine.system();
    let listener = std::os::unix::net::UnixListener::bind(&system.socket).unwrap();
    std::os::unix::fs::chown(&system.socket, Some(system.uid), Some(system.gid)).unwrap();
    fs::set_permissions(&system.socket, fs::Permissions::from_mode(0o660)).unwrap();
    // What sd_listen_fds(3) says: descriptor 3, and the process's own id.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" serve --home \"$1\" 3<&0 0</dev/null"]);
    command.arg(machine.programs().join("fdr")).arg(machine.front());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener))).stdout(Stdio::null());
    command.uid(system.uid).gid(machine.recorder_gid());
    // Connections wait in the socket until the recorder takes them.
    machine.recorder = Some(command.spawn().unwrap());
    let output = machine.hook(ALICE, "PreToolUse", &bash("s", "t1", "ls"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(system.socket.exists());
    assert!(machine.records().iter().any(|record| record.session.as_deref() == Some("s")));
}

#[test]
fn transcripts_of_another_user_are_handed_over() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new("");
    machine.start();
    let home = machine.at("/home/alice");
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let file = home.join("t.jsonl");
    fs::write(
        &file,
        "{\"type\":\"user\",\"uuid\":\"u1\",\"sessionId\":\"s\",\"message\":{\"content\":\"tell me\"}}\n",
    )
    .unwrap();
    for path in [&home, &file] {
        std::os::unix::fs::chown(path, Some(ALICE), Some(ALICE)).unwrap();
    }
    let start = format!(
        r#"{{"session_id":"s","hook_event_name":"SessionStart","source":"startup","transcript_path":"{}"}}"#,
        file.display()
    );
    assert!(machine.hook(ALICE, "SessionStart", start.as_bytes()).status.success());
    let mut command = machine.user(ALICE, &machine.programs().join("fdr"));
    let output = command
        .env("HOME", &home)
        .arg("--home")
        .arg(machine.front())
        .args(["watch", "--once"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let prompt =
        machine.records().into_iter().find(|record| record.kind == Kind::Prompt).expect("the prompt");
    assert_eq!(prompt.observed.unwrap().uid, Some(ALICE));
}

#[test]
fn the_unit_is_as_strict_as_the_readme_says() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/system/fdr.service");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fdr.service");
    fs::write(&file, fs::read_to_string(unit).unwrap().replace("@GROUP@", "fdr-users")).unwrap();
    let output = match Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=7"])
        .arg(&file)
        .output()
    {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED, NOT TESTED: systemd-analyze: {error}"),
    };
    // The threshold is in tenths.
    assert!(output.status.success(), "{}", said(&output));
}
