//! git and the tools around it.
//!
//! Resources: `git:REMOTE#REF` for another repository, `git:.#REF` for this one (`.` is git's own
//! name for it as a remote), `git:config#KEY` for a setting. A push without a remote goes to
//! `git:@{push}`, git's own name for wherever that is; a branch that was switched to before it
//! is named, `*` where it is not known which one that is.

use super::expand::Arg;
use super::invoke::Call;
use super::network::public_url;
use super::options::Parsed;
use super::run::{Shell, Stdin};
use super::syntax::excerpt;
use super::table::Effect;
use super::wrapper::code;
use crate::{Action, Hazard, Resource, Verb};

fn local(shell: &mut Shell<'_>, verb: Verb, reference: &str, destructive: bool) {
    let action = Action::new(verb, Resource::new("git", format!(".#{reference}")));
    shell.push(if destructive { action.destructive() } else { action });
}

/// A remote as it is named, or as a URL without what is private.
fn remote_name(remote: &Arg) -> String {
    let text = remote.text.as_str();
    if text.contains("://") {
        public_url(text)
    } else {
        text.rsplit_once('@').map_or(text, |(_, r)| r).to_owned()
    }
}

/// The working tree, of which nothing is named.
fn tree(shell: &mut Shell<'_>, effect: Effect) {
    shell.touch_with(effect, &Arg::new("."), true);
}

/// Settings whose value git runs.
fn runs_its_value(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.starts_with("alias.")
        || key.starts_with("filter.")
        || key.starts_with("pager.")
        || key.ends_with(".textconv")
        || key.ends_with(".command")
        || key.ends_with(".cmd")
        || key.ends_with(".driver")
        || key.ends_with(".path") && key.contains("tool")
        || matches!(
            key.as_str(),
            "core.sshcommand"
                | "core.pager"
                | "core.editor"
                | "core.fsmonitor"
                | "core.hookspath"
                | "core.askpass"
                | "core.gitproxy"
                | "diff.external"
                | "sequence.editor"
                | "credential.helper"
                | "gpg.program"
                | "gpg.ssh.program"
                | "init.templatedir"
                | "uploadpack.packobjectshook"
                | "interactive.difffilter"
                | "include.path"
                | "core.attributesfile"
                | "core.worktree"
                | "remote.origin.uploadpack"
                | "remote.origin.receivepack"
                | "protocol.ext.allow"
                | "http.proxy"
        )
}

fn setting(shell: &mut Shell<'_>, key: &str, value: Option<&Arg>) {
    if key.to_ascii_lowercase().starts_with("alias.") {
        if let Some(command) = value.filter(|v| v.text.starts_with('!')) {
            let command = command.tail(1);
            code(shell, "git", &command, None);
            return;
        }
        if value.is_some_and(|v| v.is_known()) {
            return;
        }
    }
    let harmless = value.is_some_and(|v| {
        v.is_known()
            && matches!(
                v.text.as_str(),
                "" | "cat"
                    | "true"
                    | "less"
                    | "false"
                    | "never"
                    | "store"
                    | "cache"
                    | "manager"
                    | "osxkeychain"
            )
    });
    if runs_its_value(key) && !harmless {
        let shown = value.map_or("", |v| v.text.as_str());
        shell.opaque_as(Hazard::CommandWord, format!("git runs the value of {key}: `{}`", excerpt(shown)));
    }
}

pub(super) fn git(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -C= -c= --git-dir= --work-tree= --exec-path= --namespace= --config-env= --super-prefix= -p,--paginate -P,--no-pager --bare --version --help -h",
        call.args,
    );
    for value in parsed.values("-c") {
        let (key, value) = match value.text.find('=') {
            Some(i) => (value.text[..i].to_owned(), Some(value.tail(i + 1))),
            None => (value.text.clone(), None),
        };
        setting(shell, &key, value.as_ref());
        if let Some(value) = &value {
            names_url(shell, value);
        }
        let plain = key.to_ascii_lowercase();
        if settles_pushes(&plain)
            || (plain.starts_with("http.") && plain.ends_with("proxy"))
            || plain.ends_with(".sslverify")
        {
            shell.act(Verb::Configure, "git", &format!("config#{key}"));
        }
    }
    if let Some(value) = parsed.value("--config-env") {
        let key = value.text.split('=').next().unwrap_or("").to_owned();
        setting(shell, &key, Some(&Arg::unknown(value.text.clone(), "it is in the environment")));
    }
    if parsed.has("--exec-path") && parsed.value("--exec-path").is_some() {
        shell.opaque_as(Hazard::CommandWord, "git looks for its commands in another folder");
    }
    let elsewhere = ["--git-dir", "--work-tree", "--namespace", "--config-env", "--bare"]
        .iter()
        .any(|option| parsed.has(option));
    if elsewhere || parsed.values("-c").any(|setting| settles_pushes(&setting.text)) {
        shell.with_other_head(|shell| in_repository(shell, call, &parsed));
    } else {
        in_repository(shell, call, &parsed);
    }
}

/// Settings that say where a push goes, and from what.
fn settles_pushes(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["push.", "remote.", "branch.", "url.", "include", "core.worktree"]
        .iter()
        .any(|start| key.starts_with(start))
}

/// The command of git itself, in the folder that the options say.
fn in_repository(shell: &mut Shell<'_>, call: &Call<'_>, parsed: &Parsed<'_>) {
    let cwd = shell.state.cwd.clone();
    for folder in parsed.values("-C").chain(parsed.values("--work-tree")).cloned().collect::<Vec<_>>() {
        shell.state.cwd = shell
            .path(&folder)
            .ok_or_else(|| format!("git works in `{}`, which is not known", excerpt(&folder.text)));
    }
    match parsed.operands.split_first() {
        Some((sub, rest)) if sub.is_known() => subcommand(shell, call, &sub.text, rest),
        Some((sub, _)) => {
            shell.execute(call.name);
            shell.unknown(sub);
        }
        None => shell.execute(call.name),
    }
    shell.state.cwd = cwd;
}

