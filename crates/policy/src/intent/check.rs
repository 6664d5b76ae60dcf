//! Holds an action against an intent.

use super::words::{LOOKERS, TOOLS};
use super::{DECLARED, DECLARED_ONLY, Place, is_declared};
use crate::pattern::{covers, overlap};
use fdr_record::InScope::{InScope as In, OutOfScope as Out, Unclear};
use fdr_record::{
    Action, ActionBody, Hazard, InScope, Intent, IntentSource, ScopeRule, Timestamp, Verb, clean_path,
};

/// Marks an action: whether it is what was asked for, and why. The worst of its parts counts.
///
/// A declared intent holds until it expires; what prompts asked for under it narrows it. An
/// intent without any rule, as of a prompt that asks for nothing that the rules know, leaves
/// everything unclear but looking.
pub fn check(intent: &Intent, now: Timestamp, body: &ActionBody, place: &Place<'_>) -> (InScope, String) {
    let expired = intent.expires.is_some_and(|until| until <= now);
    let (set, asked): (Vec<&ScopeRule>, Vec<&ScopeRule>) =
        intent.allow.iter().partition(|rule| intent.source == IntentSource::Declared && is_declared(rule));
    let exclude: Vec<&ScopeRule> =
        intent.exclude.iter().filter(|rule| !(expired && is_declared(rule))).collect();
    let mut found: Option<(InScope, String)> = None;
    if intent.source == IntentSource::Declared && !expired {
        let only = set.iter().any(|rule| rule.words.starts_with(DECLARED_ONLY));
        let scope =
            Scope { allow: set.clone(), exclude: exclude.clone(), closed: only, declared: true, place, body };
        if !set.is_empty() || asked.is_empty() {
            found = Some(scope.whole());
        }
    }
    if intent.source != IntentSource::Declared || expired || !asked.is_empty() {
        let scope = Scope { allow: asked, exclude, closed: intent.closed, declared: false, place, body };
        found = Some(match found {
            Some(first) => worse(first, scope.whole()),
            None => scope.whole(),
        });
    }
    found.unwrap_or_else(|| (Unclear, "nothing was asked for".to_owned()))
}

fn rank(scope: InScope) -> u8 {
    match scope {
        In => 0,
        Unclear => 1,
        Out => 2,
    }
}

fn worse(a: (InScope, String), b: (InScope, String)) -> (InScope, String) {
    if rank(b.0) > rank(a.0) { b } else { a }
}

/// What holds at one time, and the action that is held against it.
struct Scope<'c> {
    allow: Vec<&'c ScopeRule>,
    exclude: Vec<&'c ScopeRule>,
    closed: bool,
    declared: bool,
    place: &'c Place<'c>,
    body: &'c ActionBody,
}

/// What the prompt said, as the reason of a mark.
fn said(rule: &ScopeRule) -> String {
    let own = rule.words.strip_prefix(DECLARED).or_else(|| rule.words.strip_prefix(DECLARED_ONLY));
    match own {
        Some(words) => format!("the declared intent says: {words}"),
        None => format!("the prompt says: {}", rule.words),
    }
}

fn is_change(verb: Verb) -> bool {
    matches!(verb, Verb::Write | Verb::Create | Verb::Delete | Verb::Move | Verb::Configure)
}

/// Whether this is only how another action is run: with the rights of another user.
fn gives_rights(action: &Action) -> bool {
    action.action == Verb::Execute
        && matches!(
            action.resource.as_str(),
            "proc:sudo" | "proc:doas" | "proc:su" | "proc:runuser" | "proc:pkexec"
        )
}

