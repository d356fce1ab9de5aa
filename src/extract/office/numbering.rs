//! Numbers of lists in Word documents and on slides, which nobody typed: "see step 3" needs them.
//!
//! A paragraph names a number, which is of a list; what its levels look like is said of the list, and may
//! be said otherwise of the number. Lists count on from one number to the next (17.9 of ECMA-376-1).

use std::collections::{HashMap, HashSet};
use std::mem::take;

use crate::extract::Skip;
use crate::extract::xml::{Attributes, Node, walk};

/// Levels of a list.
const LEVELS: usize = 9;

/// Signs of what is written around a number, at most.
const LONGEST: usize = 64;

/// Where in a list something says it is.
#[derive(Clone, Default)]
pub(super) struct InList {
    /// A number, by its id.
    pub(super) list: Option<String>,
    /// The level, counted from 0.
    pub(super) depth: Option<usize>,
}

impl InList {
    /// Takes in one of the properties that say it.
    pub(super) fn take_in(&mut self, property: &str, attributes: &Attributes<'_>) {
        let value = attributes.get("val");
        match property {
            "numId" => self.list = value,
            "ilvl" => self.depth = value.and_then(|depth| depth.parse().ok()),
            _ => {}
        }
    }
}

/// The lists of a document, and how far they have counted.
#[derive(Default)]
pub(super) struct Numbering {
    lists: HashMap<String, Definition>,
    numbers: HashMap<String, Definition>,
    /// The last count of each level, by list.
    counted: HashMap<String, [Option<u32>; LEVELS]>,
    /// Numbers that were met.
    begun: HashSet<String>,
}

/// What is said of a list, or of a number.
#[derive(Default)]
struct Definition {
    /// The list that a number is of.
    list: String,
    /// The style that a list is known by.
    name: Option<String>,
    /// The style that the list has, which says what this one does not.
    other: Option<String>,
    levels: [Option<Level>; LEVELS],
    /// What a number begins with, where the list does not count on.
    starts: [Option<u32>; LEVELS],
}

#[derive(Default)]
struct Level {
    start: Option<u32>,
    format: String,
    /// `%1.%2)`.
    text: String,
    /// Paragraphs of this style are of this level.
    style: Option<String>,
    /// All parts of it are figures.
    is_legal: bool,
    /// It counts on whatever stands between.
    counts_on: bool,
}

impl Definition {
    fn visit(&mut self, name: &str, attributes: &Attributes<'_>, level: &mut usize) {
        match name {
            "lvl" | "lvlOverride" => {
                let index = attributes.get("ilvl").and_then(|index| index.parse().ok());
                *level = index.unwrap_or(LEVELS);
                if name == "lvl"
                    && let Some(open) = self.levels.get_mut(*level)
                {
                    *open = Some(Level::default());
                }
            }
            "abstractNumId" => self.list = attributes.get("val").unwrap_or_default(),
            "styleLink" => self.name = attributes.get("val"),
            "numStyleLink" => self.other = attributes.get("val"),
            "startOverride" => {
                if let Some(start) = self.starts.get_mut(*level) {
                    *start = count(attributes);
                }
            }
            _ => {
                if let Some(Some(open)) = self.levels.get_mut(*level) {
                    open.visit(name, attributes);
                }
            }
        }
    }
}

impl Level {
    fn visit(&mut self, name: &str, attributes: &Attributes<'_>) {
        let value = || attributes.get("val").unwrap_or_default();
        match name {
            "start" => self.start = count(attributes),
            "numFmt" => self.format = value(),
            "lvlText" => self.text = value().chars().take(LONGEST).collect(),
            "pStyle" => self.style = Some(value()),
            "isLgl" => self.is_legal = !matches!(value().as_str(), "0" | "false" | "off"),
            "lvlRestart" => self.counts_on = value() == "0",
            _ => {}
        }
    }
}

fn count(attributes: &Attributes<'_>) -> Option<u32> {
    attributes.get("val")?.parse().ok()
}

