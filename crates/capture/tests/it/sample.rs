//! Plays samples of what a runtime sent, and keeps the records.

use crate::claude_code::bare_arrival;
use fdr_capture::{Arrival, Captured, Chunk, Runtime, State};
use fdr_record::{ContentKey, Mode, Normalised, Observed, Record, RecordId, Timestamp};
use serde_json::Value;
use std::collections::HashSet;

/// The events in a sample: lines with `event` and `payload`.
pub fn events(text: &str) -> Vec<(String, Value)> {
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a line of the sample");
        (value["event"].as_str().expect("an event").to_owned(), value["payload"].clone())
    };
    text.lines().map(line).collect()
}

/// A recorder of one runtime.
pub struct Sample {
    runtime: &'static Runtime,
    key: ContentKey,
    state: State,
    /// What was recorded.
    pub records: Vec<Record>,
}

impl Sample {
    pub fn of(runtime: &str) -> Sample {
        Sample {
            runtime: fdr_capture::runtime(runtime).expect("a runtime"),
            key: ContentKey::new([7; 32]),
            state: State::default(),
            records: Vec::new(),
        }
    }

    pub fn normalise(&self, tool: &str, input: &Value) -> (Normalised, String) {
        (self.runtime.normalise)(tool, input, "/home/dev/proj", "/home/dev")
    }

    pub fn hook(&mut self, event: &str, payload: &[u8]) {
        let hook = self.runtime.hook;
        let captured = self.take(|arrival, state| hook(event, payload, arrival, state));
        assert!(!captured.records.is_empty(), "{event} left no record");
    }

    pub fn import(&mut self, file: &str, text: &str) {
        let import = self.runtime.import.expect("transcripts are read");
        self.take(|arrival, state| import(&Chunk::whole(file, text.as_bytes()), arrival, state));
    }

    fn take(&mut self, make: impl FnOnce(&Arrival<'_>, &mut State) -> Captured) -> Captured {
        let arrival = Arrival {
            now: Timestamp(1_795_575_570_000_000_000),
            mono: 1,
            observed: Observed { uid: Some(1000), ..Observed::default() },
            home: "/home/dev".to_owned(),
            mode: Mode::Observe,
            ..bare_arrival(&self.key)
        };
        let captured = make(&arrival, &mut self.state);
        for record in &captured.records {
            assert_eq!(Record::parse(&record.to_line()).expect("a record that can be read"), *record);
        }
        let known: HashSet<RecordId> =
            self.records.iter().chain(&captured.records).map(|record| record.id).collect();
        let links = captured.records.iter().flat_map(|record| &record.links);
        assert!(links.clone().all(|link| known.contains(&link.id)), "a link to nothing");
        self.records.extend(captured.records.iter().cloned());
        captured
    }
}
