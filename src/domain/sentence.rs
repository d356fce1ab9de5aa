//! Where sentences begin and end, in notes as people write them.
//!
//! Beside prose there are items, rows, headings, cards and code; what belongs together is told by
//! the lines, as nobody marks it.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::figure::is_calendar_word;
use super::language::{Language, STOP_WORDS};
use super::question::asks_what_in_german;
use super::text::Text;
use super::words::is_unspaced;

/// Lines of code that are one sentence, at most.
const CODE_LINES: usize = 10;

/// Byte ranges of the sentences of `text`, trimmed, in order.
///
/// Line wraps inside a paragraph do not end a sentence; list items, headings, table rows, quotes,
/// blank lines, and lines that nobody wrapped do. Code between fences is not cut as prose is: lines
/// of it without a blank one between them are one sentence, with their indentation, ten at most. Its
/// fences are of none. Nothing ends within `code` in a line, or within an address.
pub fn sentences<'a>(text: impl Into<Text<'a>>) -> Vec<Range<usize>> {
    let text = text.into();
    let mut found = Vec::new();
    for segment in segments(text) {
        if segment.is_code {
            let code = text[segment.span.clone()].trim_end();
            if code.chars().any(char::is_alphanumeric) {
                found.push(segment.span.start..segment.span.start + code.len());
            }
            continue;
        }
        let segment = segment.span;
        // Sentence segmentation ends at every newline; a space has the same width.
        let flat = text[segment.clone()].replace(['\n', '\r'], " ");
        let mut begin = None;
        for (start, piece) in without_false_ends(&flat).split_sentence_bound_indices() {
            let first = *begin.get_or_insert(start);
            let end = start + piece.len();
            let numbers_item = start == 0 && is_number_of_item(piece);
            if numbers_item || goes_on(&flat, start..end) {
                continue;
            }
            push_trimmed(
                &text,
                segment.start + first..segment.start + end,
                &mut found,
            );
            begin = None;
        }
        if let Some(first) = begin {
            push_trimmed(&text, segment.start + first..segment.end, &mut found);
        }
    }
    found
}

/// The text, as wide as it was, without marks that end no sentence: those in `code`, which may begin
/// one as a capital does, and those that
/// something follows at once, as in `/search?q=a` and `[!note]`. A sentence ends behind the numbers of
/// its notes: `It is so.[^1]`.
fn without_false_ends(flat: &str) -> String {
    let mut bytes = flat.as_bytes().to_vec();
    for code in inline_code(flat) {
        bytes[code].fill(b'X');
    }
    for at in 0..bytes.len().saturating_sub(1) {
        let behind = bytes[at + 1];
        let goes_on = behind.is_ascii_alphanumeric() || b"([{=/_&".contains(&behind);
        if matches!(bytes[at], b'!' | b'?') && goes_on {
            bytes[at] = b'x';
        }
    }
    for at in 0..bytes.len() {
        let marks = note_marks(&bytes[at + 1..]);
        if matches!(bytes[at], b'.' | b'!' | b'?') && marks > 0 {
            let end = bytes[at];
            bytes[at..at + marks].fill(b'x');
            bytes[at + marks] = end;
        }
    }
    // Whole characters were replaced by letters of one byte.
    String::from_utf8(bytes).unwrap_or_else(|_| flat.to_owned())
}

/// Bytes of the marks of notes that a text begins with, `[^1]` or `[7][8]`, where nothing else follows
/// them at once.
fn note_marks(text: &[u8]) -> usize {
    let mut end = 0;
    while text.get(end) == Some(&b'[') {
        let name = text[end + 1..].iter().take_while(|byte| **byte != b']');
        let name: Vec<u8> = name.copied().collect();
        let number = name.strip_prefix(b"^").unwrap_or(&name);
        let is_note = name.len() > number.len() || number.iter().all(u8::is_ascii_digit);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let closes = text.get(end + 1 + name.len()) == Some(&b']');
        if !(closes && is_note && !number.is_empty() && number.iter().all(is_name)) {
            break;
        }
        end += name.len() + 2;
    }
    let goes_on = text
        .get(end)
        .is_some_and(|byte| !byte.is_ascii_whitespace());
    if goes_on { 0 } else { end }
}

