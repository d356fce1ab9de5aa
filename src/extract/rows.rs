//! Rows of sheets, each as one line with the names of its columns.
//!
//! Owns which row names the columns. A wrong name says what is not so, a missing one says less: rows
//! without numbers under them, lists and pairs of a name and a value get none where that can be told.
//! Empty rows part tables; the names of one go on to the next unless that has a row of its own for
//! them. Only the first rows of a table are looked at together, the others pass one by one.

use std::iter::Peekable;

use super::pen::Pen;

/// The number of a row, and its cells; none, or only empty ones, where an empty row stands.
pub(super) type Row = (usize, Vec<String>);

/// Rows of a table that are looked at together.
const HEAD_ROWS: usize = 20;

/// Writes rows, each with its number and the names of its columns.
pub(super) fn write(rows: impl Iterator<Item = Row>, pen: &mut Pen) {
    let mut rows = rows.peekable();
    let mut table = Table::default();
    while rows.peek().is_some() && !pen.is_full() {
        let head = begin(&mut rows);
        let named = table.begin(&head);
        for (n, row) in head.iter().enumerate() {
            // Titles stand above the row of names.
            if named && table.named.is_none_or(|at| n > at) {
                table.write(row, pen);
            } else {
                write_bare(row, pen);
            }
        }
        while let Some(row) = rows.next_if(|row| !is_empty(row)) {
            if named {
                table.write(&row, pen);
            } else {
                write_bare(&row, pen);
            }
            if pen.is_full() {
                return;
            }
        }
        while rows.next_if(is_empty).is_some() {}
    }
}

/// The first rows up to an empty one.
fn begin(rows: &mut Peekable<impl Iterator<Item = Row>>) -> Vec<Row> {
    let mut head = Vec::new();
    while head.len() < HEAD_ROWS
        && let Some(row) = rows.next_if(|row| !is_empty(row))
    {
        head.push(row);
    }
    head
}

fn is_empty((_, cells): &Row) -> bool {
    cells.iter().all(|cell| cell.is_empty())
}

/// The cells of a row that are not empty, with their columns.
fn filled((_, cells): &Row) -> impl Iterator<Item = (usize, &str)> {
    let cells = cells.iter().map(String::as_str).enumerate();
    cells.filter(|(_, cell)| !cell.is_empty())
}

fn write_bare(row: &Row, pen: &mut Pen) {
    let cells: Vec<&str> = filled(row).map(|(_, cell)| cell).collect();
    pen.row(&format!("row {} | {}", row.0, cells.join(" | ")));
}

/// The names of the columns, and what is known of the rows under them.
#[derive(Default)]
struct Table {
    names: Vec<String>,
    /// Columns that hold numbers.
    numbers: Vec<bool>,
    rows: usize,
    /// Where the row of names stands among the first rows of the present table.
    named: Option<usize>,
}

impl Table {
    /// Takes in the first rows of a table; tells whether its rows have names.
    fn begin(&mut self, head: &[Row]) -> bool {
        self.named = None;
        let most = head.iter().map(|row| filled(row).count()).max();
        // What stands alone is a list, a title or a note.
        if most.unwrap_or(0) < 2 {
            return false;
        }
        if let Some(at) = names_at(head, most.unwrap_or(0))
            && (self.names.is_empty() || self.is_another(head, at))
        {
            *self = Self {
                names: head[at].1.clone(),
                named: Some(at),
                ..Self::default()
            };
        }
        !self.names.is_empty()
    }

    /// Is a row that could be one of names one, and no row under the names that are known?
    fn is_another(&self, head: &[Row], at: usize) -> bool {
        let row = &head[at];
        let nothing = |cell: &str| NOTHING.contains(&cell.to_lowercase().as_str());
        if at + 1 == head.len() || filled(row).any(|(_, cell)| nothing(cell)) {
            return false;
        }
        let was_number = |column: usize| self.numbers.get(column) == Some(&true);
        let has_name = |column: usize| self.names.get(column).is_some_and(|n| !n.is_empty());
        self.rows == 0
            || is_over_numbers(head, at)
            || filled(row)
                .any(|(column, cell)| !has_name(column) || was_number(column) && !is_number(cell))
    }

    fn write(&mut self, row: &Row, pen: &mut Pen) {
        let mut line = format!("row {}", row.0);
        for (column, cell) in filled(row) {
            line.push_str(" | ");
            if let Some(name) = self.names.get(column).filter(|name| !name.is_empty()) {
                line.push_str(name);
                line.push_str(": ");
            }
            line.push_str(cell);
            if is_number(cell) {
                if self.numbers.len() <= column {
                    self.numbers.resize(column + 1, false);
                }
                self.numbers[column] = true;
            }
        }
        self.rows += 1;
        pen.row(&line);
    }
}

/// What is written where there is nothing to write.
const NOTHING: [&str; 8] = ["-", "–", "—", "?", "n/a", "k.a.", "none", "tbd"];

