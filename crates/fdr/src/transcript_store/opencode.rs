//! `opencode.db`: sessions, their messages, and the parts of these.

use crate::transcript_store::{Stamp, Transcript};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// How long to wait for OpenCode where it holds the database.
const BUSY: Duration = Duration::from_millis(200);
/// The most that is read out of one session, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// The sessions, or the one of that id; see [`crate::transcript_store::read`].
///
/// # Errors
/// When the database can't be read.
pub fn read(database: &Path, session: Option<&str>) -> rusqlite::Result<Vec<Transcript>> {
    let mut connection = open(database)?;
    // All of it as it was at one moment.
    let connection = connection.transaction()?;
    let mut found = connection.prepare(
        "select id, parent_id, directory, version, time_created from session \
         where ?1 is null or id = ?1 order by time_created, id",
    )?;
    let heads = found.query_map([session], |row| {
        let id: String = row.get(0)?;
        let head = json!({
            "table": "session",
            "id": id,
            "parent_id": row.get::<_, Option<String>>(1)?,
            "directory": row.get::<_, String>(2)?,
            "version": row.get::<_, String>(3)?,
            "time_created": row.get::<_, i64>(4)?,
        });
        Ok((id, head))
    })?;
    let mut transcripts = Vec::new();
    for head in heads {
        let (id, head) = head?;
        let mut bytes = head.to_string().into_bytes();
        bytes.push(b'\n');
        for line in messages(&connection, &id)? {
            if bytes.len() + line.len() > MAX_BYTES {
                break;
            }
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        transcripts.push(Transcript { file: format!("{}#{id}", database.display()), bytes });
    }
    Ok(transcripts)
}

/// What changes whenever something of the session does, as far as OpenCode itself changes it.
///
/// # Errors
/// When the database can't be read.
pub fn stamp(database: &Path, session: &str) -> rusqlite::Result<Stamp> {
    let connection = open(database)?;
    let mut stamp = Stamp::default();
    for table in ["message", "part"] {
        let sql =
            format!("select count(*), coalesce(max(time_updated), 0) from {table} where session_id = ?1");
        let (rows, newest): (u64, i64) =
            connection.query_row(&sql, [session], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
        stamp = Stamp { rows: stamp.rows + rows, newest: stamp.newest.max(newest) };
    }
    Ok(stamp)
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// A line for each message that is finished, up to the first one that is not.
fn messages(connection: &Connection, session: &str) -> rusqlite::Result<Vec<String>> {
    let columns = "id, time_created, data";
    let mut rows = connection
        .prepare(&format!("select {columns} from message where session_id = ?1 order by time_created, id"))?;
    let rows = rows.query_map([session], Stored::of)?.collect::<rusqlite::Result<Vec<Stored>>>()?;
    // The model's message ends once its tools have run. One that OpenCode did not get to finish stays
    // so; it goes on with another.
    let last = rows.iter().rposition(|row| row.word("role") == Some("assistant"));
    let mut parts =
        connection.prepare(&format!("select {columns} from part where message_id = ?1 order by id"))?;
    let mut lines = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        let is_finished = if row.word("role") == Some("assistant") {
            row.data.pointer("/time/completed").is_some() || last > Some(at)
        } else {
            // Its parts are stored after it, and before the answer is begun.
            last > Some(at)
        };
        if !is_finished {
            break;
        }
        let parts = parts.query_map([&row.id], Stored::of)?.collect::<rusqlite::Result<Vec<Stored>>>()?;
        lines.push(line(session, row, parts));
    }
    Ok(lines)
}

/// A row with JSON in it.
struct Stored {
    id: String,
    time_created: i64,
    data: Value,
}

impl Stored {
    fn of(row: &Row<'_>) -> rusqlite::Result<Stored> {
        let data: String = row.get(2)?;
        let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
        Ok(Stored { id: row.get(0)?, time_created: row.get(1)?, data })
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }
}

/// What OpenCode changes of a message afterwards is left out: which files a turn changed, and which
/// results the model is not shown any more.
fn line(session: &str, message: Stored, parts: Vec<Stored>) -> String {
    let mut data = message.data;
    if data.get("role").and_then(Value::as_str) == Some("user")
        && let Some(data) = data.as_object_mut()
    {
        data.remove("summary");
    }
    let part = |mut part: Stored| {
        if let Some(time) = part.data.pointer_mut("/state/time").and_then(Value::as_object_mut) {
            time.remove("compacted");
        }
        json!({"id": part.id, "data": part.data})
    };
    let mut line = Map::new();
    line.insert("table".to_owned(), "message".into());
    line.insert("id".to_owned(), message.id.into());
    line.insert("session_id".to_owned(), session.into());
    line.insert("time_created".to_owned(), message.time_created.into());
    line.insert("data".to_owned(), data);
    line.insert("parts".to_owned(), parts.into_iter().map(part).collect());
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as OpenCode 1.18 makes it, as far as it is read.
    fn database(dir: &Path) -> (std::path::PathBuf, Connection) {
        let path = dir.join("opencode.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "pragma journal_mode = wal;
                 create table session (id text primary key, parent_id text, directory text not null,
                     title text not null, version text not null, time_created integer not null);
                 create table message (id text primary key, session_id text not null,
                     time_created integer not null, time_updated integer not null, data text not null);
                 create table part (id text primary key, message_id text not null, session_id text not null,
                     time_created integer not null, time_updated integer not null, data text not null);
                 insert into session values ('s1', null, '/w', 'New session', '1.18.33', 1);
                 insert into session values ('s2', 's1', '/w', 'd (@general subagent)', '1.18.33', 2);",
            )
            .unwrap();
        (path, connection)
    }

    fn message(connection: &Connection, id: &str, time: i64, data: Value, parts: &[(&str, Value)]) {
        let sql = "insert or replace into message values (?1, 's1', ?2, ?3, ?4)";
        connection.execute(sql, (id, time, time, data.to_string())).unwrap();
        for (part, data) in parts {
            let sql = "insert or replace into part values (?1, ?2, 's1', ?3, ?3, ?4)";
            connection.execute(sql, (part, id, time, data.to_string())).unwrap();
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        let read = read(path, Some("s1")).unwrap();
        assert_eq!(read[0].file, format!("{}#s1", path.display()));
        String::from_utf8(read[0].bytes.clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_was_read_of_a_session_stays_and_grows_by_what_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let (path, connection) = database(dir.path());
        let running = json!({"status": "running", "input": {"command": "ls"}, "time": {"start": 1}});
        let done = json!({"status": "completed", "input": {"command": "ls"}, "output": "a", "time": {"start": 1, "end": 2}});
        let tool = |state: &Value| json!({"type": "tool", "tool": "bash", "callID": "c", "state": state});
        let answer = |completed: bool| {
            let time = if completed { json!({"created": 2, "completed": 3}) } else { json!({"created": 2}) };
            json!({"role": "assistant", "parentID": "m1", "time": time})
        };
        let mut seen = vec![lines(&path)];
        // A prompt without an answer may not be whole yet.
        message(
            &connection,
            "m1",
            1,
            json!({"role": "user"}),
            &[("p1", json!({"type": "text", "text": "go"}))],
        );
        seen.push(lines(&path));
        assert_eq!(seen[1].len(), 1);
        message(&connection, "m2", 2, answer(false), &[("p2", tool(&running))]);
        seen.push(lines(&path));
        assert_eq!(seen[2].len(), 2);
        message(&connection, "m2", 2, answer(true), &[("p2", tool(&done))]);
        seen.push(lines(&path));
        assert_eq!(seen[3].len(), 3);
        // What OpenCode changes afterwards does not show.
        let mut pruned = done.clone();
        pruned["time"]["compacted"] = json!(9);
        message(&connection, "m2", 2, answer(true), &[("p2", tool(&pruned))]);
        message(&connection, "m1", 1, json!({"role": "user", "summary": {"diffs": []}}), &[]);
        connection.execute("update session set title = 'Named'", ()).unwrap();
        seen.push(lines(&path));
        assert_eq!(seen[4], seen[3]);
        // One that was not finished is read once another follows it.
        message(&connection, "m3", 4, json!({"role": "assistant", "time": {"created": 4}}), &[]);
        assert_eq!(lines(&path).len(), 3);
        message(
            &connection,
            "m4",
            5,
            json!({"role": "assistant", "time": {"created": 5, "completed": 6}}),
            &[],
        );
        seen.push(lines(&path));
        assert_eq!(seen[5].len(), 5);
        for two in seen.windows(2) {
            assert!(two[1].starts_with(&two[0]), "{two:#?}");
        }
        // What somebody else changes does.
        let mut forged = done;
        forged["output"] = json!("b");
        message(&connection, "m2", 2, answer(true), &[("p2", tool(&forged))]);
        assert!(!lines(&path).starts_with(&seen[3]));
    }

    #[test]
    fn every_session_is_read_and_each_change_shows_in_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let (path, connection) = database(dir.path());
        let files: Vec<String> = read(&path, None).unwrap().into_iter().map(|read| read.file).collect();
        assert_eq!(files, ["s1", "s2"].map(|id| format!("{}#{id}", path.display())));
        assert_eq!(read(&path, Some("s3")).unwrap(), []);
        let before = stamp(&path, "s1").unwrap();
        message(&connection, "m1", 7, json!({"role": "user"}), &[]);
        let after = stamp(&path, "s1").unwrap();
        assert_ne!(before, after);
        assert_eq!(after, Stamp { rows: 1, newest: 7 });
        assert!(read(&dir.path().join("none.db"), None).is_err());
        assert!(!dir.path().join("none.db").exists(), "reading makes no database");
    }
}
