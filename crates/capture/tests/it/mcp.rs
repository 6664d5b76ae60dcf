//! A real session with `@modelcontextprotocol/server-everything`, and input that is not one.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, State, mcp};
use fdr_record::{
    Body, ContentKey, Env, Kind, MAX_BYTES, Mode, Observed, Outcome, Record, RecordId, Rel, Status,
    Timestamp, Verdict,
};
use serde::Deserialize;
use serde_json::value::RawValue;

const SESSION: &str = "6f0d1c1e-7a43-4f0e-9d4b-0b5f1f3c2a11";

/// One step of a session: who speaks, and what is said.
type Step = (&'static str, String);

struct Recorder {
    key: ContentKey,
    state: State,
    server: String,
    mode: Mode,
    now: u64,
    records: Vec<Record>,
    last: Captured,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            key: ContentKey::new([7; 32]),
            state: State::default(),
            server: "everything".to_owned(),
            mode: Mode::Observe,
            now: 1_795_524_862_000_000_000,
            records: Vec::new(),
            last: Captured::default(),
        }
    }
}

impl Recorder {
    fn take(&mut self, direction: &str, line: impl AsRef<[u8]>) -> Vec<Record> {
        self.now += 3_000_000;
        let arrival = Arrival {
            now: Timestamp(self.now),
            mono: self.now,
            observed: Observed { uid: Some(1000), ..Observed::default() },
            env: Env { cwd: Some("/home/dev/proj".to_owned()), ..Env::default() },
            variables: vec![
                ("CLAUDE_CODE_SESSION_ID".to_owned(), "73ab4c72".to_owned()),
                ("FDR_MCP_SESSION".to_owned(), SESSION.to_owned()),
            ],
            home: "/home/dev".to_owned(),
            mode: self.mode,
            ..bare_arrival(&self.key)
        };
        self.last = mcp::message(&self.server, direction, line.as_ref(), &arrival, &mut self.state);
        for record in &self.last.records {
            let line = record.to_line();
            assert!(line.len() <= MAX_BYTES, "{} bytes", line.len());
            assert_eq!(Record::parse(&line).unwrap(), *record);
            assert_eq!(record.seq, self.records.len() as u64);
            assert!(record.content.iter().any(|content| content.role == "raw"));
            assert_eq!(record.claimed.as_ref().unwrap().source, "mcp-proxy");
            assert_eq!(record.session.as_deref(), Some(SESSION));
            self.records.push(record.clone());
        }
        self.last.records.clone()
    }

    /// The only record that came of it.
    fn one(&mut self, direction: &str, line: impl AsRef<[u8]>) -> Record {
        let records = self.take(direction, line);
        assert_eq!(records.len(), 1, "{records:#?}");
        records.into_iter().next().unwrap()
    }

    /// A recorder that was started anew and has read the log.
    fn restart(self) -> Recorder {
        let mut state = State::default();
        for record in &self.records {
            state.observe(&Record::parse(&record.to_line()).unwrap());
        }
        Recorder { state, ..self }
    }

    fn content(&self, role: &str) -> String {
        let reference = self
            .last
            .records
            .iter()
            .flat_map(|record| &record.content)
            .find(|content| content.role == role)
            .unwrap();
        let content = self.last.contents.iter().find(|content| {
            let (again, _) = self.key.seal(SESSION, role, "", content.bytes.clone());
            again.digest == reference.digest
        });
        String::from_utf8_lossy(&content.unwrap().bytes).into_owned()
    }
}

