//! Spreadsheets of `OpenDocument`: its sheets, cell by cell.
//!
//! Read here, and not by the reader of the other workbooks, as that lays out every cell between those
//! that are filled, and knows neither shares nor what is hidden. Columns and rows that somebody hid are
//! left out as hidden sheets are; those that a filter or a folded group keeps back for now are read.

use std::collections::HashSet;
use std::ops::Range;

use calamine::Data;

use super::Skip;
use super::archive::Archive;
use super::pen::{Pen, one_line};
use super::sheet::{Cell, Comment, Format, Hidden, shown, write_sheet};
use super::xml::{Attributes, Node, walk};

/// Writes the sheets of a spreadsheet whose cells are at most `limit` bytes of text.
///
/// # Errors
/// [`Skip`].
pub(super) fn write(archive: &mut Archive<'_>, limit: usize, pen: &mut Pen) -> Result<(), Skip> {
    let manifest = archive.text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(Skip::encrypted());
    }
    let xml = archive.text("content.xml")?.unwrap_or_default();
    let mut book = Book::new(limit);
    let broken = walk(&xml, |node| book.visit(node, pen))?;
    book.end_row();
    book.end_sheet(pen);
    pen.broke_off(broken);
    if book.is_full {
        return Err(Skip::too_much(limit));
    }
    Ok(())
}

/// A spreadsheet under way.
#[derive(Default)]
struct Book {
    /// Bytes of text that cells may still have: rows and cells are repeated by the number.
    left: usize,
    is_full: bool,
    style: String,
    /// Styles of sheets that are hidden.
    hidden: HashSet<String>,
    sheets: usize,
    sheet: Option<Sheet>,
    /// Elements around of which nothing is read.
    silent: usize,
    /// Groups around that are folded.
    folded: usize,
    /// Whether each of the groups around is folded.
    groups: Vec<bool>,
}

#[derive(Default)]
struct Sheet {
    name: String,
    is_hidden: bool,
    cells: Vec<Cell>,
    comments: Vec<Comment>,
    columns: u32,
    hidden: Hidden,
    /// The number of the row under way, counted from 0, and how often it stands there.
    row: u32,
    rows: u32,
    /// The next column of it, and its cells with the columns that each stands in.
    column: u32,
    of_row: Vec<(Range<u32>, String)>,
    value: Value,
}

/// A cell under way.
#[derive(Default)]
struct Value {
    /// How often it stands there.
    repeats: u32,
    /// What it holds, if that is no text.
    data: Option<(Data, Format)>,
    is_error: bool,
    text: String,
    /// Depth of paragraphs around.
    paragraphs: usize,
    comment: String,
    in_comment: bool,
}

/// Rows and columns that spreadsheets have.
const MOST_ROWS: u32 = 1 << 20;
const MOST_COLUMNS: u32 = 1 << 14;

impl Book {
    fn new(limit: usize) -> Self {
        Self {
            left: limit,
            ..Self::default()
        }
    }

    fn visit(&mut self, node: Node<'_>, pen: &mut Pen) {
        if self.silent > 0 {
            match node {
                Node::Open(..) => self.silent += 1,
                Node::Close(_) => self.silent -= 1,
                Node::Text(_) => {}
            }
            return;
        }
        match node {
            // Drawings beside the cells; what was changed; a sheet within a cell is of a drawing.
            Node::Open("shapes" | "tracked-changes" | "forms" | "object", _) => self.silent = 1,
            Node::Open("table", _) if self.sheet.is_some() => self.silent = 1,
            Node::Open("style", attributes) => {
                self.style = attributes.get("name").unwrap_or_default();
            }
            Node::Open("table-properties", attributes)
                if attributes.get("display").as_deref() == Some("false") =>
            {
                self.hidden.insert(self.style.clone());
            }
            Node::Open("table", attributes) => {
                let style = attributes.get("style-name").unwrap_or_default();
                self.sheets += 1;
                self.sheet = Some(Sheet {
                    name: attributes.get("name").unwrap_or_default(),
                    is_hidden: self.hidden.contains(&style),
                    ..Sheet::default()
                });
            }
            Node::Close("table") => self.end_sheet(pen),
            Node::Open("table-row-group" | "table-column-group", attributes) => {
                let is_folded = attributes.get("display").as_deref() == Some("false");
                self.folded += usize::from(is_folded);
                self.groups.push(is_folded);
            }
            Node::Close("table-row-group" | "table-column-group") => {
                let is_folded = self.groups.pop().unwrap_or(false);
                self.folded -= usize::from(is_folded);
            }
            Node::Close("table-row") => self.end_row(),
            node => {
                let folded = self.folded > 0;
                if let Some(sheet) = &mut self.sheet {
                    sheet.visit(node, folded);
                }
            }
        }
    }

