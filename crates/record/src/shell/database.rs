//! Databases, by statement: `db:ENGINE/DATABASE/TABLE`, `*` where the text does not say.

use super::code::Language;
use super::expand::Arg;
use super::invoke::Call;
use super::run::{Shell, Stdin};
use super::syntax::excerpt;
use super::table::Effect;
use crate::{Action, Hazard, Resource, Verb};

/// What one SQL statement does.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    verb: Verb,
    table: String,
    destructive: bool,
    /// `table` names a whole database.
    whole: bool,
}

/// Splits SQL into words; text in quotes stays together, comments are dropped.
fn words(sql: &str) -> Vec<Vec<String>> {
    let mut statements = vec![Vec::new()];
    let mut word = String::new();
    let mut chars = sql.chars().peekable();
    let end = |word: &mut String, statements: &mut Vec<Vec<String>>| {
        if !word.is_empty()
            && let Some(last) = statements.last_mut()
        {
            last.push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '-' if chars.peek() == Some(&'-') => {
                end(&mut word, &mut statements);
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            '/' if chars.peek() == Some(&'*') => {
                end(&mut word, &mut statements);
                chars.next();
                // MySQL runs what stands in `/*! … */`.
                if chars.peek() == Some(&'!') {
                    chars.next();
                    while chars.peek().is_some_and(char::is_ascii_digit) {
                        chars.next();
                    }
                    continue;
                }
                let mut before = ' ';
                for c in chars.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            '\'' => {
                end(&mut word, &mut statements);
                word.push('\'');
                for c in chars.by_ref() {
                    if c == '\'' {
                        break;
                    }
                    word.push(c);
                }
                end(&mut word, &mut statements);
            }
            '"' | '`' | '[' if c != '[' || word.is_empty() => {
                let close = if c == '[' { ']' } else { c };
                for c in chars.by_ref() {
                    if c == close {
                        break;
                    }
                    word.push(c);
                }
            }
            ';' => {
                end(&mut word, &mut statements);
                statements.push(Vec::new());
            }
            // The end of a comment that MySQL runs.
            '*' if chars.peek() == Some(&'/') => {
                end(&mut word, &mut statements);
                chars.next();
            }
            '(' | ')' | ',' | '=' | '*' => {
                end(&mut word, &mut statements);
                word.push(c);
                end(&mut word, &mut statements);
            }
            c if c.is_whitespace() => end(&mut word, &mut statements),
            c => word.push(c),
        }
    }
    end(&mut word, &mut statements);
    statements.retain(|s| !s.is_empty());
    statements
}

/// The word after `key`, skipping what may stand between.
fn after(statement: &[String], key: &str) -> Option<String> {
    let at = statement.iter().position(|w| w.eq_ignore_ascii_case(key))?;
    statement[at + 1..]
        .iter()
        .find(|w| {
            !matches!(
                w.to_ascii_lowercase().as_str(),
                "if" | "not"
                    | "exists"
                    | "only"
                    | "table"
                    | "into"
                    | "ignore"
                    | "low_priority"
                    | "temporary"
                    | "temp"
                    | "concurrently"
                    | "unique"
            )
        })
        .map(|w| w.trim_matches(['(', ')']).to_owned())
        .filter(|w| !w.is_empty())
}

fn classify(statement: &[String]) -> Vec<Statement> {
    let lower: Vec<String> = statement.iter().map(|w| w.to_ascii_lowercase()).collect();
    let has = |word: &str| lower.iter().any(|w| w == word);
    let one = |verb, table: Option<String>, destructive| {
        let whole = matches!(lower.get(1).map(String::as_str), Some("database" | "schema"))
            && matches!(lower[0].as_str(), "drop" | "create" | "alter");
        vec![Statement { verb, table: table.unwrap_or_else(|| "*".to_owned()), destructive, whole }]
    };
    let second = lower.get(1).map_or("", String::as_str);
    match lower.first().map_or("", String::as_str) {
        "select" | "table" | "values" => {
            let mut all = one(Verb::Read, after(statement, "from"), false);
            if has("into") && !has("from") || has("into") && !has("outfile") && !has("dumpfile") {
                all.extend(one(Verb::Create, after(statement, "into"), false));
            }
            all
        }
        "with" => {
            // A common table expression: the statement proper comes after it.
            let main = lower
                .iter()
                .skip(1)
                .position(|w| matches!(w.as_str(), "insert" | "update" | "delete" | "merge"));
            match main {
                Some(at) => classify(&statement[at + 1..]),
                None => one(Verb::Read, after(statement, "from"), false),
            }
        }
        "show" | "describe" | "desc" | "pragma" | "use" | "checkpoint" => one(Verb::Read, None, false),
        "explain" | "analyze" if has("analyze") && has("delete") => {
            one(Verb::Delete, after(statement, "from"), true)
        }
        "explain" | "analyze" => one(Verb::Read, after(statement, "from"), false),
        "insert" | "replace" | "merge" => one(
            Verb::Write,
            after(statement, "into").or_else(|| after(statement, lower[0].as_str())),
            lower[0] == "replace",
        ),
        "update" => one(Verb::Write, after(statement, "update"), !has("where")),
        "delete" => one(Verb::Delete, after(statement, "from"), !has("where")),
        "truncate" => one(Verb::Delete, after(statement, "truncate"), true),
        "drop" => one(Verb::Delete, after(statement, second), true),
        "create" => {
            let key = lower.iter().skip(1).find(|w| {
                matches!(
                    w.as_str(),
                    "table"
                        | "view"
                        | "index"
                        | "database"
                        | "schema"
                        | "function"
                        | "procedure"
                        | "trigger"
                        | "user"
                        | "role"
                        | "extension"
                        | "sequence"
                        | "type"
                )
            });
            let name = key.and_then(|k| after(statement, k));
            let verb = if matches!(key.map(String::as_str), Some("user" | "role")) {
                Verb::Configure
            } else {
                Verb::Create
            };
            one(verb, name, has("replace"))
        }
        "alter" => {
            let drops = has("drop");
            one(if has("table") { Verb::Write } else { Verb::Configure }, after(statement, second), drops)
        }
        "rename" => one(Verb::Move, after(statement, second), false),
        "grant" | "revoke" => one(Verb::Configure, after(statement, "on"), false),
        "set" | "reset" | "vacuum" | "reindex" | "optimize" | "flush" | "comment" | "kill" => {
            one(Verb::Configure, None, false)
        }
        "copy" => {
            let table = statement.get(1).cloned();
            if has("from") { one(Verb::Write, table, false) } else { one(Verb::Read, table, false) }
        }
        "load" => one(Verb::Write, after(statement, "table"), false),
        "begin" | "start" | "commit" | "end" | "rollback" | "savepoint" | "release" | "lock" | "unlock" => {
            Vec::new()
        }
        "call" | "exec" | "execute" | "do" => one(Verb::Execute, after(statement, lower[0].as_str()), false),
        "attach" | "detach" => one(Verb::Configure, None, false),
        _ => one(Verb::Execute, None, false),
    }
}

/// Names the effects of SQL on a database.
pub(super) fn sql(shell: &mut Shell<'_>, engine: &str, database: &str, text: &Arg) {
    if !text.is_known() {
        shell.unknown(text);
        if text.known().trim().is_empty() {
            shell.hazard(Hazard::CommandWord);
        }
        if text.known().trim().is_empty() {
            let action = Action::new(Verb::Execute, Resource::new("db", format!("{engine}/{database}/*")));
            return shell.push(action);
        }
    }
    const MOST_STATEMENTS: usize = 500;
    let statements = words(&text.text);
    if statements.len() > MOST_STATEMENTS {
        shell.opaque_as(Hazard::LeftOut, format!("only {MOST_STATEMENTS} of the statements are listed"));
    }
    for statement in statements.iter().take(MOST_STATEMENTS) {
        for found in classify(statement) {
            let table = found.table.replace('/', "_");
            let name = if found.whole {
                format!("{engine}/{table}/*")
            } else {
                format!("{engine}/{database}/{table}")
            };
            let action = Action::new(found.verb, Resource::new("db", name));
            shell.push(if found.destructive { action.destructive() } else { action });
        }
        server_side(shell, engine, statement);
    }
}

/// SQL that reaches beyond the database.
fn server_side(shell: &mut Shell<'_>, engine: &str, statement: &[String]) {
    let lower: Vec<String> = statement.iter().map(|w| w.to_ascii_lowercase()).collect();
    let joined = lower.join(" ");
    let suspicious = lower.first().is_some_and(|w| w == "copy")
        && lower.iter().any(|w| w == "program" || w.starts_with('\''))
        || [
            "outfile",
            "dumpfile",
            "xp_cmdshell",
            "pg_read_file",
            "load_file",
            "lo_export",
            "lo_import",
            "sys_exec",
            "load_extension",
            "readfile",
            "writefile",
            "dblink",
            "pg_ls_dir",
            "infile",
            "plpythonu",
            "plpython3u",
            "plperlu",
        ]
        .iter()
        .any(|word| joined.contains(word));
    if suspicious {
        shell.opaque_as(
            Hazard::CommandWord,
            format!("{engine} reaches files or commands of its machine: `{}`", excerpt(&statement.join(" "))),
        );
    }
}

/// The database in a connection URL or string.
fn database_of(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("://") {
        let path = rest.split_once('/')?.1;
        let name = path.split(['?', '#']).next()?;
        return (!name.is_empty()).then(|| name.to_owned());
    }
    if text.contains('=') {
        return text.split_whitespace().find_map(|p| p.strip_prefix("dbname=")).map(str::to_owned);
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// The host in a connection URL.
fn host_of(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

fn connection(shell: &mut Shell<'_>, host: Option<&Arg>, text: Option<&Arg>) {
    if let Some(host) = host.filter(|h| !h.text.starts_with('/') && !h.text.is_empty()) {
        let host = host.clone();
        shell.host(Verb::Network, &host, None);
    } else if let Some(host) = text.filter(|t| t.is_known()).and_then(|t| host_of(&t.text)) {
        shell.act(Verb::Network, "host", &host);
    }
}

/// Statements from standard input.
fn fed(shell: &mut Shell<'_>, engine: &str, database: &str, name: &str) {
    match shell.stdin.clone() {
        Stdin::Text(text) if name == "psql" && text.contains('\\') => {
            psql_lines(shell, database, &Arg::new(text.as_ref()))
        }
        Stdin::Text(text) => sql(shell, engine, database, &Arg::new(text.as_ref())),
        Stdin::Partly(text) if !text.text.contains('\\') => sql(shell, engine, database, &text),
        Stdin::File(_) => {
            shell.act(Verb::Execute, "db", &format!("{engine}/{database}/*"));
            shell.opaque_as(Hazard::Arguments, format!("{name} reads statements that are not known"));
        }
        Stdin::Partly(_) | Stdin::From(_) | Stdin::Found(_) => {
            shell.act(Verb::Execute, "db", &format!("{engine}/{database}/*"));
            shell.opaque_as(Hazard::CommandWord, format!("{name} reads statements that are not known"));
        }
        Stdin::Inherited => shell.execute(name),
    }
}

/// Statements of psql, with its own commands that begin with a backslash.
fn psql_lines(shell: &mut Shell<'_>, database: &str, text: &Arg) {
    let mut statements = String::new();
    for line in text.text.lines() {
        let Some(command) = line.trim_start().strip_prefix('\\') else {
            statements.push_str(line);
            statements.push('\n');
            continue;
        };
        let argument = command.split_once(char::is_whitespace).map_or("", |(_, a)| a).trim();
        if let Some(text) = command.strip_prefix('!') {
            shell.nested(text, None);
        } else if command.starts_with("copy") {
            let file =
                argument.split('\'').nth(1).or_else(|| argument.split_whitespace().last()).unwrap_or("");
            let into = argument.contains(" from ") || argument.contains(" FROM ");
            if argument.to_ascii_lowercase().contains(" program ") {
                shell.nested(file, None);
            } else {
                shell.touch(if into { Effect::Read } else { Effect::Write }, &Arg::new(file));
            }
            shell.act(
                if into { Verb::Write } else { Verb::Read },
                "db",
                &format!("postgres/{database}/{}", argument.split_whitespace().next().unwrap_or("*")),
            );
        } else if command.starts_with("i ") || command.starts_with("ir ") || command.starts_with("include") {
            shell.touch(Effect::Execute, &Arg::new(argument));
        } else if command.starts_with("o ") || command.starts_with("w ") || command.starts_with("g ") {
            match argument.strip_prefix('|') {
                Some(text) => shell.nested(text, None),
                None => shell.touch(Effect::Write, &Arg::new(argument)),
            }
        } else if command.contains("| ") || command.contains("gexec") || command.contains('`') {
            shell.opaque_as(Hazard::CommandWord, format!("psql runs a command: `{}`", excerpt(line)));
        } else {
            shell.act(Verb::Read, "db", &format!("postgres/{database}/*"));
        }
    }
    if !statements.trim().is_empty() {
        sql(shell, "postgres", database, &Arg { text: statements, ..text.clone() });
    }
}

/// Whether a command is a task of a framework by which the database of the project is emptied,
/// dropped or taken back.
pub(super) fn is_dropped(name: &str, args: &[Arg]) -> bool {
    const TASKS: [&str; 18] = [
        "db:drop",
        "db:drop:all",
        "db:reset",
        "db:purge",
        "db:wipe",
        "db:rollback",
        "db:migrate:reset",
        "db:migrate:undo:all",
        "db:truncate_all",
        "migrate:fresh",
        "migrate:reset",
        "migrate:refresh",
        "migrate:rollback",
        "ecto.drop",
        "ecto.reset",
        "schema:drop",
        "doctrine:database:drop",
        "doctrine:schema:drop",
    ];
    let has = |word: &str| args.iter().any(|arg| arg.text == word);
    let manage = |args: &[Arg]| {
        args.iter().find(|arg| !arg.text.starts_with('-')).is_some_and(|task| {
            matches!(task.text.as_str(), "flush" | "reset_db")
                || (task.text == "migrate" && args.iter().any(|arg| arg.text == "zero"))
        })
    };
    match name {
        "rails" | "rake" | "php" | "mix" | "sequelize" | "sequelize-cli" | "typeorm" | "knex" | "npm"
        | "pnpm" | "yarn" | "bun" => args.iter().any(|arg| TASKS.contains(&arg.text.as_str())),
        "manage.py" | "django-admin" => manage(args),
        "prisma" => (has("migrate") && has("reset")) || has("--force-reset"),
        "alembic" => has("downgrade"),
        "flask" => has("db") && has("downgrade"),
        "supabase" => has("db") && has("reset"),
        "drizzle-kit" | "mysqladmin" => has("drop"),
        _ if name.starts_with("python") => args
            .iter()
            .position(|arg| arg.text.rsplit('/').next() == Some("manage.py"))
            .is_some_and(|at| manage(&args[at + 1..])),
        _ => false,
    }
}

pub(super) fn psql(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-c,--command= -f,--file= -d,--dbname= -h,--host= -p,--port= -U,--username= -o,--output= -L,--log-file=w -v,--set,--variable= -P,--pset= -F= -R= -T= -l,--list -t -A -q -X -1 -w -W -E -e -x",
        call.args,
    );
    let place = parsed.value("-d").or(parsed.operands.first()).cloned();
    if let Some(place) = place.as_ref().filter(|p| !p.is_known()) {
        shell.unknown(place);
    }
    let database = place
        .as_ref()
        .filter(|p| p.is_known())
        .and_then(|p| database_of(&p.text))
        .unwrap_or_else(|| "*".to_owned());
    shell.option_files(&parsed);
    connection(shell, parsed.value("-h"), place.as_ref());
    let mut given = false;
    for text in parsed.values("-c").cloned().collect::<Vec<_>>() {
        given = true;
        if text.is_known() && text.text.trim_start().starts_with('\\') {
            psql_lines(shell, &database, &text);
        } else {
            sql(shell, "postgres", &database, &text);
        }
    }
    for file in parsed.values("-f").filter(|f| f.text != "-") {
        given = true;
        shell.touch(Effect::Execute, file);
        shell.act(Verb::Execute, "db", &format!("postgres/{database}/*"));
    }
    if let Some(file) = parsed.value("-o").cloned() {
        match file.text.strip_prefix('|') {
            Some(text) => shell.nested(text, None),
            None => shell.touch(Effect::Write, &file),
        }
    }
    if parsed.has("-l") {
        given = true;
        shell.act(Verb::Read, "db", "postgres/*/*");
    }
    if !given {
        fed(shell, "postgres", &database, call.name);
    }
}

pub(super) fn mysql(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-e,--execute= -D,--database= -h,--host= -P,--port= -u,--user= -p? --password? -S,--socket= --defaults-file=r --defaults-extra-file=r --tee=w --default-character-set= --init-command= -B -N -t -s",
        call.args,
    );
    shell.option_files(&parsed);
    let database = parsed.value("-D").or(parsed.operands.first()).map_or("*", |d| d.text.as_str()).to_owned();
    connection(shell, parsed.value("-h"), None);
    let texts: Vec<Arg> = parsed.values("-e").chain(parsed.values("--init-command")).cloned().collect();
    for text in &texts {
        if text.text.contains("\\!") || text.text.trim_start().to_ascii_lowercase().starts_with("system ") {
            shell.opaque_as(Hazard::CommandWord, format!("mysql runs a command: `{}`", excerpt(&text.text)));
        }
        let trimmed = text.text.trim();
        if let Some(file) = trimmed.strip_prefix("source ").or(trimmed.strip_prefix("\\. ")) {
            shell.touch(Effect::Execute, &text.with_text(file.trim_end_matches(';').trim()));
        }
        sql(shell, "mysql", &database, text);
    }
    if !parsed.has("-e") {
        fed(shell, "mysql", &database, call.name);
    }
}

pub(super) fn sqlite(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-cmd= -init=x -separator= -nullvalue= -mode= -newline= -vfs= -c,-s= -batch -header -noheader -csv -json -line -column -readonly -html -list -box -table -markdown -quote -bail -echo -interactive -version -safe -f=x",
        call.args,
    );
    shell.option_files(&parsed);
    let engine = if call.name == "duckdb" { "duckdb" } else { "sqlite" };
    let Some((file, statements)) = parsed.operands.split_first() else {
        return fed(shell, engine, ":memory:", call.name);
    };
    let database = file.text.rsplit('/').next().unwrap_or("*").to_owned();
    let database = if file.is_known() { database } else { "*".to_owned() };
    let mut texts: Vec<Arg> = parsed.values("-cmd").cloned().collect();
    texts.extend(parsed.values("-c").cloned());
    texts.extend(statements.iter().cloned());
    let mut writes = false;
    if texts.is_empty() {
        if let Stdin::Text(text) = &shell.stdin {
            texts.push(Arg::new(text.as_ref()));
        } else {
            fed(shell, engine, &database, call.name);
            writes = !matches!(shell.stdin, Stdin::Inherited);
        }
    }
    for text in &texts {
        let mut plain = String::new();
        for line in text.text.lines() {
            match line.trim_start().strip_prefix('.') {
                Some(command) => dot_command(shell, engine, &database, command),
                None => {
                    plain.push_str(line);
                    plain.push('\n');
                }
            }
        }
        writes |= words(&plain).iter().flat_map(|s| classify(s)).any(|s| s.verb != Verb::Read);
        for statement in words(&plain).iter().filter(|s| s[0].eq_ignore_ascii_case("attach")) {
            if let Some(other) = statement[1..].iter().find(|w| !w.eq_ignore_ascii_case("database")) {
                shell.touch(Effect::Write, &Arg::new(other.trim_matches('\'')));
            }
        }
        if !plain.trim().is_empty() || !text.is_known() {
            sql(shell, engine, &database, &Arg { text: plain, ..text.clone() });
        }
    }
    if database != ":memory:" {
        shell.touch(if writes { Effect::Write } else { Effect::Read }, file);
    }
}

fn dot_command(shell: &mut Shell<'_>, engine: &str, database: &str, command: &str) {
    let mut parts = command.split_whitespace();
    let name = parts.next().unwrap_or("");
    let rest = command.split_once(char::is_whitespace).map_or("", |(_, r)| r);
    let file = parts.clone().find(|p| !p.starts_with('-')).unwrap_or("").trim_matches(['\'', '"']).to_owned();
    match name {
        "shell" | "system" | "sh" => shell.nested(rest, None),
        "output" | "once" | "backup" | "save" | "clone" | "excel" | "log" | "trace" => match file
            .strip_prefix('|')
        {
            Some(_) => shell.nested(rest.trim().trim_start_matches('|'), None),
            None if file.is_empty() || file == "stdout" || file == "off" => {}
            None => {
                let last = rest.split_whitespace().last().unwrap_or("").trim_matches(['\'', '"']).to_owned();
                shell.touch(Effect::Write, &Arg::new(last));
            }
        },
        "read" | "load" => match file.strip_prefix('|') {
            Some(_) => shell.nested(rest.trim().trim_start_matches('|'), None),
            None => shell.touch(Effect::Execute, &Arg::new(file)),
        },
        "import" | "restore" => {
            if file.starts_with('|') {
                shell.opaque_as(Hazard::CommandWord, "sqlite3 imports the output of a command");
            } else {
                shell.touch(Effect::Read, &Arg::new(file));
            }
            let table = rest.split_whitespace().last().unwrap_or("*").to_owned();
            shell.act(Verb::Write, "db", &format!("{engine}/{database}/{table}"));
        }
        "open" | "cd" => {
            shell.opaque_as(Hazard::Arguments, format!("the database changes: `.{}`", excerpt(command)));
        }
        _ => shell.act(Verb::Read, "db", &format!("{engine}/{database}/*")),
    }
}

pub(super) fn redis(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -h= -p= -a,--pass= -n= -u= --user= -r= -i= -s= --cacert=r --cert=r --key=r --eval=x -x --pipe --tls --rdb=w --raw --scan --pattern= -c", call.args);
    shell.option_files(&parsed);
    connection(shell, parsed.value("-h"), parsed.value("-u"));
    let database = parsed.value("-n").map_or("0", |n| n.text.as_str()).to_owned();
    let statements: Vec<Vec<Arg>> = if parsed.operands.is_empty() {
        match shell.stdin.clone() {
            Stdin::Text(text) => text.lines().map(|l| l.split_whitespace().map(Arg::new).collect()).collect(),
            Stdin::Inherited => {
                if parsed.has("--scan") || parsed.has("--rdb") {
                    return shell.act(Verb::Read, "db", &format!("redis/{database}/*"));
                }
                return shell.execute(call.name);
            }
            _ => {
                shell.act(Verb::Execute, "db", &format!("redis/{database}/*"));
                return shell.opaque_as(Hazard::CommandWord, "redis-cli reads commands that are not known");
            }
        }
    } else {
        vec![parsed.operands]
    };
    for statement in statements {
        let Some((command, keys)) = statement.split_first() else {
            continue;
        };
        shell.unknown(command);
        let key = keys.first().map_or("*", |k| k.text.as_str());
        let word = command.text.to_ascii_lowercase();
        let (verb, key, destructive) = match word.as_str() {
            "flushall" | "flushdb" | "shutdown" => (Verb::Delete, "*", true),
            "del" | "unlink" | "hdel" | "lrem" | "srem" | "zrem" | "ltrim" | "lpop" | "rpop" | "spop"
            | "getdel" | "xdel" | "xtrim" => (Verb::Delete, key, matches!(word.as_str(), "del" | "unlink")),
            "get" | "mget" | "keys" | "scan" | "hget" | "hgetall" | "hmget" | "hkeys" | "hvals"
            | "lrange" | "llen" | "smembers" | "scard" | "zrange" | "ttl" | "type" | "exists" | "info"
            | "dbsize" | "ping" | "monitor" | "strlen" | "dump" | "zscore" | "client" | "slowlog"
            | "memory" | "time" | "select" | "auth" | "object" | "xrange" | "xlen" => {
                (Verb::Read, key, false)
            }
            "config" | "acl" | "slaveof" | "replicaof" | "save" | "bgsave" | "bgrewriteaof" | "cluster"
            | "module" | "debug" => (Verb::Configure, "*", false),
            "eval" | "evalsha" | "script" | "fcall" | "function" => {
                let script = statement.get(1).cloned().unwrap_or_default();
                shell.inline_code(call.name, Language::Other, "a script", &script);
                (Verb::Execute, "*", false)
            }
            _ => (Verb::Write, key, false),
        };
        let action = Action::new(verb, Resource::new("db", format!("redis/{database}/{key}")));
        shell.push(if destructive { action.destructive() } else { action });
    }
}

pub(super) fn mongo(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("--eval= -f,--file=x --host= --port= -u,--username= -p,--password= --authenticationDatabase= --quiet --norc --shell --json?", call.args);
    shell.option_files(&parsed);
    let place = parsed.operands.iter().find(|a| !a.text.ends_with(".js")).cloned();
    let database = place.as_ref().and_then(|p| database_of(&p.text)).unwrap_or_else(|| "*".to_owned());
    connection(shell, parsed.value("--host"), place.as_ref());
    for script in parsed.operands.iter().filter(|a| a.text.ends_with(".js")) {
        shell.touch(Effect::Execute, script);
    }
    let text = match (parsed.value("--eval").cloned(), shell.stdin.clone()) {
        (Some(text), _) => text,
        (None, Stdin::Text(text)) => Arg::new(text.as_ref()),
        (None, Stdin::Inherited) => return shell.execute(call.name),
        (None, Stdin::Partly(text)) => text,
        (None, _) => Arg::unknown("$input", "it comes through a pipe"),
    };
    // JavaScript: the usual calls are recognised, but anything can stand in between.
    shell.inline_code(call.name, Language::JavaScript, &format!("`{}`", excerpt(&text.text)), &text);
    let mut found = false;
    for part in text.text.split("db.").skip(1) {
        let (collection, method) = match part.split_once('.') {
            Some((c, m)) if !c.contains(['(', ' ', ';']) => (c, m),
            _ => ("*", part),
        };
        let method: String = method.chars().take_while(char::is_ascii_alphanumeric).collect();
        let (verb, destructive) = match method.as_str() {
            m if m.starts_with("find")
                || m.starts_with("count")
                || m.starts_with("aggregate")
                || m.starts_with("get")
                || m.starts_with("distinct")
                || m.starts_with("stats") =>
            {
                (Verb::Read, false)
            }
            m if m.starts_with("delete") || m.starts_with("remove") || m.starts_with("drop") => {
                (Verb::Delete, !m.ends_with("One"))
            }
            m if m.starts_with("create") => (Verb::Create, false),
            _ => (Verb::Write, false),
        };
        found = true;
        let action = Action::new(verb, Resource::new("db", format!("mongodb/{database}/{collection}")));
        shell.push(if destructive { action.destructive() } else { action });
    }
    if !found {
        shell.act(Verb::Execute, "db", &format!("mongodb/{database}/*"));
    }
}

pub(super) fn other_sql(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-q,--query,-Q= -e= -d,--database= -h,--host,-S= -u,--user,-U= -p,--password,-P= -i,-f=r --port= -k=",
        call.args,
    );
    shell.option_files(&parsed);
    let engine = match call.name {
        "cqlsh" => "cassandra",
        "sqlcmd" => "mssql",
        _ => "clickhouse",
    };
    connection(shell, parsed.value("-h"), None);
    let database = parsed.value("-d").map_or("*", |d| d.text.as_str()).to_owned();
    match parsed.value("-q").or(parsed.value("-e")).cloned() {
        Some(text) => sql(shell, engine, &database, &text),
        None => fed(shell, engine, &database, call.name),
    }
}

pub(super) fn dump(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-f,--file=w -d,--dbname,--db= -h,--host= -p,--port= -U,-u,--username,--user= -t,--table= -n,--schema= -F,--format= -T= -o,--out=w -r,--result-file=w --uri= --archive? -j= -Z= --password? -w", call.args);
    shell.option_files(&parsed);
    let engine = if call.name.starts_with("pg") {
        "postgres"
    } else if call.name.starts_with("mongo") {
        "mongodb"
    } else {
        "mysql"
    };
    let place = parsed.value("-d").or(parsed.value("--uri")).or(parsed.operands.first()).cloned();
    connection(shell, parsed.value("-h"), place.as_ref());
    let database = place.and_then(|p| database_of(&p.text)).unwrap_or_else(|| "*".to_owned());
    let table = parsed.value("-t").or(parsed.operands.get(1)).map_or("*", |t| t.text.as_str()).to_owned();
    shell.act(Verb::Read, "db", &format!("{engine}/{database}/{table}"));
}

pub(super) fn restore(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-d,--dbname,--db= -h,--host= -p,--port= -U,-u,--username,--user= -t,--table= -F,--format= -j= -n= -c,--clean --drop --uri= --archive? --nsInclude= -1", call.args);
    let engine = if call.name.starts_with("pg") {
        "postgres"
    } else if call.name.starts_with("mongo") {
        "mongodb"
    } else {
        "mysql"
    };
    for file in &parsed.operands {
        shell.touch(Effect::Read, file);
    }
    connection(shell, parsed.value("-h"), parsed.value("--uri"));
    let database = parsed.value("-d").and_then(|p| database_of(&p.text)).unwrap_or_else(|| "*".to_owned());
    let action = Action::new(Verb::Write, Resource::new("db", format!("{engine}/{database}/*")));
    shell.push(if parsed.has("-c") || parsed.has("--drop") { action.destructive() } else { action });
}

pub(super) fn postgres_admin(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-h,--host= -p,--port= -U,--username= -O,--owner= -T,--template= -E= -D= -f -e -i",
        call.args,
    );
    connection(shell, parsed.value("-h"), None);
    for name in &parsed.operands {
        shell.unknown(name);
    }
    let name = parsed.operand(0).to_owned();
    let (verb, destructive) = match call.name {
        "createdb" => (Verb::Create, false),
        "createuser" => (Verb::Configure, false),
        _ => (Verb::Delete, true),
    };
    let action = Action::new(verb, Resource::new("db", format!("postgres/{name}/*")));
    shell.push(if destructive { action.destructive() } else { action });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_by_their_first_word() {
        for (sql, verb, table, destructive) in [
            ("select * from users", Verb::Read, "users", false),
            ("INSERT INTO t VALUES (1)", Verb::Write, "t", false),
            ("update t set a = 1 where b = 2", Verb::Write, "t", false),
            ("update t set a = 1", Verb::Write, "t", true),
            ("delete from t where a=1", Verb::Delete, "t", false),
            ("/* where */ delete from t -- where", Verb::Delete, "t", true),
            ("drop table if exists \"t\"", Verb::Delete, "t", true),
            ("TRUNCATE TABLE t", Verb::Delete, "t", true),
            ("create table if not exists t (id int)", Verb::Create, "t", false),
            ("grant all on t to bob", Verb::Configure, "t", false),
            ("with x as (select 1) delete from t", Verb::Delete, "t", true),
            ("/*!50000 drop */ table t", Verb::Delete, "t", true),
        ] {
            let found: Vec<Statement> = words(sql).iter().flat_map(|s| classify(s)).collect();
            assert_eq!(
                found,
                [Statement { verb, table: table.to_owned(), destructive, whole: false }],
                "{sql}"
            );
        }
    }
}
