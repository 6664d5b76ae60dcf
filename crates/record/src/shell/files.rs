//! Commands on files that have a grammar of their own.

use super::code::Language;
use super::expand::Arg;
use super::invoke::Call;
use super::run::{Shell, Stdin, is_stream};
use super::syntax::excerpt;
use super::table::Effect;
use super::wrapper::{code, substituted};
use crate::{Action, Hazard, Resource, Verb};

/// Folders that are there on every machine, so that copying to them is copying into them.
const KNOWN_FOLDERS: [&str; 14] = [
    "/",
    "/tmp",
    "/var/tmp",
    "/etc",
    "/usr",
    "/usr/bin",
    "/usr/local",
    "/usr/local/bin",
    "/bin",
    "/home",
    "/root",
    "/opt",
    "/dev/shm",
    "/var/www",
];

/// Whether the target of a copy is certainly a folder.
fn is_folder(shell: &Shell<'_>, target: &Arg) -> bool {
    let text = target.text.as_str();
    if text.ends_with('/') || matches!(text, "." | "..") || text.ends_with("/.") || text.ends_with("/..") {
        return true;
    }
    let Ok(cwd) = &shell.state.cwd else {
        return KNOWN_FOLDERS.contains(&text);
    };
    let path = crate::clean_path(text, cwd);
    KNOWN_FOLDERS.contains(&path.as_str())
        || path == shell.context.home
        || cwd.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where `source` ends up when it is put into the folder `target`.
fn inside(target: &Arg, source: &Arg) -> Arg {
    if !target.is_known() {
        return target.clone();
    }
    if !source.is_known() {
        return source.clone();
    }
    if source.tree {
        // The names of what is found are not known.
        return Arg { tree: true, ..target.clone() };
    }
    let name = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    if matches!(name, "" | "." | "..") {
        return target.clone();
    }
    let folder = target.text.strip_suffix('/').unwrap_or(&target.text);
    target.with_text(format!("{folder}/{name}"))
}

/// The sources of a copy and, for each, where it goes.
fn copies(shell: &mut Shell<'_>, operands: &[Arg], folder: Option<&Arg>, exact: bool) -> Vec<(Arg, Arg)> {
    if let Some(folder) = folder {
        return operands.iter().map(|s| (s.clone(), inside(folder, s))).collect();
    }
    let Some((target, sources)) = operands.split_last() else {
        return Vec::new();
    };
    let many = sources.len() > 1 || sources.iter().any(|s| s.glob || s.splits);
    let into = !exact && (many || is_folder(shell, target));
    sources.iter().map(|s| (s.clone(), if into { inside(target, s) } else { target.clone() })).collect()
}

pub(super) fn cat(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("", call.args);
    let mut from_input = parsed.operands.is_empty();
    for file in &parsed.operands {
        if file.text == "-" && file.is_known() {
            from_input = true;
        } else {
            shell.touch(Effect::Read, file);
        }
    }
    if let (Stdin::Text(text), true) = (&shell.stdin, from_input) {
        if parsed.operands.len() <= 1 && !call.args.iter().any(|a| a.text.len() > 1) {
            shell.printed = Some(text.to_string());
        }
        shell.stay_silent(call.name);
    }
}

pub(super) fn cp(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-r,-R,--recursive,-a,--archive -t,--target-directory= -T,--no-target-directory -S,--suffix= --backup? --reflink? -s,--symbolic-link -l,--link --sparse=",
        call.args,
    );
    let recursive = parsed.has("-r");
    let folder = parsed.value("-t").cloned();
    for (source, target) in copies(shell, &parsed.operands, folder.as_ref(), parsed.has("-T")) {
        shell.touch_with(Effect::Read, &source, recursive);
        shell.touch_with(Effect::Write, &target, recursive);
        if (parsed.has("-s") || parsed.has("-l"))
            && let (Some(from), Some(to)) = (shell.path(&source), shell.path(&target))
        {
            shell.link(&to, &from);
        }
    }
}

pub(super) fn mv(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed =
        shell.options("-t,--target-directory= -T,--no-target-directory -S,--suffix= --backup?", call.args);
    let folder = parsed.value("-t").cloned();
    for (source, target) in copies(shell, &parsed.operands, folder.as_ref(), parsed.has("-T")) {
        shell.moved(&source, &target);
    }
}

impl Shell<'_> {
    /// Moves a file.
    pub fn moved(&mut self, source: &Arg, target: &Arg) {
        let (from, to) = (self.path(source), self.path(target));
        for path in [&from, &to].into_iter().flatten() {
            if let Some(meant) = self.behind_link(path, true) {
                self.act(Verb::Write, "file", &meant);
            }
        }
        match (from, to) {
            (Some(from), Some(to)) => {
                let lost = is_stream(&to);
                let mut action =
                    Action::new(Verb::Move, Resource::new("file", from)).to(Resource::new("file", to));
                action.destructive = lost;
                action.recursive = source.tree;
                self.push(action);
            }
            (Some(from), None) => {
                self.act(Verb::Move, "file", &from);
                self.act(Verb::Write, "unknown", "file");
            }
            (None, Some(to)) => {
                if let Some(program) = self.looked_up_program(source) {
                    self.act(Verb::Move, "proc", program);
                }
                self.act(Verb::Write, "file", &to);
            }
            (None, None) => self.act(Verb::Write, "unknown", "file"),
        }
    }
}

