//! `fdr verify` and `fdr prove`: is the account as it was written, and how can somebody else
//! check that?

use crate::chronicle::Chronicle;
use crate::home::{Home, open_reader};
use crate::retain::Prunings;
use crate::seal;
use crate::timestamp::{Held, Standing};
use crate::witness;
use anyhow::{Context, bail};
use fdr_log::{Agreement, Report, SignedCheckpoint, TlogProof, VerifierKey, VerifyError};
use fdr_record::{ContentRef, RawRecord, hex};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Recomputes the whole log from its bytes.
///
/// Exit status: 0 intact, 1 damaged, 2 it could not be checked.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// A checkpoint kept elsewhere (from `fdr checkpoint`); finds truncation, rollback and
    /// rewriting. May be given more than once.
    #[arg(long, value_name = "FILE")]
    pub against: Vec<PathBuf>,
    /// The log's public key (`name+id+key`), or a file with it, kept elsewhere. Without it the
    /// key in the recorder's own folder is used.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Check this log folder instead of the recorder's.
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
    /// The public key of a witness (`name+id+key`), kept elsewhere; may be given more than once. Its cosignatures on the
    /// checkpoints given with --against, and on those in the recorder's own folder, are checked. Without it the
    /// witnesses of the configuration are taken.
    #[arg(long, value_name = "KEY")]
    pub witness: Vec<String>,
    /// A folder with time-stamped checkpoints (`*.note`, `*.tsr`) kept elsewhere. Without it those in the recorder's
    /// own folder are checked.
    #[arg(long, value_name = "DIR")]
    pub timestamps: Option<PathBuf>,
    /// The certificates (PEM) that time-stamps must lead to, kept elsewhere; those of the configuration otherwise.
    #[arg(long, value_name = "FILE")]
    pub timestamp_ca: Option<PathBuf>,
    /// The key that was handed out by `fdr seal export`: heartbeats since then must bear its seals.
    #[arg(long, value_name = "FILE")]
    pub seal_key: Option<PathBuf>,
    /// List every gap.
    #[arg(long)]
    pub gaps: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What others than this log say of it, beside checkpoints kept elsewhere.
#[derive(Debug, Default)]
struct Outside {
    /// Time-stamps.
    stamps: Standing,
    /// Witnesses.
    witnessed: witness::evidence::Standing,
    /// Heartbeats and their seals, and gaps.
    chronicle: Chronicle,
}

impl Outside {
    /// Whether nothing that they say speaks against the log.
    fn is_sound(&self) -> bool {
        self.stamps.bad.is_empty() && self.witnessed.bad.is_empty() && self.chronicle.findings().is_empty()
    }
}

/// Writes a C2SP tlog-proof that a record is in the log, for checking offline.
#[derive(Debug, clap::Args)]
pub struct ProveArgs {
    /// The record's id (or a unique beginning of it), or its index.
    pub record: String,
    /// Write the record's bytes here and the proof beside it as `.tlog-proof`; otherwise the
    /// proof goes to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A log checked against checkpoints kept elsewhere.
///
/// # Errors
/// When there is nothing that could be checked.
pub fn check(
    log: &Path,
    key: &VerifierKey,
    against: &[SignedCheckpoint],
    progress: &mut dyn FnMut(fdr_log::Progress),
) -> Result<Report, VerifyError> {
    check_with(log, key, against, &mut Chronicle::default(), progress)
}

/// The same; the chronicle is filled.
fn check_with(
    log: &Path,
    key: &VerifierKey,
    against: &[SignedCheckpoint],
    chronicle: &mut Chronicle,
    progress: &mut dyn FnMut(fdr_log::Progress),
) -> Result<Report, VerifyError> {
    let mut prunings = Prunings::default();
    let mut visit = |checked: &fdr_log::CheckedRecord<'_>| {
        prunings.see(checked.index, checked.bytes);
        if let Some(problem) = chronicle.see(checked) {
            return Some(problem);
        }
        let missing = references(checked.bytes).into_iter().find(|content| {
            content.stored_digest().is_none_or(|digest| !checked.contents.contains(&digest))
        })?;
        Some(format!("its content '{}' is missing or altered", missing.role))
    };
    let mut report = fdr_log::verify_with(log, key, against, progress, Some(&mut visit))?;
    prunings.settle(&mut report);
    chronicle.end();
    Ok(report)
}

/// What a record refers to. A record is written with its references last, so only these are
/// parsed: reading every record whole would take longer than hashing it.
fn references(record: &[u8]) -> Vec<ContentRef> {
    const KEY: &[u8] = b"\"content\":[";
    // Inside a text the quotes would be escaped, so this is a key.
    let Some(at) = memchr::memmem::rfind(record, KEY) else { return Vec::new() };
    let list = &record[at + KEY.len() - 1..record.len().saturating_sub(1)];
    serde_json::from_slice(list)
        // Of another form than we write; a record of an unknown kind is still proven.
        .or_else(|_| serde_json::from_slice::<RawRecord>(record).map(|record| record.content))
        .unwrap_or_default()
}

