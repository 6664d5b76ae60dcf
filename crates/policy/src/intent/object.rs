//! What the words of a prompt name: files, hosts, branches, tables.

use super::Place;
use super::words::{EXTENSIONS, FILES, PLAIN, TOP_LEVEL};
use fdr_record::clean_path;

/// Kinds of files that have no path in a prompt but a name that everybody uses.
const GROUPS: &[(&str, &str)] = &[
    (
        "test|tests|testsuite|testcases|unit-tests|testdateien",
        "**/test/**|**/tests/**|**/__tests__/**|**/spec/**|**/test_*|**/*_test.*|**/*_tests.*|**/*.test.*|**/*.spec.*|**/*Test.*|**/tests.rs|**/conftest.py",
    ),
    ("docs|documentation|doc|dokumentation|doku", "**/docs/**|**/doc/**|**/*.md|**/*.rst"),
    ("readme", "**/README*"),
    ("changelog", "**/CHANGELOG*"),
    ("license|lizenz", "**/LICENSE*"),
    ("dockerfile", "**/Dockerfile*"),
    ("makefile", "**/Makefile"),
    ("migrations|migrationen", "**/migrations/**|**/migrate/**"),
    ("fixtures", "**/fixtures/**"),
    ("snapshots", "**/__snapshots__/**|**/*.snap"),
    ("ci|workflow|workflows|pipeline", "**/.github/**|**/.gitlab-ci.yml|**/.circleci/**|**/Jenkinsfile"),
    ("lockfile|lockfiles", "**/*.lock|**/package-lock.json|**/pnpm-lock.yaml"),
    ("vendor|vendored", "**/vendor/**"),
    ("node_modules", "**/node_modules/**"),
];

/// Things that are deleted by what they are.
const RUBBISH: &[(&str, &str)] = &[
    ("temp|temporary|tmp|temporäre|temporären", "**/tmp/**|**/temp/**|**/*.tmp|**/*.temp"),
    ("build|artifacts|artefacts|artifact|outputs", "**/target/**|**/build/**|**/dist/**|**/out/**"),
    ("logs|logfiles|log", "**/logs/**|**/*.log"),
    ("cache|caches", "**/.cache/**|**/__pycache__/**|**/*.pyc|**/cache/**"),
    ("coverage", "**/coverage/**"),
];

fn group_of(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.split('|').any(|n| n == word)).map(|(_, patterns)| *patterns)
}

fn below(place: &Place<'_>, patterns: &str) -> Vec<String> {
    patterns.split('|').map(|p| format!("file:{}/{p}", place.root().trim_end_matches('/'))).collect()
}

/// The patterns of files that a noun stands for.
pub(super) fn group(word: &str, place: &Place<'_>) -> Option<Vec<String>> {
    group_of(GROUPS, word).map(|patterns| below(place, patterns))
}

/// The same for what is cleaned away.
pub(super) fn rubbish(word: &str, place: &Place<'_>) -> Option<Vec<String>> {
    group_of(RUBBISH, word).or_else(|| group_of(GROUPS, word)).map(|patterns| below(place, patterns))
}

/// The files that a path in a prompt stands for, as patterns of resources: two if it can be meant
/// from the working directory and from the root of the repository.
pub(super) fn path(text: &str, place: &Place<'_>) -> Vec<String> {
    let text = text.trim_start_matches('@');
    let text = text.split('#').next().unwrap_or(text);
    // A line number: src/a.rs:42:7
    let text = match text.find(':') {
        Some(at) if text[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => &text[..at],
        _ => text,
    };
    if let Some(rest) = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        return if place.home.is_empty() {
            Vec::new()
        } else {
            vec![pattern(&format!("{}{rest}", place.home), "/", text)]
        };
    }
    if text.starts_with('/') {
        return vec![pattern(text, "/", text)];
    }
    if !text.contains('/') {
        let root = place.root().trim_end_matches('/');
        // A name alone may be anywhere in the workspace; README is README.md as well.
        let more = if is_known_file(text) { "*" } else { "" };
        return vec![format!("file:{root}/**/{text}{more}")];
    }
    let mut found = vec![pattern(text, place.cwd, text)];
    if place.root() != place.cwd && !text.starts_with('.') {
        let other = pattern(text, place.root(), text);
        if !found.contains(&other) {
            found.push(other);
        }
    }
    found
}

