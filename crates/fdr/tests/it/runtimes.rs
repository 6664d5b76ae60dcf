//! All runtimes do the same work, and one table says what the trail has of it: the same for all,
//! but for what docs/runtimes.md explains.
//!
//! `UPDATE=1` writes the table anew; `RUNTIMES=codex,hermes` runs those alone and prints theirs.

use crate::agents::{Agent, Sandbox, Trail};
use crate::scripted_llm::{Call, ScriptedLlm};
use fdr_record::{Body, Kind, Outcome, Record, Rel};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// A step of the work: its name, and the tool call by which a runtime's model does it.
type Step = (&'static str, Value);

/// The steps of the main agent, as the tools of a runtime.
fn steps(agent: Agent, p: &str) -> Vec<Step> {
    let file = |name: &str| format!("{p}/{name}");
    let shell = |command: &str| shell(agent, command);
    let tool = |name: &str, args: Value| json!({"name": name, "args": args});
    let mut mcp = agent.mcp_tool("list_directory");
    mcp["args"] = json!({"path": p});
    let patch =
        |text: &str| shell(&format!("apply_patch <<'END'\n*** Begin Patch\n{text}*** End Patch\nEND\n"));
    let task = "SUBTASK: read README.md, count its lines and report.";
    let own = match agent {
        Agent::ClaudeCode => [
            tool("Read", json!({"file_path": file("README.md")})),
            tool("Write", json!({"file_path": file("notes.txt"), "content": "one\ntwo\n"})),
            tool("Edit", json!({"file_path": file("notes.txt"), "old_string": "two", "new_string": "2"})),
            tool("Read", json!({"file_path": file("missing.txt")})),
            shell("grep -rn Probe ."),
            // Has no tool for plans when nobody is there.
            Value::Null,
            tool(
                "Agent",
                json!({"description": "Count", "prompt": task, "subagent_type": "general-purpose",
                       "run_in_background": false}),
            ),
        ],
        Agent::Codex => [
            shell("cat README.md"),
            patch("*** Add File: notes.txt\n+one\n+two\n"),
            patch("*** Update File: notes.txt\n@@\n one\n-two\n+2\n"),
            shell("cat missing.txt"),
            shell("grep -rn Probe ."),
            tool("create_goal", json!({"objective": "Count the lines."})),
            json!({"name": "spawn_agent", "namespace": "multi_agent_v1", "args": {"message": task}}),
        ],
        Agent::GeminiCli => [
            tool("read_file", json!({"file_path": file("README.md")})),
            tool("write_file", json!({"file_path": file("notes.txt"), "content": "one\ntwo\n"})),
            tool(
                "replace",
                json!({"file_path": file("notes.txt"), "instruction": "Write 2 as a digit.",
                       "old_string": "two", "new_string": "2"}),
            ),
            tool("read_file", json!({"file_path": file("missing.txt")})),
            tool("grep_search", json!({"pattern": "Probe", "dir_path": p})),
            tool("write_todos", json!({"todos": [{"description": "Count", "status": "pending"}]})),
            tool("invoke_agent", json!({"agent_name": "generalist", "prompt": task})),
        ],
        Agent::Hermes => [
            tool("read_file", json!({"path": file("README.md")})),
            tool("write_file", json!({"path": file("notes.txt"), "content": "one\ntwo\n"})),
            tool(
                "patch",
                json!({"mode": "replace", "path": file("notes.txt"), "old_string": "two", "new_string": "2"}),
            ),
            tool("read_file", json!({"path": file("missing.txt")})),
            tool("search_files", json!({"pattern": "Probe", "path": p})),
            tool("todo", json!({"todos": [{"id": "1", "content": "Count", "status": "pending"}]})),
            tool("delegate_task", json!({"goal": task, "context": "The readme."})),
        ],
        Agent::OpenCode => [
            tool("read", json!({"filePath": file("README.md")})),
            tool("write", json!({"filePath": file("notes.txt"), "content": "one\ntwo\n"})),
            tool("edit", json!({"filePath": file("notes.txt"), "oldString": "two", "newString": "2"})),
            tool("read", json!({"filePath": file("missing.txt")})),
            // Its own tool for this downloads ripgrep first.
            shell("grep -rn Probe ."),
            tool(
                "todowrite",
                json!({"todos": [{"id": "1", "content": "Count", "status": "pending", "priority": "high"}]}),
            ),
            tool("task", json!({"description": "Count", "prompt": task, "subagent_type": "general"})),
        ],
        Agent::OpenClaw => [
            tool("read", json!({"path": "README.md"})),
            tool("write", json!({"path": "notes.txt", "content": "one\ntwo\n"})),
            tool("edit", json!({"path": "notes.txt", "edits": [{"oldText": "two", "newText": "2"}]})),
            tool("read", json!({"path": "missing.txt"})),
            shell("grep -rn Probe ."),
            tool("create_goal", json!({"objective": "Count the lines."})),
            tool("sessions_spawn", json!({"task": task})),
        ],
    };
    let [read, create, edit, missing, search, plan, delegate] = own;
    let mut steps = vec![
        ("read", read),
        ("create", create),
        ("edit", edit),
        ("list", shell("ls")),
        ("pipe", shell("cat README.md | tr a-z A-Z | wc -c")),
        ("fail", shell("sh -c 'exit 3'")),
        ("missing", missing),
        ("delete", shell("rm -rf data")),
        ("chmod", shell("chmod 777 README.md")),
        ("mcp", mcp),
        ("search", search),
        ("fetch", shell("curl -s ${LLM}/page")),
        ("plan", plan),
        ("delegate", delegate),
    ];
    steps.retain(|(_, call)| !call.is_null());
    if agent == Agent::Codex {
        let args = json!({"targets": ["${AGENT}"], "timeout_ms": 30_000});
        let wait = json!({"name": "wait_agent", "namespace": "multi_agent_v1", "args": args});
        steps.push(("wait", wait));
    }
    steps
}

/// The steps of the agent that the main agent starts.
fn sub_steps(agent: Agent, p: &str) -> Vec<Step> {
    let read = steps(agent, p).swap_remove(0).1;
    vec![("sub read", read), ("sub run", shell(agent, "wc -l README.md"))]
}

/// A call of the runtime's tool that runs a shell command.
pub fn shell(agent: Agent, command: &str) -> Value {
    match agent {
        Agent::ClaudeCode => json!({"name": "Bash", "args": {"command": command}}),
        Agent::Codex => json!({"name": "exec_command", "args": {"cmd": command}}),
        Agent::GeminiCli => json!({"name": "run_shell_command", "args": {"command": command}}),
        Agent::Hermes => json!({"name": "terminal", "args": {"command": command}}),
        Agent::OpenCode => json!({"name": "bash", "args": {"command": command, "description": "Run it"}}),
        Agent::OpenClaw => json!({"name": "exec", "args": {"command": command}}),
    }
}

/// What the model says: a step a turn, with its thoughts before the first one; the steps of these
/// names only, where some are given.
pub fn script(agent: Agent, p: &str, names: Option<&[&str]>) -> Value {
    let turn = |(name, call): Step| match name {
        "read" => json!({"thinking": "First look at the readme.", "text": "I will read the readme first.",
                         "tools": [call]}),
        "wait" => json!({"capture": {"AGENT": ["\"agent_id\":\"", "\""]}, "tools": [call]}),
        _ => json!({"tools": [call]}),
    };
    let track =
        |steps: Vec<Step>, last: Value| -> Vec<Value> { steps.into_iter().map(turn).chain([last]).collect() };
    let report = json!({"text": "It has three lines."});
    let sub_end = match agent {
        // Its sub-agents end by a tool.
        Agent::GeminiCli => {
            json!({"tools": [{"name": "complete_task", "args": {"result": {"response": "It has three lines."}}}]})
        }
        _ => report,
    };
    let mut main = steps(agent, p);
    main.retain(|(step, _)| names.is_none_or(|names| names.contains(step)));
    json!({
        "routes": [{"contains": "SUBTASK", "track": "sub"}],
        "tracks": {"main": track(main, json!({"text": "All steps are done."})),
                   "sub": track(sub_steps(agent, p), sub_end)},
    })
}

/// One policy beside a permission for all: nobody deletes `data`.
const POLICY: &str = r#"
@id("test/all") @reason("all else is allowed") @control("none")
permit (principal, action, resource);
@id("test/keep") @reason("the data folder is kept") @control("none")
forbid (principal, action == Action::"delete", resource is File) when { resource.file == "data" };
"#;

/// Puts the policy in force.
pub fn enforced(sandbox: &Sandbox) {
    sandbox.write("recorder/policies/test.cedar", POLICY);
    sandbox.write("recorder/config.toml", "mode = \"enforce\"\npolicies = [\"policies/\"]\n");
}

/// What one runtime did and what there is of it.
struct Session {
    sandbox: Sandbox,
    llm: ScriptedLlm,
    trail: Trail,
}

/// Runs the work, and waits until what the transcript adds is there.
fn work(agent: Agent) -> Session {
    let sandbox = Sandbox::new();
    enforced(&sandbox);
    let llm = ScriptedLlm::start(script(agent, sandbox.project.to_str().unwrap(), None));
    agent.set_up(&sandbox, &llm);
    let output = agent.run(&sandbox, &llm, "Please do the steps.");
    if env::var_os("SHOW").is_some() {
        println!("OUT {agent:?} {output:#?}");
        for request in llm.requests() {
            println!("REQ {} {}: {}", request.track, request.turn, request.body);
        }
        for call in llm.issued() {
            println!("TOLD {} {} {:?}", call.id, call.tool, llm.told(&call.id));
        }
    }
    assert!(output.status.success(), "{agent:?}: {output:?}");
    let trail = wait_for(&sandbox, &llm);
    if env::var_os("SHOW").is_some() {
        for record in &trail.0 {
            println!("REC {}", String::from_utf8(record.to_line()).unwrap());
        }
    }
    Session { sandbox, llm, trail }
}

/// The trail when it has an action and a result of every call, or when it has been waited for long
/// enough: the transcript adds to it after the agent has ended.
pub fn wait_for(sandbox: &Sandbox, llm: &ScriptedLlm) -> Trail {
    let deadline = Instant::now() + Duration::from_secs(15);
    let is_known = |result: Option<&Record>| matches!(result.map(|record| &record.body), Some(Body::Result(body)) if body.outcome != Outcome::Unknown);
    loop {
        let trail = sandbox.trail();
        let complete =
            calls(&trail, llm).iter().all(|(_, action, result)| action.is_some() && is_known(*result));
        if complete || Instant::now() > deadline {
            return trail;
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// Every call that the model asked for, with its action and its result.
pub fn calls<'t>(trail: &'t Trail, llm: &ScriptedLlm) -> Vec<(Call, Option<&'t Record>, Option<&'t Record>)> {
    let is_agents =
        |record: &&Record| record.agent.as_ref().is_some_and(|agent| !agent.runtime.starts_with("mcp:"));
    let actions: Vec<_> = trail.of(Kind::Action).filter(is_agents).collect();
    let is_unnamed = |record: &&&Record| record.tool_use_id().is_none_or(|id| id.starts_with("fdr:"));
    let mut unnamed: Vec<_> = actions.iter().filter(is_unnamed).copied().collect();
    let results: BTreeMap<_, _> =
        trail.of(Kind::Result).filter_map(|record| Some((record.link(Rel::ResultOf)?, record))).collect();
    llm.issued()
        .into_iter()
        .map(|call| {
            // Gemini CLI puts the tool's name before the model's id: `glob__call_main_00_0`.
            let is_named = |id: &str| id.rsplit_once("__").map_or(id, |(_, id)| id) == call.id;
            let named = actions.iter().filter(|record| record.tool_use_id().is_some_and(is_named));
            // A call that a frozen recorder hears of twice may have two actions.
            let told = named.clone().find(|record| results.contains_key(&record.id));
            let named = told.or_else(|| named.clone().next()).copied();
            let action = named.or_else(|| {
                let of_call = |record: &&Record| is_of(record, &call);
                let told = unnamed.iter().position(|r| of_call(r) && results.contains_key(&r.id));
                Some(unnamed.remove(told.or_else(|| unnamed.iter().position(of_call))?))
            });
            let result = action.and_then(|action| results.get(&action.id).copied());
            (call, action, result)
        })
        .collect()
}

/// Whether an action may be this call's, going by its tool, which may be an MCP server's under
/// another name, and by the command, if it is one.
fn is_of(record: &Record, call: &Call) -> bool {
    let Body::Action(body) = &record.body else { return false };
    let mcp = body.tool.rsplit_once("__").is_some_and(|(_, name)| call.tool.ends_with(name));
    let command = call.args["command"].as_str().unwrap_or_default();
    (body.tool == call.tool || mcp) && body.summary.contains(command)
}

/// What the table says of a step.
fn cell(session: &Session, action: Option<&Record>, result: Option<&Record>) -> String {
    let Some(action) = action else { return "no action".to_owned() };
    let Body::Action(body) = &action.body else { panic!("{action:?}") };
    let agents = session.trail.0.iter().filter_map(|record| Some(&*record.agent.as_ref()?.id));
    let neutral = |text: &str| {
        let text = text.replace(session.sandbox.project.to_str().unwrap(), ".");
        let text = text.replace(&session.llm.url(), "http://llm");
        agents.clone().fold(text, |text, id| text.replace(id, "ID"))
    };
    let each = |action: &fdr_record::Action| match (name(&action.action).as_str(), action.resource.as_str()) {
        // What kinds of agents there are is the runtime's business.
        ("delegate", resource) if resource.starts_with("agent:") => "delegate agent:KIND".to_owned(),
        (verb, resource) => format!("{verb} {}", neutral(resource)),
    };
    let mut done: Vec<_> = body.actions.iter().map(each).collect();
    done.dedup();
    let outcome = match result.map(|record| &record.body) {
        Some(Body::Result(result)) => {
            let code = result.exit_code.filter(|code| *code != 0);
            format!("{}{}", name(&result.outcome), code.map(|code| format!(" {code}")).unwrap_or_default())
        }
        _ => "no result".to_owned(),
    };
    format!("{} | {} | {outcome}", done.join(", "), name(&body.policy.decision))
}

/// A value of an enumeration as records spell it.
pub fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap_or_default().to_owned()
}

/// Name of the step that a call belongs to.
fn step_name(agent: Agent, call: &Call) -> String {
    let place: Vec<_> = call.id.rsplit('_').collect();
    let turn: usize = place[1].parse().unwrap();
    let steps = if call.track == "main" { steps(agent, "") } else { sub_steps(agent, "") };
    steps.get(turn).map_or_else(|| "sub end".to_owned(), |(name, _)| (*name).to_owned())
}

/// What holds for every call, whatever the runtime and whatever became of it.
fn check(agent: Agent, session: &Session) {
    let project = &session.sandbox.project;
    assert!(project.join("data/keep.txt").exists(), "{agent:?}: the policy held");
    for (call, action, result) in calls(&session.trail, &session.llm) {
        let action = action.unwrap_or_else(|| panic!("{agent:?}: no action of {call:?}"));
        let result = result.unwrap_or_else(|| panic!("{agent:?}: no result of {action:?}"));
        let Body::Result(body) = &result.body else { panic!("{result:?}") };
        assert_ne!(body.outcome, Outcome::Unknown, "{agent:?}: {result:?}");
        if body.outcome == Outcome::Denied {
            assert!(body.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{agent:?}: {result:?}");
        }
        let by = action.agent.as_ref().unwrap();
        assert_eq!(by.runtime, agent.name());
        // Gemini CLI's hooks do not tell a sub-agent from the agent that started it.
        if agent != Agent::GeminiCli {
            assert_eq!(by.parent.is_some(), call.track == "sub", "{agent:?}: {call:?} {by:?}");
        }
    }
    assert!(session.sandbox.fdr(&["verify"]).contains("INTACT"));
}

pub fn chosen() -> Vec<Agent> {
    let names = env::var("RUNTIMES").ok();
    let is_chosen =
        |agent: &Agent| names.as_ref().is_none_or(|names| names.split(',').any(|name| name == agent.name()));
    Agent::ALL.into_iter().filter(is_chosen).collect()
}

/// Lets each runtime do the work, two at a time, the slowest first.
fn work_of(agents: &[Agent]) -> BTreeMap<Agent, Session> {
    let (next, done) = (Mutex::new(agents.to_vec()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(agent) = next.lock().unwrap().pop() else { return };
                    let session = work(agent);
                    done.lock().unwrap().insert(agent, session);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn runtimes_that_do_the_same_work_leave_the_same_trail() {
    let sessions = work_of(&chosen());
    // Step by step, what is in each cell and in whose.
    let mut cells: Vec<(String, BTreeMap<Agent, String>)> = Vec::new();
    for (agent, session) in &sessions {
        for (call, action, result) in calls(&session.trail, &session.llm) {
            let (step, cell) = (step_name(*agent, &call), cell(session, action, result));
            if cells.iter().all(|(name, _)| *name != step) {
                cells.push((step.clone(), BTreeMap::new()));
            }
            cells.iter_mut().find(|(name, _)| *name == step).unwrap().1.insert(*agent, cell);
        }
    }
    let mut table = String::from("step | action and resource | decision | outcome | runtimes\n");
    let mut exceptions = Vec::new();
    for (step, of_agents) in &cells {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for agent in sessions.keys() {
            let cell = of_agents.get(agent).map_or("not asked for | - | -", |cell| cell);
            groups.entry(cell).or_default().push(agent.name());
        }
        // What most have is the rule, the rest are the exceptions.
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, whose)| std::cmp::Reverse(whose.len()));
        for (nth, (cell, whose)) in groups.iter().enumerate() {
            table += &format!("{step} | {cell} | {}\n", whose.join(" "));
            if nth > 0 {
                exceptions.extend(whose.iter().map(|runtime| (step.clone(), (*runtime).to_owned())));
            }
        }
    }
    println!("{table}");
    for (agent, session) in &sessions {
        check(*agent, session);
    }
    if sessions.len() < Agent::ALL.len() {
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/runtimes.golden");
    if env::var_os("UPDATE").is_some() {
        fs::write(&golden, &table).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    assert_eq!(table, expected, "UPDATE=1 writes it anew, if that is how it has to be");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runtimes.md");
    let docs = fs::read_to_string(docs).unwrap();
    for (step, runtime) in exceptions {
        let explains = |line: &str| {
            let mut columns = line.split('|').map(str::trim).skip(1);
            let is_step = columns.next().is_some_and(|column| column.split(", ").any(|name| name == step));
            is_step && columns.next().is_some_and(|column| column.split(", ").any(|name| name == runtime))
        };
        assert!(docs.lines().any(explains), "docs/runtimes.md does not explain {step} of {runtime}");
    }
}
