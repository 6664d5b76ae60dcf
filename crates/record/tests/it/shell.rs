//! The shell normaliser, case by case: `shell/*.txt` holds a command and what it must give.
//!
//! ```text
//! # a remark
//! $ rm -rf build
//!   delete file:/home/dev/proj/build recursive destructive
//!   opaque: part of a reason
//! ```
//! A command goes on over lines that begin with `> `. The actions are the whole list, in order;
//! each reason must be matched by one `opaque:` line, and each such line by a reason. The
//! working directory is `/home/dev/proj`, the home `/home/dev`.
//!
//! `FDR_BLESS=1 cargo test -p fdr-record shell` writes what the normaliser says into the files,
//! to be read before it is committed.

use fdr_record::shell::{Context, commands, normalise};
use fdr_record::{Action, Normalised};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONTEXT: Context<'static> = Context { cwd: "/home/dev/proj", home: "/home/dev" };

/// One command of a table, with the lines it must give.
struct Case {
    command: String,
    actions: Vec<String>,
    opaque: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shell")
}

fn tables() -> Vec<(PathBuf, String)> {
    let mut tables: Vec<(PathBuf, String)> = std::fs::read_dir(folder())
        .expect("the folder of the tables is part of the sources")
        .map(|entry| entry.expect("a table is listed").path())
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("a table is text")))
        .collect();
    tables.sort();
    tables
}

fn cases(table: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in table.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            cases.push(Case { command: command.to_owned(), actions: Vec::new(), opaque: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            if let Some(more) = line.strip_prefix("> ").or((line == ">").then_some("")) {
                case.command.push('\n');
                case.command.push_str(more);
            } else if let Some(reason) = line.strip_prefix("  opaque: ") {
                case.opaque.push(reason.to_owned());
            } else if let Some(action) = line.strip_prefix("  ") {
                case.actions.push(action.to_owned());
            }
        }
    }
    cases
}

fn shown(action: &Action) -> String {
    let mut line = format!("{} {}", action.action, action.resource);
    if let Some(to) = &action.to {
        let _ = write!(line, " -> {to}");
    }
    if action.recursive {
        line.push_str(" recursive");
    }
    if action.destructive {
        line.push_str(" destructive");
    }
    line
}

fn lines(found: &Normalised) -> Vec<String> {
    let actions = found.actions.iter().map(|a| format!("  {}", shown(a)));
    actions.chain(found.opaque.iter().map(|o| format!("  opaque: {o}"))).collect()
}

fn holds(case: &Case, found: &Normalised) -> bool {
    let actions: Vec<String> = found.actions.iter().map(shown).collect();
    actions == case.actions
        && found.opaque.len() == case.opaque.len()
        && case.opaque.iter().zip(&found.opaque).all(|(want, reason)| reason.contains(want.as_str()))
}

#[test]
fn every_command_of_the_tables_gives_what_stands_below_it() {
    let bless = std::env::var_os("FDR_BLESS").is_some();
    let mut wrong = String::new();
    let mut count = 0;
    for (path, table) in tables() {
        let mut fresh = String::new();
        for case in cases(&table) {
            count += 1;
            let found = normalise(&case.command, &CONTEXT);
            if !holds(&case, &found) {
                let want =
                    case.actions.iter().cloned().chain(case.opaque.iter().map(|o| format!("opaque: {o}")));
                let want: Vec<String> = want.map(|l| format!("  {l}")).collect();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let _ = writeln!(
                    wrong,
                    "{name}: {}\nwanted:\n{}\nfound:\n{}\n",
                    case.command,
                    want.join("\n"),
                    lines(&found).join("\n")
                );
            }
        }
        if bless {
            // Commands and remarks stay; what follows a command is written anew.
            let mut pending: Option<String> = None;
            for line in table.lines().chain([""]) {
                if line.starts_with("> ") || line == ">" {
                    if let Some(command) = &mut pending {
                        command.push('\n');
                        command.push_str(line.strip_prefix("> ").unwrap_or(""));
                    }
                } else if let Some(command) = pending.take() {
                    for found in lines(&normalise(&command, &CONTEXT)) {
                        fresh.push_str(&found);
                        fresh.push('\n');
                    }
                }
                if let Some(command) = line.strip_prefix("$ ") {
                    pending = Some(command.to_owned());
                }
                if !line.starts_with("  ") {
                    fresh.push_str(line);
                    fresh.push('\n');
                }
            }
            std::fs::write(&path, fresh.trim_end().to_owned() + "\n").expect("the table can be written");
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
    assert!(count >= 250, "only {count} cases");
}
