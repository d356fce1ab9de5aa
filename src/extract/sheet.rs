//! Tables: workbooks (xlsx, xls, ods…) and separated values, row by row with their headers.
//!
//! Each row becomes one line, `row 7 | Name: Ann | Age: 7`, so that a row found alone still says
//! what its numbers mean. Sheets are pages; hidden ones are left out, and so are hidden rows and
//! columns. Comments on the cells of xlsx and ods are read. Values are written as the sheet shows them as
//! far as the reader tells how: shares, times, durations and zeros in front of numbers.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use calamine::{
    Data, DataType, ExcelDateTime, Reader, SheetType, SheetVisible, Sheets, Style, Xls, Xlsb,
    XlsbError, Xlsx, XlsxError,
};

use super::archive::{Archive, OLE};
use super::office::unpack_limit;
use super::pen::{Pen, one_line};
use super::{Extracted, Skip, ods, rows, text, xls, xlsb, xlsx};
use crate::domain::source::Meta;

type Book<'a> = Sheets<Cursor<&'a [u8]>>;

/// The cells of a workbook. A sheet that cannot be read does not keep the others from being read.
///
/// # Errors
/// [`Skip`].
pub(super) fn workbook(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut pen = Pen::new(limit);
    let old = bytes.starts_with(OLE).then(|| xls::Workbook::open(bytes));
    let old = old.flatten();
    let packed = old.as_ref().and_then(xls::Workbook::packed);
    let Some(mut book) = open(packed.as_deref().unwrap_or(bytes), limit)? else {
        let mut archive = Archive::open(bytes, unpack_limit(limit))?;
        ods::write(&mut archive, limit, &mut pen)?;
        return pen.finish(Meta::default());
    };
    let archive = (!bytes.starts_with(OLE)).then(|| Archive::open(bytes, unpack_limit(limit)));
    let mut archive = archive.transpose()?;
    let (parts, binary) = match (&book, &mut archive) {
        (Sheets::Xlsx(_), Some(archive)) => (xlsx::sheets(archive), None),
        (Sheets::Xlsb(_), Some(archive)) => (HashMap::new(), Some(xlsb::Workbook::open(archive))),
        _ => (HashMap::new(), None),
    };
    let mut broken: Vec<String> = Vec::new();
    for (index, sheet) in book.sheets_metadata().to_vec().iter().enumerate() {
        if sheet.visible != SheetVisible::Visible {
            continue;
        }
        pen.page(index + 1);
        let mut cells = Vec::new();
        let beside = match (&old, &binary, &mut archive) {
            (Some(old), ..) => old.sheet(index),
            (_, Some(binary), Some(archive)) => binary.sheet(archive, &sheet.name),
            _ => Beside::default(),
        };
        let read = read_sheet(&mut book, &sheet.name, &beside, &mut cells);
        if read.is_ok() || !cells.is_empty() {
            let (hidden, comments) = match (&mut archive, parts.get(&sheet.name)) {
                (Some(archive), Some(part)) => xlsx::beside(archive, part),
                _ => (beside.hidden, Vec::new()),
            };
            write_sheet(&sheet.name, cells, &hidden, &comments, &mut pen);
            if let (Some(archive), Some(part)) = (&mut archive, parts.get(&sheet.name)) {
                xlsx::write_charts(archive, part, &mut pen);
            }
        }
        // Charts and macros are no cells that somebody misses.
        if let Err(error) = read
            && sheet.typ == SheetType::WorkSheet
        {
            let shown: String = sheet.name.chars().take(NAME_CHARS).collect();
            let said = format!("the sheet \"{}\" ({error})", one_line(&shown));
            broken.push(said.replace(char::is_control, ""));
        }
        if pen.is_full() {
            break;
        }
    }
    let mut found = pen.finish(Meta::default())?;
    if let Some(broken) = listed(&broken) {
        if found.outline.text.is_empty() {
            return Err(Skip(format!("broken: {broken}")));
        }
        found.missing = Some(format!("read in part: {broken}"));
    }
    Ok(found)
}

