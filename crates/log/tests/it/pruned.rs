//! Pruned logs: what is kept stays as proven as it was, and nobody can pass a deletion off as a pruning.

use std::collections::BTreeMap;
use std::sync::Arc;

use fdr_log::{
    Agreement, ExportError, Hash, Log, OpenError, Prover, PruneError, ReadError, Reader, SignedCheckpoint,
    check_consistency, check_inclusion, export_tiles, leaf_hash, seal_on, verify_on,
};

use crate::append::{batch, options};
use crate::sealed::{fill, names, verify};
use crate::sim_disk::{Fault, SimDisk};

/// A log of several segments, each a size at which a checkpoint was kept.
fn log_of(segments: u64) -> (Arc<SimDisk>, Vec<SignedCheckpoint>) {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    let mut seq = 0;
    let mut kept = Vec::new();
    while log.stats().segment < segments {
        seq = fill(&log, seq, 1);
        kept.push(log.sync_checkpoint().unwrap());
    }
    kept.extend(log.close().unwrap());
    (disk, kept)
}

/// The first segment from `number` on at which a log may begin.
fn beginning(disk: &Arc<SimDisk>, number: u64) -> (u64, u64) {
    let reader = Reader::open_on(disk.clone()).unwrap();
    let segments = reader.segments().unwrap();
    let fits = |number: &u64| reader.may_begin_at(*number).unwrap();
    let number = (number..).find(fits).unwrap();
    let found = segments.iter().find(|segment| segment.number == number).unwrap();
    (number, found.first_index)
}

fn prune(disk: &Arc<SimDisk>, number: u64) {
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    log.prune(number).unwrap();
    log.close().unwrap();
}

#[test]
fn what_is_kept_reads_and_proves_byte_for_byte_as_before() {
    for sealed in [false, true] {
        let (disk, kept) = log_of(6);
        if sealed {
            seal_on(disk.as_ref()).unwrap();
        }
        let (number, first) = beginning(&disk, 2);
        let before = verify(disk.as_ref());
        let size = before.size;
        let reader = Reader::open_on(disk.clone()).unwrap();
        let records: Vec<Vec<u8>> = reader.records(first).map(|entry| entry.unwrap().bytes).collect();
        let mut prover = Prover::open_on(disk.clone()).unwrap();
        let indexes: Vec<u64> = (first..size).step_by(2).chain([size - 1]).collect();
        let sizes: Vec<u64> = kept
            .iter()
            .map(SignedCheckpoint::size)
            .chain([first, first + 1])
            .filter(|size| *size >= first)
            .collect();
        let mut inclusion: BTreeMap<(u64, u64), Vec<Hash>> = BTreeMap::new();
        let mut consistency: BTreeMap<(u64, u64), Vec<Hash>> = BTreeMap::new();
        for size in &sizes {
            for index in indexes.iter().filter(|index| *index < size) {
                inclusion.insert((*index, *size), prover.inclusion(*index, *size).unwrap());
            }
            for old in sizes.iter().filter(|old| *old <= size) {
                consistency.insert((*old, *size), prover.consistency(*old, *size).unwrap());
            }
        }
        assert!(
            inclusion.len() > 100 && consistency.len() > 8,
            "{} and {}",
            inclusion.len(),
            consistency.len()
        );

        prune(&disk, number);
        assert!(names(&disk)[0].starts_with(&format!("{number:08}.")), "{:?}", names(&disk));
        let reader = Reader::open_on(disk.clone()).unwrap();
        assert_eq!((reader.first_index(), reader.len()), (first, size));
        let read: Vec<_> = reader.records(0).map(|entry| entry.unwrap()).collect();
        assert_eq!(read[0].index, first);
        assert!(read.into_iter().map(|entry| entry.bytes).eq(records.iter().cloned()));
        let backwards = reader.records_rev(u64::MAX).map(|entry| entry.unwrap().bytes);
        assert!(backwards.eq(records.iter().rev().cloned()));
        assert!(matches!(reader.record(first - 1), Err(ReadError::Pruned { first: said }) if said == first));
        let out = tempfile::tempdir().unwrap();
        let exported = export_tiles(&reader, kept.last().unwrap(), out.path(), &mut |_| {});
        assert!(matches!(exported, Err(ExportError::Read(ReadError::Pruned { .. }))), "{exported:?}");
        assert!(matches!(reader.content(0, &[0; 32]), Err(ReadError::Pruned { .. })));

        let mut prover = Prover::open_on(disk.clone()).unwrap();
        for ((index, size), proof) in &inclusion {
            assert_eq!(&prover.inclusion(*index, *size).unwrap(), proof, "{index} in {size}");
            let leaf = leaf_hash(&records[(index - first) as usize]);
            check_inclusion(proof, *index, &leaf, *size, &prover.root(*size).unwrap()).unwrap();
        }
        for ((old, new), proof) in &consistency {
            assert_eq!(&prover.consistency(*old, *new).unwrap(), proof, "{old} to {new}");
            check_consistency(proof, *old, &prover.root(*old).unwrap(), *new, &prover.root(*new).unwrap())
                .unwrap();
        }
        for checkpoint in kept.iter().filter(|checkpoint| checkpoint.size() >= first) {
            assert_eq!(prover.root(checkpoint.size()).unwrap(), *checkpoint.root());
        }
        assert!(prover.inclusion(first - 1, size).is_err() && prover.root(first - 1).is_err());
        assert!(prover.consistency(first - 1, size).is_err());

        // Verified from there on, proven by the checkpoints that came later, and only if a record says so.
        let key = options().key.verifier(&options().origin).unwrap();
        let mut report = verify_on(disk.as_ref(), &key, &kept, false, &mut |_| {}, None).unwrap();
        assert_eq!(report.damages, []);
        assert_eq!((report.root, report.size, report.records), (before.root, size, size - first));
        assert_eq!((report.proven.len(), report.proven[0].clone()), (1, first..size));
        for (compared, checkpoint) in report.against.iter().zip(&kept) {
            let wanted = if checkpoint.size() < first { Agreement::Unknown } else { Agreement::Agrees };
            assert_eq!(compared.agreement, wanted, "{}", compared.size);
        }
        report.against.clear();
        assert!(!report.is_intact(), "nothing in the log has said so yet");
        report.pruned_confirmed = true;
        assert!(report.is_intact());

        // And it is written on, and pruned on.
        let (log, recovery) = Log::open_on(disk.clone(), options()).unwrap();
        assert_eq!((recovery.first_index, recovery.size, recovery.root), (first, size, before.root.unwrap()));
        assert_eq!(log.append(batch(99_999, &[b"after"])).unwrap().first_index, size);
        assert!(matches!(log.prune(number - 1), Err(PruneError::NotFull(_))), "what is gone is gone");
        drop(log);
        let (further, first) = beginning(&disk, number + 2);
        prune(&disk, further);
        assert_eq!(Reader::open_on(disk).unwrap().first_index(), first);
    }
}

