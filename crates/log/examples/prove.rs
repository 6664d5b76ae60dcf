//! Makes a `.tlog-proof` file for one record and checks it without the log, as somebody else would.
//!
//! `cargo run -p fdr-log --example prove`

use fdr_log::{
    Batch, Log, Options, SigningKey, TlogProof, VerifierKey, check_consistency, prove_consistency,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("log");
    let key = SigningKey::load_or_create(&home.path().join("log.key"))?;
    let (log, _) = Log::open(&dir, Options::new("example.com/demo", key))?;
    let public: String = log.verifier().to_string();
    let mut earlier = None;
    for seq in 0..10 {
        let records = vec![format!("record {seq}").into_bytes()];
        log.append(Batch { source: [1; 16], seq, records, contents: Vec::new() })?;
        if seq == 5 {
            earlier = Some(log.sync_checkpoint()?);
        }
    }
    let (Some(earlier), Some(now)) = (earlier, log.close()?) else { return Ok(()) };

    let text = TlogProof::make(&dir, 7, now.clone())?.to_text();
    print!("{text}");

    // Elsewhere: the proof file, the record, and the public key from a place that is trusted.
    let trusted: VerifierKey = public.parse()?;
    TlogProof::parse(&text)?.check(b"record 7", &trusted)?;
    println!("\nrecord 7 is in the log of {trusted}");

    let proof = prove_consistency(&dir, earlier.size(), now.size())?;
    check_consistency(&proof, earlier.size(), earlier.root(), now.size(), now.root())?;
    println!("the log of {} records continues that of {}", now.size(), earlier.size());
    Ok(())
}
