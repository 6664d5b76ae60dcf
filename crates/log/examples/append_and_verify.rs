//! Appends a few records with content, reads them back and verifies everything.
//!
//! `cargo run -p fdr-log --example append_and_verify [directory]`

use std::path::PathBuf;

use fdr_log::{Batch, Content, Log, Options, Reader, SigningKey, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let home = std::env::args_os().nth(1).map_or(temporary.path().to_owned(), PathBuf::from);
    let dir = home.join("log");
    let key = SigningKey::load_or_create(&home.join("log.key"))?;
    let (log, recovery) = Log::open(&dir, Options::new("example.com/demo", key))?;
    println!("opened with {} records in {:?}", recovery.size, recovery.elapsed);
    if let Some(torn) = recovery.torn {
        println!("set aside a torn write: {} bytes, kept in {}", torn.bytes, torn.quarantine_path.display());
    }

    let mut source = [0; 16];
    source[..4].copy_from_slice(&std::process::id().to_le_bytes());
    for seq in 0..3 {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let content = Content { salt, bytes: format!("output of step {seq}").into_bytes() };
        let records = vec![format!("step {seq} ran").into_bytes()];
        let ack = log.append(Batch { source, seq, records, contents: vec![content] })?;
        println!("record {} is durable, the tree has {} leaves", ack.first_index, ack.tree_size);
    }
    let public = log.verifier().clone();
    if let Some(checkpoint) = log.close()? {
        print!("\n{}\n", checkpoint.note());
    }

    let reader = Reader::open(&dir)?;
    for entry in reader.records_rev(u64::MAX).take(3) {
        let entry = entry?;
        println!("{}: {}", entry.index, String::from_utf8_lossy(&entry.bytes));
    }
    let report = verify(&dir, &public, &[], &mut |_| {})?;
    println!(
        "{} records and {} contents recomputed, {} damages, proven: {:?}",
        report.records, report.contents, report.damage_count, report.proven
    );
    Ok(())
}
