//! Tables as Markdown writes them: rows of cells between bars.

/// A row with its headers, as rows of sheets have theirs: "Meter: gas; Reading: 6402". Empty cells are
/// left out; none where the two are not of one table, or the row is empty.
pub fn with_headers(header: &str, row: &str) -> Option<String> {
    let (names, cells) = (cells(header), cells(row));
    if names.len() != cells.len() {
        return None;
    }
    let filled = names
        .into_iter()
        .zip(cells)
        .filter(|(_, cell)| !cell.is_empty());
    let named = filled.map(|(name, cell)| match name {
        "" => cell.to_owned(),
        name => format!("{name}: {cell}"),
    });
    let named = named.collect::<Vec<_>>().join("; ");
    (!named.is_empty()).then_some(named)
}

/// What stands between the bars of a row. A bar behind a backslash is of the cell.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let mut cells = Vec::new();
    let mut begin = 0;
    for (at, _) in row.match_indices('|') {
        let before = &row[..at];
        let slashes = before.len() - before.trim_end_matches('\\').len();
        if slashes.is_multiple_of(2) {
            cells.push(row[begin..at].trim());
            begin = at + 1;
        }
    }
    let rest = row[begin..].trim();
    if !rest.is_empty() {
        cells.push(rest);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_their_headers() {
        let check = |header: &str, row: &str, expected: Option<&str>| {
            assert_eq!(with_headers(header, row).as_deref(), expected, "{row}");
        };
        let meters = "| Meter | Reading | |";
        check(
            meters,
            "| gas | 6402 | |",
            Some("Meter: gas; Reading: 6402"),
        );
        check(meters, "| gas | | new |", Some("Meter: gas; new"));
        check(meters, "| gas | 6402", None);
        check(meters, "| | | |", None);
        check("| a | b |", "|1|2", Some("a: 1; b: 2"));
        check(
            "| way | sign |",
            r"| or | `a \| b` |",
            Some(r"way: or; sign: `a \| b`"),
        );
        check("| Größe |", "| 3 µm |", Some("Größe: 3 µm"));
    }
}
