//! What is told of a resource by its name alone: the attributes that policies ask for.
//!
//! No file and no name server is asked. Where a name can be read in two ways, the attribute that
//! forbids more is taken: not inside, not allowed, secret, protected.

use crate::lists::{Lists, Path, PathList, fold, glob_matches, name_matches};
use crate::pattern::is_below;
use fdr_record::Resource;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A value as Cedar knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A number.
    Long(i64),
    /// A text.
    Text(String),
    /// A set of texts, sorted.
    Set(Vec<String>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Long(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Set(values) => write!(f, "{values:?}"),
        }
    }
}

/// Attributes by name, in the order of the schema.
pub(crate) type Attributes = Vec<(&'static str, Value)>;

/// The types of resources in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    File,
    Url,
    Host,
    Process,
    Git,
    Database,
    Mcp,
    Other,
}

impl Type {
    pub const ALL: [Type; 8] =
        [Type::File, Type::Url, Type::Host, Type::Process, Type::Git, Type::Database, Type::Mcp, Type::Other];

    pub fn as_str(self) -> &'static str {
        match self {
            Type::File => "File",
            Type::Url => "Url",
            Type::Host => "Host",
            Type::Process => "Process",
            Type::Git => "Git",
            Type::Database => "Database",
            Type::Mcp => "Mcp",
            Type::Other => "Other",
        }
    }

    pub fn of(resource: &Resource) -> Type {
        match resource.kind() {
            "file" => Type::File,
            "url" => Type::Url,
            "host" => Type::Host,
            "proc" => Type::Process,
            "git" => Type::Git,
            "db" => Type::Database,
            "mcp" => Type::Mcp,
            _ => Type::Other,
        }
    }
}

/// What has to be known beside a resource's name.
pub(crate) struct Place<'p> {
    pub lists: &'p Lists,
    /// Roots of the workspace.
    pub workspace: &'p [String],
    /// The user's home folder; empty if it is not known.
    pub home: &'p str,
    /// Its segments, folded.
    pub home_segments: Vec<String>,
    /// Whether arguments of the call are not known: a `$` in a path may be a variable then.
    pub has_unknown: bool,
    /// The branch that is checked out; empty if it is not known.
    pub branch: &'p str,
}

