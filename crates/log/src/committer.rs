//! The writer: one committer thread that turns submitted batches into durable groups.
//!
//! Callers hash their records, put the batch into a bag under one lock, and wait on the bag's cell. The committer takes
//! a bag at a time, makes one group of it, writes it with one durable write, and wakes all waiters of the bag with one
//! system call. While it writes, the next bag fills: the slower the disk, the larger the groups.
//!
//! Two more threads keep slow things away from the ack: one writes zeros ahead ([`crate::reserve`]), one signs and
//! stores checkpoints.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::disk::{Access, AlignedBuffer, BLOCK_BYTES, Directory, Disk, DiskFile};
use crate::group::{
    CONTENT_OVERHEAD, Chain, ContentFrame, FLAG_CONTENT_ONLY, FRAME_HEADER_BYTES, Frame, Frames,
    GroupBuilder, GroupTrailer, HEADER_BYTES, MAX_CHUNK_BYTES, MAX_CONTENT_BYTES, MAX_GROUP_BYTES,
    MAX_RECORD_BYTES, RECORD_OVERHEAD, RecordFrame, TRAILER_BYTES, group_bytes,
};
use crate::lock::{self, Lock};
use crate::note::{SignedCheckpoint, SigningKey, VerifierKey, check_origin};
use crate::pruned::{self, PruneError, Pruned};
use crate::recovery::{CHECKPOINT_FILE, OpenError, Recovery, recover, set_aside};
use crate::reserve::{Failure, Reserve};
use crate::sealing::Sealing;
use crate::segment::{
    MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, SegmentHeader, SegmentWindow, open_segment, segment_name,
};
use crate::tree::{CompactRange, Hash, content_digest, leaf_hash};
use crate::wait;
use crate::window::{BatchKey, Stored, WINDOW_BATCHES, WINDOW_READ_BYTES, Window};

/// Room that every group keeps for the frame of one checkpoint note, in bytes.
const CHECKPOINT_ROOM: usize = FRAME_HEADER_BYTES + 1024;
/// How much of a new log's first segment is zeroed before opening returns; the rest follows in the background.
const FIRST_EXTENT_BYTES: usize = 128 * 1024;

/// How a log is opened for writing.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's name: origin line and key name of its checkpoints (C2SP), at most 255 bytes without spaces and `+`.
    /// A name that looks like a URL without scheme is recommended, `example.com/recorder1`.
    pub origin: String,
    /// Signs the checkpoints.
    pub key: SigningKey,
    /// Size of new segments in bytes: a multiple of 4,096 from 256 KiB to 1 GiB. Default 32 MiB.
    pub segment_bytes: u64,
    /// A checkpoint is signed at most this often, and this soon after a change. Default 100 ms.
    pub checkpoint_interval: Duration,
    /// Use `O_DIRECT|O_DSYNC` where the file system has it; otherwise write and `fdatasync`. Default true.
    pub direct: bool,
    /// Submitted bytes that may wait or be in work; further submits block. One larger batch is let in alone.
    /// Default 16 MiB.
    pub queue_bytes: usize,
    /// Compress full segments in the background. What is read and proven stays the same. Default true.
    pub seal: bool,
}

impl Options {
    /// The defaults, for the log `origin` signed with `key`.
    pub fn new(origin: impl Into<String>, key: SigningKey) -> Options {
        Options {
            origin: origin.into(),
            key,
            segment_bytes: 32 * 1024 * 1024,
            checkpoint_interval: Duration::from_millis(100),
            direct: true,
            queue_bytes: 16 * 1024 * 1024,
            seal: true,
        }
    }
}

/// Content that a record refers to by [`content_digest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Random for each content, so that the digest says nothing about content that is not disclosed.
    pub salt: [u8; 16],
    /// The bytes, at most [`MAX_CONTENT_BYTES`].
    pub bytes: Vec<u8>,
}

impl Content {
    /// The digest under which it is found.
    pub fn digest(&self) -> Hash {
        content_digest(&self.salt, &self.bytes)
    }
}

/// What is stored together: after a crash all records with their contents are there, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Who sends it. With `seq` it identifies the batch: sent again, it gets the first ack and is not stored twice.
    pub source: [u8; 16],
    /// The sender's number for it.
    pub seq: u64,
    /// The records, at least one; each at most [`MAX_RECORD_BYTES`], together at most about 4 MiB (or a segment).
    pub records: Vec<Vec<u8>>,
    /// The contents that the records refer to.
    pub contents: Vec<Content>,
}

/// What an ack promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The group with the records and their contents is on disk, and the records are leaves of the tree whose root is
    /// in that group.
    Durable,
    /// A signed checkpoint that is durably stored covers the records too.
    Checkpointed,
    /// Such a checkpoint is known outside ([`Log::note_anchored`]).
    Anchored,
}

/// The answer to a batch, given only after it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Index of the batch's first record; the others follow without gap.
    pub first_index: u64,
    /// The leaf hashes of the records.
    pub leaf_hashes: Vec<Hash>,
    /// Size of the tree after the group that holds the batch.
    pub tree_size: u64,
    /// What was reached.
    pub level: Level,
    /// The batch had been stored before; the rest is the answer it got then.
    pub duplicate: bool,
}

