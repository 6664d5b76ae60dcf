//! Transcripts that a runtime keeps in a database: read out as JSON lines, as if each session had a
//! file of its own, named `DATABASE#SESSION`.
//!
//! What is read out of a session only grows, so that it can be taken in piece by piece, and a change
//! of what was read shows: rows that are not finished are left for later, and what a runtime itself
//! changes of a finished row is left out. Databases are opened read-only.

pub mod hermes;
pub mod openclaw;
pub mod opencode;

use std::path::{Path, PathBuf};

/// A session that was read out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// `DATABASE#SESSION`.
    pub file: String,
    /// JSON lines.
    pub bytes: Vec<u8>,
}

/// Tells whether something of a session changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// How many rows it has.
    pub rows: u64,
    /// When the newest of them changed, in the database's own clock.
    pub newest: i64,
}

/// The database and the session in the name of a transcript.
pub fn split(file: &str) -> Option<(PathBuf, &str)> {
    let (database, session) = file.rsplit_once('#')?;
    (!session.is_empty() && !session.contains('/')).then(|| (PathBuf::from(database), session))
}

/// A database's own reader.
struct Store {
    read: fn(&Path, Option<&str>) -> rusqlite::Result<Vec<Transcript>>,
    stamp: fn(&Path, &str) -> rusqlite::Result<Stamp>,
}

fn store(runtime: &str) -> Result<Store, String> {
    match runtime {
        "hermes" => Ok(Store { read: hermes::read, stamp: hermes::stamp }),
        "openclaw" => Ok(Store { read: openclaw::read, stamp: openclaw::stamp }),
        "opencode" => Ok(Store { read: opencode::read, stamp: opencode::stamp }),
        runtime => Err(format!("{runtime} keeps no database")),
    }
}

/// Whether a file is a database: by how SQLite begins one.
pub fn is_database(path: &Path) -> bool {
    let mut begin = [0; 16];
    let read =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut begin));
    read.is_ok() && &begin == b"SQLite format 3\0"
}

/// The sessions in a database of a runtime, or the one of that id.
///
/// # Errors
/// When it can't be read, or the runtime keeps none.
pub fn read(runtime: &str, database: &Path, session: Option<&str>) -> Result<Vec<Transcript>, String> {
    (store(runtime)?.read)(database, session).map_err(|error| cant_read(database, &error))
}

/// What tells whether something of a session changed since it was read.
///
/// # Errors
/// When it can't be read, or the runtime keeps no database.
pub fn stamp(runtime: &str, database: &Path, session: &str) -> Result<Stamp, String> {
    (store(runtime)?.stamp)(database, session).map_err(|error| cant_read(database, &error))
}

fn cant_read(database: &Path, error: &rusqlite::Error) -> String {
    format!("can't read {}: {error}", database.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_a_database_has_a_name_of_its_own() {
        assert_eq!(split("/a/b.db#s1"), Some((PathBuf::from("/a/b.db"), "s1")));
        for other in ["/a/b.db", "/a/b.db#", "/a#b/c.jsonl"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn a_database_is_known_by_how_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for (text, want) in [(&b"SQLite format 3\0more"[..], true), (b"{}\n", false), (b"", false)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(is_database(&file), want);
        }
        assert!(!is_database(&dir.path().join("none")));
    }
}
