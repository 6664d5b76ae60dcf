//! `fdr mcp-proxy -- SERVER…`: stands between an MCP client and a stdio server, and records
//! what goes through.
//!
//! To both sides it is a pipe: the bytes are passed on unchanged, signals and the end of either
//! stream too, and it exits as the server did. Three things set it apart from a pipe:
//!
//! - An unfinished JSON value from the client is held until it is complete, or its line or the
//!   stream ends. Nobody can act on one earlier.
//! - A request that may act (`tools/call`, any method not known to be harmless, what can't be
//!   read) is passed on only once it is durable: in the log, or in the spool where no recorder
//!   can be reached.
//! - Where failures are to deny ([`Failure::Closed`]), such a request is answered with a
//!   JSON-RPC error when no recorder has it, and the server never sees it.
//!
//! Threads: one pumps each way, one keeps the copies ([`Keeper`], fed in order through
//! [`Queue`]), the main one waits for the child and for signals.

use crate::child;
use anyhow::Context;
use fdr_hook::Failure;
use fdr_hook::client::{Client, Error};
use fdr_hook::spool;
use fdr_hook::wire::{Request, Response, read_frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is read at once, in bytes: what a pipe holds on Linux.
const CHUNK_BYTES: usize = 64 << 10;
/// The longest line that is kept as one message, in bytes. A longer one is kept in pieces.
const MAX_LINE_BYTES: usize = 64 << 20;
/// How many bytes may wait to be recorded before the streams are slowed down.
const MAX_QUEUE_BYTES: usize = 64 << 20;
/// How many messages may wait.
const MAX_QUEUE_COUNT: usize = 65_536;
/// How long a call to the recorder may take before its message is spooled, when somebody waits
/// for it.
const AWAITED_DEADLINE: Duration = Duration::from_secs(8);
/// The same when nobody does. It also bounds how long the proxy outlives the server.
const DEADLINE: Duration = Duration::from_secs(3);
/// How often a call is made when the connection breaks.
const CALL_ATTEMPTS: u32 = 3;
/// What is waited before the third time.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a recorder that failed is left alone, and messages are spooled at once.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long output is awaited that something else may still write after the server ended.
const LINGER: Duration = Duration::from_secs(1);
/// JSON-RPC leaves -32000 to -32099 to implementations.
const NOT_RECORDED: i32 = -32_000;
const DENIED: i32 = -32_001;

/// `fdr mcp-proxy`.
#[derive(Debug, clap::Args)]
pub struct McpProxyArgs {
    /// Name of the server in the records [default: the name that the server gives itself]
    #[arg(long, value_name = "SERVER")]
    pub name: Option<String>,
    /// The server's command line
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What the main thread waits for.
enum Event {
    Exited,
    OutputDone,
    Signal(i32),
}

/// Runs the server behind a recording pipe. Returns the exit status to end with.
///
/// # Errors
/// When this process can't get its own streams or signals. A server that can't be started is an
/// exit status, as in a shell.
pub fn run(args: &McpProxyArgs, home: &Path) -> anyhow::Result<u8> {
    let (program, rest) = args.command.split_first().context("no command was given")?;
    let (input, output) = take_over_streams().context("can't use standard input and output")?;
    let (events, inbox) = mpsc::channel();
    let on_signal = events.clone();
    child::watch_signals(move |signal| {
        let _ = on_signal.send(Event::Signal(signal));
    })
    .context("can't handle signals")?;

    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = match child::spawn(&mut command) {
        Ok(server) => server,
        Err(code) => return Ok(code),
    };
    drop(command);
    let (Some(server_in), Some(server_out), Some(pid)) =
        (server.stdin.take(), server.stdout.take(), child::pid(&server))
    else {
        anyhow::bail!("the server was started without its pipes");
    };

    let queue = Arc::new(Queue::default());
    let keeper = Keeper::new(args, home)?;
    queue.put("start", start_payload(args, server.id()));
    let keeper = {
        let queue = queue.clone();
        std::thread::spawn(move || keeper.run(&queue))
    };
    let client = output.try_clone().context("can't use standard output")?;
    let output = Arc::new(Mutex::new(Output { file: Some(output), mid_line: false, waiting: Vec::new() }));
    let (exited, exited_writer) = io::pipe().context("can't make a pipe")?;
    let upstream = Upstream {
        input,
        server: server_in,
        output: output.clone(),
        queue: queue.clone(),
        home: home.to_owned(),
    };
    std::thread::spawn(move || upstream.pump());
    {
        let (queue, events) = (queue.clone(), events.clone());
        std::thread::spawn(move || {
            Downstream { server: server_out, client, output, queue, in_pieces: false, exited }.pump();
            let _ = events.send(Event::OutputDone);
        });
    }
    std::thread::spawn(move || {
        child::wait_unreaped(pid);
        let _ = events.send(Event::Exited);
    });

    let (status, forwarded) = wait(&inbox, pid, &mut server, exited_writer)?;
    let code = child::exit_code(status);
    queue.put("exit", exit_payload(status, forwarded));
    queue.close();
    // A keeper that panicked has nothing left to say; the server's status is still the answer.
    let _ = keeper.join();
    Ok(code)
}

/// Waits until the server has ended and all of its output is passed on. Returns how it ended, and
/// the last signal that it was passed.
fn wait(
    inbox: &Receiver<Event>,
    pid: rustix::process::Pid,
    server: &mut std::process::Child,
    exited: io::PipeWriter,
) -> anyhow::Result<(std::process::ExitStatus, Option<i32>)> {
    let mut exited = Some(exited);
    let mut status = None;
    let mut forwarded = None;
    let mut output_done = false;
    while status.is_none() || !output_done {
        match inbox.recv().context("the proxy's own threads ended")? {
            Event::Exited => {
                status = Some(server.wait().context("can't wait for the server")?);
                // Tells the downstream pump that it need not wait for ever.
                exited.take();
            }
            Event::OutputDone => output_done = true,
            Event::Signal(signal) if status.is_none() => {
                child::forward(pid, signal);
                forwarded = Some(signal);
            }
            // The client does not read the rest, and wants an end.
            Event::Signal(_) => break,
        }
    }
    Ok((status.context("the server has no exit status")?, forwarded))
}

/// Takes standard input and output for this process alone and puts `/dev/null` in their place,
/// so that closing them really closes them.
fn take_over_streams() -> io::Result<(File, File)> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok((input, output))
}

fn start_payload(args: &McpProxyArgs, pid: u32) -> Vec<u8> {
    let command: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    serde_json::json!({ "command": command, "pid": pid, "name": args.name }).to_string().into_bytes()
}

fn exit_payload(status: std::process::ExitStatus, forwarded: Option<i32>) -> Vec<u8> {
    use std::os::unix::process::ExitStatusExt;
    let exit =
        serde_json::json!({ "code": status.code(), "signal": status.signal(), "forwarded": forwarded });
    exit.to_string().into_bytes()
}

// --- client to server ---------------------------------------------------------------------

struct Upstream {
    input: File,
    server: ChildStdin,
    output: Arc<Mutex<Output>>,
    queue: Arc<Queue>,
    home: PathBuf,
}

impl Upstream {
    /// Until either side is closed; both are closed then, as they would be with one pipe.
    fn pump(mut self) {
        let mut splitter = Splitter::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match wait_readable(self.input.as_fd(), &[self.server.as_fd()], None) {
                Ok(Ready::Readable) => {}
                _ => return,
            }
            let passed = match self.input.read(&mut chunk) {
                Ok(0) => {
                    let _ = splitter.finish(&mut |unit| self.pass(unit));
                    return;
                }
                Ok(count) => splitter.push(&chunk[..count], &mut |unit| self.pass(unit)),
                Err(error) if is_transient(&error) => Ok(()),
                Err(error) => Err(error),
            };
            if passed.is_err() {
                return;
            }
        }
    }

    fn pass(&mut self, unit: Unit<'_>) -> io::Result<()> {
        let (bytes, unsent, event) = match unit {
            Unit::Loose(bytes) => return write_all(&mut self.server, bytes),
            Unit::Message { bytes, unsent } => (bytes.trim_ascii(), unsent, "client"),
            Unit::Piece { bytes, unsent } => (bytes, unsent, "client.part"),
        };
        let heads = if event == "client" { Heads::read(bytes) } else { Heads::Unreadable };
        if bytes.is_empty() {
            return write_all(&mut self.server, unsent);
        }
        if heads.is_harmless() {
            self.queue.put(event, bytes.to_vec());
            return write_all(&mut self.server, unsent);
        }
        let refused = match self.queue.put_and_wait(event, bytes.to_vec()) {
            Kept::Recorded(response) if response.exit_code != 0 && heads.may_act() => {
                let said = String::from_utf8_lossy(&response.stderr).trim().to_owned();
                Some((response.stdout, DENIED, said))
            }
            Kept::Elsewhere(why) if heads.may_act() && Failure::of(&self.home) == Failure::Closed => {
                let why = format!("fdr (enforce): not passed on, because it can't be recorded: {why}");
                Some((Vec::new(), NOT_RECORDED, why))
            }
            _ => None,
        };
        match refused {
            None => write_all(&mut self.server, unsent),
            Some((answer, code, why)) => self.refuse(&heads, answer, code, &why, unsent.len() < bytes.len()),
        }
    }

    /// Answers the client in the server's place.
    fn refuse(
        &mut self,
        heads: &Heads<'_>,
        answer: Vec<u8>,
        code: i32,
        why: &str,
        begun: bool,
    ) -> io::Result<()> {
        let answer = if answer.is_empty() { heads.refusal(code, why) } else { answer };
        if begun {
            // The server has the beginning of the line already: it ends here, unfinished.
            write_all(&mut self.server, b"\n")?;
        }
        let Some(answer) = (!answer.is_empty()).then_some(answer) else {
            crate::text::say!("fdr: a message was not passed on: {why}");
            return Ok(());
        };
        self.queue.put("refused", answer.trim_ascii().to_vec());
        // A client that is gone can't be told.
        let _ = lock(&self.output).insert(&answer);
        Ok(())
    }
}

