//! How right an answer is, against answers that people gave.
//!
//! As `FlashRAG` computes them (Jin et al. 2024), so that figures can be compared: text is put into
//! lower case, loses ASCII punctuation and the articles `a`, `an`, `the`, and its white space is
//! collapsed (the `SQuAD` script, Rajpurkar et al. 2016).

use std::collections::HashMap;

/// What one answer scores, 0 to 1 each; the best over all golden answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The answer is a golden answer.
    pub em: f64,
    /// Harmonic mean of precision and recall of words.
    pub f1: f64,
    /// A golden answer is a part of the answer, letter by letter: "no" is a part of "know".
    pub acc: f64,
    /// A golden answer is a part of the answer, word by word.
    pub acc_words: f64,
}

/// Scores an answer. Golden answers of which normalisation leaves nothing are passed over: to
/// `FlashRAG` every answer holds them.
pub fn score(answer: &str, golden: &[String]) -> Score {
    let answer = normalised(answer);
    let words: Vec<&str> = answer.split_whitespace().collect();
    let mut best = Score::default();
    for golden in golden {
        let golden = normalised(golden);
        if golden.is_empty() {
            continue;
        }
        let golden_words: Vec<&str> = golden.split_whitespace().collect();
        let one = |holds: bool| f64::from(u8::from(holds));
        let windows = &mut words.windows(golden_words.len());
        best.em = best.em.max(one(answer == golden));
        best.acc = best.acc.max(one(answer.contains(&golden)));
        best.acc_words = best
            .acc_words
            .max(one(windows.any(|window| window == golden_words)));
        best.f1 = best.f1.max(f1(&answer, &words, &golden, &golden_words));
    }
    best
}

fn f1(answer: &str, words: &[&str], golden: &str, golden_words: &[&str]) -> f64 {
    let closed = ["yes", "no", "noanswer"];
    if (closed.contains(&answer) || closed.contains(&golden)) && answer != golden {
        return 0.0;
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in golden_words {
        *left.entry(word).or_default() += 1;
    }
    let mut same = 0_u32;
    for word in words {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    if same == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "words of an answer")]
    let share = |of: usize| f64::from(same) / of as f64;
    let (precision, recall) = (share(words.len()), share(golden_words.len()));
    2.0 * precision * recall / (precision + recall)
}

/// Lower case, without ASCII punctuation and articles, white space collapsed.
pub fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept = lower.chars().filter(|c| !c.is_ascii_punctuation());
    let bare: String = kept.collect();
    // Between word boundaries, as the script's `\b(a|an|the)\b`: also beside a dash that stays.
    let mut text = String::with_capacity(bare.len());
    let is_word = |c: char| c.is_alphanumeric();
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c));
        let end = end.map_or(rest.len(), |end| start + end);
        text.push_str(&rest[..start]);
        let word = &rest[start..end];
        text.push_str(if ["a", "an", "the"].contains(&word) {
            " "
        } else {
            word
        });
        rest = &rest[end..];
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answer: &str, golden: &[&str]) -> Score {
        let golden: Vec<String> = golden.iter().map(ToString::to_string).collect();
        score(answer, &golden)
    }

    #[test]
    fn texts_are_normalised_as_the_squad_script_does() {
        assert_eq!(
            normalised("The  Eiffel-Tower, (an) A. icon!"),
            "eiffeltower icon"
        );
        assert_eq!(normalised("another theme"), "another theme");
    }

    /// Expected values were computed by `flashrag-dev` 0.1.2 itself.
    #[test]
    fn scores_are_those_of_the_public_implementation() {
        let table = include_str!("../../tests/fixtures/scoring.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(table).unwrap();
        assert!(cases.len() >= 100);
        for case in &cases {
            let answer = case["answer"].as_str().unwrap();
            let golden: Vec<String> = serde_json::from_value(case["golden"].clone()).unwrap();
            assert_eq!(normalised(answer), case["normalised"], "{case}");
            let found = score(answer, &golden);
            for (name, value) in [("em", found.em), ("f1", found.f1), ("acc", found.acc)] {
                let expected = case[name].as_f64().unwrap();
                assert!((value - expected).abs() < 1e-6, "{name} {value}: {case}");
            }
        }
    }

    #[test]
    fn scores_are_those_of_flashrag() {
        let found = of("The tower is in Paris.", &["Paris", "the city of Paris"]);
        assert_eq!((found.em, found.acc, found.acc_words), (0.0, 1.0, 1.0));
        // Words: tower is in paris; one of four, one of one.
        assert!((found.f1 - 0.4).abs() < 1e-9, "{}", found.f1);
        let is = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}");
        is(of("paris", &["Paris."]).em, 1.0);
        let know = of("I know it", &["no"]);
        assert_eq!((know.acc, know.acc_words, know.f1), (1.0, 0.0, 0.0));
        is(of("yes it is", &["yes"]).f1, 0.0);
        is(of("yes", &["yes"]).f1, 1.0);
        assert_eq!(of("anything", &["", "the"]), Score::default());
        // A word counts as often as both have it.
        let twice = of("ha ha ha", &["ha ha"]);
        assert!((twice.f1 - 0.8).abs() < 1e-9, "{}", twice.f1);
    }
}
