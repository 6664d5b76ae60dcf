//! `fdr-hook RUNTIME EVENT [--home DIR] [--source HEX]`: what an agent runtime calls on every event.
//!
//! Reads the event from standard input, gives it to the recorder, waits until it is durable,
//! and answers what the recorder says. It has a deadline of its own, catches every failure of
//! its own, and then does what [`Failure`] says: no runtime stops a tool because its hook
//! crashed or hung, so failing closed is this program's own duty.
#![forbid(unsafe_code)]

use fdr_hook::client::{Client, Error};
use fdr_hook::level::{self, Level};
use fdr_hook::reply::{self, Reply};
use fdr_hook::system::System;
use fdr_hook::wire::{self, Request, Response};
use fdr_hook::{Failure, default_home, spool};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The runtimes wait 30 to 60 seconds for a hook and then run the tool all the same.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same for events to which Codex gives three seconds at the most.
const SHORT_DEADLINE: Duration = Duration::from_millis(2_500);
/// The latest end where the recorder says that it waits for a person; before the limit that the
/// runtime was given for this hook.
const LATEST: Duration = Duration::from_secs(fdr_hook::RUNTIME_LIMIT_S as u64 - 10);

/// How long to wait before each new try when the connection broke.
const RETRIES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(500)];

const USAGE: &str = "usage: fdr-hook RUNTIME EVENT [--home DIR] [--source HEX] < event\n\
    Gives one event of an agent runtime to the recorder. Called by the runtime; `fdr install` sets it up.\n";

struct Arguments {
    runtime: String,
    event: String,
    home: PathBuf,
    /// Names the message, so that one that is sent again is recorded once; else a new name is made.
    source: Option<[u8; 16]>,
}

/// 32 hexadecimal digits.
fn source(text: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    number.map(u128::to_be_bytes)
}

fn arguments() -> Result<Arguments, String> {
    let (mut words, mut home, mut named) = (Vec::new(), None, None);
    let mut given = std::env::args_os().skip(1);
    while let Some(word) = given.next() {
        match word.to_str() {
            Some("--home") => home = Some(PathBuf::from(given.next().ok_or("--home needs a folder")?)),
            Some("--source") => {
                let text = given.next().and_then(|text| text.into_string().ok());
                named = Some(text.as_deref().and_then(source).ok_or("--source needs 32 hexadecimal digits")?);
            }
            Some("--version") => return Err(format!("fdr-hook {}\n", env!("CARGO_PKG_VERSION"))),
            Some("--help" | "-h") => return Err(USAGE.to_owned()),
            Some(text) => words.push(text.to_owned()),
            None => return Err("an argument is not UTF-8".to_owned()),
        }
    }
    let [runtime, event] = <[String; 2]>::try_from(words).map_err(|_| USAGE.to_owned())?;
    let home = home.or_else(default_home).ok_or("neither FDR_HOME nor HOME is set")?;
    Ok(Arguments { runtime, event, home, source: named })
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(text) if std::env::args().any(|word| matches!(word.as_str(), "--version" | "--help" | "-h")) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            // Exit 1 stops no tool and shows the text to the user; 2 would block.
            eprintln!("fdr-hook: {text}");
            return ExitCode::from(1);
        }
    };
    let Arguments { runtime, event, home, source } = arguments;
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let (worker_runtime, worker_event, worker_home) = (runtime.clone(), event.clone(), home.clone());
    std::thread::spawn(move || {
        let waits = |longest| drop(sender.send(News::Waits(longest)));
        let answer = record(&worker_runtime, &worker_event, &worker_home, source, start, &waits);
        let _ = sender.send(News::Answer(answer));
    });
    let mut deadline = start + limit(&runtime, &event);
    let answer = loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(News::Answer(answer)) => break answer,
            Ok(News::Waits(longest)) => deadline = (Instant::now() + longest + DEADLINE).min(start + LATEST),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                break Err(format!("no answer within {} s", start.elapsed().as_secs()));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break Err("fdr-hook itself failed".to_owned()),
        }
    };
    let Reply { stdout, stderr, exit_code } = match answer {
        Ok(response) if response.level.unwrap_or_default() < asked_level() => {
            fall_short(&runtime, &event, &home, &response)
        }
        Ok(Response { stdout, stderr, exit_code, .. }) => Reply { stdout, stderr, exit_code },
        Err(reason) => fail(&runtime, &event, &home, &reason),
    };
    let _ = io::stderr().write_all(&stderr);
    if io::stdout().write_all(&stdout).and_then(|()| io::stdout().flush()).is_err() && !stdout.is_empty() {
        return ExitCode::from(2);
    }
    ExitCode::from(exit_code)
}

/// How long an event may take, but for a person who decides.
fn limit(runtime: &str, event: &str) -> Duration {
    match (runtime, event) {
        ("codex", "SessionEnd" | "Interrupt") => SHORT_DEADLINE,
        _ => DEADLINE,
    }
}

