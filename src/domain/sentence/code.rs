//! Code in notes: between fences, or between backticks in a line, and the line that leads into it.

use std::ops::Range;

use super::lines::is_heading;
use super::{ends_with_stop, is_question, sentences};
use crate::domain::text::Text;

/// Lines of code that are one sentence, at most.
pub(super) const CODE_LINES: usize = 10;

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
    pub(super) blocks: Vec<Range<usize>>,
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
pub(super) fn fence(line: &str) -> Option<(&str, bool)> {
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

#[cfg(test)]
mod tests {
    use super::super::tests::split;
    use super::*;

    #[test]
    fn places_in_code_are_told_from_others() {
        let text = "Use `a[1]`, see [1].\n```\nb[1]\n```\n[1]";
        let code = Code::of(text);
        let holds = text.match_indices("[1]").map(|(at, _)| code.holds(at));
        assert_eq!(holds.collect::<Vec<_>>(), [true, false, true, false]);
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
}
