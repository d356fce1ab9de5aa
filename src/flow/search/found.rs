//! What a search tells: its hits, how each came about, how the query was read and what it took.
//!
//! These are the shapes that edges write; nothing is computed here but the lines that explain.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::rank::Lexical;

/// What a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HitKind {
    /// A passage of a document.
    Chunk,
    /// A knowledge unit.
    Unit,
}

/// One hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// Its place, counted from 1.
    pub rank: usize,
    /// What it is.
    pub kind: HitKind,
    /// Fused score, 0 to 1; comparable within one search.
    pub score: f32,
    /// Absolute path of the file.
    pub path: PathBuf,
    /// Title of the document.
    pub title: String,
    /// Headings above the passage, outermost first, joined by ` > `.
    pub heading: Option<String>,
    /// First and last line, counted from 1, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, counted from 1, where the format has pages.
    pub page: Option<u32>,
    /// The passage.
    pub text: String,
    /// Id of the chunk.
    pub chunk_id: String,
    /// Id of the unit, for units.
    pub unit_id: Option<String>,
    /// Ids of the chunks that a unit rests on.
    pub sources: Vec<String>,
    /// Ids of all its chunks in their order, where neighbours were joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<String>,
    /// Other passages that say the same, left out of the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<FoldedHit>,
    /// Paths, below their sources, of documents that this one links to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Paths, below their sources, of documents that link to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backlinks: Vec<String>,
    /// How it came about, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

impl Hit {
    /// What it is about, as [`about`].
    pub(in crate::flow) fn about(&self) -> String {
        about(&self.title, self.heading.as_deref())
    }
}

/// What a passage is about: its document's title and the headings above it.
pub(in crate::flow) fn about(title: &str, heading: Option<&str>) -> String {
    match heading {
        Some(heading) if !heading.starts_with(title) => format!("{title} > {heading}"),
        Some(heading) => heading.to_owned(),
        None => title.to_owned(),
    }
}

/// A passage that says the same as a hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoldedHit {
    /// Absolute path of the file.
    pub path: PathBuf,
    /// First and last line, counted from 1, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Id of the chunk.
    pub chunk_id: String,
}

/// How a hit came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Its place in the vector lane, counted from 1, where that lane proposed it.
    pub dense_rank: Option<usize>,
    /// Its place in the lexical lane, counted from 1, where that lane proposed it.
    pub lexical_rank: Option<usize>,
    /// Cosine to the query.
    pub cosine: Option<f32>,
    /// What its words say, before weighting.
    pub words: Lexical,
    /// The vector lane's part of the score, scaled to the best candidate.
    pub dense: f32,
    /// The lexical lane's part of the score, scaled to the best candidate.
    pub lexical: f32,
    /// The weight of the vector lane for this query; the lexical lane has the rest.
    pub dense_weight: f32,
}

impl Explanation {
    /// How a hit came to this score, a line each.
    pub fn told(&self, score: f32) -> [String; 2] {
        let rank =
            |rank: Option<usize>| rank.map_or("not proposed".into(), |n| format!("rank {n}"));
        let words = self.words;
        let sum = self.dense_weight * self.dense + (1.0 - self.dense_weight) * self.lexical;
        let score = if (score - sum.clamp(0.0, 1.0)).abs() < 1e-3 {
            format!("score {score:.3}")
        } else {
            format!("score {score:.3} of the reranker, before it {sum:.3}")
        };
        [
            format!(
                "{score} = {:.2} x {:.3} (vectors: {}, cosine {:.3}) + {:.2} x {:.3} (words: {})",
                self.dense_weight,
                self.dense,
                rank(self.dense_rank),
                self.cosine.unwrap_or(0.0),
                1.0 - self.dense_weight,
                self.lexical,
                rank(self.lexical_rank),
            ),
            format!(
                "words: text {:.2}, pairs {:.2}, window {:.2}, head {:.2}, coverage {:.2}, labels {:.2}",
                words.words, words.pairs, words.window, words.head, words.coverage, words.labels
            ),
        ]
    }
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// The query as it was given.
    pub query: String,
    /// Milliseconds that it took.
    pub took_ms: f64,
    /// Hits, best first.
    pub hits: Vec<Hit>,
    /// How the query was read and where the time went, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<QueryExplanation>,
}

/// How a query was read, and where the time went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryExplanation {
    /// What both lanes were asked.
    pub words: String,
    /// What must stand as it is.
    pub phrases: Vec<String>,
    /// Beginnings of words.
    pub prefixes: Vec<String>,
    /// What must not occur.
    pub without: Vec<String>,
    /// Filters.
    pub filters: usize,
    /// Milliseconds of each step.
    pub steps: Steps,
}

impl QueryExplanation {
    /// How a query was read, and what it took, a line each.
    pub fn told(&self) -> Vec<String> {
        let mut lines = vec![format!("read as: {}", self.words)];
        for (name, list) in [
            ("phrases", &self.phrases),
            ("beginning with", &self.prefixes),
            ("without", &self.without),
        ] {
            if !list.is_empty() {
                lines.push(format!("{name}: {}", list.join(", ")));
            }
        }
        if self.filters > 0 {
            lines.push(format!("filters: {}", self.filters));
        }
        let steps = self.steps;
        lines.push(format!(
            "embedding {:.1} ms, words {:.1} ms, vectors {:.1} ms, judging {:.1} ms, ranking anew \
             {:.1} ms, reading {:.1} ms",
            steps.embed_ms,
            steps.lexical_ms,
            steps.dense_ms,
            steps.judge_ms,
            steps.rerank_ms,
            steps.gather_ms
        ));
        lines
    }
}

/// Milliseconds of each step of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// Embedding the query.
    pub embed_ms: f64,
    /// Filters, and the words' candidates.
    pub lexical_ms: f64,
    /// The vectors' candidates.
    pub dense_ms: f64,
    /// Judging all candidates by both.
    pub judge_ms: f64,
    /// Ranking anew, where that was asked for.
    pub rerank_ms: f64,
    /// Reading the hits, folding and joining them.
    pub gather_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_hit_and_a_query_came_about_is_told() {
        let how = Explanation {
            dense_rank: Some(2),
            lexical_rank: None,
            cosine: Some(0.5),
            words: Lexical::default(),
            dense: 1.0,
            lexical: 0.25,
            dense_weight: 0.75,
        };
        let expected = "score 0.813 = 0.75 x 1.000 (vectors: rank 2, cosine 0.500) + 0.25 x 0.250 \
                        (words: not proposed)";
        assert_eq!(how.told(0.8126)[0], expected);
        let anew = "score 0.250 of the reranker, before it 0.81";
        assert!(how.told(0.25)[0].starts_with(anew));
        let how = QueryExplanation {
            words: "night train".into(),
            phrases: vec!["night train".into()],
            prefixes: Vec::new(),
            without: vec!["boat".into(), "car".into()],
            filters: 1,
            steps: Steps::default(),
        };
        let told = how.told();
        assert_eq!(
            told[..4],
            [
                "read as: night train",
                "phrases: night train",
                "without: boat, car",
                "filters: 1"
            ]
        );
        assert!(told[4].starts_with("embedding 0.0 ms, words 0.0 ms, "));
    }
}
