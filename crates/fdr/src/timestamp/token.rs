//! RFC 3161 time-stamp requests and replies, and what must hold before a reply is believed.
//!
//! A token is a CMS SignedData (RFC 5652) over a TSTInfo. It is believed when it is about the very digest, is signed by
//! the one certificate that its signed attributes name (RFC 5816), and that certificate is for time-stamping alone and
//! leads to a certificate that the reader trusts, valid at the time stated. Revocation is not looked at: that would
//! need the net, and the answer of a certain day; `openssl ts -verify -crl_check` does it.

use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::cert::x509::attr::{Attribute, AttributeValue};
use cms::cert::x509::ext::pkix::{ExtendedKeyUsage, SubjectKeyIdentifier};
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{Int, ObjectIdentifier, OctetStringRef, SetOfVec};
use der::{Any, Decode, Encode, Sequence, Tag, Tagged};
use fdr_record::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, ring};
use x509_tsp::{Accuracy, MessageImprint, TimeStampReq, TsaPolicyId, TspVersion};

/// The largest reply that is read, in bytes; real ones have about 6 KB.
pub const MAX_REPLY_BYTES: u64 = 1 << 18;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// The same as the value bytes of its encoding.
const TIME_STAMPING_BYTES: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// Why a reply, or a file of certificates, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not what RFC 3161 says.
    #[error("it is not a time-stamp reply: {0}")]
    Malformed(String),
    /// The authority gave no token.
    #[error("the authority refused: {0}")]
    Refused(String),
    /// It is about something else.
    #[error("it is a time-stamp of something else")]
    OtherDigest,
    /// It answers another request.
    #[error("it answers another request")]
    OtherNonce,
    /// It is not signed as it says, or not as RFC 3161 demands.
    #[error("its signature does not hold: {0}")]
    NotSigned(String),
    /// Its signer can't be led back to a trusted certificate.
    #[error("its signer is not trusted: {0}")]
    NotTrusted(String),
    /// There is no certificate in the file.
    #[error("there is no certificate (PEM) in it")]
    NoCertificate,
}

use TokenError::{Malformed, NotSigned, NotTrusted};

/// What a good token states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the authority saw the digest.
    pub time: Timestamp,
    /// By how much that may be wrong, in milliseconds, if it says so.
    pub accuracy_millis: Option<u64>,
    /// The subject of the certificate that signed, as RFC 4514 text.
    pub signer: String,
}

/// The certificates that a token must lead to.
#[derive(Clone, Debug)]
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// When there is none, or one can't be read.
    pub fn parse(pem: &[u8]) -> Result<Roots, TokenError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|error| Malformed(format!("its PEM is broken: {error:?}")))?;
        if found.is_empty() {
            return Err(TokenError::NoCertificate);
        }
        let roots = Roots(found);
        roots.anchors()?;
        Ok(roots)
    }

    fn anchors(&self) -> Result<Vec<TrustAnchor<'_>>, TokenError> {
        let anchor = |der| {
            webpki::anchor_from_trusted_cert(der)
                .map_err(|error| NotTrusted(format!("a certificate to trust can't be read: {error}")))
        };
        self.0.iter().map(anchor).collect()
    }
}

/// A request (RFC 3161 section 2.4.1) for a time-stamp of a SHA-256 digest, with the signer's certificate, in DER.
pub fn request(digest: &[u8; 32], nonce: &[u8; 8]) -> Vec<u8> {
    let imprint = MessageImprint {
        hash_algorithm: cms::cert::x509::spki::AlgorithmIdentifier {
            oid: SHA_256,
            parameters: Some(Any::null()),
        },
        hashed_message: der::asn1::OctetString::new(digest.as_slice()).expect("32 bytes"),
    };
    let request = TimeStampReq {
        version: TspVersion::V1,
        message_imprint: imprint,
        req_policy: None,
        nonce: Some(nonce_of(nonce)),
        cert_req: true,
        extensions: None,
    };
    request.to_der().expect("a request is a few short fields")
}

/// A positive integer without leading zeroes, as DER wants it.
fn nonce_of(bytes: &[u8; 8]) -> Int {
    let number = u64::from_be_bytes(*bytes) >> 1 | 1 << 62;
    Int::new(&number.to_be_bytes()).expect("8 bytes")
}

/// `TimeStampResp` (section 2.4.2), the status in brief: some authorities put text there that the full type refuses.
#[derive(Sequence)]
struct Reply {
    status: Any,
    #[asn1(optional = "true")]
    token: Option<ContentInfo>,
}

