//! Time-stamps, by a real authority (`openssl ts`) over HTTP on loopback, and checked by openssl as well.

use crate::program::Program;
use fdr_record::{Body, Kind};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

/// How the authority behaves.
#[derive(Clone, Debug)]
enum Manner {
    Good,
    Status(u16),
    /// Answers with these bytes.
    Says(Vec<u8>),
    /// Answers what it answered first, whatever is asked.
    Repeats,
    /// Hangs up.
    Silent,
    /// Stamps something else, with the right nonce.
    StampsOther,
}

/// A certificate authority, a time-stamp authority below it, and what serves it.
struct Authority {
    dir: tempfile::TempDir,
    url: String,
    manner: Arc<Mutex<Manner>>,
}

/// What its certificate and tokens are like.
struct Make {
    /// Options of `openssl genpkey`.
    key: &'static [&'static str],
    /// The extended key usage of the authority's certificate.
    usage: &'static str,
    /// Lines of its configuration.
    tokens: &'static str,
}

const USUAL: Make = Make {
    key: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    usage: "critical,timeStamping",
    tokens: "ess_cert_id_alg = sha256\naccuracy = secs:1, millisecs:500\n",
};

fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").current_dir(dir).args(arguments).output().expect("openssl runs")
}

fn openssl_ok(dir: &Path, arguments: &[&str]) {
    let output = openssl(dir, arguments);
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
}

impl Authority {
    fn new(make: &Make) -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let conf = format!(
            "[tsa]\ndefault_tsa = own\n[own]\nserial = serial\ndefault_policy = 1.2.3.4.1\ndigests = sha256\n\
             signer_digest = sha256\nsigner_cert = tsa.pem\nsigner_key = tsa.key\ncerts = ca.pem\n{}",
            make.tokens
        );
        std::fs::write(at.join("ts.cnf"), conf).unwrap();
        std::fs::write(at.join("serial"), "01\n").unwrap();
        let extensions = format!("extendedKeyUsage={}\n", make.usage);
        std::fs::write(at.join("tsa.ext"), if make.usage.is_empty() { "" } else { &extensions }).unwrap();
        openssl_ok(at, &["genpkey", "-algorithm", "RSA", "-out", "ca.key"]);
        let ca = ["req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Test CA", "-days", "30"];
        openssl_ok(at, &[&ca[..], &["-addext", "keyUsage=critical,keyCertSign", "-out", "ca.pem"]].concat());
        openssl_ok(at, &[&["genpkey", "-out", "tsa.key"], make.key].concat());
        openssl_ok(
            at,
            &["req", "-new", "-key", "tsa.key", "-subj", "/O=Test/CN=Test TSA", "-out", "tsa.csr"],
        );
        let sign = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30"];
        openssl_ok(at, &[&sign[..], &["-extfile", "tsa.ext", "-out", "tsa.pem"]].concat());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tsa", listener.local_addr().unwrap());
        let manner = Arc::new(Mutex::new(Manner::Good));
        let served = (at.to_owned(), Arc::clone(&manner));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Where the test has ended the folder is gone.
                let _ = serve(&served.0, &served.1.lock().unwrap().clone(), stream);
            }
        });
        Authority { dir, url, manner }
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn config(&self) -> String {
        format!("[timestamp]\nurl = \"{}\"\nca = \"{}\"\n", self.url, self.ca().display())
    }

    /// Whether openssl takes a token for a file.
    fn openssl_verifies(&self, token: &Path) -> bool {
        let (token, note) = (token.to_str().unwrap(), token.with_extension("note"));
        let verify = ["ts", "-verify", "-in", token, "-data", note.to_str().unwrap(), "-CAfile", "ca.pem"];
        let output = openssl(self.dir.path(), &verify);
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Verification: OK")
    }
}

