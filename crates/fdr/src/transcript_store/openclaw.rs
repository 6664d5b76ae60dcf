//! `openclaw-agent.sqlite`: the entries of the sessions of one agent, each a row with JSON in it.
//! OpenClaw compresses the larger ones.

use crate::transcript_store::{Stamp, Transcript};
use rusqlite::{Connection, OpenFlags};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How long to wait for OpenClaw where it holds the database.
const BUSY: Duration = Duration::from_millis(200);
/// The most that is read out of one session, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// The largest entry, unpacked, in bytes.
const MAX_ENTRY_BYTES: u64 = 256 << 20;

/// The sessions, or the one of that id; see [`crate::transcript_store::read`].
///
/// # Errors
/// When the database can't be read.
pub fn read(database: &Path, session: Option<&str>) -> rusqlite::Result<Vec<Transcript>> {
    let mut connection = open(database)?;
    // All of it as it was at one moment.
    let connection = connection.transaction()?;
    let mut entries = connection.prepare(
        "select session_id, event_json, event_zstd from transcript_events \
         where ?1 is null or session_id = ?1 order by session_id, seq",
    )?;
    let mut rows = entries.query([session])?;
    let mut transcripts: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let json: Option<String> = row.get(1)?;
        let packed: Option<Vec<u8>> = row.get(2)?;
        if transcripts.last().is_none_or(|(last, _)| *last != id) {
            transcripts.push((id, Vec::new()));
        }
        let Some((_, bytes)) = transcripts.last_mut() else { continue };
        match (json, packed) {
            (Some(json), _) => append(bytes, json.into_bytes()),
            (None, Some(packed)) => append(bytes, unpacked(&packed)),
            (None, None) => {}
        }
    }
    let file = |id: &str| format!("{}#{id}", database.display());
    let whole = transcripts.into_iter().map(|(id, bytes)| Transcript { file: file(&id), bytes });
    Ok(whole.collect())
}

/// Adds an entry as a line.
fn append(bytes: &mut Vec<u8>, line: Vec<u8>) {
    // What it remembers of its own cache says nothing, and it may clear it away.
    if line.starts_with(br#"{"type":"custom","#) || bytes.len() + line.len() > MAX_BYTES {
        return;
    }
    bytes.extend(line.into_iter().filter(|byte| *byte != b'\n'));
    bytes.push(b'\n');
}

/// What changes whenever something of the session does.
///
/// # Errors
/// When the database can't be read.
pub fn stamp(database: &Path, session: &str) -> rusqlite::Result<Stamp> {
    let connection = open(database)?;
    let sql = "select count(*), coalesce(max(created_at), 0) from transcript_events where session_id = ?1";
    connection.query_row(sql, [session], |row| {
        Ok(Stamp { rows: row.get::<_, i64>(0)? as u64, newest: row.get(1)? })
    })
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// An entry as it was; what can't be unpacked is given in hexadecimal, which no entry is, so that it
/// shows.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let done =
        zstd::Decoder::new(packed).and_then(|decoder| decoder.take(MAX_ENTRY_BYTES).read_to_end(&mut text));
    match done {
        Ok(_) => text,
        Err(_) => packed.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame without compression: header, one raw block, as the format has it.
    fn packed(text: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, text.len() as u8];
        let block = (text.len() as u32) << 3 | 1;
        frame.extend_from_slice(&block.to_le_bytes()[..3]);
        frame.extend_from_slice(text);
        frame
    }

    #[test]
    fn each_session_is_a_transcript_of_its_own_without_book_keeping() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("openclaw-agent.sqlite");
        let db = Connection::open(&file).unwrap();
        db.execute_batch(
            "create table transcript_events (session_id text, seq integer, event_json text, \
             created_at integer, event_zstd blob)",
        )
        .unwrap();
        let rows = [
            ("a", 0, Some(r#"{"type":"session","id":"a"}"#), None),
            ("a", 2, None, Some(packed(br#"{"type":"message","id":"m"}"#))),
            ("a", 1, Some(r#"{"type":"custom","customType":"cache"}"#), None),
            ("b", 0, Some(r#"{"type":"session","id":"b"}"#), None),
            ("b", 1, None, Some(vec![1, 2])),
        ];
        for (session, seq, json, zstd) in rows {
            db.execute(
                "insert into transcript_events values (?1, ?2, ?3, ?4, ?5)",
                (session, seq, json, 7 + seq, zstd),
            )
            .unwrap();
        }
        let read = read(&file, None).unwrap();
        let texts: Vec<&str> = read.iter().map(|one| std::str::from_utf8(&one.bytes).unwrap()).collect();
        assert_eq!(
            texts,
            [
                "{\"type\":\"session\",\"id\":\"a\"}\n{\"type\":\"message\",\"id\":\"m\"}\n",
                "{\"type\":\"session\",\"id\":\"b\"}\n0102\n"
            ]
        );
        assert!(read[1].file.ends_with("openclaw-agent.sqlite#b"));
        assert_eq!(super::read(&file, Some("b")).unwrap(), read[1..]);
        assert_eq!(stamp(&file, "a").unwrap(), Stamp { rows: 3, newest: 9 });
    }
}
