//! Content: what a record refers to out of line (arguments, results, prompts, payloads).
//!
//! A record holds only a digest of its content, so that content can be withheld or erased
//! while the record stays provable. The digest is HMAC-SHA256 under a salt that is kept with
//! the content and nowhere else: whoever is given the content can check it
//! (`openssl dgst -sha256 -mac HMAC -macopt hexkey:SALT`), whoever is not can't guess it. The
//! salt is derived from the content, its scope and a key of the recorder, so that equal
//! content in one scope has one digest, and the same bytes elsewhere have another.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::Arc;

/// Prefix of a digest, naming its algorithm.
pub const DIGEST_PREFIX: &str = "hmac-sha256:";

/// How many characters of content a record shows by itself.
pub const PREVIEW_CHARS: usize = 160;

/// A reference from a record to its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContentRef {
    /// What it is to the record: `raw`, `args`, `result`, `stdout`, `stderr`, `prompt`,
    /// `text`, `thinking`, `file` …
    pub role: String,
    /// `hmac-sha256:` and 64 hex digits.
    pub digest: String,
    /// Length in bytes.
    pub len: u64,
    /// Media type.
    pub media: String,
    /// How many secrets were taken out before it was stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u32,
    /// Name of the key that it is stored sealed under: 32 hex digits. Absent for what is stored as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Digest of the sealed bytes as they are stored, HMAC-SHA256 under the kid, in the form of `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl ContentRef {
    /// The 32 bytes of the digest, if it is of the one known form.
    pub fn digest_bytes(&self) -> Option<[u8; 32]> {
        unhex(self.digest.strip_prefix(DIGEST_PREFIX)?)?.try_into().ok()
    }

    /// The digest of what is stored: of the sealed bytes, or of the content itself where it is not sealed.
    pub fn stored_digest(&self) -> Option<[u8; 32]> {
        match &self.sealed {
            Some(sealed) => unhex(sealed.strip_prefix(DIGEST_PREFIX)?)?.try_into().ok(),
            None => self.digest_bytes(),
        }
    }

    /// The name of the key that it is sealed under.
    pub fn kid_bytes(&self) -> Option<[u8; 16]> {
        unhex(self.kid.as_ref()?)?.try_into().ok()
    }
}

/// Content with the salt that its digest was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Key of the digest.
    pub salt: [u8; 16],
    /// The bytes themselves.
    pub bytes: Vec<u8>,
}

impl Content {
    /// The digest by which a record refers to it.
    pub fn digest(&self) -> [u8; 32] {
        hmac_sha256(&self.salt, &[&self.bytes])
    }
}

/// What a scope's salts are made with beside the recorder's own secret. It is gone with the key of the scope, and then
/// nobody can confirm a guess at what a digest is of.
pub trait Peppers: Send + Sync {
    /// That of a scope; `None` if it has none.
    fn pepper(&self, scope: &str) -> Option<[u8; 32]>;
}

/// The recorder's secret from which salts and fingerprints are derived. Losing it harms
/// nothing that is stored; leaking it lets low-entropy content be guessed from its digest, but for
/// that of scopes with a pepper.
#[derive(Clone)]
pub struct ContentKey {
    secret: [u8; 32],
    peppers: Option<Arc<dyn Peppers>>,
}

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

impl ContentKey {
    /// A key from 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> ContentKey {
        ContentKey { secret: bytes, peppers: None }
    }

    /// The same secret, with a pepper for each scope.
    pub fn with_peppers(self, peppers: Arc<dyn Peppers>) -> ContentKey {
        ContentKey { peppers: Some(peppers), ..self }
    }

    /// The same secret, without peppers.
    pub fn plain(&self) -> ContentKey {
        ContentKey::new(self.secret)
    }

    /// Gives `bytes` a salt and a digest. `scope` is what equality of content may be seen
    /// within: the session's id.
    pub fn seal(&self, scope: &str, role: &str, media: &str, bytes: Vec<u8>) -> (ContentRef, Content) {
        let parts = [b"fdr content salt v1\0", scope.as_bytes(), b"\0", &bytes];
        let mac = match self.peppers.as_ref().and_then(|peppers| peppers.pepper(scope)) {
            Some(pepper) => hmac_sha256(&pepper, &parts),
            None => self.keyed(&parts),
        };
        let mut salt = [0; 16];
        salt.copy_from_slice(&mac[..16]);
        let reference = ContentRef {
            role: role.to_owned(),
            digest: format!("{DIGEST_PREFIX}{}", hex(&hmac_sha256(&salt, &[&bytes]))),
            len: bytes.len() as u64,
            media: media.to_owned(),
            redacted: 0,
            kid: None,
            sealed: None,
        };
        (reference, Content { salt, bytes })
    }

    /// A short name for a secret that tells where it turns up again without telling what it
    /// is: 16 hex digits of HMAC-SHA256 under this key.
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        hex(&self.keyed(&[b"fdr secret fingerprint v1\0", secret])[..8])
    }

    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac_sha256(&self.secret, parts)
    }
}

pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// Bytes of lower-case hex; `None` if it is something else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// The beginning of `text`, at most [`PREVIEW_CHARS`] characters, `…` where it was cut.
pub fn preview(text: &str) -> String {
    match text.char_indices().nth(PREVIEW_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_has_one_digest_within_a_scope_and_another_outside() {
        let key = ContentKey::new([7; 32]);
        let digest = |scope, bytes: &[u8]| key.seal(scope, "raw", "text/plain", bytes.to_vec()).0.digest;
        assert_eq!(digest("s1", b"yes"), digest("s1", b"yes"));
        assert_ne!(digest("s1", b"yes"), digest("s2", b"yes"));
        assert_ne!(digest("s1", b"yes"), digest("s1", b"no"));
    }

    #[test]
    fn a_digest_is_the_hmac_of_the_bytes_under_the_salt() {
        let (reference, content) = ContentKey::new([7; 32]).seal("s", "raw", "text/plain", b"hello".to_vec());
        assert_eq!(reference.digest_bytes(), Some(hmac_sha256(&content.salt, &[b"hello"])));
        // RFC 4231 test case 2.
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_preview_is_cut_between_characters() {
        let long = "é".repeat(PREVIEW_CHARS + 1);
        assert_eq!(preview(&long).chars().count(), PREVIEW_CHARS + 1);
        assert!(preview(&long).ends_with('…'));
        assert_eq!(preview("short"), "short");
    }
}
