//! Lines: which of them belong together, and which are headings, items, rows or cards.

use std::ops::Range;

use super::code::{CODE_LINES, Code, fence};
use super::unmarked;
use crate::domain::text::Text;
use crate::domain::words::is_unspaced;

/// Lines that belong together.
pub(super) struct Segment {
    pub(super) span: Range<usize>,
    pub(super) is_code: bool,
}

/// Runs of lines that belong together: paragraphs, single list items, rows, headings, code. A
/// paragraph of lines that nobody wrapped is one run a line.
pub(super) fn segments(text: Text<'_>) -> Vec<Segment> {
    let code = Code::of(text);
    let mut runs: Vec<(bool, Vec<Range<usize>>)> = Vec::new();
    let mut position = 0;
    let mut open = false;
    for line in text.split_inclusive('\n') {
        let range = position..position + line.len();
        position = range.end;
        let trimmed = line.trim_start();
        let mut blocks = code.blocks.iter();
        let is_fence = blocks.any(|code| code.start == range.end || code.end == range.start);
        let is_code = code.is_fenced(range.start);
        let parts = trimmed.trim_end().is_empty() || !is_code && is_rule(trimmed);
        if is_fence && fence(line).is_some() || parts {
            open = false;
            continue;
        }
        let alone = !is_code && starts_own_segment(trimmed);
        match runs.last_mut() {
            Some((_, last)) if open && !alone && !(is_code && last.len() == CODE_LINES) => {
                last.push(range);
            }
            _ => runs.push((is_code, vec![range])),
        }
        open = is_code || !(is_heading(trimmed) || is_row(trimmed));
    }
    let mut found = Vec::new();
    for (is_code, lines) in runs {
        if is_code {
            let span = lines[0].start..lines[lines.len() - 1].end;
            found.push(Segment { span, is_code });
            continue;
        }
        let spans = unwrapped(&text, &lines).into_iter();
        found.extend(spans.map(|span| Segment { span, is_code }));
    }
    found
}

/// A line across the page, below a heading, or around front matter.
fn is_rule(line: &str) -> bool {
    let marks = line.trim_end();
    let one = |mark: char| marks.len() >= 3 && marks.chars().all(|c| c == mark);
    ['-', '*', '_', '=', '~', '^', '+'].into_iter().any(one)
}

/// Level and text of a heading: `## A` of Markdown, `== A` of `AsciiDoc`, `** A` of org-mode, or a line
/// with a line of `=`, `-`, `~` or `^` right below it.
pub(in crate::domain) fn heading_at<'a>(
    text: &'a str,
    span: &Range<usize>,
) -> Option<(usize, &'a str)> {
    let line = &text[span.clone()];
    marked_heading(line).or_else(|| underlined(text, span).map(|level| (level, line)))
}

fn marked_heading(line: &str) -> Option<(usize, &str)> {
    let mark = line.chars().next().filter(|c| "#=*".contains(*c))?;
    let text = line.trim_start_matches(mark);
    let level = line.len() - text.len();
    let heading = text.trim().trim_end_matches(mark).trim_end();
    // One star opens an item.
    let most = if mark == '*' { 2..=6 } else { 1..=6 };
    let is_heading = most.contains(&level) && text.starts_with([' ', '\t']);
    (is_heading && !heading.is_empty() && !heading.contains('\n')).then_some((level, heading))
}

/// The level of a heading that is one by the line below it.
fn underlined(text: &str, span: &Range<usize>) -> Option<usize> {
    const MOST_WORDS: usize = 12;
    let line = &text[span.clone()];
    let alone = text[..span.start].trim_end_matches([' ', '\t']);
    let alone = alone.is_empty() || alone.ends_with('\n');
    let mut lines = text[span.end..].split('\n');
    lines.next().filter(|rest| rest.trim().is_empty())?;
    let below = lines.next()?.trim_end();
    let level = match below.chars().next()? {
        '=' => 1,
        '-' => 2,
        '~' => 3,
        '^' => 4,
        _ => return None,
    };
    let ends = unmarked(line).ends_with('.') || line.ends_with([',', ':']);
    let short = line.split_whitespace().count() <= MOST_WORDS && !ends;
    let plain = !line.contains('\n') && !starts_own_segment(line) && !is_rule(line);
    (alone && short && plain && is_rule(below)).then_some(level)
}

/// Does a line look like a heading or a tag, by its mark?
pub(in crate::domain) fn is_heading(line: &str) -> bool {
    line.starts_with('#') || marked_heading(line).is_some()
}

/// Words that say how far a heading is, in org-mode's default setup.
pub const TASK_STATES: [&str; 5] = ["TODO", "DONE", "NEXT", "WAITING", "CANCELLED"];

/// How far a heading of org-mode says that something is: "TODO" of "** TODO Move the boxes".
pub(in crate::domain) fn task_state(heading: &str) -> Option<&str> {
    let text = heading.trim_start_matches(['*', '#', ' ']);
    let state = text.split_whitespace().next()?;
    (heading.starts_with(['*', '#']) && TASK_STATES.contains(&state)).then_some(state)
}