fn subcommand(shell: &mut Shell<'_>, call: &Call<'_>, sub: &str, args: &[Arg]) {
    match sub {
        "push" => push(shell, args),
        "pull" | "fetch" => fetch(shell, sub, args),
        "clone" => clone(shell, call, args),
        "commit" => commit(shell, args),
        "add" | "stage" => {
            let parsed = shell.options("--chmod= --pathspec-from-file=r -n -A,--all -u -p", args);
            shell.option_files(&parsed);
            for file in &parsed.operands {
                shell.touch_with(
                    Effect::Read,
                    file,
                    matches!(file.text.as_str(), "." | "*") || file.text.ends_with('/'),
                );
            }
            if parsed.operands.is_empty() && (parsed.has("-A") || parsed.has("-u")) {
                tree(shell, Effect::Read);
            }
            local(shell, Verb::Write, "index", false);
        }
        "status" | "log" | "diff" | "show" | "blame" | "annotate" | "rev-parse" | "rev-list" | "describe"
        | "shortlog" | "ls-files" | "ls-tree" | "cat-file" | "name-rev" | "merge-base" | "cherry"
        | "range-diff" | "whatchanged" | "show-ref" | "for-each-ref" | "symbolic-ref" | "var"
        | "count-objects" | "fsck" | "diff-tree" | "diff-index" | "diff-files" | "verify-commit"
        | "verify-tag" | "check-ignore" | "check-attr" | "version" | "help" | "show-branch"
        | "merge-tree" => inspect(shell, sub, args),
        "grep" => {
            let parsed = shell.options("-e= -f=r -O,--open-files-in-pager? -A= -B= -C= -m= --threads=", args);
            shell.option_files(&parsed);
            if let Some(pager) = parsed.value("-O").cloned() {
                code(shell, call.name, &pager, None);
            }
            tree(shell, Effect::Search);
        }
        "checkout" | "switch" => checkout(shell, sub, args),
        "restore" => {
            let parsed =
                shell.options("-s,--source= -S,--staged -W,--worktree --pathspec-from-file=r -p", args);
            shell.option_files(&parsed);
            if parsed.has("-S") {
                local(shell, Verb::Write, "index", false);
            }
            if !parsed.has("-S") || parsed.has("-W") {
                discard(shell, &parsed.operands);
            }
        }
        "reset" => reset(shell, args),
        "clean" => {
            let parsed = shell.options("-e,--exclude= -f,--force -n,--dry-run -d -x -X -i -q", args);
            if parsed.has("-n") {
                return local(shell, Verb::Read, "HEAD", false);
            }
            let roots = if parsed.operands.is_empty() { vec![Arg::new(".")] } else { parsed.operands };
            for root in &roots {
                shell.touch_with(Effect::Delete, root, true);
            }
        }
        "rm" => {
            let parsed = shell.options("-r -f,--force --cached -n,--dry-run -q --pathspec-from-file=r", args);
            shell.option_files(&parsed);
            if parsed.has("--cached") || parsed.has("-n") {
                return local(shell, Verb::Write, "index", false);
            }
            for file in &parsed.operands {
                shell.touch_with(Effect::Delete, file, parsed.has("-r"));
            }
        }
        "mv" => {
            let mv = Call { name: "mv", args };
            super::files::mv(shell, &mv);
        }
        "branch" => branch(shell, args),
        "tag" => {
            let parsed = shell.options("-m,--message= -F,--file=r -u,--local-user= -n? -l,--list --sort= --contains= --points-at= --format= -d,--delete -f,--force -a -s -v,--verify", args);
            shell.option_files(&parsed);
            if parsed.has("-d") {
                each(shell, &parsed.operands, Verb::Delete, true);
            } else if parsed.operands.is_empty() || parsed.has("-l") || parsed.has("-v") {
                local(shell, Verb::Read, "HEAD", false);
            } else {
                each(shell, &parsed.operands[..1], Verb::Create, parsed.has("-f"));
            }
        }
        "stash" => stash(shell, args),
        "merge" | "cherry-pick" | "revert" | "am" => {
            let parsed = shell.options(
                "-m= -F=r -s,--strategy= -X= --abort --quit --continue --skip -n -S? --into-name= -C= -p=",
                args,
            );
            shell.option_files(&parsed);
            if sub == "am" {
                for file in &parsed.operands {
                    shell.touch(Effect::Read, file);
                }
            }
            tree(shell, if parsed.has("--abort") { Effect::Overwrite } else { Effect::Write });
            local(shell, Verb::Write, "HEAD", false);
        }
        "rebase" => {
            let parsed = shell.options(
                "-x,--exec= --onto= -s= -X= -C= --abort --continue --skip --quit -i,--interactive",
                args,
            );
            for command in parsed.values("-x").cloned().collect::<Vec<_>>() {
                code(shell, call.name, &command, None);
            }
            if parsed.operands.len() > 1 {
                // `git rebase upstream branch`.
                shell.head_moves("*");
            }
            tree(shell, Effect::Write);
            local(shell, Verb::Write, "HEAD", true);
        }
        "config" => config(shell, args),
        "remote" => remote(shell, args),
        "worktree" => {
            let parsed = shell.options("-b= -B= -f,--force --detach --reason= --orphan", args);
            let path = parsed.operands.get(1).cloned();
            match (parsed.operand(0), path) {
                ("add", Some(path)) => {
                    shell.touch_with(Effect::Create, &path, true);
                    if let Some(branch) = parsed.value("-b").or(parsed.value("-B")) {
                        let name = branch.text.clone();
                        local(shell, Verb::Create, &name, false);
                    }
                }
                ("remove", Some(path)) => shell.touch_with(Effect::Delete, &path, true),
                ("move", Some(path)) => {
                    if let Some(to) = parsed.operands.get(2) {
                        shell.moved(&path, to);
                    }
                }
                ("prune", _) => local(shell, Verb::Delete, "worktrees", false),
                _ => local(shell, Verb::Read, "worktrees", false),
            }
        }
        "submodule" => submodule(shell, call, args),
        "init" => {
            let parsed = shell.options(
                "-b,--initial-branch= --template=x --separate-git-dir=c --shared? --object-format=",
                args,
            );
            shell.option_files(&parsed);
            let folder = parsed
                .operands
                .first()
                .map_or_else(|| Arg::new(".git"), |f| f.with_text(format!("{}/.git", f.text)));
            shell.touch_with(Effect::Create, &folder, true);
        }
        "apply" => {
            let parsed = shell.options("-p= -C= --directory= --exclude= --include= --check --stat --summary --numstat --cached --index -R --whitespace=", args);
            for file in &parsed.operands {
                shell.touch(Effect::Read, file);
            }
            if ["--check", "--stat", "--summary", "--numstat"].iter().any(|o| parsed.has(o)) {
                return local(shell, Verb::Read, "HEAD", false);
            }
            let strip = parsed.value("-p").map_or(Some(1), |p| p.text.parse().ok());
            match (shell.stdin.clone(), parsed.operands.is_empty()) {
                (Stdin::Text(text), true) => shell.diff(&text, strip),
                _ => {
                    tree(shell, Effect::Write);
                    shell.opaque_as(Hazard::Arguments, "git apply changes the files that the patch names");
                }
            }
        }
        "gc" | "prune" | "repack" | "maintenance" | "pack-refs" => {
            local(shell, Verb::Write, "objects", sub == "prune")
        }
        "reflog" => {
            let removes = args.first().is_some_and(|a| matches!(a.text.as_str(), "expire" | "delete"));
            local(shell, if removes { Verb::Delete } else { Verb::Read }, "reflog", removes);
        }
        "update-ref" => {
            let parsed = shell.options("-d -m= --stdin --no-deref --create-reflog", args);
            let name = parsed.operand(0).to_owned();
            local(shell, if parsed.has("-d") { Verb::Delete } else { Verb::Write }, &name, true);
        }
        "filter-branch" | "filter-repo" => {
            let parsed = shell.options("--tree-filter= --index-filter= --msg-filter= --env-filter= --commit-filter= --parent-filter= --tag-name-filter= --subdirectory-filter= -f,--force -d=", args);
            for (_, value) in &parsed.options {
                if let Some(value) = value.as_ref().filter(|v| v.text.contains(' ')).cloned() {
                    code(shell, call.name, &value, None);
                }
            }
            local(shell, Verb::Write, "*", true);
        }
        "bisect" => {
            if args.first().is_some_and(|a| a.text == "run") && args.len() > 1 {
                shell.invoke(&args[1..]);
            }
            tree(shell, Effect::Write);
        }
        "archive" | "bundle" | "format-patch" => {
            let parsed =
                shell.options("-o,--output,--output-directory=c --remote= --exec= --prefix= --format=", args);
            shell.option_files(&parsed);
            if let Some(command) = parsed.value("--exec").cloned() {
                code(shell, call.name, &command, None);
            }
            if let (Some(file), "bundle", "create") = (parsed.operands.get(1), sub, parsed.operand(0)) {
                shell.touch(Effect::Create, file);
            }
            if sub == "format-patch" && !parsed.has("-o") && !args.iter().any(|a| a.text == "--stdout") {
                shell.touch(Effect::Create, &Arg::new("*.patch"));
            }
            local(shell, Verb::Read, "HEAD", false);
        }
        "difftool" | "mergetool" => {
            let parsed = shell.options("-x,--extcmd= -t,--tool= -y", args);
            if let Some(command) = parsed.value("-x").cloned() {
                code(shell, call.name, &command, None);
            }
            shell.execute(call.name);
        }
        "ls-remote" => {
            let parsed = shell.options("--upload-pack,--exec= -o= --sort=", args);
            if let Some(command) = parsed.value("--upload-pack").cloned() {
                code(shell, call.name, &command, None);
            }
            match parsed.operands.first() {
                Some(remote) => from_remote(shell, remote, None),
                None => shell.act(Verb::Network, "git", "origin"),
            }
        }
        "send-email" | "request-pull" => {
            for file in args.iter().filter(|a| !a.text.starts_with('-')) {
                shell.touch(Effect::Read, file);
            }
            shell.act(Verb::Send, "git", "send-email");
        }
        "credential" => shell.act(Verb::Read, "secret", "git"),
        "lfs" | "svn" | "p4" | "daemon" | "instaweb" | "notes" | "replace" | "hash-object" | "mktree"
        | "update-index" | "read-tree" | "write-tree" | "commit-tree" | "sparse-checkout"
        | "commit-graph" | "rerere" | "fast-import" | "fast-export" | "citool" | "gui" => {
            shell.execute(call.name);
            local(shell, Verb::Write, "HEAD", false);
        }
        _ => {
            shell.execute(call.name);
            shell.opaque_as(Hazard::CommandWord, format!("`git {}` may be an alias", excerpt(sub)));
        }
    }
}

