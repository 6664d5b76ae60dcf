//! Behaviour of the crate as others see it: one binary, one module for each subject.

mod format;
mod shell;
