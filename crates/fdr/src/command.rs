//! Runs a command that the configuration names.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The most that is read of a command's output, in bytes.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

/// Gives `input` to a command and returns what it prints, within `limit`; it is killed after that.
///
/// # Errors
/// When it can't be started, fails, or takes too long.
pub fn output_of(command: &[String], input: &[u8], limit: Duration) -> anyhow::Result<Vec<u8>> {
    let (program, arguments) = command.split_first().context("the command is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("can't start {program}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, receiver) = mpsc::channel();
    let input = input.to_vec();
    // Both ends at once: a command may print before it has read everything.
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    std::thread::spawn(move || {
        let mut out = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut out));
        let _ = sender.send(read.map(|_| out));
    });
    let out = receiver.recv_timeout(limit);
    if out.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    match out {
        Err(_) => bail!("{program} took longer than {} s", limit.as_secs()),
        Ok(out) if status.success() => Ok(out?),
        Ok(_) => bail!("{program} failed: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_command_gets_its_input_and_its_output_is_taken() {
        let out = output_of(&sh("tr a-z A-Z"), b"deploy", Duration::from_secs(10)).unwrap();
        assert_eq!(out, b"DEPLOY");
    }

    #[test]
    fn a_command_that_fails_or_hangs_is_an_error() {
        for (script, want) in [("exit 3", "failed"), ("exec sleep 60", "longer")] {
            let error = output_of(&sh(script), b"", Duration::from_secs(1)).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(output_of(&["/no/such/program".to_owned()], b"", Duration::from_secs(1)).is_err());
    }
}
