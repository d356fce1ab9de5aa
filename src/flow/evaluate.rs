//! Evaluating retrieval: questions with judged documents, asked of each lane and of their fusion.
//!
//! A set in the BEIR layout (`corpus`, `queries` and `qrels` as JSON lines, plain or compressed with
//! zstd) becomes a folder of notes, one a document, in a knowledge base of its own, so that what is
//! measured is what people use: the same cutting, embedding, indexes and ranking. That knowledge
//! base is kept, and the second run costs only the questions. Nothing here touches the owner's
//! ledger.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ingest::{Ingest, Progress};
use super::search::{self, Searcher};
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{Gains, bootstrap_interval, mean, ndcg, recall, reciprocal_rank};
use crate::domain::rank::fuse_by_rank;
use crate::error::{BadRequest, Failure};
use crate::store::StoreError;
use crate::store::ledger::{Snapshot, Source};

/// Samples of the bootstrap, and where its dice begin.
const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// A document of a set.
#[derive(Clone, Debug, Deserialize)]
pub struct SetDocument {
    /// Its name in the judgements.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its title, empty where it has none.
    #[serde(default)]
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A question of a set.
#[derive(Clone, Debug, Deserialize)]
pub struct SetQuestion {
    /// Its name in the judgements.
    #[serde(rename = "_id")]
    pub id: String,
    /// What is asked.
    pub text: String,
    /// The split it belongs to, where the set has splits.
    #[serde(default)]
    pub split: Option<String>,
    /// Answers that people gave.
    #[serde(default)]
    pub answers: Vec<String>,
    /// Whether it was made so that the documents do not answer it.
    #[serde(default)]
    pub impossible: bool,
}

#[derive(Deserialize)]
struct Judgement {
    query_id: String,
    doc_id: String,
    score: f64,
}

/// Questions with judged documents.
pub struct EvaluationSet {
    /// Its name.
    pub name: String,
    /// Its documents.
    pub documents: Vec<SetDocument>,
    /// Questions that have a relevant document.
    pub questions: Vec<SetQuestion>,
    /// Questions that its documents do not answer.
    pub unanswerable: Vec<SetQuestion>,
    /// Gains of documents, by question.
    pub gains: HashMap<String, Gains<String>>,
}

impl EvaluationSet {
    /// Reads a set from its folder; `split` narrows its questions where they have splits.
    ///
    /// # Errors
    /// [`BadRequest`] that names the file and what is wrong with it.
    pub fn read(folder: &Path, name: &str, split: Option<&str>) -> Result<Self, BadRequest> {
        let documents = read_lines(folder, "corpus")?;
        let questions: Vec<SetQuestion> = read_lines(folder, "queries")?;
        let judgements: Vec<Judgement> = read_lines(folder, "qrels")?;
        let mut gains: HashMap<String, Gains<String>> = HashMap::new();
        for judgement in judgements {
            let of_question = gains.entry(judgement.query_id).or_default();
            of_question.insert(judgement.doc_id, judgement.score);
        }
        let wanted = |question: &SetQuestion| {
            let in_split = split.is_none() || question.split.as_deref() == split;
            let judged = gains.get(&question.id);
            in_split && judged.is_some_and(|g| g.values().any(|gain| *gain > 0.0))
        };
        let unanswerable = questions.iter().filter(|question| question.impossible);
        let unanswerable: Vec<SetQuestion> = unanswerable.cloned().collect();
        let answerable = |question: &SetQuestion| !question.impossible && wanted(question);
        let questions: Vec<SetQuestion> = questions.into_iter().filter(answerable).collect();
        if questions.is_empty() {
            return Err(bad(folder, "none of its questions has a relevant document"));
        }
        Ok(Self {
            name: name.to_owned(),
            documents,
            questions,
            unanswerable,
            gains,
        })
    }
}

/// The first questions of a set, answerable or not.
///
/// # Errors
/// [`BadRequest`] as for [`EvaluationSet::read`].
pub fn questions(folder: &Path, limit: usize) -> Result<Vec<String>, BadRequest> {
    let questions: Vec<SetQuestion> = read_lines(folder, "queries")?;
    let texts = questions.into_iter().take(limit);
    Ok(texts.map(|question| question.text).collect())
}

fn bad(path: &Path, reason: impl std::fmt::Display) -> BadRequest {
    BadRequest::new(
        "bad_evaluation_set",
        format!("{}: {reason}", path.display()),
        "a set is a folder with corpus.jsonl, queries.jsonl and qrels.jsonl (BEIR), plain or .zst",
    )
}

pub(super) fn read_lines<T: serde::de::DeserializeOwned>(
    folder: &Path,
    name: &str,
) -> Result<Vec<T>, BadRequest> {
    let plain = folder.join(format!("{name}.jsonl"));
    let packed = folder.join(format!("{name}.jsonl.zst"));
    let path = if plain.exists() { plain } else { packed };
    let file = std::fs::File::open(&path).map_err(|error| bad(&path, error))?;
    let text: Box<dyn Read> = if path.extension().is_some_and(|e| e == "zst") {
        Box::new(zstd::Decoder::new(file).map_err(|error| bad(&path, error))?)
    } else {
        Box::new(file)
    };
    let mut items = Vec::new();
    for (index, line) in BufReader::new(text).lines().enumerate() {
        let line = line.map_err(|error| bad(&path, error))?;
        if !line.trim().is_empty() {
            let at = |error| bad(&path, format!("line {}: {error}", index + 1));
            items.push(serde_json::from_str(&line).map_err(at)?);
        }
    }
    Ok(items)
}

/// Writes the documents of a set as notes below `folder`, unless they are there; note `n` is
/// document `n`.
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_notes(set: &EvaluationSet, folder: &Path) -> Result<(), StoreError> {
    let done = folder.join(".complete");
    if done.exists() {
        return Ok(());
    }
    let io = |source| StoreError::io(folder, source);
    for (index, document) in set.documents.iter().enumerate() {
        let below = folder.join(format!("{:03}", index / 1000));
        std::fs::create_dir_all(&below).map_err(io)?;
        let text = match document.title.trim() {
            "" => document.text.clone(),
            title => format!("# {title}\n\n{}\n", document.text),
        };
        std::fs::write(below.join(format!("{index}.md")), text).map_err(io)?;
    }
    std::fs::write(done, "").map_err(io)
}

/// One row of the table: a measure of one set under each way to rank.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// The set.
    pub set: String,
    /// The measure.
    pub metric: &'static str,
    /// Words alone.
    pub bm25: f64,
    /// Vectors alone.
    pub dense: f64,
    /// Both, fused by rank.
    pub rrf: f64,
    /// Both, as coho ranks.
    pub ours: f64,
    /// The 95 % interval of ours minus the best other column, by paired bootstrap.
    pub interval: (f64, f64),
    /// Questions asked.
    pub questions: usize,
}

