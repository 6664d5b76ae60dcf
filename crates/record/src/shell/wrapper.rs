//! Commands that run other commands, and the builtins of the shell.

use super::expand::Arg;
use super::invoke::{Call, Elsewhere};
use super::run::{Shell, Stdin, Value, output_stdin};
use super::syntax::excerpt;
use super::table::Effect;
use crate::{Hazard, Resource, Verb, clean_path};
use std::rc::Rc;

/// Runs what is left of the arguments as a command, or names the wrapper itself.
fn rest(shell: &mut Shell<'_>, call: &Call<'_>, args: &[Arg]) {
    if args.is_empty() {
        shell.execute(call.name);
    } else {
        let output = shell.invoke(args);
        shell.printed = output.text;
    }
}

fn skip(args: &[Arg], count: usize) -> &[Arg] {
    args.get(count..).unwrap_or(&[])
}

/// Drops leading `NAME=value` arguments, keeping an eye on the dangerous ones.
fn assignments<'a>(shell: &mut Shell<'_>, args: &'a [Arg]) -> &'a [Arg] {
    let mut rest = args;
    while let Some((first, tail)) = rest.split_first() {
        let Some((name, _)) = first.text.split_once('=') else {
            break;
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            break;
        }
        shell.watch_variable(name, &first.tail(name.len() + 1));
        rest = tail;
    }
    rest
}

/// Joins arguments as a command does that hands one text to a shell.
fn joined(args: &[Arg]) -> Arg {
    let mut whole = Arg::default();
    for arg in args {
        if !whole.text.is_empty() {
            whole.text.push(' ');
        }
        if whole.unknown.is_none() && arg.unknown.is_some() {
            whole.known_bytes = whole.text.len() + arg.known_bytes;
            whole.unknown.clone_from(&arg.unknown);
        }
        whole.text.push_str(&arg.text);
    }
    whole
}

/// Reads a text as the commands of a new shell, if it is known.
pub(super) fn code(shell: &mut Shell<'_>, name: &str, text: &Arg, positional: Option<Vec<Arg>>) {
    if text.is_known() {
        shell.nested(&text.text, positional);
    } else {
        shell.unknown(text);
        shell.execute(name);
        shell.opaque_as(
            Hazard::CommandWord,
            format!("{name} runs code that is not known: `{}`", excerpt(&text.text)),
        );
    }
}

pub(super) fn sudo(shell: &mut Shell<'_>, call: &Call<'_>) {
    // The rights are asked for by its name, whatever it runs.
    shell.execute(call.name);
    let parsed = shell.options(
        "+ -u,--user= -g,--group= -h,--host= -p,--prompt= -C,--close-from= -r,--role= -t,--type= -U,--other-user= -D,--chdir= -R,--chroot= -T,--command-timeout= -i,--login -s,--shell -e,--edit",
        call.args,
    );
    if parsed.has("-e") || call.name == "sudoedit" {
        for file in &parsed.operands {
            shell.touch(Effect::Write, file);
        }
        return;
    }
    let args = assignments(shell, &parsed.operands).to_vec();
    if args.is_empty() && (parsed.has("-s") || parsed.has("-i")) {
        return super::interpreter::stdin_script(shell, call.name);
    }
    let cwd = shell.state.cwd.clone();
    if parsed.has("-i") || parsed.has("-R") {
        shell.state.cwd = Err("sudo changes the folder or the root".to_owned());
    } else if let Some(folder) = parsed.value("-D") {
        enter(shell, &folder.clone());
    }
    rest(shell, call, &args);
    shell.state.cwd = cwd;
}

/// Goes to a folder for the time of one command.
fn enter(shell: &mut Shell<'_>, folder: &Arg) {
    shell.state.cwd = match shell.path(folder) {
        Some(path) => Ok(path),
        None => Err(format!("`{}` is not known", excerpt(&folder.text))),
    };
}

pub(super) fn su(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-c,--command= -s,--shell= -g= -G= -u,--user= -w= -l,--login", call.args);
    shell.execute(call.name);
    let login = parsed.has("-l") || parsed.operands.iter().any(|a| a.text == "-");
    let cwd = shell.state.cwd.clone();
    if login {
        shell.state.cwd = Err("a login shell starts in the home of the user".to_owned());
    }
    match parsed.value("-c").cloned() {
        Some(text) => code(shell, call.name, &text, Some(Vec::new())),
        // `runuser -u bob -- command`.
        None if parsed.has("-u") => rest(shell, call, &parsed.operands),
        None => super::interpreter::stdin_script(shell, call.name),
    }
    shell.state.cwd = cwd;
}

pub(super) fn env(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -u,--unset= -C,--chdir= -S,--split-string= -i,--ignore-environment -P= -a,--argv0=",
        call.args,
    );
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("-C").cloned() {
        enter(shell, &folder);
    }
    if let Some(text) = parsed.value("-S").cloned() {
        // `env -S` splits much as the shell does.
        let mut all = vec![text];
        all.extend(parsed.operands.iter().cloned());
        code(shell, call.name, &joined(&all), None);
    } else {
        // A lone `-` is `-i`.
        let dash = usize::from(parsed.operands.first().is_some_and(|a| a.text == "-"));
        let args = assignments(shell, skip(&parsed.operands, dash));
        if args.is_empty() {
            shell.act(Verb::Read, "env", "*");
        } else {
            let args = args.to_vec();
            shell.skip_functions = true;
            rest(shell, call, &args);
        }
    }
    shell.state.cwd = cwd;
}

pub(super) fn nice(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -n,--adjustment=", call.args);
    rest(shell, call, &parsed.operands);
}

pub(super) fn scheduling(shell: &mut Shell<'_>, call: &Call<'_>) {
    let spec = match call.name {
        "taskset" => "+ -c,--cpu-list -p,--pid= -a,--all-tasks",
        _ => {
            "+ -c,--class,--cpu-list= --nofile= --nproc= --core= --as= --fsize= --rss= --memlock= --stack= -n,--classdata= -p,--pid= -P= -u= -m,--membind= -N,--cpunodebind= -C= --cpu="
        }
    };
    let parsed = shell.options(spec, call.args);
    // `chrt 10 command`, `taskset 0x3 command`: a number first.
    let number = match call.name {
        "taskset" => true,
        name => matches!(name, "chrt" | "setarch") && !parsed.has("-c"),
    };
    let skipped = usize::from(number && parsed.operands.len() > 1);
    if parsed.has("-p") {
        // A process that runs; for some, a setting of it comes first.
        let mut given = parsed.value("-p").into_iter().chain(&parsed.operands);
        let is_number = |a: &&Arg| !a.is_known() || a.text.bytes().all(|b| b.is_ascii_digit());
        match given.rfind(is_number).cloned() {
            Some(process) => super::system::process(shell, &process),
            None => shell.execute(call.name),
        }
    } else {
        rest(shell, call, skip(&parsed.operands, skipped));
    }
}