/// The cells of a sheet, or what can be read of them.
fn read_sheet(
    book: &mut Book<'_>,
    name: &str,
    beside: &Beside,
    cells: &mut Vec<Cell>,
) -> Result<(), String> {
    match book {
        Sheets::Xlsx(book) => match read_xlsx(book, name, cells) {
            // Charts on sheets of their own.
            Err(XlsxError::NotAWorksheet(_)) => Ok(()),
            read => read.map_err(|error| error.to_string()),
        },
        Sheets::Xlsb(book) => read_xlsb(book, name, beside, cells).map_err(|e| e.to_string()),
        Sheets::Xls(_) | Sheets::Ods(_) => {
            let range = book.worksheet_range(name).map_err(|e| e.to_string())?;
            let (row, column) = range.start().unwrap_or_default();
            for (r, c, value) in range.used_cells() {
                let place = beside.place((row + r as u32, column + c as u32));
                push(cells, place, shown(value, beside.format(place)));
            }
            Ok(())
        }
    }
}

/// Of longer names of sheets, the beginning is told.
const NAME_CHARS: usize = 60;

/// Sheets that are named as broken; of the others it is told how many they are.
const NAMED: usize = 3;

/// Broken sheets as their owner is told of them.
fn listed(broken: &[String]) -> Option<String> {
    let named: Vec<&str> = broken.iter().take(NAMED).map(String::as_str).collect();
    let named = named.join(", ");
    match broken.len() {
        0 => None,
        count if count > NAMED => Some(format!(
            "{named} and {} others cannot be read",
            count - NAMED
        )),
        _ => Some(format!("{named} cannot be read")),
    }
}

/// The row and the column of a cell, counted from 0, and what it shows.
pub(super) type Cell = ((u32, u32), String);

/// What somebody noted on a cell.
pub(super) struct Comment {
    /// The row and the column of the cell, counted from 0.
    pub(super) place: (u32, u32),
    /// What it says, on one line.
    pub(super) text: String,
}

/// Rows and columns that somebody hid, counted from 0.
#[derive(Default)]
pub(super) struct Hidden {
    pub(super) rows: HashSet<u32>,
    pub(super) columns: HashSet<u32>,
}

/// What a binary workbook says of a sheet beside the values of its cells.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) hidden: Hidden,
    /// How cells show their numbers, where that is not as these are.
    pub(super) formats: HashMap<(u32, u32), Format>,
    /// The rows and columns that cells stand in, where they were moved next to each other to be read.
    pub(super) rows: Vec<u32>,
    pub(super) columns: Vec<u32>,
}

impl Beside {
    /// Takes in how a cell shows its number.
    pub(super) fn note(&mut self, place: (u32, u32), format: Option<Format>) {
        if let Some(format) = format.filter(|format| *format != Format::Plain) {
            self.formats.insert(place, format);
        }
    }

    /// Where a cell stands that is read here.
    fn place(&self, (row, column): (u32, u32)) -> (u32, u32) {
        let of = |known: &[u32], at: u32| known.get(at as usize).copied().unwrap_or(at);
        (of(&self.rows, row), of(&self.columns, column))
    }

    fn format(&self, place: (u32, u32)) -> Format {
        self.formats.get(&place).copied().unwrap_or(Format::Plain)
    }
}

impl Hidden {
    fn holds(&self, (row, column): (u32, u32)) -> bool {
        self.rows.contains(&row) || self.columns.contains(&column)
    }
}

/// Writes a sheet: its name, its rows, and what is noted on its cells with what they show.
pub(super) fn write_sheet(
    name: &str,
    mut cells: Vec<Cell>,
    hidden: &Hidden,
    comments: &[Comment],
    pen: &mut Pen,
) {
    cells.retain(|(place, _)| !hidden.holds(*place));
    cells.sort_by_key(|(place, _)| *place);
    pen.heading(1, name);
    write_cells(&cells, hidden, pen);
    for Comment { place, text } in comments.iter().filter(|c| !hidden.holds(c.place)) {
        let at = cells.partition_point(|(known, _)| known < place);
        let cell = cells.get(at).filter(|(known, _)| known == place);
        let cell = cell.map_or_else(String::new, |(_, text)| format!(" ({text})"));
        let name = name_of(*place);
        pen.paragraph(&format!("Comment on {name}{cell}: {text}"));
    }
}

