//! What a hook costs the agent: the whole process, from start to exit, as the agent pays it,
//! beside processes that do nothing. `cargo bench -p fdr --bench hook`; needs both programs:
//! `cargo build --release --workspace` first. With `-- --runtimes`, the runtimes' commands alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CALLS: usize = 1_000;
const PAYLOAD: &str = r#"{"session_id":"bench-0000","transcript_path":"/home/dev/.claude/projects/p/s.jsonl","cwd":"/home/dev/proj","prompt_id":"p","permission_mode":"default","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"cd src && rg -n 'fn main' | head -20 && cargo test 2>&1 | tail -5","description":"Look for the entry point and run the tests"},"tool_use_id":"toolu_NUMBER"}"#;

fn main() {
    let programs = Path::new(env!("CARGO_BIN_EXE_fdr")).parent().expect("a folder").to_owned();
    let (fdr, hook) = (programs.join("fdr"), programs.join("fdr-hook"));
    assert!(hook.exists(), "{} is missing: cargo build --release --workspace", hook.display());
    let home = std::env::temp_dir().join(format!("fdr-bench-{}", std::process::id()));
    if std::env::args().any(|word| word == "--runtimes") {
        each_runtime(&fdr, &hook, &home);
        let _ = std::fs::remove_dir_all(&home);
        return;
    }
    let [permit, many] = ["permit", "many"].map(|name| home.with_extension(name));
    let homes = [
        (&home, "observe", Vec::new()),
        (&permit, "enforce", vec![PERMIT.to_owned()]),
        (&many, "enforce", (0..500).map(policy).chain([PERMIT.to_owned()]).collect()),
    ];
    for (home, mode, policies) in homes {
        std::fs::create_dir_all(home.join("policies")).expect("a folder");
        let mut config = format!("mode = \"{mode}\"\n");
        if !policies.is_empty() {
            config.push_str("policies = [\"policies/\"]\n");
            std::fs::write(home.join("policies/bench.cedar"), policies.concat()).expect("written");
        }
        std::fs::write(home.join("config.toml"), config).expect("written");
    }
    let started = Instant::now();
    call(&hook, &["claude-code", "PreToolUse", "--home", &home.to_string_lossy()], 0);
    println!("first event, recorder started by it: {:.1} ms", millis(started.elapsed()));

    let texts = [&home, &permit, &many].map(|home| home.to_string_lossy().into_owned());
    let [home_text, permit_text, many_text] = &texts;
    let event = |home| vec!["claude-code", "PreToolUse", "--home", home];
    let rivals: Vec<(&str, PathBuf, Vec<&str>)> = vec![
        ("/bin/true", "/bin/true".into(), vec![]),
        ("fdr-hook, baseline, observe", hook.clone(), event(home_text)),
        ("fdr-hook, one policy, enforce", hook.clone(), event(permit_text)),
        ("fdr-hook, 501 policies, enforce", hook.clone(), event(many_text)),
        (
            "node, reads and exits",
            "node".into(),
            vec!["-e", "process.stdin.resume();process.stdin.on('end',()=>process.exit(0))"],
        ),
        ("python3, reads and exits", "python3".into(), vec!["-c", "import sys; sys.stdin.read()"]),
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); rivals.len()];
    // In turn, so that all of them meet the same moods of the machine; the slow ones less often.
    for number in 1..=CALLS {
        for (rival, (_, program, arguments)) in rivals.iter().enumerate() {
            if rival < 4 || number % 10 == 0 {
                times[rival].push(call(program, arguments, number));
            }
        }
    }
    println!(
        "{:32} {:>6} {:>9} {:>9} {:>9} {:>9}",
        "whole process, ms", "calls", "median", "p90", "p99", "max"
    );
    for ((name, _, _), times) in rivals.iter().zip(&mut times) {
        times.sort();
        let at = |part: f64| millis(times[((times.len() - 1) as f64 * part) as usize]);
        println!(
            "{name:32} {:>6} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            times.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
    }
    let status = Command::new(&fdr).args(["status", "--home", home_text]).output().expect("fdr runs");
    print!("{}", String::from_utf8_lossy(&status.stdout));
    for home in &texts {
        let _ = Command::new(&fdr).args(["stop", "--home", home]).output();
    }
    for home in [permit, many] {
        let _ = std::fs::remove_dir_all(home);
    }
    each_runtime(&fdr, &hook, &home);
    a_million_records(&fdr, &programs.join("fdr-hook"), &home);
    let _ = std::fs::remove_dir_all(&home);
}

