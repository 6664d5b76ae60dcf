//! The MCP proxy is a pipe to both sides, and what may act goes through only once it is kept.

use crate::program::Program;
use fdr_hook::spool;
use fdr_hook::wire::{Request, Response, read_frame, write_frame};
use fdr_record::{Body, Kind, Outcome, Record, Rel};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// How a recorder of these tests answers a message; `None` breaks the connection.
type Answer = Box<dyn FnMut(&Request) -> Option<Response> + Send>;

fn recorded() -> Option<Response> {
    Some(Response { recorded: true, ..Response::default() })
}

/// Listens in `home` and hands out what it is given.
fn recorder(home: &Path, mut answer: Answer) -> Receiver<Request> {
    let listener = UnixListener::bind(home.join(fdr_hook::client::SOCKET)).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Ok(Some(body)) = read_frame(&mut stream) {
                let request = Request::decode(&body).unwrap();
                let response = answer(&request);
                let _ = sender.send(request);
                match response {
                    Some(response) => write_frame(&mut stream, &response.encode()).unwrap(),
                    None => break,
                }
            }
        }
    });
    receiver
}

/// A folder in which no recorder can be started.
fn home_without_recorder(failure: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), "this is no configuration").unwrap();
    std::fs::write(home.path().join(fdr_hook::FAILURE_FILE), failure).unwrap();
    home
}

struct Proxy {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Proxy {
    fn start(home: &Path, arguments: &[&str]) -> Proxy {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fdr"))
            .args(["mcp-proxy", "--home"])
            .arg(home)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Proxy { child, input, output }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes.as_ref()).unwrap();
        input.flush().unwrap();
    }

    fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.output.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Closes its input; returns the rest of its output, its errors and its exit status.
    fn end(mut self) -> (Vec<u8>, String, Option<i32>) {
        drop(self.input.take());
        let mut errors = self.child.stderr.take().unwrap();
        let errors: JoinHandle<String> = std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            text
        });
        let mut output = Vec::new();
        self.output.read_to_end(&mut output).unwrap();
        let status = self.child.wait().unwrap();
        (output, errors.join().unwrap(), status.code())
    }
}

/// The messages that went one way, as they were recorded.
fn lines(requests: &[Request], event: &str) -> Vec<String> {
    let of_event = requests.iter().filter(|request| request.event == event);
    of_event.map(|request| String::from_utf8_lossy(&request.payload).into_owned()).collect()
}

fn spooled(home: &Path) -> Vec<Request> {
    let mut requests: Vec<Request> = spool::waiting(home)
        .unwrap()
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            Request::decode(&read_frame(&mut bytes.as_slice()).unwrap().unwrap()).unwrap()
        })
        .collect();
    requests.sort_by_key(|request| request.seq);
    requests
}

fn assert_without_gap(requests: &[Request]) {
    let numbers: Vec<u64> = requests.iter().map(|request| request.seq).collect();
    assert_eq!(numbers, (0..requests.len() as u64).collect::<Vec<_>>());
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo"}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":4,"method":"ping"}"#;

/// Xorshift: the same bytes for the same seed everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn stream(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(60) {
            match self.below(8) {
                0 => bytes.extend_from_slice(CALL.as_bytes()),
                1 => bytes.extend_from_slice(PING.as_bytes()),
                2 => bytes.extend((0..self.below(3000)).map(|_| self.below(256) as u8).collect::<Vec<_>>()),
                3 => bytes.extend_from_slice(b"{\"a\":\"}]\\\"{\",\xff\"b\":[{}]"),
                4 => bytes.extend_from_slice(b"[1,2,[\"\xc3\x28\"]]]} \t\r"),
                5 => bytes.extend_from_slice(b"\xef\xbb\xbf{}{\"method\":1}"),
                6 => bytes.extend(vec![b" {[\"x"[self.below(5)]; self.below(100_000)]),
                _ => {}
            }
            if self.below(3) > 0 {
                bytes.push(b'\n');
            }
        }
        bytes
    }
}

