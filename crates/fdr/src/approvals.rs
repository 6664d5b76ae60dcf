//! `fdr approvals`: what agents ask for, and a person's answer.

use crate::held::{Ask, Shown};
use crate::home::Home;
use crate::table::{Align, Cell, Table};
use crate::text::{self, Look, LookArgs, Tone};
use anyhow::{Context, bail};
use fdr_hook::client::Client;
use fdr_hook::wire::{Op, Request};
use fdr_record::{Reach, Timestamp};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long the recorder may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `fdr approvals`.
#[derive(Debug, clap::Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Default, clap::Args)]
struct ListArgs {
    /// List those that are answered as well.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what waits for an answer (the default).
    List(ListArgs),
    /// Show one request whole.
    Show {
        /// The request: the beginning or end of its id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let it be done.
    Grant {
        /// The request: the beginning or end of its id.
        id: String,
        /// Why; it stands in the record.
        #[arg(long, short, default_value = "")]
        reason: String,
        /// How long the grant can be used if nobody waits for it, or that of a session.
        #[arg(long, value_name = "MINUTES")]
        minutes: Option<u64>,
        /// For the same verbs on the same resources as long as the session goes on, not only for
        /// this very call.
        #[arg(long)]
        session: bool,
    },
    /// Refuse it.
    Deny {
        /// The request: the beginning or end of its id.
        id: String,
        /// Why; the agent is told.
        #[arg(long, short, default_value = "")]
        reason: String,
    },
}

/// Carries out the command; exit status 1 if there is nothing to list.
///
/// # Errors
/// When no recorder runs, or it refuses.
pub fn run(args: ApprovalsArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&LookArgs::default());
    match args.command.unwrap_or(Command::List(args.list)) {
        Command::List(args) => {
            let mut all = list(home)?;
            all.retain(|request| args.all || request.standing == "waiting");
            if args.json {
                serde_json::to_writer(&mut *out, &all)?;
                writeln!(out)?;
            } else if all.is_empty() {
                writeln!(out, "nothing waits for an answer")?;
            } else {
                table(&all, &look, out)?;
            }
            Ok(u8::from(all.is_empty()))
        }
        Command::Show { id, json } => {
            let all = list(home)?;
            let mut found = all.iter().filter(|request| is_named(request, &id));
            let (Some(request), None) = (found.next(), found.next()) else {
                bail!("there is no one request {id}\n  to see all:  fdr approvals list --all");
            };
            if json {
                serde_json::to_writer(&mut *out, request)?;
                writeln!(out)?;
            } else {
                show(request, &look, out)?;
            }
            Ok(0)
        }
        Command::Grant { id, reason, minutes, session } => {
            let reach = if session { Reach::Session } else { Reach::Once };
            answer(home, &Ask::Grant { id, reason, minutes, reach }, out)
        }
        Command::Deny { id, reason } => answer(home, &Ask::Deny { id, reason }, out),
    }
}

/// All requests that the recorder knows.
///
/// # Errors
/// When no recorder runs.
pub fn list(home: &Home) -> anyhow::Result<Vec<Shown>> {
    Ok(serde_json::from_slice(&send(home, Op::Approvals, &Ask::List)?)?)
}

fn is_named(request: &Shown, text: &str) -> bool {
    let id = request.id.to_string();
    !text.is_empty() && (id.starts_with(text) || id.ends_with(text))
}

fn answer(home: &Home, ask: &Ask, out: &mut dyn Write) -> anyhow::Result<u8> {
    let now: Option<Shown> = serde_json::from_slice(&send(home, Op::Approvals, ask)?)?;
    let now = now.context("the request was forgotten")?;
    if now.standing == "waiting" {
        writeln!(out, "recorded; {} has agreed, one more person has to", now.agreed.join(", "))?;
    } else {
        writeln!(out, "{} {}: {}", now.standing, now.detail, text::line(&now.approval.summary))?;
    }
    Ok(0)
}

/// Sends the recorder a question of ours.
///
/// # Errors
/// When no recorder runs, or it refuses; with its words.
pub fn send(home: &Home, op: Op, ask: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let client = Client::connect(home.front());
    let mut client = client.with_context(|| {
        format!("no recorder runs in {}\n  to start one:  fdr serve", home.dir().display())
    })?;
    let mut request = Request::control(op);
    request.payload = serde_json::to_vec(ask)?;
    let response = client.call(&request, Some(Instant::now() + TIMEOUT))?;
    if !response.recorded {
        bail!("{}", String::from_utf8_lossy(&response.stderr));
    }
    Ok(response.stdout)
}

/// The end of an id tells requests apart; its beginning is the time.
fn short(request: &Shown) -> String {
    let id = request.id.to_string();
    id[id.len() - 8..].to_owned()
}

fn left(request: &Shown) -> String {
    let now = crate::surroundings::wall_clock();
    match request.approval.expires {
        Some(Timestamp(expires)) if request.standing == "waiting" => {
            format!("{} s left", expires.saturating_sub(now.0) / 1_000_000_000)
        }
        _ => request.standing.clone(),
    }
}

fn table(all: &[Shown], look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    let columns = [
        ("REQUEST", 8),
        ("SINCE", 16),
        ("STANDING", 10),
        ("AGENT", 24),
        ("SESSION", 8),
        ("ACTION", 48),
        ("WHY", 200),
    ];
    let mut table = Table::new(&columns.map(|(heading, limit)| (heading, Align::Left, limit)));
    for request in all {
        let action = request.approval.actions.first();
        let action =
            action.map_or_else(String::new, |action| format!("{} {}", action.action, action.resource));
        table.push(vec![
            Cell::new(Tone::Strong, short(request)),
            Cell::plain(look.day_and_minute(request.since)),
            Cell::plain(left(request)),
            Cell::plain(&request.agent),
            Cell::plain(request.session.get(..8).unwrap_or(&request.session)),
            Cell::plain(action),
            Cell::plain(request.approval.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table.write(look, out)?;
    writeln!(out, "\nto answer:  fdr approvals show|grant|deny REQUEST")?;
    Ok(())
}

fn show(request: &Shown, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    let approval = &request.approval;
    writeln!(out, "request   {}", request.id)?;
    writeln!(out, "since     {} ({})", look.day_and_minute(request.since), left(request))?;
    writeln!(out, "agent     {} in session {}", text::line(&request.agent), text::line(&request.session))?;
    writeln!(out, "tool      {}: {}", text::line(&approval.tool), text::line(&approval.summary))?;
    for action in &approval.actions {
        let to = action.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
        writeln!(
            out,
            "action    {} {}{}",
            action.action,
            text::line(action.resource.as_str()),
            text::line(&to)
        )?;
    }
    writeln!(out, "why       {}", text::line(approval.reason.as_deref().unwrap_or_default()))?;
    writeln!(out, "policies  {}", approval.policies.join(", "))?;
    if approval.four_eyes {
        let agreed =
            if request.agreed.is_empty() { "nobody yet".to_owned() } else { request.agreed.join(", ") };
        writeln!(out, "needs     two different people; agreed: {agreed}")?;
    }
    writeln!(out, "exactly   {}", approval.digest.as_deref().unwrap_or_default())?;
    if request.standing != "waiting" {
        writeln!(out, "standing  {} {}", request.standing, text::line(&request.detail))?;
    }
    Ok(())
}
