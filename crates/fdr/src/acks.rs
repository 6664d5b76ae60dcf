//! What an answer waits for beyond that a record is durable: a signed checkpoint, or the witnesses.
//!
//! A sender may ask for it (`FDR_LEVEL`), and the configuration may for destructive actions that are enforced
//! (`[acks]`). The wait has an end, and what is answered is what was reached by then, never more.

use crate::recorder::Recorder;
use fdr_hook::level::{self, Level};
use fdr_hook::wire::Request;
use fdr_record::{Body, Gap, Mode, Record, Verdict};
use serde::{Deserialize, Deserializer};
use std::time::{Duration, Instant};

/// The longest wait, in milliseconds: hooks have a deadline of ten seconds.
const MAX_WAIT_MS: u32 = 5_000;

/// The section `[acks]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What the record of a destructive action must have reached before the action may run, in enforce mode. Default:
    /// `durable`.
    #[serde(deserialize_with = "named")]
    pub destructive: Level,
    /// How long to wait for it, in milliseconds, at most 5000; then the action is denied. Default: 2000.
    pub wait_ms: u32,
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = "known: durable, checkpointed, witnessed";
    Level::parse(&name)
        .ok_or_else(|| serde::de::Error::custom(format!("there is no level '{name}' ({known})")))
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { destructive: Level::Durable, wait_ms: 2_000 }
    }
}

impl Settings {
    /// Whether the values can be used.
    ///
    /// # Errors
    /// When not.
    pub fn check(self, has_witness: bool) -> anyhow::Result<()> {
        anyhow::ensure!(self.wait_ms <= MAX_WAIT_MS, "acks: wait_ms must be at most {MAX_WAIT_MS}");
        anyhow::ensure!(
            has_witness || self.destructive < Level::Witnessed,
            "acks: destructive = \"witnessed\" needs a witness: see [witness] in fdr config"
        );
        Ok(())
    }
}

/// What the answer to a message has to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// By its sender.
    asked: Option<Level>,
    /// By the configuration, for what it is about.
    needed: Level,
}

impl Wanted {
    /// Of a message that somebody waits for, and the records made of it.
    pub fn of(settings: Settings, request: &Request, records: &[Record]) -> Wanted {
        let destroys = |record: &Record| match &record.body {
            Body::Action(action) => {
                action.destructive
                    && action.policy.mode == Mode::Enforce
                    && action.policy.decision != Verdict::Deny
            }
            _ => false,
        };
        Wanted {
            asked: request.variable(level::VARIABLE).and_then(Level::parse),
            needed: if records.iter().any(destroys) { settings.destructive } else { Level::Durable },
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// For the sender, if it asked.
    pub level: Option<Level>,
    /// Why the action must not run.
    pub denied: Option<String>,
}

impl Recorder {
    /// Waits for what is wanted of a durable record; `index` is the last one of the message.
    pub(crate) fn reach(&self, wanted: Wanted, index: u64) -> Reached {
        let most = wanted.needed.max(wanted.asked.unwrap_or_default());
        if most == Level::Durable {
            return Reached { level: wanted.asked, denied: None };
        }
        let settings = self.acks;
        let deadline = Instant::now() + Duration::from_millis(settings.wait_ms.into());
        let reached = match (self.levels(), most) {
            (Err(_), _) => Level::Durable,
            (Ok(levels), Level::Checkpointed) => {
                of(levels.wait(index, fdr_log::Level::Checkpointed, deadline))
            }
            (Ok(levels), _) => of(levels.wait(index, fdr_log::Level::Anchored, deadline)),
        };
        let denied = (reached < wanted.needed).then(|| {
            format!(
                "its record is {}, and not {} within {} ms ([acks] destructive)",
                reached.as_str(),
                wanted.needed.as_str(),
                settings.wait_ms
            )
        });
        if let Some(why) = &denied {
            let detail = format!("the action of record {index} was denied: {why}");
            let gap = Gap { what: "level_not_reached".to_owned(), detail, millis: None };
            if let Err(error) = self.record_own(vec![Body::Gap(gap)]) {
                crate::text::say!("warning: a denial can't be recorded: {error:#}");
            }
        }
        Reached { level: wanted.asked.map(|_| reached), denied }
    }
}

fn of(level: fdr_log::Level) -> Level {
    match level {
        fdr_log::Level::Durable => Level::Durable,
        fdr_log::Level::Checkpointed => Level::Checkpointed,
        fdr_log::Level::Anchored => Level::Witnessed,
    }
}
