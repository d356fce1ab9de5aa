//! The query language: words, phrases, words to leave out, and filters.
//!
//! `"two words"` must stand together, `-word` must not occur, `wor*` is any word that begins so, and
//! `key:value` narrows the documents (`-key:value` leaves them out; `a,b` is a or b). Whatever is
//! no filter is a word, so that `std::vec`, `12:30` and `https://…` can be searched for; a filter
//! that is nearly right is an error rather than a word that nothing holds.
//!
//! Options of commands (`-v`, `-rf`, `--bar`) are words: what is left out has three letters or more.
//!
//! A question or a sentence is not written in this language: quotes and dashes in it are only
//! words. Filters count there too.

use jiff::civil::Date;
use jiff::{Span, Zoned};

use super::language::Language;
use super::link;
use super::source::{Kind, SourceId};
use super::words::as_read;

/// A query, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What both lanes are asked: all but filters and what is left out.
    pub words: String,
    /// What must stand in a passage, or in the titles above it, as it is.
    pub phrases: Vec<String>,
    /// Beginnings of words.
    pub prefixes: Vec<String>,
    /// Words and phrases that must not occur.
    pub without: Vec<String>,
    /// What documents must be like.
    pub filters: Vec<Filter>,
}

impl Query {
    /// The emoji and other signs that are asked for, where nothing else is. They are no words: they
    /// are looked for as they are. Marks of ASCII say nothing alone.
    pub fn signs(&self) -> Vec<&str> {
        if self.words.is_ascii() || self.words.contains(char::is_alphanumeric) {
            return Vec::new();
        }
        let pieces = self.words.split_whitespace().map(|piece| {
            // What only says that a sign is shown in colour may be missing in a note.
            let bare = piece.trim_matches(|c: char| c.is_ascii_punctuation());
            bare.trim_end_matches('\u{fe0f}')
        });
        let signs = pieces.filter(|piece| !piece.is_empty());
        signs.take(MOST_SIGNS).collect()
    }
}

/// One condition on documents: one of the tests holds; none of them, when `not`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Turns the condition around.
    pub not: bool,
    /// A test that is enough.
    pub first: Test,
    /// Others that are.
    pub others: Vec<Test>,
}

impl Filter {
    /// The tests of which one is enough; there is one at least.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// A test of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Its path holds this, or fits it as a glob.
    Path(String),
    /// Its source has this number, or else this path or end of a path.
    Source(String),
    /// It is of this source.
    SourceId(SourceId),
    /// It has this tag, or one below it.
    Tag(String),
    /// It is of this kind.
    Kind(Kind),
    /// Its file name ends so.
    Extension(String),
    /// Its title holds this.
    Title(String),
    /// It links to a document or address of this name.
    Link(String),
    /// Its file changed before this time, milliseconds since 1970.
    Before(i64),
    /// Its file changed at this time or later, milliseconds since 1970.
    After(i64),
    /// It is written in this language.
    Language(Language),
}

/// A query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadQuery {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// The keys of filters.
pub const KEYS: &[&str] = &[
    "path", "source", "tag", "type", "title", "link", "before", "after", "lang",
];

/// Beginnings of words in one query at most.
const MOST_PREFIXES: usize = 8;

/// Signs that are looked for at most.
const MOST_SIGNS: usize = 16;

/// Values of all filters of one query at most.
const MOST_VALUES: usize = 64;

/// Takes a query apart. `now` is what relative dates count from, in the owner's time zone.
///
/// # Errors
/// [`BadQuery`] for a filter without a value, with a wrong one, or with a misspelt key; for too many.
pub fn parse(text: &str, now: &Zoned) -> Result<Query, BadQuery> {
    let query = read(text, is_sentence(text), now)?;
    if query.prefixes.len() > MOST_PREFIXES || values(&query) > MOST_VALUES {
        return Err(BadQuery {
            message: "there are too many filters or beginnings of words".into(),
            hint: format!("write at most {MOST_VALUES} values and {MOST_PREFIXES} beginnings"),
        });
    }
    Ok(query)
}

/// As [`parse`], for what is said to somebody who knows nothing of filters: what is wrong as one is a
/// word, and so are dashes and quotes.
pub fn spoken(text: &str, now: &Zoned) -> Query {
    let query = read(text, true, now).unwrap_or_else(|_| literal(text));
    if values(&query) > MOST_VALUES {
        return literal(text);
    }
    query
}

