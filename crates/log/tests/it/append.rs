//! Appending, reading back, reopening.

use std::path::Path;

use fdr_log::{AppendError, Batch, Content, Log, Options, Reader, Recovery, SigningKey};

/// Small segments, which stay as they were written; sealing has tests of its own.
pub fn options() -> Options {
    let options = Options::new("log.example/test", SigningKey::from_seed(&[3; 32]));
    Options { segment_bytes: 256 * 1024, seal: false, ..options }
}

pub fn open(dir: &Path) -> (Log, Recovery) {
    Log::open(dir, options()).expect("the log opens")
}

pub fn batch(seq: u64, records: &[&[u8]]) -> Batch {
    Batch {
        source: [1; 16],
        seq,
        records: records.iter().map(|record| record.to_vec()).collect(),
        contents: vec![],
    }
}

#[test]
fn what_was_acked_is_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = open(dir.path());
    assert!(recovery.created);
    let mut expected = Vec::new();
    for seq in 0..300u64 {
        let record = vec![seq as u8; (seq as usize * 37) % 5000];
        let ack = log.append(batch(seq, &[&record, b"second"])).unwrap();
        assert_eq!((ack.first_index, ack.tree_size, ack.duplicate), (2 * seq, 2 * seq + 2, false));
        assert_eq!(ack.leaf_hashes[0], fdr_log::leaf_hash(&record));
        expected.push(record);
        expected.push(b"second".to_vec());
    }
    let (size, root) = (log.size(), log.root());
    let checkpoint = log.close().unwrap().unwrap();
    assert_eq!((checkpoint.size(), *checkpoint.root()), (size, root));

    let (log, recovery) = open(dir.path());
    assert_eq!((recovery.size, recovery.root, recovery.torn), (size, root, None));
    assert!(recovery.segments > 2, "the test is to span segments");
    let reader = Reader::open(dir.path()).unwrap();
    let read: Vec<_> = reader.records(0).map(|entry| entry.unwrap().bytes).collect();
    assert_eq!(read, expected);
    let backwards: Vec<_> = reader.records_rev(u64::MAX).map(|entry| entry.unwrap().bytes).collect();
    assert_eq!(backwards, expected.iter().rev().cloned().collect::<Vec<_>>());
    for index in [0, 1, 299, 598, 599] {
        assert_eq!(reader.record(index).unwrap().bytes, expected[index as usize]);
    }
    assert!(reader.record(600).is_err());
    assert_eq!(log.append(batch(300, &[b"after"])).unwrap().first_index, 600);
    assert_eq!(reader.len(), 600);
    assert_eq!(reader.refresh().unwrap(), 601);
    assert_eq!(reader.records(600).map(|entry| entry.unwrap().bytes).collect::<Vec<_>>(), [b"after"]);
}

#[test]
fn limits_are_checked_before_anything_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    assert_eq!(log.append(batch(0, &[])), Err(AppendError::Empty));
    let long = vec![0; fdr_log::MAX_RECORD_BYTES + 1];
    let refused = log.append(batch(0, &[b"x", &long]));
    assert_eq!(refused, Err(AppendError::RecordTooLarge { position: 1, bytes: 65_536 }));
    assert_eq!(log.append(batch(0, &[&long[1..]])).unwrap().first_index, 0);
    let many: Vec<&[u8]> = vec![&long[1..]; 4];
    assert!(matches!(log.append(batch(1, &many)), Err(AppendError::BatchTooLarge { .. })));
    assert_eq!(log.size(), 1);
}

#[test]
fn contents_are_found_beside_their_record_also_in_many_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let mut expected = Vec::new();
    for (seq, len) in [0usize, 10, 100_000, 1_000_000, 3_000_000, 7].into_iter().enumerate() {
        let content =
            Content { salt: [seq as u8; 16], bytes: (0..len).map(|at| (at * 7 + seq) as u8).collect() };
        let other = Content { salt: [99; 16], bytes: vec![seq as u8; 200_000] };
        let contents = vec![content.clone(), other];
        let batch = Batch { contents, ..batch(seq as u64, &[format!("record {seq}").as_bytes()]) };
        assert_eq!(log.append(batch).unwrap().first_index, seq as u64);
        expected.push(content);
    }
    drop(log);
    let reader = Reader::open(dir.path()).unwrap();
    for (index, content) in expected.iter().enumerate() {
        assert_eq!(
            reader.content(index as u64, &content.digest()).unwrap().as_ref(),
            Some(content),
            "{index}"
        );
        let next = (index as u64 + 1) % 6;
        assert_eq!(reader.content(next, &content.digest()).unwrap(), None, "{index} is not with {next}");
    }
    let (log, recovery) = open(dir.path());
    assert_eq!(recovery.size, 6);
    assert_eq!(log.append(batch(6, &[b"next"])).unwrap().first_index, 6);
}