impl<'p> Place<'p> {
    pub fn new(lists: &'p Lists, workspace: &'p [String], home: &'p str, has_unknown: bool) -> Place<'p> {
        let home_segments =
            fold(home).split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Place { lists, workspace, home, home_segments, has_unknown, branch: "" }
    }

    /// The same, where it is known what is checked out.
    pub fn on_branch(mut self, branch: Option<&'p str>) -> Place<'p> {
        self.branch = branch.unwrap_or_default();
        self
    }

    /// The attributes of a resource. `leads` is where a link leads.
    pub fn attributes(&self, resource: &Resource, leads: Option<&str>, tamper: bool) -> Attributes {
        let kind = resource.kind();
        let name = resource.name();
        let mut secret = false;
        let mut inside = false;
        let mut allowed = None;
        let mut protected = false;
        let mut special: Attributes = Vec::new();
        let mut classes: Vec<String> = Vec::new();
        match Type::of(resource) {
            Type::File => {
                let file = self.file_and_end(name, leads, &mut classes);
                (secret, inside) = (file.secret, file.inside);
                special = file.special(name);
            }
            Type::Url => {
                let url = Url::parse(name);
                inside = url.host.loopback;
                allowed = Some(inside || url.is_allowed(&self.lists.allowed_hosts));
                special = url.special();
            }
            Type::Host => {
                let host = Host::parse(name, 0);
                inside = host.loopback;
                allowed = Some(inside || host.is_allowed(&self.lists.allowed_hosts));
                special = host.special();
            }
            Type::Process => {
                inside = true;
                special = vec![("privileged", Value::Bool(self.is_privileged(name)))];
            }
            Type::Git => {
                let (remote, reference) = name.rsplit_once('#').unwrap_or((name, ""));
                inside = matches!(remote, "." | "config" | "submodules");
                allowed = Some(inside || self.is_allowed_remote(remote));
                protected = self.is_protected(name, remote, reference);
                special = vec![("remote", text(remote)), ("ref", text(reference))];
            }
            Type::Database => {
                let mut parts = name.splitn(3, '/').map(text);
                let mut next = || parts.next().unwrap_or_else(|| text(""));
                special = vec![("engine", next()), ("database", next()), ("table", next())];
            }
            Type::Mcp => {
                let (server, tool) = name.split_once('/').unwrap_or((name, ""));
                allowed = Some(self.lists.allowed_mcp.iter().any(|pattern| match pattern.contains('/') {
                    true => name_matches(pattern, name) && !name.contains('*'),
                    false => glob_matches(pattern, server) && !server.contains('*'),
                }));
                special = vec![("server", text(server)), ("tool", text(tool))];
            }
            Type::Other => match kind {
                "env" => (secret, inside) = (is_secret_name(name), true),
                "secret" => secret = true,
                "memory" | "agent" => inside = true,
                "tool" => inside = !is_remote_tool(name),
                _ => {}
            },
        }
        self.classes(resource, &mut classes);
        classes.sort_unstable();
        classes.dedup();
        let mut attributes = vec![
            ("name", text(name)),
            ("kind", text(kind)),
            ("secret", Value::Bool(secret)),
            ("tamper", Value::Bool(tamper)),
            ("inside", Value::Bool(inside)),
            // Where nothing leaves the machine, no list has to allow it.
            ("allowed", Value::Bool(allowed.unwrap_or(inside))),
            ("protected", Value::Bool(protected)),
            ("classes", Value::Set(classes)),
        ];
        attributes.append(&mut special);
        attributes
    }

    /// Whether a resource is secret, and whether it is a file outside the workspace.
    pub fn secret_outside(&self, resource: &Resource, leads: Option<&str>) -> (bool, bool) {
        match resource.kind() {
            "file" => {
                let file = self.file_and_end(resource.name(), leads, &mut Vec::new());
                (file.secret, !file.inside && !file.scratch)
            }
            "env" => (is_secret_name(resource.name()), false),
            "secret" => (true, false),
            _ => (false, false),
        }
    }

    /// The same of what is read: what belongs to a class counts as secret, because what was read
    /// can be sent on by any later action.
    pub fn taken_in(&self, resource: &Resource, leads: Option<&str>) -> (bool, bool) {
        let (secret, outside) = self.secret_outside(resource, leads);
        (secret || self.has_class(resource, leads), outside)
    }

    /// Whether a resource belongs to any class of the lists.
    pub fn has_class(&self, resource: &Resource, leads: Option<&str>) -> bool {
        let mut classes = Vec::new();
        if resource.kind() == "file" && !self.lists.classes.is_empty() {
            self.file_and_end(resource.name(), leads, &mut classes);
        }
        self.classes(resource, &mut classes);
        !classes.is_empty()
    }

    fn classes(&self, resource: &Resource, found: &mut Vec<String>) {
        if self.lists.classes.iter().all(|class| class.others.is_empty()) {
            return;
        }
        let (kind, name) = (resource.kind(), fold(resource.name()));
        for class in &self.lists.classes {
            let is_of = class.others.iter().any(|(of, pattern)| {
                (of == kind || of == "*") && (name_matches(pattern, &name) || glob_matches(pattern, &name))
            });
            if is_of {
                found.push(class.name.clone());
            }
        }
    }

    fn is_privileged(&self, name: &str) -> bool {
        let name = fold(name);
        let name = name.rsplit('/').next().unwrap_or(&name);
        const PRIVILEGED: [&str; 17] = [
            "sudo",
            "sudoedit",
            "dzdo",
            "su",
            "doas",
            "pkexec",
            "runuser",
            "setpriv",
            "run0",
            "gosu",
            "nsenter",
            "unshare",
            "setcap",
            "visudo",
            "machinectl",
            "sg",
            "newgrp",
        ];
        PRIVILEGED.contains(&name) || self.lists.privileged.contains(name)
    }

    /// A remote by name is one that the repository knows already; a URL or a host has to be on
    /// the list.
    fn is_allowed_remote(&self, remote: &str) -> bool {
        if remote.contains("://") {
            let url = Url::parse(remote);
            return url.host.loopback || url.is_allowed(&self.lists.allowed_hosts);
        }
        if remote.contains(['$', '`', '*', '?']) || remote.is_empty() {
            return false;
        }
        match remote.split_once(':') {
            // `host:path`, unless a slash stands before the colon.
            Some((host, _)) if !host.contains('/') => {
                Host::parse(host, 22).is_allowed(&self.lists.allowed_hosts)
            }
            _ => true,
        }
    }

    fn is_protected(&self, name: &str, remote: &str, reference: &str) -> bool {
        if matches!(remote, "config" | "submodules") {
            return false;
        }
        // A branch may have a `#` in its name, and so may a remote: both readings count.
        let first = name.split_once('#').map_or(reference, |(_, reference)| reference);
        [reference, first].iter().any(|reference| {
            let reference = fold(reference);
            let plain = reference.trim_start_matches('+');
            let plain = plain.strip_prefix("refs/heads/").or(plain.strip_prefix("heads/")).unwrap_or(plain);
            let is_tag = plain.starts_with("refs/tags/") && !plain.contains(['$', '`']);
            if is_tag {
                // Tags are protected only where a pattern speaks of them.
                let patterns = self.lists.protected_branches.iter().filter(|p| p.starts_with("refs/tags/"));
                return patterns.into_iter().any(|pattern| name_matches(pattern, plain));
            }
            // `git push` without a name, and HEAD, are the branch that is checked out.
            let is_head = matches!(plain, "head" | "@") || (plain.is_empty() && remote == "@{push}");
            if is_head && remote != "." && !self.branch.is_empty() && self.branch != "HEAD" {
                let branch = fold(self.branch);
                return self.lists.protected_branches.iter().any(|pattern| name_matches(pattern, &branch));
            }
            let is_unknown = plain.is_empty()
                || plain == "head"
                || plain == "@"
                || plain.contains(['*', '$', '`', '?', '[', '{', '\\']);
            // In the repository at hand, HEAD is no more than the work that goes on.
            if is_unknown && (remote != "." || plain.contains('$')) {
                return true;
            }
            self.lists.protected_branches.iter().any(|branch| name_matches(branch, plain))
        })
    }

    /// A file by its name, by where a link leads, and by what `/proc` shows of other files.
    fn file_and_end(&self, name: &str, leads: Option<&str>, classes: &mut Vec<String>) -> File {
        let mut file = self.file(name, classes);
        for end in leads.map(str::to_owned).into_iter().chain(behind_root(name)) {
            file = file.and(self.file(&end, classes));
        }
        file
    }

    fn file(&self, name: &str, classes: &mut Vec<String>) -> File {
        let folded = fold(name);
        let path = Path::new(&folded, &self.home_segments);
        let below = |list: &PathList| list.has(&path, true);
        let known = self.is_known(name);
        let scratch = known && (is_device(name) || below(&self.lists.scratch));
        let inside =
            known && (self.workspace.iter().any(|root| is_below(name, root)) || below(&self.lists.workspace));
        for class in &self.lists.classes {
            if class.paths.has(&path, false) {
                classes.push(class.name.clone());
            }
        }
        let last = path.segments.last().copied().unwrap_or("");
        let has = |segment: &str| path.segments.contains(&segment);
        File {
            secret: self.lists.secrets.has(&path, false),
            inside,
            scratch,
            home: !self.home_segments.is_empty() && path.segments.len() >= self.home_segments.len() && {
                self.home_segments.iter().eq(&path.segments[..self.home_segments.len()])
            },
            system: !scratch && self.is_system(&folded),
            agent_config: is_agent_config(&path.segments, last),
            startup: is_startup(&path.segments, last, &folded),
            repository: might_be_git(&path.segments)
                || has(".git")
                || has(".hg")
                || has(".svn")
                || has(".jj"),
            whole: self.is_whole(name),
        }
    }

    /// Whether a path says where it is: absolute, and nothing in it that is filled in later.
    fn is_known(&self, name: &str) -> bool {
        name.starts_with('/')
            && !(self.has_unknown && name.contains(['$', '`']))
            && !name.contains(['\0', '\n'])
            // `.*` stands for `..` too, in older shells.
            && name.split('/').all(|part| {
                !part.starts_with('.') || part != ".." && !(part.contains(['*', '?']) && glob_matches(part, ".."))
            })
    }

    fn is_system(&self, folded: &str) -> bool {
        const SYSTEM: [&str; 23] = [
            "/etc",
            "/usr",
            "/boot",
            "/dev",
            "/proc",
            "/sys",
            "/bin",
            "/sbin",
            "/lib",
            "/lib32",
            "/lib64",
            "/libx32",
            "/var",
            "/run",
            "/efi",
            "/system",
            "/library",
            "/private/etc",
            "/private/var",
            "/applications",
            "/nix/store",
            "/snap",
            "/lost+found",
        ];
        SYSTEM.iter().any(|system| {
            // A workspace in such a folder (/usr/src/app) is a workspace.
            is_below(folded, system)
                && !self.workspace.iter().any(|root| {
                    root.len() > system.len() && is_below(root, system) && is_below(folded, &fold(root))
                })
        })
    }

    fn is_whole(&self, name: &str) -> bool {
        let mut base = name;
        // All that is in a folder is as good as the folder.
        while let Some((folder, "*" | "**" | "" | "." | "{*,.*}" | ".*")) = base.rsplit_once('/') {
            base = folder;
        }
        let base = if base.is_empty() { "/" } else { base };
        let is_above = |root: &str| !root.is_empty() && is_below(root, base);
        self.workspace.iter().any(|root| is_above(root)) || is_above(self.home) || base == "/"
    }
}

#[derive(Clone, Copy)]
struct File {
    secret: bool,
    inside: bool,
    scratch: bool,
    home: bool,
    system: bool,
    agent_config: bool,
    startup: bool,
    repository: bool,
    whole: bool,
}

impl File {
    /// A link is in both places.
    fn and(self, other: File) -> File {
        File {
            secret: self.secret || other.secret,
            inside: self.inside && other.inside,
            scratch: self.scratch && other.scratch,
            home: self.home || other.home,
            system: self.system || other.system,
            agent_config: self.agent_config || other.agent_config,
            startup: self.startup || other.startup,
            repository: self.repository || other.repository,
            whole: self.whole || other.whole,
        }
    }

    fn special(self, name: &str) -> Attributes {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let extension = match file.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension.to_lowercase(),
            _ => String::new(),
        };
        vec![
            ("file", text(file)),
            ("extension", Value::Text(extension)),
            ("folder", text(if folder.is_empty() { "/" } else { folder })),
            ("scratch", Value::Bool(self.scratch)),
            ("home", Value::Bool(self.home)),
            ("system", Value::Bool(self.system)),
            ("agent_config", Value::Bool(self.agent_config)),
            ("startup", Value::Bool(self.startup)),
            ("repository", Value::Bool(self.repository)),
            ("whole", Value::Bool(self.whole)),
        ]
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Whether a glob in a path may stand for `.git`. A star at the beginning of a name is no dot for a
/// shell, but it is for `find`, whose names stand behind `**`.
fn might_be_git(segments: &[&str]) -> bool {
    let found = segments.contains(&"**");
    segments.iter().any(|name| {
        name.contains(['*', '?', '['])
            && (name.starts_with(".g") || name.starts_with(".?") || name.starts_with(".[") || found)
            && name.contains(|c: char| !matches!(c, '*' | '.'))
            && glob_matches(name, ".git")
    })
}

/// What `/proc/self/root/etc/hosts` and the like are another name of. (`cwd` and `fd` lead
/// anywhere; they are outside by their own names.)
fn behind_root(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("/proc/")?.split('/');
    parts.next()?;
    let mut next = parts.next()?;
    if next == "task" {
        parts.next()?;
        next = parts.next()?;
    }
    (next == "root").then(|| {
        let rest: Vec<&str> = parts.collect();
        let path = format!("/{}", rest.join("/"));
        behind_root(&path).unwrap_or(path)
    })
}

fn is_device(path: &str) -> bool {
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
    ) || path.strip_prefix("/dev/fd/").is_some_and(|fd| fd.bytes().all(|b| b.is_ascii_digit()))
}

fn is_secret_name(name: &str) -> bool {
    let name = fold(name).to_ascii_uppercase();
    // All variables of the environment, and a name that is not known.
    name.contains(['*', '$'])
        || ["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL"].iter().any(|word| name.contains(word))
}

/// Tools that speak to a machine elsewhere.
fn is_remote_tool(name: &str) -> bool {
    const REMOTE: [&str; 30] = [
        "aws",
        "gcloud",
        "gsutil",
        "bq",
        "az",
        "kubectl",
        "oc",
        "k3s",
        "helm",
        "terraform",
        "tofu",
        "terragrunt",
        "pulumi",
        "cdk",
        "sam",
        "serverless",
        "heroku",
        "fly",
        "flyctl",
        "vercel",
        "netlify",
        "wrangler",
        "firebase",
        "doctl",
        "gh",
        "glab",
        "ansible",
        "ansible-playbook",
        "supabase",
        "railway",
    ];
    REMOTE.contains(&name.split('/').next().unwrap_or(name))
}

fn is_agent_config(segments: &[&str], last: &str) -> bool {
    let holds = |segment: &&str| {
        matches!(
            *segment,
            ".claude"
                | ".codex"
                | ".gemini"
                | ".cursor"
                | ".opencode"
                | ".hermes"
                | ".aider"
                | ".continue"
                | ".windsurf"
                | ".roo"
                | ".cline"
                | ".agents"
                | "claude-code"
                | "claudecode"
                | "gemini-cli"
        )
    };
    segments.iter().any(holds)
        || segments
            .windows(2)
            .any(|pair| matches!(pair, [".config", "opencode" | "codex" | "claude" | "gemini"]))
        || matches!(
            last,
            "claude.md"
                | "claude.local.md"
                | "agents.md"
                | "agents.override.md"
                | "gemini.md"
                | "hermes.md"
                | ".mcp.json"
                | "mcp.json"
                | ".claude.json"
                | "opencode.json"
                | "opencode.jsonc"
                | ".cursorrules"
                | ".windsurfrules"
                | ".clinerules"
                | ".roorules"
                | ".aider.conf.yml"
                | "copilot-instructions.md"
                | "claude_desktop_config.json"
        )
}

fn is_startup(segments: &[&str], last: &str, folded: &str) -> bool {
    matches!(
        last,
        ".bashrc"
            | ".bash_profile"
            | ".bash_login"
            | ".bash_logout"
            | ".bash_aliases"
            | ".profile"
            | ".zshrc"
            | ".zshenv"
            | ".zprofile"
            | ".zlogin"
            | ".zlogout"
            | ".kshrc"
            | ".cshrc"
            | ".tcshrc"
            | ".login"
            | ".xinitrc"
            | ".xprofile"
            | ".xsession"
            | ".xsessionrc"
            | ".pam_environment"
            | ".envrc"
            | "config.fish"
            | "sitecustomize.py"
            | "usercustomize.py"
            | "rc.local"
            | "ld.so.preload"
            | "bash.bashrc"
            | "crontab"
    ) || segments.windows(2).any(|pair| {
        matches!(
            pair,
            [".git", "hooks"]
                | [".config", "autostart" | "systemd"]
                | ["systemd", "system" | "user"]
                | ["fish", "conf.d"]
                | ["spool", "cron"]
                | [".ssh", "rc"]
                | ["library", "launchagents" | "launchdaemons"]
        ) || pair[0] == "etc"
            && (pair[1].starts_with("cron")
                || pair[1].starts_with("anacron")
                || matches!(
                    pair[1],
                    "profile" | "profile.d" | "init.d" | "zshrc" | "zshenv" | "zprofile" | "environment"
                )
                || pair[1].starts_with("rc") && pair[1].ends_with(".d"))
    }) || segments.contains(&".husky")
        || folded.ends_with(".git/hooks")
}

/// A host, as it stands in a URL or by itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Host {
    /// Lower case, without brackets and without a dot at the end.
    name: String,
    port: i64,
    /// Whether everybody reads the name in the same way.
    is_plain: bool,
    loopback: bool,
    private: bool,
    metadata: bool,
}

impl Host {
    /// `host`, `host:port`, `[v6]:port`, `user@host`, `host::module`.
    fn parse(authority: &str, default_port: i64) -> Host {
        let mut is_plain = authority.matches('@').count() <= 1;
        let rest = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = if let Some((v6, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            is_plain &= v6.split('%').next().is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
            (v6, after.strip_prefix(':'))
        } else if rest.parse::<Ipv6Addr>().is_ok() {
            (rest, None)
        } else if let Some((host, _module)) = rest.split_once("::") {
            (host, None)
        } else {
            rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
        };
        let port = match port {
            None | Some("") => default_port,
            Some(port) => match port.parse::<u16>() {
                Ok(port) => i64::from(port),
                Err(_) => {
                    is_plain = false;
                    0
                }
            },
        };
        let name = host.to_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let seen = fold(name);
        let address = address(name.split('%').next().unwrap_or(name));
        is_plain &= address.is_some()
            || !name.is_empty()
                && name.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                });
        let loopback = is_plain
            && match address {
                Some(address) => is_loopback(address),
                None => {
                    name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain"
                }
            };
        // What is worse counts for look-alikes as well.
        let seen_address = address.or_else(|| self::address(&seen));
        let metadata = seen_address.is_some_and(is_metadata)
            || matches!(
                seen.as_str(),
                "metadata"
                    | "metadata.google.internal"
                    | "metadata.goog"
                    | "instance-data"
                    | "instance-data.ec2.internal"
                    | "metadata.azure.internal"
                    | "metadata.platformequinix.com"
            );
        let private = !loopback
            && (seen_address.is_some_and(is_private)
                || [".local", ".internal", ".lan", ".intranet", ".corp", ".home.arpa", ".localdomain"]
                    .iter()
                    .any(|end| seen.ends_with(end)));
        let name = address.map_or_else(|| name.to_owned(), |address| address.to_string());
        Host { name, port, is_plain, loopback, private, metadata }
    }