pub(super) fn plain(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -n= -s= -e= -f= -a=", call.args);
    // `faketime 'yesterday' command`.
    let skipped = usize::from(call.name == "faketime");
    // setsid's and nohup's flags take no values; parse again without any.
    let operands = if matches!(call.name, "setsid" | "nohup" | "caffeinate" | "fakeroot") {
        shell.options("+", call.args).operands
    } else {
        parsed.operands
    };
    rest(shell, call, skip(&operands, skipped));
}

pub(super) fn repeat(shell: &mut Shell<'_>, call: &Call<'_>) {
    rest(shell, call, skip(call.args, 1));
}

pub(super) fn run_parts(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-a,--arg= --regex= -u= --test --list", call.args);
    for folder in &parsed.operands {
        shell.touch_with(Effect::Execute, folder, true);
    }
}

pub(super) fn hash(shell: &mut Shell<'_>, call: &Call<'_>) {
    if call.args.iter().any(|a| a.text.starts_with("-p") || a.text.contains('=')) {
        shell.execute(call.name);
        shell.opaque_as(Hazard::CommandWord, "hash says which program a name runs");
    } else {
        shell.stay_silent(call.name);
    }
}

pub(super) fn time(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -f,--format= -o,--output=w", call.args);
    shell.option_files(&parsed);
    rest(shell, call, &parsed.operands);
}

pub(super) fn timeout(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -s,--signal= -k,--kill-after=", call.args);
    rest(shell, call, skip(&parsed.operands, 1));
}

pub(super) fn stdbuf(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -i,--input= -o,--output= -e,--error=", call.args);
    rest(shell, call, &parsed.operands);
}

pub(super) fn command(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -v -V", call.args);
    if parsed.has("-v") || parsed.has("-V") || parsed.operands.is_empty() {
        return shell.stay_silent(call.name);
    }
    shell.skip_functions = true;
    rest(shell, call, &parsed.operands);
}

pub(super) fn builtin(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.skip_functions = true;
    rest(shell, call, call.args);
}

pub(super) fn exec(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -a=", call.args);
    if parsed.operands.is_empty() {
        if !matches!(shell.stdin, Stdin::Inherited) {
            shell.opaque_as(Hazard::CommandWord, "exec redirects what the following commands read");
        }
        return shell.stay_silent(call.name);
    }
    shell.skip_functions = true;
    rest(shell, call, &parsed.operands);
    shell.state.dead = true;
}

/// The items `xargs` and `parallel` read, if they are certain.
fn items(shell: &Shell<'_>, null: bool, lines: bool) -> Option<Vec<Arg>> {
    let Stdin::Text(text) = &shell.stdin else {
        return None;
    };
    if null {
        return Some(text.split('\0').filter(|s| !s.is_empty()).map(Arg::new).collect());
    }
    if lines {
        return Some(text.lines().map(|l| Arg::new(l.trim_start())).filter(|a| !a.text.is_empty()).collect());
    }
    if text.contains(['\'', '"', '\\']) {
        return None;
    }
    Some(text.split_ascii_whitespace().map(Arg::new).collect())
}

pub(super) fn xargs(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -I= -i,--replace? -n,--max-args= -P,--max-procs= -L,--max-lines= -l? -d,--delimiter= -E= -e? -s,--max-chars= -a,--arg-file=r -0,--null -J= -R= --process-slot-var=",
        call.args,
    );
    shell.option_files(&parsed);
    let marker = match (parsed.value("-I").or(parsed.value("-J")), parsed.has("-i")) {
        (Some(marker), _) => Some(marker.text.clone()),
        (None, true) => Some(parsed.value("-i").map_or_else(|| "{}".to_owned(), |v| v.text.clone())),
        (None, false) => None,
    };
    let known = if parsed.has("-a") || parsed.has("-d") {
        None
    } else {
        items(shell, parsed.has("-0"), marker.is_some())
    };
    const MOST_ITEMS: usize = 128;
    let read = match (known, &shell.stdin) {
        (Some(known), _) if known.len() <= MOST_ITEMS => known,
        (_, Stdin::Found(output)) if !parsed.has("-a") => output.listed.clone(),
        _ => {
            let mut arg = Arg::unknown("xargs input", "xargs reads it from its input");
            arg.splits = marker.is_none();
            vec![arg]
        }
    };
    if matches!(shell.stdin, Stdin::Found(_)) && !parsed.has("-0") && !parsed.has("-a") {
        shell.opaque_as(Hazard::Arguments, "a found name with a blank in it is several names for xargs");
    }
    let command = if parsed.operands.is_empty() { vec![Arg::new("echo")] } else { parsed.operands };
    let stdin = std::mem::replace(&mut shell.stdin, Stdin::Text("".into()));
    match marker.filter(|m| !m.is_empty()) {
        Some(marker) => {
            for item in &read {
                let args: Vec<Arg> = command.iter().map(|arg| substituted(arg, &marker, item)).collect();
                shell.invoke(&args);
            }
        }
        None => {
            let mut args = command;
            args.extend(read);
            shell.invoke(&args);
        }
    }
    shell.stdin = stdin;
    shell.printed = None;
}

/// `arg` with `marker` replaced by `item`.
pub(super) fn substituted(arg: &Arg, marker: &str, item: &Arg) -> Arg {
    if !arg.text.contains(marker) {
        return arg.clone();
    }
    if arg.text == marker {
        return item.clone();
    }
    let mut whole = arg.clone();
    if whole.unknown.is_none() {
        whole.unknown.clone_from(&item.unknown);
        whole.known_bytes = arg.text.find(marker).unwrap_or(0);
        if item.tree {
            whole.unknown = Some("part of it is a name found by find".into());
        }
    }
    whole.text = arg.text.replace(marker, &item.text);
    whole
}

