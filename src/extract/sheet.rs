//! Tables: workbooks (xlsx, xls, ods…) and separated values, row by row with their headers.
//!
//! Each row becomes one line, `row 7 | Name: Ann | Age: 7`, so that a row found alone still says
//! what its numbers mean. Sheets are pages.

use std::io::Cursor;

use calamine::{Data, DataType, Ods, Reader, Sheets, Xls, Xlsb, Xlsx};

use super::archive::{Archive, OLE};
use super::office::unpack_limit;
use super::pen::{Pen, one_line};
use super::{Extracted, Skip, text};
use crate::domain::source::Meta;

/// The cells of a workbook.
///
/// # Errors
/// [`Skip`].
pub(super) fn workbook(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut sheets = open(bytes, limit)?;
    let mut pen = Pen::new(limit);
    for (index, name) in sheets.sheet_names().iter().enumerate() {
        let Ok(range) = sheets.worksheet_range(name) else {
            continue;
        };
        pen.page(index + 1);
        pen.heading(1, name);
        let first = range.start().map_or(0, |(row, _)| row as usize);
        let rows = range
            .rows()
            .enumerate()
            .map(|(i, row)| (first + i + 1, row.iter().map(cell).collect()));
        write_rows(rows, &mut pen);
        if pen.is_full() {
            break;
        }
    }
    pen.finish(Meta::default())
}

/// The reader that the content asks for, whatever the file is called.
fn open(bytes: &[u8], limit: usize) -> Result<Sheets<Cursor<&[u8]>>, Skip> {
    let source = Cursor::new(bytes);
    let broken = |error: &dyn std::fmt::Display| {
        let said = error.to_string().to_lowercase();
        Skip(if said.contains("password") || said.contains("encrypt") {
            "encrypted: it cannot be read without its password".into()
        } else {
            format!("broken: its parser says \"{error}\"")
        })
    };
    if bytes.starts_with(OLE) {
        // An encrypted new workbook is a container without a workbook in it.
        let inner = cfb::CompoundFile::open(source.clone());
        if inner.is_ok_and(|file| file.exists("/EncryptedPackage")) {
            return Err(broken(&"password"));
        }
        return Ok(Sheets::Xls(Xls::new(source).map_err(|e| broken(&e))?));
    }
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    archive.check_size()?;
    let names = archive.names();
    let holds = |name: &str| names.iter().any(|known| known == name);
    Ok(if holds("xl/workbook.bin") {
        Sheets::Xlsb(Xlsb::new(source).map_err(|e| broken(&e))?)
    } else if holds("content.xml") {
        Sheets::Ods(Ods::new(source).map_err(|e| broken(&e))?)
    } else {
        Sheets::Xlsx(Xlsx::new(source).map_err(|e| broken(&e))?)
    })
}

fn cell(value: &Data) -> String {
    match value {
        Data::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            match (hour, minute, second) {
                (0, 0, 0) => date,
                _ => format!("{date} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        Data::Float(number) => {
            // What a spreadsheet shows of 0.1 + 0.2: fifteen digits.
            let rounded = format!("{number:.14e}").parse().unwrap_or(*number);
            rounded.to_string()
        }
        Data::Error(_) => String::new(),
        other => one_line(&other.as_string().unwrap_or_else(|| other.to_string())),
    }
}

/// Comma, semicolon or tab separated values.
///
/// # Errors
/// [`Skip`].
pub(super) fn csv(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let text = text::decode(bytes)?;
    let mut reader = reader(&text, delimiter(&text));
    let mut pen = Pen::new(limit);
    let rows = reader.records().flatten().map(|record| {
        let position = record.position();
        // It is where the reader stopped before: ends of lines may still come.
        let ahead = position.map_or("", |at| text.get(at.byte() as usize..).unwrap_or(""));
        let ends = ahead
            .bytes()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let ends = ends.filter(|byte| *byte == b'\n').count() as u64;
        let line = position.map_or(0, csv::Position::line) + ends;
        let cells = record.iter().map(one_line).collect();
        (usize::try_from(line).unwrap_or(usize::MAX), cells)
    });
    write_rows(rows, &mut pen);
    pen.finish(Meta::default())
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes())
}

