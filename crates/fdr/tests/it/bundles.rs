//! Evidence bundles: a stranger can check them, and what was changed in one is found: by fdr, by Python and by openssl.

use crate::program::{Program, bash, text};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Output};
use zip::write::SimpleFileOptions;

type Files = BTreeMap<String, Vec<u8>>;

/// A recorder with two sessions, hostile words in one.
fn recorded() -> Program {
    let program = Program::new();
    for (session, call, command) in [
        ("first-1", "a1", "echo '<script>alert(1)</script>'"),
        ("other-2", "b1", "cat /etc/hostname"),
        ("first-1", "a2", "rm -rf /tmp/build"),
        ("first-1", "a3", "echo canary-4711"),
    ] {
        assert!(program.hook("PreToolUse", &bash(session, call, command)).status.success());
    }
    program
}

fn bundle(program: &Program, arguments: &[&str]) -> Files {
    let path = program.home().join("case.zip");
    let _ = std::fs::remove_file(&path);
    program.ok(&[&["bundle", "-o", path.to_str().unwrap()], arguments].concat());
    unzip(&std::fs::read(path).unwrap())
}

fn unzip(bytes: &[u8]) -> Files {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = Files::new();
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.name().unwrap().into_owned(), bytes);
    }
    files
}

fn rezip(files: &Files) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What fdr, Python and a shell with openssl say of it, with the log's true key.
fn checked(files: &Files, key: &str) -> [Output; 3] {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("case.zip");
    std::fs::write(&file, rezip(files)).unwrap();
    let ours =
        Command::new(crate::program::fdr()).args(["bundle", "verify", "--key", key]).arg(&file).output();
    let folder = dir.path().join("case");
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    // Where the stranger's own copy of the checker is used: a bundle's own could be changed too.
    let verifiers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../verifiers");
    let python = Command::new("python3").arg(verifiers.join("bundle.py")).arg(&folder).arg(key).output();
    let shell = Command::new("bash").arg(verifiers.join("bundle.sh")).arg(&folder).arg(key).output();
    [ours.unwrap(), python.unwrap(), shell.unwrap()]
}

fn key_of(program: &Program) -> String {
    std::fs::read_to_string(program.home().join("keys/log.pub")).unwrap().trim().to_owned()
}

fn replace(files: &mut Files, name: &str, from: &str, to: &str) {
    let before = text(&files[name]);
    let after = before.replacen(from, to, 1);
    assert_ne!(before, after, "{name} has no {from}");
    files.insert(name.to_owned(), after.into_bytes());
}

#[test]
fn a_stranger_checks_a_bundle_with_python_alone() {
    let program = recorded();
    let files = bundle(&program, &["first-1", "--reason", "incident 7"]);
    for output in checked(&files, &key_of(&program)) {
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("result        PROVEN"), "{said}{output:?}");
    }
    // As it comes, on a machine with nothing else.
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let alone = Command::new("python3")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(dir.path())
        .args(["verify.py", "."])
        .output()
        .unwrap();
    let shell = Command::new("bash")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(dir.path())
        .args(["verify.sh", ".", &key_of(&program)])
        .output()
        .unwrap();
    assert!(shell.status.success() && text(&shell.stdout).contains("result        PROVEN"), "{shell:?}");
    assert!(
        alone.status.success() && text(&alone.stdout).contains("the key is the bundle's own"),
        "{alone:?}"
    );
    // The other session is not in it, and nothing in the page runs.
    assert!(!text(&files["records.jsonl"]).contains("other-2"));
    let page = text(&files["timeline.html"]);
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;alert(1)") && page.contains("canary-4711")
    );
    // That it was given out is recorded, with by whom.
    let records = program.records();
    let told = records.iter().rev().find_map(|record| match &record.body {
        fdr_record::Body::Access(access) => Some((access.clone(), record.observed.clone())),
        _ => None,
    });
    let (access, observed) = told.unwrap();
    assert_eq!((access.what.as_str(), access.reason.as_deref()), ("bundle", Some("incident 7")));
    assert!(observed.unwrap().uid.is_some());
    assert!(program.ok(&["verify"]).contains("INTACT"));
}

