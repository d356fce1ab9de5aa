//! Figures: the numbers, times and dates of a text in a form in which two texts can be compared,
//! with the units that they count.
//!
//! `1,250` is 1250 and `3,5` is 3.5; `6 402` is 6402; `8:14` is `08:14`; `12 March 2025`,
//! `12.03.2025` and `2025-03-12` are one day. A minus belongs to its number, the dash of a range
//! does not. Digits are those of any script. Codes such as `WX-4471-K` are kept whole, in capitals.
//! What a point between three digits means depends on who wrote it: `1.250` stays as it is.

use std::collections::HashSet;

use super::words::as_read;

/// A number with the word that stands behind it or sticks to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    /// The number, in comparable form.
    pub value: String,
    /// The word behind it, or the currency before it, in lower case: a unit, or what is counted.
    pub unit: Option<String>,
}

/// The numbers of a text in comparable form; a date that is written out also tells its day and year.
pub fn numbers(text: &str) -> HashSet<String> {
    figures(text).into_iter().map(|f| f.value).collect()
}

/// The numbers that a text may be said to hold: as [`numbers`], with the days and years of all dates
/// and the numbers that are written as words.
pub(super) fn held_numbers(text: &str) -> HashSet<String> {
    let mut held = numbers(text);
    let days: Vec<(String, String)> = held
        .iter()
        .filter_map(|value| day_and_year(value))
        .collect();
    held.extend(days.into_iter().flat_map(|(day, year)| [day, year]));
    let words = words(text);
    let counts = words.iter().filter_map(|word| count_of(word));
    held.extend(counts.map(|count| count.to_string()));
    held
}

/// The figures of a text, in order.
pub(super) fn figures(text: &str) -> Vec<Figure> {
    let atoms = atoms(text);
    let mut found = Vec::new();
    for (at, atom) in atoms.iter().enumerate() {
        let next = atoms.get(at + 1);
        if let Atom::Numbers { values, unit } = atom {
            let word = |atom: Option<&Atom>| match atom {
                Some(Atom::Word(word)) => Some(word.to_lowercase()),
                _ => None,
            };
            // In "840 euros 20 cents" it is that of the number before it.
            let before = match &atoms[..at] {
                [] | [.., Atom::Numbers { .. }, _] => None,
                [.., last] => word(Some(last)),
            };
            let currency = before.filter(|word| CURRENCIES.iter().any(|c| same_unit(c, word)));
            let unit = unit.clone().or(currency).or_else(|| word(next));
            found.extend(values.iter().map(|value| Figure {
                value: value.clone(),
                unit: unit.clone(),
            }));
        }
        found.extend(date_at(&atoms[at..]).map(|value| Figure { value, unit: None }));
    }
    found
}

/// The days and months that a text names: `2026-02-20`, `20 February`, `December 2025`, `2025-12`. A
/// month alone is none: each year has one.
#[derive(Debug, Default)]
pub(super) struct Dates {
    dates: Vec<Date>,
    /// The words that they are made of.
    parts: HashSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: Option<u32>,
    month: u32,
    day: Option<u32>,
}

