//! Changes to a stored log: every one is found, and named with its place.

use std::collections::BTreeMap;
use std::path::Path;

use fdr_log::{
    Agreement, Batch, Content, Log, Options, Report, SignedCheckpoint, VerifierKey, verify, verify_on,
};

use crate::append::{batch, options};
use crate::sim_disk::SimDisk;

type Files = BTreeMap<String, Vec<u8>>;

fn key() -> VerifierKey {
    options().key.verifier(&options().origin).unwrap()
}

fn verify_files(files: &Files, against: &[SignedCheckpoint]) -> Report {
    let disk = SimDisk::with(files.clone());
    verify_on(disk.as_ref(), &key(), against, false, &mut |_| {}, None).unwrap()
}

/// Cuts the zeros behind the last group off, so that flipping every byte takes seconds.
fn trimmed(mut files: Files) -> Files {
    files.retain(|_, bytes| bytes.iter().any(|byte| *byte != 0));
    for (name, bytes) in &mut files {
        if name.ends_with(".seg") {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes.truncate((end + 4096).next_multiple_of(4096));
        }
    }
    files
}

/// A log with records, batches, contents and logged checkpoints, each in a group of its own.
fn small_log(tag: u8) -> (Files, Vec<SignedCheckpoint>) {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    let mut checkpoints = Vec::new();
    for seq in 0..4u64 {
        let content = Content { salt: [seq as u8; 16], bytes: vec![seq as u8; 700] };
        let batch = Batch { contents: vec![content], ..batch(seq, &[&[tag; 40], b"second"]) };
        log.append(batch).unwrap();
        checkpoints.push(log.sync_checkpoint().unwrap());
    }
    log.append(batch(4, &[b"last"])).unwrap();
    checkpoints.extend(log.close().unwrap());
    (disk.files(), checkpoints)
}

/// A log over several segments, with contents larger than a group.
fn large_log() -> Files {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    for seq in 0..60u64 {
        let bytes = vec![seq as u8; if seq % 20 == 7 { 400_000 } else { 3000 }];
        let contents = vec![Content { salt: [seq as u8; 16], bytes }];
        log.append(Batch { contents, ..batch(seq, &[&[seq as u8; 900], b"x"]) }).unwrap();
    }
    log.close().unwrap();
    disk.files()
}

#[test]
fn an_untouched_log_is_intact_and_proven_to_its_last_record() {
    for files in [small_log(1).0, trimmed(small_log(1).0), large_log(), trimmed(large_log())] {
        let report = verify_files(&files, &[]);
        assert!(report.is_intact(), "{:?}", report.damages);
        assert_eq!((report.proven.len(), report.proven[0].clone()), (1, 0..report.size));
        assert_eq!(report.unproven_tail(), report.size..report.size);
        assert_eq!((report.records, report.torn), (report.size, None));
        assert_eq!(Some(*report.checkpoint.unwrap().root()), report.root);
    }
    let report = verify_files(&small_log(1).0, &small_log(1).1);
    assert_eq!((report.size, report.contents, report.checkpoints_good), (9, 4, 4));
}

#[test]
fn every_flipped_byte_of_every_file_is_found() {
    let (files, _) = small_log(1);
    let files = trimmed(files);
    let names: Vec<&String> = files.keys().collect();
    assert_eq!(names, ["00000000.seg", "checkpoint"]);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let files = &files;
            scope.spawn(move || {
                let mut files = files.clone();
                for name in ["00000000.seg", "checkpoint"] {
                    let len = files[name].len();
                    for at in (half..len).step_by(2) {
                        let mask = 1 << (at % 8);
                        files.get_mut(name).unwrap()[at] ^= mask;
                        let report = verify_files(&files, &[]);
                        assert!(!report.is_intact() || report.torn.is_some(), "{name} byte {at}");
                        if let Some(torn) = &report.torn {
                            // Only behind the last group can a flip look like a torn write.
                            assert!(torn.offset as usize >= len - 4096, "{name} byte {at}: {torn:?}");
                        }
                        files.get_mut(name).unwrap()[at] ^= mask;
                    }
                }
            });
        }
    });
}

