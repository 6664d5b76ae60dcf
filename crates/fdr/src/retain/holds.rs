//! Legal holds: what must stay, whatever a retention rule or an erasure says.
//!
//! A hold is a record (`config.change`, `legal_hold`), and its release is another: the log itself tells what is held, by
//! whom and why. A pruning that would remove the record of a hold in force writes it anew first.

use anyhow::Context;
use fdr_log::Reader;
use fdr_record::{Body, ConfigChange, Record, Timestamp};
use serde::{Deserialize, Serialize};

/// What such a record says has changed.
pub const WHAT: &str = "legal_hold";

/// A hold. What it does not name it does not restrict: one that names nothing holds everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name, by which it is released.
    pub id: String,
    /// Only this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only what is about this person or service: the id or name of a principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Only from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only up to this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// On whose authority.
    pub authority: String,
    /// Why.
    pub reason: String,
}

/// The detail of such a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// From here on it is held.
    Add(Hold),
    /// From here on it is not.
    Release {
        /// The hold's name.
        id: String,
        /// On whose authority.
        authority: String,
        /// Why.
        reason: String,
    },
}

impl Change {
    /// The record's body.
    pub fn body(&self) -> Body {
        Body::ConfigChange(ConfigChange {
            what: WHAT.to_owned(),
            resource: None,
            detail: serde_json::to_string(self).ok(),
        })
    }
}

/// A hold in force and where it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The hold.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was put.
    pub since: Timestamp,
    /// The record that says so.
    pub index: u64,
}

impl Hold {
    /// Whether a record is held.
    pub fn covers(&self, session: Option<&str>, subjects: &[&str], ts: Timestamp) -> bool {
        self.session.as_deref().is_none_or(|of| session == Some(of))
            && self.subject.as_deref().is_none_or(|of| subjects.contains(&of))
            && self.from.is_none_or(|from| from <= ts)
            && self.to.is_none_or(|to| ts <= to)
    }

    /// What it holds, in words.
    pub fn scope(&self) -> String {
        let named = [
            self.session.as_ref().map(|session| format!("session {session}")),
            self.subject.as_ref().map(|subject| format!("subject {subject}")),
            self.from.map(|from| format!("from {from}")),
            self.to.map(|to| format!("to {to}")),
        ];
        let named: Vec<String> = named.into_iter().flatten().collect();
        if named.is_empty() { "everything".to_owned() } else { named.join(", ") }
    }
}

/// The holds in force.
#[derive(Clone, Debug, Default)]
pub struct Holds(pub Vec<Held>);

impl Holds {
    /// Reads the log.
    ///
    /// # Errors
    /// When it can't be read, or a record of a hold can't: nothing may go while it is not known what is held.
    pub fn read(reader: &Reader) -> anyhow::Result<Holds> {
        let named = memchr::memmem::Finder::new(b"\"legal_hold\"");
        let mut holds = Holds::default();
        for entry in reader.records(0) {
            let entry = entry.context("can't tell what is held: the log can't be read (see fdr verify)")?;
            if named.find(&entry.bytes).is_none() {
                continue;
            }
            // Others may speak of holds; only the recorder writes this body.
            let Ok(record) = Record::parse(&entry.bytes) else { continue };
            let Body::ConfigChange(ConfigChange { what, detail, .. }) = &record.body else { continue };
            if what != WHAT || record.session.is_some() {
                continue;
            }
            let change = serde_json::from_str(detail.as_deref().unwrap_or_default());
            let change =
                change.with_context(|| format!("record {} is of a hold and can't be read", entry.index))?;
            holds.apply(change, record.ts, entry.index);
        }
        Ok(holds)
    }

    fn apply(&mut self, change: Change, since: Timestamp, index: u64) {
        match change {
            Change::Add(hold) => match self.0.iter_mut().find(|held| held.hold.id == hold.id) {
                // Written anew by a pruning: since when it holds stays.
                Some(held) => (held.hold, held.index) = (hold, index),
                None => self.0.push(Held { hold, since, index }),
            },
            Change::Release { id, .. } => self.0.retain(|held| held.hold.id != id),
        }
    }

    /// The hold that keeps something from being erased or removed: content of a session, or about a subject, of a span of
    /// time. What is not known of it (`None`) is taken to be held.
    pub fn blocks(
        &self,
        session: Option<&str>,
        subject: Option<&str>,
        span: Option<(Timestamp, Timestamp)>,
    ) -> Option<&Held> {
        let may_be = |of: &Option<String>, known: Option<&str>| {
            of.as_deref().is_none_or(|of| known.is_none_or(|known| known == of))
        };
        self.0.iter().find(|Held { hold, .. }| {
            may_be(&hold.session, session)
                && may_be(&hold.subject, subject)
                && span.is_none_or(|(first, last)| {
                    hold.from.is_none_or(|from| from <= last) && hold.to.is_none_or(|to| first <= to)
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str) -> Hold {
        Hold {
            id: id.to_owned(),
            session: None,
            subject: None,
            from: None,
            to: None,
            authority: "counsel".to_owned(),
            reason: "a case".to_owned(),
        }
    }

    #[test]
    fn a_hold_restricts_by_what_it_names_only() {
        let time = Timestamp;
        let mut one = hold("a");
        assert!(one.covers(None, &[], time(5)));
        assert_eq!(one.scope(), "everything");
        one.session = Some("s".to_owned());
        assert!(one.covers(Some("s"), &[], time(5)) && !one.covers(Some("t"), &[], time(5)));
        assert!(!one.covers(None, &[], time(5)));
        one.subject = Some("uid:1000".to_owned());
        assert!(
            one.covers(Some("s"), &["uid:1000", "alice"], time(5))
                && !one.covers(Some("s"), &["bob"], time(5))
        );
        (one.from, one.to) = (Some(time(4)), Some(time(6)));
        assert!(
            one.covers(Some("s"), &["uid:1000"], time(4)) && !one.covers(Some("s"), &["uid:1000"], time(7))
        );
    }

    #[test]
    fn what_is_not_known_is_taken_to_be_held() {
        let mut holds = Holds::default();
        assert!(holds.blocks(None, None, None).is_none());
        holds.apply(Change::Add(Hold { session: Some("s".to_owned()), ..hold("a") }), Timestamp(1), 0);
        assert!(holds.blocks(Some("s"), None, None).is_some());
        assert!(holds.blocks(Some("t"), None, None).is_none());
        assert!(holds.blocks(None, Some("alice"), None).is_some(), "it may be that session");
        holds.apply(Change::Add(Hold { to: Some(Timestamp(10)), ..hold("b") }), Timestamp(2), 1);
        assert_eq!(
            holds.blocks(Some("t"), None, Some((Timestamp(9), Timestamp(20)))).map(|h| h.index),
            Some(1)
        );
        assert!(holds.blocks(Some("t"), None, Some((Timestamp(11), Timestamp(20)))).is_none());
        // Written anew it is the same hold; released it is none.
        holds.apply(Change::Add(Hold { session: Some("s".to_owned()), ..hold("a") }), Timestamp(9), 7);
        assert_eq!((holds.0[0].since, holds.0[0].index), (Timestamp(1), 7));
        let release =
            |id: &str| Change::Release { id: id.to_owned(), authority: String::new(), reason: String::new() };
        holds.apply(release("a"), Timestamp(11), 8);
        holds.apply(release("b"), Timestamp(11), 9);
        assert!(holds.0.is_empty());
    }
}