pub(super) fn install(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-d,--directory -m,--mode= -o,--owner= -g,--group= -t,--target-directory= -T -S,--suffix= -D --strip-program=",
        call.args,
    );
    if parsed.has("-d") {
        for folder in &parsed.operands {
            shell.touch(Effect::Create, folder);
        }
        return;
    }
    let folder = parsed.value("-t").cloned();
    for (source, target) in copies(shell, &parsed.operands, folder.as_ref(), parsed.has("-T")) {
        shell.touch(Effect::Read, &source);
        shell.touch(Effect::Write, &target);
    }
}

pub(super) fn ln(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-t,--target-directory= -T,--no-target-directory -S,--suffix= -f,--force -s,--symbolic --backup?",
        call.args,
    );
    let operands = match &parsed.operands[..] {
        [only] => vec![only.clone(), Arg::new(".")],
        operands => operands.to_vec(),
    };
    let folder = parsed.value("-t").cloned();
    let verb = if parsed.has("-f") { Verb::Write } else { Verb::Create };
    for (source, link) in copies(shell, &operands, folder.as_ref(), parsed.has("-T")) {
        if let Some(program) = shell.looked_up_program(&source) {
            shell.act(Verb::Read, "proc", program);
        }
        let Some(link_path) = shell.path(&link) else {
            shell.act(verb, "unknown", "file");
            continue;
        };
        let action = Action::new(verb, Resource::new("file", &link_path));
        // The text of a symbolic link counts from the folder of the link.
        let target = if source.is_known() && parsed.has("-s") && !source.text.starts_with('/') {
            let folder = link_path.rsplit_once('/').map_or("/", |(f, _)| f).to_owned();
            Some(crate::clean_path(&source.text, if folder.is_empty() { "/" } else { &folder }))
        } else {
            shell.path(&source)
        };
        if let Some(target) = target.as_deref() {
            shell.link(&link_path, target);
            if !parsed.has("-s") {
                // A second name of the same file: whoever reads that, reads this.
                shell.act(Verb::Read, "file", target);
            }
        }
        shell.push(match target {
            Some(target) => action.to(Resource::new("file", target)),
            None => action,
        });
    }
}

pub(super) fn rm(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-r,-R,--recursive --interactive? -f", call.args);
    let recursive = parsed.has("-r") || matches!(call.name, "trash" | "trash-put" | "rimraf");
    for operand in &parsed.operands {
        shell.touch_with(Effect::Delete, operand, recursive);
    }
    if parsed.operands.is_empty() && call.args.iter().any(|a| !a.is_known()) {
        shell.lost_delete = true;
    }
}

