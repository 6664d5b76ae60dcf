//! Content sealed under a key that can be destroyed: what remains of it then is noise, and nobody can pass anything off
//! for what it was.
//!
//! Sealed bytes, integers little-endian:
//!
//! ```text
//!  0   8  "FDRSEAL1"
//!  8   1  flags: 1 the text is compressed (zstd), 2 it is fields of a record and not a content
//!  9   3  zero
//! 12   4  length of the text
//! 16  32  commitment to the key; the key's id (kid) is its first 16 bytes
//! 48  12  nonce
//! 60   …  AES-256-GCM (NIST SP 800-38D) of salt (16 bytes, of a content) ‖ text, with its tag of 16 bytes;
//!         the associated data are bytes 0 to 48
//! ```
//!
//! Everything is derived from one secret of 32 bytes a session, by HMAC-SHA256 under it of a word each: the key of
//! the cipher, the key that makes nonces, the commitment, and the pepper of the session's digests.
//!
//! **No nonce twice.** A nonce is the beginning of HMAC-SHA256 of the associated data and of what is encrypted: two
//! messages share one only if they are the same message, or by a chance of 2⁻⁹⁶ a pair (2⁻³³ for 2³² messages).
//!
//! **No second plaintext.** AES-GCM alone does not commit to its key: for one ciphertext two keys can be made under
//! which it opens as two texts. Here it can't be shown as two:
//! - A record is a leaf of the log's tree, and holds the HMAC-SHA256, under a public salt, of the sealed bytes (or these
//!   themselves), so the sealed bytes are fixed, with the commitment in them.
//! - [`SealKey::open`] makes the commitment of the key that it is given anew and compares all 32 bytes. Two keys with one
//!   commitment are a collision of HMAC-SHA256 on keys of one length, that is of SHA-256.
//! - For one key and one ciphertext, AES-GCM gives one text.
//! - A content's record also holds `digest`, the HMAC-SHA256 of the text under the salt that is sealed with it. Another
//!   text would need a collision there too.
//!
//! The kid is only a name: nothing rests on its 128 bits.

use crate::{Body, Content, ContentRef, DIGEST_PREFIX, Record, hex};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 8] = b"FDRSEAL1";
const FLAG_COMPRESSED: u8 = 1;
const FLAG_FIELDS: u8 = 2;
/// Bytes before the nonce; they are authenticated.
const HEAD_BYTES: usize = 48;
/// Bytes before the ciphertext.
const PREFIX_BYTES: usize = 60;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Level of zstd: the agent waits for it.
const LEVEL: i32 = 1;

/// Name of a key: 32 hex digits in records.
pub type Kid = [u8; 16];

/// The name out of its digits.
pub fn kid(text: &str) -> Option<Kid> {
    crate::unhex(text)?.try_into().ok()
}

/// Why sealed bytes can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// They do not begin as sealed bytes do, or are too short.
    #[error("these are not sealed bytes of a form that is known")]
    Form,
    /// They were sealed under another key.
    #[error("they were sealed under another key")]
    OtherKey,
    /// They were altered after they were sealed.
    #[error("they are not as they were sealed")]
    Altered,
    /// They open, and are not what the record's digest says.
    #[error("they open as something else than the record says")]
    OtherContent,
}

