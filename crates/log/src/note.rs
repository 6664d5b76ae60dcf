//! Signed notes and checkpoints: the log's signed statement of its size and root.
//!
//! The formats are C2SP [signed-note](https://c2sp.org/signed-note) and
//! [tlog-checkpoint](https://c2sp.org/tlog-checkpoint) with one Ed25519 signature (type `0x01`), so that Go's
//! `sumdb/note`, witnesses and `openssl pkeyutl -verify -rawin` can check them without this crate. Parsing is strict
//! and bounded; lines signed by unknown keys (witness cosignatures) are kept and ignored, as the spec demands.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

use crate::tree::Hash;

/// The longest note that is parsed, in bytes: room for 16 post-quantum cosignatures of 5 KB (the spec's minimum).
pub const MAX_NOTE_BYTES: usize = 128 * 1024;
/// The most signature lines that are looked at in one note.
pub const MAX_NOTE_SIGNATURES: usize = 64;
/// The longest origin (key name), in bytes.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// C2SP signature type of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;
pub(crate) const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note, a checkpoint or a verifier key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is not a well-formed signed note or checkpoint.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// The text of a verifier key is not `name+hexid+base64`, or the id does not belong to the key.
    #[error("malformed verifier key: {0}")]
    MalformedKey(&'static str),
    /// The origin is empty, too long, or has spaces, `+` or control characters.
    #[error("malformed origin: {0}")]
    MalformedOrigin(&'static str),
    /// The checkpoint speaks of another log.
    #[error("the checkpoint is of log {found:?}, not of {expected:?}")]
    WrongOrigin {
        /// The origin that the key belongs to.
        expected: String,
        /// The origin in the note.
        found: String,
    },
    /// No signature line is by this key.
    #[error("the checkpoint is not signed by {0}")]
    NotSigned(String),
    /// A signature line names this key, and the signature is wrong.
    #[error("the signature by {0} is wrong")]
    BadSignature(String),
}

/// Why a signing key could not be loaded or created.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing the key file failed.
    #[error("key file {path}: {source}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Group or others may read the key file.
    #[error("key file {path} can be read by others (mode {mode:o}); make it private: chmod 600")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold 64 hexadecimal digits and a newline.
    #[error("key file {path} is not 64 hexadecimal digits")]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The system gave no randomness for a new key.
    #[error("no randomness for a new key: {0}")]
    Random(String),
}

/// Checks a key name: not empty, at most [`MAX_ORIGIN_BYTES`], without spaces, `+` and control characters.
pub(crate) fn check_origin(origin: &str) -> Result<(), NoteError> {
    if origin.is_empty() {
        return Err(NoteError::MalformedOrigin("it is empty"));
    }
    if origin.len() > MAX_ORIGIN_BYTES {
        return Err(NoteError::MalformedOrigin("it is longer than 255 bytes"));
    }
    if origin.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(NoteError::MalformedOrigin("spaces, '+' and control characters are not allowed"));
    }
    Ok(())
}

/// The private Ed25519 key that signs checkpoints. Its memory is wiped on drop and it is never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 private key).
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Loads the key in `path`, or makes a new random one there (mode 0600, parent directories 0700).
    ///
    /// The file is the seed as 64 hexadecimal digits and a newline. Of two processes that create it at the same
    /// time one wins and both get its key. A file that others may read is refused.
    pub fn load_or_create(path: &Path) -> Result<SigningKey, KeyError> {
        let io_error = |source| KeyError::Io { path: path.to_owned(), source };
        match SigningKey::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io_error)?;
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|error| KeyError::Random(error.to_string()))?;
        let mut suffix = [0u8; 8];
        getrandom::fill(&mut suffix).map_err(|error| KeyError::Random(error.to_string()))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", hex(&suffix)));
        let temporary = path.with_file_name(name);
        let written = (|| {
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(format!("{}\n", hex(&seed)).as_bytes())?;
            file.sync_all()?;
            // A link, not a rename: it fails where another process has put its key meanwhile.
            std::fs::hard_link(&temporary, path)
        })();
        let removed = std::fs::remove_file(&temporary);
        match written {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.and(removed).map_err(io_error)?,
        }
        std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(io_error)?;
        SigningKey::load(path)
    }

    fn load(path: &Path) -> Result<SigningKey, KeyError> {
        let io_error = |source| KeyError::Io { path: path.to_owned(), source };
        let file = std::fs::OpenOptions::new().read(true).open(path).map_err(io_error)?;
        let mode = file.metadata().map_err(io_error)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(128).read_to_string(&mut text).map_err(io_error)?;
        let malformed = || KeyError::Malformed { path: path.to_owned() };
        let seed = unhex(text.trim_end()).ok_or_else(malformed)?;
        let seed: [u8; 32] = seed.try_into().map_err(|_| malformed())?;
        Ok(SigningKey::from_seed(&seed))
    }

    /// The raw public key.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The Ed25519 signature over `message`.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The public key under the name `origin`.
    pub fn verifier(&self, origin: &str) -> Result<VerifierKey, NoteError> {
        VerifierKey::new(origin, self.public())
    }
}

