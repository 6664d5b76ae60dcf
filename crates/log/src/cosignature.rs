//! Cosignatures: what a witness says of a checkpoint that it has checked against all it saw before.
//!
//! The format is C2SP [tlog-cosignature](https://c2sp.org/tlog-cosignature), `cosignature/v1`: an Ed25519 signature
//! (type `0x04`) over the note's text and the time at which it was made. It stands as one more signature line in the
//! checkpoint's note, so that the note alone proves that log and witness agree. Post-quantum lines (type `0x06`) are
//! kept in notes as lines of unknown keys.

use std::fmt;
use std::str::FromStr;

use crate::note::{
    MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, NoteError, SIGNATURE_PREFIX, SignedCheckpoint, SigningKey,
    decode_base64, encode_base64, format_key, is_signed_by, key_id, parse_key, parse_signature_line,
};

/// C2SP signature type of a timestamped Ed25519 cosignature.
const COSIGNATURE_TYPE: u8 = 0x04;
/// Key id, time and signature of a line.
const LINE_BYTES: usize = 4 + 8 + 64;

/// The public key of a witness under its name; as text the C2SP vkey `name+hexid+base64` of type `0x04`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl WitnessKey {
    /// The key `key` under the name `name`; refuses malformed names and bytes that are no Ed25519 point.
    pub fn new(name: &str, key: [u8; 32]) -> Result<WitnessKey, NoteError> {
        Ok(WitnessKey { name: name.to_owned(), id: key_id(name, COSIGNATURE_TYPE, &key)?, key })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that stand before each cosignature of this key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The raw Ed25519 public key (RFC 8032).
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The time at which this witness cosigned `checkpoint`, in seconds since 1970; `None` if it did not.
    ///
    /// # Errors
    /// When a line names this key and its signature is wrong: such a note is malformed as a whole (signed-note).
    pub fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<Option<u64>, NoteError> {
        let mut newest = None;
        for line in checkpoint.signature_lines() {
            newest = newest.max(self.time_in(line, checkpoint)?);
        }
        Ok(newest)
    }

    /// The same of one line; `None` for a line of another key.
    fn time_in(&self, line: &str, checkpoint: &SignedCheckpoint) -> Result<Option<u64>, NoteError> {
        let (name, signature) = parse_signature_line(line)?;
        if name != self.name || signature[..4] != self.id {
            return Ok(None);
        }
        let wrong = || NoteError::BadSignature(self.name.clone());
        let bytes: &[u8; LINE_BYTES] = signature.as_slice().try_into().map_err(|_| wrong())?;
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[4..12]);
        let time = u64::from_be_bytes(time);
        let mut signature = [0; 64];
        signature.copy_from_slice(&bytes[12..]);
        // The spec allows no time of 0 from a witness, nor one beyond 2^63 - 1.
        let is_right = (1..=i64::MAX as u64).contains(&time)
            && is_signed_by(&self.key, message(time, checkpoint).as_bytes(), &signature);
        if is_right { Ok(Some(time)) } else { Err(wrong()) }
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_key(&self.name, &self.id, COSIGNATURE_TYPE, &self.key))
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<WitnessKey, NoteError> {
        let (name, id, key) = parse_key(text, COSIGNATURE_TYPE)?;
        Ok(WitnessKey { name, id, key })
    }
}

/// What a cosignature signs.
fn message(time: u64, checkpoint: &SignedCheckpoint) -> String {
    format!("cosignature/v1\ntime {time}\n{}", checkpoint.body())
}

impl SigningKey {
    /// The public key of a witness that signs with this key. A key must serve one witness, and no log: the signed
    /// text does not name who signs.
    pub fn witness(&self, name: &str) -> Result<WitnessKey, NoteError> {
        WitnessKey::new(name, self.public())
    }
}

impl SignedCheckpoint {
    /// The signature line by which the witness `name` says that it holds this checkpoint at `time`, in seconds since
    /// 1970, for the newest that it saw of this log. Only [`crate::witness::decide`] says whether it may.
    pub fn cosign(&self, key: &SigningKey, name: &str, time: u64) -> Result<String, NoteError> {
        let witness = key.witness(name)?;
        let mut bytes = Vec::with_capacity(LINE_BYTES);
        bytes.extend_from_slice(&witness.id);
        bytes.extend_from_slice(&time.to_be_bytes());
        bytes.extend_from_slice(&key.sign_bytes(message(time, self).as_bytes()));
        Ok(format!("{SIGNATURE_PREFIX}{name} {}\n", encode_base64(&bytes)))
    }

    /// The same checkpoint with another signature line behind those that it has.
    ///
    /// # Errors
    /// When the line is none, or the note would grow beyond its limits.
    pub fn with_line(&self, line: &str) -> Result<SignedCheckpoint, NoteError> {
        SignedCheckpoint::parse(&format!("{}{}\n", self.note(), line.trim_end_matches('\n')))
    }

    /// The same checkpoint with only those signature lines that `keep` wants, in their order.
    ///
    /// # Errors
    /// When none is left.
    pub fn only_lines(&self, keep: impl Fn(&str) -> bool) -> Result<SignedCheckpoint, NoteError> {
        let lines = self.signature_lines().filter(|line| keep(line));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        SignedCheckpoint::parse(&format!("{}\n{lines}", self.body()))
    }
}

