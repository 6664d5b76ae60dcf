//! The recorder's side: hands its checkpoints to the witnesses, a thread each, and keeps what they sign.

use super::courier::{Courier, Meaning};
use super::{Settings, Trusted, folder, kept};
use crate::durable;
use crate::home::Home;
use crate::recorder::Recorder;
use anyhow::{Context, bail};
use fdr_log::growth::Growth;
use fdr_log::witness::{AddCheckpoint, MAX_REQUEST_BYTES};
use fdr_log::{EMPTY_ROOT, Hash, Levels, Log, Prover, SignedCheckpoint, SigningKey, VerifierKey};
use fdr_record::{Anchor, Body, Gap, Timestamp, hex};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a witness may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same when the recorder starts: an agent may be waiting for it.
const START_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the log is looked at for a new checkpoint, at least.
const LOOK: Duration = Duration::from_millis(250);
/// A cosignature is recorded in the log no more often than this.
const RECORDED_EVERY: Duration = Duration::from_secs(300);
/// The longest time between two tries with a witness that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Leaves that are kept for proofs; older ones are read from the disk.
const MAX_LEAVES: usize = 1 << 20;

/// All witnesses of a recorder.
#[derive(Debug)]
pub struct Witnesses {
    settings: Settings,
    /// The log's public key.
    key: VerifierKey,
    /// The newest part of the tree, of which proofs are made without reading the log.
    growth: Mutex<Growth>,
    states: Mutex<Vec<State>>,
}

/// How it goes with a witness, as `fdr status` tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Records that it has signed for.
    pub size: u64,
    /// When it signed, in seconds since 1970; 0 for never.
    pub time: u64,
    /// Why it does not sign.
    pub problem: Option<String>,
    /// Whether the problem speaks against the log.
    pub is_alarm: bool,
}

fn post(trusted: &Trusted, request: &AddCheckpoint, timeout: Duration) -> anyhow::Result<(u16, Vec<u8>)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("fdr/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let url = format!("{}/add-checkpoint", trusted.url.trim_end_matches('/'));
    let response = agent.post(&url).header("Content-Type", "text/plain").send(request.encode());
    let mut response = response.with_context(|| format!("{url} can't be asked"))?;
    let body = response.body_mut().with_config().limit(MAX_REQUEST_BYTES as u64).read_to_vec();
    Ok((response.status().as_u16(), body.with_context(|| format!("the answer of {url} can't be read"))?))
}