impl Numbering {
    /// What `numbering.xml` says.
    ///
    /// # Errors
    /// [`Skip`] for what is no XML.
    pub(super) fn read(xml: &str) -> Result<Self, Skip> {
        let mut numbering = Self::default();
        let mut open = Definition::default();
        let mut id = String::new();
        let mut level = LEVELS;
        walk(xml, |node| match node {
            Node::Open(name @ ("abstractNum" | "num"), attributes) => {
                let number = if name == "num" {
                    "numId"
                } else {
                    "abstractNumId"
                };
                id = attributes.get(number).unwrap_or_default();
                open = Definition::default();
                level = LEVELS;
            }
            Node::Close("abstractNum") => {
                numbering.lists.insert(take(&mut id), take(&mut open));
            }
            Node::Close("num") => {
                numbering.numbers.insert(take(&mut id), take(&mut open));
            }
            Node::Open(name, attributes) => open.visit(name, &attributes, &mut level),
            _ => {}
        })?;
        let mut named: HashMap<String, String> = HashMap::new();
        for (id, list) in &numbering.lists {
            if let Some(name) = &list.name {
                named.insert(name.clone(), id.clone());
            }
        }
        for number in numbering.numbers.values_mut() {
            let list = numbering.lists.get(&number.list);
            let other = list.and_then(|list| named.get(list.other.as_ref()?));
            if let Some(other) = other {
                number.list.clone_from(other);
            }
        }
        Ok(numbering)
    }

    /// The level that paragraphs of a style have under a number.
    pub(super) fn level_of(&self, number: &str, style: &str) -> Option<usize> {
        let list = self.lists.get(&self.numbers.get(number)?.list)?;
        list.levels.iter().position(|level| {
            let named = level.as_ref().and_then(|level| level.style.as_deref());
            named == Some(style)
        })
    }

    /// What stands before the next paragraph of a number on a level, counted from 0; `None` where it is
    /// a mark or nothing.
    pub(super) fn next_of(&mut self, number: &str, level: usize) -> Option<String> {
        let own = self.numbers.get(number)?;
        let list = self.lists.get(&own.list)?;
        let of = |at: usize| {
            own.levels
                .get(at)?
                .as_ref()
                .or(list.levels.get(at)?.as_ref())
        };
        let start = |at: usize| {
            let own = own.starts.get(at).copied().flatten();
            let start = own.or_else(|| of(at)?.start);
            start.unwrap_or(1)
        };
        let shown = of(level)?;
        let counted = self.counted.entry(own.list.clone()).or_default();
        if self.begun.insert(number.to_owned()) {
            for (count, start) in counted.iter_mut().zip(own.starts) {
                *count = count.filter(|_| start.is_none());
            }
        }
        for (at, count) in counted.iter_mut().enumerate() {
            if at < level {
                count.get_or_insert_with(|| start(at));
            } else if at == level {
                let next = count.map_or_else(|| start(at), |count| count.saturating_add(1));
                *count = Some(next);
            } else if of(at).is_none_or(|level| !level.counts_on) {
                *count = None;
            }
        }
        if shown.format == "bullet" {
            return None;
        }
        let mut parts = shown.text.split('%');
        let mut written = parts.next().unwrap_or("").to_owned();
        for part in parts {
            let mut rest = part.chars();
            let digit = rest.next().and_then(|sign| sign.to_digit(10));
            let at = digit.and_then(|digit| usize::try_from(digit).ok()?.checked_sub(1));
            let count = at.and_then(|at| counted.get(at).copied().flatten());
            let (Some(at), Some(count)) = (at, count) else {
                written.push('%');
                written.push_str(part);
                continue;
            };
            let format = of(at).map_or("", |level| level.format.as_str());
            let format = if shown.is_legal { "decimal" } else { format };
            written.push_str(&figure(count, format));
            written.push_str(rest.as_str());
        }
        let written = written.trim();
        let says = written.contains(char::is_alphanumeric);
        says.then(|| written.to_owned())
    }
}

