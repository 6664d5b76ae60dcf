//! The starter sets, held to tables of what they have to decide (`tables/*.txt`, in the form that
//! `fdr_policy::table` describes).
//!
//! Two kinds of mistakes are counted apart: a **false denial** is work that is asked for or denied
//! although the table says PERMIT, a **miss** is the other way round. Neither may be left but for
//! cases that say so themselves (`known="why"`), and those have to be wrong still.
//!
//! `FDR_TABLES=1 cargo nextest run -p fdr-policy tables --no-capture` prints every decision.

use fdr_policy::table::{Case, parse};
use fdr_policy::{Decision, PolicySet, Source};
use fdr_record::shell::{Context, normalise};
use fdr_record::{Action, Hazard, Names, Normalised, Resource, Verb, Verdict};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

/// What a call means. The commands of a shell are read as ever; of the other tools only as much
/// as the tables need.
fn read(case: &Case) -> Normalised {
    let text = |key: &str| case.input.get(key).and_then(|value| value.as_str()).unwrap_or_default();
    let file = |key: &str| {
        let path = text(key);
        match path.strip_prefix("~/") {
            Some(rest) => Resource::file(rest, &case.home),
            None => Resource::file(path, &case.cwd),
        }
    };
    let own = |name: &str| Resource::new("tool", format_args!("claude-code/{name}"));
    let mut found = Normalised::default();
    let action = match case.tool.as_str() {
        "Bash" => return normalise(text("command"), &Context { cwd: &case.cwd, home: &case.home }),
        "Read" => Action::new(Verb::Read, file("file_path")),
        "LS" => Action::new(Verb::Read, file("path")),
        "Write" | "Edit" => Action::new(Verb::Write, file("file_path")),
        "NotebookEdit" => Action::new(Verb::Write, file("notebook_path")),
        "Glob" | "Grep" => Action::new(Verb::Search, file("path")).recursive(),
        "WebFetch" => Action::new(Verb::Network, Resource::new("url", text("url"))),
        "WebSearch" => Action::new(Verb::Search, own("web")),
        "Agent" => Action::new(Verb::Delegate, Resource::new("agent", "general-purpose")),
        "TodoWrite" => Action::new(Verb::Memory, Resource::new("memory", "tasks")),
        "Skill" => Action::new(Verb::Execute, own("skill/review")),
        "ExitPlanMode" => Action::new(Verb::Configure, own("ExitPlanMode")),
        "BashOutput" => Action::new(Verb::Read, Resource::new("proc", "background/b1")),
        "KillShell" => Action::new(Verb::Execute, Resource::new("proc", "background/b1")),
        tool => match tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
            Some((server, name)) => {
                found.named = Names::new(server, &case.cwd, &case.home).all(&case.input).found;
                Action::new(Verb::Execute, Resource::new("mcp", format_args!("{server}/{name}")))
            }
            None => {
                found.opaque(format!("the tool {tool} is not known to this version"));
                found.hazard(Hazard::UnknownTool);
                Action::new(Verb::Execute, own(tool))
            }
        },
    };
    found.push(action);
    found
}

/// What went wrong in the tables of a set.
#[derive(Default)]
struct Tally {
    cases: usize,
    permitted: usize,
    false_denials: usize,
    misses: usize,
    /// Denied where a person should be asked, or the other way round.
    wrong: usize,
    known_denials: usize,
    known_misses: usize,
    known_wrong: usize,
}

fn decide<'s>(
    sets: &'s mut HashMap<String, PolicySet>,
    case: &Case,
) -> (&'s PolicySet, Normalised, Decision) {
    let set = sets.entry(case.sets.join("+")).or_insert_with(|| {
        let sources: Vec<Source> = case.sets.iter().map(|name| Source::Starter(name.clone())).collect();
        PolicySet::load(&sources).unwrap_or_else(|error| panic!("{}: {error}", case.sets.join("+")))
    });
    let found = read(case);
    let decision = set.decide(&case.record(found.clone()));
    (set, found, decision)
}

fn shown(found: &Normalised) -> String {
    let mut text = String::new();
    for action in &found.actions {
        let _ = write!(text, "\n      {} {}", action.action, action.resource);
        if let Some(to) = &action.to {
            let _ = write!(text, " -> {to}");
        }
        text.push_str(if action.recursive { " recursive" } else { "" });
        text.push_str(if action.destructive { " destructive" } else { "" });
    }
    if !found.hazards.is_empty() {
        let words: Vec<&str> = found.hazards.iter().map(|hazard| hazard.as_str()).collect();
        let _ = write!(text, "\n      hazards {}", words.join(" "));
    }
    for named in &found.named {
        let _ = write!(text, "\n      named {named}");
    }
    for reason in &found.opaque {
        let _ = write!(text, "\n      opaque: {reason}");
    }
    text
}

