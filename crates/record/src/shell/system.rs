//! Services, users, disks, processes and other parts of the system.

use super::expand::Arg;
use super::invoke::Call;
use super::options::Parsed;
use super::run::{Shell, Stdin};
use super::table::Effect;
use crate::{Action, Hazard, Resource, Verb};

fn configure(shell: &mut Shell<'_>, name: &str, destructive: bool) {
    let action = Action::new(Verb::Configure, Resource::proc(name));
    shell.push(if destructive { action.destructive() } else { action });
}

/// The operands of a command whose options do not matter.
fn plain(shell: &mut Shell<'_>, call: &Call<'_>, spec: &str) -> Vec<Arg> {
    let parsed = shell.options(spec, call.args);
    shell.option_files(&parsed);
    parsed.operands
}

pub(super) fn chmod(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-R,--recursive --reference=r -v -c -f", call.args);
    shell.option_files(&parsed);
    // `chmod -x file`: a mode that looks like options.
    let mode_is_option = call.args.iter().any(|a| {
        a.text.len() > 1
            && a.text.starts_with('-')
            && !a.text.starts_with("--")
            && a.text[1..].chars().all(|c| "rwxXst".contains(c))
    });
    let skip = usize::from(!parsed.has("--reference") && !mode_is_option);
    for file in parsed.operands.iter().skip(skip) {
        shell.touch_with(Effect::Configure, file, parsed.has("-R"));
    }
}

/// `getent hosts name` asks a name server.
pub(super) fn getent(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-s,--service= -i", call.args);
    shell.execute(call.name);
    if matches!(parsed.operand(0), "hosts" | "ahosts" | "ahostsv4" | "ahostsv6") {
        for host in parsed.operands.iter().skip(1) {
            shell.host(Verb::Network, host, None);
        }
    }
}

/// Gives a program rights that whoever runs it does not have.
pub(super) fn setcap(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-n= -r -q -v -f", call.args);
    shell.execute(call.name);
    if parsed.has("-v") {
        return;
    }
    // `setcap -r file`, else capabilities and files in turns.
    let (skip, step) = if parsed.has("-r") { (0, 1) } else { (1, 2) };
    for file in parsed.operands.iter().skip(skip).step_by(step) {
        shell.touch(Effect::Configure, file);
    }
}

pub(super) fn chattr(shell: &mut Shell<'_>, call: &Call<'_>) {
    let recursive = call.args.iter().any(|a| a.text == "-R");
    let files = call.args.iter().filter(|a| !a.text.starts_with(['-', '+', '=']));
    for file in files {
        shell.touch_with(Effect::Configure, file, recursive);
    }
}

pub(super) fn network_settings(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-n= -b,--batch=r -o -j -4 -6 -br");
    if call.args.iter().any(|a| a.text == "exec") {
        // `ip netns exec NAME command`.
        if let Some(at) = operands.iter().position(|a| a.text == "exec") {
            let command = operands.get(at + 2..).unwrap_or(&[]);
            shell.invoke(command);
            return;
        }
    }
    let changes = operands.iter().any(|a| {
        matches!(
            a.text.as_str(),
            "add"
                | "del"
                | "delete"
                | "set"
                | "change"
                | "replace"
                | "flush"
                | "up"
                | "down"
                | "modify"
                | "connect"
                | "addbr"
                | "delbr"
        )
    });
    if changes || call.args.iter().any(|a| a.text == "-b") {
        configure(shell, call.name, false);
    } else {
        shell.execute(call.name);
    }
}

