//! An append-only, tamper-evident log.

mod committer;
pub mod disk;
mod group;
mod lock;
mod note;
mod proof;
mod reader;
mod recovery;
mod reserve;
mod segment;
mod tree;
mod verify;
mod window;

pub use committer::{Ack, AppendError, Batch, Content, Level, Log, Options, Pending, Stats};
pub use group::{MAX_CHUNK_BYTES, MAX_CONTENT_BYTES, MAX_GROUP_BYTES, MAX_RECORD_BYTES};
pub use lock::{Holder, lock_holder};
pub use note::{KeyError, NoteError, SignedCheckpoint, SigningKey, VerifierKey};
pub use proof::{
    ProofError, Prover, TlogProof, check_consistency, check_inclusion, prove_consistency, prove_inclusion,
};
pub use reader::{Entry, ReadError, Reader, Records, RecordsRev};
pub use recovery::{Damage, OpenError, Recovery, Torn};
pub use segment::FORMAT_VERSION;
pub use tree::{CompactRange, EMPTY_ROOT, Hash, content_digest, leaf_hash, node_hash};
pub use verify::{
    Agreement, CheckedRecord, Compared, MAX_LISTED_DAMAGES, Progress, Report, TornTail, VerifyError, Visitor,
    verify, verify_on, verify_with,
};
pub use window::WINDOW_BATCHES;
