//! Which segments may go: the whole ones at the beginning that no rule and no hold keeps.

use super::holds::{Held, Holds};
use super::rules::{Period, Settings};
use anyhow::Context;
use fdr_log::{Entry, Reader, SegmentInfo};
use fdr_record::{Timestamp, hex};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// What would go, and why the rest stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How long records are kept, and by which rule; `None`: nothing says so, and nothing goes.
    pub period: Option<Period>,
    /// Records written before may go.
    pub cutoff: Option<Timestamp>,
    /// The first record that is there now.
    pub first_now: u64,
    /// How many records the log has, those that went counted.
    pub size: u64,
    /// What would go.
    pub goes: Option<Goes>,
    /// The hold that keeps more from going, and the first record that it holds.
    pub held: Option<(String, u64)>,
    /// When the oldest record that would stay was written, at the earliest.
    pub oldest_kept: Option<Timestamp>,
}

/// The records that would go: all before `first_index`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goes {
    /// The first record that stays.
    pub first_index: u64,
    /// The segment that begins with it.
    pub first_segment: u64,
    /// How many segments go.
    pub segments: u64,
    /// How many records go.
    pub records: u64,
    /// Root of the tree of all records before `first_index`, 64 hex digits.
    pub root: String,
    /// When the newest record that goes was written.
    pub until: Timestamp,
    /// Sessions of which nothing would be left.
    pub sessions: Vec<String>,
}

/// What a plan has to know of a record.
#[derive(Deserialize)]
struct Brief<'a> {
    ts: Timestamp,
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    principal: Option<Subject<'a>>,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

impl Brief<'_> {
    fn of(entry: &Entry) -> Option<Brief<'_>> {
        serde_json::from_slice(&entry.bytes).ok()
    }

    /// Whether a hold keeps the record; one that can't be read is kept by any.
    fn is_held(brief: Option<&Brief<'_>>, held: &Held) -> bool {
        brief.is_none_or(|brief| {
            let of = brief.principal.as_ref();
            let subjects = of.map(|of| [of.id.as_deref(), of.name.as_deref()]);
            let subjects: Vec<&str> = subjects.into_iter().flatten().flatten().collect();
            held.hold.covers(brief.session.as_deref(), &subjects, brief.ts)
        })
    }
}

impl Plan {
    /// Makes the plan for `now`.
    ///
    /// # Errors
    /// When the log can't be read wholly: what can't be read may be what has to stay.
    pub fn make(reader: &Reader, settings: &Settings, holds: &Holds, now: Timestamp) -> anyhow::Result<Plan> {
        const UNREADABLE: &str = "nothing may go from a log that can't be read wholly; see fdr verify";
        let segments = reader.segments().context(UNREADABLE)?;
        let mut plan = Plan {
            period: settings.period(),
            first_now: reader.first_index(),
            size: reader.len(),
            oldest_kept: segments.first().map(|segment| Timestamp(segment.created_wall_ns)),
            ..Plan::default()
        };
        let Some(period) = &plan.period else { return Ok(plan) };
        let cutoff = now.0.saturating_sub(u64::from(period.days).saturating_mul(NANOS_PER_DAY));
        plan.cutoff = Some(Timestamp(cutoff));
        // Everything before a segment was written before it was begun. A clock that was set back must not make a
        // segment look older than one before it.
        let mut newest = 0;
        let old = |segment: &&SegmentInfo| {
            newest = newest.max(segment.created_wall_ns);
            newest < cutoff
        };
        let old: Vec<SegmentInfo> = segments.iter().skip(1).take_while(old).cloned().collect();
        let mut limit = old.last().map_or(plan.first_now, |segment| segment.first_index);
        if !holds.0.is_empty() {
            for entry in reader.records(0) {
                let entry = entry.context(UNREADABLE)?;
                if entry.index >= limit {
                    break;
                }
                let brief = Brief::of(&entry);
                if let Some(held) = holds.0.iter().find(|held| Brief::is_held(brief.as_ref(), held)) {
                    limit = entry.index;
                    plan.held = Some((held.hold.id.clone(), entry.index));
                    break;
                }
            }
        }
        for segment in old.iter().rev().filter(|segment| segment.first_index <= limit) {
            if segment.first_index > plan.first_now
                && reader.may_begin_at(segment.number).context(UNREADABLE)?
            {
                plan.goes = Some(goes(reader, segment, &segments, plan.first_now).context(UNREADABLE)?);
                plan.oldest_kept = Some(Timestamp(segment.created_wall_ns));
                break;
            }
        }
        Ok(plan)
    }
}

