//! `fdr install`, `fdr uninstall` and `fdr doctor` on a home folder of their own.

use crate::program;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const EVENTS: usize = 31;

/// A person's home folder with a project in it.
struct Person {
    dir: tempfile::TempDir,
}

impl Person {
    fn new() -> Person {
        let dir = tempfile::Builder::new().prefix("fdr").tempdir().unwrap();
        for folder in ["proj/.git", "proj/src", "bin", "empty"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Person { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self) -> PathBuf {
        self.path(".claude/settings.json")
    }

    fn with_settings(text: &str) -> Person {
        let person = Person::new();
        fs::create_dir_all(person.path(".claude")).unwrap();
        fs::write(person.settings(), text).unwrap();
        person
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("proj"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", self.path("bin"))
            .stdin(Stdio::null());
        command
    }

    fn fdr(&self, arguments: &[&str]) -> Output {
        self.command(program::fdr(), arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.fdr(arguments);
        assert!(output.status.success(), "fdr {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.fdr(arguments);
        assert_eq!(output.status.code(), Some(2), "fdr {arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn doctor(&self) -> (i32, String) {
        let output = self.fdr(&["doctor"]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

fn commands(settings: &Path) -> Vec<String> {
    let settings: serde_json::Value = serde_json::from_slice(&fs::read(settings).unwrap()).unwrap();
    let hooks = settings["hooks"].as_object().unwrap();
    hooks.values().map(|groups| groups[0]["hooks"][0]["command"].as_str().unwrap().to_owned()).collect()
}

const SETTINGS: &str = "{\n    \"model\": \"opus\",\n    \"permissions\": { \"allow\": [\"Bash(ls)\"] }\n}\n";

#[test]
fn without_settings_they_are_made_and_uninstalling_takes_them_away() {
    let person = Person::new();
    let said = person.ok(&["install", "claude-code"]);
    assert!(said.starts_with("claude-code   31 hooks added to ~/.claude/settings.json\n"), "{said}");
    let commands = commands(&person.settings());
    assert_eq!(commands.len(), EVENTS);
    assert!(commands.contains(&format!("{} claude-code PostToolUse", program::hook().display())));
    assert_eq!(person.files(".claude"), ["settings.json"]);

    person.ok(&["uninstall", "claude-code"]);
    assert!(person.files(".claude").is_empty());
}

#[test]
fn what_was_there_is_backed_up_kept_and_given_back_to_the_byte() {
    for text in [
        SETTINGS,
        "{}",
        "{\n}\n",
        "",
        "{\"a\":1}",
        "\u{feff}{\r\n\t\"a\": [],\r\n\t\"hooks\": { \"Stop\": [] }\r\n}",
    ] {
        let person = Person::with_settings(text);
        let said = person.ok(&["install", "claude-code"]);
        assert!(said.contains("\nbackup        ~/.claude/settings.json.fdr-backup-2"), "{said}");
        let backup = person.files(".claude").pop().unwrap();
        assert_eq!(fs::read_to_string(person.path(".claude").join(backup)).unwrap(), text);

        let said = person.ok(&["uninstall", "claude-code"]);
        assert!(said.contains("restored      every byte"), "{said}");
        assert_eq!(fs::read_to_string(person.settings()).unwrap(), text);
        assert_eq!(person.files(".claude"), ["settings.json"]);
    }
}

#[test]
fn what_was_changed_in_between_stays() {
    let person = Person::with_settings(SETTINGS);
    person.ok(&["install", "claude-code"]);
    let changed = fs::read_to_string(person.settings()).unwrap().replace("opus", "haiku");
    fs::write(person.settings(), changed).unwrap();
    let said = person.ok(&["uninstall", "claude-code"]);
    assert!(!said.contains("restored"), "{said}");
    assert_eq!(fs::read_to_string(person.settings()).unwrap(), SETTINGS.replace("opus", "haiku"));
    assert_eq!(person.files(".claude").len(), 2, "the backup stays");
}

#[test]
fn installing_again_changes_nothing() {
    let person = Person::with_settings(SETTINGS);
    person.ok(&["install", "claude-code"]);
    let once = fs::read(person.settings()).unwrap();
    let said = person.ok(&["install", "claude-code"]);
    assert!(said.contains("31 of 31 hooks are in ~/.claude/settings.json already"), "{said}");
    assert_eq!(fs::read(person.settings()).unwrap(), once);
    assert_eq!(person.files(".claude").len(), 2, "one backup");
}

#[test]
fn hooks_that_point_elsewhere_are_brought_up_to_date_and_go_with_the_rest() {
    let person = Person::with_settings(SETTINGS);
    let old = person.script("fdr-hook", "exit 0");
    person.ok(&["install", "claude-code", "--hook-path", old.to_str().unwrap()]);
    let said = person.ok(&["install", "claude-code"]);
    assert!(said.contains("31 hooks brought up to date in"), "{said}");
    assert!(
        commands(&person.settings())
            .iter()
            .all(|command| command.starts_with(program::hook().to_str().unwrap()))
    );
    person.ok(&["uninstall", "claude-code"]);
    assert_eq!(fs::read_to_string(person.settings()).unwrap(), SETTINGS);
}

#[test]
fn a_dry_run_shows_a_diff_and_writes_nothing() {
    let person = Person::with_settings(SETTINGS);
    let diff = person.ok(&["install", "claude-code", "--dry-run"]);
    assert!(diff.starts_with(&format!("--- {0}\n+++ {0}\n@@ ", person.settings().display())), "{diff}");
    assert_eq!(diff.lines().filter(|line| line.starts_with("+        \"")).count(), EVENTS, "{diff}");
    assert_eq!(fs::read_to_string(person.settings()).unwrap(), SETTINGS);
    assert_eq!(person.files(".claude"), ["settings.json"]);

    let person = Person::new();
    assert!(person.ok(&["install", "claude-code", "--dry-run"]).starts_with("--- /dev/null\n"));
    assert!(!person.path(".claude").exists());
}

#[test]
fn a_broken_file_is_left_alone_and_the_place_is_named() {
    let broken = "{\n  \"model\": \"opus\",\n  \"x\": tru\n}\n";
    let person = Person::with_settings(broken);
    let said = person.fails(&["install", "claude-code"]);
    assert!(said.starts_with("error: can't change ~/.claude/settings.json: line 3, column 8: "), "{said}");
    assert_eq!(fs::read_to_string(person.settings()).unwrap(), broken);
    assert_eq!(person.files(".claude"), ["settings.json"]);
    fs::write(person.settings(), b"{\"\xff\": 1}").unwrap();
    assert!(person.fails(&["install", "claude-code"]).contains("is not UTF-8"));
}

#[test]
fn a_link_stays_a_link_and_a_mode_stays_a_mode() {
    let person = Person::new();
    fs::create_dir_all(person.path("dotfiles")).unwrap();
    fs::create_dir_all(person.path(".claude")).unwrap();
    let target = person.path("dotfiles/claude.json");
    fs::write(&target, SETTINGS).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/claude.json", person.settings()).unwrap();

    person.ok(&["install", "claude-code"]);
    assert!(fs::symlink_metadata(person.settings()).unwrap().is_symlink());
    assert_eq!(commands(&target).len(), EVENTS);
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(person.files("dotfiles"), ["claude.json"], "the backup is beside the link");
    person.ok(&["uninstall", "claude-code"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), SETTINGS);
}

#[test]
fn a_project_is_its_git_root_and_the_users_folder_can_be_chosen() {
    let person = Person::new();
    let run = |arguments: &[&str]| {
        let output = person
            .command(program::fdr(), arguments)
            .current_dir(person.path("proj/src"))
            .env("CLAUDE_CONFIG_DIR", person.path("other"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["install", "claude-code", "--project"]).contains("for you alone: --local"));
    run(&["install", "claude-code", "--local"]);
    run(&["install", "claude-code"]);
    assert_eq!(person.files("proj/.claude"), ["settings.json", "settings.local.json"]);
    assert_eq!(person.files("other"), ["settings.json"]);
    assert!(!person.path(".claude").exists());
}

#[test]
fn a_recorder_elsewhere_is_named_in_every_hook() {
    let person = Person::new();
    let home = person.path("my recorder");
    person.ok(&["--home", home.to_str().unwrap(), "install", "claude-code"]);
    let wanted = format!("{} claude-code Stop --home '{}'", program::hook().display(), home.display());
    assert!(commands(&person.settings()).contains(&wanted));
}

#[test]
fn a_hook_program_that_is_missing_or_not_one_is_refused() {
    let person = Person::new();
    let other = person.script("other", "exit 0");
    for (path, what) in [
        ("none/fdr-hook", "does not exist"),
        ("proj", "is not an executable"),
        (other.to_str().unwrap(), "is not named fdr-hook"),
    ] {
        let path = person.path(path);
        let said = person.fails(&["install", "claude-code", "--hook-path", path.to_str().unwrap()]);
        assert!(said.contains(what) && said.contains("--hook-path FILE"), "{said}");
    }
    let alone = person.path("bin/fdr");
    fs::copy(program::fdr(), &alone).unwrap();
    let output = person.command(&alone, &["install", "claude-code"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("is missing; it belongs beside fdr"),
        "{output:?}"
    );
    assert!(!person.path(".claude").exists());
}

#[test]
fn uninstalling_what_is_not_there_is_no_error() {
    let person = Person::with_settings(SETTINGS);
    assert!(person.ok(&["uninstall", "claude-code"]).contains("no hooks of fdr in"));
    assert!(person.ok(&["uninstall", "claude-code", "--project"]).contains("there is no "));
    assert_eq!(fs::read_to_string(person.settings()).unwrap(), SETTINGS);
}

#[test]
fn the_doctor_is_content_after_installing() {
    let person = Person::new();
    person.script("bin/claude", "echo '2.1.197 (Claude Code)'");
    let (code, said) = person.doctor();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("claude-code   2.1.197, not recorded") && said.contains("fix: fdr install claude-code"),
        "{said}"
    );

    person.ok(&["install", "claude-code"]);
    let (code, said) = person.doctor();
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("claude-code   2.1.197, hooks in ~/.claude/settings.json, 31 of 31 events"),
        "{said}"
    );
    assert!(said.ends_with("no problems\n"), "{said}");

    let output = person.fdr(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["checks"][0]["subject"], "recorder");
}

#[test]
fn the_doctor_sees_what_blinds_the_recorder() {
    let person = Person::new();
    person.script("bin/claude", "echo '2.1.197 (Claude Code)'");
    let hook = person.script("fdr-hook", "echo fdr-hook 0.0.1");
    person.ok(&["install", "claude-code", "--hook-path", hook.to_str().unwrap()]);
    let finds = |what: &str, todo: &str| {
        let (code, said) = person.doctor();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(what) && said.contains(todo), "{what}: {said}");
    };
    finds("~/fdr-hook is 0.0.1, fdr is ", "fix: fdr install claude-code");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    finds("is not executable", "fix: chmod +x ");
    fs::remove_file(&hook).unwrap();
    finds("~/fdr-hook does not exist: nothing is recorded", "fix: fdr install claude-code");
    person.ok(&["install", "claude-code"]);

    fs::create_dir_all(person.path("proj/.claude")).unwrap();
    let local = person.path("proj/.claude/settings.local.json");
    fs::write(&local, "{\"disableAllHooks\": true}").unwrap();
    finds(
        "disableAllHooks is set in ~/proj/.claude/settings.local.json",
        "look: ~/proj/.claude/settings.local.json",
    );
    fs::write(&local, "{").unwrap();
    finds("~/proj/.claude/settings.local.json can't be understood: line 1", "look: ");
    fs::remove_file(&local).unwrap();

    let settings = fs::read_to_string(person.settings()).unwrap();
    fs::write(person.settings(), settings.replacen("PreToolUse", "PreToolUseX", 1)).unwrap();
    finds("30 of 31 events", "fix: fdr install claude-code");
    fs::write(person.settings(), &settings).unwrap();

    fs::write(
        person.path(".claude.json"),
        format!("{{\"projects\":{{{:?}:{{\"hasTrustDialogAccepted\":false}}}}}}", person.path("proj")),
    )
    .unwrap();
    finds("claude does not trust ~/proj yet", "look: claude");
    fs::remove_file(person.path(".claude.json")).unwrap();

    let home = person.path(".local/state/fdr");
    fs::create_dir_all(home.join("spool")).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    finds("~/.local/state/fdr can be read by others (mode 755)", "fix: chmod 700 ");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.join("spool/1.msg"), "").unwrap();
    finds("1 event came while no recorder could be reached", "fix: fdr serve");
    fs::remove_file(home.join("spool/1.msg")).unwrap();
    let (code, said) = person.doctor();
    assert_eq!(code, 0, "{said}");
}

/// What a person may have in the files of a runtime, before fdr comes.
const OTHERS: &[(&str, &[(&str, &str)])] = &[
    ("claude-code", &[]),
    (
        "claude-code",
        &[(
            ".claude/settings.json",
            "{ // mine\n\t\"model\": \"opus\", \"hooks\": { \"Stop\": [{ \"hooks\": [{}] }] }\n}",
        )],
    ),
    ("codex", &[]),
    ("codex", &[(".codex/config.toml", "model = \"x\"\r\n[tui]\r\nmine = 1")]),
    (
        "codex",
        &[
            (
                ".codex/hooks.json",
                "{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"mine\"}]}]}}\n",
            ),
            (
                ".codex/config.toml",
                "# mine\n[hooks.state.\"/x/hooks.json:stop:0:0\"]\ntrusted_hash = \"sha256:1\"\n\n",
            ),
        ],
    ),
    ("gemini-cli", &[]),
    ("gemini-cli", &[(".gemini/settings.json", "{\n  /* mine */ \"ui\": {},\n}\n")]),
    ("hermes", &[]),
    (
        "hermes",
        &[(".hermes/config.yaml", "# mine\nmodel:\n  default: x # fast\nplugins:\n  enabled: [mine]\n")],
    ),
    ("opencode", &[]),
    ("opencode", &[(".config/opencode/plugin/mine.js", "// mine\n")]),
    ("openclaw", &[]),
    ("openclaw", &[(".openclaw/openclaw.json", "{ \"plugins\": { \"allow\": [\"mine\"] } }\n")]),
    ("cursor", &[]),
    (
        "cursor",
        &[(".cursor/hooks.json", "{\n  \"hooks\": {\n    \"stop\": [{ \"command\": \"mine\" }]\n  }\n}\n")],
    ),
];

/// Every file below a folder, with its bytes and its mode.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), (Vec::new(), 0));
            files.extend(tree(&path));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            files.insert(path.clone(), (fs::read(&path).unwrap(), mode));
        }
    }
    files
}

impl Person {
    fn with_files(files: &[(&str, &str)]) -> Person {
        let person = Person::new();
        for (path, text) in files {
            let path = person.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        person
    }
}

#[test]
fn every_runtime_is_set_up_once_and_undone_to_the_byte() {
    for (runtime, files) in OTHERS {
        for scope in ["--user", "--project", "--managed"] {
            let person = Person::with_files(files);
            let root = person.path("root");
            fs::create_dir_all(root.join("etc")).unwrap();
            let arguments = [runtime, scope, "--root", root.to_str().unwrap()];
            let install: Vec<&str> = ["install"].into_iter().chain(arguments).collect();
            let uninstall: Vec<&str> = ["uninstall"].into_iter().chain(arguments).collect();
            let before = tree(person.dir.path());
            let dry: Vec<&str> = install.iter().copied().chain(["--dry-run"]).collect();

            let output = person.fdr(&dry);
            assert_eq!(tree(person.dir.path()), before, "{runtime} {scope}: a dry run writes nothing");
            if !output.status.success() {
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(
                    said.contains("has no settings of its own for ") && said.contains("it has: --user"),
                    "{said}"
                );
                assert!(["hermes", "openclaw"].contains(runtime), "{said}");
                continue;
            }
            assert!(String::from_utf8(output.stdout).unwrap().starts_with("--- "));
            let said = person.ok(&install);
            assert!(said.contains(" hooks added to "), "{said}");
            let once = tree(person.dir.path());
            assert_ne!(once, before);
            let said = person.ok(&install);
            assert!(said.contains("already; nothing to do"), "{said}");
            assert_eq!(tree(person.dir.path()), once);
            if scope == "--managed" {
                let mine = once.keys().filter(|path| !before.contains_key(*path));
                for path in mine.filter(|path| path.is_file()) {
                    assert!(path.starts_with(&root), "{path:?}");
                    assert_eq!(once[path].1 & 0o777, 0o644, "{path:?} is for everybody to read");
                }
            }
            person.ok(&uninstall);
            assert_eq!(tree(person.dir.path()), before, "{runtime} {scope}");
            let said = person.ok(&uninstall);
            assert!(said.contains("nothing to do"), "{said}");
        }
    }
}

#[test]
fn what_was_changed_after_installing_is_kept_by_every_runtime() {
    for (runtime, files) in OTHERS {
        let person = Person::with_files(files);
        person.ok(&["install", runtime]);
        let mine: Vec<_> = files.iter().filter(|(_, text)| text.contains("mine")).collect();
        for (path, _) in &mine {
            let text = fs::read_to_string(person.path(path)).unwrap();
            fs::write(person.path(path), text.replace("mine", "yours")).unwrap();
        }
        person.ok(&["uninstall", runtime]);
        for (path, text) in mine {
            let left = fs::read_to_string(person.path(path)).unwrap();
            let wanted = text.replace("mine", "yours");
            // A version that Cursor demands, and that was not there, stays.
            let left = left.replace(",\n  \"version\": 1\n}", "\n}");
            assert_eq!(left, wanted, "{runtime} {path}");
        }
    }
}

#[test]
fn several_files_are_changed_together_or_not_at_all() {
    let broken = "model = \"x\"\nmine = tru\n";
    let person = Person::with_files(&[(".codex/hooks.json", "{}\n"), (".codex/config.toml", broken)]);
    let before = tree(person.dir.path());
    let said = person.fails(&["install", "codex"]);
    assert!(said.starts_with("error: can't change ~/.codex/config.toml: line 2, column 8: "), "{said}");
    assert_eq!(tree(person.dir.path()), before);

    // The second file can't be written.
    fs::write(person.path(".codex/config.toml"), "model = \"x\"\n").unwrap();
    let blocked = person.path(".codex/config.toml");
    fs::remove_file(&blocked).unwrap();
    symlink("/proc/none/config.toml", &blocked).unwrap();
    let said = person.fails(&["install", "codex"]);
    assert!(said.contains("can't make /proc/none"), "{said}");
    assert_eq!(fs::read_to_string(person.path(".codex/hooks.json")).unwrap(), "{}\n");
    assert_eq!(person.files(".codex"), ["config.toml", "hooks.json"]);
}

#[test]
fn all_that_is_on_the_machine_is_found_and_set_up() {
    let person = Person::with_files(&[(".gemini/settings.json", "{}\n")]);
    person.script("bin/codex", "echo codex-cli 0.169.0");
    let said = person.ok(&["install", "--all"]);
    assert!(said.contains("codex         12 hooks added to ~/.codex/hooks.json"), "{said}");
    assert!(said.contains("gemini-cli    10 hooks added to ~/.gemini/settings.json"), "{said}");
    assert!(said.contains("claude-code   not on this machine"), "{said}");
    assert!(said.contains("cursor        not on this machine"), "{said}");
    let said = person.ok(&["uninstall", "--all"]);
    assert!(said.contains("codex         12 hooks removed"), "{said}");
    assert_eq!(person.files(".gemini"), ["settings.json"]);

    // One that can't be done hinders no other, and is said.
    fs::write(person.path(".gemini/settings.json"), "{").unwrap();
    let output = person.fdr(&["install", "--all"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("codex         12 hooks added") && said.contains("gemini-cli    FAILED: "),
        "{said}"
    );

    let nobody = Person::new();
    let output = nobody.fdr(&["install", "--all"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(nobody.fails(&["install"]).contains("required"));
    assert!(nobody.fails(&["install", "emacs"]).contains("possible values: claude-code, codex, "));
}

#[test]
fn a_lock_lets_managed_hooks_alone_run_and_goes_with_them() {
    for (runtime, files) in [
        ("claude-code", &[("root/etc/claude-code/managed-settings.json", "{ \"model\": \"opus\" }\n")][..]),
        (
            "codex",
            &[(
                "root/etc/codex/requirements.toml",
                "# theirs\nallow_managed_hooks_only = false\n[features]\nhooks = false # never\n",
            )][..],
        ),
        ("codex", &[]),
    ] {
        let person = Person::with_files(files);
        person.script("bin/claude", "echo '2.1.197 (Claude Code)'");
        person.script("bin/codex", "echo codex-cli 0.169.0");
        let root = person.path("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        let root = ["--root", root.to_str().unwrap()];
        let before = tree(person.dir.path());
        let with = |words: &[&'static str]| -> Vec<String> {
            words
                .iter()
                .chain(&[runtime])
                .map(|word| (*word).to_owned())
                .chain(root.map(str::to_owned))
                .collect()
        };
        let run = |words: Vec<String>| person.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
        run(with(&["install", "--managed"]));
        let open = tree(person.dir.path());
        run(with(&["install", "--managed", "--lock"]));
        assert_ne!(tree(person.dir.path()), open);
        // Hooks in one's own settings don't count then.
        person.ok(&["install", runtime]);
        let output = person.fdr(&["doctor", "--root", root[1]]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("an administrator allows managed hooks only"), "{said}");
        assert!(said.contains("hooks in managed settings, "), "{said}");
        person.ok(&["uninstall", runtime]);
        run(with(&["uninstall", "--managed"]));
        assert_eq!(tree(person.dir.path()), before, "{runtime}");
    }
    let person = Person::new();
    let root = person.path("root");
    for runtime in ["gemini-cli", "cursor"] {
        let said =
            person.fails(&["install", runtime, "--managed", "--lock", "--root", root.to_str().unwrap()]);
        assert!(
            said.contains("has no setting that lets managed hooks alone run; nothing was changed"),
            "{said}"
        );
        assert!(!root.exists());
    }
    assert!(person.fails(&["install", "codex", "--lock"]).contains("--managed"));
    assert!(person.fails(&["install", "codex", "--local"]).contains("it has: --user, --project, --managed"));
}

#[test]
fn the_doctor_knows_what_keeps_the_hooks_of_each_runtime_from_running() {
    let person = Person::new();
    person.script("bin/codex", "echo codex-cli 0.169.0");
    person.script("bin/gemini", "echo 0.61.0");
    let finds = |what: &str, todo: &str| {
        let (code, said) = person.doctor();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(what) && said.contains(todo), "{what}: {said}");
    };
    finds("codex         0.169.0, not recorded", "fix: fdr install codex");
    finds("gemini-cli    0.61.0, not recorded", "fix: fdr install gemini-cli");
    person.ok(&["install", "--all"]);
    let (code, said) = person.doctor();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("codex         0.169.0, hooks in ~/.codex/hooks.json, 12 of 12 events"), "{said}");
    assert!(said.contains("codex         codex trusts the hooks in ~/.codex/hooks.json"), "{said}");
    assert!(said.contains("not here      claude-code, "), "{said}");

    let config = person.path(".codex/config.toml");
    let trusted = fs::read_to_string(&config).unwrap();
    fs::write(&config, trusted.replacen("sha256:", "sha256:0", 2)).unwrap();
    finds(
        "codex does not trust 2 of 12 hooks in ~/.codex/hooks.json: they don't run",
        "fix: fdr install codex",
    );
    fs::write(&config, format!("{trusted}[features]\nhooks = false\n")).unwrap();
    finds("features.hooks is false in ~/.codex/config.toml: no hook runs", "look: ~/.codex/config.toml");
    fs::write(&config, trusted).unwrap();

    person.ok(&["install", "codex", "--project"]);
    finds("hooks stand in more than one place, so every event is told twice", "fix: fdr uninstall codex");
    person.ok(&["uninstall", "codex", "--project"]);

    // A hook without the guard would not deny if fdr-hook can't run.
    let hooks = person.path(".codex/hooks.json");
    let complete = fs::read_to_string(&hooks).unwrap();
    let line = complete.lines().find(|line| line.contains("\"PreToolUse\"")).unwrap();
    let bare = format!(
        "    \"PreToolUse\": [{{ \"hooks\": [{{ \"type\": \"command\", \"command\": \"{} codex PreToolUse\", \"timeout\": 330 }}] }}],",
        program::hook().display()
    );
    fs::write(&hooks, complete.replace(line, &bare)).unwrap();
    finds("11 of 12 events", "fix: fdr install codex");
    person.ok(&["install", "codex"]);
    assert_eq!(fs::read_to_string(&hooks).unwrap(), complete);

    let settings = person.path("proj/.gemini/settings.json");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(&settings, "{\"hooksConfig\": {\"enabled\": false}}").unwrap();
    finds(
        "hooksConfig.enabled is false in ~/proj/.gemini/settings.json",
        "look: ~/proj/.gemini/settings.json",
    );
    fs::remove_file(&settings).unwrap();
    let untrusted = format!("{{{:?}: \"DO_NOT_TRUST\"}}", person.path("proj"));
    fs::write(person.path(".gemini/trustedFolders.json"), untrusted).unwrap();
    let (code, said) = person.doctor();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("those of the extension fdr run there"), "{said}");
}

#[test]
fn the_doctor_counts_the_calls_of_tools_that_are_not_known() {
    let program = program::Program::new();
    for call in ["1", "2"] {
        let payload = serde_json::json!({
            "session_id": "s", "cwd": "/p", "hook_event_name": "PreToolUse", "tool_name": "Frobnicate",
            "tool_input": {}, "tool_use_id": call,
        });
        assert!(program.hook("PreToolUse", payload.to_string().as_bytes()).status.success());
    }
    let said = String::from_utf8(program.fdr(&["doctor"]).stdout).unwrap();
    let wanted =
        "claude-code: 2 calls of tools that fdr does not know, recorded whole as `execute`: Frobnicate";
    assert!(said.contains(wanted), "{said}");
}
