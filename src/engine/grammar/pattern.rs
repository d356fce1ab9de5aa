//! What a pattern may cost, and how many characters llama.cpp writes out for it.
//!
//! The ways to read a text multiply where parts of a pattern that may be left out or go on follow
//! each other, so these are counted, and a part that repeats must not be one that can be read in two
//! ways.

use super::{DEEPEST, MOST_COPIES};

/// Characters of a pattern at most.
const LONGEST_PATTERN: usize = 1000;

/// How often a pattern may leave one the choice: twice as many ways for each at most.
const MOST_CHOICES: usize = 20;

/// What a repetition with an open end is worth in choices: five beside each other can share thirty
/// characters out among them in 2^15 ways.
const LOOP: usize = 3;

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
pub(super) fn characters_of(pattern: &str) -> Result<usize, String> {
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
            assert!(characters_of(costly).is_err(), "{costly}");
        }
        let deep = format!("^{}a{}$", "(".repeat(90), ")".repeat(90));
        assert!(characters_of(&deep).is_err());
        let long = "a".repeat(LONGEST_PATTERN + 1);
        assert!(characters_of(&long).is_err());
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
            assert!(characters_of(usual).is_ok(), "{usual}");
        }
    }
}
