//! Quoting: the best sentences as they stand in the notes, each with what it is to be read with, or
//! the whole list that most of them are of.

use std::collections::BTreeSet;
use std::ops::Range;

use super::StepKind;
use super::prompt::{told, told_code};
use super::work::{Sentence, Work};
use crate::domain::context::{self, Portion};
use crate::domain::sentence::code::{self, Code};
use crate::domain::sentence::{self, lines};
use crate::domain::surroundings::Surroundings;
use crate::domain::text::Text;
use crate::domain::{gate, question, table};

/// What `extractive` quotes.
pub(super) const EXTRACTS: Portion = Portion {
    count: 2,
    words: 80,
    share: 0.5,
};

impl Work<'_> {
    /// Quotes the sentences that fit best; returns whether it abstains, because there are none.
    pub(super) fn quote(&mut self, portion: Portion) -> bool {
        self.quote_these(self.sentences(0..self.hits().len(), portion))
    }

    /// Quotes where the model wrote nothing: it may have thought until its tokens were spent, which says
    /// nothing of the notes.
    pub(super) fn quote_instead(&mut self) -> bool {
        (self.told, self.cut_off) = (false, false);
        self.quote(EXTRACTS)
    }

    /// Quotes the sentences that fit best, or the whole list that most of them are of; returns
    /// whether it abstains, because there are none.
    pub(super) fn quote_or_list(&mut self, portion: Portion) -> bool {
        let chosen = self.sentences(0..self.hits().len(), portion);
        let Some((sentences, before, behind)) = self.list_of(&chosen, portion.words) else {
            return self.quote_these(self.with_neighbours(chosen));
        };
        self.quote_between(self.with_partners(&sentences), before, behind)
    }

    /// The list that most of the chosen sentences are of, the best of all among them, or that one of them
    /// leads into, as far as so many words go, and whether something of it is left out before and
    /// behind. One that holds what was called bad is not told whole.
    fn list_of(&self, chosen: &[Sentence], words: usize) -> Option<(Vec<Sentence>, bool, bool)> {
        let best = self.best_sentence();
        let hits: BTreeSet<usize> = chosen.iter().map(|(hit, _)| *hit).collect();
        hits.into_iter().find_map(|hit| {
            let text = self.text_of(hit);
            let mut lists = sentence::lists(text).into_iter();
            lists.find_map(|list| {
                let own = chosen.iter().filter(|(of, _)| *of == hit);
                let places = own
                    .clone()
                    .filter_map(|(_, span)| list.sentences.iter().position(|item| item == span));
                let places: Vec<usize> = places.collect();
                let leads = own
                    .filter(|(_, span)| list.lead_in.as_ref() == Some(span))
                    .count();
                let held = places.len() + leads;
                // Who asks how wants all steps.
                let first = list
                    .sentences
                    .first()
                    .map_or("", |span| &text[span.clone()]);
                let ordered = first.starts_with(|c: char| c.is_ascii_digit());
                let steps = ordered && !places.is_empty() && question::asks_how(self.asked());
                let one_item = leads == 0 && places.len() < 2;
                let is_of_list = |(of, span): &Sentence| {
                    let leads = list.lead_in.as_ref() == Some(span);
                    *of == hit && (leads || list.sentences.contains(span))
                };
                let lacks_best = !best.as_ref().is_some_and(is_of_list);
                if !steps && (one_item || lacks_best || 2 * held <= chosen.len()) {
                    return None;
                }
                let held = |at: usize| {
                    context::coverage(self.asked(), &[&text[list.sentences[at].clone()]])
                };
                let least = places.iter().map(|at| held(*at)).fold(1.0, f32::min);
                let others = (0..list.sentences.len()).filter(|at| !places.contains(at));
                let most = others.map(held).fold(0.0, f32::max);
                // Chosen by what they say, they are not the whole list.
                if leads == 0 && least > most && !steps {
                    return None;
                }
                let first = places.first().copied().unwrap_or(0);
                let part = sentence::part_of_list(&text, &list, first, words);
                let is_bad = |at: usize| self.is_called_bad(hit, &list.sentences[at]);
                if places.iter().any(|at| !part.contains(at)) || part.clone().any(is_bad) {
                    return None;
                }
                let lead_in = list.lead_in.clone().filter(|_| leads > 0);
                let items = list.sentences[part.clone()].iter().cloned();
                let quoted = lead_in.into_iter().chain(items).map(|span| (hit, span));
                let (before, behind) = (part.start > 0, part.end < list.sentences.len());
                Some((quoted.collect(), before, behind))
            })
        })
    }

    /// Chosen sentences that answer nothing by themselves, with what stands beside the best of them in its
    /// paragraph: where they say no more than the question, with the one before it and the one behind
    /// it; where that asks for a number and they tell none, with one of the two behind it that does.
    fn with_neighbours(&self, mut chosen: Vec<Sentence>) -> Vec<Sentence> {
        let best = self.best_sentence();
        let place = best.and_then(|best| chosen.iter().position(|own| *own == best));
        let Some(place) = place.filter(|_| question::asks(self.question())) else {
            return chosen;
        };
        let (hit, span) = chosen[place].clone();
        let text = self.text_of(hit);
        let spans = sentence::sentences(text);
        let is_list = |span: &Range<usize>| {
            let written = &text[span.clone()];
            lines::is_item(written) || lines::is_row(written) || written.starts_with('#')
        };
        let at = spans.iter().position(|own| *own == span);
        let Some(at) = at.filter(|_| !is_list(&span)) else {
            return chosen;
        };
        let is_near = |other: &Range<usize>| {
            let between = span.end.min(other.end)..span.start.max(other.start);
            let is_apart = text[between].contains("\n\n") || is_list(other);
            let says_nothing = sentence::is_question(&text[other.clone()]);
            !(is_apart || says_nothing || self.is_called_bad(hit, other))
        };
        let said = |(hit, span): &Sentence| &self.text_of(*hit).as_str()[span.clone()];
        let asked = context::content_words(self.asked());
        let more = |own: &Sentence| context::says_more(said(own), &asked);
        let says_nothing = !chosen.iter().any(more);
        let tells_number = chosen.iter().any(|own| self.tells_number(said(own)));
        let lacks_number = question::asks_for_number(self.question()) && !tells_number;
        let mut behind = spans[at + 1..].iter().take(2).filter(|next| is_near(next));
        let next = if says_nothing {
            behind.next()
        } else if lacks_number {
            behind.find(|next| self.tells_number(&text[(*next).clone()]))
        } else {
            None
        };
        if let Some(next) = next {
            chosen.insert(place + 1, (hit, next.clone()));
        }
        let before = at.checked_sub(1).map(|at| spans[at].clone());
        if let Some(before) = before.filter(|before| says_nothing && is_near(before)) {
            chosen.insert(place, (hit, before));
        }
        chosen
    }

    /// These sentences, each with what it is to be read with: a line that leads into code with that
    /// code, code with that line, one that ends with a colon with what stands below it, what does not
    /// always hold with the line that says so, what is taken back with what takes it back.
    pub(super) fn with_partners(&self, chosen: &[Sentence]) -> Vec<Sentence> {
        let mut all: Vec<Sentence> = Vec::new();
        for (hit, span) in chosen {
            let text = self.text_of(*hit);
            let (before, behind) = code::partners(text, span);
            let before = gate::limiting(text, span).into_iter().chain(before);
            let together = before.chain([span.clone()]).chain(behind);
            let below = led_into(text, span).filter(|below| !self.is_called_bad(*hit, below));
            let together = together.chain(below);
            let together = together.chain(correction_of(text, span));
            for sentence in together.map(|span| (*hit, span)) {
                if !all.contains(&sentence) {
                    all.push(sentence);
                }
            }
        }
        all
    }

    /// Quotes these sentences; returns whether it abstains, because there are none.
    pub(super) fn quote_these(&mut self, chosen: Vec<Sentence>) -> bool {
        let mut anew: Vec<Sentence> = Vec::new();
        for sentence in self.with_partners(&chosen) {
            let said = |other: &Sentence| self.is_same(other, &sentence);
            if !anew.iter().any(said) {
                anew.push(sentence);
            }
        }
        self.quote_between(anew, false, false)
    }

    /// Are two sentences the same words of the same chunk? They would be cited as one.
    fn is_same(&self, a: &Sentence, b: &Sentence) -> bool {
        let place = |(hit, span): &Sentence| {
            let chunk = self.hits()[*hit].chunk_at(span.start);
            (chunk, self.text_of(*hit)[span.clone()].to_owned())
        };
        a == b || place(a) == place(b)
    }

    /// Quotes sentences as they come, with what tells that something is left out before them, or
    /// behind them.
    fn quote_between(&mut self, chosen: Vec<Sentence>, before: bool, behind: bool) -> bool {
        let begun = self.begin();
        if chosen.is_empty() {
            return self.refuse("no sentence to quote");
        }
        let space = if self.text.is_empty() { "" } else { " " };
        let cut = if before { "… " } else { "" };
        self.say(&format!("{space}From your notes: {cut}"));
        let quotes = chosen.len();
        let mut was_block = false;
        for (i, (hit, span)) in chosen.into_iter().enumerate() {
            let text = self.text_of(hit);
            let code = Code::of(text);
            let written = &text[span.clone()];
            let header = Surroundings::of(text, span.start).table_header();
            let row = header.and_then(|header| table::with_headers(header, written));
            let quote = if code.is_fenced(span.start) {
                told_code(written, code.goes_on(span.end))
            } else {
                format!("“{}”", told(row.as_deref().unwrap_or(written)))
            };
            let n = self.cite(hit, span);
            // Code of several lines stands by itself.
            let is_block = quote.contains('\n');
            let space = match i {
                _ if is_block || was_block => "\n\n",
                0 => "",
                _ => " ",
            };
            let behind = if is_block { "\n" } else { " " };
            self.say(&format!("{space}{quote}{behind}[{n}]"));
            was_block = is_block;
        }
        if behind {
            self.say(" …");
        }
        let outcome = format!("{quotes} sentences");
        self.end(&begun, StepKind::Quote, outcome, Vec::new());
        false
    }
}

