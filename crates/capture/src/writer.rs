//! Builds the records of one message: fills the envelope, keeps sizes within limits, lets the
//! state observe each record.

use crate::{Arrival, Captured, State};
use fdr_record::{
    Action, ActionBody, Agent, Body, Claimed, Content, ContentRef, Env, Gap, Hazard, Link, Observed,
    Principal, Record, RecordId, Rel, Resource, Trace, Unparsed, VERSION, preview,
};
use std::collections::{HashMap, HashSet};

/// The longest name, id or path that stands in a record, in bytes of JSON; the whole is in the
/// content.
pub(crate) const MAX_NAME_BYTES: usize = 1_024;
/// Room that the actions of a call may take in a record, in bytes of JSON.
const MAX_ACTIONS_BYTES: usize = 20 * 1024;
/// How many names out of code a record lists.
const MAX_NAMED: usize = 16;
/// Room that the reasons for opacity may take, in bytes of JSON.
const MAX_REASONS_BYTES: usize = 8 * 1024;
/// Room that the records of one message may take, in bytes of JSON: they are written at once,
/// and the log takes 4 MiB at once.
const MAX_RECORDS_BYTES: usize = 2 * 1024 * 1024;

/// Makes the records of one message.
pub(crate) struct Writer<'a, 'b> {
    pub(crate) arrival: &'a Arrival<'b>,
    pub(crate) state: &'a mut State,
    pub(crate) permission_mode: Option<String>,
    pub(crate) out: Captured,
    /// Content that no record refers to yet, by digest. What is only made to be compared stays
    /// here and is dropped.
    pending: HashMap<String, Content>,
    /// Salts of the contents of `out`.
    stored: HashSet<[u8; 16]>,
    /// Bytes that the records of `out` take.
    bytes: usize,
}

/// Bytes that a character takes in a JSON string.
fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\u{8}' | '\u{9}' | '\u{a}' | '\u{c}' | '\u{d}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

/// `text`, cut so that it takes at most [`MAX_NAME_BYTES`] in JSON (and three for the mark).
pub(crate) fn cap(text: &str) -> String {
    let mut room = MAX_NAME_BYTES;
    for (at, c) in text.char_indices() {
        match room.checked_sub(json_bytes(c)) {
            Some(left) => room = left,
            None => return format!("{}…", &text[..at]),
        }
    }
    text.to_owned()
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(crate) fn new(arrival: &'a Arrival<'b>, state: &'a mut State) -> Writer<'a, 'b> {
        Writer {
            arrival,
            state,
            permission_mode: None,
            out: Captured::default(),
            pending: HashMap::new(),
            stored: HashSet::new(),
            bytes: 0,
        }
    }

    /// Whether there is room for more records of this message.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < MAX_RECORDS_BYTES
    }

    /// Keeps bytes out of line and gives the reference to them; they are stored if a record
    /// refers to them.
    pub(crate) fn content(&mut self, scope: &str, role: &str, media: &str, bytes: Vec<u8>) -> ContentRef {
        let (mut reference, content) = self.arrival.content_key.seal(scope, role, media, bytes);
        if role == "raw" {
            reference.redacted = self.arrival.redacted;
        }
        if !self.stored.contains(&content.salt) {
            self.pending.insert(reference.digest.clone(), content);
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
        for reference in &content {
            if let Some(content) = self.pending.remove(&reference.digest) {
                // The salt is made from the content: the same one means the same bytes.
                self.stored.insert(content.salt);
                self.out.contents.push(content);
            }
        }
        let mut env = short_env(&arrival.env);
        if let Some(cwd) = &claimed.cwd {
            env.cwd = Some(cwd.clone());
        }
        env.permission_mode = self.permission_mode.clone().or(env.permission_mode);
        let observed = Observed {
            exe: arrival.observed.exe.as_deref().map(cap),
            cgroup: arrival.observed.cgroup.as_deref().map(cap),
            ..arrival.observed.clone()
        };
        let principal = arrival.principal.as_ref().map(|principal| Principal {
            kind: cap(&principal.kind),
            id: cap(&principal.id),
            name: principal.name.as_deref().map(cap),
        });
        let mut record = Record {
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
            principal,
            trace: trace(arrival),
            links,
            claimed: Some(claimed),
            observed: Some(observed).filter(|observed| *observed != Observed::default()),
            env: Some(env),
            body,
            sealed: None,
            content,
        };
        self.state.decide(&mut record, &arrival.home);
        self.bytes += record.to_line().len();
        self.state.observe(&record);
        let id = record.id;
        self.out.records.push(record);
        id
    }
}