/// What stands between backticks, as many behind it as before.
pub fn inline_code(line: &str) -> Vec<Range<usize>> {
    let mut ticks: Vec<Range<usize>> = Vec::new();
    for (at, _) in line.match_indices('`') {
        match ticks.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => ticks.push(at..at + 1),
        }
    }
    let mut found = Vec::new();
    let mut rest = ticks.as_slice();
    while let [open, behind @ ..] = rest {
        let partner = behind.iter().position(|run| run.len() == open.len());
        rest = behind;
        if let Some(at) = partner {
            found.push(open.end..behind[at].start);
            rest = &behind[at + 1..];
        }
    }
    found
}

/// The code of a text.
pub struct Code<'a> {
    text: &'a str,
    /// What stands between fences, a range of whole lines for each block; in order.
    blocks: Vec<Range<usize>>,
}

impl<'a> Code<'a> {
    /// The code of `text`.
    ///
    /// A passage may begin or end within a block: a fence without a partner ends what is before it
    /// where a blank line, nothing or prose follows it, and otherwise begins what is behind it. Of
    /// source code all is code.
    pub fn of(text: impl Into<Text<'a>>) -> Self {
        let text = text.into();
        let whole = 0..text.len();
        Self {
            blocks: if text.is_code() {
                vec![whole]
            } else {
                blocks(text.as_str())
            },
            text: text.as_str(),
        }
    }

    /// Does what begins at `at` stand between fences?
    pub fn is_fenced(&self, at: usize) -> bool {
        self.blocks.iter().any(|block| block.contains(&at))
    }

    /// Does this place lie in code: between fences, or in `code` in a line?
    pub fn holds(&self, at: usize) -> bool {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let whole = self.text[line..].lines().next().unwrap_or("");
        let in_line = || {
            inline_code(whole)
                .iter()
                .any(|code| code.contains(&(at - line)))
        };
        self.is_fenced(at) || in_line()
    }

    /// Is a sentence code: between fences, or nothing but `code`?
    pub fn is(&self, span: &Range<usize>) -> bool {
        self.is_fenced(span.start) || is_inline(&self.text[span.clone()])
    }

    /// Is code between fences, which ends at `end`, cut off there because it is long?
    pub fn goes_on(&self, end: usize) -> bool {
        let next = self.text[end..].trim_start_matches([' ', '\t', '\r']);
        let at = self.text.len() - next.len() + 1;
        let line = next.strip_prefix('\n').and_then(|rest| rest.lines().next());
        line.is_some_and(|line| !line.trim().is_empty()) && self.is_fenced(at)
    }
}

/// Is a sentence nothing but `code`?
fn is_inline(sentence: &str) -> bool {
    let code = inline_code(sentence);
    let [code] = code.as_slice() else {
        return false;
    };
    let (before, behind) = (&sentence[..code.start], &sentence[code.end..]);
    [before, behind]
        .iter()
        .all(|marks| marks.bytes().all(|byte| byte == b'`'))
}

fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Opened<'_>> = None;
    let mut position = 0;
    let fences = text.lines().filter(|line| fence(line).is_some()).count();
    let mut unpaired = fences % 2 == 1;
    for line in text.split_inclusive('\n') {
        let (start, end) = (position, position + line.len());
        position = end;
        let Some((ticks, is_bare)) = fence(line) else {
            continue;
        };
        match open {
            Some(opened) if is_bare && ticks.starts_with(opened.ticks) => {
                found.push(opened.end..start);
                open = None;
            }
            // Code begins here: what was taken for a beginning was the end of what is before it.
            Some(opened)
                if found.is_empty() && opened.is_bare && ticks.starts_with(opened.ticks) =>
            {
                found.push(0..opened.start);
                open = Some(Opened {
                    ticks,
                    is_bare,
                    start,
                    end,
                });
            }
            Some(_) => {}
            // A row of tildes may be there for its looks.
            None if ticks.starts_with('~') && !is_closed(&text[end..], ticks) => {}
            None => {
                let next = text[end..].lines().next().unwrap_or("");
                let ends = || holds_prose(&text[end..]) && !holds_prose(&text[..start]);
                if unpaired && is_bare && (next.trim().is_empty() || ends()) {
                    found.push(0..start);
                } else {
                    open = Some(Opened {
                        ticks,
                        is_bare,
                        start,
                        end,
                    });
                }
            }
        }
        unpaired = false;
    }
    if let Some(opened) = open {
        found.push(opened.end..text.len());
    }
    found
}

/// Does a text hold a heading or a line that reads like a sentence, before its first fence?
fn holds_prose(text: &str) -> bool {
    let mut lines = text.lines().take_while(|line| fence(line).is_none());
    lines.any(|line| {
        let heading = line.starts_with("# ") || line.starts_with("## ");
        let words = line.split_whitespace().count();
        let sentence = line.starts_with(char::is_uppercase) && ends_with_stop(line);
        heading || words >= 5 && sentence
    })
}

/// A fence that begins code: its marks, whether nothing stands behind them, and its line.
#[derive(Clone, Copy)]
struct Opened<'a> {
    ticks: &'a str,
    is_bare: bool,
    start: usize,
    end: usize,
}

/// Does a fence of these marks follow that ends code?
fn is_closed(text: &str, ticks: &str) -> bool {
    let mut fences = text.lines().filter_map(fence);
    fences.any(|(marks, is_bare)| is_bare && marks.starts_with(ticks))
}

/// The marks of a line that begins or ends code, and whether it may end some: nothing stands behind
/// them, and no item begins with them. They may stand in a quote.
fn fence(line: &str) -> Option<(&str, bool)> {
    let line = line.trim().trim_start_matches(['>', ' ']);
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let item = ["- ", "* ", "+ ", ". ", ") "];
    let item = item.iter().find_map(|mark| number.strip_prefix(mark));
    let is_item = item.is_some();
    let line = item.map_or(line, str::trim_start);
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let marks = &line[..line.len() - rest.len()];
    // ```` ```code``` ```` in a line is no fence, and a long row of tildes underlines something.
    let is_fence = match mark {
        '`' => marks.len() >= 3 && !rest.contains('`'),
        _ => (3..=4).contains(&marks.len()),
    };
    is_fence.then_some((marks, rest.is_empty() && !is_item))
}

/// What a sentence is to be read with: the line that leads into it, where it is code ("To list
/// them:", "How do I list them?"), and the code that it leads into.
pub fn partners<'a>(
    text: impl Into<Text<'a>>,
    span: &Range<usize>,
) -> (Option<Range<usize>>, Option<Range<usize>>) {
    let text = text.into();
    if !text.contains(['`', '~']) {
        return (None, None);
    }
    let code = Code::of(text);
    let spans = sentences(text);
    let Some(at) = spans.iter().position(|other| other == span) else {
        return (None, None);
    };
    let leads = |line: &Range<usize>, to: &Range<usize>| {
        let written = text[line.clone()].trim_end_matches(['*', '_']);
        let opens = written.ends_with(':') || is_question(written);
        let other = is_heading(written) || written.starts_with('|');
        opens && !other && !code.is(line) && code.is(to)
    };
    let before = at.checked_sub(1).map(|at| spans[at].clone());
    let behind = spans.get(at + 1).cloned();
    (
        before.filter(|before| leads(before, span)),
        behind.filter(|behind| leads(span, behind)),
    )
}

