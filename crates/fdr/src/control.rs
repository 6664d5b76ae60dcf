//! Speaking with the running recorder: `fdr status`, `fdr stop`, `fdr checkpoint`.

use crate::heartbeat;
use crate::home::Home;
use crate::judge::Tampering;
use crate::replay::short_hash;
use crate::text::{Look, LookArgs};
use crate::timestamp;
use crate::witness;
use anyhow::{Context, bail};
use fdr_hook::client::Client;
use fdr_hook::wire::{Op, Request, Response};
use fdr_log::{Reader, lock_holder};
use fdr_record::{Mode, Timestamp};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long to wait for a recorder that ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a recorder is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// What it does with decisions.
    pub mode: Mode,
    /// Records in the log.
    pub records: u64,
    /// Size of the newest checkpoint.
    pub checkpoint: Option<u64>,
    /// Events that wait in the spool.
    pub spooled: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Groups written since it started.
    pub groups: u64,
    /// Full segments compressed since it started.
    #[serde(default)]
    pub sealed_segments: u64,
    /// The last heartbeat of this recorder.
    #[serde(default)]
    pub heartbeat: Option<heartbeat::Last>,
    /// Records that enough witnesses have signed for, where there are any.
    #[serde(default)]
    pub witnessed: Option<u64>,
    /// How it goes with each.
    #[serde(default)]
    pub witnesses: Vec<witness::client::State>,
    /// How time-stamping goes, where an authority is configured.
    #[serde(default)]
    pub timestamps: Option<timestamp::keeper::State>,
    /// Why a full segment could not be compressed; it stays as it is.
    #[serde(default)]
    pub seal_problem: Option<String>,
    /// Digest of the policy set in force.
    pub policy: Option<String>,
    /// Why none is, or why the newest one was refused.
    pub policy_problem: String,
    /// Requests for approval that wait for an answer.
    pub approvals: u64,
    /// Attempts to tamper with the recorder or its limits, of those it knows.
    pub tampering: u64,
    /// The newest one.
    pub newest_tampering: Option<Tampering>,
}

fn call(home: &Home, op: Op) -> anyhow::Result<Option<Response>> {
    let Ok(mut client) = Client::connect(home.front()) else { return Ok(None) };
    let response = client.call(&Request::control(op), Some(Instant::now() + STOP_TIMEOUT))?;
    if !response.recorded {
        bail!("{}", String::from_utf8_lossy(&response.stderr));
    }
    Ok(Some(response))
}

/// Asks the running recorder how it is; `None` when none runs.
///
/// # Errors
/// When it does not answer, or not understandably.
pub fn query_status(home: &Home) -> anyhow::Result<Option<Status>> {
    match call(home, Op::Status)? {
        Some(response) => {
            Ok(Some(serde_json::from_slice(&response.stdout).context("the recorder's answer can't be read")?))
        }
        None => Ok(None),
    }
}

