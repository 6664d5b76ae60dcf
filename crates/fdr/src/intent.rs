//! `fdr intent`: what a session was asked for, as a scope, and its actions against that.

use crate::held::Declare;
use crate::home::Home;
use crate::text::{self, Look, LookArgs, Tone};
use crate::trail::Trail;
use anyhow::Context;
use fdr_hook::wire::Op;
use fdr_record::{Body, InScope, Intent, IntentSource, Record, ScopeRule};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// The longest rules that are read, in bytes.
const MAX_RULES_BYTES: u64 = 64 * 1024;

/// `fdr intent`.
#[derive(Debug, clap::Args)]
pub struct IntentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Declare what a session is about, beside its prompts: later prompts narrow it, and never
    /// widen it.
    Set {
        /// The session: the beginning of its id, or a whole id that is not known yet.
        session: String,
        /// Rules, such as: allow write file:src/** ; deny send ; only
        #[arg(required_unless_present = "file")]
        rules: Option<String>,
        /// Read the rules from a file; `-` for standard input.
        #[arg(long, conflicts_with = "rules")]
        file: Option<PathBuf>,
        /// How long it is in force, in minutes; as long as the session, if not given.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Print the prompts of a session, their scopes, and the actions against them.
    Show {
        /// The session: the beginning of its id.
        session: String,
        /// Print the records instead, one JSON line each.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        look: LookArgs,
    },
}

/// Carries out the command.
///
/// # Errors
/// When there is no such session, the rules can't be read, or the recorder refuses.
pub fn run(args: IntentArgs, home: &Home, out: &mut dyn Write) -> anyhow::Result<u8> {
    match args.command {
        Command::Set { session, rules, file, minutes } => {
            let rules = match (rules, file) {
                (Some(rules), _) => rules,
                (None, Some(file)) => read(&file)?,
                (None, None) => String::new(),
            };
            let session = known(home, &session).unwrap_or(session);
            let cwd =
                std::env::current_dir().map(|cwd| cwd.to_string_lossy().into_owned()).unwrap_or_default();
            let declare = Declare { session, rules, minutes, cwd };
            let intent: Intent =
                serde_json::from_slice(&crate::approvals::send(home, Op::Intent, &declare)?)?;
            writeln!(out, "session {}", text::line(&declare.session))?;
            print_intent(&intent, out)?;
            Ok(0)
        }
        Command::Show { session, json, look } => show(home, &session, json, &Look::new(&look), out),
    }
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_RULES_BYTES).read_to_string(&mut text)?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("can't read {}", file.display()))?;
        opened.take(MAX_RULES_BYTES).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The whole id of a session that is recorded.
fn known(home: &Home, prefix: &str) -> Option<String> {
    let sessions = Trail::open(home.dir()).ok()?.candidates(prefix).ok()?.sessions;
    let mut main = sessions.into_iter().filter(|(_, of)| of.is_none()).map(|(session, _)| session);
    main.next().filter(|_| main.next().is_none())
}

fn print_intent(intent: &Intent, out: &mut dyn Write) -> anyhow::Result<()> {
    let source = match intent.source {
        IntentSource::Declared => "declared",
        IntentSource::Derived => "read from the prompt",
        IntentSource::Classifier => "read from the prompt by the classifier",
    };
    writeln!(out, "intent  {} ({source})", text::line(&intent.summary))?;
    let rule = |rule: &ScopeRule| {
        let verbs: Vec<&str> = rule.actions.iter().map(|verb| verb.as_str()).collect();
        let verbs = if verbs.is_empty() { "anything".to_owned() } else { verbs.join(", ") };
        let words = if rule.words.is_empty() {
            String::new()
        } else {
            format!("   (\"{}\")", text::line(&rule.words))
        };
        format!("{verbs} {}{words}", text::line(&rule.resource))
    };
    for allowed in &intent.allow {
        writeln!(out, "  allow   {}", rule(allowed))?;
    }
    for excluded in &intent.exclude {
        writeln!(out, "  exclude {}", rule(excluded))?;
    }
    if intent.closed {
        writeln!(out, "  and nothing else")?;
    }
    Ok(())
}

fn show(home: &Home, prefix: &str, json: bool, look: &Look, out: &mut dyn Write) -> anyhow::Result<u8> {
    let trail = Trail::open(home.dir())?;
    let session = known(home, prefix)
        .with_context(|| format!("there is no one session {prefix}\n  to list them:  fdr sessions"))?;
    let mut counts = [0_u64; 4];
    trail.scan(0, u64::MAX, |entry| {
        let row = trail.read(entry);
        if let Some(record) = row.record().filter(|record| concerns(record, &session)) {
            if json {
                out.write_all(&record.to_line())?;
                writeln!(out)?;
            } else {
                print(record, look, &mut counts, out)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if !json {
        writeln!(
            out,
            "\n{} in scope, {} out of scope, {} unclear, {} without an intent",
            counts[0], counts[1], counts[2], counts[3]
        )?;
    }
    Ok(trail.finish(0))
}

fn concerns(record: &Record, session: &str) -> bool {
    fdr_policy::session::governing(record) == Some(session)
        && matches!(record.body, Body::Prompt(_) | Body::Intent(_) | Body::Action(_))
}

fn print(record: &Record, look: &Look, counts: &mut [u64; 4], out: &mut dyn Write) -> anyhow::Result<()> {
    match &record.body {
        Body::Prompt(prompt) => {
            writeln!(out, "\n{}  PROMPT  \"{}\"", look.clock(record.ts), text::line(&prompt.preview))?
        }
        Body::Intent(intent) => print_intent(intent, out)?,
        Body::Action(body) => {
            let (at, tone, scope, reason) = match &body.intent {
                Some(check) => {
                    let (at, tone) = match check.scope {
                        InScope::InScope => (0, Tone::Plain),
                        InScope::OutOfScope => (1, Tone::Bad),
                        InScope::Unclear => (2, Tone::Plain),
                    };
                    (at, tone, check.scope.as_str(), check.reason.as_str())
                }
                None => (3, Tone::Plain, "none", ""),
            };
            counts[at] += 1;
            let action = body
                .actions
                .first()
                .map_or_else(String::new, |action| format!("{} {}", action.action, action.resource));
            writeln!(
                out,
                "{}  {}  {}  {}  {}",
                look.clock(record.ts),
                look.paint(tone, &format!("{scope:<12}")),
                text::pad(body.policy.decision.as_str(), 6),
                text::line(&action),
                text::line(reason)
            )?;
        }
        _ => {}
    }
    Ok(())
}