/// Why a batch was not stored, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The batch has no records.
    #[error("the batch has no records")]
    Empty,
    /// A record is longer than [`MAX_RECORD_BYTES`]. Nothing was stored.
    #[error("record {position} of the batch has {bytes} bytes, at most 65,535 are allowed")]
    RecordTooLarge {
        /// Position in the batch.
        position: usize,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A content is longer than [`MAX_CONTENT_BYTES`]. Nothing was stored.
    #[error("content {position} of the batch has {bytes} bytes, at most 1 GiB is allowed")]
    ContentTooLarge {
        /// Position in the batch.
        position: usize,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The records do not fit one group. Nothing was stored; send them in several batches.
    #[error("the batch's records take {bytes} bytes, at most {limit} fit one group")]
    BatchTooLarge {
        /// Bytes that the records need.
        bytes: usize,
        /// Bytes that there are.
        limit: usize,
    },
    /// There is no space for another segment. The batch was not stored and the log stays open: free space and retry.
    #[error("no space for another segment: {cause}")]
    DiskFull {
        /// What the system said.
        cause: String,
    },
    /// A write failed, and what is on disk is not known. The writer has ended; close the log and open it again.
    #[error("the log's writer has ended: {cause}")]
    Poisoned {
        /// The first error.
        cause: String,
    },
    /// The batch had been stored before, and its records cannot be read now.
    #[error("the batch was stored before as record {first_index}, which cannot be read now: {cause}")]
    FirstUnreadable {
        /// Index of its first record.
        first_index: u64,
        /// What went wrong.
        cause: String,
    },
    /// The checkpoint could not be written; records are not affected.
    #[error("the checkpoint could not be written: {cause}")]
    Checkpoint {
        /// What the system said.
        cause: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Counters of an open log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records in the log.
    pub size: u64,
    /// Groups written since opening.
    pub groups: u64,
    /// Records written since opening.
    pub records: u64,
    /// Bytes written in groups since opening, padding included.
    pub bytes: u64,
    /// Batches that had been stored before.
    pub duplicates: u64,
    /// Number of the segment being written.
    pub segment: u64,
    /// Where in it the next group goes, in bytes.
    pub segment_position: u64,
    /// Whether a zeroed segment is in reserve.
    pub reserve_ready: bool,
    /// Bytes submitted and not durable yet.
    pub queued_bytes: usize,
    /// Batches that are remembered.
    pub window_batches: usize,
    /// Size of the newest checkpoint.
    pub checkpoint_size: Option<u64>,
    /// Segments sealed since opening.
    pub sealed_segments: u64,
    /// Their bytes before, zeros at the end not counted, and after.
    pub sealed_raw_bytes: u64,
    /// See `sealed_raw_bytes`.
    pub sealed_bytes: u64,
    /// Why a full segment could not be sealed; it stays as it is and is tried again.
    pub seal_error: Option<String>,
    /// Why the last checkpoint could not be written.
    pub checkpoint_error: Option<String>,
    /// Free space of the file system in bytes, if known.
    pub free_bytes: Option<u64>,
}

/// What the committer says of one batch.
#[derive(Clone, Debug)]
struct Placed {
    first_index: u64,
    tree_size: u64,
    /// For a batch stored before: the leaf hashes stored then.
    original: Option<Result<Vec<Hash>, AppendError>>,
}

/// Where the batches of one bag find their answer.
struct Cell {
    /// 0 until the answer is there; what waiters sleep on.
    done: AtomicU32,
    waiters: AtomicU32,
    answer: OnceLock<Result<Vec<Placed>, AppendError>>,
}

impl Cell {
    fn new() -> Arc<Cell> {
        Arc::new(Cell { done: AtomicU32::new(0), waiters: AtomicU32::new(0), answer: OnceLock::new() })
    }

    fn complete(&self, answer: Result<Vec<Placed>, AppendError>) {
        if self.answer.set(answer).is_err() {
            return;
        }
        // SeqCst orders this store and the load of `waiters` against a waiter's increment and its futex check: either
        // it sees `done`, or we see the waiter.
        self.done.store(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) > 0 {
            wait::wake_all(&self.done);
        }
    }

    /// Waits for the answer, until `deadline` if there is one.
    fn wait(&self, deadline: Option<Instant>) -> Option<&Result<Vec<Placed>, AppendError>> {
        if let Some(answer) = self.answer.get() {
            return Some(answer);
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let answer = loop {
            if self.done.load(Ordering::SeqCst) == 1 {
                break self.answer.get();
            }
            let timeout = match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
                None => None,
                Some(None) => break None,
                Some(Some(left)) => Some(left.max(Duration::from_micros(1))),
            };
            // Returns at once if `done` is no longer 0; every outcome is looked at again above.
            wait::wait(&self.done, timeout);
        };
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

/// A submitted batch on its way.
#[must_use = "a batch is stored when `wait` says so"]
pub struct Pending {
    cell: Arc<Cell>,
    position: usize,
    leaf_hashes: Vec<Hash>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("records", &self.leaf_hashes.len())
            .field("done", &self.is_done())
            .finish()
    }
}

impl Pending {
    /// Blocks until the batch is durable or refused.
    pub fn wait(self) -> Result<Ack, AppendError> {
        match self.cell.wait(None) {
            Some(answer) => self.ack(answer),
            None => Err(AppendError::Closed), // never: without a deadline the wait ends with an answer
        }
    }

    /// As [`wait`](Self::wait), but gives up after `timeout` with `None`; the batch stays on its way.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Ack, AppendError>> {
        let deadline = Instant::now().checked_add(timeout);
        self.cell.wait(deadline).map(|answer| self.ack(answer))
    }

    /// Whether [`wait`](Self::wait) would return at once.
    pub fn is_done(&self) -> bool {
        self.cell.answer.get().is_some()
    }

    /// The leaf hashes of the submitted records.
    pub fn leaf_hashes(&self) -> &[Hash] {
        &self.leaf_hashes
    }

    fn ack(&self, answer: &Result<Vec<Placed>, AppendError>) -> Result<Ack, AppendError> {
        let placed = answer.as_ref().map_err(Clone::clone)?.get(self.position).ok_or(AppendError::Closed)?;
        let (leaf_hashes, duplicate) = match &placed.original {
            None => (self.leaf_hashes.clone(), false),
            Some(original) => (original.clone()?, true),
        };
        let Placed { first_index, tree_size, .. } = *placed;
        Ok(Ack { first_index, leaf_hashes, tree_size, level: Level::Durable, duplicate })
    }
}

struct Submission {
    batch: Batch,
    leaf_hashes: Vec<Hash>,
    digests: Vec<Hash>,
}

/// Batches that become one group; or one batch that is too large for one.
struct Bag {
    cell: Arc<Cell>,
    submissions: Vec<Submission>,
    body_bytes: usize,
    oversized: bool,
}

#[derive(Default)]
struct Queue {
    bags: VecDeque<Bag>,
    /// Body bytes in `bags` and in the bag being written.
    bytes: usize,
    blocked: usize,
    committer_asleep: bool,
    closing: bool,
    poisoned: Option<AppendError>,
}

/// The durable end of the log and its checkpoints.
struct Head {
    size: u64,
    root: Hash,
    /// `size` changed since the last checkpoint.
    dirty: bool,
    checkpoint: Option<SignedCheckpoint>,
    /// The newest checkpoint, until it is in a group too.
    to_log: Option<SignedCheckpoint>,
    /// Records that are under a checkpoint known outside.
    anchored: u64,
    /// Checkpoints asked for and answered, counted.
    asked: u64,
    answered: u64,
    error: Option<String>,
    stop: bool,
    stats: Stats,
}

struct Shared {
    disk: Arc<dyn Disk>,
    options: Options,
    verifier: VerifierKey,
    /// Body bytes that fit one group beside a checkpoint.
    body_limit: usize,
    /// Held to put in or take out a bag, never during hashing or I/O.
    queue: Mutex<Queue>,
    work: Condvar,
    space: Condvar,
    /// Held to look and to publish, never during I/O.
    head: Mutex<Head>,
    head_changed: Condvar,
    reserve: Reserve,
    sealing: Sealing,
    window_batches: AtomicUsize,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic half way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the writer: everything waiting and everything later gets the cause.
    fn poison(&self, cause: String) -> AppendError {
        let error = AppendError::Poisoned { cause };
        let mut queue = self.queue();
        let error = queue.poisoned.get_or_insert(error).clone();
        let bags = std::mem::take(&mut queue.bags);
        queue.bytes = 0;
        drop(queue);
        self.space.notify_all();
        for bag in bags {
            bag.cell.complete(Err(error.clone()));
        }
        error
    }
}

/// A log open for writing. Share it by reference between threads.
///
/// Dropping it closes it; [`close`](Log::close) does the same and tells what went wrong.
pub struct Log {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    sealing: Option<JoinHandle<()>>,
    lock: Option<Lock>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("origin", &self.shared.options.origin)
            .field("size", &self.size())
            .finish()
    }
}

impl Log {
    /// Opens the log in `dir` for writing, making it if there is none (directory mode 0700).
    ///
    /// Takes the lock, reads and checks the newest segment, and sets one torn un-acked group aside if there is one.
    /// On an error nothing was changed, except that a torn end may already have been set aside.
    pub fn open(dir: &Path, options: Options) -> Result<(Log, Recovery), OpenError> {
        let doing = |what: &str| format!("{what} {}", dir.display());
        make_directory(dir).map_err(OpenError::io(doing("making the directory")))?;
        let lock = match lock::acquire(dir).map_err(OpenError::io(doing("locking")))? {
            Ok(lock) => lock,
            Err(holder) => return Err(OpenError::Locked { pid: holder.pid, since: holder.since }),
        };
        let disk = Arc::new(Directory::new(dir, options.direct));
        Log::open_locked(disk, options, Some(lock))
    }

    /// As [`open`](Self::open) on any [`Disk`]; the caller sees to it that there is one writer.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<(Log, Recovery), OpenError> {
        Log::open_locked(disk, options, None)
    }

    fn open_locked(
        disk: Arc<dyn Disk>,
        options: Options,
        lock: Option<Lock>,
    ) -> Result<(Log, Recovery), OpenError> {
        let began = Instant::now();
        check_origin(&options.origin)?;
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&options.segment_bytes)
            || !options.segment_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            return Err(OpenError::Options("segment_bytes must be a multiple of 4096 from 256 KiB to 1 GiB"));
        }
        let verifier = options.key.verifier(&options.origin)?;
        let found = recover(disk.as_ref(), &verifier)?;
        if let Some(pruned) = &found.pruned {
            // What a crash kept from being removed; in nobody's way, so the next opening may do it too.
            let _ = pruned::remove_before(disk.as_ref(), pruned.first_segment);
        }
        let torn = found.torn.map(|plan| set_aside(disk.as_ref(), &plan, wall_ns())).transpose()?;
        let created = found.newest.is_none();
        let (writer, batches, groups_checked, logged) = match found.newest {
            Some(newest) => {
                let name = segment_name(newest.header.number);
                let doing = || format!("opening {name}");
                let file = disk.open(&name, Access::Write).map_err(OpenError::io(doing()))?;
                let writer = Writer {
                    number: newest.header.number,
                    file,
                    position: newest.position,
                    segment_bytes: newest.header.segment_bytes,
                    chain: newest.chain,
                };
                (writer, newest.batches, newest.groups, newest.logged_checkpoint)
            }
            None => (Writer::create(disk.as_ref(), &options, &verifier)?, Vec::new(), 0, None),
        };
        let file_bytes = writer.file.size_bytes().map_err(OpenError::io("opening the segment"))?;
        let zeroed = (file_bytes / BLOCK_BYTES as u64 * BLOCK_BYTES as u64).min(writer.segment_bytes);
        let reserve = Reserve::new(writer.file.clone(), writer.number, writer.segment_bytes, zeroed);
        let (size, root) = (writer.chain.range.size(), writer.chain.range.root());
        let checkpoint = found.checkpoint;
        let group_limit = MAX_GROUP_BYTES.min(options.segment_bytes as usize - BLOCK_BYTES);
        let head = Head {
            size,
            root,
            dirty: checkpoint.as_ref().map_or(size > 0, |checkpoint| checkpoint.size() < size),
            to_log: checkpoint
                .clone()
                .filter(|checkpoint| logged.is_none_or(|logged| logged < checkpoint.size())),
            checkpoint,
            anchored: 0,
            asked: 0,
            answered: 0,
            error: None,
            stop: false,
            stats: Stats { segment: writer.number, segment_position: writer.position, ..Stats::default() },
        };
        let recovery = Recovery {
            size,
            root,
            first_index: found.pruned.as_ref().map_or(0, |pruned| pruned.first_index),
            created,
            segments: writer.number + 1,
            groups_checked,
            torn,
            elapsed: began.elapsed(),
        };
        let sealing = Sealing::new(writer.number, options.seal);
        let shared = Arc::new(Shared {
            disk,
            options,
            verifier,
            body_limit: group_limit - HEADER_BYTES - TRAILER_BYTES - CHECKPOINT_ROOM,
            queue: Mutex::default(),
            work: Condvar::new(),
            space: Condvar::new(),
            head: Mutex::new(head),
            head_changed: Condvar::new(),
            reserve,
            sealing,
            window_batches: AtomicUsize::new(0),
        });
        let mut log = Log { shared: shared.clone(), threads: Vec::new(), sealing: None, lock };
        log.start("log-zero", {
            let shared = shared.clone();
            move || {
                let run = || shared.reserve.run(shared.disk.as_ref(), shared.options.segment_bytes);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                    shared.reserve.fail("the zeroing thread panicked; this is a bug in fdr-log");
                }
            }
        })?;
        log.start("log-checkpoint", {
            let shared = shared.clone();
            move || {
                let run = || sign_checkpoints(&shared);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                    let mut head = shared.head();
                    head.error = Some("the checkpoint thread panicked; this is a bug in fdr-log".to_owned());
                    head.answered = u64::MAX;
                    shared.head_changed.notify_all();
                }
            }
        })?;
        if shared.options.seal {
            let shared = shared.clone();
            let seal = move || {
                let busy = || shared.queue().bytes > 0;
                let run = || shared.sealing.run(shared.disk.as_ref(), &busy);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                    shared.sealing.fail("the sealing thread panicked; this is a bug in fdr-log");
                }
            };
            log.sealing = Some(spawn("log-seal", seal)?);
        }
        log.start("log-commit", move || {
            // A panic must reach those who wait, not leave them waiting for ever.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let window = remember(shared.disk.as_ref(), writer.number, batches);
                Committer { shared: &shared, writer, window, builder: GroupBuilder::new(), zeroed: 0 }.run();
            }));
            if ended.is_err() {
                shared.poison("the committer panicked; this is a bug in fdr-log".to_owned());
            }
        })?;
        Ok((log, recovery))
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        self.threads.push(spawn(name, work)?);
        Ok(())
    }

    /// Hands a batch over. The order of submits is the order of indexes.
    ///
    /// Hashing happens here, on the caller's thread. Blocks while more than [`Options::queue_bytes`] are waiting.
    pub fn submit(&self, batch: Batch) -> Result<Pending, AppendError> {
        let shared = &*self.shared;
        let record_bytes = check_batch(&batch, shared.body_limit)?;
        let leaf_hashes: Vec<Hash> = batch.records.iter().map(|record| leaf_hash(record)).collect();
        let digests = batch.contents.iter().map(Content::digest).collect();
        let chunk = chunk_bytes(shared.body_limit);
        let content_bytes: usize = batch
            .contents
            .iter()
            .map(|content| {
                content.bytes.len() + CONTENT_OVERHEAD * content.bytes.len().div_ceil(chunk).max(1)
            })
            .sum();
        let body_bytes = record_bytes + content_bytes;
        let oversized = body_bytes > shared.body_limit;
        let submission = Submission { batch, leaf_hashes: leaf_hashes.clone(), digests };

        let mut queue = shared.queue();
        loop {
            if let Some(error) = &queue.poisoned {
                return Err(error.clone());
            }
            if queue.closing {
                return Err(AppendError::Closed);
            }
            if queue.bytes == 0 || queue.bytes + body_bytes <= shared.options.queue_bytes {
                break;
            }
            queue.blocked += 1;
            queue = shared.space.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.blocked -= 1;
        }
        queue.bytes += body_bytes;
        let joins = queue.bags.back().is_some_and(|bag| {
            !oversized && !bag.oversized && bag.body_bytes + body_bytes <= shared.body_limit
        });
        if !joins {
            queue.bags.push_back(Bag {
                cell: Cell::new(),
                submissions: Vec::new(),
                body_bytes: 0,
                oversized,
            });
        }
        let wake = queue.committer_asleep;
        queue.committer_asleep = false;
        let Some(bag) = queue.bags.back_mut() else {
            return Err(AppendError::Closed); // never: one was pushed above if there was none
        };
        bag.body_bytes += body_bytes;
        let position = bag.submissions.len();
        bag.submissions.push(submission);
        let cell = bag.cell.clone();
        drop(queue);
        if wake {
            shared.work.notify_one();
        }
        Ok(Pending { cell, position, leaf_hashes })
    }

    /// [`submit`](Self::submit) and wait.
    pub fn append(&self, batch: Batch) -> Result<Ack, AppendError> {
        self.submit(batch)?.wait()
    }

    /// Durable records.
    pub fn size(&self) -> u64 {
        self.shared.head().size
    }

    /// The root of the durable records' tree.
    pub fn root(&self) -> Hash {
        self.shared.head().root
    }

    /// The newest checkpoint that is durably stored.
    pub fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.shared.head().checkpoint.clone()
    }

    /// Signs and stores a checkpoint of everything acked so far, now, and returns it.
    pub fn sync_checkpoint(&self) -> Result<SignedCheckpoint, AppendError> {
        let shared = &*self.shared;
        let mut head = shared.head();
        head.asked += 1;
        let ticket = head.asked;
        shared.head_changed.notify_all();
        while head.answered < ticket {
            head = shared.head_changed.wait(head).unwrap_or_else(PoisonError::into_inner);
        }
        match (&head.error, &head.checkpoint) {
            (None, Some(checkpoint)) => Ok(checkpoint.clone()),
            (error, _) => Err(AppendError::Checkpoint { cause: error.clone().unwrap_or_default() }),
        }
    }

    /// Told by whoever had a checkpoint of `size` records anchored outside. No more than what is under a durably stored
    /// checkpoint is believed, and it never goes back.
    pub fn note_anchored(&self, size: u64) {
        let mut head = self.shared.head();
        let checkpointed = head.checkpoint.as_ref().map_or(0, SignedCheckpoint::size);
        head.anchored = head.anchored.max(size.min(checkpointed));
        drop(head);
        self.shared.head_changed.notify_all();
    }

    /// A handle on which levels can be waited for; it does not keep the log open.
    pub fn levels(&self) -> Levels {
        Levels(self.shared.clone())
    }

    /// The public key that the checkpoints verify with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.shared.verifier
    }

    /// Counters, and the free space.
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let queued_bytes = shared.queue().bytes;
        let sealing = shared.sealing.state();
        let head = shared.head();
        Stats {
            size: head.size,
            queued_bytes,
            reserve_ready: shared.reserve.is_ready(),
            window_batches: shared.window_batches.load(Ordering::Relaxed),
            checkpoint_size: head.checkpoint.as_ref().map(SignedCheckpoint::size),
            checkpoint_error: head.error.clone(),
            free_bytes: shared.disk.free_bytes(),
            sealed_segments: sealing.segments,
            sealed_raw_bytes: sealing.raw_bytes,
            sealed_bytes: sealing.file_bytes,
            seal_error: sealing.failure,
            ..head.stats.clone()
        }
    }

    /// Removes all segments before `first_segment`; see [`Pruned`] for what stays proven and what does not.
    ///
    /// The caller has recorded before, durably, that this will be done, by whom and why. Only full segments go, and only
    /// records that the newest checkpoint covers; where `first_segment` begins in the middle of a content, nothing does.
    ///
    /// # Errors
    /// When nothing was removed, or not everything: the rest then goes when the log is opened next.
    pub fn prune(&self, first_segment: u64) -> Result<Pruned, PruneError> {
        let shared = &*self.shared;
        let (active, covered) = {
            let head = shared.head();
            (head.stats.segment, head.checkpoint.as_ref().map_or(0, SignedCheckpoint::size))
        };
        let pruned = pruned::plan(shared.disk.as_ref(), first_segment, active, covered)?;
        pruned::mark(shared.disk.as_ref(), &pruned, &shared.verifier)?;
        shared.sealing.pruned(first_segment);
        pruned::remove_before(shared.disk.as_ref(), first_segment)?;
        Ok(pruned)
    }

    /// Waits until every segment that is full by now was sealed, or could not be.
    ///
    /// # Errors
    /// Why one could not be; it stays as it is, is read as before, and is tried again.
    pub fn wait_sealed(&self) -> Result<(), String> {
        self.shared.sealing.wait()
    }

    /// A dictionary that segments are compressed with since this was asked last, for keeping in the log. Every sealed
    /// segment has its own copy, so nothing is lost with it.
    pub fn take_dictionary(&self) -> Option<Arc<[u8]>> {
        self.shared.sealing.take_dictionary()
    }

    /// Stores what was submitted, signs a last checkpoint, ends the threads and gives up the lock.
    ///
    /// Returns that checkpoint; `None` for a log without records. An error tells that the writer had ended before, or
    /// that the checkpoint could not be stored.
    pub fn close(mut self) -> Result<Option<SignedCheckpoint>, AppendError> {
        self.shut_down();
        if let Some(error) = self.shared.queue().poisoned.clone() {
            return Err(error);
        }
        let head = self.shared.head();
        match &head.error {
            Some(cause) => Err(AppendError::Checkpoint { cause: cause.clone() }),
            None => Ok(head.checkpoint.clone()),
        }
    }

    fn shut_down(&mut self) {
        let shared = self.shared.clone();
        shared.sealing.stop();
        shared.queue().closing = true;
        shared.work.notify_all();
        shared.space.notify_all();
        // Last started first: the committer may still need a segment, and its last groups want a checkpoint.
        while let Some(thread) = self.threads.pop() {
            match self.threads.len() {
                2 => {} // the committer ends when the queue is empty
                1 => {
                    shared.head().stop = true;
                    shared.head_changed.notify_all();
                }
                _ => shared.reserve.stop(),
            }
            let _ = thread.join(); // panics are caught and told to those who wait
        }
        if let Some(thread) = self.sealing.take() {
            let _ = thread.join();
        }
        self.lock = None;
    }
}

