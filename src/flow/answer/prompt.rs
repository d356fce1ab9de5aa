//! What the language model is told, and how its words are read.

use std::borrow::Cow;

use super::super::search::about;
use crate::domain::sentence::code::inline_code;
use crate::domain::surroundings::Surroundings;
use crate::domain::unit::{Unit, lines_of_code};
use crate::engine::generate::{Message, Prompt, Role};

/// What every strategy tells the model first; the same words, so that their state is shared.
pub(super) const SYSTEM: &str = "Answer the question in one short sentence, using only the given notes. \
     Use the exact words and numbers of the notes.";

/// Where a model that goes on would begin another round.
pub(in crate::flow) const STOP: [&str; 2] = ["\n\n", "Question:"];

/// Passages, then what is asked of them. Each passage is a part of its own: what two prompts begin
/// with in common is read once.
pub(in crate::flow) fn conversation(passages: &[(String, String)], task: &str) -> Vec<Message> {
    let passage = |(about, text): &(String, String)| format!("{about}:\n{text}\n\n");
    let mut parts: Vec<String> = passages.iter().map(passage).collect();
    parts.push(task.to_owned());
    vec![
        Message::new(Role::System, SYSTEM),
        Message {
            role: Role::User,
            parts,
        },
    ]
}

/// A question to what a unit took from the notes. The state behind the unit is kept on disk, so that
/// only the question is left to be read.
pub(in crate::flow) fn unit_prompt(unit: &Unit, task: &str, max_tokens: usize) -> Prompt {
    let evidence = [(unit.title.clone(), parts_of(unit).join("\n\n"))];
    Prompt {
        lasting_parts: 1 + evidence.len(),
        lasting_with: Some(unit.id.clone()),
        stop: STOP.map(str::to_owned).to_vec(),
        ..Prompt::new(conversation(&evidence, task), max_tokens)
    }
}

/// What a unit took from the notes, sentence by sentence; code of several lines as it is written.
pub(in crate::flow) fn parts_of(unit: &Unit) -> Vec<String> {
    let sentences = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
    let part = |sentence: &String| unit.fenced(sentence).unwrap_or_else(|| plain(sentence));
    sentences.map(part).collect()
}

/// As [`about`], of a sentence whose passage stands under `above`: also with the headings within the
/// passage, and with the head of its table or the line that opens its list.
pub(in crate::flow) fn about_sentence(
    title: &str,
    above: Option<&str>,
    around: &Surroundings<'_>,
) -> String {
    let about = about(title, around.heading(above).as_deref());
    match around.lead() {
        Some(lead) => format!("{about} > {lead}"),
        None => about,
    }
}

/// A sentence without the marks that Markdown puts around it.
pub(in crate::flow) fn plain(sentence: &str) -> String {
    let flat = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = flat
        .trim_start_matches(['#', '>', ' '])
        .trim_start_matches("- [ ] ")
        .trim_start_matches("- [x] ")
        .trim_start_matches("- ")
        .trim_start_matches("* ")
        .trim_start_matches("+ ");
    without_marks(&labels(&without_comments(without_callout(flat))))
}

/// A line in which links show what they are called: `[[inventory.org][the inventory]]` of
/// org-mode, `[[Larch|larch wood]]` of Obsidian, whose bar stands behind a backslash in tables.
fn labels(line: &str) -> Cow<'_, str> {
    if !line.contains("[[") {
        return line.into();
    }
    let code = inline_code(line);
    let mut shown = String::with_capacity(line.len());
    let mut rest = 0;
    for (at, _) in line.match_indices("[[") {
        let end = line[at..].find("]]").map(|end| at + end);
        let Some(end) = end.filter(|_| at >= rest && !code.iter().any(|c| c.contains(&at))) else {
            continue;
        };
        let link = &line[at + 2..end];
        let label = link.split_once("][").or_else(|| link.split_once('|'));
        if let Some((_, label)) = label.filter(|(_, label)| !label.trim().is_empty()) {
            shown.push_str(&line[rest..at]);
            shown.push_str(label);
            rest = end + 2;
        }
    }
    shown.push_str(&line[rest..]);
    shown.into()
}

