//! Package managers, builds and the tools that run a project's own commands.
//!
//! A package is named by its package URL: `pkg:npm/lodash`, `pkg:pypi/requests`,
//! `pkg:cargo/serde`, `pkg:apt/curl`; `*` stands for the dependencies a project lists.

use super::expand::Arg;
use super::interpreter;
use super::invoke::Call;
use super::run::Shell;
use super::syntax::excerpt;
use super::table::Effect;
use crate::{Action, Hazard, Resource, Verb};

/// A package without its version.
fn bare(name: &str) -> &str {
    let end = name.find(['=', '<', '>', '~', '!', '[', ';', ' ']).unwrap_or(name.len());
    let name = &name[..end];
    match name.char_indices().skip(1).find(|(_, c)| *c == '@') {
        Some((at, _)) => &name[..at],
        None => name,
    }
}

/// The agent that a package brings, where its last name is another.
fn agent_of(package: &str) -> Option<&'static str> {
    Some(match package {
        "@anthropic-ai/claude-code" => "claude",
        "@openai/codex" => "codex",
        "@google/gemini-cli" => "gemini",
        "opencode-ai" => "opencode",
        "aider-chat" => "aider",
        _ => return None,
    })
}

/// Has the same effect on every package; on all that the project lists if none is named.
fn packages(shell: &mut Shell<'_>, verb: Verb, kind: &str, names: &[Arg], destructive: bool) {
    let push = |shell: &mut Shell<'_>, name: &str| {
        let action = Action::new(verb, Resource::new("pkg", format!("{kind}/{name}")));
        shell.push(if destructive { action.destructive() } else { action });
    };
    if names.is_empty() {
        push(shell, "*");
    }
    for name in names {
        let text = name.text.as_str();
        if !name.is_known() {
            shell.unknown(name);
        } else if let Some((_, url)) = text.split_once("git+") {
            shell.url(verb, &name.with_text(url));
        } else if text.contains("://") {
            shell.url(verb, name);
        } else if text.starts_with(['.', '/', '~'])
            || text.ends_with(".whl")
            || text.ends_with(".deb")
            || text.ends_with(".rpm")
            || text.ends_with(".tgz")
            || text.ends_with(".gem")
        {
            shell.touch(Effect::Read, name);
        } else {
            push(shell, bare(text));
        }
    }
}

/// Fetches packages and puts them in place; their own scripts run while that happens.
fn installs(shell: &mut Shell<'_>, call: &Call<'_>, kind: &str, names: &[Arg]) {
    packages(shell, Verb::Network, kind, names, false);
    packages(shell, Verb::Configure, kind, names, false);
    shell.execute(call.name);
}

/// Takes packages from elsewhere than usual: from a registry, an index, or a page of links.
fn from_index(shell: &mut Shell<'_>, index: &Arg) {
    // `--index name=https://…`
    let named = index.text.find("://").and_then(|at| index.text[..at].find('='));
    let index = &named.map_or_else(|| index.clone(), |at| index.tail(at + 1));
    if index.text.contains("://") || !index.is_known() {
        shell.url(Verb::Network, index);
        shell.url(Verb::Configure, index);
    } else {
        shell.touch(Effect::Read, index);
    }
}

/// A lasting setting that has an address in it: packages come from there from now on.
fn names_registries(shell: &mut Shell<'_>, settings: &[Arg]) {
    for setting in settings {
        // `registry https://…`, `registry=https://…`
        let start = setting.text.find("://").map(|at| setting.text[..at].rfind('=').map_or(0, |i| i + 1));
        if let Some(start) = start {
            shell.url(Verb::Configure, &setting.tail(start));
        }
    }
}

fn rest(operands: &[Arg]) -> &[Arg] {
    operands.get(1..).unwrap_or(&[])
}

