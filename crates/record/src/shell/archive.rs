//! Archives: what goes in is read, what comes out is written.

use super::expand::Arg;
use super::invoke::Call;
use super::options::Parsed;
use super::run::Shell;
use super::table::Effect;
use super::wrapper::code;
use crate::Hazard;

/// The working directory, as an argument.
fn here() -> Arg {
    Arg::new(".")
}

/// Goes to `folder` for the time of `inside`.
fn within(shell: &mut Shell<'_>, folder: Option<&Arg>, inside: impl FnOnce(&mut Shell<'_>)) {
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = folder {
        shell.state.cwd = match shell.path(folder) {
            Some(path) => Ok(path),
            None => Err(format!("`{}` is not known", folder.text)),
        };
    }
    inside(shell);
    shell.state.cwd = cwd;
}

pub(super) fn tar(shell: &mut Shell<'_>, call: &Call<'_>) {
    // The old way, `tar xzf file`: the letters first, their values after them in order.
    let mut args: Vec<Arg> = Vec::new();
    let mut given = call.args.iter().cloned();
    if let Some(first) = given.next() {
        if first.is_known() && !first.text.starts_with('-') {
            for letter in first.text.chars() {
                args.push(Arg::new(format!("-{letter}")));
                if "fCbTXgKNVHILF".contains(letter) {
                    args.extend(given.next());
                }
            }
        } else {
            args.push(first);
        }
        args.extend(given);
    }
    let parsed = shell.options(
        "-f,--file= -C,--directory,--cd= -c,--create -x,--extract,--get -t,--list -r,--append -u,--update -A,--catenate,--concatenate --delete -d,--diff,--compare -b,--blocking-factor= -T,--files-from=r -X,--exclude-from=r --exclude= -g,--listed-incremental=w -K,--starting-file= -N,--newer= -V,--label= -H,--format= -I,--use-compress-program= --to-command= --checkpoint= --checkpoint-action= -F,--info-script,--new-volume-script= --rsh-command= --transform,--xform= --strip-components= --owner= --group= --mode= --mtime= --remove-files -P,--absolute-names -O,--to-stdout --one-top-level? -m -p --index-file=w -L= -s= --rmt-command=",
        &args,
    );
    shell.option_files(&parsed);
    for option in ["-I", "--to-command", "-F", "--rsh-command", "--rmt-command"] {
        if let Some(text) = parsed.value(option).cloned() {
            code(shell, call.name, &text, Some(Vec::new()));
        }
    }
    for action in parsed.values("--checkpoint-action") {
        if let Some(command) = action.text.strip_prefix("exec=") {
            let text = action.with_text(command);
            code(shell, call.name, &text, Some(Vec::new()));
        } else if !action.is_known() {
            shell.unknown(action);
        }
    }
    if parsed.has("-T") {
        shell.opaque_as(Hazard::Arguments, "tar takes the names of its files from a file");
    }
    let archive = parsed.value("-f").filter(|f| f.text != "-").cloned();
    // `host:file` is an archive on another machine.
    let remote = archive.as_ref().filter(|a| a.is_known()).and_then(|a| a.text.split_once(':'));
    let remote = remote.map(|(host, _)| host).filter(|host| !host.contains('/')).map(str::to_owned);
    if let Some(host) = &remote {
        let host = host.rsplit('@').next().unwrap_or(host).to_owned();
        let verb = if parsed.has("-c") { crate::Verb::Send } else { crate::Verb::Network };
        shell.act(verb, "host", &host);
    }
    let archive = if remote.is_some() { None } else { archive };
    let on_archive = |shell: &mut Shell<'_>, effect| {
        if let Some(archive) = &archive {
            shell.touch(effect, archive);
        }
    };
    if parsed.has("-c") || parsed.has("-r") || parsed.has("-u") {
        tar_members(shell, &parsed, &args);
        on_archive(shell, if parsed.has("-c") { Effect::Create } else { Effect::Write });
    } else if parsed.has("-A") || parsed.has("--delete") {
        on_archive(shell, Effect::Write);
    } else if parsed.has("-x") {
        on_archive(shell, Effect::Read);
        if !parsed.has("-O") {
            if parsed.has("-P") {
                shell.opaque_as(Hazard::Arguments, "the archive may write to absolute paths");
            }
            within(shell, parsed.value("-C"), |shell| shell.touch_with(Effect::Write, &here(), true));
        }
    } else if parsed.has("-t") || parsed.has("-d") {
        on_archive(shell, Effect::Read);
    }
    if archive.is_none() && remote.is_none() {
        shell.execute(call.name);
    }
}

