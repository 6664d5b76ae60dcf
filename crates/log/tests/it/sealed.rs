//! Sealed segments: bit for bit what was written, whatever stops the work on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use fdr_log::disk::{Access, Directory, Disk};
use fdr_log::{
    Batch, Content, Log, OpenError, Options, Prover, Reader, Report, TlogProof, seal_bytes, seal_on, unseal,
    verify_on,
};

use crate::append::{batch, options};
use crate::sim_disk::{Fault, SimDisk};

type Files = BTreeMap<String, Vec<u8>>;

fn sealing() -> Options {
    Options { seal: true, ..options() }
}

pub fn verify(disk: &dyn Disk) -> Report {
    let key = options().key.verifier(&options().origin).unwrap();
    verify_on(disk, &key, &[], false, &mut |_| {}, None).unwrap()
}

/// A record as an agent's recorder writes them.
fn line(seq: u64) -> Vec<u8> {
    let text = ["ls -la src", "cargo test", "git diff --stat", "rm -rf target/tmp"][seq as usize % 4];
    format!(
        "{{\"v\":1,\"id\":\"01a20d9f-22d1-7b71-b838-{:012x}\",\"kind\":\"action\",\"ts\":\"2026-11-24T12:54:22.{:09}Z\",\
         \"seq\":{seq},\"body\":{{\"tool\":\"Bash\",\"summary\":\"{text}\"}}}}",
        seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16,
        seq * 7919 % 1_000_000_000
    )
    .into_bytes()
}

/// Appends to a log until it has `segments` full ones; small contents, and one that spans groups.
pub fn fill(log: &Log, from: u64, segments: u64) -> u64 {
    let until = log.stats().segment + segments;
    let mut seq = from;
    while log.stats().segment < until {
        let bytes = vec![seq as u8; if seq % 90 == 40 { 300_000 } else { 800 }];
        let contents = vec![Content { salt: [seq as u8; 16], bytes }];
        let records = vec![line(2 * seq), line(2 * seq + 1)];
        log.append(Batch { source: [1; 16], seq, records, contents }).unwrap();
        seq += 1;
    }
    seq
}

fn written(segments: u64) -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    fill(&log, 0, segments);
    log.close().unwrap();
    disk
}

pub fn names(disk: &SimDisk) -> Vec<String> {
    disk.files().into_keys().filter(|name| name.starts_with('0')).collect()
}

/// Everything that a reader gives, contents included.
fn account(disk: Arc<dyn Disk>) -> Vec<(Vec<u8>, Option<Content>)> {
    let reader = Reader::open_on(disk).unwrap();
    let entries: Vec<_> = reader.records(0).map(|entry| entry.unwrap()).collect();
    let content = |seq: u64| {
        let bytes = vec![seq as u8; if seq % 90 == 40 { 300_000 } else { 800 }];
        Content { salt: [seq as u8; 16], bytes }.digest()
    };
    entries
        .into_iter()
        .map(|entry| (entry.bytes, reader.content(entry.index, &content(entry.seq)).unwrap()))
        .collect()
}

#[test]
fn what_is_sealed_reads_verifies_and_proves_as_before_and_is_smaller() {
    let disk = written(4);
    let before = disk.files();
    let (account_before, report_before) = (account(disk.clone()), verify(disk.as_ref()));
    let mut prover = Prover::open_on(disk.clone()).unwrap();
    let size = report_before.size;
    let proofs: Vec<_> = (0..size).step_by(37).map(|index| prover.inclusion(index, size).unwrap()).collect();

    assert_eq!(seal_on(disk.as_ref()).unwrap(), 4);
    let mut sealed_names = ["00000000.segz", "00000001.segz", "00000002.segz", "00000003.segz"].to_vec();
    sealed_names.push("00000004.seg");
    assert_eq!(names(&disk)[..5], sealed_names);
    let (mut raw, mut packed) = (0, 0);
    for (name, bytes) in disk.files().iter().filter(|(name, _)| name.ends_with(".segz")) {
        let mut restored = Vec::new();
        unseal(bytes, &mut |block| restored.extend_from_slice(block)).unwrap();
        let original = &before[name.strip_suffix('z').unwrap()];
        assert_eq!(restored, original[..restored.len()], "{name}");
        assert!(original[restored.len()..].iter().all(|byte| *byte == 0));
        raw += restored.len();
        packed += bytes.len();
    }
    assert!(packed * 4 < raw, "{packed} of {raw} bytes");

    let report = verify(disk.as_ref());
    assert!(report.is_intact(), "{:?}", report.damages);
    assert_eq!(
        (report.root, report.records, report.contents),
        (report_before.root, report_before.records, report_before.contents)
    );
    assert!(account(disk.clone()) == account_before, "the account has changed");
    let mut prover = Prover::open_on(disk.clone()).unwrap();
    for (at, proof) in proofs.iter().enumerate() {
        assert_eq!(&prover.inclusion(37 * at as u64, size).unwrap(), proof);
    }
    // And the log goes on, with retries of what is sealed answered as before.
    let (log, _) = Log::open_on(disk.clone(), options()).unwrap();
    let again = Batch { records: vec![line(20), line(21)], ..batch(10, &[]) };
    assert!(log.append(again).unwrap().duplicate);
    assert_eq!(log.size(), size);
}

