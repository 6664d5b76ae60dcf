//! Walks the commands in the order in which the shell would run them and keeps what the shell
//! would know: the working directory, variables, functions, where standard input comes from.
//!
//! Nothing is run. Where both outcomes of a condition are possible, both are walked, and what
//! differs afterwards (the directory, a variable) is no longer known.

use super::expand::{Arg, has_adjacent_words};
use super::syntax::{
    Assign, Command, Compound, Item, Link, Pipeline, Redirect, RedirectOp, Script, Target, excerpt,
};
use super::table::Effect;
use super::{Context, syntax};
use crate::{Action, Hazard, Normalised, Resource, Verb, clean_path};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// How deep commands may be looked through (wrappers, substitutions, `sh -c`, functions).
const MAX_DEPTH: usize = 24;
/// How much work one command line may cost: characters expanded, plus [`COMMAND_COST`] for each
/// command walked. Loops, functions and braces multiply; this is what stops them.
const MAX_WORK: usize = 1_000_000;
/// What walking one command costs.
const COMMAND_COST: usize = 20;
/// How many actions one command line may give.
const MAX_ACTIONS: usize = 1000;
/// How many names that stand in code are kept.
const MAX_NAMED: usize = 100;
/// How many reasons are kept.
const MAX_OPAQUE: usize = 100;
/// How many variables are followed.
const MAX_VARIABLES: usize = 256;
/// How long a variable's value may be to be followed.
const MAX_VALUE_BYTES: usize = 4096;

/// What a variable holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    One(Arg),
    List(Vec<Arg>),
}

/// What a command writes to its standard output.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    /// The text, where it is certain.
    pub text: Option<String>,
    /// The command it comes from, for a message.
    pub from: String,
    /// Where it is a list of files: below what they all are.
    pub listed: Vec<Arg>,
}

/// Where standard input comes from.
#[derive(Clone, Debug, Default)]
pub(super) enum Stdin {
    /// What the shell itself has.
    #[default]
    Inherited,
    /// A here-document, a here-string, or an `echo` before the pipe.
    Text(Rc<str>),
    /// A here-document of which parts are not known.
    Partly(Arg),
    /// A file.
    File(Arg),
    /// The output of something, which is not known.
    From(Rc<str>),
    /// A list of files that another command has found.
    Found(Rc<Output>),
}

/// What the shell knows at one point.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The working directory, or why it is not known.
    pub cwd: Result<String, String>,
    /// Why the working directory may be another one after all; `true` if that is likely.
    pub doubt: Option<(String, bool)>,
    pub old_cwd: Option<String>,
    pub pushed: Vec<Result<String, String>>,
    pub vars: Rc<HashMap<String, Value>>,
    pub functions: Rc<HashMap<String, Rc<Command>>>,
    pub aliases: Rc<HashMap<String, String>>,
    pub positional: Option<Vec<Arg>>,
    /// Code that is not known has run in this shell.
    pub tainted: Option<String>,
    pub stops_on_error: bool,
    /// An `exit`, `return`, `break` or `continue` has been passed: what follows does not run.
    pub dead: bool,
}

/// Both possibilities, where one of two things has happened.
fn merged(a: State, b: State) -> State {
    if a.dead {
        return b;
    }
    if b.dead {
        return a;
    }
    let mut state = a;
    if state.cwd != b.cwd {
        state.cwd = Err("it depends on a condition".to_owned());
    }
    if state.doubt.as_ref().is_none_or(|d| !d.1) {
        state.doubt = b.doubt.or(state.doubt);
    }
    if state.old_cwd != b.old_cwd {
        state.old_cwd = None;
    }
    if state.pushed != b.pushed {
        state.pushed.clear();
    }
    if !Rc::ptr_eq(&state.vars, &b.vars) {
        let mut vars = (*state.vars).clone();
        let names: HashSet<&String> = state.vars.keys().chain(b.vars.keys()).collect();
        for name in names {
            let same = match (state.vars.get(name), b.vars.get(name)) {
                (Some(Value::One(x)), Some(Value::One(y))) => {
                    x.text == y.text && x.is_known() && y.is_known()
                }
                _ => false,
            };
            if !same {
                let why = format!("variable {name} depends on a condition");
                vars.insert(name.clone(), Value::One(Arg::unknown(format!("${name}"), &why)));
            }
        }
        state.vars = Rc::new(vars);
    }
    if !Rc::ptr_eq(&state.functions, &b.functions) {
        let mut functions = (*state.functions).clone();
        functions.extend(b.functions.iter().map(|(k, v)| (k.clone(), Rc::clone(v))));
        state.functions = Rc::new(functions);
    }
    if !Rc::ptr_eq(&state.aliases, &b.aliases) {
        let mut aliases = (*state.aliases).clone();
        aliases.extend(b.aliases.iter().map(|(k, v)| (k.clone(), v.clone())));
        state.aliases = Rc::new(aliases);
    }
    state.tainted = state.tainted.or(b.tainted);
    state.stops_on_error &= b.stops_on_error;
    state
}

/// Whether the two know the same.
fn unchanged(a: &State, b: &State) -> bool {
    a.cwd == b.cwd
        && Rc::ptr_eq(&a.vars, &b.vars)
        && Rc::ptr_eq(&a.functions, &b.functions)
        && a.tainted == b.tainted
}

/// A loop or a function that `break`, `continue` or `return` can leave.
#[derive(Debug)]
struct Frame {
    function: bool,
    /// What the variables held that the function has made its own.
    saved: Vec<(String, Option<Value>)>,
    left_with: Option<State>,
}