pub(super) fn parallel(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -j,--jobs= -a,--arg-file=r -S,--sshlogin= -I= -n,--max-args= -N= -L= -d,--delimiter= --colsep,-C= --results=w --joblog=w --tmpdir= --delay= --retries= --timeout= --halt= --workdir=",
        call.args,
    );
    shell.option_files(&parsed);
    let cut = parsed.operands.iter().position(|a| matches!(a.text.as_str(), ":::" | "::::" | ":::+"));
    let (command, listed) = match cut {
        Some(i) => (&parsed.operands[..i], Some(&parsed.operands[i + 1..])),
        None => (&parsed.operands[..], None),
    };
    let from_files = cut.is_some_and(|i| parsed.operands[i].text == "::::");
    const MOST_ITEMS: usize = 128;
    let simple = parsed.operands.iter().filter(|a| a.text.starts_with(":::")).count() <= 1 && !from_files;
    let known = match listed {
        Some(listed) if simple => Some(listed.to_vec()),
        Some(_) => None,
        None => items(shell, false, true),
    };
    let known = known.filter(|k| k.len() <= MOST_ITEMS);
    if from_files {
        for file in listed.unwrap_or_default() {
            shell.touch(Effect::Read, file);
        }
    }
    let read =
        known.unwrap_or_else(|| vec![Arg::unknown("parallel input", "parallel reads it from its input")]);
    let text = joined(command);
    if parsed.has("-S") {
        let host = parsed.value("-S").map_or("", |h| h.text.as_str()).to_owned();
        return shell.elsewhere(Elsewhere::Text(&text.text), Resource::new("host", host));
    }
    if command.is_empty() {
        for item in &read {
            code(shell, call.name, item, None);
        }
        return;
    }
    if !text.is_known() {
        return code(shell, call.name, &text, None);
    }
    // The command is a shell text in which `{}` stands for one (quoted) item.
    let text = if text.text.contains('{') { text.text.clone() } else { format!("{} {{}}", text.text) };
    let text = text.replace("{}", "\"$1\"").replace("{1}", "\"$1\"");
    if text.contains("{.}") || text.contains("{/}") || text.contains("{//}") || text.contains("{/.}") {
        shell.opaque_as(Hazard::Arguments, "parallel takes parts of the names it is given");
    }
    for item in read {
        shell.nested(&text, Some(vec![item]));
    }
}

pub(super) fn watch(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -n,--interval= -x,--exec", call.args);
    if parsed.has("-x") {
        return rest(shell, call, &parsed.operands);
    }
    if parsed.operands.is_empty() {
        return shell.execute(call.name);
    }
    let text = joined(&parsed.operands);
    code(shell, call.name, &text, None);
}

pub(super) fn chroot(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ --userspec= --groups= -u= -g= -G=", call.args);
    let root = parsed.operand(0).to_owned();
    shell.opaque_as(Hazard::Arguments, format!("the commands see `{}` as their root", excerpt(&root)));
    shell.elsewhere(Elsewhere::Args(skip(&parsed.operands, 1)), Resource::proc(call.name));
}

pub(super) fn flock(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -w,--timeout,--wait= -E,--conflict-exit-code= -u,--unlock", call.args);
    let Some(file) = parsed.operands.first() else {
        return shell.execute(call.name);
    };
    if !file.text.bytes().all(|b| b.is_ascii_digit()) {
        shell.touch(Effect::Create, file);
    }
    match parsed.operand(1) {
        "-c" | "--command" => {
            if let Some(text) = parsed.operands.get(2).cloned() {
                code(shell, call.name, &text, None);
            }
        }
        "" => {}
        _ => rest(shell, call, skip(&parsed.operands, 1)),
    }
}

pub(super) fn script(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -c,--command= -O,--log-out=w -I,--log-in=w -B,--log-io=w -T,--log-timing=w -t? -E= -o=",
        call.args,
    );
    shell.option_files(&parsed);
    match parsed.operands.first() {
        Some(file) => shell.touch(Effect::Write, file),
        None if !parsed.has("-O") => shell.touch(Effect::Write, &Arg::new("typescript")),
        None => {}
    }
    match parsed.value("-c").cloned() {
        Some(text) => code(shell, call.name, &text, None),
        None => {
            let after = skip(&parsed.operands, 1);
            if after.first().is_some_and(|a| a.text == "-c") {
                if let Some(text) = after.get(1).cloned() {
                    code(shell, call.name, &text, None);
                }
            } else if !after.is_empty() {
                rest(shell, call, after);
            }
        }
    }
}

pub(super) fn tracer(shell: &mut Shell<'_>, call: &Call<'_>) {
    let spec = match call.name {
        "gdb" => "+ -ex= -x=r -p,--pid= -c,--core=r --args -batch,--batch -quiet,-q -nx",
        "valgrind" => "+ --log-file=w --tool= --suppressions=r",
        _ => "+ -e= -o=w -p,--attach= -s= -S= -a= -u= -E= -P= -I= -b= -X= -F= -C=",
    };
    let parsed = shell.options(spec, call.args);
    shell.option_files(&parsed);
    if call.name != "valgrind" {
        // It stops a process that runs, and may change it.
        for process in parsed.values("-p") {
            super::system::process(shell, process);
        }
    }
    if call.name == "gdb" {
        let attached = parsed.values("-ex").filter_map(|command| {
            command.text.trim_start().strip_prefix("attach ").map(|process| command.with_text(process.trim()))
        });
        // `gdb program 123`.
        let second = parsed.operands.get(1).filter(|_| !parsed.has("--args")).cloned();
        let second = second.filter(|a| !a.text.is_empty() && a.text.bytes().all(|b| b.is_ascii_digit()));
        for process in attached.chain(second).collect::<Vec<_>>() {
            super::system::process(shell, &process);
        }
    }
    if parsed.has("-ex") || parsed.has("-x") {
        shell.opaque_as(Hazard::CommandWord, format!("{} runs commands of its own language", call.name));
    }
    let mut args = &parsed.operands[..];
    if call.name == "perf" {
        args = skip(args, 1);
        let inner = shell.options("+ -o,--output=w -e= -F= -g -p= -a", args);
        shell.option_files(&inner);
        return rest(shell, call, &inner.operands);
    }
    if call.name == "gdb" {
        shell.execute(call.name);
    }
    rest(shell, call, args);
}