/// Which [`Level`] durable records have reached.
#[derive(Clone)]
pub struct Levels(Arc<Shared>);

impl std::fmt::Debug for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Levels").field("origin", &self.0.options.origin).finish()
    }
}

impl Levels {
    /// The level of a record that was acked.
    pub fn of(&self, index: u64) -> Level {
        self.0.head().level(index)
    }

    /// Waits until a record that was acked has reached `level`, at most until `deadline` or the log's end, and tells
    /// what it has reached then: perhaps less.
    pub fn wait(&self, index: u64, level: Level, deadline: Instant) -> Level {
        let mut head = self.0.head();
        loop {
            let reached = head.level(index);
            let left = deadline.saturating_duration_since(Instant::now());
            if reached >= level || head.stop || left.is_zero() {
                return reached;
            }
            head = self.0.head_changed.wait_timeout(head, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Head {
    fn level(&self, index: u64) -> Level {
        if index < self.anchored {
            Level::Anchored
        } else if self.checkpoint.as_ref().is_some_and(|checkpoint| index < checkpoint.size()) {
            Level::Checkpointed
        } else {
            Level::Durable
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(OpenError::io("starting a thread"))
}

/// Makes a directory with its parents, private and durable: a log whose directory is gone after a crash is gone.
fn make_directory(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_directory(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    std::fs::File::open(parent)?.sync_all()
}

/// Nanoseconds since 1970 by the wall clock; 0 before. The log's one look at the clock on the wall.
fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The longest chunk of content for groups with `body_limit` bytes.
fn chunk_bytes(body_limit: usize) -> usize {
    MAX_CHUNK_BYTES.min(body_limit / 2)
}

/// Where the chunks of a content begin and end; one empty chunk for an empty content.
fn chunks(bytes: usize, chunk: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..bytes.div_ceil(chunk).max(1)).map(move |number| (number * chunk, bytes.min((number + 1) * chunk)))
}

/// Checks a batch against the limits and returns the bytes that its records take.
fn check_batch(batch: &Batch, body_limit: usize) -> Result<usize, AppendError> {
    if batch.records.is_empty() {
        return Err(AppendError::Empty);
    }
    let mut record_bytes = 0;
    for (position, record) in batch.records.iter().enumerate() {
        if record.len() > MAX_RECORD_BYTES {
            return Err(AppendError::RecordTooLarge { position, bytes: record.len() });
        }
        record_bytes += record.len() + RECORD_OVERHEAD;
    }
    for (position, content) in batch.contents.iter().enumerate() {
        if content.bytes.len() as u64 > MAX_CONTENT_BYTES {
            return Err(AppendError::ContentTooLarge { position, bytes: content.bytes.len() });
        }
    }
    if record_bytes > body_limit {
        return Err(AppendError::BatchTooLarge { bytes: record_bytes, limit: body_limit });
    }
    Ok(record_bytes)
}

/// Fills the window with the newest segment's batches and, where they are too few, those of the segments before.
fn remember(disk: &dyn Disk, newest: u64, batches: Vec<(BatchKey, Stored)>) -> Window {
    let mut older = Vec::new();
    let mut count = batches.len();
    let mut number = newest;
    let mut read_bytes = 0;
    while count < WINDOW_BATCHES && number > 0 && read_bytes < WINDOW_READ_BYTES {
        number -= 1;
        // Forgetting is harmless for the log and verify reports damage; so an unreadable segment ends the search.
        let Ok((found, bytes)) = batches_of(disk, number) else { break };
        read_bytes += bytes;
        count += found.len();
        older.push(found);
    }
    let mut window = Window::default();
    for (key, stored) in older.into_iter().rev().flatten().chain(batches) {
        window.insert(key, stored);
    }
    window
}

/// The batches of a sealed segment, by checksums alone, and how many bytes were read for it.
fn batches_of(disk: &dyn Disk, segment: u64) -> io::Result<(Vec<(BatchKey, Stored)>, u64)> {
    let mut window = SegmentWindow::new(open_segment(disk, segment, Access::Read)?, 1024 * 1024)?;
    let mut position = BLOCK_BYTES as u64;
    let mut batches = Vec::new();
    while let Ok((header, bytes)) = window.group(position)? {
        let mut index = header.first_index;
        for placed in Frames::new(bytes, &header) {
            let Ok(placed) = placed else { return Ok((batches, position)) };
            if let Frame::Record(record) = placed.frame {
                if record.position == 0 {
                    let stored = Stored {
                        first_index: index,
                        records: record.batch_records,
                        segment,
                        group_offset: position,
                    };
                    batches.push(((record.source, record.seq), stored));
                }
                index = index.wrapping_add(1);
            }
        }
        position += header.total_bytes() as u64;
    }
    Ok((batches, position))
}

/// The segment being written and where the log stands. Owned by the committer.
struct Writer {
    number: u64,
    file: Arc<dyn DiskFile>,
    position: u64,
    segment_bytes: u64,
    chain: Chain,
}

impl Writer {
    /// Makes segment 0 of a new log.
    fn create(disk: &dyn Disk, options: &Options, verifier: &VerifierKey) -> Result<Writer, OpenError> {
        let name = segment_name(0);
        let doing = || format!("making {name}");
        let file = match disk.open(&name, Access::Create) {
            // A crash while the log was made left it; recovery found nothing in it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&name, Access::Write),
            opened => opened,
        }
        .map_err(OpenError::io(doing()))?;
        let mut zeros = AlignedBuffer::with_capacity(FIRST_EXTENT_BYTES);
        zeros.resize(FIRST_EXTENT_BYTES);
        file.write_lazily(&zeros, 0).map_err(OpenError::io(doing()))?;
        file.sync().map_err(OpenError::io(doing()))?;
        disk.sync_names().map_err(OpenError::io(doing()))?;
        let chain =
            Chain { next_group: 0, previous_hash: [0; 32], range: CompactRange::new(), salt: [0; 16] };
        let mut writer = Writer { number: 0, file, position: 0, segment_bytes: options.segment_bytes, chain };
        writer.begin(verifier).map_err(OpenError::io(doing()))?;
        Ok(writer)
    }

    /// Writes the header of the segment and puts the chain behind it.
    fn begin(&mut self, verifier: &VerifierKey) -> io::Result<()> {
        let mut salt = [0u8; 16];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        let header = SegmentHeader {
            number: self.number,
            first_group: self.chain.next_group,
            created_wall_ns: wall_ns(),
            segment_bytes: self.segment_bytes,
            salt,
            previous_hash: self.chain.previous_hash,
            verifier: verifier.clone(),
            range: self.chain.range.clone(),
        };
        let block = header.encode();
        self.file.write_durable(&block, 0)?;
        self.chain.previous_hash = SegmentHeader::chain_hash(&block);
        self.chain.salt = salt;
        self.position = BLOCK_BYTES as u64;
        Ok(())
    }
}

/// Why a bag could not be stored.
enum Trouble {
    /// Nothing was written; the writer goes on.
    Full(Failure),
    /// What is on disk is not known.
    Lost(String),
}

/// The committer thread's own state.
struct Committer<'a> {
    shared: &'a Shared,
    writer: Writer,
    window: Window,
    builder: GroupBuilder,
    /// What the reserve said last of the active segment, to ask it less often.
    zeroed: u64,
}

impl Committer<'_> {
    fn run(mut self) {
        self.shared.window_batches.store(self.window.len(), Ordering::Relaxed);
        while let Some(bag) = self.next_bag() {
            let stored = if bag.oversized { self.store_oversized(&bag) } else { self.store(&bag) };
            let answer = match stored {
                Ok(placed) => Ok(placed),
                Err(Trouble::Full(failure)) => Err(AppendError::DiskFull { cause: failure.text }),
                Err(Trouble::Lost(cause)) => Err(self.shared.poison(cause)),
            };
            let ended = matches!(answer, Err(AppendError::Poisoned { .. }));
            bag.cell.complete(answer);
            if ended {
                return;
            }
            let mut queue = self.shared.queue();
            queue.bytes = queue.bytes.saturating_sub(bag.body_bytes);
            let blocked = queue.blocked > 0;
            drop(queue);
            if blocked {
                self.shared.space.notify_all();
            }
            self.shared.window_batches.store(self.window.len(), Ordering::Relaxed);
        }
    }

    fn next_bag(&self) -> Option<Bag> {
        let mut queue = self.shared.queue();
        loop {
            if let Some(bag) = queue.bags.pop_front() {
                return Some(bag);
            }
            if queue.closing {
                return None;
            }
            queue.committer_asleep = true;
            queue = self.shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.committer_asleep = false;
        }
    }

    /// The usual case: one bag, one group, one write.
    fn store(&mut self, bag: &Bag) -> Result<Vec<Placed>, Trouble> {
        // Room first, so that a full disk is noticed before anything changes.
        self.make_room(group_bytes(bag.body_bytes + CHECKPOINT_ROOM))?;
        self.builder.clear();
        let note = self.take_checkpoint();
        let mut range = self.writer.chain.range.clone();
        let mut placed = Vec::with_capacity(bag.submissions.len());
        for submission in &bag.submissions {
            match self.stored_before(submission, &bag.submissions, &placed) {
                Some(before) => placed.push(before),
                None => {
                    let chunk = chunk_bytes(self.shared.body_limit);
                    for (content, digest) in submission.batch.contents.iter().zip(&submission.digests) {
                        for (from, to) in chunks(content.bytes.len(), chunk) {
                            self.add_content(content, digest, from, to);
                        }
                    }
                    placed.push(self.add_records(submission, &mut range));
                }
            }
        }
        if self.builder.records() > 0 {
            self.write_group(range, 0)?;
        } else {
            self.give_back_checkpoint(note);
        }
        let tree_size = self.writer.chain.range.size();
        for placed in placed.iter_mut().filter(|placed| placed.tree_size == u64::MAX) {
            placed.tree_size = tree_size;
        }
        Ok(placed)
    }

    /// One batch whose contents do not fit a group: content-only groups first, the records in the last.
    fn store_oversized(&mut self, bag: &Bag) -> Result<Vec<Placed>, Trouble> {
        let body_limit = self.shared.body_limit;
        let chunk = chunk_bytes(body_limit);
        let mut placed = Vec::with_capacity(1);
        for submission in &bag.submissions {
            if let Some(before) = self.stored_before(submission, &bag.submissions, &placed) {
                placed.push(before);
                continue;
            }
            self.builder.clear();
            for (content, digest) in submission.batch.contents.iter().zip(&submission.digests) {
                for (from, to) in chunks(content.bytes.len(), chunk) {
                    if self.builder.body_bytes() + CONTENT_OVERHEAD + (to - from) > body_limit {
                        self.flush_contents()?;
                    }
                    self.add_content(content, digest, from, to);
                }
            }
            let record_bytes: usize =
                submission.batch.records.iter().map(|record| record.len() + RECORD_OVERHEAD).sum();
            if self.builder.body_bytes() + record_bytes > body_limit {
                self.flush_contents()?;
            }
            self.make_room(group_bytes(self.builder.body_bytes() + record_bytes + CHECKPOINT_ROOM))?;
            let mut range = self.writer.chain.range.clone();
            placed.push(self.add_records(submission, &mut range));
            self.take_checkpoint();
            self.write_group(range, 0)?;
            let tree_size = self.writer.chain.range.size();
            placed.iter_mut().for_each(|placed| placed.tree_size = placed.tree_size.min(tree_size));
        }
        Ok(placed)
    }

    fn flush_contents(&mut self) -> Result<(), Trouble> {
        if self.builder.is_empty() {
            return Ok(());
        }
        self.make_room(group_bytes(self.builder.body_bytes()))?;
        self.write_group(self.writer.chain.range.clone(), FLAG_CONTENT_ONLY)?;
        self.builder.clear();
        Ok(())
    }

    fn add_content(&mut self, content: &Content, digest: &Hash, from: usize, to: usize) {
        self.builder.content(&ContentFrame {
            digest: *digest,
            salt: content.salt,
            total_bytes: content.bytes.len() as u64,
            offset: from as u64,
            bytes: &content.bytes[from..to],
        });
    }

    /// Adds a batch's records to the group and remembers the batch. The tree size is filled in when it is known.
    fn add_records(&mut self, submission: &Submission, range: &mut CompactRange) -> Placed {
        let batch = &submission.batch;
        let first_index = range.size();
        for (position, (bytes, leaf)) in batch.records.iter().zip(&submission.leaf_hashes).enumerate() {
            let record = RecordFrame {
                source: batch.source,
                seq: batch.seq,
                position: position as u32,
                batch_records: batch.records.len() as u32,
                bytes,
            };
            self.builder.record(&record, leaf);
            range.push(*leaf);
        }
        let stored = Stored {
            first_index,
            records: batch.records.len() as u32,
            segment: self.writer.number,
            group_offset: self.writer.position,
        };
        self.window.insert((batch.source, batch.seq), stored);
        Placed { first_index, tree_size: u64::MAX, original: None }
    }

    /// The first answer for a batch that was stored before, in this bag or earlier.
    fn stored_before(
        &self,
        submission: &Submission,
        bag: &[Submission],
        placed: &[Placed],
    ) -> Option<Placed> {
        let stored = self.window.get(&(submission.batch.source, submission.batch.seq))?;
        self.shared.head().stats.duplicates += 1;
        let first_index = stored.first_index;
        // In this bag, whose group is not written yet?
        if let Some((first, at)) = bag.iter().zip(placed).find(|(_, at)| {
            at.original.is_none() && at.first_index == first_index && at.tree_size == u64::MAX
        }) {
            return Some(Placed { original: Some(Ok(first.leaf_hashes.clone())), ..at.clone() });
        }
        Some(match self.read_stored(&stored) {
            Ok((leaf_hashes, tree_size)) => {
                Placed { first_index, tree_size, original: Some(Ok(leaf_hashes)) }
            }
            Err(error) => {
                let error = AppendError::FirstUnreadable { first_index, cause: error.to_string() };
                Placed { first_index, tree_size: 0, original: Some(Err(error)) }
            }
        })
    }

    /// Reads a stored batch's leaf hashes and its group's tree size.
    fn read_stored(&self, stored: &Stored) -> io::Result<(Vec<Hash>, u64)> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let file = open_segment(self.shared.disk.as_ref(), stored.segment, Access::Read)?;
        let mut window = SegmentWindow::new(file, BLOCK_BYTES)?;
        let (header, bytes) = window.group(stored.group_offset)?.map_err(|fault| invalid(fault.what))?;
        let trailer = GroupTrailer::decode(bytes, &header).map_err(|fault| invalid(fault.what))?;
        let mut leaf_hashes = Vec::new();
        let mut index = header.first_index;
        for placed in Frames::new(bytes, &header) {
            if let Frame::Record(record) = placed.map_err(|fault| invalid(fault.what))?.frame {
                if (stored.first_index..stored.first_index + u64::from(stored.records)).contains(&index) {
                    leaf_hashes.push(leaf_hash(record.bytes));
                }
                index += 1;
            }
        }
        Ok((leaf_hashes, trailer.tree_size))
    }

    /// Puts the newest checkpoint that is in no group yet into this one.
    fn take_checkpoint(&mut self) -> Option<SignedCheckpoint> {
        let note = self.shared.head().to_log.take()?;
        if note.note().len() + FRAME_HEADER_BYTES <= CHECKPOINT_ROOM {
            self.builder.checkpoint(note.note().as_bytes());
        }
        Some(note)
    }

    fn give_back_checkpoint(&mut self, note: Option<SignedCheckpoint>) {
        let mut head = self.shared.head();
        if head.to_log.is_none() {
            head.to_log = note;
        }
    }

    /// Sees to it that a group of `bytes` can be written at the position, going to the next segment if need be.
    fn make_room(&mut self, bytes: usize) -> Result<(), Trouble> {
        let mut end = self.writer.position + bytes as u64;
        if end > self.writer.segment_bytes {
            let segment_bytes = self.shared.options.segment_bytes;
            let (number, file, zeroed) = self.shared.reserve.take_next(segment_bytes).map_err(full)?;
            self.writer.number = number;
            self.writer.file = file;
            self.writer.segment_bytes = segment_bytes;
            self.writer
                .begin(&self.shared.verifier)
                .map_err(|error| Trouble::Lost(format!("writing the header of segment {number}: {error}")))?;
            self.zeroed = zeroed;
            self.shared.sealing.advance(number);
            end = self.writer.position + bytes as u64;
        }
        if end > self.zeroed {
            self.zeroed = self.shared.reserve.wait_zeroed(end).map_err(full)?;
        }
        Ok(())
    }

    /// Writes the group in the builder; on success the chain stands behind it and it is published.
    fn write_group(&mut self, range: CompactRange, flags: u32) -> Result<(), Trouble> {
        let records = u64::from(self.builder.records());
        let root = range.root();
        let (bytes, group_hash) = self.builder.finish(&self.writer.chain, &range, &root, flags, wall_ns());
        let count = bytes.len() as u64;
        self.writer.file.write_durable(bytes, self.writer.position).map_err(|error| {
            let name = segment_name(self.writer.number);
            Trouble::Lost(format!("writing {name} at byte {}: {error}", self.writer.position))
        })?;
        self.writer.position += count;
        let chain = &mut self.writer.chain;
        chain.next_group += 1;
        chain.previous_hash = group_hash;
        chain.range = range;

        let mut head = self.shared.head();
        head.size = chain.range.size();
        head.root = root;
        head.stats.groups += 1;
        head.stats.records += records;
        head.stats.bytes += count;
        head.stats.segment = self.writer.number;
        head.stats.segment_position = self.writer.position;
        let newly_dirty = records > 0 && !head.dirty;
        head.dirty |= records > 0;
        drop(head);
        if newly_dirty {
            self.shared.head_changed.notify_all();
        }
        Ok(())
    }
}

/// Only a lack of space leaves the writer alive; anything else in the reserve is trouble with the disk.
fn full(failure: Failure) -> Trouble {
    match failure.kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Trouble::Full(failure)
        }
        _ => Trouble::Lost(format!("preparing a segment: {}", failure.text)),
    }
}

/// The checkpoint thread: signs when the log has grown, not more often than the interval, and when asked to.
fn sign_checkpoints(shared: &Shared) {
    let interval = shared.options.checkpoint_interval;
    let mut due = Instant::now();
    let mut head = shared.head();
    loop {
        let now = Instant::now();
        let asked = head.asked > head.answered;
        if !(asked || head.dirty && (now >= due || head.stop)) {
            if head.stop {
                return;
            }
            head = if head.dirty {
                let wait = due.saturating_duration_since(now);
                shared.head_changed.wait_timeout(head, wait).unwrap_or_else(PoisonError::into_inner).0
            } else {
                shared.head_changed.wait(head).unwrap_or_else(PoisonError::into_inner)
            };
            continue;
        }
        let (size, root, ticket, stopping) = (head.size, head.root, head.asked, head.stop);
        let known = head.checkpoint.clone().filter(|known| known.size() == size && *known.root() == root);
        head.dirty = false;
        drop(head);
        let stored = match known {
            Some(known) => Ok((known, false)),
            None => SignedCheckpoint::sign(&shared.options.key, &shared.options.origin, size, &root)
                .map_err(io::Error::other)
                .and_then(|signed| {
                    shared.disk.replace(CHECKPOINT_FILE, signed.note().as_bytes()).map(|()| (signed, true))
                }),
        };
        due = Instant::now() + interval;
        head = shared.head();
        match stored {
            Ok((signed, new)) => {
                head.error = None;
                if new {
                    head.to_log = Some(signed.clone());
                }
                head.checkpoint = Some(signed);
            }
            Err(error) => {
                head.error = Some(error.to_string());
                // Tried again after the interval; when closing, once is enough.
                head.dirty = !stopping;
            }
        }
        head.answered = ticket;
        shared.head_changed.notify_all();
    }
}