#[test]
fn a_crash_at_any_step_of_pruning_leaves_a_log_that_opens() {
    let (whole, _) = log_of(4);
    let (number, first) = beginning(&whole, 2);
    let files = whole.files();
    let size = verify(whole.as_ref()).size;
    let (mut pruned, mut not) = (0, 0);
    for at in 0..14 {
        for seed in 0..8 {
            let disk = SimDisk::with(files.clone());
            let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
            // Counted from here: opening itself writes nothing to a log in order but zeros ahead.
            while !log.stats().reserve_ready {
                std::thread::yield_now();
            }
            disk.crash_in(at, seed);
            let _ = log.prune(number);
            drop(log);
            let disk = disk.restart();
            let reader = Reader::open_on(disk.clone()).unwrap();
            let begins = reader.first_index();
            assert!(begins == 0 || begins == first, "step {at}: {begins}");
            assert_eq!(reader.records(0).filter(|entry| entry.is_ok()).count() as u64, size - begins);
            assert_eq!(verify(disk.as_ref()).damages, [], "step {at}");
            let (log, recovery) = Log::open_on(disk.clone(), options()).unwrap();
            assert_eq!((recovery.first_index, recovery.size), (begins, size));
            drop(log);
            if begins == first {
                pruned += 1;
                assert!(names(&disk)[0].starts_with(&format!("{number:08}.")), "{:?}", names(&disk));
            } else {
                not += 1;
                assert!(names(&disk)[0].starts_with("00000000."));
            }
        }
    }
    assert!(pruned > 20 && not > 0, "{pruned} pruned, {not} not");
}

