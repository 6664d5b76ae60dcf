//! Guards the guard: tells which actions touch what keeps the record and the limits.
//!
//! The recorder's folder, programs and process, the folders of policies, and the settings in
//! which a runtime keeps its hooks. Looking at them is no tampering.

use fdr_record::{Action, ActionBody, Resource, Verb};

/// Names of files in which runtimes keep hooks and what switches them off.
const HOOK_SETTINGS: [&str; 12] = [
    "**/.claude/settings.json",
    "**/.claude/settings.local.json",
    "/etc/claude-code/**",
    "/Library/Application Support/ClaudeCode/**",
    "**/.codex/hooks.json",
    "**/.codex/config.toml",
    "**/.gemini/settings.json",
    "/etc/gemini-cli/**",
    "**/.hermes/config.yaml",
    "**/.opencode/plugin/**",
    "**/opencode/plugin/**",
    "**/.cursor/hooks.json",
];

/// Programs of ours.
const PROGRAMS: [&str; 2] = ["fdr", "fdr-hook"];

/// What is guarded on this machine.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Folders and files, absolute and clean: the recorder's folder, its programs, policies.
    pub paths: Vec<String>,
    /// Process id of the recorder.
    pub pid: u32,
}

impl Guard {
    /// Marks the actions of a call that tamper; and code that names what is guarded, by an
    /// action of its own.
    pub fn mark(&self, body: &mut ActionBody) {
        let mut tampers = false;
        for action in &mut body.actions {
            action.tamper = self.is_tampering(action);
            tampers |= action.tamper;
        }
        let named = body.named.iter().find(|resource| self.is_guarded(resource, true));
        if let (Some(resource), false) = (named, tampers) {
            // What unread code does with it is not known: the worst is taken.
            body.actions.push(Action { tamper: true, ..Action::new(Verb::Write, resource.clone()) });
        }
    }

    fn is_tampering(&self, action: &Action) -> bool {
        let looks = matches!(action.action, Verb::Read | Verb::Search);
        if looks {
            return false;
        }
        let led = action.resolves_to.as_ref().map(|path| Resource::new("file", path));
        let whole = matches!(action.action, Verb::Delete | Verb::Move) || action.recursive;
        let runs = action.action == Verb::Execute && !action.destructive;
        if runs {
            // Running a program, ours included, changes nothing by itself.
            return false;
        }
        [Some(&action.resource), action.to.as_ref(), led.as_ref()]
            .into_iter()
            .flatten()
            .any(|resource| self.is_guarded(resource, whole))
    }