/// What a spreadsheet calls the cell of this row and column: `AB7`.
fn name_of((row, column): (u32, u32)) -> String {
    let mut letters = String::new();
    let mut left = column.saturating_add(1);
    while left > 0 {
        let letter = (left - 1) % 26;
        letters.insert(0, char::from(b'A' + letter as u8));
        left = (left - 1) / 26;
    }
    format!("{letters}{}", row.saturating_add(1))
}

fn push(cells: &mut Vec<Cell>, place: (u32, u32), text: String) {
    if !text.is_empty() {
        cells.push((place, text));
    }
}

/// Writes sorted cells row by row. What lies far from the others takes up no more room than they do:
/// only columns that are used count, and of rows without cells one is enough to part tables.
fn write_cells(cells: &[Cell], hidden: &Hidden, pen: &mut Pen) {
    let mut columns: Vec<u32> = cells.iter().map(|((_, column), _)| *column).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut next: Option<u32> = None;
    let rows = cells
        .chunk_by(|(a, _), (b, _)| a.0 == b.0)
        .flat_map(|cells| {
            let row = cells.first().map_or(0, |((row, _), _)| *row);
            let mut texts: Vec<String> = Vec::new();
            for ((_, column), text) in cells {
                let at = columns.partition_point(|known| known < column);
                // Where two cells claim one place, the later one has it.
                texts.truncate(at);
                texts.resize(at, String::new());
                texts.push(text.clone());
            }
            let mut between = next.replace(row.saturating_add(1)).unwrap_or(row)..row;
            let is_gap = between.any(|row| !hidden.rows.contains(&row));
            let gap = is_gap.then(|| (row as usize, Vec::new()));
            gap.into_iter().chain([(row as usize + 1, texts)])
        });
    rows::write(rows, pen);
}

fn read_xlsx(
    book: &mut Xlsx<Cursor<&[u8]>>,
    name: &str,
    cells: &mut Vec<Cell>,
) -> Result<(), XlsxError> {
    let mut reader = book.worksheet_cells_reader(name)?;
    let formats: Vec<Format> = reader.styles().iter().map(Format::of).collect();
    while let Some((cell, style)) = reader.next_cell_with_style_id()? {
        let format = formats.get(style).copied().unwrap_or(Format::Plain);
        let text = shown(&cell.get_value().clone().into(), format);
        push(cells, cell.get_position(), text);
    }
    Ok(())
}

fn read_xlsb(
    book: &mut Xlsb<Cursor<&[u8]>>,
    name: &str,
    beside: &Beside,
    cells: &mut Vec<Cell>,
) -> Result<(), XlsbError> {
    let mut reader = book.worksheet_cells_reader(name)?;
    while let Some(cell) = reader.next_cell()? {
        let place = cell.get_position();
        let text = shown(&cell.get_value().clone().into(), beside.format(place));
        push(cells, place, text);
    }
    Ok(())
}

/// The reader that the content asks for, whatever the file is called; `None` for `OpenDocument`.
fn open(bytes: &[u8], limit: usize) -> Result<Option<Book<'_>>, Skip> {
    let source = Cursor::new(bytes);
    let broken = |error: &dyn std::fmt::Display| {
        let said = error.to_string().to_lowercase();
        if said.contains("password") || said.contains("encrypt") {
            Skip::encrypted()
        } else {
            Skip(format!("broken: its parser says \"{error}\""))
        }
    };
    if bytes.starts_with(OLE) {
        // An encrypted new workbook is a container without a workbook in it.
        let inner = cfb::CompoundFile::open(source.clone());
        if inner.is_ok_and(|file| file.exists("/EncryptedPackage")) {
            return Err(Skip::encrypted());
        }
        let book = Xls::new(source).map_err(|e| broken(&e))?;
        return Ok(Some(Sheets::Xls(book)));
    }
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    archive.check_size()?;
    let names = archive.names();
    let holds = |name: &str| names.iter().any(|known| known == name);
    if holds("content.xml") {
        return Ok(None);
    }
    Ok(Some(if holds("xl/workbook.bin") {
        Sheets::Xlsb(Xlsb::new(source).map_err(|e| broken(&e))?)
    } else {
        Sheets::Xlsx(Xlsx::new(source).map_err(|e| broken(&e))?)
    }))
}