/// One shell that walks one command line.
pub(super) struct Shell<'c> {
    pub context: &'c Context<'c>,
    pub state: State,
    /// What the command being looked at reads.
    pub stdin: Stdin,
    /// What the command being looked at prints, if that is certain.
    pub printed: Option<String>,
    /// Where it prints a list of files: below what they all are.
    pub listed: Vec<Arg>,
    /// How many actions have been named so far, repeated ones included.
    pub pushes: usize,
    /// A builtin without an effect of its own, named if nothing else is.
    pub silent: Option<String>,
    /// The command being looked at deletes something that is not known.
    pub lost_delete: bool,
    /// The command being looked at has no effect to name.
    pub quiet: bool,
    /// The next command is not a function, whatever its name (`command`, `builtin`, `env`).
    pub skip_functions: bool,
    /// What comes through the pipe was decoded from base64.
    pub decoded: bool,
    /// Redirections of the command being looked at name a file.
    pub redirected: bool,
    /// The branches that may be checked out: `None` is what was before this command line, `*` any.
    heads: Vec<Option<String>>,
    /// The folder in which these are; empty if it is not known.
    heads_in: String,
    /// What follows runs only if the command being looked at, git itself, succeeds.
    pub guards: bool,
    /// Temporary files are not where they usually are.
    pub other_tmp: bool,
    /// Symbolic links that were made, and where they lead.
    links: Vec<(String, String)>,
    /// Variables that were made readonly.
    pub readonly: HashSet<String>,
    pub depth: usize,
    actions: Vec<Action>,
    places: HashMap<(Verb, Resource, Option<Resource>), usize>,
    opaque: Vec<String>,
    hazards: Vec<Hazard>,
    named: Vec<Resource>,
    opaque_seen: HashSet<String>,
    work: usize,
    frames: Vec<Frame>,
    active: Vec<String>,
    called: HashSet<String>,
}