    /// Whether a resource is guarded; `whole` if everything below it is meant as well.
    fn is_guarded(&self, resource: &Resource, whole: bool) -> bool {
        match resource.kind() {
            "file" => {
                let path = resource.name();
                self.paths.iter().any(|guarded| {
                    is_below(path, guarded) || whole && (is_below(guarded, path) || matches(path, guarded))
                }) || HOOK_SETTINGS.iter().any(|pattern| {
                    matches(pattern, path)
                        || whole && pattern_folder(pattern).is_some_and(|end| path.ends_with(end))
                })
            }
            "proc" => match resource.name().split_once('/') {
                Some(("pid", pid)) => pid.parse() == Ok(self.pid),
                Some(("name", name)) => PROGRAMS.iter().any(|program| name.starts_with(program)),
                Some(("fdr", _)) => true,
                _ => false,
            },
            _ => false,
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

/// `/.claude` for `**/.claude/settings.json`: deleting or moving the folder takes the file along.
fn pattern_folder(pattern: &str) -> Option<&str> {
    let folder = pattern.strip_prefix("**")?.rsplit_once('/')?.0;
    Some(folder).filter(|folder| !folder.is_empty())
}

/// `*` stands for anything within a segment, `**` for anything. Both texts may have them: an
/// argument of a command may be a glob.
pub fn matches(pattern: &str, text: &str) -> bool {
    // Greedy with one place to come back to for each kind of star: linear in practice, and
    // bounded by the product of the lengths.
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let (mut star, mut wide): (Option<(usize, usize)>, Option<(usize, usize)>) = (None, None);
    while t < text.len() {
        if pattern[p..].starts_with(b"**") {
            p += 2;
            // `**/x` is also `x` at the top.
            (wide, star) = (Some((p, t)), None);
        } else if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
        } else if p < pattern.len() && (pattern[p] == text[t] || pattern[p] == b'?' && text[t] != b'/') {
            p += 1;
            t += 1;
        } else if let Some((back, from)) = star.filter(|(_, from)| text[*from] != b'/') {
            (p, t) = (back, from + 1);
            star = Some((back, from + 1));
        } else if let Some((back, from)) = wide {
            (p, t) = (back, from + 1);
            (wide, star) = (Some((back, from + 1)), None);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_record::{Mode, Normalised, PolicyDecision, shell};

    #[test]
    fn stars_stop_at_a_slash_and_double_ones_do_not() {
        for (pattern, text, want) in [
            ("**/.claude/settings.json", "/w/.claude/settings.json", true),
            ("**/.claude/settings.json", "/.claude/settings.json", true),
            ("**/.claude/settings.json", "/w/.claude/settings.json.bak", false),
            ("/w/*.rs", "/w/a.rs", true),
            ("/w/*.rs", "/w/b/a.rs", false),
            ("/w/**", "/w/b/a.rs", true),
            ("/w/**/a", "/w/b/c/a", true),
            ("**/a*c/**", "/x/abc/d", true),
            ("*", "", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn what_touches_the_recorder_is_marked_and_what_looks_is_not() {
        let guard = Guard {
            paths: vec![
                "/home/dev/.local/state/fdr".into(),
                "/opt/fdr/bin/fdr".into(),
                "/etc/fdr/policies".into(),
            ],
            pid: 4211,
        };
        for (command, want) in [
            ("rm -rf ~/.local/state/fdr/log", true),
            ("rm -rf ~/.local/state", true),
            ("rm -rf ~/.local/state/*", true),
            ("rm -rf ~", true),
            ("mv ~/.local /tmp/x", true),
            ("echo x >> ~/.local/state/fdr/config.toml", true),
            ("chmod 000 ~/.local/state/fdr/fdr.sock", true),
            ("cp /bin/true /opt/fdr/bin/fdr", true),
            ("tee /etc/fdr/policies/x.cedar < y", true),
            ("sed -i s/fdr// .claude/settings.json", true),
            ("rm -rf .claude", true),
            ("cat ~/.local/state/fdr/log/00000000.seg", false),
            ("ls ~/.local/state/fdr", false),
            ("cat .claude/settings.json", false),
            ("rm -rf build", false),
            ("rm -rf /home/dev/.local/state/fdr2", false),
        ] {
            let found: Normalised =
                shell::normalise(command, &shell::Context { cwd: "/home/dev/proj", home: "/home/dev" });
            let mut body =
                ActionBody::new("Bash", String::new(), found, PolicyDecision::undecided(Mode::Enforce));
            guard.mark(&mut body);
            assert_eq!(body.actions.iter().any(|action| action.tamper), want, "{command} {:?}", body.actions);
        }
    }

    #[test]
    fn code_that_names_the_recorder_is_taken_for_the_worst() {
        let guard = Guard { paths: vec!["/home/dev/.local/state/fdr".into()], pid: 1 };
        let mut found = Normalised::default();
        found.push(Action::new(Verb::Execute, Resource::proc("python3")));
        found.names(Resource::file("/home/dev/.local/state/fdr/log/0", "/"));
        let mut body =
            ActionBody::new("Bash", String::new(), found, PolicyDecision::undecided(Mode::Enforce));
        guard.mark(&mut body);
        assert!(body.actions.last().is_some_and(|action| action.tamper && action.action == Verb::Write));
    }
}