/// Sealed bytes, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    head: &'a [u8; HEAD_BYTES],
    nonce: [u8; 12],
    ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the form of sealed bytes; opens nothing.
    ///
    /// # Errors
    /// When they have another form.
    pub fn parse(bytes: &'a [u8]) -> Result<Sealed<'a>, OpenError> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(OpenError::Form)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<12>().ok_or(OpenError::Form)?;
        let sealed = Sealed { head, nonce: *nonce, ciphertext };
        let is_known = head[..8] == *MAGIC
            && head[8] & !(FLAG_COMPRESSED | FLAG_FIELDS) == 0
            && head[9..12] == [0; 3]
            && ciphertext.len() >= TAG_BYTES + if sealed.is_fields() { 0 } else { SALT_BYTES };
        if is_known { Ok(sealed) } else { Err(OpenError::Form) }
    }

    /// Name of the key that opens them.
    pub fn kid(&self) -> Kid {
        *self.commitment().first_chunk().expect("a commitment is longer than a kid")
    }

    fn commitment(&self) -> &[u8; 32] {
        self.head.last_chunk().expect("the head ends with the commitment")
    }

    fn is_fields(&self) -> bool {
        self.head[8] & FLAG_FIELDS != 0
    }

    fn is_compressed(&self) -> bool {
        self.head[8] & FLAG_COMPRESSED != 0
    }

    /// Length of the text.
    fn len(&self) -> u32 {
        u32::from_le_bytes(*self.head[12..].first_chunk().expect("it is in the head"))
    }
}

/// The secret of one session, with what is derived from it. Wiped from memory when it is dropped.
pub struct SealKey {
    secret: Zeroizing<[u8; 32]>,
    cipher: Aes256Gcm,
    nonces: Zeroizing<[u8; 32]>,
    pepper: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", hex(&self.kid()))
    }
}

impl SealKey {
    /// A key from 32 random bytes.
    pub fn new(secret: Zeroizing<[u8; 32]>) -> SealKey {
        let derive = |word: &[u8]| Zeroizing::new(crate::content::hmac_sha256(secret.as_ref(), &[word]));
        let cipher = derive(b"fdr seal v1: cipher");
        SealKey {
            cipher: Aes256Gcm::new((&*cipher).into()),
            nonces: derive(b"fdr seal v1: nonces"),
            pepper: derive(b"fdr seal v1: pepper"),
            commitment: *derive(b"fdr seal v1: commitment"),
            secret,
        }
    }

    /// The 32 bytes that it is made of.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Its name.
    pub fn kid(&self) -> Kid {
        *self.commitment.first_chunk().expect("a commitment is longer than a kid")
    }

    /// What makes this session's digests; see [`crate::ContentKey`].
    pub fn pepper(&self) -> &[u8; 32] {
        &self.pepper
    }

    /// Seals a content, and says so in the references to it: those with its digest.
    pub fn seal(&self, content: &Content) -> Content {
        Content { salt: self.kid(), bytes: self.encrypt(0, &content.salt, &content.bytes) }
    }

    /// Opens what a reference refers to, and checks that it is that.
    ///
    /// # Errors
    /// When it was sealed under another key, was altered, or is not what the reference says.
    pub fn open(&self, sealed: &[u8], reference: &ContentRef) -> Result<Content, OpenError> {
        let content = self.open_unchecked(sealed)?;
        match reference.digest_bytes() == Some(content.digest()) {
            true => Ok(content),
            false => Err(OpenError::OtherContent),
        }
    }

    /// Opens a content without a record that says what it is.
    ///
    /// # Errors
    /// When it was sealed under another key, or was altered.
    pub fn open_unchecked(&self, sealed: &[u8]) -> Result<Content, OpenError> {
        let sealed = Sealed::parse(sealed)?;
        if sealed.is_fields() {
            return Err(OpenError::Form);
        }
        let (salt, bytes) = self.decrypt(&sealed)?;
        Ok(Content { salt, bytes })
    }

