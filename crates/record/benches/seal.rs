//! What sealing costs a message: microseconds for each content, and for the words of a record.
//!
//! `cargo bench -p fdr-record --bench seal`

use fdr_record::sealed::{SealKey, seal_fields};
use fdr_record::{ContentKey, Record};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn micros(mut work: impl FnMut()) -> f64 {
    let (mut rounds, start) = (0u32, Instant::now());
    while start.elapsed() < Duration::from_secs(1) {
        work();
        rounds += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

fn main() {
    let key = SealKey::new([7; 32].into());
    let content_key = ContentKey::new([9; 32]);
    println!("{:>10} {:>12} {:>12} {:>12} {:>10}", "bytes", "digest µs", "seal µs", "open µs", "sealed");
    for len in [200, 1_000, 10_000, 100_000, 1_000_000] {
        // Half of it repeats itself, as JSON does.
        let mut random = 1u64;
        let text: Vec<u8> = (0..len)
            .map(|at| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if at / 16 % 2 == 0 { b"\"command\": \"git "[at % 16] } else { b' ' + (random >> 58) as u8 }
            })
            .collect();
        let digest = micros(|| {
            black_box(content_key.seal("s", "raw", "application/json", text.clone()));
        });
        let (reference, content) = content_key.seal("s", "raw", "application/json", text.clone());
        let sealed = key.seal(&content);
        let seal = micros(|| {
            black_box(key.seal(&content));
        });
        let open = micros(|| {
            black_box(key.open(&sealed.bytes, &reference)).expect("it opens");
        });
        println!("{len:>10} {digest:>12.1} {seal:>12.1} {open:>12.1} {:>10}", sealed.bytes.len());
    }
    let golden = include_str!("../../../schema/golden/v1.jsonl");
    let record = golden.lines().find(|line| line.contains("\"kind\":\"action\"")).expect("an action");
    let record = Record::parse(record.as_bytes()).expect("a record");
    let words = micros(|| {
        let mut record = record.clone();
        seal_fields(&mut record, &key);
        black_box(record);
    });
    println!("words of an action: {words:.1} µs");
}
