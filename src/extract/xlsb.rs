//! What binary workbooks (xlsb) say beside the values of their cells: how these are shown, and which rows
//! and columns are hidden.
//!
//! Their parts are those of an xlsx, but each is a row of records (MS-XLSB). What cannot be read here hides
//! nothing.

use std::collections::HashMap;
use std::iter::from_fn;

use super::archive::Archive;
use super::office::relations;
use super::sheet::{Beside, Format};
use super::xls::{u16_at, u32_at};

// Kinds of records.
const ROW: usize = 0x00;
const SHORT_NUMBER: usize = 0x02;
const NUMBER: usize = 0x05;
const FORMULA: usize = 0x09;
const FORMAT: usize = 0x2c;
const STYLE: usize = 0x2f;
const COLUMNS: usize = 0x3c;
const SHEET: usize = 0x9c;
const FILTERED: usize = 0xa3;
const BEGIN_STYLES: usize = 0x269;
const END_STYLES: usize = 0x26a;

/// Columns that spreadsheets have.
const MOST_COLUMNS: u32 = 1 << 14;

/// What a workbook says of all of its sheets.
pub(super) struct Workbook {
    /// The parts that are sheets, by their names.
    parts: HashMap<String, String>,
    /// How cells of each style show their numbers.
    formats: Vec<Format>,
}

impl Workbook {
    pub(super) fn open(archive: &mut Archive<'_>) -> Self {
        const MAIN: &str = "xl/workbook.bin";
        let relations = relations(archive, MAIN).unwrap_or_default();
        let mut parts = HashMap::new();
        let main = part(archive, MAIN);
        for (_, data) in records(&main).filter(|(kind, _)| *kind == SHEET) {
            if let Some((id, end)) = text_at(data, 8)
                && let Some((name, _)) = text_at(data, end)
                && let Some(relation) = relations.iter().find(|relation| relation.id == id)
            {
                parts.insert(name, relation.target.clone());
            }
        }
        let formats = formats(&part(archive, "xl/styles.bin"));
        Self { parts, formats }
    }

    /// What is said of the sheet of this name.
    pub(super) fn sheet(&self, archive: &mut Archive<'_>, name: &str) -> Beside {
        let Some(sheet) = self.parts.get(name) else {
            return Beside::default();
        };
        let mut beside = beside(&part(archive, sheet), &self.formats);
        for table in relations(archive, sheet).unwrap_or_default() {
            // Nobody hid what a filter keeps back for now.
            if table.kind.ends_with("/table") {
                let table = part(archive, &table.target);
                if records(&table).any(|(kind, _)| kind == FILTERED) {
                    beside.hidden.rows.clear();
                }
            }
        }
        beside
    }
}

/// The bytes of a part; none where there is none.
fn part(archive: &mut Archive<'_>, name: &str) -> Vec<u8> {
    archive.read(name).ok().flatten().unwrap_or_default()
}

/// How cells of each style show their numbers.
fn formats(styles: &[u8]) -> Vec<Format> {
    let mut codes = HashMap::new();
    let mut formats = Vec::new();
    let mut of_cells = false;
    for (kind, data) in records(styles) {
        match kind {
            FORMAT => {
                if let (Some(id), Some((code, _))) = (u16_at(data, 0), text_at(data, 2)) {
                    codes.insert(id, Format::of_code(&code));
                }
            }
            BEGIN_STYLES => of_cells = true,
            END_STYLES => of_cells = false,
            STYLE if of_cells => {
                let id = u16_at(data, 2).unwrap_or_default();
                let known = codes.get(&id).copied();
                formats.push(known.unwrap_or(Format::built_in(id)));
            }
            _ => {}
        }
    }
    formats
}

/// What the records of a sheet say.
fn beside(sheet: &[u8], formats: &[Format]) -> Beside {
    let mut beside = Beside::default();
    let mut is_filtered = false;
    let mut row = 0;
    for (kind, data) in records(sheet) {
        match kind {
            ROW => {
                row = u32_at(data, 0).unwrap_or(row);
                if is_hidden_row(data) {
                    beside.hidden.rows.insert(row);
                }
            }
            COLUMNS => {
                let columns = hidden_columns(data).unwrap_or_default();
                beside.hidden.columns.extend(columns);
            }
            FILTERED => is_filtered = true,
            SHORT_NUMBER | NUMBER | FORMULA => {
                if let (Some(column), Some(style)) = (u32_at(data, 0), u32_at(data, 4)) {
                    let format = formats.get((style & 0x00ff_ffff) as usize);
                    beside.note((row, column), format.copied());
                }
            }
            _ => {}
        }
    }
    // Nobody hid what a filter keeps back for now.
    if is_filtered {
        beside.hidden.rows.clear();
    }
    beside
}

