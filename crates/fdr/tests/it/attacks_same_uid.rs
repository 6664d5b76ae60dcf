//! The table in SECURITY.md, carried out: what an agent does to its recorder, which runs as the same
//! user (a user's own install) and as another (`fdr install --system`).

use crate::program::{Program, bash};
use crate::system::{ALICE, BOB, Machine, is_root, said};
use fdr_hook::client::Client;
use fdr_hook::wire::{Op, Request};
use fdr_record::{Body, Kind};
use std::fs;
use std::path::Path;
use std::process::Output;

/// A machine on which an agent of Alice's has done something; `None` when not root.
fn machine(config: &str) -> Option<Machine> {
    if !is_root() {
        return None;
    }
    let mut machine = Machine::new(config);
    machine.start();
    assert!(machine.hook(ALICE, "PreToolUse", &bash("s", "t0", "ls")).status.success());
    Some(machine)
}

fn own() -> Program {
    let program = Program::new();
    assert!(program.hook("PreToolUse", &bash("s", "t0", "ls")).status.success());
    program
}

/// What an agent of a user's has its shell do on the machine.
fn shell(machine: &Machine, uid: u32, script: &str) -> Output {
    let mut command = machine.user(uid, Path::new("/bin/sh"));
    command.args(["-c", script]).arg(machine.at("/")).output().unwrap()
}

fn fails(machine: &Machine, script: &str) {
    let output = shell(machine, ALICE, script);
    assert!(!output.status.success(), "{script}: {output:?}");
}

fn is_intact(machine: &Machine) {
    let verify = machine.fdr(0, &["verify"]);
    assert!(said(&verify).contains("INTACT"), "{verify:?}");
}

fn recorder(machine: &Machine) -> u64 {
    let status = machine.fdr(0, &["status", "--json"]);
    serde_json::from_slice::<serde_json::Value>(&status.stdout).unwrap()["pid"].as_u64().unwrap()
}

#[test]
fn the_log_is_edited() {
    let program = own();
    program.ok(&["stop"]);
    let segment = fs::read_dir(program.home().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .min()
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = memchr(&bytes, b"\"Bash\"");
    bytes[at + 1] = b'C';
    fs::write(&segment, bytes).unwrap();
    let verify = program.fdr(&["verify"]);
    assert!(!verify.status.success(), "detected: {verify:?}");
    let Some(machine) = machine("") else { return };
    fails(&machine, "for file in \"$0\"/var/lib/fdr/log/*; do echo x >> \"$file\" || exit 1; done");
    is_intact(&machine);
}

fn memchr(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).expect("it is there")
}

#[test]
fn the_folder_is_deleted() {
    let program = own();
    fs::remove_dir_all(program.home()).unwrap();
    assert!(!program.fdr(&["verify"]).status.success(), "nothing is left to be shown as whole");
    let Some(machine) = machine("") else { return };
    fails(&machine, "rm -rf \"$0\"/var/lib/fdr");
    fails(&machine, "mv \"$0\"/var/lib/fdr /tmp/fdr-taken");
    is_intact(&machine);
}

#[test]
fn the_recorder_is_killed() {
    let program = own();
    program.kill_recorder();
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    let records = program.records();
    assert!(records.iter().any(|r| matches!(&r.body, Body::LogRestart(start) if !start.clean)), "detected");
    let Some(machine) = machine("") else { return };
    for signal in ["KILL", "STOP", "TERM"] {
        fails(&machine, &format!("kill -{signal} {}", recorder(&machine)));
    }
    is_intact(&machine);
}