/// The public key of a log under its name; as text the C2SP vkey `name+hexid+base64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl VerifierKey {
    /// The key `key` under the name `name`; refuses malformed names and bytes that are no Ed25519 point.
    pub fn new(name: &str, key: [u8; 32]) -> Result<VerifierKey, NoteError> {
        Ok(VerifierKey { name: name.to_owned(), id: key_id(name, ED25519_TYPE, &key)?, key })
    }

    /// The key's name, which is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that stand before each signature of this key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The raw Ed25519 public key (RFC 8032).
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether `signature` is this key's over `message`, by the strict rules (no malleable or small-order values).
    fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        is_signed_by(&self.key, message, signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_key(&self.name, &self.id, ED25519_TYPE, &self.key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifierKey, NoteError> {
        let (name, id, key) = parse_key(text, ED25519_TYPE)?;
        Ok(VerifierKey { name, id, key })
    }
}

/// The id of a key of one C2SP signature type; refuses malformed names and bytes that are no Ed25519 point.
pub(crate) fn key_id(name: &str, signature_type: u8, key: &[u8; 32]) -> Result<[u8; 4], NoteError> {
    check_origin(name)?;
    ed25519_dalek::VerifyingKey::from_bytes(key)
        .map_err(|_| NoteError::MalformedKey("it is not an Ed25519 public key"))?;
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', signature_type]);
    hasher.update(key);
    let digest: Hash = hasher.finalize().into();
    Ok([digest[0], digest[1], digest[2], digest[3]])
}

/// Whether `signature` is by `key` over `message`, by the strict rules (no malleable or small-order values).
pub(crate) fn is_signed_by(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)))
        .is_ok()
}

/// A key as C2SP vkey: `name+hexid+base64`.
pub(crate) fn format_key(name: &str, id: &[u8; 4], signature_type: u8, key: &[u8; 32]) -> String {
    let mut typed = [signature_type; 33];
    typed[1..].copy_from_slice(key);
    format!("{name}+{}+{}", hex(id), BASE64.encode(typed))
}

/// Name, id and key of a C2SP vkey of the given type.
pub(crate) fn parse_key(text: &str, signature_type: u8) -> Result<(String, [u8; 4], [u8; 32]), NoteError> {
    if text.len() > MAX_ORIGIN_BYTES + 128 {
        return Err(NoteError::MalformedKey("it is too long"));
    }
    // The name has no '+', base64 may have: split at the first two.
    let mut parts = text.trim_end().splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::MalformedKey("it is not name+id+key"));
    };
    let typed = BASE64.decode(key).map_err(|_| NoteError::MalformedKey("the key is not base64"))?;
    let key = match typed.split_first() {
        Some((found, key)) if *found == signature_type => key,
        Some((0x01, _)) => return Err(NoteError::MalformedKey("it is a log's key, not a witness's")),
        Some((0x04, _)) => return Err(NoteError::MalformedKey("it is a witness's key, not a log's")),
        _ => return Err(NoteError::MalformedKey("it is not of type Ed25519")),
    };
    let key: [u8; 32] = key.try_into().map_err(|_| NoteError::MalformedKey("an Ed25519 key is 32 bytes"))?;
    let own = key_id(name, signature_type, &key)?;
    if id != hex(&own) {
        return Err(NoteError::MalformedKey("the id does not belong to name and key"));
    }
    Ok((name.to_owned(), own, key))
}

