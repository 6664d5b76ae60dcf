//! `fdr normalize`: what a command or a payload means in canonical words, without recording it.

use fdr_capture::{Arrival, State};
use fdr_record::{ContentKey, Env, Mode, Normalised, Observed, shell};
use std::io::{Read, Write};

/// Says what a command or a payload means in canonical words, without recording it.
#[derive(Debug, clap::Args)]
pub struct NormalizeArgs {
    /// `shell`, or a runtime whose payload is read from standard input: claude-code, codex,
    /// gemini-cli, hermes, opencode, openclaw, cursor
    pub what: String,
    /// The name of the event, where the payload does not say it
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// Working directory for relative paths. Default: this one.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// Home folder for `~`. Default: yours.
    #[arg(long, value_name = "DIR")]
    pub home_dir: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The shell command.
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// `fdr normalize`.
///
/// # Errors
/// When the runtime is not known, or there is no command.
pub fn run(args: &NormalizeArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let cwd = match &args.cwd {
        Some(cwd) => std::path::absolute(cwd)?.to_string_lossy().into_owned(),
        None => std::env::current_dir()?.to_string_lossy().into_owned(),
    };
    let home = args.home_dir.clone().or_else(|| std::env::var("HOME").ok()).unwrap_or_else(|| "/".to_owned());
    match args.what.as_str() {
        "shell" => {
            let command = match args.command.as_slice() {
                [] => read_stdin().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?,
                words => words.join(" "),
            };
            let found = shell::normalise(&command, &shell::Context { cwd: &cwd, home: &home });
            print_actions(&found, args.json, out)?;
        }
        name => {
            let Some(runtime) = fdr_capture::runtime(name) else {
                anyhow::bail!("'{}' is not known\n  known are: shell, {}", crate::text::line(name), names())
            };
            let (now, mono) = (crate::surroundings::wall_clock(), crate::surroundings::boot_clock());
            let arrival = Arrival {
                now,
                mono,
                observed: Observed::default(),
                principal: None,
                env: Env { cwd: Some(cwd), ..Env::default() },
                variables: Vec::new(),
                home,
                mode: Mode::Observe,
                content_key: &ContentKey::new([0; 32]),
                redacted: 0,
                attachment: None,
                identities: Vec::new(),
                ancestors: Vec::new(),
            };
            let payload = read_stdin()?;
            let event = args.event.as_deref().unwrap_or_default();
            let captured = (runtime.hook)(event, &payload, &arrival, &mut State::default());
            for record in captured.records {
                out.write_all(&record.to_line())?;
                writeln!(out)?;
            }
        }
    }
    Ok(0)
}

/// The runtimes that are known.
pub fn names() -> String {
    fdr_capture::RUNTIMES.map(|runtime| runtime.name).join(", ")
}

fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn print_actions(found: &Normalised, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, found)?;
        writeln!(out)?;
        return Ok(());
    }
    for action in &found.actions {
        let to = action.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
        let flags = [(action.recursive, " recursive"), (action.destructive, " destructive")];
        let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        writeln!(
            out,
            "{:9} {}{flags}",
            action.action.as_str(),
            crate::text::line(&format!("{}{to}", action.resource))
        )?;
    }
    for reason in &found.opaque {
        writeln!(out, "opaque    {}", crate::text::line(reason))?;
    }
    Ok(())
}
