//! How far a record has come: on disk, under a signed checkpoint, signed by others.

/// The variable by which a sender asks for more than that its message is durable. The recorder then waits, within
/// limits, and the answer tells what was reached.
pub const VARIABLE: &str = "FDR_LEVEL";

/// What an answer promises of a record; a later one includes those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is on disk.
    #[default]
    Durable,
    /// A signed checkpoint that is on disk covers it.
    Checkpointed,
    /// Enough witnesses have signed such a checkpoint.
    Witnessed,
}

use Level::{Checkpointed, Durable, Witnessed};

impl Level {
    /// All of them.
    pub const ALL: [Level; 3] = [Durable, Checkpointed, Witnessed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Durable => "durable",
            Checkpointed => "checkpointed",
            Witnessed => "witnessed",
        }
    }

    /// Of its name.
    pub fn parse(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == name)
    }
}