#[test]
fn segments_are_sealed_in_the_background_while_the_log_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), sealing()).unwrap();
    let mut seq = fill(&log, 0, 1);
    let reader = Reader::open(dir.path()).unwrap();
    let mut early = reader.records(0);
    let first = early.next().unwrap().unwrap();
    for _ in 0..3 {
        seq = fill(&log, seq, 1);
        log.wait_sealed().unwrap();
        assert_eq!(reader.record(0).unwrap(), first, "a reader that was there before goes on");
    }
    // The iterator still has the file that is gone.
    let known = early.by_ref().map(|entry| entry.unwrap().index).last().unwrap();
    assert_eq!(known, reader.len() - 1);
    let stats = log.stats();
    assert_eq!((stats.sealed_segments, stats.seal_error), (stats.segment, None));
    let sealed = stats.sealed_segments;
    assert!(stats.sealed_bytes * 4 < stats.sealed_raw_bytes);
    let dictionary = log.take_dictionary().expect("one was trained");
    assert!(log.take_dictionary().is_none());
    reader.refresh().unwrap();
    let checkpoint = log.sync_checkpoint().unwrap();
    let proof = TlogProof::make(dir.path(), 5, checkpoint).unwrap();
    proof.check(&reader.record(5).unwrap().bytes, log.verifier()).unwrap();
    log.close().unwrap();
    assert!(verify(&Directory::new(dir.path(), false)).is_intact());
    // The next run goes on with the dictionary that it finds.
    let (log, _) = Log::open(dir.path(), sealing()).unwrap();
    fill(&log, seq, 1);
    log.wait_sealed().unwrap();
    assert_eq!(log.stats().sealed_segments, log.stats().segment - sealed);
    assert!(log.take_dictionary().is_none(), "{} bytes were trained anew", dictionary.len());
}

#[test]
fn a_crash_at_any_step_of_sealing_leaves_the_whole_account() {
    let whole = written(2);
    let expected = account(whole.clone());
    let files: Files = whole.files();
    let mut steps = 0;
    for at in 0.. {
        let mut reached = false;
        for seed in 0..2 {
            let disk = SimDisk::with(files.clone());
            disk.set_fault(Fault::Crash { at, seed });
            reached = seal_on(disk.as_ref()).is_err();
            let disk = disk.restart();
            assert!(account(disk.clone()) == expected, "step {at}, seed {seed}: {:?}", names(&disk));
            let (log, recovery) = Log::open_on(disk.clone(), sealing()).unwrap();
            assert_eq!(recovery.torn, None);
            log.wait_sealed().unwrap();
            log.close().unwrap();
            assert!(account(disk.clone()) == expected, "step {at}, seed {seed}, after another start");
            assert_eq!(names(&disk)[..3], ["00000000.segz", "00000001.segz", "00000002.seg"]);
            assert!(verify(disk.as_ref()).is_intact());
        }
        if !reached {
            steps = at;
            break;
        }
    }
    assert!(steps > 12, "{steps} steps");
}