/// Where the names of the columns stand: in the first row that fills more than half of the columns
/// that any row fills, if it is all words and years.
fn names_at(head: &[Row], most: usize) -> Option<usize> {
    let count = |at: usize| head.get(at).map_or(0, |row| filled(row).count());
    let first = head.iter().filter_map(|row| filled(row).next());
    let first = first.map(|(column, _)| column).min()?;
    let mut at = (0..head.len()).find(|at| count(*at) * 2 > most)?;
    // A long title may fill half of a small table.
    if count(at + 1) > count(at)
        && could_be_names(&head[at + 1], first)
        && is_over_numbers(head, at + 1)
    {
        at += 1;
    }
    (could_be_names(&head[at], first) && !are_pairs(&head[at..])).then_some(at)
}

fn could_be_names(row: &Row, first: usize) -> bool {
    let leads = row.1.get(first).is_none_or(|cell| is_word(cell));
    leads && filled(row).all(|(_, cell)| is_word(cell) || is_year(cell))
}

/// Do numbers stand below a row where it has words or years?
fn is_over_numbers(head: &[Row], at: usize) -> bool {
    filled(&head[at]).any(|(column, name)| {
        let year = begins_with_year(name);
        let tells = |cell: &String| is_number(cell) && !(year && begins_with_year(cell));
        let mut below = head[at + 1..].iter().filter_map(|row| row.1.get(column));
        (year || !is_number(name)) && below.any(tells)
    })
}

/// Are these rows pairs of a name and a value, of which the first is like the others?
fn are_pairs(rows: &[Row]) -> bool {
    let pairs = rows.iter().map(|row| {
        let mut cells = filled(row);
        let pair = (cells.next(), cells.next(), cells.next());
        match pair {
            (Some(key), Some(value), None) => Some((key, value)),
            _ => None,
        }
    });
    let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let Some((((key_column, _), (value_column, first)), below)) = pairs.split_first() else {
        return false;
    };
    let columns = |pair: &&((usize, &str), (usize, &str))| {
        (pair.0.0, pair.1.0) == (*key_column, *value_column)
    };
    if below.len() < 2 || below.iter().filter(columns).count() < below.len() {
        return false;
    }
    let keys = || pairs.iter().map(|((_, key), _)| *key);
    let values = || below.iter().map(|(_, (_, value))| *value);
    let ends = keys().all(|key| key.ends_with(':'));
    let cases = keys().all(begins_upper) && values().all(begins_lower) && begins_lower(first);
    let fields = keys().filter(|key| FIELDS.contains(&key.to_lowercase().as_str()));
    let plain = |value: &&str| !value.contains(|c: char| c.is_numeric());
    let (words, numbers) = (
        values().filter(plain).count(),
        values().filter(|value| is_number(value)).count(),
    );
    let mixed = words * 4 >= below.len() && numbers * 4 >= below.len();
    ends || cases || fields.count() >= 2 && mixed && plain(first)
}

/// Names of what is told of one thing, not of columns of many, when they stand below each other.
const FIELDS: [&str; 26] = [
    "name",
    "phone",
    "telephone",
    "mobile",
    "email",
    "e-mail",
    "address",
    "street",
    "city",
    "country",
    "owner",
    "date",
    "price",
    "website",
    "url",
    "iban",
    "telefon",
    "adresse",
    "straße",
    "ort",
    "land",
    "datum",
    "preis",
    "besitzer",
    "webseite",
    "title",
];

fn begins_upper(text: &str) -> bool {
    text.starts_with(char::is_uppercase)
}

fn begins_lower(text: &str) -> bool {
    text.starts_with(char::is_lowercase)
}

/// May a cell be the name of a column? Neither numbers, shares nor times are.
fn is_word(cell: &str) -> bool {
    let share = cell.strip_suffix('%').unwrap_or(cell).trim_end();
    let time = cell.contains(':') && cell.chars().all(|c| c.is_ascii_digit() || c == ':');
    share.parse::<f64>().is_err() && !time
}

/// Years are the names of columns as often as numbers in them.
fn is_year(cell: &str) -> bool {
    cell.len() == 4 && begins_with_year(cell)
}

/// Is it a year, or a month or day that begins with one?
fn begins_with_year(cell: &str) -> bool {
    let digits = cell.bytes().take_while(u8::is_ascii_digit).count();
    let year = cell.get(..4).and_then(|year| year.parse::<u16>().ok());
    digits == 4 && year.is_some_and(|year| (1800..2100).contains(&year))
}