impl Dates {
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let atoms = atoms(text);
        for (at, atom) in atoms.iter().enumerate() {
            match atom {
                Atom::Numbers { values, .. } => found.put_numbers(values),
                Atom::Word(word) => {
                    if let Some(month) = month_of(word) {
                        found.put_month(word, month, &atoms[..at], &atoms[at + 1..]);
                    }
                }
                Atom::Mark(_) => {}
            }
        }
        found
    }

    fn put_numbers(&mut self, values: &[String]) {
        match values {
            [value] => {
                if let Some([year, month, day]) = parts_of_date(value) {
                    self.put(Some(year), month, Some(day));
                }
            }
            [year, month] if is_year(year) && month.len() == 2 => {
                let month = month.parse().ok().filter(|month| (1..=12).contains(month));
                if let Some(month) = month {
                    self.put(year.parse().ok(), month, None);
                }
            }
            _ => {}
        }
    }

    /// A month that is written out, with the day before or behind it and the year behind.
    fn put_month(&mut self, word: &str, month: u32, before: &[Atom], behind: &[Atom]) {
        let number = |atom: Option<&Atom>| match atom {
            Some(Atom::Numbers { values, .. }) if values.len() == 1 => {
                values[0].parse::<u32>().ok()
            }
            _ => None,
        };
        let is_day = |number: &u32| (1..=31).contains(number);
        let is_year = |number: &u32| (1000..2100).contains(number);
        let mut behind = behind.iter().filter(|atom| atom.is_of_date());
        let mut next = number(behind.next());
        let last = before.iter().rev().find(|atom| atom.is_of_date());
        let mut day = number(last).filter(is_day);
        if day.is_none() && next.as_ref().is_some_and(is_day) {
            day = next;
            next = number(behind.next());
        }
        let year = next.filter(is_year);
        if day.or(year).is_some() {
            self.put(year, month, day);
            self.parts.insert(word.to_lowercase());
        }
    }

    fn put(&mut self, year: Option<u32>, month: u32, day: Option<u32>) {
        self.dates.push(Date { year, month, day });
        let numbers = [year, Some(month), day].into_iter().flatten();
        let written = numbers.flat_map(|number| [number.to_string(), format!("{number:02}")]);
        self.parts.extend(written);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dates.is_empty()
    }

    /// Is a lower-case word a part of one of the dates?
    pub(super) fn has_part(&self, word: &str) -> bool {
        let whole = || numbers(word).iter().any(|value| is_date(value));
        !self.is_empty() && (self.parts.contains(word) || whole())
    }

    /// Is one of these days or months there, or a day of one of these months?
    pub(super) fn meet(&self, held: &Self) -> bool {
        let is = |asked: &Date, held: &Date| {
            let year = asked.year.is_none() || held.year.is_none() || asked.year == held.year;
            year && asked.month == held.month && (asked.day.is_none() || asked.day == held.day)
        };
        let mut asked = self.dates.iter();
        asked.any(|asked| held.dates.iter().any(|held| is(asked, held)))
    }
}

/// The months and days of the week that a text names, in lower case, each with what it is whatever
/// its spelling: `m3` is March, `d1` is Monday.
pub(super) fn calendar_words(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for word in words(text) {
        let month = month_of(&word).map(|month| format!("m{month}"));
        let day = weekday_of(&word).map(|day| format!("d{day}"));
        found.extend(month.or(day).map(|key| (word.to_lowercase(), key)));
    }
    for value in numbers(text) {
        if let Some([_, month, _]) = parts_of_date(&value) {
            found.push((value, format!("m{month}")));
        }
    }
    found
}

/// Does a word name a month or a day of the week?
pub(super) fn is_calendar_word(word: &str) -> bool {
    month_of(word).or_else(|| weekday_of(word)).is_some()
}

/// The numbers that a text writes as words, from two on: "one" says too much else.
pub(super) fn number_words(text: &str) -> Vec<(String, u32)> {
    let words = words(text).into_iter();
    words
        .filter_map(|word| {
            let count = count_of(&word)?;
            Some((word.to_lowercase(), count))
        })
        .collect()
}

/// Do two words behind a number say the same unit?
pub(super) fn same_unit(a: &str, b: &str) -> bool {
    let group = |word: &str| UNITS.iter().position(|units| units.contains(&word));
    a == b || group(a).is_some_and(|group_of_a| Some(group_of_a) == group(b))
}

/// Is it a unit of measure, in one of its spellings?
pub(super) fn is_unit(word: &str) -> bool {
    UNITS.iter().any(|units| units.contains(&word))
}

/// Could it be a year? What stands behind one is hardly ever counted.
pub(super) fn is_year(value: &str) -> bool {
    value.len() == 4
        && value
            .parse::<u32>()
            .is_ok_and(|year| (1000..2100).contains(&year))
}

/// Is it a day, as [`numbers`] writes it?
pub(super) fn is_date(value: &str) -> bool {
    parts_of_date(value).is_some()
}

/// Units that stand before a number, too: "EUR 840".
const CURRENCIES: [&str; 3] = ["€", "$", "£"];