/// A line without the marks of bold text and of links; in `code`, and where nothing stands between
/// them, they are no such marks.
fn without_marks(line: &str) -> String {
    let mut seen = line.as_bytes().to_vec();
    for code in inline_code(line) {
        seen[code].fill(b'x');
    }
    let blank = |at: Option<usize>| {
        let byte = at.and_then(|at| seen.get(at));
        byte.is_none_or(u8::is_ascii_whitespace)
    };
    let mut marks: Vec<usize> = Vec::new();
    for (opens, closes) in [(b"**", b"**"), (b"[[", b"]]")] {
        let mut open = None;
        let mut at = 0;
        while at + 1 < seen.len() {
            let pair = &seen[at..at + 2];
            let begin = open.filter(|begin| begin + 2 < at);
            if let Some(begin) = begin
                && pair == closes
                && !blank(at.checked_sub(1))
            {
                marks.extend([begin, at]);
                open = None;
                at += 2;
            } else if pair == opens && !blank(Some(at + 2)) {
                open = open.filter(|_| opens == closes).or(Some(at));
                at += 2;
            } else {
                at += 1;
            }
        }
    }
    let is_mark = |at: usize| marks.iter().any(|mark| (*mark..*mark + 2).contains(&at));
    let kept = line.char_indices().filter(|(at, _)| !is_mark(*at));
    kept.map(|(_, c)| c).collect()
}

/// What stands behind "[!note]", which says of what kind a box is.
fn without_callout(line: &str) -> &str {
    let kind = line
        .strip_prefix("[!")
        .and_then(|rest| rest.split_once(']'));
    let kind = kind.filter(|(kind, _)| {
        kind.chars()
            .all(|c| c.is_alphanumeric() || "-_|".contains(c))
    });
    // A sign right behind it says whether the box is folded.
    let shown = kind.map(|(_, rest)| rest.strip_prefix(['+', '-']).unwrap_or(rest).trim_start());
    shown.filter(|shown| !shown.is_empty()).unwrap_or(line)
}

/// A line without what is not shown of it: "<!-- ignore -->".
fn without_comments(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("<!--") {
        let Some((_, behind)) = behind.split_once("-->") else {
            break;
        };
        shown.push_str(before);
        rest = behind;
    }
    shown.push_str(rest);
    if shown.trim().is_empty() {
        return line.to_owned();
    }
    shown
}

/// As [`plain`], as people read it: what is done and what is not stays told.
pub(super) fn told(sentence: &str) -> String {
    let text = plain(sentence);
    let bare = |text: &str| {
        let marks = |c: char| c.is_ascii_digit() || "#>-*+.) ".contains(c);
        text.trim_start_matches(marks).to_owned()
    };
    let item = bare(sentence);
    let marks = [("[ ] ", "☐"), ("[x] ", "☑"), ("[X] ", "☑")];
    let mut marks = marks.into_iter();
    let Some((mark, sign)) = marks.find(|(mark, _)| item.starts_with(mark)) else {
        return text;
    };
    let rest = bare(&text).strip_prefix(mark).map_or(text, str::to_owned);
    format!("{sign} {rest}")
}

/// Code as Markdown tells it, without the indentation that all its lines share. `goes_on` says that
/// there is more of it.
pub(super) fn told_code(code: &str, goes_on: bool) -> String {
    let told = lines_of_code(code).into_iter();
    let told: Vec<&str> = told.chain(goes_on.then_some("…")).collect();
    match told.as_slice() {
        [line] if !line.contains('`') => format!("`{line}`"),
        lines => {
            let ticks = if code.contains("```") { "````" } else { "```" };
            format!("{ticks}\n{}\n{ticks}", lines.join("\n"))
        }
    }
}

