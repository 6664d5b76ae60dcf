//! How many durable records a second, how fast, against rivals on the same disk in the same run.
//!
//! `cargo bench -p fdr-log`; `FDR_BENCH_DIR` chooses the disk (default: the build's temporary directory), and
//! `FDR_BENCH_SECONDS` the length of each run (default 3). Prints a Markdown table. With `FDR_BENCH_SEALING=1` only the
//! appends are measured, beside a busy sealer and without one, in turns.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fdr_log::{Batch, Log, Options, Pending, Reader, SigningKey, verify};

const RECORD_BYTES: usize = 1024;

fn record(client: u64, seq: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; RECORD_BYTES];
    bytes[..8].copy_from_slice(&client.to_le_bytes());
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    for (at, byte) in bytes[16..].iter_mut().enumerate() {
        *byte = b' ' + ((at as u64 * 31 + seq) % 90) as u8;
    }
    bytes
}

fn batch(client: u64, seq: u64, records: usize) -> Batch {
    let mut source = [0; 16];
    source[..8].copy_from_slice(&client.to_le_bytes());
    let records = (0..records as u64).map(|n| record(client, seq + n)).collect();
    Batch { source, seq, records, contents: Vec::new() }
}

struct Figures {
    per_second: f64,
    /// In microseconds, sorted; four bytes each, so that the measure does not weigh more than what is measured.
    latencies_us: Vec<f32>,
}

impl Figures {
    fn of(mut latencies: Vec<f32>, records_each: usize, elapsed: Duration) -> Figures {
        latencies.sort_unstable_by(f32::total_cmp);
        let per_second = (latencies.len() * records_each) as f64 / elapsed.as_secs_f64();
        Figures { per_second, latencies_us: latencies }
    }

    fn at(&self, share: f64) -> f32 {
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us.get((last as f64 * share) as usize).copied().unwrap_or(0.0)
    }

    fn print(&self, name: &str, note: &str) {
        let (p50, p99, max) = (self.at(0.5), self.at(0.99), self.at(1.0));
        println!("| {name} | {:.0} | {p50:.0} | {p99:.0} | {max:.0} | {note} |", self.per_second);
    }
}

/// `clients` threads; each keeps `in_flight` batches on their way and waits for the oldest.
fn clients(log: &Log, clients: u64, in_flight: usize, time: Duration) -> (Figures, f64) {
    let before = log.stats();
    let began = Instant::now();
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    let mut on_their_way: std::collections::VecDeque<(Instant, Pending)> = Default::default();
                    let mut seq = log.size() << 20;
                    while began.elapsed() < time {
                        on_their_way.push_back((Instant::now(), log.submit(batch(client, seq, 1)).unwrap()));
                        seq += 1;
                        if on_their_way.len() >= in_flight
                            && let Some((submitted, pending)) = on_their_way.pop_front()
                        {
                            pending.wait().unwrap();
                            latencies.push(submitted.elapsed().as_secs_f32() * 1e6);
                        }
                    }
                    for (submitted, pending) in on_their_way {
                        pending.wait().unwrap();
                        latencies.push(submitted.elapsed().as_secs_f32() * 1e6);
                    }
                    latencies
                })
            })
            .collect();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
    });
    let elapsed = began.elapsed();
    let after = log.stats();
    let mean = (after.records - before.records) as f64 / (after.groups - before.groups).max(1) as f64;
    (Figures::of(all, 1, elapsed), mean)
}

fn until(time: Duration, records_each: usize, mut step: impl FnMut(u64)) -> Figures {
    let began = Instant::now();
    let mut latencies = Vec::new();
    let mut seq = 0;
    while began.elapsed() < time {
        let start = Instant::now();
        step(seq);
        latencies.push(start.elapsed().as_secs_f32() * 1e6);
        seq += 1;
    }
    Figures::of(latencies, records_each, began.elapsed())
}

fn sqlite(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE records (id INTEGER PRIMARY KEY, source BLOB, seq INTEGER, body BLOB)",
        )
        .unwrap();
    connection
}

/// What the device itself takes for one durable write of 4 KiB into blocks written before.
fn raw(path: &Path, time: Duration) -> Figures {
    use std::os::unix::fs::OpenOptionsExt;
    let mut buffer = fdr_log::disk::AlignedBuffer::with_capacity(1 << 20);
    buffer.resize(1 << 20);
    let plain = std::fs::File::create(path).unwrap();
    (0..16).for_each(|n| plain.write_all_at(&buffer, n << 20).unwrap());
    plain.sync_all().unwrap();
    let flags = (rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::DSYNC).bits() as i32;
    let file = std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path);
    match file {
        Ok(file) => {
            until(time, 1, |seq| file.write_all_at(&buffer[..4096], seq * 4096 % (16 << 20)).unwrap())
        }
        Err(_) => Figures::of(Vec::new(), 1, time), // no O_DIRECT here
    }
}

