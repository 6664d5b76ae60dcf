//! The engine: what a set says of a record, what is told of a resource, what is wrong with a set.

use fdr_policy::{PolicySet, SetFile, Source};
use fdr_record::{
    Action, ActionBody, Agent, Body, Env, Facts, Kind, Mode, Normalised, PolicyDecision, Principal, Record,
    RecordId, Resource, Timestamp, Verb, Verdict,
};

/// A record of an action in the workspace `/w` of the user `/home/dev`.
pub fn record(actions: Vec<Action>) -> Record {
    let found = Normalised { actions, ..Normalised::default() };
    let mut body =
        ActionBody::new("Bash", "a call".to_owned(), found, PolicyDecision::undecided(Mode::Enforce));
    body.facts =
        Some(Facts { workspace: vec!["/w".to_owned()], home: "/home/dev".to_owned(), ..Facts::default() });
    Record {
        v: 1,
        id: "01890000-0000-7000-8000-000000000000".parse::<RecordId>().unwrap(),
        kind: Kind::Action,
        ts: Timestamp(1_795_524_862_737_000_000),
        mono: 0,
        seq: 0,
        session: Some("s1".to_owned()),
        agent: Some(Agent {
            id: "s1".to_owned(),
            name: "claude-code".to_owned(),
            runtime: "claude-code".to_owned(),
            version: None,
            model: Some("m".to_owned()),
            parent: None,
        }),
        principal: Some(Principal { kind: "user".to_owned(), id: "uid:1000".to_owned(), name: None }),
        trace: None,
        links: Vec::new(),
        claimed: None,
        observed: None,
        env: Some(Env { branch: Some("main".to_owned()), ..Env::default() }),
        body: Body::Action(body),
        content: Vec::new(),
    }
}

pub fn body(record: &mut Record) -> &mut ActionBody {
    match &mut record.body {
        Body::Action(body) => body,
        _ => unreachable!("the record is one of an action"),
    }
}

pub fn policy(id: &str, decision: &str, text: &str) -> String {
    format!("@id(\"{id}\") @reason(\"because of {id}\") @control(\"none\") {decision}\n{text}\n")
}

pub fn set(policies: &[String], lists: &str) -> PolicySet {
    let text = policies.concat();
    let files = vec![
        SetFile { name: "t/t.cedar".to_owned(), text },
        SetFile { name: "t/lists.toml".to_owned(), text: lists.to_owned() },
    ];
    PolicySet::from_files(files).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_starter_set_loads() {
    for starter in PolicySet::STARTERS {
        let set =
            PolicySet::load(&[Source::Starter((*starter).to_owned())]).unwrap_or_else(|e| panic!("{e}"));
        assert!(set.policies().count() >= 2);
        let again = PolicySet::from_files(set.files().to_vec()).unwrap();
        assert_eq!(again.hash(), set.hash());
    }
}

#[test]
fn the_strictest_answer_counts() {
    let set = set(
        &[
            policy("t/all", "", "permit (principal, action, resource);"),
            policy(
                "t/del",
                "",
                "forbid (principal, action == Action::\"delete\", resource is File) unless { resource.inside };",
            ),
            policy(
                "t/ask",
                "@decision(\"ask\")",
                "forbid (principal, action in Action::\"outward\", resource);",
            ),
        ],
        "",
    );
    let delete = |path| Action::new(Verb::Delete, Resource::new("file", path));
    let send = Action::new(Verb::Send, Resource::new("git", "origin#x"));
    for (actions, want) in [
        (vec![delete("/w/a")], Verdict::Permit),
        (vec![delete("/w/a"), send.clone()], Verdict::Ask),
        (vec![send, delete("/w/a"), delete("/etc/hosts")], Verdict::Deny),
    ] {
        let decision = set.decide(&record(actions));
        println!("{decision:?}");
        assert_eq!(decision.verdict, want);
    }
}
