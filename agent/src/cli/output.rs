//! How every command prints: a table for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// The form in which a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Columns without borders.
    Table,
    /// JSON on one line.
    Json,
    /// JSON on many lines.
    Pretty,
}

/// Something that fits into one line of a table, and into one object of JSON.
pub(super) trait Row: Serialize {
    /// The headings of the table.
    const COLUMNS: &'static [&'static str];

    /// The cells under them.
    fn cells(&self) -> Vec<String>;
}

/// Prints answers in one form.
#[derive(Clone, Debug)]
pub(super) struct Output<W> {
    format: Format,
    to: W,
    /// The widths of the columns of an endless list, as far as they are known.
    widths: Vec<usize>,
}

// === impl Output ===

impl<W: Write> Output<W> {
    pub(super) fn new(format: Format, to: W) -> Self {
        Self {
            format,
            to,
            widths: Vec::new(),
        }
    }

    /// Prints all rows: one table, or one JSON array.
    pub(super) fn rows<R: Row>(&mut self, rows: &[R]) -> io::Result<()> {
        match self.format {
            Format::Table => self.text(&table(rows)),
            Format::Json | Format::Pretty => self.json(&rows),
        }
    }

    /// Prints one row of an endless list: its cells, with the headings above the first, or one JSON object on one line.
    pub(super) fn event<R: Row>(&mut self, row: &R) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let cells = row.cells();
                let first = self.widths.is_empty();
                self.widen(R::COLUMNS);
                self.widen(&cells);
                if first {
                    self.aligned(R::COLUMNS)?;
                }
                self.aligned(&cells)?;
            }
            Format::Json | Format::Pretty => self.text(&serde_json::to_string(row)?)?,
        }
        self.to.flush()
    }

    /// Prints one value as JSON, also where a table was asked for: some answers have no columns.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string(value)?,
            Format::Table | Format::Pretty => serde_json::to_string_pretty(value)?,
        };
        self.text(&text)
    }

    /// Says what was done: a sentence for people, or its value for programs.
    pub(super) fn done<T: Serialize>(&mut self, sentence: &str, value: &T) -> io::Result<()> {
        match self.format {
            Format::Table => self.text(sentence),
            Format::Json | Format::Pretty => self.json(value),
        }
    }

    fn widen(&mut self, cells: &[impl AsRef<str>]) {
        self.widths.resize(cells.len(), 0);
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.as_ref().len());
        }
    }

    fn aligned(&mut self, cells: &[impl AsRef<str>]) -> io::Result<()> {
        let padded = self
            .widths
            .iter()
            .zip(cells)
            .map(|(&width, cell)| format!("{:width$}", cell.as_ref()));
        let line = padded.collect::<Vec<_>>().join("  ");
        self.text(line.trim_end())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{text}")
    }
}

fn table<R: Row>(rows: &[R]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(R::COLUMNS);
    for row in rows {
        table.add_row(row.cells());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A cell for what may be missing.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A cell for several values.
pub(super) fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let text = values
        .into_iter()
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(",");
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The time that is left, in its two largest units.
pub(super) fn left(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{seconds}s"),
        (0, 0, _) => format!("{sign}{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{sign}{hours}h{minutes}m"),
        _ => format!("{sign}{days}d{hours}h"),
    }
}

/// Tells the person at the terminal something that is no answer: programs read standard output.
pub(super) fn note(text: &str) {
    // Where standard error is closed nobody is there to be told.
    let _closed = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fruit {
        name: &'static str,
        weight: Option<u32>,
    }

    impl Row for Fruit {
        const COLUMNS: &'static [&'static str] = &["NAME", "WEIGHT"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), or_dash(self.weight)]
        }
    }

    const FRUITS: &[Fruit] = &[
        Fruit {
            name: "apple",
            weight: Some(120),
        },
        Fruit {
            name: "fig",
            weight: None,
        },
    ];

    fn printed(format: Format, print: impl FnOnce(&mut Output<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        print(&mut Output::new(format, &mut bytes)).expect("a Vec takes every write");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_table_has_aligned_columns_and_no_borders() {
        let text = printed(Format::Table, |output| output.rows(FRUITS));
        assert_eq!(text, "NAME   WEIGHT\napple  120\nfig    -\n");
    }

    #[test]
    fn a_table_without_rows_still_has_its_headings() {
        let text = printed(Format::Table, |output| output.rows::<Fruit>(&[]));
        assert_eq!(text, "NAME  WEIGHT\n");
    }

    #[test]
    fn json_is_one_array_on_one_line() {
        let text = printed(Format::Json, |output| output.rows(FRUITS));
        assert_eq!(
            text,
            "[{\"name\":\"apple\",\"weight\":120},{\"name\":\"fig\",\"weight\":null}]\n"
        );
    }

    #[test]
    fn pretty_json_takes_many_lines() {
        let text = printed(Format::Pretty, |output| output.rows(&FRUITS[1..]));
        assert_eq!(text, "[\n  {\n    \"name\": \"fig\",\n    \"weight\": null\n  }\n]\n");
    }

    #[test]
    fn events_stand_under_their_headings() {
        let text = printed(Format::Table, |output| {
            output.event(&FRUITS[0])?;
            output.event(&FRUITS[1])
        });
        assert_eq!(text, "NAME   WEIGHT\napple  120\nfig    -\n");
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        assert_eq!(
            printed(Format::Pretty, |output| output.event(&FRUITS[1])),
            "{\"name\":\"fig\",\"weight\":null}\n"
        );
    }

    #[test]
    fn the_time_that_is_left_is_told_in_its_two_largest_units() {
        let told = [0, 59, 60, 3_599, 3_600, 90_000, -61].map(left);
        assert_eq!(told, ["0s", "59s", "1m0s", "59m59s", "1h0m", "1d1h", "-1m1s"]);
    }
}