fn memory_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Appends beside a sealer that has more to do than it can, and without one; in turns, so that both meet the same noise.
fn sealing(home: &Path, time: Duration) {
    const ROUNDS: usize = 5;
    const CASES: [(u64, usize); 4] = [(1, 1), (16, 1), (64, 1), (16, 64)];
    let mut found: Vec<Vec<[f64; 3]>> = vec![Vec::new(); 2 * CASES.len()];
    let mut sealed = 0;
    for round in 0..ROUNDS {
        for (at, case) in CASES.iter().enumerate() {
            // Off first in one round, on first in the next.
            for on in [round % 2 == 1, round % 2 == 0] {
                let dir = home.join(format!("{round}.{at}.{on}"));
                let key = || SigningKey::from_seed(&[1; 32]);
                let options = |seal| Options { seal, ..Options::new("bench.example/log", key()) };
                // Ten full segments wait when it begins: more than a sealer takes time for, so it hurries.
                let (log, _) = Log::open(&dir, options(false)).unwrap();
                let mut pending = std::collections::VecDeque::new();
                for seq in (0..).take_while(|_| log.stats().segment < 10) {
                    pending.push_back(log.submit(batch(1, seq * 64, 64)).unwrap());
                    if pending.len() > 32 {
                        pending.pop_front().map(Pending::wait).transpose().unwrap();
                    }
                }
                drop(pending);
                log.close().unwrap();
                let (log, _) = Log::open(&dir, options(on)).unwrap();
                while !log.stats().reserve_ready {
                    std::thread::yield_now();
                }
                let (figures, _) = clients(&log, case.0, case.1, time);
                let found = &mut found[2 * at + usize::from(on)];
                found.push([figures.per_second, figures.at(0.5).into(), figures.at(0.99).into()]);
                sealed += log.stats().sealed_segments;
                drop(log);
                std::fs::remove_dir_all(&dir).unwrap();
            }
        }
    }
    println!("median of {ROUNDS} runs each, in turns; {sealed} segments were sealed meanwhile\n");
    println!("| clients x in flight | records/s off | on | on : off | p50 us off | on | p99 us off | on |");
    println!("|---|---|---|---|---|---|---|---|");
    let median = |runs: &[[f64; 3]], of: usize| {
        let mut values: Vec<f64> = runs.iter().map(|run| run[of]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (at, (count, in_flight)) in CASES.iter().enumerate() {
        let [off, on] = [&found[2 * at], &found[2 * at + 1]];
        let [rate_off, rate_on] = [median(off, 0), median(on, 0)];
        println!(
            "| {count} x {in_flight} | {rate_off:.0} | {rate_on:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            rate_on / rate_off,
            median(off, 1),
            median(on, 1),
            median(off, 2),
            median(on, 2)
        );
    }
}

fn main() {
    // `cargo test --benches` runs this too, with no wish to wait.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let base = std::env::var_os("FDR_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = std::env::var("FDR_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let time = Duration::from_secs_f64(seconds);
    let home = tempfile::Builder::new().prefix("fdr-log-bench").tempdir_in(base).unwrap();
    let options = || Options::new("bench.example/log", SigningKey::from_seed(&[1; 32]));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("1 KiB records, {cores} cores, {seconds} s a run, in {}\n", home.path().display());

    if std::env::var_os("FDR_BENCH_SEALING").is_some() {
        return sealing(home.path(), time);
    }
    let opened = Instant::now();
    let (log, _) = Log::open(&home.path().join("log"), options()).unwrap();
    println!("open a new log: {:.1} ms\n", opened.elapsed().as_secs_f64() * 1e3);
    println!("| durable appends | records/s | p50 us | p99 us | max us | note |");
    println!("|---|---|---|---|---|---|");
    // Past the first segment, whose zeros are still being written, as in any log older than a second.
    while !log.stats().reserve_ready {
        std::thread::yield_now();
    }
    let mut mean_group = 1;
    raw(&home.path().join("raw"), time).print("raw 4 KiB O_DIRECT, O_DSYNC", "the device, before");
    for (count, in_flight) in [(1, 1), (16, 1), (64, 1), (16, 64)] {
        let (figures, mean) = clients(&log, count, in_flight, time);
        figures.print(&format!("fdr-log, {count} x {in_flight}"), &format!("{mean:.1} records a group"));
        if (count, in_flight) == (64, 1) {
            mean_group = mean.round() as usize;
        }
    }
    raw(&home.path().join("raw"), time).print("raw 4 KiB O_DIRECT, O_DSYNC", "the device, after");
    let (figures, _) = clients(&log, 1, 1, time);
    figures.print("fdr-log, 1 x 1, again", "");
    let rss = memory_mib("VmRSS");
    log.close().unwrap();

    let mut connection = sqlite(&home.path().join("one.db"));
    let insert = "INSERT INTO records (source, seq, body) VALUES (?1, ?2, ?3)";
    until(time, 1, |seq| {
        connection.execute(insert, (&[0u8; 16], seq as i64, record(0, seq))).unwrap();
    })
    .print("SQLite WAL FULL, one a transaction", "one client");
    until(time, mean_group, |seq| {
        let transaction = connection.transaction().unwrap();
        let mut statement = transaction.prepare(insert).unwrap();
        for n in 0..mean_group as u64 {
            statement.execute((&[1u8; 16], (seq * 1000 + n) as i64, record(0, n))).unwrap();
        }
        drop(statement);
        transaction.commit().unwrap();
    })
    .print(&format!("SQLite WAL FULL, {mean_group} a transaction"), "one client");
    let mut file = std::fs::File::create(home.path().join("plain")).unwrap();
    until(time, 1, |seq| {
        file.write_all(&record(0, seq)).unwrap();
        file.sync_data().unwrap();
    })
    .print("plain file, fsync a record", "one client");
    let zeroed = std::fs::File::create(home.path().join("zeroed")).unwrap();
    zeroed.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    zeroed.sync_all().unwrap();
    until(time, 1, |seq| {
        zeroed.write_all_at(&record(0, seq), (seq * 1024) % (64 << 20)).unwrap();
        zeroed.sync_data().unwrap();
    })
    .print("plain zeroed file, fdatasync a record", "one client");

    // A million records to open, read and verify.
    let dir = home.path().join("million");
    let (log, _) = Log::open(&dir, options()).unwrap();
    let key = log.verifier().clone();
    let mut pending = std::collections::VecDeque::new();
    for seq in 0..15_625 {
        pending.push_back(log.submit(batch(1, seq * 64, 64)).unwrap());
        if pending.len() > 32 {
            pending.pop_front().map(Pending::wait).transpose().unwrap();
        }
    }
    drop(pending);
    assert_eq!(log.close().unwrap().unwrap().size(), 1_000_000);
    println!("\n| a million records | ms | records/s |\n|---|---|---|");
    let row = |name: &str, elapsed: Duration| {
        println!("| {name} | {:.0} | {:.0} |", elapsed.as_secs_f64() * 1e3, 1e6 / elapsed.as_secs_f64());
    };
    for name in ["open for writing", "open for writing, again"] {
        let began = Instant::now();
        let (log, recovery) = Log::open(&dir, options()).unwrap();
        let elapsed = began.elapsed();
        row(&format!("{name} ({} groups checked)", recovery.groups_checked), elapsed);
        drop(log);
    }
    let began = Instant::now();
    let reader = Reader::open(&dir).unwrap();
    row("open for reading", began.elapsed());
    let began = Instant::now();
    assert_eq!(reader.records(0).filter(|entry| entry.is_ok()).count(), 1_000_000);
    row("read all", began.elapsed());
    let began = Instant::now();
    assert_eq!(reader.records_rev(u64::MAX).take(100).count(), 100);
    row("read the last 100", began.elapsed());
    for name in ["verify", "verify, again"] {
        let began = Instant::now();
        assert!(verify(&dir, &key, &[], &mut |_| {}).unwrap().is_intact());
        row(name, began.elapsed());
    }
    let began = Instant::now();
    fdr_log::prove_inclusion(&dir, 123_456, 1_000_000).unwrap();
    row("prove inclusion of one", began.elapsed());
    let began = Instant::now();
    let disk = fdr_log::disk::Directory::new(&dir, true);
    let count = fdr_log::seal_on(&disk).unwrap();
    row(&format!("seal {count} segments"), began.elapsed());
    for name in ["verify, sealed", "verify, sealed, again"] {
        let began = Instant::now();
        assert!(verify(&dir, &key, &[], &mut |_| {}).unwrap().is_intact());
        row(name, began.elapsed());
    }
    let began = Instant::now();
    let reader = Reader::open(&dir).unwrap();
    row("open for reading, sealed", began.elapsed());
    let began = Instant::now();
    assert_eq!(reader.records(0).filter(|entry| entry.is_ok()).count(), 1_000_000);
    row("read all, sealed", began.elapsed());
    let began = Instant::now();
    fdr_log::prove_inclusion(&dir, 123_456, 1_000_000).unwrap();
    row("prove inclusion of one, sealed", began.elapsed());
    let began = Instant::now();
    (0..100).for_each(|n| assert_eq!(reader.record(n * 9_973).unwrap().index, n * 9_973));
    row("read 100 at random, sealed", began.elapsed());
    println!("\nmemory after appending: {rss:.0} MiB; peak of the whole run {:.0} MiB", memory_mib("VmHWM"));
}