/// The four rankings of one question, as documents.
#[derive(Default)]
struct Rankings {
    columns: [Vec<String>; 4],
}

/// Reads the notes of a set into its knowledge base.
///
/// # Errors
/// What ingestion says.
pub fn ingest_set(
    ingest: &Ingest,
    source: &Source,
    progress: &dyn Fn(&Progress),
) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    ingest.heal(&stop)?;
    ingest.sync(source, progress, &stop)?;
    Ok(ingest.rest()?)
}

/// Asks all questions of a set, or the first `limit`; `done` hears of each.
///
/// # Errors
/// What the store and the embedding model say.
pub fn evaluate(
    parts: &Searcher<'_>,
    set: &EvaluationSet,
    limit: usize,
    mut done: impl FnMut(usize),
) -> Result<Vec<Row>, Failure> {
    let mut values: [[Vec<f64>; 4]; 4] = Default::default();
    for (index, question) in set.questions.iter().take(limit).enumerate() {
        let rankings = rank_all(parts, set, &question.text)?;
        let gains = &set.gains[&question.id];
        for (column, ranked) in rankings.columns.iter().enumerate() {
            values[0][column].push(ndcg(ranked, gains, 10));
            values[1][column].push(recall(ranked, gains, 1));
            values[2][column].push(recall(ranked, gains, 10));
            values[3][column].push(reciprocal_rank(ranked, gains));
        }
        done(index + 1);
    }
    let names = ["nDCG@10", "R@1", "R@10", "MRR"];
    let rows = names.iter().zip(&values);
    Ok(rows
        .map(|(metric, values)| row(&set.name, metric, values))
        .collect())
}

