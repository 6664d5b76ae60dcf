//! The checkers in `verifiers/`, which share no code with us: all of them find every damage to an exported log, and
//! none where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use fdr_log::{
    Batch, Log, Options, Reader, SignedCheckpoint, SigningKey, VerifierKey, export_tiles, leaf_hash,
};

const ORIGIN: &str = "example.com/exported";
/// Full tiles on level 0, a partial one on level 1.
const SIZE: u64 = 1337;
/// Size of the checkpoint that is kept elsewhere.
const KEPT: u64 = 700;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A log with records like those of agents, 300 bytes or so; checkpoints at the sizes asked for, and at the end.
fn make(dir: &Path, seed: u8, tag: &str, size: u64, at: &[u64]) -> Vec<SignedCheckpoint> {
    let (log, _) = Log::open(dir, Options::new(ORIGIN, key(seed))).unwrap();
    let mut checkpoints = Vec::new();
    let mut pending = Vec::new();
    for first in (0..size).step_by(100) {
        let record = |index: u64| {
            format!(
                r#"{{"v":1,"id":"{index:032x}","kind":"action","session":"{:x}","body":{{"tag":"{tag}","summary":"{}"}}}}"#,
                index % 97,
                "cargo test --workspace ".repeat(8 + (index % 3) as usize)
            )
            .into_bytes()
        };
        let records = (first..size.min(first + 100)).map(record).collect();
        pending.push(log.submit(Batch { source: [1; 16], seq: first, records, contents: vec![] }).unwrap());
        if at.contains(&(first + 100)) {
            pending.drain(..).for_each(|pending| drop(pending.wait().unwrap()));
            checkpoints.push(log.sync_checkpoint().unwrap());
        }
    }
    pending.drain(..).for_each(|pending| drop(pending.wait().unwrap()));
    checkpoints.push(log.sync_checkpoint().unwrap());
    log.close().unwrap();
    checkpoints
}

fn export(log: &Path, checkpoint: &SignedCheckpoint, to: &Path) {
    let reader = Reader::open(log).unwrap();
    let exported = export_tiles(&reader, checkpoint, to, &mut |_| {}).unwrap();
    assert_eq!(exported.records, checkpoint.size());
}

fn verifiers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../verifiers").canonicalize().unwrap()
}

/// The three checkers, ready to run; the Go one is compiled into `dir`.
fn checkers(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    let go = dir.join("verify-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&go)
        .arg(verifiers().join("verify.go"))
        .env("GOFLAGS", "-mod=mod")
        .env("GOCACHE", dir.join("go-cache"))
        .env("HOME", dir)
        .output()
        .expect("there is no Go; ./test installs it, or: apt-get install golang-go");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    vec![("py", verifiers().join("verify.py")), ("sh", verifiers().join("verify.sh")), ("go", go)]
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a damage may use.
struct Case<'a> {
    /// A copy of the export.
    dir: &'a Path,
    /// Exports of other logs.
    others: &'a Path,
}

impl Case<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Changes the records of a bundle.
    fn records(&self, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        self.edit(name, |bytes| {
            let mut records = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                let len = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
                records.push(bytes[at + 2..at + 2 + len].to_vec());
                at += 2 + len;
            }
            change(&mut records);
            *bytes = records
                .iter()
                .flat_map(|record| [&(record.len() as u16).to_be_bytes()[..], record].concat())
                .collect();
        });
    }

    /// Makes `read` of a record `exec`, and puts its new hash into the tile.
    fn forge(&self) {
        let mut hash = None;
        self.records(FULL, |records| {
            records[40][60] ^= 1;
            hash = Some(leaf_hash(&records[40]));
        });
        self.edit(TILE, |bytes| bytes[40 * 32..41 * 32].copy_from_slice(&hash.unwrap()));
    }

    /// Makes a tile's hash on the level above fit again.
    fn lift(&self) {
        let row = fs::read(self.path(TILE)).unwrap();
        let mut row: Vec<fdr_log::Hash> = row.as_chunks().0.to_vec();
        while row.len() > 1 {
            row = row.as_chunks::<2>().0.iter().map(|[l, r]| fdr_log::node_hash(l, r)).collect();
        }
        self.edit(UPPER, |bytes| bytes[64..96].copy_from_slice(&row[0]));
    }

    fn note(&self, change: impl FnOnce(String) -> String) {
        let note = fs::read_to_string(self.path("checkpoint")).unwrap();
        fs::write(self.path("checkpoint"), change(note)).unwrap();
    }

    fn replace_by(&self, other: &str) {
        fs::remove_dir_all(self.dir).unwrap();
        copy(&self.others.join(other), self.dir);
    }
}