impl Scope<'_> {
    fn whole(&self) -> (InScope, String) {
        let mut worst = (In, String::new());
        let tasks = tasks(self.body);
        if let Some(rule) = self
            .exclude
            .iter()
            .find(|rule| is_task(rule) && tasks.iter().any(|t| same_task(&rule.resource, t)))
        {
            return (Out, said(rule));
        }
        let none = self.body.actions.is_empty();
        for action in &self.body.actions {
            // What is run with other rights stands beside it, and counts.
            if self.body.actions.len() > 1
                && gives_rights(action)
                && self.excluded(action.action, action, action.resource.as_str()).is_none()
            {
                continue;
            }
            let one = self.one(action, &tasks);
            if worst.1.is_empty() {
                worst = one;
            } else {
                worst = worse(worst, one);
            }
        }
        if none {
            worst = (Unclear, "it isn't known what this does".to_owned());
        }
        for named in &self.body.named {
            if let Some(rule) = self.exclude.iter().find(|rule| {
                !is_task(rule) && rule.resource != "**" && covers(&rule.resource, named.as_str())
            }) {
                worst = worse(
                    worst,
                    (Unclear, format!("code that is not read names {named}, and {}", said(rule))),
                );
            } else if is_secret(named.as_str()) && !self.names(named.as_str()) {
                worst = worse(worst, (Unclear, format!("code that is not read names a secret: {named}")));
            }
        }
        worse(worst, self.known())
    }

    /// What is not known of an action can't be in scope for certain. Code in the place of a
    /// script is what agents work with; what it names is looked at apart.
    fn known(&self) -> (InScope, String) {
        let body = self.body;
        let only_code = !body.hazards.is_empty() && body.hazards.iter().all(|h| *h == Hazard::Code);
        if body.actions_left_out > 0 {
            (Unclear, "the record doesn't show all of it".to_owned())
        } else if !body.opaque.is_empty() && !only_code {
            (Unclear, format!("not all of it is known: {}", body.opaque[0]))
        } else {
            (In, String::new())
        }
    }

    /// Whether anything but looking was asked for.
    fn changes(&self) -> bool {
        self.allow.iter().any(|rule| {
            rule.actions.iter().any(|v| matches!(v, Verb::Write | Verb::Create | Verb::Move))
                && rule.resource.starts_with("file:")
        })
    }

    /// Whether files were asked to be changed or deleted, or programs run, that this is part of.
    fn only_looks(&self) -> bool {
        !self.allow.is_empty()
            && self.allow.iter().all(|rule| {
                !rule.actions.is_empty()
                    && rule.actions.iter().all(|v| matches!(v, Verb::Read | Verb::Search | Verb::Network))
            })
    }

    fn asked_task(&self, name: &str) -> Option<&ScopeRule> {
        self.allow.iter().copied().find(|rule| is_task(rule) && same_task(&rule.resource, name))
    }

    fn inside(&self, resource: &str) -> bool {
        is_inside(resource, self.place)
    }

    /// Whether a rule names this, by itself or by a folder that isn't the whole workspace.
    fn names(&self, resource: &str) -> bool {
        let all = self.place.all();
        self.allow.iter().any(|rule| {
            rule.resource != all
                && rule.resource != "**"
                && rule.resource != "file:/**"
                && covers(&rule.resource, resource)
        })
    }

    fn excluded(&self, verb: Verb, action: &Action, resource: &str) -> Option<(InScope, String)> {
        for rule in &self.exclude {
            if is_task(rule) || !(rule.actions.is_empty() || rule.actions.contains(&verb)) {
                continue;
            }
            // An agent's own machine is not the network; its own shell's variables are no setting.
            let everything = rule.resource == "**";
            if everything
                && (is_loopback(resource)
                    || resource.starts_with("env:")
                    || resource.starts_with("memory:")
                    || resource.starts_with("tool:claude-code/"))
            {
                continue;
            }
            // What nobody can see from outside is not what "don't change anything" is about.
            if everything && is_change(verb) && is_scratch(resource) {
                continue;
            }
            if resource.ends_with("/*")
                && resource.starts_with("pkg:")
                && rule.resource == "pkg:**"
                && (rule.words.contains("new") || rule.words.contains("neue") || rule.words.contains("add"))
            {
                continue;
            }
            let hit = matches(&rule.resource, resource)
                || (action.recursive || resource.contains('*'))
                    && resource.starts_with("file:")
                    && overlap(&rule.resource, &with_below(resource, action.recursive));
            let also = action
                .resolves_to
                .as_deref()
                .is_some_and(|path| covers(&rule.resource, &format!("file:{path}")));
            if hit && verb == Verb::Write && action.recursive && !matches(&rule.resource, resource) {
                // Git writes the whole tree in a merge; whether this is in it isn't known.
                return Some((Unclear, format!("it may touch what is excluded; {}", said(rule))));
            }
            if hit || also {
                return Some((Out, said(rule)));
            }
            if resource.starts_with("git:@{push}") && rule.resource.starts_with("git:") {
                return Some((Unclear, format!("where it goes isn't known, and {}", said(rule))));
            }
        }
        None
    }

    fn one(&self, action: &Action, tasks: &[String]) -> (InScope, String) {
        let first = self.on(action.action, action, action.resource.as_str(), tasks);
        match &action.to {
            Some(to) if action.action == Verb::Move => {
                worse(first, self.on(Verb::Write, action, to.as_str(), tasks))
            }
            _ => first,
        }
    }

    fn on(&self, verb: Verb, action: &Action, resource: &str, tasks: &[String]) -> (InScope, String) {
        if let Some(found) = self.excluded(verb, action, resource) {
            return found;
        }
        let looks = matches!(verb, Verb::Read | Verb::Search);
        if looks && is_secret(resource) && !self.names(resource) {
            return (Out, format!("it reads a secret that wasn't named: {resource}"));
        }
        // Through a link, both ends count.
        if let Some(path) = &action.resolves_to {
            let end = format!("file:{path}");
            if end != resource {
                let plain = Action { resolves_to: None, ..action.clone() };
                return worse(self.on(verb, &plain, resource, tasks), self.on(verb, &plain, &end, tasks));
            }
        }
        if let Some(rule) = self.allow.iter().find(|rule| self.allows(rule, verb, action, resource)) {
            if action.destructive && verb == Verb::Send {
                let forced = self.allow.iter().any(|r| {
                    covers(&r.resource, resource)
                        && (r.words.to_lowercase().contains("force")
                            || r.words.to_lowercase().contains("erzwing"))
                });
                if !forced {
                    return (Out, format!("a push was asked for, not one by force; {}", said(rule)));
                }
            }
            if action.destructive
                && verb == Verb::Write
                && resource.starts_with("file:")
                && self.asked_task("revert").is_none()
            {
                return (
                    Unclear,
                    "it throws away what is there, which wasn't asked for in as many words".to_owned(),
                );
            }
            return (In, format!("asked for: {}", words(rule)));
        }
        self.by_kind(verb, action, resource, tasks)
    }

    fn allows(&self, rule: &ScopeRule, verb: Verb, action: &Action, resource: &str) -> bool {
        if is_task(rule) {
            return false;
        }
        let verbs = rule.actions.is_empty()
            || rule.actions.contains(&verb)
            || matches!(verb, Verb::Read | Verb::Search) && rule.resource != "**"
            || verb == Verb::Configure
                && rule.actions.contains(&Verb::Write)
                && resource.starts_with("file:");
        // A change of a file is both: what is there, and what is not there yet.
        verbs
            && matches(&rule.resource, resource)
            && (!action.recursive
                || covers(&rule.resource, &with_below(resource, true))
                || !resource.starts_with("file:"))
    }

    /// What no rule is about, by the kind of it.
    fn by_kind(&self, verb: Verb, action: &Action, resource: &str, tasks: &[String]) -> (InScope, String) {
        let kind = resource.split(':').next().unwrap_or_default();
        if let Some(rule) = tasks.iter().find_map(|task| self.asked_task(task)) {
            let own = verb != Verb::Delete && !(kind == "file" && is_change(verb) && !self.inside(resource));
            let local = kind != "file" || self.inside(resource);
            if own
                && local
                && !(action.destructive && verb == Verb::Send && self.asked_task("force-push").is_none())
            {
                return (In, format!("asked for: {}", words(rule)));
            }
        }
        match (verb, kind) {
            (Verb::Read | Verb::Search, "file") if self.inside(resource) => {
                (In, "looking inside the workspace".to_owned())
            }
            (Verb::Read | Verb::Search, "file") if is_scratch(resource) => {
                (In, "looking at a temporary file".to_owned())
            }
            (Verb::Read | Verb::Search, "file") => {
                (Unclear, format!("it looks outside the workspace: {resource}"))
            }
            (Verb::Read, "env") if is_secret_name(resource) || resource == "env:*" => {
                (Unclear, format!("it reads {resource}, which wasn't named"))
            }
            (Verb::Read | Verb::Search, "git" | "env" | "proc" | "memory" | "tool" | "agent" | "pkg") => {
                (In, "looking".to_owned())
            }
            (Verb::Read | Verb::Search, _) => (Unclear, format!("the prompt doesn't name {resource}")),
            (Verb::Write | Verb::Create | Verb::Move, "file") => self.change(verb, action, resource),
            (Verb::Configure, "file") => self.change(verb, action, resource),
            (Verb::Delete, "file") => self.delete(action, resource),
            (Verb::Configure, "env") | (Verb::Memory, _) | (Verb::Configure | Verb::Execute, "tool")
                if kind != "tool" || resource.starts_with("tool:claude-code/") =>
            {
                (In, "the agent's own".to_owned())
            }
            (Verb::Write | Verb::Create, "git") => self.commit(action, resource),
            (Verb::Network, "pkg") => self.package(resource),
            (Verb::Write | Verb::Configure, "pkg") => self.package(resource),
            (Verb::Network, _) if is_loopback(resource) => self.by_change("it speaks to this machine only"),
            (Verb::Network, "git")
                if !self.closed && ["rebase", "merge", "pr"].iter().any(|t| self.asked_task(t).is_some()) =>
            {
                (In, "fetching goes with it".to_owned())
            }
            (Verb::Network, "git") if !self.closed => {
                (Unclear, "it fetches from a remote, which wasn't asked for".to_owned())
            }
            (Verb::Network, _) if action.destructive => {
                (Out, format!("it changes {resource}, which wasn't asked for"))
            }
            (Verb::Network, _) => (self.open(), format!("the prompt doesn't name {resource}")),
            (Verb::Send, _) if is_loopback(resource) && self.changes() => {
                (In, "it speaks to this machine only".to_owned())
            }
            (Verb::Send, "git")
                if self
                    .allow
                    .iter()
                    .any(|r| r.actions.contains(&Verb::Send) && r.resource.starts_with("git:"))
                    && resource.starts_with("git:@{push}") =>
            {
                (Unclear, "where it is pushed to isn't known".to_owned())
            }
            (Verb::Send, _) if tasks.iter().any(|t| t == "send") && self.asked_task("send").is_some() => {
                (Unclear, "something was to be sent; whether this is it isn't clear".to_owned())
            }
            (Verb::Send, _) => (Out, format!("sending to {resource} wasn't asked for")),
            (Verb::Execute, "host") => (
                if action.destructive || self.closed { Out } else { Unclear },
                format!("the prompt doesn't name {resource}"),
            ),
            (Verb::Execute, _) => self.execute(action, resource),
            (Verb::Delegate, _)
                if self.body.tool == "Task"
                    || self.body.tool == "Agent"
                    || self.body.tool == "SendMessage" =>
            {
                (In, "another agent's actions are held against the same".to_owned())
            }
            (Verb::Delegate | Verb::Approve, _) => (Unclear, format!("the prompt doesn't name {resource}")),
            (Verb::Delete, _) => (Out, format!("deleting {resource} wasn't asked for")),
            (Verb::Create, "pkg") => self.by_change("it builds an image"),
            (Verb::Write | Verb::Create | Verb::Move | Verb::Configure, _) if self.only_looks() => {
                (Out, self.asked_to_look())
            }
            (Verb::Write | Verb::Create | Verb::Move, "db") if action.destructive => {
                (Out, format!("changing {resource} wasn't asked for"))
            }
            (Verb::Configure, "tool") if !resource.starts_with("tool:docker/") => {
                (Out, format!("changing {resource} wasn't asked for"))
            }
            _ if action.destructive => (Out, format!("it can't be undone, and {resource} wasn't asked for")),
            _ => (self.open(), format!("the prompt doesn't name {resource}")),
        }
    }

    /// What is not touched by the prompt.
    fn open(&self) -> InScope {
        if self.closed { Out } else { Unclear }
    }

    fn asked_to_look(&self) -> String {
        let words = self.allow.first().map_or("", |rule| words(rule));
        format!("asked to look, not to change anything: {words}")
    }

    fn by_change(&self, what: &str) -> (InScope, String) {
        if self.changes() || self.allow.iter().any(|rule| is_task(rule)) {
            (In, format!("{what}, which goes with the work"))
        } else {
            (Unclear, format!("{what}, and that wasn't asked for"))
        }
    }

    fn change(&self, verb: Verb, action: &Action, resource: &str) -> (InScope, String) {
        if is_scratch(resource) && !self.inside(resource) {
            return if self.only_looks() && self.declared {
                (Out, self.asked_to_look())
            } else {
                (Unclear, format!("a temporary file: {resource}"))
            };
        }
        if !self.inside(resource) {
            return (Out, format!("a change outside the workspace that wasn't asked for: {resource}"));
        }
        if self.allow.is_empty() {
            return (Unclear, "the prompt asks for nothing that the rules know".to_owned());
        }
        if self.only_looks() {
            return (Out, self.asked_to_look());
        }
        let package = self
            .allow
            .iter()
            .find(|rule| rule.resource.starts_with("pkg:") || rule.resource.starts_with("proc:"));
        if let Some(rule) = package
            && is_manifest(resource)
        {
            return (In, format!("asked for: {}", words(rule)));
        }
        if self.closed {
            return (Out, format!("nothing but what was named is to be changed: {}", self.named()));
        }
        if action.destructive {
            return (Unclear, format!("it throws away {resource}, which wasn't asked for"));
        }
        if matches!(verb, Verb::Write | Verb::Create)
            && !action.recursive
            && !self.declared
            && self.changes()
            && self.is_beside(resource)
        {
            return (In, format!("beside what was named, or its test: {}", self.named()));
        }
        if is_rubbish(resource) && self.allow.iter().any(|r| is_task(r)) {
            return (In, "output of the work".to_owned());
        }
        if self.changes() {
            (Unclear, format!("the prompt names other files: {}", self.named()))
        } else {
            (Unclear, format!("no change of files was asked for: {}", self.named()))
        }
    }

    fn named(&self) -> &str {
        self.allow
            .iter()
            .find(|rule| rule.actions.contains(&Verb::Write))
            .or(self.allow.first())
            .map_or("", |rule| words(rule))
    }

    /// In the folder of a file that was named, or a test.
    fn is_beside(&self, resource: &str) -> bool {
        let Some((folder, file)) = resource.rsplit_once('/') else { return false };
        if is_test(resource) {
            return true;
        }
        self.allow.iter().filter(|rule| rule.actions.contains(&Verb::Write)).any(|rule| {
            let Some((named, last)) = rule.resource.rsplit_once('/') else { return false };
            named == folder && !last.contains("**") && !file.is_empty()
        })
    }

    fn delete(&self, action: &Action, resource: &str) -> (InScope, String) {
        let inside = self.inside(resource);
        if self.only_looks() && !is_scratch(resource) {
            return (Out, self.asked_to_look());
        }
        if is_scratch(resource) && !inside && !self.closed {
            return (Unclear, format!("a temporary file: {resource}"));
        }
        if inside && !self.closed {
            if is_rubbish(resource) && !self.allow.is_empty() {
                return (Unclear, format!("deleting what a build or a test makes: {resource}"));
            }
            if let Some(rule) = self.asked_task("delete")
                && !action.recursive
            {
                return (
                    Unclear,
                    format!("something was to be deleted; whether this is it isn't clear: {}", words(rule)),
                );
            }
        }
        (Out, format!("deleting {resource} wasn't asked for"))
    }

    fn commit(&self, action: &Action, resource: &str) -> (InScope, String) {
        let rewrites =
            action.destructive && ["rebase", "revert", "merge"].iter().all(|t| self.asked_task(t).is_none());
        if self.only_looks() {
            return (Out, self.asked_to_look());
        }
        if rewrites {
            return (Unclear, format!("it rewrites {resource}, which wasn't asked for"));
        }
        let asked = self.changes()
            || self.allow.iter().any(|r| {
                r.resource.starts_with("git:") || is_task(r) && !r.resource.starts_with("task:test")
            });
        if asked {
            (In, "keeping the work in git".to_owned())
        } else {
            (Unclear, "no change was asked for".to_owned())
        }
    }

    fn package(&self, resource: &str) -> (InScope, String) {
        let listed = resource.ends_with("/*");
        let runs = self.changes()
            || self
                .allow
                .iter()
                .any(|r| is_task(r) && !r.resource.starts_with("task:pr") || r.resource.starts_with("proc:"));
        if listed && runs {
            return (In, "what the project lists, which goes with the work".to_owned());
        }
        if self.only_looks() {
            return (Unclear, format!("asked to look, not to install {resource}"));
        }
        (self.open(), format!("the prompt doesn't name {resource}"))
    }

    fn execute(&self, action: &Action, resource: &str) -> (InScope, String) {
        let name = program(resource);
        if action.destructive && !is_clean(self.body) {
            return (
                if self.only_looks() { Out } else { Unclear },
                format!("{name} may delete something, which wasn't asked for"),
            );
        }
        if action.destructive {
            return (Unclear, "it deletes what a build makes".to_owned());
        }
        if LOOKERS.has(name) {
            return (In, "a program that only looks".to_owned());
        }
        let task = self.allow.iter().any(|r| {
            is_task(r)
                && ["task:run", "task:test", "task:build", "task:lint", "task:command"]
                    .iter()
                    .any(|t| r.resource.starts_with(t))
        });
        let tool = TOOLS.has(name);
        let own = resource.starts_with("file:") && self.inside(resource);
        let risky = tasks(self.body).iter().any(|t| {
            matches!(t.split('#').next().unwrap_or(t), "deploy" | "publish" | "migrate" | "release")
        });
        if risky {
            return (
                if self.only_looks() || self.closed { Out } else { Unclear },
                format!("{} wasn't asked for", fdr_record::preview(&self.body.summary)),
            );
        }
        // Installing is judged by the packages.
        let installs = self.body.actions.iter().any(|a| a.resource.kind() == "pkg")
            && self.allow.iter().any(|r| r.resource.starts_with("pkg:"));
        if (tool || own) && (self.changes() || task || installs) {
            return (In, "running tools goes with the work".to_owned());
        }
        if tool
            && self.body.actions.iter().all(|a| {
                a.resource.kind() == "pkg"
                    || a.resource.kind() == "db"
                    || matches!(a.action, Verb::Execute | Verb::Read)
            })
            && self.names_any()
        {
            return (In, "running tools goes with the work".to_owned());
        }
        if self.only_looks() {
            return (Unclear, format!("asked to look; {name} runs code"));
        }
        if self.closed && !tool && !own {
            return (Out, format!("running {name} wasn't asked for"));
        }
        (Unclear, format!("the prompt doesn't speak of running {name}"))
    }

    /// Whether one of the resources of this call was named.
    fn names_any(&self) -> bool {
        self.body
            .actions
            .iter()
            .any(|a| matches!(a.resource.kind(), "pkg" | "db") && self.names(a.resource.as_str()))
    }
}

