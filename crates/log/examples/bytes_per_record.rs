//! How many bytes a record takes: as plain JSON lines, in a live segment, and sealed; beside `zstd -19` and `gzip -9`.
//!
//! `cargo run --release -p fdr-log --example bytes_per_record -- LOG_DIR…` prints one row of a Markdown table for each log.
//! What is compared is everything that the log holds: the records and the contents that they refer to, each on a line of
//! its own. The log is only read. Needs `gzip` on the path.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fdr_log::{Hash, Reader, seal_bytes, unseal};

fn digests(record: &[u8]) -> Vec<Hash> {
    let text = String::from_utf8_lossy(record);
    let hash = |hex: &str| -> Option<Hash> {
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(hash)
    };
    text.split("hmac-sha256:").skip(1).filter_map(hash).collect()
}

fn gzip(bytes: &[u8]) -> usize {
    let mut child =
        Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout.len()
    })
}

fn main() {
    println!(
        "| log | records | raw JSONL | gzip -9 | zstd -19 | live segments | sealed | sealed : zstd -19 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for dir in std::env::args().skip(1) {
        let dir = Path::new(&dir);
        let reader = Reader::open(dir).unwrap();
        let mut lines = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for entry in reader.records(0) {
            let entry = entry.unwrap();
            for digest in digests(&entry.bytes).into_iter().filter(|digest| seen.insert((entry.seq, *digest)))
            {
                if let Some(content) = reader.content(entry.index, &digest).unwrap() {
                    lines.extend_from_slice(&content.bytes);
                    lines.push(b'\n');
                }
            }
            lines.extend_from_slice(&entry.bytes);
            lines.push(b'\n');
        }
        let (mut live, mut sealed) = (0, 0);
        for file in std::fs::read_dir(dir).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            match path.extension().and_then(|name| name.to_str()) {
                Some("seg") => {
                    let Ok(packed) = seal_bytes(&bytes) else { continue }; // in reserve
                    sealed += packed.len();
                    unseal(&packed, &mut |block| live += block.len()).unwrap();
                }
                Some("segz") => {
                    sealed += bytes.len();
                    unseal(&bytes, &mut |block| live += block.len()).unwrap();
                }
                _ => {}
            }
        }
        let zstd = zstd::bulk::compress(&lines, 19).unwrap().len();
        let count = reader.len() - reader.first_index();
        let each = |bytes: usize| bytes as f64 / count as f64;
        println!(
            "| {} | {count} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} |",
            dir.display(),
            each(lines.len()),
            each(gzip(&lines)),
            each(zstd),
            each(live),
            each(sealed),
            sealed as f64 / zstd as f64
        );
    }
}