fn each(shell: &mut Shell<'_>, names: &[Arg], verb: Verb, destructive: bool) {
    for name in names {
        if name.is_known() {
            local(shell, verb, &name.text, destructive);
        } else {
            shell.unknown(name);
            shell.lost_delete |= destructive;
        }
    }
}

fn inspect(shell: &mut Shell<'_>, sub: &str, args: &[Arg]) {
    let parsed = shell.options(
        "--output=w --no-index --ext-diff --textconv -n= -S= -G= -L= --format= --pretty= --since= --until= --after= --before= --author= --committer= --grep= -C,--contents=r --max-count= --skip=",
        args,
    );
    shell.option_files(&parsed);
    if parsed.has("--no-index") {
        for file in &parsed.operands {
            shell.touch(Effect::Read, file);
        }
        return;
    }
    if sub == "symbolic-ref" && parsed.operands.len() > 1 {
        shell.head_moves("*");
        return local(shell, Verb::Write, "HEAD", false);
    }
    local(shell, Verb::Read, "HEAD", false);
    if matches!(sub, "show" | "cat-file") {
        for operand in &parsed.operands {
            stored_file(shell, operand);
        }
    }
}

/// `REV:path`: a file as it was stored, `REV:./path` from this folder. The working directory is
/// taken for the top of the repository.
fn stored_file(shell: &mut Shell<'_>, operand: &Arg) {
    let parts = if operand.is_known() { operand.text.split_once(':') } else { operand.text.rsplit_once(':') };
    let Some((rev, path)) = parts else {
        return;
    };
    // `:/text` looks for a commit, `:0:path` for a stage of the index.
    let path = match path.split_once(':') {
        Some(("0" | "1" | "2" | "3", path)) if rev.is_empty() => path,
        _ => path,
    };
    if path.is_empty() || rev.is_empty() && path.starts_with('/') {
        return;
    }
    // Of which commit may be unknown as long as the file is written out.
    if operand.is_known() || !path.contains(['$', '`', '}', ')']) {
        shell.touch(Effect::Read, &Arg::new(path));
    }
}

