//! Where in its passage a sentence stands, and what belongs to it there: the heading and the head of
//! the table above it, the line that opens its list, whom it means by "she".

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::gate::is_sentence;
use super::language::STOP_WORDS;
use super::sentence::code::Code;
use super::sentence::lines::{heading_at, is_heading, is_item, is_row};
use super::sentence::{ends_with_stop, is_question, sentences, unmarked};
use super::text::Text;
use super::words::as_read;

/// What a sentence stands under within its passage.
///
/// The headings above a passage are known with it; those within are told here. A sentence by itself,
/// as a knowledge unit keeps it, means what it says only under them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings<'a> {
    /// Headings of the passage, outermost first, each with its level.
    headings: Vec<(usize, &'a str)>,
    /// Are they below the headings that stand above the passage? Not known where it does not begin
    /// with a heading.
    is_below: bool,
    /// The head of its table, or the line that opens its list.
    lead: &'a str,
}

impl<'a> Surroundings<'a> {
    /// Those of the sentence that holds the byte at `at` of a passage.
    pub fn of(text: impl Into<Text<'a>>, at: usize) -> Self {
        let read = text.into();
        let text = read.as_str();
        if read.is_code() {
            return Self::in_code(text, at);
        }
        let matter = front_matter_end(text);
        let code = Code::of(read);
        let mut reading = Reading::default();
        let mut found = Self::default();
        let mut first = None;
        for (n, span) in sentences(read.part(matter..text.len()))
            .into_iter()
            .enumerate()
        {
            let span = span.start + matter..span.end + matter;
            if span.start > at {
                break;
            }
            let sentence = &text[span.clone()];
            if code.is(&span) {
                reading.go_to_code(sentence, &span);
                continue;
            }
            reading.go_to(text, &span);
            let heading = heading_at(text, &span).filter(|_| span.end <= at);
            let Some((level, heading)) = heading else {
                continue;
            };
            if n == 0 {
                first = Some(level);
            }
            found.headings.retain(|(above, _)| *above < level);
            found.headings.push((level, heading));
        }
        let outermost = found.headings.first().map(|(level, _)| *level);
        found.is_below = first.is_some_and(|first| outermost >= Some(first));
        found.lead = reading.lead();
        found
    }

    /// Those of source code: the definitions that it stands in, each with its indentation for a level.
    fn in_code(text: &'a str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let (above, own) = text.split_at(before.rfind('\n').map_or(0, |end| end + 1));
        let is_written = |line: &&str| !line.trim().is_empty();
        let mut depth = own.lines().find(is_written).map_or(0, indentation);
        let mut headings = Vec::new();
        for line in above.lines().rev().filter(|line| opens_block(line)) {
            let outside = indentation(line);
            if outside < depth {
                depth = outside;
                headings.extend(defined(line).map(|name| (outside, name)));
            }
        }
        headings.reverse();
        let first = text.lines().find(is_written).map(indentation);
        let outermost = headings.first().map(|(level, _)| *level);
        Self {
            is_below: first.is_some_and(|first| outermost >= Some(first)),
            headings,
            lead: "",
        }
    }

    /// Those of a sentence in every place where a passage holds it.
    pub fn of_sentence(text: impl Into<Text<'a>>, sentence: &str) -> Vec<Self> {
        let read = text.into();
        let text = read.as_str();
        let spans = sentences(read).into_iter();
        let whole = spans.filter(|span| is_sentence(&text[span.clone()], sentence));
        let mut places: Vec<usize> = whole.map(|span| span.start).collect();
        if places.is_empty() {
            // Several sentences, or a part of one.
            places.extend(text.match_indices(sentence).map(|(at, _)| at));
        }
        places.into_iter().map(|at| Self::of(read, at)).collect()
    }

    /// All headings above the sentence, outermost first; `above` stands above its passage.
    pub fn heading(&self, above: Option<&str>) -> Option<String> {
        let within: Vec<&str> = self.headings.iter().map(|(_, heading)| *heading).collect();
        match above {
            _ if within.is_empty() => above.map(str::to_owned),
            Some(above) if self.is_below => Some(format!("{above} > {}", within.join(" > "))),
            _ => Some(within.join(" > ")),
        }
    }

