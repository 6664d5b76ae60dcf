//! `fdr erase` and `fdr keys`: what is erased can be read by nobody, wherever it was, and everything else is as proven
//! as before.

use crate::program::{Program, bash, fdr};
use fdr_record::{Body, KeyErased, Kind, Record};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const WHO: [&str; 4] = ["--reason", "request 17 under Article 17 GDPR", "--authority", "J. Doe, DPO"];

/// A word that only the contents of one session have.
fn canary(session: &str) -> String {
    format!("zanzibar-{session}-quixotic")
}

fn send(program: &Program, event: &str, payload: &Value) {
    let output = program.hook(event, payload.to_string().as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A prompt, a call, its result and an answer, all with the session's word.
fn record(program: &Program, session: &str) {
    let word = canary(session);
    let common = |event: &str, more: Value| {
        let mut payload = json!({"session_id": session, "cwd": "/home/dev/proj", "hook_event_name": event});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    let call = json!({"tool_name": "mcp__crm__note", "tool_use_id": format!("{session}1"), "tool_input": {"customer": word}});
    let mut after = call.clone();
    after["tool_response"] = json!([{"type": "text", "text": format!("noted {word}")}]);
    for (event, more) in [
        ("SessionStart", json!({"source": "startup"})),
        ("UserPromptSubmit", json!({"prompt": format!("Hello, I am {word}.")})),
        ("PreToolUse", call),
        ("PostToolUse", after),
        ("Stop", json!({"last_assistant_message": format!("Good day, {word}.")})),
    ] {
        send(program, event, &common(event, more));
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// The files below the recorder's folder that have these bytes in them.
fn files_with(program: &Program, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = files(&program.home());
    found.retain(|path| memchr::memmem::find(&std::fs::read(path).unwrap(), needle).is_some());
    found
}

fn key_files(program: &Program) -> Vec<PathBuf> {
    let mut found = files(&program.home().join("keys/content"));
    // Those that are made for sessions to come.
    found.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with("spare."));
    found.sort();
    found
}

fn stored(program: &Program) -> Vec<Record> {
    program.ok(&["cat"]).lines().map(|line| Record::parse(line.as_bytes()).unwrap()).collect()
}

fn erasures(program: &Program) -> Vec<(usize, KeyErased)> {
    let records = stored(program).into_iter().enumerate();
    records
        .filter_map(|(at, record)| match record.body {
            Body::KeyErased(body) => Some((at, body)),
            _ => None,
        })
        .collect()
}

/// What every view says, contents and all.
fn everything(program: &Program, session: &str) -> String {
    let views: [&[&str]; 6] = [
        &["show", session, "--full"],
        &["show", session, "--json"],
        &["cat", "--open", "--with-content"],
        &["sessions"],
        &["tail", "-n", "999"],
        &["query", "--session", session, "--json"],
    ];
    views.iter().map(|view| String::from_utf8_lossy(&program.fdr(view).stdout).into_owned()).collect()
}

fn assert_intact(program: &Program) {
    let verified = program.ok(&["verify"]);
    assert!(verified.contains("INTACT"), "{verified}");
}

fn erase(program: &Program, what: &[&str]) -> (Option<i32>, String) {
    let output = program.fdr(&[&["erase"], what, &WHO[..]].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn what_is_erased_is_nowhere_and_the_rest_is_as_it_was() {
    let program = Program::new();
    record(&program, "alpha");
    record(&program, "beta");
    let (alpha, beta) = (canary("alpha"), canary("beta"));
    let before = everything(&program, "alpha");
    // The prompt, arguments, result and answer are shown.
    assert!(before.matches(&alpha).count() > 8, "{before}");
    assert_eq!(files_with(&program, alpha.as_bytes()), [] as [PathBuf; 0], "it is on disk sealed only");
    let lines = program.ok(&["cat"]);
    let checkpoint = program.home().join("kept");
    std::fs::write(&checkpoint, program.ok(&["checkpoint"])).unwrap();

    let (code, said) = erase(&program, &["--session", "alpha", "--dry-run"]);
    assert!(code == Some(0) && said.contains("would erase") && erasures(&program).is_empty(), "{said}");
    let keys = key_files(&program);
    let (code, said) = erase(&program, &["--session", "alpha"]);
    assert_eq!(code, Some(0), "{said}");

    let after = everything(&program, "alpha");
    assert!(!after.contains(&alpha), "{after}");
    assert_eq!(files_with(&program, alpha.as_bytes()), [] as [PathBuf; 0]);
    let [(at, body)] = &erasures(&program)[..] else { panic!("one erasure") };
    assert_eq!((&body.sessions[..], body.kids.len(), &body.subject), (&["alpha".to_owned()][..], 1, &None));
    assert_eq!((body.reason.as_str(), body.authority.as_str()), (WHO[1], WHO[3]));
    assert!(
        after.contains(&format!("erased by record {at} ({}, on the authority of {})", WHO[1], WHO[3])),
        "{after}"
    );
    // Its key is gone, and the other is there.
    let left = key_files(&program);
    assert_eq!((keys.len(), left.len()), (2, 1));
    assert!(!left[0].to_string_lossy().contains(&body.kids[0]));
    assert_eq!(
        files_with(&program, body.kids[0].as_bytes())
            .iter()
            .filter(|file| file.starts_with(program.home().join("keys")))
            .count(),
        0
    );
    assert!(everything(&program, "beta").contains(&beta));
    // What was recorded is byte for byte what it was, and proven.
    assert!(program.ok(&["cat"]).starts_with(&lines));
    assert_intact(&program);
    program.ok(&["verify", "--against", checkpoint.to_str().unwrap()]);
    program.ok(&["prove", "3", "-o", program.home().join("proof").to_str().unwrap()]);
    // A recorder that starts anew knows no more of it.
    program.kill_recorder();
    send(&program, "Stop", &json!({"session_id": "beta", "hook_event_name": "Stop"}));
    assert!(!everything(&program, "alpha").contains(&alpha));
    let (code, said) = erase(&program, &["--session", "alpha"]);
    assert!(code == Some(1) && said.contains("erased already"), "{said}");
    assert_eq!(erasures(&program).len(), 1);
    // A search in contents does not find it either.
    assert_eq!(program.fdr(&["query", "--text", &alpha]).status.code(), Some(1));
    assert_eq!(program.fdr(&["query", "--text", &beta]).status.code(), Some(0));
}

#[test]
fn a_session_that_goes_on_is_sealed_under_a_new_key() {
    let program = Program::new();
    record(&program, "alpha");
    let first = stored(&program);
    assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
    record(&program, "alpha");
    let now = stored(&program);
    let kids = |records: &[Record]| {
        let contents = records.iter().flat_map(|record| record.content.clone());
        contents.filter_map(|content| content.kid).collect::<std::collections::BTreeSet<String>>()
    };
    let (old, new) = (kids(&first), kids(&now[first.len()..]));
    assert!(old.len() == 1 && new.len() == 1 && old != new, "{old:?} {new:?}");
    // Equal contents have other digests now: whoever has one can't tell that it is what was erased.
    let digests = |records: &[Record]| {
        let contents = records.iter().flat_map(|record| record.content.clone());
        contents.filter(|content| content.kid.is_some()).map(|content| content.digest).collect::<Vec<_>>()
    };
    let before = digests(&first);
    assert!(!before.is_empty());
    assert!(digests(&now[first.len()..]).iter().all(|digest| !before.contains(digest)));
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    let seqs: Vec<u64> =
        now.iter().filter(|record| record.session.is_some()).map(|record| record.seq).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "it is numbered on");
    assert_intact(&program);
}

#[test]
fn every_session_of_a_person_is_erased_and_what_could_not_be_read_of_them_too() {
    let program = Program::new();
    record(&program, "alpha");
    record(&program, "beta");
    program.hook("PreToolUse", b"{ garbage of quagga-17");
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(program.home()).unwrap());
    let (code, said) = erase(&program, &["--subject", "nobody-at-all"]);
    assert!(code == Some(1) && said.contains("no record of nobody-at-all"), "{said}");
    assert!(everything(&program, "alpha").contains("quagga-17"));
    let (code, said) = erase(&program, &["--subject", &format!("uid:{uid}")]);
    assert_eq!(code, Some(0), "{said}");
    let after = everything(&program, "alpha");
    for word in [canary("alpha"), canary("beta"), "quagga-17".to_owned()] {
        assert!(!after.contains(&word), "{word}: {after}");
    }
    assert_eq!(key_files(&program), [] as [PathBuf; 0]);
    let [(_, body)] = &erasures(&program)[..] else { panic!("one erasure") };
    assert_eq!((body.kids.len(), body.subject.clone()), (3, Some(format!("uid:{uid}"))));
    assert_intact(&program);
}

#[test]
fn what_is_held_stays() {
    let program = Program::new();
    record(&program, "alpha");
    let hold = [
        "retain",
        "hold",
        "add",
        "case-5",
        "--session",
        "alpha",
        "--authority",
        "counsel",
        "--reason",
        "a case",
    ];
    program.ok(&hold);
    let (code, said) = erase(&program, &["--session", "alpha"]);
    assert!(code == Some(1) && said.contains("legal hold 'case-5'"), "{said}");
    assert!(erasures(&program).is_empty() && everything(&program, "alpha").contains(&canary("alpha")));
    program.ok(&["retain", "hold", "release", "case-5", "--authority", "counsel", "--reason", "settled"]);
    assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
    assert!(!everything(&program, "alpha").contains(&canary("alpha")));
}

#[test]
fn only_who_may_erase_does_and_only_what_there_is() {
    let program = Program::new();
    record(&program, "alpha");
    let (code, said) = erase(&program, &["--session", "alph"]);
    assert!(code == Some(1) && said.contains("no record of session alph"), "{said}");
    let by_agent = Command::new("sh")
        .args(["-c", "\"$@\"; exit $?", "sh"])
        .arg(fdr())
        .arg("--home")
        .arg(program.home())
        .args(["erase", "--session", "alpha"])
        .args(WHO)
        .env("CLAUDECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&by_agent.stderr).into_owned();
    assert!(by_agent.status.code() == Some(2) && said.contains("that an agent started"), "{said}");
    for empty in [["--reason", " ", "--authority", "x"], ["--reason", "x", "--authority", ""]] {
        let output = program.fdr(&[&["erase", "--session", "alpha"], &empty[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert!(erasures(&program).is_empty() && everything(&program, "alpha").contains(&canary("alpha")));
}

/// Starts the recorder.
fn start(program: &Program) {
    send(
        program,
        "Notification",
        &json!({"session_id": "other", "hook_event_name": "Notification", "message": "m"}),
    );
}

#[test]
fn an_erasure_that_a_crash_came_between_is_finished_at_the_next_start() {
    for step in
        ["nothing but the journal", "the record too", "the key is half destroyed", "all but the journal"]
    {
        let program = Program::new();
        record(&program, "alpha");
        record(&program, "beta");
        let of_alpha = stored(&program).into_iter().find(|record| record.session.as_deref() == Some("alpha"));
        let kid = of_alpha.unwrap().content[0].kid.clone().unwrap();
        let key =
            key_files(&program).into_iter().find(|path| path.extension().is_some_and(|end| *end == *kid));
        let key = key.expect("the key of alpha");
        let bytes = std::fs::read(&key).unwrap();
        let kid = key.extension().unwrap().to_str().unwrap();
        let size = stored(&program).len();
        let journal = json!({
            "size": size,
            "body": {"kids": [kid], "sessions": ["alpha"], "reason": WHO[1], "authority": WHO[3]},
            "observed": {"uid": 0},
        });
        if step != "nothing but the journal" {
            assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
        }
        program.kill_recorder();
        match step {
            "the record too" => std::fs::write(&key, &bytes).unwrap(),
            "the key is half destroyed" => std::fs::write(&key, vec![0; bytes.len()]).unwrap(),
            _ => {}
        }
        let path = program.home().join("keys/erasing");
        std::fs::write(&path, journal.to_string()).unwrap();
        start(&program);
        assert!(!path.exists() && !key.exists(), "{step}");
        let [(_, body)] = &erasures(&program)[..] else { panic!("{step}: one erasure") };
        assert_eq!(body.kids, [kid], "{step}");
        assert!(!everything(&program, "alpha").contains(&canary("alpha")), "{step}");
        assert!(everything(&program, "beta").contains(&canary("beta")), "{step}");
        assert_intact(&program);
    }
}

#[test]
fn a_transcript_that_was_erased_is_neither_read_again_nor_taken_for_changed() {
    let program = Program::new();
    std::fs::create_dir_all(program.home()).unwrap();
    let file = program.home().with_file_name("t.jsonl");
    let line = |n: u32, text: &str| {
        format!(
            "{{\"type\":\"user\",\"uuid\":\"u{n}\",\"sessionId\":\"alpha\",\"message\":{{\"content\":\"{text}\"}}}}\n"
        )
    };
    let (before, after) = (line(1, &canary("alpha")), line(2, "something new"));
    std::fs::write(&file, &before).unwrap();
    let start = json!({"session_id": "alpha", "hook_event_name": "SessionStart", "source": "startup", "transcript_path": file});
    send(&program, "SessionStart", &start);
    let prompts = || program.records().iter().filter(|record| record.kind == Kind::Prompt).count();
    while prompts() < 1 {
        std::thread::yield_now();
    }
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
    std::fs::write(&file, format!("{before}{after}")).unwrap();
    while prompts() < 2 {
        std::thread::yield_now();
    }
    let shown = everything(&program, "alpha");
    assert!(!shown.contains(&canary("alpha")) && shown.contains("something new"), "{shown}");
    let gaps = program
        .records()
        .into_iter()
        .filter(|record| matches!(&record.body, Body::Gap(gap) if gap.what == "transcript_changed"));
    assert_eq!(gaps.count(), 0);
    // What can be compared still is.
    std::fs::write(&file, format!("{before}{}", after.replace("new", "NEW"))).unwrap();
    while !program
        .records()
        .iter()
        .any(|record| matches!(&record.body, Body::Gap(gap) if gap.what == "transcript_changed"))
    {
        std::thread::yield_now();
    }
}

fn keys_status(program: &Program) -> Value {
    let output = program.fdr(&["keys", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn configure(program: &Program, keys: &str) {
    std::fs::create_dir_all(program.home()).unwrap();
    std::fs::write(program.home().join("config.toml"), format!("[keys]\n{keys}\n")).unwrap();
}

#[test]
fn a_lost_key_encryption_key_is_said_and_never_replaced() {
    let program = Program::new();
    record(&program, "alpha");
    program.ok(&["stop"]);
    let (kek, aside) = (program.home().join("keys/kek"), program.home().with_file_name("aside"));
    std::fs::rename(&kek, &aside).unwrap();
    let served = program.fdr(&["serve"]);
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(served.status.code() == Some(2) && said.contains("keys/kek is missing"), "{said}");
    assert!(!kek.exists(), "none is made");
    let shown = everything(&program, "alpha");
    assert!(!shown.contains(&canary("alpha")) && shown.contains("put keys/kek back"), "{shown}");
    assert_eq!(program.fdr(&["keys", "status"]).status.code(), Some(1));
    // The log is proven without any key.
    assert_intact(&program);
    std::fs::rename(&aside, &kek).unwrap();
    start(&program);
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    assert_eq!(program.fdr(&["keys", "status"]).status.code(), Some(0));
}

#[test]
fn a_passphrase_keeps_the_keys_and_a_wrong_one_opens_nothing() {
    let program = Program::new();
    configure(&program, "kek = 'passphrase'\npassphrase_file = 'passphrase'");
    let file = program.home().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    record(&program, "alpha");
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    assert!(keys_status(&program)["kept_by"].as_str().unwrap().contains("passphrase"));
    program.ok(&["stop"]);
    std::fs::write(&file, "wrong horse\n").unwrap();
    let served = program.fdr(&["serve"]);
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(served.status.code() == Some(2) && said.contains("the passphrase is not the one"), "{said}");
    let shown = everything(&program, "alpha");
    assert!(!shown.contains(&canary("alpha")) && shown.contains("the passphrase is not the one"), "{shown}");
    assert_intact(&program);
    std::fs::write(&file, "correct horse\n").unwrap();
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
}

#[test]
fn a_command_keeps_the_keys() {
    let program = Program::new();
    let script = "openssl enc -aes-256-cbc -pbkdf2 -pass pass:of-the-kms -a -A";
    configure(
        &program,
        &format!("kek = 'command'\nwrap = ['sh', '-c', '{script}']\nunwrap = ['sh', '-c', '{script} -d']"),
    );
    record(&program, "alpha");
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    assert_eq!(keys_status(&program)["kept_by"], "the command sh");
    program.ok(&["stop"]);
    // The KMS is away.
    let kek = std::fs::read_to_string(program.home().join("keys/kek")).unwrap();
    std::fs::write(program.home().join("keys/kek"), kek.replace("of-the-kms", "of-another")).unwrap();
    let served = program.fdr(&["serve"]);
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(served.status.code() == Some(2) && said.contains("[keys] unwrap"), "{said}");
    std::fs::write(program.home().join("keys/kek"), kek).unwrap();
    start(&program);
}

#[test]
fn rewrapping_changes_what_keeps_the_keys_and_no_content() {
    let program = Program::new();
    record(&program, "alpha");
    record(&program, "beta");
    let before = keys_status(&program);
    let old_kek = std::fs::read(program.home().join("keys/kek")).unwrap();
    let old_key: Value = serde_json::from_slice(&old_kek).unwrap();
    configure(&program, "kek = 'passphrase'\npassphrase_command = ['echo', 'correct horse']");
    assert!(program.ok(&["keys", "status"]).contains("fdr keys rewrap"));
    let said = program.ok(&["keys", "rewrap"]);
    assert!(said.contains("2 session keys"), "{said}");
    let after = keys_status(&program);
    assert_ne!(before["kek"], after["kek"]);
    assert_eq!((&after["under_another_kek"], &after["keys"]), (&json!(0), &json!(2)));
    let key = old_key["key"].as_str().unwrap();
    assert_eq!(files_with(&program, key.as_bytes()), [] as [PathBuf; 0], "the old one is gone");
    for session in ["alpha", "beta"] {
        assert!(everything(&program, session).contains(&canary(session)));
    }
    record(&program, "gamma");
    program.kill_recorder();
    start(&program);
    assert!(everything(&program, "gamma").contains(&canary("gamma")));
    assert_intact(&program);
}

#[test]
fn a_rewrapping_that_a_crash_came_between_is_finished_at_the_next_start() {
    let program = Program::new();
    record(&program, "alpha");
    record(&program, "beta");
    let folder = program.home().join("keys");
    let old: Vec<(PathBuf, Vec<u8>)> = [vec![folder.join("kek")], key_files(&program)]
        .concat()
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    program.ok(&["keys", "rewrap"]);
    program.kill_recorder();
    let new_kek = std::fs::read(folder.join("kek")).unwrap();
    // One key is wrapped anew, the other is not yet, and the new KEK waits beside the old one.
    std::fs::write(folder.join("kek.next"), &new_kek).unwrap();
    for (path, bytes) in &old[..2] {
        std::fs::write(path, bytes).unwrap();
    }
    let shown = everything(&program, "alpha") + &everything(&program, "beta");
    assert!(
        shown.contains(&canary("alpha")) && shown.contains(&canary("beta")),
        "both can be read meanwhile"
    );
    start(&program);
    assert_eq!(std::fs::read(folder.join("kek")).unwrap(), new_kek);
    assert!(!folder.join("kek.next").exists());
    assert_eq!(keys_status(&program)["under_another_kek"], 0);
    // The old KEK is gone, and the new one is not in its place yet.
    program.kill_recorder();
    std::fs::rename(folder.join("kek"), folder.join("kek.next")).unwrap();
    start(&program);
    assert_eq!(std::fs::read(folder.join("kek")).unwrap(), new_kek);
    for session in ["alpha", "beta"] {
        assert!(everything(&program, session).contains(&canary(session)));
    }
}

#[test]
fn what_was_recorded_unsealed_stays_readable_and_is_not_said_to_be_erased() {
    let program = Program::new();
    configure(&program, "seal_content = false");
    record(&program, "alpha");
    assert!(!files_with(&program, canary("alpha").as_bytes()).is_empty());
    assert!(!program.home().join("keys/kek").exists());
    let (code, said) = erase(&program, &["--session", "alpha"]);
    assert!(code == Some(1) && said.contains("recorded unsealed"), "{said}");
    program.ok(&["stop"]);
    configure(&program, "");
    record(&program, "beta");
    send(&program, "PreToolUse", &serde_json::from_slice(&bash("alpha", "t9", "echo later")).unwrap());
    assert!(everything(&program, "alpha").contains(&canary("alpha")));
    let (code, said) = erase(&program, &["--session", "alpha"]);
    assert!(code == Some(0) && said.contains("not erased:"), "{said}");
    assert!(everything(&program, "beta").contains(&canary("beta")));
    assert_intact(&program);
}

#[test]
fn a_key_that_comes_back_is_told_and_can_be_erased_again() {
    let program = Program::new();
    record(&program, "alpha");
    let key = key_files(&program).remove(0);
    let bytes = std::fs::read(&key).unwrap();
    assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
    assert_eq!(program.fdr(&["keys", "status"]).status.code(), Some(0));
    std::fs::write(&key, bytes).unwrap();
    let status = program.fdr(&["keys", "status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.code() == Some(1) && said.contains("was erased and is there again"), "{said}");
    assert_eq!(erase(&program, &["--session", "alpha"]).0, Some(0));
    assert!(!key.exists());
    assert_eq!(program.fdr(&["keys", "status"]).status.code(), Some(0));
}

#[test]
fn a_sealed_content_that_was_altered_is_damage() {
    let program = Program::new();
    record(&program, "alpha");
    program.ok(&["stop"]);
    let segment = files(&program.home().join("log"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "seg"));
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = memchr::memmem::find(&bytes, b"FDRSEAL1").unwrap();
    bytes[at + 70] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    assert_eq!(program.fdr(&["verify"]).status.code(), Some(1));
}