impl<'c> Shell<'c> {
    pub fn new(context: &'c Context<'c>) -> Shell<'c> {
        let cwd = if context.cwd.starts_with('/') {
            Ok(clean_path(context.cwd, "/"))
        } else {
            Err("the caller does not say where it is".to_owned())
        };
        Shell {
            heads: vec![None],
            heads_in: cwd.clone().unwrap_or_default(),
            guards: false,
            other_tmp: false,
            context,
            state: State {
                cwd,
                doubt: None,
                old_cwd: None,
                pushed: Vec::new(),
                vars: Rc::default(),
                functions: Rc::default(),
                aliases: Rc::default(),
                positional: None,
                tainted: None,
                stops_on_error: false,
                dead: false,
            },
            stdin: Stdin::Inherited,
            printed: None,
            listed: Vec::new(),
            pushes: 0,
            silent: None,
            lost_delete: false,
            quiet: false,
            skip_functions: false,
            decoded: false,
            redirected: false,
            links: Vec::new(),
            readonly: HashSet::new(),
            depth: 0,
            actions: Vec::new(),
            places: HashMap::new(),
            opaque: Vec::new(),
            hazards: Vec::new(),
            named: Vec::new(),
            opaque_seen: HashSet::new(),
            work: 0,
            frames: Vec::new(),
            active: Vec::new(),
            called: HashSet::new(),
        }
    }

    /// Reads a whole command line.
    pub fn whole(mut self, text: &str) -> Normalised {
        let parsed = syntax::parse(text, 0);
        self.script(&parsed.script);
        for problem in parsed.problems {
            self.opaque_as(Hazard::CommandWord, problem);
        }
        let uncalled: Vec<String> =
            self.state.functions.keys().filter(|f| !self.called.contains(*f)).cloned().collect();
        let mut uncalled = uncalled;
        uncalled.sort();
        for name in uncalled {
            self.opaque(format!("function `{}` is defined and not called here", excerpt(&name)));
        }
        if self.actions.is_empty() {
            let name = self.silent.take().unwrap_or_else(|| "sh".to_owned());
            self.push(Action::new(Verb::Execute, Resource::proc(&name)));
        }
        Normalised { actions: self.actions, opaque: self.opaque, hazards: self.hazards, named: self.named }
    }

    // --- what is found ---

    /// Names an action; the same one twice is one, with the flags of both.
    pub fn push(&mut self, action: Action) {
        self.pushes += 1;
        let key = (action.action, action.resource.clone(), action.to.clone());
        if let Some(place) = self.places.get(&key) {
            let there = &mut self.actions[*place];
            there.recursive |= action.recursive;
            there.destructive |= action.destructive;
            return;
        }
        if self.actions.len() >= MAX_ACTIONS {
            self.opaque_as(
                Hazard::LeftOut,
                format!("more than {MAX_ACTIONS} actions: the rest is not listed"),
            );
            return;
        }
        self.places.insert(key, self.actions.len());
        self.actions.push(action);
    }

    pub fn act(&mut self, verb: Verb, kind: &str, name: &str) {
        self.push(Action::new(verb, Resource::new(kind, name)));
    }

    pub fn execute(&mut self, program: &str) {
        self.push(Action::new(Verb::Execute, Resource::proc(program)));
    }

    /// Marks a way in which the command is not fully known, with the reason.
    pub fn opaque_as(&mut self, hazard: Hazard, reason: impl Into<String>) {
        self.hazard(hazard);
        self.opaque(reason);
    }

    pub fn hazard(&mut self, hazard: Hazard) {
        if !self.hazards.contains(&hazard) {
            self.hazards.push(hazard);
        }
    }

    /// Takes over in which ways the commands of another shell are not known.
    pub fn adopt_doubts(&mut self, other: Shell<'_>) {
        for hazard in other.hazards {
            self.hazard(hazard);
            for reason in &other.opaque {
                self.opaque(reason.as_str());
            }
        }
    }

    /// Takes over what another shell reaches over the network.
    pub fn adopt_network(&mut self, other: &Shell<'_>) {
        for action in &other.actions {
            if matches!(action.resource.kind(), "url" | "host" | "db") {
                self.push(action.clone());
            }
        }
    }

    /// Notes what code that is not read as a program names.
    pub fn names(&mut self, resource: Resource) {
        if self.named.contains(&resource) {
            return;
        }
        if self.named.len() < MAX_NAMED {
            self.named.push(resource);
        } else {
            self.opaque_as(Hazard::LeftOut, format!("code names more than {MAX_NAMED} files and addresses"));
        }
    }

    /// Adds a reason why something is not known, where nothing hangs on it.
    pub fn opaque(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.opaque.len() >= MAX_OPAQUE || self.opaque_seen.contains(&reason) {
            return;
        }
        self.opaque_seen.insert(reason.clone());
        self.opaque.push(reason);
    }

    /// Says that an argument is not known.
    pub fn unknown(&mut self, arg: &Arg) {
        if let Some(reason) = &arg.unknown {
            let reason = format!("`{}` is not known before it runs: {reason}", excerpt(&arg.text));
            self.opaque_as(Hazard::Arguments, reason);
        }
    }

    /// Pays for work; `false` when there is none left.
    pub fn spend(&mut self, cost: usize) -> bool {
        self.work = self.work.saturating_add(cost);
        if self.work > MAX_WORK {
            self.opaque_as(Hazard::CommandWord, "the command is too large to follow to its end");
            return false;
        }
        true
    }

    /// Runs `inside` one level deeper, or says that it is too deep.
    pub fn deeper<T: Default>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        if self.depth >= MAX_DEPTH {
            self.opaque_as(
                Hazard::CommandWord,
                format!("nested deeper than {MAX_DEPTH} levels: what is inside was not read"),
            );
            self.execute("sh");
            return T::default();
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    // --- paths ---

    /// The absolute, clean path that an argument names. Says so where it is not known.
    pub fn path(&mut self, arg: &Arg) -> Option<String> {
        if arg.unknown.is_some() {
            self.unknown(arg);
            return None;
        }
        if arg.text.is_empty() {
            return None;
        }
        if arg.text.starts_with('/') {
            return Some(clean_path(&arg.text, "/"));
        }
        match &self.state.cwd {
            Ok(cwd) => {
                let path = clean_path(&arg.text, cwd);
                if let Some((reason, true)) = &self.state.doubt {
                    let reason = reason.clone();
                    self.opaque_as(Hazard::Arguments, reason);
                }
                Some(path)
            }
            Err(why) => {
                let reason =
                    format!("`{}` is relative to a folder that is not known: {why}", excerpt(&arg.text));
                self.opaque_as(Hazard::Arguments, reason);
                None
            }
        }
    }

    /// Where `$(which name)` gives the path of a program: it is that program's.
    pub fn looked_up_program<'a>(&self, arg: &'a Arg) -> Option<&'a str> {
        let text = arg.unknown.is_some().then(|| arg.text.trim())?;
        let inside = text.strip_prefix("$(").and_then(|t| t.strip_suffix(')'));
        let inside = inside.or_else(|| text.strip_prefix('`').and_then(|t| t.strip_suffix('`')))?.trim();
        let name = ["which ", "command -v ", "type -p ", "type -P ", "whereis -b "]
            .iter()
            .find_map(|finder| inside.strip_prefix(finder))?
            .trim();
        let plain = |c: char| c.is_alphanumeric() || "._-+".contains(c);
        (!name.is_empty() && name.chars().all(plain)).then_some(name)
    }

    /// Has an effect on the file that an argument names.
    pub fn touch(&mut self, effect: Effect, arg: &Arg) {
        self.touch_with(effect, arg, false);
    }

    pub fn touch_with(&mut self, effect: Effect, arg: &Arg, recursive: bool) {
        if let Some(source) = &arg.source {
            if effect == Effect::Execute {
                let reason = format!("the output of {} is run, which is not known", excerpt(&source.from));
                self.opaque_as(Hazard::CommandWord, reason);
            }
            return;
        }
        let Some(path) = self.path(arg) else {
            // A target may only be named after it: `cp $(which x) folder`.
            if let Some(program) = self.looked_up_program(arg)
                && let Some(verb @ (Verb::Read | Verb::Delete | Verb::Configure)) = effect.verb()
            {
                let action = Action::new(verb, Resource::proc(program));
                self.push(if effect.is_destructive() { action.destructive() } else { action });
            }
            if arg.unknown.is_some() || !arg.text.is_empty() {
                self.lost_delete |= effect.is_destructive();
                if let Some(verb @ (Verb::Write | Verb::Create)) = effect.verb() {
                    self.act(verb, "unknown", "file");
                }
            }
            return;
        };
        if let Some((host, port)) = network_device(&path) {
            let name = format!("{host}:{port}");
            self.act(Verb::Network, "host", &name);
            if !matches!(effect, Effect::Read) {
                self.act(Verb::Send, "host", &name);
            }
            return;
        }
        if is_stream(&path) {
            if effect == Effect::Execute {
                let reason = format!("what comes through {path} is run, which is not known");
                self.opaque_as(Hazard::CommandWord, reason);
            }
            return;
        }
        let meant = self.behind_link(&path, effect.is_removal());
        if let Some(c) = path.chars().find(|c| is_invisible(*c)) {
            let reason = format!(
                "`{}` has a character that is not seen: U+{:04X}",
                excerpt(&path.replace(is_invisible, "")),
                u32::from(c)
            );
            self.opaque_as(Hazard::Arguments, reason);
        } else if path.split(|c: char| !c.is_alphanumeric()).any(mixes_scripts) {
            let reason = format!("`{}` mixes letters that look alike", excerpt(&path));
            self.opaque_as(Hazard::Arguments, reason);
        }
        let device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
        let Some(verb) = effect.verb() else {
            return;
        };
        let mut action = Action::new(verb, Resource::new("file", &path));
        action.recursive = recursive || arg.tree;
        action.destructive =
            effect.is_destructive() || (device && matches!(effect, Effect::Write | Effect::Create));
        if action.destructive
            && !arg.text.starts_with('/')
            && let Some((reason, _)) = &self.state.doubt
        {
            let reason = reason.clone();
            self.opaque_as(Hazard::Arguments, reason);
        }
        if let Some(meant) = meant {
            self.push(Action { resource: Resource::new("file", meant), ..action.clone() });
        }
        self.push(action);
    }

    /// Says so where a path goes through a symbolic link that this command line has made.
    /// `itself`: what is done to the link is not done to what it points to.
    /// Gives the path that is meant then.
    pub fn behind_link(&mut self, path: &str, itself: bool) -> Option<String> {
        let link = self.links.iter().find(|(link, _)| {
            path.strip_prefix(link.as_str())
                .is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !itself))
        });
        let (link, target) = link?;
        let meant = clean_path(&format!("{target}{}", &path[link.len()..]), "/");
        let reason =
            format!("`{}` goes through the link {} to {}", excerpt(path), excerpt(link), excerpt(target));
        self.opaque_as(Hazard::Arguments, reason);
        Some(meant)
    }

    /// Remembers a symbolic link.
    pub fn link(&mut self, link: &str, target: &str) {
        const MOST_LINKS: usize = 64;
        if self.links.len() < MOST_LINKS {
            self.links.push((link.to_owned(), target.to_owned()));
        } else {
            self.opaque_as(Hazard::Arguments, "more links are made than are followed");
        }
    }

    // --- branches ---

    /// The branches that may be checked out where a command runs.
    pub fn heads(&self) -> Vec<Option<String>> {
        match &self.state.cwd {
            Ok(cwd) if *cwd == self.heads_in => self.heads.clone(),
            _ => vec![Some("*".to_owned())],
        }
    }

    /// Another branch is checked out, or may be: the command can fail. `*` is any.
    pub fn head_moves(&mut self, branch: &str) {
        const MOST_HEADS: usize = 8;
        let mut heads = if self.guards { Vec::new() } else { self.heads() };
        let branch = Some(branch.to_owned());
        if heads.len() >= MOST_HEADS {
            heads = vec![Some("*".to_owned())];
        } else if !heads.contains(&branch) {
            heads.push(branch);
        }
        self.heads = heads;
        self.heads_in = self.state.cwd.clone().unwrap_or_default();
    }

    /// Runs `inside`, where git works with another repository or other settings: which branch
    /// is checked out there is not known, and what it does there changes nothing here.
    pub fn with_other_head(&mut self, inside: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.heads, vec![Some("*".to_owned())]);
        let folder = self.heads_in.clone();
        inside(self);
        self.heads = outer;
        self.heads_in = folder;
    }

    // --- state ---

    pub fn set(&mut self, name: &str, value: Value) {
        if self.readonly.contains(name) {
            let value =
                Value::One(Arg::unknown(format!("${name}"), "the variable may not be changed, but is"));
            Rc::make_mut(&mut self.state.vars).insert(name.to_owned(), value);
            return;
        }
        let too_long = match &value {
            Value::One(arg) => arg.text.len() > MAX_VALUE_BYTES,
            Value::List(list) => list.iter().map(|a| a.text.len() + 1).sum::<usize>() > MAX_VALUE_BYTES,
        };
        if self.state.vars.len() >= MAX_VARIABLES && !self.state.vars.contains_key(name) {
            self.state.tainted = Some("too many variables".to_owned());
            // The name must not be taken for one of the environment with a known value.
        }
        let value = if too_long {
            Value::One(Arg::unknown(format!("${name}"), &format!("variable {name} is too long")))
        } else {
            value
        };
        if self.state.vars.len() < MAX_VARIABLES || self.state.vars.contains_key(name) {
            Rc::make_mut(&mut self.state.vars).insert(name.to_owned(), value);
        }
    }

    /// Runs `inside` as a subshell does: what it changes is forgotten afterwards.
    pub fn subshell<T: Default>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        let state = self.state.clone();
        let frames = std::mem::take(&mut self.frames);
        let result = self.deeper(inside);
        self.frames = frames;
        self.called_in(&state);
        self.state = state;
        result
    }

    /// Functions that a subshell defined and never called are worth a word too.
    fn called_in(&mut self, outer: &State) {
        if Rc::ptr_eq(&outer.functions, &self.state.functions) {
            return;
        }
        let mut names: Vec<String> = self
            .state
            .functions
            .keys()
            .filter(|f| !outer.functions.contains_key(*f) && !self.called.contains(*f))
            .cloned()
            .collect();
        names.sort();
        for name in names {
            self.opaque(format!("function `{}` is defined and not called here", excerpt(&name)));
        }
    }

    /// `<(…)` and `>(…)`.
    pub(super) fn process(&mut self, script: &Script, write: bool) -> Output {
        let stdin = std::mem::take(&mut self.stdin);
        if write {
            self.stdin = Stdin::From("another command".into());
        }
        let output = self.subshell(|shell| shell.script(script));
        self.stdin = stdin;
        output
    }

    /// Reads `text` as the commands of a new shell.
    pub fn nested(&mut self, text: &str, positional: Option<Vec<Arg>>) {
        if !self.spend(text.len()) {
            return;
        }
        self.subshell(|shell| {
            shell.state.vars = Rc::default();
            shell.state.functions = Rc::default();
            shell.state.aliases = Rc::default();
            shell.state.positional = positional;
            shell.state.tainted = None;
            shell.state.stops_on_error = false;
            shell.inline(text);
        });
    }

    /// Reads `text` as commands of this shell, as `eval` and `trap` do.
    pub fn inline(&mut self, text: &str) {
        if !self.spend(text.len()) {
            return;
        }
        let parsed = syntax::parse(text, self.depth.min(syntax::MAX_NESTING));
        self.deeper(|shell| {
            shell.script(&parsed.script);
        });
        for problem in parsed.problems {
            self.opaque_as(Hazard::CommandWord, problem);
        }
    }

    // --- commands ---

    pub fn script(&mut self, script: &Script) -> Output {
        let mut output = Output { from: "a group of commands".to_owned(), ..Output::default() };
        for item in script {
            let dead = self.state.dead.then(|| self.state.clone());
            let mine = self.item(item);
            if let Some(state) = dead {
                self.state = state;
            }
            if script.len() == 1 {
                output = mine;
            }
        }
        output
    }

    fn item(&mut self, item: &Item) -> Output {
        if item.background {
            let Output { from, .. } = self.subshell(|shell| shell.list(item));
            return Output { from, ..Output::default() };
        }
        self.list(item)
    }

    fn list(&mut self, item: &Item) -> Output {
        if let [(_, pipeline)] = &item.pipelines[..] {
            let start = self.state.cwd.clone();
            self.guards = false;
            let output = self.pipeline(pipeline);
            self.doubt(item, &start, false);
            return output;
        }
        let start = self.state.cwd.clone();
        let mut from = String::new();
        // The state if the list has failed so far, and if it was cut short before its last part.
        let mut failed: Option<State> = None;
        let mut cut_short: Option<State> = None;
        let mut last: Option<&Pipeline> = None;
        let mut guarded = false;
        let (heads, heads_in) = (self.heads.clone(), self.heads_in.clone());
        for (i, (link, pipeline)) in item.pipelines.iter().enumerate() {
            self.guards = !matches!(link, Link::Or)
                && matches!(&pipeline.stages[..], [Command::Simple { .. }])
                && simple_name(pipeline).as_deref() == Some("git")
                && !pipeline.negated
                && matches!(item.pipelines.get(i + 1), Some((Link::And, _)));
            let moves = simple_name(pipeline).is_some_and(|name| is_directory_builtin(&name));
            match link {
                Link::First | Link::And => {
                    if last.is_some_and(is_taken_to_succeed) {
                        failed = None;
                    }
                    cut_short = failed.clone();
                    let before = self.state.clone();
                    from = self.pipeline(pipeline).from;
                    if before.dead {
                        self.state = before;
                        continue;
                    }
                    // A `cd` that fails leaves the directory as it was.
                    let now = if moves { before } else { self.state.clone() };
                    failed = Some(match failed {
                        Some(earlier) => merged(earlier, now),
                        None => now,
                    });
                }
                Link::Or => {
                    let succeeded = self.state.clone();
                    if let Some(state) = failed.take() {
                        self.state = state;
                    }
                    let before = self.state.clone();
                    from = self.pipeline(pipeline).from;
                    guarded |= self.state.dead;
                    failed = Some(if moves { before } else { self.state.clone() });
                    let now = std::mem::replace(&mut self.state, succeeded.clone());
                    self.state = merged(succeeded, now);
                    cut_short = None;
                }
            }
            last = Some(pipeline);
        }
        if let Some(state) = cut_short {
            let now = std::mem::replace(&mut self.state, state.clone());
            self.state = merged(state, now);
        }
        self.guards = false;
        if self.heads_in == heads_in {
            // What comes after the list runs even if it was cut short.
            for head in heads {
                if !self.heads.contains(&head) {
                    self.heads.push(head);
                }
            }
        }
        self.doubt(item, &start, guarded);
        Output { from, ..Output::default() }
    }

    /// Notes that a `cd` which nothing guards may have failed.
    fn doubt(&mut self, item: &Item, start: &Result<String, String>, guarded: bool) {
        if let (Ok(cwd), false, false) = (&self.state.cwd, guarded, self.state.stops_on_error)
            && start.as_ref() != Ok(cwd)
        {
            let cd = item.pipelines.iter().find_map(|(_, p)| match &p.stages[..] {
                [Command::Simple { words, redirects, .. }]
                    if words.first().and_then(|w| w.literal()).is_some_and(|n| is_directory_builtin(&n)) =>
                {
                    Some(!redirects.is_empty())
                }
                _ => None,
            });
            let reason = format!("if the change to `{}` fails, what follows acts elsewhere", excerpt(cwd));
            self.state.doubt = Some((reason, cd.unwrap_or(false)));
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Output {
        if let ([stage], false) = (&pipeline.stages[..], pipeline.negated) {
            return self.stage(stage);
        }
        if let [stage] = &pipeline.stages[..] {
            let before = self.state.clone();
            let output = self.stage(stage);
            let after = std::mem::replace(&mut self.state, before.clone());
            self.state = merged(before, after);
            return output;
        }
        let outer = self.stdin.clone();
        let mut output = Output::default();
        for (i, stage) in pipeline.stages.iter().enumerate() {
            if i > 0 {
                self.stdin = output_stdin(&output);
            }
            output = self.subshell(|shell| shell.stage(stage));
            if !matches!(stage, Command::Simple { .. }) {
                output.listed.clear();
            }
        }
        self.stdin = outer;
        output
    }

    fn stage(&mut self, command: &Command) -> Output {
        if !self.spend(COMMAND_COST) {
            return Output::default();
        }
        match command {
            Command::Simple { assigns, words, redirects } => self.simple(assigns, words, redirects),
            Command::Function { name, body } => {
                Rc::make_mut(&mut self.state.functions).insert(name.clone(), Rc::clone(body));
                self.called.remove(name);
                self.silent.get_or_insert_with(|| name.clone());
                Output::default()
            }
            Command::Compound { body, redirects } => {
                let outer = self.stdin.clone();
                let io = self.redirects(redirects);
                if let Some(stdin) = io.stdin {
                    self.stdin = stdin;
                }
                let mut output = self.deeper(|shell| shell.compound(body));
                self.stdin = outer;
                self.written(&io.written);
                if io.redirected {
                    output.text = None;
                }
                output
            }
        }
    }

    fn compound(&mut self, body: &Compound) -> Output {
        match body {
            Compound::Subshell(script) => return self.subshell(|shell| shell.script(script)),
            Compound::Group(script) => return self.script(script),
            Compound::Coprocess { command, name } => {
                let name = name.as_deref().unwrap_or("COPROC");
                self.set(name, Value::One(Arg::unknown(format!("${name}"), "a coprocess sets it")));
                self.subshell(|shell| shell.stage(command));
            }
            Compound::Arithmetic(word) => {
                self.arithmetic(word);
                self.stay_silent("((");
                // Shells without arithmetic commands see a subshell in a subshell.
                let shown = word.shown();
                if has_adjacent_words(&word.without_substitutions()) {
                    self.subshell(|shell| shell.inline(&shown));
                }
            }
            Compound::Test(words) => {
                for word in words {
                    let _ = self.expand(word);
                }
                self.silent.get_or_insert_with(|| "[[".to_owned());
            }
            Compound::If { branches, otherwise } => {
                let mut ends: Option<State> = None;
                for (condition, body) in branches {
                    let before = self.state.clone();
                    self.script(condition);
                    let after = self.state.clone();
                    // The branch runs only if the condition held.
                    self.state.doubt.clone_from(&before.doubt);
                    self.script(body);
                    let end = std::mem::replace(&mut self.state, merged(before, after));
                    ends = Some(match ends {
                        Some(ends) => merged(ends, end),
                        None => end,
                    });
                }
                if let Some(script) = otherwise {
                    self.script(script);
                }
                if let Some(ends) = ends {
                    let last = std::mem::replace(&mut self.state, ends.clone());
                    self.state = merged(ends, last);
                }
            }
            Compound::Case { subject, arms } => {
                let _ = self.expand_one(subject);
                let before = self.state.clone();
                let mut ends = before.clone();
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let _ = self.expand_one(pattern);
                    }
                    self.script(body);
                    let end = std::mem::replace(&mut self.state, before.clone());
                    ends = merged(ends, end);
                }
                self.state = ends;
            }
            Compound::While { condition, body } => self.looped(|shell| {
                let doubt = shell.state.doubt.clone();
                shell.script(condition);
                shell.state.doubt = doubt;
                shell.script(body);
            }),
            Compound::ArithmeticFor { head, body } => {
                self.computed(head);
                for name in head.shown().split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                        let number = Arg::unknown(format!("${name}"), "a counter");
                        self.set(name, Value::One(number));
                    }
                }
                self.looped(|shell| {
                    shell.script(body);
                });
            }
            Compound::For { variable, words, body } => self.for_loop(variable, words.as_deref(), body),
        }
        Output { from: "a group of commands".to_owned(), ..Output::default() }
    }

    /// A loop that runs an unknown number of times.
    fn looped(&mut self, body: impl Fn(&mut Self)) {
        let before = self.state.clone();
        self.frames.push(Frame { function: false, saved: Vec::new(), left_with: None });
        body(self);
        let once = std::mem::replace(&mut self.state, before.clone());
        let either = merged(before.clone(), once);
        if !unchanged(&before, &either) {
            // The second time round, what the first has changed is in force.
            self.state = either;
            body(self);
            let twice = std::mem::replace(&mut self.state, before.clone());
            self.state = merged(before, twice);
        }
        self.left_frame();
    }

    fn left_frame(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        if let Some(left) = frame.left_with {
            let now = std::mem::replace(&mut self.state, left.clone());
            self.state = merged(left, now);
        }
        for (name, value) in frame.saved.into_iter().rev() {
            let vars = Rc::make_mut(&mut self.state.vars);
            match value {
                Some(value) => vars.insert(name, value),
                None => vars.remove(&name),
            };
        }
    }

    /// Makes a variable local to the function that is being walked.
    pub fn make_local(&mut self, name: &str) {
        let value = self.state.vars.get(name).cloned();
        if let Some(frame) = self.frames.iter_mut().rev().find(|f| f.function) {
            frame.saved.push((name.to_owned(), value));
        }
    }

    /// `break`, `continue` (of a loop) or `return` (of a function).
    /// Out of so many loops.
    pub fn jump(&mut self, function: bool, levels: usize) {
        let state = self.state.clone();
        for frame in self.frames.iter_mut().rev().filter(|f| f.function == function).take(levels) {
            let state = state.clone();
            frame.left_with = Some(match frame.left_with.take() {
                Some(left) => merged(left, state),
                None => state,
            });
        }
        self.state.dead = true;
    }

    fn for_loop(&mut self, variable: &str, words: Option<&[syntax::Word]>, body: &Script) {
        let values = match words {
            Some(words) => {
                let mut values = Vec::new();
                for word in words {
                    values.extend(self.expand(word));
                }
                Some(values)
            }
            None => self.state.positional.clone(),
        };
        let certain = values.as_ref().filter(|v| v.iter().all(|a| !a.splits));
        const MOST_TURNS: usize = 128;
        if let Some(values) = certain.filter(|v| v.len() <= MOST_TURNS) {
            self.frames.push(Frame { function: false, saved: Vec::new(), left_with: None });
            for value in values {
                self.set(variable, Value::One(Arg { expanded: true, ..value.clone() }));
                let dead = self.state.dead.then(|| self.state.clone());
                self.script(body);
                if let Some(state) = dead {
                    self.state = state;
                }
            }
            self.left_frame();
            return;
        }
        let why = match &values {
            Some(values) => match values.iter().find(|a| a.splits) {
                Some(arg) => format!("{variable} runs over `{}`", excerpt(&arg.text)),
                None => format!("{variable} takes more than {MOST_TURNS} values"),
            },
            None => format!("{variable} runs over arguments that are not known"),
        };
        self.set(variable, Value::One(Arg::unknown(format!("${variable}"), &why)));
        self.looped(|shell| {
            shell.script(body);
        });
    }

    fn simple(&mut self, assigns: &[Assign], words: &[syntax::Word], redirects: &[Redirect]) -> Output {
        let mut args: Vec<Arg> = Vec::new();
        for word in words {
            args.extend(self.expand(word));
        }
        let io = self.redirects(redirects);
        let outer = self.stdin.clone();
        if let Some(stdin) = io.stdin {
            self.stdin = stdin;
        }
        let mut output = Output::default();
        if args.is_empty() {
            for assign in assigns {
                self.assign(assign, true);
            }
        } else {
            let mut reach = Vec::new();
            for assign in assigns {
                if let Some(name) = self.assign(assign, false) {
                    reach.push(name);
                }
            }
            // These decide where `cd` goes, for this one command.
            let directory = args.first().is_some_and(|a| is_directory_builtin(&a.text));
            let named = io.named || !io.written.is_empty();
            let outer = std::mem::replace(&mut self.redirected, named);
            output = self.invoke(&args);
            self.redirected = outer;
            if directory && reach.iter().any(|n| matches!(n.as_str(), "HOME" | "CDPATH" | "OLDPWD")) {
                self.state.cwd = Err("its target depends on a variable set for `cd`".to_owned());
            }
        }
        self.stdin = outer;
        self.written(&io.written);
        if io.redirected {
            output.text = None;
            output.listed.clear();
        }
        output
    }

    /// Follows an assignment. `lasting`: of this shell, not of one command only.
    fn assign(&mut self, assign: &Assign, lasting: bool) -> Option<String> {
        let list = match &assign.value.atoms[..] {
            [syntax::Atom::Sub(sub, _)] if matches!(sub.kind, syntax::SubKind::Array(_)) => {
                Some(self.expand(&assign.value))
            }
            _ => None,
        };
        let index = assign.index.as_ref().map(|word| self.expand_one(word));
        let value = match list {
            Some(list) => Value::List(list),
            None => Value::One(self.expand_one(&assign.value)),
        };
        if let Value::One(value) = &value {
            self.watch_variable(&assign.name, value);
        }
        if !lasting {
            return Some(assign.name.clone());
        }
        self.silent.get_or_insert_with(|| "sh".to_owned());
        let value = match (value, index, assign.append, self.state.vars.get(&assign.name).cloned()) {
            (_, Some(_), ..) => {
                let why = format!("an element of {} is set", assign.name);
                Value::One(Arg::unknown(format!("${}", assign.name), &why))
            }
            (value, None, false, _) => value,
            (Value::List(more), None, true, Some(Value::List(mut list))) => {
                list.extend(more);
                Value::List(list)
            }
            (Value::One(more), None, true, Some(Value::One(mut text))) => {
                if text.unknown.is_none() && more.unknown.is_some() {
                    text.known_bytes = text.text.len() + more.known_bytes;
                    text.unknown = more.unknown;
                }
                text.text.push_str(&more.text);
                Value::One(text)
            }
            _ => {
                let why = format!("variable {} is added to", assign.name);
                Value::One(Arg::unknown(format!("${}", assign.name), &why))
            }
        };
        self.set(&assign.name, value);
        None
    }

    // --- redirections ---

    fn redirects(&mut self, redirects: &[Redirect]) -> Streams {
        let mut io = Streams::default();
        for redirect in redirects {
            let input = redirect.fd.as_deref().is_none_or(|fd| fd == "0");
            let output = redirect.fd.as_deref().is_none_or(|fd| fd == "1");
            let from_zero = redirect.fd.as_deref() == Some("0");
            if let Some(name) = redirect.fd.as_deref().and_then(|fd| fd.strip_prefix('{')?.strip_suffix('}'))
            {
                let number = Arg::unknown(format!("${name}"), "the shell puts a descriptor there");
                self.set(name, Value::One(number));
            }
            match (&redirect.target, redirect.op) {
                (Target::HereDoc(body), _) => {
                    let arg = match body.get() {
                        Some(word) => self.expand_one(word),
                        None => Arg::new(""),
                    };
                    if input {
                        io.stdin = Some(text_stdin(arg));
                    }
                }
                (Target::Word(word), RedirectOp::HereString) => {
                    let mut arg = self.expand_one(word);
                    arg.text.push('\n');
                    if input {
                        io.stdin = Some(text_stdin(arg));
                    }
                }
                (Target::Word(word), op) => {
                    let arg = self.expand_one(word);
                    self.redirect(op, arg, [input, output, from_zero], &mut io);
                }
            }
        }
        io
    }

    /// `descriptors`: whether it is about standard input, standard output, and descriptor 0 by
    /// its number.
    fn redirect(&mut self, op: RedirectOp, arg: Arg, descriptors: [bool; 3], io: &mut Streams) {
        let [input, output, from_zero] = descriptors;
        let descriptor = arg.is_known()
            && (arg.text == "-" || arg.text.trim_end_matches('-').bytes().all(|b| b.is_ascii_digit()));
        match op {
            RedirectOp::DuplicateIn | RedirectOp::DuplicateOut if descriptor => {
                // `<&3`, or the `0>&1` of a shell on a socket.
                let number = arg.text.trim_end_matches('-');
                let reads = if op == RedirectOp::DuplicateIn { input } else { from_zero };
                if reads && !number.is_empty() && number != "0" {
                    io.stdin = Some(Stdin::From(format!("descriptor {number}").into()));
                }
                if output && op == RedirectOp::DuplicateOut {
                    io.redirected = true;
                }
            }
            RedirectOp::Read | RedirectOp::DuplicateIn => {
                let before = self.pushes;
                self.touch(Effect::Read, &arg);
                io.named |= self.pushes > before;
                if input {
                    io.stdin = Some(match &arg.source {
                        Some(output) => output_stdin(output),
                        None => Stdin::File(arg),
                    });
                }
            }
            RedirectOp::ReadWrite => {
                self.touch(Effect::Read, &arg);
                if input {
                    io.stdin = Some(Stdin::File(arg.clone()));
                }
                io.written.push((Effect::Write, arg));
            }
            RedirectOp::Write | RedirectOp::Append | RedirectOp::Both | RedirectOp::DuplicateOut => {
                if output {
                    io.redirected = true;
                }
                if arg.source.is_none() {
                    // Where it goes is settled before the command runs.
                    let settled = match self.path(&arg) {
                        Some(path) => Arg { text: path, ..arg },
                        None => {
                            if !arg.text.is_empty() || arg.unknown.is_some() {
                                self.act(Verb::Write, "unknown", "file");
                            }
                            return;
                        }
                    };
                    io.written.push((Effect::Write, settled));
                }
            }
            RedirectOp::HereDoc | RedirectOp::HereString => {}
        }
    }

    fn written(&mut self, written: &[(Effect, Arg)]) {
        for (effect, arg) in written {
            self.touch(*effect, arg);
        }
    }

    // --- functions ---

    /// Walks the body of a function that is called with `args`.
    pub fn call_function(&mut self, name: &str, body: &Rc<Command>, args: &[Arg]) -> Output {
        self.called.insert(name.to_owned());
        if self.active.iter().any(|f| f == name) {
            self.opaque_as(Hazard::CommandWord, format!("function `{}` calls itself", excerpt(name)));
            return Output { from: name.to_owned(), ..Output::default() };
        }
        self.active.push(name.to_owned());
        let outer = self.state.positional.replace(args.to_vec());
        self.frames.push(Frame { function: true, saved: Vec::new(), left_with: None });
        let body = Rc::clone(body);
        let output = self.deeper(|shell| shell.stage(&body));
        self.left_frame();
        self.state.positional = outer;
        self.active.pop();
        output
    }

    /// Notes that `name` is being expanded; `false` if it is already.
    pub fn enter_active(&mut self, name: &str) -> bool {
        if self.active.iter().any(|a| a == name) {
            return false;
        }
        self.active.push(name.to_owned());
        true
    }

    pub fn leave_active(&mut self) {
        self.active.pop();
    }

    /// Takes over how much work has been spent.
    pub fn share_work(&mut self, other: &Shell<'_>) {
        self.work = other.work;
    }

    pub fn found_destructive(&self) -> bool {
        self.actions.iter().any(|a| a.destructive)
    }
}

