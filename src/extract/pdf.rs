//! PDF with a text layer, by pdf-extract. Runs in the worker only: the crate panics by intent.
//!
//! A file whose cross-reference table is broken is tried again with a table made from the objects
//! that are in it, as viewers do. Text that no reader can have meant, because the file does not say
//! which letters its glyphs are, counts as no text. Words that were cut at the end of a line are put
//! together again. A page that cannot be read does not keep the others from being read, and nor do
//! those for which there is no time left.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pdf_extract::{Document, Object, ObjectId, OutputError, PlainTextOutput, output_doc_page};
use unicode_normalization::UnicodeNormalization;

use super::{Extracted, Skip, TOO_LONG};
use crate::domain::outline::Outline;

/// The text of a PDF, page by page, up to the page before which `is_late` says so; `limit` is in bytes.
/// What there is of it can be had from `so_far` meanwhile.
///
/// # Errors
/// [`Skip`] for encrypted and broken files, and for those without a text layer.
pub(super) fn extract(
    bytes: &[u8],
    limit: usize,
    is_late: &dyn Fn() -> bool,
    so_far: &SoFar,
) -> Result<Extracted, Skip> {
    if !bytes[..bytes.len().min(1024)]
        .windows(5)
        .any(|w| w == b"%PDF-")
    {
        return Err(Skip("broken: it is no PDF".into()));
    }
    let is_locked = || holds(bytes, b"/Encrypt");
    let repaired = || pages_of_repaired(bytes, is_late, so_far);
    let found = match pages(bytes, is_late, so_far) {
        Err(_) if is_locked() => return Err(Skip::encrypted()),
        Err(reason) => repaired().ok_or(Skip(reason))?,
        Ok(found) if found.is_mostly_missing() && !is_locked() => repaired()
            .filter(|again| again.whole() > found.whole())
            .unwrap_or(found),
        Ok(found) => found,
    };
    document(&found, limit)
}

/// The document that is made of these pages.
fn document(found: &Pages, limit: usize) -> Result<Extracted, Skip> {
    let pages: Vec<String> = found.texts.iter().map(|page| tidy(page)).collect();
    if pages.iter().map(String::len).sum::<usize>() > limit {
        return Err(Skip::too_much(limit));
    }
    let missing = found.told();
    if pages.iter().all(|page| page.trim().is_empty()) {
        let drawn = "no text layer: a scan or a drawing".to_owned();
        let begins = if found.is_cut() { "gave up" } else { "broken" };
        return Err(Skip(missing.map_or(drawn, |m| format!("{begins}: {m}"))));
    }
    if is_gibberish(&pages.concat()) {
        return Err(Skip(
            "no text layer that can be read: its fonts do not say which letters they show".into(),
        ));
    }
    Ok(Extracted {
        outline: Outline::of_pages(&pages),
        missing: missing.map(|missing| format!("read in part: {missing}")),
        ..Extracted::default()
    })
}

/// What was read of the pages.
struct Pages {
    /// Their text; of those that cannot be read, what comes before the place where it broke off.
    texts: Vec<String>,
    /// The numbers of these, counted from 1.
    missing: Vec<u32>,
    /// How many pages the file has.
    count: usize,
}

impl Pages {
    /// How many were read whole.
    fn whole(&self) -> usize {
        self.texts.len() - self.missing.len()
    }

    /// Was there no time for the last ones?
    fn is_cut(&self) -> bool {
        self.texts.len() < self.count
    }

    /// Is more missing than is there? Then the table of the file is wrong rather than its pages.
    fn is_mostly_missing(&self) -> bool {
        self.missing.len() > self.whole() && !self.is_cut()
    }

    /// What is missing, as the owner is told of it.
    fn told(&self) -> Option<String> {
        let cut = self.is_cut().then(|| {
            let (read, count) = (self.texts.len(), self.count);
            format!("{TOO_LONG}: {read} of its {count} pages were read")
        });
        let told: Vec<String> = listed(&self.missing).into_iter().chain(cut).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn are_blank(&self) -> bool {
        self.texts.iter().all(|text| text.trim().is_empty())
    }
}

/// What was read of a file up to now, by each attempt at it: one page may take more time than there is
/// for all of them.
#[derive(Default)]
pub(super) struct SoFar(Mutex<Vec<Pages>>);

impl SoFar {
    fn attempts(&self) -> MutexGuard<'_, Vec<Pages>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another attempt begins, at a file of so many pages.
    fn begin(&self, count: usize) {
        self.attempts().push(Pages {
            texts: Vec::new(),
            missing: Vec::new(),
            count,
        });
    }