/// What the thread that records has to tell.
enum News {
    /// Somebody has to decide first, which takes at most so long.
    Waits(Duration),
    /// The recorder's answer, or why the event is not recorded.
    Answer(Result<Response, String>),
}

/// Records the event, or keeps it in the spool; an error says why it is not recorded.
fn record(
    runtime: &str,
    event: &str,
    home: &Path,
    source: Option<[u8; 16]>,
    start: Instant,
    waits: &dyn Fn(Duration),
) -> Result<Response, String> {
    let mut payload = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut payload);
    let source = source.map_or_else(spool::new_source, Ok);
    let source = source.map_err(|error| format!("no randomness: {error}"))?;
    let mut request = Request::event(runtime, event, source, 0, payload);
    if let Err(error) = read {
        return Err(keep(home, &mut request, &format!("can't read standard input: {error}")));
    }
    let limit = limit(runtime, event);
    let mut deadline = start + limit;
    let mut answer = send(&request, home, deadline, waits);
    // The recorder may have died between two events, or while it waited for somebody to decide;
    // the next one goes on with that. One that is dying still takes connections for a moment.
    for pause in RETRIES {
        let Err(Error::Broken(_)) = answer else { break };
        std::thread::sleep(pause);
        if start.elapsed() >= limit {
            deadline = Instant::now() + limit;
        }
        answer = send(&request, home, deadline, waits);
    }
    match answer {
        Ok(response) if response.recorded => {
            watch(event, home);
            Ok(response)
        }
        Ok(response) => Err(keep(home, &mut request, &String::from_utf8_lossy(&response.stderr))),
        Err(error) => Err(keep(home, &mut request, &error.to_string())),
    }
}

/// The machine's recorder can't read this user's files: `fdr watch` hands it the transcripts. One is
/// started with every session, and ends at once if there is one already.
fn watch(event: &str, home: &Path) {
    let event = event.to_ascii_lowercase();
    if !["start", "created"].iter().any(|word| event.contains(word)) || System::of(home).is_none() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let null = std::process::Stdio::null;
    let _ = std::process::Command::new(program.with_file_name("fdr"))
        .args(["watch", "--background", "--home"])
        .arg(home)
        .current_dir("/")
        .env_clear()
        .envs(std::env::var_os("HOME").map(|home| ("HOME", home)))
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .spawn();
}

fn send(
    request: &Request,
    home: &Path,
    deadline: Instant,
    waits: &dyn Fn(Duration),
) -> Result<Response, Error> {
    // The spool needs some of the time that is left if this fails.
    let deadline = deadline - Duration::from_secs(2);
    Client::connect_or_start(home, deadline)?
        .call_and_tell(request, Some(deadline), &mut |longest| waits(longest))
}

fn keep(home: &Path, request: &mut Request, reason: &str) -> String {
    if denies(home, &request.runtime, &request.event) {
        request.variables.push((wire::DENIED_VARIABLE.to_owned(), reason.to_owned()));
    }
    match spool::keep(home, request) {
        Ok(path) => format!("{reason}; kept in {} until a recorder runs", path.display()),
        Err(error) => {
            format!("{reason}; it could not be kept in the spool either ({error}): THIS EVENT IS LOST")
        }
    }
}

/// What the runtime is told when the event is not recorded.
fn fail(runtime: &str, event: &str, home: &Path, reason: &str) -> Reply {
    let note = format!("fdr: event {event} is not recorded: {reason}\n").into_bytes();
    if denies(home, runtime, event) {
        let deny = reply::deny(runtime, &format!("denied, because it can't be recorded: {reason}"));
        return Reply { stderr: [note, deny.stderr].concat(), ..deny };
    }
    // Any status but 0 and 2 lets the agent go on and shows the text to its user.
    Reply { stderr: note, exit_code: 1, ..Reply::default() }
}

/// What the sender wants the record to have reached.
fn asked_level() -> Level {
    std::env::var(level::VARIABLE).ok().and_then(|name| Level::parse(&name)).unwrap_or_default()
}

/// What the runtime is told when the event is recorded, but not as far as was asked.
fn fall_short(runtime: &str, event: &str, home: &Path, response: &Response) -> Reply {
    let reached = response.level.unwrap_or_default().as_str();
    let reason = format!("its record is {reached}, and not {} as FDR_LEVEL asks", asked_level().as_str());
    let note = format!("fdr: event {event}: {reason}\n").into_bytes();
    if denies(home, runtime, event) {
        let deny = reply::deny(runtime, &format!("denied: {reason}"));
        return Reply { stderr: [note, deny.stderr].concat(), ..deny };
    }
    Reply { stderr: note, exit_code: 1, ..Reply::default() }
}

/// Whether a failure to record this event denies the tool call.
fn denies(home: &Path, runtime: &str, event: &str) -> bool {
    reply::gates(runtime, event) && Failure::of(home) == Failure::Closed
}