/// A witness's good line in what it answered, and the time in it; lines of unknown keys are ignored.
///
/// # Errors
/// When the answer is not signature lines, has none by `key`, or a wrong one.
pub fn cosignature_in(
    answer: &[u8],
    checkpoint: &SignedCheckpoint,
    key: &WitnessKey,
) -> Result<(String, u64), NoteError> {
    let malformed = NoteError::Malformed;
    if answer.len() > MAX_NOTE_BYTES {
        return Err(malformed("the answer is longer than 128 KiB"));
    }
    let text = std::str::from_utf8(answer).map_err(|_| malformed("the answer is not UTF-8"))?;
    if !text.ends_with('\n') || text.lines().count() > MAX_NOTE_SIGNATURES {
        return Err(malformed("the answer is not a few signature lines"));
    }
    let mut found = None;
    for line in text.split_terminator('\n') {
        if let Some(time) = key.time_in(line, checkpoint)? {
            found = Some((line.to_owned(), time));
        }
    }
    found.ok_or_else(|| NoteError::NotSigned(key.name.clone()))
}

/// The raw bytes of a signature line: key id, and for a cosignature the time and the signature.
pub fn line_bytes(line: &str) -> Option<Vec<u8>> {
    decode_base64(line.rsplit_once(' ')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> SignedCheckpoint {
        SignedCheckpoint::sign(&SigningKey::from_seed(&[9; 32]), "log.example/a", 42, &[5; 32]).unwrap()
    }

    #[test]
    fn a_cosigned_note_says_who_saw_it_when() {
        let (one, two) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let plain = checkpoint();
        let note = plain.with_line(&plain.cosign(&one, "w.example/1", 1_679_315_147).unwrap()).unwrap();
        let note = note.with_line(&plain.cosign(&two, "w.example/2", 1_679_315_148).unwrap()).unwrap();
        assert_eq!(note.signature_lines().count(), 3);
        let log = SigningKey::from_seed(&[9; 32]).verifier("log.example/a").unwrap();
        note.verify(&log).unwrap();
        let key = one.witness("w.example/1").unwrap();
        assert_eq!(key.cosigned(&note).unwrap(), Some(1_679_315_147));
        assert_eq!(key.cosigned(&plain).unwrap(), None);
        // The same key under another name is another witness.
        assert_eq!(one.witness("w.example/3").unwrap().cosigned(&note).unwrap(), None);
        let text = key.to_string();
        assert_eq!(text.parse::<WitnessKey>().unwrap(), key);
        assert!(text.parse::<crate::note::VerifierKey>().is_err(), "a log's key is of another type");
        assert!(log.to_string().parse::<WitnessKey>().is_err());
    }

    #[test]
    fn a_replayed_or_altered_cosignature_is_wrong() {
        let key = SigningKey::from_seed(&[1; 32]);
        let witness = key.witness("w.example/1").unwrap();
        let plain = checkpoint();
        let line = plain.cosign(&key, "w.example/1", 1_679_315_147).unwrap();
        assert!(cosignature_in(line.as_bytes(), &plain, &witness).is_ok());
        // For another size, as a replay of an older answer is.
        let other =
            SignedCheckpoint::sign(&SigningKey::from_seed(&[9; 32]), "log.example/a", 43, &[5; 32]).unwrap();
        assert!(matches!(cosignature_in(line.as_bytes(), &other, &witness), Err(NoteError::BadSignature(_))));
        assert!(other.with_line(&line).is_ok_and(|note| witness.cosigned(&note).is_err()));
        // Every byte counts, the time's too.
        let bytes = line_bytes(line.trim_end()).unwrap();
        assert_eq!(bytes.len(), LINE_BYTES);
        for at in 4..LINE_BYTES {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = format!("— w.example/1 {}\n", encode_base64(&changed));
            assert!(cosignature_in(changed.as_bytes(), &plain, &witness).is_err(), "{at}");
        }
        let timeless = plain.cosign(&key, "w.example/1", 0).unwrap();
        assert!(cosignature_in(timeless.as_bytes(), &plain, &witness).is_err());
    }

    #[test]
    fn what_is_not_lines_by_the_witness_is_refused_and_unknown_ones_are_ignored() {
        let key = SigningKey::from_seed(&[1; 32]);
        let witness = key.witness("w.example/1").unwrap();
        let plain = checkpoint();
        let line = plain.cosign(&key, "w.example/1", 7).unwrap();
        let unknown = plain.cosign(&SigningKey::from_seed(&[3; 32]), "w.example/9", 7).unwrap();
        let both = format!("{unknown}{line}");
        assert_eq!(cosignature_in(both.as_bytes(), &plain, &witness).unwrap().1, 7);
        for answer in ["", "\n", "<html>\n", line.trim_end(), &unknown, "— w.example/1 AAAA\n"] {
            assert!(cosignature_in(answer.as_bytes(), &plain, &witness).is_err(), "{answer:?}");
        }
        let many = line.repeat(MAX_NOTE_SIGNATURES + 1);
        assert!(cosignature_in(many.as_bytes(), &plain, &witness).is_err());
        assert!(cosignature_in(&[0xff, b'\n'], &plain, &witness).is_err());
    }

    #[test]
    fn the_example_of_the_spec_is_of_the_form() {
        let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
            — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let checkpoint = SignedCheckpoint::parse(note).unwrap();
        let bytes = line_bytes(checkpoint.signature_lines().nth(1).unwrap()).unwrap();
        assert_eq!(bytes.len(), LINE_BYTES);
        assert_eq!(u64::from_be_bytes(bytes[4..12].try_into().unwrap()), 1_679_315_147);
    }
}