/// What follows the options of `bwrap`, many of which take two values.
fn after_bwrap(args: &[Arg]) -> &[Arg] {
    let mut rest = args;
    while let Some(option) = rest.first().filter(|a| a.text.starts_with("--")) {
        let count = match option.text.as_str() {
            "--bind" | "--bind-try" | "--dev-bind" | "--dev-bind-try" | "--ro-bind" | "--ro-bind-try"
            | "--bind-fd" | "--ro-bind-fd" | "--bind-data" | "--ro-bind-data" | "--file" | "--symlink"
            | "--setenv" | "--chmod" => 3,
            "--chdir" | "--unsetenv" | "--uid" | "--gid" | "--hostname" | "--proc" | "--dev" | "--tmpfs"
            | "--mqueue" | "--dir" | "--lock-file" | "--sync-fd" | "--exec-label" | "--file-label"
            | "--seccomp" | "--add-seccomp-fd" | "--block-fd" | "--userns" | "--userns2" | "--pidns"
            | "--info-fd" | "--json-status-fd" | "--argv0" | "--cap-add" | "--cap-drop" | "--perms"
            | "--size" | "--remount-ro" | "--overlay-src" | "--tmp-overlay" | "--ro-overlay" => 2,
            _ => 1,
        };
        rest = skip(rest, count);
    }
    rest
}

/// Commands that give their command other rights or another view of the machine.
pub(super) fn sandbox(shell: &mut Shell<'_>, call: &Call<'_>) {
    let spec = match call.name {
        "pkexec" => "+ -u,--user= --disable-internal-agent --keep-cwd",
        "run0" => {
            "+ -u,--user= -g,--group= --nice= -D,--chdir= --setenv= --property= --unit= --slice= --description= --machine= --background= --empower"
        }
        "nsenter" => "+ -t,--target= -S,--setuid= -G,--setgid= -r,--root? -w,--wd? -W,--wdns=",
        "unshare" => {
            "+ --map-user= --map-group= --map-users= --map-groups= --propagation= --setgroups= -R,--root= -w,--wd= -S,--setuid= -G,--setgid= --monotonic= --boottime= -l,--load-interp="
        }
        _ => {
            "+ -t= -S= -G= -R,--root= -w= --user= -p,--property= -E,--setenv= --bind= --ro-bind= --dev= --proc= --tmpfs= --chdir= --profile= --caps= --gid= --uid="
        }
    };
    let args = if call.name == "bwrap" { after_bwrap(call.args) } else { call.args };
    let parsed = shell.options(spec, args);
    // Bubblewrap and firejail only take rights away.
    if !matches!(call.name, "bwrap" | "firejail") {
        shell.execute(call.name);
    }
    if !matches!(call.name, "pkexec" | "run0") {
        shell.opaque_as(
            Hazard::Arguments,
            format!("{} runs its command in a namespace of its own", call.name),
        );
    }
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("-D").cloned() {
        enter(shell, &folder);
    }
    if parsed.operands.is_empty() && matches!(call.name, "nsenter" | "unshare" | "run0" | "pkexec") {
        // They start a shell.
        super::interpreter::stdin_script(shell, call.name);
    } else {
        rest(shell, call, &parsed.operands);
    }
    shell.state.cwd = cwd;
}

/// `systemd-run` leaves a unit behind that the service manager runs, now or later.
pub(super) fn systemd_run(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -H,--host= -M,--machine= -u,--unit= -p,--property= --description= --slice= --service-type= --uid= --gid= --nice= --working-directory= -E,--setenv= --on-active= --on-boot= --on-startup= --on-unit-active= --on-unit-inactive= --on-calendar= --timer-property= --path-property= --socket-property= --background= --job-mode= -d,--same-dir",
        call.args,
    );
    if let Some(host) = parsed.value("-H").cloned() {
        shell.host(Verb::Execute, &host, None);
    }
    shell.act(Verb::Configure, "proc", call.name);
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("--working-directory").cloned() {
        enter(shell, &folder);
    }
    if !parsed.operands.is_empty() {
        rest(shell, call, &parsed.operands);
    }
    shell.state.cwd = cwd;
}

pub(super) fn busybox(shell: &mut Shell<'_>, call: &Call<'_>) {
    if call.args.first().is_some_and(|a| a.text.starts_with("--")) {
        return shell.execute(call.name);
    }
    shell.skip_functions = true;
    rest(shell, call, call.args);
}

pub(super) fn entr(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -s -c -r -d -n -p -z -a", call.args);
    shell.stdin = Stdin::Inherited;
    let found = Arg::unknown("/_", "entr puts the name of a changed file here");
    let args: Vec<Arg> = parsed.operands.iter().map(|a| substituted(a, "/_", &found)).collect();
    if parsed.has("-s") {
        code(shell, call.name, &joined(&args), None);
    } else {
        rest(shell, call, &args);
    }
}

pub(super) fn multiplexer(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.execute(call.name);
    if call.name == "screen" {
        let parsed = shell.options("+ -S= -p= -X -t= -c=r -L -Logfile=w -d -m -r -x -D -R -s=", call.args);
        if parsed.has("-X") {
            shell.opaque_as(Hazard::CommandWord, "screen types into another terminal");
        } else if !parsed.operands.is_empty() && !parsed.has("-r") && !parsed.has("-x") {
            shell.invoke(&parsed.operands);
        }
        return;
    }
    let parsed = shell.options("+ -L= -S= -f=r", call.args);
    let sub = parsed.operand(0).to_owned();
    let inner = shell.options("-s= -t= -n= -c= -e= -x= -y= -F= -l -d -p= -b=", skip(&parsed.operands, 1));
    match sub.as_str() {
        "new" | "new-session" | "new-window" | "neww" | "split-window" | "splitw" | "respawn-pane"
        | "respawn-window" | "run-shell" | "run" | "if-shell" | "if" | "pipe-pane" | "popup"
        | "display-popup"
            if !inner.operands.is_empty() =>
        {
            code(shell, call.name, &joined(&inner.operands), None);
        }
        "send-keys" | "send" => {
            shell.opaque_as(Hazard::CommandWord, "tmux types into another terminal");
            let keys: Vec<Arg> = inner
                .operands
                .iter()
                .filter(|a| !matches!(a.text.as_str(), "Enter" | "C-m" | "C-c" | "C-d" | "Space"))
                .cloned()
                .collect();
            code(shell, call.name, &joined(&keys), None);
        }
        _ => {}
    }
}