pub(super) fn systemctl(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-H,--host= -M,--machine= -t,--type= -p,--property= -n,--lines= -o,--output= -s,--signal= --state= --root= --job-mode= --user --now -f", call.args);
    let sub = parsed.operand(0).to_owned();
    if let Some(host) = parsed.value("-H").cloned() {
        shell.host(Verb::Execute, &host, None);
    }
    let reads = matches!(
        sub.as_str(),
        "" | "status"
            | "is-active"
            | "is-enabled"
            | "is-failed"
            | "list-units"
            | "list-unit-files"
            | "list-timers"
            | "show"
            | "cat"
            | "list-dependencies"
            | "list-sockets"
            | "get-default"
            | "help"
            | "show-environment"
            | "list-jobs"
    );
    if reads {
        return shell.execute(call.name);
    }
    if matches!(
        sub.as_str(),
        "reboot"
            | "poweroff"
            | "halt"
            | "kexec"
            | "suspend"
            | "hibernate"
            | "rescue"
            | "emergency"
            | "soft-reboot"
            | "exit"
    ) {
        return configure(shell, &sub, true);
    }
    let units = parsed.operands.get(1..).unwrap_or(&[]);
    if units.is_empty() {
        configure(shell, call.name, false);
    }
    for unit in units {
        shell.unknown(unit);
        let path = unit.text.starts_with('/');
        if path {
            shell.touch(Effect::Configure, unit);
        } else {
            configure(
                shell,
                &format!("name/{}", unit.text),
                matches!(sub.as_str(), "mask" | "kill" | "clean"),
            );
        }
    }
}

pub(super) fn service(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "");
    match operands.get(1).map(|a| a.text.as_str()) {
        None | Some("status") => shell.execute(call.name),
        Some(_) => {
            shell.unknown(&operands[0]);
            configure(shell, &format!("name/{}", operands[0].text), false);
        }
    }
}

/// The recorder itself: what changes what it records or decides is apart from what only looks.
pub(super) fn recorder(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ --home=", call.args);
    let (sub, rest) = (parsed.operand(0).to_owned(), parsed.operands.get(1..).unwrap_or(&[]));
    if let Some(sub) = parsed.operands.first()
        && (!sub.is_known() || sub.splits || sub.glob || sub.source.is_some())
    {
        // It may be any, so the worst is taken.
        shell.unknown(sub);
        return configure(shell, "fdr/*", false);
    }
    // Options of the command may come before its own command.
    let inner = shell.options("--home= --reason= --lifetime= --session= --policy= --file=", rest);
    let what = inner.operand(0);
    match (sub.as_str(), what) {
        ("approvals", "grant" | "deny") => shell.act(Verb::Approve, "proc", "fdr/approvals"),
        ("policy", "check" | "test" | "decide" | "explain" | "list" | "diff" | "show" | "help")
        | ("approvals" | "intent", "show" | "list" | "help")
        | ("config", "" | "check" | "help") => shell.execute(call.name),
        ("stop" | "serve" | "install" | "uninstall" | "config" | "policy" | "intent" | "approvals", _) => {
            configure(shell, &format!("fdr/{sub}"), false);
        }
        ("run" | "mcp-proxy", _) => {
            shell.execute(call.name);
            // With `--` before it or without.
            let run = shell.options("+ --home= --name= --session= --as=", rest);
            shell.invoke(&run.operands);
        }
        (
            "" | "demo" | "doctor" | "sessions" | "show" | "tail" | "query" | "cat" | "verify" | "checkpoint"
            | "prove" | "replay" | "import" | "normalize" | "status" | "completions" | "help",
            _,
        ) => shell.execute(call.name),
        // One that this version does not have.
        _ => configure(shell, "fdr/*", false),
    }
}

pub(super) fn manager(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-o=w -c=r -n,--name= -i= --only=");
    let sub = operands.first().map_or("", |a| a.text.as_str());
    if matches!(
        sub,
        "list"
            | "status"
            | "print"
            | "ls"
            | "logs"
            | "show"
            | "read"
            | "get"
            | "--display"
            | "monit"
            | "describe"
            | "info"
    ) {
        return shell.execute(call.name);
    }
    if call.name == "pm2"
        && sub == "start"
        && let Some(file) = operands.get(1)
    {
        shell.touch(Effect::Execute, file);
    }
    if call.name == "launchctl" {
        for file in operands.iter().filter(|a| a.text.ends_with(".plist") || a.text.contains('/')) {
            shell.touch(Effect::Configure, file);
        }
    }
    let destructive = matches!(sub, "delete" | "kill" | "remove" | "terminate-user" | "terminate-session");
    configure(shell, call.name, destructive);
}