pub(super) fn gio(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-f,--force -a= -t=", call.args);
    let files = parsed.operands.get(1..).unwrap_or(&[]);
    match parsed.operand(0) {
        "trash" | "remove" => {
            for file in files {
                shell.touch_with(Effect::Delete, file, true);
            }
        }
        "copy" => cp(shell, &Call { name: "cp", args: files }),
        "move" | "rename" => mv(shell, &Call { name: "mv", args: files }),
        "cat" | "info" | "list" | "tree" => {
            for file in files {
                shell.touch(Effect::Read, file);
            }
        }
        "save" => {
            for file in files {
                shell.touch(Effect::Write, file);
            }
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn pager(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-o,-O,--log-file=w -p,--pattern= -t,--tag= -T,--tag-file=r -k,--lesskey-file=r -x= -j=",
        call.args,
    );
    shell.option_files(&parsed);
    for file in parsed.operands.iter().filter(|f| f.text != "-") {
        if file.text.starts_with('+') {
            if file.text.contains(['!', '|', 'v', '&']) {
                shell.execute(call.name);
                shell.opaque_as(
                    Hazard::CommandWord,
                    format!("{} runs commands of its own language: `{}`", call.name, excerpt(&file.text)),
                );
            }
        } else {
            shell.touch(Effect::Read, file);
        }
    }
}

pub(super) fn man(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-P,--pager= -H,--html? -C,--config-file=r -M,--manpath= -S,-s,--sections= -L= -m= -E= -p= -r= -l,--local-file", call.args);
    shell.option_files(&parsed);
    for option in ["-P", "-H"] {
        if let Some(text) = parsed.value(option).cloned() {
            code(shell, call.name, &text, None);
        }
    }
    shell.execute(call.name);
}

pub(super) fn fzf(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("--preview= --bind= -q,--query= -f,--filter= --height= --prompt= --header= --delimiter,-d= --nth,-n= --with-shell=", call.args);
    if let Some(text) = parsed.value("--preview").cloned() {
        let found = Arg::unknown("a found line", "fzf gives it");
        let text = substituted(&text, "{}", &found);
        code(shell, call.name, &text, None);
    }
    if parsed.has("--bind") || parsed.has("--with-shell") {
        shell.opaque_as(Hazard::CommandWord, "fzf may run commands when keys are pressed");
    }
    shell.execute(call.name);
}

pub(super) fn mknod(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-m,--mode= -Z?", call.args);
    if let Some(node) = parsed.operands.first() {
        shell.touch(Effect::Create, node);
    }
}

pub(super) fn mktemp(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-d,--directory -p= --tmpdir? -t --suffix= -q -u,--dry-run", call.args);
    if parsed.has("-u") {
        return;
    }
    let template = parsed.operands.first().cloned().unwrap_or_else(|| Arg::new("tmp.XXXXXXXXXX"));
    let folder = parsed.value("-p").or(parsed.value("--tmpdir")).cloned();
    let in_tmp = parsed.operands.is_empty() || parsed.has("-t") || parsed.has("--tmpdir");
    let path = match folder {
        Some(folder) => inside(&folder, &template),
        None if in_tmp => inside(&Arg::new("/tmp"), &template),
        None => template,
    };
    shell.touch(Effect::Create, &path);
    // Without options that could make it fail, it prints a name that is as good as a pattern.
    if call.args.iter().all(|a| a.text == "-d") && !shell.other_tmp {
        shell.printed = Some("/tmp/tmp.*\n".to_owned());
    }
}

pub(super) fn tee(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-a,--append --output-error?", call.args);
    for file in &parsed.operands {
        if file.text != "-" {
            shell.touch(Effect::Write, file);
        }
    }
    if let Stdin::Text(text) = &shell.stdin {
        shell.printed = Some(text.to_string());
    }
}

pub(super) fn split(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-l,--lines= -b,--bytes= -C,--line-bytes= -n,--number= -a,--suffix-length= --additional-suffix= --filter= -f,--prefix= -t=",
        call.args,
    );
    if let Some(filter) = parsed.value("--filter").cloned() {
        code(shell, call.name, &filter, None);
    }
    if let Some(file) = parsed.operands.first().filter(|f| f.text != "-") {
        shell.touch(Effect::Read, file);
    }
    let prefix = match call.name {
        "csplit" => parsed.value("-f").cloned().unwrap_or_else(|| Arg::new("xx")),
        _ => parsed.operands.get(1).cloned().unwrap_or_else(|| Arg::new("x")),
    };
    let pieces = prefix.with_text(format!("{}*", prefix.text));
    shell.touch(Effect::Write, &pieces);
}

pub(super) fn tree(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.operands(
        "-o=w -L= -P= -I= --filelimit= --charset= --gitfile=r",
        call.args,
        0,
        Effect::Read,
        true,
        false,
    );
}

pub(super) fn base64(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-d,-D,--decode -w,--wrap= -i? -o,--output=w -b,--break= -n", call.args);
    shell.option_files(&parsed);
    for file in &parsed.operands {
        if file.text != "-" {
            shell.touch(Effect::Read, file);
        }
    }
    if let (Stdin::Text(text), true, true) = (&shell.stdin, parsed.has("-d"), parsed.operands.is_empty())
        && let Some(text) = decoded_base64(text)
    {
        shell.printed = Some(text);
        shell.decoded = true;
    }
}

/// What a base64 text says, if it is text.
fn decoded_base64(text: &str) -> Option<String> {
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for b in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn media_info(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut effect = Effect::Read;
    if call.name == "exiftool" && call.args.iter().any(|a| a.text.starts_with('-') && a.text.contains('=')) {
        effect = Effect::Write;
    }
    let operands: Vec<&Arg> = call.args.iter().filter(|a| !a.text.starts_with('-')).collect();
    if call.name == "pdftotext"
        && let Some(output) = operands.get(1)
    {
        shell.touch(Effect::Write, output);
    }
    let file = if call.name == "pdftotext" { operands.first() } else { operands.last() };
    if let Some(file) = file {
        if file.text.contains("://") {
            shell.url(Verb::Network, file);
        } else {
            shell.touch(effect, file);
        }
    }
}

/// Reads, after a first operand that is a program of the command's own language.
fn filter_files(shell: &mut Shell<'_>, operands: &[Arg], effect: Effect) {
    for file in operands {
        if file.text != "-" {
            shell.touch(effect, file);
        }
    }
}

pub(super) fn jq(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut operands = Vec::new();
    let mut filter_given = false;
    let mut files = true;
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        match arg.text.as_str() {
            "--arg" | "--argjson" => {
                args.next();
                args.next();
            }
            "--slurpfile" | "--rawfile" => {
                args.next();
                if let Some(file) = args.next() {
                    shell.touch(Effect::Read, file);
                }
            }
            "-f" | "--from-file" => {
                filter_given = true;
                if let Some(file) = args.next() {
                    shell.touch(Effect::Read, file);
                }
            }
            "-L" | "--indent" => {
                args.next();
            }
            "--args" | "--jsonargs" => files = false,
            text if text.starts_with('-') && text.len() > 1 && arg.is_known() => {}
            _ => {
                if files || (operands.is_empty() && !filter_given) {
                    operands.push(arg.clone());
                }
            }
        }
    }
    let skipped = usize::from(!filter_given).min(operands.len());
    if let Some(filter) = operands.first().filter(|_| skipped == 1) {
        if filter.text.contains("$ENV")
            || filter.text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "env")
        {
            shell.act(Verb::Read, "env", "*");
        }
        if filter.splits {
            shell.unknown(filter);
        }
    }
    filter_files(shell, &operands[skipped..], Effect::Read);
}

pub(super) fn yq(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-i,--inplace,--in-place -o,--output-format= -p,--input-format= -I,--indent= -f,--front-matter= --from-file=r -n,--null-input -s,--split-exp= --arg=",
        call.args,
    );
    shell.option_files(&parsed);
    let mut operands = &parsed.operands[..];
    if operands
        .first()
        .is_some_and(|a| matches!(a.text.as_str(), "e" | "eval" | "ea" | "eval-all" | "w" | "r"))
    {
        operands = &operands[1..];
    }
    let effect = if parsed.has("-i") { Effect::Write } else { Effect::Read };
    let skipped = usize::from(!parsed.has("--from-file")).min(operands.len());
    filter_files(shell, &operands[skipped..], effect);
}

