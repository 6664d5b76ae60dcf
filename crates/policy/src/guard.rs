//! Guards the guard: tells which actions touch what keeps the record and the limits.
//!
//! The recorder's folder, programs and process, the folders of policies, and the settings in
//! which a runtime keeps its hooks. Looking at them is no tampering.

use crate::pattern::{is_below, of_glob, overlap};
use fdr_record::{Action, ActionBody, Resource, Verb};
use regex::RegexBuilder;

/// Files in which runtimes keep hooks and what switches them off, in any folder.
const HOOK_FILES: [&str; 10] = [
    "/.claude/settings.json",
    "/.claude/settings.local.json",
    "/.codex/hooks.json",
    "/.codex/config.toml",
    "/.gemini/settings.json",
    "/.gemini/extensions/extension-enablement.json",
    "/.openclaw/openclaw.json",
    "/.hermes/config.yaml",
    "/.cursor/hooks.json",
    "/opencode.json",
];
/// Folders of the same, in any folder.
const HOOK_FOLDERS: [&str; 7] = [
    "/.opencode/plugin",
    "/.opencode/plugins",
    "/opencode/plugin",
    "/opencode/plugins",
    "/.gemini/extensions/fdr",
    "/.hermes/plugins/fdr",
    "/.openclaw/extensions/fdr",
];
/// Where administrators put them.
const MANAGED: [&str; 9] = [
    "/etc/claude-code",
    "/etc/codex",
    "/etc/cursor",
    "/etc/gemini-cli",
    "/etc/opencode",
    "/Library/Application Support/ClaudeCode",
    "/Library/Application Support/Cursor",
    "/Library/Application Support/GeminiCli",
    "/Library/Application Support/opencode",
];

/// Programs of ours.
const PROGRAMS: [&str; 2] = ["fdr", HOOK_PROGRAM];
const HOOK_PROGRAM: &str = "fdr-hook";
/// Name of the recorder's socket.
const SOCKET: &str = "fdr.sock";
/// Names the recorder's folder to all that is ours.
const HOME_VARIABLE: &str = "FDR_HOME";
/// What makes a pattern of the name of a process.
const PATTERN: [char; 10] = ['*', '?', '[', '(', '{', '|', '^', '$', '\\', '+'];
/// The largest one that is tried.
const PATTERN_BYTES: usize = 256 << 10;

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
        // A program of ours under another name would be ours no longer: read, and written again.
        let mut copies = false;
        for action in &mut body.actions {
            if action.action == Verb::Read && self.is_program(&action.resource) {
                copies = true;
            } else if copies && matches!(action.action, Verb::Write | Verb::Create) {
                action.tamper = true;
                tampers = true;
            }
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
        if action.action == Verb::Execute && !action.destructive {
            // What feeds the recorder is called by runtimes, never by an agent. Running another
            // program of ours changes nothing by itself.
            return self.is_feeding(&action.resource);
        }
        let whole = action.recursive || action.action == Verb::Move;
        let led = [&action.resolves_to, &action.to_resolves_to].into_iter().flatten();
        let led: Vec<Resource> = led.map(|path| Resource::new("file", path)).collect();
        [Some(&action.resource), action.to.as_ref()]
            .into_iter()
            .flatten()
            .chain(&led)
            .any(|resource| self.is_guarded(resource, whole))
    }

    /// Whether this is a program of ours, as it lies on the disk.
    fn is_program(&self, resource: &Resource) -> bool {
        let name = resource.name();
        let last = name.rsplit('/').next().unwrap_or_default();
        PROGRAMS.contains(&last) && (resource.kind() == "proc" || self.paths.iter().any(|path| path == name))
    }

    /// Whether this is the program that takes events, or the socket that it gives them to.
    fn is_feeding(&self, resource: &Resource) -> bool {
        let name = resource.name();
        let last = name.rsplit('/').next().unwrap_or_default();
        last == HOOK_PROGRAM || last == SOCKET
    }

    /// Whether a resource is guarded; `whole` if everything below it is meant as well.
    fn is_guarded(&self, resource: &Resource, whole: bool) -> bool {
        if resource.name().ends_with(SOCKET) {
            return true;
        }
        match resource.kind() {
            "file" => self.is_guarded_path(resource.name(), whole),
            "proc" => match resource.name().split_once('/') {
                // A group has the number of its first process, with a sign.
                Some(("pid", pid)) => number(pid) == Some(self.pid),
                Some(("name", name)) => self.is_guarded_name(name),
                Some(("fdr", _)) => true,
                Some(_) => false,
                // The program itself, or what its name stands for.
                None => PROGRAMS.contains(&resource.name()),
            },
            // Where hooks look for the recorder.
            "env" => resource.name() == HOME_VARIABLE,
            _ => false,
        }
    }

    /// Whether what is looked for among processes finds one of ours. `pkill` takes a regular
    /// expression that is found anywhere, with `-f` in the whole command line; a service manager
    /// takes a pattern of names.
    fn is_guarded_name(&self, name: &str) -> bool {
        let Ok(pattern) = RegexBuilder::new(name).case_insensitive(true).size_limit(PATTERN_BYTES).build()
        else {
            // It is no such expression, or too large to be tried.
            return name.contains(PATTERN) || PROGRAMS.iter().any(|program| name.contains(program));
        };
        let lines = self.paths.iter().flat_map(|path| {
            [
                format!("fdr serve --background --home {path}"),
                format!("{path} serve --background --home {path}"),
            ]
        });
        PROGRAMS.iter().any(|program| name.contains(program) || overlap(name, program))
            || PROGRAMS.iter().any(|program| pattern.is_match(program))
            || lines.chain(["fdr serve --background".to_owned()]).any(|line| pattern.is_match(&line))
    }

    /// Whether a path is guarded; `whole` if everything below it is meant as well.
    pub fn is_guarded_path(&self, path: &str, whole: bool) -> bool {
        let folders = || self.paths.iter().map(String::as_str).chain(MANAGED);
        if path.contains(['*', '?', '[', '{']) {
            // A glob may stand for any of them. A star at the beginning of a name is no dot.
            let path = of_glob(path);
            let below = if whole { format!("{path}/**") } else { path.clone() };
            let is_hidden = path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
            return folders().any(|folder| overlap(&format!("{folder}/**"), &below))
                || HOOK_FILES
                    .iter()
                    .any(|file| file.starts_with("/.") && overlap(&format!("/**{file}"), &path))
                || HOOK_FOLDERS.iter().any(|folder| overlap(&format!("/**{folder}/*"), &path))
                || whole
                    && is_hidden
                    && HOOK_FILES.iter().chain(&HOOK_FOLDERS).any(|file| {
                        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                        !folder.is_empty() && overlap(&format!("/**{folder}"), &path)
                    });
        }
        let ends_as = |end: &str| path.ends_with(end);
        folders().any(|folder| is_below(path, folder) || whole && is_below(folder, path))
            || HOOK_FILES.iter().any(|file| {
                ends_as(file)
                    || whole
                        && file
                            .rsplit_once('/')
                            .is_some_and(|(folder, _)| !folder.is_empty() && ends_as(folder))
            })
            || HOOK_FOLDERS.iter().any(|folder| {
                ends_as(folder)
                    || path.contains(&format!("{folder}/"))
                    || whole && folder.rsplit_once('/').is_some_and(|(above, _)| ends_as(above))
            })
    }
}