#[test]
fn what_is_withheld_is_nowhere_in_it_and_its_digest_is_proven() {
    let program = recorded();
    let prompt = br#"{"session_id":"first-1","cwd":"/","hook_event_name":"UserPromptSubmit","prompt":"the secret plan"}"#;
    assert!(program.hook("UserPromptSubmit", prompt).status.success());
    let whole = bundle(&program, &["first-1"]);
    assert!(whole.values().any(|bytes| text(bytes).contains("the secret plan")));
    let files = bundle(&program, &["first-1", "--withhold", "all"]);
    assert!(files.keys().all(|name| !name.starts_with("contents/")));
    for (name, bytes) in &files {
        assert!(!text(bytes).contains("the secret plan"), "{name}");
    }
    for output in checked(&files, &key_of(&program)) {
        assert!(output.status.success(), "{output:?}");
    }
    let some = bundle(&program, &["first-1", "--withhold", "prompt,raw"]);
    assert!(some.keys().any(|name| name.starts_with("contents/")));
    assert!(some.iter().all(|(_, bytes)| !text(bytes).contains("the secret plan")));
}

#[test]
fn a_question_is_bundled_as_well_as_a_session() {
    let program = recorded();
    let files = bundle(&program, &["--kind", "action", "--session", "other"]);
    let records = text(&files["records.jsonl"]);
    assert!(records.contains("other-2") && !records.contains("first-1"), "{records}");
    assert!(checked(&files, &key_of(&program)).iter().all(|output| output.status.success()));
    let path = program.home().join("none.zip");
    let none = |arguments: &[&str]| {
        let output = program.fdr(&[&["bundle", "-o", path.to_str().unwrap()], arguments].concat());
        assert!(output.status.code() == Some(2) && !path.exists(), "{output:?}");
        text(&output.stderr)
    };
    assert!(none(&[]).contains("say which"));
    assert!(none(&["nobody"]).contains("there is no session"));
    assert!(none(&["--tool", "Nothing"]).contains("nothing matches"));
}