/// Values of all filters.
fn values(query: &Query) -> usize {
    let filters = query.filters.iter();
    filters.map(|filter| 1 + filter.others.len()).sum()
}

fn read(text: &str, sentence: bool, now: &Zoned) -> Result<Query, BadQuery> {
    let mut query = Query::default();
    let mut words: Vec<&str> = Vec::new();
    for piece in pieces(text) {
        if !piece.quoted
            && let Some((key, value)) = filter_of(piece.text)
            && let Some(filter) = match filter(piece.not, &key, value, sentence, now) {
                // In a sentence, what is wrong as a filter is a word.
                Err(_) if sentence => None,
                read => read?,
            }
        {
            query.filters.push(filter);
            continue;
        }
        if sentence {
            words.push(piece.whole);
            continue;
        }
        match (piece.not, piece.quoted) {
            (true, _) => query.without.push(piece.text.to_owned()),
            (false, true) => {
                query.phrases.push(piece.text.to_owned());
                words.push(piece.text);
            }
            (false, false) => {
                let prefix = piece.text.strip_suffix('*').map(as_read);
                let prefix = prefix.filter(|p| p.chars().all(char::is_alphanumeric));
                if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
                    let prefix = prefix.to_lowercase();
                    if !query.prefixes.contains(&prefix) {
                        query.prefixes.push(prefix);
                    }
                } else {
                    words.push(piece.text);
                }
            }
        }
    }
    query.words = words.join(" ");
    Ok(query)
}

/// A query of words alone, whatever they look like.
pub fn literal(text: &str) -> Query {
    let words: Vec<&str> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
    Query {
        words: words.join(" "),
        ..Query::default()
    }
}

/// Sentences end with a mark; a full stop counts after seven words, because `e.g.` has one too.
fn is_sentence(text: &str) -> bool {
    let text = text.trim_end();
    let words = || text.split_whitespace().count();
    text.ends_with(['?', '？', '؟'])
        || (text.ends_with(['.', '!', '。', '！', '।']) && words() >= 7)
}

/// What stands between spaces, with what is quoted kept together.
struct Piece<'a> {
    /// With its dash and its quotes.
    whole: &'a str,
    text: &'a str,
    not: bool,
    quoted: bool,
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// The quote that ends what this one begins.
fn closing(open: char) -> Option<char> {
    match open {
        '"' => Some('"'),
        '“' => Some('”'),
        '„' => Some('“'),
        '«' => Some('»'),
        '「' => Some('」'),
        _ => None,
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_gap);
        let Some(first) = rest.chars().next() else {
            return pieces;
        };
        let dashed = rest.strip_prefix('-');
        let after_dash = dashed.and_then(|r| r.chars().next());
        let not = after_dash.is_some_and(|c| closing(c).is_some())
            || dashed
                .is_some_and(|word| word.chars().take_while(|c| c.is_alphabetic()).count() > 2);
        let body = if not { &rest[first.len_utf8()..] } else { rest };
        let quoted = quoted(body);
        let end = quoted.map_or_else(|| bare_end(body), |(_, end)| end);
        let whole_end = rest.len() - body.len() + end;
        pieces.push(Piece {
            whole: &rest[..whole_end],
            text: quoted.map_or(&body[..end], |(inner, _)| inner),
            not,
            quoted: quoted.is_some(),
        });
        rest = &rest[whole_end..];
    }
}

/// What is inside the quotes at the beginning, and where they end. A quote that nothing closes is
/// no quote.
fn quoted(body: &str) -> Option<(&str, usize)> {
    let open = body.chars().next()?;
    let close = closing(open)?;
    let inner = &body[open.len_utf8()..];
    let length = inner.find(close)?;
    let inside = inner[..length].trim_matches(is_gap);
    let end = open.len_utf8() + length + close.len_utf8();
    (!inside.is_empty()).then_some((inside, end))
}

/// Where a piece without quotes ends; the value of a filter may be quoted.
fn bare_end(body: &str) -> usize {
    let end = body.find(is_gap).unwrap_or(body.len());
    if let Some((key, _)) = body[..end].split_once(':')
        && KEYS.contains(&key.to_ascii_lowercase().as_str())
        && let Some((_, length)) = quoted(&body[key.len() + 1..])
    {
        return key.len() + 1 + length;
    }
    end
}