fn transcript() -> Vec<Step> {
    #[derive(Deserialize)]
    struct Line<'a> {
        from: &'a str,
        #[serde(borrow)]
        message: &'a RawValue,
    }
    let mut steps = vec![("start", r#"{"command":["server"],"pid":1,"name":null}"#.to_owned())];
    for line in include_str!("../data/mcp.jsonl").lines() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let from = if line.from == "client" { "client" } else { "server" };
        steps.push((from, line.message.get().to_owned()));
    }
    steps.push(("exit", r#"{"code":0,"signal":null}"#.to_owned()));
    steps
}

/// A record in one line, and which earlier one it belongs to.
fn shown(record: &Record, all: &[Record]) -> String {
    let number = |id: RecordId| all.iter().position(|other| other.id == id).unwrap();
    let links: String =
        record.links.iter().map(|link| format!(" {:?}={}", link.rel, number(link.id))).collect();
    let cut = |text: &str| text.chars().take(60).collect::<String>();
    let text = match &record.body {
        Body::Action(body) => {
            let actions: Vec<String> =
                body.actions.iter().map(|action| format!("{} {}", action.action, action.resource)).collect();
            format!("{} [{}]", body.tool, actions.join(", "))
        }
        Body::Result(body) => {
            let text = body.preview.as_deref().or(body.reason.as_deref()).unwrap_or_default();
            format!("{} {} {}", body.tool, body.outcome.as_str(), cut(text))
        }
        Body::Context(body) => format!("{} {}", body.what, cut(body.preview.as_deref().unwrap_or_default())),
        Body::Message(body) => cut(&body.preview),
        Body::ConfigChange(body) => format!("{} {}", body.what, body.detail.as_deref().unwrap_or_default()),
        Body::ApprovalRequest(body) | Body::ApprovalGrant(body) | Body::ApprovalDeny(body) => {
            format!("{} {} {}", body.tool, cut(&body.summary), body.reason.as_deref().unwrap_or_default())
        }
        Body::Decision(body) => body.stated.clone().unwrap_or_default(),
        Body::SessionEnd(body) => format!("{} {} {}", body.status.as_str(), body.actions, body.denied),
        Body::SessionStart(body) => body.source.clone().unwrap_or_default(),
        Body::Unparsed(body) => cut(&body.reason),
        other => format!("{other:?}"),
    };
    format!("{:2} {} {}{links}", record.seq, record.kind, text.replace('\n', " ")).trim_end().to_owned()
}

#[test]
fn a_real_session_is_told_as_it_was() {
    let mut recorder = Recorder::default();
    for (direction, line) in transcript() {
        recorder.take(direction, line);
    }
    let lines: Vec<String> = recorder.records.iter().map(|record| shown(record, &recorder.records)).collect();
    let told = lines.join("\n") + "\n";
    let expected = include_str!("../data/mcp.expected.txt");
    if told != expected && std::env::var_os("UPDATE_EXPECTED").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mcp.expected.txt");
        std::fs::write(path, &told).unwrap();
    }
    assert_eq!(told, expected, "UPDATE_EXPECTED=1 writes the new text");
    for record in &recorder.records {
        let agent = record.agent.as_ref().unwrap();
        assert_eq!((agent.runtime.as_str(), agent.parent.as_deref()), ("mcp:everything", Some("73ab4c72")));
        if let Body::Action(body) = &record.body {
            assert_eq!(body.policy.decision, Verdict::Permit);
            assert_eq!(body.policy.reason, "no policy set is loaded");
            assert!(body.runtime_decision.is_none());
        }
    }
}

#[test]
fn a_recorder_that_restarts_at_any_point_tells_the_same() {
    let mut whole = Recorder::default();
    for (direction, line) in transcript() {
        whole.take(direction, line);
    }
    let mut broken = Recorder::default();
    for (direction, line) in transcript() {
        broken = broken.restart();
        broken.take(direction, line);
    }
    let tell = |recorder: &Recorder| -> Vec<String> {
        recorder.records.iter().map(|record| shown(record, &recorder.records)).collect()
    };
    assert_eq!(tell(&broken), tell(&whole));
}

fn call(id: &str, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

fn with_tools(tools: &str) -> Recorder {
    let mut recorder = Recorder::default();
    recorder.take("client", r#"{"id":0,"method":"tools/list"}"#);
    let list = recorder.one("server", format!(r#"{{"id":0,"result":{{"tools":{tools}}}}}"#));
    assert_eq!(list.kind, Kind::Context);
    assert_eq!(recorder.content("text"), tools);
    recorder
}

/// What a call means: its actions in words, and what is not known of it.
fn meaning(record: &Record) -> (Vec<String>, String, bool) {
    let Body::Action(body) = &record.body else { panic!("{record:?}") };
    let actions = body.actions.iter().map(|action| format!("{} {}", action.action, action.resource));
    (actions.collect(), body.opaque.join("; "), body.destructive)
}

#[test]
fn the_servers_hints_decide_what_a_call_means_and_the_record_says_whose_they_are() {
    let mut recorder = with_tools(
        r#"[{"name":"look","annotations":{"readOnlyHint":true,"destructiveHint":true}},{"name":"wipe","annotations":{"readOnlyHint":false,"destructiveHint":true}},{"name":"put","annotations":{"readOnlyHint":false}},{"name":"plain"},{"name":"wipe (read-only), plain","annotations":{"readOnlyHint":true}}]"#,
    )
    .restart();
    let arguments = r#"{"path":"../a","uri":"https://h/x","source":"a word","query":"/not/looked/at"}"#;
    let look = meaning(&recorder.one("client", call("1", "look", arguments)));
    assert_eq!(look.0, ["read mcp:everything/look", "read file:/home/dev/a", "network url:https://h/x"]);
    assert!(look.1.contains("the server's own word"), "{}", look.1);
    assert!(!look.2);
    let wipe = meaning(&recorder.one("client", call("2", "wipe", arguments)));
    assert_eq!(wipe.0, ["execute mcp:everything/wipe", "write file:/home/dev/a", "send url:https://h/x"]);
    assert!(wipe.2);
    assert!(!meaning(&recorder.one("client", call("3", "put", "{}"))).2);
    let plain = meaning(&recorder.one("client", call("4", "plain", arguments)));
    assert_eq!(plain.0, ["execute mcp:everything/plain"]);
    assert!(
        plain.1.contains("the arguments name file:/home/dev/a; what is done with it is not known"),
        "{}",
        plain.1
    );
    let files = r#"{"paths":["/a","~/b","file:///c/../d"],"destination":"./e"}"#;
    let look = meaning(&recorder.one("client", call("5", "look", files)));
    assert_eq!(
        look.0[1..],
        ["read file:/a", "read file:/home/dev/b", "read file:/d", "read file:/home/dev/proj/e"]
    );
    // A list in pages adds to what is known; a tool that lost its hints is not known any more.
    recorder.take("client", r#"{"id":9,"method":"tools/list"}"#);
    recorder.take("server", r#"{"id":9,"result":{"tools":[{"name":"look"}]}}"#);
    assert_eq!(meaning(&recorder.one("client", call("6", "look", "{}"))).0, ["execute mcp:everything/look"]);
    assert!(meaning(&recorder.one("client", call("7", "wipe", "{}"))).2);
}

#[test]
fn an_agents_own_hook_is_read_with_what_the_server_told_the_proxy() {
    let mut recorder = with_tools(
        r#"[{"name":"look","annotations":{"readOnlyHint":true}},{"name":"wipe","annotations":{"destructiveHint":true}},{"name":"plain"}]"#,
    );
    let mut hook = |tool: &str| {
        let payload = format!(
            r#"{{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"mcp__{tool}","tool_use_id":"{tool}","tool_input":{{"path":"/a"}}}}"#
        );
        let arrival = bare_arrival(&recorder.key);
        let claude = fdr_capture::runtime("claude-code").expect("a runtime");
        let captured = (claude.hook)("PreToolUse", payload.as_bytes(), &arrival, &mut recorder.state);
        meaning(&captured.records[0])
    };
    let look = hook("everything__look");
    assert_eq!(look.0, ["read mcp:everything/look"]);
    assert!(look.1.contains("the server's own word") && !look.2, "{}", look.1);
    let wipe = hook("everything__wipe");
    assert!(wipe.0 == ["execute mcp:everything/wipe"] && wipe.2, "{wipe:?}");
    assert!(!hook("everything__plain").2);
    // Another server of which the proxy knows nothing.
    assert_eq!(hook("other__look").0, ["execute mcp:other/look"]);
}

#[test]
fn an_answer_is_paired_by_the_asking_side_and_the_exact_id() {
    let mut recorder = Recorder::default();
    let number = recorder.one("client", call("1", "a", "{}"));
    let text = recorder.one("client", call("\"1\"", "b", "{}"));
    let asked =
        recorder.one("server", r#"{"id":1,"method":"elicitation/create","params":{"message":"sure?"}}"#);
    assert_eq!(number.tool_use_id(), Some("mcp:1"));
    assert_eq!(text.tool_use_id(), Some("mcp:\"1\""));
    let result = recorder.one("server", r#"{"id":"1","result":{"content":[]}}"#);
    assert_eq!((result.link(Rel::ResultOf), result.tool_use_id()), (Some(text.id), Some("mcp:\"1\"")));
    let grant = recorder.one("client", r#"{"id":1,"result":{"action":"accept"}}"#);
    assert_eq!((grant.kind, grant.link(Rel::Approves)), (Kind::ApprovalGrant, Some(asked.id)));
    let result = recorder.one("server", r#"{"id":1,"result":{"content":[],"isError":true}}"#);
    assert_eq!(result.link(Rel::ResultOf), Some(number.id));
    let Body::Result(body) = &result.body else { panic!("{result:?}") };
    assert_eq!((body.outcome, body.tool.as_str(), body.duration_ms), (Outcome::Error, "a", Some(15)));
    // Answered once, it is not open any more.
    let again = recorder.one("server", r#"{"id":1,"result":{}}"#);
    assert_eq!((again.kind, again.links.len()), (Kind::Message, 0));
}

#[test]
fn outcomes_are_those_that_the_messages_say() {
    for (direction, answer, outcome) in [
        ("server", r#"{"id":1,"result":{"content":[{"type":"text","text":"x"}]}}"#, Outcome::Ok),
        ("server", r#"{"id":1,"result":{"isError":true}}"#, Outcome::Error),
        ("server", r#"{"id":1,"error":{"code":-32603,"message":"x"}}"#, Outcome::Error),
        ("server", r#"{"id":1,"error":{"code":-32602,"message":"x"}}"#, Outcome::Rejected),
        ("server", r#"{"id":1,"error":"no object"}"#, Outcome::Error),
        ("server", r#"{"id":1,"result":{"task":{"taskId":"t","status":"working"}}}"#, Outcome::Unknown),
        ("refused", r#"{"id":1,"error":{"code":-32000,"message":"no recorder"}}"#, Outcome::Denied),
    ] {
        let mut recorder = Recorder::default();
        recorder.one("client", call("1", "a", "{}"));
        let result = recorder.one(direction, answer);
        let Body::Result(body) = &result.body else { panic!("{result:?}") };
        assert_eq!(body.outcome, outcome, "{answer}");
    }
}

#[test]
fn a_cancelled_call_is_interrupted_and_may_still_be_answered() {
    let mut recorder = Recorder::default();
    let action = recorder.one("client", call("7", "slow", "{}"));
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":7,"reason":"enough"}}"#;
    let records = recorder.take("client", cancel);
    assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [Kind::Message, Kind::Result]);
    let Body::Result(body) = &records[1].body else { panic!("{records:?}") };
    assert_eq!((body.outcome, body.reason.as_deref()), (Outcome::Interrupted, Some("enough")));
    let late = recorder.restart().one("server", r#"{"id":7,"result":{"content":[]}}"#);
    assert_eq!(late.link(Rel::ResultOf), Some(action.id));
}

#[test]
fn the_end_says_how_the_server_ended() {
    for (exit, status) in [
        (r#"{"code":0,"signal":null}"#, Status::Success),
        (r#"{"code":3,"signal":null}"#, Status::Failed),
        (r#"{"code":null,"signal":9}"#, Status::Interrupted),
        (r#"{"code":null,"signal":15,"forwarded":15}"#, Status::Success),
        ("?", Status::Unknown),
    ] {
        let end = Recorder::default().one("exit", exit);
        let Body::SessionEnd(body) = &end.body else { panic!("{end:?}") };
        assert_eq!(body.status, status, "{exit}");
    }
    let mut recorder = Recorder::default();
    recorder.one("client", call("1", "a", "{}"));
    recorder.one("refused", r#"{"id":1,"error":{"code":-32000,"message":"no"}}"#);
    let end = recorder.one("exit", r#"{"code":0,"signal":null}"#);
    let Body::SessionEnd(body) = &end.body else { panic!("{end:?}") };
    assert_eq!((body.status, body.actions, body.denied), (Status::Denied, 1, 1));
}

#[test]
fn a_batch_is_read_message_by_message() {
    let mut recorder = Recorder::default();
    let batch = format!("[{},{},5,{{}}]", call("1", "a", "{}"), r#"{"method":"notifications/initialized"}"#);
    let kinds: Vec<Kind> = recorder.take("client", batch).iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Action, Kind::Message, Kind::Unparsed, Kind::Unparsed]);
    let huge = format!("[{}]", vec!["{}"; 1000].join(","));
    assert_eq!(recorder.one("client", huge).kind, Kind::Unparsed);
    assert_eq!(recorder.one("client", "[]").kind, Kind::Unparsed);
}

#[test]
fn what_is_no_message_is_kept_with_the_reason() {
    for bad in [
        &b"hello"[..],
        b"",
        b"5",
        b"\"text\"",
        b"{",
        b"{}",
        b"{\"id\":1}",
        b"{\"method\":5}",
        b"{\"method\":\"ping\",\"method\":\"tools/call\"}",
        b"{\"method\":\"\xff\"}",
        b"[",
    ] {
        let mut recorder = Recorder { mode: Mode::Enforce, ..Recorder::default() };
        let record = recorder.one("client", bad);
        assert_eq!(record.kind, Kind::Unparsed, "{}", String::from_utf8_lossy(bad));
        // Enforced, nothing passes that nobody could judge.
        assert!(recorder.last.refused.is_some());
        assert_eq!(recorder.one("server", bad).kind, Kind::Unparsed);
        assert!(recorder.last.refused.is_none());
    }
    assert_eq!(Recorder::default().one("client.part", "{\"x\":").kind, Kind::Unparsed);
    assert_eq!(Recorder::default().one("sideways", "{}").kind, Kind::Unparsed);
}

#[test]
fn a_record_stays_small_whatever_it_is_about() {
    let huge = "x\\u0000\\\"é".repeat(40_000);
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1".to_owned() + &"}".repeat(100_000));
    let paths = vec![format!("\"/{}\"", "\\\"".repeat(400)); 5_000].join(",");
    let tools: Vec<String> = (0..5_000)
        .map(|n| format!(r#"{{"name":"tool-{n}-{}","annotations":{{"readOnlyHint":true}}}}"#, "x".repeat(90)))
        .collect();
    let lines = [
        (
            "client",
            call(
                "1",
                &huge,
                &format!("{{\"path\":\"{huge}\",\"paths\":[{paths}],\"url\":\"http://{huge}\"}}"),
            ),
        ),
        ("client", call(&format!("\"{huge}\""), "a", "{}")),
        ("client", format!(r#"{{"id":2,"method":"{huge}","params":{{"name":"{huge}","uri":"{huge}"}}}}"#)),
        ("client", format!(r#"{{"id":3,"method":"resources/read","params":{{"uri":"{huge}"}}}}"#)),
        ("client", r#"{"id":4,"method":"tools/list"}"#.to_owned()),
        ("client", r#"{"id":5,"method":"initialize"}"#.to_owned()),
        ("client", r#"{"id":6,"method":"prompts/get"}"#.to_owned()),
        ("client", deep.clone()),
        ("server", format!(r#"{{"id":1,"result":{{"content":[{{"type":"text","text":"{huge}"}}]}}}}"#)),
        ("server", format!(r#"{{"id":2,"error":{{"code":1,"message":"{huge}"}}}}"#)),
        ("server", format!(r#"{{"id":4,"result":{{"tools":[{}]}}}}"#, tools.join(","))),
        (
            "server",
            format!(
                r#"{{"id":5,"result":{{"protocolVersion":"{huge}","instructions":"{huge}","serverInfo":{{"name":"{huge}","version":"{huge}"}}}}}}"#
            ),
        ),
        ("server", format!(r#"{{"id":6,"result":{{"messages":[{{"content":{{"text":"{huge}"}}}}]}}}}"#)),
        ("server", format!(r#"{{"id":7,"method":"elicitation/create","params":{{"message":"{huge}"}}}}"#)),
        ("client", format!(r#"{{"id":7,"result":{{"action":"{huge}","content":"{huge}"}}}}"#)),
        ("server", format!(r#"{{"method":"notifications/message","params":{{"data":"{huge}"}}}}"#)),
        ("server", deep),
        (huge.clone().leak(), huge.clone()),
    ];
    let mut recorder = Recorder { server: huge, ..Recorder::default() };
    for (direction, line) in lines {
        assert!(!recorder.take(direction, line).is_empty());
    }
}

#[test]
fn cut_and_changed_messages_never_fail() {
    let lines: Vec<Step> = transcript();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit as u64) as usize
    };
    let mut recorder = Recorder::default();
    for _ in 0..2_000 {
        let (direction, line) = &lines[next(lines.len())];
        let mut bytes = line.clone().into_bytes();
        for _ in 0..next(4) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        bytes.truncate(bytes.len() - next(2) * next(bytes.len()));
        assert!(!recorder.take(direction, bytes).is_empty());
    }
}
