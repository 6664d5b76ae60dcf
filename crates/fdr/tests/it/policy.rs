//! Policies, approvals and their faults, on the real programs.

use crate::program::{AGENT_MARKS, Program, bash, fdr};
use fdr_record::{Body, Kind, Record, Verdict};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const CONTROL: &str = "@control(\"NIST SP 800-53 AC-6\")";

/// Permits all but pushes to `main`, which a person has to approve, and what `more` forbids.
fn policies(more: &str) -> String {
    format!(
        "@id(\"t/all\") @reason(\"everything else is fine\") {CONTROL}\n\
         permit(principal, action, resource);\n\
         @id(\"t/main\") @reason(\"pushing to main needs a person\") @decision(\"ask\") {CONTROL}\n\
         forbid(principal, action == Action::\"send\", resource is Git) when {{ resource.ref == \"main\" }};\n{more}"
    )
}

const NO_DELETING: &str = "@id(\"t/delete\") @reason(\"nothing is deleted here\") @control(\"NIST SP 800-53 AC-6\")\n\
     forbid(principal, action == Action::\"delete\", resource);\n";

fn write(program: &Program, text: &str) {
    let folder = program.home().join("policies");
    std::fs::create_dir_all(&folder).unwrap();
    // Not in place: the recorder must never read half a file.
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("t.cedar")).unwrap();
}

fn start(mode: &str, wait: u32, text: &str) -> Program {
    let program = Program::with_config(&format!(
        "mode = \"{mode}\"\npolicies = [\"policies/\"]\napprovals = \"queue\"\napproval_wait_s = {wait}\n"
    ));
    write(&program, text);
    program
}

fn call(program: &Program, call: &str, command: &str) -> Output {
    program.hook("PreToolUse", &bash("s", call, command))
}