pub(super) fn node(shell: &mut Shell<'_>, call: &Call<'_>) {
    let is_code = |a: &Arg| matches!(a.text.as_str(), "-e" | "--eval" | "-p" | "--print");
    if call.name == "bun" && call.args.first().is_some_and(is_code) {
        return interpreter::node(shell, call);
    }
    let parsed = shell.options(
        "+ --prefix,-C,--dir,--cwd= -w,--workspace,--filter,-F= -r,--recursive -s,--silent -g,--global --registry= --userconfig=r",
        call.args,
    );
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("--prefix").cloned() {
        shell.state.cwd =
            shell.path(&folder).ok_or_else(|| "the folder of the project is not known".to_owned());
    }
    let Some((sub, tail)) = parsed.operands.split_first() else {
        if call.name == "yarn" && !call.args.iter().any(|a| a.text.contains("version")) {
            packages(shell, Verb::Network, "npm", &[], false);
            shell.execute(call.name);
            shell.touch_with(Effect::Write, &Arg::new("node_modules"), true);
        } else {
            shell.execute(call.name);
        }
        shell.state.cwd = cwd;
        return;
    };
    let inner = shell.options(
        "-g,--global --prefix= --registry= -w,--workspace= --tag= --access= --otp= -D,--save-dev -S,--save -E --omit= --include= --production --cwd= --filter=",
        tail,
    );
    if let Some(folder) = inner.value("--prefix").cloned() {
        shell.state.cwd =
            shell.path(&folder).ok_or_else(|| "the folder of the project is not known".to_owned());
    }
    let global = parsed.has("-g") || inner.has("-g");
    let names = &inner.operands;
    if inner.has("--registry") || parsed.has("--registry") {
        let registry = inner.value("--registry").or(parsed.value("--registry")).cloned().unwrap_or_default();
        from_index(shell, &registry);
    }
    match sub.text.as_str() {
        "install" | "i" | "add" | "ci" | "update" | "up" | "upgrade" | "dedupe" | "in" | "isntall"
        | "install-test" | "it" | "clean-install" => {
            packages(shell, Verb::Network, "npm", names, false);
            if global {
                packages(shell, Verb::Configure, "npm", names, false);
            } else {
                shell.touch_with(Effect::Write, &Arg::new("node_modules"), true);
                if !names.is_empty() {
                    shell.touch(Effect::Write, &Arg::new("package.json"));
                }
            }
            shell.execute(call.name);
        }
        "uninstall" | "remove" | "rm" | "un" | "r" => {
            packages(shell, Verb::Delete, "npm", names, false);
            if !global {
                shell.touch(Effect::Write, &Arg::new("package.json"));
            }
        }
        "publish" | "stage" => {
            let root = names.first().cloned().unwrap_or_else(|| Arg::new("."));
            shell.touch_with(Effect::Read, &root, true);
            packages(shell, Verb::Send, "npm", &[], false);
            shell.execute(call.name);
        }
        "unpublish" | "deprecate" | "dist-tag" | "owner" | "access" | "team" | "org" => {
            let destroys = sub.text == "unpublish";
            packages(shell, if destroys { Verb::Delete } else { Verb::Configure }, "npm", &[], destroys);
        }
        "exec" | "x" | "dlx" => {
            shell.execute(call.name);
            let run = Call { name: "npx", args: tail };
            runner(shell, &run);
        }
        "config" | "set" | "login" | "adduser" | "logout" | "token" | "link" | "unlink" => {
            shell.act(Verb::Configure, "proc", call.name);
            names_registries(shell, names);
        }
        "get" | "c" => shell.execute(call.name),
        "init" | "create" | "innit" => {
            if let Some(template) = names.first() {
                packages(shell, Verb::Network, "npm", std::slice::from_ref(template), false);
                shell.execute(call.name);
            }
            shell.touch(Effect::Create, &Arg::new("package.json"));
        }
        "cache"
            if names
                .first()
                .is_some_and(|n| matches!(n.text.as_str(), "clean" | "rm" | "clear" | "delete")) =>
        {
            shell.act(Verb::Delete, "proc", &format!("{} cache", call.name));
        }
        "pack" => {
            shell.touch_with(Effect::Read, &Arg::new("."), true);
            shell.touch(Effect::Create, &Arg::new("*.tgz"));
        }
        "version" if !names.is_empty() => shell.touch(Effect::Write, &Arg::new("package.json")),
        "audit" if names.first().is_some_and(|n| n.text == "fix") => {
            packages(shell, Verb::Network, "npm", &[], false);
            shell.touch_with(Effect::Write, &Arg::new("node_modules"), true);
        }
        "view" | "info" | "show" | "search" | "outdated" | "audit" | "ping" => {
            packages(shell, Verb::Network, "npm", &[], false)
        }
        // `bun file.ts` runs a file.
        text if call.name == "bun"
            && (text.ends_with(".ts") || text.ends_with(".js") || text.ends_with(".tsx")) =>
        {
            shell.touch(Effect::Execute, sub);
        }
        _ => {
            shell.unknown(sub);
            if call.name == "bun" && sub.text == "run" && names.first().is_some_and(|n| n.text.contains('.'))
            {
                shell.touch(Effect::Execute, &names[0]);
            }
            shell.execute(call.name);
        }
    }
    shell.state.cwd = cwd;
}

