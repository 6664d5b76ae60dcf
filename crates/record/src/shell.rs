//! Turns a shell command line into what it does: [`normalise`].
//!
//! The command line is text that an agent wrote, perhaps under somebody else's influence. So:
//! - **pure**: no file, no environment, no process is looked at;
//! - **total**: any text gives an answer, in bounded time and on a bounded stack;
//! - **never silent**: what is not certain from the text alone is a reason in
//!   [`Normalised::opaque`], never a guess;
//! - **never empty**: every command line gives at least one action.
//!
//! How: `syntax` reads the bash grammar, `run` walks the commands in the order of the shell and
//! keeps the directory, variables and functions, `expand` turns words into arguments, `invoke`
//! finds out what a command is, `table` says what it does to its operands, and one file for each
//! family holds the commands that have a grammar of their own. `docs/shell.md` has the
//! conventions in plain English.
//!
//! ```
//! use fdr_record::shell::{Context, normalise};
//! let context = Context { cwd: "/home/dev/proj", home: "/home/dev" };
//! let found = normalise("cd src && rm -rf ../build", &context);
//! assert_eq!(found.actions[0].resource.as_str(), "file:/home/dev/proj/build");
//! assert!(found.is_destructive() && found.opaque.is_empty());
//! ```

mod archive;
mod cloud;
mod code;
mod database;
mod expand;
mod files;
mod git;
mod interpreter;
mod invoke;
mod network;
mod options;
mod package;
mod run;
mod syntax;
mod system;
mod table;
mod wrapper;

use crate::{Action, Hazard, Normalised, Resource, Verb};

/// The longest command line that is read, in bytes. A longer one is `execute proc:sh` with a
/// reason.
pub const MAX_COMMAND_BYTES: usize = 256 * 1024;

/// What has to be known about the place where a command line runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'c> {
    /// The working directory, absolute. If it is not, relative paths are opaque.
    pub cwd: &'c str,
    /// The home folder of the user, such as `/home/dev`. If it is empty, `~` and `$HOME` are
    /// opaque.
    pub home: &'c str,
}

/// Says what `command` does when a shell runs it in `context`.
///
/// Actions come in the order in which they would happen, each once; commands of both branches
/// of a condition count as run. Reasons in `opaque` say what the list may lack.
pub fn normalise(command: &str, context: &Context<'_>) -> Normalised {
    if command.len() > MAX_COMMAND_BYTES {
        let mut found = Normalised::default();
        found.push(Action::new(Verb::Execute, Resource::proc("sh")));
        found.hazard(Hazard::CommandWord);
        found.opaque(format!("the command is longer than {MAX_COMMAND_BYTES} bytes and was not read"));
        return found;
    }
    let mut found = run::Shell::new(context).whole(command);
    if TAKEN_OUT.iter().any(|rule| command.contains(rule)) {
        found.hazard(Hazard::CommandWord);
        found.opaque("a private key was taken out of the command: what else stood there is not known");
    }
    found
}

/// What stands in the place of secrets that may span several words (see `scrub`).
const TAKEN_OUT: [&str; 3] =
    ["secret:private-key:", "secret:openssh-private-key:", "secret:pgp-private-key:"];

/// The commands that are known, by family, for the documentation and its test.
pub fn commands() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    table::FAMILIES.iter().map(|family| {
        let names = family.rows.iter().flat_map(|row| row.names.split(' ')).collect();
        (family.title, names)
    })
}
