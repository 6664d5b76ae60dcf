//! What was ever written can be read for ever: golden files of each version, and the published
//! schema. `UPDATE=1` rewrites the schema and the golden file of the version in force.

use fdr_record::*;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schema")
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// One record of each kind, with every field set somewhere.
fn samples() -> Vec<Record> {
    let mut ids = IdSource::default();
    let start = Timestamp(1_795_524_862_737_190_411);
    let other: RecordId = "01a20d9f-22d1-7b71-b838-2fef18b808d6".parse().unwrap();
    let decision = RuntimeDecision {
        decision: Verdict::Deny,
        by: DecidedBy::Rule,
        basis: Basis::Stated,
        reason: Some("Permission to use Bash with command rm has been denied.".into()),
    };
    let policy = PolicyDecision {
        decision: Verdict::Permit,
        mode: Mode::Enforce,
        reason: "within the task's scope".into(),
        policies: vec!["baseline/workspace-delete".into()],
        four_eyes: true,
        set: Some("sha256:4be1".into()),
        took_us: 84,
    };
    let mut found = Normalised::default();
    found
        .push(Action::new(Verb::Delete, Resource::file("build", "/home/dev/proj")).recursive().destructive());
    found.push(Action::new(Verb::Move, Resource::file("/a", "/")).to(Resource::file("/b", "/")));
    found.opaque("eval runs text that is not known");
    let approval = Approval {
        tool: "Bash".into(),
        summary: "git push".into(),
        by: Some(DecidedBy::User),
        reason: Some("looks right".into()),
        digest: Some("sha256:77aa".into()),
        expires: Some(start),
        reach: Some(Reach::Session),
        four_eyes: true,
        policies: vec!["baseline/protected-branch".into()],
        actions: vec![Action::new(Verb::Send, Resource::new("git", "origin#main"))],
    };
    found.hazard(Hazard::CommandWord);
    found.names(Resource::file("/etc/passwd", "/"));
    let rule = ScopeRule {
        actions: vec![Verb::Delete],
        resource: "file:/home/dev/proj/build/**".into(),
        words: "clean up the build folder".into(),
    };
    let mut action = ActionBody::new("Bash", "rm -rf build; mv /a /b".into(), found, policy);
    action.runtime_decision = Some(decision.clone());
    action.actions[0].resolves_to = Some("/mnt/build".into());
    action.actions[1].to_resolves_to = Some("/mnt/b".into());
    action.actions[0].tamper = true;
    action.intent = Some(IntentCheck { scope: InScope::InScope, by: other, reason: "asked for".into() });
    action.facts = Some(Facts {
        workspace: vec!["/home/dev/proj".into()],
        home: "/home/dev".into(),
        taint: vec![Taint::Secret],
        so_far: vec![Count { action: Verb::Delete, count: 2 }],
    });
    action.approved = Some(Approved { grant: other, by: "uid:1000".into() });
    let bodies = vec![
        Body::SessionStart(SessionStart {
            source: Some("startup".into()),
            transcript: Some("/t.jsonl".into()),
            identities: vec!["git:alice@example.com".into()],
            run: None,
        }),
        Body::SessionEnd(SessionEnd {
            status: Status::Success,
            reason: Some("other".into()),
            actions: 3,
            denied: 1,
        }),
        Body::Prompt(Prompt { preview: "Clean up".into() }),
        Body::Context(Context {
            what: "instructions".into(),
            resource: Some(Resource::file("CLAUDE.md", "/home/dev/proj")),
            len: Some(412),
            lines: Some(3),
            preview: Some("# Project".into()),
        }),
        Body::Intent(Intent {
            source: IntentSource::Derived,
            allow: vec![rule.clone()],
            exclude: vec![rule],
            closed: true,
            goes_on: true,
            expires: Some(start),
            summary: "delete build/**".into(),
        }),
        Body::Decision(Decision {
            stated: Some("The build folder is stale.".into()),
            thinking: Some("Remove it first.".into()),
            calls: vec![Call { id: "toolu_1".into(), tool: "Bash".into(), action: Some(other) }],
        }),
        Body::Action(action),
        Body::Result(ResultBody {
            tool: "Bash".into(),
            outcome: Outcome::Denied,
            exit_code: Some(1),
            duration_ms: Some(12),
            reason: Some("denied".into()),
            preview: Some("…".into()),
            runtime_decision: Some(decision),
            signs: vec!["ignore all previous instructions".into()],
            arguments_changed: true,
        }),
        Body::ApprovalRequest(Approval { by: None, reason: None, ..approval.clone() }),
        Body::ApprovalGrant(approval.clone()),
        Body::ApprovalDeny(approval),
        Body::Message(Message { role: "assistant".into(), preview: "Done.".into() }),
        Body::ConfigChange(ConfigChange {
            what: "project_settings".into(),
            resource: Some(Resource::file("/s.json", "/")),
            detail: Some("hooks".into()),
        }),
        Body::PolicyChange(PolicyChange {
            accepted: true,
            set: Some("sha256:4be1".into()),
            in_force: Some("sha256:4be1".into()),
            from: vec!["baseline".into()],
            policies: 31,
            errors: vec!["a.cedar: unexpected end".into()],
        }),
        Body::Unparsed(Unparsed { reason: "EOF at line 1".into(), event: Some("PreToolUse".into()) }),
        Body::Gap(Gap { what: "clock_back".into(), detail: "set back".into(), millis: Some(3_600_000) }),
        Body::Heartbeat(Heartbeat {
            epoch: 3,
            size: 40,
            root: "ab".repeat(32),
            seal: Some("cd".repeat(32)),
            after_millis: Some(10_000),
            messages: 7,
            repeated: 1,
            unparsed: 1,
            sources: [("claude-code".to_owned(), 7)].into(),
            spooled: 2,
            free_bytes: Some(1 << 30),
            witnessed: Some(38),
        }),
        Body::Anchor(Anchor { what: "witness".into(), by: "w1.example".into(), size: 38, time: Some(start) }),
        Body::Access(Access {
            what: "bundle".into(),
            filter: "session 73ab".into(),
            records: 40,
            contents: 80,
            withheld: 2,
            reason: Some("case 7".into()),
            digest: Some("ef".repeat(32)),
        }),
        Body::KeyErased(KeyErased {
            kids: vec!["01".repeat(16)],
            sessions: vec!["73ab4c72".into()],
            subject: Some("uid:1000".into()),
            reason: "asked to".into(),
            authority: "the data protection officer".into(),
        }),
        Body::LogPruned(LogPruned {
            first_index: 100,
            first_segment: 2,
            root: "ab".repeat(32),
            until: Some(start),
            rule: "pci-dss".into(),
            authority: "alice".into(),
            reason: Some("13 months over".into()),
            sessions: Some(4),
        }),
        Body::LogRestart(LogRestart {
            version: "0.1.0".into(),
            pid: 4211,
            boot_id: Some("6f9c".into()),
            size: 1204,
            clean: true,
            gap_millis: Some(12),
            mode: Mode::Observe,
        }),
        Body::LogTorn(LogTorn {
            file: "00000000.seg".into(),
            offset: 4096,
            bytes: 8192,
            quarantine: "q".into(),
        }),
    ];
    assert_eq!(bodies.iter().map(Body::kind).collect::<Vec<_>>(), Kind::ALL, "a sample of every kind");
    let record = |(seq, body): (usize, Body)| Record {
        v: VERSION,
        id: ids.next(start),
        kind: body.kind(),
        ts: start,
        mono: 81_723_001_122,
        seq: seq as u64,
        session: Some("73ab4c72-03fd-4ef9-bbcf-23fe7872de1a".into()),
        agent: Some(Agent {
            id: "abef51bea84f450b4".into(),
            name: "general-purpose".into(),
            runtime: "claude-code".into(),
            version: Some("2.1.197".into()),
            model: Some("claude-x".into()),
            parent: Some("73ab4c72".into()),
        }),
        principal: Some(Principal { kind: "user".into(), id: "uid:1000".into(), name: Some("alice".into()) }),
        trace: Some(Trace { trace_id: "0".repeat(32), span_id: Some("1".repeat(16)), parent_id: None }),
        links: vec![Link { rel: Rel::ResultOf, id: other }, Link { rel: Rel::PromptedBy, id: other }],
        claimed: Some(Claimed {
            source: "hook:PreToolUse".into(),
            ts: Some(start),
            tool_use_id: Some("toolu_1".into()),
            inferred: true,
            prompt_id: Some("p".into()),
            turn_id: Some("t".into()),
            message_id: Some("m".into()),
            cwd: Some("/home/dev/proj".into()),
            file: Some("/t.jsonl".into()),
            line: Some(7),
            offset: Some(512),
        }),
        observed: Some(Observed {
            received: Some(start),
            uid: Some(1000),
            gid: Some(1000),
            pid: Some(5512),
            exe: Some("/usr/bin/node".into()),
            cgroup: Some("/user.slice".into()),
            late: true,
        }),
        env: Some(Env {
            host: Some("devbox".into()),
            os: Some("linux".into()),
            cwd: Some("/home/dev/proj".into()),
            repo: Some("/home/dev/proj".into()),
            commit: Some("9c1e".repeat(10)),
            branch: Some("main".into()),
            container: Some("c".into()),
            permission_mode: Some("default".into()),
            sandbox: Some("none".into()),
        }),
        body,
        sealed: None,
        content: vec![ContentRef {
            role: "raw".into(),
            digest: format!("{DIGEST_PREFIX}{}", "ab".repeat(32)),
            len: 812,
            media: "application/json".into(),
            redacted: 1,
            kid: None,
            sealed: None,
        }],
    };
    let mut records: Vec<Record> = bodies.into_iter().enumerate().map(record).collect();
    // A prompt as it is stored when contents are sealed: without its words.
    let prompt =
        records.iter().find(|record| record.kind == Kind::Prompt).expect("there is a prompt").clone();
    let mut sealed =
        Record { body: Body::Prompt(Prompt::default()), sealed: Some("RkRSU0VBTDE".into()), ..prompt };
    sealed.content[0].kid = Some("cd".repeat(16));
    sealed.content[0].sealed = Some(format!("{DIGEST_PREFIX}{}", "ef".repeat(32)));
    records.push(sealed);
    records
}