    fn encrypt(&self, flags: u8, salt: &[u8], text: &[u8]) -> Vec<u8> {
        let len = u32::try_from(text.len()).expect("a message is shorter than 4 GiB");
        let packed = zstd::bulk::compress(text, LEVEL).ok().filter(|packed| packed.len() < text.len());
        let (flags, body) = match &packed {
            Some(packed) => (flags | FLAG_COMPRESSED, packed.as_slice()),
            None => (flags, text),
        };
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + salt.len() + body.len() + TAG_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[flags, 0, 0, 0]);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&self.commitment);
        let mut plain = Vec::with_capacity(salt.len() + body.len());
        plain.extend_from_slice(salt);
        plain.extend_from_slice(body);
        let mac = crate::content::hmac_sha256(self.nonces.as_ref(), &[&bytes, &plain]);
        let nonce: [u8; 12] = *mac.first_chunk().expect("a digest is longer than a nonce");
        let payload = Payload { msg: &plain, aad: &bytes };
        let ciphertext =
            self.cipher.encrypt(&Nonce::from(nonce), payload).expect("a message is shorter than 64 GiB");
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&ciphertext);
        plain.as_mut_slice().zeroize();
        bytes
    }

    fn decrypt(&self, sealed: &Sealed<'_>) -> Result<([u8; SALT_BYTES], Vec<u8>), OpenError> {
        if *sealed.commitment() != self.commitment {
            return Err(OpenError::OtherKey);
        }
        let payload = Payload { msg: sealed.ciphertext, aad: sealed.head };
        let mut plain =
            self.cipher.decrypt(&Nonce::from(sealed.nonce), payload).map_err(|_| OpenError::Altered)?;
        let mut salt = [0; SALT_BYTES];
        if !sealed.is_fields() {
            let (head, rest) = plain.split_first_chunk::<SALT_BYTES>().ok_or(OpenError::Form)?;
            (salt, plain) = (*head, rest.to_vec());
        }
        let len = sealed.len() as usize;
        if sealed.is_compressed() {
            plain = zstd::bulk::decompress(&plain, len).map_err(|_| OpenError::Form)?;
        }
        if plain.len() == len { Ok((salt, plain)) } else { Err(OpenError::Form) }
    }
}

/// A secret wrapped under a key-encryption key: nonce (12 bytes) ‖ AES-256-GCM, bound to `about`.
pub fn wrap(kek: &[u8; 32], nonce: [u8; 12], about: &[u8], secret: &[u8; 32]) -> Vec<u8> {
    let payload = Payload { msg: secret, aad: about };
    let cipher = Aes256Gcm::new(kek.into());
    let wrapped = cipher.encrypt(&Nonce::from(nonce), payload).expect("32 bytes are a short message");
    [nonce.as_slice(), &wrapped].concat()
}

/// The secret again; `None` if it was wrapped under another key, for something else, or altered.
pub fn unwrap(kek: &[u8; 32], about: &[u8], wrapped: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let (nonce, msg) = wrapped.split_first_chunk::<12>()?;
    let opened = Aes256Gcm::new(kek.into()).decrypt(&Nonce::from(*nonce), Payload { msg, aad: about });
    let mut opened = opened.ok()?;
    let mut secret = Zeroizing::new([0; 32]);
    let fits = opened.len() == secret.len();
    if fits {
        secret.copy_from_slice(&opened);
    }
    opened.as_mut_slice().zeroize();
    if !fits {
        return None;
    }
    Some(secret)
}

/// What a record itself tells of its contents, in words: it would outlive their key, so it is sealed with them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    /// Of the rules of an intent, in their order: the words of the prompt that they were read from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<String>,
}

/// The words that the rules of an intent were read from.
fn words(body: &mut Body) -> impl Iterator<Item = &mut String> {
    let rules = match body {
        Body::Intent(intent) => Some(intent.allow.iter_mut().chain(&mut intent.exclude)),
        _ => None,
    };
    rules.into_iter().flatten().map(|rule| &mut rule.words)
}

impl Fields {
    /// Calls `each` with every field of a body that is sealed, and its place here: a text that is empty when it is
    /// sealed, or one that is absent.
    fn each(
        &mut self,
        body: &mut Body,
        text: &mut dyn FnMut(&mut String, &mut Option<String>),
        option: &mut dyn FnMut(&mut Option<String>, &mut Option<String>),
    ) {
        match body {
            Body::Prompt(body) => text(&mut body.preview, &mut self.preview),
            Body::Message(body) => text(&mut body.preview, &mut self.preview),
            Body::Context(body) => option(&mut body.preview, &mut self.preview),
            Body::Decision(body) => {
                option(&mut body.stated, &mut self.stated);
                option(&mut body.thinking, &mut self.thinking);
            }
            Body::Action(body) => text(&mut body.summary, &mut self.summary),
            Body::Result(body) => {
                option(&mut body.preview, &mut self.preview);
                option(&mut body.reason, &mut self.reason);
            }
            Body::Intent(body) => text(&mut body.summary, &mut self.summary),
            Body::ApprovalRequest(body) | Body::ApprovalGrant(body) | Body::ApprovalDeny(body) => {
                text(&mut body.summary, &mut self.summary);
            }
            Body::Unparsed(body) => text(&mut body.reason, &mut self.reason),
            _ => {}
        }
    }
}