fn commit(shell: &mut Shell<'_>, args: &[Arg]) {
    let parsed = shell.options(
        "-m,--message= -F,--file=r -C,--reuse-message= -c,--reedit-message= --fixup= --squash= --author= --date= -t,--template=r --trailer= --amend -a,--all -S? --cleanup= --pathspec-from-file=r -n -q -v -e -p -s -o -u?",
        args,
    );
    for file in parsed.values("-F").filter(|f| f.text != "-") {
        shell.touch(Effect::Read, file);
    }
    for file in parsed.values("-t") {
        shell.touch(Effect::Read, file);
    }
    for file in &parsed.operands {
        shell.touch(Effect::Read, file);
    }
    let amends = parsed.has("--amend");
    local(shell, if amends { Verb::Write } else { Verb::Create }, "HEAD", amends);
}

/// Throws away what has changed in these files.
fn discard(shell: &mut Shell<'_>, files: &[Arg]) {
    for file in files {
        let folder = matches!(file.text.as_str(), "." | ":/" | "*") || file.text.ends_with('/');
        let file = if file.text == ":/" { Arg::new(".") } else { file.clone() };
        shell.touch_with(Effect::Overwrite, &file, folder);
    }
}

fn checkout(shell: &mut Shell<'_>, sub: &str, args: &[Arg]) {
    if args.iter().any(|a| matches!(a.text.as_str(), "-h" | "--help")) {
        return shell.execute("git");
    }
    let cut = args.iter().position(|a| a.text == "--");
    let parsed = shell.options(
        "-b= -B= -c,--create= -C,--force-create= --orphan= -f,--force,--discard-changes -t,--track? -d,--detach -m,--merge --conflict= --pathspec-from-file=r -q -p,--patch --ours --theirs",
        &args[..cut.unwrap_or(args.len())],
    );
    shell.option_files(&parsed);
    for (option, forced) in [("-b", false), ("-c", false), ("--orphan", false), ("-B", true), ("-C", true)] {
        if let Some(name) = parsed.value(option).cloned() {
            shell.head_moves(if name.is_known() { &name.text } else { "*" });
            if name.is_known() {
                local(shell, Verb::Create, &name.text, forced);
            } else {
                shell.unknown(&name);
                local(shell, Verb::Create, "HEAD", forced);
            }
            return;
        }
    }
    if parsed.has("-f") {
        tree(shell, Effect::Overwrite);
    }
    if let Some(cut) = cut {
        return discard(shell, &args[cut + 1..]);
    }
    let is_path = |a: &Arg| {
        matches!(a.text.as_str(), "." | ":/")
            || a.text.starts_with("./")
            || a.text.starts_with("../")
            || a.text.starts_with('/')
            || a.glob
    };
    if sub == "checkout" && (parsed.has("--ours") || parsed.has("--theirs")) {
        return discard(shell, &parsed.operands);
    }
    match &parsed.operands[..] {
        [] => {
            if !parsed.has("-f") {
                local(shell, Verb::Read, "HEAD", false);
            }
        }
        [only] if sub == "checkout" && is_path(only) => discard(shell, &parsed.operands),
        [only] => {
            if !only.is_known() {
                shell.unknown(only);
            } else if sub == "checkout" && looks_like_file(&only.text) {
                shell.opaque_as(
                    Hazard::Arguments,
                    format!(
                        "`git checkout {}` may switch to a branch or throw away changes to a file",
                        excerpt(&only.text)
                    ),
                );
                shell.touch(Effect::Overwrite, only);
            }
            let name = only.text.clone();
            // `checkout -t origin/x` makes a branch x.
            let branch = if parsed.has("-t") { name.split_once('/').map_or("*", |(_, b)| b) } else { &name };
            shell.head_moves(if only.is_known() && name != "-" && !name.contains('@') {
                branch
            } else {
                "*"
            });
            local(shell, Verb::Write, if only.is_known() { &name } else { "HEAD" }, false);
        }
        [first, rest @ ..] if sub == "checkout" => {
            let all = is_path(first) || looks_like_file(&first.text);
            discard(shell, if all { &parsed.operands } else { rest });
        }
        _ => {
            shell.head_moves("*");
            local(shell, Verb::Write, "HEAD", false);
        }
    }
}