/// What the runtime is told: nothing, or to deny and why.
fn told(output: &Output) -> Option<String> {
    assert!(output.status.success(), "{output:?}");
    if output.stdout.is_empty() {
        return None;
    }
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply["hookSpecificOutput"]["permissionDecision"], "deny", "{reply}");
    Some(reply["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap().to_owned())
}

fn policy(record: &Record) -> &fdr_record::PolicyDecision {
    match &record.body {
        Body::Action(body) => &body.policy,
        _ => panic!("an action"),
    }
}

fn of(records: &[Record], kind: Kind) -> Vec<&Record> {
    records.iter().filter(|record| record.kind == kind).collect()
}

/// Waits until `done` is.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The requests that wait.
fn waiting(program: &Program) -> Vec<String> {
    let out = program.fdr(&["approvals", "list", "--json"]);
    let all: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    all.as_array().into_iter().flatten().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect()
}

fn one_waiting(program: &Program) -> String {
    let mut found = Vec::new();
    until("a request waits", || {
        found = waiting(program);
        !found.is_empty()
    });
    found.remove(0)
}

/// Runs `fdr` as a person would, not as a child of the test: that one is the agent here.
fn apart(program: &Program, arguments: &[&str]) -> String {
    let out = program.home().join(format!("apart-{}", arguments.join("-").replace('/', "_")));
    let done = out.with_extension("done");
    let script = "\"$@\" > \"$OUT\" 2>&1; : > \"$DONE\"";
    let mut command = Command::new("setsid");
    command.args(["--fork", "sh", "-c", script, "sh"]).arg(fdr()).arg("--home").arg(program.home());
    for mark in AGENT_MARKS {
        command.env_remove(mark);
    }
    let status = command.args(arguments).env("OUT", &out).env("DONE", &done).status().unwrap();
    assert!(status.success());
    until("the command ends", || done.exists());
    std::fs::remove_file(done).unwrap();
    std::fs::read_to_string(out).unwrap()
}

#[test]
fn an_enforced_policy_is_told_with_its_reason_and_an_observed_one_only_recorded() {
    let enforced = start("enforce", 1, &policies(NO_DELETING));
    assert_eq!(told(&call(&enforced, "c1", "ls")), None);
    let reason = told(&call(&enforced, "c2", "rm -rf build")).expect("denied");
    assert!(
        reason.contains("nothing is deleted here") && reason.contains("/home/dev/proj/build"),
        "{reason}"
    );
    let observed = start("observe", 1, &policies(NO_DELETING));
    for (number, command) in ["ls", "rm -rf build", "git push origin main"].iter().enumerate() {
        assert_eq!(told(&call(&observed, &format!("c{number}"), command)), None);
    }
    let records = observed.records();
    let verdicts: Vec<Verdict> = of(&records, Kind::Action).iter().map(|r| policy(r).decision).collect();
    assert_eq!(verdicts, [Verdict::Permit, Verdict::Deny, Verdict::Ask]);
    assert!(of(&records, Kind::ApprovalRequest).is_empty());
    let change = of(&records, Kind::PolicyChange)[0];
    let Body::PolicyChange(body) = &change.body else { panic!() };
    assert!(body.accepted && policy(of(&records, Kind::Action)[0]).set == body.set);
    assert!(change.content.iter().any(|content| content.role == "policy"), "the whole text");
}

#[test]
fn without_a_valid_set_nothing_is_let_through_until_there_is_one() {
    let program = Program::with_config("mode = \"enforce\"\npolicies = [\"policies/\"]\n");
    let reason = told(&call(&program, "c1", "ls")).expect("denied");
    assert!(reason.contains("no policy set is in force"), "{reason}");
    assert!(program.ok(&["status"]).contains("policy        NONE"));
    write(&program, &policies(""));
    let mut tries = 0;
    until("the set is taken", || {
        tries += 1;
        told(&call(&program, &format!("t{tries}"), "ls")).is_none()
    });
    let records = program.records();
    let accepted: Vec<bool> = of(&records, Kind::PolicyChange)
        .iter()
        .map(|record| matches!(&record.body, Body::PolicyChange(change) if change.accepted))
        .collect();
    assert_eq!(accepted, [false, true]);
}

#[test]
fn a_bad_set_is_refused_and_the_last_good_one_stays_also_over_a_restart() {
    let program = start("enforce", 1, &policies(NO_DELETING));
    assert!(told(&call(&program, "c1", "rm x")).is_some());
    let good = policy(of(&program.records(), Kind::Action)[0]).set.clone();
    write(&program, "permit(principal, action, resource) when { resource.nonsense };");
    until("the bad set is refused", || of(&program.records(), Kind::PolicyChange).len() == 2);
    assert!(told(&call(&program, "c2", "rm x")).is_some(), "the good set holds");
    let status = program.ok(&["status"]);
    assert!(status.contains("REFUSED"), "{status}");
    program.kill_recorder();
    assert!(told(&call(&program, "c3", "rm x")).is_some(), "it holds after a restart");
    assert_eq!(told(&call(&program, "c4", "ls")), None);
    std::fs::remove_dir_all(program.home().join("policies")).unwrap();
    until("the missing folder is refused", || of(&program.records(), Kind::PolicyChange).len() == 4);
    assert!(told(&call(&program, "c5", "rm x")).is_some());
    let records = program.records();
    for action in of(&records, Kind::Action) {
        assert_eq!(policy(action).set, good);
    }
    let Body::PolicyChange(change) = &of(&records, Kind::PolicyChange)[1].body else { panic!() };
    assert!(!change.accepted && change.in_force == good && !change.errors.is_empty(), "{change:?}");
    assert_eq!(program.fdr(&["policy", "check"]).status.code(), Some(1));
}

#[test]
fn decisions_made_while_the_set_changes_are_by_one_set_or_the_other() {
    let program = start("enforce", 1, &policies(NO_DELETING));
    assert!(told(&call(&program, "c", "rm x")).is_some());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (program, stop) = (&program, &stop);
        let hooks: Vec<_> = (0..3)
            .map(|thread| {
                scope.spawn(move || {
                    let mut denied = [0, 0];
                    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                        let name = format!("t{thread}-{}", denied[0] + denied[1]);
                        denied[usize::from(told(&call(program, &name, "rm x")).is_some())] += 1;
                    }
                    denied
                })
            })
            .collect();
        for turn in 0..4 {
            write(program, &policies(if turn % 2 == 0 { "" } else { NO_DELETING }));
            until("the set is taken", || of(&program.records(), Kind::PolicyChange).len() == turn + 2);
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let counts: Vec<[u32; 2]> = hooks.into_iter().map(|hook| hook.join().unwrap()).collect();
        assert!(
            counts.iter().any(|count| count[0] > 0) && counts.iter().any(|count| count[1] > 0),
            "{counts:?}"
        );
    });
    // The change stands before the first decision by it, and each decision comes out again.
    let mut in_force = None;
    for record in program.records() {
        match &record.body {
            Body::PolicyChange(change) => in_force = change.in_force.clone(),
            Body::Action(body) => assert_eq!(body.policy.set, in_force),
            _ => {}
        }
    }
    let again: Value =
        serde_json::from_str(&program.ok(&["replay", "--policy", "recorded", "--json"])).unwrap();
    assert_eq!((&again["changed"], &again["other_reasons"]), (&Value::from(0), &Value::from(0)), "{again}");
}