/// A checkpoint: the note text with its parsed size and root.
///
/// [`parse`](Self::parse) checks the form only; call [`verify`](Self::verify) before believing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    origin: String,
    size: u64,
    root: Hash,
    note: String,
    /// Length of the signed text within `note`, final newline included.
    body_bytes: usize,
}

impl SignedCheckpoint {
    /// Signs the statement "log `origin` has `size` records and the root `root`".
    ///
    /// The caller must never sign two statements that are not consistent (tlog-checkpoint, "Signatures").
    pub fn sign(
        key: &SigningKey,
        origin: &str,
        size: u64,
        root: &Hash,
    ) -> Result<SignedCheckpoint, NoteError> {
        let verifier = key.verifier(origin)?;
        let body = format!("{origin}\n{size}\n{}\n", BASE64.encode(root));
        let mut signature = [0u8; 68];
        signature[..4].copy_from_slice(&verifier.id);
        signature[4..].copy_from_slice(&key.sign_bytes(body.as_bytes()));
        let body_bytes = body.len();
        let note = format!("{body}\n{SIGNATURE_PREFIX}{origin} {}\n", BASE64.encode(signature));
        Ok(SignedCheckpoint { origin: origin.to_owned(), size, root: *root, note, body_bytes })
    }

    /// Parses a signed note whose text is a checkpoint, strictly; checks no signature.
    pub fn parse(note: &str) -> Result<SignedCheckpoint, NoteError> {
        let malformed = NoteError::Malformed;
        if note.len() > MAX_NOTE_BYTES {
            return Err(malformed("it is longer than 128 KiB"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(malformed("it has control characters"));
        }
        let split = note.rfind("\n\n").ok_or(malformed("there is no empty line before the signatures"))?;
        let (body, signatures) = (&note[..split + 1], &note[split + 2..]);
        if signatures.is_empty() || !signatures.ends_with('\n') {
            return Err(malformed("there is no complete signature line"));
        }
        if signatures.lines().count() > MAX_NOTE_SIGNATURES {
            return Err(malformed("there are too many signatures"));
        }
        for line in signatures.lines() {
            parse_signature_line(line)?;
        }
        let mut lines = body.split_terminator('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(malformed("there is no origin"))?;
        if origin.len() > MAX_ORIGIN_BYTES {
            return Err(malformed("the origin is longer than 255 bytes"));
        }
        let size =
            lines.next().and_then(parse_decimal).ok_or(malformed("the tree size is not a decimal number"))?;
        let root = lines
            .next()
            .and_then(parse_hash)
            .ok_or(malformed("the root is not a SHA-256 value in base64"))?;
        if lines.any(str::is_empty) {
            return Err(malformed("there is an empty extension line"));
        }
        Ok(SignedCheckpoint {
            origin: origin.to_owned(),
            size,
            root,
            note: note.to_owned(),
            body_bytes: body.len(),
        })
    }

    /// Parses `note` and verifies it with `key`.
    pub fn open(note: &str, key: &VerifierKey) -> Result<SignedCheckpoint, NoteError> {
        let checkpoint = SignedCheckpoint::parse(note)?;
        checkpoint.verify(key)?;
        Ok(checkpoint)
    }

    /// Checks that the origin is the key's name and that a signature line by `key` is right.
    ///
    /// Lines by other keys are ignored; a wrong signature under this key's name and id refuses the note even when
    /// another line is right (signed-note, "Signatures").
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if self.origin != key.name {
            return Err(NoteError::WrongOrigin { expected: key.name.clone(), found: self.origin.clone() });
        }
        let mut signed = false;
        for line in self.signature_lines() {
            let (name, signature) = parse_signature_line(line)?;
            if name != key.name || signature[..4] != key.id {
                continue;
            }
            let right = <&[u8; 64]>::try_from(&signature[4..])
                .is_ok_and(|signature| key.verifies(self.body().as_bytes(), signature));
            if !right {
                return Err(NoteError::BadSignature(key.name.clone()));
            }
            signed = true;
        }
        if signed { Ok(()) } else { Err(NoteError::NotSigned(key.name.clone())) }
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of records.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of the first [`size`](Self::size) records.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The whole note, as it is stored, sent and cosigned.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The text that the signatures cover, with its final newline.
    pub fn body(&self) -> &str {
        &self.note[..self.body_bytes]
    }

    /// The signature lines, the log's own and others'.
    pub fn signature_lines(&self) -> impl Iterator<Item = &str> {
        self.note[self.body_bytes + 1..].lines()
    }
}

/// `— name base64(id || signature)`; the signature bytes begin with the four bytes of the key id.
pub(crate) fn parse_signature_line(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let malformed = || NoteError::Malformed("a signature line is not '— name base64'");
    let (name, encoded) =
        line.strip_prefix(SIGNATURE_PREFIX).and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+') {
        return Err(malformed());
    }
    let signature = BASE64.decode(encoded).map_err(|_| malformed())?;
    if signature.len() < 5 { Err(malformed()) } else { Ok((name, signature)) }
}

/// A decimal number without sign or leading zeros, as the C2SP formats want it.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero { text.parse().ok() } else { None }
}

/// A SHA-256 value in standard base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 44 {
        return None;
    }
    BASE64.decode(text).ok()?.try_into().ok()
}

