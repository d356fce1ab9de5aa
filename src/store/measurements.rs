//! Measurements of the owner's own questions, kept in the ledger: they are private.

use rusqlite::params;

use super::Result;
use super::ledger::{Snapshot, Transaction};

/// Keeps a measurement; `body` is JSON.
///
/// # Errors
/// [`super::StoreError::Ledger`].
pub fn put_measurement(transaction: &Transaction<'_>, at_ms: i64, body: &str) -> Result<()> {
    transaction.execute(
        "INSERT INTO measurement (at_ms, body) VALUES (?1, ?2)",
        params![at_ms, body],
    )?;
    Ok(())
}

impl Snapshot<'_> {
    /// The newest measurements, the oldest of them first.
    pub(crate) fn measurements(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT at_ms, body FROM (SELECT * FROM measurement ORDER BY id DESC LIMIT ?1) ORDER BY id",
        )?;
        let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