/// What goes into the archive. Each `-C` counts for the members after it.
fn tar_members(shell: &mut Shell<'_>, parsed: &Parsed<'_>, args: &[Arg]) {
    let cwd = shell.state.cwd.clone();
    let removes = parsed.has("--remove-files");
    let mut members = parsed.operands.iter();
    // Walk the arguments once more for the order of `-C` and members.
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let folder = if arg.text == "-C" || arg.text == "--directory" || arg.text == "--cd" {
            rest.next().cloned()
        } else {
            arg.text.strip_prefix("--directory=").map(|attached| arg.with_text(attached))
        };
        if let Some(folder) = folder {
            shell.state.cwd = match shell.path(&folder) {
                Some(path) => Ok(path),
                None => Err(format!("`{}` is not known", folder.text)),
            };
            continue;
        }
        let is_member = members.clone().next().is_some_and(|m| m.text == arg.text);
        if is_member && let Some(member) = members.next() {
            shell.touch_with(Effect::Read, member, true);
            if removes {
                shell.touch_with(Effect::Delete, member, true);
            }
        }
    }
    // Clusters such as `-cC dir` hide the order: the last folder is good for what is left.
    let folder = parsed.value("-C").cloned();
    for member in members {
        within(shell, folder.as_ref(), |shell| shell.touch_with(Effect::Read, member, true));
    }
    shell.state.cwd = cwd;
}

pub(super) fn zip(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-r,--recurse-paths -m,--move -d,--delete -x,--exclude= -i,--include= -P,--password= -b,--temp-path= -O,--output-file=c -n= -t= -tt= -s= -TT,--unzip-command= -T,--test -j -q -u -f -e",
        call.args,
    );
    shell.option_files(&parsed);
    if let Some(text) = parsed.value("-TT").cloned() {
        code(shell, call.name, &text, None);
    }
    if call.args.iter().any(|a| a.text == "-@") {
        shell.opaque_as(Hazard::Arguments, "zip takes the names of its files from its input");
    }
    let Some((archive, members)) = parsed.operands.split_first() else {
        return shell.execute(call.name);
    };
    if parsed.has("-d") {
        return shell.touch(Effect::Write, archive);
    }
    for member in members {
        shell.touch_with(Effect::Read, member, parsed.has("-r"));
        if parsed.has("-m") {
            shell.touch_with(Effect::Delete, member, parsed.has("-r"));
        }
    }
    if archive.text != "-" {
        shell.touch(Effect::Create, archive);
    }
}

pub(super) fn unzip(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-d= -x= -P= -l -t -v -p -c -Z -z -o -q -j", call.args);
    let Some(archive) = parsed.operands.first() else {
        return shell.execute(call.name);
    };
    shell.touch(Effect::Read, archive);
    if ["-l", "-t", "-v", "-p", "-c", "-Z", "-z"].iter().any(|o| parsed.has(o)) {
        return;
    }
    let folder = parsed.value("-d").cloned().unwrap_or_else(here);
    shell.touch_with(Effect::Write, &folder, true);
}

pub(super) fn compressor(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-c,--stdout,--to-stdout -d,--decompress,--uncompress -k,--keep -l,--list -t,--test -S,--suffix= -o,--output=w -D=r --rm -r,--recursive -T,--threads= -f -q -v -b= -p=",
        call.args,
    );
    shell.option_files(&parsed);
    let name = call.name;
    let expands = parsed.has("-d") || name.starts_with("un") || matches!(name, "gunzip" | "bunzip2");
    let reads_only = parsed.has("-c") || parsed.has("-l") || parsed.has("-t") || parsed.has("-o");
    let suffix = match name.trim_start_matches("un") {
        "gzip" | "gunzip" | "pigz" => ".gz",
        "bzip2" | "bunzip2" | "pbzip2" => ".bz2",
        "xz" => ".xz",
        "lzma" => ".lzma",
        "lzip" => ".lz",
        "lz4" => ".lz4",
        "zstd" => ".zst",
        "brotli" => ".br",
        _ => ".Z",
    };
    let keeps = parsed.has("-k")
        || (matches!(name, "zstd" | "unzstd" | "lz4" | "unlz4" | "brotli") && !parsed.has("--rm"));
    for file in &parsed.operands {
        if file.text == "-" {
            continue;
        }
        shell.touch_with(Effect::Read, file, parsed.has("-r"));
        if reads_only || !file.is_known() {
            continue;
        }
        if file.tree || parsed.has("-r") {
            // The names of what is found are not known.
            shell.touch_with(Effect::Write, file, true);
            continue;
        }
        let other = if expands {
            file.text.strip_suffix(suffix).or(file.text.strip_suffix(".tgz")).map(str::to_owned)
        } else {
            Some(format!("{}{suffix}", file.text))
        };
        match other {
            Some(other) => shell.touch(Effect::Create, &file.with_text(other)),
            None => shell.touch(Effect::Write, file),
        }
        if !keeps {
            // The content lives on under the other name.
            shell.touch(Effect::Remove, file);
        }
    }
}

