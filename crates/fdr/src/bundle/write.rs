//! Makes a bundle.

use super::timeline;
use super::{FORMAT, Manifest, Withheld, WriteArgs};
use crate::admin::{self, Ask};
use crate::filter::Filter;
use crate::home::{Home, open_reader};
use crate::tail::newest;
use crate::text::{self, Look, LookArgs, counted};
use crate::timestamp;
use crate::trail::{Parsed, Row, Trail};
use crate::verify::folder_key;
use crate::{control, surroundings, witness};
use anyhow::{Context, bail, ensure};
use fdr_log::{Prover, SignedCheckpoint};
use fdr_record::{Access, Body, ContentRef, Kind, hex, kind_of};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What the stranger reads first.
const README: &str = include_str!("README.txt");
/// Checks a bundle with Python alone.
const VERIFY_PY: &str = include_str!("../../../../verifiers/bundle.py");
/// The same with openssl and coreutils.
const VERIFY_SH: &str = include_str!("../../../../verifiers/bundle.sh");
/// What that shares with the checker of whole logs.
const NOTE_SH: &str = include_str!("../../../../verifiers/note.sh");
/// What verify.py shares with the checker of whole logs.
const TLOG_PY: &str = include_str!("../../../../verifiers/verify.py");

pub fn run(args: &WriteArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let path = args.output.as_deref().context("a bundle needs a file: -o FILE")?;
    let reader = open_reader(home)?;
    let trail = Trail::open(home.dir())?;
    let (rows, filter) = select(args, &trail, &Look::new(&LookArgs::default()))?;
    ensure!(!rows.is_empty(), "nothing matches; nothing was written");
    ensure!(!path.exists(), "{} is there already", path.display());
    let new = path.with_extension("zip.new");
    let made = (|| {
        let file = File::options().write(true).create_new(true).open(&new);
        let file = file.with_context(|| format!("can't write {}", new.display()))?;
        let manifest = write(args, home, &reader, &trail, &rows, filter, &file)?;
        file.sync_all()?;
        std::fs::rename(&new, path).with_context(|| format!("can't write {}", path.display()))?;
        anyhow::Ok(manifest)
    })();
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
    };
    writeln!(
        out,
        "bundled       {}, {}, {} withheld, into {}",
        counted(manifest.records, "record"),
        counted(manifest.contents, "content"),
        manifest.withheld.len(),
        text::line(&path.display().to_string())
    )?;
    writeln!(out, "key           {}", manifest.key)?;
    writeln!(out, "to check it   fdr bundle verify FILE --key KEY, or verify.py in it")?;
    Ok(trail.finish(0))
}