    /// A page was read, whole or not.
    fn add(&self, number: u32, text: &str, whole: bool) {
        if let Some(pages) = self.attempts().last_mut() {
            pages.texts.push(text.to_owned());
            if !whole {
                pages.missing.push(number);
            }
        }
    }

    /// The document as far as it was read by the best attempt, where any of it was.
    pub(super) fn document(&self, limit: usize) -> Option<Result<Extracted, Skip>> {
        let attempts = self.attempts();
        let best = attempts.iter().max_by_key(|pages| pages.whole())?;
        (!best.texts.is_empty()).then(|| document(best, limit))
    }
}

/// Pages that are named as missing; of the others it is told how many they are.
const NAMED: usize = 10;

/// Pages that are missing as their owner is told of them.
fn listed(missing: &[u32]) -> Option<String> {
    let named = missing.iter().take(NAMED).map(u32::to_string);
    let named = named.collect::<Vec<_>>().join(", ");
    match missing.len() {
        0 => None,
        1 => Some(format!("page {named} cannot be read whole")),
        count if count > NAMED => Some(format!(
            "pages {named} and {} others cannot be read whole",
            count - NAMED
        )),
        _ => Some(format!("pages {named} cannot be read whole")),
    }
}

/// The pages, or what the parser says where it reads nothing.
fn pages(bytes: &[u8], is_late: &dyn Fn() -> bool, so_far: &SoFar) -> Result<Pages, String> {
    let (mut document, root, pages) = guarded(|| {
        let mut document = Document::load_mem(bytes)?;
        if document.is_encrypted() {
            document.decrypt("")?;
        }
        let pages = document.get_pages();
        cut_rounds(&mut document, pages.values().copied());
        let root = document.catalog()?.get(b"Pages")?.as_reference()?;
        Ok((document, root, pages))
    })?;
    let mut found = Pages {
        texts: Vec::with_capacity(pages.len()),
        missing: Vec::new(),
        count: pages.len(),
    };
    so_far.begin(found.count);
    let mut reason = None;
    for (number, page) in pages {
        if is_late() {
            break;
        }
        let mut text = String::new();
        let read = guarded(|| {
            // The parser counts all pages before it reads one: of a thousand, a million. So it gets one.
            let tree = document.get_dictionary_mut(root)?;
            tree.set("Kids", vec![Object::Reference(page)]);
            let mut output = PlainTextOutput::new(&mut text);
            output_doc_page(&document, &mut output, 1)
        });
        so_far.add(number, &text, read.is_ok());
        if let Err(error) = read {
            found.missing.push(number);
            reason = reason.or(Some(error));
        }
        found.texts.push(text);
    }
    match reason {
        Some(reason) if found.are_blank() => Err(reason),
        _ => Ok(found),
    }
}

/// Cuts the way from a page to what it is in where it goes round: the parser would follow it for ever.
fn cut_rounds(document: &mut Document, pages: impl Iterator<Item = ObjectId>) {
    // Those from which the way is known to end.
    let mut known: HashSet<ObjectId> = HashSet::new();
    for page in pages {
        let mut way: HashSet<ObjectId> = HashSet::new();
        let mut next = Some(page);
        while let Some(id) = next.filter(|id| !known.contains(id)) {
            way.insert(id);
            let parent = document.get_dictionary(id).ok().and_then(|inner| {
                let parent = inner.get(b"Parent").ok()?;
                parent.as_reference().ok()
            });
            next = parent.filter(|parent| !way.contains(parent));
            if parent.is_some()
                && next.is_none()
                && let Ok(inner) = document.get_dictionary_mut(id)
            {
                inner.remove(b"Parent");
            }
        }
        known.extend(way);
    }
}

/// What the parser reads, or what it says; where it gives up, that is said.
fn guarded<T>(read: impl FnOnce() -> Result<T, OutputError>) -> Result<T, String> {
    // What a page has left half done is its text alone, which is as good as far as it goes.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            let said = error.to_string();
            let cause = said.rsplit(": ").next().unwrap_or(&said);
            Err(format!("broken: its parser says \"{cause}\""))
        }
        Err(_) => Err("broken: its parser gives up on it".into()),
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The pages of the file with a new cross-reference table, if that gives any text.
fn pages_of_repaired(bytes: &[u8], is_late: &dyn Fn() -> bool, so_far: &SoFar) -> Option<Pages> {
    let found = pages(&with_new_table(bytes)?, is_late, so_far).ok()?;
    (!found.are_blank()).then_some(found)
}

/// The file with a cross-reference table of the objects that are found in it appended.
fn with_new_table(bytes: &[u8]) -> Option<Vec<u8>> {
    // The generation and the place of each object; of those with the same number, the last counts.
    let mut objects: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
    let mut catalog = None;
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(4).position(|w| w == b" obj") {
        let end = at + found;
        at = end + 4;
        if let Some((number, generation, start)) = object_before(bytes, end) {
            objects.insert(number, (generation, start));
            let body = &bytes[at..bytes.len().min(at + 400)];
            let body = body.split(|b| *b == b'>').next().unwrap_or_default();
            if holds(body, b"/Catalog") {
                catalog = Some((number, generation));
            }
        }
    }
    let (root, root_generation) = catalog?;
    let size = objects.last_key_value()?.0.checked_add(1)?;
    // Earlier tables and trailers must not be found first.
    let mut file = bytes.to_vec();
    for (_, start) in objects.values() {
        blank_comment(&mut file, *start);
    }
    blank(&mut file, b"startxref");
    blank(&mut file, b"trailer");
    file.push(b'\n');
    let table = file.len();
    file.extend_from_slice(b"xref\n0 1\n0000000000 65535 f \n");
    for (number, (generation, start)) in &objects {
        file.extend(format!("{number} 1\n{start:010} {generation:05} n \n").bytes());
    }
    file.extend(
        format!(
            "trailer\n<< /Size {size} /Root {root} {root_generation} R >>\nstartxref\n{table}\n%%EOF\n"
        )
        .bytes(),
    );
    Some(file)
}

/// Overwrites all occurrences of a word with spaces, so that no offset changes.
fn blank(bytes: &mut [u8], word: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(word.len()).position(|w| w == word) {
        let start = at + found;
        bytes[start..start + word.len()].fill(b' ');
        at = start + word.len();
    }
}

/// Overwrites a comment on the first line of an object, which the parser does not expect there.
fn blank_comment(bytes: &mut [u8], start: usize) {
    let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let length = bytes[start..].iter().position(ends).unwrap_or(0);
    let line = &mut bytes[start..start + length];
    if let Some(comment) = line.iter().position(|b| *b == b'%') {
        line[comment..].fill(b' ');
    }
}

/// `12 0` right before `end`: number, generation, and where it begins.
fn object_before(bytes: &[u8], end: usize) -> Option<(u32, u32, usize)> {
    let digits = |end: usize| {
        let digits = bytes[..end].iter().rev().take_while(|b| b.is_ascii_digit());
        let start = end - digits.take(10).count();
        let number = std::str::from_utf8(&bytes[start..end]).ok()?;
        Some((number.parse().ok()?, start))
    };
    let (generation, start) = digits(end)?;
    let gap = start.checked_sub(1)?;
    if !bytes[gap].is_ascii_whitespace() {
        return None;
    }
    let (number, start) = digits(gap)?;
    Some((number, generation, start))
}

/// Drops trailing spaces, runs of blank lines and characters that no text holds; spells out
/// ligatures and presentation forms; puts words together that the ends of lines cut.
fn tidy(page: &str) -> String {
    let lines: Vec<String> = page.lines().map(tidy_line).collect();
    let mut tidy = String::with_capacity(page.len());
    let mut blank = true;
    for line in joined(&lines) {
        if line.is_empty() {
            if !blank {
                tidy.push('\n');
            }
            blank = true;
        } else {
            tidy.push_str(&line);
            tidy.push('\n');
            blank = false;
        }
    }
    tidy
}

fn tidy_line(line: &str) -> String {
    let line = line.chars().filter(|c| !c.is_control() || *c == '\t');
    // Many fonts say of their hyphen that it is one that may not show.
    let line: String = line.map(|c| if c == SOFT { '-' } else { c }).collect();
    in_reading_order(line.trim_end())
}

const SOFT: char = '\u{ad}';
const HYPHENS: [char; 2] = ['-', '\u{2010}'];

/// A word that is cut more often than this is none.
const CUTS: usize = 8;

/// Lines of which those that end within a word have the rest of it; what follows it stays below.
fn joined(lines: &[String]) -> Vec<String> {
    let cut = lines.iter().any(|line| line.ends_with(HYPHENS));
    let compounds = if cut {
        compounds(lines)
    } else {
        HashSet::new()
    };
    let mut lines = lines.iter();
    let mut joined: Vec<String> = Vec::with_capacity(lines.len());
    let mut left: Option<String> = None;
    while let Some(mut line) = left.take().or_else(|| lines.next().cloned()) {
        for _ in 0..CUTS {
            // A paragraph does not end with half a word, whatever room there is between its lines.
            let mut ahead = lines.clone();
            let next = ahead.next();
            let next = match next {
                Some(blank) if blank.is_empty() => ahead.next(),
                next => next,
            };
            let Some((whole, rest)) = next.and_then(|next| put_together(&line, next, &compounds))
            else {
                break;
            };
            (line, lines) = (whole, ahead);
            if !rest.is_empty() {
                left = Some(rest.to_owned());
                break;
            }
        }
        joined.push(line);
    }
    joined
}

/// A line with the rest of its last word, which `next` begins with, and what is left of `next`.
fn put_together<'a>(
    line: &str,
    next: &'a str,
    compounds: &HashSet<String>,
) -> Option<(String, &'a str)> {
    let begun = line.strip_suffix(HYPHENS)?;
    let next = next.trim_start();
    let cut = next.find(char::is_whitespace).unwrap_or(next.len());
    let (rest, below) = next.split_at(cut);
    let word = last_word(begun);
    let letters = rest.find(|c: char| !c.is_alphabetic());
    let tail = &rest[..letters.unwrap_or(rest.len())];
    let cut_off = word.ends_with(char::is_alphabetic) && tail.starts_with(char::is_lowercase);
    if !cut_off || AND.contains(&tail) {
        return None;
    }
    let compound = format!("{word}-{tail}").to_lowercase();
    let capitals = !word.contains(char::is_lowercase);
    let keeps = word.contains(HYPHENS)
        || word.contains(char::is_numeric)
        || capitals
        || word.chars().nth(1).is_none()
        || WHOLE.contains(&word.to_lowercase().as_str())
        || compounds.contains(&compound);
    let hyphen = if keeps { "-" } else { "" };
    Some((format!("{begun}{hyphen}{rest}"), below.trim_start()))
}