fn serve(dir: &Path, manner: &Manner, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut is_query) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        is_query |= line == "content-type: application/timestamp-query";
        if line.is_empty() {
            break;
        }
    }
    let mut query = vec![0; length];
    reader.read_exact(&mut query)?;
    let first = dir.join("first.tsr");
    let mut status = 200;
    let reply = match manner {
        Manner::Silent => return Ok(()),
        Manner::Says(bytes) => bytes.clone(),
        Manner::Status(code) => {
            status = *code;
            Vec::new()
        }
        Manner::Repeats => std::fs::read(&first)?,
        Manner::Good | Manner::StampsOther => {
            assert!(is_query, "the request says what it is");
            if matches!(manner, Manner::StampsOther) {
                // The digest is the first OCTET STRING of 32 bytes.
                let at = memchr::memmem::find(&query, &[0x04, 0x20]).unwrap() + 2;
                query[at] ^= 1;
            }
            std::fs::write(dir.join("query.tsq"), &query)?;
            let reply = ["ts", "-reply", "-config", "ts.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr"];
            let output = openssl(dir, &reply);
            assert!(output.status.success(), "{output:?}");
            let reply = std::fs::read(dir.join("reply.tsr"))?;
            if !first.exists() {
                std::fs::write(&first, &reply)?;
            }
            reply
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply)
}

fn tokens(home: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(home.join("timestamps"))
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tsr"))
        .collect();
    found.sort();
    found
}

/// Waits until the recorder has stamped a checkpoint by itself, as it does when it starts.
fn wait_for_first(program: &Program) -> u64 {
    loop {
        let status = program.status();
        assert_eq!(status["timestamps"]["problem"], Value::Null, "{status}");
        if let Some(size) = status["timestamps"]["newest"]["size"].as_u64() {
            return size;
        }
        thread::yield_now();
    }
}

#[test]
fn checkpoints_are_stamped_and_openssl_accepts_the_tokens() {
    let authority = Authority::new(&USUAL);
    let program = Program::with_config(&authority.config());
    program.call("c1");
    let first = wait_for_first(&program);
    program.call("c2");
    let said = program.ok(&["timestamp", "now"]);
    assert!(said.contains("time-stamped"), "{said}");

    let tokens = tokens(&program.home());
    assert_eq!(tokens.len(), 2);
    assert!(tokens.iter().all(|token| authority.openssl_verifies(token)));
    // What was stamped is in the log too, byte for byte.
    let anchors: Vec<_> =
        program.records().into_iter().filter(|record| record.kind == Kind::Anchor).collect();
    assert_eq!(anchors.len(), 2);
    let Body::Anchor(anchor) = &anchors[0].body else { unreachable!() };
    assert_eq!(
        (anchor.what.as_str(), anchor.size, anchor.by.as_str()),
        ("timestamp", first, &*authority.url)
    );
    let roles: Vec<_> = anchors[0].content.iter().map(|content| content.role.as_str()).collect();
    assert_eq!(roles, ["note", "token"]);

    // Nothing new but the anchor: nothing to stamp.
    assert_eq!(program.ok(&["timestamp", "now"]), said);
    let list = program.ok(&["timestamp", "list"]);
    assert_eq!(list.matches("CN=Test TSA").count(), 2, "{list}");
    let verified = program.ok(&["verify"]);
    assert!(verified.contains("2 good; the newest: records 0–") && verified.contains("INTACT"), "{verified}");
    let shown = program.ok(&["status"]);
    assert!(shown.contains("time-stamped  ") && !shown.contains("TIME-STAMP "), "{shown}");

    // A new recorder knows them, and does not ask again for what is stamped.
    program.ok(&["stop"]);
    program.call("c3");
    let newest = wait_for_first(&program);
    assert!(newest > first);
    assert_eq!(self::tokens(&program.home()).len(), 2, "the newest is young");
}

#[test]
fn tokens_of_every_usual_make_are_understood() {
    let rsa: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let p384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let makes = [
        Make { key: rsa, tokens: "ess_cert_id_alg = sha1\n", ..USUAL },
        Make { key: rsa, tokens: "ess_cert_id_alg = sha512\nordering = yes\ntsa_name = yes\n", ..USUAL },
        Make { key: p384, tokens: "clock_precision_digits = 6\ness_cert_id_chain = yes\n", ..USUAL },
        Make { key: USUAL.key, tokens: "signer_digest = sha384\naccuracy = microsecs:3\n", ..USUAL },
    ];
    for make in &makes {
        let authority = Authority::new(make);
        let program = Program::with_config(&authority.config());
        program.call("c1");
        wait_for_first(&program);
        assert!(authority.openssl_verifies(&tokens(&program.home())[0]), "{}", make.tokens);
        assert!(program.ok(&["verify"]).contains("1 good"));
    }
}

