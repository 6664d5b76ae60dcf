//! A recorder or a hook that breaks while a real agent works: under `enforce` nothing is done that
//! can't be recorded, under `observe` the agent goes on and nothing of it is lost.
//!
//! One session of each runtime and mode goes through all faults, a tool call each. The disk is
//! full in a namespace of the test's own, where the machine allows that.

use crate::agents::{Agent, Sandbox, kill};
use crate::runtimes::{calls, shell, wait_for};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// All is well.
    None,
    /// The recorder was killed and can't be started again.
    Dead,
    /// The recorder is stopped, and takes connections all the same.
    Frozen,
    /// Something else listens on its socket and answers what nobody understands.
    Garbage,
    /// A file stands where its socket was.
    Replaced,
    /// `fdr-hook` dies by a signal.
    HookKilled,
    /// `fdr-hook` is not there.
    HookMissing,
    /// There is no space left on the recorder's disk.
    DiskFull,
}

use Fault::{Dead, DiskFull, Frozen, Garbage, HookKilled, HookMissing, None as Well, Replaced};

/// The event by which a runtime asks whether a tool may run.
fn gate(agent: Agent) -> &'static str {
    match agent {
        Agent::ClaudeCode | Agent::Codex => "PreToolUse",
        Agent::GeminiCli => "BeforeTool",
        Agent::Hermes => "pre_tool_call",
        Agent::OpenCode => "tool.execute.before",
        Agent::OpenClaw => "before_tool_call",
    }
}

/// Where things are that a fault breaks.
#[derive(Clone)]
struct Place {
    agent: Agent,
    home: PathBuf,
    programs: PathBuf,
}