/// Takes the words out of a record that its contents give, and seals them into it.
pub fn seal_fields(record: &mut Record, key: &SealKey) {
    let mut fields = Fields::default();
    fields.each(
        &mut record.body,
        &mut |text, field| *field = Some(std::mem::take(text)).filter(|text| !text.is_empty()),
        &mut |option, field| *field = option.take(),
    );
    fields.words = words(&mut record.body).map(std::mem::take).collect();
    if fields.words.iter().all(String::is_empty) {
        fields.words.clear();
    }
    if fields != Fields::default() {
        let mut text = serde_json::to_vec(&fields).expect("texts can be written as JSON");
        record.sealed = Some(STANDARD_NO_PAD.encode(key.encrypt(FLAG_FIELDS, &[], &text)));
        text.as_mut_slice().zeroize();
    }
}

/// Puts the words back that [`seal_fields`] took out.
///
/// # Errors
/// When they were sealed under another key, or were altered.
pub fn open_fields(record: &mut Record, key: &SealKey) -> Result<(), OpenError> {
    let Some(bytes) = sealed_fields(record) else { return Ok(()) };
    let bytes = bytes?;
    let sealed = Sealed::parse(&bytes)?;
    if !sealed.is_fields() {
        return Err(OpenError::Form);
    }
    let (_, text) = key.decrypt(&sealed)?;
    let mut fields: Fields = serde_json::from_slice(&text).map_err(|_| OpenError::Form)?;
    fields.each(
        &mut record.body,
        &mut |text, field| {
            if let Some(field) = field.take() {
                *text = field;
            }
        },
        &mut |option, field| *option = field.take().or(option.take()),
    );
    for (word, field) in words(&mut record.body).zip(fields.words) {
        *word = field;
    }
    record.sealed = None;
    Ok(())
}

/// Puts a remark in place of the words that can't be put back.
pub fn say_instead(record: &mut Record, remark: &str) {
    let is_first = &mut true;
    Fields::default().each(
        &mut record.body,
        &mut |text, _| *text = remark.to_owned(),
        // Which of them there were is not known: one stands for all.
        &mut |option, _| *option = std::mem::take(is_first).then(|| remark.to_owned()),
    );
}

fn sealed_fields(record: &Record) -> Option<Result<Vec<u8>, OpenError>> {
    let text = record.sealed.as_ref()?;
    Some(STANDARD_NO_PAD.decode(text).map_err(|_| OpenError::Form))
}

/// Name of the key that a record's own words are sealed under, if they are.
pub fn fields_kid(record: &Record) -> Option<Kid> {
    Some(Sealed::parse(&sealed_fields(record)?.ok()?).ok()?.kid())
}