pub(super) fn grep(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-e,--regexp=^ -f,--file=r^ -r,-R,--recursive,--dereference-recursive -m,--max-count= -A,--after-context= -B,--before-context= -C,--context= --include= --exclude= --exclude-dir= --exclude-from=r -d,--directories= -D,--devices= --color? --label= --binary-files= -l,--files-with-matches -L,--files-without-match",
        call.args,
    );
    shell.option_files(&parsed);
    let given = parsed.has("-e") || parsed.has("-f");
    let files = parsed.operands.get(usize::from(!given)..).unwrap_or(&[]);
    let recursive = parsed.has("-r") || parsed.value("-d").is_some_and(|d| d.text == "recurse");
    let effect = if recursive { Effect::Search } else { Effect::Read };
    for file in files.iter().filter(|f| f.text != "-") {
        shell.touch_with(effect, file, recursive);
    }
    let mut roots: Vec<Arg> = files.iter().filter(|f| f.text != "-").cloned().collect();
    if recursive && files.is_empty() && (given || !parsed.operands.is_empty()) {
        roots.push(Arg::new("."));
        shell.touch_with(effect, &roots[0], true);
    }
    if recursive && (parsed.has("-l") || parsed.has("-L")) {
        shell.listed = found_below(&roots);
    }
}

pub(super) fn ripgrep(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-e,--regexp=^ -f,--file=r^ -g,--glob= --iglob= -t,--type= -T,--type-not= -A,--after-context= -B,--before-context= -C,--context= -m,--max-count= -M,--max-columns= -j,--threads= -E,--encoding= -r,--replace= --ignore-file=r --pre= --pre-glob= --sort= --sortr= --max-depth,-d= --max-filesize= --color= --colors= --engine= --files -G= --ignore= --ignore-dir= -l,--files-with-matches --files-without-match",
        call.args,
    );
    shell.option_files(&parsed);
    if let Some(command) = parsed.value("--pre").filter(|c| !c.text.is_empty()).cloned() {
        shell.invoke(&[command, Arg::unknown("a found file", "the search gives it")]);
    }
    let given = parsed.has("-e") || parsed.has("-f") || parsed.has("--files");
    let files = parsed.operands.get(usize::from(!given)..).unwrap_or(&[]);
    for file in files.iter().filter(|f| f.text != "-") {
        shell.touch_with(Effect::Search, file, true);
    }
    let mut roots: Vec<Arg> = files.iter().filter(|f| f.text != "-").cloned().collect();
    if files.is_empty() && matches!(shell.stdin, Stdin::Inherited) && !call.args.is_empty() {
        roots.push(Arg::new("."));
        shell.touch_with(Effect::Search, &roots[0], true);
    }
    if ["-l", "--files", "--files-without-match"].iter().any(|option| parsed.has(option)) {
        shell.listed = found_below(&roots);
    }
}

pub(super) fn find(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut args = call.args;
    // Options before the roots.
    while let Some((first, tail)) = args.split_first() {
        match first.text.as_str() {
            "-H" | "-L" | "-P" | "-E" | "-X" | "-x" | "-s" => args = tail,
            "-D" | "-f" => args = tail.get(1..).unwrap_or(&[]),
            text if text.starts_with("-O") => args = tail,
            _ => break,
        }
    }
    let is_expression =
        |a: &Arg| a.is_known() && (a.text.starts_with('-') || matches!(a.text.as_str(), "(" | "!" | ")"));
    let cut = args.iter().position(is_expression).unwrap_or(args.len());
    let mut roots: Vec<Arg> = args[..cut].to_vec();
    let expression = &args[cut..];
    if roots.is_empty() {
        roots.push(Arg::new("."));
    }
    for root in &roots {
        shell.unknown(root);
    }
    let mut acted = false;
    // It prints nothing but names.
    let mut lists = true;
    // The names that everything has that is found so far.
    let mut named: Option<Vec<String>> = None;
    let mut depth = 0usize;
    let mut i = 0;
    while i < expression.len() {
        let arg = &expression[i];
        let value = expression.get(i + 1);
        if !arg.is_known() && i > 0 && !takes_find_value(&expression[i - 1].text) {
            shell.unknown(arg);
        }
        match arg.text.as_str() {
            "-delete" => {
                acted = true;
                for root in narrowed(&roots, named.as_deref()) {
                    shell.touch_with(Effect::Delete, &root, true);
                }
            }
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                acted = true;
                let rest = &expression[i + 1..];
                let end = rest
                    .iter()
                    .enumerate()
                    .position(|(k, a)| a.text == ";" || (a.text == "+" && k > 0 && rest[k - 1].text == "{}"))
                    .unwrap_or(rest.len());
                let found = narrowed(&roots, named.as_deref());
                find_exec(shell, &found, &roots, &rest[..end], arg.text.ends_with("dir"));
                i += end + 1;
            }
            "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                if let Some(file) = value {
                    shell.touch(Effect::Write, file);
                }
                i += 1;
            }
            "-files0-from" => {
                shell.opaque_as(Hazard::Arguments, "find takes its roots from a file");
                if let Some(file) = value {
                    shell.touch(Effect::Read, file);
                }
                lists = false;
                i += 1;
            }
            "-newer" | "-anewer" | "-cnewer" | "-samefile" => {
                if let Some(file) = value {
                    shell.touch(Effect::Read, file);
                }
                i += 1;
            }
            "-printf" | "-ls" => lists = false,
            "-o" | "-or" | "," if depth == 0 => {
                // What is found on the other side has other names, or any.
                lists &= named.is_none();
                named = None;
            }
            "(" => match any_of_names(&expression[i..]) {
                Some((names, count)) => {
                    if depth == 0 && !is_negated(expression, i) && named.is_none() {
                        named = Some(names);
                    }
                    i += count;
                }
                None => depth += 1,
            },
            ")" => depth = depth.saturating_sub(1),
            "-name" | "-iname" => {
                if let Some(name) = value.filter(|v| v.is_known() && depth == 0 && !is_negated(expression, i))
                {
                    named.get_or_insert_with(|| vec![name.text.clone()]);
                }
                i += 1;
            }
            test if takes_find_value(test) && value.is_some_and(Arg::is_known) => {
                lists &= test != "-printf";
                i += 1;
            }
            _ => {}
        }
        i += 1;
    }
    if !acted {
        for root in &roots {
            shell.touch_with(Effect::Search, root, true);
        }
        if lists {
            shell.listed = found_below(&narrowed(&roots, named.as_deref()));
        }
    }
}