/// The records, in the log's order, with what was in force and what was going on meanwhile.
fn select(args: &WriteArgs, trail: &Trail, look: &Look) -> anyhow::Result<(Vec<Row>, String)> {
    let (chosen, filter) = match &args.subject {
        Some(prefix) => {
            let found = trail.candidates(prefix)?;
            let mut ids = found.sessions.iter().filter(|(_, of)| of.is_none()).map(|(id, _)| id);
            let id = match (ids.next(), ids.next()) {
                (Some(id), None) => id.clone(),
                (None, _) => {
                    bail!("there is no session '{}'\n  to find its id:  fdr sessions", text::line(prefix))
                }
                _ => bail!("'{}' is the beginning of several sessions; give more of it", text::line(prefix)),
            };
            (trail.session(&id)?.rows, format!("session {id}"))
        }
        None => {
            let filter = Filter::new(&args.filter, look)?;
            ensure!(!filter.takes_all(), "say which: a session, or filters as for fdr query");
            let rows =
                newest(trail, &filter, u64::MAX, usize::MAX)?.into_iter().map(|(row, _)| row).collect();
            (rows, format!("{:?}", args.filter))
        }
    };
    let mut rows: BTreeMap<u64, Row> = chosen.into_iter().map(|row| (row.index, row)).collect();
    let (Some(first), Some(last)) = (rows.keys().next().copied(), rows.keys().next_back().copied()) else {
        return Ok((Vec::new(), filter));
    };
    let sets: BTreeSet<String> = rows
        .values()
        .filter_map(|row| match row.body() {
            Some(Body::Action(action)) => action.policy.set.clone(),
            _ => None,
        })
        .collect();
    let mut in_force: BTreeMap<String, Row> = BTreeMap::new();
    trail.scan(0, last.saturating_add(1), |entry| {
        let kind = kind_of(&entry.bytes).unwrap_or_default();
        let is_meanwhile = entry.index >= first
            && [Kind::Gap, Kind::LogTorn, Kind::LogRestart].iter().any(|of| of.as_str() == kind);
        if is_meanwhile {
            rows.entry(entry.index).or_insert_with(|| trail.read(entry));
        } else if kind == Kind::PolicyChange.as_str() {
            let row = trail.read(entry);
            if let Some(Body::PolicyChange(change)) = row.body()
                && let Some(set) = change.set.clone().filter(|set| change.accepted && sets.contains(set))
            {
                in_force.insert(set, row);
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    rows.extend(in_force.into_values().map(|row| (row.index, row)));
    Ok((rows.into_values().collect(), filter))
}

struct Packer<'a> {
    zip: ZipWriter<&'a File>,
    files: BTreeMap<String, String>,
}

impl Packer<'_> {
    /// Adds a file. Times are fixed, so that equal evidence is an equal file.
    fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            .large_file(bytes.len() > u32::MAX as usize / 2);
        self.zip.start_file(name, options)?;
        self.zip.write_all(bytes)?;
        self.files.insert(name.to_owned(), hex(&Sha256::digest(bytes)));
        Ok(())
    }
}

fn write(
    args: &WriteArgs,
    home: &Home,
    reader: &fdr_log::Reader,
    trail: &Trail,
    rows: &[Row],
    filter: String,
    file: &File,
) -> anyhow::Result<Manifest> {
    let key = folder_key(home, &home.log())?;
    let places: Vec<u64> = rows.iter().map(|row| row.index).collect();
    let mut pack = Packer { zip: ZipWriter::new(file), files: BTreeMap::new() };
    // The bytes as they are stored: these are what is hashed.
    let mut lines = Vec::new();
    for place in &places {
        lines.extend_from_slice(&reader.record(*place)?.bytes);
        lines.push(b'\n');
    }
    pack.add("records.jsonl", &lines)?;
    let (mut withheld, mut contents) = (Vec::new(), 0);
    let mut shown = BTreeMap::new();
    for row in rows {
        let Some(record) = row.record() else { continue };
        for reference in &record.content {
            match open(args, trail, row.index, reference) {
                Ok(content) => {
                    let name = content_file(&reference.digest);
                    if !pack.files.contains_key(&name) {
                        pack.add(&name, &content.bytes)?;
                        pack.add(&format!("{name}.salt"), format!("{}\n", hex(&content.salt)).as_bytes())?;
                        contents += 1;
                    }
                    shown.insert((row.index, reference.digest.clone()), content.bytes);
                }
                Err(why) => withheld.push(Withheld {
                    record: row.index,
                    role: reference.role.clone(),
                    digest: reference.digest.clone(),
                    why,
                }),
            }
        }
    }
    // Others who signed a checkpoint over all of it: the earliest time-stamp, every witness's newest.
    let last = *places.last().context("there are records")?;
    let mut prover = Prover::open(&home.log())?;
    let mut outside = |name: &str, note: &SignedCheckpoint, token: Option<&[u8]>, pack: &mut Packer<'_>| {
        let hashes = prover.subset(&places, note.size())?;
        pack.add(&format!("checkpoints/{name}.note"), note.note().as_bytes())?;
        pack.add(&format!("checkpoints/{name}.proof"), proof_text(note.size(), None, &hashes).as_bytes())?;
        if let Some(token) = token {
            pack.add(&format!("checkpoints/{name}.tsr"), token)?;
        }
        anyhow::Ok(())
    };
    let covers = |note: &SignedCheckpoint| note.size() > last && note.verify(&key).is_ok();
    for (number, note) in witness::kept_notes(home).into_iter().filter(covers).enumerate() {
        outside(&format!("witness-{number}"), &note, None, &mut pack)?;
    }
    let stamps = timestamp::Kept::read(&timestamp::folder(home)).unwrap_or_default();
    if let Some(stamp) = stamps.iter().find(|stamp| covers(&stamp.checkpoint)) {
        outside("timestamp", &stamp.checkpoint, Some(stamp.reply()), &mut pack)?;
    }
    let by = surroundings::Machine::new();
    let uid = rustix::process::geteuid().as_raw();
    let principal = by.principal(uid);
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made: surroundings::wall_clock(),
        by: principal.name.map_or(principal.id, |name| format!("{name} (uid {uid})")),
        host: by.host().to_owned(),
        filter: filter.clone(),
        reason: args.reason.clone(),
        origin: key.name().to_owned(),
        key: key.to_string(),
        records: places.len() as u64,
        places: places.clone(),
        contents,
        withheld,
        files: BTreeMap::new(),
        not_proven: not_proven(args),
    };
    let look = &Look::new(&LookArgs::default());
    let page = if args.withhold.is_empty() {
        timeline::page(&manifest, rows, &shown, look)
    } else {
        // The words that records show of their contents may be of what is withheld.
        let bare: anyhow::Result<Vec<Row>> =
            places.iter().map(|place| without_words(reader, *place)).collect();
        timeline::page(&manifest, &bare?, &shown, look)
    };
    pack.add("timeline.html", page.as_bytes())?;
    pack.add("README.txt", README.as_bytes())?;
    pack.add("verify.py", VERIFY_PY.as_bytes())?;
    pack.add("tlog.py", TLOG_PY.as_bytes())?;
    pack.add("verify.sh", VERIFY_SH.as_bytes())?;
    pack.add("note.sh", NOTE_SH.as_bytes())?;
    manifest.files = pack.files.clone();
    let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
    pack.add("manifest.json", text.as_bytes())?;
    // The export is recorded before anything is given out; what is recorded names the manifest.
    let digest = hex(&Sha256::digest(&text));
    let access = Access {
        what: "bundle".to_owned(),
        filter,
        records: manifest.records,
        contents,
        withheld: manifest.withheld.len() as u64,
        reason: args.reason.clone(),
        digest: Some(digest.clone()),
    };
    admin::ask::<()>(home, &Ask::Access(access))?;
    let mut note = Vec::new();
    control::checkpoint(home, &mut note)?;
    let note = SignedCheckpoint::open(std::str::from_utf8(&note)?, &key)
        .context("the log's checkpoint is not genuine")?;
    reader.refresh()?;
    let custody = custody(reader, &digest)?;
    pack.add("custody.jsonl", &[&reader.record(custody)?.bytes[..], b"\n"].concat())?;
    let mut all = places;
    all.push(custody);
    let hashes = Prover::open(&home.log())?.subset(&all, note.size())?;
    pack.add("checkpoints/log.note", note.note().as_bytes())?;
    pack.add("checkpoints/log.proof", proof_text(note.size(), Some(custody), &hashes).as_bytes())?;
    pack.zip.finish()?;
    Ok(manifest)
}