#[test]
fn a_flip_anywhere_in_many_segments_is_found_and_its_place_named() {
    let mut files = trimmed(large_log());
    let segments: Vec<String> = files.keys().filter(|name| name.ends_with(".seg")).cloned().collect();
    assert!(segments.len() > 3);
    let mut step = 0;
    for name in &segments {
        let len = files[name].len();
        let mut at = 13;
        while at < len {
            files.get_mut(name).unwrap()[at] ^= 0x20;
            let report = verify_files(&files, &[]);
            let last = name == segments.last().unwrap() && at >= len - 4096;
            assert!(!report.is_intact() || last && report.torn.is_some(), "{name} byte {at}");
            if let Some(damage) = report.damages.first() {
                assert_eq!(&damage.file, name);
                assert!(damage.offset as usize <= at + 4096, "{damage:?} for {at}");
            }
            // What stands in other segments stays proven by later checkpoints.
            if name == &segments[0] && report.damage_count > 0 {
                assert!(report.proven.iter().any(|range| range.end == report.size), "{:?}", report.proven);
            }
            files.get_mut(name).unwrap()[at] ^= 0x20;
            step += 1;
            at += 6_007 + step % 97;
        }
    }
}

#[test]
fn a_changed_record_is_named_by_index_file_and_offset_and_the_rest_goes_on() {
    let mut files = large_log();
    let segment = files.get_mut("00000000.seg").unwrap();
    let at = segment.windows(900).rposition(|bytes| bytes == [3u8; 900]).unwrap(); // contents come first
    segment[at + 5] ^= 1;
    let report = verify_files(&files, &[]);
    assert_eq!(report.damage_count, 1, "{:?}", report.damages);
    let damage = &report.damages[0];
    assert_eq!((damage.indexes.clone(), damage.file.as_str()), (6..7, "00000000.seg"));
    assert!((at as u64 - 100..at as u64 + 900).contains(&damage.offset));
    assert_eq!(report.last_good_before_damage, Some(5));
    assert_eq!((report.size, report.records), (120, 118));
    assert_eq!(report.proven.last().unwrap().end, 120);
}

#[test]
fn a_missing_segment_is_found_and_what_follows_is_still_proven() {
    let mut files = large_log();
    files.remove("00000001.seg");
    let report = verify_files(&files, &[]);
    assert!(!report.is_intact());
    assert_eq!((report.damages[0].file.as_str(), report.size), ("00000001.seg", 120));
    assert_eq!(report.proven.last().unwrap().end, 120);
    assert!(Log::open_on(SimDisk::with(files), options()).is_err());
}

#[test]
fn a_cut_off_end_is_found_by_a_checkpoint_kept_elsewhere() {
    let (files, checkpoints) = small_log(1);
    let mut cut = trimmed(files);
    let segment = cut.get_mut("00000000.seg").unwrap();
    let groups = segment.len() / 4096 - 2; // without header and the zero block
    segment[4096 * groups..].fill(0);
    cut.insert("checkpoint".to_owned(), checkpoints[2].note().as_bytes().to_vec());
    let report = verify_files(&cut, &[]);
    assert!(report.is_intact(), "alone a prefix looks whole: {:?}", report.damages);
    let report = verify_files(&cut, &checkpoints);
    let agreements: Vec<_> = report.against.iter().map(|compared| compared.agreement.clone()).collect();
    assert_eq!(agreements[..3], [Agreement::Agrees, Agreement::Agrees, Agreement::Agrees]);
    assert_eq!(*agreements.last().unwrap(), Agreement::LogIsShorter { size: report.size });
    assert!(!report.is_intact());
    // The log's own checkpoint file tells it too.
    cut.insert("checkpoint".to_owned(), checkpoints[4].note().as_bytes().to_vec());
    assert!(!verify_files(&cut, &[]).is_intact());
    assert!(matches!(Log::open_on(SimDisk::with(cut), options()), Err(fdr_log::OpenError::Damaged(_))));
}