fn goes(
    reader: &Reader,
    first: &SegmentInfo,
    segments: &[SegmentInfo],
    first_now: u64,
) -> anyhow::Result<Goes> {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    let mut until = 0;
    for entry in reader.records(0) {
        let entry = entry?;
        if entry.index < first.first_index {
            until = until.max(entry.stored_wall_ns);
        }
        if let Some(session) = Brief::of(&entry).and_then(|brief| brief.session) {
            let of = if entry.index < first.first_index { &mut before } else { &mut after };
            if !of.contains(session.as_ref()) {
                of.insert(session.into_owned());
            }
        }
    }
    Ok(Goes {
        first_index: first.first_index,
        first_segment: first.number,
        segments: segments.iter().filter(|segment| segment.number < first.number).count() as u64,
        records: first.first_index - first_now,
        root: hex(&first.root),
        until: Timestamp(until),
        sessions: before.difference(&after).cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::holds::Hold;
    use super::*;
    use fdr_log::{Batch, Content, Log, Options, SigningKey};

    /// A log of several segments; session `a` in the first records, `b` after them, `c` all along.
    fn reader(dir: &std::path::Path) -> Reader {
        let key = SigningKey::from_seed(&[1; 32]);
        let options = Options { segment_bytes: 256 * 1024, seal: false, ..Options::new("plan.example", key) };
        let (log, _) = Log::open(dir, options).unwrap();
        for seq in 0..120u64 {
            let session = match seq {
                seq if seq % 10 == 0 => "c",
                seq if seq < 20 => "a",
                _ => "b",
            };
            let line = serde_json::json!({
                "ts": text(seq), "session": session, "kind": "prompt",
                "principal": { "id": if seq < 50 { "uid:1" } else { "uid:2" }, "name": "alice" },
            });
            let contents = vec![Content { salt: [seq as u8; 16], bytes: vec![7; 9000] }];
            log.append(Batch { source: [1; 16], seq, records: vec![line.to_string().into()], contents })
                .unwrap();
        }
        log.close().unwrap();
        Reader::open(dir).unwrap()
    }

    fn text(seq: u64) -> String {
        Timestamp(1_000_000_000 * seq).to_string()
    }

    #[test]
    fn whole_segments_go_when_the_longest_rule_is_over_and_nothing_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let reader = reader(dir.path());
        let segments = reader.segments().unwrap();
        let newest = segments.last().unwrap();
        let settings: Settings = toml::from_str("rules = ['pci-dss', 'eu-ai-act']").unwrap();
        let in_days = |days: u64| Timestamp(newest.created_wall_ns + days * NANOS_PER_DAY + 1);
        let plan = |days, holds: &[Held]| {
            Plan::make(&reader, &settings, &Holds(holds.to_vec()), in_days(days)).unwrap()
        };
        assert_eq!(plan(365, &[]).goes, None);
        let all = plan(366, &[]).goes.unwrap();
        assert_eq!((all.first_segment, all.first_index), (newest.number, newest.first_index));
        assert_eq!((all.segments, all.records), (newest.number, newest.first_index));
        assert_eq!(all.root, hex(&newest.root));
        assert_eq!(all.sessions, ["a"], "of the others something is left");
        let without_rule =
            Plan::make(&reader, &Settings::default(), &Holds::default(), in_days(9000)).unwrap();
        assert_eq!((without_rule.period, without_rule.goes), (None, None));

        let held = |session: Option<&str>, subject: Option<&str>, from: Option<u64>, to: Option<u64>| Held {
            hold: Hold {
                id: "h".to_owned(),
                session: session.map(str::to_owned),
                subject: subject.map(str::to_owned),
                from: from.map(|seq| Timestamp(1_000_000_000 * seq)),
                to: to.map(|seq| Timestamp(1_000_000_000 * seq)),
                authority: String::new(),
                reason: String::new(),
            },
            since: Timestamp(0),
            index: 0,
        };
        let before = |index: u64| {
            segments.iter().rev().find(|segment| segment.first_index <= index).unwrap().first_index
        };
        for (hold, first) in [
            (held(Some("b"), None, None, None), 21),
            (held(None, Some("uid:2"), None, None), 50),
            (held(None, None, Some(70), Some(80)), 70),
            (held(Some("c"), Some("uid:2"), Some(55), None), 60),
        ] {
            let plan = plan(366, &[hold]);
            assert_eq!(plan.held, Some(("h".to_owned(), first)));
            let kept = plan.goes.map_or(0, |goes| goes.first_index);
            assert_eq!(kept, before(first), "the segment of record {first} stays, and those before it go");
        }
        for hold in [held(None, None, None, None), held(None, Some("alice"), None, None)] {
            assert_eq!(plan(366, &[hold]).goes, None);
        }
        let elsewhere = plan(366, &[held(Some("x"), None, None, None)]);
        assert_eq!((elsewhere.held, elsewhere.goes.unwrap().first_index), (None, newest.first_index));
    }
}
