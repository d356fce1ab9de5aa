//! What old workbooks (xls) say beside the values of their cells: how these are shown, and which rows and
//! columns are hidden.
//!
//! They are records in a stream of a compound file (MS-XLS). The reader of the values lays out every cell
//! between those that are filled; where these lie far apart, it is given a workbook in which they lie side
//! by side. What cannot be read here hides nothing and moves nothing.

use std::collections::{BTreeSet, HashMap};
use std::io::{Cursor, Read, Write};
use std::iter::from_fn;

use super::sheet::{Beside, Format};

// Kinds of records.
const BEGIN: u16 = 0x0809;
const END: u16 = 0x000a;
const SHEET: u16 = 0x0085;
const FORMAT: u16 = 0x041e;
const STYLE: u16 = 0x00e0;
const DIMENSIONS: u16 = 0x0200;
const ROW: u16 = 0x0208;
const COLUMNS: u16 = 0x007d;
const FILTERED: u16 = 0x009b;
const FORMULA: u16 = 0x0006;
const NUMBER: u16 = 0x0203;
const SHORT_NUMBER: u16 = 0x027e;
const SHORT_NUMBERS: u16 = 0x00bd;
const LABEL: u16 = 0x0204;
const RICH_LABEL: u16 = 0x00d6;
const SHARED_LABEL: u16 = 0x00fd;
const TRUTH: u16 = 0x0205;

/// Columns that such a sheet has.
const MOST_COLUMNS: u32 = 256;

/// Cells that are laid out as they are.
const MOST_CELLS: u64 = 1 << 22;

/// The records of a workbook.
pub(super) struct Workbook {
    /// What their stream is called.
    name: &'static str,
    stream: Vec<u8>,
    /// How cells of each style show their numbers.
    formats: Vec<Format>,
    /// Where each sheet begins.
    sheets: Vec<usize>,
}

struct Record<'a> {
    kind: u16,
    /// Where its data begin in the stream.
    start: usize,
    data: &'a [u8],
}

/// The rows and columns in which a sheet has cells, in their order.
struct Places {
    rows: Vec<u16>,
    columns: Vec<u16>,
}

impl Workbook {
    /// The workbook in a compound file, if there is one.
    pub(super) fn open(bytes: &[u8]) -> Option<Self> {
        let mut file = cfb::CompoundFile::open(Cursor::new(bytes)).ok()?;
        let name = ["Workbook", "Book"]
            .into_iter()
            .find(|name| file.is_stream(format!("/{name}")))?;
        let mut stream = Vec::new();
        let opened = file.open_stream(format!("/{name}")).ok()?;
        let most = bytes.len() as u64;
        opened.take(most).read_to_end(&mut stream).ok()?;
        Some(Self::of(name, stream))
    }

    fn of(name: &'static str, stream: Vec<u8>) -> Self {
        let mut codes = HashMap::new();
        let mut styles = Vec::new();
        let mut sheets = Vec::new();
        let mut is_wide = true;
        for Record { kind, data, .. } in records(&stream, 0) {
            match kind {
                BEGIN => is_wide = u16_at(data, 0) == Some(0x0600),
                FORMAT => codes.extend(format_of(data, is_wide)),
                STYLE => styles.push(u16_at(data, 2).unwrap_or_default()),
                SHEET => sheets.push(u32_at(data, 0).unwrap_or(u32::MAX) as usize),
                END => break,
                _ => {}
            }
        }
        let format = |id: u16| codes.get(&id).copied().unwrap_or(Format::built_in(id));
        let formats = styles.into_iter().map(format).collect();
        Self {
            name,
            stream,
            formats,
            sheets,
        }
    }