    fn special(self) -> Attributes {
        vec![
            ("host", Value::Text(self.name)),
            ("port", Value::Long(self.port)),
            ("loopback", Value::Bool(self.loopback)),
            ("private", Value::Bool(self.private)),
            ("metadata", Value::Bool(self.metadata)),
        ]
    }

    fn is_allowed(&self, hosts: &[String]) -> bool {
        self.is_plain && !self.metadata && hosts.iter().any(|pattern| self.is(pattern))
    }

    fn is(&self, pattern: &str) -> bool {
        if pattern.contains("://") {
            return false;
        }
        let v6 = pattern.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match v6 {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None if pattern.matches(':').count() > 1 => (pattern, None),
            None => pattern.split_once(':').map_or((pattern, None), |(host, port)| (host, Some(port))),
        };
        if port.is_some_and(|port| port.parse() != Ok(self.port)) {
            return false;
        }
        match host.strip_prefix("*.") {
            Some(parent) => {
                // An address has no parent.
                self.name.parse::<IpAddr>().is_err()
                    && self
                        .name
                        .strip_suffix(parent)
                        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None if host == "*" => true,
            None if host.contains('*') => {
                let (labels, wanted) = (self.name.split('.'), host.split('.'));
                labels.clone().count() == wanted.clone().count()
                    && labels.zip(wanted).all(|(label, wanted)| glob_matches(wanted, label))
            }
            None => self.name == host,
        }
    }
}

/// A URL, read by hand: what two readers could take in two ways is not plain.
#[derive(Debug)]
pub(crate) struct Url {
    scheme: String,
    host: Host,
    path: String,
    /// The name before the path is no host, but a bucket or a volume.
    is_bucket: bool,
}

impl Url {
    fn parse(text: &str) -> Url {
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) && rest.starts_with('/') => (scheme, rest),
            // `data:`, `mailto:`: no host at all.
            Some((scheme, rest)) if is_scheme(scheme) && !scheme.contains('.') && !starts_with_port(rest) => {
                let host = Host { is_plain: false, ..Host::parse("", 0) };
                return Url {
                    scheme: scheme.to_ascii_lowercase(),
                    host,
                    path: rest.to_owned(),
                    is_bucket: false,
                };
            }
            _ => ("http", text),
        };
        let scheme = scheme.to_ascii_lowercase();
        let slashes = rest.len() - rest.trim_start_matches('/').len();
        let is_plain = slashes == 2 || !text.contains("//") && slashes == 0;
        let rest = rest.trim_start_matches('/');
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        let default_port = match scheme.as_str() {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            "ftp" => 21,
            "ssh" | "sftp" | "scp" | "git+ssh" | "ssh+git" => 22,
            "git" => 9418,
            "rsync" => 873,
            "ldap" => 389,
            "smtp" => 25,
            _ => 0,
        };
        let mut host = Host::parse(authority, default_port);
        host.is_plain &= is_plain
            && authority.matches('@').count() <= 1
            && !authority.contains(['\\', '%', '$', '`', '{', '*', ' ', '\t', '\r', '\n']);
        host.loopback &= host.is_plain;
        let is_bucket = matches!(
            scheme.as_str(),
            "s3" | "s3a"
                | "s3n"
                | "gs"
                | "gcs"
                | "az"
                | "abfs"
                | "abfss"
                | "wasb"
                | "wasbs"
                | "r2"
                | "oss"
                | "cos"
                | "b2"
        );
        if is_bucket {
            (host.loopback, host.private, host.metadata) = (false, false, false);
        }
        Url { scheme, host, path: path.to_owned(), is_bucket }
    }

    fn is_allowed(&self, hosts: &[String]) -> bool {
        let is_listed = || {
            let whole = format!("{}://{}", self.scheme, self.host.name);
            self.host.is_plain
                && !self.host.metadata
                && hosts.iter().filter(|p| p.contains("://")).any(|pattern| {
                    name_matches(pattern.trim_end_matches('/').trim_end_matches("/**"), &whole)
                })
        };
        is_listed() || !self.is_bucket && self.host.is_allowed(hosts)
    }

    fn special(self) -> Attributes {
        let mut attributes = vec![("scheme", Value::Text(self.scheme)), ("path", Value::Text(self.path))];
        attributes.append(&mut self.host.special());
        attributes
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// `host:8080/path` is no scheme.
fn starts_with_port(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && matches!(rest.as_bytes().get(digits), None | Some(b'/' | b'?' | b'#'))
}

/// An address as the C library reads it: also `2130706433`, `0x7f.1`, `0177.0.0.1` (inet_aton(3)).
fn address(name: &str) -> Option<IpAddr> {
    if let Ok(v6) = name.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(v6));
    }
    let parts: Vec<u64> = name.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || *last >> (8 * (4 - first.len())) != 0 {
        return None;
    }
    let high = first.iter().enumerate().fold(0, |sum, (at, part)| sum | part << (8 * (3 - at)));
    u32::try_from(high | last).ok().map(|address| IpAddr::V4(Ipv4Addr::from(address)))
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some("") => return Some(0),
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let is_number = digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// The IPv4 address in an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..]
                if high != 0 =>
            {
                Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            _ => None,
        },
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match v4(address) {
        // 0.0.0.0 leads to this machine as well.
        Some(v4) => v4.is_loopback() || v4.is_unspecified(),
        None => address.is_loopback() || address.is_unspecified(),
    }
}

