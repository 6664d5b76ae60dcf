//! The connection to the recorder, which is started on demand.

use crate::handed;
use crate::system::System;
use crate::wire::{self, Request, Response};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Name of the socket in the recorder's folder.
pub const SOCKET: &str = "fdr.sock";

/// How long to wait between two looks whether a started recorder listens.
const POLL: Duration = Duration::from_millis(5);
/// How long the machine's recorder may take to come back by itself.
const RESTART: Duration = Duration::from_secs(1);

/// The longest that the recorder is waited for where somebody has to decide first.
const LONGEST_WAIT: Duration = Duration::from_secs(crate::MAX_APPROVAL_WAIT_S as u64);
/// How much later than it said its answer may come.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// A connection to the recorder.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// No recorder listens, and none could be started.
    Unreachable(String),
    /// The connection broke before the answer came.
    Broken(io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Unreachable(why) => write!(f, "no recorder can be reached: {why}"),
            Error::Broken(error) => write!(f, "the recorder did not answer: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl Client {
    /// Connects to a recorder that is running already.
    ///
    /// # Errors
    /// Those of connecting to a Unix socket; `PermissionDenied` also if another user than the
    /// machine's recorder listens in its place.
    pub fn connect(home: &Path) -> io::Result<Client> {
        match System::of(home) {
            Some(system) => Client::connect_to(&system),
            None => Ok(Client { stream: connect(&home.join(SOCKET))? }),
        }
    }

    fn connect_to(system: &System) -> io::Result<Client> {
        let stream = connect(&system.socket)?;
        // Of a socket that systemd handed over, the listener is root.
        match handed::peer_uid(&stream) {
            Some(uid) if uid != 0 && uid != system.uid => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("uid {uid} listens on {}, which is not the recorder's", system.socket.display()),
            )),
            _ => Ok(Client { stream }),
        }
    }

    /// The machine's recorder is never started from here, nor another one beside it.
    fn connect_soon(system: &System, deadline: Instant) -> Result<Client, Error> {
        let deadline = deadline.min(Instant::now() + RESTART);
        loop {
            match Client::connect_to(system) {
                Ok(client) => return Ok(client),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Error::Unreachable(format!(
                        "the machine's recorder does not take this: {error}; is this user in the group {}?",
                        system.group
                    )));
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(Error::Unreachable(format!(
                        "the machine's recorder does not run: {error}; see: systemctl status fdr"
                    )));
                }
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Connects, and starts the recorder if none is running; gives up at `deadline`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the reason.
    pub fn connect_or_start(home: &Path, deadline: Instant) -> Result<Client, Error> {
        // The recorder's program is installed beside this one.
        let program = std::env::current_exe().map_err(|error| Error::Unreachable(error.to_string()))?;
        Client::connect_or_start_with(home, &program.with_file_name("fdr"), deadline)
    }

    /// The same with the recorder's program given.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the reason.
    pub fn connect_or_start_with(home: &Path, program: &Path, deadline: Instant) -> Result<Client, Error> {
        if let Some(system) = System::of(home) {
            return Client::connect_soon(&system, deadline);
        }
        if let Ok(client) = Client::connect(home) {
            return Ok(client);
        }
        let unreachable = |what: &str, error: &dyn std::fmt::Display| {
            Error::Unreachable(format!("{what} {}: {error}", home.display()))
        };
        create_home(home).map_err(|error| unreachable("can't make", &error))?;
        // One of many hooks starts it, the others wait for its socket.
        let lock = File::options().create(true).truncate(false).write(true).open(home.join("start.lock"));
        let lock = lock.map_err(|error| unreachable("can't write in", &error))?;
        let mut child = match lock.try_lock() {
            Ok(()) => match Client::connect(home) {
                Ok(client) => return Ok(client),
                Err(_) => Some(start(home, program).map_err(|error| Error::Unreachable(error.to_string()))?),
            },
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => return Err(unreachable("can't lock in", &error)),
        };
        loop {
            if let Ok(client) = Client::connect(home) {
                return Ok(client);
            }
            if let Some(Ok(Some(status))) = child.as_mut().map(|child| child.try_wait()) {
                return match Client::connect(home) {
                    Ok(client) => Ok(client),
                    Err(_) => {
                        Err(Error::Unreachable(format!("it ended at once ({status}); {}", last_words(home))))
                    }
                };
            }
            if Instant::now() >= deadline {
                return Err(Error::Unreachable("it was started but does not listen in time".to_owned()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a request and waits for the answer, at most until `deadline`, and longer if the
    /// recorder says that somebody has to decide first.
    ///
    /// # Errors
    /// [`Error::Broken`]; the request may or may not have been recorded then. Sending the same
    /// (source, seq) again is safe.
    pub fn call(&mut self, request: &Request, deadline: Option<Instant>) -> Result<Response, Error> {
        self.call_and_tell(request, deadline, &mut |_| {})
    }

    /// The same; `waits` is told when the answer takes longer, and how long at most.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_and_tell(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
        waits: &mut dyn FnMut(Duration),
    ) -> Result<Response, Error> {
        self.exchange(request, deadline, waits).map_err(Error::Broken)
    }

    fn exchange(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
        waits: &mut dyn FnMut(Duration),
    ) -> io::Result<Response> {
        if request.payload.len() + 4096 > wire::MAX_FRAME_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the payload is larger than 256 MiB"));
        }
        let left =
            deadline.map(|at| at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        self.stream.set_write_timeout(left)?;
        self.stream.set_read_timeout(left)?;
        wire::write_frame(&mut self.stream, &request.encode())?;
        loop {
            let body = wire::read_frame(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let response = Response::decode(&body)?;
            if response.waiting == 0 {
                return Ok(response);
            }
            let longest = Duration::from_secs(u64::from(response.waiting)).min(LONGEST_WAIT);
            waits(longest);
            self.stream.set_read_timeout(Some(longest + ANSWER_GRACE))?;
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path of the recorder's folder is too long for a socket (about 90 bytes); set FDR_HOME to a shorter one",
        )),
        other => other,
    }
}

/// Makes the recorder's folder, for its owner alone.
///
/// # Errors
/// Those of making a folder.
pub fn create_home(home: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home)
}

fn start(home: &Path, program: &Path) -> io::Result<std::process::Child> {
    let log = File::options().create(true).append(true).open(home.join("recorder.log"))?;
    Command::new(program)
        .args(["serve", "--background", "--home"])
        .arg(home)
        // What an agent had its own programs load is not for the recorder.
        .env_remove("LD_PRELOAD")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("LD_AUDIT")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("can't start {}: {error}", program.display())))
}

fn last_words(home: &Path) -> String {
    let path: PathBuf = home.join("recorder.log");
    let text =
        std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let error = text.lines().rev().find(|line| line.contains("error:")).or_else(|| text.lines().last());
    match error {
        Some(line) => format!("it said: {}", line.trim()),
        None => format!("see {}", path.display()),
    }
}