#[test]
fn every_byte_passes_unchanged_and_every_line_is_recorded_in_order() {
    for seed in 1..=12 {
        let mut random = Random(seed << 32 | 0x9e37_79b9);
        let home = tempfile::tempdir().unwrap();
        let requests = recorder(home.path(), Box::new(|_| recorded()));
        let mut sent = random.stream();
        if seed % 4 == 0 {
            let long = format!("\n{{\"method\":\"tools/call\",\"x\":\"{}\"}}\n", "y".repeat(5 << 20));
            sent.extend_from_slice(long.as_bytes());
        }
        let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
        let mut input = proxy.input.take().unwrap();
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let limit = [1, 10, 5000, 300_000][random.below(4)];
                let (head, tail) = rest.split_at((1 + random.below(limit)).min(rest.len()));
                input.write_all(head).unwrap();
                rest = tail;
            }
        });
        let (received, errors, code) = proxy.end();
        writer.join().unwrap();
        assert!(received == sent, "seed {seed}: {} bytes became {}", sent.len(), received.len());
        assert_eq!((errors.as_str(), code), ("", Some(0)), "seed {seed}");
        let requests: Vec<Request> = requests.try_iter().collect();
        assert_without_gap(&requests);
        let sent_lines =
            sent.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let server_lines = requests.iter().filter(|request| request.event == "server");
        assert!(sent_lines.eq(server_lines.map(|request| &request.payload[..])), "seed {seed}");
        let without_space = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
        };
        let client: Vec<u8> = requests
            .iter()
            .filter(|request| request.event == "client")
            .flat_map(|request| request.payload.clone())
            .collect();
        // A byte order mark alone is no message.
        let marks = |bytes: &[u8]| -> Vec<u8> {
            without_space(bytes).into_iter().filter(|byte| ![0xef, 0xbb, 0xbf].contains(byte)).collect()
        };
        assert!(marks(&client) == marks(&sent), "seed {seed}");
    }
}

#[test]
fn what_needs_no_line_end_does_not_wait_for_one() {
    let home = tempfile::tempdir().unwrap();
    let requests = recorder(home.path(), Box::new(|_| recorded()));
    let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
    for part in ["no message", " at all\n", CALL, "\n", " ", PING] {
        proxy.send(part);
        assert_eq!(proxy.receive(part.len()), part.as_bytes());
    }
    // Nobody can act on half a message, which the end of the stream passes on all the same.
    proxy.send("{\"half\":");
    assert_eq!(proxy.end().0, b"{\"half\":");
    let requests: Vec<Request> = requests.try_iter().collect();
    assert_eq!(lines(&requests, "client"), ["no message at all", CALL, PING, "{\"half\":"]);
}

#[test]
fn a_tool_call_reaches_the_server_only_after_it_is_durable() {
    let home = tempfile::tempdir().unwrap();
    let mark = home.path().join("seen");
    let (seen, mark_then) = (mark.clone(), mark.clone());
    let requests = recorder(
        home.path(),
        Box::new(move |request| {
            if request.event == "client" {
                // The server has no part of it yet, though it takes what it gets at once.
                assert!(!seen.exists());
            }
            recorded()
        }),
    );
    let script = format!("head -c 1 > {0}.part; mv {0}.part {0}; echo seen; cat > /dev/null", mark.display());
    let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", &script]);
    proxy.send(format!("{CALL}\n"));
    assert_eq!(proxy.line(), "seen\n");
    assert!(mark_then.exists());
    assert_eq!(proxy.end().2, Some(0));
    assert_eq!(lines(&requests.try_iter().collect::<Vec<_>>(), "client"), [CALL]);
}

#[test]
fn a_recorder_that_says_no_keeps_the_call_from_the_server() {
    let home = tempfile::tempdir().unwrap();
    let _requests = recorder(
        home.path(),
        Box::new(|request| {
            let denied = String::from_utf8_lossy(&request.payload).contains("tools/call");
            let stderr = if denied { b"not in the task's scope\n".to_vec() } else { Vec::new() };
            Some(Response { recorded: true, exit_code: 2 * u8::from(denied), stderr, ..Response::default() })
        }),
    );
    let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
    proxy.send(format!("{CALL}\n{PING}\n"));
    let refusal = proxy.line();
    let refusal: serde_json::Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!(refusal["id"], 3);
    assert_eq!(refusal["error"]["code"], -32001);
    assert_eq!(refusal["error"]["message"], "not in the task's scope");
    assert_eq!(proxy.end().0, format!("{PING}\n").as_bytes());
}