/// Whether the part of an expression of `find` at `i` counts where it does not hold.
fn is_negated(expression: &[Arg], i: usize) -> bool {
    i > 0 && matches!(expression[i - 1].text.as_str(), "!" | "-not")
}

/// Reads `( -name a -o -name b )`: the names, and how many arguments it has after the first.
fn any_of_names(expression: &[Arg]) -> Option<(Vec<String>, usize)> {
    let mut names = Vec::new();
    let mut i = 1;
    loop {
        let [test, name, after, ..] = expression.get(i..)? else { return None };
        if !matches!(test.text.as_str(), "-name" | "-iname") || !name.is_known() {
            return None;
        }
        names.push(name.text.clone());
        match after.text.as_str() {
            ")" => return Some((names, i + 2)),
            "-o" | "-or" => i += 3,
            _ => return None,
        }
    }
}

/// What is found below `roots` under one of the names: `root/**/name`. The roots themselves where
/// the names say too little, or may be those of the roots.
fn narrowed(roots: &[Arg], names: Option<&[String]>) -> Vec<Arg> {
    let Some(names) = names else { return roots.to_vec() };
    let says_something = |name: &String| {
        name.chars().any(char::is_alphanumeric) && !name.contains(['/', '\\', '[', '{', '$', '`'])
    };
    if !names.iter().all(says_something) {
        return roots.to_vec();
    }
    let mut found = Vec::new();
    for root in roots {
        let last = root.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        // A root may be given as a link or by `..`: then its name is another one.
        let is_other = !root.is_known() || root.glob || root.splits || last == "..";
        if is_other || names.iter().any(|name| may_match(name, last)) {
            found.push(root.clone());
            continue;
        }
        let folder = root.text.strip_suffix('/').unwrap_or(&root.text);
        found.extend(names.iter().map(|name| root.with_text(format!("{folder}/**/{name}"))));
    }
    found
}

