//! Heartbeats: every some seconds the recorder says that it is there, busy or not, and what it has taken in.
//!
//! A heartbeat names the newest signed checkpoint and is sealed (seal.rs). With it come the gaps that nobody else tells
//! of: that the recorder stood still, that the machine slept, that the clock was set, that a sender's messages are
//! missing.

use crate::home::Home;
use crate::recorder::Recorder;
use crate::seal::{self, UNSEALED};
use crate::sequences::Missing;
use crate::surroundings;
use crate::witness::client::Witnesses;
use fdr_hook::spool;
use fdr_record::{Body, Gap, Heartbeat, Kind, Record, Timestamp, hex, kind_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often at least, in seconds.
pub const MOST_SECONDS: u32 = 10;
/// By how much a heartbeat may be late before that is a gap of its own, in nanoseconds: the interval, and this.
const PATIENCE_NANOS: u64 = 2_000_000_000;
/// The machine has slept if its clocks with and without sleep drift apart by more, in nanoseconds.
const SLEPT_NANOS: u64 = 1_000_000_000;

/// The section `[heartbeat]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often, in seconds, 1 to 10. Default: 10.
    pub every_seconds: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { every_seconds: MOST_SECONDS }
    }
}

impl Settings {
    /// Whether the values can be used.
    ///
    /// # Errors
    /// When not.
    pub fn check(self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (1..=MOST_SECONDS).contains(&self.every_seconds),
            "heartbeat: every_seconds must be from 1 to {MOST_SECONDS}"
        );
        Ok(())
    }
}

/// The recorder's heart.
#[derive(Debug)]
pub struct Heart {
    settings: Settings,
    /// Held while it beats: one at a time.
    beat: Mutex<Beat>,
    counted: Mutex<Counted>,
    /// The last one, for `fdr status`.
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Beat {
    seal: seal::Keeper,
    /// When the last one was.
    clocks: Clocks,
    /// Size of the log behind it.
    size: u64,
}

/// The last heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Its number.
    pub epoch: u64,
    /// When it was.
    pub ts: Timestamp,
    /// Why the key of the next one's seal is not on disk.
    #[serde(default)]
    pub problem: Option<String>,
}

/// What was taken in since the last heartbeat.
#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    repeated: u64,
    unparsed: u64,
    sources: BTreeMap<String, u64>,
}

/// Two clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// Runs while the machine sleeps.
    boot: u64,
    /// Does not.
    awake: u64,
}

impl Clocks {
    fn now() -> Clocks {
        Clocks { boot: surroundings::boot_clock(), awake: surroundings::awake_clock() }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was recorded.
    Recorded,
    /// It had been recorded before.
    Repeated,
    /// It was recorded as it came: it could not be read.
    Unparsed,
}

impl Heart {
    /// Begins to beat where the log's last heartbeat left off; `found` of its key is told as a gap.
    ///
    /// # Errors
    /// When the key of the seal can't be used.
    pub fn new(
        home: &Home,
        settings: Settings,
        log: &fdr_log::Log,
        last: Option<u64>,
    ) -> anyhow::Result<(Heart, Option<Body>)> {
        let (seal, found) = seal::Keeper::open(home, log.verifier().name(), last)?;
        let beat = Beat { seal, clocks: Clocks::now(), size: log.size() };
        let heart =
            Heart { settings, beat: Mutex::new(beat), counted: Mutex::default(), last: Mutex::default() };
        Ok((heart, told(&found)))
    }

    /// Counts a message.
    pub fn took(&self, runtime: &str, taken: Taken) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.messages += 1;
        counted.repeated += u64::from(taken == Taken::Repeated);
        counted.unparsed += u64::from(taken == Taken::Unparsed);
        match counted.sources.get_mut(runtime) {
            Some(count) => *count += 1,
            None => drop(counted.sources.insert(runtime.to_owned(), 1)),
        }
    }

    /// The last one of this recorder.
    pub fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that checks the next one's seal, as text.
    pub fn export(&self) -> (u64, String) {
        let beat = self.beat();
        (beat.seal.key().epoch(), beat.seal.export())
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.settings.every_seconds.into())
    }
}

/// What the log should say for ever of the seal's key.
fn told(found: &seal::Found) -> Option<Body> {
    let (what, detail) = match *found {
        seal::Found::Next | seal::Found::New => return None,
        seal::Found::Ahead { last, key } => (
            "heartbeats_missing",
            format!(
                "the log's last heartbeat is {}, and the seal's key is that of heartbeat {key}: what was recorded between is not there any more",
                last.map_or("none".to_owned(), |last| last.to_string())
            ),
        ),
        seal::Found::Behind { last, key } => (
            "seal_key_old",
            format!(
                "the seal's key was that of heartbeat {key}, and the log's last is {last}: an old copy of the key was put back"
            ),
        ),
        seal::Found::Damaged(last) => (
            "seal_key_damaged",
            format!(
                "the file of the seal's key held something else; heartbeats after {} are sealed with another one",
                last.map_or("none".to_owned(), |last| last.to_string())
            ),
        ),
        seal::Found::Lost(last) => (
            "seal_key_lost",
            format!(
                "the seal's key is not there any more; heartbeats after {last} are sealed with another one"
            ),
        ),
    };
    Some(gap(what, detail, None))
}

fn gap(what: &str, detail: String, nanos: Option<u64>) -> Body {
    Body::Gap(Gap { what: what.to_owned(), detail, millis: nanos.map(|nanos| nanos / 1_000_000) })
}

