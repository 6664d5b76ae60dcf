//! `fdr tail`: the newest records, and those that come.

use crate::filter::{Filter, FilterArgs};
use crate::line::one_line;
use crate::text::{self, Look, LookArgs};
use crate::trail::{self, Facts, Requests, Row, Trail};
use fdr_record::{Body, RecordId};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How often `-f` looks for new records.
const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// How many actions are remembered while following, for their results.
const MAX_REMEMBERED: usize = 100_000;

/// Options of `fdr tail`.
#[derive(Clone, Debug, clap::Args)]
pub struct TailArgs {
    /// Go on with records as they come, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the newest N that match
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    pub lines: usize,
    /// Which records
    #[command(flatten)]
    pub filter: FilterArgs,
    /// The records themselves, one JSON line each
    #[arg(long)]
    pub json: bool,
    /// How it looks
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs `fdr tail`; 0 if there was something, 1 if nothing matched.
///
/// # Errors
/// When the log can't be read, or a filter makes no sense.
pub fn run(args: &TailArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(tail(args, home, &mut BufWriter::new(out)))
}

fn tail(args: &TailArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let filter = Filter::new(&args.filter, &look)?;
    let trail = if args.follow { Trail::open_even_empty(home)? } else { Trail::open(home)? };
    let next = trail.len();
    let found = newest(&trail, &filter, next, args.lines)?;
    let mut any = !found.is_empty();
    for (row, facts) in found.iter().rev() {
        write_row(row, facts, args.json, &look, out)?;
    }
    out.flush()?;
    if args.follow {
        any |= follow(&trail, &filter, next, args.json, &look, out)?;
    }
    Ok(trail.finish(if any { trail::FOUND } else { trail::NOTHING }))
}

/// Writes records as they come, from index `next` on, until nobody reads them any more.
fn follow(
    trail: &Trail,
    filter: &Filter,
    mut next: u64,
    json: bool,
    look: &Look,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let mut any = false;
    let mut known = Known::default();
    loop {
        let len = trail.refresh()?;
        if len == next {
            if nobody_reads() {
                return Ok(any);
            }
            std::thread::sleep(POLL_INTERVAL);
            continue;
        }
        trail.scan(next, len, |entry| {
            let row = trail.read(entry);
            let facts = known.add(&row);
            if filter.may_match(&row.line) && filter.matches(&row, &facts, trail)? {
                any = true;
                write_row(&row, &facts, json, look, out)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        next = len;
        out.flush()?;
    }
}

/// The newest `limit` records before `before` that match, newest first, each with what is
/// known of its action. Read backwards, results come before their actions.
pub fn newest(
    trail: &Trail,
    filter: &Filter,
    before: u64,
    limit: usize,
) -> anyhow::Result<Vec<(Row, Facts)>> {
    let mut found = Vec::new();
    let mut known = Known::default();
    if limit == 0 {
        return Ok(found);
    }
    trail.scan_back(before, |entry| {
        let may_match = filter.may_match(&entry.bytes);
        if !may_match && !tells_of_action(&entry.bytes) {
            return Ok(ControlFlow::Continue(()));
        }
        let row = trail.read(entry);
        let facts = known.add(&row);
        if may_match && filter.matches(&row, &facts, trail)? {
            found.push((row, facts));
        }
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Whether a line may be a result or an answer to a request for approval.
pub fn tells_of_action(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\"result\"").is_some()
        || memchr::memmem::find(line, b"\"approval.").is_some()
}

/// Facts on actions, gathered while records are read one by one.
#[derive(Default)]
struct Known {
    actions: HashMap<RecordId, Facts>,
    requests: Requests,
}

impl Known {
    /// Takes in a record, and returns what is known of its action by now; for a record that
    /// belongs to no action what it says by itself.
    fn add(&mut self, row: &Row) -> Facts {
        let Some(record) = row.record() else { return Facts::default() };
        let mut alone = Facts::default();
        alone.add(record);
        let Some(id) = self.requests.action_of(record) else { return alone };
        if self.actions.len() >= MAX_REMEMBERED {
            self.actions.clear();
        }
        // Read backwards, answers come before their request, and are kept under its id.
        let early = if record.id == id { None } else { self.actions.remove(&record.id) };
        let known = self.actions.entry(id).or_default();
        if let Some(early) = early {
            known.add_answers(&early);
        }
        known.add(record);
        match record.body {
            Body::Result(_) => alone,
            _ => *known,
        }
    }
}

fn write_row(row: &Row, facts: &Facts, json: bool, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        out.write_all(&text::json_line(row.shown()))?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "{}", one_line(look, row, facts))?;
    }
    Ok(())
}

/// Whether standard output is a pipe whose other end is closed: found out before there is
/// something to write, so that `fdr tail -f | head -1` ends.
fn nobody_reads() -> bool {
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|n| n > 0) && fds[0].revents().contains(PollFlags::ERR)
}
