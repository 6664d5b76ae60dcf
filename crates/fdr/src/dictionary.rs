//! The dictionaries that sealed segments are compressed with, in the log itself.
//!
//! Every sealed segment has its own copy of its dictionary and needs nothing else. The record tells from when on which
//! one was used, under the log's own hash, and its content is the dictionary: whoever doubts the copy can compare.

use crate::recorder::Recorder;
use fdr_record::{Body, ConfigChange, hex};

/// What such a record says has changed.
const WHAT: &str = "dictionary";

impl Recorder {
    /// Records a dictionary that came into use, if one did.
    pub(crate) fn watch_dictionaries(&self) -> anyhow::Result<()> {
        let Some(dictionary) = self.take_dictionary() else { return Ok(()) };
        let detail = format!(
            "full segments are compressed with sha256:{}",
            hex(&fdr_log::dictionary_digest(&dictionary))
        );
        let body =
            Body::ConfigChange(ConfigChange { what: WHAT.to_owned(), resource: None, detail: Some(detail) });
        self.record_own_with(body, vec![(WHAT, "application/zstd-dictionary", dictionary.to_vec())])
    }
}
