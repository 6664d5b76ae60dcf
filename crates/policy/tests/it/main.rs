//! The policy crate as its users see it.

mod engine;
mod intent;
mod tables;
