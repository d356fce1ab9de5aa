//! What kind of answer a question wants, as far as its words tell.

/// Does a question want a number, a time or a date?
pub fn asks_for_number(question: &str) -> bool {
    const PHRASES: [&str; 16] = [
        "how many",
        "how much",
        "how long",
        "how high",
        "how big",
        "how old",
        "how far",
        "how often",
        "how thick",
        "how heavy",
        "when ",
        "what time",
        "wie viel",
        "wie lange",
        "wann ",
        "cuánt",
    ];
    let question = question.to_lowercase();
    PHRASES.iter().any(|phrase| question.contains(phrase))
}

/// Does a question want a yes or a no?
///
/// It begins with a verb that such questions begin with, and offers no choice. Words that are other
/// things, too ("may", "will", "war") count only where the question is marked as one.
pub fn is_polar(question: &str) -> bool {
    const VERBS: [&str; 31] = [
        "is", "isn't", "are", "aren't", "was", "wasn't", "were", "weren't", "do", "don't", "does",
        "doesn't", "did", "didn't", "can't", "could", "couldn't", "has", "hasn't", "have",
        "haven't", "had", "would", "should", "ist", "sind", "haben", "kann", "können", "waren",
        "est-ce",
    ];
    const DOUBTFUL: [&str; 14] = [
        "can", "will", "may", "might", "must", "am", "hat", "war", "gibt", "darf", "es", "son",
        "hay", "está",
    ];
    let question = question.trim_matches(['¿', ' ', '"']).to_lowercase();
    let mut words = question.split_whitespace();
    let opens = words.next().is_some_and(|word| {
        VERBS.contains(&word) || question.ends_with('?') && DOUBTFUL.contains(&word)
    });
    let mut rest = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    opens && !rest.any(|word| ["or", "oder", "ou", "o"].contains(&word))
}

/// Does a question point back to something that was said before it?
///
/// It holds a word that stands for something else, or begins as what goes on does; and names little
/// by itself.
pub fn points_back(question: &str) -> bool {
    const POINTERS: [&str; 30] = [
        "it", "its", "he", "him", "his", "she", "her", "they", "them", "their", "that", "this",
        "those", "these", "there", "one", "same", "er", "ihn", "sie", "es", "dort", "das",
        "dessen", "él", "ella", "ello", "il", "elle", "y",
    ];
    const OPENERS: [&str; 8] = ["and", "but", "also", "und", "aber", "pero", "et", "mais"];
    let lower = question.to_lowercase();
    let words = lower.split_whitespace();
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let opens = words.first().is_some_and(|word| OPENERS.contains(word));
    let points = words.iter().any(|word| POINTERS.contains(word));
    words.len() <= 12 && (opens || points) || words.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_back_is_told_from_what_stands_alone() {
        assert!(points_back("And when did he do it?"));
        assert!(points_back("Why?"));
        assert!(points_back("What does it cost?"));
        assert!(!points_back("What does the household insurance cost?"));
    }

    #[test]
    fn yes_or_no_is_told_from_the_first_word() {
        let check = |question: &str, expected: bool| {
            assert_eq!(is_polar(question), expected, "{question}");
        };
        check("is the shed locked", true);
        check("Does the boiler need water?", true);
        check("¿Es verde la puerta?", true);
        check("Is it a cat or a dog?", false);
        check("Who is it?", false);
        check("Can it swim?", true);
        check("can opener manual", false);
        check("May 2024 invoices", false);
        check("Ist der Schuppen verschlossen?", true);
        check("Island of the day before", false);
        check("", false);
    }
}