fn words(rule: &ScopeRule) -> &str {
    rule.words
        .strip_prefix(DECLARED)
        .or_else(|| rule.words.strip_prefix(DECLARED_ONLY))
        .unwrap_or(&rule.words)
}

fn is_task(rule: &ScopeRule) -> bool {
    rule.resource.starts_with("task:")
}

/// Whether a task of a rule is the one that is done. `deploy` is a deployment to anywhere.
fn same_task(rule: &str, task: &str) -> bool {
    let rule = rule.strip_prefix("task:").unwrap_or(rule);
    if let Some(command) = rule.strip_prefix("command/") {
        let Some(done) = task.strip_prefix("command/") else { return false };
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
        return done.match_indices(command).any(|(at, found)| {
            edge(done[..at].chars().next_back()) && edge(done[at + found.len()..].chars().next())
        });
    }
    rule == task || task.split_once('#').is_some_and(|(name, _)| name == rule)
}

fn with_below(resource: &str, recursive: bool) -> String {
    if recursive { format!("{}/**", resource.trim_end_matches('/')) } else { resource.to_owned() }
}

/// Whether a pattern covers a resource; one of a host covers what the host serves.
fn matches(pattern: &str, resource: &str) -> bool {
    if covers(pattern, resource) {
        return true;
    }
    // A service is told from a program by `name/`; people don't.
    if let (Some(wanted), Some(name)) = (pattern.strip_prefix("proc:"), resource.strip_prefix("proc:name/")) {
        return covers(wanted, name.strip_suffix(".service").unwrap_or(name));
    }
    let Some(wanted) = pattern.strip_prefix("host:") else { return false };
    let Some(host) = host_of(resource) else { return false };
    covers(wanted, host)
        || wanted
            .strip_prefix("*.")
            .is_some_and(|domain| host == domain || host.ends_with(&format!(".{domain}")))
        || host.strip_prefix("www.").is_some_and(|h| h == wanted)
        || host.strip_prefix("api.").is_some_and(|h| h == wanted)
}