/// `TSTInfo` (section 2.4.2), with a time that may have a fraction of a second.
#[derive(Sequence)]
struct Info {
    version: TspVersion,
    policy: TsaPolicyId,
    imprint: MessageImprint,
    serial: Int,
    time: Any,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    tsa: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<cms::cert::x509::ext::Extensions>,
}

/// Checks a reply: what it is about, who signed it, and whether these are trusted.
///
/// `nonce` is that of the request, where the reply has just come.
///
/// # Errors
/// When anything of that does not hold.
pub fn check(
    reply: &[u8],
    digest: &[u8; 32],
    nonce: Option<&[u8; 8]>,
    roots: &Roots,
) -> Result<Stamp, TokenError> {
    let malformed = |what: &'static str| move |error: der::Error| Malformed(format!("{what}: {error}"));
    let reply = Reply::from_der(reply).map_err(malformed("TimeStampResp"))?;
    let status = status_of(&reply.status).ok_or_else(|| Malformed("its status can't be read".into()))?;
    if status > 1 {
        return Err(TokenError::Refused(status_text(status, &reply.status)));
    }
    let token = reply.token.ok_or_else(|| Malformed("it has no token".into()))?;
    if token.content_type != SIGNED_DATA {
        return Err(Malformed("the token is not signed data".into()));
    }
    let signed: SignedData = token.content.decode_as().map_err(malformed("SignedData"))?;
    let enclosed = &signed.encap_content_info;
    if enclosed.econtent_type != TST_INFO {
        return Err(Malformed("what is signed is not a time-stamp".into()));
    }
    let octets = enclosed.econtent.as_ref().filter(|octets| octets.tag() == Tag::OctetString);
    let octets = octets.ok_or_else(|| Malformed("it has no TSTInfo".into()))?.value();
    let info = Info::from_der(octets).map_err(malformed("TSTInfo"))?;

    if info.imprint.hash_algorithm.oid != SHA_256 || info.imprint.hashed_message.as_bytes() != digest {
        return Err(TokenError::OtherDigest);
    }
    if nonce.is_some_and(|nonce| info.nonce != Some(nonce_of(nonce))) {
        return Err(TokenError::OtherNonce);
    }
    let time = time_of(&info.time).ok_or_else(|| Malformed("its time can't be read".into()))?;
    let certificate = signed_by(&signed, octets)?;
    is_trusted(&certificate, &signed, time, roots)?;
    Ok(Stamp {
        time,
        accuracy_millis: info.accuracy.map(|accuracy| {
            let millis = accuracy.millis.unwrap_or(0).max(0) as u64;
            accuracy.seconds.unwrap_or(0).saturating_mul(1000) + millis + u64::from(accuracy.micros.is_some())
        }),
        signer: certificate.tbs_certificate.subject.to_string(),
    })
}

fn status_of(status: &Any) -> Option<u8> {
    match status.value() {
        [0x02, 0x01, value, ..] if status.tag() == Tag::Sequence => Some(*value),
        _ => None,
    }
}

/// PKIStatusInfo for people: what the number means and what text stands there.
fn status_text(status: u8, info: &Any) -> String {
    let name = match status {
        2 => "rejection",
        3 => "waiting",
        4 => "revocation warning",
        5 => "revocation notification",
        _ => "unknown status",
    };
    let text: String = String::from_utf8_lossy(info.value())
        .chars()
        .filter(|char| char.is_ascii_graphic() || *char == ' ')
        .take(200)
        .collect();
    format!("{name} ({status}) {}", text.trim())
}

/// GeneralizedTime as RFC 3161 has it: `YYYYMMDDhhmmss[.s…]Z`.
fn time_of(value: &Any) -> Option<Timestamp> {
    let text = std::str::from_utf8(value.value()).ok().filter(|_| value.tag() == Tag::GeneralizedTime)?;
    let digits = text.strip_suffix('Z')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction:.9}") };
    let [date, clock] = [&whole[..8], &whole[8..]];
    let text = format!(
        "{}-{}-{}T{}:{}:{}{fraction}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    text.parse().ok()
}