impl Place {
    fn recorder(&self) -> i32 {
        let mut status = Command::new(self.programs.join("fdr"));
        let out = status.arg("--home").arg(&self.home).args(["status", "--json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        status["pid"].as_i64().unwrap_or_else(|| panic!("no recorder runs: {status}")) as i32
    }

    fn move_away(&self, program: &str) {
        fs::rename(self.programs.join(program), self.programs.join(format!("{program}.away"))).unwrap();
    }

    fn move_back(&self, program: &str) {
        fs::rename(self.programs.join(format!("{program}.away")), self.programs.join(program)).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.home.join("fdr.sock")
    }

    /// Breaks something; what is returned mends it.
    fn inflict(&self, fault: Fault) -> Box<dyn FnOnce() + Send> {
        let place = self.clone();
        match fault {
            Well => Box::new(|| {}),
            Dead => {
                kill(self.recorder());
                self.move_away("fdr");
                Box::new(move || place.move_back("fdr"))
            }
            Frozen => {
                let pid = Pid::from_raw(self.recorder()).unwrap();
                kill_process(pid, Signal::STOP).unwrap();
                // It goes on once the gate's event was given up, not before: other events may
                // have to wait first.
                let thawed = thread::spawn(move || {
                    let deadline = Instant::now() + Duration::from_secs(120);
                    while !place.is_spooled(gate(place.agent)) && Instant::now() < deadline {
                        thread::sleep(Duration::from_millis(50));
                    }
                    kill_process(pid, Signal::CONT).unwrap();
                });
                Box::new(move || thawed.join().unwrap())
            }
            Garbage => {
                kill(self.recorder());
                fs::remove_file(self.socket()).unwrap();
                let listener = UnixListener::bind(self.socket()).unwrap();
                let ends = Arc::new(AtomicBool::new(false));
                let end = Arc::clone(&ends);
                let answers = thread::spawn(move || {
                    while let Ok((mut stream, _)) = listener.accept() {
                        if ends.load(Ordering::SeqCst) {
                            return;
                        }
                        let _ = stream.read(&mut [0; 1024]);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"decision\":\"allow\"}");
                    }
                });
                Box::new(move || {
                    end.store(true, Ordering::SeqCst);
                    let _ = std::os::unix::net::UnixStream::connect(place.socket());
                    answers.join().unwrap();
                    fs::remove_file(place.socket()).unwrap();
                })
            }
            Replaced => {
                let away = self.home.join("fdr.sock.away");
                fs::rename(self.socket(), &away).unwrap();
                fs::write(self.socket(), "not a socket\n").unwrap();
                Box::new(move || fs::rename(away, place.socket()).unwrap())
            }
            HookKilled => {
                self.move_away("fdr-hook");
                let path = self.programs.join("fdr-hook");
                fs::write(&path, "#!/bin/sh\nkill -9 $$\n").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                Box::new(move || place.move_back("fdr-hook"))
            }
            HookMissing => {
                self.move_away("fdr-hook");
                Box::new(move || place.move_back("fdr-hook"))
            }
            DiskFull => {
                let fill = self.home.join("fill");
                let mut file = File::create(&fill).unwrap();
                while file.write_all(&[0; 4096]).is_ok() {}
                // The log has space of its own set aside, which is used up too.
                for len in [1 << 20, 50_000, 500] {
                    while self.takes_event(&noise(len)) {}
                }
                Box::new(move || fs::remove_file(fill).unwrap())
            }
        }
    }

    /// Waits until a recorder runs that has taken in what was kept aside.
    fn is_well_again(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.takes_event("well again") || self.is_spooled("") {
            assert!(Instant::now() < deadline, "the recorder does not come back");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the recorder's spool has an event of this name.
    fn is_spooled(&self, event: &str) -> bool {
        let files = fs::read_dir(self.home.join("spool")).into_iter().flatten().flatten();
        let has = |bytes: Vec<u8>| memchr::memmem::find(&bytes, event.as_bytes()).is_some();
        files.filter_map(|file| fs::read(file.path()).ok()).any(has)
    }

    /// Whether one more event of another session is recorded.
    fn takes_event(&self, text: &str) -> bool {
        let event =
            json!({"session_id": "other", "cwd": "/", "hook_event_name": "UserPromptSubmit", "prompt": text});
        let mut child = Command::new(self.programs.join("fdr-hook"))
            .args(["claude-code", "UserPromptSubmit", "--home"])
            .arg(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(event.to_string().as_bytes());
        child.wait().unwrap().success()
    }
}

/// The fault that is there now, and what mends it.
type Now = (usize, Option<Box<dyn FnOnce() + Send>>);

fn goes_through_all_faults(agent: Agent, mode: &str, test: &str) {
    const INSIDE: &str = "FDR_TEST_IN_NAMESPACE";
    let is_inside = env::var_os(INSIDE).is_some();
    if !is_inside && allows_mounts() {
        let out = Command::new("unshare")
            .args(["-rm", env::current_exe().unwrap().to_str().unwrap(), "--exact", test, "--nocapture"])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        println!("{}\n{}", said[0], said[1]);
        assert!(out.status.success(), "in a namespace: {}", out.status);
        return;
    }
    let mut faults = vec![Well, Dead, Frozen, Garbage, Replaced, HookKilled];
    let sandbox = Sandbox::new();
    if is_inside {
        mount(&sandbox.fdr_home);
        faults.push(DiskFull);
    } else {
        println!("not tried with a full disk: this machine does not allow mounts in a namespace");
    }
    // The last one: Gemini CLI ends where a hook of its prompts fails like this.
    faults.extend([Well, HookMissing]);
    sandbox.write("recorder/config.toml", &format!("mode = \"{mode}\"\n"));
    let file = |nth: usize| format!("made-{nth}.txt");
    let turn = |nth: usize| json!({"tools": [shell(agent, &format!("touch {}", file(nth)))]});
    let turns: Vec<_> = (0..faults.len()).map(turn).chain([json!({"text": "Done."})]).collect();
    let place = Place { agent, home: sandbox.fdr_home.clone(), programs: sandbox.programs.clone() };
    let now: Arc<Mutex<Now>> = Arc::default();
    let last = Arc::clone(&now);
    let plan = faults.clone();
    let llm = ScriptedLlm::start_with(json!({"tracks": {"main": turns}}), move |_, turn| {
        // What went wrong in an earlier turn is said by the test.
        let mut now = now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // An agent may ask again for a turn.
        if turn <= now.0 {
            return;
        }
        if let Some(mend) = now.1.take() {
            mend();
            place.is_well_again();
        }
        println!("{turn}: {:?}", plan.get(turn));
        *now = (turn, plan.get(turn).map(|fault| place.inflict(*fault)));
    });
    agent.set_up(&sandbox, &llm);
    let output = agent.run(&sandbox, &llm, "Please do the steps.");
    println!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    if let Some(mend) = last.lock().unwrap().1.take() {
        mend();
    }
    let issued = llm.issued();
    assert_eq!(issued.len(), faults.len(), "the script was played to its end");

    let trail = wait_for(&sandbox, &llm);
    for (nth, (call, action, result)) in calls(&trail, &llm).into_iter().enumerate() {
        let fault = faults[nth];
        let is_done = sandbox.project.join(file(nth)).exists();
        // A small event may still find space in what the log has set aside. OpenClaw's plug-in
        // speaks to the recorder itself, and needs fdr-hook where its connection broke.
        let may_be_recorded =
            fault == DiskFull || agent == Agent::OpenClaw && matches!(fault, HookKilled | HookMissing);
        let denies = mode == "enforce" && fault != Well && !(may_be_recorded && is_done);
        let told = llm.told(&call.id).unwrap_or_default();
        assert_eq!(is_done, !denies, "{fault:?}: {told}");
        assert!(!denies || told.contains("fdr (enforce)"), "{fault:?}: the agent is told why: {told}");
        let action = action.unwrap_or_else(|| panic!("{fault:?}: no action of {call:?}"));
        let result = result.unwrap_or_else(|| panic!("{fault:?}: no result of {action:?}"));
        let Body::Result(result) = &result.body else { panic!("{result:?}") };
        let expected = if denies { Outcome::Denied } else { Outcome::Ok };
        assert_eq!(result.outcome, expected, "{fault:?}: {result:?}");
        assert!(!denies || result.reason.is_some(), "{fault:?}: {result:?}");
    }
    assert!(sandbox.fdr(&["verify"]).contains("INTACT"));
}

/// Text of this length that can't be made smaller.
fn noise(len: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 60) as u8)
    };
    (0..len).map(|_| next()).collect()
}

fn allows_mounts() -> bool {
    let probe = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    probe.is_ok_and(|probe| probe.status.success())
}

/// A small disk, in the namespace that this process is in.
fn mount(folder: &Path) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512m,mode=700", "none"])
        .arg(folder)
        .status()
        .unwrap();
    assert!(mounted.success());
}