#[test]
fn an_absent_approver_is_a_denial_and_a_late_grant_is_good_for_one_call() {
    let program = start("enforce", 2, &policies(""));
    let push = "git push origin main";
    let begun = Instant::now();
    let reason = told(&call(&program, "c1", push)).expect("denied");
    assert!(reason.contains("nobody answered within 2 s"), "{reason}");
    assert!((2..8).contains(&begun.elapsed().as_secs()));
    let id = of(&program.records(), Kind::ApprovalRequest)[0].id.to_string();
    assert!(reason.contains(&id), "{reason}");
    assert!(apart(&program, &["approvals", "grant", &id]).starts_with("granted"), "later");
    assert!(apart(&program, &["approvals", "deny", &id]).contains("answered"), "only once");
    assert!(told(&call(&program, "c2", "git push --force origin main")).is_some(), "other arguments");
    assert_eq!(told(&call(&program, "c3", push)), None, "the same call");
    assert!(told(&call(&program, "c4", push)).is_some(), "a grant is used once");
    let records = program.records();
    let by: Vec<bool> = of(&records, Kind::Action)
        .iter()
        .map(|record| matches!(&record.body, Body::Action(body) if body.approved.is_some()))
        .collect();
    assert_eq!(by, [false, false, true, false]);
}

#[test]
fn of_two_approvers_at_once_one_is_first() {
    let program = start("enforce", 30, &policies(""));
    std::thread::scope(|scope| {
        let hook = scope.spawn(|| call(&program, "c1", "git push origin main"));
        let id = one_waiting(&program);
        let answer = |word: &'static str| {
            let (program, id) = (&program, id.clone());
            scope.spawn(move || apart(program, &["approvals", word, &id]))
        };
        let said: Vec<String> =
            [answer("grant"), answer("deny")].into_iter().map(|answer| answer.join().unwrap()).collect();
        let first =
            said.iter().filter(|text| text.starts_with("granted") || text.starts_with("refused")).count();
        assert_eq!(first, 1, "{said:?}");
        assert_eq!(told(&hook.join().unwrap()).is_none(), said[0].starts_with("granted"), "{said:?}");
    });
    let records = program.records();
    assert_eq!(of(&records, Kind::ApprovalGrant).len() + of(&records, Kind::ApprovalDeny).len(), 1);
}

#[test]
fn four_eyes_are_not_one_person_twice_and_an_agent_is_nobody() {
    let ask = policies("").replace("@decision(\"ask\")", "@decision(\"ask\") @four_eyes(\"true\")");
    let program = start("enforce", 60, &ask);
    std::thread::scope(|scope| {
        let hook = scope.spawn(|| call(&program, "c1", "git push origin main"));
        let id = one_waiting(&program);
        // This test is what called the hook.
        let refused = program.fdr(&["approvals", "grant", &id]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("an agent"), "{refused:?}");
        assert!(apart(&program, &["approvals", "grant", &id]).contains("one more person"));
        assert!(
            apart(&program, &["approvals", "grant", &id, "--reason", "again"])
                .contains("two different people")
        );
        assert!(!hook.is_finished(), "half an agreement lets nothing through");
        apart(&program, &["approvals", "deny", &id]);
        assert!(told(&hook.join().unwrap()).is_some());
    });
}