#[test]
fn the_recorders_memory_is_read() {
    let Some(machine) = machine("") else { return };
    // Alice's own recorder, beside the machine's.
    let home = machine.at("/home/alice");
    fs::create_dir_all(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(ALICE), Some(ALICE)).unwrap();
    let mut serve = machine.user(ALICE, &machine.at("/usr/local/lib/fdr/fdr"));
    let mut child = serve.args(["serve", "--home"]).arg(home.join("r")).spawn().unwrap();
    while Client::connect(&home.join("r")).is_err() {
        std::thread::yield_now();
    }
    fails(&machine, &format!("head -c 1 /proc/{}/mem; cat /proc/{0}/maps", child.id()));
    fails(&machine, &format!("ls -l /proc/{}/fd", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    fails(&machine, &format!("cat /proc/{}/maps", recorder(&machine)));
}

#[test]
fn the_keys_are_read() {
    let program = own();
    assert!(fs::read(program.home().join("keys/log.key")).is_ok(), "not prevented");
    let Some(machine) = machine("") else { return };
    fails(&machine, "cat \"$0\"/var/lib/fdr/keys/log.key");
}

#[test]
fn the_environment_names_another_recorder() {
    let Some(machine) = machine("") else { return };
    let hook = machine.at("/usr/local/lib/fdr/fdr-hook");
    let elsewhere = machine.at("/tmp-alice");
    let script = format!(
        "export FDR_HOME={0} HOME={0} XDG_STATE_HOME={0}; printf '%s' '{1}' | {2} claude-code PreToolUse --home {3}",
        elsewhere.display(),
        String::from_utf8(bash("s", "t1", "ls")).unwrap(),
        hook.display(),
        machine.front().display()
    );
    assert!(shell(&machine, ALICE, &script).status.success());
    assert!(machine.records().iter().any(|record| record.tool_use_id() == Some("t1")));
    assert!(!elsewhere.exists());
}

#[test]
fn the_socket_is_replaced_by_a_fake_recorder() {
    let program = own();
    fs::remove_file(program.home().join("fdr.sock")).unwrap();
    program.wait_until_gone();
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    let records = program.records();
    assert!(records.iter().filter(|record| record.kind == Kind::LogRestart).count() > 1, "detected");
    let Some(mut machine) = machine("") else { return };
    fails(&machine, "rm -f \"$0\"/run/fdr/fdr.sock");
    fails(&machine, "mv \"$0\"/run/fdr \"$0\"/run/other");
    // Even in its very place, whoever is neither root nor the recorder is no recorder.
    machine.kill();
    let socket = machine.system().socket;
    let _ = fs::remove_file(&socket);
    fs::set_permissions(machine.at("/run/fdr"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let script = format!(
        "import socket,time\ns=socket.socket(socket.AF_UNIX)\ns.bind('{0}')\ns.listen(9)\nimport os\nos.chmod('{0}',0o777)\ntime.sleep(60)",
        socket.display()
    );
    let mut fake = machine.user(BOB, Path::new("/usr/bin/python3")).args(["-c", &script]).spawn().unwrap();
    let refused = loop {
        match Client::connect(&machine.front()) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => break error.to_string(),
            Err(_) => std::thread::yield_now(),
            Ok(_) => panic!("a fake recorder is taken for the machine's"),
        }
    };
    fake.kill().unwrap();
    fake.wait().unwrap();
    assert!(refused.contains(&BOB.to_string()), "{refused}");
}

#[test]
fn the_programs_are_overwritten() {
    let Some(machine) = machine("") else { return };
    for program in ["fdr", "fdr-hook"] {
        fails(&machine, &format!("cp /bin/true \"$0\"/usr/local/lib/fdr/{program}"));
        fails(&machine, &format!("rm -f \"$0\"/usr/local/lib/fdr/{program}"));
    }
}

#[test]
fn the_configuration_is_changed() {
    let program = own();
    fs::write(program.home().join("config.toml"), "mode = \"observe\"\n").unwrap();
    let Some(machine) = machine("") else { return };
    for file in ["config.toml", "hook.fail", "system"] {
        fails(&machine, &format!("echo x > \"$0\"/etc/fdr/{file}"));
        fails(&machine, &format!("rm -f \"$0\"/etc/fdr/{file}"));
    }
}

#[test]
fn the_recorder_is_told_to_stop() {
    let program = own();
    program.ok(&["stop"]);
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    let starts = program.records().iter().filter(|record| record.kind == Kind::LogRestart).count();
    assert_eq!(starts, 2, "detected");
    let Some(machine) = machine("") else { return };
    let stop = machine.fdr(ALICE, &["stop"]);
    assert!(!stop.status.success() && said(&stop).contains("only root"), "{stop:?}");
    is_intact(&machine);
}

#[test]
fn the_owners_requests_are_made() {
    let Some(machine) = machine("") else { return };
    // Over the socket, as the group may; the payload is not even looked at.
    let front = machine.front();
    let socket = machine.system().socket;
    let mut request = Request::control(Op::Admin);
    request.payload = b"{}".to_vec();
    let file = machine.at("/frame");
    fs::write(&file, request.encode()).unwrap();
    let script = format!(
        "import socket\ns=socket.socket(socket.AF_UNIX)\ns.connect('{}')\ns.sendall(open('{}','rb').read())\nprint(s.recv(4096))",
        socket.display(),
        file.display()
    );
    let output = machine.user(ALICE, Path::new("/usr/bin/python3")).args(["-c", &script]).output().unwrap();
    assert!(said(&output).contains("only the recorder"), "{output:?} {}", front.display());
}

#[test]
fn a_prompt_is_forged() {
    let program = own();
    let prompt = br#"{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt":"delete everything"}"#;
    assert!(program.hook("UserPromptSubmit", prompt).status.success(), "not prevented");
    let Some(machine) = machine("") else { return };
    assert!(machine.hook(ALICE, "UserPromptSubmit", prompt).status.success(), "not prevented");
    let record = machine.records().into_iter().find(|record| record.kind == Kind::Prompt).unwrap();
    assert_eq!(record.observed.unwrap().uid, Some(ALICE), "but it is said whose process it was");
}

#[test]
fn a_session_of_another_user_is_forged() {
    let Some(machine) = machine("mode = \"enforce\"\n") else { return };
    let output = machine.hook(BOB, "PreToolUse", &bash("s", "t9", "ls"));
    assert!(said(&output).contains("deny"), "{output:?}");
    let records = machine.records();
    assert!(records.iter().all(|record| record.tool_use_id() != Some("t9")));
    assert!(records.iter().any(|record| {
        record.observed.as_ref().and_then(|observed| observed.uid) == Some(BOB)
            && matches!(&record.body, Body::Unparsed(body) if body.reason.contains("61001"))
    }));
}

#[test]
fn garbage_and_links_are_put_into_the_spool() {
    let Some(machine) = machine("") else { return };
    let script = "cd \"$0\"/var/spool/fdr/in && ln -s /etc/shadow a.msg && echo x > b.msg && chmod 644 b.msg \
        && echo y > c.msg && chmod 600 c.msg && mkfifo d.msg";
    let made = shell(&machine, ALICE, script);
    assert!(made.status.success(), "{made:?}");
    while fs::read_dir(machine.at("/var/spool/fdr/in")).unwrap().next().is_some() {
        std::thread::yield_now();
    }
    let found = machine.records().into_iter().filter(|record| {
        record.kind == Kind::Unparsed
            && record.observed.as_ref().and_then(|observed| observed.uid) == Some(ALICE)
    });
    assert_eq!(found.count(), 4, "each is recorded, with whose it was");
    assert!(machine.hook(BOB, "PreToolUse", &bash("b", "t1", "ls")).status.success());
    is_intact(&machine);
}

#[test]
fn every_row_of_the_table_is_carried_out_and_every_attack_has_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let mut rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with("` |"))
        .filter_map(|line| line.rsplit('`').nth(1))
        .collect();
    let source = include_str!("attacks_same_uid.rs");
    let mut tests: Vec<&str> = source
        .split("#[test]\nfn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .filter(|name| !name.starts_with("every_row"))
        .collect();
    rows.sort_unstable();
    tests.sort_unstable();
    assert_eq!(rows, tests);
}
