//! Directories made by somebody who wants reader, verifier and recovery to crash, hang or lie.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use fdr_log::{Log, OpenError, Prover, Reader, SigningKey, verify, verify_on};
use proptest::prelude::*;

use crate::append::{batch, options};
use crate::sim_disk::SimDisk;

fn files() -> BTreeMap<String, Vec<u8>> {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    for seq in 0..40u64 {
        let contents = vec![fdr_log::Content { salt: [1; 16], bytes: vec![7; 12_000] }];
        log.append(fdr_log::Batch { contents, ..batch(seq, &[&[seq as u8; 300], b"y"]) }).unwrap();
    }
    drop(log);
    disk.files()
}

/// Everything that reads a log, on files that may be anything. Must end, without panic.
fn read_everything(files: &BTreeMap<String, Vec<u8>>) {
    let disk = SimDisk::with(files.clone());
    let key = options().key.verifier(&options().origin).unwrap();
    let _ = verify_on(disk.as_ref(), &key, &[], false, &mut |_| {}, None);
    let _ = verify_on(disk.as_ref(), &key, &[], true, &mut |_| {}, None);
    if let Ok(reader) = Reader::open_on(disk.clone()) {
        let _ = reader.checkpoint();
        assert!(reader.records(0).take(100_000).count() < 100_000);
        assert!(reader.records_rev(u64::MAX).take(100_000).count() < 100_000);
        for index in [0, 1, 39, 79, u64::MAX] {
            let _ = reader.record(index);
            let _ = reader.content(index, &[0; 32]);
        }
    }
    if let Ok(mut prover) = Prover::open_on(disk.clone()) {
        for (index, size) in [(0, 1), (3, 80), (79, 80), (5, u64::MAX), (u64::MAX - 1, u64::MAX)] {
            let _ = prover.inclusion(index, size);
            let _ = prover.consistency(index, size);
        }
    }
    let before = disk.files();
    match Log::open_on(disk.clone(), options()) {
        Ok((log, _)) => drop(log),
        Err(_) => assert_eq!(before, disk.files(), "a log that is not opened is not changed"),
    }
}

/// Puts a right checksum on a segment header, as an attacker would.
fn reseal_header(segment: &mut [u8]) {
    let crc = crc32c::crc32c(&segment[..4092]);
    segment[4092..4096].copy_from_slice(&crc.to_le_bytes());
}

fn reseal_group(group: &mut [u8]) {
    let crc = crc32c::crc32c(&group[..124]);
    group[124..128].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn huge_numbers_in_headers_end_in_errors() {
    let good = files();
    for field in [8, 12, 16, 24, 32, 40, 128, 136] {
        for value in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32, 64, 65, 0] {
            let mut files = good.clone();
            for segment in files.values_mut().filter(|bytes| bytes.len() > 4096) {
                segment[field..field + 8].copy_from_slice(&value.to_le_bytes());
                reseal_header(segment);
            }
            read_everything(&files);
        }
    }
    // The largest tree there can be, with a peak for every bit.
    let mut files = good.clone();
    let segment = files.get_mut("00000000.seg").unwrap();
    segment[12..16].copy_from_slice(&64u32.to_le_bytes());
    segment[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    segment[544..544 + 64 * 32].fill(9);
    reseal_header(segment);
    segment[4096 + 24..4096 + 32].copy_from_slice(&u64::MAX.to_le_bytes());
    reseal_group(&mut segment[4096..]);
    read_everything(&files);
    for field in [8, 16, 24, 32, 36, 40, 48] {
        for value in [u64::MAX, 1 << 63, u64::from(u32::MAX), 4 << 20, 1, 0] {
            let mut files = good.clone();
            for segment in files.values_mut().filter(|bytes| bytes.len() > 4096) {
                segment[4096 + field..4096 + field + 8].copy_from_slice(&value.to_le_bytes());
                reseal_group(&mut segment[4096..]);
            }
            read_everything(&files);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn garbage_of_any_kind_ends_in_errors(
        edits in proptest::collection::vec((0usize..3, 0usize..300_000, proptest::collection::vec(any::<u8>(), 1..200)), 1..6),
        cut in proptest::option::of((0usize..3, 0usize..300_000)),
    ) {
        let mut files = files();
        let names: Vec<String> = files.keys().cloned().collect();
        for (file, at, bytes) in edits {
            let target = files.get_mut(&names[file % names.len()]).unwrap();
            let at = at % target.len();
            let end = target.len().min(at + bytes.len());
            target[at..end].copy_from_slice(&bytes[..end - at]);
        }
        if let Some((file, len)) = cut {
            files.get_mut(&names[file % names.len()]).unwrap().truncate(len);
        }
        read_everything(&files);
    }
}

#[test]
fn links_fifos_and_directories_in_place_of_files_are_refused() {
    let victim = tempfile::tempdir().unwrap();
    let target = victim.path().join("precious");
    std::fs::write(&target, "precious").unwrap();
    for name in ["00000000.seg", "checkpoint", "lock"] {
        for kind in ["link", "fifo", "directory"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            match kind {
                "link" => symlink(&target, &path).unwrap(),
                "fifo" => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RWXU,
                    0,
                )
                .unwrap(),
                _ => std::fs::create_dir(&path).unwrap(),
            }
            if let Ok((log, _)) = Log::open(dir.path(), options()) {
                assert_eq!((name, kind), ("lock", "fifo"), "{kind} as {name}");
                drop(log);
            }
            let key = options().key.verifier(&options().origin).unwrap();
            let _ = Reader::open(dir.path());
            let _ = verify(dir.path(), &key, &[], &mut |_| {});
            assert_eq!(std::fs::read(&target).unwrap(), b"precious", "{kind} as {name}");
        }
    }
}

#[test]
fn a_huge_sparse_segment_does_not_hold_anybody_up() {
    let dir = tempfile::tempdir().unwrap();
    drop(Log::open(dir.path(), options()).unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("00000000.seg")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(Log::open(dir.path(), options()).is_err());
    let key = options().key.verifier(&options().origin).unwrap();
    assert!(!verify(dir.path(), &key, &[], &mut |_| {}).unwrap().is_intact());
}

#[test]
fn an_empty_or_missing_directory_is_no_log_and_nothing_is_made_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = options().key.verifier(&options().origin).unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        assert!(Reader::open(&path).is_err());
        assert!(verify(&path, &key, &[], &mut |_| {}).is_err());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_key_file_that_others_can_read_is_refused_and_two_creators_get_one_key() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/log.key");
    let keys: Vec<String> = std::thread::scope(|scope| {
        let load = || SigningKey::load_or_create(&path).unwrap().verifier("a").unwrap().to_string();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 1);
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    mode(0o640);
    assert!(matches!(SigningKey::load_or_create(&path), Err(fdr_log::KeyError::Exposed { mode: 0o640, .. })));
    mode(0o600);
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(SigningKey::load_or_create(&path), Err(fdr_log::KeyError::Malformed { .. })));
}

#[test]
fn a_checkpoint_without_a_log_is_damage() {
    let signed = fdr_log::SignedCheckpoint::sign(&options().key, &options().origin, 3, &[1; 32]).unwrap();
    let disk = SimDisk::with([("checkpoint".to_owned(), signed.note().as_bytes().to_vec())]);
    assert!(matches!(Log::open_on(disk, options()), Err(OpenError::Damaged(_))));
}