/// `fdr verify`.
///
/// # Errors
/// When it can't be checked at all.
pub fn verify(args: &VerifyArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let log = args.log.clone().unwrap_or_else(|| home.log());
    if args.log.is_none() {
        open_reader(home)?;
    }
    let (key, key_from) = match &args.key {
        Some(given) => (read_key(given)?, "the key given"),
        None => (folder_key(home, &log)?, "the key in this folder"),
    };
    let mut against = Vec::new();
    for path in &args.against {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        let checkpoint = SignedCheckpoint::parse(&text).with_context(|| {
            format!("{} is not a checkpoint (make one with: fdr checkpoint)", path.display())
        })?;
        against.push(checkpoint);
    }
    let held =
        Held::read(home, args.timestamps.as_deref(), args.timestamp_ca.as_deref(), args.log.is_none())?;
    let given = against.len();
    let cosigned = witness::evidence::Held::read(home, &args.witness, &against, args.log.is_none())?;
    against.extend_from_slice(cosigned.own(given));
    let with_cosigned = against.len();
    against.extend(held.checkpoints());
    let bar = std::io::stderr().is_terminal();
    let mut progress = |progress: fdr_log::Progress| {
        if bar {
            let percent = progress.bytes * 100 / progress.total_bytes.max(1);
            eprint!("\r\x1b[Kchecking  {percent:3} %  {} records", progress.records);
        }
    };
    let seal = args.seal_key.as_deref().map(|path| seal::read(path, key.name())).transpose()?;
    let mut chronicle = Chronicle::with_seal(seal);
    let mut report = check_with(&log, &key, &against, &mut chronicle, &mut progress)
        .context("the log can't be checked")?;
    if bar {
        eprint!("\r\x1b[K");
    }
    let stamped = report.against.split_off(with_cosigned);
    let witnessed = cosigned.standing(given, &report.against);
    report.against.truncate(given);
    let outside = Outside { witnessed, stamps: held.standing(&stamped), chronicle };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &json(&report, &outside, &log))?;
        writeln!(out)?;
    } else {
        print(&report, &outside, &key, key_from, args.gaps, out)?;
        if let Some(line) = Prunings::read(&log).not_checked(&report) {
            writeln!(out, "pruned        {line}")?;
        }
    }
    Ok(u8::from(!report.is_intact() || !outside.is_sound()))
}

/// Reads a log's public key: its text, or a file with it.
///
/// # Errors
/// When it is neither.
pub fn read_key(given: &str) -> anyhow::Result<VerifierKey> {
    let text = if given.contains('+') && !Path::new(given).exists() {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).with_context(|| format!("can't read the key {given}"))?
    };
    text.trim().parse().with_context(|| format!("'{}' is not a verifier key (name+id+key)", text.trim()))
}

/// Checks a log alone, and prints what was found; true if it is intact.
///
/// # Errors
/// When there is nothing that could be checked, and those of writing.
pub fn tell(log: &Path, key: &VerifierKey, key_from: &str, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut outside = Outside::default();
    let report = check_with(log, key, &[], &mut outside.chronicle, &mut |_| {})?;
    print(&report, &outside, key, key_from, false, out)?;
    Ok(report.is_intact() && outside.is_sound())
}

/// The public key of the folder, written by the recorder; the log's own word for it otherwise.
pub fn folder_key(home: &Home, log: &Path) -> anyhow::Result<VerifierKey> {
    match std::fs::read_to_string(home.public_key()) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is no key", home.public_key().display())),
        Err(_) => Ok(fdr_log::Reader::open(log)?.verifier().clone()),
    }
}