    /// What is said of the sheet of this number, counted from 0.
    pub(super) fn sheet(&self, index: usize) -> Beside {
        let mut beside = Beside::default();
        let Some(from) = self.sheets.get(index) else {
            return beside;
        };
        let mut is_filtered = false;
        for record in records_of_sheet(&self.stream, *from) {
            match record.kind {
                FILTERED => is_filtered = true,
                ROW => beside.hidden.rows.extend(record.hidden_row()),
                COLUMNS => {
                    let columns = record.hidden_columns().unwrap_or_default();
                    beside.hidden.columns.extend(columns);
                }
                _ => {
                    if let Some((row, first, last)) = record.cells() {
                        for column in first..=last {
                            let at = 4 + 6 * usize::from(column - first);
                            let style = u16_at(record.data, at).map(usize::from);
                            let format = style.and_then(|style| self.formats.get(style));
                            beside.note((row.into(), column.into()), format.copied());
                        }
                    }
                }
            }
        }
        // Nobody hid what a filter keeps back for now.
        if is_filtered {
            beside.hidden.rows.clear();
        }
        if is_spread(&self.stream, *from) {
            let Places { rows, columns } = places(&self.stream, *from);
            beside.rows = rows.into_iter().map(u32::from).collect();
            beside.columns = columns.into_iter().map(u32::from).collect();
        }
        beside
    }

    /// A file to read the values from instead, where cells lie too far apart to be laid out: in such sheets,
    /// they are moved next to each other, and [`Beside`] says whence.
    pub(super) fn packed(&self) -> Option<Vec<u8>> {
        let spread = |from: &&usize| is_spread(&self.stream, **from);
        let spread: Vec<usize> = self.sheets.iter().filter(spread).copied().collect();
        if spread.is_empty() {
            return None;
        }
        let mut packed = self.stream.clone();
        for from in spread {
            let places = places(&self.stream, from);
            for record in records_of_sheet(&self.stream, from) {
                let end = record.start + record.data.len();
                let data = &mut packed[record.start..end];
                if record.kind == DIMENSIONS {
                    data.fill(0);
                } else {
                    places.write(&record, data);
                }
            }
        }
        container(self.name, &packed).ok()
    }
}

/// A compound file of one stream.
fn container(name: &str, stream: &[u8]) -> std::io::Result<Vec<u8>> {
    let inner = Cursor::new(Vec::new());
    let mut file = cfb::CompoundFile::create_with_version(cfb::Version::V3, inner)?;
    let mut opened = file.create_stream(format!("/{name}"))?;
    opened.write_all(stream)?;
    opened.flush()?;
    drop(opened);
    file.flush()?;
    Ok(file.into_inner().into_inner())
}

/// The records from here on, until they break off.
fn records(stream: &[u8], from: usize) -> impl Iterator<Item = Record<'_>> {
    let mut at = from;
    from_fn(move || {
        let kind = u16_at(stream, at)?;
        let start = at + 4;
        at = start + usize::from(u16_at(stream, at + 2)?);
        let data = stream.get(start..at)?;
        Some(Record { kind, start, data })
    })
}

/// The records of the sheet that begins here. A chart in it has records that look like cells.
fn records_of_sheet(stream: &[u8], from: usize) -> impl Iterator<Item = Record<'_>> {
    let mut depth = 0_usize;
    let of_sheet = records(stream, from).map_while(move |record| {
        match record.kind {
            BEGIN => depth += 1,
            END if depth <= 1 => return None,
            END => depth -= 1,
            _ => {}
        }
        Some((depth, record))
    });
    of_sheet
        .filter(|(depth, _)| *depth <= 1)
        .map(|(_, record)| record)
}

/// Would it take up far too much to lay out the cells of a sheet, or as many as it says that it has?
fn is_spread(stream: &[u8], from: usize) -> bool {
    let (mut rows, mut columns) = ((u16::MAX, 0), (u16::MAX, 0));
    for record in records_of_sheet(stream, from) {
        if let Some((row, first, last)) = record.cells() {
            rows = (rows.0.min(row), rows.1.max(row));
            columns = (columns.0.min(first), columns.1.max(last));
        } else if record.kind == DIMENSIONS && record.claims_too_much() {
            return true;
        }
    }
    let count = |(first, last): (u16, u16)| u64::from(last.saturating_sub(first)) + 1;
    count(rows) * count(columns) > MOST_CELLS
}

fn places(stream: &[u8], from: usize) -> Places {
    let (mut rows, mut columns) = (BTreeSet::new(), BTreeSet::new());
    for (row, first, last) in records_of_sheet(stream, from).filter_map(|record| record.cells()) {
        rows.insert(row);
        columns.extend(first..=last);
    }
    Places {
        rows: rows.into_iter().collect(),
        columns: columns.into_iter().collect(),
    }
}