#[test]
fn a_rewrite_with_the_true_key_is_found_by_a_checkpoint_kept_elsewhere() {
    let (_, kept) = small_log(1);
    let (rewritten, _) = small_log(2);
    assert!(verify_files(&rewritten, &[]).is_intact(), "alone a rewritten log looks whole");
    let report = verify_files(&rewritten, &kept);
    assert!(
        report.against.iter().all(|compared| matches!(compared.agreement, Agreement::RootDiffers { .. }))
    );
    assert!(!report.is_intact());
}

#[test]
fn checkpoints_of_others_prove_nothing() {
    let (files, _) = small_log(1);
    let stranger = fdr_log::SigningKey::from_seed(&[77; 32]);
    let forged = SignedCheckpoint::sign(&stranger, "log.example/test", 4, &[0; 32]).unwrap();
    let report = verify_files(&files, &[forged]);
    assert!(matches!(report.against[0].agreement, Agreement::NotGenuine(_)));
    assert!(!report.is_intact());
}

#[test]
fn the_visitor_sees_every_record_with_its_contents() {
    let disk = SimDisk::with(large_log());
    let mut seen = 0;
    let mut visit = |record: &fdr_log::CheckedRecord<'_>| {
        assert_eq!(record.index, seen);
        seen += 1;
        let seq = record.seq;
        let bytes = vec![seq as u8; if seq % 20 == 7 { 400_000 } else { 3000 }];
        let digest = fdr_log::content_digest(&[seq as u8; 16], &bytes);
        assert!(record.contents.contains(&digest));
        (record.index == 50).then(|| "a reference is missing".to_owned())
    };
    let report = verify_on(disk.as_ref(), &key(), &[], false, &mut |_| {}, Some(&mut visit)).unwrap();
    assert_eq!((seen, report.damage_count), (120, 1));
    assert_eq!(
        (report.damages[0].indexes.clone(), report.damages[0].what.as_str()),
        (50..51, "a reference is missing")
    );
}

#[test]
fn a_log_is_verified_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), options()).unwrap();
    let path: &Path = dir.path();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 0..600u64 {
                log.append(batch(seq, &[&vec![seq as u8; (seq as usize * 61) % 6000]])).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut last = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let reader = fdr_log::Reader::open(path).unwrap();
            let mut count = 0;
            for entry in reader.records(0) {
                let entry = entry.unwrap();
                assert_eq!(entry.bytes, vec![entry.seq as u8; (entry.seq as usize * 61) % 6000]);
                count += 1;
            }
            assert_eq!(count, reader.len());
            let report = verify(path, &key(), &[], &mut |_| {}).unwrap();
            assert!(report.live && report.is_intact(), "{:?}", report.damages);
            assert!(report.size >= last && report.size >= count);
            last = report.size;
        }
    });
    log.close().unwrap();
    let report = verify(path, &key(), &[], &mut |_| {}).unwrap();
    assert!(report.is_intact() && !report.live && report.torn.is_none());
    assert_eq!(report.size, 600);
}

#[test]
fn damage_is_found_beside_a_writer_too() {
    let mut files = small_log(1).0;
    files.get_mut("00000000.seg").unwrap()[2 * 4096 + 300] ^= 1;
    let disk = SimDisk::with(files);
    let report = verify_on(disk.as_ref(), &key(), &[], true, &mut |_| {}, None).unwrap();
    assert_eq!((report.damage_count, report.damages[0].indexes.clone()), (1, 2..4), "{:?}", report.damages);
}

#[test]
fn another_key_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Log::open(dir.path(), options()).unwrap());
    let other = Options { key: fdr_log::SigningKey::from_seed(&[4; 32]), ..options() };
    assert!(matches!(Log::open(dir.path(), other), Err(fdr_log::OpenError::WrongKey { .. })));
    let renamed = Options { origin: "log.example/other".to_owned(), ..options() };
    assert!(matches!(Log::open(dir.path(), renamed), Err(fdr_log::OpenError::WrongKey { .. })));
}
