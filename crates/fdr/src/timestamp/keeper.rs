//! The recorder's side: has its newest checkpoint stamped, every some minutes and when asked.

use super::token::{self, Roots};
use super::{Kept, Settings, Stamped, authority, folder, stem};
use crate::durable;
use crate::recorder::Recorder;
use anyhow::Context;
use fdr_record::{Anchor, Body, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait after the first failure; twice that after the next, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// What the recorder's time-stamps are made with, and how that goes.
#[derive(Debug)]
pub struct Keeper {
    settings: Settings,
    /// Held while one is made: the next would ask for the same checkpoint.
    making: Mutex<()>,
    state: Mutex<State>,
}

/// How time-stamping goes, as `fdr status` tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The newest one.
    pub newest: Option<Stamped>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

impl Keeper {
    /// Nothing is stamped before [`run`](Self::run) or [`stamp`](Self::stamp) is called.
    pub fn new(settings: Settings) -> Keeper {
        Keeper { settings, making: Mutex::default(), state: Mutex::default() }
    }

    /// How it goes.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.every_minutes) * 60)
    }

    /// What was stamped before this recorder started.
    fn recall(&self, recorder: &Recorder) -> anyhow::Result<()> {
        let roots = self.settings.roots(recorder.home())?;
        let kept = Kept::read(&folder(recorder.home()))?;
        let newest = kept.iter().rev().find_map(|kept| Some((kept, kept.check(&roots).ok()?)));
        self.lock().newest = newest.map(|(kept, stamp)| Stamped {
            size: kept.checkpoint.size(),
            time: stamp.time,
            by: self.settings.url.clone(),
        });
        Ok(())
    }

    /// Stamps as long as the recorder runs.
    pub fn run(&self, recorder: &Recorder) {
        let recalled = self.recall(recorder);
        let age = self.lock().newest.as_ref().map(|newest| age(newest.time, recorder.now()));
        let mut next = Instant::now() + self.interval().saturating_sub(age.unwrap_or(self.interval()));
        let mut retry = FIRST_RETRY;
        if let Err(error) = recalled {
            self.lock().problem = Some(format!("{error:#}"));
        }
        while !recorder.is_stopping() {
            let now = Instant::now();
            if now < next {
                thread::park_timeout(next - now);
                continue;
            }
            let is_news = self.lock().newest.as_ref().is_none_or(|newest| {
                // The last time-stamp's own record is nothing that needs another.
                recorder.size() > newest.size + 1
            });
            let made = if is_news { self.stamp(recorder).map(|_| ()) } else { Ok(()) };
            let wait = match made {
                Ok(()) => {
                    retry = FIRST_RETRY;
                    self.interval()
                }
                Err(error) => {
                    crate::text::say!("warning: the log can't be time-stamped: {error:#}");
                    let wait = retry.min(self.interval());
                    retry *= 2;
                    wait
                }
            };
            next = Instant::now() + wait;
        }
    }

    /// Has the newest checkpoint stamped; gives the one that there is if nothing was recorded since.
    ///
    /// # Errors
    /// When the authority gives no good token, or it can't be kept.
    pub fn stamp(&self, recorder: &Recorder) -> anyhow::Result<Stamped> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.lock().newest.clone();
        let made = self.make(recorder, newest.as_ref());
        let mut state = self.lock();
        match &made {
            Ok(stamped) => *state = State { newest: Some(stamped.clone()), problem: None },
            Err(error) => state.problem = Some(format!("{error:#}")),
        }
        made
    }

    fn make(&self, recorder: &Recorder, newest: Option<&Stamped>) -> anyhow::Result<Stamped> {
        let roots: Roots = self.settings.roots(recorder.home())?;
        let checkpoint = recorder.checkpoint_now()?;
        if let Some(newest) = newest.filter(|newest| newest.size + 1 >= checkpoint.size()) {
            return Ok(newest.clone());
        }
        let note = checkpoint.note().as_bytes();
        let digest = Sha256::digest(note).into();
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let reply = authority::ask(&self.settings.url, &token::request(&digest, &nonce))?;
        let stamp = token::check(&reply, &digest, Some(&nonce), &roots)
            .with_context(|| format!("the time-stamp of {} is not good", self.settings.url))?;

        let size = checkpoint.size();
        let stem = stem(recorder.home(), size);
        let folder = folder(recorder.home());
        fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        // The note first: a token is useless without it.
        durable::write(&stem.with_extension("note"), note)?;
        durable::write(&stem.with_extension("tsr"), &reply)?;
        let by = self.settings.url.clone();
        let body = Anchor { what: "timestamp".to_owned(), by: by.clone(), size, time: Some(stamp.time) };
        let contents =
            vec![("note", "text/plain", note.to_vec()), ("token", "application/timestamp-reply", reply)];
        recorder.record_own_with(Body::Anchor(body), contents)?;
        Ok(Stamped { size, time: stamp.time, by })
    }
}

fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(now.millis().saturating_sub(then.millis()))
}