/// How far the numbered paragraphs of a shape on a slide have counted, by level.
#[derive(Default)]
pub(super) struct Counts([Option<(String, u32)>; LEVELS]);

impl Counts {
    /// What stands before the next paragraph on a level, counted from 0, that is numbered in this way from
    /// this number on, or not at all.
    pub(super) fn next_of(&mut self, level: usize, way: Option<(String, u32)>) -> Option<String> {
        let level = level.min(LEVELS - 1);
        for deeper in self.0.iter_mut().skip(level + 1) {
            *deeper = None;
        }
        let last = take(&mut self.0[level]);
        let (kind, start) = way?;
        let count = match last {
            Some((same, count)) if same == kind => count.saturating_add(1),
            _ => start,
        };
        let format = match kind.get(..7) {
            Some("alphaLc") => "lowerLetter",
            Some("alphaUc") => "upperLetter",
            Some("romanLc") => "lowerRoman",
            Some("romanUc") => "upperRoman",
            _ => "decimal",
        };
        let number = figure(count, format);
        let written = if kind.ends_with("ParenBoth") {
            format!("({number})")
        } else if kind.ends_with("ParenR") {
            format!("{number})")
        } else if kind.ends_with("Plain") {
            number
        } else {
            format!("{number}.")
        };
        self.0[level] = Some((kind, count));
        Some(written)
    }
}

/// A count as a format of Word writes it; formats of other languages and in words are figures here.
pub(in crate::extract) fn figure(count: u32, format: &str) -> String {
    let lower = match format {
        "lowerLetter" | "upperLetter" => letters(count),
        "lowerRoman" | "upperRoman" => roman(count),
        "decimalZero" => format!("{count:02}"),
        "ordinal" => ordinal(count),
        "none" | "bullet" => String::new(),
        _ => count.to_string(),
    };
    if format.starts_with("upper") {
        lower.to_uppercase()
    } else {
        lower
    }
}

/// What stands before a number at the beginning of an item: only figures with one sign behind them tell by
/// themselves, where the text is cut into sentences, that one begins.
pub(in crate::extract) fn lead_of(number: &str) -> &'static str {
    let sign = number.trim_start_matches(|c: char| c.is_ascii_digit());
    let tells = sign.len() < number.len() && matches!(sign, "." | ")");
    if tells { "" } else { "- " }
}

/// `a` to `z`, `aa`, `bb` and so on.
fn letters(count: u32) -> String {
    /// How often a letter is written, at most.
    const MOST: u32 = 30;
    let Some(index) = count.checked_sub(1).filter(|index| *index < 26 * MOST) else {
        return count.to_string();
    };
    let letter = ('a'..='z').nth((index % 26) as usize).unwrap_or('a');
    letter.to_string().repeat((index / 26 + 1) as usize)
}

fn roman(count: u32) -> String {
    const SIGNS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    if !(1..4000).contains(&count) {
        return count.to_string();
    }
    let mut left = count;
    let mut written = String::new();
    for (worth, sign) in SIGNS {
        while left >= worth {
            written.push_str(sign);
            left -= worth;
        }
    }
    written
}

