//! Sessions of all runtimes at once on one recorder: nothing is lost, nothing is mixed up.

use crate::agents::{Agent, Sandbox};
use crate::runtimes::{calls, enforced, name, script, wait_for};
use crate::scripted_llm::ScriptedLlm;
use fdr_record::{Body, Record};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many sessions are replayed.
const SESSIONS: usize = 100;
/// How many of them are under way at any time.
const AT_ONCE: usize = 24;
/// The steps of their work.
const STEPS: [&str; 6] = ["read", "create", "fail", "delete", "mcp", "delegate"];

/// One event, as a runtime gave it to `fdr-hook`.
struct Event {
    arguments: Vec<String>,
    payload: Vec<u8>,
}

/// All events of one session of a real agent, and the ids in them that are a session's own.
struct Stream {
    agent: Agent,
    events: Vec<Event>,
    ids: Vec<String>,
}

/// Runs the agent with an `fdr-hook` that keeps what it is given.
fn listen(agent: Agent) -> Stream {
    let mut sandbox = Sandbox::new();
    enforced(&sandbox);
    // The agent is told of a folder without a recorder, so that a plug-in which would speak to it
    // itself calls fdr-hook instead.
    let nobodys = sandbox.folder.path().join("nobody");
    let recorders = std::mem::replace(&mut sandbox.fdr_home, nobodys);
    let llm = ScriptedLlm::start(script(agent, sandbox.project.to_str().unwrap(), Some(&STEPS)));
    agent.set_up(&sandbox, &llm);
    let (hook, real) = (sandbox.programs.join("fdr-hook"), sandbox.programs.join("real-hook"));
    let kept = sandbox.folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::rename(&hook, &real).unwrap();
    let script = format!(
        "#!/bin/sh\nf={}/$(date +%s%N)-$$\nprintf '%s\\n' \"$@\" > $f.arguments\n\
         cat > $f.part\nmv $f.part $f.payload\n\
         exec {} \"$1\" \"$2\" --home {} < $f.payload\n",
        kept.display(),
        real.display(),
        recorders.display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let output = agent.run(&sandbox, &llm, "Please do the steps.");
    assert!(output.status.success(), "{agent:?}: {output:?}");
    sandbox.fdr_home = recorders;
    let trail = sandbox.trail();
    let mut ids = BTreeSet::new();
    for record in &trail.0 {
        ids.extend(record.session.clone());
        ids.extend(record.agent.as_ref().map(|agent| agent.id.clone()));
    }
    let mut files: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "payload"));
    files.sort();
    let event = |path: &std::path::PathBuf| Event {
        arguments: fs::read_to_string(path.with_extension("arguments"))
            .unwrap()
            .lines()
            .take(2)
            .map(str::to_owned)
            .collect(),
        payload: fs::read(path).unwrap(),
    };
    Stream { agent, events: files.iter().map(event).collect(), ids: ids.into_iter().collect() }
}

impl Stream {
    /// Gives the events to a recorder as another session, one after the other.
    fn replay(&self, hook: &Path, home: &Path, number: usize) {
        for event in &self.events {
            let mut payload = String::from_utf8(event.payload.clone()).expect("payloads are text");
            for id in &self.ids {
                payload = payload.replace(id, &renamed(id, number));
            }
            let mut child = Command::new(hook)
                .args(&event.arguments)
                .arg("--home")
                .arg(home)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(!said.contains("not recorded"), "{:?} {:?}: {said}", self.agent, event.arguments);
        }
    }
}

fn renamed(id: &str, number: usize) -> String {
    format!("{id}-n{number:03}")
}

/// What a session's records say, without what differs from one run to the next.
fn reduced(records: &[&Record], number: usize) -> Vec<String> {
    let mark = format!("-n{number:03}");
    let mut records = records.to_vec();
    records.sort_by_key(|record| record.seq);
    let place: HashMap<_, _> = records.iter().enumerate().map(|(at, record)| (record.id, at)).collect();
    let line = |record: &&Record| {
        let what = match &record.body {
            Body::Action(body) => {
                let done: Vec<_> = body
                    .actions
                    .iter()
                    .map(|a| format!("{} {}", name(&a.action), a.resource.as_str()))
                    .collect();
                format!("{} {done:?} {}", body.tool, name(&body.policy.decision))
            }
            Body::Result(body) => {
                format!("{} {} {:?} {:?}", body.tool, name(&body.outcome), body.exit_code, body.reason)
            }
            Body::Prompt(body) => body.preview.clone(),
            _ => String::new(),
        };
        let links: Vec<_> =
            record.links.iter().map(|link| (link.rel, place.get(&link.id).copied())).collect();
        let agent = record.agent.as_ref().map(|agent| (&agent.id, &agent.name, &agent.parent));
        format!("{} {:?} {agent:?} {what} {links:?}", record.kind, record.tool_use_id()).replace(&mark, "")
    };
    records.iter().map(line).collect()
}

