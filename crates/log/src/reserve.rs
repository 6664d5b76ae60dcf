//! Segments written full of zeros ahead of the writer.
//!
//! A durable write into blocks that were written before costs 0.1-0.2 ms; one that extends a file costs the file
//! system's journal, some 4 ms. So a background thread writes zeros: first the rest of the active segment, then one
//! whole segment in reserve. Segments are never recycled: whatever is not zero after the last group is a torn write.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Access, AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};
use crate::segment::{SegmentWindow, segment_name};

/// Zeros are written in pieces of this size, so that a group's write never waits long behind one.
const STEP_BYTES: usize = 256 * 1024;
/// The active segment's zeros are made durable and handed to the writer in pieces of this size.
/// About the largest group, so that the writer seldom waits for more than one piece.
const PUBLISH_BYTES: u64 = 4 * 1024 * 1024;

/// An error that several waiters can be told of.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: io::ErrorKind,
    pub(crate) text: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { kind: error.kind(), text: error.to_string() }
    }
}

/// Shared by the committer, which takes, and the zeroing thread, which makes.
pub(crate) struct Reserve {
    /// Held only to look and to hand over, never during I/O.
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    active: Arc<dyn DiskFile>,
    active_bytes: u64,
    /// The active segment is zero and durable from its last group up to here.
    zeroed: u64,
    next_number: u64,
    /// The segment in reserve, and how far it is zeroed.
    ready: Option<(Arc<dyn DiskFile>, u64)>,
    /// The committer waits for the next segment: hand it over as soon as its first piece is ready.
    wanted: bool,
    failure: Option<Failure>,
    stop: bool,
}

impl Reserve {
    pub(crate) fn new(
        active: Arc<dyn DiskFile>,
        active_number: u64,
        active_bytes: u64,
        zeroed: u64,
    ) -> Reserve {
        let state = State {
            active,
            active_bytes,
            zeroed,
            next_number: active_number + 1,
            ready: None,
            wanted: false,
            failure: None,
            stop: false,
        };
        Reserve { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock is not possible (no code that can panic runs under it).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the active segment is zeroed up to `end`. An error means nothing was written; asking again tries
    /// again. Returns how far it is zeroed.
    pub(crate) fn wait_zeroed(&self, end: u64) -> Result<u64, Failure> {
        self.wait(|state| state.zeroed >= end).map(|state| state.zeroed)
    }

    /// Takes the segment in reserve and makes it the active one; returns its number, file and how far it is zeroed.
    ///
    /// If it is not ready, waits for its first piece only: the rest is zeroed while the first is written.
    pub(crate) fn take_next(&self, segment_bytes: u64) -> Result<(u64, Arc<dyn DiskFile>, u64), Failure> {
        self.lock().wanted = true;
        let waited = self.wait(|state| state.ready.is_some());
        let mut state = match waited {
            Ok(state) => state,
            Err(failure) => {
                self.lock().wanted = false;
                return Err(failure);
            }
        };
        state.wanted = false;
        let Some((file, zeroed)) = state.ready.take() else {
            return Err(Failure { kind: io::ErrorKind::Other, text: "no segment in reserve".to_owned() });
        };
        let number = state.next_number;
        state.active = file.clone();
        state.active_bytes = segment_bytes;
        state.zeroed = zeroed;
        state.next_number += 1;
        drop(state);
        self.changed.notify_all();
        Ok((number, file, zeroed))
    }

    fn wait(&self, enough: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.lock();
        if enough(&state) {
            return Ok(state);
        }
        // An earlier failure may have passed (space was freed): let the thread try once more.
        if !state.stop {
            state.failure = None;
        }
        self.changed.notify_all();
        loop {
            if enough(&state) {
                return Ok(state);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a whole segment is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.lock().ready.is_some()
    }

    /// Tells all who wait, now and later, that no more zeros will come.
    pub(crate) fn fail(&self, what: &str) {
        let mut state = self.lock();
        state.failure = Some(Failure { kind: io::ErrorKind::Other, text: what.to_owned() });
        state.stop = true;
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// The zeroing thread.
    pub(crate) fn run(&self, disk: &dyn Disk, segment_bytes: u64) {
        loop {
            let job = {
                let mut state = self.lock();
                loop {
                    if state.stop {
                        return;
                    }
                    let idle = state.zeroed >= state.active_bytes && state.ready.is_some();
                    if !idle && state.failure.is_none() {
                        break;
                    }
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.zeroed < state.active_bytes {
                    let to = state.active_bytes.min(state.zeroed + PUBLISH_BYTES);
                    Job::Active { file: state.active.clone(), from: state.zeroed, to }
                } else {
                    Job::Next { number: state.next_number }
                }
            };
            let done = match &job {
                Job::Active { file, from, to } => self
                    .zero(file.as_ref(), *from, *to)
                    .and_then(|whole| file.sync().map(|()| whole.then_some(None))),
                Job::Next { number } => self.prepare(disk, *number, segment_bytes).map(|file| file.map(Some)),
            };
            let mut state = self.lock();
            match (done, job) {
                (Ok(None), _) => return, // told to stop
                (Ok(Some(_)), Job::Active { to, .. }) => state.zeroed = to,
                (Ok(Some(file)), Job::Next { .. }) => state.ready = file,
                (Err(error), _) => state.failure = Some(error.into()),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Writes zeros; `false` if told to stop on the way.
    fn zero(&self, file: &dyn DiskFile, from: u64, to: u64) -> io::Result<bool> {
        let mut zeros = AlignedBuffer::with_capacity(STEP_BYTES);
        zeros.resize(STEP_BYTES);
        let mut at = from;
        while at < to {
            if self.lock().stop {
                return Ok(false);
            }
            let count = (to - at).min(STEP_BYTES as u64) as usize;
            file.write_lazily(&zeros[..count], at)?;
            at += count as u64;
        }
        Ok(true)
    }

    /// Makes segment `number` ready: a file that is zero and durable, from end to end unless it is wanted at once.
    fn prepare(
        &self,
        disk: &dyn Disk,
        number: u64,
        bytes: u64,
    ) -> io::Result<Option<(Arc<dyn DiskFile>, u64)>> {
        let name = segment_name(number);
        let file = match disk.open(&name, Access::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&name, Access::Write)?,
            opened => opened?,
        };
        // Left over from an earlier run that stopped on the way: what is there must be zero.
        let mut there = SegmentWindow::new(disk.open(&name, Access::Recover)?, 1024 * 1024)?;
        if there.not_zero(0)?.is_some() {
            let text = format!("the segment in reserve, {name}, is not zero; run verify");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut zeroed = (there.file_bytes() / BLOCK_BYTES as u64 * BLOCK_BYTES as u64).min(bytes);
        while zeroed < bytes {
            let to = bytes.min(zeroed + PUBLISH_BYTES);
            if !self.zero(file.as_ref(), zeroed, to)? {
                return Ok(None);
            }
            zeroed = to;
            if self.lock().wanted {
                break;
            }
        }
        file.sync()?;
        disk.sync_names()?;
        Ok(Some((file, zeroed)))
    }
}

enum Job {
    Active { file: Arc<dyn DiskFile>, from: u64, to: u64 },
    Next { number: u64 },
}
