//! `fdr query`: the records that answer a question.

use crate::filter::{Filter, FilterArgs, tool_of};
use crate::line::{self, Places, one_line};
use crate::tail::{newest, tells_of_action};
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::{self, Brief, Decider, Facts, Requests, Row, Trail};
use fdr_record::{Body, Kind, RecordId};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// Options of `fdr query`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct QueryArgs {
    /// Which records
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The records themselves, one JSON line each; what would act on a terminal is written
    /// as \u escapes (the same values; `fdr cat` has the exact bytes)
    #[arg(long, conflicts_with_all = ["csv", "count"])]
    pub json: bool,
    /// Comma-separated values (RFC 4180); a cell that a spreadsheet would take for a formula
    /// (it begins with = + - @) gets a ' before it
    #[arg(long, conflicts_with = "count")]
    pub csv: bool,
    /// Only how many
    #[arg(long)]
    pub count: bool,
    /// How it looks
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs `fdr query`; 0 if something matched, 1 if nothing.
///
/// # Errors
/// When the log can't be read, or a filter makes no sense.
pub fn run(args: &QueryArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(query(args, home, &mut BufWriter::with_capacity(64 * 1024, out)))
}

fn query(args: &QueryArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let look = Look::new(&args.look);
    let filter = Filter::new(&args.filter, &look)?;
    let trail = Trail::open(home)?;
    let mut printer = Printer { args, look: &look, out, found: 0 };
    match args.limit.filter(|limit| *limit > 0) {
        Some(limit) => {
            for (row, facts) in newest(&trail, &filter, u64::MAX, limit)?.iter().rev() {
                printer.row(row, facts)?;
            }
        }
        None => {
            // What came of an action stands behind it in the log.
            let shows_outcomes = !args.count && !args.json;
            let outcomes = match filter.needs_facts() || shows_outcomes {
                true => outcomes(&trail)?,
                false => HashMap::new(),
            };
            trail.scan(0, u64::MAX, |entry| {
                if !filter.may_match(&entry.bytes) {
                    return Ok(ControlFlow::Continue(()));
                }
                if args.count && filter.takes_all() {
                    printer.found += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                // Most records are not what is looked for, and that is told without reading all.
                if filter.needs_facts()
                    && let Some(brief) = Brief::read(&entry.bytes)
                {
                    let known = brief.action().filter(|_| brief.kind == Kind::Action);
                    let mut facts = known.and_then(|id| outcomes.get(&id)).copied().unwrap_or_default();
                    facts.add_brief(&brief);
                    if !filter.judges(brief.kind, brief.action()) || !filter.agrees_with(&facts) {
                        return Ok(ControlFlow::Continue(()));
                    }
                }
                let row = trail.read(entry);
                let facts = facts_of(&row, &outcomes);
                if filter.matches(&row, &facts, &trail)? {
                    printer.row(&row, &facts)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    let found = printer.found;
    printer.finish(trail.len())?;
    out.flush()?;
    Ok(trail.finish(if found == 0 { trail::NOTHING } else { trail::FOUND }))
}

/// What results and answers say of each action: some 60 bytes for each.
fn outcomes(trail: &Trail) -> anyhow::Result<HashMap<RecordId, Facts>> {
    let mut outcomes: HashMap<RecordId, Facts> = HashMap::new();
    let mut requests = Requests::default();
    trail.scan(0, u64::MAX, |entry| {
        if !tells_of_action(&entry.bytes) {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(brief) = Brief::read(&entry.bytes) {
            if let Some(id) = brief.action().filter(|_| brief.kind != Kind::Action) {
                outcomes.entry(id).or_default().add_brief(&brief);
            }
        } else {
            let row = trail.read(entry);
            if let Some(record) = row.record()
                && record.kind != Kind::Action
                && let Some(id) = requests.action_of(record)
            {
                outcomes.entry(id).or_default().add(record);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(outcomes)
}

fn facts_of(row: &Row, outcomes: &HashMap<RecordId, Facts>) -> Facts {
    let Some(record) = row.record() else { return Facts::default() };
    let mut facts = match record.kind {
        Kind::Action => outcomes.get(&record.id).copied().unwrap_or_default(),
        _ => Facts::default(),
    };
    facts.add(record);
    facts
}

struct Printer<'a> {
    args: &'a QueryArgs,
    look: &'a Look,
    out: &'a mut dyn Write,
    found: u64,
}

const CSV_HEADINGS: [&str; 19] = [
    "index",
    "time",
    "id",
    "session",
    "agent",
    "runtime",
    "kind",
    "action",
    "resource",
    "tool",
    "summary",
    "decision",
    "by",
    "outcome",
    "duration_ms",
    "destructive",
    "scope",
    "policies",
    "tamper",
];

impl Printer<'_> {
    fn row(&mut self, row: &Row, facts: &Facts) -> anyhow::Result<()> {
        self.found += 1;
        if self.args.count {
            return Ok(());
        }
        if self.args.json {
            self.out.write_all(&text::json_line(row.shown()))?;
            self.out.write_all(b"\n")?;
            return Ok(());
        }
        if self.args.csv {
            if self.found == 1 {
                self.csv_line(&CSV_HEADINGS.map(str::to_owned))?;
            }
            return self.csv_row(row, facts);
        }
        if self.found == 1 {
            let heading =
                format!("{:14}  {:7}  {:8}  {:20}  {:9} RECORD", "TIME", "INDEX", "SESSION", "AGENT", "WHAT");
            writeln!(self.out, "{}", self.look.paint(Tone::Strong, &heading))?;
        }
        writeln!(self.out, "{}", one_line(self.look, row, facts))?;
        Ok(())
    }

    fn finish(&mut self, len: u64) -> anyhow::Result<()> {
        if self.args.count {
            writeln!(self.out, "{}", self.found)?;
        } else if !self.args.json && !self.args.csv {
            let said = match self.found {
                0 => format!("nothing matches among {}", text::counted(len, "record")),
                n => format!(
                    "{} of {} · fdr show @INDEX for one of them",
                    text::count(n),
                    text::counted(len, "record")
                ),
            };
            writeln!(self.out, "{}", self.look.paint(Tone::Dim, &said))?;
        } else if self.args.csv && self.found == 0 {
            self.csv_line(&CSV_HEADINGS.map(str::to_owned))?;
        }
        Ok(())
    }

    /// One line for each canonical action of a call, one for any other record.
    fn csv_row(&mut self, row: &Row, facts: &Facts) -> anyhow::Result<()> {
        let record = row.record();
        let agent = record.and_then(|record| record.agent.as_ref());
        let head = [
            row.index.to_string(),
            row.when().to_string(),
            row.id().map(|id| id.to_string()).unwrap_or_default(),
            row.session().unwrap_or_default().to_owned(),
            agent.map(|agent| agent.name.clone()).unwrap_or_default(),
            agent.map(|agent| agent.runtime.clone()).unwrap_or_default(),
            row.kind().to_owned(),
        ];
        let (effective, by, _) = facts.effective();
        let judged = matches!(row.body(), Some(Body::Action(_) | Body::Result(_)));
        let decision = if judged { effective.as_str().to_uppercase() } else { String::new() };
        let by = match by.filter(|_| judged) {
            Some(Decider::Policy) => "policy",
            Some(Decider::Runtime(by)) => by.as_str(),
            None => "",
        };
        let outcome = facts.outcome.map(|outcome| outcome.as_str()).unwrap_or_default();
        let duration = facts.duration_ms.map(|ms| ms.to_string()).unwrap_or_default();
        let tool = row.body().and_then(tool_of).unwrap_or_default();
        let (scope, policies) = match row.body() {
            Some(Body::Action(body)) => (
                body.intent.as_ref().map(|check| check.scope.as_str()).unwrap_or_default(),
                body.policy.policies.join(" "),
            ),
            _ => ("", String::new()),
        };
        let line = |verb: &str, resource: &str, summary: &str, destructive: bool, tamper: bool| {
            let tail = [verb, resource, tool, summary, &decision, by, outcome, &duration];
            let flag = |flag: bool| match row.body() {
                Some(Body::Action(_)) => flag.to_string(),
                _ => String::new(),
            };
            let last = [flag(destructive), scope.to_owned(), policies.clone(), flag(tamper)];
            head.iter().cloned().chain(tail.map(str::to_owned)).chain(last).collect::<Vec<String>>()
        };
        match row.body() {
            Some(Body::Action(body)) if !body.actions.is_empty() => {
                for action in &body.actions {
                    self.csv_line(&line(
                        action.action.as_str(),
                        action.resource.as_str(),
                        &body.summary,
                        action.destructive,
                        action.tamper,
                    ))?;
                }
                Ok(())
            }
            Some(Body::Action(body)) => self.csv_line(&line("", "", &body.summary, body.destructive, false)),
            _ => self.csv_line(&line("", "", &line::sentence(row, &Places::default()), false, false)),
        }
    }

    fn csv_line(&mut self, cells: &[String]) -> anyhow::Result<()> {
        let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        write!(self.out, "{}\r\n", cells.join(","))?;
        Ok(())
    }
}

/// A cell by RFC 4180. A record is hostile text: what a spreadsheet would run as a formula is
/// made plain text by a `'`, and control characters are escaped.
fn csv_cell(cell: &str) -> String {
    let mut cell = text::line(cell);
    if cell.starts_with(['=', '+', '-', '@']) {
        cell.insert(0, '\'');
    }
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn a_cell_is_quoted_when_it_must_be_and_never_a_formula() {
        assert_eq!(csv_cell("plain"), "plain");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(csv_cell("a\nb\u{202e}"), "a\\nb\\u{202e}");
    }
}
