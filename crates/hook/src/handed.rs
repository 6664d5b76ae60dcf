//! Two things of the system that the standard library has no safe way to: who listens at the other
//! end of a socket, and the socket that systemd hands to a service (sd_listen_fds(3)).
#![allow(unsafe_code)]

use std::os::unix::net::{UnixListener, UnixStream};

/// The first descriptor that systemd hands over.
const FIRST: i32 = 3;

/// The user at the other end of a connection: for a client, whoever had it listen. `None` where the
/// system does not tell.
#[cfg(target_os = "linux")]
pub fn peer_uid(stream: &UnixStream) -> Option<u32> {
    use std::ffi::{c_int, c_void};
    use std::os::fd::AsRawFd;

    /// `struct ucred` of unix(7).
    #[repr(C)]
    struct Credentials {
        pid: i32,
        uid: u32,
        gid: u32,
    }
    // Values of socket(7), the same on x86, ARM, RISC-V, POWER and s390.
    const SOL_SOCKET: c_int = 1;
    const SO_PEERCRED: c_int = 17;
    unsafe extern "C" {
        fn getsockopt(
            socket: c_int,
            level: c_int,
            name: c_int,
            value: *mut c_void,
            length: *mut u32,
        ) -> c_int;
    }
    let mut found = Credentials { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let size = size_of::<Credentials>() as u32;
    let mut length = size;
    // SAFETY: the descriptor is open as long as `stream` is borrowed; `found` and `length` are
    // writable for as many bytes as `length` says, and outlive the call.
    let status = unsafe {
        getsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_PEERCRED, (&raw mut found).cast(), &raw mut length)
    };
    (status == 0 && length == size && found.pid >= 0 && found.gid != u32::MAX).then_some(found.uid)
}

/// Other systems tell in other ways.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(_stream: &UnixStream) -> Option<u32> {
    None
}

/// The listening socket that systemd started this process with, if it did. To be called once, by a
/// process that has opened nothing as descriptor 3 itself.
pub fn listener() -> Option<UnixListener> {
    use std::os::fd::FromRawFd;
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS") != Some(1) {
        return None;
    }
    // SAFETY: by sd_listen_fds(3), LISTEN_PID with this process's own id says that descriptor 3 was
    // opened for it; nothing else in this process owns it.
    let listener = unsafe { UnixListener::from_raw_fd(FIRST) };
    listener.local_addr().is_ok().then_some(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_other_end_of_a_pair_is_this_user() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
        assert_eq!(peer_uid(&one), Some(own));
    }
}
