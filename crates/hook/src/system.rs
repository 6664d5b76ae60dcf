//! The machine's own recorder, which `fdr install --system` sets up: it runs as a user of its own,
//! and all users' agents report to it.
//!
//! A folder that belongs to root, `/etc/fdr`, tells clients where it is, in the file `system`:
//!
//! ```text
//! uid 998
//! gid 997
//! group fdr-users
//! home /var/lib/fdr
//! socket /run/fdr/fdr.sock
//! spool /var/spool/fdr/in
//! ```
//!
//! A client is given that folder where it is given a recorder's folder otherwise. It is never an
//! agent's to write, and is there before the recorder is, so that no client takes another one.

use std::path::{Path, PathBuf};

/// The folder that tells where the machine's recorder is.
pub const FRONT: &str = "/etc/fdr";

/// Name of the file in it that does.
pub const FILE: &str = "system";

/// Where the machine's recorder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The user that it runs as.
    pub uid: u32,
    /// The group whose members may speak with it.
    pub gid: u32,
    /// Name of that group.
    pub group: String,
    /// Its own folder, which is nobody else's.
    pub home: PathBuf,
    /// Where it listens.
    pub socket: PathBuf,
    /// Where clients leave what it could not take: they can write there, and read nothing.
    pub spool: PathBuf,
}

impl System {
    /// What the folder tells, if it is one that tells of a machine's recorder.
    pub fn of(front: &Path) -> Option<System> {
        System::parse(&std::fs::read_to_string(front.join(FILE)).ok()?)
    }

    fn parse(text: &str) -> Option<System> {
        let value = |name: &str| {
            text.lines().find_map(|line| line.split_once(' ').filter(|(key, _)| *key == name)).map(|(_, v)| v)
        };
        Some(System {
            uid: value("uid")?.parse().ok()?,
            gid: value("gid")?.parse().ok()?,
            group: value("group")?.to_owned(),
            home: value("home")?.into(),
            socket: value("socket")?.into(),
            spool: value("spool")?.into(),
        })
    }

    /// The file.
    pub fn text(&self) -> String {
        format!(
            "uid {}\ngid {}\ngroup {}\nhome {}\nsocket {}\nspool {}\n",
            self.uid,
            self.gid,
            self.group,
            self.home.display(),
            self.socket.display(),
            self.spool.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_lacks_something_is_nothing() {
        let system = System {
            uid: 998,
            gid: 997,
            group: "fdr-users".to_owned(),
            home: "/var/lib/fdr".into(),
            socket: "/run/fdr/fdr.sock".into(),
            spool: "/var/spool/fdr/in".into(),
        };
        let text = system.text();
        assert_eq!(System::parse(&text), Some(system));
        for line in text.lines() {
            assert_eq!(System::parse(&text.replace(&format!("{line}\n"), "")), None, "{line}");
        }
    }
}