fn row(set: &str, metric: &'static str, values: &[Vec<f64>; 4]) -> Row {
    let means: Vec<f64> = values.iter().map(|v| mean(v)).collect();
    let best = (0..3).max_by(|a, b| means[*a].total_cmp(&means[*b]));
    let best = best.expect("there are three other columns");
    let differences: Vec<f64> = values[3]
        .iter()
        .zip(&values[best])
        .map(|(ours, other)| ours - other)
        .collect();
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let (low, high) = bootstrap_interval(&differences, ROUNDS, SEED);
    Row {
        set: set.to_owned(),
        metric,
        bm25: rounded(means[0]),
        dense: rounded(means[1]),
        rrf: rounded(means[2]),
        ours: rounded(means[3]),
        interval: (rounded(low), rounded(high)),
        questions: values[3].len(),
    }
}

fn rank_all(
    parts: &Searcher<'_>,
    set: &EvaluationSet,
    question: &str,
) -> Result<Rankings, Failure> {
    let query = search::Query {
        rerank: parts.reranker.is_some(),
        ..search::Query::words(question, search::MOST_HITS)
    };
    let ours = search::rank(parts, &query)?;
    let lanes = &ours.lanes;
    let rankings = parts.store.ledger().read(|snapshot| {
        let by_rank = fuse_by_rank(&[&lanes.dense, &lanes.lexical]);
        let documents = |chunks: &mut dyn Iterator<Item = ChunkId>| -> Result<_, StoreError> {
            let mut ranked: Vec<String> = Vec::new();
            for chunk in chunks {
                for id in documents_of(snapshot, set, chunk)? {
                    if !ranked.contains(&id) {
                        ranked.push(id);
                    }
                }
            }
            Ok(ranked)
        };
        let mut ours_documents: Vec<String> = Vec::new();
        for ranked in &ours.ranked {
            let folded = ranked.hit.folded.iter().map(|folded| &folded.path);
            for path in std::iter::once(&ranked.hit.path).chain(folded) {
                let id = document_at(set, path);
                ours_documents.extend(id.filter(|id| !ours_documents.contains(id)));
            }
        }
        Ok::<_, StoreError>(Rankings {
            columns: [
                documents(&mut lanes.lexical.iter().map(|c| c.chunk))?,
                documents(&mut lanes.dense.iter().map(|c| c.chunk))?,
                documents(&mut by_rank.iter().map(|c| c.chunk))?,
                ours_documents,
            ],
        })
    })?;
    Ok(rankings)
}

/// The documents of a set that hold a chunk.
///
/// # Errors
/// What the ledger says.
pub(super) fn documents_of(
    snapshot: &Snapshot<'_>,
    set: &EvaluationSet,
    chunk: ChunkId,
) -> Result<Vec<String>, StoreError> {
    let rows = snapshot.passages_of(chunk, 10)?;
    let ids = rows.iter().filter_map(|row| document_at(set, &row.path));
    Ok(ids.collect())
}

/// The document that a note was written of.
pub(super) fn document_at(set: &EvaluationSet, path: &Path) -> Option<String> {
    let index: usize = path.file_stem()?.to_str()?.parse().ok()?;
    Some(set.documents.get(index)?.id.clone())
}

/// Folders of sets below `data`, by name; all of them when none is named.
///
/// # Errors
/// [`BadRequest`] for a set that is not there.
pub fn sets(data: &Path, named: &[String]) -> Result<Vec<(String, PathBuf)>, BadRequest> {
    let there = |folder: &Path| {
        ["corpus.jsonl", "corpus.jsonl.zst"]
            .iter()
            .any(|name| folder.join(name).exists())
    };
    let mut found = Vec::new();
    for name in named {
        let folder = data.join(name);
        if !there(&folder) {
            return Err(bad(&folder, "there is no such set"));
        }
        found.push((name.clone(), folder));
    }
    if named.is_empty() {
        let entries = std::fs::read_dir(data).map_err(|error| bad(data, error))?;
        for entry in entries.flatten() {
            if there(&entry.path()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                found.push((name, entry.path()));
            }
        }
        found.sort();
    }
    Ok(found)
}