#[test]
fn a_request_goes_on_when_the_recorder_is_killed_or_stopped() {
    let program = start("enforce", 60, &policies(""));
    for (number, kill) in [true, false].into_iter().enumerate() {
        std::thread::scope(|scope| {
            let hook = scope.spawn(|| call(&program, &format!("c{number}"), "git push origin main"));
            let id = one_waiting(&program);
            if kill {
                program.kill_recorder();
            } else {
                program.ok(&["stop"]);
            }
            until("the next recorder knows it", || waiting(&program) == [id.clone()]);
            assert!(apart(&program, &["approvals", "grant", &id]).starts_with("granted"));
            assert_eq!(told(&hook.join().unwrap()), None);
        });
    }
    let records = program.records();
    let count = |kind| of(&records, kind).len();
    assert_eq!((count(Kind::Action), count(Kind::ApprovalRequest), count(Kind::ApprovalGrant)), (2, 2, 2));
    assert!(program.ok(&["verify"]).contains("INTACT"));
}

#[test]
fn who_does_not_wait_any_more_is_not_let_through() {
    let program = start("enforce", 60, &policies(""));
    let mut hook = Command::new("sh")
        .args(["-c", "\"$0\" claude-code PreToolUse --home \"$1\" < \"$2\""])
        .arg(crate::program::hook())
        .arg(program.home())
        .arg(payload(&program))
        .spawn()
        .unwrap();
    one_waiting(&program);
    let _ = Command::new("pkill").args(["-9", "-P", &hook.id().to_string()]).status();
    let _ = hook.kill();
    let _ = hook.wait();
    until("nobody waits", || waiting(&program).is_empty());
    let records = program.records();
    let Body::ApprovalDeny(body) = &of(&records, Kind::ApprovalDeny)[0].body else { panic!() };
    assert!(body.reason.as_ref().is_some_and(|reason| reason.contains("waited no longer")), "{body:?}");
}

fn payload(program: &Program) -> std::path::PathBuf {
    let path: &Path = &program.home().join("payload");
    std::fs::write(path, bash("s", "c1", "git push origin main")).unwrap();
    path.to_owned()
}

#[test]
fn an_intent_narrows_what_is_in_scope_and_only_a_person_sets_it() {
    let deny = "@id(\"t/scope\") @reason(\"this is not what was asked for\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action in Action::\"change\", resource) when { context.scope == \"out_of_scope\" };\n";
    let program = start("enforce", 1, &policies(deny));
    let prompt = |text: &str| {
        let payload = serde_json::json!({"session_id": "s", "cwd": "/home/dev/proj", "prompt": text});
        program.hook("UserPromptSubmit", payload.to_string().as_bytes())
    };
    prompt("Fix the tests, but do not delete anything.");
    let reason = told(&call(&program, "c1", "rm -rf src")).expect("denied");
    assert!(reason.contains("not what was asked for"), "{reason}");
    prompt("Delete src/old, please.");
    assert_eq!(told(&call(&program, "c2", "rm -rf src/old")), None);
    let refused = program.fdr(&["intent", "set", "s", "allow write file:**"]);
    assert!(!refused.status.success(), "this test is the agent");
    apart(&program, &["intent", "set", "s", "deny delete file:** "]);
    assert!(told(&call(&program, "c3", "rm -rf src/old")).is_some());
    let shown = program.ok(&["intent", "show", "s"]);
    for words in ["Delete src/old, please.", "out_of_scope", "in_scope", "declared"] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
}

