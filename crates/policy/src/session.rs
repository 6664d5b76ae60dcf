//! What a decision needs to know of the session beside the action: workspace, taint, counts,
//! intent. It grows by records alone, and is written into the record of each action.

use crate::pattern::is_below;
use fdr_record::{
    Action, ActionBody, Body, Count, Facts, Intent, Mode, Outcome, Record, RecordId, Rel, Taint, Verb,
    Verdict,
};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Sessions kept; the one that was silent longest goes first.
const MAX_SESSIONS: usize = 1_024;
/// Held calls of which it is remembered what they would take in.
const MAX_HELD: usize = 256;
/// Roots of a workspace.
const MAX_ROOTS: usize = 32;

/// All sessions that are going on.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: HashMap<String, Session>,
    turn: u64,
}

/// One session.
#[derive(Debug, Default)]
struct Session {
    last_turn: u64,
    workspace: Vec<String>,
    taint: BTreeSet<Taint>,
    counts: HashMap<Verb, u64>,
    intent: Option<(RecordId, Intent)>,
    /// What a call that was not let through at once takes in if it runs after all.
    held: VecDeque<(RecordId, Vec<Taint>)>,
}

/// The session whose facts count for a record: a proxy of an MCP server works for the agent that
/// started it.
pub fn governing(record: &Record) -> Option<&str> {
    let agent = record.agent.as_ref();
    let parent =
        agent.filter(|agent| agent.runtime.starts_with("mcp:")).and_then(|agent| agent.parent.as_deref());
    parent.or(record.session.as_deref())
}

/// Whether the action of this record was kept from running when it was decided on.
fn is_held(body: &ActionBody) -> bool {
    body.policy.mode == Mode::Enforce && body.policy.decision != Verdict::Permit && body.approved.is_none()
}

impl Sessions {
    /// Takes in one record, in the order of the log. `taints` says what an action takes in when
    /// it runs.
    pub fn observe(&mut self, record: &Record, taints: &dyn Fn(&Record) -> Vec<Taint>) {
        let Some(id) = governing(record) else { return };
        self.turn += 1;
        if !self.by_id.contains_key(id) {
            if self.by_id.len() >= MAX_SESSIONS {
                let silent = self.by_id.iter().min_by_key(|(_, session)| session.last_turn);
                let silent = silent.map(|(id, _)| id.clone());
                silent.map(|id| self.by_id.remove(&id));
            }
            self.by_id.insert(id.to_owned(), Session::default());
        }
        if let Some(session) = self.by_id.get_mut(id) {
            session.last_turn = self.turn;
            session.observe(record, taints);
        }
    }

    /// Forgets a session, whose records are taken in again from the first one.
    pub fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// What is known before this action.
    pub fn facts(&self, record: &Record, body: &ActionBody, home: &str) -> Facts {
        let session = governing(record).and_then(|id| self.by_id.get(id));
        let mut verbs: Vec<Verb> = body.actions.iter().map(|action| action.action).collect();
        verbs.sort_unstable();
        verbs.dedup();
        let count = |action: Verb| session.and_then(|session| session.counts.get(&action)).copied();
        Facts {
            workspace: match session.map(|session| &session.workspace) {
                Some(roots) if !roots.is_empty() => roots.clone(),
                _ => root(record).into_iter().collect(),
            },
            home: home.to_owned(),
            taint: session.map(|session| session.taint.iter().copied().collect()).unwrap_or_default(),
            so_far: verbs
                .into_iter()
                .filter_map(|action| Some(Count { action, count: count(action).filter(|&count| count > 0)? }))
                .collect(),
        }
    }

    /// The intent in force, and its record.
    pub fn intent(&self, record: &Record) -> Option<(RecordId, &Intent)> {
        let session = self.by_id.get(governing(record)?)?;
        session.intent.as_ref().map(|(id, intent)| (*id, intent))
    }
}