/// An absolute pattern. What ends with a slash, or names no file, is a folder and all below it.
fn pattern(path: &str, base: &str, written: &str) -> String {
    let whole = clean_path(path, base);
    let last = whole.rsplit('/').next().unwrap_or_default();
    let folder = written.ends_with('/')
        || written.ends_with("/.")
        || !has_extension(last) && !is_known_file(last) && !last.contains('*');
    let whole = whole.trim_end_matches('/');
    if folder { format!("file:{whole}/**") } else { format!("file:{whole}") }
}

/// A folder that is called by its name: "the build folder".
pub(super) fn folder(name: &str, place: &Place<'_>) -> Vec<String> {
    let name = name.trim_matches('/');
    if name.is_empty()
        || PLAIN.has(&name.to_lowercase())
        || matches!(name, "root" | "project" | "repo" | "working" | "parent")
    {
        return vec![place.all()];
    }
    let mut text = name.to_owned();
    text.push('/');
    path(&text, place)
}

fn has_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        EXTENSIONS.has(&ending.to_ascii_lowercase())
            || stem.is_empty()
                && !ending.is_empty()
                && !matches!(
                    name,
                    ".github"
                        | ".git"
                        | ".claude"
                        | ".vscode"
                        | ".ssh"
                        | ".aws"
                        | ".config"
                        | ".cache"
                        | ".gnupg"
                        | ".kube"
                        | ".idea"
                        | ".husky"
                        | ".circleci"
                        | ".cargo"
                )
    })
}

fn is_known_file(name: &str) -> bool {
    FILES.has(&name.to_ascii_lowercase())
}

/// Words with a slash that are no paths.
fn is_idiom(low: &str) -> bool {
    let short = low.split('/').all(|part| part.len() <= 2 && !part.is_empty());
    short
        || low.split('/').any(str::is_empty) && !low.starts_with('/') && !low.ends_with('/')
        || low.bytes().all(|b| b.is_ascii_digit() || b == b'/' || b == b'.')
        || matches!(
            low,
            "and/or"
                | "either/or"
                | "he/she"
                | "s/he"
                | "yes/no"
                | "true/false"
                | "read/write"
                | "input/output"
                | "client/server"
                | "tcp/ip"
                | "ci/cd"
                | "on/off"
                | "request/response"
                | "und/oder"
                | "key/value"
                | "create/update"
                | "add/remove"
                | "start/stop"
                | "before/after"
                | "push/pull"
                | "success/failure"
                | "pass/fail"
                | "frontend/backend"
                | "up/down"
                | "left/right"
                | "in/out"
                | "w/o"
                | "async/await"
                | "fix/refactor"
                | "his/her"
        )
}

/// Folders at the root of a system.
const ROOTS: &[&str] = &[
    "etc",
    "usr",
    "var",
    "tmp",
    "home",
    "opt",
    "srv",
    "root",
    "dev",
    "proc",
    "sys",
    "bin",
    "sbin",
    "lib",
    "boot",
    "mnt",
    "media",
    "run",
    "w",
    "work",
    "data",
    "app",
    "workspace",
    "Users",
    "private",
    "Volumes",
    "Applications",
    "Library",
    "nix",
];

/// Whether an absolute path may be a route of a server instead: `/search`, `/api/users`.
pub(super) fn is_route(raw: &str, place: &Place<'_>) -> bool {
    let Some(path) = raw.strip_prefix('/') else { return false };
    let first = path.split('/').next().unwrap_or_default();
    let known = ROOTS.contains(&first)
        || [place.root(), place.cwd, place.home].iter().any(|root| root.len() > 1 && raw.starts_with(*root));
    !known && (path.contains("/:") || !path.rsplit('/').next().is_some_and(has_extension))
}

