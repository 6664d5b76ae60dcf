//! What happens when something breaks: nothing that was acknowledged is lost, and every fault is
//! said.

use crate::program::{Program, bash, fdr, hook, run_hook, text};
use fdr_hook::client::Client;
use fdr_hook::wire::Request;
use fdr_record::{Body, Kind, Record, Verdict};
use std::collections::HashSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn denied(output: &Output) -> String {
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let reply = &reply["hookSpecificOutput"];
    assert_eq!(reply["permissionDecision"], "deny", "{output:?}");
    assert!(output.status.success(), "{output:?}");
    reply["permissionDecisionReason"].as_str().unwrap().to_owned()
}

fn kinds(records: &[Record]) -> Vec<Kind> {
    records.iter().map(|record| record.kind).collect()
}

#[test]
fn a_second_recorder_is_refused_and_told_about_the_first() {
    let program = Program::new();
    assert!(program.hook("PreToolUse", &bash("s", "t1", "ls")).status.success());
    let pid = program.recorder_pid().unwrap();
    let second = program.fdr(&["serve"]);
    assert_eq!(second.status.code(), Some(2));
    let message = text(&second.stderr);
    assert!(message.contains(&format!("another recorder (pid {pid}")), "{message}");
    assert!(message.contains("fdr status") && message.contains("fdr stop"), "{message}");
    assert_eq!(program.recorder_pid(), Some(pid), "the first one goes on");
}

#[test]
fn thirty_two_hooks_at_once_start_one_recorder_and_are_each_recorded_once() {
    let program = Program::new();
    std::thread::scope(|scope| {
        for number in 0..32 {
            let program = &program;
            scope.spawn(move || {
                let output = program.hook("PreToolUse", &bash("s", &format!("t{number}"), "ls"));
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            });
        }
    });
    let records = program.records();
    let starts = records.iter().filter(|record| record.kind == Kind::LogRestart).count();
    assert_eq!(starts, 1);
    let calls: Vec<&str> = records.iter().filter_map(Record::tool_use_id).collect();
    assert_eq!(calls.len(), 32);
    assert_eq!(calls.iter().collect::<HashSet<_>>().len(), 32);
    let mut numbers: Vec<u64> =
        records.iter().filter(|record| record.session.is_some()).map(|record| record.seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..32).collect::<Vec<u64>>(), "numbered without gaps");
}

#[test]
fn every_acked_record_survives_kill_9() {
    let program = Program::new();
    let mut acked: Vec<(u64, String)> = Vec::new();
    for round in 0..8_u64 {
        let home = program.home();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut client = Client::connect_or_start_with(&home, fdr(), deadline).unwrap();
        let killer = std::thread::spawn({
            let pid = program.recorder_pid().unwrap();
            move || {
                std::thread::sleep(Duration::from_millis(50 + 23 * round));
                Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            }
        });
        for number in 0.. {
            let call = format!("r{round}n{number}");
            let mut source = [0; 16];
            source[..8].copy_from_slice(&round.to_le_bytes());
            let request = Request::event("claude-code", "PreToolUse", source, number, bash("s", &call, "ls"));
            match client.call(&request, Some(deadline)) {
                Ok(response) => {
                    assert!(response.recorded, "{}", text(&response.stderr));
                    acked.push((response.index, call));
                }
                Err(_) => break,
            }
        }
        killer.join().unwrap();
        program.wait_until_gone();
    }
    assert!(acked.len() > 100, "only {} acks: not much of a test", acked.len());
    let records = program.records();
    let mut first_of_batch = HashSet::new();
    for (index, call) in &acked {
        // A gap record may stand before the action in the same batch.
        let near = &records[*index as usize..records.len().min(*index as usize + 2)];
        assert!(near.iter().any(|record| record.tool_use_id() == Some(call)), "{call} at {index}: {near:?}");
        assert!(first_of_batch.insert(index), "two acks for index {index}");
    }
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    assert!(ids.is_sorted(), "ids rise over restarts");
    let unclean =
        records.iter().filter(|r| matches!(&r.body, Body::LogRestart(start) if !start.clean)).count();
    assert!(unclean >= 7, "each killed recorder is told by its successor: {unclean}");
    assert!(program.ok(&["verify"]).contains("INTACT"));
}

#[test]
fn a_recorder_killed_in_a_session_is_started_again_and_the_record_says_so() {
    let program = Program::new();
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    program.kill_recorder();
    let after = program.hook("PreToolUse", &bash("s", "t2", "ls"));
    assert!(after.status.success() && after.stderr.is_empty(), "{after:?}");
    let records = program.records();
    let start = [Kind::LogRestart, Kind::PolicyChange, Kind::Action];
    let again = [Kind::LogRestart, Kind::Gap, Kind::PolicyChange, Kind::Action];
    assert_eq!(kinds(&records), [&start[..], &again].concat());
    assert!(matches!(&records[3].body, Body::LogRestart(start) if !start.clean && start.size == 3));
    assert!(matches!(&records[4].body, Body::Gap(gap) if gap.detail.contains("without a word")));
    assert_eq!(records[6].seq, 1, "the session is numbered on");
}

