//! The log's behaviour, seen from outside.

mod append;