const FULL: &str = "tile/entries/002";
const PART: &str = "tile/entries/005.p/57";
const TILE: &str = "tile/0/002";
const UPPER: &str = "tile/1/000.p/5";

type Damage = (&'static str, fn(&Case<'_>), &'static str);

/// What is done to a copy of the export, and a word that has to be in what is said of it.
const DAMAGES: &[Damage] = &[
    ("a byte of a record", |c| c.edit(FULL, |b| b[500] ^= 1), "tile"),
    ("a byte of the last bundle", |c| c.edit(PART, |b| b[30] ^= 0x20), "tile"),
    ("a record's length made longer", |c| c.edit(FULL, |b| b[0] = 0xff), "cut off"),
    ("a record's length made shorter", |c| c.edit(FULL, |b| b[1] -= 1), ""),
    ("the last byte of a bundle cut off", |c| c.edit(FULL, |b| b.truncate(b.len() - 1)), "cut off"),
    ("a bundle emptied", |c| c.edit(FULL, Vec::clear), "entries/002"),
    ("a record added", |c| c.records(FULL, |r| r.push(b"{}".to_vec())), "holds"),
    ("a record added to the last bundle", |c| c.records(PART, |r| r.push(b"{}".to_vec())), "holds"),
    ("a record taken out", |c| c.records(FULL, |r| drop(r.remove(9))), "holds 255 records"),
    ("the last record taken out", |c| c.records(PART, |r| drop(r.pop())), "holds 56 records"),
    ("two records swapped", |c| c.records(FULL, |r| r.swap(3, 200)), "tile"),
    ("a record in another's place", |c| c.records(FULL, |r| r[5] = r[4].clone()), "tile"),
    ("a record emptied", |c| c.records(FULL, |r| r[7].clear()), "tile"),
    ("a bundle missing", |c| fs::remove_file(c.path(FULL)).unwrap(), "002"),
    (
        "two bundles swapped",
        |c| {
            fs::rename(c.path(FULL), c.path("x")).unwrap();
            fs::rename(c.path("tile/entries/001"), c.path(FULL)).unwrap();
            fs::rename(c.path("x"), c.path("tile/entries/001")).unwrap();
        },
        "tile",
    ),
    ("a hash of a tile", |c| c.edit(TILE, |b| b[1000] ^= 4), "tile"),
    ("a hash of an upper tile", |c| c.edit(UPPER, |b| b[70] ^= 4), "tile"),
    ("a tile missing", |c| fs::remove_file(c.path(TILE)).unwrap(), "002"),
    ("a tile cut off", |c| c.edit(TILE, |b| b.truncate(32 * 255)), "tile"),
    ("a tile with more in it", |c| c.edit(UPPER, |b| b.extend([0; 32])), "tile"),
    ("a forged tile (CVE-2026-56865)", |c| c.forge(), "tile"),
    (
        "a forged tile with the one above",
        |c| {
            c.forge();
            c.lift();
        },
        "another root",
    ),
    ("another root in the checkpoint", |c| c.note(|n| n.replacen("=\n\n", "A=\n\n", 1)), "checkpoint"),
    ("a smaller size in the checkpoint", |c| c.note(|n| n.replace("\n1337\n", "\n1280\n")), "not signed"),
    ("a larger size in the checkpoint", |c| c.note(|n| n.replace("\n1337\n", "\n1338\n")), "not signed"),
    (
        "a letter of the signature",
        |c| c.note(|n| n[..n.len() - 12].to_owned() + "AAAA" + &n[n.len() - 8..]),
        "not signed",
    ),
    ("no signature", |c| c.note(|n| n.split_once("\n\n").unwrap().0.to_owned() + "\n\n"), "checkpoint"),
    (
        "another name in the checkpoint",
        |c| c.note(|n| n.replace(ORIGIN, "example.com/other")),
        "of another log",
    ),
    ("no checkpoint", |c| fs::remove_file(c.path("checkpoint")).unwrap(), "checkpoint"),
    (
        "garbage for a checkpoint",
        |c| fs::write(c.path("checkpoint"), [0, 10, 255, 10, 10]).unwrap(),
        "malformed",
    ),
    (
        "a checkpoint that is huge",
        |c| fs::write(c.path("checkpoint"), vec![b'a'; 1 << 20]).unwrap(),
        "checkpoint",
    ),
    (
        "a bundle that is a link",
        |c| {
            fs::rename(c.path(FULL), c.path("x")).unwrap();
            std::os::unix::fs::symlink("../../x", c.path(FULL)).unwrap();
        },
        "002",
    ),
    (
        "a tile that is a folder",
        |c| {
            fs::remove_file(c.path(TILE)).unwrap();
            fs::create_dir(c.path(TILE)).unwrap();
        },
        "002",
    ),
    ("the log of another key under the same name", |c| c.replace_by("other key"), "not signed"),
    // These two only an older checkpoint shows.
    ("an old copy put back", |c| c.replace_by("old copy"), "its end was cut off"),
    ("rewritten with the true key", |c| c.replace_by("rewritten"), "the log was rewritten"),
];

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn every_checker_finds_every_damage() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let checkers = checkers(dir);
    let checkpoints = make(&dir.join("log"), 1, "a", SIZE, &[600, KEPT]);
    let [early, kept, last] = &checkpoints[..] else { panic!("three checkpoints") };
    let others = dir.join("others");
    fs::create_dir(&others).unwrap();
    export(&dir.join("log"), last, &dir.join("export"));
    export(&dir.join("log"), early, &others.join("old copy"));
    for (name, seed, tag) in [("other key", 2, "a"), ("rewritten", 1, "b")] {
        let log = dir.join(name);
        export(&log, make(&log, seed, tag, SIZE, &[]).last().unwrap(), &others.join(name));
    }
    let vkey = key(1).verifier(ORIGIN).unwrap().to_string();
    let against = dir.join("kept");
    fs::write(&against, kept.note()).unwrap();
    let against = against.to_str().unwrap();

    for (checker, program) in &checkers {
        let export = dir.join("export");
        let output = run(program, &[export.to_str().unwrap(), &vkey, "--against", against]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{checker}: {said}");
        assert!(
            said.contains("1337 records, 6 bundles, 7 tiles: every hash recomputed"),
            "{checker}: {said}"
        );
        assert!(said.contains("checkpoint of 700 records: agrees"), "{checker}: {said}");
        assert!(said.contains("records 700 and on"), "{checker}: {said}");
    }
    assert!(DAMAGES.len() >= 30);
    let copied = dir.join("copy");
    for (name, damage, word) in DAMAGES {
        let _ = fs::remove_dir_all(&copied);
        copy(&dir.join("export"), &copied);
        damage(&Case { dir: &copied, others: &others });
        for (checker, program) in &checkers {
            let output = run(program, &[copied.to_str().unwrap(), &vkey, "--against", against]);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{name}, {checker}: {said}");
            assert!(said.contains("result        DAMAGED"), "{name}, {checker}: {said}");
            assert!(said.contains(word), "{name}, {checker}: no {word:?} in: {said}");
            assert!(!said.contains("Traceback") && !said.contains("panic"), "{name}, {checker}: {said}");
        }
    }

    // A key that is none, and a folder that is not there, are no finding.
    let export = dir.join("export");
    let export = export.to_str().unwrap();
    for (checker, program) in &checkers {
        for arguments in [&[export, "a+b+c"][..], &["/nowhere/at/all", &vkey], &[export], &["--against"]] {
            let output = run(program, arguments);
            assert_eq!(output.status.code(), Some(2), "{checker} {arguments:?}: {}", text(&output));
        }
    }
}