/// A name with an ending, which a branch rarely has.
fn looks_like_file(name: &str) -> bool {
    name.rsplit('/').next().and_then(|n| n.rsplit_once('.')).is_some_and(|(stem, ending)| {
        !stem.is_empty()
            && !ending.is_empty()
            && ending.len() <= 5
            && ending.bytes().all(|b| b.is_ascii_alphabetic())
    })
}

fn reset(shell: &mut Shell<'_>, args: &[Arg]) {
    let cut = args.iter().position(|a| a.text == "--");
    let parsed = shell.options("--hard --soft --mixed --merge --keep --pathspec-from-file=r -q -p", args);
    if parsed.has("--hard") || parsed.has("--merge") {
        tree(shell, Effect::Overwrite);
        return local(shell, Verb::Write, "HEAD", true);
    }
    if cut.is_none() && (parsed.has("--soft") || parsed.has("--keep") || parsed.operands.len() == 1) {
        return local(shell, Verb::Write, "HEAD", false);
    }
    local(shell, Verb::Write, "index", false);
}

fn branch(shell: &mut Shell<'_>, args: &[Arg]) {
    let parsed = shell.options(
        "-d,--delete -D -m,--move -M -c,--copy -C -f,--force -u,--set-upstream-to= --unset-upstream -l,--list -a,--all -r,--remotes -v --contains= --merged? --no-merged? --sort= --format= --points-at= --show-current --edit-description",
        args,
    );
    if parsed.has("-D") || parsed.has("-d") {
        return each(shell, &parsed.operands, Verb::Delete, parsed.has("-D") || parsed.has("-f"));
    }
    if parsed.has("-m") || parsed.has("-M") {
        let (from, to) = match &parsed.operands[..] {
            [from, to] => (from.text.clone(), to.text.clone()),
            [to] => ("HEAD".to_owned(), to.text.clone()),
            _ => return local(shell, Verb::Read, "HEAD", false),
        };
        shell.head_moves(&to);
        let action = Action::new(Verb::Move, Resource::new("git", format!(".#{from}")));
        return shell.push(action.to(Resource::new("git", format!(".#{to}"))));
    }
    if parsed.has("-u") || parsed.has("--unset-upstream") {
        shell.head_moves("*");
        return shell.act(Verb::Configure, "git", "config#branch");
    }
    if parsed.operands.is_empty() || parsed.has("-l") || parsed.has("-a") || parsed.has("-r") {
        return local(shell, Verb::Read, "HEAD", false);
    }
    each(shell, &parsed.operands[..1], Verb::Create, parsed.has("-f"));
}

fn stash(shell: &mut Shell<'_>, args: &[Arg]) {
    let sub = args.iter().find(|a| !a.text.starts_with('-')).map_or("push", |a| a.text.as_str());
    match sub {
        "drop" | "clear" => local(shell, Verb::Delete, "stash", true),
        "list" => local(shell, Verb::Read, "stash", false),
        "show" => {
            local(shell, Verb::Read, "stash", false);
            // With its contents, and the files are not named: any of this tree.
            if args.iter().any(|a| matches!(a.text.as_str(), "-p" | "--patch" | "-u" | "--include-untracked"))
            {
                tree(shell, Effect::Read);
            }
        }
        "pop" | "apply" | "branch" => {
            if sub == "branch" {
                shell.head_moves("*");
            }
            tree(shell, Effect::Write);
        }
        _ => {
            tree(shell, Effect::Write);
            local(shell, Verb::Create, "stash", false);
        }
    }
}

fn config(shell: &mut Shell<'_>, args: &[Arg]) {
    let parsed = shell.options(
        "-f,--file= --blob= --type= --default= --get --get-all --get-regexp --get-urlmatch -l,--list --unset --unset-all --add --replace-all -e,--edit --remove-section --rename-section --global --system --local --worktree --show-origin --show-scope --name-only --comment= --value=",
        args,
    );
    let mut operands = &parsed.operands[..];
    let mut sub = "";
    if let Some(first) = operands.first()
        && matches!(
            first.text.as_str(),
            "get" | "set" | "list" | "unset" | "edit" | "remove-section" | "rename-section"
        )
    {
        sub = first.text.as_str();
        operands = &operands[1..];
    }
    let reads = ["--get", "--get-all", "--get-regexp", "--get-urlmatch", "-l"].iter().any(|o| parsed.has(o))
        || matches!(sub, "get" | "list")
        || (operands.len() == 1
            && sub.is_empty()
            && !["--unset", "--unset-all", "--remove-section", "-e"].iter().any(|o| parsed.has(o)));
    let key = operands.first().map_or_else(|| "*".to_owned(), |a| a.text.clone());
    let resource = Resource::new("git", format!("config#{key}"));
    if reads {
        return shell.push(Action::new(Verb::Read, resource));
    }
    for operand in operands.iter().take(1) {
        shell.unknown(operand);
    }
    setting(shell, &key, operands.get(1));
    for value in operands.iter().skip(1) {
        names_url(shell, value);
    }
    if settles_pushes(&key) || operands.first().is_none_or(|key| !key.is_known()) {
        shell.head_moves("*");
    }
    if let Some(file) = parsed.value("-f").cloned() {
        shell.touch(Effect::Configure, &file);
    }
    shell.push(Action::new(Verb::Configure, resource));
}

/// Notes where a remote or a setting leads.
fn names_url(shell: &mut Shell<'_>, url: &Arg) {
    if url.text.contains("://") && url.is_known() {
        shell.names(Resource::new("url", public_url(&url.text)));
    }
}