/// Units of measure, each with its spellings.
const UNITS: [&[&str]; 33] = [
    &[
        "km",
        "kilometre",
        "kilometres",
        "kilometer",
        "kilometers",
        "kilometern",
    ],
    &["m", "metre", "metres", "meter", "meters", "metern"],
    &[
        "cm",
        "centimetre",
        "centimetres",
        "centimeter",
        "centimeters",
        "zentimeter",
    ],
    &[
        "mm",
        "millimetre",
        "millimetres",
        "millimeter",
        "millimeters",
    ],
    &["mi", "mile", "miles", "meile", "meilen"],
    &["ft", "foot", "feet", "fuß"],
    &["inch", "inches", "zoll"],
    &["yd", "yard", "yards"],
    &["ha", "hectare", "hectares", "hektar"],
    &["acre", "acres"],
    &["kg", "kilo", "kilos", "kilogram", "kilograms", "kilogramm"],
    &["g", "gram", "grams", "gramm"],
    &["mg", "milligram", "milligrams", "milligramm"],
    &["t", "ton", "tons", "tonne", "tonnes", "tonnen"],
    &["lb", "lbs", "pounds"],
    &["oz", "ounce", "ounces"],
    &["l", "litre", "litres", "liter", "liters", "litern"],
    &[
        "ml",
        "millilitre",
        "millilitres",
        "milliliter",
        "milliliters",
    ],
    &[
        "s", "sec", "secs", "second", "seconds", "sekunde", "sekunden",
    ],
    &["min", "mins", "minute", "minutes", "minuten"],
    &["h", "hr", "hrs", "hour", "hours", "stunde", "stunden"],
    &["day", "days", "tag", "tage", "tagen"],
    &["week", "weeks", "woche", "wochen"],
    &["month", "months", "monat", "monate", "monaten"],
    &["year", "years", "yr", "yrs", "jahr", "jahre", "jahren"],
    &["%", "percent", "per", "prozent"],
    &["€", "eur", "euro", "euros"],
    &["$", "usd", "dollar", "dollars"],
    &["£", "gbp", "pound", "pounds"],
    &["°", "°c", "degree", "degrees", "celsius", "grad"],
    &["v", "volt", "volts"],
    &["w", "watt", "watts"],
    &["kwh", "kilowatt-hour", "kilowatt-hours", "kilowattstunden"],
];

const MONTHS: [&[&str]; 12] = [
    &["january", "jan", "januar", "jänner"],
    &["february", "feb", "februar"],
    &["march", "mar", "märz"],
    &["april", "apr"],
    &["may", "mai"],
    &["june", "jun", "juni"],
    &["july", "jul", "juli"],
    &["august", "aug"],
    &["september", "sep", "sept"],
    &["october", "oct", "oktober", "okt"],
    &["november", "nov"],
    &["december", "dec", "dezember", "dez"],
];

const WEEKDAYS: [&[&str]; 7] = [
    &["monday", "mondays", "mon", "montag", "montags"],
    &[
        "tuesday",
        "tuesdays",
        "tue",
        "tues",
        "dienstag",
        "dienstags",
    ],
    &["wednesday", "wednesdays", "wed", "mittwoch", "mittwochs"],
    &[
        "thursday",
        "thursdays",
        "thu",
        "thurs",
        "donnerstag",
        "donnerstags",
    ],
    &["friday", "fridays", "fri", "freitag", "freitags"],
    &[
        "saturday",
        "saturdays",
        "sat",
        "samstag",
        "samstags",
        "sonnabend",
    ],
    &["sunday", "sundays", "sun", "sonntag", "sonntags"],
];

const COUNTS: [(&[&str], u32); 25] = [
    (&["two", "second", "zwei", "zweite", "zweiter"], 2),
    (&["three", "third", "drei", "dritte", "dritter"], 3),
    (&["four", "fourth", "vier", "vierte", "vierter"], 4),
    (&["five", "fifth", "fünf", "fünfte", "fünfter"], 5),
    (&["six", "sixth", "sechs", "sechste", "sechster"], 6),
    (&["seven", "seventh", "sieben", "siebte", "siebter"], 7),
    (&["eight", "eighth", "acht", "achte", "achter"], 8),
    (&["nine", "ninth", "neun", "neunte", "neunter"], 9),
    (&["ten", "tenth", "zehn", "zehnte", "zehnter"], 10),
    (&["eleven", "eleventh", "elf"], 11),
    (&["twelve", "twelfth", "zwölf", "dozen", "dutzend"], 12),
    (&["thirteen", "thirteenth", "dreizehn"], 13),
    (&["fourteen", "fourteenth", "vierzehn"], 14),
    (&["fifteen", "fifteenth", "fünfzehn"], 15),
    (&["sixteen", "sixteenth", "sechzehn"], 16),
    (&["seventeen", "seventeenth", "siebzehn"], 17),
    (&["eighteen", "eighteenth", "achtzehn"], 18),
    (&["nineteen", "nineteenth", "neunzehn"], 19),
    (&["twenty", "twentieth", "zwanzig"], 20),
    (&["thirty", "dreißig"], 30),
    (&["forty", "vierzig"], 40),
    (&["fifty", "fünfzig"], 50),
    (&["hundred", "hundert"], 100),
    (&["thousand", "tausend"], 1_000),
    (&["million", "millions", "millionen"], 1_000_000),
];

