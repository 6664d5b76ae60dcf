//! One binary for all integration tests of the crate.

mod intent;
mod engine;
