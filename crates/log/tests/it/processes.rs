//! Real processes: `kill -9` and the lock.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fdr_log::{Batch, Log, OpenError, Options, Reader, lock_holder, verify};

use crate::append::{batch, open, options};

const CHILD: &str = "FDR_LOG_TEST_CHILD";

/// Runs one of the tests below, which is a child's work, in a process of its own.
fn child(name: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn killed_record(seq: u64) -> Vec<u8> {
    [seq.to_le_bytes().as_slice(), &vec![seq as u8; (seq as usize * 131) % 3000]].concat()
}

#[test]
fn child_appends_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let options = Options { segment_bytes: 512 * 1024, ..options() };
    let (log, recovery) = Log::open(Path::new(&dir), options).unwrap();
    let mut out = std::io::stdout();
    let mut seq = recovery.size;
    loop {
        // Several on their way, so that the kill falls between submit, write and ack.
        let pending: Vec<_> = (seq..seq + 7)
            .map(|seq| log.submit(Batch { seq, ..batch(0, &[&killed_record(seq)]) }).unwrap())
            .collect();
        for pending in pending {
            let ack = pending.wait().unwrap();
            assert_eq!(ack.first_index, seq);
            writeln!(out, "acked {} {}", ack.first_index, hex(&ack.leaf_hashes[0])).unwrap();
            seq += 1;
        }
        out.flush().unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn after_kill_9_every_acked_record_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: BTreeMap<u64, String> = BTreeMap::new();
    let mut torn = 0;
    for round in 0..24u64 {
        let mut child = child("processes::child_appends_until_killed", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Kill it after a number of acks that differs from round to round.
        let mut left = 1 + round * 29 % 200;
        let note = |line: String, acked: &mut BTreeMap<u64, String>| {
            let mut words = line.split(' ');
            if let (Some("acked"), Some(index), Some(hash)) = (words.next(), words.next(), words.next()) {
                acked.insert(index.parse().unwrap(), hash.to_owned());
                return 1;
            }
            0
        };
        while left > 0 {
            let line = lines.next().expect("the child runs until it is killed").unwrap();
            left -= note(line, &mut acked);
        }
        child.kill().unwrap();
        // What it had written to the pipe before it died counts too; a last line may be cut off.
        for line in lines.map_while(Result::ok).filter(|line| line.len() > 64) {
            note(line, &mut acked);
        }
        child.wait().unwrap();

        let (log, recovery) = Log::open(dir.path(), options()).unwrap();
        torn += usize::from(recovery.torn.is_some());
        drop(log);
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.len(), recovery.size);
        assert!(*acked.last_key_value().unwrap().0 < reader.len(), "acked records are gone");
        for (entry, index) in reader.records(0).zip(0..) {
            let entry = entry.unwrap();
            assert_eq!((entry.index, &entry.bytes), (index, &killed_record(index)));
            if let Some(hash) = acked.get(&index) {
                assert_eq!(*hash, hex(&fdr_log::leaf_hash(&entry.bytes)));
            }
        }
    }
    let key = options().key.verifier(&options().origin).unwrap();
    let report = verify(dir.path(), &key, &[], &mut |_| {}).unwrap();
    assert!(report.is_intact(), "{:?}", report.damages);
    println!("{} records, {} acked, {torn} torn ends", report.size, acked.len());
}

#[test]
fn child_holds_the_lock() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (_log, _) = open(Path::new(&dir));
    println!("locked");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn one_process_at_a_time_has_the_log_and_others_are_told_which() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(lock_holder(dir.path()), None);
    let mut child = child("processes::child_holds_the_lock", dir.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("locked")));
    let holder = lock_holder(dir.path()).unwrap();
    assert_eq!(holder.pid, child.id());
    assert!(holder.since.elapsed().unwrap().as_secs() < 60);
    match Log::open(dir.path(), options()) {
        Err(OpenError::Locked { pid, since }) => assert_eq!((pid, since), (holder.pid, holder.since)),
        other => panic!("{other:?}"),
    }
    Reader::open(dir.path()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lock_holder(dir.path()), None);
    let (log, _) = open(dir.path());
    // In the same process too.
    assert!(matches!(Log::open(dir.path(), options()), Err(OpenError::Locked { .. })));
    drop(log);
    open(dir.path());
}
