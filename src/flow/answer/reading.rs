//! Does a language model read well? Asked of each model on a few notes of our own making.
//!
//! Each note is two sentences, of which one answers the question and one is there to mislead. A
//! model that gets many of them wrong is better quoted from the notes than asked to write: with
//! SmolLM2-135M and 380 questions of three sets, the two sentences that were chosen without a model
//! held the answer in 60 to 87 of 100 cases, its drafts from them in 37 to 43.

use std::sync::Arc;

use super::prompt::{STOP, conversation};
use crate::domain::generator::Reading;
use crate::domain::scoring::score;
use crate::engine::EngineError;
use crate::engine::generate::{Generator, Prompt};

/// Title, note, question, and what a right answer holds.
const NOTES: [(&str, &str, &str, &str); 16] = [
    (
        "Boiler",
        "The boiler was serviced by Frau Adler in May. Her colleague Milan sells spare parts.",
        "Who serviced the boiler?",
        "Adler",
    ),
    (
        "Boat",
        "The hull was painted green last autumn. The mast is of grey aluminium.",
        "What colour is the mast?",
        "grey",
    ),
    (
        "Choir",
        "Rehearsals begin at 19:30. The concert on Saturday begins at 18:00.",
        "When does the concert begin?",
        "18:00",
    ),
    (
        "Bees",
        "Hive two gave 14 kilograms of honey. Hive one gave 9 kilograms.",
        "How much honey did hive one give?",
        "9",
    ),
    (
        "Trip",
        "We flew to Lisbon and took the train back from Porto. The hotel was in Braga.",
        "From which city did we take the train back?",
        "Porto",
    ),
    (
        "Printer",
        "Error E4 means that the paper is jammed. Error E7 means that the toner is empty.",
        "Which error means that the toner is empty?",
        "E7",
    ),
    (
        "Recipe",
        "Grandmother baked the bread with rye. Uncle Tomas prefers spelt.",
        "What flour does Uncle Tomas prefer?",
        "spelt",
    ),
    (
        "Garden",
        "The plum tree was planted in 1998. The pear tree followed in 2004.",
        "In which year was the pear tree planted?",
        "2004",
    ),
    (
        "Club",
        "Ilse keeps the accounts, while Robert writes the minutes.",
        "Who writes the minutes?",
        "Robert",
    ),
    (
        "Server",
        "Backups run on the machine called Heron. The web site runs on Kestrel.",
        "On which machine do backups run?",
        "Heron",
    ),
    (
        "Car",
        "The winter tyres are kept at Novak's garage. The summer tyres hang in the cellar.",
        "Where are the winter tyres kept?",
        "garage",
    ),
    (
        "Medicine",
        "Take the white tablet in the morning. The yellow one is only for the night.",
        "Which tablet is for the night?",
        "yellow",
    ),
    (
        "Lease",
        "The rent is 840 euros. The deposit was three times that, 2520 euros.",
        "How high was the deposit?",
        "2520",
    ),
    (
        "Chess",
        "Amira beat Jonas in the first game. In the second, Jonas beat Amira.",
        "Who won the second game?",
        "Jonas",
    ),
    (
        "Telescope",
        "Saturn was seen on Monday. On Tuesday, clouds hid everything but Venus.",
        "What was seen on Tuesday?",
        "Venus",
    ),
    (
        "Library",
        "The atlas is due on 3 June. The novel may be kept until 17 June.",
        "Until when may the novel be kept?",
        "17 June",
    ),
];

/// Tokens of an answer at most.
const MOST_TOKENS: usize = 40;

/// Asks a model about each note.
///
/// # Errors
/// What the model says.
pub fn reading(model: &dyn Generator) -> Result<Reading, EngineError> {
    let mut right = 0;
    for (title, note, question, answer) in NOTES {
        let evidence = [(title.to_owned(), note.to_owned())];
        let prompt = Prompt {
            stop: STOP.map(str::to_owned).to_vec(),
            ..Prompt::new(
                conversation(&evidence, &format!("Question: {question}")),
                MOST_TOKENS,
            )
        };
        let running = model.generate(prompt, Arc::default())?;
        let written = running.result.wait()??;
        // The whole note said again is no answer.
        let copied = written.text.len() >= note.len();
        let holds = score(&written.text, &[answer.to_owned()]).acc_words > 0.5;
        right += usize::from(holds && !copied);
        tracing::debug!(question, text = written.text, holds, "read");
    }
    Ok(Reading {
        right,
        asked: NOTES.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_holds_its_answer() {
        for (_, note, question, answer) in NOTES {
            let answers = [answer.to_owned()];
            assert!(score(note, &answers).acc_words > 0.5, "{question}");
            assert!(score(question, &answers).acc_words < 0.5, "{question}");
        }
    }
}
