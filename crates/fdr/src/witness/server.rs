//! `fdr witness serve`: cosigns checkpoints of the logs that it knows (C2SP tlog-witness), and remembers before it speaks.

use super::shelf::{self, Folder, Shelf};
use crate::http::Guarded;
use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as PathOf, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fdr_log::witness::{AddCheckpoint, Decision, MAX_REQUEST_BYTES, decide};
use fdr_log::{SigningKey, WitnessKey};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The content type of a 409's body (tlog-witness).
const SIZE_TYPE: &str = "text/x.tlog.size";

/// A witness.
pub struct Witness {
    name: String,
    key: SigningKey,
    shelf: Box<dyn Shelf>,
    /// Held from the look at what was cosigned to the cosignature: no other request comes between.
    judging: Mutex<()>,
    clock: fn() -> u64,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub media: &'static str,
    /// What it says.
    pub body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Answer {
        Answer { status, media: "text/plain; charset=utf-8", body: body.into() }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_secs().max(1))
}

impl Witness {
    /// A witness of this name, key and memory.
    pub fn new(name: &str, key: SigningKey, shelf: Box<dyn Shelf>) -> Witness {
        Witness { name: name.to_owned(), key, shelf, judging: Mutex::default(), clock: unix_seconds }
    }

    /// Its public key.
    ///
    /// # Errors
    /// When its name is no key name.
    pub fn public(&self) -> anyhow::Result<WitnessKey> {
        Ok(self.key.witness(&self.name)?)
    }

    /// Judges a request, and answers only when what it cosigns is remembered durably.
    pub fn add_checkpoint(&self, body: &[u8]) -> Answer {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Answer::new(400, format!("{error}\n")),
        };
        let origin = request.checkpoint.origin().to_owned();
        let _judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match shelf::look(&*self.shelf, &origin) {
            Ok(known) => known,
            Err(error) => return self.failed(&format!("{error:#}")),
        };
        let (keys, seen) =
            known.as_ref().map_or((&[][..], Default::default()), |known| (&known.keys, known.seen()));
        match decide(keys, &seen, &request) {
            Decision::Cosign(_) => {
                let Some(mut known) = known else { return self.failed("a log that is not known was judged") };
                let line = match request.checkpoint.cosign(&self.key, &self.name, (self.clock)()) {
                    Ok(line) => line,
                    Err(error) => return self.failed(&error.to_string()),
                };
                // Only the log's own signatures and ours: what others put there is not ours to keep.
                let own = |line: &str| keys_of(&known.keys, line);
                let newest = request.checkpoint.only_lines(own).and_then(|newest| newest.with_line(&line));
                known.newest = match newest {
                    Ok(newest) => Some(newest),
                    Err(error) => return self.failed(&error.to_string()),
                };
                match shelf::remember(&*self.shelf, &origin, &known) {
                    Ok(()) => Answer::new(200, line),
                    Err(error) => self.failed(&format!("can't remember it: {error}")),
                }
            }
            Decision::Conflict(size) => Answer { status: 409, media: SIZE_TYPE, body: format!("{size}\n") },
            other => Answer::new(other.status(), format!("{}\n", meaning(other))),
        }
    }

    fn failed(&self, why: &str) -> Answer {
        crate::text::say!("error: {why}");
        Answer::new(500, "this witness can't answer; its operator is told why\n")
    }

    /// The newest checkpoint of a log that was cosigned, by the name of its file.
    fn newest(&self, file: &str) -> Answer {
        let Some(origin) =
            self.origins().ok().and_then(|all| all.into_iter().find(|o| shelf::file_of(o) == file))
        else {
            return Answer::new(404, "no such log\n");
        };
        match shelf::look(&*self.shelf, &origin) {
            Ok(Some(known)) => match known.newest {
                Some(newest) => Answer::new(200, newest.note()),
                None => Answer::new(404, "nothing was cosigned yet\n"),
            },
            Ok(None) => Answer::new(404, "no such log\n"),
            Err(error) => self.failed(&format!("{error:#}")),
        }
    }

    fn origins(&self) -> anyhow::Result<Vec<String>> {
        Ok(self
            .shelf
            .read("origins")?
            .map(|bytes| String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
            .unwrap_or_default())
    }
}