/// What DER puts before that many bytes.
fn head(tag: u8, length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    vec![tag, 0x82, high, low]
}

#[test]
fn a_certificate_that_is_not_for_time_stamps_alone_is_refused() {
    let authority = Authority::new(&USUAL);
    let program = Program::with_config(&authority.config());
    program.call("c1");
    wait_for_first(&program);
    let token = &tokens(&program.home())[0];
    let dir = authority.dir.path();
    // What is stamped, signed anew with the same key: openssl ts itself would refuse such certificates.
    openssl_ok(dir, &["ts", "-reply", "-in", token.to_str().unwrap(), "-token_out", "-out", "token.der"]);
    openssl_ok(
        dir,
        &["cms", "-verify", "-noverify", "-inform", "DER", "-in", "token.der", "-out", "info.der"],
    );
    let cases = [
        ("critical,timeStamping", ""),
        ("", "NOT GOOD"),
        ("timeStamping", "not for time-stamping alone"),
        ("critical,timeStamping,codeSigning", "not for time-stamping alone"),
        ("critical,codeSigning", "not for time-stamping alone"),
    ];
    for (usage, problem) in cases {
        let extensions = if usage.is_empty() { String::new() } else { format!("extendedKeyUsage={usage}\n") };
        std::fs::write(dir.join("other.ext"), extensions).unwrap();
        let sign = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30"];
        openssl_ok(dir, &[&sign[..], &["-extfile", "other.ext", "-out", "other.pem"]].concat());
        let sign = ["cms", "-sign", "-binary", "-nodetach", "-cades", "-md", "sha256", "-in", "info.der"];
        let by = ["-signer", "other.pem", "-inkey", "tsa.key", "-econtent_type", "1.2.840.113549.1.9.16.1.4"];
        openssl_ok(dir, &[&sign[..], &by, &["-outform", "DER", "-out", "other.der"]].concat());
        let other = std::fs::read(dir.join("other.der")).unwrap();
        let status = [0x30, 0x03, 0x02, 0x01, 0x00];
        let reply = [&head(0x30, status.len() + other.len()), &status[..], &other].concat();
        std::fs::write(token, reply).unwrap();
        let verified = program.fdr(&["verify"]);
        let text = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(verified.status.success(), problem.is_empty(), "{usage}: {text}");
        assert!(text.contains(problem), "{usage}: {text}");
    }
}

#[test]
fn an_authority_that_misbehaves_is_told_of_and_nothing_is_kept_of_it() {
    let authority = Authority::new(&USUAL);
    let program = Program::with_config(&authority.config());
    program.call("c1");
    wait_for_first(&program);
    let others = Authority::new(&USUAL);
    let refused = vec![0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];
    let cases = [
        (Manner::Status(503), "HTTP status 503"),
        (Manner::Says(b"<html>down</html>".to_vec()), "not a time-stamp reply"),
        (Manner::Says(vec![b'x'; 1 << 20]), "can't be read"),
        (Manner::Says(refused), "refused: rejection"),
        (Manner::Repeats, "a time-stamp of something else"),
        (Manner::StampsOther, "a time-stamp of something else"),
        (Manner::Silent, "can't be asked"),
    ];
    for (number, (manner, word)) in cases.into_iter().enumerate() {
        program.call(&format!("m{number}"));
        authority.behaves(manner.clone());
        let said = program.fdr(&["timestamp", "now"]);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.code() == Some(2) && text.contains(word), "{manner:?}: {text}");
        assert!(program.status()["timestamps"]["problem"].as_str().unwrap().contains(word));
        assert!(program.ok(&["status"]).contains("TIME-STAMP    the last attempt failed"));
    }
    // Good tokens of somebody else.
    let config = authority.config().replace(&authority.url, &others.url);
    std::fs::write(program.home().join("config.toml"), config).unwrap();
    program.ok(&["stop"]);
    program.call("o1");
    let text = String::from_utf8_lossy(&program.fdr(&["timestamp", "now"]).stderr).into_owned();
    assert!(text.contains("its signer is not trusted"), "{text}");

    assert_eq!(tokens(&program.home()).len(), 1);
    assert_eq!(program.records().iter().filter(|record| record.kind == Kind::Anchor).count(), 1);
    assert!(program.ok(&["verify"]).contains("INTACT"));
}

