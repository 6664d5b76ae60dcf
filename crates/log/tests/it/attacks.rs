//! Attacks on a log, each carried out, with what finds it: the log alone, a checkpoint kept elsewhere, a witness.
//! `ATTACKS.md` lists them, with those that other tests carry out.

use std::collections::BTreeMap;

use fdr_log::cosignature::cosignature_in;
use fdr_log::growth::Growth;
use fdr_log::witness::{AddCheckpoint, Decision, Seen, decide};
use fdr_log::{
    CompactRange, Content, Log, Options, SignedCheckpoint, SigningKey, VerifierKey, leaf_hash, verify_on,
};

use crate::append::{batch, options};
use crate::sim_disk::SimDisk;

type Files = BTreeMap<String, Vec<u8>>;

const BLOCK: usize = 4096;

/// A log of these records, a group each, with a content each; and a checkpoint after each.
fn log_of(records: &[String], options: Options) -> (Files, Vec<SignedCheckpoint>) {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options).unwrap();
    let mut checkpoints = Vec::new();
    for (seq, record) in records.iter().enumerate() {
        let content = Content { salt: [1; 16], bytes: format!("content of {record}").into_bytes() };
        let batch = fdr_log::Batch { contents: vec![content], ..batch(seq as u64, &[record.as_bytes()]) };
        log.append(batch).unwrap();
        checkpoints.push(log.sync_checkpoint().unwrap());
    }
    log.close().unwrap();
    (disk.files(), checkpoints)
}

fn records(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("record number {number:04}")).collect()
}

fn key() -> VerifierKey {
    options().key.verifier(&options().origin).unwrap()
}

fn is_intact(files: &Files, against: &[SignedCheckpoint]) -> bool {
    let disk = SimDisk::with(files.clone());
    verify_on(disk.as_ref(), &key(), against, false, &mut |_| {}, None).is_ok_and(|report| report.is_intact())
}

/// File and block in which these bytes stand first.
fn block_of(files: &Files, bytes: &str) -> (String, usize) {
    let found = files.iter().find_map(|(name, file)| {
        let at = file.windows(bytes.len()).position(|window| window == bytes.as_bytes())?;
        Some((name.clone(), at / BLOCK))
    });
    found.unwrap()
}

fn block(files: &Files, place: &(String, usize)) -> Vec<u8> {
    files[&place.0][place.1 * BLOCK..][..BLOCK].to_vec()
}

fn put(files: &mut Files, place: &(String, usize), bytes: &[u8]) {
    files.get_mut(&place.0).unwrap()[place.1 * BLOCK..][..BLOCK].copy_from_slice(bytes);
}

/// Zeroes everything from a block on.
fn cut(files: &mut Files, place: &(String, usize)) {
    files.get_mut(&place.0).unwrap()[place.1 * BLOCK..].fill(0);
}

/// What a witness that holds `old` says to a checkpoint, with the best proof that there is for it.
fn witness_says(old: &[String], new: &[String], checkpoint: &SignedCheckpoint) -> Decision {
    let root = |records: &[String]| {
        let mut growth = Growth::new(CompactRange::new());
        records.iter().for_each(|record| growth.push(leaf_hash(record.as_bytes())));
        growth
    };
    let seen = Seen { size: old.len() as u64, root: root(old).root() };
    let proof = root(new).consistency(seen.size, checkpoint.size()).unwrap_or_default();
    decide(&[key()], &seen, &AddCheckpoint { old: seen.size, proof, checkpoint: checkpoint.clone() })
}

#[test]
fn what_is_done_to_the_files_alone_is_found_by_the_log_alone() {
    let (files, checkpoints) = log_of(&records(0..8), options());
    assert!(is_intact(&files, &checkpoints));
    let place = |number: usize| block_of(&files, &format!("record number {number:04}"));
    type Attack<'a> = (&'a str, Box<dyn Fn(&mut Files) + 'a>);
    let attacks: Vec<Attack<'_>> = vec![
        (
            "edit a record",
            Box::new(|files| {
                let mut bytes = block(files, &place(3));
                let at = bytes.windows(6).position(|window| window == b"record").unwrap();
                bytes[at] = b'R';
                put(files, &place(3), &bytes);
            }),
        ),
        ("delete a record", Box::new(|files| put(files, &place(3), &[0; BLOCK]))),
        (
            "reorder two records",
            Box::new(|files| {
                let (third, fourth) = (block(files, &place(3)), block(files, &place(4)));
                put(files, &place(3), &fourth);
                put(files, &place(4), &third);
            }),
        ),
        (
            "duplicate a record over the next one",
            Box::new(|files| {
                let third = block(files, &place(3));
                put(files, &place(4), &third);
            }),
        ),
        (
            "duplicate a record at the end",
            Box::new(|files| {
                let third = block(files, &place(3));
                let (file, last) = place(7);
                let end = files[&file][last * BLOCK..]
                    .chunks(BLOCK)
                    .position(|block| block.iter().all(|byte| *byte == 0));
                put(files, &(file, last + end.unwrap()), &third);
            }),
        ),
        (
            "swap two contents",
            Box::new(|files| {
                let mut bytes = block(files, &place(3));
                let at = bytes.windows(7).position(|window| window == b"content").unwrap();
                bytes[at..at + "content of record number 0004".len()]
                    .copy_from_slice(b"content of record number 0004");
                put(files, &place(3), &bytes);
            }),
        ),
    ];
    for (name, attack) in &attacks {
        let mut attacked = files.clone();
        attack(&mut attacked);
        assert_ne!(attacked, files, "{name}");
        assert!(!is_intact(&attacked, &[]), "{name} is not found");
    }
}

