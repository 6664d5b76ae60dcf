//! The log's behaviour, seen from outside.

mod append;
mod crash;
mod hostile;
mod openssl;
mod processes;
mod proofs;
mod sim_disk;
mod tamper;
mod verifiers;
