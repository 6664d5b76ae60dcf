//! Checks a bundle: everything in it against the log's key, and nothing against its own word.

use super::write::content_file;
use super::{FORMAT, LATER, Manifest};
use crate::verify::read_key;
use anyhow::{Context, bail, ensure};
use fdr_log::{Hash, SignedCheckpoint, VerifierKey, content_digest, leaf_hash, subset_root};
use fdr_record::{Body, Record, hex, unhex};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

/// The most that a bundle may unpack to, in bytes: it is held in memory.
const MAX_BYTES: u64 = 4 << 30;
/// The most files that it may have.
const MAX_FILES: usize = 1 << 20;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Whether the key was given, or is the bundle's own.
    pub own_key: bool,
    /// Records that are proven.
    pub records: u64,
    /// Contents that are what their records say.
    pub contents: u64,
    /// Contents that are not in it.
    pub withheld: u64,
    /// Checkpoints that the records lead to: name, size, and lines of others on it.
    pub checkpoints: Vec<(String, u64, usize)>,
    /// Sessions whose records have no hole between the first and the last one here.
    pub whole_sessions: Vec<String>,
    /// Sessions that have.
    pub sessions_with_holes: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What is not proven by it.
    pub not_proven: Vec<String>,
}

impl Report {
    /// Says it for people: title and text of each line.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![(
            "checked",
            format!("{} records and {} contents of log {}", self.records, self.contents, self.origin),
        )];
        for (name, size, others) in &self.checkpoints {
            lines.push((
                "proven",
                format!("under checkpoint {name} of {size} records, with {others} lines of others"),
            ));
        }
        if self.withheld > 0 {
            lines.push(("withheld", format!("{} contents; their digests are proven", self.withheld)));
        }
        for session in &self.whole_sessions {
            lines.push(("session", format!("{session}: no hole between its first and its last record here")));
        }
        for session in &self.sessions_with_holes {
            lines.push((
                "session",
                format!("{session}: records are left out between its first and its last one here"),
            ));
        }
        for problem in &self.problems {
            lines.push(("PROBLEM", problem.clone()));
        }
        lines.push(("result", if self.problems.is_empty() { "PROVEN" } else { "NOT PROVEN" }.to_owned()));
        let key =
            "the key is the bundle's own: somebody who made everything anew would have put his own there";
        lines.extend(self.own_key.then(|| ("not excluded", key.to_owned())));
        lines.extend(self.not_proven.iter().map(|line| ("not proven", line.clone())));
        lines
    }
}

/// Unpacks; refuses what a bundle of ours never has.
fn unpack(file: impl Read + Seek) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut zip = zip::ZipArchive::new(file).context("this is not a zip file")?;
    ensure!(zip.len() <= MAX_FILES, "it has more than {MAX_FILES} files");
    let (mut files, mut left) = (BTreeMap::new(), MAX_BYTES);
    for number in 0..zip.len() {
        let entry = zip.by_index(number).context("a file in it can't be read")?;
        let name = entry.name().context("a file in it has no name")?.into_owned();
        let is_plain =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
        ensure!(
            entry.is_file() && name.split('/').all(is_plain),
            "it has a file of a name that no bundle has"
        );
        let mut bytes = Vec::new();
        entry.take(left + 1).read_to_end(&mut bytes).with_context(|| format!("{name} can't be unpacked"))?;
        left = left.checked_sub(bytes.len() as u64).context("it unpacks to more than 4 GiB")?;
        if files.insert(name.clone(), bytes).is_some() {
            bail!("it has {name} twice");
        }
    }
    Ok(files)
}

