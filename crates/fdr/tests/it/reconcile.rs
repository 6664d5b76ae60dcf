//! What the sources of a session tell against each other is found, and nothing in a clean one.
//!
//! A session here is a script in the form of Claude Code's hooks, its transcript and an MCP server
//! behind the proxy, played to the real recorder; a [`Fault`] changes one thing of it.

use crate::program::{AGENT_MARKS, Program, hook};
use fdr_hook::client::Client;
use fdr_hook::wire::Request;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// What is done to a session; numbers are those of calls, in the order of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The event before the call is not heard.
    NoBefore(usize),
    /// The event after it is not.
    NoAfter(usize),
    /// No event of it is.
    NoEvents(usize),
    /// No event is, of this and the next two turns.
    NoHooks(usize),
    /// It runs with other arguments than those that were decided on.
    OtherArguments(usize),
    /// The transcript has other arguments.
    OtherArgumentsWritten(usize),
    /// The transcript has another result.
    OtherResultWritten(usize),
    /// The server gets other arguments.
    OtherArgumentsSent(usize),
    /// The server gives another result.
    OtherResultSent(usize),
    /// Nothing tells what came of it.
    NoOutcome(usize),
    /// After this call, a call that the agent did not make is told by the agent's process.
    Forged(usize),
    /// The same by a program of the same user.
    ForgedByAnother(usize),
    /// The same, of a sub-agent that there is not.
    ForgedSubagent(usize),
    /// After the end of the session.
    ForgedAfterEnd,
    /// The server gets a call that the agent does not tell of.
    CallOfServer(usize),
    /// The agent tells of a call that the server did not get.
    NoCallOfServer(usize),
    /// A letter of the transcript is changed after it was read.
    Edited(usize),
    /// The end of the transcript is cut off after it was read.
    CutOff,
    /// A line is put into the transcript after it was read.
    Inserted(usize),
    /// Events were spooled.
    Spooled(usize),
}

impl Fault {
    /// The names of which one at least is to be found.
    fn names(self) -> &'static [&'static str] {
        use Fault::*;
        match self {
            None => &[],
            NoBefore(_) | NoEvents(_) | CallOfServer(_) => &["executed_without_decision"],
            NoAfter(_) => &["after_hook_missing", "outcome_differs"],
            NoHooks(_) => &["hook_absent"],
            OtherArguments(_) | OtherArgumentsWritten(_) | OtherArgumentsSent(_) => &["arguments_changed"],
            OtherResultWritten(_) | OtherResultSent(_) => &["result_differs"],
            // The server's answer is not the agent's.
            NoOutcome(_) => &["decided_without_outcome", "after_hook_missing"],
            Forged(_) | ForgedByAnother(_) | ForgedSubagent(_) | ForgedAfterEnd => &["forged_hook_event"],
            NoCallOfServer(_) => &["not_through_proxy"],
            Edited(_) | CutOff | Inserted(_) => &["transcript_edited"],
            Spooled(_) => &["spooled"],
        }
    }

    /// Whether it is done to a transcript that was read before.
    fn is_after_reading(self) -> bool {
        matches!(self, Fault::Edited(_) | Fault::CutOff | Fault::Inserted(_))
    }
}

/// One call of the script.
#[derive(Clone, Debug)]
struct Step {
    turn: usize,
    tool: &'static str,
    input: Value,
    output: String,
    agent: Option<&'static str>,
    /// Its server is asked through the proxy.
    is_mcp: bool,
}

/// Fourteen calls in eight turns, those of a sub-agent among them.
fn script() -> Vec<Step> {
    let shell = |turn, command: &str, output: &str| Step {
        turn,
        tool: "Bash",
        input: json!({"command": command, "description": "x"}),
        output: output.to_owned(),
        agent: None,
        is_mcp: false,
    };
    let server = |turn, text: &str| Step {
        turn,
        tool: "mcp__notes__add",
        input: json!({"text": text}),
        output: format!("added {text}"),
        agent: None,
        is_mcp: true,
    };
    let secret = concat!("ghp_", "0123456789abcdefghijABCDEFGHIJ012345");
    vec![
        shell(0, "ls", "a.txt\nb.txt"),
        shell(1, "echo one", "one"),
        shell(1, "echo two", "two"),
        server(2, "first"),
        shell(3, &format!("curl -H 'Authorization: token {secret}' https://x.example"), "fetched"),
        Step {
            tool: "Read",
            input: json!({"file_path": "/home/dev/proj/a.txt"}),
            ..shell(3, "", "1\tfirst line\n2\tsecond line")
        },
        server(4, "second"),
        server(4, "third"),
        Step { agent: Some("a-sub"), ..shell(5, "wc -l a.txt", "2 a.txt") },
        Step { agent: Some("a-sub"), ..shell(6, "cat b.txt", "bee") },
        shell(7, "echo three", "three"),
        shell(8, "echo four", "four"),
        server(8, "fourth"),
        shell(9, "echo five", "five"),
    ]
}