const PERMIT: &str =
    "@id(\"bench/all\") @reason(\"all\") @control(\"none\") permit(principal, action, resource);\n";

/// One of many policies: half of them on the verbs of the payload, each with conditions that hold
/// for nothing in it.
fn policy(number: usize) -> String {
    let verbs = ["execute", "search", "read", "write", "delete", "send", "network", "configure"];
    let verb = verbs[number % verbs.len()];
    format!(
        "@id(\"bench/{number}\") @reason(\"folder {number} is not for agents\") @control(\"none\") \
         forbid(principal, action == Action::\"{verb}\", resource is File) \
         when {{ resource.name like \"/srv/team-{number}/*\" && !context.taint.contains(\"web\") }};\n"
    )
}

/// The event before a tool runs, as each runtime gives it to the very command that `fdr install`
/// writes, or that its plug-in starts: those have no shell between. Prints medians, and what they
/// are beside a process that does nothing and beside a shell that does nothing.
fn each_runtime(fdr: &Path, hook: &Path, home: &Path) {
    let settings = home.with_extension("settings");
    let home_text = home.to_string_lossy().into_owned();
    let mut rows: Vec<(String, PathBuf, Vec<String>, String)> = vec![
        ("/bin/true".to_owned(), "/bin/true".into(), Vec::new(), String::new()),
        ("sh -c true".to_owned(), "/bin/sh".into(), vec!["-c".to_owned(), "true".to_owned()], String::new()),
    ];
    for (runtime, event, file, payload) in RUNTIMES {
        let (program, arguments) = match file {
            Some(file) => {
                let status = Command::new(fdr)
                    .args(["--home", &home_text, "install", runtime])
                    .env("HOME", &settings)
                    .env_remove("CLAUDE_CONFIG_DIR")
                    .env_remove("CODEX_HOME")
                    .stdout(Stdio::null())
                    .status()
                    .expect("fdr runs");
                assert!(status.success(), "fdr install {runtime}: {status}");
                let text = std::fs::read(settings.join(file)).expect("settings");
                let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
                let command = &value["hooks"][event][0]["hooks"][0]["command"];
                ("/bin/sh".into(), vec!["-c".to_owned(), command.as_str().expect("a command").to_owned()])
            }
            None => {
                let arguments = [runtime, event, "--home", &home_text].map(str::to_owned);
                (hook.to_owned(), arguments.to_vec())
            }
        };
        rows.push((format!("{runtime} {event}"), program, arguments, payload.to_owned()));
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); rows.len()];
    for number in 1..=CALLS {
        for (row, (_, program, arguments, payload)) in rows.iter().enumerate() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let payload = payload.replace("NUMBER", &number.to_string());
            times[row].push(call_with(program, &arguments, &payload));
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        millis(times[times.len() / 2])
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    println!(
        "\n{:32} {:>9} {:>9} {:>11} {:>12}",
        "whole process, ms", "median", "p99", "× true", "× sh -c true"
    );
    for (row, (name, ..)) in rows.iter().enumerate() {
        let p99 = millis(times[row][CALLS * 99 / 100]);
        let (to_true, to_shell) = (medians[row] / medians[0], medians[row] / medians[1]);
        println!("{name:32} {:>9.2} {p99:>9.2} {to_true:>11.1} {to_shell:>12.1}", medians[row]);
    }
    let _ = Command::new(fdr).args(["stop", "--home", &home_text]).output();
    let _ = std::fs::remove_dir_all(settings);
}