/// How a cell shows its number, as far as that changes what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As the number is.
    Plain,
    /// A share of a hundred, with so many decimals.
    Percent(usize),
    /// With so many digits.
    Zeros(usize),
    /// A time without its day.
    Time,
}

/// More digits are no number that anybody reads.
const DIGITS: usize = 32;

impl Format {
    fn of(style: &Style) -> Self {
        let format = style.number_format.as_ref();
        format.map_or(Self::Plain, |format| Self::of_code(&format.format_code))
    }

    /// What a format says that has a number and no code.
    pub(super) fn built_in(id: u16) -> Self {
        match id {
            9 => Self::Percent(0),
            10 => Self::Percent(2),
            18..=21 | 45..=47 => Self::Time,
            _ => Self::Plain,
        }
    }

    /// What the first section of a code such as `0.0%` or `[$-409]hh:mm "h";@` says.
    pub(super) fn of_code(code: &str) -> Self {
        let mut marks = String::new();
        let (mut quoted, mut bracketed) = (false, false);
        let mut chars = code.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => quoted = !quoted,
                _ if quoted => {}
                // What follows these is no mark: a sign, a space as wide as it, what fills the cell.
                '\\' | '_' | '*' => {
                    chars.next();
                }
                '[' => bracketed = true,
                ']' => bracketed = false,
                _ if bracketed => {}
                ';' => break,
                c => marks.extend(c.to_lowercase()),
            }
        }
        let zeros = marks.bytes().all(|byte| byte == b'0');
        if marks.contains('%') {
            let decimals = marks.split_once('.').map_or("", |(_, decimals)| decimals);
            Self::Percent(decimals.matches(['0', '#', '?']).count())
        } else if zeros && (2..=DIGITS).contains(&marks.len()) {
            Self::Zeros(marks.len())
        } else if marks.contains(['h', 's']) && !marks.contains(['y', 'd']) {
            Self::Time
        } else {
            Self::Plain
        }
    }
}

/// A value as its cell shows it; times without seconds where there are none.
pub(super) fn shown(value: &Data, format: Format) -> String {
    match (value, format) {
        (Data::DateTime(time), _) if time.is_duration() => clock(time.as_f64()),
        (Data::DateTime(time), _) => moment(*time, format == Format::Time),
        (Data::DateTimeIso(time), _) => iso_moment(time),
        (Data::DurationIso(duration), _) => {
            iso_days(duration).map_or_else(|| duration.clone(), clock)
        }
        // Some readers tell whole numbers apart.
        (Data::Int(number), Format::Percent(_) | Format::Zeros(_)) => {
            let whole = i32::try_from(*number).map(f64::from);
            whole.map_or_else(|_| number.to_string(), |n| shown(&Data::Float(n), format))
        }
        (Data::Float(number), Format::Percent(decimals)) => percent(*number, decimals),
        (Data::Float(number), Format::Zeros(digits))
            if number.fract() == 0.0 && (0.0..1e15).contains(number) =>
        {
            format!("{number:0digits$.0}")
        }
        (Data::Float(number), _) => {
            // What a spreadsheet shows of 0.1 + 0.2: fifteen digits.
            let rounded = format!("{number:.14e}").parse().unwrap_or(*number);
            rounded.to_string()
        }
        (Data::Error(_), _) => String::new(),
        (other, _) => one_line(&other.as_string().unwrap_or_else(|| other.to_string())),
    }
}