/// What the redirections of one command do.
#[derive(Default)]
struct Streams {
    stdin: Option<Stdin>,
    written: Vec<(Effect, Arg)>,
    /// Standard output does not go to the pipe.
    redirected: bool,
    /// A file is read.
    named: bool,
}

fn text_stdin(arg: Arg) -> Stdin {
    if arg.is_known() { Stdin::Text(arg.text.into()) } else { Stdin::Partly(arg) }
}

pub(super) fn output_stdin(output: &Output) -> Stdin {
    match &output.text {
        Some(text) => Stdin::Text(text.as_str().into()),
        None if !output.listed.is_empty() => Stdin::Found(Rc::new(output.clone())),
        None => Stdin::From(output.from.as_str().into()),
    }
}

impl Stdin {
    /// The command whose output it is.
    pub fn source(&self) -> &str {
        match self {
            Stdin::From(source) => source,
            Stdin::Found(output) => &output.from,
            _ => "",
        }
    }
}

/// Characters that are not shown, or that change the order of what is shown. Some file systems
/// pass over them (CVE-2014-9390).
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2069 | 0xFEFF | 0xE0000..=0xE007F)
}

/// Whether a word has Latin letters beside Greek or Cyrillic ones, or wide forms of them.
fn mixes_scripts(word: &str) -> bool {
    let latin = word.bytes().any(|b| b.is_ascii_alphabetic());
    latin && word.chars().any(|c| matches!(u32::from(c), 0x370..=0x52F | 0xFF21..=0xFF5A | 0x1D400..=0x1D7FF))
}