fn remote(shell: &mut Shell<'_>, args: &[Arg]) {
    let parsed = shell.options("-t= -m= -f --push --add --delete -v,--verbose", args);
    let name = parsed.operands.get(1).map_or_else(|| "*".to_owned(), |a| a.text.clone());
    match parsed.operand(0) {
        "add" | "set-url" | "rename" | "set-head" | "set-branches" => {
            shell.act(Verb::Configure, "git", &name);
            for url in parsed.operands.iter().skip(2) {
                names_url(shell, url);
            }
            if let Some(url) = parsed.operands.get(2).filter(|u| u.text.starts_with("ext::")) {
                shell.opaque_as(
                    Hazard::CommandWord,
                    format!("git runs the command in the URL `{}`", excerpt(&url.text)),
                );
            }
        }
        "remove" | "rm" => shell.act(Verb::Delete, "git", &name),
        "update" | "prune" | "show" => shell.act(Verb::Network, "git", &name),
        _ => shell.act(Verb::Read, "git", "*"),
    }
}

fn submodule(shell: &mut Shell<'_>, call: &Call<'_>, args: &[Arg]) {
    let parsed = shell.options("+ -q,--quiet", args);
    let Some((sub, rest)) = parsed.operands.split_first() else {
        return local(shell, Verb::Read, "submodules", false);
    };
    match sub.text.as_str() {
        "foreach" => {
            let inner = shell.options("+ --recursive -q", rest);
            let mut text = Arg::default();
            for arg in &inner.operands {
                text.text.push_str(&arg.text);
                text.text.push(' ');
                text.unknown = text.unknown.or(arg.unknown.clone());
            }
            let cwd = shell.state.cwd.clone();
            shell.state.cwd = Err("git runs the command in every submodule".to_owned());
            code(shell, call.name, &text, None);
            shell.state.cwd = cwd;
        }
        "update" | "init" | "sync" | "add" => {
            let inner =
                shell.options("-b= --reference= --name= --depth= -j= -f --init --recursive --remote", rest);
            match inner.operands.first().filter(|_| sub.text == "add") {
                Some(url) => from_remote(shell, url, None),
                None => shell.act(Verb::Network, "git", "submodules"),
            }
            tree(shell, Effect::Write);
        }
        "deinit" => tree(shell, Effect::Delete),
        _ => local(shell, Verb::Read, "submodules", false),
    }
}

/// Takes something from another repository.
fn from_remote(shell: &mut Shell<'_>, remote: &Arg, reference: Option<&str>) {
    let text = remote.text.as_str();
    if !remote.is_known() {
        shell.unknown(remote);
        if !remote.known().contains("://") {
            return;
        }
    }
    if text.starts_with("ext::") {
        shell.execute("git");
        return shell
            .opaque_as(Hazard::CommandWord, format!("git runs the command in the URL `{}`", excerpt(text)));
    }
    if text.contains("://") {
        return shell.url(Verb::Network, remote);
    }
    if let Some((host, path)) = text.split_once(':').filter(|(h, _)| !h.contains('/')) {
        let host = host.rsplit('@').next().unwrap_or(host);
        return shell.act(Verb::Network, "url", &format!("ssh://{host}/{}", path.trim_start_matches('/')));
    }
    if text.starts_with(['/', '.', '~']) {
        return shell.touch_with(Effect::Read, remote, true);
    }
    match reference {
        Some(reference) => shell.act(Verb::Network, "git", &format!("{text}#{reference}")),
        None => shell.act(Verb::Network, "git", text),
    }
}

fn fetch(shell: &mut Shell<'_>, sub: &str, args: &[Arg]) {
    let parsed = shell.options(
        "--depth= --deepen= --shallow-since= --upload-pack= -j,--jobs= -o= --refmap= -s,--strategy= -X= --all -p,--prune -r,--rebase? -f,--force -t,--tags --recurse-submodules?",
        args,
    );
    if let Some(command) = parsed.value("--upload-pack").cloned() {
        code(shell, "git", &command, None);
    }
    match parsed.operands.split_first() {
        Some((remote, [])) => from_remote(shell, remote, None),
        Some((remote, references)) => {
            for reference in references {
                shell.unknown(reference);
                let name = reference.text.trim_start_matches('+').to_owned();
                from_remote(shell, remote, Some(&name));
            }
        }
        None if parsed.has("--all") => shell.act(Verb::Network, "git", "*"),
        None => shell.act(Verb::Network, "git", "origin"),
    }
    if sub == "pull" {
        tree(shell, Effect::Write);
        local(shell, Verb::Write, "HEAD", false);
    }
}

fn clone(shell: &mut Shell<'_>, call: &Call<'_>, args: &[Arg]) {
    let parsed = shell.options(
        "-b,--branch= -o,--origin= -u,--upload-pack= --depth= -c,--config= --template=x --reference=r --separate-git-dir=c -j,--jobs= --filter= --shallow-since= --server-option= --bundle-uri= --recurse-submodules? --bare --mirror",
        args,
    );
    shell.option_files(&parsed);
    if let Some(command) = parsed.value("-u").cloned() {
        code(shell, call.name, &command, None);
    }
    for value in parsed.values("-c") {
        if let Some(i) = value.text.find('=') {
            let key = value.text[..i].to_owned();
            setting(shell, &key, Some(&value.tail(i + 1)));
        }
    }
    let Some(url) = parsed.operands.first() else {
        return shell.execute(call.name);
    };
    from_remote(shell, url, None);
    if url.text.starts_with("ext::") {
        return;
    }
    let folder = match parsed.operands.get(1) {
        Some(folder) => folder.clone(),
        None if url.is_known() => {
            let name = url.text.trim_end_matches('/');
            let name = name.strip_suffix(".git").unwrap_or(name);
            Arg::new(name.rsplit(['/', ':']).next().unwrap_or(name))
        }
        None => return,
    };
    shell.touch_with(Effect::Create, &folder, true);
}