#[test]
fn a_failure_at_any_step_of_sealing_loses_nothing_and_is_told() {
    let files: Files = written(1).files();
    let expected = account(SimDisk::with(files.clone()));
    for at in 0..30 {
        for done in [false, true] {
            let disk = SimDisk::with(files.clone());
            disk.set_fault(Fault::Fail { at, done });
            let told = seal_on(disk.as_ref());
            assert!(account(disk.clone()) == expected, "step {at}: {told:?}");
            assert!(told.is_err() || verify(disk.as_ref()).is_intact());
            disk.set_fault(Fault::None);
            seal_on(disk.as_ref()).unwrap();
            assert_eq!(names(&disk)[0], "00000000.segz");
            assert!(account(disk.clone()) == expected);
        }
    }
}

#[test]
fn a_disk_that_lies_while_a_segment_is_sealed_keeps_the_segment() {
    let files: Files = written(1).files();
    let expected = account(SimDisk::with(files.clone()));
    for at in 0..6 {
        let disk = SimDisk::with(files.clone());
        // A write that is reported done, is read back, and is gone after a crash: nothing can help but what is synced
        // later. Before the segment is removed its sealed form was read back from the disk.
        disk.set_fault(Fault::Lie { at });
        let _ = seal_on(disk.as_ref());
        assert!(account(disk.clone()) == expected, "step {at}");
    }
}

#[test]
fn on_a_full_disk_a_segment_stays_as_it_is_until_there_is_space() {
    let disk = SimDisk::with(written(1).files());
    disk.set_space(4096);
    let (log, _) = Log::open_on(disk.clone(), sealing()).unwrap();
    assert!(log.wait_sealed().unwrap_err().contains("no storage space"));
    assert!(log.stats().seal_error.is_some());
    assert_eq!(names(&disk)[0], "00000000.seg", "and nothing half written is left: {:?}", names(&disk));
    assert_eq!(names(&disk).iter().filter(|name| name.ends_with(".new")).count(), 0);
    drop(log);
    disk.set_space(u64::MAX);
    let (log, _) = Log::open_on(disk.clone(), sealing()).unwrap();
    log.wait_sealed().unwrap();
    assert_eq!(log.stats().sealed_segments, log.stats().segment);
}

#[test]
fn every_flipped_byte_of_a_sealed_segment_is_found_and_the_rest_is_read() {
    let disk = written(2);
    seal_on(disk.as_ref()).unwrap();
    let files = disk.files();
    let size = verify(disk.as_ref()).size;
    let name = "00000000.segz";
    let len = files[name].len();
    let after = Reader::open_on(disk).unwrap().segments().unwrap()[1].first_index;
    for at in (0..len).step_by(len / 700) {
        let mut files = files.clone();
        files.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
        let report = verify(SimDisk::with(files).as_ref());
        assert!(!report.is_intact(), "byte {at}");
        assert_eq!(report.size, size, "byte {at}: the next segment is taken up");
        assert!(report.damages.iter().all(|damage| damage.file == name), "byte {at}: {:?}", report.damages);
        assert!(report.damages.iter().all(|damage| damage.indexes.end <= after), "{:?}", report.damages);
    }
}

#[test]
fn a_damaged_block_costs_its_own_records_only() {
    let disk = SimDisk::new();
    let (log, _) = Log::open_on(disk.clone(), Options { segment_bytes: 8 << 20, ..options() }).unwrap();
    fill(&log, 0, 1);
    log.close().unwrap();
    seal_on(disk.as_ref()).unwrap();
    let mut files = disk.files();
    let bytes = files.get_mut("00000000.segz").unwrap();
    let at = bytes.len() / 2;
    bytes[at..at + 64].fill(0x5a);
    let disk = SimDisk::with(files);
    let report = verify(disk.as_ref());
    assert!(report.damages.iter().any(|damage| damage.what.contains("block")), "{:?}", report.damages);
    assert!(report.records * 2 > report.size, "{} of {}", report.records, report.size);
    let lost: u64 = report.damages.iter().map(|damage| damage.indexes.end - damage.indexes.start).sum();
    assert!(lost > 0 && lost + report.records >= report.size, "{:?}", report.damages);
    assert!(Reader::open_on(disk).unwrap().record(0).is_ok());
}

