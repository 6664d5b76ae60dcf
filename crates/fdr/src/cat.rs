//! `fdr cat`: the log as it is stored, one JSON line a record.

use crate::trail::{self, Row, Trail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fdr_record::hex;
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// Options of `fdr cat`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CatArgs {
    /// Index of the first record, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// Index of the last record
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Behind each record a line with each content that it refers to, and the salt that the
    /// digest is checked with
    #[arg(long)]
    pub with_content: bool,
    /// With the words put back into records that are sealed in them; such a line is not what is
    /// hashed
    #[arg(long)]
    pub open: bool,
}

/// A content as `--with-content` writes it.
#[derive(Serialize)]
struct ContentLine<'a> {
    /// Index of the record.
    content_of: u64,
    role: &'a str,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    /// The content where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The content where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Why it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// Runs `fdr cat`. The bytes of a record are written exactly as they are stored and hashed,
/// also to a terminal: use `fdr show` to look at records that you don't trust.
///
/// # Errors
/// When the log can't be read.
pub fn run(args: &CatArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    trail::unless_broken_pipe(copy(args, home, &mut BufWriter::with_capacity(64 * 1024, out)))
}

fn copy(args: &CatArgs, home: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let trail = Trail::open(home)?;
    let end = args.to.map_or(u64::MAX, |to| to.saturating_add(1));
    trail.scan(args.from, end, |entry| {
        if !args.open && !args.with_content {
            out.write_all(&entry.bytes)?;
            out.write_all(b"\n")?;
            return Ok(ControlFlow::Continue(()));
        }
        let row = trail.read(entry);
        out.write_all(if args.open { row.shown() } else { &row.line })?;
        out.write_all(b"\n")?;
        if args.with_content {
            write_contents(&trail, &row, out)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    Ok(trail.finish(trail::FOUND))
}

fn write_contents(trail: &Trail, row: &Row, out: &mut dyn Write) -> anyhow::Result<()> {
    for reference in row.record().map(|record| record.content.as_slice()).unwrap_or_default() {
        let found = trail.content(row.index, reference);
        let mut line = ContentLine {
            content_of: row.index,
            role: &reference.role,
            digest: &reference.digest,
            salt: None,
            text: None,
            base64: None,
            missing: None,
        };
        match &found {
            Ok(Some(content)) => {
                line.salt = Some(hex(&content.salt));
                match std::str::from_utf8(&content.bytes) {
                    Ok(text) => line.text = Some(text),
                    Err(_) => line.base64 = Some(STANDARD.encode(&content.bytes)),
                }
            }
            Ok(None) => line.missing = Some("not stored with this record".to_owned()),
            Err(error) => line.missing = Some(error.to_string()),
        }
        serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