#[test]
fn an_orderly_stop_is_told_from_a_crash() {
    let program = Program::new();
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    assert_eq!(program.ok(&["stop"]), "stopped\n");
    program.hook("PreToolUse", &bash("s", "t2", "ls"));
    let records = program.records();
    let starts = records.iter().filter_map(|record| match &record.body {
        Body::LogRestart(start) => Some(start.clean),
        _ => None,
    });
    assert_eq!(starts.collect::<Vec<_>>(), [true, true]);
    let gap = records.iter().find_map(|record| match &record.body {
        Body::Gap(gap) => Some(gap),
        _ => None,
    });
    let gap = gap.expect("the time without a recorder is a gap");
    assert!(gap.what == "recorder_down" && gap.detail.contains("in good order"), "{gap:?}");
}

/// A copy of the hook in a folder without `fdr`: it can't start a recorder.
fn lonely_hook(program: &Program) -> std::path::PathBuf {
    std::fs::create_dir_all(program.home()).unwrap();
    let lonely = program.home().join("fdr-hook");
    std::fs::copy(hook(), &lonely).unwrap();
    lonely
}

#[test]
fn without_a_recorder_observe_goes_on_and_the_event_is_taken_in_later() {
    let program = Program::new();
    let lonely = lonely_hook(&program);
    let output = run_hook(&lonely, &program.home(), "PreToolUse", &bash("s", "t1", "ls"));
    assert_eq!(output.status.code(), Some(1), "stops no tool, and is shown: {output:?}");
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.contains("is not recorded") && said.contains("kept in"), "{said}");
    program.hook("PreToolUse", &bash("s", "t2", "ls"));
    let records = program.records();
    let late = records.iter().find(|record| record.tool_use_id() == Some("t1")).expect("taken in");
    assert!(late.observed.as_ref().unwrap().late && late.claimed.as_ref().unwrap().ts.is_some());
    assert!(late.observed.as_ref().unwrap().pid.is_none(), "nobody saw who sent it");
    assert!(records.iter().any(|r| matches!(&r.body, Body::Gap(gap) if gap.what == "recorder_unreachable")));
    assert_eq!(records.iter().filter(|record| record.tool_use_id() == Some("t1")).count(), 1);
    assert_eq!(std::fs::read_dir(program.home().join("spool")).unwrap().count(), 0);
}

