//! Heartbeats and gaps of the real recorder, and what becomes of them when somebody has taken the machine.

use crate::program::{Program, until};
use fdr_record::{Body, Gap, Heartbeat, Kind, Record, hex, unhex};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const CONFIG: &str = "[heartbeat]\nevery_seconds = 1\n";

fn heartbeats(program: &Program) -> Vec<Heartbeat> {
    let body = |record: Record| match record.body {
        Body::Heartbeat(body) => Some(body),
        _ => None,
    };
    program.records().into_iter().filter_map(body).collect()
}

fn gaps(program: &Program) -> Vec<Gap> {
    let body = |record: Record| match record.body {
        Body::Gap(body) => Some(body),
        _ => None,
    };
    program.records().into_iter().filter_map(body).collect()
}

fn beats(program: &Program, count: usize) {
    let before = heartbeats(program).len();
    until("heartbeats come", || heartbeats(program).len() >= before + count);
}

fn verify(program: &Program, arguments: &[&str]) -> (Output, Value) {
    let output = program.fdr(&[&["verify", "--json"], arguments].concat());
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output, found)
}

/// The key as `fdr seal export` hands it out, kept elsewhere.
fn export(program: &Program, elsewhere: &Path) -> PathBuf {
    let path = elsewhere.join("seal.key");
    std::fs::write(&path, program.ok(&["seal", "export"])).unwrap();
    path
}

