//! Actions that are held: denied at once, asked about in the runtime, or waiting in the queue
//! until a person has answered.

use crate::config::Route;
use crate::judge::Desk;
use crate::recorder::Recorder;
use crate::surroundings;
use fdr_hook::reply::{self, Reply};
use fdr_hook::wire::{self, Request, Response};
use fdr_policy::approvals::{self, Standing};
use fdr_policy::intent::{self, Place};
use fdr_record::{
    Approval, Body, DecidedBy, IntentSource, Link, Mode, Observed, Reach, Record, RecordId, Rel, Timestamp,
    Verdict, preview,
};
use serde::{Deserialize, Serialize};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The clients of MCP servers give up after a minute.
const MCP_WAIT_S: u32 = 45;
/// How often it is looked whether the one who waits is still there.
const LOOK: Duration = Duration::from_millis(500);
/// How long a grant can be used that nobody waited for, in minutes, unless it says otherwise.
const GRANT_MINUTES: u64 = 60;
/// Requests of one session that wait at once; what comes beyond is denied.
const MAX_WAITING: usize = 32;
/// Commands that notify at once; beyond, requests are only in the queue.
const MAX_NOTIFYING: usize = 8;
/// Actions of a call that a request shows.
const MAX_SHOWN_ACTIONS: usize = 32;
/// The longest lifetime of a grant, in minutes: 30 days.
const MAX_GRANT_MINUTES: u64 = 30 * 24 * 60;

/// Why an action is not simply let through.
#[derive(Clone, Debug)]
pub enum Held {
    /// It may not be done.
    Denied(String),
    /// The runtime asks its user.
    Asked(String),
    /// It waits in the queue, under this request.
    Queued(RecordId, String),
}

/// What `fdr approvals` sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// All requests that are known.
    List,
    /// Let it be done.
    Grant {
        /// The request's id, or the beginning or end of it.
        id: String,
        /// Why.
        reason: String,
        /// For how long, in minutes.
        minutes: Option<u64>,
        /// How far.
        reach: Reach,
    },
    /// Don't.
    Deny {
        /// The request's id, or the beginning or end of it.
        id: String,
        /// Why.
        reason: String,
    },
}

/// A request as `fdr approvals` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The `approval.request` record.
    pub id: RecordId,
    /// When it was made.
    pub since: Timestamp,
    /// The session that asks.
    pub session: String,
    /// The agent's name.
    pub agent: String,
    /// What is asked for.
    pub approval: Approval,
    /// `waiting`, `granted`, `refused`.
    pub standing: String,
    /// By whom, or why not.
    pub detail: String,
    /// Who has agreed so far, where two have to.
    pub agreed: Vec<String>,
}

/// What `fdr intent set` sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declare {
    /// The session's id.
    pub session: String,
    /// Rules, as docs/intent.md has them.
    pub rules: String,
    /// For how long, in minutes.
    pub minutes: Option<u64>,
    /// Working directory, for relative paths.
    pub cwd: String,
}

impl Recorder {
    /// Whether the actions of a message are held, and how. `ask` puts a request into the queue, and
    /// gives the id of its record.
    pub(crate) fn held(
        &self,
        actions: &[&Record],
        request: &Request,
        ask: &mut dyn FnMut(&Record, Body) -> RecordId,
    ) -> Option<Held> {
        let mut undecided = Vec::new();
        for action in actions {
            let Body::Action(body) = &action.body else { continue };
            if body.policy.mode != Mode::Enforce || body.approved.is_some() {
                continue;
            }
            match body.policy.decision {
                Verdict::Permit => {}
                // One denial denies the whole message.
                Verdict::Deny => return Some(Held::Denied(format!("denied: {}", body.policy.reason))),
                Verdict::Ask => undecided.push((*action, body)),
            }
        }
        let (action, body) = match undecided.as_slice() {
            [] => return None,
            [one] => *one,
            _ => {
                return Some(Held::Denied(
                    "denied: more than one call needs a person; send one at a time".to_owned(),
                ));
            }
        };
        let policy = &body.policy;
        // The runtime asks one person.
        if !policy.four_eyes && self.runtime_asks(request, action) {
            return Some(Held::Asked(format!("please confirm: {}", policy.reason)));
        }
        let Some(digest) = approvals::digest(action) else {
            return Some(Held::Denied(format!("denied, nothing names this action: {}", policy.reason)));
        };
        let session = action.session.as_deref().unwrap_or_default();
        if self.decider.desk().approvals.waiting_of(session) >= MAX_WAITING {
            return Some(Held::Denied(format!(
                "denied, {MAX_WAITING} calls of this session wait for a person already: {}",
                policy.reason
            )));
        }
        let wait = self.approval_wait(&request.runtime);
        let asked = Approval {
            tool: body.tool.clone(),
            summary: body.summary.clone(),
            reason: Some(policy.reason.clone()),
            digest: Some(digest),
            expires: Some(Timestamp(action.ts.0 + u64::from(wait) * 1_000_000_000)),
            four_eyes: policy.four_eyes,
            policies: policy.policies.clone(),
            actions: body.actions.iter().take(MAX_SHOWN_ACTIONS).cloned().collect(),
            ..Approval::default()
        };
        Some(Held::Queued(ask(action, Body::ApprovalRequest(asked)), policy.reason.clone()))
    }