pub(super) fn seven_zip(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut operands = call.args.iter().filter(|a| !a.text.starts_with('-'));
    let sub = operands.next().map_or("", |a| a.text.as_str());
    let folder = call.args.iter().find(|a| a.text.starts_with("-o")).map(|a| a.tail(2));
    let Some(archive) = operands.next() else {
        return shell.execute(call.name);
    };
    match sub {
        "a" | "u" => {
            for member in operands {
                shell.touch_with(Effect::Read, member, true);
                if call.args.iter().any(|a| a.text == "-sdel") {
                    shell.touch_with(Effect::Delete, member, true);
                }
            }
            shell.touch(Effect::Create, archive);
        }
        "x" | "e" => {
            shell.touch(Effect::Read, archive);
            shell.touch_with(Effect::Write, &folder.unwrap_or_else(here), true);
        }
        "d" | "rn" => shell.touch(Effect::Write, archive),
        _ => shell.touch(Effect::Read, archive),
    }
}

pub(super) fn rar(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut operands = call.args.iter().filter(|a| !a.text.starts_with('-'));
    let sub = operands.next().map_or("", |a| a.text.as_str());
    let Some(archive) = operands.next() else {
        return shell.execute(call.name);
    };
    match sub {
        "a" | "m" | "u" => {
            for member in operands {
                shell.touch_with(Effect::Read, member, true);
                if sub == "m" {
                    shell.touch_with(Effect::Delete, member, true);
                }
            }
            shell.touch(Effect::Create, archive);
        }
        "x" | "e" => {
            shell.touch(Effect::Read, archive);
            let folder = operands.next_back().cloned().unwrap_or_else(here);
            shell.touch_with(Effect::Write, &folder, true);
        }
        _ => shell.touch(Effect::Read, archive),
    }
}

pub(super) fn cpio(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-o,--create -i,--extract -p,--pass-through -t,--list -F,--file= -O=c -I=r -D,--directory= -E,--pattern-file=r -H,--format= -R,--owner= -C= --rsh-command=",
        call.args,
    );
    shell.option_files(&parsed);
    if let Some(command) = parsed.value("--rsh-command").cloned() {
        code(shell, call.name, &command, None);
    }
    let archive = parsed.value("-F").cloned();
    let folder = parsed.value("-D").cloned().unwrap_or_else(here);
    if parsed.has("-o") {
        shell.opaque_as(Hazard::Arguments, "cpio reads the names of its files from its input");
        if let Some(archive) = archive {
            shell.touch(Effect::Create, &archive);
        }
    } else if parsed.has("-p") {
        shell.opaque_as(Hazard::Arguments, "cpio reads the names of its files from its input");
        let target = parsed.operands.first().cloned().unwrap_or_else(here);
        shell.touch_with(Effect::Write, &target, true);
    } else {
        if let Some(archive) = archive {
            shell.touch(Effect::Read, &archive);
        }
        if !parsed.has("-t") {
            shell.touch_with(Effect::Write, &folder, true);
        }
    }
}

pub(super) fn ar(shell: &mut Shell<'_>, call: &Call<'_>) {
    let Some((letters, rest)) = call.args.split_first() else {
        return shell.execute(call.name);
    };
    let Some((archive, members)) = rest.split_first() else {
        return shell.execute(call.name);
    };
    if letters.text.contains(['r', 'q']) {
        for member in members {
            shell.touch(Effect::Read, member);
        }
        shell.touch(Effect::Write, archive);
    } else if letters.text.contains(['d', 'm', 's']) {
        shell.touch(Effect::Write, archive);
    } else {
        shell.touch(Effect::Read, archive);
        if letters.text.contains('x') {
            shell.touch_with(Effect::Write, &here(), true);
        }
    }
}