fn push_trimmed(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let raw = &text[range.clone()];
    let lead = raw.len() - raw.trim_start().len();
    let trimmed = raw.trim();
    if trimmed.chars().any(char::is_alphanumeric) {
        let start = range.start + lead;
        found.push(start..start + trimmed.len());
    }
}

/// "1. ", before the item that it numbers.
fn is_number_of_item(piece: &str) -> bool {
    let number = piece.trim().strip_suffix(['.', ')']);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Does a sentence go on behind this piece of a text, which ends with an abbreviation, an initial or
/// an ordinal?
///
/// Some stand at ends as well: there the next sentence shows itself by a word such as "The". While
/// a text is being written its last word may not be whole, and shows nothing.
fn goes_on(text: &str, piece: Range<usize>) -> bool {
    const ALWAYS: [&str; 19] = [
        "mr.", "mrs.", "ms.", "dr.", "prof.", "vs.", "e.g.", "i.e.", "z.b.", "bzw.", "d.h.", "fa.",
        "hr.", "inkl.", "evtl.", "ggf.", "vgl.", "zzgl.", "sog.",
    ];
    const BEFORE_NUMBERS: [&str; 26] = [
        "no.", "nr.", "p.", "pp.", "fig.", "ca.", "tel.", "abb.", "bd.", "rd.", "ave.", "max.",
        "min.", "art.", "kap.", "whg.", "s.", "abs.", "ziff.", "zi.", "blvd.", "sec.", "vol.",
        "ch.", "eq.", "tab.",
    ];
    const AT_ENDS_TOO: [&str; 9] = [
        "etc.", "approx.", "inc.", "ltd.", "jr.", "sr.", "st.", "usw.", "u.a.",
    ];
    let rest = &text[piece.end..];
    let written = text[piece.clone()]
        .split_whitespace()
        .next_back()
        .unwrap_or("");
    let written = written.trim_start_matches(['(', '[', '"']);
    let word = written.to_lowercase();
    let is = |list: &[&str]| list.contains(&word.as_str());
    let number = rest
        .trim_start_matches(['+', '('])
        .starts_with(|c: char| c.is_ascii_digit());
    let next = rest.unicode_words().next().unwrap_or("");
    let whole = rest.len() > next.len();
    let begins = whole && STOP_WORDS.contains(&next.to_lowercase().as_str());
    is(&ALWAYS)
        || number && (is(&BEFORE_NUMBERS) || word.ends_with("str."))
        || !begins && (is(&AT_ENDS_TOO) || initials(written))
        || is_ordinal(written) && (!whole || is_ordered(text, piece.end, next))
}

/// "W.", "U.S." or the parts of "z. B.": single letters with stops behind them.
fn initials(word: &str) -> bool {
    let Some(letters) = word.strip_suffix('.') else {
        return false;
    };
    let single = |part: &str, is: fn(char) -> bool| {
        let mut chars = part.chars();
        chars.next().is_some_and(is) && chars.next().is_none()
    };
    single(letters, char::is_alphabetic)
        || letters
            .split('.')
            .all(|part| single(part, char::is_uppercase))
}

/// "3.", as in "am 3. Juni".
fn is_ordinal(word: &str) -> bool {
    let digits = word.strip_suffix('.').unwrap_or("");
    (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Is the word behind an ordinal one that it orders: a month, a day of the week, or a German noun
/// behind "am" or "den"? The ordinal ends at `end` in the text, and `next` stands behind it.
fn is_ordered(text: &str, end: usize, next: &str) -> bool {
    const BEFORE: [&str; 14] = [
        "der", "die", "das", "den", "dem", "des", "am", "im", "vom", "zum", "zur", "beim", "jeder",
        "jeden",
    ];
    let is_stop = |word: &str| STOP_WORDS.contains(&word.to_lowercase().as_str());
    if is_calendar_word(next) {
        // "I have 3. May I go?"
        let behind = text[end..].unicode_words().nth(1);
        return !(next == "May" && behind.is_some_and(is_stop));
    }
    let lead = text[..end].split_whitespace().rev().nth(1).unwrap_or("");
    let ordered = BEFORE.contains(&lead.to_lowercase().as_str());
    ordered && is_capital(next) && !is_stop(next) && is_german(text)
}

/// Lines that belong together.
struct Segment {
    span: Range<usize>,
    is_code: bool,
}

/// Runs of lines that belong together: paragraphs, single list items, rows, headings, code. A
/// paragraph of lines that nobody wrapped is one run a line.
fn segments(text: Text<'_>) -> Vec<Segment> {
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
pub(super) fn heading_at<'a>(text: &'a str, span: &Range<usize>) -> Option<(usize, &'a str)> {
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
    let short = line.split_whitespace().count() <= MOST_WORDS && !line.ends_with(['.', ',', ':']);
    let plain = !line.contains('\n') && !starts_own_segment(line) && !is_rule(line);
    (alone && short && plain && is_rule(below)).then_some(level)
}

/// Does a line look like a heading or a tag, by its mark?
pub(super) fn is_heading(line: &str) -> bool {
    line.starts_with('#') || marked_heading(line).is_some()
}

/// Words that say how far a heading is, in org-mode's default setup.
pub const TASK_STATES: [&str; 5] = ["TODO", "DONE", "NEXT", "WAITING", "CANCELLED"];

/// How far a heading of org-mode says that something is: "TODO" of "** TODO Move the boxes".
pub(super) fn task_state(heading: &str) -> Option<&str> {
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

/// Does a sentence ask something?
pub(super) fn is_question(sentence: &str) -> bool {
    let marks = |c: char| c.is_whitespace() || "*_\"')”".contains(c);
    sentence.trim_end_matches(marks).ends_with(['?', '？', '؟'])
}

/// Does it end as sentences do, in whatever script?
pub(super) fn ends_with_stop(sentence: &str) -> bool {
    let marks = |c: char| c.is_whitespace() || "*_\"')”」』）".contains(c);
    sentence.trim_end_matches(marks).ends_with([
        '.', '!', '?', ':', '…', '。', '！', '？', '：', '؟', '۔', '।',
    ])
}

/// Is it an item of a list?
pub fn is_item(sentence: &str) -> bool {
    let other = sentence.starts_with('>') || is_heading(sentence) || is_row(sentence);
    starts_own_segment(sentence) && !other
}

/// The lists of a text: the sentences of each, in order, and the line that leads into it where one
/// does. An item may have several sentences. Code belongs to a list of steps, which are numbered;
/// other lists end at code, which belongs to their last item alone.
pub fn lists<'a>(text: impl Into<Text<'a>>) -> Vec<List> {
    let text = text.into();
    let mut lists: Vec<List> = Vec::new();
    let mut before: Option<Range<usize>> = None;
    let mut open = false;
    let code = Code::of(text);
    for span in sentences(text) {
        let sentence = &text[span.clone()];
        let gap = |last: &Range<usize>| text[last.end..span.start].matches('\n').count();
        let is_code = code.is(&span);
        let item = !is_code && is_item(sentence);
        // Behind code, a fence stands between.
        let most = |last: &Range<usize>| 1 + usize::from(code.is_fenced(last.start));
        let follows = before.as_ref().is_some_and(|last| gap(last) <= most(last));
        let is_step = is_code && lists.last().is_some_and(|list| list.is_numbered(&text));
        let other = is_heading(sentence) || sentence.starts_with('|');
        let is_more = !is_code && follows && !other;
        let goes_on = open && (item || is_step || is_more);
        match lists.last_mut() {
            Some(list) if goes_on => list.sentences.push(span.clone()),
            _ if item => {
                let leads = |last: &Range<usize>| {
                    let line = &text[last.clone()];
                    let right_above = gap(last) <= 1 && !line.ends_with(['.', '!']);
                    let opens = line.ends_with(':') || is_question(line) || right_above;
                    let other = heading_at(text.as_str(), last).is_some() || line.starts_with('|');
                    opens && !other && !is_heading(line) && !code.is(last)
                };
                lists.push(List {
                    lead_in: before.clone().filter(leads),
                    sentences: vec![span.clone()],
                });
            }
            _ => {}
        }
        open = item || goes_on;
        before = Some(span);
    }
    lists.retain(|list| list.sentences.len() > 1);
    lists
}

/// A list of a text, as spans of its sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The line above the items that leads into them.
    pub lead_in: Option<Range<usize>>,
    /// The items and what else belongs to them, in order.
    pub sentences: Vec<Range<usize>>,
}

impl List {
    fn is_numbered(&self, text: &str) -> bool {
        let first = self.sentences.first();
        first.is_some_and(|first| text[first.clone()].starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// The part of a list that is quoted: from its beginning, or from `first` on where that would be
/// left out, as many as hold `words` words, one at least.
pub fn part_of_list(text: &str, list: &List, first: usize, words: usize) -> Range<usize> {
    let price = |at: usize| text[list.sentences[at].clone()].split_whitespace().count();
    let count = list.sentences.len();
    let end_from = |start: usize| {
        let mut spent = 0;
        let fitting = (start..count).take_while(|at| {
            spent += price(*at);
            spent <= words
        });
        (start + fitting.count()).max(start + 1)
    };
    let first = first.min(count.saturating_sub(1));
    let end = end_from(0);
    if first < end {
        return 0..end;
    }
    first..end_from(first)
}

pub(super) fn is_capital(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

/// Is it German, whose nouns all have capitals? One word alone does not tell: who can die is not
/// German, nor is Vincent van der Berg.
pub(super) fn is_german(text: &str) -> bool {
    const ASKING: [&str; 14] = [
        "wann", "wer", "wie", "wo", "was", "welche", "welcher", "welches", "warum", "wen", "wem",
        "wessen", "woher", "wohin",
    ];
    const TELLING: [&str; 28] = [
        "der", "die", "das", "dem", "ein", "eine", "einen", "einem", "einer", "ist", "und", "nach",
        "mit", "für", "wird", "wurde", "sind", "nicht", "zum", "zur", "im", "auf", "aus", "bei",
        "zwei", "drei", "ich", "sich",
    ];
    const ENGLISH: [&str; 10] = [
        "the", "of", "a", "an", "and", "is", "was", "to", "did", "does",
    ];
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.unicode_words().collect();
    let first = words.first().copied().unwrap_or("");
    // "Was" opens English questions, too.
    let asks = ASKING.contains(&first) && (first != "was" || asks_what_in_german(text));
    let english = words.iter().any(|word| ENGLISH.contains(word));
    let tells = ["der", "die", "das", "ein", "eine"].contains(&first) && !english;
    let mut german = words.clone();
    german.retain(|word| ASKING.contains(word) && *word != "was" || TELLING.contains(word));
    german.sort_unstable();
    german.dedup();
    asks || tells || german.len() > 1 || Language::detect(text) == Language::named("de")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_code_are_told_from_others() {
        let text = "Use `a[1]`, see [1].\n```\nb[1]\n```\n[1]";
        let code = Code::of(text);
        let holds = text.match_indices("[1]").map(|(at, _)| code.holds(at));
        assert_eq!(holds.collect::<Vec<_>>(), [true, false, true, false]);
    }

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|s| &text[s]).collect()
    }

    #[test]
    fn sentences_respect_wraps_items_and_abbreviations() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check("One is\nwrapped. Two.", &["One is\nwrapped.", "Two."]);
        check("- first\n- second\n", &["- first", "- second"]);
        check("# Head\nBody here.", &["# Head", "Body here."]);
        check("Ask Dr. Weber. He knows.", &["Ask Dr. Weber.", "He knows."]);
        check("", &[]);
        check("---\n", &[]);
        check("1. one\n2. two", &["1. one", "2. two"]);
        check("1. One\n2. Two", &["1. One", "2. Two"]);
        check("The U.S. Army left.", &["The U.S. Army left."]);
        check(
            "He lives in the U.S. The house is old.",
            &["He lives in the U.S.", "The house is old."],
        );
        check("George W. Bush left.", &["George W. Bush left."]);
        check(
            "The answer is no. The key is here.",
            &["The answer is no.", "The key is here."],
        );
        check("See No. 5 Elm Street.", &["See No. 5 Elm Street."]);
        check(
            "We sell nuts, etc. The shop is old.",
            &["We sell nuts, etc.", "The shop is old."],
        );
        let whole = |text: &str| check(text, &[text]);
        whole("Das Fest ist am 3. Juni um 9 Uhr im Hof.");
        whole("Am 5. Juli ziehen wir um.");
        whole("Die Küche zieht in den 2. Stock um.");
        whole("Wir brauchen z. B. Milch und u. a. Mehl, d. h. Vorräte.");
        whole("Wir kaufen Obst, z. B. Äpfel, bei Fa. Krüger in der Kantstr. 12, Berlin.");
        whole("Die Praxis hat Tel. 030 4411 und Whg. 5 A.");
        whole("We meet at St. Mary's Rd. 14 A.");
        whole("Die Karte steht auf S. 14 Mitte, Abb. 3 B.");
        whole("Alles ist da, inkl. Strom und evtl. Wasser.");
        check("I have 3. He has 4.", &["I have 3.", "He has 4."]);
        check("I have 3. May I go?", &["I have 3.", "May I go?"]);
        check("Ich habe 3. Er hat 4.", &["Ich habe 3.", "Er hat 4."]);
        check(
            "It was built in 1987. The roof is new.",
            &["It was built in 1987.", "The roof is new."],
        );
        check(
            "We saw Anna. 5 People came.",
            &["We saw Anna.", "5 People came."],
        );
        // The last word may go on: "Army".
        check("The U.S. A", &["The U.S. A"]);
    }

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

    #[test]
    fn nothing_ends_in_code_or_in_an_address() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        let panic = "Call `panic!` where the `?` operator does not help.";
        check(&format!("{panic} It ends."), &[panic, "It ends."]);
        check(
            "See https://a.b/c?d=e! Yes.",
            &["See https://a.b/c?d=e!", "Yes."],
        );
        check("[!note] Mind the gap.", &["[!note] Mind the gap."]);
        check("Really? Yes! No.", &["Really?", "Yes!", "No."]);
        check(
            "A tick ` is no code. It stays.",
            &["A tick ` is no code.", "It stays."],
        );
        check(
            "Use ``a ` b. C`` here. Yes.",
            &["Use ``a ` b. C`` here.", "Yes."],
        );
        check("`ü! ä. Ö` is. So.", &["`ü! ä. Ö` is.", "So."]);
    }

    #[test]
    fn code_between_fences_is_not_prose() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        let script =
            "Run this:\n```sh\n# all of them\nls. -a\n\n- x\n  y\n```\nThis is it. Really.";
        let expected = [
            "Run this:",
            "# all of them\nls. -a",
            "- x\n  y",
            "This is it.",
            "Really.",
        ];
        check(script, &expected);
        check("~~~\na\n```\nb\n~~~~\nc", &["a\n```\nb", "c"]);
        // A passage that begins, or ends, within code.
        check(
            "    a. b\n```\n\nProse. More.",
            &["    a. b", "Prose.", "More."],
        );
        check("Prose.\n```\na. b", &["Prose.", "a. b"]);
        check(
            "```code``` in a line. Yes.",
            &["```code``` in a line.", "Yes."],
        );
        check(
            "A title\n~~~~~~~\n\nIt is so. Yes.",
            &["A title", "It is so.", "Yes."],
        );
        check("FAQ\n~~~\n\nYes. No.\n", &["FAQ", "Yes.", "No."]);
        check(
            "Yes.\n\n- ```sh\n  a. b\n  ```\n- c",
            &["Yes.", "  a. b", "- c"],
        );
        check("> ```sh\n> a. b\n> ```\n> c", &["> a. b", "> c"]);
        let cut = "a. b\n```\nThen. Run:\n```sh\nls\n```\nDone.";
        check(cut, &["a. b", "Then.", "Run:", "ls", "Done."]);
        let long = "x\n".repeat(CODE_LINES + 1);
        let ten = "x\n".repeat(CODE_LINES);
        let long = format!("```\n{long}```\n");
        check(&long, &[ten.trim_end(), "x"]);
        let spans = sentences(&long);
        let code = Code::of(&long);
        assert!(code.goes_on(spans[0].end) && !code.goes_on(spans[1].end));
        check("```\n```\nEmpty. So.", &["Empty.", "So."]);
    }

    #[test]
    fn code_is_read_with_the_line_that_leads_into_it() {
        let text = "Old.\n\nTo list them:\n\n```\nls -a\n```\n\nNext:\n- item:\n\n`ls **`\n";
        let spans = sentences(text);
        let shown = |span: Option<Range<usize>>| span.map(|span| &text[span]);
        let check = |at: usize, before: Option<&str>, behind: Option<&str>| {
            let (found_before, found_behind) = partners(text, &spans[at]);
            assert_eq!((shown(found_before), shown(found_behind)), (before, behind));
        };
        check(0, None, None);
        check(1, None, Some("ls -a"));
        check(2, Some("To list them:"), None);
        check(3, None, None);
        check(4, None, Some("`ls **`"));
        check(5, Some("- item:"), None);
    }

    #[test]
    fn lists_are_found_with_what_leads_into_them() {
        let check = |text: &str, expected: &[(Option<&str>, &[&str])]| {
            let found = lists(text);
            let found: Vec<(Option<&str>, Vec<&str>)> = found
                .into_iter()
                .map(|list| {
                    let lead_in = list.lead_in.map(|span| &text[span]);
                    let sentences = list.sentences.into_iter().map(|span| &text[span]);
                    (lead_in, sentences.collect())
                })
                .collect();
            let expected: Vec<(Option<&str>, Vec<&str>)> = expected
                .iter()
                .map(|(lead_in, sentences)| (*lead_in, sentences.to_vec()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "Hold the button, then:\n\n1. Wait. It blinks.\n2. Let go.\n\nThe lamp is red.",
            &[(
                Some("Hold the button, then:"),
                &["1. Wait.", "It blinks.", "2. Let go."],
            )],
        );
        check("# Pack\n- one\n\n- two\n", &[(None, &["- one", "- two"])]);
        check(
            "To reset it\n- a\n- b",
            &[(Some("To reset it"), &["- a", "- b"])],
        );
        check("The shed is old.\n\n- one thing\n", &[]);
        check("- a:\n\n`b`\n\n- c:\n\n```\nd\n```\n", &[]);
        check(
            "1. Run:\n   ```\n   a\n   ```\n2. Wait.",
            &[(None, &["1. Run:", "   a", "2. Wait."])],
        );
        check(
            "1. Run:\n   ```\n   a\n   ```\n   It is slow.\n2. Wait.",
            &[(None, &["1. Run:", "   a", "It is slow.", "2. Wait."])],
        );
    }

    #[test]
    fn a_long_list_is_quoted_in_part() {
        let text = "- a b\n- c d\n- e f\n- g h\n";
        let list = lists(text).remove(0);
        let check = |first: usize, words: usize, expected: Range<usize>| {
            assert_eq!(
                part_of_list(text, &list, first, words),
                expected,
                "{first} {words}"
            );
        };
        check(0, 100, 0..4);
        check(0, 6, 0..2);
        check(1, 6, 0..2);
        check(3, 6, 3..4);
        check(2, 0, 2..3);
    }
}
