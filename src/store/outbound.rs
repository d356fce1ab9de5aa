//! What left this machine: each request, word by word, with what it cost.
//!
//! A request is entered before it is sent, with the most that it may cost, in the transaction that
//! looks whether the day's limits allow it: two at once, or a crash, cannot spend more. The most is
//! what its bytes, and the tokens that are asked for, can come to; what a server adds by itself, or
//! counts otherwise, is known only afterwards.

use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Result;
use super::ledger::{Snapshot, Transaction};
use super::units::batches::DAY_MS;

/// A request that is to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// To where.
    pub url: String,
    /// The model there.
    pub model: String,
    /// The answer that it is for.
    pub answer: String,
    /// Exactly what leaves, but for the key.
    pub body: String,
    /// The most that it may come to.
    pub most: Spending,
}

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spending {
    /// Tokens, read and written.
    pub tokens: u64,
    /// Money, in the currency of the owner's prices.
    pub cost: f64,
}

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Its number.
    pub id: i64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// To where.
    pub url: String,
    /// The model there.
    pub model: String,
    /// The answer that it was for.
    pub answer: Option<String>,
    /// Exactly what left, but for the key.
    pub body: String,
    /// What it came to; as long as it is under way, or where it broke off, the most that it may have.
    pub spent: Spending,
    /// `sent`, `answered` or `failed`.
    pub state: String,
}

/// Enters a request, unless it might lead beyond what a day may cost; its number, or what was spent
/// today.
///
/// # Errors
/// [`super::StoreError::Ledger`].
pub fn enter(
    transaction: &Transaction<'_>,
    request: &Request,
    limits: Spending,
) -> Result<std::result::Result<i64, Spending>> {
    let day = request.at_ms.div_euclid(DAY_MS);
    let today = on_day(transaction, day)?;
    let tokens = today.tokens.saturating_add(request.most.tokens);
    if tokens > limits.tokens || today.cost + request.most.cost > limits.cost {
        return Ok(Err(today));
    }
    transaction.execute(
        "INSERT INTO main.outbound (at_ms, day, url, model, answer_id, body, tokens, cost, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'sent')",
        params![
            request.at_ms,
            day,
            request.url,
            request.model,
            request.answer,
            request.body,
            request.most.tokens,
            request.most.cost
        ],
    )?;
    Ok(Ok(transaction.last_insert_rowid()))
}

/// Notes how a request ended; without `spent`, what it came to is not known, and the most counts.
///
/// # Errors
/// [`super::StoreError::Ledger`].
pub fn close(transaction: &Transaction<'_>, id: i64, spent: Option<Spending>) -> Result<()> {
    transaction.execute(
        "UPDATE main.outbound SET state = iif(?2 IS NULL, 'failed', 'answered'),
         tokens = coalesce(?2, tokens), cost = coalesce(?3, cost) WHERE id = ?1",
        params![id, spent.map(|s| s.tokens), spent.map(|s| s.cost)],
    )?;
    Ok(())
}

/// Takes back a request of which nothing was sent: nobody was there.
///
/// # Errors
/// [`super::StoreError::Ledger`].
pub fn withdraw(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    transaction.execute("DELETE FROM main.outbound WHERE id = ?1", [id])?;
    Ok(())
}

fn on_day(connection: &rusqlite::Connection, day: i64) -> Result<Spending> {
    Ok(connection
        .prepare_cached(
            "SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0.0) FROM outbound
             WHERE day = ?1",
        )?
        .query_row([day], |row| {
            Ok(Spending {
                tokens: row.get(0)?,
                cost: row.get(1)?,
            })
        })?)
}

impl Snapshot<'_> {
    /// What was sent, the newest first; nothing for who sees their own answers alone.
    pub(crate) fn sent(&self, limit: usize) -> Result<Vec<Sent>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, at_ms, url, model, answer_id, body, tokens, cost, state FROM outbound
             ORDER BY id DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(Sent {
                id: row.get(0)?,
                at_ms: row.get(1)?,
                url: row.get(2)?,
                model: row.get(3)?,
                answer: row.get(4)?,
                body: row.get(5)?,
                spent: Spending {
                    tokens: row.get(6)?,
                    cost: row.get(7)?,
                },
                state: row.get(8)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many requests were sent ever, and what was spent on the day of `now_ms`; nothing for who
    /// sees their own answers alone.
    pub(crate) fn sent_today(&self, now_ms: i64) -> Result<(u64, Spending)> {
        let all = self
            .0
            .query_row("SELECT count(*) FROM outbound", [], |row| row.get(0))?;
        Ok((all, on_day(self.0, now_ms.div_euclid(DAY_MS))?))
    }
}