    /// Takes in the cells of a row as often as it stands there.
    fn end_row(&mut self) {
        let Some(sheet) = &mut self.sheet else {
            return;
        };
        let rows = std::mem::take(&mut sheet.rows);
        let cells = std::mem::take(&mut sheet.of_row);
        let first = sheet.row;
        sheet.row = first.saturating_add(rows);
        if sheet.is_hidden {
            return;
        }
        let rows = first..sheet.row.min(MOST_ROWS);
        let places = rows.flat_map(|row| cells.iter().map(move |cell| (row, cell)));
        for (row, (columns, text)) in places {
            for column in columns.clone() {
                // With what parts it from the next one.
                let bytes = text.len() + " | ".len();
                self.is_full |= bytes > self.left;
                if self.is_full {
                    return;
                }
                self.left -= bytes;
                sheet.cells.push(((row, column), text.clone()));
            }
        }
    }

    fn end_sheet(&mut self, pen: &mut Pen) {
        if let Some(sheet) = self.sheet.take().filter(|sheet| !sheet.is_hidden) {
            pen.page(self.sheets);
            write_sheet(
                &sheet.name,
                sheet.cells,
                &sheet.hidden,
                &sheet.comments,
                pen,
            );
        }
    }
}

impl Sheet {
    fn visit(&mut self, node: Node<'_>, folded: bool) {
        let value = &mut self.value;
        match node {
            Node::Open("table-column", attributes) => {
                let from = self.columns;
                let repeats = repeats(&attributes, "number-columns-repeated", MOST_COLUMNS);
                self.columns = from.saturating_add(repeats).min(MOST_COLUMNS);
                if is_hidden(&attributes) && !folded {
                    self.hidden.columns.extend(from..self.columns);
                }
            }
            Node::Open("table-row", attributes) => {
                self.rows = repeats(&attributes, "number-rows-repeated", MOST_ROWS);
                self.column = 0;
                if is_hidden(&attributes) && !folded {
                    let end = self.row.saturating_add(self.rows).min(MOST_ROWS);
                    self.hidden.rows.extend(self.row..end);
                }
            }
            Node::Open("table-cell" | "covered-table-cell", attributes) => {
                *value = Value::of(&attributes);
            }
            Node::Close("table-cell" | "covered-table-cell") => self.end_cell(),
            Node::Open("annotation", _) => value.in_comment = true,
            Node::Close("annotation") => value.in_comment = false,
            Node::Open("p", _) => {
                value.paragraphs += 1;
                value.push("\n");
            }
            Node::Close("p") => value.paragraphs = value.paragraphs.saturating_sub(1),
            Node::Open("s" | "tab" | "line-break", _) => value.push(" "),
            Node::Text(text) if value.paragraphs > 0 => value.push(text),
            _ => {}
        }
    }

    fn end_cell(&mut self) {
        let value = std::mem::take(&mut self.value);
        let first = self.column;
        self.column = first.saturating_add(value.repeats).min(MOST_COLUMNS);
        let comment = one_line(&value.comment);
        if !comment.is_empty() {
            self.comments.push(Comment {
                place: (self.row, first),
                text: comment,
            });
        }
        let text = value.shown();
        if !text.is_empty() && first < self.column {
            self.of_row.push((first..self.column, text));
        }
    }
}

impl Value {
    /// A cell that says this of itself.
    fn of(attributes: &Attributes<'_>) -> Self {
        let kinds = attributes.all("value-type");
        let kind = kinds.first().map_or("", String::as_str);
        let number = || attributes.get("value")?.parse::<f64>().ok();
        let data = match kind {
            "percentage" => number().map(|share| (Data::Float(share), Format::Percent(0))),
            "date" => attributes
                .get("date-value")
                .map(|date| (Data::DateTimeIso(date), Format::Plain)),
            "time" => attributes
                .get("time-value")
                .map(|time| (Data::DurationIso(time), Format::Plain)),
            "boolean" => attributes
                .get("boolean-value")
                .map(|value| (Data::Bool(value == "true"), Format::Plain)),
            "string" => attributes
                .get("string-value")
                .map(|text| (Data::String(text), Format::Plain)),
            _ => number().map(|number| (Data::Float(number), Format::Plain)),
        };
        Self {
            repeats: repeats(attributes, "number-columns-repeated", MOST_COLUMNS),
            data,
            is_error: kinds.iter().any(|kind| kind == "error"),
            ..Self::default()
        }
    }

    fn push(&mut self, text: &str) {
        if self.in_comment {
            self.comment.push_str(text);
        } else {
            self.text.push_str(text);
        }
    }

    /// What the cell shows.
    fn shown(&self) -> String {
        let text = one_line(&self.text);
        match &self.data {
            _ if self.is_error => String::new(),
            // `0042` is no 42.
            Some((Data::Float(number), Format::Plain)) if text.starts_with('0') => {
                let plain = shown(&Data::Float(*number), Format::Plain);
                let same = text.trim_start_matches('0') == plain;
                if same { text } else { plain }
            }
            Some((data, format)) => shown(data, *format),
            None => text,
        }
    }
}

/// How often an element says that it stands there.
fn repeats(attributes: &Attributes<'_>, name: &str, most: u32) -> u32 {
    let said = attributes
        .get(name)
        .and_then(|count| count.parse::<u32>().ok());
    said.unwrap_or(1).min(most)
}