/// Is it a number, a date, a time or a sum of money?
fn is_number(cell: &str) -> bool {
    cell.contains(|c: char| c.is_numeric()) && !cell.contains(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::super::pen::Pen;
    use super::*;
    use crate::domain::source::Meta;

    /// What is written of rows whose cells are parted by commas, without the numbers of the rows.
    fn check(rows: &[&str], expected: &[&str]) {
        let cells = |row: &str| row.split(',').map(str::to_owned).collect();
        let numbered = rows.iter().enumerate().map(|(n, row)| (n + 1, cells(row)));
        let mut pen = Pen::new(1 << 20);
        write(numbered, &mut pen);
        let text = pen.finish(Meta::default()).unwrap().outline.text;
        let lines: Vec<&str> = text
            .lines()
            .map(|l| l.split_once(" | ").unwrap().1)
            .collect();
        assert_eq!(lines, expected, "{rows:?}");
    }

    #[test]
    fn names_stand_below_titles() {
        check(
            &[
                "Report,Draft,,",
                "Town,2024,2025,Head",
                "Linz,410,455,Huber",
            ],
            &[
                "Report | Draft",
                "Town | 2024 | 2025 | Head",
                "Town: Linz | 2024: 410 | 2025: 455 | Head: Huber",
            ],
        );
        check(
            &["Report,Draft", "", "Town,2024,Head", "Linz,410,Huber"],
            &[
                "Report | Draft",
                "Town | 2024 | Head",
                "Town: Linz | 2024: 410 | Head: Huber",
            ],
        );
        check(
            &["Report,Draft,", "Town,2024,Head", "Linz,410,Huber"],
            &[
                "Report | Draft",
                "Town | 2024 | Head",
                "Town: Linz | 2024: 410 | Head: Huber",
            ],
        );
        check(
            &["Fence,07:30,5 %", "Roof,08:00,7 %"],
            &["Fence | 07:30 | 5 %", "Roof | 08:00 | 7 %"],
        );
    }

    #[test]
    fn a_second_table_has_names_of_its_own() {
        check(
            &[
                "Item,Cost,Due",
                "Fence,1200,2026",
                ",,",
                "Second table,,",
                "Pump,Flow,Model",
                "North,40 l,Wilo",
            ],
            &[
                "Item | Cost | Due",
                "Item: Fence | Cost: 1200 | Due: 2026",
                "Second table",
                "Pump | Flow | Model",
                "Pump: North | Flow: 40 l | Model: Wilo",
            ],
        );
        // What goes on behind an empty row keeps its names.
        check(
            &["Name,Town", "Ann,Graz", "", "Ben,Linz", "Carl,Wels"],
            &[
                "Name | Town",
                "Name: Ann | Town: Graz",
                "Name: Ben | Town: Linz",
                "Name: Carl | Town: Wels",
            ],
        );
        check(
            &[
                "Item,Cost",
                "Fence,7",
                "",
                "Roof,n/a",
                "Gate,9",
                "",
                "Sum,16",
                "",
                "A note",
            ],
            &[
                "Item | Cost",
                "Item: Fence | Cost: 7",
                "Item: Roof | Cost: n/a",
                "Item: Gate | Cost: 9",
                "Item: Sum | Cost: 16",
                "A note",
            ],
        );
        check(
            &["Name,Age", "", "Ann,7"],
            &["Name | Age", "Name: Ann | Age: 7"],
        );
    }

    #[test]
    fn lists_and_pairs_have_no_names() {
        check(&["Milk", "Bread", "Salt"], &["Milk", "Bread", "Salt"]);
        check(
            &["Alpha,red", "Beta,green", "Gamma,blue"],
            &["Alpha | red", "Beta | green", "Gamma | blue"],
        );
        check(
            &[
                "Name,Pension Edelweiss",
                "Rooms,14",
                "Owner,Rosa Thaler",
                "Phone,04852 777",
            ],
            &[
                "Name | Pension Edelweiss",
                "Rooms | 14",
                "Owner | Rosa Thaler",
                "Phone | 04852 777",
            ],
        );
        check(
            &["Tool:,Saw", "Place:,Attic", "Age:,7"],
            &["Tool: | Saw", "Place: | Attic", "Age: | 7"],
        );
        check(
            &["Tool,Place", "Saw,Attic", "Plane,Shed"],
            &[
                "Tool | Place",
                "Tool: Saw | Place: Attic",
                "Tool: Plane | Place: Shed",
            ],
        );
        check(
            &["Item,Cost", "Fence,7", "Roof,free", "Gate,9"],
            &[
                "Item | Cost",
                "Item: Fence | Cost: 7",
                "Item: Roof | Cost: free",
                "Item: Gate | Cost: 9",
            ],
        );
    }

    #[test]
    fn rows_behind_the_first_keep_their_names() {
        let rows: Vec<String> = (0..50).map(|n| format!("N{n},{n}")).collect();
        let mut all = vec!["Name,Number"];
        all.extend(rows.iter().map(String::as_str));
        let expected: Vec<String> = (0..50)
            .map(|n| format!("Name: N{n} | Number: {n}"))
            .collect();
        let mut lines = vec!["Name | Number"];
        lines.extend(expected.iter().map(String::as_str));
        check(&all, &lines);
    }
}