pub(super) fn logs(shell: &mut Shell<'_>, call: &Call<'_>) {
    let clears = call.args.iter().any(|a| {
        a.text.starts_with("--vacuum")
            || matches!(a.text.as_str(), "-C" | "--clear" | "-c" | "--rotate") && call.name == "dmesg"
    });
    if clears {
        shell.push(Action::new(Verb::Delete, Resource::proc(call.name)).destructive());
    } else {
        shell.execute(call.name);
    }
}

pub(super) fn crontab(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-u= -l -r -e -i -s", call.args);
    if parsed.has("-l") {
        return shell.act(Verb::Read, "proc", "crontab");
    }
    if let Some(file) = parsed.operands.first().filter(|f| f.text != "-") {
        if file.source.is_some() {
            shell.opaque_as(Hazard::CommandWord, "the commands in the crontab are not known");
        }
        shell.touch(Effect::Read, file);
    }
    configure(shell, "crontab", parsed.has("-r"));
    if parsed.has("-r") {
        return;
    }
    // The table is a list of commands that run later.
    match (shell.stdin.clone(), parsed.operands.is_empty() || parsed.operand(0) == "-") {
        (Stdin::Text(text), true) => {
            for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
                let fields = if line.starts_with('@') { 1 } else { 5 };
                let mut rest = line;
                for _ in 0..fields {
                    rest = rest.trim_start().split_once(char::is_whitespace).map_or("", |(_, r)| r);
                }
                // It runs in the home folder.
                let home = shell.home();
                let cwd = std::mem::replace(
                    &mut shell.state.cwd,
                    if home.is_known() {
                        Ok(home.text)
                    } else {
                        Err("the home folder is not known".to_owned())
                    },
                );
                if !rest.trim().is_empty() && !line.split_whitespace().next().is_some_and(|w| w.contains('='))
                {
                    shell.nested(rest.trim(), None);
                }
                shell.state.cwd = cwd;
            }
        }
        (Stdin::Inherited, _) => {}
        _ => shell.opaque_as(Hazard::CommandWord, "the commands in the crontab are not known"),
    }
}

pub(super) fn at(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-f=r -t= -q= -l -r -d -c -m -M", call.args);
    if parsed.has("-l") || parsed.has("-c") {
        return shell.execute(call.name);
    }
    configure(shell, "at", false);
    if let Some(file) = parsed.value("-f").cloned() {
        return shell.touch(Effect::Execute, &file);
    }
    if parsed.has("-r") || parsed.has("-d") {
        return;
    }
    super::interpreter::stdin_script(shell, call.name);
}

pub(super) fn mount(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-t,--types= -o,--options= -L= -U= -a,--all -l --bind,-B -f -r -w -v -d,--detach -D",
        call.args,
    );
    if parsed.operands.is_empty() && !parsed.has("-a") {
        return shell.execute(call.name);
    }
    if parsed.operands.is_empty() {
        configure(shell, call.name, false);
    }
    let binds = parsed.has("--bind") || parsed.values("-o").any(|o| o.text.contains("bind"));
    if let [source, target] = &parsed.operands[..] {
        if binds || source.text.starts_with("/dev/") {
            shell.touch(Effect::Read, source);
        }
        return shell.touch(Effect::Configure, target);
    }
    for place in &parsed.operands {
        shell.touch(Effect::Configure, place);
    }
}

pub(super) fn format(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(
        shell,
        call,
        "-t,--type= -L,--label= -U,--uuid= -b= -m= -N= -n= -O= -T= -E= -J= -i= -I= -d= -s=",
    );
    if let Some(device) = operands.first() {
        shell.touch(Effect::Overwrite, device);
    }
}