fn month_of(word: &str) -> Option<u32> {
    place(&MONTHS, word)
}

fn weekday_of(word: &str) -> Option<u32> {
    place(&WEEKDAYS, word)
}

/// The place of a word in such a table, counted from 1. Words that are other things, too, are names
/// only with a capital: "you may", "to march" and "the sun" are none.
fn place(table: &[&[&str]], word: &str) -> Option<u32> {
    let lower = word.to_lowercase();
    let at = table
        .iter()
        .position(|names| names.contains(&lower.as_str()))?;
    let doubtful = lower.chars().count() < 4 || lower == "march";
    let named = !doubtful || word.starts_with(char::is_uppercase);
    u32::try_from(at + 1).ok().filter(|_| named)
}

fn count_of(word: &str) -> Option<u32> {
    let lower = word.to_lowercase();
    let mut counts = COUNTS.iter();
    counts.find_map(|(names, count)| names.contains(&lower.as_str()).then_some(*count))
}

/// What a text is made of, as far as figures go.
#[derive(Debug)]
enum Atom {
    /// Numbers that stand together, such as the ends of a range, with what sticks to them.
    Numbers {
        values: Vec<String>,
        unit: Option<String>,
    },
    /// A word, or a sign that stands for one, as it is written.
    Word(String),
    /// A mark between words.
    Mark(char),
}