#[test]
fn every_forgery_is_found_by_fdr_python_and_openssl() {
    let program = recorded();
    let key = key_of(&program);
    let files = bundle(&program, &["first-1", "--withhold", "raw"]);
    let other = bundle(&program, &["other-2"]);
    let other_log = recorded();
    let strange = bundle(&other_log, &["first-1", "--withhold", "raw"]);
    let content =
        files.keys().find(|name| name.starts_with("contents/") && !name.ends_with(".salt")).unwrap().clone();
    let lines =
        |files: &Files| -> Vec<String> { text(&files["records.jsonl"]).lines().map(str::to_owned).collect() };
    let put = |files: &mut Files, lines: Vec<String>| {
        files.insert("records.jsonl".to_owned(), format!("{}\n", lines.join("\n")).into_bytes());
    };
    // The forger mends the manifest for what he changed, as far as he can.
    let mend = |files: &mut Files| {
        let mut manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let listed = manifest["files"].as_object_mut().unwrap();
        listed.clear();
        use sha2::Digest;
        let later = ["manifest.json", "custody.jsonl", "checkpoints/log.note", "checkpoints/log.proof"];
        for (name, bytes) in files.iter().filter(|(name, _)| !later.contains(&name.as_str())) {
            listed.insert(name.clone(), fdr_record::hex(&sha2::Sha256::digest(bytes)).into());
        }
        files.insert("manifest.json".to_owned(), serde_json::to_vec_pretty(&manifest).unwrap());
    };
    type Forge<'a> = Box<dyn Fn(&mut Files) + 'a>;
    let forgeries: Vec<(&str, Forge<'_>)> = vec![
        ("a record is edited", Box::new(|f| replace(f, "records.jsonl", "\"a2\"", "\"a9\""))),
        (
            "a record is edited, and the manifest mended",
            Box::new(|f| {
                replace(f, "records.jsonl", "\"a2\"", "\"a9\"");
                mend(f);
            }),
        ),
        (
            "a record is taken out",
            Box::new(|f| {
                let mut all = lines(f);
                all.remove(1);
                put(f, all);
                mend(f);
            }),
        ),
        (
            "a record of another session is put in its place",
            Box::new(|f| {
                let mut all = lines(f);
                all[1] = lines(&other)[0].clone();
                put(f, all);
                mend(f);
            }),
        ),
        (
            "a record of another log is put behind",
            Box::new(|f| {
                let mut all = lines(f);
                all.push(lines(&strange)[0].clone());
                put(f, all);
                mend(f);
            }),
        ),
        (
            "records are reordered",
            Box::new(|f| {
                let mut all = lines(f);
                all.swap(0, 1);
                put(f, all);
                mend(f);
            }),
        ),
        (
            "the proof is changed",
            Box::new(|f| {
                let proof = text(&f["checkpoints/log.proof"]);
                let last = proof.lines().last().unwrap().to_owned();
                replace(f, "checkpoints/log.proof", &last, &"0".repeat(64));
            }),
        ),
        (
            "another log's checkpoint and proof are put in",
            Box::new(|f| {
                for name in ["checkpoints/log.note", "checkpoints/log.proof"] {
                    f.insert(name.to_owned(), strange[name].clone());
                }
            }),
        ),
        (
            "the checkpoint is of another size",
            Box::new(|f| {
                let size = text(&f["checkpoints/log.note"]).lines().nth(1).unwrap().to_owned();
                replace(f, "checkpoints/log.note", &format!("\n{size}\n"), "\n99\n");
            }),
        ),
        ("another log is passed off, with its key", Box::new(|f| *f = strange.clone())),
        (
            "a content is changed",
            Box::new(|f| {
                f.insert(content.clone(), b"harmless".to_vec());
                mend(f);
            }),
        ),
        (
            "a salt is changed",
            Box::new(|f| {
                f.insert(format!("{content}.salt"), format!("{}\n", "00".repeat(16)).into_bytes());
                mend(f);
            }),
        ),
        (
            "a content is taken out",
            Box::new(|f| {
                f.remove(&content);
                f.remove(&format!("{content}.salt"));
                mend(f);
            }),
        ),
        (
            "what was withheld is made up",
            Box::new(|f| {
                let manifest: serde_json::Value = serde_json::from_slice(&f["manifest.json"]).unwrap();
                let digest = manifest["withheld"][0]["digest"]
                    .as_str()
                    .unwrap()
                    .rsplit(':')
                    .next()
                    .unwrap()
                    .to_owned();
                f.insert(format!("contents/{digest}"), b"made up".to_vec());
                f.insert(format!("contents/{digest}.salt"), format!("{}\n", "00".repeat(16)).into_bytes());
                mend(f);
            }),
        ),
        (
            "the manifest names another exporter",
            Box::new(|f| replace(f, "manifest.json", "\"by\": \"", "\"by\": \"x")),
        ),
        (
            "the filter is another",
            Box::new(|f| replace(f, "manifest.json", "session first-1", "session first-2")),
        ),
        ("the page is changed", Box::new(|f| replace(f, "timeline.html", "canary-4711", "nothing"))),
        (
            "the page is changed, and the manifest mended",
            Box::new(|f| {
                replace(f, "timeline.html", "canary-4711", "nothing");
                mend(f);
            }),
        ),
        (
            "the record of the export is taken out",
            Box::new(|f| {
                f.insert("custody.jsonl".to_owned(), Vec::new());
            }),
        ),
        (
            "the record of another export is put in",
            Box::new(|f| {
                f.insert("custody.jsonl".to_owned(), other["custody.jsonl"].clone());
            }),
        ),
        (
            "a file is added",
            Box::new(|f| {
                f.insert("contents/more".to_owned(), b"x".to_vec());
            }),
        ),
        (
            "a file is missing",
            Box::new(|f| {
                f.remove("timeline.html");
            }),
        ),
    ];
    for (name, forge) in &forgeries {
        let mut forged = files.clone();
        forge(&mut forged);
        assert_ne!(forged, files, "{name}");
        for (who, output) in ["fdr", "python", "shell"].iter().zip(checked(&forged, &key)) {
            let code = output.status.code();
            assert!(matches!(code, Some(1 | 2)), "{who} takes it: {name}: {output:?}");
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(said.contains("PROBLEM") || said.contains("error: "), "{who}: {name}: {said}");
        }
    }
    assert!(forgeries.len() >= 20);
}

#[test]
fn what_is_no_bundle_is_refused_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let verify = |bytes: &[u8]| {
        let file = dir.path().join("x.zip");
        std::fs::write(&file, bytes).unwrap();
        let output =
            Command::new(crate::program::fdr()).args(["bundle", "verify"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        text(&output.stderr)
    };
    assert!(verify(b"").contains("not a zip file"));
    assert!(verify(b"PK\x03\x04garbage").contains("not a zip file"));
    let files = Files::from([("a.txt".to_owned(), b"x".to_vec())]);
    assert!(verify(&rezip(&files)).contains("no manifest.json"));
    let files = Files::from([("../up".to_owned(), b"x".to_vec())]);
    assert!(verify(&rezip(&files)).contains("a name that no bundle has"));
    let files = Files::from([("manifest.json".to_owned(), b"{}".to_vec())]);
    assert!(verify(&rezip(&files)).contains("can't be read"));
}
