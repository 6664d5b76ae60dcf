//! What can be typed, and which command it calls.

use crate::home::Home;
use crate::{
    approvals, bundle, cat, config, control, demo, doctor, erase, export, harness, import, install, intent,
    keys, mcp_proxy, normalize, policy, query, reconcile, recorder, replay, retain, run, seal, sessions,
    show, tail, timestamp, verify, watch, witness,
};
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// The flight data recorder for AI agents: what they saw, decided and executed, in one
/// append-only, tamper-evident trail.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 fine; 1 the answer is no (nothing found, damaged, not running); 2 it could not be done.\nEverything of one recorder lives in one folder: --home, $FDR_HOME, or ~/.local/state/fdr."
)]
pub struct Cli {
    /// The recorder's folder.
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a real agent session in a temporary folder, show it, verify it, and attack it.
    Demo(demo::DemoArgs),
    /// Set up capture for an agent.
    Install(install::InstallArgs),
    /// Undo `fdr install`.
    Uninstall(install::UninstallArgs),
    /// Say whether capture is really in place.
    Doctor(doctor::DoctorArgs),
    /// Say what holds each agent on this machine, and what is weak about it.
    Harness(harness::HarnessArgs),
    /// Run an agent with capture on for that run alone: fdr run -- claude …
    Run(run::RunArgs),
    /// List sessions.
    Sessions(sessions::SessionsArgs),
    /// Show a session as a timeline, or one record.
    Show(show::ShowArgs),
    /// Join what hooks, transcript and MCP proxy tell of a session, and say where they disagree.
    Reconcile(reconcile::ReconcileArgs),
    /// Print the newest records, and follow.
    Tail(tail::TailArgs),
    /// Find records.
    Query(query::QueryArgs),
    /// Print the log as JSON lines, byte for byte as stored.
    Cat(cat::CatArgs),
    /// Recompute the whole log and say what holds and what could not be excluded.
    Verify(verify::VerifyArgs),
    /// Print a signed checkpoint of the log, for keeping elsewhere.
    Checkpoint {
        /// The newest one that a witness has signed, with its signature.
        #[arg(long)]
        witnessed: bool,
    },
    /// Write a proof that a record is in the log.
    Prove(verify::ProveArgs),
    /// Pack records and their proofs for somebody who has no fdr, or check such a file.
    Bundle(bundle::BundleArgs),
    /// Write the log in a form that other people's tools read.
    Export(export::ExportArgs),
    /// Check, test and explain policies.
    Policy(policy::PolicyArgs),
    /// Declare and show what a session is about.
    Intent(intent::IntentArgs),
    /// Answer what agents ask for.
    Approvals(approvals::ApprovalsArgs),
    /// Decide on the recorded actions again, under another policy set, and say what changes.
    Replay(replay::ReplayArgs),
    /// Say how long records are kept, hold them, and remove what may go.
    Retain(retain::RetainArgs),
    /// Have checkpoints time-stamped by an authority, and show what was.
    Timestamp(timestamp::TimestampArgs),
    /// Be a witness for other hosts' logs.
    Witness(witness::WitnessArgs),
    /// Hand out the key that checks the seals of heartbeats.
    Seal(seal::SealArgs),
    /// Destroy the keys of what was recorded of a session or a person; the log stays valid.
    Erase(erase::EraseArgs),
    /// Say how the keys are that contents are sealed under, and wrap them anew.
    Keys(keys::KeysArgs),
    /// Take in the transcripts that an agent keeps on disk.
    Import(import::ImportArgs),
    /// Say what a command or a payload means in canonical words.
    Normalize(normalize::NormalizeArgs),
    /// Stand between an agent and an MCP server and record what they say.
    McpProxy(mcp_proxy::McpProxyArgs),
    /// Run the recorder. The first event of an agent starts it by itself.
    Serve {
        /// Detach from the terminal's session.
        #[arg(long)]
        background: bool,
    },
    /// Hand the transcripts of your agents to the machine's recorder, which can't read them.
    Watch(watch::WatchArgs),
    /// Say whether the recorder runs, and how it is.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop the recorder in good order.
    Stop,
    /// Check the configuration file, or print a documented one.
    Config {
        /// `check` reads the file and says whether it is valid.
        #[arg(value_parser = ["check"])]
        action: Option<String>,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Reads the command line; prints help, version and mistakes by itself.
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// Carries out the command; the value is the exit status.
    ///
    /// # Errors
    /// When it could not be done.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<u8> {
        let home = Home::find(self.home.as_deref())?;
        let dir = home.dir();
        match self.command {
            Command::Demo(args) => demo::run(&args, out),
            Command::Install(args) => install::install(&args, &home, out),
            Command::Uninstall(args) => install::uninstall(&args, out),
            Command::Doctor(args) => doctor::run(&args, &home, out),
            Command::Harness(args) => harness::run(&args, dir, out),
            Command::Run(args) => run::run(&args, &home),
            Command::Sessions(args) => sessions::run(&args, dir, out),
            Command::Show(args) => show::run(&args, dir, out),
            Command::Reconcile(args) => reconcile::run(&args, &home, out),
            Command::Tail(args) => tail::run(&args, dir, out),
            Command::Query(args) => query::run(&args, dir, out),
            Command::Cat(args) => cat::run(&args, dir, out),
            Command::Verify(args) => verify::verify(&args, &home, out),
            Command::Checkpoint { witnessed: false } => control::checkpoint(&home, out),
            Command::Checkpoint { witnessed: true } => witness::print_newest(&home, out),
            Command::Prove(args) => verify::prove(&args, &home, out),
            Command::Bundle(args) => bundle::run(&args, &home, out),
            Command::Export(args) => export::run(&args, &home, out),
            Command::Policy(args) => policy::run(args, &home, out),
            Command::Intent(args) => intent::run(args, &home, out),
            Command::Approvals(args) => approvals::run(args, &home, out),
            Command::Replay(args) => replay::run(&args, &home, out),
            Command::Retain(args) => retain::run(args, &home, out),
            Command::Timestamp(args) => timestamp::run(&args, &home, out),
            Command::Witness(args) => witness::run(&args, out),
            Command::Seal(args) => seal::run(&args, &home, out),
            Command::Erase(args) => erase::run(args, &home, out),
            Command::Keys(args) => keys::run(&args, &home, out),
            Command::Import(args) => import::run(&args, &home, out),
            Command::Normalize(args) => normalize::run(&args, out),
            Command::McpProxy(args) => mcp_proxy::run(&args, home.front()),
            Command::Watch(args) => watch::run(&args, &home),
            Command::Serve { background } => serve(home, background, out),
            Command::Status { json } => control::status(&home, json, out),
            Command::Stop => control::stop(&home, out),
            Command::Config { action: None } => Ok(out.write_all(config::EXAMPLE.as_bytes()).map(|()| 0)?),
            Command::Config { action: Some(_) } => {
                config::Config::load(&home)?;
                writeln!(out, "{} is valid", home.config().display())?;
                Ok(0)
            }
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "fdr", &mut &mut *out);
                Ok(0)
            }
        }
    }
}

fn serve(home: Home, background: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    if background {
        // The agent's end must not take the recorder with it.
        let _ = rustix::process::setsid();
    }
    let config = config::Config::load(&home)?;
    recorder::serve(home, &config, &mut |recorder| {
        if !background {
            let _ = writeln!(out, "{}", recorder.greeting());
            let _ = out.flush();
        }
    })?;
    Ok(0)
}