/// Standard base64 of a hash.
pub(crate) fn encode_hash(hash: &Hash) -> String {
    BASE64.encode(hash)
}

/// Standard base64 of any bytes and back.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decodes standard base64.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[9; 32])
    }

    #[test]
    fn the_example_of_the_spec_parses() {
        let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let checkpoint = SignedCheckpoint::parse(note).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.note(), note);
    }

    #[test]
    fn the_verifier_key_of_the_go_documentation_parses() {
        // golang.org/x/mod/sumdb/note, package example.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert!(text.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>().is_err());
    }

    #[test]
    fn a_signed_checkpoint_verifies_and_a_changed_one_does_not() {
        let signed = SignedCheckpoint::sign(&key(), "log.example/a", 42, &[5; 32]).unwrap();
        let verifier = key().verifier("log.example/a").unwrap();
        SignedCheckpoint::open(signed.note(), &verifier).unwrap();
        let changed = signed.note().replace("\n42\n", "\n43\n");
        assert!(matches!(SignedCheckpoint::open(&changed, &verifier), Err(NoteError::BadSignature(_))));
        let other = SigningKey::from_seed(&[8; 32]).verifier("log.example/a").unwrap();
        assert!(matches!(SignedCheckpoint::open(signed.note(), &other), Err(NoteError::NotSigned(_))));
    }

    #[test]
    fn unknown_signature_lines_are_tolerated_and_a_wrong_one_by_a_known_key_is_not() {
        let signed = SignedCheckpoint::sign(&key(), "log.example/a", 42, &[5; 32]).unwrap();
        let verifier = key().verifier("log.example/a").unwrap();
        let cosigned = format!("{}— witness.example/w AAAAAAAAAA==\n", signed.note());
        SignedCheckpoint::open(&cosigned, &verifier).unwrap();
        let mut wrong = [0u8; 68];
        wrong[..4].copy_from_slice(&verifier.id());
        let doubled = format!("{}— log.example/a {}\n", signed.note(), BASE64.encode(wrong));
        assert!(matches!(SignedCheckpoint::open(&doubled, &verifier), Err(NoteError::BadSignature(_))));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let root = BASE64.encode([1; 32]);
        let tail = "— a AAAAAAAAAA==\n";
        for body in [
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            "a\n1\nAAAA\n".to_owned(),
            "a\n1\n".to_owned(),
            format!("a\n1\n{root}\n\nx\n"),
            format!("a\r\n1\n{root}\n"),
        ] {
            assert!(SignedCheckpoint::parse(&format!("{body}\n{tail}")).is_err(), "{body:?}");
        }
        assert!(SignedCheckpoint::parse(&format!("a\n1\n{root}\next\n\n{tail}")).is_ok());
        for signatures in ["", "— a\n", "- a AAAAAAAAAA==\n", "— a AAAA\n", "— a AAAAAAAAAA=="] {
            assert!(
                SignedCheckpoint::parse(&format!("a\n1\n{root}\n\n{signatures}")).is_err(),
                "{signatures:?}"
            );
        }
    }
}
