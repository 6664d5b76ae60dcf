//! What a witness does: C2SP [tlog-witness](https://c2sp.org/tlog-witness), without I/O.
//!
//! [`AddCheckpoint`] is the request; [`decide`] is the witness's whole judgement, a pure function of the newest
//! checkpoint that it cosigned. Whoever serves it has to keep one rule: store what [`Decision::Cosign`] names, durably,
//! before the cosignature leaves the house, and let no other request for the same log come between.

use crate::note::{
    MAX_NOTE_BYTES, NoteError, SignedCheckpoint, VerifierKey, encode_hash, parse_decimal, parse_hash,
};
use crate::proof::check_consistency;
use crate::tree::{EMPTY_ROOT, Hash};

/// The most lines that a consistency proof in a request may have.
pub const MAX_PROOF_LINES: usize = 63;
/// The longest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + (MAX_PROOF_LINES + 1) * 64;

/// The body of a request to `add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness cosigned last, as the client believes.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// The body's text.
    pub fn encode(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text += &encode_hash(hash);
            text.push('\n');
        }
        text.push('\n');
        text += self.checkpoint.note();
        text
    }

    /// Parses a body, strictly; proves nothing yet.
    ///
    /// # Errors
    /// When it is not of the form, or beyond its limits.
    pub fn parse(body: &[u8]) -> Result<AddCheckpoint, NoteError> {
        let malformed = NoteError::Malformed;
        if body.len() > MAX_REQUEST_BYTES {
            return Err(malformed("the request is too long"));
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("the request is not UTF-8"))?;
        let (head, note) =
            text.split_once("\n\n").ok_or(malformed("there is no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(parse_decimal)
            .ok_or(malformed("the first line is not 'old' and a size"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_LINES {
                return Err(malformed("the proof has more than 63 lines"));
            }
            proof.push(parse_hash(line).ok_or(malformed("a line is not a SHA-256 value in base64"))?);
        }
        Ok(AddCheckpoint { old, proof, checkpoint: SignedCheckpoint::parse(note)? })
    }
}

/// The newest checkpoint of a log that a witness cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Default for Seen {
    /// Of a log that was never cosigned.
    fn default() -> Seen {
        Seen { size: 0, root: EMPTY_ROOT }
    }
}

/// What a witness answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// 200: this is to be stored, and then the checkpoint cosigned.
    Cosign(Seen),
    /// 400: the request is malformed, or its old size is larger than its checkpoint.
    BadRequest,
    /// 403: no trusted key of the log signed it, or a line under such a key is wrong.
    Forbidden,
    /// 404: the log is not known.
    UnknownLog,
    /// 409: the last cosigned size is another, this one.
    Conflict(u64),
    /// 422: the checkpoint does not continue what was cosigned: a fork, or a proof that does not hold.
    Unprocessable,
}

impl Decision {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Decision::Cosign(_) => 200,
            Decision::BadRequest => 400,
            Decision::Forbidden => 403,
            Decision::UnknownLog => 404,
            Decision::Conflict(_) => 409,
            Decision::Unprocessable => 422,
        }
    }
}