#[test]
fn contents_of_every_size_around_a_chunk_and_a_group_are_read_back_and_the_log_opens_again() {
    const MIB: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    let mut sizes = vec![0, 1];
    for edge in [MIB, 2 * MIB, 3 * MIB, 4 * MIB] {
        sizes.extend([edge - 4096, edge - 65, edge - 1, edge, edge + 1, edge + 4096]);
    }
    sizes.push(MIB + MIB / 4);
    // Groups and segments of the size that a recorder has: smaller ones have smaller chunks.
    let options = || Options::new("log.example/test", SigningKey::from_seed(&[3; 32]));
    let (log, _) = Log::open(dir.path(), options()).unwrap();
    for (seq, size) in sizes.iter().enumerate() {
        let content = Content { salt: [seq as u8; 16], bytes: vec![seq as u8; *size] };
        kept.push((content.digest(), content.bytes.clone()));
        let ack = log.append(Batch { contents: vec![content], ..batch(seq as u64, &[b"record"]) }).unwrap();
        assert_eq!(ack.first_index, seq as u64);
    }
    log.close().unwrap();
    let (log, recovery) = Log::open(dir.path(), options()).unwrap();
    let verifier = log.verifier().clone();
    assert_eq!((recovery.size, recovery.torn.is_none()), (sizes.len() as u64, true));
    drop(log);
    let reader = Reader::open(dir.path()).unwrap();
    for (index, (digest, bytes)) in kept.iter().enumerate() {
        let read = reader.content(index as u64, digest).unwrap().expect("it is there");
        assert!(read.bytes == *bytes, "{} bytes", bytes.len());
    }
    let report = fdr_log::verify(dir.path(), &verifier, &[], &mut |_| {}).unwrap();
    assert!(report.is_intact(), "{report:?}");
}

#[test]
fn a_retry_gets_the_first_ack_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let mut acks = Vec::new();
    for seq in 0..400u64 {
        acks.push(log.append(batch(seq, &[&[seq as u8; 1500], b"b"])).unwrap());
    }
    let check = |log: &Log| {
        for (seq, first) in acks.iter().enumerate() {
            let again = log.append(batch(seq as u64, &[b"something else"])).unwrap();
            assert!(again.duplicate);
            assert_eq!((again.first_index, &again.leaf_hashes), (first.first_index, &first.leaf_hashes));
            assert_eq!(again.tree_size, first.tree_size);
        }
    };
    check(&log);
    let twice = [log.submit(batch(900, &[b"x"])).unwrap(), log.submit(batch(900, &[b"x"])).unwrap()];
    let twice = twice.map(|pending| pending.wait().unwrap());
    assert_eq!((twice[0].first_index, twice[1].first_index, twice[1].duplicate), (800, 800, true));
    assert_eq!(twice[0].tree_size, twice[1].tree_size);
    drop(log);
    let (log, recovery) = open(dir.path());
    assert!(recovery.segments >= 3);
    check(&log);
    assert_eq!(log.size(), 801);
}

#[test]
fn many_threads_append_in_the_order_of_their_acks() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let (log, dir) = (&log, dir.path());
            scope.spawn(move || {
                let mut last = None;
                for seq in 0..100 {
                    let record = [thread, seq as u8];
                    let ack = log.append(Batch { source: [thread; 16], ..batch(seq, &[&record]) }).unwrap();
                    assert!(last < Some(ack.first_index));
                    last = Some(ack.first_index);
                    let reader = if seq % 25 == 0 { Some(Reader::open(dir).unwrap()) } else { None };
                    if let Some(reader) = reader {
                        assert_eq!(reader.record(ack.first_index).unwrap().bytes, record);
                    }
                }
            });
        }
    });
    assert_eq!(log.size(), 800);
}