fn by_session(records: &[Record]) -> BTreeMap<&str, Vec<&Record>> {
    let mut sessions: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        if let Some(session) = &record.session {
            sessions.entry(session).or_default().push(record);
        }
    }
    sessions
}

#[test]
fn a_hundred_sessions_at_once_are_kept_apart() {
    let streams: Vec<Stream> = thread::scope(|scope| {
        let running: Vec<_> = Agent::ALL.map(|agent| scope.spawn(move || listen(agent))).into();
        running.into_iter().map(|stream| stream.join().unwrap()).collect()
    });
    let recorder = |sandbox: &Sandbox| {
        enforced(sandbox);
        let config = sandbox.fdr_home.join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        // The files that the payloads name are gone.
        fs::write(config, text + "transcripts = false\n").unwrap();
    };

    // Each alone, to compare with.
    let alone = Sandbox::new();
    recorder(&alone);
    for stream in &streams {
        println!("{:?}: {} events, ids {:?}", stream.agent, stream.events.len(), stream.ids);
        stream.replay(&alone.programs.join("fdr-hook"), &alone.fdr_home, 0);
    }
    let expected = alone.trail();
    let expected = by_session(&expected.0);

    // All at once, and real agents among them.
    let together = Sandbox::new();
    recorder(&together);
    let real = [Agent::ClaudeCode, Agent::Codex, Agent::GeminiCli];
    let next = AtomicUsize::new(1);
    let ran: Vec<_> = thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number > SESSIONS {
                        return;
                    }
                    let hook = together.programs.join("fdr-hook");
                    streams[number % streams.len()].replay(&hook, &together.fdr_home, number);
                }
            });
        }
        let run = |agent: Agent| {
            let mut sandbox = Sandbox::new();
            sandbox.fdr_home.clone_from(&together.fdr_home);
            let project = sandbox.project.to_str().unwrap();
            let llm = ScriptedLlm::start(script(agent, project, Some(&["read", "list"])));
            agent.set_up(&sandbox, &llm);
            let output = agent.run(&sandbox, &llm, "Please do the steps.");
            assert!(output.status.success(), "{agent:?}: {output:?}");
            (sandbox, llm)
        };
        let running: Vec<_> = real.map(|agent| scope.spawn(move || run(agent))).into();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let trail = together.trail();
    let found = by_session(&trail.0);
    let mut count = 0;
    for number in 1..=SESSIONS {
        let stream = &streams[number % streams.len()];
        for id in &stream.ids {
            let Some(expected) = expected.get(&*renamed(id, 0)) else { continue };
            let found =
                found.get(&*renamed(id, number)).unwrap_or_else(|| panic!("{number}: no session {id}"));
            assert_eq!(reduced(found, number), reduced(expected, 0), "{number}: {:?}", stream.agent);
            count += 1;
        }
    }
    println!("{count} sessions as they should be, {} records", trail.0.len());
    assert!(count >= SESSIONS);
    for (sandbox, llm) in &ran {
        // Each real agent's calls have ids of their own place in the script, so that the records
        // of the others have to be left out first.
        let own = |record: &Record| {
            let cwd = record.claimed.as_ref().and_then(|claimed| claimed.cwd.as_deref());
            cwd.is_some_and(|cwd| Path::new(cwd).starts_with(&sandbox.project))
        };
        let mut trail = wait_for(sandbox, llm);
        let sessions: BTreeSet<_> =
            trail.0.iter().filter(|r| own(r)).filter_map(|r| r.session.clone()).collect();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        trail.0.retain(|record| record.session.as_ref().is_some_and(|id| sessions.contains(id)));
        for (call, action, result) in calls(&trail, llm) {
            assert!(action.is_some() && result.is_some(), "{call:?}: {action:?} {result:?}");
        }
    }
    assert!(together.fdr(&["verify"]).contains("INTACT"));
}