/// Judges a request. `keys` are the keys trusted for its origin, none if the log is unknown; `seen` is what was
/// cosigned last.
///
/// By induction a fork or a rollback is never cosigned: the answer is [`Decision::Cosign`] only for a checkpoint that
/// a proof leads to from `seen` itself, and `seen` is replaced by that checkpoint.
pub fn decide(keys: &[VerifierKey], seen: &Seen, request: &AddCheckpoint) -> Decision {
    let checkpoint = &request.checkpoint;
    let mut is_signed = false;
    if !keys.iter().any(|key| key.name() == checkpoint.origin()) {
        return Decision::UnknownLog;
    }
    for key in keys {
        match checkpoint.verify(key) {
            Ok(()) => is_signed = true,
            // Not by this key: perhaps by another one.
            Err(NoteError::NotSigned(_) | NoteError::WrongOrigin { .. }) => {}
            Err(_) => return Decision::Forbidden,
        }
    }
    if !is_signed {
        return Decision::Forbidden;
    }
    if request.old > checkpoint.size() {
        return Decision::BadRequest;
    }
    if request.old != seen.size {
        return Decision::Conflict(seen.size);
    }
    // Covers an empty tree with another root, a proof from nothing that is not empty, and equal sizes with unequal
    // roots.
    match check_consistency(&request.proof, seen.size, &seen.root, checkpoint.size(), checkpoint.root()) {
        Ok(()) => Decision::Cosign(Seen { size: checkpoint.size(), root: *checkpoint.root() }),
        Err(_) => Decision::Unprocessable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;
    use crate::tree::{CompactRange, leaf_hash};

    const ORIGIN: &str = "log.example/a";

    fn key() -> SigningKey {
        SigningKey::from_seed(&[9; 32])
    }

    fn keys() -> Vec<VerifierKey> {
        vec![key().verifier(ORIGIN).unwrap()]
    }

    fn tree(size: u64, salt: u8) -> CompactRange {
        let mut range = CompactRange::new();
        (0..size).for_each(|index| range.push(leaf_hash(&[salt, index as u8])));
        range
    }

    fn seen(size: u64, salt: u8) -> Seen {
        Seen { size, root: tree(size, salt).root() }
    }

    fn request(old: u64, size: u64, salt: u8) -> AddCheckpoint {
        let mut growth = crate::growth::Growth::new(CompactRange::new());
        (0..size).for_each(|index| growth.push(leaf_hash(&[salt, index as u8])));
        let proof = growth.consistency(old.min(size), size).unwrap();
        let checkpoint = SignedCheckpoint::sign(&key(), ORIGIN, size, &growth.root()).unwrap();
        AddCheckpoint { old, proof, checkpoint }
    }

    #[test]
    fn a_request_survives_its_text_and_every_cut_is_refused() {
        let request = request(5, 13, 0);
        let text = request.encode();
        assert!(text.starts_with("old 5\n"));
        assert_eq!(AddCheckpoint::parse(text.as_bytes()).unwrap(), request);
        for length in 0..text.len() {
            assert!(AddCheckpoint::parse(&text.as_bytes()[..length]).is_err(), "{length}");
        }
        let long =
            text.replacen('\n', &format!("\n{}", format!("{}\n", encode_hash(&[1; 32])).repeat(63)), 1);
        assert!(AddCheckpoint::parse(long.as_bytes()).is_err());
        for bad in ["old 05", "old -5", "old  5", "Old 5", "old 5 ", "old 18446744073709551616", "old 5\r"] {
            assert!(AddCheckpoint::parse(text.replacen("old 5", bad, 1).as_bytes()).is_err(), "{bad}");
        }
        assert!(AddCheckpoint::parse(&[0xff; 10]).is_err());
    }

    #[test]
    fn each_answer_of_the_specification() {
        let none = Seen::default();
        assert_eq!(decide(&keys(), &none, &request(0, 5, 0)), Decision::Cosign(seen(5, 0)));
        assert_eq!(decide(&keys(), &seen(5, 0), &request(5, 13, 0)), Decision::Cosign(seen(13, 0)));
        assert_eq!(decide(&keys(), &seen(5, 0), &request(5, 5, 0)), Decision::Cosign(seen(5, 0)));
        assert_eq!(decide(&keys(), &none, &request(0, 0, 0)), Decision::Cosign(none));
        // Unknown log, unknown key, a wrong signature beside a right one.
        assert_eq!(decide(&[], &none, &request(0, 5, 0)), Decision::UnknownLog);
        let other = SigningKey::from_seed(&[8; 32]).verifier(ORIGIN).unwrap();
        assert_eq!(decide(std::slice::from_ref(&other), &none, &request(0, 5, 0)), Decision::Forbidden);
        assert_eq!(
            decide(&[other, keys().remove(0)], &none, &request(0, 5, 0)),
            Decision::Cosign(seen(5, 0))
        );
        let mut doubled = request(0, 5, 0);
        let line = SignedCheckpoint::sign(&key(), ORIGIN, 6, &[0; 32]).unwrap();
        doubled.checkpoint = doubled.checkpoint.with_line(line.signature_lines().next().unwrap()).unwrap();
        assert_eq!(decide(&keys(), &none, &doubled), Decision::Forbidden);
        // A rollback, whatever it says of itself.
        assert_eq!(decide(&keys(), &seen(13, 0), &request(13, 5, 0)), Decision::BadRequest);
        assert_eq!(decide(&keys(), &seen(13, 0), &request(5, 5, 0)), Decision::Conflict(13));
        assert_eq!(decide(&keys(), &seen(13, 0), &request(0, 20, 0)), Decision::Conflict(13));
        // A fork: longer, as long, and from nothing.
        assert_eq!(decide(&keys(), &seen(5, 0), &request(5, 13, 1)), Decision::Unprocessable);
        assert_eq!(decide(&keys(), &seen(5, 0), &request(5, 5, 1)), Decision::Unprocessable);
        let mut with_proof = request(0, 5, 0);
        with_proof.proof.push([0; 32]);
        assert_eq!(decide(&keys(), &none, &with_proof), Decision::Unprocessable);
        let mut cut = request(5, 13, 0);
        cut.proof.pop();
        assert_eq!(decide(&keys(), &seen(5, 0), &cut), Decision::Unprocessable);
        let mut empty = request(0, 0, 0);
        empty.checkpoint = SignedCheckpoint::sign(&key(), ORIGIN, 0, &[1; 32]).unwrap();
        assert_eq!(decide(&keys(), &none, &empty), Decision::Unprocessable);
    }
}