impl Atom {
    /// May it be a part of a date, and no mark or "of" between such parts?
    fn is_of_date(&self) -> bool {
        match self {
            Self::Mark(mark) => !",.".contains(*mark),
            Self::Word(word) => word != "of",
            Self::Numbers { .. } => true,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let atoms = atoms(text).into_iter();
    atoms
        .filter_map(|atom| match atom {
            Atom::Word(word) => Some(word),
            _ => None,
        })
        .collect()
}

const SIGNS: &str = "%€$£°";

fn atoms(text: &str) -> Vec<Atom> {
    let text = joined_groups(&plain_digits(&as_read(text)));
    let parts = text.split(|c: char| c.is_whitespace() || "()[]{}\"'’`*_|<>=~“”„–—".contains(c));
    let mut atoms = Vec::new();
    for token in parts.filter(|token| !token.is_empty()) {
        let core = token.trim_matches(|c: char| !c.is_alphanumeric());
        if core.is_empty() {
            if let Some(sign) = token.chars().find(|c| SIGNS.contains(*c)) {
                atoms.push(Atom::Word(sign.to_string()));
            }
            atoms.extend(mark_in(token));
            continue;
        }
        let at = token.find(core).unwrap_or(0);
        let (lead, tail) = (&token[..at], &token[at + core.len()..]);
        if core.starts_with(|c: char| c.is_ascii_digit()) {
            let after_number = matches!(atoms.last(), Some(Atom::Numbers { .. }));
            atoms.push(numbers_of(
                core,
                !after_number && is_minus(lead),
                lead,
                tail,
            ));
        } else if core.contains(|c: char| c.is_ascii_digit()) {
            atoms.push(Atom::Numbers {
                values: vec![core.to_uppercase()],
                unit: None,
            });
        } else {
            let degree = if lead.ends_with('°') { "°" } else { "" };
            atoms.push(Atom::Word(format!("{degree}{core}")));
        }
        atoms.extend(mark_in(tail));
    }
    atoms
}

fn mark_in(text: &str) -> Option<Atom> {
    text.chars().find(|c| ",;:.!?".contains(*c)).map(Atom::Mark)
}

/// Is it a minus, and no dash between words?
fn is_minus(lead: &str) -> bool {
    let lead = lead.trim_end_matches(|c| SIGNS.contains(c));
    lead.ends_with('-') && !lead.ends_with("--")
}

/// The numbers of a token that begins with a digit, with the unit that sticks to it.
fn numbers_of(core: &str, negative: bool, lead: &str, tail: &str) -> Atom {
    let digits = |c: char| c.is_ascii_digit() || ".,:/-".contains(c);
    let (number, rest) = core.split_at(core.find(|c| !digits(c)).unwrap_or(core.len()));
    let number = number.trim_end_matches(['.', ',', ':', '/', '-']);
    let mut values = values_of(number);
    if let Some(first) = values.first_mut().filter(|_| negative) {
        first.insert(0, '-');
    }
    let letters = rest.trim_start_matches('-');
    let letters: String = letters.chars().take_while(|c| c.is_alphabetic()).collect();
    let letters = letters.to_lowercase();
    let ordinal = ["st", "nd", "rd", "th"].contains(&letters.as_str());
    let decade = letters == "s" && is_year(number);
    let word = (!letters.is_empty() && !ordinal && !decade).then_some(letters);
    let sign = |text: &str| {
        text.chars()
            .find(|c| SIGNS.contains(*c))
            .map(|c| c.to_string())
    };
    Atom::Numbers {
        values,
        unit: word
            .or_else(|| sign(rest))
            .or_else(|| sign(tail))
            .or_else(|| sign(lead)),
    }
}

/// What digits and the marks between them say.
fn values_of(number: &str) -> Vec<String> {
    if let Some(value) = date(number).or_else(|| time(number)) {
        return vec![value];
    }
    let plain = |part: &str| !part.is_empty() && !part.contains(['-', '/', ':']);
    if let Some((from, to)) = number.split_once('-')
        && plain(from)
        && plain(to)
    {
        return [from, to].into_iter().flat_map(values_of).collect();
    }
    if number.contains(['-', '/', ':']) {
        return vec![number.replace(',', "")];
    }
    decimals(number)
}

/// A number with points and commas; several, where the commas only stand between them.
fn decimals(number: &str) -> Vec<String> {
    let all_groups = |rest: &[&str]| {
        let group = |part: &&str| part.len() == 3;
        !rest.is_empty() && rest.iter().all(group)
    };
    let points: Vec<&str> = number.split('.').collect();
    let commas: Vec<&str> = number.split(',').collect();
    let whole = |part: &str| (1..=3).contains(&part.len()) && !part.starts_with('0');
    match (points.as_slice(), commas.as_slice()) {
        // 1.250.000 and 1.250,50
        ([first, rest @ ..], [_]) if rest.len() > 1 && whole(first) && all_groups(rest) => {
            vec![number.replace('.', "")]
        }
        ([first, rest @ ..], [grouped, cents])
            if !rest.is_empty()
                && grouped.contains('.')
                && !cents.contains('.')
                && whole(first) =>
        {
            vec![format!("{}.{cents}", grouped.replace('.', ""))]
        }
        // 1,250 and 1,250.75
        (_, [first, rest @ .., last])
            if whole(first)
                && (rest.is_empty() || all_groups(rest))
                && last.split('.').next().is_some_and(|group| group.len() == 3) =>
        {
            vec![number.replace(',', "")]
        }
        // 3,5
        ([_], [first, last]) if first.len() < 4 || last.len() < 3 => {
            vec![format!("{first}.{last}")]
        }
        (_, [_]) => vec![number.to_owned()],
        _ => {
            let parts = commas.into_iter().filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        }
    }
}

/// `2025-03-12`, or `12.03.2025` and `12.3.2025` as the same.
fn date(number: &str) -> Option<String> {
    let [a, b, c] = three(number, '-').or_else(|| three(number, '.'))?;
    let (year, month, day) = if number.contains('-') {
        (a, b, c)
    } else {
        (c, b, a)
    };
    day_of(year, month.parse().ok()?, day)
}

fn three(number: &str, mark: char) -> Option<[&str; 3]> {
    let parts: Vec<&str> = number.split(mark).collect();
    parts.try_into().ok()
}

fn day_of(year: &str, month: u32, day: &str) -> Option<String> {
    let day: u32 = day.parse().ok().filter(|_| day.len() <= 2)?;
    let is_day = year.len() == 4 && (1..=12).contains(&month) && (1..=31).contains(&day);
    let digits = year.bytes().all(|byte| byte.is_ascii_digit());
    (is_day && digits).then(|| format!("{year}-{month:02}-{day:02}"))
}

fn parts_of_date(value: &str) -> Option<[u32; 3]> {
    let [year, month, day] = three(value, '-')?;
    (year.len() == 4).then_some(())?;
    Some([year.parse().ok()?, month.parse().ok()?, day.parse().ok()?])
}

fn day_and_year(value: &str) -> Option<(String, String)> {
    let [year, _, day] = parts_of_date(value)?;
    Some((day.to_string(), year.to_string()))
}

/// A date that these atoms begin with: "12 March 2025", "March 12, 2025".
fn date_at(atoms: &[Atom]) -> Option<String> {
    let single = |atom: &Atom| match atom {
        Atom::Numbers { values, .. } if values.len() == 1 => Some(values[0].clone()),
        _ => None,
    };
    atoms.first().filter(|atom| atom.is_of_date())?;
    let mut parts = atoms.iter().take(6).filter(|atom| atom.is_of_date());
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    let (day, month) = match (first, second) {
        (day, Atom::Word(month)) | (Atom::Word(month), day) => (single(day)?, month),
        _ => return None,
    };
    day_of(&single(third)?, month_of(month)?, &day)
}

/// `8:14` as `08:14`.
fn time(number: &str) -> Option<String> {
    let (hour, rest) = number.split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_hour = (1..=2).contains(&hour.len()) && hour.parse::<u32>().is_ok_and(|h| h < 25);
    (is_hour && rest.split(':').all(two)).then(|| format!("{hour:0>2}:{rest}"))
}

/// Digits of any script as ours, and the marks that go with them.
fn plain_digits(text: &str) -> String {
    /// The zeros of decimal digits; nine more follow each.
    const ZEROS: [u32; 22] = [
        0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50,
        0xED0, 0xF20, 0x1040, 0x17E0, 0x1810, 0x1946, 0x19D0, 0xA8D0, 0xFF10,
    ];
    let plain = |c: char| match c {
        '−' => '-',
        '٫' | '．' => '.',
        '٬' | '，' => ',',
        '：' => ':',
        _ if c.is_ascii() => c,
        _ => {
            let digit = ZEROS.iter().find_map(|zero| {
                let digit = u32::from(c).checked_sub(*zero)?;
                char::from_digit(digit, 10)
            });
            digit.unwrap_or(c)
        }
    };
    text.chars().map(plain).collect()
}

/// `1 234 567` as `1234567`: groups of three digits behind a space belong to the number before, as
/// long as they go on.
fn joined_groups(text: &str) -> String {
    let digits_at = |from: usize| {
        let rest = text[from..].bytes();
        rest.take_while(u8::is_ascii_digit).count()
    };
    let mut joined = String::with_capacity(text.len());
    // Digits of the number that was read last, whether groups were joined to it, and whether it
    // stands by itself: behind a mark it is the end of another.
    let (mut digits, mut grouped, mut alone) = (0, false, true);
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        let space = matches!(c, ' ' | '\u{a0}' | '\u{202f}');
        let begun = alone && (grouped || (1..=3).contains(&digits));
        if space && begun && digits_at(next) == 3 {
            grouped = true;
            continue;
        }
        joined.push(c);
        if c.is_ascii_digit() {
            digits += 1;
        } else {
            let behind = c == '-' && digits > 0;
            alone = !(c.is_alphanumeric() || ".,:/".contains(c) || behind);
            (digits, grouped) = (0, false);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_comparable() {
        let check = |text: &str, expected: &[&str]| {
            let expected: HashSet<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(numbers(text), expected, "{text}");
        };
        check("at 08:14, on 2024-03-01.", &["08:14", "2024-03-01"]);
        check("1,250 EUR (3.5 %)", &["1250", "3.5"]);
        check("v2.1 and 40mm", &["V2.1", "40"]);
        check("6 402 m³ on page 12 of 400", &["6402", "12", "400"]);
        check("none", &[]);
        // Commas and points.
        check("3,5 kg", &["3.5"]);
        check("0,125 l and 3,1415", &["0.125", "3.1415"]);
        check("1,250,000 or 1.250.000", &["1250000"]);
        check("1,250.75 or 1.250,75", &["1250.75"]);
        check("1,2,3", &["1", "2", "3"]);
        check("version 1.250 at 192.168.1.10", &["1.250", "192.168.1.10"]);
        // Groups behind spaces.
        check("1 234 567 people", &["1234567"]);
        check("3.5 100 and 5 1000", &["3.5", "100", "5", "1000"]);
        check("12\u{202f}500 €", &["12500"]);
        // Signs and ranges.
        check("-5 °C, (−7), x=-8", &["-5", "-7", "-8"]);
        check(
            "from 2019-2020, pages 3-5, 7–9",
            &["2019", "2020", "3", "5", "7", "9"],
        );
        check("3 -5", &["3", "5"]);
        check("- 5 eggs, $-3, -$4", &["5", "-3", "-4"]);
        check("2019-20 100", &["2019", "20", "100"]);
        // Dates and times.
        check("12 March 2025", &["12", "2025", "2025-03-12"]);
        check("March 12th, 2025", &["12", "2025", "2025-03-12"]);
        check("12. März 2025 or 12.03.2025", &["12", "2025", "2025-03-12"]);
        check(
            "3. Sep\u{ad}tem\u{ad}ber 2025",
            &["3", "2025", "2025-09-03"],
        );
        check("8:14", &["08:14"]);
        check("you may 12 2025", &["12", "2025"]);
        // Digits of other scripts.
        check("１２ and ٣٤ and १२३", &["12", "34", "123"]);
    }

    #[test]
    fn days_are_the_same_in_all_spellings() {
        let meet = |asked: &str, held: &str| Dates::of(asked).meet(&Dates::of(held));
        for day in [
            "20 February",
            "February 20th",
            "the 20th of February",
            "20. Februar",
            "2026-02-20",
            "20.02.2026",
            "Feb 20, 2026",
        ] {
            assert!(meet(day, "## 2026-02-20"), "{day}");
            assert!(!meet(day, "2026-02-03 and 20 March"), "{day}");
        }
        assert!(meet("in December 2025", "2025-12 | 48 EUR") && meet("in 2025-12", "5 Dec 2025"));
        assert!(!meet("in December 2025", "2024-12") && !meet("4 May 2025", "May 2025"));
        assert!(Dates::of("in March, from 2019-20, we may 3").is_empty());
        let asked = Dates::of("What did I do on 2026-05-19?");
        assert!(["2026", "05", "19"].iter().all(|part| asked.has_part(part)));
        assert!(Dates::of("on 19.05.2026").has_part("19.05.2026") && !asked.has_part("do"));
    }

    #[test]
    fn dates_hold_their_parts_and_words_their_numbers() {
        let holds = |text: &str, number: &str| held_numbers(text).contains(number);
        assert!(holds("on 2025-03-12", "2025") && holds("on 2025-03-12", "12"));
        assert!(holds("three cats", "3") && !holds("three cats", "4"));
        let names = |text: &str| -> Vec<String> {
            let found = calendar_words(text).into_iter();
            found.map(|(_, name)| name).collect()
        };
        assert_eq!(names("on 12 March"), names("2025-03-12"));
        assert_eq!(names("on monday"), names("Montag"));
        assert!(names("we may march in the sun").is_empty());
    }

    #[test]
    fn units_stand_behind_numbers_or_stick_to_them() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = figures(text).into_iter();
            let found: Vec<(String, String)> = found
                .map(|figure| (figure.value, figure.unit.unwrap_or_default()))
                .collect();
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(value, unit)| ((*value).to_owned(), (*unit).to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "5 miles, 5km and 5 %",
            &[("5", "miles"), ("5", "km"), ("5", "%")],
        );
        check("€5 or 5€, -$4", &[("5", "€"), ("5", "€"), ("-4", "$")]);
        check("EUR 840 a month", &[("840", "eur")]);
        check("840 EUR, 20 each", &[("840", "eur"), ("20", "each")]);
        check("840 euros 20 cents", &[("840", "euros"), ("20", "cents")]);
        check("3-5 km", &[("3", "km"), ("5", "km")]);
        check("the 3rd, in the 1990s.", &[("3", ""), ("1990", "")]);
        check("a 10-year loan", &[("10", "year")]);
        check("at 20 °C", &[("20", "°c")]);
        assert!(same_unit("km", "kilometres") && !same_unit("km", "miles"));
    }
}