/// Whether a pattern of `*` and `?` matches, in any case.
fn may_match(pattern: &str, text: &str) -> bool {
    let fold = |s: &str| s.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (pattern, text) = (fold(pattern), fold(text));
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The names that a search prints, for a command that reads them.
fn found_below(roots: &[Arg]) -> Vec<Arg> {
    roots.iter().map(|root| Arg { tree: true, glob: false, ..root.clone() }).collect()
}

fn takes_find_value(test: &str) -> bool {
    matches!(
        test,
        "-name"
            | "-iname"
            | "-path"
            | "-ipath"
            | "-wholename"
            | "-regex"
            | "-iregex"
            | "-type"
            | "-mtime"
            | "-mmin"
            | "-atime"
            | "-ctime"
            | "-cmin"
            | "-amin"
            | "-size"
            | "-user"
            | "-group"
            | "-perm"
            | "-maxdepth"
            | "-mindepth"
            | "-printf"
            | "-links"
            | "-inum"
            | "-fstype"
            | "-lname"
            | "-newermt"
    )
}

/// The command of `find -exec`: each found file is somewhere below a root.
fn find_exec(shell: &mut Shell<'_>, found: &[Arg], roots: &[Arg], command: &[Arg], in_folder: bool) {
    for found in found_below(if in_folder { roots } else { found }) {
        let args: Vec<Arg> = command.iter().map(|arg| substituted(arg, "{}", &found)).collect();
        let cwd = shell.state.cwd.clone();
        if in_folder {
            if let Some(path) = shell.path(&found) {
                // The command runs in the folder of the found file, somewhere below the root.
                let found = Arg { text: path, ..found };
                let args: Vec<Arg> = command.iter().map(|arg| substituted(arg, "{}", &found)).collect();
                shell.state.cwd = Err("find runs its command in the folder of each file".to_owned());
                shell.invoke(&args);
            } else {
                shell.invoke(&args);
            }
        } else {
            shell.invoke(&args);
        }
        shell.state.cwd = cwd;
    }
}

pub(super) fn fd(shell: &mut Shell<'_>, call: &Call<'_>) {
    let cut =
        call.args.iter().position(|a| matches!(a.text.as_str(), "-x" | "--exec" | "-X" | "--exec-batch"));
    let parsed = shell.options(
        "-e,--extension= -t,--type= -d,--max-depth= --min-depth= -E,--exclude= -S,--size= -j,--threads= -c,--color= --changed-within= --changed-before= -o,--owner= -g,--glob --search-path= --base-directory= --ignore-file=r",
        &call.args[..cut.unwrap_or(call.args.len())],
    );
    let mut roots: Vec<Arg> = parsed.operands.get(1..).unwrap_or(&[]).to_vec();
    roots.extend(parsed.values("--search-path").cloned());
    roots.extend(parsed.values("--base-directory").cloned());
    if roots.is_empty() {
        roots.push(Arg::new("."));
    }
    let mut extensions = parsed.values("-e");
    let found = match (extensions.next(), extensions.next()) {
        (Some(one), None) if one.is_known() => {
            // The roots are not among what it finds, so their names don't matter.
            let name = format!("*.{}", one.text.trim_start_matches('.'));
            let root_of = |root: &Arg| root.with_text(format!("{}/.", root.text));
            narrowed(&roots.iter().map(root_of).collect::<Vec<_>>(), Some(&[name]))
        }
        _ => roots.clone(),
    };
    match cut {
        Some(cut) => {
            let mut command: Vec<Arg> = call.args[cut + 1..].to_vec();
            if command.last().is_some_and(|a| a.text == ";") {
                command.pop();
            }
            if !command.iter().any(|a| a.text.contains('{')) {
                command.push(Arg::new("{}"));
            }
            find_exec(shell, &found, &roots, &command, false);
        }
        None => {
            for root in &roots {
                shell.touch_with(Effect::Search, root, true);
            }
            shell.listed = found_below(&found);
        }
    }
}

pub(super) fn sed(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell
        .options("-i,--in-place? -e,--expression=^ -f,--file=r^ -l,--line-length= -n -E -r -s -z", call.args);
    shell.option_files(&parsed);
    let edits = parsed.has("-i");
    let mut operands = &parsed.operands[..];
    // BSD: `sed -i '' script file`.
    if edits && operands.first().is_some_and(|a| a.text.is_empty() && a.is_known()) {
        operands = &operands[1..];
    }
    let given = parsed.has("-e") || parsed.has("-f");
    let mut scripts: Vec<Arg> = parsed.values("-e").cloned().collect();
    if !given && let Some((script, files)) = operands.split_first() {
        scripts.push(script.clone());
        operands = files;
    }
    if parsed.has("-f") {
        shell.opaque_as(Hazard::Arguments, "sed runs a script that is not read here");
    }
    for script in scripts {
        if script.is_known() {
            sed_script(shell, &script.text);
        } else {
            // Whether the unknown part stays inside a substitution cannot be told.
            shell.unknown(&script);
        }
    }
    for file in operands {
        if file.text != "-" {
            shell.touch(if edits { Effect::Write } else { Effect::Read }, file);
        }
    }
}

/// The commands of sed that reach beyond the text: `w`, `r`, `e` and the flags of `s`.
fn sed_script(shell: &mut Shell<'_>, script: &str) {
    let chars: Vec<char> = script.chars().collect();
    let mut i = 0;
    let line_end =
        |from: usize| chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |p| from + p);
    // The end of a part that `delimiter` closes.
    let part = |from: usize, delimiter: char| {
        let mut k = from;
        let mut bracket = false;
        while k < chars.len() {
            match chars[k] {
                '\\' => k += 1,
                '[' => bracket = true,
                ']' => bracket = false,
                c if c == delimiter && (!bracket || delimiter == ']') => return k,
                _ => {}
            }
            k += 1;
        }
        // A bracket without its end: take the delimiter where it is.
        chars[from.min(chars.len())..].iter().position(|c| *c == delimiter).map_or(chars.len(), |p| from + p)
    };
    while i < chars.len() {
        match chars[i] {
            c if c.is_whitespace()
                || matches!(c, ';' | '{' | '}' | '!' | ',' | '$' | '~' | '+')
                || c.is_ascii_digit() =>
            {
                i += 1;
            }
            '/' => {
                i = part(i + 1, '/') + 1;
                while matches!(chars.get(i), Some('I' | 'M')) {
                    i += 1;
                }
            }
            '\\' => {
                let delimiter = chars.get(i + 1).copied().unwrap_or('/');
                i = part(i + 2, delimiter) + 1;
            }
            '#' => i = line_end(i),
            's' | 'y' => {
                let is_substitution = chars[i] == 's';
                let Some(delimiter) = chars.get(i + 1).copied() else {
                    return;
                };
                let middle = part(i + 2, delimiter);
                i = part((middle + 1).min(chars.len()), delimiter) + 1;
                while is_substitution && i < chars.len() {
                    match chars[i] {
                        'e' => {
                            shell.execute("sed");
                            shell.opaque_as(
                                Hazard::CommandWord,
                                format!("sed runs text as commands: `{}`", excerpt(script)),
                            );
                            i += 1;
                        }
                        'w' => {
                            let end = line_end(i);
                            let name: String = chars[i + 1..end].iter().collect();
                            shell.touch(Effect::Write, &Arg::new(name.trim()));
                            i = end;
                        }
                        'g' | 'p' | 'i' | 'I' | 'm' | 'M' | '0'..='9' => i += 1,
                        _ => break,
                    }
                }
            }
            command @ ('w' | 'W' | 'r' | 'R') => {
                let end = line_end(i);
                let name: String = chars[i + 1..end].iter().collect();
                let effect = if command.eq_ignore_ascii_case(&'w') { Effect::Write } else { Effect::Read };
                shell.touch(effect, &Arg::new(name.trim()));
                i = end;
            }
            'e' => {
                let end = line_end(i);
                let text: String = chars[i + 1..end].iter().collect();
                shell.execute("sed");
                if text.trim().is_empty() {
                    shell.opaque_as(Hazard::CommandWord, "sed runs the text it reads as commands");
                } else {
                    shell.nested(text.trim(), None);
                }
                i = end;
            }
            'a' | 'i' | 'c' => {
                // The text goes on over lines that end in a backslash.
                let mut end = line_end(i);
                while end > 0 && end < chars.len() && chars[end - 1] == '\\' {
                    end = line_end(end + 1);
                }
                i = end;
            }
            'b' | 't' | 'T' | ':' | 'v' => {
                while i < chars.len() && !matches!(chars[i], ';' | '\n') {
                    i += 1;
                }
            }
            'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'l' | 'n' | 'N' | 'p' | 'P' | 'q' | 'Q' | 'x' | 'z' | 'F'
            | '=' => i += 1,
            _ => {
                shell.opaque_as(
                    Hazard::CommandWord,
                    format!("sed script not understood: `{}`", excerpt(script)),
                );
                return;
            }
        }
    }
}