fn digest_of(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match algorithm {
        SHA_1 => Sha1::digest(bytes).to_vec(),
        SHA_256 => Sha256::digest(bytes).to_vec(),
        SHA_384 => Sha384::digest(bytes).to_vec(),
        SHA_512 => Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

/// The certificate by whose key the token is signed (RFC 5652 section 5.4, RFC 5816 section 2.2.1).
fn signed_by(signed: &SignedData, octets: &[u8]) -> Result<Certificate, TokenError> {
    let not_signed = |what: &str| NotSigned(what.to_owned());
    let [signer] = signed.signer_infos.0.as_slice() else {
        return Err(not_signed("it has not exactly one signer"));
    };
    let certificate = certificates(signed)
        .find(|certificate| is_of(certificate, &signer.sid))
        .ok_or_else(|| not_signed("the signer's certificate is not in it"))?;
    let attributes = signer.signed_attrs.as_ref().ok_or_else(|| not_signed("it has no signed attributes"))?;
    let is_stamp = one_value(attributes, CONTENT_TYPE)
        .is_some_and(|value| value.decode_as::<ObjectIdentifier>() == Ok(TST_INFO));
    if !is_stamp {
        return Err(not_signed("the signed content type is another"));
    }
    if !signed.digest_algorithms.iter().any(|listed| listed.oid == signer.digest_alg.oid) {
        return Err(not_signed("its digest is not among those that it lists"));
    }
    if signer.digest_alg.oid == SHA_1 {
        return Err(not_signed("it is made with SHA-1"));
    }
    let digest = digest_of(signer.digest_alg.oid, octets)
        .ok_or_else(|| NotSigned(format!("digest {} is not supported", signer.digest_alg.oid)))?;
    let stated = one_value(attributes, MESSAGE_DIGEST).map(AttributeValue::value);
    if stated != Some(digest.as_slice()) {
        return Err(not_signed("what is signed is another time-stamp"));
    }
    if !names_certificate(attributes, &certificate) {
        return Err(not_signed("its signed attributes name another certificate"));
    }
    // A SET OF, whatever tag it has inside the token.
    let bytes = attributes.to_der().map_err(|error| NotSigned(error.to_string()))?;
    let der = certificate.to_der().map(CertificateDer::from).map_err(|error| NotSigned(error.to_string()))?;
    let end_entity = EndEntityCert::try_from(&der).map_err(|error| NotSigned(error.to_string()))?;
    let tried = algorithms(signer)?;
    let holds = tried.iter().any(|algorithm| {
        end_entity.verify_signature(*algorithm, &bytes, signer.signature.as_bytes()).is_ok()
    });
    if holds { Ok(certificate) } else { Err(not_signed("it is not by the key of its certificate")) }
}

fn certificates(signed: &SignedData) -> impl Iterator<Item = Certificate> + '_ {
    let all = signed.certificates.iter().flat_map(|set| set.0.iter());
    all.filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate.clone()),
        CertificateChoices::Other(_) => None,
    })
}

fn is_of(certificate: &Certificate, signer: &SignerIdentifier) -> bool {
    let certificate = &certificate.tbs_certificate;
    match signer {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            named.issuer == certificate.issuer && named.serial_number == certificate.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => {
            matches!(certificate.get::<SubjectKeyIdentifier>(), Ok(Some((_, own))) if own == *named)
        }
    }
}

/// The value of an attribute that must stand there once, with one value.
fn one_value(attributes: &SetOfVec<Attribute>, oid: ObjectIdentifier) -> Option<&AttributeValue> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let (Some(attribute), None) = (found.next(), found.next()) else { return None };
    match attribute.values.as_slice() {
        [value] => Some(value),
        _ => None,
    }
}

/// `ESSCertIDv2`, and `ESSCertID` where `algorithm` is absent and means SHA-1 (RFC 5035 sections 3 to 5).
#[derive(Sequence)]
struct CertificateId<'a> {
    #[asn1(optional = "true")]
    algorithm: Option<cms::cert::x509::spki::AlgorithmIdentifierOwned>,
    hash: OctetStringRef<'a>,
    #[asn1(optional = "true")]
    issuer: Option<Any>,
}

/// `SigningCertificate` and `SigningCertificateV2`.
#[derive(Sequence)]
struct SigningCertificate<'a> {
    certificates: Vec<CertificateId<'a>>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

/// Whether the signed attributes name this certificate: without that, a token could be said to be another signer's who
/// has the same key.
fn names_certificate(attributes: &SetOfVec<Attribute>, certificate: &Certificate) -> bool {
    let Ok(der) = certificate.to_der() else { return false };
    [(SIGNING_CERTIFICATE_V2, SHA_256), (SIGNING_CERTIFICATE, SHA_1)].into_iter().any(|(oid, default)| {
        let named = one_value(attributes, oid).and_then(|value| value.decode_as::<SigningCertificate>().ok());
        let first = named.and_then(|named| {
            let first = named.certificates.into_iter().next()?;
            let algorithm = first.algorithm.map_or(default, |algorithm| algorithm.oid);
            Some(digest_of(algorithm, &der)? == first.hash.as_bytes())
        });
        first.unwrap_or(false)
    })
}

