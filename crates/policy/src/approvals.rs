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
    /// The repository that the agent is in.
    repository: String,
}

/// A grant that can still be used.
#[derive(Clone, Debug)]
struct Grant {
    approved: Approved,
    digest: String,
    session: String,
    reach: Reach,
    expires: Option<Timestamp>,
    /// For the session: in which repository, verbs and resources, and the policies that asked.
    repository: String,
    actions: BTreeSet<Thing>,
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

/// Names an action exactly: tool, arguments, session, agent, and where it is done. `None` for a
/// record that is no action, or has no arguments to be bound to.
pub fn digest(record: &Record) -> Option<String> {
    let Body::Action(body) = &record.body else { return None };
    let arguments = record.content.iter().find(|content| content.role == "args")?;
    let agent = record.agent.as_ref()?;
    let cwd = record.env.as_ref().and_then(|env| env.cwd.clone()).unwrap_or_default();
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    for part in [
        &agent.runtime,
        &body.tool,
        record.session.as_ref()?,
        &agent.id,
        &arguments.digest,
        &cwd,
        repository(record),
    ] {
        add(part);
    }
    // A link may lead elsewhere by the next time.
    for thing in things(&body.actions) {
        add(&format!("{thing:?}"));
    }
    Some(format!("sha256:{}", hex(&hash.finalize())))
}

fn repository(record: &Record) -> &str {
    record.env.as_ref().and_then(|env| env.repo.as_deref()).unwrap_or_default()
}

/// What is done, without what is said about it.
fn things(actions: &[Action]) -> BTreeSet<Thing> {
    let thing = |action: &Action| Thing {
        action: action.action,
        resource: action.resource.clone(),
        to: action.to.clone(),
        leads: [action.resolves_to.clone(), action.to_resolves_to.clone()],
        flags: [action.recursive, action.destructive],
    };
    actions.iter().map(thing).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thing {
    action: Verb,
    resource: Resource,
    to: Option<Resource>,
    leads: [Option<String>; 2],
    flags: [bool; 2],
}

impl Approvals {
    /// Forgets the requests and grants of a session, so that its records can be taken in from the first one.
    pub fn forget(&mut self, session: &str) {
        self.requests.retain(|_, request| request.session != session);
        self.grants.retain(|grant| grant.session != session);
    }

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
                    repository: repository(record).to_owned(),
                };
                self.requests.insert(record.id, request);
                if self.requests.len() > MAX_KEPT {
                    // Who waits is forgotten last.
                    let waits = |request: &Request| request.standing == Standing::Waiting;
                    let oldest = self.requests.iter().min_by_key(|(id, request)| (waits(request), **id));
                    oldest.map(|(id, _)| *id).map(|id| self.requests.remove(&id));
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
        // Who waits takes it at once, until the time-out is recorded. After that it is for the next
        // call of the same.
        let waits = request.standing == Standing::Waiting;
        let reach = approval.reach.unwrap_or_default();
        if reach == Reach::Session || !waits {
            self.grants.push(Grant {
                approved: approved.clone(),
                digest: request.approval.digest.clone().unwrap_or_default(),
                session: request.session.clone(),
                reach,
                expires: approval.expires,
                repository: request.repository.clone(),
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
        let known = body.actions_left_out == 0 && body.opaque.is_empty() && !body.hazards.contains(&Hazard::LeftOut)
            // What a program is given stands in no resource.
            && body.actions.iter().all(|action| action.action != Verb::Execute);
        let fits = |grant: &&Grant| {
            let same = grant.digest == digest
                || grant.reach == Reach::Session
                    && record.session.as_deref() == Some(&grant.session)
                    && repository(record) == grant.repository
                    && known
                    && wanted.is_subset(&grant.actions);
            // What another policy asks about now, nobody has answered yet.
            same && grant.expires.is_none_or(|expires| now < expires)
                && body.policy.policies.iter().all(|policy| grant.policies.contains(policy))
        };
        self.grants.iter().find(fits).map(|grant| grant.approved.clone())
    }

    /// A request, as it stands now.
    pub fn request(&self, id: RecordId) -> Option<&Request> {
        self.requests.get(&id)
    }

    /// How many requests of a session wait.
    pub fn waiting_of(&self, session: &str) -> usize {
        let waits = |request: &&Request| request.standing == Standing::Waiting && request.session == session;
        self.requests.values().filter(waits).count()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use fdr_record::{Mode, Verdict};

    const NOW: u64 = 1_795_524_862_000_000_000;
    const MINUTE: u64 = 60_000_000_000;

    struct Desk {
        approvals: Approvals,
        ids: fdr_record::IdSource,
    }

    impl Desk {
        fn new() -> Desk {
            Desk { approvals: Approvals::default(), ids: fdr_record::IdSource::default() }
        }

        fn put(&mut self, mut record: Record) -> RecordId {
            record.id = self.ids.next(record.ts);
            self.approvals.observe(&record);
            record.id
        }

        /// Asks for an action, as the recorder does.
        fn ask(&mut self, action: &Record, four_eyes: bool) -> RecordId {
            let Body::Action(body) = &action.body else { panic!("an action") };
            let approval = Approval {
                tool: body.tool.clone(),
                digest: digest(action),
                expires: Some(Timestamp(NOW + MINUTE)),
                four_eyes,
                policies: body.policy.policies.clone(),
                actions: body.actions.clone(),
                ..Approval::default()
            };
            self.put(sample::about(action, Body::ApprovalRequest(approval), &[], None, NOW))
        }

        fn grant(&mut self, action: &Record, request: RecordId, uid: u32, reach: Reach, at: u64) -> RecordId {
            let approval = Approval {
                digest: digest(action),
                expires: Some(Timestamp(at + 60 * MINUTE)),
                reach: Some(reach),
                ..Approval::default()
            };
            let links = [(Rel::Approves, request)];
            self.put(sample::about(action, Body::ApprovalGrant(approval), &links, Some(uid), at))
        }

        fn standing(&self, request: RecordId) -> Standing {
            self.approvals.request(request).expect("the request").standing.clone()
        }

        fn is_free(&self, action: &Record, at: u64) -> bool {
            let Body::Action(body) = &action.body else { panic!("an action") };
            self.approvals.grant_for(action, body, Timestamp(at)).is_some()
        }
    }

    fn asked(command: &str) -> Record {
        let mut record = sample::shell(command, Mode::Enforce);
        if let Body::Action(body) = &mut record.body {
            body.policy.decision = Verdict::Ask;
            body.policy.policies = vec!["baseline/protected-branch".to_owned()];
        }
        record
    }

    #[test]
    fn a_grant_for_one_who_waits_is_used_up_by_that() {
        let (mut desk, push) = (Desk::new(), asked("git push origin main"));
        let request = desk.ask(&push, false);
        assert_eq!(desk.standing(request), Standing::Waiting);
        let grant = desk.grant(&push, request, 1000, Reach::Once, NOW + 1);
        assert_eq!(desk.standing(request), Standing::Granted(Approved { grant, by: "uid:1000".into() }));
        assert!(!desk.is_free(&push, NOW + 2), "the next call asks again");
    }

    #[test]
    fn a_grant_after_the_time_is_for_the_next_call_of_the_same_once() {
        let (mut desk, push) = (Desk::new(), asked("git push origin main"));
        let request = desk.ask(&push, false);
        let timeout = Approval {
            by: Some(DecidedBy::Timeout),
            reason: Some(timeout_reason(60)),
            digest: digest(&push),
            ..Approval::default()
        };
        let links = [(Rel::Approves, request)];
        desk.put(sample::about(&push, Body::ApprovalDeny(timeout), &links, None, NOW + MINUTE));
        assert!(matches!(desk.standing(request), Standing::Refused(_)));
        assert!(desk.approvals.answerable(&request.to_string(), "alice").is_ok());
        let grant = desk.grant(&push, request, 1000, Reach::Once, NOW + 2 * MINUTE);
        assert!(!desk.is_free(&asked("git push origin main --force"), NOW + 3 * MINUTE), "other arguments");
        assert!(!desk.is_free(&push, NOW + 63 * MINUTE), "it has run out");
        assert!(desk.is_free(&push, NOW + 3 * MINUTE));
        let mut used = asked("git push origin main");
        if let Body::Action(body) = &mut used.body {
            body.approved = Some(Approved { grant, by: "uid:1000".into() });
        }
        desk.put(used);
        assert!(!desk.is_free(&push, NOW + 3 * MINUTE), "used twice");
    }

    #[test]
    fn a_grant_for_the_session_is_for_the_same_verbs_and_resources() {
        let (mut desk, push) = (Desk::new(), asked("git push origin main"));
        let request = desk.ask(&push, false);
        desk.grant(&push, request, 1000, Reach::Session, NOW + 1);
        assert!(desk.is_free(&push, NOW + 2) && desk.is_free(&push, NOW + 3));
        assert!(desk.is_free(&asked("git push -q origin main"), NOW + 2), "the same thing in other words");
        assert!(!desk.is_free(&asked("git push origin release"), NOW + 2));
        assert!(!desk.is_free(&asked("git push origin main; $X"), NOW + 2), "not fully known");
        let mut other = push.clone();
        other.session = Some("another".into());
        assert!(!desk.is_free(&other, NOW + 2));
        let mut stricter = push.clone();
        if let Body::Action(body) = &mut stricter.body {
            body.policy.policies.push("pci/egress".into());
        }
        assert!(!desk.is_free(&stricter, NOW + 2), "another policy asks as well");
    }

    #[test]
    fn four_eyes_are_two_people() {
        let (mut desk, push) = (Desk::new(), asked("git push origin main"));
        let request = desk.ask(&push, true);
        desk.grant(&push, request, 1000, Reach::Once, NOW + 1);
        assert_eq!(desk.standing(request), Standing::Waiting);
        let refusal = desk.approvals.answerable(&request.to_string(), "uid:1000").map(|_| ()).unwrap_err();
        assert_eq!(refusal, Refusal::SamePerson("uid:1000".into()));
        desk.grant(&push, request, 1001, Reach::Once, NOW + 2);
        let Standing::Granted(approved) = desk.standing(request) else { panic!("granted") };
        assert_eq!(approved.by, "uid:1000 and uid:1001");
    }

    #[test]
    fn what_is_answered_is_not_answered_again() {
        let (mut desk, push) = (Desk::new(), asked("git push origin main"));
        let request = desk.ask(&push, false);
        let refused = Approval {
            by: Some(DecidedBy::Approver),
            reason: Some("not on a Friday".into()),
            digest: digest(&push),
            ..Approval::default()
        };
        let links = [(Rel::Approves, request)];
        desk.put(sample::about(&push, Body::ApprovalDeny(refused), &links, Some(1000), NOW + 1));
        assert_eq!(desk.standing(request), Standing::Refused("refused by uid:1000: not on a Friday".into()));
        let id = request.to_string();
        assert!(matches!(desk.approvals.answerable(&id[28..], "uid:1001"), Err(Refusal::Answered(_))));
        assert!(matches!(desk.approvals.answerable("", "uid:1001"), Err(Refusal::Unknown(_))));
    }
}
