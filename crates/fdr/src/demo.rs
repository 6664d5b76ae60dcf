//! `fdr demo`: a real session, recorded through the real hook path, shown, verified, attacked.
//!
//! Nothing is short-cut: the recorder runs, each event is given to an `fdr-hook` process of its
//! own as an agent would, and the attacks are carried out on copies of the log's files.

use crate::config::Config;
use crate::heartbeat;
use crate::home::Home;
use crate::{control, import, recorder, show, surroundings, verify};
use anyhow::{Context, bail, ensure};
use fdr_log::{Batch, Content, Log, Options, Reader, SignedCheckpoint};
use fdr_record::{Record, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A session of the real Claude Code 2.1.197 against a scripted model: what its hooks were
/// given, event by event.
const SESSION: &str = include_str!("../demo/claude-code-session.jsonl");
/// The transcripts that it kept of the same session.
const TRANSCRIPT: &str = include_str!("../demo/transcript.jsonl");
const SUBAGENT_TRANSCRIPT: &str = include_str!("../demo/transcript-subagent.jsonl");

/// Records a real agent session in a temporary folder, shows it, verifies it, and attacks it.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep the recorder's folder here and don't delete it.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    payload: Box<serde_json::value::RawValue>,
}

/// A folder that goes when the demo ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `fdr demo`.
///
/// # Errors
/// When any step can't be done, or an attack is not found as it should be.
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let hook = hook_program()?;
    let scratch = Scratch(std::env::temp_dir().join(format!("fdr-demo-{}", std::process::id())));
    let dir = args.keep.clone().unwrap_or_else(|| scratch.0.join("home"));
    let home = Home::find(Some(&dir))?;
    ensure!(!home.log().exists(), "there is a log in {} already; give an empty folder", dir.display());
    let events: Vec<Event> = SESSION
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the bundled session can't be read")?;

    let (ready, started) = std::sync::mpsc::channel();
    let recorder = std::thread::spawn({
        let home = home.clone();
        move || {
            recorder::serve(home, &Config::default(), &mut |_| {
                let _ = ready.send(());
            })
        }
    });
    if started.recv().is_err() {
        return match recorder.join() {
            Ok(Err(error)) => Err(error),
            _ => bail!("the recorder did not start"),
        };
    }
    writeln!(
        out,
        "recording a real Claude Code session: {} events, one fdr-hook process each",
        events.len()
    )?;
    out.flush()?;
    let began = surroundings::wall_clock();
    play(&events, &hook, &home)?;
    import_transcripts(&home, &scratch.0, (began, surroundings::wall_clock()))?;
    let kept = SignedCheckpoint::parse(&kept_checkpoint(&home)?)?;
    control::stop(&home, &mut std::io::sink())?;
    match recorder.join() {
        Ok(ended) => ended?,
        Err(_) => bail!("the recorder failed"),
    }

    let session = session_of(&home)?;
    writeln!(out, "\n$ fdr show {}\n", &session[..8.min(session.len())])?;
    show::run(&show::ShowArgs::of(&session), home.dir(), out)?;

    writeln!(out, "\n$ fdr verify\n")?;
    let key = verify::folder_key(&home, &home.log())?;
    let is_intact = verify::tell(&home.log(), &key, "the key in this folder", out)?;
    ensure!(is_intact, "the log is not intact");

    writeln!(
        out,
        "\nNow four attacks on copies of this log. Before them, this checkpoint was kept elsewhere:\n"
    )?;
    for line in kept.note().lines() {
        writeln!(out, "    {line}")?;
    }
    attack(&home, &scratch.0, &kept, out)?;
    if args.keep.is_some() {
        writeln!(out, "\nThe trail is in {}", home.dir().display())?;
    }
    writeln!(
        out,
        "\nWhat next\n  record your own agents   fdr install --all   (or for one run: fdr run -- claude …)\n  read the trail           fdr sessions, fdr show, fdr query\n  keep a checkpoint away   fdr checkpoint > elsewhere.txt;  later: fdr verify --against elsewhere.txt"
    )?;
    Ok(0)
}

/// `fdr-hook` beside this program. `cargo run` builds only what it runs, so from a source
/// checkout the hook is built here.
fn hook_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let hook = this.with_file_name("fdr-hook");
    if let (Some(cargo), Some(manifest)) = (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR"))
    {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "fdr-hook", "--bin", "fdr-hook"]).current_dir(manifest);
        if let Some(target) = this.parent().and_then(Path::parent) {
            build.arg("--target-dir").arg(target);
        }
        if this.parent().is_some_and(|profile| profile.ends_with("release")) {
            build.arg("--release");
        }
        ensure!(build.status().context("can't run cargo")?.success(), "fdr-hook could not be built");
    }
    ensure!(
        hook.exists(),
        "fdr-hook is not beside {}\n  build both: cargo build --release --workspace",
        this.display()
    );
    Ok(hook)
}