#[test]
fn what_is_done_with_the_key_is_found_by_outside_memory_alone() {
    let honest = records(0..8);
    let (files, checkpoints) = log_of(&honest, options());
    let kept = checkpoints.last().unwrap().clone();
    let other = |from: usize, count: usize| -> Vec<String> {
        (0..count)
            .map(|number| if number < from { honest[number].clone() } else { format!("forged {number:04}") })
            .collect()
    };
    // Name, the forged account, and whether the log alone finds it.
    let accounts = [
        ("truncate the tail", honest[..5].to_vec()),
        ("truncate, then continue", other(5, 8)),
        ("truncate, then continue beyond the end", other(5, 12)),
        ("rewrite everything with the key", other(0, 8)),
        ("rewrite everything, longer", other(0, 30)),
        ("a second log under the same key", other(0, 3)),
        ("a fork at the last record", other(7, 8)),
        ("leave one record out", [&honest[..3], &honest[4..]].concat()),
        ("put one record in", [&honest[..3], &["forged".to_owned()], &honest[3..]].concat()),
    ];
    for (name, account) in accounts {
        let (forged, signed) = log_of(&account, options());
        assert!(is_intact(&forged, &[]), "{name}: the log alone says nothing, and must not seem to");
        assert!(
            !is_intact(&forged, std::slice::from_ref(&kept)),
            "{name} is not found by a checkpoint kept elsewhere"
        );
        let says = witness_says(&honest, &account, signed.last().unwrap());
        assert_ne!(says.status(), 200, "{name}: a witness signs it");
    }
    // A snapshot of the disk, put back.
    let (snapshot, _) = log_of(&honest[..6], options());
    assert!(is_intact(&snapshot, &checkpoints[..6]) && !is_intact(&snapshot, std::slice::from_ref(&kept)));
    assert!(is_intact(&files, std::slice::from_ref(&kept)));
}

#[test]
fn a_torn_looking_end_without_the_key_is_found_by_what_was_signed() {
    let (files, checkpoints) = log_of(&records(0..8), options());
    for number in 1..8 {
        let mut attacked = files.clone();
        cut(&mut attacked, &block_of(&files, &format!("record number {number:04}")));
        // The newest checkpoint is stored beside the segments, and covers what is cut off.
        assert!(!is_intact(&attacked, &[]), "cut at {number}");
        assert!(!is_intact(&attacked, &checkpoints[7..]), "cut at {number}");
        // An older stored checkpoint, put back with it: only what is kept elsewhere tells.
        let (older, _) = log_of(&records(0..number), options());
        attacked.insert("checkpoint".to_owned(), older["checkpoint"].clone());
        assert!(!is_intact(&attacked, &checkpoints[7..]), "cut at {number}, with its checkpoint");
    }
}

#[test]
fn another_key_and_a_segment_of_another_log_are_found_by_the_log_alone() {
    let (files, _) = log_of(&records(0..8), options());
    let stranger = Options { key: SigningKey::from_seed(&[99; 32]), ..options() };
    let (swapped, _) = log_of(&records(0..8), stranger);
    assert!(!is_intact(&swapped, &[]), "a swapped key");
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    for seq in 0..80 {
        log.append(batch(seq, &[format!("{seq} {}", "x".repeat(60_000)).as_bytes()])).unwrap();
    }
    log.close().unwrap();
    let long = disk.files();
    let segments: Vec<&String> = long.keys().filter(|name| name.contains(".seg")).collect();
    assert!(segments.len() > 2, "{segments:?}");
    let mut transplanted = long.clone();
    transplanted.insert(
        segments[1].clone(),
        files.iter().find(|(name, _)| name.ends_with(".seg")).unwrap().1.clone(),
    );
    assert!(is_intact(&long, &[]) && !is_intact(&transplanted, &[]), "a transplanted segment");
    let mut exchanged = long.clone();
    exchanged.insert(segments[0].clone(), long[segments[1]].clone());
    exchanged.insert(segments[1].clone(), long[segments[0]].clone());
    assert!(!is_intact(&exchanged, &[]), "exchanged segments");
    let mut missing = long.clone();
    missing.remove(segments[1]);
    assert!(!is_intact(&missing, &[]), "a missing segment");
}

#[test]
fn a_replayed_cosignature_is_none_and_a_witness_that_equivocates_proves_it_itself() {
    let (_, checkpoints) = log_of(&records(0..8), options());
    let signer = SigningKey::from_seed(&[42; 32]);
    let witness = signer.witness("witness").unwrap();
    let line = checkpoints[3].cosign(&signer, "witness", 1_795_000_000).unwrap();
    assert!(cosignature_in(line.as_bytes(), &checkpoints[3], &witness).is_ok());
    // The line of an older checkpoint, on a newer one.
    assert!(cosignature_in(line.as_bytes(), &checkpoints[7], &witness).is_err());
    let replayed = checkpoints[7].with_line(&line).unwrap();
    assert!(witness.cosigned(&replayed).is_err());
    // Two roots of one size, both cosigned: each is genuine, and one log can agree with one of them only.
    let (forged, other) = log_of(&["a", "b", "c", "d"].map(str::to_owned), options());
    let both = [&checkpoints[3], &other[3]].map(|checkpoint| {
        let line = checkpoint.cosign(&signer, "witness", 1_795_000_000).unwrap();
        checkpoint.with_line(&line).unwrap()
    });
    assert!(both.iter().all(|note| witness.cosigned(note).unwrap().is_some()));
    assert!(both[0].size() == both[1].size() && both[0].root() != both[1].root());
    assert!(
        is_intact(&forged, &both[1..]) && !is_intact(&forged, &both),
        "an auditor with both notes sees it"
    );
}