/// The folder that a session works in, as this record tells.
fn root(record: &Record) -> Option<String> {
    let env = record.env.as_ref()?;
    env.repo.clone().or_else(|| env.cwd.clone()).filter(|path| path.starts_with('/'))
}

impl Session {
    fn observe(&mut self, record: &Record, taints: &dyn Fn(&Record) -> Vec<Taint>) {
        if self.workspace.is_empty() {
            // A record that was decided on knows it better than one that came after a restart.
            let known = match &record.body {
                Body::Action(body) => body.facts.as_ref().map(|facts| facts.workspace.clone()),
                _ => None,
            };
            self.workspace = known.unwrap_or_else(|| root(record).into_iter().collect());
        }
        match &record.body {
            Body::Intent(intent) => self.intent = Some((record.id, intent.clone())),
            // The user let the agent into another folder; not into what holds the workspace, the
            // home folder or all of the system.
            Body::ConfigChange(change)
                if matches!(change.what.as_str(), "DirectoryAdded" | "WorktreeCreate") =>
            {
                if let Some(resource) = &change.resource
                    && self.workspace.len() < MAX_ROOTS
                    && !self.workspace.iter().any(|root| is_below(root, resource.name()))
                    && resource.name().trim_matches('/').contains('/')
                {
                    self.workspace.push(resource.name().to_owned());
                }
            }
            Body::Action(body) => {
                if let Some(facts) = &body.facts {
                    self.taint.extend(&facts.taint);
                    for Count { action, count } in &facts.so_far {
                        let known = self.counts.entry(*action).or_default();
                        *known = (*known).max(*count);
                    }
                }
                if is_held(body) {
                    let taken = taints(record);
                    if !taken.is_empty() {
                        self.held.push_back((record.id, taken));
                    }
                    if self.held.len() > MAX_HELD {
                        self.held.pop_front();
                    }
                } else {
                    // Before its result is there: another call may run beside it.
                    self.taint.extend(taints(record));
                }
                for Action { action, .. } in &body.actions {
                    *self.counts.entry(*action).or_default() += 1;
                }
            }
            Body::Result(result) if !matches!(result.outcome, Outcome::Denied | Outcome::Rejected) => {
                if let Some(action) = record.link(Rel::ResultOf)
                    && let Some(at) = self.held.iter().position(|(held, _)| *held == action)
                    && let Some((_, taken)) = self.held.remove(at)
                {
                    self.taint.extend(taken);
                }
                if record.content.iter().any(|content| content.redacted > 0) {
                    self.taint.insert(Taint::Secret);
                }
                if !result.signs.is_empty() {
                    self.taint.insert(Taint::Injection);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use fdr_record::{ContentRef, ResultBody};

    fn body(record: &Record) -> &ActionBody {
        match &record.body {
            Body::Action(body) => body,
            _ => panic!("an action"),
        }
    }

    fn facts(sessions: &Sessions, record: &Record) -> Facts {
        sessions.facts(record, body(record), sample::HOME)
    }

    /// Reading `secret.txt` takes in a secret.
    fn taints(record: &Record) -> Vec<Taint> {
        let is_secret =
            |action: &Action| action.action == Verb::Read && action.resource.name().contains("secret");
        if body(record).actions.iter().any(is_secret) { vec![Taint::Secret] } else { Vec::new() }
    }

    fn decided(command: &str, mode: Mode, decision: Verdict) -> Record {
        let mut record = sample::shell(command, mode);
        if let Body::Action(body) = &mut record.body {
            body.policy.decision = decision;
        }
        record
    }

    fn result(of: &Record, outcome: Outcome) -> Record {
        let body = Body::Result(ResultBody {
            tool: "Bash".into(),
            outcome,
            exit_code: None,
            duration_ms: None,
            reason: None,
            preview: None,
            runtime_decision: None,
            signs: Vec::new(),
            arguments_changed: false,
        });
        sample::about(of, body, &[(Rel::ResultOf, of.id)], None, of.ts.0)
    }

    #[test]
    fn the_workspace_is_where_the_session_began_wherever_the_agent_goes() {
        let mut sessions = Sessions::default();
        let first = sample::shell("ls", Mode::Observe);
        sessions.observe(&first, &taints);
        let mut moved = sample::shell("cd /etc; ls", Mode::Observe);
        moved.env = Some(fdr_record::Env { cwd: Some("/etc".into()), ..fdr_record::Env::default() });
        assert_eq!(facts(&sessions, &moved).workspace, [sample::PROJECT]);
        sessions.observe(&moved, &taints);
        assert_eq!(facts(&sessions, &moved).workspace, [sample::PROJECT]);
    }

    #[test]
    fn what_was_kept_from_running_taints_nobody_until_it_runs() {
        for (mode, decision, at_once) in [
            (Mode::Observe, Verdict::Deny, true),
            (Mode::Enforce, Verdict::Permit, true),
            (Mode::Enforce, Verdict::Deny, false),
            (Mode::Enforce, Verdict::Ask, false),
        ] {
            let mut sessions = Sessions::default();
            let read = decided("cat secret.txt", mode, decision);
            sessions.observe(&read, &taints);
            let next = sample::shell("ls", mode);
            assert_eq!(
                facts(&sessions, &next).taint.contains(&Taint::Secret),
                at_once,
                "{mode:?} {decision:?}"
            );
            sessions.observe(&result(&read, Outcome::Denied), &taints);
            assert_eq!(facts(&sessions, &next).taint.contains(&Taint::Secret), at_once);
            sessions.observe(&result(&read, Outcome::Ok), &taints);
            let known = at_once || decision != Verdict::Permit;
            assert_eq!(facts(&sessions, &next).taint.contains(&Taint::Secret), known);
        }
    }

    #[test]
    fn a_result_with_a_secret_or_an_injection_taints() {
        let mut sessions = Sessions::default();
        let read = sample::shell("cat notes.md", Mode::Enforce);
        sessions.observe(&read, &taints);
        let mut told = result(&read, Outcome::Ok);
        told.content.push(ContentRef {
            role: "raw".into(),
            digest: String::new(),
            len: 1,
            media: String::new(),
            redacted: 1,
            kid: None,
            sealed: None,
        });
        if let Body::Result(body) = &mut told.body {
            body.signs.push("ignore all previous instructions".into());
        }
        sessions.observe(&told, &taints);
        let next = sample::shell("ls", Mode::Enforce);
        assert_eq!(facts(&sessions, &next).taint, [Taint::Secret, Taint::Injection]);
    }

    #[test]
    fn what_a_record_was_decided_by_is_known_again_after_a_restart() {
        let mut sessions = Sessions::default();
        for _ in 0..3 {
            sessions.observe(&sample::shell("cat secret.txt; rm x", Mode::Enforce), &taints);
        }
        let mut last = sample::shell("rm y", Mode::Enforce);
        let known = facts(&sessions, &last);
        assert_eq!(known.so_far, [Count { action: Verb::Delete, count: 3 }]);
        if let Body::Action(body) = &mut last.body {
            body.facts = Some(known.clone());
        }
        let mut restarted = Sessions::default();
        restarted.observe(&last, &taints);
        let again = facts(&restarted, &sample::shell("rm z", Mode::Enforce));
        assert_eq!((again.taint, again.workspace), (known.taint, known.workspace));
        assert_eq!(again.so_far, [Count { action: Verb::Delete, count: 4 }]);
    }

    #[test]
    fn a_proxy_works_for_the_session_that_started_it() {
        let mut sessions = Sessions::default();
        sessions.observe(&sample::shell("cat secret.txt", Mode::Enforce), &taints);
        let mut call = sample::shell("ls", Mode::Enforce);
        call.session = Some("proxy".into());
        if let Some(agent) = &mut call.agent {
            agent.runtime = "mcp:mail".into();
            agent.parent = Some("s".into());
        }
        assert_eq!(facts(&sessions, &call).taint, [Taint::Secret]);
    }
}