#[test]
fn an_export_is_extended_and_never_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let checkpoints = make(&dir.join("log"), 1, "a", SIZE, &[600, KEPT]);
    let export = |log: &str, checkpoint: &SignedCheckpoint, to: &str| {
        let reader = Reader::open(&dir.join(log)).unwrap();
        export_tiles(&reader, checkpoint, &dir.join(to), &mut |_| {}).map_err(|error| error.to_string())
    };
    let first = export("log", &checkpoints[0], "export").unwrap();
    assert_eq!((first.records, first.kept), (600, 0));
    let second = export("log", &checkpoints[2], "export").unwrap();
    assert_eq!((second.records, second.kept), (SIZE, 4), "two full tiles and bundles were there");
    assert!(export("log", &checkpoints[0], "export").unwrap_err().contains("later export"));
    // One more time: all is there.
    assert_eq!(export("log", &checkpoints[2], "export").unwrap().written, 1);

    make(&dir.join("rewritten"), 1, "b", SIZE + 100, &[]);
    let newer = Reader::open(&dir.join("rewritten")).unwrap().checkpoint().unwrap().unwrap();
    assert!(export("rewritten", &newer, "export").unwrap_err().contains("other bytes"));
    assert!(export("log", &newer, "elsewhere").unwrap_err().contains("the log has only"));
    fs::create_dir(dir.join("mine")).unwrap();
    fs::write(dir.join("mine/letter.txt"), "dear").unwrap();
    assert!(export("log", &checkpoints[0], "mine").unwrap_err().contains("not empty"));
    // Another checkpoint than the records give.
    let (log, to) = (dir.join("log"), dir.join("forged"));
    let forged = SignedCheckpoint::sign(&key(1), ORIGIN, 600, &[7; 32]).unwrap();
    let error = export_tiles(&Reader::open(&log).unwrap(), &forged, &to, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("another root"), "{error}");
    assert!(!to.join("checkpoint").exists());
}