pub(super) fn runner(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut args = call.args;
    if call.name == "pipx" {
        match args.first().map_or("", |a| a.text.as_str()) {
            "run" => args = &args[1..],
            "install" | "inject" | "upgrade" => {
                let parsed = shell.options("--python= --index-url,-i= --pip-args=", &args[1..]);
                for index in parsed.values("-i") {
                    from_index(shell, index);
                }
                return installs(shell, call, "pypi", &parsed.operands);
            }
            "uninstall" => {
                let parsed = shell.options("", &args[1..]);
                return packages(shell, Verb::Delete, "pypi", &parsed.operands, false);
            }
            _ => return shell.execute(call.name),
        }
    }
    let parsed = shell.options(
        "+ -p,--package,--from,--with= -c,--call= -y,--yes -q -w= --spec= --python,-P= --index-url,-i,--index,--default-index,--extra-index-url,--registry=",
        args,
    );
    for index in parsed.values("--index-url") {
        from_index(shell, index);
    }
    let kind = if matches!(call.name, "uvx" | "pipx") { "pypi" } else { "npm" };
    let named: Vec<Arg> = parsed.values("-p").chain(parsed.values("--spec")).cloned().collect();
    if !named.is_empty() {
        packages(shell, Verb::Network, kind, &named, false);
    }
    if let Some(text) = parsed.value("-c").cloned() {
        return super::wrapper::code(shell, call.name, &text, None);
    }
    let mut command = parsed.operands.to_vec();
    let Some(first) = command.first_mut() else {
        return shell.execute(call.name);
    };
    let name = first.text.clone();
    if first.is_known() {
        let short = bare(&name).rsplit('/').next().unwrap_or("").to_owned();
        if parsed.has("-y") || short != name {
            packages(shell, Verb::Network, kind, std::slice::from_ref(first), false);
        }
        *first = Arg::new(agent_of(bare(&name)).unwrap_or(&short));
    }
    shell.skip_functions = true;
    shell.invoke(&command);
}

pub(super) fn pip(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-r,--requirement= -c,--constraint=r -e,--editable= -t,--target= -i,--index-url= --extra-index-url= -f,--find-links= --prefix= --root= --python= --proxy= --timeout= --retries= --trusted-host= --platform= --python-version= --only-binary= --no-binary= --cache-dir= --log=w --config-settings= --progress-bar= -d,--dest= -w,--wheel-dir= --report=w -y --user -U,--upgrade -q",
        call.args,
    );
    shell.option_files(&parsed);
    let names = rest(&parsed.operands);
    match parsed.operand(0) {
        "install" | "download" | "wheel" => {
            for option in ["-i", "--extra-index-url", "-f"] {
                for index in parsed.values(option) {
                    from_index(shell, index);
                }
            }
            for file in parsed.values("-r") {
                if file.text.contains("://") {
                    shell.url(Verb::Network, file);
                } else {
                    shell.touch(Effect::Read, file);
                }
            }
            let local: Vec<Arg> = parsed
                .values("-e")
                .cloned()
                .chain(names.iter().filter(|n| n.text == "." || n.text.starts_with(['.', '/'])).cloned())
                .collect();
            for folder in &local {
                if folder.text.contains("://") {
                    packages(shell, Verb::Network, "pypi", std::slice::from_ref(folder), false);
                } else {
                    let path = folder.with_text(folder.text.split('[').next().unwrap_or("."));
                    shell.touch(Effect::Execute, &path);
                }
            }
            let named: Vec<Arg> = names.iter().filter(|n| !n.text.starts_with(['.', '/'])).cloned().collect();
            if named.is_empty() {
                installs(shell, call, "pypi", &[]);
            } else {
                installs(shell, call, "pypi", &named);
            }
            if let Some(folder) = parsed.value("-t").cloned() {
                shell.touch_with(Effect::Write, &folder, true);
            }
        }
        "uninstall" => packages(shell, Verb::Delete, "pypi", names, false),
        "config" => {
            shell.act(Verb::Configure, "proc", call.name);
            names_registries(shell, names);
        }
        "cache" => shell.act(Verb::Delete, "proc", "pip cache"),
        _ => shell.execute(call.name),
    }
}