    /// Whether a person sits in front of the runtime, as far as it says.
    fn runtime_asks(&self, request: &Request, action: &Record) -> bool {
        if request.runtime.starts_with("mcp:") {
            return false;
        }
        let variable = |wanted: &str| {
            request.variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let mode = action.env.as_ref().and_then(|env| env.permission_mode.as_deref());
        match self.approvals.route {
            Route::Runtime => true,
            Route::Queue => false,
            // In the other modes Claude Code may answer by itself.
            Route::Auto => {
                variable("CLAUDE_CODE_ENTRYPOINT") == Some("cli")
                    && matches!(mode, None | Some("default" | "acceptEdits" | "plan"))
            }
        }
    }

    fn approval_wait(&self, runtime: &str) -> u32 {
        let wait = self.approvals.wait_s;
        if runtime.starts_with("mcp:") { wait.min(MCP_WAIT_S) } else { wait }
    }

    /// What the runtime is told; waits for a person where that is needed. `None` if the one who
    /// asks should ask again, since this recorder ends.
    pub(crate) fn settle(&self, runtime: &str, held: &Held, stream: Option<&UnixStream>) -> Option<Reply> {
        match held {
            Held::Denied(reason) => Some(reply::deny(runtime, reason)),
            Held::Asked(reason) => Some(reply::ask(runtime, reason)),
            Held::Queued(request, reason) => match self.wait_for_answer(*request, stream)? {
                Standing::Granted(_) => Some(Reply::default()),
                Standing::Refused(why) => Some(reply::deny(runtime, &format!("denied: {reason}; {why}"))),
                Standing::Waiting => None,
            },
        }
    }

    fn wait_for_answer(&self, id: RecordId, stream: Option<&UnixStream>) -> Option<Standing> {
        let asked = self.decider.desk().approvals.request(id).cloned();
        let Some(asked) = asked else {
            return Some(Standing::Refused("the request is not known any more".to_owned()));
        };
        let expires = asked.approval.expires.unwrap_or(asked.since);
        let left = Duration::from_nanos(expires.0.saturating_sub(self.now().0));
        if asked.standing == Standing::Waiting && !left.is_zero() {
            let waiting = Response { waiting: left.as_secs() as u32 + 1, ..Response::default() };
            if let Some(mut stream) = stream {
                let _ = wire::write_frame(&mut stream, &waiting.encode());
            }
            self.notify(&asked);
        }
        let end = Instant::now() + left;
        let answered = |desk: &Desk| {
            let standing = desk.approvals.request(id).map(|request| request.standing.clone());
            let standing =
                standing.unwrap_or_else(|| Standing::Refused("the request was forgotten".to_owned()));
            // An answer counts when it is durable.
            (standing != Standing::Waiting && !desk.unsettled.contains(&id)).then_some(standing)
        };
        let mut desk = self.decider.desk();
        let gone = loop {
            if let Some(standing) = answered(&desk) {
                return Some(standing);
            }
            let now = Instant::now();
            if self.is_stopping() {
                return None;
            }
            if now >= end && desk.unsettled.is_empty() {
                break false;
            }
            let step = end.saturating_duration_since(now).clamp(Duration::from_millis(5), LOOK);
            desk = self
                .decider
                .answered
                .wait_timeout(desk, step)
                .map_or_else(|error| error.into_inner().0, |(desk, _)| desk);
            if stream.is_some_and(surroundings::is_gone) {
                break true;
            }
        };
        drop(desk);
        let waited = Duration::from_nanos(self.now().0.saturating_sub(asked.since.0));
        let seconds = waited.as_secs_f64().round() as u64;
        let mut reason = approvals::timeout_reason(seconds);
        reason.push_str(if gone { "; who asked waited no longer" } else { "" });
        let body = Body::ApprovalDeny(Approval {
            by: Some(DecidedBy::Timeout),
            reason: Some(reason.clone()),
            digest: asked.approval.digest.clone(),
            tool: asked.approval.tool.clone(),
            summary: asked.approval.summary.clone(),
            ..Approval::default()
        });
        match self.record_answer(&asked, body, None) {
            // Somebody was quicker.
            Err(_) => answered(&self.decider.desk()).or(Some(Standing::Refused(reason))),
            Ok(()) => Some(Standing::Refused(format!(
                "{reason}; if it is granted later, the same call goes through once: fdr approvals grant {}",
                asked.id
            ))),
        }
    }

    fn notify(&self, asked: &approvals::Request) {
        if self.approvals.notify.is_empty() {
            return;
        }
        let running = Arc::clone(&self.notifying);
        if running.fetch_add(1, Ordering::SeqCst) >= MAX_NOTIFYING {
            running.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let (command, text) =
            (self.approvals.notify.clone(), serde_json::to_vec(&shown(asked)).unwrap_or_default());
        std::thread::spawn(move || {
            if let Err(error) = crate::command::output_of(&command, &text, Duration::from_secs(10)) {
                crate::text::say!("warning: can't notify of a request for approval: {error:#}");
            }
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Answers `fdr approvals`.
    pub(crate) fn answer_approvals(&self, request: &Request, stream: Option<&UnixStream>) -> Response {
        match self.try_approvals(request, stream) {
            Ok(stdout) => Response { stdout, recorded: true, ..Response::default() },
            Err(error) => Response::failed(format!("{error:#}")),
        }
    }

    fn try_approvals(&self, request: &Request, stream: Option<&UnixStream>) -> anyhow::Result<Vec<u8>> {
        let ask: Ask = serde_json::from_slice(&request.payload)?;
        let words = |reason: &str| Some(preview(reason)).filter(|reason| !reason.is_empty());
        let (id, answer, is_granted) = match &ask {
            Ask::List => {
                let desk = self.decider.desk();
                let mut all: Vec<Shown> = desk.approvals.requests().into_iter().map(shown).collect();
                drop(desk);
                all.retain(|request| self.may_see(stream, &request.session));
                return Ok(serde_json::to_vec(&all)?);
            }
            Ask::Grant { id, reason, minutes, reach } => {
                let minutes = minutes.unwrap_or(GRANT_MINUTES);
                anyhow::ensure!(
                    (1..=MAX_GRANT_MINUTES).contains(&minutes),
                    "a grant lasts from 1 to {MAX_GRANT_MINUTES} minutes"
                );
                let expires = Some(Timestamp(self.now().0 + minutes * 60_000_000_000));
                let answer =
                    Approval { reason: words(reason), expires, reach: Some(*reach), ..Approval::default() };
                (id, answer, true)
            }
            Ask::Deny { id, reason } => {
                (id, Approval { reason: words(reason), ..Approval::default() }, false)
            }
        };
        let observed = self.person(stream)?;
        let by = self.name_of(&observed);
        let asked = self.decider.desk().approvals.answerable(id, &by)?.clone();
        if is_granted {
            self.differs(&asked.session, &observed)?;
        }
        let answer = Approval {
            by: Some(DecidedBy::Approver),
            tool: asked.approval.tool.clone(),
            summary: asked.approval.summary.clone(),
            digest: asked.approval.digest.clone(),
            ..answer
        };
        let body = if is_granted { Body::ApprovalGrant(answer) } else { Body::ApprovalDeny(answer) };
        self.record_answer(&asked, body, Some(observed))?;
        let desk = self.decider.desk();
        let now = desk.approvals.request(asked.id).map(shown);
        Ok(serde_json::to_vec(&now)?)
    }

    /// Who is at the other end of the connection, if that can be a person who decides: not an
    /// agent, nor a program that an agent started.
    fn person(&self, stream: Option<&UnixStream>) -> anyhow::Result<Observed> {
        let stream = stream.ok_or_else(|| anyhow::anyhow!("an answer has to come over the socket"))?;
        let observed = surroundings::peer(stream, self.now());
        anyhow::ensure!(observed.uid.is_some(), "the system does not tell who connects");
        let desk = self.decider.desk();
        if let Some(agent) = surroundings::ancestors(stream)
            .into_iter()
            .find(|pid| desk.is_agent(*pid, surroundings::began(*pid)))
        {
            anyhow::bail!(
                "an agent (pid {agent}) can't decide what agents may do; answer from a terminal of your own"
            );
        }
        drop(desk);
        anyhow::ensure!(
            !surroundings::is_below_agent(stream),
            "a program that an agent started can't decide what agents may do; answer from a terminal of your own"
        );
        let principal = observed.uid.map(|uid| self.principal(uid));
        let login = principal.and_then(|principal| principal.name).unwrap_or_default();
        anyhow::ensure!(
            self.approvals.approvers.is_empty() || self.approvals.approvers.contains(&login),
            "{} is not among the approvers of config.toml",
            self.name_of(&observed)
        );
        Ok(observed)
    }

    fn name_of(&self, observed: &Observed) -> String {
        let Some(uid) = observed.uid else { return "unknown".to_owned() };
        match self.principal(uid).name {
            Some(name) => format!("{name} (uid:{uid})"),
            None => format!("uid:{uid}"),
        }
    }

    /// Records an answer and wakes who waits for it, once it is durable.
    fn record_answer(
        &self,
        asked: &approvals::Request,
        body: Body,
        by: Option<Observed>,
    ) -> anyhow::Result<()> {
        let links = vec![Link { rel: Rel::Approves, id: asked.id }];
        let ready = |desk: &mut Desk| -> anyhow::Result<()> {
            // Two may answer at once: the first one counts.
            let by = by.as_ref().map_or_else(|| "time-out".to_owned(), |observed| self.name_of(observed));
            let now = desk.approvals.answerable(&asked.id.to_string(), &by)?;
            anyhow::ensure!(by != "time-out" || now.standing == Standing::Waiting, "it has been answered");
            desk.unsettled.insert(asked.id);
            Ok(())
        };
        let recorded =
            self.record_about(&asked.session, asked.agent.clone(), body, links, by.clone(), &ready);
        self.decider.desk().unsettled.remove(&asked.id);
        self.decider.answered.notify_all();
        recorded
    }

    /// Answers `fdr intent set`.
    pub(crate) fn answer_intent(&self, request: &Request, stream: Option<&UnixStream>) -> Response {
        let set = || -> anyhow::Result<Vec<u8>> {
            let declare: Declare = serde_json::from_slice(&request.payload)?;
            let observed = self.person(stream)?;
            self.differs(&declare.session, &observed)?;
            let env = self.env_of(&declare.cwd);
            let repo = env.repo.clone().unwrap_or_else(|| declare.cwd.clone());
            let place = Place { cwd: &declare.cwd, home: &request.home, repo: &repo };
            let mut intent = intent::declared(&declare.rules, &place)?;
            intent.source = IntentSource::Declared;
            if let Some(minutes) = declare.minutes {
                anyhow::ensure!(minutes >= 1, "an intent lasts at least one minute");
                intent.expires = Some(Timestamp(self.now().0 + minutes * 60_000_000_000));
            }
            let shown = serde_json::to_vec(&intent)?;
            self.record_about(
                &declare.session,
                None,
                Body::Intent(intent),
                Vec::new(),
                Some(observed),
                &|_| Ok(()),
            )?;
            Ok(shown)
        };
        match set() {
            Ok(stdout) => Response { stdout, recorded: true, ..Response::default() },
            Err(error) => Response::failed(format!("{error:#}")),
        }
    }
}

fn shown(request: &approvals::Request) -> Shown {
    let (standing, detail) = match &request.standing {
        Standing::Waiting => ("waiting", String::new()),
        Standing::Granted(approved) => ("granted", approved.by.clone()),
        Standing::Refused(reason) => ("refused", reason.clone()),
    };
    Shown {
        id: request.id,
        since: request.since,
        session: request.session.clone(),
        agent: request.agent.as_ref().map(|agent| agent.name.clone()).unwrap_or_default(),
        approval: request.approval.clone(),
        standing: standing.to_owned(),
        detail,
        agreed: request.agreed.iter().cloned().collect(),
    }
}
