//! Shells and the interpreters of other languages.

use super::code::Language;
use super::expand::Arg;
use super::invoke::Call;
use super::run::{Shell, Stdin, output_stdin};
use super::syntax::excerpt;
use super::table::Effect;
use super::wrapper::code;
use crate::Hazard;

/// Runs what standard input holds as shell commands.
pub(super) fn stdin_script(shell: &mut Shell<'_>, name: &str) {
    stdin_script_with(shell, name, None);
}

fn stdin_script_with(shell: &mut Shell<'_>, name: &str, positional: Option<Vec<Arg>>) {
    let input = shell.stdin.clone();
    match &input {
        Stdin::Text(text) => {
            if shell.decoded {
                shell.opaque_as(Hazard::CommandWord, format!("{name} runs text that was decoded on the way"));
            }
            shell.nested(text, positional);
        }
        Stdin::File(file) => shell.touch(Effect::Execute, file),
        Stdin::Partly(text) => {
            shell.execute(name);
            shell.unknown(text);
            shell.opaque_as(
                Hazard::CommandWord,
                format!("{name} runs what comes from a here-document with parts that are not known"),
            );
        }
        Stdin::From(_) | Stdin::Found(_) => {
            let source = input.source();
            shell.execute(name);
            shell.opaque_as(
                Hazard::CommandWord,
                format!("{name} runs what comes from {source}, which is not known"),
            );
        }
        Stdin::Inherited => shell.execute(name),
    }
}

pub(super) fn shell(shell: &mut Shell<'_>, call: &Call<'_>) {
    // `+x` and the like are options as well.
    let args: Vec<Arg> =
        call.args.iter().filter(|a| !(a.text.starts_with('+') && a.text.len() > 1)).cloned().collect();
    let parsed = shell
        .options("+ -c,--command -o,-O= --rcfile,--init-file=x -s -l,--login -i -C,--init-command=", &args);
    shell.option_files(&parsed);
    if call.name == "fish" {
        shell.opaque("fish has a grammar of its own, which is read as that of sh");
    }
    if let Some(text) = parsed.value("-C").cloned().filter(|_| call.name == "fish") {
        code(shell, call.name, &text, None);
    }
    let mut operands = parsed.operands.iter();
    if parsed.has("-c") {
        return match operands.next().cloned() {
            Some(text) => {
                let positional = operands.skip(1).cloned().collect();
                code(shell, call.name, &text, Some(positional));
            }
            None => shell.execute(call.name),
        };
    }
    match operands.next() {
        Some(file) if !parsed.has("-s") => script_file(shell, call.name, file),
        first => {
            let positional = first.into_iter().chain(operands).cloned().collect();
            stdin_script_with(shell, call.name, Some(positional));
        }
    }
}

fn script_file(shell: &mut Shell<'_>, name: &str, file: &Arg) {
    if let Some(output) = &file.source {
        let stdin = std::mem::replace(&mut shell.stdin, output_stdin(output));
        stdin_script(shell, name);
        shell.stdin = stdin;
    } else if matches!(file.text.as_str(), "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") {
        stdin_script(shell, name);
    } else {
        shell.touch(Effect::Execute, file);
    }
}

/// Code of another language: it is run, and what it does is not known.
fn foreign(shell: &mut Shell<'_>, name: &str, shown: &str, text: &Arg) {
    shell.execute(name);
    shell.inline_code(name, language_of(name), shown, text);
}

fn language_of(name: &str) -> Language {
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "python" | "pypy" | "ipython" => Language::Python,
        "node" | "nodejs" | "deno" | "tsx" | "ts-node" | "bun" => Language::JavaScript,
        "ruby" | "irb" | "jruby" => Language::Ruby,
        "perl" => Language::Perl,
        "php" => Language::Php,
        _ => Language::Other,
    }
}

/// What follows the code: files for it to work on, as far as they look like files.
fn code_arguments(shell: &mut Shell<'_>, args: &[Arg]) {
    for arg in args {
        if !arg.is_known() {
            shell.unknown(arg);
        } else if arg.text.contains(['/', '.']) && !arg.text.contains(char::is_whitespace)
            || arg.text.starts_with('~')
        {
            shell.code_names(&arg.text);
        }
    }
}