/// What remains of "The answer to the question is: 61." without its lead-in.
pub(super) fn without_lead_in(draft: &str) -> &str {
    let lower = draft.trim_start().to_lowercase();
    if !["the answer is", "the answer to", "answer:"]
        .iter()
        .any(|lead| lower.starts_with(lead))
    {
        return draft;
    }
    let after = ["Answer: ", " is: ", " is "].into_iter().find_map(|lead| {
        let at = draft.find(lead)?;
        (at < 40).then(|| &draft[at + lead.len()..])
    });
    after.unwrap_or(draft).trim_matches(['"', ' '])
}

pub(super) fn says_not_found(text: &str) -> bool {
    let text = text.to_lowercase();
    text.trim().is_empty()
        || [
            "don't find",
            "do not find",
            "not mentioned",
            "no information",
            "does not mention",
        ]
        .iter()
        .any(|phrase| text.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_as_it_is_written() {
        let check = |code: &str, expected: &str| assert_eq!(told_code(code, false), expected);
        check("  ls **/*.md", "`ls **/*.md`");
        check("echo `date`", "```\necho `date`\n```");
        check("\ta\n\u{a0}b", "```\n\ta\n\u{a0}b\n```");
        check("    if a:\n        b\n", "```\nif a:\n    b\n```");
        check("a\n```\nb", "````\na\n```\nb\n````");
        assert_eq!(told_code("a", true), "```\na\n…\n```");
    }

    #[test]
    fn lead_ins_are_no_claims() {
        let check = |draft: &str, expected: &str| assert_eq!(without_lead_in(draft), expected);
        check("The answer is: 61.", "61.");
        check("The answer to this question is: \"2022\"", "2022");
        check("Answer: Dr. Yilmaz.", "Dr. Yilmaz.");
        check(
            "The answering machine is broken.",
            "The answering machine is broken.",
        );
        check("It is 61.", "It is 61.");
    }

    #[test]
    fn marks_of_markdown_are_not_quoted() {
        let check = |sentence: &str, expected: &str| assert_eq!(plain(sentence), expected);
        check("- [ ] call **Oskar**\n  today", "call Oskar today");
        check("## Heading", "Heading");
        check("see [[Target]]", "see Target");
        check("see [[file:inv.org][the inventory]].", "see the inventory.");
        check("| [[Larch\\|larch wood]] | 3 |", "| larch wood | 3 |");
        check("`[[a|b]]` and [[a|b c]] [[d", "`[[a|b]]` and b c [[d");
        check("-5 degrees", "-5 degrees");
        check("> [!note]- Mind the gap.", "Mind the gap.");
        check("[!x] a", "a");
        check("[!note] -5 degrees", "-5 degrees");
        check("[!note]", "[!note]");
        check("<!-- under the mat -->", "<!-- under the mat -->");
        check("[! x] a", "[! x] a");
        check("see [“that”][t]<!-- ignore -->", "see [“that”][t]");
        check("a <!-- b", "a <!-- b");
        check("it is `2**10` **or** more", "it is `2**10` or more");
        check("2 ** 3 and dist/**/*.js", "2 ** 3 and dist/**/*.js");
        check(
            "use `[[ -f x ]]` or [[ -f x ]]",
            "use `[[ -f x ]]` or [[ -f x ]]",
        );
        check("**`ls`** of **[[Größe]]**", "`ls` of Größe");
    }

    #[test]
    fn what_is_done_stays_told() {
        let check = |sentence: &str, expected: &str| assert_eq!(told(sentence), expected);
        check("- [ ] call **Oskar**\n  today", "☐ call Oskar today");
        check("- [x] call Oskar", "☑ call Oskar");
        check("* [X] call Oskar", "☑ call Oskar");
        check("1. [ ] call Oskar", "☐ call Oskar");
        check("- call Oskar [ ] today", "call Oskar [ ] today");
        check("## Heading", "Heading");
    }
}
