//! Witnesses, as real programs: what they sign, what they refuse, and what the recorder makes of it.

use crate::program::{AGENT_MARKS, Program, bash, fdr, text, until_some};
use fdr_log::witness::AddCheckpoint;
use fdr_log::{EMPTY_ROOT, SignedCheckpoint, SigningKey, WitnessKey};
use fdr_record::{Body, Kind};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A running `fdr witness serve`.
struct Witness {
    dir: PathBuf,
    key: String,
    address: String,
    child: Child,
    _keep: Option<tempfile::TempDir>,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(fdr());
    AGENT_MARKS.iter().for_each(|mark| {
        command.env_remove(mark);
    });
    command.args(arguments);
    command
}

impl Witness {
    fn start() -> Witness {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("witness");
        let mut witness = Witness::start_in(&dir, "127.0.0.1:0");
        witness._keep = Some(keep);
        witness
    }

    fn start_in(dir: &Path, listen: &str) -> Witness {
        let dir_text = dir.to_str().unwrap();
        let mut child =
            command(&["witness", "serve", "--dir", dir_text, "--name", "witness/test", "--listen", listen])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |before: &str| {
            let line = lines.next().expect("it says how it can be reached").unwrap();
            line.strip_prefix(before).unwrap_or_else(|| panic!("{line}")).trim().to_owned()
        };
        let (key, address) = (line("witness "), line("listening on http://"));
        Witness { dir: dir.to_owned(), key, address, child, _keep: None }
    }