impl Places {
    /// Writes where cells lie side by side over where they lie, if the record is of cells.
    fn write(&self, record: &Record<'_>, data: &mut [u8]) {
        let Some((row, first, last)) = record.cells() else {
            return;
        };
        let of = |known: &[u16], number: u16| {
            let at = known.partition_point(|known| *known < number);
            u16::try_from(at).unwrap_or(u16::MAX).to_le_bytes()
        };
        data[..2].copy_from_slice(&of(&self.rows, row));
        data[2..4].copy_from_slice(&of(&self.columns, first));
        if record.kind == SHORT_NUMBERS {
            let end = data.len();
            data[end - 2..].copy_from_slice(&of(&self.columns, last));
        }
    }
}

impl Record<'_> {
    /// The row, the first column and the last one of the cells that it is, if it is of such.
    fn cells(&self) -> Option<(u16, u16, u16)> {
        let data = self.data;
        let (row, first) = (u16_at(data, 0)?, u16_at(data, 2)?);
        let last = match self.kind {
            NUMBER | SHORT_NUMBER | FORMULA | LABEL | RICH_LABEL | SHARED_LABEL | TRUTH => first,
            SHORT_NUMBERS => {
                let last = u16_at(data, data.len() - 2)?;
                let count = usize::from(last.checked_sub(first)?) + 1;
                (data.len() == 6 + 6 * count).then_some(last)?
            }
            _ => return None,
        };
        Some((row, first, last))
    }

    /// The number of the row that it hides: one in a group is folded.
    fn hidden_row(&self) -> Option<u32> {
        const HIDDEN: u16 = 1 << 5;
        const LEVEL: u16 = 7;
        let about = u16_at(self.data, 12)?;
        let row = u16_at(self.data, 0)?;
        (about & HIDDEN != 0 && about & LEVEL == 0).then_some(row.into())
    }

    /// The numbers of the columns that it hides.
    fn hidden_columns(&self) -> Option<std::ops::Range<u32>> {
        const HIDDEN: u16 = 1;
        const LEVEL: u16 = 7 << 8;
        let (first, last) = (u16_at(self.data, 0)?, u16_at(self.data, 2)?);
        let about = u16_at(self.data, 8)?;
        let columns = u32::from(first)..(u32::from(last) + 1).min(MOST_COLUMNS);
        (about & HIDDEN != 0 && about & LEVEL == 0).then_some(columns)
    }

    /// Does it say of a sheet that it has too many cells, or fewer than none?
    fn claims_too_much(&self) -> bool {
        let short = |at: usize| u16_at(self.data, at).map_or(0, u64::from);
        let long = |at: usize| u32_at(self.data, at).map_or(0, u64::from);
        let (first, end, columns) = if self.data.len() < 14 {
            (short(0), short(2), short(6))
        } else {
            (long(0), long(4), short(10))
        };
        first > end || end * columns > MOST_CELLS
    }
}

/// The number of a format, and how cells that have it show their numbers.
fn format_of(data: &[u8], is_wide: bool) -> Option<(u16, Format)> {
    let id = u16_at(data, 0)?;
    let signs = data.get(if is_wide { 5 } else { 3 }..)?;
    let code: String = if is_wide && data[4] & 1 == 1 {
        let units = signs.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        let signs = char::decode_utf16(units.map(u16::from_le_bytes));
        signs.flatten().collect()
    } else {
        signs.iter().copied().map(char::from).collect()
    };
    Some((id, Format::of_code(&code)))
}

/// A number of two bytes, the lower first.
pub(super) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

