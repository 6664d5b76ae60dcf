//! `fdr retain`: what may go goes, what is held stays, and the rest is as proven as before.

use crate::program::{Program, bash};
use fdr_record::{Body, Kind};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONFIG: &str = "segment_mib = 1\n[retain]\nkeep_days = 0\n";

/// The segments that are there, sealed or not.
fn segments(program: &Program) -> Vec<u64> {
    let Ok(names) = std::fs::read_dir(program.home().join("log")) else { return Vec::new() };
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut numbers: Vec<u64> = names
        .filter(|name| name.ends_with(".seg") || name.ends_with(".segz"))
        .filter_map(|name| name.split('.').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Calls with results of 300 KB, until the log has grown by so many segments.
fn fill(program: &Program, session: &str, by: u64) {
    let last = || segments(program).last().copied().unwrap_or(0);
    let until = last() + by;
    for call in 0.. {
        if last() >= until {
            return;
        }
        // Contents are compressed before they are sealed: what is to take room must not repeat itself.
        let mut random: u64 = call;
        let stdout: String = (0..16_000)
            .map(|_| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{:08x}{:08x}\n", random >> 32, random & 0xffff_ffff)
            })
            .collect();
        let payload = serde_json::json!({
            "session_id": session, "hook_event_name": "PostToolUse", "tool_name": "Bash",
            "tool_use_id": format!("{session}{call}"), "cwd": "/w", "tool_input": { "command": "cat big" },
            "tool_response": { "stdout": stdout, "stderr": "" },
        });
        let output = program.hook("PostToolUse", payload.to_string().as_bytes());
        assert!(output.status.success(), "{output:?}");
    }
}

fn plan(program: &Program) -> Value {
    let output = program.fdr(&["retain", "plan", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    to.to_owned()
}

const WHO: [&str; 4] = ["--authority", "J. Doe, records", "--reason", "the period is over"];

#[test]
fn what_may_go_goes_and_what_is_kept_stays_proven() {
    let program = Program::with_config(CONFIG);
    program.hook("PreToolUse", &bash("first", "t0", "ls"));
    let hold = |arguments: &[&str]| program.ok(&[&["retain", "hold"], arguments, &WHO].concat());
    hold(&["add", "CASE-9", "--session", "of-later"]);
    fill(&program, "old", 3);
    hold(&["add", "CASE-1", "--session", "old"]);
    program.hook("PreToolUse", &bash("new", "t1", "ls"));

    // Held.
    let held = plan(&program);
    assert_eq!(held["goes"], Value::Null, "{held}");
    assert_eq!(held["held"][0], "CASE-1");
    let refused = program.fdr(&[&["retain", "apply"], &WHO[..]].concat());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("legal hold 'CASE-1'"), "{refused:?}");
    let again = program.fdr(&[&["retain", "hold", "add", "CASE-1"], &WHO[..]].concat());
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"), "{again:?}");
    hold(&["release", "CASE-1"]);

    let planned = plan(&program);
    let first = planned["goes"]["first_index"].as_u64().unwrap();
    assert!(planned["goes"]["segments"].as_u64().unwrap() >= 2, "{planned}");
    assert_eq!(planned["goes"]["sessions"], serde_json::json!(["first"]), "{planned}");
    let kept: Vec<_> = program.records().split_off(first as usize);
    let id = kept.last().unwrap().id.to_string();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("checkpoint"), program.ok(&["checkpoint"])).unwrap();
    let copied = copy(&program.home().join("log"), &dir.path().join("copy"));

    // Nobody may leave out who or why.
    let empty = program.fdr(&["retain", "apply", "--authority", " ", "--reason", "x"]);
    assert_eq!(empty.status.code(), Some(2));
    let applied = program.ok(&[&["retain", "apply"], &WHO[..]].concat());
    assert!(applied.contains("removed"), "{applied}");
    assert!(segments(&program)[0] >= 2);

    let records = program.records();
    assert!(records.starts_with(&kept), "what is kept is as it was");
    let Some(Body::LogPruned(body)) =
        records.iter().map(|record| &record.body).find(|b| matches!(b, Body::LogPruned(_)))
    else {
        panic!("no record of it")
    };
    assert_eq!((body.first_index, body.sessions), (first, Some(1)));
    assert_eq!((body.authority.as_str(), body.reason.as_deref()), (WHO[1], Some(WHO[3])));
    // The hold whose record went is still in force.
    assert!(program.ok(&["retain", "hold", "list"]).contains("CASE-9"));

    // Verified, with the checkpoint from before, and it says what is missing.
    let verified = program.ok(&["verify", "--against", &path("checkpoint")]);
    assert!(verified.contains("INTACT") && verified.contains("agrees"), "{verified}");
    assert!(verified.contains(&format!("records 0–{} were removed on", first - 1)), "{verified}");
    assert!(verified.contains("J. Doe, records") && verified.contains("keep_days"), "{verified}");
    let json: Value = serde_json::from_str(&program.ok(&["verify", "--json"])).unwrap();
    assert_eq!(json["pruned"]["body"]["first_index"], first);
    program.ok(&["prove", &id, "-o", &path("proof")]);

    // Everything that reads from the beginning begins there.
    assert!(program.ok(&["sessions"]).contains("new"));
    assert!(!program.ok(&["sessions"]).contains("first"));
    program.ok(&["show", &id]);
    program.ok(&["replay", "--policy", "baseline"]);
    assert_eq!(program.fdr(&["show", "0"]).status.code().map(|code| code > 0), Some(true));
    program.ok(&["stop"]);
    program.hook("PreToolUse", &bash("new", "t2", "ls"));
    let restarted = program.records();
    assert!(restarted.len() > records.len());
    assert!(restarted.iter().any(|record| record.kind == Kind::LogRestart));
    assert!(program.ok(&["verify"]).contains("INTACT"));

    // Somebody without that record who deletes the same files, with the right marker or without.
    let damaged = |log: &Path| {
        let output = program.fdr(&["verify", "--log", &log.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for name in std::fs::read_dir(&copied).unwrap().map(|entry| entry.unwrap().path()) {
        let number: Option<u64> = name.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if number.is_some_and(|number| number < body.first_segment) {
            std::fs::remove_file(name).unwrap();
        }
    }
    assert!(damaged(&copied).contains("missing"));
    std::fs::copy(program.home().join("log/pruned"), copied.join("pruned")).unwrap();
    let told = damaged(&copied);
    assert!(told.contains("no record says that they were pruned"), "{told}");
}

#[test]
fn without_a_rule_nothing_goes_and_a_wrong_one_is_refused() {
    let program = Program::with_config("segment_mib = 1\n");
    fill(&program, "s", 2);
    let output = program.fdr(&[&["retain", "apply"], &WHO[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no rule says how long"), "{output:?}");
    std::fs::write(program.home().join("config.toml"), "segment_mib = 1\n[retain]\nrules = ['hipaa']\n")
        .unwrap();
    let output = program.fdr(&["retain", "plan"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("2192 days by hipaa") && text.contains("goes          nothing"), "{text}");
    std::fs::write(program.home().join("config.toml"), "[retain]\nrules = ['soc2']\n").unwrap();
    assert!(String::from_utf8_lossy(&program.fdr(&["config", "check"]).stderr).contains("set keep_days"));
    assert!(program.ok(&["retain", "rules"]).contains("164.316"));
}

#[test]
fn records_that_are_not_as_they_were_written_are_not_removed() {
    let program = Program::with_config(CONFIG);
    fill(&program, "s", 3);
    let path = program.home().join("log/00000000.seg");
    let path = if path.exists() { path } else { path.with_extension("segz") };
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = program.fdr(&[&["retain", "apply"], &WHO[..]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(segments(&program)[0], 0);
}

#[test]
fn full_segments_are_compressed_and_their_dictionary_is_in_the_log() {
    let program = Program::with_config("segment_mib = 1\n");
    for call in 0..120 {
        program.hook("PreToolUse", &bash("s", &format!("t{call}"), "cargo test"));
    }
    fill(&program, "s", 2);
    let before = program.records().len();
    let deadline = Instant::now() + Duration::from_secs(90);
    let dictionary = loop {
        let records = program.records();
        let found = records.into_iter().find(|record| match &record.body {
            Body::ConfigChange(body) => body.what == "dictionary",
            _ => false,
        });
        assert!(Instant::now() < deadline, "no dictionary: {:?}", program.fdr(&["status"]));
        match found {
            Some(found) => break found,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert_eq!(dictionary.content[0].role, "dictionary");
    assert!(program.home().join("log/00000000.segz").exists());
    assert!(!program.home().join("log/00000000.seg").exists());
    let status: Value = serde_json::from_str(&program.ok(&["status", "--json"])).unwrap();
    assert!(status["sealed_segments"].as_u64().unwrap() >= 1, "{status}");
    assert!(program.records().len() > before);
    assert!(program.ok(&["verify"]).contains("INTACT"));
}