/// Checks a bundle. `key` is the log's, from elsewhere.
///
/// # Errors
/// When it is not a bundle at all, or the key is none. What is wrong with a bundle is in the report.
pub fn check(file: impl Read + Seek, key: Option<&str>) -> anyhow::Result<Report> {
    let files = unpack(file)?;
    let get =
        |name: &str| files.get(name).with_context(|| format!("it has no {name}, so it is not a bundle"));
    let manifest_bytes = get("manifest.json")?;
    let manifest: Manifest =
        serde_json::from_slice(manifest_bytes).context("its manifest.json can't be read")?;
    ensure!(manifest.format == FORMAT, "it is of form {}, which this version does not know", manifest.format);
    let own_key = key.is_none();
    let key = match key {
        Some(given) => read_key(given)?,
        None => manifest.key.trim().parse().context("the key in its manifest is no log's public key")?,
    };
    let mut report = Report {
        origin: key.name().to_owned(),
        own_key,
        withheld: manifest.withheld.len() as u64,
        not_proven: manifest.not_proven.clone(),
        ..Report::default()
    };
    if manifest.origin != key.name() || !own_key && manifest.key.trim() != key.to_string() {
        report.problems.push("the manifest names another log or key".to_owned());
    }
    check_files(&files, &manifest, &mut report);
    let records = lines(get("records.jsonl")?);
    let custody = lines(get("custody.jsonl")?);
    check_records(&files, &manifest, &records, &mut report);
    check_custody(&custody, manifest_bytes, &manifest, &mut report);
    check_proofs(&files, &manifest, &records, &custody, &key, &mut report);
    Ok(report)
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if text.is_empty() { Vec::new() } else { text.split(|byte| *byte == b'\n').collect() }
}

fn check_files(files: &BTreeMap<String, Vec<u8>>, manifest: &Manifest, report: &mut Report) {
    for (name, bytes) in files.iter().filter(|(name, _)| !LATER.contains(&name.as_str())) {
        match manifest.files.get(name) {
            None => report.problems.push(format!("{name} is not in the manifest")),
            Some(digest) if *digest != hex(&Sha256::digest(bytes)) => {
                report.problems.push(format!("{name} is not what the manifest says"));
            }
            Some(_) => {}
        }
    }
    for name in manifest.files.keys().filter(|name| !files.contains_key(*name)) {
        report.problems.push(format!("{name} is missing"));
    }
}

fn check_records(
    files: &BTreeMap<String, Vec<u8>>,
    manifest: &Manifest,
    records: &[&[u8]],
    report: &mut Report,
) {
    if records.len() != manifest.places.len() || records.len() as u64 != manifest.records {
        report.problems.push(format!(
            "there are {} records, and the manifest says {}",
            records.len(),
            manifest.places.len()
        ));
    }
    let withheld: BTreeSet<(u64, &str)> =
        manifest.withheld.iter().map(|withheld| (withheld.record, withheld.digest.as_str())).collect();
    let (mut known, mut numbers) = (BTreeSet::new(), BTreeMap::<String, Vec<u64>>::new());
    for (place, line) in manifest.places.iter().zip(records) {
        let Ok(record) = Record::parse(line) else { continue };
        if let Some(session) = &record.session {
            numbers.entry(session.clone()).or_default().push(record.seq);
        }
        for reference in &record.content {
            let name = content_file(&reference.digest);
            let (Some(bytes), Some(salt)) = (files.get(&name), files.get(&format!("{name}.salt"))) else {
                if !withheld.contains(&(*place, reference.digest.as_str())) {
                    report.problems.push(format!(
                        "the {} of record {place} is missing, and not said to be withheld",
                        reference.role
                    ));
                }
                continue;
            };
            let salt = std::str::from_utf8(salt)
                .ok()
                .and_then(|text| unhex(text.trim()))
                .and_then(|salt| salt.try_into().ok());
            let digest: Option<Hash> = salt.map(|salt: [u8; 16]| content_digest(&salt, bytes));
            if digest.is_none() || digest != reference.digest_bytes() {
                report
                    .problems
                    .push(format!("the {} of record {place} is not what was recorded", reference.role));
            } else if known.insert(name) {
                report.contents += 1;
            }
        }
    }
    for name in files.keys().filter(|name| name.starts_with("contents/")) {
        if !known.contains(name.trim_end_matches(".salt")) {
            report.problems.push(format!("{name} belongs to no record"));
        }
    }
    for (session, mut seqs) in numbers {
        seqs.sort_unstable();
        let is_whole = seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        if is_whole { &mut report.whole_sessions } else { &mut report.sessions_with_holes }.push(session);
    }
}

