//! The messages between a client and the recorder over the local socket.
//!
//! A frame is `"FDR1"`, the length of what follows in four bytes, and that many bytes. Numbers
//! are little-endian; a text or a byte string is its length in four bytes, then itself.

use crate::level::{self, Level};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 4] = b"FDR1";

/// The largest frame, in bytes. A larger payload is refused by the client with a clear error.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

/// Variable of a spooled message by which a hook tells that it denied the call, and why.
pub const DENIED_VARIABLE: &str = "FDR_HOOK_DENIED";

/// Variable of an import that `fdr watch` sends: what follows in the transcript comes later.
pub const WATCHED_VARIABLE: &str = "FDR_WATCHED";

/// What a client asks of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Record an event of a runtime.
    Event,
    /// Take in what is new in a transcript, which is the payload; `event` is the file's path.
    Import,
    /// Say how the recorder is.
    Status,
    /// Sign a checkpoint of all that is recorded; the answer is the signed note.
    Checkpoint,
    /// Write everything, sign, and end.
    Stop,
    /// List or answer requests for approval; the payload is JSON.
    Approvals,
    /// Declare what a session is about; the payload is JSON.
    Intent,
    /// Something that only the recorder's owner may do; the payload is JSON.
    Admin,
    /// Name the transcripts of the sender's sessions, as JSON.
    Transcripts,
}

const OPS: [Op; 9] = [
    Op::Event,
    Op::Import,
    Op::Status,
    Op::Checkpoint,
    Op::Stop,
    Op::Approvals,
    Op::Intent,
    Op::Admin,
    Op::Transcripts,
];

/// One message to the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub op: Op,
    /// Who sends it: `claude-code`, `mcp:<server>` …
    pub runtime: String,
    /// What it is about: the name of the hook event, `client` or `server` for a line of MCP.
    pub event: String,
    /// Names the sender, together with `seq` this message: a message sent twice is recorded
    /// once.
    pub source: [u8; 16],
    /// Number of the message within the sender.
    pub seq: u64,
    /// When it was spooled, in nanoseconds since the epoch; 0 for a message sent at once.
    pub spooled: u64,
    /// The sender's working directory.
    pub cwd: String,
    /// The sender's home folder.
    pub home: String,
    /// Variables that name sessions and versions.
    pub variables: Vec<(String, String)>,
    /// What the runtime sent, byte for byte.
    pub payload: Vec<u8>,
}

/// What the recorder answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Whether the message is recorded durably. If not, `stderr` says why.
    pub recorded: bool,
    /// Somebody has to decide first: this is not the answer yet, it follows on the same
    /// connection within this many seconds. 0 for an answer.
    pub waiting: u32,
    /// Index of the first record made from it.
    pub index: u64,
    /// How many records were made.
    pub count: u32,
    /// For the runtime: exit status.
    pub exit_code: u8,
    /// For the runtime: standard output.
    pub stdout: Vec<u8>,
    /// For the runtime: standard error.
    pub stderr: Vec<u8>,
    /// What was reached, for a sender that asked ([`level::VARIABLE`]); older ones don't expect it.
    pub level: Option<Level>,
}

impl Request {
    /// A message about an event, with the sender's surroundings filled in.
    pub fn event(runtime: &str, event: &str, source: [u8; 16], seq: u64, payload: Vec<u8>) -> Request {
        Request {
            op: Op::Event,
            runtime: runtime.to_owned(),
            event: event.to_owned(),
            source,
            seq,
            spooled: 0,
            cwd: std::env::current_dir().map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default(),
            home: std::env::var("HOME").unwrap_or_default(),
            variables: telling_variables(),
            payload,
        }
    }

    /// A message about the recorder itself.
    pub fn control(op: Op) -> Request {
        let mut request = Request::event("fdr", "", [0; 16], 0, Vec::new());
        request.op = op;
        request
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(self.payload.len() + 1024);
        out.push(OPS.iter().position(|op| *op == self.op).unwrap_or_default() as u8);
        put(&mut out, self.runtime.as_bytes());
        put(&mut out, self.event.as_bytes());
        out.extend_from_slice(&self.source);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.spooled.to_le_bytes());
        put(&mut out, self.cwd.as_bytes());
        put(&mut out, self.home.as_bytes());
        out.extend_from_slice(&(self.variables.len() as u32).to_le_bytes());
        for (name, value) in &self.variables {
            put(&mut out, name.as_bytes());
            put(&mut out, value.as_bytes());
        }
        put(&mut out, &self.payload);
        finish(out)
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// `InvalidData` when it is not a request of this form.
    pub fn decode(body: &[u8]) -> io::Result<Request> {
        let mut fields = Fields(body);
        let op = usize::from(fields.take(1)?[0]);
        let op = *OPS.get(op).ok_or_else(|| invalid("unknown operation"))?;
        let (runtime, event) = (fields.text()?, fields.text()?);
        let source = fields.array()?;
        let (seq, spooled) = (fields.u64()?, fields.u64()?);
        let (cwd, home) = (fields.text()?, fields.text()?);
        let count = fields.u32()?;
        let mut variables = Vec::new();
        for _ in 0..count {
            variables.push((fields.text()?, fields.text()?));
        }
        let payload = fields.bytes()?.to_vec();
        fields.end()?;
        Ok(Request { op, runtime, event, source, seq, spooled, cwd, home, variables, payload })
    }
}

