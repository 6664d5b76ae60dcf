//! The canonical record: what an agent saw, decided and executed, in one vocabulary.
#![forbid(unsafe_code)]

mod action;

pub use action::{Action, Normalised, Resource, Verb, clean_path};