/// `0.125` as `12.5 %`: two decimals tell what a rounded cell hides.
fn percent(number: f64, decimals: usize) -> String {
    let decimals = decimals.clamp(2, 9);
    let text = format!("{:.decimals$}", number * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    format!("{text} %")
}

/// Days as hours and minutes, `07:45`; with seconds where there are some.
fn clock(days: f64) -> String {
    if !days.is_finite() {
        return String::new();
    }
    let sign = if days < 0.0 { "-" } else { "" };
    let total = (days.abs() * 86_400.0).round();
    let hours = (total / 3600.0).floor();
    let minutes = ((total % 3600.0) / 60.0).floor();
    let seconds = total % 60.0;
    let text = format!("{sign}{hours:02.0}:{minutes:02.0}");
    if seconds < 1.0 {
        return text;
    }
    format!("{text}:{seconds:02.0}")
}

/// The last day whose times spreadsheets count as a year that nobody means.
const FIRST_YEAR: f64 = 366.0;

/// A day, a time, or both. A time without its day is a part of one.
fn moment(time: ExcelDateTime, no_day: bool) -> String {
    let days = time.as_f64();
    if (0.0..1.0).contains(&days) || no_day && (0.0..FIRST_YEAR).contains(&days) {
        return clock(days.fract());
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (hour, minute, second) {
        (0, 0, 0) => date,
        (_, _, 0) => format!("{date} {hour:02}:{minute:02}"),
        _ => format!("{date} {hour:02}:{minute:02}:{second:02}"),
    }
}

/// `2026-03-14T09:15:00` as `2026-03-14 09:15`.
fn iso_moment(time: &str) -> String {
    let Some((date, time)) = time.split_once('T') else {
        return one_line(time);
    };
    let time = match time.strip_suffix(":00") {
        Some(short) if short.len() == 5 => short,
        _ => time,
    };
    if time == "00:00" {
        return one_line(date);
    }
    one_line(&format!("{date} {time}"))
}

/// `PT07H45M00S` in days; nothing where it counts months or years.
fn iso_days(duration: &str) -> Option<f64> {
    let (sign, rest) = match duration.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, duration),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, times) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = 0.0;
    for (part, units) in [(days, &[('D', 1.0)][..]), (times, &UNITS[..])] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            let (_, days) = units.iter().find(|(unit, _)| *unit == c)?;
            total += number.parse::<f64>().ok()? * days;
            number.clear();
        }
        if !number.is_empty() {
            return None;
        }
    }
    Some(sign * total)
}

/// Parts of a day.
const UNITS: [(char, f64); 3] = [
    ('H', 1.0 / 24.0),
    ('M', 1.0 / 1440.0),
    ('S', 1.0 / 86_400.0),
];

/// Comma, semicolon or tab separated values.
///
/// # Errors
/// [`Skip`].
pub(super) fn csv(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let text = text::decode(bytes)?;
    let mut reader = reader(&text, delimiter(&text));
    let mut pen = Pen::new(limit);
    let rows = reader.records().flatten().flat_map(|record| {
        let position = record.position();
        // It is where the reader stopped before: ends of lines may still come.
        let at = position.map_or(0, |position| position.byte() as usize);
        let ahead = text.get(at..).unwrap_or("");
        let ends = &ahead[..ahead
            .find(|c| !matches!(c, '\r' | '\n'))
            .unwrap_or(ahead.len())];
        let lines = ends.matches('\n').count();
        let line = position.map_or(0, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let number = line.saturating_add(lines);
        // The other half of the end of the line before is no empty line.
        let before = text.get(..at).unwrap_or("");
        let half = before.ends_with('\r') && ends.starts_with('\n');
        let gap = ends.len() > usize::from(half);
        let cells = record.iter().map(one_line).collect();
        let gap = gap.then(|| (number, Vec::new()));
        gap.into_iter().chain([(number, cells)])
    });
    rows::write(rows, &mut pen);
    pen.finish(Meta::default())
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes())
}

