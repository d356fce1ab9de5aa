//! Answers that are kept: what was asked and answered, which chunks that cites, and its tokens.
//!
//! What was answered is JSON as it was sent, of which this refuses to know more. What was said and
//! done about answers is in [`feedback`](super::feedback), what writeback made of them in
//! [`considered`](super::units::considered).

use rusqlite::{OptionalExtension, Transaction, params};

use super::StoreError;
use super::ledger::Snapshot;
use crate::domain::chunk::ChunkId;

type Result<T> = std::result::Result<T, StoreError>;

/// Tokens of all kept answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenTotals {
    /// Read by the language model.
    pub prompt: u64,
    /// Written by it.
    pub generated: u64,
}

/// An answer to be kept.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    /// Id of the answer.
    pub id: String,
    /// The question as asked.
    pub question: String,
    /// The answer as it is kept: JSON as it was sent, without the passages that were found.
    pub body: serde_json::Value,
    /// Chunks that it cites, in citation order.
    pub cited: Vec<String>,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// The token that asked; none is the owner.
    pub asker: Option<String>,
    /// What the language model read and wrote for it.
    pub tokens: TokenTotals,
}

/// Answered by an index alone: the columns stand behind the answers, which are long.
pub(super) const TOKEN_TOTALS: &str =
    "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(generated_tokens), 0) FROM answer";

impl Snapshot<'_> {
    /// Tokens of all kept answers.
    pub(crate) fn token_totals(&self) -> Result<TokenTotals> {
        Ok(self.0.prepare_cached(TOKEN_TOTALS)?.query_row([], |row| {
            Ok(TokenTotals {
                prompt: row.get(0)?,
                generated: row.get(1)?,
            })
        })?)
    }

    /// One kept answer.
    pub(crate) fn answer(&self, id: &str) -> Result<Option<serde_json::Value>> {
        let body: Option<String> = self
            .0
            .prepare_cached("SELECT body FROM answer WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(body.map(|b| serde_json::from_str(&b)).transpose()?)
    }

    /// The newest kept answers, newest first.
    pub(crate) fn answers(&self, limit: usize) -> Result<Vec<serde_json::Value>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT body FROM answer ORDER BY asked_ms DESC, id LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| row.get::<_, String>(0))?;
        rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
    }
}

/// Keeps an answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_answer(transaction: &Transaction<'_>, answer: &KeptAnswer) -> Result<()> {
    transaction.execute(
        "INSERT INTO answer
           (id, question, body, asked_ms, asker, prompt_tokens, generated_tokens)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            answer.id,
            answer.question,
            serde_json::to_string(&answer.body)?,
            answer.asked_ms,
            answer.asker,
            answer.tokens.prompt.cast_signed(),
            answer.tokens.generated.cast_signed()
        ],
    )?;
    for (n, chunk) in answer.cited.iter().enumerate() {
        if let Ok(chunk) = chunk.parse::<ChunkId>() {
            transaction.execute(
                "INSERT INTO citation (answer_id, n, chunk_id) VALUES (?1, ?2, ?3)",
                params![answer.id, n + 1, chunk],
            )?;
        }
    }
    Ok(())
}