macro_rules! tests {
    ($($name:ident: $agent:ident in $mode:literal,)*) => {
        $(#[test]
        fn $name() {
            let test = concat!("runtimes_faults::", stringify!($name));
            goes_through_all_faults(Agent::$agent, $mode, test);
        })*
    };
}

tests! {
    claude_code_does_nothing_that_can_not_be_recorded: ClaudeCode in "enforce",
    codex_does_nothing_that_can_not_be_recorded: Codex in "enforce",
    gemini_cli_does_nothing_that_can_not_be_recorded: GeminiCli in "enforce",
    hermes_does_nothing_that_can_not_be_recorded: Hermes in "enforce",
    opencode_does_nothing_that_can_not_be_recorded: OpenCode in "enforce",
    openclaw_does_nothing_that_can_not_be_recorded: OpenClaw in "enforce",
    claude_code_goes_on_and_nothing_is_lost: ClaudeCode in "observe",
    codex_goes_on_and_nothing_is_lost: Codex in "observe",
    gemini_cli_goes_on_and_nothing_is_lost: GeminiCli in "observe",
    hermes_goes_on_and_nothing_is_lost: Hermes in "observe",
    opencode_goes_on_and_nothing_is_lost: OpenCode in "observe",
    openclaw_goes_on_and_nothing_is_lost: OpenClaw in "observe",
}