/// The algorithms that a signer's signature may be of.
fn algorithms(signer: &SignerInfo) -> Result<Vec<&'static dyn SignatureVerificationAlgorithm>, TokenError> {
    let oid = signer.signature_algorithm.oid.to_string();
    let digest = signer.digest_alg.oid;
    Ok(match (oid.as_str(), digest) {
        ("1.2.840.113549.1.1.11", _) | ("1.2.840.113549.1.1.1", SHA_256) => {
            vec![ring::RSA_PKCS1_2048_8192_SHA256, ring::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS]
        }
        ("1.2.840.113549.1.1.12", _) | ("1.2.840.113549.1.1.1", SHA_384) => {
            vec![ring::RSA_PKCS1_2048_8192_SHA384, ring::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS]
        }
        ("1.2.840.113549.1.1.13", _) | ("1.2.840.113549.1.1.1", SHA_512) => {
            vec![ring::RSA_PKCS1_2048_8192_SHA512, ring::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS]
        }
        ("1.2.840.113549.1.1.10", SHA_256) => vec![ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ("1.2.840.113549.1.1.10", SHA_384) => vec![ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ("1.2.840.113549.1.1.10", SHA_512) => vec![ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ("1.2.840.10045.4.3.2", _) => vec![ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA256],
        ("1.2.840.10045.4.3.3", _) => vec![ring::ECDSA_P384_SHA384, ring::ECDSA_P256_SHA384],
        ("1.3.101.112", _) => vec![ring::ED25519],
        _ => {
            return Err(NotSigned(format!(
                "signature algorithm {oid} with digest {digest} is not supported"
            )));
        }
    })
}

/// Whether a certificate is for time-stamping alone, and leads to a trusted one (RFC 3161 section 2.3).
fn is_trusted(
    certificate: &Certificate,
    signed: &SignedData,
    time: Timestamp,
    roots: &Roots,
) -> Result<(), TokenError> {
    let not_trusted = |error: &dyn std::fmt::Display| NotTrusted(error.to_string());
    let usage = certificate.tbs_certificate.get::<ExtendedKeyUsage>().map_err(|error| not_trusted(&error))?;
    if usage != Some((true, ExtendedKeyUsage(vec![TIME_STAMPING]))) {
        return Err(not_trusted(&"its certificate is not for time-stamping alone"));
    }
    let anchors = roots.anchors()?;
    let ders: Result<Vec<_>, _> = certificates(signed)
        .filter(|other| other != certificate)
        .map(|other| other.to_der().map(CertificateDer::from))
        .collect();
    let intermediates = ders.map_err(|error| not_trusted(&error))?;
    let der = certificate.to_der().map(CertificateDer::from).map_err(|error| not_trusted(&error))?;
    let end_entity = EndEntityCert::try_from(&der).map_err(|error| not_trusted(&error))?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(time.millis()));
    end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            at,
            KeyUsage::required(TIME_STAMPING_BYTES),
            None,
            None,
        )
        .map(|_| ())
        .map_err(|error| not_trusted(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_have_a_fraction() {
        let time = |text: &str| {
            time_of(&Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap()).map(|time| time.to_string())
        };
        assert_eq!(time("20261125173630Z").unwrap(), "2026-11-25T17:36:30.000000000Z");
        assert_eq!(time("20261125173630.25Z").unwrap(), "2026-11-25T17:36:30.250000000Z");
        assert_eq!(time("20261125173630.1234567891Z").unwrap(), "2026-11-25T17:36:30.123456789Z");
        for bad in
            ["20261125173630", "2026112517363Z", "20261325173630Z", "20261125173630.Z", "x0261125173630Z"]
        {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_is_what_openssl_makes_of_the_same() {
        // openssl ts -query -digest 00…1f -sha256 -cert, and a nonce of ours.
        let digest: [u8; 32] = std::array::from_fn(|index| index as u8);
        let der = request(&digest, &[0xff; 8]);
        let head = [0x30, 0x43, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09];
        assert_eq!(der[..head.len()], head);
        let read = TimeStampReq::from_der(&der).unwrap();
        assert!(read.cert_req);
        assert_eq!(read.message_imprint.hashed_message.as_bytes(), digest);
        assert_eq!(read.nonce.unwrap().as_bytes(), [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let root = Roots(Vec::new());
        for bytes in [&b""[..], b"<html>", &[0x30, 0x03, 0x02, 0x01, 0x00], &[0x30, 0x80]] {
            assert!(matches!(check(bytes, &[0; 32], None, &root), Err(Malformed(_))), "{bytes:?}");
        }
        let refused = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];
        let refused = check(&refused, &[0; 32], None, &root).unwrap_err();
        assert!(matches!(&refused, TokenError::Refused(text) if text.contains("rejection")), "{refused}");
        assert_eq!(Roots::parse(b"nothing").unwrap_err(), TokenError::NoCertificate);
    }
}