pub(super) fn uv(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ --project,--directory= -q -v --cache-dir= --config-file=r -p,--python= --offline",
        call.args,
    );
    shell.option_files(&parsed);
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("--project").cloned() {
        shell.state.cwd =
            shell.path(&folder).ok_or_else(|| "the folder of the project is not known".to_owned());
    }
    let tail = rest(&parsed.operands);
    match parsed.operand(0) {
        "pip" => pip(shell, &Call { name: "pip", args: tail }),
        "run" => {
            let inner = shell.options("+ --with= --with-requirements=r --extra= --group= -p,--python= --env-file=r -m,--module= -s,--script --package= --index-url,--index,--default-index,--extra-index-url= --directory=", tail);
            shell.option_files(&inner);
            for index in inner.values("--index-url") {
                from_index(shell, index);
            }
            let with: Vec<Arg> = inner.values("--with").cloned().collect();
            if !with.is_empty() {
                packages(shell, Verb::Network, "pypi", &with, false);
            }
            if inner.has("-m") {
                shell.execute("python");
            } else if inner.operands.first().is_some_and(|a| a.text.ends_with(".py") || a.text == "-") {
                let mut args = vec![Arg::new("python")];
                args.extend(inner.operands.iter().cloned());
                shell.invoke(&args);
            } else {
                shell.invoke(&inner.operands);
            }
        }
        "tool" | "x" => {
            let inner = rest(tail);
            match tail.first().map_or("", |a| a.text.as_str()) {
                "run" => runner(shell, &Call { name: "uvx", args: inner }),
                "install" | "upgrade" => installs(shell, call, "pypi", inner),
                "uninstall" => packages(shell, Verb::Delete, "pypi", inner, false),
                _ => shell.execute(call.name),
            }
        }
        "add" | "sync" | "lock" | "remove" => {
            let inner = shell.options("--dev --group= --extra= -r,--requirements=r --index-url,--index,--default-index,--extra-index-url,--find-links= --optional= --package= --tag= --branch= --rev= --editable", tail);
            shell.option_files(&inner);
            for index in inner.values("--index-url") {
                from_index(shell, index);
            }
            if parsed.operand(0) == "remove" {
                packages(shell, Verb::Delete, "pypi", &inner.operands, false);
            } else {
                installs(shell, call, "pypi", &inner.operands);
            }
            if matches!(parsed.operand(0), "add" | "remove") {
                shell.touch(Effect::Write, &Arg::new("pyproject.toml"));
            }
        }
        "venv" => {
            let inner = shell.options("-p,--python= --prompt= --seed", tail);
            let folder = inner.operands.first().cloned().unwrap_or_else(|| Arg::new(".venv"));
            shell.touch_with(Effect::Create, &folder, true);
        }
        "init" => shell.touch(Effect::Create, &Arg::new("pyproject.toml")),
        "publish" => {
            shell.touch_with(Effect::Read, &Arg::new("dist"), true);
            packages(shell, Verb::Send, "pypi", &[], false);
        }
        "cache" => shell.act(Verb::Delete, "proc", "uv cache"),
        _ => shell.execute(call.name),
    }
    shell.state.cwd = cwd;
}

pub(super) fn python_project(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -C,--directory,--project,-p= -n,--name=", call.args);
    let inner = shell.options(
        "-n,--name= -c,--channel= -f,--file=r -p,--prefix= -G,--group= -D,--dev --source= -y",
        rest(&parsed.operands),
    );
    let kind = if matches!(call.name, "conda" | "mamba" | "micromamba") { "conda" } else { "pypi" };
    match parsed.operand(0) {
        "install" | "add" | "update" | "sync" | "lock" | "upgrade" | "create" => {
            shell.option_files(&inner);
            installs(shell, call, kind, &inner.operands);
        }
        "remove" | "uninstall" => packages(shell, Verb::Delete, kind, &inner.operands, false),
        "publish" => {
            shell.touch_with(Effect::Read, &Arg::new("dist"), true);
            packages(shell, Verb::Send, kind, &[], false);
        }
        "run" => {
            let command =
                shell.options("+ -n,--name= -p,--prefix= --no-capture-output", rest(&parsed.operands));
            shell.execute(call.name);
            shell.invoke(&command.operands);
        }
        "config" | "activate" | "source" => shell.act(Verb::Configure, "proc", call.name),
        "env" if inner.operand(0) == "remove" => packages(shell, Verb::Delete, kind, &[], true),
        _ => shell.execute(call.name),
    }
}

pub(super) fn twine(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed =
        shell.options("-r,--repository= --repository-url= -u= -p= -c= --config-file=r --cert=r", call.args);
    for file in rest(&parsed.operands) {
        shell.touch(Effect::Read, file);
    }
    if parsed.operand(0) == "upload" {
        match parsed.value("--repository-url").cloned() {
            Some(url) => shell.url(Verb::Send, &url),
            None => packages(shell, Verb::Send, "pypi", &[], false),
        }
    }
}

