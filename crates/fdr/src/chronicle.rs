//! What a log tells of its recorder: heartbeats, held against the tree and the seal, and gaps.

use crate::heartbeat;
use crate::seal::EpochKey;
use crate::text::counted;
use fdr_log::CheckedRecord;
use fdr_record::{Body, Gap, Heartbeat, Kind, Record, Timestamp, hex, kind_of};
use std::collections::BTreeMap;

/// Gathered while a log is verified, record by record.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// A key that was exported beforehand, and goes on with the heartbeats.
    seal: Option<EpochKey>,
    /// The heartbeat at which it was exported.
    exported_at: Option<u64>,
    sealed: u64,
    heartbeats: u64,
    wrong: u64,
    first: Option<(u64, Timestamp)>,
    last: Option<Beat>,
    gaps: Vec<Told>,
    findings: Vec<String>,
}

#[derive(Clone, Debug)]
struct Beat {
    index: u64,
    ts: Timestamp,
    epoch: u64,
}

/// A gap that the log tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Index of its record.
    pub index: u64,
    /// When it was recorded.
    pub ts: Timestamp,
    /// What it says.
    pub gap: Gap,
}

impl Chronicle {
    /// Holds heartbeats against this key too.
    pub fn with_seal(seal: Option<EpochKey>) -> Chronicle {
        Chronicle { exported_at: seal.as_ref().map(EpochKey::epoch), seal, ..Chronicle::default() }
    }

    /// Takes a record in. What is wrong about a heartbeat is given back, and counts as damage of that record.
    pub fn see(&mut self, checked: &CheckedRecord<'_>) -> Option<String> {
        match kind_of(checked.bytes) {
            Some(kind) if kind == Kind::Heartbeat.as_str() => {
                let (record, body) = heartbeat::read(checked.bytes)?;
                let problem = self.beat(checked, &record, &body);
                self.heartbeats += 1;
                self.wrong += u64::from(problem.is_some());
                self.first.get_or_insert((body.epoch, record.ts));
                self.last = Some(Beat { index: checked.index, ts: record.ts, epoch: body.epoch });
                problem
            }
            Some(kind) if kind == Kind::Gap.as_str() || kind == Kind::LogTorn.as_str() => {
                let record = Record::parse(checked.bytes).ok()?;
                let gap = match record.body {
                    Body::Gap(gap) => gap,
                    Body::LogTorn(torn) => Gap {
                        what: "log_torn".to_owned(),
                        detail: format!(
                            "{} bytes of a write that was never acknowledged were set aside",
                            torn.bytes
                        ),
                        millis: None,
                    },
                    _ => return None,
                };
                self.gaps.push(Told { index: checked.index, ts: record.ts, gap });
                None
            }
            _ => None,
        }
    }

    fn beat(&mut self, checked: &CheckedRecord<'_>, record: &Record, body: &Heartbeat) -> Option<String> {
        let epoch = body.epoch;
        let mut problems = Vec::new();
        if let Some(last) = &self.last {
            if epoch != last.epoch + 1 {
                problems.push(format!(
                    "heartbeat {epoch} follows heartbeat {} (record {})",
                    last.epoch, last.index
                ));
            }
            if body.size <= last.index {
                problems
                    .push(format!("heartbeat {epoch} does not cover the one before (record {})", last.index));
            }
        }
        if body.size > checked.index {
            problems.push(format!(
                "heartbeat {epoch} speaks of {} records, and is number {}",
                body.size, checked.index
            ));
        } else if checked.root_at(body.size).is_some_and(|root| hex(&root) != body.root) {
            problems.push(format!("heartbeat {epoch} saw other records before it"));
        }
        if let Some(problem) = self.check_seal(checked, record, body) {
            problems.push(problem);
        }
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    fn check_seal(
        &mut self,
        checked: &CheckedRecord<'_>,
        record: &Record,
        body: &Heartbeat,
    ) -> Option<String> {
        let seal = self.seal.as_mut()?;
        if Some(body.epoch) < self.exported_at {
            return None;
        }
        let Ok(()) = seal.evolve_to(body.epoch) else {
            return Some(format!(
                "the seal of heartbeat {} can't be checked behind that of {}",
                body.epoch,
                seal.epoch()
            ));
        };
        if body.seal.as_deref().is_some_and(|text| seal.holds(checked.bytes, text)) {
            self.sealed += 1;
            return None;
        }
        Some(format!(
            "the seal of heartbeat {} ({}) is not by its key: it was made or changed afterwards",
            body.epoch, record.ts
        ))
    }

    /// Says what the end of the log leaves open, when all of it was seen.
    pub fn end(&mut self) {
        let Some(at) = self.exported_at else { return };
        // Every heartbeat before was there when the key was handed out.
        if self.last.as_ref().map_or(0, |last| last.epoch + 1) < at {
            let last = self.last.as_ref().map_or("none".to_owned(), |last| last.epoch.to_string());
            self.findings.push(format!(
                "the seal's key was handed out when heartbeat {} was there, and the log's last is {last}: its end was cut off",
                at - 1
            ));
        }
    }

    /// What speaks against the log, beside damage of single records.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Says it for people: title and text of each line. `all` lists every gap.
    pub fn lines(&self, all: bool) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for finding in &self.findings {
            lines.push(("HEARTBEATS", finding.clone()));
        }
        match (&self.first, &self.last) {
            (Some((first, since)), Some(last)) => {
                let holes = match self.wrong {
                    0 => "without a hole".to_owned(),
                    wrong => format!("({wrong} WRONG)"),
                };
                let seals = match self.exported_at {
                    Some(_) => format!("{} seals checked", self.sealed),
                    None => "seals not checked (--seal-key)".to_owned(),
                };
                lines.push((
                    "heartbeats",
                    format!("{first}–{} {holes}, {since} to {}, {seals}", last.epoch, last.ts),
                ));
            }
            _ => lines.push(("heartbeats", "none".to_owned())),
        }
        let mut by_what: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for told in &self.gaps {
            let (count, longest) = by_what.entry(&told.gap.what).or_default();
            *count += 1;
            *longest = (*longest).max(told.gap.millis.unwrap_or(0));
        }
        let kinds = by_what.iter().map(|(what, (count, longest))| match longest {
            0 => format!("{what} {count}"),
            _ => format!("{what} {count} (longest {})", seconds(*longest)),
        });
        let kinds: Vec<String> = kinds.collect();
        let which = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
        let more = if all || self.gaps.is_empty() { "" } else { "; --gaps lists them" };
        lines.push(("gaps", format!("{}{which}{more}", counted(self.gaps.len() as u64, "gap"))));
        for told in self.gaps.iter().filter(|_| all) {
            let long = told.gap.millis.map_or(String::new(), |millis| format!(", {}", seconds(millis)));
            lines.push((
                "gap",
                format!("record {} at {}: {}{long}: {}", told.index, told.ts, told.gap.what, told.gap.detail),
            ));
        }
        lines
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "heartbeats": {
                "count": self.heartbeats,
                "first": self.first.map(|(epoch, _)| epoch),
                "last": self.last.as_ref().map(|last| last.epoch),
                "last_ts": self.last.as_ref().map(|last| last.ts),
                "seals_checked": self.sealed,
                "findings": self.findings,
            },
            "gaps": self.gaps.iter().map(|told| serde_json::json!({
                "record": told.index,
                "ts": told.ts,
                "what": told.gap.what,
                "detail": told.gap.detail,
                "millis": told.gap.millis,
            })).collect::<Vec<_>>(),
        })
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