fn host_of(resource: &str) -> Option<&str> {
    let (kind, name) = resource.split_once(':')?;
    let rest = match kind {
        "url" => name.split_once("://")?.1,
        "host" => name,
        "git" => name.split_once("://").map_or(name, |(_, rest)| rest),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next().unwrap_or(host))
}

fn is_loopback(resource: &str) -> bool {
    host_of(resource)
        .is_some_and(|h| h == "localhost" || h == "127.0.0.1" || h == "0.0.0.0" || h.ends_with(".localhost"))
        || resource.starts_with("url:http://[::1]")
}

/// Whether a file lies in the workspace.
pub(super) fn is_inside(resource: &str, place: &Place<'_>) -> bool {
    let Some(path) = resource.strip_prefix("file:") else { return false };
    let path = clean_path(path, place.cwd);
    [place.repo, place.cwd].iter().filter(|root| !root.is_empty() && **root != "/").any(|root| {
        let root = root.trim_end_matches('/');
        path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
    })
}

fn is_scratch(resource: &str) -> bool {
    resource.strip_prefix("file:").is_some_and(|path| {
        ["/tmp/", "/var/tmp/", "/dev/shm/", "/private/tmp/"].iter().any(|root| path.starts_with(root))
    })
}

/// Whether a name is that of a secret.
pub(super) fn is_secret(resource: &str) -> bool {
    let Some((kind, name)) = resource.split_once(':') else { return false };
    if kind == "secret" {
        return true;
    }
    if kind != "file" {
        return false;
    }
    let low = name.to_ascii_lowercase();
    let file = low.rsplit('/').next().unwrap_or_default();
    let sample =
        [".example", ".sample", ".template", ".dist", ".pub", ".md"].iter().any(|end| file.ends_with(end));
    let folder = ["/.ssh/", "/.gnupg/", "/.aws/", "/.azure/", "/.config/gcloud/", "/.password-store/"]
        .iter()
        .any(|f| low.contains(f));
    let known = file == ".env"
        || file.starts_with(".env.")
        || file.ends_with(".env")
        || [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx"]
            .iter()
            .any(|end| file.ends_with(end))
        || ["id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"].contains(&file)
        || matches!(
            file,
            ".netrc"
                | ".pgpass"
                | ".git-credentials"
                | "credentials"
                | "credentials.json"
                | "secrets.yaml"
                | "secrets.yml"
                | "secrets.json"
                | "secrets.toml"
                | ".npmrc"
                | ".pypirc"
                | "shadow"
                | ".htpasswd"
                | "token"
                | "service-account.json"
                | "kubeconfig"
        )
        || low.ends_with("/.kube/config")
        || low.ends_with("/.docker/config.json");
    (known || folder) && !sample
}

fn is_secret_name(resource: &str) -> bool {
    let up = resource.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"].iter().any(|word| up.contains(word))
}

/// What builds and tests make.
fn is_rubbish(resource: &str) -> bool {
    let low = resource.to_ascii_lowercase();
    low.trim_start_matches("file:").split('/').any(|part| {
        matches!(
            part,
            "target"
                | "build"
                | "dist"
                | "out"
                | "node_modules"
                | ".next"
                | "__pycache__"
                | "coverage"
                | ".pytest_cache"
                | ".mypy_cache"
                | ".ruff_cache"
                | "tmp"
                | "temp"
                | ".cache"
                | ".turbo"
                | "htmlcov"
        ) || part.ends_with(".pyc")
            || part.ends_with(".tmp")
            || part.ends_with(".log")
    })
}

fn is_test(resource: &str) -> bool {
    let low = resource.to_ascii_lowercase();
    let file = low.rsplit('/').next().unwrap_or_default();
    low.split('/')
        .any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "fixtures" | "testdata"))
        || file.starts_with("test_")
        || file.contains("_test.")
        || file.contains(".test.")
        || file.contains(".spec.")
        || file.contains("_spec.")
        || file.contains("_tests.")
}