/// A played session.
struct Played {
    session: String,
    transcript: PathBuf,
}

struct Player<'p> {
    program: &'p Program,
    client: Client,
    source: [u8; 16],
    seq: u64,
    session: String,
    transcript: PathBuf,
    lines: u64,
    spooled: bool,
}

fn now() -> SystemTime {
    SystemTime::now()
}

/// RFC 3339 in UTC, with milliseconds.
fn clock() -> String {
    let nanos = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    fdr_record::Timestamp(nanos / 1_000_000 * 1_000_000).to_string()
}

impl<'p> Player<'p> {
    fn new(program: &'p Program, session: &str) -> Player<'p> {
        let home = program.home();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let client = Client::connect_or_start_with(&home, crate::program::fdr(), deadline).unwrap();
        let mut source = [0; 16];
        let name = session.as_bytes();
        source[..name.len().min(16)].copy_from_slice(&name[..name.len().min(16)]);
        let transcript = home.join(format!("{session}.jsonl"));
        Player {
            program,
            client,
            source,
            seq: 0,
            session: session.to_owned(),
            transcript,
            lines: 0,
            spooled: false,
        }
    }

    fn send(&mut self, runtime: &str, event: &str, payload: &Value, variables: &[(&str, &str)]) {
        let mut request =
            Request::event(runtime, event, self.source, self.seq, payload.to_string().into_bytes());
        request.variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        if self.spooled {
            request.spooled = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        }
        self.seq += 1;
        let response = self.client.call(&request, None).unwrap();
        assert!(response.recorded, "{}", String::from_utf8_lossy(&response.stderr));
    }

    fn payload(&self, event: &str, agent: Option<&str>, more: Value) -> Value {
        let mut payload = json!({
            "session_id": self.session, "transcript_path": self.transcript, "cwd": "/home/dev/proj",
            "permission_mode": "default", "hook_event_name": event, "prompt_id": "p1",
        });
        let fields = payload.as_object_mut().unwrap();
        if let Some(agent) = agent {
            fields.insert("agent_id".into(), agent.into());
            fields.insert("agent_type".into(), "helper".into());
        }
        fields.extend(more.as_object().unwrap().clone());
        payload
    }

    fn hook(&mut self, event: &str, agent: Option<&str>, more: Value) {
        let payload = self.payload(event, agent, more);
        self.send("claude-code", event, &payload, &[]);
    }

    fn write(&mut self, agent: Option<&str>, entry: Value) {
        self.lines += 1;
        let mut entry = entry;
        let fields = entry.as_object_mut().unwrap();
        fields.insert("sessionId".into(), self.session.clone().into());
        fields.insert("uuid".into(), format!("{}-{}", self.session, self.lines).into());
        fields.insert("timestamp".into(), clock().into());
        fields.insert("cwd".into(), "/home/dev/proj".into());
        let mut path = self.transcript.clone();
        if let Some(agent) = agent {
            fields.insert("agentId".into(), agent.into());
            path = self.transcript.with_extension("").join("subagents");
            std::fs::create_dir_all(&path).unwrap();
            path.push(format!("agent-{agent}.jsonl"));
        }
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{entry}").unwrap();
    }

    fn server(&mut self, direction: &str, message: Value) {
        let (own, parent) = (format!("mcp-{}", self.session), self.session.clone());
        self.send(
            "mcp:notes-server",
            direction,
            &message,
            &[("FDR_MCP_SESSION", &own), ("CLAUDE_CODE_SESSION_ID", &parent)],
        );
    }

    /// A hook's own program, started by one that is not the agent.
    fn by_another_program(&self, event: &str, more: Value) {
        let payload = self.payload(event, None, more);
        let mut command = Command::new("find");
        command.args(["/", "-maxdepth", "0", "-exec"]).arg(hook()).args(["claude-code", event, "--home"]);
        command.arg(self.program.home()).arg(";").stdin(Stdio::piped());
        for mark in AGENT_MARKS {
            command.env_remove(mark);
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

fn play(program: &Program, session: &str, fault: Fault) -> Played {
    use Fault::*;
    let steps = script();
    let mut player = Player::new(program, session);
    player.hook("SessionStart", Option::None, json!({"source": "startup"}));
    player.server("start", json!({}));
    player.hook("UserPromptSubmit", Option::None, json!({"prompt": "Please do the steps."}));
    player.write(Option::None, json!({"type": "user", "promptId": "p1", "message": {"role": "user", "content": "Please do the steps."}}));
    let turns = steps.last().unwrap().turn;
    let mut subagent_runs = false;
    for turn in 0..=turns {
        let of_turn: Vec<(usize, &Step)> =
            steps.iter().enumerate().filter(|(_, step)| step.turn == turn).collect();
        let agent = of_turn[0].1.agent;
        if agent.is_some() != subagent_runs {
            subagent_runs = agent.is_some();
            let event = if subagent_runs { "SubagentStart" } else { "SubagentStop" };
            player.hook(event, Some("a-sub"), json!({}));
        }
        for (number, step) in &of_turn {
            let mut input = step.input.clone();
            if fault == OtherArgumentsWritten(*number) {
                input = changed(&input);
            }
            let id = format!("toolu_{session}_{number}");
            player.write(
                step.agent,
                json!({"type": "assistant", "message": {"id": format!("msg_{session}_{turn}"),
                "role": "assistant", "model": "claude-x",
                "content": [{"type": "tool_use", "id": id, "name": step.tool, "input": input}]}}),
            );
        }
        let mut batch = Vec::new();
        for (number, step) in &of_turn {
            let id = format!("toolu_{session}_{number}");
            let is = |with: fn(usize) -> Fault| fault == with(*number);
            let silent = is(NoEvents) || matches!(fault, NoHooks(from) if (from..from + 3).contains(&turn));
            player.spooled = is(Spooled);
            let call =
                |input: &Value| json!({"tool_name": step.tool, "tool_input": input, "tool_use_id": id});
            if !silent && !is(NoBefore) {
                player.hook("PreToolUse", step.agent, call(&step.input));
            }
            if step.is_mcp && !is(NoCallOfServer) {
                let input = if is(OtherArgumentsSent) { changed(&step.input) } else { step.input.clone() };
                player.server(
                    "client",
                    json!({"jsonrpc": "2.0", "id": number, "method": "tools/call",
                    "params": {"name": "add", "arguments": input}}),
                );
                let output = if is(OtherResultSent) { "not added".to_owned() } else { step.output.clone() };
                player.server(
                    "server",
                    json!({"jsonrpc": "2.0", "id": number,
                    "result": {"content": [{"type": "text", "text": output}]}}),
                );
            }
            if !silent && !is(NoAfter) && !is(NoOutcome) {
                let mut event =
                    call(&if is(OtherArguments) { changed(&step.input) } else { step.input.clone() });
                event["tool_response"] = match step.tool {
                    "Bash" => json!({"stdout": step.output, "stderr": "", "interrupted": false}),
                    "Read" => {
                        json!({"type": "text", "file": {"content": "first line\nsecond line\n", "numLines": 2}})
                    }
                    _ => json!([{"type": "text", "text": step.output}]),
                };
                player.hook("PostToolUse", step.agent, event);
            }
            if !silent && !is(NoOutcome) {
                batch.push(json!({"tool_name": step.tool, "tool_input": step.input, "tool_use_id": id,
                                  "tool_response": step.output}));
            }
            player.spooled = false;
        }
        if !batch.is_empty() {
            player.hook("PostToolBatch", agent, json!({"tool_calls": batch}));
        }
        for (number, step) in &of_turn {
            if fault == NoOutcome(*number) {
                continue;
            }
            let id = format!("toolu_{session}_{number}");
            let output = match fault == OtherResultWritten(*number) {
                true => format!("{} and more", step.output),
                false => step.output.clone(),
            };
            player.write(
                step.agent,
                json!({"type": "user", "promptId": "p1", "message": {"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": id, "content": output}]}}),
            );
        }
        for (number, _) in &of_turn {
            let call = json!({"tool_name": "Bash", "tool_input": {"command": "echo forged"},
                              "tool_use_id": format!("toolu_{session}_forged")});
            let mut done = call.clone();
            done["tool_response"] = json!({"stdout": "forged", "stderr": "", "interrupted": false});
            if fault == Forged(*number) || fault == ForgedSubagent(*number) {
                let agent = (fault == ForgedSubagent(*number)).then_some("a-ghost");
                player.hook("PreToolUse", agent, call);
                player.hook("PostToolUse", agent, done);
            } else if fault == ForgedByAnother(*number) {
                player.by_another_program("PreToolUse", call);
                player.by_another_program("PostToolUse", done);
            } else if fault == CallOfServer(*number) {
                player.server(
                    "client",
                    json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call",
                    "params": {"name": "add", "arguments": {"text": "hidden"}}}),
                );
                player.server("server", json!({"jsonrpc": "2.0", "id": "x", "result": {"content": []}}));
            }
        }
    }
    player.write(
        Option::None,
        json!({"type": "assistant", "message": {"id": format!("msg_{session}_end"), "role": "assistant",
        "content": [{"type": "text", "text": "Done."}]}}),
    );
    player.hook("Stop", Option::None, json!({"last_assistant_message": "Done."}));
    player.hook("SessionEnd", Option::None, json!({"reason": "other"}));
    if fault == ForgedAfterEnd {
        player.hook(
            "PreToolUse",
            Option::None,
            json!({"tool_name": "Bash", "tool_input": {"command": "echo late"},
            "tool_use_id": format!("toolu_{session}_late")}),
        );
    }
    player.server("exit", json!({"code": 0}));
    Played { session: session.to_owned(), transcript: player.transcript }
}