#[test]
fn without_a_recorder_enforce_denies_with_a_clear_reason() {
    let program = Program::with_config("mode = 'enforce'\n");
    program.hook("SessionStart", br#"{"session_id":"s","hook_event_name":"SessionStart","cwd":"/"}"#);
    program.ok(&["stop"]);
    let lonely = lonely_hook(&program);
    let reason = denied(&run_hook(&lonely, &program.home(), "PreToolUse", &bash("s", "t1", "touch x")));
    assert!(reason.contains("can't be recorded") && reason.contains("can't start"), "{reason}");
    let other = run_hook(&lonely, &program.home(), "PostToolUse", b"{}");
    assert_eq!(other.status.code(), Some(1), "only a call can be denied: {other:?}");
    program.hook("PreToolUse", &bash("s", "t2", "ls"));
    let records = program.records();
    let late = records.iter().find(|record| record.tool_use_id() == Some("t1")).expect("taken in later");
    assert!(
        matches!(&late.body, Body::Action(action) if action.policy.decision == Verdict::Deny && action.policy.reason.contains("its hook denied it")),
        "{late:?}"
    );
}

#[test]
fn bad_input_never_crashes_the_agent_and_is_kept_raw() {
    let program = Program::new();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let truncated = &bash("s", "t1", "ls")[..60];
    let inputs: [(&str, &[u8]); 6] = [
        ("PreToolUse", b""),
        ("PreToolUse", truncated),
        ("PreToolUse", b"\xff\xfe{\"session_id\":1}"),
        ("PreToolUse", deep.as_bytes()),
        ("PreToolUse", br#"{"session_id":7,"tool_name":[]}"#),
        ("PostToolUse", b"null"),
    ];
    for (event, payload) in inputs {
        let output = program.hook(event, payload);
        assert!(output.status.success(), "{event} {:?}: {output:?}", text(&payload[..payload.len().min(40)]));
    }
    let unparsed: Vec<Record> = program.records().into_iter().filter(|r| r.kind == Kind::Unparsed).collect();
    assert_eq!(unparsed.len(), inputs.len());
    for (record, (_, payload)) in unparsed.iter().zip(inputs) {
        assert!(matches!(&record.body, Body::Unparsed(body) if !body.reason.is_empty()));
        let raw = record.content.iter().find(|content| content.role == "raw").expect("the bytes are kept");
        assert_eq!(raw.len as usize, payload.len());
        assert_eq!(program.content(record, "raw"), payload);
    }
}

#[test]
fn a_payload_of_fifty_megabytes_is_recorded_whole() {
    let program = Program::new();
    let mut payload = br#"{"session_id":"s","tool_name":"Write","hook_event_name":"PreToolUse","tool_input":{"file_path":"/x","content":""#.to_vec();
    payload.resize(50 << 20, b'a');
    let output = program.hook("PreToolUse", &payload);
    assert!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    let records = program.records();
    let record = records.last().unwrap();
    assert_eq!(record.kind, Kind::Unparsed, "it is cut short");
    assert_eq!(record.content[0].len, 50 << 20);
    assert!(program.ok(&["verify"]).contains("INTACT"));
}

#[test]
fn an_unknown_event_is_recorded() {
    let program = Program::new();
    let payload = br#"{"session_id":"s","hook_event_name":"FromTheFuture","cwd":"/","what":{"x":1}}"#;
    assert!(program.hook("FromTheFuture", payload).status.success());
    let records = program.records();
    let record = records.last().unwrap();
    assert!(record.claimed.as_ref().unwrap().source.contains("FromTheFuture"), "{record:?}");
    assert!(record.content.iter().any(|content| content.role == "raw"));
}

#[test]
fn unparsed_calls_are_denied_when_enforced() {
    let program = Program::with_config("mode = 'enforce'\n");
    let reason = denied(&program.hook("PreToolUse", b"{\"tool_name\":"));
    assert!(!reason.is_empty());
    assert_eq!(program.records().last().unwrap().kind, Kind::Unparsed);
}

/// Runs a shell script as root of a namespace of its own, in which it can mount things.
fn in_namespace(script: &str) -> Option<Output> {
    let probe = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: this machine does not allow mounts in a namespace");
        return None;
    }
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-euc", script])
        .env("FDR", fdr())
        .env("HOOK", hook())
        .output();
    Some(output.unwrap())
}

#[test]
fn a_full_disk_is_said_and_nothing_acked_is_lost() {
    let Some(output) = in_namespace(
        r#"
        mount -t tmpfs -o size=40m none /mnt
        export FDR_HOME=/mnt/h
        payload=$(head -c 45000 /dev/urandom | base64 -w0)
        acked=0
        for i in $(seq 2000); do
            if printf '{"session_id":"s","cwd":"/","hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t%s","tool_input":{"command":"echo %s"}}' $i "$payload" |
                "$HOOK" claude-code PreToolUse 2>/mnt/../tmp/fdr-full-$$; then acked=$((acked + 1)); else break; fi
        done
        echo "acked $acked"
        cat /tmp/fdr-full-$$; rm -f /tmp/fdr-full-$$
        "$FDR" stop >/dev/null 2>&1 || true
        "$FDR" cat | grep -c '"kind":"action"'
        "$FDR" verify || true
        "#,
    ) else {
        return;
    };
    let said = text(&output.stdout);
    let acked: usize = said
        .split("acked ")
        .nth(1)
        .unwrap_or_else(|| panic!("{output:?}"))
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((50..2000).contains(&acked), "{said}");
    assert!(said.contains("is not recorded") && said.to_lowercase().contains("no space"), "{said}");
    let recorded: usize = said.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(recorded >= acked, "{said}");
    assert!(said.contains("INTACT"), "{said}");
}

#[test]
fn a_read_only_folder_is_said() {
    let Some(output) = in_namespace(
        r#"
        mount -t tmpfs none /mnt
        mkdir /mnt/h
        mount -o remount,ro /mnt
        export FDR_HOME=/mnt/h
        printf '{"session_id":"s","cwd":"/","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}' |
            "$HOOK" claude-code PreToolUse && exit 9
        "$FDR" serve && exit 9
        exit 0
        "#,
    ) else {
        return;
    };
    let said = text(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("THIS EVENT IS LOST"), "{said}");
    assert_eq!(said.matches("/mnt/h").count().min(2), 2, "both name the folder: {said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

#[test]
fn a_recorder_whose_folder_was_taken_away_ends() {
    let program = Program::new();
    program.hook("PreToolUse", &bash("s", "t1", "ls"));
    let pid = program.recorder_pid().unwrap();
    std::fs::remove_dir_all(program.home()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let runs =
        || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while runs() {
        assert!(Instant::now() < deadline, "it still runs");
        std::thread::sleep(Duration::from_millis(50));
    }
}
