//! Times as people write and read them.

use fdr_record::Timestamp;
use jiff::tz::TimeZone;
use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-11-24 14:02:11` in the local time zone.
pub fn local(time: Timestamp) -> String {
    let Ok(time) = jiff::Timestamp::from_nanosecond(i128::from(time.0)) else { return time.to_string() };
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `14:02` in the local time zone.
pub fn clock_time(time: SystemTime) -> String {
    let nanos = time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    local(Timestamp(nanos)).chars().skip(11).take(5).collect()
}