pub(super) fn awk(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -F,--field-separator= -v,--assign= -f,--file=^ -e,--source=^ -i,--include= -l,--load= -o? -d? -p? -E,--exec=",
        call.args,
    );
    let mut operands = &parsed.operands[..];
    let mut programs: Vec<Arg> = parsed.values("-e").cloned().collect();
    let mut files: Vec<Arg> = parsed.values("-f").cloned().collect();
    files.extend(parsed.values("-E").cloned());
    if programs.is_empty()
        && files.is_empty()
        && let Some((program, rest)) = operands.split_first()
    {
        programs.push(program.clone());
        operands = rest;
    }
    for file in &files {
        shell.touch(Effect::Execute, file);
    }
    for program in programs {
        let text = program.text.as_str();
        if !program.is_known() {
            shell.execute(call.name);
            shell.unknown(&program);
            shell.hazard(Hazard::CommandWord);
        } else if let Some(hazard) = awk_reaches_out(text) {
            shell.execute(call.name);
            shell.opaque_as(hazard, format!("awk may run commands or write files: `{}`", excerpt(text)));
        }
        if text.contains("ENVIRON") {
            shell.act(Verb::Read, "env", "*");
        }
    }
    let mut in_place = false;
    for include in parsed.values("-i").chain(parsed.values("-l")) {
        if include.text == "inplace" {
            in_place = true;
        } else {
            shell.touch(Effect::Execute, include);
        }
    }
    for file in operands {
        let assigns = file
            .text
            .split_once('=')
            .is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        if file.text != "-" && !assigns {
            shell.touch(if in_place { Effect::Write } else { Effect::Read }, file);
        }
    }
}

fn awk_reaches_out(program: &str) -> Option<Hazard> {
    if program.contains("system")
        || program.contains("getline")
        || program.contains('@') && program.contains("load")
    {
        return Some(Hazard::CommandWord);
    }
    // `print > file`, `print | command`: after `print`, in the same statement.
    let pipes = program.replace("||", "  ");
    if pipes.contains('|') {
        // A pipe inside a pattern is only a pattern.
        let outside: String = without_awk_text(&pipes);
        if outside.contains('|') {
            return Some(Hazard::CommandWord);
        }
    }
    without_awk_text(program)
        .split([';', '}', '\n'])
        .any(|s| s.find("print").is_some_and(|p| s[p..].contains('>')))
        .then_some(Hazard::Arguments)
}

/// An awk program without the text in its strings and patterns.
fn without_awk_text(program: &str) -> String {
    let mut out = String::new();
    let mut inside: Option<char> = None;
    let mut chars = program.chars();
    while let Some(c) = chars.next() {
        match inside {
            Some(end) => {
                if c == '\\' {
                    chars.next();
                } else if c == end {
                    inside = None;
                    out.push(c);
                }
            }
            None => {
                let before = out.trim_end().chars().last();
                let pattern = c == '/' && before.is_none_or(|b| "~(,!&|{;}\n".contains(b));
                if c == '"' || pattern {
                    inside = Some(c);
                }
                out.push(c);
            }
        }
    }
    out
}

pub(super) fn patch(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-p,--strip= -i,--input=r -d,--directory= -o,--output=w -r,--reject-file= -B= -V= -D= -F= -z= --dry-run -R",
        call.args,
    );
    shell.option_files(&parsed);
    if parsed.has("--dry-run") {
        return;
    }
    if let Some(file) = parsed.operands.get(1) {
        shell.touch(Effect::Read, file);
    }
    if let Some(file) = parsed.operands.first() {
        return shell.touch(Effect::Write, file);
    }
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("-d").cloned() {
        shell.state.cwd = shell.path(&folder).ok_or_else(|| "the folder of patch is not known".to_owned());
    }
    let strip = parsed.value("-p").and_then(|p| p.text.parse::<usize>().ok());
    match shell.stdin.clone() {
        Stdin::Text(text) => shell.diff(&text, strip),
        _ => {
            shell.touch_with(Effect::Write, &Arg::new("."), true);
            shell.opaque_as(Hazard::Arguments, "patch changes the files that its input names");
        }
    }
    shell.state.cwd = cwd;
}

impl Shell<'_> {
    /// The effects of applying a unified diff; `strip` as `-p` says, else only the last name.
    pub fn diff(&mut self, text: &str, strip: Option<usize>) {
        let name = |line: &str| {
            let path = line.split('\t').next().unwrap_or("").trim();
            if path == "/dev/null" {
                return path.to_owned();
            }
            match strip {
                Some(count) => path.splitn(count + 1, '/').last().unwrap_or(path).to_owned(),
                None => path.rsplit('/').next().unwrap_or(path).to_owned(),
            }
        };
        let mut old = String::new();
        let mut named = false;
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("--- ") {
                old = name(path);
            } else if let Some(path) = line.strip_prefix("+++ ") {
                named = true;
                let new = name(path);
                if new == "/dev/null" {
                    self.touch(Effect::Delete, &Arg::new(old.clone()));
                } else if old == "/dev/null" {
                    self.touch(Effect::Create, &Arg::new(new));
                } else {
                    self.touch(Effect::Write, &Arg::new(new));
                }
            } else if let Some(path) = line.strip_prefix("rename to ") {
                named = true;
                self.touch(Effect::Create, &Arg::new(path));
            }
        }
        if !named {
            self.touch_with(Effect::Write, &Arg::new("."), true);
            self.opaque_as(Hazard::Arguments, "the files that a patch changes are not known");
        }
    }
}