/// Types into whatever window is in front, which may be a terminal.
pub(super) fn typist(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.execute(call.name);
    let types = call.name == "wtype"
        || call.name == "dotool"
        || call.args.iter().any(|a| {
            !a.is_known() || matches!(a.text.as_str(), "type" | "key" | "keydown" | "click" | "exec" | "-")
        });
    if !types {
        return;
    }
    shell.opaque_as(Hazard::CommandWord, format!("{} types into another window", call.name));
    let after = call.args.iter().position(|a| matches!(a.text.as_str(), "type" | "exec"));
    let Some(after) = after.map(|i| i + 1).or((call.name == "wtype").then_some(0)) else {
        return;
    };
    let parsed = shell.options(
        "--delay= --window= --args= --terminator= --file=r --clearmodifiers --key-delay= -d= -k= -M= -m= -P= -p= -s=",
        skip(call.args, after),
    );
    shell.option_files(&parsed);
    if !parsed.operands.is_empty() {
        code(shell, call.name, &joined(&parsed.operands), None);
    }
}

pub(super) fn runcon(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -t= -u= -r= -l= -c", call.args);
    let skipped = usize::from(parsed.options.is_empty());
    rest(shell, call, skip(&parsed.operands, skipped));
}

pub(super) fn opaque_runner(shell: &mut Shell<'_>, call: &Call<'_>) {
    let after = call.args.iter().position(|a| a.text == "--").map(|i| &call.args[i + 1..]);
    let after = after.or(match (call.name, call.args.first().map(|a| a.text.as_str())) {
        ("direnv", Some("exec")) => Some(skip(call.args, 2)),
        ("envdir", _) => Some(skip(call.args, 1)),
        _ => None,
    });
    shell.execute(call.name);
    match after {
        Some(args) if !args.is_empty() => {
            shell.invoke(args);
        }
        _ if call.args.len() > 1 => {
            shell.opaque_as(Hazard::CommandWord, format!("{} may run a command of its own", call.name))
        }
        _ => {}
    }
}

// --- where we are ---

pub(super) fn cd(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let operands =
        call.args.iter().filter(|a| a.text == "-" || !a.text.starts_with('-') || !a.is_known()).count();
    if operands > 1 {
        // bash refuses this, zsh replaces one part of the path by another.
        shell.state.cwd = Err("`cd` with two folders".to_owned());
        return;
    }
    let operand = call
        .args
        .iter()
        .find(|a| a.text == "-" || !a.text.starts_with('-') || !a.is_known())
        .cloned()
        .unwrap_or_else(|| shell.home());
    change_to(shell, &operand);
}

fn change_to(shell: &mut Shell<'_>, target: &Arg) {
    let from = shell.state.cwd.clone();
    let old_is_set = shell.state.vars.contains_key("OLDPWD");
    if shell.state.vars.contains_key("PWD") || old_is_set {
        let vars = Rc::make_mut(&mut shell.state.vars);
        vars.remove("PWD");
        vars.remove("OLDPWD");
    }
    let to = if target.text == "-" && old_is_set {
        Err("OLDPWD was set by hand".to_owned())
    } else if target.text == "-" && target.is_known() {
        shell.state.old_cwd.clone().ok_or_else(|| "the folder before this one is not known".to_owned())
    } else if target.splits || !target.is_known() {
        Err(format!("`cd {}` goes to a folder that is not known", excerpt(&target.text)))
    } else if target.glob {
        Err(format!("`cd {}` goes to a folder that a pattern finds", excerpt(&target.text)))
    } else if target.text.is_empty() {
        from.clone()
    } else if target.text.starts_with('/') {
        shell.state.doubt = None;
        Ok(clean_path(&target.text, "/"))
    } else if shell.state.vars.contains_key("CDPATH") && !target.text.starts_with('.') {
        Err("CDPATH decides where `cd` goes".to_owned())
    } else {
        from.clone().map(|cwd| clean_path(&target.text, &cwd))
    };
    shell.state.old_cwd = from.ok();
    // No system goes into a folder with a longer path; following it would take ever longer.
    shell.state.cwd = to.and_then(|path| match path.len() {
        ..=MAX_PATH_BYTES => Ok(path),
        _ => Err("its path is longer than any system takes".to_owned()),
    });
}

/// PATH_MAX of Linux.
const MAX_PATH_BYTES: usize = 4_096;

pub(super) fn pushd(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let here = shell.state.cwd.clone();
    match call.args.iter().find(|a| a.text != "-n") {
        Some(target) if target.text.starts_with('+') || target.text.starts_with('-') => {
            shell.state.cwd = Err("pushd turns the stack of folders".to_owned());
        }
        Some(target) => {
            shell.state.pushed.push(here);
            change_to(shell, &target.clone());
        }
        None => match shell.state.pushed.pop() {
            Some(folder) => {
                shell.state.pushed.push(here);
                shell.state.cwd = folder;
            }
            None => shell.state.cwd = Err("pushd swaps folders that are not known".to_owned()),
        },
    }
}

pub(super) fn popd(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    shell.state.cwd = match (call.args.is_empty(), shell.state.pushed.pop()) {
        (true, Some(folder)) => folder,
        _ => Err("popd goes to a folder that is not known".to_owned()),
    };
}

pub(super) fn pwd(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    if call.name == "pwd" && call.args.is_empty() {
        shell.printed = shell.state.cwd.clone().ok().map(|cwd| cwd + "\n");
    }
}

// --- builtins ---

pub(super) fn inert(shell: &mut Shell<'_>, call: &Call<'_>) {
    match call.name {
        // Programs, and builtins with an effect.
        "sleep" => shell.execute(call.name),
        "bind" | "enable" | "complete" | "emulate" if call.args.len() > 1 => {
            shell.execute(call.name);
            shell.opaque_as(Hazard::CommandWord, format!("{} changes how the shell works", call.name));
        }
        "getopts" => {
            if let Some(name) = call.args.get(1).map(|a| a.text.clone()) {
                shell.set(&name, Value::One(Arg::unknown(format!("${name}"), "getopts sets it")));
            }
            shell.stay_silent(call.name);
        }
        "true" | ":" => {
            shell.printed = Some(String::new());
            shell.stay_silent(call.name);
        }
        _ => shell.stay_silent(call.name),
    }
}

pub(super) fn test(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
}