fn is_private(address: IpAddr) -> bool {
    match (v4(address), address) {
        (Some(v4), _) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || a == 100 && (64..128).contains(&b)
        }
        (None, IpAddr::V6(v6)) => {
            matches!(v6.segments()[0] & 0xffc0, 0xfe80 | 0xfec0) || v6.segments()[0] & 0xfe00 == 0xfc00
        }
        (None, IpAddr::V4(_)) => false,
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match (v4(address), address) {
        (Some(v4), _) => matches!(
            v4.octets(),
            [169, 254, 169, 254]
                | [169, 254, 170, 2 | 23]
                | [100, 100, 100, 200]
                | [168, 63, 129, 16]
                | [192, 0, 0, 192]
        ),
        (None, IpAddr::V6(v6)) => matches!(v6.segments(), [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23]),
        (None, IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::ListFile;

    const LISTS: &str = r#"
        workspace = ["/shared/*"]
        scratch = ["/tmp/*", "~/.cache/*"]
        protected_branches = ["main", "master", "release/*"]
        allowed_hosts = ["github.com", "*.example.com", "db.corp.io:5432", "10.0.0.5", "[2001:db8::1]", "s3://ours"]
        allowed_mcp = ["github", "files/read_*"]
        secrets = ["**/.env", "**/.ssh/**", "**/*.pem", "~/.aws/credentials"]
        privileged = ["become"]
        [classes]
        cardholder = ["/srv/cards/**", "db:*/payments/*", "mcp:bank/*"]
    "#;

    /// The names of the attributes that are true, and of the texts and numbers asked for.
    fn seen(resource: &str, leads: Option<&str>) -> Vec<String> {
        let list: ListFile = toml::from_str(LISTS).unwrap();
        let lists = Lists::unite(&[list]);
        let workspace = ["/w".to_owned(), "/usr/src/app".to_owned()];
        let place = Place::new(&lists, &workspace, "/home/dev", false);
        let (kind, name) = resource.split_once(':').unwrap();
        let attributes = place.attributes(&Resource::new(kind, name), leads, false);
        let mut seen = Vec::new();
        for (name, value) in attributes {
            match value {
                Value::Bool(true) => seen.push(name.to_owned()),
                Value::Set(classes) => seen.extend(classes),
                _ => {}
            }
        }
        seen
    }

    #[test]
    fn files_are_told_by_their_path() {
        for (path, want) in [
            ("/w/a.rs", "inside allowed"),
            ("/w", "inside allowed whole"),
            ("/w/*", "inside allowed whole"),
            ("/w/*.rs", "inside allowed"),
            ("/w2/a", ""),
            ("/work/a", ""),
            ("/", "whole"),
            ("/home", "whole"),
            ("/home/dev", "home whole"),
            ("/home/dev/notes", "home"),
            ("/home/develop", ""),
            ("/w/../etc/passwd", ""),
            ("/w/.*", "secret whole"),
            ("w/a", ""),
            ("/w/$id.tsx", "inside allowed"),
            ("/w/[id].tsx", "inside allowed"),
            ("/shared/x/a", "inside allowed"),
            ("/usr/src/app/main.c", "inside allowed"),
            ("/usr/src/main.c", "system"),
            ("/etc/hosts", "system"),
            ("/tmp/a", "scratch"),
            ("/tmp", ""),
            ("/dev/null", "scratch"),
            ("/dev/sda", "system"),
            ("/home/dev/.cache/x", "scratch home"),
            ("/w/.env", "secret inside allowed"),
            ("/w/.ENV", "secret inside allowed"),
            ("/w/.e\u{200b}nv", "secret inside allowed"),
            ("/w/．ｅｎｖ", "secret inside allowed"),
            ("/w/.en?", "secret inside allowed"),
            ("/w/.env.example", "inside allowed"),
            ("/home/dev/.ssh/id_rsa", "secret home"),
            ("/home/dev/.aws/credentials", "secret home"),
            ("/home/other/.aws/credentials", ""),
            ("/w/key.PEM", "secret inside allowed"),
            ("/w/.claude/agents/a.md", "inside allowed agent_config"),
            ("/w/CLAUDE.md", "inside allowed agent_config"),
            ("/w/sub/AGENTS.md", "inside allowed agent_config"),
            ("/w/.mcp.json", "inside allowed agent_config"),
            ("/home/dev/.bashrc", "home startup"),
            ("/home/dev/.config/autostart/x.desktop", "home startup"),
            ("/etc/cron.d/x", "system startup"),
            ("/etc/systemd/system/x.service", "system startup"),
            ("/w/.git/hooks/pre-commit", "inside allowed startup repository"),
            ("/w/.git/config", "inside allowed repository"),
            ("/w/.gitignore", "inside allowed"),
            ("/srv/cards/a", "cardholder"),
        ] {
            assert_eq!(seen(&format!("file:{path}"), None).join(" "), want, "{path}");
        }
    }

    #[test]
    fn a_link_is_where_it_is_and_where_it_leads() {
        for (path, leads, want) in [
            ("/w/a", "/w/b", "inside allowed"),
            ("/w/a", "/etc/passwd", "system"),
            ("/w/a", "/home/dev/.ssh/id_rsa", "secret home"),
            ("/etc/a", "/w/b", "system"),
            ("/tmp/a", "/srv/cards/x", "cardholder"),
        ] {
            assert_eq!(seen(&format!("file:{path}"), Some(leads)).join(" "), want, "{path} to {leads}");
        }
    }

    #[test]
    fn hosts_are_read_as_the_network_would_read_them() {
        for (resource, want) in [
            ("url:https://github.com/a/b", "allowed"),
            ("url:https://GitHub.COM./a", "allowed"),
            ("url:https://github.com:8443/a", "allowed"),
            ("url:github.com/a", "allowed"),
            ("url:https://github.com@evil.com/", ""),
            ("url:https://evil.com#@github.com/", ""),
            ("url:https://evil.com\\@github.com/", ""),
            ("url:https://a@b@github.com/", ""),
            ("url:https://github.com.evil.com/", ""),
            ("url:https://gith\u{1d62}ub.com/", ""),
            ("url:https://ɡithub.com/", ""),
            ("url:https://ｇithub.com/", ""),
            ("url:https://xn--ithub-jxb.com/", ""),
            ("url:https://git%68ub.com/", ""),
            ("url:https:/github.com/", ""),
            ("url:https:///github.com/", ""),
            ("url:https://$HOST/", ""),
            ("url:https://{github.com,evil.com}/", ""),
            ("url:data:text/plain,x", ""),
            ("url:https://a.example.com/", "allowed"),
            ("url:https://a.b.example.com/", "allowed"),
            ("url:https://example.com/", ""),
            ("url:https://notexample.com/", ""),
            ("url:http://localhost:3000/x", "inside allowed loopback"),
            ("url:http://127.0.0.1/", "inside allowed loopback"),
            ("url:http://2130706433/", "inside allowed loopback"),
            ("url:http://0x7f.1/", "inside allowed loopback"),
            ("url:http://0177.0.0.1/", "inside allowed loopback"),
            ("url:http://[::1]:8080/", "inside allowed loopback"),
            ("url:http://[::ffff:127.0.0.1]/", "inside allowed loopback"),
            ("url:http://localhost.evil.com/", ""),
            ("url:http://127.0.0.1.nip.io/", ""),
            ("url:http://10.0.0.5/", "allowed private"),
            ("url:http://10.0.0.6/", "private"),
            ("url:http://192.168.1.1/", "private"),
            ("url:http://169.254.169.254/latest/meta-data", "private metadata"),
            ("url:http://2852039166/", "private metadata"),
            ("url:http://0xa9fea9fe/", "private metadata"),
            ("url:http://[::ffff:a9fe:a9fe]/", "private metadata"),
            ("url:http://metadata.google.internal/", "private metadata"),
            ("url:http://ｍetadata.google.internal/", "private metadata"),
            ("url:http://[2001:db8::1]/", "allowed"),
            ("url:http://[fd00::1]/", "private"),
            ("url:http://[zz]/", ""),
            ("url:s3://ours/key", "allowed"),
            ("url:s3://localhost/key", ""),
            ("url:gs://ours/key", ""),
            ("host:github.com", "allowed"),
            ("host:db.corp.io:5432", "allowed"),
            ("host:db.corp.io:22", ""),
            ("host:evil.com:80", ""),
            ("host:::1", "inside allowed loopback"),
            ("host:localhost:4444", "inside allowed loopback"),
            ("host:github.com::mod/x", "allowed"),
            ("host:/tmp/", ""),
            ("host:", ""),
        ] {
            assert_eq!(seen(resource, None).join(" "), want, "{resource}");
        }
    }

    #[test]
    fn other_resources_are_told_by_their_name() {
        for (resource, want) in [
            ("git:origin#feature/x", "allowed"),
            ("git:origin#main", "allowed protected"),
            ("git:origin#refs/heads/main", "allowed protected"),
            ("git:origin#MAIN", "allowed protected"),
            ("git:origin#mаin", "allowed protected"),
            ("git:origin#release/1.2", "allowed protected"),
            ("git:origin#HEAD", "allowed protected"),
            ("git:origin#*", "allowed protected"),
            ("git:origin#$BRANCH", "allowed protected"),
            ("git:origin#refs/tags/*", "allowed"),
            ("git:@{push}", "allowed protected"),
            ("git:https://github.com/x/y.git#dev", "allowed"),
            ("git:https://evil.com/x/y.git#dev", ""),
            ("git:evil.com:x/y#dev", ""),
            ("git:https://evil.com/x#y#main", "protected"),
            ("git:$REMOTE#dev", ""),
            ("git:.#HEAD", "inside allowed"),
            ("git:.#main", "inside allowed protected"),
            ("git:config#user.name", "inside allowed"),
            ("db:postgres/payments/cards", "cardholder"),
            ("db:postgres/*/*", "cardholder"),
            ("db:postgres/app/users", ""),
            ("mcp:github/create_issue", "allowed"),
            ("mcp:files/read_file", "allowed"),
            ("mcp:files/write_file", ""),
            ("mcp:*/x", "cardholder"),
            ("mcp:bank/send", "cardholder"),
            ("env:PATH", "inside allowed"),
            ("env:GITHUB_TOKEN", "secret inside allowed"),
            ("env:*", "secret inside allowed"),
            ("secret:gpg", "secret"),
            ("memory:tasks", "inside allowed"),
            ("agent:explorer", "inside allowed"),
            ("tool:claude-code/Edit", "inside allowed"),
            ("tool:kubectl/ns/prod", ""),
            ("proc:make", "inside allowed"),
            ("proc:sudo", "inside allowed privileged"),
            ("proc:become", "inside allowed privileged"),
            ("pkg:npm/x", ""),
        ] {
            assert_eq!(seen(resource, None).join(" "), want, "{resource}");
        }
    }

    #[test]
    fn a_variable_in_a_path_may_lead_anywhere() {
        let lists = Lists::default();
        let workspace = ["/w".to_owned()];
        for (has_unknown, want) in [(true, false), (false, true)] {
            let place = Place::new(&lists, &workspace, "", has_unknown);
            let attributes = place.attributes(&Resource::new("file", "/w/$X"), None, false);
            assert!(attributes.contains(&("inside", Value::Bool(want))));
        }
    }
}