/// Whether a word is written like a path.
pub(super) fn is_path(raw: &str) -> bool {
    let text = raw.trim_start_matches('@');
    if text.is_empty() || text.contains("://") || text.len() > 4096 {
        return false;
    }
    let good = text.chars().all(|c| c.is_alphanumeric() || "/._-*~+@#:,[]{}()$=%".contains(c));
    if !good
        || text.chars().all(|c| "./*~#@-_".contains(c))
            && !matches!(text, "." | ".." | "~" | "**" | "~/" | "./" | "../")
    {
        return false;
    }
    let text = text.split(':').next().unwrap_or(text);
    if text.contains('/') {
        // `npm:@scope/pkg`, `a@b/c`: not paths.
        let scoped = raw.starts_with('@')
            && !text.rsplit('/').next().is_some_and(has_extension)
            && text.matches('/').count() == 1;
        return !is_idiom(&text.to_lowercase())
            && !scoped
            && !text.starts_with("origin/")
            && !text.starts_with("upstream/");
    }
    let low = text.to_lowercase();
    if matches!(low.as_str(), "~") || raw.starts_with('@') && has_extension(text) {
        return true;
    }
    // Products that are named like files.
    let product = matches!(
        low.as_str(),
        "node.js"
            | "next.js"
            | "vue.js"
            | "react.js"
            | "nuxt.js"
            | "express.js"
            | "d3.js"
            | "three.js"
            | "asp.net"
            | "docs.rs"
            | "console.log"
            | "process.env"
            | "os.environ"
            | "module.exports"
            | "e.g"
            | "i.e"
            | "z.b"
    );
    has_extension(text)
        && !product
        && !text.ends_with('.')
        && (text.starts_with('.')
            || text
                .split('.')
                .next()
                .is_some_and(|s| !s.is_empty() && !s.bytes().all(|b| b.is_ascii_digit())))
        || text.contains('*') && text.len() > 1 && text.contains('.')
        || is_known_file(text) && text.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The host that a word names, by itself or in a URL.
pub(super) fn host(raw: &str) -> Option<String> {
    if let Some((scheme, rest)) = raw.split_once("://") {
        if scheme == "file"
            || rest.is_empty()
            || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        return clean_host(host);
    }
    if let Some((user, rest)) = raw.split_once('@')
        && !user.is_empty()
        && let Some((host, _)) = rest.split_once(':')
    {
        return clean_host(host);
    }
    let name = raw.split(['/', ':']).next().unwrap_or_default();
    if raw.contains('@') || name.contains('*') && !name.starts_with("*.") {
        return None;
    }
    if matches!(name, "localhost" | "docs.rs") || is_address(name) {
        return clean_host(name);
    }
    let ending = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase())?;
    let labels = name
        .split('.')
        .all(|l| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '*'));
    (labels && TOP_LEVEL.has(&ending) && !raw.starts_with('.')).then(|| clean_host(name)).flatten()
}

fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|p| p.parse::<u8>().is_ok())
}

fn clean_host(text: &str) -> Option<String> {
    let host = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// An address of mail.
pub(super) fn mail(raw: &str) -> Option<String> {
    let (user, host) = raw.trim_start_matches("mailto:").split_once('@')?;
    (!user.is_empty() && host.contains('.') && !host.contains(['/', ':', '@']))
        .then(|| format!("{user}@{}", host.to_ascii_lowercase()))
}

/// Names of branches that stand for themselves.
pub(super) fn is_branch_name(low: &str) -> bool {
    matches!(
        low,
        "main"
            | "master"
            | "develop"
            | "trunk"
            | "staging"
            | "production"
            | "prod"
            | "gh-pages"
            | "dev"
            | "stable"
            | "next"
    ) || low.split_once('/').is_some_and(|(kind, rest)| {
        !rest.is_empty()
            && matches!(
                kind,
                "feature"
                    | "feat"
                    | "fix"
                    | "bugfix"
                    | "hotfix"
                    | "release"
                    | "chore"
                    | "dependabot"
                    | "wip"
                    | "user"
                    | "users"
                    | "claude"
                    | "origin"
                    | "upstream"
            )
    })
}
