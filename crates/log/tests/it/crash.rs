//! Crashes, failed writes and lying disks: what was acked is there, and nothing is lost silently.

use std::sync::Arc;
use std::time::Duration;

use fdr_log::{Ack, AppendError, Batch, Content, Log, OpenError, Options, Reader, verify_on};
use proptest::prelude::*;

use crate::append::options;
use crate::sim_disk::{Fault, SimDisk};

fn quick() -> Options {
    Options { checkpoint_interval: Duration::from_millis(1), ..options() }
}

/// A batch whose bytes follow from its number, so that what is read back can be told right or wrong.
fn numbered(seq: u64, size: usize) -> Batch {
    let record = |n: u64| [seq.to_le_bytes().as_slice(), &[n as u8; 3], &vec![seq as u8; size]].concat();
    let records = (0..1 + seq % 3).map(record).collect();
    let contents = if size.is_multiple_of(5) {
        vec![Content { salt: [seq as u8; 16], bytes: vec![!seq as u8; size * 40] }]
    } else {
        vec![]
    };
    Batch { source: [7; 16], seq, records, contents }
}

fn records_of(disk: &Arc<SimDisk>) -> Vec<(u64, Vec<u8>)> {
    match Reader::open_on(disk.clone()) {
        Ok(reader) => {
            reader.records(0).map(|entry| entry.unwrap()).map(|entry| (entry.seq, entry.bytes)).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Appends batches until one fails; returns the acks.
fn append_all(log: &Log, from: u64, sizes: &[usize]) -> (Vec<(u64, Ack)>, Option<AppendError>) {
    let mut acks = Vec::new();
    // In twos, so that groups hold several batches.
    for (chunk_at, chunk) in sizes.chunks(2).enumerate() {
        let mut pending = Vec::new();
        for (at, size) in chunk.iter().enumerate() {
            let seq = from + (2 * chunk_at + at) as u64;
            match log.submit(numbered(seq, *size)) {
                Ok(submitted) => pending.push((seq, submitted)),
                Err(error) => return (acks, Some(error)),
            }
        }
        for (seq, pending) in pending {
            match pending.wait() {
                Ok(ack) => acks.push((seq, ack)),
                Err(error) => return (acks, Some(error)),
            }
        }
    }
    (acks, None)
}

/// Every acked batch is there at its index with its bytes; everything there was submitted, in order, whole batches.
fn check_recovered(disk: &Arc<SimDisk>, acks: &[(u64, Ack)], sizes: &[usize]) {
    let records = records_of(disk);
    for (seq, ack) in acks {
        for (at, record) in numbered(*seq, sizes[*seq as usize]).records.iter().enumerate() {
            let found = records.get(ack.first_index as usize + at);
            assert_eq!(
                found.map(|(seq, bytes)| (*seq, bytes)),
                Some((*seq, record)),
                "acked batch {seq} is lost"
            );
        }
    }
    let mut expected = Vec::new();
    let mut seq = 0;
    while expected.len() < records.len() {
        expected.extend(numbered(seq, sizes[seq as usize]).records.into_iter().map(|record| (seq, record)));
        seq += 1;
    }
    assert_eq!(records.len(), expected.len(), "a batch is there in part");
    assert!(records == expected, "what is there is not a prefix of what was submitted");
}

fn damages(disk: &Arc<SimDisk>) -> Vec<fdr_log::Damage> {
    let key = options().key.verifier(&options().origin).unwrap();
    verify_on(disk.as_ref(), &key, &[], false, &mut |_| {}, None).unwrap().damages
}

fn assert_intact(disk: &Arc<SimDisk>) {
    assert_eq!(damages(disk), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn after_any_crash_all_acked_batches_are_there_and_nothing_else(
        sizes in proptest::collection::vec(prop_oneof![0usize..600, 3000usize..9000], 30..31),
        crashes in proptest::collection::vec((0u64..60, any::<u64>()), 3),
    ) {
        let mut disk = SimDisk::new();
        let mut acks: Vec<(u64, Ack)> = Vec::new();
        for (at, seed) in crashes {
            disk.set_fault(Fault::Crash { at, seed });
            match Log::open_on(disk.clone(), quick()) {
                Ok((log, _)) => {
                    let from = acks.len() as u64;
                    let (new, _) = append_all(&log, from, &sizes[from as usize..]);
                    acks.extend(new);
                }
                Err(error) => prop_assert!(matches!(error, OpenError::Io { .. }), "{error}"),
            }
            disk = disk.restart();
            // A pure crash is never damage.
            let (log, recovery) = Log::open_on(disk.clone(), quick()).unwrap();
            check_recovered(&disk, &acks, &sizes);
            prop_assert_eq!(recovery.torn.is_some() as usize <= disk.quarantined(), true);
            // What was stored without ack gets its ack now.
            let mut size = log.size();
            let mut seq = acks.len() as u64;
            while size > acks.last().map_or(0, |(_, ack)| ack.first_index + ack.leaf_hashes.len() as u64) {
                let ack = log.append(numbered(seq, sizes[seq as usize])).unwrap();
                prop_assert!(ack.duplicate);
                acks.push((seq, ack));
                seq += 1;
                size = log.size();
            }
            drop(log);
            assert_intact(&disk);
            if acks.len() == sizes.len() {
                break;
            }
        }
    }

    #[test]
    fn a_write_that_a_lying_disk_dropped_is_never_passed_over(
        sizes in proptest::collection::vec(prop_oneof![0usize..600, 3000usize..9000], 30..31),
        lie in 0u64..70,
    ) {
        let disk = SimDisk::new();
        disk.set_fault(Fault::Lie { at: lie });
        let acks = match Log::open_on(disk.clone(), quick()) {
            Ok((log, _)) => append_all(&log, 0, &sizes).0,
            Err(_) => Vec::new(),
        };
        let disk = disk.restart();
        let before = disk.files();
        match Log::open_on(disk.clone(), quick()) {
            // Harmless (a zero, a name, a checkpoint that a later one replaced), or in a segment that opening does
            // not read: then verify must say so.
            Ok((log, _)) => {
                drop(log);
                if damages(&disk).is_empty() {
                    check_recovered(&disk, &acks, &sizes);
                }
            }
            Err(OpenError::Damaged(_)) => prop_assert_eq!(before, disk.files(), "nothing may be changed"),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn a_failed_write_ends_the_writer_and_every_batch_is_stored_once() {
    let sizes: Vec<usize> = (0..24).map(|n| (n * 911) % 9000).collect();
    for at in 0..70 {
        for done in [false, true] {
            let disk = SimDisk::new();
            disk.set_fault(Fault::Fail { at, done });
            let acks = match Log::open_on(disk.clone(), quick()) {
                Ok((log, _)) => {
                    let (acks, error) = append_all(&log, 0, &sizes);
                    if let Some(error) = error {
                        assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
                        let later = log.append(numbered(99, 1));
                        assert!(
                            matches!(later, Err(AppendError::Poisoned { .. })),
                            "the writer goes on: {later:?}"
                        );
                        assert!(log.close().is_err());
                    }
                    acks
                }
                Err(error) => {
                    assert!(matches!(error, OpenError::Io { .. }), "{error}");
                    Vec::new()
                }
            };
            disk.set_fault(Fault::None);
            let (log, recovery) = Log::open_on(disk.clone(), quick()).unwrap();
            assert_eq!(recovery.torn, None, "nothing was torn");
            check_recovered(&disk, &acks, &sizes);
            let (all, error) = append_all(&log, 0, &sizes);
            assert_eq!(error, None);
            for (seq, ack) in &acks {
                assert_eq!(
                    (all[*seq as usize].1.first_index, all[*seq as usize].1.duplicate),
                    (ack.first_index, true)
                );
            }
            drop(log);
            check_recovered(&disk, &all, &sizes);
            assert_eq!(records_of(&disk).len() as u64, (0..24).map(|seq| 1 + seq % 3).sum::<u64>());
            assert_intact(&disk);
        }
    }
}

#[test]
fn a_full_disk_refuses_batches_until_there_is_space_again() {
    let disk = SimDisk::new();
    disk.set_space(400 * 1024);
    let (log, _) = Log::open_on(disk.clone(), quick()).unwrap();
    let mut stored = 0;
    let error = loop {
        match log.append(numbered(stored, 3001)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
    assert!(stored > 20, "the first segment was to be used: {stored}");
    assert!(matches!(log.append(numbered(stored, 3001)), Err(AppendError::DiskFull { .. })));
    assert_eq!(log.size(), (0..stored).map(|seq| 1 + seq % 3).sum::<u64>());
    disk.set_space(u64::MAX);
    assert_eq!(log.append(numbered(stored, 3001)).unwrap().first_index, log.size() - 1 - stored % 3);
    log.close().unwrap();
    assert_intact(&disk);
}

#[test]
fn a_small_real_file_system_that_is_full_refuses_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=640k", "fdr-log-test"])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: a tmpfs of 640 KiB cannot be mounted here (needs root)");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let (log, _) = Log::open(dir.path(), options()).unwrap();
        let error = (0..500).find_map(|seq| log.append(numbered(seq, 3001)).err()).unwrap();
        assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
        let size = log.size();
        drop(log);
        assert_eq!(Reader::open(dir.path()).unwrap().len(), size);
    });
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    outcome.unwrap();
}

#[test]
fn a_torn_end_is_copied_aside_and_the_next_group_takes_its_place() {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    append_all(&log, 0, &[10, 20, 7001]);
    drop(log);
    let mut files = disk.files();
    let checkpoint_size = Reader::open_on(disk).unwrap().len();
    // Half a group behind the last one, as a crash leaves it.
    let segment = files.get_mut("00000000.seg").unwrap();
    let end =
        segment.chunks(4096).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap() * 4096 + 4096;
    segment[end + 512..end + 1536].fill(0xaa);
    let disk = SimDisk::with(files);
    let (log, recovery) = Log::open_on(disk.clone(), options()).unwrap();
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.file.as_str(), torn.offset, torn.bytes), ("00000000.seg", end as u64, 4096));
    assert_eq!((recovery.size, disk.quarantined()), (checkpoint_size, 1));
    log.append(numbered(3, 50)).unwrap();
    drop(log);
    assert_intact(&disk);
    let (_, recovery) = Log::open_on(disk.restart(), options()).unwrap();
    assert_eq!(recovery.torn, None);
}