/// The separator that splits the first records into the most columns of which all have as many. Titles
/// above the table hold none.
fn delimiter(text: &str) -> u8 {
    let candidates = [b',', b';', b'\t', b'|'];
    let titles = text.split_inclusive('\n');
    let titles = titles.take_while(|line| !line.bytes().any(|byte| candidates.contains(&byte)));
    let table = &text[titles.map(str::len).sum::<usize>()..];
    let columns = |separator: u8| {
        let mut reader = reader(table, separator);
        let counts = reader.records().take(10).flatten().map(|r| r.len());
        counts.min().unwrap_or(0)
    };
    let best = candidates.into_iter().rev().max_by_key(|s| columns(*s));
    best.unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        csv(text.as_bytes(), 1 << 20).unwrap().outline.text
    }

    #[test]
    fn numbers_are_shown_as_spreadsheets_show_them() {
        let check = |number: f64, expected: &str| {
            assert_eq!(shown(&Data::Float(number), Format::Plain), expected);
        };
        check(0.1 + 0.2, "0.3");
        check(7.0, "7");
        check(6.674e-11, "0.00000000006674");
        check(1_234_567.891, "1234567.891");
    }

    #[test]
    fn values_are_shown_as_their_cells_show_them() {
        let check = |value: Data, code: &str, expected: &str| {
            assert_eq!(
                shown(&value, Format::of_code(code)),
                expected,
                "{value:?} {code}"
            );
        };
        let time = |days: f64| {
            let kind = calamine::ExcelDateTimeType::DateTime;
            Data::DateTime(ExcelDateTime::new(days, kind, false))
        };
        let span = |days: f64| {
            let kind = calamine::ExcelDateTimeType::TimeDelta;
            Data::DateTime(ExcelDateTime::new(days, kind, false))
        };
        check(time(0.3125), "hh:mm", "07:30");
        check(time(0.75), "[$-409]h:mm AM/PM;@", "18:00");
        check(time(0.0), "General", "00:00");
        check(time(1.25), "h:mm", "06:00");
        check(time(46_146.0), "yyyy\\-mm\\-dd", "2026-05-04");
        check(time(46_146.5), "General", "2026-05-04 12:00");
        check(span(1.253_472_222_222_222), "[h]:mm", "30:05");
        check(span(-0.5), "[h]:mm", "-12:00");
        check(span(f64::INFINITY), "[h]:mm", "");
        check(Data::Float(0.05), "0%", "5 %");
        check(Data::Float(0.125), "0%", "12.5 %");
        check(Data::Float(1.0 / 3.0), "0.0%;[Red]-0.0%", "33.33 %");
        check(Data::Float(-2.0), "0.00%", "-200 %");
        check(Data::Float(0.05), "0\" % of all\"", "0.05");
        check(Data::Int(1), "0%", "100 %");
        check(Data::Int(1234), "00000", "01234");
        check(Data::Float(1234.0), "00000", "01234");
        check(Data::Float(12.5), "00000", "12.5");
        check(Data::Float(7.0), "0", "7");
        check(Data::Float(7.0), "General", "7");
        check(Data::String("01234".into()), "@", "01234");
        check(Data::DurationIso("PT07H45M00S".into()), "", "07:45");
        check(Data::DurationIso("-P1DT2H00M30.4S".into()), "", "-26:00:30");
        check(Data::DurationIso("P1M".into()), "", "P1M");
        check(
            Data::DateTimeIso("2026-03-14T09:15:00".into()),
            "",
            "2026-03-14 09:15",
        );
        check(
            Data::DateTimeIso("2026-03-14T00:00:00".into()),
            "",
            "2026-03-14",
        );
        check(Data::DateTimeIso("2026-03-14".into()), "", "2026-03-14");
    }

    /// A workbook of sheets, each with its name, its state and its XML.
    fn xlsx(sheets: &[(&str, &str, &str)]) -> Vec<u8> {
        use std::io::Write;
        let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let package = "http://schemas.openxmlformats.org/package/2006/relationships";
        let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        let mut list = String::new();
        let mut relations = String::new();
        let mut parts = Vec::new();
        for (n, (name, state, data)) in sheets.iter().enumerate() {
            list += &format!("<sheet name='{name}' sheetId='{n}' state='{state}' r:id='r{n}'/>");
            relations += &format!(
                "<Relationship Id='r{n}' Type='{office}/worksheet' Target='worksheets/{n}.xml'/>"
            );
            let sheet = format!("<worksheet xmlns='{main}'><sheetData>{data}");
            parts.push((format!("xl/worksheets/{n}.xml"), sheet));
        }
        let styles = "<cellXfs><xf numFmtId='0'/><xf numFmtId='9'/><xf numFmtId='20'/></cellXfs>";
        parts.extend([
            ("[Content_Types].xml".into(), "<Types/>".into()),
            (
                "_rels/.rels".into(),
                format!(
                    "<Relationships xmlns='{package}'><Relationship Id='r' \
                     Type='{office}/officeDocument' Target='xl/workbook.xml'/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml".into(),
                format!(
                    "<workbook xmlns='{main}' xmlns:r='{office}'><sheets>{list}</sheets></workbook>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels".into(),
                format!("<Relationships xmlns='{package}'>{relations}</Relationships>"),
            ),
            (
                "xl/styles.xml".into(),
                format!("<styleSheet xmlns='{main}'>{styles}</styleSheet>"),
            ),
        ]);
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn sheets_that_are_hidden_or_broken_are_left_out() {
        let rows = "<row r='1'><c r='A1' t='inlineStr'><is><t>Item</t></is></c>\
                    <c r='B1' t='inlineStr'><is><t>Share</t></is></c>\
                    <c r='C1' t='inlineStr'><is><t>Hour</t></is></c></row>\
                    <row r='2'><c r='A2' t='inlineStr'><is><t>Fence</t></is></c>\
                    <c r='B2' s='1'><v>0.05</v></c><c r='C2' s='2'><v>0.3125</v></c></row>";
        let whole = format!("{rows}</sheetData></worksheet>");
        let book = xlsx(&[
            ("Good", "visible", &whole),
            ("Secret", "hidden", &whole),
            ("Bad", "visible", "<row r='1'><c r='A1'"),
        ]);
        let found = workbook(&book, 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "# Good\n\nrow 1 | Item | Share | Hour\n\
             row 2 | Item: Fence | Share: 5 % | Hour: 07:30\n"
        );
        let missing = found.missing.unwrap();
        assert!(
            missing.starts_with("read in part: the sheet \"Bad\""),
            "{missing}"
        );
        let book = xlsx(&[("Bad", "visible", "<row r='1'><c r='A1'")]);
        let reason = workbook(&book, 1 << 20).unwrap_err().0;
        assert!(reason.contains("the sheet \"Bad\""), "{reason}");
        let hidden = whole.replace("<row r='2'", "<row r='2' hidden='1'");
        let found = workbook(&xlsx(&[("Good", "visible", &hidden)]), 1 << 20).unwrap();
        let expected = "# Good\n\nrow 1 | Item | Share | Hour\n";
        assert_eq!(found.outline.text, expected);
        let whole = workbook(&xlsx(&[("Good", "visible", &whole)]), 1 << 20);
        assert_eq!(whole.unwrap().missing, None);
    }

    #[test]
    fn cells_are_called_as_spreadsheets_call_them() {
        let check = |place: (u32, u32), expected: &str| assert_eq!(name_of(place), expected);
        check((0, 0), "A1");
        check((6, 25), "Z7");
        check((6, 26), "AA7");
        check((1_048_575, 16_383), "XFD1048576");
    }

    #[test]
    fn a_cell_far_from_the_others_keeps_nothing_from_being_read() {
        let cell = |place: &str, text: &str| {
            format!("<c r='{place}' t='inlineStr'><is><t>{text}</t></is></c>")
        };
        let data = format!(
            "<row r='2'>{}{}</row><row r='3'>{}{}</row><row r='1048576'>{}</row></sheetData></worksheet>",
            cell("C2", "Item"),
            cell("E2", "Place"),
            cell("C3", "Oar"),
            cell("E3", "Shed"),
            cell("XFD1048576", "stray"),
        );
        let found = workbook(&xlsx(&[("Far", "visible", &data)]), 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "# Far\n\nrow 2 | Item | Place\nrow 3 | Item: Oar | Place: Shed\nrow 1048576 | stray\n"
        );
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
            read("Hours of May\nName;Hours\nAnn;7,5\n"),
            "row 1 | Hours of May\nrow 2 | Name | Hours\nrow 3 | Name: Ann | Hours: 7,5\n"
        );
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