#[test]
fn every_version_ever_written_can_be_read_and_stays_the_same_bytes() {
    let golden = folder().join("golden");
    if updating() {
        std::fs::create_dir_all(&golden).unwrap();
        let mut records = samples();
        let mut lines = Vec::new();
        for (i, record) in records.iter_mut().enumerate() {
            record.id = format!("01a20d9f-22d1-7{i:03x}-b838-2fef18b808d6").parse().unwrap();
            lines.extend(record.to_line());
            lines.push(b'\n');
        }
        std::fs::write(golden.join(format!("v{VERSION}.jsonl")), lines).unwrap();
    }
    let mut versions = 0;
    for entry in std::fs::read_dir(&golden).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        versions += 1;
        for line in text.lines() {
            let record = Record::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(String::from_utf8(record.to_line()).unwrap(), line);
        }
    }
    assert!(versions >= VERSION, "a golden file for each version at least");
}

#[test]
fn a_field_of_a_later_version_is_passed_over() {
    let line = String::from_utf8(samples()[2].to_line()).unwrap();
    let later = line.replacen("{\"v\":1,", "{\"v\":1,\"later\":{\"x\":[1]},", 1);
    assert_eq!(Record::parse(later.as_bytes()).unwrap(), Record::parse(line.as_bytes()).unwrap());
}

#[cfg(feature = "schema")]
#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = folder().join(format!("record.v{VERSION}.json"));
    let made = format!("{}\n", serde_json::to_string_pretty(&fdr_record::schema()).unwrap());
    if updating() {
        std::fs::write(&path, &made).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == made,
        "{} is out of date: UPDATE=1 cargo test -p fdr-record --features schema",
        path.display()
    );
}