    /// The head of its table, or the line that opens its list, without marks.
    pub fn lead(&self) -> Option<&'a str> {
        let marks = |c: char| c.is_whitespace() || "|:*#>-".contains(c);
        Some(self.lead.trim_matches(marks)).filter(|lead| !lead.is_empty())
    }

    /// The head of the Markdown table that the sentence is a row of, as it is written.
    pub fn table_header(&self) -> Option<&'a str> {
        Some(self.lead).filter(|lead| lead.starts_with('|'))
    }

    /// What the sentence stands under within its passage: its innermost heading, and its lead.
    pub fn within(&self) -> Option<String> {
        let heading = self.headings.last().map(|(_, heading)| *heading);
        let parts: Vec<&str> = heading.into_iter().chain(self.lead()).collect();
        (!parts.is_empty()).then(|| parts.join(" > "))
    }
}

/// Bytes of the blanks before a line of code.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// May a line of code open what stands further in below it? Comments, attributes and labels may stand
/// anywhere, and a brace below the line that it belongs to.
fn opens_block(line: &str) -> bool {
    const ALONE: [&str; 4] = ["public:", "private:", "protected:", "{"];
    const MARKS: [&str; 4] = ["#", "//", "/*", "*"];
    let line = line.trim();
    let is_mark = MARKS.iter().any(|mark| line.starts_with(mark));
    !line.is_empty() && !is_mark && !ALONE.contains(&line)
}

/// The name of what a line of code defines, where a word says that it does.
fn defined(line: &str) -> Option<&str> {
    const DEFINING: [&str; 14] = [
        "class",
        "struct",
        "enum",
        "trait",
        "interface",
        "impl",
        "module",
        "mod",
        "namespace",
        "record",
        "def",
        "fn",
        "func",
        "function",
    ];
    const BEFORE: [&str; 15] = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "public",
        "private",
        "protected",
        "internal",
        "export",
        "default",
        "abstract",
        "static",
        "final",
        "sealed",
        "async",
        "unsafe",
    ];
    let mut words = line.split_whitespace().skip_while(|w| BEFORE.contains(w));
    words.next().filter(|word| DEFINING.contains(word))?;
    let rest: Vec<&str> = words.filter(|word| !DEFINING.contains(word)).collect();
    // `impl Display for Lamp` is of Lamp.
    let name = match rest.as_slice() {
        [_, "for", name, ..] | [name, ..] => *name,
        [] => return None,
    };
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    name.split(ends).next().filter(|name| !name.is_empty())
}

/// What stands around the sentence that is read, and belongs to it.
#[derive(Default)]
pub(super) struct Reading<'a> {
    pub(super) heading: &'a str,
    /// Is the sentence that heading?
    pub(super) is_heading: bool,
    table_header: &'a str,
    /// The line that opened a list: "Members:".
    lead_in: &'a str,
    /// Is the sentence the first item of a list that a line opened?
    pub(super) is_led_in: bool,
    /// Items of the list that is read, and where that begins and ends.
    items: Vec<&'a str>,
    list: Range<usize>,
    pub(super) in_list: bool,
    /// The sentence before, of the same paragraph.
    before: &'a str,
    /// Whom the paragraph speaks of.
    subject: &'a str,
    /// Its first line, and whether the sentence is another line of such a paragraph without stops.
    opening: &'a str,
    is_line: bool,
    /// Does the sentence open with a pronoun that means somebody of the sentence before?
    points: bool,
    /// The sentence above the code that is read.
    above: &'a str,
    is_code: bool,
    /// The sentence itself.
    sentence: &'a str,
    at: Range<usize>,
}

