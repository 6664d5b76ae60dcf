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
