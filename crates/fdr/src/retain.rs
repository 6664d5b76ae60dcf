//! `fdr retain`: how long records are kept, what is held, and removing what may go.
//!
//! Nothing is ever removed by itself. [`Recorder::prune`] removes whole segments from the beginning of the log, and only
//! after a `log.pruned` record is durable and under a checkpoint, so that what is kept says what is missing, by which
//! rule and on whose authority. `fdr verify` demands that record ([`Prunings`]).

pub mod holds;
mod plan;
mod rules;

pub use holds::Holds;
pub use plan::Plan;
pub use rules::Settings;

use crate::admin::{Ask, ask};
use crate::config::Config;
use crate::filter::parse_time;
use crate::home::{Home, open_reader};
use crate::recorder::Recorder;
use crate::table::{Align, Cell, Table};
use crate::text::{self, Look, LookArgs, Tone};
use anyhow::{Context, bail, ensure};
use fdr_log::{Damage, Pruned, Reader, Report};
use fdr_record::{Body, Kind, LogPruned, Observed, Record, Timestamp, hex, kind_of};
use holds::{Change, Hold};
use rules::RULES;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// The longest text of a reason or an authority, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// `fdr retain`.
#[derive(Debug, clap::Args)]
pub struct RetainArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the rules that there are, with their sources.
    Rules {
        #[command(flatten)]
        look: LookArgs,
    },
    /// Say what would be removed, and which rule or hold keeps the rest.
    Plan {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Remove what the plan says. It can't be undone; that it was done stays in the log.
    Apply {
        /// On whose authority.
        #[arg(long)]
        authority: String,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Put, list and release legal holds. What is held is neither removed nor erased.
    Hold {
        #[command(subcommand)]
        command: HoldCommand,
    },
}

#[derive(Debug, clap::Subcommand)]
enum HoldCommand {
    /// Hold what matches all that is given; everything, if nothing is.
    Add {
        /// The hold's name, such as the number of a case.
        id: String,
        /// Only this session: its whole id.
        #[arg(long)]
        session: Option<String>,
        /// Only what is about this person or service: the id or login name of a principal.
        #[arg(long)]
        subject: Option<String>,
        /// Only since: -7d, yesterday, 2026-11-24, or RFC 3339.
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
        since: Option<String>,
        /// Only until.
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
        until: Option<String>,
        /// On whose authority.
        #[arg(long)]
        authority: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// List the holds in force.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Release a hold.
    Release {
        /// The hold's name.
        id: String,
        /// On whose authority.
        #[arg(long)]
        authority: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// What the recorder is asked to remove: what its own plan says, made when it does so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PruneOrder {
    /// On whose authority.
    pub authority: String,
    /// Why.
    pub reason: String,
}

/// Carries out the command.
///
/// # Errors
/// When the log or the configuration can't be read, or the recorder refuses.
pub fn run(args: RetainArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match args.command {
        Command::Rules { look } => print_rules(&Look::new(&look), out),
        Command::Plan { json, look } => {
            let config = Config::load(home)?;
            let reader = open_reader(home)?;
            let plan = Plan::make(&reader, &config.retain, &Holds::read(&reader)?, text::now())?;
            if json {
                serde_json::to_writer(&mut *out, &plan)?;
                writeln!(out)?;
            } else {
                print_plan(&plan, &config.retain, &Look::new(&look), out)?;
            }
            Ok(u8::from(plan.goes.is_none()))
        }
        Command::Apply { authority, reason, look } => {
            let plan: Plan = ask(home, &Ask::Prune(PruneOrder { authority, reason }))?;
            let config = Config::load(home)?;
            print_plan(&plan, &config.retain, &Look::new(&look), out)?;
            match &plan.goes {
                None => Ok(1),
                Some(goes) => {
                    writeln!(
                        out,
                        "removed       that is done; fdr verify tells of it, and the log begins with record {}",
                        goes.first_index
                    )?;
                    Ok(0)
                }
            }
        }
        Command::Hold { command } => hold(command, home, out),
    }
}

fn hold(command: HoldCommand, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    let time = |text: Option<String>| {
        text.map(|text| parse_time(&text, &Look::new(&LookArgs::default()))).transpose()
    };
    match command {
        HoldCommand::Add { id, session, subject, since, until, authority, reason } => {
            let (from, to) = (time(since)?, time(until)?);
            let hold = Hold { id, session, subject, from, to, authority, reason };
            let scope = hold.scope();
            ask::<()>(home, &Ask::Hold(Change::Add(hold)))?;
            writeln!(out, "held: {}", text::line(&scope))?;
            Ok(0)
        }
        HoldCommand::Release { id, authority, reason } => {
            ask::<()>(home, &Ask::Hold(Change::Release { id, authority, reason }))?;
            writeln!(out, "released")?;
            Ok(0)
        }
        HoldCommand::List { json, look } => {
            let holds = Holds::read(&open_reader(home)?)?;
            if json {
                serde_json::to_writer(&mut *out, &holds.0)?;
                writeln!(out)?;
                return Ok(u8::from(holds.0.is_empty()));
            }
            let look = Look::new(&look);
            if holds.0.is_empty() {
                writeln!(out, "nothing is held")?;
                return Ok(1);
            }
            let mut table = Table::new(&[
                ("HOLD", Align::Left, 20),
                ("SINCE", Align::Left, 24),
                ("HOLDS", Align::Left, 60),
                ("AUTHORITY", Align::Left, 24),
                ("REASON", Align::Left, 60),
            ]);
            for held in &holds.0 {
                table.push(vec![
                    Cell::plain(text::line(&held.hold.id)),
                    Cell::plain(look.day_and_minute(held.since)),
                    Cell::plain(text::line(&held.hold.scope())),
                    Cell::plain(text::line(&held.hold.authority)),
                    Cell::plain(text::line(&held.hold.reason)),
                ]);
            }
            table.write(&look, out)?;
            Ok(0)
        }
    }
}

fn print_rules(look: &Look, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut table = Table::new(&[
        ("RULE", Align::Left, 12),
        ("KEEP DAYS", Align::Right, 10),
        ("SOURCE", Align::Left, 56),
        ("SAYS", Align::Left, 90),
    ]);
    for rule in RULES {
        table.push(vec![
            Cell::plain(rule.name),
            Cell::new(Tone::Strong, rule.keep_days.map_or("–".to_owned(), |days| days.to_string())),
            Cell::plain(rule.citation),
            Cell::plain(rule.says),
        ]);
    }
    table.write(look, out)?;
    Ok(0)
}

fn print_plan(plan: &Plan, settings: &Settings, look: &Look, out: &mut dyn Write) -> anyhow::Result<()> {
    for rule in settings.rules() {
        writeln!(out, "rule          {}: {} ({})", rule.name, rule.says, rule.citation)?;
    }
    if let Some(days) = settings.keep_days {
        writeln!(out, "rule          keep_days: {days} days (config.toml)")?;
    }
    let (Some(period), Some(cutoff)) = (&plan.period, plan.cutoff) else {
        writeln!(out, "kept          everything: no rule says how long (set [retain] rules or keep_days)")?;
        return Ok(());
    };
    writeln!(
        out,
        "kept          for {} days by {}: what was written before {} may go, in whole segments from the beginning",
        period.days,
        period.rule,
        look.day_and_minute(cutoff)
    )?;
    if let Some((id, index)) = &plan.held {
        writeln!(
            out,
            "held          record {index} and all after it, by the legal hold '{}'",
            text::line(id)
        )?;
    }
    match &plan.goes {
        None => writeln!(out, "goes          nothing")?,
        Some(goes) => writeln!(
            out,
            "goes          records {}–{} ({}, the newest of {}), with {} wholly",
            plan.first_now,
            goes.first_index - 1,
            text::counted(goes.segments, "segment"),
            look.day_and_minute(goes.until),
            text::counted(goes.sessions.len() as u64, "session"),
        )?,
    }
    Ok(())
}

/// The `log.pruned` records of a log, which say that its beginning was removed rightly.
#[derive(Debug, Default)]
pub struct Prunings(Vec<(u64, Timestamp, LogPruned)>);

impl Prunings {
    /// Takes a record in, if it is one.
    pub fn see(&mut self, index: u64, bytes: &[u8]) {
        if kind_of(bytes) == Some(Kind::LogPruned.as_str())
            && let Ok(record) = Record::parse(bytes)
            && record.session.is_none()
            && let Body::LogPruned(body) = record.body
        {
            self.0.push((index, record.ts, body));
        }
    }

    /// Those of a log that was pruned.
    pub fn read(log: &std::path::Path) -> Prunings {
        let mut prunings = Prunings::default();
        if let Ok(reader) = Reader::open(log)
            && reader.pruned().is_some()
        {
            // What is damaged is told by others.
            for entry in reader.records(0).map_while(Result::ok) {
                prunings.see(entry.index, &entry.bytes);
            }
        }
        prunings
    }

    /// The record that fits where the log begins.
    pub fn of(&self, pruned: &Pruned) -> Option<&(u64, Timestamp, LogPruned)> {
        self.0.iter().find(|(_, _, body)| {
            (body.first_segment, body.first_index) == (pruned.first_segment, pruned.first_index)
                && body.root == hex(&pruned.root)
        })
    }

    /// Settles in a report whether the log begins rightly: without a record that says so, what is missing was not pruned
    /// but deleted.
    pub fn settle(&self, report: &mut Report) {
        let Some(pruned) = report.pruned.clone() else { return };
        report.pruned_confirmed = self.of(&pruned).is_some();
        if !report.pruned_confirmed {
            report.damage_count += 1;
            report.last_good_before_damage = None;
            let what = format!(
                "records 0 to {} are gone, and no record says that they were pruned",
                pruned.first_index.saturating_sub(1)
            );
            let damage =
                Damage { indexes: 0..pruned.first_index, file: "pruned".to_owned(), offset: 0, what };
            report.damages.insert(0, damage);
        }
    }

    /// What verification can't say of a pruned log.
    pub fn not_checked(&self, report: &Report) -> Option<String> {
        let (index, ts, body) = self.of(report.pruned.as_ref()?)?;
        Some(format!(
            "records 0–{} were removed on {} by the rule {}, on the authority of {} (record {index}); what was in them is not checked",
            body.first_index.saturating_sub(1),
            Look::new(&LookArgs::default()).date(*ts),
            text::line(&body.rule),
            text::line(&body.authority),
        ))
    }
}

/// Reasons and authorities are records for ever: they have to say something.
pub(crate) fn check_text(what: &str, given: &str) -> anyhow::Result<()> {
    ensure!(!given.trim().is_empty(), "the {what} is empty");
    ensure!(given.len() <= MAX_TEXT_BYTES, "the {what} is longer than {MAX_TEXT_BYTES} bytes");
    Ok(())
}

impl Recorder {
    /// Puts or releases a hold.
    pub(crate) fn change_hold(&self, change: &Change, observed: Observed) -> anyhow::Result<()> {
        let (id, authority, reason) = match change {
            Change::Add(hold) => (&hold.id, &hold.authority, &hold.reason),
            Change::Release { id, authority, reason } => (id, authority, reason),
        };
        check_text("name of the hold", id)?;
        check_text("authority", authority)?;
        check_text("reason", reason)?;
        let _one_at_a_time = self.retaining();
        let holds = Holds::read(&Reader::open(&self.home().log())?)?;
        let is_held = holds.0.iter().any(|held| held.hold.id == *id);
        match change {
            Change::Add(hold) => {
                ensure!(!is_held, "there is a hold '{id}' already: release it, or choose another name");
                if let (Some(from), Some(to)) = (hold.from, hold.to) {
                    ensure!(from <= to, "the hold would end before it begins");
                }
            }
            Change::Release { .. } => {
                ensure!(is_held, "there is no hold '{id}'\n  to see them:  fdr retain hold list")
            }
        }
        self.record_own_observed(change.body(), observed)
    }

    /// Removes what may go. The plan is made here, and nowhere else, so that nobody can ask for more.
    pub(crate) fn prune(&self, order: &PruneOrder, observed: Observed) -> anyhow::Result<Plan> {
        check_text("authority", &order.authority)?;
        check_text("reason", &order.reason)?;
        let _one_at_a_time = self.retaining();
        let config = Config::load(self.home())?;
        let log = self.home().log();
        let reader = Reader::open(&log)?;
        let holds = Holds::read(&reader)?;
        let plan = Plan::make(&reader, &config.retain, &holds, self.now())?;
        let (Some(goes), Some(period)) = (&plan.goes, &plan.period) else { return Ok(plan) };
        // What shows that somebody tampered must not be removed by a rule.
        let mut report = crate::verify::check(&log, reader.verifier(), &[], &mut |_| {})?;
        report.damages.retain(|damage| damage.indexes.start < goes.first_index);
        if let Some(damage) = report.damages.first() {
            bail!("the records that would go are not as they were written, and stay: {damage}");
        }
        for held in holds.0.iter().filter(|held| held.index < goes.first_index) {
            self.record_own_observed(Change::Add(held.hold.clone()).body(), observed.clone())?;
        }
        let body = LogPruned {
            first_index: goes.first_index,
            first_segment: goes.first_segment,
            root: goes.root.clone(),
            until: Some(goes.until),
            rule: format!("{} ({} days)", period.rule, period.days),
            authority: order.authority.clone(),
            reason: Some(order.reason.clone()),
            sessions: Some(goes.sessions.len() as u64),
        };
        self.record_own_observed(Body::LogPruned(body), observed)?;
        self.prune_log(goes.first_segment).context("that it will be done is recorded; do it again")?;
        self.destroy_keys_of(&goes.sessions)
            .context("the records are gone, keys of their contents are not")?;
        Ok(plan)
    }
}
