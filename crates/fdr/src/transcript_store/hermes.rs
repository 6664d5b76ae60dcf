//! `state.db`: sessions and their messages. Hermes marks messages that it cut out of a conversation
//! and remembers otherwise what it did to a session; what was said stays as it was written.

use crate::transcript_store::{Stamp, Transcript};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// How long to wait for Hermes where it holds the database.
const BUSY: Duration = Duration::from_millis(200);
/// The most that is read out of one session, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// The longest that a call is waited for, in seconds: then the agent has been killed, most likely.
const LONGEST_S: u32 = 3600;
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
        let sql = format!(
            "select {}, coalesce(timestamp < unixepoch() - {LONGEST_S}, 0) from messages \
             where session_id = ?1 order by id",
            columns.join(", ")
        );
        let mut messages = connection.prepare(&sql)?;
        let messages = messages.query_map([&id], |row| Message::new(row, &columns))?;
        let messages = messages.collect::<rusqlite::Result<Vec<Message>>>()?;
        for message in &messages[..finished(&messages, &id, &connection)?] {
            if bytes.len() + message.line.len() > MAX_BYTES {
                break;
            }
            bytes.extend_from_slice(message.line.as_bytes());
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

/// A message.
struct Message {
    line: String,
    role: String,
    /// How many calls it asks for.
    calls: usize,
    /// It is older than any call should be.
    is_old: bool,
}

/// How many messages are finished. One that asks for calls is written before the hooks are asked
/// about these, and what comes of them afterwards: until then the hooks shall be heard first.
fn finished(messages: &[Message], session: &str, connection: &Connection) -> rusqlite::Result<usize> {
    let Some(last) = messages.iter().rposition(|message| message.role == "assistant") else {
        return Ok(messages.len());
    };
    let after = &messages[last + 1..];
    let has_gone_on = after.iter().any(|message| message.role != "tool");
    if messages[last].calls <= after.len() || has_gone_on || messages[last].is_old {
        return Ok(messages.len());
    }
    let sql = "select ended_at is not null from sessions where id = ?1";
    let has_ended: bool = connection.query_row(sql, [session], |row| row.get(0))?;
    Ok(if has_ended { messages.len() } else { last })
}

impl Message {
    /// One line of JSON; what the message does not have is left out.
    fn new(row: &Row<'_>, columns: &[&str]) -> rusqlite::Result<Message> {
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
        let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
        let calls =
            serde_json::from_str::<Vec<IgnoredAny>>(text("tool_calls")).map_or(0, |calls| calls.len());
        Ok(Message {
            role: text("role").to_owned(),
            calls,
            is_old: row.get(columns.len())?,
            line: Value::Object(message).to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as Hermes 0.19.0 lays it out, as far as it is read.
    fn database(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "create table sessions (id text primary key, source text, parent_session_id text,
                     started_at real, ended_at real);
                 create table messages (id integer primary key, session_id text, role text, content text,
                     tool_call_id text, tool_calls text, tool_name text, timestamp real, active integer);
                 insert into sessions values ('s', 'cli', null, 1.5, null), ('other', 'cli', null, 2, null);
                 insert into messages (session_id, role, content, timestamp) values
                     ('s', 'user', 'look', unixepoch()), ('other', 'user', 'x', unixepoch())",
            )
            .unwrap();
        connection
    }

    #[test]
    fn calls_are_read_when_all_have_come_to_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let connection = database(&path);
        let lines = || {
            let read = read(&path, Some("s")).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].file, format!("{}#s", path.display()));
            String::from_utf8(read[0].bytes.clone()).unwrap()
        };
        let add = |role: &str, calls: Option<&str>| {
            let sql = "insert into messages (session_id, role, tool_calls, timestamp) values ('s', ?1, ?2, unixepoch())";
            connection.execute(sql, (role, calls)).unwrap();
        };
        let before = lines();
        assert_eq!(before.lines().count(), 2);
        let stamped = stamp(&path, "s").unwrap();
        add("assistant", Some(r#"[{"id": "a"}, {"id": "b"}]"#));
        assert_ne!(stamp(&path, "s").unwrap(), stamped);
        assert_eq!(lines(), before, "asked for");
        add("tool", None);
        assert_eq!(lines(), before, "one of two");
        add("tool", None);
        let whole = lines();
        assert_eq!(whole.lines().count(), 5);
        assert!(whole.starts_with(&before));
        // What Hermes itself changes afterwards is no change.
        connection.execute("update messages set active = 0", ()).unwrap();
        assert_eq!(lines(), whole);
        // A session that ended has nothing to come.
        add("assistant", Some(r#"[{"id": "c"}]"#));
        assert_eq!(lines(), whole);
        connection.execute("update sessions set ended_at = 3", ()).unwrap();
        assert_eq!(lines().lines().count(), 6);
        assert_eq!(read(&path, None).unwrap().len(), 2);
    }
}