/// Words before a hyphen that are hardly ever the beginning of a longer one.
const WHOLE: [&str; 13] = [
    "non", "self", "well", "ex", "quasi", "half", "high", "low", "long", "short", "full", "year",
    "two",
];

/// Words behind a hyphen that stands for what is said later: "Vor- und Nachteile", "pre- and post-".
const AND: [&str; 16] = [
    "und", "oder", "bzw", "sowie", "bis", "and", "or", "to", "et", "ou", "y", "o", "e", "en", "of",
    "och",
];

/// The last word of a line, with its hyphens but without the marks around it.
fn last_word(line: &str) -> &str {
    let word = line.rsplit(char::is_whitespace).next().unwrap_or("");
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// The words with a hyphen in them that stand within the lines of a page, in lower case.
fn compounds(lines: &[String]) -> HashSet<String> {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let compounds = words.filter(|word| word.contains(HYPHENS));
    compounds
        .map(|word| word.replace(HYPHENS, "-").to_lowercase())
        .collect()
}

/// Latin ligatures.
fn is_ligature(c: char) -> bool {
    ('\u{fb00}'..='\u{fb06}').contains(&c)
}

/// Shapes of Arabic letters: text made of them was written in the order of the page, from the left.
fn is_shape(c: char) -> bool {
    ('\u{fb50}'..='\u{fdff}').contains(&c) || ('\u{fe70}'..='\u{fefc}').contains(&c)
}

fn in_reading_order(line: &str) -> String {
    if !line.chars().any(|c| is_ligature(c) || is_shape(c)) {
        return line.to_owned();
    }
    let spelled = |text: &str| -> String { text.nfkc().collect() };
    let shapes = line.chars().filter(|c| is_shape(*c)).count();
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    if shapes * 2 < letters {
        let mut out = String::with_capacity(line.len());
        for c in line.chars() {
            if is_ligature(c) || is_shape(c) {
                out.push_str(&spelled(c.encode_utf8(&mut [0; 4])));
            } else {
                out.push(c);
            }
        }
        return out;
    }
    // Words from the right; their shapes from the right; Latin words and numbers as they are.
    let words = line.split(' ').rev().map(|word| {
        if word.chars().any(is_shape) {
            let turned: Vec<String> = word
                .chars()
                .rev()
                .map(|c| spelled(c.encode_utf8(&mut [0; 4])))
                .collect();
            turned.concat()
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Is most of this no word of any script? Fonts without a map to Unicode give such text.
fn is_gibberish(text: &str) -> bool {
    let mut words = 0_usize;
    let mut odd = 0_usize;
    for word in text.split_whitespace() {
        words += 1;
        let mut classes: Vec<u32> = Vec::new();
        for c in word.chars() {
            let class = match u32::from(c) {
                0..=0x7f if c.is_ascii_graphic() => 0,
                0x80..=0x24f | 0x1e00..=0x1eff if c.is_alphabetic() => 0,
                // Modifier letters, private use, unassigned odds and ends.
                0x2b0..=0x36f | 0xe000..=0xf8ff | 0xfffd => u32::MAX,
                code if c.is_alphabetic() => code >> 8,
                _ => 0,
            };
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        let mixed = classes.iter().filter(|class| **class != 0).count() > 1;
        odd += usize::from(mixed || classes.contains(&u32::MAX));
    }
    // Scripts of East Asia span many blocks of 256 characters, and need no spaces.
    let ideographs = text
        .chars()
        .filter(|c| ('\u{2e80}'..='\u{d7ff}').contains(c));
    odd * 3 > words && ideographs.count() * 2 < text.chars().count()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn extract(bytes: &[u8], limit: usize, is_late: &dyn Fn() -> bool) -> Result<Extracted, Skip> {
        super::extract(bytes, limit, is_late, &SoFar::default())
    }

    #[test]
    fn what_was_read_can_be_had_while_a_page_is_under_way() {
        let so_far = SoFar::default();
        assert!(so_far.document(1 << 20).is_none());
        let (asked, had) = (Cell::new(0), Cell::new(None));
        let is_late = || {
            if asked.replace(asked.get() + 1) == 2 {
                had.set(so_far.document(1 << 20));
            }
            false
        };
        let file = three_pages("", SIZE, "");
        super::extract(&file, 1 << 20, &is_late, &so_far).unwrap();
        let found = had.take().unwrap().unwrap();
        assert_eq!(words(&found), "The first");
        let told = "read in part: page 2 cannot be read whole; reading it takes too long: 2 of its 3 \
                    pages were read";
        assert_eq!(found.missing.as_deref(), Some(told));
    }

    #[test]
    fn a_table_is_made_of_what_is_there() {
        let page = "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /MediaBox [0 0 9 9] \
                    /Resources << /Font << /F 5 0 R >> >> >>";
        let text = "BT /F 9 Tf (Found again) Tj ET";
        let file = format!(
            "%PDF-1.4\n1 0 obj  % entry\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n\
             2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n3 0 obj\n{page}\nendobj\n\
             4 0 obj\n<< /Length {} >>\nstream\n{text}\nendstream\nendobj\n\
             5 0 obj\n<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>\nendobj\n\
             xref\nnonsense\ntrailer\n<< /Root 9 9 R >>\nstartxref\n7\n%%EOF",
            text.len()
        );
        let found = extract(file.as_bytes(), 1 << 20, &|| false).unwrap();
        assert_eq!(found.outline.text.trim(), "Found again");
        let locked = file.replace("/Root", "/Encrypt 8 0 R /Root");
        let reason = extract(locked.as_bytes(), 9, &|| false).unwrap_err().0;
        assert!(reason.starts_with("encrypted"), "{reason}");
    }

    /// What says of a page how large it is.
    const SIZE: &str = "/MediaBox [0 0 99 99]";

    /// A file of three pages, of which it is told what is said of the last two and what they are in.
    fn three_pages(second: &str, third: &str, around: &str) -> Vec<u8> {
        let text = |text: &str| {
            let drawn = format!("BT /F 9 Tf ({text}) Tj ET");
            format!("<< /Length {} >>\nstream\n{drawn}\nendstream", drawn.len())
        };
        let page = |contents: u32, about: &str| {
            format!(
                "<< /Type /Page /Parent 2 0 R /Contents {contents} 0 R {about} \
                 /Resources << /Font << /F 3 0 R >> >> >>"
            )
        };
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            format!("<< /Type /Pages /Kids [4 0 R 6 0 R 8 0 R] /Count 3 {around} >>"),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
            page(5, SIZE),
            text("The first"),
            page(7, second),
            text("The second"),
            page(9, third),
            text("The third"),
        ];
        let mut file = "%PDF-1.4\n".to_owned();
        for (index, object) in objects.iter().enumerate() {
            file += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
        }
        with_new_table(file.as_bytes()).unwrap()
    }

    /// The words of what was read.
    fn words(found: &Extracted) -> String {
        let words: Vec<&str> = found.outline.text.split_whitespace().collect();
        words.join(" ")
    }

    #[test]
    fn a_page_that_cannot_be_read_keeps_no_other_from_being_read() {
        // The parser gives up on a page of no size.
        let check = |second: &str, third: &str, expected: &str, missing: Option<&str>| {
            let found = extract(&three_pages(second, third, ""), 1 << 20, &|| false).unwrap();
            assert_eq!(words(&found), expected);
            assert_eq!(found.missing.as_deref(), missing);
            let last = found.outline.blocks.last().and_then(|block| block.page);
            let expected = if third.is_empty() { 1 } else { 3 };
            assert_eq!(last, Some(expected));
        };
        check(SIZE, SIZE, "The first The second The third", None);
        let one = "read in part: page 2 cannot be read whole";
        check("", SIZE, "The first The third", Some(one));
        let two = "read in part: pages 2, 3 cannot be read whole";
        check("", "", "The first", Some(two));
        let many = listed(&(1..=12).collect::<Vec<u32>>()).unwrap();
        assert!(
            many.ends_with("9, 10 and 2 others cannot be read whole"),
            "{many}"
        );
    }

    #[test]
    fn pages_for_which_there_is_no_time_take_no_others_along() {
        let read = |in_time: u32, second: &str| {
            let asked = Cell::new(0);
            let is_late = || asked.replace(asked.get() + 1) == in_time;
            extract(&three_pages(second, SIZE, ""), 1 << 20, &is_late)
        };
        let found = read(2, SIZE).unwrap();
        assert_eq!(words(&found), "The first The second");
        let late = "reading it takes too long: 2 of its 3 pages were read";
        assert_eq!(found.missing, Some(format!("read in part: {late}")));
        let found = read(2, "").unwrap();
        assert_eq!(words(&found), "The first");
        let both = format!("read in part: page 2 cannot be read whole; {late}");
        assert_eq!(found.missing, Some(both));
        let none = "gave up: reading it takes too long: 0 of its 3 pages were read";
        assert_eq!(read(0, SIZE), Err(Skip(none.to_owned())));
        assert_eq!(read(3, SIZE).unwrap().missing, None);
    }

    #[test]
    fn pages_whose_way_up_goes_round_are_read() {
        for around in ["/Parent 2 0 R", "/Parent 4 0 R"] {
            let found = extract(&three_pages(SIZE, "", around), 1 << 20, &|| false).unwrap();
            assert_eq!(words(&found), "The first The second", "{around}");
            let one = "read in part: page 3 cannot be read whole";
            assert_eq!(found.missing.as_deref(), Some(one), "{around}");
        }
        let inherited = format!("{SIZE} /Parent 2 0 R");
        let found = extract(&three_pages("", "", &inherited), 1 << 20, &|| false).unwrap();
        assert_eq!(words(&found), "The first The second The third");
    }

    #[test]
    fn pages_deep_in_the_tree_are_read_in_their_order() {
        // As what pages are in: the catalog names the tree around it, which has a size.
        let tree = "<< /Type /Pages /Kids [11 0 R 2 0 R] /Count 3 /MediaBox [0 0 99 99] >>";
        let more =
            format!("10 0 obj\n{tree}\nendobj\n11 0 obj\n<< /Type /Pages /Kids [] >>\nendobj\n");
        let file = three_pages("", "", "/Parent 10 0 R");
        let file = String::from_utf8(file).unwrap();
        let file = file.replacen("/Pages 2 0 R", "/Pages 10 0 R", 1) + &more;
        let file = with_new_table(file.as_bytes()).unwrap();
        let found = extract(&file, 1 << 20, &|| false).unwrap();
        assert_eq!(words(&found), "The first The second The third");
        assert_eq!(found.missing, None);
        let pages: Vec<_> = found.outline.blocks.iter().map(|b| b.page).collect();
        assert_eq!(pages, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_comment_ends_with_its_line() {
        let mut file = *b"1 0 obj % a\r<< >>\r% b\n";
        blank_comment(&mut file, 0);
        assert_eq!(&file, b"1 0 obj    \r<< >>\r% b\n");
    }

    #[test]
    fn words_that_lines_cut_are_put_together() {
        let check = |page: &str, expected: &str| assert_eq!(tidy(page), expected, "{page}");
        check(
            "The inter-\nnational trade\ngrew.\n",
            "The international\ntrade\ngrew.\n",
        );
        check(
            "an inter- \n\n  national, vast\n",
            "an international,\nvast\n",
        );
        check(
            "an inter\u{ad}\nna\u{2010}\ntional\n\nend",
            "an international\n\nend\n",
        );
        // Compounds keep their hyphen.
        check(
            "a non-\nlinear state-of-the-\nart X-\nray",
            "a non-linear\nstate-of-the-art\nX-ray\n",
        );
        check("EU-\nwide and 40mm-\nthick", "EU-wide\nand 40mm-thick\n");
        check("wind-\nblown, (Wind-blown)", "wind-blown,\n(Wind-blown)\n");
        // What is no cut word stays.
        check("Vor-\nund Nachteile", "Vor-\nund Nachteile\n");
        check(
            "Graz-\nWien\n2019-\n2020\na -\nb",
            "Graz-\nWien\n2019-\n2020\na -\nb\n",
        );
        check("ends with a-", "ends with a-\n");
        check("ends-\n\n\nfar below", "ends-\n\nfar below\n");
    }

    #[test]
    fn shapes_become_letters_in_reading_order() {
        assert_eq!(
            in_reading_order("ﺔﻴﺑﺮﻌﻟا طﻮﻄﳋا عاﻮﻧا"),
            "انواع الخطوط العربية"
        );
        assert_eq!(in_reading_order("the ﬁrst ﬂoor"), "the first floor");
    }

    #[test]
    fn gibberish_is_told_from_text() {
        assert!(is_gibberish(
            "ۉīۈīۉĪۉĬ ¬ࠒ¬ ߓ¬˸Ե ΰච WL ˖ǠlȈè ȗ\u{e011}å ķϙʆϢ ôϣ"
        ));
        for text in [
            "Grüße aus Łódź, naïve café",
            "حَبيبي habibi",
            "Москва-река (2024)",
            "日本語のテキスト",
        ] {
            assert!(!is_gibberish(text), "{text}");
        }
    }
}