#[test]
fn the_starter_sets_decide_as_the_tables_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tables");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the tables are part of the sources")
        .map(|entry| entry.expect("a table is listed").path())
        .collect();
    files.sort();
    let print_all = std::env::var_os("FDR_TABLES").is_some();
    let mut sets: HashMap<String, PolicySet> = HashMap::new();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut used: HashSet<String> = HashSet::new();
    let mut report = String::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a table is text");
        let cases = parse(&text).unwrap_or_else(|errors| {
            panic!("{name}:\n{}", errors.iter().map(|error| format!("{error}\n")).collect::<String>())
        });
        for case in cases {
            let (_, found, decision) = decide(&mut sets, &case);
            used.extend(decision.policies.iter().cloned());
            let tally = tallies.entry(case.sets.join("+")).or_default();
            tally.cases += 1;
            tally.permitted += usize::from(case.verdict == Verdict::Permit);
            let by = case.by.as_ref().is_none_or(|by| decision.policies.contains(by));
            let holds = decision.verdict == case.verdict && by;
            if print_all {
                println!("{} {name}:{} {}", decision.verdict.as_str(), case.line, decision.reason);
            }
            let counter = match (case.verdict, decision.verdict, case.known.is_some()) {
                _ if holds && case.known.is_none() => continue,
                _ if holds => {
                    let _ = writeln!(
                        report,
                        "{name}:{}: known as wrong, and right now: {}",
                        case.line, case.text
                    );
                    continue;
                }
                (Verdict::Permit, _, false) => &mut tally.false_denials,
                (Verdict::Permit, _, true) => &mut tally.known_denials,
                (_, Verdict::Permit, false) => &mut tally.misses,
                (_, Verdict::Permit, true) => &mut tally.known_misses,
                (_, _, false) => &mut tally.wrong,
                (_, _, true) => &mut tally.known_wrong,
            };
            *counter += 1;
            if case.known.is_none() {
                let _ = writeln!(
                    report,
                    "{name}:{}: {} {:?}\n   want {} {}\n   got  {} {}{}",
                    case.line,
                    case.tool,
                    case.text,
                    case.verdict.as_str(),
                    case.by.as_deref().unwrap_or_default(),
                    decision.verdict.as_str(),
                    decision.reason,
                    shown(&found)
                );
            }
        }
    }
    println!("set              cases  work  false denials (known)  misses (known)  other (known)");
    let mut all = 0;
    for (set, tally) in &tallies {
        all += tally.cases;
        println!(
            "{set:16} {:5} {:5} {:7} ({}) {:15} ({}) {:14} ({})",
            tally.cases,
            tally.permitted,
            tally.false_denials,
            tally.known_denials,
            tally.misses,
            tally.known_misses,
            tally.wrong,
            tally.known_wrong
        );
    }
    println!("{all} cases");
    assert!(all >= 300, "the tables are there to be long");
    for (set, loaded) in &sets {
        let idle: Vec<&str> =
            loaded.policies().map(|policy| policy.id.as_str()).filter(|id| !used.contains(*id)).collect();
        println!("{set}: policies that determine nothing in the tables: {}", idle.join(", "));
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn what_the_baseline_stops_passes_no_stricter_set() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tables");
    let mut sets: HashMap<String, PolicySet> = HashMap::new();
    let mut report = String::new();
    for name in ["baseline-asked.txt", "baseline-evasions.txt"] {
        let text = std::fs::read_to_string(folder.join(name)).expect("the table is part of the sources");
        for mut case in parse(&text).expect("the table is right") {
            if decide(&mut sets, &case).2.verdict == Verdict::Permit {
                continue;
            }
            for stricter in [&["strict"][..], &["read-only"], &["baseline", "pci"], &["baseline", "hipaa"]] {
                case.sets = stricter.iter().map(|name| (*name).to_owned()).collect();
                let (_, found, decision) = decide(&mut sets, &case);
                if decision.verdict == Verdict::Permit {
                    let _ = writeln!(
                        report,
                        "{name}:{}: {} permits {:?}{}",
                        case.line,
                        stricter.join("+"),
                        case.text,
                        shown(&found)
                    );
                }
            }
            case.sets = vec!["baseline".to_owned()];
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_starter_policy_says_why_and_on_what_grounds() {
    for name in PolicySet::STARTERS {
        let set = PolicySet::load(&[Source::Starter((*name).to_owned())])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for policy in set.policies().filter(|policy| !policy.id.starts_with("fdr/")) {
            assert!(policy.id.starts_with(&format!("{name}/")), "{} is of the set {name}", policy.id);
            assert!(policy.control.contains("800-53") && policy.control.contains("42001"), "{}", policy.id);
            // The reason goes on with a colon and the resource.
            let is_plain = !policy.reason.ends_with(['.', ':']) && !policy.reason.contains('\n');
            assert!(is_plain, "{}: {}", policy.id, policy.reason);
        }
    }
}

/// The tables of policies in `docs/policy.md`, made from the sets themselves; with `FDR_BLESS=1`
/// they are written.
#[test]
fn the_documentation_lists_every_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy.md");
    let text = std::fs::read_to_string(&path).expect("the documentation is part of the sources");
    let mut fresh = text.clone();
    for name in PolicySet::STARTERS {
        let set = PolicySet::load(&[Source::Starter((*name).to_owned())])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut table =
            String::from("\n| Policy | Verdict | What the agent is told | Controls |\n|---|---|---|---|\n");
        let mut policies: Vec<_> = set.policies().filter(|p| p.id.starts_with(&format!("{name}/"))).collect();
        policies.sort_by_key(|policy| policy.line);
        for policy in policies {
            let verdict = match (policy.verdict, policy.four_eyes) {
                (verdict, true) => format!("{}, four eyes", verdict.as_str()),
                (verdict, false) => verdict.as_str().to_owned(),
            };
            let _ =
                writeln!(table, "| `{}` | {verdict} | {} | {} |", policy.id, policy.reason, policy.control);
        }
        let (begin, end) = (format!("<!-- policies of {name} -->"), format!("<!-- end of {name} -->"));
        let from = fresh.find(&begin).unwrap_or_else(|| panic!("{begin} is missing")) + begin.len();
        let to = fresh.find(&end).unwrap_or_else(|| panic!("{end} is missing"));
        fresh.replace_range(from..to, &table);
    }
    if std::env::var_os("FDR_BLESS").is_some() {
        std::fs::write(&path, fresh).expect("the documentation can be written");
    } else {
        assert!(fresh == text, "docs/policy.md is behind the sets: run the test with FDR_BLESS=1");
    }
}