fn keys_of(keys: &[fdr_log::VerifierKey], line: &str) -> bool {
    let named = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let Some((name, _)) = named else { return false };
    let id = fdr_log::cosignature::line_bytes(line);
    keys.iter().any(|key| key.name() == name && id.as_ref().is_some_and(|id| id.starts_with(&key.id())))
}

fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::BadRequest => "the old size is larger than the checkpoint's",
        Decision::Forbidden => "no key that is known for this log signed it, or a signature is wrong",
        Decision::UnknownLog => "this log is not known here",
        Decision::Unprocessable => {
            "it does not continue what was cosigned: another root of the same size, or a proof that does not hold"
        }
        Decision::Cosign(_) | Decision::Conflict(_) => "",
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, self.media), (header::CACHE_CONTROL, "no-store")], self.body)
            .into_response()
    }
}

/// What is served.
pub fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(|State(witness): State<Arc<Witness>>, body: Bytes| async move {
            witness.add_checkpoint(&body)
        }))
        .route("/checkpoint/{log}", get(|State(witness): State<Arc<Witness>>, PathOf(log): PathOf<String>| async move {
            witness.newest(&format!("{log}.log"))
        }))
        .route("/", get(|State(witness): State<Arc<Witness>>| async move {
            match witness.public() {
                Ok(key) => Answer::new(200, format!("{key}\n")),
                Err(error) => witness.failed(&format!("{error:#}")),
            }
        }))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(witness)
}

/// Opens a witness's folder. `name` is for a new one.
///
/// # Errors
/// When it can't be read or made, or it is another name's.
pub fn open(dir: &Path, name: Option<&str>) -> anyhow::Result<Witness> {
    fdr_hook::client::create_home(dir).with_context(|| format!("can't make {}", dir.display()))?;
    let folder = Folder(dir.to_owned());
    let kept = folder.read("name").context("can't read the witness's name")?;
    let kept = kept.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let name = match (kept, name) {
        (Some(kept), Some(given)) => {
            ensure!(kept == given, "the witness in {} is named {kept}, not {given}", dir.display());
            kept
        }
        (Some(kept), None) => kept,
        (None, given) => {
            let name = given
                .context("a new witness needs a name: --name, for example the name of its host")?
                .to_owned();
            // Refused before anything is written.
            SigningKey::from_seed(&[1; 32]).witness(&name).context("this can't be a witness's name")?;
            folder.write("name", format!("{name}\n").as_bytes())?;
            name
        }
    };
    let key = SigningKey::load_or_create(&dir.join("witness.key"))?;
    Ok(Witness::new(&name, key, Box::new(folder)))
}

/// Adds a log to a witness's folder; one that is running knows it at once.
///
/// # Errors
/// When it is known already, or can't be written.
pub fn add_log(dir: &Path, key: fdr_log::VerifierKey) -> anyhow::Result<()> {
    let folder = Folder(dir.to_owned());
    let origin = key.name().to_owned();
    let mut origins = folder.read("origins")?.unwrap_or_default();
    let is_listed = String::from_utf8_lossy(&origins).lines().any(|listed| listed == origin);
    let is_there = shelf::look(&folder, &origin)?.is_some();
    // One that is there and not listed was being added when the machine stopped.
    if is_listed || !is_there {
        shelf::add(&folder, key)?;
    }
    origins.extend_from_slice(format!("{origin}\n").as_bytes());
    Ok(folder.write("origins", &origins)?)
}

/// Serves until a signal ends it.
///
/// # Errors
/// When the folder is in use or damaged, or the address can't be listened on.
pub fn serve(
    dir: &Path,
    name: Option<&str>,
    listen: SocketAddr,
    announce: &mut dyn FnMut(&Witness, SocketAddr),
) -> anyhow::Result<()> {
    let witness = open(dir, name)?;
    let lock = std::fs::File::create(dir.join("lock"))?;
    let locked = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    locked.with_context(|| format!("another witness runs in {}", dir.display()))?;
    for origin in witness.origins()? {
        let known = shelf::look(&*witness.shelf, &origin)?;
        known.with_context(|| {
            format!("what this witness knew of {origin} is gone; it may not begin anew with it")
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let witness = Arc::new(witness);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("can't listen on {listen}"))?;
        announce(&witness, listener.local_addr()?);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut signals =
            signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
        std::thread::spawn(move || {
            signals.forever().next();
            let _ = stop.send(());
        });
        axum::serve(Guarded::new(listener), router(witness))
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await?;
        Ok(())
    })
}
