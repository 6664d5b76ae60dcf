//! A program that stands in front of another one: passes signals on to it, and ends as it ended.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

const FORWARDED: [i32; 6] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// Takes over the signals that would end this process. `on_signal` is called with each one that
/// is to be passed on, from a thread of its own. Signals of the terminal (Ctrl-C, hang-up) are
/// not among them: the kernel gives them to every process of the foreground group, so that a
/// child in the same group has them already.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn watch_signals(on_signal: impl Fn(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new(FORWARDED)?;
    std::thread::spawn(move || {
        for origin in signals.forever() {
            if !matches!(origin.cause, Cause::Kernel) {
                on_signal(origin.signal);
            }
        }
    });
    Ok(())
}

/// The process id of a child.
pub fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Passes a signal on. To be called only as long as the child has not been reaped: its id could
/// belong to another process afterwards.
pub fn forward(pid: Pid, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits until a child has ended, and leaves it to be reaped by [`Child::wait`].
pub fn wait_unreaped(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
}

/// The exit status by which a shell tells how a program ended: its own, or 128 and the number
/// of the signal that killed it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Starts a program, or tells why not with the exit status that a shell would have: 127 for a
/// program that is not there, 126 for one that can't be run.
pub fn spawn(command: &mut Command) -> Result<Child, u8> {
    command.spawn().map_err(|error| {
        crate::text::say!("error: can't start {}: {error}", command.get_program().to_string_lossy());
        if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    })
}
