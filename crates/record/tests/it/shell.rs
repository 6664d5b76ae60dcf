//! The shell normaliser, case by case: `shell/*.txt` holds a command and what it must give.
//!
//! ```text
//! # a remark
//! $ rm -rf build
//!   delete file:/home/dev/proj/build recursive destructive
//!   opaque: part of a reason
//!   hazard: command_word
//!   named: file:/etc/hosts
//! ```
//! A command goes on over lines that begin with `> `. The actions are the whole list, in order;
//! each reason must be matched by one `opaque:` line, and each such line by a reason; hazards and
//! what code names are whole lists as well. The
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
#[derive(Default)]
struct Case {
    command: String,
    actions: Vec<String>,
    opaque: Vec<String>,
    hazards: Vec<String>,
    named: Vec<String>,
    /// What stands below the command.
    lines: Vec<String>,
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
            cases.push(Case { command: command.to_owned(), ..Case::default() });
        } else if let Some(case) = cases.last_mut() {
            if let Some(more) = line.strip_prefix("> ").or((line == ">").then_some("")) {
                case.command.push('\n');
                case.command.push_str(more);
                continue;
            }
            if line.starts_with("  ") {
                case.lines.push(line.to_owned());
            }
            if let Some(reason) = line.strip_prefix("  opaque: ") {
                case.opaque.push(reason.to_owned());
            } else if let Some(hazard) = line.strip_prefix("  hazard: ") {
                case.hazards.push(hazard.to_owned());
            } else if let Some(name) = line.strip_prefix("  named: ") {
                case.named.push(name.to_owned());
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
    actions
        .chain(found.opaque.iter().map(|o| format!("  opaque: {o}")))
        .chain(found.hazards.iter().map(|h| format!("  hazard: {}", h.as_str())))
        .chain(found.named.iter().map(|n| format!("  named: {n}")))
        .collect()
}

fn holds(case: &Case, found: &Normalised) -> bool {
    let actions: Vec<String> = found.actions.iter().map(shown).collect();
    actions == case.actions
        && found.hazards.iter().map(|h| h.as_str()).eq(case.hazards.iter())
        && found.named.iter().map(|n| n.as_str()).eq(case.named.iter())
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
                let want = case
                    .actions
                    .iter()
                    .cloned()
                    .chain(case.opaque.iter().map(|o| format!("opaque: {o}")))
                    .chain(case.hazards.iter().map(|h| format!("hazard: {h}")))
                    .chain(case.named.iter().map(|n| format!("named: {n}")));
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
            let cases = cases(&table);
            let mut cases = cases.iter();
            let mut pending: Option<String> = None;
            for line in table.lines().chain([""]) {
                if line.starts_with("> ") || line == ">" {
                    if let Some(command) = &mut pending {
                        command.push('\n');
                        command.push_str(line.strip_prefix("> ").unwrap_or(""));
                    }
                } else if let Some(command) = pending.take() {
                    let found = normalise(&command, &CONTEXT);
                    // A case that holds keeps the parts of its reasons that were written down.
                    let case = cases.next().filter(|case| holds(case, &found));
                    for line in case.map_or_else(|| lines(&found), |case| case.lines.clone()) {
                        fresh.push_str(&line);
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

/// What holds for every answer, whatever the command.
fn check_invariants(command: &str, found: &Normalised) {
    assert!(!found.actions.is_empty(), "no action: {command:?}");
    for action in &found.actions {
        for resource in [Some(&action.resource), action.to.as_ref()].into_iter().flatten() {
            if resource.kind() == "file" {
                let path = resource.name();
                assert_eq!(path, fdr_record::clean_path(path, "/"), "{command:?}");
            }
        }
    }
    assert!(found.hazards.is_empty() || !found.opaque.is_empty(), "a hazard without a reason: {command:?}");
    let again: HashSet<_> = found.actions.iter().map(|a| (a.action, &a.resource, &a.to)).collect();
    assert_eq!(again.len(), found.actions.len(), "an action stands twice: {command:?}");
}

/// Far above what any of these take; a machine under load must not fail the test.
const PATIENCE: Duration = Duration::from_secs(20);

fn normalised_in_time(command: &str) -> Normalised {
    let start = Instant::now();
    let found = normalise(command, &CONTEXT);
    let taken = start.elapsed();
    let shown: String = command.chars().take(80).collect();
    assert!(taken < PATIENCE, "{taken:?} for {shown:?}…");
    check_invariants(&shown, &found);
    found
}

#[test]
fn deep_nesting_and_large_input_end_in_a_reason_not_in_a_crash() {
    // A thread's stack on the platforms with the smallest default.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let deep = 100_000;
        for unit in [
            "(",
            "((",
            "$(",
            "\"$(",
            "${x:-",
            "`",
            "{ ",
            "[[ ",
            "$((",
            "<(",
            "if ",
            "while ",
            "case x in x) ",
            "f() { ",
            "! ",
            "x=(",
            "a[",
            "@(",
            "$[",
            "{a,",
            "for i in a; do ",
            "\"${x:-",
            "<<a ",
            "&& ",
            "{",
            "sudo ",
            "env ",
            "bash -c ",
            "eval ",
            "a|",
            "a;",
            "> f ",
            "f$(",
            "a=$(",
            "coproc ",
            "time ",
            "\\\n",
            "'",
            "\"",
            "#",
            "function f ",
            "${x[",
            "$((a[",
            "a[a]=b ",
            "x+=(",
        ] {
            let command = unit.repeat(deep / unit.len());
            normalised_in_time(&command);
            normalised_in_time(&format!("{command}rm x"));
        }
        let closed = format!("{}rm x{}", "(".repeat(deep), ")".repeat(deep));
        assert!(!normalised_in_time(&closed).opaque.is_empty());
        let long = "a".repeat(fdr_record::shell::MAX_COMMAND_BYTES + 1);
        assert!(!normalised_in_time(&long).opaque.is_empty());
    });
    thread.expect("a thread starts").join().expect("no case crashes");
}

#[test]
fn what_multiplies_ends_in_a_reason() {
    let twenty = "for i in 1 2 3 4 5 6 7 8 9 10; do ".repeat(20) + "rm x$i;" + &" done;".repeat(20);
    let doubling =
        (1..60).map(|i| format!("f{i}() {{ f{}; f{}; }}; ", i - 1, i - 1)).collect::<String>() + "f59";
    let growing = "a=aaaaaaaa; ".to_owned() + &"a=$a$a$a; ".repeat(60) + "rm $a";
    let braces = "rm ".to_owned() + &"{a,b}".repeat(60);
    let sequence = "rm {1..1000000000}".to_owned();
    let files = "rm ".to_owned() + &(0..30_000).map(|i| format!("f{i} ")).collect::<String>();
    let variables = (0..20_000).map(|i| format!("v{i}=1;")).collect::<String>() + "rm $v3";
    let subshells = (0..300).map(|i| format!("v{i}=1;")).collect::<String>() + &"(x=1);".repeat(20_000);
    let shells = "bash -c '".to_owned() + &"rm x; ".repeat(20_000) + "'";
    for command in [twenty, doubling, growing, braces, sequence, files, variables] {
        assert!(!normalised_in_time(&command).opaque.is_empty(), "{}", &command[..60]);
    }
    normalised_in_time(&shells);
    normalised_in_time(&subshells);
}

#[test]
fn code_of_any_shape_is_looked_at_in_time() {
    for unit in [
        "open(",
        "os.",
        "'",
        "'\"",
        "import ",
        "const {a ",
        "getattr(",
        "{",
        "x as y,",
        "qw(",
        "\\x41",
        "a[b](",
        "/a/",
        "'/a' + ",
        "fileinput inplace=",
        "unlink ",
        "\n",
    ] {
        for name in ["python3", "node", "perl", "php"] {
            let code = unit.repeat(200_000 / unit.len());
            normalised_in_time(&format!("{name} - <<'END'\n{code}\nEND\n"));
        }
    }
}

#[test]
fn unknown_places_are_opaque_not_guessed() {
    let nowhere = Context { cwd: "", home: "" };
    for command in ["rm x", "rm ~/x", "rm \"$HOME/x\"", "cat < x", "cd x && rm y"] {
        let found = normalise(command, &nowhere);
        check_invariants(command, &found);
        assert!(!found.opaque.is_empty(), "{command}");
        assert!(found.actions.iter().all(|a| a.resource.kind() != "file"), "{command}");
    }
    assert!(normalise("rm /x", &nowhere).opaque.is_empty());
}

#[test]
fn the_documentation_lists_every_command() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/shell.md");
    let text = std::fs::read_to_string(document).expect("docs/shell.md is part of the sources");
    let listed: HashSet<&str> = text.split('`').skip(1).step_by(2).collect();
    let mut seen = HashSet::new();
    for (family, names) in commands() {
        for name in names {
            assert!(seen.insert(name), "`{name}` stands twice in the table");
            assert!(listed.contains(name), "`{name}` ({family}) is not in docs/shell.md");
        }
    }
    assert!(seen.len() >= 250, "only {} commands", seen.len());
}

fn pieces() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "rm",
        "x",
        " ",
        " ",
        "-rf",
        "/",
        "$X",
        "$(",
        ")",
        "\"",
        "'",
        "`",
        ";",
        "&&",
        "||",
        "|",
        "&",
        "\n",
        ">",
        "<",
        "<<E\n",
        "E\n",
        "{",
        "}",
        "(",
        "((",
        "))",
        "[[",
        "]]",
        "if ",
        "then ",
        "fi",
        "for i in ",
        "do ",
        "done",
        "case ",
        "esac",
        "in ",
        "#",
        "\\",
        "$",
        "${",
        "*",
        "?",
        "[",
        "]",
        "=",
        "+=",
        "~",
        "..",
        ",",
        "!",
        "@",
        "é",
        "\u{200b}",
        "\0",
        "\r\n",
        "\t",
        "sudo ",
        "bash -c ",
        "find . -exec ",
        "xargs ",
        "sed -i ",
        "git push ",
        "curl ",
        "eval ",
        "cd ",
        "echo ",
        "%s",
        "{}",
        "docker run ",
        "psql -c ",
        "awk ",
        "tar ",
        "ssh h ",
        "printf ",
        "python3 -c ",
        "node -e ",
        "perl -e ",
        "import os",
        "open(",
        "getattr(",
        "/etc/x",
        "~/",
        "as",
        "qw(",
        "export ",
        "--",
        "-",
        "=~",
        "function f ",
    ];
    proptest::collection::vec(proptest::sample::select(WORDS), 0..40).prop_map(|v| v.concat())
}

