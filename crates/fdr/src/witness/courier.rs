//! The client's side of tlog-witness, without I/O: what to ask a witness, and what its answer means.

use anyhow::Context;
use fdr_log::cosignature::cosignature_in;
use fdr_log::witness::AddCheckpoint;
use fdr_log::{Hash, SignedCheckpoint, WitnessKey};

/// Talks to one witness.
#[derive(Debug)]
pub struct Courier {
    key: WitnessKey,
    /// The size that the witness holds, as far as is known.
    held: u64,
    /// The newest checkpoint that it cosigned, with its line, and when, in seconds since 1970.
    cosigned: Option<(SignedCheckpoint, u64)>,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The checkpoint is cosigned.
    Cosigned,
    /// The witness holds another size; ask again from there.
    AskAgain,
    /// The witness holds more records than this log has: the log lost its end, or an old copy was put back.
    Ahead(u64),
    /// What the witness holds is not in this log: it was rewritten, or two logs go on under one key.
    Fork(String),
    /// Anything else; it may be better later.
    Failed(String),
}

impl Courier {
    /// For a witness; `kept` is a checkpoint that it cosigned before.
    pub fn new(key: WitnessKey, kept: Option<(SignedCheckpoint, u64)>) -> Courier {
        let held = kept.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size());
        Courier { key, held, cosigned: kept }
    }

    /// The newest checkpoint that the witness cosigned, and when.
    pub fn cosigned(&self) -> Option<&(SignedCheckpoint, u64)> {
        self.cosigned.as_ref()
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// How many records the witness has signed for.
    pub fn size(&self) -> u64 {
        self.cosigned.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size())
    }

    /// What to ask; `prove` gives consistency proofs. `None` if the witness holds more than the checkpoint has.
    ///
    /// # Errors
    /// When there is no proof.
    pub fn request(
        &self,
        checkpoint: &SignedCheckpoint,
        prove: &dyn Fn(u64, u64) -> anyhow::Result<Vec<Hash>>,
    ) -> anyhow::Result<Option<AddCheckpoint>> {
        if self.held > checkpoint.size() {
            return Ok(None);
        }
        let proof = if self.held == 0 || self.held == checkpoint.size() {
            Vec::new()
        } else {
            prove(self.held, checkpoint.size()).context("there is no proof for the witness")?
        };
        Ok(Some(AddCheckpoint { old: self.held, proof, checkpoint: checkpoint.clone() }))
    }

    /// Takes an answer.
    pub fn take(&mut self, request: &AddCheckpoint, status: u16, body: &[u8]) -> Meaning {
        let text = || {
            let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
            text.trim().to_owned()
        };
        match status {
            200 => match cosignature_in(body, &request.checkpoint, &self.key) {
                Ok((line, time)) => match request.checkpoint.with_line(&line) {
                    Ok(checkpoint) => {
                        self.held = checkpoint.size();
                        if self.size() <= checkpoint.size() {
                            self.cosigned = Some((checkpoint, time));
                        }
                        Meaning::Cosigned
                    }
                    Err(error) => Meaning::Failed(format!("its cosignature can't be kept: {error}")),
                },
                Err(error) => Meaning::Failed(format!("its answer is not its cosignature: {error}")),
            },
            409 => match text().parse::<u64>() {
                Ok(size) if size > request.checkpoint.size() => {
                    self.held = size;
                    Meaning::Ahead(size)
                }
                // The same size, so the root is another (tlog-witness).
                Ok(size) if size == request.old => {
                    Meaning::Fork(format!("it has signed {size} records of this log with another root"))
                }
                Ok(size) => {
                    self.held = size;
                    Meaning::AskAgain
                }
                Err(_) => Meaning::Failed("it says that it holds another size, and not which".to_owned()),
            },
            422 => Meaning::Fork(format!(
                "the first {} records that it has signed are not the ones in this log ({})",
                request.old,
                text()
            )),
            _ => Meaning::Failed(format!("it answers with HTTP status {status}: {}", text())),
        }
    }
}
