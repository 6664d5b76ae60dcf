//! What a witness and its client need of a real log: levels, trees to go on from, and cosignatures that others check.

use std::path::Path;
use std::time::{Duration, Instant};

use fdr_log::cosignature::line_bytes;
use fdr_log::growth::Growth;
use fdr_log::witness::{AddCheckpoint, Decision, Seen, decide};
use fdr_log::{CompactRange, EMPTY_ROOT, Level, Log, Options, Prover, Reader, SigningKey, leaf_hash};

use crate::append::{batch, options};
use crate::openssl::run;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_level_is_never_more_than_was_reached() {
    let dir = tempfile::tempdir().unwrap();
    // Checkpoints come only when they are asked for.
    let options = Options { checkpoint_interval: Duration::from_secs(3600), ..options() };
    let (log, _) = Log::open(dir.path(), options).unwrap();
    let levels = log.levels();
    log.append(batch(0, &[b"a"])).unwrap();
    assert_eq!(log.sync_checkpoint().unwrap().size(), 1);
    log.append(batch(1, &[b"b", b"c"])).unwrap();
    assert_eq!((levels.of(0), levels.of(1)), (Level::Checkpointed, Level::Durable));
    let now = Instant::now();
    assert_eq!(levels.wait(1, Level::Checkpointed, now), Level::Durable, "it gives up at its deadline");
    // More than is under a checkpoint can't be anchored, whoever says so.
    log.note_anchored(u64::MAX);
    assert_eq!((levels.of(0), levels.of(1)), (Level::Anchored, Level::Durable));
    let waiting = std::thread::spawn({
        let levels = levels.clone();
        move || (levels.wait(2, Level::Checkpointed, soon()), levels.wait(2, Level::Anchored, soon()))
    });
    assert_eq!(log.sync_checkpoint().unwrap().size(), 3);
    log.note_anchored(3);
    log.note_anchored(1);
    let (second, third) = waiting.join().unwrap();
    assert!(second >= Level::Checkpointed && third == Level::Anchored);
    assert_eq!(levels.of(2), Level::Anchored, "it never goes back");
    // The end of the log ends the wait.
    log.append(batch(2, &[b"d"])).unwrap();
    let waiting = std::thread::spawn({
        let levels = levels.clone();
        move || levels.wait(3, Level::Anchored, soon())
    });
    log.close().unwrap();
    assert!(waiting.join().unwrap() < Level::Anchored);
}

#[test]
fn a_witness_follows_a_log_and_refuses_its_rollback_and_its_fork() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), options()).unwrap();
    let keys = [log.verifier().clone()];
    let mut seen = Seen::default();
    let mut growth = Growth::new(CompactRange::new());
    let mut steps = Vec::new();
    for seq in 0..60u64 {
        // Long enough for several segments.
        log.append(batch(seq, &[&vec![seq as u8; 9_000], b"second"])).unwrap();
        if seq % 7 != 0 {
            continue;
        }
        let checkpoint = log.sync_checkpoint().unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        reader.records(growth.size()).for_each(|entry| growth.push(leaf_hash(&entry.unwrap().bytes)));
        assert_eq!(growth.root(), *checkpoint.root());
        let proof = growth.consistency(seen.size, checkpoint.size()).unwrap();
        let request = AddCheckpoint { old: seen.size, proof, checkpoint };
        let Decision::Cosign(next) = decide(&keys, &seen, &request) else { panic!("at {seq}") };
        seen = next;
        growth.forget_before(seen.size);
        assert_eq!(growth.kept(), 0);
        steps.push(request);
    }
    // A recorder that starts goes on from any size that its witness knows.
    let mut prover = Prover::open(dir.path()).unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 3, "the test is to span segments");
    assert_eq!(prover.range(0).unwrap().root(), EMPTY_ROOT);
    for step in &steps {
        let range = prover.range(step.checkpoint.size()).unwrap();
        assert_eq!(range.root(), *step.checkpoint.root());
    }
    assert!(prover.range(log.size() + 1).is_err());
    // Put back to an older copy, and going on from there with the same key.
    for step in &steps[..steps.len() - 1] {
        assert_eq!(decide(&keys, &seen, step), Decision::Conflict(seen.size));
        let rolled_back = AddCheckpoint { old: seen.size, ..step.clone() };
        assert_eq!(decide(&keys, &seen, &rolled_back), Decision::BadRequest);
    }
    let fork = tempfile::tempdir().unwrap();
    let (fork, _) = Log::open(fork.path(), options()).unwrap();
    let mut other = Growth::new(CompactRange::new());
    for seq in 0..seen.size + 9 {
        fork.append(batch(seq, &[b"another"])).unwrap();
        other.push(leaf_hash(b"another"));
    }
    let checkpoint = fork.sync_checkpoint().unwrap();
    let proof = other.consistency(seen.size, checkpoint.size()).unwrap();
    let forked = AddCheckpoint { old: seen.size, proof, checkpoint };
    assert_eq!(decide(&keys, &seen, &forked), Decision::Unprocessable);
}

#[test]
fn openssl_verifies_a_cosignature() {
    if run(&["version"], b"").is_none() {
        println!("skipped: there is no openssl here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&dir.path().join("log"), options()).unwrap();
    log.append(batch(0, &[b"one"])).unwrap();
    let checkpoint = log.close().unwrap().unwrap();
    let key = SigningKey::from_seed(&[4; 32]);
    let witness = key.witness("w.example/1").unwrap();
    let line = checkpoint.cosign(&key, "w.example/1", 1_795_524_862).unwrap();

    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(Path::new(&path(name)), bytes).unwrap();
    let bytes = line_bytes(line.trim_end()).unwrap();
    // RFC 8410, as for a checkpoint's own signature; the time stands before the signature.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    write("key.der", &[prefix.as_slice(), witness.public_key()].concat());
    write("signature", &bytes[12..]);
    let (key_file, message, signature) = (path("key.der"), path("message"), path("signature"));
    let verdict = |time: u64| {
        write("message", format!("cosignature/v1\ntime {time}\n{}", checkpoint.body()).as_bytes());
        let check = ["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", &key_file];
        run(&[check.as_slice(), &["-in", &message, "-sigfile", &signature]].concat(), b"").unwrap()
    };
    assert!(verdict(1_795_524_862).contains("Verified Successfully"));
    assert!(!verdict(1_795_524_863).contains("Verified Successfully"), "the time is signed too");
}