/// Prints what was checked, what holds, and what could not be excluded.
///
/// # Errors
/// Those of writing.
fn print(
    report: &Report,
    outside: &Outside,
    key: &VerifierKey,
    key_from: &str,
    all_gaps: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let is_intact = report.is_intact() && outside.is_sound();
    let checkpoints = report.checkpoints_good + report.checkpoints_bad;
    writeln!(
        out,
        "checked       {} records, {} content objects, {} checkpoints: every hash recomputed in {:.1} s",
        report.records,
        report.contents,
        checkpoints,
        report.elapsed.as_secs_f64()
    )?;
    writeln!(
        out,
        "signed by     {} (ed25519 {}, {key_from}), {} of {checkpoints} checkpoints good",
        crate::text::line(key.name()),
        hex(&key.id()),
        report.checkpoints_good,
    )?;
    if report.against.is_empty() {
        writeln!(
            out,
            "outside       nothing was given (keep a checkpoint elsewhere and use --against FILE)"
        )?;
    }
    for compared in &report.against {
        let text = match &compared.agreement {
            Agreement::Agrees => {
                format!("agrees: records 0–{} are as they were then", compared.size.saturating_sub(1))
            }
            Agreement::LogIsShorter { size } => {
                format!(
                    "DISAGREES: the log has only {size} records; its end was cut off, or an old copy was put back"
                )
            }
            Agreement::RootDiffers { .. } => {
                "DISAGREES: what came before it is not what was signed then; the log was rewritten".to_owned()
            }
            Agreement::Unknown if report.pruned.as_ref().is_some_and(|p| compared.size < p.first_index) => {
                "can't be compared: what it covers was removed by pruning; give one that is newer".to_owned()
            }
            Agreement::Unknown => "can't be compared, because of damage before it".to_owned(),
            Agreement::NotGenuine(error) => format!("is not genuine: {error}"),
        };
        writeln!(out, "outside       checkpoint of {} records: {text}", compared.size)?;
    }
    for line in outside.witnessed.lines() {
        writeln!(out, "witnessed     {}", crate::text::line(&line))?;
    }
    for line in outside.stamps.lines() {
        writeln!(out, "time-stamps   {}", crate::text::line(&line))?;
    }
    for (title, line) in outside.chronicle.lines(all_gaps) {
        writeln!(out, "{title:<13} {}", crate::text::line(&line))?;
    }
    writeln!(out, "result        {}", if is_intact { "INTACT" } else { "DAMAGED" })?;
    for damage in report.damages.iter().take(10) {
        writeln!(out, "damage        {}", crate::text::line(&damage.to_string()))?;
    }
    if report.damage_count > 10 {
        writeln!(out, "damage        and {} more (--json lists them)", report.damage_count - 10)?;
    }
    if !is_intact {
        let proven: Vec<String> = report
            .proven
            .iter()
            .filter(|r| !r.is_empty())
            .map(|r| format!("{}–{}", r.start, r.end - 1))
            .collect();
        let proven =
            if proven.is_empty() { "no record".to_owned() } else { format!("records {}", proven.join(", ")) };
        writeln!(out, "still proven  {proven}")?;
        writeln!(
            out,
            "what to do    keep the folder as it is (copy it before anything else), compare with backups and checkpoints kept elsewhere"
        )?;
    }
    if let Some(torn) = &report.torn {
        writeln!(
            out,
            "torn          {} at byte {}: {} bytes of a write that a crash cut off; never acknowledged",
            torn.file, torn.offset, torn.bytes
        )?;
    }
    for line in not_excluded(report, outside) {
        writeln!(out, "not excluded  {line}")?;
    }
    Ok(())
}

fn not_excluded(report: &Report, outside: &Outside) -> Vec<String> {
    let mut lines = Vec::new();
    let tail = report.unproven_tail();
    if !tail.is_empty() {
        lines.push(format!("the last {} records are not under a checkpoint yet", tail.end - tail.start));
    }
    let agreed = report.against.iter().filter(|c| c.agreement == Agreement::Agrees).map(|c| c.size).max();
    let stamped = outside.stamps.newest.as_ref().map(|(size, time, ..)| (*size, *time));
    let vouched = stamped.max(outside.witnessed.newest());
    if let Some((size, time)) = vouched.filter(|(size, _)| agreed.is_none_or(|agreed| agreed < *size)) {
        lines.push(format!(
            "someone who holds the key could have rewritten records {size}–{} at any time, and the others before {time}",
            report.size.saturating_sub(1)
        ));
        lines.push(
            "the end could have been cut off, with what is kept here of witnesses and time-stamps: the witness tells, or a checkpoint kept elsewhere"
                .to_owned(),
        );
        return lines;
    }
    lines.push(match agreed {
        Some(size) if size >= report.size => "nothing before the checkpoint given; what comes after it can be dropped or rewritten by someone who holds the key".to_owned(),
        Some(size) => format!(
            "records {size}–{} came after the checkpoint given: someone who holds the key could have dropped or rewritten them",
            report.size - 1
        ),
        None => "someone who holds the key could have cut off the end, or rewritten and signed everything anew: only a checkpoint kept elsewhere tells".to_owned(),
    });
    lines
}