/// What a line that ends with a colon leads into: a paragraph below it, or code that no fence marks. Of
/// a list or a table, which are quoted line by line, one line says no more than none.
fn led_into(text: Text<'_>, span: &Range<usize>) -> Option<Range<usize>> {
    let line = text[span.clone()].trim_end_matches(['*', '_']);
    if !line.ends_with(':') {
        return None;
    }
    let spans = sentence::sentences(text);
    let at = spans.iter().position(|known| known == span)?;
    let next = spans.get(at + 1)?;
    let below = &text[next.clone()];
    let is_other = lines::is_item(below) || lines::is_row(below) || below.starts_with('#');
    (!is_other).then(|| next.clone())
}

/// What takes a sentence back, right behind it, or says where it does not hold; where that says no more
/// ("That was wrong."), with the sentence that says how it is.
pub(super) fn correction_of(text: Text<'_>, span: &Range<usize>) -> Vec<Range<usize>> {
    let spans = sentence::sentences(text);
    let Some(at) = spans.iter().position(|known| known == span) else {
        return Vec::new();
    };
    let behind = &spans[at + 1..];
    let correction = behind.first().map_or("", |next| &text[next.clone()]);
    let says_no_more = correction.split_whitespace().count() <= BARE;
    let count = match (gate::corrects(correction), says_no_more) {
        (true, true) => 2,
        (true, false) => 1,
        (false, _) => usize::from(gate::calls_off(correction) || gate::restricts(correction)),
    };
    behind[..count.min(behind.len())].to_vec()
}

