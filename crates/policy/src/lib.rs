//! Decides on an agent's actions, from the canonical record alone.
//!
//! A decision is a pure function of a policy set and the record of an action: what is known of
//! the session (workspace, taint, counts, intent) is written into the record before. So a
//! recorded decision can be explained and made again at any time, under the same or another set.
#![forbid(unsafe_code)]

pub mod table;