/// Runtime, event, where the user's hooks are if they are commands, and a payload.
const RUNTIMES: [(&str, &str, Option<&str>, &str); 6] = [
    ("claude-code", "PreToolUse", Some(".claude/settings.json"), PAYLOAD),
    (
        "codex",
        "PreToolUse",
        Some(".codex/hooks.json"),
        r#"{"session_id":"bench-codex","turn_id":"t","transcript_path":null,"cwd":"/home/dev/proj","hook_event_name":"PreToolUse","model":"m","permission_mode":"default","tool_name":"Bash","tool_input":{"command":"cd src && rg -n 'fn main' | head -20 && cargo test 2>&1 | tail -5"},"tool_use_id":"call_NUMBER"}"#,
    ),
    (
        "gemini-cli",
        "BeforeTool",
        Some(".gemini/settings.json"),
        r#"{"session_id":"bench-gemini","transcript_path":"","cwd":"/home/dev/proj","hook_event_name":"BeforeTool","timestamp":"2026-11-25T03:00:00.000Z","tool_name":"run_shell_command","tool_input":{"command":"cd src && rg -n 'fn main' | head -20 && echo NUMBER"}}"#,
    ),
    (
        "hermes",
        "pre_tool_call",
        None,
        r#"{"hook_event_name":"pre_tool_call","tool_name":"terminal","tool_input":{"command":"cd src && rg -n 'fn main' | head -20 && cargo test 2>&1 | tail -5"},"session_id":"bench-hermes","cwd":"/home/dev/proj","extra":{"task_id":"t","tool_call_id":"call_NUMBER","turn_id":"t"}}"#,
    ),
    (
        "opencode",
        "tool.execute.before",
        None,
        r#"{"sessionID":"bench-opencode","directory":"/home/dev/proj","tool":"bash","callID":"call_NUMBER","messageID":"m","args":{"command":"cd src && rg -n 'fn main' | head -20 && cargo test 2>&1 | tail -5"}}"#,
    ),
    (
        "openclaw",
        "before_tool_call",
        None,
        r#"{"session_id":"bench-openclaw","session_key":"agent:main:main","agent_id":"main","run_id":"r","cwd":"/home/dev/proj","event":{"toolName":"exec","params":{"command":"cd src && rg -n 'fn main' | head -20 && cargo test 2>&1 | tail -5"},"toolCallId":"call_NUMBER"}}"#,
    ),
];

/// The recorder with a million records in its log: start, memory, and the hook.
fn a_million_records(fdr: &Path, hook: &Path, home: &Path) {
    const RECORDS: u64 = 1_000_000;
    let home_text = home.to_string_lossy().into_owned();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(fdr).args(["--home", &home_text]).args(arguments).output().expect("fdr runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let action =
        run(&["cat"]).lines().rev().find(|line| line.contains("\"action\"")).expect("an action").to_owned();
    // Without the references: the content is not stored again with each copy.
    let action = format!("{}}}", action.split(",\"content\":[").next().expect("a record"));
    let key = fdr_log::SigningKey::load_or_create(&home.join("keys/log.key")).expect("the recorder's key");
    let reader = fdr_log::Reader::open(&home.join("log")).expect("the log");
    let options = fdr_log::Options::new(reader.origin(), key);
    let (log, _) = fdr_log::Log::open(&home.join("log"), options).expect("the log");
    let mut pending = Vec::new();
    for number in 0..RECORDS / 100 {
        let record = action.replace("bench-0000", &format!("bench-{:04}", number % 2_000)).into_bytes();
        let batch =
            fdr_log::Batch { source: [9; 16], seq: number, records: vec![record; 100], contents: Vec::new() };
        pending.push(log.submit(batch).expect("queued"));
    }
    for pending in pending {
        pending.wait().expect("durable");
    }
    log.close().expect("closed");
    println!("\nwith {RECORDS} records of {} bytes in the log", action.len());
    let arguments = ["claude-code", "PreToolUse", "--home", &home_text];
    println!("first event, recorder started by it: {:.1} ms", millis(call(hook, &arguments, 0)));
    let mut times: Vec<Duration> = (0..CALLS).map(|number| call(hook, &arguments, number)).collect();
    times.sort();
    println!(
        "fdr-hook median {:.2} ms, p99 {:.2} ms",
        millis(times[CALLS / 2]),
        millis(times[CALLS * 99 / 100])
    );
    let pid = run(&["status", "--json"]);
    let pid = pid.split("\"pid\":").nth(1).and_then(|rest| rest.split(',').next()).expect("a pid").to_owned();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("recorder {line}");
    }
    for (what, arguments) in [
        ("fdr replay, baseline", vec!["replay", "--policy", "baseline"]),
        ("fdr sessions", vec!["sessions", "--limit", "5"]),
        ("fdr query --action delete", vec!["query", "--action", "delete"]),
        ("fdr show of one session", vec!["show", "bench-0007"]),
        ("fdr verify", vec!["verify"]),
    ] {
        let started = Instant::now();
        run(&arguments);
        println!("{what}: {:.2} s", started.elapsed().as_secs_f64());
    }
    run(&["stop"]);
}

fn call(program: &Path, arguments: &[&str], number: usize) -> Duration {
    call_with(program, arguments, &PAYLOAD.replace("NUMBER", &number.to_string()))
}

fn call_with(program: &Path, arguments: &[&str], payload: &str) -> Duration {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    if let Some(mut stdin) = child.stdin.take() {
        // /bin/true may have ended already.
        let _ = stdin.write_all(payload.as_bytes());
    }
    let status = child.wait().expect("a child can be waited for");
    assert!(status.success(), "{} failed: {status}", program.display());
    started.elapsed()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
