//! How long it takes to take the secrets out of a payload: `cargo bench -p fdr-record --bench scrub`.

use std::{hint::black_box, time::Instant};

use fdr_record::{ContentKey, scrub::Scrubber};

fn main() {
    let started = Instant::now();
    let scrubber = Scrubber::new();
    println!("{:<34} {:>9.2?}", "build", started.elapsed());
    let key = ContentKey::new([7; 32]);

    let command = "cargo test -p ledger -- token verify_password --nocapture && git log --oneline | head";
    let event = format!(
        r#"{{"session_id":"73ab4c72-0c1f-4e0c-9a53-1f6a8c1f0d55","transcript_path":"/home/dev/.claude/projects/-home-dev-proj/73ab.jsonl","cwd":"/home/dev/proj","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{{"command":"{command}","description":"{}"}},"tool_use_id":"toolu_01AbCdEfGhIjKlMnOpQrStUv"}}"#,
        "Runs the tests of the ledger crate and shows the last commits; ".repeat(10),
    );
    let secret = event.replace("--nocapture", &format!("--password {}", "hunter2-7f3a"));
    let source = include_str!("../src/scrub/assignment.rs");
    let source = serde_json::to_string(&source.repeat((50 << 20) / source.len())).unwrap_or_default();
    let image = format!(
        r#"{{"data":"{}"}}"#,
        "iVBORw0KGgoAAAANSUhEUgAA/9j4AAQSkZJRg+ND7OTsk3".repeat((50 << 20) / 47)
    );

    for (name, payload, rounds) in [
        ("event", &event, 20_000),
        ("event with a secret", &secret, 20_000),
        ("source code about secrets", &source, 3),
        ("base64", &image, 3),
    ] {
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(scrubber.scrub(black_box(payload.as_bytes()), &key));
        }
        let each = started.elapsed() / rounds;
        let rate = payload.len() as f64 / each.as_secs_f64() / 1e6;
        println!("{name:<26} {:>10} B {each:>9.2?} {rate:>7.0} MB/s", payload.len());
    }
    for unit in [
        "eyJ-",
        "password=$",
        "password=a,",
        "sk-",
        "token=",
        "://a:",
        "-----BEGIN PRIVATE KEY-----",
        "machine a login ",
    ] {
        let payload = unit.repeat((50 << 20) / unit.len());
        let started = Instant::now();
        black_box(scrubber.scrub(payload.as_bytes(), &key));
        println!("{:<26} {:>10} B {:>9.2?}", format!("{unit:?} repeated"), payload.len(), started.elapsed());
    }
}