/// A process id as a shell and `kill` read it.
fn number(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(['-', '+']);
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => u32::from_str_radix(digits, 8).ok(),
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_record::{Mode, Normalised, PolicyDecision, shell};

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
            ("rm -rf .cl*", true),
            ("rm -rf /home/*/.local", true),
            ("rm ~/.local/state/fdr/log/*.seg", true),
            ("rm -rf *", false),
            ("rm -rf dist/*", false),
            ("rm -rf *.log", false),
            ("rm *.txt", false),
            ("pkill fdr", true),
            ("pkill -f fd", true),
            ("killall node", false),
            ("kill -9 4211", true),
            ("kill -9 4212", false),
            ("fdr stop", true),
            ("kill -- -4211", true),
            ("kill -9 0x1073", true),
            ("pkill -f 'fd[r]'", true),
            ("pkill f", true),
            ("pkill -f recorder", false),
            ("pkill -f 'home /home/dev/.local'", true),
            ("pkill -f 'serve --back'", true),
            ("pkill '^FDR$'", true),
            ("pkill -f 'node.*server'", false),
            ("pkill -f '[v]ite'", false),
            ("killall -r 'f.*'", true),
            ("systemctl --user stop 'fd*'", true),
            ("systemctl --user stop fdr.service", true),
            ("skill -9 fdr", true),
            ("skill 4211", true),
            ("gdb -p 4211", true),
            ("gdb -batch -ex 'attach 4211'", true),
            ("strace -p 4211", true),
            ("strace -p4212", false),
            ("prlimit --pid 4211 --nofile=0", true),
            ("prlimit -p 4211 --nofile=0", true),
            ("taskset -p 0x1 4211", true),
            ("renice 19 4211", true),
            ("renice -n 19 -p 4211", true),
            ("fuser -k ~/.local/state/fdr/fdr.sock", true),
            ("fuser -k ~/.local/state/fdr/log", true),
            ("fuser -k 8080/tcp", false),
            ("fdr st?p", true),
            ("fdr {stop,}", true),
            ("fdr \"$X\"", true),
            ("fdr $X", true),
            ("fdr status", false),
            ("fdr run fdr stop", true),
            ("systemd-run --user fdr stop", true),
            ("ssh localhost fdr stop", true),
            ("ssh me@127.0.0.1 'rm -rf .local/state/fdr'", true),
            ("ssh other fdr stop", false),
            ("cp /opt/fdr/bin/fdr x", true),
            ("cp \"$(which fdr)\" x", true),
            ("cp `command -v fdr` x", true),
            ("cp \"$(which node)\" x", false),
            ("cat /opt/fdr/bin/fdr > x", true),
            ("ln -s /opt/fdr/bin/fdr y", true),
            ("ln -s \"$(which fdr)\" y", true),
            ("mv \"$(which fdr)\" y", true),
            ("rm \"$(which fdr)\"", true),
            ("chmod 000 $(which fdr-hook)", true),
            ("alias fdr=true", true),
            ("sha256sum /opt/fdr/bin/fdr", false),
            ("export FDR_HOME=/tmp/x", true),
            ("FDR_HOME=/tmp/x fdr status", true),
            ("xdotool type 'fdr approvals grant 1'", true),
            ("echo '{}' | fdr-hook claude-code UserPromptSubmit", true),
            ("/opt/fdr/bin/fdr-hook claude-code UserPromptSubmit < x", true),
            ("echo x > ~/.local/state/fdr/fdr.sock", true),
            ("fdr verify", false),
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