/// File names are the agent's to choose, and may be long.
fn short_env(env: &Env) -> Env {
    let short = |text: &Option<String>| text.as_deref().map(cap);
    Env {
        host: short(&env.host),
        os: short(&env.os),
        cwd: short(&env.cwd),
        repo: short(&env.repo),
        commit: short(&env.commit),
        branch: short(&env.branch),
        container: short(&env.container),
        permission_mode: short(&env.permission_mode),
        sandbox: short(&env.sandbox),
    }
}

/// A resource whose name is cut where it is too long for a record.
pub(crate) fn short(resource: Resource) -> Resource {
    let name = cap(resource.name());
    if name == resource.name() { resource } else { Resource::new(resource.kind(), name) }
}

/// Cuts what would make an action's record too large; what is left out is counted, and can be
/// had again from the raw content.
pub(crate) fn bound(mut body: ActionBody) -> ActionBody {
    let mut is_cut = false;
    for action in &mut body.actions {
        for resource in [Some(&mut action.resource), action.to.as_mut()].into_iter().flatten() {
            let cut = short(resource.clone());
            is_cut |= cut != *resource;
            *resource = cut;
        }
        action.resolves_to = action.resolves_to.as_deref().map(cap);
    }
    if is_cut {
        body.opaque.insert(0, "the name of a resource is longer than this record shows".to_owned());
    }
    let size = |action: &Action| serde_json::to_vec(action).map_or(MAX_ACTIONS_BYTES, |json| json.len() + 1);
    let kept = fitting(body.actions.iter().map(size), MAX_ACTIONS_BYTES);
    body.actions_left_out += (body.actions.len() - kept) as u64;
    body.actions.truncate(kept);
    let named = body.named.len();
    body.named.retain(|resource| short(resource.clone()) == *resource);
    body.named.truncate(MAX_NAMED);
    if is_cut || body.actions_left_out > 0 || body.named.len() < named {
        body.hazards.push(Hazard::LeftOut);
    }
    body.opaque = body.opaque.iter().map(|reason| preview(reason)).collect();
    let size = |reason: &String| reason.chars().map(json_bytes).sum::<usize>() + 3;
    let kept = fitting(body.opaque.iter().map(size), MAX_REASONS_BYTES);
    if kept < body.opaque.len() {
        let more = body.opaque.len() - kept;
        body.opaque.truncate(kept);
        body.opaque.push(format!("and {more} reasons more"));
    }
    body
}

/// How many of the first `sizes` fit into `room`.
pub(crate) fn fitting(sizes: impl Iterator<Item = usize>, mut room: usize) -> usize {
    sizes
        .take_while(|&size| match room.checked_sub(size) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        })
        .count()
}

/// Says that a message holds more than could be recorded of it at once.
pub(crate) fn left_out(what: &str, detail: String) -> Body {
    Body::Gap(Gap { what: what.to_owned(), detail, millis: None })
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

/// The trace that the runtime says it is in (W3C Trace Context, section 3.2.2).
pub(crate) fn trace(arrival: &Arrival<'_>) -> Option<Trace> {
    let (_, value) = arrival.variables.iter().find(|(name, _)| name == "TRACEPARENT")?;
    let mut fields = value.split('-');
    let (version, trace_id, parent_id) = (fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    (is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(parent_id, 16)).then(|| Trace {
        trace_id: trace_id.to_owned(),
        span_id: None,
        parent_id: Some(parent_id.to_owned()),
    })
}

/// A link.
pub(crate) fn link(rel: Rel, id: RecordId) -> Link {
    Link { rel, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdr_record::{ContentKey, Env, Mode, Timestamp};

    #[test]
    fn a_trace_is_taken_from_a_well_formed_header_only() {
        let key = ContentKey::new([0; 32]);
        let trace_of = |value: &str| {
            trace(&Arrival {
                now: Timestamp(0),
                mono: 0,
                observed: Observed::default(),
                principal: None,
                env: Env::default(),
                variables: vec![("TRACEPARENT".to_owned(), value.to_owned())],
                home: String::new(),
                mode: Mode::Observe,
                content_key: &key,
                redacted: 0,
                attachment: None,
                identities: Vec::new(),
                ancestors: Vec::new(),
            })
        };
        let good = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").expect("a trace");
        assert_eq!(good.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(good.parent_id.as_deref(), Some("b7ad6b7169203331"));
        for bad in [
            "",
            "00-",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_of(bad), None, "{bad}");
        }
    }
}