/// `1st`.
fn ordinal(count: u32) -> String {
    let ending = match (count % 10, count % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{count}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_the_format_says() {
        for (count, format, expected) in [
            (3, "decimal", "3"),
            (3, "decimalZero", "03"),
            (3, "lowerLetter", "c"),
            (28, "upperLetter", "BB"),
            (2024, "upperRoman", "MMXXIV"),
            (4, "lowerRoman", "iv"),
            (22, "ordinal", "22nd"),
            (12, "ordinal", "12th"),
            (7, "chineseCounting", "7"),
            // Of a hostile file.
            (u32::MAX, "lowerLetter", "4294967295"),
            (0, "lowerRoman", "0"),
        ] {
            assert_eq!(figure(count, format), expected, "{count} {format}");
        }
    }

    #[test]
    fn what_tells_of_no_item_has_a_dash() {
        for (number, expected) in [
            ("1.", ""),
            ("12)", ""),
            ("1", "- "),
            ("1.2", "- "),
            ("a)", "- "),
            ("(1)", "- "),
            ("Step A:", "- "),
            (".", "- "),
        ] {
            assert_eq!(lead_of(number), expected, "{number}");
        }
    }

    fn level(index: usize, format: &str, text: &str) -> String {
        format!(
            "<lvl ilvl='{index}'><start val='1'/><numFmt val='{format}'/><lvlText val='{text}'/></lvl>"
        )
    }

    #[test]
    fn lists_count_by_their_levels() {
        let list = |levels: &str| {
            format!(
                "<numbering><abstractNum abstractNumId='7'>{levels}</abstractNum>\
                 <num numId='1'><abstractNumId val='7'/></num>\
                 <num numId='2'><abstractNumId val='7'/><lvlOverride ilvl='0'>\
                 <startOverride val='5'/></lvlOverride></num></numbering>"
            )
        };
        let levels = [
            level(0, "decimal", "%1."),
            level(1, "lowerLetter", "%2)"),
            level(2, "lowerRoman", "%1.%2.%3"),
            level(3, "bullet", "o"),
        ];
        let mut numbering = Numbering::read(&list(&levels.concat())).unwrap();
        let steps = [
            ("1", 0, Some("1.")),
            ("1", 0, Some("2.")),
            ("1", 1, Some("a)")),
            ("1", 1, Some("b)")),
            ("1", 2, Some("2.b.i")),
            ("1", 3, None),
            ("1", 0, Some("3.")),
            ("1", 1, Some("a)")),
            ("2", 0, Some("5.")),
            ("2", 0, Some("6.")),
            ("1", 0, Some("7.")),
            ("9", 0, None),
            ("1", 99, None),
        ];
        for (number, level, expected) in steps {
            let found = numbering.next_of(number, level);
            assert_eq!(found.as_deref(), expected, "{number} {level}");
        }
    }

    #[test]
    fn slides_count_by_level_and_by_the_way_of_numbering() {
        let mut counts = Counts::default();
        for (level, kind, start, expected) in [
            (0, "arabicPeriod", 1, Some("1.")),
            (0, "arabicPeriod", 1, Some("2.")),
            (1, "alphaLcParenR", 1, Some("a)")),
            (1, "alphaLcParenR", 1, Some("b)")),
            (0, "arabicPeriod", 1, Some("3.")),
            (1, "alphaLcParenR", 1, Some("a)")),
            (0, "romanUcParenBoth", 4, Some("(IV)")),
            (0, "", 1, None),
            (0, "arabicPlain", 7, Some("7")),
            (99, "arabicPeriod", 1, Some("1.")),
        ] {
            let way = (!kind.is_empty()).then(|| (kind.to_owned(), start));
            let found = counts.next_of(level, way);
            assert_eq!(found.as_deref(), expected, "{level} {kind}");
        }
    }

    #[test]
    fn a_list_may_be_that_of_a_style() {
        let xml = format!(
            "<numbering><abstractNum abstractNumId='1'><numStyleLink val='Steps'/></abstractNum>\
             <abstractNum abstractNumId='2'><styleLink val='Steps'/>{}</abstractNum>\
             <num numId='1'><abstractNumId val='1'/></num></numbering>",
            level(0, "upperLetter", "Step %1:").replace("<start", "<pStyle val='S'/><start")
        );
        let mut numbering = Numbering::read(&xml).unwrap();
        assert_eq!(numbering.level_of("1", "S"), Some(0));
        assert_eq!(numbering.level_of("1", "T"), None);
        assert_eq!(numbering.next_of("1", 0).as_deref(), Some("Step A:"));
        assert!(Numbering::read("").unwrap().next_of("1", 0).is_none());
    }
}
