//! Decides on an agent's actions, from the canonical record alone.
//!
//! A decision is a pure function of a policy set and the record of an action: what is known of
//! the session (workspace, taint, counts, intent) is written into the record before. So a
//! recorded decision can be explained and made again at any time, under the same or another set.
#![forbid(unsafe_code)]

pub mod approvals;
mod conditions;
mod decide;
mod explain;
pub mod guard;
pub mod intent;
mod lists;
mod pattern;
mod resource;
#[cfg(test)]
mod sample;
pub mod session;
mod set;
mod slices;
pub mod table;
mod taint;

pub use decide::Decision;
pub use explain::{Attribute, Change, Explained, Explanation, Flip, MAX_CHANGES, MAX_REQUESTS};
pub use resource::Value;
pub use set::{
    MAX_DEPTH, MAX_ENTRIES, MAX_FILE_BYTES, MAX_SET_BYTES, PolicyInfo, PolicySet, Problem, SCHEMA, SetError,
    SetFile, Source,
};

/// Whether a name can be one of those that a glob of a command stands for.
pub fn may_be(glob: &str, name: &str) -> bool {
    pattern::overlap(&pattern::of_glob(glob), name)
}