fn push(shell: &mut Shell<'_>, args: &[Arg]) {
    let parsed = shell.options(
        "-f,--force --force-with-lease? --force-if-includes -d,--delete --all,--branches --mirror --tags --prune --repo= -o,--push-option= --receive-pack,--exec= -n,--dry-run -u,--set-upstream --follow-tags --recurse-submodules= --signed?",
        args,
    );
    if let Some(command) = parsed.value("--receive-pack").cloned() {
        shell.opaque_as(Hazard::CommandWord, format!("the other side runs `{}`", excerpt(&command.text)));
    }
    let (remote, references) = match (parsed.operands.split_first(), parsed.value("--repo")) {
        (Some((remote, references)), _) => (Some(remote), references),
        (None, Some(remote)) => (Some(remote), &[][..]),
        (None, None) => (None, &[][..]),
    };
    let name = match remote {
        Some(remote) => {
            shell.unknown(remote);
            if remote.text.starts_with("ext::") {
                shell.execute("git");
                return shell.opaque_as(
                    Hazard::CommandWord,
                    format!("git runs the command in the URL `{}`", excerpt(&remote.text)),
                );
            }
            remote_name(remote)
        }
        None => "@{push}".to_owned(),
    };
    let force = parsed.has("-f")
        || parsed.has("--force-with-lease")
        || parsed.has("--mirror")
        || parsed.has("--prune");
    let verb = if parsed.has("-n") { Verb::Network } else { Verb::Send };
    if references.is_empty() {
        let reference = match (&parsed, remote) {
            (p, _) if p.has("--mirror") || p.has("--all") => "#*",
            (p, _) if p.has("--tags") => "#refs/tags/*",
            (_, Some(_)) => "#HEAD",
            (_, None) => "",
        };
        let whole = matches!(reference, "#*" | "#refs/tags/*");
        for head in if whole { vec![None] } else { shell.heads() } {
            let reference = head.map_or_else(|| reference.to_owned(), |branch| format!("#{branch}"));
            let action = Action::new(verb, Resource::new("git", format!("{name}{reference}")));
            shell.push(if force { action.destructive() } else { action });
        }
        return;
    }
    let mut after_tag = false;
    for reference in references {
        if reference.text == "tag" && !after_tag {
            after_tag = true;
            continue;
        }
        after_tag = false;
        shell.unknown(reference);
        push_reference(shell, &parsed, &name, reference, verb, force);
    }
}

fn push_reference(
    shell: &mut Shell<'_>,
    parsed: &Parsed<'_>,
    remote: &str,
    reference: &Arg,
    verb: Verb,
    force: bool,
) {
    let text = reference.text.as_str();
    let forced = force || text.starts_with('+');
    let text = text.trim_start_matches('+');
    let (source, target) = match text.split_once(':') {
        Some((source, target)) => (source, target),
        None => (text, text),
    };
    let target = target.strip_prefix("refs/heads/").unwrap_or(target);
    let resource = Resource::new("git", format!("{remote}#{target}"));
    if parsed.has("-d") || (source.is_empty() && !target.is_empty()) {
        return shell.push(Action::new(Verb::Delete, resource).destructive());
    }
    let at_hand = matches!(target, "HEAD" | "@");
    for head in if at_hand { shell.heads() } else { vec![None] } {
        let resource = match head {
            Some(branch) => Resource::new("git", format!("{remote}#{branch}")),
            None => resource.clone(),
        };
        let action = Action::new(verb, resource);
        shell.push(if forced { action.destructive() } else { action });
    }
}

