//! An append-only, tamper-evident log.
//!
//! What it guarantees:
//! - **Acked is durable.** [`Pending::wait`] returns an [`Ack`] only after the group with the records and their contents
//!   is on disk. A batch is there whole or not at all.
//! - **Nothing is lost silently.** Opening sets at most one torn, un-acked group at the very end aside, keeps its bytes
//!   and says so ([`Recovery::torn`]). Everything else that is not as it was written is [`OpenError::Damaged`].
//! - **Nothing is changed silently.** Records are leaves of a Merkle tree (RFC 6962) whose root is signed in checkpoints
//!   (C2SP tlog-checkpoint). [`verify`] recomputes all of it from the stored bytes. A cut-off end or a rewrite by the
//!   holder of the key is found with any older checkpoint kept elsewhere.
//! - **Others can check.** Checkpoints are C2SP signed notes, proofs are C2SP tlog-proof files, a content digest is a
//!   plain HMAC-SHA256; see FORMAT.md for the bytes on disk.
//!
//! What is deliberately absent: the log knows nothing of JSON or of what a record means, it has no network, and nothing
//! but this crate reads its files. It deletes in two places only: a full segment whose compressed form was read back and
//! compared (`sealed.rs`), and whole segments from the beginning when told to ([`Log::prune`]).
//!
//! # Use
//! ```
//! use fdr_log::{Batch, Content, Log, Options, Reader, SigningKey, verify};
//!
//! # let home = tempfile::tempdir()?;
//! # let home = home.path();
//! let key = SigningKey::load_or_create(&home.join("log.key"))?;
//! let (log, recovery) = Log::open(&home.join("log"), Options::new("example.com/recorder1", key))?;
//! assert!(recovery.torn.is_none());
//!
//! let content = Content { salt: [7; 16], bytes: b"the whole output".to_vec() }; // take a random salt
//! let digest = content.digest();
//! let ack = log.append(Batch {
//!     source: [1; 16],
//!     seq: 0,
//!     records: vec![b"it ran, see the output".to_vec()],
//!     contents: vec![content],
//! })?;
//! assert_eq!(ack.first_index, 0);
//!
//! let reader = Reader::open(&home.join("log"))?;
//! assert_eq!(reader.record(0)?.bytes, b"it ran, see the output");
//! assert_eq!(reader.content(0, &digest)?.map(|content| content.bytes), Some(b"the whole output".to_vec()));
//!
//! let kept_elsewhere = log.sync_checkpoint()?;
//! let public = log.verifier().clone();
//! log.close()?;
//! let report = verify(&home.join("log"), &public, &[kept_elsewhere], &mut |_| {})?;
//! assert!(report.is_intact());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files
//! The flow is submit ([`Log`], `committer.rs`) → group (`group.rs`) → segment (`segment.rs`, zeroed ahead by
//! `reserve.rs`) → disk (`disk.rs`, the one seam). Full segments are compressed by `sealing.rs` (`sealed.rs`,
//! `regroup.rs`) and removed from the beginning by `pruned.rs`. `recovery.rs` opens, `reader.rs` reads, `verify.rs`
//! checks, `proof.rs` proves, `tiles.rs` exports, `note.rs` signs, `tree.rs` hashes. `witness.rs`, `cosignature.rs` and
//! `growth.rs` are what a witness and its client need; they do no I/O.

mod committer;
pub mod cosignature;
pub mod disk;
mod group;
pub mod growth;
mod lock;
mod note;
mod proof;
mod pruned;
mod reader;
mod recovery;
mod regroup;
mod reserve;
mod sealed;
mod sealing;
mod segment;
mod subset;
mod tiles;
mod tree;
mod verify;
mod wait;
mod window;
pub mod witness;

pub use committer::{Ack, AppendError, Batch, Content, Level, Levels, Log, Options, Pending, Stats};
pub use cosignature::WitnessKey;
pub use group::{MAX_CHUNK_BYTES, MAX_CONTENT_BYTES, MAX_GROUP_BYTES, MAX_RECORD_BYTES};
pub use lock::{Holder, lock_holder};
pub use note::{KeyError, NoteError, SignedCheckpoint, SigningKey, VerifierKey};
pub use proof::{
    ProofError, Prover, TlogProof, check_consistency, check_inclusion, prove_consistency, prove_inclusion,
};
pub use pruned::{PruneError, Pruned};
pub use reader::{Entry, ReadError, Reader, Records, RecordsRev, SegmentInfo};
pub use recovery::{Damage, OpenError, Recovery, Torn};
pub use sealed::{MAX_DICTIONARY_BYTES, SealedError, dictionary_digest, seal_bytes, unseal};
pub use sealing::seal_on;
pub use segment::FORMAT_VERSION;
pub use subset::subset_root;
pub use tiles::{ExportError, Exported, export_tiles};
pub use tree::{CompactRange, EMPTY_ROOT, Hash, content_digest, leaf_hash, node_hash};
pub use verify::{
    Agreement, CheckedRecord, Compared, MAX_LISTED_DAMAGES, Progress, Report, TornTail, VerifyError, Visitor,
    verify, verify_on, verify_with,
};
pub use window::WINDOW_BATCHES;