/// Text after the escapes of `echo -e` and `printf`; nothing if it stops early or is not clear.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'e' | 'E' => out.push('\u{1b}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            '\\' => out.push('\\'),
            '"' => out.push('"'),
            '\'' => out.push('\''),
            kind @ ('x' | '0'..='7') => {
                let (radix, most, seed) = match kind {
                    'x' => (16, 2, 0),
                    '0' => (8, 3, 0),
                    digit => (8, 2, digit.to_digit(8)?),
                };
                let mut value = seed;
                for _ in 0..most {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else {
                        break;
                    };
                    value = value * radix + digit;
                    chars.next();
                }
                out.push(char::from_u32(value).filter(char::is_ascii)?);
            }
            _ => return None,
        }
    }
    Some(out)
}

pub(super) fn echo(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let mut args = call.args;
    let (mut newline, mut escapes) = (true, false);
    while let Some((first, tail)) = args.split_first() {
        let flags =
            first.text.strip_prefix('-').filter(|f| !f.is_empty() && f.bytes().all(|b| b"neE".contains(&b)));
        let Some(flags) = flags else {
            break;
        };
        newline &= !flags.contains('n');
        escapes = flags.contains('e') || (escapes && !flags.contains('E'));
        args = tail;
    }
    if !args.iter().all(|a| a.is_known() && a.source.is_none() && !a.glob) {
        return;
    }
    let mut text = args.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(" ");
    if text.contains('\\') {
        // Without -e the shells differ about escapes.
        let Some(plain) = escapes.then(|| unescaped(&text)).flatten() else {
            return;
        };
        text = plain;
    }
    if newline {
        text.push('\n');
    }
    shell.printed = Some(text);
}

pub(super) fn printf(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let mut args = call.args;
    if args.first().is_some_and(|a| a.text == "-v") {
        if let Some(name) = args.get(1).map(|a| a.text.clone()) {
            shell.set(&name, Value::One(Arg::unknown(format!("${name}"), "printf sets it")));
        }
        return;
    }
    if args.first().is_some_and(|a| a.text == "--") {
        args = skip(args, 1);
    }
    let Some((format, values)) = args.split_first() else {
        return;
    };
    if !args.iter().all(|a| a.is_known() && a.source.is_none() && !a.glob) {
        return;
    }
    shell.printed = formatted(&format.text, values);
}

fn formatted(format: &str, values: &[Arg]) -> Option<String> {
    let format = unescaped(format)?;
    let mut out = String::new();
    let mut values = values.iter();
    loop {
        let before = values.len();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next()? {
                '%' => out.push('%'),
                's' | 'd' | 'i' => out.push_str(values.next().map_or("", |a| a.text.as_str())),
                'b' => out.push_str(&unescaped(values.next().map_or("", |a| a.text.as_str()))?),
                _ => return None,
            }
        }
        if values.len() == 0 || values.len() == before {
            return Some(out);
        }
    }
}

pub(super) fn leave(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    match call.name {
        "exit" => shell.state.dead = true,
        "return" => shell.jump(true, 1),
        _ => {
            let levels = call.args.first().map_or(1, |a| a.text.parse().unwrap_or(usize::MAX));
            shell.jump(false, levels);
        }
    }
}

pub(super) fn shift(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let count = call.args.first().map_or(Some(1), |a| a.text.parse::<usize>().ok());
    shell.state.positional = match (shell.state.positional.take(), count) {
        (Some(list), Some(count)) => Some(skip(&list, count).to_vec()),
        _ => None,
    };
}

pub(super) fn declare(shell: &mut Shell<'_>, call: &Call<'_>) {
    let flags: String = call.args.iter().filter(|a| a.text.starts_with('-')).map(|a| &a.text[1..]).collect();
    let exports = call.name == "export" || flags.contains('x');
    let operands: Vec<&Arg> = call.args.iter().filter(|a| !a.text.starts_with(['-', '+'])).collect();
    if operands.is_empty() && call.name != "local" {
        return shell.act(Verb::Read, "env", "*");
    }
    if exports && flags.contains('f') {
        for name in operands {
            if let Some(body) = shell.state.functions.get(&name.text).cloned() {
                // It may be called by any shell from here on, with any arguments.
                let unknown = Arg::unknown("$1", "the arguments of an exported function are not known");
                shell.call_function(&name.text, &body, &[unknown]);
            }
        }
        return shell.stay_silent(call.name);
    }
    shell.stay_silent(call.name);
    for operand in operands {
        // The value of an assignment is not split here.
        if operand.splits && !operand.known().contains('=') {
            shell.unknown(operand);
        }
        let (name, value) = match operand.text.split_once('=') {
            Some((name, _)) => (name.trim_end_matches('+').to_owned(), Some(operand.tail(name.len() + 1))),
            None => (operand.text.clone(), None),
        };
        let is_local = matches!(call.name, "local" | "declare" | "typeset") && !flags.contains('g');
        if is_local {
            shell.make_local(&name);
        }
        if let Some(mut value) = value {
            shell.watch_variable(&name, &value);
            if operand.text.contains("+=") || flags.contains(['i', 'n', 'u', 'l']) {
                value = Arg::unknown(format!("${name}"), &format!("variable {name} is computed"));
            }
            shell.set(&name, Value::One(value));
        } else if flags.contains('n') {
            shell.set(&name, Value::One(Arg::unknown(format!("${name}"), "a reference")));
        }
        if flags.contains('n') {
            // What is assigned to it is assigned to another variable.
            shell.state.tainted = Some("a reference".to_owned());
        }
        if call.name == "readonly" || flags.contains('r') {
            shell.readonly.insert(name.clone());
        }
        if exports {
            shell.act(Verb::Configure, "env", &name);
        }
    }
}

pub(super) fn unset(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let functions = call.args.iter().any(|a| a.text == "-f");
    for arg in call.args.iter().filter(|a| !a.text.starts_with('-')) {
        if !arg.is_known() {
            shell.taint("unset of a name that is not known");
        } else if functions {
            Rc::make_mut(&mut shell.state.functions).remove(&arg.text);
        } else {
            shell.set(&arg.text, Value::One(Arg::new("")));
            shell.act(Verb::Configure, "env", &arg.text);
        }
    }
}

pub(super) fn set(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    if call.args.is_empty() {
        return shell.act(Verb::Read, "env", "*");
    }
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        match arg.text.as_str() {
            "--" | "-" => {
                shell.state.positional = Some(args.cloned().collect());
                return;
            }
            "-o" => {
                if let Some(name) = args.next() {
                    shell.state.stops_on_error |= name.text == "errexit";
                }
            }
            "+e" => shell.state.stops_on_error = false,
            "+o" => {
                args.next();
            }
            flags if flags.starts_with('-') => {
                shell.state.stops_on_error |= flags.contains('e');
                if flags.ends_with('o') {
                    args.next();
                }
            }
            flags if flags.starts_with('+') => {}
            _ => {
                let mut list = vec![arg.clone()];
                list.extend(args.cloned());
                shell.state.positional = Some(list);
                return;
            }
        }
    }
}