/// The separator that splits the first records into the most columns of which all have as many.
fn delimiter(text: &str) -> u8 {
    let columns = |separator: u8| {
        let mut reader = reader(text, separator);
        let counts = reader.records().take(10).flatten().map(|r| r.len());
        counts.min().unwrap_or(0)
    };
    let candidates = [b',', b';', b'\t', b'|'];
    let best = candidates.into_iter().rev().max_by_key(|s| columns(*s));
    best.unwrap_or(b',')
}

/// Writes rows, each with its number; the first row that is all words and years names the columns.
fn write_rows(rows: impl Iterator<Item = (usize, Vec<String>)>, pen: &mut Pen) {
    let mut names: Option<Vec<String>> = None;
    for (number, cells) in rows {
        if cells.iter().all(|cell| cell.is_empty()) {
            continue;
        }
        let filled = cells.iter().filter(|cell| !cell.is_empty()).count();
        if names.is_none() {
            // Years are the names of columns as often as numbers in them.
            let word = |cell: &String| cell.parse::<f64>().is_err();
            let year = |cell: &String| {
                let year = cell.parse::<u16>();
                cell.len() == 4 && year.is_ok_and(|year| (1800..2100).contains(&year))
            };
            let heads = filled * 2 > cells.len()
                && cells.first().is_none_or(word)
                && cells.iter().all(|cell| word(cell) || year(cell));
            names = Some(if heads { cells.clone() } else { Vec::new() });
            let row = cells.iter().filter(|c| !c.is_empty());
            let row: Vec<&str> = row.map(String::as_str).collect();
            pen.row(&format!("row {number} | {}", row.join(" | ")));
            // A title above the table is no header.
            if !heads && filled == 1 {
                names = None;
            }
            continue;
        }
        let name = |column: usize| {
            let name = names.as_ref().and_then(|names| names.get(column));
            name.filter(|name| !name.is_empty())
        };
        let mut line = format!("row {number}");
        for (column, cell) in cells.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            line.push_str(" | ");
            if let Some(name) = name(column) {
                line.push_str(name);
                line.push_str(": ");
            }
            line.push_str(cell);
        }
        pen.row(&line);
        if pen.is_full() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        csv(text.as_bytes(), 1 << 20).unwrap().outline.text
    }

    #[test]
    fn numbers_are_shown_as_spreadsheets_show_them() {
        let check = |number: f64, expected: &str| assert_eq!(cell(&Data::Float(number)), expected);
        check(0.1 + 0.2, "0.3");
        check(7.0, "7");
        check(6.674e-11, "0.00000000006674");
        check(1_234_567.891, "1234567.891");
    }

    #[test]
    fn rows_carry_their_headers() {
        assert_eq!(
            read("Region,2022,2023\nStyria,100,120\n"),
            "row 1 | Region | 2022 | 2023\nrow 2 | Region: Styria | 2022: 100 | 2023: 120\n"
        );
        assert_eq!(
            read("Name;Age\n\"Ann; B.\";7\nBen;\n"),
            "row 1 | Name | Age\nrow 2 | Name: Ann; B. | Age: 7\nrow 3 | Name: Ben\n"
        );
        assert_eq!(read("1,2\n3,4\n"), "row 1 | 1 | 2\nrow 2 | 3 | 4\n");
        assert_eq!(
            read("N,R\r\nAnn,7\r\n\r\nBen,8\r\n"),
            "row 1 | N | R\nrow 2 | N: Ann | R: 7\nrow 4 | N: Ben | R: 8\n"
        );
        assert_eq!(
            read("a\tb, c\td\n1\t\"2\n3\"\t4\n"),
            "row 1 | a | b, c | d\nrow 2 | a: 1 | b, c: 2 3 | d: 4\n"
        );
    }
}
