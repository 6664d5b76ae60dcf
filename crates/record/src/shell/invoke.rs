//! One command with its arguments: finds out what it is and hands it to the table.

use super::expand::Arg;
use super::run::{Output, Shell, Stdin};
use super::syntax::{self, Command, excerpt};
use super::{Context, table};
use crate::{Action, Hazard, Resource, Verb};

/// A command that is being looked at: its name without a folder, and what follows it.
pub(super) struct Call<'a> {
    pub name: &'a str,
    pub args: &'a [Arg],
}

/// Folders whose programs are what their names say.
const SYSTEM_FOLDERS: [&str; 9] = [
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    "/snap/bin",
    "/opt/local/bin",
];

impl Shell<'_> {
    /// Looks at one command; gives what it prints.
    pub fn invoke(&mut self, args: &[Arg]) -> Output {
        if !self.spend(args.len()) {
            return Output::default();
        }
        self.deeper(|shell| shell.invoke_inside(args))
    }

    fn invoke_inside(&mut self, args: &[Arg]) -> Output {
        let Some((first, rest)) = args.split_first() else {
            return Output::default();
        };
        let shown = excerpt(&first.text);
        self.printed = None;
        self.listed.clear();
        let by_name_only = std::mem::take(&mut self.skip_functions);
        if !first.is_known() || first.splits || first.glob || first.source.is_some() {
            self.unknown(first);
            self.opaque_as(Hazard::CommandWord, format!("the command to run is not known: `{shown}`"));
            self.execute(&shown);
            return Output { from: shown, ..Output::default() };
        }
        if first.tree {
            // `find -exec {} \;`: what is found is run.
            self.touch(table::Effect::Execute, first);
            return Output { from: shown, ..Output::default() };
        }
        if first.text.is_empty() {
            self.stay_silent("sh");
            return Output::default();
        }
        if first.expanded {
            self.opaque(format!("the name of a command comes from an expansion: `{shown}`"));
        }
        if !by_name_only {
            if let Some(body) = self.state.functions.get(&first.text).cloned() {
                return self.call_function(&first.text, &body, rest);
            }
            if let Some(text) = self.state.aliases.get(&first.text).cloned() {
                self.alias(&first.text, &text, rest);
            }
        }
        let mut name = first.text.as_str();
        if let Some(rest) = name.strip_prefix('=').filter(|rest| !rest.is_empty()) {
            // zsh: `=name` is the path of the command.
            self.opaque(format!("`{shown}` is the command {rest} in zsh"));
            name = rest;
        }
        let before = self.pushes;
        if let Some(slash) = name.rfind('/') {
            let base = &name[slash + 1..];
            let Some(path) = self.path(first) else {
                self.execute(&shown);
                return Output { from: shown, ..Output::default() };
            };
            let folder = path.rfind('/').map_or("", |i| &path[..i]);
            let system = SYSTEM_FOLDERS.contains(&folder) && name.starts_with('/');
            if !system {
                self.push(Action::new(Verb::Execute, Resource::new("file", &path)));
                // The recorder is the recorder wherever it was built.
                if !(folder.ends_with("/bin") || folder.ends_with("/.bin") || base == "fdr") {
                    self.look_alike(base);
                    self.dropped_databases(base, rest);
                    return Output { from: base.to_owned(), ..Output::default() };
                }
            }
            name = base;
        }
        let from = name.to_owned();
        match row_of(name) {
            Some(row) => {
                self.quiet = false;
                self.lost_delete = false;
                self.run_row(row, &Call { name, args: rest });
                // What a filter reads and writes is named by its redirections.
                let named = self.redirected && is_filter(name, row);
                if self.pushes == before && !self.quiet && !named {
                    let action = Action::new(Verb::Execute, Resource::proc(name));
                    self.push(if self.lost_delete { action.destructive() } else { action });
                }
                self.lost_delete = false;
                if let Stdin::Found(output) = &self.stdin
                    && passes_lines(name, rest)
                {
                    self.listed.clone_from(&output.listed);
                }
            }
            None => {
                self.look_alike(name);
                if self.pushes == before {
                    self.execute(name);
                }
                for arg in rest.iter().filter(|a| a.splits) {
                    self.unknown(arg);
                }
            }
        }
        self.dropped_databases(name, rest);
        Output { text: self.printed.take(), from, listed: std::mem::take(&mut self.listed) }
    }

    /// A task of a framework that empties or drops the database of the project.
    fn dropped_databases(&mut self, name: &str, args: &[Arg]) {
        if super::database::is_dropped(name, args) {
            self.push(Action::new(Verb::Delete, Resource::new("db", "*/*/*")).destructive());
        }
    }

    /// Says so where a command is not the one that its name looks like.
    fn look_alike(&mut self, name: &str) {
        if name.chars().any(|c| !c.is_ascii() || c.is_control()) {
            let shown: String = name.chars().map(written_out).collect();
            self.opaque_as(
                Hazard::CommandWord,
                format!(
                    "the name of the command has characters that are not what they look like: `{}`",
                    excerpt(&shown)
                ),
            );
        }
    }

    /// An alias that this command line has defined. The command of that name is looked at as
    /// well, because whether the shell expands the alias depends on its settings.
    fn alias(&mut self, name: &str, text: &str, rest: &[Arg]) {
        let mark = format!("alias {name}");
        if !self.enter_active(&mark) {
            return;
        }
        self.opaque_as(Hazard::CommandWord, format!("`{}` is an alias here", excerpt(name)));
        let parsed = syntax::parse(text, self.depth.min(syntax::MAX_NESTING));
        let single = match &parsed.script[..] {
            [item] => match &item.pipelines[..] {
                [(_, pipeline)] => match &pipeline.stages[..] {
                    [Command::Simple { words, redirects, .. }] if redirects.is_empty() => Some(words),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        match single {
            Some(words) => {
                let mut args = Vec::new();
                for word in words {
                    args.extend(self.expand(word));
                }
                args.extend(rest.iter().cloned());
                self.invoke(&args);
            }
            None => self.inline(text),
        }
        self.leave_active();
    }

    /// Looks at commands that run on another machine or in another root: only that they run
    /// there, and whether they destroy something there, is of interest here.
    pub fn elsewhere(&mut self, commands: Elsewhere<'_>, resource: Resource) {
        self.apart(commands, resource, false);
    }

    /// The same in a container: its files are its own, what it reaches over the network is not.
    pub fn in_container(&mut self, commands: Elsewhere<'_>, resource: Resource) {
        self.apart(commands, resource, true);
    }

    fn apart(&mut self, commands: Elsewhere<'_>, resource: Resource, same_network: bool) {
        let context = Context { cwd: "/", home: "/root" };
        let mut other = Shell::new(&context);
        other.depth = self.depth + 1;
        other.share_work(self);
        match commands {
            Elsewhere::Text(text) => other.inline(text),
            Elsewhere::Args(args) => {
                other.invoke(args);
            }
        }
        self.share_work(&other);
        let mut action = Action::new(Verb::Execute, resource);
        action.destructive = other.found_destructive();
        self.push(action);
        if same_network {
            self.adopt_network(&other);
        }
        self.adopt_doubts(other);
    }
}

/// Commands for [`Shell::elsewhere`].
pub(super) enum Elsewhere<'a> {
    Text(&'a str),
    Args(&'a [Arg]),
}

/// A character that a reader may take for another, by its number.
fn written_out(c: char) -> String {
    if c.is_ascii() && !c.is_control() { c.to_string() } else { format!("\\u{{{:X}}}", u32::from(c)) }
}

/// Commands whose only business is what they read and write.
fn is_filter(name: &str, row: &table::Row) -> bool {
    matches!(row.act, table::Act::All(_) | table::Act::Filter | table::Act::After(..))
        || matches!(
            name,
            "cat"
                | "grep"
                | "egrep"
                | "fgrep"
                | "sed"
                | "awk"
                | "jq"
                | "yq"
                | "tr"
                | "tee"
                | "base64"
                | "cut"
        )
}

/// Whether a command prints some of the lines that it reads, and nothing else.
fn passes_lines(name: &str, args: &[Arg]) -> bool {
    let mut operands = args.iter().filter(|arg| !arg.text.starts_with('-'));
    let has = |letters: &str| {
        args.iter().any(|arg| {
            !arg.is_known()
                || arg.text.starts_with("--")
                || (arg.text.starts_with('-') && arg.text.contains(|c| letters.contains(c)))
        })
    };
    match name {
        "sort" | "uniq" => operands.count() == 0 && !has("oct"),
        "head" | "tail" if args.first().is_some_and(|arg| arg.text == "-n") => args.len() == 2,
        "head" | "tail" => !has("cf") && operands.next().is_none(),
        "grep" | "egrep" | "fgrep" => operands.count() == 1 && !has("onHbcABCrRflLe"),
        _ => false,
    }
}

/// The line of the table for a name, perhaps without its version (`python3.12`, `gcc-13`).
fn row_of(name: &str) -> Option<&'static table::Row> {
    if let Some(row) = table::find(name) {
        return Some(row);
    }
    if name.starts_with("mkfs.") {
        return table::find("mkfs");
    }
    let stem = name.strip_suffix(".exe").unwrap_or(name);
    if let Some(row) = table::find(stem) {
        return Some(row);
    }
    let stem = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if stem.len() < 2 || stem == name {
        return None;
    }
    table::find(stem)
}
