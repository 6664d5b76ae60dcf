//! What is known of the sessions so far; grows by records alone.

use fdr_record::Record;

/// All sessions that are going on.
#[derive(Debug, Default)]
pub struct State {}

/// One session.
#[derive(Debug, Default)]
pub struct Session {}

impl State {
    /// Takes in one record, in the order of the log.
    pub fn observe(&mut self, _record: &Record) {}
}