pub(super) fn apply_patch(shell: &mut Shell<'_>, call: &Call<'_>) {
    let text = match (call.args.first(), &shell.stdin) {
        (Some(arg), _) if arg.is_known() => arg.text.clone(),
        (Some(arg), _) => {
            let arg = arg.clone();
            shell.unknown(&arg);
            String::new()
        }
        (None, Stdin::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let mut current: Option<String> = None;
    let mut named = false;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("*** Add File: ") {
            named = true;
            shell.touch(Effect::Create, &Arg::new(path.trim()));
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            named = true;
            shell.touch(Effect::Delete, &Arg::new(path.trim()));
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            named = true;
            shell.touch(Effect::Write, &Arg::new(path.trim()));
            current = Some(path.trim().to_owned());
        } else if let Some(path) = line.strip_prefix("*** Move to: ")
            && let Some(from) = current.take()
        {
            shell.moved(&Arg::new(from), &Arg::new(path.trim()));
        }
    }
    if !named {
        shell.opaque_as(Hazard::Arguments, "the files that a patch changes are not known");
    }
}

pub(super) fn rename(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-n -v -f -s= -e=^", call.args);
    let given = parsed.has("-e") || parsed.has("-s");
    shell.opaque_as(Hazard::Arguments, "rename computes the new names");
    if let Some(text) = parsed.value("-e").or(parsed.operands.first().filter(|_| !given)).cloned() {
        // Perl, as a rule a substitution alone.
        shell.inline_code(call.name, Language::Perl, &format!("`{}`", excerpt(&text.text)), &text);
    }
    for file in parsed.operands.iter().skip(usize::from(!given)) {
        if let Some(path) = shell.path(file) {
            shell.act(Verb::Move, "file", &path);
        }
    }
}

pub(super) fn dd(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut output = false;
    for arg in call.args {
        if arg.text.starts_with("if=") {
            shell.touch(Effect::Read, &arg.tail(3));
        } else if arg.text.starts_with("of=") {
            output = true;
            shell.touch(Effect::Overwrite, &arg.tail(3));
        } else if !arg.is_known() && (arg.known_bytes == 0 || arg.splits) {
            shell.unknown(arg);
        }
    }
    if !output && !call.args.iter().any(|a| a.text.starts_with("if=")) {
        shell.execute(call.name);
    }
}

pub(super) fn editor(shell: &mut Shell<'_>, call: &Call<'_>) {
    let spec = match call.name {
        "emacs" => "--eval,--execute= -l,--load,--script=x -f,--funcall= -Q --batch -nw",
        "ed" => "-p= -s",
        "code" | "subl" => "-n -g,--goto -d -r --install-extension= --uninstall-extension=",
        _ => "-c,--cmd= -u=r -S=x -s=x -W=w -p -e -E -es",
    };
    let parsed = shell.options(spec, call.args);
    if parsed.has("--eval") || parsed.has("-f") {
        shell.execute(call.name);
        shell.opaque_as(Hazard::CommandWord, format!("{} runs code that is not read here", call.name));
    }
    if parsed.has("--install-extension") || parsed.has("--uninstall-extension") {
        shell.act(Verb::Configure, "proc", call.name);
    }
    shell.option_files(&parsed);
    let vi = matches!(call.name, "vi" | "vim" | "nvim" | "vimdiff" | "view" | "ex" | "ed");
    if parsed.has("-c") {
        shell.execute(call.name);
        shell.opaque_as(Hazard::CommandWord, format!("{} runs commands of its own language", call.name));
    }
    if matches!(call.name, "ed" | "ex" | "vi" | "vim" | "nvim") && !matches!(shell.stdin, Stdin::Inherited) {
        let runs = match &shell.stdin {
            Stdin::Text(text) => {
                text.contains('!') || text.lines().any(|l| l.starts_with(['w', 'r', 'e']) && l.contains(' '))
            }
            _ => true,
        };
        if runs {
            shell.execute(call.name);
            shell.opaque_as(
                Hazard::CommandWord,
                format!("{} reads commands of its own language from its input", call.name),
            );
        }
    }
    for file in &parsed.operands {
        if vi && file.text.starts_with('+') {
            if file.text.bytes().any(|b| !b.is_ascii_digit() && b != b'+') {
                shell.execute(call.name);
                shell.opaque_as(
                    Hazard::CommandWord,
                    format!("{} runs commands of its own language", call.name),
                );
            }
            continue;
        }
        shell.touch(if call.name == "view" { Effect::Read } else { Effect::Write }, file);
    }
}

pub(super) fn ffmpeg(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut args = call.args.iter().peekable();
    while let Some(arg) = args.next() {
        let last = args.peek().is_none();
        if arg.text == "-i" {
            if let Some(input) = args.next() {
                if input.text.contains("://") {
                    shell.url(Verb::Network, input);
                } else {
                    shell.touch(Effect::Read, input);
                }
            }
        } else if last && !arg.text.starts_with('-') {
            if arg.text.contains("://") {
                shell.url(Verb::Send, arg);
            } else {
                shell.touch(Effect::Write, arg);
            }
        }
    }
}

pub(super) fn convert(shell: &mut Shell<'_>, call: &Call<'_>) {
    let operands: Vec<&Arg> = call.args.iter().filter(|a| !a.text.starts_with(['-', '+', '('])).collect();
    if call.name == "mogrify" {
        if let Some(file) = operands.last() {
            shell.touch(Effect::Write, file);
        }
        return;
    }
    for operand in &operands {
        // ImageMagick runs a name that begins with a bar.
        if operand.text.starts_with('|') {
            code(shell, call.name, &operand.tail(1), None);
        }
    }
    if let (Some(first), Some(last)) = (operands.first(), operands.last()) {
        shell.touch(Effect::Read, first);
        if operands.len() > 1 {
            shell.touch(Effect::Write, last);
        }
    }
}
