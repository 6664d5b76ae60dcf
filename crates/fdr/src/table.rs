//! Tables that fit the terminal.

use crate::text::{self, Look, Tone};
use std::io::{self, Write};

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A cell: its text, escaped, and its tone.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with `text`, which is escaped here.
    pub fn new(tone: Tone, text: impl AsRef<str>) -> Cell {
        Cell { text: text::line(text.as_ref()), tone }
    }

    /// A plain cell.
    pub fn plain(text: impl AsRef<str>) -> Cell {
        Cell::new(Tone::Plain, text)
    }
}

/// A table with a line of headings. Every column is as wide as its widest cell, at most its
/// limit; what the last column has left over from the terminal's width is cut.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align, usize)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns: heading, alignment, most columns on the screen.
    pub fn new(columns: &[(&'static str, Align, usize)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Writes the table.
    pub fn write(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let mut left = look.width;
        let mut widths = Vec::with_capacity(self.columns.len());
        for (at, (heading, _, limit)) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| text::width(&cell.text));
            let wanted = cells.chain([text::width(heading)]).max().unwrap_or(0).min(*limit);
            let last = at + 1 == self.columns.len();
            let width = if last { wanted.min(left.max(8)) } else { wanted };
            left = left.saturating_sub(width + 2);
            widths.push(width);
        }
        let headings: Vec<Cell> =
            self.columns.iter().map(|(heading, _, _)| Cell::new(Tone::Strong, heading)).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            let mut blank = 0;
            for ((cell, width), (_, align, _)) in row.iter().zip(&widths).zip(&self.columns) {
                let shown = text::cut_quoted(&cell.text, *width);
                let space = width.saturating_sub(text::width(&shown));
                let before = if *align == Align::Right { space } else { 0 };
                if !shown.is_empty() {
                    line.push_str(&" ".repeat(blank + before));
                    line.push_str(&look.paint(cell.tone, &shown));
                    blank = 0;
                } else {
                    blank += before;
                }
                blank += space - before + 2;
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}