impl Response {
    /// An answer that nothing was recorded, and why.
    pub fn failed(reason: impl Into<String>) -> Response {
        Response { stderr: reason.into().into_bytes(), ..Response::default() }
    }

    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(self.stdout.len() + self.stderr.len() + 64);
        out.push(u8::from(self.recorded));
        out.extend_from_slice(&self.waiting.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.push(self.exit_code);
        put(&mut out, &self.stdout);
        put(&mut out, &self.stderr);
        out.extend(self.level.map(|level| level as u8));
        finish(out)
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// `InvalidData` when it is not a response of this form.
    pub fn decode(body: &[u8]) -> io::Result<Response> {
        let mut fields = Fields(body);
        let recorded = fields.take(1)?[0] == 1;
        let waiting = fields.u32()?;
        let (index, count) = (fields.u64()?, fields.u32()?);
        let exit_code = fields.take(1)?[0];
        let (stdout, stderr) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
        let level = match fields.0 {
            [] => None,
            _ => {
                let number = usize::from(fields.take(1)?[0]);
                Some(*Level::ALL.get(number).ok_or_else(|| invalid("unknown level"))?)
            }
        };
        fields.end()?;
        Ok(Response { recorded, waiting, index, count, exit_code, stdout, stderr, level })
    }
}

/// Reads the body of one frame; `None` at the end of the stream.
///
/// # Errors
/// `InvalidData` for what is not a frame or too large, `UnexpectedEof` for a cut one.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 8];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [a, b, c, d, length @ ..] = head;
    if [a, b, c, d] != *MAGIC {
        return Err(invalid("not a message of this protocol"));
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(invalid("message too large"));
    }
    // Not allocated up front: the length is the sender's claim.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(body))
}

/// Writes one encoded frame.
///
/// # Errors
/// Those of the stream.
pub fn write_frame(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame)?;
    stream.flush()
}

fn begin(capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out
}

fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(|| invalid("message cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count)
    }

    fn text(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn end(&self) -> io::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid("message has a tail")) }
    }
}

/// Variables that tell which session, agent and version this is, and for whom it acts; none that
/// could hold a secret.
fn telling_variables() -> Vec<(String, String)> {
    const PREFIXES: [&str; 11] = [
        "CLAUDE", "CODEX_", "GEMINI_", "HERMES_", "OPENCODE", "OPENCLAW", "CURSOR_", "AI_AGENT", "TRACE",
        "FDR_RUN", "FDR_MCP",
    ];
    const NAMES: [&str; 15] = [
        level::VARIABLE,
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_EMAIL",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "CLOUDSDK_CORE_ACCOUNT",
        "CLOUDSDK_CORE_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "GITHUB_ACTOR",
        "GITLAB_USER_LOGIN",
        "KUBERNETES_SERVICE_HOST",
        "SUDO_USER",
    ];
    const SECRET: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASS", "AUTH"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| {
            NAMES.contains(&name.as_str())
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                    && !SECRET.iter().any(|part| name.contains(part))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Request {
        let mut request = Request::event("claude-code", "PreToolUse", [7; 16], 3, b"{\"a\":1}".to_vec());
        request.variables = vec![("CLAUDECODE".into(), "1".into())];
        request
    }

    #[test]
    fn a_request_and_a_response_survive_the_wire() {
        let request = sample();
        let body = read_frame(&mut request.encode().as_slice()).unwrap().unwrap();
        assert_eq!(Request::decode(&body).unwrap(), request);
        let response = Response {
            recorded: true,
            waiting: 300,
            index: 9,
            count: 2,
            exit_code: 2,
            stdout: b"o".to_vec(),
            stderr: b"e".to_vec(),
            level: None,
        };
        let body = read_frame(&mut response.encode().as_slice()).unwrap().unwrap();
        assert_eq!(Response::decode(&body).unwrap(), response);
        let bare = body.len();
        for level in Level::ALL {
            let response = Response { level: Some(level), ..response.clone() };
            let body = read_frame(&mut response.encode().as_slice()).unwrap().unwrap();
            // What older senders read is not changed, and they get nothing more: they did not ask.
            assert_eq!((Response::decode(&body).unwrap(), body.len()), (response, bare + 1));
        }
        assert!(Response::decode(&[&body[..], &[3]].concat()).is_err());
        assert!(Response::decode(&[&body[..], &[0, 0]].concat()).is_err());
    }

    #[test]
    fn every_cut_of_a_frame_is_an_error_and_never_a_panic() {
        let frame = sample().encode();
        for length in 1..frame.len() {
            assert!(read_frame(&mut &frame[..length]).is_err(), "{length}");
            assert!(Request::decode(&frame[8..8 + length.saturating_sub(8)]).is_err(), "{length}");
        }
        assert!(read_frame(&mut &b""[..]).unwrap().is_none());
    }

    #[test]
    fn a_length_that_is_only_claimed_is_not_allocated() {
        let mut frame = b"FDR1".to_vec();
        frame.extend_from_slice(&(MAX_FRAME_BYTES as u32).to_le_bytes());
        assert!(read_frame(&mut frame.as_slice()).is_err());
        frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read_frame(&mut frame.as_slice()).is_err());
    }
}