/// Did somebody hide a row or a column? What a filter keeps back has another word.
fn is_hidden(attributes: &Attributes<'_>) -> bool {
    attributes.get("visibility").as_deref() == Some("collapse")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Meta;

    /// What is written of a spreadsheet with this content.
    fn read(content: &str, limit: usize) -> Result<String, Skip> {
        use std::io::Write;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("content.xml", options).unwrap();
        let content = format!("<o:d>{content}</o:d>");
        zip.write_all(content.as_bytes()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let mut archive = Archive::open(&bytes, 1 << 20)?;
        let mut pen = Pen::new(limit);
        write(&mut archive, limit, &mut pen)?;
        Ok(pen.finish(Meta::default())?.outline.text)
    }

    fn check(content: &str, expected: &str) {
        assert_eq!(read(content, 1 << 20).unwrap(), expected, "{content}");
    }

    fn text(text: &str) -> String {
        format!("<t:table-cell o:value-type='string'><x:p>{text}</x:p></t:table-cell>")
    }

    #[test]
    fn cells_are_told_as_they_are_shown() {
        let head = [text("Item"), text("Share"), text("Hour"), text("Code")].concat();
        let values = "<t:table-cell o:value-type='percentage' o:value='0.125'><x:p>13%</x:p>\
            </t:table-cell><t:table-cell o:value-type='time' o:time-value='PT07H45M00S'/>\
            <t:table-cell o:value-type='float' o:value='42'><x:p>0042</x:p></t:table-cell>";
        let oar = "<t:table-cell o:value-type='string'><o:annotation><dc:creator>Zoe</dc:creator>\
            <x:p>ask Ann</x:p></o:annotation><x:p>An<x:s/>oar</x:p></t:table-cell>";
        check(
            &format!(
                "<t:table t:name='May'> <t:table-row>{head}</t:table-row>\n\
                 <t:table-row>{oar}{values}</t:table-row></t:table>"
            ),
            "# May\n\nrow 1 | Item | Share | Hour | Code\n\
             row 2 | Item: An oar | Share: 12.5 % | Hour: 07:45 | Code: 0042\n\n\
             Comment on A2 (An oar): ask Ann\n",
        );
        check(
            "<t:table t:name='A'><t:table-row><t:table-cell o:value-type='date' \
             o:date-value='2026-03-14'/><t:table-cell o:value-type='string' o:string-value='' \
             c:value-type='error'><x:p>#DIV/0!</x:p></t:table-cell><t:table-cell \
             o:value-type='currency' o:value='9.5'><x:p>9.50 EUR</x:p></t:table-cell>\
             </t:table-row></t:table>",
            "# A\n\nrow 1 | 2026-03-14 | 9.5\n",
        );
    }

    #[test]
    fn what_somebody_hid_is_left_out_and_what_a_filter_keeps_back_is_not() {
        let row = |about: &str, cells: &[&str]| {
            let cells: String = cells.iter().map(|cell| text(cell)).collect();
            format!("<t:table-row {about}>{cells}</t:table-row>")
        };
        let rows = [
            row("", &["Item", "Cost", "Place"]),
            row("t:visibility='collapse'", &["Wage", "1", "Safe"]),
            row("t:visibility='filter'", &["Oar", "2", "Shed"]),
            "<t:table-row-group t:display='false'>".to_owned(),
            row("t:visibility='collapse'", &["Rope", "3", "Loft"]),
            "</t:table-row-group>".to_owned(),
        ]
        .concat();
        let style = "<s:style s:name='ta2'><s:table-properties t:display='false'/></s:style>";
        check(
            &format!(
                "{style}<t:table t:name='A' t:style-name='ta1'><t:table-column/>\
                 <t:table-column t:visibility='collapse'/>{rows}</t:table>\
                 <t:table t:name='B' t:style-name='ta2'>{rows}</t:table>"
            ),
            "# A\n\nrow 1 | Item | Place\nrow 3 | Item: Oar | Place: Shed\n\
             row 4 | Item: Rope | Place: Loft\n",
        );
    }

    #[test]
    fn what_is_repeated_takes_up_what_it_says() {
        let cell = text("x");
        let gap = "<t:table-row t:number-rows-repeated='1048000'><t:table-cell \
            t:number-columns-repeated='16384'/></t:table-row>";
        check(
            &format!(
                "<t:table t:name='A'><t:table-row t:number-rows-repeated='2'>{cell}</t:table-row>\
                 {gap}<t:table-row><t:table-cell t:number-columns-repeated='16383'/>{cell}\
                 </t:table-row></t:table>"
            ),
            "# A\n\nrow 1 | x\nrow 2 | x\nrow 1048003 | x\n",
        );
        let many = "<t:table t:name='A'><t:table-row t:number-rows-repeated='1048576'>\
            <t:table-cell o:value-type='float' o:value='1' t:number-columns-repeated='16384'/>";
        assert_eq!(read(many, 1000).unwrap_err(), Skip::too_much(1000));
    }
}
