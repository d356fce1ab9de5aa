//! Ranking the documents of a set: words alone, vectors alone, both fused by rank, and coho's own.

use std::collections::BTreeMap;

use super::super::search::{self, Query, Searcher};
use super::set::{EvaluationSet, SetQuestion};
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{hit, ndcg, recall, reciprocal_rank};
use crate::domain::rank::fuse_by_rank;
use crate::domain::unit::Merge;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::units::UseUnits;

/// The ranking that people get.
pub const COHO: &str = "coho";

/// The lanes and what most products make of them.
pub const LANES: [&str; 3] = ["bm25", "dense", "rrf"];

/// Measures of a ranking, by name.
pub type Values = BTreeMap<String, f64>;

/// Ranks by each lane, by their fusion, and as people get it, which comes last.
///
/// # Errors
/// What the store and the embedding model say.
pub fn rank_all(
    parts: &Searcher<'_>,
    set: &EvaluationSet,
    question: &SetQuestion,
) -> Result<Vec<(&'static str, Values)>, Failure> {
    let ours = search::rank(parts, &query(parts, &question.text, UseUnits::Off, None))?;
    let lanes = &ours.lanes;
    let of_lanes = parts.store.ledger().read(|snapshot| {
        let by_rank = fuse_by_rank(&[&lanes.dense, &lanes.lexical]);
        let documents = |chunks: &mut dyn Iterator<Item = ChunkId>| -> Result<_, StoreError> {
            let mut ranked: Vec<String> = Vec::new();
            for chunk in chunks {
                for id in set.documents_of(snapshot, chunk)? {
                    if !ranked.contains(&id) {
                        ranked.push(id);
                    }
                }
            }
            Ok(ranked)
        };
        Ok::<_, StoreError>([
            documents(&mut lanes.lexical.iter().map(|c| c.chunk))?,
            documents(&mut lanes.dense.iter().map(|c| c.chunk))?,
            documents(&mut by_rank.iter().map(|c| c.chunk))?,
        ])
    })?;
    let mut all: Vec<(&'static str, Values)> = LANES
        .into_iter()
        .zip(&of_lanes)
        .map(|(name, ranked)| (name, values(set, question, ranked)))
        .collect();
    all.push((COHO, values(set, question, &documents(set, &ours))));
    Ok(all)
}

/// Ranks as people get it, with units.
///
/// # Errors
/// What the store and the embedding model say.
pub fn rank_with_units(
    parts: &Searcher<'_>,
    set: &EvaluationSet,
    question: &SetQuestion,
    merge: Merge,
) -> Result<Values, Failure> {
    let query = query(parts, &question.text, UseUnits::Active, Some(merge));
    let ranking = search::rank(parts, &query)?;
    Ok(values(set, question, &documents(set, &ranking)))
}

fn query(parts: &Searcher<'_>, text: &str, units: UseUnits, merge: Option<Merge>) -> Query {
    let query = Query::words(text, search::MOST_HITS);
    Query {
        rerank: parts.reranker.is_some(),
        units,
        merge: merge.unwrap_or(query.merge),
        ..query
    }
}

fn documents(set: &EvaluationSet, ranking: &search::Ranking) -> Vec<String> {
    let mut documents: Vec<String> = Vec::new();
    for ranked in &ranking.ranked {
        let folded = ranked.hit.folded.iter().map(|folded| &folded.path);
        for path in std::iter::once(&ranked.hit.path).chain(folded) {
            let id = set.document_at(path);
            documents.extend(id.filter(|id| !documents.contains(id)));
        }
    }
    documents
}

fn values(set: &EvaluationSet, question: &SetQuestion, ranked: &[String]) -> Values {
    let gains = set.gains_of(question);
    let values = [
        ("nDCG@10", ndcg(ranked, gains, 10)),
        ("R@1", recall(ranked, gains, 1)),
        ("R@10", recall(ranked, gains, 10)),
        ("MRR", reciprocal_rank(ranked, gains)),
        ("hit@5", hit(ranked, gains, 5)),
    ];
    let named = values.map(|(name, value)| (name.to_owned(), value));
    named.into_iter().collect()
}