#[test]
fn without_an_authority_that_is_said() {
    let program = Program::new();
    program.call("c1");
    for arguments in [["timestamp", "now"], ["timestamp", "list"]] {
        let said = program.fdr(&arguments);
        assert_eq!(said.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&said.stderr).contains("no authority is configured"), "{said:?}");
    }
    let wrong =
        Program::with_config("[timestamp]\nurl = \"ftp://x\"\nca = \"c\"\n").fdr(&["config", "check"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("must begin with http"), "{wrong:?}");
}

#[test]
fn a_log_rewritten_with_its_key_is_found_by_its_time_stamps() {
    let authority = Authority::new(&USUAL);
    let program = Program::with_config(&authority.config());
    for call in ["c1", "c2", "c3"] {
        program.call(call);
    }
    wait_for_first(&program);
    program.ok(&["timestamp", "now"]);
    program.ok(&["stop"]);
    let home = program.home();
    // The attacker has every key, and writes the account anew.
    program.rewrite_log(|line, _, _| {
        let line = String::from_utf8(line).unwrap();
        Some(line.replace("\"c1\"", "\"c9\"").replace("\"c3\"", "\"c9\"").into_bytes())
    });
    let verified = program.fdr(&["verify"]);
    let text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(1));
    assert!(text.contains("NOT GOOD") && text.contains("the log is not what it was when 20"), "{text}");

    // Kept elsewhere, with the authority's certificate, they tell the same of the log alone.
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = elsewhere.path().join("kept");
    std::fs::rename(home.join("timestamps"), &kept).unwrap();
    let verify = |log: &str| {
        let log = home.join(log);
        let ca = authority.ca();
        let arguments = [
            "verify",
            "--log",
            log.to_str().unwrap(),
            "--timestamps",
            kept.to_str().unwrap(),
            "--timestamp-ca",
            ca.to_str().unwrap(),
            "--json",
        ];
        let output = program.fdr(&arguments);
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let found = verify("log")["timestamps"].clone();
    // The first one covers what came before the first change.
    assert_eq!((found["good"].as_u64(), found["bad"].as_array().unwrap().len()), (Some(1), 1), "{found}");
    let found = verify("old-log")["timestamps"].clone();
    assert_eq!((found["good"].as_u64(), found["bad"].as_array().unwrap().len()), (Some(2), 0), "{found}");
}

#[test]
fn a_token_or_note_that_was_changed_is_never_believed() {
    let authority = Authority::new(&USUAL);
    let program = Program::with_config(&authority.config());
    program.call("c1");
    wait_for_first(&program);
    program.call("c2");
    program.ok(&["timestamp", "now"]);
    let tokens = tokens(&program.home());
    let verify = || program.fdr(&["verify", "--json"]);
    let is_refused = |output: &Output| {
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        match output.status.code() {
            Some(1) => !found["timestamps"]["bad"].as_array().unwrap().is_empty(),
            Some(2) => !output.stderr.is_empty(),
            _ => false,
        }
    };
    assert!(verify().status.success());
    // Bytes all over a token, as openssl and we see it.
    let whole = std::fs::read(&tokens[0]).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        std::fs::write(&tokens[0], &bytes).unwrap();
        let ours = is_refused(&verify());
        // What stands in it and is not signed (a certificate that nobody needs) may be anything, for both.
        assert!(ours || authority.openssl_verifies(&tokens[0]), "byte {at} of {}", whole.len());
    }
    // Another checkpoint's token.
    std::fs::copy(&tokens[1], &tokens[0]).unwrap();
    assert!(is_refused(&verify()));
    std::fs::write(&tokens[0], &whole).unwrap();
    // Another note.
    let note = tokens[0].with_extension("note");
    let text = std::fs::read_to_string(&note).unwrap();
    std::fs::write(&note, format!("{text}\n")).unwrap();
    assert!(is_refused(&verify()));
    std::fs::remove_file(&note).unwrap();
    assert!(is_refused(&verify()));
    std::fs::write(&note, &text).unwrap();
    assert!(verify().status.success());
}