#[test]
fn a_decision_is_explained_and_replayed_under_another_set() {
    let program = start("observe", 1, &policies(NO_DELETING));
    for (number, command) in ["ls", "rm -rf build", "git push origin main"].iter().enumerate() {
        call(&program, &format!("c{number}"), command);
    }
    let records = program.records();
    let deleted = of(&records, Kind::Action)[1].id.to_string();
    let explained = program.ok(&["policy", "explain", &deleted]);
    for words in ["DENY", "t/delete", "nothing is deleted here"] {
        assert!(explained.contains(words), "{words} in {explained}");
    }
    let other = program.home().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("t.cedar"), policies("")).unwrap();
    let changed = program.fdr(&["replay", "--policy", other.to_str().unwrap(), "--json"]);
    assert_eq!(changed.status.code(), Some(1));
    let changed: Value = serde_json::from_slice(&changed.stdout).unwrap();
    assert_eq!(changed["verdicts"], serde_json::json!({"DENY -> PERMIT": 1}), "{changed}");
    assert_eq!(program.fdr(&["replay", "--policy", "recorded"]).status.code(), Some(0));
    let diff = program.fdr(&[
        "policy",
        "diff",
        program.home().join("policies/").to_str().unwrap(),
        other.to_str().unwrap(),
    ]);
    assert_eq!(diff.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&diff.stdout).contains("removed t/delete"), "{diff:?}");
}

/// The intents of the log, in order.
fn intents(program: &Program) -> Vec<fdr_record::Intent> {
    let intent = |record: Record| match record.body {
        Body::Intent(intent) => Some(intent),
        _ => None,
    };
    program.records().into_iter().filter_map(intent).collect()
}

fn prompt(program: &Program, text: &str) {
    let payload = serde_json::json!({"session_id": "s", "cwd": "/home/dev/proj", "prompt": text});
    assert!(program.hook("UserPromptSubmit", payload.to_string().as_bytes()).status.success());
}