#[test]
fn without_a_recorder_a_call_is_spooled_and_goes_through() {
    let home = home_without_recorder("open");
    let mut proxy = Proxy::start(home.path(), &["--name", "echo", "--", "cat"]);
    proxy.send(format!("{CALL}\n"));
    assert_eq!(proxy.line(), format!("{CALL}\n"));
    // It is in the spool by the time it comes back.
    assert_eq!(lines(&spooled(home.path()), "client"), [CALL]);
    proxy.send(format!("{PING}\n"));
    let (output, errors, code) = proxy.end();
    assert_eq!((output, code), (format!("{PING}\n").into_bytes(), Some(0)));
    assert!(errors.contains("not recorded yet, kept in"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let spooled = spooled(home.path());
    assert_without_gap(&spooled);
    assert!(spooled.iter().all(|request| request.runtime == "mcp:echo" && request.spooled > 0));
    assert_eq!(spooled.first().unwrap().event, "start");
    assert_eq!(lines(&spooled, "client"), [CALL, PING]);
    assert_eq!(lines(&spooled, "server"), [CALL, PING]);
    let [exit] = &lines(&spooled, "exit")[..] else { panic!("one end") };
    let exit: serde_json::Value = serde_json::from_str(exit).unwrap();
    assert_eq!(exit, serde_json::json!({"code": 0, "forwarded": null, "signal": null}));
}

#[test]
fn without_a_recorder_a_call_is_refused_where_failures_are_to_deny() {
    let home = home_without_recorder("closed");
    let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
    let batch =
        format!("[{PING},{{\"id\":\"x\",\"method\":\"unheard/of\"}},{{\"method\":\"notifications/x\"}}]");
    let twice = r#"{"id":9,"method":"ping","method":"tools/call"}"#;
    proxy.send(format!("{CALL}\n{batch}\n{twice}\n{PING}\n"));
    let call: serde_json::Value = serde_json::from_str(&proxy.line()).unwrap();
    assert_eq!(
        (&call["jsonrpc"], &call["id"], &call["error"]["code"]),
        (&"2.0".into(), &3.into(), &(-32000).into())
    );
    let message = call["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("fdr (enforce): not passed on, because it can't be recorded: "), "{message}");
    let batch: serde_json::Value = serde_json::from_str(&proxy.line()).unwrap();
    let ids: Vec<_> = batch.as_array().unwrap().iter().map(|error| &error["id"]).collect();
    assert_eq!(ids, [&serde_json::json!(4), &serde_json::json!("x")]);
    let twice: serde_json::Value = serde_json::from_str(&proxy.line()).unwrap();
    assert!(twice["id"].is_null() && twice["error"].is_object());
    // What asks for nothing to be done goes through, and the server got nothing else.
    assert_eq!(proxy.end().0, format!("{PING}\n").as_bytes());
    assert_eq!(lines(&spooled(home.path()), "refused").len(), 3);
}

#[test]
fn an_answer_of_our_own_never_splits_a_line_of_the_server() {
    let home = home_without_recorder("closed");
    let mut proxy = Proxy::start(
        home.path(),
        &["--", "sh", "-c", "printf '{\"long'; head -c 4 >/dev/null; echo 'er\":1}'"],
    );
    assert_eq!(proxy.receive(6), b"{\"long");
    proxy.send(format!("{CALL}\n"));
    while lines(&spooled(home.path()), "refused").is_empty() {
        std::thread::yield_now();
    }
    proxy.send(format!("{PING}\n"));
    assert_eq!(proxy.line(), "er\":1}\n");
    assert!(proxy.line().contains("-32000"));
}

#[test]
fn a_recorder_that_dies_loses_nothing() {
    let home = home_without_recorder("open");
    let socket = home.path().join(fdr_hook::client::SOCKET);
    let mut count = 0;
    let requests = recorder(
        home.path(),
        Box::new(move |_| {
            count += 1;
            if count == 5 {
                std::fs::remove_file(&socket).unwrap();
            }
            (count < 5).then(recorded).flatten()
        }),
    );
    let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
    for _ in 0..20 {
        proxy.send(format!("{CALL}\n"));
        assert_eq!(proxy.line(), format!("{CALL}\n"));
    }
    assert_eq!(proxy.end().2, Some(0));
    // The fifth was given to the recorder, which did not say that it has it.
    let mut all: Vec<Request> = requests.try_iter().take(4).collect();
    all.extend(spooled(home.path()));
    assert_without_gap(&all);
    assert_eq!((lines(&all, "client").len(), lines(&all, "server").len()), (20, 20));
}

#[test]
fn a_silent_recorder_does_not_hold_up_what_does_not_act() {
    let home = home_without_recorder("open");
    // Connections are accepted by the kernel, and nobody answers.
    let _listener = UnixListener::bind(home.path().join(fdr_hook::client::SOCKET)).unwrap();
    let mut proxy = Proxy::start(home.path(), &["--", "cat"]);
    let started = std::time::Instant::now();
    for _ in 0..100 {
        proxy.send(format!("{PING}\n"));
        assert_eq!(proxy.line(), format!("{PING}\n"));
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(proxy.end().2, Some(0));
    assert_without_gap(&spooled(home.path()));
    assert_eq!(lines(&spooled(home.path()), "server").len(), 100);
}

#[test]
fn it_ends_as_the_server_does() {
    let home = home_without_recorder("open");
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        // Its input stays open: the server's end alone ends the proxy.
        let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", script]);
        assert_eq!(proxy.child.wait().unwrap().code(), Some(code), "{script}");
    }
    let missing = Proxy::start(home.path(), &["--", "/no/such/server"]).end();
    assert_eq!(missing.2, Some(127));
    assert!(missing.1.contains("can't start /no/such/server"), "{}", missing.1);
    assert_eq!(Proxy::start(home.path(), &["--", "/etc/hostname"]).end().2, Some(126));
}

#[test]
fn output_and_errors_are_all_there_when_the_server_ends_at_once() {
    let home = home_without_recorder("open");
    let script = "echo oops >&2; head -c 1000000 /dev/zero; exit 3";
    let (output, errors, code) = Proxy::start(home.path(), &["--", "sh", "-c", script]).end();
    assert_eq!((output.len(), code), (1_000_000, Some(3)));
    assert!(errors.contains("oops\n"), "{errors}");
}

#[test]
fn what_holds_the_output_after_the_end_does_not_hold_the_proxy() {
    let home = home_without_recorder("open");
    let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", "sleep 100 & echo $!; exit 5"]);
    let left_behind: i32 = proxy.line().trim().parse().unwrap();
    assert_eq!(proxy.child.wait().unwrap().code(), Some(5));
    kill_process(Pid::from_raw(left_behind).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn signals_reach_the_server() {
    let home = home_without_recorder("open");
    for (signal, name, code) in
        [(Signal::TERM, "TERM", 41), (Signal::INT, "INT", 42), (Signal::HUP, "HUP", 43)]
    {
        let script = format!("trap 'exit {code}' {name}; echo ready; while :; do sleep 0.01; done");
        let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", &script]);
        assert_eq!(proxy.line(), "ready\n");
        proxy.signal(signal);
        assert_eq!(proxy.child.wait().unwrap().code(), Some(code), "{name}");
    }
}

#[test]
fn a_stream_that_one_side_closes_is_closed_for_the_other() {
    let home = home_without_recorder("open");
    // The server closes its output and lives on.
    let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", "echo last; exec >&-; cat >&2"]);
    let mut output = String::new();
    proxy.output.read_to_string(&mut output).unwrap();
    assert_eq!(output, "last\n");
    proxy.send("heard\n");
    let (_, errors, code) = proxy.end();
    assert!(errors.contains("heard\n"), "{errors}");
    assert_eq!(code, Some(0));

    // The server closes its input and lives on: writing fails, as into any pipe.
    let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", "exec <&-; echo closed; sleep 100"]);
    assert_eq!(proxy.line(), "closed\n");
    let mut input = proxy.input.take().unwrap();
    let error = loop {
        if let Err(error) = input.write_all(b"x\n") {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.child.wait().unwrap().code(), Some(143));

    // The client closes its end: a server that goes on writing is told so by the kernel.
    let proxy = Proxy::start(home.path(), &["--", "sh", "-c", "while :; do echo more || exit 9; done"]);
    let Proxy { mut child, input, output } = proxy;
    drop(output);
    assert!(matches!(child.wait().unwrap().code(), Some(9 | 141)));
    drop(input);
}

#[test]
fn the_server_is_called_by_its_own_name_once_it_said_it() {
    let home = tempfile::tempdir().unwrap();
    let requests = recorder(home.path(), Box::new(|_| recorded()));
    let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"serverInfo":{"name":"every thing/1","version":"1"}}}"#;
    let script = format!("echo '{answer}'; cat > /dev/null");
    let mut proxy = Proxy::start(home.path(), &["--", "sh", "-c", &script]);
    assert_eq!(proxy.line().trim(), answer);
    proxy.end();
    let requests: Vec<Request> = requests.try_iter().collect();
    let runtimes: Vec<&str> = requests.iter().map(|request| request.runtime.as_str()).collect();
    assert_eq!(runtimes.last(), Some(&"mcp:every-thing-1"));
    let session = |request: &Request| {
        request.variables.iter().find(|(name, _)| name == "FDR_MCP_SESSION").map(|(_, value)| value.clone())
    };
    assert!(session(&requests[0]).is_some_and(|id| id.len() == 36));
    assert!(requests.iter().all(|request| session(request) == session(&requests[0])));
    assert!(requests.iter().all(|request| request.source == requests[0].source));
}

/// A server that takes calls and answers each with its number.
const SERVER: &str = r#"n=0; while read -r line; do n=$((n+1)); echo "{\"jsonrpc\":\"2.0\",\"id\":$n,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"answer $n\"}]}}"; done"#;

fn numbered_call(id: u32, text: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}}}}}}\n"
    )
}