/// Words of a correction that says nothing else, at most.
const BARE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_colon_is_read_with_what_it_leads_into() {
        let check = |text: &str, expected: Option<&str>| {
            let first = sentence::sentences(text).remove(0);
            let found = led_into(Text::from(text), &first);
            assert_eq!(found.map(|span| &text[span]), expected, "{text}");
        };
        let cut = "Cut it:\n\n    ffmpeg -i in.mp4 -c copy out.mp4\n\nIt is fast.\n";
        check(cut, Some("ffmpeg -i in.mp4 -c copy out.mp4"));
        check("**The rule:**\n\nNo shoes.\n", Some("No shoes."));
        check("Pack:\n\n- a tent\n- a lamp\n", None);
        check("Readings:\n\n| Day | Gas |\n|---|---|\n| 1 | 2 |\n", None);
        check("To do:\n\n## Later\n\nNothing.\n", None);
        check("It is so.\n\nYes.\n", None);
    }

    #[test]
    fn what_is_taken_back_is_read_with_its_correction() {
        let check = |text: &str, expected: &[&str]| {
            let first = sentence::sentences(text).remove(0);
            let found = correction_of(Text::from(text), &first);
            let found: Vec<&str> = found.into_iter().map(|span| &text[span]).collect();
            assert_eq!(found, expected, "{text}");
        };
        let both = ["That was wrong.", "It is 14.2 volts."];
        check(
            "It is 13.6 volts. That was wrong. It is 14.2 volts. So.",
            &both,
        );
        check("It is 13.6 volts. That was wrong.", &both[..1]);
        let whole = "This is outdated since it was set to 14.2 volts.";
        check(&format!("It is 13.6 volts. {whole} So it is."), &[whole]);
        check("It is 13.6 volts. It should be checked.", &[]);
        // What is over is not told anew.
        let over = "This has been cancelled.";
        check(&format!("It is off in May. {over} It is Monday."), &[over]);
        check("It is 13.6 volts.", &[]);
        let only = "Except on Mondays.";
        check(&format!("It costs 12 euros. {only} It is warm."), &[only]);
    }
}