#[test]
fn a_prompt_may_declare_its_scope_in_its_first_line() {
    use fdr_record::IntentSource::{Declared, Derived};
    let program = start("observe", 1, &policies(""));
    prompt(&program, "fdr-intent: allow change src/ ; only\nFix it, and push to main.");
    call(&program, "c1", "git push origin main");
    call(&program, "c2", "touch src/a.rs");
    prompt(&program, "fdr-intent: this is no rule\nPush to main.");
    call(&program, "c3", "git push origin main");
    let found = intents(&program);
    assert_eq!(found[0].source, Declared, "{found:?}");
    assert!(found[1].summary.contains("can't be read") || found[1].closed, "{found:?}");
    assert!(found.iter().all(|intent| intent.source != Derived || intent.closed));
    let scopes: Vec<&str> = program
        .records()
        .iter()
        .filter_map(|record| match &record.body {
            Body::Action(body) => body.intent.as_ref().map(|check| check.scope.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!((scopes[0], scopes[2]), ("out_of_scope", "out_of_scope"));
    assert_ne!(scopes[1], "out_of_scope");
}

#[test]
fn a_classifier_reads_prompts_and_a_failing_one_leaves_them_to_the_rules() {
    use fdr_record::IntentSource::{Classifier, Derived};
    let program = Program::with_config(
        "intent_classifier = [\"sh\", \"-c\", \"grep -q poem && exit 1; echo 'allow read file:/srv/** ; only'\"]\n",
    );
    prompt(&program, "Do what I want.");
    prompt(&program, "Write a poem into poem.txt.");
    let found = intents(&program);
    assert_eq!((found[0].source, found[0].closed), (Classifier, true), "{found:?}");
    assert_eq!(found[0].allow[0].resource, "file:/srv/**", "{found:?}");
    assert_eq!(found[1].source, Derived, "{found:?}");
}

#[test]
fn who_is_to_be_notified_gets_the_request() {
    let program = start("enforce", 2, &policies(""));
    let note = program.home().join("note.json");
    let config = program.home().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let notify = format!("notify = [\"sh\", \"-c\", \"cat > {0}.new; mv {0}.new {0}\"]\n", note.display());
    std::fs::write(&config, text + &notify).unwrap();
    assert!(told(&call(&program, "c1", "git push origin main")).is_some());
    until("the command has run", || note.exists());
    let told: Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    assert_eq!(told["standing"], "waiting", "{told}");
    assert_eq!(told["approval"]["actions"][0]["resource"], "git:origin#main", "{told}");
}

#[test]
fn an_mcp_call_is_held_like_any_other_and_answered_in_json_rpc() {
    let deny = "@id(\"t/mail\") @reason(\"no mail from agents\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action, resource is Mcp) when { resource.tool == \"send_mail\" };\n\
         @id(\"t/file\") @reason(\"a person has to see this\") @decision(\"ask\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action, resource is Mcp) when { resource.tool == \"publish\" };\n";
    let program = start("enforce", 2, &policies(deny));
    let echo = "while read -r line; do printf '%s\\n' \"$line\"; done";
    let mut proxy = Command::new(fdr())
        .arg("--home")
        .arg(program.home())
        .args(["mcp-proxy", "--", "sh", "-c", echo])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = proxy.stdin.take().unwrap();
    let mut answers = std::io::BufRead::lines(std::io::BufReader::new(proxy.stdout.take().unwrap()));
    let mut ask = |tool: &str, id: u32| -> Value {
        let call = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        std::io::Write::write_all(&mut stdin, format!("{call}\n").as_bytes()).unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    assert_eq!(ask("list", 1)["method"], "tools/call", "it reaches the server, which echoes");
    let denied = ask("send_mail", 2);
    assert_eq!(
        (&denied["id"], &denied["error"]["code"]),
        (&Value::from(2), &Value::from(-32001)),
        "{denied}"
    );
    assert!(denied["error"]["message"].as_str().unwrap().contains("no mail from agents"), "{denied}");
    let unanswered = ask("publish", 3);
    assert!(unanswered["error"]["message"].as_str().unwrap().contains("nobody answered"), "{unanswered}");
    assert_eq!(ask("list", 4)["method"], "tools/call", "the session goes on");
    drop(stdin);
    proxy.wait().unwrap();
    let records = program.records();
    let results: Vec<_> = of(&records, Kind::Result)
        .into_iter()
        .filter_map(|record| match &record.body {
            Body::Result(result) => Some((result.tool.clone(), result.outcome)),
            _ => None,
        })
        .collect();
    let denied = fdr_record::Outcome::Denied;
    assert!(results.contains(&("send_mail".to_owned(), denied)), "{results:?}");
    assert!(results.contains(&("publish".to_owned(), denied)), "{results:?}");
    assert_eq!(of(&records, Kind::ApprovalRequest).len(), 1);
}

#[test]
fn asking_again_for_what_was_denied_is_denied_again() {
    let program = start("enforce", 1, &policies(NO_DELETING));
    for _ in 0..3 {
        assert!(told(&call(&program, "c1", "rm -rf src")).is_some());
        assert!(told(&call(&program, "c2", "git push origin main")).is_some());
    }
    assert_eq!(told(&call(&program, "c3", "ls")), None);
    assert_eq!(told(&call(&program, "c3", "ls")), None, "a hook that is set up twice");
}

#[test]
fn a_program_that_an_agent_started_neither_stops_nor_feeds_the_recorder() {
    let program = start("enforce", 1, &policies(""));
    assert_eq!(told(&call(&program, "c1", "ls")), None);
    let below = |arguments: &[&str]| {
        let output = Command::new(fdr())
            .arg("--home")
            .arg(program.home())
            .args(arguments)
            .env("CLAUDECODE", "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(below(&["stop"]).contains("terminal of your own"));
    let transcript = program.home().join("t.jsonl");
    std::fs::write(&transcript, "{}\n").unwrap();
    assert!(below(&["import", "claude-code", transcript.to_str().unwrap()]).contains("terminal of your own"));
    assert!(program.recorder_pid().is_some());
}

#[test]
fn links_lead_nowhere_that_their_names_do_not() {
    let deny = "@id(\"t/secret\") @reason(\"keys are not for agents\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action, resource) when { resource.secret || context.hazards.contains(\"code_secret\") };\n";
    let program = start("enforce", 1, &policies(deny));
    std::fs::write(program.home().join("policies/lists.toml"), "secrets = [\"**/keys/**\"]\n").unwrap();
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let project = root.join("project");
    std::fs::create_dir_all(root.join("keys")).unwrap();
    std::fs::create_dir_all(project.join("many")).unwrap();
    std::fs::write(root.join("keys/id"), "key").unwrap();
    let link =
        |to: std::path::PathBuf, name: &str| std::os::unix::fs::symlink(to, project.join(name)).unwrap();
    link(root.join("keys/id"), "lk");
    link(root.join("keys"), "ld");
    link(program.home(), "lf");
    let run = |number: usize, command: &str| {
        let payload = serde_json::json!({
            "session_id": "s", "cwd": project, "tool_use_id": format!("c{number}"), "tool_name": "Bash",
            "tool_input": {"command": command},
        });
        told(&program.hook("PreToolUse", payload.to_string().as_bytes()))
    };
    let many: String = (0..100).map(|number| format!("f{number} ")).collect();
    for (number, command) in [
        "cat lk",
        "cat ld/id",
        "cat l*",
        "cat l?",
        "cp lk x",
        "mv x ld/authorized",
        "mv x ld",
        &format!("cat {many} lk"),
        "python3 -c \"print(open('./lk').read())\"",
        "mv x lf/config.toml",
        "echo x > lf/hook.fail",
        "find lf/ -delete",
        "rm -rf lf/*",
    ]
    .iter()
    .enumerate()
    {
        let reason = run(number, command);
        assert!(reason.is_some(), "{command} was let through");
    }
    for (number, command) in ["cat f1", "ls", "rm lk", "cat *.txt", "mv f1 f2"].iter().enumerate() {
        assert_eq!(run(100 + number, command), None, "{command}");
    }
}

#[test]
fn no_key_hides_a_command_from_the_policy_and_from_the_record() {
    let program = start("enforce", 1, &policies(NO_DELETING));
    let (begin, end) = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----");
    let key = "MIIEowIBAAKCAQEAabcdefghijk";
    for (number, command) in [
        format!("echo {begin} {key} ; rm -rf ~/x ; echo {end}"),
        format!("echo '{begin}\n{key}'\nrm -rf ~/x\necho '{end}'"),
        format!("echo {begin} {key}{key} && rm -rf ~/x # {end}"),
    ]
    .iter()
    .enumerate()
    {
        assert!(told(&call(&program, &format!("c{number}"), command)).is_some(), "{command}");
    }
    let trail = program.ok(&["cat", "--open"]);
    assert!(!trail.contains(key), "the key itself is not stored");
    assert_eq!(trail.matches("rm -rf ~/x").count(), 3, "{trail}");
}

#[test]
fn a_call_that_could_not_be_read_stays_denied_when_its_hook_asks_the_next_recorder() {
    let program = start("enforce", 1, &policies(""));
    let mut request = fdr_hook::wire::Request::event(
        "claude-code",
        "PreToolUse",
        [7; 16],
        1,
        b"{\"no\": \"call\"".to_vec(),
    );
    request.cwd = "/".to_owned();
    let ask = || {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut client =
            fdr_hook::client::Client::connect_or_start_with(&program.home(), fdr(), deadline).unwrap();
        String::from_utf8(client.call(&request, Some(deadline)).unwrap().stdout).unwrap()
    };
    assert!(ask().contains("deny"));
    program.kill_recorder();
    let again = ask();
    assert!(again.contains("deny"), "{again}");
    let unparsed = program.records().iter().filter(|record| record.kind == Kind::Unparsed).count();
    assert_eq!(unparsed, 1, "it is recorded once");
}

#[test]
fn a_long_log_and_a_restart_change_nothing_of_what_a_session_may_do() {
    let deny = "@id(\"t/scope\") @reason(\"this is not what was asked for\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action in Action::\"change\", resource) when { context.scope == \"out_of_scope\" };\n\
         @id(\"t/outside\") @reason(\"only in the project\") @control(\"NIST SP 800-53 AC-6\")\n\
         forbid(principal, action in Action::\"change\", resource is File) when { !resource.inside };\n";
    let program = start("enforce", 1, &policies(deny));
    prompt(&program, "Change nothing in src/legacy, but fix the parser.");
    let denied = |round: &str| {
        assert!(told(&call(&program, &format!("{round}1"), "touch src/legacy/a")).is_some(), "{round}");
        assert!(told(&call(&program, &format!("{round}2"), "touch /srv/a")).is_some(), "{round}");
    };
    denied("before");
    // Whatever the agent does meanwhile, in another folder.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut client = fdr_hook::client::Client::connect(&program.home()).unwrap();
    for number in 0..8_300_u64 {
        let payload = serde_json::json!({"session_id": "s", "cwd": "/srv", "message": number.to_string()});
        let request = fdr_hook::wire::Request::event(
            "claude-code",
            "Notification",
            [8; 16],
            number,
            payload.to_string().into_bytes(),
        );
        assert!(client.call(&request, Some(deadline)).unwrap().recorded);
    }
    program.kill_recorder();
    denied("after");
    let seqs: Vec<u64> = program.records().iter().filter(|r| r.session.is_some()).map(|r| r.seq).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "numbered on");
}

#[test]
fn the_projects_own_tables_hold_and_a_wrong_one_is_said() {
    let program = Program::new();
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/it/tables");
    let mut arguments = vec!["policy".to_owned(), "test".to_owned()];
    for entry in std::fs::read_dir(tables).unwrap() {
        arguments.push(entry.unwrap().path().to_string_lossy().into_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = program.ok(&arguments);
    assert!(said.contains("decisions as expected"), "{said}");
    let wrong = program.home().join("wrong.txt");
    std::fs::create_dir_all(program.home()).unwrap();
    std::fs::write(&wrong, "PERMIT | baseline | Bash | | rm -rf /etc\n").unwrap();
    let output = program.fdr(&["policy", "test", wrong.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("wrong.txt:1: want PERMIT, got DENY") && said.contains("0 of 1"), "{said}");
}

#[test]
fn a_call_is_decided_on_without_being_recorded() {
    let program = Program::new();
    let project = tempfile::tempdir().unwrap();
    let decide = |runtime: &str, tool: &str, input: &str, more: &[&str]| -> Value {
        let cwd = project.path().to_str().unwrap();
        let base =
            ["policy", "decide", "--policy", "baseline", "--runtime", runtime, "--cwd", cwd, "--tool", tool];
        let arguments = [&base[..], &["--input", input, "--home-dir", "/home/dev", "--json"], more].concat();
        serde_json::from_str(&program.ok(&arguments)).unwrap()
    };
    let denied = decide("claude-code", "Bash", r#"{"command":"rm -rf /etc/nginx"}"#, &[]);
    assert_eq!(
        (&denied["decision"], &denied["actions"][0]["action"]),
        (&"DENY".into(), &"delete".into()),
        "{denied}"
    );
    assert!(denied["set"].as_str().is_some_and(|set| set.starts_with("sha256:")));
    let read = r#"{"file_path":"src/a.rs"}"#;
    assert_eq!(decide("claude-code", "Read", read, &[])["decision"], "PERMIT");
    let fetch = r#"{"command":"curl -s https://collect.example/x"}"#;
    assert_eq!(decide("claude-code", "Bash", fetch, &["--taint", "secret"])["decision"], "DENY");
    let push = r#"{"command":"git push origin feature/x"}"#;
    let asked = decide("claude-code", "Bash", push, &["--prompt", "Fix the parser, but don't push."]);
    assert_eq!(
        (&asked["decision"], &asked["intent"]["scope"]),
        (&"ASK".into(), &"out_of_scope".into()),
        "{asked}"
    );
    assert_eq!(decide("mcp:mail", "send_mail", r#"{"to":"x@example.com"}"#, &[])["decision"], "ASK");
    let unknown = program.fdr(&["policy", "decide", "--runtime", "no-such", "--tool", "x", "--input", "{}"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("known are"), "{unknown:?}");
    assert!(!program.home().join("log").exists(), "nothing is recorded");
}