/// The name of a pipeline that is one simple command, written out.
fn simple_name(pipeline: &Pipeline) -> Option<String> {
    match &pipeline.stages[..] {
        [Command::Simple { words, .. }] if !pipeline.negated => words.first().and_then(|w| w.literal()),
        _ => None,
    }
}

fn is_directory_builtin(name: &str) -> bool {
    matches!(name, "cd" | "pushd" | "popd" | "chdir")
}

/// Commands after which `&&` is taken to go on, so that a `cd` behind them counts afterwards.
fn is_taken_to_succeed(pipeline: &Pipeline) -> bool {
    match &pipeline.stages[..] {
        [Command::Simple { words, assigns, .. }] if words.is_empty() && !pipeline.negated => {
            !assigns.is_empty()
        }
        _ => simple_name(pipeline).is_some_and(|name| {
            is_directory_builtin(&name)
                || matches!(
                    name.as_str(),
                    "mkdir" | "echo" | "printf" | "true" | ":" | "export" | "set" | "touch" | "pwd"
                )
        }),
    }
}

/// Streams, and devices without content: reading or writing them leaves nothing behind.
pub(super) fn is_stream(path: &str) -> bool {
    matches!(
        path,
        "/dev/null"
            | "/dev/zero"
            | "/dev/full"
            | "/dev/random"
            | "/dev/urandom"
            | "/dev/stdin"
            | "/dev/stdout"
            | "/dev/stderr"
            | "/dev/tty"
            | "/dev/ptmx"
            | "/proc/self/fd"
    ) || path.starts_with("/dev/fd/")
        || path.starts_with("/proc/self/fd/")
        || path.starts_with("/dev/pts/")
}

/// bash's `/dev/tcp/host/port` and `/dev/udp/host/port`.
fn network_device(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/dev/tcp/").or_else(|| path.strip_prefix("/dev/udp/"))?.split_once('/')
}
