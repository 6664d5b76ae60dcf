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