/// Code from the output of something, or from what the shell was given.
fn foreign_input(shell: &mut Shell<'_>, name: &str, input: Stdin) {
    match &input {
        Stdin::Text(text) => {
            if shell.decoded {
                shell.opaque_as(Hazard::CommandWord, format!("{name} runs text that was decoded on the way"));
            }
            foreign(shell, name, "standard input", &Arg::new(text.as_ref()));
        }
        Stdin::Partly(text) => foreign(shell, name, "standard input", text),
        Stdin::From(_) | Stdin::Found(_) => {
            let source = input.source();
            shell.execute(name);
            shell.opaque_as(
                Hazard::CommandWord,
                format!("{name} runs what comes from {source}, which is not known"),
            );
        }
        Stdin::File(file) => shell.touch(Effect::Execute, file),
        Stdin::Inherited => shell.execute(name),
    }
}

/// A program of another language in a file, on standard input, or none at all.
pub(super) fn program(shell: &mut Shell<'_>, name: &str, file: Option<&Arg>) {
    let input = match file {
        Some(Arg { source: Some(output), .. }) => output_stdin(output),
        Some(file) if !matches!(file.text.as_str(), "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") => {
            return shell.touch(Effect::Execute, file);
        }
        _ => shell.stdin.clone(),
    };
    foreign_input(shell, name, input);
}

fn quoted(text: &Arg) -> String {
    format!("`{}`", excerpt(&text.text))
}

pub(super) fn python(shell: &mut Shell<'_>, call: &Call<'_>) {
    // `-c` and `-m` end the options of the interpreter.
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        let text = arg.text.as_str();
        match text {
            "-W" | "-X" | "--check-hash-based-pycs" => {
                args.next();
            }
            "-V" | "--version" | "-h" | "--help" | "-VV" => return shell.execute(call.name),
            "-" => return program(shell, call.name, Some(arg)),
            _ if text.starts_with("--") => {}
            _ if text.starts_with('-') && arg.is_known() => {
                // The letter may stand in a cluster, and its value may be attached.
                let Some(at) = text.find(['c', 'm']) else {
                    continue;
                };
                let value = if at + 1 < text.len() { Some(arg.tail(at + 1)) } else { args.next().cloned() };
                let value = value.unwrap_or_default();
                if text.as_bytes()[at] == b'c' {
                    foreign(shell, call.name, &quoted(&value), &value);
                    let rest: Vec<Arg> = args.cloned().collect();
                    return code_arguments(shell, &rest);
                }
                let rest: Vec<Arg> = args.cloned().collect();
                return python_module(shell, call.name, &value, &rest);
            }
            _ => {
                let rest: Vec<Arg> = args.cloned().collect();
                // Django's `manage.py shell -c` takes code.
                if arg.text.ends_with("manage.py") && rest.first().is_some_and(|a| a.text == "shell") {
                    let parsed = shell.options("-c,--command= -i,--interface=", &rest);
                    if let Some(text) = parsed.value("-c").cloned() {
                        shell.inline_code(call.name, Language::Python, &quoted(&text), &text);
                    }
                }
                return program(shell, call.name, Some(arg));
            }
        }
    }
    program(shell, call.name, None);
}

fn python_module(shell: &mut Shell<'_>, name: &str, module: &Arg, rest: &[Arg]) {
    match module.text.as_str() {
        // Modules that are commands of the table under the same name.
        "pip" | "pip3" | "pytest" | "black" | "ruff" | "isort" | "mypy" | "twine" | "poetry" | "uv"
        | "pipx" => {
            shell.execute(name);
            let mut args = vec![Arg::new(module.text.clone())];
            args.extend(rest.iter().cloned());
            shell.invoke(&args);
        }
        "IPython" | "ipython" => {
            let mut args = vec![Arg::new("ipython")];
            args.extend(rest.iter().cloned());
            shell.invoke(&args);
        }
        "timeit" => {
            let parsed = shell.options("-n,--number= -r,--repeat= -s,--setup= -p -u,--unit= -v", rest);
            for text in parsed.values("-s").chain(&parsed.operands).cloned().collect::<Vec<_>>() {
                foreign(shell, name, &quoted(&text), &text);
            }
        }
        "venv" | "virtualenv" => {
            shell.execute(name);
            let parsed = shell.options("--prompt=", rest);
            for folder in &parsed.operands {
                shell.touch_with(Effect::Create, folder, true);
            }
        }
        "http.server" => {
            shell.execute(name);
            let parsed = shell.options("-d,--directory=r -b,--bind=", rest);
            let port = if parsed.operand(0).is_empty() { "8000" } else { parsed.operand(0) };
            shell.act(crate::Verb::Network, "host", &format!("localhost:{port}"));
            let root = parsed.value("-d").cloned().unwrap_or_else(|| Arg::new("."));
            shell.touch_with(Effect::Read, &root, true);
        }
        "webbrowser" => {
            shell.execute(name);
            let parsed = shell.options("-n -t", rest);
            for url in &parsed.operands {
                shell.url(crate::Verb::Network, url);
            }
        }
        "ftplib" | "telnetlib" | "poplib" | "imaplib" | "nntplib" => {
            shell.execute(name);
            let parsed = shell.options("-d -r= -l= -p", rest);
            if let Some(host) = parsed.operands.first() {
                shell.host(crate::Verb::Network, host, None);
            }
        }
        "smtplib" => {
            shell.execute(name);
            shell.act(crate::Verb::Send, "host", "localhost:25");
        }
        "json.tool" => {
            let parsed = shell.options("--indent=", rest);
            if let Some(file) = parsed.operands.first() {
                shell.touch(Effect::Read, file);
            }
            if let Some(file) = parsed.operands.get(1) {
                shell.touch(Effect::Write, file);
            }
            if parsed.operands.is_empty() {
                shell.execute(name);
            }
        }
        _ => {
            shell.execute(name);
            shell.unknown(module);
        }
    }
}