#[test]
fn a_session_is_one_whole_though_the_recorder_is_killed_in_it() {
    let program = Program::new();
    let home = program.home();
    let mut proxy = Proxy::start(&home, &["--name", "counter", "--", "sh", "-c", SERVER]);
    for id in 1..=4 {
        let text = if id == 4 { "y".repeat(5 << 20) } else { "short".to_owned() };
        proxy.send(numbered_call(id, &text));
        if id == 2 {
            // The call is recorded and unanswered, or the answer is on its way.
            // Whoever needs a recorder next starts one, which may be before this one is gone.
            let recorder = program.recorder_pid().expect("a recorder runs");
            kill_process(Pid::from_raw(recorder as i32).unwrap(), Signal::KILL).unwrap();
        }
        assert!(proxy.line().contains(&format!("answer {id}")));
    }
    let (_, errors, code) = proxy.end();
    assert_eq!(code, Some(0));
    // A recorder that was being killed may have made it spool something, which it gave to the next.
    assert!(errors.is_empty() || errors.starts_with("fdr: not recorded yet, kept in "), "{errors}");
    assert_eq!(spool::waiting(&home).unwrap(), Vec::<std::path::PathBuf>::new());

    let records: Vec<Record> = program.records();
    let session: Vec<&Record> = records.iter().filter(|record| record.session.is_some()).collect();
    assert!(session.iter().all(|record| record.session == session[0].session));
    assert!(session.iter().map(|record| record.seq).eq(0..session.len() as u64));
    assert_eq!(session[0].kind, Kind::SessionStart);
    assert_eq!(session[session.len() - 1].kind, Kind::SessionEnd);
    let actions: Vec<&&Record> = session.iter().filter(|record| record.kind == Kind::Action).collect();
    assert_eq!(actions.len(), 4);
    for action in actions {
        let result = session.iter().find(|record| record.link(Rel::ResultOf) == Some(action.id)).unwrap();
        assert_eq!(result.tool_use_id(), action.tool_use_id());
        assert!(matches!(&result.body, Body::Result(body) if body.outcome == Outcome::Ok));
    }
    assert_eq!(program.fdr(&["verify"]).status.code(), Some(0));
}

#[test]
fn what_was_refused_is_told_as_denied_once_a_recorder_runs() {
    let program = Program::with_config("this is no configuration");
    let home = program.home();
    std::fs::write(home.join(fdr_hook::FAILURE_FILE), "closed").unwrap();
    let mut proxy = Proxy::start(&home, &["--name", "counter", "--", "sh", "-c", SERVER]);
    proxy.send(numbered_call(1, "x"));
    assert!(proxy.line().contains("-32000"));
    proxy.end();
    std::fs::write(home.join("config.toml"), "mode = 'enforce'").unwrap();
    let mut proxy = Proxy::start(&home, &["--name", "counter", "--", "sh", "-c", SERVER]);
    proxy.send(numbered_call(1, "x"));
    assert!(proxy.line().contains("answer 1"));
    proxy.end();
    let records = program.records();
    let outcomes: Vec<Outcome> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Result(body) => Some(body.outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Denied, Outcome::Ok]);
    assert!(records.iter().any(|record| record.observed.as_ref().is_some_and(|observed| observed.late)));
}
