//! Record ids: UUID version 7 (RFC 9562 section 5.7), in rising order within one recorder.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The id of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(Uuid);

impl RecordId {
    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl FromStr for RecordId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<RecordId, uuid::Error> {
        Uuid::try_parse(text).map(RecordId)
    }
}

impl Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RecordId, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RecordId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecordId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uuid", "description": "UUID version 7" })
    }
}

/// Makes ids that rise even when the clock jumps back or stands still: 48 bits of
/// milliseconds, then a 12-bit counter (RFC 9562 section 6.2, method 1), then 62 random bits.
#[derive(Debug, Default)]
pub struct IdSource {
    millis: u64,
    counter: u16,
}

impl IdSource {
    /// Takes note of an id that was made before, so that the next ones come after it.
    pub fn seen(&mut self, id: RecordId) {
        let bytes = id.as_bytes();
        let millis = bytes[..6].iter().fold(0, |millis, &byte| millis << 8 | u64::from(byte));
        let counter = u16::from_be_bytes([bytes[6], bytes[7]]) & 0xfff;
        if (millis, counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (millis, counter);
        }
    }

    /// The next id for something that happened at `now`.
    pub fn next(&mut self, now: Timestamp) -> RecordId {
        let mut random = [0; 8];
        // Without randomness ids still rise and are unique within this recorder.
        let _ = getrandom::fill(&mut random);
        if now.millis() > self.millis {
            (self.millis, self.counter) = (now.millis(), 0);
        } else if self.counter == 0xfff {
            (self.millis, self.counter) = (self.millis + 1, 0);
        } else {
            self.counter += 1;
        }
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&self.millis.to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&(0x7000 | self.counter).to_be_bytes());
        bytes[8..].copy_from_slice(&random);
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        RecordId(Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_when_the_clock_jumps_back_or_stands_still() {
        let mut source = IdSource::default();
        let start = 1_795_524_862_737_000_000;
        let times = (0..10_000).map(|i| if i % 3 == 0 { start } else { start - i * 1_000_000 });
        let ids: Vec<RecordId> = times.map(|t| source.next(Timestamp(t))).collect();
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|w| w[0] != w[1]));
        assert_eq!(ids[0].0.get_version_num(), 7);
        assert_eq!(ids[0].to_string().parse(), Ok(ids[0]));
    }

    #[test]
    fn ids_rise_over_a_restart_with_a_clock_that_was_set_back() {
        let newest = IdSource::default().next(Timestamp(2_000_000_000_000_000));
        let mut source = IdSource::default();
        source.seen(newest);
        assert!(source.next(Timestamp(1_000_000_000_000_000)) > newest);
    }
}
