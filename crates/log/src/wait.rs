//! Sleeping until a word in memory changes: a futex on Linux, where one wake-up for a whole bag
//! of waiters is what group commit needs, and a condition variable elsewhere.

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::futex;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    /// Sleeps while `word` is 0, at most `timeout`. May return early; the caller looks again.
    pub(crate) fn wait(word: &AtomicU32, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|left| futex::Timespec::try_from(left).ok());
        let _ = futex::wait(word, futex::Flags::PRIVATE, 0, timeout.as_ref());
    }

    /// Wakes all who sleep on `word`, after it was changed.
    pub(crate) fn wake_all(word: &AtomicU32) {
        // Can only fail for a bad address or flags, and these are good.
        let _ = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    /// One for all words: whoever is woken looks at its own again.
    static LOCK: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();

    /// Sleeps while `word` is 0, at most `timeout`. May return early; the caller looks again.
    pub(crate) fn wait(word: &AtomicU32, timeout: Option<Duration>) {
        let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        if word.load(Ordering::SeqCst) != 0 {
            return;
        }
        match timeout {
            Some(left) => drop(CHANGED.wait_timeout(guard, left)),
            None => drop(CHANGED.wait(guard)),
        }
    }

    /// Wakes all who sleep on `word`, after it was changed.
    pub(crate) fn wake_all(_word: &AtomicU32) {
        drop(LOCK.lock().unwrap_or_else(PoisonError::into_inner));
        CHANGED.notify_all();
    }
}

pub(crate) use system::{wait, wake_all};