impl ContentRef {
    /// Says that the content is stored sealed, so and under this key.
    pub fn set_sealed(&mut self, stored: &Content) {
        self.kid = Some(hex(&stored.salt));
        self.sealed = Some(format!("{DIGEST_PREFIX}{}", hex(&stored.digest())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentKey, Kind};
    use proptest::prelude::*;

    fn key(n: u8) -> SealKey {
        SealKey::new(Zeroizing::new([n; 32]))
    }

    fn content(text: &[u8]) -> (ContentRef, Content) {
        ContentKey::new([7; 32]).seal("s", "raw", "text/plain", text.to_vec())
    }

    #[test]
    fn what_is_sealed_opens_as_it_was() {
        for text in [&b""[..], b"x", b"hello", &[b'a'; 100_000], "é".repeat(999).as_bytes()] {
            let (reference, content) = content(text);
            let sealed = key(1).seal(&content);
            assert_eq!(key(1).open(&sealed.bytes, &reference), Ok(content.clone()));
            assert_eq!(Sealed::parse(&sealed.bytes).unwrap().kid(), key(1).kid());
            assert_eq!(sealed.salt, key(1).kid(), "the salt of the stored bytes is public");
            assert_eq!(key(1).seal(&content), sealed, "equal content is sealed equally");
        }
    }

    #[test]
    fn no_byte_of_it_may_be_another() {
        let (reference, content) = content(&b"rm -rf /home/alice ".repeat(20));
        let sealed = key(1).seal(&content).bytes;
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert!(key(1).open(&altered, &reference).is_err(), "byte {at}, bit {bit}");
            }
        }
        for len in 0..sealed.len() {
            assert!(key(1).open(&sealed[..len], &reference).is_err(), "{len} bytes of it");
        }
        assert!(key(1).open(&[sealed.as_slice(), b"x"].concat(), &reference).is_err());
    }

    #[test]
    fn another_key_is_refused_also_under_the_first_ones_name() {
        let (reference, content) = content(b"the first");
        let sealed = key(1).seal(&content).bytes;
        assert_eq!(key(2).open(&sealed, &reference), Err(OpenError::OtherKey));
        // The commitment of the second key is put in: then it is that key's message, and does not open.
        let mut swapped = sealed.clone();
        swapped[16..48].copy_from_slice(&key(2).commitment);
        assert_eq!(key(2).open(&swapped, &reference), Err(OpenError::Altered));
        // Only the kid is the same: its 16 bytes alone name no key.
        let mut half = sealed;
        half[32..48].copy_from_slice(&key(2).commitment[16..]);
        assert_eq!(key(1).open(&half, &reference), Err(OpenError::OtherKey));
    }

    /// Two keys are known under which one ciphertext of AES-GCM is authentic (Dodis et al. 2018, "invisible
    /// salamanders"). What would make such a pair useful is that a reader takes either key.
    #[test]
    fn a_ciphertext_that_is_authentic_under_two_keys_opens_under_one() {
        use aes_gcm::aes::Aes256;
        use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
        // Multiplication in GF(2^128) as GHASH does it, SP 800-38D, 6.3.
        fn mul(x: u128, y: u128) -> u128 {
            let (mut z, mut v) = (0, y);
            for i in (0..128).rev() {
                if x >> i & 1 == 1 {
                    z ^= v;
                }
                v = if v & 1 == 1 { v >> 1 ^ 0xe1 << 120 } else { v >> 1 };
            }
            z
        }
        fn inverse(x: u128) -> u128 {
            // x^(2^128 - 2).
            let (mut result, mut power) = (1 << 127, x);
            for _ in 1..128 {
                power = mul(power, power);
                result = mul(result, power);
            }
            result
        }
        let block = |key: &[u8; 32], block: [u8; 16]| {
            let mut block = block.into();
            Aes256::new(key.into()).encrypt_block(&mut block);
            u128::from_be_bytes(block.into())
        };
        let (first, second) = ([1; 32], [2; 32]);
        let nonce = [9; 12];
        let mut counter = [0; 16];
        counter[..12].copy_from_slice(&nonce);
        counter[15] = 1;
        let (h1, h2) = (block(&first, [0; 16]), block(&second, [0; 16]));
        let (mask1, mask2) = (block(&first, counter), block(&second, counter));
        // One free block c1 and a length block: c1·H² ⊕ len·H ⊕ mask is the tag; solve for c1.
        let len: u128 = 128;
        let lens = mul(len, h1) ^ mul(len, h2);
        let c1 = mul(lens ^ mask1 ^ mask2, inverse(mul(h1, h1) ^ mul(h2, h2)));
        let tag = mul(c1, mul(h1, h1)) ^ mul(len, h1) ^ mask1;
        let message = [c1.to_be_bytes(), tag.to_be_bytes()].concat();
        let open = |key: &[u8; 32]| {
            Aes256Gcm::new(key.into()).decrypt(&Nonce::from(nonce), message.as_slice()).expect("authentic")
        };
        assert_ne!(open(&first), open(&second), "AES-GCM alone shows two texts");
        // The same in our form: whichever of the two it names, the other is refused before it is tried.
        let (a, b) = (key(1), key(2));
        let mut sealed = a.seal(&Content { salt: [0; 16], bytes: vec![] }).bytes;
        sealed.truncate(PREFIX_BYTES);
        sealed.extend_from_slice(&message);
        assert_eq!(b.open_unchecked(&sealed), Err(OpenError::OtherKey));
        sealed[16..48].copy_from_slice(&b.commitment);
        assert_eq!(a.open_unchecked(&sealed), Err(OpenError::OtherKey));
    }