/// Key, in lower case, and value of what may be a filter: a word, a colon, and no second colon behind
/// it, nor what an address has there; a path may begin with a slash. With a capital only what is no slip: `Note: …` and `Line:5` are words.
fn filter_of(piece: &str) -> Option<(String, &str)> {
    let (key, value) = piece.split_once(':')?;
    let lower = key.to_ascii_lowercase();
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic());
    let meant = lower == key || (!value.is_empty() && KEYS.contains(&lower.as_str()));
    let path = value.starts_with('/') && !value.starts_with("//") && KEYS.contains(&lower.as_str());
    let other = value.starts_with([':', '/']) && !path;
    (word && meant && !other).then_some((lower, value))
}

/// The filter, or `None` for what only looks like one.
fn filter(
    not: bool,
    key: &str,
    value: &str,
    sentence: bool,
    now: &Zoned,
) -> Result<Option<Filter>, BadQuery> {
    let inner = quoted(value).map(|(inner, _)| inner);
    let bare = inner.unwrap_or_else(|| value.trim_matches('"'));
    if !KEYS.contains(&key) {
        let slip = KEYS.iter().find(|known| is_slip(key, known));
        return match slip {
            Some(known) if !sentence && !bare.is_empty() => Err(BadQuery {
                message: format!("there is no filter `{key}:`"),
                hint: format!("write `{known}:{value}`, or quote it to search for the words"),
            }),
            _ => Ok(None),
        };
    }
    let values = if inner.is_some() || value.starts_with('"') {
        vec![bare]
    } else {
        value.split(',').collect()
    };
    let values = values.into_iter().filter(|value| !value.is_empty());
    let tests = values.map(|value| test(key, value, now));
    let mut tests = tests.collect::<Result<Vec<Test>, _>>()?.into_iter();
    let Some(first) = tests.next() else {
        return if sentence {
            Ok(None)
        } else {
            Err(BadQuery {
                message: format!("the filter `{key}:` has no value"),
                hint: format!(
                    "write what it is to fit right behind the colon: {}",
                    example(key)
                ),
            })
        };
    };
    Ok(Some(Filter {
        not,
        first,
        others: tests.collect(),
    }))
}

/// One letter wrong, missing, added or changed about.
fn is_slip(key: &str, known: &str) -> bool {
    key.len() >= 3 && strsim::damerau_levenshtein(key, known) == 1
}

fn example(key: &str) -> &'static str {
    match key {
        "path" => "`path:projects/` or `path:*.md`",
        "source" => "`source:1` or `source:~/notes`",
        "tag" => "`tag:work`",
        "type" => "`type:pdf` or `type:markdown`",
        "title" => "`title:\"weekly review\"`",
        "link" => "`link:\"Reading list\"`",
        "lang" => "`lang:de`",
        _ => "`2026-11-20`, `2026-11`, `2026`, `7d`, `2w`, `3m`, `1y`, `today` or `yesterday`",
    }
}

fn test(key: &str, value: &str, now: &Zoned) -> Result<Test, BadQuery> {
    let wrong = |what: &str| BadQuery {
        message: format!("`{key}:{value}`: {what}"),
        hint: format!("it could be {}", example(key)),
    };
    Ok(match key {
        "path" => Test::Path(value.to_owned()),
        "source" => Test::Source(value.to_owned()),
        "tag" => match value.trim_start_matches('#') {
            "" => return Err(wrong("a tag has a name")),
            name => Test::Tag(link::folded(name)),
        },
        "type" => {
            let name = value.trim_start_matches('.').to_lowercase();
            if let Some(kind) = Kind::named(&name) {
                Test::Kind(kind)
            } else if Kind::of_path(&format!("x.{name}")).is_some() {
                Test::Extension(name)
            } else {
                return Err(wrong("there is no such type of file"));
            }
        }
        "title" => Test::Title(value.to_owned()),
        "link" => Test::Link(value.to_owned()),
        "lang" => {
            let found = Language::named(value);
            Test::Language(found.ok_or_else(|| wrong("there is no language of this name"))?)
        }
        _ => {
            let day = day(value, now).ok_or_else(|| wrong("this is no date"))?;
            let start = day.to_zoned(now.time_zone().clone());
            let ms = start.map_err(|_| wrong("this day is out of range"))?;
            let ms = ms.timestamp().as_millisecond();
            if key == "before" {
                Test::Before(ms)
            } else {
                Test::After(ms)
            }
        }
    })
}