#[test]
fn a_log_that_ends_with_a_sealed_segment_has_lost_what_followed() {
    let disk = written(1);
    seal_on(disk.as_ref()).unwrap();
    let mut files = disk.files();
    files.retain(|name, _| name == "00000000.segz" || name == "checkpoint");
    let disk = SimDisk::with(files);
    let report = verify(disk.as_ref());
    assert!(report.damages.iter().any(|damage| damage.file == "00000001.seg"), "{:?}", report.damages);
    match Log::open_on(disk, options()) {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.file, "00000001.seg"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_with_a_damaged_header_is_left_as_it_is() {
    let mut files = written(2).files();
    files.get_mut("00000000.seg").unwrap()[20] ^= 1;
    let before = files.clone();
    let disk = SimDisk::with(files);
    assert!(seal_on(disk.as_ref()).is_err());
    assert_eq!(disk.files(), before);
}

#[test]
fn hostile_bytes_are_refused_with_bounded_memory() {
    let disk = written(1);
    seal_on(disk.as_ref()).unwrap();
    let good = disk.files().remove("00000000.segz").unwrap();
    let refused = |bytes: &[u8]| unseal(bytes, &mut |_| {}).unwrap_err();
    refused(&[]);
    refused(&good[..good.len() - 1]);
    refused(&good[..5000]);
    refused(&[good.as_slice(), &[0; 4096]].concat());
    // Headers with right checksums and lengths that cannot be.
    for (at, value) in
        [(12, u64::MAX), (24, u64::MAX), (24, 1 << 40), (96, 1 << 30), (104, u64::MAX), (104, 0)]
    {
        let mut bytes = good.clone();
        let width = if at == 12 || at == 96 { 4 } else { 8 };
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        let crc = crc32c::crc32c(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
        refused(&bytes);
    }
    // The file of another segment under this one's name.
    let mut files = disk.files();
    files.insert("00000000.segz".to_owned(), {
        let mut bytes = good.clone();
        bytes[16] = 7;
        let crc = crc32c::crc32c(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
        bytes
    });
    assert!(!verify(SimDisk::with(files).as_ref()).is_intact());
}

#[test]
fn a_reader_opens_a_log_while_its_segments_are_being_sealed() {
    let files = written(6).files();
    let disk = SimDisk::with(files);
    let size = Reader::open_on(disk.clone()).unwrap().len();
    std::thread::scope(|scope| {
        let sealer = scope.spawn(|| seal_on(disk.as_ref()).unwrap());
        while !sealer.is_finished() {
            let reader = Reader::open_on(disk.clone()).unwrap();
            assert_eq!(reader.records(0).filter(|entry| entry.is_ok()).count() as u64, size);
        }
    });
    assert!(disk.open("00000000.seg", Access::Read).is_err());
}

#[test]
fn any_bytes_behind_a_header_come_back_as_they_were() {
    // Groups as written, groups changed in the middle, no groups at all: what cannot be made again is packed as it is.
    let good = written(1).files().remove("00000000.seg").unwrap();
    for (from, to) in [(0, 0), (4096, 4100), (9000, 9064), (50_000, 90_000), (8192, good.len())] {
        let mut segment = good.clone();
        for (at, byte) in segment[from..to].iter_mut().enumerate() {
            *byte = (at * 31 % 251) as u8 | 1;
        }
        let sealed = seal_bytes(&segment).unwrap();
        let mut restored = Vec::new();
        unseal(&sealed, &mut |block| restored.extend_from_slice(block)).unwrap();
        assert!(restored == segment[..restored.len()], "{from}..{to}");
        assert!(segment[restored.len()..].iter().all(|byte| *byte == 0));
    }
    assert!(seal_bytes(&good[..5000]).is_err());
    assert!(seal_bytes(&good[4096..]).is_err());
}

#[test]
fn a_segment_beside_another_sealed_form_stays_and_both_are_kept() {
    let disk = written(2);
    let original = disk.files()["00000000.seg"].clone();
    seal_on(disk.as_ref()).unwrap();
    // Somebody puts the segment back, with a byte changed: it is what is read, and found damaged.
    let mut files = disk.files();
    let mut changed = original.clone();
    changed[5000] ^= 1;
    files.insert("00000000.seg".to_owned(), changed);
    let disk = SimDisk::with(files.clone());
    assert!(seal_on(disk.as_ref()).unwrap_err().to_string().contains("other bytes"));
    assert_eq!(disk.files(), files);
    assert!(!verify(disk.as_ref()).is_intact());
    // The same bytes are a crash between two steps.
    files.insert("00000000.seg".to_owned(), original);
    let disk = SimDisk::with(files);
    assert_eq!(seal_on(disk.as_ref()).unwrap(), 1);
    assert!(!disk.files().contains_key("00000000.seg"));
}