    #[test]
    fn other_content_under_the_right_key_is_refused() {
        let (_, one) = content(b"one");
        let (of_other, _) = content(b"other");
        assert_eq!(key(1).open(&key(1).seal(&one).bytes, &of_other), Err(OpenError::OtherContent));
    }

    #[test]
    fn nonces_of_different_messages_differ() {
        let nonce = |text: &[u8]| Sealed::parse(&key(1).seal(&content(text).1).bytes).unwrap().nonce;
        let nonces: std::collections::HashSet<[u8; 12]> =
            (0..1000u32).map(|n| nonce(&n.to_le_bytes())).collect();
        assert_eq!(nonces.len(), 1000);
    }

    #[test]
    fn a_wrapped_secret_opens_under_its_key_and_for_its_purpose_only() {
        let wrapped = wrap(&[1; 32], [2; 12], b"session s", &[3; 32]);
        assert_eq!(unwrap(&[1; 32], b"session s", &wrapped).as_deref(), Some(&[3; 32]));
        assert_eq!(unwrap(&[9; 32], b"session s", &wrapped), None);
        assert_eq!(unwrap(&[1; 32], b"session t", &wrapped), None);
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert_eq!(unwrap(&[1; 32], b"session s", &altered), None, "byte {at}");
        }
    }

    #[test]
    fn the_words_of_every_kind_are_sealed_and_put_back() {
        let golden = include_str!("../../../schema/golden/v1.jsonl");
        let mut with_words = 0;
        for line in golden.lines() {
            let record = Record::parse(line.as_bytes()).unwrap();
            if record.sealed.is_some() {
                continue;
            }
            let mut sealed = record.clone();
            seal_fields(&mut sealed, &key(1));
            let read = Record::parse(&sealed.to_line()).unwrap();
            assert_eq!(read, sealed, "{line}");
            let mut opened = read.clone();
            assert_eq!(fields_kid(&read), sealed.sealed.as_ref().map(|_| key(1).kid()));
            if read.sealed.is_some() {
                assert_eq!(open_fields(&mut opened.clone(), &key(2)), Err(OpenError::OtherKey));
            }
            open_fields(&mut opened, &key(1)).unwrap();
            assert_eq!(opened, record);
            with_words += usize::from(read.sealed.is_some());
            let text = String::from_utf8(sealed.to_line()).unwrap();
            if let (Body::Prompt(body), Kind::Prompt) = (&record.body, record.kind) {
                assert!(!text.contains(&body.preview), "{text}");
            }
        }
        assert!(with_words > 5, "{with_words}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_and_none_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), begins: bool) {
            let mut bytes = bytes;
            if begins {
                let head = [MAGIC.as_slice(), &[3, 0, 0, 0, 1, 0, 0, 0], &key(1).commitment].concat();
                bytes.splice(0..0, head);
            }
            prop_assert!(key(1).open_unchecked(&bytes).is_err());
        }

        #[test]
        fn any_content_opens_as_it_was(text in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (reference, content) = content(&text);
            prop_assert_eq!(key(1).open(&key(1).seal(&content).bytes, &reference).unwrap(), content);
        }
    }
}