pub(super) fn disk(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-n= -t= -b= -o= -L= -d=r -s -f -y -a -p --key-file=r");
    let lists = call.args.iter().any(|a| {
        matches!(
            a.text.as_str(),
            "-l" | "--list"
                | "print"
                | "list"
                | "status"
                | "get"
                | "--detail"
                | "-I"
                | "-n"
                | "--verify"
                | "--examine"
        )
    });
    if lists {
        return shell.execute(call.name);
    }
    let mut named = false;
    for device in operands.iter().filter(|a| a.text.starts_with('/') || !a.is_known()) {
        named = true;
        shell.touch(Effect::Overwrite, device);
    }
    if !named {
        configure(shell, call.name, true);
    }
}

pub(super) fn firewall(shell: &mut Shell<'_>, call: &Call<'_>) {
    let has = |names: &[&str]| call.args.iter().any(|a| names.contains(&a.text.as_str()));
    let lists = has(&[
        "-L",
        "-S",
        "--list",
        "list",
        "status",
        "--list-all",
        "--state",
        "show",
        "-nL",
        "--list-rules",
    ]) && !has(&["-F", "-A", "-D", "-X"]);
    for arg in call.args.iter().filter(|a| a.splits) {
        shell.unknown(arg);
    }
    if lists {
        shell.execute(call.name);
    } else {
        configure(shell, call.name, has(&["-F", "--flush", "-X", "flush", "reset", "disable", "destroy"]));
    }
}

pub(super) fn users(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(
        shell,
        call,
        "-c,--comment= -d,--home,--home-dir= -e,--expiredate= -f= -g,--gid,--ingroup= -G,--groups= -u,--uid= -s,--shell= -p,--password= -l,--login= -k= -K= -M -m -a -r,--remove -U -A= -R= --gecos= -n=",
    );
    let removes = matches!(call.name, "userdel" | "deluser" | "groupdel" | "delgroup");
    if operands.is_empty() {
        return configure(shell, call.name, false);
    }
    for name in &operands {
        shell.unknown(name);
    }
    let name = format!("user/{}", operands.last().map_or("*", |a| a.text.as_str()));
    let action =
        Action::new(if removes { Verb::Delete } else { Verb::Configure }, Resource::new("tool", name));
    shell.push(if removes { action.destructive() } else { action });
}

pub(super) fn passwd(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-n= -x= -w= -i= -c= -R= -l -u -d -e -S");
    let name = operands.first().map_or("*", |a| a.text.as_str()).to_owned();
    shell.act(Verb::Configure, "secret", &format!("password/{name}"));
}

pub(super) fn kill(shell: &mut Shell<'_>, call: &Call<'_>) {
    if call.args.iter().any(|a| matches!(a.text.as_str(), "-l" | "-L" | "--list" | "-0")) {
        return shell.execute(call.name);
    }
    // The first argument may be a signal; after it, what begins with `-` is a process group.
    let (mut signal, mut processes) = (String::new(), call.args);
    while let Some((first, tail)) = processes.split_first() {
        let Some(name) = first.text.strip_prefix('-').filter(|_| signal.is_empty() && first.is_known())
        else {
            break;
        };
        processes = tail;
        match (name, tail.split_first()) {
            ("s" | "n" | "-signal", Some((value, rest))) => {
                signal.clone_from(&value.text);
                processes = rest;
            }
            ("-", _) => break,
            _ => signal = name.trim_start_matches("-signal=").to_owned(),
        }
    }
    if processes.first().is_some_and(|a| a.text == "--") {
        processes = &processes[1..];
    }
    let signal = signal.to_ascii_uppercase();
    let hard = matches!(signal.as_str(), "9" | "KILL" | "SIGKILL");
    let every = processes.iter().any(|p| p.text == "-1");
    if processes.is_empty() {
        shell.execute(call.name);
    }
    for process in processes {
        if process.is_known() {
            let kind = if process.text.starts_with('%') { "job" } else { "pid" };
            configure(shell, &format!("{kind}/{}", process.text), hard || every);
        } else if let Some(name) = looked_up(&process.text) {
            configure(shell, &format!("name/{name}"), hard);
        } else {
            shell.unknown(process);
            configure(shell, "pid/*", hard);
        }
    }
}