impl<'a> Reading<'a> {
    pub(super) fn go_to(&mut self, text: &'a str, span: &Range<usize>) {
        let sentence = &text[span.clone()];
        let item = is_item(sentence);
        let between = &text[self.at.end..span.start];
        let apart = self.sentence.is_empty() || between.matches('\n').count() > 1;
        let was_code = std::mem::take(&mut self.is_code);
        let was_heading = self.is_heading;
        let above = was_heading || is_row(self.sentence);
        let follows = !apart && !item && !was_code && !above;
        let last = std::mem::replace(&mut self.sentence, sentence);
        let last_at = std::mem::replace(&mut self.at, span.clone());
        self.is_line = follows && !ends_with_stop(last);
        if !follows {
            self.opening = sentence;
        }
        self.points = follows && opens_with_pronoun(sentence);
        self.before = if follows { last } else { "" };
        if !self.points {
            self.subject = named_first(sentence);
        }
        if !is_row(sentence) {
            self.table_header = "";
        }
        self.is_heading = is_heading(sentence) || heading_at(text, span).is_some();
        if self.is_heading {
            self.heading = sentence;
        }
        if is_table_header(text, span) {
            self.table_header = sentence;
        }
        // A sentence behind an item, in its paragraph, is of that item.
        let goes_on = self.in_list && (item || follows);
        let opens = last.ends_with(':') || is_question(last);
        // A line right above the items opens the list, too, where no stop ends it.
        let right_above = !apart && !unmarked(last).ends_with(['.', '!']) && !is_item(last);
        let leads = (opens || right_above) && !was_code && !was_heading && !is_row(last);
        self.is_led_in = item && !goes_on && leads && opens;
        if item && !goes_on {
            self.lead_in = if leads { last } else { "" };
            self.list = if leads { last_at.start } else { span.start }..span.end;
        }
        self.above = "";
        self.in_list = item || goes_on;
        if item {
            self.items.push(sentence);
        }
        if self.in_list {
            self.list.end = span.end;
        } else if !sentence.ends_with(':') {
            self.lead_in = "";
        }
    }

    /// Goes on to code, which belongs to the sentence above it, and to the item, where it stands in one.
    pub(super) fn go_to_code(&mut self, code: &'a str, span: &Range<usize>) {
        if self.above.is_empty() && !self.is_heading && !self.sentence.starts_with('|') {
            self.above = self.sentence;
        }
        self.sentence = code;
        (self.is_code, self.is_heading) = (true, false);
        self.at = span.clone();
        (self.points, self.is_line, self.is_led_in) = (false, false, false);
        if self.in_list {
            self.list.end = span.end;
        }
    }

    /// The head of the table, or the line that opened the list, that the sentence is in.
    fn lead(&self) -> &'a str {
        match self.table_header {
            _ if self.in_list => self.lead_in,
            header if header == self.sentence => "",
            header => header,
        }
    }

    pub(super) fn around(&self, about: &str) -> String {
        let above = self.above;
        let lead_in = if self.in_list { self.lead_in } else { "" };
        let before = if self.points { self.before } else { "" };
        let opening = if self.is_line { self.opening } else { "" };
        let (heading, header) = (self.heading, self.table_header);
        format!(
            "{about} {heading} {header} {lead_in} {opening} {above} {before} {}",
            self.antecedent()
        )
    }

    pub(super) fn antecedent(&self) -> &'a str {
        if self.points { self.subject } else { "" }
    }

    /// The items of the list that has just ended, and where it stands, with the line that opened it.
    pub(super) fn take_list(&mut self) -> (Vec<&'a str>, Range<usize>) {
        (std::mem::take(&mut self.items), self.list.clone())
    }
}

/// Does a sentence open with a word that stands for somebody or something named before?
pub fn opens_with_pronoun(sentence: &str) -> bool {
    const PRONOUNS: [&str; 27] = [
        "he", "she", "it", "they", "this", "that", "these", "those", "his", "her", "its", "their",
        "er", "sie", "es", "dieser", "diese", "dieses", "sein", "seine", "ihre", "él", "ella",
        "il", "elle", "ils", "elles",
    ];
    const OF_TWO: [&str; 6] = [
        "ersterer",
        "erstere",
        "ersteres",
        "letzterer",
        "letztere",
        "letzteres",
    ];
    let mut words = sentence.unicode_words();
    let first = as_read(words.next().unwrap_or("")).to_lowercase();
    let next: Vec<String> = words.take(2).map(str::to_lowercase).collect();
    PRONOUNS.contains(&first.as_str())
        || OF_TWO.contains(&first.as_str())
        || first == "the" && is_one_of_them(&next, sentence)
}

/// Do the words behind "the" stand for one of those that were named before: "the latter is", "the first
/// one"? The former owner is somebody.
fn is_one_of_them(next: &[String], sentence: &str) -> bool {
    let is = |at: usize, words: &[&str]| {
        let word = next.get(at);
        word.is_some_and(|word| words.contains(&word.as_str()))
    };
    if is(0, &["first", "second", "third", "last", "other"]) {
        return is(1, &["one", "ones"]);
    }
    let lower = sentence.to_lowercase();
    let both = lower.contains("the former") && lower.contains("the latter");
    is(0, &["former", "latter"]) && (both || is(1, STOP_WORDS))
}

