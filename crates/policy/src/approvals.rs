//! The queue of requests for approval, and the grants; made from records alone.
//!
//! A grant is bound to the digest of the exact action: tool, arguments, session and agent. Other
//! arguments need a grant of their own, unless it was given for the session and the same
//! resources. A grant that nobody waited for can be used by the next call of the same action,
//! once, until it runs out.

use fdr_record::{
    Action, ActionBody, Agent, Approval, Approved, Body, DecidedBy, Hazard, Reach, Record, RecordId, Rel,
    Resource, Timestamp, Verb, hex,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// Requests and grants kept; the oldest go first.
const MAX_KEPT: usize = 4_096;

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has answered yet, or one of two has.
    Waiting,
    /// It was granted, by whom and under which record.
    Granted(Approved),
    /// It was refused, or its time ran out; the reason.
    Refused(String),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The `approval.request` record.
    pub id: RecordId,
    /// When it was made.
    pub since: Timestamp,
    /// What is asked for.
    pub approval: Approval,
    /// The session that asks.
    pub session: String,
    /// The agent that asks.
    pub agent: Option<Agent>,
    /// How it stands.
    pub standing: Standing,
    /// The users who have agreed so far.
    pub agreed: BTreeSet<String>,
}

/// A grant that can still be used.
#[derive(Clone, Debug)]
struct Grant {
    approved: Approved,
    digest: String,
    session: String,
    reach: Reach,
    expires: Option<Timestamp>,
    /// For the session: verbs and resources, and the policies that asked.
    actions: BTreeSet<(Verb, Resource, Option<Resource>)>,
    policies: Vec<String>,
}

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such request.
    #[error("there is no request {0}")]
    Unknown(String),
    /// It has been answered.
    #[error("it has been answered: {0}")]
    Answered(String),
    /// The same person can't be both pairs of eyes.
    #[error("{0} has agreed already; this action needs two different people")]
    SamePerson(String),
}

/// All requests and grants.
#[derive(Debug, Default)]
pub struct Approvals {
    requests: HashMap<RecordId, Request>,
    grants: Vec<Grant>,
}

/// Names an action exactly: tool, arguments, session, agent. `None` for a record that is no
/// action, or has no arguments to be bound to.
pub fn digest(record: &Record) -> Option<String> {
    let Body::Action(body) = &record.body else { return None };
    let arguments = record.content.iter().find(|content| content.role == "args")?;
    let agent = record.agent.as_ref()?;
    let mut hash = Sha256::new();
    for part in [&agent.runtime, &body.tool, record.session.as_ref()?, &agent.id, &arguments.digest] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Some(format!("sha256:{}", hex(&hash.finalize())))
}

fn things(actions: &[Action]) -> BTreeSet<(Verb, Resource, Option<Resource>)> {
    actions.iter().map(|action| (action.action, action.resource.clone(), action.to.clone())).collect()
}

impl Approvals {
    /// Takes in one record, in the order of the log.
    pub fn observe(&mut self, record: &Record) {
        match &record.body {
            Body::ApprovalRequest(approval) if approval.digest.is_some() => {
                let request = Request {
                    id: record.id,
                    since: record.ts,
                    approval: approval.clone(),
                    session: record.session.clone().unwrap_or_default(),
                    agent: record.agent.clone(),
                    standing: Standing::Waiting,
                    agreed: BTreeSet::new(),
                };
                self.requests.insert(record.id, request);
                if self.requests.len() > MAX_KEPT
                    && let Some(oldest) = self.requests.keys().min().copied()
                {
                    self.requests.remove(&oldest);
                }
            }
            Body::ApprovalGrant(approval) if approval.digest.is_some() => self.granted(record, approval),
            Body::ApprovalDeny(approval) if approval.digest.is_some() => {
                let request = record.link(Rel::Approves).and_then(|id| self.requests.get_mut(&id));
                if let Some(request) = request {
                    let reason = approval.reason.clone().unwrap_or_default();
                    request.standing = Standing::Refused(match approval.by {
                        Some(DecidedBy::Timeout) => reason,
                        _ => format!("refused by {}{}", answerer(record), after_colon(&reason)),
                    });
                }
            }
            Body::Action(body) => {
                if let Some(used) = &body.approved {
                    self.grants
                        .retain(|grant| grant.approved.grant != used.grant || grant.reach != Reach::Once);
                }
            }
            Body::SessionEnd(_) => {
                let main = record.agent.as_ref().is_none_or(|agent| agent.parent.is_none());
                if let (Some(session), true) = (&record.session, main) {
                    self.grants.retain(|grant| grant.session != *session || grant.reach == Reach::Once);
                }
            }
            _ => {}
        }
    }