/// The program of which `$(pidof x)` or `$(pgrep -f x)` gives the processes.
fn looked_up(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("$(").and_then(|t| t.strip_suffix(')'));
    let inside = inside.or_else(|| text.strip_prefix('`').and_then(|t| t.strip_suffix('`')))?;
    let mut rest = inside.trim().strip_prefix("pidof ").or_else(|| inside.trim().strip_prefix("pgrep "))?;
    while let Some(option) = rest.trim_start().strip_prefix('-') {
        rest = option.split_once(' ')?.1;
    }
    let rest = rest.trim();
    let quoted = ['\'', '"'].iter().find_map(|q| rest.strip_prefix(*q)?.strip_suffix(*q));
    let plain = |c: char| c.is_alphanumeric() || "._-/[]^:".contains(c) || (c == ' ' && quoted.is_some());
    let name = quoted.unwrap_or(rest);
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

pub(super) fn kill_by_name(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-s,--signal= -u,--euid,--user= -U,--uid= -g,--pgroup= -G,--group= -P,--parent= --session= -t,--terminal= -o -n -f -x -9 -KILL,-SIGKILL -e -v -I -i -w -F,--pidfile=r --ns=", call.args);
    shell.option_files(&parsed);
    let hard = is_hard(&parsed);
    if parsed.operands.is_empty() {
        // Those of a user, a group, a terminal, a parent, or in a file.
        unknown_process(shell, call.name, hard);
    }
    for name in &parsed.operands {
        shell.unknown(name);
        configure(shell, &format!("name/{}", name.text), hard);
    }
}

fn is_hard(parsed: &Parsed<'_>) -> bool {
    parsed.has("-9")
        || parsed.has("-KILL")
        || parsed.values("-s").any(|s| matches!(s.text.as_str(), "KILL" | "SIGKILL" | "9"))
}

/// A command reaches processes that its text does not name.
fn unknown_process(shell: &mut Shell<'_>, name: &str, destructive: bool) {
    shell.opaque_as(Hazard::Arguments, format!("which processes {name} reaches is not known"));
    configure(shell, "pid/*", destructive);
}

/// One process that is changed or looked into, by its number.
pub(super) fn process(shell: &mut Shell<'_>, process: &Arg) {
    if process.is_known() {
        configure(shell, &format!("pid/{}", process.text), false);
    } else {
        shell.unknown(process);
        configure(shell, "pid/*", false);
    }
}

/// `skill` takes numbers and names alike.
pub(super) fn kill_any(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell
        .options("-s,--signal= -u,--user= -t,--tty= -p,--pid= -c,--command= -9 -KILL,-SIGKILL", call.args);
    let hard = is_hard(&parsed);
    let given = parsed.values("-p").chain(parsed.values("-c")).chain(&parsed.operands);
    let mut named = false;
    for process in given {
        named = true;
        shell.unknown(process);
        let kind = if process.text.bytes().all(|b| b.is_ascii_digit()) { "pid" } else { "name" };
        configure(shell, &format!("{kind}/{}", process.text), hard);
    }
    if !named {
        unknown_process(shell, call.name, hard);
    }
}

/// All processes but those of its own session.
pub(super) fn kill_all(shell: &mut Shell<'_>, _: &Call<'_>) {
    configure(shell, "pid/-1", true);
}

/// `fuser -k` ends whatever has a file or a port open.
pub(super) fn fuser(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed =
        shell.options("+ -k,--kill -n,--namespace= -m,-M,--mount,-c -a -i -u -v -s -4 -6 -l", call.args);
    // A signal (`-TERM`) may stand anywhere before the files.
    let signal =
        |a: &&Arg| a.text.strip_prefix('-').is_some_and(|s| s.bytes().all(|b| b.is_ascii_uppercase()));
    let kills = parsed.has("-k") || call.args.iter().any(|a| a.text == "-k" || a.text == "--kill");
    if !kills {
        return shell.execute(call.name);
    }
    let space = parsed.value("-n").map(|space| space.text.clone());
    for target in parsed.operands.iter().filter(|a| !signal(a) && !a.text.starts_with('-')) {
        let port = target.text.split_once('/').is_some_and(|(port, protocol)| {
            port.bytes().all(|b| b.is_ascii_digit() || b == b',')
                && matches!(protocol, "tcp" | "udp" | "sctp")
        });
        match &space {
            Some(space) if space != "file" => {
                configure(shell, &format!("port/{}/{space}", target.text), true)
            }
            _ if port => configure(shell, &format!("port/{}", target.text), true),
            _ => {
                shell.touch(Effect::Configure, target);
                unknown_process(shell, call.name, true);
            }
        }
    }
}

/// `renice`, `gcore` and `reptyr` work on processes that run.
pub(super) fn on_processes(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-n,--priority= -g,--pgrp -u,--user -p,--pid -o=w -l -s -T= -a", call.args);
    shell.option_files(&parsed);
    if parsed.has("-u") || parsed.operands.is_empty() {
        return unknown_process(shell, call.name, false);
    }
    // `renice 10 123`: the priority first.
    let skip = usize::from(call.name == "renice" && !parsed.has("-n"));
    for operand in parsed.operands.iter().skip(skip) {
        process(shell, operand);
    }
}

pub(super) fn power(shell: &mut Shell<'_>, call: &Call<'_>) {
    let cancels = call.args.iter().any(|a| a.text == "-c");
    configure(shell, call.name, !cancels);
}

pub(super) fn sysctl(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-w,--write -p,--load? -a,--all -n -e -q -f?", call.args);
    if parsed.has("-p") || parsed.has("-f") {
        let file = parsed
            .value("-p")
            .cloned()
            .or(parsed.operands.first().cloned())
            .unwrap_or_else(|| Arg::new("/etc/sysctl.conf"));
        shell.touch(Effect::Read, &file);
        return configure(shell, call.name, false);
    }
    if parsed.has("-w") || parsed.operands.iter().any(|a| a.text.contains('=')) {
        configure(shell, call.name, false);
    } else {
        shell.execute(call.name);
    }
}

pub(super) fn module(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-C= -d= -S= -r,--remove -a -l=r --initrd=r");
    if (call.name == "insmod" || call.name == "kexec")
        && let Some(file) = operands.first()
    {
        shell.touch(Effect::Execute, file);
    }
    let name = operands.first().map_or("*", |a| a.text.as_str()).to_owned();
    shell.act(Verb::Configure, "tool", &format!("kernel/{name}"));
}

pub(super) fn date(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-d,--date= -f,--file=r -r,--reference= -s,--set= -I? -u -R -j -v= --iso-8601? --rfc-3339=",
        call.args,
    );
    shell.option_files(&parsed);
    if parsed.has("-s") {
        configure(shell, call.name, false);
    } else {
        shell.execute(call.name);
    }
}