pub(super) fn let_(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    for arg in call.args {
        if arg.text.contains("$(") || arg.text.contains('`') {
            shell.opaque_as(Hazard::CommandWord, format!("let runs the code in `{}`", excerpt(&arg.text)));
        }
        let name: String = arg.text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if !name.is_empty() {
            shell.set(&name, Value::One(Arg::unknown(format!("${name}"), "let computes it")));
        }
    }
}

pub(super) fn read(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let spec = if call.name == "read" {
        "-p= -t= -n= -N= -d= -u= -a= -i= -s -r -e"
    } else {
        "-t -n= -d= -u= -O= -C= -c= -s="
    };
    let parsed = shell.options(spec, call.args);
    let array = parsed.value("-a").cloned();
    let operands = if call.name == "read" && parsed.operands.is_empty() && array.is_none() {
        vec![Arg::new("REPLY")]
    } else {
        parsed.operands.clone()
    };
    for name in operands.iter().chain(array.iter()) {
        let why = format!("{} reads variable {} from its input", call.name, name.text);
        shell.set(&name.text, Value::One(Arg::unknown(format!("${}", name.text), &why)));
    }
}

pub(super) fn eval(shell: &mut Shell<'_>, call: &Call<'_>) {
    let text = joined(call.args);
    shell.execute("eval");
    shell.opaque_as(Hazard::CommandWord, format!("eval runs a text as code: `{}`", excerpt(&text.text)));
    if text.is_known() {
        shell.inline(&text.text);
    } else {
        shell.unknown(&text);
        shell.taint("eval");
    }
}

pub(super) fn source(shell: &mut Shell<'_>, call: &Call<'_>) {
    let Some(file) = call.args.first() else {
        return shell.execute(call.name);
    };
    if let Some(output) = &file.source {
        let stdin = std::mem::replace(&mut shell.stdin, output_stdin(output));
        super::interpreter::stdin_script(shell, call.name);
        shell.stdin = stdin;
    } else if matches!(file.text.as_str(), "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") {
        super::interpreter::stdin_script(shell, call.name);
    } else {
        // A name without a slash is looked for in PATH first, then here.
        shell.touch(Effect::Execute, file);
    }
    shell.taint(&format!("`{} {}`", call.name, excerpt(&file.text)));
}

pub(super) fn alias(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    for arg in call.args.iter().filter(|a| !a.text.starts_with('-')) {
        match arg.text.split_once('=') {
            Some((name, text)) if arg.is_known() => {
                Rc::make_mut(&mut shell.state.aliases).insert(name.to_owned(), text.to_owned());
                shell.act(Verb::Configure, "proc", name);
            }
            _ => shell.unknown(arg),
        }
    }
}

pub(super) fn trap(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.stay_silent(call.name);
    let args: Vec<&Arg> = call.args.iter().filter(|a| a.text != "--").collect();
    if args.len() < 2 || matches!(args[0].text.as_str(), "-" | "" | "-p" | "-l") {
        return;
    }
    if args[0].is_known() {
        // It runs later, in a shell that may have moved on.
        let text = args[0].text.clone();
        if args.iter().skip(1).any(|a| matches!(a.text.as_str(), "DEBUG" | "ERR" | "RETURN")) {
            // It runs between the commands and may change what they see.
            shell.inline(&text);
            shell.taint("a trap");
            shell.state.cwd = Err("a trap runs between the commands".to_owned());
        } else {
            shell.subshell(|shell| shell.inline(&text));
        }
    } else {
        shell.unknown(args[0]);
        shell.execute("trap");
        shell.opaque_as(
            Hazard::CommandWord,
            format!("trap runs code that is not known: `{}`", excerpt(&args[0].text)),
        );
    }
}

pub(super) fn printenv(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-0,--null", call.args);
    if parsed.operands.is_empty() {
        shell.act(Verb::Read, "env", "*");
    }
    for name in &parsed.operands {
        shell.act(Verb::Read, "env", &name.text);
    }
}

pub(super) fn history(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-c -d= -w -a -r -n -s -e=", call.args);
    let home = shell.home();
    let file = home.with_text(format!("{}/.bash_history", home.text));
    if parsed.has("-c") || parsed.has("-d") {
        shell.touch(Effect::Delete, &file);
    } else if parsed.has("-w") || parsed.has("-a") {
        shell.touch(Effect::Write, parsed.operands.first().unwrap_or(&file));
    } else if call.name == "fc" && parsed.has("-s") {
        shell.execute(call.name);
        shell.opaque_as(Hazard::CommandWord, "fc runs a command of the history again");
    } else {
        shell.touch(Effect::Read, &file);
    }
}

