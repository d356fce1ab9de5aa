//! Paragraphs and tables of an office document under way, and how their runs look.
//!
//! What stands raised is told from what it stands behind; what is hidden is not read.

use super::numbering::{InList, lead_of};
use crate::extract::pen::{Pen, one_line};

/// How a run of text looks, as far as that changes what it says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// It stands above the line.
    pub(super) raised: bool,
    /// Nobody sees it.
    pub(super) hidden: bool,
}

/// Paragraphs and tables under way. Paragraphs may lie in paragraphs (text boxes), tables in cells.
#[derive(Default)]
pub(super) struct Paragraphs {
    pub(super) open: Vec<Paragraph>,
    pub(super) rows: Vec<Row>,
    /// Elements around whose text is not read.
    pub(super) silent: usize,
    /// Comments around.
    pub(super) comments: usize,
    /// The looks of the runs around.
    pub(super) looks: Vec<Look>,
    pub(super) in_text: bool,
    pub(super) list: usize,
    /// What stands before and behind the groups in brackets of a formula under way.
    pub(super) brackets: Vec<[String; 2]>,
}

/// A row of a table.
#[derive(Default)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// Nobody sees it.
    pub(super) hidden: bool,
}

#[derive(Default)]
pub(super) struct Paragraph {
    text: String,
    /// What stands raised behind the text.
    raised: String,
    /// How many looks were there before it began.
    looks: usize,
    /// Where in the text the groups of a formula under way begin.
    groups: Vec<usize>,
    pub(super) level: Option<u8>,
    pub(super) item: bool,
    /// Where in a list it says it is.
    pub(super) place: InList,
    /// Its style.
    pub(super) style: String,
    /// What stands before it in its list, where that is a number.
    pub(super) number: Option<String>,
    /// Nobody sees its runs, but for those that say otherwise.
    pub(super) hidden: bool,
}

impl Paragraph {
    /// Writes what stood raised.
    fn lower(&mut self) {
        if !self.raised.is_empty() {
            push_raised(&mut self.text, &self.raised);
            self.raised.clear();
        }
    }

    /// Does it say anything?
    pub(super) fn says(&self) -> bool {
        !self.text.trim().is_empty() || !self.raised.trim().is_empty()
    }

    /// Its text behind its number.
    fn numbered(&self) -> String {
        match &self.number {
            Some(number) => format!("{number} {}", self.text.trim_start()),
            None => self.text.clone(),
        }
    }
}

/// Writes what stands raised behind a text so that it is no part of the number or the word before it:
/// `10^6`, `m²`, `Novak¹`. A mark behind the end of a sentence is put into brackets, letters (`1st`)
/// are written as they are.
pub(in crate::extract) fn push_raised(text: &mut String, raised: &str) {
    /// Superscripts that Unicode has.
    const SUPERSCRIPTS: [(char, char); 14] = [
        ('0', '⁰'),
        ('1', '¹'),
        ('2', '²'),
        ('3', '³'),
        ('4', '⁴'),
        ('5', '⁵'),
        ('6', '⁶'),
        ('7', '⁷'),
        ('8', '⁸'),
        ('9', '⁹'),
        ('+', '⁺'),
        ('-', '⁻'),
        ('−', '⁻'),
        ('n', 'ⁿ'),
    ];
    let mark = raised.trim();
    if mark.is_empty() {
        text.push_str(raised);
        return;
    }
    let above = |c: char| SUPERSCRIPTS.iter().find(|(plain, _)| *plain == c);
    let marks = mark.chars().map(|c| above(c).map(|(_, above)| *above));
    let marks: Option<String> = marks.collect();
    let (lead, rest) = raised.split_at(raised.len() - raised.trim_start().len());
    let before = text.chars().next_back().filter(|_| lead.is_empty());
    let digits = mark.starts_with(|c: char| c.is_ascii_digit());
    let number = before.is_some_and(|c| c.is_numeric() || matches!(c, ')' | ']'));
    text.push_str(lead);
    match (marks, before) {
        // Search takes the raised digits of Unicode for digits: `10⁶` would be 106 to it.
        (marks, _) if number && (digits || marks.is_some()) => {
            text.push('^');
            text.push_str(&mark.replace('−', "-"));
        }
        (Some(marks), None) => text.push_str(&marks),
        (Some(marks), Some(c)) if c.is_alphanumeric() || c.is_whitespace() => {
            text.push_str(&marks);
        }
        (_, Some(c)) if digits && !c.is_whitespace() => text.push_str(&format!("[{mark}]")),
        _ => text.push_str(mark),
    }
    text.push_str(&rest[mark.len()..]);
}

