//! `state.db`: sessions and their messages. Hermes marks messages that it cut out of a conversation
//! and remembers otherwise what it did to a session; what was said stays as it was written.

use crate::transcript_store::{Stamp, Transcript};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// How long to wait for Hermes where it holds the database.
const BUSY: Duration = Duration::from_millis(200);
/// The most that is read out of one session, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// What stands fast of a message. Which of these there are differs by version.
const COLUMNS: [&str; 11] = [
    "id",
    "session_id",
    "role",
    "content",
    "tool_call_id",
    "tool_calls",
    "tool_name",
    "timestamp",
    "finish_reason",
    "reasoning",
    "reasoning_content",
];

/// The sessions, or the one of that id; see [`crate::transcript_store::read`].
///
/// # Errors
/// When the database can't be read.
pub fn read(database: &Path, session: Option<&str>) -> rusqlite::Result<Vec<Transcript>> {
    let mut connection = open(database)?;
    // All of it as it was at one moment.
    let connection = connection.transaction()?;
    let mut found = connection.prepare(
        "select id, source, parent_session_id, started_at from sessions \
         where ?1 is null or id = ?1 order by started_at, id",
    )?;
    let heads = found.query_map([session], |row| {
        let id: String = row.get(0)?;
        let head = json!({
            "table": "session",
            "id": id,
            "source": row.get::<_, Option<String>>(1)?,
            "parent_session_id": row.get::<_, Option<String>>(2)?,
            "timestamp": row.get::<_, Option<f64>>(3)?,
        });
        Ok((id, head))
    })?;
    let columns = columns(&connection)?;
    let mut transcripts = Vec::new();
    for head in heads {
        let (id, head) = head?;
        let mut bytes = head.to_string().into_bytes();
        bytes.push(b'\n');
        let sql = format!("select {} from messages where session_id = ?1 order by id", columns.join(", "));
        let mut messages = connection.prepare(&sql)?;
        let lines = messages.query_map([&id], |row| line(row, &columns))?;
        for line in lines {
            let line = line?;
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

/// What changes whenever something is said in the session.
///
/// # Errors
/// When the database can't be read.
pub fn stamp(database: &Path, session: &str) -> rusqlite::Result<Stamp> {
    let sql = "select count(*), coalesce(max(id), 0) from messages where session_id = ?1";
    open(database)?.query_row(sql, [session], |row| {
        Ok(Stamp { rows: row.get::<_, i64>(0)?.unsigned_abs(), newest: row.get(1)? })
    })
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Those of [`COLUMNS`] that this version has.
fn columns(connection: &Connection) -> rusqlite::Result<Vec<&'static str>> {
    let mut found = connection.prepare("select name from pragma_table_info('messages')")?;
    let names: Vec<String> = found.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(COLUMNS.into_iter().filter(|column| names.iter().any(|name| name == column)).collect())
}

/// A message as one line of JSON; what it does not have is left out.
fn line(row: &Row<'_>, columns: &[&str]) -> rusqlite::Result<String> {
    let mut message = Map::from_iter([("table".to_owned(), Value::from("message"))]);
    for (number, column) in columns.iter().enumerate() {
        let value = match row.get_ref(number)? {
            ValueRef::Null => continue,
            ValueRef::Integer(number) => Value::from(number),
            ValueRef::Real(number) => Value::from(number),
            ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
        };
        message.insert((*column).to_owned(), value);
    }
    Ok(Value::Object(message).to_string())
}
