//! Tuning: the weights of the ranking, chosen by measurement.
//!
//! Candidates are judged once per question; then weights are tried, which costs no more than
//! sorting. Coordinate ascent: each weight in turn is moved, and stays where the mean nDCG@10 over
//! the sets is best. The mean of the sets, not of the questions, so that no large set decides for
//! the others.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::search::{self, Searcher};
use super::set::EvaluationSet;
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{mean, ndcg};
use crate::domain::rank::{Judged, Weights, fuse};
use crate::error::Failure;

/// A smaller gain of the mean is noise.
const LEAST_GAIN: f64 = 1e-5;

/// Rounds over all weights at most.
const ROUNDS: usize = 4;

/// The candidates of one question, judged, with their documents.
struct Question {
    judged: Vec<Judged>,
    documents: HashMap<ChunkId, Vec<usize>>,
    gains: HashMap<usize, f64>,
}

/// The questions of a set, ready for weights.
pub struct Judgements {
    name: String,
    questions: Vec<Question>,
}

/// The name of a weight, with how it is read and written.
type Dial = (&'static str, fn(&mut Weights) -> &mut f32);

const DIALS: &[Dial] = &[
    ("dense", |w| &mut w.dense),
    ("dense_trust", |w| &mut w.dense_trust),
    ("lexical_trust", |w| &mut w.lexical_trust),
    ("floor", |w| &mut w.floor),
    ("pairs", |w| &mut w.pairs),
    ("window", |w| &mut w.window),
    ("head", |w| &mut w.head),
    ("coverage", |w| &mut w.coverage),
];

/// One choice of weights and what it gives.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Trial {
    /// What was changed.
    pub name: String,
    /// The weights, by name.
    pub weights: HashMap<String, f32>,
    /// nDCG@10 of each set.
    pub sets: Vec<(String, f64)>,
    /// Their mean.
    pub mean: f64,
}

/// Judges the candidates of the first `limit` questions of a set.
///
/// # Errors
/// What the store and the embedding model say.
pub fn judge(
    parts: &Searcher<'_>,
    set: &EvaluationSet,
    limit: usize,
    mut done: impl FnMut(usize),
) -> Result<Judgements, Failure> {
    let numbers: HashMap<&str, usize> = set
        .documents
        .iter()
        .enumerate()
        .map(|(number, document)| (document.id.as_str(), number))
        .collect();
    let mut questions = Vec::new();
    // Spread over the set: neighbouring questions are about the same documents.
    let step = set.questions.len().div_ceil(limit.max(1)).max(1);
    for question in set.questions.iter().step_by(step) {
        let found = search::candidates(parts, &question.text)?;
        let mut documents = HashMap::new();
        parts.store.ledger().read(|snapshot| {
            for (judged, _) in &found.judged {
                let ids = set.documents_of(snapshot, judged.chunk)?;
                let ids = ids
                    .iter()
                    .filter_map(|id| numbers.get(id.as_str()).copied());
                documents.insert(judged.chunk, ids.collect());
            }
            Ok(())
        })?;
        let gains = set.gains_of(question).iter();
        let gains = gains.filter_map(|(id, gain)| Some((*numbers.get(id.as_str())?, *gain)));
        questions.push(Question {
            judged: found.judged.into_iter().map(|(judged, _)| judged).collect(),
            documents,
            gains: gains.collect(),
        });
        done(questions.len());
    }
    Ok(Judgements {
        name: set.name.clone(),
        questions,
    })
}

/// Chooses weights for these sets: the trials worth telling, the chosen one last.
pub fn tune(sets: &[Judgements]) -> Vec<Trial> {
    let mut trials = vec![trial("as shipped", sets, Weights::default())];
    let mut best = trials[0].clone();
    let mut chosen = Weights::default();
    for round in 1..=ROUNDS {
        let before = best.mean;
        for (name, dial) in DIALS {
            let now = *dial(&mut chosen);
            for value in [0.0, 0.6, 0.8, 0.9, 1.1, 1.25, 1.6].map(|by| now * by) {
                let mut weights = chosen;
                *dial(&mut weights) = value;
                let tried = trial(&format!("round {round}: {name}"), sets, weights);
                if tried.mean > best.mean + LEAST_GAIN {
                    best = tried;
                    chosen = weights;
                }
            }
        }
        if best.mean - before < LEAST_GAIN {
            break;
        }
        trials.push(best.clone());
    }
    for (name, dial) in DIALS {
        let mut weights = chosen;
        *dial(&mut weights) = 0.0;
        trials.push(trial(&format!("chosen without {name}"), sets, weights));
    }
    let only_vectors = Weights {
        dense: 1.0,
        ..chosen
    };
    trials.push(trial("chosen without words", sets, only_vectors));
    trials.push(trial("chosen", sets, chosen));
    trials
}

fn trial(name: &str, sets: &[Judgements], mut weights: Weights) -> Trial {
    let sets: Vec<(String, f64)> = sets
        .iter()
        .map(|set| {
            let values: Vec<f64> = set.questions.iter().map(|q| value(q, &weights)).collect();
            (set.name.clone(), mean(&values))
        })
        .collect();
    let values: Vec<f64> = sets.iter().map(|(_, value)| *value).collect();
    let dials = DIALS.iter();
    Trial {
        name: name.to_owned(),
        weights: dials
            .map(|(name, dial)| ((*name).to_owned(), *dial(&mut weights)))
            .collect(),
        mean: mean(&values),
        sets,
    }
}

fn value(question: &Question, weights: &Weights) -> f64 {
    let mut ranked: Vec<usize> = Vec::new();
    for fused in fuse(&question.judged, weights) {
        for document in &question.documents[&fused.judged.chunk] {
            if !ranked.contains(document) {
                ranked.push(*document);
            }
        }
        if ranked.len() >= 10 {
            break;
        }
    }
    ndcg(&ranked, &question.gains, 10)
}