/// What is to be known of a message before it is passed on.
enum Heads<'a> {
    One(Head<'a>),
    Batch(Vec<Head<'a>>),
    Unreadable,
}

/// A name that occurs twice is an error of reading, so that no server can see another method
/// than the one judged here.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

impl<'a> Heads<'a> {
    fn read(message: &'a [u8]) -> Heads<'a> {
        if message.first() == Some(&b'[') {
            return serde_json::from_slice(message).map_or(Heads::Unreadable, Heads::Batch);
        }
        // Serde would take an array for a struct as well.
        match serde_json::from_slice(message) {
            Ok(head) if message.first() == Some(&b'{') => Heads::One(head),
            _ => Heads::Unreadable,
        }
    }

    fn all(&self, test: impl Fn(&Head<'_>) -> bool) -> bool {
        match self {
            Heads::One(head) => test(head),
            Heads::Batch(heads) => heads.iter().all(test),
            Heads::Unreadable => false,
        }
    }

    /// It asks for nothing to be done.
    fn is_harmless(&self) -> bool {
        self.all(|head| head.method.as_deref().is_some_and(|method| is_harmless(method, head.id.is_some())))
    }

    /// The server may do something because of it. An answer to a request of the server is
    /// recorded first as well, but never refused.
    fn may_act(&self) -> bool {
        !self.all(|head| head.method.as_deref().is_none_or(|method| is_harmless(method, head.id.is_some())))
    }

    /// The JSON-RPC errors for what awaits an answer; empty when nothing does.
    fn refusal(&self, code: i32, why: &str) -> Vec<u8> {
        let error = |id: &str| {
            let error = serde_json::json!({ "code": code, "message": why });
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        };
        let asks = |head: &&Head<'_>| head.method.is_some() && head.id.is_some();
        let text = match self {
            Heads::One(head) if asks(&head) => head.id.map(|id| error(id.get())),
            Heads::One(_) => None,
            Heads::Batch(heads) => {
                let errors: Vec<String> =
                    heads.iter().filter(asks).filter_map(|head| head.id).map(|id| error(id.get())).collect();
                (!errors.is_empty()).then(|| format!("[{}]", errors.join(",")))
            }
            Heads::Unreadable => Some(error("null")),
        };
        text.map(|text| format!("{text}\n").into_bytes()).unwrap_or_default()
    }
}

/// Methods of MCP that make a server tell something, or tell it something.
fn is_harmless(method: &str, has_id: bool) -> bool {
    const REQUESTS: [&str; 14] = [
        "initialize",
        "ping",
        "logging/setLevel",
        "completion/complete",
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/get",
    ];
    if has_id { REQUESTS.contains(&method) } else { method.starts_with("notifications/") }
}

// --- server to client ---------------------------------------------------------------------

struct Downstream {
    server: ChildStdout,
    /// Only looked at, for whether the client is still there.
    client: File,
    output: Arc<Mutex<Output>>,
    queue: Arc<Queue>,
    /// The beginning of the line was kept as a piece.
    in_pieces: bool,
    /// Closed when the server has ended.
    exited: PipeReader,
}

impl Downstream {
    fn pump(mut self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut line = Vec::new();
        while let Ok(true) = self.wait_readable() {
            let count = match self.server.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if is_transient(&error) => continue,
                Err(_) => break,
            };
            // Queued before it is passed on, so that an answer stands before what it leads to.
            for part in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                let ended = part.ends_with(b"\n");
                if ended || line.len() >= MAX_LINE_BYTES {
                    self.keep(&mut line, ended);
                }
            }
            if lock(&self.output).pass(&chunk[..count]).is_err() {
                break;
            }
        }
        self.keep(&mut line, true);
        lock(&self.output).file = None;
    }

    fn keep(&mut self, line: &mut Vec<u8>, ended: bool) {
        let (event, bytes) = match self.in_pieces || !ended {
            true => ("server.part", &line[..]),
            false => ("server", line.trim_ascii()),
        };
        if !bytes.is_empty() {
            self.queue.put(event, bytes.to_vec());
        }
        self.in_pieces = !ended;
        line.clear();
    }

    /// False when nothing more is to be passed on: the client is gone, or the server ended and
    /// whatever else holds its output says nothing.
    fn wait_readable(&self) -> io::Result<bool> {
        let others = [self.client.as_fd(), self.exited.as_fd()];
        Ok(match wait_readable(self.server.as_fd(), &others, None)? {
            Ready::Readable => true,
            Ready::Closed(0) | Ready::TimedOut => false,
            Ready::Closed(_) => {
                matches!(wait_readable(self.server.as_fd(), &others[..1], Some(LINGER))?, Ready::Readable)
            }
        })
    }
}

/// The client's end. Lines of our own go in only between those of the server.
struct Output {
    /// `None` once it is closed.
    file: Option<File>,
    /// The server is in the midst of a line.
    mid_line: bool,
    /// Our own lines that wait for the end of the server's.
    waiting: Vec<u8>,
}

impl Output {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting.is_empty() {
            self.write(bytes)?;
        } else {
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            self.write(&bytes[..line])?;
            if bytes[..line].ends_with(b"\n") {
                let waiting = std::mem::take(&mut self.waiting);
                self.write(&waiting)?;
            }
            self.write(&bytes[line..])?;
        }
        self.mid_line = bytes.last().map_or(self.mid_line, |byte| *byte != b'\n');
        Ok(())
    }

    fn insert(&mut self, line: &[u8]) -> io::Result<()> {
        if self.mid_line {
            self.waiting.extend_from_slice(line);
            return Ok(());
        }
        self.write(line)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => write_all(file, bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

// --- splitting the client's stream --------------------------------------------------------

/// What the client's stream falls into. Put together, the `unsent` and loose bytes are the
/// stream.
enum Unit<'a> {
    /// To be passed on; part of nothing, or of a message that comes as a whole later.
    Loose(&'a [u8]),
    /// One message or one line, of which `unsent` has not been passed on yet.
    Message { bytes: &'a [u8], unsent: &'a [u8] },
    /// A part of a line that is too long to be held.
    Piece { bytes: &'a [u8], unsent: &'a [u8] },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scan {
    /// Only white space so far.
    #[default]
    Blank,
    /// Within a JSON object or array.
    Value { depth: u64, string: bool, escape: bool },
    /// It is complete.
    Complete,
    /// Something else; not a message of the protocol.
    Text,
}

/// Cuts the client's stream into messages: at the end of a JSON object or array, and at the
/// end of a line. The protocol says lines; some servers act at the closing brace.
#[derive(Default)]
struct Splitter {
    scan: Scan,
    line: Vec<u8>,
    /// How many bytes of `line` have been passed on.
    sent: usize,
    /// The beginning of the line was kept as a piece.
    in_pieces: bool,
}

impl Splitter {
    fn push(&mut self, chunk: &[u8], each: &mut impl FnMut(Unit<'_>) -> io::Result<()>) -> io::Result<()> {
        for &byte in chunk {
            if self.scan == Scan::Complete && !byte.is_ascii_whitespace() {
                self.finish(each)?;
            }
            self.line.push(byte);
            self.scan = self.scan.after(byte);
            if byte == b'\n' {
                self.finish(each)?;
            } else if self.line.len() >= MAX_LINE_BYTES {
                each(Unit::Piece { bytes: &self.line, unsent: &self.line[self.sent..] })?;
                (self.sent, self.in_pieces) = (0, true);
                self.line.clear();
            }
        }
        match self.scan {
            Scan::Complete => self.finish(each),
            Scan::Blank | Scan::Text => {
                each(Unit::Loose(&self.line[self.sent..]))?;
                self.sent = self.line.len();
                Ok(())
            }
            Scan::Value { .. } => Ok(()),
        }
    }

    /// The message, the line or the stream has ended.
    fn finish(&mut self, each: &mut impl FnMut(Unit<'_>) -> io::Result<()>) -> io::Result<()> {
        let (bytes, unsent) = (&self.line[..], &self.line[self.sent..]);
        match self.scan {
            Scan::Blank if !self.in_pieces => each(Unit::Loose(unsent))?,
            _ if self.in_pieces => each(Unit::Piece { bytes, unsent })?,
            _ => each(Unit::Message { bytes, unsent })?,
        }
        self.line.clear();
        (self.scan, self.sent, self.in_pieces) = (Scan::Blank, 0, false);
        Ok(())
    }
}

impl Scan {
    fn after(self, byte: u8) -> Scan {
        match (self, byte) {
            // White space, and the byte order mark that some parsers skip.
            (Scan::Blank, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf) => Scan::Blank,
            (Scan::Blank, b'{' | b'[') => Scan::Value { depth: 1, string: false, escape: false },
            (Scan::Blank, _) => Scan::Text,
            (Scan::Value { depth, string: true, escape }, _) => {
                let string = escape || byte != b'"';
                Scan::Value { depth, string, escape: byte == b'\\' && !escape }
            }
            (Scan::Value { depth, .. }, b'"') => Scan::Value { depth, string: true, escape: false },
            (Scan::Value { depth, .. }, b'{' | b'[') => {
                Scan::Value { depth: depth + 1, string: false, escape: false }
            }
            (Scan::Value { depth: 1, .. }, b'}' | b']') => Scan::Complete,
            (Scan::Value { depth, .. }, b'}' | b']') => {
                Scan::Value { depth: depth - 1, string: false, escape: false }
            }
            (other, _) => other,
        }
    }
}

// --- the copies ---------------------------------------------------------------------------

/// A message on its way to the recorder.
struct Item {
    event: &'static str,
    payload: Vec<u8>,
    /// Where it is told what became of it.
    ack: Option<SyncSender<Kept>>,
}

/// What became of a message.
enum Kept {
    Recorded(Response),
    /// In the spool, or lost; and why it is not recorded.
    Elsewhere(String),
}

/// The messages in the order in which they went through, bounded: whoever puts one waits until
/// there is room, so that a slow recorder slows the streams down and nothing is dropped.
#[derive(Default)]
struct Queue {
    /// Everything that the queue is; held only for moments.
    inner: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    fn put(&self, event: &'static str, payload: Vec<u8>) {
        self.add(Item { event, payload, ack: None });
    }

    fn put_and_wait(&self, event: &'static str, payload: Vec<u8>) -> Kept {
        let (ack, answer) = mpsc::sync_channel(1);
        self.add(Item { event, payload, ack: Some(ack) });
        answer.recv().unwrap_or_else(|_| Kept::Elsewhere("the proxy is ending".to_owned()))
    }

    fn add(&self, item: Item) {
        let mut inner = lock(&self.inner);
        while !inner.closed
            && !inner.items.is_empty()
            && (inner.bytes + item.payload.len() > MAX_QUEUE_BYTES || inner.items.len() >= MAX_QUEUE_COUNT)
        {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if !inner.closed {
            inner.bytes += item.payload.len();
            inner.items.push_back(item);
            self.changed.notify_all();
        }
    }

    /// The next message; `None` once the queue is closed and empty.
    fn take(&self) -> Option<Item> {
        let mut inner = lock(&self.inner);
        loop {
            if let Some(item) = inner.items.pop_front() {
                inner.bytes -= item.payload.len();
                self.changed.notify_all();
                return Some(item);
            }
            if inner.closed {
                return None;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        lock(&self.inner).closed = true;
        self.changed.notify_all();
    }
}

/// Gives the messages to the recorder, one after the other, and keeps in the spool what it
/// can't give.
struct Keeper {
    home: PathBuf,
    /// All that is the same in each message.
    template: Request,
    next_seq: u64,
    /// The name was given, and does not follow what the server says.
    named: bool,
    client: Option<Client>,
    /// Messages of this proxy in the spool, oldest first. They go before newer ones, since the
    /// recorder takes a message with a number below one that it has for a repetition.
    spooled: VecDeque<PathBuf>,
    retry_at: Option<Instant>,
    warned: bool,
}

impl Keeper {
    fn new(args: &McpProxyArgs, home: &Path) -> anyhow::Result<Keeper> {
        let random = || spool::new_source().context("the kernel gives no randomness");
        let name = match &args.name {
            Some(name) => name.clone(),
            None => command_name(&args.command),
        };
        let mut template =
            Request::event(&format!("mcp:{}", clean_name(&name)), "", random()?, 0, Vec::new());
        template.variables.retain(|(name, _)| name != SESSION_VARIABLE);
        template.variables.push((SESSION_VARIABLE.to_owned(), new_session(random()?)));
        Ok(Keeper {
            home: home.to_owned(),
            template,
            next_seq: 0,
            named: args.name.is_some(),
            client: None,
            spooled: VecDeque::new(),
            retry_at: None,
            warned: false,
        })
    }

    fn run(mut self, queue: &Queue) {
        while let Some(Item { event, payload, ack }) = queue.take() {
            if event == "server" && !self.named {
                self.learn_name(&payload);
            }
            let kept = self.keep(event, payload, ack.is_some());
            if let Some(ack) = ack {
                let _ = ack.send(kept);
            }
        }
        self.flush_spool();
    }

    fn keep(&mut self, event: &str, payload: Vec<u8>, awaited: bool) -> Kept {
        let mut request = self.template.clone();
        request.event = event.to_owned();
        request.seq = self.next_seq;
        request.payload = payload;
        self.next_seq += 1;
        // A call that would be refused is worth another try.
        let urgent = awaited && Failure::of(&self.home) == Failure::Closed;
        let reason = match self.retry_at {
            Some(at) if Instant::now() < at && !urgent => {
                "no recorder could be reached a moment ago".to_owned()
            }
            _ => match self.send(&request, if awaited { AWAITED_DEADLINE } else { DEADLINE }) {
                Ok(response) => return Kept::Recorded(response),
                Err(reason) => {
                    self.client = None;
                    self.retry_at = Some(Instant::now() + RETRY_AFTER);
                    reason
                }
            },
        };
        match spool::keep(&self.home, &request) {
            Ok(path) => {
                if !self.warned {
                    crate::text::say!("fdr: not recorded yet, kept in {}: {reason}", path.display());
                }
                self.spooled.push_back(path);
            }
            Err(error) if !self.warned => {
                crate::text::say!(
                    "fdr: {reason}; it could not be spooled either ({error}): MESSAGES ARE LOST"
                );
            }
            Err(_) => {}
        }
        self.warned = true;
        Kept::Elsewhere(reason)
    }

    fn send(&mut self, request: &Request, limit: Duration) -> Result<Response, String> {
        let deadline = Instant::now() + limit;
        self.give_spooled(deadline)?;
        let response = self.call(request, deadline)?;
        self.retry_at = None;
        Ok(response)
    }

    /// Gives the recorder what was spooled before, so that it gets everything in order.
    fn give_spooled(&mut self, deadline: Instant) -> Result<(), String> {
        while let Some(path) = self.spooled.front() {
            let frame = match std::fs::read(path) {
                Ok(bytes) => read_frame(&mut bytes.as_slice()).ok().flatten(),
                // The recorder has taken it in by itself.
                Err(_) => None,
            };
            if let Some(request) = frame.and_then(|body| Request::decode(&body).ok()) {
                self.call(&request, deadline)?;
                if let Some(path) = self.spooled.front() {
                    let _ = std::fs::remove_file(path);
                }
            }
            self.spooled.pop_front();
        }
        Ok(())
    }

    /// A last try for what is in the spool; a recorder that starts later finds it there.
    fn flush_spool(&mut self) {
        if !self.spooled.is_empty() && Client::connect(&self.home).is_ok() {
            let _ = self.give_spooled(Instant::now() + Duration::from_secs(2));
        }
    }

    fn call(&mut self, request: &Request, deadline: Instant) -> Result<Response, String> {
        // The recorder may have been started anew since the last message; one that is being killed
        // still takes connections for a moment.
        let mut reason = String::new();
        for attempt in 0..CALL_ATTEMPTS {
            if attempt > 1 {
                std::thread::sleep(PAUSE);
            }
            let mut client = match self.client.take() {
                Some(client) => client,
                None => Client::connect_or_start(&self.home, deadline).map_err(|error| error.to_string())?,
            };
            match client.call(request, Some(deadline)) {
                Ok(response) if response.recorded => {
                    self.client = Some(client);
                    return Ok(response);
                }
                Ok(response) => return Err(String::from_utf8_lossy(&response.stderr).trim().to_owned()),
                Err(error @ Error::Unreachable(_)) => return Err(error.to_string()),
                Err(Error::Broken(error)) => reason = Error::Broken(error).to_string(),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(reason)
    }

    /// Takes the name from the answer to `initialize`.
    fn learn_name(&mut self, line: &[u8]) {
        #[derive(Deserialize)]
        struct Answer {
            result: InitializeResult,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct InitializeResult {
            server_info: ServerInfo,
        }
        #[derive(Deserialize)]
        struct ServerInfo {
            name: String,
        }
        if let Ok(answer) = serde_json::from_slice::<Answer>(line) {
            self.template.runtime = format!("mcp:{}", clean_name(&answer.result.server_info.name));
            self.named = true;
        }
    }
}

/// Carries the session's id to the recorder.
const SESSION_VARIABLE: &str = "FDR_MCP_SESSION";

/// A random UUID (RFC 9562 section 5.4).
fn new_session(mut bytes: [u8; 16]) -> String {
    bytes[6] = 0x40 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What a server is called by its command line: the program, or what a launcher such as `npx`
/// or `python` is told to run. A file such as `server-git/dist/index.js` is called by the folder
/// that tells more.
fn command_name(command: &[OsString]) -> String {
    const LAUNCHERS: [&str; 13] =
        ["node", "npx", "bun", "bunx", "deno", "python", "python3", "uvx", "uv", "pipx", "sh", "bash", "env"];
    const TELL_NOTHING: [&str; 10] =
        ["index", "main", "server", "cli", "__main__", "dist", "build", "src", "lib", "bin"];
    let Some((program, rest)) = command.split_first() else { return "server".to_owned() };
    let runs = |word: &&OsString| {
        let text = word.to_string_lossy();
        !text.starts_with('-') && text != "run" && text != "tool"
    };
    let program_name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let word = match LAUNCHERS.contains(&&*program_name) {
        true => rest.iter().find(runs).unwrap_or(program),
        false => program,
    };
    let stem = |part: &OsStr| {
        let part = Path::new(part);
        let scripts = ["js", "mjs", "cjs", "ts", "py", "sh"];
        let is_script =
            part.extension().is_some_and(|extension| scripts.iter().any(|script| extension == *script));
        let name = if is_script { part.file_stem() } else { part.file_name() };
        name.unwrap_or(part.as_os_str()).to_string_lossy().into_owned()
    };
    let mut parts = Path::new(word).iter().rev().map(stem);
    let tells =
        |part: &String| !TELL_NOTHING.contains(&part.as_str()) && ![".", "..", "/"].contains(&part.as_str());
    parts.find(tells).unwrap_or_else(|| stem(word.as_os_str()))
}

/// A name that fits into a resource and on a screen: letters, digits and `._-@`, at most 64.
fn clean_name(name: &str) -> String {
    let clean: String = name
        .trim()
        .chars()
        .take(64)
        .map(|c| if c.is_alphanumeric() || "._-@".contains(c) { c } else { '-' })
        .collect();
    if clean.is_empty() { "server".to_owned() } else { clean }
}

// --- file descriptors ---------------------------------------------------------------------

enum Ready {
    /// There is something to read, or the end of it.
    Readable,
    /// The other end of this one of `others` is closed.
    Closed(usize),
    TimedOut,
}

fn wait_readable(
    fd: BorrowedFd<'_>,
    others: &[BorrowedFd<'_>],
    limit: Option<Duration>,
) -> io::Result<Ready> {
    let limit =
        limit.map(|limit| Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() });
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        fds.extend(others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::empty())));
        match poll(&mut fds, limit.as_ref()) {
            Ok(0) => return Ok(Ready::TimedOut),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::ERR | PollFlags::HUP;
        // A reader that is gone comes first: what it can't get need not be read.
        if let Some(at) = fds[1..].iter().position(|other| other.revents().intersects(gone)) {
            return Ok(Ready::Closed(at));
        }
        if !fds[0].revents().is_empty() {
            return Ok(Ready::Readable);
        }
    }
}

fn write_all(file: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            // The client may have made its end non-blocking, which this one is as well then.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file, PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// A panic elsewhere does not make the streams unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_by_what_tells_most_in_its_command_line() {
        for (command, name) in [
            ("/usr/bin/server-git --repository .", "server-git"),
            ("node /opt/server-git/dist/index.js stdio", "server-git"),
            ("npx -y @modelcontextprotocol/server-git", "server-git"),
            ("uv run weather.py", "weather"),
            ("python3 -m mcp_server_time", "mcp_server_time"),
            ("./server", "server"),
            ("node", "node"),
        ] {
            let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
            assert_eq!(command_name(&words), name, "{command}");
        }
    }

    #[test]
    fn a_name_fits_into_a_resource() {
        assert_eq!(clean_name(" @scope/a b\n"), "@scope-a-b");
        assert_eq!(clean_name(" "), "server");
        assert_eq!(clean_name(&"é".repeat(100)).chars().count(), 64);
    }

    /// Cuts the stream as it comes in chunks of `size`; loose bytes are in brackets.
    fn cut(stream: &str, size: usize) -> (Vec<String>, String) {
        let (mut splitter, mut messages, mut passed) = (Splitter::default(), Vec::new(), String::new());
        let mut each = |unit: Unit<'_>| {
            let (message, unsent) = match unit {
                Unit::Loose(bytes) => (None, bytes),
                Unit::Message { bytes, unsent } | Unit::Piece { bytes, unsent } => (Some(bytes), unsent),
            };
            messages.extend(message.map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()));
            passed.push_str(&String::from_utf8_lossy(unsent));
            Ok(())
        };
        for chunk in stream.as_bytes().chunks(size) {
            splitter.push(chunk, &mut each).unwrap();
        }
        splitter.finish(&mut each).unwrap();
        (messages, passed)
    }

    #[test]
    fn a_message_ends_with_its_value_or_its_line_however_it_comes_in() {
        let stream = "{\"a\":\"}\\\"\"}\n \n[{},[]] {\"b\n\":1}text {\"c\":{}}\n{}{}\n{\"open";
        let messages =
            ["{\"a\":\"}\\\"\"}", "[{},[]]", "{\"b", "\":1}text {\"c\":{}}", "{}", "{}", "{\"open"];
        for size in 1..=stream.len() {
            let (cut, passed) = cut(stream, size);
            assert_eq!(cut, messages, "in chunks of {size}");
            assert_eq!(passed, stream, "in chunks of {size}");
        }
    }
}