/// Asks the witnesses, before anything is recorded, how much of this log they have signed.
///
/// # Errors
/// When one has signed for more than the log has, or kept cosignatures say so. A witness that can't be reached stops
/// nothing.
pub fn check_start(home: &Home, settings: &Settings, key: &SigningKey, log: &Log) -> anyhow::Result<()> {
    let (origin, size) = (log.verifier().name(), log.size());
    let refuse = |who: &str, signed: u64, how: &str| {
        format!(
            "{who} has signed {signed} records of this log, and it has {size}: its end was cut off, or an old copy was \
             put back ({how})\n  nothing is recorded into it: keep the folder {} as it is, and look for the true log\n  \
             to begin a new one:  move that folder away",
            home.log().display()
        )
    };
    for (trusted, (checkpoint, _)) in kept(home, settings, log.verifier()) {
        if checkpoint.size() > size {
            bail!(refuse(trusted.key.name(), checkpoint.size(), "its cosignature is kept here"));
        }
        if checkpoint.size() > 0
            && Prover::open(&home.log())?.root(checkpoint.size()).ok() != Some(*checkpoint.root())
        {
            bail!(
                "{} has signed {} records of this log, and they are not the ones in it: the log was rewritten\n  \
                 nothing is recorded into it: keep the folder {} as it is, and look for the true log\n  \
                 to begin a new one:  move that folder away",
                trusted.key.name(),
                checkpoint.size(),
                home.log().display()
            );
        }
    }
    // Asked with a checkpoint of nothing, a witness answers what it holds, and signs nothing that matters.
    let nothing = SignedCheckpoint::sign(key, origin, 0, &EMPTY_ROOT)?;
    let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: nothing };
    let ahead = thread::scope(|scope| {
        let asked = settings.witnesses.iter().map(|trusted| {
            let request = &request;
            scope.spawn(move || {
                let (status, body) = post(trusted, request, START_TIMEOUT).ok()?;
                match Courier::new(trusted.key.clone(), None).take(request, status, &body) {
                    Meaning::Ahead(signed) if signed > size => Some((trusted.key.name().to_owned(), signed)),
                    _ => None,
                }
            })
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().find_map(|thread| thread.join().ok().flatten())
    });
    match ahead {
        Some((name, signed)) => bail!(refuse(&name, signed, "it says so itself")),
        None => Ok(()),
    }
}

impl Witnesses {
    /// Goes on from a log as it is.
    ///
    /// # Errors
    /// When the log's tree can't be read.
    pub fn new(home: &Home, settings: &Settings, log: &Log) -> anyhow::Result<Witnesses> {
        let range = match log.size() {
            0 => fdr_log::CompactRange::new(),
            size => Prover::open(&home.log())?.range(size)?,
        };
        let kept = kept(home, settings, log.verifier());
        let state = |trusted: &Trusted| {
            let newest = kept.iter().find(|(other, _)| other.key == trusted.key).map(|(_, newest)| newest);
            State {
                name: trusted.key.name().to_owned(),
                size: newest.map_or(0, |(checkpoint, _)| checkpoint.size()),
                time: newest.map_or(0, |(_, time)| *time),
                problem: None,
                is_alarm: false,
            }
        };
        let states = settings.witnesses.iter().map(state).collect();
        Ok(Witnesses {
            settings: settings.clone(),
            key: log.verifier().clone(),
            growth: Mutex::new(Growth::new(range)),
            states: Mutex::new(states),
        })
    }

    /// Takes in what is queued for the log, in its order.
    pub fn grow(&self, leaves: &[Hash]) {
        let mut growth = self.growth();
        leaves.iter().for_each(|leaf| growth.push(*leaf));
        if growth.kept() > MAX_LEAVES {
            let size = growth.size();
            growth.forget_before(size);
        }
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn states_mut(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it goes.
    pub fn states(&self) -> Vec<State> {
        self.states_mut().clone()
    }

    /// For how many records enough witnesses have signed.
    pub fn witnessed(&self) -> u64 {
        let mut sizes: Vec<u64> = self.states_mut().iter().map(|state| state.size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.get(self.settings.quorum() - 1).copied().unwrap_or(0)
    }

    /// How many witnesses there are: a thread for each.
    pub fn count(&self) -> usize {
        self.settings.witnesses.len()
    }

    /// Proves that a checkpoint continues an old size.
    fn prove(&self, log: &Path, checkpoint: &SignedCheckpoint, old: u64) -> anyhow::Result<Vec<Hash>> {
        // A copy: records must not wait while a proof is made.
        let growth = self.growth().clone();
        let new = checkpoint.size();
        if growth.root_at(new) == Some(*checkpoint.root())
            && let Some(proof) = growth.consistency(old, new)
        {
            return Ok(proof);
        }
        Ok(Prover::open(log)?.consistency(old, new)?)
    }

    /// Lets go of the leaves that no witness needs a proof of any more.
    fn forget(&self) {
        let lowest = self.states_mut().iter().map(|state| state.size).min().unwrap_or(0);
        self.growth().forget_before(lowest);
    }

    /// Serves one witness as long as the recorder runs.
    pub fn run(&self, recorder: &Recorder, number: usize) {
        let trusted = &self.settings.witnesses[number];
        let Ok(levels) = recorder.levels() else { return };
        let newest = kept(recorder.home(), &self.settings, &self.key);
        let newest = newest.into_iter().find(|(other, _)| other.key == trusted.key).map(|(_, newest)| newest);
        let mut courier = Courier::new(trusted.key.clone(), newest);
        let mut pause = Duration::ZERO;
        let mut recorded: Option<(Instant, u64)> = None;
        while !recorder.is_stopping() {
            if !pause.is_zero() {
                thread::park_timeout(pause);
            } else {
                wait_for_more(&levels, courier.size());
            }
            let Some(checkpoint) = recorder.checkpoint() else { continue };
            if checkpoint.size() <= courier.size() || recorder.is_stopping() {
                continue;
            }
            let told = self.ask(recorder, trusted, &mut courier, &checkpoint);
            let failed = matches!(told, Meaning::Ahead(_) | Meaning::Fork(_) | Meaning::Failed(_));
            pause = if failed {
                (pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE)
            } else {
                Duration::ZERO
            };
            self.tell(recorder, number, &courier, &told);
            if told == Meaning::Cosigned {
                self.forget();
                recorder.note_anchored(self.witnessed());
                // What the last one's own record added needs no other.
                let is_due = recorded
                    .is_none_or(|(when, size)| when.elapsed() >= RECORDED_EVERY && courier.size() > size + 1);
                if is_due {
                    match record(recorder, &courier) {
                        Ok(()) => recorded = Some((Instant::now(), courier.size())),
                        Err(error) => {
                            crate::text::say!("warning: a cosignature can't be recorded: {error:#}")
                        }
                    }
                }
            }
        }
    }

    fn ask(
        &self,
        recorder: &Recorder,
        trusted: &Trusted,
        courier: &mut Courier,
        checkpoint: &SignedCheckpoint,
    ) -> Meaning {
        let log = recorder.home().log();
        // Twice, because the first answer may be which size to prove from.
        for _ in 0..2 {
            let request = courier.request(checkpoint, &|old, _| self.prove(&log, checkpoint, old));
            let request = match request {
                Ok(Some(request)) => request,
                Ok(None) => return Meaning::Failed("it has signed a newer checkpoint".to_owned()),
                Err(error) => return Meaning::Failed(format!("{error:#}")),
            };
            let meaning = match post(trusted, &request, TIMEOUT) {
                Ok((status, body)) => courier.take(&request, status, &body),
                Err(error) => Meaning::Failed(format!("{error:#}")),
            };
            if meaning == Meaning::Cosigned
                && let Some((note, _)) = courier.cosigned()
                && let Err(error) = keep(recorder.home(), trusted, note)
            {
                return Meaning::Failed(format!("its cosignature can't be kept: {error:#}"));
            }
            if meaning != Meaning::AskAgain {
                return meaning;
            }
        }
        Meaning::Failed("it holds another size each time".to_owned())
    }

    /// Says how it went.
    fn tell(&self, recorder: &Recorder, number: usize, courier: &Courier, meaning: &Meaning) {
        let (problem, is_alarm) = match meaning {
            Meaning::Cosigned | Meaning::AskAgain => (None, false),
            Meaning::Ahead(size) => (
                Some(format!(
                    "it has signed {size} records of this log, which has fewer: the log lost its end"
                )),
                true,
            ),
            Meaning::Fork(what) => {
                (Some(format!("{what}: the log was rewritten, or two go on under one key")), true)
            }
            Meaning::Failed(why) => (Some(why.clone()), false),
        };
        let mut states = self.states_mut();
        let state = &mut states[number];
        let is_new = is_alarm && !state.is_alarm;
        if problem.is_some() && problem != state.problem {
            crate::text::say!("warning: witness {}: {}", state.name, problem.as_deref().unwrap_or_default());
        }
        if let (Meaning::Cosigned, Some((checkpoint, time))) = (meaning, courier.cosigned()) {
            (state.size, state.time) = (checkpoint.size(), *time);
        }
        let detail = format!("witness {}: {}", state.name, problem.as_deref().unwrap_or_default());
        (state.problem, state.is_alarm) = (problem, is_alarm);
        drop(states);
        if is_new {
            let gap = Gap { what: "witness_refused".to_owned(), detail, millis: None };
            if let Err(error) = recorder.record_own(vec![Body::Gap(gap)]) {
                crate::text::say!("warning: that a witness refuses can't be recorded: {error:#}");
            }
        }
    }
}

/// Until a checkpoint covers more than `size` records, or it is time to look whether the recorder stops.
fn wait_for_more(levels: &Levels, size: u64) {
    let deadline = Instant::now() + LOOK;
    levels.wait(size, fdr_log::Level::Checkpointed, deadline);
}

fn keep(home: &Home, trusted: &Trusted, note: &SignedCheckpoint) -> anyhow::Result<()> {
    let folder = folder(home);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.note", hex(&trusted.key.id())));
    durable::write(&path, note.note().as_bytes())
}

fn record(recorder: &Recorder, courier: &Courier) -> anyhow::Result<()> {
    let Some((note, time)) = courier.cosigned() else { return Ok(()) };
    let time = time.checked_mul(1_000_000_000).map(Timestamp);
    let body = Anchor { what: "witness".to_owned(), by: courier.name().to_owned(), size: note.size(), time };
    recorder
        .record_own_with(Body::Anchor(body), vec![("note", "text/plain", note.note().as_bytes().to_vec())])
}