fn json(report: &Report, outside: &Outside, log: &Path) -> serde_json::Value {
    let prunings = Prunings::read(log);
    let pruned = report.pruned.as_ref().map(|pruned| {
        let record = prunings.of(pruned);
        serde_json::json!({
            "first_index": pruned.first_index,
            "first_segment": pruned.first_segment,
            "root": hex(&pruned.root),
            "record": record.map(|(index, ..)| index),
            "ts": record.map(|(_, ts, _)| ts),
            "body": record.map(|(.., body)| body),
        })
    });
    serde_json::json!({
        "result": if report.is_intact() && outside.is_sound() { "intact" } else { "damaged" },
        "origin": report.origin,
        "records": report.records,
        "size": report.size,
        "root": report.root.map(|root| hex(&root)),
        "contents": report.contents,
        "pruned": pruned,
        "segments": report.segments,
        "bytes": report.bytes,
        "checkpoints_good": report.checkpoints_good,
        "checkpoints_bad": report.checkpoints_bad,
        "against": report.against.iter().map(|c| serde_json::json!({
            "size": c.size,
            "agrees": c.agreement == Agreement::Agrees,
            "finding": match &c.agreement {
                Agreement::Agrees => "agrees",
                Agreement::LogIsShorter { .. } => "log is shorter",
                Agreement::RootDiffers { .. } => "root differs",
                Agreement::Unknown => "unknown",
                Agreement::NotGenuine(_) => "not genuine",
            },
        })).collect::<Vec<_>>(),
        "chronicle": outside.chronicle.json(),
        "witnessed": outside.witnessed.json(),
        "timestamps": outside.stamps.json(),
        "damage_count": report.damage_count,
        "damages": report.damages.iter().map(|d| serde_json::json!({
            "first_record": d.indexes.start,
            "end_record": if d.indexes.end == u64::MAX { None } else { Some(d.indexes.end) },
            "file": d.file,
            "offset": d.offset,
            "what": d.what,
        })).collect::<Vec<_>>(),
        "proven": report.proven.iter().map(|r| [r.start, r.end]).collect::<Vec<_>>(),
        "torn": report.torn.as_ref().map(|t| serde_json::json!({ "file": t.file, "offset": t.offset, "bytes": t.bytes })),
        "not_excluded": not_excluded(report, outside),
        "seconds": report.elapsed.as_secs_f64(),
    })
}

/// `fdr prove`.
///
/// # Errors
/// When the record is not there, is not under a checkpoint yet, or can't be proven.
pub fn prove(args: &ProveArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let reader = open_reader(home)?;
    let index = find_record(&reader, &args.record)?;
    let entry = reader.record(index)?;
    // A running recorder is asked for a checkpoint that covers the record.
    let mut note = Vec::new();
    crate::control::checkpoint(home, &mut note)?;
    let checkpoint = SignedCheckpoint::parse(std::str::from_utf8(&note)?)?;
    if checkpoint.size() <= index {
        bail!("record {index} is not under a checkpoint yet (the newest covers {})", checkpoint.size());
    }
    let proof = TlogProof::make(&home.log(), index, checkpoint)?;
    proof.check(&entry.bytes, reader.verifier()).context("the proof does not hold: run fdr verify")?;
    match &args.output {
        None => out.write_all(proof.to_text().as_bytes())?,
        Some(path) => {
            let proof_path = PathBuf::from(format!("{}.tlog-proof", path.display()));
            std::fs::write(path, &entry.bytes).with_context(|| format!("can't write {}", path.display()))?;
            std::fs::write(&proof_path, proof.to_text())
                .with_context(|| format!("can't write {}", proof_path.display()))?;
            writeln!(
                out,
                "record {index} is in {}, its proof in {}; checked against the checkpoint of {} records\npublic key  {}",
                path.display(),
                proof_path.display(),
                proof.checkpoint.size(),
                reader.verifier()
            )?;
        }
    }
    Ok(0)
}

fn find_record(reader: &fdr_log::Reader, wanted: &str) -> anyhow::Result<u64> {
    if let Ok(index) = wanted.parse::<u64>()
        && wanted.len() < 8
    {
        if index < reader.len() {
            return Ok(index);
        }
        bail!("there is no record {index}: the log has {}", reader.len());
    }
    let mut found = Vec::new();
    for entry in reader.records(0) {
        let entry = entry?;
        if let Ok(record) = serde_json::from_slice::<RawRecord>(&entry.bytes)
            && record.id.to_string().starts_with(&wanted.to_lowercase())
        {
            found.push(entry.index);
        }
    }
    match found.as_slice() {
        [index] => Ok(*index),
        [] => bail!("there is no record '{wanted}'\n  to find its id:  fdr query"),
        many => bail!("'{wanted}' is the beginning of {} record ids; give more of it", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::references;

    #[test]
    fn references_are_found_whatever_the_record_says() {
        let golden = include_str!("../../../schema/golden/v1.jsonl");
        for line in golden.lines() {
            assert_eq!(references(line.as_bytes()).len(), 1, "{line}");
        }
        assert!(references(br#"{"v":1,"body":{"preview":"\"content\":[1]"}}"#).is_empty());
        assert!(references(b"").is_empty());
    }
}
