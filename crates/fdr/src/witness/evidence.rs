//! Cosigned checkpoints held against a log by `fdr verify`.

use super::kept_notes;
use crate::config::Config;
use crate::home::Home;
use anyhow::Context;
use fdr_log::{Agreement, Compared, SignedCheckpoint, WitnessKey};
use fdr_record::Timestamp;

/// Cosigned checkpoints, and the witnesses whose word is taken.
#[derive(Debug, Default)]
pub struct Held {
    notes: Vec<SignedCheckpoint>,
    keys: Vec<WitnessKey>,
    whose: &'static str,
}

/// What they prove of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// For each witness the most that it signed for and the log agrees with: records, and when.
    pub good: Vec<(String, u64, Timestamp)>,
    /// What speaks against the log.
    pub bad: Vec<String>,
    /// Checkpoints that no known witness signed, or that can't be compared.
    pub unchecked: usize,
    whose: &'static str,
}

impl Held {
    /// Takes the checkpoints given (`given` of them are in `against` already), and those in the recorder's own folder.
    /// Without keys the witnesses of the configuration are taken.
    ///
    /// # Errors
    /// When a key is none, or the configuration can't be read.
    pub fn read(
        home: &Home,
        keys: &[String],
        given: &[SignedCheckpoint],
        is_own: bool,
    ) -> anyhow::Result<Held> {
        let parse = |text: &String| {
            text.trim().parse().with_context(|| format!("'{text}' is no witness's key (name+id+key)"))
        };
        let mut held = Held { notes: given.to_vec(), keys: Vec::new(), whose: "the key given" };
        if is_own {
            held.notes.extend(kept_notes(home));
        }
        held.keys = keys.iter().map(parse).collect::<anyhow::Result<_>>()?;
        if held.keys.is_empty()
            && is_own
            && let Some(settings) = Config::load(home)?.witness
        {
            held.keys = settings.witnesses.into_iter().map(|trusted| trusted.key).collect();
            held.whose = "the key in this folder's configuration";
        }
        Ok(held)
    }

    /// The checkpoints to hold the log against, behind the `given` first ones.
    pub fn own(&self, given: usize) -> &[SignedCheckpoint] {
        &self.notes[given..]
    }

    /// Says what they prove; `found` is how the log agrees with them all.
    pub fn standing(&self, given: usize, found: &[Compared]) -> Standing {
        let mut standing = Standing { whose: self.whose, ..Standing::default() };
        for (number, (note, found)) in self.notes.iter().zip(found).enumerate() {
            let (mut signed, mut is_wrong) = (Vec::new(), false);
            for key in &self.keys {
                match key.cosigned(note) {
                    Ok(Some(time)) => signed.push((key.name(), time)),
                    Ok(None) => {}
                    Err(error) => {
                        is_wrong = true;
                        standing.bad.push(format!("checkpoint of {} records: {error}", note.size()));
                    }
                }
            }
            match &found.agreement {
                Agreement::Agrees => {
                    for (name, time) in &signed {
                        standing.take(name, note.size(), *time);
                    }
                    standing.unchecked += usize::from(signed.is_empty() && !is_wrong && number >= given);
                }
                Agreement::Unknown => standing.unchecked += 1,
                // The others are told of as what was given.
                _ if number >= given => {
                    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
                    let who = if names.is_empty() { "somebody".to_owned() } else { names.join(", ") };
                    standing.bad.push(format!(
                        "the log is not what {who} signed: its first {} records are others, or fewer",
                        note.size()
                    ));
                }
                _ => {}
            }
        }
        standing
    }
}

impl Standing {
    fn take(&mut self, name: &str, size: u64, seconds: u64) {
        let time = Timestamp(seconds.saturating_mul(1_000_000_000));
        match self.good.iter_mut().find(|(known, ..)| known == name) {
            Some((_, most, when)) if *most < size => (*most, *when) = (size, time),
            Some(_) => {}
            None => self.good.push((name.to_owned(), size, time)),
        }
    }

    /// The most that any witness signed for, and when.
    pub fn newest(&self) -> Option<(u64, Timestamp)> {
        self.good.iter().map(|(_, size, time)| (*size, *time)).max()
    }

    /// Says it for people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.bad.iter().map(|bad| format!("NOT GOOD: {bad}")).collect();
        for (name, size, time) in &self.good {
            lines.push(format!(
                "records 0–{} stood as they are at {time}, signed by {name} ({})",
                size.saturating_sub(1),
                self.whose
            ));
        }
        if self.unchecked > 0 {
            lines.push(format!(
                "{} kept checkpoints are by no witness that is known (--witness KEY)",
                self.unchecked
            ));
        }
        lines
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        let good = self
            .good
            .iter()
            .map(|(name, size, time)| serde_json::json!({ "name": name, "size": size, "time": time }));
        serde_json::json!({ "good": good.collect::<Vec<_>>(), "bad": self.bad, "unchecked": self.unchecked })
    }
}