/// The name that a sentence opens with: whom a pronoun of the next sentence means, most often.
fn named_first(sentence: &str) -> &str {
    let mut name: Option<Range<usize>> = None;
    for (n, (at, word)) in sentence.unicode_word_indices().enumerate() {
        let capital = word.starts_with(char::is_uppercase);
        let names = capital && !STOP_WORDS.contains(&as_read(word).to_lowercase().as_str());
        match &mut name {
            Some(name) if names => name.end = at + word.len(),
            None if names => name = Some(at..at + word.len()),
            Some(_) => break,
            None if n > 3 => break,
            None => {}
        }
    }
    name.map_or("", |name| &sentence[name])
}

/// Where the front matter of a passage ends: lines of `key: value` between two lines of dashes, or of
/// `key = value` between two of pluses.
pub(super) fn front_matter_end(text: &str) -> usize {
    let fence = text.lines().next().unwrap_or("").trim_end();
    let mark = match fence {
        "---" => ':',
        "+++" => '=',
        _ => return 0,
    };
    let mut position = 0;
    let mut quoted = None;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        position += line.len();
        let ends = line.trim_end() == fence || mark == ':' && line.trim_end() == "...";
        let in_quotes = quoted.is_some();
        if mark == '=' {
            quoted = quoted_behind(line, quoted);
        }
        match n {
            0 => {}
            _ if in_quotes => {}
            _ if ends => return position,
            _ if key_of(line, mark).is_some() || is_below_key(line) => {}
            _ if mark == '=' && line.starts_with(['[', '"', '\'']) => {}
            // Text between two rules.
            _ => return 0,
        }
    }
    0
}