/// `fdr status`: exit status 0 when it runs, 1 when not.
///
/// # Errors
/// When it runs and does not answer.
pub fn status(home: &Home, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let status = query_status(home)?;
    if json {
        serde_json::to_writer(&mut *out, &status)?;
        writeln!(out)?;
        return Ok(u8::from(status.is_none()));
    }
    let Some(status) = status else {
        writeln!(out, "recorder      not running (it is started by the first event, or by: fdr serve)")?;
        if let Ok(reader) = Reader::open(&home.log()) {
            writeln!(out, "log           {} records in {}", reader.len(), home.log().display())?;
        }
        return Ok(1);
    };
    let look = Look::new(&LookArgs::default());
    writeln!(
        out,
        "recorder      running (pid {}, since {}), {}, fdr {}",
        status.pid,
        look.day_and_minute(status.started),
        status.mode.as_str(),
        status.version
    )?;
    writeln!(out, "log           {} records in {}", status.records, home.log().display())?;
    match status.checkpoint {
        Some(size) => writeln!(
            out,
            "checkpoint    covers {size} records, {} not yet covered",
            status.records - size.min(status.records)
        )?,
        None => writeln!(out, "checkpoint    none yet")?,
    }
    if let Some(last) = &status.heartbeat {
        writeln!(out, "heartbeat     number {}, {}", last.epoch, look.day_and_minute(last.ts))?;
        if let Some(problem) = &last.problem {
            writeln!(
                out,
                "SEAL          {}; a restart can't go on with the seal",
                crate::text::line(problem)
            )?;
        }
    }
    for state in &status.witnesses {
        let name = crate::text::line(&state.name);
        let when = Timestamp(state.time.saturating_mul(1_000_000_000));
        match state.time {
            0 => writeln!(out, "witness       {name} has signed nothing yet")?,
            _ => writeln!(
                out,
                "witness       {name} covers {} records, {} not yet covered, signed {}",
                state.size,
                status.records.saturating_sub(state.size),
                look.day_and_minute(when)
            )?,
        }
        if let Some(problem) = &state.problem {
            writeln!(out, "WITNESS       {name}: {}", crate::text::line(problem))?;
        }
    }
    if let Some(timestamps) = &status.timestamps {
        match &timestamps.newest {
            Some(newest) => writeln!(
                out,
                "time-stamped  {} records at {}, {} since",
                newest.size,
                look.day_and_minute(newest.time),
                status.records.saturating_sub(newest.size)
            )?,
            None => writeln!(out, "time-stamped  nothing yet")?,
        }
        if let Some(problem) = &timestamps.problem {
            writeln!(out, "TIME-STAMP    the last attempt failed: {}", crate::text::line(problem))?;
        }
    }
    if let Some(problem) = &status.seal_problem {
        writeln!(out, "SEALING       a full segment can't be compressed: {}", crate::text::line(problem))?;
    }
    let refused =
        if status.policy_problem.is_empty() { "" } else { "; the newest was REFUSED: fdr policy check" };
    match &status.policy {
        Some(set) => writeln!(out, "policy        set {} in force{refused}", short_hash(set))?,
        None => writeln!(out, "policy        NONE in force, so every action is denied: fdr policy check")?,
    }
    if status.approvals > 0 {
        writeln!(out, "approvals     {} wait for an answer: fdr approvals", status.approvals)?;
    }
    if let Some(newest) = &status.newest_tampering {
        writeln!(
            out,
            "TAMPERING     {}; the newest {}, {}: {}",
            crate::text::counted(status.tampering, "attempt"),
            look.day_and_minute(newest.ts),
            if newest.denied { "denied" } else { "NOT denied" },
            crate::text::line(&newest.summary)
        )?;
    }
    if status.spooled > 0 {
        writeln!(out, "spool         {} events wait to be taken in", status.spooled)?;
    }
    Ok(0)
}

/// `fdr stop`: waits until the recorder has let go of the log.
///
/// # Errors
/// When it does not end in time.
pub fn stop(home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let running = lock_holder(&home.log()).map(|holder| holder.pid);
    let Some(_) = call(home, Op::Stop)? else {
        writeln!(out, "no recorder is running in {}", home.dir().display())?;
        return Ok(1);
    };
    let deadline = Instant::now() + STOP_TIMEOUT;
    // Another one may begin at once, started by a hook that waits.
    while let Some(holder) = lock_holder(&home.log()).filter(|holder| Some(holder.pid) == running) {
        if Instant::now() >= deadline {
            bail!("the recorder (pid {}) did not end within {} s", holder.pid, STOP_TIMEOUT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    writeln!(out, "stopped")?;
    Ok(0)
}

/// `fdr checkpoint`: the newest signed checkpoint, for keeping elsewhere.
///
/// # Errors
/// When there is no log, or it has no checkpoint.
pub fn checkpoint(home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    if let Some(response) = call(home, Op::Checkpoint)? {
        out.write_all(&response.stdout)?;
        return Ok(0);
    }
    let reader = crate::home::open_reader(home)?;
    let checkpoint = reader
        .checkpoint()?
        .context("the log has no checkpoint yet\n  start the recorder once: fdr serve")?;
    out.write_all(checkpoint.note().as_bytes())?;
    Ok(0)
}
