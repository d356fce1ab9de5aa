//! What a form may cost that a text must have: looked at before the model's process sees it.
//!
//! llama.cpp holds every token of the vocabulary against a grammar, on the one thread that all
//! requests share, and follows each way in which a token may be read. The ways multiply where parts
//! of a pattern that may be left out or go on follow each other, so these are counted, and a part
//! that repeats must not be one that can be read in two ways. What is left of that (rules that
//! refer to each other) is for those who look at the clock: the model's process after each token,
//! its keeper when it says nothing any more.

use serde_json::Value;

use super::EngineError;
use super::generate::Grammar;

/// Bytes of a schema or a grammar at most.
const MOST_BYTES: usize = 128 << 10;

/// Levels at most, of a schema's values, of a grammar's brackets and of a pattern's.
const DEEPEST: usize = 64;

/// Properties of one object at most, and forms of which one is to be met: llama.cpp writes a rule
/// for each that may be the first, and goes through all behind it for each of these.
const MOST_FORMS: usize = 256;

/// Values of one `enum` at most.
const MOST_VALUES: usize = 1000;

/// Bytes of a name or a reference at most: llama.cpp searches them by recursion.
const LONGEST_NAME: usize = 256;

/// References that lead to references at most.
const MOST_REFERENCES: usize = 16;

/// Characters of a pattern at most.
const LONGEST_PATTERN: usize = 1000;

/// Repetitions that llama.cpp writes out at most, of one thing and of a whole schema.
const MOST_COPIES: usize = 2000;
const MOST_WRITTEN: usize = 50_000;

/// The largest number that llama.cpp reads as it is (`int`).
const LARGEST_NUMBER: usize = 0x7fff_ffff;

/// How often a pattern may leave one the choice: twice as many ways for each at most.
const MOST_CHOICES: usize = 20;

/// What a repetition with an open end is worth in choices: five beside each other can share thirty
/// characters out among them in 2^15 ways.
const LOOP: usize = 3;

impl Grammar {
    /// Can it be held against a vocabulary in reasonable time?
    ///
    /// # Errors
    /// [`EngineError::CostlyGrammar`] with what is too much; [`EngineError::Grammar`] for a schema
    /// that is no JSON.
    pub fn check(&self) -> Result<(), EngineError> {
        let costly = |reason| EngineError::CostlyGrammar { reason };
        let (Self::Gbnf(text) | Self::JsonSchema(text)) = self;
        if text.len() > MOST_BYTES {
            let bytes = text.len();
            let reason = format!("it has {bytes} bytes, {MOST_BYTES} are the most");
            return Err(costly(reason));
        }
        match self {
            Self::Gbnf(text) => check_nesting(text).map_err(costly),
            Self::JsonSchema(text) => {
                let root: Value =
                    serde_json::from_str(text).map_err(|error| EngineError::Grammar {
                        reason: error.to_string(),
                    })?;
                let mut schema = Schema {
                    root: &root,
                    written: 0,
                };
                schema.check(&root, false, 0).map_err(costly)
            }
        }
    }
}

fn too_deep(what: &str) -> String {
    format!("{what} lies more than {DEEPEST} levels deep")
}

/// Looks at the brackets of a grammar in llama.cpp's notation, which are read by recursion.
fn check_nesting(gbnf: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    // What ends a text, a range of characters or a comment that was begun.
    let mut end = None;
    let mut characters = gbnf.chars();
    while let Some(character) = characters.next() {
        match (end, character) {
            (Some(last), c) if c == last => end = None,
            (Some('"' | ']'), '\\') => {
                let _ = characters.next();
            }
            (None, '"') => end = Some('"'),
            (None, '[') => end = Some(']'),
            (None, '#') => end = Some('\n'),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(too_deep("a group of it"));
        }
    }
    Ok(())
}

/// A JSON Schema that is looked at.
struct Schema<'a> {
    root: &'a Value,
    /// Repetitions that were seen.
    written: usize,
}

/// Entries of which what is below is named by people, and is a schema.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];