/// The three quotes that text of several lines is left open with behind a line of TOML, `open` before
/// it.
fn quoted_behind(line: &str, mut open: Option<&'static str>) -> Option<&'static str> {
    let mut rest = line;
    loop {
        let next = match open {
            Some(quotes) => rest.find(quotes),
            None => ["\"\"\"", "'''"].iter().filter_map(|q| rest.find(q)).min(),
        };
        let Some(at) = next else {
            return open;
        };
        open = match open {
            Some(_) => None,
            None if rest[at..].starts_with('"') => Some("\"\"\""),
            None => Some("'''"),
        };
        rest = &rest[at + 3..];
    }
}

/// The key of a line of front matter, which `mark` parts from its value.
fn key_of(line: &str, mark: char) -> Option<&str> {
    let (key, value) = line.split_once(mark)?;
    let key = if mark == '=' { key.trim_end() } else { key };
    let is_name = |c: char| c.is_alphanumeric() || " -_./".contains(c);
    let named = key.starts_with(char::is_alphabetic) && key.chars().all(is_name);
    let apart = mark == '=' || value.is_empty() || value.starts_with(char::is_whitespace);
    (named && apart).then_some(key)
}

/// Does a line of front matter belong to the key above it, or say nothing?
fn is_below_key(line: &str) -> bool {
    let blank = line.trim().is_empty();
    blank || line.starts_with([' ', '\t', '#', ']', '}']) || line.starts_with("- ")
}

/// Fields of front matter that state something, each with its key: not what names or sorts the note.
pub(super) fn fields(matter: &str) -> Vec<(Range<usize>, String)> {
    const OF_NOTES: [&str; 14] = [
        "title",
        "alias",
        "aliases",
        "tag",
        "tags",
        "id",
        "uid",
        "cssclass",
        "cssclasses",
        "layout",
        "permalink",
        "publish",
        "draft",
        "kind",
    ];
    let (fence, mark) = if matter.starts_with("+++") {
        ("+++", '=')
    } else {
        ("---", ':')
    };
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    let mut position = 0;
    for line in matter.split_inclusive('\n') {
        let start = position;
        position += line.len();
        let end = start + line.trim_end().len();
        let is_table = mark == '=' && line.starts_with('[');
        if let Some(key) = key_of(line, mark) {
            found.push((start..end, key.replace(['-', '_', '.', '/'], " ")));
        } else if end > start
            && !is_table
            && line.trim_end() != fence
            && let Some((span, _)) = found.last_mut()
        {
            span.end = end;
        }
    }
    found.retain(|(span, key)| {
        let says = matter[span.clone()].split_once(mark);
        let says = says.is_some_and(|(_, value)| value.contains(char::is_alphanumeric));
        says && !OF_NOTES.contains(&key.to_lowercase().as_str())
    });
    found
}

/// The first row of a table, which a row of dashes follows, or of a sheet, whose cells name those of
/// the next row.
pub(super) fn is_table_header(text: &str, span: &Range<usize>) -> bool {
    let row = &text[span.clone()];
    let next = text[span.end..].trim_start_matches(['\r', '\n']);
    let line = next.lines().next().unwrap_or("");
    let cell = |row: &str| row.split(" | ").nth(1).unwrap_or("").to_owned();
    let dashes = line.starts_with('|') && line.chars().all(|c| "|-: \t".contains(c));
    if row.starts_with('|') {
        return dashes;
    }
    let named = cell(row);
    is_row(row) && !named.is_empty() && cell(line).starts_with(&format!("{named}: "))
}

#[cfg(test)]
mod tests {
    use super::super::text::Readable;
    use super::*;

    #[test]
    fn front_matter_is_told_from_text_between_rules() {
        let check = |text: &str, expected: &str| {
            assert_eq!(&text[front_matter_end(text)..], expected, "{text}");
        };
        check("---\na: 1\n---\nb", "b");
        check("---\r\na: 1\r\ntags:\r\n- x\r\n---\r\nb", "b");
        for whole in [
            "---\nThe code is 5521.\n\n---\nb",
            "---\na: 1\n",
            "a: 1",
            "----\na: 1\n---\n",
        ] {
            check(whole, whole);
        }
    }

    #[test]
    fn front_matter_of_toml_is_told_from_text_between_pluses() {
        let check = |text: &str, expected: &str| {
            assert_eq!(&text[front_matter_end(text)..], expected, "{text}");
        };
        check("+++\ntitle = \"A\"\n+++\nb", "b");
        check("+++\r\na=1\r\n# no\r\n[x]\r\nb = 2\r\n+++\r\nc", "c");
        check("+++\na = [\n  \"x\",\n]\n+++\nb", "b");
        check("+++\na = \"\"\"\nFree text.\n+++\n\"\"\"\n+++\nb", "b");
        check("+++\na = '''x'''\n+++\nb", "b");
        for whole in [
            "+++\nThe code is 5521.\n+++\nb",
            "+++\na = 1\n",
            "+++\na = 1\n---\nb",
            "++++\na = 1\n+++\n",
        ] {
            check(whole, whole);
        }
        let matter = "+++\ntitle = \"Rose\"\nflowers_in = \"June\"\n[extra]\nheight = 90\n+++\n";
        let found = fields(matter);
        let told: Vec<(&str, &str)> = found
            .iter()
            .map(|(span, key)| (key.as_str(), &matter[span.clone()]))
            .collect();
        assert_eq!(
            told,
            [
                ("flowers in", "flowers_in = \"June\""),
                ("height", "height = 90")
            ]
        );
    }

    #[test]
    fn code_stands_in_the_definitions_around_it() {
        let check = |text: &str, line: &str, expected: Option<&str>| {
            let readable = Readable::of(text, "a.py");
            let at = text.find(line).unwrap();
            let found = Surroundings::of(readable.text(), at);
            assert_eq!(found.heading(Some("Outer")).as_deref(), expected, "{line}");
        };
        let text = "import os\n\nclass Lamp(Base):\n    watts = 4\n\n    def on(self):\n        if x:\n\
                    \x20           turn()\n\n# So.\nclass Fan:\n    watts = 30\n\n\
                    impl Show for Bulb {\npublic:\n    int watts;\n}\n";
        check(text, "import", Some("Outer"));
        check(text, "class Lamp", Some("Outer"));
        check(text, "    watts = 4", Some("Outer > Lamp"));
        check(text, "            turn()", Some("Outer > Lamp > on"));
        check(text, "    watts = 30", Some("Outer > Fan"));
        check(text, "    int watts", Some("Outer > Bulb"));
        let text = "class Fan\n{\n    int watts;\n}\n";
        check(text, "    int watts", Some("Outer > Fan"));
        // The passage begins within a class, of which this one is no part.
        let text = "    def on(self):\n        turn()\n\nclass Fan:\n    watts = 30\n";
        check(text, "        turn()", Some("Outer > on"));
        check(text, "    watts = 30", Some("Fan"));
    }

    #[test]
    fn one_of_two_is_named_before() {
        for (sentence, expected) in [
            ("The former bites, the latter sleeps.", true),
            ("The latter is 9 years old.", true),
            ("The second one sleeps.", true),
            ("Letzterer schläft.", true),
            ("The former owner is Hans.", false),
            ("The first night was cold.", false),
            ("The", false),
        ] {
            assert_eq!(opens_with_pronoun(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn pronouns_are_read_through_what_nobody_sees() {
        assert!(opens_with_pronoun("Die\u{ad}ses wurde verkauft."));
        assert_eq!(named_first("D\u{ad}er Kessel ist alt."), "Kessel");
    }

    #[test]
    fn fields_state_something() {
        let matter =
            "---\ntitle: Maria\nbirth_day: 1984-03-17\nphone:\nkids:\n  - Ann\n  - Ben\n---\n";
        let found = fields(matter);
        let told: Vec<(&str, &str)> = found
            .iter()
            .map(|(span, key)| (key.as_str(), &matter[span.clone()]))
            .collect();
        assert_eq!(
            told,
            [
                ("birth day", "birth_day: 1984-03-17"),
                ("kids", "kids:\n  - Ann\n  - Ben")
            ]
        );
    }

    #[test]
    fn a_sentence_stands_under_the_headings_of_its_passage() {
        let text = "## Library\n\nOpens at 9.\n\n### Cellar\n\nOpens at 10.\n\n## Pool\n\nOpens at 7.\n\n\
                    # Town\n\nIt is old.\n\n```sh\n# no heading\nls\n```\n\n#tag is none.\n";
        let check = |sentence: &str, expected: &str| {
            let found = Surroundings::of(text, text.find(sentence).unwrap());
            assert_eq!(found.heading(Some("Hours")).as_deref(), Some(expected));
        };
        check("## Library", "Hours");
        check("Opens at 9.", "Hours > Library");
        check("Opens at 10.", "Hours > Library > Cellar");
        check("Opens at 7.", "Hours > Pool");
        // Not below what stands above the passage.
        check("It is old.", "Town");
        check("#tag", "Town");
        let text = "It is old.\n\n## Pool\n\nIt is new.";
        let heading = |at| Surroundings::of(text, at).heading(Some("Hours > Library"));
        assert_eq!(heading(0).as_deref(), Some("Hours > Library"));
        // How far up that goes is not known.
        assert_eq!(heading(text.len() - 2).as_deref(), Some("Pool"));
        assert_eq!(Surroundings::of(text, 0).heading(None), None);
    }

    #[test]
    fn headings_of_other_marks_are_headings() {
        let within = |text: &str, sentence: &str| {
            let place = text.find(sentence).unwrap();
            Surroundings::of(text, place).within()
        };
        for text in [
            "Old phone\n---------\n\nPIN 2210.\n\nNew phone\n---------\nPIN 7745.",
            "== Old phone\n\nPIN 2210.\n\n== New phone\n\nPIN 7745.",
            "** Old phone\nPIN 2210.\n** New phone\nPIN 7745.",
            "Old phone\n~~~~~~~~~\nPIN 2210.\n\nNew phone\n~~~~~~~~~\n\nPIN 7745.",
        ] {
            assert_eq!(
                within(text, "PIN 2210").as_deref(),
                Some("Old phone"),
                "{text}"
            );
            assert_eq!(
                within(text, "PIN 7745").as_deref(),
                Some("New phone"),
                "{text}"
            );
        }
        assert_eq!(within("It is so.\n---\nPIN 1.", "PIN"), None);
        assert_eq!(within("It is so\n\n---\n\nPIN 1.", "PIN"), None);
        assert_eq!(within("* one\n* two\n", "two"), None);
    }

    #[test]
    fn rows_and_items_stand_under_what_opens_them() {
        let text = "## Trees\n\n| Tree | Planted |\n| --- | --- |\n| Pear | 2004 |\n\nThey were felled:\n\n\
                    - plum\n- fig\n\nNothing else was.";
        let within = |sentence: &str| Surroundings::of(text, text.find(sentence).unwrap()).within();
        let check = |sentence: &str, expected: &str| {
            assert_eq!(within(sentence).as_deref(), Some(expected), "{sentence}");
        };
        check("| Tree", "Trees");
        check("| Pear", "Trees > Tree | Planted");
        check("They were", "Trees");
        check("- fig", "Trees > They were felled");
        check("Nothing", "Trees");
        let text = "row 1 | Month | Food\nrow 2 | Month: March | Food: 310\n";
        let row = Surroundings::of(text, text.len() - 2).within();
        assert_eq!(row.as_deref(), Some("row 1 | Month | Food"));
        assert_eq!(Surroundings::of("Pear.", 0).within(), None);
    }
}
