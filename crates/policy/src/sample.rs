//! Records for tests.

use fdr_record::{
    ActionBody, Agent, Body, ContentRef, Env, Link, Mode, Observed, PolicyDecision, Record, RecordId, Rel,
    Timestamp, VERSION, hex, shell,
};
use sha2::{Digest, Sha256};

/// The workspace of the samples.
pub(crate) const PROJECT: &str = "/home/dev/proj";
/// The home folder of the samples.
pub(crate) const HOME: &str = "/home/dev";

/// A record of session "s" with this body.
pub(crate) fn record(body: Body, content: Vec<ContentRef>) -> Record {
    Record {
        v: VERSION,
        id: "01a20d9f-22d1-7b71-b838-2fef18b808d6".parse().expect("an id"),
        kind: body.kind(),
        ts: Timestamp(1_795_524_862_000_000_000),
        mono: 0,
        seq: 0,
        session: Some("s".into()),
        agent: Some(Agent {
            id: "s".into(),
            name: "claude-code".into(),
            runtime: "claude-code".into(),
            version: None,
            model: None,
            parent: None,
        }),
        principal: None,
        trace: None,
        links: Vec::new(),
        claimed: None,
        observed: None,
        env: Some(Env { cwd: Some(PROJECT.into()), repo: Some(PROJECT.into()), ..Env::default() }),
        body,
        sealed: None,
        content,
    }
}

/// The record of a shell command.
pub(crate) fn shell(command: &str, mode: Mode) -> Record {
    let found = shell::normalise(command, &shell::Context { cwd: PROJECT, home: HOME });
    let body = ActionBody::new("Bash", command.to_owned(), found, PolicyDecision::undecided(mode));
    let arguments = ContentRef {
        role: "args".into(),
        digest: format!("hmac-sha256:{}", hex(&Sha256::digest(command))),
        len: command.len() as u64,
        media: "application/json".into(),
        redacted: 0,
        kid: None,
        sealed: None,
    };
    record(Body::Action(body), vec![arguments])
}

/// A record about another one, by a user.
pub(crate) fn about(
    action: &Record,
    body: Body,
    links: &[(Rel, RecordId)],
    uid: Option<u32>,
    at: u64,
) -> Record {
    Record {
        kind: body.kind(),
        ts: Timestamp(at),
        links: links.iter().map(|&(rel, id)| Link { rel, id }).collect(),
        observed: uid.map(|uid| Observed { uid: Some(uid), ..Observed::default() }),
        session: action.session.clone(),
        ..record(body, Vec::new())
    }
}