/// The crate `tlog_tiles` reads our tiles as its own.
#[test]
fn another_implementation_reads_the_tiles() {
    struct Files(PathBuf);
    impl tlog_tiles::TileReader for Files {
        fn height(&self) -> u8 {
            8
        }
        fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
            Ok(tiles
                .iter()
                .map(|tile| {
                    // It puts the height into the path, as Go's first form of tiles did; tlog-tiles leaves it out.
                    let path = tile.path().replacen("tile/8/", "tile/", 1);
                    fs::read(self.0.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
                })
                .collect())
        }
        fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let last = make(&dir.join("log"), 1, "a", SIZE, &[]).pop().unwrap();
    let to = dir.join("export");
    export(&dir.join("log"), &last, &to);
    let files = Files(to);
    let hashes = tlog_tiles::TileHashReader::new(SIZE, tlog_tiles::Hash(*last.root()), &files);
    let reader = Reader::open(&dir.join("log")).unwrap();
    for index in (0..SIZE).step_by(37) {
        let proof = tlog_tiles::prove_record(SIZE, index, &hashes).unwrap();
        let leaf = tlog_tiles::Hash(leaf_hash(&reader.record(index).unwrap().bytes));
        tlog_tiles::check_record(&proof, SIZE, tlog_tiles::Hash(*last.root()), index, leaf).unwrap();
    }
}

/// Prints how long each took; no time is a failure. The shell makes two files a record, and gets fewer records here:
/// a million take it a minute or two.
#[test]
fn a_million_records_are_checked_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let vkey: VerifierKey = key(1).verifier(ORIGIN).unwrap();
    let vkey = vkey.to_string();
    let timed = |what: &str, began: Instant| println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let checkpoints = make(&dir.join("log"), 1, "m", 1_000_000, &[100_000]);
    timed("made", began);
    let began = Instant::now();
    export(&dir.join("log"), &checkpoints[1], &dir.join("million"));
    timed("exported", began);
    export(&dir.join("log"), &checkpoints[0], &dir.join("fewer"));
    for (checker, program) in checkers(dir) {
        let (name, count) = if checker == "sh" { ("fewer", "100000") } else { ("million", "1000000") };
        let began = Instant::now();
        let output = run(&program, &[dir.join(name).to_str().unwrap(), &vkey]);
        let said = text(&output);
        timed(&format!("{checker}, {count} records"), began);
        assert_eq!(output.status.code(), Some(0), "{checker}: {said}");
        assert!(said.contains(&format!("checked       {count} records")), "{checker}: {said}");
    }
}

/// The records as `fdr cat` prints them are enough, with a checkpoint.
#[test]
fn lines_are_checked_as_a_log_is() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let checkpoints = make(&dir.join("log"), 1, "a", SIZE, &[KEPT]);
    let note = |name: &str, checkpoint: &SignedCheckpoint| {
        fs::write(dir.join(name), checkpoint.note()).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    };
    let (kept, last) = (note("kept", &checkpoints[0]), note("last", &checkpoints[1]));
    let vkey = key(1).verifier(ORIGIN).unwrap().to_string();
    let reader = Reader::open(&dir.join("log")).unwrap();
    let lines: Vec<Vec<u8>> = reader.records(0).map(|entry| entry.unwrap().bytes).collect();
    let file = dir.join("log.jsonl");
    let file = file.to_str().unwrap();
    for (checker, program) in checkers(dir) {
        let check = |lines: &[Vec<u8>], note: &str| {
            fs::write(file, lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect::<Vec<u8>>())
                .unwrap();
            let output = run(&program, &["--jsonl", file, note, &vkey, "--against", &kept]);
            (output.status.code(), text(&output))
        };
        let (code, said) = check(&lines, &last);
        assert!(code == Some(0) && said.contains("checked       1337 records"), "{checker}: {said}");
        let (code, said) = check(&lines, &kept);
        assert!(code == Some(0) && said.contains("637 records behind"), "{checker}: {said}");
        let (code, said) = check(&lines[..1336], &last);
        assert!(code == Some(1) && said.contains("the end is missing"), "{checker}: {said}");
        let mut changed = lines.clone();
        changed[300][50] ^= 1;
        let (code, said) = check(&changed, &last);
        assert!(code == Some(1) && said.contains("another root"), "{checker}: {said}");
        changed.swap(300, 301);
        assert_eq!(check(&changed, &last).0, Some(1), "{checker}");
    }
}