pub(super) fn hostname(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-F,--file=r -b");
    if operands.is_empty() && !call.args.iter().any(|a| a.text.starts_with("-F")) {
        shell.execute(call.name);
    } else {
        configure(shell, call.name, false);
    }
}

pub(super) fn gpg(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-o,--output=w -r,--recipient= -u,--local-user= -R,--hidden-recipient= --homedir=r --passphrase= --passphrase-file=r --passphrase-fd= --pinentry-mode= --keyserver= --default-key= --cipher-algo= --status-fd= --keyring=r --recv-keys,--receive-keys --send-keys --search-keys --refresh-keys --import --export --export-secret-keys,--export-secret-subkeys --delete-keys,--delete-key --delete-secret-keys,--delete-secret-key,--delete-secret-and-public-key --gen-key,--generate-key,--full-generate-key,--quick-generate-key -k,--list-keys -K,--list-secret-keys -d,--decrypt -e,--encrypt -s,--sign -b,--detach-sign --clearsign -c,--symmetric --verify --edit-key --dearmor -a,--armor",
        call.args,
    );
    shell.option_files(&parsed);
    let server = parsed.value("--keyserver").map_or("keyserver", |s| s.text.as_str()).to_owned();
    if parsed.has("--recv-keys") || parsed.has("--search-keys") || parsed.has("--refresh-keys") {
        shell.act(Verb::Network, "host", &server);
        return shell.act(Verb::Configure, "secret", "gpg");
    }
    if parsed.has("--send-keys") {
        return shell.act(Verb::Send, "host", &server);
    }
    if parsed.has("--export-secret-keys") {
        return shell.act(Verb::Read, "secret", "gpg");
    }
    if parsed.has("--delete-secret-keys") || parsed.has("--delete-keys") {
        let action = Action::new(Verb::Delete, Resource::new("secret", "gpg"));
        return shell.push(action.destructive());
    }
    if parsed.has("--gen-key") || parsed.has("--edit-key") || parsed.has("--import") {
        for file in parsed.operands.iter().filter(|_| parsed.has("--import")) {
            shell.touch(Effect::Read, file);
        }
        return shell.act(Verb::Configure, "secret", "gpg");
    }
    if parsed.has("-k") || parsed.has("-K") || parsed.has("--export") {
        return shell.execute(call.name);
    }
    for file in parsed.operands.iter().filter(|f| f.text != "-") {
        shell.touch(Effect::Read, file);
        if !parsed.has("-o") && file.is_known() {
            if parsed.has("-e") || parsed.has("-c") {
                shell.touch(Effect::Create, &file.with_text(format!("{}.gpg", file.text)));
            } else if parsed.has("-b") {
                shell.touch(Effect::Create, &file.with_text(format!("{}.sig", file.text)));
            }
        }
    }
}