    /// Another process on the same folder and address.
    fn restart(&mut self) {
        let again = Witness::start_in(&self.dir, &self.address);
        assert_eq!(again.key, self.key);
        // The old process is gone; what is dropped with `again` is that one.
        let mut again = again;
        std::mem::swap(&mut self.child, &mut again.child);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn add(&self, key: &str) -> Output {
        command(&["witness", "add-log", "--dir", self.dir.to_str().unwrap(), key]).output().unwrap()
    }

    fn post(&self, body: &str) -> Option<(u16, String)> {
        post(&self.address, body)
    }

    /// The newest checkpoint of a log that it signed, as it serves it.
    fn newest(&self, file: &str) -> Option<SignedCheckpoint> {
        let head = format!("GET /checkpoint/{file} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n");
        let (status, body) = exchange(&self.address, head.as_bytes())?;
        (status == 200).then(|| SignedCheckpoint::parse(&body).unwrap())
    }

    fn log_file(&self) -> PathBuf {
        let mut files = std::fs::read_dir(&self.dir).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "log")).unwrap()
    }

    fn config(&self) -> String {
        format!(
            "[heartbeat]\nevery_seconds = 10\n[witness]\nwitnesses = [{{ url = \"http://{}\", key = \"{}\" }}]\n",
            self.address, self.key
        )
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn exchange(address: &str, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn post(address: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    exchange(address, [head.as_bytes(), body.as_bytes()].concat().as_slice())
}

/// Waits until everything that is recorded is signed for, and gives its size.
fn all_witnessed(program: &Program) -> u64 {
    until_some("everything is witnessed", || {
        let status = program.status();
        let size = status["records"].as_u64()?;
        (status["witnessed"].as_u64()? == size).then_some(size)
    })
}

/// A recorder with some records, all witnessed.
fn witnessed() -> (Witness, Program) {
    let witness = Witness::start();
    let program = Program::with_config(&witness.config());
    program.call("c1");
    // The log's key is made at its first start.
    let key = std::fs::read_to_string(program.home().join("keys/log.pub")).unwrap();
    assert!(witness.add(key.trim()).status.success());
    program.call("c2");
    all_witnessed(&program);
    (witness, program)
}

#[test]
fn what_is_recorded_is_signed_elsewhere_and_anybody_can_check_that() {
    let (witness, program) = witnessed();
    let size = all_witnessed(&program);
    let said = program.ok(&["status"]);
    assert!(
        said.contains(&format!("witness       witness/test covers {size} records, 0 not yet covered")),
        "{said}"
    );
    let kept: Vec<PathBuf> = std::fs::read_dir(program.home().join("witnessed"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    let note = SignedCheckpoint::parse(&std::fs::read_to_string(&kept[0]).unwrap()).unwrap();
    let key: WitnessKey = witness.key.parse().unwrap();
    assert!(note.size() > 0 && key.cosigned(&note).unwrap().is_some());
    // The witness tells the same, with nobody else's lines.
    let file = witness.log_file();
    let told = witness.newest(file.file_stem().unwrap().to_str().unwrap()).unwrap();
    assert!(told.size() >= note.size() && key.cosigned(&told).unwrap().is_some());
    // It is in the log too.
    let anchors: Vec<_> =
        program.records().into_iter().filter(|record| record.kind == Kind::Anchor).collect();
    let Body::Anchor(anchor) = &anchors[0].body else { unreachable!() };
    assert_eq!((anchor.what.as_str(), anchor.by.as_str()), ("witness", "witness/test"));
    let verified = program.ok(&["verify"]);
    assert!(
        verified.contains("signed by witness/test (the key in this folder's configuration)"),
        "{verified}"
    );
    let given = program.ok(&["verify", "--witness", &witness.key, "--against", kept[0].to_str().unwrap()]);
    assert!(given.contains("signed by witness/test (the key given)") && given.contains("INTACT"), "{given}");
    let printed = program.ok(&["checkpoint", "--witnessed"]);
    assert!(key.cosigned(&SignedCheckpoint::parse(&printed).unwrap()).unwrap().is_some());
    // Another witness's word is not taken.
    let other = SigningKey::from_seed(&[9; 32]).witness("witness/test").unwrap();
    let given = program.ok(&["verify", "--witness", &other.to_string()]);
    assert!(given.contains("by no witness that is known"), "{given}");
}

#[test]
fn a_log_that_lost_what_was_signed_is_not_gone_on_with() {
    let (mut witness, program) = witnessed();
    program.ok(&["stop"]);
    let copy = tempfile::tempdir().unwrap();
    let run = |arguments: &[&Path]| {
        assert!(Command::new("cp").arg("-a").args(arguments).status().unwrap().success());
    };
    run(&[&program.home().join("log"), copy.path()]);
    program.call("c3");
    all_witnessed(&program);
    program.ok(&["stop"]);
    // The old copy is put back, and what is kept of the witness is taken away with it.
    std::fs::rename(program.home().join("log"), copy.path().join("new")).unwrap();
    run(&[&copy.path().join("log"), &program.home()]);
    let notes = program.home().join("witnessed");
    let aside = copy.path().join("witnessed");
    std::fs::rename(&notes, &aside).unwrap();
    let refused = program.fdr(&["serve"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("its end was cut off") && said.contains("it says so itself"), "{said}");
    // What is kept tells as much where the witness is silent.
    witness.kill();
    std::fs::rename(&aside, &notes).unwrap();
    let said = text(&program.fdr(&["serve"]).stderr);
    assert!(said.contains("its end was cut off") && said.contains("its cosignature is kept here"), "{said}");
    // Without either it goes on, and is found out as soon as the witness is there.
    std::fs::rename(&notes, &aside).unwrap();
    program.call("other");
    witness.restart();
    let alarm = until_some("the witness refuses", || {
        let status = program.status();
        let state = status["witnesses"][0].clone();
        (state["is_alarm"] == true).then_some(state)
    });
    assert!(alarm["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{alarm}");
    let said = program.ok(&["status"]);
    assert!(said.contains("WITNESS       witness/test: "), "{said}");
    until_some("that is recorded", || {
        let told = |record: fdr_record::Record| matches!(record.body, Body::Gap(gap) if gap.what == "witness_refused");
        program.records().into_iter().any(told).then_some(())
    });
    // The true log is put back, and all is well.
    program.ok(&["stop"]);
    std::fs::remove_dir_all(program.home().join("log")).unwrap();
    std::fs::rename(copy.path().join("new"), program.home().join("log")).unwrap();
    program.call("c4");
    all_witnessed(&program);
}

#[test]
fn a_log_that_was_rewritten_is_not_signed_and_not_gone_on_with() {
    let (witness, program) = witnessed();
    program.ok(&["stop"]);
    program.rewrite_log(|line, _, _| Some(text(&line).replace("\"c1\"", "\"c9\"").into_bytes()));
    let said = text(&program.fdr(&["serve"]).stderr);
    assert!(said.contains("they are not the ones in it: the log was rewritten"), "{said}");
    let verified = program.fdr(&["verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(text(&verified.stdout).contains("the log is not what witness/test signed"), "{verified:?}");
    // The witness itself refuses what comes of it.
    let key = SigningKey::load_or_create(&program.home().join("keys/log.key")).unwrap();
    let origin = fdr_log::Reader::open(&program.home().join("log")).unwrap().origin().to_owned();
    let file = witness.log_file();
    let newest = witness.newest(file.file_stem().unwrap().to_str().unwrap()).unwrap();
    let fork = SignedCheckpoint::sign(&key, &origin, newest.size(), &[7; 32]).unwrap();
    let ask = |old, checkpoint| {
        witness.post(&AddCheckpoint { old, proof: Vec::new(), checkpoint }.encode()).unwrap()
    };
    let (status, _) = ask(newest.size(), fork);
    assert!(status == 409 || status == 422, "an equivocation gets {status}");
    let longer = SignedCheckpoint::sign(&key, &origin, newest.size() + 5, &[7; 32]).unwrap();
    assert_eq!(ask(newest.size(), longer).0, 422);
    let shorter = SignedCheckpoint::sign(&key, &origin, 1, &[7; 32]).unwrap();
    assert_eq!(ask(0, shorter), (409, format!("{}\n", newest.size())));
    assert_eq!(witness.newest(file.file_stem().unwrap().to_str().unwrap()).unwrap(), newest);
}

#[test]
fn a_witness_answers_as_its_specification_says() {
    let witness = Witness::start();
    let key = SigningKey::from_seed(&[4; 32]);
    let sign = |key: &SigningKey, origin: &str| {
        let checkpoint = SignedCheckpoint::sign(key, origin, 0, &EMPTY_ROOT).unwrap();
        AddCheckpoint { old: 0, proof: Vec::new(), checkpoint }.encode()
    };
    assert_eq!(witness.post(&sign(&key, "log/a")).unwrap().0, 404, "not known");
    let public = key.verifier("log/a").unwrap().to_string();
    assert!(witness.add(&public).status.success());
    assert!(text(&witness.add(&public).stderr).contains("known already"));
    assert!(text(&witness.add("log/a+00000000+AAAA").stderr).contains("not a log's public key"));
    assert_eq!(witness.post(&sign(&SigningKey::from_seed(&[5; 32]), "log/a")).unwrap().0, 403);
    assert_eq!(witness.post("old -1\n\n").unwrap().0, 400);
    assert_eq!(witness.post("").unwrap().0, 400);
    assert_eq!(witness.post(&"x".repeat(1 << 20)).map(|answer| answer.0), Some(413));
    let (status, line) = witness.post(&sign(&key, "log/a")).unwrap();
    assert!(status == 200 && line.starts_with("\u{2014} witness/test "), "{status} {line}");
    assert_eq!(
        exchange(&witness.address, b"GET / HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").unwrap().1,
        format!("{}\n", witness.key)
    );
    // A second one on the same folder, and another name for it.
    let dir = witness.dir.to_str().unwrap();
    let second = command(&["witness", "serve", "--dir", dir, "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(text(&second.stderr).contains("another witness runs in"), "{second:?}");
    let renamed = command(&["witness", "key", "--dir", dir, "--name", "other"]).output().unwrap();
    assert!(text(&renamed.stderr).contains("is named witness/test"), "{renamed:?}");
    let shown = command(&["witness", "key", "--dir", dir]).output().unwrap();
    assert_eq!(text(&shown.stdout).trim(), witness.key);
}

#[test]
fn a_witness_that_lost_its_memory_does_not_begin_anew() {
    let (mut witness, program) = witnessed();
    let path = witness.log_file();
    let whole = std::fs::read(&path).unwrap();
    let serve = |witness: &Witness| {
        let dir = witness.dir.to_str().unwrap();
        text(
            &command(&["witness", "serve", "--dir", dir, "--listen", "127.0.0.1:0"]).output().unwrap().stderr,
        )
    };
    // While it runs it answers nothing.
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    program.call("c3");
    until_some("that is told", || {
        let problem = program.status()["witnesses"][0]["problem"].as_str()?.to_owned();
        problem.contains("HTTP status 500").then_some(())
    });
    witness.kill();
    assert!(serve(&witness).contains("is damaged"));
    std::fs::remove_file(&path).unwrap();
    assert!(serve(&witness).contains("may not begin anew"));
    std::fs::write(&path, &whole).unwrap();
    witness.restart();
    all_witnessed(&program);
}

#[test]
fn a_witness_killed_at_any_moment_never_forgets_what_it_signed() {
    let mut witness = Witness::start();
    let key = SigningKey::from_seed(&[4; 32]);
    assert!(witness.add(&key.verifier("log/a").unwrap().to_string()).status.success());
    let mut growth = fdr_log::growth::Growth::new(fdr_log::CompactRange::new());
    let mut signed = 0;
    for round in 0..8_u64 {
        let address = witness.address.clone();
        let asking = std::thread::spawn({
            let (key, mut growth) = (key.clone(), growth.clone());
            move || {
                let (mut old, mut last) = (growth.size(), signed);
                // Until it is gone.
                loop {
                    growth.push(fdr_log::leaf_hash(&growth.size().to_be_bytes()));
                    let size = growth.size();
                    let checkpoint = SignedCheckpoint::sign(&key, "log/a", size, &growth.root()).unwrap();
                    let proof = growth.consistency(old, size).unwrap();
                    match post(&address, &AddCheckpoint { old, proof, checkpoint }.encode()) {
                        Some((200, _)) => (old, last) = (size, size),
                        Some((409, held)) => {
                            old = held.trim().parse().unwrap();
                            assert!(old >= last, "it forgot {last} and holds {old}");
                        }
                        Some(other) => panic!("{other:?}"),
                        None => return (growth, last),
                    }
                }
            }
        });
        std::thread::sleep(Duration::from_millis(20 + 37 * round));
        witness.kill();
        let (grown, last) = asking.join().unwrap();
        growth = grown;
        signed = signed.max(last);
        witness.restart();
        let file = witness.log_file();
        let held = witness.newest(file.file_stem().unwrap().to_str().unwrap()).map_or(0, |held| held.size());
        assert!(held >= signed, "signed {signed}, and holds {held}");
    }
    assert!(signed > 8, "it was asked: {signed}");
}

#[test]
fn a_destructive_action_waits_for_the_witness_and_is_denied_without_it() {
    let mut witness = Witness::start();
    let config = format!(
        "mode = \"enforce\"\n{}[acks]\ndestructive = \"witnessed\"\nwait_ms = 5000\n",
        witness.config()
    );
    let program = Program::with_config(&config);
    program.call("c1");
    let key = std::fs::read_to_string(program.home().join("keys/log.pub")).unwrap();
    assert!(witness.add(key.trim()).status.success());
    all_witnessed(&program);
    let delete = |call: &str| program.hook("PreToolUse", &bash("s", call, "rm -rf /tmp/build"));
    let permitted = delete("d1");
    assert!(permitted.status.success() && permitted.stdout.is_empty(), "{permitted:?}");
    let status = program.status();
    let index = program.records().iter().position(|record| record.tool_use_id() == Some("d1")).unwrap();
    assert!(status["witnessed"].as_u64().unwrap() > index as u64, "it was answered when it was witnessed");

    witness.kill();
    program.ok(&["stop"]);
    let config = config.replace("5000", "300");
    std::fs::write(program.home().join("config.toml"), config).unwrap();
    let denied = delete("d2");
    let said = format!("{}{}", text(&denied.stdout), text(&denied.stderr));
    assert!(said.contains("not witnessed within 300 ms"), "{said}");
    let told = |record: &fdr_record::Record| matches!(&record.body, Body::Gap(gap) if gap.what == "level_not_reached");
    assert!(program.records().iter().any(told));
    // What destroys nothing does not wait.
    assert!(program.hook("PreToolUse", &bash("s", "c2", "ls")).stdout.is_empty());
}

#[test]
fn a_sender_that_asks_is_told_what_was_reached_and_no_more() {
    let program = Program::with_config("[acks]\nwait_ms = 3000\n");
    let hook = |level: &str, call: &str| {
        let mut child = Command::new(crate::program::hook())
            .args(["claude-code", "PreToolUse", "--home"])
            .arg(program.home())
            .env("FDR_LEVEL", level)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bash("s", call, "ls")).unwrap();
        child.wait_with_output().unwrap()
    };
    for level in ["durable", "checkpointed"] {
        let output = hook(level, level);
        assert!(output.status.success() && output.stderr.is_empty(), "{level}: {output:?}");
    }
    let short = hook("witnessed", "w");
    assert_eq!(short.status.code(), Some(1), "the agent goes on, and its user is told: {short:?}");
    assert!(text(&short.stderr).contains("and not witnessed as FDR_LEVEL asks"), "{short:?}");
    let kept = program.home().join("spool");
    assert_eq!(std::fs::read_dir(kept).map_or(0, Iterator::count), 0, "it is recorded, not spooled");
    assert!(program.records().iter().any(|record| record.tool_use_id() == Some("w")));
    let wrong = Program::with_config("[acks]\ndestructive = \"witnessed\"\n").fdr(&["config", "check"]);
    assert!(text(&wrong.stderr).contains("needs a witness"), "{wrong:?}");
}