/// Does it hide a row? One in a group is folded.
fn is_hidden_row(data: &[u8]) -> bool {
    const HIDDEN: u8 = 1 << 4;
    const LEVEL: u8 = 7;
    let about = data.get(11).copied().unwrap_or_default();
    about & HIDDEN != 0 && about & LEVEL == 0
}

/// The numbers of the columns that it hides.
fn hidden_columns(data: &[u8]) -> Option<std::ops::Range<u32>> {
    const HIDDEN: u16 = 1;
    const LEVEL: u16 = 7 << 8;
    let (first, last) = (u32_at(data, 0)?, u32_at(data, 4)?);
    let about = u16_at(data, 16)?;
    let columns = first..last.saturating_add(1).min(MOST_COLUMNS);
    (about & HIDDEN != 0 && about & LEVEL == 0).then_some(columns)
}

/// The kinds and the data of records, until they break off.
fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = bytes;
    from_fn(move || {
        let (kind, behind) = number(rest, 2)?;
        let (length, behind) = number(behind, 4)?;
        let (data, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some((kind, data))
    })
}

/// A number of at most so many bytes, each of seven bits of it, the lowest first; and what follows it.
fn number(bytes: &[u8], most: usize) -> Option<(usize, &[u8])> {
    let mut number = 0;
    let mut rest = bytes;
    for place in 0..most {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((number, rest))
}

/// A text with its length before it, and where it ends.
fn text_at(data: &[u8], at: usize) -> Option<(String, usize)> {
    let start = at.checked_add(4)?;
    let bytes = (u32_at(data, at)? as usize).checked_mul(2)?;
    let end = start.checked_add(bytes)?;
    let (text, _) = encoding_rs::UTF_16LE.decode_without_bom_handling(data.get(start..end)?);
    Some((text.into_owned(), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: usize, data: &[u8]) -> Vec<u8> {
        let low = u8::try_from(kind & 0x7f).unwrap();
        let high = u8::try_from(kind >> 7).unwrap();
        let length = u8::try_from(data.len()).unwrap();
        let mut record = vec![low];
        if high > 0 {
            record = vec![low | 0x80, high];
        }
        record.push(length);
        record.extend(data);
        record
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn wide(text: &str) -> Vec<u8> {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u32::try_from(units.len() / 2).unwrap();
        [numbers(&[length]), units].concat()
    }

    #[test]
    fn styles_say_how_numbers_are_shown() {
        let style = |id: u8| record(STYLE, &[0, 0, id, 0]);
        let styles = [
            record(FORMAT, &[vec![164, 0], wide("0.0%")].concat()),
            style(9),
            record(BEGIN_STYLES, &numbers(&[3])),
            style(0),
            style(9),
            style(164),
            record(END_STYLES, &[]),
        ];
        let expected = [Format::Plain, Format::Percent(0), Format::Percent(1)];
        assert_eq!(formats(&styles.concat()), expected);
    }

    #[test]
    fn what_somebody_hid_is_told_from_what_a_filter_keeps_back() {
        let formats = [Format::Plain, Format::Percent(0), Format::Percent(1)];
        let row = |row: u32, about: u8| {
            record(ROW, &[numbers(&[row, 0]), vec![0, 0, 0, about, 0]].concat())
        };
        let columns = |last: u32, about: u8| {
            record(
                COLUMNS,
                &[numbers(&[last, last, 0, 0]), vec![1, about]].concat(),
            )
        };
        let cell = |kind: usize, column: u32, style: u32| {
            record(kind, &[numbers(&[column, style]), vec![0; 8]].concat())
        };
        let mut sheet = vec![
            columns(2, 0),
            columns(3, 1),
            row(0, 0),
            cell(NUMBER, 1, 1),
            row(1, 1 << 4),
            row(2, (1 << 4) | 1),
            cell(SHORT_NUMBER, 0, 0xff00_0002),
            cell(FORMULA, 1, 0),
            cell(0x07, 2, 1),
        ];
        let found = beside(&sheet.concat(), &formats);
        let of = |numbers: std::collections::HashSet<u32>| numbers.into_iter().collect::<Vec<_>>();
        assert_eq!(of(found.hidden.columns), [2]);
        assert_eq!(of(found.hidden.rows), [1]);
        let expected = [((0, 1), Format::Percent(0)), ((2, 0), Format::Percent(1))];
        assert_eq!(found.formats, HashMap::from(expected));
        sheet.push(record(FILTERED, &[]));
        assert!(beside(&sheet.concat(), &formats).hidden.rows.is_empty());
    }

    #[test]
    fn broken_records_end_what_is_said() {
        assert_eq!(records(&[0x80]).count(), 0);
        assert_eq!(records(&[0x05, 9, 1]).count(), 0);
        assert_eq!(records(&[0x05, 1, 1, 0x05]).count(), 1);
        assert_eq!(text_at(&[0xff; 8], 2), None);
    }
}