fn open(
    args: &WriteArgs,
    trail: &Trail,
    index: u64,
    reference: &ContentRef,
) -> Result<fdr_log::Content, String> {
    if args.withhold.iter().any(|role| role == "all" || *role == reference.role) {
        return Err("withheld by who made the bundle".to_owned());
    }
    match trail.content(index, reference) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err("it is not in the log".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A record without the words that are sealed with its contents.
fn without_words(reader: &fdr_log::Reader, place: u64) -> anyhow::Result<Row> {
    let mut row = Row::read(reader.record(place)?);
    if let Parsed::Record(record) = &mut row.parsed
        && record.sealed.is_some()
    {
        fdr_record::sealed::say_instead(record, "(withheld)");
    }
    Ok(row)
}

/// The file of a content, by its digest in the record.
pub fn content_file(digest: &str) -> String {
    format!("contents/{}", digest.rsplit(':').next().unwrap_or_default())
}

/// Where the record of the export stands: it is one of the newest.
fn custody(reader: &fdr_log::Reader, digest: &str) -> anyhow::Result<u64> {
    for entry in reader.records_rev(reader.len()) {
        let entry = entry?;
        if memchr::memmem::find(&entry.bytes, digest.as_bytes()).is_some() {
            return Ok(entry.index);
        }
    }
    bail!("the record of the export is not in the log")
}

/// `custody` is the place of the record of the export, where that is proven too.
fn proof_text(size: u64, custody: Option<u64>, hashes: &[fdr_log::Hash]) -> String {
    let mut text = format!("fdr-subset-proof-v1\nsize {size}\n");
    text.extend(custody.map(|place| format!("custody {place}\n")));
    for hash in hashes {
        text += &format!("{}\n", hex(hash));
    }
    text
}

fn not_proven(args: &WriteArgs) -> Vec<String> {
    let mut lines = vec![
        "that nothing else was recorded: other records of the log are not in here".to_owned(),
        "that the records say what happened: they say what the recorder saw and what it was told".to_owned(),
        "anything, if the log's key is not known from elsewhere than this file".to_owned(),
    ];
    if args.subject.is_some() {
        lines[0] = "that the session had no records behind the last one here; within each session the numbers (seq) have no hole, if the check says so".to_owned();
    }
    lines
}