/// The day that a date names: a day, the first of a month or year, or some time ago.
pub fn day(value: &str, now: &Zoned) -> Option<Date> {
    let today = now.date();
    match value {
        "today" => return Some(today),
        "yesterday" => return today.yesterday().ok(),
        _ => {}
    }
    if let Some((at, unit)) = value.char_indices().last()
        && let Ok(count) = value[..at].parse::<u16>()
        && unit.is_ascii_alphabetic()
    {
        let span = match unit {
            'd' => Span::new().days(i64::from(count)),
            'w' => Span::new().weeks(i64::from(count)),
            'm' => Span::new().months(i64::from(count)),
            'y' => Span::new().years(i64::from(count)),
            _ => return None,
        };
        return today.checked_sub(span).ok();
    }
    let numbers: Option<Vec<i16>> = value.split('-').map(|part| part.parse().ok()).collect();
    let small = |n: i16| i8::try_from(n).ok();
    match numbers?[..] {
        [year] if year >= 1000 => Date::new(year, 1, 1).ok(),
        [year, month] => Date::new(year, small(month)?, 1).ok(),
        [year, month, day] => Date::new(year, small(month)?, small(day)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Zoned {
        "2026-11-20T15:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn parsed(text: &str) -> Query {
        parse(text, &now()).unwrap()
    }

    fn check_words(text: &str, words: &str) {
        let expected = Query {
            words: words.to_owned(),
            ..Query::default()
        };
        assert_eq!(parsed(text), expected, "{text}");
    }

    #[test]
    fn a_query_has_an_end() {
        let many = |piece: &str, count: usize| parse(&piece.repeat(count), &now()).is_err();
        let beginnings = "a* b* c* d* e* f* g* h* i*";
        assert!(parse(beginnings, &now()).is_err());
        assert!(!many("ab* ", 100), "the same beginning is one");
        assert!(many("tag:a ", 65) && !many("tag:a ", 64));
        assert!(parse(&format!("path:{}", "a,".repeat(1100)), &now()).is_err());
    }

    #[test]
    fn what_is_said_needs_no_syntax() {
        let words = |text: &str| spoken(text, &now()).words;
        assert_eq!(
            words("title: ideas for my essay"),
            "title: ideas for my essay"
        );
        assert_eq!(words("line:5 says x"), "line:5 says x");
        let keys = "where do I find the \"spare keys\"";
        assert_eq!(spoken(keys, &now()), literal(keys));
        let filtered = spoken("tag:boat how high is the mast", &now());
        assert_eq!(filtered.filters.len(), 1);
        assert_eq!(words(&"tag:a ".repeat(100)), "tag:a ".repeat(100).trim());
        assert_eq!(words("tag:, and no more"), "tag:, and no more");
    }

    #[test]
    fn a_source_is_named_by_its_folder() {
        let filtered = parsed("source:/home/ann/notes pear");
        let found = (filtered.filters.len(), filtered.words.as_str());
        assert_eq!(found, (1, "pear"));
        check_words("file://home/ann", "file://home/ann");
    }

    #[test]
    fn words_stay_words() {
        for text in [
            "sour dough",
            "std::vec::Vec",
            "at 12:30",
            "https://example.org/a?b=c",
            "C:\\notes",
            "well-known",
            "- - -",
            "tar -xf a --bar -5",
            "\"unbalanced quote",
            "(a|b)* [x] \\d+ ^$",
            "error: no such file",
            "Title: ideas, Line:5",
            "🦀 مرحبا שלום",
            "*",
        ] {
            check_words(text, text);
        }
        check_words("a\0b\tc", "a b c");
        check_words("", "");
        check_words("\"\"", "\"\"");
    }

    #[test]
    fn phrases_exclusions_and_prefixes() {
        let query = parsed("bread \"sour dough\" -yeast -\"white flour\" bak*");
        assert_eq!(query.words, "bread sour dough");
        assert_eq!(query.phrases, ["sour dough"]);
        assert_eq!(query.without, ["yeast", "white flour"]);
        assert_eq!(query.prefixes, ["bak"]);
        assert_eq!(parsed("“smart quotes”").phrases, ["smart quotes"]);
        let query = parsed("\"Source: the mill\" -\"tag:old\"");
        assert_eq!((query.phrases.len(), query.without.len()), (1, 1));
    }

    #[test]
    fn signs_are_what_is_left_without_words() {
        let check = |text: &str, signs: &[&str]| assert_eq!(parsed(text).signs(), signs, "{text}");
        check("🦀", &["🦀"]);
        check("\"🦀\" ❤\u{fe0f}?", &["🦀", "❤"]);
        check("tag:a →", &["→"]);
        for other in ["🦀 rust", "*", "- ??", "", "日本"] {
            check(other, &[]);
        }
        assert_eq!(parsed(&"→ ".repeat(100)).signs().len(), MOST_SIGNS);
    }

    #[test]
    fn sentences_are_not_in_the_language() {
        check_words(
            "What does \"foo bar\" mean -really?",
            "What does \"foo bar\" mean -really?",
        );
        let query = parsed("Who wrote \"Emma\" type:md?");
        assert!(query.phrases.is_empty() && query.filters.is_empty());
        let query = parsed("type:md who wrote Emma?");
        assert_eq!(
            (query.filters.len(), query.words.as_str()),
            (1, "who wrote Emma?")
        );
    }

    fn only_test(text: &str) -> Test {
        let mut query = parsed(text);
        let only = query.filters.pop().unwrap();
        assert!(query.filters.is_empty() && only.others.is_empty(), "{text}");
        only.first
    }

    #[test]
    fn filters_are_tests() {
        assert_eq!(only_test("path:a/b"), Test::Path("a/b".into()));
        assert_eq!(only_test("tag:#Work"), Test::Tag("work".into()));
        assert_eq!(only_test("type:pdf"), Test::Kind(Kind::Pdf));
        assert_eq!(only_test("type:.py"), Test::Extension("py".into()));
        assert_eq!(only_test("title:\"a b\""), Test::Title("a b".into()));
        assert_eq!(only_test("Title:\"a b\""), Test::Title("a b".into()));
        assert_eq!(only_test("title:“a, b”"), Test::Title("a, b".into()));
        assert_eq!(only_test("Tag:win"), only_test("tag:win"));
        assert_eq!(only_test("TYPE:pdf"), Test::Kind(Kind::Pdf));
        assert_eq!(
            only_test("lang:German"),
            Test::Language(Language::named("de").unwrap())
        );
        let query = parsed("-tag:a,b x");
        assert!(query.filters[0].not && query.filters[0].tests().count() == 2);
        assert_eq!(query.words, "x");
    }

    #[test]
    fn dates_are_days_of_the_owner() {
        let at = |text: &str| match only_test(text) {
            Test::Before(ms) | Test::After(ms) => {
                let time = jiff::Timestamp::from_millisecond(ms).unwrap();
                time.to_zoned(now().time_zone().clone()).to_string()[..16].to_owned()
            }
            other => panic!("{other:?}"),
        };
        for (text, expected) in [
            ("before:2026-11-20", "2026-11-20T00:00"),
            ("after:2026-03", "2026-03-01T00:00"),
            ("after:2025", "2025-01-01T00:00"),
            ("after:7d", "2026-11-13T00:00"),
            ("after:2w", "2026-11-06T00:00"),
            ("after:1y", "2025-11-20T00:00"),
            ("before:yesterday", "2026-11-19T00:00"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_filters_are_errors() {
        for (text, said) in [
            ("tag:", "no value"),
            ("tag:,", "no value"),
            ("-path:,,", "no value"),
            ("tga:work", "there is no filter"),
            ("before:soon", "no date"),
            ("before:2026-13-01", "no date"),
            ("type:foo", "no such type"),
            ("lang:xx", "no language"),
            ("tag:#", "a tag has a name"),
        ] {
            let error = parse(text, &now()).unwrap_err();
            assert!(
                error.message.contains(said) && !error.hint.is_empty(),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = parse(&text, &now());
        }

        #[test]
        fn language_like_text_does_not_panic(
            text in "([-a-z\"“”:*, é]|tag:|before:|\"|2026-){0,40}[.?]?",
        ) {
            let _ = parse(&text, &now());
        }
    }
}