/// The code that an option such as `-r net/http` stands for.
fn required(library: &str) -> String {
    format!("require '{library}'")
}

/// Interpreters whose options are a list of flags and of options with values, where some
/// options carry code.
fn general(shell: &mut Shell<'_>, call: &Call<'_>, spec: &str, code_options: &[&str], file_options: &[&str]) {
    let parsed = shell.options(spec, call.args);
    shell.option_files(&parsed);
    for option in ["-r", "--import", "--loader"] {
        // A library by its path is code that is run.
        for file in parsed.values(option).filter(|f| f.text.starts_with(['.', '/'])) {
            shell.touch(Effect::Execute, file);
        }
    }
    for option in file_options {
        for file in parsed.values(option) {
            shell.touch(Effect::Execute, file);
        }
    }
    let codes: Vec<Arg> = code_options.iter().flat_map(|o| parsed.values(o).cloned()).collect();
    if let Some(first) = codes.first() {
        let first = quoted(first);
        for code in &codes {
            foreign(shell, call.name, &first, code);
        }
        for library in parsed.values("-r").cloned().collect::<Vec<_>>() {
            shell.inline_code(
                call.name,
                language_of(call.name),
                &first,
                &library.with_text(required(&library.text)),
            );
        }
        return code_arguments(shell, &parsed.operands);
    }
    if code_options.iter().any(|o| parsed.has(o)) {
        // The code for `node -p` stands behind all options, or comes from its input.
        let input = shell.stdin.clone();
        return match parsed.operands.split_first() {
            Some((code, rest)) => {
                foreign(shell, call.name, &quoted(code), code);
                code_arguments(shell, rest);
            }
            None => foreign_input(shell, call.name, input),
        };
    }
    if parsed.operands.is_empty() && !call.args.is_empty() && matches!(shell.stdin, Stdin::Inherited) {
        return shell.execute(call.name);
    }
    program(shell, call.name, parsed.operands.first());
}

pub(super) fn node(shell: &mut Shell<'_>, call: &Call<'_>) {
    if call.name == "deno" {
        let sub = call.args.first().map_or("", |a| a.text.as_str()).to_owned();
        let rest = call.args.get(1..).unwrap_or(&[]);
        return match sub.as_str() {
            "eval" | "repl" => {
                let parsed = shell.options("+ -p,--print -T,--ts --ext= --eval= --eval-file=x", rest);
                shell.option_files(&parsed);
                let text = parsed.value("--eval").or(parsed.operands.first()).cloned().unwrap_or_default();
                foreign(shell, call.name, "its argument", &text);
                code_arguments(shell, parsed.operands.get(1..).unwrap_or(&[]));
            }
            "run" | "serve" => {
                let parsed = shell.options("+ -c,--config=r --import-map=r", rest);
                match parsed.operands.first() {
                    Some(url) if url.text.contains("://") => {
                        shell.url(crate::Verb::Network, url);
                        shell.execute(call.name);
                        let reason = format!("{} runs code that is not known: {}", call.name, quoted(url));
                        shell.opaque_as(Hazard::CommandWord, reason);
                    }
                    file => program(shell, call.name, file),
                }
            }
            _ => shell.execute(call.name),
        };
    }
    if matches!(call.name, "nodejs" | "node" | "tsx" | "ts-node" | "bun") {
        general(
            shell,
            call,
            "+ -e,--eval= -p,--print -r,--require= --import= --loader,--experimental-loader= --env-file=r -C,--conditions= -P,--project=r",
            &["-e", "-p"],
            &[],
        );
    }
}

pub(super) fn ruby(shell: &mut Shell<'_>, call: &Call<'_>) {
    general(shell, call, "+ -e= -r= -I= -C= -n -p -i?", &["-e"], &[]);
}

