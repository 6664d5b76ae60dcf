//! The log's behaviour, seen from outside.

mod append;
mod attacks;
mod crash;
mod hostile;
mod openssl;
mod processes;
mod proofs;
mod pruned;
mod sealed;
mod sim_disk;
mod tamper;
mod verifiers;
mod witnessing;
