//! Builds the records of one message: fills the envelope, keeps sizes within limits, lets the
//! state observe each record.

use crate::{Arrival, Captured, State};
use fdr_record::{
    ActionBody, Agent, Body, Claimed, ContentRef, Link, Observed, PolicyDecision, Record, RecordId, Rel,
    Unparsed, VERSION, Verdict, preview,
};

/// The longest name, id or path that stands in a record, in bytes; the whole is in the content.
pub(crate) const MAX_NAME_BYTES: usize = 1_024;
/// Room that the actions of a call may take in a record, in bytes of JSON.
const MAX_ACTIONS_BYTES: usize = 32 * 1024;
/// The most reasons for opacity that a record lists.
const MAX_REASONS: usize = 32;

/// Makes the records of one message.
pub(crate) struct Writer<'a, 'b> {
    pub(crate) arrival: &'a Arrival<'b>,
    pub(crate) state: &'a mut State,
    pub(crate) out: Captured,
}

/// `text`, cut at a character so that it has at most [`MAX_NAME_BYTES`].
pub(crate) fn cap(text: &str) -> String {
    if text.len() <= MAX_NAME_BYTES {
        return text.to_owned();
    }
    let mut end = MAX_NAME_BYTES - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(crate) fn new(arrival: &'a Arrival<'b>, state: &'a mut State) -> Writer<'a, 'b> {
        Writer { arrival, state, out: Captured::default() }
    }

    /// Keeps bytes out of line and gives the reference to them.
    pub(crate) fn content(&mut self, scope: &str, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        let (mut reference, content) = self.arrival.content_key.seal(scope, role, media, bytes);
        if role == "raw" {
            reference.redacted = self.arrival.redacted;
        }
        if !self.out.contents.contains(&content) {
            self.out.contents.push(content);
        }
        reference
    }

    /// Adds a record and lets the state see it.
    pub(crate) fn record(
        &mut self,
        session: Option<&str>,
        agent: Option<Agent>,
        claimed: Claimed,
        links: Vec<Link>,
        body: Body,
        content: Vec<ContentRef>,
    ) -> RecordId {
        let arrival = self.arrival;
        let mut env = arrival.env.clone();
        if let Some(cwd) = &claimed.cwd {
            env.cwd = Some(cwd.clone());
        }
        let record = Record {
            v: VERSION,
            id: self.state.ids.next(arrival.now),
            kind: body.kind(),
            ts: arrival.now,
            mono: arrival.mono,
            seq: match session {
                Some(session) => self.state.next_seq(session),
                None => self.state.own_seq(),
            },
            session: session.map(str::to_owned),
            agent,
            principal: arrival.principal.clone(),
            trace: None,
            links,
            claimed: Some(claimed),
            observed: Some(arrival.observed.clone()).filter(|observed| *observed != Observed::default()),
            env: Some(env),
            body,
            content,
        };
        self.state.observe(&record);
        let id = record.id;
        self.out.records.push(record);
        id
    }

    /// What our policy says. There is none yet, and the record says so.
    pub(crate) fn policy(&self) -> PolicyDecision {
        PolicyDecision {
            decision: Verdict::Permit,
            mode: self.arrival.mode,
            reason: "no policy set is loaded".to_owned(),
            policies: Vec::new(),
            set: None,
            took_us: 0,
        }
    }
}

/// Cuts what would make an action's record too large; what is left out is counted, and can be
/// had again from the raw content.
pub(crate) fn bound(mut body: ActionBody) -> ActionBody {
    for action in &mut body.actions {
        for resource in [Some(&mut action.resource), action.to.as_mut()].into_iter().flatten() {
            if resource.as_str().len() > MAX_NAME_BYTES {
                *resource = fdr_record::Resource::new(resource.kind(), cap(resource.name()));
                body.opaque.insert(0, "the name of a resource is longer than this record shows".to_owned());
            }
        }
    }
    let size = |action: &fdr_record::Action| {
        action.resource.as_str().len() + action.to.as_ref().map_or(0, |to| to.as_str().len()) + 96
    };
    let mut room = MAX_ACTIONS_BYTES;
    let fitting = body.actions.iter().take_while(|action| match room.checked_sub(2 * size(action)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    });
    let kept = fitting.count();
    body.actions_left_out += (body.actions.len() - kept) as u64;
    body.actions.truncate(kept);
    body.opaque.dedup();
    if body.opaque.len() > MAX_REASONS {
        let more = body.opaque.len() - MAX_REASONS;
        body.opaque.truncate(MAX_REASONS);
        body.opaque.push(format!("and {more} reasons more"));
    }
    body.opaque = body.opaque.iter().map(|reason| preview(reason)).collect();
    body
}

/// One `unparsed` record with the bytes as they came.
pub(crate) fn unparsed(
    runtime: &str,
    event: Option<&str>,
    payload: &[u8],
    reason: &str,
    arrival: &Arrival<'_>,
    state: &mut State,
) -> Captured {
    let mut writer = Writer::new(arrival, state);
    let raw = writer.content("", "raw", "application/octet-stream", payload.to_vec());
    let claimed =
        Claimed { source: cap(&format!("{runtime}:{}", event.unwrap_or("unknown"))), ..Claimed::default() };
    let body = Body::Unparsed(Unparsed { reason: cap(reason), event: event.map(cap) });
    writer.record(None, None, claimed, Vec::new(), body, vec![raw]);
    writer.out
}

/// A link.
pub(crate) fn link(rel: Rel, id: RecordId) -> Link {
    Link { rel, id }
}