#[test]
fn segments_that_were_deleted_are_damage_whatever_the_marker_says() {
    let (disk, _) = log_of(5);
    let (number, first) = beginning(&disk, 2);
    let files = disk.files();
    let mut deleted = files.clone();
    deleted.retain(|name, _| !name.starts_with("0000000") || **name >= *format!("{number:08}"));
    // Deleted, and nothing more.
    let report = verify(SimDisk::with(deleted.clone()).as_ref());
    assert_eq!(report.damages[0].file, "00000000.seg");
    assert_eq!(report.damages[0].indexes, 0..first);
    assert!(matches!(Log::open_on(SimDisk::with(deleted.clone()), options()), Err(OpenError::Damaged(_))));
    assert!(Reader::open_on(SimDisk::with(deleted.clone())).unwrap().records(0).next().unwrap().is_err());
    // Deleted, with a marker that is right in every number: not confirmed by any record.
    let reader = Reader::open_on(disk.clone()).unwrap();
    let root = reader.segments().unwrap()[number as usize].root;
    prune(&disk, number);
    let marker = disk.files()["pruned"].clone();
    deleted.insert("pruned".to_owned(), marker.clone());
    let report = verify(SimDisk::with(deleted.clone()).as_ref());
    assert_eq!(report.damages, []);
    assert_eq!(report.pruned.as_ref().map(|pruned| pruned.root), Some(root));
    assert!(!report.is_intact());
    // A marker with other numbers.
    let text = String::from_utf8(marker).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let wrong_index = text.replace(&format!("\n{first}\n"), &format!("\n{}\n", first - 1));
    let wrong_root = text.replace(lines[3], &lines[3].chars().rev().collect::<String>());
    let wrong_segment = text.replace(&format!("\n{number}\n"), &format!("\n{}\n", number + 1));
    for wrong in [wrong_index, wrong_root, wrong_segment, text[..text.len() - 3].to_owned(), String::new()] {
        deleted.insert("pruned".to_owned(), wrong.clone().into_bytes());
        let disk = SimDisk::with(deleted.clone());
        assert!(verify(disk.as_ref()).damage_count > 0, "{wrong}");
        assert!(matches!(Log::open_on(disk, options()), Err(OpenError::Damaged(_))), "{wrong}");
    }
    // The first header of what is kept forged to fit a made-up beginning: the checkpoints tell.
    let (mut forged, name) = (files.clone(), format!("{number:08}.seg"));
    forged.retain(|file, _| !file.starts_with("0000000") || **file >= *name);
    let header = forged.get_mut(&name).unwrap();
    header[544] ^= 1;
    let crc = crc32c::crc32c(&header[..4092]);
    header[4092..4096].copy_from_slice(&crc.to_le_bytes());
    forged.insert("pruned".to_owned(), text.into_bytes());
    assert!(verify(SimDisk::with(forged).as_ref()).damage_count > 0);
}

#[test]
fn only_full_segments_under_a_checkpoint_go() {
    let (disk, _) = log_of(3);
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    let active = log.stats().segment;
    assert!(matches!(log.prune(active + 1), Err(PruneError::NotFull(_))));
    assert!(matches!(log.prune(0), Err(PruneError::NotCovered(0))));
    let reader = Reader::open_on(disk.clone()).unwrap();
    let within: Vec<u64> = (1..=active).filter(|number| !reader.may_begin_at(*number).unwrap()).collect();
    assert!(!within.is_empty(), "a large content was to lie across segments");
    for number in within {
        assert!(matches!(log.prune(number), Err(PruneError::InContent(_))));
    }
    log.close().unwrap();
    assert!(verify(disk.as_ref()).is_intact());
}

#[test]
fn a_reader_that_was_open_says_that_its_records_are_gone() {
    let (disk, _) = log_of(4);
    let (number, first) = beginning(&disk, 2);
    let reader = Reader::open_on(disk.clone()).unwrap();
    prune(&disk, number);
    assert!(matches!(reader.record(0), Err(ReadError::Pruned { first: said }) if said == first));
    assert!(reader.record(first).is_ok());
    assert_eq!(reader.refresh().unwrap(), reader.len());
}

#[test]
fn a_failure_at_any_step_of_pruning_is_told_and_mended_by_opening() {
    let (whole, _) = log_of(3);
    let (number, _) = beginning(&whole, 2);
    for at in 0..8 {
        let disk = SimDisk::with(whole.files());
        let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
        while !log.stats().reserve_ready {
            std::thread::yield_now();
        }
        disk.fail_in(at);
        let told = log.prune(number);
        drop(log);
        disk.set_fault(Fault::None);
        let (log, recovery) = Log::open_on(disk.clone(), options()).unwrap();
        assert!(told.is_err() || recovery.first_index > 0);
        drop(log);
        let first = Reader::open_on(disk.clone()).unwrap().first_index();
        assert_eq!(names(&disk)[0].starts_with("00000000."), first == 0, "{told:?}");
        assert_eq!(verify(disk.as_ref()).damages, []);
    }
}