/// The lines of a paragraph, those joined that were wrapped. What goes on behind an item is always of
/// it.
fn unwrapped(text: &str, lines: &[Range<usize>]) -> Vec<Range<usize>> {
    let written = |line: &Range<usize>| text[line.clone()].trim();
    let width = |line: &Range<usize>| written(line).chars().count();
    let item = lines
        .first()
        .is_some_and(|first| starts_own_segment(written(first)));
    let widest = lines.iter().map(width).max().unwrap_or(0);
    let prose = lines.iter().any(|line| holds_stop(written(line)));
    // A paragraph that closes with a stop was broken by hand, wherever.
    let closes = lines.last().is_some_and(|last| {
        let last = written(last).split_whitespace().next_back();
        last.is_some_and(holds_stop)
    });
    let card = is_card(text, lines);
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let wrapped = at > 0 && {
            let before = written(&lines[at - 1]);
            let of_prose = closes && !is_pair(written(line));
            item || card || of_prose || wraps(before, written(line), widest, prose)
        };
        match found.last_mut() {
            Some(last) if wrapped => last.end = line.end,
            _ => found.push(line.clone()),
        }
    }
    found
}

/// Are these lines what is to be known of somebody: "Name: Petra", "Phone: 030 4411"?
fn is_card(text: &str, lines: &[Range<usize>]) -> bool {
    let mut written = lines.iter().map(|line| text[line.clone()].trim());
    let named = lines.first().is_some_and(|first| {
        let first = text[first.clone()].trim().to_lowercase();
        first.trim_start_matches('*').starts_with("name")
    });
    named && (2..=6).contains(&lines.len()) && written.all(is_pair)
}

/// Columns from which a line may have been wrapped where no stop tells that it is of a sentence.
const WRAPPED_FROM: usize = 50;

/// Was a line wrapped, so that it goes on in the next one? `prose` says whether its paragraph holds
/// sentences with stops, `widest` how wide that is. What would have fitted was not wrapped.
fn wraps(before: &str, line: &str, widest: usize, prose: bool) -> bool {
    if is_pair(line) {
        return false;
    }
    let first = line.split_whitespace().next().unwrap_or("");
    let columns = before.chars().count();
    let fits = columns + 1 + first.chars().count() <= widest;
    let goes_on = prose && line.starts_with(char::is_lowercase) || line.starts_with(is_unspaced);
    goes_on || before.ends_with(',') || !fits && (prose || columns >= WRAPPED_FROM)
}

/// Does a sentence end in a line, by a stop?
fn holds_stop(line: &str) -> bool {
    let ends = |word: &str| {
        let word = word.trim_end_matches(['"', ')', '”', '*']);
        word.chars().count() > 2 && word.ends_with(['.', '!', '?'])
    };
    line.split_whitespace().any(ends)
}

/// "Phone: 030 4411".
fn is_pair(line: &str) -> bool {
    let Some((key, value)) = line.split_once(": ") else {
        return false;
    };
    let named = key
        .chars()
        .all(|c| c.is_alphanumeric() || " -*()/".contains(c));
    let short = key.split_whitespace().count() <= 3 && !value.trim().is_empty();
    named && short && key.trim_start_matches('*').starts_with(char::is_uppercase)
}

fn starts_own_segment(line: &str) -> bool {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = digits > 0 && line[digits..].starts_with([')', '.']) && {
        line[digits + 1..].starts_with(' ')
    };
    let bullet = ["- ", "* ", "+ ", "• "].iter().any(|b| line.starts_with(b));
    let marked = line.starts_with(['|', '>']) || is_heading(line);
    bullet || numbered || marked || is_sheet_row(line)
}

/// A row of a sheet, as its extractor writes it: "row 2 | Name: Ann".
fn is_sheet_row(line: &str) -> bool {
    let rest = line.strip_prefix("row ").unwrap_or("");
    let number = rest.split_once(" | ").map_or("", |(number, _)| number);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Is it a row of a table or a sheet?
pub fn is_row(sentence: &str) -> bool {
    sentence.starts_with('|') || is_sheet_row(sentence)
}

/// Is it an item of a list?
pub fn is_item(sentence: &str) -> bool {
    let other = sentence.starts_with('>') || is_heading(sentence) || is_row(sentence);
    starts_own_segment(sentence) && !other
}

#[cfg(test)]
mod tests {
    use super::super::tests::split;

    #[test]
    fn lines_that_nobody_wrapped_stand_alone() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check(
            "wifi password heron\nalarm code 4471\nGas meter 6402",
            &["wifi password heron", "alarm code 4471", "Gas meter 6402"],
        );
        check(
            "Phone: 030 4411\nRoom: 12 on the left",
            &["Phone: 030 4411", "Room: 12 on the left"],
        );
        check(
            "The boiler was serviced by\nAnna. It is\nold.",
            &["The boiler was serviced by\nAnna.", "It is\nold."],
        );
        let wrapped = "The new caretaker of the house in the old street is called\n\
                       Dragan Petrov and comes from Graz";
        check(wrapped, &[wrapped]);
        check("- call\n  Oskar", &["- call\n  Oskar"]);
        check("Anna,\nBen", &["Anna,\nBen"]);
        check("Head\n====\nbody", &["Head", "body"]);
    }
}