/// Entries whose values are no schemas.
const VALUES: [&str; 4] = ["default", "examples", "const", "enum"];

impl Schema<'_> {
    /// Looks at a schema; or at schemas under names that mean nothing, where they are `named`.
    fn check(&mut self, value: &Value, named: bool, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(too_deep("a part of it"));
        }
        match value {
            Value::Object(entries) => {
                for (name, inner) in entries {
                    if name.len() > LONGEST_NAME {
                        return Err(format!("a name in it has more than {LONGEST_NAME} bytes"));
                    }
                    if !named {
                        self.check_entry(name, inner)?;
                        if VALUES.contains(&name.as_str()) {
                            continue;
                        }
                    }
                    let names = !named && NAMED.contains(&name.as_str());
                    self.check(inner, names, depth + 1)?;
                }
            }
            Value::Array(values) => {
                for inner in values {
                    self.check(inner, false, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_entry(&mut self, name: &str, inner: &Value) -> Result<(), String> {
        let at_most = |most: usize, found: usize| {
            let said = || format!("`{name}` has {found} entries, {most} are the most");
            (found <= most).then_some(()).ok_or_else(said)
        };
        match (name, inner) {
            ("pattern", Value::String(pattern)) => self.write(characters_of(pattern)?),
            ("$ref", Value::String(to)) => self.check_reference(to),
            ("properties", Value::Object(entries)) => at_most(MOST_FORMS, entries.len()),
            ("enum", Value::Array(values)) => at_most(MOST_VALUES, values.len()),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(forms)) => {
                at_most(MOST_FORMS, forms.len())
            }
            // It would go through what is below once for each.
            ("type", Value::Array(types)) => {
                let twice = types
                    .iter()
                    .enumerate()
                    .any(|(n, one)| types[..n].contains(one));
                let said = || "one `type` is named twice".to_owned();
                (!twice).then_some(()).ok_or_else(said)
            }
            ("minLength" | "maxLength" | "minItems" | "maxItems", Value::Number(number)) => {
                let copies = number.as_u64().unwrap_or(0);
                let copies = usize::try_from(copies).unwrap_or(usize::MAX);
                // More than it writes out is as good as no end to llama.cpp, but for numbers that it
                // takes for smaller ones.
                let is_open = (MOST_COPIES + 1..=LARGEST_NUMBER).contains(&copies);
                let is_open = is_open && name.starts_with("max");
                self.write(if is_open { 0 } else { copies.min(MOST_COPIES) })
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, copies: usize) -> Result<(), String> {
        self.written += copies;
        let said = || {
            let written = self.written;
            format!("its lengths come to {written} repetitions, {MOST_WRITTEN} are the most")
        };
        (self.written <= MOST_WRITTEN)
            .then_some(())
            .ok_or_else(said)
    }

    /// A reference to a reference may lead back to itself, and llama.cpp follows it. It reads some that
    /// lead nowhere in its own way (`#/allOf/00`, `~0`), and may come round to where it was.
    fn check_reference(&self, to: &str) -> Result<(), String> {
        if to.len() > LONGEST_NAME {
            return Err(format!("a reference has more than {LONGEST_NAME} bytes"));
        }
        let mut to = to;
        for _ in 0..MOST_REFERENCES {
            let place = to.strip_prefix('#');
            let place = place.filter(|at| !at.contains('~') && leads_to_schema(at));
            let Some(place) = place.and_then(|at| self.root.pointer(at)) else {
                return Err(format!("the reference `{to}` leads nowhere in it"));
            };
            match place["$ref"].as_str() {
                Some(next) => to = next,
                None => return Ok(()),
            }
        }
        Err(format!(
            "the reference `{to}` leads to more than {MOST_REFERENCES} others, or to itself"
        ))
    }
}

/// Does a reference lead to what was looked at as a schema, and not into a mere value?
fn leads_to_schema(pointer: &str) -> bool {
    let mut named = false;
    pointer.split('/').skip(1).all(|step| {
        let is_value = !named && VALUES.contains(&step);
        named = !named && NAMED.contains(&step);
        !is_value
    })
}

/// Characters, as ranges of their numbers.
type Characters = Vec<(u32, u32)>;

const LAST_CHARACTER: u32 = 0x0010_FFFF;

fn meet(some: &[(u32, u32)], others: &[(u32, u32)]) -> bool {
    let met = |(first, last): &(u32, u32)| others.iter().any(|(a, b)| first <= b && a <= last);
    some.iter().any(met)
}

/// All characters but these.
fn all_but(mut characters: Characters) -> Characters {
    characters.sort_unstable();
    let (mut others, mut next) = (Vec::new(), 0);
    for (first, last) in characters {
        if first > next {
            others.push((next, first - 1));
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= LAST_CHARACTER {
        others.push((next, LAST_CHARACTER));
    }
    others
}

/// A part of a pattern.
#[derive(Clone, Default)]
struct Part {
    /// Characters at most, as far as there is an end.
    copies: usize,
    /// How often it leaves one the choice.
    choices: usize,
    /// Is it one character, no more and no less?
    is_single: bool,
    may_be_empty: bool,
    /// Is it plain where it ends, if it is said again and again?
    is_parted: bool,
    begins_with: Characters,
    holds: Characters,
}

/// How many characters a pattern writes out.
///
/// # Errors
/// What is too much about it.
fn characters_of(pattern: &str) -> Result<usize, String> {
    let length = pattern.chars().count();
    if length > LONGEST_PATTERN {
        return Err(format!(
            "a pattern has {length} characters, {LONGEST_PATTERN} are the most"
        ));
    }
    let Some(bare) = written_out(pattern) else {
        return Ok(0);
    };
    let mut reader = PatternReader {
        characters: bare.chars().collect(),
        at: 0,
    };
    let part = reader
        .alternatives(0)
        .map_err(|what| format!("the pattern `{pattern}` {what}"))?;
    if part.copies > MOST_COPIES {
        let copies = part.copies;
        return Err(format!(
            "the pattern `{pattern}` comes to {copies} characters, {MOST_COPIES} are the most"
        ));
    }
    if part.choices > MOST_CHOICES {
        return Err(format!("the pattern `{pattern}` {MANY_WAYS}"));
    }
    Ok(part.copies)
}

/// What llama.cpp makes rules of: the inside of a pattern that is anchored, and holds no group and no
/// escape that it does not know. For any other it takes every text.
fn written_out(pattern: &str) -> Option<&str> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut characters = inner.chars().peekable();
    let mut within_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let unknown = |c: &char| c.is_ascii_alphabetic() && !"trnxuU".contains(*c);
                if characters.next().as_ref().is_some_and(unknown) {
                    return None;
                }
            }
            '[' => within_class = true,
            ']' => within_class = false,
            '(' if !within_class && characters.next_if_eq(&'?').is_some() => {
                characters.next_if_eq(&':')?;
            }
            _ => {}
        }
    }
    Some(inner)
}

const MANY_WAYS: &str = "can be read in too many ways: too many of its parts may be left out, or \
                         repeat without saying where they end";

/// Reads a pattern as llama.cpp does; what that refuses is not refused here.
struct PatternReader {
    characters: Vec<char>,
    at: usize,
}

impl PatternReader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self, depth: usize) -> Result<Part, String> {
        if depth > DEEPEST {
            return Err(format!("has groups more than {DEEPEST} levels deep"));
        }
        let mut parts = vec![self.sequence(depth)?];
        while self.take('|') {
            parts.push(self.sequence(depth)?);
        }
        if depth == 0 && self.peek().is_some() {
            return Err("closes a group that it does not open".to_owned());
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let apart = parts.iter().enumerate().all(|(n, part)| {
            let mut before = parts[..n].iter();
            let met = before.any(|other| meet(&part.begins_with, &other.begins_with));
            !met && part.choices == 0 && !part.may_be_empty
        });
        let mut whole = Part {
            is_parted: apart,
            ..Part::default()
        };
        // One of two is one choice, one of four are two.
        let choice = parts.len().next_power_of_two().ilog2() as usize;
        for part in parts {
            whole.copies = whole.copies.saturating_add(part.copies);
            whole.choices = whole.choices.max(part.choices);
            whole.may_be_empty |= part.may_be_empty;
            whole.begins_with.extend(part.begins_with);
            whole.holds.extend(part.holds);
        }
        whole.choices = whole.choices.saturating_add(choice);
        Ok(whole)
    }

    fn sequence(&mut self, depth: usize) -> Result<Part, String> {
        let mut parts = Vec::new();
        while self.peek().is_some_and(|next| next != '|' && next != ')') {
            let mut part = self.atom(depth)?;
            while let Some((least, most)) = self.repetition() {
                part = repeated(part, least, most)?;
            }
            parts.push(part);
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let parts_it = |(n, part): (usize, &Part)| {
            let mut others = parts.iter().enumerate().filter(|(other, _)| *other != n);
            part.is_single && !others.any(|(_, other)| meet(&part.holds, &other.holds))
        };
        let mut whole = Part {
            may_be_empty: true,
            is_parted: parts.iter().enumerate().any(parts_it),
            ..Part::default()
        };
        for part in parts {
            whole.copies = whole.copies.saturating_add(part.copies);
            whole.choices = whole.choices.saturating_add(part.choices);
            if whole.may_be_empty {
                whole.begins_with.extend(part.begins_with);
            }
            whole.may_be_empty &= part.may_be_empty;
            whole.holds.extend(part.holds);
        }
        Ok(whole)
    }

    fn atom(&mut self, depth: usize) -> Result<Part, String> {
        let characters = match self.next() {
            Some('(') => {
                if self.take('?') {
                    self.take(':');
                }
                let part = self.alternatives(depth + 1)?;
                self.take(')');
                return Ok(part);
            }
            Some('[') => self.class(),
            Some('.') => vec![(0, LAST_CHARACTER)],
            Some('\\') => self.escaped(),
            Some(other) => vec![(u32::from(other), u32::from(other))],
            None => Vec::new(),
        };
        Ok(Part {
            copies: 1,
            is_single: true,
            begins_with: characters.clone(),
            holds: characters,
            ..Part::default()
        })
    }

    fn class(&mut self) -> Characters {
        let negated = self.take('^');
        let mut characters = Characters::new();
        while let Some(next) = self.next().filter(|next| *next != ']') {
            if next == '\\' {
                characters.extend(self.escaped());
                continue;
            }
            let mut last = next;
            let ends_behind = self.characters.get(self.at + 1).is_some_and(|c| *c != ']');
            if ends_behind && self.take('-') {
                last = self.next().unwrap_or(next);
            }
            characters.push((u32::from(next), u32::from(last)));
        }
        if negated {
            all_but(characters)
        } else {
            characters
        }
    }

    /// What stands behind a backslash; whatever has a number is taken for any character.
    fn escaped(&mut self) -> Characters {
        match self.next() {
            Some('d') => vec![(u32::from('0'), u32::from('9'))],
            Some(letter) if letter.is_ascii_alphabetic() => vec![(0, LAST_CHARACTER)],
            Some(other) => vec![(u32::from(other), u32::from(other))],
            None => Characters::new(),
        }
    }

    /// How often the part before is said: at least, and at most where there is an end.
    fn repetition(&mut self) -> Option<(usize, Option<usize>)> {
        let (least, most) = match self.peek()? {
            '?' => (0, Some(1)),
            '*' => (0, None),
            '+' => (1, None),
            '{' => {
                let rest = &self.characters[self.at + 1..];
                let length = rest.iter().position(|c| *c == '}')?;
                let counts: String = rest[..length].iter().collect();
                self.at += length + 1;
                let count = |text: &str| text.trim().parse::<usize>().ok();
                match counts.split_once(',') {
                    Some((least, most)) => (count(least).unwrap_or(0), count(most)),
                    None => (count(&counts).unwrap_or(0), count(&counts)),
                }
            }
            _ => return None,
        };
        self.at += 1;
        Some((least, most))
    }
}

/// A part that is said so often.
fn repeated(part: Part, least: usize, most: Option<usize>) -> Result<Part, String> {
    let copies = most.unwrap_or(least).max(least).max(1);
    let more = most.map(|most| most.saturating_sub(least));
    let own = match more {
        Some(0) => 0,
        Some(1) => 1,
        Some(_) | None => LOOP,
    };
    // Where it is plain where one ends, a next one adds no way to read it.
    let within = if part.choices == 0 || part.is_parted {
        part.choices
    } else if more.is_some() {
        part.choices.saturating_mul(copies)
    } else {
        return Err(MANY_WAYS.to_owned());
    };
    Ok(Part {
        // What says nothing is written out, too.
        copies: part.copies.max(1).saturating_mul(copies),
        choices: within.saturating_add(own),
        is_single: part.is_single && (least, most) == (1, Some(1)),
        may_be_empty: part.may_be_empty || least == 0,
        is_parted: false,
        ..part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pattern(pattern: &str) -> Grammar {
        let schema = serde_json::json!({
            "type": "object",
            "properties": { "word": { "type": "string", "pattern": pattern } },
        });
        Grammar::JsonSchema(schema.to_string())
    }

    fn refused(grammar: &Grammar) -> Option<&'static str> {
        use crate::error::Fault;
        grammar.check().err().map(|error| error.code())
    }

    #[test]
    fn patterns_that_can_be_read_in_too_many_ways_are_refused() {
        for costly in [
            "^(a?){200}a{200}$",
            "^(a?){1000}a{1000}$",
            "^(a|a){100}$",
            "^(a|a)*$",
            "^(a+)+b$",
            "^(a*)*b$",
            "^(aa?a?a?)*$",
            "^a*a*a*a*a*a*a*b$",
            "^((a?){5}){5}$",
            "^a?{5}{5}$",
            "^a{3000}$",
            "^((a{50}){50}){50}$",
            "^((((((((((((){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}$",
            "^(\\(?a?){200}$",
        ] {
            let found = refused(&with_pattern(costly));
            assert_eq!(found, Some("costly_grammar"), "{costly}");
        }
        let deep = format!("^{}a{}$", "(".repeat(90), ")".repeat(90));
        assert_eq!(refused(&with_pattern(&deep)), Some("costly_grammar"));
        let long = "a".repeat(LONGEST_PATTERN + 1);
        assert_eq!(refused(&with_pattern(&long)), Some("costly_grammar"));
    }

    #[test]
    fn patterns_that_people_write_are_taken() {
        for usual in [
            "^[A-Z]{2}[0-9]{4}$",
            "^.{1,500}$",
            "^a{2000}$",
            "^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$",
            "^[A-Z][a-z]+( [A-Z][a-z]+)*$",
            "^[a-z0-9]+(-[a-z0-9]+){0,12}$",
            "^[^,]+(, ?[^,]+)*$",
            "^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,}$",
            "^https?://[a-z0-9.-]+(:[0-9]+)?(/[^ ]*)?$",
            "^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$",
            "^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$",
            "^([0-9]{1,3}\\.){3}[0-9]{1,3}$",
            "^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)$",
            "^([a-z]|[0-9])+$",
            "^\\d{4}-\\d{2}-\\d{2}$",
            // For these it takes every text.
            "^(?!^[-+.]*$)[+-]?0*(?:\\d{0,8}|(?=[\\d.]{1,11}0*$)\\d{0,8}\\.\\d{0,2}0*$)",
            "^\\w+(\\.\\w+)*$",
            "(a+)+",
            "",
        ] {
            assert_eq!(refused(&with_pattern(usual)), None, "{usual}");
        }
    }

    #[test]
    fn schemas_that_are_too_large_or_lead_nowhere_are_refused() {
        let check = |schema: serde_json::Value, expected: Option<&str>| {
            let text = schema.to_string();
            let found = refused(&Grammar::JsonSchema(text.clone()));
            assert_eq!(found, expected, "{text}");
        };
        let object = |count: usize| {
            let form = serde_json::json!({ "type": "null" });
            let named = (0..count).map(|n| (format!("p{n}"), form.clone()));
            let properties: serde_json::Map<String, Value> = named.collect();
            serde_json::json!({ "type": "object", "properties": properties })
        };
        check(object(MOST_FORMS), None);
        check(object(MOST_FORMS + 1), Some("costly_grammar"));
        let nested = |levels: usize| {
            let inner = serde_json::json!({ "type": "string" });
            (0..levels).fold(inner, |inner, _| serde_json::json!({ "items": inner }))
        };
        check(nested(20), None);
        check(nested(DEEPEST + 1), Some("costly_grammar"));
        let tree = serde_json::json!({
            "$defs": { "node": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
            "$ref": "#/$defs/node",
        });
        check(tree, None);
        let circle = serde_json::json!({
            "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } },
            "allOf": [{ "$ref": "#/$defs/a" }],
        });
        check(circle, Some("costly_grammar"));
        for nowhere in [
            "#/allOf/00",
            "#/$defs/~0",
            "#/$defs/b",
            "https://a.example/b",
        ] {
            let schema = serde_json::json!({
                "$defs": { "~": { "type": "null" } },
                "allOf": [{ "$ref": nowhere }],
            });
            check(schema, Some("costly_grammar"));
        }
        let twice = serde_json::json!({ "type": ["array", "array"], "items": {} });
        check(twice, Some("costly_grammar"));
        check(serde_json::json!({ "type": ["array", "null"] }), None);
        // What is only a value is no pattern; what is only a name is one below.
        let value = serde_json::json!({ "default": { "pattern": "^(a+)+$" } });
        check(value, None);
        for to in ["#/default", "#/properties/properties/default"] {
            let hidden = serde_json::json!({
                "default": { "pattern": "^(a+)+$" },
                "properties": { "properties": { "default": { "type": "null" } } },
                "allOf": [{ "$ref": to }],
            });
            check(hidden, Some("costly_grammar"));
        }
        let usual = serde_json::json!({
            "$defs": { "default": { "type": "null" } },
            "allOf": [{ "$ref": "#/$defs/default" }],
        });
        check(usual, None);
        let named = serde_json::json!({ "properties": { "default": { "pattern": "^(a+)+$" } } });
        check(named, Some("costly_grammar"));
        let long = serde_json::json!({ "const": "x".repeat(MOST_BYTES) });
        check(long, Some("costly_grammar"));
        let lengths = vec![serde_json::json!({ "type": "string", "maxLength": 2000 }); 26];
        let open = vec![serde_json::json!({ "type": "string", "maxLength": 5000 }); 100];
        check(serde_json::json!({ "prefixItems": open }), None);
        // Read as an `int`, this is 2000.
        let wrapped = serde_json::json!({ "type": "string", "maxLength": (1_u64 << 32) + 2000 });
        let wrapped = vec![wrapped; 26];
        check(
            serde_json::json!({ "prefixItems": wrapped }),
            Some("costly_grammar"),
        );
        check(
            serde_json::json!({ "prefixItems": lengths }),
            Some("costly_grammar"),
        );
        assert_eq!(
            refused(&Grammar::JsonSchema("{".into())),
            Some("bad_grammar")
        );
    }

    #[test]
    fn grammars_that_are_too_deep_are_refused() {
        let nested = |depth: usize| {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            Grammar::Gbnf(format!("root ::= {open}\"x\"{close}"))
        };
        assert_eq!(refused(&nested(DEEPEST)), None);
        assert_eq!(refused(&nested(DEEPEST + 1)), Some("costly_grammar"));
        assert_eq!(refused(&nested(20_000)), Some("costly_grammar"));
        let only_said = format!(
            "root ::= \"{0}\\\"{0}\" [{0}\\]{0}] # {0}",
            "(".repeat(DEEPEST)
        );
        assert_eq!(refused(&Grammar::Gbnf(only_said)), None);
    }
}