pub(super) fn gh(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-R,--repo= -t,--title,--template= -b,--body,--branch= -F,--body-file,--field= -X,--method= -f,--raw-field= -H,--header,--head= -q,--jq= --json= -l,--label,-L,--limit= -a,--assignee= -B,--base= -m,--milestone= --input=r -n,--notes,--name= --notes-file=r -D,--dir= -p,--pattern= -O,--output=w -w,--workflow= -e,--env= -r,--reviewer,--ref= -s,--state= --target=",
        call.args,
    );
    shell.option_files(&parsed);
    let area = parsed.operand(0).to_owned();
    let sub = parsed.operand(1).to_owned();
    let what = parsed.operands.get(2).cloned();
    let resource = |name: &str| {
        let slash = if name.is_empty() { "" } else { "/" };
        Resource::new("url", format!("https://github.com{slash}{name}"))
    };
    let place = parsed.value("-R").map_or_else(String::new, |r| r.text.clone());
    if matches!(area.as_str(), "pr" | "issue" | "release") {
        for file in parsed.values("-F").filter(|f| f.text != "-") {
            shell.touch(Effect::Read, file);
        }
    }
    match (area.as_str(), sub.as_str()) {
        ("api", _) => {
            let path = parsed.operands.get(1).cloned().unwrap_or_default();
            let method = parsed.value("-X").map_or_else(String::new, |m| m.text.to_ascii_uppercase());
            for field in parsed.values("-F") {
                if let Some(i) = field.text.find("=@") {
                    shell.touch(Effect::Read, &field.tail(i + 2));
                }
            }
            let sends = matches!(method.as_str(), "POST" | "PUT" | "PATCH")
                || (method.is_empty() && (parsed.has("-f") || parsed.has("-F") || parsed.has("--input")));
            if !path.is_known() {
                shell.unknown(&path);
            }
            let name =
                Resource::new("url", format!("https://api.github.com/{}", path.text.trim_start_matches('/')));
            let approves = parsed
                .values("-f")
                .chain(parsed.values("-F"))
                .any(|field| field.text.eq_ignore_ascii_case("event=approve"));
            let verb = match (sends, approves) {
                (true, true) => Verb::Approve,
                (true, false) => Verb::Send,
                _ => Verb::Network,
            };
            let action = Action::new(verb, name);
            shell.push(if method == "DELETE" { action.destructive() } else { action });
        }
        ("repo" | "gist", "clone") => {
            let name = what.map_or_else(String::new, |w| w.text);
            shell.push(Action::new(Verb::Network, resource(&name)));
            let folder = parsed
                .operands
                .get(3)
                .cloned()
                .unwrap_or_else(|| Arg::new(name.rsplit('/').next().unwrap_or("")));
            shell.touch_with(Effect::Create, &folder, true);
        }
        ("gist", "create") => {
            for file in parsed.operands.iter().skip(2) {
                shell.touch(Effect::Read, file);
            }
            shell.push(Action::new(Verb::Send, Resource::new("url", "https://gist.github.com")));
        }
        ("release", "upload" | "create") => {
            for file in parsed.operands.iter().skip(3) {
                shell.touch(Effect::Read, file);
            }
            shell.push(Action::new(Verb::Send, resource(&place)));
        }
        ("release" | "run", "download") => {
            shell.push(Action::new(Verb::Network, resource(&place)));
            let folder = parsed.value("-D").cloned().unwrap_or_else(|| Arg::new("."));
            shell.touch_with(Effect::Write, &folder, true);
        }
        ("auth", "token") => shell.act(Verb::Read, "secret", "github"),
        ("auth" | "config" | "alias", _) => {
            shell.act(Verb::Configure, "proc", call.name);
            if area == "alias" && sub != "list" {
                shell.opaque_as(Hazard::CommandWord, "gh runs the text of its aliases");
            }
        }
        ("extension", "exec" | "install" | "upgrade") | ("codespace", "ssh") => {
            shell.execute(call.name);
            shell.opaque_as(Hazard::CommandWord, "gh runs code that is not known");
        }
        ("secret" | "variable" | "ssh-key" | "gpg-key" | "ruleset", "set" | "add" | "remove" | "delete") => {
            shell.push(Action::new(Verb::Configure, resource(&place)));
        }
        (_, "delete" | "delete-asset" | "archive") => {
            let name = what.map_or(place, |w| w.text);
            shell.push(Action::new(Verb::Delete, resource(&name)).destructive());
        }
        (_, "list" | "view" | "status" | "diff" | "checks" | "watch" | "browse" | "verify")
        | ("search" | "browse" | "status", _) => {
            shell.push(Action::new(Verb::Network, resource(&place)));
        }
        ("pr", "checkout") => {
            shell.head_moves("*");
            shell.push(Action::new(Verb::Network, resource(&place)));
            tree(shell, Effect::Write);
        }
        // What is not done by the rules of the repository, and what stands for a person's word.
        ("pr", "merge") if call.args.iter().any(|a| a.text == "--admin") => {
            shell.push(Action::new(Verb::Approve, resource(&place)));
        }
        ("pr", "review") if call.args.iter().any(|a| matches!(a.text.as_str(), "--approve" | "-a")) => {
            shell.push(Action::new(Verb::Approve, resource(&place)));
        }
        ("workflow", _)
        | ("repo", "edit" | "rename" | "unarchive" | "sync" | "transfer" | "deploy-key" | "set-default")
        | ("run", "rerun" | "cancel")
        | ("pr" | "issue", "close" | "reopen" | "lock" | "unlock" | "transfer" | "pin" | "unpin") => {
            shell.push(Action::new(Verb::Configure, resource(&place)));
        }
        ("" | "help" | "version" | "completion", _) => shell.execute(call.name),
        _ => shell.push(Action::new(Verb::Send, resource(&place))),
    }
}

pub(super) fn glab(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-R= -t= -d= -m= -F=r -X= -f= -H=", call.args);
    shell.option_files(&parsed);
    shell.execute(call.name);
    let verb = match parsed.operand(1) {
        "list" | "view" | "status" | "diff" | "clone" | "" => Verb::Network,
        "delete" => Verb::Delete,
        "approve" => Verb::Approve,
        _ => Verb::Send,
    };
    let action = Action::new(verb, Resource::new("tool", format!("{}/{}", call.name, parsed.operand(0))));
    shell.push(if verb == Verb::Delete { action.destructive() } else { action });
}

pub(super) fn other(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -R,--cwd,--repository= --config=", call.args);
    if parsed.has("--config") {
        shell.opaque_as(Hazard::CommandWord, format!("{} takes settings that may run commands", call.name));
    }
    let inner = shell.options(
        "-m,--message= -r,--revision,--rev= -F=r -u= -b= -d= -l=",
        parsed.operands.get(1..).unwrap_or(&[]),
    );
    let files = &inner.operands;
    match parsed.operand(0) {
        "add" => {
            for file in files {
                shell.touch(Effect::Read, file);
            }
        }
        "rm" | "remove" | "delete" | "del" => {
            for file in files {
                shell.touch(Effect::Delete, file);
            }
        }
        "mv" | "move" | "rename" => super::files::mv(shell, &Call { name: "mv", args: files }),
        "revert" | "update" | "up" | "checkout" | "co" | "restore" | "abandon" | "undo" => {
            if files.is_empty() || parsed.operand(0) == "checkout" {
                tree(shell, Effect::Overwrite);
            } else {
                discard(shell, files);
            }
            if matches!(parsed.operand(0), "update" | "up" | "checkout" | "co") && call.name == "svn" {
                shell.act(Verb::Network, "git", "svn");
            }
        }
        "push" | "git" if call.name == "hg" || call.name == "jj" => {
            let force = inner.has("-f") || parsed.operands.iter().any(|a| a.text == "--force");
            let name = files.first().map_or("default", |f| f.text.as_str()).to_owned();
            let action = Action::new(Verb::Send, Resource::new("git", name));
            shell.push(if force { action.destructive() } else { action });
        }
        "commit" | "ci" if call.name == "svn" => shell.act(Verb::Send, "git", "svn"),
        "pull" | "clone" | "incoming" => {
            if let Some(url) = files.first() {
                from_remote(shell, url, None);
            } else {
                shell.act(Verb::Network, "git", "default");
            }
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn rewrite(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.execute(call.name);
    if call.name != "git-lfs" {
        local(shell, Verb::Write, "*", true);
    }
}