/// Whether a variable sends what other programs fetch or say to another machine, or decides whom
/// they trust.
fn leads_elsewhere(name: &str, value: &Arg) -> bool {
    let name = name.to_ascii_uppercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends(&["_BASE_URL", "_API_BASE", "_ENDPOINT_URL"]) {
        // A server that is being worked on.
        let host = value.text.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return !(value.is_known() && matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0"));
    }
    (name.ends_with("_PROXY") && name != "NO_PROXY")
        || ends(&["INDEX_URL", "REGISTRY", "CA_BUNDLE", "EXTRA_CA_CERTS", "REJECT_UNAUTHORIZED"])
        || ["SSL_CERT_", "GIT_SSL"].iter().any(|start| name.starts_with(start))
        || matches!(name.as_str(), "GOPROXY" | "GONOSUMDB" | "GONOSUMCHECK" | "GOINSECURE" | "DOCKER_HOST")
}

impl Shell<'_> {
    /// Forgets what variables hold, because code that is not known may have changed them.
    pub fn taint(&mut self, by: &str) {
        if self.state.vars.is_empty() {
            return;
        }
        let why = format!("it may be changed by {by}");
        let vars = Rc::make_mut(&mut self.state.vars);
        for (name, value) in vars.iter_mut() {
            *value = Value::One(Arg::unknown(format!("${name}"), &why));
        }
    }

    /// Variables that decide what other commands are or do.
    pub fn watch_variable(&mut self, name: &str, value: &Arg) {
        match name {
            "PATH" => {
                self.act(Verb::Configure, "env", name);
                let odd = value.text.split(':').any(|part| {
                    !matches!(part, "$PATH" | "${PATH}" | "\"$PATH\"")
                        && (!part.starts_with('/')
                            || part.starts_with("/tmp")
                            || part.starts_with("/var/tmp")
                            || part.starts_with("/dev"))
                });
                if odd {
                    self.opaque_as(
                        Hazard::CommandWord,
                        "PATH is changed: commands may not be what their names say",
                    );
                }
            }
            "LD_PRELOAD" | "LD_AUDIT" | "DYLD_INSERT_LIBRARIES" => {
                self.touch(Effect::Execute, value);
                self.act(Verb::Configure, "env", name);
                self.opaque_as(
                    Hazard::CommandWord,
                    format!("{name} puts code into every program that is run"),
                );
            }
            // `ENV=production` is no file of the shell's.
            "BASH_ENV" | "ENV" | "PYTHONSTARTUP"
                if !value.text.is_empty() && (name != "ENV" || value.text.contains(['/', '.', '$'])) =>
            {
                self.touch(Effect::Execute, value);
                self.act(Verb::Configure, "env", name);
                self.opaque_as(
                    Hazard::CommandWord,
                    format!("{name} runs a file in every shell or interpreter"),
                );
            }
            "RSYNC_RSH"
            | "TAR_OPTIONS"
            | "ZIPOPT"
            | "LESS"
            | "GIT_EXEC_PATH"
            | "GIT_TEMPLATE_DIR"
            | "CURL_HOME"
            | "WGETRC"
            | "RUSTC"
            | "FCEDIT"
            | "SUDO_EDITOR"
            | "SYSTEMD_EDITOR"
            | "PSQL_EDITOR"
            | "PSQL_PAGER"
            | "PYTHONBREAKPOINT"
            | "PYTHONHOME"
            | "BASH_LOADABLES_PATH"
            | "OPENSSL_CONF"
            | "OPENSSL_ENGINES"
            | "npm_config_script_shell"
            | "PS1"
            | "PS2"
            | "PROMPT_COMMAND"
            | "PS4"
            | "PERL5OPT"
            | "RUBYOPT"
            | "NODE_OPTIONS"
            | "GIT_SSH_COMMAND"
            | "GIT_SSH"
            | "GIT_EXTERNAL_DIFF"
            | "GIT_ASKPASS"
            | "GIT_PROXY_COMMAND"
            | "GIT_CONFIG_PARAMETERS"
            | "LESSOPEN"
            | "LESSCLOSE"
            | "SUDO_ASKPASS"
            | "SSH_ASKPASS"
            | "LD_LIBRARY_PATH"
            | "DYLD_LIBRARY_PATH"
            | "BASH_FUNC_ls%%"
            | "GCONV_PATH"
            | "PERL5DB"
            | "JAVA_TOOL_OPTIONS"
            | "_JAVA_OPTIONS"
            | "MAKEFLAGS"
            | "RUSTC_WRAPPER"
            | "CC"
            | "CXX" => {
                self.act(Verb::Configure, "env", name);
                let harmless =
                    matches!(name, "CC" | "CXX" | "MAKEFLAGS" | "LD_LIBRARY_PATH" | "DYLD_LIBRARY_PATH")
                        || (name == "NODE_OPTIONS"
                            && value.is_known()
                            && !value.text.contains("require")
                            && !value.text.contains("import")
                            && !value.text.contains("loader"))
                        || (matches!(name, "LESS" | "PS1" | "PS2")
                            && value.is_known()
                            && !value.text.contains(['!', '`', '$']))
                        || value.text.is_empty();
                if !harmless {
                    self.opaque_as(
                        Hazard::CommandWord,
                        format!("{name} makes other commands run its value: `{}`", excerpt(&value.text)),
                    );
                }
            }
            "PAGER"
            | "GIT_PAGER"
            | "MANPAGER"
            | "EDITOR"
            | "VISUAL"
            | "GIT_EDITOR"
            | "GIT_SEQUENCE_EDITOR"
            | "BROWSER" => {
                let program = value.text.split(' ').next().unwrap_or("");
                let usual = matches!(
                    program,
                    "" | "cat"
                        | "less"
                        | "more"
                        | "true"
                        | ":"
                        | "vim"
                        | "vi"
                        | "nano"
                        | "emacs"
                        | "code"
                        | "bat"
                );
                if !usual || !value.is_known() {
                    self.act(Verb::Configure, "env", name);
                    self.opaque_as(
                        Hazard::CommandWord,
                        format!("{name} makes other commands run its value: `{}`", excerpt(&value.text)),
                    );
                    if value.is_known() {
                        let text = value.text.clone();
                        self.nested(&text, Some(Vec::new()));
                    }
                }
            }
            "GIT_DIR" | "GIT_WORK_TREE" | "GIT_CONFIG_GLOBAL" | "GIT_INDEX_FILE" | "HISTFILE"
            | "HISTSIZE" | "PYTHONPATH" | "NODE_PATH" | "PERL5LIB" | "RUBYLIB" | "CLASSPATH"
            | "KUBECONFIG" | "AWS_PROFILE" | "DOCKER_HOST" | "http_proxy" | "https_proxy" | "HTTP_PROXY"
            | "HTTPS_PROXY" | "ALL_PROXY" => {
                self.act(Verb::Configure, "env", name);
                if matches!(name, "GIT_DIR" | "GIT_WORK_TREE" | "GIT_CONFIG_GLOBAL") {
                    self.head_moves("*");
                }
            }
            "TMPDIR" => self.other_tmp = true,
            _ if name.starts_with("FDR_") || leads_elsewhere(name, value) => {
                self.act(Verb::Configure, "env", name);
            }
            _ if name.starts_with("GIT_CONFIG_") => {
                self.act(Verb::Configure, "env", name);
                self.head_moves("*");
                let reason = format!("{name} configures git for one command");
                // Switching a file of settings off puts nothing in its place.
                if matches!(name, "GIT_CONFIG_NOSYSTEM" | "GIT_CONFIG_COUNT") || value.text == "/dev/null" {
                    self.opaque(reason);
                } else {
                    self.opaque_as(Hazard::CommandWord, reason);
                }
            }
            _ => {}
        }
    }
}