pub(super) fn secrets(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-s= -a= -w -l= -o,--out-file=w", call.args);
    shell.option_files(&parsed);
    let name = format!("{}/{}", call.name, parsed.operands.last().map_or("*", |a| a.text.as_str()));
    let sub = parsed.operand(0);
    // `vault kv put`, `op item delete`, `security add-generic-password`.
    let verb_of = |operand: &str| match operand.split('-').next().unwrap_or("") {
        "insert" | "generate" | "edit" | "add" | "set" | "store" | "put" | "write" | "create" | "init"
        | "import" | "login" | "unlock" | "patch" => Some(Verb::Configure),
        "rm" | "delete" | "clear" | "remove" | "destroy" | "revoke" => Some(Verb::Delete),
        _ => None,
    };
    let verb = verb_of(sub).or_else(|| verb_of(parsed.operand(1))).unwrap_or(Verb::Read);
    let action = Action::new(verb, Resource::new("secret", name));
    shell.push(if verb == Verb::Delete { action.destructive() } else { action });
    // `op run -- command`.
    if sub == "run"
        && let Some(at) = call.args.iter().position(|a| a.text == "--")
    {
        shell.invoke(&call.args[at + 1..]);
    }
}

pub(super) fn open(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands = plain(shell, call, "-a= -b= -n -g -W");
    shell.execute(call.name);
    for operand in &operands {
        if operand.text.contains("://") {
            shell.url(Verb::Network, operand);
        } else {
            shell.touch(Effect::Read, operand);
        }
    }
}

pub(super) fn agent(shell: &mut Shell<'_>, call: &Call<'_>) {
    for arg in call.args.iter().filter(|a| a.splits) {
        shell.unknown(arg);
    }
    shell.act(Verb::Delegate, "agent", call.name);
    // `claude mcp add`, `codex mcp add`, `gemini extensions install`: its settings change.
    let words: Vec<&str> =
        call.args.iter().map(|a| a.text.as_str()).filter(|t| !t.starts_with('-')).collect();
    let area = match &words[..] {
        [
            area @ ("mcp" | "config" | "plugin" | "plugins" | "extensions" | "extension" | "hooks"),
            sub,
            ..,
        ] => {
            let looks = matches!(*sub, "list" | "get" | "ls" | "show" | "view" | "validate");
            (!looks).then_some(*area)
        }
        _ => None,
    };
    if let Some(area) = area {
        let name = if call.name == "claude" { "claude-code" } else { call.name };
        shell.act(Verb::Configure, "tool", &format!("{name}/{area}"));
    }
}