/// The letters of perl's options each for itself: `-lane` is `-l -a -n -e`, where `-l` and `-0`
/// may be followed by digits and `-i` by what remains.
fn apart(args: &[Arg]) -> Vec<Arg> {
    let mut plain = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let cluster = arg.text.strip_prefix('-').filter(|c| !c.is_empty() && !c.starts_with('-'));
        let Some(cluster) = cluster else {
            // What follows the options is for the program.
            plain.push(arg.clone());
            break;
        };
        let mut at = 0;
        while let Some(letter) = cluster[at..].chars().next() {
            let after = at + letter.len_utf8();
            let takes_rest = "eEMmIFixDC".contains(letter);
            let end = match letter {
                _ if takes_rest => cluster.len(),
                // `-0777`, `-l012`
                '0' | 'l' => after + cluster[after..].bytes().take_while(u8::is_ascii_digit).count(),
                _ => after,
            };
            plain.push(Arg { text: format!("-{}", &cluster[at..end]), ..arg.tail(at) });
            if matches!(letter, 'e' | 'E' | 'M' | 'm' | 'I') && end == after {
                plain.extend(rest.next().cloned());
            }
            at = end;
        }
    }
    plain.extend(rest.cloned());
    plain
}

pub(super) fn perl(shell: &mut Shell<'_>, call: &Call<'_>) {
    let args = apart(call.args);
    let parsed = shell.options("+ -e= -E= -I= -M= -m= -i? -F= -0? -l? -n -p", &args);
    let codes: Vec<Arg> = parsed.values("-e").chain(parsed.values("-E")).cloned().collect();
    // `-pi -e`: an in-place edit of the files, by code.
    if let Some(first) = codes.first() {
        let edits = parsed.has("-i");
        for file in &parsed.operands {
            if file.text != "-e" && file.text != "-E" {
                shell.touch(if edits { Effect::Write } else { Effect::Read }, file);
            }
        }
        let shown = quoted(first);
        for code in &codes {
            foreign(shell, call.name, &shown, code);
        }
        for module in parsed.values("-M").chain(parsed.values("-m")).cloned().collect::<Vec<_>>() {
            let text = module.with_text(format!("use {};", module.text));
            shell.inline_code(call.name, Language::Perl, &shown, &text);
        }
        return;
    }
    if parsed.operands.is_empty() && !call.args.is_empty() && matches!(shell.stdin, Stdin::Inherited) {
        return shell.execute(call.name);
    }
    program(shell, call.name, parsed.operands.first());
}

/// `dc` and some of its relatives run what follows a `!`.
pub(super) fn calculator(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-e,--expression= -f,--file=x -l -q", call.args);
    shell.option_files(&parsed);
    let input = match &shell.stdin {
        Stdin::Text(text) => text.contains('!'),
        Stdin::Inherited => false,
        _ => true,
    };
    for file in &parsed.operands {
        shell.touch(Effect::Execute, file);
    }
    if call.name == "dc" && (input || parsed.values("-e").any(|e| e.text.contains('!') || !e.is_known())) {
        shell.opaque_as(Hazard::CommandWord, "dc may run commands");
    }
    shell.execute(call.name);
}

pub(super) fn php(shell: &mut Shell<'_>, call: &Call<'_>) {
    general(
        shell,
        call,
        "+ -r= -R= -B= -E= -F= -f= -c=r -d= -S= -t= -z=",
        &["-r", "-R", "-B", "-E"],
        &["-f", "-F"],
    );
}

pub(super) fn java(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -jar= -cp,-classpath,--class-path= -p,--module-path= -m,--module= -javaagent:= --add-modules=",
        call.args,
    );
    match parsed.value("-jar").cloned() {
        Some(jar) => shell.touch(Effect::Execute, &jar),
        None => match parsed.operands.first() {
            Some(file) if file.text.ends_with(".java") => shell.touch(Effect::Execute, file),
            _ => shell.execute(call.name),
        },
    }
}

pub(super) fn other(shell: &mut Shell<'_>, call: &Call<'_>) {
    let encoded = |text: &str| {
        let text = text.to_ascii_lowercase();
        text == "-e" || text == "-ec" || text.starts_with("-en")
    };
    if matches!(call.name, "pwsh" | "powershell") && call.args.iter().any(|a| encoded(&a.text)) {
        let reason = format!("{} runs a text that is encoded", call.name);
        shell.opaque_as(Hazard::CommandWord, reason);
    }
    general(
        shell,
        call,
        "+ -e,--eval,-Command,-c,-EncodedCommand= -E,--print= -l= -i= -File,-file,-f=",
        &["-e", "-E"],
        &["-File"],
    );
}