/// Whether the recorder stood still between two heartbeats, or the machine slept.
fn standstills(before: Clocks, now: Clocks, interval: Duration) -> Vec<Body> {
    let awake = now.awake.saturating_sub(before.awake);
    let asleep = now.boot.saturating_sub(before.boot).saturating_sub(awake);
    let mut gaps = Vec::new();
    if asleep > SLEPT_NANOS {
        gaps.push(gap("suspended", "the machine slept".to_owned(), Some(asleep)));
    }
    let due = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    if awake > due.saturating_mul(2).saturating_add(PATIENCE_NANOS) {
        let detail = "no heartbeat came when it was due: the recorder was stopped or starved".to_owned();
        gaps.push(gap("recorder_paused", detail, Some(awake - due)));
    }
    gaps
}

/// What is said of messages that never came.
pub fn missing(missing: &Missing) -> Body {
    let Missing { source, runtime, first, count } = missing;
    let detail = format!(
        "{count} messages of {runtime} (sender {}) never came, from its number {first} on; later ones did",
        hex(source)
    );
    gap("messages_missing", detail, None)
}

impl Recorder {
    /// Records a heartbeat, and what gaps there were, and waits until that is durable.
    ///
    /// # Errors
    /// When it can't be recorded.
    pub(crate) fn beat(&self) -> anyhow::Result<()> {
        let mut beat = self.heart.beat();
        let checkpoint = self.checkpoint_now()?;
        let clocks = Clocks::now();
        let counted = std::mem::take(&mut *self.heart.counted.lock().unwrap_or_else(PoisonError::into_inner));
        let body = Heartbeat {
            epoch: beat.seal.key().epoch(),
            size: checkpoint.size(),
            root: hex(checkpoint.root()),
            seal: Some(UNSEALED.to_owned()),
            after_millis: self.heart.last().map(|_| clocks.boot.saturating_sub(beat.clocks.boot) / 1_000_000),
            messages: counted.messages,
            repeated: counted.repeated,
            unparsed: counted.unparsed,
            sources: counted.sources,
            spooled: spool::waiting(self.home.front()).map_or(0, |waiting| waiting.len() as u64),
            free_bytes: self.free_bytes(),
            witnessed: self.witnesses.as_ref().map(Witnesses::witnessed),
        };
        let gaps = standstills(beat.clocks, clocks, self.heart.interval());
        let (pending, ts) = self.submit_heartbeat(gaps, body, beat.seal.key())?;
        let ack = pending.wait()?;
        beat.clocks = clocks;
        beat.size = ack.tree_size;
        let epoch = beat.seal.key().epoch();
        beat.seal.advance();
        let problem = beat.seal.problem().map(str::to_owned);
        *self.heart.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { epoch, ts, problem });
        Ok(())
    }

    /// Beats as long as the recorder runs.
    pub(crate) fn keep_beating(&self) {
        let mut next = Instant::now() + self.heart.interval();
        while !self.is_stopping() {
            let now = Instant::now();
            if now < next {
                thread::park_timeout(next - now);
                continue;
            }
            next = now + self.heart.interval();
            if let Err(error) = self.beat() {
                crate::text::say!("warning: no heartbeat: {error:#}");
            }
        }
    }

    /// The last heartbeat before an orderly end, so that nothing recorded is left without one.
    pub(crate) fn last_beat(&self) -> anyhow::Result<()> {
        let before = self.heart.beat().size;
        if self.size() > before { self.beat() } else { Ok(()) }
    }
}

/// The heartbeat that a line of the log is, with its record; cheap for all other lines.
pub fn read(line: &[u8]) -> Option<(Record, Heartbeat)> {
    if !is_one(line) {
        return None;
    }
    let record = Record::parse(line).ok()?;
    match &record.body {
        Body::Heartbeat(body) if record.session.is_none() => {
            let body = body.clone();
            Some((record, body))
        }
        _ => None,
    }
}

/// Whether a line of the log is a heartbeat.
pub fn is_one(line: &[u8]) -> bool {
    kind_of(line) == Some(Kind::Heartbeat.as_str())
}

/// The epoch of the newest heartbeat in a log.
///
/// # Errors
/// When the log can't be read.
pub fn newest_epoch(reader: &fdr_log::Reader) -> anyhow::Result<Option<u64>> {
    for entry in reader.records_rev(reader.len()) {
        if let Some((_, body)) = read(&entry?.bytes) {
            return Ok(Some(body.epoch));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_and_a_sleep_are_told_apart() {
        const SECOND: u64 = 1_000_000_000;
        let gaps = |awake: u64, asleep: u64| -> Vec<(String, Option<u64>)> {
            let before = Clocks { boot: 5 * SECOND, awake: 3 * SECOND };
            let now = Clocks { boot: before.boot + awake + asleep, awake: before.awake + awake };
            let told = |body| match body {
                Body::Gap(gap) => (gap.what, gap.millis),
                other => panic!("{other:?}"),
            };
            standstills(before, now, Duration::from_secs(10)).into_iter().map(told).collect()
        };
        assert_eq!(gaps(10 * SECOND, 0), []);
        assert_eq!(gaps(22 * SECOND, SECOND), []);
        assert_eq!(gaps(23 * SECOND, 0), [("recorder_paused".to_owned(), Some(13_000))]);
        assert_eq!(gaps(11 * SECOND, 60 * SECOND), [("suspended".to_owned(), Some(60_000))]);
        assert_eq!(gaps(40 * SECOND, 60 * SECOND).len(), 2);
    }
}
