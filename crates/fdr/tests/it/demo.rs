//! The first thing that a stranger runs.

use crate::program::{AGENT_MARKS, fdr};
use std::process::Command;

#[test]
fn the_demo_records_a_session_verifies_it_and_finds_every_attack() {
    let mut command = Command::new(fdr());
    AGENT_MARKS.iter().for_each(|mark| {
        command.env_remove(mark);
    });
    let output = command.arg("demo").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("result        INTACT"), "{said}");
    // Two attacks are found by the log alone, two with a checkpoint kept elsewhere.
    assert_eq!((said.matches("FOUND").count(), said.matches("  passes  ").count()), (4, 2), "{said}");
}