fn play(events: &[Event], hook: &Path, home: &Home) -> anyhow::Result<()> {
    let terminal = std::io::stderr().is_terminal();
    for (number, event) in events.iter().enumerate() {
        if terminal {
            eprint!("\r\x1b[Krecording  {:3} of {}  {}", number + 1, events.len(), event.event);
        }
        let mut child = Command::new(hook)
            .args(["claude-code", &event.event, "--home"])
            .arg(home.dir())
            .env_clear()
            .env("HOME", "/home/dev")
            .envs(&event.variables)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't run {}", hook.display()))?;
        child.stdin.take().context("no standard input")?.write_all(event.payload.get().as_bytes())?;
        let done = child.wait_with_output()?;
        ensure!(
            done.status.success(),
            "the hook failed on event {} ({}): {}",
            number + 1,
            event.event,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    if terminal {
        eprint!("\r\x1b[K");
    }
    Ok(())
}

/// The transcript of a session that was played in a fraction of its time has its times moved
/// into that span, so that the timeline is in order.
fn import_transcripts(home: &Home, scratch: &Path, span: (Timestamp, Timestamp)) -> anyhow::Result<()> {
    let folder = scratch.join("transcripts");
    std::fs::create_dir_all(&folder)?;
    let files = vec![folder.join("session.jsonl"), folder.join("agent.jsonl")];
    let times: Vec<Timestamp> = TRANSCRIPT.lines().filter_map(timestamp).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        bail!("no times in the transcript")
    };
    let moved = |time: Timestamp| {
        let part = time.0.saturating_sub(first.0) as f64 / (last.0 - first.0).max(1) as f64;
        Timestamp(span.0.0 + (part.min(1.0) * (span.1.0 - span.0.0) as f64) as u64)
    };
    for (file, text) in files.iter().zip([TRANSCRIPT, SUBAGENT_TRANSCRIPT]) {
        let mut lines = String::new();
        for line in text.lines() {
            let mut line = line.to_owned();
            if let Some(time) = timestamp(&line) {
                let mut entry: serde_json::Value = serde_json::from_str(&line)?;
                entry["timestamp"] = moved(time).to_string().into();
                line = entry.to_string();
            }
            lines.push_str(&line);
            lines.push('\n');
        }
        std::fs::write(file, lines)?;
    }
    let args = import::ImportArgs { runtime: "claude-code".to_owned(), files };
    import::run(&args, home, &mut std::io::sink())?;
    Ok(())
}

fn timestamp(line: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Entry {
        timestamp: String,
    }
    serde_json::from_str::<Entry>(line).ok()?.timestamp.parse().ok()
}

fn kept_checkpoint(home: &Home) -> anyhow::Result<String> {
    let mut note = Vec::new();
    control::checkpoint(home, &mut note)?;
    Ok(String::from_utf8(note)?)
}

fn session_of(home: &Home) -> anyhow::Result<String> {
    for entry in Reader::open(&home.log())?.records(0) {
        if let Some(session) = Record::parse(&entry?.bytes)?.session {
            return Ok(session);
        }
    }
    bail!("nothing was recorded")
}

/// As a record says it, and what an attacker would rather have it say.
const DELETE: &str = "\"action\":\"delete\"";
const CREATE: &str = "\"action\":\"create\"";

/// Carries the attacks out and checks that each is found where it should be.
fn attack(home: &Home, scratch: &Path, kept: &SignedCheckpoint, out: &mut dyn Write) -> anyhow::Result<()> {
    let reader = Reader::open(&home.log())?;
    let denied = find(&reader, |record| record.contains("\"tool\":\"Bash\"") && record.contains(DELETE))?;
    let key = verify::folder_key(home, &home.log())?;

    let one = scratch.join("one-byte");
    copy(&home.log(), &one)?;
    let entry = reader.record(denied)?;
    let at = String::from_utf8_lossy(&entry.bytes).find(DELETE).context("no such text")? as u64;
    overwrite(&segment(&one, entry.segment)?, entry.offset + at, CREATE.as_bytes())?;
    writeln!(out, "\n1  One action is altered on disk: in record {denied}, a deletion becomes a creation.")?;
    judge(&one, &key, &[], &format!("record {denied}"), out)?;

    let two = scratch.join("content");
    copy(&home.log(), &two)?;
    let (file, at) = content_place(&two)?;
    overwrite(&file, at, b"something else")?;
    writeln!(out, "\n2  What a record refers to is altered on disk; the record itself is untouched.")?;
    judge(&two, &key, &[], "", out)?;

    let shorter = reader.len() - 20;
    let three = scratch.join("cut");
    forge(&reader, &three, home, shorter, &|_, record| record)?;
    writeln!(out, "\n3  The last 20 records are cut off, and the rest is signed with the true key.")?;
    alone_and_against(&three, &key, kept, out)?;

    let four = scratch.join("rewritten");
    let rewrite = |index: u64, record: Vec<u8>| {
        if index != denied {
            return record;
        }
        String::from_utf8_lossy(&record).replace(DELETE, CREATE).into_bytes()
    };
    forge(&reader, &four, home, reader.len(), &rewrite)?;
    writeln!(
        out,
        "\n4  The whole log is written anew with that one action altered, and signed with the true key."
    )?;
    alone_and_against(&four, &key, kept, out)
}

fn find(reader: &Reader, wanted: impl Fn(&str) -> bool) -> anyhow::Result<u64> {
    for entry in reader.records(0) {
        let entry = entry?;
        if wanted(&String::from_utf8_lossy(&entry.bytes)) {
            return Ok(entry.index);
        }
    }
    bail!("the bundled session has no such record")
}

fn judge(
    log: &Path,
    key: &fdr_log::VerifierKey,
    against: &[SignedCheckpoint],
    named: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let report = verify::check(log, key, against, &mut |_| {})?;
    ensure!(!report.is_intact(), "the attack was not found");
    let damage = report.damages.first().map(ToString::to_string).unwrap_or_default();
    ensure!(damage.contains(named), "the damage was not located: {damage}");
    writeln!(out, "   fdr verify                     FOUND   {}", crate::text::line(&damage))?;
    Ok(())
}

fn alone_and_against(
    log: &Path,
    key: &fdr_log::VerifierKey,
    kept: &SignedCheckpoint,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let alone = verify::check(log, key, &[], &mut |_| {})?;
    ensure!(alone.is_intact(), "the forged log is not even well-formed: {:?}", alone.damages.first());
    writeln!(
        out,
        "   fdr verify                     passes  the log alone can't tell, in any such product: it was signed with the true key"
    )?;
    let report = verify::check(log, key, std::slice::from_ref(kept), &mut |_| {})?;
    ensure!(!report.is_intact(), "the attack was not found");
    let why = match report.against.first().map(|compared| &compared.agreement) {
        Some(fdr_log::Agreement::LogIsShorter { size }) => {
            format!("the log has {size} records, the checkpoint says {}", kept.size())
        }
        Some(fdr_log::Agreement::RootDiffers { .. }) => {
            format!("the {} records are not those that were signed then", kept.size())
        }
        other => bail!("found for another reason than it should be: {other:?}"),
    };
    writeln!(out, "   fdr verify --against KEPT      FOUND   {why}")?;
    Ok(())
}

/// What someone with the key can do: write a log of their own making.
fn forge(
    reader: &Reader,
    dir: &Path,
    home: &Home,
    size: u64,
    alter: &dyn Fn(u64, Vec<u8>) -> Vec<u8>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (log, _) = Log::open(dir, Options::new(reader.origin(), home.signing_key()?))?;
    for entry in reader.records(0).take(usize::try_from(size)?) {
        let entry = entry?;
        // A heartbeat bears the root of what came before it: a forger leaves them out.
        if heartbeat::is_one(&entry.bytes) {
            continue;
        }
        let record = Record::parse(&entry.bytes)?;
        let mut contents = Vec::new();
        for reference in &record.content {
            let digest = reference.stored_digest().context("a digest of an unknown form")?;
            let content: Content = reader.content(entry.index, &digest)?.context("a content is missing")?;
            contents.push(content);
        }
        let records = vec![alter(entry.index, entry.bytes)];
        log.append(Batch { source: [1; 16], seq: entry.index, records, contents })?;
    }
    log.close()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn segment(log: &Path, number: u64) -> anyhow::Result<PathBuf> {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(log)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    segments.into_iter().nth(usize::try_from(number)?).context("there is no such segment")
}

fn overwrite(file: &Path, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(std::fs::File::options().write(true).open(file)?.write_all_at(bytes, offset)?)
}

/// Where a content stands, which is stored sealed: behind what it begins with.
fn content_place(log: &Path) -> anyhow::Result<(PathBuf, u64)> {
    let file = segment(log, 0)?;
    let at = memchr::memmem::find(&std::fs::read(&file)?, b"FDRSEAL1").context("no such content")?;
    Ok((file, at as u64 + 64))
}
