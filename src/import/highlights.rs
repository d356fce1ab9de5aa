//! Highlights: Kindle's clippings and Readwise's export, a note for each book.

use std::fmt::Write as _;
use std::path::Path;

use super::{Item, What, bad, text_of};
use crate::error::Failure;

/// A book and what was marked in it.
struct Book {
    title: String,
    author: String,
    marked: Vec<String>,
}

fn items(books: Vec<Book>) -> Vec<Item> {
    let items = books.into_iter().map(|book| Item {
        id: format!("{} / {}", book.author, book.title),
        formerly: None,
        title: book.title,
        from: vec![("author", book.author)],
        tags: Vec::new(),
        text: book.marked.join("\n\n"),
    });
    items.collect()
}

fn book_of<'a>(books: &'a mut Vec<Book>, title: &str, author: &str) -> &'a mut Book {
    let place = books
        .iter()
        .position(|b| b.title == title && b.author == author);
    let place = place.unwrap_or_else(|| {
        books.push(Book {
            title: title.to_owned(),
            author: author.to_owned(),
            marked: Vec::new(),
        });
        books.len() - 1
    });
    &mut books[place]
}

/// As Markdown: the words as a quote, where they are from below.
fn mark(book: &mut Book, words: &str, place: &str, note: &str) {
    let quote: Vec<String> = words
        .trim()
        .lines()
        .map(|line| format!("> {line}"))
        .collect();
    let mut text = quote.join("\n");
    if !place.trim().is_empty() {
        let _ = write!(text, "\n\n({})", place.trim());
    }
    if !note.trim().is_empty() {
        let _ = write!(text, "\n\n{}", note.trim());
    }
    // The device lists what was marked twice.
    if !book.marked.contains(&text) {
        book.marked.push(text);
    }
}

pub(super) fn kindle(path: &Path) -> Result<Vec<Item>, Failure> {
    let text = text_of(path)?;
    let mut books = Vec::new();
    for entry in text.replace('\r', "").split("==========") {
        let mut lines = entry.trim().trim_start_matches('\u{feff}').lines();
        let (Some(head), Some(place)) = (lines.next(), lines.next()) else {
            continue;
        };
        let words: Vec<&str> = lines.collect();
        let words = words.join("\n");
        // A bookmark has no words.
        if words.trim().is_empty() || !place.starts_with('-') {
            continue;
        }
        let (title, author) = match head.rsplit_once(" (") {
            Some((title, author)) => (title, author.trim_end_matches(')')),
            None => (head, ""),
        };
        let book = book_of(&mut books, title.trim(), author.trim());
        mark(book, &words, place.trim_start_matches('-'), "");
    }
    if books.is_empty() {
        return Err(bad(path, What::Kindle, "it holds no clippings").into());
    }
    Ok(items(books))
}

pub(super) fn readwise(path: &Path) -> Result<Vec<Item>, Failure> {
    let text = text_of(path)?;
    let wrong = |reason: String| bad(path, What::Readwise, reason);
    let mut table = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let names = table
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let column = |name: &str| {
        names
            .iter()
            .position(|n| n.trim().eq_ignore_ascii_case(name))
    };
    let (Some(words), Some(title)) = (column("Highlight"), column("Book Title")) else {
        return Err(wrong("it has no columns Highlight and Book Title".into()).into());
    };
    let mut books = Vec::new();
    for row in table.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let field = |place: Option<usize>| place.and_then(|n| row.get(n)).unwrap_or_default();
        if field(Some(words)).trim().is_empty() {
            continue;
        }
        let book = book_of(&mut books, field(Some(title)), field(column("Book Author")));
        let place = [
            column("Location Type"),
            column("Location"),
            column("Highlighted at"),
        ];
        let place: Vec<&str> = place
            .into_iter()
            .map(field)
            .filter(|f| !f.is_empty())
            .collect();
        mark(
            book,
            field(Some(words)),
            &place.join(" "),
            field(column("Note")),
        );
    }
    Ok(items(books))
}

#[cfg(test)]
mod tests {
    use super::super::tests::twice;
    use super::*;

    #[test]
    fn clippings_become_a_note_for_each_book() {
        let text = "\u{feff}The Wall (Marlen Haushofer)\r\n- Your Highlight on page 7 | Added on Monday\r\n\r\nToday, the fifth of November.\r\n==========\r\n\
            The Wall (Marlen Haushofer)\r\n- Your Bookmark on page 9\r\n\r\n\r\n==========\r\n\
            Owls (1st ed.) (Ada B.)\r\n- Your Note at location 12\r\n\r\nsee mice\r\n==========\r\n";
        let (first, second, notes) = twice(What::Kindle, "My Clippings.txt", text);
        assert_eq!((first.made, second.unchanged), (2, 2));
        let wall = notes
            .iter()
            .find(|note| note.contains("# The Wall"))
            .unwrap();
        assert!(
            wall.contains("> Today, the fifth of November.") && wall.contains("page 7"),
            "{wall}"
        );
        assert!(wall.contains("author: \"Marlen Haushofer\"") && !wall.contains("page 9"));
        assert!(notes.iter().any(|note| note.contains("# Owls (1st ed.)")));
    }

    #[test]
    fn readwise_is_read_by_its_columns() {
        let text = "Highlight,Book Title,Book Author,Note,Location Type,Location\n\"Two\nlines, here\",Owls,Ada,mine,page,12\n,Owls,Ada,,,\n";
        let (first, _, notes) = twice(What::Readwise, "r.csv", text);
        assert_eq!(first.made, 1);
        assert!(
            notes[0].contains("> Two\n> lines, here\n\n(page 12)\n\nmine"),
            "{}",
            notes[0]
        );
    }
}