/// Other arguments of the same form.
fn changed(input: &Value) -> Value {
    let mut input = input.clone();
    for value in input.as_object_mut().unwrap().values_mut() {
        if let Value::String(text) = value {
            text.push_str(" --force");
        }
    }
    input
}

fn edit(played: &Played, fault: Fault) {
    let text = std::fs::read_to_string(&played.transcript).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match fault {
        Fault::Edited(number) => {
            let at = number % lines.len();
            let middle = lines[at].find("\"timestamp\":\"20").unwrap() + 13;
            lines[at].replace_range(middle..middle + 2, "19");
        }
        Fault::CutOff => lines.truncate(lines.len() - 2),
        Fault::Inserted(number) => {
            let at = number % lines.len();
            lines.insert(at, lines[at].replace("uuid", "uuid2"));
        }
        _ => return,
    }
    let mut text = String::new();
    lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    std::fs::write(&played.transcript, text).unwrap();
}

/// What `fdr reconcile` says, with its exit status.
fn reconcile(program: &Program, session: &str) -> (Option<i32>, Value) {
    let output = program.fdr(&["reconcile", session, "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let said = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), said)
}

fn names(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|finding| finding["name"].as_str().unwrap()).collect()
}

/// Plays a session with a fault and checks what is found.
fn check(program: &Program, session: &str, fault: Fault, import: bool) {
    let played = play(program, session, fault);
    if import || fault.is_after_reading() {
        program.ok(&["import", "claude-code", played.transcript.to_str().unwrap()]);
    }
    edit(&played, fault);
    let (status, said) = reconcile(program, &played.session);
    let found = names(&said);
    let wanted = fault.names();
    let told = format!("{fault:?}, imported: {import}, found: {found:?}\n{said:#}");
    assert_eq!(status, Some(i32::from(!wanted.is_empty())), "{told}");
    match wanted {
        [] => assert!(found.is_empty(), "{told}"),
        wanted => assert!(wanted.iter().any(|name| found.contains(name)), "{told}"),
    }
    if fault == Fault::None {
        assert_eq!(said["completeness"]["actions"], 14, "{told}");
        assert_eq!(said["completeness"]["confirmed"], 14, "{told}");
        assert_eq!(said["completeness"]["without_outcome"], 0, "{told}");
    }
    for finding in said["findings"].as_array().unwrap() {
        let has_place = !finding["records"].as_array().unwrap().is_empty()
            || !finding["transcript"].as_array().unwrap().is_empty();
        assert!(has_place, "{finding}");
    }
}

#[test]
fn nothing_is_found_in_a_clean_session_whether_its_transcript_was_read_or_not() {
    let program = Program::new();
    check(&program, "clean-unread", Fault::None, false);
    check(&program, "clean-read", Fault::None, true);
    let shown = program.ok(&["show", "clean-read"]);
    assert!(
        shown.contains(
            "14 of 14 actions, confirmed by 2 sources or more (hook, transcript, proxy); no finding"
        ),
        "{shown}"
    );
    let shown = program.ok(&["show", "clean-unread"]);
    assert!(shown.contains("no finding"), "{shown}");
}

#[test]
fn what_ran_although_it_was_refused_is_found() {
    let program = Program::with_config("mode = 'enforce'\n");
    for told_by_hook in [true, false] {
        let session = format!("against-{told_by_hook}");
        let mut player = Player::new(&program, &session);
        player.hook("SessionStart", None, json!({"source": "startup"}));
        let call =
            json!({"tool_name": "Bash", "tool_input": {"command": "rm -rf /"}, "tool_use_id": "toolu_1"});
        player.write(None, json!({"type": "assistant", "message": {"id": "msg_1", "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "rm -rf /"}}]}}));
        player.hook("PreToolUse", None, call.clone());
        if told_by_hook {
            let mut ran = call;
            ran["tool_response"] = json!({"stdout": "gone", "stderr": "", "interrupted": false});
            player.hook("PostToolUse", None, ran);
        }
        player.write(
            None,
            json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "gone"}]}}),
        );
        player.hook("SessionEnd", None, json!({"reason": "other"}));
        let (status, said) = reconcile(&program, &session);
        assert_eq!((status, names(&said)), (Some(1), vec!["executed_against_decision"]), "{said:#}");
    }
}

