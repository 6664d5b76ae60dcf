//! A third party with nothing but `openssl` checks a checkpoint and a content.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use fdr_log::{Content, Log};

use crate::append::{batch, options};

pub fn run(arguments: &[&str], input: &[u8]) -> Option<String> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(input).ok()?;
    let output = child.wait_with_output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn openssl_verifies_a_checkpoint_and_a_content_digest() {
    if run(&["version"], b"").is_none() {
        println!("skipped: there is no openssl here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&dir.path().join("log"), options()).unwrap();
    log.append(batch(0, &[b"one", b"two"])).unwrap();
    let key = log.verifier().clone();
    let checkpoint = log.close().unwrap().unwrap();

    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(Path::new(&path(name)), bytes).unwrap();
    // RFC 8410: an Ed25519 public key is this prefix and its 32 bytes.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    write("key.der", &[prefix.as_slice(), key.public_key()].concat());
    write("body", checkpoint.body().as_bytes());
    let line = checkpoint.signature_lines().next().unwrap();
    write("signature", &BASE64.decode(line.rsplit(' ').next().unwrap()).unwrap()[4..]);
    let (key_file, body, signature) = (path("key.der"), path("body"), path("signature"));
    let verdict = run(
        &[
            "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", &key_file, "-in", &body,
            "-sigfile", &signature,
        ],
        b"",
    )
    .unwrap();
    assert!(verdict.contains("Verified Successfully"), "{verdict}");

    let content = Content { salt: *b"0123456789abcdef", bytes: b"the whole output".to_vec() };
    let digest: String = content.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let macopt = "hexkey:30313233343536373839616263646566";
    let computed = run(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", macopt], &content.bytes).unwrap();
    assert!(computed.contains(&digest), "{computed} is not {digest}");
}