    fn granted(&mut self, record: &Record, approval: &Approval) {
        let Some(request) = record.link(Rel::Approves).and_then(|id| self.requests.get_mut(&id)) else {
            return;
        };
        let by = answerer(record);
        request.agreed.insert(by.clone());
        if request.approval.four_eyes && request.agreed.len() < 2 {
            return;
        }
        let everyone = request.agreed.iter().cloned().collect::<Vec<_>>().join(" and ");
        let approved = Approved { grant: record.id, by: everyone };
        // Who waits takes it at once. After that it is for the next call of the same.
        let waits = request.standing == Standing::Waiting
            && request.approval.expires.is_none_or(|expires| record.ts < expires);
        let reach = approval.reach.unwrap_or_default();
        if reach == Reach::Session || !waits {
            self.grants.push(Grant {
                approved: approved.clone(),
                digest: request.approval.digest.clone().unwrap_or_default(),
                session: request.session.clone(),
                reach,
                expires: approval.expires,
                actions: things(&request.approval.actions),
                policies: request.approval.policies.clone(),
            });
            if self.grants.len() > MAX_KEPT {
                self.grants.remove(0);
            }
        }
        request.standing = Standing::Granted(approved);
    }

    /// The grant under which this action may be done, if there is one.
    pub fn grant_for(&self, record: &Record, body: &ActionBody, now: Timestamp) -> Option<Approved> {
        if self.grants.is_empty() {
            return None;
        }
        let digest = digest(record)?;
        let wanted = things(&body.actions);
        // What is not fully known can't be the same as something that was seen before.
        let known =
            body.actions_left_out == 0 && body.opaque.is_empty() && !body.hazards.contains(&Hazard::LeftOut);
        let fits = |grant: &&Grant| {
            grant.expires.is_none_or(|expires| now < expires)
                && match grant.reach {
                    Reach::Once => grant.digest == digest,
                    Reach::Session => {
                        record.session.as_deref() == Some(&grant.session)
                            && (grant.digest == digest
                                || known
                                    && wanted.is_subset(&grant.actions)
                                    && body
                                        .policy
                                        .policies
                                        .iter()
                                        .all(|policy| grant.policies.contains(policy)))
                    }
                }
        };
        self.grants.iter().find(fits).map(|grant| grant.approved.clone())
    }

    /// A request, as it stands now.
    pub fn request(&self, id: RecordId) -> Option<&Request> {
        self.requests.get(&id)
    }

    /// All requests that are known, oldest first.
    pub fn requests(&self) -> Vec<&Request> {
        let mut all: Vec<&Request> = self.requests.values().collect();
        all.sort_by_key(|request| request.id);
        all
    }

    /// The one request whose id ends or begins with `text`, if `by` may answer it.
    ///
    /// # Errors
    /// When there is none or more than one, it has been answered, or `by` has agreed before.
    pub fn answerable(&self, text: &str, by: &str) -> Result<&Request, Refusal> {
        let fits = |id: &RecordId| {
            let id = id.to_string();
            !text.is_empty() && (id.starts_with(text) || id.ends_with(text))
        };
        let mut found = self.requests.values().filter(|request| fits(&request.id));
        let (Some(request), None) = (found.next(), found.next()) else {
            return Err(Refusal::Unknown(text.to_owned()));
        };
        match &request.standing {
            Standing::Granted(approved) => {
                return Err(Refusal::Answered(format!("granted by {}", approved.by)));
            }
            // After a time-out it can still be granted, for the next try.
            Standing::Refused(reason) if !is_timeout(reason) => {
                return Err(Refusal::Answered(reason.clone()));
            }
            _ => {}
        }
        if request.agreed.contains(by) {
            return Err(Refusal::SamePerson(by.to_owned()));
        }
        Ok(request)
    }
}

/// The reason that a request gets whose time ran out.
pub fn timeout_reason(seconds: u64) -> String {
    format!("{TIMEOUT} {seconds} s")
}

const TIMEOUT: &str = "nobody answered within";

fn is_timeout(reason: &str) -> bool {
    reason.starts_with(TIMEOUT)
}

fn after_colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// Who answered: what the kernel told of the one who connected.
fn answerer(record: &Record) -> String {
    let name = record.principal.as_ref().and_then(|principal| principal.name.as_deref());
    match (record.observed.as_ref().and_then(|observed| observed.uid), name) {
        (Some(uid), Some(name)) => format!("{name} (uid:{uid})"),
        (Some(uid), None) => format!("uid:{uid}"),
        (None, _) => "unknown".to_owned(),
    }
}
