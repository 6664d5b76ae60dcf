//! The thread that seals full segments while the log is written.
//!
//! It must cost no ack anything: it runs at the lowest priority, and while batches wait it sleeps nine times as long as it works.
//! A log that is written without pause for hours is sealed when there is a pause; its segments wait.
//! Whatever goes wrong (the disk is full, say) leaves the segment as it is, is told in [`Stats`](crate::Stats), and is
//! tried again later; the log goes on.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::{Access, BLOCK_BYTES, Disk};
use crate::recovery::OpenError;
use crate::sealed::{NotSealed, Sealer, sealed_name, unfinished_name};
use crate::segment::{SegmentHeader, open_segment, segment_number, segment_numbers};

/// While batches wait, it sleeps this many times as long as it worked, and never longer than this at a time.
const SLEEPS: u32 = 9;
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// When to try again what failed.
const RETRY: Duration = Duration::from_secs(60);

/// Shared by the committer, which says what is full, and the sealing thread.
pub(crate) struct Sealing {
    /// Held only to look and to tell, never during I/O.
    state: Mutex<State>,
    changed: Condvar,
}

/// What sealing came to so far.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The segment being written: those before it are full.
    active: u64,
    /// Segments before this one were pruned.
    first: u64,
    stop: bool,
    /// There is no thread.
    off: bool,
    /// Nothing is left to do, or it failed.
    idle: bool,
    pub(crate) segments: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) failure: Option<String>,
    dictionary: Option<Arc<[u8]>>,
}

impl Sealing {
    pub(crate) fn new(active: u64, on: bool) -> Sealing {
        let state = State { active, off: !on, idle: !on, ..State::default() };
        Sealing { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// A dictionary that came into use since this was asked last.
    pub(crate) fn take_dictionary(&self) -> Option<Arc<[u8]>> {
        self.lock().dictionary.take()
    }

    /// The writer has gone on to segment `active`.
    pub(crate) fn advance(&self, active: u64) {
        let mut state = self.lock();
        state.active = active;
        state.idle = state.off;
        drop(state);
        self.changed.notify_all();
    }

    /// The segments before `first` are being removed: none of them may come back by its other name.
    pub(crate) fn pruned(&self, first: u64) {
        self.lock().first = first;
    }

    /// Waits until everything that is full was sealed, or could not be; tells why.
    pub(crate) fn wait(&self) -> Result<(), String> {
        let mut state = self.lock();
        while !(state.idle || state.stop) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failure.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Tells all who wait that nothing more will be sealed.
    pub(crate) fn fail(&self, what: &str) {
        let mut state = self.lock();
        state.failure = Some(what.to_owned());
        state.stop = true;
        drop(state);
        self.changed.notify_all();
    }

    /// The sealing thread; `busy` says whether batches wait to be stored.
    pub(crate) fn run(&self, disk: &dyn Disk, busy: &dyn Fn() -> bool) {
        // On Linux this is of the calling thread alone.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, 19);
        let mut sealer = Sealer::default();
        remove_unfinished(disk);
        loop {
            let active = self.lock().active;
            let failure = match self.seal_before(disk, &mut sealer, active, busy) {
                Ok(()) => None,
                Err(NotSealed::Stopped) => return,
                Err(NotSealed::Failed(error)) => Some(error.to_string()),
            };
            let mut state = self.lock();
            let began = Instant::now();
            let failed = failure.is_some();
            state.failure = failure;
            while state.active == active && !state.stop && !(failed && began.elapsed() >= RETRY) {
                if !state.idle {
                    state.idle = true;
                    self.changed.notify_all();
                }
                state = if failed {
                    self.changed.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner).0
                } else {
                    self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                };
            }
            if state.stop {
                return;
            }
        }
    }

    /// Seals what is full and not sealed; goes on with the next where one cannot be.
    fn seal_before(
        &self,
        disk: &dyn Disk,
        sealer: &mut Sealer,
        active: u64,
        busy: &dyn Fn() -> bool,
    ) -> Result<(), NotSealed> {
        let mut failure = None;
        let numbers: Vec<u64> = unsealed(disk)?.into_iter().filter(|number| *number < active).collect();
        for (at, &number) in numbers.iter().enumerate() {
            sealer.waiting(numbers.len() - at);
            let mut last = Instant::now();
            let sealed = sealer.seal(disk, number, &mut || {
                let worked = last.elapsed();
                let mut state = self.lock();
                if !state.stop && busy() {
                    let sleep = (worked * SLEEPS).min(LONGEST_SLEEP);
                    state = self.changed.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0;
                }
                last = Instant::now();
                !state.stop
            });
            if number < self.lock().first {
                let _ = disk.remove(&sealed_name(number));
                let _ = disk.sync_names();
                continue;
            }
            match sealed {
                Ok(sealed) => {
                    let mut state = self.lock();
                    state.segments += 1;
                    state.raw_bytes += sealed.raw_bytes;
                    state.file_bytes += sealed.file_bytes;
                    if let Some(dictionary) = sealer.new_dictionary.take() {
                        state.dictionary = Some(dictionary);
                    }
                }
                // A pruning came in between.
                Err(NotSealed::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(NotSealed::Failed(error)) => failure = failure.or(Some(error)),
                Err(NotSealed::Stopped) => return Err(NotSealed::Stopped),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The segments that are there as they were written, ascending.
fn unsealed(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = disk.names()?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a crash left half written.
fn remove_unfinished(disk: &dyn Disk) {
    let Ok(names) = disk.names() else { return };
    for number in names.iter().filter_map(|name| segment_number(name.strip_suffix("z.new")?)) {
        let _ = disk.remove(&unfinished_name(number));
    }
}

/// Seals every full segment of a log that no writer has open; returns how many there were to seal.
///
/// A recorder's log does this by itself ([`Options::seal`](crate::Options::seal)); this is for one that was written
/// without, and for tests. The caller sees to it that there is no writer.
///
/// # Errors
/// The first thing that went wrong; what could be sealed was.
pub fn seal_on(disk: &dyn Disk) -> Result<u64, OpenError> {
    let io = || OpenError::io("sealing segments");
    remove_unfinished(disk);
    let good = |number: &u64| {
        let mut block = vec![0; BLOCK_BYTES];
        open_segment(disk, *number, Access::Read)
            .and_then(|file| file.read_at(&mut block, 0))
            .is_ok_and(|count| SegmentHeader::decode(&block[..count], *number).is_ok())
    };
    let newest = segment_numbers(disk).map_err(io())?.into_iter().rev().find(good).unwrap_or(0);
    let mut sealer = Sealer::default();
    let mut sealed = 0;
    for number in unsealed(disk).map_err(io())?.into_iter().filter(|number| *number < newest) {
        match sealer.seal(disk, number, &mut || true) {
            Ok(_) => sealed += 1,
            Err(NotSealed::Failed(error)) => return Err(io()(error)),
            Err(NotSealed::Stopped) => {}
        }
    }
    Ok(sealed)
}