#[test]
fn a_call_that_the_transcript_told_first_is_decided_on_and_no_finding() {
    let program = Program::with_config("mode = 'enforce'\n");
    let mut player = Player::new(&program, "first");
    player.hook("SessionStart", None, json!({"source": "startup"}));
    let call = json!({"tool_name": "Bash", "tool_input": {"command": "rm -rf /"}, "tool_use_id": "toolu_1"});
    player.write(None, json!({"type": "assistant", "message": {"id": "msg_1", "role": "assistant",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "rm -rf /"}}]}}));
    program.ok(&["import", "claude-code", player.transcript.to_str().unwrap()]);
    let payload = player.payload("PreToolUse", None, call);
    let request = Request::event("claude-code", "PreToolUse", [9; 16], 0, payload.to_string().into_bytes());
    let response = player.client.call(&request, None).unwrap();
    let reply = String::from_utf8_lossy(&response.stdout).into_owned();
    assert!(reply.contains("\"deny\""), "a transcript must not be quicker than the policy: {reply}");
    player.write(
        None,
        json!({"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "denied", "is_error": true}]}}),
    );
    player.hook(
        "PostToolBatch",
        None,
        json!({"tool_calls": [{"tool_name": "Bash", "tool_use_id": "toolu_1",
        "tool_input": {"command": "rm -rf /"}, "tool_response": "denied"}]}),
    );
    player.hook("SessionEnd", None, json!({"reason": "other"}));
    let (status, said) = reconcile(&program, "first");
    assert_eq!((status, names(&said)), (Some(0), vec![]), "{said:#}");
    assert_eq!(said["completeness"]["actions"], 1, "{said:#}");
}

/// A generator of pseudorandom numbers (Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators"), so that a failing case plays again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

#[test]
fn any_single_fault_at_any_place_is_found() {
    use Fault::*;
    let cases = std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    let mut random = Random(seed | 1);
    let program = Program::new();
    let steps = script();
    for case in 0..cases {
        let number = random.below(steps.len());
        let server = loop {
            let number = random.below(steps.len());
            if steps[number].is_mcp {
                break number;
            }
        };
        // Of the reading of a file, the hook is told another form than the model.
        let fault = match random.below(19) {
            0 => NoBefore(number),
            1 => NoAfter(number),
            2 => NoEvents(number),
            3 => NoHooks(random.below(7)),
            4 => OtherArguments(number),
            5 => OtherArgumentsWritten(number),
            6 => OtherResultWritten(number),
            7 => OtherArgumentsSent(server),
            8 => OtherResultSent(server),
            9 => NoOutcome(number),
            10 => Forged(number),
            11 => ForgedByAnother(number),
            12 => ForgedSubagent(number),
            13 => ForgedAfterEnd,
            14 => CallOfServer(number),
            15 => NoCallOfServer(server),
            16 => Edited(random.below(20)),
            17 => Inserted(random.below(20)),
            _ => Spooled(number),
        };
        let import = random.below(2) == 0;
        println!("SEED={seed} case {case}: {fault:?}, imported: {import}");
        check(&program, &format!("r{case}"), fault, import);
    }
}

#[test]
fn each_fault_is_found() {
    use Fault::*;
    let program = Program::new();
    let faults = [
        NoBefore(1),
        NoAfter(0),
        NoEvents(10),
        NoHooks(2),
        NoHooks(5),
        OtherArguments(1),
        OtherArgumentsWritten(4),
        OtherResultWritten(5),
        OtherArgumentsSent(3),
        OtherResultSent(6),
        NoOutcome(9),
        Forged(4),
        ForgedByAnother(2),
        ForgedSubagent(3),
        ForgedAfterEnd,
        CallOfServer(4),
        NoCallOfServer(6),
        Edited(7),
        CutOff,
        Inserted(3),
        Spooled(1),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        check(&program, &format!("f{number}"), fault, number % 2 == 0);
    }
}