fn check_custody(custody: &[&[u8]], manifest_bytes: &[u8], manifest: &Manifest, report: &mut Report) {
    let [line] = custody else {
        report.problems.push("custody.jsonl is not one record".to_owned());
        return;
    };
    let access = match Record::parse(line).map(|record| record.body) {
        Ok(Body::Access(access)) if access.what == "bundle" => access,
        _ => {
            report.problems.push("the record of the export is not one".to_owned());
            return;
        }
    };
    if access.digest.as_deref() != Some(&hex(&Sha256::digest(manifest_bytes))) {
        report.problems.push("the manifest is not the one that the export was recorded with".to_owned());
    }
    if access.filter != manifest.filter || access.records != manifest.records {
        report.problems.push("what was chosen is not what the export was recorded with".to_owned());
    }
}

fn check_proofs(
    files: &BTreeMap<String, Vec<u8>>,
    manifest: &Manifest,
    records: &[&[u8]],
    custody: &[&[u8]],
    key: &VerifierKey,
    report: &mut Report,
) {
    let leaves: Vec<(u64, Hash)> =
        manifest.places.iter().copied().zip(records.iter().map(|line| leaf_hash(line))).collect();
    let notes = files.keys().filter_map(|name| name.strip_prefix("checkpoints/")?.strip_suffix(".note"));
    let names: Vec<String> = notes.map(str::to_owned).collect();
    let mut is_proven = false;
    for name in names {
        let is_log = name == "log";
        match check_proof(files, &name, &leaves, is_log.then_some(custody), key) {
            Ok((size, others)) => {
                is_proven |= is_log;
                report.checkpoints.push((name, size, others));
            }
            Err(error) => report.problems.push(format!("checkpoint {name}: {error:#}")),
        }
    }
    if is_proven && records.len() == leaves.len() {
        report.records = leaves.len() as u64;
    } else {
        report.problems.push("the records are not proven".to_owned());
    }
}

fn check_proof(
    files: &BTreeMap<String, Vec<u8>>,
    name: &str,
    leaves: &[(u64, Hash)],
    custody: Option<&[&[u8]]>,
    key: &VerifierKey,
) -> anyhow::Result<(u64, usize)> {
    let text = |suffix: &str| {
        let bytes = files
            .get(&format!("checkpoints/{name}.{suffix}"))
            .with_context(|| format!("it has no .{suffix}"))?;
        std::str::from_utf8(bytes).with_context(|| format!("its .{suffix} is not text"))
    };
    let note = SignedCheckpoint::open(text("note")?, key)?;
    let mut lines = text("proof")?.lines();
    ensure!(lines.next() == Some("fdr-subset-proof-v1"), "its proof is of another form");
    let size: u64 = lines
        .next()
        .and_then(|line| line.strip_prefix("size ")?.parse().ok())
        .context("its proof has no size")?;
    ensure!(size == note.size(), "its proof is for a tree of another size");
    let mut lines = lines.peekable();
    let place = lines.next_if(|line| line.starts_with("custody "));
    let place: Option<u64> = place.and_then(|line| line.strip_prefix("custody ")?.parse().ok());
    let hash = |line: &str| {
        unhex(line).and_then(|bytes| bytes.try_into().ok()).context("its proof has a line that is no hash")
    };
    let hashes = lines.map(hash).collect::<anyhow::Result<Vec<Hash>>>()?;
    let mut leaves = leaves.to_vec();
    match (custody, place) {
        (None, None) => {}
        (Some([line]), Some(place)) => leaves.push((place, leaf_hash(line))),
        _ => bail!("its proof does not say where the record of the export stands"),
    }
    ensure!(subset_root(&leaves, size, &hashes)? == *note.root(), "the records don't lead to its root");
    Ok((size, note.signature_lines().count().saturating_sub(1)))
}
