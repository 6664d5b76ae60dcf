//! From what a clause asks for to the rules of an intent.

use super::super::Place;
use super::super::object::{folder, group, rubbish};
use super::super::words::{self, Ask, TOOLS};
use super::{CHANGES, Clause, LOOKS, Object, Reader, TOUCHES, What};
use fdr_record::Verb;
use fdr_record::shell::{Context, normalise};

impl Reader<'_> {
    /// The files that the objects of a clause stand for, without those that are only referred to.
    fn targets(&self, clause: &Clause) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        let own: Vec<&Object> = clause.files();
        // What is moved comes from somewhere.
        for object in own.iter().filter(|o| !o.referred || clause.ask == Some(Ask::Move)) {
            if let What::Files(patterns) = &object.what {
                files.extend(patterns.iter().cloned());
            }
        }
        files.dedup();
        files
    }

    fn groups(&self, clause: &Clause, of: fn(&str, &Place<'_>) -> Option<Vec<String>>) -> Vec<String> {
        clause.lows.iter().filter_map(|low| of(low, self.place)).flatten().collect()
    }

    fn words_of(clause: &Clause) -> Vec<String> {
        clause
            .objects
            .iter()
            .filter_map(|o| match &o.what {
                What::Word(word) | What::Code(word) if !o.referred => Some(word.clone()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn allowed(&mut self, clause: &Clause, words: &str) {
        let Some(ask) = clause.ask else { return };
        // "push when I say so": it isn't said yet.
        let later = clause.tail.iter().any(|w| w == "i")
            && clause
                .tail
                .iter()
                .any(|w| matches!(w.as_str(), "say" | "tell" | "approve" | "confirm" | "ask"));
        if later && ask != Ask::Look {
            return;
        }
        let files = self.targets(clause);
        for object in &clause.objects {
            match &object.what {
                What::Table(table)
                    if !matches!(ask, Ask::Push | Ask::Delete | Ask::Migrate | Ask::Backup) =>
                {
                    let verbs: &[Verb] = match ask {
                        Ask::Look | Ask::Run => LOOKS,
                        Ask::Change => &[Verb::Read, Verb::Search, Verb::Write, Verb::Create],
                        _ => LOOKS,
                    };
                    self.rule(true, verbs, table.clone(), words);
                }
                _ => {}
            }
        }
        match ask {
            Ask::Look => {
                let files: Vec<String> = clause
                    .files()
                    .iter()
                    .flat_map(|o| match &o.what {
                        What::Files(files) => files.clone(),
                        _ => Vec::new(),
                    })
                    .collect();
                let files = if files.is_empty() { vec![self.place.all()] } else { files };
                for file in files {
                    self.rule(true, LOOKS, file, words);
                }
            }
            Ask::Change | Ask::Touch | Ask::Move => self.change(clause, files, words),
            Ask::Delete => self.delete(clause, words),
            Ask::Revert => {
                self.task(true, "revert", words);
                self.change(clause, files, words);
            }
            Ask::Run => self.run(true, clause, files, words),
            Ask::Test => self.task(true, "test", words),
            Ask::Build => {
                self.task(true, "build", words);
                if clause.has(&["image", "docker"]) {
                    self.rule(true, &[Verb::Create], "pkg:docker/*".to_owned(), words);
                }
            }
            Ask::Lint => self.task(true, "lint", words),
            Ask::Commit => {
                self.task(true, if clause.has(&["amend", "squash"]) { "rebase" } else { "commit" }, words)
            }
            Ask::Branch => self.task(true, "branch", words),
            Ask::Merge => {
                self.task(true, "merge", words);
                if clause.has(&["pr", "prs", "request", "mr"]) {
                    self.task(true, "pr", words);
                }
            }
            Ask::Rebase => self.task(true, "rebase", words),
            Ask::Pull => {
                self.task(true, "pull", words);
                self.rule(true, &[Verb::Network], "git:**".to_owned(), words);
            }
            Ask::Push => {
                let aside =
                    clause.objects.iter().all(|o| !matches!(o.what, What::Branch(_) | What::Remote(_)))
                        && clause.has(&[
                            "right",
                            "left",
                            "top",
                            "bottom",
                            "edge",
                            "px",
                            "stack",
                            "queue",
                            "array",
                            "list",
                            "notification",
                            "notifications",
                        ]);
                if aside {
                    return self.change(clause, files, words);
                }
                if clause.has(&["image", "images", "docker", "container"]) {
                    return self.rule(true, &[Verb::Send], "pkg:docker/**".to_owned(), words);
                }
                for target in git_targets(clause) {
                    self.rule(true, &[Verb::Send], target, words);
                }
            }
            Ask::PullRequest => self.task(true, "pr", words),
            Ask::Deploy => {
                let name = environment(clause).map_or("deploy".to_owned(), |e| format!("deploy#{e}"));
                self.task(true, &name, words);
            }
            Ask::Publish => {
                self.task(true, "publish", words);
            }
            Ask::Release => {
                self.task(true, "release", words);
                self.rule(true, CHANGES, self.place.all(), words);
            }
            Ask::Send => self.send(clause, files, words),
            Ask::Fetch => {
                let hosts = self.hosts(clause);
                if hosts.is_empty() {
                    self.rule(true, &[Verb::Network], "**".to_owned(), words);
                }
                for host in hosts {
                    self.rule(true, &[Verb::Network], format!("host:{host}"), words);
                }
                for file in files {
                    self.rule(true, CHANGES, file, words);
                }
            }
            Ask::Install | Ask::Uninstall => {
                for package in packages(clause) {
                    let verbs = [Verb::Network, Verb::Configure, Verb::Write, Verb::Execute];
                    let more = [Verb::Network, Verb::Configure, Verb::Write, Verb::Execute, Verb::Delete];
                    self.rule(true, if ask == Ask::Uninstall { &more } else { &verbs }, package, words);
                }
            }
            Ask::Configure => {
                for file in &files {
                    self.rule(true, &[Verb::Configure], file.clone(), words);
                }
                if clause.has(&["git"]) {
                    self.rule(true, &[Verb::Configure], "git:config#**".to_owned(), words);
                }
                self.change(clause, files, words);
            }
            Ask::Restart => {
                let mut named = false;
                for word in Self::words_of(clause) {
                    let word = word.to_lowercase();
                    if !matches!(
                        word.as_str(),
                        "server"
                            | "service"
                            | "container"
                            | "docker"
                            | "compose"
                            | "docker-compose"
                            | "containers"
                            | "process"
                            | "app"
                            | "daemon"
                            | "dienst"
                            | "dev"
                            | "neu"
                    ) && !word.contains(' ')
                    {
                        named = true;
                        self.rule(true, &[Verb::Configure, Verb::Execute], format!("proc:{word}"), words);
                        self.rule(true, &[Verb::Configure, Verb::Execute], format!("tool:**/{word}"), words);
                    }
                }
                if !named {
                    self.task(true, "restart", words);
                }
            }
            Ask::Migrate => self.task(true, "migrate", words),
            Ask::Backup => {
                self.task(true, "backup", words);
                let files = if files.is_empty() { vec![self.place.all()] } else { files };
                for file in files {
                    self.rule(true, &[Verb::Read, Verb::Search, Verb::Create], file, words);
                }
                self.rule(true, LOOKS, "db:**".to_owned(), words);
            }
            Ask::Delegate => self.rule(true, &[Verb::Delegate], "agent:**".to_owned(), words),
        }
    }

    fn hosts(&self, clause: &Clause) -> Vec<String> {
        clause
            .objects
            .iter()
            .filter_map(|o| match &o.what {
                What::Host(host) => Some(host.clone()),
                _ => None,
            })
            .collect()
    }

    fn change(&mut self, clause: &Clause, files: Vec<String>, words: &str) {
        for object in &clause.objects {
            if let What::Branch(name) = &object.what {
                self.rule(true, &[Verb::Create], format!("git:.#{name}"), words);
                self.task(true, "branch", words);
                if clause.objects.len() == 1 {
                    return;
                }
            }
        }
        let for_use = clause.has(&["use", "using", "take"])
            && clause.has(&["reference", "example", "template", "blueprint", "inspiration", "vorlage"]);
        if for_use {
            return;
        }
        let dependency = clause.has(&[
            "dependency",
            "dependencies",
            "package",
            "packages",
            "crate",
            "library",
            "deps",
            "npm",
            "pip",
            "abhängigkeit",
            "abhängigkeiten",
            "paket",
        ]);
        if dependency {
            for package in packages(clause) {
                self.rule(
                    true,
                    &[Verb::Network, Verb::Configure, Verb::Write, Verb::Execute],
                    package,
                    words,
                );
            }
        }
        if clause.has(&["install"]) && !dependency {
            self.rule(true, &[Verb::Network], "pkg:**".to_owned(), words);
        }
        // What an implementation follows is no place to write to.
        let plan = clause.has(&["implement", "follow", "complete", "finish", "execute", "implementiere"]);
        let mut files: Vec<String> = files
            .into_iter()
            .filter(|f| !(plan && f.ends_with(".md") | f.ends_with(".txt") | f.ends_with(".pdf")))
            .collect();
        if files.is_empty() {
            let by_name: Vec<String> = clause
                .lows
                .iter()
                .filter(|low| {
                    matches!(
                        low.as_str(),
                        "docs"
                            | "documentation"
                            | "readme"
                            | "changelog"
                            | "dockerfile"
                            | "makefile"
                            | "ci"
                            | "workflow"
                            | "dokumentation"
                            | "doku"
                            | "license"
                    ) || self.closed && group(low, self.place).is_some()
                })
                .filter_map(|low| group(low, self.place))
                .flatten()
                .collect();
            files = by_name;
        }
        if files.is_empty() {
            let pronoun = clause.objects.iter().any(|o| o.what == What::Pronoun)
                && !clause.objects.iter().any(|o| matches!(o.what, What::Word(_)));
            files = if pronoun { self.mentioned_or_all() } else { vec![self.place.all()] };
        }
        for file in files {
            self.rule(true, CHANGES, file, words);
        }
    }

    fn delete(&mut self, clause: &Clause, words: &str) {
        let mut done = false;
        let stuff = clause.universal()
            || clause.has(&[
                "files",
                "file",
                "folder",
                "folders",
                "contents",
                "artifacts",
                "logs",
                "all",
                "directory",
                "dateien",
                "datei",
                "inhalt",
                "stuff",
                "alles",
                "alle",
                "caches",
                "backups",
                "outputs",
            ]);
        let endings: Vec<String> = clause
            .files()
            .iter()
            .filter(|o| !o.located)
            .filter_map(|o| match &o.what {
                What::Files(files) => files.first().cloned(),
                _ => None,
            })
            .filter_map(|f| f.rsplit('/').next().filter(|last| last.starts_with('*')).map(str::to_owned))
            .collect();
        for object in &clause.objects {
            match &object.what {
                What::Files(files) if !object.located => {
                    // "all .log files in logs/": the pattern goes with the place.
                    let located =
                        clause.objects.iter().any(|o| o.located && matches!(o.what, What::Files(_)));
                    let ending = files
                        .first()
                        .is_some_and(|f| f.rsplit('/').next().is_some_and(|l| l.starts_with('*')));
                    if located && ending {
                        continue;
                    }
                    for file in files {
                        self.rule(true, &[Verb::Delete], file.clone(), words);
                    }
                    if clause.has(&["tests", "test"]) {
                        for test in tests_of(files, self.place) {
                            self.rule(true, &[Verb::Delete], test, words);
                        }
                    }
                    done = true;
                }
                What::Files(files) if !endings.is_empty() => {
                    for file in files {
                        let folder = file.strip_suffix("/**").unwrap_or(file);
                        for ending in &endings {
                            self.rule(true, &[Verb::Delete], format!("{folder}/**/{ending}"), words);
                        }
                    }
                    done = true;
                }
                What::Files(files) if stuff => {
                    for file in files {
                        self.rule(true, &[Verb::Delete], file.clone(), words);
                    }
                    done = true;
                }
                What::Files(files) => {
                    for file in files {
                        self.rule(true, CHANGES, file.clone(), words);
                    }
                    done = true;
                }
                What::Branch(name) => {
                    self.rule(true, &[Verb::Delete], format!("git:*#{name}"), words);
                    done = true;
                }
                What::Table(table)
                    if table == "db:**"
                        && tables(&clause.objects.iter().map(|o| o.what.clone()).collect::<Vec<_>>())
                            .len()
                            > 1 => {}
                What::Table(table) => {
                    self.rule(true, &[Verb::Delete, Verb::Read, Verb::Search], table.clone(), words);
                    done = true;
                }
                _ => {}
            }
        }
        if clause.has(&[
            "dependency",
            "dependencies",
            "package",
            "packages",
            "crate",
            "library",
            "deps",
            "abhängigkeit",
        ]) {
            for package in packages(clause) {
                self.rule(true, &[Verb::Delete, Verb::Write, Verb::Execute, Verb::Configure], package, words);
            }
            if !done {
                self.rule(true, CHANGES, self.place.all(), words);
            }
            return;
        }
        if done {
            return;
        }
        let files = self.groups(clause, rubbish);
        if !files.is_empty() {
            for file in files {
                self.rule(true, &[Verb::Delete], file, words);
            }
            return;
        }
        if clause.objects.iter().any(|o| o.what == What::Pronoun) && !self.mentions.is_empty() {
            for file in self.mentioned_or_all() {
                self.rule(true, &[Verb::Delete], file, words);
            }
            return;
        }
        // Parts of files are removed by changing them.
        let part = clause.has(&[
            "statement",
            "statements",
            "import",
            "imports",
            "function",
            "functions",
            "method",
            "methods",
            "comment",
            "comments",
            "field",
            "fields",
            "line",
            "lines",
            "call",
            "calls",
            "warning",
            "warnings",
            "parameter",
            "parameters",
            "argument",
            "variable",
            "variables",
            "attribute",
            "import-statements",
            "kommentare",
            "imports",
        ]);
        if !part {
            self.task(true, "delete", words);
        }
        self.rule(true, CHANGES, self.place.all(), words);
    }

    fn run(&mut self, allow: bool, clause: &Clause, files: Vec<String>, words: &str) {
        let mut found = false;
        for object in &clause.objects {
            match &object.what {
                What::Code(code) if code.contains(' ') || TOOLS.has(code) => {
                    found = true;
                    if !allow {
                        self.task(false, &format!("command/{code}"), words);
                        continue;
                    }
                    let context = Context { cwd: self.place.cwd, home: self.place.home };
                    for action in normalise(code, &context).actions {
                        let mut resource = action.resource.as_str().to_owned();
                        if action.recursive {
                            resource.push_str("/**");
                        }
                        self.rule(true, &[action.action], resource, words);
                    }
                    self.task(true, &format!("command/{code}"), words);
                }
                What::Word(word) if TOOLS.has(&word.to_lowercase()) => {
                    found = true;
                    self.rule(allow, &[Verb::Execute], format!("proc:{}", word.to_lowercase()), words);
                }
                What::Host(host) => {
                    found = true;
                    self.rule(allow, &[Verb::Execute, Verb::Network], format!("host:{host}"), words);
                }
                What::Branch(_) | What::Remote(_) | What::Table(_) => found |= allow,
                _ => {}
            }
        }
        for file in files {
            found = true;
            self.rule(allow, &[Verb::Execute], file, words);
        }
        for (names, task) in [
            (
                &["tests", "test", "testsuite", "specs", "benchmark", "benchmarks", "bench", "unit", "e2e"][..],
                "test",
            ),
            (&["build", "compiler", "compilation"][..], "build"),
            (&["migrations", "migration", "migrationen"][..], "migrate"),
            (&["linter", "lint", "formatter", "clippy", "typecheck", "checks"][..], "lint"),
            (&["deploy", "deployment"][..], "deploy"),
            (&["backup"][..], "backup"),
        ] {
            if clause.has(names) {
                found = true;
                self.task(allow, task, words);
            }
        }
        if !found && allow {
            self.task(true, "run", words);
        } else if !found
            && (clause.universal() || clause.has(&["any", "commands", "code", "scripts", "befehle"]))
        {
            self.rule(false, &[Verb::Execute], "**".to_owned(), words);
        } else if !found && let Some(What::Word(word)) = clause.objects.first().map(|o| &o.what) {
            // "don't run rm": a command by its name.
            self.task(false, &format!("command/{word}"), words);
        }
    }

    fn send(&mut self, clause: &Clause, files: Vec<String>, words: &str) {
        let mut named = false;
        for object in &clause.objects {
            match &object.what {
                What::Mail(address) => {
                    named = true;
                    self.rule(true, &[Verb::Send], format!("url:mailto:{address}"), words);
                }
                What::Host(host) => {
                    named = true;
                    self.rule(true, &[Verb::Send, Verb::Network], format!("host:{host}"), words);
                }
                _ => {}
            }
        }
        for (names, host) in [
            (&["slack"][..], "*.slack.com"),
            (&["discord"][..], "*.discord.com"),
            (&["telegram"][..], "api.telegram.org"),
            (&["github", "issue", "pr", "gist"][..], "github.com"),
            (&["jira", "confluence"][..], "*.atlassian.net"),
        ] {
            if clause.has(names) {
                named = true;
                self.rule(true, &[Verb::Send, Verb::Network], format!("host:{host}"), words);
            }
        }
        for file in files {
            self.rule(true, LOOKS, file, words);
        }
        if clause.has(&["s3", "bucket"]) {
            named = true;
            self.rule(true, &[Verb::Send], "url:s3://**".to_owned(), words);
        }
        if !named {
            self.task(true, "send", words);
        }
    }

    pub(super) fn excluded(&mut self, clause: &Clause, words: &str) {
        let Some(mut ask) = clause.ask else { return };
        // "except" and then nothing that the rules know.
        if clause.lows.is_empty() && clause.objects.is_empty() {
            return;
        }
        // "don't run anything that needs the network": that is what is excluded, not all.
        if ask == Ask::Run && !clause.tail.is_empty() && clause.universal() {
            if !clause
                .tail
                .iter()
                .any(|w| matches!(w.as_str(), "network" | "internet" | "online" | "netzwerk"))
            {
                return;
            }
            ask = Ask::Fetch;
        }
        // "don't include anything from .env"
        if clause.has(&["include", "including"]) {
            ask = Ask::Look;
        }
        let mut files = self.targets(clause);
        files.extend(clause.files().iter().filter(|o| o.referred).flat_map(|o| match &o.what {
            What::Files(files) => files.clone(),
            _ => Vec::new(),
        }));
        if clause.inverted {
            // "nothing except x": x is what may be touched, and nothing else.
            self.closed = true;
            files.extend(self.groups(clause, group));
            for file in files {
                self.rule(true, CHANGES, file, words);
            }
            return;
        }
        // "don't change anything else": closes the scope, and excludes nothing by itself.
        if clause.has(&["else", "other", "another", "others", "anderes", "anderen", "sonst", "andere"])
            && files.is_empty()
        {
            self.closed = true;
            return;
        }
        let names: Vec<What> = clause.objects.iter().map(|o| o.what.clone()).collect();
        let bare = !clause.objects.iter().any(|o| matches!(o.what, What::Word(_) | What::Code(_)));
        let adjectives = clause.objects.iter().any(|o| matches!(&o.what, What::Word(w) if !matches!(w.to_lowercase().as_str(), "files" | "code" | "file" | "sources" | "source" | "dateien" | "datei" | "yet")));
        let all_files = clause.universal()
            || !adjectives
                && clause.has(&["files", "code", "file", "sources", "dateien", "datei", "anything"]);
        match ask {
            Ask::Change | Ask::Touch | Ask::Move | Ask::Revert => {
                let by_doing = clause
                    .lows
                    .iter()
                    .skip(clause.lead)
                    .find_map(|w| words::doing(w))
                    .filter(|_| files.is_empty());
                if let Some(doing) = by_doing.filter(|d| !matches!(d, Ask::Touch)) {
                    let inner = Clause { ask: Some(doing), ..clause.clone() };
                    return self.excluded(&inner, words);
                }
                files.extend(self.groups(clause, group));
                let verbs: &[Verb] = if clause.has(&[
                    "create",
                    "creating",
                    "add",
                    "adding",
                    "erstelle",
                    "erstellen",
                    "anlegen",
                ]) && files.is_empty()
                    && all_files
                {
                    &[Verb::Create]
                } else {
                    TOUCHES
                };
                let verbs = if ask == Ask::Move { &[Verb::Move] } else { verbs };
                let tables: Vec<String> = tables(&names);
                if files.is_empty() && tables.is_empty() && clause.universal() {
                    // "anything in infra": a folder, whatever it is called.
                    let folders: Vec<String> = clause
                        .objects
                        .iter()
                        .filter_map(|o| match &o.what {
                            What::Word(word) if o.located => Some(folder(word, self.place)),
                            _ => None,
                        })
                        .flatten()
                        .collect();
                    files.extend(folders);
                }
                if files.is_empty() && tables.is_empty() {
                    let free = ask == Ask::Touch
                        && (bare || by_doing.is_some())
                        && !clause.has(&["behaviour", "behavior", "api"]);
                    if by_doing == Some(Ask::Touch) || free || clause.universal() {
                        files.push("**".to_owned());
                    } else if all_files
                        && !clause.has(&[
                            "create",
                            "creating",
                            "add",
                            "adding",
                            "delete",
                            "erstelle",
                            "erstellen",
                        ])
                        && ask != Ask::Move
                    {
                        self.code = self.code.take().or(Some(words.to_owned()));
                    } else if all_files {
                        files.push(self.place.all());
                    }
                }
                for file in files.into_iter().chain(tables) {
                    self.rule(false, verbs, file, words);
                }
            }
            Ask::Delete => {
                files.extend(self.groups(clause, group));
                files.extend(tables(&names));
                files.extend(names.iter().filter_map(|n| match n {
                    What::Branch(name) => Some(format!("git:*#{name}")),
                    _ => None,
                }));
                if files.is_empty()
                    && clause
                        .has(&["data", "daten", "rows", "records", "table", "tables", "database", "tabellen"])
                {
                    files.push("db:**".to_owned());
                }
                if files.is_empty() && (bare || all_files) {
                    files.push("**".to_owned());
                }
                for file in files {
                    self.rule(false, &[Verb::Delete], file, words);
                }
            }
            Ask::Look => {
                files.extend(tables(&names));
                for file in files {
                    self.rule(false, LOOKS, file, words);
                }
            }
            Ask::Run => self.run(false, clause, files, words),
            Ask::Test => self.task(false, "test", words),
            Ask::Build => {
                if bare || clause.has(&["project", "image", "app"]) {
                    self.task(false, "build", words);
                }
            }
            Ask::Lint => self.task(false, "lint", words),
            Ask::Commit if clause.has(&["amend"]) => self.task(false, "amend", words),
            Ask::Commit if clause.has(&["squash"]) => self.task(false, "rebase", words),
            Ask::Commit => self.task(false, "commit", words),
            Ask::Branch => self.task(false, "branch", words),
            Ask::Merge => self.task(false, "merge", words),
            Ask::Rebase => self.task(false, "rebase", words),
            Ask::Pull => self.task(false, "pull", words),
            Ask::Push => {
                if clause.has(&["force", "force-push", "force-pushing"]) {
                    return self.task(false, "force-push", words);
                }
                for target in git_targets(clause) {
                    self.rule(false, &[Verb::Send], target, words);
                }
            }
            Ask::PullRequest => self.task(false, "pr", words),
            Ask::Deploy => {
                let name = environment(clause).map_or("deploy".to_owned(), |e| format!("deploy#{e}"));
                self.task(false, &name, words);
            }
            Ask::Publish => self.task(false, "publish", words),
            Ask::Release => self.task(false, "release", words),
            Ask::Migrate => self.task(false, "migrate", words),
            Ask::Backup => self.task(false, "backup", words),
            Ask::Send => {
                let hosts = self.hosts(clause);
                for host in &hosts {
                    self.rule(false, &[Verb::Send], format!("host:{host}"), words);
                }
                if hosts.is_empty() {
                    self.rule(false, &[Verb::Send], "**".to_owned(), words);
                }
            }
            Ask::Fetch => {
                let hosts = self.hosts(clause);
                for host in &hosts {
                    self.rule(false, &[Verb::Network, Verb::Send], format!("host:{host}"), words);
                }
                if hosts.is_empty() {
                    self.rule(false, &[Verb::Network, Verb::Send], "**".to_owned(), words);
                }
            }
            Ask::Install | Ask::Uninstall => {
                for package in packages(clause) {
                    let verbs = [Verb::Delete];
                    self.rule(false, if ask == Ask::Uninstall { &verbs } else { &[] }, package, words);
                }
            }
            Ask::Configure => {
                if files.is_empty() && (bare || clause.universal()) {
                    files.push("**".to_owned());
                }
                for file in files {
                    self.rule(false, &[Verb::Configure], file, words);
                }
            }
            Ask::Restart => {
                let named: Vec<String> = Self::words_of(clause)
                    .into_iter()
                    .filter(|w| {
                        !matches!(w.to_lowercase().as_str(), "server" | "service" | "services" | "container")
                    })
                    .collect();
                for word in &named {
                    self.rule(
                        false,
                        &[Verb::Configure, Verb::Execute],
                        format!("proc:{}", word.to_lowercase()),
                        words,
                    );
                }
                if named.is_empty() {
                    self.task(false, "restart", words);
                }
            }
            Ask::Delegate => self.rule(false, &[Verb::Delegate], "**".to_owned(), words),
        }
    }
}

/// The tests of a file, by its name: "src/a.py and its tests".
fn tests_of(files: &[String], place: &Place<'_>) -> Vec<String> {
    let root = place.root().trim_end_matches('/');
    let name = files.first().and_then(|f| f.rsplit('/').next()).and_then(|f| f.split('.').next());
    let Some(name) = name.filter(|n| !n.is_empty() && !n.contains('*')) else { return Vec::new() };
    let forms = [
        format!("test_{name}.*"),
        format!("{name}_test.*"),
        format!("{name}.test.*"),
        format!("{name}.spec.*"),
        format!("{name}Test.*"),
    ];
    forms.into_iter().map(|form| format!("file:{root}/**/{form}")).collect()
}

fn tables(names: &[What]) -> Vec<String> {
    names
        .iter()
        .filter_map(|n| match n {
            What::Table(table) => Some(table.clone()),
            _ => None,
        })
        .collect()
}

/// Where a push goes: `git:REMOTE#BRANCH`.
fn git_targets(clause: &Clause) -> Vec<String> {
    let remote = clause.objects.iter().find_map(|o| match &o.what {
        What::Remote(name) => Some(name.as_str()),
        _ => None,
    });
    let branches: Vec<&str> = clause
        .objects
        .iter()
        .filter_map(|o| match &o.what {
            What::Branch(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    match (remote, branches.is_empty()) {
        (None, true) => vec!["git:**".to_owned()],
        (Some(remote), true) => vec![format!("git:{remote}#**")],
        (remote, false) => branches.iter().map(|b| format!("git:{}#{b}", remote.unwrap_or("*"))).collect(),
    }
}

fn environment(clause: &Clause) -> Option<&'static str> {
    if clause.has(&["production", "prod", "live", "produktion"]) {
        Some("production")
    } else if clause.has(&["staging", "stage", "preview", "test"]) {
        Some("staging")
    } else {
        None
    }
}

/// The packages that a clause names; all, if none.
fn packages(clause: &Clause) -> Vec<String> {
    let generic = |w: &str| {
        matches!(
            w,
            "dependencies"
                | "dependency"
                | "deps"
                | "packages"
                | "package"
                | "requirements"
                | "libraries"
                | "library"
                | "everything"
                | "crate"
                | "crates"
                | "modules"
                | "npm"
                | "pip"
                | "cargo"
                | "latest"
                | "version"
                | "dev"
                | "npm's"
                | "yarn"
                | "pnpm"
                | "brew"
                | "apt"
                | "abhängigkeiten"
                | "abhängigkeit"
                | "pakete"
                | "paket"
                | "project"
                | "tools"
                | "missing"
                | "system"
                | "global"
                | "globally"
                | "locally"
                | "neuen"
                | "external"
                | "third-party"
                | "needed"
                | "necessary"
                | "required"
                | "nach"
        ) || w.starts_with(|c: char| c.is_ascii_digit())
            || w.starts_with('-')
    };
    let mut found: Vec<String> = clause
        .objects
        .iter()
        .filter(|o| !o.located || matches!(o.what, What::Code(_)))
        .filter_map(|o| match &o.what {
            What::Word(word) | What::Code(word) => Some(word.as_str()),
            _ => None,
        })
        .flat_map(str::split_whitespace)
        .filter(|w| !generic(&w.to_lowercase()) && words::verb(&w.to_lowercase()).is_none())
        .filter(|w| w.chars().all(|c| c.is_alphanumeric() || "@/._-+=^~".contains(c)))
        .map(|w| {
            let name = w.split("==").next().unwrap_or(w);
            let at = name.rfind('@').filter(|at| *at > 0).unwrap_or(name.len());
            format!("pkg:*/{}", &name[..at])
        })
        .collect();
    found.dedup();
    if found.is_empty() { vec!["pkg:**".to_owned()] } else { found }
}