pub(super) fn cargo(shell: &mut Shell<'_>, call: &Call<'_>) {
    let args: Vec<Arg> = call.args.iter().filter(|a| !a.text.starts_with('+')).cloned().collect();
    let parsed = shell.options("+ --config= -Z= --color= -C= -q -v", &args);
    if parsed.has("--config") {
        shell.opaque_as(Hazard::CommandWord, "cargo takes settings that may run commands");
    }
    let inner = shell.options(
        "-p,--package= --manifest-path=r --features,-F= --target= --target-dir= --bin= --example= --test= --bench= --profile= -j= --git= --branch= --tag= --rev= --path= --version,--vers= --registry= --index= --root= --message-format= -n,--dry-run --fix --allow-dirty --force",
        rest(&parsed.operands),
    );
    match parsed.operand(0) {
        "install" => {
            if let Some(index) = inner.value("--index").cloned() {
                from_index(shell, &index);
            }
            if let Some(url) = inner.value("--git").cloned() {
                shell.url(Verb::Network, &url);
                shell.execute(call.name);
            } else if let Some(path) = inner.value("--path").cloned() {
                shell.touch(Effect::Execute, &path);
            } else {
                installs(shell, call, "cargo", &inner.operands);
            }
        }
        "uninstall" => packages(shell, Verb::Delete, "cargo", &inner.operands, false),
        "add" | "rm" | "remove" => {
            let verb = if parsed.operand(0) == "add" { Verb::Network } else { Verb::Delete };
            packages(shell, verb, "cargo", &inner.operands, false);
            shell.touch(Effect::Write, &Arg::new("Cargo.toml"));
        }
        "fetch" | "update" | "search" | "info" | "generate-lockfile" => {
            packages(shell, Verb::Network, "cargo", &[], false);
            shell.execute(call.name);
        }
        "publish" => {
            shell.touch_with(Effect::Read, &Arg::new("."), true);
            if inner.has("-n") {
                shell.execute(call.name);
            } else {
                packages(shell, Verb::Send, "cargo", &[], false);
            }
        }
        "yank" | "owner" => packages(shell, Verb::Configure, "cargo", &inner.operands, true),
        "login" | "logout" => shell.act(Verb::Configure, "secret", "cargo"),
        "clean" => shell.touch_with(
            Effect::Delete,
            &inner.value("--target-dir").cloned().unwrap_or_else(|| Arg::new("target")),
            true,
        ),
        "fmt" | "fix" | "clippy" => {
            shell.execute(call.name);
            let checks = args.iter().any(|a| a.text == "--check");
            if (parsed.operand(0) == "fmt" && !checks) || parsed.operand(0) == "fix" || inner.has("--fix") {
                shell.touch_with(Effect::Write, &Arg::new("."), true);
            }
        }
        "new" | "init" => {
            let folder = inner.operands.first().cloned().unwrap_or_else(|| Arg::new("."));
            shell.touch_with(Effect::Create, &folder, true);
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn rustup(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -q -v", call.args);
    match parsed.operand(0) {
        "run" => {
            shell.execute(call.name);
            let command = parsed.operands.get(2..).unwrap_or(&[]);
            shell.invoke(command);
        }
        "update" | "install" => installs(shell, call, "rustup", &[]),
        "toolchain" | "component" | "target" | "default" | "override" | "set" | "self" => {
            let removes = matches!(parsed.operand(1), "uninstall" | "remove");
            packages(
                shell,
                if removes { Verb::Delete } else { Verb::Configure },
                "rustup",
                parsed.operands.get(2..).unwrap_or(&[]),
                false,
            );
            if !removes {
                packages(shell, Verb::Network, "rustup", parsed.operands.get(2..).unwrap_or(&[]), false);
            }
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn go(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -C=", call.args);
    let inner = shell.options("+ -o=w -exec= -toolexec= -ldflags= -tags= -run= -bench= -count= -timeout= -mod= -modfile=r -coverprofile=w -cpuprofile=w -memprofile=w -p= -u -v -race -w -n", rest(&parsed.operands));
    shell.option_files(&inner);
    for option in ["-exec", "-toolexec"] {
        if let Some(command) = inner.value(option).cloned() {
            super::wrapper::code(shell, call.name, &command, None);
        }
    }
    let names = &inner.operands;
    match parsed.operand(0) {
        "get" | "install" => installs(shell, call, "golang", names),
        "run" => match names.first() {
            Some(name) if is_input(name) => interpreter::program(shell, call.name, Some(name)),
            Some(name) if name.text.ends_with(".go") || name.text.starts_with('.') => {
                shell.touch(Effect::Execute, name)
            }
            Some(name) if name.text.contains('@') => {
                packages(shell, Verb::Network, "golang", std::slice::from_ref(name), false);
                shell.execute(call.name);
            }
            _ => shell.execute(call.name),
        },
        "mod" => match names.first().map_or("", |n| n.text.as_str()) {
            "download" | "tidy" | "vendor" => {
                packages(shell, Verb::Network, "golang", &[], false);
                shell.touch(Effect::Write, &Arg::new("go.mod"));
            }
            "init" => shell.touch(Effect::Create, &Arg::new("go.mod")),
            "edit" => shell.touch(Effect::Write, &Arg::new("go.mod")),
            _ => shell.execute(call.name),
        },
        "generate" => {
            shell.execute(call.name);
            shell.opaque("go generate runs the commands that the sources name");
        }
        "fmt" | "fix" => shell.touch_with(Effect::Write, &Arg::new("."), true),
        "env" if inner.has("-w") => shell.act(
            Verb::Configure,
            "env",
            names.first().map_or("*", |n| n.text.split('=').next().unwrap_or("*")),
        ),
        "env" => shell.act(Verb::Read, "env", "*"),
        "clean" => shell.act(Verb::Delete, "proc", "go cache"),
        _ => shell.execute(call.name),
    }
}

pub(super) fn ruby(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -v,--version= -s,--source= -i,--install-dir= -n= -C=", call.args);
    let inner = shell.options(
        "-v,--version= -s,--source= -i,--install-dir= -n= --path= -k,--key= --host=",
        rest(&parsed.operands),
    );
    match parsed.operand(0) {
        "install" | "update" | "add" | "i" | "" if call.name != "gem" || !parsed.operand(0).is_empty() => {
            installs(shell, call, "gem", &inner.operands)
        }
        "uninstall" | "remove" => packages(shell, Verb::Delete, "gem", &inner.operands, false),
        "push" => {
            for file in &inner.operands {
                shell.touch(Effect::Read, file);
            }
            packages(shell, Verb::Send, "gem", &[], false);
        }
        "yank" => packages(shell, Verb::Delete, "gem", &inner.operands, true),
        "exec" => {
            shell.execute(call.name);
            let command = rest(&parsed.operands).to_vec();
            shell.invoke(&command);
        }
        "config" => shell.act(Verb::Configure, "proc", call.name),
        _ => shell.execute(call.name),
    }
}

pub(super) fn composer(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-d,--working-dir= --repository=", call.args);
    let names = rest(&parsed.operands);
    match parsed.operand(0) {
        "install" | "require" | "update" | "create-project" | "global" | "i" | "u" => {
            installs(shell, call, "composer", names)
        }
        "remove" => packages(shell, Verb::Delete, "composer", names, false),
        "exec" | "run" | "run-script" => shell.execute(call.name),
        "config" => shell.act(Verb::Configure, "proc", call.name),
        _ => shell.execute(call.name),
    }
}

pub(super) fn system(shell: &mut Shell<'_>, call: &Call<'_>) {
    let kind = match call.name {
        "apt-get" | "aptitude" => "apt",
        "yum" | "microdnf" => "dnf",
        "yay" => "pacman",
        "nix-env" => "nix",
        name => name,
    };
    if matches!(kind, "pacman") {
        return pacman(shell, call);
    }
    let parsed = shell.options("-t,--target-release= -o,--option= -c,--config-file=r -X,--repository= --root= -y -q -f -p,--profile= --channel= --classic", call.args);
    shell.option_files(&parsed);
    if parsed.values("-o").any(|o| {
        o.text.to_ascii_lowercase().contains("invoke") || o.text.to_ascii_lowercase().contains("dpkg::")
    }) {
        shell.opaque_as(Hazard::CommandWord, format!("{} takes a setting that may run commands", call.name));
    }
    let names = rest(&parsed.operands);
    match parsed.operand(0) {
        "install" | "add" | "reinstall" | "upgrade" | "dist-upgrade" | "full-upgrade" | "localinstall"
        | "groupinstall" | "in" | "up" | "dup" | "build-dep" | "refresh" | "tap" | "bundle" | "emerge"
        | "profile" | "develop" | "shell" | "link" => installs(shell, call, kind, names),
        "update" | "makecache" | "search" | "show" | "list" | "info" | "check-update" | "policy"
        | "download" | "fetch" => {
            packages(shell, Verb::Network, kind, &[], false);
            if matches!(call.name, "yum" | "dnf" | "snap" | "flatpak" | "zypper")
                && parsed.operand(0) == "update"
            {
                packages(shell, Verb::Configure, kind, names, false);
            }
        }
        "remove" | "purge" | "autoremove" | "erase" | "uninstall" | "del" | "rm" | "autopurge"
        | "groupremove" | "delete" | "untap" => {
            packages(shell, Verb::Delete, kind, names, true);
        }
        "clean" | "autoclean" | "cleanup" | "collect-garbage" => {
            shell.act(Verb::Delete, "proc", &format!("{} cache", call.name))
        }
        "services" => shell.act(Verb::Configure, "proc", parsed.operand(2)),
        "run" if kind == "nix" || kind == "flatpak" || kind == "snap" => {
            packages(shell, Verb::Network, kind, names.get(..1).unwrap_or(&[]), false);
            shell.execute(call.name);
        }
        _ if call.name == "emerge" && !parsed.operands.is_empty() => {
            installs(shell, call, kind, &parsed.operands)
        }
        "config" | "config-manager" | "mark" | "edit-sources" | "set" | "enable" | "disable" | "hold" => {
            shell.act(Verb::Configure, "proc", call.name)
        }
        _ => {
            if let Some(sub) = parsed.operands.first().filter(|s| !s.is_known()) {
                shell.unknown(sub);
            }
            shell.execute(call.name);
        }
    }
}

fn pacman(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell
        .options("-S,--sync -R,--remove -U,--upgrade -Q,--query -s -i -y -u -r= -b= --config=r", call.args);
    if parsed.has("-R") {
        packages(shell, Verb::Delete, "pacman", &parsed.operands, true);
    } else if parsed.has("-S") && (parsed.has("-s") || parsed.has("-i")) {
        packages(shell, Verb::Network, "pacman", &[], false);
    } else if parsed.has("-S") || (call.name == "yay" && !parsed.has("-Q")) {
        installs(shell, call, "pacman", &parsed.operands);
    } else if parsed.has("-U") {
        for file in &parsed.operands {
            shell.touch(Effect::Execute, file);
        }
        packages(shell, Verb::Configure, "pacman", &[], false);
    } else {
        shell.execute(call.name);
    }
}

pub(super) fn nix_shell(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed =
        shell.options("-p,--packages --run,--command= -I= -A= -E,--expr= --arg= --argstr= --pure", call.args);
    let names = if parsed.has("-p") { &parsed.operands[..] } else { &[] };
    packages(shell, Verb::Network, "nix", names, false);
    for text in parsed.values("--run").cloned().collect::<Vec<_>>() {
        super::wrapper::code(shell, call.name, &text, None);
    }
    shell.execute(call.name);
}

pub(super) fn dpkg(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-i,--install,-U,--upgrade -r,--remove -P,--purge -e,--erase -l,--list -L -s -S -q --root= -V -a",
        call.args,
    );
    match call.name {
        "add-apt-repository" | "apt-key" | "dpkg-reconfigure" => {
            shell.act(Verb::Configure, "proc", "apt");
            for operand in &parsed.operands {
                if operand.text.contains("://") {
                    shell.url(Verb::Network, operand);
                }
            }
        }
        _ if parsed.has("-q") && call.name == "rpm" => shell.execute(call.name),
        _ if parsed.has("-i") => {
            for file in &parsed.operands {
                if file.text.contains("://") {
                    shell.url(Verb::Network, file);
                } else {
                    shell.touch(Effect::Execute, file);
                }
            }
            packages(shell, Verb::Configure, call.name, &[], false);
        }
        _ if parsed.has("-r") || parsed.has("-P") || parsed.has("-e") => {
            packages(shell, Verb::Delete, call.name, &parsed.operands, true)
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn make(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-C,--directory,-d,--working-directory= -f,--file,--makefile,--justfile,--rakefile= -j? -I= -o= -W= -E,--eval= -k -n -s -B -t=", call.args);
    for file in parsed.values("-f") {
        if file.text == "-" || file.source.is_some() {
            shell.opaque_as(Hazard::CommandWord, format!("{} reads its rules from its input", call.name));
        } else {
            shell.touch(Effect::Read, file);
        }
    }
    if let Some(text) = parsed.value("-E").cloned() {
        shell.opaque_as(
            Hazard::CommandWord,
            format!("make runs a text as its rules: `{}`", excerpt(&text.text)),
        );
    }
    for operand in &parsed.operands {
        // `make SHELL=…`, `make CC='…'`: rules run what variables say.
        if operand.text.starts_with("SHELL=") {
            shell.opaque_as(Hazard::CommandWord, "make runs its rules with another shell");
        }
        shell.unknown(operand);
    }
    if parsed
        .operands
        .iter()
        .any(|a| matches!(a.text.as_str(), "clean" | "distclean" | "mrproper" | "clobber"))
    {
        let action = Action::new(Verb::Execute, Resource::proc(call.name));
        return shell.push(action.destructive());
    }
    shell.execute(call.name);
}

pub(super) fn cmake(shell: &mut Shell<'_>, call: &Call<'_>) {
    if let Some(first) = call.args.first().filter(|a| a.text == "-E") {
        let rest = &call.args[1..];
        let Some((sub, args)) = rest.split_first() else {
            return shell.unknown(first);
        };
        let name = match sub.text.as_str() {
            "rm" | "remove" => "rm",
            "remove_directory" | "rm_directory" => {
                for folder in args {
                    shell.touch_with(Effect::Delete, folder, true);
                }
                return;
            }
            "copy" | "copy_directory" | "copy_if_different" => "cp",
            "rename" => "mv",
            "make_directory" => "mkdir",
            "touch" => "touch",
            "env" | "time" | "chdir" => {
                let args = if sub.text == "chdir" { args.get(1..).unwrap_or(&[]) } else { args };
                shell.execute(call.name);
                let command: Vec<Arg> = args.iter().skip_while(|a| a.text.contains('=')).cloned().collect();
                shell.invoke(&command);
                return;
            }
            _ => return shell.execute(call.name),
        };
        let mut command = vec![Arg::new(name)];
        command.extend(args.iter().cloned());
        shell.skip_functions = true;
        shell.invoke(&command);
        return;
    }
    let parsed = shell.options("-S= -B=c --build= --install= --prefix= -G= -D= -P=x -C=x --target= -j? --preset= --config= --test-dir= -R= -E=", call.args);
    shell.option_files(&parsed);
    if let Some(folder) = parsed.value("--install").cloned() {
        shell.touch_with(Effect::Read, &folder, true);
        let prefix = parsed.value("--prefix").cloned().unwrap_or_else(|| Arg::new("/usr/local"));
        shell.touch_with(Effect::Write, &prefix, true);
    }
    shell.execute(call.name);
}

pub(super) fn build_tool(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-f,--file,-b,--build-file=r -p,--project-dir= -D= -P= -x= -I,--init-script=x -pl= -c=r -o= --project=", call.args);
    shell.option_files(&parsed);
    let has = |names: &[&str]| parsed.operands.iter().any(|a| names.contains(&a.text.as_str()));
    if has(&["publish", "deploy", "release", "push", "hex.publish", "publishToMavenCentral"]) {
        packages(shell, Verb::Send, call.name, &[], false);
    }
    if has(&["restore", "add", "deps.get", "resolve", "install"]) {
        packages(shell, Verb::Network, call.name, &[], false);
    }
    let action = Action::new(Verb::Execute, Resource::proc(call.name));
    shell.push(if has(&["clean", "ecto.drop", "ecto.reset"]) { action.destructive() } else { action });
}

/// Whether an operand is no file, but what the command is given to read.
fn is_input(file: &Arg) -> bool {
    file.source.is_some()
        || matches!(file.text.as_str(), "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0")
}

pub(super) fn compiler(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-o=w -I= -L= -l= -D= -U= --out-dir=w -d=w --outDir=w -x= -MF=w -MT= -include=r -T=r --edition= --crate-type= --crate-name= -W? -f? -m? -O? -target= --target= -C= -cp,-classpath= -p,--project=r -isystem= -B=x -wrapper= -fplugin=x --emit= -Xlinker= -c -S -E",
        call.args,
    );
    shell.option_files(&parsed);
    if parsed.has("-wrapper") {
        shell.opaque_as(Hazard::CommandWord, "the compiler runs its steps through another command");
    }
    for file in &parsed.operands {
        if is_input(file) {
            // What is compiled is run sooner or later.
            interpreter::program(shell, call.name, Some(file));
        } else {
            shell.touch(Effect::Read, file);
        }
    }
    if !parsed.has("-o")
        && !parsed.operands.is_empty()
        && matches!(call.name, "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++")
        && !parsed.has("-c")
        && !parsed.has("-E")
        && !parsed.has("-S")
    {
        shell.touch(Effect::Write, &Arg::new("a.out"));
    }
    shell.execute(call.name);
}

pub(super) fn formatter(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-w,--write -i,--in-place,--fix --check -c,--config,--settings-path=r -l,--line-length,--list-different --ext= --parser= --plugin=x --rulesdir=x --resolve-plugins-relative-to= -f,--format= -o,--output-file=w --select= --ignore= --extend-select= --edition= -d,--diff --stdin-filename= --style= --ignore-path=r --target-version= -t=",
        call.args,
    );
    shell.option_files(&parsed);
    let by_default = matches!(call.name, "black" | "isort" | "rustfmt" | "stylua");
    let mut files = &parsed.operands[..];
    let mut writes =
        by_default && !parsed.has("--check") && !parsed.has("-d") || parsed.has("-w") || parsed.has("-i");
    if matches!(call.name, "ruff" | "biome") {
        writes = parsed.has("-i")
            || parsed.has("-w")
            || (call.name == "ruff"
                && parsed.operand(0) == "format"
                && !parsed.has("--check")
                && !parsed.has("-d"));
        files = rest(files);
    }
    let effect = if writes { Effect::Write } else { Effect::Read };
    for file in files.iter().filter(|f| f.text != "-") {
        shell.touch_with(effect, file, file.text == ".");
    }
}

pub(super) fn version_manager(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -v=", call.args);
    let names = rest(&parsed.operands);
    match parsed.operand(0) {
        "install" | "upgrade" | "plugin" | "plugin-add" | "update" => installs(shell, call, call.name, names),
        "uninstall" | "remove" => packages(shell, Verb::Delete, call.name, names, false),
        "exec" | "run" | "x" => {
            shell.execute(call.name);
            let command: Vec<Arg> = match names.iter().position(|a| a.text == "--") {
                Some(i) => names[i + 1..].to_vec(),
                None if matches!(call.name, "pyenv" | "rbenv") => names.to_vec(),
                None => names.get(1..).unwrap_or(&[]).to_vec(),
            };
            shell.invoke(&command);
        }
        "use" | "global" | "local" | "default" | "alias" | "pin" | "set" => {
            shell.act(Verb::Configure, "proc", call.name)
        }
        _ => shell.execute(call.name),
    }
}