/// The files in which a project lists its packages, and the folders they are put in.
fn is_manifest(resource: &str) -> bool {
    let file = resource.rsplit('/').next().unwrap_or_default();
    matches!(
        file,
        "package.json"
            | "package-lock.json"
            | "yarn.lock"
            | "pnpm-lock.yaml"
            | "bun.lockb"
            | "bun.lock"
            | "Cargo.toml"
            | "Cargo.lock"
            | "go.mod"
            | "go.sum"
            | "pyproject.toml"
            | "poetry.lock"
            | "uv.lock"
            | "setup.py"
            | "Gemfile"
            | "Gemfile.lock"
            | "composer.json"
            | "composer.lock"
            | "pom.xml"
            | "build.gradle"
            | "mix.exs"
            | "Pipfile"
            | "Pipfile.lock"
            | "node_modules"
            | "environment.yml"
    ) || file.starts_with("requirements")
        || resource.contains("/node_modules/")
        || resource.contains("/.venv")
}

fn program(resource: &str) -> &str {
    let name = resource.split_once(':').map_or(resource, |(_, n)| n);
    if resource.starts_with("proc:background/") {
        return "background";
    }
    name.rsplit('/').next().unwrap_or(name)
}

fn is_clean(body: &ActionBody) -> bool {
    body.summary.split_whitespace().any(|w| w == "clean")
}