#[test]
fn heartbeats_come_busy_or_idle_and_tell_what_was_taken_in() {
    let program = Program::with_config(CONFIG);
    program.call("c1");
    program.call("c2");
    program.hook("PreToolUse", b"{");
    beats(&program, 3);
    let all = heartbeats(&program);
    let epochs: Vec<u64> = all.iter().map(|beat| beat.epoch).collect();
    assert_eq!(epochs, (0..all.len() as u64).collect::<Vec<_>>());
    let messages: u64 = all.iter().map(|beat| beat.messages).sum();
    let unparsed: u64 = all.iter().map(|beat| beat.unparsed).sum();
    let by_runtime: u64 = all.iter().filter_map(|beat| beat.sources.get("claude-code")).sum();
    assert_eq!((messages, unparsed, by_runtime), (3, 1, 3));
    assert!(all.iter().all(|beat| beat.free_bytes.is_some_and(|bytes| bytes > 0) && beat.seal.is_some()));
    assert!(all[1].after_millis.is_some_and(|millis| millis >= 900), "{:?}", all[1]);
    // An idle one covers all but itself.
    assert_eq!(all[2].size, all[1].size + 1);

    let shown = program.ok(&["query"]);
    assert!(!shown.contains("heartbeat"), "{shown}");
    let count = |arguments: &[&str]| program.ok(&[&["query", "--count"], arguments].concat());
    let with: u64 = count(&["--kind", "heartbeat"]).trim().parse().unwrap();
    assert!(with >= 3);
    let without: usize = count(&[]).trim().parse().unwrap();
    let others = program.records().iter().filter(|record| record.kind != Kind::Heartbeat).count();
    assert_eq!(without, others);
    assert!(program.ok(&["status"]).contains("heartbeat     number "));
    let said = program.ok(&["verify"]);
    assert!(said.contains("heartbeats    0–") && said.contains("gaps          0 gaps"), "{said}");
    let wrong = Program::with_config("[heartbeat]\nevery_seconds = 11\n").fdr(&["config", "check"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("from 1 to 10"), "{wrong:?}");
}

#[test]
fn a_recorder_that_stood_still_and_one_that_was_down_are_gaps() {
    let program = Program::with_config(CONFIG);
    program.call("c1");
    beats(&program, 1);
    let pid = program.recorder_pid().unwrap().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    // Longer than the recorder is patient; nothing else can tell the time while it stands still.
    std::thread::sleep(Duration::from_millis(4_500));
    signal("-CONT");
    until("the pause is told", || gaps(&program).iter().any(|gap| gap.what == "recorder_paused"));
    let paused = gaps(&program).into_iter().find(|gap| gap.what == "recorder_paused").unwrap();
    assert!(paused.millis.is_some_and(|millis| (3_000..60_000).contains(&millis)), "{paused:?}");

    program.kill_recorder();
    program.call("c2");
    let down = gaps(&program).into_iter().find(|gap| gap.what == "recorder_down").unwrap();
    assert!(down.millis.is_some() && down.detail.contains("without a word"), "{down:?}");
    let said = program.ok(&["verify", "--gaps"]);
    assert!(said.contains("recorder_paused 1 (longest "), "{said}");
    assert!(said.contains(": recorder_down, ") && said.contains("INTACT"), "{said}");
    let (_, found) = verify(&program, &[]);
    let whats: Vec<&str> = found["chronicle"]["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| gap["what"].as_str().unwrap())
        .collect();
    assert_eq!(whats, ["recorder_paused", "recorder_down"]);
}

#[test]
fn seals_hold_over_restarts_and_an_orderly_end_is_sealed() {
    let program = Program::with_config("[heartbeat]\nevery_seconds = 10\n");
    program.call("c1");
    let elsewhere = tempfile::tempdir().unwrap();
    let key = export(&program, elsewhere.path());
    let key = key.to_str().unwrap();
    program.ok(&["stop"]);
    program.call("c2");
    program.kill_recorder();
    program.call("c3");
    program.ok(&["stop"]);
    let epochs: Vec<u64> = heartbeats(&program).iter().map(|beat| beat.epoch).collect();
    assert_eq!(epochs, [0, 1], "each orderly end is one, and no kill");
    let (output, found) = verify(&program, &["--seal-key", key]);
    assert!(output.status.success(), "{found}");
    assert_eq!(found["chronicle"]["heartbeats"]["seals_checked"], 2);
    let exported = program.records().into_iter().filter_map(|record| match record.body {
        Body::Access(access) => Some(access.what),
        _ => None,
    });
    assert_eq!(exported.collect::<Vec<_>>(), ["seal_key"], "that it was handed out is known");

    let other = Program::with_config(CONFIG);
    other.call("c1");
    std::fs::write(key, program_text(&other).replace("fdr/", "other/")).unwrap();
    let refused = program.fdr(&["verify", "--seal-key", key]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is the seal key of log"), "{refused:?}");
    let missing = program.fdr(&["verify", "--seal-key", "/nowhere"]);
    assert!(
        missing.status.code() == Some(2) && String::from_utf8_lossy(&missing.stderr).contains("/nowhere")
    );
}

fn program_text(program: &Program) -> String {
    program.ok(&["seal", "export"])
}

#[test]
fn a_lost_key_is_told_and_stops_nothing() {
    let program = Program::with_config("[heartbeat]\nevery_seconds = 10\n");
    program.call("c1");
    program.ok(&["stop"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let before = elsewhere.path().join("before");
    std::fs::copy(program.home().join("keys/seal.key"), &before).unwrap();
    std::fs::remove_file(program.home().join("keys/seal.key")).unwrap();
    program.call("c2");
    program.ok(&["stop"]);
    assert!(gaps(&program).iter().any(|gap| gap.what == "seal_key_lost"));
    assert!(program.ok(&["verify"]).contains("INTACT"));
    let (output, found) = verify(&program, &["--seal-key", before.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(found["damages"][0]["what"].as_str().unwrap().contains("is not by its key"), "{found}");
    program.call("c2");
    program.ok(&["stop"]);
    // A key of before is put back.
    std::fs::copy(&before, program.home().join("keys/seal.key")).unwrap();
    program.call("c3");
    assert!(gaps(&program).iter().any(|gap| gap.what == "seal_key_old"));
}

/// An attacker's own seals: he has the key as it is now, and what he knows of how it is used.
struct Forger {
    key: Vec<u8>,
}

impl Forger {
    fn mac(&self, parts: &[&[u8]]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        hex(&mac.finalize().into_bytes())
    }

    /// The heartbeat of another size and root, numbered as he likes, sealed anew.
    fn heartbeat(&self, line: &[u8], epoch: u64, size: u64, root: [u8; 32]) -> Vec<u8> {
        let text = std::str::from_utf8(line).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        let body = &value["body"];
        let of = |name: &str| body[name].as_str().unwrap().to_owned();
        let number = |name: &str| format!("\"{name}\":{}", body[name]);
        let unsealed = text
            .replace(&of("root"), &hex(&root))
            .replace(&number("size"), &format!("\"size\":{size}"))
            .replace(&number("epoch"), &format!("\"epoch\":{epoch}"))
            .replace(&of("seal"), &"0".repeat(64));
        let seal = self.mac(&[b"fdr seal: a heartbeat\n", unsealed.as_bytes()]);
        unsealed.replace(&"0".repeat(64), &seal).into_bytes()
    }
}

/// A stopped recorder with some heartbeats since a key was handed out, and the attacker who finds it.
fn taken(elsewhere: &Path) -> (Program, PathBuf, Forger) {
    let program = Program::with_config(CONFIG);
    program.call("c1");
    beats(&program, 1);
    let key = export(&program, elsewhere);
    for call in ["c2", "evil", "c4"] {
        program.call(call);
        beats(&program, 1);
    }
    program.ok(&["stop"]);
    let text = std::fs::read_to_string(program.home().join("keys/seal.key")).unwrap();
    let current = unhex(text.trim().rsplit(' ').next().unwrap()).unwrap();
    (program, key, Forger { key: current })
}

fn is_heartbeat(line: &[u8]) -> bool {
    Record::parse(line).unwrap().kind == Kind::Heartbeat
}

fn is_about(line: &[u8], call: &str) -> bool {
    Record::parse(line).unwrap().tool_use_id() == Some(call)
}

#[test]
fn an_account_made_anew_bears_no_true_seals() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (program, key, forger) = taken(elsewhere.path());
    let mut epoch = 0;
    program.rewrite_log(|line, size, root| {
        if is_about(&line, "evil") {
            return None;
        }
        if !is_heartbeat(&line) {
            return Some(line);
        }
        epoch += 1;
        Some(forger.heartbeat(&line, epoch - 1, size, root))
    });
    let (alone, found) = verify(&program, &[]);
    assert!(alone.status.success(), "without the key it is a sound account: {found}");
    let (output, found) = verify(&program, &["--seal-key", key.to_str().unwrap()]);
    assert_eq!((output.status.code(), &found["result"]), (Some(1), &Value::from("damaged")));
    assert!(found["damages"][0]["what"].as_str().unwrap().contains("is not by its key"), "{found}");
}

#[test]
fn a_heartbeat_that_is_taken_out_or_left_as_it_was_is_found_without_any_key() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (program, ..) = taken(elsewhere.path());
    program.rewrite_log(|line, _, _| (!is_about(&line, "evil")).then_some(line));
    let said = String::from_utf8(program.fdr(&["verify"]).stdout).unwrap();
    assert!(said.contains("DAMAGED") && said.contains("heartbeat 3 speaks of"), "{said}");

    let (program, ..) = taken(elsewhere.path());
    program.rewrite_log(|line, _, _| {
        Some(String::from_utf8(line).unwrap().replace("\"evil\"", "\"good\"").into_bytes())
    });
    let said = String::from_utf8(program.fdr(&["verify"]).stdout).unwrap();
    assert!(said.contains("DAMAGED") && said.contains("saw other records before it"), "{said}");
    assert!(!said.contains("without a hole"), "{said}");

    let (program, _, forger) = taken(elsewhere.path());
    let mut seen = 0;
    program.rewrite_log(|line, size, root| {
        if !is_heartbeat(&line) {
            return Some(line);
        }
        seen += 1;
        (seen != 2).then(|| forger.heartbeat(&line, seen - 1, size, root))
    });
    let said = String::from_utf8(program.fdr(&["verify"]).stdout).unwrap();
    assert!(said.contains("DAMAGED") && said.contains("heartbeat 2 follows heartbeat 0"), "{said}");
}

#[test]
fn an_end_that_was_cut_off_is_told_by_the_next_recorder() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (program, key, _) = taken(elsewhere.path());
    let mut is_cut = false;
    program.rewrite_log(|line, _, _| {
        is_cut |= is_about(&line, "evil");
        (!is_cut).then_some(line)
    });
    // Cut behind what the key covers it is a shorter account, and sound.
    let (output, _) = verify(&program, &["--seal-key", key.to_str().unwrap()]);
    assert!(output.status.success());
    program.call("c5");
    let gap = gaps(&program).into_iter().find(|gap| gap.what == "heartbeats_missing").unwrap();
    assert!(gap.detail.contains("is not there any more"), "{gap:?}");
    beats(&program, 1);
    let said = String::from_utf8(program.fdr(&["verify"]).stdout).unwrap();
    assert!(said.contains("DAMAGED") && said.contains("follows heartbeat"), "{said}");
}

#[test]
fn a_cut_end_that_is_continued_with_a_later_key_bears_no_true_seals() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (program, key, forger) = taken(elsewhere.path());
    let (mut is_cut, mut epoch) = (false, 0);
    program.rewrite_log(|line, _, _| {
        is_cut |= is_about(&line, "evil");
        epoch += u64::from(!is_cut && is_heartbeat(&line));
        (!is_cut).then_some(line)
    });
    // He gives the key that he has the number of the one that he lacks, and lets the recorder go on.
    let origin = std::fs::read_to_string(program.home().join("keys/seal.key")).unwrap();
    let origin = origin.split(' ').nth(1).unwrap();
    let text = format!("fdr-seal-v1 {origin} {epoch} {}\n", hex(&forger.key));
    std::fs::write(program.home().join("keys/seal.key"), text).unwrap();
    program.call("c5");
    beats(&program, 2);
    assert!(gaps(&program).iter().all(|gap| gap.what == "recorder_down"));
    assert!(program.ok(&["verify"]).contains("INTACT"), "without the key it is a sound account");
    let (output, found) = verify(&program, &["--seal-key", key.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(found["damages"][0]["what"].as_str().unwrap().contains("is not by its key"), "{found}");
}

#[test]
fn an_end_cut_off_before_the_key_was_handed_out_is_found_with_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (program, key, _) = taken(elsewhere.path());
    let mut is_cut = false;
    program.rewrite_log(|line, _, _| {
        is_cut |= is_heartbeat(&line);
        (!is_cut).then_some(line)
    });
    let (output, found) = verify(&program, &["--seal-key", key.to_str().unwrap()]);
    assert_eq!((output.status.code(), &found["result"]), (Some(1), &Value::from("damaged")));
    let finding = found["chronicle"]["heartbeats"]["findings"][0].as_str().unwrap();
    assert!(finding.contains("its end was cut off"), "{found}");
}