impl Paragraphs {
    pub(super) fn begin_paragraph(&mut self) {
        self.open.push(Paragraph {
            item: self.list > 0,
            looks: self.looks.len(),
            ..Paragraph::default()
        });
        // A note or a text box does not look as the run that holds it.
        self.looks.push(Look::default());
    }

    /// Ends a paragraph that is not to be shown.
    pub(super) fn drop_paragraph(&mut self) {
        if let Some(paragraph) = self.open.pop() {
            self.looks.truncate(paragraph.looks);
        }
    }

    pub(super) fn end_paragraph(&mut self, pen: &mut Pen) {
        let Some(mut paragraph) = self.open.pop() else {
            return;
        };
        paragraph.lower();
        self.looks.truncate(paragraph.looks);
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.cells.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&one_line(&paragraph.numbered()));
            return;
        }
        if paragraph.text.trim().is_empty() {
            return;
        }
        let text = paragraph.numbered();
        match (paragraph.level, &paragraph.number) {
            (Some(level), _) => pen.heading(level, &text),
            (None, Some(number)) => pen.item(&format!("{}{text}", lead_of(number))),
            (None, None) if paragraph.item => pen.item(&format!("- {}", text.trim())),
            (None, None) => pen.paragraph(&text),
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        let look = self.looks.last().copied().unwrap_or_default();
        if self.silent > 0 || look.hidden {
            return;
        }
        let Some(paragraph) = self.open.last_mut() else {
            return;
        };
        if look.raised {
            paragraph.raised.push_str(text);
        } else {
            paragraph.lower();
            paragraph.text.push_str(text);
        }
    }

    pub(super) fn begin_run(&mut self) {
        self.looks.push(Look {
            hidden: self.open.last().is_some_and(|paragraph| paragraph.hidden),
            ..Look::default()
        });
    }

    pub(super) fn end_run(&mut self) {
        let least = self.open.last().map_or(0, |paragraph| paragraph.looks + 1);
        if self.looks.len() > least {
            self.looks.pop();
        }
    }

    /// What follows is one of the parts of a formula.
    pub(super) fn begin_group(&mut self) {
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.lower();
            paragraph.groups.push(paragraph.text.len());
        }
    }

    /// Takes back what was pushed since the group began.
    pub(super) fn end_group(&mut self) -> String {
        let group = self.open.last_mut().and_then(|paragraph| {
            let start = paragraph.groups.pop()?;
            paragraph.lower();
            Some(paragraph.text.split_off(start).trim().to_owned())
        });
        group.unwrap_or_default()
    }

    pub(super) fn ends_with_digit(&self) -> bool {
        let paragraph = self.open.last();
        paragraph.is_some_and(|paragraph| paragraph.text.ends_with(|c: char| c.is_ascii_digit()))
    }

    pub(super) fn begin_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.cells.push(String::new());
        }
    }

    pub(super) fn end_row(&mut self, pen: &mut Pen) {
        let Some(row) = self.rows.pop() else {
            return;
        };
        if row.hidden || row.cells.iter().all(|cell| cell.trim().is_empty()) {
            return;
        }
        let line = row.cells.join(" | ");
        match self
            .rows
            .last_mut()
            .and_then(|outer| outer.cells.last_mut())
        {
            Some(cell) => {
                cell.push(' ');
                cell.push_str(&line);
            }
            None => pen.table_row(&line),
        }
    }

    pub(super) fn end(mut self, pen: &mut Pen) {
        while !self.open.is_empty() {
            self.end_paragraph(pen);
        }
        while !self.rows.is_empty() {
            self.end_row(pen);
        }
    }
}

/// Does what is so high, in percent or in their thousandths, stand above the line?
pub(super) fn is_above(height: &str) -> bool {
    let height = height.trim_end_matches('%').parse::<f32>();
    height.is_ok_and(|height| height > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_raised_is_no_part_of_what_is_before_it() {
        let check = |before: &str, raised: &str, expected: &str| {
            let mut text = before.to_owned();
            push_raised(&mut text, raised);
            assert_eq!(text, expected, "{before}{raised}");
        };
        check("10", "6", "10^6");
        check("10", "−6", "10^-6");
        check("(a+b)", "2", "(a+b)^2");
        check("40 m", "3", "40 m³");
        check("10 s", "-1 ", "10 s⁻¹ ");
        check("", "14", "¹⁴");
        check("1", "st", "1st");
        check("Coho", "TM", "CohoTM");
        // Marks of notes.
        check("in 2031", "1", "in 2031^1");
        check("in 2031", "1,2", "in 2031^1,2");
        check("Novak", "1", "Novak¹");
        check("Novak", "1,2", "Novak[1,2]");
        check("in 2031.", "1", "in 2031.[1]");
        check("a", " ", "a ");
        check("by Novak", " 1", "by Novak ¹");
    }
}