/// What an action does that many programs can do, by its resources and the words of its command.
fn tasks(body: &ActionBody) -> Vec<String> {
    let mut tasks: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !tasks.iter().any(|t| t == name) {
            tasks.push(name.to_owned());
        }
    };
    let low = body.summary.to_lowercase();
    let words: Vec<&str> =
        low.split(|c: char| c.is_whitespace() || ";|&()\"'".contains(c)).filter(|w| !w.is_empty()).collect();
    let word = |names: &[&str]| words.iter().any(|w| names.contains(w));
    let part = |names: &[&str]| {
        words.iter().any(|w| w.split(|c: char| !c.is_alphanumeric()).any(|p| names.contains(&p)))
    };
    for action in &body.actions {
        let (name, kind) = (action.resource.name(), action.resource.kind());
        let program = program(action.resource.as_str());
        match action.action {
            Verb::Execute if matches!(kind, "proc" | "file") => {
                if matches!(
                    program,
                    "pytest"
                        | "py.test"
                        | "jest"
                        | "vitest"
                        | "mocha"
                        | "tox"
                        | "nox"
                        | "phpunit"
                        | "rspec"
                        | "playwright"
                        | "cypress"
                        | "ctest"
                        | "bats"
                        | "cargo-nextest"
                ) {
                    add("test");
                } else if TOOLS.has(program) || kind == "file" {
                    if part(&["test", "tests", "nextest", "bench", "e2e", "spec", "check", "verify"]) {
                        add("test");
                    }
                    if part(&["build", "compile", "package", "assemble", "install", "bundle", "all"])
                        || matches!(
                            program,
                            "make" | "ninja" | "tsc" | "gcc" | "g++" | "clang" | "rustc" | "webpack" | "vite"
                        ) && !part(&["test", "tests", "clean", "deploy"])
                    {
                        add("build");
                    }
                    if part(&["migrate", "migration", "migrations"])
                        || matches!(program, "alembic" | "diesel" | "flyway" | "goose")
                            && part(&["upgrade", "downgrade", "run", "up", "down"])
                    {
                        add("migrate");
                    }
                    if part(&["deploy"]) || program.starts_with("deploy") {
                        add(deploy_to(&part));
                    }
                    if part(&["publish", "semantic"]) {
                        add("publish");
                    }
                    if part(&["release"]) && !words.contains(&"--release") {
                        add("release");
                    }
                    if part(&["backup", "dump"]) {
                        add("backup");
                    }
                    if part(&[
                        "lint",
                        "clippy",
                        "fmt",
                        "format",
                        "typecheck",
                        "eslint",
                        "ruff",
                        "mypy",
                        "pylint",
                        "prettier",
                        "check",
                    ]) || matches!(
                        program,
                        "black" | "flake8" | "tsc" | "shellcheck" | "golangci-lint" | "rustfmt" | "gofmt"
                    ) {
                        add("lint");
                    }
                    if part(&["start", "dev", "serve", "run", "up"])
                        || matches!(program, "node" | "python" | "python3" | "uvicorn" | "flask")
                        || kind == "file"
                    {
                        add("run");
                    }
                    if part(&["restart"]) {
                        add("restart");
                    }
                } else if matches!(
                    program,
                    "flyway" | "goose" | "liquibase" | "dbmate" | "golang-migrate" | "migrate"
                ) {
                    add("migrate");
                } else if matches!(program, "docker" | "docker-compose" | "podman") {
                    if part(&["build"]) {
                        add("build");
                    }
                    if part(&["restart"]) {
                        add("restart");
                    } else if part(&["up", "start", "run"]) {
                        add("run");
                        add("restart");
                    }
                }
            }
            Verb::Execute if kind == "tool" && name.starts_with("ansible") => add(deploy_to(&part)),
            Verb::Create if kind == "git" && name == ".#HEAD" => add("commit"),
            Verb::Create
                if kind == "git" && name.starts_with(".#") && name != ".#stash" && name != ".#index" =>
            {
                add("branch");
                if part(&["tag"]) {
                    add("release");
                }
            }
            Verb::Create if kind == "git" && name == ".#stash" => add("branch"),
            Verb::Write if kind == "git" && name == ".#HEAD" => {
                if word(&["merge"]) {
                    add("merge");
                }
                if word(&["rebase", "--amend", "reset"]) {
                    add("rebase");
                }
                if word(&["reset", "revert", "restore"]) {
                    add("revert");
                }
                if word(&["pull"]) {
                    add("pull");
                }
                if word(&["checkout", "switch", "cherry-pick"]) {
                    add("branch");
                }
                if word(&["commit", "--amend"]) {
                    add("commit");
                }
                if word(&["--amend"]) {
                    add("amend");
                }
            }
            Verb::Write if kind == "git" && name == ".#index" => add("commit"),
            Verb::Write if kind == "file" && action.destructive && words.contains(&"git") => add("revert"),
            Verb::Network if kind == "git" => add("pull"),
            Verb::Send => {
                match kind {
                    "git" => {
                        if action.destructive {
                            add("force-push");
                        }
                        // A pull request needs its branch to be pushed, never the main one.
                        let main = name.rsplit('#').next().is_some_and(|b| {
                            matches!(b, "main" | "master" | "production" | "prod" | "release")
                        });
                        if !main {
                            add("pr");
                        }
                        add("release");
                    }
                    "pkg" => {
                        add("publish");
                        add("release");
                        if name.starts_with("docker/") {
                            add(deploy_to(&part));
                        }
                    }
                    "tool" => {
                        add(deploy_to(&part));
                    }
                    "url" | "host" if name.contains("github.com") || name.contains("gitlab") => {
                        if word(&["pr", "mr"]) {
                            add("pr");
                        }
                        if word(&["pr", "mr"]) && word(&["merge"]) {
                            add("merge");
                        }
                        if word(&["release"]) {
                            add("release");
                        }
                        add("send");
                    }
                    "url" if name.starts_with("s3://") => add(deploy_to(&part)),
                    _ => add("send"),
                }
            }
            Verb::Configure
                if kind == "tool" && !name.starts_with("docker/") && !name.starts_with("claude-code/") =>
            {
                add(deploy_to(&part));
            }
            Verb::Configure if kind == "tool" && name.starts_with("docker/") => {
                add("restart");
                add("run");
            }
            Verb::Configure if kind == "proc" => add("restart"),
            Verb::Read if kind == "db" && part(&["dump", "pg", "mysqldump", "backup"]) => add("backup"),
            _ => {}
        }
    }
    tasks.push(format!("command/{}", body.summary.split_whitespace().collect::<Vec<_>>().join(" ")));
    tasks
}

fn deploy_to(part: &dyn Fn(&[&str]) -> bool) -> &'static str {
    if part(&["production", "prod", "live"]) {
        "deploy#production"
    } else if part(&["staging", "stage", "preview"]) {
        "deploy#staging"
    } else {
        "deploy#somewhere"
    }
}