/// A number of four bytes, the lowest first.
pub(super) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::sheet::workbook;
    use super::*;

    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), data].concat()
    }

    fn words(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn label(row: u16, column: u16, text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        let head = words(&[row, column, 0, length]);
        record(LABEL, &[&head[..], &[0], text.as_bytes()].concat())
    }

    fn number(row: u16, column: u16, style: u16, number: f64) -> Vec<u8> {
        let head = words(&[row, column, style]);
        record(NUMBER, &[&head[..], &number.to_le_bytes()].concat())
    }

    /// A workbook of one sheet with these records. Its styles: plain, a share, a share of its own making.
    fn book(sheet: &[Vec<u8>]) -> Vec<u8> {
        let begin = |kind: u16| record(BEGIN, &words(&[0x0600, kind, 0, 0, 0, 0, 0, 0]));
        let own = [&words(&[164, 4])[..], &[0], b"0.0%"].concat();
        let style = |format: u16| record(STYLE, &words(&[0, format, 0, 0, 0, 0, 0, 0, 0, 0]));
        let styles = [style(0), style(9), style(164)].concat();
        let globals = |from: u32| {
            let about = [&from.to_le_bytes()[..], &[0, 0, 1, 0], b"A"].concat();
            let sheet = record(SHEET, &about);
            [
                begin(5),
                record(FORMAT, &own),
                styles.clone(),
                sheet,
                record(END, &[]),
            ]
            .concat()
        };
        let from = u32::try_from(globals(0).len()).unwrap();
        let sheet = [begin(0x10), sheet.concat(), record(END, &[])].concat();
        container("Workbook", &[globals(from), sheet].concat()).unwrap()
    }

    fn read(sheet: &[Vec<u8>]) -> String {
        workbook(&book(sheet), 1 << 20).unwrap().outline.text
    }

    #[test]
    fn shares_are_shown_and_what_is_hidden_is_not() {
        let row = |row: u16, about: u16| record(ROW, &words(&[row, 0, 4, 0, 0, 0, about, 0]));
        let short: [u8; 6] = [0, 0, (24 << 2) | 2, 0, 0, 0];
        let many = [&words(&[3, 1])[..], &short, &short, &words(&[2])].concat();
        let mut sheet = vec![
            row(0, 0),
            row(1, 1 << 5),
            row(2, (1 << 5) | 1),
            record(COLUMNS, &words(&[3, 3, 0, 0, 1])),
            label(0, 0, "Item"),
            label(0, 1, "Share"),
            label(0, 2, "Cost"),
            label(0, 3, "Secret"),
            label(1, 0, "Wage"),
            label(2, 0, "Oar"),
            number(2, 1, 1, 0.05),
            number(2, 2, 2, 0.125),
            number(2, 3, 0, 7.0),
            label(3, 0, "Rope"),
            record(SHORT_NUMBERS, &many),
        ];
        let seen = "row 3 | Item: Oar | Share: 5 % | Cost: 12.5 %\nrow 4 | Item: Rope";
        let text = read(&sheet);
        assert!(text.contains(seen), "{text}");
        assert!(!text.contains("Wage") && !text.contains("Secret"), "{text}");
        sheet.push(record(FILTERED, &[]));
        assert!(read(&sheet).contains("Wage"));
    }

    #[test]
    fn a_cell_far_from_the_others_keeps_nothing_from_being_read() {
        let far = [
            record(DIMENSIONS, &[0xff; 14]),
            label(1, 2, "Item"),
            label(1, 4, "Place"),
            label(2, 2, "Oar"),
            label(2, 4, "Shed"),
            record(SHORT_NUMBERS, &words(&[65_535, 255, 1, 6, 0, 255])),
        ];
        let file = book(&far);
        let packed = Workbook::open(&file).unwrap().packed().unwrap();
        let again = Workbook::open(&packed).unwrap();
        let cells: Vec<_> = records_of_sheet(&again.stream, again.sheets[0])
            .filter_map(|record| record.cells())
            .collect();
        let expected = [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1), (2, 2, 2)];
        assert_eq!(cells, expected);
        assert!(again.packed().is_none());
        assert_eq!(
            read(&far),
            "# A\n\nrow 2 | Item | Place\nrow 3 | Item: Oar | Place: Shed\n\
             row 65536 | 100 %\n"
        );
    }

    #[test]
    fn broken_records_end_what_is_said() {
        for stream in [
            &b""[..],
            b"\x85\0",
            b"\x85\0\xff\xff\0",
            b"\xbd\0\x02\0\0\0",
        ] {
            let book = Workbook::of("Book", stream.to_vec());
            assert!(book.packed().is_none() && book.sheet(0).formats.is_empty());
        }
        let short = record(SHORT_NUMBERS, &[0, 0]);
        let sheet = [&b"\x85\0\x04\0\0\0\0\0"[..], &short].concat();
        assert!(Workbook::of("Book", sheet).packed().is_none());
    }
}