fn table_commands() -> Vec<String> {
    tables().iter().flat_map(|(_, table)| cases(table)).map(|case| case.command).collect()
}

/// A command of the tables with parts cut out, doubled, or replaced by something else.
fn mutations() -> impl Strategy<Value = String> {
    let commands = table_commands();
    let edit = (any::<prop::sample::Index>(), 0usize..6, pieces());
    (proptest::sample::select(commands), proptest::collection::vec(edit, 1..4)).prop_map(
        |(command, edits)| {
            let mut chars: Vec<char> = command.chars().collect();
            for (at, length, piece) in edits {
                if chars.is_empty() {
                    break;
                }
                let at = at.index(chars.len());
                let end = (at + length).min(chars.len());
                chars.splice(at..end, piece.chars());
            }
            chars.into_iter().collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        // More on demand: PROPTEST_CASES=100000.
        cases: ProptestConfig::default().cases.max(2000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_gives_a_sound_answer(command in any::<String>()) {
        normalised_in_time(&command);
    }

    #[test]
    fn any_pieces_of_shell_give_a_sound_answer(command in pieces()) {
        normalised_in_time(&command);
    }

    #[test]
    fn any_change_to_a_command_of_the_tables_gives_a_sound_answer(command in mutations()) {
        normalised_in_time(&command);
    }
}
